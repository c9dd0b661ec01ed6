//! What partners answer about delivered files, and which answer files were read.

use super::batches::{parse_state, subject};
use super::{Fact, Ledger, LedgerFault, Result, append_fact, row, run, signed};
use crate::disk::SyncPoint;
use crate::domain::answer::{AnsweredFile, FileVerdict, Verdict, of_batch};
use crate::domain::batch::{BatchId, BatchState};
use crate::domain::ids::{FeedId, PartnerId, Revision};
use crate::domain::period::Partition;
use crate::domain::pickup::Stamp;
use crate::domain::time::UtcTime;
use rusqlite::{Transaction, params};
use std::sync::Arc;

/// An answer file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRow {
    /// Its name at the partner.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Hash of its bytes.
    pub sha256: String,
    /// What the listing stated of it.
    pub stamp: Stamp,
    /// Why nothing of it counts: a code and the words.
    pub problem: Option<(String, String)>,
}

/// An answer about one of our files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The feed.
    pub feed: FeedId,
    /// The row of the file.
    pub file: i64,
    /// Its name.
    pub name: String,
    /// What is said.
    pub said: FileVerdict,
}

/// A file that the partner rejected and that nobody has settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The batch.
    pub id: BatchId,
    /// The file's name.
    pub name: String,
    /// Rejected records; 0: the whole file.
    pub records: u64,
    /// Why.
    pub reason: String,
}

impl Ledger {
    /// Answer files of a partner with this name that were read, the last one last.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn answers_named(&self, partner: &PartnerId, name: &str) -> Result<Vec<AnswerRow>> {
        let query = "SELECT name, bytes, sha256, modified, unique_fact, code, problem FROM answer
                     WHERE partner = ?1 AND name = ?2 ORDER BY id";
        self.rows(query, params![partner.as_str(), name], |row| {
            let modified = row.get::<_, Option<i64>>(3)?.map(UtcTime::from_nanos);
            let unique = row.get::<_, Option<String>>(4)?.map(Arc::from);
            let code: Option<String> = row.get(5)?;
            Ok(AnswerRow {
                name: row.get(0)?,
                bytes: super::unsigned(row.get(1)?),
                sha256: row.get(2)?,
                stamp: Stamp { modified, unique },
                problem: code.zip(row.get(6)?),
            })
        })
    }

    /// What was said of a file.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn verdict_of(&self, file: i64) -> Result<Option<Verdict>> {
        let rows = self.rows("SELECT state FROM verdict WHERE file = ?1", [file], |row| row.get::<_, String>(0))?;
        rows.first().map(|word| parse_verdict(word)).transpose()
    }

    /// Records an answer file and what it says, in one transaction. With a problem nothing of it counts.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was recorded then.
    pub fn record_answer(
        &mut self,
        partner: &PartnerId,
        answer: &AnswerRow,
        path: &str,
        answered: &[Answered],
        at: UtcTime,
    ) -> Result<()> {
        self.transact(SyncPoint::LedgerOutcome, |t| {
            let insert =
                "INSERT INTO main.answer (partner, name, bytes, sha256, modified, unique_fact, path, code, problem, at)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            let AnswerRow { name, bytes, sha256, stamp, problem } = answer;
            let (code, words) = problem.as_ref().map(|(code, words)| (code.as_str(), words.as_str())).unzip();
            let modified = stamp.modified.map(UtcTime::nanos);
            let values = params![
                partner.as_str(),
                name,
                signed(*bytes)?,
                sha256,
                modified,
                stamp.unique.as_deref(),
                path,
                code,
                words,
                at.nanos()
            ];
            run(t, insert, values)?;
            let about = format!("partner {partner}");
            let detail =
                format!("{name}, kept as {path}{}", words.map(|words| format!(": {words}")).unwrap_or_default());
            append_fact(t, Fact { at, kind: "answer-read", subject: &about, detail: &detail })?;
            answered.iter().try_for_each(|answered| {
                store_verdict(t, answered.file, &answered.said, at)?;
                let subject = format!("{} {}", answered.feed, answered.name);
                let kind = answered.said.verdict.word();
                append_fact(t, Fact { at, kind, subject: &subject, detail: &describe(&answered.said, name) })
            })
        })
    }

    /// Files of a partner that were rejected and that nobody has settled.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn rejections(&self, partner: &PartnerId) -> Result<Vec<Rejection>> {
        let query = "SELECT b.feed, b.start_second, b.end_second, b.revision, f.name, v.records, v.reason
                     FROM verdict v JOIN file f ON f.id = v.file JOIN batch b ON b.id = f.batch
                     WHERE v.state = 'rejected' ORDER BY b.id, f.part = 0, f.part";
        let rows = self.rows(query, [], |row| {
            let partition = Partition { start: row.get(1)?, end: row.get(2)? };
            let rest = (partition, Revision(row.get(3)?), super::unsigned(row.get(5)?));
            Ok((row.get::<_, String>(0)?, rest, row.get::<_, String>(4)?, row.get::<_, String>(6)?))
        })?;
        let mut found = Vec::new();
        for (feed, (partition, revision, records), name, reason) in rows {
            let feed = FeedId::parse(&feed).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
            if feed.partner == *partner {
                found.push(Rejection { id: BatchId { feed, partition, revision }, name, records, reason });
            }
        }
        Ok(found)
    }

    /// The delivered files of a batch, and what was said of them: row, and file.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn answered_files(&self, batch: i64) -> Result<Vec<(i64, AnsweredFile)>> {
        let query = "SELECT f.id, f.name, f.part = 0, v.state FROM file f LEFT JOIN verdict v ON v.file = f.id
                     WHERE f.batch = ?1 AND f.state = 'delivered' ORDER BY f.part";
        let rows = self.rows(query, [batch], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<String>>(3)?))
        })?;
        rows.into_iter()
            .map(|(row, name, is_manifest, word)| {
                let before = word.as_deref().map(parse_verdict).transpose()?;
                Ok((row, AnsweredFile { name, is_manifest, before, now: None }))
            })
            .collect()
    }

    /// What the answers say about a batch.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn batch_verdict(&self, batch: i64) -> Result<Option<Verdict>> {
        let files = self.answered_files(batch)?;
        Ok(of_batch(&files.iter().map(|(_, file)| (file.is_manifest, file.before)).collect::<Vec<_>>()))
    }

    /// Delivered batches of a feed to which an accepting answer is missing, among the last one and those that were
    /// rejected: rows and ids. A batch that is retired needs no answer, but it may have been rejected all the same.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn not_accepted(&self, feed: &FeedId) -> Result<Vec<(i64, BatchId)>> {
        let query = "SELECT id, start_second, end_second, revision, state = 'retired' FROM batch WHERE id IN
                     (SELECT f.batch FROM file f JOIN verdict v ON v.file = f.id WHERE v.state = 'rejected' UNION
                     SELECT max(id) FROM batch WHERE feed = ?1 AND state IN ('delivered', 'picked up', 'retired'))
                     AND feed = ?1 AND state IN ('delivered', 'picked up', 'retired') ORDER BY id";
        let rows = self.rows(query, [feed.to_string()], |row| {
            let partition = Partition { start: row.get(1)?, end: row.get(2)? };
            let id = BatchId { feed: feed.clone(), partition, revision: Revision(row.get(3)?) };
            Ok((row.get::<_, i64>(0)?, id, row.get::<_, bool>(4)?))
        })?;
        let mut found = Vec::new();
        for (batch, id, is_retired) in rows {
            let said = self.batch_verdict(batch)?;
            if said != Some(Verdict::Accepted) && (!is_retired || said.is_some()) {
                found.push((batch, id));
            }
        }
        Ok(found)
    }
}

