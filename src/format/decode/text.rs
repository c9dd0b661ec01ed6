//! The text of a line: from the bytes of the file's charset to UTF-8.

use crate::format::charset::Charset;
use crate::format::dialect::Misfit;
use encoding_rs::{DecoderResult, Encoding, ISO_2022_JP};

/// Decodes lines, or pieces of them.
#[derive(Debug, Clone)]
pub(super) struct TextReader {
    charset: Charset,
    /// What stands for bytes that are not of the charset; `None` when they make the record undecodable.
    replacement: Option<String>,
    buffer: String,
}

/// A decoded piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    /// True when it held bytes that are not of the charset and no policy covers them. The text then has U+FFFD in their
    /// places, so that the structure around them can still be seen.
    pub(super) malformed: bool,
}

impl TextReader {
    pub(super) fn new(charset: Charset, misfit: &Misfit) -> Self {
        let replacement = match misfit {
            Misfit::Reject | Misfit::Keep => None,
            Misfit::Replace(text) => Some(text.clone()),
            Misfit::Drop => Some(String::new()),
        };
        Self { charset, replacement, buffer: String::new() }
    }

    /// Decodes `raw`. Nothing is copied when its bytes are UTF-8 already.
    #[inline]
    pub(super) fn decode<'a>(&'a mut self, raw: &'a [u8]) -> Text<'a> {
        let plain = match self.charset {
            Charset::Utf8 => std::str::from_utf8(raw).ok(),
            Charset::Ascii => raw.is_ascii().then_some(raw).and_then(|raw| std::str::from_utf8(raw).ok()),
            Charset::Table(encoding) if encoding != ISO_2022_JP && raw.is_ascii() => std::str::from_utf8(raw).ok(),
            Charset::Utf16Le | Charset::Utf16Be | Charset::Table(_) => None,
        };
        match plain {
            Some(text) => Text { text, malformed: false },
            None => self.decode_into_buffer(raw),
        }
    }

    fn decode_into_buffer(&mut self, raw: &[u8]) -> Text<'_> {
        self.buffer.clear();
        let stand_in = self.replacement.as_deref().unwrap_or("\u{FFFD}");
        let well_formed = match self.charset {
            Charset::Utf8 => utf8(raw, stand_in, &mut self.buffer),
            Charset::Ascii => ascii(raw, stand_in, &mut self.buffer),
            Charset::Utf16Le => utf16(raw, u16::from_le_bytes, stand_in, &mut self.buffer),
            Charset::Utf16Be => utf16(raw, u16::from_be_bytes, stand_in, &mut self.buffer),
            Charset::Table(encoding) => table(encoding, raw, stand_in, &mut self.buffer),
        };
        Text { text: &self.buffer, malformed: !well_formed && self.replacement.is_none() }
    }
}

fn utf8(raw: &[u8], stand_in: &str, out: &mut String) -> bool {
    let mut well_formed = true;
    for chunk in raw.utf8_chunks() {
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            well_formed = false;
            out.push_str(stand_in);
        }
    }
    well_formed
}

fn ascii(raw: &[u8], stand_in: &str, out: &mut String) -> bool {
    for byte in raw {
        if byte.is_ascii() { out.push(char::from(*byte)) } else { out.push_str(stand_in) }
    }
    raw.is_ascii()
}

fn utf16(raw: &[u8], unit: fn([u8; 2]) -> u16, stand_in: &str, out: &mut String) -> bool {
    let (pairs, odd) = raw.as_chunks::<2>();
    let mut well_formed = odd.is_empty();
    for character in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        if let Ok(character) = character {
            out.push(character);
        } else {
            well_formed = false;
            out.push_str(stand_in);
        }
    }
    if !odd.is_empty() {
        out.push_str(stand_in);
    }
    well_formed
}

fn table(encoding: &'static Encoding, raw: &[u8], stand_in: &str, out: &mut String) -> bool {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut rest = raw;
    let mut well_formed = true;
    loop {
        out.reserve(decoder.max_utf8_buffer_length_without_replacement(rest.len()).unwrap_or(0).max(16));
        let (result, read) = decoder.decode_to_string_without_replacement(rest, out, true);
        rest = rest.get(read..).unwrap_or_default();
        match result {
            DecoderResult::InputEmpty => return well_formed,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                well_formed = false;
                out.push_str(stand_in);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(charset: &str, misfit: &Misfit, raw: &[u8]) -> (String, bool) {
        let mut reader = TextReader::new(Charset::parse(charset).expect("charset"), misfit);
        let text = reader.decode(raw);
        (text.text.to_owned(), text.malformed)
    }

    #[test]
    fn charsets_become_utf8() {
        let cases: [(&str, &[u8], &str); 7] = [
            ("UTF-8", "李四".as_bytes(), "李四"),
            ("GBK", &[0xC0, 0xEE, 0x7C, 0x31], "李|1"),
            ("GB18030", &[0x94, 0x39, 0xFC, 0x36], "😀"),
            ("Shift_JIS", &[0x83, 0x7C], "ポ"),
            ("windows-1252", &[0x4D, 0xFC], "Mü"),
            ("UTF-16LE", &[0x4E, 0x67, 0x7C, 0x00], "李|"),
            ("UTF-16BE", &[0xD8, 0x3D, 0xDE, 0x00], "😀"),
        ];
        for (charset, raw, text) in cases {
            assert_eq!(decode(charset, &Misfit::Reject, raw), (text.to_owned(), false), "{charset}");
        }
    }

    #[test]
    fn bytes_that_are_not_of_the_charset_are_noticed_or_replaced() {
        let cases: [(&str, &[u8]); 5] = [
            ("UTF-8", b"a\xCAb"),
            ("ASCII", b"a\xCAb"),
            ("GBK", b"a\xFFb"),
            ("UTF-16LE", &[0x61, 0, 0x00, 0xD8, 0x62, 0]),
            ("EUC-KR", b"a\xFFb"),
        ];
        for (charset, raw) in cases {
            assert_eq!(decode(charset, &Misfit::Reject, raw), ("a\u{FFFD}b".to_owned(), true), "{charset}");
            let question = Misfit::Replace("?".to_owned());
            assert_eq!(decode(charset, &question, raw), ("a?b".to_owned(), false), "{charset}");
            assert_eq!(decode(charset, &Misfit::Drop, raw), ("ab".to_owned(), false), "{charset}");
        }
        assert!(decode("UTF-16LE", &Misfit::Reject, &[0x61, 0, 0x62]).1);
        assert!(decode("GBK", &Misfit::Reject, &[0x61, 0xC0]).1);
    }
}
