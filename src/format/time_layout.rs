//! How points in time are written in partner files.
//!
//! Layouts made of plain numbers (most are) are read and written by our own code; chrono does the rest, such as names
//! of months. Reading is strict: a number has exactly the digits that its layout says, a date exists, an hour is below
//! 24. A leap second belongs to the hour that it ends and is read as the last nanosecond of it.

mod calendar;
mod instants;
mod numeric;
mod reading;
mod writing;

pub use calendar::Ambiguous;
pub use reading::TimeParser;
pub use writing::TimeWriter;

use crate::domain::period::Zone;
use crate::domain::time::UtcTime;
use calendar::{ClockReading, DateCache, LocalClock};
use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems};
use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use numeric::Step;

/// Nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// Why a text is not a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeFault {
    /// It does not follow the layout, or there is no such date or time of day.
    #[error("is not a date and time of the declared layout")]
    NotADate,
    /// Clocks were put forward over it.
    #[error("does not exist in its time zone: clocks were put forward over it")]
    DoesNotExist,
    /// Clocks were put back over it, and no policy says which of the two is meant.
    #[error("happened twice in its time zone: clocks were put back over it")]
    ShownTwice,
    /// Before the year 1678 or after 2261.
    #[error("is outside the years 1678 to 2261")]
    OutOfRange,
}

/// A compiled layout.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimeLayout(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Rfc3339,
    /// Number of decimal places by which seconds are shifted: 0, 3 or 6.
    Epoch(u32),
    Julian,
    Numeric(Vec<Step>),
    Chrono(Vec<Item<'static>>),
}

impl TimeLayout {
    /// Compiles `rfc3339`, `epoch_s`, `epoch_ms`, `epoch_us`, `julian` (Julian day as a real number, UTC) or a
    /// strftime text such as `%Y%m%d%H%M%S`.
    ///
    /// # Errors
    /// A message when it is none of these, or prints names of time zones, which nobody could read back.
    pub fn compile(text: &str) -> Result<Self, String> {
        let kind = match text {
            "rfc3339" => Kind::Rfc3339,
            "epoch_s" => Kind::Epoch(0),
            "epoch_ms" => Kind::Epoch(3),
            "epoch_us" => Kind::Epoch(6),
            "julian" => Kind::Julian,
            _ => compile_strftime(text)?,
        };
        Ok(Self(kind))
    }

    /// True when the layout alone says which instant is meant, so that no zone is needed to read it.
    #[must_use]
    pub fn shows_offset(&self) -> bool {
        match &self.0 {
            Kind::Rfc3339 | Kind::Epoch(_) | Kind::Julian => true,
            Kind::Numeric(steps) => steps.iter().any(|step| matches!(step, Step::Offset { .. })),
            Kind::Chrono(items) => items.iter().any(is_offset),
        }
    }

    /// True when it shows date and time in numbers as fine as steps of `seconds`: then times that lie so far apart, on a
    /// clock that is not changed between them, have different texts.
    #[must_use]
    pub fn tells_apart(&self, seconds: i64) -> bool {
        const DAY: i64 = 86_400;
        let Kind::Numeric(steps) = &self.0 else { return false };
        let date = [Step::Year, Step::Month, Step::Day];
        let time = [(Step::Hour, DAY), (Step::Minute, 3600), (Step::Second, 60)];
        let finer = time.iter().filter(|(_, unit)| seconds < *unit).map(|(step, _)| step);
        date.iter().chain(finer).all(|step| steps.contains(step))
    }

    /// True when a text of this layout names a date, so that it can be read. Parts of the day that the layout does not
    /// show count as zero.
    #[must_use]
    pub fn names_a_date(&self) -> bool {
        let noon = UtcTime::from_nanos(1_773_489_906_000_000_000);
        let mut text = Vec::new();
        self.write(noon, Zone::UTC, &mut text);
        self.parse(&text, Zone::UTC, Ambiguous::Reject).is_ok()
    }

    /// Reads a time. `zone` is used when the layout shows no offset.
    ///
    /// # Errors
    /// [`TimeFault`].
    pub fn parse(&self, bytes: &[u8], zone: Zone, ambiguous: Ambiguous) -> Result<UtcTime, TimeFault> {
        self.parse_with(bytes, &mut LocalClock::new(zone, ambiguous))
    }

