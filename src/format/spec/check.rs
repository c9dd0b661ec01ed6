//! What must hold between the parts of a format that is written.

use super::{CellSource, CellSpec, LineSpec, WriteSpec};
use crate::document::{Place, Table, nearest};
use crate::format::dialect::{Dialect, Escape, FormatKind, Misfit};
use crate::format::template::Variable;
use crate::record::FieldKind;

/// Reports everything that is wrong with the lines of a format.
pub(super) fn check_write(dialect: &Dialect, write: &WriteSpec, table: &Table<'_>) {
    check_replacements(dialect, table);
    check_names(dialect, write, table);
    check_sums(write, table);
    for cell in &write.record.cells {
        if matches!(&cell.source, CellSource::Value(template) if template.uses(Variable::Records)) {
            table.problems().add(cell.place.error("`{records}` is not known while records are written"));
        }
    }
    if dialect.kind == FormatKind::Fixed {
        check_positions(dialect, write, table);
    }
    let lines = write.header.iter().chain(std::iter::once(&write.record)).chain(&write.trailer);
    for line in lines.filter(|line| line.cells.is_empty()) {
        table.problems().add(line.place.error("a line needs at least one cell"));
    }
    for cell in all_cells(write) {
        check_cell(cell, table);
    }
}

fn all_cells(write: &WriteSpec) -> impl Iterator<Item = &CellSpec> {
    write.header.iter().chain(std::iter::once(&write.record)).chain(&write.trailer).flat_map(|line| &line.cells)
}

fn check_cell(cell: &CellSpec, table: &Table<'_>) {
    if cell.required && cell.default.is_some() {
        table.problems().add(cell.place.error("`required` and `default` contradict each other"));
    }
    let (time, zone, field) = match &cell.source {
        CellSource::Field { time, zone, .. } => (time.is_some(), zone.is_some(), true),
        CellSource::Concat(pieces) => {
            for piece in pieces {
                check_cell(piece, table);
            }
            (false, false, false)
        }
        CellSource::Text(_) | CellSource::Value(_) | CellSource::Blank | CellSource::Count(_) | CellSource::Sum(_) => {
            (false, false, false)
        }
    };
    if field && cell.number.is_some() && (time || zone) {
        table.problems().add(cell.place.error("a cell is written as a time or as a number, not as both"));
    }
    let counts = cell.number.is_some() || matches!(cell.source, CellSource::Sum(_) | CellSource::Count(_));
    if counts && cell.lookup.is_none() && cell.fixed.is_some_and(|fixed| fixed.cut) {
        let hint = "make the cell wider or leave out `too_long`: the record is then refused";
        table.problems().add(cell.place.error_with_hint("a number that is cut is another number", hint));
    }
}

/// The line separators, quotes and replacements must not break what they protect.
fn check_replacements(dialect: &Dialect, table: &Table<'_>) {
    let delimited = dialect.kind == FormatKind::Delimited;
    let breaks =
        |text: &str| text.contains(['\n', '\r']) || (delimited && text.contains(|c| dialect.separator.contains(c)));
    let refuse = |key: &str, text: String| table.problems().add(table.place_of(key).error(text));
    if dialect.separators == Misfit::Keep {
        refuse("separators", "a separator that is kept inside a value shifts the columns behind it".to_owned());
    }
    if dialect.unmappable == Misfit::Keep {
        refuse("charset", "a character that the charset does not have cannot be kept".to_owned());
    }
    let misfits =
        [("charset", &dialect.unmappable), ("controls", &dialect.controls), ("separators", &dialect.separators)];
    for (key, misfit) in misfits {
        let Misfit::Replace(with) = misfit else { continue };
        let special =
            |c: char| c.is_ascii_control() || dialect.quote == Some(c) || dialect.escape == Escape::Character(c);
        if breaks(with) || with.contains(special) {
            refuse(
                key,
                format!("the replacement for `{key}` holds a separator, a quote, an escape or a control character"),
            );
        }
        if dialect.charset.append(with, &Misfit::Reject, &mut Vec::new()).is_err() {
            refuse(key, format!("the replacement for `{key}` is not in the charset"));
        }
    }
    if delimited {
        check_delimiters(dialect, table, &breaks);
    }
}

fn check_delimiters(dialect: &Dialect, table: &Table<'_>, breaks: &dyn Fn(&str) -> bool) {
    let refuse = |key: &str, text: &str| table.problems().add(table.place_of(key).error(text));
    if dialect.charset.append(&dialect.separator, &Misfit::Reject, &mut Vec::new()).is_err() {
        refuse("separator", "the separator is not in the charset");
    }
    if dialect.quote.is_some_and(|quote| dialect.separator.contains(quote)) {
        refuse("quote", "the quote character is part of the separator");
    }
    match &dialect.escape {
        Escape::Doubled => {}
        Escape::Character(character) => {
            if dialect.separator.contains(*character) || dialect.quote == Some(*character) {
                refuse("escape", "the escape character is also the separator or the quote");
            }
        }
        Escape::Replace(pairs) => {
            if pairs.iter().any(|(from, to)| from.is_empty() || breaks(to)) {
                refuse("escape", "an escape holds what it is meant to protect from");
            }
            let reversible = |to: &str| pairs.iter().any(|(from, _)| to.contains(from.as_str()));
            if let Some((from, to)) = pairs.iter().find(|(_, to)| !reversible(to)) {
                let first = to.chars().next().unwrap_or_default();
                let message = format!("a value that holds \"{to}\" reads back as \"{from}\"");
                let hint = format!("escape the character \"{first}\" as well");
                table.problems().add(table.place_of("escape").warning(message, hint));
            }
        }
    }
}

