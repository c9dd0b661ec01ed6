//! What intake puts into one frame of the spool: a batch of records with the positions before and after it, or the
//! note that an input file is finished. Position and data lie in the same frame, so they cannot disagree.
//!
//! ```text
//! kind 1, batch     source  input  before(3)  after(3)  prefix crc  accepted_at  only_feed  retried  head  rejects  block
//! kind 4, finished  source  input  bytes  modified  blake3  records  rejects  accepted_at
//! kind 2, finished  the same with sha256, by releases before
//! kind 3, lines     see [`lines`]
//! ```
//! Numbers are LEB128 varints (signed ones zigzag), texts and byte strings carry their length in front.

pub mod lines;

use super::block::{FieldKind, Origin, RecordBlock, Schema, SchemaField};
use crate::domain::ids::{HashedBy, InputHash};
use crate::domain::time::UtcTime;
use lines::InputLines;
use std::sync::Arc;

/// Frame kind of [`AcceptedBatch`].
pub const KIND_BATCH: u8 = 1;
/// Frame kind of [`InputFinished`] with a hash by SHA-256.
pub const KIND_FINISHED_SHA256: u8 = 2;
/// Frame kind of [`InputFinished`] with a hash by BLAKE3.
pub const KIND_FINISHED: u8 = 4;

/// A record that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Where it stood.
    pub origin: Origin,
    /// Why, without any value of it.
    pub reason: String,
    /// Its bytes as received, at most 1 MiB.
    pub raw: Vec<u8>,
}

/// Records accepted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedBatch {
    /// The source.
    pub source: String,
    /// The input file (or `stdin`) they came from.
    pub input: String,
    /// Position in the input before the first record: number of records and lines, byte offset.
    pub before: Origin,
    /// Position behind the last record.
    pub after: Origin,
    /// CRC32C of the input's bytes up to `after`: shows whether the file is still the same when reading goes on.
    pub prefix_crc: u32,
    /// When they were accepted.
    pub accepted_at: UtcTime,
    /// Set when quarantined records come back for one feed alone.
    pub only_feed: Option<String>,
    /// Quarantine entries that this batch brings back.
    pub retried: Vec<i64>,
    /// What the input begins with, when only that tells which column is which and there are rejects.
    pub head: Vec<u8>,
    /// The records.
    pub block: RecordBlock,
    /// What could not be decoded between `before` and `after`.
    pub rejects: Vec<Reject>,
    /// Set when the input itself is kept: its bytes between `before` and `after` need not be.
    pub lines: Option<Box<InputLines>>,
}

/// An input file was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFinished {
    /// The source.
    pub source: String,
    /// The input file.
    pub input: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Time of its last change, nanoseconds since the epoch.
    pub modified_nanos: i64,
    /// Hash of its bytes.
    pub hash: InputHash,
    /// Records accepted from it.
    pub records: u64,
    /// Records that could not be decoded.
    pub rejects: u64,
    /// When.
    pub accepted_at: UtcTime,
}

/// The content of a spool frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// Records.
    Batch(AcceptedBatch),
    /// The end of an input file.
    Finished(InputFinished),
}

/// A frame whose checksum is right but whose content cannot be read: written by another version, or a defect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("frame content is not readable: {what} at byte {at}")]
pub struct UnreadableFrame {
    /// What was expected there.
    pub what: &'static str,
    /// Byte offset in the payload.
    pub at: usize,
}

impl AcceptedBatch {
    /// Appends the frame payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_place(out);
        put_bytes(out, self.only_feed.as_deref().unwrap_or_default().as_bytes());
        put_number(out, self.retried.len() as u64);
        self.retried.iter().for_each(|id| put_signed(out, *id));
        put_bytes(out, &self.head);
        put_number(out, self.rejects.len() as u64);
        for reject in &self.rejects {
            put_origin(out, reject.origin);
            put_bytes(out, reject.reason.as_bytes());
            put_bytes(out, &reject.raw);
        }
        write_block(&self.block, out);
    }

    /// Appends what every batch begins with.
    fn write_place(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.source.as_bytes());
        put_bytes(out, self.input.as_bytes());
        put_origin(out, self.before);
        put_origin(out, self.after);
        put_number(out, u64::from(self.prefix_crc));
        put_signed(out, self.accepted_at.nanos());
    }
}

impl InputFinished {
    /// The kind of its frame.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self.hash.by {
            HashedBy::Blake3 => KIND_FINISHED,
            HashedBy::Sha256 => KIND_FINISHED_SHA256,
        }
    }

    /// Appends the frame payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.source.as_bytes());
        put_bytes(out, self.input.as_bytes());
        put_number(out, self.bytes);
        put_signed(out, self.modified_nanos);
        out.extend_from_slice(&self.hash.digest);
        put_number(out, self.records);
        put_number(out, self.rejects);
        put_signed(out, self.accepted_at.nanos());
    }
}

