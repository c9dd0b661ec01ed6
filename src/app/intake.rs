//! Reading the sources into the spool, and telling the ledger what became of every record.

use super::exporter::Exporter;
use super::fault::ExporterFault;
use super::history::LedgerHistory;
use crate::domain::batch::HourCounts;
use crate::domain::ids::{FeedId, Lsn, Revision, SourceId};
use crate::domain::time::{Length, UtcTime};
use crate::feed::pending::FeedHours;
use crate::intake::{IntakeFault, Step};
use crate::ledger::intake::{InputRow, IntakeEntry, PositionRow, QuarantineRow, QuarantineStage, SourceRow};
use crate::record::accepted::lines::{InputLines, KIND_LINES};
use crate::record::accepted::{KIND_BATCH, write_block};
use crate::record::{Accepted, AcceptedBatch, InputFinished, RecordBlock};
use crate::seal::draft::FeedShares;
use crate::seal::render::RenderJob;
use crate::spool::adopted::Extent;
use std::sync::Arc;

/// Bytes of frames that become durable together.
const GROUP_BYTES: usize = 8 << 20;

/// Of a group that is not larger the ledger may be told later.
const LAG_BYTES: usize = 64 << 10;
/// Bytes of kept input that cost a group as much as one byte of a frame: they are durable already.
const ADOPTED_SHARE: u64 = 32;

/// What a pass of intake read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IntakeCounts {
    /// Input files read to their end.
    pub inputs: u64,
    /// Records accepted.
    pub records: u64,
    /// Records that could not be decoded, or not routed by a feed.
    pub quarantined: u64,
    /// Records of input that was read before.
    pub duplicates: u64,
}

impl IntakeCounts {
    /// Adds what was read later.
    pub(super) const fn add(&mut self, later: Self) {
        self.inputs += later.inputs;
        self.records += later.records;
        self.quarantined += later.quarantined;
        self.duplicates += later.duplicates;
    }
}

impl Exporter {
    /// Looks at every source and reads what is there, up to `bytes_max` of frames for each.
    ///
    /// # Errors
    /// [`ExporterFault`] when the spool or the ledger fails. What goes wrong at a source is an alarm.
    pub(super) fn read_each(&mut self, bytes_max: u64, counts: &mut IntakeCounts) -> Result<(), ExporterFault> {
        self.look_who_rests()?;
        for index in 0..self.sources.len() {
            if self.sources.get(index).is_some_and(|source| self.resting.contains(source.id())) {
                continue;
            }
            let fault = match self.read_source(index, bytes_max, counts) {
                Ok(()) => None,
                Err(ExporterFault::Intake(fault)) if !fault.is_failed_sync() => Some(fault.to_string()),
                // The group may lack the consequences of a frame: the next start tells the ledger, from the spool.
                Err(fault) => return Err(fault),
            };
            self.commit_in_time()?;
            let fault = match self.settle(index) {
                Ok(()) => fault,
                Err(stop) if stop.is_failed_sync() => return Err(stop.into()),
                Err(later) => fault.or(Some(later.to_string())),
            };
            self.raise_source_alarms(index, fault)?;
        }
        Ok(())
    }

    fn look_who_rests(&mut self) -> Result<(), ExporterFault> {
        let paused = self.ledger.lock().paused()?;
        let sources = paused.iter().filter_map(|paused| paused.subject.strip_prefix("source "));
        self.resting = sources.filter_map(|name| SourceId::parse(name).ok()).collect();
        Ok(())
    }

