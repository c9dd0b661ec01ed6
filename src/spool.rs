//! The durable buffer between intake and sealing: an append-only journal of checksummed frames in segments.
//!
//! A frame is accepted when [`Spool::sync`] has returned: one `fdatasync` for the whole group of frames written
//! since the last one, plus the directory's when a segment is new. The spool knows nothing of records or partners;
//! its payloads are bytes.
//!
//! ```text
//! state/journal/00000000000000000001.seg      named after the first LSN in it
//!
//! segment  "HDSPOOL1"  store id (16)  first lsn (8)  crc32c (4)
//! frame    "HDF1"  length (4)  lsn (8)  durable lsn (8)  crc of the frame before (4)  kind (1)  zero (3)
//!          payload (length)  crc32c over all of it (4)
//! ```
//! A segment is allocated when it is made; what lies behind its last frame are zeros. When the next one begins it is
//! cut to its length. When there is no room ([`SpoolFault::Full`]) nothing is lost: what the disk has not taken is
//! kept and written later.
//!
//! Large input files are not copied into frames: see [`adopted`].
//!
//! Numbers are little endian. `durable lsn` is what was known to be durable when the frame was written, so a bad
//! frame at or below it is damage and not a torn tail. The rule that tells them apart is in [`recovery`].

pub mod adopted;
pub mod frame;
pub mod lost;
pub mod recovery;
pub mod salvage;
pub mod segment;
pub mod survey;
pub mod usage;
mod writer;

use crate::disk::{Disk, SyncPoint};
use crate::domain::ids::{FileKey, Lsn};
use adopted::{Extent, KIND_ADOPTED, OpenAdopted};
use frame::Frame;
use segment::{Segment, segment_path};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use writer::{SegmentWriter, sync_fault};

/// Identity of a state directory: 16 random bytes, in every segment header and in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What can go wrong with the spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolFault {
    /// The disk refused an operation.
    #[error("spool {operation} {path}: {source}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no room on the disk. Nothing is lost; the operation may be repeated.
    #[error("spool: cannot {operation} {path}: {source}")]
    Full {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A sync failed: what was written since the last one may be lost although it can be read.
    #[error("spool: cannot sync {path}: {source}")]
    SyncFailed {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A sync failed before: nothing may be written until the process has started again and looked.
    #[error("spool: a sync has failed; nothing is accepted until a restart has checked the journal")]
    Latched,
    /// A frame that was durable cannot be read any more.
    #[error("spool: {path} is damaged at byte {offset}, lsn {lsn}: {what}")]
    Damaged {
        /// The segment, or the input file that the frame refers to.
        path: PathBuf,
        /// Byte offset of what is bad in it.
        offset: u64,
        /// The frame that should be there.
        lsn: Lsn,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The journal belongs to another state directory.
    #[error("spool segment {path} belongs to store {found}, expected {expected}")]
    ForeignStore {
        /// The segment.
        path: PathBuf,
        /// The store it names.
        found: StoreId,
        /// The store of this state directory.
        expected: StoreId,
    },
    /// Frames that the ledger knows are not there.
    #[error(
        "spool ends at lsn {found}, but the ledger has seen lsn {expected}: the journal is missing or was rolled back"
    )]
    Missing {
        /// Last frame found.
        found: Lsn,
        /// Last frame that the ledger has seen.
        expected: Lsn,
    },
}

/// Limits of the spool; tests make them small so that segments roll over after a few frames.
#[derive(Debug, Clone, Copy)]
pub struct SpoolLimits {
    /// A segment that is this long is followed by a new one; so is one whose frames refer to eight times as much.
    pub segment_bytes_max: u64,
    /// Input files from this size on are adopted instead of copied, see [`adopted`].
    pub adopted_bytes_min: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { segment_bytes_max: 64 << 20, adopted_bytes_min: 4 << 20 }
    }
}

/// The journal, open for appending and reading. One writer; reading is by LSN.
pub struct Spool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: StoreId,
    limits: SpoolLimits,
    segments: Vec<Segment>,
    /// Input files that frames refer to, and the last frame that does.
    adopted: BTreeMap<FileKey, Lsn>,
    writer: Option<SegmentWriter>,
    next: Lsn,
    durable: Lsn,
    last_crc: u32,
    new_segment: bool,
    latched: bool,
}

