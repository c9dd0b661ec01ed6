//! Which frames of the spool hold records of which hour that is not sealed yet, and which hours are closed.
//!
//! A record belongs to the hour of its time unless that hour was cut before the record's frame: then it is late, and
//! the feed's policy says where it goes. Cuts never change once they are recorded, so the answer is the same whenever
//! the spool is read again.

use super::definition::{FeedDefinition, LatePolicy};
use super::router::{FeedRouter, Route, RouteFault};
use crate::domain::batch::{BatchState, HeldFrom, HourCounts};
use crate::domain::frames::FrameRuns;
use crate::domain::ids::{FeedId, Lsn, Revision};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::record::{AcceptedBatch, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Records of one hour that wait to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingHour {
    /// The hour.
    pub partition: Partition,
    /// How many.
    pub records: u64,
    /// The frames they lie in.
    pub lsns: FrameRuns,
    /// When the first of them was accepted.
    pub since: UtcTime,
    /// Records near them that could not be decoded: they may have belonged to this hour.
    pub suspects: u64,
}

/// What is known about an hour that was closed, held or planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedHour {
    /// The hour.
    pub partition: Partition,
    /// The latest revision.
    pub revision: Revision,
    /// Its state.
    pub state: BatchState,
    /// Records of frames below it were looked at for it.
    pub cut: Lsn,
    /// Records of frames below it belong to a revision that was planned: this one or, while this one is held, one
    /// before it.
    pub taken: Lsn,
}

impl ClosedHour {
    /// A revision of an hour. [`FeedHours::close`] knows what those before it have taken.
    #[must_use]
    pub const fn new(partition: Partition, revision: Revision, state: BatchState, cut: Lsn) -> Self {
        Self { partition, revision, state, cut, taken: Lsn(0) }
    }

    const fn has_taken(&self, lsn: Lsn) -> bool {
        lsn.0 < self.taken.0
    }

    /// An hour that was held or released before it was planned takes whatever comes.
    const fn is_cut(&self) -> bool {
        !matches!(self.state, BatchState::Open | BatchState::Held(HeldFrom::Open))
    }
}

/// One feed: its router and its hours.
#[derive(Debug)]
pub struct FeedHours {
    /// Filter and hour of a record.
    pub router: FeedRouter,
    /// Hours with records that wait.
    pub pending: BTreeMap<i64, PendingHour>,
    /// Hours that were closed and whose frames may still lie in the spool, by start.
    pub closed: BTreeMap<i64, ClosedHour>,
    /// Every partition that ends here or earlier is closed.
    pub closed_second: Option<i64>,
    /// Starts of open hours that a person wants to be held when their time comes.
    pub held_back: BTreeSet<i64>,
    /// The latest time by which a record of each source was put into an hour.
    pub latest: BTreeMap<String, UtcTime>,
    /// The hour of the last record of each source: what cannot be decoded behind it may belong there.
    last_hours: BTreeMap<String, i64>,
}

/// Where a record of a feed goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Into this hour, by this time.
    Hour(Partition, UtcTime),
    /// A batch of this hour has it already.
    Taken(Partition, UtcTime),
    /// The filter leaves it out.
    Filtered(Option<Partition>),
    /// To quarantine; with the hour where it has one.
    Rejected(RouteFault, Option<Partition>),
}

/// What the ledger is told about a frame and a feed.
#[derive(Debug, Clone, Default)]
pub struct FeedNote {
    /// Counts to add, by hour; `None` for records without a usable time.
    pub counts: BTreeMap<Option<Partition>, HourCounts>,
    /// Records that go to quarantine: index in the block, reason and hour.
    pub rejects: Vec<(usize, RouteFault, Option<Partition>)>,
    /// Records that wait in hours now.
    pub shares: Vec<HourShare>,
}

/// Records of a frame that belong to one hour.
#[derive(Debug, Clone)]
pub struct HourShare {
    /// The hour.
    pub partition: Partition,
    /// Index in the block and time of each, ascending.
    pub records: Vec<(usize, UtcTime)>,
    /// No record waited in this hour before.
    pub begins: bool,
}

