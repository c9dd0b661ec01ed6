//! Checksums of rows. SQLite does not notice a flipped bit; these do.
//!
//! Every table but `fact`, whose rows are chained, has a column `check` that SQLite computes whenever it writes a row:
//! [`ROW_CHECK`] over the table's name and all other columns. A connection that was [`teach`]ed has, for each such
//! table,
//! - a temporary view of the same name, in which a row whose check does not hold is an error. Bare names in queries
//!   mean these views, so nothing reads a row unchecked;
//! - a trigger that looks at a row before it is changed or removed: otherwise the check after a change would cover
//!   what was damaged before it.
//!
//! The views look at the row once more by its key: SQLite answers a condition from an index or a constant of the query
//! where it can, and a check over those would say nothing about the row, or call a row damaged that does not match.
//!
//! Statements that write name the table itself, `main.batch`. The stable views for people read the tables, so that any
//! program can use them; here they are made once more over the checked ones.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ffi};

/// The SQL function that computes the check of a row: CRC32C of the table's name and the values with their types.
const ROW_CHECK: &str = "row_check";

/// The SQL function that is true for a row as it was written, and an error otherwise.
const INTACT: &str = "intact";

/// How the message of a failed check begins.
const DAMAGED: &str = "damaged row: ";

/// Arguments of `intact` in front of the columns: table, places of the key, stored check.
const BEFORE_COLUMNS: usize = 3;

/// How SQLite's `table_xinfo` marks a column that is computed when its row is written.
const STORED: i64 = 3;

/// A table whose rows have a check.
pub(super) struct CheckedTable {
    pub name: String,
    /// All columns but the check.
    pub columns: Vec<String>,
    /// Which of them are the primary key.
    key: Vec<usize>,
}

/// Makes the functions known that the tables need. Writing to a ledger is not possible without them.
///
/// # Errors
/// SQLite's.
pub fn teach(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function(ROW_CHECK, -1, flags, |context| Ok(row_check(context, 0, 1)))?;
    connection.create_scalar_function(INTACT, -1, flags, intact)
}

/// The statements that put the checked views in front of these tables of a ledger.
pub(super) fn front(connection: &Connection, tables: &[CheckedTable]) -> rusqlite::Result<String> {
    let mut statements = String::new();
    for table in tables {
        let name = &table.name;
        statements.push_str(&format!(
            "CREATE TEMP VIEW {name} AS SELECT {} FROM main.{name} AS t
             WHERE (SELECT {} FROM main.{name} AS s WHERE {});",
            table.columns.join(", "),
            table.intact("s."),
            table.same_key()
        ));
        for act in ["UPDATE", "DELETE"] {
            let condition = table.intact("OLD.");
            statements.push_str(&format!(
                "CREATE TEMP TRIGGER {name}_before_{act} BEFORE {act} ON main.{name} BEGIN SELECT {condition}; END;"
            ));
        }
    }
    let mut views = connection.prepare("SELECT sql FROM main.sqlite_schema WHERE type = 'view'")?;
    for view in views.query_map([], |row| row.get::<_, String>(0))? {
        statements.push_str(&view?.replacen("CREATE VIEW", "CREATE TEMP VIEW", 1));
        statements.push(';');
    }
    Ok(statements)
}

/// Every table that has checks, by name.
pub(super) fn checked_tables(connection: &Connection) -> rusqlite::Result<Vec<CheckedTable>> {
    let mut names = connection.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let mut tables: Vec<CheckedTable> = Vec::new();
    for name in names.query_map([], |row| row.get::<_, String>(0))? {
        let mut table = CheckedTable { name: name?, columns: Vec::new(), key: Vec::new() };
        let mut is_checked = false;
        connection.pragma(Some("main"), "table_xinfo", &table.name, |row| {
            let (column, key, hidden): (String, i64, i64) = (row.get("name")?, row.get("pk")?, row.get("hidden")?);
            if hidden == STORED {
                is_checked |= column == "check";
                return Ok(());
            }
            if key > 0 {
                table.key.push(table.columns.len());
            }
            // A name such as `table` is a word of SQL, too.
            table.columns.push(format!("\"{column}\""));
            Ok(())
        })?;
        tables.extend(is_checked.then_some(table));
    }
    Ok(tables)
}

impl CheckedTable {
    fn intact(&self, of: &str) -> String {
        let key: Vec<String> = self.key.iter().map(ToString::to_string).collect();
        let columns: Vec<String> = self.columns.iter().map(|column| format!("{of}{column}")).collect();
        format!("{INTACT}('{}', '{}', {of}\"check\", {})", self.name, key.join(" "), columns.join(", "))
    }

    /// That `s` and `t` are the same row.
    fn same_key(&self) -> String {
        let key = self.key.iter().filter_map(|place| self.columns.get(*place));
        key.map(|column| format!("s.{column} = t.{column}")).collect::<Vec<_>>().join(" AND ")
    }

    /// A query for the rows whose check does not hold, as their keys. It reads the table itself.
    pub(super) fn damaged_rows(&self) -> String {
        let columns = self.columns.join(", ");
        let key = self.key.iter().filter_map(|place| self.columns.get(*place));
        let key: Vec<String> = key.map(|column| format!("quote({column})")).collect();
        format!(
            "SELECT {} FROM main.{name} NOT INDEXED WHERE \"check\" IS NOT {ROW_CHECK}('{name}', {columns})",
            key.join(" || ' ' || "),
            name = self.name
        )
    }
}

/// What the message of a failed check says, without its beginning; `None` for other messages.
pub(super) fn damage(message: &str) -> Option<&str> {
    message.strip_prefix(DAMAGED)
}

/// The check of the values from argument `first` on, for the table that argument `table` names.
fn row_check(context: &Context<'_>, table: usize, first: usize) -> i64 {
    let mut crc = append(0, context.get_raw(table));
    for place in first..context.len() {
        crc = append(crc, context.get_raw(place));
    }
    i64::from(crc)
}

/// Type and length stand before each value, so no two rows have the same bytes.
fn append(crc: u32, value: ValueRef<'_>) -> u32 {
    let sized = |kind: u8, bytes: &[u8]| {
        let crc = crc32c::crc32c_append(crc, &[kind]);
        let crc = crc32c::crc32c_append(crc, &(bytes.len() as u64).to_le_bytes());
        crc32c::crc32c_append(crc, bytes)
    };
    match value {
        ValueRef::Null => sized(0, &[]),
        ValueRef::Integer(number) => sized(1, &number.to_le_bytes()),
        ValueRef::Real(number) => sized(2, &number.to_bits().to_le_bytes()),
        ValueRef::Text(text) => sized(3, text),
        ValueRef::Blob(bytes) => sized(4, bytes),
    }
}

fn intact(context: &Context<'_>) -> rusqlite::Result<bool> {
    if context.len() > BEFORE_COLUMNS && context.get_raw(2) == ValueRef::Integer(row_check(context, 0, BEFORE_COLUMNS))
    {
        return Ok(true);
    }
    let text = |place: usize| match context.get_raw(place) {
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => "?".to_owned(),
    };
    let places = text(1);
    let places = places.split(' ').filter_map(|place| place.parse::<usize>().ok());
    let key: Vec<String> = places
        .filter(|place| place + BEFORE_COLUMNS < context.len())
        .map(|place| text(place + BEFORE_COLUMNS))
        .collect();
    let message = format!("{DAMAGED}table {}, row {}", text(0), key.join(" "));
    Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(message)))
}
