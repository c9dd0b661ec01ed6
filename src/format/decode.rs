//! Reading: from the bytes of a file to records, in chunks of any size.
//!
//! ```text
//! bytes -> lines (raw) -> text (UTF-8) -> record (one or more lines) -> fields -> block
//! ```
//! What comes out does not depend on the sizes of the chunks. Every record either arrives in the block or is rejected
//! with its place, the reason and its bytes; nothing is dropped. Memory is bounded: a record has at most 1 MiB and 64
//! lines. When a quote is not closed within that, or something other than a separator stands behind a closing quote
//! on a later line, only the *first* line is rejected and reading resumes on the line behind it: one stray quote never
//! swallows the records after it.

mod delimited;
mod fixed_width;
pub mod frames;
mod json_lines;
mod lines;
mod mark;
mod marks;
mod plain;
mod records;
pub(super) mod sample;
pub mod spec;
mod splitter;
mod text;
mod trailer;
mod value;

#[cfg(test)]
mod tests;

use crate::format::charset::Charset;
use crate::format::dialect::{Dialect, FormatKind};
use crate::record::{RecordBlock, Reject, Schema};
use delimited::Delimited;
use fixed_width::FixedWidth;
use json_lines::JsonLines;
use lines::{Line, LineFinder};
use marks::{Marks, QuotedLine};
use spec::{Header, ReadSpec, TrailerSpec};
use std::sync::Arc;
use text::TextReader;
use value::ValueReader;

/// Most bytes of a record, line ends within it counted, and of the bytes kept of a rejected one.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most lines of a record.
pub const RECORD_LINES_MAX: usize = 64;

/// What came out of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The records.
    pub block: RecordBlock,
    /// What could not be decoded.
    pub rejects: Vec<Reject>,
}

impl Decoded {
    /// Room for records of `schema`.
    #[must_use]
    pub const fn new(schema: Arc<Schema>) -> Self {
        Self { block: RecordBlock::new(schema), rejects: Vec::new() }
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.block.clear();
        self.rejects.clear();
    }
}

/// A place between two records of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Byte offset of the next record.
    pub byte: u64,
    /// Lines before it.
    pub line: u64,
    /// Records before it, rejected ones counted.
    pub record: u64,
}

/// Decodes one file.
#[derive(Debug, Clone)]
pub struct Decoder {
    form: Form,
    values: Vec<ValueReader>,
    lines: LineFinder,
    text: TextReader,
    charset: Charset,
    comment: Option<String>,
    trailer: Option<TrailerSpec>,
    header: Header,
    skip_lines: u64,
    phase: Phase,
    /// Bytes that arrived and are not decoded yet.
    pending: Vec<u8>,
    /// Where the record under construction begins.
    at: Position,
    /// What [`Decoder::position`] tells.
    safe: Position,
    open: Open,
    skipping: Option<Skipping>,
    marks: Marks,
    /// Where the block holds the beginning of the window whose lines are taken together.
    window_at: Option<u32>,
    /// The fields of a line with quotes.
    quoted: QuotedLine,
    /// Every line is taken by itself.
    #[cfg(test)]
    is_strict: bool,
    trailer_seen: bool,
    trailer_problem: Option<String>,
    head_problem: Option<String>,
}

/// How records are laid out.
#[derive(Debug, Clone)]
enum Form {
    Delimited(Box<Delimited>),
    Fixed(FixedWidth),
    Json(JsonLines),
}

/// How much of the file's beginning is still ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The byte order mark.
    Start,
    /// This many lines to be skipped.
    Skip(u64),
    /// The line with the names of the columns.
    Names,
    Records,
    /// The head cannot be read: everything else is ignored.
    Failed,
}

/// The record under construction.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    /// Its complete lines and their bytes with line ends.
    lines: usize,
    bytes: usize,
    /// Its first line.
    first: Line,
    /// Bytes of the record that hold no further line end.
    searched: usize,
    /// One of its lines has bytes that are not of the charset.
    malformed: bool,
}

/// A line that is too long to be a record.
#[derive(Debug, Clone)]
struct Skipping {
    /// Its beginning.
    raw: Vec<u8>,
    /// Bytes of it that were let go.
    bytes: usize,
}

