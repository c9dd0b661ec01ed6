//! The one place where things happen: `once` makes one pass, `run` goes on.
//!
//! ```text
//! look at sources -> read into the spool -> close and seal -> deliver -> free the spool
//! ```
//! Reading and sealing take turns in one thread: an hour must not be sealed while a source of it is being read, and
//! nothing has to be locked between them. Each partner has a thread of its own for deliveries.

use super::config::{Config, SourceKind};
use super::delivery::{DeliveryContext, PartnerOutcome, Until, deliver_partner};
use super::feeds;
use super::intake::{self, IntakeCounts};
use super::progress::Progress;
use super::sealing::SealCounts;
use super::store::{Store, StoreFault};
use crate::archive::{Archive, ArchiveFault};
use crate::clock::Clock;
use crate::deliver::StoreMark;
use crate::disk::Disk;
use crate::domain::batch::BatchId;
use crate::domain::ids::{FeedId, Lsn};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::feed::pending::FeedHours;
use crate::feed::router::RouterFault;
use crate::intake::files::FileSource;
use crate::intake::stdin::StdinSource;
use crate::intake::{IntakeFault, Source};
use crate::ledger::intake::{IntakeEntry, QuarantineRow};
use crate::ledger::{Ledger, LedgerFault};
use crate::record::Accepted;
use crate::record::accepted::UnreadableFrame;
use crate::seal::SealFault;
use crate::seal::closing::Horizon;
use crate::spool::{OpenSegment, Spool, SpoolFault, SpoolLimits};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// Why the exporter stops.
#[derive(Debug, thiserror::Error)]
pub enum ExporterFault {
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolFault),
    /// A frame of the spool.
    #[error(transparent)]
    Frame(#[from] UnreadableFrame),
    /// A source.
    #[error(transparent)]
    Intake(#[from] IntakeFault),
    /// Sealing.
    #[error(transparent)]
    Seal(#[from] SealFault),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveFault),
    /// A feed does not fit its source.
    #[error(transparent)]
    Router(#[from] RouterFault),
    /// A stored definition cannot be read by this program.
    #[error("feed {feed}: the definition that its open hours need cannot be read by this program: {message}")]
    StoredDefinition {
        /// Which feed.
        feed: FeedId,
        /// Why.
        message: String,
    },
    /// A plan was made by another version of the encoder.
    #[error("{} {}-{}: planned by encoder {found}, this program has another; finish it with the program that planned it", batch.feed, batch.partition.start, batch.partition.end)]
    OldPlan {
        /// Which batch.
        batch: BatchId,
        /// Revision of the encoder that planned it.
        found: u32,
    },
    /// A plan belongs to a feed that the configuration does not have.
    #[error("{} {}-{} is planned but not finished, and the configuration has no such feed any more: put it back until the batch is delivered", batch.feed, batch.partition.start, batch.partition.end)]
    UnknownPlan {
        /// Which batch.
        batch: BatchId,
    },
    /// A feed was taken out of the configuration while records of it wait.
    #[error(
        "feed {feed} is not in the configuration any more, and {records} records of it wait to be sealed: put it back; with `shadow = true` it seals and archives them and delivers nothing"
    )]
    FeedGone {
        /// Which feed.
        feed: FeedId,
        /// How many records wait.
        records: u64,
    },
    /// A feed was given other sources while records of the old ones wait.
    #[error(
        "feed {feed} has other sources now, and records of the old ones wait to be sealed: change `source` when no hour of the feed is open"
    )]
    SourceChanged {
        /// Which feed.
        feed: FeedId,
    },
    /// A counter is at its end.
    #[error("feed {feed}: the sequence is at its `last` number and `then` does not say what follows")]
    CounterExhausted {
        /// Which feed.
        feed: FeedId,
    },
    /// Only a held hour can be released.
    #[error("feed {feed}: this hour is not held")]
    NotHeld {
        /// Which feed.
        feed: FeedId,
    },
    /// A name template gave an unusable name.
    #[error("feed {feed}: {message}")]
    FileName {
        /// Which feed.
        feed: FeedId,
        /// Why.
        message: String,
    },
    /// The system refused something at start.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

