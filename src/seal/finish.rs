//! Gives staged part files their header and trailer as planned, and renders manifests.

use super::render::{RenderJob, RenderedHour};
use super::staged::{StagedFile, StagedPart};
use super::{SealFault, disk_fault};
use crate::disk::Disk;
use crate::domain::batch::{BatchPlan, PlannedFile, SealedFile};
use crate::domain::ids::{Revision, Sha256Digest};
use crate::domain::time::UtcTime;
use crate::feed::definition::{FeedDefinition, ManifestDefinition};
use crate::format::encode::{Layout, RenderFault};
use crate::format::manifest::{ManifestCounts, ManifestFile, ManifestLayout, ManifestStatement};
use crate::record::Decimal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A file in staging that is complete and durable.
#[derive(Debug, Clone)]
pub struct ReadyFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is; its archive path is filled in when it is adopted.
    pub sealed: SealedFile,
}

/// Completes the part files of an hour.
///
/// # Errors
/// [`SealFault`]: the disk, or a header or trailer that does not fit although it was tried before the plan.
fn finish_parts(
    disk: &dyn Disk,
    job: &RenderJob,
    plan: &BatchPlan,
    rendered: RenderedHour,
) -> Result<Vec<ReadyFile>, SealFault> {
    if !rendered.fits(plan) {
        let found: Vec<u64> = rendered.parts.iter().map(|part| part.totals.records).collect();
        let planned: Vec<u64> = plan.parts.iter().map(|part| part.records).collect();
        return Err(SealFault::NotReproduced {
            feed: plan.id.feed.clone(),
            hour: plan.id.partition,
            planned: format!("part files of {planned:?} records"),
            found: format!("{found:?}"),
        });
    }
    let Some(mut layout) = rendered.layout else { return Ok(Vec::new()) };
    let parts = rendered.parts.into_iter().zip(&plan.parts);
    parts.map(|(staged, file)| finish_part(disk, job, &mut layout, staged, file)).collect()
}

/// An hour that is rendered and planned.
pub type Planned = (RenderJob, BatchPlan, RenderedHour);

/// An hour whose part files are complete.
pub type Finished = (RenderJob, BatchPlan, Vec<ReadyFile>);

/// Completes the part files of several hours, `threads` of them at a time: most of it is waiting for the disk. After a
/// fault no further one is begun.
///
/// # Errors
/// As [`finish_parts`]: the first of them.
pub fn finish_hours(disk: &dyn Disk, hours: Vec<Planned>, threads: usize) -> Result<Vec<Finished>, SealFault> {
    let count = hours.len();
    let (queue, done) = (Mutex::new(hours.into_iter().enumerate()), Mutex::new(Vec::with_capacity(count)));
    let failed = AtomicBool::new(false);
    // Nothing more is made durable when that has failed once.
    let next = || if failed.load(Ordering::Relaxed) { None } else { take(&queue).next() };
    let work = || {
        while let Some((number, (job, plan, rendered))) = next() {
            let ready = finish_parts(disk, &job, &plan, rendered);
            failed.fetch_or(ready.is_err(), Ordering::Relaxed);
            take(&done).push((number, ready.map(|ready| (job, plan, ready))));
        }
    };
    if threads < 2 || count < 2 {
        work();
    } else {
        std::thread::scope(|scope| (0..threads.min(count)).for_each(|_| drop(scope.spawn(work))));
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, finished)| finished).collect()
}

fn take<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn finish_part(
    disk: &dyn Disk,
    job: &RenderJob,
    layout: &mut Layout,
    staged: StagedPart,
    planned: &PlannedFile,
) -> Result<ReadyFile, SealFault> {
    let fault = |fault: RenderFault| SealFault::Render { feed: job.definition.id.clone(), fault };
    let facts = job.facts(planned.part.0);
    let (mut header, mut trailer) = (Vec::new(), Vec::new());
    layout.header(&facts, &staged.totals, &mut header).map_err(fault)?;
    layout.trailer(&facts, &staged.totals, &mut trailer).map_err(fault)?;
    let guessed = staged.header.len() as u64;
    let mut file = if header == staged.header { staged.file } else { staged.file.behind(disk, &header, guessed)? };
    file.buffer().extend_from_slice(&trailer);
    let (path, sha256, bytes) = file.end(disk)?;
    let sealed = SealedFile {
        part: planned.part,
        name: planned.name.clone(),
        sequence: planned.sequence,
        archive_path: String::new(),
        records: staged.totals.records,
        bytes,
        sha256,
        first_event: staged.first_event,
        last_event: staged.last_event,
        totals: staged.totals.sums().map(|(name, sum)| (name.to_owned(), sum.to_string())).collect(),
    };
    Ok(ReadyFile { path, sealed })
}

/// What a manifest needs besides the plan.
pub struct ManifestContext<'a> {
    /// The feed.
    pub definition: &'a FeedDefinition,
    /// Its manifest.
    pub manifest: &'a ManifestDefinition,
    /// Part files of this hour at earlier revisions.
    pub earlier: Vec<(Revision, SealedFile)>,
    /// The feed's manifest before this one.
    pub previous: Option<Sha256Digest>,
    /// Numbers of part files that were given up and that it states.
    pub voided: Vec<u64>,
    /// Numbers of manifests that were given up and that it states.
    pub voided_manifests: Vec<u64>,
}

