//! The value of one cell, from a record or from facts about the file.

use super::fault::CellFault;
use super::number::{NumberForm, append_decimal};
use super::text::as_text;
use crate::domain::period::Zone;
use crate::domain::time::UtcTime;
use crate::format::spec::{Lookup, Otherwise};
use crate::format::template::{FileFacts, Template};
use crate::format::time_layout::{TimeLayout, TimeWriter};
use crate::format::totals::Totals;
use crate::record::{Decimal, Record};
use std::sync::Arc;

/// What values are taken from.
#[derive(Clone, Copy)]
pub(super) enum Input<'v> {
    /// A record and its number within the file.
    Record { record: Record<'v>, number: u64 },
    /// The file: header and trailer.
    File { facts: &'v FileFacts<'v>, totals: &'v Totals },
}

/// A value as it is to be written, before controls, escapes, charset and width.
#[derive(Clone, Copy)]
pub(super) struct Value<'v> {
    pub text: &'v [u8],
    /// The number it stands for, when it was computed.
    pub number: Option<Decimal>,
}

/// How the value of a cell is made.
#[derive(Debug, Clone)]
pub(super) struct ValuePlan {
    source: Source,
    steps: Option<Box<Steps>>,
}

/// Where the value comes from, fields resolved.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Text(usize),
    Number {
        field: usize,
        form: Option<Box<NumberForm>>,
    },
    Time(Box<TimePlan>),
    Constant(Vec<u8>),
    Template {
        template: Template,
        text: Option<String>,
    },
    /// Records, plus the lines that are not records when those are counted too.
    Count {
        besides: u64,
    },
    Sum {
        index: usize,
        form: Box<NumberForm>,
    },
    Concat {
        pieces: Vec<ValuePlan>,
        joined: Vec<u8>,
    },
}

/// What happens to the text of a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    pub substring: Option<(usize, usize)>,
    pub lookup: Option<Arc<Lookup>>,
    pub default: Option<String>,
    pub required: bool,
}

impl ValuePlan {
    pub const fn new(source: Source, steps: Option<Box<Steps>>) -> Self {
        Self { source, steps }
    }

    /// The field that is the value, as it stands.
    pub const fn verbatim(&self) -> Option<usize> {
        match (&self.source, &self.steps) {
            (Source::Text(field) | Source::Number { field, form: None }, None) => Some(*field),
            _ => None,
        }
    }

    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The value for a record or file. `scratch` holds what is computed.
    #[inline]
    pub fn value<'v>(&'v mut self, input: &Input<'v>, scratch: &'v mut Vec<u8>) -> Result<Value<'v>, CellFault> {
        let found = self.source.value(input, scratch)?;
        match &self.steps {
            None => Ok(found),
            Some(steps) => steps.apply(found),
        }
    }

    /// A time that is the value for a record: bytes that begin with its text, and the length of that.
    #[inline]
    pub fn time<'v>(&'v mut self, record: Record<'v>) -> Option<(&'v [u8], usize)> {
        match (&mut self.source, &self.steps) {
            (Source::Time(plan), None) => Some(plan.start(record.time(plan.field))),
            _ => None,
        }
    }

    /// Renders the templates in record cells, which show the same facts in every record of a file.
    pub fn begin_file(&mut self, facts: &FileFacts<'_>) {
        match &mut self.source {
            Source::Template { template, text } => {
                let text = text.get_or_insert_default();
                text.clear();
                template.render(facts, None, text);
            }
            Source::Concat { pieces, .. } => pieces.iter_mut().for_each(|piece| piece.begin_file(facts)),
            Source::Text(_)
            | Source::Number { .. }
            | Source::Time(_)
            | Source::Constant(_)
            | Source::Count { .. }
            | Source::Sum { .. } => {}
        }
    }
}

impl Source {
    /// True when `test` holds for this source or one of its pieces.
    pub fn any(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        match self {
            Self::Concat { pieces, .. } => pieces.iter().any(|piece| piece.source.any(test)),
            Self::Text(_)
            | Self::Number { .. }
            | Self::Time(_)
            | Self::Constant(_)
            | Self::Template { .. }
            | Self::Count { .. }
            | Self::Sum { .. } => test(self),
        }
    }

