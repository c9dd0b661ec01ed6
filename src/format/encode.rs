//! Writes files: a format compiled for the fields of one source.
//!
//! A [`Layout`] has resolved every field, unit and zone, and holds the buffers that rendering needs, so a record is
//! written without an allocation. Use a clone for each thread.
//!
//! ```text
//! Layout::compile(spec, schema, zone)
//!   begin_file(facts)                        when record cells show facts about the file
//!   record(record, totals, out)              appends a line, or leaves everything as it was
//!   header(facts, totals, out), trailer(..)  appends the other lines
//! ```

mod cell;
mod compile;
mod delimited;
mod fault;
mod fixed_width;
mod json_lines;
mod number;
mod plain_line;
mod text;

#[cfg(test)]
pub(in crate::format) mod tests;

pub use fault::{CellFault, CellPosition, RenderFault};
pub(in crate::format) use fixed_width::FixedShape;
pub(in crate::format) use number::NumberForm;

use super::charset::Charset;
use super::dialect::{Dialect, FormatKind};
use super::spec::FormatSpec;
use super::template::{FileFacts, Variable};
use super::totals::Totals;
use crate::document::Problem;
use crate::domain::period::Zone;
use crate::record::{Decimal, Record, Schema};
use cell::{Input, Source, ValuePlan};
use delimited::DelimitedWriter;
use fixed_width::FixedWriter;
use json_lines::JsonWriter;
use plain_line::PlainLine;
use std::sync::Arc;

/// A format, compiled for the fields of one source and the zone of one feed.
#[derive(Debug, Clone)]
pub struct Layout {
    names_line: Option<Vec<u8>>,
    header: Vec<Line>,
    record: Line,
    trailer: Vec<Line>,
    writer: Writer,
    sum_names: Arc<[Arc<str>]>,
    sum_zeros: Vec<Decimal>,
    scratch: Vec<u8>,
    pending: Vec<Decimal>,
}

#[derive(Debug, Clone)]
struct Line {
    cells: Vec<Cell>,
}

#[derive(Debug, Clone)]
struct Cell {
    name: Arc<str>,
    position: CellPosition,
    /// What stands before the value: a separator or a key.
    lead: Vec<u8>,
    plan: ValuePlan,
    /// Written as a number: a bare JSON number, a sign before zeros.
    number: bool,
    shape: Option<FixedShape>,
    /// Which sum the value is added to, and how its text is read when its number is not at hand.
    sum: Option<(usize, NumberForm)>,
}

impl Layout {
    /// Compiles a format for records of `schema`; times without a zone of their own are written in `zone`.
    ///
    /// # Errors
    /// All problems that need the schema to be seen: unknown fields, options that do not fit a field's kind, units
    /// that do not convert, constant texts that do not fit.
    pub fn compile(spec: &FormatSpec, schema: &Schema, zone: Zone) -> Result<Self, Vec<Problem>> {
        compile::compile(spec, schema, zone)
    }

    /// Totals of no records.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::fresh(Arc::clone(&self.sum_names), &self.sum_zeros)
    }

    /// Renders the facts that record cells show; needed before the first record of a file when
    /// [`Layout::record_uses_facts`].
    pub fn begin_file(&mut self, facts: &FileFacts<'_>) {
        self.record.cells.iter_mut().for_each(|cell| cell.plan.begin_file(facts));
    }

    /// True when record lines show facts about the file, so that they cannot be written before the plan.
    #[must_use]
    pub fn record_uses_facts(&self) -> bool {
        self.record.shows(&|source| matches!(source, Source::Template { .. }))
    }

    /// True when record lines show their number within the file, so that they must be written in order and with the
    /// totals of all records before them.
    #[must_use]
    pub fn numbers_records(&self) -> bool {
        self.record.shows(&|source| matches!(source, Source::Count { .. }))
    }

    /// True when the header shows totals, so that it can be written only after the records.
    #[must_use]
    pub fn header_uses_totals(&self) -> bool {
        let totals = |source: &Source| matches!(source, Source::Count { .. } | Source::Sum { .. });
        self.header_uses(Variable::Records) || self.header.iter().any(|line| line.shows(&totals))
    }

    /// True when the header shows `variable`.
    #[must_use]
    pub fn header_uses(&self, variable: Variable) -> bool {
        let uses = |source: &Source| matches!(source, Source::Template { template, .. } if template.uses(variable));
        self.header.iter().any(|line| line.shows(&uses))
    }

    /// Appends the line of a record and adds it to the totals.
    ///
    /// # Errors
    /// [`RenderFault`] for the first cell that cannot be written; `totals` and `out` are then as before.
    pub fn record(&mut self, record: Record<'_>, totals: &mut Totals, out: &mut Vec<u8>) -> Result<(), RenderFault> {
        let before = out.len();
        let input = Input::Record { record, number: totals.records + 1 };
        self.pending.fill(Decimal::ZERO);
        let line = &mut self.record;
        let mut sink = Sink { scratch: &mut self.scratch, sums: &mut self.pending, out };
        let done = line.render(&mut self.writer, &input, &mut sink);
        let added =
            done.and_then(|()| totals.add_record(&self.pending).map_err(|_| (line.first_sum(), CellFault::SumTooLong)));
        added.map_err(|(index, reason)| {
            out.truncate(before);
            let (cell, position) = line.at(index);
            RenderFault::Cell { cell, position, reason }
        })
    }

    /// Appends the header lines; nothing when the format has none.
    ///
    /// # Errors
    /// [`RenderFault`]; `out` is then as before. The hour must be held.
    pub fn header(&mut self, facts: &FileFacts<'_>, totals: &Totals, out: &mut Vec<u8>) -> Result<(), RenderFault> {
        let before = out.len();
        out.extend_from_slice(self.names_line.as_deref().unwrap_or_default());
        let lines = render_frame(&mut self.header, &mut self.writer, facts, totals, &mut self.scratch, out);
        lines.inspect_err(|_| out.truncate(before))
    }

    /// Appends the trailer lines; nothing when the format has none.
    ///
    /// # Errors
    /// As [`Layout::header`].
    pub fn trailer(&mut self, facts: &FileFacts<'_>, totals: &Totals, out: &mut Vec<u8>) -> Result<(), RenderFault> {
        let before = out.len();
        let lines = render_frame(&mut self.trailer, &mut self.writer, facts, totals, &mut self.scratch, out);
        lines.inspect_err(|_| out.truncate(before))
    }
}

