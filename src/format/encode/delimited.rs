//! Values between separators, after RFC 4180 and its relatives.
//!
//! What protects a separator, a quote or a line end inside a value, in this order:
//!
//! | format | separator, quote | line end |
//! |---|---|---|
//! | `escape = { "a" = "b" }` | every `a` is written as `b` first | same |
//! | `quote` | the value is quoted, quotes are doubled or escaped | quoted, when `controls = "keep"` |
//! | `escape = '\'`, no quote | the character stands before each | nothing: rule `separators` |
//! | neither | nothing: rule `separators` | nothing: rule `separators` |
//!
//! Control characters (a TAB or line end in a value) meet the rule `controls` before the last three rows.

use super::fault::CellFault;
use super::plain_line::LineChecker;
use super::text::{TextEncoder, append_few, as_text, is_stopped, push_control};
use crate::format::dialect::{Dialect, Escape, Misfit, Quoting};

/// Writes the values of delimited lines.
#[derive(Debug, Clone)]
pub(super) struct DelimitedWriter {
    separator: String,
    quote: Option<char>,
    always: bool,
    escape: Escape,
    controls: Misfit,
    separators: Misfit,
    encoder: TextEncoder,
    /// Bytes that cannot be copied as they are.
    stop: [bool; 256],
    /// Bytes at which a replacement or a control character begins.
    replaced: [bool; 256],
    separator_bytes: Vec<u8>,
    quote_bytes: Vec<u8>,
    cleaned: String,
    protected: String,
}

impl DelimitedWriter {
    pub fn new(dialect: &Dialect) -> Self {
        let mut encoder = TextEncoder::new(dialect);
        let mut bytes_of = |text: &str| {
            let mut bytes = Vec::new();
            // Whether separators are in the charset was checked when the format was read.
            let done = encoder.append(text, &mut bytes);
            assert!(done.is_ok(), "a separator that is in the charset");
            bytes
        };
        let quote_text = dialect.quote.map(String::from).unwrap_or_default();
        let (separator_bytes, quote_bytes) = (bytes_of(&dialect.separator), bytes_of(&quote_text));
        let mut writer = Self {
            separator: dialect.separator.clone(),
            quote: dialect.quote,
            always: dialect.quoting == Quoting::Always,
            escape: dialect.escape.clone(),
            controls: dialect.controls.clone(),
            separators: dialect.separators.clone(),
            encoder,
            stop: [false; 256],
            replaced: [false; 256],
            separator_bytes,
            quote_bytes,
            cleaned: String::new(),
            protected: String::new(),
        };
        writer.stop = writer.stops();
        let begins = |byte: u8| match &dialect.escape {
            Escape::Replace(pairs) => pairs.iter().any(|(from, _)| from.bytes().next() == Some(byte)),
            Escape::Doubled | Escape::Character(_) => false,
        };
        for (byte, replaced) in (0..=255u8).zip(&mut writer.replaced) {
            *replaced = byte.is_ascii_control() || begins(byte);
        }
        writer
    }

    /// Tells whether values can stand as they are, where separators of one byte are between them.
    pub fn checker(&self, is_utf8: bool) -> Option<LineChecker> {
        let [separator] = *self.separator_bytes.as_slice() else { return None };
        let escape = match &self.escape {
            Escape::Doubled => None,
            Escape::Character(character) => Some(u8::try_from(*character).ok()?),
            Escape::Replace(_) => return None,
        };
        let quote = match *self.quote_bytes.as_slice() {
            [] => None,
            [quote] => Some(quote),
            _ => return None,
        };
        LineChecker::new(Some(separator), [quote, escape], is_utf8).filter(|_| !self.always)
    }

    fn stops(&self) -> [bool; 256] {
        let mut special: Vec<u8> = self.separator.bytes().collect();
        special.extend(self.quote_bytes.iter());
        match &self.escape {
            Escape::Doubled => {}
            Escape::Character(character) => special.extend(character.to_string().bytes()),
            Escape::Replace(pairs) => special.extend(pairs.iter().filter_map(|(from, _)| from.bytes().next())),
        }
        self.encoder.stops(&special)
    }

