//! What delivery asks and tells: which files wait for a partner, and every intent and outcome on their way.

use super::batches::{apply, parse_state, subject};
use super::{Fact, Ledger, LedgerFault, Result, append_fact, row, run, signed, unsigned};
use crate::disk::SyncPoint;
use crate::domain::batch::{BatchFact, BatchId, BatchState};
use crate::domain::delivery::{Attempt, DeliveryFact, FileState, HeldReason, Proof, Verified};
use crate::domain::ids::{FeedId, FileName, PartNumber, Revision, Sha256Digest};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use rusqlite::{Transaction, params};
use std::sync::Arc;

/// A batch on its way.
#[derive(Debug, Clone)]
pub struct BatchToSend {
    /// Which.
    pub id: BatchId,
    /// Its row.
    pub row: i64,
    /// It waits for a person.
    pub is_held: bool,
    /// Part files in order, the manifest last.
    pub files: Vec<FileToSend>,
}

/// A file of a batch on its way.
#[derive(Debug, Clone)]
pub struct FileToSend {
    /// Its row.
    pub row: i64,
    /// Place among the part files; 0 for the manifest.
    pub part: PartNumber,
    /// Final name.
    pub name: FileName,
    /// Path below the archive directory.
    pub archive_path: String,
    /// Size.
    pub bytes: u64,
    /// Hash.
    pub sha256: Sha256Digest,
    /// How far it is.
    pub state: FileState,
}

impl Ledger {
    /// The next batches of a feed that are not delivered, in sealing order, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn batches_to_send(&self, feed: &FeedId, limit: u32) -> Result<Vec<BatchToSend>> {
        let query = "SELECT id, start_second, end_second, revision, state FROM batch
                     WHERE feed = ?1 AND state IN ('sealed', 'delivering', 'held sealed', 'held delivering')
                     ORDER BY id LIMIT ?2";
        let batches = self.rows(query, params![feed.to_string(), limit], |row| {
            let partition = Partition { start: row.get(1)?, end: row.get(2)? };
            let id = BatchId { feed: feed.clone(), partition, revision: Revision(row.get(3)?) };
            Ok((row.get::<_, i64>(0)?, id, row.get::<_, String>(4)?))
        })?;
        batches
            .into_iter()
            .map(|(row, id, state)| {
                let is_held = matches!(parse_state(&state)?, BatchState::Held(_));
                Ok(BatchToSend { id, row, is_held, files: self.files_to_send(row)? })
            })
            .collect()
    }

    /// Lets the held files of a batch go on: they are sent again under the same names, with the same bytes.
    ///
    /// # Errors
    /// [`LedgerFault`] when the batch is not held.
    pub fn release_batch(&mut self, batch: &BatchToSend, reason: &str, now: UtcTime) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            for file in batch.files.iter().filter(|file| matches!(file.state, FileState::Held { .. })) {
                let next = file.state.clone().apply(&DeliveryFact::Released);
                store_state(t, file.row, &next.map_err(|fault| LedgerFault::Row(fault.to_string()))?)?;
            }
            apply(t, batch.row, BatchFact::Released)?;
            append_fact(t, Fact { at: now, kind: "released", subject: &subject(&batch.id), detail: reason })
        })
    }

    /// Archived files of batches that were delivered before `limit`: row and path below the archive.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn archived_before(&self, limit: UtcTime) -> Result<Vec<(i64, String)>> {
        let query = "SELECT f.id, f.archive_path FROM file f JOIN batch b ON b.id = f.batch
                     WHERE b.delivered_at < ?1 AND f.archive_path IS NOT NULL LIMIT 10000";
        self.rows(query, [limit.nanos()], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Records that a file's time in the archive is over and that it was removed.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn record_expired(&mut self, file: i64, path: &str, now: UtcTime) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            run(t, "UPDATE main.file SET archive_path = NULL WHERE id = ?1", [file])?;
            append_fact(t, Fact { at: now, kind: "expired", subject: path, detail: "removed from the archive" })
        })
    }

    fn files_to_send(&self, batch: i64) -> Result<Vec<FileToSend>> {
        // Part 0 is the manifest: it comes last.
        let query = "SELECT id, part, name, archive_path, bytes, sha256, state, attempt, exposed, temporary, reason,
                     proof_name, verified, delivered_at FROM file WHERE batch = ?1 ORDER BY part = 0, part";
        let rows = self.rows(query, [batch], |row| {
            let state = StoredState {
                word: row.get(6)?,
                attempt: Attempt { number: row.get(7)?, exposed: row.get(8)? },
                temporary: row.get(9)?,
                reason: row.get(10)?,
                proof_name: row.get(11)?,
                verified: row.get(12)?,
                delivered_at: row.get(13)?,
                bytes: unsigned(row.get(4)?),
            };
            let texts: (String, String) = (row.get(2)?, row.get(5)?);
            Ok((row.get::<_, i64>(0)?, PartNumber(row.get(1)?), texts, row.get::<_, String>(3)?, state))
        })?;
        rows.into_iter()
            .map(|(row, part, (name, sha256), archive_path, state)| {
                Ok(FileToSend {
                    row,
                    part,
                    name: FileName::parse(&name).map_err(|fault| LedgerFault::Row(fault.to_string()))?,
                    archive_path,
                    bytes: state.bytes,
                    sha256: Sha256Digest::parse(&sha256).ok_or_else(|| LedgerFault::Row("sha256".to_owned()))?,
                    state: state.read()?,
                })
            })
            .collect()
    }

    /// Records something that happened, or is about to be done, to a file in `state`, and the state that follows.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was recorded then, and the act must not be done.
    pub fn record_delivery(
        &mut self,
        batch: &BatchToSend,
        file: &FileToSend,
        state: FileState,
        fact: &DeliveryFact,
        now: UtcTime,
    ) -> Result<FileState> {
        let next = state.apply(fact).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
        let point = if fact.is_intent() { SyncPoint::LedgerIntent } else { SyncPoint::LedgerOutcome };
        self.transact(point, |t| {
            store_state(t, file.row, &next)?;
            let detail = describe(fact);
            let name = format!("{} {}", batch.id.feed, file.name);
            append_fact(t, Fact { at: now, kind: fact.name(), subject: &name, detail: &detail })?;
            advance_batch(t, batch, &next, now)
        })?;
        Ok(next)
    }
}

