//! From hours that are due to files in the archive: render, decide, finish, adopt, record.
//!
//! The order is the promise: what is decided (numbers, names, cut) is in the ledger before a file is completed, files
//! are in the archive before the ledger says so, and a batch is delivered only after that. A crash in between is
//! repaired by [`Exporter::finish_plans`], which renders from the plan and gets the same bytes.

mod balance;
mod damage;
mod given_up;
mod plan;
mod set_aside;

use super::exporter::Exporter;
use super::fault::ExporterFault;
use crate::archive::{Archive, ArchiveFault, Placed};
use crate::domain::batch::{BatchId, BatchPlan, BatchState, HeldFrom, SealedFile};
use crate::domain::frames::FrameRuns;
use crate::domain::ids::{FeedId, Lsn, Revision, SourceId};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::feed::names;
use crate::feed::pending::ClosedHour;
use crate::format::encode::Layout;
use crate::ledger::batches::{Decisions, HeldHour};
use crate::ledger::intake::QuarantineRow;
use crate::seal::SealFault;
use crate::seal::closing::{Closing, Due, Horizon, SourceView, closing};
use crate::seal::finish::{ManifestContext, Planned, ReadyFile, clear_stage, finish_hours, finish_manifest};
use crate::seal::render::{RenderJob, RenderedHour, render};
use crate::spool::SpoolFault;
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

impl SealCounts {
    /// Adds what was done later.
    pub(super) fn add(&mut self, later: Self) {
        self.batches += later.batches;
        self.files += later.files;
        self.records += later.records;
        self.quarantined += later.quarantined;
        self.held.extend(later.held);
        self.waits = later.waits;
    }
}

/// Hours that are recorded as sealed together: they can be delivered while the next ones are completed.
const SEALED_TOGETHER: usize = 8;

/// Hours that are completed at a time: each waits for the disk.
const FINISHING_THREADS: usize = 4;

impl Exporter {
    /// Seals every hour that is due at `now`.
    ///
    /// # Errors
    /// [`ExporterFault`]; what was planned is to be finished by [`Exporter::finish_plans`].
    pub(super) fn seal_all(
        &mut self,
        now: UtcTime,
        horizon: Horizon,
        counts: &mut SealCounts,
    ) -> Result<(), ExporterFault> {
        loop {
            counts.waits.clear();
            let (mut due, mut has_held) = (Vec::new(), false);
            for index in 0..self.feeds.len() {
                let found = self.closing_of(index, now, horizon);
                has_held |= !found.hold.is_empty();
                self.hold_unread(index, &found, now, counts)?;
                counts.waits.extend(found.waits_for.map(|reason| (self.feed_id(index), reason)));
                due.extend(found.due.into_iter().map(|hour| (index, hour)));
            }
            if due.is_empty() && !has_held {
                return Ok(());
            }
            self.save_clock()?;
            for pass in due.chunks(HOURS_IN_A_PASS) {
                self.seal_pass(pass, now, counts)?;
            }
        }
    }

    fn feed_id(&self, index: usize) -> FeedId {
        #[expect(clippy::expect_used, reason = "indexes come from the list itself")]
        self.feeds.get(index).expect("a feed of the list").id().clone()
    }

