//! The segment that is written to. Its space is allocated when it is made, so that a full disk is noticed there and
//! not in the middle of a group; what the disk has not taken is kept and written again at the same place.

use super::segment::{self, Segment, segment_path};
use super::{SpoolFault, StoreId, disk_fault};
use crate::disk::{Disk, DiskFile, SyncPoint, is_out_of_space};
use crate::domain::ids::Lsn;
use std::io::{self, Read, SeekFrom};
use std::path::{Path, PathBuf};

/// The last segment, open for writing.
pub(super) struct SegmentWriter {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// Bytes that the file has taken.
    written: u64,
    /// The bytes behind them.
    buffer: Vec<u8>,
}

impl SegmentWriter {
    /// Makes the segment that begins with `first`. One that cannot be allocated is removed.
    pub fn create(disk: &dyn Disk, dir: &Path, store: StoreId, first: Lsn, bytes: u64) -> Result<Self, SpoolFault> {
        let path = segment_path(dir, first);
        let mut file = disk.create_new(&path).map_err(space_fault("create", &path))?;
        // Where the file system cannot allocate, writing shows whether there is room.
        if let Err(error) = file.allocate(bytes) {
            drop(file);
            disk.remove(&path).map_err(disk_fault("remove", &path))?;
            return Err(space_fault("allocate", &path)(error));
        }
        file.seek_to(0).map_err(disk_fault("seek", &path))?;
        let mut buffer = Vec::new();
        segment::write_header(store, first, &mut buffer);
        Ok(Self { file, path, written: 0, buffer })
    }

    /// Goes on behind the last frame of a segment that was found at start.
    ///
    /// What the ledger has not `seen` may be in the machine's memory only, whether it was written by a process that
    /// was killed or its sync has failed. It is written again and synced before it counts.
    pub fn reopen(
        disk: &dyn Disk,
        dir: &Path,
        segment: &Segment,
        seen: Lsn,
        bytes_max: u64,
    ) -> Result<Self, SpoolFault> {
        let path = segment.path.clone();
        let mut file = disk.open_append(&path).map_err(disk_fault("open", &path))?;
        if let Some(offset) = segment.first_behind(seen) {
            let tail = read_from(disk, &path, offset, segment.bytes).map_err(disk_fault("read", &path))?;
            file.seek_to(offset).map_err(disk_fault("seek", &path))?;
            file.write_all(&tail).map_err(disk_fault("write", &path))?;
            file.sync(SyncPoint::SpoolGroup).map_err(sync_fault(&path))?;
            disk.sync_dir(dir, SyncPoint::SpoolDirectory).map_err(sync_fault(dir))?;
        }
        match file.allocate(bytes_max.max(segment.bytes)) {
            // There is no room now: each write shows whether there is.
            Err(error) if !is_out_of_space(&error) => return Err(disk_fault("allocate", &path)(error)),
            Ok(_) | Err(_) => {}
        }
        Ok(Self { file, path, written: segment.bytes, buffer: Vec::new() })
    }

    /// What is to be written next is appended here.
    pub const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Hands everything to the file. After [`SpoolFault::Full`] all of it is kept, to be handed over again.
    pub fn flush(&mut self) -> Result<(), SpoolFault> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.seek_to(self.written).map_err(disk_fault("seek", &self.path))?;
        self.file.write_all(&self.buffer).map_err(space_fault("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes durable what the file has taken.
    pub fn sync(&mut self) -> Result<(), SpoolFault> {
        self.file.sync(SyncPoint::SpoolGroup).map_err(sync_fault(&self.path))
    }

    /// Gives back the space behind the last frame. Everything was synced before; a crash may undo this.
    pub fn end(mut self) -> Result<(), SpoolFault> {
        self.file.truncate(self.written).map_err(space_fault("cut", &self.path))
    }
}

fn read_from(disk: &dyn Disk, path: &Path, offset: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = disk.open_read(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.take(end - offset).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A failed operation that may pass when there is room.
fn space_fault<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SpoolFault + 'a {
    move |source| {
        if is_out_of_space(&source) {
            SpoolFault::Full { operation, path: path.to_owned(), source }
        } else {
            disk_fault(operation, path)(source)
        }
    }
}

pub(super) fn sync_fault(path: &Path) -> impl FnOnce(io::Error) -> SpoolFault + '_ {
    |source| SpoolFault::SyncFailed { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
