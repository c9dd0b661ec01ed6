//! What delivery asks and tells: which files wait for a partner, and every intent and outcome on their way.
//!
//! Persons change files while they are on their way, too ([`super::operator`]). So whoever records a fact says which
//! state it follows, and is told when that is not the state any more.

use super::batches::{apply, parse_state, subject};
use super::{Fact, Ledger, LedgerFault, Result, append_fact, ask, row, run, signed, unsigned};
use crate::disk::SyncPoint;
use crate::domain::batch::{BatchFact, BatchId, BatchState};
use crate::domain::delivery::{ABSENCE, Attempt, ContentCheck, DeliveryFact, FileState, HeldReason, Proof, Verified};
use crate::domain::ids::{FeedId, FileName, PartNumber, Revision, Sha256Digest};
use crate::domain::period::Partition;
use crate::domain::place;
use crate::domain::time::UtcTime;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
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
    /// Path of the temporary name of the last attempt, until it is known that nothing of it lies there and that it was
    /// not renamed.
    pub temporary: Option<String>,
}

impl FileToSend {
    /// Whether the partner may see it at any moment, or sees it already: its rename was announced, or it is being written
    /// under its final name.
    #[must_use]
    pub fn may_be_shown(&self) -> bool {
        match &self.state {
            FileState::Renaming { .. } => true,
            FileState::Uploading { temporary, .. } => is_final(temporary, self.name.as_str()),
            FileState::Pending { .. }
            | FileState::Uploaded { .. }
            | FileState::Delivered { .. }
            | FileState::Held { .. }
            | FileState::Void => false,
        }
    }
}

/// Whether the path of an upload is that of the final name.
pub(super) fn is_final(path: &str, name: &str) -> bool {
    place::split(path).1.rsplit('/').next() == Some(name)
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
                    temporary: state.temporary,
                })
            })
            .collect()
    }

    /// Records something that happened, or is about to be done, to a file in `state`.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was recorded then, and the act must not be done. [`LedgerFault::Overtaken`] when the file
    /// is in another state by now.
    pub fn record_delivery(
        &mut self,
        batch: &BatchToSend,
        file: &FileToSend,
        state: &FileState,
        fact: &DeliveryFact,
        now: UtcTime,
    ) -> Result<()> {
        self.record_deliveries(&[Told { batch, file, state: state.clone(), fact: fact.clone() }], now)
    }

    /// The same of several files, or of one several times, in one transaction: all of it or nothing.
    ///
    /// # Errors
    /// As [`Ledger::record_delivery`].
    pub fn record_deliveries(&mut self, told: &[Told<'_>], now: UtcTime) -> Result<()> {
        let is_intent = told.iter().any(|told| told.fact.is_intent());
        let point = if is_intent { SyncPoint::LedgerIntent } else { SyncPoint::LedgerOutcome };
        self.transact(point, |t| {
            let mut batches: Vec<(&BatchToSend, bool, bool)> = Vec::new();
            for Told { batch, file, state, fact } in told {
                expect_state(t, file.row, state)?;
                let next = state.clone().apply(fact).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
                change_file(t, &batch.id, file, fact, &next, &describe(fact), now)?;
                let is_held = [state, &next].into_iter().any(|state| matches!(state, FileState::Held { .. }));
                let is_ended = matches!(next, FileState::Delivered { .. } | FileState::Void);
                match batches.iter_mut().find(|(known, ..)| known.row == batch.row) {
                    Some((_, held, ended)) => (*held, *ended) = (*held | is_held, *ended | is_ended),
                    None => batches.push((batch, is_held, is_ended)),
                }
            }
            for (batch, is_held, is_ended) in batches {
                begin_batch(t, batch.row)?;
                // Every file of the batch is counted only where that can make a difference.
                if is_held || is_ended && !has_open_file(t, batch.row)? {
                    follow_files(t, batch.row, &batch.id, now)?;
                }
            }
            Ok(())
        })
    }

    /// Whether a file is still in this state.
    ///
    /// # Errors
    /// [`LedgerFault::Overtaken`] when it is not.
    pub fn require_state(&self, file: i64, state: &FileState) -> Result<()> {
        expect_state(&self.connection, file, state)
    }
}

