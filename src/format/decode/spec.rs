//! The table `[read]` of a format file: which columns become which fields.

use super::value::{ValueKind, ValueReader, ValueRules};
use crate::document::{Placed, Severity, Table, Value, nearest};
use crate::domain::period::Zone;
use crate::format::dialect::{Dialect, FormatKind};
use crate::format::time_layout::{Ambiguous, TimeLayout, TimeParser};
use crate::record::{Schema, SchemaField};
use std::ops::Range;
use std::sync::Arc;

/// Most columns and bytes that a place can be declared at.
const COLUMN_MAX: i64 = 100_000;

/// What the first line behind the skipped ones is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    None,
    Skip,
    Names,
}

/// What happens to a record with more columns than expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExtraColumns {
    Reject,
    Ignore,
}

/// Where the text of a field stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// In this column, from 0.
    Column(usize),
    /// In the column whose header has this name.
    Named(String),
    /// In these bytes of the line.
    Bytes(Range<usize>),
    /// Under this path of keys, parted by points.
    Path(String),
}

/// One field.
#[derive(Debug, Clone)]
pub(super) struct FieldSpec {
    pub(super) source: Source,
    pub(super) value: ValueReader,
}

/// The line that states how many records there are.
#[derive(Debug, Clone)]
pub(super) struct TrailerSpec {
    pub(super) starts: String,
    pub(super) count: Option<Source>,
}

/// How the records of a file become fields.
#[derive(Debug, Clone)]
pub struct ReadSpec {
    pub(super) schema: Arc<Schema>,
    pub(super) fields: Vec<FieldSpec>,
    pub(super) header: Header,
    pub(super) skip_lines: u64,
    pub(super) comment: Option<String>,
    pub(super) trailer: Option<TrailerSpec>,
    pub(super) extra_columns: Option<ExtraColumns>,
}

impl ReadSpec {
    /// The fields that every record has.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.schema)
    }
}

/// Zone and policy for time fields that have none of their own.
#[derive(Clone, Copy)]
struct TimeDefaults {
    zone: Option<Zone>,
    ambiguous: Ambiguous,
}

/// Reads the table `[read]`. All problems are reported to the table; `None` when there are any. The caller calls
/// `finish` on the table.
#[must_use]
pub fn read_spec(dialect: &Dialect, table: &Table<'_>) -> Option<ReadSpec> {
    // Problems of other tables are no reason to know nothing of this one.
    let others = table.problems().take();
    let spec = read_whole(dialect, table);
    let own = table.problems().take();
    let spoilt = own.iter().any(|problem| problem.severity == Severity::Error);
    for problem in others.into_iter().chain(own) {
        table.problems().add(problem);
    }
    spec.filter(|_| !spoilt)
}

fn read_whole(dialect: &Dialect, table: &Table<'_>) -> Option<ReadSpec> {
    let header = read_header(dialect, table);
    let skip_lines = table.count("skip_lines").map_or(0, |count| count.value);
    let comment = read_prefix(table, "comment");
    let policies = [("first", Ambiguous::First), ("second", Ambiguous::Second), ("reject", Ambiguous::Reject)];
    let ambiguous = table.choice("ambiguous", &policies).map(|policy| policy.value).unwrap_or_default();
    let defaults = TimeDefaults { zone: read_zone(table), ambiguous };
    let extra_columns = match dialect.kind {
        FormatKind::Delimited => table
            .choice("extra_columns", &[("reject", ExtraColumns::Reject), ("ignore", ExtraColumns::Ignore)])
            .map(|choice| choice.value),
        FormatKind::Fixed | FormatKind::JsonLines => None,
    };
    let trailer = match dialect.kind {
        FormatKind::Delimited | FormatKind::Fixed => table.table("trailer").map(|table| read_trailer(dialect, table)),
        FormatKind::JsonLines => None,
    };
    let fields = read_fields(dialect, header, defaults, table);
    let fields = fields?;
    let schema = fields.iter().map(|(field, unit)| SchemaField {
        name: field.value.name.clone(),
        kind: field.value.kind.field_kind(),
        unit: unit.clone(),
    });
    Some(ReadSpec {
        schema: Arc::new(Schema { fields: schema.collect() }),
        fields: fields.into_iter().map(|(field, _)| field).collect(),
        header,
        skip_lines,
        comment: comment.map(|text| text.value),
        trailer: trailer.flatten(),
        extra_columns,
    })
}

