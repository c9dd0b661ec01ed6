//! Sequence counters: gap-free numbers that start, end, wrap and restart as a partner asks.

use super::period::{Partition, Zone};
use std::collections::BTreeMap;
use std::fmt;

/// When a counter goes back to its first number by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CounterReset {
    /// Only when `last` is reached and `then` says where to go on.
    Never,
    /// At the first batch of every local day of the feed.
    Daily,
    /// At the first batch of every local month of the feed.
    Monthly,
    /// At the first batch of every local year of the feed.
    Yearly,
}

/// How a counter runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CounterRule {
    /// The first number ever given.
    pub first: u64,
    /// The largest number; `None` for no limit.
    pub last: Option<u64>,
    /// The number after `last`; `None` stops the feed there.
    pub then: Option<u64>,
    /// When the counter begins again at `first`.
    pub reset: CounterReset,
}

impl CounterReset {
    /// The day, month or year of a partition on the clock of its zone, when the counter begins again with it.
    #[must_use]
    pub fn label(self, partition: Partition, zone: Zone) -> String {
        let layout = match self {
            Self::Never => return String::new(),
            Self::Daily => "%Y%m%d",
            Self::Monthly => "%Y%m",
            Self::Yearly => "%Y",
        };
        zone.clock_text(partition.start, layout)
    }
}

impl Default for CounterRule {
    fn default() -> Self {
        Self { first: 1, last: None, then: None, reset: CounterReset::Never }
    }
}

/// Identity of a number that was given: a counter that wraps gives the same number in another cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence {
    /// How often the counter has begun again.
    pub cycle: u64,
    /// The number itself.
    pub number: u64,
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.number, f)
    }
}

/// Where a counter stands: the number it gave last, in which cycle, and the reset label (such as the local date)
/// that was current then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterState {
    /// The number given last; `None` before the first one.
    pub given: Option<Sequence>,
    /// Label of the day, month or year in which it was given; empty when the rule never resets.
    pub label: String,
    /// The numbers given last in other days, months or years: late records of these go on behind them.
    pub others: BTreeMap<String, Sequence>,
}

impl CounterState {
    /// A counter that has given nothing.
    #[must_use]
    pub const fn fresh() -> Self {
        Self { given: None, label: String::new(), others: BTreeMap::new() }
    }

    /// Gives the next number under `rule`. `label` names the day, month or year of the batch when the rule resets.
    ///
    /// Returns `None` when the counter is at its end and the rule does not say what follows.
    #[must_use]
    pub fn give(&mut self, rule: &CounterRule, label: &str) -> Option<Sequence> {
        let Some(given) = self.given else {
            self.given = Some(Sequence { cycle: 0, number: rule.first });
            label.clone_into(&mut self.label);
            return self.given;
        };
        let cycle = self.others.values().map(|other| other.cycle).fold(given.cycle, u64::max) + 1;
        let after = |given: Sequence| {
            let next = if rule.last.is_some_and(|last| given.number >= last) {
                Sequence { cycle, number: rule.then? }
            } else {
                Sequence { cycle: given.cycle, number: given.number + 1 }
            };
            Some(next)
        };
        if rule.reset == CounterReset::Never || self.label == label {
            self.given = Some(after(given)?);
        } else if let Some(other) = self.others.get_mut(label) {
            *other = after(*other)?;
            return Some(*other);
        } else {
            self.others.insert(std::mem::take(&mut self.label), given);
            self.given = Some(Sequence { cycle, number: rule.first });
        }
        label.clone_into(&mut self.label);
        self.given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(rule: CounterRule, labels: &[&str]) -> Vec<Option<(u64, u64)>> {
        let mut state = CounterState::fresh();
        labels.iter().map(|label| state.give(&rule, label).map(|s| (s.cycle, s.number))).collect()
    }

    #[test]
    fn a_counter_runs_from_first_without_gap() {
        assert_eq!(
            give(CounterRule { first: 7, ..CounterRule::default() }, &["", "", ""]),
            [Some((0, 7)), Some((0, 8)), Some((0, 9))]
        );
    }

    #[test]
    fn a_counter_wraps_where_it_is_told_and_stops_where_it_is_not() {
        let wraps = CounterRule { first: 98, last: Some(99), then: Some(1), reset: CounterReset::Never };
        assert_eq!(give(wraps, &["", "", "", ""]), [Some((0, 98)), Some((0, 99)), Some((1, 1)), Some((1, 2))]);
        assert_eq!(give(CounterRule { then: None, ..wraps }, &["", "", ""]), [Some((0, 98)), Some((0, 99)), None]);
    }

    #[test]
    fn a_daily_counter_begins_again_every_day() {
        let daily = CounterRule { reset: CounterReset::Daily, ..CounterRule::default() };
        assert_eq!(give(daily, &["20261101", "20261101", "20261102"]), [Some((0, 1)), Some((0, 2)), Some((1, 1))]);
    }

    #[test]
    fn a_late_batch_goes_on_behind_the_numbers_of_its_own_day_and_the_days_after_it_do_not_notice() {
        let daily = CounterRule { reset: CounterReset::Daily, ..CounterRule::default() };
        let days = ["20261101", "20261102", "20261101", "20261102", "20261031", "20261102", "20261103"];
        let given = [(0, 1), (1, 1), (0, 2), (1, 2), (2, 1), (1, 3), (3, 1)];
        assert_eq!(give(daily, &days), given.map(Some));
    }
}