/// A source gets a new turn after this many bytes, so one backlog does not hold up the others.
const TURN_BYTES: u64 = 64 << 20;

/// The ledger, shared with the deliveries.
pub struct SharedLedger(Mutex<Ledger>);

impl SharedLedger {
    /// Waits for the ledger. A thread that panicked left no open transaction: SQLite rolled it back.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        match self.0.lock() {
            Ok(ledger) => ledger,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

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
}

/// Frames that become durable together, and their consequences.
#[derive(Default)]
pub(super) struct Group {
    pub bytes: usize,
    pub entry: IntakeEntry,
}

/// The exporter, open.
pub struct Exporter {
    pub(super) config: Arc<Config>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) ledger: Arc<SharedLedger>,
    pub(super) spool: Spool,
    pub(super) archive: Archive,
    pub(super) feeds: Vec<FeedHours>,
    pub(super) sources: Vec<Box<dyn Source>>,
    pub(super) group: Group,
    pub(super) duplicates: IntakeEntry,
    pub(super) payload: Vec<u8>,
    pub(super) applied: Lsn,
    mark: StoreMark,
    stop: Arc<AtomicBool>,
    /// What was finished from before the restart.
    finished: SealCounts,
    /// Keeps the state directory locked.
    _lock: std::fs::File,
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
    pub alarms: Vec<crate::ledger::intake::Alarm>,
}

impl OnceReport {
    /// The exit code: 1 failed, 5 remote trouble, 4 something needs a person, 0 done.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let partners = || self.partners.iter().map(|(_, outcome)| outcome);
        let attention = self.read.quarantined + self.sealed.quarantined > 0
            || !self.held.is_empty()
            || self.alarms.iter().any(|alarm| !alarm.subject.starts_with("partner "));
        if partners().any(|outcome| outcome.stopped) {
            1
        } else if partners().any(|outcome| outcome.fault.is_some()) {
            5
        } else if attention {
            4
        } else {
            0
        }
    }
}

impl Exporter {
    /// Opens the state directory, reads the spool, and finishes what a crash left half done. `input` is standard
    /// input for a source that reads it; `to_the_end` waits for its end.
    ///
    /// # Errors
    /// [`ExporterFault`].
    pub fn open(
        config: Config,
        world: &World,
        input: Option<Box<dyn Read + Send>>,
        to_the_end: bool,
    ) -> Result<Self, ExporterFault> {
        let now = world.clock.now();
        let Store { id, mut ledger, spool, is_fresh, lock } =
            Store::open(&world.disk, &config.state, SpoolLimits::default())?;
        if let Some((feed, records)) =
            ledger.waiting_feeds()?.into_iter().find(|(feed, _)| config.feeds().all(|f| f.id != *feed))
        {
            return Err(ExporterFault::FeedGone { feed, records });
        }
        let mut feeds = Vec::new();
        for definition in config.feeds() {
            feeds.push(feeds::load(&mut ledger, definition, spool.first(), is_fresh, now)?);
        }
        let applied = ledger.applied()?;
        let archive = Archive::new(Arc::clone(&world.disk), config.archive.clone());
        let sources = open_sources(&config, input, to_the_end)?;
        let mark = StoreMark::of(&id.0);
        let mut exporter = Self {
            config: Arc::new(config),
            disk: Arc::clone(&world.disk),
            clock: Arc::clone(&world.clock),
            progress: Arc::clone(&world.progress),
            ledger: Arc::new(SharedLedger(Mutex::new(ledger))),
            spool,
            archive,
            feeds,
            sources,
            group: Group::default(),
            duplicates: IntakeEntry::default(),
            payload: Vec::new(),
            applied,
            mark,
            stop: Arc::clone(&world.stop),
            finished: SealCounts::default(),
            _lock: lock,
        };
        exporter.read_spool()?;
        exporter.finished = exporter.finish_plans()?;
        exporter.take_changes(now)?;
        Ok(exporter)
    }

