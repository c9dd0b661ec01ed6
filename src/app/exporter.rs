//! The one place where things happen: `once` makes one pass, `run` goes on.
//!
//! ```text
//! look at sources -> read into the spool -> close and seal -> deliver -> free the spool
//! ```
//! Reading and sealing take turns in one thread: an hour must not be sealed while a source of it is being read, and
//! nothing has to be locked between them. Each partner has a thread of its own for deliveries. With [`World::threads`]
//! large files are decoded ahead, and hours are rendered while their records are accepted, by threads that decide nothing.

mod once;
mod open;
mod run;
mod stop;
mod sums;

use super::answers::cannot_look;
use super::clock_watch::ClockWatch;
use super::config::Config;
use super::delivery::{DeliveryContext, PartnerOutcome};
use super::fault::ExporterFault;
use super::intake::IntakeCounts;
use super::pickup_desk::PickupDesk;
use super::progress::Progress;
use super::report::sum_up;
use super::sealing::SealCounts;
use super::shared_ledger::SharedLedger;
use super::space::Space;
use super::store::StateLock;
use crate::archive::Archive;
use crate::clock::Clock;
use crate::deliver::StoreMark;
use crate::disk::Disk;
use crate::domain::ids::{FeedId, Lsn, SourceId};
use crate::domain::period::Partition;
use crate::domain::time::Length;
use crate::feed::pending::FeedHours;
use crate::intake::Source;
use crate::ledger::intake::{Alarm, IntakeEntry};
use crate::seal::draft::Drafts;
use crate::spool::lost::LostFrames;
use crate::spool::{Spool, SpoolLimits};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use sums::Sums;

/// The world the exporter works in.
#[derive(Clone)]
pub struct World {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who listens.
    pub progress: Arc<dyn Progress>,
    /// Set when everything is to stop.
    pub stop: Arc<AtomicBool>,
    /// Sizes of the spool that are no matter of configuration; tests make them small.
    pub limits: SpoolLimits,
    /// So many batches and files that are with the partner are summed up; tests make it small.
    pub sum_rows_min: u64,
    /// Work is shared with further threads. Without it everything between a source and the archive happens in one
    /// order, which a simulation needs.
    pub threads: bool,
    /// A start renders the open hours that it finds, ahead of their end: of no use to an order that ends at once.
    pub renders_ahead: bool,
    /// Wakes who waits for the next turn, for input that comes by itself.
    pub wake: Option<SyncSender<()>>,
}

impl World {
    /// A world that goes on until it is told to stop, without further threads.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, progress: Arc<dyn Progress>) -> Self {
        Self {
            disk,
            clock,
            progress,
            stop: Arc::default(),
            limits: SpoolLimits::default(),
            sum_rows_min: sum_up::ROWS_MIN,
            threads: false,
            renders_ahead: true,
            wake: None,
        }
    }
}

/// Frames that become durable together, and their consequences.
#[derive(Default)]
pub(super) struct Group {
    pub bytes: usize,
    pub entry: IntakeEntry,
    /// What it holds of which source, until it is durable and who waits for it is told.
    pub unacknowledged: Vec<(String, u64)>,
    /// All of it is durable, and the ledger is told later on purpose: since when, by the time since the machine's start.
    pub waits_since: Option<Length>,
    /// The ledger may follow what was accepted from a stream so much later.
    pub lag_max: Length,
}