impl Decoder {
    /// A decoder of one file of this format.
    #[must_use]
    pub fn new(dialect: &Dialect, read: &ReadSpec) -> Self {
        Self {
            form: match dialect.kind {
                FormatKind::Delimited => Form::Delimited(Box::new(Delimited::new(dialect, read))),
                FormatKind::Fixed => Form::Fixed(FixedWidth::new(dialect, read)),
                FormatKind::JsonLines => Form::Json(JsonLines::new(read)),
            },
            values: read.fields.iter().map(|field| field.value.clone()).collect(),
            lines: LineFinder::new(dialect.read_line_end, dialect.charset),
            text: TextReader::new(dialect.charset, &dialect.unmappable),
            charset: dialect.charset,
            comment: read.comment.clone(),
            trailer: read.trailer.clone(),
            header: read.header,
            skip_lines: read.skip_lines + u64::from(read.header == Header::Skip),
            phase: Phase::Start,
            pending: Vec::new(),
            at: Position::default(),
            safe: Position::default(),
            open: Open::default(),
            skipping: None,
            marks: Marks::default(),
            window_at: None,
            quoted: QuotedLine::default(),
            #[cfg(test)]
            is_strict: false,
            trailer_seen: false,
            trailer_problem: None,
            head_problem: None,
        }
    }

    /// Where to go on after an interruption: everything before it was emitted. Its byte is 0 until the head of the file
    /// was read.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.safe
    }

    /// True while the names of the columns are not known. To resume in the middle of a file, feed its beginning until
    /// this is false, throw away what came out, call [`Decoder::resume_at`] and feed the bytes from there on.
    #[must_use]
    pub fn needs_head(&self) -> bool {
        self.header == Header::Names && !matches!(self.phase, Phase::Records | Phase::Failed)
    }

    /// Goes on at a position that an earlier decoder of the same file told; the next bytes to push are those at
    /// `position.byte`. At byte 0 the head is read again.
    ///
    /// # Panics
    /// When the position is inside the file and the names of its columns are not known, see [`Decoder::needs_head`].
    pub fn resume_at(&mut self, position: Position) {
        assert!(position.byte == 0 || !self.needs_head(), "the head of the file comes first");
        self.pending.clear();
        self.open = Open::default();
        self.skipping = None;
        self.at = position;
        self.safe = position;
        self.trailer_seen = false;
        self.trailer_problem = None;
        if self.phase != Phase::Failed {
            self.phase = if position.byte == 0 { Phase::Start } else { Phase::Records };
        }
    }

    /// Why nothing of this file can be decoded: its head is not what the format says.
    #[must_use]
    pub fn head_problem(&self) -> Option<String> {
        self.head_problem.clone()
    }

    /// Why the file is not what its trailer states; complete after [`Decoder::finish`].
    #[must_use]
    pub fn trailer_problem(&self) -> Option<String> {
        self.trailer_problem.clone()
    }

    /// Decodes the next bytes of the file. A record that is not complete waits for more.
    pub fn push(&mut self, bytes: &[u8], out: &mut Decoded) {
        let mut rest = bytes;
        // What waits is completed line by line, so that most bytes are decoded where they are.
        while !self.pending.is_empty() && !rest.is_empty() {
            let cut = self.lines.through_line_feed(rest);
            let (piece, behind) = rest.split_at_checked(cut).unwrap_or((rest, &[]));
            self.pending.extend_from_slice(piece);
            rest = behind;
            let mut pending = std::mem::take(&mut self.pending);
            let used = self.scan(&pending, false, out);
            pending.drain(..used);
            self.pending = pending;
        }
        if !rest.is_empty() {
            let used = self.scan(rest, false, out);
            self.pending.extend_from_slice(rest.get(used..).unwrap_or_default());
        }
    }

    /// Decodes what waits, as the end of a file to which nothing is added: a last line without a line end counts, a
    /// quote that is still open does not.
    ///
    /// # Panics
    /// When bytes are left behind: the decoder is broken, and going on would lose records.
    pub fn finish(&mut self, out: &mut Decoded) {
        let pending = std::mem::take(&mut self.pending);
        let used = self.scan(&pending, true, out);
        assert_eq!(used, pending.len(), "the end of a file leaves nothing behind");
        if self.needs_head() {
            self.fail("the file ends before the line with the names of its columns");
        }
        if self.trailer.is_some() && !self.trailer_seen && self.phase != Phase::Failed {
            self.trailer_problem = Some("the trailer is missing".to_owned());
        }
        if self.phase != Phase::Failed {
            self.safe = self.at;
        }
    }
}
