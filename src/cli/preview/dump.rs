//! Bytes made visible.

use crate::format::charset::Charset;
use crate::format::dialect::Dialect;

/// Bytes of one line of a dump.
const DUMP_BYTES: usize = 16;

/// Positions of a fixed-width line, from 1: tens above, units below.
pub fn ruler(width: usize, indent: &str) -> String {
    let mut tens = String::new();
    let mut units = String::new();
    for position in 1..=width {
        if position % 10 == 0 {
            let label = position.to_string();
            tens.truncate(position - label.len());
            tens.push_str(&label);
        } else {
            tens.push(' ');
        }
        units.push(char::from_digit(u32::try_from(position % 10).unwrap_or(0), 10).unwrap_or(' '));
    }
    format!("{indent}{tens}\n{indent}{units}\n")
}

/// The lines in some bytes as text, without the line ends; control characters become their pictures, and bytes that are
/// not of the charset become U+FFFD.
pub fn visible(dialect: &Dialect, bytes: &[u8]) -> Vec<String> {
    let text = decoded(dialect.charset, bytes);
    let end = String::from_utf8_lossy(dialect.line_end.bytes());
    let whole = text.strip_suffix(end.as_ref()).unwrap_or(&text);
    whole.split(end.as_ref()).map(|line| line.chars().map(picture).collect()).collect()
}

fn decoded(charset: Charset, bytes: &[u8]) -> String {
    let mut text = String::new();
    if charset.decode(bytes, &mut text).is_err() {
        text = String::from_utf8_lossy(bytes).into_owned();
    }
    text
}

/// The Unicode picture of a control character.
fn picture(character: char) -> char {
    match u32::from(character) {
        code @ 0..=0x1f => char::from_u32(0x2400 + code).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        0x80..=0x9f => '\u{fffd}',
        _ => character,
    }
}

/// Offset, bytes in hexadecimal digits, and their printable ASCII characters.
pub fn hex_dump(bytes: &[u8], indent: &str) -> String {
    let mut text = String::new();
    for (index, line) in bytes.chunks(DUMP_BYTES).enumerate() {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let printable = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let shown: String = line.iter().map(printable).collect();
        text.push_str(&format!("{indent}{:06x}  {:<47}  {shown}\n", index * DUMP_BYTES, digits.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruler_counts_positions_from_one() {
        assert_eq!(ruler(12, "> "), ">         10  \n> 123456789012\n");
    }

    #[test]
    fn a_dump_shows_every_byte() {
        let expected = "  000000  48 7c 31 0d 0a c0 ee 31 32 33 34 35 36 37 38 39  H|1....123456789\n  000010  41                                               A\n";
        assert_eq!(hex_dump(b"H|1\r\n\xc0\xee123456789A", "  "), expected);
    }

    #[test]
    fn control_characters_have_pictures() {
        let line: String = "a\tb\u{1b}[2J\u{7f}\u{9b}".chars().map(picture).collect();
        assert_eq!(line, "a\u{2409}b\u{241b}[2J\u{2421}\u{fffd}");
    }
}
