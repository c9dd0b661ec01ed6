//! Looking at every byte of the journal, also behind damage: what is good, and what is missing where.
//!
//! Unlike [`super::recovery`] it changes nothing and does not stop at the first bad byte: it looks for the next frame
//! that passes its checksum and goes on there. The frames between two good ones are lost; their number is known from
//! the LSNs. Zeros behind the last frame of a segment are room for more. What is behind the last frame that is known
//! to be durable was never acknowledged: a torn tail, or one that is being written.

use super::adopted::{Extent, KIND_ADOPTED, OpenAdopted, Unreadable, path_of};
use super::frame::{self, BadFrame, Frame};
use super::segment::{self, HEADER_BYTES, first_lsn_of, segment_path};
use super::{SpoolFault, StoreId, disk_fault, lost};
use crate::disk::{Disk, DiskRead, Kind};
use crate::domain::ids::Lsn;
use std::borrow::Cow;
use std::io::{Read, SeekFrom};
use std::path::{Path, PathBuf};

/// What others know about the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Frames before it were freed; those from it on must be there. 0: nobody knows.
    pub freed: Lsn,
    /// Frames up to it were durable.
    pub durable: Lsn,
}

/// A frame that passed its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundFrame {
    /// Its number.
    pub lsn: Lsn,
    /// Byte offset in the segment.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// What the frame behind it states as the checksum of the frame before.
    pub link: u32,
}

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSegment {
    /// The file.
    pub path: PathBuf,
    /// LSN of its first frame, by its name.
    pub first: Lsn,
    /// Length of the file.
    pub bytes: u64,
    /// Its header can be read.
    pub is_begun: bool,
    /// Its good frames.
    pub frames: Vec<FoundFrame>,
    /// Bytes at the end that were never acknowledged.
    pub torn: u64,
}

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment file, which may be missing.
    pub path: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// The first frame that is lost with it.
    pub first: Lsn,
    /// The last frame that is lost with it; before `first` when none is.
    pub last: Lsn,
    /// What is wrong.
    pub what: &'static str,
    /// What the frame behind it states as the checksum of the frame before; `None` when there is none.
    pub link: Option<u32>,
    /// False when good frames contradict each other: nobody can say which of them are right.
    pub is_mendable: bool,
}

impl Damage {
    /// How many frames are lost.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        (self.last.0 + 1).saturating_sub(self.first.0)
    }
}

/// The journal as found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The segments in order.
    pub segments: Vec<FoundSegment>,
    /// What is damaged, in order.
    pub damage: Vec<Damage>,
}

impl Survey {
    /// The last good frame.
    #[must_use]
    pub fn last(&self) -> Option<Lsn> {
        self.segments.iter().filter_map(|segment| segment.frames.last()).map(|frame| frame.lsn).max()
    }

    /// Takes the end out of the damage, when frames are missing there and nothing is in their place.
    pub fn forgive_early_end(&mut self) {
        let last = self.last();
        let is_early_end = |damage: &Damage| {
            last.is_none_or(|last| damage.first > last) && (damage.what == ZEROS || damage.what == MISSING)
        };
        self.damage.pop_if(|damage| is_early_end(damage));
    }

    /// Counts what is behind the last good frame as damage: a torn end that may have been acknowledged for all that
    /// anybody knows. Gives the number of its bytes.
    pub fn doubt_torn_end(&mut self) -> u64 {
        let next = self.last().map(Lsn::next);
        let Some(last) = self.segments.last() else { return 0 };
        let (first, before) = none(next.unwrap_or(last.first).max(last.first));
        let whole = Damage {
            path: last.path.clone(),
            offset: last.bytes - last.torn,
            bytes: last.torn,
            first,
            last: before,
            what: NO_FRAME,
            link: None,
            is_mendable: true,
        };
        if !last.is_begun && !last.frames.is_empty() {
            let bytes = last.bytes.min(HEADER_BYTES);
            let (first, before) = none(last.first);
            let header = Damage { offset: 0, bytes, first, last: before, what: BAD_HEADER, ..whole.clone() };
            if self.damage.iter().all(|known| (&known.path, known.offset) != (&header.path, 0)) {
                self.damage.push(header);
            }
        }
        let torn = last.torn;
        if torn > 0 {
            self.damage.push(whole);
        }
        torn
    }
}