    /// Notes every frame of the spool again; the ledger is told what it has not been told.
    fn read_spool(&mut self) -> Result<(), ExporterFault> {
        let (mut open, mut payload) = (OpenSegment::default(), Vec::new());
        let mut untold = IntakeEntry::default();
        let durable = self.spool.durable();
        // Of a feed without any count nothing has been told: it was added after these frames were written.
        let mut added = Vec::new();
        for feed in &self.feeds {
            if !self.ledger.lock().has_counts(feed.id())? {
                added.push(feed.id().clone());
            }
        }
        for lsn in (self.spool.first().0..=durable.0).map(Lsn) {
            let Some(kind) = self.spool.read(lsn, &mut open, &mut payload)? else { continue };
            let accepted = Accepted::read(kind, &payload)?;
            let mut entry = IntakeEntry::default();
            intake::note(&mut self.feeds, &accepted, lsn, &mut entry)?;
            if lsn > self.applied {
                untold.append(entry);
            } else {
                untold.hours.extend(entry.hours.into_iter().filter(|(feed, ..)| added.contains(feed)));
                let of_added = |row: &QuarantineRow| row.feed.as_ref().is_some_and(|feed| added.contains(feed));
                untold.quarantine.extend(entry.quarantine.into_iter().filter(of_added));
            }
        }
        if durable > self.applied || !untold.hours.is_empty() {
            self.ledger.lock().apply_intake(durable, &untold)?;
            self.applied = durable;
        }
        Ok(())
    }

    fn take_changes(&mut self, now: UtcTime) -> Result<(), ExporterFault> {
        let mut ledger = self.ledger.lock();
        for (feed, definition) in self.feeds.iter_mut().zip(self.config.feeds()) {
            feeds::take_changes(&mut ledger, feed, definition, now)?;
        }
        Ok(())
    }

    /// One pass: reads all input there is, evaluates closing once, seals, and delivers for `once_deliver_for`.
    ///
    /// # Errors
    /// [`ExporterFault`]; the next pass goes on where this one stopped.
    pub fn once(mut self) -> Result<OnceReport, ExporterFault> {
        let read = self.read_sources(u64::MAX)?;
        let mut sealed = self.seal_due(self.clock.now(), Horizon::LastRecord)?;
        sealed.batches += self.finished.batches;
        sealed.files += self.finished.files;
        sealed.records += self.finished.records;
        self.free_spool()?;
        let until = Until::Delivered(Instant::now() + self.config.once_deliver_for.as_std());
        let partners = self.deliver(until);
        self.expire_archive()?;
        let ledger = self.ledger.lock();
        let (held, alarms) = (ledger.held()?, ledger.alarms()?);
        drop(ledger);
        Ok(OnceReport { read, sealed, partners, held, alarms })
    }

