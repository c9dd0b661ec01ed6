//! Numbers as they are written.

use super::fault::CellFault;
use crate::format::spec::NumberSpec;
use crate::format::spec::unit::{Unit, gcd};
use crate::record::{Decimal, DecimalFault, Rounding};

/// How a number is converted and written: times `numerator` / `denominator`, rounded to `scale` decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) struct NumberForm {
    numerator: i128,
    denominator: i128,
    /// Digits behind the point; `None` keeps those of the number.
    pub scale: Option<u32>,
    rounding: Rounding,
    pub implied: bool,
}

impl NumberForm {
    /// Writes numbers as they come.
    pub const PLAIN: Self =
        Self { numerator: 1, denominator: 1, scale: None, rounding: Rounding::Exact, implied: false };

    /// The form that turns a number in unit `from` into what `spec` asks for.
    pub fn new(spec: &NumberSpec, from: Option<Unit>) -> Result<Self, String> {
        let (mut numerator, mut denominator) = match (from, spec.unit) {
            (_, None) => (1, 1),
            (None, Some(to)) => {
                return Err(format!("the number has no unit in its source, so it cannot be written in `{}`", to.name));
            }
            (Some(from), Some(to)) => from
                .factor_to(to)
                .ok_or_else(|| format!("a number in `{}` cannot be written in `{}`", from.name, to.name))?,
        };
        if let Some(factor) = spec.multiply {
            let power = 10i128.pow(factor.scale());
            numerator = numerator.checked_mul(factor.mantissa()).ok_or("`multiply` has too many digits")?;
            denominator *= power;
            let common = gcd(numerator, denominator);
            (numerator, denominator) = (numerator / common, denominator / common);
        }
        let (rounding, implied) = (spec.rounding, spec.implied);
        Ok(Self { numerator, denominator, scale: spec.scale(), rounding, implied })
    }

    /// The number to write.
    pub fn apply(&self, number: Decimal) -> Result<Decimal, DecimalFault> {
        match self.scale {
            None => Ok(number),
            Some(scale) => number.scaled(self.numerator, self.denominator, scale, self.rounding),
        }
    }

    /// The number that a written text stands for.
    pub fn read_back(&self, text: &[u8]) -> Result<Decimal, DecimalFault> {
        let number = Decimal::parse(text)?;
        match self.scale {
            Some(scale) if self.implied => {
                if number.scale() > 0 {
                    return Err(DecimalFault::NotANumber);
                }
                Decimal::new(number.mantissa(), scale).ok_or(DecimalFault::TooLong)
            }
            Some(_) | None => Ok(number),
        }
    }

    /// Converts, rounds and appends a number.
    pub fn append(&self, number: Decimal, out: &mut Vec<u8>) -> Result<Decimal, CellFault> {
        let written = self.apply(number)?;
        append_decimal(written, self.implied, out);
        Ok(written)
    }
}

/// Appends a decimal with all digits behind its point, or without the point.
pub(in crate::format) fn append_decimal(number: Decimal, implied: bool, out: &mut Vec<u8>) {
    if number.is_negative() {
        out.push(b'-');
    }
    // A mantissa has at most 39 digits, a scale at most 18.
    let mut digits = [b'0'; 60];
    let scale = number.scale() as usize;
    let least = if implied { 1 } else { scale + 1 };
    let count = write_digits(number.mantissa().unsigned_abs(), &mut digits).max(least);
    let digits = digits.get(60 - count..).unwrap_or_default();
    if implied || scale == 0 {
        out.extend_from_slice(digits);
    } else {
        let (whole, fraction) = digits.split_at(count - scale);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// Writes digits at the end of the buffer and returns how many.
#[expect(clippy::cast_possible_truncation, reason = "a remainder of 10 fits a byte, and the 64-bit path was compared")]
fn write_digits(number: u128, buffer: &mut [u8; 60]) -> usize {
    let mut places = buffer.iter_mut().rev();
    let mut count = 0;
    let mut wide = number;
    while wide > u128::from(u64::MAX) {
        if let Some(place) = places.next() {
            *place = b'0' + (wide % 10) as u8;
        }
        wide /= 10;
        count += 1;
    }
    let mut narrow = wide as u64;
    while narrow > 0 || count == 0 {
        if let Some(place) = places.next() {
            *place = b'0' + (narrow % 10) as u8;
        }
        narrow /= 10;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: &str, spec: NumberSpec, from: &str) -> Result<String, CellFault> {
        let form = NumberForm::new(&spec, Unit::parse(from)).expect("form");
        let mut out = Vec::new();
        let value = form.append(Decimal::parse(number.as_bytes()).expect("decimal"), &mut out)?;
        assert_eq!(form.read_back(&out), Ok(value), "what is written reads back");
        Ok(String::from_utf8(out).expect("ascii"))
    }

    #[test]
    fn numbers_are_converted_rounded_and_pointed() {
        let unit = |name: &str| NumberSpec { unit: Unit::parse(name), ..NumberSpec::default() };
        let up = NumberSpec { rounding: Rounding::Up, ..unit("s") };
        let implied = NumberSpec { decimals: Some(4), implied: true, ..NumberSpec::default() };
        let fen = NumberSpec { multiply: Decimal::new(100, 0), ..NumberSpec::default() };
        let text = |text: &str| Ok(text.to_owned());
        assert_eq!(written("391.053000", unit("ms"), "s"), text("391053"));
        assert_eq!(written("252.314", up, "s"), text("253"));
        assert_eq!(written("-0.5", implied, ""), text("-5000"));
        assert_eq!(written("0.0001", implied, ""), text("1"));
        assert_eq!(written("0", implied, ""), text("0"));
        assert_eq!(written("12.34", fen, ""), text("1234"));
        assert_eq!(written("0.050", NumberSpec { decimals: Some(2), ..NumberSpec::default() }, ""), text("0.05"));
        assert_eq!(written("1.5", unit("s"), "s"), Err(CellFault::Number(DecimalFault::NotExact)));
    }

    #[test]
    fn decimals_are_appended_as_they_print() {
        for text in ["0", "-7", "0.05", "-0.000000000000000001", "170141183460469231731687303715884105727", "1.000"] {
            let mut out = Vec::new();
            append_decimal(Decimal::parse(text.as_bytes()).expect("decimal"), false, &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }
}
