//! What the partners' directories tell: numbers that were given, files that arrived.

use super::{RecoverFault, Recovery};
use crate::app::ahead::files_ahead;
use crate::app::config::PartnerConfig;
use crate::domain::delivery::Verified;
use crate::domain::ids::{FeedId, FileName};
use crate::ledger::Ledger;
use crate::remote::{Address, RemoteEntry};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Recovery<'_> {
    /// Asks every partner. One that does not answer is reported; its numbers are looked at before the next delivery.
    pub(super) fn ask_partners(&mut self, ledger: &mut Ledger) -> Result<(), RecoverFault> {
        for partner in &self.config.partners {
            for (server, address) in partner.addresses().enumerate() {
                match self.listing(partner, address) {
                    Ok(listing) => self.learn_from(ledger, (partner, server), &listing)?,
                    Err(why) if partner.standby.is_empty() => {
                        self.report.not_asked.push(format!("{}: {why}", partner.id));
                    }
                    Err(why) => self.report.not_asked.push(format!("{}: {}: {why}", partner.id, address.endpoint)),
                }
            }
        }
        Ok(())
    }

    fn listing(&self, partner: &PartnerConfig, address: &Address) -> Result<Vec<RemoteEntry>, String> {
        let mut endpoint = address.endpoint.clone();
        if let Some(password) = &partner.password {
            endpoint = endpoint.with_password(password.reveal().map_err(|fault| fault.to_string())?);
        }
        let disk = Arc::clone(&self.world.disk);
        let mut session = endpoint.connect(&partner.deadlines, disk).map_err(|fault| fault.to_string())?;
        session.list(&address.directory).map_err(|fault| fault.to_string())
    }

    fn learn_from(
        &mut self,
        ledger: &mut Ledger,
        (partner, server): (&PartnerConfig, usize),
        listing: &[RemoteEntry],
    ) -> Result<(), RecoverFault> {
        for feed in partner.feeds.iter().filter(|feed| !feed.shadow) {
            let ahead = files_ahead(ledger, feed, listing)?;
            ahead.iter().try_for_each(|file| ledger.note_seen(&file.counter, file.number))?;
            let mut raised = BTreeSet::new();
            // The highest number of a counter comes first.
            for file in &ahead {
                let given = ledger.counter(&file.counter)?.given.map_or(0, |given| given.number);
                if raised.insert(&file.counter) && file.number > given {
                    let rule = match (&feed.manifest, file.is_manifest) {
                        (Some(manifest), true) => manifest.sequence,
                        (_, _) => feed.sequence,
                    };
                    let label = file.hour.map_or_else(String::new, |hour| rule.reset.label(hour, feed.period.zone()));
                    let reason = format!("{} lies at the partner", file.file);
                    ledger.raise_counter(&file.counter, file.number, &label, &reason, self.now)?;
                }
            }
            if let Some(end) = ahead.iter().filter_map(|file| file.hour).map(|hour| hour.end).max() {
                self.hold_hours(ledger, &feed.id, None, end, &|hour| {
                    let of_hour = ahead.iter().find(|file| file.hour == Some(hour));
                    of_hour.map_or_else(
                        || "a later hour lies at the partner, which this ledger does not know".to_owned(),
                        |file| format!("{} lies at the partner, and this ledger does not know it", file.file),
                    )
                })?;
            }
            self.settle_seen(ledger, (partner, server), &feed.id, listing)?;
            if let Some(file) = ahead.first() {
                // These hours, or these numbers, went to the partner in a time that is forgotten.
                let reason = format!("{} lies at the partner, and this ledger does not know it", file.file);
                for batch in ledger.batches_to_send(&feed.id, u32::MAX >> 1)? {
                    ledger.doubt(&batch, &reason, self.now)?;
                }
            }
        }
        Ok(())
    }

    /// A batch all of whose files lie at the partner with their sizes has arrived.
    fn settle_seen(
        &mut self,
        ledger: &mut Ledger,
        (partner, server): (&PartnerConfig, usize),
        feed: &FeedId,
        listing: &[RemoteEntry],
    ) -> Result<(), RecoverFault> {
        for batch in ledger.batches_to_send(feed, u32::MAX >> 1)? {
            let lies_there = |name: &str, bytes| {
                listing.iter().any(|entry| entry.name == name && entry.bytes.is_none_or(|found| found == bytes))
            };
            let mut files = batch.files.iter().filter(|file| !file.state.is_delivered());
            if files.all(|file| lies_there(file.name.as_str(), file.bytes)) {
                let place = |name: &FileName| partner.final_path(server, name);
                ledger.settle(&batch, &place, Verified::EarlierRename, "seen at the partner", self.now)?;
                self.report.settled += 1;
            }
        }
        Ok(())
    }
}
