//! Physical lines in raw bytes.
//!
//! Line ends are looked for before a charset is decoded. That is safe: no charset that hourdrop reads uses the bytes of
//! CR or LF inside another character, except UTF-16, whose lines are looked for in units of two bytes.

use crate::format::charset::Charset;
use crate::format::dialect::{LineEnd, ReadLineEnd};

/// One line within a window of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Line {
    /// Index behind the last byte of its content.
    pub(super) content_end: usize,
    /// Index of the first byte of the next line.
    pub(super) next: usize,
    /// What ended it; `None` at the end of the input.
    pub(super) end: Option<LineEnd>,
}

/// How the bytes of CR and LF are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    One,
    TwoLittle,
    TwoBig,
}

/// Finds the ends of lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineFinder {
    ends: ReadLineEnd,
    unit: Unit,
}

impl LineFinder {
    pub(super) const fn new(ends: ReadLineEnd, charset: Charset) -> Self {
        let unit = match charset {
            Charset::Utf16Le => Unit::TwoLittle,
            Charset::Utf16Be => Unit::TwoBig,
            Charset::Utf8 | Charset::Ascii | Charset::Table(_) => Unit::One,
        };
        Self { ends, unit }
    }

    const fn width(self) -> usize {
        match self.unit {
            Unit::One => 1,
            Unit::TwoLittle | Unit::TwoBig => 2,
        }
    }

    /// True when a line ends at each byte of a line feed, and nowhere else.
    pub(super) fn ends_with_line_feed(self) -> bool {
        self.ends == ReadLineEnd::LfOrCrLf && self.unit == Unit::One
    }

    /// How many of the first `length` bytes without a line end need not be looked at again when more bytes arrive: all
    /// but a last character, which can be half of CRLF or half there.
    pub(super) const fn settled(self, length: usize) -> usize {
        (length / self.width() * self.width()).saturating_sub(self.width())
    }

