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
mod json_lines;
mod lines;
pub mod spec;
mod splitter;
mod text;
mod value;

#[cfg(test)]
mod tests;

use crate::format::charset::Charset;
use crate::format::dialect::{Dialect, FormatKind, LineEnd};
use crate::record::{Decimal, Origin, RecordBlock, Schema};
use delimited::Delimited;
use fixed_width::FixedWidth;
use json_lines::JsonLines;
use lines::{Line, LineFinder};
use spec::{Header, ReadSpec, Source, TrailerSpec};
use splitter::Progress;
use std::sync::Arc;
use text::TextReader;
use value::ValueReader;

/// Most bytes of a record, line ends within it counted, and of the bytes kept of a rejected one.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most lines of a record.
pub const RECORD_LINES_MAX: usize = 64;

/// A record that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Where it stood.
    pub origin: Origin,
    /// What is wrong with it; holds no values.
    pub reason: String,
    /// Its bytes as they stood in the source, without the last line end, at most 1 MiB of them.
    pub raw: Vec<u8>,
}

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

const TOO_LONG: &str = "the line is longer than 1 MiB";
const NOT_CLOSED: &str = "a quote or escape on this line is not closed within 64 lines and 1 MiB";
const STRAY: &str = "something other than a separator stands behind a closing quote";
const STRAY_LATER: &str = "a quote on this line is closed on a later line, but not before a separator";
const MALFORMED: &str = "the record holds bytes that are not of the file's charset";

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

    /// Decodes the complete records at the start of `window`, which begins with the record under construction. Returns
    /// how many bytes need not be seen again.
    fn scan(&mut self, window: &[u8], at_end: bool, out: &mut Decoded) -> usize {
        let mut start = 0;
        if self.phase == Phase::Start {
            match self.take_mark(window, at_end) {
                Some(bytes) => start = bytes,
                None => return 0,
            }
        }
        loop {
            if self.phase == Phase::Failed {
                return window.len();
            }
            let line_start = start + self.open.bytes;
            let from = line_start.max(start + self.open.searched);
            if let Some(line) = self.lines.find(window, line_start, from, at_end) {
                self.open.searched = 0;
                start += self.take_line(window, start, line, out);
            } else if at_end && self.open.lines > 0 {
                start += self.reject_first_line(window, start, NOT_CLOSED, out);
            } else if at_end {
                return self.end_skipping(window.len() - start, out).map_or(start, |()| window.len());
            } else {
                match self.wait(window, start, out) {
                    Some(used) => start += used,
                    None => return self.release(window, start),
                }
            }
        }
    }

    /// Bytes of the byte order mark at the start of the file; `None` when it cannot be told yet.
    fn take_mark(&mut self, window: &[u8], at_end: bool) -> Option<usize> {
        const MARKS: [(&[u8], &str, fn(Charset) -> bool); 4] = [
            (b"\xEF\xBB\xBF", "UTF-8", |charset| matches!(charset, Charset::Utf8 | Charset::Ascii)),
            (b"\xFF\xFE", "UTF-16LE", |charset| matches!(charset, Charset::Utf16Le)),
            (b"\xFE\xFF", "UTF-16BE", |charset| matches!(charset, Charset::Utf16Be)),
            (
                b"\x84\x31\x95\x33",
                "GB18030",
                |charset| matches!(charset, Charset::Table(table) if table == encoding_rs::GB18030 || table == encoding_rs::GBK),
            ),
        ];
        let mut bytes = 0;
        for (mark, name, fits) in MARKS {
            if !at_end && window.len() < mark.len() && mark.starts_with(window) {
                return None;
            }
            if window.starts_with(mark) {
                bytes = mark.len();
                if !fits(self.charset) {
                    self.fail(&format!("the file begins with the mark of {name}, which is not the declared charset"));
                    return Some(0);
                }
            }
        }
        self.at.byte = bytes as u64;
        self.phase = Phase::Skip(self.skip_lines);
        self.end_skip_phase();
        Some(bytes)
    }

    fn end_skip_phase(&mut self) {
        if self.phase == Phase::Skip(0) {
            self.phase = if self.header == Header::Names { Phase::Names } else { Phase::Records };
        }
    }

    fn fail(&mut self, problem: &str) {
        self.phase = Phase::Failed;
        self.head_problem = Some(problem.to_owned());
    }

    /// No further line end has arrived. Returns how many bytes were taken nevertheless, because the record has become
    /// too long; `None` when there is nothing to do but wait.
    fn wait(&mut self, window: &[u8], start: usize, out: &mut Decoded) -> Option<usize> {
        let waiting = window.len() - start;
        self.open.searched = self.lines.settled(waiting);
        // Whatever end comes, two characters of it can be here already.
        if self.skipping.is_some() || waiting <= RECORD_BYTES_MAX + 4 {
            return None;
        }
        if self.open.lines > 0 {
            return Some(self.reject_first_line(window, start, NOT_CLOSED, out));
        }
        let raw = window.get(start..start + RECORD_BYTES_MAX).unwrap_or_default().to_vec();
        self.skipping = Some(Skipping { raw, bytes: 0 });
        None
    }

    /// How much of the window need not be kept: all before `start`, and of a line that is too long all but the end.
    fn release(&mut self, window: &[u8], start: usize) -> usize {
        let Some(skipping) = &mut self.skipping else { return start };
        let settled = self.lines.settled(window.len() - start);
        skipping.bytes += settled;
        self.open.searched = 0;
        start + settled
    }

    /// Ends a line that was too long, of which `rest` bytes were not let go yet.
    fn end_skipping(&mut self, rest: usize, out: &mut Decoded) -> Option<()> {
        let skipping = self.skipping.take()?;
        self.take_too_long(skipping.raw, skipping.bytes + rest, out);
        Some(())
    }

    fn take_too_long(&mut self, raw: Vec<u8>, bytes: usize, out: &mut Decoded) {
        match self.phase {
            Phase::Records => {
                out.rejects.push(Reject { origin: self.origin(), reason: TOO_LONG.to_owned(), raw });
                self.advance(bytes, 1, 1);
            }
            Phase::Skip(left) => self.skip_line(left, bytes),
            Phase::Start | Phase::Names | Phase::Failed => self.fail("the line with the names of columns is too long"),
        }
    }

    fn skip_line(&mut self, left: u64, bytes: usize) {
        self.phase = Phase::Skip(left - 1);
        self.end_skip_phase();
        self.advance(bytes, 1, 0);
    }

    /// Takes a line that has ended. Returns how many bytes of the window are done with.
    #[inline]
    fn take_line(&mut self, window: &[u8], start: usize, line: Line, out: &mut Decoded) -> usize {
        let bytes = line.next - start;
        if self.skipping.is_some() {
            self.end_skipping(bytes, out);
            return bytes;
        }
        let record = window.get(start..line.content_end).unwrap_or_default();
        if record.len() > RECORD_BYTES_MAX {
            if self.open.lines > 0 {
                return self.reject_first_line(window, start, NOT_CLOSED, out);
            }
            self.take_too_long(record.get(..RECORD_BYTES_MAX).unwrap_or_default().to_vec(), bytes, out);
            return bytes;
        }
        if let Phase::Skip(left) = self.phase {
            self.skip_line(left, bytes);
            return bytes;
        }
        let content = record.get(self.open.bytes..).unwrap_or_default();
        let records = match self.read_line(content, line.end, &mut out.block) {
            Taken::Nothing => 0,
            Taken::Record => 1,
            Taken::Rejected(reason) => {
                out.block.abandon_record();
                out.rejects.push(Reject { origin: self.origin(), reason, raw: record.to_vec() });
                1
            }
            Taken::Stray if self.open.lines > 0 => return self.reject_first_line(window, start, STRAY_LATER, out),
            Taken::Stray if self.phase == Phase::Names => {
                self.fail("the line with the names of columns has a stray quote");
                0
            }
            Taken::Stray => {
                out.rejects.push(Reject { origin: self.origin(), reason: STRAY.to_owned(), raw: record.to_vec() });
                1
            }
            Taken::Open => return self.leave_open(window, start, line, out),
        };
        let lines = self.open.lines as u64 + 1;
        self.open = Open::default();
        self.advance(bytes, lines, records);
        bytes
    }

    /// Reads the next line of the record under construction.
    #[inline]
    fn read_line(&mut self, content: &[u8], end: Option<LineEnd>, block: &mut RecordBlock) -> Taken {
        let (first, origin) = (self.open.lines == 0, self.origin());
        let text = self.text.decode(content);
        self.open.malformed |= text.malformed;
        let line = text.text;
        let bytes = line.as_bytes();
        if first && ((bytes.is_empty() && !self.form.takes_empty_lines()) || starts(line, self.comment.as_deref())) {
            return Taken::Nothing;
        }
        if first
            && let Some(trailer) = &self.trailer
            && line.starts_with(&trailer.starts)
            && self.phase == Phase::Records
        {
            let problem = trailer.problem(&mut self.form, content, bytes, self.at.record);
            self.trailer_problem = self.trailer_problem.take().or(problem);
            self.trailer_seen = true;
            return Taken::Nothing;
        }
        let pushed = match &mut self.form {
            Form::Delimited(delimited) => {
                let splitter = &mut delimited.splitter;
                match if first { splitter.begin(bytes, end) } else { splitter.go_on(bytes, end) } {
                    Progress::Open => return Taken::Open,
                    Progress::StrayBehindQuote => return Taken::Stray,
                    Progress::Complete => {}
                }
                if self.phase == Phase::Names {
                    match delimited.take_names(bytes) {
                        Ok(()) => self.phase = Phase::Records,
                        Err(problem) => self.fail(&problem),
                    }
                    return Taken::Nothing;
                }
                if self.open.malformed {
                    return Taken::Rejected(MALFORMED.to_owned());
                }
                delimited.push(bytes, &mut self.values, block)
            }
            Form::Fixed(fixed) => fixed.push(content, &mut self.values, block),
            Form::Json(_) if self.open.malformed => Err(MALFORMED.to_owned()),
            Form::Json(json) => json.push(line, &mut self.values, block),
        };
        match pushed {
            Ok(()) => {
                block.finish_record(origin);
                Taken::Record
            }
            Err(reason) => Taken::Rejected(reason),
        }
    }

    /// The record goes on behind `line`.
    fn leave_open(&mut self, window: &[u8], start: usize, line: Line, out: &mut Decoded) -> usize {
        let line = Line { content_end: line.content_end - start, next: line.next - start, end: line.end };
        if self.open.lines == 0 {
            self.open.first = line;
        }
        self.open.lines += 1;
        self.open.bytes = line.next;
        if self.open.lines < RECORD_LINES_MAX { 0 } else { self.reject_first_line(window, start, NOT_CLOSED, out) }
    }

    /// Rejects the first line of the record under construction; the next one begins behind it.
    fn reject_first_line(&mut self, window: &[u8], start: usize, reason: &str, out: &mut Decoded) -> usize {
        if self.phase == Phase::Names {
            self.fail("the line with the names of columns has a quote that is not closed");
            return 0;
        }
        let Line { content_end, next, .. } = self.open.first;
        let raw = window.get(start..start + content_end).unwrap_or_default().to_vec();
        out.rejects.push(Reject { origin: self.origin(), reason: reason.to_owned(), raw });
        self.open = Open::default();
        self.advance(next, 1, 1);
        next
    }

    const fn origin(&self) -> Origin {
        Origin { record: self.at.record + 1, line: self.at.line + 1, byte: self.at.byte }
    }

    #[inline]
    fn advance(&mut self, bytes: usize, lines: u64, records: u64) {
        if self.phase == Phase::Failed {
            return;
        }
        self.at.byte += bytes as u64;
        self.at.line += lines;
        self.at.record += records;
        if self.trailer_seen && records > 0 && self.trailer_problem.is_none() {
            self.trailer_problem = Some("records follow the trailer".to_owned());
        }
        // A trailer is read again after an interruption: it is part of no record. When records follow it, which is a
        // problem anyway, it is not, and is then found to be missing.
        if self.phase == Phase::Records && (!self.trailer_seen || records > 0) {
            self.safe = self.at;
        }
    }
}

