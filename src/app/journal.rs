//! Looking at the spool from outside: what it holds, what still waits, what is damaged and whom that touches. Works
//! beside a running instance; nothing is written but by [`salvage`].

mod export;
mod salvage;

pub use export::{Wanted, export};
pub use salvage::salvage;
pub(super) use salvage::words as mended_words;

use super::config::Config;
use super::fault::ExporterFault;
use super::feeds;
use super::store::{StoreFault, read_identity};
use crate::disk::Disk;
use crate::domain::ids::{FeedId, Lsn};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::feed::pending::FeedHours;
use crate::format::decode::frames::FrameReader;
use crate::ledger::Ledger;
use crate::record::Accepted;
use crate::spool::StoreId;
use crate::spool::frame::Frame;
use crate::spool::lost::{KIND_LOST, LostFrames};
pub use crate::spool::survey::Damage;
use crate::spool::survey::{self, Known, Survey};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The journal of a configuration, and what the ledger knows about it.
pub struct Journal<'j> {
    disk: &'j dyn Disk,
    config: &'j Config,
    dir: PathBuf,
    store: StoreId,
    ledger: Ledger,
    known: Known,
}

impl<'j> Journal<'j> {
    /// Opens it for reading.
    ///
    /// # Errors
    /// [`ExporterFault`] when there is none, or the ledger cannot be read.
    pub fn open(disk: &'j dyn Disk, config: &'j Config) -> Result<Self, ExporterFault> {
        let store = read_identity(disk, &config.state)?;
        let ledger = Ledger::open_read_only(&config.ledger_path())?;
        ledger.stand_still()?;
        let known = Known { freed: ledger.freed()?, durable: ledger.applied()? };
        Ok(Self { disk, config, dir: config.state.join("journal"), store, ledger, known })
    }

    fn walk(&self, visit: &mut dyn FnMut(&Frame<'_>)) -> Result<Survey, ExporterFault> {
        Ok(survey::survey(self.disk, &self.dir, self.store, self.known, visit)?)
    }

    /// The feeds of the configuration without the records of the spool.
    fn feeds(&self) -> Result<Vec<FeedHours>, ExporterFault> {
        self.config.feeds().map(|definition| feeds::known(&self.ledger, definition, self.known.freed)).collect()
    }
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// The file.
    pub path: PathBuf,
    /// Its first and last good frame; `None` when it holds none.
    pub lsns: Option<(Lsn, Lsn)>,
    /// Good frames.
    pub frames: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes at its end that were never acknowledged.
    pub torn: u64,
    /// Records in its good frames, those included that could not be decoded.
    pub records: u64,
    /// When the first and the last of them were accepted.
    pub times: Option<(UtcTime, UtcTime)>,
}

/// Records of one hour that wait to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// For this feed.
    pub feed: FeedId,
    /// Of this source.
    pub source: String,
    /// In this hour.
    pub hour: Partition,
    /// How many.
    pub records: u64,
}

/// Records of one hour that the ledger has counted and no frame holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// For this feed.
    pub feed: FeedId,
    /// In this hour.
    pub hour: Partition,
    /// How many.
    pub records: u64,
    /// How many were counted and wait.
    pub counted: u64,
}

/// The journal as found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalReport {
    /// Its segments in order.
    pub segments: Vec<SegmentReport>,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// What was lost before and is salvaged.
    pub lost: Vec<LostFrames>,
    /// What waits to be sealed.
    pub waiting: Vec<Waiting>,
    /// What damage has taken from hours that are not sealed.
    pub missing: Vec<Missing>,
    /// Frames with a right checksum whose content cannot be read: number and reason.
    pub unreadable: Vec<(Lsn, String)>,
}

/// A running instance writes and frees while somebody looks: what seems damaged is believed when it is seen twice.
const LOOKS_MAX: usize = 5;

/// Looks at every frame.
///
/// # Errors
/// [`ExporterFault`] when the state directory cannot be read.
pub fn look(disk: &dyn Disk, config: &Config) -> Result<JournalReport, ExporterFault> {
    let mut report = look_once(&Journal::open(disk, config)?)?;
    for _ in 1..LOOKS_MAX {
        if report.damage.is_empty() && report.missing.is_empty() {
            break;
        }
        let again = look_once(&Journal::open(disk, config)?)?;
        let agree = again.damage == report.damage && again.missing == report.missing;
        report = again;
        if agree {
            break;
        }
    }
    Ok(report)
}

