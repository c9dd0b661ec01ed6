//! A block of records: bytes, the place of every field in them, and where each record came from.
//!
//! ```text
//! bytes   442018165999,"Müller",2024-11-03T01:59:09Z,1.50\n........    the line as it stood, and a time behind it
//! spans   0..12  14..21  55..63  44..48                              fields x records
//! ```
//! Text and number fields hold UTF-8 bytes. Time fields hold the 8 bytes of a [`UtcTime`] (nanoseconds, little
//! endian), parsed once when the record was decoded, or nothing. An absent field is an empty one. Where a record was a
//! line, the line is copied once and its fields are places in it; what lies between them is nobody's.

mod spare;

use crate::domain::time::UtcTime;
use spare::{BlockMemory, SpareMemory};
use std::ops::Range;
use std::sync::Arc;

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

/// Where a field lies in the bytes of its block.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// Bytes of a time.
const TIME_BYTES: usize = 8;

impl Span {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a block holds less than 4 GiB")]
    const fn of(place: Range<usize>) -> Self {
        Self { start: place.start as u32, end: place.end as u32 }
    }

    /// The place of a part of what lies in it.
    #[inline]
    const fn part(self, part: Range<usize>) -> Self {
        let start = self.start as usize;
        Self::of(start + part.start..start + part.end)
    }
}

/// Records of one source.
#[derive(Debug, Clone)]
pub struct RecordBlock {
    schema: Arc<Schema>,
    arena: Vec<u8>,
    spans: Vec<Span>,
    origins: Vec<Origin>,
    /// Bytes of the complete records.
    complete: usize,
    /// Where its memory goes when it is dropped.
    spare: Option<Arc<SpareMemory>>,
}

impl Drop for RecordBlock {
    fn drop(&mut self) {
        if let Some(spare) = self.spare.take() {
            self.clear();
            let (arena, spans) = (std::mem::take(&mut self.arena), std::mem::take(&mut self.spans));
            spare.give(BlockMemory { arena, spans, origins: std::mem::take(&mut self.origins) });
        }
    }
}

impl RecordBlock {
    /// An empty block.
    #[must_use]
    pub const fn new(schema: Arc<Schema>) -> Self {
        Self { schema, arena: Vec::new(), spans: Vec::new(), origins: Vec::new(), complete: 0, spare: None }
    }

    /// An empty block of the same schema with room for as much as this one holds, in the memory of one that was dropped
    /// where there is any: this one and those made of it leave theirs to each other.
    #[must_use]
    pub fn another(&mut self) -> Self {
        let spare = Arc::clone(self.spare.get_or_insert_default());
        let BlockMemory { mut arena, mut spans, mut origins } = spare.take().unwrap_or_default();
        // Blocks of a source are much alike: a little more than this one holds, or those that are longer would double theirs.
        let room = |held: usize| held + held / 8;
        arena.reserve_exact(room(self.arena.len()));
        spans.reserve_exact(room(self.spans.len()));
        origins.reserve_exact(room(self.origins.len()));
        Self { schema: Arc::clone(&self.schema), arena, spans, origins, complete: 0, spare: Some(spare) }
    }

    /// A block of values that lie one behind the other in `arena`, with the length of each, as a frame holds them.
    ///
    /// # Panics
    /// When the numbers of fields and records or the lengths do not fit together.
    #[must_use]
    pub fn from_parts(
        schema: Arc<Schema>,
        arena: Vec<u8>,
        lengths: impl IntoIterator<Item = u32>,
        origins: Vec<Origin>,
    ) -> Self {
        let mut end = 0;
        let spans = lengths.into_iter().map(|length| {
            let start = end;
            end += length;
            Span { start, end }
        });
        let spans: Vec<Span> = spans.collect();
        assert_eq!(spans.len(), origins.len() * schema.fields.len(), "a block with missing fields");
        assert_eq!(end as usize, arena.len(), "a block with bytes that are no field's");
        Self { schema, complete: arena.len(), arena, spans, origins, spare: None }
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
    pub fn bytes(&self) -> usize {
        self.lengths().map(|length| length as usize).sum()
    }

    /// The length of each field of the complete records.
    pub fn lengths(&self) -> impl Iterator<Item = u32> {
        self.complete_spans().iter().map(|span| span.end - span.start)
    }

    /// Appends the values of all complete records, one behind the other.
    pub fn append_values(&self, out: &mut Vec<u8>) {
        out.reserve(self.complete);
        let mut run = 0..0;
        for span in self.complete_spans() {
            let (start, end) = (span.start as usize, span.end as usize);
            if start != run.end {
                append_start(self.arena.get(run.start..).unwrap_or_default(), run.len(), out);
                run.start = start;
            }
            run.end = end;
        }
        append_start(self.arena.get(run.start..).unwrap_or_default(), run.len(), out);
    }

    fn complete_spans(&self) -> &[Span] {
        self.spans.get(..self.origins.len() * self.schema.fields.len()).unwrap_or_default()
    }

    /// Where the complete records came from.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// Forgets all records and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.spans.clear();
        self.origins.clear();
        self.complete = 0;
    }

