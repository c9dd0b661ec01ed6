//! What is done when there is no room, and how the work goes on when there is some again.
//!
//! - The disk is full: nothing is read. What is in flight is kept, what was staged is thrown away, and `state/RESERVE`
//!   is given up so that the ledger and the hours in hand can be finished. Uploads go on. Every turn tries again;
//!   when the reserve can be had back reading goes on.
//! - The spool holds as much as the configuration allows (`spool_max`): nothing is read until hours were sealed.
//!
//! Both are alarms as long as they last. A failed *sync* is none of this: it ends the program.

mod bound;
mod reserve;
mod shortage;

pub use reserve::{Reserve, make_way};
pub use shortage::{lacks_room, ledger_lacks_room};

use super::config::Config;
use super::exporter::Exporter;
use super::fault::ExporterFault;
use super::intake::IntakeCounts;
use super::sealing::SealCounts;
use crate::archive::ArchiveFault;
use crate::disk::{Disk, RealDisk, Room, file_system, room};
use crate::domain::time::{Length, UtcTime};
use crate::intake::Source;
use crate::seal::closing::Horizon;
use std::path::Path;
use std::sync::Arc;

/// Something to do that may find no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Taking records in.
    Reading,
    /// Sealing and everything behind it.
    Sealing,
}

/// What waits for room.
pub(super) struct Space {
    pub reserve: Arc<Reserve>,
    /// Why nothing is read, since then.
    reading: Option<String>,
    /// Why nothing is sealed, since then.
    sealing: Option<String>,
    /// The last turn stopped reading because the spool was full.
    pub cut_short: bool,
    /// Hours are planned whose files are not all in the archive. Their frames must stay.
    pub plans_wait: bool,
}

impl Space {
    pub fn new(disk: &Arc<dyn Disk>, config: &Config) -> Self {
        let reserve = Reserve::new(Arc::clone(disk), &config.state, config.reserve);
        Self { reserve: Arc::new(reserve), reading: None, sealing: None, cut_short: false, plans_wait: false }
    }
}

impl Exporter {
    /// Looks at every source and reads what is there, up to `bytes_max` of frames for each. Without room it only
    /// looks, so that hours which are complete can still close.
    ///
    /// # Errors
    /// [`ExporterFault`] when the spool or the ledger fails. What goes wrong at a source is an alarm.
    pub(super) fn read_sources(&mut self, bytes_max: u64) -> Result<IntakeCounts, ExporterFault> {
        let mut counts = IntakeCounts::default();
        self.space.cut_short = false;
        let done = self.may_read().and_then(|may_read| {
            self.read_each(if may_read { bytes_max } else { 0 }, &mut counts)?;
            Ok(may_read)
        });
        match done {
            Ok(true) => self.space.reading = None,
            Ok(false) => {}
            Err(fault) => {
                self.wait_for_room(fault, Work::Reading)?;
            }
        }
        Ok(counts)
    }

    /// Tells the archive's log what the ledger says, as soon as there is room for it.
    ///
    /// # Errors
    /// The fault itself when it is another one than a lack of room.
    pub(super) fn tell_log(&mut self) -> Result<(), ExporterFault> {
        match self.ledger.tell_and_note(self.now()) {
            Ok(()) => Ok(()),
            Err(fault) => self.wait_for_room(fault.into(), Work::Sealing).map(|_| ()),
        }
    }

    /// Carries out what was requested. Without room for it the rest is done later.
    ///
    /// # Errors
    /// The fault itself when it is another one than a lack of room.
    pub(super) fn requests_in_time(&mut self) -> Result<(), ExporterFault> {
        match self.execute_requests() {
            Ok(()) => Ok(()),
            Err(fault) => self.wait_for_room(fault, Work::Sealing).map(|_| ()),
        }
    }

    /// Reads nothing, but finishes what was in flight and keeps the reserve.
    ///
    /// # Errors
    /// As [`Exporter::read_sources`].
    pub(super) fn read_nothing(&mut self) -> Result<IntakeCounts, ExporterFault> {
        if let Err(fault) = self.may_read() {
            self.wait_for_room(fault, Work::Reading)?;
        }
        Ok(IntakeCounts::default())
    }