impl FeedNote {
    fn share(&mut self, partition: Partition, record: (usize, UtcTime)) {
        // Records of one hour come in a row.
        let last = self.shares.last().is_some_and(|share| share.partition == partition);
        let found = if last {
            self.shares.last_mut()
        } else {
            self.shares.iter_mut().find(|share| share.partition == partition)
        };
        match found {
            Some(share) => share.records.push(record),
            None => self.shares.push(HourShare { partition, records: vec![record], begins: false }),
        }
    }
}

impl FeedHours {
    /// A feed with nothing pending.
    #[must_use]
    pub const fn new(router: FeedRouter) -> Self {
        Self {
            router,
            pending: BTreeMap::new(),
            closed: BTreeMap::new(),
            closed_second: None,
            held_back: BTreeSet::new(),
            latest: BTreeMap::new(),
            last_hours: BTreeMap::new(),
        }
    }

    /// The definition that the configuration has now.
    #[must_use]
    pub fn definition(&self) -> &FeedDefinition {
        self.router.current()
    }

    /// Which feed.
    #[must_use]
    pub fn id(&self) -> &FeedId {
        &self.definition().id
    }

    /// True when the feed takes records of this batch at all.
    #[must_use]
    pub fn takes(&self, batch: &AcceptedBatch) -> bool {
        let definition = self.definition();
        definition.sources.iter().any(|source| source.value.as_str() == batch.source)
            && batch.only_feed.as_ref().is_none_or(|only| *only == definition.id.to_string())
    }

    /// Where a record of the frame `lsn` goes. The router must be prepared for its schema.
    pub fn destination(&mut self, record: Record<'_>, lsn: Lsn, accepted_at: UtcTime) -> Destination {
        match self.router.route(record, accepted_at) {
            Route::Filtered(partition) => Destination::Filtered(partition),
            Route::Rejected(fault) => Destination::Rejected(fault, None),
            Route::Accepted(partition, at) => self.settle(partition, at, lsn),
        }
    }

    fn settle(&self, partition: Partition, at: UtcTime, lsn: Lsn) -> Destination {
        let Some(closed) = self.closed.get(&partition.start) else {
            return self.settle_without_batch(partition, at, lsn);
        };
        if closed.has_taken(lsn) {
            return Destination::Taken(partition, at);
        }
        if closed.is_cut() { self.late(partition, at, lsn) } else { Destination::Hour(partition, at) }
    }

    /// An hour before `closed_second` for which no batch is known was closed long ago: its records were all freed.
    fn settle_without_batch(&self, partition: Partition, at: UtcTime, lsn: Lsn) -> Destination {
        if self.closed_second.is_some_and(|second| partition.end <= second) {
            self.late(partition, at, lsn)
        } else {
            Destination::Hour(partition, at)
        }
    }

    fn late(&self, partition: Partition, at: UtcTime, lsn: Lsn) -> Destination {
        let definition = self.router.version_at(partition.start);
        match definition.late {
            LatePolicy::Supplement => Destination::Hour(partition, at),
            LatePolicy::Quarantine => Destination::Rejected(RouteFault::Late, Some(partition)),
            LatePolicy::Next => {
                let mut next = definition.period.next(partition);
                loop {
                    if definition.ends_at.is_some_and(|end| next.start_time() >= end) {
                        return Destination::Rejected(RouteFault::Late, Some(partition));
                    }
                    match self.closed.get(&next.start) {
                        Some(closed) if closed.has_taken(lsn) => return Destination::Taken(next, at),
                        Some(closed) if closed.is_cut() => {}
                        None if self.closed_second.is_some_and(|second| next.end <= second) => {}
                        Some(_) | None => return Destination::Hour(next, at),
                    }
                    next = definition.period.next(next);
                }
            }
        }
    }

