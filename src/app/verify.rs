//! Proves again what is kept: archive, manifests, ledger and journal against each other. Reads only, and works beside a
//! running instance.
//!
//! - Every archived file has the length and the hash that the ledger states, and every file in the archive is one that
//!   the ledger knows.
//! - Every manifest is rendered again from the ledger: the same bytes mean that it lists exactly the files of its
//!   batch with their sizes, hashes, counts and totals.
//! - The ledger passes its own checks, see [`crate::ledger::proof`].
//! - Every frame of the journal passes its checksum, as far as the ledger knows them.

mod archived;
mod in_force;
mod manifests;

use super::config::Config;
use super::store::stored_id;
use crate::archive::Archive;
use crate::disk::Disk;
use crate::domain::ids::FeedId;
use crate::domain::time::UtcTime;
use crate::ledger::{Ledger, LedgerFault};
use crate::spool::survey::{Known, survey};
use std::sync::Arc;

/// What is to be proved.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The files of this feed only; `None`: everything, ledger and journal too, and that the archive holds nothing else.
    pub feed: Option<FeedId>,
    /// The files of the hour that holds this time only.
    pub hour: Option<UtcTime>,
}

/// What was proved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Archived files whose bytes were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose time in the archive is over.
    pub expired: u64,
    /// Manifests that were rendered again.
    pub manifests: u64,
    /// Manifests of which only the hash was compared: another version of the encoder made them.
    pub manifests_of_others: u64,
    /// Facts in the history.
    pub facts: u64,
    /// Frames in the journal.
    pub frames: u64,
    /// What is not as it should be.
    pub differences: Vec<Difference>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `archive`, `manifest`, `ledger` or `journal`.
    pub place: &'static str,
    /// Which file, table or segment.
    pub subject: String,
    /// What is wrong with it.
    pub what: String,
}

impl Verified {
    fn differs(&mut self, place: &'static str, subject: impl Into<String>, what: impl Into<String>) {
        self.differences.push(Difference { place, subject: subject.into(), what: what.into() });
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFault {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    /// The disk refused.
    #[error("cannot read {what}: {source}")]
    Disk {
        /// What.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Proves what is wanted. `told` is given the bytes of archived files read so far, and all that are to be read.
///
/// # Errors
/// [`VerifyFault`] when ledger or disk cannot be read at all. Differences are no error.
pub fn verify(
    disk: &Arc<dyn Disk>,
    config: &Config,
    ledger: &Ledger,
    wanted: &Wanted,
    told: &mut dyn FnMut(u64, u64),
) -> Result<Verified, VerifyFault> {
    let mut found = Verified::default();
    let archive = Archive::new(Arc::clone(disk), config.archive.clone());
    // What lies in the archive was planned before it came there, so it is listed before the ledger is read.
    let everything = wanted.feed.is_none();
    let lying = if everything { archived::files_in(disk.as_ref(), &config.archive)? } else { Vec::new() };
    if everything {
        let damage = ledger.damage()?;
        let sound = damage.is_empty();
        for what in damage {
            found.differs("ledger", "ledger.db", what);
        }
        if !sound {
            // Damaged rows cannot be read, so nothing can be held against them.
            return Ok(found);
        }
        found.facts = ledger.verify_facts()?;
        prove_journal(disk.as_ref(), config, ledger, &mut found)?;
    }
    let feeds = wanted.feed.clone().map_or_else(|| ledger.known_feeds(), |feed| Ok(vec![feed]))?;
    let mut books = Vec::new();
    for feed in &feeds {
        books.push((feed, ledger.file_rows(feed)?));
    }
    if everything {
        archived::strangers(&books, &lying, &mut found);
    }
    archived::prove(&archive, ledger, &books, wanted.hour, told, &mut found)?;
    for (feed, files) in &books {
        manifests::prove(ledger, feed, files, wanted.hour, &mut found)?;
    }
    Ok(found)
}

fn prove_journal(disk: &dyn Disk, config: &Config, ledger: &Ledger, found: &mut Verified) -> Result<(), VerifyFault> {
    let unreadable = |what: &std::path::Path| {
        let what = what.display().to_string();
        move |source| VerifyFault::Disk { what, source }
    };
    let path = config.state.join("STORE_ID");
    let stated = stored_id(disk, &config.state).map_err(unreadable(&path))?;
    let Some(store) = stated.filter(|store| ledger.store_id().is_ok_and(|known| known == store.to_string())) else {
        found.differs("ledger", "STORE_ID", "it is missing, not readable, or that of another store");
        return Ok(());
    };
    let journal = config.state.join("journal");
    let known = Known { freed: ledger.freed()?, durable: ledger.applied()? };
    let look = || survey(disk, &journal, store, known, &mut |_| ());
    // A running instance writes and frees meanwhile: what seems damaged is believed when it is seen twice.
    let seen = match look() {
        Ok(seen) if seen.damage.is_empty() => Ok(seen),
        Ok(first) => look().map(|mut again| {
            again.damage.retain(|damage| first.damage.contains(damage));
            again
        }),
        Err(_) => look(),
    };
    match seen {
        Ok(seen) => {
            found.frames = seen.segments.iter().map(|segment| segment.frames.len() as u64).sum();
            for damage in seen.damage {
                let what = format!("byte {}, lsn {} to {}: {}", damage.offset, damage.first, damage.last, damage.what);
                found.differs("journal", damage.path.display().to_string(), what);
            }
        }
        Err(fault) => found.differs("journal", journal.display().to_string(), fault.to_string()),
    }
    Ok(())
}
