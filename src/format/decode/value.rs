//! From the text of one field to its value in a block.

use crate::domain::time::UtcTime;
use crate::format::time_layout::{TimeFault, TimeParser};
use crate::record::{Decimal, DecimalFault, FieldKind, RecordBlock};
use std::fmt;
use std::ops::Range;
use wide::u8x16;

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
            ValueKind::Text => {
                let read = |bytes: &[u8], length| rules.content(bytes.get(..length).unwrap_or_default());
                block.revise_texts(first, index, read, fault);
            }
            ValueKind::Number => {
                let is_as_it_stands = !rules.trim && rules.null.is_none();
                let read = |bytes: &[u8], length| {
                    if is_as_it_stands && is_digits(bytes, length) {
                        return Ok(0..length);
                    }
                    let text = bytes.get(..length).unwrap_or_default();
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

/// Whether the first `length` bytes are digits, with a point among them or none: a number whatever it is. False where that
/// cannot be told at once.
#[inline]
fn is_digits(bytes: &[u8], length: usize) -> bool {
    const LENGTH_MAX: usize = 16;
    let Some(some) = bytes.first_chunk::<LENGTH_MAX>().filter(|_| length <= LENGTH_MAX) else { return false };
    let (some, inside) = (u8x16::new(*some), (1u32 << length) - 1);
    let digits = (some - u8x16::splat(b'0')).simd_lt(u8x16::splat(10)).to_bitmask() & inside;
    let points = some.simd_eq(u8x16::splat(b'.')).to_bitmask() & inside;
    digits != 0 && digits | points == inside && points.count_ones() < 2
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every text that is three of these behind each other.
    #[test]
    fn digits_are_numbers_and_whatever_is_not_is_looked_at_closely() {
        let pieces = ["", "0", "9", ".", "-", "+", "/", ":", "7.", "4711", "0000000000000000", "\u{b9}", " ", "e"];
        let pairs: Vec<String> = pieces.iter().flat_map(|one| pieces.map(|two| [*one, two].concat())).collect();
        let texts = pairs.iter().flat_map(|pair| pieces.map(|last| [pair, last].concat()));
        let mut told = 0;
        for text in texts {
            for behind in ["", "9", ".", "################", "1111111111111111", "................"] {
                let bytes = [text.as_str(), behind].concat();
                let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                let is_number = is_plain && Decimal::parse(text.as_bytes()).is_ok();
                let has_room = text.len() <= 16 && bytes.len() >= 16;
                let is_told = is_digits(bytes.as_bytes(), text.len());
                assert_eq!(is_told, is_number && has_room, "{text:?} in front of {behind:?}");
                told += usize::from(is_told);
            }
        }
        assert!(told > 400, "{told}");
    }
}
