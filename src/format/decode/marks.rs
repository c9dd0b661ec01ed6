//! Where separators, line feeds, quotes and escapes stand in a piece of a file, found in one pass of 16 bytes at a time.
//!
//! [`memchr`] finds the next place of a byte quickly, but fields are short: most of its time would go into beginning
//! anew. CSV readers with such a pass of their own give fields and no places, and unquote by other rules than ours.

use std::ops::Range;
use wide::u8x16;

/// Bytes that are looked at together.
const STEP: usize = 64;

/// The marks in one window of bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    marked: Marked,
    /// Where they stand, ascending, behind the place in front of the window; from `used` on it is only room.
    places: Vec<u32>,
    used: usize,
    /// Bits that some byte of the window has.
    bits: u8x16,
    /// A protecting mark has been found since the last line feed.
    is_protected: bool,
    lines: Vec<LineEnd>,
    next: usize,
}

/// A line feed.
#[derive(Debug, Clone, Copy)]
struct LineEnd {
    /// Which of the marks it is.
    mark: usize,
    /// All marks between the line feed before it and this one are separators.
    is_plain: bool,
}

/// The bytes that are looked for, besides line feeds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marked {
    pub separator: u8,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
}

/// The marks of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineMarks {
    /// Which of the marks stand in it, with the line feed in front of it and its own.
    edges: Range<usize>,
    /// All marks in it are separators.
    pub is_plain: bool,
}

/// The fields of a line with quotes.
#[derive(Debug, Clone, Default)]
pub(super) struct QuotedLine {
    /// Where they stand, counted from the start of the line, without the quotes around them.
    pub bounds: Vec<(u32, u32)>,
    /// Which of them hold two quotes for one.
    pub doubled: Vec<usize>,
    /// Room for the value of such a field.
    pub value: Vec<u8>,
}

/// What was found among 64 bytes, a bit for each.
#[derive(Debug, Clone, Copy)]
struct Found {
    all: u64,
    line_feeds: u64,
    protecting: u64,
}

impl Marks {
    /// Finds the marks in a range of a window.
    ///
    /// # Panics
    /// When the window holds 4 GiB: inputs are decoded in pieces of a few MiB at most.
    #[expect(clippy::cast_possible_truncation, reason = "asserted in the first line")]
    pub fn find(&mut self, marked: Marked, window: &[u8], range: Range<usize>) {
        assert!(u32::try_from(window.len()).is_ok(), "a window holds less than 4 GiB");
        self.marked = marked;
        self.used = 0;
        self.lines.clear();
        self.next = 0;
        self.is_protected = false;
        self.bits = u8x16::ZERO;
        let mut from = range.start as u32;
        self.push_places(from.wrapping_sub(1), 1);
        let bytes = window.get(range).unwrap_or_default();
        let (steps, rest) = bytes.as_chunks::<STEP>();
        let splats = marked.protecting().map(u8x16::splat);
        let (separator, line_feed) = (u8x16::splat(marked.separator), u8x16::splat(b'\n'));
        for step in steps {
            let found = found_in(step, separator, line_feed, splats, &mut self.bits);
            self.add(from, found);
            from += STEP as u32;
        }
        if !rest.is_empty() {
            let mut step = [0; STEP];
            let (filled, behind) = step.split_at_mut_checked(rest.len()).unwrap_or_default();
            filled.copy_from_slice(rest);
            let valid = (1u64 << (STEP - behind.len())) - 1;
            let Found { all, line_feeds, protecting } = found_in(&step, separator, line_feed, splats, &mut self.bits);
            let found = Found { all: all & valid, line_feeds: line_feeds & valid, protecting: protecting & valid };
            self.add(from, found);
        }
    }

    /// All bytes that were looked at are ASCII.
    pub fn is_ascii(&self) -> bool {
        self.bits.to_bitmask() == 0
    }

