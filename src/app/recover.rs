//! Building the ledger again: from what is left of it, the archive's log, the archive itself and the spool.
//!
//! ```text
//! old ledger, when it is whole  ->  rows of the archive's log behind it  ->  files of the archive that neither knows
//!   ->  the spool behind that, or what is missing of it  ->  numbers seen at partners  ->  a new ledger in its place
//! ```
//! The log names every file before it has its place and every rename before it is sent, so what it says not to have been
//! sent was not sent, and what may have been is looked at as after any crash. Only where the log itself has a gap do
//! files come into doubt; these wait for a person. Nothing is deleted: the old ledger stays beside the new one.

mod damage;
mod files;
mod identity;
mod journal;
mod partners;

use super::beside::BesideFault;
use super::config::Config;
use super::exporter::World;
use super::fault::ExporterFault;
use super::shared_ledger::SharedLedger;
use super::store::{self, StoreFault};
use crate::archive::log::{ArchiveLog, Entry, LogFault, Tail, log_files, read_all};
use crate::archive::{Archive, ArchiveFault};
use crate::disk::{Disk, SyncPoint};
use crate::domain::delivery::{FileState, HeldReason, Verified};
use crate::domain::ids::{FeedId, FileName, Lsn};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::ledger::{Fact, Ledger, LedgerFault};
use crate::spool::survey::Damage;
use crate::spool::{SpoolFault, StoreId};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is to be done.
#[derive(Debug, Clone, Default)]
pub struct RecoverOrders {
    /// Why; kept in the history.
    pub reason: String,
    /// Look only.
    pub dry_run: bool,
    /// Look into the partners' directories for higher numbers.
    pub ask_partners: bool,
    /// The archive is an older copy of itself: what it does not show as delivered is in doubt.
    pub from_backup: bool,
    /// Files in doubt of batches sealed before this time are settled as delivered.
    pub delivered_before: Option<UtcTime>,
}

/// Why a ledger cannot be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RecoverFault {
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    /// The archive's log.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveFault),
    /// What lies beside the state directory.
    #[error(transparent)]
    Beside(#[from] BesideFault),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolFault),
    /// There is nothing to build from.
    #[error(
        "there is neither a ledger, nor a journal, nor an archive log, nor a file of a configured feed in the archive"
    )]
    Nothing,
    /// The parts are of different stores.
    #[error("the parts do not belong together: {0}")]
    Mixed(String),
    /// The archive's log ends before the journal begins.
    #[error(
        "the archive's log knows the spool up to lsn {known}, the journal begins with lsn {first}: the archive is older than the journal"
    )]
    ArchiveTooOld {
        /// What the log knows.
        known: Lsn,
        /// Where the journal begins.
        first: Lsn,
    },
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl From<ExporterFault> for RecoverFault {
    fn from(fault: ExporterFault) -> Self {
        Self::Other(fault.to_string())
    }
}

/// What was rebuilt, and from what.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Identity of the store.
    pub store: String,
    /// Where it was found.
    pub identity_from: &'static str,
    /// What the old ledger was good for.
    pub old_ledger: String,
    /// Lines of the archive's log that were taken over.
    pub log_lines: u64,
    /// Number of its last line.
    pub log_number: u64,
    /// What of it is damaged.
    pub log_damage: Vec<String>,
    /// Batches, files, finished inputs and quarantine entries in the new ledger.
    pub counts: [u64; 4],
    /// Counters: name, number in the old ledger, number now.
    pub counters: Vec<(String, Option<u64>, u64)>,
    /// Files of the archive whose size (and hash, where they wait to be delivered) was compared.
    pub files_checked: u64,
    /// Files that should lie in the archive and do not, or differ.
    pub files_wrong: Vec<String>,
    /// Files of the archive that no ledger and no log knew.
    pub files_unknown: Vec<String>,
    /// Damaged places of the journal.
    pub damaged: Vec<Damage>,
    /// Bytes at the end of the journal that are no whole frame, when nobody knows whether they were acknowledged.
    pub torn_bytes: u64,
    /// Frames that are accounted for and not in the journal: first and last.
    pub lost: Option<(Lsn, Lsn)>,
    /// Hours of which accepted records may be lost with them, and how many at most.
    pub lost_hours: Vec<(FeedId, Partition, u64)>,
    /// Hours that wait for a person, and why.
    pub held: Vec<(FeedId, Partition, String)>,
    /// Batches that were settled as delivered.
    pub settled: u64,
    /// Partners that could not be asked, and why.
    pub not_asked: Vec<String>,
    /// Files that were moved aside.
    pub aside: Vec<PathBuf>,
}

