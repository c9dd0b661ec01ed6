//! Units of numbers, and how a number is written in another one.

use crate::document::nearest;

/// What a unit measures; units of the same quantity convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Base unit: microseconds.
    Time,
    /// Base unit: bytes.
    Data,
}

/// A unit of time or of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// As written in format files.
    pub name: &'static str,
    /// What it measures.
    pub quantity: Quantity,
    /// How many base units it is.
    pub scale: i128,
}

const fn unit(name: &'static str, quantity: Quantity, scale: i128) -> Unit {
    Unit { name, quantity, scale }
}

/// All units. `kB` is 1,000 bytes, `KiB` is 1,024.
pub const UNITS: [Unit; 12] = [
    unit("us", Quantity::Time, 1),
    unit("ms", Quantity::Time, 1_000),
    unit("s", Quantity::Time, 1_000_000),
    unit("min", Quantity::Time, 60_000_000),
    unit("h", Quantity::Time, 3_600_000_000),
    unit("B", Quantity::Data, 1),
    unit("kB", Quantity::Data, 1_000),
    unit("MB", Quantity::Data, 1_000_000),
    unit("GB", Quantity::Data, 1_000_000_000),
    unit("KiB", Quantity::Data, 1 << 10),
    unit("MiB", Quantity::Data, 1 << 20),
    unit("GiB", Quantity::Data, 1 << 30),
];

impl Unit {
    /// The unit called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        UNITS.iter().copied().find(|unit| unit.name == name)
    }

    /// The known unit nearest to a misspelt one.
    #[must_use]
    pub fn suggestion(name: &str) -> Option<&'static str> {
        nearest(name, UNITS.iter().map(|unit| unit.name))
    }

    /// Numerator and denominator that turn a number of this unit into one of `to`; `None` when they measure
    /// different things.
    #[must_use]
    pub fn factor_to(self, to: Self) -> Option<(i128, i128)> {
        let common = gcd(self.scale, to.scale);
        (self.quantity == to.quantity).then_some((self.scale / common, to.scale / common))
    }
}

/// The greatest common divisor; 1 when both are zero.
pub(in crate::format) const fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    if a == 0 { 1 } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_one_quantity_convert_and_others_do_not() {
        let factor = |from: &str, to: &str| Unit::parse(from).expect("unit").factor_to(Unit::parse(to).expect("unit"));
        assert_eq!(factor("s", "ms"), Some((1000, 1)));
        assert_eq!(factor("s", "min"), Some((1, 60)));
        assert_eq!(factor("min", "h"), Some((1, 60)));
        assert_eq!(factor("KiB", "kB"), Some((128, 125)));
        assert_eq!(factor("s", "B"), None);
        assert_eq!(Unit::parse("sec"), None);
        assert_eq!(Unit::suggestion("mss"), Some("ms"));
    }
}
