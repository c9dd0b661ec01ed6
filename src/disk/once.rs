//! Reading what is not read again soon: the system need not keep it in memory. Its pages go to what is written next
//! instead of new ones, which are dear on a virtual machine, and what other programs need stays.

use super::DiskRead;
use std::io::{self, Read};

/// Bytes that come together before the system is told.
const TOLD_BYTES: u64 = 4 << 20;

/// Gives what a file holds, and tells the system that it is not needed any more.
pub struct ReadOnce {
    inner: Box<dyn DiskRead>,
    /// Where it is read next.
    at: u64,
    /// Up to here the system was told.
    told: u64,
}

impl ReadOnce {
    /// Reads a file from its beginning, where `inner` stands.
    #[must_use]
    pub fn new(inner: Box<dyn DiskRead>) -> Self {
        Self { inner, at: 0, told: 0 }
    }
}

impl Read for ReadOnce {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at += count as u64;
        let is_end = count == 0 && !buffer.is_empty();
        if self.at > self.told && (is_end || self.at - self.told >= TOLD_BYTES) {
            self.inner.is_done_with(self.told..self.at);
            self.told = self.at;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Stat;
    use std::io::{Cursor, Seek, SeekFrom};
    use std::ops::Range;
    use std::sync::{Arc, Mutex};

    struct Noted(Cursor<Vec<u8>>, Arc<Mutex<Vec<Range<u64>>>>);

    impl Read for Noted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Seek for Noted {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    impl DiskRead for Noted {
        fn stat(&self) -> io::Result<Stat> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn is_done_with(&self, bytes: Range<u64>) {
            self.1.lock().expect("noted").push(bytes);
        }
    }

    #[test]
    fn the_system_is_told_of_every_byte_that_was_given_and_of_no_other() {
        let content: Vec<u8> = (0..9_000_001u32).map(|at| (at % 251) as u8).collect();
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut once = ReadOnce::new(Box::new(Noted(Cursor::new(content.clone()), Arc::clone(&told))));
        let (mut got, mut buffer) = (Vec::new(), vec![0; 100_000]);
        while got.len() < 8_500_000 {
            let count = once.read(&mut buffer).expect("bytes");
            got.extend_from_slice(&buffer[..count]);
            let last = told.lock().expect("noted").last().map_or(0, |bytes: &Range<u64>| bytes.end);
            assert!(last <= got.len() as u64);
        }
        assert!(!told.lock().expect("noted").is_empty(), "it is told meanwhile");
        once.read_to_end(&mut got).expect("the rest");
        assert!(got == content);
        let told = told.lock().expect("noted");
        assert!(told.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!((told[0].start, told[told.len() - 1].end), (0, content.len() as u64));
    }
}