    fn parse_with(&self, bytes: &[u8], clock: &mut LocalClock) -> Result<UtcTime, TimeFault> {
        match &self.0 {
            Kind::Rfc3339 => instants::parse_rfc3339(bytes)?.resolve(clock),
            Kind::Epoch(places) => instants::parse_epoch(bytes, *places),
            Kind::Julian => instants::parse_julian(bytes),
            Kind::Numeric(steps) => numeric::parse(steps, bytes)?.resolve(clock),
            Kind::Chrono(items) => parse_by_chrono(items, bytes, clock),
        }
    }

    /// Appends `at` as the clock of `zone` shows it. Digits that the layout does not show are cut off.
    pub fn write(&self, at: UtcTime, zone: Zone, out: &mut Vec<u8>) {
        let offset = if self.needs_offset() { zone.offset_at(at.seconds()) } else { 0 };
        self.write_at_offset(at, zone, (offset, &mut DateCache::new()), out);
    }

    /// Where the seconds stand in a text, when they are two digits at the same place in all texts, and the rest is the same
    /// within a minute.
    fn second_at(&self) -> Option<usize> {
        match &self.0 {
            Kind::Rfc3339 => Some(instants::RFC3339_SECOND_AT),
            Kind::Numeric(steps) => numeric::second_at(steps),
            Kind::Epoch(_) | Kind::Julian | Kind::Chrono(_) => None,
        }
    }

    const fn needs_offset(&self) -> bool {
        match self.0 {
            Kind::Rfc3339 | Kind::Numeric(_) | Kind::Chrono(_) => true,
            Kind::Epoch(_) | Kind::Julian => false,
        }
    }

    fn write_at_offset(&self, at: UtcTime, zone: Zone, (offset, dates): (i32, &mut DateCache), out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Rfc3339 => instants::write_rfc3339(&ClockReading::of(at, offset, dates), zone, out),
            Kind::Epoch(places) => instants::write_epoch(at, *places, out),
            Kind::Julian => instants::write_julian(at, out),
            Kind::Numeric(steps) => numeric::write(steps, &ClockReading::of(at, offset, dates), out),
            Kind::Chrono(items) => write_by_chrono(items, at, offset, out),
        }
    }
}

fn compile_strftime(text: &str) -> Result<Kind, String> {
    let items = StrftimeItems::new(text).parse_to_owned().map_err(|_| {
        "an unknown `%` in the layout; known are those of strftime, such as %Y %m %d %H %M %S".to_owned()
    })?;
    if items.contains(&Item::Fixed(Fixed::TimezoneName)) {
        return Err("names of time zones (%Z) are ambiguous; use the offset %z".to_owned());
    }
    // chrono reads this one but cannot write it; `%z` reads both spellings of an offset.
    if let Some(permissive) = StrftimeItems::new("%#z").next()
        && items.contains(&permissive)
    {
        return Err("%#z cannot be written; %z reads offsets with and without a colon".to_owned());
    }
    if !items.iter().any(|item| matches!(item, Item::Numeric(..) | Item::Fixed(_))) {
        return Err("not rfc3339, epoch_s, epoch_ms, epoch_us, julian or a strftime layout such as %Y%m%d".to_owned());
    }
    Ok(numeric::steps(&items).map_or(Kind::Chrono(items), Kind::Numeric))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "chrono's items that are no offset are none of our business")]
fn is_offset(item: &Item<'_>) -> bool {
    match item {
        Item::Numeric(Numeric::Timestamp, _) => true,
        Item::Fixed(fixed) => matches!(
            fixed,
            Fixed::TimezoneOffset
                | Fixed::TimezoneOffsetColon
                | Fixed::TimezoneOffsetDoubleColon
                | Fixed::TimezoneOffsetTripleColon
                | Fixed::TimezoneOffsetColonZ
                | Fixed::TimezoneOffsetZ
                | Fixed::RFC2822
                | Fixed::RFC3339
        ),
        _ => false,
    }
}

