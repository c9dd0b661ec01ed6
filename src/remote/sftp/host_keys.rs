//! Which host keys are known, and remembering the first one where that is wanted.

use super::super::endpoint::{HostKeys, SftpEndpoint};
use super::super::{FaultKind, Outcome, RemoteFault};
use crate::disk::{Disk, SyncPoint};
use russh::keys::known_hosts::known_host_keys_path;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::ssh_key::{HashAlg, PublicKey};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The host keys of one server.
#[derive(Debug, Clone)]
pub(super) enum KnownKeys {
    /// Keys with one of these fingerprints.
    Prints(Vec<String>),
    /// These keys.
    Keys(Vec<KeyData>),
    /// Whatever is shown, because nothing is known yet: it becomes the key in this file, in a line that begins so.
    Any { file: PathBuf, place: String },
}

impl KnownKeys {
    /// What the endpoint says, and what is remembered of its server.
    pub(super) fn of(endpoint: &SftpEndpoint, disk: &dyn Disk) -> Result<Self, RemoteFault> {
        let (host, port) = (endpoint.host.as_str(), endpoint.port);
        match &endpoint.host_keys {
            HostKeys::Pinned(prints) => Ok(Self::Prints(prints.clone())),
            HostKeys::KnownHosts(path) => known_hosts(path, host, port).map(Self::Keys),
            HostKeys::FirstUse(dir) => {
                let file = dir.join(file_name(host, port));
                let there = disk.stat(&file).map_err(|error| refused(format!("{}: {error}", file.display())))?;
                if there.is_some() {
                    return known_hosts(&file, host, port).map(Self::Keys);
                }
                let place = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
                Ok(Self::Any { file, place })
            }
        }
    }

    pub(super) fn contains(&self, key: &PublicKey) -> bool {
        match self {
            Self::Prints(prints) => prints.contains(&key.fingerprint(HashAlg::Sha256).to_string()),
            Self::Keys(keys) => keys.contains(key.key_data()),
            Self::Any { .. } => true,
        }
    }

    /// Keeps the first key that was shown; nothing is sent to a server whose key cannot be kept.
    pub(super) fn remember(&self, key: &PublicKey, disk: &dyn Disk) -> Result<(), RemoteFault> {
        let Self::Any { file, place } = self else { return Ok(()) };
        let kept =
            key.to_openssh().map_err(io::Error::other).and_then(|key| keep(file, &format!("{place} {key}\n"), disk));
        kept.map_err(|error| refused(format!("the key cannot be kept in {}: {error}", file.display())))?;
        let print = key.fingerprint(HashAlg::Sha256);
        tracing::warn!("the first host key of {place} is trusted from now on: {print}");
        Ok(())
    }
}

fn refused(what: String) -> RemoteFault {
    RemoteFault::because(FaultKind::HostKey, "connect", Outcome::NotDone, what)
}

/// Letters, digits, dots and dashes of the host, and its port.
fn file_name(host: &str, port: u16) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    format!("{}_{port}", host.chars().map(plain).collect::<String>())
}

/// Publishes the file whole, and replaces none.
fn keep(file: &Path, line: &str, disk: &dyn Disk) -> io::Result<()> {
    disk.create_dir_all(crate::disk::parent(file), SyncPoint::StateFile)?;
    let temporary = file.with_added_extension("new");
    if disk.stat(&temporary)?.is_some() {
        disk.remove(&temporary)?;
    }
    let mut kept = disk.create_new(&temporary)?;
    kept.write_all(line.as_bytes())?;
    kept.sync(SyncPoint::StateFile)?;
    disk.publish(&temporary, file, SyncPoint::StateFile)
}

fn known_hosts(path: &Path, host: &str, port: u16) -> Result<Vec<KeyData>, RemoteFault> {
    if !path.is_file() {
        return Err(refused(format!("there is no file {}", path.display())));
    }
    let found = known_host_keys_path(host, port, path);
    let found = found.map_err(|error| refused(format!("{}: {error}", path.display())))?;
    if found.is_empty() {
        return Err(refused(format!("{} has no key of {host}, port {port}", path.display())));
    }
    Ok(found.into_iter().map(|(_, key)| key.key_data().clone()).collect())
}
