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
        let mut mark = 0;
        loop {
            let untold = ledger.untold(mark, ROWS_AT_ONCE)?;
            if untold.rows.is_empty() {
                return Ok(());
            }
            log.write(at, &untold.rows, untold.more).map_err(refused)?;
            mark = untold.mark;
            if !untold.more {
                break;
            }
        }
        let number = match log.sync() {
            Ok(number) => number,
            Err(fault) => {
                ledger.latch();
                return Err(refused(fault));
            }
        };
        ledger.told(number, mark);
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
