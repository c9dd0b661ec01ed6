//! Exact decimals. Money and durations are never floats: a float sum of 2,100 durations is already wrong.

use std::fmt;

/// Most digits behind the point that are kept.
const SCALE_MAX: u32 = 18;

/// A decimal number: `mantissa` x 10^-`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decimal {
    mantissa: i128,
    scale: u32,
}

/// What to do with digits that do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rounding {
    /// Refuse the value: nothing is guessed.
    #[default]
    Exact,
    /// Away from zero.
    Up,
    /// Towards zero.
    Down,
    /// To the nearest, halves away from zero.
    HalfUp,
    /// To the nearest, halves to the even digit.
    HalfEven,
}

/// Why a number cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalFault {
    /// Not digits with an optional sign and point.
    #[error("is not a decimal number")]
    NotANumber,
    /// More than 18 digits behind the point, or more than about 38 in all.
    #[error("has more digits than can be kept exactly")]
    TooLong,
    /// Rounding would change it and is not allowed.
    #[error("has more decimals than the format allows")]
    NotExact,
}

impl Decimal {
    /// Zero with no digits behind the point.
    pub const ZERO: Self = Self { mantissa: 0, scale: 0 };

    /// `mantissa` x 10^-`scale`; `None` when the scale is over 18.
    #[must_use]
    pub fn new(mantissa: i128, scale: u32) -> Option<Self> {
        (scale <= SCALE_MAX).then_some(Self { mantissa, scale })
    }

    /// A whole number.
    #[must_use]
    pub fn from_integer(number: u64) -> Self {
        Self { mantissa: i128::from(number), scale: 0 }
    }

