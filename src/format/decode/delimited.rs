//! Delimited records: columns become fields by number or by the name in the header.

use super::spec::{ExtraColumns, Header, ReadSpec, Source};
use super::splitter::Splitter;
use super::value::{FieldFault, ValueReader};
use crate::format::dialect::Dialect;
use crate::record::RecordBlock;
use std::collections::BTreeMap;

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
    /// The fields are the first columns, in their order.
    are_in_order: bool,
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
            are_in_order: false,
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

    /// Appends the record that the splitter just completed to the block, its values as they stand; `line` is its only
    /// line when it has one.
    pub(super) fn push(&self, line: &[u8], block: &mut RecordBlock) -> Result<(), String> {
        let row = self.splitter.row(line);
        let base = block.push_text(row.bytes()).start;
        self.push_bounds(base, row.bounds(), block)
    }

    /// The same for a line in the block whose fields have these bounds, counted from `base`.
    pub(super) fn push_bounds(&self, base: u32, bounds: &[(u32, u32)], block: &mut RecordBlock) -> Result<(), String> {
        let bounds_of = |column: usize| bounds.get(column).copied().unwrap_or_default();
        self.columns.check(bounds.len())?;
        block.push_places(self.columns.of_field.iter().map(|column| {
            let (from, to) = bounds_of(*column);
            base + from..base + to
        }));
        Ok(())
    }

    /// The same for a line without quotes and escapes. `edges` are the places in front of its fields and the one behind
    /// the last, `end` the end of its content, counted as the edges are; `base` is added to them.
    #[inline]
    pub(super) fn push_edges(&self, base: u32, edges: &[u32], end: u32, block: &mut RecordBlock) -> Result<(), String> {
        self.columns.check(edges.len().saturating_sub(1))?;
        // The first edge can be the place in front of all.
        let place = |from: u32, to: u32| base.wrapping_add(from).wrapping_add(1)..base.wrapping_add(to.min(end));
        let of_field = &self.columns.of_field;
        if let (true, Some(before), Some(behind)) =
            (self.columns.are_in_order, edges.get(..of_field.len()), edges.get(1..=of_field.len()))
        {
            block.push_places(before.iter().zip(behind).map(|(from, to)| place(*from, *to)));
        } else {
            let edge = |at: usize| edges.get(at).copied().unwrap_or_default();
            block.push_places(of_field.iter().map(|column| place(edge(*column), edge(*column + 1))));
        }
        Ok(())
    }

    /// Reads the values of the records from `first` on, which were pushed as they stand. Adds to `faults` why a record
    /// cannot be decoded, where nothing is said of it yet.
    pub(super) fn settle(
        &self,
        values: &mut [ValueReader],
        first: usize,
        block: &mut RecordBlock,
        faults: &mut BTreeMap<usize, String>,
    ) {
        for ((index, value), column) in values.iter_mut().enumerate().zip(&self.columns.of_field) {
            let mut found = Vec::new();
            value.settle(index, first, block, |record, fault| found.push((record, fault)));
            for (record, fault) in found {
                let fault = FieldFault { field: &value.name, fault };
                faults.entry(record).or_insert_with(|| format!("{fault} (column {})", column + 1));
            }
        }
    }
}

impl Columns {
    /// Whether a record can have so many columns.
    #[inline]
    fn check(&self, columns: usize) -> Result<(), String> {
        if columns < self.least || columns > self.most { Err(self.ragged(columns)) } else { Ok(()) }
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
        self.are_in_order = self.of_field.iter().enumerate().all(|(field, column)| field == *column);
    }

    fn ragged(&self, columns: usize) -> String {
        let least = if self.most == usize::MAX { "at least " } else { "" };
        format!("the record has {columns} columns, expected {least}{}", self.least)
    }
}
