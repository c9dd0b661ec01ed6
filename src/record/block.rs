//! A block of records: one arena of bytes, the end of every field in it, and where each record came from.
//!
//! ```text
//! arena  |1730599949|442018165999|"Müller"|1730599991|...
//! ends             10           22       31         41 ...   fields x records
//! ```
//! Text and number fields hold UTF-8 bytes. Time fields hold the 8 bytes of a [`UtcTime`] (nanoseconds, little
//! endian), parsed once when the record was decoded, or nothing. An absent field is an empty one.

use crate::domain::time::UtcTime;
use std::sync::Arc;

/// Bytes that are copied without looking at the length.
const FEW_BYTES: usize = 32;

/// What the bytes of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// UTF-8 text.
    Text,
    /// A decimal number as text, checked when it was decoded.
    Number,
    /// A point in time, 8 bytes.
    Time,
}

/// Name, kind and unit of one field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchemaField {
    /// The field's name in filters and formats.
    pub name: String,
    /// What its bytes are.
    pub kind: FieldKind,
    /// Unit of a number, such as `s` or `B`; empty when it has none.
    pub unit: String,
}

/// The fields of a source, in the order in which every record holds them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Schema {
    /// The fields.
    pub fields: Vec<SchemaField>,
}

impl Schema {
    /// Index of the field called `name`.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// Names of all fields, for suggestions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }
}

/// Where a record stood in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Origin {
    /// Number of the record, from 1, rejected ones counted.
    pub record: u64,
    /// Line on which it began, from 1.
    pub line: u64,
    /// Byte offset at which it began, from 0.
    pub byte: u64,
}

/// Records of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBlock {
    schema: Arc<Schema>,
    arena: Vec<u8>,
    ends: Vec<u32>,
    origins: Vec<Origin>,
}

impl RecordBlock {
    /// An empty block.
    #[must_use]
    pub const fn new(schema: Arc<Schema>) -> Self {
        Self { schema, arena: Vec::new(), ends: Vec::new(), origins: Vec::new() }
    }

    /// A block from its parts, as a frame holds them.
    ///
    /// # Panics
    /// When the numbers of fields and records do not fit together.
    #[must_use]
    pub fn from_parts(schema: Arc<Schema>, arena: Vec<u8>, ends: Vec<u32>, origins: Vec<Origin>) -> Self {
        assert_eq!(ends.len(), origins.len() * schema.fields.len(), "a block with missing fields");
        Self { schema, arena, ends, origins }
    }