/// What a recovery works with.
struct Recovery<'a> {
    config: &'a Config,
    world: &'a World,
    orders: &'a RecoverOrders,
    now: UtcTime,
    id: StoreId,
    archive: Archive,
    report: Recovered,
    /// Nobody knows what was delivered since the log.
    doubts: bool,
    /// Lines of the log are damaged that the old ledger did not know.
    has_gap: bool,
    /// The log has to begin anew.
    rewrite_log: bool,
    /// No frame behind it was acknowledged: the old ledger is whole, and the log knows no more than it. `None`: nobody
    /// knows.
    acknowledged: Option<Lsn>,
    /// The number behind the last frame of the journal.
    journal_end: Lsn,
}

/// Builds the ledger again.
///
/// # Errors
/// [`RecoverFault`]; the old state is as it was then.
pub fn recover(config: &Config, world: &World, orders: &RecoverOrders) -> Result<Recovered, RecoverFault> {
    let disk = &world.disk;
    disk.create_dir_all(&config.state, SyncPoint::StateFile).map_err(store::disk_fault("create", &config.state))?;
    let _lock = store::lock(&config.state)?;
    let found = identity::find(disk.as_ref(), config)?;
    let mut recovery = Recovery {
        config,
        world,
        orders,
        now: world.clock.now(),
        id: found.id,
        archive: Archive::new(Arc::clone(disk), config.archive.clone()),
        report: Recovered {
            dry_run: orders.dry_run,
            store: found.id.to_string(),
            identity_from: found.from,
            ..Recovered::default()
        },
        doubts: orders.from_backup,
        has_gap: false,
        rewrite_log: false,
        acknowledged: None,
        journal_end: Lsn(1),
    };
    let staged = config.state.join("ledger.recovering");
    recovery.remove_staged(&staged)?;
    let done = recovery.build(&staged);
    if orders.dry_run || done.is_err() {
        recovery.remove_staged(&staged)?;
        done?;
        return Ok(recovery.report);
    }
    recovery.replace(&staged, found.rewrite)?;
    Ok(recovery.report)
}