fn read_header(dialect: &Dialect, table: &Table<'_>) -> Header {
    let choices = [("names", Header::Names), ("skip", Header::Skip), ("none", Header::None)];
    let Some(header) = table.choice("header", &choices) else { return Header::None };
    if header.value == Header::Names && dialect.kind != FormatKind::Delimited {
        let message = "`header = \"names\"` is for delimited files only";
        table.problems().add(header.place.error_with_hint(message, "write header = \"skip\""));
    }
    header.value
}

fn read_prefix(table: &Table<'_>, key: &'static str) -> Option<Placed<String>> {
    let text = table.text(key)?;
    if text.value.is_empty() || text.value.contains(['\n', '\r']) {
        table.problems().add(text.place.error(format!("`{key}` must be one or more characters of one line")));
    }
    Some(text)
}

/// A zone; UTC stands in for one that does not exist, so that it is reported once.
fn read_zone(table: &Table<'_>) -> Option<Zone> {
    let text = table.text("zone")?;
    let zone = Zone::parse(&text.value);
    if zone.is_none() {
        let hint = match nearest(&text.value, Zone::names()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => "write a name such as \"Asia/Shanghai\", \"UTC\" or \"+08:00\"".to_owned(),
        };
        table.problems().add(text.place.error_with_hint(format!("unknown time zone \"{}\"", text.value), hint));
    }
    Some(zone.unwrap_or(Zone::UTC))
}

fn read_trailer(dialect: &Dialect, table: Table<'_>) -> Option<TrailerSpec> {
    table.require("starts");
    let starts = read_prefix(&table, "starts");
    let count = if dialect.kind == FormatKind::Fixed {
        table.text("at").and_then(|at| read_range(&table, &at)).map(Source::Bytes)
    } else {
        table.integer("count", 1..COLUMN_MAX).and_then(|n| usize::try_from(n.value - 1).ok()).map(Source::Column)
    };
    table.finish();
    Some(TrailerSpec { starts: starts?.value, count })
}

fn read_fields(
    dialect: &Dialect,
    header: Header,
    defaults: TimeDefaults,
    table: &Table<'_>,
) -> Option<Vec<(FieldSpec, String)>> {
    table.require("fields");
    let tables = table.tables("fields")?;
    if tables.is_empty() {
        table.problems().add(table.place_of("fields").error("`fields` must name at least one field"));
    }
    let mut fields: Vec<(FieldSpec, String)> = Vec::new();
    for field in tables {
        let name = field.required_text("name");
        if let Some(name) = &name {
            check_name(&field, name, &fields);
        }
        let read = name.and_then(|name| read_field(dialect, header, defaults, &field, name));
        field.finish();
        fields.extend(read);
    }
    Some(fields)
}

fn check_name(table: &Table<'_>, name: &Placed<String>, before: &[(FieldSpec, String)]) {
    let text = &name.value;
    if text.is_empty() || text.len() > 128 || text.contains(|c: char| c.is_control() || c == '`') {
        let message = "a field's name is 1 to 128 bytes without control characters and backquotes";
        table.problems().add(name.place.error(message));
    }
    if before.iter().any(|(field, _)| field.value.name == *text) {
        table.problems().add(name.place.error(format!("the field `{text}` is declared twice")));
    }
}

fn read_field(
    dialect: &Dialect,
    header: Header,
    defaults: TimeDefaults,
    table: &Table<'_>,
    name: Placed<String>,
) -> Option<(FieldSpec, String)> {
    let source = match dialect.kind {
        FormatKind::Delimited => read_column(header, table, &name),
        FormatKind::Fixed => {
            table.require("at");
            table.text("at").and_then(|at| read_range(table, &at)).map(Source::Bytes)
        }
        FormatKind::JsonLines => {
            let path = table.text("column").unwrap_or_else(|| name.clone());
            if path.value.split('.').any(str::is_empty) {
                table.problems().add(path.place.error("`column` must be a path of keys such as \"call.start\""));
            }
            Some(Source::Path(path.value))
        }
    };
    let (kind, unit) = read_kind(defaults, table);
    let rules = ValueRules {
        required: table.bool("required").is_some_and(|required| required.value),
        trim: table.bool("trim").is_some_and(|trim| trim.value),
        null: table.text("null").map(|null| null.value),
    };
    let value = ValueReader::new(name.value, kind, rules);
    Some((FieldSpec { source: source?, value }, unit))
}

