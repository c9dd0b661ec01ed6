//! The spool beside a rebuilt ledger: it must go on behind every frame that was ever accounted for. New frames with old
//! numbers would be taken for records that were sealed long ago.

use super::{RecoverFault, Recovery};
use crate::domain::batch::BatchId;
use crate::domain::ids::{FeedId, Lsn, Revision};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::ledger::Ledger;
use crate::ledger::batches::{Decisions, HeldHour};
use crate::record::accepted::KIND_BATCH;
use crate::record::{AcceptedBatch, Origin, RecordBlock};
use crate::spool::Spool;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most hours of a feed that are held one by one.
const HELD_MAX: usize = 10_000;

impl Recovery<'_> {
    /// Compares spool and ledger. A damaged spool is mended; frames that are missing at its end are filled with empty
    /// ones, and the open hours that may have had records in them wait for a person.
    pub(super) fn repair_journal(&mut self, ledger: &mut Ledger) -> Result<(), RecoverFault> {
        let applied = ledger.applied()?;
        let found = self.look_at_journal(applied)?;
        let is_behind = found.first <= found.durable && found.first > applied.next();
        if is_behind && !self.orders.from_backup && !self.rewrite_log {
            return Err(RecoverFault::ArchiveTooOld { known: applied, first: found.first });
        }
        let spool = if self.orders.dry_run { None } else { Some(self.open_journal(ledger, &found)?) };
        let (first, durable) = spool.as_ref().map_or((found.first, found.durable), |s| (s.first(), s.durable()));
        let is_empty = first > durable;
        self.journal_end = durable.next();
        ledger.note_freed(if is_empty { applied.next() } else { first })?;
        if is_behind {
            // What the frames in between meant is lost, but their records were sealed before they were freed.
            ledger.set_applied(Lsn(first.0.saturating_sub(1)))?;
        }
        self.hold_damaged(ledger, &found)?;
        if is_behind || durable >= applied {
            return Ok(());
        }
        let missing = if is_empty { Lsn(1) } else { durable.next() };
        self.report.lost = Some((missing, applied));
        let waiting = ledger.all_waiting_hours()?;
        let lost: Vec<_> = waiting.into_iter().filter(|(_, hour, _)| hour.end > hour.start).collect();
        self.hold_lost(ledger, &lost)?;
        self.report.lost_hours = lost;
        spool.map_or(Ok(()), |spool| self.fill_journal(spool, applied))
    }

    /// Lets the journal go on behind frame `applied`.
    fn fill_journal(&self, mut spool: Spool, applied: Lsn) -> Result<(), RecoverFault> {
        if spool.bytes() == 0 {
            drop(spool);
            let dir = self.config.state.join("journal");
            return Ok(Spool::begin_behind(self.world.disk.as_ref(), &dir, self.id, applied)?);
        }
        let mut payload = Vec::new();
        empty_frame(self.now).write(&mut payload);
        while spool.next() <= applied {
            spool.append(KIND_BATCH, &payload)?;
        }
        spool.sync()?;
        Ok(())
    }

    /// An hour that may have lost records is never stated as complete, and none before it is skipped.
    fn hold_lost(&self, ledger: &mut Ledger, lost: &[(FeedId, Partition, u64)]) -> Result<(), RecoverFault> {
        let mut last: BTreeMap<&FeedId, i64> = BTreeMap::new();
        for (feed, hour, _) in lost {
            let end = last.entry(feed).or_insert(hour.end);
            *end = hour.end.max(*end);
        }
        for (feed, end) in last {
            let of_feed = lost.iter().filter(|(known, ..)| known == feed);
            let counts: BTreeMap<i64, u64> = of_feed.map(|(_, hour, count)| (hour.start, *count)).collect();
            self.hold_hours(ledger, feed, None, end, &|hour| match counts.get(&hour.start) {
                Some(count) => format!("{count} accepted records may be lost with the journal"),
                None => "accepted records may be lost with the journal".to_owned(),
            })?;
        }
        Ok(())
    }

    /// Holds every hour of a feed that is not closed and begins before `end`; those of a feed that nobody knows anything
    /// about, from `start` on.
    pub(super) fn hold_hours(
        &self,
        ledger: &mut Ledger,
        feed: &FeedId,
        start: Option<i64>,
        end: i64,
        reason: &dyn Fn(Partition) -> String,
    ) -> Result<(), RecoverFault> {
        let Some(definition) = self.config.feeds().find(|definition| definition.id == *feed) else { return Ok(()) };
        let waiting = ledger.all_waiting_hours()?;
        let first = waiting.iter().find(|(known, hour, _)| known == feed && hour.end > hour.start);
        let progress = ledger.progress(feed)?;
        let begin = progress.closed_second.or_else(|| definition.starts_at.map(UtcTime::seconds));
        let Some(begin) = begin.or(first.map(|(_, hour, _)| hour.start)).or(start) else { return Ok(()) };
        let mut decisions = Decisions::default();
        let start = UtcTime::from_seconds(begin).unwrap_or(self.now);
        let mut hour = definition.period.partition_at(start);
        let cut = ledger.applied()?.next();
        while hour.start < end && decisions.held.len() < HELD_MAX {
            let id = BatchId { feed: feed.clone(), partition: hour, revision: Revision(0) };
            if ledger.latest_revision(feed, hour.start)?.is_none() {
                let (definition, quarantine) = (definition.hash.clone(), Vec::new());
                let held =
                    HeldHour { id, reason: reason(hour), definition, at: self.now, from: Lsn(0), cut, quarantine };
                decisions.held.push(held);
            }
            decisions.closed.push((feed.clone(), hour.end));
            hour = definition.period.next(hour);
        }
        Ok(ledger.decide(&decisions)?)
    }
}

/// A frame that holds nothing and is of no source.
fn empty_frame(now: UtcTime) -> AcceptedBatch {
    AcceptedBatch {
        source: String::new(),
        input: String::new(),
        before: Origin::default(),
        after: Origin::default(),
        prefix_crc: 0,
        accepted_at: now,
        only_feed: None,
        retried: Vec::new(),
        head: Vec::new(),
        block: RecordBlock::new(Arc::default()),
        rejects: Vec::new(),
        lines: None,
    }
}