impl Accepted {
    /// Reads a frame payload.
    ///
    /// # Errors
    /// [`UnreadableFrame`] when the bytes are not what this version writes.
    pub fn read(kind: u8, payload: &[u8]) -> Result<Self, UnreadableFrame> {
        let mut reader = Reader { bytes: payload, at: 0 };
        match kind {
            KIND_BATCH => reader.batch().map(Self::Batch),
            KIND_FINISHED => reader.finished(HashedBy::Blake3).map(Self::Finished),
            KIND_FINISHED_SHA256 => reader.finished(HashedBy::Sha256).map(Self::Finished),
            _ => Err(UnreadableFrame { what: "a known frame kind", at: 0 }),
        }
    }
}

/// Writes a block on its own, as it stands in a batch.
pub fn write_block(block: &RecordBlock, out: &mut Vec<u8>) {
    let schema = block.schema();
    put_number(out, schema.fields.len() as u64);
    for field in &schema.fields {
        put_bytes(out, field.name.as_bytes());
        put_number(
            out,
            match field.kind {
                FieldKind::Text => 0,
                FieldKind::Number => 1,
                FieldKind::Time => 2,
            },
        );
        put_bytes(out, field.unit.as_bytes());
    }
    out.reserve(block.len() * (schema.fields.len() + 8));
    put_number(out, block.len() as u64);
    let mut last = Origin::default();
    for origin in block.origins() {
        put_number(out, origin.record.wrapping_sub(last.record));
        put_number(out, origin.line.wrapping_sub(last.line));
        put_number(out, origin.byte.wrapping_sub(last.byte));
        last = *origin;
    }
    for length in block.lengths() {
        put_number(out, u64::from(length));
    }
    block.append_values(out);
}