/// Looks at the journal in `dir`. `visit` is given every good frame in order.
///
/// # Errors
/// [`SpoolFault`] when the directory or a file cannot be opened, or belongs to another store.
pub fn survey(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    known: Known,
    visit: &mut dyn FnMut(&Frame<'_>),
) -> Result<Survey, SpoolFault> {
    let entries = disk.list(dir).map_err(disk_fault("list", dir))?;
    let files = entries.into_iter().filter(|entry| entry.stat.kind == Kind::File);
    let files: Vec<_> = files.filter_map(|entry| first_lsn_of(&entry.path).map(|first| (first, entry.path))).collect();
    let next = files.first().map_or(Lsn(known.freed.0.max(1)), |(first, _)| *first);
    let (survey, adopted) = (Survey::default(), OpenAdopted::default());
    let stated = known.durable;
    let mut walk = Walk { disk, dir, adopted, survey, next, link: None, stated, tail: None, visit };
    if known.freed.0 > 0 && next > known.freed {
        walk.lost(&segment_path(dir, known.freed), known.freed, none(next).1, MISSING);
    }
    let count = files.len();
    for (index, (first, path)) in files.into_iter().enumerate() {
        walk.go_to(dir, first, &path);
        let bytes = read_whole(disk, &path)?;
        walk.segment(&path, first, store, &bytes, index + 1 == count)?;
    }
    walk.end(dir);
    Ok(walk.survey)
}

/// A range without a frame, in front of `lsn`.
const fn none(lsn: Lsn) -> (Lsn, Lsn) {
    (lsn, Lsn(lsn.0.saturating_sub(1)))
}

const MISSING: &str = "the segment file is missing";
const ZEROS: &str = "there are zeros where frames should be";
const NO_FRAME: &str = "these bytes are no frame";
const BAD_HEADER: &str = "the segment header is not readable";

/// The end of a segment behind its last good frame.
struct Tail {
    offset: u64,
    bytes: u64,
    what: Option<&'static str>,
}

struct Walk<'v> {
    disk: &'v dyn Disk,
    dir: &'v Path,
    adopted: OpenAdopted,
    survey: Survey,
    /// The frame that comes next.
    next: Lsn,
    /// What it must state as the checksum of the frame before, where that is known.
    link: Option<u32>,
    /// The highest durable LSN that anybody states.
    stated: Lsn,
    /// The end of the segment before.
    tail: Option<Tail>,
    visit: &'v mut dyn FnMut(&Frame<'_>),
}

impl Walk<'_> {
    fn damage(&mut self, path: &Path, (offset, bytes): (u64, u64), (first, last): (Lsn, Lsn), what: &'static str) {
        let path = path.to_owned();
        self.survey.damage.push(Damage { path, offset, bytes, first, last, what, link: None, is_mendable: true });
    }

    /// Notes frames that should lie behind the segment before; `path` is where they would be if it is whole.
    fn lost(&mut self, path: &Path, first: Lsn, last: Lsn, what: &'static str) {
        self.link = None;
        let before = self.survey.segments.last().map(|segment| segment.path.clone());
        match (self.tail.take(), before) {
            (Some(tail), Some(before)) if tail.bytes > 0 => {
                let what = tail.what.unwrap_or(ZEROS);
                self.damage(&before, (tail.offset, tail.bytes), (first, last), what);
            }
            _ => self.damage(path, (0, 0), (first, last), what),
        }
    }

    /// Goes on to the segment that begins with `first`.
    fn go_to(&mut self, dir: &Path, first: Lsn, path: &Path) {
        if first > self.next {
            self.lost(&segment_path(dir, self.next), self.next, none(first).1, MISSING);
        } else if first < self.next {
            self.damage(path, (0, 0), none(first), "it begins inside the segment before");
            self.contradiction();
        }
        // Bytes behind the last frame of a whole segment.
        if let (Some(Tail { offset, bytes, what: Some(_) }), Some(before)) =
            (self.tail.take(), self.survey.segments.last())
        {
            let before = before.path.clone();
            self.damage(&before, (offset, bytes), none(first), NO_FRAME);
        }
        self.next = first;
    }

    fn contradiction(&mut self) {
        if let Some(damage) = self.survey.damage.last_mut() {
            damage.is_mendable = false;
        }
    }

    fn segment(
        &mut self,
        path: &Path,
        first: Lsn,
        store: StoreId,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<(), SpoolFault> {
        let length = bytes.len() as u64;
        let header = segment::read_header(bytes);
        let (path_of, is_begun) = (path.to_owned(), header.is_some_and(|(_, stated)| stated == first));
        let found = FoundSegment { path: path_of, first, bytes: length, is_begun, frames: Vec::new(), torn: 0 };
        self.survey.segments.push(found);
        match header {
            Some((found, _)) if found != store => {
                return Err(SpoolFault::ForeignStore { path: path.to_owned(), found, expected: store });
            }
            Some((_, stated)) if stated == first => {}
            _ if is_last && first > self.stated => {}
            _ => {
                let place = (0, length.min(HEADER_BYTES));
                self.damage(path, place, none(first), BAD_HEADER);
            }
        }
        self.frames(path, bytes)
    }

    fn frames(&mut self, path: &Path, bytes: &[u8]) -> Result<(), SpoolFault> {
        let mut at = bytes.len().min(usize::try_from(HEADER_BYTES).unwrap_or(usize::MAX));
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let bad = match frame::read(rest) {
                Ok((frame, crc)) if frame.lsn == self.next => {
                    at += self.frame(path, &frame, crc, at as u64)?;
                    continue;
                }
                Ok(_) => BadFrame::Magic,
                Err(bad) => bad,
            };
            let what = rest.iter().any(|byte| *byte != 0).then_some(bad.what());
            let Some((skipped, lsn)) = what.and_then(|_| next_frame(rest, self.next, self.link)) else {
                self.tail = Some(Tail { offset: at as u64, bytes: rest.len() as u64, what });
                return Ok(());
            };
            self.damage(path, (at as u64, skipped as u64), (self.next, none(lsn).1), bad.what());
            (self.next, self.link) = (lsn, None);
            at += skipped;
        }
    }

    /// Takes a good frame and returns its length.
    fn frame(&mut self, path: &Path, frame: &Frame<'_>, crc: u32, offset: u64) -> Result<usize, SpoolFault> {
        let bytes = frame::frame_bytes(frame.payload.len());
        if self.link.is_none() {
            let behind = |damage: &&mut Damage| damage.link.is_none() && damage.last.next() == frame.lsn;
            self.survey.damage.iter_mut().rev().take_while(behind).for_each(|d| d.link = Some(frame.previous_crc));
        } else if self.link != Some(frame.previous_crc) {
            self.damage(path, (offset, bytes), none(frame.lsn), "it does not follow from the frame before it");
            self.contradiction();
        }
        let link = lost::link(frame, crc);
        match self.content(frame)? {
            Ok((kind, payload)) => {
                if let Some(segment) = self.survey.segments.last_mut() {
                    segment.frames.push(FoundFrame { lsn: frame.lsn, offset, bytes, link });
                }
                (self.visit)(&Frame { kind, payload: &payload, ..*frame });
            }
            Err(what) => {
                self.damage(path, (offset, bytes), (frame.lsn, frame.lsn), what);
                self.survey.damage.iter_mut().last().into_iter().for_each(|damage| damage.link = Some(link));
            }
        }
        self.stated = self.stated.max(frame.durable);
        (self.next, self.link) = (frame.lsn.next(), Some(link));
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// The kind and the content of a frame, with what it refers to; or what is wrong with that.
    #[expect(clippy::type_complexity, reason = "two ways to fail, and what comes out")]
    fn content<'f>(&mut self, frame: &Frame<'f>) -> Result<Result<(u8, Cow<'f, [u8]>), &'static str>, SpoolFault> {
        if frame.kind != KIND_ADOPTED {
            return Ok(Ok((frame.kind, Cow::Borrowed(frame.payload))));
        }
        let Some((extent, kind, content)) = Extent::read(frame.payload) else { return Ok(Err("it refers to nothing")) };
        let mut whole = content.to_vec();
        match self.adopted.append(self.disk, self.dir, &extent, &mut whole) {
            Ok(()) => Ok(Ok((kind, Cow::Owned(whole)))),
            Err(Unreadable::Damaged(what)) => Ok(Err(what)),
            Err(Unreadable::Disk(error)) => Err(disk_fault("read", &path_of(self.dir, extent.file))(error)),
        }
    }

    fn end(&mut self, dir: &Path) {
        if self.next <= self.stated {
            let (next, last) = (self.next, self.stated);
            self.lost(&segment_path(dir, next), next, last, MISSING);
        } else if let (Some(Tail { bytes, what: Some(_), .. }), Some(last)) =
            (&self.tail, self.survey.segments.last_mut())
        {
            last.torn = *bytes;
        }
    }
}

