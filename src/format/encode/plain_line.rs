//! A line of values between separators as it is when nothing in it needs protection, as a rule. Values are copied one
//! behind the other; whether they can stand as they are is found afterwards, 16 bytes at a time.

use wide::u8x16;

/// Longest line that is made this way; longer ones are put value by value.
const LINE_BYTES: usize = 2048;
/// Bytes that are copied without looking at the length.
pub(super) const FEW_BYTES: usize = 48;
const STEP: usize = 16;

/// Which bytes can be copied into a line whose values stand between separators of one byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineChecker {
    separator: u8,
    /// Bytes that need protection.
    protected: [u8; 2],
    /// The last byte that is the same in the charset: 0x7F, or any where the values are written as they are.
    last: u8,
}

/// The bytes in front of the first one that is no control character.
const CONTROLS: u8 = 0x20;
const DELETE: u8 = 0x7f;
/// Stands behind the line where it is looked at.
const FILLER: u8 = b'x';

impl LineChecker {
    /// `None` when a line with these bytes cannot be looked at like this.
    pub fn new(separator: u8, protected: [Option<u8>; 2], is_utf8: bool) -> Option<Self> {
        // What needs no protection is looked for as a control character, which is not there either.
        let protected = protected.map(|byte| byte.unwrap_or(DELETE));
        let is_usable = separator != FILLER && !protected.contains(&FILLER);
        is_usable.then_some(Self { separator, protected, last: if is_utf8 { u8::MAX } else { DELETE } })
    }

    /// The separators in these bytes, when there is nothing in them that cannot be copied.
    #[inline]
    fn separators(self, parts: &[[u8; STEP]]) -> Option<usize> {
        let [separator, delete, first, second] =
            [self.separator, DELETE, self.protected[0], self.protected[1]].map(u8x16::splat);
        let (controls, last) = (u8x16::splat(CONTROLS), u8x16::splat(self.last));
        let (mut found, mut stopped) = (0, 0);
        for part in parts {
            let part = u8x16::new(*part);
            let is_separator = part.simd_eq(separator);
            let is_stopped = part.simd_lt(controls)
                | part.simd_eq(delete)
                | part.simd_eq(first)
                | part.simd_eq(second)
                | part.simd_gt(last);
            found += is_separator.to_bitmask().count_ones() as usize;
            stopped |= (is_stopped & !is_separator).to_bitmask();
        }
        (stopped == 0).then_some(found)
    }
}

/// A line under construction.
#[derive(Debug, Clone)]
pub(super) struct PlainLine {
    /// Room for the line, and for what is copied along.
    bytes: Box<[u8; LINE_BYTES + FEW_BYTES]>,
    /// More than there is room for when a value did not fit.
    length: usize,
}

impl PlainLine {
    pub fn new() -> Self {
        Self { bytes: Box::new([0; LINE_BYTES + FEW_BYTES]), length: 0 }
    }

    /// Begins anew.
    pub const fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends the first `length` bytes. A few are copied with what follows them, which the next ones replace.
    #[inline]
    pub fn put(&mut self, bytes: &[u8], length: usize) {
        let at = self.length;
        self.length = at.saturating_add(length);
        if self.length > LINE_BYTES {
            return;
        }
        let room = self.bytes.get_mut(at..).unwrap_or_default();
        match (bytes.first_chunk::<FEW_BYTES>(), room.first_chunk_mut::<FEW_BYTES>()) {
            (Some(few), Some(room)) if length <= FEW_BYTES => *room = *few,
            _ => match (room.get_mut(..length), bytes.get(..length)) {
                (Some(room), Some(bytes)) => room.copy_from_slice(bytes),
                _ => self.length = usize::MAX,
            },
        }
    }

    /// The line, when it holds so many separators, and nothing that cannot be copied.
    #[inline]
    pub fn when_plain(&mut self, checker: LineChecker, separators: usize) -> Option<&[u8]> {
        let behind = self.bytes.get_mut(self.length..).filter(|behind| behind.len() >= FEW_BYTES)?;
        *behind.first_chunk_mut::<STEP>()? = [FILLER; STEP];
        let (parts, _) = self.bytes.as_chunks::<STEP>();
        let parts = parts.get(..self.length.div_ceil(STEP))?;
        (checker.separators(parts) == Some(separators)).then_some(self.bytes.get(..self.length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_is_plain_when_each_byte_of_it_is(
            line in prop::collection::vec(prop::sample::select(b"aaaaaaaax|\"\\\x00\x1f\x7f\x80\xff\n".to_vec()), 0..60),
            quote in prop::option::of(Just(b'"')),
            is_utf8: bool,
        ) {
            let checker = LineChecker::new(b'|', [quote, None], is_utf8).expect("usable");
            let stops = |byte: &u8| byte.is_ascii_control() || Some(*byte) == quote || (!is_utf8 && !byte.is_ascii());
            let separators = line.split(|byte| *byte == b'|').count() - 1;
            let expected = (!line.iter().any(stops)).then_some(line.as_slice());
            let mut plain = PlainLine::new();
            // What was there before, and what stands behind a value, is no part of the line.
            plain.put(&[b'"'; 100], 100);
            plain.clear();
            let (first, second) = line.split_at(line.len() / 2);
            plain.put(&[first, b"||||\x00|||||||||||||||||||||||||||||||"].concat(), first.len());
            plain.put(second, second.len());
            prop_assert_eq!(plain.when_plain(checker, separators), expected);
            prop_assert_eq!(plain.when_plain(checker, separators + 1), None);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_not_plain() {
        let checker = LineChecker::new(b'|', [None, None], true).expect("usable");
        let mut plain = PlainLine::new();
        for (length, fits) in [(LINE_BYTES - 1, true), (LINE_BYTES, false), (usize::MAX, false)] {
            plain.clear();
            plain.put(b"|", 1);
            plain.put(&vec![b'a'; LINE_BYTES], length);
            let line = plain.when_plain(checker, 1).map(<[u8]>::len);
            assert_eq!(line, fits.then_some(LINE_BYTES), "{length}");
        }
        assert!(LineChecker::new(b'x', [None, None], true).is_none(), "the filler is no separator");
    }
}
