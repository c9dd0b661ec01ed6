//! The seam to the machine's clock. Nothing else in hourdrop reads it.

use crate::domain::time::{Length, UtcTime};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> UtcTime;

    /// Waits for `length`, or until `wake` has a message or all its senders are gone.
    fn wait(&self, length: Length, wake: &Receiver<()>) -> Waited;
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The time has passed.
    Elapsed,
    /// Somebody asked for attention.
    Woken,
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UtcTime {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let now = std::time::SystemTime::now();
        let nanos = match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        UtcTime::from_nanos(nanos)
    }

    fn wait(&self, length: Length, wake: &Receiver<()>) -> Waited {
        match wake.recv_timeout(length.as_std()) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Waited::Woken,
            Err(RecvTimeoutError::Timeout) => Waited::Elapsed,
        }
    }
}

#[cfg(feature = "test-clock")]
mod test_clock;

#[cfg(feature = "test-clock")]
pub use test_clock::{AcceleratedClock, from_text};

/// A clock that stands still, for tests and rehearsals: waiting ends at once.
#[cfg(feature = "test-clock")]
#[derive(Debug, Clone, Copy)]
pub struct StoppedClock(pub UtcTime);

#[cfg(feature = "test-clock")]
impl Clock for StoppedClock {
    fn now(&self) -> UtcTime {
        self.0
    }

    fn wait(&self, length: Length, wake: &Receiver<()>) -> Waited {
        let _ = length;
        SystemClock.wait(Length::from_seconds(1), wake)
    }
}
