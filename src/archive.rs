//! The archive: the very bytes that are uploaded, read-only, below `<partner>/<feed>/YYYY/MM/DD/HH/` of the hour's
//! start in UTC. A file gets its name here durably before the first byte of it leaves, and deliveries read it here.
//! Beside the files lie the [`log`], in `.aside` what was found under a name of ours and was not ours, and in `.answers`
//! the partners' answers as they came.

pub mod log;

mod proved;

use proved::Proved;

use crate::disk::hash::hash_of;
use crate::disk::once::ReadOnce;
use crate::disk::{Disk, DiskRead, SyncPoint, failed_sync, free_name, parent};
use crate::domain::ids::{FeedId, FileName, Sha256Digest};
use crate::domain::period::Partition;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can go wrong with the archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// The disk refused.
    #[error("archive: cannot {operation} {path}: {source}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another file has the name already. It is never replaced.
    #[error("archive: {0} exists with other content")]
    Occupied(PathBuf),
}

/// Directories in which files got names, and lost them, that may not be durable yet.
#[derive(Debug, Default)]
#[must_use = "the names are durable when this is settled"]
pub struct Placed {
    to: BTreeSet<PathBuf>,
    from: BTreeSet<PathBuf>,
}

/// The archive directory.
#[derive(Clone)]
pub struct Archive {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

impl Archive {
    /// The archive in `root`, which is created when it is needed.
    #[must_use]
    pub const fn new(disk: Arc<dyn Disk>, root: PathBuf) -> Self {
        Self { disk, root }
    }

    /// Where files are staged: on the same file system, so that a rename is enough to adopt them.
    #[must_use]
    pub fn stage(&self) -> PathBuf {
        self.root.join(".stage")
    }

    /// Path below the archive of a file of an hour.
    #[must_use]
    pub fn path_of(feed: &FeedId, partition: Partition, name: &FileName) -> String {
        let start = chrono::DateTime::from_timestamp(partition.start, 0).unwrap_or_default();
        format!("{}/{}/{}/{name}", feed.partner, feed.feed, start.format("%Y/%m/%d/%H"))
    }

    /// The whole path.
    #[must_use]
    pub fn full_path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Gives a staged, synced file its place, durably. A file that a crash left there is accepted when it has the same
    /// bytes.
    ///
    /// # Errors
    /// [`ArchiveFault`].
    pub fn adopt(&self, staged: &Path, path: &str, sha256: &Sha256Digest) -> Result<(), ArchiveFault> {
        let mut placed = Placed::default();
        self.place(staged, path, sha256, &mut placed)?;
        self.settle(placed)
    }

    /// The same for one of several files: their names are durable when `placed` is [settled](Archive::settle). Until then
    /// a crash may leave each of them here, in staging, or, where a rename is two changes, in both.
    ///
    /// # Errors
    /// [`ArchiveFault`].
    pub fn place(
        &self,
        staged: &Path,
        path: &str,
        sha256: &Sha256Digest,
        placed: &mut Placed,
    ) -> Result<(), ArchiveFault> {
        let target = self.full_path(path);
        let dir = parent(&target);
        let fault = |operation| disk_fault(operation, &target);
        self.disk.create_dir_all(dir, SyncPoint::ArchiveDirectory).map_err(disk_fault("create directory", dir))?;
        if self.disk.stat(&target).map_err(fault("look at"))?.is_some() {
            if self.hash(path)? != *sha256 {
                return Err(ArchiveFault::Occupied(target));
            }
            self.disk.remove(staged).map_err(disk_fault("remove", staged))?;
            placed.to.insert(dir.to_owned());
            return Ok(());
        }
        self.disk.set_read_only(staged).map_err(disk_fault("protect", staged))?;
        self.disk.rename(staged, &target).map_err(fault("publish"))?;
        placed.to.insert(dir.to_owned());
        placed.from.insert(parent(staged).to_owned());
        Ok(())
    }

    /// Makes the names of files durable that got their places: each directory is synced once, and those they left last.
    ///
    /// # Errors
    /// [`ArchiveFault::Disk`], a [failed sync](crate::disk::is_failed_sync).
    pub fn settle(&self, placed: Placed) -> Result<(), ArchiveFault> {
        placed.to.into_iter().chain(placed.from).try_for_each(|dir| {
            let synced = self.disk.sync_dir(&dir, SyncPoint::ArchiveDirectory).map_err(failed_sync);
            synced.map_err(disk_fault("sync", &dir))
        })
    }

