//! Turns a format into a layout: resolves fields, units and zones once, and reports what does not fit the source.

use super::cell::{Source, Steps, TimePlan, ValuePlan};
use super::plain_line::PaddedText;
use super::writer::Writer;
use super::{Cell, CellPosition, FixedShape, Layout, Line, NumberForm};
use crate::document::{Document, Problem, Severity, nearest};
use crate::domain::period::Zone;
use crate::format::dialect::Dialect;
use crate::format::spec::unit::Unit;
use crate::format::spec::{
    CellSource, CellSpec, Counted, FormatSpec, JsonType, LineSpec, Otherwise, WriteSpec, kind_problem,
};
use crate::format::time_layout::TimeLayout;
use crate::record::{Decimal, FieldKind, Schema};
use std::sync::Arc;

/// What cells are compiled against.
struct Compiler<'a> {
    dialect: &'a Dialect,
    write: &'a WriteSpec,
    schema: &'a Schema,
    zone: Zone,
    /// Indexes of the summed record cells.
    summed: Vec<usize>,
    writer: Writer,
    problems: Vec<Problem>,
}

/// See [`Layout::compile`].
pub(super) fn compile(spec: &FormatSpec, schema: &Schema, zone: Zone) -> Result<Layout, Vec<Problem>> {
    let Some(write) = &spec.write else {
        let document = Arc::new(Document { name: spec.name.clone(), text: spec.text.clone() });
        let message = "the format describes no `record`, so nothing can be written with it".to_owned();
        return Err(vec![Problem { severity: Severity::Error, document, span: 0..0, message, hint: None }]);
    };
    let summed = write.summed_cells();
    let (dialect, writer) = (&spec.dialect, Writer::new(&spec.dialect));
    let mut compiler = Compiler { dialect, write, schema, zone, summed, writer, problems: Vec::new() };
    let record = compiler.line(&write.record, true);
    let header = write.header.iter().map(|line| compiler.line(line, false)).collect();
    let trailer = write.trailer.iter().map(|line| compiler.line(line, false)).collect();
    compiler.try_constants();
    let names_line = write.header_names.then(|| compiler.names_line());
    if !compiler.problems.is_empty() {
        return Err(compiler.problems);
    }
    let sum_names: Arc<[Arc<str>]> = compiler.summed_cells().map(|cell| Arc::from(cell.name.as_str())).collect();
    let sum_zeros: Vec<Decimal> = compiler.summed_cells().map(CellSpec::zero).collect();
    let pending = sum_zeros.clone();
    let writer = compiler.writer;
    Ok(Layout { names_line, header, record, trailer, writer, sum_names, sum_zeros, scratch: Vec::new(), pending })
}

