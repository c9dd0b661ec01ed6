//! A compiled expression, asked once for every record: nothing is allocated.

use super::{Match, Order, Part};
use crate::domain::time::UtcTime;
use crate::record::{Decimal, DecimalFault, Record};
use memchr::memmem;
use std::cmp::Ordering;
use std::sync::Arc;

/// Why a record can neither be taken nor left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}` is compared with a number and {fault}")]
pub struct FilterFault {
    /// The field.
    pub field: Arc<str>,
    /// What is wrong with its text.
    pub fault: DecimalFault,
}

/// Decides which records are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    root: Check,
}

/// A part of a filter that is true or false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    Any(Vec<Check>),
    All(Vec<Check>),
    Not(Box<Check>),
    Text {
        left: TextValue,
        order: Order,
        right: TextValue,
    },
    Number {
        left: NumberValue,
        order: Order,
        right: NumberValue,
    },
    Time {
        left: TimeValue,
        order: Order,
        right: TimeValue,
    },
    /// The list is sorted.
    TextIn {
        value: TextValue,
        list: Vec<Box<[u8]>>,
    },
    NumberIn {
        value: NumberValue,
        list: Vec<Decimal>,
    },
    TimeIn {
        field: usize,
        list: Vec<UtcTime>,
    },
    Empty(TextSource),
    Match {
        how: Match,
        value: TextSource,
        text: Box<[u8]>,
    },
}

/// A field, or a part of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextSource {
    pub(super) field: usize,
    pub(super) name: Arc<str>,
    pub(super) part: Option<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TextValue {
    Literal(Box<[u8]>),
    Field(TextSource),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NumberValue {
    Literal(Decimal),
    Field(TextSource),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimeValue {
    Literal(UtcTime),
    Field(usize),
}

impl Filter {
    pub(super) const fn new(root: Check) -> Self {
        Self { root }
    }

    /// True when the record is taken. It must have the schema for which the filter was compiled.
    ///
    /// # Errors
    /// [`FilterFault`] when a text that is compared with a number is not one.
    pub fn matches(&self, record: Record<'_>) -> Result<bool, FilterFault> {
        self.root.holds(record)
    }
}

impl Check {
    fn holds(&self, record: Record<'_>) -> Result<bool, FilterFault> {
        Ok(match self {
            Self::Any(checks) => {
                for check in checks {
                    if check.holds(record)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::All(checks) => {
                for check in checks {
                    if !check.holds(record)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Not(check) => !check.holds(record)?,
            Self::Text { left, order, right } => order.holds(Some(left.get(record).cmp(right.get(record)))),
            Self::Number { left, order, right } => {
                let ordering = match (left.get(record)?, right.get(record)?) {
                    (Some(a), Some(b)) => Some(a.partial_cmp(&b).ok_or_else(|| left.too_long(right))?),
                    (None, None) => Some(Ordering::Equal),
                    (Some(_), None) | (None, Some(_)) => None,
                };
                order.holds(ordering)
            }
            Self::Time { left, order, right } => {
                let ordering = match (left.get(record), right.get(record)) {
                    (Some(a), Some(b)) => Some(a.cmp(&b)),
                    (None, None) => Some(Ordering::Equal),
                    (Some(_), None) | (None, Some(_)) => None,
                };
                order.holds(ordering)
            }
            Self::TextIn { value, list } => {
                let text = value.get(record);
                list.binary_search_by(|item| item.as_ref().cmp(text)).is_ok()
            }
            Self::NumberIn { value, list } => {
                let number = value.get(record)?;
                number
                    .is_some_and(|number| list.iter().any(|item| number.partial_cmp(item).is_some_and(Ordering::is_eq)))
            }
            Self::TimeIn { field, list } => record.time(*field).is_some_and(|at| list.contains(&at)),
            Self::Empty(source) => source.get(record).is_empty(),
            Self::Match { how, value, text } => {
                let value = value.get(record);
                match how {
                    Match::Start => value.starts_with(text),
                    Match::End => value.ends_with(text),
                    Match::Anywhere => memmem::find(value, text).is_some(),
                }
            }
        })
    }
}

impl TextSource {
    fn get<'r>(&self, record: Record<'r>) -> &'r [u8] {
        let text = record.field(self.field);
        match self.part {
            None => text,
            Some(part) => characters(text, part),
        }
    }
}

/// Some characters of a UTF-8 text; fewer or none when it is too short.
fn characters(text: &[u8], part: Part) -> &[u8] {
    let mut starts = text.iter().enumerate().filter(|(_, byte)| **byte & 0xC0 != 0x80).map(|(at, _)| at);
    let start = starts.nth(part.from).unwrap_or(text.len());
    let end = match part.length {
        0 => start,
        length => starts.nth(length - 1).unwrap_or(text.len()),
    };
    text.get(start..end).unwrap_or_default()
}

impl TextValue {
    fn get<'r>(&'r self, record: Record<'r>) -> &'r [u8] {
        match self {
            Self::Literal(text) => text,
            Self::Field(source) => source.get(record),
        }
    }
}

impl NumberValue {
    fn get(&self, record: Record<'_>) -> Result<Option<Decimal>, FilterFault> {
        match self {
            Self::Literal(number) => Ok(Some(*number)),
            Self::Field(source) => match source.get(record) {
                [] => Ok(None),
                text => {
                    let fault = |fault| FilterFault { field: Arc::clone(&source.name), fault };
                    Decimal::parse(text).map(Some).map_err(fault)
                }
            },
        }
    }

    /// The fault of two numbers whose digits do not fit beside each other.
    fn too_long(&self, other: &Self) -> FilterFault {
        let field = match (self, other) {
            (Self::Field(source), _) | (_, Self::Field(source)) => Arc::clone(&source.name),
            (Self::Literal(_), Self::Literal(_)) => Arc::from(""),
        };
        FilterFault { field, fault: DecimalFault::TooLong }
    }
}

impl TimeValue {
    fn get(&self, record: Record<'_>) -> Option<UtcTime> {
        match self {
            Self::Literal(at) => Some(*at),
            Self::Field(field) => record.time(*field),
        }
    }
}
