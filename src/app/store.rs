//! The state directory: one instance at a time, one identity, a ledger and a spool that belong together.
//!
//! ```text
//! state/LOCK         held while an instance works; a second one is refused
//! state/STORE_ID     identity, also in the ledger and in every spool segment
//! state/ledger.db    the ledger
//! state/ledger.sum   the ledger is as a clean stop left it; missing while an instance works
//! state/journal/     the spool
//! state/RESERVE      takes up space that is given up when the disk is full
//! state/STOPPED      why the program did not start, or ended by itself
//! ```
//! A missing part is never mistaken for a fresh start: only a directory without any of them is new, and only beside an
//! archive that nobody has written to.

mod clean_stop;

use super::beside::{Beside, BesideFault};
use super::space::make_way;
use crate::archive::log::{ArchiveLog, LogFault};
use crate::disk::{Disk, SyncPoint};
use crate::domain::batch::BatchId;
use crate::ledger::{Ledger, LedgerFault};
use crate::seal::ENCODER_REVISION;
use crate::spool::segment::segment_path;
use crate::spool::{Spool, SpoolFault, SpoolLimits, StoreId};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// Another instance works with it.
    #[error("another hourdrop works with {0}")]
    Locked(PathBuf),
    /// The disk refused.
    #[error("state: cannot {operation} {path}: {source}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A part is missing or belongs to another state directory.
    #[error("state directory {dir}: {what}")]
    Inconsistent {
        /// The directory.
        dir: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// It does not fit the archive.
    #[error(transparent)]
    Beside(#[from] BesideFault),
    /// A plan was made by another version of the encoder.
    #[error("{} {}-{}: planned by encoder {found}, this program has encoder {ENCODER_REVISION} and would write other bytes", batch.feed, batch.partition.start, batch.partition.end)]
    OldPlan {
        /// Which batch.
        batch: BatchId,
        /// Revision of the encoder that planned it.
        found: u32,
    },
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolFault),
}

impl StoreFault {
    /// True when the journal is missing, was rolled back or is another one's.
    #[must_use]
    pub const fn lacks_journal(&self) -> bool {
        matches!(self, Self::Spool(SpoolFault::Missing { .. } | SpoolFault::ForeignStore { .. }))
    }

    /// True when a line of the archive's log cannot be read.
    #[must_use]
    pub const fn log_is_damaged(&self) -> bool {
        matches!(self, Self::Beside(BesideFault::Log(LogFault::Damaged { .. })))
    }
}

/// The state directory, open.
pub struct Store {
    /// Identity.
    pub id: StoreId,
    /// The ledger.
    pub ledger: Ledger,
    /// The spool.
    pub spool: Spool,
    /// The archive's log.
    pub log: ArchiveLog,
    /// The ledger was changed after the last clean stop, although everything in it can be read.
    pub ledger_differs: bool,
    /// Nothing was ever accepted here.
    pub is_fresh: bool,
    /// Keeps the directory locked while it lives.
    pub lock: StateLock,
}

impl Store {
    /// Opens the state directory, or makes a new one where there is nothing. What does not fit together, or cannot be
    /// finished by this program, is refused before anything is written.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path, limits: SpoolLimits, beside: &Beside) -> Result<Self, StoreFault> {
        disk.create_dir_all(dir, SyncPoint::StateFile).map_err(disk_fault("create", dir))?;
        let lock = lock(dir)?;
        make_way(disk.as_ref(), dir)?;
        let id = identity(disk.as_ref(), dir, beside)?;
        let (mut ledger, ledger_differs) = open_ledger(disk, dir, id, beside)?;
        let plans = ledger.unfinished_plans()?;
        if let Some(plan) = plans.into_iter().find(|plan| plan.encoder_revision != ENCODER_REVISION) {
            return Err(StoreFault::OldPlan { batch: plan.id, found: plan.encoder_revision });
        }
        let log = beside.open_log(disk, &mut ledger, &id.to_string())?;
        let applied = ledger.applied()?;
        let spool = Spool::open(Arc::clone(disk), &dir.join("journal"), id, limits, applied)?;
        let freed = ledger.freed()?;
        if freed.0 > 0 && spool.first() > freed {
            let path = segment_path(&dir.join("journal"), freed);
            let what = "segments before those that are there are missing";
            return Err(SpoolFault::Damaged { path, offset: 0, lsn: freed, what }.into());
        }
        let is_fresh = spool.durable().0 == 0;
        Ok(Self { id, ledger, spool, log, ledger_differs, is_fresh, lock })
    }

    /// Leaves the sign of a clean stop in the state directory `dir`, to which nothing is written any more.
    ///
    /// # Errors
    /// [`StoreFault`]; the next start checks the whole ledger then.
    pub fn leave(disk: &dyn Disk, dir: &Path, ledger: &Ledger) -> Result<(), StoreFault> {
        clean_stop::leave(disk, dir, ledger)
    }
}