/// The batch follows its files: begun with the first, held with one, delivered with the last.
fn advance_batch(t: &Transaction<'_>, batch: &BatchToSend, next: &FileState, now: UtcTime) -> Result<()> {
    let word: String = row(t.query_row("SELECT state FROM batch WHERE id = ?1", [batch.row], |row| row.get(0)))?;
    let mut state = parse_state(&word)?;
    if state == BatchState::Sealed {
        state = apply(t, batch.row, BatchFact::DeliveryBegun)?;
    }
    if matches!(next, FileState::Held { .. }) && state == BatchState::Delivering {
        apply(t, batch.row, BatchFact::Held)?;
    }
    let open = "SELECT count(*) FROM file WHERE batch = ?1 AND state != 'delivered'";
    let left: i64 = row(t.query_row(open, [batch.row], |row| row.get(0)))?;
    if left == 0 && state == BatchState::Delivering {
        apply(t, batch.row, BatchFact::Delivered)?;
        run(t, "UPDATE main.batch SET delivered_at = ?2 WHERE id = ?1", params![batch.row, now.nanos()])?;
        append_fact(t, Fact { at: now, kind: "delivered", subject: &subject(&batch.id), detail: "every file" })?;
    }
    Ok(())
}

fn describe(fact: &DeliveryFact) -> String {
    match fact {
        DeliveryFact::UploadIntended { attempt, temporary } => format!("attempt {attempt} as {temporary}"),
        DeliveryFact::UploadVerified { bytes } => format!("{bytes} bytes"),
        DeliveryFact::RenameConfirmed(proof) | DeliveryFact::SettledAsDelivered(proof) => {
            format!("{} bytes as {}, known by {}", proof.bytes, proof.name, proof.how.as_str())
        }
        DeliveryFact::Conflict { found_bytes: Some(bytes) } => format!("another file of {bytes} bytes has its name"),
        DeliveryFact::Conflict { found_bytes: None } => "another file has its name".to_owned(),
        DeliveryFact::ArchiveDamaged => "the archived file is not as it was archived".to_owned(),
        DeliveryFact::InDoubt => "neither the temporary nor the final name is there".to_owned(),
        DeliveryFact::UploadAbandoned
        | DeliveryFact::RenameIntended
        | DeliveryFact::HoldOrdered
        | DeliveryFact::Released => String::new(),
    }
}

