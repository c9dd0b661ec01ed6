//! A plan is a promise of certain bytes. When frames that it needs were lost with damage it cannot be kept: the numbers that
//! it gave are void, which the next manifest states, and the hour waits for a person as its next revision. Released, it is
//! planned anew with what there is. Everything else goes on.
//!
//! A crash may have left part files of such a plan in the archive. They may be the only copy of the lost records: they are
//! set aside, see [`super::set_aside`], and the reason of the hold names them.

use super::HOURS_IN_A_PASS;
use super::balance::damaged_frames;
use super::plan::quarantine_rows;
use crate::app::exporter::Exporter;
use crate::app::fault::ExporterFault;
use crate::archive::Archive;
use crate::domain::batch::{BatchId, BatchPlan};
use crate::domain::time::UtcTime;
use crate::ledger::batches::{Decisions, HeldHour};
use crate::seal::render::RenderedHour;

impl Exporter {
    /// Gives up the plans that the spool cannot satisfy any more. True when there were any: then the ledger knows more
    /// about hours than the feeds do.
    ///
    /// # Errors
    /// [`ExporterFault`].
    pub(super) fn give_up_lost_plans(&mut self, now: UtcTime) -> Result<bool, ExporterFault> {
        if self.lost.is_empty() {
            return Ok(false);
        }
        let plans = self.ledger.lock().unfinished_plans()?;
        if plans.is_empty() {
            return Ok(false);
        }
        self.clear_stage()?;
        let mut decisions = Decisions::default();
        for pass in plans.chunks(HOURS_IN_A_PASS) {
            let jobs = pass.iter().map(|plan| self.job_of(plan)).collect::<Result<Vec<_>, _>>()?;
            for (plan, rendered) in pass.iter().zip(self.render(&jobs)?) {
                if !rendered.fits(plan) {
                    self.give_up(plan, &rendered, now, &mut decisions)?;
                }
                self.discard(rendered)?;
            }
        }
        if decisions.given_up.is_empty() {
            return Ok(false);
        }
        self.ledger.lock().decide(&decisions)?;
        self.ledger.tell(now)?;
        Ok(true)
    }

    fn give_up(
        &mut self,
        plan: &BatchPlan,
        rendered: &RenderedHour,
        now: UtcTime,
        decisions: &mut Decisions,
    ) -> Result<(), ExporterFault> {
        let mut kept = Vec::new();
        for file in plan.parts.iter().chain(&plan.manifest) {
            kept.extend(self.set_aside(&Archive::path_of(&plan.id.feed, plan.id.partition, &file.name))?);
        }
        let planned: u64 = plan.parts.iter().map(|part| part.records).sum();
        let (found, frames) = (rendered.records(), damaged_frames(&self.lost));
        let mut what = format!("planned with {planned} records, {found} are left after the loss of {frames}");
        if let Some(first) = kept.first() {
            what.push_str(&format!("; files of the plan with all their records lie beside {}", first.display()));
        }
        tracing::error!(feed = %plan.id.feed, hour = %self.describe(&plan.id), "plan given up: {what}");
        let id = BatchId { revision: plan.id.revision.next(), ..plan.id.clone() };
        decisions.held.push(HeldHour {
            reason: format!("{what}; its numbers are void, and it gets new ones when it is released"),
            definition: plan.definition.clone(),
            at: now,
            from: plan.from,
            cut: self.cut(),
            quarantine: quarantine_rows(&id.feed, id.partition, &rendered.rejects),
            id,
        });
        decisions.given_up.push((plan.clone(), what));
        Ok(())
    }
}
