//! The charset of a sample.

use crate::format::charset::Charset;
use std::borrow::Cow;

/// A charset with its name in a format file, and why it may be another one.
pub(super) struct GuessedCharset {
    pub(super) charset: Charset,
    pub(super) name: &'static str,
    pub(super) note: Option<String>,
}

/// Guesses by the mark, by zero bytes, by validity, in this order.
pub(super) fn guess(sample: &[u8]) -> Result<GuessedCharset, String> {
    let sure = |charset, name| Ok(GuessedCharset { charset, name, note: None });
    if sample.starts_with(b"\xFF\xFE") {
        return sure(Charset::Utf16Le, "UTF-16LE");
    }
    if sample.starts_with(b"\xFE\xFF") {
        return sure(Charset::Utf16Be, "UTF-16BE");
    }
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), sample.len() / 2);
    if odd * 3 > half && even * 20 < half {
        return sure(Charset::Utf16Le, "UTF-16LE");
    }
    if even * 3 > half && odd * 20 < half {
        return sure(Charset::Utf16Be, "UTF-16BE");
    }
    let controls = sample.iter().filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()).count();
    if controls * 20 > sample.len() {
        return Err("the sample is not text".to_owned());
    }
    match std::str::from_utf8(sample) {
        Ok(_) => sure(Charset::Utf8, "UTF-8"),
        // The sample can end within a character.
        Err(error) if error.error_len().is_none() => sure(Charset::Utf8, "UTF-8"),
        Err(_) => Ok(without_unicode(sample)),
    }
}

/// Bytes above 127 come in pairs in the charsets of East Asia and mostly alone in those of Europe.
fn without_unicode(sample: &[u8]) -> GuessedCharset {
    let runs: Vec<usize> = sample.split(u8::is_ascii).map(<[u8]>::len).filter(|length| *length > 0).collect();
    let alone = runs.iter().filter(|length| **length == 1).count();
    let candidates: &[(&'static str, &str)] = if alone * 2 > runs.len() {
        &[("windows-1252", "it is not UTF-8; any other European charset is possible")]
    } else {
        &[
            ("GB18030", "it is not UTF-8; Big5, Shift_JIS or another charset is possible"),
            ("Big5", "it is not UTF-8; another charset is possible"),
            ("Shift_JIS", "it is not UTF-8; another charset is possible"),
            ("EUC-KR", "it is not UTF-8; another charset is possible"),
            ("windows-1252", "it is not UTF-8; any other charset is possible"),
        ]
    };
    let fits = |name: &str| match Charset::parse(name) {
        Some(Charset::Table(table)) => {
            // The last two bytes can be a part of a character.
            let whole = sample.get(..sample.len().saturating_sub(3)).unwrap_or_default();
            table.decode_without_bom_handling_and_without_replacement(whole).is_some()
        }
        Some(_) | None => false,
    };
    let (name, note) = candidates
        .iter()
        .find(|(name, _)| fits(name))
        .copied()
        .unwrap_or(("windows-1252", "it is not UTF-8; any other charset is possible"));
    let charset = Charset::parse(name).unwrap_or(Charset::Utf8);
    GuessedCharset { charset, name, note: Some(format!("charset: {note}")) }
}

impl GuessedCharset {
    /// The sample without a last line that was cut off.
    pub(super) fn whole_lines<'a>(&self, sample: &'a [u8], cut: bool) -> &'a [u8] {
        if !cut {
            return sample;
        }
        let unit = match self.charset {
            Charset::Utf16Le | Charset::Utf16Be => 2,
            Charset::Utf8 | Charset::Ascii | Charset::Table(_) => 1,
        };
        let last = |byte: u8| {
            let mut units = sample.chunks_exact(unit).enumerate().rev();
            units
                .find(|(_, bytes)| bytes.contains(&byte) && bytes.iter().all(|b| *b == byte || *b == 0))
                .map(|(index, _)| (index + 1) * unit)
        };
        last(b'\n').or_else(|| last(b'\r')).and_then(|end| sample.get(..end)).unwrap_or(sample)
    }

    /// The sample as text.
    pub(super) fn text<'a>(&self, sample: &'a [u8]) -> Cow<'a, str> {
        let encoding = match self.charset {
            Charset::Utf8 | Charset::Ascii => encoding_rs::UTF_8,
            Charset::Utf16Le => encoding_rs::UTF_16LE,
            Charset::Utf16Be => encoding_rs::UTF_16BE,
            Charset::Table(table) => table,
        };
        encoding.decode(sample).0
    }
}
