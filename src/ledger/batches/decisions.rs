//! What sealing decides before the first file is made.

use crate::domain::batch::{BatchId, BatchPlan};
use crate::domain::counter::CounterState;
use crate::domain::ids::{FeedId, Lsn};
use crate::domain::time::UtcTime;
use crate::ledger::intake::QuarantineRow;

/// A decision to hold an hour before it was planned.
#[derive(Debug, Clone)]
pub struct HeldHour {
    /// Which.
    pub id: BatchId,
    /// Why.
    pub reason: String,
    /// Definition in force.
    pub definition: String,
    /// When.
    pub at: UtcTime,
    /// First LSN whose records can belong to it.
    pub from: Lsn,
    /// First LSN whose records were not looked at.
    pub cut: Lsn,
    /// Records that could not be rendered.
    pub quarantine: Vec<QuarantineRow>,
}

/// What one transaction of sealing writes: everything that was decided before the first file is made.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// Batches to be made.
    pub plans: Vec<(BatchPlan, Vec<QuarantineRow>)>,
    /// Hours, or late records of an hour, that no file is made for.
    pub skipped: Vec<(BatchPlan, Vec<QuarantineRow>)>,
    /// Late records of an hour that could all not be rendered: the hour's latest revision, and the new cut.
    pub absorbed: Vec<(BatchId, Lsn, Vec<QuarantineRow>)>,
    /// Plans that cannot be carried out any more, and why: their numbers are void.
    pub given_up: Vec<(BatchPlan, String)>,
    /// Hours that wait for a person.
    pub held: Vec<HeldHour>,
    /// Records that hours go on without: they were counted, and no frame holds them any more.
    pub lost: Vec<(BatchId, u64)>,
    /// Counters after the numbers in the plans.
    pub counters: Vec<(String, CounterState)>,
    /// How far each feed has come now.
    pub closed: Vec<(FeedId, i64)>,
}
