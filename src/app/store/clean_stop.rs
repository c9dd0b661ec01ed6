//! The sign of a clean stop: `state/ledger.sum` states length and checksum of the ledger as it was left.
//!
//! It is published when everything has been brought into the ledger's own file, and removed, durably, before the next
//! instance writes. A ledger that is byte for byte as it was left needs no further check, whatever its size; any other
//! one is checked in full.

use super::{StoreFault, disk_fault, publish_as, remove_if_there};
use crate::disk::{Disk, SyncPoint, read_piece};
use crate::ledger::Ledger;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How the ledger was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Byte for byte as the last stop left it.
    AsLeft,
    /// There was no clean stop, or this is the first start.
    NotStopped,
    /// It is not as the last stop left it.
    Changed,
}

fn sum_path(dir: &Path) -> PathBuf {
    dir.join("ledger.sum")
}

/// Compares the ledger with what the last stop noted. Nothing is changed.
pub(super) fn look(disk: &dyn Disk, dir: &Path) -> Result<Found, StoreFault> {
    let path = sum_path(dir);
    if disk.stat(&path).map_err(disk_fault("look at", &path))?.is_none() {
        return Ok(Found::NotStopped);
    }
    let mut noted = Vec::new();
    let file = disk.open_read(&path).map_err(disk_fault("open", &path))?;
    file.take(4096).read_to_end(&mut noted).map_err(disk_fault("read", &path))?;
    if !is_ours(&noted) {
        return Ok(Found::NotStopped);
    }
    let log = dir.join("ledger.db-wal");
    let log = disk.stat(&log).map_err(disk_fault("look at", &log))?;
    let is_same = log.is_none_or(|log| log.bytes == 0) && noted == note(disk, dir)?;
    Ok(if is_same { Found::AsLeft } else { Found::Changed })
}

/// Takes the sign away: from here on the ledger is written to. That it is gone may be news to the disk even when it is
/// not there: an instance that was killed may have removed it without making that durable, and a power cut would bring it
/// back beside a ledger that has changed.
pub(super) fn begin(disk: &dyn Disk, dir: &Path) -> Result<(), StoreFault> {
    remove_if_there(disk, &sum_path(dir))?;
    disk.sync_dir(dir, SyncPoint::StateFile).map_err(disk_fault("sync", dir))
}

/// Leaves the sign. Without it the next start only takes longer, so a reader that keeps SQLite's log in use is no fault,
/// and neither is a full disk.
pub(super) fn leave(disk: &dyn Disk, dir: &Path, ledger: &Ledger) -> Result<(), StoreFault> {
    if !ledger.gather()? {
        return Ok(());
    }
    let note = note(disk, dir)?;
    remove_if_there(disk, &sum_path(dir))?;
    publish_as(disk, &dir.join("ledger.sum-new"), &sum_path(dir), &note)
}

/// What is noted about the ledger as it is: its length and CRC32C, and the CRC32C of this line itself.
fn note(disk: &dyn Disk, dir: &Path) -> Result<Vec<u8>, StoreFault> {
    let path = dir.join("ledger.db");
    let mut file = disk.open_read(&path).map_err(disk_fault("open", &path))?;
    let (bytes, crc) = checksum(&mut file).map_err(disk_fault("read", &path))?;
    let mut line = format!("ledger.db bytes={bytes} crc32c={crc:08x}").into_bytes();
    let own = crc32c::crc32c(&line);
    line.extend_from_slice(format!(" line={own:08x}\n").as_bytes());
    Ok(line)
}

fn is_ours(line: &[u8]) -> bool {
    let end = memchr::memmem::rfind(line, b" line=").unwrap_or(0);
    let (covered, rest) = line.split_at_checked(end).unwrap_or_default();
    rest == format!(" line={:08x}\n", crc32c::crc32c(covered)).as_bytes()
}

fn checksum(file: &mut dyn Read) -> io::Result<(u64, u32)> {
    let (mut piece, mut bytes, mut crc) = (vec![0; 1 << 20], 0, 0);
    loop {
        let count = read_piece(file, &mut piece)?;
        if count == 0 {
            return Ok((bytes, crc));
        }
        bytes += count as u64;
        crc = crc32c::crc32c_append(crc, piece.get(..count).unwrap_or_default());
    }
}
