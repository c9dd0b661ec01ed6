//! Whether the next file may be begun now. What was begun is finished.

use crate::clock::Clock;
use crate::domain::quiet::QuietTimes;
use crate::domain::time::UtcTime;

/// Asked before each file.
pub(super) struct Gate<'g> {
    clock: &'g dyn Clock,
    quiet: Option<&'g QuietTimes>,
}

impl<'g> Gate<'g> {
    pub(super) const fn new(clock: &'g dyn Clock, quiet: Option<&'g QuietTimes>) -> Self {
        Self { clock, quiet }
    }

    /// When the quiet time ends that it is now.
    pub(super) fn quiet_until(&self) -> Option<UtcTime> {
        self.quiet.and_then(|quiet| quiet.end(self.clock.now()))
    }

    /// Whether a file may be begun.
    pub(super) fn lets_begin(&self) -> bool {
        self.quiet_until().is_none()
    }
}