    /// Delivers to all partners at the same time and waits for all of them.
    fn deliver(&self, until: Until) -> Vec<(String, PartnerOutcome)> {
        let context = self.delivery_context();
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .config
                .partners
                .iter()
                .map(|partner| {
                    let context = context.clone();
                    let work = scope.spawn(move || {
                        let (_sender, wake) = sync_channel(1);
                        deliver_partner(&context, partner, until, &wake)
                    });
                    (partner.id.to_string(), work)
                })
                .collect();
            threads.into_iter().map(|(name, work)| (name, work.join().unwrap_or_else(|_| panicked()))).collect()
        })
    }

    fn delivery_context(&self) -> DeliveryContext {
        DeliveryContext {
            config: Arc::clone(&self.config),
            ledger: Arc::clone(&self.ledger),
            archive: self.archive.clone(),
            disk: Arc::clone(&self.disk),
            clock: Arc::clone(&self.clock),
            progress: Arc::clone(&self.progress),
            mark: self.mark.clone(),
            stop: Arc::clone(&self.stop),
        }
    }

    /// Goes on until `stop` is set: reads, seals on time, delivers. `wake` ends waits early.
    ///
    /// # Errors
    /// [`ExporterFault`] when nothing may go on until a person has looked.
    pub fn run(mut self, wake: &Receiver<()>) -> Result<(), ExporterFault> {
        let (mut wakers, mut threads) = (Vec::new(), Vec::new());
        for partner in self.config.partners.clone() {
            let (waker, woken): (SyncSender<()>, Receiver<()>) = sync_channel(1);
            let context = self.delivery_context();
            let name = format!("deliver {}", partner.id);
            let spawned = std::thread::Builder::new()
                .name(name)
                .spawn(move || deliver_partner(&context, &partner, Until::Stopped, &woken));
            threads.push(spawned.map_err(ExporterFault::Start)?);
            wakers.push(waker);
        }
        let done = self.run_passes(wake, &wakers);
        self.stop.store(true, Ordering::Relaxed);
        drop(wakers);
        let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect();
        done?;
        match outcomes.into_iter().find(|outcome| outcome.stopped) {
            Some(outcome) => Err(ExporterFault::Start(std::io::Error::other(outcome.fault.unwrap_or_default()))),
            None => Ok(()),
        }
    }

    fn run_passes(&mut self, wake: &Receiver<()>, wakers: &[SyncSender<()>]) -> Result<(), ExporterFault> {
        while !self.stop.load(Ordering::Relaxed) {
            let busy = self.turn(TURN_BYTES)?;
            for waker in wakers {
                // A partner whose channel is full is awake already.
                waker.try_send(()).ok();
            }
            if !busy {
                self.clock.wait(self.config.poll, wake);
            }
        }
        tracing::info!("stopping");
        Ok(())
    }

    /// One turn of `run`: reads at most `bytes_max` from each source, then seals what is due. True when there is more
    /// to read.
    ///
    /// # Errors
    /// [`ExporterFault`] when nothing may go on until a person has looked.
    pub fn turn(&mut self, bytes_max: u64) -> Result<bool, ExporterFault> {
        let read = self.read_sources(bytes_max)?;
        let sealed = self.seal_due(self.clock.now(), Horizon::Clock)?;
        if sealed.batches > 0 {
            self.free_spool()?;
            self.expire_archive()?;
        }
        Ok(self.sources.iter().any(|source| source.unread_bytes() > 0) || read.records > 0)
    }

    /// True when everything that was visible at the last look has been read.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.sources.iter().all(|source| source.caught_up_to() > UtcTime::MIN)
    }

    /// Removes archived files whose time is over.
    fn expire_archive(&mut self) -> Result<(), ExporterFault> {
        let super::config::Retention::For(length) = self.config.keep else { return Ok(()) };
        let now = self.clock.now();
        let expired = self.ledger.lock().archived_before(now.before(length))?;
        for (row, path) in expired {
            self.archive.expire(&path)?;
            self.ledger.lock().record_expired(row, &path, now)?;
        }
        Ok(())
    }
}

fn panicked() -> PartnerOutcome {
    PartnerOutcome {
        fault: Some("a delivery thread ended unexpectedly".to_owned()),
        stopped: true,
        ..Default::default()
    }
}

fn open_sources(
    config: &Config,
    mut input: Option<Box<dyn Read + Send>>,
    to_the_end: bool,
) -> Result<Vec<Box<dyn Source>>, ExporterFault> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for source in &config.sources {
        let (id, dialect, read) = (source.id.clone(), source.format.dialect.clone(), Arc::clone(&source.read));
        match &source.kind {
            SourceKind::Files(rules) => sources.push(Box::new(FileSource::new(id, rules.clone(), dialect, read))),
            SourceKind::Stdin => {
                let reader = input.take().unwrap_or_else(|| Box::new(std::io::empty()));
                let started =
                    StdinSource::start(id, &dialect, &read, reader, to_the_end).map_err(ExporterFault::Start)?;
                sources.push(Box::new(started));
            }
        }
    }
    Ok(sources)
}
