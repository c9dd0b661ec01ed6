//! One line of the log, as text and as value.

use crate::domain::time::UtcTime;
use serde_json::{Map, Value, json};

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// When it was written, RFC 3339.
    pub at: String,
    /// Set in the first line of a file.
    pub header: Option<Header>,
    /// Rows of the ledger.
    pub rows: Vec<Value>,
    /// The next line goes on with the same.
    pub more: bool,
}

/// What the first line of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The store that writes it.
    pub store: String,
    /// The log begins anew here.
    pub whole: bool,
}

/// Version of the layout.
const VERSION: u64 = 1;
const CRC: &str = ",\"crc\":\"";

/// The month of a time in UTC, as files are named.
pub(super) fn month(at: UtcTime) -> String {
    chrono::DateTime::from_timestamp(at.seconds(), 0).unwrap_or_default().format("%Y-%m").to_string()
}

fn time(at: UtcTime) -> String {
    chrono::DateTime::from_timestamp(at.seconds(), 0).unwrap_or_default().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn write_header(number: u64, at: UtcTime, header: &Header) -> String {
    seal(&json!({ "n": number, "at": time(at), "log": VERSION, "store": header.store, "whole": header.whole }))
}

pub(super) fn write_rows(number: u64, at: UtcTime, rows: &[Value], more: bool) -> String {
    let mut line = json!({ "n": number, "at": time(at), "rows": rows });
    if let (true, Some(object)) = (more, line.as_object_mut()) {
        object.insert("more".to_owned(), Value::Bool(true));
    }
    seal(&line)
}

fn seal(line: &Value) -> String {
    let mut text = line.to_string();
    text.pop();
    let crc = crc32c::crc32c(text.as_bytes());
    format!("{text}{CRC}{crc:08x}\"}}\n")
}

/// Reads a line without its end; `None` when it is not as it was written.
pub(super) fn read(line: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(line).ok()?;
    let (covered, rest) = text.split_at_checked(text.len().checked_sub(CRC.len() + 10)?)?;
    let crc = rest.strip_prefix(CRC)?.strip_suffix("\"}")?;
    if crc != format!("{:08x}", crc32c::crc32c(covered.as_bytes())) {
        return None;
    }
    let line: Map<String, Value> = serde_json::from_str(text).ok()?;
    let text = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
    let truth = |key: &str| line.get(key).and_then(Value::as_bool).unwrap_or(false);
    let header = match line.get("log").map(Value::as_u64) {
        None => None,
        Some(Some(VERSION)) => Some(Header { store: text("store")?, whole: truth("whole") }),
        Some(_) => return None,
    };
    Some(Entry {
        number: line.get("n")?.as_u64()?,
        at: text("at")?,
        header,
        more: truth("more"),
        rows: line.get("rows").and_then(Value::as_array).cloned().unwrap_or_default(),
    })
}

/// True when a line that cannot be read holds a whole one behind its beginning: so it was not torn.
pub(super) fn swallows_another(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut starts = memchr::memmem::find_iter(line, b"{\"n\":").filter(|at| *at > 0);
    starts.any(|at| line.get(at..).is_some_and(|rest| read(rest).is_some()))
}
