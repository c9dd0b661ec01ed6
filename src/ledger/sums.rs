//! Sums over hours that are with the partner. A feed of a year has ten thousand hours and a hundred times as many files,
//! and one look at everything must not read them all.
//!
//! A row of `hour_sum` says what the rows of `hour`, `lost`, `batch`, `file` and `pickup` come to, for all hours of a span
//! of time. Whatever changes one of these rows removes the sum over its hour in the same transaction, by a trigger,
//! so a sum is either right or not there. Nothing decides by these rows, and no other row refers to them.

use super::{Ledger, LedgerFault, Result, run, signed, unsigned};
use crate::disk::SyncPoint;
use crate::domain::ids::FeedId;
use crate::domain::period::Partition;
use crate::domain::runs::Runs;
use crate::domain::time::UtcTime;
use rusqlite::params;
use std::ops::Range;

/// What the hours of a span come to. All of them are complete: everything is with the partner and nothing waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourSum {
    /// From the start of the first to the end of the last.
    pub span: Partition,
    /// Each begins where the one before ends.
    pub is_gapless: bool,
    /// How many.
    pub hours: u64,
    /// Part files in them.
    pub files: u64,
    /// Numbers of these.
    pub part_numbers: Runs,
    /// Numbers of the manifests.
    pub manifest_numbers: Runs,
    /// The part numbers that are void.
    pub void_numbers: Runs,
    /// What the partner has taken.
    pub taken: Taking,
}

/// What a partner has taken of some files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taking {
    /// Files that it has taken.
    pub files: u64,
    /// When the last of them was taken.
    pub last_at: Option<UtcTime>,
    /// Delivered files that it has not taken.
    pub waiting: u64,
    /// When the first of these was delivered.
    pub waiting_since: Option<UtcTime>,
}

impl Taking {
    /// What has been taken of these files and others.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            last_at: self.last_at.max(other.last_at),
            waiting: self.waiting + other.waiting,
            waiting_since: self.waiting_since.into_iter().chain(other.waiting_since).min(),
        }
    }
}

/// Whose rows are summed up, which updates change a sum, and what tells the feed and the hour of a row.
const SUMMED: [(&str, &str, &str, &str); 5] = [
    ("hour", "UPDATE", "{row}.feed", "{row}.start_second"),
    ("lost", "UPDATE", "{row}.feed", "{row}.start_second"),
    ("batch", "UPDATE", "{row}.feed", "{row}.start_second"),
    // Where a file lies in the archive is in no sum: archived files go when their time is over, hour by hour.
    (
        "file",
        "UPDATE OF id, batch, part, cycle, number, bytes, state, reason, delivered_at",
        "(SELECT feed FROM batch WHERE id = {row}.batch)",
        "(SELECT start_second FROM batch WHERE id = {row}.batch)",
    ),
    (
        "pickup",
        "UPDATE",
        "(SELECT feed FROM batch WHERE id = (SELECT batch FROM file WHERE id = {row}.file))",
        "(SELECT start_second FROM batch WHERE id = (SELECT batch FROM file WHERE id = {row}.file))",
    ),
];

/// The triggers that remove the sum over an hour when a row of it changes.
pub(super) fn triggers() -> String {
    let mut sql = String::new();
    for (table, update, feed, hour) in SUMMED {
        let events = [
            ("INSERT", "INSERT", "NEW"),
            ("UPDATE", update, "NEW"),
            ("MOVE", update, "OLD"),
            ("DELETE", "DELETE", "OLD"),
        ];
        for (name, event, side) in events {
            let (feed, hour) = (feed.replace("{row}", side), hour.replace("{row}", side));
            sql.push_str(&format!(
                "CREATE TRIGGER IF NOT EXISTS {table}_{name}_unsums AFTER {event} ON {table} BEGIN
                 DELETE FROM hour_sum WHERE feed = {feed} AND end_second > {hour} AND start_second =
                 (SELECT start_second FROM hour_sum WHERE feed = {feed} AND start_second <= {hour}
                 ORDER BY start_second DESC LIMIT 1); END;\n"
            ));
        }
    }
    sql
}