impl Compiler<'_> {
    fn summed_cells(&self) -> impl Iterator<Item = &CellSpec> {
        self.summed.iter().filter_map(|index| self.write.record.cells.get(*index))
    }

    fn line(&mut self, line: &LineSpec, record: bool) -> Line {
        let alone = line.cells.len() == 1;
        let cells = line.cells.iter().enumerate().map(|(index, cell)| self.cell((index, alone), cell, record));
        let cells: Vec<Cell> = cells.collect();
        let marks = cells.iter().map(|cell| self.writer.marks(&cell.laid, cell.lead.text())).sum();
        Line { cells, marks }
    }

    fn cell(&mut self, (index, alone): (usize, bool), cell: &CellSpec, record: bool) -> Cell {
        let plan = self.plan(cell, record);
        let is_number = match plan.source() {
            Source::Number { .. } => cell.lookup.is_none(),
            Source::Count { .. } | Source::Sum { .. } => true,
            Source::Text(_)
            | Source::Time(_)
            | Source::Constant(_)
            | Source::Template { .. }
            | Source::Concat { .. } => false,
        };
        let number = match cell.json {
            Some(json) => json == JsonType::Number,
            None => is_number,
        };
        if is_number && cell.fixed.is_some_and(|fixed| fixed.cut) {
            self.refuse(cell, "a number that is cut is another number: leave out `too_long`".to_owned());
        }
        let sum = self.summed.iter().position(|summed| record && *summed == index);
        let sum = sum.map(|sum| (sum, self.form(cell)));
        if let (Some((_, form)), Some(default)) = (&sum, &cell.default)
            && form.read_back(default.as_bytes()).is_err()
        {
            self.refuse(cell, "the cell is summed, so its `default` must be a number".to_owned());
        }
        let shape = cell.fixed.as_ref().map(|fixed| FixedShape::new(fixed, number, self.dialect));
        let lead = self.lead(index, cell);
        let laid = self.writer.laid(&lead, alone, number, shape);
        Cell {
            lead: PaddedText::new(&lead),
            name: Arc::from(cell.name.as_str()),
            position: match &cell.fixed {
                Some(fixed) => CellPosition::Bytes(fixed.from, fixed.to),
                None => CellPosition::Column(index + 1),
            },
            verbatim: plan.verbatim().filter(|_| sum.is_none()),
            plan,
            laid,
            sum,
        }
    }

    fn plan(&mut self, cell: &CellSpec, record: bool) -> ValuePlan {
        let source = match &cell.source {
            CellSource::Field { field, time, zone } if record => self.field(cell, field, time.as_ref(), *zone),
            CellSource::Field { .. } => {
                self.refuse(cell, "a header or trailer has no record to take a field from".to_owned());
                Source::Constant(Vec::new())
            }
            CellSource::Text(text) => Source::Constant(text.clone().into_bytes()),
            CellSource::Value(template) => Source::Template { template: template.clone(), text: None },
            CellSource::Blank => Source::Constant(Vec::new()),
            CellSource::Count(counted) => Source::Count {
                besides: match counted {
                    Counted::Lines if record => u64::from(self.write.header_names) + self.write.header.len() as u64,
                    Counted::Lines => self.write.frame_lines(),
                    Counted::Records => 0,
                },
            },
            CellSource::Sum(name) => self.sum(cell, name),
            CellSource::Concat(pieces) => Source::Concat {
                pieces: pieces.iter().map(|piece| self.plan(piece, record)).collect(),
                joined: Vec::new(),
            },
        };
        let any = cell.substring.is_some() || cell.lookup.is_some() || cell.default.is_some() || cell.required;
        let steps = any.then(|| {
            Box::new(Steps {
                substring: cell.substring,
                lookup: cell.lookup.clone(),
                default: cell.default.clone(),
                required: cell.required,
            })
        });
        ValuePlan::new(source, steps)
    }

    fn field(&mut self, cell: &CellSpec, name: &str, time: Option<&TimeLayout>, zone: Option<Zone>) -> Source {
        let found = self.schema.index_of(name).and_then(|index| Some((index, self.schema.fields.get(index)?)));
        let Some((index, field)) = found else {
            let mut problem = cell.place.error(format!("the source has no field `{name}`"));
            problem.hint = nearest(name, self.schema.names()).map(|name| format!("did you mean \"{name}\"?"));
            self.problems.push(problem);
            return Source::Constant(Vec::new());
        };
        if let Some(message) = kind_problem(cell, field.kind) {
            self.refuse(cell, message.to_owned());
        }
        match field.kind {
            FieldKind::Text => Source::Text(index),
            FieldKind::Number => {
                let form = cell.number.map(|_| self.form(cell)).filter(|form| form.scale.is_some());
                Source::Number { field: index, form: form.map(Box::new) }
            }
            FieldKind::Time => {
                let layout = time.cloned().map_or_else(|| TimeLayout::compile("rfc3339"), Ok);
                match layout {
                    Ok(layout) => Source::Time(Box::new(TimePlan::new(index, layout, zone.unwrap_or(self.zone)))),
                    Err(reason) => {
                        self.refuse(cell, reason);
                        Source::Constant(Vec::new())
                    }
                }
            }
        }
    }

    /// How the number of a record cell is written.
    fn form(&mut self, cell: &CellSpec) -> NumberForm {
        let spec = cell.number.unwrap_or_default();
        NumberForm::new(&spec, self.source_unit(cell)).unwrap_or_else(|message| {
            self.refuse(cell, message);
            NumberForm::PLAIN
        })
    }

    fn source_unit(&self, cell: &CellSpec) -> Option<Unit> {
        let CellSource::Field { field, .. } = &cell.source else { return None };
        let index = self.schema.index_of(field)?;
        Unit::parse(&self.schema.fields.get(index)?.unit)
    }

    fn sum(&mut self, cell: &CellSpec, name: &str) -> Source {
        let found = self.summed_cells().enumerate().find(|(_, summed)| summed.name == name);
        // That the name exists was checked when the format was read.
        let Some((index, summed)) = found else { return Source::Constant(Vec::new()) };
        let CellSource::Field { field, .. } = &summed.source else { return Source::Constant(Vec::new()) };
        let kind = self.schema.index_of(field).and_then(|index| self.schema.fields.get(index)).map(|field| field.kind);
        let written_in = summed.number.and_then(|number| number.unit).or_else(|| self.source_unit(summed));
        // The sum keeps the decimals of its record cell unless it says otherwise.
        let mut spec = cell.number.unwrap_or_default();
        if spec.scale().is_none() {
            spec.decimals = summed.number.and_then(|number| number.scale());
            spec.implied = cell.number.is_none() && summed.number.is_some_and(|number| number.implied);
        }
        if kind.is_some_and(|kind| kind != FieldKind::Number) && summed.lookup.is_none() {
            self.refuse(cell, format!("`{name}` is no number in the source"));
        }
        let form = NumberForm::new(&spec, written_in).unwrap_or_else(|message| {
            self.refuse(cell, message);
            NumberForm::PLAIN
        });
        Source::Sum { index, form: Box::new(form) }
    }

    fn lead(&mut self, index: usize, cell: &CellSpec) -> Vec<u8> {
        self.writer.lead(index, &cell.name).unwrap_or_else(|fault| {
            self.refuse(cell, format!("the name `{}` {fault}", cell.name));
            Vec::new()
        })
    }

    fn refuse(&mut self, cell: &CellSpec, message: String) {
        self.problems.push(cell.place.error(message));
    }

    fn names_line(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let laid = self.writer.laid(&[], self.write.record.cells.len() == 1, false, None);
        for (index, cell) in self.write.record.cells.iter().enumerate() {
            out.extend(self.lead(index, cell));
            if let Err(fault) = self.writer.put(&laid, cell.name.as_bytes(), &mut out) {
                self.problems.push(cell.place.error(format!("the name `{}` {fault}", cell.name)));
            }
        }
        out.extend_from_slice(&self.writer.line_end);
        out
    }

    /// Texts that are always the same must fit; so must defaults and what lookups give.
    fn try_constants(&mut self) {
        let write = self.write;
        let lines = write.header.iter().chain(std::iter::once(&write.record)).chain(&write.trailer);
        for cell in lines.flat_map(|line| &line.cells) {
            let mut texts: Vec<(&str, &str)> = Vec::new();
            if let CellSource::Text(text) = &cell.source {
                texts.push(("the text", text));
            }
            texts.extend(cell.default.iter().map(|text| ("`default`", text.as_str())));
            if let Some(lookup) = &cell.lookup {
                texts.extend(lookup.values.values().map(|text| ("a result of the lookup", text.as_str())));
                if let Otherwise::Text(text) = &lookup.otherwise {
                    texts.push(("`otherwise` of the lookup", text));
                }
            }
            for (what, text) in texts {
                let shape = cell.fixed.as_ref().map(|fixed| FixedShape::new(fixed, false, self.dialect));
                let laid = self.writer.laid(&[], false, false, shape);
                if let Err(fault) = self.writer.put(&laid, text.as_bytes(), &mut Vec::new()) {
                    self.problems.push(cell.place.error(format!("{what} \"{}\" {fault}", text.escape_debug())));
                }
            }
        }
    }
}
