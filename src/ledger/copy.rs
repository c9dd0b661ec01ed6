//! The copy of the ledger that lies beside the archive: which rows changed since they were told, and bringing told rows
//! back.
//!
//! Triggers note the key of every row that changes in `touched`. [`Ledger::untold`] gives these rows as they are now; when
//! the copy is durable, [`Ledger::told`] lets the keys go with the next transaction. Until then the copy is ahead by rows
//! that are exactly these, so a ledger that differs from a copy with a higher number was rolled back.

use super::{Ledger, LedgerFault, Result, ask, checked_rows, row, run};
use crate::disk::SyncPoint;
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params, params_from_iter};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Tables that are copied, with their keys. Alarms stand only as long as their reason and are raised again; the time of
/// the last look at a partner's directory is that of the next one soon; sums over settled hours are made again.
const COPIED: [(&str, &[&str]); 20] = [
    ("definition", &["hash"]),
    ("feed_version", &["feed", "from_second"]),
    ("feed", &["feed"]),
    ("counter", &["name"]),
    ("hour", &["feed", "start_second"]),
    ("lost", &["feed", "start_second"]),
    ("batch", &["id"]),
    ("file", &["id"]),
    ("pickup", &["file"]),
    ("answer", &["id"]),
    ("verdict", &["file"]),
    ("input", &["id"]),
    ("position", &["source", "input"]),
    ("source", &["source"]),
    ("quarantine", &["id"]),
    ("fact", &["id"]),
    ("paused", &["subject"]),
    ("ordered_hold", &["feed", "start_second"]),
    ("request", &["id"]),
    ("store", &["key"]),
];
/// Of the facts about the store itself, only how far the spool was applied and the last fact are copied.
const STORE_KEYS: &str = "('applied_lsn', 'freed_lsn', 'last_fact')";
const NUMBER: &str = "log_number";

/// Rows that are not in the copy yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Untold {
    /// The rows as they are: `{"table":…,"row":{…}}`, or `{"table":…,"gone":[key]}` for one that was deleted.
    pub rows: Vec<Value>,
    /// Marks them for [`Ledger::told`].
    pub mark: i64,
    /// There are more.
    pub more: bool,
}

/// What the copy has got, to be noted with the next transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    number: u64,
    mark: i64,
}

