//! The disk of this machine.

use super::{Disk, DiskFile, DiskRead, Entry, FileAccess, Kind, Stat, SyncPoint, create_dirs};
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::Path;

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)?;
        Ok(Box::new(RealFile::at(file, 0)))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        Ok(Box::new(RealFile::at(file, end)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        Ok(Box::new(RealRead(File::open(path)?)))
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(stat_of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            // A name may vanish between the listing and the look: somebody moved the file, which is normal.
            if let Some(stat) = self.stat(&path)? {
                entries.push(Entry { path, stat });
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let make = |dir: &Path| fs::DirBuilder::new().mode(0o750).create(dir);
        create_dirs(self, dir, point, &make, &|dir| Ok(fs::read_dir(dir)?.next().is_none()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // File systems without RENAME_NOREPLACE (some network mounts): a hard link refuses to replace, too.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                fs::hard_link(from, to)?;
                self.remove(from)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{AtFlags, CWD, linkat};
        // A symbolic link may lead elsewhere tomorrow: it is its file that gets the name.
        Ok(linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
    }

    fn sync_file(&self, path: &Path, _point: SyncPoint) -> io::Result<()> {
        File::open(path)?.sync_data()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "this is the seam that everybody else uses")]
        fs::remove_file(path)
    }

    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o440))
    }

    fn sync_dir(&self, dir: &Path, _point: SyncPoint) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

fn stat_of(metadata: &fs::Metadata) -> Stat {
    use std::os::unix::fs::MetadataExt;
    let kind = if metadata.is_file() {
        Kind::File
    } else if metadata.is_dir() {
        Kind::Directory
    } else {
        Kind::Other
    };
    Stat {
        bytes: metadata.len(),
        modified_nanos: metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec()),
        created_nanos: created_nanos(metadata),
        identity: (metadata.dev(), metadata.ino()),
        kind,
    }
}

fn created_nanos(metadata: &fs::Metadata) -> Option<i64> {
    let since = metadata.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// A file that is being written. The system is asked to write out what has come together while more comes: a sync then
/// waits for little, and the disk works while records are decoded.
struct RealFile {
    file: File,
    /// Where it is written next.
    at: u64,
    /// Up to here the system was asked.
    asked: u64,
    /// More than its content has changed.
    has_access: bool,
}

/// Bytes that come together before the system is asked: less than an hour of a small feed has.
const WRITE_OUT_BYTES: u64 = 2 << 20;

/// So many bytes are worth it when a sync comes soon.
const SOON_BYTES: u64 = 256 << 10;

impl RealFile {
    const fn at(file: File, at: u64) -> Self {
        Self { file, at, asked: at, has_access: false }
    }

    /// Asks when so much has come together; what comes of it is the matter of the next sync. Pages that are not written
    /// yet stay in memory.
    fn ask_to_write_out(&mut self, least: u64) {
        let bytes = self.at.saturating_sub(self.asked);
        if bytes >= least {
            let asked = fadvise(&self.file, self.asked, NonZeroU64::new(bytes), Advice::DontNeed);
            if let Err(error) = asked {
                tracing::trace!("the system does not write out in advance: {error}");
            }
            self.asked = self.at;
        }
    }
}

impl Write for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.at += count as u64;
        self.ask_to_write_out(WRITE_OUT_BYTES);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for RealFile {
    fn sync(&mut self, _point: SyncPoint) -> io::Result<()> {
        self.asked = self.at;
        if self.has_access { self.file.sync_all() } else { self.file.sync_data() }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.seek_to(length)
    }

    fn allocate(&mut self, length: u64) -> io::Result<bool> {
        use rustix::fs::{FallocateFlags, fallocate};
        match rustix::io::retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, length)) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        (self.at, self.asked) = (offset, offset);
        Ok(())
    }

    fn set_access(&mut self, access: &FileAccess) -> io::Result<()> {
        use std::os::unix::fs::{PermissionsExt, fchown};
        if access.owner.is_some() || access.group.is_some() {
            fchown(&self.file, access.owner, access.group)?;
            self.has_access = true;
        }
        if let Some(mode) = access.mode {
            self.file.set_permissions(fs::Permissions::from_mode(mode))?;
            self.has_access = true;
        }
        Ok(())
    }

    fn sync_comes(&mut self) {
        self.ask_to_write_out(SOON_BYTES);
    }

    fn is_done_with(&mut self) {
        if let Err(error) = fadvise(&self.file, 0, None, Advice::DontNeed) {
            tracing::trace!("the system keeps in memory what was written: {error}");
        }
    }
}

struct RealRead(File);

impl Read for RealRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for RealRead {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl DiskRead for RealRead {
    fn stat(&self) -> io::Result<Stat> {
        self.0.metadata().map(|metadata| stat_of(&metadata))
    }

    fn is_done_with(&self, bytes: Range<u64>) {
        let length = NonZeroU64::new(bytes.end.saturating_sub(bytes.start));
        if let Some(length) = length
            && let Err(error) = fadvise(&self.0, bytes.start, Some(length), Advice::DontNeed)
        {
            tracing::trace!("the system keeps in memory what was read: {error}");
        }
    }
}