/// The lock of a state directory. It is given up by name when it is dropped: the file alone would stay locked for as long
/// as a process that was just started still holds what it inherited.
#[derive(Debug)]
pub struct StateLock(File);

impl Drop for StateLock {
    fn drop(&mut self) {
        // The file is closed next, which gives it up as well.
        self.0.unlock().ok();
    }
}

/// Locks a state directory while the lock lives.
///
/// # Errors
/// [`StoreFault::Locked`] when another instance works with it.
pub fn lock(dir: &Path) -> Result<StateLock, StoreFault> {
    let path = dir.join("LOCK");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(disk_fault("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(StateLock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreFault::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(disk_fault("lock", &path)(source)),
    }
}

/// Refuses what another instance works with.
///
/// # Errors
/// [`StoreFault::Locked`]; what else is wrong shows when it is opened.
pub fn refuse_locked(dir: &Path) -> Result<(), StoreFault> {
    match lock(dir) {
        Err(fault @ StoreFault::Locked(_)) => Err(fault),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Refuses to take a state directory without a ledger for one to which nothing was ever accepted.
///
/// # Errors
/// [`StoreFault::Inconsistent`] when it has a journal or SQLite's log, [`BesideFault::NotFresh`] when its archive was
/// written to.
pub fn refuse_lost_ledger(disk: &dyn Disk, dir: &Path, beside: &Beside) -> Result<(), StoreFault> {
    let journal = dir.join("journal");
    let has_journal = disk.stat(&journal).map_err(disk_fault("look at", &journal))?.is_some()
        && !disk.list(&journal).map_err(disk_fault("list", &journal))?.is_empty();
    let log = dir.join("ledger.db-wal");
    let has_log = disk.stat(&log).map_err(disk_fault("look at", &log))?.is_some_and(|log| log.bytes > 0);
    if let Some(part) = has_journal.then_some("a journal").or(has_log.then_some("a ledger.db-wal")) {
        let what = format!("the ledger is missing although there is {part}");
        return Err(StoreFault::Inconsistent { dir: dir.to_owned(), what });
    }
    Ok(beside.refuse_fresh(disk)?)
}

/// The identity of an existing state directory.
///
/// # Errors
/// [`StoreFault`] when it cannot be read.
pub fn read_identity(disk: &dyn Disk, dir: &Path) -> Result<StoreId, StoreFault> {
    let path = dir.join("STORE_ID");
    let mut text = String::new();
    let mut file = disk.open_read(&path).map_err(disk_fault("open", &path))?;
    file.read_to_string(&mut text).map_err(disk_fault("read", &path))?;
    let what = "STORE_ID is not readable".to_owned();
    parse_id(text.trim()).ok_or_else(|| StoreFault::Inconsistent { dir: dir.to_owned(), what })
}

fn identity(disk: &dyn Disk, dir: &Path, beside: &Beside) -> Result<StoreId, StoreFault> {
    let path = dir.join("STORE_ID");
    let inconsistent = |what: &str| StoreFault::Inconsistent { dir: dir.to_owned(), what: what.to_owned() };
    if disk.stat(&path).map_err(disk_fault("look at", &path))?.is_some() {
        return read_identity(disk, dir);
    }
    for part in ["ledger.db", "journal"] {
        let found = dir.join(part);
        if disk.stat(&found).map_err(disk_fault("look at", &found))?.is_some() {
            return Err(inconsistent(&format!("STORE_ID is missing although there is a {part}")));
        }
    }
    beside.refuse_fresh(disk)?;
    let id = StoreId(std::array::from_fn(|_| fastrand::u8(..)));
    write_identity(disk, dir, id)?;
    Ok(id)
}

/// The identity that `STORE_ID` in the state directory `dir` states; `None` when it is missing or not readable.
pub(super) fn stored_id(disk: &dyn Disk, dir: &Path) -> io::Result<Option<StoreId>> {
    let path = dir.join("STORE_ID");
    if disk.stat(&path)?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    disk.open_read(&path)?.read_to_end(&mut bytes)?;
    Ok(std::str::from_utf8(&bytes).ok().and_then(|text| parse_id(text.trim())))
}

/// Writes the identity of a state directory that has none.
pub(super) fn write_identity(disk: &dyn Disk, dir: &Path, id: StoreId) -> Result<(), StoreFault> {
    publish(disk, &dir.join("STORE_ID"), format!("{id}\n").as_bytes())
}

/// Reads 32 hexadecimal digits.
pub(super) fn parse_id(text: &str) -> Option<StoreId> {
    let mut id = [0; 16];
    if text.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(StoreId(id))
}

/// Writes a file of the state directory, which is there whole or not at all, and under a name that nothing has.
pub(super) fn publish(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StoreFault> {
    publish_as(disk, &path.with_extension("new"), path, bytes)
}

fn publish_as(disk: &dyn Disk, staged: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreFault> {
    remove_if_there(disk, staged)?;
    let mut file = disk.create_new(staged).map_err(disk_fault("create", staged))?;
    file.write_all(bytes).map_err(disk_fault("write", staged))?;
    file.sync(SyncPoint::StateFile).map_err(disk_fault("sync", staged))?;
    disk.publish(staged, path, SyncPoint::StateFile).map_err(disk_fault("publish", path))
}

pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), StoreFault> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(disk_fault("remove", path)),
    }
}

/// Opens the ledger, or makes it in a new directory. True beside it when it is not as the last clean stop left it.
fn open_ledger(disk: &Arc<dyn Disk>, dir: &Path, id: StoreId, beside: &Beside) -> Result<(Ledger, bool), StoreFault> {
    let path = dir.join("ledger.db");
    let inconsistent = |what: String| StoreFault::Inconsistent { dir: dir.to_owned(), what };
    let is_new = disk.stat(&path).map_err(disk_fault("look at", &path))?.is_none();
    if is_new {
        refuse_lost_ledger(disk.as_ref(), dir, beside)?;
        // A start that died may have left the name STORE_ID without making it durable: a ledger without it is refused.
        disk.sync_dir(dir, SyncPoint::StateFile).map_err(disk_fault("sync", dir))?;
        // Made under another name, so that a crash leaves either no ledger or a whole one.
        let staged = dir.join("ledger.new");
        for file in ["ledger.new", "ledger.new-wal", "ledger.new-shm"] {
            remove_if_there(disk.as_ref(), &dir.join(file))?;
        }
        Ledger::create(&staged, &id.to_string())?;
        disk.publish(&staged, &path, SyncPoint::StateFile).map_err(disk_fault("publish", &path))?;
    }
    let stopped = clean_stop::look(disk.as_ref(), dir)?;
    let ledger = Ledger::open(Arc::clone(disk), &path)?;
    if stopped != clean_stop::Found::AsLeft && !is_new {
        ledger.require_undamaged()?;
    }
    let found = ledger.store_id()?;
    if found == id.to_string() {
        clean_stop::begin(disk.as_ref(), dir)?;
        Ok((ledger, stopped == clean_stop::Found::Changed))
    } else {
        Err(inconsistent(format!("the ledger belongs to store {found}, STORE_ID says {id}")))
    }
}

pub(super) fn disk_fault(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreFault + use<> {
    let path = path.to_owned();
    move |source| StoreFault::Disk { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn open(dir: &Path) -> Result<Store, StoreFault> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Store::open(&disk, dir, SpoolLimits::default(), &Beside { archive: dir.join("archive"), feeds: Vec::new() })
    }

    #[test]
    fn a_second_instance_is_refused() {
        let dir = tempfile::tempdir().expect("directory");
        let first = open(dir.path()).expect("first");
        assert!(matches!(open(dir.path()), Err(StoreFault::Locked(_))));
        drop(first);
        assert!(open(dir.path()).is_ok());
    }

    #[test]
    fn a_missing_part_is_never_a_fresh_start() {
        for missing in ["STORE_ID", "ledger.db"] {
            let dir = tempfile::tempdir().expect("directory");
            {
                let mut store = open(dir.path()).expect("store");
                store.spool.append(1, b"x").expect("append");
                store.spool.sync().expect("sync");
            }
            RealDisk.remove(&dir.path().join(missing)).expect("remove");
            assert!(matches!(open(dir.path()), Err(StoreFault::Inconsistent { .. })), "{missing}");
        }
    }

    #[test]
    fn a_log_without_its_ledger_is_never_a_fresh_start() {
        let dir = tempfile::tempdir().expect("directory");
        let log = RealDisk.create_new(&dir.path().join("ledger.db-wal"));
        log.and_then(|mut log| log.write_all(b"commits")).expect("written");
        assert!(matches!(open(dir.path()), Err(StoreFault::Inconsistent { .. })));
    }

    /// A state directory with a ledger, cleanly left.
    fn left(dir: &Path) {
        let store = open(dir).expect("store");
        assert!(!dir.join("ledger.sum").exists(), "an instance works");
        Store::leave(&RealDisk, dir, &store.ledger).expect("clean stop");
        drop(store);
        assert!(dir.join("ledger.sum").exists() && !dir.join("ledger.db-wal").exists());
    }

    fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::fs::read(path).expect("read");
        change(&mut bytes);
        std::fs::File::create(path).and_then(|mut file| file.write_all(&bytes)).expect("write");
    }

    #[test]
    fn a_ledger_as_it_was_left_is_not_checked_again_and_any_other_is() {
        let dir = tempfile::tempdir().expect("directory");
        left(dir.path());
        assert!(!open(dir.path()).expect("store").ledger_differs, "cleanly left");
        assert!(!open(dir.path()).expect("store").ledger_differs, "never left");
        left(dir.path());
        // The number of the version that wrote the file last: nothing that anybody reads.
        change(&dir.path().join("ledger.db"), |bytes| bytes[99] ^= 1);
        assert!(open(dir.path()).expect("store").ledger_differs);
        left(dir.path());
        let row = |bytes: &[u8]| memchr::memmem::find(bytes, b"applied_lsn0").expect("the row");
        change(&dir.path().join("ledger.db"), |bytes| {
            let at = row(bytes);
            bytes[at + 11] ^= 1;
        });
        let message = open(dir.path()).map(|_| ()).map_err(|fault| fault.to_string()).expect_err("damage");
        assert!(message.contains("ledger.db is damaged: table store, row 'applied_lsn'"), "{message}");
    }

    #[test]
    fn a_damaged_sign_of_a_clean_stop_only_costs_time() {
        let dir = tempfile::tempdir().expect("directory");
        for place in 0..50 {
            left(dir.path());
            change(&dir.path().join("ledger.sum"), |bytes| bytes[place] ^= 4);
            assert!(!open(dir.path()).expect("store").ledger_differs, "byte {place}");
        }
    }

    #[test]
    fn a_ledger_of_another_store_is_refused() {
        let (one, two) = (tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory"));
        drop(open(one.path()).expect("store"));
        drop(open(two.path()).expect("store"));
        std::fs::copy(one.path().join("ledger.db"), two.path().join("ledger.db")).expect("copy");
        assert!(matches!(open(two.path()), Err(StoreFault::Inconsistent { .. })));
    }
}
