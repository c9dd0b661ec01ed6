//! One look into a partner's directory.

use super::compare::{Sights, fact, is_absence, mismatch, needs_proof, stamp};
use super::{LookFault, Server};
use crate::app::config::{PartnerConfig, PickupRule, PickupWay};
use crate::app::delivery::DeliveryContext;
use crate::deliver::sight::list_proven;
use crate::domain::ids::{FeedId, FileName};
use crate::domain::pickup::{PickupFact, PickupState};
use crate::domain::time::UtcTime;
use crate::ledger::pickup::{PickupChange, TrackedBatch, TrackedFile};
use crate::remote::{Remote, RemotePath};
use std::collections::{BTreeMap, BTreeSet};

/// Batches that are compared and recorded at once.
const BATCHES_AT_ONCE: u32 = 256;
/// Files whose removal is announced at once.
const REMOVED_AT_ONCE: usize = 64;

/// What a person may have to know after a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Files that were not taken in time.
    pub overdue: u64,
    /// The one of them that was delivered first.
    pub oldest: Option<(UtcTime, String)>,
    /// Files that are not ours.
    pub foreign: Vec<String>,
    /// Paths of files that wait where the configuration does not lead any more.
    pub elsewhere: Vec<String>,
    /// Files that were missed and are there again.
    pub back: Vec<String>,
    /// Manifests and files that were not taken together.
    pub mismatches: Vec<String>,
    /// Files whose time is over and that are not as we left them.
    pub changed: Vec<String>,
    /// The directory that the partner moves files to cannot be listed.
    pub no_moved: Option<String>,
}

/// Files that we are about to remove.
struct Removal {
    batch: i64,
    feed: FeedId,
    file: TrackedFile,
}

/// Looks, records what became known, removes what is to be removed, and reports.
pub(super) fn look(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    rule: &PickupRule,
    (server, address): Server<'_>,
    session: &mut dyn Remote,
) -> Result<Report, LookFault> {
    let mut look = Look {
        context,
        partner,
        rule,
        session,
        server,
        directory: &address.directory,
        now: context.clock.now(),
        sights: Sights::default(),
        is_proven: false,
        unknown: BTreeSet::new(),
        removals: Vec::new(),
        report: Report::default(),
    };
    look.list()?;
    for feed in partner.feeds.iter().filter(|feed| !feed.shadow) {
        look.compare_feed(&feed.id)?;
    }
    look.judge_unknown()?;
    look.remove_old()?;
    let mut ledger = context.ledger.lock();
    for feed in partner.feeds.iter().filter(|feed| !feed.shadow) {
        ledger.retire_picked_up(&feed.id, partner.answers.is_some(), look.now)?;
    }
    ledger.record_look(&partner.id, look.now)?;
    drop(ledger);
    Ok(look.report)
}

struct Look<'l> {
    context: &'l DeliveryContext,
    partner: &'l PartnerConfig,
    rule: &'l PickupRule,
    session: &'l mut dyn Remote,
    /// Which of the partner's servers.
    server: usize,
    directory: &'l RemotePath,
    now: UtcTime,
    sights: Sights,
    /// A file of ours that was put there showed in the listing.
    is_proven: bool,
    /// Names that no file explains so far.
    unknown: BTreeSet<String>,
    removals: Vec<Removal>,
    report: Report,
}