/// The triggers that note what changes. A conflict clause would be overruled by that of the statement that fires.
pub(super) fn triggers() -> String {
    let mut sql = String::new();
    for (table, key) in COPIED {
        let of = |side: &str| key.iter().map(|column| format!("{side}.{column}")).collect::<Vec<_>>().join(", ");
        let only = |side: &str| match table {
            "store" => format!("WHEN {side}.key IN {STORE_KEYS}"),
            _ => String::new(),
        };
        for (act, side) in [("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")] {
            let written = write!(
                sql,
                "CREATE TRIGGER IF NOT EXISTS {table}_{act} AFTER {act} ON {table} {} BEGIN
                 INSERT INTO touched (\"table\", key) SELECT '{table}', k FROM (SELECT json_array({}) AS k)
                 WHERE NOT EXISTS (SELECT 1 FROM touched WHERE \"table\" = '{table}' AND key = k); END;\n",
                only(side),
                of(side)
            );
            debug_assert!(written.is_ok(), "writing to a text cannot fail");
        }
        let written = write!(
            sql,
            "CREATE TRIGGER IF NOT EXISTS {table}_MOVE AFTER UPDATE OF {} ON {table} WHEN json_array({}) != json_array({}) BEGIN
             INSERT INTO touched (\"table\", key) SELECT '{table}', k FROM (SELECT json_array({}) AS k)
                 WHERE NOT EXISTS (SELECT 1 FROM touched WHERE \"table\" = '{table}' AND key = k); END;\n",
            key.join(", "),
            of("OLD"),
            of("NEW"),
            of("OLD")
        );
        debug_assert!(written.is_ok(), "writing to a text cannot fail");
    }
    sql
}

/// Lets go what the copy has got.
pub(super) fn note(t: &Transaction<'_>, told: Told) -> Result<()> {
    run(t, "DELETE FROM main.touched WHERE id <= ?1", [told.mark])?;
    let insert = "INSERT OR REPLACE INTO main.store (key, value) VALUES (?1, ?2)";
    run(t, insert, params![NUMBER, told.number.to_string()])?;
    Ok(())
}

impl Ledger {
    /// Number of the last line of the copy that this ledger knows of.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn log_number(&self) -> Result<u64> {
        if let Some(told) = self.told {
            return Ok(told.number);
        }
        let text = self.store_value(NUMBER)?.unwrap_or_default();
        text.parse().map_err(|_| LedgerFault::Row(format!("{NUMBER} is `{text}`")))
    }

    /// The next rows, at most `limit`, that changed since they were told; `after` is the mark of those before.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn untold(&self, after: i64, limit: u32) -> Result<Untold> {
        let after = self.told.map_or(after, |told| told.mark.max(after));
        let query = "SELECT id, \"table\", key FROM touched WHERE id > ?1 ORDER BY id LIMIT ?2";
        let keys = self.rows(query, params![after, limit], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })?;
        let mut found = Untold { mark: after, ..Untold::default() };
        for (id, table, key) in keys {
            let key: Vec<Value> = serde_json::from_str(&key).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
            found.rows.push(match self.image(&table, &key)? {
                Some(row) => json!({ "table": table, "row": row }),
                None => json!({ "table": table, "gone": key }),
            });
            found.mark = id;
        }
        let more = "SELECT EXISTS (SELECT 1 FROM touched WHERE id > ?1)";
        found.more = self.check(ask(&self.connection, more, [found.mark], |row| row.get(0)))?;
        Ok(found)
    }

    /// The copy holds, up to line `number`, all rows up to `mark`.
    pub const fn told(&mut self, number: u64, mark: i64) {
        self.told = Some(Told { number, mark });
    }

    /// Records nothing more: a sync of the copy has failed.
    pub const fn latch(&mut self) {
        self.latched = true;
    }

    /// Notes what the copy has got, when that is not noted yet.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn note_told(&mut self) -> Result<()> {
        if self.told.is_none() { Ok(()) } else { self.transact(SyncPoint::LedgerOther, |_| Ok(())) }
    }

    /// Everything that is noted as changed is in the copy, up to line `number`.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn all_told(&mut self, number: u64) -> Result<()> {
        let query = "SELECT coalesce(max(id), 0) FROM touched";
        let mark = self.check(ask(&self.connection, query, [], |row| row.get(0)))?;
        self.told(number, mark);
        Ok(())
    }

    /// True when the ledger holds a row of the copy exactly as it is there.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn holds(&self, told: &Value) -> Result<bool> {
        let Some(table) = told.get("table").and_then(Value::as_str) else { return Ok(false) };
        if let Some(gone) = told.get("gone").and_then(Value::as_array) {
            return Ok(self.image(table, gone)?.is_none());
        }
        let Some(row) = told.get("row").and_then(Value::as_object) else { return Ok(false) };
        let key: Vec<Value> = key_of(table)?.iter().filter_map(|column| row.get(*column).cloned()).collect();
        Ok(self.image(table, &key)?.as_ref() == Some(row))
    }

    fn image(&self, table: &str, key: &[Value]) -> Result<Option<Map<String, Value>>> {
        let query = format!("SELECT * FROM \"{table}\" WHERE {}", condition(key_of(table)?));
        let key: Vec<Cell> = key.iter().map(cell).collect::<Result<_>>()?;
        let mut statement = self.check(self.connection.prepare_cached(&query))?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let read = |row: &rusqlite::Row<'_>| {
            let mut image = Map::new();
            for (index, column) in columns.iter().enumerate() {
                image.insert(column.clone(), json_of(row.get_ref(index)?));
            }
            Ok(image)
        };
        self.check(statement.query_row(params_from_iter(key), read).optional())
    }

    /// Notes every row as changed, so that a copy that begins anew gets all of them.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn touch_everything(&mut self) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            for (table, key) in COPIED {
                let only = if table == "store" { format!("WHERE key IN {STORE_KEYS}") } else { String::new() };
                let insert = format!(
                    "INSERT OR IGNORE INTO main.touched (\"table\", key) SELECT '{table}', json_array({}) FROM {table} {only}",
                    key.join(", ")
                );
                run(t, &insert, [])?;
            }
            Ok(())
        })
    }

    /// Brings rows of the copy back, in the order in which they were told; the last line was `number`.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was changed then.
    pub fn restore(&mut self, rows: &[Value], number: u64) -> Result<()> {
        // Rows come in the order in which they changed, not of their references.
        self.check(self.connection.pragma_update(None, "foreign_keys", false))?;
        let done = self.transact(SyncPoint::LedgerOther, |t| {
            rows.iter().try_for_each(|told| restore_row(t, told))?;
            note(t, Told { number, mark: i64::MAX })
        });
        self.check(self.connection.pragma_update(None, "foreign_keys", true))?;
        done
    }

    /// Writes a whole copy of the file to a path that must not exist.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn copy_to(&self, path: &std::path::Path) -> Result<()> {
        let path = path.to_str().ok_or_else(|| LedgerFault::Row("the path is not a text".to_owned()))?;
        // A connection without the checked views, which stand in front of the tables.
        let plain = self.check(Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE))?;
        self.check(checked_rows::teach(&plain))?;
        self.check(plain.execute("VACUUM INTO ?1", [path])).map(|_| ())
    }
}

