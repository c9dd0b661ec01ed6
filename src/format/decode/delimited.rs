//! Delimited records: columns become fields by number or by the name in the header.

use super::spec::{ExtraColumns, Header, ReadSpec, Source};
use super::splitter::{Row, Splitter};
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
    #[inline]
    pub(super) fn push(&self, line: &[u8], values: &mut [ValueReader], block: &mut RecordBlock) -> Result<(), String> {
        let row = self.splitter.row(line);
        if row.len() < self.columns.least || row.len() > self.columns.most {
            return Err(self.columns.ragged(row));
        }
        for (value, column) in values.iter_mut().zip(&self.columns.of_field) {
            let pushed = row.from(*column).ok_or(ValueFault::NoColumn);
            let pushed = pushed.and_then(|(bytes, length)| value.push_start(bytes, length, block));
            if let Err(fault) = pushed {
                let column = column + 1;
                return Err(format!("{} (column {column})", FieldFault { field: &value.name, fault }));
            }
        }
        Ok(())
    }
}

impl Columns {
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

    fn ragged(&self, row: Row<'_>) -> String {
        let least = if self.most == usize::MAX { "at least " } else { "" };
        format!("the record has {} columns, expected {least}{}", row.len(), self.least)
    }
}
