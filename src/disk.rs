//! The seam to the machine's disk. Everything that must survive a crash is written through it, so a simulated
//! disk can stand in its place.
//!
//! The rules it exists for: a file's bytes are durable after [`DiskFile::sync`]; its *name* is durable after
//! [`Disk::sync_dir`] of the directory that holds it. A rename without both is lost, or worse, leaves an empty
//! file under the final name after a power cut.

pub mod ahead;
#[cfg(test)]
pub mod faulty;
pub mod hash;
mod names;
pub mod once;
pub mod pieces;
mod real;

pub use names::free_name;
pub use real::RealDisk;

use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Names the durable operations, so a simulation can leave one out and show that a test notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncPoint {
    /// A group of spool frames.
    SpoolGroup,
    /// The directory entry of a new spool segment.
    SpoolDirectory,
    /// The bytes of a staged part file or manifest.
    StagedFile,
    /// The archive directory (and its parents) that received a file.
    ArchiveDirectory,
    /// The archive's log, or its directory.
    ArchiveLog,
    /// The bytes of a file delivered to a local directory.
    LocalDropFile,
    /// A local drop directory.
    LocalDropDirectory,
    /// An input file: one that is copied to where finished input is kept, or one that the journal adopts.
    InputFile,
    /// A directory that finished input was moved from or to.
    InputDirectory,
    /// State files of their own, such as the store's identity.
    StateFile,
    /// What a group of frames means, in the ledger.
    LedgerIntake,
    /// What was decided about hours: plans with their numbers and names, in the ledger.
    LedgerPlan,
    /// Hours that lie in the archive, in the ledger.
    LedgerSealed,
    /// What is about to be done to a file at a partner, in the ledger.
    LedgerIntent,
    /// What has become of a file at a partner, in the ledger.
    LedgerOutcome,
    /// Everything else in the ledger.
    LedgerOther,
}

/// A disk, real or simulated.
pub trait Disk: Send + Sync {
    /// Creates a file that must not exist yet and opens it for writing.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for writing at its end.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>>;
    /// What lies under a path; `None` when nothing does.
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>>;
    /// The entries of a directory, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Creates a directory and its parents, and syncs every directory that received an entry. An error of such a sync is
    /// a [failed sync](is_failed_sync).
    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()>;
    /// Renames a file, replacing nothing: fails with `AlreadyExists` when `to` exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, in the same file system: fails with `AlreadyExists` when `to` exists.
    ///
    /// # Errors
    /// Also where the file system or its rules allow no such name; then nothing has happened.
    fn link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes the content of a file durable that somebody else has written.
    ///
    /// # Errors
    /// As [`DiskFile::sync`].
    fn sync_file(&self, _path: &Path, _point: SyncPoint) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Takes away the permission to write (mode 0440).
    fn set_read_only(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a directory durable.
    fn sync_dir(&self, dir: &Path, point: SyncPoint) -> io::Result<()>;

    /// The ledger is a file that SQLite writes by itself. It asks before each commit, which is one durable operation
    /// of its own: an error here keeps it from happening.
    ///
    /// # Errors
    /// When the commit must not happen.
    fn before_ledger_commit(&self, _point: SyncPoint) -> io::Result<()> {
        Ok(())
    }

    /// Tells that the commit asked for has happened.
    ///
    /// # Errors
    /// When nobody will learn of it.
    fn after_ledger_commit(&self, _point: SyncPoint) -> io::Result<()> {
        Ok(())
    }

    /// Gives a complete, synced file its final name, durably: rename, then sync both directories. An error of these syncs
    /// is a [failed sync](is_failed_sync).
    fn publish(&self, from: &Path, to: &Path, point: SyncPoint) -> io::Result<()> {
        self.rename(from, to)?;
        let (old, new) = (parent(from), parent(to));
        self.sync_dir(new, point).map_err(failed_sync)?;
        if old == new { Ok(()) } else { self.sync_dir(old, point).map_err(failed_sync) }
    }
}

/// Who may do what with a file, where it is not as the system makes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileAccess {
    /// Permission bits, as for `chmod`.
    pub mode: Option<u32>,
    /// Number of the user that owns it.
    pub owner: Option<u32>,
    /// Number of its group.
    pub group: Option<u32>,
}