    pub(super) fn closing_of(&self, index: usize, now: UtcTime, horizon: Horizon) -> Closing {
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
            paused: self.resting.contains(id),
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
        let rendered = match self.render(&jobs) {
            Err(ExporterFault::Seal(SealFault::Spool(SpoolFault::Damaged { lsn, path, offset, what }))) => {
                let damage = SpoolFault::Damaged { path, offset, lsn, what };
                return self.seal_without_damaged(pass, &jobs, (lsn, damage), now, counts);
            }
            rendered => rendered?,
        };
        let candidates = jobs
            .into_iter()
            .zip(pass)
            .zip(rendered)
            .map(|((job, (_, due)), rendered)| {
                let pending = self.feeds.get(job.feed).and_then(|feed| feed.pending.get(&job.partition.start));
                let suspects = pending.map_or(0, |hour| hour.suspects);
                let accepted = self.is_accepted(&job, due.kind);
                plan::Candidate { job, due: *due, rendered, suspects, accepted }
            })
            .collect();
        let (decisions, planned) = self.judge(candidates, now)?;
        let some_are_lost = !decisions.lost.is_empty();
        self.space.plans_wait = true;
        self.decide(decisions, counts)?;
        self.complete(planned, counts)?;
        self.space.plans_wait = false;
        if some_are_lost { self.note_missing(now) } else { Ok(()) }
    }

    /// Renders hours, of which some may be rendered already.
    fn render(&mut self, jobs: &[RenderJob]) -> Result<Vec<RenderedHour>, ExporterFault> {
        let mut drafts = Vec::new();
        for job in jobs {
            let pending = self.feeds.get(job.feed).and_then(|feed| feed.pending.get(&job.partition.start));
            drafts.push(pending.map(|pending| self.drafts.take(job, pending)).transpose()?.flatten());
        }
        let left: Vec<RenderJob> =
            jobs.iter().zip(&drafts).filter(|(_, draft)| draft.is_none()).map(|(job, _)| job.clone()).collect();
        let mut rendered = self.render_from_spool(&left)?.into_iter();
        Ok(drafts.into_iter().filter_map(|draft| draft.or_else(|| rendered.next())).collect())
    }

