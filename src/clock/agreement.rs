//! Whether the wall clock still goes with the time since the machine was started.
//!
//! A [`Mark`] is the last look at both clocks and what the wall clock should have shown then. The next look compares:
//! on the same start of the machine the wall clock must have gone on by as much as the other one; after a restart,
//! when nobody knows how long the machine was off, it must not lie behind the last time seen. A clock that does not
//! agree is not believed until it shows what it should, or until a person accepts it.

use super::Clock;
use crate::domain::time::{Length, UtcTime};

/// Both clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Which start of the machine; empty when it does not say.
    pub boot: String,
    /// How long the machine was up.
    pub uptime: Length,
    /// What the wall clock showed.
    pub wall: UtcTime,
}

impl Reading {
    /// Looks at both clocks.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Self {
        Self { boot: clock.boot(), uptime: clock.uptime(), wall: clock.now() }
    }
}

/// A step of the wall clock that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// By how many nanoseconds; negative: back.
    pub by: i64,
    /// What the right time was when it was noticed.
    pub noticed: UtcTime,
    /// It was noticed after a restart of the machine: the right time is not known, only that it is later than this.
    pub restarted: bool,
}

/// The last look at both clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What they showed.
    pub seen: Reading,
    /// What the wall clock should have shown.
    pub expected: UtcTime,
    /// The step that stands; `None` when the wall clock is believed.
    pub jump: Option<Jump>,
}

impl Mark {
    /// A wall clock that is believed as it is.
    #[must_use]
    pub fn believed(seen: Reading) -> Self {
        Self { expected: seen.wall, seen, jump: None }
    }

    /// The mark after another look. `max`: a smaller difference is no jump.
    #[must_use]
    pub fn next(&self, seen: Reading, max: Length) -> Self {
        let same = seen.boot == self.seen.boot && seen.uptime >= self.seen.uptime;
        let passed = if same { seen.uptime.nanos() - self.seen.uptime.nanos() } else { 0 };
        let expected = UtcTime::from_nanos(self.expected.nanos().saturating_add(passed));
        let by = seen.wall.nanos().saturating_sub(expected.nanos());
        // After a restart a later time may be right. One that was known to be ahead is not believed for that.
        let later_is_wrong = match self.jump {
            None => same,
            Some(jump) if jump.restarted => false,
            Some(jump) => same || jump.by > 0,
        };
        let max = max.nanos();
        if by >= -max && (by <= max || !later_is_wrong) {
            return Self::believed(seen);
        }
        let stands = self.jump.filter(|known| known.by.abs_diff(by) <= max.unsigned_abs());
        let jump = stands.unwrap_or(Jump { by, noticed: expected, restarted: !later_is_wrong });
        Self { seen, expected, jump: Some(jump) }
    }

    /// The right time at `uptime`, on the start of the machine of the last look: whatever the wall clock shows.
    #[must_use]
    pub fn time_at(&self, uptime: Length) -> UtcTime {
        let passed = uptime.nanos().saturating_sub(self.seen.uptime.nanos()).max(0);
        UtcTime::from_nanos(self.expected.nanos().saturating_add(passed))
    }

    /// True when the right time is known, or known to the limit.
    #[must_use]
    pub fn knows_the_time(&self) -> bool {
        self.jump.is_none_or(|jump| !jump.restarted)
    }

    /// As the ledger keeps it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { seen, expected, jump } = self;
        let mut text = format!("{} {} {}", seen.uptime.nanos(), seen.wall.nanos(), expected.nanos());
        if let Some(Jump { by, noticed, restarted }) = jump {
            text.push_str(&format!(" {by} {} {restarted}", noticed.nanos()));
        }
        let boot = if seen.boot.is_empty() { "-" } else { &seen.boot };
        text.push_str(&format!("@{boot}"));
        text
    }

    /// Reads what [`Mark::to_text`] wrote. A machine that does not name its starts is taken to have restarted.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (numbers, boot) = text.split_once('@')?;
        let mut words = numbers.split(' ');
        let mut number = || words.next()?.parse::<i64>().ok();
        let uptime = Length::from_nanos(u64::try_from(number()?).ok()?);
        let (wall, expected) = (UtcTime::from_nanos(number()?), UtcTime::from_nanos(number()?));
        let jump = match number() {
            None => None,
            Some(by) => {
                let noticed = UtcTime::from_nanos(number()?);
                Some(Jump { by, noticed, restarted: words.next()?.parse().ok()? })
            }
        };
        Some(Self { seen: Reading { boot: boot.to_owned(), uptime, wall }, expected, jump })
    }
}

