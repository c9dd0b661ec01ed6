//! The end of the log, read from behind: what a start looks at, however long the log is.

use super::line::{self, Entry};
use super::{LogFault, disk_fault, log_files};
use crate::disk::Disk;
use std::io::{Read, SeekFrom};
use std::path::{Path, PathBuf};

/// How much is read at first, from the end.
const WINDOW_BYTES: u64 = 64 << 10;

/// The end of the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tail {
    /// The store that writes the log; `None` when there is none.
    pub store: Option<String>,
    /// Number of its last line; 0 when there is none.
    pub number: u64,
    /// The lines behind the number that was asked for.
    pub entries: Vec<Entry>,
    /// The newest file and the length up to which it is whole.
    pub(super) file: Option<(PathBuf, u64)>,
    /// Where in it the lines begin that were asked for.
    pub(super) entries_from: u64,
    /// What a crash left behind that length.
    pub(super) bytes_behind: u64,
    /// A newest file that holds no whole line.
    pub(super) torn: Option<PathBuf>,
}

impl Tail {
    /// Reads the lines behind number `after`.
    ///
    /// # Errors
    /// [`LogFault`] when the disk refuses or a line is damaged that is not the last.
    pub fn read(disk: &dyn Disk, archive: &Path, after: u64) -> Result<Self, LogFault> {
        let mut tail = Self::default();
        for path in log_files(disk, archive)?.into_iter().rev() {
            let found = FileTail::read(disk, &path, after)?;
            let first = found.entries.first().map(|entry| entry.number);
            if tail.file.is_none() {
                if found.last == 0 {
                    if tail.torn.is_some() {
                        return Err(LogFault::Damaged { path, line: 1, what: "the file holds no whole line" });
                    }
                    tail.torn = Some(path);
                    continue;
                }
                tail.number = found.last;
                tail.bytes_behind = found.bytes - found.whole_bytes;
                tail.file = Some((path.clone(), found.whole_bytes));
                let known = found.entries.partition_point(|entry| entry.number <= after);
                tail.entries_from = found.begins.get(known).copied().unwrap_or(found.whole_bytes);
                tail.store = Some(store_of(disk, &path)?);
            } else if tail.entries.first().is_some_and(|next| found.last + 1 != next.number) {
                return Err(LogFault::Damaged { path, line: 1, what: "lines behind this file are missing" });
            }
            let begins_anew = found.entries.iter().any(|entry| entry.header.as_ref().is_some_and(|h| h.whole));
            let mut entries = found.entries;
            entries.retain(|entry| entry.number > after);
            entries.append(&mut tail.entries);
            tail.entries = entries;
            if begins_anew || first.is_some_and(|first| first <= after + 1) {
                break;
            }
        }
        Ok(tail)
    }
}

struct FileTail {
    bytes: u64,
    whole_bytes: u64,
    last: u64,
    entries: Vec<Entry>,
    /// Where each line begins, also of lines that were not ended by a last one of their group.
    begins: Vec<u64>,
}

impl FileTail {
    fn read(disk: &dyn Disk, path: &Path, after: u64) -> Result<Self, LogFault> {
        let mut reader = disk.open_read(path).map_err(disk_fault("open", path))?;
        let bytes = reader.stat().map_err(disk_fault("look at", path))?.bytes;
        let mut window = WINDOW_BYTES;
        loop {
            let start = bytes.saturating_sub(window);
            let mut piece = Vec::new();
            reader.seek(SeekFrom::Start(start)).map_err(disk_fault("seek", path))?;
            reader.read_to_end(&mut piece).map_err(disk_fault("read", path))?;
            let skipped = if start == 0 { Some(0) } else { memchr::memchr(b'\n', &piece).map(|at| at + 1) };
            let found = skipped.map(|skip| Self::parse(piece.get(skip..).unwrap_or_default(), start + skip as u64));
            let reaches = |tail: &Self| tail.entries.first().is_some_and(|first| first.number <= after + 1);
            match found {
                Some(Ok(tail)) if start == 0 || reaches(&tail) => return Ok(Self { bytes, ..tail }),
                Some(Err((offset, what))) => {
                    let line = line_at(disk, path, offset)?;
                    return Err(LogFault::Damaged { path: path.to_owned(), line, what });
                }
                Some(Ok(_)) | None => window = window.saturating_mul(4),
            }
        }
    }

    /// Reads whole lines that begin at byte `start`. What follows the last good one is left out: it was torn.
    fn parse(bytes: &[u8], start: u64) -> Result<Self, (u64, &'static str)> {
        let mut found = Self { bytes: 0, whole_bytes: start, last: 0, entries: Vec::new(), begins: Vec::new() };
        let (mut bad, mut open, mut at) = (None, Vec::new(), start);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let begin = at;
            at += line.len() as u64;
            let Some(entry) = line.strip_suffix(b"\n").and_then(line::read) else {
                let broken = (begin, "it does not pass its checksum");
                if line::swallows_another(line) {
                    return Err(broken);
                }
                bad = bad.or(Some(broken));
                continue;
            };
            let before = open.last().or(found.entries.last()).map(|entry: &Entry| entry.number);
            if before.is_some_and(|before| entry.number != before + 1) {
                bad = bad.or(Some((begin, "lines before it are missing")));
            }
            if let Some(bad) = bad {
                return Err(bad);
            }
            let (more, number) = (entry.more, entry.number);
            open.push(entry);
            found.begins.push(begin);
            if !more {
                found.entries.append(&mut open);
                found.last = number;
                found.whole_bytes = at;
            }
        }
        Ok(found)
    }
}

/// The line that begins at a byte, from 1.
fn line_at(disk: &dyn Disk, path: &Path, offset: u64) -> Result<u64, LogFault> {
    let mut before = Vec::new();
    let reader = disk.open_read(path).map_err(disk_fault("open", path))?;
    reader.take(offset).read_to_end(&mut before).map_err(disk_fault("read", path))?;
    Ok(memchr::memchr_iter(b'\n', &before).count() as u64 + 1)
}

fn store_of(disk: &dyn Disk, path: &Path) -> Result<String, LogFault> {
    let mut first = Vec::new();
    let reader = disk.open_read(path).map_err(disk_fault("open", path))?;
    reader.take(4096).read_to_end(&mut first).map_err(disk_fault("read", path))?;
    let line = first.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let header = line::read(line).and_then(|entry| entry.header);
    let damaged = LogFault::Damaged { path: path.to_owned(), line: 1, what: "it does not say whose log this is" };
    header.map(|header| header.store).ok_or(damaged)
}