/// Frames are handed to the file in pieces of this size.
const WRITE_BYTES: usize = 1 << 20;

impl Spool {
    /// Opens the journal in `dir`, which is created when `expected` is LSN 0 (nothing was ever accepted). Cuts a torn
    /// tail; see [`recovery`].
    ///
    /// # Errors
    /// [`SpoolFault`] for damage, a foreign or missing journal, or a refusing disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: StoreId,
        limits: SpoolLimits,
        expected: Lsn,
    ) -> Result<Self, SpoolFault> {
        disk.create_dir_all(dir, SyncPoint::SpoolDirectory).map_err(disk_fault("create directory", dir))?;
        let found = recovery::recover(disk.as_ref(), dir, store, expected)?;
        adopted::remove_unused(disk.as_ref(), dir, &found.adopted)?;
        let reopen = |last| SegmentWriter::reopen(disk.as_ref(), dir, last, expected, limits.segment_bytes_max);
        let writer = found.segments.last().map(reopen).transpose()?;
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            store,
            limits,
            segments: found.segments,
            adopted: found.adopted,
            writer,
            next: found.next,
            durable: Lsn(found.next.0 - 1),
            last_crc: found.last_crc,
            new_segment: false,
            latched: false,
        })
    }

    /// Begins an empty journal behind frame `last`: what came before is gone, and its numbers are not given again.
    ///
    /// # Errors
    /// [`SpoolFault::Disk`], also when the journal is not empty.
    pub fn begin_behind(disk: &dyn Disk, dir: &Path, store: StoreId, last: Lsn) -> Result<(), SpoolFault> {
        let path = segment_path(dir, last.next());
        let mut header = Vec::new();
        segment::write_header(store, last.next(), &mut header);
        let mut file = disk.create_new(&path).map_err(disk_fault("create", &path))?;
        file.write_all(&header).map_err(disk_fault("write", &path))?;
        file.sync(SyncPoint::SpoolGroup).map_err(disk_fault("sync", &path))?;
        disk.sync_dir(dir, SyncPoint::SpoolDirectory).map_err(disk_fault("sync directory", dir))
    }

    /// The last frame that is durable; 0 when there is none.
    #[must_use]
    pub const fn durable(&self) -> Lsn {
        self.durable
    }

    /// The LSN that the next frame gets.
    #[must_use]
    pub const fn next(&self) -> Lsn {
        self.next
    }

    /// The oldest frame that is still kept, or the next one when there is none.
    #[must_use]
    pub fn first(&self) -> Lsn {
        self.segments.first().map_or(self.next, |segment| segment.first)
    }

    /// Bytes of all segments up to their last frames.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Begins a new segment when the current one is nearly full. To be called while nothing is in flight that cannot
    /// be kept: this is where a full disk is noticed.
    ///
    /// # Errors
    /// [`SpoolFault::Full`] when there is no room for a segment; others as [`Spool::append`] and [`Spool::sync`].
    pub fn make_room(&mut self) -> Result<(), SpoolFault> {
        self.check_latch()?;
        if self.has_room_for(self.limits.segment_bytes_max / 64) { Ok(()) } else { self.start_segment() }
    }

    /// Appends a frame. It is accepted only when [`Spool::sync`] has returned.
    ///
    /// # Errors
    /// [`SpoolFault`]; after a failed write nothing more is accepted. When the disk is full the frame is kept, and
    /// [`Spool::sync`] says so; only without [`Spool::make_room`] before it the first frame of all may be refused.
    pub fn append(&mut self, kind: u8, payload: &[u8]) -> Result<Lsn, SpoolFault> {
        self.check_latch()?;
        let frame_bytes = frame::frame_bytes(payload.len());
        if !self.has_room_for(frame_bytes) {
            match self.start_segment() {
                // The segment becomes longer than was planned.
                Err(SpoolFault::Full { .. }) if self.writer.is_some() => {}
                begun => begun?,
            }
        }
        let (Some(writer), Some(segment)) = (&mut self.writer, self.segments.last_mut()) else {
            return Err(SpoolFault::Latched);
        };
        let lsn = self.next;
        let frame = Frame { lsn, durable: self.durable, previous_crc: self.last_crc, kind, payload };
        self.last_crc = frame::write(&frame, writer.buffer());
        segment.offsets.push(segment.bytes);
        segment.bytes += frame_bytes;
        self.next = lsn.next();
        if writer.buffer().len() >= WRITE_BYTES {
            match self.flush() {
                Err(SpoolFault::Full { .. }) => {}
                written => written?,
            }
        }
        Ok(lsn)
    }

    /// Appends a frame whose content goes on in an [adopted](adopted::adopt) input file.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub fn append_adopted(&mut self, extent: &Extent, kind: u8, content: &[u8]) -> Result<Lsn, SpoolFault> {
        let mut payload = Vec::new();
        extent.write(kind, content, &mut payload);
        let lsn = self.append(KIND_ADOPTED, &payload)?;
        self.adopted.insert(extent.file, lsn);
        if let Some(segment) = self.segments.last_mut() {
            segment.adopted_bytes += u64::from(extent.bytes);
        }
        Ok(lsn)
    }

    /// Makes all frames appended so far durable.
    ///
    /// # Errors
    /// [`SpoolFault::Full`]: nothing is lost, and it may be called again. Others: nothing more is accepted until a
    /// restart. After a failed sync the kernel may have dropped the pages and forgotten the error.
    pub fn sync(&mut self) -> Result<Lsn, SpoolFault> {
        self.check_latch()?;
        if self.next.0 - 1 > self.durable.0 {
            self.sync_segment()?;
        }
        Ok(self.durable)
    }

    fn sync_segment(&mut self) -> Result<(), SpoolFault> {
        self.flush()?;
        let synced = self.writer.as_mut().map_or(Ok(()), SegmentWriter::sync);
        self.latch_on_error(synced)?;
        if self.new_segment {
            let synced = self.sync_dir();
            self.latch_on_error(synced)?;
            self.new_segment = false;
        }
        // Everything before this segment was synced when it began.
        self.durable = Lsn(self.next.0 - 1);
        Ok(())
    }

    fn sync_dir(&self) -> Result<(), SpoolFault> {
        self.disk.sync_dir(&self.dir, SyncPoint::SpoolDirectory).map_err(sync_fault(&self.dir))
    }

    const fn check_latch(&self) -> Result<(), SpoolFault> {
        if self.latched { Err(SpoolFault::Latched) } else { Ok(()) }
    }

    fn latch_on_error<T>(&mut self, result: Result<T, SpoolFault>) -> Result<T, SpoolFault> {
        self.latched |= result.as_ref().is_err_and(|fault| !matches!(fault, SpoolFault::Full { .. }));
        result
    }

    fn flush(&mut self) -> Result<(), SpoolFault> {
        let written = self.writer.as_mut().map_or(Ok(()), SegmentWriter::flush);
        self.latch_on_error(written)
    }

    /// A segment without a frame takes one of any length.
    fn has_room_for(&self, bytes: u64) -> bool {
        let most = self.limits.segment_bytes_max;
        let fits =
            |last: &Segment| last.offsets.is_empty() || (last.bytes + bytes <= most && last.adopted_bytes / 8 <= most);
        self.segments.last().is_some_and(fits)
    }

    /// Ends the current segment, durably, and begins the next.
    fn start_segment(&mut self) -> Result<(), SpoolFault> {
        self.sync()?;
        let bytes = self.limits.segment_bytes_max;
        let writer = SegmentWriter::create(self.disk.as_ref(), &self.dir, self.store, self.next, bytes)?;
        let (first, path) = (self.next, segment_path(&self.dir, self.next));
        let (bytes, offsets) = (segment::HEADER_BYTES, Vec::new());
        self.segments.push(Segment { first, path, bytes, offsets, adopted_bytes: 0 });
        self.new_segment = true;
        self.writer.replace(writer).map_or(Ok(()), SegmentWriter::end)
    }

    /// Reads the durable frame `lsn` into `payload` and returns its kind; `None` when it was freed or is not durable.
    ///
    /// # Errors
    /// [`SpoolFault::Damaged`] when it does not pass its checksum any more.
    pub fn read(&self, lsn: Lsn, open: &mut OpenSegment, payload: &mut Vec<u8>) -> Result<Option<u8>, SpoolFault> {
        if lsn > self.durable {
            return Ok(None);
        }
        let position = self.segments.partition_point(|segment| segment.first <= lsn);
        let Some(segment) = position.checked_sub(1).and_then(|index| self.segments.get(index)) else {
            return Ok(None);
        };
        segment.read(self.disk.as_ref(), lsn, open, payload).map(Some)
    }

    /// The oldest frame that [`Spool::free_below`] would leave; `None` when it would remove nothing.
    #[must_use]
    pub fn first_after_freeing(&self, lsn: Lsn) -> Option<Lsn> {
        self.segments.iter().skip(1).map(|segment| segment.first).take_while(|first| *first <= lsn).last()
    }

    /// Removes segments whose frames all lie below `lsn`. The newest segment stays: it is written to. Each removal is
    /// durable before the next, so that a power cut leaves no gap.
    ///
    /// # Errors
    /// [`SpoolFault`] when a segment cannot be removed, durably.
    pub fn free_below(&mut self, lsn: Lsn) -> Result<(), SpoolFault> {
        while let [first, second, ..] = self.segments.as_slice() {
            if second.first > lsn {
                break;
            }
            if self.new_segment {
                // The newest segment tells how far the journal goes: it must be there before any other is gone.
                self.sync_segment()?;
                continue;
            }
            self.disk.remove(&first.path).map_err(disk_fault("remove", &first.path))?;
            self.segments.remove(0);
            // In order: a crash must not leave a gap.
            let synced = self.sync_dir();
            self.latch_on_error(synced)?;
        }
        self.free_adopted()
    }

    /// Removes input files to which no frame refers any more. What a crash leaves is removed by the next start.
    fn free_adopted(&mut self) -> Result<(), SpoolFault> {
        let first = self.first();
        for (file, _) in self.adopted.extract_if(.., |_, last| *last < first) {
            let removed = adopted::release(self.disk.as_ref(), &self.dir, file);
            removed.map_err(disk_fault("remove", &adopted::path_of(&self.dir, file)))?;
        }
        Ok(())
    }

    /// True when frames below `lsn` are all there are, and keep input files.
    #[must_use]
    pub fn keeps_needless_input(&self, lsn: Lsn) -> bool {
        !self.adopted.is_empty() && lsn >= self.next
    }

    /// Begins a new segment although the current one is not full, so that [`Spool::free_below`] can remove it.
    ///
    /// # Errors
    /// As [`Spool::make_room`].
    pub fn roll_over(&mut self) -> Result<(), SpoolFault> {
        self.check_latch()?;
        if self.segments.last().is_some_and(|last| !last.offsets.is_empty()) { self.start_segment() } else { Ok(()) }
    }
}

