//! From hours that are due to files in the archive: render, decide, finish, adopt, record.
//!
//! The order is the promise: what is decided (numbers, names, cut) is in the ledger before a file is completed, files
//! are in the archive before the ledger says so, and a batch is delivered only after that. A crash in between is
//! repaired by [`Exporter::finish_plans`], which renders from the plan and gets the same bytes.

use super::exporter::{Exporter, ExporterFault};
use crate::archive::Archive;
use crate::domain::batch::{BatchId, BatchPlan, BatchState, HeldFrom, PlannedFile, SealedFile};
use crate::domain::counter::{CounterReset, CounterState};
use crate::domain::ids::{FeedId, Lsn, PartNumber, Revision, SourceId};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::feed::definition::{EmptyPolicy, FeedDefinition};
use crate::feed::names;
use crate::feed::pending::ClosedHour;
use crate::ledger::batches::{Decisions, HeldHour};
use crate::ledger::intake::{QuarantineRow, QuarantineStage};
use crate::seal::closing::{Closing, Due, DueKind, Horizon, SourceView, closing};
use crate::seal::finish::{ManifestContext, ReadyFile, clear_stage, finish_manifest, finish_parts};
use crate::seal::render::{RenderJob, RenderReject, RenderedHour, render};
use crate::seal::{ENCODER_REVISION, SealFault};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Hours that are rendered in one pass of the spool: each has an open file and a small buffer.
const HOURS_IN_A_PASS: usize = 64;

/// What a pass of sealing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealCounts {
    /// Batches sealed.
    pub batches: u64,
    /// Files in them, manifests included.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Records that could not be rendered.
    pub quarantined: u64,
    /// Hours that wait for a person, and why.
    pub held: Vec<(FeedId, Partition, String)>,
    /// Feeds whose next hour waits for a source, and for what.
    pub waits: Vec<(FeedId, String)>,
}

/// An hour that was rendered, and what is to become of it.
struct Candidate {
    job: RenderJob,
    due: Due,
    rendered: RenderedHour,
    suspects: u64,
}

/// An hour with its recorded plan and what was rendered of it.
type Planned = (RenderJob, BatchPlan, RenderedHour);

impl Exporter {
    /// Seals every hour that is due at `now`.
    ///
    /// # Errors
    /// [`ExporterFault`]; what was planned is finished at the next start.
    pub(super) fn seal_due(&mut self, now: UtcTime, horizon: Horizon) -> Result<SealCounts, ExporterFault> {
        let mut counts = SealCounts::default();
        loop {
            counts.waits.clear();
            let mut due = Vec::new();
            for index in 0..self.feeds.len() {
                let found = self.closing_of(index, now, horizon);
                self.hold_unread(index, &found, now, &mut counts)?;
                counts.waits.extend(found.waits_for.map(|reason| (self.feed_id(index), reason)));
                due.extend(found.due.into_iter().map(|hour| (index, hour)));
            }
            if due.is_empty() {
                return Ok(counts);
            }
            for pass in due.chunks(HOURS_IN_A_PASS) {
                self.seal_pass(pass, now, &mut counts)?;
            }
        }
    }

    fn feed_id(&self, index: usize) -> FeedId {
        #[expect(clippy::expect_used, reason = "indexes come from the list itself")]
        self.feeds.get(index).expect("a feed of the list").id().clone()
    }

    fn closing_of(&self, index: usize, now: UtcTime, horizon: Horizon) -> Closing {
        let Some(feed) = self.feeds.get(index) else { return Closing::default() };
        let wanted = &feed.definition().sources;
        let views: Vec<SourceView> = self
            .sources
            .iter()
            .filter(|source| wanted.iter().any(|name| name.value == *source.id()))
            .map(|source| self.view_of(source.id(), source.caught_up_to(), feed.latest.get(source.id().as_str())))
            .collect();
        closing(feed, &views, now, horizon)
    }

    fn view_of(&self, id: &SourceId, caught_up_to: UtcTime, latest: Option<&UtcTime>) -> SourceView {
        let row = self.ledger.lock().source_row(id).ok().flatten();
        SourceView {
            id: id.clone(),
            caught_up_to,
            last_at: row.map(|row| row.last_at),
            last_event: latest.copied(),
            silent_max: self.config.source(id).and_then(|source| source.silent_max),
        }
    }