fn parse_by_chrono(items: &[Item<'_>], bytes: &[u8], clock: &mut LocalClock) -> Result<UtcTime, TimeFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| TimeFault::NotADate)?;
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, items.iter()).map_err(|_| TimeFault::NotADate)?;
    if let Some(seconds) = parsed.timestamp() {
        return UtcTime::from_seconds(seconds).ok_or(TimeFault::OutOfRange);
    }
    if parsed.hour_div_12().is_none() && parsed.hour_mod_12().is_none() {
        parsed.set_hour(0).map_err(|_| TimeFault::NotADate)?;
    }
    if parsed.minute().is_none() {
        parsed.set_minute(0).map_err(|_| TimeFault::NotADate)?;
    }
    let date = parsed.to_naive_date().map_err(|_| TimeFault::NotADate)?;
    let time = parsed.to_naive_time().map_err(|_| TimeFault::NotADate)?;
    let leap = time.nanosecond() >= 1_000_000_000;
    ClockReading {
        year: date.year(),
        month: date.month(),
        day: date.day(),
        hour: time.hour(),
        minute: time.minute(),
        second: if leap { 60 } else { time.second() },
        nanos: time.nanosecond() % 1_000_000_000,
        offset: parsed.offset(),
    }
    .resolve(clock)
}

