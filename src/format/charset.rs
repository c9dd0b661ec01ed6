//! Charsets of partner files.

use super::dialect::Misfit;
use encoding_rs::{DecoderResult, Encoder, EncoderResult, Encoding};

/// A charset that a file can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, the charset of values inside hourdrop.
    Utf8,
    /// ASCII, one byte per character below 128.
    Ascii,
    /// UTF-16, little endian.
    Utf16Le,
    /// UTF-16, big endian.
    Utf16Be,
    /// Any other charset of the WHATWG encoding standard, such as GBK, GB18030, Big5 or `Shift_JIS`.
    Table(&'static Encoding),
}

impl Charset {
    /// Parses a charset name of the WHATWG encoding standard; `ASCII` means ASCII here, not windows-1252.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("ascii") || name.eq_ignore_ascii_case("us-ascii") {
            return Some(Self::Ascii);
        }
        let encoding = Encoding::for_label(name.as_bytes())?;
        if encoding == encoding_rs::UTF_8 {
            Some(Self::Utf8)
        } else if encoding == encoding_rs::UTF_16LE {
            Some(Self::Utf16Le)
        } else if encoding == encoding_rs::UTF_16BE {
            Some(Self::Utf16Be)
        } else if encoding == encoding_rs::REPLACEMENT || encoding == encoding_rs::X_USER_DEFINED {
            None
        } else {
            Some(Self::Table(encoding))
        }
    }
}

/// A character that a charset does not have; its 1-based place in the text, not the character itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmappable {
    /// Number of the character in the text, from 1.
    pub character: usize,
}

/// A byte that is not part of any character; its offset from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Offset of the first bad byte.
    pub offset: usize,
}

impl Charset {
    /// True when a text of ASCII characters is the same bytes in this charset.
    #[must_use]
    pub fn is_ascii_compatible(self) -> bool {
        match self {
            Self::Utf8 | Self::Ascii => true,
            Self::Utf16Le | Self::Utf16Be => false,
            Self::Table(encoding) => encoding.is_ascii_compatible(),
        }
    }

    /// Bytes of the smallest unit: 2 for UTF-16, else 1.
    #[must_use]
    pub const fn unit_bytes(self) -> usize {
        match self {
            Self::Utf16Le | Self::Utf16Be => 2,
            Self::Utf8 | Self::Ascii | Self::Table(_) => 1,
        }
    }

    /// The name of the charset.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Ascii => "ASCII",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Table(encoding) => encoding.name(),
        }
    }

    /// Appends `text` in this charset, applying `misfit` to characters that it does not have. [`Misfit::Keep`] has no
    /// meaning here and counts as [`Misfit::Reject`].
    ///
    /// # Errors
    /// [`Unmappable`] for the first character that does not fit when the rule is to reject; `out` may then hold a
    /// part of the text.
    pub fn append(self, text: &str, misfit: &Misfit, out: &mut Vec<u8>) -> Result<(), Unmappable> {
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Utf16Le => text.encode_utf16().for_each(|unit| out.extend_from_slice(&unit.to_le_bytes())),
            Self::Utf16Be => text.encode_utf16().for_each(|unit| out.extend_from_slice(&unit.to_be_bytes())),
            Self::Ascii | Self::Table(_) if text.is_ascii() && self.is_ascii_compatible() => {
                out.extend_from_slice(text.as_bytes());
            }
            Self::Ascii => append_ascii(text, misfit, out)?,
            Self::Table(encoding) => append_table(encoding, text, misfit, out)?,
        }
        Ok(())
    }

    /// Appends the characters of `bytes` to `out`; a byte order mark is a character like others.
    ///
    /// # Errors
    /// [`Malformed`] at the first byte that is not in this charset.
    pub fn decode(self, bytes: &[u8], out: &mut String) -> Result<(), Malformed> {
        match self {
            Self::Utf8 | Self::Ascii => match std::str::from_utf8(bytes) {
                Ok(text) if self == Self::Utf8 || text.is_ascii() => out.push_str(text),
                Ok(_) => return Err(Malformed { offset: bytes.iter().take_while(|byte| byte.is_ascii()).count() }),
                Err(fault) => return Err(Malformed { offset: fault.valid_up_to() }),
            },
            Self::Utf16Le => decode_table(encoding_rs::UTF_16LE, bytes, out)?,
            Self::Utf16Be => decode_table(encoding_rs::UTF_16BE, bytes, out)?,
            Self::Table(encoding) => decode_table(encoding, bytes, out)?,
        }
        Ok(())
    }
}

fn replace(misfit: &Misfit, character: usize) -> Result<&str, Unmappable> {
    match misfit {
        Misfit::Replace(with) => Ok(with),
        Misfit::Drop => Ok(""),
        Misfit::Reject | Misfit::Keep => Err(Unmappable { character }),
    }
}

