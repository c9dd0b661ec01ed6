//! Layouts that consist of plain numbers of fixed width, literal characters and an offset.

use super::TimeFault;
use super::calendar::ClockReading;
use super::instants::{parse_fraction, push_fraction};
use chrono::format::{Fixed, Item, Numeric, Pad, StrftimeItems};

/// One piece of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Literal(u8),
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// So many digits of the fraction of a second, with or without a point before them.
    Fraction {
        places: u32,
        point: bool,
    },
    /// A point and as many digits as are needed, or nothing.
    AnyFraction,
    /// `+HHMM` or `+HH:MM`.
    Offset {
        colon: bool,
    },
}

/// The steps of a layout; `None` when it holds anything else.
pub(super) fn steps(items: &[Item<'_>]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for item in items {
        match item {
            Item::Literal(text) | Item::Space(text) => steps.extend(text.bytes().map(Step::Literal)),
            Item::OwnedLiteral(text) | Item::OwnedSpace(text) => steps.extend(text.bytes().map(Step::Literal)),
            Item::Numeric(number, Pad::Zero) => steps.push(numeric_step(number)?),
            Item::Fixed(fixed) => steps.push(fixed_step(fixed)?),
            Item::Numeric(_, Pad::None | Pad::Space) | Item::Error => return None,
        }
    }
    Some(steps)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other numbers are left to chrono")]
const fn numeric_step(number: &Numeric) -> Option<Step> {
    match number {
        Numeric::Year => Some(Step::Year),
        Numeric::Month => Some(Step::Month),
        Numeric::Day => Some(Step::Day),
        Numeric::Hour => Some(Step::Hour),
        Numeric::Minute => Some(Step::Minute),
        Numeric::Second => Some(Step::Second),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other texts are left to chrono")]
fn fixed_step(fixed: &Fixed) -> Option<Step> {
    match fixed {
        Fixed::Nanosecond => Some(Step::AnyFraction),
        Fixed::Nanosecond3 => Some(Step::Fraction { places: 3, point: true }),
        Fixed::Nanosecond6 => Some(Step::Fraction { places: 6, point: true }),
        Fixed::Nanosecond9 => Some(Step::Fraction { places: 9, point: true }),
        Fixed::TimezoneOffset => Some(Step::Offset { colon: false }),
        Fixed::TimezoneOffsetColon => Some(Step::Offset { colon: true }),
        Fixed::Internal(_) => [("%3f", 3), ("%6f", 6), ("%9f", 9)].into_iter().find_map(|(text, places)| {
            let item = StrftimeItems::new(text).next()?;
            (item == Item::Fixed(fixed.clone())).then_some(Step::Fraction { places, point: false })
        }),
        _ => None,
    }
}

/// Where the seconds begin in a text of these steps; `None` when they are not shown once, or parts of them are, or where
/// they stand behind an offset, which can be shorter in a text that is read.
pub(super) fn second_at(steps: &[Step]) -> Option<usize> {
    let mut at = 0;
    let mut found = None;
    for step in steps {
        at += match step {
            Step::Literal(_) => 1,
            Step::Second if found.is_some() => return None,
            Step::Second => {
                found = Some(at);
                2
            }
            Step::Month | Step::Day | Step::Hour | Step::Minute => 2,
            Step::Year => 4,
            Step::Offset { .. } if found.is_none() => return None,
            Step::Offset { colon } => 5 + usize::from(*colon),
            Step::Fraction { .. } | Step::AnyFraction => return None,
        };
    }
    found
}

/// Reads what a clock shows; the whole of `bytes` must follow the layout.
pub(super) fn parse(steps: &[Step], bytes: &[u8]) -> Result<ClockReading, TimeFault> {
    let mut reading = ClockReading::default();
    let mut rest = bytes;
    for step in steps {
        rest = parse_step(*step, rest, &mut reading).ok_or(TimeFault::NotADate)?;
    }
    if rest.is_empty() { Ok(reading) } else { Err(TimeFault::NotADate) }
}

fn parse_step<'a>(step: Step, bytes: &'a [u8], reading: &mut ClockReading) -> Option<&'a [u8]> {
    let two = |into: &mut u32| {
        let (pair, rest) = bytes.split_first_chunk::<2>()?;
        *into = digits(pair)?;
        Some(rest)
    };
    match step {
        Step::Literal(byte) => bytes.split_first().filter(|(first, _)| **first == byte).map(|(_, rest)| rest),
        Step::Year => {
            let (year, rest) = bytes.split_first_chunk::<4>()?;
            reading.year = i32::try_from(digits(year)?).ok()?;
            Some(rest)
        }
        Step::Month => two(&mut reading.month),
        Step::Day => two(&mut reading.day),
        Step::Hour => two(&mut reading.hour),
        Step::Minute => two(&mut reading.minute),
        Step::Second => two(&mut reading.second),
        Step::Fraction { places, point } => {
            let bytes = if point { bytes.strip_prefix(b".")? } else { bytes };
            let (fraction, rest) = bytes.split_at_checked(places as usize)?;
            let (nanos, []) = parse_fraction(fraction)? else { return None };
            reading.nanos = nanos;
            Some(rest)
        }
        Step::AnyFraction => match bytes.split_first() {
            Some((b'.', rest)) => {
                let (nanos, rest) = parse_fraction(rest)?;
                reading.nanos = nanos;
                Some(rest)
            }
            Some(_) | None => Some(bytes),
        },
        Step::Offset { .. } => {
            let (offset, rest) = parse_offset(bytes)?;
            reading.offset = Some(offset);
            Some(rest)
        }
    }
}

pub(super) fn write(steps: &[Step], reading: &ClockReading, out: &mut Vec<u8>) {
    for step in steps {
        match *step {
            Step::Literal(byte) => out.push(byte),
            Step::Year => push_digits(reading.year.unsigned_abs(), 4, out),
            Step::Month => push_digits(reading.month, 2, out),
            Step::Day => push_digits(reading.day, 2, out),
            Step::Hour => push_digits(reading.hour, 2, out),
            Step::Minute => push_digits(reading.minute, 2, out),
            Step::Second => push_digits(reading.second, 2, out),
            Step::Fraction { places, point } => {
                if point {
                    out.push(b'.');
                }
                push_digits(reading.nanos / 10u32.pow(9 - places), places, out);
            }
            Step::AnyFraction => push_fraction(reading.nanos, out),
            Step::Offset { colon } => push_offset(reading.offset.unwrap_or(0), colon, out),
        }
    }
}

/// A number of exactly these digits, at most nine.
#[inline]
pub(super) fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0u32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u32::from(digit))
    })
}