fn read_column(header: Header, table: &Table<'_>, name: &Placed<String>) -> Option<Source> {
    let hint = "write column = 3, counted from 1, or header = \"names\" and column = \"start\"";
    let refuse = |problem| {
        table.problems().add(problem);
        None
    };
    match table.value("column") {
        Some(Value::Integer(number)) if (1..=COLUMN_MAX).contains(&number.value) => {
            usize::try_from(number.value - 1).ok().map(Source::Column)
        }
        Some(Value::Text(text)) if header == Header::Names => Some(Source::Named(text.value)),
        None if header == Header::Names => Some(Source::Named(name.value.clone())),
        Some(Value::Text(text)) => {
            refuse(text.place.error_with_hint("columns have names only with header = \"names\"", hint))
        }
        Some(other) => refuse(other.place().error_with_hint("`column` is a number from 1 or a column's name", hint)),
        None => refuse(name.place.error_with_hint(format!("the field `{}` needs a `column`", name.value), hint)),
    }
}

/// Positions as a partner's table prints them: `"4-18"` or `"7"`, counted from 1, the last one included.
fn read_range(table: &Table<'_>, at: &Placed<String>) -> Option<Range<usize>> {
    let (first, last) = at.value.split_once('-').unwrap_or((&at.value, &at.value));
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|n| (1..=100_000).contains(n));
    let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
    if range.is_none() {
        let message = format!("`at` must be positions in bytes counted from 1, found \"{}\"", at.value);
        table.problems().add(at.place.error_with_hint(message, "write at = \"4-18\""));
    }
    range.map(|(first, last)| first - 1..last)
}

fn read_kind(defaults: TimeDefaults, table: &Table<'_>) -> (ValueKind, String) {
    let number = table.bool("number").is_some_and(|number| number.value);
    let unit = table.text("unit");
    let zone = read_zone(table);
    let time = table.text("time");
    if let Some(unit) = unit.as_ref().filter(|_| !number) {
        let message = "only a number has a `unit`";
        table.problems().add(unit.place.error_with_hint(message, "write number = true"));
    }
    let kind = match time {
        None => {
            if zone.is_some() {
                let message = "only a time has a `zone`";
                table.problems().add(table.place_of("zone").error_with_hint(message, "write time = \"%Y%m%d%H%M%S\""));
            }
            if number { ValueKind::Number } else { ValueKind::Text }
        }
        Some(time) => {
            if number {
                table.problems().add(time.place.error("a field is a time or a number, not both"));
            }
            read_time(table, &time, zone.or(defaults.zone), defaults.ambiguous)
        }
    };
    (kind, unit.map(|unit| unit.value).unwrap_or_default())
}

