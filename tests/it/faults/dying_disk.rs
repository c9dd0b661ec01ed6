//! The machine's disk until a program dies: from one operation on, everything fails. What was written stays, as after
//! a `kill -9`.

use hourdrop::disk::{Disk, DiskFile, DiskRead, Entry, RealDisk, Stat, SyncPoint};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Dies after so many operations that change something.
#[derive(Clone)]
pub struct DyingDisk(Arc<AtomicI64>);

impl DyingDisk {
    pub fn after(operations: i64) -> Self {
        Self(Arc::new(AtomicI64::new(operations)))
    }

    fn act(&self) -> io::Result<()> {
        if self.0.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(dead()) }
    }

    fn look(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) > 0 { Ok(()) } else { Err(dead()) }
    }
}

fn dead() -> io::Error {
    io::Error::other("the program is dead")
}

struct DyingFile(Box<dyn DiskFile>, DyingDisk);

impl Write for DyingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.act()?;
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for DyingFile {
    fn sync(&mut self, point: SyncPoint) -> io::Result<()> {
        self.1.act()?;
        self.0.sync(point)
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.1.act()?;
        self.0.truncate(length)
    }
    fn allocate(&mut self, length: u64) -> io::Result<bool> {
        self.1.act()?;
        self.0.allocate(length)
    }
    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.1.look()?;
        self.0.seek_to(offset)
    }
}

impl Disk for DyingDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.act()?;
        Ok(Box::new(DyingFile(RealDisk.create_new(path)?, self.clone())))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.look()?;
        Ok(Box::new(DyingFile(RealDisk.open_append(path)?, self.clone())))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        self.look()?;
        RealDisk.open_read(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.look()?;
        RealDisk.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.look()?;
        RealDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        self.act()?;
        RealDisk.create_dir_all(dir, point)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act()?;
        RealDisk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act()?;
        RealDisk.link(from, to)
    }
    fn sync_file(&self, path: &Path, point: SyncPoint) -> io::Result<()> {
        self.act()?;
        RealDisk.sync_file(path, point)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.act()?;
        RealDisk.remove(path)
    }
    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        self.act()?;
        RealDisk.set_read_only(path)
    }
    fn sync_dir(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        self.act()?;
        RealDisk.sync_dir(dir, point)
    }
    fn before_ledger_commit(&self, _point: SyncPoint) -> io::Result<()> {
        self.act()
    }
    fn after_ledger_commit(&self, _point: SyncPoint) -> io::Result<()> {
        self.act()
    }
}