/// The columns that hold a file's state.
struct StoredState {
    word: String,
    attempt: Attempt,
    temporary: Option<String>,
    reason: Option<String>,
    proof_name: Option<String>,
    verified: Option<String>,
    delivered_at: Option<i64>,
    bytes: u64,
}

const REASONS: [(&str, HeldReason); 4] = [
    ("conflict", HeldReason::Conflict),
    ("in doubt", HeldReason::InDoubt),
    ("ordered", HeldReason::Ordered),
    ("damaged", HeldReason::Damaged),
];

impl StoredState {
    fn read(&self) -> Result<FileState> {
        let unreadable = || LedgerFault::Row(format!("file state `{}`", self.word));
        let temporary = || self.temporary.as_deref().map(Arc::from).ok_or_else(unreadable);
        let attempt = self.attempt;
        Ok(match self.word.as_str() {
            "pending" => FileState::Pending { next: attempt },
            "uploading" => FileState::Uploading { attempt, temporary: temporary()? },
            "uploaded" => FileState::Uploaded { attempt, temporary: temporary()? },
            "renaming" => FileState::Renaming { attempt, temporary: temporary()? },
            "delivered" => FileState::Delivered { proof: self.proof().ok_or_else(unreadable)? },
            "held" => {
                let reason = REASONS.iter().find(|(word, _)| Some(*word) == self.reason.as_deref());
                FileState::Held { reason: reason.ok_or_else(unreadable)?.1, next: attempt }
            }
            _ => return Err(unreadable()),
        })
    }

    fn proof(&self) -> Option<Proof> {
        Some(Proof {
            name: Arc::from(self.proof_name.as_deref()?),
            bytes: self.bytes,
            how: Verified::parse(self.verified.as_deref()?)?,
            at: UtcTime::from_nanos(self.delivered_at?),
        })
    }
}

pub(super) fn store_state(t: &Transaction<'_>, file: i64, state: &FileState) -> Result<()> {
    let update = "UPDATE main.file SET state = ?2, attempt = coalesce(?3, attempt), exposed = coalesce(?4, exposed),
                  temporary = ?5, reason = ?6, proof_name = ?7, verified = ?8, delivered_at = ?9 WHERE id = ?1";
    let (attempt, temporary, reason, proof) = match state {
        FileState::Pending { next } => (Some(next), None, None, None),
        FileState::Uploading { attempt, temporary }
        | FileState::Uploaded { attempt, temporary }
        | FileState::Renaming { attempt, temporary } => (Some(attempt), Some(temporary), None, None),
        FileState::Delivered { proof } => (None, None, None, Some(proof)),
        FileState::Held { reason, next } => {
            (Some(next), None, REASONS.iter().find(|(_, known)| known == reason).map(|(word, _)| *word), None)
        }
    };
    let (name, how) = (proof.map(|p| p.name.as_ref()), proof.map(|p| p.how.as_str()));
    if let Some(proof) = proof {
        signed(proof.bytes)?;
    }
    let number = attempt.map(|attempt| attempt.number);
    let exposed = attempt.map(|attempt| attempt.exposed);
    let at = proof.map(|p| p.at.nanos());
    run(t, update, params![file, state.name(), number, exposed, temporary.map(AsRef::as_ref), reason, name, how, at])?;
    Ok(())
}
