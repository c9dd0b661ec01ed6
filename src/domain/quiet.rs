//! Times of the day in which nothing is sent to a partner.

use super::period::Zone;
use super::time::{Length, UtcTime};
use std::fmt;

const MINUTES_OF_A_DAY: u32 = 24 * 60;

/// A part of every day by a local clock; one whose end lies before its start passes midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySpan {
    /// First minute of it, 0 to 1439.
    start: u32,
    /// First minute after it, 0 to 1439.
    end: u32,
}

impl DaySpan {
    /// Parses `01:50-02:20`, also `23:50-00:10`. `None` for anything else, and for a span that is empty or a whole day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        let (start, end) = (minute(start)?, minute(end)? % MINUTES_OF_A_DAY);
        (start < MINUTES_OF_A_DAY && start != end).then_some(Self { start, end })
    }

    /// How long it lasts from `second` of the day on, in seconds; `None` when that is outside.
    fn left(self, second: u32) -> Option<u32> {
        let minute = second / 60;
        let inside = if self.start < self.end {
            (self.start..self.end).contains(&minute)
        } else {
            minute >= self.start || minute < self.end
        };
        let end = if minute < self.end { self.end } else { self.end + MINUTES_OF_A_DAY };
        inside.then(|| end * 60 - second)
    }
}

/// `HH:MM`, up to 24:00.
fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= MINUTES_OF_A_DAY).then_some(hours * 60 + minutes)
}

impl fmt::Display for DaySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

/// Parts of every day by the clock of one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietTimes {
    /// Whose clock.
    pub zone: Zone,
    /// Which parts.
    pub spans: Vec<DaySpan>,
}

impl QuietTimes {
    /// When the quiet time that `now` lies in ends; `None` when there is none. Spans that follow each other are one. When
    /// the clock of the zone changes in between it is asked again then.
    #[must_use]
    pub fn end(&self, now: UtcTime) -> Option<UtcTime> {
        let mut end = None;
        // A day that is quiet all over has no end that counts: then tomorrow it is asked again.
        for _ in 0..=self.spans.len() {
            let at = end.unwrap_or(now);
            let Some(left) = self.left(at) else { break };
            end = Some(at.after(Length::from_seconds(u64::from(left))));
        }
        end.map(|end| UtcTime::from_seconds(end.seconds()).unwrap_or(end))
    }

    fn left(&self, at: UtcTime) -> Option<u32> {
        let local = at.seconds() + i64::from(self.zone.offset_at(at.seconds()));
        let second = u32::try_from(local.rem_euclid(i64::from(MINUTES_OF_A_DAY) * 60)).unwrap_or(0);
        self.spans.iter().filter_map(|span| span.left(second)).max()
    }
}

impl fmt::Display for QuietTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans: Vec<String> = self.spans.iter().map(ToString::to_string).collect();
        write!(f, "{} {}", spans.join(", "), self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(zone: &str, spans: &[&str]) -> QuietTimes {
        let spans = spans.iter().map(|text| DaySpan::parse(text).expect("a span")).collect();
        QuietTimes { zone: Zone::parse(zone).expect("a zone"), spans }
    }

    /// Seconds from `second` (UTC) to the end of the quiet time.
    fn left(times: &QuietTimes, second: i64) -> Option<i64> {
        let end = times.end(UtcTime::from_seconds(second).expect("range"))?;
        Some(end.seconds() - second)
    }

    #[test]
    fn a_span_counts_by_the_clock_of_its_zone_and_ends_with_its_last_minute() {
        let times = quiet("Asia/Shanghai", &["01:50-02:20"]);
        assert_eq!(times.to_string(), "01:50-02:20 Asia/Shanghai");
        let evening = 18 * 3600; // 02:00 in Shanghai
        assert_eq!(left(&times, evening), Some(20 * 60));
        assert_eq!(left(&times, evening - 10 * 60), Some(30 * 60));
        assert_eq!(left(&times, evening - 10 * 60 - 1), None);
        assert_eq!((left(&times, evening + 20 * 60 - 1), left(&times, evening + 20 * 60)), (Some(1), None));
        assert_eq!(left(&times, 2 * 3600), None);
    }

    #[test]
    fn a_span_may_pass_midnight_and_spans_that_follow_each_other_are_one() {
        let times = quiet("UTC", &["23:50-00:10", "00:10-00:30"]);
        assert_eq!(left(&times, 23 * 3600 + 50 * 60), Some(40 * 60));
        assert_eq!(left(&times, 86_400 + 5 * 60), Some(25 * 60));
        assert_eq!((left(&times, 86_400 + 30 * 60), left(&times, 23 * 3600)), (None, None));
        assert_eq!(left(&quiet("UTC", &["22:00-24:00"]), 23 * 3600), Some(3600));
    }

    #[test]
    fn a_day_that_is_quiet_all_over_is_asked_again() {
        let times = quiet("UTC", &["00:00-12:00", "12:00-24:00"]);
        assert!(left(&times, 5).is_some_and(|seconds| seconds > 80_000));
    }

    #[test]
    fn anything_else_is_no_span() {
        for bad in [
            "",
            "01:50",
            "1:50-02:20",
            "01:50-02:60",
            "24:00-01:00",
            "25:00-01:00",
            "02:00-02:00",
            "00:00-24:00",
            "a-b",
            "+1:00-02:00",
        ] {
            assert_eq!(DaySpan::parse(bad), None, "{bad}");
        }
    }
}
