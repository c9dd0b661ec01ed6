//! Brings sealed files to a partner so that a name which the partner can see is complete and never changes.
//!
//! A file is uploaded under a temporary name of its own attempt, its size is checked, and it is renamed. Every act is
//! announced to the ledger before it is done and confirmed after it, so [`deliver_file`] can go on from any
//! [`FileState`] after a crash or a lost reply. What it never does: overwrite, remove or rename a remote name that
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
//! Retrying, waiting and reconnecting are the caller's business; after any fault the session must be dropped.

mod batch;
mod life;
mod look;
pub mod retry;

pub use batch::{BatchFault, BatchOutcome, deliver_batch};
pub use retry::RetryPolicy;

use crate::clock::Clock;
use crate::domain::delivery::{Attempt, DeliveryFact, FileState, IllegalFact};
use crate::domain::disposition::Disposition;
use crate::domain::ids::FileName;
use crate::remote::path::PathFault;
use crate::remote::{Remote, RemoteFault, RemotePath};
use std::fmt;
use std::io::{self, Read};
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
    /// The final name.
    pub name: FileName,
    /// The directory of the final name.
    pub directory: RemotePath,
    /// Where the file lies until it is complete.
    pub temporary: TemporaryPlace,
    /// The store that sends it.
    pub store: StoreMark,
    /// Its size in bytes, as archived.
    pub bytes: u64,
    /// How far it came.
    pub state: FileState,
    /// When nobody can say whether it arrived.
    pub in_doubt: InDoubtRule,
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
            TemporaryPlace::Beside => &self.directory,
            TemporaryPlace::Directory { path, .. } => path,
        };
        self.mark(directory, &attempt.to_string())
    }

    /// The path of the small file that proves that a directory's content can be seen.
    fn probe_path(&self, directory: &RemotePath) -> RemotePath {
        self.mark(directory, "look")
    }

    fn mark(&self, directory: &RemotePath, what: &str) -> RemotePath {
        directory.join_part(&format!("{}.{}-{what}.tmp", self.name, self.store))
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
            Self::SizeDiffers { .. } | Self::Blind { .. } => Disposition::Retry,
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
    body: &mut dyn FnMut() -> io::Result<Box<dyn Read>>,
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
            name: FileName::parse("CDR_01.dat").expect("name"),
            directory: RemotePath::parse("/out").expect("path"),
            temporary,
            store: StoreMark::parse("0123abcd").expect("mark"),
            bytes: 5,
            state: FileState::default(),
            in_doubt: InDoubtRule::Hold,
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
