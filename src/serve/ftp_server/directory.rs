//! What an account sees of the disk: its directory, and nothing above or beside it.
//!
//! Paths are put together as text first, so `..` ends at the root. Then every part is opened by itself, below the
//! directory that is open already, and none of them may be a link. So no name leads out, whatever somebody changes in
//! between. A partner who picks up sees the files of the directory itself, without those that are still being written.

use super::Access;
use super::login::KnownAccount;
use crate::app::pickup_desk::{TakeFault, is_temporary_name};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

/// Kind of an entry; others are not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
}

/// A name with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) kind: EntryKind,
    pub(super) bytes: u64,
    /// Seconds since 1970.
    pub(super) modified: i64,
    /// Device and number of the file.
    pub(super) unique: (u64, u64),
}

/// A path below the account's directory; without parts it is the directory itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place(Vec<OsString>);

impl Place {
    /// The place that `path` names for somebody who is here.
    pub(super) fn join(&self, path: &[u8]) -> Self {
        let mut parts = if path.first() == Some(&b'/') { Vec::new() } else { self.0.clone() };
        for part in path.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                name => parts.push(OsString::from_vec(name.to_vec())),
            }
        }
        Self(parts)
    }

    /// As clients see it.
    pub(super) fn shown(&self) -> Vec<u8> {
        let mut path = vec![b'/'];
        path.extend_from_slice(&self.0.join(OsStr::new("/")).into_vec());
        path
    }

    fn split(&self) -> io::Result<(&OsStr, &[OsString])> {
        self.0.split_last().map(|(name, above)| (name.as_os_str(), above)).ok_or_else(|| Errno::ISDIR.into())
    }
}

/// The directory of an account that is logged in.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    root: Arc<OwnedFd>,
    access: Access,
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

impl Directory {
    /// Opens the directory of an account.
    pub(super) fn enter(account: &KnownAccount) -> io::Result<Self> {
        let root = rustix::fs::open(&account.root, DIRECTORY.union(OFlags::PATH), Mode::empty())?;
        Ok(Self { root: Arc::new(root), access: account.access.clone() })
    }

    /// Whether more is allowed than a partner needs.
    pub(super) const fn is_writable(&self) -> bool {
        matches!(self.access, Access::Full)
    }

