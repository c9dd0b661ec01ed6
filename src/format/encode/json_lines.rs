//! One JSON object for each line (RFC 8259), keys in the order of the cells.
//!
//! JSON writes control characters as escapes, so the rule `controls` counts only when it replaces or drops them.

use super::fault::CellFault;
use super::number::append_decimal;
use super::text::{TextEncoder, as_text, is_stopped, push_control};
use crate::format::dialect::{Dialect, Misfit};
use crate::record::Decimal;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes the members of JSON objects.
#[derive(Debug, Clone)]
pub(super) struct JsonWriter {
    controls: Misfit,
    encoder: TextEncoder,
    /// Bytes that cannot be copied as they are.
    stop: [bool; 256],
    cleaned: String,
    escaped: String,
    digits: Vec<u8>,
}

impl JsonWriter {
    pub fn new(dialect: &Dialect) -> Self {
        let encoder = TextEncoder::new(dialect);
        Self {
            controls: dialect.controls.clone(),
            stop: encoder.stops(b"\"\\"),
            encoder,
            cleaned: String::new(),
            escaped: String::new(),
            digits: Vec::new(),
        }
    }

    /// Appends a key with its colon and the brace or comma before it.
    pub fn put_key(&mut self, first: bool, key: &str, out: &mut Vec<u8>) -> Result<(), CellFault> {
        self.escaped.clear();
        self.escaped.push(if first { '{' } else { ',' });
        push_json_string(key, &mut self.escaped);
        self.escaped.push(':');
        self.encoder.append(&self.escaped, out)
    }

    /// Appends a bare number; nothing is `null`.
    pub fn put_number(&mut self, value: &[u8], out: &mut Vec<u8>) -> Result<(), CellFault> {
        if is_written_like_json(value) && !is_stopped(&self.stop, value) {
            out.extend_from_slice(value);
            return Ok(());
        }
        self.digits.clear();
        if value.is_empty() {
            self.digits.extend_from_slice(b"null");
        } else {
            // "007", "+5" and ".5" are decimals but not JSON.
            append_decimal(Decimal::parse(value)?, false, &mut self.digits);
        }
        self.encoder.append(as_text(&self.digits)?, out)
    }

    /// Appends a string.
    pub fn put_text(&mut self, value: &[u8], out: &mut Vec<u8>) -> Result<(), CellFault> {
        if !is_stopped(&self.stop, value) {
            out.push(b'"');
            out.extend_from_slice(value);
            out.push(b'"');
            return Ok(());
        }
        let text = as_text(value)?;
        self.cleaned.clear();
        if matches!(self.controls, Misfit::Replace(_) | Misfit::Drop) {
            for (index, character) in text.chars().enumerate() {
                if character.is_ascii_control() {
                    push_control(character, index + 1, &self.controls, &mut self.cleaned)?;
                } else {
                    self.cleaned.push(character);
                }
            }
        } else {
            self.cleaned.push_str(text);
        }
        self.escaped.clear();
        push_json_string(&self.cleaned, &mut self.escaped);
        self.encoder.append(&self.escaped, out)
    }
}

/// True for a few digits with at most one point between them and no zero in front: numbers that are written as they come.
pub(super) fn is_written_like_json(value: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let mut halves = value.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (halves.next().unwrap_or_default(), halves.next());
    let has_no_zero_in_front = matches!(whole, [b'0'] | [b'1'..=b'9', ..]);
    value.len() <= 18
        && has_no_zero_in_front
        && whole.iter().all(is_digit)
        && fraction.is_none_or(|fraction| !fraction.is_empty() && fraction.iter().all(is_digit))
}

/// Appends a JSON string with its quotes.
pub(super) fn push_json_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control.is_ascii_control() => {
                let code = control as usize;
                out.push_str("\\u00");
                for nibble in [code >> 4, code & 15] {
                    out.push(HEX.get(nibble).copied().map_or('0', char::from));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_as_a_number_is_what_would_be_written() {
        let copied = ["0", "7", "0.0000", "12.50", "123456789012345678", "1.5"];
        let other = ["", "007", "1.", ".5", "-1", "+1", "1.2.3", "00.5", "1234567890123456789", "1e5", "12a"];
        for (text, is_copied) in copied.map(|text| (text, true)).into_iter().chain(other.map(|text| (text, false))) {
            assert_eq!(is_written_like_json(text.as_bytes()), is_copied, "{text}");
            if is_copied {
                let mut written = Vec::new();
                append_decimal(Decimal::parse(text.as_bytes()).expect("a number"), false, &mut written);
                assert_eq!(written, text.as_bytes());
            }
        }
    }
}