    fn read_source(&mut self, index: usize, bytes_max: u64, counts: &mut IntakeCounts) -> Result<(), ExporterFault> {
        let now = self.look_time();
        let mut taken = 0u64;
        {
            let Some(source) = self.sources.get_mut(index) else { return Ok(()) };
            let ledger = self.ledger.lock();
            source.look(self.disk.as_ref(), &LedgerHistory(&ledger), now)?;
        }
        while taken < bytes_max {
            let (is_full, now) = (self.is_spool_full(), self.now());
            let Some(source) = self.sources.get_mut(index) else { return Ok(()) };
            if is_full {
                self.space.cut_short |= source.caught_up_to() == UtcTime::MIN;
                return Ok(());
            }
            self.spool.make_room()?;
            let step = {
                let ledger = self.ledger.lock();
                source.step(self.disk.as_ref(), &LedgerHistory(&ledger), now)?
            };
            match step {
                Step::Idle => return Ok(()),
                Step::Duplicate(accepted) => self.count_duplicates(accepted, counts),
                Step::Accepted(accepted) => {
                    self.progress.read(source.id().as_str(), records_in(&accepted), source.unread_bytes());
                    taken += self.append(accepted, counts)?;
                }
            }
            if self.group.bytes >= GROUP_BYTES {
                self.commit(index)?;
            }
        }
        Ok(())
    }

    /// Appends one piece to the spool and notes its consequences.
    pub(super) fn append(&mut self, accepted: Accepted, counts: &mut IntakeCounts) -> Result<u64, ExporterFault> {
        let (lsn, bytes) = self.append_frame(&accepted)?;
        match &accepted {
            Accepted::Batch(batch) => {
                counts.records += batch.block.len() as u64;
                let given = given_records(batch) + batch.rejects.len() as u64;
                self.group.unacknowledged.push((batch.source.clone(), given));
            }
            Accepted::Finished(_) => counts.inputs += 1,
        }
        let before = self.group.entry.quarantine.len();
        let shares = note(&mut self.feeds, &accepted, lsn, &mut self.group.entry);
        counts.quarantined += (self.group.entry.quarantine.len() - before) as u64;
        self.group.bytes += self.payload.len() + usize::try_from(bytes / ADOPTED_SHARE).unwrap_or(usize::MAX);
        if let Accepted::Batch(batch) = accepted {
            self.draft(batch, lsn, shares)?;
        }
        Ok(bytes.max(self.payload.len() as u64))
    }

    /// Appends the frame of what was accepted. Gives the bytes of kept input that it refers to, too.
    fn append_frame(&mut self, accepted: &Accepted) -> Result<(Lsn, u64), ExporterFault> {
        self.payload.clear();
        let kind = match accepted {
            Accepted::Batch(batch) => {
                if let Some(lines) = &batch.lines {
                    batch.write_without_lines(lines, &mut self.payload);
                    let InputLines { file, bytes, crc, .. } = **lines;
                    let extent = Extent { file, offset: batch.before.byte, bytes, crc };
                    let lsn = self.spool.append_adopted(&extent, KIND_LINES, &self.payload)?;
                    return Ok((lsn, u64::from(bytes)));
                }
                batch.write(&mut self.payload);
                KIND_BATCH
            }
            Accepted::Finished(finished) => {
                finished.write(&mut self.payload);
                finished.kind()
            }
        };
        Ok((self.spool.append(kind, &self.payload)?, 0))
    }

    /// Renders records ahead of the end of their hours.
    pub(super) fn draft(&mut self, batch: AcceptedBatch, lsn: Lsn, shares: FeedShares) -> Result<(), ExporterFault> {
        for (index, share) in shares.iter().filter(|(_, share)| share.begins) {
            let Some(feed) = self.feeds.get(*index).filter(|feed| feed.is_open(share.partition)) else { continue };
            let definition = Arc::clone(feed.router.version_at(share.partition.start));
            let before = self.drafts.count(*index) as u64;
            let given = self.next_number(*index, &definition, share.partition)?;
            self.drafts.begin(RenderJob {
                feed: *index,
                partition: share.partition,
                revision: Revision(0),
                from: Lsn(0),
                cut: Lsn(u64::MAX),
                lsns: None,
                schema: Arc::clone(batch.block.schema()),
                sealed_at: batch.accepted_at,
                // Of each hour in front one file, as a rule.
                sequence_guess: given + before,
                planned: None,
                at_least_one_part: false,
                definition,
            });
        }
        self.drafts.render(batch, lsn, shares);
        Ok(())
    }

    /// Makes the group durable, records it, and only then lets the source put its input away.
    pub(super) fn commit(&mut self, index: usize) -> Result<(), ExporterFault> {
        self.commit_group()?;
        Ok(self.settle(index)?)
    }

