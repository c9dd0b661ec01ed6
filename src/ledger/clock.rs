//! What the ledger keeps about the machine's clocks: the last look at them.

use super::{Fact, Ledger, Result, append_fact, run};
use crate::disk::SyncPoint;
use crate::domain::time::UtcTime;

const SET: &str = "INSERT INTO main.store (key, value) VALUES ('clock', ?1)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";

impl Ledger {
    /// The last look at the clocks, as it was stored; `None` before the first.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn clock_mark(&self) -> Result<Option<String>> {
        self.store_value("clock")
    }

    /// Stores a look at the clocks.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn set_clock_mark(&mut self, mark: &str) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| run(t, SET, [mark]).map(|_| ()))
    }

    /// Stores a look at the clocks that a person has accepted, and why.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn accept_clock_mark(&mut self, mark: &str, detail: &str, now: UtcTime) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            run(t, SET, [mark])?;
            append_fact(t, Fact { at: now, kind: "clock accepted", subject: "clock", detail })
        })
    }
}
