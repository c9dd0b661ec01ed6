//! Frames of the spool in their order, as runs of those that follow each other: an hour whose records come one after the
//! other lies in very many frames and few runs. Where each second frame is another hour's a run is one frame.

use super::ids::Lsn;
use super::runs::join;
use std::ops::Range;

/// Frames, ascending, as the first and the last of each run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameRuns(Vec<(Lsn, Lsn)>);

impl FrameRuns {
    /// Adds a frame. As a rule it lies behind all others; a journal that is looked at because it is damaged may hold one
    /// twice.
    pub fn add(&mut self, lsn: Lsn) {
        match self.0.last_mut() {
            Some((_, last)) if last.next() == lsn => *last = lsn,
            Some((_, last)) if lsn <= *last => {
                self.0.push((lsn, lsn));
                *self = Self::of(std::mem::take(&mut self.0));
            }
            Some(_) | None => self.0.push((lsn, lsn)),
        }
    }

    fn of(pieces: Vec<(Lsn, Lsn)>) -> Self {
        Self(join(pieces, |end, first| first <= end.next()))
    }

    /// The frames of several runs together; a run is its first and the frame behind its last.
    #[must_use]
    pub fn joined(runs: impl IntoIterator<Item = Range<Lsn>>) -> Self {
        let runs = runs.into_iter().filter(|run| run.start < run.end);
        Self::of(runs.map(|run| (run.start, Lsn(run.end.0 - 1))).collect())
    }

    /// Its runs, each its first and the frame behind its last.
    pub fn runs(&self) -> impl Iterator<Item = Range<Lsn>> {
        self.0.iter().map(|(first, last)| *first..last.next())
    }

    /// The first frame.
    #[must_use]
    pub fn first(&self) -> Option<Lsn> {
        self.0.first().map(|(first, _)| *first)
    }

    /// The last frame.
    #[must_use]
    pub fn last(&self) -> Option<Lsn> {
        self.0.last().map(|(_, last)| *last)
    }

    /// How many frames.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| last.0 - first.0 + 1).sum()
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a frame is one of them.
    #[must_use]
    pub fn contains(&self, lsn: Lsn) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= lsn);
        behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| lsn <= *last)
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Lsn> {
        self.0.iter().flat_map(|(first, last)| (first.0..=last.0).map(Lsn))
    }
}

impl FromIterator<Lsn> for FrameRuns {
    fn from_iter<I: IntoIterator<Item = Lsn>>(frames: I) -> Self {
        let mut runs = Self::default();
        frames.into_iter().for_each(|lsn| runs.add(lsn));
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_frames_are_those_that_were_added(added in prop::collection::vec(1u64..60, 0..80), in_order: bool) {
            let mut added: Vec<Lsn> = added.into_iter().map(Lsn).collect();
            if in_order {
                added.sort_unstable();
            }
            let frames: FrameRuns = added.iter().copied().collect();
            added.sort_unstable();
            added.dedup();
            prop_assert_eq!(frames.iter().collect::<Vec<_>>(), added.clone());
            prop_assert_eq!((frames.first(), frames.last()), (added.first().copied(), added.last().copied()));
            prop_assert_eq!((frames.len(), frames.is_empty()), (added.len() as u64, added.is_empty()));
            for lsn in (0..62).map(Lsn) {
                prop_assert_eq!(frames.contains(lsn), added.contains(&lsn));
            }
            let runs = added.windows(2).filter(|two| two[0].next() != two[1]).count() + usize::from(!added.is_empty());
            prop_assert_eq!(frames.0.len(), runs);
            prop_assert_eq!(frames.runs().flat_map(|run| (run.start.0..run.end.0).map(Lsn)).collect::<Vec<_>>(), added);
        }

        #[test]
        fn runs_together_hold_the_frames_of_each(runs in prop::collection::vec((1u64..40, 0u64..9), 0..9)) {
            let joined = FrameRuns::joined(runs.iter().map(|(first, count)| Lsn(*first)..Lsn(first + count)));
            let all: BTreeSet<Lsn> = runs.iter().flat_map(|(first, count)| (*first..first + count).map(Lsn)).collect();
            prop_assert_eq!(joined.len(), all.len() as u64);
            prop_assert_eq!(joined.iter().collect::<Vec<_>>(), all.into_iter().collect::<Vec<_>>());
        }
    }
}
