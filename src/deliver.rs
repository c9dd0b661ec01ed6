//! Brings sealed files to a partner so that a name which the partner can see is complete and never changes.
//!
//! A file is uploaded under a temporary name of its own attempt, what lies there is compared ([`ContentCheck`]), and it is
//! renamed. Every act is
//! announced to the ledger before it is done and confirmed after it, so [`deliver_file`] can go on from any
//! [`FileState`] after a crash or a lost reply. The acts of small files are announced together ([`group`]). What it never does: overwrite, remove or rename a remote name that
//! is not its own attempt's.
//!
//! After a rename was announced only looking tells what became of it ([`look`]):
//!
//! | temporary | final | then |
//! |---|---|---|
//! | there | not there | the rename was not carried out: rename again |
//! | gone | there, right size | it was: delivered |
//! | gone | there, other size | conflict: a person looks |
//! | there | there, right size, and an earlier attempt reached its rename, or both are the same file | delivered |
//! | there | there, otherwise | conflict |
//! | gone | not there | picked up already or lost: in doubt, by the partner's rule a person settles it or it is sent again |
//!
//! A temporary file that is there with another size was not renamed: it is removed and the file is sent again. One that
//! is gone from a directory in which nobody but our rename removes files was renamed.
//!
//! "Not there" counts only when a small file of ours put into the same directory can be seen there.
//!
//! ## Servers without rename
//! With [`TemporaryPlace::Nowhere`] a file is written under its final name at once. A partner who reads only what a manifest
//! lists never sees half a file so: the manifest is written last. Nothing may lie under the final name when the intent is
//! recorded, or it is a conflict. After an upload of unknown outcome, or whose size or hash is not right, what lies
//! under the final name is read back and compared with the archived file:
//!
//! | under the final name | then |
//! |---|---|
//! | the whole file | delivered |
//! | a beginning of it, or a file of no bytes | ours, and no manifest lists it yet: it is removed and sent again |
//! | anything else | conflict: it is never touched |
//! | nothing, and it is a part file | nobody takes it before the manifest is there: it is sent again |
//! | nothing, and it is the manifest | taken already or never there: in doubt, by the partner's rule |
//! | nothing, and the server itself said that it failed | it is sent again |
//! | nothing, and the server confirmed the manifest | taken already: delivered |
//!
//! What is never done: remove a name that was not intended for this file before, or that holds anything but our bytes. A
//! stranger who puts a file there between the look and the upload is not noticed by servers that replace files.
//!
//! Retrying, waiting and reconnecting are the caller's business; after any fault the session must be dropped.

mod batch;
mod group;
mod life;
mod look;
mod parallel;
pub mod retry;
pub mod sight;

pub use batch::{BatchFault, BatchOutcome, Caller, RecordAll, deliver_batches};
pub use group::GroupLimits;
pub use parallel::MoreSessions;
pub use retry::RetryPolicy;

use crate::clock::Clock;
use crate::domain::delivery::{Attempt, ContentCheck, DeliveryFact, FileState, IllegalFact};
use crate::domain::disposition::Disposition;
use crate::domain::ids::{FileName, Sha256Digest};
use crate::remote::path::PathFault;
use crate::remote::{Body, Remote, RemoteFault, RemotePath};
use std::fmt;
use std::io;
use std::sync::Arc;

/// The mark of one store in temporary names: 8 hexadecimal digits of the store's identity. So two stores that send
/// to the same directory never take each other's files for their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreMark(Arc<str>);

impl StoreMark {
    /// The mark of a store with this identity: its first four bytes.
    #[must_use]
    pub fn of(identity: &[u8; 16]) -> Self {
        let [a, b, c, d, ..] = *identity;
        Self(Arc::from(format!("{:08x}", u32::from_be_bytes([a, b, c, d]))))
    }

    /// Parses 8 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 8 && text.bytes().all(digit)).then(|| Self(Arc::from(text)))
    }

    /// The path of the small file that proves that a directory's content can be seen.
    #[must_use]
    pub fn probe_path(&self, directory: &RemotePath, name: &FileName) -> RemotePath {
        self.mark(directory, name, "look")
    }

    fn mark(&self, directory: &RemotePath, name: &FileName, what: &str) -> RemotePath {
        directory.join_part(&format!("{name}.{self}-{what}.tmp"))
    }

    /// True for a temporary name of this store.
    #[must_use]
    pub fn is_temporary(&self, name: &str) -> bool {
        name.strip_suffix(".tmp").is_some_and(|rest| rest.contains(&format!(".{self}-")))
    }
}

