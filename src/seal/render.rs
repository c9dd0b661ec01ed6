//! Reads the spool once and renders many hours of many feeds at the same time.
//!
//! Each job writes its part files one after another and has no more than one of them open. The header is written first,
//! with the numbers the file will probably get; when the plan says otherwise, [`super::finish`] puts the right one in
//! front. Records that cannot be rendered go to quarantine with their place; the others never shift.

use super::staged::{BUFFER_BYTES, StagedFile, StagedPart};
use super::{SealFault, disk_fault};
use crate::disk::{Disk, SyncPoint};
use crate::domain::batch::BatchPlan;
use crate::domain::frames::FrameRuns;
use crate::domain::ids::{Lsn, Revision};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::feed::names;
use crate::feed::pending::{Destination, FeedHours};
use crate::format::decode::frames::FrameReader;
use crate::format::encode::{Layout, RenderFault};
use crate::format::template::FileFacts;
use crate::record::accepted::write_block;
use crate::record::{Accepted, AcceptedBatch, Origin, Record, RecordBlock, Schema};
use crate::spool::lost::KIND_LOST;
use crate::spool::{OpenSegment, Spool};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An hour to be rendered.
#[derive(Debug, Clone)]
pub struct RenderJob {
    /// Index of the feed in the list that is passed along.
    pub feed: usize,
    /// The definition that renders it.
    pub definition: Arc<FeedDefinition>,
    /// The hour.
    pub partition: Partition,
    /// Which revision.
    pub revision: Revision,
    /// First LSN whose records can belong to it.
    pub from: Lsn,
    /// First LSN whose records do not belong to it any more.
    pub cut: Lsn,
    /// Frames that hold its records; `None` when that is not known and all frames from `from` to `cut` are read.
    pub lsns: Option<FrameRuns>,
    /// Fields of the feed's source, for an hour without records.
    pub schema: Arc<Schema>,
    /// Creation time.
    pub sealed_at: UtcTime,
    /// The number of the first part file, as far as it is known.
    pub sequence_guess: u64,
    /// Final names where the plan knows them; part files are then cut where the plan cut them.
    pub planned: Option<Vec<(String, u64, u64)>>,
    /// A part file is made even when there are no records.
    pub at_least_one_part: bool,
}

impl RenderJob {
    /// The facts about its `part`-th file, from 1, as far as they are known.
    #[must_use]
    pub fn facts(&self, part: u32) -> FileFacts<'_> {
        let mut facts = names::facts(&self.definition, self.partition, self.sealed_at);
        facts.revision = self.revision.0;
        facts.part = part;
        facts.sequence = self.sequence_guess + u64::from(part - 1);
        if let Some(planned) = &self.planned {
            facts.parts = u32::try_from(planned.len()).unwrap_or(u32::MAX);
            if let Some((name, sequence, _)) = planned.get(part as usize - 1) {
                facts.file = name;
                facts.sequence = *sequence;
            }
        }
        facts
    }
}

/// What came out of a job.
pub struct RenderedHour {
    /// The layout, for headers and trailers; `None` when it fits no records that came.
    pub layout: Option<Layout>,
    /// The part files in order.
    pub parts: Vec<StagedPart>,
    /// Records that could not be rendered.
    pub rejects: Vec<RenderReject>,
    /// Why the whole hour must wait: its format does not fit the fields of its records, or its header or trailer
    /// cannot hold its values.
    pub unfit: Option<String>,
}

impl RenderedHour {
    /// True when the part files hold as many records as they were planned with.
    #[must_use]
    pub fn fits(&self, plan: &BatchPlan) -> bool {
        let found = self.parts.iter().map(|part| part.totals.records);
        found.eq(plan.parts.iter().map(|part| part.records))
    }

    /// Records in all part files.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.parts.iter().map(|part| part.totals.records).sum()
    }
}