    /// Lets a source put its input away, all of which is durable and recorded.
    fn settle(&mut self, index: usize) -> Result<(), IntakeFault> {
        self.sources.get_mut(index).map_or(Ok(()), |source| source.settle(self.disk.as_ref()))
    }

    /// Makes the group durable and records it. When that fails for lack of room all of it is kept for the next try.
    pub(super) fn commit_group(&mut self) -> Result<(), ExporterFault> {
        let durable = self.make_durable()?;
        self.group.waits_since = None;
        if self.group.bytes > 0 || self.applied < durable {
            self.ledger.lock().apply_intake(durable, &self.group.entry)?;
            let entry = std::mem::take(&mut self.group.entry);
            self.group.bytes = 0;
            self.applied = durable;
            for input in &entry.inputs {
                tracing::info!(source = %input.source, input = input.name, bytes = input.bytes, records = input.records,
                    rejected = input.rejects, "input read");
            }
        }
        Ok(())
    }

    /// Makes the group durable, and records it now or a little later.
    fn commit_in_time(&mut self) -> Result<(), ExporterFault> {
        if self.may_lag() { self.make_durable().map(|_| ()) } else { self.commit_group() }
    }

    /// Makes the group durable: it is accepted then. What it means is told to the ledger by the next start where a crash
    /// comes before.
    fn make_durable(&mut self) -> Result<Lsn, ExporterFault> {
        let durable = self.spool.sync()?;
        for (source, records) in self.group.unacknowledged.drain(..) {
            self.progress.accepted(&source, records);
        }
        Ok(durable)
    }

    /// Whether the ledger may follow later what is durable: a little from streams, for a moment.
    fn may_lag(&mut self) -> bool {
        let entry = &self.group.entry;
        let is_stream =
            |row: &SourceRow| self.sources.iter().any(|source| *source.id() == row.source && source.leaves_nothing());
        let is_little = (1..=LAG_BYTES).contains(&self.group.bytes) && entry.inputs.is_empty();
        if self.group.lag_max == Length::ZERO || !is_little || !entry.sources.iter().all(is_stream) {
            return false;
        }
        self.group.waits_since.get_or_insert_with(|| self.clock.uptime());
        self.lag_left() > Some(Length::ZERO)
    }

    /// How much longer the ledger may lag; `None` when it does not.
    pub(super) fn lag_left(&self) -> Option<Length> {
        let waited = self.clock.uptime().minus(self.group.waits_since?);
        Some(self.group.lag_max.minus(waited))
    }

    /// Records of input that was read before are counted when its end is reached, all at once.
    fn count_duplicates(&mut self, accepted: Accepted, counts: &mut IntakeCounts) {
        match accepted {
            Accepted::Batch(batch) => {
                counts.duplicates += batch.block.len() as u64;
                for feed in self.feeds.iter_mut().filter(|feed| feed.takes(&batch)) {
                    for (hour, number) in feed.count_hours(&batch) {
                        let found = HourCounts { duplicate: number, ..HourCounts::default() };
                        self.duplicates.hours.add(feed.id(), hour, found);
                    }
                }
            }
            Accepted::Finished(finished) => {
                let mut entry = std::mem::take(&mut self.duplicates);
                entry.inputs.extend(input_row(&finished));
                self.group.entry.hours.append(&entry.hours);
                self.group.entry.inputs.append(&mut entry.inputs);
                self.group.bytes += 1;
            }
        }
    }

    fn raise_source_alarms(&mut self, index: usize, fault: Option<String>) -> Result<(), ExporterFault> {
        let Some(source) = self.sources.get(index) else { return Ok(()) };
        let mut alarms = source.alarms();
        if let Some(fault) = fault {
            alarms.push(("HD0400", fault, "hourdrop tries again at the next look".to_owned()));
        }
        let subject = format!("source {}", source.id());
        self.set_alarms(&subject, &alarms)
    }

