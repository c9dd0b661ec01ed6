//! What a partner's thread remembers of one server between two sessions.

use super::reaction::{may_be_over, reaction_to};
use super::report::Trouble;
use super::session::Memory;
use super::wait::Due;
use crate::clock::Clock;
use crate::domain::time::Length;

/// The way to one server.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// What is known of its directory.
    pub memory: Memory,
    failures: u32,
    next_try: Option<Due>,
    trouble: Option<Trouble>,
}

impl Line {
    /// A session went well, at least as far as to deliver something.
    pub(super) fn reached(&mut self) {
        self.failures = 0;
        (self.next_try, self.trouble) = (None, None);
    }

    /// Nothing came of a session. Returns how long to wait before the next.
    pub(super) fn failed(&mut self, trouble: Trouble, clock: &dyn Clock) -> Length {
        self.failures = self.failures.saturating_add(1);
        let delay = reaction_to(trouble.kind).policy.next_delay(self.failures, fastrand::u64(..));
        (self.next_try, self.trouble) = (Some(Due::after(clock, delay)), Some(trouble));
        delay
    }

    /// How long until the next try; zero when it is time.
    pub(super) fn left(&self, clock: &dyn Clock) -> Length {
        self.next_try.as_ref().map_or(Length::ZERO, |due| due.left(clock))
    }

    /// Lets the next try come at once, unless this is a server that must not be knocked at so soon.
    pub(super) fn try_soon(&mut self) {
        if self.trouble.as_ref().is_none_or(|trouble| may_be_over(trouble.kind)) {
            self.next_try = None;
        }
    }

    /// What came of the last session, when nothing did.
    pub(super) const fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }
}