/// What a line turned out to be.
enum Taken {
    /// A blank line, a comment, the header or the trailer.
    Nothing,
    /// The end of a record, which is in the block now.
    Record,
    /// The end of a record that cannot be decoded.
    Rejected(String),
    /// A part of a record that goes on in the next line.
    Open,
    /// Something stands between a closing quote and the next separator.
    Stray,
}

impl Form {
    const fn takes_empty_lines(&self) -> bool {
        match self {
            Self::Delimited(delimited) => delimited.takes_empty_lines(),
            Self::Fixed(_) | Self::Json(_) => false,
        }
    }
}

fn starts(line: &str, prefix: Option<&str>) -> bool {
    prefix.is_some_and(|prefix| line.starts_with(prefix))
}

impl TrailerSpec {
    /// What the trailer states wrongly about `records`.
    fn problem(&self, form: &mut Form, raw: &[u8], line: &[u8], records: u64) -> Option<String> {
        let stated = match (self.count.as_ref()?, form) {
            (Source::Column(column), Form::Delimited(delimited)) => {
                delimited.splitter.begin(line, None);
                delimited.splitter.row(line).get(*column)
            }
            (Source::Bytes(range), _) => raw.get(range.clone()),
            (Source::Column(_) | Source::Named(_) | Source::Path(_), _) => None,
        };
        let stated = stated.and_then(|text| Decimal::parse(text.trim_ascii()).ok());
        match stated {
            Some(stated) if stated.partial_cmp(&Decimal::from_integer(records)).is_some_and(|order| order.is_eq()) => {
                None
            }
            Some(stated) => Some(format!("the trailer states {stated} records, the file has {records}")),
            None => Some("the trailer holds no number of records where the format says".to_owned()),
        }
    }
}
