//! What became of every hour: received = sent + filtered + quarantined + void + lost + pending.

use super::FeedBook;
use crate::domain::answer::{Verdict, of_batch};
use crate::domain::batch::{BatchState, HeldFrom, HourCounts};
use crate::domain::counter::Sequence;
use crate::domain::ids::Revision;
use crate::domain::period::Partition;
use crate::domain::runs::Runs;
use crate::domain::time::{Length, UtcTime};
use crate::ledger::reports::{BatchRow, FileRow};
use crate::ledger::sums::{HourSum, Taking};
use std::collections::BTreeMap;

/// One hour with all that belongs to it.
#[derive(Debug, Clone)]
pub struct Hour<'b> {
    /// Which.
    pub partition: Partition,
    /// Its records.
    pub counts: HourCounts,
    /// Records that a person let go before they were in a file.
    pub let_go: u64,
    /// Records that were counted, and that the hour went on without.
    pub lost: u64,
    /// Its batches by revision.
    pub batches: Vec<&'b BatchRow>,
    /// Its files by revision.
    pub files: Vec<&'b FileRow>,
}

/// All hours of a feed that the ledger knows, in order.
#[must_use]
pub fn hours(book: &FeedBook) -> Vec<Hour<'_>> {
    let mut found: BTreeMap<i64, Hour<'_>> = BTreeMap::new();
    let blank = |partition| Hour {
        partition,
        counts: HourCounts::default(),
        let_go: 0,
        lost: 0,
        batches: Vec::new(),
        files: Vec::new(),
    };
    for row in &book.hours {
        if let Some(partition) = row.partition {
            let hour = found.entry(partition.start).or_insert_with(|| blank(partition));
            (hour.counts, hour.let_go, hour.lost) = (row.counts, row.voided, row.lost);
        }
    }
    for row in &book.batches {
        found.entry(row.partition.start).or_insert_with(|| blank(row.partition)).batches.push(row);
    }
    for row in &book.files {
        found.entry(row.partition.start).or_insert_with(|| blank(row.partition)).files.push(row);
    }
    found.into_values().collect()
}

/// True when nothing is left to do for a batch but what the partner does.
#[must_use]
pub const fn is_done(state: BatchState) -> bool {
    matches!(
        state,
        BatchState::Delivered
            | BatchState::PickedUp
            | BatchState::Retired
            | BatchState::Skipped
            | BatchState::Superseded
            | BatchState::Void
    )
}

/// True for a batch that exists but has not been planned.
const fn is_open(state: BatchState) -> bool {
    matches!(state, BatchState::Open | BatchState::Held(HeldFrom::Open))
}

/// Records of a batch that are sent.
const fn sent(batch: &BatchRow) -> u64 {
    batch.records.saturating_sub(batch.voided)
}

impl Hour<'_> {
    /// Records in planned part files of all revisions, void ones left out.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.batches.iter().map(|batch| sent(batch)).sum()
    }

    /// Records that are never sent, because a person said so.
    #[must_use]
    pub fn void(&self) -> u64 {
        self.let_go + self.batches.iter().map(|batch| batch.voided).sum::<u64>()
    }

    /// Records that are in no file, not filtered and not in quarantine.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let HourCounts { received, filtered, quarantined, .. } = self.counts;
        received.saturating_sub(filtered + quarantined + self.lost + self.sent() + self.void())
    }

    /// True when everything of the hour is with the partner, and nothing waits.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.batches.is_empty() && self.batches.iter().all(|batch| is_done(batch.state)) && self.pending() == 0
    }

    /// True when a batch of it waits for a person.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.batches.iter().any(|batch| matches!(batch.state, BatchState::Held(_)))
    }

    /// True when no batch was planned yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.batches.iter().all(|batch| is_open(batch.state))
    }

    /// True when it should be with the partner by now: its end, or the sealing of its supplement, is more than
    /// `deadline` before `now`. Late records that wait for a supplement do not make it overdue.
    #[must_use]
    pub fn is_overdue(&self, deadline: Length, now: UtcTime) -> bool {
        let late = |since: UtcTime| since.after(deadline) < now;
        let first_done = self.batches.first().is_some_and(|first| is_done(first.state));
        let first_overdue = !first_done && late(self.partition.end_time());
        first_overdue || self.batches.iter().skip(1).any(|batch| !is_done(batch.state) && late(batch.sealed_at))
    }
}