    /// Hours whose source was not read in time wait for a person.
    fn hold_unread(
        &mut self,
        index: usize,
        found: &Closing,
        now: UtcTime,
        counts: &mut SealCounts,
    ) -> Result<(), ExporterFault> {
        let mut decisions = Decisions::default();
        for (partition, reason) in &found.hold {
            let held = self.held_hour(index, *partition, Revision(0), reason.clone(), now, Vec::new());
            decisions.closed.push((held.id.feed.clone(), partition.end));
            decisions.held.push(held);
        }
        self.decide(decisions, counts)
    }

    fn held_hour(
        &self,
        index: usize,
        partition: Partition,
        revision: Revision,
        reason: String,
        at: UtcTime,
        quarantine: Vec<QuarantineRow>,
    ) -> HeldHour {
        let id = BatchId { feed: self.feed_id(index), partition, revision };
        let definition =
            self.feeds.get(index).map_or_else(String::new, |feed| feed.router.version_at(partition.start).hash.clone());
        HeldHour { id, reason, definition, at, from: Lsn(0), cut: self.cut(), quarantine }
    }

    /// Everything durable now is below the cut.
    fn cut(&self) -> Lsn {
        self.spool.durable().next()
    }

    fn seal_pass(&mut self, pass: &[(usize, Due)], now: UtcTime, counts: &mut SealCounts) -> Result<(), ExporterFault> {
        let jobs = self.jobs(pass, now)?;
        let rendered = self.render(&jobs)?;
        let candidates = jobs
            .into_iter()
            .zip(pass)
            .zip(rendered)
            .map(|((job, (_, due)), rendered)| {
                let pending = self.feeds.get(job.feed).and_then(|feed| feed.pending.get(&job.partition.start));
                let suspects = pending.map_or(0, |hour| hour.suspects);
                Candidate { job, due: *due, rendered, suspects }
            })
            .collect();
        let (decisions, planned) = self.judge(candidates, now)?;
        self.decide(decisions, counts)?;
        self.complete(planned, counts)
    }

    fn render(&mut self, jobs: &[RenderJob]) -> Result<Vec<RenderedHour>, ExporterFault> {
        let of: u64 = jobs.iter().map(|job| job.lsns.as_ref().map_or(0, |lsns| lsns.len() as u64)).sum();
        let (progress, mut done) = (Arc::clone(&self.progress), 0);
        let mut told = |frames: u64| {
            done += frames;
            progress.rendered(done, of);
        };
        let stage = self.archive.stage();
        Ok(render(self.disk.as_ref(), &self.spool, &mut self.feeds, jobs, &stage, &mut told)?)
    }

    fn jobs(&self, pass: &[(usize, Due)], now: UtcTime) -> Result<Vec<RenderJob>, ExporterFault> {
        let cut = self.cut();
        let mut counters: BTreeMap<String, u64> = BTreeMap::new();
        let ledger = self.ledger.lock();
        let mut jobs = Vec::new();
        for (index, due) in pass {
            let Some(feed) = self.feeds.get(*index) else { continue };
            let definition = Arc::clone(feed.router.version_at(due.partition.start));
            let known = ledger.latest_revision(&definition.id, due.partition.start)?;
            let (revision, from) = match (due.kind, known) {
                (DueKind::First, _) | (DueKind::Supplement, None) => (Revision(0), Lsn(0)),
                (DueKind::Released(revision), _) => (revision, Lsn(0)),
                (DueKind::Supplement, Some((revision, cut))) => (revision.next(), cut),
            };
            let guess = if let Some(last) = counters.get(&definition.counter_name()) {
                last + 1
            } else {
                let mut state = ledger.counter(&definition.counter_name())?;
                let label = reset_label(&definition, due.partition);
                state.give(&definition.sequence, &label).map_or(0, |sequence| sequence.number)
            };
            let pending = feed.pending.get(&due.partition.start);
            let empty = pending.is_none() && definition.empty == EmptyPolicy::HeaderAndTrailer;
            if pending.is_some() || empty {
                counters.insert(definition.counter_name(), guess);
            }
            jobs.push(RenderJob {
                feed: *index,
                schema: self.schema_of(&definition),
                partition: due.partition,
                revision,
                from,
                cut,
                lsns: Some(pending.map_or_else(Vec::new, |hour| hour.lsns.clone())),
                sealed_at: now,
                sequence_guess: guess,
                planned: None,
                at_least_one_part: due.kind != DueKind::Supplement && definition.empty == EmptyPolicy::HeaderAndTrailer,
                definition,
            });
        }
        Ok(jobs)
    }

