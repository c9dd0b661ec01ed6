//! Lines that are records by themselves: most lines of most files. They are split by the places that [`super::marks`]
//! finds, their bytes are copied together, and values are read column by column, so that what a field is gets asked once
//! for many records. Everything else is left to the way that takes line by line. What comes out is the same; the tests
//! compare.

use super::lines::Line;
use super::marks::{LineMarks, Marked, QuotedLine};
use super::splitter::Progress;
use super::{Decoded, Decoder, Form, Phase, RECORD_BYTES_MAX, Reject};
use crate::format::charset::Charset;
use crate::format::dialect::LineEnd;
use crate::record::Origin;
use std::collections::BTreeMap;

impl Decoder {
    /// Finds the marks of a window. Says up to where its bytes are text of the file's charset that needs no decoding; 0
    /// when lines of this file are taken one by one.
    pub(super) fn mark_lines(&mut self, window: &[u8], start: usize) -> usize {
        let Some(marked) = self.marked() else { return 0 };
        // Where nothing ends that was not looked at before there is nothing to split, however often that is asked.
        let new = window.get(start + self.open.searched..).unwrap_or_default();
        if self.open.lines > 0 || self.skipping.is_some() || memchr::memchr(b'\n', new).is_none() {
            return 0;
        }
        let bytes = window.get(start..).unwrap_or_default();
        // Bytes of other characters can look like separators: then nothing is known of what follows.
        let is_text = self.charset == Charset::Utf8 || self.charset.is_ascii_compatible() && bytes.is_ascii();
        if !is_text {
            return 0;
        }
        self.marks.find(marked, window, start..window.len());
        self.window_at = None;
        if self.marks.is_ascii() {
            return window.len();
        }
        start + std::str::from_utf8(bytes).map_or_else(|fault| fault.valid_up_to(), str::len)
    }

    /// Decodes lines from `start` on. Returns where it stopped: where no line ends any more, or at a record of which a
    /// part was taken.
    pub(super) fn take_plain_lines(
        &mut self,
        window: &[u8],
        mut start: usize,
        text_end: usize,
        out: &mut Decoded,
    ) -> usize {
        if text_end == 0 {
            return start;
        }
        self.marks.skip_to(start);
        let mut rows = Rows::begin(out, self.at.byte, start);
        while self.phase == Phase::Records && self.open.lines == 0 && self.skipping.is_none() {
            let Some(marks) = self.marks.take_line() else { break };
            let Some(line_feed) = self.marks.edges(&marks).last().map(|place| *place as usize) else { break };
            let is_crlf = line_feed > start && window.get(line_feed - 1) == Some(&b'\r');
            let end = if is_crlf { LineEnd::CrLf } else { LineEnd::Lf };
            let content_end = line_feed - usize::from(is_crlf);
            let line = Line { content_end, next: line_feed + 1, end: Some(end) };
            let content = window.get(start..content_end).unwrap_or_default();
            let may_be_record = content_end <= text_end
                && !content.is_empty()
                && content.len() <= RECORD_BYTES_MAX
                && !self.is_set_apart(content);
            self.open.searched = 0;
            if may_be_record && self.take_row(window, start, line, &marks, &mut rows, out) {
                self.advance(line.next - start, 1, 1);
                start = line.next;
            } else {
                self.settle(window, rows, out);
                start += self.take_line(window, start, line, out);
                rows = Rows::begin(out, self.at.byte, start);
            }
        }
        self.settle(window, rows, out);
        start
    }

    /// What to look for, where lines can be split by places.
    fn marked(&self) -> Option<Marked> {
        #[cfg(test)]
        if self.is_strict {
            return None;
        }
        let Form::Delimited(delimited) = &self.form else { return None };
        delimited.splitter.marked().filter(|_| self.lines.ends_with_line_feed())
    }

    /// A comment or a trailer.
    #[inline]
    fn is_set_apart(&self, content: &[u8]) -> bool {
        let begins = |text: &str| content.starts_with(text.as_bytes());
        self.comment.as_deref().is_some_and(begins)
            || self.trailer.as_ref().is_some_and(|trailer| begins(&trailer.starts))
    }

    /// Appends the record in a line, its values as they stand. False when the line is none by itself.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "asserted when the marks were looked for")]
    fn take_row(
        &mut self,
        window: &[u8],
        start: usize,
        line: Line,
        marks: &LineMarks,
        rows: &mut Rows,
        out: &mut Decoded,
    ) -> bool {
        let origin = self.origin();
        let Form::Delimited(delimited) = &mut self.form else { return false };
        let window_at = *self.window_at.get_or_insert_with(|| {
            let lines = window.get(start..self.marks.end().unwrap_or_default()).unwrap_or_default();
            out.block.push_lines(lines).wrapping_sub(start as u32)
        });
        let pushed = if marks.is_plain {
            delimited.push_edges(window_at, self.marks.edges(marks), line.content_end as u32, &mut out.block)
        } else if self.marks.split_quoted(window, start..line.content_end, marks, &mut self.quoted) {
            let base = window_at.wrapping_add(start as u32);
            let QuotedLine { bounds, doubled, value } = &mut self.quoted;
            for field in doubled.iter() {
                let Some((from, to)) = bounds.get_mut(*field) else { continue };
                let text = window.get(start + *from as usize..start + *to as usize).unwrap_or_default();
                let place = out.block.push_text(self.marks.undouble(text, value));
                (*from, *to) = (place.start - base, place.end - base);
            }
            delimited.push_bounds(base, bounds, &mut out.block)
        } else {
            let content = window.get(start..line.content_end).unwrap_or_default();
            if delimited.splitter.begin(content, line.end) != Progress::Complete {
                return false;
            }
            delimited.push(content, &mut out.block)
        };
        if let Err(reason) = pushed {
            rows.faults.insert(out.block.len(), reason);
            let fields = out.block.schema().fields.len();
            out.block.push_places((0..fields).map(|_| 0..0));
        }
        out.block.finish_record(origin);
        true
    }

    /// Reads the values of the rows, and sets those apart that are no records.
    fn settle(&mut self, window: &[u8], mut rows: Rows, out: &mut Decoded) {
        let Form::Delimited(delimited) = &self.form else { return };
        if rows.first == out.block.len() {
            return;
        }
        delimited.settle(&mut self.values, rows.first, &mut out.block, &mut rows.faults);
        if rows.faults.is_empty() {
            return;
        }
        for (index, reason) in &rows.faults {
            let origin = out.block.origins().get(*index).copied().unwrap_or_default();
            let raw = rows.line(window, origin).to_vec();
            out.rejects.push(Reject { origin, reason: reason.clone(), raw });
        }
        out.block.retain(rows.first, |index| !rows.faults.contains_key(&index));
    }
}

/// Records whose values are not read yet.
struct Rows {
    /// Index of the first.
    first: usize,
    /// Byte of the file at which the window begins.
    window_byte: u64,
    /// Why a row is no record.
    faults: BTreeMap<usize, String>,
}

impl Rows {
    /// None yet, and the next one stands at `start` of the window, which is the byte `at` of the file.
    fn begin(out: &Decoded, at: u64, start: usize) -> Self {
        Self { first: out.block.len(), window_byte: at.wrapping_sub(start as u64), faults: BTreeMap::new() }
    }

    /// The content of the line at `origin`.
    fn line<'w>(&self, window: &'w [u8], origin: Origin) -> &'w [u8] {
        let start = usize::try_from(origin.byte.wrapping_sub(self.window_byte)).unwrap_or(usize::MAX);
        let behind = window.get(start..).unwrap_or_default();
        let line = behind.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}
