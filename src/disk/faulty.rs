//! The machine's disk with the faults that a test orders.

use super::{Disk, DiskFile, DiskRead, Entry, RealDisk, Stat, SyncPoint, create_dirs};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// What goes wrong. Each number counts what still goes well; then one operation fails, with "no space". Negative: nothing
/// goes wrong.
#[derive(Debug)]
pub struct Faults {
    /// Every second read of a file is interrupted.
    pub interrupted_reads: AtomicBool,
    /// Pieces that are written to files, and space that is reserved.
    pub writes: AtomicI64,
    /// Syncs of files.
    pub file_syncs: AtomicI64,
    /// Syncs of directories.
    pub directory_syncs: AtomicI64,
}

impl Default for Faults {
    fn default() -> Self {
        let never = || AtomicI64::new(-1);
        let interrupted_reads = AtomicBool::new(false);
        Self { interrupted_reads, writes: never(), file_syncs: never(), directory_syncs: never() }
    }
}

fn count(left: &AtomicI64) -> io::Result<()> {
    if left.load(Ordering::Relaxed) < 0 || left.fetch_sub(1, Ordering::Relaxed) > 0 {
        return Ok(());
    }
    Err(io::ErrorKind::StorageFull.into())
}

/// The disk; the test keeps a copy.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk(pub Arc<Faults>);

impl FaultyDisk {
    fn file(&self, inner: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { disk: self.clone(), inner })
    }
}

impl Disk for FaultyDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create_new(path).map(|file| self.file(file))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open_append(path).map(|file| self.file(file))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        let inner = RealDisk.open_read(path)?;
        let is_interrupted = self.0.interrupted_reads.load(Ordering::Relaxed);
        Ok(Box::new(FaultyRead { inner, is_interrupted, is_next: is_interrupted }))
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        RealDisk.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        let is_empty = |dir: &Path| Ok(std::fs::read_dir(dir)?.next().is_none());
        create_dirs(self, dir, point, &|dir| std::fs::create_dir(dir), &is_empty)
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
        count(&self.0.directory_syncs)
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    inner: Box<dyn DiskFile>,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        count(&self.disk.0.writes)?;
        self.inner.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl DiskFile for FaultyFile {
    fn sync(&mut self, _point: SyncPoint) -> io::Result<()> {
        count(&self.disk.0.file_syncs)
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }
    fn allocate(&mut self, length: u64) -> io::Result<bool> {
        count(&self.disk.0.writes)?;
        self.inner.allocate(length)
    }
    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.inner.seek_to(offset)
    }
}

struct FaultyRead {
    inner: Box<dyn DiskRead>,
    is_interrupted: bool,
    is_next: bool,
}

impl Read for FaultyRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_next {
            self.is_next = false;
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.is_next = self.is_interrupted;
        self.inner.read(buffer)
    }
}

impl Seek for FaultyRead {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl DiskRead for FaultyRead {
    fn stat(&self) -> io::Result<Stat> {
        self.inner.stat()
    }
}