    #[inline]
    fn add(&mut self, from: u32, found: Found) {
        let Found { all, mut line_feeds, mut protecting } = found;
        while line_feeds != 0 {
            let before = (line_feeds & line_feeds.wrapping_neg()) - 1;
            let mark = self.used + (all & before).count_ones() as usize;
            let is_plain = !self.is_protected && protecting & before == 0;
            self.lines.push(LineEnd { mark, is_plain });
            self.is_protected = false;
            protecting &= !before;
            line_feeds &= line_feeds - 1;
        }
        self.is_protected |= protecting != 0;
        self.push_places(from, all);
    }

    /// Adds a place for each bit.
    #[inline]
    fn push_places(&mut self, from: u32, mut bits: u64) {
        if self.places.len() < self.used + STEP {
            self.places.resize(self.places.len() * 2 + STEP, 0);
        }
        let mut room = self.places.get_mut(self.used..self.used + STEP).unwrap_or_default().iter_mut();
        while bits != 0
            && let Some(place) = room.next()
        {
            *place = from.wrapping_add(bits.trailing_zeros());
            bits &= bits - 1;
        }
        self.used += STEP - room.len();
    }

    /// Passes over everything in front of `start`.
    pub fn skip_to(&mut self, start: usize) {
        let ends_before = |line: &LineEnd| self.places.get(line.mark).is_some_and(|place| (*place as usize) < start);
        self.next +=
            self.lines.get(self.next..).unwrap_or_default().iter().take_while(|line| ends_before(line)).count();
    }

    /// The marks of the next line in the window that was looked at; `None` when none ends any more.
    #[inline]
    pub fn take_line(&mut self) -> Option<LineMarks> {
        let LineEnd { mark, is_plain } = *self.lines.get(self.next)?;
        let before = self.next.checked_sub(1).and_then(|before| self.lines.get(before)).map_or(0, |line| line.mark);
        self.next += 1;
        Some(LineMarks { edges: before..mark + 1, is_plain })
    }

    /// Where the marks of a line stand in the window: the line feed in front of it (or the place before the window), what
    /// stands in it, and its own line feed.
    #[inline]
    pub fn edges(&self, line: &LineMarks) -> &[u32] {
        self.places.get(line.edges.clone()).unwrap_or_default()
    }

    /// Splits a line in which each quote encloses a whole field, or is one of two that stand for one in such a field. False
    /// where anything is otherwise: then nothing is known.
    #[expect(clippy::cast_possible_truncation, reason = "asserted where a window is begun")]
    pub fn split_quoted(&self, window: &[u8], line: Range<usize>, marks: &LineMarks, split: &mut QuotedLine) -> bool {
        split.bounds.clear();
        split.doubled.clear();
        let Marked { separator, quote: Some(quote), escape: None } = self.marked else { return false };
        let is = |at: usize, byte: u8| window.get(at) == Some(&byte);
        let (start, end) = (line.start, line.end);
        let inside = self.edges(marks).get(1..).unwrap_or_default();
        let mut places = inside.iter().map(|place| *place as usize).take_while(|place| *place < end);
        let mut field = start;
        loop {
            let is_quoted = field < end && is(field, quote);
            let bytes = if is_quoted {
                // Its opening quote is the next mark, then comes the closing one; separators between them are text.
                places.next();
                let mut is_doubled = false;
                let closing = loop {
                    let Some(place) = places.by_ref().find(|place| is(*place, quote)) else { return false };
                    if !is(place + 1, quote) {
                        break place;
                    }
                    places.next();
                    is_doubled = true;
                };
                split.doubled.extend(is_doubled.then_some(split.bounds.len()));
                field + 1..closing
            } else {
                field..places.by_ref().find(|place| is(*place, separator)).unwrap_or(end)
            };
            split.bounds.push(((bytes.start - start) as u32, (bytes.end - start) as u32));
            let behind = bytes.end + usize::from(is_quoted);
            if behind == end {
                return true;
            }
            if is_quoted && places.next() != Some(behind) || !is(behind, separator) {
                return false;
            }
            field = behind + 1;
        }
    }

