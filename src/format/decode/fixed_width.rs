//! Fixed-width records: fields at positions counted in bytes of the line.

use super::spec::{ReadSpec, Source};
use super::text::TextReader;
use super::value::{FieldFault, ValueFault, ValueReader};
use crate::format::dialect::Dialect;
use crate::record::{FieldKind, RecordBlock};
use std::ops::Range;

/// Reads fixed-width records.
#[derive(Debug, Clone)]
pub(super) struct FixedWidth {
    ranges: Vec<Range<usize>>,
    text: TextReader,
    line_bytes: Option<usize>,
}

impl FixedWidth {
    pub(super) fn new(dialect: &Dialect, read: &ReadSpec) -> Self {
        let ranges = read
            .fields
            .iter()
            .map(|field| match &field.source {
                Source::Bytes(range) => range.clone(),
                Source::Column(_) | Source::Named(_) | Source::Path(_) => 0..0,
            })
            .collect();
        let text = TextReader::new(dialect.charset, &dialect.unmappable);
        Self { ranges, text, line_bytes: dialect.line_bytes }
    }

    /// Appends the record in `raw`, a line without its end. A line can be short only where a text was: a number or a
    /// time of which a part is missing would be a wrong one.
    pub(super) fn push(
        &mut self,
        raw: &[u8],
        values: &mut [ValueReader],
        block: &mut RecordBlock,
    ) -> Result<(), String> {
        if let Some(expected) = self.line_bytes.filter(|expected| *expected != raw.len()) {
            return Err(format!("the line has {} bytes, expected {expected}", raw.len()));
        }
        for (value, range) in values.iter_mut().zip(&self.ranges) {
            let piece = raw.get(range.start.min(raw.len())..range.end.min(raw.len())).unwrap_or_default();
            let cut_short = !piece.is_empty() && piece.len() < range.len();
            let fault = if cut_short && value.kind.field_kind() != FieldKind::Text {
                Some(ValueFault::CutShort)
            } else {
                let text = self.text.decode(piece);
                if text.malformed { Some(ValueFault::Charset) } else { value.push(text.text.as_bytes(), block).err() }
            };
            if let Some(fault) = fault {
                let fault = FieldFault { field: &value.name, fault };
                return Err(format!("{fault} (bytes {}-{})", range.start + 1, range.end));
            }
        }
        Ok(())
    }
}