impl fmt::Display for StoreMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where files lie until they are complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemporaryPlace {
    /// In the directory of the final name.
    Beside,
    /// In another directory of the same server, from which a rename leads to the final one.
    Directory {
        /// The directory.
        path: RemotePath,
        /// Nobody but us removes files there. Then a temporary file that is gone was renamed.
        private: bool,
    },
    /// Nowhere: the server cannot rename. Files are written under their final names at once, and the partner reads
    /// what a manifest lists.
    Nowhere,
}

/// What is done with a file of which nobody can say whether it arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InDoubtRule {
    /// It waits for a person: the partner never sees it twice.
    #[default]
    Hold,
    /// It is sent again under the same name: the partner never misses it.
    Resend,
}

/// One file on its way to a partner.
#[derive(Debug, Clone)]
pub struct FileToDeliver {
    /// Place of its batch among those that are delivered together.
    pub batch: usize,
    /// The final name.
    pub name: FileName,
    /// The directory of the final name.
    pub directory: RemotePath,
    /// It is a manifest: the partner may take it as soon as it is there.
    pub is_manifest: bool,
    /// Where the file lies until it is complete.
    pub temporary: TemporaryPlace,
    /// The store that sends it.
    pub store: StoreMark,
    /// Its size in bytes, as archived.
    pub bytes: u64,
    /// Its hash, as archived.
    pub sha256: Sha256Digest,
    /// What is compared before it is shown.
    pub check: ContentCheck,
    /// How far it came.
    pub state: FileState,
    /// When nobody can say whether it arrived.
    pub in_doubt: InDoubtRule,
    /// What lies under the temporary name was compared just now.
    pub is_compared: bool,
    /// What the state announces was announced together with the acts of other files, and is not begun.
    pub is_announced: bool,
}

impl FileToDeliver {
    /// The path of the final name.
    #[must_use]
    pub fn final_path(&self) -> RemotePath {
        self.directory.join(&self.name)
    }

    /// The path of an attempt's temporary name: `<final>.<store>-<attempt>.tmp`.
    #[must_use]
    pub fn temporary_path(&self, attempt: Attempt) -> RemotePath {
        let directory = match &self.temporary {
            TemporaryPlace::Beside | TemporaryPlace::Nowhere => &self.directory,
            TemporaryPlace::Directory { path, .. } => path,
        };
        self.mark(directory, &attempt.to_string())
    }

    /// The path of the small file that proves that a directory's content can be seen.
    fn probe_path(&self, directory: &RemotePath) -> RemotePath {
        self.store.probe_path(directory, &self.name)
    }

    fn mark(&self, directory: &RemotePath, what: &str) -> RemotePath {
        self.store.mark(directory, &self.name, what)
    }
}

/// True for names as [`FileToDeliver::temporary_path`] gives them: of a file that is not complete.
#[must_use]
pub fn is_temporary_name(name: &str) -> bool {
    let mark = name.strip_suffix(".tmp").and_then(|name| name.rsplit_once('.')?.1.split_once('-'));
    mark.is_some_and(|(store, what)| StoreMark::parse(store).is_some() && !what.is_empty())
}

/// What a delivery needs besides the session.
pub struct Surroundings<'a> {
    /// Tells when a file was delivered.
    pub clock: &'a dyn Clock,
    /// Waits a moment before the next look, of which the number is given, from 1. Servers may state a size late.
    pub pause: &'a mut dyn FnMut(u32),
    /// Is told the bytes of the current file sent so far.
    pub progress: &'a mut dyn FnMut(u64),
}

