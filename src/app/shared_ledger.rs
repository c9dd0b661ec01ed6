//! The ledger, shared between intake and sealing and the partners' threads, and its copy in the archive's log.

use crate::archive::log::{ArchiveLog, LogFault};
use crate::disk::failed_sync;
use crate::domain::time::UtcTime;
use crate::ledger::{Ledger, LedgerFault};
use std::io;
use std::sync::{Mutex, MutexGuard};

/// Rows of one line of the archive's log.
const ROWS_AT_ONCE: u32 = 1000;

/// The ledger, shared with the deliveries.
pub struct SharedLedger {
    ledger: Mutex<Ledger>,
    log: Mutex<ArchiveLog>,
}

impl SharedLedger {
    /// Shares a ledger and the log that gets a copy of it.
    #[must_use]
    pub const fn new(ledger: Ledger, log: ArchiveLog) -> Self {
        Self { ledger: Mutex::new(ledger), log: Mutex::new(log) }
    }

    /// Waits for the ledger. A thread that panicked left no open transaction: SQLite rolled it back.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        match self.ledger.lock() {
            Ok(ledger) => ledger,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Makes everything that the ledger says durable in the archive's log, too. To be called before what cannot be taken
    /// back: a file that gets its place and number, a rename at a partner, spool that is freed.
    ///
    /// # Errors
    /// [`LedgerFault`]; the act must not be done then.
    pub fn tell(&self, at: UtcTime) -> Result<(), LedgerFault> {
        // Nothing changes while it is told: so a log that is ahead after a crash is ahead by what the ledger holds.
        let mut ledger = self.lock();
        let mut log = match self.log.lock() {
            Ok(log) => log,
            Err(poisoned) => poisoned.into_inner(),
        };
        let written = write_untold(&ledger, &mut log, at).and_then(|mark| {
            let number = mark.map(|_| log.sync()).transpose().map_err(refused)?;
            Ok(mark.zip(number))
        });
        match written {
            Ok(Some((mark, number))) => ledger.told(number, mark),
            Ok(None) => {}
            Err(fault) => {
                if fault.is_failed_sync() {
                    ledger.latch();
                } else if let Err(left) = log.take_back() {
                    // Lines of a group without end would be taken for the beginning of the next one.
                    ledger.latch();
                    return Err(refused(left));
                }
                return Err(fault);
            }
        }
        Ok(())
    }

    /// The same, and the ledger notes it at once instead of with its next transaction.
    ///
    /// # Errors
    /// As [`SharedLedger::tell`].
    pub fn tell_and_note(&self, at: UtcTime) -> Result<(), LedgerFault> {
        self.tell(at)?;
        self.lock().note_told()
    }
}

/// Writes the rows that the log lacks, as one group of lines. Their mark; `None` when it lacks none.
fn write_untold(ledger: &Ledger, log: &mut ArchiveLog, at: UtcTime) -> Result<Option<i64>, LedgerFault> {
    let mut mark = None;
    loop {
        let untold = ledger.untold(mark.unwrap_or(0), ROWS_AT_ONCE)?;
        if untold.rows.is_empty() {
            return Ok(mark);
        }
        log.write(at, &untold.rows, untold.more).map_err(refused)?;
        mark = Some(untold.mark);
        if !untold.more {
            return Ok(mark);
        }
    }
}