    /// Finishes what was in flight when the room ended, and takes the reserve back when there is room again.
    fn may_read(&mut self) -> Result<bool, ExporterFault> {
        if self.lag_left().is_none_or(|left| left == Length::ZERO) {
            self.commit_group()?;
        }
        // What is sealed first may need what there is.
        let sealing_first = self.space.sealing.is_some() && !self.space.reserve.is_held();
        Ok(!sealing_first && self.space.reserve.take()?)
    }

    /// Seals every hour that is due at `now`. Without room it is tried again in a later turn.
    ///
    /// # Errors
    /// [`ExporterFault`]; what was planned is finished at the next start.
    pub(super) fn seal_due(&mut self, now: UtcTime, horizon: Horizon) -> Result<SealCounts, ExporterFault> {
        let mut counts = SealCounts::default();
        while let Err(fault) = self.seal_in_order(now, horizon, &mut counts) {
            if !self.wait_for_room(fault, Work::Sealing)? {
                return Ok(counts);
            }
        }
        if !self.has_uncommitted() {
            self.space.sealing = None;
        }
        Ok(counts)
    }

    fn seal_in_order(&mut self, now: UtcTime, horizon: Horizon, counts: &mut SealCounts) -> Result<(), ExporterFault> {
        // The ledger must know every record that goes into an hour.
        if self.group.waits_since.is_some()
            && self.is_any_due(now, horizon)
            && let Err(fault) = self.commit_group()
        {
            self.wait_for_room(fault, Work::Reading)?;
        }
        if self.has_uncommitted() {
            return Ok(());
        }
        if self.space.plans_wait {
            self.clear_stage()?;
            let finished = self.finish_plans()?;
            counts.add(finished);
        }
        self.seal_all(now, horizon, counts)
    }

    /// Frees what sealing has made superfluous, in the spool and in the archive.
    pub(super) fn free_room(&mut self) -> Result<(), ExporterFault> {
        let freed = self.free_spool().and_then(|()| self.expire_archive());
        match freed {
            Ok(()) => Ok(()),
            Err(fault) => self.wait_for_room(fault, Work::Sealing).map(|_| ()),
        }
    }

    /// Notes that `work` has no room and gives up the reserve, when it lies on the same file system. True when there
    /// is more room now than there was.
    ///
    /// # Errors
    /// The fault itself when it is another one.
    pub(super) fn wait_for_room(&mut self, fault: ExporterFault, work: Work) -> Result<bool, ExporterFault> {
        let Some(place) = lacks_room(self.disk.as_ref(), &self.config.state, &fault) else { return Err(fault) };
        let waits = match work {
            Work::Reading => &mut self.space.reading,
            Work::Sealing => &mut self.space.sealing,
        };
        waits.get_or_insert_with(|| fault.to_string());
        self.clear_stage_if_possible()?;
        let given = self.lies_beside_state(&place)? && self.space.reserve.give()?;
        if given || work == Work::Reading {
            let committed = self.commit_group();
            self.without_shortage(committed)?;
        }
        Ok(given)
    }

    /// Throws everything in staging away, as far as a full disk lets it.
    pub(super) fn clear_stage_if_possible(&mut self) -> Result<(), ExporterFault> {
        let cleared = self.clear_stage();
        self.without_shortage(cleared.map_err(Into::into))
    }

    /// A result, when what it lacks is not just room.
    pub(super) fn without_shortage(&self, result: Result<(), ExporterFault>) -> Result<(), ExporterFault> {
        let is_short = |fault: &ExporterFault| lacks_room(self.disk.as_ref(), &self.config.state, fault).is_some();
        if result.as_ref().is_err_and(is_short) { Ok(()) } else { result }
    }

