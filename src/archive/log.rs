//! The archive's log: what the ledger knew, beside the files it knew it of.
//!
//! Before anything that cannot be taken back (a file adopted under its number, a rename at a partner, spool freed) the
//! rows of the ledger that changed are appended here and synced. So a ledger that is lost can be built again, and one
//! that was rolled back is noticed: the log ends with a higher number than it.
//!
//! ```text
//! archive/.log/2026-11.jsonl       one file for each month, append-only, JSON lines
//!
//! {"n":1,"at":"2026-11-21T08:00:00Z","log":1,"store":"0f…","whole":true,"crc":"…"}    first line of each file
//! {"n":2,"at":"…","rows":[{"table":"batch","row":{…}},…],"crc":"…"}                   rows as they are now
//! {"n":3,"at":"…","rows":[…],"more":true,"crc":"…"}                                   goes on in the next line
//! ```
//! Numbers run on from file to file. `crc` is the CRC32C of the line before it. `whole` marks a log that begins anew: what
//! follows holds every row, and what lies before it does not count. What the rows say is no business of this module.

mod line;
mod settle;
mod tail;

use crate::disk::{Disk, DiskFile, Kind, SyncPoint, is_failed_sync};
use crate::domain::time::UtcTime;
pub use line::{Entry, Header};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub use tail::Tail;

/// What can go wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// The disk refused.
    #[error("archive log: cannot {operation} {path}: {source}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A line is not as it was written.
    #[error("archive log {path}, line {line}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A sync failed before.
    #[error("archive log: a sync has failed; nothing is written until a restart has looked")]
    Latched,
}

/// The directory of the log below an archive directory.
#[must_use]
pub fn log_dir(archive: &Path) -> PathBuf {
    archive.join(".log")
}

/// The log, open for appending.
pub struct ArchiveLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: String,
    /// Number of the last line.
    number: u64,
    file: Option<OpenFile>,
    /// Where the lines begin that were written since the last sync: number of the line before, bytes before.
    group: Option<(u64, u64)>,
    /// The next file begins the log anew.
    whole: bool,
    latched: bool,
}

struct OpenFile {
    month: String,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    bytes: u64,
}

impl ArchiveLog {
    /// Opens the log behind `tail`, cuts what a crash left unfinished there, and makes durable what lies behind line
    /// `number`, the last that the ledger relied on.
    ///
    /// # Errors
    /// [`LogFault::Disk`].
    pub fn open(
        disk: Arc<dyn Disk>,
        archive: &Path,
        store: String,
        tail: &Tail,
        number: u64,
    ) -> Result<Self, LogFault> {
        let mut log = Self {
            disk,
            dir: log_dir(archive),
            store,
            number: number.max(tail.number),
            file: None,
            group: None,
            whole: tail.number == 0 || tail.number < number,
            latched: false,
        };
        if let Some(torn) = &tail.torn {
            log.disk.remove(torn).map_err(disk_fault("remove", torn))?;
        }
        let Some((path, bytes)) = tail.file.clone().filter(|_| !log.whole) else { return Ok(log) };
        let mut file = log.disk.open_append(&path).map_err(disk_fault("open", &path))?;
        let is_cut = tail.bytes_behind > 0;
        if is_cut {
            file.truncate(bytes).map_err(disk_fault("cut", &path))?;
        }
        if is_cut || tail.entries_from < bytes {
            settle::write_again(log.disk.as_ref(), &path, file.as_mut(), tail.entries_from..bytes)?;
            log.disk.sync_dir(&log.dir, SyncPoint::ArchiveLog).map_err(disk_fault("sync directory", &log.dir))?;
        }
        let month = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        log.file = Some(OpenFile { month, path, file, bytes });
        Ok(log)
    }

    /// Number of the last line.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Path of the directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes rows; they count when [`ArchiveLog::sync`] has returned. `more` says that the next call goes on with the
    /// same.
    ///
    /// # Errors
    /// [`LogFault`]; what was written of the line is taken back where the disk allows it, lines before it are not: see
    /// [`ArchiveLog::take_back`].
    pub fn write(&mut self, at: UtcTime, rows: &[Value], more: bool) -> Result<(), LogFault> {
        if self.latched {
            return Err(LogFault::Latched);
        }
        self.begin_file(at)?;
        self.group = self.group.or(self.file.as_ref().map(|open| (self.number, open.bytes)));
        let line = line::write_rows(self.number + 1, at, rows, more);
        self.put(&line)
    }

    /// Makes everything written durable and returns the number of the last line.
    ///
    /// # Errors
    /// [`LogFault`]; after a failed sync nothing more is written until a restart.
    pub fn sync(&mut self) -> Result<u64, LogFault> {
        if self.latched {
            return Err(LogFault::Latched);
        }
        if let Some(open) = &mut self.file {
            let synced = open.file.sync(SyncPoint::ArchiveLog).map_err(disk_fault("sync", &open.path));
            self.latched |= synced.is_err();
            synced?;
        }
        self.group = None;
        Ok(self.number)
    }

