//! The hash of what is read back from a partner's server.

use crate::domain::ids::Sha256Digest;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// Takes the bytes of a file of known size and hashes them; more bytes than that are refused.
#[derive(Debug)]
pub struct HashingSink {
    hash: Sha256,
    expected: u64,
    left: u64,
}

impl HashingSink {
    /// For a file of this size in bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self { hash: Sha256::new(), expected: bytes, left: bytes }
    }

    /// The hash of what came, however much it was.
    #[must_use]
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest(self.hash.finalize().into())
    }
}

impl Write for HashingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(count) else {
            return Err(io::Error::other(format!("the file holds more than the expected {} bytes", self.expected)));
        };
        self.left = left;
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_expected_size_is_hashed_and_a_longer_one_refused() {
        let mut sink = HashingSink::new(5);
        sink.write_all(b"hel").and_then(|()| sink.write_all(b"lo")).expect("five bytes");
        let refused = sink.write(b"!").expect_err("one too many");
        assert!(refused.to_string().contains("more than the expected 5 bytes"), "{refused}");
        assert_eq!(sink.finish(), Sha256Digest(Sha256::digest(b"hello").into()));
    }
}
