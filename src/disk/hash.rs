//! The hash of a whole file.

use super::pieces::Piece;
use super::{DiskRead, read_piece};
use crate::domain::ids::Sha256Digest;
use sha2::{Digest, Sha256};
use std::io;

/// The SHA-256 of what `reader` gives up to its end; `told` is given the length of each piece that was read.
///
/// # Errors
/// What the reader says.
pub fn hash_of(reader: &mut dyn DiskRead, told: &mut dyn FnMut(u64)) -> io::Result<Sha256Digest> {
    let (mut hash, mut piece) = (Sha256::new(), Piece::new());
    loop {
        let count = read_piece(reader, &mut piece)?;
        if count == 0 {
            return Ok(Sha256Digest(hash.finalize().into()));
        }
        hash.update(piece.get(..count).unwrap_or_default());
        told(count as u64);
    }
}
