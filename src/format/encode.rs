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
mod writer;

#[cfg(test)]
pub(in crate::format) mod tests;

pub use fault::{CellFault, CellPosition, RenderFault};
pub(in crate::format) use fixed_width::FixedShape;
pub(in crate::format) use number::NumberForm;

use super::charset::Charset;
use super::dialect::Dialect;
use super::spec::FormatSpec;
use super::template::{FileFacts, Variable};
use super::totals::Totals;
use crate::document::Problem;
use crate::domain::period::Zone;
use crate::record::{Decimal, Record, Schema};
use cell::{Input, Source, ValuePlan};
use plain_line::{Laid, PaddedText};
use std::sync::Arc;
use writer::Writer;

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
    /// Marks that the writer's checker finds in the line when its values hold none.
    marks: usize,
}

#[derive(Debug, Clone)]
struct Cell {
    name: Arc<str>,
    position: CellPosition,
    /// What stands before the value: a separator or a key.
    lead: PaddedText,
    plan: ValuePlan,
    /// The field that is the value, as it stands and not summed.
    verbatim: Option<usize>,
    laid: Laid,
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
            match line.cells.get(index).map(|cell| cell.plan.source()) {
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
        if let (Input::Record { record, .. }, true) = (input, writer.lays_plain_lines()) {
            self.lay(*record, writer, input, sink)?;
            if let Some(line) = writer.plain_line(self.marks) {
                sink.out.extend_from_slice(line);
                sink.out.extend_from_slice(&writer.line_end);
                return Ok(());
            }
        }
        for (index, cell) in self.cells.iter_mut().enumerate() {
            sink.out.extend_from_slice(cell.lead.text());
            let text = value_of(&mut cell.plan, cell.sum.as_ref(), input, sink.scratch, sink.sums);
            let put = text.and_then(|text| writer.put(&cell.laid, text, sink.out));
            put.map_err(|fault| (index, fault))?;
        }
        sink.out.extend_from_slice(&writer.line_end);
        Ok(())
    }

    /// Lays the values of a record one behind the other, as if nothing in them needed protection: as a rule nothing does.
    fn lay(
        &mut self,
        record: Record<'_>,
        writer: &mut Writer,
        input: &Input<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), (usize, CellFault)> {
        let line = &mut writer.line;
        line.clear();
        for (index, cell) in self.cells.iter_mut().enumerate() {
            let (bytes, length) = if let Some(field) = cell.verbatim {
                record.field_start(field)
            } else if let (None, Some(time)) = (&cell.sum, cell.plan.time(record)) {
                time
            } else {
                let text = value_of(&mut cell.plan, cell.sum.as_ref(), input, sink.scratch, sink.sums);
                let text = text.map_err(|fault| (index, fault))?;
                (text, text.len())
            };
            line.lay(&cell.laid, &cell.lead, bytes, length);
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
        self.cells.iter().any(|cell| cell.plan.source().any(test))
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

/// The end of a line in the charset of the file.
pub(in crate::format) fn line_end_bytes(dialect: &Dialect) -> Vec<u8> {
    let end = dialect.line_end.bytes();
    match dialect.charset {
        Charset::Utf16Le => end.iter().flat_map(|byte| [*byte, 0]).collect(),
        Charset::Utf16Be => end.iter().flat_map(|byte| [0, *byte]).collect(),
        Charset::Utf8 | Charset::Ascii | Charset::Table(_) => end.to_vec(),
    }
}