    /// Makes the standing alarms of a subject exactly these; each change is one log line.
    pub(super) fn set_alarms(
        &mut self,
        subject: &str,
        alarms: &[(&'static str, String, String)],
    ) -> Result<(), ExporterFault> {
        let changes = self.ledger.lock().replace_alarms(subject, alarms, self.now())?;
        for (code, message) in changes.cleared {
            tracing::info!(subject, code, "alarm cleared: {message}");
        }
        for (code, message, hint) in changes.raised {
            tracing::warn!(subject, code, hint, "{message}");
        }
        Ok(())
    }
}

fn records_in(accepted: &Accepted) -> u64 {
    match accepted {
        Accepted::Batch(batch) => batch.block.len() as u64,
        Accepted::Finished(_) => 0,
    }
}

/// Adds the consequences of a frame to `entry` and its records to the pending hours of the feeds. Says which these are.
pub(super) fn note(feeds: &mut [FeedHours], accepted: &Accepted, lsn: Lsn, entry: &mut IntakeEntry) -> FeedShares {
    let mut shares = FeedShares::new();
    let batch = match accepted {
        Accepted::Batch(batch) => batch,
        Accepted::Finished(finished) => {
            entry.inputs.extend(input_row(finished));
            return shares;
        }
    };
    let Ok(source) = SourceId::parse(&batch.source) else { return shares };
    for (number, feed) in feeds.iter_mut().enumerate().filter(|(_, feed)| feed.takes(batch)) {
        let noted = feed.note(batch, lsn);
        let id = feed.id();
        noted.counts.into_iter().for_each(|(hour, counts)| entry.hours.add(id, hour, counts));
        shares.extend(noted.shares.into_iter().map(|share| (number, share)));
        for (index, fault, hour) in noted.rejects {
            let row = rejected_row(batch, &source, id, index, fault.to_string(), lsn);
            entry.quarantine.extend(row.map(|row| QuarantineRow { start_second: hour.map(|h| h.start), ..row }));
        }
    }
    entry.quarantine.extend(batch.rejects.iter().map(|reject| QuarantineRow {
        source: source.clone(),
        feed: None,
        start_second: None,
        input: batch.input.clone(),
        record: reject.origin.record,
        line: reject.origin.line,
        byte: reject.origin.byte,
        stage: QuarantineStage::Decode,
        reason: reject.reason.clone(),
        raw: reject.raw.clone(),
        head: batch.head.clone(),
        lsn,
        at: batch.accepted_at,
    }));
    entry.retried.extend(&batch.retried);
    entry.add_source(SourceRow {
        source: source.clone(),
        records: given_records(batch),
        rejects: batch.rejects.len() as u64,
        last_at: batch.accepted_at,
        last_event: feeds.iter().filter_map(|feed| feed.latest.get(&batch.source).copied()).max(),
    });
    if batch.retried.is_empty() {
        entry.set_position(PositionRow {
            source,
            input: batch.input.clone(),
            record: batch.after.record,
            line: batch.after.line,
            byte: batch.after.byte,
            prefix_crc: batch.prefix_crc,
        });
    }
    shares
}

/// Records that the source gives now: one that comes back from quarantine was given before.
fn given_records(batch: &AcceptedBatch) -> u64 {
    if batch.retried.is_empty() { batch.block.len() as u64 } else { 0 }
}

fn input_row(finished: &InputFinished) -> Option<InputRow> {
    Some(InputRow {
        source: SourceId::parse(&finished.source).ok()?,
        name: finished.input.clone(),
        bytes: finished.bytes,
        modified_nanos: finished.modified_nanos,
        hash: finished.hash,
        records: finished.records,
        rejects: finished.rejects,
        at: finished.accepted_at,
    })
}

fn rejected_row(
    batch: &AcceptedBatch,
    source: &SourceId,
    feed: &FeedId,
    index: usize,
    reason: String,
    lsn: Lsn,
) -> Option<QuarantineRow> {
    let record = batch.block.get(index)?;
    let origin = record.origin();
    let mut raw = Vec::new();
    write_block(&RecordBlock::only(record), &mut raw);
    Some(QuarantineRow {
        source: source.clone(),
        feed: Some(feed.clone()),
        start_second: None,
        input: batch.input.clone(),
        record: origin.record,
        line: origin.line,
        byte: origin.byte,
        stage: QuarantineStage::Route,
        reason,
        raw,
        head: Vec::new(),
        lsn,
        at: batch.accepted_at,
    })
}
