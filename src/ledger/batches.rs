//! What sealing asks and tells: definitions, counters, plans, sealed files, held and skipped hours.

mod decisions;
pub mod order;
pub(super) mod rows;
mod sealed;

pub use decisions::{Decisions, HeldHour};

use super::intake::{QuarantineRow, add_counts};
use super::lost::add_lost;
use super::operator::state_void_numbers;
use super::quarantine::insert_quarantine;
use super::{Fact, Ledger, LedgerFault, Result, append_fact, ask, row, run, signed, unsigned};
use crate::disk::SyncPoint;
use crate::domain::batch::{BatchFact, BatchId, BatchPlan, BatchState, HourCounts, PlannedFile, SealedFile};
use crate::domain::counter::{CounterState, Sequence};
use crate::domain::ids::{FeedId, FileName, Lsn, PartNumber, Revision, Sha256Digest};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use rows::{read_plan, read_sequence, sequence_columns};
use rusqlite::{OptionalExtension, Transaction, params};

/// A version of a feed's definition and the partition start from which it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDefinition {
    /// Partitions that start here or later use it, until the next version.
    pub from_second: i64,
    /// Hash of the text.
    pub hash: String,
    /// The definition with its formats.
    pub text: String,
}

/// How far a feed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedProgress {
    /// Every partition that ends here or earlier is closed.
    pub closed_second: Option<i64>,
    /// Where the feed begins when its definition does not say so.
    pub starts_at: Option<UtcTime>,
    /// Hash of the last manifest.
    pub manifest_hash: Option<Sha256Digest>,
}

/// A batch as far as closing needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBatch {
    /// Which.
    pub id: BatchId,
    /// Where it stands.
    pub state: BatchState,
    /// Records below this LSN belong to it or to an earlier revision.
    pub cut: Lsn,
}

