//! What persons order: pauses, holds, releases, what is void and what is settled. Everything that belongs to one order
//! is one transaction, together with the request it came by, so no order is half done and none is done twice.

use super::answers::settle_answer;
use super::batches::{apply, batch_row, subject};
use super::delivery::{BatchToSend, FileToSend, change_file, expect_state, follow_files};
use super::pickup::{PickupChange, record_word};
use super::{Fact, Ledger, LedgerFault, Result, append_fact, ask, row, run, signed, unsigned};
use crate::disk::SyncPoint;
use crate::domain::batch::{BatchFact, BatchId, BatchState};
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::ids::{FeedId, Lsn, Revision, Sha256Digest};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use rusqlite::{OptionalExtension, Transaction, params};

/// One change that an order makes.
#[derive(Debug, Clone)]
pub enum Act {
    /// A partner, feed or source rests, named `partner NAME`, `feed PARTNER/FEED` or `source NAME`.
    Pause(String),
    /// It goes on.
    Resume(String),
    /// An open hour is held when its time comes.
    HoldBack(FeedId, Partition),
    /// An open hour is not held back any more.
    LetGo(FeedId, Partition),
    /// An hour that was held before it was planned is open again. When a person ordered the hold, its quarantine is
    /// judged as that of any hour; else the person has accepted it.
    Reopen {
        /// Which.
        id: BatchId,
        /// A person had ordered the hold.
        was_ordered: bool,
    },
    /// Files change, and their batch follows them.
    Files {
        /// The batch as it was read.
        batch: BatchToSend,
        /// The files to change, and how.
        changes: Vec<(FileToSend, DeliveryFact)>,
    },
    /// The records of an hour that wait to be sealed are let go.
    VoidWaiting(WaitingHour),
    /// What the partner did not accept of a batch, given with its row, is settled.
    SettleAnswer(i64, BatchId),
    /// Delivered files were taken, which nobody could see.
    PickedUp(Vec<PickupChange>),
}

/// An hour with records that no plan has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingHour {
    /// The feed.
    pub feed: FeedId,
    /// The hour.
    pub partition: Partition,
    /// How many records wait.
    pub records: u64,
    /// Everything below was looked at.
    pub cut: Lsn,
    /// Definition in force.
    pub definition: String,
}

/// One order.
#[derive(Debug, Clone)]
pub struct OrderEntry<'a> {
    /// What changes.
    pub acts: Vec<Act>,
    /// Why, in the words of the person.
    pub reason: &'a str,
    /// The request that it came by, and what it is told.
    pub request: Option<(&'a str, &'a str)>,
}

/// A partner, feed or source that rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// `partner NAME`, `feed PARTNER/FEED`, `source NAME`.
    pub subject: String,
    /// Since when.
    pub since: UtcTime,
    /// Why.
    pub reason: String,
}

/// An open hour that is to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// The feed.
    pub feed: FeedId,
    /// The hour.
    pub partition: Partition,
    /// Since when.
    pub since: UtcTime,
    /// Why.
    pub reason: String,
}

/// Numbers that were given up and that a manifest states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoidNumbers {
    /// Of part files.
    pub parts: Vec<u64>,
    /// Of manifests.
    pub manifests: Vec<u64>,
}