/// One line of the table of hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourLine {
    /// Which hour.
    pub partition: Partition,
    /// Which revision; late records that wait have the next one.
    pub revision: Revision,
    /// Records of this line.
    pub received: u64,
    /// Records in its part files; `None` before they are planned.
    pub sent: Option<u64>,
    /// Left out by the filter.
    pub filtered: u64,
    /// In quarantine.
    pub quarantined: u64,
    /// Never sent, because a person said so.
    pub void: u64,
    /// Counted, and in no frame of the spool any more.
    pub lost: u64,
    /// In no file yet.
    pub pending: u64,
    /// First and last number of its part files.
    pub sequences: Option<(Sequence, Sequence)>,
    /// Those of these numbers that are void.
    pub void_sequences: Runs,
    /// Files, the manifest counted.
    pub files: u64,
    /// When the last of them was delivered.
    pub delivered_at: Option<UtcTime>,
    /// What the partner has taken of them.
    pub taken: Taking,
    /// What it has answered.
    pub answer: Option<Verdict>,
    /// Where it stands.
    pub standing: Standing,
    /// Sealed before a source had been read to the end.
    pub source_incomplete: bool,
    /// Why it is held or void.
    pub reason: Option<String>,
}

/// What the partner has answered about a batch: nothing, when it has said nothing of any file.
fn answer(files: &[&&FileRow]) -> Option<Verdict> {
    let delivered = files.iter().filter(|file| file.state == "delivered");
    let said: Vec<(bool, Option<Verdict>)> = delivered.map(|file| (file.is_manifest(), file.answer)).collect();
    of_batch(&said).filter(|_| said.iter().any(|(_, said)| said.is_some()))
}

/// What a partner has taken of delivered files.
pub fn taking<'f>(files: impl Iterator<Item = &'f FileRow>) -> Taking {
    let mut taken = Taking::default();
    for file in files.filter(|file| file.state == "delivered") {
        let of_file = if file.pickup.state.is_outstanding() {
            Taking { waiting: 1, waiting_since: file.delivered_at, ..Taking::default() }
        } else if file.pickup.taken_at.is_some() {
            Taking { files: 1, last_at: file.pickup.taken_at, ..Taking::default() }
        } else {
            Taking::default()
        };
        taken = taken.plus(of_file);
    }
    taken
}

/// Where a line of the table stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Records are still expected.
    Open,
    /// Late records wait for the next revision.
    LateWaiting,
    /// A batch is in this state.
    Batch(BatchState),
}

impl Standing {
    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::LateWaiting => "late records wait",
            Self::Batch(state) => state.word(),
        }
    }
}

/// The lines of one hour: one for each revision, and one for late records that wait. Filtered and quarantined
/// records stand in the first line; that of a supplement holds its own records only. In every line
/// received = sent + filtered + quarantined + void + lost + pending.
#[must_use]
pub fn lines(hour: &Hour<'_>) -> Vec<HourLine> {
    let supplements: u64 = hour.batches.iter().skip(1).map(|batch| batch.records).sum();
    let mut pending = hour.pending();
    let late = if hour.is_open() { 0 } else { std::mem::take(&mut pending) };
    let HourCounts { received, filtered, quarantined, .. } = hour.counts;
    let first = hour.batches.first();
    let mut lines = vec![HourLine {
        received: received.saturating_sub(supplements + late),
        sent: first.filter(|first| !is_open(first.state)).map(|first| sent(first)),
        filtered,
        quarantined,
        void: hour.let_go + first.map_or(0, |first| first.voided),
        lost: hour.lost,
        pending,
        ..line(hour, hour.batches.first().copied(), Revision(0))
    }];
    for batch in hour.batches.iter().skip(1) {
        let (received, sent, void) = (batch.records, Some(sent(batch)), batch.voided);
        lines.push(HourLine { received, sent, void, ..line(hour, Some(batch), batch.revision) });
    }
    if late > 0 {
        let next = hour.batches.last().map_or(Revision(0), |batch| batch.revision.next());
        let waiting = Standing::LateWaiting;
        lines.push(HourLine { received: late, pending: late, standing: waiting, ..line(hour, None, next) });
    }
    lines
}