/// What the log could not do, as a fault of the ledger: what was tried is kept, so that a failed sync stays one.
fn refused(fault: LogFault) -> LedgerFault {
    match fault {
        LogFault::Disk { operation, path, source } => LedgerFault::Refused { operation, path, source },
        LogFault::Damaged { ref path, .. } => {
            LedgerFault::Refused { operation: "read", path: path.clone(), source: io::Error::other(fault) }
        }
        LogFault::Latched => LedgerFault::Refused {
            operation: "write",
            path: "archive log".into(),
            source: failed_sync(io::Error::other(fault)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::beside::Beside;
    use crate::archive::log::{Tail, read_all};
    use crate::disk::Disk;
    use crate::disk::faulty::FaultyDisk;
    use crate::domain::ids::{Lsn, SourceId};
    use crate::ledger::intake::{IntakeEntry, PositionRow};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    const AT: UtcTime = UtcTime::from_nanos(1_000_000_000);

    struct Place {
        dir: tempfile::TempDir,
        disk: FaultyDisk,
    }

    impl Place {
        fn new() -> Self {
            let place = Self { dir: tempfile::tempdir().expect("directory"), disk: FaultyDisk::default() };
            Ledger::create(&place.ledger(), "0a").expect("ledger");
            place
        }

        fn ledger(&self) -> PathBuf {
            self.dir.path().join("ledger.db")
        }

        fn archive(&self) -> PathBuf {
            self.dir.path().join("archive")
        }

        /// As a start opens both.
        fn open(&self) -> SharedLedger {
            let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
            let mut ledger = Ledger::open(Arc::clone(&disk), &self.ledger()).expect("ledger");
            let beside = Beside { archive: self.archive(), feeds: Vec::new() };
            let log = beside.open_log(&disk, &mut ledger, "0a").unwrap_or_else(|fault| panic!("{fault}"));
            SharedLedger::new(ledger, log)
        }

        fn no_room_after(&self, writes: i64) {
            self.disk.0.writes.store(writes, Ordering::Relaxed);
        }
    }

    /// How far each of so many inputs was read.
    fn read_up_to(shared: &SharedLedger, lsn: u64, inputs: u64) {
        let source = SourceId::parse("switch").expect("source");
        let position = |number| PositionRow {
            source: source.clone(),
            input: format!("input {number}"),
            record: lsn,
            line: lsn,
            byte: lsn,
            prefix_crc: 0,
        };
        let entry = IntakeEntry { positions: (0..inputs).map(position).collect(), ..IntakeEntry::default() };
        shared.lock().apply_intake(Lsn(lsn), &entry).expect("intake");
    }

    fn untold_rows(shared: &SharedLedger) -> usize {
        shared.lock().untold(0, 10_000).expect("rows").rows.len()
    }

    fn rows_in(archive: &Path) -> usize {
        let mut rows = 0;
        let damage = read_all::<LogFault>(&FaultyDisk::default(), archive, &mut |entry| {
            rows += entry.rows.len();
            Ok(())
        });
        assert!(damage.expect("readable").is_empty());
        rows
    }

    #[test]
    fn a_group_of_lines_that_was_begun_and_not_ended_leaves_nothing_in_the_log() {
        let place = Place::new();
        let shared = place.open();
        read_up_to(&shared, 1, 1500);
        // The header and the first line find room, the second does not.
        place.no_room_after(2);
        let fault = shared.tell(AT).expect_err("no room");
        assert!(matches!(fault, LedgerFault::Refused { operation: "write", .. }), "{fault}");
        read_up_to(&shared, 2, 1500);
        let rows = untold_rows(&shared);
        shared.tell(AT).expect("told");
        // A crash before the ledger notes it.
        drop(shared);
        let shared = place.open();
        assert_eq!((rows_in(&place.archive()), rows > 1500), (rows, true));
        read_up_to(&shared, 3, 1);
        assert_eq!(untold_rows(&shared), 2);
        shared.tell_and_note(AT).expect("told");
        assert_eq!(rows_in(&place.archive()), rows + 2);
        drop(shared);
        drop(place.open());
    }

    #[test]
    fn a_group_of_lines_that_was_begun_is_told_again_without_a_change() {
        let place = Place::new();
        let shared = place.open();
        read_up_to(&shared, 1, 2500);
        let rows = untold_rows(&shared);
        for writes in [2, 2, 1] {
            place.no_room_after(writes);
            assert!(shared.tell(AT).is_err());
            assert_eq!(Tail::read(&place.disk, &place.archive(), 0).expect("tail").entries.len(), 1, "the header");
        }
        shared.tell(AT).expect("told");
        assert_eq!((rows_in(&place.archive()), rows > 2500), (rows, true));
    }

    #[test]
    fn a_file_of_the_log_that_was_begun_when_a_crash_came_is_not_taken_for_all_that_was_to_be_told() {
        let place = Place::new();
        let shared = place.open();
        read_up_to(&shared, 1, 1);
        let rows = untold_rows(&shared);
        place.no_room_after(1);
        shared.tell(AT).expect_err("room for the header only");
        drop(shared);
        let shared = place.open();
        assert_eq!(untold_rows(&shared), rows);
        shared.tell_and_note(AT).expect("told");
        assert_eq!(rows_in(&place.archive()), rows);
        drop(shared);
        drop(place.open());
    }

    #[test]
    fn nothing_is_recorded_any_more_after_a_failed_sync_of_the_log() {
        for (files, directories) in [(0, -1), (1, -1), (-1, 0), (-1, 1)] {
            let place = Place::new();
            let shared = place.open();
            read_up_to(&shared, 1, 1);
            place.disk.0.file_syncs.store(files, Ordering::Relaxed);
            place.disk.0.directory_syncs.store(directories, Ordering::Relaxed);
            let told = shared.tell(AT).expect_err("a sync failed");
            let again = shared.tell(AT).expect_err("not again");
            let recorded = shared.lock().apply_intake(Lsn(2), &IntakeEntry::default()).expect_err("nothing more");
            for fault in [&told, &again, &recorded] {
                assert!(fault.is_failed_sync() && !fault.is_refused_write(), "{fault}");
            }
        }
    }
}
