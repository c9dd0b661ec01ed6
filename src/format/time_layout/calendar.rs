//! From what a clock shows to an instant and back.

use super::TimeFault;
use crate::domain::period::{LocalTime, Zone};
use crate::domain::time::UtcTime;
use chrono::DateTime;
use std::ops::Range;

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// What to do with a local time that clocks showed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ambiguous {
    /// The first occurrence is meant.
    First,
    /// The second occurrence is meant.
    Second,
    /// The record goes to quarantine.
    #[default]
    Reject,
}

/// What calendar and clock show, and the offset when it is shown as well.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClockReading {
    pub(super) year: i32,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) nanos: u32,
    /// Seconds east of UTC.
    pub(super) offset: Option<i32>,
}

impl ClockReading {
    /// What a clock at `offset` seconds east of UTC shows.
    #[inline]
    pub(super) fn of(at: UtcTime, offset: i32, dates: &mut DateCache) -> Self {
        let local = at.seconds() + i64::from(offset);
        let (year, month, day) = dates.date_of(local.div_euclid(DAY));
        let second = u32::try_from(local.rem_euclid(DAY)).unwrap_or(0);
        Self {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            nanos: at.subsecond_nanos(),
            offset: Some(offset),
        }
    }

    /// The instant that is meant.
    pub(super) fn resolve(self, clock: &mut LocalClock) -> Result<UtcTime, TimeFault> {
        let day = day_number(self.year, self.month, self.day).ok_or(TimeFault::NotADate)?;
        if self.hour > 23 || self.minute > 59 || self.second > 60 {
            return Err(TimeFault::NotADate);
        }
        let leap = self.second == 60;
        let seconds = self.hour * 3600 + self.minute * 60 + self.second - u32::from(leap);
        let local = day * DAY + i64::from(seconds);
        let utc = match self.offset {
            Some(offset) => local - i64::from(offset),
            None => clock.utc_of(local)?,
        };
        let nanos = match (leap, utc.rem_euclid(DAY) == DAY - 1) {
            (false, _) => self.nanos,
            (true, true) => 999_999_999,
            (true, false) => return Err(TimeFault::NotADate),
        };
        utc.checked_mul(1_000_000_000)
            .and_then(|at| at.checked_add(i64::from(nanos)))
            .map(UtcTime::from_nanos)
            .ok_or(TimeFault::OutOfRange)
    }
}

/// A zone's clock with the policy for hours shown twice, and the offset of the local hour that was asked for last.
#[derive(Debug, Clone)]
pub(super) struct LocalClock {
    zone: Zone,
    ambiguous: Ambiguous,
    /// A local hour (counted from the epoch) in which every time happened once and at this offset.
    hour: Option<(i64, i64)>,
}

impl LocalClock {
    pub(super) const fn new(zone: Zone, ambiguous: Ambiguous) -> Self {
        Self { zone, ambiguous, hour: None }
    }

    /// UTC second at which the clock showed the `local` second.
    fn utc_of(&mut self, local: i64) -> Result<i64, TimeFault> {
        let hour = local.div_euclid(HOUR);
        if let Some((remembered, offset)) = self.hour
            && remembered == hour
        {
            return Ok(local - offset);
        }
        // An hour whose first and last second happened once, at one offset, has no change of clocks in it.
        if let (LocalTime::Once(first), LocalTime::Once(last)) =
            (self.instants_of(hour * HOUR)?, self.instants_of(hour * HOUR + HOUR - 1)?)
            && last - first == HOUR - 1
        {
            self.hour = Some((hour, hour * HOUR - first));
            return Ok(first + local.rem_euclid(HOUR));
        }
        match (self.instants_of(local)?, self.ambiguous) {
            (LocalTime::Never, _) => Err(TimeFault::DoesNotExist),
            (LocalTime::Once(at), _) | (LocalTime::Twice(at, _), Ambiguous::First) => Ok(at),
            (LocalTime::Twice(_, at), Ambiguous::Second) => Ok(at),
            (LocalTime::Twice(..), Ambiguous::Reject) => Err(TimeFault::ShownTwice),
        }
    }

    /// True when the clock is known not to change in the hour that it shows at a UTC second.
    pub(super) fn is_steady_at(&self, utc: i64) -> bool {
        self.hour.is_some_and(|(hour, offset)| (utc + offset).div_euclid(HOUR) == hour)
    }

    fn instants_of(&self, local: i64) -> Result<LocalTime, TimeFault> {
        let local = DateTime::from_timestamp(local, 0).ok_or(TimeFault::OutOfRange)?;
        Ok(self.zone.instants_of(local.naive_utc()))
    }
}

/// The date of the day that was asked for last.
#[derive(Debug, Clone)]
pub(super) struct DateCache {
    day: Option<(i64, (i32, u32, u32))>,
}

impl DateCache {
    pub(super) const fn new() -> Self {
        Self { day: None }
    }

    #[inline]
    fn date_of(&mut self, day: i64) -> (i32, u32, u32) {
        match self.day {
            Some((known, date)) if known == day => date,
            _ => {
                let date = date_of(day);
                self.day = Some((day, date));
                date
            }
        }
    }
}

/// The offset of the UTC hour that was asked for last.
#[derive(Debug, Clone)]
pub(super) struct OffsetCache {
    hour: Option<(i64, i32)>,
}

impl OffsetCache {
    pub(super) const fn new() -> Self {
        Self { hour: None }
    }

    /// Seconds east of UTC in force in `zone` at a UTC second, and the seconds around it of which that is known.
    pub(super) fn offset_at(&mut self, zone: Zone, utc: i64) -> (i32, Range<i64>) {
        let hour = utc.div_euclid(HOUR);
        let seconds = hour * HOUR..(hour + 1) * HOUR;
        if let Some((remembered, offset)) = self.hour
            && remembered == hour
        {
            return (offset, seconds);
        }
        let (first, last) = (zone.offset_at(seconds.start), zone.offset_at(seconds.end - 1));
        if first == last {
            self.hour = Some((hour, first));
            return (first, seconds);
        }
        (zone.offset_at(utc), utc..utc + 1)
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; `None` when there is no such date.
fn day_number(year: i32, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
        return None;
    }
    // The year begins in March, so that the leap day is its last.
    let year = i64::from(year) - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * i64::from((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

const fn days_in(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "days of i64 nanoseconds are few")]
const fn date_of(day: i64) -> (i32, u32, u32) {
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year as i32, month as u32, (day_of_year - (153 * shifted + 2) / 5 + 1) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn the_calendar_is_that_of_chrono() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("date");
        let mut date = NaiveDate::from_ymd_opt(1599, 12, 31).expect("date");
        while date.year() < 2410 {
            let day = (date - epoch).num_days();
            assert_eq!(day_number(date.year(), date.month(), date.day()), Some(day), "{date}");
            assert_eq!(date_of(day), (date.year(), date.month(), date.day()));
            date = date.succ_opt().expect("date");
        }
        for (year, month) in [(1900, 2), (2000, 2), (2024, 2), (2023, 4), (2023, 12)] {
            for day in 0..33 {
                let exists = NaiveDate::from_ymd_opt(year, month, day).is_some();
                assert_eq!(day_number(year, month, day).is_some(), exists, "{year}-{month}-{day}");
            }
        }
    }
}
