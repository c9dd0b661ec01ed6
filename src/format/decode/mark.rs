//! The byte order mark at the start of a file.

use crate::format::charset::Charset;

/// A mark, and the charset that it stands for.
struct Mark {
    bytes: &'static [u8],
    name: &'static str,
    fits: fn(Charset) -> bool,
}

const MARKS: [Mark; 4] = [
    Mark { bytes: b"\xEF\xBB\xBF", name: "UTF-8", fits: |charset| matches!(charset, Charset::Utf8 | Charset::Ascii) },
    Mark { bytes: b"\xFF\xFE", name: "UTF-16LE", fits: |charset| matches!(charset, Charset::Utf16Le) },
    Mark { bytes: b"\xFE\xFF", name: "UTF-16BE", fits: |charset| matches!(charset, Charset::Utf16Be) },
    Mark { bytes: b"\x84\x31\x95\x33", name: "GB18030", fits: is_gb },
];

fn is_gb(charset: Charset) -> bool {
    matches!(charset, Charset::Table(table) if table == encoding_rs::GB18030 || table == encoding_rs::GBK)
}

/// How many bytes the mark at the start of a file has. `None` when that cannot be told before more bytes arrive; an
/// error when it is the mark of another charset than the declared one.
pub(super) fn at_start(window: &[u8], charset: Charset, at_end: bool) -> Option<Result<usize, String>> {
    for mark in MARKS {
        if !at_end && window.len() < mark.bytes.len() && mark.bytes.starts_with(window) {
            return None;
        }
        if window.starts_with(mark.bytes) {
            let name = mark.name;
            let problem = || format!("the file begins with the mark of {name}, which is not the declared charset");
            return Some(if (mark.fits)(charset) { Ok(mark.bytes.len()) } else { Err(problem()) });
        }
    }
    Some(Ok(0))
}