#[derive(Default)]
struct Tally {
    reader: FrameReader,
    records: BTreeMap<Lsn, (u64, UtcTime)>,
    waiting: BTreeMap<(FeedId, String, i64), Waiting>,
    lost: Vec<LostFrames>,
    unreadable: Vec<(Lsn, String)>,
}

fn look_once(journal: &Journal<'_>) -> Result<JournalReport, ExporterFault> {
    let mut feeds = journal.feeds()?;
    let mut tally = Tally::default();
    let found = journal.walk(&mut |frame| tally.frame(frame, &mut feeds, journal.known.durable))?;
    let segment = |segment: &survey::FoundSegment| {
        let lsns = segment.frames.first().zip(segment.frames.last()).map(|(first, last)| (first.lsn, last.lsn));
        let facts = lsns.map(|(first, last)| tally.records.range(first..=last).map(|(_, facts)| *facts));
        let facts: Vec<(u64, UtcTime)> = facts.into_iter().flatten().collect();
        let times = || facts.iter().map(|(_, at)| *at);
        SegmentReport {
            path: segment.path.clone(),
            lsns,
            frames: segment.frames.len() as u64,
            bytes: segment.bytes,
            torn: segment.torn,
            records: facts.iter().map(|(records, _)| records).sum(),
            times: times().min().zip(times().max()),
        }
    };
    let mut missing = Vec::new();
    for feed in &feeds {
        for (hour, counted) in journal.ledger.waiting_records(feed.id(), None)? {
            let here = feed.pending.get(&hour.start).map_or(0, |pending| pending.records);
            if counted > here {
                missing.push(Missing { feed: feed.id().clone(), hour, records: counted - here, counted });
            }
        }
    }
    Ok(JournalReport {
        segments: found.segments.iter().map(segment).collect(),
        damage: found.damage,
        lost: tally.lost,
        waiting: tally.waiting.into_values().filter(|waiting| waiting.records > 0).collect(),
        missing,
        unreadable: tally.unreadable,
    })
}

impl Tally {
    /// Frames above `told` are not in the ledger yet: they are listed, and no feed has counted them.
    fn frame(&mut self, frame: &Frame<'_>, feeds: &mut [FeedHours], told: Lsn) {
        if frame.kind == KIND_LOST {
            self.lost.extend(LostFrames::read(frame.payload).filter(|lost| self.lost.last() != Some(lost)));
            return;
        }
        match self.reader.read(frame.kind, frame.payload) {
            Err(fault) => self.unreadable.push((frame.lsn, fault.to_string())),
            Ok(Accepted::Finished(finished)) => drop(self.records.insert(frame.lsn, (0, finished.accepted_at))),
            Ok(Accepted::Batch(batch)) => {
                let records = (batch.block.len() + batch.rejects.len()) as u64;
                self.records.insert(frame.lsn, (records, batch.accepted_at));
                for feed in feeds.iter_mut().filter(|feed| frame.lsn <= told && feed.takes(&batch)) {
                    for (hour, counts) in feed.note(&batch, frame.lsn).counts {
                        let Some(hour) = hour else { continue };
                        let key = (feed.id().clone(), batch.source.clone(), hour.start);
                        let (feed, source) = (feed.id().clone(), batch.source.clone());
                        let waiting = self.waiting.entry(key).or_insert(Waiting { feed, source, hour, records: 0 });
                        waiting.records += counts.received - counts.filtered - counts.quarantined;
                    }
                }
            }
        }
    }
}

/// True when a fault says that the journal is damaged.
#[must_use]
pub const fn is_damage(fault: &ExporterFault) -> bool {
    use crate::spool::SpoolFault::{Damaged, Missing};
    matches!(
        fault,
        ExporterFault::Spool(Damaged { .. } | Missing { .. })
            | ExporterFault::Store(StoreFault::Spool(Damaged { .. } | Missing { .. }))
    )
}
