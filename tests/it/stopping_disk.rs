//! The machine's disk up to one operation; from then on it refuses to change anything, as if the power had gone.

use hourdrop::disk::{Disk, DiskFile, DiskRead, Entry, RealDisk, Stat, SyncPoint};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone)]
pub struct StoppingDisk {
    done: Arc<AtomicUsize>,
    stop_at: usize,
}

impl StoppingDisk {
    pub fn new(stop_at: usize) -> Self {
        Self { done: Arc::default(), stop_at }
    }

    pub fn operations(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    fn change(&self) -> io::Result<()> {
        let number = self.done.fetch_add(1, Ordering::Relaxed);
        if number < self.stop_at { Ok(()) } else { Err(io::Error::other("the power is gone")) }
    }

    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(StoppingFile { disk: self.clone(), file })
    }
}

struct StoppingFile {
    disk: StoppingDisk,
    file: Box<dyn DiskFile>,
}

impl Write for StoppingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.change()?;
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for StoppingFile {
    fn sync(&mut self, point: SyncPoint) -> io::Result<()> {
        self.disk.change()?;
        self.file.sync(point)
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.truncate(length)
    }
    fn allocate(&mut self, length: u64) -> io::Result<bool> {
        self.disk.change()?;
        self.file.allocate(length)
    }
    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek_to(offset)
    }
}

impl Disk for StoppingDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.change()?;
        RealDisk.create_new(path).map(|file| self.file(file))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open_append(path).map(|file| self.file(file))
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
        self.change()?;
        RealDisk.create_dir_all(dir, point)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.remove(path)
    }
    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.set_read_only(path)
    }
    fn sync_dir(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        self.change()?;
        RealDisk.sync_dir(dir, point)
    }
    fn before_ledger_commit(&self, _point: SyncPoint) -> io::Result<()> {
        self.change()
    }
    fn after_ledger_commit(&self, _point: SyncPoint) -> io::Result<()> {
        self.change()
    }
}