/// A file open for writing.
pub trait DiskFile: Write + Send {
    /// Makes everything written so far durable. After an error nothing written since the last success may be
    /// trusted, and the file must not be synced again.
    fn sync(&mut self, point: SyncPoint) -> io::Result<()>;
    /// Cuts the file to `length` bytes and goes on writing there.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Makes the file at least `length` bytes long, with zeros behind what it holds, and reserves the space for them.
    /// False where the file system cannot; the file is as it was then.
    ///
    /// # Errors
    /// What the system says, above all that there is no space.
    fn allocate(&mut self, length: u64) -> io::Result<bool>;
    /// Goes on writing at this byte offset.
    fn seek_to(&mut self, offset: u64) -> io::Result<()>;
    /// Says who may do what with the file; durable with the next sync.
    ///
    /// # Errors
    /// What the system says, above all that only its administrator may give files away.
    fn set_access(&mut self, _access: &FileAccess) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// A sync will come soon, and something else before it: the disk may begin with its work.
    fn sync_comes(&mut self) {}
    /// Tells the system that what is durable of this file is not read again soon. It may take no notice.
    fn is_done_with(&mut self) {}
}

/// A file open for reading.
pub trait DiskRead: Read + Seek + Send {
    /// Identity and size of the open file.
    fn stat(&self) -> io::Result<Stat>;
    /// Tells the system that these bytes are not read again soon. It may take no notice.
    fn is_done_with(&self, _bytes: Range<u64>) {}
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Size in bytes.
    pub bytes: u64,
    /// Nanoseconds since the epoch of the last change of the content.
    pub modified_nanos: i64,
    /// Nanoseconds since the epoch at which the file was created, where the file system knows it.
    pub created_nanos: Option<i64>,
    /// Number of the file system and of the file in it: survives a rename.
    pub identity: (u64, u64),
    /// File, directory or something else.
    pub kind: Kind,
}

/// Kind of a directory entry; symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, pipe or socket.
    Other,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole path.
    pub path: PathBuf,
    /// What it leads to.
    pub stat: Stat,
}

/// The directory that holds `path`.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Reads the next piece, whatever signals arrive meanwhile; 0 at the end.
///
/// # Errors
/// What the reader says.
pub fn read_piece(reader: &mut (impl Read + ?Sized), piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// A sync that failed inside an operation that does more than that.
#[derive(Debug, thiserror::Error)]
#[error("it could not be made durable: {0}")]
struct FailedSync(io::Error);

/// An error that carries the fact that a sync has failed, whatever for.
#[must_use]
pub fn failed_sync(error: io::Error) -> io::Error {
    if is_failed_sync(&error) { error } else { io::Error::other(FailedSync(error)) }
}

/// True when a sync has failed: the disk may have lost what can still be read, and trying again proves nothing.
#[must_use]
pub fn is_failed_sync(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<FailedSync>()).is_some()
}

/// True for the errors that pass when somebody makes room: no space, or the user's quota is used up. A failed sync is
/// none of them.
#[must_use]
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Its size.
    pub bytes: u64,
}

/// The room on the file system that holds `path`.
///
/// # Errors
/// What the system says.
pub fn room(path: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Room { free_bytes: bytes(found.f_bavail), bytes: bytes(found.f_blocks) })
}

/// Number of the file system that holds `path`; `None` when nothing is there.
#[must_use]
pub fn file_system(path: &Path) -> Option<u64> {
    RealDisk.stat(path).ok().flatten().map(|stat| stat.identity.0)
}