/// The exporter, open.
pub struct Exporter {
    pub(super) config: Arc<Config>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) watch: ClockWatch,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) ledger: Arc<SharedLedger>,
    pub(super) spool: Spool,
    /// Frames that were lost with damage and stand for nothing any more.
    pub(super) lost: Vec<LostFrames>,
    pub(super) archive: Archive,
    pub(super) drafts: Drafts,
    /// Work is shared with further threads.
    pub(super) threads: bool,
    pub(super) feeds: Vec<FeedHours>,
    pub(super) sources: Vec<Box<dyn Source>>,
    pub(super) group: Group,
    pub(super) duplicates: IntakeEntry,
    pub(super) payload: Vec<u8>,
    pub(super) applied: Lsn,
    pub(super) space: Space,
    /// Sources that a person has paused, as of this turn.
    pub(super) resting: BTreeSet<SourceId>,
    /// Partners' threads may be waiting for something that happened.
    pub(super) tell_partners: bool,
    /// Wake partners' threads.
    pub(super) wakers: Vec<SyncSender<()>>,
    sums: Sums,
    desk: Arc<PickupDesk>,
    mark: StoreMark,
    stop: Arc<AtomicBool>,
    /// What was finished from before the restart.
    finished: SealCounts,
    /// Keeps the state directory locked.
    _lock: StateLock,
}

/// What `once` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnceReport {
    /// What was read.
    pub read: IntakeCounts,
    /// What was sealed.
    pub sealed: SealCounts,
    /// What was delivered, by partner.
    pub partners: Vec<(String, PartnerOutcome)>,
    /// Everything that waits for a person: feed, hour, and why.
    pub held: Vec<(FeedId, Partition, String)>,
    /// Standing alarms.
    pub alarms: Vec<Alarm>,
    /// How many of them this pass has raised because a partner rejected something, or because of an answer that does not
    /// count.
    pub new_answer_alarms: u64,
    /// The pass ended early for lack of room, in the spool or on a disk; bytes of input that were found and not read.
    pub unread: Option<u64>,
}

impl OnceReport {
    /// The exit code: 1 failed, 5 remote trouble, 4 something needs a person, 0 done.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let partners = || self.partners.iter().map(|(_, outcome)| outcome);
        let attention = self.read.quarantined + self.sealed.quarantined + self.new_answer_alarms > 0
            || !self.held.is_empty()
            || self.alarms.iter().any(|alarm| !alarm.subject.starts_with("partner "));
        if self.unread.is_some() || partners().any(|outcome| outcome.stopped) {
            1
        } else if partners().any(|outcome| outcome.fault.is_some()) || self.alarms.iter().any(cannot_look) {
            5
        } else if attention {
            4
        } else {
            0
        }
    }
}

impl Exporter {
    /// Tells the partners' threads that something happened.
    pub(super) fn wake_partners(&self) {
        wake_all(&self.wakers);
    }

    /// Where the built-in server asks before a file is deleted.
    #[must_use]
    pub fn pickup_desk(&self) -> Arc<PickupDesk> {
        Arc::clone(&self.desk)
    }

    fn delivery_context(&self) -> DeliveryContext {
        DeliveryContext {
            config: Arc::clone(&self.config),
            ledger: Arc::clone(&self.ledger),
            archive: self.archive.clone(),
            disk: Arc::clone(&self.disk),
            clock: Arc::clone(&self.clock),
            progress: Arc::clone(&self.progress),
            reserve: Arc::clone(&self.space.reserve),
            mark: self.mark.clone(),
            threads: self.threads,
            stop: Arc::clone(&self.stop),
            given_up: Arc::default(),
        }
    }

    /// Removes archived files whose time is over.
    pub(super) fn expire_archive(&mut self) -> Result<(), ExporterFault> {
        let super::config::Retention::For(length) = self.config.keep else { return Ok(()) };
        let now = self.now();
        let expired = self.ledger.lock().archived_before(now.before(length))?;
        for (row, path) in expired {
            self.archive.expire(&path)?;
            self.ledger.lock().record_expired(row, &path, now)?;
        }
        Ok(())
    }
}

/// Wakes partners' threads.
fn wake_all(wakers: &[SyncSender<()>]) {
    for waker in wakers {
        // A partner whose channel is full is awake already.
        waker.try_send(()).ok();
    }
}

fn panicked() -> PartnerOutcome {
    PartnerOutcome {
        fault: Some("a delivery thread ended unexpectedly".to_owned()),
        stopped: true,
        ..Default::default()
    }
}
