//! Control totals of the records of one file: how many, and the sums of chosen cells *as they were written*.

use crate::record::Decimal;
use std::sync::Arc;

/// Number of records and named sums. Cheap to copy and to add up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Records, header and trailer not counted.
    pub records: u64,
    names: Arc<[Arc<str>]>,
    sums: Vec<Decimal>,
}

/// A sum has more digits than can be kept exactly (about 38), or the two sides sum different cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("totals cannot be added exactly")]
pub struct TotalsFault;

impl Totals {
    /// No records; each sum starts at its zero, which carries the decimals to be shown.
    ///
    /// # Panics
    /// When there is not one zero for each name.
    #[must_use]
    pub fn fresh(names: Arc<[Arc<str>]>, zeros: &[Decimal]) -> Self {
        assert_eq!(names.len(), zeros.len(), "one zero for each sum");
        Self { records: 0, names, sums: zeros.to_vec() }
    }

    /// The sums with their names, in the order of the record's cells.
    pub fn sums(&self) -> impl Iterator<Item = (&str, Decimal)> {
        self.names.iter().zip(&self.sums).map(|(name, sum)| (&**name, *sum))
    }

    /// The sum at `index` in the order of [`Totals::sums`].
    #[must_use]
    pub fn sum(&self, index: usize) -> Decimal {
        self.sums.get(index).copied().unwrap_or(Decimal::ZERO)
    }

    /// Adds one record and what it contributes to each sum. Nothing changes when it fails.
    ///
    /// # Errors
    /// [`TotalsFault`] when a sum has too many digits.
    pub fn add_record(&mut self, values: &[Decimal]) -> Result<(), TotalsFault> {
        self.add(1, values)
    }

    /// Adds the totals of other records of the same format. Nothing changes when it fails.
    ///
    /// # Errors
    /// [`TotalsFault`] when a sum has too many digits or the other side sums other cells.
    pub fn merge(&mut self, other: &Self) -> Result<(), TotalsFault> {
        if self.names == other.names { self.add(other.records, &other.sums) } else { Err(TotalsFault) }
    }

    fn add(&mut self, records: u64, values: &[Decimal]) -> Result<(), TotalsFault> {
        let fits = values.len() == self.sums.len()
            && self.sums.iter().zip(values).all(|(sum, value)| sum.plus(*value).is_some());
        if !fits {
            return Err(TotalsFault);
        }
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum = sum.plus(*value).ok_or(TotalsFault)?;
        }
        self.records += records;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).expect("decimal")
    }

    #[test]
    fn totals_add_up_and_refuse_what_they_cannot_hold() {
        let names: Arc<[Arc<str>]> = Arc::from([Arc::from("charge"), Arc::from("duration")]);
        let fresh = Totals::fresh(Arc::clone(&names), &[decimal("0.00"), Decimal::ZERO]);
        let (mut one, mut two) = (fresh.clone(), fresh.clone());
        one.add_record(&[decimal("0.10"), decimal("3")]).expect("fits");
        two.add_record(&[decimal("0.20"), decimal("-1")]).expect("fits");
        one.merge(&two).expect("fits");
        let seen: Vec<_> = one.sums().map(|(name, sum)| format!("{name} {sum}")).collect();
        assert_eq!((one.records, seen), (2, vec!["charge 0.30".to_owned(), "duration 2".to_owned()]));

        let huge = Decimal::new(i128::MAX - 1, 0).expect("scale");
        let before = one.clone();
        assert_eq!(one.add_record(&[decimal("1"), huge]), Err(TotalsFault));
        assert_eq!(one, before, "a refused record leaves no trace");
        assert_eq!(one.merge(&Totals::default()), Err(TotalsFault));
    }
}
