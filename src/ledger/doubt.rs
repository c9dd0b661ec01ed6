//! What rebuilding a ledger needs besides: files that come into doubt or are settled, counters that are raised.

use super::batches::{apply, parse_state, subject};
use super::delivery::{BatchToSend, store_state};
use super::{Fact, Ledger, LedgerFault, Result, append_fact, ask, row, run, signed, unsigned};
use crate::disk::SyncPoint;
use crate::domain::batch::{BatchFact, BatchState};
use crate::domain::counter::Sequence;
use crate::domain::delivery::{Attempt, FileState, HeldReason, Proof, Verified};
use crate::domain::ids::{FeedId, FileName, Lsn};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;

/// A file that should lie in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedFile {
    /// Path below the archive.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Hash in hexadecimal digits.
    pub sha256: String,
    /// It waits to be delivered.
    pub is_waiting: bool,
}

impl Ledger {
    /// Every file that should lie in the archive, by path.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn archived_files(&self) -> Result<Vec<ArchivedFile>> {
        let query = "SELECT archive_path, bytes, sha256, state NOT IN ('delivered', 'shadow') FROM file
                     WHERE archive_path IS NOT NULL ORDER BY archive_path";
        self.rows(query, [], |row| {
            let (path, bytes, sha256) = (row.get(0)?, unsigned(row.get(1)?), row.get(2)?);
            Ok(ArchivedFile { path, bytes, sha256, is_waiting: row.get(3)? })
        })
    }

    /// True when a file is known to lie at this path of the archive.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn knows_archived(&self, path: &str) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT 1 FROM file WHERE archive_path = ?1)";
        self.check(ask(&self.connection, query, [path], |row| row.get(0)))
    }

    /// Names of the files that are planned, whose place in the archive may be taken already, and of those that were
    /// given up: nothing under such a name is to be sent.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn planned_names(&self) -> Result<Vec<String>> {
        self.rows("SELECT name FROM file WHERE state IN ('planned', 'void')", [], |row| row.get(0))
    }

    /// The last number of every counter, by name.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn counters(&self) -> Result<Vec<(String, u64)>> {
        let query = "SELECT name, number FROM counter WHERE name NOT LIKE '%@%' ORDER BY name";
        self.rows(query, [], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))
    }

    /// The number of the part file (or manifest) of a feed that was delivered last.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn last_sent(&self, feed: &FeedId, manifest: bool) -> Result<Option<u64>> {
        // From the newest batch back, without the index by feed.
        let query = "SELECT f.number FROM batch b CROSS JOIN file f ON f.batch = b.id WHERE +b.feed = ?1
                     AND (f.part = 0) = ?2 AND f.state = 'delivered' AND f.number IS NOT NULL
                     ORDER BY b.id DESC, f.part DESC LIMIT 1";
        let found = ask(&self.connection, query, params![feed.to_string(), manifest], |row| row.get(0)).optional();
        Ok(self.check(found)?.map(unsigned))
    }

    /// Notes that names with numbers up to this one lie at a partner, and that a person knows.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn note_seen(&mut self, counter: &str, number: u64) -> Result<()> {
        let number = number.max(self.seen(counter)?);
        self.transact(SyncPoint::LedgerOther, |t| {
            let insert = "INSERT OR REPLACE INTO main.store (key, value) VALUES ('seen ' || ?1, ?2)";
            run(t, insert, params![counter, number.to_string()]).map(|_| ())
        })
    }

    /// The highest number of a counter that [`Ledger::note_seen`] was told; 0 without any.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn seen(&self, counter: &str) -> Result<u64> {
        let text = self.store_value(&format!("seen {counter}"))?;
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// How many rows a table of things has: `batch`, `file`, `input` or `quarantine`.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn count_of(&self, table: &'static str) -> Result<u64> {
        let query = format!("SELECT count(*) FROM {table}");
        self.check(ask(&self.connection, &query, [], |row| row.get(0))).map(unsigned)
    }

    /// Hours with records that are accepted and not in any batch, and how many.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn all_waiting_hours(&self) -> Result<Vec<(FeedId, Partition, u64)>> {
        let query = "SELECT feed, start_second, end_second, pending FROM v_hours WHERE pending > 0
                     ORDER BY feed, start_second";
        let rows = self.rows(query, [], |row| {
            let partition = Partition { start: row.get(1)?, end: row.get(2)? };
            Ok((row.get::<_, String>(0)?, partition, unsigned(row.get(3)?)))
        })?;
        rows.into_iter()
            .map(|(feed, partition, pending)| {
                let feed = FeedId::parse(&feed).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
                Ok((feed, partition, pending))
            })
            .collect()
    }

    /// Makes a counter go on behind `number`, when it does not already.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn raise_counter(&mut self, name: &str, number: u64, label: &str, reason: &str, now: UtcTime) -> Result<()> {
        let state = self.counter(name)?;
        let cycle = state.given.map_or(0, |given: Sequence| given.cycle);
        let label = if state.given.is_some() { state.label.as_str() } else { label };
        self.transact(SyncPoint::LedgerOther, |t| {
            let insert = "INSERT OR REPLACE INTO main.counter (name, cycle, number, label) VALUES (?1, ?2, ?3, ?4)";
            run(t, insert, params![name, signed(cycle)?, signed(number)?, label])?;
            let detail = format!("goes on behind {number}: {reason}");
            append_fact(t, Fact { at: now, kind: "counter raised", subject: name, detail: &detail })
        })
    }

    /// Holds every file of a batch that is not delivered as in doubt: nobody sends it again by itself.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn doubt(&mut self, batch: &BatchToSend, reason: &str, now: UtcTime) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            for file in batch.files.iter().filter(|file| !file.state.is_delivered()) {
                // It may lie at the partner already: then a release finds it there.
                let next = Attempt { number: attempt_of(&file.state).number + 1, exposed: true };
                store_state(t, file.row, &FileState::Held { reason: HeldReason::InDoubt, next })?;
            }
            if !batch.is_held {
                apply(t, batch.row, BatchFact::Held)?;
            }
            append_fact(t, Fact { at: now, kind: "in doubt", subject: &subject(&batch.id), detail: reason })
        })
    }

    /// States that every file of a batch lies at the partner, under the path that `place` gives its name.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn settle(
        &mut self,
        batch: &BatchToSend,
        place: &dyn Fn(&FileName) -> Arc<str>,
        how: Verified,
        reason: &str,
        now: UtcTime,
    ) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            for file in batch.files.iter().filter(|file| !file.state.is_delivered()) {
                let proof = Proof { name: place(&file.name), bytes: file.bytes, how, at: now };
                store_state(t, file.row, &FileState::Delivered { proof })?;
            }
            let query = "SELECT state FROM batch WHERE id = ?1";
            let mut state = parse_state(&row(ask(t, query, [batch.row], |row| row.get::<_, String>(0)))?)?;
            if matches!(state, BatchState::Held(_)) {
                state = apply(t, batch.row, BatchFact::Released)?;
            }
            if state == BatchState::Sealed {
                apply(t, batch.row, BatchFact::DeliveryBegun)?;
            }
            apply(t, batch.row, BatchFact::Delivered)?;
            run(t, "UPDATE main.batch SET delivered_at = ?2 WHERE id = ?1", params![batch.row, now.nanos()])?;
            append_fact(t, Fact { at: now, kind: "settled", subject: &subject(&batch.id), detail: reason })
        })
    }

    /// The spool up to `applied` is accounted for.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn set_applied(&mut self, applied: Lsn) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            run(t, "UPDATE main.store SET value = ?1 WHERE key = 'applied_lsn'", [applied.to_string()]).map(|_| ())
        })
    }

    /// Adds a line to the history.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn note_fact(&mut self, fact: Fact<'_>) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| append_fact(t, fact))
    }
}

const fn attempt_of(state: &FileState) -> Attempt {
    match state {
        FileState::Pending { next } | FileState::Held { next, .. } => *next,
        FileState::Uploading { attempt, .. }
        | FileState::Uploaded { attempt, .. }
        | FileState::Renaming { attempt, .. } => *attempt,
        FileState::Delivered { .. } | FileState::Void => Attempt::FIRST,
    }
}