    /// Decides for each rendered hour: plan, skip or hold. Numbers are given here, in closing order.
    fn judge(&mut self, candidates: Vec<Candidate>, now: UtcTime) -> Result<(Decisions, Vec<Planned>), ExporterFault> {
        let mut decisions = Decisions::default();
        let mut counters = Counters::default();
        let mut planned = Vec::new();
        for candidate in candidates {
            let id = self.feed_id(candidate.job.feed);
            if candidate.due.kind != DueKind::Supplement {
                decisions.closed.push((id.clone(), candidate.job.partition.end));
            }
            let quarantine = quarantine_rows(&id, candidate.job.partition, &candidate.rendered.rejects);
            if let Some(reason) = hold_reason(&candidate) {
                self.discard(candidate.rendered)?;
                let (partition, revision) = (candidate.job.partition, candidate.job.revision);
                decisions.held.push(self.held_hour(candidate.job.feed, partition, revision, reason, now, quarantine));
                continue;
            }
            let plan = self.plan(&candidate, &quarantine, &mut counters)?;
            if plan.parts.is_empty() && (plan.manifest.is_none() || candidate.due.kind == DueKind::Supplement) {
                decisions.skipped.push((BatchPlan { manifest: None, ..plan }, quarantine));
                continue;
            }
            decisions.plans.push((plan.clone(), quarantine));
            let mut job = candidate.job;
            job.planned = Some(planned_parts(&plan));
            planned.push((job, plan, candidate.rendered));
        }
        decisions.counters = counters.0.into_iter().collect();
        Ok((decisions, planned))
    }

    fn discard(&self, rendered: RenderedHour) -> Result<(), ExporterFault> {
        for part in rendered.parts {
            part.file.discard(self.disk.as_ref())?;
        }
        Ok(())
    }

    fn plan(
        &self,
        candidate: &Candidate,
        quarantine: &[QuarantineRow],
        counters: &mut Counters,
    ) -> Result<BatchPlan, ExporterFault> {
        let (job, definition) = (&candidate.job, &candidate.job.definition);
        let ledger = self.ledger.lock();
        let id = BatchId { feed: definition.id.clone(), partition: job.partition, revision: job.revision };
        let mut counts = ledger.hour_counts(&definition.id, job.partition.start)?;
        counts.quarantined -= ledger.held_renders(&id, job.from, job.cut)?.min(counts.quarantined);
        counts.quarantined += quarantine.len() as u64;
        let label = reset_label(definition, job.partition);
        let mut facts = names::facts(definition, job.partition, job.sealed_at);
        facts.revision = job.revision.0;
        facts.parts = u32::try_from(candidate.rendered.parts.len()).unwrap_or(u32::MAX);
        let mut parts = Vec::new();
        for (index, part) in candidate.rendered.parts.iter().enumerate() {
            let counter = counters.get(&ledger, &definition.counter_name())?;
            let sequence = counter.give(&definition.sequence, &label).ok_or_else(|| exhausted(definition))?;
            facts.part = u32::try_from(index + 1).unwrap_or(u32::MAX);
            facts.sequence = sequence.number;
            let name = names::file_name(&definition.name, &facts).map_err(|fault| bad_name(definition, &fault))?;
            let records = part.totals.records;
            parts.push(PlannedFile { part: PartNumber(facts.part), name, sequence: Some(sequence), records });
        }
        let records = parts.iter().map(|part| part.records).sum::<u64>();
        let wanted = !parts.is_empty() || (records == 0 && definition.empty != EmptyPolicy::None);
        let manifest = match definition.manifest.as_ref().filter(|_| wanted) {
            None => None,
            Some(_) if parts.is_empty() && candidate.due.kind == DueKind::Supplement => None,
            Some(manifest) => {
                let counter = counters.get(&ledger, &definition.manifest_counter_name())?;
                let sequence = counter.give(&manifest.sequence, &label).ok_or_else(|| exhausted(definition))?;
                facts.part = 1;
                facts.sequence = sequence.number;
                let name = names::file_name(&manifest.name, &facts).map_err(|fault| bad_name(definition, &fault))?;
                Some(PlannedFile { part: PartNumber(0), name, sequence: Some(sequence), records })
            }
        };
        Ok(BatchPlan {
            id,
            from: job.from,
            cut: job.cut,
            definition: definition.hash.clone(),
            encoder_revision: ENCODER_REVISION,
            sealed_at: job.sealed_at,
            parts,
            manifest,
            counts,
            source_incomplete: candidate.due.source_incomplete,
        })
    }