impl Ledger {
    /// The sums over hours of a feed, in order: the last one that begins before `from` and all behind it.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn hour_sums(&self, feed: &FeedId, from: i64) -> Result<Vec<HourSum>> {
        let query = "SELECT start_second, end_second, gapless, hours, part_files, part_numbers, manifest_numbers,
                     void_numbers, taken, taken_at, waiting, waiting_since FROM hour_sum WHERE feed = ?1
                     AND start_second >= coalesce((SELECT max(start_second) FROM main.hour_sum
                     WHERE feed = ?1 AND start_second < ?2), ?2) ORDER BY start_second";
        let time = |nanos: Option<i64>| nanos.map(UtcTime::from_nanos);
        let rows = self.rows(query, params![feed.to_string(), from], |row| {
            let sum = HourSum {
                span: Partition { start: row.get(0)?, end: row.get(1)? },
                is_gapless: row.get(2)?,
                hours: unsigned(row.get(3)?),
                files: unsigned(row.get(4)?),
                part_numbers: Runs::default(),
                manifest_numbers: Runs::default(),
                void_numbers: Runs::default(),
                taken: Taking {
                    files: unsigned(row.get(8)?),
                    last_at: time(row.get(9)?),
                    waiting: unsigned(row.get(10)?),
                    waiting_since: time(row.get(11)?),
                },
            };
            Ok((sum, [row.get::<_, String>(5)?, row.get(6)?, row.get(7)?]))
        })?;
        rows.into_iter()
            .map(|(sum, [parts, manifests, void])| {
                let runs = |text: &str| Runs::parse(text).ok_or_else(|| LedgerFault::Row(format!("numbers `{text}`")));
                let (part_numbers, manifest_numbers) = (runs(&parts)?, runs(&manifests)?);
                Ok(HourSum { part_numbers, manifest_numbers, void_numbers: runs(&void)?, ..sum })
            })
            .collect()
    }

    /// The hours of a feed that start in `span` and have batches, the first ones with at least `rows_min` batches and
    /// files together, as the span from the first to the last. `None` when there are not so many.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn hours_to_sum(&self, feed: &FeedId, span: &Range<i64>, rows_min: u64) -> Result<Option<Range<i64>>> {
        // What is found here is read again with its checks.
        let query = "SELECT b.start_second, (SELECT count(*) FROM main.file f WHERE f.batch = b.id) FROM main.batch b
                     WHERE b.feed = ?1 AND b.start_second >= ?2 AND b.start_second < ?3 ORDER BY b.start_second";
        let mut statement = self.check(self.connection.prepare_cached(query))?;
        let mut found = self.check(statement.query(params![feed.to_string(), span.start, span.end]))?;
        let (mut rows, mut first) = (0, None);
        while let Some(batch) = self.check(found.next())? {
            let (start, files): (i64, i64) = (self.check(batch.get(0))?, self.check(batch.get(1))?);
            first.get_or_insert(start);
            rows += 1 + unsigned(files);
            if rows >= rows_min {
                return Ok(first.map(|first| first..start.saturating_add(1)));
            }
        }
        Ok(None)
    }

    /// Keeps the sum over hours of a feed.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn add_hour_sum(&mut self, feed: &FeedId, sum: &HourSum) -> Result<()> {
        let HourSum { span, taken, .. } = sum;
        let nanos = |time: Option<UtcTime>| time.map(UtcTime::nanos);
        let values = params![
            feed.to_string(),
            span.start,
            span.end,
            sum.is_gapless,
            signed(sum.hours)?,
            signed(sum.files)?,
            sum.part_numbers.to_string(),
            sum.manifest_numbers.to_string(),
            sum.void_numbers.to_string(),
            signed(taken.files)?,
            nanos(taken.last_at),
            signed(taken.waiting)?,
            nanos(taken.waiting_since),
        ];
        let insert = "INSERT INTO main.hour_sum VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        self.transact(SyncPoint::LedgerOther, |t| run(t, insert, values).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(start: i64, end: i64) -> HourSum {
        HourSum {
            span: Partition { start, end },
            is_gapless: false,
            hours: 2,
            files: 3,
            part_numbers: Runs::parse("0:1-3 1:1").expect("runs"),
            manifest_numbers: Runs::default(),
            void_numbers: Runs::parse("0:2").expect("runs"),
            taken: Taking { files: 3, last_at: Some(UtcTime::from_nanos(7)), waiting: 0, waiting_since: None },
        }
    }

    #[test]
    fn a_sum_is_as_it_was_added_until_something_changes_in_its_hours() {
        let dir = tempfile::tempdir().expect("directory");
        let mut ledger = Ledger::created(&dir.path().join("ledger.db"));
        let feed = FeedId::parse("huaxin/voice").expect("feed");
        let other = FeedId::parse("huaxin/data").expect("feed");
        let rows = "INSERT INTO main.definition VALUES ('d', 'huaxin/voice', '');
            INSERT INTO main.batch VALUES (1, 'huaxin/voice', 7200, 10800, 0, 'retired', NULL, 1, 2, 'd', 1, 0, 0, 1, 0, 0, 0, 1, 0, 0);
            INSERT INTO main.file (id, batch, part, name, records, state) VALUES (5, 1, 1, 'n', 1, 'delivered');
            INSERT INTO main.pickup (file, state) VALUES (5, 'there');
            INSERT INTO main.hour (feed, start_second, end_second) VALUES ('huaxin/voice', 7200, 10800);
            INSERT INTO main.lost VALUES ('huaxin/voice', 7200, 1);";
        ledger.connection.execute_batch(rows).expect("rows");
        let changes = [
            "UPDATE main.hour SET received = 9",
            "INSERT INTO main.hour (feed, start_second, end_second) VALUES ('huaxin/voice', 10800, 14400)",
            "INSERT OR REPLACE INTO main.lost VALUES ('huaxin/voice', 7200, 2)",
            "UPDATE main.lost SET start_second = 18000",
            "UPDATE main.batch SET state = 'void'",
            "UPDATE main.file SET state = 'held'",
            "UPDATE main.file SET number = 9",
            "INSERT INTO main.file (id, batch, part, name, records, state) VALUES (6, 1, 2, 'm', 1, 'planned')",
            "INSERT OR REPLACE INTO main.pickup (file, state) VALUES (5, 'picked up')",
            "DELETE FROM main.pickup WHERE file = 5",
            "DELETE FROM main.file WHERE id = 6",
            "DELETE FROM main.hour WHERE start_second = 7200",
            "DELETE FROM main.file",
            "DELETE FROM main.batch",
        ];
        for change in changes {
            let others = [sum(0, 7200), sum(14_400, 18_000)];
            ledger.connection.execute("DELETE FROM main.hour_sum", []).expect("none");
            for sum in [&others[0], &sum(7200, 14_400), &others[1]] {
                ledger.add_hour_sum(&feed, sum).expect("added");
            }
            ledger.add_hour_sum(&other, &sum(7200, 14_400)).expect("added");
            assert_eq!(ledger.hour_sums(&feed, i64::MIN).expect("sums")[1], sum(7200, 14_400));
            ledger.connection.execute_batch("UPDATE main.file SET archive_path = 'x', attempt = 2").expect("no matter");
            assert_eq!(ledger.hour_sums(&feed, i64::MIN).expect("sums").len(), 3);
            ledger.connection.execute_batch(change).expect(change);
            assert_eq!(ledger.hour_sums(&feed, i64::MIN).expect("sums"), others, "{change}");
            assert_eq!(ledger.hour_sums(&other, i64::MIN).expect("sums").len(), 1, "{change}");
            let behind = |from| ledger.hour_sums(&feed, from).expect("sums").len();
            assert_eq!([0, 1, 14_400, 14_401].map(behind), [2, 2, 2, 1], "{change}");
        }
        ledger.require_undamaged().expect("whole");
    }

    #[test]
    fn the_first_hours_with_enough_rows_are_found() {
        let dir = tempfile::tempdir().expect("directory");
        let ledger = Ledger::created(&dir.path().join("ledger.db"));
        let feed = FeedId::parse("huaxin/voice").expect("feed");
        ledger.connection.execute_batch("INSERT INTO main.definition VALUES ('d', 'huaxin/voice', '')").expect("row");
        for hour in 1..=5 {
            let insert = "INSERT INTO main.batch VALUES (?1, 'huaxin/voice', ?2, ?2 + 3600, 0, 'retired', NULL, 1, 2,
                          'd', 1, 0, 0, 1, 0, 0, 0, 1, 0, 0)";
            ledger.connection.execute(insert, params![hour, hour * 3600]).expect("batch");
            let insert =
                "INSERT INTO main.file (batch, part, name, records, state) VALUES (?1, 1, 'n', 1, 'delivered')";
            ledger.connection.execute(insert, params![hour]).expect("file");
        }
        let found = |span: Range<i64>, rows| ledger.hours_to_sum(&feed, &span, rows).expect("hours");
        assert_eq!(found(i64::MIN..i64::MAX, 3), Some(3600..7201));
        assert_eq!(found(3601..i64::MAX, 4), Some(7200..10_801));
        assert_eq!(found(3601..10_801, 4), Some(7200..10_801));
        assert_eq!((found(3601..10_800, 4), found(i64::MIN..i64::MAX, 11)), (None, None));
    }
}
