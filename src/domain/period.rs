//! Hours that are right in every time zone.
//!
//! A [`Partition`] is a half-open interval of UTC seconds. Its identity is UTC; the local label is derived.
//! The rules are those of decision "DST":
//! - periods up to one hour are multiples of the local clock *at the offset in force* and are split where the
//!   offset changes (Lord Howe gets one partition of 30 minutes when its clocks move by half an hour);
//! - longer periods run from one multiple of the local day to the next, whatever the offset does between them,
//!   so a day has 23, 24 or 25 hours. A boundary that does not exist is the first instant after the gap, an
//!   ambiguous one is its first occurrence.

use super::time::{Length, UtcTime};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use std::fmt;
use std::str::FromStr;

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// A time zone: an IANA name or a fixed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zone {
    /// An IANA zone such as `Asia/Shanghai`; the rules are compiled in.
    Named(chrono_tz::Tz),
    /// A fixed offset in seconds east of UTC.
    Fixed(i32),
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self::Fixed(0);

    /// Parses an IANA name, `UTC`, or `+HH:MM`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "UTC" || text == "Z" {
            return Some(Self::UTC);
        }
        if let Some(offset) = parse_offset(text) {
            return Some(Self::Fixed(offset));
        }
        chrono_tz::Tz::from_str(text).ok().map(Self::Named)
    }

    /// Names of all known zones, for suggestions.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// The seconds in `(from, to]` at which its offset changes.
    pub fn changes(self, from: i64, to: i64) -> impl Iterator<Item = i64> {
        std::iter::successors(first_change(self, from, to), move |last| first_change(self, *last, to))
    }

    /// Seconds east of UTC in force at `utc` (seconds since the epoch).
    #[must_use]
    pub fn offset_at(self, utc: i64) -> i32 {
        match self {
            Self::Fixed(offset) => offset,
            Self::Named(zone) => DateTime::from_timestamp(utc, 0)
                .map_or(0, |at| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()),
        }
    }

    /// The UTC times that a local clock showed `local` at: none in a gap, two when clocks went back.
    #[must_use]
    pub fn instants_of(self, local: NaiveDateTime) -> LocalTime {
        match self {
            Self::Fixed(offset) => LocalTime::Once(local.and_utc().timestamp() - i64::from(offset)),
            Self::Named(zone) => match zone.offset_from_local_datetime(&local) {
                chrono::LocalResult::None => LocalTime::Never,
                chrono::LocalResult::Single(offset) => {
                    LocalTime::Once(local.and_utc().timestamp() - i64::from(offset.fix().local_minus_utc()))
                }
                chrono::LocalResult::Ambiguous(one, two) => {
                    let at = local.and_utc().timestamp();
                    let one = at - i64::from(one.fix().local_minus_utc());
                    let two = at - i64::from(two.fix().local_minus_utc());
                    LocalTime::Twice(one.min(two), one.max(two))
                }
            },
        }
    }

    /// What a clock in this zone shows at `second` (UTC), in a strftime layout.
    #[must_use]
    pub fn clock_text(self, second: i64, layout: &str) -> String {
        let local = second + i64::from(self.offset_at(second));
        DateTime::from_timestamp(local, 0).unwrap_or_default().format(layout).to_string()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(zone) => f.pad(zone.name()),
            Self::Fixed(0) => f.pad("UTC"),
            Self::Fixed(offset) => f.pad(&offset_label(*offset)),
        }
    }
}

/// What a local clock reading means in UTC seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalTime {
    /// The clock never showed it: it lies in a gap.
    Never,
    /// One instant.
    Once(i64),
    /// Clocks went back: the first and the second occurrence.
    Twice(i64, i64),
}

/// Writes an offset as `+HH:MM`.
#[must_use]
pub fn offset_label(offset: i32) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 || !digits.bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The first second in `(from, to]` at which the offset differs from the one at `from`.
fn first_change(zone: Zone, from: i64, to: i64) -> Option<i64> {
    let offset = zone.offset_at(from);
    let step = 7 * DAY;
    let mut low = from;
    while low < to {
        let high = (low + step).min(to);
        if zone.offset_at(high) != offset {
            return Some(bisect(low, high, |at| zone.offset_at(at) != offset));
        }
        low = high;
    }
    None
}

/// The last second in `(from, to]` at which a new offset came into force and then held until `to`.
fn last_change(zone: Zone, from: i64, to: i64) -> Option<i64> {
    let offset = zone.offset_at(to);
    (zone.offset_at(from) != offset).then(|| bisect(from, to, |at| zone.offset_at(at) == offset))
}

/// The smallest number in `(low, high]` for which `holds`, given that it holds at `high` and not at `low`.
fn bisect(mut low: i64, mut high: i64, holds: impl Fn(i64) -> bool) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

