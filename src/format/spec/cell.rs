//! Reads cells: one source each, and only the options that mean something for that source.

use super::unit::{UNITS, Unit};
use super::{Align, CellSource, CellSpec, Counted, FixedSpec, JsonType, LineSpec, Lookup, NumberSpec};
use crate::document::{Place, Placed, Table, Value, nearest};
use crate::domain::period::Zone;
use crate::format::dialect::FormatKind;
use crate::format::template::Template;
use crate::format::time_layout::TimeLayout;
use crate::record::{Decimal, Rounding};
use std::collections::BTreeMap;
use std::sync::Arc;

const SOURCES: [&str; 7] = ["field", "text", "value", "blank", "count", "sum", "concat"];
const FIXED_OPTIONS: [&str; 4] = ["at", "align", "fill", "too_long"];
const OPTIONS: [&str; 17] = [
    "name",
    "time",
    "zone",
    "unit",
    "multiply",
    "round",
    "decimals",
    "point",
    "substring",
    "lookup",
    "default",
    "required",
    "total",
    "as",
    "at",
    "align",
    "fill",
];
const FIELD_OPTIONS: [&str; 13] = [
    "name",
    "time",
    "zone",
    "unit",
    "multiply",
    "round",
    "decimals",
    "point",
    "substring",
    "lookup",
    "default",
    "required",
    "total",
];
const ROUNDINGS: [(&str, Rounding); 5] = [
    ("exact", Rounding::Exact),
    ("up", Rounding::Up),
    ("down", Rounding::Down),
    ("half_up", Rounding::HalfUp),
    ("half_even", Rounding::HalfEven),
];

/// What cells may be and refer to.
pub(super) struct CellReader<'a> {
    pub kind: FormatKind,
    pub lookups: &'a BTreeMap<String, Arc<Lookup>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Frame,
    Record,
    Piece,
}

impl CellReader<'_> {
    /// Reads a list of cells, or a list of such lists.
    pub fn read_lines(&self, key: &str, value: Value<'_>, table: &Table<'_>) -> Vec<LineSpec> {
        let standing = if key == "record" { Standing::Record } else { Standing::Frame };
        let refuse = |place: &Place| {
            let hint = format!("write {key} = [ {{ text = \"H\" }}, {{ field = \"caller\" }} ]");
            table.problems().add(place.error_with_hint(format!("`{key}` is a list of cells"), hint));
        };
        let Value::List(list) = value else {
            refuse(value.place());
            return Vec::new();
        };
        let nested = list.value.iter().any(|item| matches!(item, Value::List(_)));
        if !nested {
            return vec![self.read_line(list, standing, &refuse)];
        }
        let mut lines = Vec::new();
        for item in list.value {
            match item {
                Value::List(cells) => lines.push(self.read_line(cells, standing, &refuse)),
                Value::Text(_) | Value::Integer(_) | Value::Bool(_) | Value::Table(_) | Value::Other(_) => {
                    refuse(item.place());
                }
            }
        }
        lines
    }

    fn read_line(&self, list: Placed<Vec<Value<'_>>>, standing: Standing, refuse: &dyn Fn(&Place)) -> LineSpec {
        let mut cells = Vec::new();
        for item in list.value {
            match item {
                Value::Table(table) => cells.extend(self.read_cell(table, standing)),
                Value::Text(_) | Value::Integer(_) | Value::Bool(_) | Value::List(_) | Value::Other(_) => {
                    refuse(item.place());
                }
            }
        }
        if self.kind == FormatKind::Fixed {
            cells.sort_by_key(|cell| cell.fixed.map(|fixed| fixed.from));
        }
        LineSpec { place: list.place, cells }
    }

    fn read_cell(&self, table: Table<'_>, standing: Standing) -> Option<CellSpec> {
        let source = self.read_source(&table, standing);
        let cell = source.map(|(key, source)| {
            refuse_options(&table, key, standing, self.kind);
            let name = table.text("name").map_or_else(|| default_name(&source, standing), |text| text.value);
            CellSpec {
                place: table.place().clone(),
                name,
                number: read_number(&table),
                substring: read_substring(&table),
                lookup: self.read_lookup(&table),
                default: table.text("default").map(|text| text.value),
                required: table.bool("required").is_some_and(|flag| flag.value),
                total: table.bool("total").is_some_and(|flag| flag.value),
                fixed: read_fixed(&table, self.kind == FormatKind::Fixed && standing != Standing::Piece),
                json: table
                    .choice("as", &[("text", JsonType::Text), ("number", JsonType::Number)])
                    .map(|choice| choice.value),
                source,
            }
        });
        if cell.is_some() {
            table.finish();
        }
        cell
    }

    fn read_source(&self, table: &Table<'_>, standing: Standing) -> Option<(&'static str, CellSource)> {
        let given: Vec<&'static str> = SOURCES.into_iter().filter(|key| table.has(key)).collect();
        let [key] = given[..] else {
            let hint = "a cell has one of `field`, `text`, `value`, `blank`, `count`, `sum`, `concat`";
            let message = match given.split_first() {
                None => "the cell has no source".to_owned(),
                Some((first, rest)) => format!("the cell has two sources: `{first}` and `{}`", rest.join("`, `")),
            };
            table.problems().add(table.place().error_with_hint(message, hint));
            return None;
        };
        let source = match key {
            "field" => {
                CellSource::Field { field: table.text("field")?.value, time: read_time(table), zone: read_zone(table) }
            }
            "text" => CellSource::Text(table.text("text")?.value),
            "value" => CellSource::Value(read_template(table)?),
            "blank" => read_blank(table)?,
            "count" => CellSource::Count(
                table.choice("count", &[("record", Counted::Records), ("line", Counted::Lines)])?.value,
            ),
            "sum" => CellSource::Sum(table.text("sum")?.value),
            _ => CellSource::Concat(self.read_pieces(table)?),
        };
        if matches!(source, CellSource::Sum(_)) && standing != Standing::Frame {
            table.problems().add(table.place_of("sum").error("a sum stands in the header or trailer"));
        }
        Some((key, source))
    }

    fn read_pieces(&self, table: &Table<'_>) -> Option<Vec<CellSpec>> {
        let pieces = table.tables("concat")?;
        if pieces.is_empty() {
            table.problems().add(table.place_of("concat").error("`concat` needs at least one piece"));
        }
        Some(pieces.into_iter().filter_map(|piece| self.read_cell(piece, Standing::Piece)).collect())
    }

    fn read_lookup(&self, table: &Table<'_>) -> Option<Arc<Lookup>> {
        let name = table.text("lookup")?;
        let found = self.lookups.get(&name.value).cloned();
        if found.is_none() {
            let mut problem = name.place.error(format!("there is no lookup `{}`", name.value));
            problem.hint = Some(match nearest(&name.value, self.lookups.keys().map(String::as_str)) {
                Some(known) => format!("did you mean \"{known}\"?"),
                None => format!("write [lookup.{}] with values = {{ ... }}", name.value),
            });
            table.problems().add(problem);
        }
        found
    }
}