impl Ledger {
    /// All versions of a feed's definition, oldest first.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn definitions(&self, feed: &FeedId) -> Result<Vec<StoredDefinition>> {
        let query = "SELECT v.from_second, v.hash, d.text FROM feed_version v JOIN definition d ON d.hash = v.hash
                     WHERE v.feed = ?1 ORDER BY v.from_second";
        self.rows(query, [feed.to_string()], |row| {
            Ok(StoredDefinition { from_second: row.get(0)?, hash: row.get(1)?, text: row.get(2)? })
        })
    }

    /// Stores a version of a feed's definition; `starts_at` is where a new feed begins that does not say so itself.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn add_definition(
        &mut self,
        feed: &FeedId,
        version: &StoredDefinition,
        starts_at: Option<UtcTime>,
        now: UtcTime,
    ) -> Result<()> {
        let subject = feed.to_string();
        self.transact(SyncPoint::LedgerOther, |t| {
            run(
                t,
                "INSERT OR IGNORE INTO main.definition VALUES (?1, ?2, ?3)",
                params![version.hash, subject, version.text],
            )?;
            let insert = "INSERT OR REPLACE INTO main.feed_version VALUES (?1, ?2, ?3)";
            run(t, insert, params![subject, version.from_second, version.hash])?;
            let insert = "INSERT OR IGNORE INTO main.feed (feed, starts_nanos) VALUES (?1, ?2)";
            run(t, insert, params![subject, starts_at.map(UtcTime::nanos)])?;
            let detail = format!("definition {} applies from second {}", version.hash, version.from_second);
            append_fact(t, Fact { at: now, kind: "defined", subject: &subject, detail: &detail })
        })
    }

    /// How far a feed has come.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn progress(&self, feed: &FeedId) -> Result<FeedProgress> {
        let query = "SELECT closed_second, manifest_hash, starts_nanos FROM feed WHERE feed = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            let hash: Option<String> = row.get(1)?;
            let manifest_hash = hash.as_deref().and_then(Sha256Digest::parse);
            let starts_at = row.get::<_, Option<i64>>(2)?.map(UtcTime::from_nanos);
            Ok(FeedProgress { closed_second: row.get(0)?, starts_at, manifest_hash })
        };
        Ok(self.check(ask(&self.connection, query, [feed.to_string()], read).optional())?.unwrap_or_default())
    }

    /// Every batch of a feed that was cut at or behind `cut`, or that waits to be planned.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn batches_cut_from(&self, feed: &FeedId, cut: Lsn) -> Result<Vec<KnownBatch>> {
        let query = "SELECT start_second, end_second, revision, state, cut_lsn FROM batch
                     WHERE feed = ?1 AND (cut_lsn >= ?2 OR state IN ('open', 'held')) ORDER BY start_second, revision";
        let read = |row: &rusqlite::Row<'_>| {
            let partition = Partition { start: row.get(0)?, end: row.get(1)? };
            let id = BatchId { feed: feed.clone(), partition, revision: Revision(row.get(2)?) };
            let state: String = row.get(3)?;
            Ok((id, state, Lsn(unsigned(row.get(4)?))))
        };
        let rows = self.rows(query, params![feed.to_string(), signed(cut.0)?], read)?;
        rows.into_iter().map(|(id, state, cut)| Ok(KnownBatch { id, state: parse_state(&state)?, cut })).collect()
    }

    /// The latest revision of an hour that was planned or skipped, and its cut.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn latest_revision(&self, feed: &FeedId, start_second: i64) -> Result<Option<(Revision, Lsn)>> {
        let query = "SELECT revision, cut_lsn FROM batch WHERE feed = ?1 AND start_second = ?2
                     AND state NOT IN ('open', 'held') ORDER BY revision DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| Ok((Revision(row.get(0)?), Lsn(unsigned(row.get(1)?))));
        let values = params![feed.to_string(), start_second];
        self.check(ask(&self.connection, query, values, read).optional())
    }

    /// Where a counter stands.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn counter(&self, name: &str) -> Result<CounterState> {
        let query = "SELECT cycle, number, label FROM counter WHERE name = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            let given = Sequence { cycle: unsigned(row.get(0)?), number: unsigned(row.get(1)?) };
            Ok((given, row.get::<_, String>(2)?))
        };
        let Some((given, label)) = self.check(ask(&self.connection, query, [name], read).optional())? else {
            return Ok(CounterState::fresh());
        };
        let query = "SELECT cycle, number, label FROM counter WHERE name > ?1 || '@' AND name < ?1 || 'A'";
        let others = self.rows(query, [name], read)?.into_iter().map(|(given, label)| (label, given)).collect();
        Ok(CounterState { given: Some(given), label, others })
    }

    /// The counts of one hour.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn hour_counts(&self, feed: &FeedId, start_second: i64) -> Result<HourCounts> {
        let query = "SELECT received, filtered, quarantined, duplicate FROM hour WHERE feed = ?1 AND start_second = ?2";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(HourCounts {
                received: unsigned(row.get(0)?),
                filtered: unsigned(row.get(1)?),
                quarantined: unsigned(row.get(2)?),
                duplicate: unsigned(row.get(3)?),
            })
        };
        let found = ask(&self.connection, query, params![feed.to_string(), start_second], read).optional();
        Ok(self.check(found)?.unwrap_or_default())
    }

    /// How many records of an hour an earlier look put into quarantine because they could not be rendered.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn held_renders(&self, id: &BatchId, from: Lsn, cut: Lsn) -> Result<u64> {
        let query = format!("SELECT count(*) FROM quarantine WHERE {HELD_RENDERS}");
        let values = params![id.feed.to_string(), id.partition.start, signed(from.0)?, signed(cut.0)?];
        self.check(ask(&self.connection, &query, values, |row| row.get(0))).map(unsigned)
    }

    /// Records what was decided, in one transaction.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was recorded then.
    pub fn decide(&mut self, decisions: &Decisions) -> Result<()> {
        self.transact(SyncPoint::LedgerPlan, |t| {
            for (plan, quarantine) in &decisions.plans {
                insert_plan(t, plan)?;
                set_render_quarantine(t, &plan.id, (plan.from, plan.cut), quarantine)?;
            }
            for (plan, quarantine) in &decisions.skipped {
                insert_batch(t, plan, BatchState::Skipped)?;
                set_render_quarantine(t, &plan.id, (plan.from, plan.cut), quarantine)?;
                append_plan_fact(t, plan, "skipped", "nothing is sent for it")?;
            }
            for (id, cut, quarantine) in &decisions.absorbed {
                absorb(t, id, *cut, quarantine)?;
            }
            for (plan, reason) in &decisions.given_up {
                give_up(t, plan, reason)?;
            }
            for held in &decisions.held {
                hold_open_hour(t, held)?;
            }
            decisions.lost.iter().try_for_each(|(id, records)| add_lost(t, id, *records))?;
            for (name, state) in &decisions.counters {
                let Some(given) = state.given else { continue };
                set_counter(t, name, given, &state.label)?;
                for (label, given) in &state.others {
                    set_counter(t, &format!("{name}@{label}"), *given, label)?;
                }
            }
            for (feed, second) in &decisions.closed {
                let update =
                    "UPDATE main.feed SET closed_second = max(coalesce(closed_second, ?2), ?2) WHERE feed = ?1";
                run(t, update, params![feed.to_string(), second])?;
            }
            Ok(())
        })
    }

    /// Plans whose files may not all be in the archive, in the order in which they were made.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn unfinished_plans(&self) -> Result<Vec<BatchPlan>> {
        let query = "SELECT id, feed, start_second, end_second, revision, from_lsn, cut_lsn, definition,
                     encoder_revision, sealed_at, source_incomplete, received, filtered, quarantined, duplicate
                     FROM batch WHERE state = 'planned' ORDER BY id";
        let rows =
            self.rows(query, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, read_plan(row)?)))?;
        rows.into_iter()
            .map(|(id, feed, read)| {
                let feed = FeedId::parse(&feed).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
                let mut plan = read(feed);
                let (manifest, parts) =
                    self.planned_files(id)?.into_iter().partition(|file: &PlannedFile| file.part == PartNumber(0));
                plan.parts = parts;
                plan.manifest = manifest.into_iter().next();
                Ok(plan)
            })
            .collect()
    }

    fn planned_files(&self, batch: i64) -> Result<Vec<PlannedFile>> {
        let query = "SELECT part, name, cycle, number, records FROM file WHERE batch = ?1 ORDER BY part";
        let rows = self.rows(query, [batch], |row| {
            let sequence = read_sequence(row.get(2)?, row.get(3)?);
            Ok((PartNumber(row.get(0)?), row.get::<_, String>(1)?, sequence, unsigned(row.get(4)?)))
        })?;
        rows.into_iter()
            .map(|(part, name, sequence, records)| {
                let name = FileName::parse(&name).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
                Ok(PlannedFile { part, name, sequence, records })
            })
            .collect()
    }

    /// Records that the files of batches lie in the archive. Files of a `shadow` feed are never delivered.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was recorded then.
    pub fn seal(
        &mut self,
        sealed: &[(BatchId, Vec<SealedFile>)],
        shadow: &dyn Fn(&FeedId) -> bool,
        now: UtcTime,
    ) -> Result<()> {
        self.transact(SyncPoint::LedgerSealed, |t| {
            for (id, files) in sealed {
                let batch = batch_row(t, id)?;
                let mut state = apply(t, batch, BatchFact::Sealed)?;
                let file_state = if shadow(&id.feed) { "shadow" } else { "pending" };
                files.iter().try_for_each(|file| seal_file(t, batch, file, file_state))?;
                if shadow(&id.feed) || files.is_empty() {
                    state = apply(t, batch, BatchFact::Retired)?;
                }
                if let Some(manifest) = files.iter().find(|file| file.part == PartNumber(0)) {
                    let update = "UPDATE main.feed SET manifest_hash = ?2 WHERE feed = ?1";
                    run(t, update, params![id.feed.to_string(), manifest.sha256.to_string()])?;
                }
                let detail = format!("{} files, {state}", files.len());
                append_fact(t, Fact { at: now, kind: "sealed", subject: &subject(id), detail: &detail })?;
            }
            Ok(())
        })
    }
}

