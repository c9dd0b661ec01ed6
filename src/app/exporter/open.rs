//! Opening: the state directory, the feeds, the spool from its oldest frame, and what a crash left half done.

use super::sums::Sums;
use super::{Exporter, Group, World};
use crate::app::beside::Beside;
use crate::app::clock_watch::ClockWatch;
use crate::app::config::{Config, SourceKind};
use crate::app::fault::ExporterFault;
use crate::app::pickup_desk::PickupDesk;
use crate::app::sealing::SealCounts;
use crate::app::shared_ledger::SharedLedger;
use crate::app::space::{Space, Work, lacks_room};
use crate::app::store::Store;
use crate::app::{feeds, intake};
use crate::archive::Archive;
use crate::deliver::StoreMark;
use crate::disk::room;
use crate::domain::ids::Lsn;
use crate::domain::time::UtcTime;
use crate::format::decode::frames::FrameReader;
use crate::intake::Source;
use crate::intake::files::{Adoption, FileSource};
use crate::intake::stdin::StdinSource;
use crate::ledger::intake::{IntakeEntry, QuarantineRow};
use crate::record::Accepted;
use crate::record::accepted::lines::InputReading;
use crate::seal::draft::Drafts;
use crate::spool::lost::{KIND_LOST, LostFrames};
use crate::spool::{OpenSegment, SpoolLimits};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// A start renders ahead as long as so many bytes are free on the archive's file system.
const START_ROOM_BYTES: u64 = 256 << 20;

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
        // Only whole segments are freed: several of them must fit into what the spool may hold.
        let segment_bytes_max = world.limits.segment_bytes_max.min(config.spool_max / 8);
        let limits = SpoolLimits { segment_bytes_max, ..world.limits };
        let Store { id, mut ledger, spool, log, ledger_differs, is_fresh, lock } =
            Store::open(&world.disk, &config.state, limits, &Beside::of(&config))?;
        let watch = ClockWatch::start(&ledger, world.clock.as_ref(), config.clock_jump_max)?;
        let now = watch.now(world.clock.as_ref());
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
        let drafts = drafts(world, archive.stage(), config.feeds().count()).map_err(ExporterFault::Start)?;
        let sources = open_sources(&config, input, to_the_end, world)?;
        let mark = StoreMark::of(&id.0);
        let space = Space::new(&world.disk, &config);
        let ledger = Arc::new(SharedLedger::new(ledger, log));
        let desk = PickupDesk::new(Arc::clone(&ledger), Arc::clone(&world.disk), Arc::clone(&world.clock));
        desk.settle_announced(&config)?;
        let mut exporter = Self {
            config: Arc::new(config),
            disk: Arc::clone(&world.disk),
            clock: Arc::clone(&world.clock),
            watch,
            progress: Arc::clone(&world.progress),
            ledger,
            spool,
            lost: Vec::new(),
            archive,
            drafts,
            threads: world.threads,
            feeds,
            sources,
            group: Group::default(),
            duplicates: IntakeEntry::default(),
            payload: Vec::new(),
            applied,
            space,
            resting: std::collections::BTreeSet::new(),
            tell_partners: true,
            wakers: Vec::new(),
            sums: Sums::new(world.sum_rows_min),
            desk: Arc::new(desk),
            mark,
            stop: Arc::clone(&world.stop),
            finished: SealCounts::default(),
            _lock: lock,
        };
        exporter.tell_of_changed_ledger(ledger_differs)?;
        exporter.clear_stage_if_possible()?;
        exporter.read_spool_first(world.renders_ahead)?;
        exporter.note_missing(now)?;
        match exporter.finish_plans() {
            Ok(finished) => exporter.finished = finished,
            Err(fault) => {
                exporter.wait_for_room(fault, Work::Sealing)?;
            }
        }
        exporter.tell_of_set_aside()?;
        exporter.take_changes(now)?;
        exporter.tell_what_was_accepted()?;
        exporter.tell_log()?;
        Ok(exporter)
    }

    /// The feeds as the ledger knows them now.
    pub(in crate::app) fn read_hours_again(&mut self) -> Result<(), ExporterFault> {
        self.lost.clear();
        for (feed, definition) in self.feeds.iter_mut().zip(self.config.feeds()) {
            *feed = feeds::known(&self.ledger.lock(), definition, self.spool.first())?;
        }
        self.read_spool(false)
    }

    /// Drafts must not take the room that the ledger needs: then they are thrown away, and the spool is read without them.
    fn read_spool_first(&mut self, renders_ahead: bool) -> Result<(), ExporterFault> {
        match self.read_spool(renders_ahead) {
            Err(fault) if renders_ahead && lacks_room(self.disk.as_ref(), &self.config.state, &fault).is_some() => {
                self.clear_stage_if_possible()?;
                self.read_hours_again()
            }
            done => done,
        }
    }

    /// Whether drafts may go on; otherwise there are none any more.
    fn leaves_room(&mut self) -> bool {
        let is_enough = room(&self.config.archive).is_ok_and(|room| room.free_bytes >= START_ROOM_BYTES);
        if !is_enough {
            self.drafts.clear();
        }
        is_enough
    }

    /// Notes every frame of the spool again; the ledger is told what it has not been told. At a start open hours are
    /// rendered meanwhile: what is due is sealed as soon as it is read, and what is not needs no second reading.
    fn read_spool(&mut self, mut renders_ahead: bool) -> Result<(), ExporterFault> {
        let (mut open, mut payload) = (OpenSegment::default(), Vec::new());
        let (mut untold, mut frames) = (IntakeEntry::default(), FrameReader::default());
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
            if kind == KIND_LOST {
                self.lost.extend(LostFrames::read(&payload).filter(|lost| self.lost.last() != Some(lost)));
                continue;
            }
            let accepted = frames.read(kind, &payload)?;
            let mut entry = IntakeEntry::default();
            let shares = intake::note(&mut self.feeds, &accepted, lsn, &mut entry);
            renders_ahead = renders_ahead && self.leaves_room();
            if renders_ahead && let Accepted::Batch(batch) = accepted {
                self.draft(batch, lsn, shares)?;
            }
            if lsn > self.applied {
                untold.append(entry);
            } else {
                let of_added = entry.hours.iter().filter(|(feed, ..)| added.contains(feed));
                of_added.for_each(|(feed, hour, counts)| untold.hours.add(feed, hour, counts));
                let of_added = |row: &QuarantineRow| row.feed.as_ref().is_some_and(|feed| added.contains(feed));
                untold.quarantine.extend(entry.quarantine.into_iter().filter(of_added));
            }
        }
        for feed in &added {
            let records = untold.quarantine.iter().filter(|row| row.feed.as_ref() == Some(feed)).count();
            if records > 0 {
                tracing::warn!(%feed, records, "records that lay in the spool already went to the quarantine of the feed");
            }
        }
        if durable > self.applied || !untold.hours.is_empty() {
            self.ledger.lock().apply_intake(durable, &untold)?;
            self.applied = durable;
        }
        Ok(())
    }

    /// A sender that cannot be asked again must know where it was: what was durable may not have been acknowledged.
    fn tell_what_was_accepted(&self) -> Result<(), ExporterFault> {
        for source in &self.config.sources {
            let given = self.ledger.lock().source_row(&source.id)?;
            self.progress.before(source.id.as_str(), given.map_or(0, |row| row.records + row.rejects));
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
}

fn drafts(world: &World, stage: PathBuf, feeds: usize) -> io::Result<Drafts> {
    if world.threads {
        return Drafts::beside(&world.disk, &stage, feeds);
    }
    Ok(Drafts::here(Arc::clone(&world.disk), stage))
}

fn open_sources(
    config: &Config,
    mut input: Option<Box<dyn Read + Send>>,
    to_the_end: bool,
    world: &World,
) -> Result<Vec<Box<dyn Source>>, ExporterFault> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for source in &config.sources {
        let (id, dialect, read) = (source.id.clone(), source.format.dialect.clone(), Arc::clone(&source.read));
        match &source.kind {
            SourceKind::Files(rules) => {
                let (format, text) = (source.format.name.clone(), source.format.text.clone());
                let adoption = Adoption {
                    journal: config.state.join("journal"),
                    bytes_min: world.limits.adopted_bytes_min,
                    reading: Arc::new(InputReading { format, text, head: Vec::new() }),
                };
                let source = FileSource::new(id, rules.clone(), dialect, read);
                sources.push(Box::new(source.reading_ahead(world.threads).adopting(adoption)));
            }
            SourceKind::Stdin => {
                let reader = input.take().unwrap_or_else(|| Box::new(std::io::empty()));
                let started = StdinSource::start(id, &dialect, &read, reader, to_the_end, world.wake.clone())
                    .map_err(ExporterFault::Start)?;
                sources.push(Box::new(started));
            }
        }
    }
    Ok(sources)
}