    #[inline]
    fn value<'v>(&'v mut self, input: &Input<'v>, scratch: &'v mut Vec<u8>) -> Result<Value<'v>, CellFault> {
        let text = match (self, input) {
            (Self::Text(field) | Self::Number { field, form: None }, Input::Record { record, .. }) => {
                record.field(*field)
            }
            (Self::Number { field, form: Some(form) }, Input::Record { record, .. }) => {
                let raw = record.field(*field);
                if raw.is_empty() {
                    raw
                } else {
                    scratch.clear();
                    let number = Some(form.append(Decimal::parse(raw)?, scratch)?);
                    return Ok(Value { text: scratch, number });
                }
            }
            (Self::Time(plan), Input::Record { record, .. }) => plan.text(record.time(plan.field)),
            (Self::Constant(text), _) => text,
            (Self::Template { text: Some(text), .. }, Input::Record { .. }) => text.as_bytes(),
            (Self::Template { text: None, .. }, Input::Record { .. }) => return Err(CellFault::NoFacts),
            (Self::Template { template, text }, Input::File { facts, totals }) => {
                let text = text.get_or_insert_default();
                text.clear();
                template.render(facts, Some(totals.records), text);
                text.as_bytes()
            }
            (Self::Count { besides }, input) => {
                let records = match input {
                    Input::Record { number, .. } => *number,
                    Input::File { totals, .. } => totals.records,
                };
                scratch.clear();
                let number = Decimal::from_integer(records + *besides);
                append_decimal(number, false, scratch);
                return Ok(Value { text: scratch, number: Some(number) });
            }
            (Self::Sum { index, form }, Input::File { totals, .. }) => {
                scratch.clear();
                let number = Some(form.append(totals.sum(*index), scratch)?);
                return Ok(Value { text: scratch, number });
            }
            (Self::Concat { pieces, joined }, input) => {
                joined.clear();
                for piece in pieces {
                    let value = piece.value(input, scratch)?;
                    joined.extend_from_slice(value.text);
                }
                joined
            }
            // A header or trailer has no record, a record line has no sums: refused when the format was compiled.
            (Self::Text(_) | Self::Number { .. } | Self::Time(_), Input::File { .. })
            | (Self::Sum { .. }, Input::Record { .. }) => return Err(CellFault::NoFacts),
        };
        Ok(Value { text, number: None })
    }
}

impl Steps {
    fn apply<'v>(&'v self, found: Value<'v>) -> Result<Value<'v>, CellFault> {
        let mut text = found.text;
        if let Some((from, to)) = self.substring {
            text = substring(as_text(text)?, from, to).as_bytes();
        }
        if let Some(lookup) = &self.lookup {
            text = look_up(lookup, text)?;
        }
        if text.is_empty() {
            match &self.default {
                Some(default) => text = default.as_bytes(),
                None if self.required => return Err(CellFault::Empty),
                None => {}
            }
        }
        let number = found.number.filter(|_| self.substring.is_none() && self.lookup.is_none());
        Ok(Value { text, number })
    }
}

fn look_up<'v>(lookup: &'v Lookup, text: &'v [u8]) -> Result<&'v [u8], CellFault> {
    let key = as_text(text)?;
    match (lookup.values.get(key), &lookup.otherwise) {
        (Some(found), _) => Ok(found.as_bytes()),
        (None, _) if text.is_empty() => Ok(text),
        (None, Otherwise::Keep) => Ok(text),
        (None, Otherwise::Text(other)) => Ok(other.as_bytes()),
        (None, Otherwise::Reject) => Err(CellFault::NotListed { lookup: lookup.name.clone() }),
    }
}

/// Characters `from` to `to`, from 1, as far as there are any.
fn substring(text: &str, from: usize, to: usize) -> &str {
    let start = text.char_indices().nth(from - 1).map_or(text.len(), |(at, _)| at);
    let end = text.char_indices().nth(to).map_or(text.len(), |(at, _)| at);
    text.get(start..end).unwrap_or_default()
}

/// How a time is written.
#[derive(Debug, Clone)]
pub(super) struct TimePlan {
    field: usize,
    writer: TimeWriter,
}

impl TimePlan {
    pub fn new(field: usize, layout: TimeLayout, zone: Zone) -> Self {
        Self { field, writer: TimeWriter::new(layout, zone) }
    }

    fn text(&mut self, at: Option<UtcTime>) -> &[u8] {
        let (bytes, length) = self.start(at);
        bytes.get(..length).unwrap_or_default()
    }

    /// Bytes that begin with the text, and its length.
    #[inline]
    fn start(&mut self, at: Option<UtcTime>) -> (&[u8], usize) {
        at.map_or((&[], 0), |at| self.writer.text(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_count_characters_and_stop_at_the_end() {
        assert_eq!(substring("TG442", 1, 2), "TG");
        assert_eq!(substring("王小明", 2, 9), "小明");
        assert_eq!(substring("ab", 3, 5), "");
    }

    #[test]
    fn times_follow_the_zone_through_a_change_of_offset() {
        let zone = Zone::parse("America/New_York").expect("zone");
        let mut plan = TimePlan::new(0, TimeLayout::compile("%H:%M:%S%z").expect("layout"), zone);
        let mut text = |seconds| {
            let at = UtcTime::from_seconds(seconds).expect("range");
            String::from_utf8(plan.text(Some(at)).to_vec()).expect("ascii")
        };
        assert_eq!(text(1_730_613_599), "01:59:59-0400");
        assert_eq!(text(1_730_613_600), "01:00:00-0500");
        assert_eq!(text(1_730_613_599), "01:59:59-0400");
    }
}
