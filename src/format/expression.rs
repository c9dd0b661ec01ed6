//! The language of `where`: which records a feed takes.
//!
//! ```text
//! service = "voice" and duration > 0 and not (trunk in ("TG1", "TG2") or starts_with(caller, "+86"))
//! ```
//! Comparisons `=` (`==`), `!=` (`<>`), `<`, `<=`, `>`, `>=`; `and` (`&&`), `or` (`||`), `not` (`!`), parentheses;
//! `FIELD in (…)`, `FIELD not in (…)`; `FIELD is empty`, `FIELD is not empty`; `starts_with(FIELD, "x")`, `ends_with`,
//! `contains`; `substr(FIELD, from, length)` counts characters from 1. Words may be in capitals. A field whose name is
//! no plain word stands in backquotes. Texts stand in double or single quotes, with `\` before a quote or `\` in them.
//!
//! What is compared decides how: a time with a text in RFC 3339; else numbers when one side is a number, exactly; else
//! texts, byte by byte. A text field that is compared with a number must hold one, or the record is undecidable. An
//! absent number or time is not equal to, below or above anything: only `!=` and `not in` hold for it.

mod compile;
mod filter;
mod lexer;
mod parser;

pub use filter::{Filter, FilterFault};

use crate::record::{Decimal, Schema};
use std::ops::Range;

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionFault {
    /// Byte range in the expression.
    pub span: Range<usize>,
    /// What is wrong, with what was expected.
    pub message: String,
}

impl ExpressionFault {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }
}

/// An expression whose grammar is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    root: Node,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// The first fault with its place.
    pub fn parse(text: &str) -> Result<Self, ExpressionFault> {
        parser::parse(text).map(|root| Self { root })
    }

    /// Looks up the fields and decides how each comparison is made.
    ///
    /// # Errors
    /// [`ExpressionFault`] for unknown fields and for comparisons that make no sense.
    pub fn compile(&self, schema: &Schema) -> Result<Filter, ExpressionFault> {
        compile::compile(&self.root, schema)
    }
}

/// A part of an expression that is true or false.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Compare { left: Operand, order: Order, right: Operand },
    In { value: Operand, list: Vec<Operand> },
    Empty(Operand),
    Match { how: Match, value: Operand, text: Operand },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Different,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// Whether it holds; `None` when one of two values is absent.
    fn holds(self, ordering: Option<std::cmp::Ordering>) -> bool {
        match ordering {
            None => self == Self::Different,
            Some(ordering) => match self {
                Self::Equal => ordering.is_eq(),
                Self::Different => ordering.is_ne(),
                Self::Less => ordering.is_lt(),
                Self::LessOrEqual => ordering.is_le(),
                Self::Greater => ordering.is_gt(),
                Self::GreaterOrEqual => ordering.is_ge(),
            },
        }
    }
}

/// Where one text is looked for in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Start,
    End,
    Anywhere,
}

/// Something with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Operand {
    span: Range<usize>,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Field { name: String, part: Option<Part> },
    Text(String),
    Number(Decimal),
}

/// Some characters of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// The first one, from 0.
    from: usize,
    length: usize,
}

#[cfg(test)]
mod tests;
