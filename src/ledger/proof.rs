//! Everything that can be checked about the ledger by itself: what SQLite finds wrong with the file, the statements that
//! made it, the check of every row, and the chain of facts.

use super::checked_rows::{self, CheckedTable};
use super::model::{Object, model, objects};
use super::{Ledger, LedgerFault, Result, upgrade};
use crate::disk::SyncPoint;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many findings of one kind are named; a file that is damaged all over needs no longer list.
const NAMED_MAX: usize = 20;

impl Ledger {
    /// Checks everything and names what is damaged. Takes time in proportion to the size of the ledger.
    ///
    /// # Errors
    /// [`LedgerFault`] when the ledger cannot be read at all. Damage is no error here.
    pub fn damage(&self) -> Result<Vec<String>> {
        let named = |part: Result<Vec<String>>| match part {
            Err(LedgerFault::Damaged { what, .. }) => Ok(vec![what]),
            found => found,
        };
        let mut found = named(self.damaged_file())?;
        let schema = named(self.damaged_schema())?;
        let rows = named(self.damaged_rows(schema.is_empty()))?;
        found.extend(schema.into_iter().chain(rows));
        found.extend(named(self.damaged_history())?);
        Ok(found)
    }

    /// As [`Ledger::damage`], for a start that must not go on.
    ///
    /// # Errors
    /// [`LedgerFault::Damaged`] with the first findings.
    pub fn require_undamaged(&self) -> Result<()> {
        let found = self.damage()?;
        if found.is_empty() {
            return Ok(());
        }
        let named: Vec<&str> = found.iter().take(3).map(String::as_str).collect();
        let more = found.len().saturating_sub(named.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(LedgerFault::Damaged { path: self.path.clone(), what: format!("{}{more}", named.join("; ")) })
    }

    /// Pages, indexes and constraints, as SQLite sees them.
    fn damaged_file(&self) -> Result<Vec<String>> {
        let lines =
            self.rows(&format!("PRAGMA main.integrity_check({NAMED_MAX})"), [], |row| row.get::<_, String>(0))?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// Tables, indexes and views must be those of this program: a changed default would go unnoticed.
    fn damaged_schema(&self) -> Result<Vec<String>> {
        // What this program has added comes with the first work on an older ledger.
        let is_older = self.is_older()?;
        let named = |object: &Object| format!("{} {}", object.kind, object.name);
        let found = self.check(objects(&self.connection))?;
        let found: BTreeMap<String, String> = found.iter().map(|it| (named(it), plain(&it.sql))).collect();
        let differs = self.check(model())?.objects.iter().filter(|object| {
            let known = found.get(&named(object));
            let is_new = is_older && (object.kind == "view" || known.is_none());
            !is_new && known != Some(&plain(&object.sql))
        });
        Ok(differs.map(|it| format!("the definition of {} is not as it was written", named(it))).collect())
    }

    fn is_older(&self) -> Result<bool> {
        Ok(self.store_value("schema_version")?.is_some_and(|found| upgrade::is_readable(&found)))
    }

    fn damaged_rows(&self, is_schema_whole: bool) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let own;
        // Only the file itself knows what it holds when it is not as this program makes it.
        let tables = if is_schema_whole && !self.is_older()? {
            &self.check(model())?.checked_tables
        } else {
            own = self.check(checked_rows::checked_tables(&self.connection))?;
            &own
        };
        for table in tables {
            found.extend(self.damaged_rows_of(table)?);
        }
        Ok(found)
    }

    fn damaged_rows_of(&self, table: &CheckedTable) -> Result<Vec<String>> {
        let keys = self.rows(&table.damaged_rows(), [], |row| row.get::<_, String>(0))?;
        Ok(keys.into_iter().take(NAMED_MAX).map(|key| format!("table {}, row {key}", table.name)).collect())
    }

    fn damaged_history(&self) -> Result<Vec<String>> {
        self.verify_facts().map(|_| Vec::new())
    }

    /// Brings everything into the ledger's own file and empties SQLite's log. False when a reader keeps it from that.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn gather(&self) -> Result<bool> {
        // SQLite syncs what it moves: this is a durable operation like a commit.
        let refused = |source| LedgerFault::Refused { operation: "write", path: self.path.clone(), source };
        self.disk.before_ledger_commit(SyncPoint::LedgerOther).map_err(refused)?;
        self.check(self.connection.busy_timeout(Duration::from_secs(1)))?;
        let busy = self.connection.query_row("PRAGMA main.wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.check(self.connection.busy_timeout(super::BUSY_MAX))?;
        let busy = self.check(busy)?;
        self.disk.after_ledger_commit(SyncPoint::LedgerOther).map_err(refused)?;
        Ok(busy == 0)
    }
}

/// A statement without comments and spaces.
fn plain(sql: &str) -> String {
    let code = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    code.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::intake::{HASHES_OF, OF_LENGTH};
    use super::*;
    use crate::disk::{RealDisk, SyncPoint};
    use crate::domain::batch::HourCounts;
    use crate::domain::ids::{FeedId, HashedBy, InputHash, Lsn, SourceId};
    use crate::domain::period::Partition;
    use crate::domain::time::UtcTime;
    use crate::ledger::intake::{InputRow, IntakeEntry};
    use std::path::Path;
    use std::sync::Arc;

    fn counts(received: u64) -> IntakeEntry {
        let feed = FeedId::parse("huaxin/voice").expect("feed");
        let counts = HourCounts { received, ..HourCounts::default() };
        let hours = [(feed, Some(Partition { start: 0, end: 3600 }), counts)].into_iter().collect();
        IntakeEntry { hours, ..IntakeEntry::default() }
    }

    fn filled(dir: &Path) -> Ledger {
        let mut ledger = Ledger::created(&dir.join("ledger.db"));
        ledger.apply_intake(Lsn(1), &counts(5)).expect("intake");
        ledger
    }

    /// A row as a flipped bit would leave it: changed behind the back of the check.
    fn flip(ledger: &Ledger, table: &str, change: &str) {
        let connection = &ledger.connection;
        let sql: String = connection
            .query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
            .expect("statement");
        let begin = sql.find("INTEGER NOT NULL AS (row_check").expect("check");
        let end = begin + sql[begin..].find(")) STORED").expect("end") + ")) STORED".len();
        let bare = format!("{}INTEGER{}", &sql[..begin], &sql[end..]);
        let version: i64 = connection.query_row("PRAGMA schema_version", [], |row| row.get(0)).expect("version");
        let write = |text: &str, version: i64| {
            connection
                .execute("UPDATE main.sqlite_schema SET sql = ?2 WHERE name = ?1", [table, text])
                .expect("schema");
            connection.pragma_update(None, "schema_version", version).expect("version");
        };
        connection.pragma_update(None, "writable_schema", true).expect("pragma");
        write(&bare, version + 1);
        connection.execute_batch(&format!("DROP TRIGGER {table}_before_UPDATE; {change}")).expect("change");
        write(&sql, version + 2);
        connection.pragma_update(None, "writable_schema", false).expect("pragma");
    }

    #[test]
    fn every_table_but_the_chained_one_has_checks_and_they_hold() {
        let dir = tempfile::tempdir().expect("directory");
        let ledger = filled(dir.path());
        let tables: Vec<String> = ledger
            .rows("SELECT name FROM main.sqlite_schema WHERE type = 'table'", [], |row| row.get(0))
            .expect("tables");
        let checked = checked_rows::checked_tables(&ledger.connection).expect("tables");
        let missing: Vec<&String> =
            tables.iter().filter(|name| checked.iter().all(|table| table.name != **name)).collect();
        assert_eq!(missing, ["fact"], "a table needs a column `check` as the others have it");
        assert_eq!(ledger.damage().expect("proof"), Vec::<String>::new());
    }

    #[test]
    fn a_changed_row_is_an_error_for_everyone_who_reads_or_writes_it() {
        let dir = tempfile::tempdir().expect("directory");
        let feed = FeedId::parse("huaxin/voice").expect("feed");
        let mut ledger = filled(dir.path());
        flip(&ledger, "hour", "UPDATE main.hour SET received = 4");
        drop(ledger);
        ledger = Ledger::open(Arc::new(RealDisk), &dir.path().join("ledger.db")).expect("ledger");
        let says = |result: Result<()>| match result {
            Err(LedgerFault::Damaged { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        let row = "table hour, row huaxin/voice 0";
        assert_eq!(says(ledger.hour_counts(&feed, 0).map(|_| ())), row);
        assert_eq!(says(ledger.waiting_feeds().map(|_| ())), row, "the views are checked, too");
        assert_eq!(says(ledger.apply_intake(Lsn(2), &counts(1))), row, "a change must not make it good");
        assert_eq!(
            says(ledger.transact(SyncPoint::LedgerOther, |t| {
                super::super::run(t, "DELETE FROM main.hour", []).map(|_| ())
            })),
            row
        );
        assert_eq!(ledger.damage().expect("proof"), ["table hour, row 'huaxin/voice' 0"]);
        assert!(matches!(ledger.require_undamaged(), Err(LedgerFault::Damaged { .. })));
    }

    #[test]
    fn a_changed_definition_is_found() {
        let dir = tempfile::tempdir().expect("directory");
        let ledger = filled(dir.path());
        ledger.connection.pragma_update(None, "writable_schema", true).expect("pragma");
        let change = "UPDATE main.sqlite_schema SET sql = replace(sql, 'DEFAULT 1', 'DEFAULT 3') WHERE name = 'file'";
        ledger.connection.execute(change, []).expect("change");
        assert_eq!(ledger.damage().expect("proof"), ["the definition of table file is not as it was written"]);
    }

    /// SQLite puts constants of a query in the place of columns: a row that is looked at and does not match is whole.
    #[test]
    fn a_row_that_only_some_conditions_fit_is_not_taken_for_damaged() {
        let dir = tempfile::tempdir().expect("directory");
        let mut ledger = filled(dir.path());
        let source = SourceId::parse("switch").expect("source");
        let of = |digest| InputHash { by: HashedBy::Blake3, digest: [digest; 32] };
        let input = |name: &str, hash| InputRow {
            source: source.clone(),
            name: name.to_owned(),
            bytes: 5,
            modified_nanos: 1,
            hash: of(hash),
            records: 1,
            rejects: 0,
            at: UtcTime::from_nanos(2),
        };
        let entry = IntakeEntry { inputs: vec![input("a", 1), input("b", 2)], ..IntakeEntry::default() };
        ledger.apply_intake(Lsn(2), &entry).expect("intake");
        let with = |hash| ledger.input_with_content(&source, 5, &of(hash)).expect("a query");
        assert_eq!(with(2).map(|row| row.name).as_deref(), Some("b"));
        assert_eq!(with(3), None);
    }

    #[test]
    fn queries_through_the_checked_views_still_use_indexes() {
        let dir = tempfile::tempdir().expect("directory");
        let ledger = filled(dir.path());
        let queries = [
            ("SELECT state FROM batch WHERE id = 1", "SEARCH t USING INTEGER PRIMARY KEY"),
            ("SELECT id FROM batch WHERE feed = 'a' AND start_second = 0 AND revision = 0", "sqlite_autoindex_batch_1"),
            ("SELECT id FROM batch WHERE state = 'planned' ORDER BY id", "batch_state"),
            ("SELECT part FROM file WHERE batch = 1 ORDER BY part = 0, part", "sqlite_autoindex_file_1"),
            (
                "SELECT f.name FROM file f JOIN batch b ON b.id = f.batch WHERE b.feed = 'a' AND b.start_second = 0 AND
              f.part > 0 AND f.sha256 IS NOT NULL ORDER BY b.revision, f.part",
                "sqlite_autoindex_file_1",
            ),
            ("SELECT value FROM store WHERE key = 'a'", "SEARCH t USING PRIMARY KEY"),
            ("SELECT received FROM hour WHERE feed = 'a' AND start_second = 0", "SEARCH t USING PRIMARY KEY"),
            ("SELECT sha256 FROM input WHERE source = 'a' AND name = 'b' ORDER BY id DESC LIMIT 1", "input_name"),
            ("SELECT name FROM input WHERE source = 'a' AND sha256 = 'b' AND bytes = 1 LIMIT 1", "input_content"),
            ("SELECT record FROM position WHERE source = 'a' AND input = 'b'", "SEARCH t USING PRIMARY KEY"),
            ("SELECT code FROM alarm WHERE subject = 'a'", "SEARCH t USING PRIMARY KEY"),
            ("SELECT count(*) FROM quarantine WHERE feed = 'a' AND start_second = 0", "quarantine_hour"),
        ];
        let of_length =
            HASHES_OF.map(|(_, range)| format!("{OF_LENGTH} AND {range}").replace("?1", "'a'").replace("?2", "1"));
        let of_length =
            of_length.iter().map(|query| (query.as_str(), "input_content (source=? AND bytes=? AND sha256"));
        for (query, index) in queries.into_iter().chain(of_length) {
            let plan = ledger.rows(&format!("EXPLAIN QUERY PLAN {query}"), [], |row| row.get::<_, String>(3));
            let plan = plan.expect("plan").join("; ");
            assert!(plan.contains(index) && !plan.contains("SCAN"), "{query}: {plan}");
        }
    }
}