fn write_by_chrono(items: &[Item<'_>], at: UtcTime, offset: i32, out: &mut Vec<u8>) {
    struct Bytes<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    let zone = FixedOffset::east_opt(offset);
    let utc = DateTime::from_timestamp(at.seconds(), at.subsecond_nanos());
    let (Some(zone), Some(utc)) = (zone, utc) else { return };
    let written = utc.with_timezone(&zone).format_with_items(items.iter()).write_to(&mut Bytes(out));
    assert!(written.is_ok(), "every item was compiled, and memory takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> UtcTime {
        let at = DateTime::parse_from_rfc3339(text).expect("time");
        UtcTime::from_nanos(at.timestamp_nanos_opt().expect("range"))
    }

    fn zone(name: &str) -> Zone {
        Zone::parse(name).expect("zone")
    }

    fn parse(layout: &str, text: &str) -> Result<UtcTime, TimeFault> {
        parse_in(layout, text, "UTC")
    }

    fn parse_in(layout: &str, text: &str, name: &str) -> Result<UtcTime, TimeFault> {
        let layout = TimeLayout::compile(layout).expect("layout");
        let plain = layout.parse(text.as_bytes(), zone(name), Ambiguous::Reject);
        let mut remembering = TimeParser::new(layout, zone(name), Ambiguous::Reject);
        assert_eq!(remembering.parse(text.as_bytes()), plain, "first time");
        assert_eq!(remembering.parse(text.as_bytes()), plain, "from memory");
        plain
    }

    #[test]
    fn a_parser_says_the_same_whatever_it_remembers() {
        let layout = TimeLayout::compile("rfc3339").expect("layout");
        let mut remembering = TimeParser::new(layout.clone(), Zone::UTC, Ambiguous::Reject);
        let texts = [
            "2026-03-14T15:09:26Z",
            "2026-03-14T15:09:27Z",
            "2026-03-14T15:09:2Z",
            "2026-03-14T15:09:26Z",
            "2026-03-14T15:09:60Z",
            "2026-03-14T15:09:6 Z",
            "2026-03-14T15:19:26Z",
            "2026-03-14T15:19:26.5Z",
            "2026-03-14T15:19:27.5Z",
            "2016-12-31T23:59:58Z",
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:61Z",
            "2261-12-31T23:59:59+00:00",
            "",
        ];
        let long = "2026-03-14T15:09:26.123456789123456789Z";
        for text in texts.iter().chain([&long]).cycle().take(60) {
            let plain = layout.parse(text.as_bytes(), Zone::UTC, Ambiguous::Reject);
            assert_eq!(remembering.parse(text.as_bytes()), plain, "{text}");
        }
    }

    fn write(layout: &str, at: UtcTime, name: &str) -> String {
        let layout = TimeLayout::compile(layout).expect("layout");
        let mut plain = Vec::new();
        layout.write(at, zone(name), &mut plain);
        let mut writer = TimeWriter::new(layout, zone(name));
        for _ in 0..2 {
            let (bytes, length) = writer.text(at);
            assert_eq!(plain, bytes[..length]);
        }
        String::from_utf8(plain).expect("UTF-8")
    }

    #[test]
    fn every_layout_reads_what_it_writes() {
        let at = utc("2026-03-14T15:09:26.535Z");
        let whole = utc("2026-03-14T15:09:26Z");
        let cases = [
            ("rfc3339", "2026-03-14T23:09:26.535+08:00", at),
            ("epoch_s", "1773500966", whole),
            ("epoch_ms", "1773500966535", at),
            ("epoch_us", "1773500966535000", at),
            ("julian", "2461114.131557118", at),
            ("%Y%m%d%H%M%S", "20260314230926", whole),
            ("%Y%m%d%H%M%S%z", "20260314230926+0800", whole),
            ("%Y-%m-%dT%H:%M:%S%.3f%:z", "2026-03-14T23:09:26.535+08:00", at),
            ("%Y/%m/%d %H:%M:%S%.f", "2026/03/14 23:09:26.535", at),
            ("%d.%m.%Y %T", "14.03.2026 23:09:26", whole),
            ("%Y%m%d%H%M%S%3f", "20260314230926535", at),
            ("%d/%b/%Y:%H:%M:%S %z", "14/Mar/2026:23:09:26 +0800", whole),
            ("%y%j%H%M%S", "26073230926", whole),
            ("%m/%d/%Y %I:%M:%S %p", "03/14/2026 11:09:26 PM", whole),
            ("%s", "1773500966", whole),
        ];
        for (layout, text, instant) in cases {
            assert_eq!(write(layout, at, "Asia/Shanghai"), text, "{layout}");
            assert_eq!(parse_in(layout, text, "Asia/Shanghai"), Ok(instant), "{layout}");
            assert!(TimeLayout::compile(layout).expect("layout").names_a_date(), "{layout}");
        }
    }

    #[test]
    fn our_own_writing_is_that_of_chrono() {
        for layout in ["%Y%m%d%H%M%S", "%Y-%m-%d %H:%M:%S%.f %z", "%H:%M:%S%.6f%:z", "%Y %3f %6f %9f %.9f %F %R %D"] {
            for seconds in [-9_000_000_000i64, -1, 0, 951_782_400, 1_709_164_799, 4_102_444_800, 9_000_000_000] {
                for nanos in [0, 120_000_000, 123_456_000, 1] {
                    let at = UtcTime::from_nanos(seconds * 1_000_000_000 + nanos);
                    for name in ["UTC", "America/St_Johns", "-00:30", "+14:00"] {
                        let offset = zone(name).offset_at(at.seconds());
                        let time = DateTime::from_timestamp(at.seconds(), at.subsecond_nanos()).expect("time");
                        let local = time.with_timezone(&FixedOffset::east_opt(offset).expect("offset"));
                        assert_eq!(write(layout, at, name), local.format(layout).to_string(), "{layout} {name}");
                    }
                }
            }
        }
    }

    #[test]
    fn dates_and_times_that_do_not_exist_are_refused() {
        let bad = [
            "20260230120000",
            "20250229120000",
            "20261301120000",
            "20260100120000",
            "20260101240000",
            "20260101250000",
            "20260101126000",
            "20260101120061",
            "20260101120060",
            "2026010112000",
            "202601011200000",
            "2026010112000x",
            " 20260101120000",
            "",
        ];
        for text in bad {
            assert_eq!(parse("%Y%m%d%H%M%S", text), Err(TimeFault::NotADate), "{text}");
        }
        for bad in [
            "2026-02-30T00:00:00Z",
            "2026-01-01T25:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01",
            "2026-01-01T00:00:00+2400",
        ] {
            assert_eq!(parse("rfc3339", bad), Err(TimeFault::NotADate), "{bad}");
        }
        assert_eq!(parse("%d/%b/%Y:%H:%M:%S %z", "30/Feb/2026:00:00:00 +0000"), Err(TimeFault::NotADate));
        assert_eq!(parse("%Y%m%d", "20240229"), Ok(utc("2024-02-29T00:00:00Z")));
    }

    #[test]
    fn numbers_of_seconds_are_exact_and_bounded() {
        assert_eq!(parse("epoch_s", "1497952162.0"), Ok(utc("2017-06-20T09:49:22Z")));
        assert_eq!(parse("epoch_s", "0.123456789987"), Ok(UtcTime::from_nanos(123_456_789)));
        assert_eq!(parse("epoch_s", "-1.5"), Ok(UtcTime::from_nanos(-1_500_000_000)));
        assert_eq!(parse("epoch_s", "4070908800"), Ok(utc("2099-01-01T00:00:00Z")));
        assert_eq!(parse("epoch_s", "0"), Ok(utc("1970-01-01T00:00:00Z")));
        for absurd in ["9999999999999", "-9999999999999", "99999999999999999999999999"] {
            assert_eq!(parse("epoch_s", absurd), Err(TimeFault::OutOfRange), "{absurd}");
        }
        for bad in ["", ".", "-", "1.", ".5", "1e9", "+5", "12 ", "0x10", "1.2.3"] {
            assert_eq!(parse("epoch_s", bad), Err(TimeFault::NotADate), "{bad}");
        }
    }

    #[test]
    fn julian_days_are_read_to_the_millisecond() {
        // Rows 1 to 3 of a table that Kamailio 5.6 wrote through db_sqlite.
        assert_eq!(parse("julian", "2460764.50884838"), Ok(utc("2025-03-30T00:12:44.500Z")));
        assert_eq!(parse("julian", "2460764.50859375"), Ok(utc("2025-03-30T00:12:22.500Z")));
        assert_eq!(parse("julian", "2440587.5"), Ok(UtcTime::from_nanos(0)));
        assert_eq!(parse("julian", "1"), Err(TimeFault::OutOfRange));
        assert_eq!(parse("julian", "yesterday"), Err(TimeFault::NotADate));
    }

    #[test]
    fn a_local_time_in_the_gap_does_not_exist() {
        let layout = "%Y-%m-%d %H:%M:%S";
        assert_eq!(parse_in(layout, "2025-03-09 02:30:00", "America/New_York"), Err(TimeFault::DoesNotExist));
        assert_eq!(parse_in(layout, "2025-03-09 03:00:00", "America/New_York"), Ok(utc("2025-03-09T07:00:00Z")));
    }

    #[test]
    fn a_local_time_shown_twice_follows_the_policy() {
        let layout = TimeLayout::compile("%Y-%m-%d %H:%M:%S").expect("layout");
        let parse = |policy| layout.parse(b"2024-11-03 01:30:00", zone("America/New_York"), policy);
        assert_eq!(parse(Ambiguous::Reject), Err(TimeFault::ShownTwice));
        assert_eq!(parse(Ambiguous::First), Ok(utc("2024-11-03T05:30:00Z")));
        assert_eq!(parse(Ambiguous::Second), Ok(utc("2024-11-03T06:30:00Z")));
    }

    #[test]
    fn remembered_offsets_are_those_of_the_zone() {
        let layout = TimeLayout::compile("%Y-%m-%d %H:%M:%S").expect("layout");
        for name in
            ["America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "America/Sao_Paulo"]
        {
            let mut remembering = TimeParser::new(layout.clone(), zone(name), Ambiguous::Reject);
            let mut writer = TimeWriter::new(layout.clone(), zone(name));
            for step in 0..35_000i64 {
                let at = UtcTime::from_nanos((1_514_764_800 + step * 901) * 1_000_000_000);
                let (mut text, mut again) = (Vec::new(), Vec::new());
                layout.write(at, zone(name), &mut text);
                let (bytes, length) = writer.text(at);
                again.extend_from_slice(&bytes[..length]);
                assert_eq!(text, again, "{name} {step}");
                let plain = layout.parse(&text, zone(name), Ambiguous::Reject);
                assert_eq!(remembering.parse(&text), plain, "{name} {step}");
                assert!(plain == Ok(at) || plain == Err(TimeFault::ShownTwice), "{name} {step} {plain:?}");
            }
        }
    }

    #[test]
    fn times_in_a_row_are_written_and_read_as_each_by_itself() {
        let layouts =
            ["%Y%m%d%H%M%S", "%S %H:%M %d.%m.%Y", "%H:%M:%S%z", "%H%M%S%.3f", "%H:%M", "%S%S", "rfc3339", "epoch_s"];
        // Clocks of Monrovia were 44 minutes and 30 seconds behind until 1972, those of Lord Howe move by half an hour.
        let zones = ["UTC", "Africa/Monrovia", "Australia/Lord_Howe", "Asia/Kathmandu"];
        for (layout, name) in layouts.iter().flat_map(|layout| zones.map(|name| (layout, name))) {
            let layout = TimeLayout::compile(layout).expect("layout");
            let mut writer = TimeWriter::new(layout.clone(), zone(name));
            let mut parser = TimeParser::new(layout.clone(), zone(name), Ambiguous::Reject);
            // The steps around it begin in the first minute that can be counted.
            let first = UtcTime::MIN.seconds() + 1051;
            let changes = [63_593_069, -2_208_988_800, 1_728_142_200, 1_712_415_600, first];
            for second in changes.into_iter().flat_map(|change| (-150..150i64).map(move |step| change + step * 7)) {
                let at = UtcTime::from_nanos(second * 1_000_000_000 + second.rem_euclid(3) * 1_000_000);
                let (mut text, mut again) = (b"|".to_vec(), b"|".to_vec());
                layout.write(at, zone(name), &mut text);
                let (bytes, length) = writer.text(at);
                again.extend_from_slice(&bytes[..length]);
                assert_eq!(text, again, "{name} {second}");
                let plain = layout.parse(&text[1..], zone(name), Ambiguous::Reject);
                assert_eq!(parser.parse(&text[1..]), plain, "{name} {second}");
            }
        }
    }

    #[test]
    fn a_leap_second_belongs_to_the_hour_it_ends() {
        let last = UtcTime::from_nanos(utc("2017-01-01T00:00:00Z").nanos() - 1);
        assert_eq!(parse("%Y%m%d%H%M%S", "20161231235960"), Ok(last));
        assert_eq!(parse_in("%Y%m%d%H%M%S", "20170101075960", "Asia/Shanghai"), Ok(last));
        assert_eq!(parse("rfc3339", "2016-12-31T18:59:60.5-05:00"), Ok(last));
        assert_eq!(parse("%d/%b/%Y:%H:%M:%S", "31/Dec/2016:23:59:60"), Ok(last));
        assert_eq!(parse("%d/%b/%Y:%H:%M:%S", "31/Dec/2016:22:59:60"), Err(TimeFault::NotADate));
    }

    #[test]
    fn times_outside_the_range_are_refused() {
        for text in ["16770101000000", "22630101000000", "00000101000000", "99991231235959"] {
            assert_eq!(parse("%Y%m%d%H%M%S", text), Err(TimeFault::OutOfRange), "{text}");
        }
        for text in ["16780101000000", "22620101000000", "20990101000000"] {
            assert!(parse("%Y%m%d%H%M%S", text).is_ok(), "{text}");
        }
    }

    #[test]
    fn rfc3339_is_read_in_all_its_spellings() {
        let at = utc("2026-03-14T15:09:26Z");
        for text in [
            "2026-03-14T15:09:26Z",
            "2026-03-14 15:09:26z",
            "2026-03-14t15:09:26.000+00:00",
            "2026-03-14T20:39:26+05:30",
        ] {
            assert_eq!(parse("rfc3339", text), Ok(at), "{text}");
        }
        assert_eq!(write("rfc3339", at, "UTC"), "2026-03-14T15:09:26Z");
        assert_eq!(write("rfc3339", at, "Europe/London"), "2026-03-14T15:09:26+00:00");
        assert_eq!(write("rfc3339", UtcTime::from_nanos(1_500_000), "UTC"), "1970-01-01T00:00:00.001500Z");
    }

    #[test]
    fn layouts_that_make_no_sense_are_refused() {
        for bad in ["%Q", "epoch", "%Y %Z", "%Y %#z", "", "%"] {
            assert!(TimeLayout::compile(bad).is_err(), "{bad}");
        }
        for partial in ["%H:%M:%S", "%m%d"] {
            assert!(!TimeLayout::compile(partial).expect("layout").names_a_date(), "{partial}");
        }
        let shows = |text: &str| TimeLayout::compile(text).expect("layout").shows_offset();
        assert!(shows("%Y%z") && shows("rfc3339") && shows("%b %z") && shows("epoch_ms") && shows("%s") && shows("%+"));
        assert!(!shows("%Y%m%d") && !shows("%d %b %Y"));
    }
}
