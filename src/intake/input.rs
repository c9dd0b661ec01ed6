//! One input on its way through a decoder: bytes in pieces of 512 KiB, batches out, with the position behind each.

use super::ReadPosition;
use super::content::{HashingReader, RunningHash};
use crate::disk::ahead::ReadAhead;
use crate::disk::pieces::{PIECE_BYTES, Piece as FilePiece};
use crate::domain::ids::{FileKey, SourceId};
use crate::domain::time::UtcTime;
use crate::format::decode::spec::ReadSpec;
use crate::format::decode::{Decoded, Decoder, Position};
use crate::format::dialect::Dialect;
use crate::record::accepted::lines::{InputLines, InputReading};
use crate::record::{AcceptedBatch, InputFinished, Origin};
use flate2::read::MultiGzDecoder;
use std::io::{self, Read};
use std::sync::Arc;

/// An input whose first records all fail is not in the format that the source declares.
const FIRST_RECORDS: usize = 1000;
/// The same when so many bytes of them have failed: what waits must fit into a frame.
const FIRST_BYTES: usize = 4 << 20;
/// Most bytes of lines that a frame refers to: there are more when very many lines are no records.
const LINES_BYTES_MAX: usize = 4 << 20;
/// Bytes that are decoded before it is asked whether the batch is long enough.
pub(super) const STEP_BYTES: usize = 64 << 10;
/// Records and lines that are none, after which a batch ends, so that it fits into a frame: were one more step full of
/// the shortest lines, the frame would still have 200 bytes for each.
const ROWS_MAX: usize = 8 << 10;
/// What compressed input begins with.
pub const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What an input is called and how it is decoded.
pub struct InputFormat<'a> {
    /// The source.
    pub source: &'a SourceId,
    /// The input's name.
    pub name: &'a str,
    /// The format's settings.
    pub dialect: &'a Dialect,
    /// How it is read.
    pub read: &'a ReadSpec,
}

/// An input that is being read.
pub struct OpenInput {
    name: String,
    reader: Reader,
    hash: RunningHash,
    decoder: Decoder,
    decoded: Decoded,
    piece: FilePiece,
    /// How much of `piece` is decoded.
    taken: usize,
    /// Bytes behind the decoder's position that it has seen already.
    tail: Vec<u8>,
    before: Origin,
    /// Of the bytes up to `checked`.
    prefix_crc: u32,
    checked: u64,
    records: u64,
    rejects: u64,
    /// What comes before the first record, as far as it names the columns.
    head: Vec<u8>,
    /// The journal keeps the input.
    adopted: Option<Adopted>,
    /// Of the bytes from `before` to `checked`.
    lines_crc: u32,
}

/// Where bytes come from.
enum Reader {
    Here(Box<dyn Read + Send>),
    Ahead(ReadAhead),
}

/// An input that the journal keeps.
struct Adopted {
    file: FileKey,
    /// The format's name and text; the head is added when records come.
    reading: Arc<InputReading>,
}

/// What came out of a piece of input.
pub enum Piece {
    /// Records, or records that could not be decoded.
    Batch(Box<AcceptedBatch>),
    /// Nothing complete yet.
    Nothing,
    /// The bytes end here.
    End,
    /// The input is not what the format says; nothing of it was handed out.
    Unfit(String),
}

impl OpenInput {
    /// Begins with the bytes that `reader` gives, decompressed when they are gzip. What was read before `resume` is
    /// read again, checked and skipped.
    ///
    /// # Errors
    /// What the reader says; `InvalidData` when the bytes before `resume` are not those that were read then.
    pub fn open(
        format: &InputFormat<'_>,
        reader: Box<dyn Read + Send>,
        resume: Option<ReadPosition>,
    ) -> io::Result<Self> {
        let hash = RunningHash::default();
        let reader = decompressed(Box::new(HashingReader { inner: reader, hash: hash.clone() }))?;
        let mut input = Self {
            name: format.name.to_owned(),
            reader: Reader::Here(reader),
            hash,
            decoder: Decoder::new(format.dialect, format.read),
            decoded: Decoded::new(format.read.schema()),
            piece: FilePiece::default(),
            taken: 0,
            tail: Vec::new(),
            before: Origin::default(),
            prefix_crc: 0,
            checked: 0,
            records: 0,
            rejects: 0,
            head: Vec::new(),
            adopted: None,
            lines_crc: 0,
        };
        if let Some(resume) = resume.filter(|resume| resume.after.byte > 0) {
            input.skip_to(resume)?;
        }
        Ok(input)
    }

