//! Format files (`formats/*.toml`) as typed rows, each with the place it was written at.
//!
//! A format file describes a partner's layout once, for writing (`header`, `record`, `trailer`: lists of cells) and
//! for reading (`[read]`). [`read_format`] finds everything that is wrong with the file itself; what needs the fields
//! of a source (an unknown field, a unit on a text) is found by [`super::encode::Layout::compile`].
//!
//! A cell has exactly one source and goes through these steps, each of them optional:
//!
//! ```text
//! field -> time layout | number (unit, multiply, round, decimals, point) | text
//!       -> substring -> lookup -> (empty? default, required) -> controls, escapes, quotes -> charset -> width
//! ```
//! - `default` and lookup results are texts as they are to be written; nothing is computed from them.
//! - An empty value is looked up only when the lookup lists `""`.
//! - A number that is converted or rounded has no decimals unless `decimals` says so; otherwise it is written as it
//!   came. `point = "implied"` needs `decimals`.
//! - A sum adds the values as written. `total = true` keeps the sum of a record cell for manifests even when no
//!   header or trailer shows it.
//! - `count = "record"` counts records; `count = "line"` counts header, records and trailer. In a record cell it is
//!   the number of the record within the file.

mod cell;
mod check;
pub(in crate::format) use check::kind_problem;
pub mod unit;

#[cfg(test)]
mod tests;

use super::decode::spec::{ReadSpec, read_spec};
use super::dialect::{Dialect, FormatKind};
use super::template::Template;
use super::time_layout::TimeLayout;
use crate::document::{Document, Place, Problems, Table, Value, read_document};
use crate::domain::period::Zone;
use crate::record::{Decimal, Rounding};
use std::collections::BTreeMap;
use std::sync::Arc;
use unit::Unit;

/// A format file.
#[derive(Debug, Clone)]
pub struct FormatSpec {
    /// Name under which feeds and sources refer to it.
    pub name: String,
    /// The text of the document, stored with every plan so that a batch can be rendered again.
    pub text: String,
    /// Settings of the file as a whole.
    pub dialect: Dialect,
    /// The partner's version of the interface.
    pub version: Option<String>,
    /// What the format is, for people.
    pub description: Option<String>,
    /// How it is read; `None` when the file says nothing about reading.
    pub read: Option<Arc<ReadSpec>>,
    /// How it is written; `None` when the file says nothing about writing.
    pub write: Option<WriteSpec>,
}

/// The lines of a file that is written.
#[derive(Debug, Clone)]
pub struct WriteSpec {
    /// `header = "names"`: the first line holds the names of the record's cells.
    pub header_names: bool,
    /// Header lines.
    pub header: Vec<LineSpec>,
    /// The line of every record.
    pub record: LineSpec,
    /// Trailer lines.
    pub trailer: Vec<LineSpec>,
}

impl WriteSpec {
    /// Lines of a file besides its records.
    #[must_use]
    pub fn frame_lines(&self) -> u64 {
        u64::from(self.header_names) + (self.header.len() as u64) + (self.trailer.len() as u64)
    }

    /// Indexes of the record cells whose sums are kept: those that a header or trailer shows, and those with
    /// `total = true`, in the order of the record.
    #[must_use]
    pub fn summed_cells(&self) -> Vec<usize> {
        let shown = |name: &str| {
            let frame = self.header.iter().chain(&self.trailer).flat_map(|line| &line.cells);
            frame.filter_map(CellSpec::sum_of).any(|sum| sum == name)
        };
        let cells = self.record.cells.iter().enumerate();
        cells.filter(|(_, cell)| cell.total || shown(&cell.name)).map(|(index, _)| index).collect()
    }
}

/// The cells of one line.
#[derive(Debug, Clone)]
pub struct LineSpec {
    /// Where the line is described.
    pub place: Place,
    /// Its cells; of a fixed-width line, in the order of their positions.
    pub cells: Vec<CellSpec>,
}