fn render_frame(
    lines: &mut [Line],
    writer: &mut Writer,
    facts: &FileFacts<'_>,
    totals: &Totals,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), RenderFault> {
    let input = Input::File { facts, totals };
    for line in lines {
        let mut sink = Sink { scratch, sums: &mut [], out };
        line.render(writer, &input, &mut sink).map_err(|(index, reason)| {
            let (cell, position) = line.at(index);
            match line.cells.get(index).map(|cell| &cell.plan.source) {
                Some(Source::Count { .. } | Source::Sum { .. }) => RenderFault::Total { cell, position, reason },
                Some(_) | None => RenderFault::Cell { cell, position, reason },
            }
        })?;
    }
    Ok(())
}

/// The buffers that a line is rendered into.
struct Sink<'b> {
    scratch: &'b mut Vec<u8>,
    /// What the record contributes to each sum; empty for header and trailer.
    sums: &'b mut [Decimal],
    out: &'b mut Vec<u8>,
}

impl Line {
    /// Appends the line; on failure the index of the cell.
    fn render(
        &mut self,
        writer: &mut Writer,
        input: &Input<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), (usize, CellFault)> {
        if let KindWriter::Delimited(delimited) = &mut writer.kind {
            return self.render_delimited(delimited, &writer.line_end, input, sink);
        }
        let alone = self.cells.len() == 1;
        for (index, cell) in self.cells.iter_mut().enumerate() {
            let placing = Placing { alone, number: cell.number, shape: cell.shape.as_ref() };
            sink.out.extend_from_slice(&cell.lead);
            let copied = match input {
                Input::Record { record, .. } if cell.sum.is_none() => cell.plan.copied(*record),
                Input::Record { .. } | Input::File { .. } => None,
            };
            let put = match copied {
                Some((bytes, length)) => writer.put(&placing, bytes.get(..length).unwrap_or_default(), sink.out),
                None => value_of(&mut cell.plan, cell.sum.as_ref(), input, sink.scratch, sink.sums)
                    .and_then(|text| writer.put(&placing, text, sink.out)),
            };
            put.map_err(|fault| (index, fault))?;
        }
        writer.end_line(sink.out).map_err(|fault| (0, fault))
    }

    /// The same between separators. As a rule no value of a record needs more than to be copied; otherwise each is put by
    /// itself.
    fn render_delimited(
        &mut self,
        writer: &mut DelimitedWriter,
        line_end: &[u8],
        input: &Input<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), (usize, CellFault)> {
        let separators = self.cells.len().saturating_sub(1);
        if let (Input::Record { record, .. }, Some(checker)) = (input, writer.checker().filter(|_| separators > 0)) {
            let line = writer.plain_line();
            self.copy_values(*record, input, sink, line)?;
            if let Some(line) = line.when_plain(checker, separators) {
                sink.out.extend_from_slice(line);
                sink.out.extend_from_slice(line_end);
                return Ok(());
            }
        }
        for (index, cell) in self.cells.iter_mut().enumerate() {
            sink.out.extend_from_slice(&cell.lead);
            let text = value_of(&mut cell.plan, cell.sum.as_ref(), input, sink.scratch, sink.sums);
            let put = text.and_then(|text| writer.put(text, separators == 0, sink.out));
            put.map_err(|fault| (index, fault))?;
        }
        sink.out.extend_from_slice(line_end);
        Ok(())
    }

