//! Questions that reports ask. Nothing here writes.

use super::batches::parse_state;
use super::batches::rows::{read_sequence, read_totals};
use super::intake::read_hash;
use super::pickup::read_pickup;
use super::{Ledger, LedgerFault, Result, unsigned};
use crate::domain::answer::Verdict;
use crate::domain::batch::{BatchState, HourCounts};
use crate::domain::counter::Sequence;
use crate::domain::ids::{FeedId, InputHash, Lsn, PartNumber, Revision, SourceId};
use crate::domain::period::Partition;
use crate::domain::pickup::Pickup;
use crate::domain::time::UtcTime;
use rusqlite::params;
use std::ops::Range;

/// What became of the records of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourRow {
    /// Which hour; `None`: records without a usable time.
    pub partition: Option<Partition>,
    /// The records.
    pub counts: HourCounts,
    /// Those that a person let go before they were in a file.
    pub voided: u64,
    /// Records that were counted, and that the hour went on without.
    pub lost: u64,
}

/// One revision of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Which hour.
    pub partition: Partition,
    /// How often the hour was sealed before.
    pub revision: Revision,
    /// Where it stands.
    pub state: BatchState,
    /// Why it is held or void.
    pub reason: Option<String>,
    /// First frame whose records can belong to it.
    pub from: Lsn,
    /// First frame whose records do not belong to it any more.
    pub cut: Lsn,
    /// Hash of the definition that renders it.
    pub definition: String,
    /// When it was planned or held.
    pub sealed_at: UtcTime,
    /// Sealed before a source had been read to the end.
    pub source_incomplete: bool,
    /// Records in its part files.
    pub records: u64,
    /// Those of them that lie in void files.
    pub voided: u64,
    /// When its last file was delivered.
    pub delivered_at: Option<UtcTime>,
}

/// One file of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Hour of the batch.
    pub partition: Partition,
    /// Revision of the batch.
    pub revision: Revision,
    /// Place among the part files; 0 for the manifest.
    pub part: PartNumber,
    /// Final name.
    pub name: String,
    /// Its number.
    pub sequence: Option<Sequence>,
    /// Records in it.
    pub records: u64,
    /// Size; `None` until it lies in the archive.
    pub bytes: Option<u64>,
    /// Hash of its bytes in hexadecimal digits.
    pub sha256: Option<String>,
    /// Earliest event time.
    pub first_event: Option<UtcTime>,
    /// Latest event time.
    pub last_event: Option<UtcTime>,
    /// Sums of the values as written.
    pub totals: Vec<(String, String)>,
    /// Path below the archive directory.
    pub archive_path: Option<String>,
    /// `planned`, `shadow`, or the state of its delivery.
    pub state: String,
    /// The current or last attempt to deliver it.
    pub attempt: u32,
    /// Why it is held.
    pub reason: Option<String>,
    /// How its delivery is known; of a file in doubt, the evidence there is.
    pub verified: Option<String>,
    /// How often it was sent again although it may have arrived.
    pub resent: u32,
    /// When it was delivered.
    pub delivered_at: Option<UtcTime>,
    /// What became of it at the partner.
    pub pickup: Pickup,
    /// What the partner answered.
    pub answer: Option<Verdict>,
}

impl FileRow {
    /// True when the file states which files make up the hour.
    #[must_use]
    pub const fn is_manifest(&self) -> bool {
        self.part.0 == 0
    }
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactRow {
    /// When.
    pub at: UtcTime,
    /// What.
    pub kind: String,
    /// About whom.
    pub subject: String,
    /// In words.
    pub detail: String,
}

/// What a source has given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTotals {
    /// The source.
    pub source: String,
    /// Records accepted.
    pub records: u64,
    /// Records in quarantine now, for whatever reason.
    pub quarantined: u64,
    /// When the last record was accepted.
    pub last_at: Option<UtcTime>,
    /// The latest event time.
    pub last_event: Option<UtcTime>,
}

/// An input file that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRead {
    /// The source.
    pub source: String,
    /// The file's name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Hash of its bytes; `None` when the ledger holds something else there.
    pub hash: Option<InputHash>,
    /// Records accepted.
    pub records: u64,
    /// Records that could not be decoded.
    pub rejects: u64,
    /// When its end was reached.
    pub at: UtcTime,
}

/// A record in quarantine, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// Its number.
    pub id: i64,
    /// The source.
    pub source: String,
    /// The feed that could not render it; empty when it could not be decoded.
    pub feed: String,
    /// Start of the feed's hour.
    pub start_second: Option<i64>,
    /// The input it stood in.
    pub input: String,
    /// Number of the record in it.
    pub record: u64,
    /// Line on which it began.
    pub line: u64,
    /// Byte offset at which it began.
    pub byte: u64,
    /// Why.
    pub reason: String,
    /// Length of its content.
    pub raw_bytes: u64,
    /// Since when.
    pub at: UtcTime,
    /// `held`, `retried` (it came in again), or `rendered` (it was written after all).
    pub state: String,
}

