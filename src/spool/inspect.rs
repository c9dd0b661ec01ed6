//! Reading the journal beside a running instance: every frame against its checksum, without changing anything.

use super::segment::{self, HEADER_BYTES, first_lsn_of};
use super::{StoreId, frame};
use crate::disk::{Disk, Kind};
use crate::domain::ids::Lsn;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Frames that are good.
    pub frames: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// What is wrong: the segment, or the directory, and byte offset, LSN and cause.
    pub damage: Vec<(PathBuf, String)>,
}

/// Reads all segments in `dir`. Frames behind `applied` may be being written just now, so a bad one there ends the
/// last segment and is no damage.
///
/// # Errors
/// What the disk says.
pub fn inspect(disk: &dyn Disk, dir: &Path, store: StoreId, applied: Lsn) -> io::Result<Inspected> {
    let mut found = Inspected::default();
    let mut next = None;
    let segments = segments(disk, dir)?;
    let count = segments.len();
    for (number, (first, path)) in segments.into_iter().enumerate() {
        let file = match disk.open_read(&path) {
            Ok(file) => file,
            // Freed since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        found.bytes += file.stat()?.bytes;
        if next.is_some_and(|next| next != first) {
            found.damage.push((path.clone(), "segments before it are missing".to_owned()));
        }
        let is_last = number + 1 == count;
        let (reached, fault) = frames(BufReader::with_capacity(1 << 20, file), store, first)?;
        found.frames += reached.0 - first.0;
        if let Some((offset, what)) = fault
            && (!is_last || reached <= applied)
        {
            found.damage.push((path, format!("byte {offset}, lsn {reached}: {what}")));
        }
        next = Some(reached);
    }
    if next.unwrap_or(Lsn(1)) <= applied && found.damage.is_empty() {
        found.damage.push((dir.to_owned(), format!("frames up to lsn {applied} are missing")));
    }
    Ok(found)
}

fn segments(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(Lsn, PathBuf)>> {
    if disk.stat(dir)?.is_none() {
        return Ok(Vec::new());
    }
    let files = disk.list(dir)?.into_iter().filter(|entry| entry.stat.kind == Kind::File);
    Ok(files.filter_map(|entry| first_lsn_of(&entry.path).map(|first| (first, entry.path))).collect())
}

type Fault = (u64, &'static str);

/// The LSN behind the last good frame of a segment, and what ended it before the end of the file.
fn frames(mut reader: impl Read, store: StoreId, first: Lsn) -> io::Result<(Lsn, Option<Fault>)> {
    let (mut next, mut offset, mut crc_before) = (first, HEADER_BYTES, None);
    let mut bytes = Vec::new();
    reader.by_ref().take(HEADER_BYTES).read_to_end(&mut bytes)?;
    if segment::read_header(&bytes) != Some((store, first)) {
        return Ok((next, Some((0, "the segment header is not readable or that of another store"))));
    }
    loop {
        bytes.clear();
        reader.by_ref().take(frame::HEADER_BYTES as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok((next, None));
        }
        if let Ok(payload) = frame::payload_bytes(&bytes) {
            let rest = frame::frame_bytes(payload) - frame::HEADER_BYTES as u64;
            reader.by_ref().take(rest).read_to_end(&mut bytes)?;
        }
        match frame::read(&bytes) {
            Ok((frame, crc)) if frame.lsn == next && crc_before.is_none_or(|before| before == frame.previous_crc) => {
                (next, crc_before) = (next.next(), Some(crc));
                offset += bytes.len() as u64;
            }
            Ok(_) => return Ok((next, Some((offset, "another frame lies here")))),
            Err(bad) => return Ok((next, Some((offset, bad.what())))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::spool::{Spool, SpoolLimits};
    use std::io::Write;
    use std::sync::Arc;

    const STORE: StoreId = StoreId([7; 16]);

    #[test]
    fn every_flipped_byte_of_applied_frames_is_damage() {
        let dir = tempfile::tempdir().expect("directory");
        let limits = SpoolLimits { segment_bytes_max: 300 };
        let mut spool = Spool::open(Arc::new(RealDisk), dir.path(), STORE, limits, Lsn(0)).expect("spool");
        for number in 0..6u8 {
            spool.append(1, &[number; 50]).expect("append");
        }
        spool.sync().expect("sync");
        let look = |applied| inspect(&RealDisk, dir.path(), STORE, Lsn(applied)).expect("look");
        let whole = look(6);
        assert_eq!((whole.frames, whole.damage.len()), (6, 0), "{:?}", whole.damage);
        assert_eq!(look(7).damage.len(), 1, "a frame is missing");
        for (_, path) in segments(&RealDisk, dir.path()).expect("segments") {
            let bytes = std::fs::read(&path).expect("read");
            for position in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[position] ^= 0x10;
                std::fs::File::create(&path).and_then(|mut file| file.write_all(&damaged)).expect("write");
                assert!(!look(6).damage.is_empty(), "{} byte {position}", path.display());
            }
            std::fs::File::create(&path).and_then(|mut file| file.write_all(&bytes)).expect("write");
        }
        let last = segments(&RealDisk, dir.path()).expect("segments").pop().expect("segment").1;
        std::fs::File::options().append(true).open(&last).and_then(|mut f| f.write_all(&[0; 40])).expect("write");
        assert!(look(6).damage.is_empty(), "what is behind the applied frames may be being written");
    }
}