    /// The value of a field in which two quotes stand for one.
    pub fn undouble<'v>(&self, text: &[u8], value: &'v mut Vec<u8>) -> &'v [u8] {
        value.clear();
        let mut rest = text;
        while let Some(at) = self.marked.quote.and_then(|quote| memchr::memchr(quote, rest)) {
            let (run, behind) = rest.split_at_checked(at + 1).unwrap_or((rest, &[]));
            value.extend_from_slice(run);
            rest = behind.get(1..).unwrap_or_default();
        }
        value.extend_from_slice(rest);
        value
    }

    /// Where the last line that has ended ends.
    pub fn end(&self) -> Option<usize> {
        let place = *self.places.get(self.lines.last()?.mark)?;
        Some(place as usize + 1)
    }
}

impl Marked {
    /// A byte that does not protect is looked for twice, or is the separator, instead of not at all.
    fn protecting(self) -> [u8; 2] {
        let quote = self.quote.or(self.escape).unwrap_or(self.separator);
        [quote, self.escape.unwrap_or(quote)]
    }
}

/// Looks for bytes among 64, and adds the bits that they have.
#[inline]
fn found_in(
    step: &[u8; STEP],
    separator: u8x16,
    line_feed: u8x16,
    protecting: [u8x16; 2],
    has_bits: &mut u8x16,
) -> Found {
    let (parts, _) = step.as_chunks::<16>();
    let mut found = Found { all: 0, line_feeds: 0, protecting: 0 };
    for (part, shift) in parts.iter().zip([0, 16, 32, 48]) {
        let part = u8x16::new(*part);
        *has_bits |= part;
        let separators = part.simd_eq(separator);
        let line_feeds = part.simd_eq(line_feed);
        let protecting = part.simd_eq(protecting[0]) | part.simd_eq(protecting[1]);
        let bits = |places: u8x16| u64::from(places.to_bitmask()) << shift;
        found.all |= bits(separators | line_feeds | protecting);
        found.line_feeds |= bits(line_feeds);
        found.protecting |= bits(protecting & !separators);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_are_where_the_bytes_are(
            bytes in prop::collection::vec(prop::sample::select(b"a,|\"\\\n\r\xE4".to_vec()), 0..300),
            start in 0usize..40,
            quote in prop::option::of(Just(b'"')),
            escape in prop::option::of(Just(b'\\')),
        ) {
            let marked = Marked { separator: b',', quote, escape };
            let start = start.min(bytes.len());
            let mut marks = Marks::default();
            marks.find(marked, &bytes, start..bytes.len());
            let mut from = start;
            for line in bytes[start..].split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
                let content = &line[..line.len() - 1];
                let is_mark = |byte: u8| byte == b',' || Some(byte) == quote || Some(byte) == escape;
                let places: Vec<usize> = (0..content.len()).filter(|at| is_mark(content[*at])).collect();
                let is_plain = places.iter().all(|at| content[*at] == b',');
                let found = marks.take_line().expect("a line");
                prop_assert_eq!(found.is_plain, is_plain);
                let edges: Vec<usize> = marks.edges(&found).iter().map(|place| place.wrapping_add(1) as usize).collect();
                let expected = [from].into_iter().chain(places.iter().map(|at| from + at + 1)).chain([from + line.len()]);
                prop_assert_eq!(edges, expected.collect::<Vec<_>>());
                prop_assert_eq!(marks.is_ascii(), bytes[start..].is_ascii());
                from += line.len();
                prop_assert!(marks.end() >= Some(from));
            }
            prop_assert_eq!(marks.take_line(), None);
            marks.skip_to(start);
            prop_assert_eq!(marks.take_line(), None);
        }
    }
}