/// Which entries of the quarantine are asked for.
#[derive(Debug, Clone, Default)]
pub struct QuarantineFilter {
    /// Of this feed.
    pub feed: Option<FeedId>,
    /// Of this source.
    pub source: Option<SourceId>,
    /// This one.
    pub id: Option<i64>,
    /// Only those that are held: not those that came in again, or could be written after all.
    pub open: bool,
    /// At most so many, the newest.
    pub limit: Option<u32>,
}

/// The span of all hours.
const ALWAYS: Range<i64> = i64::MIN..i64::MAX;

const BATCH: &str = "SELECT start_second, end_second, revision, state, reason, from_lsn, cut_lsn, definition,
    sealed_at, source_incomplete, records, delivered_at, voided FROM batch WHERE feed = ?1 AND start_second >= ?2
    AND start_second < ?3 ORDER BY start_second, revision";
const FILE: &str = "SELECT b.start_second, b.end_second, b.revision, f.part, f.name, f.cycle, f.number, f.records,
    f.bytes, f.sha256, f.first_event, f.last_event, f.totals, f.archive_path, f.state, f.attempt, f.reason, f.verified,
    f.delivered_at, f.resent, p.state, p.first_seen, p.last_seen, p.first_missed, p.taken_at, p.how, p.modified,
    p.unique_fact, v.state FROM file f JOIN batch b ON b.id = f.batch LEFT JOIN pickup p ON p.file = f.id
    LEFT JOIN verdict v ON v.file = f.id WHERE b.feed = ?1 AND b.start_second >= ?2 AND b.start_second < ?3
    ORDER BY b.start_second, b.revision, f.part = 0, f.part";
/// From one name to the next in the index: hours and batches are many, feeds are few. What is read of a feed then is
/// read with its checks.
const KNOWN_FEEDS: &str = "WITH RECURSIVE
    of_hours (feed) AS (SELECT min(feed) FROM main.hour
        UNION ALL SELECT (SELECT min(h.feed) FROM main.hour h WHERE h.feed > o.feed) FROM of_hours o WHERE o.feed NOT NULL),
    of_batches (feed) AS (SELECT min(feed) FROM main.batch
        UNION ALL SELECT (SELECT min(b.feed) FROM main.batch b WHERE b.feed > o.feed) FROM of_batches o WHERE o.feed NOT NULL)
    SELECT feed FROM feed UNION SELECT feed FROM of_hours WHERE feed NOT NULL
    UNION SELECT feed FROM of_batches WHERE feed NOT NULL ORDER BY 1";
const QUARANTINE: &str = "SELECT id, source, feed, start_second, input, record, line, byte, reason, length(raw), at,
    state FROM quarantine WHERE (?1 IS NULL OR feed = ?1) AND (?2 IS NULL OR source = ?2) AND (?3 IS NULL OR id = ?3)
    AND (NOT ?5 OR state = 'held') ORDER BY id DESC LIMIT ?4";

