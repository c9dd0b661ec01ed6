//! From the text of one field to its value in a block.

use crate::domain::time::UtcTime;
use crate::format::time_layout::{TimeFault, TimeParser};
use crate::record::{Decimal, DecimalFault, FieldKind, RecordBlock};
use std::fmt;
use std::ops::Range;

/// How the text of one field becomes its value.
#[derive(Debug, Clone)]
pub(super) struct ValueReader {
    pub(super) name: String,
    pub(super) kind: ValueKind,
    rules: ValueRules,
    /// Every text is its own value.
    takes_anything: bool,
}

/// What holds for the text of a field, whatever it is.
#[derive(Debug, Clone, Default)]
pub(super) struct ValueRules {
    /// An empty value makes the record undecodable.
    pub(super) required: bool,
    /// White space around the text is no part of it.
    pub(super) trim: bool,
    /// This text means that there is no value.
    pub(super) null: Option<String>,
}

/// What the text of a field is.
#[derive(Debug, Clone)]
pub(super) enum ValueKind {
    Text,
    Number,
    Time(Box<TimeParser>),
}

impl ValueKind {
    pub(super) const fn field_kind(&self) -> FieldKind {
        match self {
            Self::Text => FieldKind::Text,
            Self::Number => FieldKind::Number,
            Self::Time(_) => FieldKind::Time,
        }
    }
}

/// What is wrong with the text of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueFault {
    #[error("is empty and required")]
    Empty,
    #[error("{0}")]
    Number(#[from] DecimalFault),
    #[error("{0}")]
    Time(#[from] TimeFault),
    #[error("reaches behind the end of the line")]
    CutShort,
    #[error("holds bytes that are not of the file's charset")]
    Charset,
    #[error("is an object or a list")]
    Structure,
    #[error("is there twice")]
    Twice,
    #[error("holds half of a surrogate pair")]
    Surrogate,
}

/// A fault with the field it is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldFault<'a> {
    pub(super) field: &'a str,
    pub(super) fault: ValueFault,
}

impl fmt::Display for FieldFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field `{}` {}", self.field, self.fault)
    }
}

impl ValueReader {
    pub(super) fn new(name: String, kind: ValueKind, rules: ValueRules) -> Self {
        let has_rules = rules.required || rules.trim || rules.null.is_some();
        let takes_anything = matches!(kind, ValueKind::Text) && !has_rules;
        Self { name, kind, rules, takes_anything }
    }

    /// Appends the value as the next field of the record under construction.
    pub(super) fn push(&mut self, text: &[u8], block: &mut RecordBlock) -> Result<(), ValueFault> {
        let content = text.get(self.rules.content(text)?).unwrap_or_default();
        match &mut self.kind {
            ValueKind::Text => block.push_field(content),
            ValueKind::Number => {
                check_number(content)?;
                block.push_field(content);
            }
            ValueKind::Time(parser) => block.push_time(time_of(parser, content)?),
        }
        Ok(())
    }

    /// The same for texts that are the field at `index` of the records from `first` on.
    pub(super) fn settle(
        &mut self,
        index: usize,
        first: usize,
        block: &mut RecordBlock,
        fault: impl FnMut(usize, ValueFault),
    ) {
        let rules = &self.rules;
        match &mut self.kind {
            ValueKind::Text if self.takes_anything => {}
            ValueKind::Text => block.revise_texts(first, index, |text| rules.content(text), fault),
            ValueKind::Number => {
                let read = |text: &[u8]| {
                    let content = rules.content(text)?;
                    check_number(text.get(content.clone()).unwrap_or_default())?;
                    Ok(content)
                };
                block.revise_texts(first, index, read, fault);
            }
            ValueKind::Time(parser) => {
                let read = |text: &[u8]| time_of(parser, text.get(rules.content(text)?).unwrap_or_default());
                block.make_times(first, index, read, fault);
            }
        }
    }
}

impl ValueRules {
    /// Where in a text its content stands.
    #[inline]
    fn content(&self, text: &[u8]) -> Result<Range<usize>, ValueFault> {
        let mut content = 0..text.len();
        if self.trim {
            let start = text.len() - text.trim_ascii_start().len();
            content = start..start + text.trim_ascii().len();
        }
        let is_null = |null: &String| text.get(content.clone()) == Some(null.as_bytes());
        if content.is_empty() || self.null.as_ref().is_some_and(is_null) {
            content.end = content.start;
            return if self.required { Err(ValueFault::Empty) } else { Ok(content) };
        }
        Ok(content)
    }
}

#[inline]
fn check_number(text: &[u8]) -> Result<(), ValueFault> {
    if !text.is_empty() {
        Decimal::parse(text)?;
    }
    Ok(())
}

#[inline]
fn time_of(parser: &mut TimeParser, text: &[u8]) -> Result<Option<UtcTime>, ValueFault> {
    Ok(if text.is_empty() { None } else { Some(parser.parse(text)?) })
}
