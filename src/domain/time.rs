//! Points in time and lengths of time, without a calendar. Zones and hours live in [`super::period`].

use std::fmt;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted (POSIX time).
/// Covers the years 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime(i64);

impl UtcTime {
    /// The earliest representable time.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest representable time.
    pub const MAX: Self = Self(i64::MAX);

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the epoch; `None` outside the years 1677 to 2262.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(NANOS_PER_SECOND).map(Self)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded towards the past.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// Nanoseconds within the second, 0 to 999,999,999.
    #[must_use]
    pub fn subsecond_nanos(self) -> u32 {
        u32::try_from(self.0.rem_euclid(NANOS_PER_SECOND)).unwrap_or(0)
    }

    /// This time moved into the future; stops at [`UtcTime::MAX`].
    #[must_use]
    pub fn after(self, length: Length) -> Self {
        Self(self.0.saturating_add(length.nanos()))
    }

    /// This time moved into the past; stops at [`UtcTime::MIN`].
    #[must_use]
    pub fn before(self, length: Length) -> Self {
        Self(self.0.saturating_sub(length.nanos()))
    }

    /// How long from `earlier` to this time; zero when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Length {
        Length(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A length of time in nanoseconds, never negative. Written `"90s"`, `"15m"`, `"1h"`, `"7d"`, `"250ms"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Length(u64);

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

impl Length {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// From nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// As the standard library's duration.
    #[must_use]
    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    /// What is left of it after `other`; zero when that is longer.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self::from_nanos(self.0.saturating_sub(other.0))
    }

    /// Nanoseconds; at most [`i64::MAX`].
    #[must_use]
    pub fn nanos(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// Parses one or more numbers with units, largest first: `"1h30m"`, `"90s"`, `"250ms"`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut nanos = 0u64;
        let mut smallest = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at_checked(digits)?;
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at_checked(letters)?;
            let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
            if *scale >= smallest {
                return None;
            }
            smallest = *scale;
            nanos = nanos.checked_add(number.parse::<u64>().ok()?.checked_mul(*scale)?)?;
            rest = tail;
        }
        (!text.is_empty()).then_some(Self(nanos))
    }
}

impl fmt::Display for Length {
    /// Writes what [`Length::parse`] reads, with the largest units that fit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut rest = self.0;
        for (unit, scale) in UNITS {
            if rest >= scale {
                text.push_str(&format!("{}{unit}", rest / scale));
                rest %= scale;
            }
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_print_what_they_parse() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h30m", 5400), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(Length::parse(text).map(Length::seconds), Some(seconds), "{text}");
        }
        assert_eq!(Length::parse("90s").map(|l| l.to_string()), Some("1m30s".to_owned()));
        for bad in ["", "5", "m", "5 m", "-5m", "5m1h", "5x", "99999999999999999999d"] {
            assert_eq!(Length::parse(bad), None, "{bad} was accepted");
        }
    }

    #[test]
    fn seconds_round_towards_the_past() {
        assert_eq!(UtcTime::from_nanos(-1).seconds(), -1);
        assert_eq!(UtcTime::from_nanos(-1).subsecond_nanos(), 999_999_999);
    }
}
