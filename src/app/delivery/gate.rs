//! Whether the next file may be begun now. What was begun is finished.

use crate::clock::Clock;
use crate::domain::quiet::QuietTimes;
use crate::domain::time::UtcTime;
use std::cell::Cell;

/// Asked before each file.
pub(super) struct Gate<'g> {
    clock: &'g dyn Clock,
    quiet: Option<&'g QuietTimes>,
    /// How many more files the partner's directory may hold.
    room: Cell<Option<u64>>,
    /// A file was not begun because the directory holds as many as it may.
    full: Cell<bool>,
}

impl<'g> Gate<'g> {
    pub(super) const fn new(clock: &'g dyn Clock, quiet: Option<&'g QuietTimes>) -> Self {
        Self { clock, quiet, room: Cell::new(None), full: Cell::new(false) }
    }

    /// When the quiet time ends that it is now.
    pub(super) fn quiet_until(&self) -> Option<UtcTime> {
        self.quiet.and_then(|quiet| quiet.end(self.clock.now()))
    }

    /// The directory of the session that begins may hold so many more files; `None` is any number.
    pub(super) fn set_room(&self, room: Option<u64>) {
        self.room.set(room);
        self.full.set(false);
    }

    /// Whether a file may be begun.
    pub(super) fn lets_begin(&self) -> bool {
        let has_room = self.room.get() != Some(0);
        self.full.set(self.full.get() || !has_room);
        has_room && self.quiet_until().is_none()
    }

    /// A file was begun.
    pub(super) fn begun(&self) {
        self.room.set(self.room.get().map(|room| room.saturating_sub(1)));
    }

    pub(super) const fn is_full(&self) -> bool {
        self.full.get()
    }
}