/// Something that happened, or is about to be done, to one file.
#[derive(Debug, Clone)]
pub struct Told<'f> {
    /// Its batch.
    pub batch: &'f BatchToSend,
    /// The file as it was read.
    pub file: &'f FileToSend,
    /// Its state before.
    pub state: FileState,
    /// What.
    pub fact: DeliveryFact,
}

/// Refuses when the file is not in this state any more.
pub(super) fn expect_state(connection: &Connection, file: i64, state: &FileState) -> Result<()> {
    let query = "SELECT name, state, attempt FROM file WHERE id = ?1";
    let (name, word, number): (String, String, u32) =
        row(ask(connection, query, [file], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))))?;
    let same_attempt = match state {
        FileState::Pending { next: attempt }
        | FileState::Held { next: attempt, .. }
        | FileState::Uploading { attempt, .. }
        | FileState::Uploaded { attempt, .. }
        | FileState::Renaming { attempt, .. } => attempt.number == number,
        FileState::Delivered { .. } | FileState::Void => true,
    };
    if word == state.name() && same_attempt { Ok(()) } else { Err(LedgerFault::Overtaken { name }) }
}

/// Stores the state that follows a fact, and the fact.
pub(super) fn change_file(
    t: &Transaction<'_>,
    batch: &BatchId,
    file: &FileToSend,
    fact: &DeliveryFact,
    next: &FileState,
    detail: &str,
    now: UtcTime,
) -> Result<()> {
    let doubted = matches!(file.state, FileState::Held { reason: HeldReason::InDoubt, .. });
    store_state(t, file.row, next)?;
    if *fact == DeliveryFact::Resent || doubted && *fact == DeliveryFact::Released {
        run(t, "UPDATE main.file SET resent = resent + 1 WHERE id = ?1", [file.row])?;
    }
    let name = format!("{} {}", batch.feed, file.name);
    append_fact(t, Fact { at: now, kind: fact.name(), subject: &name, detail })
}

/// The first file of a batch is on its way.
fn begin_batch(t: &Transaction<'_>, batch: i64) -> Result<()> {
    if batch_state(t, batch)? == BatchState::Sealed {
        apply(t, batch, BatchFact::DeliveryBegun)?;
    }
    Ok(())
}

fn batch_state(t: &Transaction<'_>, batch: i64) -> Result<BatchState> {
    let word: String = row(ask(t, "SELECT state FROM batch WHERE id = ?1", [batch], |row| row.get(0)))?;
    parse_state(&word)
}

/// Whether a file of the batch is still on its way. The last ones are looked at first: they are the last to arrive.
fn has_open_file(t: &Transaction<'_>, batch: i64) -> Result<bool> {
    let query = "SELECT 1 FROM file WHERE batch = ?1 AND state NOT IN ('delivered', 'void') ORDER BY part DESC LIMIT 1";
    row(ask(t, query, [batch], |_| Ok(())).optional()).map(|found| found.is_some())
}

/// The batch follows its files: held with one, released with the last of these, delivered or void with all.
pub(super) fn follow_files(t: &Transaction<'_>, batch: i64, id: &BatchId, now: UtcTime) -> Result<()> {
    let query = "SELECT count(*) FILTER (WHERE state = 'held'),
                 count(*) FILTER (WHERE state NOT IN ('delivered', 'void')),
                 count(*) FILTER (WHERE state = 'delivered'),
                 count(*) FILTER (WHERE state = 'void' AND part = 0) FROM file WHERE batch = ?1";
    let counts = row(ask(t, query, [batch], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))))?;
    let (held, open, delivered, void_manifests): (i64, i64, i64, i64) = counts;
    let mut state = batch_state(t, batch)?;
    if held > 0 {
        if matches!(state, BatchState::Sealed | BatchState::Delivering) {
            apply(t, batch, BatchFact::Held)?;
        }
        return Ok(());
    }
    if matches!(state, BatchState::Held(_)) {
        state = apply(t, batch, BatchFact::Released)?;
    }
    if open > 0 || !matches!(state, BatchState::Sealed | BatchState::Delivering) {
        return Ok(());
    }
    if delivered == 0 || void_manifests > 0 {
        apply(t, batch, BatchFact::Voided)?;
        return Ok(());
    }
    begin_batch(t, batch)?;
    apply(t, batch, BatchFact::Delivered)?;
    run(t, "UPDATE main.batch SET delivered_at = ?2 WHERE id = ?1", params![batch, now.nanos()])?;
    append_fact(t, Fact { at: now, kind: "delivered", subject: &subject(id), detail: "every file" })
}