/// The next good frame in `bytes`, at least `expected`: how far on it lies, and its LSN. Bytes that were skipped
/// cannot have held more frames than fit in.
fn next_frame(bytes: &[u8], expected: Lsn, link: Option<u32>) -> Option<(usize, Lsn)> {
    let starts = memchr::memmem::find_iter(bytes, b"HDF1").filter(|at| *at > 0);
    starts.filter_map(|at| Some((at, frame::read(bytes.get(at..)?).ok()?.0))).find_map(|(at, frame)| {
        let lost = frame.lsn.0.checked_sub(expected.0)?;
        let follows = lost > 0 || link.is_none_or(|link| link == frame.previous_crc);
        (follows && lost.saturating_mul(frame::frame_bytes(0)) <= at as u64).then_some((at, frame.lsn))
    })
}

/// Blocks that the disk cannot read are zeros: what lay in them is damaged.
const BLOCK_BYTES: u64 = 4096;

/// All bytes of a segment.
pub(super) fn read_whole(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, SpoolFault> {
    let mut file = disk.open_read(path).map_err(disk_fault("open", path))?;
    let mut bytes = Vec::new();
    if file.read_to_end(&mut bytes).is_ok() {
        return Ok(bytes);
    }
    let length = file.stat().map_err(disk_fault("look at", path))?.bytes;
    bytes.clear();
    while (bytes.len() as u64) < length {
        let (at, wanted) = (bytes.len(), BLOCK_BYTES.min(length - bytes.len() as u64));
        if read_block(file.as_mut(), at as u64, wanted, &mut bytes).is_err() {
            bytes.resize(at + usize::try_from(wanted).unwrap_or(0), 0);
        }
    }
    Ok(bytes)
}

fn read_block(file: &mut dyn DiskRead, at: u64, wanted: u64, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    let read = file.take(wanted).read_to_end(bytes)? as u64;
    if read < wanted { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test breaks files as no disk of ours would")]
mod tests;
