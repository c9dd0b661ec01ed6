//! Delimited samples: separator, quotes, header, columns.

use super::charset::GuessedCharset;
use super::columns::{Column, Guess, guess, names};
use super::{Draft, quoted};
use crate::format::decode::sample::{SampleRow, rows};
use crate::format::dialect::{Dialect, Escape, FormatKind, LineEnd, Misfit, Quoting, ReadLineEnd};
use std::collections::BTreeMap;

/// In the order in which they are preferred: the rare ones are there on purpose.
const SEPARATORS: [&str; 6] = ["|~|", "\t", "|", ";", ",", "\u{1}"];
/// Lines before the header that are looked through.
const PREAMBLE_MAX: usize = 10;

/// One way to read a sample.
struct Reading {
    dialect: Dialect,
    rows: Vec<SampleRow>,
    /// Columns of most rows.
    columns: usize,
    /// Rows with so many columns, of a thousand rows and faults.
    agreement: usize,
}

pub(super) fn draft(draft: &mut Draft, charset: &GuessedCharset, sample: &[u8]) -> Result<(), String> {
    let reading = best_reading(charset, sample).ok_or("the sample holds no records")?;
    let (skip_lines, rows) = without_preamble(&reading);
    let header = header(&rows);
    write_dialect(draft, charset, &reading);
    draft.line("\n[read]");
    if skip_lines > 0 {
        draft.key("skip_lines", &skip_lines.to_string(), None);
    }
    let unique = header.names.iter().all(|name| header.names.iter().filter(|other| *other == name).count() == 1);
    let by_name = header.is_there && unique;
    if header.is_there {
        let unsure = (!header.sure).then_some("the first line can be a record");
        draft.key("header", if by_name { "\"names\"" } else { "\"skip\"" }, unsure);
        draft.unsure.extend(unsure.map(|why| format!("header: {why}")));
    }
    let data = rows.get(usize::from(header.is_there)..).unwrap_or_default();
    if data.iter().any(|row| row.cells.len() > reading.columns) {
        draft.key("extra_columns", "\"ignore\"", Some("some lines have more columns than the others"));
    }
    let columns = columns(&header, data, reading.columns);
    draft.fields(&columns, |column| {
        if !by_name {
            format!("column = {}", column.number)
        } else if column.header == column.name {
            String::new()
        } else {
            format!("column = {}", quoted(&column.header))
        }
    });
    Ok(())
}

fn best_reading(charset: &GuessedCharset, sample: &[u8]) -> Option<Reading> {
    let mut best: Option<Reading> = None;
    for end in ends(sample) {
        for separator in SEPARATORS {
            for (quote, escape) in protections(charset, sample, separator) {
                let reading = read(charset, sample, end, separator, quote, escape);
                let better = best.as_ref().is_none_or(|best| reading.rank() > best.rank());
                if better && !reading.rows.is_empty() {
                    best = Some(reading);
                }
            }
        }
    }
    best
}

impl Reading {
    /// Several columns in all rows are the best; between equals the first one tried.
    fn rank(&self) -> (bool, usize) {
        (self.columns > 1, self.agreement)
    }
}

/// Line ends to try: a CR without LF ends lines when there is no LF at all, or perhaps.
fn ends(sample: &[u8]) -> Vec<ReadLineEnd> {
    match (sample.contains(&b'\n'), sample.contains(&b'\r')) {
        (false, true) => vec![ReadLineEnd::Cr],
        (true, true) => vec![ReadLineEnd::LfOrCrLf, ReadLineEnd::Any],
        (true | false, false) => vec![ReadLineEnd::LfOrCrLf],
    }
}

/// Quotes and escapes to try with a separator. Quotes come first: where both fit, they are meant.
fn protections(charset: &GuessedCharset, sample: &[u8], separator: &str) -> Vec<(Option<char>, Escape)> {
    let text = charset.text(sample);
    let mut found = Vec::new();
    // Who replaces the separator needs no quotes around it.
    if separator == "|" && text.contains("%7C") {
        found.push((None, Escape::Replace(vec![("|".to_owned(), "%7C".to_owned())])));
    }
    if text.contains('"') {
        found.push((Some('"'), Escape::Doubled));
        if text.contains("\\\"") {
            found.push((Some('"'), Escape::Character('\\')));
        }
    }
    found.push((None, Escape::Doubled));
    found
}

