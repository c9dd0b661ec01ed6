//! State and archive belong together: what is looked at before anything is written. A state directory that is empty, of
//! another store or rolled back is never mistaken for a fresh start; nothing would stop it from giving numbers twice.

use super::config::Config;
use crate::archive::log::{ArchiveLog, Entry, LogFault, Tail};
use crate::disk::{Disk, Kind};
use crate::domain::ids::FeedId;
use crate::ledger::{Ledger, LedgerFault};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why state and archive do not fit.
#[derive(Debug, thiserror::Error)]
pub enum BesideFault {
    /// There is no state, and an archive that was written to.
    #[error("the state directory is empty, but the archive {archive} is not: {what}")]
    NotFresh {
        /// The archive.
        archive: PathBuf,
        /// What it holds.
        what: String,
    },
    /// The archive's log is of another store.
    #[error("the archive {archive} belongs to store {found}, the state directory is of store {expected}")]
    Foreign {
        /// The archive.
        archive: PathBuf,
        /// The store that it names.
        found: String,
        /// The store of the state directory.
        expected: String,
    },
    /// The archive's log knows more than the ledger.
    #[error("the state directory was rolled back, such as by restoring a snapshot: {what}")]
    StateRolledBack {
        /// With both numbers.
        what: String,
    },
    /// The ledger knows more than the archive's log.
    #[error(
        "the archive was rolled back or its log is missing: the ledger knows entry {known} of the log in {archive}, which ends with {found}"
    )]
    ArchiveRolledBack {
        /// The archive.
        archive: PathBuf,
        /// Number of the last entry in it.
        found: u64,
        /// Number that the ledger knows.
        known: u64,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    /// The disk refused.
    #[error("archive: cannot look at {path}: {source}")]
    Disk {
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// The archive beside a state directory, and the feeds that write to it.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// The archive directory.
    pub archive: PathBuf,
    /// The feeds.
    pub feeds: Vec<FeedId>,
}

impl Beside {
    /// The archive and the feeds of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { archive: config.archive.clone(), feeds: config.feeds().map(|feed| feed.id.clone()).collect() }
    }

    /// Refuses a fresh start beside an archive that was written to.
    ///
    /// # Errors
    /// [`BesideFault::NotFresh`], or the disk refuses.
    pub fn refuse_fresh(&self, disk: &dyn Disk) -> Result<(), BesideFault> {
        let tail = Tail::read(disk, &self.archive, 0)?;
        let not_fresh = |what| Err(BesideFault::NotFresh { archive: self.archive.clone(), what });
        if let Some(store) = &tail.store {
            let numbers: Vec<String> =
                counters(&tail.entries).into_iter().map(|(counter, number)| format!("{counter} {number}")).collect();
            let given = if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") };
            return not_fresh(format!(
                "its log of store {store} ends with entry {}; the numbers given last are: {given}",
                tail.number
            ));
        }
        for feed in &self.feeds {
            let dir = self.archive.join(feed.partner.as_str()).join(feed.feed.as_str());
            if let Some(file) = newest_file(disk, &dir)? {
                return not_fresh(format!("it holds files of {feed}, such as {}", file.display()));
            }
        }
        Ok(())
    }

    /// Compares ledger and log, and opens the log. To be called before anything is written.
    ///
    /// # Errors
    /// [`BesideFault`].
    pub fn open_log(&self, disk: &Arc<dyn Disk>, ledger: &mut Ledger, store: &str) -> Result<ArchiveLog, BesideFault> {
        let known = ledger.log_number()?;
        let tail = Tail::read(disk.as_ref(), &self.archive, known)?;
        if let Some(found) = tail.store.clone().filter(|found| found != store) {
            return Err(BesideFault::Foreign { archive: self.archive.clone(), found, expected: store.to_owned() });
        }
        if tail.number < known {
            return Err(BesideFault::ArchiveRolledBack { archive: self.archive.clone(), found: tail.number, known });
        }
        if known == 0 && tail.store.is_none() {
            self.refuse_fresh(disk.as_ref())?;
        }
        for row in tail.entries.iter().flat_map(|entry| &entry.rows) {
            if !ledger.holds(row)? {
                return Err(BesideFault::StateRolledBack { what: both_numbers(ledger, &tail, known)? });
            }
        }
        if tail.entries.iter().any(|entry| !entry.rows.is_empty()) {
            // A crash came between the log and the ledger: it holds all of it. The first line of a file alone tells
            // nothing.
            ledger.all_told(tail.number)?;
        }
        let store = store.to_owned();
        Ok(ArchiveLog::open(Arc::clone(disk), &self.archive, store, &tail, known)?)
    }
}

/// The last number of each counter that these lines name.
fn counters(entries: &[Entry]) -> BTreeMap<String, u64> {
    let rows = entries.iter().flat_map(|entry| &entry.rows);
    let counters = rows.filter(|row| row.get("table").and_then(Value::as_str) == Some("counter"));
    counters
        .filter_map(|told| {
            let row = told.get("row")?;
            Some((row.get("name")?.as_str()?.to_owned(), row.get("number")?.as_u64()?))
        })
        .collect()
}

fn both_numbers(ledger: &Ledger, tail: &Tail, known: u64) -> Result<String, LedgerFault> {
    for (counter, logged) in counters(&tail.entries) {
        let given = ledger.counter(&counter)?.given.map(|given| given.number);
        if given != Some(logged) {
            let given = given.map_or_else(|| "none".to_owned(), |number| number.to_string());
            return Ok(format!("the ledger's last number of {counter} is {given}, the archive's log says {logged}"));
        }
    }
    Ok(format!("the ledger knows entry {known} of the archive's log, which ends with {}", tail.number))
}

/// A file of the newest hour below a feed's directory.
fn newest_file(disk: &dyn Disk, dir: &Path) -> Result<Option<PathBuf>, BesideFault> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| BesideFault::Disk { path, source }
    };
    if disk.stat(dir).map_err(fault(dir))?.is_none_or(|stat| stat.kind != Kind::Directory) {
        return Ok(None);
    }
    let entries = disk.list(dir).map_err(fault(dir))?;
    if let Some(file) = entries.iter().rev().find(|entry| entry.stat.kind == Kind::File) {
        return Ok(Some(file.path.clone()));
    }
    for entry in entries.iter().rev() {
        if let Some(found) = newest_file(disk, &entry.path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
