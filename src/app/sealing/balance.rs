//! Nothing is lost in silence: what was counted for an hour when it came, and what its frames give when it is sealed,
//! must be the same number.
//!
//! The ledger counts records when they are accepted; an hour is rendered from the spool. When frames were lost with
//! damage that a person had salvaged, or for any other reason, the hour is held with both numbers named. Released, it
//! goes on with what there is, and what is missing is recorded as lost.

use super::plan::Candidate;
use crate::app::exporter::Exporter;
use crate::app::fault::ExporterFault;
use crate::domain::frames::FrameRuns;
use crate::domain::time::UtcTime;
use crate::feed::names;
use crate::feed::pending::PendingHour;
use crate::seal::closing::DueKind;
use crate::spool::lost::LostFrames;

/// The alarm of hours whose records were lost.
const HD_LOST: &str = "HD0502";
const SUBJECT: &str = "spool damage";
/// So many hours are named one by one.
const NAMED: usize = 5;

/// Records of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Balance {
    /// That wait, as they were counted.
    counted: u64,
    /// That the spool gives.
    found: u64,
}

impl Balance {
    /// How many are missing; `None` when none is.
    pub(super) fn lost(self) -> Option<u64> {
        self.counted.checked_sub(self.found).filter(|lost| *lost > 0)
    }
}

impl Exporter {
    pub(super) fn balance(&self, candidate: &Candidate) -> Result<Balance, ExporterFault> {
        let (feed, start) = (&candidate.job.definition.id, candidate.job.partition.start);
        let waiting = self.ledger.lock().waiting_records(feed, Some(start))?;
        let counted = waiting.first().map_or(0, |(_, records)| *records);
        let found = candidate.rendered.records() + candidate.rendered.rejects.len() as u64;
        Ok(Balance { counted, found })
    }

    /// Why an hour must wait whose numbers differ. A person who releases it has seen them.
    pub(super) fn imbalance(&self, candidate: &Candidate, balance: Balance) -> Option<String> {
        let Balance { counted, found } = balance;
        if counted == found || matches!(candidate.due.kind, DueKind::Released(_)) {
            return None;
        }
        Some(match balance.lost() {
            Some(lost) if !self.lost.is_empty() => {
                format!("{lost} of {counted} records were lost with {}", damaged_frames(&self.lost))
            }
            Some(_) | None => {
                format!("{counted} records were counted when they came, and the spool gives {found} of them")
            }
        })
    }

    /// Takes note of the hours that lack records after frames were lost: they are due like others, also when nothing
    /// is left of them, and an alarm names them.
    pub(in crate::app) fn note_missing(&mut self, now: UtcTime) -> Result<(), ExporterFault> {
        let mut missing = Vec::new();
        if !self.lost.is_empty() {
            for feed in &mut self.feeds {
                for (partition, counted) in self.ledger.lock().waiting_records(feed.id(), None)? {
                    let found = feed.pending.get(&partition.start).map_or(0, |hour| hour.records);
                    if counted > found {
                        let definition = feed.router.version_at(partition.start);
                        let hour = names::describe(definition, partition);
                        missing.push(format!("{} {hour}: {} of {counted} records", feed.id(), counted - found));
                        let none =
                            PendingHour { partition, records: 0, lsns: FrameRuns::default(), since: now, suspects: 0 };
                        feed.pending.entry(partition.start).or_insert(none);
                    }
                }
            }
        }
        let alarm = (!missing.is_empty()).then(|| {
            let more = missing.len().saturating_sub(NAMED);
            let more = if more > 0 { format!("; and {more} more hours") } else { String::new() };
            let named = missing.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
            let message = format!("lost with {}: {named}{more}", damaged_frames(&self.lost));
            let hint = "each hour is held when its time has come; `hourdrop release` seals it with what there is";
            (HD_LOST, message, hint.to_owned())
        });
        self.set_alarms(SUBJECT, alarm.as_slice())
    }
}

/// `damaged frames 3 to 7 of segment 00000000000000000001.seg`.
pub(super) fn damaged_frames(lost: &[LostFrames]) -> String {
    let one = |frames: &LostFrames| match frames.count() {
        1 => format!("damaged frame {} of segment {}", frames.first, frames.segment),
        _ => format!("damaged frames {} to {} of segment {}", frames.first, frames.last, frames.segment),
    };
    let more = lost.len().saturating_sub(3);
    let named = lost.iter().take(3).map(one).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more ranges") } else { named }
}
