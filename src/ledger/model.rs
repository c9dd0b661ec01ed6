//! What an empty ledger of this program defines. It is made once per process, in memory, and then read: making it takes
//! longer than opening a ledger.

use super::checked_rows::{self, CheckedTable};
use super::{Connection, SCHEMA};
use std::sync::OnceLock;

/// The definitions of this program.
pub(super) struct Model {
    pub objects: Vec<Object>,
    pub checked_tables: Vec<CheckedTable>,
    /// The statements of [`checked_rows::front`].
    pub front: String,
}

/// A table, index, view or trigger.
pub(super) struct Object {
    pub kind: String,
    pub name: String,
    /// The statement that makes it.
    pub sql: String,
}

/// The model.
///
/// # Errors
/// SQLite's.
pub(super) fn model() -> rusqlite::Result<&'static Model> {
    static MODEL: OnceLock<Model> = OnceLock::new();
    if let Some(known) = MODEL.get() {
        return Ok(known);
    }
    let connection = Connection::open_in_memory()?;
    checked_rows::teach(&connection)?;
    connection.execute_batch(SCHEMA)?;
    let checked_tables = checked_rows::checked_tables(&connection)?;
    let front = checked_rows::front(&connection, &checked_tables)?;
    let made = Model { objects: objects(&connection)?, checked_tables, front };
    Ok(MODEL.get_or_init(|| made))
}

/// What a ledger defines, in the order in which it was made.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<Vec<Object>> {
    let query = "SELECT type, name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid";
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map([], |row| Ok(Object { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? }))?;
    rows.collect()
}
