//! Takes a line apart into the texts of its cells, undoing quotes, escapes and padding.

use crate::format::dialect::{Dialect, Escape, Quoting};

/// The text of one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Key of a JSON member; empty otherwise.
    pub key: String,
    pub text: String,
    /// Offset in the decoded line.
    pub start: usize,
    /// JSON: written without quotes.
    pub bare: bool,
}

/// Why a line cannot be taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnFault {
    /// The line ends inside quotes: a value with a line end, or a quote too many.
    Open,
    /// Something else, at this offset of the decoded line.
    Broken { at: usize, expected: &'static str },
}

/// The values of a delimited line.
pub(super) fn delimited(dialect: &Dialect, line: &str) -> Result<Vec<Column>, ColumnFault> {
    let mut columns = Vec::new();
    let mut at = 0;
    loop {
        let rest = line.get(at..).unwrap_or_default();
        let quoted = dialect.quote.filter(|quote| rest.starts_with(*quote));
        let (text, length) = match quoted {
            Some(quote) => quoted_value(dialect, quote, rest, at)?,
            None if dialect.quoting == Quoting::Always && dialect.quote.is_some() => {
                return Err(ColumnFault::Broken { at, expected: "a value in quotes" });
            }
            None => bare_value(dialect, rest),
        };
        columns.push(Column { key: String::new(), text: unescape(dialect, text), start: at, bare: quoted.is_none() });
        at += length;
        let rest = line.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(columns);
        }
        if !rest.starts_with(dialect.separator.as_str()) {
            return Err(ColumnFault::Broken { at, expected: "a separator after the closing quote" });
        }
        at += dialect.separator.len();
    }
}

fn quoted_value(dialect: &Dialect, quote: char, rest: &str, start: usize) -> Result<(String, usize), ColumnFault> {
    let escape = match dialect.escape {
        Escape::Character(character) => Some(character),
        Escape::Doubled | Escape::Replace(_) => None,
    };
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if Some(character) == escape {
            match characters.next() {
                Some((_, protected)) => text.push(protected),
                None => return Err(ColumnFault::Broken { at: start + at, expected: "a character after the escape" }),
            }
        } else if character == quote {
            if escape.is_none() && characters.next_if(|(_, next)| *next == quote).is_some() {
                text.push(quote);
            } else {
                return Ok((text, at + quote.len_utf8()));
            }
        } else {
            text.push(character);
        }
    }
    Err(ColumnFault::Open)
}

fn bare_value(dialect: &Dialect, rest: &str) -> (String, usize) {
    let Escape::Character(escape) = dialect.escape else {
        let end = rest.find(dialect.separator.as_str()).unwrap_or(rest.len());
        return (rest.get(..end).unwrap_or_default().to_owned(), end);
    };
    let mut text = String::new();
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == escape && dialect.quote.is_none() {
            text.extend(characters.next().map(|(_, protected)| protected));
        } else if rest.get(at..).is_some_and(|rest| rest.starts_with(dialect.separator.as_str())) {
            return (text, at);
        } else {
            text.push(character);
        }
    }
    (text, rest.len())
}

/// Reverses `escape = { "|" = "%7C" }`, in one pass, the longest first.
fn unescape(dialect: &Dialect, text: String) -> String {
    let Escape::Replace(pairs) = &dialect.escape else { return text };
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(character) = rest.chars().next() {
        let longest = pairs.iter().filter(|(_, to)| rest.starts_with(to.as_str())).max_by_key(|(_, to)| to.len());
        let step = if let Some((from, to)) = longest {
            out.push_str(from);
            to.len()
        } else {
            out.push(character);
            character.len_utf8()
        };
        rest = rest.get(step..).unwrap_or_default();
    }
    out
}

/// The members of a JSON object without nested values, which is all that is ever written.
pub(super) fn json(line: &str) -> Result<Vec<Column>, ColumnFault> {
    let broken = |at, expected| Err(ColumnFault::Broken { at, expected });
    let mut columns = Vec::new();
    let mut at = 0;
    for opening in std::iter::once("{").chain(std::iter::repeat(",")) {
        if !line.get(at..).is_some_and(|rest| rest.starts_with(opening)) {
            return broken(at, if at == 0 { "a JSON object" } else { "`,` or `}`" });
        }
        at += 1;
        let Some((key, length)) = json_string(line.get(at..).unwrap_or_default()) else {
            return broken(at, "a key in quotes");
        };
        at += length;
        if !line.get(at..).is_some_and(|rest| rest.starts_with(':')) {
            return broken(at, "`:`");
        }
        at += 1;
        let rest = line.get(at..).unwrap_or_default();
        let (text, length, bare) = match json_string(rest) {
            Some((text, length)) => (text, length, false),
            None => match json_number(rest) {
                Some((text, length)) => (text, length, true),
                None => return broken(at, "a JSON text, number or null"),
            },
        };
        columns.push(Column { key, text, start: at, bare });
        at += length;
        if line.get(at..) == Some("}") {
            return Ok(columns);
        }
    }
    broken(at, "`}`")
}

/// A string at the start of `rest`: its text and its length in the line.
fn json_string(rest: &str) -> Option<(String, usize)> {
    let mut escaped = false;
    let mut bytes = rest.bytes().enumerate();
    bytes.next().filter(|(_, first)| *first == b'"')?;
    let end = bytes.find_map(|(at, byte)| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes.then_some(at + 1)
    })?;
    let text = serde_json::from_str(rest.get(..end)?).ok()?;
    Some((text, end))
}

/// A number or null at the start of `rest`; null is nothing.
fn json_number(rest: &str) -> Option<(String, usize)> {
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    let text = rest.get(..end)?;
    if text == "null" {
        return Some((String::new(), end));
    }
    serde_json::from_str::<serde_json::Number>(text).ok().map(|_| (text.to_owned(), end))
}