    /// Appends the next field of the record under construction.
    pub fn push_field(&mut self, value: &[u8]) {
        let range = self.push_text(value);
        self.push_place(range);
    }

    /// Appends the next field as a time; `None` is an empty field.
    #[inline]
    pub fn push_time(&mut self, at: Option<UtcTime>) {
        let bytes = at.map(|at| at.nanos().to_le_bytes());
        let range = self.push_text(bytes.as_ref().map_or(&[], <[u8; 8]>::as_slice));
        self.push_place(range);
    }

    /// Appends text in which fields of the record under construction lie, and says where it lies itself.
    ///
    /// # Panics
    /// When the block holds 4 GiB: blocks are cut at about 512 KiB.
    #[inline]
    pub fn push_text(&mut self, text: &[u8]) -> Range<u32> {
        let start = self.arena.len();
        self.arena.extend_from_slice(text);
        assert!(u32::try_from(self.arena.len()).is_ok(), "a block holds less than 4 GiB");
        #[expect(clippy::cast_possible_truncation, reason = "asserted in the line above")]
        let range = start as u32..self.arena.len() as u32;
        range
    }

    /// Appends lines in which fields of the next records lie, and says where they begin. They stay when a record is
    /// abandoned.
    ///
    /// # Panics
    /// As [`RecordBlock::push_text`].
    pub fn push_lines(&mut self, lines: &[u8]) -> u32 {
        let start = self.push_text(lines).start;
        self.complete = self.arena.len();
        start
    }

    /// Makes places in text that was pushed the next fields of the record under construction.
    #[inline]
    pub fn push_places(&mut self, places: impl Iterator<Item = Range<u32>>) {
        self.spans.extend(places.map(|place| Span { start: place.start, end: place.end }));
    }

    /// Makes a place in text that was pushed the next field of the record under construction.
    #[inline]
    pub fn push_place(&mut self, place: Range<u32>) {
        self.spans.push(Span { start: place.start, end: place.end });
    }

    /// Completes the record under construction.
    ///
    /// # Panics
    /// When it does not have as many fields as the schema: the decoder is broken, and going on would shift columns.
    #[inline]
    pub fn finish_record(&mut self, origin: Origin) {
        self.origins.push(origin);
        self.complete = self.arena.len();
        assert_eq!(self.spans.len(), self.origins.len() * self.schema.fields.len(), "a record with missing fields");
    }

    /// Drops the fields of the record under construction: it turned out to be undecodable.
    pub fn abandon_record(&mut self) {
        self.spans.truncate(self.origins.len() * self.schema.fields.len());
        self.arena.truncate(self.complete);
    }

    /// Looks at the text of a field in all records from `first` on: `read` is given bytes that begin with it, and its
    /// length, and says which part of it is the value. Where it finds a fault instead, `fault` learns of which record, and
    /// the text stays.
    #[inline]
    pub fn revise_texts<F>(
        &mut self,
        first: usize,
        field: usize,
        mut read: impl FnMut(&[u8], usize) -> Result<Range<usize>, F>,
        mut fault: impl FnMut(usize, F),
    ) {
        let fields = self.schema.fields.len();
        let spans = self.spans.get_mut(first * fields + field..).unwrap_or_default().iter_mut().step_by(fields);
        for (count, span) in spans.enumerate() {
            let length = (span.end - span.start) as usize;
            match read(self.arena.get(span.start as usize..).unwrap_or_default(), length) {
                Ok(part) => *span = span.part(part),
                Err(found) => fault(first + count, found),
            }
        }
    }

    /// The same for a field that is a time: `read` makes it of the text; `None` is an empty field.
    ///
    /// # Panics
    /// As [`RecordBlock::push_text`].
    #[inline]
    pub fn make_times<F>(
        &mut self,
        first: usize,
        field: usize,
        mut read: impl FnMut(&[u8]) -> Result<Option<UtcTime>, F>,
        mut fault: impl FnMut(usize, F),
    ) {
        let fields = self.schema.fields.len();
        let texts_end = self.arena.len();
        self.arena.resize(texts_end + self.len().saturating_sub(first) * TIME_BYTES, 0);
        assert!(u32::try_from(self.arena.len()).is_ok(), "a block holds less than 4 GiB");
        let (texts, times) = self.arena.split_at_mut(texts_end);
        let spans = self.spans.get_mut(first * fields + field..).unwrap_or_default().iter_mut().step_by(fields);
        for ((count, span), time) in spans.enumerate().zip(times.as_chunks_mut::<TIME_BYTES>().0) {
            match read(texts.get(span.start as usize..span.end as usize).unwrap_or_default()) {
                Ok(Some(at)) => {
                    *time = at.nanos().to_le_bytes();
                    *span = Span::of(texts_end + count * TIME_BYTES..texts_end + (count + 1) * TIME_BYTES);
                }
                Ok(None) => *span = span.part(0..0),
                Err(found) => fault(first + count, found),
            }
        }
        self.complete = self.arena.len();
    }