/// How a disk that can `make` one directory, and tell whether one `is_empty`, does what [`Disk::create_dir_all`]
/// promises.
///
/// An entry is made only in a directory whose own entry is durable. So a directory that holds something is durable;
/// an empty one may have been left by a process that was killed before it had synced the directory above.
///
/// # Errors
/// What the disk says.
pub fn create_dirs(
    disk: &dyn Disk,
    dir: &Path,
    point: SyncPoint,
    make: &dyn Fn(&Path) -> io::Result<()>,
    is_empty: &dyn Fn(&Path) -> io::Result<bool>,
) -> io::Result<()> {
    let above = parent(dir);
    if disk.stat(dir)?.is_some_and(|stat| stat.kind == Kind::Directory) {
        if above == dir || !is_empty(dir)? {
            return Ok(());
        }
        return match disk.sync_dir(above, point) {
            // We make directories only where we may look, so somebody else made this one.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            done => done.map_err(failed_sync),
        };
    }
    if above != dir {
        create_dirs(disk, above, point, make, is_empty)?;
    }
    match make(dir) {
        Ok(()) => disk.sync_dir(above, point).map_err(failed_sync),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn publish_gives_a_name_and_never_replaces_one() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (from, to) = (dir.path().join("stage"), dir.path().join("final"));
        for round in 0..2 {
            let mut file = RealDisk.create_new(&from).expect("create");
            file.write_all(b"bytes").expect("write");
            file.sync(SyncPoint::StagedFile).expect("sync");
            let published = RealDisk.publish(&from, &to, SyncPoint::ArchiveDirectory);
            match round {
                0 => assert!(published.is_ok()),
                _ => assert_eq!(published.map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists)),
            }
        }
        assert_eq!(fs::read(&to).expect("read"), b"bytes");
    }

    #[test]
    fn a_directory_that_cannot_be_made_durable_is_a_failed_sync_and_no_lack_of_room() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let disk = faulty::FaultyDisk::default();
        let fail_after = |good| disk.0.directory_syncs.store(good, std::sync::atomic::Ordering::Relaxed);
        let is_failed_sync =
            |done: io::Result<()>| done.as_ref().is_err_and(|error| is_failed_sync(error) && !is_out_of_space(error));
        let below = dir.path().join("a/b");
        for _ in 0..2 {
            fail_after(0);
            assert!(is_failed_sync(disk.create_dir_all(&below, SyncPoint::ArchiveDirectory)), "as new and as found");
        }
        fail_after(1);
        assert!(is_failed_sync(disk.create_dir_all(&below, SyncPoint::ArchiveDirectory)));
        fail_after(-1);
        disk.create_dir_all(&below, SyncPoint::ArchiveDirectory).expect("directories");
        for good in [0, 1] {
            let (from, to) = (dir.path().join("stage"), below.join(good.to_string()));
            drop(disk.create_new(&from).expect("create"));
            fail_after(good);
            assert!(is_failed_sync(disk.publish(&from, &to, SyncPoint::ArchiveDirectory)), "{good}");
        }
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(is_out_of_space(&full) && !super::is_failed_sync(&full));
    }

    #[test]
    fn allocated_space_reads_as_zeros_behind_what_was_written() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("segment");
        let mut file = RealDisk.create_new(&path).expect("create");
        file.write_all(b"head").expect("write");
        if file.allocate(10).expect("allocate") {
            file.seek_to(4).expect("seek");
            file.write_all(b"ers").expect("write");
            assert_eq!(fs::read(&path).expect("read"), b"headers\0\0\0");
        }
    }

    #[test]
    fn created_files_must_be_new() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("one");
        assert!(RealDisk.create_new(&path).is_ok());
        assert_eq!(RealDisk.create_new(&path).map(|_| ()).map_err(|e| e.kind()), Err(io::ErrorKind::AlreadyExists));
    }
}
