//! Decoding in a thread of its own: while records are made durable, the next ones are read and decoded. What comes out,
//! and in which order, is the same as without it.

use super::input::{OpenInput, Piece};
use crate::domain::ids::SourceId;
use crate::domain::time::UtcTime;
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Pieces that are decoded and not taken yet. More make nothing faster, and each takes memory.
const PIECES_AHEAD: usize = 4;

/// An input that is being read, here or ahead.
pub enum Reading {
    /// Piece by piece, when it is asked for.
    Here(Box<OpenInput>),
    /// By a thread.
    Ahead(Ahead),
}

/// A thread that reads an input up to its end, and what it has read.
pub struct Ahead {
    pieces: Receiver<io::Result<Piece>>,
    thread: JoinHandle<OpenInput>,
}

impl Reading {
    /// Begins to read ahead.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn ahead(input: OpenInput, source: SourceId) -> io::Result<Self> {
        let mut input = input.reading_ahead()?;
        let (give, pieces) = sync_channel(PIECES_AHEAD);
        let read_all = move || {
            loop {
                // The time is that at which a piece is taken.
                let piece = input.next(&source, UtcTime::MIN);
                let is_last = matches!(piece, Err(_) | Ok(Piece::End | Piece::Unfit(_)));
                if matches!(piece, Ok(Piece::Nothing)) {
                    continue;
                }
                if give.send(piece).is_err() || is_last {
                    return input;
                }
            }
        };
        let thread = Builder::new().name("decode".to_owned()).spawn(read_all)?;
        Ok(Self::Ahead(Ahead { pieces, thread }))
    }

    /// The next piece; see [`OpenInput::next`].
    ///
    /// # Errors
    /// What the reader says.
    pub fn next(&mut self, source: &SourceId, now: UtcTime) -> io::Result<Piece> {
        match self {
            Self::Here(input) => input.next(source, now),
            Self::Ahead(ahead) => {
                let mut piece = ahead.pieces.recv().map_err(|_| ended())??;
                if let Piece::Batch(batch) = &mut piece {
                    batch.accepted_at = now;
                }
                Ok(piece)
            }
        }
    }

    /// The input itself, when its end was given.
    ///
    /// # Errors
    /// When the thread has failed.
    pub fn into_input(self) -> io::Result<Box<OpenInput>> {
        match self {
            Self::Here(input) => Ok(input),
            Self::Ahead(Ahead { pieces, thread }) => {
                // A thread that waits to hand out what nobody takes must not wait for ever.
                drop(pieces);
                thread.join().map(Box::new).map_err(|_| ended())
            }
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("its decoder has ended")
}
