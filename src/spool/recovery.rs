//! What is done with the journal at start.
//!
//! Segments are read in order, each frame is checked: checksum, LSN without gap, checksum of the frame before (a frame
//! that stands for lost ones states that of the frame it stands for). The
//! first bad frame, which would have had LSN x, is
//! - **damage** when it was durable: x is at or below what the ledger has seen, or at or below the `durable lsn` of
//!   any later frame that is valid, or it lies in a segment that is not the last. Nothing is skipped silently: the
//!   start is refused and the place is named;
//! - **a torn tail** otherwise: it was never acknowledged. The file is cut there and goes on.
//!
//! Zeros up to the end of the file are allocated space and no bad frame. A segment that holds nothing but zeros, and
//! a last one whose header is torn, never had an acknowledged frame and are removed: they were made and not used.

use super::adopted::{Extent, KIND_ADOPTED};
use super::frame::{self, BadFrame, Frame};
use super::segment::{self, HEADER_BYTES, Segment, first_lsn_of};
use super::writer::sync_fault;
use super::{SpoolFault, StoreId, disk_fault, lost};
use crate::disk::{Disk, Kind, SyncPoint};
use crate::domain::ids::{FileKey, Lsn};
use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// The journal as found.
pub(super) struct Recovered {
    pub segments: Vec<Segment>,
    /// Input files that frames refer to, and the last frame that does.
    pub adopted: BTreeMap<FileKey, Lsn>,
    pub next: Lsn,
    pub last_crc: u32,
}

/// What lies behind the last frame of a segment.
enum End {
    /// The end of the file.
    File,
    /// Allocated space.
    Zeros,
    /// Something that is no frame.
    Bad(Break),
}

/// Where reading a segment stopped early.
struct Break {
    offset: u64,
    lsn: Lsn,
    bad: BadFrame,
    /// Highest durable LSN that any valid frame behind the break states.
    durable_behind: Option<Lsn>,
}

pub(super) fn recover(disk: &dyn Disk, dir: &Path, store: StoreId, expected: Lsn) -> Result<Recovered, SpoolFault> {
    let paths = remove_unused(disk, dir, segment_files(disk, dir)?, expected)?;
    let mut found = Recovered { segments: Vec::new(), adopted: BTreeMap::new(), next: Lsn(1), last_crc: 0 };
    let count = paths.len();
    for (index, (first, path)) in paths.into_iter().enumerate() {
        let is_last = index + 1 == count;
        let damaged = |offset, lsn, what| SpoolFault::Damaged { path: path.clone(), offset, lsn, what };
        if index > 0 && first != found.next {
            return Err(damaged(0, found.next, "segments before this one are missing"));
        }
        found.next = first;
        if !header_is_good(disk, &path, store, first)? {
            return Err(damaged(0, first, "the segment header is not readable"));
        }
        let (segment, end) = scan(disk, &path, &mut found)?;
        if let End::Bad(broken) = &end {
            let durable = broken.durable_behind.max(Some(expected)).unwrap_or(expected);
            if !is_last || broken.lsn <= durable {
                return Err(damaged(broken.offset, broken.lsn, broken.bad.what()));
            }
        }
        // A segment that is followed by another was to be cut to its length when that began.
        if matches!(end, End::Bad(_)) || (matches!(end, End::Zeros) && !is_last) {
            cut(disk, &segment)?;
        }
        found.segments.push(segment);
    }
    if found.next.0 <= expected.0 {
        return Err(SpoolFault::Missing { found: Lsn(found.next.0 - 1), expected });
    }
    Ok(found)
}

fn segment_files(disk: &dyn Disk, dir: &Path) -> Result<Vec<(Lsn, PathBuf)>, SpoolFault> {
    let entries = disk.list(dir).map_err(disk_fault("list", dir))?;
    let files = entries.into_iter().filter(|entry| entry.stat.kind == Kind::File);
    Ok(files.filter_map(|entry| first_lsn_of(&entry.path).map(|first| (first, entry.path))).collect())
}

