//! Whether the values of a line can stand as they are, found in one pass of 16 bytes at a time.

use wide::u8x16;

/// Looks at lines whose values were copied between separators of one byte.
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

impl LineChecker {
    pub fn new(separator: u8, protected: [Option<u8>; 2], is_utf8: bool) -> Self {
        // What needs no protection is looked for as a control character, which is not there either.
        let protected = protected.map(|byte| byte.unwrap_or(DELETE));
        Self { separator, protected, last: if is_utf8 { u8::MAX } else { DELETE } }
    }

    /// True when the line holds so many separators, and nothing that cannot be copied.
    #[inline]
    pub fn is_plain(self, line: &[u8], separators: usize) -> bool {
        let [separator, delete, first, second] =
            [self.separator, DELETE, self.protected[0], self.protected[1]].map(u8x16::splat);
        let (controls, last) = (u8x16::splat(CONTROLS), u8x16::splat(self.last));
        let (parts, rest) = line.as_chunks::<16>();
        let (mut found, mut stopped) = (0, 0);
        let mut look = |part: u8x16| {
            let is_separator = part.simd_eq(separator);
            let is_stopped = part.simd_lt(controls)
                | part.simd_eq(delete)
                | part.simd_eq(first)
                | part.simd_eq(second)
                | part.simd_gt(last);
            found += is_separator.to_bitmask().count_ones() as usize;
            stopped |= (is_stopped & !is_separator).to_bitmask();
        };
        for part in parts {
            look(u8x16::new(*part));
        }
        // A letter is neither. Where it is the separator the last values are not looked at.
        let mut end = [b'x'; 16];
        end.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        look(u8x16::new(end));
        found == separators && stopped == 0 && self.separator != b'x' && !self.protected.contains(&b'x')
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
            let checker = LineChecker::new(b'|', [quote, None], is_utf8);
            let stops = |byte: &u8| byte.is_ascii_control() || Some(*byte) == quote || (!is_utf8 && !byte.is_ascii());
            let separators = line.split(|byte| *byte == b'|').count() - 1;
            prop_assert_eq!(checker.is_plain(&line, separators), !line.iter().any(stops));
            prop_assert!(!checker.is_plain(&line, separators + 1));
        }
    }
}