/// One cell of a line, or one piece of a `concat` cell.
#[derive(Debug, Clone)]
pub struct CellSpec {
    /// Where it is described.
    pub place: Place,
    /// Its name: the `name` key, else the field or sum; empty when it has none.
    pub name: String,
    /// Where its value comes from.
    pub source: CellSource,
    /// Number options; `None` when the cell has none.
    pub number: Option<NumberSpec>,
    /// First and last character, from 1, both included.
    pub substring: Option<(usize, usize)>,
    /// Translation of the value.
    pub lookup: Option<Arc<Lookup>>,
    /// Text for an empty value.
    pub default: Option<String>,
    /// An empty value is refused.
    pub required: bool,
    /// The sum is kept for manifests.
    pub total: bool,
    /// Place and padding in a fixed-width line.
    pub fixed: Option<FixedSpec>,
    /// Type in a JSON object; `None` follows the field.
    pub json: Option<JsonType>,
}

impl CellSpec {
    /// The sum of no values, with the decimals that the cell shows.
    #[must_use]
    pub fn zero(&self) -> Decimal {
        let scale = self.number.and_then(|number| number.scale());
        scale.and_then(|scale| Decimal::new(0, scale)).unwrap_or(Decimal::ZERO)
    }

    /// The name of the record cell that this cell is the sum of.
    #[must_use]
    pub fn sum_of(&self) -> Option<&str> {
        match &self.source {
            CellSource::Sum(name) => Some(name),
            CellSource::Field { .. }
            | CellSource::Text(_)
            | CellSource::Value(_)
            | CellSource::Blank
            | CellSource::Count(_)
            | CellSource::Concat(_) => None,
        }
    }
}

/// Where the value of a cell comes from.
#[derive(Debug, Clone)]
pub enum CellSource {
    /// A field of the record.
    Field {
        /// Name of the field.
        field: String,
        /// How a time is written; `None` writes RFC 3339.
        time: Option<TimeLayout>,
        /// Zone of the time; `None` is the feed's.
        zone: Option<Zone>,
    },
    /// Always the same text.
    Text(String),
    /// A text with facts about the file.
    Value(Template),
    /// Nothing.
    Blank,
    /// A count.
    Count(Counted),
    /// The sum of a record cell.
    Sum(String),
    /// Several values one after the other.
    Concat(Vec<CellSpec>),
}

/// What a count counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Records; header and trailer are not counted.
    Records,
    /// All lines of the file.
    Lines,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberSpec {
    /// Unit to write it in.
    pub unit: Option<Unit>,
    /// Exact factor.
    pub multiply: Option<Decimal>,
    /// What to do with digits that do not fit.
    pub rounding: Rounding,
    /// Digits behind the point.
    pub decimals: Option<u32>,
    /// The point is not written.
    pub implied: bool,
}

impl NumberSpec {
    /// Digits behind the point of the written number; `None` writes it as it came.
    #[must_use]
    pub fn scale(&self) -> Option<u32> {
        let converted = self.unit.is_some() || self.multiply.is_some() || self.rounding != Rounding::Exact;
        self.decimals.or(converted.then_some(0))
    }
}

/// Side of a fixed-width cell that the value stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Filled behind the value.
    Left,
    /// Filled before the value.
    Right,
}

/// Place and padding of a fixed-width cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedSpec {
    /// First byte, from 1.
    pub from: usize,
    /// Last byte, included.
    pub to: usize,
    /// Side; `None`: right for numbers and for `fill = "0"`, else left.
    pub align: Option<Align>,
    /// Character that fills.
    pub fill: char,
    /// A value that is too long is cut, never within a character; otherwise it is refused.
    pub cut: bool,
}

impl FixedSpec {
    /// Bytes of the cell.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.to + 1 - self.from
    }
}

/// Type of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// A string.
    Text,
    /// A bare number.
    Number,
}

/// A translation of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Its name.
    pub name: String,
    /// Value and what is written for it.
    pub values: BTreeMap<String, String>,
    /// What happens to a value that is not listed.
    pub otherwise: Otherwise,
}

/// What happens to a value that a lookup does not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Otherwise {
    /// The record is refused.
    Reject,
    /// The value is written as it is.
    Keep,
    /// This text is written.
    Text(String),
}