    /// What is at a place.
    pub(super) fn stat(&self, place: &Place) -> io::Result<Entry> {
        let Ok((name, above)) = place.split() else {
            let stat = rustix::fs::fstat(&*self.root)?;
            return describe(OsStr::new("/"), &stat).ok_or_else(|| Errno::NOENT.into());
        };
        let stat = rustix::fs::statat(self.open_above(above)?, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let found = describe(name, &stat).filter(|entry| self.shows(entry));
        found.ok_or_else(|| Errno::NOENT.into())
    }

    /// What a directory holds, by name; of a file the file itself.
    pub(super) fn list(&self, place: &Place) -> io::Result<Vec<Entry>> {
        let entry = self.stat(place)?;
        if entry.kind == EntryKind::File {
            return Ok(vec![entry]);
        }
        let directory = rustix::fs::openat(self.open_above(&place.0)?, ".", DIRECTORY, Mode::empty())?;
        let mut entries = Vec::new();
        for found in Dir::read_from(&directory)? {
            let found = found?;
            let name = OsStr::from_bytes(found.file_name().to_bytes());
            // What was deleted in between is not there any more.
            let Ok(stat) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let is_listed = name != "." && name != ".." && !name.as_bytes().iter().any(u8::is_ascii_control);
            entries.extend(describe(name, &stat).filter(|entry| is_listed && self.shows(entry)));
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Opens a file to be read.
    pub(super) fn open(&self, place: &Place) -> io::Result<File> {
        let (name, above) = place.split()?;
        // A pipe must not be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.open_above(above)?, name, flags, Mode::empty())?;
        let entry = describe(name, &rustix::fs::fstat(&file)?);
        match entry {
            Some(entry) if entry.kind == EntryKind::File && self.shows(&entry) => Ok(File::from(file)),
            Some(_) | None => Err(Errno::NOENT.into()),
        }
    }

    /// Creates a file, or empties one.
    pub(super) fn create(&self, place: &Place) -> io::Result<File> {
        let (name, above) = self.writable(place)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(above, name, flags, Mode::from_raw_mode(0o644))?))
    }

    /// Creates a directory.
    pub(super) fn create_directory(&self, place: &Place) -> io::Result<()> {
        let (name, above) = self.writable(place)?;
        Ok(rustix::fs::mkdirat(above, name, Mode::from_raw_mode(0o755))?)
    }

    /// Renames; never replaces.
    pub(super) fn rename(&self, from: &Place, to: &Place) -> io::Result<()> {
        let ((from, from_above), (to, to_above)) = (self.writable(from)?, self.writable(to)?);
        Ok(rustix::fs::renameat_with(from_above, from, to_above, to, RenameFlags::NOREPLACE)?)
    }

    /// Deletes a file: of a partner who picks up, by way of the desk.
    pub(super) fn remove(&self, place: &Place) -> Result<(), TakeFault> {
        let Access::PickUp(desk) = &self.access else {
            let removed = self.writable(place).and_then(|(name, above)| {
                rustix::fs::unlinkat(above, name, AtFlags::empty())?;
                Ok(())
            });
            return removed.map_err(TakeFault::Disk);
        };
        let entry = self.stat(place).map_err(TakeFault::Disk)?;
        match (entry.kind, entry.name.to_str()) {
            (EntryKind::File, Some(name)) => desk.take(name),
            (EntryKind::File, None) => Err(TakeFault::Foreign),
            (EntryKind::Directory, _) => Err(TakeFault::Disk(Errno::ISDIR.into())),
        }
    }

    fn shows(&self, entry: &Entry) -> bool {
        match &self.access {
            Access::Full => true,
            Access::PickUp(_) => entry.kind == EntryKind::File && !entry.name.to_str().is_some_and(is_temporary_name),
        }
    }

    fn writable<'p>(&self, place: &'p Place) -> io::Result<(&'p OsStr, OwnedFd)> {
        if !self.is_writable() {
            return Err(Errno::PERM.into());
        }
        let (name, above) = place.split()?;
        Ok((name, self.open_above(above)?))
    }

    /// Opens directories one below the other. A partner who picks up has none.
    fn open_above(&self, parts: &[OsString]) -> io::Result<OwnedFd> {
        if !parts.is_empty() && !self.is_writable() {
            return Err(Errno::NOENT.into());
        }
        let flags = DIRECTORY.union(OFlags::PATH).union(OFlags::NOFOLLOW);
        let mut at = self.root.as_fd().try_clone_to_owned()?;
        for part in parts {
            at = rustix::fs::openat(&at, part, flags, Mode::empty())?;
        }
        Ok(at)
    }
}

/// `None` for links, pipes and devices.
fn describe(name: &OsStr, stat: &Stat) -> Option<Entry> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => return None,
    };
    Some(Entry {
        name: name.to_owned(),
        kind,
        bytes: u64::try_from(stat.st_size).unwrap_or(0),
        modified: stat.st_mtime,
        unique: (stat.st_dev, stat.st_ino),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_above_the_root() {
        let here = Place::default().join(b"a/b");
        for (path, expected) in [
            ("", "/a/b"),
            ("c", "/a/b/c"),
            ("./c//d/", "/a/b/c/d"),
            ("..", "/a"),
            ("../../../../etc/passwd", "/etc/passwd"),
            ("/../x", "/x"),
            ("/", "/"),
            ("...", "/a/b/..."),
        ] {
            assert_eq!(String::from_utf8(here.join(path.as_bytes()).shown()).as_deref(), Ok(expected), "{path}");
        }
    }
}
