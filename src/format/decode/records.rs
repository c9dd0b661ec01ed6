//! From lines to records: heads, comments, records of several lines, trailers, and lines that are too long.

use super::delimited::Delimited;
use super::lines::Line;
use super::spec::{Header, Source};
use super::splitter::Progress;
use super::value::ValueReader;
use super::{Decoded, Decoder, Form, Open, Phase, RECORD_BYTES_MAX, RECORD_LINES_MAX, Reject, Skipping, mark};
use crate::format::dialect::LineEnd;
use crate::record::{Origin, RecordBlock};
use std::collections::BTreeMap;

pub(super) const TOO_LONG: &str = "the line is longer than 1 MiB";
pub(super) const NOT_CLOSED: &str = "a quote or escape on this line is not closed within 64 lines and 1 MiB";
pub(super) const STRAY: &str = "something other than a separator stands behind a closing quote";
pub(super) const STRAY_LATER: &str = "a quote on this line is closed on a later line, but not before a separator";
pub(super) const MALFORMED: &str = "the record holds bytes that are not of the file's charset";

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

impl Decoder {
    /// Decodes the complete records at the start of `window`, which begins with the record under construction. Returns
    /// how many bytes need not be seen again.
    pub(super) fn scan(&mut self, window: &[u8], at_end: bool, out: &mut Decoded) -> usize {
        let mut start = 0;
        if self.phase == Phase::Start {
            match self.take_mark(window, at_end) {
                Some(bytes) => start = bytes,
                None => return 0,
            }
        }
        let plain = self.mark_lines(window, start);
        loop {
            if self.phase == Phase::Failed {
                return window.len();
            }
            start = self.take_plain_lines(window, start, plain, out);
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
        match mark::at_start(window, self.charset, at_end)? {
            Ok(bytes) => {
                self.at.byte = bytes as u64;
                self.phase = Phase::Skip(self.skip_lines);
                self.end_skip_phase();
                Some(bytes)
            }
            Err(problem) => {
                self.fail(&problem);
                Some(0)
            }
        }
    }

    fn end_skip_phase(&mut self) {
        if self.phase == Phase::Skip(0) {
            self.phase = if self.header == Header::Names { Phase::Names } else { Phase::Records };
        }
    }

    pub(super) fn fail(&mut self, problem: &str) {
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
    pub(super) fn take_line(&mut self, window: &[u8], start: usize, line: Line, out: &mut Decoded) -> usize {
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
            let stated = match (&trailer.count, &mut self.form) {
                (Some(Source::Column(column)), Form::Delimited(delimited)) => delimited.column(bytes, *column),
                (Some(Source::Bytes(range)), _) => content.get(range.clone()),
                (Some(Source::Column(_) | Source::Named(_) | Source::Path(_)) | None, _) => None,
            };
            let problem = trailer.problem(stated, self.at.record);
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
                return push_record(delimited, bytes, origin, &mut self.values, block);
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

    pub(super) const fn origin(&self) -> Origin {
        Origin { record: self.at.record + 1, line: self.at.line + 1, byte: self.at.byte }
    }

    #[inline]
    pub(super) fn advance(&mut self, bytes: usize, lines: u64, records: u64) {
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

/// Appends the record that the splitter just completed.
fn push_record(
    delimited: &Delimited,
    line: &[u8],
    origin: Origin,
    values: &mut [ValueReader],
    block: &mut RecordBlock,
) -> Taken {
    if let Err(reason) = delimited.push(line, block) {
        return Taken::Rejected(reason);
    }
    let index = block.len();
    block.finish_record(origin);
    let mut faults = BTreeMap::new();
    delimited.settle(values, index, block, &mut faults);
    match faults.remove(&index) {
        None => Taken::Record,
        Some(reason) => {
            block.retain(index, |_| false);
            Taken::Rejected(reason)
        }
    }
}

impl Form {
    const fn takes_empty_lines(&self) -> bool {
        match self {
            Self::Delimited(delimited) => delimited.takes_empty_lines(),
            Self::Fixed(_) | Self::Json(_) => false,
        }
    }
}

pub(super) fn starts(line: &str, prefix: Option<&str>) -> bool {
    prefix.is_some_and(|prefix| line.starts_with(prefix))
}
