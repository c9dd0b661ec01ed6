//! What the text of a cell must look like.

use crate::domain::period::Zone;
use crate::format::dialect::{Dialect, FormatKind};
use crate::format::encode::{CellPosition, FixedShape, NumberForm};
use crate::format::spec::unit::Unit;
use crate::format::spec::{
    Align, CellSource, CellSpec, Counted, JsonType, LineSpec, Lookup, NumberSpec, Otherwise, WriteSpec,
};
use crate::format::template::{Piece, Template};
use crate::format::time_layout::{Ambiguous, TimeLayout};
use crate::record::Decimal;
use std::sync::Arc;

/// The checks of one line.
pub(super) struct LineShape {
    pub cells: Vec<CellShape>,
}

/// The checks of one cell.
pub(super) struct CellShape {
    pub name: String,
    pub position: CellPosition,
    pub expects: Expects,
    pub required: bool,
    pub default: Option<String>,
    pub fixed: Option<FixedShape>,
    /// Character that fills a fixed-width cell.
    pub fill: char,
    pub json: Option<JsonType>,
    /// Index of the sum that the cell is added to.
    pub sum: Option<usize>,
}

/// What stands in a cell.
pub(super) enum Expects {
    Anything,
    Exactly(String),
    Time(TimeLayout),
    Number(NumberForm),
    /// Only digits.
    Digits,
    Listed(Arc<Lookup>),
    /// The number of records, plus this.
    Count(u64),
    /// The number of this record.
    RecordNumber(u64),
    /// A sum; `None` when its unit cannot be known without the source.
    Sum {
        index: usize,
        form: Option<NumberForm>,
        read: NumberForm,
    },
}

/// What a header or trailer claims, to be compared when all records are known.
pub(super) struct Claim {
    pub value: Decimal,
    pub about: ClaimAbout,
}

pub(super) enum ClaimAbout {
    Records { besides: u64 },
    Sum { index: usize, form: NumberForm },
}

impl LineShape {
    pub fn new(line: &LineSpec, record: bool, dialect: &Dialect, write: &WriteSpec) -> Self {
        let cells = line.cells.iter().enumerate();
        Self { cells: cells.map(|(index, cell)| CellShape::new(index, cell, record, dialect, write)).collect() }
    }
}

impl CellShape {
    fn new(index: usize, cell: &CellSpec, record: bool, dialect: &Dialect, write: &WriteSpec) -> Self {
        let sum = write.summed_cells().iter().position(|summed| record && *summed == index);
        let expects = expects(cell, sum.is_some(), record, write);
        let number = match &expects {
            Expects::Number(_) | Expects::Count(_) | Expects::RecordNumber(_) | Expects::Sum { .. } => true,
            Expects::Anything | Expects::Exactly(_) | Expects::Time(_) | Expects::Digits | Expects::Listed(_) => false,
        };
        let shape = Self {
            name: cell.name.clone(),
            position: match &cell.fixed {
                Some(fixed) => CellPosition::Bytes(fixed.from, fixed.to),
                None => CellPosition::Column(index + 1),
            },
            required: cell.required,
            default: cell.default.clone(),
            fixed: cell.fixed.as_ref().map(|fixed| FixedShape::new(fixed, number, dialect)),
            fill: cell.fixed.map_or(' ', |fixed| fixed.fill),
            json: match (dialect.kind, cell.json) {
                (FormatKind::JsonLines, Some(json)) => Some(json),
                (FormatKind::JsonLines, None) if number => Some(JsonType::Number),
                (FormatKind::JsonLines, None) if matches!(expects, Expects::Anything) => None,
                (FormatKind::JsonLines, None) => Some(JsonType::Text),
                (FormatKind::Delimited | FormatKind::Fixed, _) => None,
            },
            expects,
            sum,
        };
        // A constant is compared without padding on both sides.
        match &shape.expects {
            Expects::Exactly(text) => {
                let text = shape.without_padding(text).to_owned();
                Self { expects: Expects::Exactly(text), ..shape }
            }
            Expects::Anything
            | Expects::Time(_)
            | Expects::Number(_)
            | Expects::Digits
            | Expects::Listed(_)
            | Expects::Count(_)
            | Expects::RecordNumber(_)
            | Expects::Sum { .. } => shape,
        }
    }

