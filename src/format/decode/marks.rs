//! Where separators, line feeds, quotes and escapes stand in a piece of a file, found in one pass of 16 bytes at a time.
//!
//! [`memchr`] finds the next place of a byte quickly, but fields are short: most of its time would go into beginning
//! anew. CSV readers with such a pass of their own give fields and no places, and unquote by other rules than ours.

use std::ops::Range;
use wide::u8x16;

/// Bytes that are looked at together.
const STEP: usize = 64;

/// The places in one window of bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// Ascending.
    places: Vec<u32>,
    next: usize,
}

/// The bytes that are looked for, besides line feeds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marked {
    pub separator: u8,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
}

/// The marks of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineMarks {
    /// Which of the marks stand in it.
    inside: Range<usize>,
    /// Where its line feed stands.
    pub line_feed: usize,
    /// All marks in it are separators.
    pub is_plain: bool,
}

impl Marks {
    /// Finds the marks in a range of a window.
    ///
    /// # Panics
    /// When the window holds 4 GiB: inputs are read in pieces of 256 KiB.
    pub fn find(&mut self, marked: Marked, window: &[u8], range: Range<usize>) {
        assert!(u32::try_from(window.len()).is_ok(), "a window holds less than 4 GiB");
        self.places.clear();
        self.next = 0;
        let bytes = window.get(range.clone()).unwrap_or_default();
        let wanted = marked.wanted();
        let splats = wanted.map(u8x16::splat);
        let (steps, rest) = bytes.as_chunks::<STEP>();
        let mut from = range.start;
        for step in steps {
            self.add(from, places_of(step, splats));
            from += STEP;
        }
        let is_wanted = |byte: &u8| u64::from(wanted.contains(byte));
        let last = rest.iter().enumerate().fold(0, |places, (bit, byte)| places | is_wanted(byte) << bit);
        self.add(from, last);
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "asserted where a window is begun")]
    fn add(&mut self, from: usize, mut places: u64) {
        while places != 0 {
            self.places.push(from as u32 + places.trailing_zeros());
            places &= places - 1;
        }
    }

    /// Passes over everything in front of `start`.
    pub fn skip_to(&mut self, start: usize) {
        while self.places.get(self.next).is_some_and(|place| (*place as usize) < start) {
            self.next += 1;
        }
    }

    /// The marks up to the next line feed in the window that was looked at; `None` when none is left.
    #[inline]
    pub fn take_line(&mut self, marked: Marked, window: &[u8]) -> Option<LineMarks> {
        let mut is_plain = true;
        for (count, place) in self.places.get(self.next..)?.iter().enumerate() {
            let byte = *window.get(*place as usize)?;
            if byte == b'\n' {
                let end = self.next + count;
                let inside = std::mem::replace(&mut self.next, end + 1)..end;
                return Some(LineMarks { inside, line_feed: *place as usize, is_plain });
            }
            is_plain &= byte == marked.separator;
        }
        None
    }

    /// Where the marks of a line stand in the window.
    #[inline]
    pub fn places(&self, line: &LineMarks) -> &[u32] {
        self.places.get(line.inside.clone()).unwrap_or_default()
    }
}

/// The bounds of the fields between `start` and `end`, counted from `start`, for a line with quotes of which each
/// encloses a whole field and stands for nothing else. False where anything is otherwise: then nothing is known.
#[expect(clippy::cast_possible_truncation, reason = "asserted where a window is begun")]
pub(super) fn split_quoted(
    marked: Marked,
    window: &[u8],
    (start, end): (usize, usize),
    places: &[u32],
    bounds: &mut Vec<(u32, u32)>,
) -> bool {
    bounds.clear();
    let Some(quote) = marked.quote.filter(|_| marked.escape.is_none()) else { return false };
    let is = |at: usize, byte: u8| window.get(at) == Some(&byte);
    let mut places = places.iter().map(|place| *place as usize);
    let mut field = start;
    loop {
        let is_quoted = field < end && is(field, quote);
        let bytes = if is_quoted {
            // Its opening quote is the next mark, then comes the closing one; separators between them are text.
            let closing = places.by_ref().skip(1).find(|place| is(*place, quote));
            let Some(closing) = closing else { return false };
            field + 1..closing
        } else {
            field..places.by_ref().find(|place| is(*place, marked.separator)).unwrap_or(end)
        };
        bounds.push(((bytes.start - start) as u32, (bytes.end - start) as u32));
        let behind = bytes.end + usize::from(is_quoted);
        if behind == end {
            return true;
        }
        if is_quoted && places.next() != Some(behind) || !is(behind, marked.separator) {
            return false;
        }
        field = behind + 1;
    }
}

impl Marked {
    /// A byte that does not protect is looked for twice instead of not at all.
    fn wanted(self) -> [u8; 4] {
        let quote = self.quote.or(self.escape).unwrap_or(self.separator);
        [self.separator, b'\n', quote, self.escape.unwrap_or(quote)]
    }
}

/// The places of four bytes among 64, a bit for each.
#[inline]
fn places_of(step: &[u8; STEP], wanted: [u8x16; 4]) -> u64 {
    let [first, second, third, fourth] = wanted;
    let (parts, _) = step.as_chunks::<16>();
    parts.iter().zip([0, 16, 32, 48]).fold(0, |places, (part, shift)| {
        let part = u8x16::new(*part);
        let found = part.simd_eq(first) | part.simd_eq(second) | part.simd_eq(third) | part.simd_eq(fourth);
        places | u64::from(found.to_bitmask()) << shift
    })
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
                let found = marks.take_line(marked, &bytes).expect("a line");
                prop_assert_eq!((found.line_feed, found.is_plain), (from + content.len(), is_plain));
                let found: Vec<usize> = marks.places(&found).iter().map(|place| *place as usize - from).collect();
                prop_assert_eq!(found, places);
                from += line.len();
            }
            prop_assert_eq!(marks.take_line(marked, &bytes), None);
        }
    }
}