    /// Records decisions, and notes them in the feeds.
    fn decide(&mut self, decisions: Decisions, counts: &mut SealCounts) -> Result<(), ExporterFault> {
        if decisions.held.is_empty() && decisions.plans.is_empty() && decisions.skipped.is_empty() {
            return Ok(());
        }
        self.ledger.lock().decide(&decisions)?;
        for held in decisions.held {
            tracing::warn!(feed = %held.id.feed, hour = %self.describe(&held.id), reason = held.reason, "hour held");
            counts.quarantined += held.quarantine.len() as u64;
            self.close(&held.id, BatchState::Held(HeldFrom::Open), held.cut);
            counts.held.push((held.id.feed, held.id.partition, held.reason));
        }
        for (plan, quarantine) in decisions.plans {
            counts.quarantined += quarantine.len() as u64;
            self.close(&plan.id, BatchState::Planned, plan.cut);
        }
        for (plan, quarantine) in decisions.skipped {
            counts.quarantined += quarantine.len() as u64;
            tracing::info!(feed = %plan.id.feed, hour = %self.describe(&plan.id), "nothing to send");
            self.close(&plan.id, BatchState::Skipped, plan.cut);
        }
        for (id, second) in decisions.closed {
            if let Some(feed) = self.feeds.iter_mut().find(|feed| *feed.id() == id) {
                feed.closed_second = feed.closed_second.max(Some(second));
            }
        }
        Ok(())
    }

    fn close(&mut self, id: &BatchId, state: BatchState, cut: Lsn) {
        if let Some(feed) = self.feeds.iter_mut().find(|feed| *feed.id() == id.feed) {
            feed.close(ClosedHour { partition: id.partition, revision: id.revision, state, cut });
        }
    }

    fn describe(&self, id: &BatchId) -> String {
        let feed = self.feeds.iter().find(|feed| *feed.id() == id.feed);
        feed.map_or_else(String::new, |feed| names::describe(feed.router.version_at(id.partition.start), id.partition))
    }

    /// Completes the files of planned batches, archives them and records that.
    fn complete(&mut self, planned: Vec<Planned>, counts: &mut SealCounts) -> Result<(), ExporterFault> {
        let mut sealed: Vec<(BatchId, Vec<SealedFile>)> = Vec::new();
        let mut chain = BTreeMap::new();
        for (number, (job, plan, rendered)) in planned.into_iter().enumerate() {
            let rendered = self.with_facts_in_records(&job, rendered)?;
            let ready = finish_parts(self.disk.as_ref(), &job, &plan, rendered)?;
            let mut files = self.adopt(&plan, ready)?;
            if let (Some(file), Some(manifest)) = (&plan.manifest, &job.definition.manifest) {
                let ledger = self.ledger.lock();
                let previous = match chain.get(&plan.id.feed) {
                    Some(hash) => Some(*hash),
                    None => ledger.progress(&plan.id.feed)?.manifest_hash,
                };
                let earlier = ledger.sealed_parts(&plan.id.feed, plan.id.partition.start)?;
                drop(ledger);
                let context = ManifestContext { definition: &job.definition, manifest, earlier, previous };
                let path = self.archive.stage().join(format!("{number}.manifest"));
                let ready = finish_manifest(self.disk.as_ref(), path, &plan, file, &files, &context)?;
                chain.insert(plan.id.feed.clone(), ready.sealed.sha256);
                files.extend(self.adopt(&plan, vec![ready])?);
            }
            counts.batches += 1;
            counts.files += files.len() as u64;
            counts.records += plan.parts.iter().map(|part| part.records).sum::<u64>();
            sealed.push((plan.id, files));
        }
        self.record_sealed(&sealed)
    }

