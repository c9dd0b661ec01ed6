//! What intake tells the ledger: one transaction for each group of spool frames, marked with the last LSN in it.
//! Frames at or below that mark are not told again, so after a crash nothing is counted twice.

mod entry;

use super::quarantine::{insert_quarantine, take_out_of_quarantine};
use super::{Fact, Ledger, Result, append_fact, ask, run, signed, unsigned};
use crate::disk::SyncPoint;
use crate::domain::batch::HourCounts;
use crate::domain::ids::{FeedId, HashedBy, InputHash, Lsn, Sha256Digest, SourceId};
use crate::domain::time::UtcTime;
pub use entry::{HourSums, IntakeEntry};
use rusqlite::{OptionalExtension, params};

/// Where a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineStage {
    /// Its bytes are not a record of the source's format.
    Decode,
    /// A feed could not put it into an hour.
    Route,
    /// A feed's format could not hold it.
    Render,
}

impl QuarantineStage {
    /// The word that the ledger stores.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Route => "route",
            Self::Render => "render",
        }
    }
}

/// A record in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// Its source.
    pub source: SourceId,
    /// The feed that could not render it; `None` when it could not be decoded.
    pub feed: Option<FeedId>,
    /// Start of the feed's hour, where it has one.
    pub start_second: Option<i64>,
    /// The input it stood in.
    pub input: String,
    /// Number of the record in it.
    pub record: u64,
    /// Line on which it began.
    pub line: u64,
    /// Byte offset at which it began.
    pub byte: u64,
    /// Where it failed.
    pub stage: QuarantineStage,
    /// Why, without any value of it.
    pub reason: String,
    /// The bytes as received, or the decoded record.
    pub raw: Vec<u8>,
    /// What names the columns at the beginning of the input, where that is needed to read the bytes again.
    pub head: Vec<u8>,
    /// The frame it lies in.
    pub lsn: Lsn,
    /// When it was received.
    pub at: UtcTime,
}

/// An input file that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputRow {
    /// The source.
    pub source: SourceId,
    /// The file's name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Time of its last change in nanoseconds since the epoch.
    pub modified_nanos: i64,
    /// Hash of its bytes.
    pub hash: InputHash,
    /// Records accepted from it.
    pub records: u64,
    /// Records that could not be decoded.
    pub rejects: u64,
    /// When it was finished.
    pub at: UtcTime,
}

/// How far an input was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionRow {
    /// The source.
    pub source: SourceId,
    /// The input.
    pub input: String,
    /// Records before the position.
    pub record: u64,
    /// Lines before it.
    pub line: u64,
    /// Bytes before it.
    pub byte: u64,
    /// CRC32C of these bytes.
    pub prefix_crc: u32,
}

/// What a source gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// The source.
    pub source: SourceId,
    /// Records accepted.
    pub records: u64,
    /// Records that could not be decoded.
    pub rejects: u64,
    /// When the last one came.
    pub last_at: UtcTime,
    /// The latest event time.
    pub last_event: Option<UtcTime>,
}

/// Something that needs a person, until it is cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// About whom.
    pub subject: String,
    /// Stable code, `HD` and four digits.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Since when.
    pub since: UtcTime,
}

/// What changed when the alarms of a subject were replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlarmChanges {
    /// New ones: code, message and hint.
    pub raised: Vec<(String, String, String)>,
    /// Those that do not stand any more: code and message.
    pub cleared: Vec<(String, String)>,
}

impl Ledger {
    /// Records the consequences of all frames up to `applied`.
    ///
    /// # Errors
    /// [`super::LedgerFault`]; nothing was recorded then.
    pub fn apply_intake(&mut self, applied: Lsn, entry: &IntakeEntry) -> Result<()> {
        self.transact(SyncPoint::LedgerIntake, |t| {
            for (feed, partition, counts) in entry.hours.iter() {
                let (start, end) = partition.map_or((-1, -1), |p| (p.start, p.end));
                add_counts(t, feed, start, end, counts)?;
            }
            for held in &entry.quarantine {
                insert_quarantine(t, held)?;
            }
            for position in &entry.positions {
                set_position(t, position)?;
            }
            for input in &entry.inputs {
                insert_input(t, input)?;
                let delete = "DELETE FROM main.position WHERE source = ?1 AND input = ?2";
                run(t, delete, params![input.source.as_str(), input.name])?;
            }
            for source in &entry.sources {
                add_source(t, source)?;
            }
            entry.retried.iter().try_for_each(|id| take_out_of_quarantine(t, *id))?;
            run(t, "UPDATE main.store SET value = ?1 WHERE key = 'applied_lsn'", [applied.to_string()])?;
            Ok(())
        })
    }