impl Recovery<'_> {
    fn disk(&self) -> &dyn Disk {
        self.world.disk.as_ref()
    }

    fn remove_staged(&self, staged: &Path) -> Result<(), RecoverFault> {
        for ending in ["", "-wal", "-shm"] {
            store::remove_if_there(self.disk(), &with_ending(staged, ending))?;
        }
        Ok(())
    }

    /// Makes the new ledger under another name.
    fn build(&mut self, staged: &Path) -> Result<(), RecoverFault> {
        let mut ledger = self.begin(staged)?;
        for definition in self.config.feeds() {
            super::feeds::ensure_stored(&mut ledger, definition, self.now)?;
        }
        if self.has_gap {
            self.mend(&mut ledger)?;
        }
        self.check_files(&ledger)?;
        self.repair_journal(&mut ledger)?;
        self.adopt_unknown(&mut ledger)?;
        if self.orders.ask_partners {
            self.ask_partners(&mut ledger)?;
        }
        self.doubt_and_settle(&mut ledger)?;
        let detail = format!("{} (from {}, {})", self.orders.reason, self.report.old_ledger, self.log_text());
        ledger.note_fact(Fact { at: self.now, kind: "recovered", subject: "ledger", detail: &detail })?;
        self.finish_report(&ledger)?;
        if self.orders.dry_run {
            return Ok(());
        }
        if self.rewrite_log {
            self.move_log_aside()?;
            ledger.touch_everything()?;
        }
        let tail = if self.rewrite_log { Tail::default() } else { Tail::read(self.disk(), &self.config.archive, 0)? };
        let number = ledger.log_number()?;
        let (disk, store) = (Arc::clone(&self.world.disk), self.id.to_string());
        let log = ArchiveLog::open(disk, &self.config.archive, store, &tail, number)?;
        let shared = SharedLedger::new(ledger, log);
        shared.tell(self.now)?;
        // The next transaction notes what was told.
        let applied = shared.lock().applied()?;
        shared.lock().set_applied(applied)?;
        // It gets its final name without SQLite's log.
        if shared.lock().gather()? {
            Ok(())
        } else {
            Err(LedgerFault::Row("a reader keeps the new ledger".to_owned()).into())
        }
    }

    /// What is left of the old ledger, and the rows of the log behind it.
    fn begin(&mut self, staged: &Path) -> Result<Ledger, RecoverFault> {
        let mut facts = LogFacts::default();
        let damage = read_all::<RecoverFault>(self.disk(), &self.config.archive, &mut |entry| {
            facts.see(&entry);
            Ok(())
        })?;
        self.report.log_damage = damage.iter().map(ToString::to_string).collect();
        self.report.log_number = facts.last;
        let old = self.old_ledger(facts.begins)?;
        let path = self.config.ledger_path();
        match &old {
            Ok(ledger) => {
                ledger.copy_to(staged)?;
                let number = ledger.log_number()?;
                self.report.old_ledger = format!("the old ledger, which knows entry {number} of the archive's log");
                self.report.counters = ledger.counters()?.into_iter().map(|(name, n)| (name, Some(n), n)).collect();
                self.rewrite_log = number > facts.last;
                self.acknowledged = if number >= facts.last { Some(ledger.applied()?) } else { None };
            }
            Err(why) => {
                Ledger::create(staged, &self.id.to_string())?;
                self.report.old_ledger = format!("no old ledger: {why}");
                self.rewrite_log = facts.last == 0;
            }
        }
        let mut ledger = Ledger::open(Arc::clone(&self.world.disk), staged)?;
        let known = ledger.log_number()?;
        if !damage.is_empty() {
            self.rewrite_log = true;
            // A ledger that knew the last line needs none of the others.
            self.has_gap = known < facts.last;
            self.doubts |= self.has_gap;
        }
        let (mut rows, mut number, mut lines): (Vec<Value>, u64, u64) = (Vec::new(), known, 0);
        let from = known.max(facts.begins.saturating_sub(1));
        read_all::<RecoverFault>(self.disk(), &self.config.archive, &mut |entry| {
            if entry.number > from {
                lines += 1;
                number = entry.number;
                rows.extend(entry.rows);
            }
            if rows.len() > 20_000 {
                ledger.restore(&rows, number)?;
                rows.clear();
            }
            Ok(())
        })?;
        if number > known {
            ledger.restore(&rows, number)?;
        }
        self.report.log_lines = lines;
        tracing::debug!(path = %path.display(), lines, "the archive's log was read");
        Ok(ledger)
    }

    /// The old ledger when it is whole, of this store and not older than the beginning of the log; else why not.
    fn old_ledger(&self, log_begins: u64) -> Result<Result<Ledger, String>, RecoverFault> {
        let path = self.config.ledger_path();
        if self.disk().stat(&path).map_err(store::disk_fault("look at", &path))?.is_none() {
            return Ok(Err("it is missing".to_owned()));
        }
        let opened = if self.orders.dry_run {
            Ledger::open_to_look(self.disk(), &path)
        } else {
            Ledger::open(Arc::clone(&self.world.disk), &path)
        };
        let opened = opened.and_then(|ledger| {
            ledger.require_undamaged()?;
            Ok((ledger.store_id()?, ledger.log_number()?, ledger))
        });
        Ok(match opened {
            Err(fault) => Err(fault.to_string()),
            Ok((store, ..)) if store != self.id.to_string() => Err(format!("it is of store {store}")),
            Ok((_, number, _)) if number + 1 < log_begins => Err("the archive's log began anew after it".to_owned()),
            Ok((_, _, ledger)) => Ok(ledger),
        })
    }

    /// What a gap in the log leaves half known is forgotten, to be found again in the archive.
    fn mend(&self, ledger: &mut Ledger) -> Result<(), RecoverFault> {
        ledger.mend()?;
        for plan in ledger.unfinished_plans()? {
            let mut names = plan.parts.iter().chain(&plan.manifest).map(|file| &file.name);
            let place = |name| self.archive.full_path(&Archive::path_of(&plan.id.feed, plan.id.partition, name));
            if names.any(|name| self.disk().stat(&place(name)).ok().flatten().is_some()) {
                ledger.forget_batch(&plan.id)?;
            }
        }
        Ok(())
    }

    fn log_text(&self) -> String {
        format!("{} lines of the archive's log up to {}", self.report.log_lines, self.report.log_number)
    }

    /// Batches that nobody can be sure about wait for a person, unless they are said to have arrived.
    fn doubt_and_settle(&mut self, ledger: &mut Ledger) -> Result<(), RecoverFault> {
        for partner in &self.config.partners {
            for feed in partner.feeds.iter().filter(|feed| !feed.shadow) {
                for batch in ledger.batches_to_send(&feed.id, u32::MAX >> 1)? {
                    let old = self.orders.delivered_before.is_some_and(|before| batch.id.partition.end_time() < before);
                    let in_doubt = self.doubts || batch.files.iter().any(|file| is_in_doubt(&file.state));
                    if old && in_doubt {
                        let place = |name: &FileName| partner.address.directory.join(name).to_shared();
                        ledger.settle(&batch, &place, Verified::Person, &self.orders.reason, self.now)?;
                        self.report.settled += 1;
                    } else if self.doubts {
                        let reason = "the archive's log may lack what was delivered";
                        ledger.doubt(&batch, reason, self.now)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish_report(&mut self, ledger: &Ledger) -> Result<(), RecoverFault> {
        let mut counts = [0; 4];
        for (count, table) in counts.iter_mut().zip(["batch", "file", "input", "quarantine"]) {
            *count = ledger.count_of(table)?;
        }
        self.report.counts = counts;
        let before = std::mem::take(&mut self.report.counters);
        let known = |name: &str| before.iter().find(|(known, ..)| known == name).and_then(|(_, number, _)| *number);
        self.report.counters =
            ledger.counters()?.into_iter().map(|(name, number)| (name.clone(), known(&name), number)).collect();
        self.report.held = ledger.held()?;
        Ok(())
    }

    /// Puts the new ledger in the place of the old one, which stays beside it.
    fn replace(&mut self, staged: &Path, write_identity: bool) -> Result<(), RecoverFault> {
        let (state, ledger) = (&self.config.state, self.config.ledger_path());
        let suffix = self.suffix();
        for ending in ["-wal", "-shm", ""] {
            let old = with_ending(&ledger, ending);
            let aside = with_ending(&with_ending(&ledger, &suffix), ending);
            self.move_aside(&old, &aside)?;
        }
        if write_identity {
            let old = state.join("STORE_ID");
            self.move_aside(&old, &with_ending(&old, &suffix))?;
            store::write_identity(self.world.disk.as_ref(), state, self.id)?;
        }
        let disk = &self.world.disk;
        // The sign of a clean stop was the old ledger's.
        store::remove_if_there(disk.as_ref(), &state.join("ledger.sum"))?;
        disk.publish(staged, &ledger, SyncPoint::StateFile).map_err(store::disk_fault("publish", &ledger))?;
        Ok(())
    }

    fn move_aside(&mut self, path: &Path, aside: &Path) -> Result<(), RecoverFault> {
        if self.disk().stat(path).map_err(store::disk_fault("look at", path))?.is_some() {
            self.disk().rename(path, aside).map_err(store::disk_fault("move aside", path))?;
            self.report.aside.push(aside.to_owned());
        }
        Ok(())
    }

    fn move_log_aside(&mut self) -> Result<(), RecoverFault> {
        let suffix = self.suffix();
        for path in log_files(self.disk(), &self.config.archive)? {
            self.move_aside(&path, &with_ending(&path, &suffix))?;
        }
        Ok(())
    }

    fn suffix(&self) -> String {
        let at = chrono::DateTime::from_timestamp(self.now.seconds(), 0).unwrap_or_default();
        format!(".before-recover-{}", at.format("%Y%m%dT%H%M%SZ"))
    }
}

/// What a first reading of the log tells.
#[derive(Default)]
struct LogFacts {
    /// Number of the line with which it began anew.
    begins: u64,
    last: u64,
}

impl LogFacts {
    fn see(&mut self, entry: &Entry) {
        if entry.header.as_ref().is_some_and(|header| header.whole) {
            self.begins = entry.number;
        }
        self.last = entry.number;
    }
}

const fn is_in_doubt(state: &FileState) -> bool {
    matches!(state, FileState::Held { reason: HeldReason::InDoubt, .. })
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
