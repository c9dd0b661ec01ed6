//! Tests of the decoder as a whole.

mod chunks;
mod files;
mod lines_and_quotes;
mod other_kinds;

use super::records::{MALFORMED, NOT_CLOSED, STRAY, STRAY_LATER, TOO_LONG};
use super::spec::tests::read_format;
use super::*;
use crate::record::{FieldKind, Record};

/// A decoder of a format given as text.
fn decoder(format: &str) -> (Decoder, Decoded) {
    let (dialect, read) = read_format(format).expect("format");
    (Decoder::new(&dialect, &read), Decoded::new(read.schema()))
}

/// Everything that comes out of `bytes`, fed in chunks of `chunk` bytes.
fn decode_in(format: &str, bytes: &[u8], chunk: usize) -> (Decoder, Decoded) {
    let (mut decoder, mut out) = decoder(format);
    for piece in bytes.chunks(chunk) {
        decoder.push(piece, &mut out);
    }
    decoder.finish(&mut out);
    (decoder, out)
}

fn decode(format: &str, bytes: &[u8]) -> (Decoder, Decoded) {
    decode_in(format, bytes, usize::MAX)
}

/// The fields of a record as texts; times in nanoseconds.
fn texts(record: Record<'_>) -> Vec<String> {
    let fields = &record.schema().fields;
    let text = |(index, field): (usize, &crate::record::SchemaField)| match field.kind {
        FieldKind::Time => record.time(index).map(|at| at.nanos().to_string()).unwrap_or_default(),
        FieldKind::Text | FieldKind::Number => String::from_utf8(record.field(index).to_vec()).expect("UTF-8"),
    };
    fields.iter().enumerate().map(text).collect()
}

fn rows(out: &Decoded) -> Vec<Vec<String>> {
    out.block.iter().map(texts).collect()
}

/// Line and reason of every reject.
fn rejects(out: &Decoded) -> Vec<(u64, &str)> {
    out.rejects.iter().map(|reject| (reject.origin.line, reject.reason.as_str())).collect()
}

/// A delimited format with so many text columns called `c1`, `c2`, ...
fn columns(keys: &str, read_keys: &str, count: usize) -> String {
    columns_with(keys, read_keys, &vec![""; count])
}

/// A format of columns with these settings.
fn columns_with(keys: &str, read_keys: &str, settings: &[&str]) -> String {
    let field = |(settings, at): (&&str, usize)| format!("{{ name = \"c{at}\", column = {at}{settings} }}");
    let fields: Vec<String> = settings.iter().zip(1..).map(field).collect();
    format!("kind = \"delimited\"\n{keys}\n[read]\n{read_keys}\nfields = [\n{} ]\n", fields.join(",\n"))
}

const QUOTED: &str = "quote = '\"'";
