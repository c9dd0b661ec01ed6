//! Memory for pieces of files. It goes from one to the next: memory of a thread that has ended comes back to the system
//! late, and what the system gives comes empty, page by page.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Bytes of a piece. With half of it a whole job takes a twentieth more of the processors, which then wake each other's
/// threads twice as often; with twice as much it gains nothing and takes more memory.
pub const PIECE_BYTES: usize = 512 << 10;

/// Pieces that nobody uses and that are kept: as many as are under way when several partners are delivered to.
const SPARE_MAX: usize = 32;

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Bytes of a file; its memory goes to another piece when it is dropped.
#[derive(Debug, Default)]
pub struct Piece(Vec<u8>);

impl Piece {
    /// A piece of [`PIECE_BYTES`] that hold anything.
    #[must_use]
    pub fn new() -> Self {
        let mut bytes = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        bytes.resize(PIECE_BYTES, 0);
        Self(bytes)
    }
}

impl Deref for Piece {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.0.capacity() == PIECE_BYTES {
            let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < SPARE_MAX {
                spare.push(std::mem::take(&mut self.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_to_another_piece_and_some_of_it_stays() {
        let pieces: Vec<Piece> = (0..SPARE_MAX + 20).map(|_| Piece::new()).collect();
        assert!(pieces.iter().all(|piece| piece.len() == PIECE_BYTES));
        drop(pieces);
        let mut grown = Piece::new();
        grown.resize(PIECE_BYTES + 1, 0);
        drop(grown);
        drop(Piece::default());
        // Others may take some meanwhile.
        let spare = SPARE.lock().expect("lock");
        assert!(spare.len() <= SPARE_MAX && spare.iter().all(|bytes| bytes.capacity() == PIECE_BYTES));
    }
}