    /// Keeps bytes that came from somebody else, durably. A file that is there already is accepted when it has the same
    /// bytes.
    ///
    /// # Errors
    /// [`ArchiveFault`].
    pub fn keep(&self, path: &str, bytes: &[u8], sha256: &Sha256Digest) -> Result<(), ArchiveFault> {
        let target = self.full_path(path);
        let dir = parent(&target);
        self.disk.create_dir_all(dir, SyncPoint::ArchiveDirectory).map_err(disk_fault("create directory", dir))?;
        let staged = dir.join(".new");
        if self.disk.stat(&staged).map_err(disk_fault("look at", &staged))?.is_some() {
            self.disk.remove(&staged).map_err(disk_fault("remove", &staged))?;
        }
        let mut file = self.disk.create_new(&staged).map_err(disk_fault("create", &staged))?;
        file.write_all(bytes).and_then(|()| file.flush()).map_err(disk_fault("write", &staged))?;
        file.sync(SyncPoint::StagedFile).map_err(disk_fault("sync", &staged))?;
        drop(file);
        self.adopt(&staged, path, sha256)
    }

    /// Where files lie that were found under a name of ours and are not ours.
    #[must_use]
    pub fn aside(&self) -> PathBuf {
        self.root.join(".aside")
    }

    /// Moves a file out of its hour to [`Archive::aside`], durably, and says where it lies then; `None` when there is no
    /// such file. Nothing is replaced and nothing is lost.
    ///
    /// # Errors
    /// [`ArchiveFault::Disk`].
    pub fn set_aside(&self, path: &str) -> Result<Option<PathBuf>, ArchiveFault> {
        let (full, dir) = (self.full_path(path), self.aside());
        if self.disk.stat(&full).map_err(disk_fault("look at", &full))?.is_none() {
            return Ok(None);
        }
        self.disk.create_dir_all(&dir, SyncPoint::ArchiveDirectory).map_err(disk_fault("create directory", &dir))?;
        let target = free_name(self.disk.as_ref(), &dir.join(path.replace('/', "_")), &|_| Ok(false))
            .map_err(disk_fault("look at", &dir))?;
        self.disk.publish(&full, &target, SyncPoint::ArchiveDirectory).map_err(disk_fault("publish", &target))?;
        Ok(Some(target))
    }

    /// Opens a file for delivery.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(&self, path: &str) -> io::Result<Box<dyn DiskRead>> {
        self.disk.open_read(&self.full_path(path))
    }

    /// Opens a file for delivery that must have this length and hash. Whoever got all of it got the right bytes: a
    /// difference is an error of kind [`io::ErrorKind::InvalidData`] in front of the last bytes.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::InvalidData`] when the length is another one.
    pub fn open_proved(&self, path: &str, bytes: u64, sha256: Sha256Digest) -> io::Result<Box<dyn Read + Send>> {
        let file = self.open(path)?;
        if file.stat()?.bytes != bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it has not the length that was archived"));
        }
        Ok(Box::new(Proved::new(ReadOnce::new(file), bytes, sha256)))
    }

    /// Hash of an archived file.
    ///
    /// # Errors
    /// [`ArchiveFault::Disk`].
    pub fn hash(&self, path: &str) -> Result<Sha256Digest, ArchiveFault> {
        self.hash_telling(path, &mut |_| ())
    }

    /// Hash of an archived file; `told` is given the length of each piece that was read.
    ///
    /// # Errors
    /// [`ArchiveFault::Disk`].
    pub fn hash_telling(&self, path: &str, told: &mut dyn FnMut(u64)) -> Result<Sha256Digest, ArchiveFault> {
        let full = self.full_path(path);
        let mut reader = self.open(path).map_err(disk_fault("open", &full))?;
        hash_of(reader.as_mut(), told).map_err(disk_fault("read", &full))
    }

    /// Removes a file whose time is over. One that is gone already is fine.
    ///
    /// # Errors
    /// [`ArchiveFault::Disk`].
    pub fn expire(&self, path: &str) -> Result<(), ArchiveFault> {
        let full = self.full_path(path);
        match self.disk.remove(&full) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(disk_fault("remove", &full)),
        }
    }
}

fn disk_fault(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveFault + use<> {
    let path = path.to_owned();
    move |source| ArchiveFault::Disk { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::disk::faulty::FaultyDisk;
    use sha2::{Digest, Sha256};
    use std::io::Write;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_signal_while_an_archived_file_is_read_is_no_fault() {
        let dir = tempfile::tempdir().expect("directory");
        let content = vec![7; 600 << 10];
        let mut file = RealDisk.create_new(&dir.path().join("a")).expect("file");
        file.write_all(&content).expect("content");
        let disk = FaultyDisk::default();
        disk.0.interrupted_reads.store(true, Ordering::Relaxed);
        let archive = Archive::new(Arc::new(disk), dir.path().to_owned());
        let mut told = 0;
        let hash = archive.hash_telling("a", &mut |bytes| told += bytes).expect("a hash");
        assert_eq!((hash, told), (Sha256Digest(Sha256::digest(&content).into()), 600 << 10));
    }
}
