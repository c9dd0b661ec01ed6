//! Walks through a file line by line.

use super::columns::{self, Column, ColumnFault};
use super::lines::{Ending, LINE_BYTES_MAX, LineReader, RawLine};
use super::shape::{CellShape, Claim, ClaimAbout, LineShape, is_equal, kind_of};
use super::{CellAddress, VerifyProblem, VerifyReport};
use crate::format::charset::Malformed;
use crate::format::dialect::{Dialect, FormatKind, LineEnd, Misfit};
use crate::format::encode::{CellPosition, line_end_bytes};
use crate::format::spec::{JsonType, WriteSpec};
use crate::record::Decimal;
use std::collections::VecDeque;
use std::io::{self, Read};

/// A value with line ends in quotes may go over this many lines.
const QUOTED_LINES_MAX: usize = 64;

/// Checks the lines of one file.
pub(super) struct Checker<'a> {
    dialect: &'a Dialect,
    names: Option<Vec<String>>,
    header: Vec<LineShape>,
    record: LineShape,
    trailer: Vec<LineShape>,
    claims: Vec<(u64, u64, CellAddress, Claim)>,
    sums: Vec<Decimal>,
    report: VerifyReport,
}

/// Which line of the file a line is.
#[derive(Clone, Copy)]
enum Role {
    Names,
    Header(usize),
    Record,
    Trailer(usize),
}

impl<'a> Checker<'a> {
    pub fn new(dialect: &'a Dialect, write: &WriteSpec) -> Self {
        let shape = |line, record| LineShape::new(line, record, dialect, write);
        let summed = write.summed_cells();
        let sums = summed.iter().filter_map(|index| write.record.cells.get(*index));
        let sums: Vec<(String, Decimal)> = sums.map(|cell| (cell.name.clone(), cell.zero())).collect();
        let names = write.record.cells.iter().map(|cell| cell.name.clone());
        Self {
            dialect,
            names: write.header_names.then(|| names.collect()),
            header: write.header.iter().map(|line| shape(line, false)).collect(),
            record: shape(&write.record, true),
            trailer: write.trailer.iter().map(|line| shape(line, false)).collect(),
            claims: Vec::new(),
            sums: sums.iter().map(|(_, zero)| *zero).collect(),
            report: VerifyReport { sums, ..VerifyReport::default() },
        }
    }

    /// Checks the whole file. The last lines are held back until it is known that they are the trailer.
    pub fn run(mut self, input: impl Read) -> io::Result<VerifyReport> {
        let mut reader = LineReader::new(self.dialect, input);
        let mut held: VecDeque<RawLine> = VecDeque::new();
        let heading = usize::from(self.names.is_some()) + self.header.len();
        let mut seen = 0;
        while let Some(line) = self.whole_line(&mut reader)? {
            self.report.lines += 1;
            if seen < heading {
                let role = match (&self.names, seen) {
                    (Some(_), 0) => Role::Names,
                    (Some(_), index) => Role::Header(index - 1),
                    (None, index) => Role::Header(index),
                };
                seen += 1;
                self.line(&line, role);
                continue;
            }
            held.push_back(line);
            if held.len() > self.trailer.len()
                && let Some(record) = held.pop_front()
            {
                self.line(&record, Role::Record);
            }
        }
        self.report.bytes = reader.bytes();
        if seen < heading || held.len() < self.trailer.len() {
            let expected = format!("at least {} lines of header and trailer", heading + self.trailer.len());
            let found = format!("{} lines", self.report.lines);
            self.add(self.report.lines.max(1), self.report.bytes, None, expected, found);
        }
        let first = self.trailer.len() - held.len();
        for (index, line) in held.into_iter().enumerate() {
            self.line(&line, Role::Trailer(first + index));
        }
        self.compare_claims();
        for ((_, shown), sum) in self.report.sums.iter_mut().zip(&self.sums) {
            *shown = *sum;
        }
        Ok(self.report)
    }

    /// The columns of every line, for tests.
    #[cfg(test)]
    pub fn columns_of(&self, bytes: &[u8]) -> Vec<Vec<Column>> {
        let mut reader = LineReader::new(self.dialect, bytes);
        let mut lines = Vec::new();
        while let Some(line) = self.whole_line(&mut reader).expect("bytes") {
            let mut text = String::new();
            self.dialect.charset.decode(&line.content, &mut text).expect("text");
            lines.push(match self.dialect.kind {
                FormatKind::JsonLines => columns::json(&text).expect("columns"),
                FormatKind::Delimited | FormatKind::Fixed => columns::delimited(self.dialect, &text).expect("columns"),
            });
        }
        lines
    }

    fn add(
        &mut self,
        line: u64,
        byte: u64,
        cell: Option<CellAddress>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.report.add(VerifyProblem { line, byte, cell, expected: expected.into(), found: found.into() });
    }