/// The number that eight digits are, found with all of them at once: digits become pairs, pairs become fours.
#[inline]
pub(super) const fn eight_digits(bytes: [u8; 8]) -> Option<u32> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_le_bytes(bytes).wrapping_sub(EACH * b'0' as u64);
    // A byte above 9 shows in its high half, at once or when 6 is added.
    if (digits | digits.wrapping_add(EACH * 6)) & (EACH * 0xf0) != 0 {
        return None;
    }
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some(((fours * 10_000 + (fours >> 32)) & 0xffff_ffff) as u32)
}

/// Appends `number` with zeros in front to `width` digits.
#[inline]
pub(super) fn push_digits(number: u32, width: u32, out: &mut Vec<u8>) {
    // Divisions by numbers that are known here are cheap.
    match width {
        2 => out.extend_from_slice(&[digit(number / 10), digit(number)]),
        4 => out.extend_from_slice(&[digit(number / 1000), digit(number / 100), digit(number / 10), digit(number)]),
        _ => {
            let mut place = 10u32.pow(width.saturating_sub(1));
            while place > 0 {
                out.push(digit(number / place));
                place /= 10;
            }
        }
    }
}

/// The last two digits of a number.
#[inline]
pub(super) fn two_digits(number: u64) -> [u8; 2] {
    let number = u32::try_from(number % 100).unwrap_or(0);
    [digit(number / 10), digit(number)]
}

/// The last digit of a number.
#[inline]
const fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

/// Reads `Z`, `+HHMM` or `+HH:MM` as seconds east of UTC.
pub(super) fn parse_offset(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (hours, minutes, negative, rest) = match bytes {
        [b'Z' | b'z', rest @ ..] => return Some((0, rest)),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1, rest @ ..] | [sign @ (b'+' | b'-'), h0, h1, m0, m1, rest @ ..] => {
            (digits(&[*h0, *h1])?, digits(&[*m0, *m1])?, *sign == b'-', rest)
        }
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok().filter(|_| hours < 24 && minutes < 60)?;
    Some((if negative { -seconds } else { seconds }, rest))
}

pub(super) fn push_offset(offset: i32, colon: bool, out: &mut Vec<u8>) {
    out.push(if offset < 0 { b'-' } else { b'+' });
    // Rounded to the minute: before 1900 offsets had seconds, which no layout shows.
    let minutes = (offset.unsigned_abs() + 30) / 60;
    push_digits(minutes / 60, 2, out);
    if colon {
        out.push(b':');
    }
    push_digits(minutes % 60, 2, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eight_digits_are_what_one_after_the_other_is(
            bytes in prop::collection::vec(prop::sample::select(b"0123456789999/:\x00\xff\x80\xb0\x40".to_vec()), 8),
            all in prop::array::uniform8(b'0'..=b'9'),
        ) {
            for eight in [*bytes.first_chunk::<8>().expect("eight"), all] {
                prop_assert_eq!(eight_digits(eight), digits(&eight), "{:?}", eight);
            }
        }
    }
}