fn default_name(source: &CellSource, standing: Standing) -> String {
    match source {
        CellSource::Field { field, .. } => field.clone(),
        CellSource::Sum(name) => name.clone(),
        CellSource::Count(_) if standing == Standing::Record => "number".to_owned(),
        CellSource::Count(Counted::Records) => "records".to_owned(),
        CellSource::Count(Counted::Lines) => "lines".to_owned(),
        CellSource::Text(_) | CellSource::Value(_) | CellSource::Blank | CellSource::Concat(_) => String::new(),
    }
}

/// Reports options that mean nothing for this source, kind of file or standing.
fn refuse_options(table: &Table<'_>, source: &str, standing: Standing, kind: FormatKind) {
    let applies = |option: &str| match option {
        "at" | "align" | "fill" | "too_long" => kind == FormatKind::Fixed && standing != Standing::Piece,
        "as" => kind == FormatKind::JsonLines && standing != Standing::Piece,
        "name" => standing != Standing::Piece,
        "total" => standing == Standing::Record && source == "field",
        option => match source {
            "field" => FIELD_OPTIONS.contains(&option),
            "sum" => ["unit", "round", "decimals", "point"].contains(&option),
            "concat" => ["substring", "lookup", "default", "required"].contains(&option),
            _ => false,
        },
    };
    for option in OPTIONS.into_iter().chain(["too_long"]) {
        if table.has(option) && !applies(option) {
            let why = match option {
                option if FIXED_OPTIONS.contains(&option) && standing == Standing::Piece => "in a piece of `concat`",
                option if FIXED_OPTIONS.contains(&option) => "outside fixed-width files",
                "as" => "outside JSON lines",
                _ => "for this source",
            };
            let place = table.place_of(option);
            table.problems().add(place.error(format!("`{option}` has no meaning {why} (`{source}`)")));
        }
    }
}

fn read_time(table: &Table<'_>) -> Option<TimeLayout> {
    let text = table.text("time")?;
    TimeLayout::compile(&text.value)
        .map_err(|reason| table.problems().add(text.place.error(format!("time layout \"{}\": {reason}", text.value))))
        .ok()
}

