//! Ledgers of releases before. A new release adds tables, indexes and columns of views, and leaves everything else as it
//! is, so what an older ledger lacks is made when it is opened to work with, and stood in for when it is only read. Rows
//! keep their meaning; new ones may hold what an older program does not know, which therefore reads no newer schema.

use super::checked_rows::CheckedTable;
use super::model::{Object, model, objects};
use super::{Ledger, Result, SCHEMA_VERSION, copy, run, sums};
use crate::disk::SyncPoint;
use rusqlite::Connection;

/// Schemas that lack nothing but what can be added.
const READABLE: [&str; 3] = ["2", "3", "4"];

/// True for a ledger of a release before that this program can read.
pub(super) fn is_readable(schema: &str) -> bool {
    READABLE.contains(&schema)
}

/// What a ledger lacks.
fn missing(connection: &Connection) -> rusqlite::Result<impl Iterator<Item = &'static Object>> {
    let there = objects(connection)?;
    let is_there = move |object: &Object| there.iter().any(|it| it.kind == object.kind && it.name == object.name);
    Ok(model()?.objects.iter().filter(move |object| !is_there(object)))
}

/// Puts an empty table in front of each one that the file lacks, for this connection alone.
pub(super) fn stand_in(connection: &Connection) -> rusqlite::Result<()> {
    let tables: Vec<&Object> = missing(connection)?.filter(|object| object.kind == "table").collect();
    for CheckedTable { name, columns, .. } in &model()?.checked_tables {
        if tables.iter().any(|table| table.name == *name) {
            connection.execute_batch(&format!("CREATE TEMP TABLE {name} ({})", columns.join(", ")))?;
        }
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
        let is_view = |object: &Object| object.kind == "view";
        let views = self.check(objects(&self.connection))?.into_iter().filter(is_view);
        statements.extend(views.map(|view| format!("DROP VIEW {}", view.name)));
        let missing = self.check(missing(&self.connection))?;
        statements.extend(missing.filter(|object| !is_view(object)).map(|object| object.sql.clone()));
        let views = self.check(model())?.objects.iter().filter(|object| is_view(object));
        statements.extend(views.map(|view| view.sql.clone()));
        statements.extend([copy::triggers(), sums::triggers()]);
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
        let ledger = Ledger::created(&path);
        let later = "DROP VIEW main.v_files; DROP TABLE main.pickup; DROP TABLE main.look; DROP TABLE main.answer; DROP TABLE main.verdict;
                     DROP TABLE main.hour_sum;
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
        assert_eq!(missing(&ledger.connection).expect("schema").count(), 0);
        drop(ledger);
        Ledger::open_read_only(&path).expect("readable").require_undamaged().expect("whole");
    }
}