impl Ledger {
    /// Carries out an order.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was changed then.
    pub fn record_order(&mut self, order: &OrderEntry<'_>, now: UtcTime) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            for act in &order.acts {
                carry_out(t, act, order.reason, now)?;
            }
            if let Some((id, outcome)) = order.request {
                let insert = "INSERT INTO main.request (id, at, outcome) VALUES (?1, ?2, ?3)";
                run(t, insert, params![id, now.nanos(), outcome])?;
            }
            Ok(())
        })
    }

    /// What a request was told that was executed before.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn request_outcome(&self, id: &str) -> Result<Option<String>> {
        let query = "SELECT outcome FROM request WHERE id = ?1";
        self.check(ask(&self.connection, query, [id], |row| row.get(0)).optional())
    }

    /// Everything that rests, by name.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn paused(&self) -> Result<Vec<Paused>> {
        self.rows("SELECT subject, since, reason FROM paused ORDER BY subject", [], |row| {
            Ok(Paused { subject: row.get(0)?, since: UtcTime::from_nanos(row.get(1)?), reason: row.get(2)? })
        })
    }

    /// True when this subject rests.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn is_paused(&self, subject: &str) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT 1 FROM paused WHERE subject = ?1)";
        self.check(ask(&self.connection, query, [subject], |row| row.get(0)))
    }

    /// True when nothing of the feed may be sent, because it or its partner rests.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn rests(&self, feed: &FeedId) -> Result<bool> {
        Ok(self.is_paused(&format!("partner {}", feed.partner))? || self.is_paused(&format!("feed {feed}"))?)
    }

    /// Open hours that are to be held, by feed and hour.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn held_back(&self) -> Result<Vec<HeldBack>> {
        let query =
            "SELECT feed, start_second, end_second, since, reason FROM ordered_hold ORDER BY feed, start_second";
        let rows = self.rows(query, [], |row| {
            let partition = Partition { start: row.get(1)?, end: row.get(2)? };
            let since = UtcTime::from_nanos(row.get(3)?);
            Ok((row.get::<_, String>(0)?, partition, since, row.get::<_, String>(4)?))
        })?;
        rows.into_iter()
            .map(|(feed, partition, since, reason)| {
                let feed = FeedId::parse(&feed).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
                Ok(HeldBack { feed, partition, since, reason })
            })
            .collect()
    }

    /// Why an hour was held that was released now; `None` when a person had ordered it.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn hold_reason(&self, id: &BatchId) -> Result<Option<String>> {
        let query = "SELECT reason FROM batch WHERE feed = ?1 AND start_second = ?2 AND revision = ?3";
        let values = params![id.feed.to_string(), id.partition.start, id.revision.0];
        Ok(self.check(ask(&self.connection, query, values, |row| row.get(0)).optional())?.flatten())
    }

    /// The hours of a feed with records that no plan has taken, in order.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn waiting_hours(&self, feed: &FeedId) -> Result<Vec<(Partition, u64)>> {
        let query = "SELECT start_second, end_second, pending FROM v_hours WHERE feed = ?1 AND pending > 0
                     ORDER BY start_second";
        self.rows(query, [feed.to_string()], |row| {
            Ok((Partition { start: row.get(0)?, end: row.get(1)? }, unsigned(row.get(2)?)))
        })
    }

    /// The numbers that the manifest of a batch states as given up.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn void_numbers(&self, id: &BatchId) -> Result<VoidNumbers> {
        let query = "SELECT f.part, f.number FROM file f JOIN batch b ON b.id = f.stated_in
                     WHERE b.feed = ?1 AND b.start_second = ?2 AND b.revision = ?3 AND f.number IS NOT NULL
                     ORDER BY f.cycle, f.number";
        let values = params![id.feed.to_string(), id.partition.start, id.revision.0];
        let mut numbers = VoidNumbers::default();
        for (part, number) in self.rows(query, values, |row| Ok((row.get::<_, i64>(0)?, unsigned(row.get(1)?))))? {
            if part == 0 { numbers.manifests.push(number) } else { numbers.parts.push(number) }
        }
        Ok(numbers)
    }
}

/// The manifest of a new batch states the numbers that were given up and that no manifest has stated.
pub(super) fn state_void_numbers(t: &Transaction<'_>, feed: &FeedId, batch: i64) -> Result<()> {
    let update = "UPDATE main.file SET stated_in = ?2 WHERE state = 'void' AND stated_in IS NULL
                  AND batch IN (SELECT id FROM batch WHERE feed = ?1)";
    run(t, update, params![feed.to_string(), batch])?;
    Ok(())
}

