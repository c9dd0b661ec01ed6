//! Which faults pass by themselves when there is room, and which are failed syncs.

use super::reserve::has_room;
use crate::app::beside::BesideFault;
use crate::app::fault::ExporterFault;
use crate::app::store::StoreFault;
use crate::archive::ArchiveFault;
use crate::archive::log::LogFault;
use crate::disk::{Disk, is_failed_sync, is_out_of_space};
use crate::ledger::LedgerFault;
use crate::seal::SealFault;
use crate::spool::SpoolFault;
use std::io;
use std::path::{Path, PathBuf};

/// Where there was no room, when that is all that `fault` says. A failed sync is more than that.
#[must_use]
pub fn lacks_room(disk: &dyn Disk, state: &Path, fault: &ExporterFault) -> Option<PathBuf> {
    if let ExporterFault::Ledger(fault) | ExporterFault::Store(StoreFault::Ledger(fault)) = fault {
        let place = if let LedgerFault::Refused { path, .. } = fault { path } else { state };
        return ledger_lacks_room(disk, state, fault).then(|| place.to_owned());
    }
    if let ExporterFault::Spool(SpoolFault::Full { path, .. }) = fault {
        return Some(path.clone());
    }
    let (operation, path, source) = of_disk(fault)?;
    (is_out_of_space(source) && !is_sync(operation, source)).then(|| path.to_owned())
}

/// True when the ledger has no room. `SQLite` does not always say why it cannot write; then it is tried.
#[must_use]
pub fn ledger_lacks_room(disk: &dyn Disk, state: &Path, fault: &LedgerFault) -> bool {
    if let LedgerFault::Refused { source, .. } = fault {
        return is_out_of_space(source) && !fault.is_failed_sync();
    }
    fault.is_full() || (fault.is_refused_write() && has_room(disk, state).is_ok_and(|has_room| !has_room))
}

/// What was tried on which file, and the system's answer.
fn of_disk(fault: &ExporterFault) -> Option<(&'static str, &Path, &io::Error)> {
    if let ExporterFault::Seal(SealFault::Disk { operation, path, source })
    | ExporterFault::Archive(ArchiveFault::Disk { operation, path, source })
    | ExporterFault::Store(StoreFault::Disk { operation, path, source })
    | ExporterFault::Request { operation, path, source } = fault
    {
        return Some((operation, path, source));
    }
    None
}

fn is_sync(operation: &str, source: &io::Error) -> bool {
    operation.starts_with("sync") || is_failed_sync(source)
}

impl ExporterFault {
    /// True when a sync has failed: the disk may have lost what can still be read.
    #[must_use]
    pub fn is_failed_sync(&self) -> bool {
        if let Self::Ledger(fault) | Self::Store(StoreFault::Ledger(fault)) = self {
            return fault.is_failed_sync();
        }
        if let Self::Intake(fault) = self {
            return fault.is_failed_sync();
        }
        if let Self::Spool(fault) | Self::Store(StoreFault::Spool(fault)) = self {
            return match fault {
                SpoolFault::SyncFailed { .. } | SpoolFault::Latched => true,
                SpoolFault::Disk { operation, source, .. } => is_sync(operation, source),
                SpoolFault::Full { .. }
                | SpoolFault::Damaged { .. }
                | SpoolFault::ForeignStore { .. }
                | SpoolFault::Missing { .. } => false,
            };
        }
        if let Self::Store(StoreFault::Beside(BesideFault::Log(LogFault::Disk { operation, source, .. }))) = self {
            return is_sync(operation, source);
        }
        of_disk(self).is_some_and(|(operation, _, source)| is_sync(operation, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Archive;
    use crate::disk::RealDisk;
    use crate::disk::faulty::FaultyDisk;
    use crate::domain::ids::Sha256Digest;
    use rusqlite::ffi;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    fn no_room() -> io::Error {
        io::ErrorKind::StorageFull.into()
    }

    fn assert_stops(dir: &Path, fault: &ExporterFault) {
        assert!(fault.is_failed_sync() && lacks_room(&RealDisk, dir, fault).is_none(), "{fault}");
    }

    #[test]
    fn a_place_in_the_archive_that_cannot_be_made_durable_is_no_lack_of_room() {
        let dir = tempfile::tempdir().expect("directory");
        // The directories of the hour as they are made, and then the two that know the file.
        for good in 0..4 {
            let disk = FaultyDisk::default();
            let staged = dir.path().join(format!("stage{good}"));
            disk.create_new(&staged).and_then(|mut file| file.write_all(b"x")).expect("staged");
            disk.0.directory_syncs.store(good, Ordering::Relaxed);
            let archive = Archive::new(Arc::new(disk), dir.path().to_owned());
            let adopted = archive.adopt(&staged, &format!("{good}/a/b"), &Sha256Digest([0; 32]));
            assert_stops(dir.path(), &adopted.expect_err("a sync failed").into());
        }
    }

    #[test]
    fn a_ledger_whose_sync_failed_stops_and_one_without_room_waits() {
        let dir = tempfile::tempdir().expect("directory");
        let sqlite = |code| {
            let source = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            ExporterFault::Ledger(LedgerFault::Sqlite { path: dir.path().to_owned(), source })
        };
        let refused = |operation, source| {
            ExporterFault::Ledger(LedgerFault::Refused { operation, path: dir.path().to_owned(), source })
        };
        // A disk without room: what cannot be written may find some later.
        let disk = FaultyDisk::default();
        let full = |fault: &ExporterFault| {
            disk.0.writes.store(0, Ordering::Relaxed);
            lacks_room(&disk, dir.path(), fault).is_some() && !fault.is_failed_sync()
        };
        assert!(full(&sqlite(ffi::SQLITE_FULL)) && full(&sqlite(ffi::SQLITE_IOERR_WRITE)));
        assert!(full(&refused("write", no_room())));
        for fault in [
            sqlite(ffi::SQLITE_IOERR_FSYNC),
            sqlite(ffi::SQLITE_IOERR_DIR_FSYNC),
            refused("sync", no_room()),
            refused("sync directory", no_room()),
        ] {
            assert!(!full(&fault), "{fault}");
            assert_stops(dir.path(), &fault);
        }
    }
}
