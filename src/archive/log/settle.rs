//! What a restart reads may never have reached the disk: a process that was killed leaves lines in the page cache, and
//! after a failed sync the kernel takes the pages that it could not write for clean. So lines that nobody relied on are
//! written once more before the ledger does.

use super::{LogFault, disk_fault};
use crate::disk::{Disk, DiskFile, SyncPoint};
use std::io::{Read, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Writes bytes over themselves, durably, and leaves the file at their end.
pub(super) fn write_again(
    disk: &dyn Disk,
    path: &Path,
    file: &mut dyn DiskFile,
    bytes: Range<u64>,
) -> Result<(), LogFault> {
    let mut lines = Vec::new();
    let mut reader = disk.open_read(path).map_err(disk_fault("open", path))?;
    reader.seek(SeekFrom::Start(bytes.start)).map_err(disk_fault("seek", path))?;
    reader.take(bytes.end - bytes.start).read_to_end(&mut lines).map_err(disk_fault("read", path))?;
    file.seek_to(bytes.start).map_err(disk_fault("seek", path))?;
    file.write_all(&lines).map_err(disk_fault("write", path))?;
    file.sync(SyncPoint::ArchiveLog).map_err(disk_fault("sync", path))
}