fn carry_out(t: &Transaction<'_>, act: &Act, reason: &str, now: UtcTime) -> Result<()> {
    let note = |kind, subject: &str| append_fact(t, Fact { at: now, kind, subject, detail: reason });
    match act {
        Act::Pause(name) => {
            run(t, "INSERT OR REPLACE INTO main.paused VALUES (?1, ?2, ?3)", params![name, now.nanos(), reason])?;
            note("paused", name)
        }
        Act::Resume(name) => {
            run(t, "DELETE FROM main.paused WHERE subject = ?1", [name])?;
            note("resumed", name)
        }
        Act::HoldBack(feed, hour) => {
            let insert = "INSERT OR REPLACE INTO main.ordered_hold VALUES (?1, ?2, ?3, ?4, ?5)";
            run(t, insert, params![feed.to_string(), hour.start, hour.end, now.nanos(), reason])?;
            note("hold-ordered", &hour_subject(feed, *hour))
        }
        Act::LetGo(feed, hour) => {
            let delete = "DELETE FROM main.ordered_hold WHERE feed = ?1 AND start_second = ?2";
            run(t, delete, params![feed.to_string(), hour.start])?;
            note("released", &hour_subject(feed, *hour))
        }
        Act::Reopen { id, was_ordered } => {
            let batch = batch_row(t, id)?;
            apply(t, batch, BatchFact::Released)?;
            if *was_ordered {
                run(t, "UPDATE main.batch SET reason = NULL WHERE id = ?1", [batch])?;
                let delete = "DELETE FROM main.ordered_hold WHERE feed = ?1 AND start_second = ?2";
                run(t, delete, params![id.feed.to_string(), id.partition.start])?;
            }
            note("released", &subject(id))
        }
        Act::Files { batch, changes } => change_files(t, batch, changes, reason, now),
        Act::VoidWaiting(hour) => void_waiting(t, hour, reason, now),
        Act::SettleAnswer(batch, id) => settle_answer(t, *batch, id, reason, now),
        Act::PickedUp(changes) => record_word(t, changes, reason, now),
    }
}

fn hour_subject(feed: &FeedId, hour: Partition) -> String {
    format!("{feed} {}-{}", hour.start, hour.end)
}

fn change_files(
    t: &Transaction<'_>,
    batch: &BatchToSend,
    changes: &[(FileToSend, DeliveryFact)],
    reason: &str,
    now: UtcTime,
) -> Result<()> {
    let before: String = row(ask(t, "SELECT state FROM batch WHERE id = ?1", [batch.row], |row| row.get(0)))?;
    for (file, fact) in changes {
        expect_state(t, file.row, &file.state)?;
        let next = file.state.clone().apply(fact).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
        change_file(t, &batch.id, file, fact, &next, reason, now)?;
        if next == FileState::Void {
            void_file(t, &batch.id.feed, batch.row, file)?;
        }
    }
    follow_files(t, batch.row, &batch.id, now)?;
    let after: String = row(ask(t, "SELECT state FROM batch WHERE id = ?1", [batch.row], |row| row.get(0)))?;
    let (was_held, is_held) = (before.starts_with("held"), after.starts_with("held"));
    let ordered = changes.len() > 1 && changes.iter().any(|(_, fact)| *fact == DeliveryFact::HoldOrdered);
    let kind = match after.as_str() {
        "void" => "voided",
        _ if is_held && !was_held => "held",
        _ if was_held && !is_held => "released",
        _ => return Ok(()),
    };
    let kept = match kind {
        "voided" => Some(reason.to_owned()),
        "held" if ordered => Some(format!("by order: {reason}")),
        _ => None,
    };
    run(t, "UPDATE main.batch SET reason = ?2 WHERE id = ?1", params![batch.row, kept])?;
    append_fact(t, Fact { at: now, kind, subject: &subject(&batch.id), detail: reason })
}