/// One half-open interval `[start, end)` of UTC seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// First second of the partition.
    pub start: i64,
    /// First second after it.
    pub end: i64,
}

impl Partition {
    /// True when `at` lies in the interval.
    #[must_use]
    pub const fn contains(self, at: UtcTime) -> bool {
        let second = at.seconds();
        self.start <= second && second < self.end
    }

    /// The first instant.
    #[must_use]
    pub fn start_time(self) -> UtcTime {
        UtcTime::from_seconds(self.start).unwrap_or(UtcTime::MIN)
    }

    /// The first instant after the interval.
    #[must_use]
    pub fn end_time(self) -> UtcTime {
        UtcTime::from_seconds(self.end).unwrap_or(UtcTime::MAX)
    }
}

/// A length and a zone: how a feed cuts time into partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    seconds: i64,
    zone: Zone,
}

impl Period {
    /// A period of `length` in `zone`.
    ///
    /// Returns `None` unless the length is 1 minute to 1 day, in whole minutes, and divides an hour (when it is
    /// shorter than one) or a day: otherwise hours would not line up with the clock.
    #[must_use]
    pub fn new(length: Length, zone: Zone) -> Option<Self> {
        let seconds = i64::try_from(length.seconds()).ok()?;
        let whole = Length::from_seconds(length.seconds()) == length && seconds >= 60 && seconds % 60 == 0;
        let fits = if seconds <= HOUR { HOUR.checked_rem(seconds) == Some(0) } else { DAY % seconds == 0 };
        (whole && fits).then_some(Self { seconds, zone })
    }

    /// The zone whose clock the period follows.
    #[must_use]
    pub const fn zone(self) -> Zone {
        self.zone
    }

    /// Nominal length in seconds; a partition at a change of offset is shorter or longer.
    #[must_use]
    pub const fn nominal_seconds(self) -> i64 {
        self.seconds
    }

    /// The partition that holds `at`.
    #[must_use]
    pub fn partition_at(self, at: UtcTime) -> Partition {
        if self.seconds <= HOUR { self.short_partition(at.seconds()) } else { self.long_partition(at.seconds()) }
    }

    /// The partition that begins where `partition` ends.
    #[must_use]
    pub fn next(self, partition: Partition) -> Partition {
        self.partition_at(partition.end_time())
    }

    fn short_partition(self, at: i64) -> Partition {
        let offset = i64::from(self.zone.offset_at(at));
        let start = (at + offset).div_euclid(self.seconds) * self.seconds - offset;
        let end = start + self.seconds;
        Partition {
            start: last_change(self.zone, start, at).unwrap_or(start),
            end: first_change(self.zone, at, end - 1).unwrap_or(end),
        }
    }

    fn long_partition(self, at: i64) -> Partition {
        let mut day = self.local_date(at);
        // A day's first boundary can lie after `at` when its midnight does not exist; step back at most once.
        if self.boundary(day, 0) > at {
            day = day.pred_opt().unwrap_or(day);
        }
        let count = DAY / self.seconds;
        let start = (0..count).map(|k| self.boundary(day, k)).rfind(|boundary| *boundary <= at).unwrap_or(at);
        let next_day = day.succ_opt().unwrap_or(day);
        let end = (0..count)
            .map(|k| self.boundary(day, k))
            .find(|boundary| *boundary > at)
            .unwrap_or_else(|| self.boundary(next_day, 0));
        Partition { start, end }
    }

    fn local_date(self, at: i64) -> NaiveDate {
        let local = at + i64::from(self.zone.offset_at(at));
        DateTime::from_timestamp(local, 0).map_or(NaiveDate::default(), |time| time.date_naive())
    }

