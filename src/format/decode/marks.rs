//! Where separators, line feeds and quotes stand in a piece of a file, found in one pass of 16 bytes at a time.
//!
//! [`memchr`] finds the next place of a byte quickly, but fields are short: most of its time would go into beginning
//! anew. CSV readers with such a pass of their own give fields and no places, and unquote by other rules than ours.

use std::ops::Range;
use wide::u8x16;

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Separator,
    LineFeed,
    /// A quote or an escape.
    Protector,
}

/// Bytes that are looked at together.
const STEP: usize = 64;
/// Places are kept in 30 bits.
const WINDOW_BYTES_MAX: usize = 1 << 30;

/// The places in one window of bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// Place and kind, ascending.
    places: Vec<u32>,
    next: usize,
}

/// The bytes that are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marked {
    pub separator: u8,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
}

impl Marks {
    /// Finds the marks in a range of a window.
    pub fn find(&mut self, marked: Marked, window: &[u8], range: Range<usize>) {
        self.places.clear();
        self.next = 0;
        let bytes = window.get(range.clone()).filter(|_| window.len() < WINDOW_BYTES_MAX).unwrap_or_default();
        // A byte that does not protect is looked for twice instead of not at all.
        let quote = marked.quote.or(marked.escape).unwrap_or(marked.separator);
        let escape = marked.escape.unwrap_or(quote);
        let wanted = [marked.separator, b'\n', quote, escape].map(u8x16::splat);
        let (steps, rest) = bytes.as_chunks::<STEP>();
        let mut from = range.start;
        for step in steps {
            let [separators, feeds, quotes, escapes] = places_of(step, wanted);
            self.add(from, separators, feeds, quotes | escapes);
            from += STEP;
        }
        let mut last = [0u64; 4];
        for (bit, byte) in rest.iter().enumerate() {
            for (places, wanted) in last.iter_mut().zip([marked.separator, b'\n', quote, escape]) {
                *places |= u64::from(*byte == wanted) << bit;
            }
        }
        let [separators, feeds, quotes, escapes] = last;
        self.add(from, separators, feeds, quotes | escapes);
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "windows are shorter than 2^30 bytes")]
    fn add(&mut self, from: usize, separators: u64, feeds: u64, protectors: u64) {
        let mut all = separators | feeds | protectors;
        while all != 0 {
            let bit = all.trailing_zeros();
            let kind = ((feeds >> bit) & 1) | ((protectors & !separators) >> bit & 1) << 1;
            self.places.push(((from as u32 + bit) << 2) | kind as u32);
            all &= all - 1;
        }
    }

    /// Passes over everything in front of `start`.
    pub fn skip_to(&mut self, start: usize) {
        while self.places.get(self.next).is_some_and(|place| ((place >> 2) as usize) < start) {
            self.next += 1;
        }
    }

    /// The next mark.
    #[inline]
    pub fn take(&mut self) -> Option<(usize, Mark)> {
        let place = *self.places.get(self.next)?;
        self.next += 1;
        let mark = match place & 3 {
            0 => Mark::Separator,
            1 => Mark::LineFeed,
            _ => Mark::Protector,
        };
        Some(((place >> 2) as usize, mark))
    }
}

/// The places of four bytes among 64, a bit for each.
#[inline]
fn places_of(step: &[u8; STEP], wanted: [u8x16; 4]) -> [u64; 4] {
    let mut places = [0u64; 4];
    let (parts, _) = step.as_chunks::<16>();
    for (part, shift) in parts.iter().zip([0, 16, 32, 48]) {
        let part = u8x16::new(*part);
        for (places, wanted) in places.iter_mut().zip(wanted) {
            *places |= u64::from(part.simd_eq(wanted).to_bitmask()) << shift;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(marked: Marked, bytes: &[u8], range: Range<usize>) -> Vec<(usize, Mark)> {
        let mut marks = Marks::default();
        marks.find(marked, bytes, range);
        std::iter::from_fn(|| marks.take()).collect()
    }

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
            let expected: Vec<(usize, Mark)> = bytes.iter().enumerate().skip(start).filter_map(|(at, byte)| match byte {
                b',' => Some((at, Mark::Separator)),
                b'\n' => Some((at, Mark::LineFeed)),
                byte if Some(*byte) == quote || Some(*byte) == escape => Some((at, Mark::Protector)),
                _ => None,
            }).collect();
            prop_assert_eq!(taken(marked, &bytes, start..bytes.len()), expected);
        }
    }
}
