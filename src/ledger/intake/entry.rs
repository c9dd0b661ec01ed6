//! The consequences of frames, collected until the ledger is told.

use super::{InputRow, PositionRow, QuarantineRow, SourceRow};
use crate::domain::batch::HourCounts;
use crate::domain::ids::FeedId;
use crate::domain::period::Partition;
use std::collections::BTreeMap;

/// The consequences of a group of frames.
#[derive(Debug, Clone, Default)]
pub struct IntakeEntry {
    /// What to add to the counts of hours.
    pub hours: HourSums,
    /// New quarantine entries.
    pub quarantine: Vec<QuarantineRow>,
    /// Input files read to their end.
    pub inputs: Vec<InputRow>,
    /// How far unfinished inputs were read; the last one of an input counts.
    pub positions: Vec<PositionRow>,
    /// What to add to the counts of sources, each of which stands here once.
    pub sources: Vec<SourceRow>,
    /// Quarantine entries that came back as records.
    pub retried: Vec<i64>,
}

/// Counts of the hours of feeds; no partition: records without a usable time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HourSums(BTreeMap<FeedId, BTreeMap<Option<Partition>, HourCounts>>);

impl HourSums {
    /// Adds to the counts of an hour.
    pub fn add(&mut self, feed: &FeedId, hour: Option<Partition>, counts: HourCounts) {
        if !self.0.contains_key(feed) {
            self.0.insert(feed.clone(), BTreeMap::new());
        }
        if let Some(hours) = self.0.get_mut(feed) {
            let sum = hours.entry(hour).or_default();
            *sum = sum.plus(counts);
        }
    }

    /// Adds others.
    pub fn append(&mut self, later: &Self) {
        later.iter().for_each(|(feed, hour, counts)| self.add(feed, hour, counts));
    }

    /// True without any count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The counts of each hour.
    pub fn iter(&self) -> impl Iterator<Item = (&FeedId, Option<Partition>, HourCounts)> {
        self.0.iter().flat_map(|(feed, hours)| hours.iter().map(move |(hour, counts)| (feed, *hour, *counts)))
    }
}

impl FromIterator<(FeedId, Option<Partition>, HourCounts)> for HourSums {
    fn from_iter<I: IntoIterator<Item = (FeedId, Option<Partition>, HourCounts)>>(hours: I) -> Self {
        let mut sums = Self::default();
        hours.into_iter().for_each(|(feed, hour, counts)| sums.add(&feed, hour, counts));
        sums
    }
}

impl IntakeEntry {
    /// Adds the consequences of later frames.
    pub fn append(&mut self, mut later: Self) {
        self.hours.append(&later.hours);
        self.quarantine.append(&mut later.quarantine);
        self.inputs.append(&mut later.inputs);
        later.positions.into_iter().for_each(|row| self.set_position(row));
        later.sources.into_iter().for_each(|row| self.add_source(row));
        self.retried.append(&mut later.retried);
    }

    /// Adds to the counts of a source.
    pub fn add_source(&mut self, row: SourceRow) {
        match self.sources.iter_mut().find(|known| known.source == row.source) {
            Some(sum) => {
                (sum.records, sum.rejects) = (sum.records + row.records, sum.rejects + row.rejects);
                (sum.last_at, sum.last_event) = (row.last_at.max(sum.last_at), row.last_event.max(sum.last_event));
            }
            None => self.sources.push(row),
        }
    }

    /// Says how far an input was read. What was said of it last counts; mostly it is the input that was read before.
    pub fn set_position(&mut self, row: PositionRow) {
        match self.positions.last_mut() {
            Some(known) if known.source == row.source && known.input == row.input => *known = row,
            Some(_) | None => self.positions.push(row),
        }
    }
}