/// A record that could not be rendered.
#[derive(Debug, Clone)]
pub struct RenderReject {
    /// Its source.
    pub source: String,
    /// Its input.
    pub input: String,
    /// Its place in it.
    pub origin: Origin,
    /// Why.
    pub reason: String,
    /// The decoded record.
    pub record: Vec<u8>,
    /// The frame it lies in.
    pub lsn: Lsn,
    /// When it was accepted.
    pub accepted_at: UtcTime,
}

/// Renders `jobs` into files in `stage`. `progress` is told how many frames were read.
///
/// # Errors
/// [`SealFault`]; what was staged is left for the next attempt to throw away.
pub fn render(
    disk: &Arc<dyn Disk>,
    spool: &Spool,
    feeds: &mut [FeedHours],
    jobs: &[RenderJob],
    stage: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<RenderedHour>, SealFault> {
    disk.create_dir_all(stage, SyncPoint::ArchiveDirectory).map_err(disk_fault("create directory", stage))?;
    let mut writers = jobs
        .iter()
        .map(|job| HourWriter::new(disk, job, stage.join(format!("{}-{}", job.feed, job.partition.start))))
        .collect::<Vec<_>>();
    let (mut open, mut payload) = (OpenSegment::default(), Vec::new());
    let mut reader = FrameReader::default();
    for lsn in frames(jobs).iter() {
        let Some(kind) = spool.read(lsn, &mut open, &mut payload)? else { continue };
        progress(1);
        if kind == KIND_LOST {
            continue;
        }
        if let Accepted::Batch(batch) = reader.read(kind, &payload)? {
            render_batch(feeds, jobs, &mut writers, &batch, lsn)?;
        }
    }
    writers.into_iter().zip(jobs).map(|(writer, job)| writer.end(job)).collect()
}

/// The frames that any job needs.
fn frames(jobs: &[RenderJob]) -> FrameRuns {
    let of_job = |job: &RenderJob| -> Vec<Range<Lsn>> {
        match &job.lsns {
            Some(lsns) => lsns.runs().map(|run| run.start..run.end.min(job.cut)).collect(),
            None => vec![job.from.max(Lsn(1))..job.cut],
        }
    };
    FrameRuns::joined(jobs.iter().flat_map(of_job))
}

fn render_batch(
    feeds: &mut [FeedHours],
    jobs: &[RenderJob],
    writers: &mut [HourWriter],
    batch: &AcceptedBatch,
    lsn: Lsn,
) -> Result<(), SealFault> {
    for (index, feed) in feeds.iter_mut().enumerate() {
        let mut mine: Vec<(&RenderJob, &mut HourWriter)> = jobs
            .iter()
            .zip(writers.iter_mut())
            .filter(|(job, _)| job.feed == index && job.from <= lsn && lsn < job.cut)
            .collect();
        if mine.is_empty() || !feed.takes(batch) {
            continue;
        }
        feed.router.prepare(batch.block.schema());
        let mut last = 0;
        for record in batch.block.iter() {
            let (hour, at) = match feed.destination(record, lsn, batch.accepted_at) {
                Destination::Hour(hour, at) | Destination::Taken(hour, at) => (hour, at),
                Destination::Filtered(_) | Destination::Rejected(..) => continue,
            };
            // Records of one hour come in a row: the job of the last record is probably this one's, too.
            if mine.get(last).is_none_or(|(job, _)| job.partition != hour) {
                let Some(found) = mine.iter().position(|(job, _)| job.partition == hour) else { continue };
                last = found;
            }
            if let Some((job, writer)) = mine.get_mut(last) {
                writer.record(job, record, at, batch, lsn)?;
            }
        }
    }
    Ok(())
}

/// Writes the part files of one hour, record by record.
pub(super) struct HourWriter {
    disk: Arc<dyn Disk>,
    stem: PathBuf,
    schema: Arc<Schema>,
    /// For records of `schema`, when it fits them.
    layout: Option<Layout>,
    open: Option<StagedPart>,
    parts: Vec<StagedPart>,
    rejects: Vec<RenderReject>,
    unfit: Option<String>,
    /// Bytes that are collected before they are written.
    buffer_bytes: usize,
}

impl HourWriter {
    /// Of the hour of `job`, into files called `stem` and the number of the part.
    pub(super) fn new(disk: &Arc<dyn Disk>, job: &RenderJob, stem: PathBuf) -> Self {
        Self {
            disk: Arc::clone(disk),
            stem,
            schema: Arc::clone(&job.schema),
            layout: compile(job, &job.schema).ok(),
            open: None,
            parts: Vec::new(),
            rejects: Vec::new(),
            unfit: None,
            buffer_bytes: BUFFER_BYTES,
        }
    }

    /// Collects so many bytes before they are written.
    pub(super) const fn buffer(&mut self, bytes: usize) {
        self.buffer_bytes = bytes;
    }

    /// Records that could not be rendered.
    pub(super) const fn rejects(&self) -> usize {
        self.rejects.len()
    }

    /// True when records show facts about their file, which are known when it is planned.
    pub(super) fn shows_facts(&self) -> bool {
        self.layout.as_ref().is_some_and(Layout::record_uses_facts)
    }

    /// True while a file is open.
    pub(super) fn holds_file(&self) -> bool {
        self.open.as_ref().is_some_and(|part| part.file.is_open())
    }

    /// Closes the file for now; what is collected is kept.
    pub(super) fn release(&mut self) {
        if let Some(part) = &mut self.open {
            part.file.release();
        }
    }

    /// Throws everything away.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub(super) fn discard(self) -> Result<(), SealFault> {
        self.parts.into_iter().chain(self.open).try_for_each(|part| part.file.discard(self.disk.as_ref()))
    }

    /// Records of an older version of the source's format have other fields. When the format of the hour does not
    /// fit them the hour must wait; other hours go on.
    fn prepare(&mut self, job: &RenderJob, schema: &Arc<Schema>) {
        let is_settled = self.layout.is_some() || self.unfit.is_some();
        if is_settled && Arc::ptr_eq(&self.schema, schema) {
            return;
        }
        if self.layout.is_none() || self.schema != *schema {
            let compiled = compile(job, schema);
            if let Err(message) = &compiled {
                self.unfit.get_or_insert_with(|| message.clone());
            }
            self.layout = compiled.ok();
            self.begin_layout(job);
        }
        self.schema = Arc::clone(schema);
    }

    fn part_number(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX - 1) + 1
    }

    fn begin_layout(&mut self, job: &RenderJob) {
        let part = self.part_number();
        if let Some(layout) = self.layout.as_mut().filter(|layout| layout.record_uses_facts()) {
            layout.begin_file(&job.facts(part));
        }
    }

    fn begin_part(&mut self, job: &RenderJob) -> Result<(), SealFault> {
        let part = self.part_number();
        self.begin_layout(job);
        let Some(layout) = &mut self.layout else { return Ok(()) };
        if let Some(before) = self.parts.last_mut() {
            before.file.put_aside(self.disk.as_ref())?;
        }
        let file = StagedFile::create(self.disk.as_ref(), self.stem.with_extension(format!("{part}.part")))?;
        let totals = layout.totals();
        let mut header = Vec::new();
        if let Err(fault) = layout.header(&job.facts(part), &totals, &mut header) {
            self.unfit.get_or_insert(fault.to_string());
        }
        let mut staged = StagedPart { file, header, totals, first_event: None, last_event: None };
        staged.file.buffer().extend_from_slice(&staged.header);
        self.open = Some(staged);
        Ok(())
    }

    /// Writes the next record, whose time is `at`.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub(super) fn record(
        &mut self,
        job: &RenderJob,
        record: Record<'_>,
        at: UtcTime,
        batch: &AcceptedBatch,
        lsn: Lsn,
    ) -> Result<(), SealFault> {
        self.prepare(job, batch.block.schema());
        if self.open.is_none() {
            self.begin_part(job)?;
        }
        let (Some(open), Some(layout)) = (&mut self.open, &mut self.layout) else { return Ok(()) };
        let before = open.file.bytes();
        match layout.record(record, &mut open.totals, open.file.buffer()) {
            Ok(()) => {}
            Err(fault) => {
                self.reject(&fault, record, batch, lsn);
                return Ok(());
            }
        }
        open.first_event = Some(open.first_event.map_or(at, |first| first.min(at)));
        open.last_event = Some(open.last_event.map_or(at, |last| last.max(at)));
        let (records, bytes) = (open.totals.records, open.file.bytes());
        let line = bytes - before;
        open.file.flush_from(self.buffer_bytes, self.disk.as_ref())?;
        if self.is_full(job, records, bytes, line) {
            self.end_part(job);
        }
        Ok(())
    }

    fn reject(&mut self, fault: &RenderFault, record: Record<'_>, batch: &AcceptedBatch, lsn: Lsn) {
        let mut content = Vec::new();
        write_block(&RecordBlock::only(record), &mut content);
        self.rejects.push(RenderReject {
            source: batch.source.clone(),
            input: batch.input.clone(),
            origin: record.origin(),
            reason: fault.to_string(),
            record: content,
            lsn,
            accepted_at: batch.accepted_at,
        });
    }

    /// Whether the next record goes into another part file.
    fn is_full(&self, job: &RenderJob, records: u64, bytes: u64, line: u64) -> bool {
        if let Some(planned) = &job.planned {
            return planned.get(self.parts.len()).is_some_and(|(_, _, count)| records >= *count);
        }
        // Another line as long as this one and a trailer as long as the header must still fit.
        let trailer = self.open.as_ref().map_or(0, |open| open.header.len() as u64) + 128;
        job.definition.records_max.is_some_and(|most| records >= most)
            || job.definition.bytes_max.is_some_and(|most| bytes + line + trailer > most)
    }

    fn end_part(&mut self, job: &RenderJob) {
        let Some(open) = self.open.take() else { return };
        let part = self.part_number();
        let mut trailer = Vec::new();
        if let Some(layout) = &mut self.layout {
            let trial = layout.trailer(&job.facts(part), &open.totals, &mut trailer);
            let trial = trial.and_then(|()| layout.header(&job.facts(part), &open.totals, &mut trailer));
            if let Err(fault) = trial {
                self.unfit.get_or_insert(fault.to_string());
            }
        }
        self.parts.push(open);
    }

    /// Ends the hour.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub(super) fn end(mut self, job: &RenderJob) -> Result<RenderedHour, SealFault> {
        // A part that was begun for a record which then could not be rendered is empty.
        if let Some(empty) = self.open.take_if(|open| open.totals.records == 0) {
            empty.file.discard(self.disk.as_ref())?;
        }
        if self.open.is_none() && self.parts.is_empty() && job.at_least_one_part {
            self.prepare(job, &job.schema);
            self.begin_part(job)?;
        }
        if let Some(last) = &mut self.open {
            last.file.end_comes(self.disk.as_ref())?;
        }
        self.end_part(job);
        Ok(RenderedHour { layout: self.layout, parts: self.parts, rejects: self.rejects, unfit: self.unfit })
    }
}

/// The layout of a job's hour for records of `schema`, or what does not fit.
fn compile(job: &RenderJob, schema: &Schema) -> Result<Layout, String> {
    let definition = &job.definition;
    Layout::compile(&definition.format, schema, definition.period.zone()).map_err(|problems| {
        let problem = problems.into_iter().next().map_or_else(String::new, |problem| problem.message);
        format!("format {} of this hour does not fit its records: {problem}", definition.format.name)
    })
}