    /// How many bytes at the start of `bytes` reach behind the first line feed; all when there is none.
    pub(super) fn through_line_feed(self, bytes: &[u8]) -> usize {
        let behind = if self.unit == Unit::TwoLittle { 2 } else { 1 };
        memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| (at + behind).min(bytes.len()))
    }

    /// The line that begins at `start`, whose end is not before `from`; both lie on the boundary of a character.
    /// `None` when its end has not arrived. With `at_end`, bytes without a line end are a line, too.
    pub(super) fn find(self, window: &[u8], start: usize, from: usize, at_end: bool) -> Option<Line> {
        let mut from = from;
        while let Some((at, byte)) = self.next_end(window, from) {
            if byte == b'\n' {
                return Some(self.at_line_feed(window, start, at));
            }
            let next = at + self.width();
            match (self.ends, self.byte_at(window, next)) {
                (ReadLineEnd::Any, Some(b'\n')) => {
                    let next = next + self.width();
                    return Some(Line { content_end: at, next, end: Some(LineEnd::CrLf) });
                }
                (ReadLineEnd::Any, None) if !at_end => return None,
                (ReadLineEnd::Any | ReadLineEnd::Cr, _) => {
                    return Some(Line { content_end: at, next, end: Some(LineEnd::Cr) });
                }
                (ReadLineEnd::LfOrCrLf, _) => from = next,
            }
        }
        (at_end && start < window.len()).then_some(Line { content_end: window.len(), next: window.len(), end: None })
    }

    fn at_line_feed(self, window: &[u8], start: usize, at: usize) -> Line {
        let next = at + self.width();
        let before = at.checked_sub(self.width()).filter(|before| *before >= start);
        match before.filter(|before| self.byte_at(window, *before) == Some(b'\r')) {
            Some(content_end) => Line { content_end, next, end: Some(LineEnd::CrLf) },
            None => Line { content_end: at, next, end: Some(LineEnd::Lf) },
        }
    }

    /// Place and kind of the next byte that can end a line.
    fn next_end(self, window: &[u8], from: usize) -> Option<(usize, u8)> {
        let mut from = from;
        loop {
            let rest = window.get(from..)?;
            let found = match self.ends {
                ReadLineEnd::LfOrCrLf => memchr::memchr(b'\n', rest),
                ReadLineEnd::Cr => memchr::memchr(b'\r', rest),
                ReadLineEnd::Any => memchr::memchr2(b'\r', b'\n', rest),
            }? + from;
            let unit_start = if self.unit == Unit::One { found } else { found / 2 * 2 };
            if let Some(byte @ (b'\r' | b'\n')) = self.byte_at(window, unit_start) {
                return Some((unit_start, byte));
            }
            from = found + 1;
        }
    }

    /// The character at `at` when it is complete; 0xFF for all that are not ASCII.
    fn byte_at(self, window: &[u8], at: usize) -> Option<u8> {
        let unit = window.get(at..at + self.width())?;
        Some(match (self.unit, unit) {
            (Unit::One, [byte]) | (Unit::TwoLittle, [byte, 0]) | (Unit::TwoBig, [0, byte]) => *byte,
            _ => 0xFF,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(ends: ReadLineEnd, charset: Charset, bytes: &[u8]) -> Vec<(Vec<u8>, Option<LineEnd>)> {
        let finder = LineFinder::new(ends, charset);
        let mut start = 0;
        let mut found = Vec::new();
        while let Some(line) = finder.find(bytes, start, start, true) {
            found.push((bytes[start..line.content_end].to_vec(), line.end));
            start = line.next;
        }
        assert_eq!(start, bytes.len());
        found
    }

    fn text(ends: ReadLineEnd, bytes: &str) -> Vec<(String, Option<LineEnd>)> {
        let lines = lines(ends, Charset::Utf8, bytes.as_bytes());
        lines.into_iter().map(|(line, end)| (String::from_utf8(line).expect("UTF-8"), end)).collect()
    }

    fn line(text: &str, end: Option<LineEnd>) -> (String, Option<LineEnd>) {
        (text.to_owned(), end)
    }

    #[test]
    fn each_kind_of_line_end_is_found() {
        let (lf, crlf, cr) = (Some(LineEnd::Lf), Some(LineEnd::CrLf), Some(LineEnd::Cr));
        let input = "a\nb\r\nc\rd\r\r\ne\r";
        assert_eq!(
            text(ReadLineEnd::LfOrCrLf, input),
            [line("a", lf), line("b", crlf), line("c\rd\r", crlf), line("e\r", None)]
        );
        assert_eq!(
            text(ReadLineEnd::Any, input),
            [line("a", lf), line("b", crlf), line("c", cr), line("d", cr), line("", crlf), line("e", cr)]
        );
        assert_eq!(
            text(ReadLineEnd::Cr, input),
            [line("a\nb", cr), line("\nc", cr), line("d", cr), line("", cr), line("\ne", cr)]
        );
    }

    #[test]
    fn a_line_feed_needs_its_whole_unit_in_utf16() {
        // U+0A0A and U+010A hold the byte of LF; U+000A is one.
        let little = [0x0A, 0x0A, 0x0A, 0x01, 0x0D, 0x00, 0x0A, 0x00, 0x61, 0x00];
        let found = lines(ReadLineEnd::LfOrCrLf, Charset::Utf16Le, &little);
        assert_eq!(found, [(little[..4].to_vec(), Some(LineEnd::CrLf)), (vec![0x61, 0], None)]);
        let big = [0x0A, 0x0A, 0x01, 0x0A, 0x00, 0x0A, 0x00, 0x61];
        let found = lines(ReadLineEnd::Any, Charset::Utf16Be, &big);
        assert_eq!(found, [(big[..4].to_vec(), Some(LineEnd::Lf)), (vec![0, 0x61], None)]);
    }

    #[test]
    fn half_a_line_end_waits_for_the_rest() {
        let any = LineFinder::new(ReadLineEnd::Any, Charset::Utf8);
        assert_eq!(any.find(b"a\r", 0, 0, false), None);
        assert_eq!(any.find(b"a\r\n", 0, any.settled(2), false).map(|line| line.next), Some(3));
        let wide = LineFinder::new(ReadLineEnd::LfOrCrLf, Charset::Utf16Le);
        assert_eq!(wide.find(b"a\0\n", 0, 0, false), None);
        assert_eq!(wide.find(b"a\0\n\0", 0, wide.settled(3), false).map(|line| line.content_end), Some(2));
    }
}
