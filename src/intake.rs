//! Intake: turns what sources hold into batches for the spool.
//!
//! A source hands out its input in steps of bounded size, in a fixed order. What it hands out counts only when the
//! spool has made it durable; until then nothing happens to the input. It also knows up to which moment everything
//! that was visible has been read: no hour closes before that moment has passed its end.

mod ahead;
mod content;
pub mod files;
pub mod input;
pub mod stdin;

use crate::disk::Disk;
use crate::domain::ids::{HashedBy, InputHash, SourceId};
use crate::domain::time::UtcTime;
use crate::record::{Accepted, Origin};
use std::io;
use std::path::PathBuf;

/// A source of records.
pub trait Source: Send {
    /// Its name.
    fn id(&self) -> &SourceId;

    /// Looks for new input. `now` is the moment for which [`Source::caught_up_to`] will speak once it is read.
    ///
    /// # Errors
    /// [`IntakeFault`] when the input cannot be looked at.
    fn look(&mut self, disk: &dyn Disk, history: &dyn InputHistory, now: UtcTime) -> Result<(), IntakeFault>;

    /// The next piece of what [`Source::look`] found.
    ///
    /// # Errors
    /// [`IntakeFault`] when it cannot be read; the next call goes on behind it.
    fn step(&mut self, disk: &dyn Disk, history: &dyn InputHistory, now: UtcTime) -> Result<Step, IntakeFault>;

    /// Everything handed out so far is durable and in the ledger: finished input may be moved or removed.
    ///
    /// # Errors
    /// [`IntakeFault`] when that fails; it is tried again.
    fn settle(&mut self, disk: &dyn Disk) -> Result<(), IntakeFault>;

    /// Nothing has to be put away, and nothing that was handed out is looked up again: the ledger may follow a moment
    /// later.
    fn leaves_nothing(&self) -> bool {
        false
    }

    /// Everything that was visible up to this moment has been handed out.
    fn caught_up_to(&self) -> UtcTime;

    /// What needs a person, as code, message and hint.
    fn alarms(&self) -> Vec<(&'static str, String, String)>;

    /// Bytes that were found and are not read yet.
    fn unread_bytes(&self) -> u64;
}

/// One piece of input.
#[derive(Debug)]
pub enum Step {
    /// Goes into the spool.
    Accepted(Accepted),
    /// Input that was read before: counted, not spooled.
    Duplicate(Accepted),
    /// Nothing is left.
    Idle,
}

/// What can go wrong at a source.
#[derive(Debug, thiserror::Error)]
pub enum IntakeFault {
    /// The system refused.
    #[error("source {source_id}: cannot {operation} {path}: {cause}")]
    Io {
        /// Which source.
        source_id: SourceId,
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// What was read before cannot be looked up.
    #[error("source {source_id}: {message}")]
    History {
        /// Which source.
        source_id: SourceId,
        /// Why.
        message: String,
    },
}

impl IntakeFault {
    /// True when input that was put away could not be made durable in its new place.
    #[must_use]
    pub fn is_failed_sync(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if crate::disk::is_failed_sync(cause))
    }
}

/// An input file that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownInput {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Time of its last change.
    pub modified_nanos: i64,
    /// Hash of its bytes.
    pub hash: InputHash,
}

/// How far an input was read that was not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPosition {
    /// Behind the last record.
    pub after: Origin,
    /// CRC32C of the input's bytes up to there.
    pub prefix_crc: u32,
}

/// What was read before, as the ledger knows it.
pub trait InputHistory {
    /// The input of this name that was finished last.
    ///
    /// # Errors
    /// A message when it cannot be looked up; the same holds for the other questions.
    fn finished(&self, source: &SourceId, name: &str) -> Result<Option<KnownInput>, String>;
    /// A finished input with this content, whatever its name. `hash` is asked for only when the length is known, and by the
    /// ways in which inputs of that length were hashed.
    ///
    /// # Errors
    /// As above.
    fn with_content(
        &self,
        source: &SourceId,
        bytes: u64,
        hash: &mut dyn FnMut(HashedBy) -> io::Result<InputHash>,
    ) -> Result<Option<KnownInput>, String>;
    /// How far an unfinished input was read.
    ///
    /// # Errors
    /// As above.
    fn position(&self, source: &SourceId, name: &str) -> Result<Option<ReadPosition>, String>;
    /// Names of all inputs that were read in part and are not finished.
    ///
    /// # Errors
    /// As above.
    fn unfinished(&self, source: &SourceId) -> Result<Vec<String>, String>;
    /// Names of the inputs that were finished last, at most `limit`.
    ///
    /// # Errors
    /// As above.
    fn latest_names(&self, source: &SourceId, limit: u32) -> Result<Vec<String>, String>;
}
