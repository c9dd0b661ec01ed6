//! Frames of the spool in their order, as runs of those that follow each other: an hour whose records come one after the
//! other lies in very many frames and few runs. Where each second frame is another hour's a run is one frame.

use super::ids::Lsn;
use std::ops::Range;

/// Frames, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameRuns {
    /// First and last frame of each run.
    runs: Vec<(Lsn, Lsn)>,
    count: usize,
}

impl FrameRuns {
    /// Adds a frame. As a rule it lies behind all others; a journal that is looked at because it is damaged may hold one
    /// twice.
    pub fn add(&mut self, lsn: Lsn) {
        let behind = match self.runs.last() {
            Some((_, last)) if *last >= lsn => self.runs.partition_point(|(first, _)| *first <= lsn),
            Some(_) | None => self.runs.len(),
        };
        let before = behind.checked_sub(1).and_then(|at| self.runs.get_mut(at));
        match before {
            Some((_, last)) if lsn <= *last => return,
            Some((_, last)) if last.next() == lsn => *last = lsn,
            Some(_) | None => self.runs.insert(behind, (lsn, lsn)),
        }
        self.count += 1;
    }

    /// The frames of several runs together; a run is its first and the frame behind its last.
    #[must_use]
    pub fn joined(runs: impl IntoIterator<Item = Range<Lsn>>) -> Self {
        let mut pieces: Vec<Range<Lsn>> = runs.into_iter().filter(|run| run.start < run.end).collect();
        pieces.sort_unstable_by_key(|run| (run.start, run.end));
        let mut joined = Self::default();
        for run in pieces {
            let last = Lsn(run.end.0 - 1);
            let begun = match joined.runs.last_mut() {
                Some((_, end)) if run.start <= end.next() => {
                    let behind = end.next();
                    *end = last.max(*end);
                    behind.min(run.end)
                }
                Some(_) | None => {
                    joined.runs.push((run.start, last));
                    run.start
                }
            };
            joined.count += usize::try_from(run.end.0 - begun.0).unwrap_or(usize::MAX);
        }
        joined
    }

    /// Its runs, each its first and the frame behind its last.
    pub fn runs(&self) -> impl Iterator<Item = Range<Lsn>> {
        self.runs.iter().map(|(first, last)| *first..last.next())
    }

    /// The first frame.
    #[must_use]
    pub fn first(&self) -> Option<Lsn> {
        self.runs.first().map(|(first, _)| *first)
    }

    /// The last frame.
    #[must_use]
    pub fn last(&self) -> Option<Lsn> {
        self.runs.last().map(|(_, last)| *last)
    }

    /// How many frames.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether a frame is one of them.
    #[must_use]
    pub fn contains(&self, lsn: Lsn) -> bool {
        let behind = self.runs.partition_point(|(first, _)| *first <= lsn);
        behind.checked_sub(1).and_then(|at| self.runs.get(at)).is_some_and(|(_, last)| lsn <= *last)
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Lsn> {
        self.runs.iter().flat_map(|(first, last)| (first.0..=last.0).map(Lsn))
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
            prop_assert_eq!((frames.len(), frames.is_empty()), (added.len(), added.is_empty()));
            for lsn in (0..62).map(Lsn) {
                prop_assert_eq!(frames.contains(lsn), added.contains(&lsn));
            }
            let runs = added.windows(2).filter(|two| two[0].next() != two[1]).count() + usize::from(!added.is_empty());
            prop_assert!(frames.runs.len() == runs || !in_order);
            prop_assert_eq!(frames.runs().flat_map(|run| (run.start.0..run.end.0).map(Lsn)).collect::<Vec<_>>(), added);
        }

        #[test]
        fn runs_together_hold_the_frames_of_each(runs in prop::collection::vec((1u64..40, 0u64..9), 0..9)) {
            let joined = FrameRuns::joined(runs.iter().map(|(first, count)| Lsn(*first)..Lsn(first + count)));
            let all: BTreeSet<Lsn> = runs.iter().flat_map(|(first, count)| (*first..first + count).map(Lsn)).collect();
            prop_assert_eq!(joined.len(), all.len());
            prop_assert_eq!(joined.iter().collect::<Vec<_>>(), all.into_iter().collect::<Vec<_>>());
        }
    }
}