impl Jump {
    /// By how much, rounded to seconds.
    #[must_use]
    pub fn length(&self) -> Length {
        Length::from_seconds((self.by.unsigned_abs() + 500_000_000) / 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Length = Length::from_seconds(60);

    fn reading(boot: &str, up: u64, wall: i64) -> Reading {
        let wall = UtcTime::from_seconds(wall).expect("range");
        Reading { boot: boot.to_owned(), uptime: Length::from_seconds(up), wall }
    }

    /// By how many seconds the clock is off after each look; `None`: believed.
    fn looks(list: &[(&str, u64, i64)]) -> Vec<Option<i64>> {
        let mut mark: Option<Mark> = None;
        let mut found = Vec::new();
        for (boot, up, wall) in list {
            let seen = reading(boot, *up, *wall);
            let next = mark.map_or_else(|| Mark::believed(seen.clone()), |mark| mark.next(seen.clone(), MAX));
            found.push(next.jump.map(|jump| jump.by / 1_000_000_000));
            assert_eq!(Mark::parse(&next.to_text()), Some(next.clone()));
            mark = Some(next);
        }
        found
    }

    #[test]
    fn a_clock_that_goes_on_is_believed() {
        assert_eq!(looks(&[("a", 0, 1000), ("a", 30, 1030), ("a", 90, 1095), ("a", 9000, 10_000)]), [None; 4]);
    }

    #[test]
    fn a_jump_stands_until_the_clock_shows_what_it_should() {
        let forward = looks(&[("a", 0, 1000), ("a", 10, 8210), ("a", 20, 8220), ("a", 3000, 4030)]);
        assert_eq!(forward, [None, Some(7200), Some(7200), None]);
        let back = looks(&[("a", 0, 10_000), ("a", 10, 2810), ("a", 7300, 10_100), ("a", 7310, 17_300)]);
        assert_eq!(back, [None, Some(-7200), Some(-7200), None], "also when it comes to the old time again");
    }

    #[test]
    fn the_limit_itself_is_no_jump() {
        assert_eq!(looks(&[("a", 0, 1000), ("a", 10, 1070)]), [None; 2]);
        assert_eq!(looks(&[("a", 0, 1000), ("a", 10, 1071)]), [None, Some(61)]);
        assert_eq!(looks(&[("a", 0, 1000), ("a", 10, 949)]), [None, Some(-61)]);
    }

    #[test]
    fn after_a_restart_only_a_time_before_the_last_one_is_wrong() {
        assert_eq!(looks(&[("a", 50, 10_000), ("b", 5, 99_000)]), [None; 2], "the machine was off for a day");
        let unset = looks(&[("a", 50, 10_000), ("b", 5, 0), ("b", 10, 5), ("b", 20, 90_000), ("b", 30, 90_010)]);
        assert_eq!(unset, [None, Some(-10_000), Some(-10_000), None, None], "until a time server sets it");
        assert_eq!(looks(&[("a", 50, 10_000), ("a", 5, 11_000)]), [None; 2], "an unnamed restart");
    }

    #[test]
    fn a_jump_forward_outlives_a_restart_of_the_machine() {
        let found = looks(&[("a", 50, 10_000), ("a", 60, 96_410), ("b", 5, 96_500), ("b", 10, 10_060)]);
        assert_eq!(found, [None, Some(86_400), Some(86_490), None]);
    }

    #[test]
    fn the_right_time_goes_on_while_the_wall_clock_is_wrong() {
        let mark = Mark::believed(reading("a", 0, 1000)).next(reading("a", 10, 8210), MAX);
        assert_eq!(mark.time_at(Length::from_seconds(100)).seconds(), 1100);
        let jump = mark.jump.expect("a jump");
        assert_eq!((jump.length().to_string(), jump.noticed.seconds()), ("2h".to_owned(), 1010));
    }
}