    /// Keeps of the records from `first` on those of which `keep` says so.
    pub fn retain(&mut self, first: usize, keep: impl Fn(usize) -> bool) {
        let fields = self.schema.fields.len();
        let mut kept = first;
        for index in first..self.len() {
            if keep(index) {
                self.spans.copy_within(index * fields..(index + 1) * fields, kept * fields);
                self.origins.copy_within(index..=index, kept);
                kept += 1;
            }
        }
        self.spans.truncate(kept * fields);
        self.origins.truncate(kept);
    }

    /// The record at `index`.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        if index >= self.len() {
            return None;
        }
        let fields = self.schema.fields.len();
        let spans = self.spans.get(index * fields..(index + 1) * fields)?;
        Some(Record { block: self, index, spans })
    }

    /// All records in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
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

/// Blocks are the same when their records are, however their bytes lie.
impl PartialEq for RecordBlock {
    fn eq(&self, other: &Self) -> bool {
        let fields = self.schema.fields.len();
        let same = |(one, two): (Record<'_>, Record<'_>)| (0..fields).all(|at| one.field(at) == two.field(at));
        self.schema == other.schema && self.origins == other.origins && self.iter().zip(other.iter()).all(same)
    }
}

impl Eq for RecordBlock {}

/// Bytes that are copied without looking at the length.
const FEW_BYTES: usize = 48;

/// Appends the first `length` bytes. A few are copied with what follows them, which is cut off again: a copy of fixed
/// length is a few instructions.
#[inline]
fn append_start(bytes: &[u8], length: usize, out: &mut Vec<u8>) {
    match bytes.first_chunk::<FEW_BYTES>() {
        Some(few) if length <= FEW_BYTES => {
            let before = out.len();
            out.extend_from_slice(few);
            out.truncate(before + length);
        }
        Some(_) | None => out.extend_from_slice(bytes.get(..length).unwrap_or_default()),
    }
}

/// A view of one record in a block.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    block: &'a RecordBlock,
    index: usize,
    spans: &'a [Span],
}

impl<'a> Record<'a> {
    /// The bytes of the field at `index`; empty when the field is absent.
    #[must_use]
    #[inline]
    pub fn field(self, index: usize) -> &'a [u8] {
        let (bytes, length) = self.field_start(index);
        bytes.get(..length).unwrap_or_default()
    }

    /// The bytes of the block from the field at `index` on, and the length of the field: what lies behind it may be
    /// copied along and cut off.
    #[must_use]
    #[inline]
    pub fn field_start(self, index: usize) -> (&'a [u8], usize) {
        let Some(span) = self.spans.get(index) else { return (&[], 0) };
        let bytes = self.block.arena.get(span.start as usize..).unwrap_or_default();
        (bytes, (span.end - span.start) as usize)
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

    #[test]
    fn fields_are_places_in_a_line_or_lie_one_behind_the_other() {
        let origin = Origin { record: 1, line: 1, byte: 0 };
        let mut in_lines = RecordBlock::new(schema());
        let mut behind = RecordBlock::new(schema());
        for text in ["a", "", "a longer name of more than thirty-two bytes"] {
            let line = format!("at;{text};left out");
            let start = in_lines.push_text(line.as_bytes()).start + 3;
            in_lines.push_place(start..start + u32::try_from(text.len()).expect("short"));
            behind.push_field(text.as_bytes());
            for block in [&mut in_lines, &mut behind] {
                block.push_time(Some(UtcTime::from_nanos(7)));
                block.finish_record(origin);
            }
        }
        in_lines.push_text(b"a record under construction");
        assert_eq!(in_lines, behind);
        let mut values = Vec::new();
        in_lines.append_values(&mut values);
        let again = RecordBlock::from_parts(schema(), values.clone(), in_lines.lengths(), behind.origins().to_vec());
        assert_eq!(again, behind);
        let mut same = Vec::new();
        behind.append_values(&mut same);
        assert_eq!((same.len(), behind.bytes()), (values.len(), values.len()));
        assert_eq!(same, values);
        behind.push_field(b"b");
        behind.push_time(None);
        behind.finish_record(origin);
        assert_ne!(in_lines, behind);
    }
}
