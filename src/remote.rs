//! The seam to a partner's server: one session, one operation at a time, each under a deadline.
//!
//! A session knows nothing of batches, attempts or retries. It says what it can do ([`Abilities`]) and, when an
//! operation fails, what is known about the outcome ([`RemoteFault`]). **After any fault drop the session**: a reply
//! that was not read would be taken for the answer to the next command, and could make a file look delivered that is
//! not. Sessions enforce this themselves: after a fault that leaves the connection in doubt they refuse further work.

pub mod accounts;
pub mod endpoint;
pub mod facts;
pub mod fault;
pub mod ftp;
pub mod hashing;
pub mod local_dir;
pub mod path;
mod runtime;
pub mod sftp;
mod socket;
pub mod survey;
pub mod tls;

pub use endpoint::{Address, Endpoint};
pub use fault::{FaultKind, Outcome, RemoteFault};
pub use path::RemotePath;

use crate::domain::ids::Sha256Digest;
use crate::domain::time::{Length, UtcTime};
use facts::SessionFacts;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::time::Duration;

/// A session with a partner's server.
pub trait Remote: Send {
    /// What this server can do, as far as is known by now.
    fn abilities(&self) -> Abilities;

    /// Creates a directory and those above it. An existing directory is fine.
    fn create_dir(&mut self, directory: &RemotePath) -> Result<(), RemoteFault>;

    /// Size of a file in bytes; `None` when the server says that there is none. A server does not always tell
    /// "there is none" from "you may not see it": where it matters, use [`Remote::list`].
    fn size(&mut self, path: &RemotePath) -> Result<Option<u64>, RemoteFault>;

    /// What a directory holds. A missing directory is a fault, never an empty list.
    fn list(&mut self, directory: &RemotePath) -> Result<Vec<RemoteEntry>, RemoteFault>;

    /// Writes `body`, which must be `bytes` long, to a name that does not exist yet. `progress` is told the bytes
    /// sent so far. Success means that the server confirmed the transfer, not that it holds the whole file: ask
    /// for the size.
    fn upload(
        &mut self,
        temporary: &RemotePath,
        body: &mut dyn Body,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteFault>;

    /// Writes what a file holds to `sink`, piece by piece; the number of bytes. A missing file is a fault. Success means
    /// that the server confirmed the transfer, not that this is the whole file: compare. A sink that fails ends the
    /// reading with [`FaultKind::Io`], and the session: it may so refuse what is too much.
    fn read(&mut self, path: &RemotePath, sink: &mut dyn Write) -> Result<u64, RemoteFault>;

    /// The SHA-256 that the server itself computes of a file; `None` when it offers none. `bytes` is the file's size,
    /// with which the deadline grows.
    fn server_hash(&mut self, path: &RemotePath, bytes: u64) -> Result<Option<Sha256Digest>, RemoteFault>;

    /// Renames a file. Servers replace an existing file without a word unless [`Abilities::rename_never_replaces`]:
    /// look before.
    fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteFault>;

    /// Removes a file. One that is already gone is fine.
    fn remove(&mut self, path: &RemotePath) -> Result<(), RemoteFault>;

    /// What the server tells of itself: for `probe`.
    fn facts(&mut self) -> Result<SessionFacts, RemoteFault> {
        Ok(SessionFacts::default())
    }

    /// When a file was changed last by the server's clock; `None` when the server does not say it in UTC.
    fn modified(&mut self, path: &RemotePath) -> Result<Option<UtcTime>, RemoteFault> {
        let entries = self.list(&path.parent())?;
        Ok(entries.into_iter().find(|entry| entry.name == path.name()).and_then(|entry| entry.modified))
    }
}

/// What is uploaded.
pub trait Body: Read {
    /// The file of this machine that holds these bytes, of which all must be read before it is used instead of them: a
    /// directory of this machine can give it a second name.
    fn file(&self) -> Option<&Path> {
        None
    }
}

impl Body for &[u8] {}

impl<T: AsRef<[u8]>> Body for Cursor<T> {}

/// What a server can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Where sizes come from.
    pub size: SizeSource,
    /// Listings state size and kind of every entry; otherwise they are names only.
    pub detailed_listing: bool,
    /// A rename onto an existing name fails instead of replacing it.
    pub rename_never_replaces: bool,
    /// Where hashes come from.
    pub hash: HashSource,
    /// Confirmed files and renames survive a power cut at the receiver.
    pub durable: bool,
}

/// Where the size of a remote file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeSource {
    /// A command for one file.
    Command,
    /// The listing of its directory.
    Listing,
}

/// Where the SHA-256 of a remote file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashSource {
    /// The server computes it when it is asked.
    Command,
    /// The file must be read.
    Reading,
}

/// One name in a remote directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteEntry {
    /// The bare name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Size in bytes, where the listing states it.
    pub bytes: Option<u64>,
    /// When it was changed last, where the listing states it in UTC.
    pub modified: Option<UtcTime>,
    /// What the server states as the identity of the file behind the name (MLSD fact `unique`, RFC 3659, 7.5.2).
    pub unique: Option<String>,
}

/// Kind of a name in a remote directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// Something else, such as a link.
    Other,
    /// The listing does not say.
    Unknown,
}

/// How long each kind of operation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Name look-up, connection and greeting.
    pub connect: Length,
    /// One command up to its reply. Servers delay the answer to a wrong password by up to 20 seconds.
    pub command: Length,
    /// Without any progress during a transfer.
    pub transfer_idle: Length,
    /// From the last byte sent to the confirmation: the server may flush.
    pub final_reply_base: Length,
    /// Added to `final_reply_base` for each MiB of the file.
    pub final_reply_per_mib: Length,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Length::from_seconds(30),
            command: Length::from_seconds(60),
            transfer_idle: Length::from_seconds(60),
            final_reply_base: Length::from_seconds(60),
            final_reply_per_mib: Length::from_seconds(1),
        }
    }
}

impl Deadlines {
    /// How long to wait for the confirmation of a file of this size.
    #[must_use]
    pub fn final_reply(&self, bytes: u64) -> Duration {
        let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        self.final_reply_base.as_std().saturating_add(self.final_reply_per_mib.as_std().saturating_mul(mib))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_reply_may_take_longer_for_a_large_file() {
        let deadlines = Deadlines::default();
        assert_eq!(deadlines.final_reply(5).as_secs(), 60);
        assert_eq!(deadlines.final_reply(100 << 20).as_secs(), 160);
        assert!(deadlines.final_reply(u64::MAX).as_secs() > 1_000_000);
    }
}
