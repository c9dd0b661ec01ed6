//! A look at SQLite's write-ahead log before SQLite reads it. At the first bad frame SQLite takes the log for ended, which
//! is right for a tail that a power cut tore, and would silently undo commits if it were damage.
//!
//! Each commit is synced before the next one is written. So a bad frame is damage when a commit ends at or behind it and
//! frames of the same log follow that commit; otherwise it belongs to the last commit, which nobody knows to have
//! happened. The format is described in <https://sqlite.org/fileformat2.html#walformat>.

use super::{LedgerFault, Result};
use crate::disk::Disk;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// Looks at the log of the ledger at `path`, if there is one.
///
/// # Errors
/// [`LedgerFault::Damaged`] with the place, or the disk refuses.
pub(super) fn check(disk: &dyn Disk, path: &Path) -> Result<()> {
    let log = log_path(path);
    let refused = |source| LedgerFault::Refused { operation: "read", path: log.clone(), source };
    if disk.stat(&log).map_err(refused)?.is_none() {
        return Ok(());
    }
    let file = disk.open_read(&log).map_err(refused)?;
    match first_damage(BufReader::with_capacity(1 << 20, file)).map_err(refused)? {
        Some(offset) => {
            let what = format!("its log {} is not readable at byte {offset}, and commits follow", log.display());
            Err(LedgerFault::Damaged { path: path.to_owned(), what })
        }
        None => Ok(()),
    }
}

/// The log beside a ledger.
pub(super) fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Byte offset of the first damage.
fn first_damage(mut log: impl Read) -> io::Result<Option<u64>> {
    let mut header = Vec::new();
    if !read_whole(&mut log, HEADER_BYTES, &mut header)? {
        return Ok(None);
    }
    let Some((big_endian, page_bytes)) = layout(&header) else {
        // What was never synced may be zeros after a power cut.
        return Ok((has_frame(&mut log)? && header.iter().any(|byte| *byte != 0)).then_some(0));
    };
    let salts = header.get(16..24).unwrap_or_default().to_vec();
    let mut sum = checksum(big_endian, (0, 0), header.get(..24).unwrap_or_default());
    if Some(sum) != sum_at(&header, 24) {
        return Ok(has_frame(&mut log)?.then_some(0));
    }
    let (mut offset, mut frame) = (HEADER_BYTES as u64, Vec::new());
    let (mut broken, mut commit_behind) = (None, false);
    while read_whole(&mut log, FRAME_HEADER_BYTES + page_bytes, &mut frame)? {
        let ours = frame.get(8..16) == Some(salts.as_slice());
        if let Some(place) = broken {
            if ours && commit_behind {
                return Ok(Some(place));
            }
        } else {
            let head = checksum(big_endian, sum, frame.get(..8).unwrap_or_default());
            let whole = checksum(big_endian, head, frame.get(FRAME_HEADER_BYTES..).unwrap_or_default());
            if ours && Some(whole) == sum_at(&frame, 16) {
                sum = whole;
            } else {
                broken = Some(offset);
            }
        }
        commit_behind |= broken.is_some() && ours && frame.get(4..8) != Some(&[0; 4]);
        offset += frame.len() as u64;
    }
    Ok(None)
}

/// Byte order of the checksums, and the size of a page; `None` when the header states neither.
fn layout(header: &[u8]) -> Option<(bool, usize)> {
    let big_endian = match header.get(..4)? {
        [0x37, 0x7f, 0x06, 0x82] => false,
        [0x37, 0x7f, 0x06, 0x83] => true,
        _ => return None,
    };
    let page_bytes = usize::try_from(u32::from_be_bytes(*header.get(8..)?.first_chunk()?)).ok()?;
    (page_bytes.is_power_of_two() && (512..=65_536).contains(&page_bytes)).then_some((big_endian, page_bytes))
}

/// SQLite's checksum over pairs of numbers, from the sum so far.
fn checksum(big_endian: bool, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let (Some(one), Some(two)) = (pair.first_chunk::<4>(), pair.last_chunk::<4>()) else { continue };
        let number = |bytes: &[u8; 4]| if big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
        first = first.wrapping_add(number(one)).wrapping_add(second);
        second = second.wrapping_add(number(two)).wrapping_add(first);
    }
    (first, second)
}

fn sum_at(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    let bytes = bytes.get(at..at + 8)?;
    Some((u32::from_be_bytes(*bytes.first_chunk()?), u32::from_be_bytes(*bytes.last_chunk()?)))
}

/// Reads so many bytes; false when there are fewer.
fn read_whole(log: &mut impl Read, count: usize, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    log.take(count as u64).read_to_end(bytes)?;
    Ok(bytes.len() == count)
}

/// Whether anything as long as the smallest frame follows.
fn has_frame(log: &mut impl Read) -> io::Result<bool> {
    read_whole(log, FRAME_HEADER_BYTES + 512, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// A log with these many commits of one row.
    fn log(commits: i64) -> Vec<u8> {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a.db");
        let connection = Connection::open(&path).expect("database");
        connection.pragma_update(None, "journal_mode", "wal").expect("wal");
        connection.execute_batch("CREATE TABLE t (x INTEGER); PRAGMA wal_checkpoint(TRUNCATE);").expect("table");
        for number in 0..commits {
            connection.execute("INSERT INTO t VALUES (?1)", [number]).expect("row");
        }
        std::fs::read(log_path(&path)).expect("log")
    }

    #[test]
    fn a_log_as_sqlite_wrote_it_is_good_and_so_is_every_torn_one() {
        let log = log(4);
        assert!(log.len() > 4 * 4096);
        for length in (0..log.len()).step_by(97) {
            assert_eq!(first_damage(&log[..length]).expect("read"), None, "{length}");
        }
        let mut torn = log.clone();
        torn[log.len() - 4096..].fill(0);
        assert_eq!(first_damage(torn.as_slice()).expect("read"), None);
        assert_eq!(first_damage(vec![0; log.len()].as_slice()).expect("read"), None);
    }

    /// Where a frame says to which log it belongs, one more commit must follow before it is known to be damaged.
    #[test]
    fn every_byte_in_front_of_the_last_commits_is_protected() {
        let log = log(4);
        let frame = FRAME_HEADER_BYTES + 4096;
        for position in (0..log.len()).filter(|position| position % frame < 100 || position % 61 == 0) {
            let mut damaged = log.clone();
            damaged[position] ^= 0x10;
            let found = first_damage(damaged.as_slice()).expect("read");
            let in_salts = position >= HEADER_BYTES && (8..16).contains(&((position - HEADER_BYTES) % frame));
            let commits_behind = if in_salts { 2 } else { 1 };
            assert_eq!(found.is_some(), position < log.len() - commits_behind * frame, "byte {position}");
        }
    }

    #[test]
    fn frames_of_an_older_log_do_not_count() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a.db");
        let connection = Connection::open(&path).expect("database");
        connection.pragma_update(None, "journal_mode", "wal").expect("wal");
        connection.execute_batch("CREATE TABLE t (x INTEGER)").expect("table");
        for number in 0..6 {
            connection.execute("INSERT INTO t VALUES (?1)", [number]).expect("row");
        }
        connection.execute_batch("PRAGMA wal_checkpoint(RESTART); INSERT INTO t VALUES (7)").expect("restart");
        let log = std::fs::read(log_path(&path)).expect("log");
        assert!(log.len() > 5 * 4096, "the old frames are still there");
        assert_eq!(first_damage(log.as_slice()).expect("read"), None);
    }
}
