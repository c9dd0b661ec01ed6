//! Which files a source reads, when they are complete, and what is done with them.

use crate::domain::time::Length;
use std::path::PathBuf;

/// When an input file is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishedRule {
    /// It appears by rename: what is there is complete.
    Renamed,
    /// A second file says so: `*` stands for the file's name (`*.done`).
    Marker(String),
    /// It has not changed for this long.
    Quiet(Length),
    /// Never: it is a log that grows and is rotated.
    Append,
}

/// What happens to an input file once its records are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThenRule {
    /// It stays.
    Keep,
    /// It is moved to this directory.
    Move(PathBuf),
    /// It is removed.
    Delete,
}

/// What happens to a file whose content was read before under another name, or whose name was read before with other
/// content. Never a silent re-read or skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KnownContent {
    /// An alarm; nothing of the source closes until a person has looked.
    #[default]
    Hold,
    /// Its records are counted as duplicates.
    Skip,
    /// Its records are read.
    Read,
}

/// How a source numbers its files: a text before and a text behind the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberPattern {
    /// Before the number.
    pub before: String,
    /// Behind the number.
    pub after: String,
}

/// Which files a source reads and what it does with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRules {
    /// A file, a pattern with `*`, `?` or `[` in its last part, or a directory.
    pub path: PathBuf,
    /// When a file is complete.
    pub finished: FinishedRule,
    /// What happens to it then.
    pub then: ThenRule,
    /// Known content under a new name.
    pub known_content: KnownContent,
    /// A known name with new content.
    pub changed_content: KnownContent,
    /// How files are numbered.
    pub numbered: Option<NumberPattern>,
}
