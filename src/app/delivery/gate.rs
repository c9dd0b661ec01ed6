//! Whether the next file may be begun now. What was begun is finished.

use crate::clock::Clock;
use crate::domain::quiet::QuietTimes;
use crate::domain::time::UtcTime;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Asked before each file.
pub(super) struct Gate<'g> {
    clock: &'g dyn Clock,
    quiet: Option<&'g QuietTimes>,
    directory: Mutex<Directory>,
}

/// The partner's directory.
#[derive(Debug, Default)]
struct Directory {
    /// How many more files it may hold.
    room: Option<u64>,
    /// A file was not begun because it holds as many as it may.
    full: bool,
}

impl<'g> Gate<'g> {
    pub(super) fn new(clock: &'g dyn Clock, quiet: Option<&'g QuietTimes>) -> Self {
        Self { clock, quiet, directory: Mutex::default() }
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the quiet time ends that it is now.
    pub(super) fn quiet_until(&self) -> Option<UtcTime> {
        self.quiet.and_then(|quiet| quiet.end(self.clock.now()))
    }

    /// The directory of the session that begins may hold so many more files; `None` is any number.
    pub(super) fn set_room(&self, room: Option<u64>) {
        *self.directory() = Directory { room, full: false };
    }

    /// Whether a file may be begun.
    pub(super) fn lets_begin(&self) -> bool {
        let mut directory = self.directory();
        let has_room = directory.room != Some(0);
        directory.full |= !has_room;
        has_room && self.quiet_until().is_none()
    }

    /// Whether so many files may be begun one after the other.
    pub(super) fn has_room_for(&self, files: usize) -> bool {
        let files = u64::try_from(files).unwrap_or(u64::MAX);
        self.directory().room.is_none_or(|room| room >= files)
    }

    /// A file was begun.
    pub(super) fn begun(&self) {
        let mut directory = self.directory();
        directory.room = directory.room.map(|room| room.saturating_sub(1));
    }

    pub(super) fn is_full(&self) -> bool {
        self.directory().full
    }
}
