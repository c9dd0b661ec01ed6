//! Input files that stay what they are: the journal keeps them by a second name, and its frames say which bytes of them
//! they mean. Such a frame is as safe as one that holds the bytes: they are durable before it is written, and a
//! checksum tells whether they are still the same.
//!
//! ```text
//! state/journal/adopted/<device>-<inode>      an input file, until no frame refers to it any more
//!
//! payload of kind 254   device (8)  inode (8)  offset (8)  length (4)  crc32c (4)  kind (1)  content
//! ```
//! Who reads such a frame gets its kind and its content with the bytes behind it, as if they stood in the journal.
//!
//! The sender may move, replace or remove its own name of the file. If it writes *into* a finished file, which it must
//! not, what was accepted is damaged: that is found when the frame is read, named, and mended like any other damage.

use super::{SpoolFault, disk_fault};
use crate::disk::{Disk, DiskRead, Kind, Stat, SyncPoint, failed_sync};
use crate::domain::ids::{FileKey, Lsn};
use std::collections::BTreeMap;
use std::io::{self, Read, SeekFrom};
use std::path::{Path, PathBuf};

/// Kind of a frame whose content goes on in an input file.
pub const KIND_ADOPTED: u8 = 254;
const EXTENT_BYTES: usize = 32;

/// Bytes of an adopted file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The file.
    pub file: FileKey,
    /// Where they begin.
    pub offset: u64,
    /// How many.
    pub bytes: u32,
    /// Their checksum.
    pub crc: u32,
}

impl Extent {
    /// Appends the payload of a frame of this kind and content.
    pub fn write(&self, kind: u8, content: &[u8], out: &mut Vec<u8>) {
        for number in [self.file.device, self.file.inode, self.offset] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.push(kind);
        out.extend_from_slice(content);
    }

    /// Reads a payload: the extent, the kind of the frame and its own content; `None` when it is something else.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<(Self, u8, &[u8])> {
        let (extent, rest) = payload.split_first_chunk::<EXTENT_BYTES>()?;
        let (numbers, _) = extent.as_chunks::<8>();
        let [device, inode, offset, last] = numbers else { return None };
        let [device, inode, offset, last] = [device, inode, offset, last].map(|bytes| u64::from_le_bytes(*bytes));
        let (kind, content) = rest.split_first()?;
        let (bytes, crc) = (u32::try_from(last & 0xffff_ffff).ok()?, u32::try_from(last >> 32).ok()?);
        Some((Self { file: FileKey { device, inode }, offset, bytes, crc }, *kind, content))
    }
}

/// Where adopted files are kept in a journal.
#[must_use]
pub(super) fn directory(journal: &Path) -> PathBuf {
    journal.join("adopted")
}

/// Where an adopted file lies.
#[must_use]
pub(super) fn path_of(journal: &Path, file: FileKey) -> PathBuf {
    directory(journal).join(file.to_string())
}

/// Gives an input file, which is finished, its name in the journal, and makes file and name durable. `None` when it
/// cannot have one: it lies on another file system, or belongs to somebody who does not allow it.
///
/// # Errors
/// What the disk says; a sync that failed is a [failed sync](crate::disk::is_failed_sync).
pub fn adopt(disk: &dyn Disk, journal: &Path, path: &Path, stat: &Stat) -> io::Result<Option<FileKey>> {
    let (device, inode) = stat.identity;
    let (file, dir) = (FileKey { device, inode }, directory(journal));
    disk.create_dir_all(&dir, SyncPoint::SpoolDirectory)?;
    let own = path_of(journal, file);
    let is_same = |found: Option<Stat>| found.is_some_and(|found| found.identity == stat.identity);
    if disk.stat(&own)?.is_none() {
        if let Err(error) = disk.link(path, &own) {
            tracing::debug!("{} is copied into the journal: {error}", path.display());
            return Ok(None);
        }
        // Somebody put another file there meanwhile.
        if !is_same(disk.stat(&own)?) {
            disk.remove(&own)?;
            return Ok(None);
        }
    } else if !is_same(disk.stat(&own)?) {
        // A copy of a state directory: the name belongs to a file of another file system.
        return Ok(None);
    }
    disk.sync_file(&own, SyncPoint::InputFile).map_err(failed_sync)?;
    disk.sync_dir(&dir, SyncPoint::SpoolDirectory).map_err(failed_sync)?;
    Ok(Some(file))
}

/// Lets go of a file that was adopted and to which no frame refers.
///
/// # Errors
/// What the disk says.
pub(super) fn release(disk: &dyn Disk, journal: &Path, file: FileKey) -> io::Result<()> {
    let own = path_of(journal, file);
    if disk.stat(&own)?.is_some() { disk.remove(&own) } else { Ok(()) }
}

/// Removes adopted files to which no frame refers: a crash came before the first one was durable, or after the last one
/// was freed.
pub(super) fn remove_unused(disk: &dyn Disk, journal: &Path, used: &BTreeMap<FileKey, Lsn>) -> Result<(), SpoolFault> {
    let dir = directory(journal);
    if disk.stat(&dir).map_err(disk_fault("look at", &dir))?.is_none() {
        return Ok(());
    }
    for entry in disk.list(&dir).map_err(disk_fault("list", &dir))? {
        let key = entry.path.file_name().and_then(|name| FileKey::parse(name.to_str()?));
        if entry.stat.kind == Kind::File && key.is_some_and(|key| !used.contains_key(&key)) {
            disk.remove(&entry.path).map_err(disk_fault("remove", &entry.path))?;
        }
    }
    Ok(())
}

/// An adopted file kept open between reads.
#[derive(Default)]
pub(super) struct OpenAdopted(Option<(FileKey, Box<dyn DiskRead>)>);

/// Why bytes of an adopted file cannot be had.
pub(super) enum Unreadable {
    /// They are not what they were.
    Damaged(&'static str),
    /// The system refuses.
    Disk(io::Error),
}

const GONE: &str = "the input file that it refers to is missing";
const CHANGED: &str = "the input file that it refers to was changed";

impl OpenAdopted {
    /// Appends the bytes of an extent.
    pub fn append(
        &mut self,
        disk: &dyn Disk,
        journal: &Path,
        extent: &Extent,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let start = out.len();
        let read = self.read(disk, journal, extent, out);
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unreadable::Damaged(GONE)),
            Err(error) => match super::segment::unreadable(&error) {
                Some(what) => Err(Unreadable::Damaged(what)),
                None => Err(Unreadable::Disk(error)),
            },
            Ok(()) => {
                let bytes = out.get(start..).unwrap_or_default();
                let is_same = bytes.len() == extent.bytes as usize && crc32c::crc32c(bytes) == extent.crc;
                if is_same { Ok(()) } else { Err(Unreadable::Damaged(CHANGED)) }
            }
        }
    }

    fn read(&mut self, disk: &dyn Disk, journal: &Path, extent: &Extent, out: &mut Vec<u8>) -> io::Result<()> {
        let file = match self.0.take() {
            Some((known, file)) if known == extent.file => file,
            Some(_) | None => disk.open_read(&path_of(journal, extent.file))?,
        };
        let (_, file) = self.0.insert((extent.file, file));
        file.seek(SeekFrom::Start(extent.offset))?;
        file.take(u64::from(extent.bytes)).read_to_end(out).map(|_| ())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test breaks files as no disk of ours would")]
mod tests;
