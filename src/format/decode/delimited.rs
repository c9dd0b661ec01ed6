//! Delimited records: columns become fields by number or by the name in the header.

use super::spec::{ExtraColumns, Header, ReadSpec, Source};
use super::splitter::Splitter;
use super::value::{FieldFault, ValueFault, ValueReader};
use crate::format::dialect::Dialect;
use crate::record::RecordBlock;

/// Reads delimited records.
#[derive(Debug, Clone)]
pub(super) struct Delimited {
    pub(super) splitter: Splitter,
    columns: Columns,
}

/// Which column becomes which field.
#[derive(Debug, Clone)]
struct Columns {
    sources: Vec<Source>,
    /// Column of each field in the order of the schema; empty until the header was seen.
    of_field: Vec<usize>,
    /// Columns that a record must have: the header's, or as many as the fields need.
    least: usize,
    most: usize,
    extra: Option<ExtraColumns>,
    /// The record is a single column, so an empty line is a record.
    single: bool,
}

impl Delimited {
    pub(super) fn new(dialect: &Dialect, read: &ReadSpec) -> Self {
        let sources: Vec<Source> = read.fields.iter().map(|field| field.source.clone()).collect();
        let mut columns = Columns {
            sources,
            of_field: Vec::new(),
            least: 0,
            most: usize::MAX,
            extra: read.extra_columns,
            single: false,
        };
        if read.header != Header::Names {
            columns.settle(|_| None, None);
        }
        Self { splitter: Splitter::new(dialect), columns }
    }

    /// Takes the names of the columns from the header, which is the record that the splitter just completed.
    pub(super) fn take_names(&mut self, line: &[u8]) -> Result<(), String> {
        let row = self.splitter.row(line);
        let names: Vec<&[u8]> = (0..row.len()).filter_map(|at| row.get(at)).map(<[u8]>::trim_ascii).collect();
        let find = |name: &str| names.iter().position(|found| *found == name.as_bytes());
        let wanted = self.columns.sources.iter().filter_map(|source| match source {
            Source::Named(name) => Some(name.as_str()),
            Source::Column(_) | Source::Bytes(_) | Source::Path(_) => None,
        });
        let (mut missing, mut twice) = (Vec::new(), Vec::new());
        for name in wanted {
            match names.iter().filter(|found| **found == name.as_bytes()).count() {
                0 => missing.push(format!("`{name}`")),
                1 => {}
                _ => twice.push(format!("`{name}`")),
            }
        }
        if !missing.is_empty() {
            return Err(format!("the header of {} columns has no column {}", names.len(), missing.join(", ")));
        }
        if !twice.is_empty() {
            return Err(format!("the header has more than one column {}", twice.join(", ")));
        }
        self.columns.settle(find, Some(names.len()));
        Ok(())
    }

    /// The text in one column of a line that is no record.
    pub(super) fn column<'a>(&'a mut self, line: &'a [u8], column: usize) -> Option<&'a [u8]> {
        self.splitter.begin(line, None);
        self.splitter.row(line).get(column)
    }

    /// True when an empty line is a record.
    pub(super) const fn takes_empty_lines(&self) -> bool {
        self.columns.single
    }

    /// Appends the record that the splitter just completed to the block; `line` is its only line when it has one.
    pub(super) fn push(&self, line: &[u8], values: &mut [ValueReader], block: &mut RecordBlock) -> Result<(), String> {
        let row = self.splitter.row(line);
        self.push_bounded(row.bytes(), row.bounds(), values, block)
    }

    /// The same for fields whose bounds in `text` are known.
    pub(super) fn push_bounded(
        &self,
        text: &[u8],
        bounds: &[(u32, u32)],
        values: &mut [ValueReader],
        block: &mut RecordBlock,
    ) -> Result<(), String> {
        self.columns.push(text, bounds.len(), |column| bounds.get(column).copied(), values, block)
    }

    /// The same for a line without quotes and escapes whose separators are known.
    #[inline]
    pub(super) fn push_plain(
        &self,
        line: &[u8],
        separators: Separators<'_>,
        values: &mut [ValueReader],
        block: &mut RecordBlock,
    ) -> Result<(), String> {
        self.columns.push(line, separators.columns(), |column| separators.bounds(column, line), values, block)
    }
}

/// Places of the separators of a line in the window that it lies in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Separators<'a> {
    pub places: &'a [u32],
    /// Where the line begins.
    pub start: u32,
}

impl Separators<'_> {
    const fn columns(self) -> usize {
        self.places.len() + 1
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a line of more than 1 MiB is not taken")]
    fn bounds(self, column: usize, line: &[u8]) -> Option<(u32, u32)> {
        let from = match column.checked_sub(1) {
            Some(before) => self.places.get(before)? + 1 - self.start,
            None => 0,
        };
        let to = self.places.get(column).map_or(line.len() as u32, |place| place - self.start);
        Some((from, to))
    }
}

impl Columns {
    /// Appends a record of so many columns whose bounds in `text` are known.
    #[inline]
    fn push(
        &self,
        text: &[u8],
        columns: usize,
        bounds: impl Fn(usize) -> Option<(u32, u32)>,
        values: &mut [ValueReader],
        block: &mut RecordBlock,
    ) -> Result<(), String> {
        if columns < self.least || columns > self.most {
            return Err(self.ragged(columns));
        }
        let base = block.push_text(text).start;
        for (value, column) in values.iter_mut().zip(&self.of_field) {
            let placed = bounds(*column).ok_or(ValueFault::NoColumn).and_then(|(from, to)| {
                let field = text.get(from as usize..to as usize).unwrap_or_default();
                value.place(field, base + from, block)
            });
            if let Err(fault) = placed {
                let column = column + 1;
                return Err(format!("{} (column {column})", FieldFault { field: &value.name, fault }));
            }
        }
        Ok(())
    }

    fn settle(&mut self, find: impl Fn(&str) -> Option<usize>, header: Option<usize>) {
        self.of_field = self
            .sources
            .iter()
            .map(|source| match source {
                Source::Column(column) => *column,
                Source::Named(name) => find(name).unwrap_or(usize::MAX),
                Source::Bytes(_) | Source::Path(_) => usize::MAX,
            })
            .collect();
        let needed = self.of_field.iter().map(|column| column.saturating_add(1)).max().unwrap_or(0);
        self.least = header.unwrap_or(0).max(needed);
        self.most = match (self.extra, header) {
            (Some(ExtraColumns::Reject), _) | (None, Some(_)) => self.least,
            (Some(ExtraColumns::Ignore), _) | (None, None) => usize::MAX,
        };
        self.single = self.least == 1;
    }

    fn ragged(&self, columns: usize) -> String {
        let least = if self.most == usize::MAX { "at least " } else { "" };
        format!("the record has {columns} columns, expected {least}{}", self.least)
    }
}