/// Why a delivery did not come to an end. Drop the session.
#[derive(Debug, thiserror::Error)]
pub enum DeliverFault<E> {
    /// The server or the connection.
    #[error(transparent)]
    Remote(#[from] RemoteFault),
    /// A fact could not be recorded, so the act was not done or must be looked at.
    #[error("cannot record what was done: {0}")]
    Record(E),
    /// The archived file cannot be opened.
    #[error("cannot open the archived file: {0}")]
    Body(io::Error),
    /// The server confirmed the upload but does not hold the whole file. It was given up.
    #[error("the server confirmed {expected} bytes and then states {}", found.map_or("no size".to_owned(), |b| b.to_string()))]
    SizeDiffers {
        /// Bytes sent.
        expected: u64,
        /// Bytes that the server states.
        found: Option<u64>,
    },
    /// The server confirmed the upload, states the right size and holds other bytes. It was given up.
    #[error("the server confirmed the upload and holds other bytes: SHA-256 {found} instead of {expected}")]
    ContentDiffers {
        /// Hash of what was sent.
        expected: Sha256Digest,
        /// Hash of what lies there.
        found: Sha256Digest,
    },
    /// A file that was just put into a directory cannot be seen there, so nothing can be said about others.
    #[error("cannot see what lies in {directory}: a file just put there does not show")]
    Blind {
        /// The directory.
        directory: RemotePath,
    },
    /// The recorded temporary path is none.
    #[error("the ledger holds an unusable path: {0}")]
    Path(#[from] PathFault),
    /// A fact that cannot follow the state: a fault of hourdrop or a damaged ledger.
    #[error(transparent)]
    Illegal(#[from] IllegalFact),
}

impl<E> DeliverFault<E> {
    /// What the failure asks for.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Remote(fault) => fault.disposition(),
            Self::SizeDiffers { .. } | Self::ContentDiffers { .. } | Self::Blind { .. } => Disposition::Retry,
            Self::Record(_) | Self::Body(_) | Self::Path(_) | Self::Illegal(_) => Disposition::Stop,
        }
    }
}

/// Leads one file to its end: [`FileState::Delivered`] or [`FileState::Held`].
///
/// `body` opens the archived file from its first byte. An error of kind [`io::ErrorKind::InvalidData`], from it or while
/// its bytes are read, says that they are not those that were archived: the file is held, and nothing of it is shown.
/// `record` makes a fact
/// durable and is called before the act that the fact announces.
///
/// # Errors
/// [`DeliverFault`]; the facts recorded so far say where to go on.
pub fn deliver_file<E>(
    session: &mut dyn Remote,
    file: &FileToDeliver,
    body: &mut dyn FnMut() -> io::Result<Box<dyn Body>>,
    record: &mut dyn FnMut(DeliveryFact) -> Result<(), E>,
    surroundings: &mut Surroundings<'_>,
) -> Result<FileState, DeliverFault<E>> {
    life::Life::new(session, file, body, record, surroundings).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(temporary: TemporaryPlace) -> FileToDeliver {
        FileToDeliver {
            batch: 0,
            name: FileName::parse("CDR_01.dat").expect("name"),
            directory: RemotePath::parse("/out").expect("path"),
            is_manifest: false,
            temporary,
            store: StoreMark::parse("0123abcd").expect("mark"),
            bytes: 5,
            sha256: Sha256Digest([0; 32]),
            check: ContentCheck::Size,
            state: FileState::default(),
            in_doubt: InDoubtRule::Hold,
            is_compared: false,
            is_announced: false,
        }
    }

    #[test]
    fn temporary_names_tell_store_and_attempt_and_lie_where_they_should() {
        let second = Attempt::FIRST.next();
        assert_eq!(file(TemporaryPlace::Beside).temporary_path(second).as_str(), "/out/CDR_01.dat.0123abcd-2.tmp");
        let elsewhere = TemporaryPlace::Directory { path: RemotePath::parse("work").expect("path"), private: false };
        assert_eq!(file(elsewhere).temporary_path(second).as_str(), "work/CDR_01.dat.0123abcd-2.tmp");
    }

    #[test]
    fn a_store_mark_is_eight_hexadecimal_digits() {
        assert!(StoreMark::parse("0123abcd").is_some());
        for bad in ["", "0123abc", "0123abcde", "0123ABCD", "0123abcg", "../../ab"] {
            assert_eq!(StoreMark::parse(bad), None, "{bad}");
        }
    }
}