fn set_counter(t: &Transaction<'_>, name: &str, given: Sequence, label: &str) -> Result<()> {
    let values = params![name, signed(given.cycle)?, signed(given.number)?, label];
    run(t, "INSERT OR REPLACE INTO main.counter VALUES (?1, ?2, ?3, ?4)", values)?;
    Ok(())
}

/// How facts name a batch.
pub(super) fn subject(id: &BatchId) -> String {
    format!("{} {}-{} r{}", id.feed, id.partition.start, id.partition.end, id.revision)
}

fn append_plan_fact(t: &Transaction<'_>, plan: &BatchPlan, kind: &str, detail: &str) -> Result<()> {
    append_fact(t, Fact { at: plan.sealed_at, kind, subject: &subject(&plan.id), detail })
}

pub(super) fn parse_state(word: &str) -> Result<BatchState> {
    BatchState::parse(word).ok_or_else(|| LedgerFault::Row(format!("batch state `{word}`")))
}

pub(super) fn batch_row(t: &Transaction<'_>, id: &BatchId) -> Result<i64> {
    let query = "SELECT id FROM batch WHERE feed = ?1 AND start_second = ?2 AND revision = ?3";
    let values = params![id.feed.to_string(), id.partition.start, id.revision.0];
    row(ask(t, query, values, |row| row.get(0)))
}