    /// Takes back the lines that were written since the last sync: they may belong to a group that has no end. To be
    /// called when [`ArchiveLog::write`] has failed, or what was to be written next.
    ///
    /// # Errors
    /// [`LogFault`] when the disk does not allow it; nothing more is written then.
    pub fn take_back(&mut self) -> Result<(), LogFault> {
        if self.latched {
            return Err(LogFault::Latched);
        }
        let (Some((number, bytes)), Some(open)) = (self.group.take(), &mut self.file) else { return Ok(()) };
        if open.bytes == bytes {
            return Ok(());
        }
        let cut = open.file.truncate(bytes);
        self.latched |= cut.is_err();
        cut.map_err(disk_fault("cut", &open.path))?;
        open.bytes = bytes;
        self.number = number;
        Ok(())
    }

    fn put(&mut self, line: &str) -> Result<(), LogFault> {
        let Some(open) = &mut self.file else { return Err(LogFault::Latched) };
        if let Err(source) = open.file.write_all(line.as_bytes()) {
            // Without this half line the next one could not be read.
            self.latched |= open.file.truncate(open.bytes).is_err();
            return Err(LogFault::Disk { operation: "write", path: open.path.clone(), source });
        }
        open.bytes += line.len() as u64;
        self.number += 1;
        Ok(())
    }

    /// Begins the file of the month, unless a later one is there: clocks step back.
    fn begin_file(&mut self, at: UtcTime) -> Result<(), LogFault> {
        let month = line::month(at);
        if self.file.as_ref().is_some_and(|open| open.month >= month) {
            return Ok(());
        }
        self.sync()?;
        let made = self.disk.create_dir_all(&self.dir, SyncPoint::ArchiveLog);
        self.latched |= made.as_ref().is_err_and(is_failed_sync);
        made.map_err(disk_fault("create directory", &self.dir))?;
        let path = self.dir.join(format!("{month}.jsonl"));
        let file = self.disk.create_new(&path).map_err(disk_fault("create", &path))?;
        self.file = Some(OpenFile { month, path, file, bytes: 0 });
        let header = Header { store: self.store.clone(), whole: self.whole };
        if let Err(fault) = self.put(&line::write_header(self.number + 1, at, &header)) {
            // A file without a header says nothing: it is begun again when there is room.
            if let Some(open) = self.file.take() {
                self.disk.remove(&open.path).map_err(disk_fault("remove", &open.path))?;
            }
            return Err(fault);
        }
        self.sync()?;
        // Without its name the file is gone after a power cut, and all lines of it.
        let synced = self.disk.sync_dir(&self.dir, SyncPoint::ArchiveLog);
        self.latched |= synced.is_err();
        synced.map_err(disk_fault("sync directory", &self.dir))?;
        self.whole = false;
        Ok(())
    }
}

/// The files of the log, oldest first.
///
/// # Errors
/// [`LogFault::Disk`].
pub fn log_files(disk: &dyn Disk, archive: &Path) -> Result<Vec<PathBuf>, LogFault> {
    let dir = log_dir(archive);
    if disk.stat(&dir).map_err(disk_fault("look at", &dir))?.is_none() {
        return Ok(Vec::new());
    }
    let entries = disk.list(&dir).map_err(disk_fault("list", &dir))?;
    let files = entries.into_iter().filter(|entry| entry.stat.kind == Kind::File);
    Ok(files.map(|entry| entry.path).filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect())
}

/// Reads the whole log, from where it began anew for the last time: `take` gets each group of lines that belong
/// together. Returns what is damaged; what was left unfinished at the very end is no damage.
///
/// # Errors
/// [`LogFault::Disk`], and what `take` returns.
pub fn read_all<E: From<LogFault>>(
    disk: &dyn Disk,
    archive: &Path,
    take: &mut dyn FnMut(Entry) -> Result<(), E>,
) -> Result<Vec<LogFault>, E> {
    let files = log_files(disk, archive)?;
    let (mut damage, mut swallowed) = (Vec::new(), false);
    let (mut expected, mut open): (Option<u64>, Vec<Entry>) = (None, Vec::new());
    for path in files {
        let file = disk.open_read(&path).map_err(disk_fault("open", &path))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut bytes = Vec::new();
        for line in 1u64.. {
            bytes.clear();
            if reader.read_until(b'\n', &mut bytes).map_err(disk_fault("read", &path))? == 0 {
                break;
            }
            let damaged = |what| LogFault::Damaged { path: path.clone(), line, what };
            let Some(entry) = bytes.strip_suffix(b"\n").and_then(line::read) else {
                damage.push(damaged("it does not pass its checksum"));
                open.clear();
                expected = None;
                swallowed |= line::swallows_another(&bytes);
                continue;
            };
            if expected.is_some_and(|expected| entry.number != expected) {
                damage.push(damaged("lines before it are missing"));
            }
            expected = Some(entry.number + 1);
            let more = entry.more;
            open.push(entry);
            if !more {
                open.drain(..).try_for_each(&mut *take)?;
            }
        }
    }
    // The last line of all may be torn; it was never relied on. Only then nothing follows the break.
    if expected.is_none() && damage.len() == 1 && !swallowed {
        damage.clear();
    }
    Ok(damage)
}

pub(super) fn disk_fault(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogFault + use<> {
    let path = path.to_owned();
    move |source| LogFault::Disk { operation, path, source }
}

#[cfg(test)]
mod tests;
