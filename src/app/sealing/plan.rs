//! Deciding about rendered hours: which are planned, skipped or held, and which numbers and names they get. Nothing is
//! given twice and nothing is left out: numbers are given in closing order and recorded with the plan.

use crate::app::exporter::Exporter;
use crate::app::fault::ExporterFault;
use crate::domain::batch::{BatchId, BatchPlan, PlannedFile};
use crate::domain::counter::{CounterRule, CounterState};
use crate::domain::ids::{FeedId, Lsn, PartNumber, Revision, SourceId};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::feed::definition::{EmptyPolicy, FeedDefinition};
use crate::feed::names;
use crate::feed::pending::FeedHours;
use crate::ledger::batches::Decisions;
use crate::ledger::intake::{QuarantineRow, QuarantineStage};
use crate::ledger::{Ledger, LedgerFault};
use crate::seal::ENCODER_REVISION;
use crate::seal::closing::{Due, DueKind};
use crate::seal::finish::Planned;
use crate::seal::render::{RenderJob, RenderReject, RenderedHour};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An hour that was rendered, and what is to become of it.
pub(super) struct Candidate {
    pub job: RenderJob,
    pub due: Due,
    pub rendered: RenderedHour,
    pub suspects: u64,
    /// Its share of quarantined records is no reason to hold it: a person has accepted it, or it is a supplement.
    pub accepted: bool,
}

