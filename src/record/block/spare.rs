//! Memory that goes from one block to the next.

use super::{Origin, Span};
use std::sync::{Mutex, PoisonError};

/// Memory of blocks that were dropped, for others of their kind: as a rule a thread fills a block and another one drops
/// it, and memory that goes back to the system each time comes back empty, page by page.
#[derive(Debug, Default)]
pub(super) struct SpareMemory(Mutex<Vec<BlockMemory>>);

#[derive(Debug, Default)]
pub(super) struct BlockMemory {
    pub arena: Vec<u8>,
    pub spans: Vec<Span>,
    pub origins: Vec<Origin>,
}

impl SpareMemory {
    /// Blocks whose memory is kept: as many as are under way between decoder and drafts.
    const BLOCKS_MAX: usize = 20;

    pub fn take(&self) -> Option<BlockMemory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub fn give(&self, memory: BlockMemory) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < Self::BLOCKS_MAX {
            spare.push(memory);
        }
    }
}