fn describe(fact: &DeliveryFact) -> String {
    match fact {
        DeliveryFact::UploadIntended { attempt, temporary, in_place } => {
            let place = if *in_place { ", its final name" } else { "" };
            format!("attempt {attempt} as {temporary}{place}")
        }
        DeliveryFact::UploadVerified { bytes, by } => match by {
            ContentCheck::Size => format!("{bytes} bytes"),
            ContentCheck::Hash => format!("{bytes} bytes, and the server states their SHA-256"),
            ContentCheck::ReadBack => format!("{bytes} bytes, read back and compared by SHA-256"),
        },
        DeliveryFact::RenameConfirmed(proof) | DeliveryFact::SettledAsDelivered(proof) => {
            format!("{} bytes as {}, known by {}", proof.bytes, proof.name, proof.how.as_str())
        }
        DeliveryFact::Conflict { found_bytes: Some(bytes) } => format!("another file of {bytes} bytes has its name"),
        DeliveryFact::Conflict { found_bytes: None } => "another file has its name".to_owned(),
        DeliveryFact::ArchiveDamaged => "the archived file is not as it was archived".to_owned(),
        DeliveryFact::InDoubt => "neither the temporary nor the final name is there".to_owned(),
        DeliveryFact::Resent => {
            "neither the temporary nor the final name is there: by the partner's rule it is sent again".to_owned()
        }
        DeliveryFact::Spoilt => {
            "the temporary file was there, not renamed and not to be used: it is sent again".to_owned()
        }
        DeliveryFact::UploadAbandoned
        | DeliveryFact::NotBegun
        | DeliveryFact::RenameIntended
        | DeliveryFact::HoldOrdered
        | DeliveryFact::Released
        | DeliveryFact::Voided => String::new(),
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
            "void" => FileState::Void,
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
    // What a person holds, ends or settles may have left its temporary file at the partner, and what may have been
    // renamed may be seen there: its path is kept.
    let update = "UPDATE main.file SET state = ?2, attempt = coalesce(?3, attempt), exposed = coalesce(?4, exposed),
                  temporary = CASE WHEN ?10 OR state = 'held' AND ?5 IS NULL THEN temporary ELSE ?5 END, reason = ?6, proof_name = ?7, verified = ?8,
                  delivered_at = ?9 WHERE id = ?1";
    let (attempt, temporary, reason, proof) = match state {
        FileState::Pending { next } => (Some(next), None, None, None),
        FileState::Uploading { attempt, temporary }
        | FileState::Uploaded { attempt, temporary }
        | FileState::Renaming { attempt, temporary } => (Some(attempt), Some(temporary), None, None),
        FileState::Delivered { proof } => (None, None, None, Some(proof)),
        FileState::Held { reason, next } => {
            (Some(next), None, REASONS.iter().find(|(_, known)| known == reason).map(|(word, _)| *word), None)
        }
        FileState::Void => (None, None, None, None),
    };
    let by_person = proof.is_some_and(|proof| proof.how == Verified::Person);
    let exposed = matches!(state, FileState::Pending { next } if next.exposed);
    let keeps_temporary = by_person || exposed || matches!(state, FileState::Held { .. } | FileState::Void);
    let doubted = matches!(state, FileState::Held { reason: HeldReason::InDoubt, .. });
    let name = proof.map(|p| p.name.as_ref());
    let how = proof.map(|p| p.how.as_str()).or_else(|| doubted.then_some(ABSENCE));
    if let Some(proof) = proof {
        signed(proof.bytes)?;
    }
    let number = attempt.map(|attempt| attempt.number);
    let exposed = attempt.map(|attempt| attempt.exposed);
    let at = proof.map(|p| p.at.nanos());
    let temporary = temporary.map(AsRef::as_ref);
    let values = params![file, state.name(), number, exposed, temporary, reason, name, how, at, keeps_temporary];
    run(t, update, values)?;
    Ok(())
}
