//! Layouts that need no zone: RFC 3339, seconds since the epoch, Julian days.

use super::TimeFault;
use super::calendar::ClockReading;
use super::numeric::{eight_digits, parse_offset, push_digits, push_offset};
use crate::domain::period::Zone;
use crate::domain::time::UtcTime;
use crate::record::{Decimal, DecimalFault, Rounding};

/// The Julian day of 1970-01-01T00:00Z in milliseconds.
const JULIAN_EPOCH_MS: i128 = 210_866_760_000_000;
const DAY_MS: i128 = 86_400_000;

/// Where the seconds stand in a text of RFC 3339.
pub(super) const RFC3339_SECOND_AT: usize = 17;

/// RFC 3339 section 5.6, with `T`, `t` or a blank between date and time; the colon of the offset may be missing.
pub(super) fn parse_rfc3339(bytes: &[u8]) -> Result<ClockReading, TimeFault> {
    let (head, rest) = bytes.split_first_chunk::<19>().ok_or(TimeFault::NotADate)?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T' | b't' | b' ', h0, h1, b':', n0, n1, b':', s0, s1] = head
    else {
        return Err(TimeFault::NotADate);
    };
    let date = eight_digits([*y0, *y1, *y2, *y3, *m0, *m1, *d0, *d1]).ok_or(TimeFault::NotADate)?;
    let time = eight_digits([b'0', b'0', *h0, *h1, *n0, *n1, *s0, *s1]).ok_or(TimeFault::NotADate)?;
    let (nanos, rest) = match rest.split_first() {
        Some((b'.', rest)) => parse_fraction(rest).ok_or(TimeFault::NotADate)?,
        Some(_) | None => (0, rest),
    };
    let (offset, rest) = parse_offset(rest).ok_or(TimeFault::NotADate)?;
    if !rest.is_empty() {
        return Err(TimeFault::NotADate);
    }
    Ok(ClockReading {
        year: (date / 10_000).cast_signed(),
        month: date / 100 % 100,
        day: date % 100,
        hour: time / 10_000,
        minute: time / 100 % 100,
        second: time % 100,
        nanos,
        offset: Some(offset),
    })
}

/// One or more digits behind a point, as nanoseconds; digits past the ninth are cut off.
pub(super) fn parse_fraction(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = bytes.split_at_checked(length)?;
    if fraction.is_empty() {
        return None;
    }
    let digit = |place| u32::from(fraction.get(place).map_or(0, |byte| byte - b'0'));
    Some(((0..9).fold(0, |nanos, place| nanos * 10 + digit(place)), rest))
}

pub(super) fn write_rfc3339(reading: &ClockReading, zone: Zone, out: &mut Vec<u8>) {
    push_digits(reading.year.unsigned_abs(), 4, out);
    out.push(b'-');
    push_digits(reading.month, 2, out);
    out.push(b'-');
    push_digits(reading.day, 2, out);
    out.push(b'T');
    push_digits(reading.hour, 2, out);
    out.push(b':');
    push_digits(reading.minute, 2, out);
    out.push(b':');
    push_digits(reading.second, 2, out);
    push_fraction(reading.nanos, out);
    if zone == Zone::UTC { out.push(b'Z') } else { push_offset(reading.offset.unwrap_or(0), true, out) }
}

/// A point and 3, 6 or 9 digits, as many as are needed; nothing for a whole second.
pub(super) fn push_fraction(nanos: u32, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    if nanos.is_multiple_of(1_000_000) {
        push_digits(nanos / 1_000_000, 3, out);
    } else if nanos.is_multiple_of(1000) {
        push_digits(nanos / 1000, 6, out);
    } else {
        push_digits(nanos, 9, out);
    }
}

/// Seconds since the epoch times 10^`places`, with an optional sign and fraction.
pub(super) fn parse_epoch(bytes: &[u8], places: u32) -> Result<UtcTime, TimeFault> {
    if places == 0
        && let Some(seconds) = few_digits(bytes)
    {
        return seconds.checked_mul(1_000_000_000).map(UtcTime::from_nanos).ok_or(TimeFault::OutOfRange);
    }
    let (negative, number) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let whole = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = number.split_at_checked(whole).ok_or(TimeFault::NotADate)?;
    let fraction = match rest {
        [] => 0,
        [b'.', rest @ ..] => match parse_fraction(rest) {
            Some((nanos, [])) => i64::from(nanos),
            Some(_) | None => return Err(TimeFault::NotADate),
        },
        _ => return Err(TimeFault::NotADate),
    };
    if whole.is_empty() {
        return Err(TimeFault::NotADate);
    }
    let unit = 10i64.pow(9 - places);
    let nanos = whole
        .iter()
        .try_fold(0i64, |sum, byte| sum.checked_mul(10)?.checked_add(i64::from(byte - b'0')))
        .and_then(|count| count.checked_mul(unit))
        .and_then(|nanos| nanos.checked_add(fraction / 10i64.pow(places)))
        .ok_or(TimeFault::OutOfRange)?;
    Ok(UtcTime::from_nanos(if negative { -nanos } else { nanos }))
}

/// The number that up to 18 digits are.
#[inline]
fn few_digits(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > 18 {
        return None;
    }
    let (start, rest) = match bytes.split_first_chunk::<8>() {
        Some((eight, rest)) => (i64::from(eight_digits(*eight)?), rest),
        None => (0, bytes),
    };
    rest.iter().try_fold(start, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + i64::from(digit))
    })
}

pub(super) fn write_epoch(at: UtcTime, places: u32, out: &mut Vec<u8>) {
    let count = at.nanos().div_euclid(10i64.pow(9 - places));
    if count < 0 {
        out.push(b'-');
    }
    push_number(count.unsigned_abs(), out);
}

fn push_number(number: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = number;
    while rest > 0 || out.len() == start {
        out.push(b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
    }
    if let Some(written) = out.get_mut(start..) {
        written.reverse();
    }
}

/// A Julian day as a decimal number, rounded to the millisecond: a double holds no more of it.
pub(super) fn parse_julian(bytes: &[u8]) -> Result<UtcTime, TimeFault> {
    let out_of_range = |fault| match fault {
        DecimalFault::NotANumber => TimeFault::NotADate,
        DecimalFault::TooLong | DecimalFault::NotExact => TimeFault::OutOfRange,
    };
    let day = Decimal::parse(bytes).map_err(out_of_range)?;
    let milliseconds = day.scaled(DAY_MS, 1, 0, Rounding::HalfUp).map_err(out_of_range)?.mantissa() - JULIAN_EPOCH_MS;
    i64::try_from(milliseconds)
        .ok()
        .and_then(|ms| ms.checked_mul(1_000_000))
        .map(UtcTime::from_nanos)
        .ok_or(TimeFault::OutOfRange)
}

/// Nine digits behind the point: enough for the millisecond.
pub(super) fn write_julian(at: UtcTime, out: &mut Vec<u8>) {
    let milliseconds = i128::from(at.nanos().div_euclid(1_000_000)) + JULIAN_EPOCH_MS;
    let billionths = (milliseconds * 1_000_000_000 + DAY_MS / 2).div_euclid(DAY_MS);
    push_number(u64::try_from(billionths / 1_000_000_000).unwrap_or(0), out);
    out.push(b'.');
    push_digits(u32::try_from(billionths % 1_000_000_000).unwrap_or(0), 9, out);
}
