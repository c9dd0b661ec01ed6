//! Ledgers of releases before. A new release adds tables, indexes and columns of views, and leaves everything else as it
//! is, so what an older ledger lacks is made when it is opened to work with, and stood in for when it is only read.

use super::{Ledger, Result, SCHEMA, SCHEMA_VERSION, checked_rows, copy, run};
use crate::disk::SyncPoint;
use rusqlite::Connection;

/// Schemas that lack nothing but what can be added.
const READABLE: [&str; 1] = ["2"];

/// True for a ledger of a release before that this program can read.
pub(super) fn is_readable(schema: &str) -> bool {
    READABLE.contains(&schema)
}

/// An empty ledger as this program makes it, in memory, without the triggers.
pub(super) fn model() -> rusqlite::Result<Connection> {
    let model = Connection::open_in_memory()?;
    checked_rows::teach(&model)?;
    model.execute_batch(SCHEMA)?;
    Ok(model)
}

/// What a ledger defines: kind, name and statement, in the order in which it was made.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<(String, String, String)>> {
    let query = "SELECT type, name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid";
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// What a ledger lacks.
fn missing(connection: &Connection) -> rusqlite::Result<Vec<(String, String, String)>> {
    let there = objects(connection)?;
    let is_there = |kind: &str, name: &str| there.iter().any(|known| known.0 == kind && known.1 == name);
    let expected = objects(&model()?)?.into_iter();
    Ok(expected.filter(|(kind, name, _)| !is_there(kind, name)).collect())
}

/// Puts an empty table in front of each one that the file lacks, for this connection alone.
pub(super) fn stand_in(connection: &Connection) -> rusqlite::Result<()> {
    let found: String =
        connection.query_row("SELECT value FROM main.store WHERE key = 'schema_version'", [], |row| row.get(0))?;
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    let model = model()?;
    for (_, name, _) in missing(connection)?.into_iter().filter(|(kind, _, _)| kind == "table") {
        let mut columns = model.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let columns = columns.query_map([&name], |row| row.get::<_, String>(0))?;
        let columns: Vec<String> =
            columns.map(|column| Ok(format!("\"{}\"", column?))).collect::<rusqlite::Result<_>>()?;
        connection.execute_batch(&format!("CREATE TEMP TABLE {name} ({})", columns.join(", ")))?;
    }
    Ok(())
}

impl Ledger {
    /// Makes an older ledger one of this program, in one transaction. Does nothing to others.
    ///
    /// # Errors
    /// [`super::LedgerFault`]; nothing was changed then.
    pub(super) fn upgrade(&mut self) -> Result<()> {
        if !self.store_value("schema_version")?.is_some_and(|found| is_readable(&found)) {
            return Ok(());
        }
        let mut statements: Vec<String> = Vec::new();
        let views = self.check(objects(&self.connection))?.into_iter().filter(|(kind, _, _)| kind == "view");
        statements.extend(views.map(|(_, name, _)| format!("DROP VIEW {name}")));
        let missing = self.check(missing(&self.connection))?;
        statements.extend(missing.into_iter().filter(|(kind, _, _)| kind != "view").map(|(_, _, sql)| sql));
        let views = self.check(model().and_then(|model| objects(&model)))?;
        statements.extend(views.into_iter().filter(|(kind, _, _)| kind == "view").map(|(_, _, sql)| sql));
        statements.push(copy::triggers());
        let sql = statements.join(";\n");
        self.transact(SyncPoint::LedgerOther, |t| {
            super::row(t.execute_batch(&sql))?;
            run(t, "UPDATE main.store SET value = ?1 WHERE key = 'schema_version'", [SCHEMA_VERSION]).map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    /// A ledger as the release before made it: without what came after.
    fn older(dir: &Path) -> PathBuf {
        let path = dir.join("ledger.db");
        let ledger = Ledger::create(&path, "0a").expect("ledger");
        let later = "DROP VIEW main.v_files; DROP TABLE main.pickup; DROP TABLE main.look; DROP TABLE main.answer; DROP TABLE main.verdict;
                     DROP INDEX main.file_name; DROP INDEX main.batch_feed_state;
                     CREATE VIEW main.v_files AS SELECT name FROM file;
                     UPDATE main.store SET value = '2' WHERE key = 'schema_version';";
        ledger.connection.execute_batch(later).expect("an older ledger");
        path
    }

    #[test]
    fn an_older_ledger_is_read_as_it_is_and_becomes_one_of_this_release_when_it_is_worked_with() {
        let dir = tempfile::tempdir().expect("directory");
        let path = older(dir.path());
        let reader = Ledger::open_read_only(&path).expect("readable");
        assert_eq!(reader.store_value("schema_version").expect("a value").as_deref(), Some("2"));
        reader.require_undamaged().expect("whole");
        let rows: i64 = reader.connection.query_row("SELECT count(*) FROM pickup", [], |row| row.get(0)).expect("rows");
        assert_eq!(rows, 0);
        drop(reader);
        let ledger = Ledger::open(Arc::new(RealDisk), &path).expect("opened");
        assert_eq!(ledger.store_value("schema_version").expect("a value").as_deref(), Some(SCHEMA_VERSION));
        ledger.require_undamaged().expect("whole");
        assert!(missing(&ledger.connection).expect("schema").is_empty());
        drop(ledger);
        Ledger::open_read_only(&path).expect("readable").require_undamaged().expect("whole");
    }
}
