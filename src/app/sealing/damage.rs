//! A frame that was good at the start and cannot be read any more stops the hours that need it, and nothing else.

use super::SealCounts;
use crate::app::exporter::Exporter;
use crate::app::fault::ExporterFault;
use crate::domain::ids::Lsn;
use crate::domain::time::UtcTime;
use crate::ledger::batches::Decisions;
use crate::seal::closing::{Due, DueKind};
use crate::seal::render::RenderJob;
use crate::spool::SpoolFault;

impl Exporter {
    /// Holds the hours of a pass that need a damaged frame, and seals the others.
    ///
    /// # Errors
    /// The damage itself when no hour of the pass needs the frame.
    pub(super) fn seal_without_damaged(
        &mut self,
        pass: &[(usize, Due)],
        jobs: &[RenderJob],
        (lsn, damage): (Lsn, SpoolFault),
        now: UtcTime,
        counts: &mut SealCounts,
    ) -> Result<(), ExporterFault> {
        self.clear_stage()?;
        let mut decisions = Decisions::default();
        let mut others = Vec::new();
        let reason = format!("{damage}; `hourdrop spool check` says more");
        for ((index, due), job) in pass.iter().zip(jobs) {
            if !job.lsns.as_ref().is_none_or(|lsns| lsns.contains(lsn)) {
                others.push((*index, *due));
                continue;
            }
            let held = self.held_hour(*index, due.partition, job.revision, reason.clone(), now, Vec::new());
            if due.kind != DueKind::Supplement {
                decisions.closed.push((held.id.feed.clone(), due.partition.end));
            }
            decisions.held.push(held);
        }
        if decisions.held.is_empty() {
            return Err(damage.into());
        }
        // Hours close in order: those in front of a held one are sealed before it is noted as closed.
        let first_held = decisions.held.first().map(|held| held.id.partition.start);
        let (before, behind): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(_, due)| first_held.is_none_or(|start| due.partition.start < start));
        if !before.is_empty() {
            self.seal_pass(&before, now, counts)?;
        }
        self.decide(decisions, counts)?;
        if behind.is_empty() { Ok(()) } else { self.seal_pass(&behind, now, counts) }
    }
}