/// Renders the manifest of a batch into staging.
///
/// # Errors
/// [`SealFault`].
pub fn finish_manifest(
    disk: &dyn Disk,
    path: PathBuf,
    plan: &BatchPlan,
    planned: &PlannedFile,
    parts: &[SealedFile],
    context: &ManifestContext<'_>,
) -> Result<ReadyFile, SealFault> {
    let statement = statement(plan, planned, parts, context);
    let bytes = render_manifest(context, &statement)?;
    let mut file = StagedFile::create(disk, path)?;
    file.buffer().extend_from_slice(&bytes);
    let (path, sha256, bytes) = file.end(disk)?;
    let times = |pick: fn(&ManifestFile) -> Option<UtcTime>| statement.files.iter().filter_map(pick);
    let sealed = SealedFile {
        part: planned.part,
        name: planned.name.clone(),
        sequence: planned.sequence,
        archive_path: String::new(),
        records: statement.records,
        bytes,
        sha256,
        first_event: times(|file| file.first_event).min(),
        last_event: times(|file| file.last_event).max(),
        totals: statement.totals.iter().map(|(name, sum)| (name.clone(), sum.to_string())).collect(),
    };
    Ok(ReadyFile { path, sealed })
}

/// The bytes of a manifest: a pure function of what the ledger holds.
///
/// # Errors
/// [`SealFault`] when its format cannot hold it.
pub fn manifest_bytes(
    plan: &BatchPlan,
    planned: &PlannedFile,
    parts: &[SealedFile],
    context: &ManifestContext<'_>,
) -> Result<Vec<u8>, SealFault> {
    render_manifest(context, &statement(plan, planned, parts, context))
}

fn render_manifest(context: &ManifestContext<'_>, statement: &ManifestStatement) -> Result<Vec<u8>, SealFault> {
    let definition = context.definition;
    let layout = match &context.manifest.format {
        None => ManifestLayout::json(),
        Some(format) => {
            let sums = statement.totals.iter().map(|(name, _)| name.as_str());
            ManifestLayout::compile(format, sums, definition.period.zone()).map_err(|problems| SealFault::Format {
                feed: definition.id.clone(),
                message: problems.into_iter().next().map_or_else(String::new, |problem| problem.message),
            })?
        }
    };
    layout.render(statement).map_err(|fault| SealFault::Render { feed: definition.id.clone(), fault })
}

fn statement(
    plan: &BatchPlan,
    planned: &PlannedFile,
    parts: &[SealedFile],
    context: &ManifestContext<'_>,
) -> ManifestStatement {
    let id = &plan.id;
    let earlier = context.earlier.iter().filter(|(revision, _)| *revision < id.revision);
    let files: Vec<ManifestFile> = earlier
        .map(|(revision, file)| manifest_file(*revision, file))
        .chain(parts.iter().map(|file| manifest_file(id.revision, file)))
        .collect();
    let records = files.iter().map(|file| file.records).sum();
    ManifestStatement {
        partner: id.feed.partner.to_string(),
        feed: id.feed.feed.to_string(),
        file: planned.name.to_string(),
        partition: id.partition,
        zone: context.definition.period.zone(),
        sealed_at: plan.sealed_at,
        sequence: planned.sequence.map(|sequence| sequence.number),
        revision: id.revision.0,
        previous_manifest: context.previous,
        records,
        totals: add_totals(&files),
        counts: ManifestCounts {
            received: plan.counts.received,
            filtered: plan.counts.filtered,
            quarantined: plan.counts.quarantined,
            duplicate: plan.counts.duplicate,
        },
        empty: records == 0,
        source_incomplete: plan.source_incomplete,
        voided: context.voided.clone(),
        voided_manifests: context.voided_manifests.clone(),
        files,
    }
}

fn manifest_file(revision: Revision, file: &SealedFile) -> ManifestFile {
    ManifestFile {
        name: file.name.to_string(),
        bytes: file.bytes,
        records: file.records,
        sha256: file.sha256,
        sequence: file.sequence.map_or(0, |sequence| sequence.number),
        cycle: file.sequence.map_or(0, |sequence| sequence.cycle),
        first_event: file.first_event,
        last_event: file.last_event,
        totals: file.totals.iter().map(|(name, sum)| (name.clone(), decimal(sum))).collect(),
        revision: revision.0,
    }
}

/// Sums in the ledger are texts that were decimals when they were written.
fn decimal(text: &str) -> Decimal {
    Decimal::parse(text.as_bytes()).unwrap_or_default()
}

fn add_totals(files: &[ManifestFile]) -> Vec<(String, Decimal)> {
    let mut totals: Vec<(String, Decimal)> = Vec::new();
    for (name, sum) in files.iter().flat_map(|file| &file.totals) {
        match totals.iter_mut().find(|(known, _)| known == name) {
            Some((_, total)) => *total = total.plus(*sum).unwrap_or(*total),
            None => totals.push((name.clone(), *sum)),
        }
    }
    totals
}

/// Removes everything in staging: it is a cache.
///
/// # Errors
/// [`SealFault::Disk`].
pub fn clear_stage(disk: &dyn Disk, stage: &std::path::Path) -> Result<(), SealFault> {
    if disk.stat(stage).map_err(disk_fault("look at", stage))?.is_none() {
        return Ok(());
    }
    for entry in disk.list(stage).map_err(disk_fault("list", stage))? {
        disk.remove(&entry.path).map_err(disk_fault("remove", &entry.path))?;
    }
    Ok(())
}
