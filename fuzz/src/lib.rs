//! What the fuzz targets have in common.

use hourdrop::document::{Document, Problems};
use hourdrop::format::decode::{Decoded, Decoder};
use hourdrop::format::spec::{FormatSpec, read_format};
use std::path::PathBuf;

/// A directory in memory where there is one, for parsers that read files.
#[must_use]
pub fn place() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("temporary directory")
}

/// The project's formats.
#[must_use]
pub fn formats() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../formats")
}

/// A format that is known to be good.
#[must_use]
pub fn format(text: &str) -> FormatSpec {
    let problems = Problems::default();
    let document = Document { name: "fuzz".to_owned(), text: text.to_owned() };
    read_format(document, "fuzz", &problems).unwrap_or_else(|| panic!("{:?}", problems.take()))
}

/// Decodes bytes at once and in pieces: the same must come out, with everything either a record or rejected.
///
/// The first byte chooses the format, the second the size of the pieces.
pub fn decode(formats: &[FormatSpec], data: &[u8]) {
    let [which, size, bytes @ ..] = data else { return };
    let spec = &formats[usize::from(*which) % formats.len()];
    let read = spec.read.as_ref().expect("a format that reads");
    let decoded = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut decoder = Decoder::new(&spec.dialect, read);
        let mut out = Decoded::new(read.schema());
        for piece in pieces {
            decoder.push(piece, &mut out);
        }
        decoder.finish(&mut out);
        (out, decoder.head_problem(), decoder.trailer_problem(), decoder.position())
    };
    let whole = decoded(&mut std::iter::once(bytes));
    let cut = decoded(&mut bytes.chunks(usize::from(*size) + 1));
    assert!(whole == cut, "other records when it comes in pieces of {}", usize::from(*size) + 1);
}
