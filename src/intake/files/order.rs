//! File numbers: a source that numbers its files tells when one is missing.

use super::NumberPattern;
use std::collections::BTreeSet;

/// Numbers that were read, as far back as they matter.
pub(super) struct NumberedNames {
    pattern: NumberPattern,
    read: BTreeSet<u64>,
    learned: bool,
}

/// How far back finished inputs are looked up after a restart.
const LOOK_BACK: u32 = 10_000;

impl NumberedNames {
    pub(super) fn new(pattern: NumberPattern) -> Self {
        Self { pattern, read: BTreeSet::new(), learned: false }
    }

    fn number_of(&self, name: &str) -> Option<u64> {
        let middle = name.strip_prefix(&self.pattern.before)?.strip_suffix(&self.pattern.after)?;
        middle.parse().ok()
    }

    /// Learns, once, which numbers were read before the program started.
    pub(super) fn learn(&mut self, latest: impl FnOnce(u32) -> Result<Vec<String>, String>) -> Result<(), String> {
        if !self.learned {
            latest(LOOK_BACK)?.iter().for_each(|name| self.note_read(name));
            self.learned = true;
        }
        Ok(())
    }

    pub(super) fn note_read(&mut self, name: &str) {
        if let Some(number) = self.number_of(name) {
            self.read.insert(number);
        }
        // A run without gaps needs only its last number.
        while let (Some(first), Some(second)) = (self.read.first().copied(), self.read.iter().nth(1).copied()) {
            if self.read.len() <= LOOK_BACK as usize && second != first + 1 {
                break;
            }
            self.read.pop_first();
        }
    }

    /// The first missing numbers, as `00718` or `00718-00719`.
    pub(super) fn gap(&self) -> Option<String> {
        let mut numbers = self.read.iter();
        let (first, second) = (numbers.next()?, numbers.next()?);
        let (from, to) = (first + 1, second - 1);
        Some(if from == to { format!("{from:05}") } else { format!("{from:05}-{to:05}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_number_is_a_gap_until_it_comes() {
        let pattern = NumberPattern { before: "cdr_".to_owned(), after: ".csv".to_owned() };
        let mut names = NumberedNames::new(pattern);
        names.learn(|_| Ok(vec!["cdr_00717.csv".to_owned(), "other.csv".to_owned()])).expect("history");
        assert_eq!(names.gap(), None);
        names.note_read("cdr_00720.csv");
        assert_eq!(names.gap().as_deref(), Some("00718-00719"));
        names.note_read("cdr_00719.csv");
        assert_eq!(names.gap().as_deref(), Some("00718"));
        names.note_read("cdr_00718.csv");
        assert_eq!(names.gap(), None);
    }
}