    /// Checks the text of the cell; on failure what was expected and what was found.
    pub fn check(&self, text: &str, record_number: u64) -> Result<Checked, (String, String)> {
        if text.is_empty()
            && matches!(self.expects, Expects::Time(_) | Expects::Number(_) | Expects::Anything | Expects::Listed(_))
        {
            return if self.required { wrong("a value", "nothing") } else { Ok(Checked::default()) };
        }
        let default = self.default.as_deref() == Some(text);
        match &self.expects {
            Expects::Anything => Ok(Checked::default()),
            Expects::Exactly(expected) if expected == text => Ok(Checked::default()),
            Expects::Exactly(_) => wrong("the constant text of the format", &kind_of(text)),
            Expects::Time(_) | Expects::Listed(_) if default => Ok(Checked::default()),
            Expects::Time(layout) => match layout.parse(text.as_bytes(), Zone::UTC, Ambiguous::First) {
                Ok(_) => Ok(Checked::default()),
                Err(_) => wrong("a time in the layout of the format", &kind_of(text)),
            },
            Expects::Digits if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
                Ok(Checked::default())
            }
            Expects::Digits => wrong("digits", &kind_of(text)),
            Expects::Listed(lookup) if is_listed(lookup, text) => Ok(Checked::default()),
            Expects::Listed(lookup) => wrong(&format!("a value of the lookup `{}`", lookup.name), &kind_of(text)),
            Expects::Number(form) => {
                let number = read_number(form, text, default)?;
                Ok(Checked { number: Some(number), claim: None })
            }
            Expects::RecordNumber(besides) => {
                let number = read_number(&NumberForm::PLAIN, text, false)?;
                let expected = record_number + besides;
                if is_equal(number, Decimal::from_integer(expected)) {
                    Ok(Checked::default())
                } else {
                    wrong(&format!("the number {expected}"), "another number")
                }
            }
            Expects::Count(besides) => {
                let value = read_number(&NumberForm::PLAIN, text, false)?;
                Ok(Checked {
                    number: None,
                    claim: Some(Claim { value, about: ClaimAbout::Records { besides: *besides } }),
                })
            }
            Expects::Sum { index, form, read } => {
                let value = read_number(read, text, false)?;
                let claim = form.map(|form| Claim { value, about: ClaimAbout::Sum { index: *index, form } });
                Ok(Checked { number: None, claim })
            }
        }
    }

    /// The text of a fixed-width cell without its padding. Zeros before a number are left: they are part of how it
    /// reads, and so are those of a time.
    pub fn without_padding<'t>(&self, text: &'t str) -> &'t str {
        let Some(shape) = &self.fixed else { return text };
        let trimmed = match shape.align {
            Align::Left => text.trim_end_matches(self.fill),
            Align::Right => text.trim_start_matches(self.fill),
        };
        match &self.expects {
            Expects::Anything | Expects::Exactly(_) | Expects::Listed(_) => trimmed,
            Expects::Time(_) if trimmed.is_empty() || !shape.zero_filled => trimmed,
            Expects::Number(_) | Expects::Count(_) | Expects::RecordNumber(_) | Expects::Sum { .. }
                if !shape.zero_filled =>
            {
                trimmed
            }
            Expects::Time(_)
            | Expects::Digits
            | Expects::Number(_)
            | Expects::Count(_)
            | Expects::RecordNumber(_)
            | Expects::Sum { .. } => text,
        }
    }
}

fn read_number(form: &NumberForm, text: &str, default: bool) -> Result<Decimal, (String, String)> {
    let Ok(number) = form.read_back(text.as_bytes()) else {
        return wrong("a decimal number", &kind_of(text));
    };
    match form.scale {
        Some(scale) if !form.implied && !default && number.scale() != scale => {
            wrong(&format!("a number with {scale} decimals"), &format!("a number with {} decimals", number.scale()))
        }
        Some(_) | None => Ok(number),
    }
}

/// What a cell says besides being right.
#[derive(Default)]
pub(super) struct Checked {
    pub number: Option<Decimal>,
    pub claim: Option<Claim>,
}

fn wrong<T>(expected: &str, found: &str) -> Result<T, (String, String)> {
    Err((expected.to_owned(), found.to_owned()))
}