impl Look<'_> {
    fn list(&mut self) -> Result<(), LookFault> {
        let listed = self.session.list(self.directory);
        let entries = listed.map_err(|fault| LookFault::Closed { directory: self.directory.clone(), fault })?;
        self.sights.set_here(entries);
        self.unknown = self.sights.here.keys().cloned().collect();
        if let PickupWay::Moved(directory) = &self.rule.by {
            match self.session.list(directory) {
                Ok(entries) => self.sights.moved = entries.into_iter().map(|entry| entry.name).collect(),
                Err(fault) if fault.outcome == crate::remote::Outcome::NotDone => {
                    self.report.no_moved = Some(format!("{directory}: {fault}"));
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }

    fn compare_feed(&mut self, feed: &FeedId) -> Result<(), LookFault> {
        let mut after = 0;
        loop {
            let batches = self.context.ledger.lock().tracked_batches(feed, after, BATCHES_AT_ONCE)?;
            let Some(last) = batches.last() else { return Ok(()) };
            after = last.row;
            self.prove_absences(&batches)?;
            let (mut changes, mut ended) = (Vec::new(), Vec::new());
            for batch in &batches {
                let facts = self.facts(batch);
                self.report.mismatches.extend(mismatch(batch, &facts));
                if batch.files.iter().all(|file| file.delivered_at.is_none() || !file.is_outstanding()) {
                    ended.push(batch.row);
                }
                for file in &batch.files {
                    self.note(batch, file, facts.get(&file.row));
                }
                changes.extend(batch.files.iter().filter_map(|file| {
                    let fact = facts.get(&file.row)?.clone();
                    Some(PickupChange { batch: batch.row, feed: feed.clone(), file: file.clone(), fact })
                }));
            }
            self.context.ledger.lock().record_seen(&self.partner.id, &changes, &ended, self.now)?;
            for change in changes.iter().filter(|change| is_absence(&change.fact)) {
                tracing::info!(partner = %self.partner.id, file = %change.file.name, "file {}", change.fact.name());
            }
        }
    }

    fn facts(&self, batch: &TrackedBatch) -> BTreeMap<i64, PickupFact> {
        let files = batch.files.iter().filter(|file| self.is_here(file));
        let found = files.map(|file| (file.row, fact(file, &self.sights, &self.rule.by)));
        found.filter_map(|(row, fact)| Some((row, fact?))).collect()
    }

    /// True for a file that was delivered into this directory, or nowhere yet.
    fn is_here(&self, file: &TrackedFile) -> bool {
        let drop = |place: &String| self.partner.drop_of(place, &file.name);
        file.shown_as.as_ref().is_none_or(|place| drop(place) == Some(self.server))
    }

    /// Counts a file that waits where nobody looks any more; the first server's look tells it.
    fn note_elsewhere(&mut self, file: &TrackedFile) {
        let Some(place) = file.shown_as.as_ref().filter(|_| self.server == 0 && file.is_outstanding()) else { return };
        if file.delivered_at.is_some() && self.partner.drop_of(place, &file.name).is_none() {
            self.report.elsewhere.push(place.clone());
        }
    }

    /// Lists again when something is missing: this time with a file that must show.
    fn prove_absences(&mut self, batches: &[TrackedBatch]) -> Result<(), LookFault> {
        if self.is_proven {
            return Ok(());
        }
        let absent = |file: &&TrackedFile| {
            self.is_here(file) && fact(file, &self.sights, &self.rule.by).as_ref().is_some_and(needs_proof)
        };
        let Some(missing) = batches.iter().flat_map(|batch| &batch.files).find(absent) else { return Ok(()) };
        let probe = self.context.mark.probe_path(self.directory, &missing.name);
        let Some(entries) = list_proven(self.session, &probe)? else {
            return Err(LookFault::Blind { directory: self.directory.clone() });
        };
        self.sights.set_here(entries);
        self.is_proven = true;
        self.unknown.retain(|name| self.sights.here.contains_key(name));
        Ok(())
    }

    /// What the report and the removal want to know of a file.
    fn note(&mut self, batch: &TrackedBatch, file: &TrackedFile, fact: Option<&PickupFact>) {
        if !self.is_here(file) {
            self.note_elsewhere(file);
            return;
        }
        self.unknown.remove(file.name.as_str());
        if let Some(renamed) = self.rule.by.renamed(file.name.as_str()) {
            self.unknown.remove(&renamed);
        }
        let waits = file.is_outstanding() && matches!(fact, None | Some(PickupFact::Seen(_)));
        let Some(delivered_at) = file.delivered_at.filter(|_| waits) else { return };
        let is_over = |length| delivered_at.after(length) < self.now;
        if self.rule.within.is_some_and(is_over) {
            self.report.overdue += 1;
            if self.report.oldest.as_ref().is_none_or(|(oldest, _)| delivered_at < *oldest) {
                self.report.oldest = Some((delivered_at, file.name.to_string()));
            }
        }
        // What this look shows first is compared with what it was then at the next one.
        if fact.is_none() && self.rule.remove_after.is_some_and(is_over) {
            let (feed, file) = (batch.id.feed.clone(), file.clone());
            self.removals.push(Removal { batch: batch.row, feed, file });
        }
    }

    /// Names that no file explains that is expected to be there: foreign ones, and files that were taken before.
    fn judge_unknown(&mut self) -> Result<(), LookFault> {
        let mut back = Vec::new();
        for name in std::mem::take(&mut self.unknown) {
            let answers = self.partner.answers.as_ref().map(|answers| &answers.pattern);
            let mut patterns = self.rule.ignore.iter().chain(answers);
            if self.context.mark.is_temporary(&name) || patterns.any(|pattern| pattern.matches(&name)) {
                continue;
            }
            let known = self.context.ledger.lock().tracked_by_name(&name)?;
            if known.is_empty() && !self.is_renamed(&name)? {
                self.report.foreign.push(name);
                continue;
            }
            for (feed, batch, file) in known {
                if feed.partner != self.partner.id || file.pickup.first_missed.is_none() {
                    continue;
                }
                self.report.back.push(name.clone());
                if file.pickup.state != PickupState::Back {
                    let entry = self.sights.here.get(&name);
                    let fact = PickupFact::Seen(entry.map(stamp).unwrap_or_default());
                    back.push(PickupChange { batch, feed, file, fact });
                }
            }
        }
        self.context.ledger.lock().record_seen(&self.partner.id, &back, &[], self.now)?;
        Ok(())
    }

    /// True for the name that the partner gives a file of ours.
    fn is_renamed(&self, name: &str) -> Result<bool, LookFault> {
        let PickupWay::Renamed { before, after } = &self.rule.by else { return Ok(false) };
        let ours = name.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
        let Some(ours) = ours.filter(|ours| FileName::parse(ours).is_ok()) else { return Ok(false) };
        Ok(!self.context.ledger.lock().tracked_by_name(ours)?.is_empty())
    }

    /// Removes files that the partner keeps and whose time is over, when they are as we left them.
    fn remove_old(&mut self) -> Result<(), LookFault> {
        let mut unchanged = Vec::new();
        for removal in std::mem::take(&mut self.removals) {
            if self.is_unchanged(&removal.file)? {
                unchanged.push(removal);
            } else {
                self.report.changed.push(removal.file.name.to_string());
            }
        }
        for removals in unchanged.chunks(REMOVED_AT_ONCE) {
            let intents: Vec<PickupChange> =
                removals.iter().map(|removal| change(removal, &removal.file, PickupFact::RemovalIntended)).collect();
            self.context.ledger.lock().record_seen(&self.partner.id, &intents, &[], self.now)?;
            for removal in removals {
                // When the reply is lost, the next look shows what became of it.
                self.session.remove(&self.directory.join(&removal.file.name))?;
                let mut file = removal.file.clone();
                file.pickup.state = PickupState::Removing;
                let done = [change(removal, &file, PickupFact::Vanished)];
                self.context.ledger.lock().record_seen(&self.partner.id, &done, &[], self.now)?;
                tracing::info!(partner = %self.partner.id, file = %file.name, "file removed: its time at the partner is over");
            }
        }
        Ok(())
    }

    fn is_unchanged(&mut self, file: &TrackedFile) -> Result<bool, LookFault> {
        let Some(entry) = self.sights.here.get(file.name.as_str()) else { return Ok(false) };
        let is_same = file.pickup.first_seen.is_some() && stamp(entry).agrees_with(&file.pickup.stamp);
        let bytes = match entry.bytes {
            Some(bytes) => Some(bytes),
            None => self.session.size(&self.directory.join(&file.name))?,
        };
        Ok(is_same && bytes == Some(file.bytes))
    }
}

fn change(removal: &Removal, file: &TrackedFile, fact: PickupFact) -> PickupChange {
    PickupChange { batch: removal.batch, feed: removal.feed.clone(), file: file.clone(), fact }
}
