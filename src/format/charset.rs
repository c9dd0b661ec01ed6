//! Charsets of partner files.

use encoding_rs::Encoding;

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