fn restore_row(t: &Transaction<'_>, told: &Value) -> Result<()> {
    let unreadable = || LedgerFault::Row("a row of the archive's log is not readable".to_owned());
    let table = told.get("table").and_then(Value::as_str).ok_or_else(unreadable)?;
    let key = key_of(table)?;
    if let Some(gone) = told.get("gone").and_then(Value::as_array) {
        let values: Vec<Cell> = gone.iter().map(cell).collect::<Result<_>>()?;
        let delete = format!("DELETE FROM main.{table} WHERE {}", condition(key));
        row(t.prepare_cached(&delete).and_then(|mut statement| statement.execute(params_from_iter(values))))?;
        return Ok(());
    }
    let image = told.get("row").and_then(Value::as_object).ok_or_else(unreadable)?;
    let columns: Vec<String> = image.keys().map(|column| format!("\"{}\"", column.replace('"', "\"\""))).collect();
    let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
    let values: Vec<Cell> = image.values().map(cell).collect::<Result<_>>()?;
    let insert = format!("INSERT OR REPLACE INTO main.{table} ({}) VALUES ({})", columns.join(", "), places.join(", "));
    row(t.prepare_cached(&insert).and_then(|mut statement| statement.execute(params_from_iter(values))))?;
    Ok(())
}

fn key_of(table: &str) -> Result<&'static [&'static str]> {
    let known = COPIED.iter().find(|(known, _)| *known == table);
    known.map(|(_, key)| *key).ok_or_else(|| LedgerFault::Row(format!("the archive's log names a table `{table}`")))
}

fn condition(key: &[&str]) -> String {
    let parts: Vec<String> = key.iter().zip(1..).map(|(column, place)| format!("{column} = ?{place}")).collect();
    parts.join(" AND ")
}

fn json_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::from(number),
        ValueRef::Real(number) => Value::from(number),
        ValueRef::Text(text) => Value::from(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => {
            let digits = bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
                text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
                text
            });
            json!({ "hex": digits })
        }
    }
}

