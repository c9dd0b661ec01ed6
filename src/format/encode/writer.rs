//! Lays values out by the kind of file.

use super::delimited::DelimitedWriter;
use super::fault::CellFault;
use super::fixed_width::{FixedShape, FixedWriter};
use super::json_lines::JsonWriter;
use super::line_end_bytes;
use super::plain_line::{Laid, LineChecker, PlainLine};
use crate::format::charset::Charset;
use crate::format::dialect::{Dialect, FormatKind};

/// Lays values out by the kind of file.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    kind: KindWriter,
    /// What stands behind the last value of a line.
    pub line_end: Vec<u8>,
    /// Finds what needs protection in a line that was laid, where that can be found.
    checker: Option<LineChecker>,
    /// The line that is laid.
    pub line: PlainLine,
}

#[derive(Debug, Clone)]
enum KindWriter {
    Delimited(Box<DelimitedWriter>),
    Fixed(Box<FixedWriter>),
    Json(Box<JsonWriter>),
}

impl Writer {
    pub fn new(dialect: &Dialect) -> Self {
        let kind = match dialect.kind {
            FormatKind::Delimited => KindWriter::Delimited(Box::new(DelimitedWriter::new(dialect))),
            FormatKind::Fixed => KindWriter::Fixed(Box::new(FixedWriter::new(dialect))),
            FormatKind::JsonLines => KindWriter::Json(Box::new(JsonWriter::new(dialect))),
        };
        let is_utf8 = dialect.charset == Charset::Utf8;
        let checker = match &kind {
            _ if !dialect.charset.is_ascii_compatible() => None,
            KindWriter::Delimited(writer) => writer.checker(is_utf8),
            KindWriter::Fixed(_) => LineChecker::new(None, [None, None], is_utf8),
            KindWriter::Json(_) => LineChecker::new(Some(b'"'), [Some(b'\\'), None], is_utf8),
        };
        let mut line_end = Vec::new();
        if dialect.kind == FormatKind::JsonLines {
            let brace = dialect.charset.append("}", &dialect.unmappable, &mut line_end);
            assert!(brace.is_ok(), "a brace that is in the charset");
        }
        line_end.extend(line_end_bytes(dialect));
        Self { kind, line_end, checker, line: PlainLine::new() }
    }

    /// From now on every value is put by itself.
    #[cfg(test)]
    pub const fn lays_none(&mut self) {
        self.checker = None;
    }

    /// True when lines can be laid first and looked at afterwards.
    pub const fn lays_plain_lines(&self) -> bool {
        self.checker.is_some()
    }

    /// The line that was laid, when it holds so many marks and nothing else that needs protection.
    #[inline]
    pub fn plain_line(&mut self, marks: usize) -> Option<&[u8]> {
        self.line.when_plain(self.checker?, marks)
    }

    /// How the value of a cell is laid behind its lead. `alone`: the cell is the only one of its line.
    pub const fn laid(&self, lead: &[u8], alone: bool, number: bool, shape: Option<FixedShape>) -> Laid {
        match (&self.kind, shape, lead) {
            (KindWriter::Delimited(_), ..) if alone => Laid::Alone,
            (KindWriter::Delimited(_), _, [separator]) => Laid::Behind(*separator),
            (KindWriter::Fixed(_), Some(shape), _) => Laid::Padded { shape, number },
            (KindWriter::Delimited(_) | KindWriter::Fixed(_), ..) => Laid::Bare,
            (KindWriter::Json(_), ..) if number => Laid::Number,
            (KindWriter::Json(_), ..) => Laid::Quoted,
        }
    }

    /// How many marks of the checker a cell adds to its line.
    pub fn marks(&self, laid: &Laid, lead: &[u8]) -> usize {
        let in_lead = self.checker.map_or(0, |checker| checker.marks(lead));
        in_lead + if matches!(laid, Laid::Quoted) { 2 } else { 0 }
    }

    /// What stands before the value of the cell at `index`.
    pub fn lead(&mut self, index: usize, name: &str) -> Result<Vec<u8>, CellFault> {
        let mut lead = Vec::new();
        match &mut self.kind {
            KindWriter::Delimited(writer) if index > 0 => writer.put_separator(&mut lead),
            KindWriter::Delimited(_) | KindWriter::Fixed(_) => {}
            KindWriter::Json(writer) => writer.put_key(index == 0, name, &mut lead)?,
        }
        Ok(lead)
    }

    /// Appends a value by itself, protected as it needs.
    pub fn put(&mut self, laid: &Laid, value: &[u8], out: &mut Vec<u8>) -> Result<(), CellFault> {
        match (&mut self.kind, laid) {
            (KindWriter::Delimited(writer), laid) => writer.put(value, matches!(laid, Laid::Alone), out),
            (KindWriter::Fixed(writer), Laid::Padded { shape, number }) => writer.put(shape, *number, value, out),
            (KindWriter::Fixed(_), _) => Ok(()),
            (KindWriter::Json(writer), Laid::Number) => writer.put_number(value, out),
            (KindWriter::Json(writer), _) => writer.put_text(value, out),
        }
    }
}