    /// The next line; lines inside quotes are put together.
    fn whole_line<R: Read>(&self, reader: &mut LineReader<R>) -> io::Result<Option<RawLine>> {
        let Some(mut line) = reader.next()? else { return Ok(None) };
        let joins = self.dialect.kind == FormatKind::Delimited
            && self.dialect.quote.is_some()
            && self.dialect.controls == Misfit::Keep;
        let end = line_end_bytes(self.dialect);
        for _ in 1..QUOTED_LINES_MAX {
            let mut text = String::new();
            let open = joins
                && self.dialect.charset.decode(&line.content, &mut text).is_ok()
                && columns::delimited(self.dialect, &text) == Err(ColumnFault::Open);
            if !open || line.content.len() > LINE_BYTES_MAX {
                break;
            }
            let Some(next) = reader.next()? else { break };
            line.content.extend_from_slice(match line.ending {
                Ending::Wrong("LF alone") => b"\n",
                Ending::Wrong(_) => b"\r\n",
                Ending::Right | Ending::Missing => &end,
            });
            line.content.extend_from_slice(&next.content);
            line.ending = next.ending;
        }
        Ok(Some(line))
    }

    fn line(&mut self, line: &RawLine, role: Role) {
        self.line_end(line);
        if matches!(role, Role::Record) {
            self.report.records += 1;
        }
        match self.dialect.kind {
            FormatKind::Fixed => self.fixed_line(line, role),
            FormatKind::Delimited | FormatKind::JsonLines => self.column_line(line, role),
        }
    }

    fn line_end(&mut self, line: &RawLine) {
        let expected = match self.dialect.line_end {
            LineEnd::Lf => "LF",
            LineEnd::CrLf => "CRLF",
            LineEnd::Cr => "CR",
        };
        let found = match line.ending {
            Ending::Right => return,
            Ending::Wrong(found) => found,
            Ending::Missing if line.content.len() > LINE_BYTES_MAX => "a line of more than 1 MiB",
            Ending::Missing => "the end of the file",
        };
        let byte = line.byte + line.content.len() as u64;
        self.add(line.number, byte, None, format!("the line end {expected}"), found);
    }

    fn shape(&self, role: Role) -> Option<&LineShape> {
        match role {
            Role::Names => None,
            Role::Header(index) => self.header.get(index),
            Role::Record => Some(&self.record),
            Role::Trailer(index) => self.trailer.get(index),
        }
    }

    fn fixed_line(&mut self, line: &RawLine, role: Role) {
        let width = self.dialect.line_bytes.unwrap_or(line.content.len());
        if line.content.len() != width {
            let found = format!("{} bytes", line.content.len());
            self.add(line.number, line.byte, None, format!("a line of {width} bytes"), found);
            return;
        }
        let count = self.shape(role).map_or(0, |shape| shape.cells.len());
        let mut text = String::new();
        for index in 0..count {
            let Some(cell) = self.shape(role).and_then(|shape| shape.cells.get(index)) else { return };
            let CellPosition::Bytes(from, to) = cell.position else { return };
            let byte = line.byte + from as u64 - 1;
            text.clear();
            let decoded = self.dialect.charset.decode(line.content.get(from - 1..to).unwrap_or_default(), &mut text);
            if let Err(Malformed { offset }) = decoded {
                let cell = address(cell);
                let expected = format!("a character of {}", self.dialect.charset.name());
                self.add(line.number, byte + offset as u64, Some(cell), expected, "another byte");
                continue;
            }
            let trimmed = cell.without_padding(&text).to_owned();
            self.cell(line, byte, role, index, &trimmed);
        }
    }

    fn column_line(&mut self, line: &RawLine, role: Role) {
        let mut text = String::new();
        if let Err(Malformed { offset }) = self.dialect.charset.decode(&line.content, &mut text) {
            let expected = format!("a character of {}", self.dialect.charset.name());
            self.add(line.number, line.byte + offset as u64, None, expected, "another byte");
            return;
        }
        let columns = match self.dialect.kind {
            FormatKind::JsonLines => columns::json(&text),
            FormatKind::Delimited | FormatKind::Fixed => columns::delimited(self.dialect, &text),
        };
        let columns = match columns {
            Ok(columns) => columns,
            Err(fault) => {
                let (at, expected) = match fault {
                    ColumnFault::Open => (text.len(), "a closing quote"),
                    ColumnFault::Broken { at, expected } => (at, expected),
                };
                let byte = self.byte_of(line, &text, at);
                self.add(line.number, byte, None, expected, "something else");
                return;
            }
        };
        let expected = match (&self.names, role) {
            (Some(names), Role::Names) => names.len(),
            (_, role) => self.shape(role).map_or(0, |shape| shape.cells.len()),
        };
        if columns.len() != expected {
            let found = format!("{} columns", columns.len());
            self.add(line.number, line.byte, None, format!("{expected} columns"), found);
            return;
        }
        for (index, column) in columns.iter().enumerate() {
            let byte = self.byte_of(line, &text, column.start);
            if matches!(role, Role::Names) {
                self.name(line, byte, index, column);
            } else if self.member(line, byte, role, index, column) {
                self.cell(line, byte, role, index, &column.text);
            }
        }
    }