fn parse_verdict(word: &str) -> Result<Verdict> {
    Verdict::parse(word).ok_or_else(|| LedgerFault::Row(format!("verdict `{word}`")))
}

fn store_verdict(t: &Transaction<'_>, file: i64, said: &FileVerdict, at: UtcTime) -> Result<()> {
    let insert = "INSERT OR REPLACE INTO main.verdict VALUES (?1, ?2, ?3, ?4, ?5)";
    run(t, insert, params![file, said.verdict.word(), signed(said.records)?, said.reason, at.nanos()]).map(|_| ())
}

fn describe(said: &FileVerdict, answer: &str) -> String {
    let records = if said.records > 0 { format!("{} records; ", said.records) } else { String::new() };
    let reason = if said.reason.is_empty() { String::new() } else { format!("; {}", said.reason) };
    format!("{records}by {answer}{reason}")
}

/// A person has settled what the partner did not accept of a batch.
pub(super) fn settle_answer(t: &Transaction<'_>, batch: i64, id: &BatchId, reason: &str, now: UtcTime) -> Result<()> {
    let word: String = row(t.query_row("SELECT state FROM batch WHERE id = ?1", [batch], |row| row.get(0)))?;
    if !matches!(parse_state(&word)?, BatchState::Delivered | BatchState::PickedUp | BatchState::Retired) {
        return Err(LedgerFault::Overtaken { name: subject(id) });
    }
    let query = "SELECT f.id FROM file f LEFT JOIN verdict v ON v.file = f.id
                 WHERE f.batch = ?1 AND f.state = 'delivered' AND coalesce(v.state, '') != 'accepted'";
    let mut statement = row(t.prepare_cached(query))?;
    let files: Vec<i64> = row(row(statement.query_map([batch], |row| row.get(0)))?.collect())?;
    for file in files {
        let said = FileVerdict { verdict: Verdict::Settled, records: 0, reason: reason.to_owned() };
        store_verdict(t, file, &said, now)?;
    }
    append_fact(t, Fact { at: now, kind: "answer-settled", subject: &subject(id), detail: reason })
}