    /// True when sealing has something to do.
    fn is_any_due(&self, now: UtcTime, horizon: Horizon) -> bool {
        let mut closings = (0..self.feeds.len()).map(|index| self.closing_of(index, now, horizon));
        self.space.plans_wait || closings.any(|closing| !closing.due.is_empty() || !closing.hold.is_empty())
    }

    fn has_uncommitted(&self) -> bool {
        self.group.bytes > 0 || self.applied.next() < self.spool.next()
    }

    /// True when `place`, or the nearest directory above it, is on the file system of the state directory.
    fn lies_beside_state(&self, place: &Path) -> Result<bool, ExporterFault> {
        let fault = |source| ArchiveFault::Disk { operation: "look at", path: place.to_owned(), source };
        let state = self.disk.stat(&self.config.state).map_err(fault)?;
        for path in place.ancestors().filter(|path| !path.as_os_str().is_empty()) {
            if let Some(found) = self.disk.stat(path).map_err(fault)? {
                return Ok(state.is_some_and(|state| state.identity.0 == found.identity.0));
            }
        }
        Ok(true)
    }

    /// Raises or clears the alarms about room. True while something waits for it.
    pub(super) fn tell_space(&mut self, now: UtcTime, horizon: Horizon) -> Result<bool, ExporterFault> {
        let is_short = self.is_short();
        let bound = if self.is_cut_short() { self.bound_alarm(now, horizon)? } else { None };
        let waits = is_short || bound.is_some();
        let full = is_short.then(|| self.shortage_alarm());
        for (subject, alarm) in [("disk", full), ("spool", bound)] {
            let told = self.set_alarms(subject, &Vec::from_iter(alarm));
            if let Err(fault) = &told
                && lacks_room(self.disk.as_ref(), &self.config.state, fault).is_some()
            {
                tracing::error!("cannot record an alarm: {fault}");
            } else {
                told?;
            }
        }
        Ok(waits)
    }

    fn shortage_alarm(&self) -> (&'static str, String, String) {
        let reads = self.space.reading.is_none() && self.space.reserve.is_held();
        let what = match (reads, self.space.sealing.is_some()) {
            (true, _) => "nothing is sealed",
            (false, false) => "nothing is read",
            (false, true) => "nothing is read and nothing is sealed",
        };
        let cause = self.space.sealing.as_ref().or(self.space.reading.as_ref());
        let cause = cause.cloned().unwrap_or_else(|| format!("no space for {}", self.space.reserve.path().display()));
        let hint = "make room on that file system; uploads go on, and so does the rest when there is room".to_owned();
        ("HD0301", format!("{what}, for lack of room: {cause}"), hint)
    }

    /// True while reading or sealing waits for room on a disk.
    pub(super) fn is_short(&self) -> bool {
        self.space.reading.is_some() || self.space.sealing.is_some() || !self.space.reserve.is_held()
    }

    /// True when reading ended before all was read, because the spool is full.
    pub(super) fn is_cut_short(&self) -> bool {
        self.space.cut_short && self.is_spool_full()
    }

    /// Bytes that were found and not read.
    pub(super) fn unread_bytes(&self) -> u64 {
        self.sources.iter().map(|source| Source::unread_bytes(source.as_ref())).sum()
    }
}

/// What `status` shows about room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomReport {
    /// Bytes of the spool that hold frames.
    pub spool_bytes: u64,
    /// The most it may hold.
    pub spool_max: u64,
    /// The file system of the state directory.
    pub state: Option<Room>,
    /// The file system of the archive, when it is another one.
    pub archive: Option<Room>,
}

/// Looks at the spool and the file systems, beside a running instance.
#[must_use]
pub fn room_report(config: &Config) -> RoomReport {
    let of_archive = file_system(&config.archive);
    let is_other = of_archive.is_some() && of_archive != file_system(&config.state);
    RoomReport {
        spool_bytes: crate::spool::usage::used_bytes(&RealDisk, &config.state.join("journal")).unwrap_or_default(),
        spool_max: config.spool_max,
        state: room(&config.state).ok(),
        archive: if is_other { room(&config.archive).ok() } else { None },
    }
}
