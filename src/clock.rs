//! The seam to the machine's clocks. Nothing else in hourdrop reads them.
//!
//! There are two: the wall clock, which a person, a time server or a broken battery may set to anything, and the time
//! since the machine was started, which nobody can set. [`agreement`] says whether they still go together.

pub mod agreement;

use crate::domain::time::{Length, UtcTime};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// The current time by the wall clock.
    fn now(&self) -> UtcTime;

    /// How long the machine is up, times asleep included. No step of the wall clock moves it.
    fn uptime(&self) -> Length;

    /// Which start of the machine [`Clock::uptime`] counts from; empty when the machine does not say.
    fn boot(&self) -> String;

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

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

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

    fn uptime(&self) -> Length {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Length::from_nanos(seconds.saturating_mul(1_000_000_000) + u64::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn boot(&self) -> String {
        // As long as this program lives the machine is not started again.
        static BOOT: OnceLock<String> = OnceLock::new();
        let read = || std::fs::read_to_string(BOOT_ID).map(|text| text.trim().to_owned()).unwrap_or_default();
        BOOT.get_or_init(read).clone()
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

/// A clock that stands still, for tests and rehearsals: waiting ends after a second.
#[cfg(feature = "test-clock")]
#[derive(Debug, Clone)]
pub struct StoppedClock {
    /// What the wall clock shows.
    pub now: UtcTime,
    /// How long the machine is up, and since which start.
    pub up: (Length, String),
}

#[cfg(feature = "test-clock")]
impl StoppedClock {
    /// A wall clock that nobody has set: it agrees with every other such clock.
    #[must_use]
    pub fn never_set(now: UtcTime) -> Self {
        Self { now, up: (Length::from_nanos(u64::try_from(now.nanos()).unwrap_or(0)), "test".to_owned()) }
    }
}

#[cfg(feature = "test-clock")]
impl Clock for StoppedClock {
    fn now(&self) -> UtcTime {
        self.now
    }

    fn uptime(&self) -> Length {
        self.up.0
    }

    fn boot(&self) -> String {
        self.up.1.clone()
    }

    fn wait(&self, length: Length, wake: &Receiver<()>) -> Waited {
        let _ = length;
        SystemClock.wait(Length::from_seconds(1), wake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_how_long_it_is_up_and_since_which_start() {
        let (before, boot) = (SystemClock.uptime(), SystemClock.boot());
        assert!(before > Length::ZERO && SystemClock.uptime() >= before);
        assert_eq!(SystemClock.boot(), boot);
    }
}
