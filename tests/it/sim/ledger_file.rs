//! The ledger's file, which SQLite writes by itself on a real file system. Of its own crashes the real file system
//! and SQLite take care (other tests kill real processes and cut the power); here a commit is one operation that is
//! durable as soon as it is done. What is simulated is the directory entry, and a commit that is not durable.

use super::survival::Survival;
use hourdrop::disk::{Disk, DiskRead, RealDisk, Stat};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file with everything that SQLite puts beside it.
pub struct LedgerFile {
    /// The real directory of `state`.
    dir: PathBuf,
    /// It got its final name, and the directory was not synced since.
    is_renamed: bool,
    /// What it was before commits that are not durable.
    copy: Option<Vec<(PathBuf, Vec<u8>)>>,
}

impl LedgerFile {
    /// Everything that may lie there.
    pub const PARTS: [&str; 6] = [
        "state/ledger.db",
        "state/ledger.db-wal",
        "state/ledger.db-shm",
        "state/ledger.new",
        "state/ledger.new-wal",
        "state/ledger.new-shm",
    ];

    /// Removes what an earlier run left.
    pub fn clean(dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("directory");
        let ledger = Self { dir: dir.to_owned(), is_renamed: false, copy: None };
        ledger.remove_all();
        ledger
    }

    pub fn is_part(name: &str) -> bool {
        Self::PARTS.contains(&name)
    }

    fn real(&self, name: &str) -> PathBuf {
        self.dir.join(name.trim_start_matches("state/"))
    }

    fn remove_all(&self) {
        for part in Self::PARTS {
            self.remove(part).ok();
        }
    }

    pub fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        RealDisk.stat(&self.real(name))
    }

    pub fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskRead>> {
        RealDisk.open_read(&self.real(name))
    }

    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        RealDisk.rename(&self.real(from), &self.real(to))?;
        self.is_renamed = true;
        Ok(())
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        RealDisk.remove(&self.real(name))
    }

    pub fn sync_dir(&mut self) {
        self.is_renamed = false;
    }

    /// Remembers what it is before a commit that will not be durable.
    pub fn keep_copy(&mut self) {
        if self.copy.is_none() {
            let parts = Self::PARTS[..2].iter().map(|part| self.real(part));
            self.copy = Some(parts.filter_map(|path| fs::read(&path).ok().map(|bytes| (path, bytes))).collect());
        }
    }

    /// A later commit is durable, and so are all before it.
    pub fn forget_copy(&mut self) {
        self.copy = None;
    }

    pub fn cut_power(&mut self, survival: Survival, has_directory: bool, random: &mut fastrand::Rng) {
        if let Some(copy) = self.copy.take() {
            self.remove_all();
            for (path, bytes) in copy {
                fs::write(path, bytes).expect("write");
            }
        }
        let is_lost = match survival {
            Survival::Nothing => true,
            Survival::Everything => false,
            Survival::UpTo(_) | Survival::Scattered { .. } => random.bool(),
        };
        if std::mem::take(&mut self.is_renamed) && is_lost {
            RealDisk.rename(&self.real("state/ledger.db"), &self.real("state/ledger.new")).expect("rename");
        }
        if is_lost {
            for part in &Self::PARTS[3..] {
                self.remove(part).ok();
            }
        }
        if !has_directory {
            self.remove_all();
        }
    }
}