/// A segment and an adopted file kept open between reads.
#[derive(Default)]
pub struct OpenSegment {
    segment: Option<(Lsn, Box<dyn crate::disk::DiskRead>)>,
    adopted: OpenAdopted,
}

fn disk_fault<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SpoolFault + 'a {
    move |source| SpoolFault::Disk { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use std::io::Write as _;

    const STORE: StoreId = StoreId([7; 16]);
    const SMALL: SpoolLimits = SpoolLimits { segment_bytes_max: 300, adopted_bytes_min: 0 };

    fn open(dir: &Path, expected: u64) -> Result<Spool, SpoolFault> {
        Spool::open(Arc::new(RealDisk), dir, STORE, SMALL, Lsn(expected))
    }

    fn contents(spool: &Spool) -> Vec<Vec<u8>> {
        let (mut open, mut payload) = (OpenSegment::default(), Vec::new());
        (spool.first().0..spool.next().0)
            .map(|lsn| {
                spool.read(Lsn(lsn), &mut open, &mut payload).expect("frame").expect("present");
                payload.clone()
            })
            .collect()
    }

    fn filled(dir: &Path, frames: u8) -> Spool {
        let mut spool = open(dir, 0).expect("spool");
        for number in 1..=frames {
            spool.append(1, &[number; 50]).expect("append");
        }
        spool.sync().expect("sync");
        spool
    }

    #[test]
    fn frames_survive_a_restart_across_segments() {
        let dir = tempfile::tempdir().expect("directory");
        drop(filled(dir.path(), 10));
        let mut spool = open(dir.path(), 10).expect("spool");
        assert!(spool.segments.len() > 3);
        assert_eq!(spool.append(1, b"eleven").expect("append"), Lsn(11));
        spool.sync().expect("sync");
        assert_eq!(contents(&spool).len(), 11);
        assert_eq!(contents(&spool)[9], [10; 50]);
    }

    #[test]
    fn freed_segments_are_gone_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("directory");
        let mut spool = filled(dir.path(), 10);
        spool.free_below(Lsn(6)).expect("free");
        assert!(spool.first() <= Lsn(6) && spool.first() > Lsn(1));
        let kept = contents(&spool).len();
        drop(spool);
        assert_eq!(contents(&open(dir.path(), 10).expect("spool")).len(), kept);
    }

    #[test]
    fn a_torn_tail_is_cut_at_every_byte() {
        let whole = tempfile::tempdir().expect("directory");
        drop(filled(whole.path(), 3));
        let name = segment_path(Path::new(""), Lsn(1));
        let bytes = std::fs::read(whole.path().join(&name)).expect("segment");
        let frame = usize::try_from(frame::frame_bytes(50)).expect("small");
        let end = usize::try_from(segment::HEADER_BYTES).expect("small") + 3 * frame;
        for length in end - frame..end {
            let dir = tempfile::tempdir().expect("directory");
            std::fs::File::create(dir.path().join(&name))
                .and_then(|mut f| f.write_all(&bytes[..length]))
                .expect("copy");
            let mut spool = open(dir.path(), 0).expect("spool");
            assert_eq!(spool.durable(), Lsn(2), "cut at {length}");
            spool.append(1, b"again").expect("append");
            spool.sync().expect("sync");
            assert_eq!(contents(&spool)[2], b"again");
        }
    }

    #[test]
    fn damage_below_a_durable_frame_is_never_taken_for_a_torn_tail() {
        let whole = tempfile::tempdir().expect("directory");
        {
            let mut spool = open(whole.path(), 0).expect("spool");
            for number in 1..=3u8 {
                spool.append(1, &[number; 20]).expect("append");
                spool.sync().expect("sync");
            }
        }
        let path = segment_path(whole.path(), Lsn(1));
        let bytes = std::fs::read(&path).expect("segment");
        let frame = usize::try_from(frame::frame_bytes(20)).expect("small");
        let header = usize::try_from(segment::HEADER_BYTES).expect("small");
        for position in header..header + frame {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x40;
            std::fs::File::create(&path).and_then(|mut f| f.write_all(&damaged)).expect("write");
            assert!(matches!(open(whole.path(), 0), Err(SpoolFault::Damaged { .. })), "byte {position}");
        }
    }

    #[test]
    fn frames_that_the_ledger_has_seen_must_be_there() {
        let dir = tempfile::tempdir().expect("directory");
        drop(filled(dir.path(), 3));
        assert!(matches!(open(dir.path(), 4), Err(SpoolFault::Missing { found: Lsn(3), expected: Lsn(4) })));
        let empty = tempfile::tempdir().expect("directory");
        assert!(matches!(open(empty.path(), 1), Err(SpoolFault::Missing { .. })));
    }

    #[test]
    fn a_journal_of_another_store_is_refused() {
        let dir = tempfile::tempdir().expect("directory");
        drop(filled(dir.path(), 3));
        let other = Spool::open(Arc::new(RealDisk), dir.path(), StoreId([8; 16]), SMALL, Lsn(0));
        assert!(matches!(other, Err(SpoolFault::ForeignStore { .. })));
    }
}