fn read(
    charset: &GuessedCharset,
    sample: &[u8],
    end: ReadLineEnd,
    separator: &str,
    quote: Option<char>,
    escape: Escape,
) -> Reading {
    let dialect = Dialect {
        kind: FormatKind::Delimited,
        separator: separator.to_owned(),
        quote,
        quoting: Quoting::Needed,
        escape,
        line_end: LineEnd::Lf,
        read_line_end: end,
        line_bytes: None,
        charset: charset.charset,
        unmappable: Misfit::Reject,
        controls: Misfit::Reject,
        separators: Misfit::Reject,
    };
    let (mut rows, faults) = rows(&dialect, sample);
    if let Some(first) = rows.first_mut().and_then(|row| row.cells.first_mut()) {
        *first = first.trim_start_matches('\u{FEFF}').to_owned();
    }
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for row in &rows {
        *counts.entry(row.cells.len()).or_default() += 1;
    }
    let (columns, most) = counts.into_iter().max_by_key(|(_, count)| *count).unwrap_or((0, 0));
    let agreement = most * 1000 / (rows.len() + faults).max(1);
    Reading { dialect, rows, columns, agreement }
}

/// The lines before the first row that has as many columns as most, or before a header when they are mostly empty; and
/// the rows from there on.
fn without_preamble(reading: &Reading) -> (u64, Vec<&SampleRow>) {
    let whole = |row: &SampleRow| row.cells.len() == reading.columns;
    let sparse = |row: &SampleRow| row.cells.iter().filter(|cell| cell.is_empty()).count() * 2 > row.cells.len();
    let first = reading.rows.iter().take(PREAMBLE_MAX).position(whole).unwrap_or(0);
    let rows = reading.rows.get(first..).unwrap_or_default();
    let header = rows.iter().take(PREAMBLE_MAX).position(|row| whole(row) && names_columns(row));
    let first = first + header.filter(|header| rows.iter().take(*header).all(sparse)).unwrap_or(0);
    let lines = if first == 0 { 0 } else { reading.rows.get(first).map_or(0, |row| row.line) };
    (lines, reading.rows.iter().skip(first).collect())
}

/// What the first row tells.
struct Header {
    is_there: bool,
    sure: bool,
    names: Vec<String>,
}

/// A header names every column once, and is no record: where records have numbers or times, it has none.
fn header(rows: &[&SampleRow]) -> Header {
    let none = |sure| Header { is_there: false, sure, names: Vec::new() };
    let Some((first, rest)) = rows.split_first() else { return none(false) };
    if rest.is_empty() || !names_columns(first) {
        return none(true);
    }
    let typed = (0..first.cells.len()).any(|at| {
        let values: Vec<&str> = rest.iter().filter_map(|row| row.cells.get(at)).map(String::as_str).collect();
        guess("", &values).0 != Guess::Text || values.iter().all(|value| value.bytes().all(|b| b.is_ascii_digit()))
    });
    let names = first.cells.iter().map(|cell| cell.trim().to_owned()).collect();
    Header { is_there: true, sure: typed, names }
}

/// True when every cell can be the name of a column.
fn names_columns(row: &SampleRow) -> bool {
    row.cells.iter().map(|cell| cell.trim()).all(|cell| {
        let short = !cell.is_empty() && cell.len() <= 60;
        short && cell.contains(char::is_alphabetic) && guess("", &[cell]).0 == Guess::Text
    })
}

fn columns(header: &Header, rows: &[&SampleRow], count: usize) -> Vec<Column> {
    let headers: Vec<String> = (0..count).map(|at| header.names.get(at).cloned().unwrap_or_default()).collect();
    names(&headers)
        .into_iter()
        .zip(headers)
        .enumerate()
        .map(|(at, (name, header))| {
            let whole = rows.iter().filter(|row| row.cells.len() >= count);
            let values: Vec<&str> = whole.filter_map(|row| row.cells.get(at)).map(String::as_str).collect();
            let (guess, null) = guess(&header, &values);
            Column { name, header, number: at + 1, guess, null }
        })
        .collect()
}

fn write_dialect(draft: &mut Draft, charset: &GuessedCharset, reading: &Reading) {
    draft.key("kind", "\"delimited\"", None);
    let single = (reading.columns < 2).then_some("no separator was found");
    draft.key("separator", &quoted(&reading.dialect.separator), single);
    if reading.dialect.quote.is_some() {
        draft.key("quote", "'\"'", None);
    }
    match &reading.dialect.escape {
        Escape::Doubled => {}
        Escape::Character(_) => draft.key("escape", "'\\'", None),
        Escape::Replace(_) => draft.key("escape", "{ \"|\" = \"%7C\" }", None),
    }
    match reading.dialect.read_line_end {
        ReadLineEnd::LfOrCrLf => {}
        ReadLineEnd::Cr => draft.key("line", "{ end = \"CR\" }", None),
        ReadLineEnd::Any => draft.key("line", "{ end = \"any\" }", None),
    }
    write_charset(draft, charset);
}

pub(super) fn write_charset(draft: &mut Draft, charset: &GuessedCharset) {
    if charset.name != "UTF-8" {
        let why = charset.note.as_deref().map(|note| note.trim_start_matches("charset: "));
        draft.key("charset", &quoted(charset.name), why);
    }
}
