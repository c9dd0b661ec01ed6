//! A disk that forgets to sync: shows what durability costs.

use hourdrop::disk::{Disk, DiskFile, DiskRead, Entry, RealDisk, Stat, SyncPoint};
use std::io::{self, Write};
use std::path::Path;

/// The real disk without its syncs.
pub struct UnsyncedDisk;

struct UnsyncedFile(Box<dyn DiskFile>);

impl Write for UnsyncedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for UnsyncedFile {
    fn sync(&mut self, _point: SyncPoint) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }

    fn allocate(&mut self, length: u64) -> io::Result<bool> {
        self.0.allocate(length)
    }

    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.0.seek_to(offset)
    }
}

impl Disk for UnsyncedDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(UnsyncedFile(RealDisk.create_new(path)?)))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(UnsyncedFile(RealDisk.open_append(path)?)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        RealDisk.open_read(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        RealDisk.stat(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        RealDisk.create_dir_all(dir, point)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        RealDisk.set_read_only(path)
    }

    fn sync_dir(&self, _dir: &Path, _point: SyncPoint) -> io::Result<()> {
        Ok(())
    }
}
