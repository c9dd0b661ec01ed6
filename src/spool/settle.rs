//! What a restart reads may never have reached the disk: a process that was killed leaves frames in the page cache,
//! and after a failed sync the kernel takes the pages that it could not write for clean, so that a further sync says
//! nothing about them. So frames that were never acknowledged are written once more before anybody builds on them.

use super::segment::Segment;
use super::{SpoolFault, disk_fault};
use crate::disk::{Disk, SyncPoint};
use crate::domain::ids::Lsn;
use std::io::{Read, SeekFrom, Write};
use std::path::Path;

/// Bytes copied at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// Makes everything that was found durable. Frames up to `acknowledged` are; so are all segments but the last, for
/// the next one is begun only then.
pub(super) fn settle(disk: &dyn Disk, dir: &Path, segments: &[Segment], acknowledged: Lsn) -> Result<(), SpoolFault> {
    let Some(last) = segments.last() else { return Ok(()) };
    let known = usize::try_from((acknowledged.next().0).saturating_sub(last.first.0)).unwrap_or(usize::MAX);
    let begin = if known == 0 { 0 } else { last.offsets.get(known).copied().unwrap_or(last.bytes) };
    if begin < last.bytes {
        write_again(disk, last, begin)?;
    }
    disk.sync_dir(dir, SyncPoint::SpoolDirectory).map_err(disk_fault("sync directory", dir))
}

/// Writes the bytes from `begin` on over themselves.
fn write_again(disk: &dyn Disk, segment: &Segment, begin: u64) -> Result<(), SpoolFault> {
    let path = &segment.path;
    let mut reader = disk.open_read(path).map_err(disk_fault("open", path))?;
    let mut writer = disk.open_append(path).map_err(disk_fault("open", path))?;
    reader.seek(SeekFrom::Start(begin)).map_err(disk_fault("seek", path))?;
    writer.seek_to(begin).map_err(disk_fault("seek", path))?;
    let (mut piece, mut left) = (Vec::new(), segment.bytes - begin);
    while left > 0 {
        piece.clear();
        let chunk = left.min(PIECE_BYTES);
        let read = (&mut reader).take(chunk).read_to_end(&mut piece).map_err(disk_fault("read", path))?;
        if read == 0 {
            break;
        }
        writer.write_all(&piece).map_err(disk_fault("write", path))?;
        left -= read as u64;
    }
    writer.sync(SyncPoint::SpoolGroup).map_err(disk_fault("sync", path))
}
