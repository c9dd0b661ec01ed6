//! Reading in a thread of its own: while what was read is on its way to a server or through a decoder, the next piece is
//! read and hashed. A server on a fast network takes bytes as fast as one processor hashes them.

use super::pieces::Piece;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Pieces that are read and not taken yet.
const PIECES_AHEAD: usize = 4;

/// Gives what another reader gives, at its pace or faster.
pub struct ReadAhead {
    /// An empty piece is the end.
    pieces: Receiver<io::Result<Piece>>,
    piece: Piece,
    /// How much of `piece` is taken.
    taken: usize,
    is_ended: bool,
}

impl ReadAhead {
    /// Begins to read. The thread ends with the reader, with its first error, or when this is dropped.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn new(mut inner: impl Read + Send + 'static) -> io::Result<Self> {
        let (give, pieces) = sync_channel(PIECES_AHEAD);
        let read_all = move || {
            loop {
                let mut piece = Piece::new();
                let read = fill(&mut inner, &mut piece).map(|count| {
                    piece.truncate(count);
                    piece
                });
                let is_last = read.as_ref().map_or(true, |piece| piece.is_empty());
                if give.send(read).is_err() || is_last {
                    return;
                }
            }
        };
        thread::Builder::new().name("read ahead".to_owned()).spawn(read_all)?;
        Ok(Self { pieces, piece: Piece::default(), taken: 0, is_ended: false })
    }
}

/// Reads until the piece is full or the end is reached.
fn fill(inner: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match inner.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl ReadAhead {
    /// Takes the next piece. An empty one is the end.
    ///
    /// # Errors
    /// What the reader says; after it nothing more is read.
    pub fn next_piece(&mut self) -> io::Result<Piece> {
        if self.is_ended {
            return Ok(Piece::default());
        }
        let next = self.pieces.recv().map_err(|_| io::Error::other("its reader has ended"))?;
        self.is_ended = next.as_ref().map_or(true, |piece| piece.is_empty());
        next
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.piece.len() {
            self.taken = 0;
            self.piece = Piece::default();
            self.piece = self.next_piece()?;
        }
        let rest = self.piece.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::pieces::PIECE_BYTES;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Gives bytes in small steps, then an error when one is wanted. Counts what it gave.
    struct Steps {
        left: usize,
        fails: bool,
        given: Arc<AtomicU64>,
    }

    impl Read for Steps {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.left).min(70_000);
            if count == 0 && self.fails {
                return Err(io::ErrorKind::InvalidData.into());
            }
            for (place, byte) in buffer[..count].iter_mut().enumerate() {
                *byte = u8::try_from((self.left - place) % 251).expect("small");
            }
            self.left -= count;
            self.given.fetch_add(count as u64, Ordering::Relaxed);
            Ok(count)
        }
    }

    fn steps(left: usize, fails: bool) -> Steps {
        Steps { left, fails, given: Arc::default() }
    }

    #[test]
    fn the_bytes_are_those_of_the_reader_and_so_is_the_error() {
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 9 * PIECE_BYTES + 17] {
            let mut expected = Vec::new();
            steps(length, false).read_to_end(&mut expected).expect("bytes");
            let mut got = Vec::new();
            let mut ahead = ReadAhead::new(steps(length, false)).expect("a thread");
            assert_eq!(ahead.read_to_end(&mut got).expect("bytes"), length);
            assert!(got == expected);
            assert_eq!(ahead.read(&mut [0; 9]).expect("the end stays"), 0);
            let mut pieces = Vec::new();
            let mut ahead = ReadAhead::new(steps(length, false)).expect("a thread");
            loop {
                let piece = ahead.next_piece().expect("a piece");
                pieces.extend_from_slice(&piece);
                if piece.is_empty() {
                    break;
                }
            }
            assert!(pieces == expected);
            assert!(ahead.next_piece().expect("the end stays").is_empty());
            let mut got = Vec::new();
            let error = ReadAhead::new(steps(length, true)).expect("a thread").read_to_end(&mut got);
            assert_eq!(error.expect_err("as the reader").kind(), io::ErrorKind::InvalidData);
            // A piece that is not whole goes with the error: nobody takes its bytes for proved.
            assert!(expected.starts_with(&got) && got.len() >= length / PIECE_BYTES * PIECE_BYTES);
        }
    }

    #[test]
    fn no_more_is_read_ahead_than_the_pieces_that_wait() {
        let slow = steps(100 * PIECE_BYTES, false);
        let given = Arc::clone(&slow.given);
        let mut ahead = ReadAhead::new(slow).expect("a thread");
        for _ in 0..100 {
            assert!(ahead.read(&mut vec![0; PIECE_BYTES]).expect("bytes") > 0);
        }
        drop(ahead);
        assert_eq!(given.load(Ordering::Relaxed), 100 * PIECE_BYTES as u64);
        let slow = steps(100 * PIECE_BYTES, false);
        let given = Arc::clone(&slow.given);
        let mut ahead = ReadAhead::new(slow).expect("a thread");
        assert_eq!(ahead.read(&mut [0; 1]).expect("bytes"), 1);
        let most = (PIECES_AHEAD + 2) * PIECE_BYTES;
        assert!(given.load(Ordering::Relaxed) <= most as u64);
    }
}