    /// Reads, decompresses and hashes the rest of the input in a thread of its own.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn reading_ahead(mut self) -> io::Result<Self> {
        if let Reader::Here(reader) = self.reader {
            self.reader = Reader::Ahead(ReadAhead::new(reader)?);
        }
        Ok(self)
    }

    /// The journal keeps the bytes of this input as `file`: what is handed out says how they become records again.
    #[must_use]
    pub fn kept_as(mut self, file: FileKey, reading: Arc<InputReading>) -> Self {
        self.adopted = Some(Adopted { file, reading });
        self
    }

    fn skip_to(&mut self, resume: ReadPosition) -> io::Result<()> {
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "its beginning is not what was read before");
        let mut left = resume.after.byte;
        while left > 0 {
            self.read_piece()?;
            if self.piece.is_empty() {
                return Err(changed());
            }
            let used = usize::try_from(left).unwrap_or(usize::MAX).min(self.piece.len());
            let skipped = self.piece.get(..used).unwrap_or_default();
            self.prefix_crc = crc32c::crc32c_append(self.prefix_crc, skipped);
            left -= used as u64;
            if self.decoder.needs_head() {
                note_head(&self.decoder, &mut self.head, skipped);
                self.decoder.push(skipped, &mut self.decoded);
            }
            self.taken = used;
        }
        if self.prefix_crc != resume.prefix_crc {
            return Err(changed());
        }
        self.decoded.clear();
        self.records = resume.after.record;
        let Origin { byte, line, record } = resume.after;
        self.decoder.resume_at(Position { byte, line, record });
        self.before = resume.after;
        self.lines_crc = 0;
        self.checked = resume.after.byte;
        Ok(())
    }

    fn read_piece(&mut self) -> io::Result<()> {
        self.taken = 0;
        let reader = match &mut self.reader {
            Reader::Here(reader) => reader,
            Reader::Ahead(ahead) => {
                self.piece = FilePiece::default();
                self.piece = ahead.next_piece()?;
                return Ok(());
            }
        };
        self.piece.clear();
        let limit = PIECE_BYTES as u64;
        // One call may give less: a pipe, a log that grows. What is there goes on at once.
        while self.piece.is_empty() {
            let mut chunk = reader.take(limit);
            if chunk.read_to_end(&mut self.piece)? == 0 {
                // A log that waits for more needs no memory meanwhile.
                self.piece = FilePiece::default();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Decodes the next piece, and reads one when there is none.
    ///
    /// # Errors
    /// What the reader says.
    pub fn next(&mut self, source: &SourceId, now: UtcTime) -> io::Result<Piece> {
        if self.taken == self.piece.len() {
            self.read_piece()?;
        }
        if self.piece.is_empty() {
            return Ok(Piece::End);
        }
        let bytes = std::mem::take(&mut self.piece);
        while self.taken < bytes.len() && self.decoded.block.len() + self.decoded.rejects.len() < ROWS_MAX {
            let step = step(bytes.get(self.taken..).unwrap_or_default());
            self.decode(step);
            self.taken += step.len();
        }
        self.piece = bytes;
        Ok(self.hand_out(source, now, false))
    }

    /// Decodes bytes that came from somewhere else, at most [`STEP_BYTES`].
    pub fn push(&mut self, bytes: &[u8], source: &SourceId, now: UtcTime) -> Piece {
        self.decode(bytes);
        self.hand_out(source, now, false)
    }

    fn decode(&mut self, bytes: &[u8]) {
        note_head(&self.decoder, &mut self.head, bytes);
        self.decoder.push(bytes, &mut self.decoded);
        self.check(bytes);
    }

    /// Adds what the decoder is done with to the checksum; the rest of what it has seen is kept.
    fn check(&mut self, bytes: &[u8]) {
        let checked = self.checked;
        let used = usize::try_from(self.decoder.position().byte.saturating_sub(checked)).unwrap_or(usize::MAX);
        let (of_tail, of_bytes) = (used.min(self.tail.len()), used.saturating_sub(self.tail.len()).min(bytes.len()));
        let (done, rest) = bytes.split_at_checked(of_bytes).unwrap_or((bytes, &[]));
        for bytes in [self.tail.get(..of_tail).unwrap_or_default(), done] {
            self.prefix_crc = crc32c::crc32c_append(self.prefix_crc, bytes);
            self.lines_crc = crc32c::crc32c_append(self.lines_crc, bytes);
        }
        self.tail.drain(..of_tail);
        self.tail.extend_from_slice(rest);
        self.checked = checked + (of_tail + of_bytes) as u64;
    }

    /// The end of a finished input: a last line without line end counts, a trailer is checked.
    pub fn end(&mut self, source: &SourceId, now: UtcTime) -> Piece {
        self.decoder.finish(&mut self.decoded);
        self.check(&[]);
        self.hand_out(source, now, true)
    }

    /// The name under which it is known.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the input's own trailer says against the records in it.
    #[must_use]
    pub fn trailer_problem(&self) -> Option<String> {
        self.decoder.trailer_problem()
    }

    /// True when a record has begun and not ended, or was not handed out.
    #[must_use]
    pub fn has_partial_record(&self) -> bool {
        !self.tail.is_empty() || self.decoder.position().byte > self.before.byte
    }

    /// The note that the input is finished.
    #[must_use]
    pub fn finished(&self, source: &SourceId, bytes: u64, modified_nanos: i64, now: UtcTime) -> InputFinished {
        InputFinished {
            source: source.to_string(),
            input: self.name.clone(),
            bytes,
            modified_nanos,
            hash: self.hash.hash(),
            records: self.records,
            rejects: self.rejects,
            accepted_at: now,
        }
    }

    fn hand_out(&mut self, source: &SourceId, now: UtcTime, at_end: bool) -> Piece {
        if let Some(problem) = self.decoder.head_problem() {
            return Piece::Unfit(problem);
        }
        if self.records == 0 && self.decoded.block.is_empty() {
            let failed = self.rejects + self.decoded.rejects.len() as u64;
            let held: usize = self.decoded.rejects.iter().map(|reject| reject.raw.len()).sum();
            if self.rejects == 0 && (failed >= FIRST_RECORDS as u64 || held > FIRST_BYTES) {
                return Piece::Unfit(format!("none of its first {failed} records could be decoded"));
            }
            // Rejects wait until a first record shows that the format fits.
            if self.decoded.rejects.is_empty() || !at_end {
                return Piece::Nothing;
            }
        }
        self.batch(source, now, at_end)
    }

    fn batch(&mut self, source: &SourceId, now: UtcTime, is_end: bool) -> Piece {
        let position = self.decoder.position();
        let after = Origin { record: position.record, line: position.line, byte: position.byte };
        if after == self.before {
            return Piece::Nothing;
        }
        let another = self.decoded.block.another();
        let block = std::mem::replace(&mut self.decoded.block, another);
        let rejects = std::mem::take(&mut self.decoded.rejects);
        self.records += block.len() as u64;
        self.rejects += rejects.len() as u64;
        let before = std::mem::replace(&mut self.before, after);
        let lines = self.lines(after.byte - before.byte, is_end);
        Piece::Batch(Box::new(AcceptedBatch {
            source: source.to_string(),
            input: self.name.clone(),
            before,
            after,
            prefix_crc: self.prefix_crc,
            accepted_at: now,
            only_feed: None,
            retried: Vec::new(),
            head: if rejects.is_empty() { Vec::new() } else { self.head.clone() },
            block,
            rejects,
            lines,
        }))
    }

    /// Where the lines of a batch of so many bytes are kept.
    fn lines(&mut self, bytes: u64, is_end: bool) -> Option<Box<InputLines>> {
        let crc = std::mem::take(&mut self.lines_crc);
        let adopted = self.adopted.as_mut()?;
        let done = usize::try_from(bytes).ok().filter(|bytes| *bytes <= LINES_BYTES_MAX)?;
        let bytes = u32::try_from(done + self.tail.len()).ok()?;
        if adopted.reading.head != self.head {
            adopted.reading =
                Arc::new(InputReading { head: self.head.clone(), ..InputReading::clone(&adopted.reading) });
        }
        let crc = crc32c::crc32c_append(crc, &self.tail);
        Some(Box::new(InputLines { file: adopted.file, bytes, crc, is_end, reading: Arc::clone(&adopted.reading) }))
    }
}

/// The first bytes of `rest` that are decoded together. It ends where a line does: what is cut is decoded by itself.
fn step(rest: &[u8]) -> &[u8] {
    let most = rest.get(..STEP_BYTES).unwrap_or(rest);
    memchr::memrchr(b'\n', most).and_then(|at| most.get(..=at)).unwrap_or(most)
}

/// Keeps the lines that a decoder needs before it knows the columns; they are tried on a decoder of their own.
fn note_head(decoder: &Decoder, head: &mut Vec<u8>, bytes: &[u8]) {
    if !decoder.needs_head() || head.len() > PIECE_BYTES {
        return;
    }
    let mut trial = decoder.clone();
    let mut unused = Decoded::new(Arc::default());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        head.extend_from_slice(line);
        trial.push(line, &mut unused);
        if !trial.needs_head() {
            return;
        }
    }
}

/// Gzip is recognised by its first two bytes: a name says little.
fn decompressed(mut reader: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    (&mut reader).take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let is_gzip = magic == GZIP_MAGIC;
    let whole = io::Cursor::new(magic).chain(reader);
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) })
}

#[cfg(test)]
mod tests;