    fn render_from_spool(&mut self, jobs: &[RenderJob]) -> Result<Vec<RenderedHour>, ExporterFault> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let of: u64 = jobs.iter().map(|job| job.lsns.as_ref().map_or(0, FrameRuns::len)).sum();
        let (progress, mut done) = (Arc::clone(&self.progress), 0);
        let mut told = |frames: u64| {
            done += frames;
            progress.rendered(done, of);
        };
        let stage = self.archive.stage();
        Ok(render(&self.disk, &self.spool, &mut self.feeds, jobs, &stage, &mut told)?)
    }

    /// Records decisions, and notes them in the feeds.
    fn decide(&mut self, decisions: Decisions, counts: &mut SealCounts) -> Result<(), ExporterFault> {
        let nothing = decisions.held.is_empty() && decisions.plans.is_empty() && decisions.skipped.is_empty();
        if nothing && decisions.absorbed.is_empty() {
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
        for (id, cut, quarantine) in decisions.absorbed {
            counts.quarantined += quarantine.len() as u64;
            let state = self.closed_hour(&id).map_or(BatchState::Sealed, |closed| closed.state);
            self.close(&id, state, cut);
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
        // No file gets its place under a number that only the ledger knows of. What was decided is noted before: a lack
        // of room here leaves plans that wait.
        self.ledger.tell(self.now())?;
        Ok(())
    }

    fn close(&mut self, id: &BatchId, state: BatchState, cut: Lsn) {
        if let Some(feed) = self.feeds.iter_mut().find(|feed| *feed.id() == id.feed) {
            feed.close(ClosedHour::new(id.partition, id.revision, state, cut));
        }
    }

    fn describe(&self, id: &BatchId) -> String {
        let feed = self.feeds.iter().find(|feed| *feed.id() == id.feed);
        feed.map_or_else(String::new, |feed| names::describe(feed.router.version_at(id.partition.start), id.partition))
    }

    /// Completes the files of planned batches, archives them and records that.
    fn complete(&mut self, mut planned: Vec<Planned>, counts: &mut SealCounts) -> Result<(), ExporterFault> {
        while !planned.is_empty() {
            let later = planned.split_off(planned.len().min(SEALED_TOGETHER));
            self.complete_few(std::mem::replace(&mut planned, later), counts)?;
        }
        Ok(())
    }

    fn complete_few(&mut self, planned: Vec<Planned>, counts: &mut SealCounts) -> Result<(), ExporterFault> {
        let mut sealed: Vec<(BatchId, Vec<SealedFile>)> = Vec::new();
        let (mut chain, mut placed) = (BTreeMap::new(), Placed::default());
        let mut hours = Vec::new();
        for (job, plan, rendered) in planned {
            let rendered = self.with_facts_in_records(&job, rendered)?;
            hours.push((job, plan, rendered));
        }
        let threads = if self.threads { FINISHING_THREADS } else { 1 };
        let finished = finish_hours(self.disk.as_ref(), hours, threads)?;
        for (number, (job, plan, ready)) in finished.into_iter().enumerate() {
            let mut files = self.place(&plan, ready, &mut placed)?;
            if let (Some(file), Some(manifest)) = (&plan.manifest, &job.definition.manifest) {
                let ledger = self.ledger.lock();
                let previous = match chain.get(&plan.id.feed) {
                    Some(hash) => Some(*hash),
                    None => ledger.progress(&plan.id.feed)?.manifest_hash,
                };
                let earlier = ledger.sealed_parts(&plan.id.feed, plan.id.partition.start)?;
                let voided = ledger.void_numbers(&plan.id)?;
                drop(ledger);
                let context = ManifestContext {
                    definition: &job.definition,
                    manifest,
                    earlier,
                    previous,
                    voided: voided.parts,
                    voided_manifests: voided.manifests,
                };
                let path = self.archive.stage().join(format!("{number}.manifest"));
                let ready = finish_manifest(self.disk.as_ref(), path, &plan, file, &files, &context)?;
                chain.insert(plan.id.feed.clone(), ready.sealed.sha256);
                files.extend(self.place(&plan, vec![ready], &mut placed)?);
            }
            counts.batches += 1;
            counts.files += files.len() as u64;
            counts.records += plan.parts.iter().map(|part| part.records).sum::<u64>();
            sealed.push((plan.id, files));
        }
        self.archive.settle(placed)?;
        self.record_sealed(&sealed)
    }

    fn record_sealed(&mut self, sealed: &[(BatchId, Vec<SealedFile>)]) -> Result<(), ExporterFault> {
        if sealed.is_empty() {
            return Ok(());
        }
        let shadows: Vec<FeedId> =
            self.feeds.iter().filter(|feed| feed.definition().shadow).map(|feed| feed.id().clone()).collect();
        self.ledger.lock().seal(sealed, &|feed| shadows.contains(feed), self.now())?;
        self.wake_partners();
        for (id, files) in sealed {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            let records: u64 = files.iter().filter(|file| file.part.0 > 0).map(|file| file.records).sum();
            tracing::info!(feed = %id.feed, hour = %self.describe(id), revision = id.revision.0, records,
                files = names.join(" "), "hour sealed");
            self.progress.sealed(files.len() as u64);
            let cut = self.closed_hour(id).map_or(Lsn(0), |closed| closed.cut);
            self.close(id, BatchState::Sealed, cut);
        }
        Ok(())
    }

    fn closed_hour(&self, id: &BatchId) -> Option<&ClosedHour> {
        let feed = self.feeds.iter().find(|feed| *feed.id() == id.feed)?;
        feed.closed.get(&id.partition.start)
    }

    /// Records that show facts about their file are rendered again when the facts were guessed wrong.
    fn with_facts_in_records(
        &mut self,
        job: &RenderJob,
        rendered: RenderedHour,
    ) -> Result<RenderedHour, ExporterFault> {
        if !rendered.layout.as_ref().is_some_and(Layout::record_uses_facts) || rendered.parts.is_empty() {
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

    /// Gives files their places in the archive.
    fn place(
        &mut self,
        plan: &BatchPlan,
        ready: Vec<ReadyFile>,
        placed: &mut Placed,
    ) -> Result<Vec<SealedFile>, ExporterFault> {
        let mut files = Vec::new();
        for ReadyFile { path, mut sealed } in ready {
            sealed.archive_path = Archive::path_of(&plan.id.feed, plan.id.partition, &sealed.name);
            match self.archive.place(&path, &sealed.archive_path, &sealed.sha256, placed) {
                // Whatever lies there is not what this plan gives, and no other batch has put it there.
                Err(ArchiveFault::Occupied(_)) if !self.ledger.lock().knows_archived(&sealed.archive_path)? => {
                    self.set_aside(&sealed.archive_path)?;
                    self.archive.place(&path, &sealed.archive_path, &sealed.sha256, placed)?;
                }
                done => done?,
            }
            files.push(sealed);
        }
        Ok(files)
    }

    /// Finishes what a crash or a full disk left planned: renders again from the plan, which gives the same bytes. Plans
    /// of another encoder were refused before, see [`super::store::Store::open`]. What the last try left in staging is
    /// cleared before.
    ///
    /// # Errors
    /// [`ExporterFault`].
    pub(super) fn finish_plans(&mut self) -> Result<SealCounts, ExporterFault> {
        self.space.plans_wait = true;
        let now = self.now();
        if self.give_up_lost_plans(now)? {
            self.read_hours_again()?;
            self.note_missing(now)?;
        }
        let plans = self.ledger.lock().unfinished_plans()?;
        let mut counts = SealCounts::default();
        for pass in plans.chunks(HOURS_IN_A_PASS) {
            let mut jobs = Vec::new();
            for plan in pass {
                jobs.push(self.job_of(plan)?);
            }
            tracing::info!(hours = jobs.len(), "finishing what was planned before");
            let rendered = self.render(&jobs)?;
            let planned = jobs.into_iter().zip(pass.iter().cloned()).zip(rendered).map(|((j, p), r)| (j, p, r));
            self.complete(planned.collect(), &mut counts)?;
        }
        self.space.plans_wait = false;
        Ok(counts)
    }

    /// Throws everything in staging away, drafts included.
    pub(super) fn clear_stage(&mut self) -> Result<(), SealFault> {
        self.drafts.clear();
        clear_stage(self.disk.as_ref(), &self.archive.stage())
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
            planned: Some(plan::planned_parts(plan)),
            at_least_one_part: plan.parts.iter().any(|part| part.records == 0),
        })
    }

    fn schema_of(&self, definition: &FeedDefinition) -> Arc<crate::record::Schema> {
        let source = definition.sources.first().and_then(|name| self.config.source(&name.value));
        source.map_or_else(Arc::default, |source| source.read.schema())
    }

    /// Frees the spool below the first frame that any feed still needs.
    pub(super) fn free_spool(&mut self) -> Result<(), ExporterFault> {
        if self.space.plans_wait {
            return Ok(());
        }
        let needed = self.feeds.iter().filter_map(crate::feed::pending::FeedHours::first_needed).min();
        let free = needed.unwrap_or_else(|| self.cut()).min(self.applied.next());
        self.note_freed(free)?;
        self.spool.free_below(free)?;
        let is_worth_it = self.is_spool_full() || self.spool.keeps_needless_input(free);
        if is_worth_it && free >= self.spool.next() {
            self.spool.roll_over()?;
            self.note_freed(free)?;
            self.spool.free_below(free)?;
        }
        let first = self.spool.first();
        self.feeds.iter_mut().for_each(|feed| feed.forget_cut_below(first));
        Ok(())
    }

    /// What frames meant that are gone is known to the ledger alone, which may be lost.
    fn note_freed(&self, free: Lsn) -> Result<(), ExporterFault> {
        if let Some(first) = self.spool.first_after_freeing(free) {
            self.ledger.lock().note_freed(first)?;
        }
        self.ledger.tell_and_note(self.now())?;
        Ok(())
    }
}