    fn copy_values(
        &mut self,
        record: Record<'_>,
        input: &Input<'_>,
        sink: &mut Sink<'_>,
        line: &mut PlainLine,
    ) -> Result<(), (usize, CellFault)> {
        line.clear();
        for (index, cell) in self.cells.iter_mut().enumerate() {
            line.put(&cell.lead, cell.lead.len());
            if let Some((bytes, length)) = cell.plan.copied(record).filter(|_| cell.sum.is_none()) {
                line.put(bytes, length);
            } else {
                let text = value_of(&mut cell.plan, cell.sum.as_ref(), input, sink.scratch, sink.sums);
                let text = text.map_err(|fault| (index, fault))?;
                line.put(text, text.len());
            }
        }
        Ok(())
    }

    fn at(&self, index: usize) -> (Arc<str>, CellPosition) {
        let cell = self.cells.get(index).map(|cell| (Arc::clone(&cell.name), cell.position));
        cell.unwrap_or_else(|| (Arc::from(""), CellPosition::Column(index + 1)))
    }

    fn first_sum(&self) -> usize {
        self.cells.iter().position(|cell| cell.sum.is_some()).unwrap_or(0)
    }

    /// True when a cell, or a piece of one, has a source for which `test` holds.
    fn shows(&self, test: &dyn Fn(&Source) -> bool) -> bool {
        self.cells.iter().any(|cell| cell.plan.source.any(test))
    }
}

/// The text of a cell; what it adds to its sum is noted.
#[inline]
fn value_of<'v>(
    plan: &'v mut ValuePlan,
    sum: Option<&(usize, NumberForm)>,
    input: &Input<'v>,
    scratch: &'v mut Vec<u8>,
    sums: &mut [Decimal],
) -> Result<&'v [u8], CellFault> {
    let value = plan.value(input, scratch)?;
    if let Some((sum, form)) = sum
        && let Some(sum) = sums.get_mut(*sum)
        && !value.text.is_empty()
    {
        *sum = match value.number {
            Some(number) => number,
            None => form.read_back(value.text).map_err(CellFault::Number)?,
        };
    }
    Ok(value.text)
}

/// How a value is put.
struct Placing<'c> {
    /// The only cell of its line.
    alone: bool,
    number: bool,
    shape: Option<&'c FixedShape>,
}

/// Lays values out by the kind of file.
#[derive(Debug, Clone)]
struct Writer {
    kind: KindWriter,
    line_end: Vec<u8>,
}

#[derive(Debug, Clone)]
enum KindWriter {
    Delimited(Box<DelimitedWriter>),
    Fixed(Box<FixedWriter>),
    Json(Box<JsonWriter>),
}

impl Writer {
    fn new(dialect: &Dialect) -> Self {
        let kind = match dialect.kind {
            FormatKind::Delimited => KindWriter::Delimited(Box::new(DelimitedWriter::new(dialect))),
            FormatKind::Fixed => KindWriter::Fixed(Box::new(FixedWriter::new(dialect))),
            FormatKind::JsonLines => KindWriter::Json(Box::new(JsonWriter::new(dialect))),
        };
        Self { kind, line_end: line_end_bytes(dialect) }
    }

    /// What stands before the value of the cell at `index`.
    fn lead(&mut self, index: usize, name: &str) -> Result<Vec<u8>, CellFault> {
        let mut lead = Vec::new();
        match &mut self.kind {
            KindWriter::Delimited(writer) if index > 0 => writer.put_separator(&mut lead),
            KindWriter::Delimited(_) | KindWriter::Fixed(_) => {}
            KindWriter::Json(writer) => writer.put_key(index == 0, name, &mut lead)?,
        }
        Ok(lead)
    }

    fn put(&mut self, placing: &Placing<'_>, value: &[u8], out: &mut Vec<u8>) -> Result<(), CellFault> {
        match &mut self.kind {
            KindWriter::Delimited(writer) => writer.put(value, placing.alone, out),
            KindWriter::Fixed(writer) => match placing.shape {
                Some(shape) => writer.put(shape, placing.number, value, out),
                None => Ok(()),
            },
            KindWriter::Json(writer) if placing.number => writer.put_number(value, out),
            KindWriter::Json(writer) => writer.put_text(value, out),
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) -> Result<(), CellFault> {
        if let KindWriter::Json(writer) = &mut self.kind {
            writer.put_raw("}", out)?;
        }
        out.extend_from_slice(&self.line_end);
        Ok(())
    }
}

/// The end of a line in the charset of the file.
pub(in crate::format) fn line_end_bytes(dialect: &Dialect) -> Vec<u8> {
    let end = dialect.line_end.bytes();
    match dialect.charset {
        Charset::Utf16Le => end.iter().flat_map(|byte| [*byte, 0]).collect(),
        Charset::Utf16Be => end.iter().flat_map(|byte| [0, *byte]).collect(),
        Charset::Utf8 | Charset::Ascii | Charset::Table(_) => end.to_vec(),
    }
}
