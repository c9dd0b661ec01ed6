//! Lines that are records by themselves and whose fields can stay as they are: most lines of most files. They are split
//! by the places that [`super::marks`] finds, and everything else is left to the way that takes line by line. What comes
//! out is the same; the tests compare.

use super::delimited::Separators;
use super::lines::Line;
use super::marks::{LineMarks, Marked, split_quoted};
use super::{Decoded, Decoder, Form, Phase, RECORD_BYTES_MAX, Reject};
use crate::format::charset::Charset;
use crate::format::dialect::LineEnd;

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
        let text = match self.charset {
            Charset::Utf8 => std::str::from_utf8(bytes).map_or_else(|fault| fault.valid_up_to(), str::len),
            // Bytes of other characters can look like separators: then nothing is known of what follows.
            Charset::Ascii | Charset::Table(_) if self.charset.is_ascii_compatible() && bytes.is_ascii() => bytes.len(),
            Charset::Ascii | Charset::Table(_) | Charset::Utf16Le | Charset::Utf16Be => return 0,
        };
        self.marks.find(marked, window, start..window.len());
        start + text
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
        let Some(marked) = self.marked().filter(|_| text_end > 0) else { return start };
        self.marks.skip_to(start);
        while self.phase == Phase::Records && self.open.lines == 0 && self.skipping.is_none() {
            let Some(marks) = self.marks.take_line(marked, window) else { return start };
            let end = marks.line_feed;
            let is_crlf = end > start && window.get(end - 1) == Some(&b'\r');
            let content_end = end - usize::from(is_crlf);
            let content = window.get(start..content_end).unwrap_or_default();
            let may_be_plain = content_end <= text_end
                && !content.is_empty()
                && content.len() <= RECORD_BYTES_MAX
                && !self.is_set_apart(content);
            self.open.searched = 0;
            let is_plain = may_be_plain
                && (marks.is_plain || {
                    let places = self.marks.places(&marks);
                    split_quoted(marked, window, (start, content_end), places, &mut self.quoted)
                });
            start += if is_plain {
                self.take_plain(content, start, &marks, end + 1 - start, out)
            } else {
                let kind = if is_crlf { LineEnd::CrLf } else { LineEnd::Lf };
                self.take_line(window, start, Line { content_end, next: end + 1, end: Some(kind) }, out)
            };
        }
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

    /// Takes a line that is a record.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "asserted when the marks were looked for")]
    fn take_plain(
        &mut self,
        content: &[u8],
        start: usize,
        marks: &LineMarks,
        bytes: usize,
        out: &mut Decoded,
    ) -> usize {
        let origin = self.origin();
        let Form::Delimited(delimited) = &self.form else { return 0 };
        let pushed = if marks.is_plain {
            let separators = Separators { places: self.marks.places(marks), start: start as u32 };
            delimited.push_plain(content, separators, &mut self.values, &mut out.block)
        } else {
            delimited.push_bounded(content, &self.quoted, &mut self.values, &mut out.block)
        };
        match pushed {
            Ok(()) => out.block.finish_record(origin),
            Err(reason) => {
                out.block.abandon_record();
                out.rejects.push(Reject { origin, reason, raw: content.to_vec() });
            }
        }
        self.advance(bytes, 1, 1);
        bytes
    }
}