/// Reads a format file. Everything that is wrong is added to `problems`; `None` when it cannot be used.
#[must_use]
pub fn read_format(document: Document, name: &str, problems: &Problems) -> Option<FormatSpec> {
    let own = Problems::default();
    let text = document.text.clone();
    let spec = read_document(document, &own, |table| {
        let dialect = Dialect::read(&table);
        let version = table.text("version").map(|text| text.value);
        let description = table.text("description").map(|text| text.value);
        let read = table.table("read").and_then(|read| {
            let spec = read_spec(&dialect, &read);
            read.finish();
            spec.map(Arc::new)
        });
        let write = read_write(&dialect, &table);
        if write.is_none() && !table.has("read") {
            table.problems().add(table.place().error("the format has neither `record` (writing) nor `[read]`"));
        }
        table.finish();
        FormatSpec { name: name.to_owned(), text, dialect, version, description, read, write }
    });
    let usable = !own.has_errors();
    own.take().into_iter().for_each(|problem| problems.add(problem));
    spec.filter(|_| usable)
}

fn read_write(dialect: &Dialect, table: &Table<'_>) -> Option<WriteSpec> {
    let lookups = read_lookups(table);
    let reader = cell::CellReader { kind: dialect.kind, lookups: &lookups };
    let header = table.value("header");
    let record = table.value("record");
    let trailer = table.value("trailer");
    let Some(record) = record else {
        for key in ["header", "trailer", "lookup"] {
            if table.has(key) {
                let hint = "write record = [ { field = \"...\" }, ... ]";
                table.problems().add(table.place_of(key).error_with_hint(format!("`{key}` needs a `record`"), hint));
            }
        }
        return None;
    };
    let header_names = matches!(&header, Some(Value::Text(text)) if text.value == "names");
    if header_names && dialect.kind != FormatKind::Delimited {
        let message = "`header = \"names\"` is for delimited files";
        table.problems().add(table.place_of("header").error(message));
    }
    let header = header.filter(|_| !header_names).map(|value| reader.read_lines("header", value, table));
    let record = reader.read_lines("record", record, table);
    let trailer = trailer.map(|value| reader.read_lines("trailer", value, table));
    let mut record = record.into_iter();
    let write = WriteSpec {
        header_names,
        header: header.unwrap_or_default(),
        record: record.next().unwrap_or(LineSpec { place: table.place_of("record"), cells: Vec::new() }),
        trailer: trailer.unwrap_or_default(),
    };
    if record.next().is_some() {
        table.problems().add(table.place_of("record").error("`record` is one line: a list of cells"));
    }
    check::check_write(dialect, &write, table);
    Some(write)
}

fn read_lookups(table: &Table<'_>) -> BTreeMap<String, Arc<Lookup>> {
    let Some(lookups) = table.table("lookup") else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for (name, value) in lookups.entries() {
        if let Value::Table(entries) = value {
            let lookup = read_lookup(name.value.clone(), entries);
            found.insert(name.value, Arc::new(lookup));
        } else {
            let hint = format!("write [lookup.{}] and below it values = {{ A = \"B\" }}", name.value);
            table.problems().add(name.place.error_with_hint("a lookup is a table", hint));
        }
    }
    found
}

fn read_lookup(name: String, table: Table<'_>) -> Lookup {
    let mut values = BTreeMap::new();
    table.require("values");
    for (from, to) in table.table("values").iter().flat_map(Table::entries) {
        if let Value::Text(to) = to {
            values.insert(from.value, to.value);
        } else {
            table.problems().add(to.place().error("a lookup turns texts into texts; put the value in quotes"));
        }
    }
    let otherwise = match table.value("otherwise") {
        None => Otherwise::Reject,
        Some(Value::Text(text)) if text.value == "reject" => Otherwise::Reject,
        Some(Value::Text(text)) if text.value == "keep" => Otherwise::Keep,
        Some(Value::Table(inner)) => {
            let text = inner.required_text("text").map(|text| text.value).unwrap_or_default();
            inner.finish();
            Otherwise::Text(text)
        }
        Some(other) => {
            let hint = "write otherwise = \"reject\", \"keep\" or { text = \"OTHER\" }";
            table.problems().add(other.place().error_with_hint("`otherwise` says what happens to other values", hint));
            Otherwise::Reject
        }
    };
    table.finish();
    Lookup { name, values, otherwise }
}