/// Moves a batch to the state after `fact`.
pub(super) fn apply(t: &Transaction<'_>, batch: i64, fact: BatchFact) -> Result<BatchState> {
    let word: String = row(ask(t, "SELECT state FROM batch WHERE id = ?1", [batch], |row| row.get(0)))?;
    let next = parse_state(&word)?.apply(fact).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
    run(t, "UPDATE main.batch SET state = ?2 WHERE id = ?1", params![batch, next.word()])?;
    Ok(next)
}

fn insert_plan(t: &Transaction<'_>, plan: &BatchPlan) -> Result<()> {
    let batch = insert_batch(t, plan, BatchState::Planned)?;
    for file in plan.parts.iter().chain(&plan.manifest) {
        let insert = "INSERT INTO main.file (batch, part, name, cycle, number, records, state)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'planned')";
        let (cycle, number) = sequence_columns(file.sequence)?;
        let values = params![batch, file.part.0, file.name.as_str(), cycle, number, signed(file.records)?];
        run(t, insert, values)?;
    }
    if plan.manifest.is_some() {
        state_void_numbers(t, &plan.id.feed, batch)?;
    }
    let names: Vec<&str> = plan.parts.iter().chain(&plan.manifest).map(|file| file.name.as_str()).collect();
    let detail = format!("lsn {} to {}, {}", plan.from, plan.cut, names.join(" "));
    append_plan_fact(t, plan, "planned", &detail)
}

/// Inserts a batch, or gives a released one its plan. Its row then comes behind all others: rows are in the order in
/// which batches were planned and numbered, and so they are delivered.
fn insert_batch(t: &Transaction<'_>, plan: &BatchPlan, state: BatchState) -> Result<i64> {
    let insert =
        "INSERT INTO main.batch (feed, start_second, end_second, revision, state, from_lsn, cut_lsn, definition,
                  encoder_revision, sealed_at, source_incomplete, received, filtered, quarantined, duplicate, records)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
                  ON CONFLICT (feed, start_second, revision) DO UPDATE SET
                  id = (SELECT id + 1 FROM batch ORDER BY id DESC LIMIT 1),
                  state = excluded.state, reason = NULL, from_lsn = excluded.from_lsn,
                  cut_lsn = excluded.cut_lsn, definition = excluded.definition,
                  encoder_revision = excluded.encoder_revision, sealed_at = excluded.sealed_at,
                  source_incomplete = excluded.source_incomplete, received = excluded.received,
                  filtered = excluded.filtered, quarantined = excluded.quarantined, duplicate = excluded.duplicate,
                  records = excluded.records WHERE state = 'open'";
    let (id, counts) = (&plan.id, &plan.counts);
    let records: u64 = plan.parts.iter().map(|part| part.records).sum();
    let values = params![
        id.feed.to_string(),
        id.partition.start,
        id.partition.end,
        id.revision.0,
        state.word(),
        signed(plan.from.0)?,
        signed(plan.cut.0)?,
        plan.definition,
        plan.encoder_revision,
        plan.sealed_at.nanos(),
        plan.source_incomplete,
        signed(counts.received)?,
        signed(counts.filtered)?,
        signed(counts.quarantined)?,
        signed(counts.duplicate)?,
        signed(records)?,
    ];
    if run(t, insert, values)? == 0 {
        return Err(LedgerFault::Row(format!("{} was planned before", subject(id))));
    }
    // An hour without records has no counts yet; it exists all the same.
    add_counts(t, &id.feed, id.partition.start, id.partition.end, HourCounts::default())?;
    batch_row(t, id)
}

