//! Times as people read and write them: in the feed's zone, ISO-like, with offset.

use super::Failure;
use crate::domain::period::{LocalTime, Partition, Zone, offset_label};
use crate::domain::time::{Length, UtcTime};
use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// How times are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Face {
    /// In this zone.
    pub zone: Zone,
}

impl Face {
    /// A UTC second in a strftime layout, on the clock of the zone.
    pub fn layout(self, second: i64, layout: &str) -> String {
        self.zone.clock_text(second, layout)
    }

    /// The offset in force, `+08:00`; `Z` in UTC.
    pub fn offset(self, second: i64) -> String {
        if self.zone == Zone::UTC { "Z".to_owned() } else { offset_label(self.zone.offset_at(second)) }
    }

    /// `2026-12-21 09:00 +08:00`.
    pub fn minute(self, second: i64) -> String {
        format!("{} {}", self.layout(second, "%Y-%m-%d %H:%M"), self.offset(second))
    }

    /// `2026-12-21 09:12:40 +08:00`.
    pub fn second(self, at: UtcTime) -> String {
        format!("{} {}", self.layout(at.seconds(), "%Y-%m-%d %H:%M:%S"), self.offset(at.seconds()))
    }

    /// `09:12:40` on the day of `beside`, else `2026-12-21 09:12:40`.
    pub fn second_beside(self, at: UtcTime, beside: i64) -> String {
        let day = |second| self.layout(second, "%Y-%m-%d");
        let layout = if day(at.seconds()) == day(beside) { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        self.layout(at.seconds(), layout)
    }

    /// `2026-12-21 09:00-10:00 +08:00`.
    pub fn hour(self, partition: Partition) -> String {
        let Partition { start, end } = partition;
        let same_day = self.layout(start, "%Y%m%d") == self.layout(end, "%Y%m%d");
        let midnight = self.layout(end, "%H%M") == "0000";
        let end_text = match (same_day, midnight) {
            (false, true) => "24:00".to_owned(),
            (true, _) => self.layout(end, "%H:%M"),
            (false, false) => self.layout(end, "%Y-%m-%d %H:%M"),
        };
        let offsets = if self.offset(start) == self.offset(end) {
            self.offset(start)
        } else {
            format!("{} to {}", self.offset(start), self.offset(end))
        };
        format!("{}-{end_text} {offsets}", self.layout(start, "%Y-%m-%d %H:%M"))
    }

    /// RFC 3339, for programs.
    pub fn iso(self, second: i64) -> String {
        format!("{}{}", self.layout(second, "%Y-%m-%dT%H:%M:%S"), self.offset(second))
    }

    /// An hour as it can be typed again: `2026-12-21T09:00`, with the offset where the clock shows it twice.
    pub fn argument(self, partition: Partition) -> String {
        let start = partition.start;
        let text = self.layout(start, "%Y-%m-%dT%H:%M");
        let local = DateTime::from_timestamp(start + i64::from(self.zone.offset_at(start)), 0).unwrap_or_default();
        let twice = matches!(self.zone.instants_of(local.naive_utc()), LocalTime::Twice(..));
        if twice || self.zone == Zone::UTC { format!("{text}{}", self.offset(start)) } else { text }
    }
}

/// A length of time to the precision that matters to a person: `42 s`, `42 min`, `3 h`, `12 d`.
pub fn rough(length: Length) -> String {
    let seconds = length.seconds();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

const WITH_OFFSET: [&str; 4] =
    ["%Y-%m-%dT%H:%M:%S%:z", "%Y-%m-%d %H:%M:%S%:z", "%Y-%m-%dT%H:%M%:z", "%Y-%m-%d %H:%M%:z"];
const LOCAL: [&str; 4] = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];

/// A time that was typed: RFC 3339, or a local time or date of `zone`.
///
/// # Errors
/// When it is no time, or the clock of the zone shows it twice or never.
pub fn parse_time(text: &str, zone: Zone) -> Result<UtcTime, Failure> {
    let plain = text.trim().replace('z', "Z").replace('Z', "+00:00");
    let plain = plain.replace(" +", "+").replace(" -", "-");
    let offset = WITH_OFFSET.iter().find_map(|layout| DateTime::parse_from_str(&plain, layout).ok());
    if let Some(at) = offset {
        return in_range(at.timestamp(), text);
    }
    let local = LOCAL.iter().find_map(|layout| NaiveDateTime::parse_from_str(&plain, layout).ok());
    let date = || NaiveDate::parse_from_str(&plain, "%Y-%m-%d").ok().map(|date| date.and_time(chrono::NaiveTime::MIN));
    let Some(local) = local.or_else(date) else {
        return Err(Failure::usage(format!("\"{text}\" is not a time"))
            .hint("write 2026-12-21T09:00 (in the feed's zone), 2026-12-21, or 2026-12-21T01:00Z"));
    };
    match zone.instants_of(local) {
        LocalTime::Once(at) => in_range(at, text),
        LocalTime::Twice(first, second) => {
            let labels = [first, second].map(|at| offset_label(zone.offset_at(at)));
            let hint = labels.map(|label| format!("{}{label}", local.format("%Y-%m-%dT%H:%M"))).join(" or ");
            Err(Failure::usage(format!("clocks of {zone} showed \"{text}\" twice")).hint(format!("write {hint}")))
        }
        LocalTime::Never => Err(Failure::usage(format!("clocks of {zone} never showed \"{text}\""))
            .hint("they were put forward over it; name the time with its offset")),
    }
}

fn in_range(second: i64, text: &str) -> Result<UtcTime, Failure> {
    UtcTime::from_seconds(second).ok_or_else(|| Failure::usage(format!("\"{text}\" is too far away")))
}

/// The first and the last second of a local date; a date whose midnight does not exist begins after the gap.
///
/// # Errors
/// When it is no date.
pub fn parse_day(text: &str, zone: Zone) -> Result<Partition, Failure> {
    let day = crate::domain::period::Period::new(crate::domain::time::Length::from_seconds(86_400), zone);
    let noon = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|date| date.and_hms_opt(12, 0, 0));
    let noon = noon.and_then(|noon| match zone.instants_of(noon) {
        LocalTime::Once(at) | LocalTime::Twice(at, _) => UtcTime::from_seconds(at),
        LocalTime::Never => None,
    });
    match (day, noon) {
        (Some(day), Some(noon)) => Ok(day.partition_at(noon)),
        _ => Err(Failure::usage(format!("\"{text}\" is not a date")).hint("write 2026-12-21")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::parse(name).expect("zone")
    }

    fn parsed(text: &str, name: &str) -> String {
        match parse_time(text, zone(name)) {
            Ok(at) => Face { zone: Zone::UTC }.iso(at.seconds()),
            Err(failure) => format!("{} | {}", failure.error, failure.hint.unwrap_or_default()),
        }
    }

    #[test]
    fn an_hour_is_typed_locally_with_an_offset_or_in_utc() {
        for text in [
            "2026-12-21T09:00",
            "2026-12-21 09:00",
            "2026-12-21T01:00Z",
            "2026-12-21 09:00 +08:00",
            "2026-12-21T09:00:00+08:00",
        ] {
            assert_eq!(parsed(text, "Asia/Shanghai"), "2026-12-21T01:00:00Z", "{text}");
        }
        assert_eq!(parsed("2026-12-21", "Asia/Shanghai"), "2026-12-20T16:00:00Z");
        assert_eq!(parsed("2026-12-20T19:00-05:00", "Asia/Shanghai"), "2026-12-21T00:00:00Z");
        assert!(parsed("yesterday", "UTC").starts_with("\"yesterday\" is not a time | write"));
    }

    #[test]
    fn a_time_that_clocks_show_twice_needs_its_offset() {
        assert_eq!(
            parsed("2024-11-03T01:00", "America/New_York"),
            "clocks of America/New_York showed \"2024-11-03T01:00\" twice | \
             write 2024-11-03T01:00-04:00 or 2024-11-03T01:00-05:00"
        );
        assert_eq!(parsed("2024-11-03T01:00-05:00", "America/New_York"), "2024-11-03T06:00:00Z");
        assert!(parsed("2026-03-08 02:30", "America/New_York").starts_with("clocks of America/New_York never showed"));
    }

    #[test]
    fn what_is_shown_can_be_typed_again() {
        let name = zone("America/New_York");
        let face = Face { zone: name };
        let period = crate::domain::period::Period::new(crate::domain::time::Length::from_seconds(3600), name);
        let period = period.expect("period");
        let mut hour = period.partition_at(parse_time("2024-11-02T22:00", name).expect("time"));
        for _ in 0..8 {
            assert_eq!(parse_time(&face.argument(hour), name).expect("time"), hour.start_time());
            hour = period.next(hour);
        }
    }

    #[test]
    fn hours_are_shown_with_their_offset() {
        let face = Face { zone: zone("America/New_York") };
        let hour = |start: i64, end: i64| face.hour(Partition { start, end });
        assert_eq!(hour(1_730_606_400, 1_730_610_000), "2024-11-03 00:00-01:00 -04:00");
        assert_eq!(hour(1_730_610_000, 1_730_613_600), "2024-11-03 01:00-01:00 -04:00 to -05:00");
        assert_eq!(hour(1_730_602_800, 1_730_606_400), "2024-11-02 23:00-24:00 -04:00");
        assert_eq!(face.minute(1_730_613_600), "2024-11-03 01:00 -05:00");
    }

    #[test]
    fn a_day_has_23_24_or_25_hours() {
        let hours = |text: &str| {
            let day = parse_day(text, zone("America/New_York")).expect("day");
            (day.end - day.start) / 3600
        };
        assert_eq!((hours("2024-11-03"), hours("2024-11-04"), hours("2026-03-08")), (25, 24, 23));
        assert!(parse_day("03.11.2024", Zone::UTC).is_err());
    }
}
