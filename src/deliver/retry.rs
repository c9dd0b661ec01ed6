//! How long to wait before the next try.

use crate::domain::time::Length;

/// Waiting times that double from `first` up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Before the second try.
    pub first: Length,
    /// The longest.
    pub max: Length,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Length::from_seconds(5), max: Length::from_seconds(300) }
    }
}

impl RetryPolicy {
    /// The wait after `failures` failed tries in a row: between half and all of the doubled time, in whole seconds and
    /// at least one. `random` is any number; it spreads tries, so that many senders do not knock at the same moment.
    #[must_use]
    pub fn next_delay(&self, failures: u32, random: u64) -> Length {
        let doublings = failures.saturating_sub(1).min(32);
        let full = self.first.seconds().max(1).saturating_mul(1 << doublings).min(self.max.seconds().max(1));
        let half = full.div_ceil(2);
        Length::from_seconds(half + random % (full - half + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(failures: u32) -> (u64, u64) {
        let policy = RetryPolicy::default();
        let delays: Vec<u64> = (0..1000).map(|random| policy.next_delay(failures, random).seconds()).collect();
        (delays.iter().copied().min().unwrap_or(0), delays.iter().copied().max().unwrap_or(0))
    }

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread_over_their_upper_half() {
        let expected =
            [(1, (3, 5)), (2, (5, 10)), (3, (10, 20)), (6, (80, 160)), (7, (150, 300)), (u32::MAX, (150, 300))];
        for (failures, bounds) in expected {
            assert_eq!(range(failures), bounds, "after {failures} failures");
        }
    }

    #[test]
    fn a_policy_of_no_time_still_waits_a_second() {
        let policy = RetryPolicy { first: Length::ZERO, max: Length::ZERO };
        assert_eq!(policy.next_delay(0, u64::MAX), Length::from_seconds(1));
    }
}