    /// UTC second at which the `index`-th period of the local `day` begins.
    fn boundary(self, day: NaiveDate, index: i64) -> i64 {
        let local = day.and_time(chrono::NaiveTime::MIN) + TimeDelta::seconds(index * self.seconds);
        match self.zone.instants_of(local) {
            LocalTime::Once(at) | LocalTime::Twice(at, _) => at,
            LocalTime::Never => {
                let near = local.and_utc().timestamp() - i64::from(self.zone.offset_at(local.and_utc().timestamp()));
                first_change(self.zone, near - DAY, near + DAY).unwrap_or(near)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(length: &str, zone: &str) -> Period {
        Period::new(Length::parse(length).expect("length"), Zone::parse(zone).expect("zone")).expect("period")
    }

    fn at(text: &str) -> UtcTime {
        UtcTime::from_seconds(DateTime::parse_from_rfc3339(text).expect("time").timestamp()).expect("range")
    }

    /// Starts and lengths in minutes of the partitions from `from` until `to`.
    fn walk(period: Period, from: &str, to: &str) -> Vec<(String, i64)> {
        let mut partition = period.partition_at(at(from));
        let mut seen = Vec::new();
        while partition.start < at(to).seconds() {
            let start = DateTime::from_timestamp(partition.start, 0).expect("time");
            let offset = period.zone().offset_at(partition.start);
            let local = start + TimeDelta::seconds(i64::from(offset));
            let label = format!("{}{}", local.format("%dT%H:%M"), offset_label(offset));
            seen.push((label, (partition.end - partition.start) / 60));
            assert_eq!(period.partition_at(partition.start_time()), partition);
            assert_eq!(period.partition_at(UtcTime::from_nanos(partition.end_time().nanos() - 1)), partition);
            partition = period.next(partition);
        }
        seen
    }

    fn lines(list: &[(&str, i64)]) -> Vec<(String, i64)> {
        list.iter().map(|(label, minutes)| ((*label).to_owned(), *minutes)).collect()
    }

    #[test]
    fn clocks_going_back_in_new_york_make_two_hours_of_the_same_name() {
        assert_eq!(
            walk(period("1h", "America/New_York"), "2024-11-03T04:00:00Z", "2024-11-03T08:00:00Z"),
            lines(&[("03T00:00-04:00", 60), ("03T01:00-04:00", 60), ("03T01:00-05:00", 60), ("03T02:00-05:00", 60)])
        );
    }

    #[test]
    fn lord_howe_has_a_half_hour_when_its_clocks_go_back_and_when_they_go_forward() {
        assert_eq!(
            walk(period("1h", "Australia/Lord_Howe"), "2026-04-04T14:00:00Z", "2026-04-04T17:00:00Z"),
            lines(&[("05T01:00+11:00", 60), ("05T01:30+10:30", 30), ("05T02:00+10:30", 60), ("05T03:00+10:30", 60)])
        );
        assert_eq!(
            walk(period("1h", "Australia/Lord_Howe"), "2026-10-03T14:30:00Z", "2026-10-03T17:00:00Z"),
            lines(&[("04T01:00+10:30", 60), ("04T02:30+11:00", 30), ("04T03:00+11:00", 60)])
        );
    }

    #[test]
    fn half_hour_zones_have_hours_that_begin_at_half_past_utc() {
        let partition = period("1h", "Asia/Kolkata").partition_at(at("2026-11-03T05:45:00Z"));
        assert_eq!(
            partition,
            Partition { start: at("2026-11-03T05:30:00Z").seconds(), end: at("2026-11-03T06:30:00Z").seconds() }
        );
    }

    #[test]
    fn days_have_23_24_or_25_hours() {
        let days = |from: &str, to: &str| {
            walk(period("1d", "Europe/Berlin"), from, to).iter().map(|(_, m)| m / 60).collect::<Vec<_>>()
        };
        assert_eq!(days("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"), [24, 23, 24]);
        assert_eq!(days("2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"), [24, 25, 24]);
    }

    #[test]
    fn a_day_whose_midnight_does_not_exist_begins_after_the_gap() {
        let day = period("1d", "America/Sao_Paulo").partition_at(at("2018-11-04T12:00:00Z"));
        assert_eq!(day.start, at("2018-11-04T03:00:00Z").seconds());
        assert_eq!((day.end - day.start) / 3600, 23);
    }

    #[test]
    fn partitions_tile_five_years_without_gap_or_overlap() {
        for zone in [
            "Asia/Shanghai",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "America/St_Johns",
            "Africa/Casablanca",
        ] {
            for length in ["15m", "1h", "6h", "1d"] {
                let period = period(length, zone);
                let mut partition = period.partition_at(at("2024-01-01T00:00:00Z"));
                while partition.start < at("2029-01-01T00:00:00Z").seconds() {
                    let next = period.next(partition);
                    assert_eq!(next.start, partition.end, "{zone} {length}");
                    assert!(next.end > next.start, "{zone} {length}");
                    partition = next;
                }
            }
        }
    }

    #[test]
    fn periods_that_do_not_line_up_with_the_clock_are_refused() {
        for bad in ["0s", "30s", "7m", "45m", "90s", "5h", "2d", "61m"] {
            assert!(Period::new(Length::parse(bad).expect("length"), Zone::UTC).is_none(), "{bad}");
        }
        for good in ["1m", "15m", "30m", "1h", "90m", "6h", "1d"] {
            assert!(Period::new(Length::parse(good).expect("length"), Zone::UTC).is_some(), "{good}");
        }
    }

    #[test]
    fn zones_are_names_or_offsets() {
        assert_eq!(Zone::parse("+05:30"), Some(Zone::Fixed(19_800)));
        assert_eq!(Zone::parse("-00:30"), Some(Zone::Fixed(-1800)));
        for bad in ["", "+8", "+08:60", "+15:00", "Asia/Shangai", "+1:000"] {
            assert_eq!(Zone::parse(bad), None, "{bad}");
        }
    }
}