fn read_zone(table: &Table<'_>) -> Option<Zone> {
    let text = table.text("zone")?;
    let zone = Zone::parse(&text.value);
    if zone.is_none() {
        let mut problem = text.place.error(format!("unknown time zone \"{}\"", text.value));
        problem.hint = nearest(&text.value, Zone::names()).map(|name| format!("did you mean \"{name}\"?"));
        table.problems().add(problem);
    }
    zone
}

fn read_template(table: &Table<'_>) -> Option<Template> {
    let text = table.text("value")?;
    Template::parse(&text.value).map_err(|fault| table.problems().add(text.place.error(fault.to_string()))).ok()
}

fn read_blank(table: &Table<'_>) -> Option<CellSource> {
    let blank = table.bool("blank")?;
    if !blank.value {
        table.problems().add(blank.place.error("a blank cell is written `blank = true`"));
    }
    Some(CellSource::Blank)
}

fn read_unit(table: &Table<'_>) -> Option<Unit> {
    let text = table.text("unit")?;
    let unit = Unit::parse(&text.value);
    if unit.is_none() {
        let hint = match Unit::suggestion(&text.value) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => format!("known units are {}", UNITS.map(|unit| unit.name).join(", ")),
        };
        table.problems().add(text.place.error_with_hint(format!("unknown unit \"{}\"", text.value), hint));
    }
    unit
}

fn read_number(table: &Table<'_>) -> Option<NumberSpec> {
    let unit = read_unit(table);
    let multiply = table.text("multiply").and_then(|text| match Decimal::parse(text.value.as_bytes()) {
        Ok(factor) if factor.mantissa() != 0 => Some(factor),
        Ok(_) | Err(_) => {
            let message = format!("`multiply` must be a decimal number other than 0, found \"{}\"", text.value);
            table.problems().add(text.place.error(message));
            None
        }
    });
    let rounding = table.choice("round", &ROUNDINGS).map(|choice| choice.value);
    let decimals = table.integer("decimals", 0..19).and_then(|number| u32::try_from(number.value).ok());
    let implied = table.choice("point", &[("implied", true), ("shown", false)]).map(|choice| choice.value);
    if implied == Some(true) && decimals.is_none() {
        let hint = "say how many digits stand behind the point: decimals = 2";
        table.problems().add(table.place_of("point").error_with_hint("`point` needs `decimals`", hint));
    }
    let any = unit.is_some() || multiply.is_some() || rounding.is_some() || decimals.is_some() || implied.is_some();
    any.then(|| NumberSpec {
        unit,
        multiply,
        rounding: rounding.unwrap_or_default(),
        decimals,
        implied: implied.unwrap_or_default(),
    })
}

fn read_substring(table: &Table<'_>) -> Option<(usize, usize)> {
    let text = table.text("substring")?;
    let range = parse_range(&text.value);
    if range.is_none() {
        let hint = "first and last character, from 1: substring = \"1-3\"";
        table.problems().add(text.place.error_with_hint("`substring` must be two numbers", hint));
    }
    range
}

/// Parses `"4-18"` or `"7"`: first and last, from 1.
fn parse_range(text: &str) -> Option<(usize, usize)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.trim().parse::<usize>().ok()?, to.trim().parse::<usize>().ok()?);
    (from >= 1 && from <= to && to < 1 << 20).then_some((from, to))
}

fn read_fixed(table: &Table<'_>, wanted: bool) -> Option<FixedSpec> {
    let at = table.text("at");
    let align = table.choice("align", &[("left", Align::Left), ("right", Align::Right)]).map(|choice| choice.value);
    let fill = table.text("fill");
    let cut = table.choice("too_long", &[("reject", false), ("cut", true)]).is_some_and(|choice| choice.value);
    if !wanted {
        return None;
    }
    let Some(at) = at else {
        table.require("at");
        return None;
    };
    let fill = fill.map_or(Some(' '), |fill| {
        let mut characters = fill.value.chars();
        let one = characters.next().filter(|_| characters.next().is_none());
        if one.is_none_or(char::is_control) {
            table.problems().add(fill.place.error("`fill` must be one character"));
        }
        one
    });
    let range = parse_range(&at.value);
    if range.is_none() {
        let hint = "first and last byte, from 1, as the partner's table prints them: at = \"4-18\"";
        table.problems().add(at.place.error_with_hint("`at` must be two numbers", hint));
    }
    let (from, to) = range?;
    Some(FixedSpec { from, to, align, fill: fill?, cut })
}
