//! The ledger, shared between intake and sealing and the partners' threads.

use crate::ledger::Ledger;
use std::sync::{Mutex, MutexGuard};

/// The ledger, shared with the deliveries.
pub struct SharedLedger(Mutex<Ledger>);

impl SharedLedger {
    /// Shares a ledger.
    #[must_use]
    pub const fn new(ledger: Ledger) -> Self {
        Self(Mutex::new(ledger))
    }

    /// Waits for the ledger. A thread that panicked left no open transaction: SQLite rolled it back.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        match self.0.lock() {
            Ok(ledger) => ledger,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}