    /// The fields of every record in it.
    #[must_use]
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Number of complete records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.origins.len()
    }

    /// True when it holds no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Bytes of all field values.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// The values of all complete records, one behind the other.
    #[must_use]
    pub fn arena(&self) -> &[u8] {
        self.arena.get(..self.ends().last().map_or(0, |end| *end as usize)).unwrap_or_default()
    }

    /// Where each field of the complete records ends in [`RecordBlock::arena`].
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        self.ends.get(..self.origins.len() * self.schema.fields.len()).unwrap_or_default()
    }

    /// Where the complete records came from.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// Forgets all records and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.ends.clear();
        self.origins.clear();
    }

    /// Appends the next field of the record under construction.
    pub fn push_field(&mut self, value: &[u8]) {
        self.arena.extend_from_slice(value);
        self.end_field();
    }

    /// Appends the first `length` bytes as the next field. Short fields are copied with what follows them, which is cut
    /// off again: a copy of fixed length is a few instructions.
    #[inline]
    pub fn push_start(&mut self, bytes: &[u8], length: usize) {
        match bytes.first_chunk::<FEW_BYTES>() {
            Some(few) if length <= FEW_BYTES => {
                let before = self.arena.len();
                self.arena.extend_from_slice(few);
                self.arena.truncate(before + length);
            }
            Some(_) | None => self.arena.extend_from_slice(bytes.get(..length).unwrap_or_default()),
        }
        self.end_field();
    }

    /// Appends the next field as a time; `None` is an empty field.
    #[inline]
    pub fn push_time(&mut self, at: Option<UtcTime>) {
        if let Some(at) = at {
            self.arena.extend_from_slice(&at.nanos().to_le_bytes());
        }
        self.end_field();
    }

    /// Ends the field whose bytes were appended to the arena.
    ///
    /// # Panics
    /// When the block holds 4 GiB: blocks are cut at about 256 KiB.
    #[inline]
    pub fn end_field(&mut self) {
        assert!(u32::try_from(self.arena.len()).is_ok(), "a block holds less than 4 GiB");
        #[expect(clippy::cast_possible_truncation, reason = "asserted in the line above")]
        self.ends.push(self.arena.len() as u32);
    }

    /// Completes the record under construction.
    ///
    /// # Panics
    /// When it does not have as many fields as the schema: the decoder is broken, and going on would shift columns.
    #[inline]
    pub fn finish_record(&mut self, origin: Origin) {
        self.origins.push(origin);
        assert_eq!(self.ends.len(), self.origins.len() * self.schema.fields.len(), "a record with missing fields");
    }

    /// Drops the fields of the record under construction: it turned out to be undecodable.
    pub fn abandon_record(&mut self) {
        self.ends.truncate(self.origins.len() * self.schema.fields.len());
        self.arena.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// The record at `index`.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        (index < self.len()).then_some(Record { block: self, index })
    }

    /// All records in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).map(|index| Record { block: self, index })
    }

    /// A block of its own that holds only this record.
    #[must_use]
    pub fn only(record: Record<'_>) -> Self {
        let mut block = Self::new(Arc::clone(&record.block.schema));
        block.push_record(record);
        block
    }

    /// As [`RecordBlock::only`], for a record whose true place is known from elsewhere.
    #[must_use]
    pub fn only_with_origin(record: Record<'_>, origin: Origin) -> Self {
        let mut block = Self::only(record);
        block.origins = vec![origin];
        block
    }

    /// Appends a copy of a record of the same schema.
    pub fn push_record(&mut self, record: Record<'_>) {
        for index in 0..self.schema.fields.len() {
            self.push_field(record.field(index));
        }
        self.finish_record(record.origin());
    }
}

/// A view of one record in a block.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    block: &'a RecordBlock,
    index: usize,
}

impl<'a> Record<'a> {
    /// The bytes of the field at `index`; empty when the field is absent.
    #[must_use]
    #[inline]
    pub fn field(self, index: usize) -> &'a [u8] {
        let ends = &self.block.ends;
        let at = self.index * self.block.schema.fields.len() + index;
        let start = at.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| *end as usize);
        let end = ends.get(at).map_or(start, |end| *end as usize);
        self.block.arena.get(start..end).unwrap_or_default()
    }

    /// The time field at `index`; `None` when it is empty.
    #[must_use]
    #[inline]
    pub fn time(self, index: usize) -> Option<UtcTime> {
        let bytes = <[u8; 8]>::try_from(self.field(index)).ok()?;
        Some(UtcTime::from_nanos(i64::from_le_bytes(bytes)))
    }

    /// Where the record came from.
    #[must_use]
    pub fn origin(self) -> Origin {
        self.block.origins.get(self.index).copied().unwrap_or_default()
    }

    /// The fields the record has.
    #[must_use]
    pub fn schema(self) -> &'a Schema {
        &self.block.schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Arc<Schema> {
        let field = |name: &str, kind| SchemaField { name: name.to_owned(), kind, unit: String::new() };
        Arc::new(Schema { fields: vec![field("caller", FieldKind::Text), field("at", FieldKind::Time)] })
    }

    #[test]
    fn fields_come_back_as_they_were_pushed() {
        let mut block = RecordBlock::new(schema());
        block.push_field(b"8613");
        block.push_time(Some(UtcTime::from_nanos(5)));
        block.finish_record(Origin { record: 1, line: 1, byte: 0 });
        block.push_field(b"abandoned");
        block.abandon_record();
        block.push_field(b"");
        block.push_time(None);
        block.finish_record(Origin { record: 3, line: 4, byte: 99 });
        let seen: Vec<_> = block.iter().map(|r| (r.field(0), r.time(1), r.origin().line)).collect();
        assert_eq!(seen, [(&b"8613"[..], Some(UtcTime::from_nanos(5)), 1), (&b""[..], None, 4)]);
        assert_eq!(block.schema().index_of("at"), Some(1));
    }
}