    fn record_sealed(&mut self, sealed: &[(BatchId, Vec<SealedFile>)]) -> Result<(), ExporterFault> {
        if sealed.is_empty() {
            return Ok(());
        }
        let shadows: Vec<FeedId> =
            self.feeds.iter().filter(|feed| feed.definition().shadow).map(|feed| feed.id().clone()).collect();
        self.ledger.lock().seal(sealed, &|feed| shadows.contains(feed), self.clock.now())?;
        for (id, files) in sealed {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            let records: u64 = files.iter().filter(|file| file.part.0 > 0).map(|file| file.records).sum();
            tracing::info!(feed = %id.feed, hour = %self.describe(id), revision = id.revision.0, records,
                files = names.join(" "), "hour sealed");
            self.progress.sealed(files.len() as u64);
            self.close(id, BatchState::Sealed, self.closed_cut(id));
        }
        Ok(())
    }

    fn closed_cut(&self, id: &BatchId) -> Lsn {
        let feed = self.feeds.iter().find(|feed| *feed.id() == id.feed);
        feed.and_then(|feed| feed.closed.get(&id.partition.start)).map_or(Lsn(0), |closed| closed.cut)
    }

    /// Records that show facts about their file are rendered again when the facts were guessed wrong.
    fn with_facts_in_records(
        &mut self,
        job: &RenderJob,
        rendered: RenderedHour,
    ) -> Result<RenderedHour, ExporterFault> {
        if !rendered.layout.record_uses_facts() || rendered.parts.is_empty() {
            return Ok(rendered);
        }
        self.discard(rendered)?;
        let mut again = self.render(std::slice::from_ref(job))?;
        again.pop().ok_or_else(|| {
            SealFault::NotReproduced {
                feed: job.definition.id.clone(),
                hour: job.partition,
                planned: "an hour".to_owned(),
                found: "nothing".to_owned(),
            }
            .into()
        })
    }

    fn adopt(&self, plan: &BatchPlan, ready: Vec<ReadyFile>) -> Result<Vec<SealedFile>, ExporterFault> {
        let mut files = Vec::new();
        for ReadyFile { path, mut sealed } in ready {
            sealed.archive_path = Archive::path_of(&plan.id.feed, plan.id.partition, &sealed.name);
            self.archive.adopt(&path, &sealed.archive_path, &sealed.sha256)?;
            files.push(sealed);
        }
        Ok(files)
    }

    /// Finishes what a crash left planned: renders again from the plan, which gives the same bytes.
    ///
    /// # Errors
    /// [`ExporterFault::OldPlan`] when another version of the encoder made a plan.
    pub(super) fn finish_plans(&mut self) -> Result<SealCounts, ExporterFault> {
        clear_stage(self.disk.as_ref(), &self.archive.stage())?;
        let plans = self.ledger.lock().unfinished_plans()?;
        let mut counts = SealCounts::default();
        for pass in plans.chunks(HOURS_IN_A_PASS) {
            let mut jobs = Vec::new();
            for plan in pass {
                if plan.encoder_revision != ENCODER_REVISION {
                    return Err(ExporterFault::OldPlan { batch: plan.id.clone(), found: plan.encoder_revision });
                }
                jobs.push(self.job_of(plan)?);
            }
            tracing::info!(hours = jobs.len(), "finishing what was planned before the restart");
            let rendered = self.render(&jobs)?;
            let planned = jobs.into_iter().zip(pass.iter().cloned()).zip(rendered).map(|((j, p), r)| (j, p, r));
            self.complete(planned.collect(), &mut counts)?;
        }
        Ok(counts)
    }

    fn job_of(&self, plan: &BatchPlan) -> Result<RenderJob, ExporterFault> {
        let unknown = || ExporterFault::UnknownPlan { batch: plan.id.clone() };
        let feed = self.feeds.iter().position(|feed| *feed.id() == plan.id.feed).ok_or_else(unknown)?;
        let versions = self.feeds.get(feed).map(|feed| &feed.router);
        let definition = versions.and_then(|router| router.version_with_hash(&plan.definition)).ok_or_else(unknown)?;
        Ok(RenderJob {
            feed,
            definition: Arc::clone(definition),
            partition: plan.id.partition,
            revision: plan.id.revision,
            from: plan.from.max(self.spool.first()),
            cut: plan.cut,
            lsns: None,
            schema: self.schema_of(definition),
            sealed_at: plan.sealed_at,
            sequence_guess: 0,
            planned: Some(planned_parts(plan)),
            at_least_one_part: plan.parts.iter().any(|part| part.records == 0),
        })
    }

