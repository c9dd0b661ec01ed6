//! All records of a sample as plain rows, before it is known which fields they have.

use super::RECORD_LINES_MAX;
use super::lines::LineFinder;
use super::splitter::{Progress, Splitter};
use super::text::TextReader;
use crate::format::dialect::Dialect;

/// A record of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) struct SampleRow {
    /// Line on which it began, from 0.
    pub(in crate::format) line: u64,
    /// The texts of its columns.
    pub(in crate::format) cells: Vec<String>,
}

/// The rows of a delimited sample, and how many lines are none.
pub(in crate::format) fn rows(dialect: &Dialect, sample: &[u8]) -> (Vec<SampleRow>, usize) {
    let finder = LineFinder::new(dialect.read_line_end, dialect.charset);
    let mut text = TextReader::new(dialect.charset, &dialect.unmappable);
    let mut splitter = Splitter::new(dialect);
    let (mut rows, mut faults) = (Vec::new(), 0);
    let (mut start, mut line_number) = (0, 0);
    while let Some(first) = finder.find(sample, start, start, true) {
        let mut line = first;
        let mut lines = 1;
        let content = text.decode(sample.get(start..line.content_end).unwrap_or_default()).text;
        let blank = content.is_empty();
        let mut progress = splitter.begin(content.as_bytes(), line.end);
        while progress == Progress::Open && lines < RECORD_LINES_MAX {
            let from = line.next;
            let Some(next) = finder.find(sample, from, from, true) else { break };
            let content = text.decode(sample.get(from..next.content_end).unwrap_or_default()).text;
            progress = splitter.go_on(content.as_bytes(), next.end);
            line = next;
            lines += 1;
        }
        if progress == Progress::Complete && !blank {
            let content = text.decode(sample.get(start..line.content_end).unwrap_or_default()).text;
            let row = splitter.row(content.as_bytes());
            let cells = (0..row.len()).filter_map(|at| row.get(at)).map(|cell| String::from_utf8_lossy(cell).into());
            rows.push(SampleRow { line: line_number, cells: cells.collect() });
        }
        let taken = progress == Progress::Complete;
        faults += usize::from(!taken);
        start = if taken { line.next } else { first.next };
        line_number += if taken { lines as u64 } else { 1 };
    }
    (rows, faults)
}