/// Removes segments that were made and never used, so that only those which hold something count.
fn remove_unused(
    disk: &dyn Disk,
    dir: &Path,
    mut files: Vec<(Lsn, PathBuf)>,
    expected: Lsn,
) -> Result<Vec<(Lsn, PathBuf)>, SpoolFault> {
    let before = files.len();
    let mut used = Vec::new();
    while let Some((first, path)) = files.pop() {
        let is_last = used.is_empty();
        if is_unused(disk, &path, is_last.then_some((first, expected))).map_err(disk_fault("read", &path))? {
            disk.remove(&path).map_err(disk_fault("remove", &path))?;
        } else {
            used.push((first, path));
        }
    }
    if used.len() < before {
        disk.sync_dir(dir, SyncPoint::SpoolDirectory).map_err(sync_fault(dir))?;
    }
    used.reverse();
    Ok(used)
}

/// True when a segment holds nothing but zeros, or when its header is torn and nothing behind it was durable. The
/// second is asked of the last segment only, of which the first frame and the last one that the ledger has seen are
/// given.
fn is_unused(disk: &dyn Disk, path: &Path, last: Option<(Lsn, Lsn)>) -> std::io::Result<bool> {
    let mut reader = disk.open_read(path)?;
    let mut bytes = Vec::new();
    read_up_to(&mut reader, HEADER_BYTES, &mut bytes)?;
    if segment::read_header(&bytes).is_some() {
        return Ok(false);
    }
    skip_zeros(&mut reader, &mut bytes)?;
    let was_durable = |first| valid_frames(&bytes).any(|durable| durable >= first);
    Ok(bytes.is_empty() || last.is_some_and(|(first, expected)| first > expected && !was_durable(first)))
}

fn header_is_good(disk: &dyn Disk, path: &Path, store: StoreId, first: Lsn) -> Result<bool, SpoolFault> {
    let mut header = Vec::new();
    let file = disk.open_read(path).map_err(disk_fault("open", path))?;
    file.take(HEADER_BYTES).read_to_end(&mut header).map_err(disk_fault("read", path))?;
    match segment::read_header(&header) {
        Some((found, _)) if found != store => {
            Err(SpoolFault::ForeignStore { path: path.to_owned(), found, expected: store })
        }
        Some((_, stated)) => Ok(stated == first),
        None => Ok(false),
    }
}

/// Reads the frames of one segment up to the first bad one.
fn scan(disk: &dyn Disk, path: &Path, found: &mut Recovered) -> Result<(Segment, End), SpoolFault> {
    let file = disk.open_read(path).map_err(disk_fault("open", path))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (first, path_of) = (found.next, path.to_owned());
    let mut segment = Segment { first, path: path_of, bytes: HEADER_BYTES, offsets: Vec::new(), adopted_bytes: 0 };
    let mut bytes = Vec::new();
    read_up_to(&mut reader, HEADER_BYTES, &mut bytes).map_err(disk_fault("read", path))?;
    loop {
        bytes.clear();
        let unread = |error| read_fault(path, segment.bytes, found.next, error);
        let bad = match read_frame(&mut reader, &mut bytes).map_err(unread)? {
            None if bytes.is_empty() => return Ok((segment, End::File)),
            None => BadFrame::Short,
            Some(Err(bad)) => bad,
            Some(Ok(facts)) if facts.lsn == found.next && follows(found, &segment, facts.previous_crc) => {
                segment.offsets.push(segment.bytes);
                segment.bytes += bytes.len() as u64;
                if let Some(extent) = facts.extent {
                    segment.adopted_bytes += u64::from(extent.bytes);
                    found.adopted.insert(extent.file, facts.lsn);
                }
                found.next = facts.lsn.next();
                found.last_crc = facts.link;
                continue;
            }
            Some(Ok(_)) => BadFrame::Checksum,
        };
        let unread = |error| read_fault(path, segment.bytes, found.next, error);
        let skipped = skip_zeros(&mut reader, &mut bytes).map_err(unread)?;
        if bytes.is_empty() {
            return Ok((segment, End::Zeros));
        }
        let behind = if skipped { &bytes } else { bytes.get(1..).unwrap_or_default() };
        let durable_behind = valid_frames(behind).max();
        let broken = Break { offset: segment.bytes, lsn: found.next, bad, durable_behind };
        return Ok((segment, End::Bad(broken)));
    }
}