    fn schema_of(&self, definition: &FeedDefinition) -> Arc<crate::record::Schema> {
        let source = definition.sources.first().and_then(|name| self.config.source(&name.value));
        source.map_or_else(Arc::default, |source| source.read.schema())
    }

    /// Frees the spool below the first frame that any feed still needs.
    pub(super) fn free_spool(&mut self) -> Result<(), ExporterFault> {
        let needed = self.feeds.iter().filter_map(crate::feed::pending::FeedHours::first_needed).min();
        let free = needed.unwrap_or_else(|| self.cut()).min(self.applied.next());
        self.spool.free_below(free)?;
        let first = self.spool.first();
        self.feeds.iter_mut().for_each(|feed| feed.forget_cut_below(first));
        Ok(())
    }
}

/// Counters as they stand while numbers are given in one transaction.
#[derive(Default)]
struct Counters(BTreeMap<String, CounterState>);

impl Counters {
    fn get(&mut self, ledger: &crate::ledger::Ledger, name: &str) -> Result<&mut CounterState, ExporterFault> {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), ledger.counter(name)?);
        }
        Ok(self.0.entry(name.to_owned()).or_insert_with(CounterState::fresh))
    }
}

fn planned_parts(plan: &BatchPlan) -> Vec<(String, u64, u64)> {
    let parts = plan.parts.iter();
    parts.map(|part| (part.name.to_string(), part.sequence.map_or(0, |s| s.number), part.records)).collect()
}

/// Why an hour must wait for a person instead of being planned.
fn hold_reason(candidate: &Candidate) -> Option<String> {
    if let Some(fault) = &candidate.rendered.unfit {
        return Some(fault.to_string());
    }
    if candidate.due.kind != DueKind::First {
        return None;
    }
    let rejected = candidate.rendered.rejects.len() as u64 + candidate.suspects;
    let seen = candidate.rendered.records() + rejected;
    let share_max = candidate.job.definition.reject_max;
    (rejected * 10_000 > seen * share_max).then(|| {
        format!(
            "{rejected} of {seen} records are in quarantine, more than reject_max {}.{:02} %",
            share_max / 100,
            share_max % 100
        )
    })
}

fn quarantine_rows(feed: &FeedId, partition: Partition, rejects: &[RenderReject]) -> Vec<QuarantineRow> {
    rejects
        .iter()
        .filter_map(|reject| {
            Some(QuarantineRow {
                source: SourceId::parse(&reject.source).ok()?,
                feed: Some(feed.clone()),
                start_second: Some(partition.start),
                input: reject.input.clone(),
                record: reject.origin.record,
                line: reject.origin.line,
                byte: reject.origin.byte,
                stage: QuarantineStage::Render,
                reason: reject.reason.clone(),
                raw: reject.record.clone(),
                lsn: reject.lsn,
                at: reject.accepted_at,
            })
        })
        .collect()
}

fn exhausted(definition: &FeedDefinition) -> ExporterFault {
    ExporterFault::CounterExhausted { feed: definition.id.clone() }
}

fn bad_name(definition: &FeedDefinition, fault: &crate::domain::ids::NameFault) -> ExporterFault {
    ExporterFault::FileName { feed: definition.id.clone(), message: fault.to_string() }
}

/// The day, month or year of an hour in the feed's zone, when its counter begins again with it.
fn reset_label(definition: &FeedDefinition, partition: Partition) -> String {
    let layout = match definition.sequence.reset {
        CounterReset::Never => return String::new(),
        CounterReset::Daily => "%Y%m%d",
        CounterReset::Monthly => "%Y%m",
        CounterReset::Yearly => "%Y",
    };
    let offset = i64::from(definition.period.zone().offset_at(partition.start));
    chrono::DateTime::from_timestamp(partition.start + offset, 0).unwrap_or_default().format(layout).to_string()
}