    /// Inputs of this source that had the given name, newest first, and whether any has the given length.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn input_named(&self, source: &SourceId, name: &str) -> Result<Option<InputRow>> {
        let query = "SELECT name, bytes, modified, sha256, records, rejects, at FROM input
                     WHERE source = ?1 AND name = ?2 ORDER BY id DESC LIMIT 1";
        self.one_input(query, source, name)
    }

    /// An input of this source with the given length and hash, whatever its name.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn input_with_content(&self, source: &SourceId, bytes: u64, hash: &InputHash) -> Result<Option<InputRow>> {
        let query = "SELECT name, bytes, modified, sha256, records, rejects, at FROM input
                     WHERE source = ?1 AND sha256 = ?2 AND bytes = ?3 LIMIT 1";
        let (hash, bytes) = (written(hash), signed(bytes)?);
        let read = |row: &rusqlite::Row<'_>| read_input(source, row);
        self.check(ask(&self.connection, query, params![source.as_str(), hash, bytes], read).optional())
    }

    /// How inputs of this source and length were hashed: when there are none, no content of that length is known.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn hashes_of(&self, source: &SourceId, bytes: u64) -> Result<Vec<HashedBy>> {
        let mut found = Vec::new();
        for (by, range) in HASHES_OF {
            let query = format!("SELECT EXISTS ({OF_LENGTH} AND {range})");
            let values = params![source.as_str(), signed(bytes)?];
            if !found.contains(&by) && self.check(ask(&self.connection, &query, values, |row| row.get(0)))? {
                found.push(by);
            }
        }
        Ok(found)
    }

    /// True when anything was ever counted for this feed.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn has_counts(&self, feed: &FeedId) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT 1 FROM hour WHERE feed = ?1)";
        self.check(ask(&self.connection, query, [feed.to_string()], |row| row.get(0)))
    }

    /// How far an unfinished input of this source was read.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn position(&self, source: &SourceId, input: &str) -> Result<Option<PositionRow>> {
        let query = "SELECT record, line, byte, prefix_crc FROM position WHERE source = ?1 AND input = ?2";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(PositionRow {
                source: source.clone(),
                input: input.to_owned(),
                record: unsigned(row.get(0)?),
                line: unsigned(row.get(1)?),
                byte: unsigned(row.get(2)?),
                prefix_crc: row.get(3)?,
            })
        };
        self.check(ask(&self.connection, query, params![source.as_str(), input], read).optional())
    }

    /// Names of the inputs of this source that were read in part and are not finished.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn unfinished_inputs(&self, source: &SourceId) -> Result<Vec<String>> {
        self.rows("SELECT input FROM position WHERE source = ?1", [source.as_str()], |row| row.get(0))
    }

    /// Names of the inputs of this source that were finished last.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn latest_input_names(&self, source: &SourceId, limit: u32) -> Result<Vec<String>> {
        let query = "SELECT name FROM input WHERE source = ?1 ORDER BY id DESC LIMIT ?2";
        self.rows(query, params![source.as_str(), limit], |row| row.get(0))
    }

    /// When each source gave its last record, and the latest event time seen.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn source_row(&self, source: &SourceId) -> Result<Option<SourceRow>> {
        let query = "SELECT records, rejects, last_at, last_event FROM source WHERE source = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(SourceRow {
                source: source.clone(),
                records: unsigned(row.get(0)?),
                rejects: unsigned(row.get(1)?),
                last_at: UtcTime::from_nanos(row.get(2)?),
                last_event: row.get::<_, Option<i64>>(3)?.map(UtcTime::from_nanos),
            })
        };
        self.check(ask(&self.connection, query, [source.as_str()], read).optional())
    }

    fn one_input(&self, query: &str, source: &SourceId, key: &str) -> Result<Option<InputRow>> {
        let read = |row: &rusqlite::Row<'_>| read_input(source, row);
        self.check(ask(&self.connection, query, params![source.as_str(), key], read).optional())
    }

    /// Makes the standing alarms of a subject exactly these (code, message and hint). Only changes are written, and
    /// each leaves a fact. Returns what was raised and what was cleared, as code and message.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn replace_alarms(
        &mut self,
        subject: &str,
        alarms: &[(&str, String, String)],
        now: UtcTime,
    ) -> Result<AlarmChanges> {
        let mut changes = AlarmChanges::default();
        let standing = self.rows("SELECT code, message FROM alarm WHERE subject = ?1", [subject], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        for (code, message, hint) in alarms {
            if !standing.iter().any(|(known, text)| known == code && text == message) {
                changes.raised.push(((*code).to_owned(), message.clone(), hint.clone()));
            }
        }
        for (code, message) in standing {
            if !alarms.iter().any(|(known, text, _)| *known == code && *text == message) {
                changes.cleared.push((code, message));
            }
        }
        if changes.raised.is_empty() && changes.cleared.is_empty() {
            return Ok(changes);
        }
        self.transact(SyncPoint::LedgerOther, |t| {
            for (code, message, hint) in &changes.raised {
                let insert = "INSERT OR IGNORE INTO main.alarm VALUES (?1, ?2, ?3, ?4, ?5)";
                run(t, insert, params![subject, code, message, hint, now.nanos()])?;
                append_fact(t, Fact { at: now, kind: "alarm", subject, detail: message })?;
            }
            for (code, message) in &changes.cleared {
                let delete = "DELETE FROM main.alarm WHERE subject = ?1 AND code = ?2 AND message = ?3";
                run(t, delete, params![subject, code, message])?;
                append_fact(t, Fact { at: now, kind: "alarm cleared", subject, detail: message })?;
            }
            Ok(())
        })?;
        Ok(changes)
    }

    /// All standing alarms, oldest first.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn alarms(&self) -> Result<Vec<Alarm>> {
        let query = "SELECT subject, code, message, hint, since FROM alarm ORDER BY since, subject, code";
        self.rows(query, [], |row| {
            Ok(Alarm {
                subject: row.get(0)?,
                code: row.get(1)?,
                message: row.get(2)?,
                hint: row.get(3)?,
                since: UtcTime::from_nanos(row.get(4)?),
            })
        })
    }

    pub(super) fn rows<T>(
        &self,
        query: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.check(self.connection.prepare_cached(query))?;
        let rows = self.check(statement.query_map(values, read))?;
        self.check(rows.collect())
    }
}

