//! What a partner's thread remembers of one server between two sessions.

use super::reaction::reaction_to;
use crate::domain::time::Length;
use crate::remote::FaultKind;

/// The way to one server.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// What lies there was compared with the ledger.
    pub compared: bool,
    failures: u32,
}

impl Line {
    /// A session went well, at least as far as to deliver something.
    pub(super) const fn reached(&mut self) {
        self.failures = 0;
    }

    /// Nothing came of a session. Returns how long to wait before the next.
    pub(super) fn failed(&mut self, kind: Option<FaultKind>) -> Length {
        self.failures = self.failures.saturating_add(1);
        reaction_to(kind).policy.next_delay(self.failures, fastrand::u64(..))
    }
}