fn check_names(dialect: &Dialect, write: &WriteSpec, table: &Table<'_>) {
    let lines: Vec<&LineSpec> = match dialect.kind {
        FormatKind::JsonLines => {
            write.header.iter().chain(std::iter::once(&write.record)).chain(&write.trailer).collect()
        }
        FormatKind::Delimited if write.header_names => vec![&write.record],
        FormatKind::Delimited | FormatKind::Fixed => return,
    };
    for line in lines {
        for (index, cell) in line.cells.iter().enumerate() {
            if cell.name.is_empty() {
                table.problems().add(cell.place.error_with_hint("the cell has no name", "add name = \"...\""));
            } else if line.cells.iter().take(index).any(|before| before.name == cell.name) {
                let message = format!("two cells are called `{}`", cell.name);
                table.problems().add(cell.place.error_with_hint(message, "add name = \"...\""));
            }
        }
    }
}

fn check_sums(write: &WriteSpec, table: &Table<'_>) {
    let names = || write.record.cells.iter().map(|cell| cell.name.as_str()).filter(|name| !name.is_empty());
    for cell in write.header.iter().chain(&write.trailer).flat_map(|line| &line.cells) {
        let Some(sum) = cell.sum_of() else { continue };
        let found: Vec<&CellSpec> = write.record.cells.iter().filter(|record| record.name == sum).collect();
        match found[..] {
            [] => {
                let mut problem = cell.place.error(format!("no record cell is called `{sum}`"));
                problem.hint = nearest(sum, names()).map(|name| format!("did you mean \"{name}\"?"));
                table.problems().add(problem);
            }
            [summed] => check_summed(cell, summed, table),
            [..] => {
                let message = format!("`{sum}` is the name of {} record cells", found.len());
                let hint = "give the one that is meant a name of its own: name = \"...\"";
                table.problems().add(cell.place.error_with_hint(message, hint));
            }
        }
    }
}

fn check_summed(sum: &CellSpec, summed: &CellSpec, table: &Table<'_>) {
    if !matches!(&summed.source, CellSource::Field { time: None, .. }) {
        let message = format!("`{}` is not a number that can be summed", summed.name);
        table.problems().add(sum.place.error(message));
    }
    let from = summed.number.and_then(|number| number.unit);
    let to = sum.number.and_then(|number| number.unit);
    if let (Some(from), Some(to)) = (from, to)
        && from.factor_to(to).is_none()
    {
        let message = format!("a sum in `{}` cannot be written in `{}`", from.name, to.name);
        table.problems().add(sum.place.error(message));
    }
}

/// Fixed width: every byte of every line belongs to exactly one cell.
fn check_positions(dialect: &Dialect, write: &WriteSpec, table: &Table<'_>) {
    let Some(bytes) = dialect.line_bytes else {
        let hint = "write line = { bytes = 90 }";
        let place = table.place_of("line");
        table.problems().add(place.error_with_hint("a fixed-width file needs the bytes of its lines", hint));
        return;
    };
    for line in write.header.iter().chain(std::iter::once(&write.record)).chain(&write.trailer) {
        check_line(line, bytes, table);
    }
    for cell in all_cells(write) {
        check_fill(cell, dialect, table);
    }
}

fn check_line(line: &LineSpec, bytes: usize, table: &Table<'_>) {
    let mut next = 1;
    // A cell without a place, reported before, may be what fills a gap.
    let placed = line.cells.iter().all(|cell| cell.fixed.is_some());
    let gap = |place: &Place, from: usize, to: usize| {
        if !placed {
            return;
        }
        let hint = format!("add {{ at = \"{from}-{to}\", blank = true }}");
        table.problems().add(place.error_with_hint(format!("bytes {from}-{to} belong to no cell"), hint));
    };
    for cell in &line.cells {
        let Some(fixed) = cell.fixed else { continue };
        if fixed.from < next {
            let message = format!("bytes {}-{} belong to two cells", fixed.from, fixed.to.min(next - 1));
            table.problems().add(cell.place.error(message));
        } else if fixed.from > next {
            gap(&cell.place, next, fixed.from - 1);
        }
        if fixed.to > bytes {
            let message = format!("the cell ends at byte {}, the line at byte {bytes}", fixed.to);
            table.problems().add(cell.place.error(message));
        }
        next = next.max(fixed.to + 1);
    }
    if !line.cells.is_empty() && next <= bytes {
        gap(&line.place, next, bytes);
    }
}

fn check_fill(cell: &CellSpec, dialect: &Dialect, table: &Table<'_>) {
    let Some(fixed) = cell.fixed else { return };
    let mut encoded = Vec::new();
    let mut text = [0u8; 4];
    if dialect.charset.append(fixed.fill.encode_utf8(&mut text), &Misfit::Reject, &mut encoded).is_err() {
        table.problems().add(cell.place.error("the fill character is not in the charset"));
    }
    if fixed.width() % dialect.charset.unit_bytes() != 0 {
        table.problems().add(cell.place.error("the cell holds half a character of UTF-16"));
    }
}

/// True when the options of a cell fit a field of this kind; else what is wrong.
pub(in crate::format) fn kind_problem(cell: &CellSpec, kind: FieldKind) -> Option<&'static str> {
    let CellSource::Field { time, zone, .. } = &cell.source else { return None };
    match kind {
        FieldKind::Text if cell.number.is_some() || cell.total => {
            Some("number options on a text; add `number = true` to the field in the source's format")
        }
        FieldKind::Number | FieldKind::Text if time.is_some() || zone.is_some() => {
            Some("time options on a field that is no time; give it a `time` layout in the source's format")
        }
        FieldKind::Time if cell.number.is_some() || cell.total => Some("number options on a time"),
        FieldKind::Text | FieldKind::Number | FieldKind::Time => None,
    }
}