/// Inputs of a source with a length.
pub(super) const OF_LENGTH: &str = "SELECT 1 FROM input WHERE source = ?1 AND bytes = ?2";
/// Where hashes stand in the order of the column `sha256`, each range one look into the index: `blake3:` begins with what
/// no hexadecimal digits begin with.
pub(super) const HASHES_OF: [(HashedBy, &str); 3] = [
    (HashedBy::Blake3, "sha256 >= 'blake3:' AND sha256 < 'blake3;'"),
    (HashedBy::Sha256, "sha256 < 'blake3:'"),
    (HashedBy::Sha256, "sha256 >= 'blake3;'"),
];

/// A hash as it stands in the column `sha256`: digits alone by SHA-256, since that was the only one.
fn written(hash: &InputHash) -> String {
    match hash.by {
        HashedBy::Blake3 => hash.to_string(),
        HashedBy::Sha256 => hash.digits(),
    }
}

/// Reads what [`written`] wrote.
pub(super) fn read_hash(text: &str) -> Option<InputHash> {
    InputHash::parse(text)
        .or_else(|| Sha256Digest::parse(text).map(|Sha256Digest(digest)| InputHash { by: HashedBy::Sha256, digest }))
}

fn read_input(source: &SourceId, row: &rusqlite::Row<'_>) -> rusqlite::Result<InputRow> {
    let hash: String = row.get(3)?;
    Ok(InputRow {
        source: source.clone(),
        name: row.get(0)?,
        bytes: unsigned(row.get(1)?),
        modified_nanos: row.get(2)?,
        hash: read_hash(&hash).unwrap_or(InputHash { by: HashedBy::Sha256, digest: [0; 32] }),
        records: unsigned(row.get(4)?),
        rejects: unsigned(row.get(5)?),
        at: UtcTime::from_nanos(row.get(6)?),
    })
}

/// Adds to the counts of one hour of a feed.
pub(super) fn add_counts(
    t: &rusqlite::Transaction<'_>,
    feed: &FeedId,
    start: i64,
    end: i64,
    counts: HourCounts,
) -> Result<()> {
    let insert = "INSERT INTO main.hour (feed, start_second, end_second, received, filtered, quarantined, duplicate)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
                  received = received + excluded.received, filtered = filtered + excluded.filtered,
                  quarantined = quarantined + excluded.quarantined, duplicate = duplicate + excluded.duplicate";
    let HourCounts { received, filtered, quarantined, duplicate } = counts;
    let numbers = [signed(received)?, signed(filtered)?, signed(quarantined)?, signed(duplicate)?];
    let [received, filtered, quarantined, duplicate] = numbers;
    run(t, insert, params![feed.to_string(), start, end, received, filtered, quarantined, duplicate])?;
    Ok(())
}

