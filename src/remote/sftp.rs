//! SFTP version 3 (draft-ietf-secsh-filexfer-02, as OpenSSH speaks it) over SSH.
//!
//! What the servers teach: a plain rename never replaces, which is what is wanted; most failures are told as a bare
//! `Failure`, so a look says why; a name is there as soon as a file is opened, and a write that is confirmed is not on the
//! disk yet, for which OpenSSH has an extension.

mod connection;
mod download;
mod host_keys;
mod upload;

use super::endpoint::SftpEndpoint;
use super::facts::{SessionFacts, SshFacts};
use super::{
    Abilities, Body, Deadlines, EntryKind, FaultKind, HashSource, Outcome, Remote, RemoteEntry, RemoteFault,
    RemotePath, SizeSource,
};
use crate::disk::Disk;
use crate::domain::ids::Sha256Digest;
use crate::domain::time::UtcTime;
use connection::Connection;
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, StatusCode};
use std::io::Write;
use std::sync::Arc;

/// A session with an SFTP server.
pub struct SftpSession {
    connection: Connection,
    deadlines: Deadlines,
    /// The server can make files durable (`fsync@openssh.com`).
    can_sync: bool,
    extensions: Vec<String>,
}

/// Which keys a server shows, whether one of them is known, and how one can log in there; with the fault that ended
/// the look.
pub(super) async fn survey(endpoint: &SftpEndpoint, disk: &dyn Disk) -> (SshFacts, Result<(), RemoteFault>) {
    connection::survey(endpoint, disk).await
}

impl SftpSession {
    /// Connects, proves the server's key, logs in, and opens the subsystem.
    ///
    /// # Errors
    /// [`RemoteFault`]; nothing was done at the server.
    pub fn open(endpoint: &SftpEndpoint, deadlines: &Deadlines, disk: &dyn Disk) -> Result<Self, RemoteFault> {
        let (connection, mut extensions) = Connection::open(endpoint, deadlines, disk)?;
        extensions.sort();
        let can_sync = extensions.iter().any(|name| name == "fsync@openssh.com");
        Ok(Self { connection, deadlines: *deadlines, can_sync, extensions })
    }

    fn attributes(
        &mut self,
        operation: &'static str,
        path: &RemotePath,
    ) -> Result<Option<FileAttributes>, RemoteFault> {
        let path = path.to_string();
        let asked = self.connection.ask(operation, Outcome::NotDone, async |sftp: Arc<RawSftpSession>| {
            sftp.stat(path).await.map(|found| found.attrs)
        });
        match asked {
            Ok(found) => Ok(Some(found)),
            Err(RemoteFault { kind: FaultKind::NotFound, .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn is_directory(&mut self, operation: &'static str, path: &RemotePath) -> Result<bool, RemoteFault> {
        Ok(self.attributes(operation, path)?.is_some_and(|found| found.is_dir()))
    }
}

impl Remote for SftpSession {
    fn abilities(&self) -> Abilities {
        Abilities {
            size: SizeSource::Command,
            detailed_listing: true,
            rename_never_replaces: true,
            hash: HashSource::Reading,
            durable: self.can_sync,
        }
    }

    fn create_dir(&mut self, directory: &RemotePath) -> Result<(), RemoteFault> {
        const OPERATION: &str = "create directory";
        if directory.name().is_empty() || self.is_directory(OPERATION, directory)? {
            return Ok(());
        }
        for level in directory.levels() {
            let path = level.to_string();
            let made = self.connection.ask(OPERATION, Outcome::Unknown, async |sftp: Arc<RawSftpSession>| {
                sftp.mkdir(path, FileAttributes::empty()).await
            });
            // An existing directory is refused with the same word as everything else.
            if let Err(fault) = made
                && (fault.outcome == Outcome::Unknown || !self.is_directory(OPERATION, &level)?)
            {
                return Err(fault);
            }
        }
        Ok(())
    }

    fn size(&mut self, path: &RemotePath) -> Result<Option<u64>, RemoteFault> {
        match self.attributes("size", path)? {
            None => Ok(None),
            Some(FileAttributes { size: Some(bytes), .. }) => Ok(Some(bytes)),
            Some(_) => {
                let cause = "the server states no size";
                Err(RemoteFault::because(FaultKind::Protocol, "size", Outcome::NotDone, cause))
            }
        }
    }

    fn list(&mut self, directory: &RemotePath) -> Result<Vec<RemoteEntry>, RemoteFault> {
        let path = directory.to_string();
        let listed = self.connection.ask("list", Outcome::NotDone, async |sftp: Arc<RawSftpSession>| {
            let handle = sftp.opendir(path).await?.handle;
            let mut found = Vec::new();
            let ended = loop {
                match sftp.readdir(handle.as_str()).await {
                    Ok(names) => found.extend(names.files),
                    Err(Error::Status(status)) if status.status_code == StatusCode::Eof => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            sftp.close(handle).await?;
            ended.map(|()| found)
        })?;
        let entries = listed.into_iter().filter(|file| file.filename != "." && file.filename != "..");
        Ok(entries.map(|file| entry(file.filename, &file.attrs)).collect())
    }

    fn upload(
        &mut self,
        temporary: &RemotePath,
        body: &mut dyn Body,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteFault> {
        upload::upload(&mut self.connection, &self.deadlines, self.can_sync, temporary, (body, bytes), progress)
    }

    fn read(&mut self, path: &RemotePath, sink: &mut dyn Write) -> Result<u64, RemoteFault> {
        download::download(&mut self.connection, self.deadlines.transfer_idle.as_std(), path, sink)
    }

    /// The protocol has none, and OpenSSH no extension for it.
    fn server_hash(&mut self, _path: &RemotePath, _bytes: u64) -> Result<Option<Sha256Digest>, RemoteFault> {
        Ok(None)
    }

    fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteFault> {
        let (from, to) = (from.to_string(), to.to_string());
        let renamed = async |sftp: Arc<RawSftpSession>| sftp.rename(from, to).await;
        self.connection.ask("rename", Outcome::Unknown, renamed).map(|_| ())
    }

    fn remove(&mut self, path: &RemotePath) -> Result<(), RemoteFault> {
        let name = path.to_string();
        let removed = async |sftp: Arc<RawSftpSession>| sftp.remove(name).await;
        match self.connection.ask("remove", Outcome::Unknown, removed) {
            Ok(_) | Err(RemoteFault { kind: FaultKind::NotFound, .. }) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    fn facts(&mut self) -> Result<SessionFacts, RemoteFault> {
        let features = self.extensions.clone();
        Ok(SessionFacts { features, listing: "readdir", ..SessionFacts::default() })
    }
}

fn entry(name: String, attributes: &FileAttributes) -> RemoteEntry {
    let kind = if attributes.permissions.is_none() {
        EntryKind::Unknown
    } else if attributes.is_dir() {
        EntryKind::Directory
    } else if attributes.is_regular() {
        EntryKind::File
    } else {
        EntryKind::Other
    };
    let modified = attributes.mtime.and_then(|seconds| UtcTime::from_seconds(i64::from(seconds)));
    RemoteEntry { name, kind, bytes: attributes.size, modified, unique: None }
}