impl Exporter {
    /// What to render for hours that are due.
    pub(super) fn jobs(&self, pass: &[(usize, Due)], now: UtcTime) -> Result<Vec<RenderJob>, ExporterFault> {
        let cut = self.cut();
        let mut counters: BTreeMap<String, u64> = BTreeMap::new();
        let ledger = self.ledger.lock();
        let mut jobs = Vec::new();
        for (index, due) in pass {
            let Some(feed) = self.feeds.get(*index) else { continue };
            let start = due.partition.start;
            let definition = Arc::clone(match due.kind {
                DueKind::First => feed.router.version_at(start),
                DueKind::Released(_) | DueKind::Supplement => feed.router.mended_version_at(start),
            });
            let known = ledger.latest_revision(&definition.id, due.partition.start)?;
            let (revision, from) = match (due.kind, known) {
                (DueKind::First, _) | (DueKind::Supplement, None) => (Revision(0), Lsn(0)),
                (DueKind::Released(revision), known) => (revision, known.map_or(Lsn(0), |(_, cut)| cut)),
                (DueKind::Supplement, Some((revision, cut))) => (revision.next(), cut),
            };
            let guess = match counters.get(&definition.counter_name()) {
                Some(last) => last + 1,
                None => next_number(&ledger, feed.definition(), &definition, due.partition)?,
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
                lsns: Some(pending.map(|hour| hour.lsns.clone()).unwrap_or_default()),
                sealed_at: now,
                sequence_guess: guess,
                planned: None,
                at_least_one_part: due.kind != DueKind::Supplement && definition.empty == EmptyPolicy::HeaderAndTrailer,
                definition,
            });
        }
        Ok(jobs)
    }

    /// The number that the next file of a feed's hour will probably get.
    pub(in crate::app) fn next_number(
        &self,
        index: usize,
        definition: &FeedDefinition,
        partition: Partition,
    ) -> Result<u64, ExporterFault> {
        let current = self.feeds.get(index).map_or(definition, FeedHours::definition);
        Ok(next_number(&self.ledger.lock(), current, definition, partition)?)
    }

    /// True when a person has accepted the quarantine of an hour, or it is a supplement.
    pub(super) fn is_accepted(&self, job: &RenderJob, kind: DueKind) -> bool {
        match kind {
            DueKind::First => false,
            DueKind::Supplement => true,
            DueKind::Released(revision) => {
                let id = BatchId { feed: job.definition.id.clone(), partition: job.partition, revision };
                self.ledger.lock().hold_reason(&id).ok().flatten().is_some()
            }
        }
    }

    /// Decides for each rendered hour: plan, skip or hold. Numbers are given here, in closing order.
    pub(super) fn judge(
        &mut self,
        candidates: Vec<Candidate>,
        now: UtcTime,
    ) -> Result<(Decisions, Vec<Planned>), ExporterFault> {
        let mut decisions = Decisions::default();
        let mut counters = Counters::default();
        let mut planned = Vec::new();
        for candidate in candidates {
            let id = self.feed_id(candidate.job.feed);
            if candidate.due.kind != DueKind::Supplement {
                decisions.closed.push((id.clone(), candidate.job.partition.end));
            }
            let quarantine = quarantine_rows(&id, candidate.job.partition, &candidate.rendered.rejects);
            let balance = self.balance(&candidate)?;
            if let Some(reason) = hold_reason(&candidate).or_else(|| self.imbalance(&candidate, balance)) {
                self.discard(candidate.rendered)?;
                let (partition, revision) = (candidate.job.partition, candidate.job.revision);
                decisions.held.push(self.held_hour(candidate.job.feed, partition, revision, reason, now, quarantine));
                continue;
            }
            let before = counters.clone();
            let plan = match self.plan(&candidate, &quarantine, &mut counters) {
                // Numbers or names that cannot be given stop this feed until a person has looked, and no other.
                Err(fault @ (ExporterFault::CounterExhausted { .. } | ExporterFault::FileName { .. })) => {
                    counters = before;
                    self.discard(candidate.rendered)?;
                    let (job, reason) = (&candidate.job, fault.to_string());
                    decisions.held.push(self.held_hour(job.feed, job.partition, job.revision, reason, now, quarantine));
                    continue;
                }
                planned => planned?,
            };
            if plan.parts.is_empty() && plan.id.revision > Revision(0) && candidate.due.kind == DueKind::Supplement {
                let latest = BatchId { revision: Revision(plan.id.revision.0 - 1), ..plan.id };
                decisions.absorbed.push((latest, plan.cut, quarantine));
                continue;
            }
            decisions.lost.extend(balance.lost().map(|records| (plan.id.clone(), records)));
            if plan.parts.is_empty() && plan.manifest.is_none() {
                decisions.skipped.push((plan, quarantine));
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

    /// Throws away what was rendered.
    pub(super) fn discard(&self, rendered: RenderedHour) -> Result<(), ExporterFault> {
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
        // How numbers go on is not a matter of one hour: a counter at its end goes on as the configuration says now.
        let current = self.feeds.get(job.feed).map_or(definition.as_ref(), FeedHours::definition);
        let ledger = self.ledger.lock();
        let id = BatchId { feed: definition.id.clone(), partition: job.partition, revision: job.revision };
        let mut counts = ledger.hour_counts(&definition.id, job.partition.start)?;
        counts.quarantined -= ledger.held_renders(&id, job.from, job.cut)?.min(counts.quarantined);
        counts.quarantined += quarantine.len() as u64;
        let label = |rule: &CounterRule| rule.reset.label(job.partition, current.period.zone());
        let mut facts = names::facts(definition, job.partition, job.sealed_at);
        facts.revision = job.revision.0;
        facts.parts = u32::try_from(candidate.rendered.parts.len()).unwrap_or(u32::MAX);
        let mut parts = Vec::new();
        for (index, part) in candidate.rendered.parts.iter().enumerate() {
            let counter = counters.get(&ledger, &definition.counter_name())?;
            let sequence =
                counter.give(&current.sequence, &label(&current.sequence)).ok_or_else(|| exhausted(definition))?;
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
                let rule = current.manifest.as_ref().map_or(manifest.sequence, |manifest| manifest.sequence);
                let sequence = counter.give(&rule, &label(&rule)).ok_or_else(|| exhausted(definition))?;
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
}

/// Counters as they stand while numbers are given in one transaction.
#[derive(Clone, Default)]
struct Counters(BTreeMap<String, CounterState>);

impl Counters {
    fn get(&mut self, ledger: &crate::ledger::Ledger, name: &str) -> Result<&mut CounterState, ExporterFault> {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), ledger.counter(name)?);
        }
        Ok(self.0.entry(name.to_owned()).or_insert_with(CounterState::fresh))
    }
}

pub(super) fn planned_parts(plan: &BatchPlan) -> Vec<(String, u64, u64)> {
    let parts = plan.parts.iter();
    parts.map(|part| (part.name.to_string(), part.sequence.map_or(0, |s| s.number), part.records)).collect()
}

/// Why an hour must wait for a person instead of being planned.
fn hold_reason(candidate: &Candidate) -> Option<String> {
    if let Some(reason) = &candidate.rendered.unfit {
        return Some(reason.clone());
    }
    if candidate.accepted {
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

pub(super) fn quarantine_rows(feed: &FeedId, partition: Partition, rejects: &[RenderReject]) -> Vec<QuarantineRow> {
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
                head: Vec::new(),
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

fn next_number(
    ledger: &Ledger,
    current: &FeedDefinition,
    definition: &FeedDefinition,
    partition: Partition,
) -> Result<u64, LedgerFault> {
    let mut state = ledger.counter(&definition.counter_name())?;
    let label = current.sequence.reset.label(partition, current.period.zone());
    Ok(state.give(&current.sequence, &label).map_or(0, |sequence| sequence.number))
}
