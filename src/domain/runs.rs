//! Numbers that were given, as runs without a gap: a feed has many numbers and few gaps.

use super::counter::Sequence;
use std::fmt;

/// Sequence numbers in order, each once, as first and last of each run without a gap. Cycles are runs of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs(Vec<(Sequence, Sequence)>);

impl Runs {
    /// The runs of several sets together.
    #[must_use]
    pub fn joined<'r>(sets: impl IntoIterator<Item = &'r Self>) -> Self {
        Self::of(sets.into_iter().flat_map(|set| set.0.iter().copied()).collect())
    }

    fn of(pieces: Vec<(Sequence, Sequence)>) -> Self {
        let touches =
            |end: Sequence, first: Sequence| end.cycle == first.cycle && first.number <= end.number.saturating_add(1);
        Self(join(pieces, touches))
    }

    /// Reads what [`Runs`] shows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let run = |word: &str| {
            let (cycle, numbers) = word.split_once(':')?;
            let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
            let number = |digits: &str| Some(Sequence { cycle: cycle.parse().ok()?, number: digits.parse().ok()? });
            Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
        };
        text.split_whitespace().map(run).collect::<Option<_>>().map(Self::of)
    }

    /// First and last of each run, in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Sequence, Sequence)> {
        self.0.iter().copied()
    }

    /// Every number, in order.
    pub fn numbers(&self) -> impl Iterator<Item = Sequence> {
        let of_run = |(first, last): (Sequence, Sequence)| {
            (first.number..=last.number).map(move |number| Sequence { cycle: first.cycle, number })
        };
        self.iter().flat_map(of_run)
    }

    /// True without any number.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first and the last number.
    #[must_use]
    pub fn ends(&self) -> Option<(Sequence, Sequence)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// How many numbers are missing between the first and the last of each cycle.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let gap = |((_, last), (next, _)): (&(Sequence, Sequence), &(Sequence, Sequence))| {
            if last.cycle == next.cycle { next.number - last.number - 1 } else { 0 }
        };
        pairs.map(gap).sum()
    }
}

/// Sorts pieces, each its first and its last, and joins those that touch: the end of one and the first of the next.
pub(super) fn join<T: Ord + Copy>(mut pieces: Vec<(T, T)>, touches: impl Fn(T, T) -> bool) -> Vec<(T, T)> {
    pieces.sort_unstable();
    let mut runs: Vec<(T, T)> = Vec::new();
    for (first, last) in pieces {
        match runs.last_mut() {
            Some((_, end)) if touches(*end, first) => *end = last.max(*end),
            _ => runs.push((first, last)),
        }
    }
    runs
}

impl FromIterator<Sequence> for Runs {
    fn from_iter<I: IntoIterator<Item = Sequence>>(numbers: I) -> Self {
        Self::of(numbers.into_iter().map(|number| (number, number)).collect())
    }
}

impl fmt::Display for Runs {
    /// `0:1-17 0:19 1:1-4`: the cycle, then first and last number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.iter().enumerate() {
            let blank = if place > 0 { " " } else { "" };
            write!(f, "{blank}{}:{}", first.cycle, first.number)?;
            if last != first {
                write!(f, "-{}", last.number)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs(numbers: &[(u64, u64)]) -> Runs {
        numbers.iter().map(|(cycle, number)| Sequence { cycle: *cycle, number: *number }).collect()
    }

    #[test]
    fn gaps_count_within_a_cycle_only() {
        let some = runs(&[(0, 9), (0, 2), (0, 3), (1, 1), (0, 7), (1, 4)]);
        assert_eq!(some.to_string(), "0:2-3 0:7 0:9 1:1 1:4");
        assert_eq!(some.missing(), 3 + 1 + 2);
        assert_eq!(runs(&[(0, u64::MAX), (0, 0)]).missing(), u64::MAX - 1);
        assert_eq!((Runs::default().missing(), Runs::default().ends()), (0, None));
    }

    #[test]
    fn what_is_no_run_is_not_read() {
        for text in ["1", "0:", "0:2-1", "0:-1", "x:1", "0:1-2-3", "0:1,2"] {
            assert_eq!(Runs::parse(text), None, "{text}");
        }
        assert_eq!(Runs::parse(""), Some(Runs::default()));
    }

    proptest! {
        #[test]
        fn runs_hold_each_number_once_whatever_they_are_joined_of(
            numbers in proptest::collection::vec((0_u64..3, 0_u64..30), 0..60), cut in 0_usize..60,
        ) {
            let whole = runs(&numbers);
            let (one, other) = numbers.split_at(cut.min(numbers.len()));
            let halves = [runs(one), runs(other)];
            prop_assert_eq!(&Runs::joined(&halves), &whole);
            let read = Runs::parse(&whole.to_string());
            prop_assert_eq!(read.as_ref(), Some(&whole));
            let distinct: std::collections::BTreeSet<(u64, u64)> = numbers.iter().copied().collect();
            let held: Vec<(u64, u64)> = whole.numbers().map(|it| (it.cycle, it.number)).collect();
            prop_assert_eq!(&held, &distinct.iter().copied().collect::<Vec<_>>());
            let absent = (0_u64..3).map(|cycle| {
                let of_cycle: Vec<u64> = distinct.iter().filter(|it| it.0 == cycle).map(|it| it.1).collect();
                of_cycle.first().zip(of_cycle.last()).map_or(0, |(a, b)| b - a + 1 - of_cycle.len() as u64)
            });
            prop_assert_eq!(whole.missing(), absent.sum::<u64>());
        }
    }
}