impl Ledger {
    /// Every feed that the ledger knows, by name.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn known_feeds(&self) -> Result<Vec<FeedId>> {
        let names = self.rows(KNOWN_FEEDS, [], |row| row.get::<_, String>(0))?;
        names.iter().map(|name| FeedId::parse(name).map_err(|fault| LedgerFault::Row(fault.to_string()))).collect()
    }

    /// Feeds with records that are accepted and not sealed, and how many.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn waiting_feeds(&self) -> Result<Vec<(FeedId, u64)>> {
        let query = "SELECT feed, sum(pending) FROM v_hours GROUP BY feed HAVING sum(pending) > 0";
        let rows = self.rows(query, [], |row| Ok((row.get::<_, String>(0)?, unsigned(row.get(1)?))))?;
        rows.into_iter()
            .map(|(feed, waiting)| {
                let feed = FeedId::parse(&feed).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
                Ok((feed, waiting))
            })
            .collect()
    }

    /// Every batch that waits for a person: feed, hour, and why.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn held(&self) -> Result<Vec<(FeedId, Partition, String)>> {
        let query =
            "SELECT b.feed, b.start_second, b.end_second, coalesce(b.reason, f.name || ': ' || f.reason, b.state)
                     FROM batch b LEFT JOIN file f ON f.batch = b.id AND f.state = 'held'
                     WHERE b.state LIKE 'held%' ORDER BY b.id, f.part";
        let rows = self.rows(query, [], |row| {
            let partition = Partition { start: row.get(1)?, end: row.get(2)? };
            Ok((row.get::<_, String>(0)?, partition, row.get::<_, String>(3)?))
        })?;
        rows.into_iter()
            .map(|(feed, partition, reason)| {
                let feed = FeedId::parse(&feed).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
                Ok((feed, partition, reason))
            })
            .collect()
    }

    /// The counts of all hours of a feed, in order.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn hour_rows(&self, feed: &FeedId) -> Result<Vec<HourRow>> {
        self.hour_rows_in(feed, &ALWAYS)
    }

    /// The same, of the hours that start in `span`, in seconds.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn hour_rows_in(&self, feed: &FeedId, span: &Range<i64>) -> Result<Vec<HourRow>> {
        let query = "SELECT h.start_second, end_second, received, filtered, quarantined, duplicate, voided,
                     coalesce(l.records, 0)
                     FROM hour h LEFT JOIN lost l ON l.feed = h.feed AND l.start_second = h.start_second
                     WHERE h.feed = ?1 AND h.start_second >= ?2 AND h.start_second < ?3 ORDER BY h.start_second";
        self.rows(query, params![feed.to_string(), span.start, span.end], |row| {
            let partition = Partition { start: row.get(0)?, end: row.get(1)? };
            let counts = HourCounts {
                received: unsigned(row.get(2)?),
                filtered: unsigned(row.get(3)?),
                quarantined: unsigned(row.get(4)?),
                duplicate: unsigned(row.get(5)?),
            };
            let partition = (partition.end > partition.start).then_some(partition);
            Ok(HourRow { partition, counts, voided: unsigned(row.get(6)?), lost: unsigned(row.get(7)?) })
        })
    }

    /// All batches of a feed, by hour and revision.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn batch_rows(&self, feed: &FeedId) -> Result<Vec<BatchRow>> {
        self.batch_rows_in(feed, &ALWAYS)
    }

    /// The same, of the hours that start in `span`, in seconds.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn batch_rows_in(&self, feed: &FeedId, span: &Range<i64>) -> Result<Vec<BatchRow>> {
        let values = params![feed.to_string(), span.start, span.end];
        let rows = self.rows(BATCH, values, |row| Ok((row.get::<_, String>(3)?, row.get(4)?, read_batch(row)?)))?;
        rows.into_iter()
            .map(|(state, reason, row)| Ok(BatchRow { state: parse_state(&state)?, reason, ..row }))
            .collect()
    }

    /// All files of a feed: by hour and revision, the manifest behind the part files.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn file_rows(&self, feed: &FeedId) -> Result<Vec<FileRow>> {
        self.file_rows_in(feed, &ALWAYS)
    }

    /// The same, of the hours that start in `span`, in seconds.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn file_rows_in(&self, feed: &FeedId, span: &Range<i64>) -> Result<Vec<FileRow>> {
        let values = params![feed.to_string(), span.start, span.end];
        let rows = self.rows(FILE, values, |row| Ok((read_file(row)?, read_pickup(row, 20)?)))?;
        rows.into_iter().map(|(file, pickup)| Ok(FileRow { pickup: pickup.finish()?, ..file })).collect()
    }

    /// The feeds that have a file of this name.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn feeds_with_file(&self, name: &str) -> Result<Vec<FeedId>> {
        let query =
            "SELECT DISTINCT b.feed FROM file f JOIN batch b ON b.id = f.batch WHERE f.name = ?1 ORDER BY b.feed";
        let names = self.rows(query, [name], |row| row.get::<_, String>(0))?;
        names.iter().map(|name| FeedId::parse(name).map_err(|fault| LedgerFault::Row(fault.to_string()))).collect()
    }

    /// The history of one subject, and of everything whose name begins with it and a blank.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn facts_about(&self, subject: &str) -> Result<Vec<FactRow>> {
        let query = "SELECT at, kind, subject, detail FROM fact
                     WHERE subject = ?1 OR substr(subject, 1, length(?1) + 1) = ?1 || ' ' ORDER BY id";
        self.rows(query, [subject], |row| {
            Ok(FactRow {
                at: UtcTime::from_nanos(row.get(0)?),
                kind: row.get(1)?,
                subject: row.get(2)?,
                detail: row.get(3)?,
            })
        })
    }

    /// What every source has given, by name.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn source_totals(&self) -> Result<Vec<SourceTotals>> {
        let query = "SELECT s.source, s.records, s.last_at, s.last_event,
                     (SELECT count(*) FROM quarantine q WHERE q.source = s.source AND q.state = 'held')
                     FROM source s ORDER BY s.source";
        self.rows(query, [], |row| {
            Ok(SourceTotals {
                source: row.get(0)?,
                records: unsigned(row.get(1)?),
                last_at: row.get::<_, Option<i64>>(2)?.map(UtcTime::from_nanos),
                last_event: row.get::<_, Option<i64>>(3)?.map(UtcTime::from_nanos),
                quarantined: unsigned(row.get(4)?),
            })
        })
    }

    /// Inputs of a source whose end was reached within `[from, to]`, in that order.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn inputs_read(&self, source: &SourceId, from: UtcTime, to: UtcTime) -> Result<Vec<InputRead>> {
        let query = "SELECT source, name, bytes, sha256, records, rejects, at FROM input
                     WHERE source = ?1 AND at BETWEEN ?2 AND ?3 ORDER BY id";
        self.rows(query, params![source.as_str(), from.nanos(), to.nanos()], |row| {
            Ok(InputRead {
                source: row.get(0)?,
                name: row.get(1)?,
                bytes: unsigned(row.get(2)?),
                hash: read_hash(&row.get::<_, String>(3)?),
                records: unsigned(row.get(4)?),
                rejects: unsigned(row.get(5)?),
                at: UtcTime::from_nanos(row.get(6)?),
            })
        })
    }

    /// Entries of the quarantine, oldest first.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn quarantine_entries(&self, filter: &QuarantineFilter) -> Result<Vec<QuarantineEntry>> {
        let feed = filter.feed.as_ref().map(ToString::to_string);
        let source = filter.source.as_ref().map(SourceId::as_str);
        let values = params![feed, source, filter.id, filter.limit.map_or(-1, i64::from), filter.open];
        let mut entries = self.rows(QUARANTINE, values, |row| {
            Ok(QuarantineEntry {
                id: row.get(0)?,
                source: row.get(1)?,
                feed: row.get(2)?,
                start_second: row.get(3)?,
                input: row.get(4)?,
                record: unsigned(row.get(5)?),
                line: unsigned(row.get(6)?),
                byte: unsigned(row.get(7)?),
                reason: row.get(8)?,
                raw_bytes: unsigned(row.get(9)?),
                at: UtcTime::from_nanos(row.get(10)?),
                state: row.get(11)?,
            })
        })?;
        entries.reverse();
        Ok(entries)
    }

    /// What the input of an entry begins with, when only that tells which column is which.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn quarantine_head(&self, id: i64) -> Result<Vec<u8>> {
        let rows = self.rows("SELECT head FROM quarantine WHERE id = ?1", [id], |row| row.get(0))?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    /// The content of a record in quarantine; `None` when there is no such entry.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn quarantine_content(&self, id: i64) -> Result<Option<Vec<u8>>> {
        let rows = self.rows("SELECT raw FROM quarantine WHERE id = ?1", [id], |row| row.get(0))?;
        Ok(rows.into_iter().next())
    }
}

