//! Frames of the spool in their order, as runs of those that follow each other: an hour whose records come one after the
//! other lies in very many frames and few runs.

use super::ids::Lsn;

/// Frames, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameRuns {
    /// First and last frame of each run.
    runs: Vec<(Lsn, Lsn)>,
    count: usize,
}

impl FrameRuns {
    /// Adds a frame that is none of them and lies behind all, or is the last one already.
    ///
    /// # Panics
    /// When it lies before the last one: the spool is read in its order.
    pub fn push(&mut self, lsn: Lsn) {
        match self.runs.last_mut() {
            Some((_, last)) if *last == lsn => return,
            Some((_, last)) if last.next() == lsn => *last = lsn,
            Some((_, last)) => {
                assert!(*last < lsn, "frames come in ascending order");
                self.runs.push((lsn, lsn));
            }
            None => self.runs.push((lsn, lsn)),
        }
        self.count += 1;
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
        frames.into_iter().for_each(|lsn| runs.push(lsn));
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_frames_are_those_that_were_pushed(pushed in prop::collection::vec(1u64..60, 0..80)) {
            let mut pushed: Vec<Lsn> = pushed.into_iter().map(Lsn).collect();
            pushed.sort_unstable();
            let frames: FrameRuns = pushed.iter().copied().collect();
            pushed.dedup();
            prop_assert_eq!(frames.iter().collect::<Vec<_>>(), pushed.clone());
            prop_assert_eq!((frames.first(), frames.last()), (pushed.first().copied(), pushed.last().copied()));
            prop_assert_eq!((frames.len(), frames.is_empty()), (pushed.len(), pushed.is_empty()));
            for lsn in (0..62).map(Lsn) {
                prop_assert_eq!(frames.contains(lsn), pushed.contains(&lsn));
            }
            let runs = pushed.windows(2).filter(|two| two[0].next() != two[1]).count() + usize::from(!pushed.is_empty());
            prop_assert_eq!(frames.runs.len(), runs);
        }
    }
}