fn append_ascii(text: &str, misfit: &Misfit, out: &mut Vec<u8>) -> Result<(), Unmappable> {
    for (index, character) in text.chars().enumerate() {
        match u8::try_from(character) {
            Ok(byte) if byte.is_ascii() => out.push(byte),
            Ok(_) | Err(_) => out.extend_from_slice(replace(misfit, index + 1)?.as_bytes()),
        }
    }
    Ok(())
}

fn append_table(encoding: &'static Encoding, text: &str, misfit: &Misfit, out: &mut Vec<u8>) -> Result<(), Unmappable> {
    let mut encoder = encoding.new_encoder();
    let mut rest = text;
    while let Some(after) = append_mappable(&mut encoder, rest, true, out) {
        rest = after;
        let done = text.len() - rest.len();
        let with = replace(misfit, text.get(..done).map_or(0, |before| before.chars().count()))?;
        // That the replacement is in the charset was checked when the format was read.
        append_mappable(&mut encoder, with, false, out);
    }
    Ok(())
}

/// Appends characters up to the end or up to the first one that is not in the charset; then returns what follows it.
fn append_mappable<'t>(encoder: &mut Encoder, text: &'t str, last: bool, out: &mut Vec<u8>) -> Option<&'t str> {
    // A buffer on the stack: the library's own way to append to a vector touches every page of its spare capacity.
    let mut buffer = [0u8; 256];
    let mut rest = text;
    loop {
        let (result, read, written) = encoder.encode_from_utf8_without_replacement(rest, &mut buffer, last);
        out.extend_from_slice(buffer.get(..written).unwrap_or_default());
        rest = rest.get(read..).unwrap_or_default();
        match result {
            EncoderResult::InputEmpty => return None,
            EncoderResult::OutputFull => {}
            EncoderResult::Unmappable(_) => return Some(rest),
        }
    }
}

fn decode_table(encoding: &'static Encoding, bytes: &[u8], out: &mut String) -> Result<(), Malformed> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(bytes.len() * 3 + 16);
    out.reserve(room);
    let (result, read) = decoder.decode_to_string_without_replacement(bytes, out, true);
    match result {
        DecoderResult::InputEmpty => Ok(()),
        DecoderResult::OutputFull => Err(Malformed { offset: read }),
        DecoderResult::Malformed(bad, behind) => {
            Err(Malformed { offset: read.saturating_sub(usize::from(bad) + usize::from(behind)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(charset: &str, text: &str, misfit: &Misfit) -> Result<Vec<u8>, usize> {
        let mut out = Vec::new();
        let charset = Charset::parse(charset).expect("charset");
        charset.append(text, misfit, &mut out).map(|()| out).map_err(|fault| fault.character)
    }

    #[test]
    fn each_charset_writes_its_own_bytes() {
        assert_eq!(encoded("GB18030", "王€😀", &Misfit::Reject), Ok(b"\xcd\xf5\xa2\xe3\x94\x39\xfc\x36".to_vec()));
        assert_eq!(encoded("GBK", "王", &Misfit::Reject), Ok(b"\xcd\xf5".to_vec()));
        assert_eq!(encoded("windows-1252", "Müller €", &Misfit::Reject), Ok(b"M\xfcller \x80".to_vec()));
        assert_eq!(encoded("UTF-16LE", "a王", &Misfit::Reject), Ok(b"a\0\x8b\x73".to_vec()));
        assert_eq!(encoded("UTF-16BE", "a", &Misfit::Reject), Ok(b"\0a".to_vec()));
    }

    #[test]
    fn a_character_that_is_not_in_the_charset_follows_the_rule() {
        let mark = Misfit::Replace("?".to_owned());
        assert_eq!(encoded("windows-1252", "a山b田", &mark), Ok(b"a?b?".to_vec()));
        assert_eq!(encoded("windows-1252", "a山b", &Misfit::Drop), Ok(b"ab".to_vec()));
        assert_eq!(encoded("windows-1252", "ü山b", &Misfit::Reject), Err(2));
        assert_eq!(encoded("ascii", "Mü山", &mark), Ok(b"M??".to_vec()));
        assert_eq!(encoded("ascii", "Mü", &Misfit::Reject), Err(2));
        assert_eq!(encoded("GBK", "王😀", &Misfit::Reject), Err(2));
    }

    #[test]
    fn decoding_names_the_first_bad_byte() {
        let decode = |name: &str, bytes: &[u8]| {
            let mut out = String::new();
            Charset::parse(name).expect("charset").decode(bytes, &mut out).map(|()| out).map_err(|bad| bad.offset)
        };
        assert_eq!(decode("GBK", b"ab\xcd\xf5"), Ok("ab王".to_owned()));
        assert_eq!(decode("GBK", b"ab\xcd"), Err(2));
        assert_eq!(decode("UTF-8", b"a\xff"), Err(1));
        assert_eq!(decode("ascii", "aü".as_bytes()), Err(1));
        assert_eq!(decode("UTF-16LE", b"a\0b"), Err(2));
    }
}