    /// Parses `[+-]digits[.digits]`; blanks around it are not allowed.
    ///
    /// # Errors
    /// [`DecimalFault`] when it is not a number or has too many digits.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalFault> {
        if let Some(few) = Self::parse_few(text) {
            return Ok(few);
        }
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mut mantissa, mut scale, mut point, mut seen) = (0i128, 0u32, false, false);
        for byte in digits {
            match byte {
                b'0'..=b'9' => {
                    let digit = i128::from(byte - b'0');
                    mantissa =
                        mantissa.checked_mul(10).and_then(|m| m.checked_add(digit)).ok_or(DecimalFault::TooLong)?;
                    scale += u32::from(point);
                    seen = true;
                }
                b'.' if !point => point = true,
                _ => return Err(DecimalFault::NotANumber),
            }
        }
        match (seen, scale > SCALE_MAX) {
            (false, _) => Err(DecimalFault::NotANumber),
            (true, true) => Err(DecimalFault::TooLong),
            (true, false) => Ok(Self { mantissa: if negative { -mantissa } else { mantissa }, scale }),
        }
    }

    /// The same for few enough digits without a sign, which most numbers are; `None` for all others.
    #[inline]
    fn parse_few(text: &[u8]) -> Option<Self> {
        const DIGITS_MAX: usize = 18;
        let (mut mantissa, mut point) = (0u64, None);
        for (place, byte) in text.iter().enumerate() {
            match byte {
                b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
                b'.' if point.is_none() => point = Some(place),
                _ => return None,
            }
            if place == DIGITS_MAX {
                return None;
            }
        }
        let scale = point.map_or(0, |point| text.len() - point - 1);
        let has_digits = text.len() > usize::from(point.is_some());
        let scale = u32::try_from(scale).ok().filter(|_| has_digits)?;
        Some(Self { mantissa: i128::from(mantissa), scale })
    }

    /// The digits without a point.
    #[must_use]
    pub const fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// Digits behind the point.
    #[must_use]
    pub const fn scale(self) -> u32 {
        self.scale
    }

    /// True below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// The sum; `None` when it has too many digits.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        if self.scale == other.scale {
            return Some(Self { mantissa: self.mantissa.checked_add(other.mantissa)?, scale: self.scale });
        }
        let scale = self.scale.max(other.scale);
        let mantissa = self.widened(scale)?.checked_add(other.widened(scale)?)?;
        Some(Self { mantissa, scale })
    }

    fn widened(self, scale: u32) -> Option<i128> {
        self.mantissa.checked_mul(10i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    /// This number times `numerator` / `denominator`, rounded to `scale` digits behind the point.
    ///
    /// # Errors
    /// [`DecimalFault::TooLong`] when it has too many digits, [`DecimalFault::NotExact`] when rounding is needed and
    /// not allowed.
    pub fn scaled(
        self,
        numerator: i128,
        denominator: i128,
        scale: u32,
        rounding: Rounding,
    ) -> Result<Self, DecimalFault> {
        if numerator == 1 && denominator == 1 && scale == self.scale {
            return Ok(self);
        }
        let ten = |power: u32| 10i128.checked_pow(power).ok_or(DecimalFault::TooLong);
        let up = scale.saturating_sub(self.scale);
        let down = self.scale.saturating_sub(scale);
        let product = self
            .mantissa
            .checked_mul(numerator)
            .and_then(|m| m.checked_mul(ten(up).ok()?))
            .ok_or(DecimalFault::TooLong)?;
        let divisor = denominator.checked_mul(ten(down)?).filter(|d| *d > 0).ok_or(DecimalFault::TooLong)?;
        Ok(Self { mantissa: divide(product, divisor, rounding)?, scale })
    }

    /// This number with `scale` digits behind the point.
    ///
    /// # Errors
    /// As [`Decimal::scaled`].
    pub fn rescaled(self, scale: u32, rounding: Rounding) -> Result<Self, DecimalFault> {
        self.scaled(1, 1, scale, rounding)
    }

    /// Without zeros at the end of the fraction.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        while self.scale > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }
}

fn divide(value: i128, divisor: i128, rounding: Rounding) -> Result<i128, DecimalFault> {
    let (quotient, rest) = (value / divisor, value % divisor);
    if rest == 0 {
        return Ok(quotient);
    }
    let away = quotient + value.signum();
    let twice = rest.unsigned_abs().saturating_mul(2).cmp(&divisor.unsigned_abs());
    match (rounding, twice) {
        (Rounding::Exact, _) => Err(DecimalFault::NotExact),
        (Rounding::Up, _) => Ok(away),
        (Rounding::Down, _) => Ok(quotient),
        (Rounding::HalfUp, std::cmp::Ordering::Less) => Ok(quotient),
        (Rounding::HalfUp, _) => Ok(away),
        (Rounding::HalfEven, std::cmp::Ordering::Less) => Ok(quotient),
        (Rounding::HalfEven, std::cmp::Ordering::Greater) => Ok(away),
        (Rounding::HalfEven, std::cmp::Ordering::Equal) => Ok(if quotient % 2 == 0 { quotient } else { away }),
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let scale = self.scale.max(other.scale);
        Some(self.widened(scale)?.cmp(&other.widened(scale)?))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        let scale = self.scale as usize;
        if scale == 0 {
            return f.pad(&format!("{sign}{digits}"));
        }
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        f.pad(&format!("{sign}{whole}.{fraction}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).expect("decimal")
    }

    #[test]
    fn decimals_print_what_they_parse() {
        for text in ["0", "0.05", "-0.50", "352697.741000", "-12", "7.000"] {
            assert_eq!(decimal(text).to_string(), text);
        }
        for bad in ["", ".", "-", "1e5", "1,5", " 1", "1 ", "0x1", "1.2.3", "１"] {
            assert_eq!(Decimal::parse(bad.as_bytes()), Err(DecimalFault::NotANumber), "{bad}");
        }
        assert_eq!(Decimal::parse(&[b'9'; 60]), Err(DecimalFault::TooLong));
        assert_eq!(Decimal::parse(b"0.1234567890123456789"), Err(DecimalFault::TooLong));
    }

    #[test]
    fn few_digits_are_read_as_many_are() {
        let texts = ["0", "007", "12.50", ".5", "5.", "", ".", "1.2.3", "-1", "+1", "1e3", "123456789012345678"];
        let long = ["1234567890123456789", "12345678901234567.8", "0.12345678901234567", ".123456789012345678"];
        for text in texts.into_iter().chain(long) {
            let many = [b"000000000000000000000", text.as_bytes()].concat();
            if let Some(few) = Decimal::parse_few(text.as_bytes()) {
                assert_eq!(Decimal::parse(&many), Ok(few), "{text}");
            }
        }
        assert!(Decimal::parse_few(b"12.50").is_some() && Decimal::parse_few(b"123456789012345678").is_some());
        assert!(Decimal::parse_few(b".").is_none() && Decimal::parse_few(b"").is_none());
    }

    #[test]
    fn sums_are_exact() {
        let sum = (0..10).try_fold(Decimal::ZERO, |sum, _| sum.plus(decimal("0.1")));
        assert_eq!(sum.map(|s| s.to_string()), Some("1.0".to_owned()));
    }

    #[test]
    fn rounding_does_what_it_says() {
        let cases = [
            ("2.5", [None, Some("3"), Some("2"), Some("3"), Some("2")]),
            ("-2.5", [None, Some("-3"), Some("-2"), Some("-3"), Some("-2")]),
            ("3.5", [None, Some("4"), Some("3"), Some("4"), Some("4")]),
            ("2.4", [None, Some("3"), Some("2"), Some("2"), Some("2")]),
            ("2.0", [Some("2"), Some("2"), Some("2"), Some("2"), Some("2")]),
        ];
        let ways = [Rounding::Exact, Rounding::Up, Rounding::Down, Rounding::HalfUp, Rounding::HalfEven];
        for (text, expected) in cases {
            for (rounding, expected) in ways.into_iter().zip(expected) {
                let rounded = decimal(text).rescaled(0, rounding).ok().map(|d| d.to_string());
                assert_eq!(rounded.as_deref(), expected, "{text} {rounding:?}");
            }
        }
    }

    #[test]
    fn units_convert_exactly() {
        let milliseconds = decimal("352697.741000").scaled(1000, 1, 0, Rounding::Exact).map(|d| d.to_string());
        assert_eq!(milliseconds.as_deref(), Ok("352697741"));
        let minutes = decimal("61").scaled(1, 60, 0, Rounding::Up).map(|d| d.to_string());
        assert_eq!(minutes.as_deref(), Ok("2"));
    }

    #[test]
    fn comparison_ignores_zeros_at_the_end() {
        assert!(decimal("1.50") > decimal("1.499"));
        assert_eq!(decimal("1.5").partial_cmp(&decimal("1.500")), Some(std::cmp::Ordering::Equal));
        assert_eq!(decimal("7.000").trimmed().to_string(), "7");
    }
}
