//! From the text of one field to its value in a block.

use crate::domain::time::UtcTime;
use crate::format::time_layout::{TimeFault, TimeParser};
use crate::record::{Decimal, DecimalFault, FieldKind, RecordBlock};
use std::fmt;

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
    #[error("stands on a column that the record does not have")]
    NoColumn,
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

/// What the text of a field says.
enum Content<'t> {
    Nothing,
    Text(&'t [u8]),
    Time(UtcTime),
}

impl ValueReader {
    pub(super) fn new(name: String, kind: ValueKind, rules: ValueRules) -> Self {
        let has_rules = rules.required || rules.trim || rules.null.is_some();
        let takes_anything = matches!(kind, ValueKind::Text) && !has_rules;
        Self { name, kind, rules, takes_anything }
    }

    /// Appends the value as the next field of the record under construction.
    pub(super) fn push(&mut self, text: &[u8], block: &mut RecordBlock) -> Result<(), ValueFault> {
        match self.read(text)? {
            Content::Nothing => block.push_field(b""),
            Content::Text(text) => block.push_field(text),
            Content::Time(at) => block.push_time(Some(at)),
        }
        Ok(())
    }

    /// The same for a text that lies in the block, from `start` on.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a block holds less than 4 GiB")]
    pub(super) fn place(&mut self, text: &[u8], start: u32, block: &mut RecordBlock) -> Result<(), ValueFault> {
        if self.takes_anything {
            block.push_place(start..start + text.len() as u32);
            return Ok(());
        }
        self.place_checked(text, start, block)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a block holds less than 4 GiB")]
    fn place_checked(&mut self, text: &[u8], start: u32, block: &mut RecordBlock) -> Result<(), ValueFault> {
        match self.read(text)? {
            Content::Nothing => block.push_place(start..start),
            Content::Text(content) => {
                let skipped = if self.rules.trim { text.len() - text.trim_ascii_start().len() } else { 0 };
                let start = start + skipped as u32;
                block.push_place(start..start + content.len() as u32);
            }
            Content::Time(at) => block.push_time(Some(at)),
        }
        Ok(())
    }

    fn read<'t>(&mut self, text: &'t [u8]) -> Result<Content<'t>, ValueFault> {
        let text = if self.rules.trim { text.trim_ascii() } else { text };
        if text.is_empty() || self.rules.null.as_ref().is_some_and(|null| null.as_bytes() == text) {
            return if self.rules.required { Err(ValueFault::Empty) } else { Ok(Content::Nothing) };
        }
        match &mut self.kind {
            ValueKind::Text => {}
            ValueKind::Number if is_plain_number(text) => {}
            ValueKind::Number => drop(Decimal::parse(text)?),
            ValueKind::Time(parser) => return Ok(Content::Time(parser.parse(text)?)),
        }
        Ok(Content::Text(text))
    }
}

/// True for digits with at most one point between them, few enough for every decimal; the rest is left to
/// [`Decimal::parse`].
#[inline]
fn is_plain_number(text: &[u8]) -> bool {
    let [b'0'..=b'9', inner @ ..] = text else { return false };
    let mut points = 0;
    let plain = inner.iter().all(|byte| {
        points += u32::from(*byte == b'.');
        byte.is_ascii_digit() || *byte == b'.'
    });
    plain && points <= 1 && text.len() <= 18 && text.last() != Some(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_are_decimals() {
        for text in
            ["0", "007", "12.50", "1.2.3", "1.", ".5", "-1", "", "1e3", "123456789012345.67", "12345678901234567890"]
        {
            let plain = is_plain_number(text.as_bytes());
            assert!(!plain || Decimal::parse(text.as_bytes()).is_ok(), "{text}");
        }
        assert!(is_plain_number(b"007") && is_plain_number(b"12.50") && !is_plain_number(b"1.2.3"));
    }
}
