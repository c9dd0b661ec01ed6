//! Lines that are records by themselves and hold nothing but fields and separators: most lines of most files. They are
//! split by the places that [`super::marks`] finds, and everything else is left to the way that takes line by line.

use super::lines::Line;
use super::marks::Mark;
use super::{Decoded, Decoder, Form, Phase, RECORD_BYTES_MAX, Reject};
use crate::format::charset::Charset;
use crate::format::dialect::LineEnd;

impl Decoder {
    /// Finds the marks of a window. Says up to where its bytes are text of the file's charset that needs no decoding; 0
    /// when lines of this file are taken one by one.
    pub(super) fn mark_lines(&mut self, window: &[u8], start: usize) -> usize {
        let Form::Delimited(delimited) = &self.form else { return 0 };
        let Some(marked) = delimited.splitter.marked().filter(|_| self.lines.ends_with_line_feed()) else { return 0 };
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
        if text_end > 0 {
            self.marks.skip_to(start);
        }
        while text_end > 0 && self.phase == Phase::Records && self.open.lines == 0 && self.skipping.is_none() {
            let Some((line, is_plain)) = self.split_plain(window, start) else { return start };
            let content = window.get(start..line.content_end).unwrap_or_default();
            let is_plain = is_plain
                && line.content_end <= text_end
                && !content.is_empty()
                && content.len() <= RECORD_BYTES_MAX
                && !self.is_set_apart(content);
            self.open.searched = 0;
            start += if is_plain {
                self.take_plain(content, line.next - start, out)
            } else {
                self.take_line(window, start, line, out)
            };
        }
        start
    }

    /// The line that begins at `start`, split at its separators; `None` when it does not end here.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a line of more than 1 MiB is not taken")]
    fn split_plain(&mut self, window: &[u8], start: usize) -> Option<(Line, bool)> {
        let Form::Delimited(delimited) = &mut self.form else { return None };
        let spans = delimited.splitter.begin_plain();
        let (mut field, mut is_plain) = (0, true);
        loop {
            let (at, mark) = self.marks.take()?;
            let end = at - start;
            match mark {
                Mark::Separator => {
                    spans.push((field, end as u32));
                    field = end as u32 + 1;
                }
                Mark::Protector => is_plain = false,
                Mark::LineFeed => {
                    let is_crlf = end > 0 && window.get(at - 1) == Some(&b'\r');
                    let (content_end, kind) = if is_crlf { (at - 1, LineEnd::CrLf) } else { (at, LineEnd::Lf) };
                    spans.push((field, (content_end - start) as u32));
                    return Some((Line { content_end, next: at + 1, end: Some(kind) }, is_plain));
                }
            }
        }
    }

    /// A comment or a trailer.
    #[inline]
    fn is_set_apart(&self, content: &[u8]) -> bool {
        let begins = |text: &str| content.starts_with(text.as_bytes());
        self.comment.as_deref().is_some_and(begins)
            || self.trailer.as_ref().is_some_and(|trailer| begins(&trailer.starts))
    }

    /// Takes the record that was just split.
    #[inline]
    fn take_plain(&mut self, content: &[u8], bytes: usize, out: &mut Decoded) -> usize {
        let origin = self.origin();
        let Form::Delimited(delimited) = &self.form else { return 0 };
        match delimited.push(content, &mut self.values, &mut out.block) {
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