fn cell(value: &Value) -> Result<Cell> {
    let unreadable = || LedgerFault::Row("a value of the archive's log is not readable".to_owned());
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Number(number) => Cell::Integer(number.as_i64().ok_or_else(unreadable)?),
        Value::String(text) => Cell::Text(text.clone()),
        Value::Object(object) => {
            let digits = object.get("hex").and_then(Value::as_str).ok_or_else(unreadable)?;
            let bytes = digits.as_bytes().chunks(2).map(|pair| {
                std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(unreadable)
            });
            Cell::Blob(bytes.collect::<Result<_>>()?)
        }
        Value::Bool(_) | Value::Array(_) => return Err(unreadable()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::HourCounts;
    use crate::domain::ids::{FeedId, HashedBy, InputHash, Lsn, SourceId};
    use crate::domain::period::Partition;
    use crate::domain::time::UtcTime;
    use crate::ledger::batches::StoredDefinition;
    use crate::ledger::intake::{InputRow, IntakeEntry, PositionRow, QuarantineRow, QuarantineStage};
    use std::path::Path;

    fn create(dir: &Path, name: &str) -> Ledger {
        Ledger::created(&dir.join(name))
    }

    fn feed() -> FeedId {
        FeedId::parse("huaxin/voice").expect("feed")
    }

    /// Something in most tables, and a deleted row.
    fn work(ledger: &mut Ledger) {
        let version = StoredDefinition { from_second: 0, hash: "h1".to_owned(), text: "x = 'ü'".to_owned() };
        ledger.add_definition(&feed(), &version, None, UtcTime::from_nanos(5)).expect("definition");
        let source = SourceId::parse("switch").expect("source");
        let position = |input: &str| PositionRow {
            source: source.clone(),
            input: input.to_owned(),
            record: 1,
            line: 2,
            byte: 3,
            prefix_crc: u32::MAX,
        };
        let mut entry = IntakeEntry { positions: vec![position("a"), position("b")], ..IntakeEntry::default() };
        let counts = HourCounts { received: 7, ..HourCounts::default() };
        entry.hours.add(&feed(), Some(Partition { start: 0, end: 3600 }), counts);
        entry.quarantine.push(QuarantineRow {
            source: source.clone(),
            feed: None,
            start_second: None,
            input: "a".to_owned(),
            record: 1,
            line: 1,
            byte: 0,
            stage: QuarantineStage::Decode,
            reason: "bad".to_owned(),
            raw: vec![0, 255, 10],
            head: Vec::new(),
            lsn: Lsn(1),
            at: UtcTime::from_nanos(i64::MAX),
        });
        ledger.apply_intake(Lsn(1), &entry).expect("intake");
        let mut entry = IntakeEntry::default();
        entry.inputs.push(InputRow {
            source,
            name: "a".to_owned(),
            bytes: 10,
            modified_nanos: -1,
            hash: InputHash { by: HashedBy::Blake3, digest: [1; 32] },
            records: 7,
            rejects: 1,
            at: UtcTime::from_nanos(9),
        });
        ledger.apply_intake(Lsn(2), &entry).expect("intake");
    }

    fn contents(ledger: &Ledger) -> Vec<(String, Vec<String>)> {
        let rows = |table: &str| {
            let keys = key_of(table).expect("key").join(", ");
            let query = format!("SELECT * FROM {table} ORDER BY {keys}");
            let mut statement = ledger.connection.prepare(&query).expect("query");
            let width = statement.column_count();
            let text = |row: &rusqlite::Row<'_>| {
                Ok((0..width).map(|at| format!("{:?}", row.get_ref(at).expect("value"))).collect::<Vec<_>>().join("|"))
            };
            statement.query_map([], text).expect("rows").collect::<rusqlite::Result<Vec<String>>>().expect("rows")
        };
        COPIED.iter().map(|(table, _)| ((*table).to_owned(), rows(table))).collect()
    }

    fn all_untold(ledger: &Ledger) -> Untold {
        let untold = ledger.untold(0, 1000).expect("rows");
        assert!(!untold.more);
        untold
    }

    #[test]
    fn every_table_is_copied_or_left_out_on_purpose() {
        let dir = tempfile::tempdir().expect("directory");
        let ledger = create(dir.path(), "a");
        let tables = ledger.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", [], |row| {
            row.get::<_, String>(0)
        });
        let mut known: Vec<String> = COPIED.iter().map(|(table, _)| (*table).to_owned()).collect();
        known.extend(["alarm", "look", "hour_sum", "touched"].map(str::to_owned));
        known.sort();
        assert_eq!(tables.expect("tables"), known);
    }

    #[test]
    fn what_was_told_makes_the_same_ledger() {
        let dir = tempfile::tempdir().expect("directory");
        let mut ledger = create(dir.path(), "a");
        work(&mut ledger);
        let untold = all_untold(&ledger);
        let mut copy = create(dir.path(), "b");
        assert!(untold.rows.iter().any(|row| !copy.holds(row).expect("row")));
        copy.restore(&untold.rows, 7).expect("restored");
        assert!(untold.rows.iter().all(|row| copy.holds(row).expect("row")));
        assert_eq!(copy.log_number().expect("number"), 7);
        assert_eq!(all_untold(&copy).rows.len(), 0);
        ledger.told(7, untold.mark);
        ledger.restore(&[], 7).expect("noted");
        assert_eq!(contents(&copy), contents(&ledger));
        copy.require_undamaged().expect("whole");
        copy.touch_everything().expect("touched");
        let mut third = create(dir.path(), "c");
        third.restore(&all_untold(&copy).rows, 7).expect("restored");
        assert_eq!(contents(&third), contents(&ledger));
    }

    #[test]
    fn what_changes_after_it_was_told_is_told_again_and_nothing_else() {
        let dir = tempfile::tempdir().expect("directory");
        let mut ledger = create(dir.path(), "a");
        work(&mut ledger);
        let first = all_untold(&ledger);
        ledger.told(2, first.mark);
        assert_eq!(all_untold(&ledger).rows.len(), 0, "also before it is noted");
        ledger.apply_intake(Lsn(3), &IntakeEntry::default()).expect("intake");
        assert_eq!(all_untold(&ledger).rows, [json!({"table":"store","row":{"key":"applied_lsn","value":"3"}})]);
        assert!(!ledger.holds(&json!({"table":"store","row":{"key":"applied_lsn","value":"2"}})).expect("row"));
        assert!(ledger.holds(&json!({"table":"position","gone":["switch","a"]})).expect("row"));
        assert!(!ledger.holds(&json!({"table":"position","gone":["switch","b"]})).expect("row"));
    }
}
