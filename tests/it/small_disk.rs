//! A disk with little room: the machine's disk behind an account of bytes, which can also refuse from one operation on
//! or fail a sync. Only what lies in the state directory and in the archive is counted.

use hourdrop::disk::{Disk, DiskFile, DiskRead, Entry, RealDisk, Stat, SyncPoint};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What happens on the disk.
#[derive(Debug, Default)]
pub struct Account {
    /// Bytes that all files together may have; 0: no limit.
    pub capacity: u64,
    /// Bytes that somebody else uses.
    pub others: u64,
    /// Operations that need room so far.
    pub operations: u64,
    /// From the operation behind this one on there is no room, for so many operations.
    pub full_from: Option<(u64, u64)>,
    /// How often there was none.
    pub refused: u64,
    /// Syncs so far.
    pub syncs: u64,
    /// The sync with this number fails, and what was written since the last one is lost when `loses` says so.
    pub failing_sync: Option<u64>,
    pub loses: bool,
    /// A directory that lies on another file system, and whether that one is full.
    pub elsewhere: Option<PathBuf>,
    pub elsewhere_is_full: bool,
    files: BTreeMap<PathBuf, u64>,
}

impl Account {
    pub fn used(&self) -> u64 {
        self.files.values().sum::<u64>() + self.others
    }

    /// Somebody else uses all that is left.
    pub fn fill(&mut self) {
        self.others += self.capacity - self.used();
    }

    fn full(&mut self) -> io::Error {
        self.refused += 1;
        io::ErrorKind::StorageFull.into()
    }

    fn is_elsewhere(&self, path: &Path) -> bool {
        self.elsewhere.as_ref().is_some_and(|dir| path.starts_with(dir))
    }

    /// Counts an operation that needs room for `path`.
    fn count(&mut self, path: &Path) -> io::Result<()> {
        self.operations += 1;
        if self.elsewhere_is_full && self.is_elsewhere(path) {
            return Err(self.full());
        }
        match self.full_from {
            Some((from, count)) if (1..=count).contains(&self.operations.saturating_sub(from)) => Err(self.full()),
            _ => Ok(()),
        }
    }

    /// Makes a file at least so long; as long as it can become, when there is not room for all.
    fn grow(&mut self, path: &Path, length: u64) -> u64 {
        let free = if self.capacity == 0 { u64::MAX / 2 } else { self.capacity.saturating_sub(self.used()) };
        let known = self.files.entry(path.to_owned()).or_default();
        *known = (*known).max(length.min(*known + free));
        *known
    }
}

#[derive(Clone)]
pub struct SmallDisk {
    account: Arc<Mutex<Account>>,
    counted: Arc<Vec<PathBuf>>,
}

impl SmallDisk {
    /// Counts what lies in these directories.
    pub fn new(counted: Vec<PathBuf>) -> Self {
        Self { account: Arc::default(), counted: Arc::new(counted) }
    }

    pub fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().expect("an account")
    }

    fn counts(&self, path: &Path) -> bool {
        self.counted.iter().any(|dir| path.starts_with(dir))
    }

    fn open(&self, path: &Path, inner: Box<dyn DiskFile>, at: u64) -> Box<dyn DiskFile> {
        if self.counts(path) {
            Box::new(SmallFile { disk: self.clone(), path: path.to_owned(), inner, at, unsynced: Vec::new() })
        } else {
            inner
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut account = self.account();
        account.syncs += 1;
        if account.failing_sync == Some(account.syncs) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl Disk for SmallDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if self.counts(path) {
            self.account().count(path)?;
        }
        Ok(self.open(path, RealDisk.create_new(path)?, 0))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let bytes = self.stat(path)?.map_or(0, |stat| stat.bytes);
        self.account().grow(path, bytes);
        Ok(self.open(path, RealDisk.open_append(path)?, bytes))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        RealDisk.open_read(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let stat = RealDisk.stat(path)?;
        let device = u64::from(self.account().is_elsewhere(path));
        Ok(stat.map(|stat| Stat { identity: (stat.identity.0 + device, stat.identity.1), ..stat }))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        if self.counts(dir) && self.stat(dir)?.is_none() {
            self.account().count(dir)?;
        }
        RealDisk.create_dir_all(dir, point)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.counts(to) {
            self.account().count(to)?;
        }
        RealDisk.rename(from, to)?;
        let mut account = self.account();
        if let Some(bytes) = account.files.remove(from) {
            account.files.insert(to.to_owned(), bytes);
        }
        Ok(())
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.counts(to) {
            self.account().count(to)?;
        }
        if self.account().is_elsewhere(from) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        RealDisk.link(from, to)
    }
    fn sync_file(&self, path: &Path, _point: SyncPoint) -> io::Result<()> {
        if self.counts(path) { self.sync() } else { Ok(()) }
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.account().files.remove(path);
        RealDisk.remove(path)
    }
    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        RealDisk.set_read_only(path)
    }
    fn sync_dir(&self, dir: &Path, _point: SyncPoint) -> io::Result<()> {
        if self.counts(dir) { self.sync() } else { Ok(()) }
    }
    fn before_ledger_commit(&self, _point: SyncPoint) -> io::Result<()> {
        const COMMIT_BYTES: u64 = 8 << 10;
        let mut account = self.account();
        let path = Path::new("ledger");
        account.count(path)?;
        let wanted = account.files.get(path).copied().unwrap_or(0) + COMMIT_BYTES;
        if account.grow(path, wanted) < wanted { Err(account.full()) } else { Ok(()) }
    }
}

struct SmallFile {
    disk: SmallDisk,
    path: PathBuf,
    inner: Box<dyn DiskFile>,
    at: u64,
    /// Where something was written since the last sync.
    unsynced: Vec<(u64, usize)>,
}

impl Write for SmallFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut account = self.disk.account();
        account.count(&self.path)?;
        let length = account.grow(&self.path, self.at + bytes.len() as u64);
        let taken = usize::try_from(length.saturating_sub(self.at)).expect("small").min(bytes.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(account.full());
        }
        drop(account);
        self.inner.write_all(&bytes[..taken])?;
        self.unsynced.push((self.at, taken));
        self.at += taken as u64;
        Ok(taken)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl DiskFile for SmallFile {
    /// Nothing is really synced: these tests end no machine.
    fn sync(&mut self, _point: SyncPoint) -> io::Result<()> {
        let synced = self.disk.sync();
        let unsynced = std::mem::take(&mut self.unsynced);
        if synced.is_err() && self.disk.account().loses {
            for (offset, bytes) in unsynced {
                self.inner.seek_to(offset)?;
                self.inner.write_all(&vec![0; bytes])?;
            }
        }
        synced
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.disk.account().files.insert(self.path.clone(), length);
        self.at = length;
        self.inner.truncate(length)
    }
    fn allocate(&mut self, length: u64) -> io::Result<bool> {
        let mut account = self.disk.account();
        account.count(&self.path)?;
        let before = account.files.get(&self.path).copied().unwrap_or(0);
        if account.grow(&self.path, length) < length {
            account.files.insert(self.path.clone(), before);
            return Err(account.full());
        }
        drop(account);
        self.inner.allocate(length)
    }
    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.at = offset;
        self.inner.seek_to(offset)
    }
}