/// What the disk cannot give back is damage like any other.
fn read_fault(path: &Path, offset: u64, lsn: Lsn, error: std::io::Error) -> SpoolFault {
    match segment::unreadable(&error) {
        Some(what) => SpoolFault::Damaged { path: path.to_owned(), offset, lsn, what },
        None => disk_fault("read", path)(error),
    }
}

/// The first frame that is kept cannot be held against the one before it, which was freed.
fn follows(found: &Recovered, segment: &Segment, previous_crc: u32) -> bool {
    (found.segments.is_empty() && segment.offsets.is_empty()) || previous_crc == found.last_crc
}

/// What recovery wants to know of a good frame.
struct FrameFacts {
    lsn: Lsn,
    previous_crc: u32,
    /// What the frame behind it states as the checksum of the frame before.
    link: u32,
    /// What it refers to.
    extent: Option<Extent>,
}

impl FrameFacts {
    fn of(frame: &Frame<'_>, crc: u32) -> Self {
        let extent = Extent::read(frame.payload).filter(|_| frame.kind == KIND_ADOPTED).map(|(extent, ..)| extent);
        Self { lsn: frame.lsn, previous_crc: frame.previous_crc, link: lost::link(frame, crc), extent }
    }
}

/// `None` at the end of the file, with what was left of it in `bytes`.
fn read_frame(reader: &mut impl Read, bytes: &mut Vec<u8>) -> std::io::Result<Option<Result<FrameFacts, BadFrame>>> {
    read_up_to(reader, frame::HEADER_BYTES as u64, bytes)?;
    if bytes.len() < frame::HEADER_BYTES {
        return Ok(None);
    }
    let payload = match frame::payload_bytes(bytes) {
        Ok(payload) => payload,
        Err(bad) => return Ok(Some(Err(bad))),
    };
    let whole = frame::frame_bytes(payload);
    read_up_to(reader, whole - frame::HEADER_BYTES as u64, bytes)?;
    if (bytes.len() as u64) < whole {
        return Ok(None);
    }
    Ok(Some(frame::read(bytes).map(|(frame, crc)| FrameFacts::of(&frame, crc))))
}

fn read_up_to(reader: &mut impl Read, limit: u64, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    reader.take(limit).read_to_end(bytes).map(|_| ())
}

/// Reads the rest behind `bytes`, without the zeros that it begins with: nothing is left when there is nothing else.
/// True when zeros were left out.
fn skip_zeros(reader: &mut impl Read, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut skipped = false;
    while !bytes.is_empty() {
        if !is_zeros(bytes) {
            read_up_to(reader, u64::MAX, bytes)?;
            break;
        }
        skipped = true;
        bytes.clear();
        read_up_to(reader, 1 << 20, bytes)?;
    }
    Ok(skipped)
}

/// True when there are zeros only. Every start looks at a whole allocated segment, so it looks at blocks.
fn is_zeros(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let is_zero = |bytes: &[u8]| bytes.iter().fold(0, |any, byte| any | byte) == 0;
    blocks.iter().all(|block| is_zero(block)) && is_zero(rest)
}

/// The `durable lsn` of every valid frame that begins anywhere in `bytes`.
fn valid_frames(bytes: &[u8]) -> impl Iterator<Item = Lsn> + '_ {
    memchr::memmem::find_iter(bytes, b"HDF1")
        .filter_map(|at| bytes.get(at..))
        .filter_map(|rest| frame::read(rest).ok())
        .map(|(frame, _)| frame.durable)
}

fn cut(disk: &dyn Disk, segment: &Segment) -> Result<(), SpoolFault> {
    let mut file = disk.open_append(&segment.path).map_err(disk_fault("open", &segment.path))?;
    file.truncate(segment.bytes).map_err(disk_fault("cut", &segment.path))?;
    file.sync(SyncPoint::SpoolGroup).map_err(sync_fault(&segment.path))
}