/// Its records are not sent, and its number is to be stated. A manifest that is never sent has stated nothing, and
/// the next one follows the one before it.
fn void_file(t: &Transaction<'_>, feed: &FeedId, batch: i64, file: &FileToSend) -> Result<()> {
    if file.part.0 > 0 {
        let update = "UPDATE main.batch SET voided = voided + (SELECT records FROM file WHERE id = ?2) WHERE id = ?1";
        run(t, update, params![batch, file.row])?;
        return Ok(());
    }
    run(t, "UPDATE main.file SET stated_in = NULL WHERE stated_in = ?1", [batch])?;
    let last = "SELECT f.sha256 FROM file f JOIN batch b ON b.id = f.batch
                WHERE b.feed = ?1 AND f.part = 0 AND f.state != 'void' AND f.sha256 IS NOT NULL
                ORDER BY b.id DESC LIMIT 1";
    let last: Option<String> = row(ask(t, last, [feed.to_string()], |row| row.get(0)).optional())?;
    let last = last.as_deref().and_then(Sha256Digest::parse).map(|hash| hash.to_string());
    let update = "UPDATE main.feed SET manifest_hash = ?2 WHERE feed = ?1 AND manifest_hash = ?3";
    run(t, update, params![feed.to_string(), last, file.sha256.to_string()])?;
    Ok(())
}

/// The hour is closed, and everything of it below the cut is taken, so the spool can be freed and read again.
fn void_waiting(t: &Transaction<'_>, hour: &WaitingHour, reason: &str, now: UtcTime) -> Result<()> {
    let (feed, partition) = (hour.feed.to_string(), hour.partition);
    let latest = "SELECT revision, state FROM batch WHERE feed = ?1 AND start_second = ?2
                  ORDER BY revision DESC LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?));
    let found = row(ask(t, latest, params![feed, partition.start], read).optional())?;
    let (revision, word) = found.unwrap_or((0, String::new()));
    let id = BatchId { feed: hour.feed.clone(), partition, revision: Revision(revision) };
    let (cut, state) = (signed(hour.cut.0)?, BatchState::parse(&word));
    if state.is_some() {
        let batch = batch_row(t, &id)?;
        run(t, "UPDATE main.batch SET cut_lsn = max(cut_lsn, ?2) WHERE id = ?1", params![batch, cut])?;
        if matches!(state, Some(BatchState::Open | BatchState::Held(crate::domain::batch::HeldFrom::Open))) {
            apply(t, batch, BatchFact::Voided)?;
            run(t, "UPDATE main.batch SET reason = ?2 WHERE id = ?1", params![batch, reason])?;
        }
    } else {
        let insert =
            "INSERT INTO main.batch (feed, start_second, end_second, revision, state, reason, from_lsn, cut_lsn,
                      definition, encoder_revision, sealed_at, source_incomplete, received, filtered, quarantined,
                      duplicate, records)
                      VALUES (?1, ?2, ?3, 0, 'void', ?4, 0, ?5, ?6, 0, ?7, 0, 0, 0, 0, 0, 0)";
        let values = params![feed, partition.start, partition.end, reason, cut, hour.definition, now.nanos()];
        run(t, insert, values)?;
    }
    super::intake::add_counts(
        t,
        &hour.feed,
        partition.start,
        partition.end,
        crate::domain::batch::HourCounts::default(),
    )?;
    let update = "UPDATE main.hour SET voided = voided + ?3 WHERE feed = ?1 AND start_second = ?2";
    run(t, update, params![feed, partition.start, signed(hour.records)?])?;
    let update = "UPDATE main.feed SET closed_second = max(coalesce(closed_second, ?2), ?2) WHERE feed = ?1";
    run(t, update, params![feed, partition.end])?;
    run(t, "DELETE FROM main.ordered_hold WHERE feed = ?1 AND start_second = ?2", params![feed, partition.start])?;
    let detail = format!("{} records that waited: {reason}", hour.records);
    append_fact(t, Fact { at: now, kind: "voided", subject: &subject(&id), detail: &detail })
}