    pub fn put_separator(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.separator_bytes);
    }

    /// Appends one value. `alone`: it is the only one of its line, which would be an empty line if it is empty.
    #[inline]
    pub fn put(&mut self, value: &[u8], alone: bool, out: &mut Vec<u8>) -> Result<(), CellFault> {
        if !is_stopped(&self.stop, value) {
            let quoted = self.always || (alone && value.is_empty());
            if quoted {
                out.extend_from_slice(&self.quote_bytes);
            }
            append_few(value, out);
            if quoted {
                out.extend_from_slice(&self.quote_bytes);
            }
            return Ok(());
        }
        self.clean(as_text(value)?)?;
        self.protect()?;
        self.encoder.append(&self.protected, out)
    }

    /// Replaces what `escape` replaces and applies the rule for control characters.
    fn clean(&mut self, text: &str) -> Result<(), CellFault> {
        self.cleaned.clear();
        let pairs: &[(String, String)] = match &self.escape {
            Escape::Replace(pairs) => pairs,
            Escape::Doubled | Escape::Character(_) => &[],
        };
        let mut rest = text;
        loop {
            let plain = rest.bytes().take_while(|byte| !is_stopped(&self.replaced, &[*byte])).count();
            let (run, tail) = rest.split_at(plain);
            self.cleaned.push_str(run);
            let Some(character) = tail.chars().next() else { return Ok(()) };
            let begun = |(from, _): &&(String, String)| tail.starts_with(from.as_str());
            let step = if let Some((from, to)) = pairs.iter().filter(begun).max_by_key(|(from, _)| from.len()) {
                self.cleaned.push_str(to);
                from.len()
            } else if character.is_ascii_control() {
                let count = text.len() - tail.len();
                let place = text.get(..count).map_or(0, |before| before.chars().count()) + 1;
                push_control(character, place, &self.controls, &mut self.cleaned)?;
                1
            } else {
                self.cleaned.push(character);
                character.len_utf8()
            };
            rest = tail.get(step..).unwrap_or_default();
        }
    }

    /// Quotes or escapes the cleaned value, or applies the rule for separators.
    fn protect(&mut self) -> Result<(), CellFault> {
        self.protected.clear();
        match (self.quote, &self.escape) {
            (Some(quote), escape) => {
                let escape = match escape {
                    Escape::Character(character) => Some(*character),
                    Escape::Doubled | Escape::Replace(_) => None,
                };
                let special =
                    |c: char| c == quote || matches!(c, '\n' | '\r') || Some(c) == escape || self.separator.contains(c);
                if !self.always && !self.cleaned.contains(special) {
                    self.protected.push_str(&self.cleaned);
                    return Ok(());
                }
                self.protected.push(quote);
                for character in self.cleaned.chars() {
                    if character == quote || Some(character) == escape {
                        self.protected.push(escape.unwrap_or(quote));
                    }
                    self.protected.push(character);
                }
                self.protected.push(quote);
            }
            (None, Escape::Character(escape)) => {
                let escape = *escape;
                for (index, character) in self.cleaned.chars().enumerate() {
                    if matches!(character, '\n' | '\r') {
                        push_unprotected(character, index + 1, &self.separators, &mut self.protected)?;
                        continue;
                    }
                    if character == escape || self.separator.contains(character) {
                        self.protected.push(escape);
                    }
                    self.protected.push(character);
                }
            }
            (None, Escape::Doubled | Escape::Replace(_)) => self.replace_separators()?,
        }
        Ok(())
    }

    fn replace_separators(&mut self) -> Result<(), CellFault> {
        let first = self.separator.chars().next();
        if !self.cleaned.contains(|c| Some(c) == first || matches!(c, '\n' | '\r')) {
            self.protected.push_str(&self.cleaned);
            return Ok(());
        }
        let mut rest = self.cleaned.as_str();
        let mut count = 0;
        while let Some(character) = rest.chars().next() {
            count += 1;
            let step = if rest.starts_with(self.separator.as_str()) {
                push_unprotected(character, count, &self.separators, &mut self.protected)?;
                self.separator.len()
            } else if matches!(character, '\n' | '\r') {
                push_unprotected(character, count, &self.separators, &mut self.protected)?;
                if rest.starts_with("\r\n") { 2 } else { 1 }
            } else {
                self.protected.push(character);
                character.len_utf8()
            };
            rest = rest.get(step..).unwrap_or_default();
        }
        // The end of the value and the separator behind it must not make another separator together.
        let whole = self.protected.len();
        self.protected.push_str(&self.separator);
        let found = self.protected.find(self.separator.as_str());
        self.protected.truncate(whole);
        match found {
            Some(at) if at < whole => {
                Err(CellFault::Separator { character: self.protected.get(..at).map_or(1, |b| b.chars().count() + 1) })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Applies the rule for a separator or line end that nothing protects.
fn push_unprotected(found: char, character: usize, rule: &Misfit, out: &mut String) -> Result<(), CellFault> {
    match rule {
        Misfit::Replace(with) => out.push_str(with),
        Misfit::Drop => {}
        Misfit::Reject | Misfit::Keep => {
            return Err(match found {
                '\n' | '\r' => CellFault::LineEnd { character },
                _ => CellFault::Separator { character },
            });
        }
    }
    Ok(())
}