/// The kind of a text, without showing it.
pub(super) fn kind_of(text: &str) -> String {
    let count = text.chars().count();
    let kind = if text.is_empty() {
        return "nothing".to_owned();
    } else if text.bytes().all(|byte| byte == b' ') {
        "blanks"
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        "digits"
    } else if Decimal::parse(text.as_bytes()).is_ok() {
        "characters of a decimal number"
    } else {
        "characters of text"
    };
    format!("{count} {kind}")
}

pub(super) fn is_equal(a: Decimal, b: Decimal) -> bool {
    a.partial_cmp(&b) == Some(std::cmp::Ordering::Equal)
}

fn is_listed(lookup: &Lookup, text: &str) -> bool {
    lookup.values.values().any(|value| value == text)
        || match &lookup.otherwise {
            Otherwise::Reject => false,
            Otherwise::Keep => true,
            Otherwise::Text(other) => other == text,
        }
}

fn expects(cell: &CellSpec, summed: bool, record: bool, write: &WriteSpec) -> Expects {
    let plain = cell.substring.is_none();
    match (&cell.source, &cell.lookup) {
        (_, Some(lookup)) => Expects::Listed(Arc::clone(lookup)),
        (CellSource::Text(text), None) => Expects::Exactly(text.clone()),
        (CellSource::Blank, None) => Expects::Exactly(String::new()),
        (CellSource::Value(template), None) => expects_template(template),
        (CellSource::Count(counted), None) => expects_count(*counted, record, write),
        (CellSource::Sum(name), None) => expects_sum(cell, name, write),
        (CellSource::Field { time: Some(layout), .. }, None) if plain && layout.names_a_date() => {
            Expects::Time(layout.clone())
        }
        (CellSource::Field { .. }, None) if plain && (summed || cell.number.is_some()) => {
            Expects::Number(record_form(cell))
        }
        (CellSource::Field { .. } | CellSource::Concat(_), None) => Expects::Anything,
    }
}

/// How a written number is read; no unit of the source is needed for that.
fn record_form(cell: &CellSpec) -> NumberForm {
    form_of(cell.number.unwrap_or_default(), None)
}

fn form_of(spec: NumberSpec, from: Option<Unit>) -> NumberForm {
    let unit = from.and(spec.unit);
    let decimals = spec.scale();
    // With `decimals` set, the unit is not needed to know how many there are.
    NumberForm::new(&NumberSpec { unit, decimals, ..spec }, from).unwrap_or(NumberForm::PLAIN)
}

fn expects_template(template: &Template) -> Expects {
    match template.pieces() {
        [] => Expects::Exactly(String::new()),
        [Piece::Literal(text)] => Expects::Exactly(text.clone()),
        [Piece::Number { .. }] => Expects::Digits,
        [Piece::Time { layout, .. }] if layout.names_a_date() => Expects::Time(layout.clone()),
        [..] => Expects::Anything,
    }
}

fn expects_count(counted: Counted, record: bool, write: &WriteSpec) -> Expects {
    let before = u64::from(write.header_names) + write.header.len() as u64;
    match (counted, record) {
        (Counted::Records, true) => Expects::RecordNumber(0),
        (Counted::Lines, true) => Expects::RecordNumber(before),
        (Counted::Records, false) => Expects::Count(0),
        (Counted::Lines, false) => Expects::Count(write.frame_lines()),
    }
}

fn expects_sum(cell: &CellSpec, name: &str, write: &WriteSpec) -> Expects {
    let summed = write.summed_cells();
    let cells = summed.iter().filter_map(|index| write.record.cells.get(*index));
    let Some((index, record)) = cells.enumerate().find(|(_, record)| record.name == name) else {
        return Expects::Anything;
    };
    let written_in = record.number.and_then(|number| number.unit);
    let mut spec = cell.number.unwrap_or_default();
    if spec.scale().is_none() {
        spec.decimals = record.number.and_then(|number| number.scale());
        spec.implied = cell.number.is_none() && record.number.is_some_and(|number| number.implied);
    }
    let form = if spec.unit.is_some() && written_in.is_none() { None } else { NumberForm::new(&spec, written_in).ok() };
    Expects::Sum { index, form, read: form_of(spec, None) }
}