/// A line with everything but the counts.
fn line(hour: &Hour<'_>, batch: Option<&BatchRow>, revision: Revision) -> HourLine {
    let own: Vec<&&FileRow> = hour.files.iter().filter(|file| batch.is_some() && file.revision == revision).collect();
    let numbers = || own.iter().filter(|file| !file.is_manifest()).filter_map(|file| file.sequence);
    HourLine {
        partition: hour.partition,
        revision,
        received: 0,
        sent: None,
        filtered: 0,
        quarantined: 0,
        void: 0,
        lost: 0,
        pending: 0,
        sequences: numbers().min().zip(numbers().max()),
        void_sequences: own.iter().filter_map(|file| void_part_number(file)).collect(),
        files: own.len() as u64,
        delivered_at: batch.and_then(|batch| batch.delivered_at),
        taken: taking(own.iter().map(|file| **file)),
        answer: answer(&own),
        standing: match batch {
            None => Standing::Open,
            Some(batch) if batch.state == BatchState::Open => Standing::Open,
            Some(batch) => Standing::Batch(batch.state),
        },
        source_incomplete: batch.is_some_and(|batch| batch.source_incomplete),
        reason: batch.and_then(|batch| batch.reason.clone()),
    }
}

/// How far a feed is complete, from its first hour on without interruption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// From its first second to the end of the last complete hour.
    pub span: Partition,
    /// Hours in it.
    pub hours: u64,
    /// Part files in it.
    pub files: u64,
    /// First and last number of these.
    pub sequences: Option<(Sequence, Sequence)>,
    /// Those of these numbers that are void, in order: the partner never saw them.
    pub void: Runs,
    /// Numbers that are missing between them.
    pub missing: u64,
}

/// The complete hours at the beginning of a feed, of which `sums` and `hours` together are all that are known; `None` when
/// its first hour is not complete.
#[must_use]
pub fn completeness(sums: &[HourSum], hours: &[Hour<'_>]) -> Option<Completeness> {
    let summed = sums.iter().filter(|sum| sum.is_gapless).cloned();
    let rest = hours.iter().map(|hour| sum(std::slice::from_ref(hour)).filter(|_| hour.is_complete()));
    let mut spans: Vec<(i64, Option<HourSum>)> = summed.map(|sum| (sum.span.start, Some(sum))).collect();
    spans.extend(hours.iter().map(|hour| hour.partition.start).zip(rest));
    spans.sort_by_key(|(start, _)| *start);
    let mut end = spans.first()?.0;
    let follows = |sum: &HourSum| {
        let follows = sum.span.start == end;
        end = sum.span.end;
        follows
    };
    let complete: Vec<HourSum> = spans.into_iter().map_while(|(_, sum)| sum).take_while(follows).collect();
    let span = Partition { start: complete.first()?.span.start, end: complete.last()?.span.end };
    let numbers = Runs::joined(complete.iter().map(|sum| &sum.part_numbers));
    Some(Completeness {
        span,
        hours: complete.iter().map(|sum| sum.hours).sum(),
        files: complete.iter().map(|sum| sum.files).sum(),
        sequences: numbers.ends(),
        void: Runs::joined(complete.iter().map(|sum| &sum.void_numbers)),
        missing: numbers.missing(),
    })
}

/// What hours come to; `None` of no hours.
#[must_use]
pub fn sum(hours: &[Hour<'_>]) -> Option<HourSum> {
    let span = Partition { start: hours.first()?.partition.start, end: hours.last()?.partition.end };
    let parts = || hours.iter().flat_map(|hour| &hour.files).filter(|file| !file.is_manifest());
    let manifests = hours.iter().flat_map(|hour| &hour.files).filter(|file| file.is_manifest());
    Some(HourSum {
        span,
        is_gapless: hours
            .iter()
            .zip(hours.iter().skip(1))
            .all(|(hour, next)| hour.partition.end == next.partition.start),
        hours: hours.len() as u64,
        files: parts().count() as u64,
        part_numbers: parts().filter_map(|file| file.sequence).collect(),
        manifest_numbers: manifests.filter_map(|file| file.sequence).collect(),
        void_numbers: parts().filter_map(|file| void_part_number(file)).collect(),
        taken: taking(hours.iter().flat_map(|hour| &hour.files).copied()),
    })
}

fn void_part_number(file: &FileRow) -> Option<Sequence> {
    file.sequence.filter(|_| !file.is_manifest() && file.state == "void")
}

#[cfg(test)]
pub(crate) mod tests;