/// Reads a block that [`write_block`] wrote.
///
/// # Errors
/// [`UnreadableFrame`] when the bytes are something else.
pub fn read_block(bytes: &[u8]) -> Result<RecordBlock, UnreadableFrame> {
    Reader { bytes, at: 0 }.block()
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_origin(out: &mut Vec<u8>, origin: Origin) {
    put_number(out, origin.record);
    put_number(out, origin.line);
    put_number(out, origin.byte);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    const fn fault(&self, what: &'static str) -> UnreadableFrame {
        UnreadableFrame { what, at: self.at }
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], UnreadableFrame> {
        let end = self.at.checked_add(length).ok_or(self.fault(what))?;
        let bytes = self.bytes.get(self.at..end).ok_or(self.fault(what))?;
        self.at = end;
        Ok(bytes)
    }

    fn number(&mut self, what: &'static str) -> Result<u64, UnreadableFrame> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(self.fault(what))?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.fault(what))
    }

    fn length(&mut self, what: &'static str) -> Result<usize, UnreadableFrame> {
        let number = self.number(what)?;
        usize::try_from(number).map_err(|_| self.fault(what))
    }

    fn signed(&mut self, what: &'static str) -> Result<i64, UnreadableFrame> {
        let number = self.number(what)?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    fn chunk(&mut self, what: &'static str) -> Result<&'a [u8], UnreadableFrame> {
        let length = self.length(what)?;
        self.take(length, what)
    }

    fn text(&mut self, what: &'static str) -> Result<String, UnreadableFrame> {
        let bytes = self.chunk(what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.fault(what))
    }

    fn origin(&mut self, what: &'static str) -> Result<Origin, UnreadableFrame> {
        Ok(Origin { record: self.number(what)?, line: self.number(what)?, byte: self.number(what)? })
    }

    fn time(&mut self) -> Result<UtcTime, UnreadableFrame> {
        self.signed("a time").map(UtcTime::from_nanos)
    }

    /// What every batch begins with; the rest of it is empty.
    fn place(&mut self) -> Result<AcceptedBatch, UnreadableFrame> {
        let (source, input) = (self.text("a source")?, self.text("an input")?);
        let (before, after) = (self.origin("a position")?, self.origin("a position")?);
        let prefix_crc = u32::try_from(self.number("a checksum")?).map_err(|_| self.fault("a checksum"))?;
        let accepted_at = self.time()?;
        Ok(AcceptedBatch {
            source,
            input,
            before,
            after,
            prefix_crc,
            accepted_at,
            only_feed: None,
            retried: Vec::new(),
            head: Vec::new(),
            block: RecordBlock::new(Arc::default()),
            rejects: Vec::new(),
            lines: None,
        })
    }

    fn batch(&mut self) -> Result<AcceptedBatch, UnreadableFrame> {
        let place = self.place()?;
        let only_feed = Some(self.text("a feed")?).filter(|feed| !feed.is_empty());
        let retried = (0..self.number("a count")?).map(|_| self.signed("an entry")).collect::<Result<Vec<_>, _>>()?;
        let head = self.chunk("a head")?.to_vec();
        let rejects = (0..self.number("a count")?)
            .map(|_| {
                let (origin, reason) = (self.origin("a position")?, self.text("a reason")?);
                Ok(Reject { origin, reason, raw: self.chunk("raw bytes")?.to_vec() })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(AcceptedBatch { only_feed, retried, head, rejects, block: self.block()?, ..place })
    }

    fn finished(&mut self, by: HashedBy) -> Result<InputFinished, UnreadableFrame> {
        let (source, input) = (self.text("a source")?, self.text("an input")?);
        let (bytes, modified_nanos) = (self.number("a length")?, self.signed("a time")?);
        let digest = self.take(32, "a hash")?.try_into().map_err(|_| self.fault("a hash"))?;
        let hash = InputHash { by, digest };
        let (records, rejects) = (self.number("a count")?, self.number("a count")?);
        let accepted_at = self.time()?;
        Ok(InputFinished { source, input, bytes, modified_nanos, hash, records, rejects, accepted_at })
    }

    fn block(&mut self) -> Result<RecordBlock, UnreadableFrame> {
        let fields = (0..self.number("a count")?)
            .map(|_| {
                let name = self.text("a field name")?;
                let kind = match self.number("a field kind")? {
                    0 => FieldKind::Text,
                    1 => FieldKind::Number,
                    2 => FieldKind::Time,
                    _ => return Err(self.fault("a field kind")),
                };
                Ok(SchemaField { name, kind, unit: self.text("a unit")? })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let width = fields.len();
        let count = self.length("a count")?;
        // Each record has at least three bytes of origin: a count beyond that is not a count.
        if count > self.bytes.len() {
            return Err(self.fault("a record count"));
        }
        let mut last = Origin::default();
        let mut origins = Vec::with_capacity(count);
        for _ in 0..count {
            let step = self.origin("a position")?;
            last = Origin {
                record: last.record.wrapping_add(step.record),
                line: last.line.wrapping_add(step.line),
                byte: last.byte.wrapping_add(step.byte),
            };
            origins.push(last);
        }
        let mut lengths = Vec::with_capacity(count * width);
        let mut all = 0u32;
        for _ in 0..count * width {
            let length = u32::try_from(self.number("a field length")?).map_err(|_| self.fault("a field length"))?;
            all = all.checked_add(length).ok_or(self.fault("a field length"))?;
            lengths.push(length);
        }
        let arena = self.take(all as usize, "values")?.to_vec();
        Ok(RecordBlock::from_parts(Arc::new(Schema { fields }), arena, lengths, origins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> AcceptedBatch {
        let field = |name: &str, kind| SchemaField { name: name.to_owned(), kind, unit: "s".to_owned() };
        let schema = Schema { fields: vec![field("caller", FieldKind::Text), field("at", FieldKind::Time)] };
        let mut block = RecordBlock::new(Arc::new(schema));
        for record in 1..=300u64 {
            block.push_field(&vec![b'x'; usize::try_from(record).expect("small")]);
            block.push_time(Some(UtcTime::from_nanos(-5)));
            block.finish_record(Origin { record: record * 2, line: record * 3, byte: record * 1000 });
        }
        let origin = Origin { record: 3, line: 4, byte: 5 };
        AcceptedBatch {
            source: "switch".to_owned(),
            input: "话单.csv".to_owned(),
            before: Origin::default(),
            after: origin,
            prefix_crc: u32::MAX,
            accepted_at: UtcTime::from_nanos(i64::MIN),
            only_feed: Some("huaxin/voice".to_owned()),
            retried: vec![-1, 7],
            head: b"a,b\n".to_vec(),
            block,
            rejects: vec![Reject { origin, reason: "no".to_owned(), raw: vec![0, 255] }],
            lines: None,
        }
    }

    #[test]
    fn frames_come_back_as_they_were_written() {
        let batch = batch();
        let mut payload = Vec::new();
        batch.write(&mut payload);
        assert_eq!(Accepted::read(KIND_BATCH, &payload), Ok(Accepted::Batch(batch)));
        for (by, kind) in [(HashedBy::Blake3, 4), (HashedBy::Sha256, 2)] {
            let finished = InputFinished {
                source: "switch".to_owned(),
                input: "a".to_owned(),
                bytes: u64::MAX,
                modified_nanos: -1,
                hash: InputHash { by, digest: [7; 32] },
                records: 1,
                rejects: 2,
                accepted_at: UtcTime::from_nanos(9),
            };
            payload.clear();
            finished.write(&mut payload);
            assert_eq!(finished.kind(), kind);
            assert_eq!(Accepted::read(kind, &payload), Ok(Accepted::Finished(finished)));
        }
    }

    #[test]
    fn a_cut_payload_is_refused_at_every_byte() {
        let mut payload = Vec::new();
        batch().write(&mut payload);
        for length in 0..payload.len() {
            assert!(Accepted::read(KIND_BATCH, &payload[..length]).is_err(), "{length} bytes were enough");
        }
    }
}
