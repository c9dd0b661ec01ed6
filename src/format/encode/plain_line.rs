//! A line as it is when nothing in it needs protection, as a rule. Values are copied one behind the other, with what
//! stands between them; whether they can stand as they are is found afterwards, 16 bytes at a time.

use super::fixed_width::FixedShape;
use super::json_lines::is_written_like_json;
use crate::format::spec::Align;
use wide::u8x16;

/// Longest line that is made this way; longer ones are put value by value.
const LINE_BYTES: usize = 2048;
/// Bytes that are copied without looking at the length.
const FEW_BYTES: usize = 48;
const STEP: usize = 16;

/// Which bytes can be copied into a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineChecker {
    /// The mark that is part of the line's structure and of no value: a separator, or the quote around each text.
    mark: u8,
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
    pub fn new(mark: Option<u8>, protected: [Option<u8>; 2], is_utf8: bool) -> Option<Self> {
        // What is not needed is looked for as a control character, which is not there either.
        let mark = mark.unwrap_or(DELETE);
        let protected = protected.map(|byte| byte.unwrap_or(DELETE));
        let is_usable = mark != FILLER && !protected.contains(&FILLER);
        is_usable.then_some(Self { mark, protected, last: if is_utf8 { u8::MAX } else { DELETE } })
    }

    /// How many marks stand in a text.
    pub fn marks(self, text: &[u8]) -> usize {
        memchr::memchr_iter(self.mark, text).count()
    }

    /// The marks in these bytes, when there is nothing in them that cannot be copied.
    #[inline]
    fn marks_in(self, parts: &[[u8; STEP]]) -> Option<usize> {
        // One by one: `map` of an array is a call for each line.
        let (mark, delete) = (u8x16::splat(self.mark), u8x16::splat(DELETE));
        let (first, second) = (u8x16::splat(self.protected[0]), u8x16::splat(self.protected[1]));
        let (controls, last) = (u8x16::splat(CONTROLS), u8x16::splat(self.last));
        let (mut found, mut stopped) = (u8x16::ZERO, u8x16::ZERO);
        for part in parts {
            let part = u8x16::new(*part);
            let is_mark = part.simd_eq(mark);
            let is_stopped = part.simd_lt(controls)
                | part.simd_eq(delete)
                | part.simd_eq(first)
                | part.simd_eq(second)
                | part.simd_gt(last);
            // A byte of 255 is one less than none. A line has few enough parts that no byte overflows.
            found -= is_mark;
            stopped |= is_stopped & !is_mark;
        }
        let found = found.to_array().iter().map(|count| usize::from(*count)).sum();
        (stopped.to_bitmask() == 0).then_some(found)
    }
}

/// A text, and zeros behind it that may be copied along.
#[derive(Debug, Clone)]
pub(super) struct PaddedText {
    bytes: Vec<u8>,
    length: usize,
}

impl PaddedText {
    pub fn new(text: &[u8]) -> Self {
        Self { bytes: [text, &[0; FEW_BYTES]].concat(), length: text.len() }
    }

    pub fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// How a value stands in its line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Laid {
    /// As it is.
    Bare,
    /// Behind this separator.
    Behind(u8),
    /// As the whole line, which must not be empty.
    Alone,
    /// At a fixed place.
    Padded { shape: FixedShape, number: bool },
    /// As a number behind a key.
    Number,
    /// Between quotes behind a key.
    Quoted,
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

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        match self.bytes.get_mut(self.length) {
            Some(place) => {
                *place = byte;
                self.length += 1;
            }
            None => self.length = usize::MAX,
        }
    }

    /// Appends a byte several times.
    #[inline]
    fn fill(&mut self, byte: u8, count: usize) {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        match room.first_chunk_mut::<FEW_BYTES>() {
            Some(few) if count <= FEW_BYTES => *few = [byte; FEW_BYTES],
            _ => match room.get_mut(..count) {
                Some(room) => room.fill(byte),
                None => return self.length = usize::MAX,
            },
        }
        self.length += count;
    }

    /// Appends a value and what stands in front of it. The line is not plain when more than that would have to be done.
    #[inline]
    pub fn lay(&mut self, laid: &Laid, lead: &PaddedText, bytes: &[u8], length: usize) {
        match laid {
            Laid::Alone if length == 0 => self.length = usize::MAX,
            Laid::Bare | Laid::Alone => self.put(bytes, length),
            Laid::Behind(separator) => {
                self.put_byte(*separator);
                self.put(bytes, length);
            }
            Laid::Padded { shape, number } => self.lay_padded(shape, *number, bytes, length),
            Laid::Number => {
                self.put(&lead.bytes, lead.length);
                let value = bytes.get(..length).unwrap_or_default();
                if value.is_empty() {
                    self.put(b"null", 4);
                } else if is_written_like_json(value) {
                    self.put(bytes, length);
                } else {
                    self.length = usize::MAX;
                }
            }
            Laid::Quoted => {
                self.put(&lead.bytes, lead.length);
                self.put_byte(b'"');
                self.put(bytes, length);
                self.put_byte(b'"');
            }
        }
    }

    #[inline]
    fn lay_padded(&mut self, shape: &FixedShape, number: bool, bytes: &[u8], length: usize) {
        let first = bytes.first().copied().filter(|_| length > 0);
        let has_no_number = first.is_none() && number && shape.zero_filled;
        let missing = shape.width.checked_sub(length).filter(|_| shape.fill_length == 1 && !has_no_number);
        match (missing, shape.align) {
            (Some(_), Align::Right) if first.is_some_and(|first| shape.moves_sign(number, first)) => {
                self.length = usize::MAX;
            }
            (Some(missing), Align::Left) => {
                self.put(bytes, length);
                self.fill(shape.fill[0], missing);
            }
            (Some(missing), Align::Right) => {
                self.fill(shape.fill[0], missing);
                self.put(bytes, length);
            }
            (None, _) => self.length = usize::MAX,
        }
    }

    /// The line, when it holds so many marks, and nothing that cannot be copied.
    #[inline]
    pub fn when_plain(&mut self, checker: LineChecker, marks: usize) -> Option<&[u8]> {
        let behind = self.bytes.get_mut(self.length..).filter(|behind| behind.len() >= FEW_BYTES)?;
        *behind.first_chunk_mut::<STEP>()? = [FILLER; STEP];
        let (parts, _) = self.bytes.as_chunks::<STEP>();
        let parts = parts.get(..self.length.div_ceil(STEP))?;
        (checker.marks_in(parts) == Some(marks)).then_some(self.bytes.get(..self.length)?)
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
            let checker = LineChecker::new(Some(b'|'), [quote, None], is_utf8).expect("usable");
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
        let checker = LineChecker::new(Some(b'|'), [None, None], true).expect("usable");
        let mut plain = PlainLine::new();
        for (length, fits) in [(LINE_BYTES - 1, true), (LINE_BYTES, false), (usize::MAX, false)] {
            plain.clear();
            plain.put(b"|", 1);
            plain.put(&vec![b'a'; LINE_BYTES], length);
            let line = plain.when_plain(checker, 1).map(<[u8]>::len);
            assert_eq!(line, fits.then_some(LINE_BYTES), "{length}");
        }
        assert!(LineChecker::new(Some(b'x'), [None, None], true).is_none(), "the filler is no separator");
    }
}