/// Reads a row of [`BATCH`]; state and reason are read by the caller.
fn read_batch(row: &rusqlite::Row<'_>) -> rusqlite::Result<BatchRow> {
    Ok(BatchRow {
        partition: Partition { start: row.get(0)?, end: row.get(1)? },
        revision: Revision(row.get(2)?),
        state: BatchState::Open,
        reason: None,
        from: Lsn(unsigned(row.get(5)?)),
        cut: Lsn(unsigned(row.get(6)?)),
        definition: row.get(7)?,
        sealed_at: UtcTime::from_nanos(row.get(8)?),
        source_incomplete: row.get(9)?,
        records: unsigned(row.get(10)?),
        delivered_at: row.get::<_, Option<i64>>(11)?.map(UtcTime::from_nanos),
        voided: unsigned(row.get(12)?),
    })
}

/// Reads a row of [`FILE`]; what became of the file is read by the caller.
fn read_file(row: &rusqlite::Row<'_>) -> rusqlite::Result<FileRow> {
    let time = |nanos: Option<i64>| nanos.map(UtcTime::from_nanos);
    Ok(FileRow {
        partition: Partition { start: row.get(0)?, end: row.get(1)? },
        revision: Revision(row.get(2)?),
        part: PartNumber(row.get(3)?),
        name: row.get(4)?,
        sequence: read_sequence(row.get(5)?, row.get(6)?),
        records: unsigned(row.get(7)?),
        bytes: row.get::<_, Option<i64>>(8)?.map(unsigned),
        sha256: row.get(9)?,
        first_event: time(row.get(10)?),
        last_event: time(row.get(11)?),
        totals: row.get::<_, Option<String>>(12)?.map(|text| read_totals(&text)).unwrap_or_default(),
        archive_path: row.get(13)?,
        state: row.get(14)?,
        attempt: row.get(15)?,
        reason: row.get(16)?,
        verified: row.get(17)?,
        delivered_at: time(row.get(18)?),
        resent: row.get(19)?,
        pickup: Pickup::default(),
        answer: row.get::<_, Option<String>>(28)?.and_then(|word| Verdict::parse(&word)),
    })
}