    /// The byte in the file of an offset in the decoded line.
    fn byte_of(&self, line: &RawLine, text: &str, at: usize) -> u64 {
        if self.dialect.charset.unit_bytes() == 1 && text.len() == line.content.len() {
            return line.byte + at as u64;
        }
        let mut before = Vec::new();
        // What was decoded can be encoded.
        let encoded = self.dialect.charset.append(text.get(..at).unwrap_or_default(), &Misfit::Drop, &mut before);
        line.byte + encoded.map_or(0, |()| before.len() as u64)
    }

    fn name(&mut self, line: &RawLine, byte: u64, index: usize, column: &Column) {
        let expected = self.names.as_ref().and_then(|names| names.get(index)).cloned().unwrap_or_default();
        if column.text != expected {
            let cell = CellAddress { name: expected, position: CellPosition::Column(index + 1) };
            self.add(line.number, byte, Some(cell), "the name of the column", kind_of(&column.text));
        }
    }

    /// JSON: checks key and type of a member.
    fn member(&mut self, line: &RawLine, byte: u64, role: Role, index: usize, column: &Column) -> bool {
        if self.dialect.kind != FormatKind::JsonLines {
            return true;
        }
        let Some(cell) = self.shape(role).and_then(|shape| shape.cells.get(index)) else { return true };
        let (cell, json) = (address(cell), cell.json);
        if column.key != cell.name {
            let expected = format!("the key `{}`", cell.name);
            self.add(line.number, byte, Some(cell), expected, "another key");
            return false;
        }
        let (expected, found) = match (json, column.bare) {
            (Some(JsonType::Number), false) => ("a JSON number", "a JSON text"),
            (Some(JsonType::Text), true) => ("a JSON text", "a JSON number or null"),
            (Some(_) | None, _) => return true,
        };
        self.add(line.number, byte, Some(cell), expected, found);
        false
    }

    fn cell(&mut self, line: &RawLine, byte: u64, role: Role, index: usize, text: &str) {
        let number = self.report.records;
        let Some(cell) = self.shape(role).and_then(|shape| shape.cells.get(index)) else { return };
        let controls = self.dialect.controls != Misfit::Keep
            && self.dialect.kind != FormatKind::JsonLines
            && has_control(self.dialect, text);
        let checked = if controls {
            Err(("no control character".to_owned(), "a control character".to_owned()))
        } else {
            cell.check(text, number)
        };
        let sum = cell.sum;
        match checked {
            Err((expected, found)) => {
                let cell = address(cell);
                self.add(line.number, byte, Some(cell), expected, found);
            }
            Ok(checked) => {
                if let Some(claim) = checked.claim {
                    self.claims.push((line.number, byte, address(cell), claim));
                }
                if let (Some(number), Some(sum)) = (checked.number, sum.and_then(|sum| self.sums.get_mut(sum))) {
                    *sum = sum.plus(number).unwrap_or(*sum);
                }
            }
        }
    }

    fn compare_claims(&mut self) {
        for (line, byte, cell, claim) in std::mem::take(&mut self.claims) {
            let (what, counted) = match &claim.about {
                ClaimAbout::Records { besides } => {
                    ("the count", Some(Decimal::from_integer(self.report.records + besides)))
                }
                ClaimAbout::Sum { index, form } => {
                    ("the sum", self.sums.get(*index).and_then(|sum| form.apply(*sum).ok()))
                }
            };
            if !counted.is_some_and(|counted| is_equal(counted, claim.value)) {
                let expected = match counted {
                    Some(counted) => format!("{what} {counted}"),
                    None => format!("{what} in this unit and rounding"),
                };
                self.add(line, byte, Some(cell), expected, claim.value.to_string());
            }
        }
    }
}

fn address(cell: &CellShape) -> CellAddress {
    CellAddress { name: cell.name.clone(), position: cell.position }
}

/// Control characters that an escape of the format stands for are allowed.
fn has_control(dialect: &Dialect, text: &str) -> bool {
    use crate::format::dialect::Escape;
    let escaped = |control: char| match &dialect.escape {
        Escape::Replace(pairs) => pairs.iter().any(|(from, _)| from.contains(control)),
        Escape::Doubled | Escape::Character(_) => false,
    };
    text.chars().any(|character| character.is_ascii_control() && !escaped(character))
}