fn insert_input(t: &rusqlite::Transaction<'_>, input: &InputRow) -> Result<()> {
    let insert = "INSERT INTO main.input (source, name, bytes, modified, sha256, records, rejects, at)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let (records, rejects) = (signed(input.records)?, signed(input.rejects)?);
    let (bytes, hash) = (signed(input.bytes)?, written(&input.hash));
    let source = input.source.as_str();
    let values = params![source, input.name, bytes, input.modified_nanos, hash, records, rejects, input.at.nanos()];
    run(t, insert, values)?;
    let detail =
        format!("{} bytes, {} records, {} rejected, {}", input.bytes, input.records, input.rejects, input.hash);
    let subject = format!("{source} {}", input.name);
    append_fact(t, Fact { at: input.at, kind: "input read", subject: &subject, detail: &detail })
}

fn set_position(t: &rusqlite::Transaction<'_>, position: &PositionRow) -> Result<()> {
    let insert = "INSERT OR REPLACE INTO main.position VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let numbers = [signed(position.record)?, signed(position.line)?, signed(position.byte)?];
    let [record, line, byte] = numbers;
    let values = params![position.source.as_str(), position.input, record, line, byte, position.prefix_crc];
    run(t, insert, values)?;
    Ok(())
}

fn add_source(t: &rusqlite::Transaction<'_>, source: &SourceRow) -> Result<()> {
    let insert = "INSERT INTO main.source VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
                  records = records + excluded.records, rejects = rejects + excluded.rejects,
                  last_at = max(last_at, excluded.last_at),
                  last_event = max(coalesce(last_event, excluded.last_event), coalesce(excluded.last_event, last_event))";
    let (records, rejects) = (signed(source.records)?, signed(source.rejects)?);
    let last_event = source.last_event.map(UtcTime::nanos);
    run(t, insert, params![source.source.as_str(), records, rejects, source.last_at.nanos(), last_event])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Lsn;
    use crate::domain::period::Partition;
    use proptest::prelude::*;

    /// A record of one of two sources and inputs, in one of three hours of one of two feeds, or without a time.
    fn one_record((source, input, feed, hour, number): (u8, u8, u8, i64, u64)) -> IntakeEntry {
        let source = SourceId::parse(&format!("s{source}")).expect("source");
        let feed = FeedId::parse(&format!("p/f{feed}")).expect("feed");
        let partition = (hour > 0).then_some(Partition { start: hour * 3600, end: hour * 3600 + 3600 });
        let counts = HourCounts { received: 1, filtered: number % 2, quarantined: number % 3, duplicate: number % 5 };
        let at = UtcTime::from_nanos(i64::try_from(number).expect("small"));
        let last_event = (number % 4 > 0).then(|| UtcTime::from_nanos(hour));
        IntakeEntry {
            hours: [(feed, partition, counts)].into_iter().collect(),
            sources: vec![SourceRow {
                source: source.clone(),
                records: 1,
                rejects: number % 2,
                last_at: at,
                last_event,
            }],
            positions: vec![PositionRow {
                source,
                input: format!("i{input}"),
                record: number,
                line: number,
                byte: number,
                prefix_crc: 7,
            }],
            ..IntakeEntry::default()
        }
    }

    proptest! {
        #[test]
        fn consequences_that_are_summed_up_are_the_same(
            records in proptest::collection::vec((0_u8..2, 0_u8..2, 0_u8..2, 0_i64..4, 0_u64..100), 0..20),
        ) {
            let dir = tempfile::tempdir().expect("directory");
            let mut told = Vec::new();
            for is_summed in [false, true] {
                let path = dir.path().join(format!("{is_summed}.db"));
                let mut ledger = Ledger::created(&path);
                let mut sum = IntakeEntry::default();
                for record in &records {
                    if is_summed {
                        sum.append(one_record(*record));
                    } else {
                        ledger.apply_intake(Lsn(8), &one_record(*record)).expect("applied");
                    }
                }
                ledger.apply_intake(Lsn(9), &sum).expect("applied");
                let mut rows = ledger.untold(0, 1000).expect("rows").rows;
                rows.sort_by_key(ToString::to_string);
                told.push(rows);
            }
            prop_assert_eq!(&told[0], &told[1]);
        }
    }
}
