//! Batches whose records are lines of an input file that is kept: the frame says how they become records, and the lines
//! follow.
//!
//! ```text
//! kind 3, lines   source  input  before(3)  after(3)  prefix crc  accepted_at  decoder  records  rejects  is end
//!                 format  text of the format  head  | the bytes of the input from `before` on
//! ```
//! They go on behind `after` as far as the decoder had seen them: what becomes of a line with a quote that is not closed
//! is decided by the lines behind it.

use super::{AcceptedBatch, Reader, UnreadableFrame, put_bytes, put_number};
use crate::domain::ids::FileKey;
use std::sync::Arc;

/// Frame kind of an [`AcceptedBatch`] whose records are lines.
pub const KIND_LINES: u8 = 3;
/// Raised when the same lines become other records: what an older version has accepted is then left to it.
pub const DECODER_REVISION: u64 = 1;

/// Where the lines of a batch are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputLines {
    /// The input file.
    pub file: FileKey,
    /// How many of its bytes from the batch's `before` on were seen.
    pub bytes: u32,
    /// Their checksum.
    pub crc: u32,
    /// The input ends there.
    pub is_end: bool,
    /// How they become records.
    pub reading: Arc<InputReading>,
}

/// How the lines of an input become records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputReading {
    /// Name of the format.
    pub format: String,
    /// Its text.
    pub text: String,
    /// What the input begins with, where that names the columns.
    pub head: Vec<u8>,
}

/// A frame of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinesFrame<'a> {
    /// The batch without its records and rejects.
    pub batch: AcceptedBatch,
    /// How many records it has.
    pub records: u64,
    /// How many could not be decoded.
    pub rejects: u64,
    /// How its lines become records.
    pub reading: InputReading,
    /// The input ends with them.
    pub is_end: bool,
    /// Its lines.
    pub lines: &'a [u8],
}

impl AcceptedBatch {
    /// Appends the frame payload without the lines.
    pub fn write_without_lines(&self, lines: &InputLines, out: &mut Vec<u8>) {
        self.write_place(out);
        put_number(out, DECODER_REVISION);
        put_number(out, self.block.len() as u64);
        put_number(out, self.rejects.len() as u64);
        put_number(out, u64::from(lines.is_end));
        put_bytes(out, lines.reading.format.as_bytes());
        put_bytes(out, lines.reading.text.as_bytes());
        put_bytes(out, &lines.reading.head);
    }
}

impl<'a> LinesFrame<'a> {
    /// Reads a frame payload with the lines behind it.
    ///
    /// # Errors
    /// [`UnreadableFrame`] when the bytes are not what this version writes, or another version decodes the lines.
    pub fn read(payload: &'a [u8]) -> Result<Self, UnreadableFrame> {
        let mut reader = Reader { bytes: payload, at: 0 };
        let batch = reader.place()?;
        if reader.number("a revision")? != DECODER_REVISION {
            return Err(reader.fault("lines that this version decodes as the one did that accepted them"));
        }
        let (records, rejects) = (reader.number("a count")?, reader.number("a count")?);
        let is_end = reader.number("a mark")? != 0;
        let (format, text) = (reader.text("a format")?, reader.text("a format's text")?);
        let head = reader.chunk("a head")?.to_vec();
        let lines = payload.get(reader.at..).unwrap_or_default();
        if batch.after.byte.checked_sub(batch.before.byte).is_none_or(|bytes| bytes > lines.len() as u64) {
            return Err(reader.fault("lines between its positions"));
        }
        Ok(Self { batch, records, rejects, reading: InputReading { format, text, head }, is_end, lines })
    }
}