    /// Notes the records of a frame as pending and returns what the ledger is to be told.
    pub fn note(&mut self, batch: &AcceptedBatch, lsn: Lsn) -> FeedNote {
        self.router.prepare(batch.block.schema());
        let mut note = FeedNote::default();
        let (mut last_hour, mut latest) = (None, None);
        for (index, record) in batch.block.iter().enumerate() {
            match self.destination(record, lsn, batch.accepted_at) {
                Destination::Hour(partition, at) => {
                    last_hour = Some(partition.start);
                    latest = latest.max(Some(at));
                    note.share(partition, (index, at));
                }
                Destination::Taken(..) => {}
                Destination::Filtered(hour) => {
                    let counts = note.counts.entry(hour).or_default();
                    counts.received += 1;
                    counts.filtered += 1;
                }
                Destination::Rejected(fault, hour) => {
                    let counts = note.counts.entry(hour).or_default();
                    counts.received += 1;
                    counts.quarantined += 1;
                    note.rejects.push((index, fault, hour));
                }
            }
        }
        for share in &mut note.shares {
            let records = share.records.len() as u64;
            note.counts.entry(Some(share.partition)).or_default().received += records;
            share.begins = self.add(share.partition, records, lsn, batch.accepted_at);
        }
        if let Some(at) = latest {
            let known = self.latest.entry(batch.source.clone()).or_insert(at);
            *known = at.max(*known);
        }
        // A record that lies outside the feed's time belongs to no hour of it; of the others nobody knows.
        let outside = |fault: &RouteFault| {
            matches!(
                fault,
                RouteFault::BeforeStart(_) | RouteFault::TooOld(_) | RouteFault::AfterEnd(_) | RouteFault::Late
            )
        };
        let unknown = note.rejects.iter().filter(|(_, fault, _)| !outside(fault)).count();
        let suspects = batch.rejects.len() as u64 + unknown as u64;
        if let Some(start) = last_hour {
            self.last_hours.insert(batch.source.clone(), start);
        }
        let start = last_hour.or_else(|| self.last_hours.get(&batch.source).copied());
        if let Some(hour) = start.and_then(|start| self.pending.get_mut(&start)) {
            hour.suspects += suspects;
        }
        note
    }

    /// How many records of a batch the feed would take, by hour. Nothing is noted.
    pub fn count_hours(&mut self, batch: &AcceptedBatch) -> BTreeMap<Option<Partition>, u64> {
        self.router.prepare(batch.block.schema());
        let mut hours = BTreeMap::new();
        for record in batch.block.iter() {
            let hour = match self.router.route(record, batch.accepted_at) {
                Route::Accepted(partition, _) => Some(partition),
                Route::Filtered(_) => continue,
                Route::Rejected(_) => None,
            };
            *hours.entry(hour).or_default() += 1;
        }
        hours
    }

    /// Notes records of a frame; true when they are the first that wait in their hour.
    fn add(&mut self, partition: Partition, records: u64, lsn: Lsn, accepted_at: UtcTime) -> bool {
        let begins = !self.pending.contains_key(&partition.start);
        let hour = self.pending.entry(partition.start).or_insert_with(|| PendingHour {
            partition,
            records: 0,
            lsns: FrameRuns::default(),
            since: accepted_at,
            suspects: 0,
        });
        hour.records += records;
        hour.lsns.add(lsn);
        begins
    }

    /// True for an hour of which no batch is known and which is not over.
    #[must_use]
    pub fn is_open(&self, partition: Partition) -> bool {
        let is_over = self.closed_second.is_some_and(|second| partition.end <= second);
        !is_over && !self.closed.contains_key(&partition.start)
    }

    /// The first frame that still holds a record of an open hour.
    #[must_use]
    pub fn first_needed(&self) -> Option<Lsn> {
        self.pending.values().filter_map(|hour| hour.lsns.first()).min()
    }

    /// Notes that a revision of an hour took everything below its cut, or that it is held and has taken nothing.
    pub fn close(&mut self, mut closed: ClosedHour) {
        let before = self.closed.get(&closed.partition.start).map_or(Lsn(0), |known| known.taken);
        closed.taken = if closed.is_cut() { closed.cut } else { before };
        if closed.is_cut() {
            self.pending.remove(&closed.partition.start);
        }
        self.closed.insert(closed.partition.start, closed);
    }

    /// Forgets closed hours that were cut at or below `lsn`: no frame in the spool can be mistaken for theirs. Hours
    /// that wait for a person stay.
    pub fn forget_cut_below(&mut self, lsn: Lsn) {
        self.closed.retain(|_, closed| !closed.is_cut() || closed.cut > lsn);
    }
}
