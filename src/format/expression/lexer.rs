//! Words and signs of an expression.

use super::ExpressionFault;
use std::ops::Range;

/// A word or sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// A name in backquotes, which is never a key word.
    Name(String),
    Text(String),
    Number(String),
    Sign(&'static str),
}

/// A token with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) span: Range<usize>,
}

/// Longer signs first.
const SIGNS: [&str; 14] = ["==", "!=", "<>", "<=", ">=", "&&", "||", "=", "<", ">", "!", "(", ")", ","];

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, ExpressionFault> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        let Some(first) = trimmed.chars().next() else { return Ok(found) };
        let (token, length) = next(trimmed, first).map_err(|message| ExpressionFault::new(at..text.len(), message))?;
        found.push(Placed { token, span: at..at + length });
        at += length;
    }
}

fn next(rest: &str, first: char) -> Result<(Token, usize), String> {
    if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return Ok((Token::Sign(sign), sign.len()));
    }
    match first {
        '"' | '\'' => quoted(rest, first).map(|(text, length)| (Token::Text(text), length)),
        '`' => quoted(rest, first).map(|(name, length)| (Token::Name(name), length)),
        _ if first.is_alphabetic() || first == '_' => {
            let word = span_of(rest, |c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
            Ok((Token::Word(word.to_owned()), word.len()))
        }
        _ if first.is_ascii_digit() || first == '-' => {
            let number = span_of(rest, |c| c.is_alphanumeric() || matches!(c, '.' | '-'));
            Ok((Token::Number(number.to_owned()), number.len()))
        }
        _ => Err(format!("`{}` has no meaning here", first.escape_debug())),
    }
}

fn span_of(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    text.get(..text.find(|c| !belongs(c)).unwrap_or(text.len())).unwrap_or_default()
}

/// A text in quotes and its length with them.
fn quoted(rest: &str, quote: char) -> Result<(String, usize), String> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote != '`' => match characters.next() {
                Some((_, escaped @ ('\\' | '"' | '\''))) => text.push(escaped),
                Some(_) | None => return Err("`\\` stands before a quote or another `\\` only".to_owned()),
            },
            _ if character == quote => return Ok((text, at + 1)),
            _ => text.push(character),
        }
    }
    Err(format!("the closing {quote} is missing"))
}
