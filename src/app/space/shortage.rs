//! Which faults pass by themselves when there is room, and which are failed syncs.

use super::reserve::has_room;
use crate::app::fault::ExporterFault;
use crate::app::store::StoreFault;
use crate::archive::ArchiveFault;
use crate::disk::{Disk, is_out_of_space};
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
    (is_out_of_space(source) && operation != "sync").then(|| path.to_owned())
}

/// True when the ledger has no room. `SQLite` does not always say why it cannot write; then it is tried.
#[must_use]
pub fn ledger_lacks_room(disk: &dyn Disk, state: &Path, fault: &LedgerFault) -> bool {
    if let LedgerFault::Refused { source, .. } = fault {
        return is_out_of_space(source);
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

impl ExporterFault {
    /// True when a sync has failed: the disk may have lost what can still be read.
    #[must_use]
    pub fn is_failed_sync(&self) -> bool {
        matches!(self, Self::Spool(SpoolFault::SyncFailed { .. } | SpoolFault::Latched))
            || of_disk(self).is_some_and(|(operation, ..)| operation == "sync")
    }
}
