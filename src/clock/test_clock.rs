//! A clock for tests that runs faster than time: a day of hours passes while a test waits half a minute.

use super::{Clock, StoppedClock, Waited};
use crate::domain::time::{Length, UtcTime};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Starts at a moment and runs so many times as fast as time; waits are as much shorter.
#[derive(Debug, Clone, Copy)]
pub struct AcceleratedClock {
    start: UtcTime,
    factor: u32,
    begun: Instant,
}

impl AcceleratedClock {
    /// A clock that shows `start` now. A factor of 0 counts as 1.
    #[must_use]
    pub fn starting_at(start: UtcTime, factor: u32) -> Self {
        Self { start, factor: factor.max(1), begun: Instant::now() }
    }
}

impl Clock for AcceleratedClock {
    fn now(&self) -> UtcTime {
        let passed = self.begun.elapsed().as_nanos().saturating_mul(u128::from(self.factor));
        UtcTime::from_nanos(self.start.nanos().saturating_add(i64::try_from(passed).unwrap_or(i64::MAX)))
    }

    fn wait(&self, length: Length, wake: &Receiver<()>) -> Waited {
        // A loop that waits for next to nothing would keep a processor busy.
        let shorter = (length.as_std() / self.factor).max(Duration::from_millis(1));
        match wake.recv_timeout(shorter) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Waited::Woken,
            Err(RecvTimeoutError::Timeout) => Waited::Elapsed,
        }
    }
}

/// The clock that a text describes: `2026-11-21T08:00:00Z` stands still there, `2026-11-21T08:00:00Z*3000` starts there
/// and runs 3000 times as fast as time. `None` for any other text.
#[must_use]
pub fn from_text(text: &str) -> Option<Arc<dyn Clock>> {
    let (moment, factor) = match text.split_once('*') {
        Some((moment, factor)) => (moment, Some(factor.parse().ok()?)),
        None => (text, None),
    };
    let at = chrono::DateTime::parse_from_rfc3339(moment).ok()?;
    let at = UtcTime::from_seconds(at.timestamp())?;
    Some(match factor {
        Some(factor) => Arc::new(AcceleratedClock::starting_at(at, factor)),
        None => Arc::new(StoppedClock(at)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn an_accelerated_clock_is_ahead_of_time_by_its_factor_and_its_waits_are_shorter() {
        let clock = from_text("2026-11-21T08:00:00Z*36000").expect("a clock");
        let (begun, start) = (Instant::now(), clock.now());
        let (_sender, wake) = sync_channel(1);
        // Three hours of its time are 300 ms.
        assert_eq!(clock.wait(Length::from_seconds(3 * 3600), &wake), Waited::Elapsed);
        let shown = clock.now().nanos() - start.nanos();
        let passed = begun.elapsed();
        assert!(shown >= 3 * 3_600_000_000_000, "{shown}");
        assert!(i128::from(shown) <= i128::try_from(passed.as_nanos() * 36_000).expect("short"), "{shown} {passed:?}");
    }

    #[test]
    fn a_text_that_is_no_clock_is_none() {
        for bad in ["", "now", "2026-11-21T08:00:00Z*", "2026-11-21T08:00:00Z*x", "*3000", "2026-11-21*5"] {
            assert!(from_text(bad).is_none(), "{bad}");
        }
        let stands = from_text("2026-11-21T08:00:00Z").expect("a clock");
        assert_eq!(stands.now(), stands.now());
    }
}