/// A plan that will never be carried out has taken no records. Its numbers are void, and a manifest that is never sent
/// has stated nothing.
fn give_up(t: &Transaction<'_>, plan: &BatchPlan, reason: &str) -> Result<()> {
    let batch = batch_row(t, &plan.id)?;
    apply(t, batch, BatchFact::Voided)?;
    let update = "UPDATE main.batch SET reason = ?2, records = 0, cut_lsn = from_lsn WHERE id = ?1";
    run(t, update, params![batch, reason])?;
    run(t, "UPDATE main.file SET stated_in = NULL WHERE stated_in = ?1", [batch])?;
    run(t, "UPDATE main.file SET state = 'void', records = 0 WHERE batch = ?1", [batch])?;
    append_plan_fact(t, plan, "voided", reason)
}

const HELD_RENDERS: &str = "feed = ?1 AND start_second = ?2 AND stage = 'render' AND state = 'held'
                            AND lsn >= ?3 AND lsn < ?4";

/// Notes the records of an hour that could not be rendered: the entries, and how many of the hour they are. What an
/// earlier look at the same records had put into quarantine is let go first.
fn set_render_quarantine(
    t: &Transaction<'_>,
    id: &BatchId,
    (from, cut): (Lsn, Lsn),
    quarantine: &[QuarantineRow],
) -> Result<()> {
    let feed = id.feed.to_string();
    let update = format!("UPDATE main.quarantine SET state = 'rendered' WHERE {HELD_RENDERS}");
    let let_go = run(t, &update, params![feed, id.partition.start, signed(from.0)?, signed(cut.0)?])?;
    quarantine.iter().try_for_each(|held| insert_quarantine(t, held))?;
    let update = "UPDATE main.hour SET quarantined = quarantined - ?3 + ?4 WHERE feed = ?1 AND start_second = ?2";
    let (old, new) = (signed(let_go as u64)?, signed(quarantine.len() as u64)?);
    run(t, update, params![feed, id.partition.start, old, new])?;
    Ok(())
}

/// Late records that gave no file need no revision: the one there is takes note of them.
fn absorb(t: &Transaction<'_>, id: &BatchId, cut: Lsn, quarantine: &[QuarantineRow]) -> Result<()> {
    let batch = batch_row(t, id)?;
    let before: i64 = row(ask(t, "SELECT cut_lsn FROM batch WHERE id = ?1", [batch], |row| row.get(0)))?;
    run(t, "UPDATE main.batch SET cut_lsn = ?2 WHERE id = ?1", params![batch, signed(cut.0)?])?;
    set_render_quarantine(t, id, (Lsn(unsigned(before)), cut), quarantine)
}

fn hold_open_hour(t: &Transaction<'_>, held: &HeldHour) -> Result<()> {
    let plan = BatchPlan {
        id: held.id.clone(),
        from: held.from,
        cut: held.cut,
        definition: held.definition.clone(),
        encoder_revision: 0,
        sealed_at: held.at,
        parts: Vec::new(),
        manifest: None,
        counts: HourCounts::default(),
        source_incomplete: false,
    };
    let batch = insert_batch(t, &plan, BatchState::Open)?;
    apply(t, batch, BatchFact::Held)?;
    run(t, "UPDATE main.batch SET reason = ?2 WHERE id = ?1", params![batch, held.reason])?;
    set_render_quarantine(t, &held.id, (held.from, held.cut), &held.quarantine)?;
    append_plan_fact(t, &plan, "held", &held.reason)
}

fn seal_file(t: &Transaction<'_>, batch: i64, file: &SealedFile, state: &str) -> Result<()> {
    let update = "UPDATE main.file SET bytes = ?3, sha256 = ?4, first_event = ?5, last_event = ?6, totals = ?7,
                  archive_path = ?8, state = ?9 WHERE batch = ?1 AND part = ?2";
    let totals: serde_json::Map<_, _> =
        file.totals.iter().map(|(name, sum)| (name.clone(), serde_json::Value::from(sum.as_str()))).collect();
    let (first, last) = (file.first_event.map(UtcTime::nanos), file.last_event.map(UtcTime::nanos));
    let (bytes, sha256) = (signed(file.bytes)?, file.sha256.to_string());
    let totals = serde_json::Value::Object(totals).to_string();
    let values = params![batch, file.part.0, bytes, sha256, first, last, totals, file.archive_path, state];
    run(t, update, values)?;
    Ok(())
}
