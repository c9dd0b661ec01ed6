//! A reader that proves what it gives: the last bytes come only when the whole file has the expected length and hash.

use crate::domain::ids::Sha256Digest;
use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// Reads a file and compares its bytes with what was archived. Whoever got all of it got the right bytes; a difference
/// is an error of kind [`io::ErrorKind::InvalidData`] in front of the last bytes.
pub struct Proved<R> {
    inner: R,
    left: u64,
    hash: Sha256,
    expected: Sha256Digest,
}

impl<R: Read> Proved<R> {
    /// Reads `inner`, which must have this length and hash.
    #[must_use]
    pub fn new(inner: R, bytes: u64, expected: Sha256Digest) -> Self {
        Self { inner, left: bytes, hash: Sha256::new(), expected }
    }

    fn difference(&mut self, got: usize) -> Option<&'static str> {
        if got as u64 > self.left {
            return Some("it is longer than it was archived");
        }
        self.left -= got as u64;
        if self.left > 0 {
            return (got == 0).then_some("it is shorter than it was archived");
        }
        let found = Sha256Digest(self.hash.clone().finalize().into());
        (found != self.expected).then_some("its bytes are not those that were archived")
    }
}

impl<R: Read> Read for Proved<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        match self.difference(count) {
            Some(difference) => Err(io::Error::new(io::ErrorKind::InvalidData, difference)),
            None => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], archived: &[u8], piece: usize) -> (Vec<u8>, Option<io::ErrorKind>) {
        let hash = Sha256Digest(Sha256::digest(archived).into());
        let mut reader = Proved::new(content, archived.len() as u64, hash);
        let (mut got, mut buffer) = (Vec::new(), vec![0; piece]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (got, None),
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(error) => return (got, Some(error.kind())),
            }
        }
    }

    #[test]
    fn only_the_archived_bytes_come_to_their_end() {
        for piece in [1, 3, 4, 100] {
            assert_eq!(read(b"0123456789", b"0123456789", piece), (b"0123456789".to_vec(), None), "{piece}");
            assert_eq!(read(b"", b"", piece), (Vec::new(), None));
            for wrong in [&b"0123456789x"[..], b"012345678", b"", b"0123456799", b"1123456789"] {
                let (got, error) = read(wrong, b"0123456789", piece);
                assert_eq!(error, Some(io::ErrorKind::InvalidData), "{piece} {wrong:?}");
                assert!(got.len() < 10 || wrong.len() > 10, "the last bytes are never given");
            }
            assert_eq!(read(b"x", b"", piece).1, Some(io::ErrorKind::InvalidData));
        }
    }
}
