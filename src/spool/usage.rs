//! How much of a journal is used, for those who look at it from outside.

use super::frame;
use super::segment::{HEADER_BYTES, first_lsn_of};
use crate::disk::{Disk, Kind};
use std::io::{self, Read, SeekFrom};
use std::path::Path;

/// Bytes of the segments in `dir` up to their last frames. Nothing is checked; a journal that is not there uses none.
///
/// # Errors
/// When the system refuses to show it. A segment that is removed meanwhile does not count.
pub fn used_bytes(disk: &dyn Disk, dir: &Path) -> io::Result<u64> {
    if disk.stat(dir)?.is_none() {
        return Ok(0);
    }
    let entries = disk.list(dir)?;
    let mut segments: Vec<_> =
        entries.iter().filter(|e| e.stat.kind == Kind::File && first_lsn_of(&e.path).is_some()).collect();
    // Only the last one has allocated space behind its frames.
    let last = segments.pop();
    let before: u64 = segments.iter().map(|entry| entry.stat.bytes).sum();
    let used = match last.map(|last| used_of(disk, &last.path)) {
        None => 0,
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => 0,
        Some(used) => used?,
    };
    Ok(before + used)
}

/// Goes from frame to frame by their stated lengths.
fn used_of(disk: &dyn Disk, path: &Path) -> io::Result<u64> {
    let mut file = disk.open_read(path)?;
    let end = file.stat()?.bytes;
    let mut at = HEADER_BYTES.min(end);
    loop {
        let mut header = Vec::new();
        file.seek(SeekFrom::Start(at))?;
        (&mut file).take(frame::HEADER_BYTES as u64).read_to_end(&mut header)?;
        let Ok(payload) = frame::payload_bytes(&header) else { return Ok(at) };
        at += frame::frame_bytes(payload);
        if at >= end {
            return Ok(end);
        }
    }
}
