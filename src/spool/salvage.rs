//! Mending a damaged journal: what is good stays byte for byte, what is lost gets a frame that says so.
//!
//! A damaged segment is written anew beside the old one, which is then put aside whole; nothing is thrown away. A crash
//! in between leaves a complete new segment under another name, and the next salvage begins with putting it in place.

use super::frame::{self, Frame};
use super::lost::{KIND_LOST, LostFrames};
use super::segment;
use super::survey::{Damage, FoundFrame, FoundSegment, Survey, read_whole};
use super::{SpoolFault, StoreId, disk_fault};
use crate::disk::{Disk, Kind, SyncPoint, free_name};
use crate::domain::ids::Lsn;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A segment that was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The segment.
    pub path: PathBuf,
    /// Where the damaged file lies now; `None` when there was none.
    pub aside: Option<PathBuf>,
    /// What is lost.
    pub lost: Vec<LostFrames>,
}

/// Puts segments in place that an interrupted salvage has left beside. To be called before the survey.
///
/// # Errors
/// [`SpoolFault::Disk`].
pub fn finish_interrupted(disk: &dyn Disk, dir: &Path) -> Result<(), SpoolFault> {
    for entry in disk.list(dir).map_err(disk_fault("list", dir))? {
        let is_new = entry.stat.kind == Kind::File && entry.path.extension().is_some_and(|ending| ending == "new");
        let target = entry.path.with_extension("");
        if !is_new || segment::first_lsn_of(&target).is_none() {
            continue;
        }
        if disk.stat(&target).map_err(disk_fault("look at", &target))?.is_some() {
            disk.remove(&entry.path).map_err(disk_fault("remove", &entry.path))?;
        } else {
            publish(disk, &entry.path, &target)?;
        }
    }
    Ok(())
}

/// Mends every damaged segment that `survey` found in `dir`. Damaged files are put into `aside`.
///
/// # Errors
/// [`SpoolFault::Damaged`] for frames that contradict each other, before anything is changed;
/// [`SpoolFault::Disk`].
pub fn salvage(
    disk: &dyn Disk,
    dir: &Path,
    aside: &Path,
    store: StoreId,
    survey: &Survey,
) -> Result<Vec<Mended>, SpoolFault> {
    if let Some(Damage { path, offset, first, what, .. }) = survey.damage.iter().find(|damage| !damage.is_mendable) {
        return Err(SpoolFault::Damaged { path: path.clone(), offset: *offset, lsn: *first, what });
    }
    let mut by_file: BTreeMap<&Path, Vec<&Damage>> = BTreeMap::new();
    for damage in &survey.damage {
        by_file.entry(&damage.path).or_default().push(damage);
    }
    let mut mended = Vec::new();
    for (path, damage) in by_file {
        let old = survey.segments.iter().find(|segment| segment.path == path);
        let lost = damage.iter().filter(|damage| damage.frames() > 0).map(|damage| lost_frames(damage)).collect();
        let bytes = mended_segment(disk, store, survey, old, &damage)?;
        let aside = replace(disk, dir, aside, path, old.is_some(), &bytes)?;
        mended.push(Mended { path: path.to_owned(), aside, lost });
    }
    Ok(mended)
}

fn lost_frames(damage: &Damage) -> LostFrames {
    let segment = damage.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    LostFrames { first: damage.first, last: damage.last, segment, what: damage.what.to_owned() }
}

/// The bytes of a segment without its damage.
fn mended_segment(
    disk: &dyn Disk,
    store: StoreId,
    survey: &Survey,
    old: Option<&FoundSegment>,
    damage: &[&Damage],
) -> Result<Vec<u8>, SpoolFault> {
    let lost: BTreeMap<Lsn, &Damage> =
        damage.iter().flat_map(|damage| (damage.first.0..=damage.last.0).map(move |lsn| (Lsn(lsn), *damage))).collect();
    let good: BTreeMap<Lsn, &FoundFrame> =
        old.iter().flat_map(|segment| segment.frames.iter().map(|frame| (frame.lsn, frame))).collect();
    let first = old.map(|segment| segment.first).or_else(|| lost.keys().next().copied()).unwrap_or(Lsn(1));
    let old_bytes = old.map(|segment| read_whole(disk, &segment.path)).transpose()?.unwrap_or_default();
    let mut bytes = Vec::new();
    segment::write_header(store, first, &mut bytes);
    let mut lsns: Vec<Lsn> = lost.keys().chain(good.keys()).copied().collect();
    lsns.sort_unstable();
    for lsn in lsns {
        if let Some(frame) = good.get(&lsn) {
            let range = usize::try_from(frame.offset).unwrap_or(usize::MAX);
            let length = usize::try_from(frame.bytes).unwrap_or(usize::MAX);
            bytes.extend_from_slice(old_bytes.get(range..).and_then(|rest| rest.get(..length)).unwrap_or_default());
        } else if let Some(damage) = lost.get(&lsn) {
            let link = if lsn == damage.last { damage.link.unwrap_or(0) } else { 0 };
            let payload = lost_frames(damage).write(link);
            let previous_crc = link_before(survey, lsn);
            let frame = Frame { lsn, durable: damage.last, previous_crc, kind: KIND_LOST, payload: &payload };
            frame::write(&frame, &mut bytes);
        }
    }
    Ok(bytes)
}

/// What the frame `lsn` states as the checksum of the frame before.
fn link_before(survey: &Survey, lsn: Lsn) -> u32 {
    let before = Lsn(lsn.0.saturating_sub(1));
    let segment = survey.segments.iter().rev().find(|segment| segment.first <= before);
    let good = segment.and_then(|segment| segment.frames.iter().find(|frame| frame.lsn == before));
    let lost = || survey.damage.iter().find(|damage| damage.frames() > 0 && damage.last == before)?.link;
    good.map(|frame| frame.link).or_else(lost).unwrap_or(0)
}

fn publish(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), SpoolFault> {
    disk.publish(from, to, SyncPoint::SpoolDirectory).map_err(disk_fault("publish", to))
}

/// Writes the new segment beside the old one, puts the old one aside, and the new one in its place.
fn replace(
    disk: &dyn Disk,
    dir: &Path,
    aside: &Path,
    path: &Path,
    exists: bool,
    bytes: &[u8],
) -> Result<Option<PathBuf>, SpoolFault> {
    let mut staged = path.as_os_str().to_owned();
    staged.push(".new");
    let staged = PathBuf::from(staged);
    let mut file = disk.create_new(&staged).map_err(disk_fault("create", &staged))?;
    file.write_all(bytes).map_err(disk_fault("write", &staged))?;
    file.sync(SyncPoint::SpoolGroup).map_err(disk_fault("sync", &staged))?;
    disk.sync_dir(dir, SyncPoint::SpoolDirectory).map_err(disk_fault("sync directory", dir))?;
    let mut kept = None;
    if exists {
        disk.create_dir_all(aside, SyncPoint::SpoolDirectory).map_err(disk_fault("create directory", aside))?;
        let place = free_name(disk, &aside.join(path.file_name().unwrap_or_default()), &|_| Ok(false));
        let place = place.map_err(disk_fault("look at", aside))?;
        publish(disk, path, &place)?;
        kept = Some(place);
    }
    publish(disk, &staged, path)?;
    Ok(kept)
}