fn read_time(table: &Table<'_>, text: &Placed<String>, zone: Option<Zone>, ambiguous: Ambiguous) -> ValueKind {
    let layout = match TimeLayout::compile(&text.value) {
        Ok(layout) => layout,
        Err(message) => {
            table.problems().add(text.place.error(message));
            return ValueKind::Text;
        }
    };
    if !layout.names_a_date() {
        table.problems().add(text.place.error("a time that is read must name year, month and day"));
    }
    if zone.is_none() && !layout.shows_offset() {
        let hint = "write zone = \"Asia/Shanghai\" here or in [read]";
        table.problems().add(text.place.error_with_hint("this time shows no offset and needs a `zone`", hint));
    }
    ValueKind::Time(Box::new(TimeParser::new(layout, zone.unwrap_or(Zone::UTC), ambiguous)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::document::{Document, Problems, read_document};
    use crate::record::FieldKind;

    /// Reads the reading half of a format file; all problems as "line: message".
    pub(crate) fn read_format(text: &str) -> Result<(Dialect, ReadSpec), Vec<String>> {
        let problems = Problems::default();
        let document = Document { name: "test.toml".to_owned(), text: text.to_owned() };
        let read = read_document(document, &problems, |table| {
            let dialect = Dialect::read(&table);
            table.text("version");
            table.text("description");
            table.require("read");
            let spec = table.table("read").and_then(|inner| {
                let spec = read_spec(&dialect, &inner);
                inner.finish();
                spec
            });
            table.finish();
            spec.map(|spec| (dialect, spec))
        });
        let problems: Vec<String> =
            problems.take().into_iter().map(|problem| format!("{}: {}", problem.line(), problem.message)).collect();
        if problems.is_empty() { read.flatten().ok_or_else(Vec::new) } else { Err(problems) }
    }

    #[test]
    fn the_schema_follows_the_declared_fields() {
        let text = "kind = \"delimited\"\n[read]\nzone = \"Asia/Shanghai\"\nfields = [\n\
            { name = \"a\", column = 3 },\n{ name = \"b\", column = 1, time = \"%Y%m%d%H%M%S\" },\n\
            { name = \"c\", column = 2, number = true, unit = \"s\" } ]";
        let (_, spec) = read_format(text).expect("format");
        let schema = spec.schema();
        let fields: Vec<_> = schema.fields.iter().map(|f| (f.name.as_str(), f.kind, f.unit.as_str())).collect();
        assert_eq!(fields, [("a", FieldKind::Text, ""), ("b", FieldKind::Time, ""), ("c", FieldKind::Number, "s")]);
    }

    #[test]
    fn all_problems_are_reported_at_once_with_their_lines() {
        let text = r#"kind = "delimited"
[read]
header = "name"
comment = ""
ambiguous = "third"
zone = "Asia/Shangai"
trailer = { start = "T" }
extra_columns = "keep"
fields = [
  { name = "a" },
  { name = "b", column = 0 },
  { name = "b", column = "start", unit = "s" },
  { nmae = "c", column = 1 },
  { name = "d", column = 1, time = "%Q" },
  { name = "e", column = 1, time = "%H%M", zone = "UTC" },
  { name = "f", column = 1, time = "epoch_s", number = true, at = "1-2" },
  { name = "g", column = 1, zone = "UTC" },
]
"#;
        let expected = [
            "3: `header` must be \"names\", \"skip\" or \"none\", found \"name\"",
            "4: `comment` must be one or more characters of one line",
            "5: `ambiguous` must be \"first\", \"second\" or \"reject\", found \"third\"",
            "6: unknown time zone \"Asia/Shangai\"",
            "8: `extra_columns` must be \"reject\" or \"ignore\", found \"keep\"",
            "7: `read.trailer` needs the key `starts`",
            "7: unknown key `start` in `read.trailer`",
            "10: the field `a` needs a `column`",
            "11: `column` is a number from 1 or a column's name",
            "12: columns have names only with header = \"names\"",
            "12: only a number has a `unit`",
            "13: `read.fields` needs the key `name`",
            "13: unknown key `column` in `read.fields`",
            "13: unknown key `nmae` in `read.fields`",
            "14: an unknown `%` in the layout; known are those of strftime, such as %Y %m %d %H %M %S",
            "15: a time that is read must name year, month and day",
            "16: a field is a time or a number, not both",
            "16: unknown key `at` in `read.fields`",
            "17: only a time has a `zone`",
        ];
        assert_eq!(read_format(text).expect_err("problems"), expected);
    }

    #[test]
    fn problems_elsewhere_do_not_hide_the_fields() {
        let problems = Problems::default();
        let text = "kind = \"delimitd\"\n[read]\nfields = [{ name = \"a\", column = 1 }]".to_owned();
        let document = Document { name: "test.toml".to_owned(), text };
        let spec = read_document(document, &problems, |table| {
            let dialect = Dialect::read(&table);
            read_spec(&dialect, &table.table("read").expect("table"))
        });
        assert!(spec.flatten().is_some());
        assert_eq!(problems.take().len(), 1);
    }

    #[test]
    fn a_local_time_needs_a_zone() {
        let format = |zone: &str, time: &str| {
            let fields = format!("fields = [ {{ name = \"a\", column = 1, time = \"{time}\" }} ]");
            read_format(&format!("kind = \"delimited\"\n[read]\n{zone}\n{fields}"))
        };
        let message = "4: this time shows no offset and needs a `zone`";
        assert_eq!(format("", "%Y%m%d").expect_err("zone"), [message]);
        assert!(format("zone = \"+08:00\"", "%Y%m%d").is_ok());
        assert!(format("", "%Y%m%d%z").is_ok());
        assert!(format("", "epoch_ms").is_ok());
    }

    #[test]
    fn positions_are_typed_as_tables_print_them() {
        let format = |at: &str| {
            read_format(&format!("kind = \"fixed\"\n[read]\nfields = [ {{ name = \"a\", at = \"{at}\" }} ]"))
        };
        let (_, spec) = format("4-18").expect("format");
        assert_eq!(spec.fields[0].source, Source::Bytes(3..18));
        assert!(format("7").is_ok());
        for bad in ["0-4", "5-4", "a-b", "", "4-", "1-999999"] {
            assert_eq!(format(bad).expect_err("range").len(), 1, "{bad}");
        }
    }
}
