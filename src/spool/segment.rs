//! One segment file: its header, and where its frames begin.

use super::adopted::{self, Extent, KIND_ADOPTED, Unreadable};
use super::frame::{self, BadFrame, HEADER_BYTES as FRAME_HEADER_BYTES};
use super::{OpenSegment, SpoolFault, StoreId, disk_fault};
use crate::disk::{Disk, parent};
use crate::domain::ids::Lsn;
use std::io::{self, Read, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of a segment's header.
pub const HEADER_BYTES: u64 = 36;
const MAGIC: [u8; 8] = *b"HDSPOOL1";

/// A segment and the places of its frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// LSN of its first frame.
    pub first: Lsn,
    /// Its file.
    pub path: PathBuf,
    /// Its length up to the end of its last frame; allocated space behind it does not count.
    pub bytes: u64,
    /// Byte offset of each frame.
    pub offsets: Vec<u64>,
    /// Bytes of input files that its frames refer to.
    pub adopted_bytes: u64,
}

/// File of the segment that begins with `first`.
#[must_use]
pub fn segment_path(dir: &Path, first: Lsn) -> PathBuf {
    dir.join(format!("{:020}.seg", first.0))
}

/// The first LSN that a segment's file name states.
#[must_use]
pub fn first_lsn_of(path: &Path) -> Option<Lsn> {
    let name = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    (name.len() == 20).then(|| name.parse().ok().map(Lsn)).flatten()
}

/// Appends a segment header.
pub fn write_header(store: StoreId, first: Lsn, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&store.0);
    out.extend_from_slice(&first.0.to_le_bytes());
    let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Reads a segment header: the store and the first LSN; `None` when it is torn or damaged.
#[must_use]
pub fn read_header(bytes: &[u8]) -> Option<(StoreId, Lsn)> {
    let (covered, rest) = bytes.split_at_checked(32)?;
    let crc = u32::from_le_bytes(*rest.first_chunk()?);
    if crc32c::crc32c(covered) != crc {
        return None;
    }
    let store = covered.strip_prefix(&MAGIC)?.first_chunk::<16>()?;
    let first = covered.last_chunk::<8>()?;
    Some((StoreId(*store), Lsn(u64::from_le_bytes(*first))))
}

impl Segment {
    /// Where that begins which lies behind frame `lsn`; with the header when no frame up to there lies here. `None`
    /// when nothing does.
    pub(super) fn first_behind(&self, lsn: Lsn) -> Option<u64> {
        match (lsn.0 + 1).checked_sub(self.first.0) {
            None | Some(0) => Some(0),
            Some(index) => self.offsets.get(usize::try_from(index).ok()?).copied(),
        }
    }

    /// Reads the payload of frame `lsn`.
    pub(super) fn read(
        &self,
        disk: &dyn Disk,
        lsn: Lsn,
        open: &mut OpenSegment,
        payload: &mut Vec<u8>,
    ) -> Result<u8, SpoolFault> {
        let index = usize::try_from(lsn.0 - self.first.0).unwrap_or(usize::MAX);
        let damaged = |offset: u64, what| SpoolFault::Damaged { path: self.path.clone(), offset, lsn, what };
        let offset = *self.offsets.get(index).ok_or_else(|| damaged(self.bytes, "the frame is missing"))?;
        let end = self.offsets.get(index + 1).copied().unwrap_or(self.bytes);
        let length = usize::try_from(end - offset).map_err(|_| damaged(offset, "the frame length is impossible"))?;
        if open.segment.as_ref().is_none_or(|(first, _)| *first != self.first) {
            let file = disk.open_read(&self.path).map_err(disk_fault("open", &self.path))?;
            open.segment = Some((self.first, file));
        }
        let Some((_, file)) = &mut open.segment else { return Err(damaged(offset, "the segment is not open")) };
        payload.resize(length, 0);
        file.seek(SeekFrom::Start(offset)).map_err(disk_fault("seek", &self.path))?;
        file.read_exact(payload).map_err(|error| match unreadable(&error) {
            Some(what) => damaged(offset, what),
            None => disk_fault("read", &self.path)(error),
        })?;
        let kind = match frame::read(payload) {
            Ok((frame, _)) if frame.lsn == lsn => frame.kind,
            Ok(_) => return Err(damaged(offset, "another frame lies here")),
            Err(bad) => return Err(damaged(offset, BadFrame::what(bad))),
        };
        payload.truncate(length - 4);
        payload.drain(..FRAME_HEADER_BYTES);
        if kind != KIND_ADOPTED {
            return Ok(kind);
        }
        let (extent, kind, content) = Extent::read(payload).ok_or_else(|| damaged(offset, "it refers to nothing"))?;
        payload.drain(..payload.len() - content.len());
        let journal = parent(&self.path);
        open.adopted.append(disk, journal, &extent, payload).map_err(|unreadable| {
            let path = adopted::path_of(journal, extent.file);
            match unreadable {
                Unreadable::Damaged(what) => SpoolFault::Damaged { path, offset: extent.offset, lsn, what },
                Unreadable::Disk(error) => disk_fault("read", &path)(error),
            }
        })?;
        Ok(kind)
    }
}

/// What is wrong with bytes that the disk cannot give back; `None` when it may give them back another time.
pub(super) fn unreadable(error: &io::Error) -> Option<&'static str> {
    /// `EIO` of Linux: a medium error, which has no kind of its own.
    const MEDIUM_ERROR: i32 = 5;
    if error.raw_os_error() == Some(MEDIUM_ERROR) {
        Some("the disk cannot read it")
    } else {
        (error.kind() == io::ErrorKind::UnexpectedEof).then_some("the file ends within it")
    }
}
