//! Hours that are rendered while their records are accepted: at the end of an hour little is left to do then.
//!
//! A draft is a cache. The spool stays the truth: a draft counts only when it holds exactly the frames and the records
//! that the hour has when it is sealed, by the same definition. Otherwise it is thrown away, and the hour is rendered from
//! the spool. So it is with formats whose records show facts about their file, and with a disk that has no room for both.
//! A start begins the drafts of open hours again, while it reads the spool.
//!
//! Drafts are written by threads of their own, each hour by one of them and in the order in which frames were accepted,
//! or at once where events must have one order ([`Drafts::here`]). Memory is bounded: the more hours there are, the fewer bytes are collected
//! for each, and files that are not written to are closed.

use super::SealFault;
use super::render::{HourWriter, RenderJob, RenderedHour};
use super::staged::BUFFER_BYTES;
use crate::disk::{Disk, SyncPoint};
use crate::domain::ids::{Lsn, Revision};
use crate::feed::pending::{HourShare, PendingHour};
use crate::record::AcceptedBatch;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Bytes that all drafts together collect before they are written.
const COLLECTED_BYTES: usize = 6 << 20;
/// Bytes that a draft collects when there are many.
const COLLECTED_BYTES_MIN: usize = 4 << 10;
/// Files of drafts that are open at the same time, for each thread: with a few others the program holds fewer than 256.
const OPEN_FILES: usize = 112;
/// A draft with more records than this that cannot be rendered is given up: it holds each of them.
const REJECTS: usize = 1000;
/// Batches on their way to a thread: as many as come within a time slice or two of a processor, so that neither the decoder
/// nor this thread waits for the other while it could work. Each takes memory, about 1.2 MB.
const BATCHES_AHEAD: usize = 12;
/// Threads that write drafts.
const WORKERS: usize = 2;

/// Index of a feed, and start of an hour.
type Key = (usize, i64);

/// What a feed takes of a batch.
pub type FeedShares = Vec<(usize, HourShare)>;

/// The drafts of all feeds.
pub struct Drafts {
    live: BTreeSet<Key>,
    place: Place,
}

enum Place {
    Here(Desk),
    /// Each feed has one of them.
    Beside(Vec<Worker>),
}

/// A desk with a thread.
struct Worker {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Begin(Key, Box<RenderJob>),
    Render(Arc<AcceptedBatch>, Lsn, FeedShares),
    Take(Key, SyncSender<Option<Draft>>),
    Clear(SyncSender<()>),
}

impl Drafts {
    /// Drafts in `stage` that are written at once.
    #[must_use]
    pub const fn here(disk: Arc<dyn Disk>, stage: PathBuf) -> Self {
        Self { live: BTreeSet::new(), place: Place::Here(Desk::new(disk, stage)) }
    }

    /// Drafts in `stage` of so many feeds that are written by threads of their own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn beside(disk: &Arc<dyn Disk>, stage: &Path, feeds: usize) -> io::Result<Self> {
        let workers = (0..feeds.min(WORKERS)).map(|_| Worker::start(Desk::new(Arc::clone(disk), stage.to_owned())));
        Ok(Self { live: BTreeSet::new(), place: Place::Beside(workers.collect::<io::Result<_>>()?) })
    }

    /// Hours of a feed that have drafts.
    #[must_use]
    pub fn count(&self, feed: usize) -> usize {
        self.live.range((feed, i64::MIN)..=(feed, i64::MAX)).count()
    }

    /// Begins the draft of an hour that has no record yet.
    pub fn begin(&mut self, job: RenderJob) {
        let key = (job.feed, job.partition.start);
        self.live.insert(key);
        self.order(key.0, Order::Begin(key, Box::new(job)));
    }

    /// Renders what belongs to hours with drafts.
    pub fn render(&mut self, batch: AcceptedBatch, lsn: Lsn, mut shares: FeedShares) {
        shares.retain(|(feed, share)| self.live.contains(&(*feed, share.partition.start)));
        if shares.is_empty() {
            return;
        }
        let batch = Arc::new(batch);
        let workers = match &self.place {
            Place::Here(_) => 1,
            Place::Beside(workers) => workers.len().max(1),
        };
        for number in 0..workers {
            let of_worker: FeedShares = shares.extract_if(.., |(feed, _)| *feed % workers == number).collect();
            if let Some((feed, _)) = of_worker.first() {
                self.order(*feed, Order::Render(Arc::clone(&batch), lsn, of_worker));
            }
        }
    }

    /// The hour of `job` when its draft holds what waits in it; the draft is over in any case.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub fn take(&mut self, job: &RenderJob, pending: &PendingHour) -> Result<Option<RenderedHour>, SealFault> {
        let key = (job.feed, job.partition.start);
        if !self.live.remove(&key) {
            return Ok(None);
        }
        let draft = match &mut self.place {
            Place::Here(desk) => desk.drafts.remove(&key),
            Place::Beside(workers) => {
                let (answer, answered) = sync_channel(1);
                let sent = worker_of(workers, key.0).is_some_and(|worker| worker.order(Order::Take(key, answer)));
                if sent { answered.recv().ok().flatten() } else { None }
            }
        };
        match draft {
            Some(draft) if draft.holds(job, pending) => draft.writer.end(job).map(Some),
            Some(draft) => draft.writer.discard().map(|()| None),
            None => Ok(None),
        }
    }

    /// Throws all drafts away. Their files are gone when it returns.
    pub fn clear(&mut self) {
        self.live.clear();
        match &mut self.place {
            Place::Here(desk) => desk.clear(),
            Place::Beside(workers) => {
                for worker in workers {
                    let (done, is_done) = sync_channel(1);
                    if worker.order(Order::Clear(done)) {
                        is_done.recv().ok();
                    }
                }
            }
        }
    }

    fn order(&mut self, feed: usize, order: Order) {
        match &mut self.place {
            Place::Here(desk) => desk.obey(order),
            // A thread that is gone leaves hours without drafts.
            Place::Beside(workers) => {
                if !worker_of(workers, feed).is_some_and(|worker| worker.order(order)) {
                    self.live.clear();
                }
            }
        }
    }
}

fn worker_of(workers: &[Worker], feed: usize) -> Option<&Worker> {
    workers.get(feed.checked_rem(workers.len())?)
}

impl Worker {
    fn start(mut desk: Desk) -> io::Result<Self> {
        let (orders, inbox) = sync_channel(BATCHES_AHEAD);
        let thread = Builder::new().name("draft".to_owned()).spawn(move || desk.serve(&inbox))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// False when the thread is gone.
    fn order(&self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Where drafts are written.
struct Desk {
    disk: Arc<dyn Disk>,
    stage: PathBuf,
    drafts: BTreeMap<Key, Draft>,
}

/// An hour as far as it is rendered.
struct Draft {
    job: RenderJob,
    writer: HourWriter,
    first: Lsn,
    last: Lsn,
    frames: u64,
    records: u64,
}

impl Desk {
    const fn new(disk: Arc<dyn Disk>, stage: PathBuf) -> Self {
        Self { disk, stage, drafts: BTreeMap::new() }
    }

    fn serve(&mut self, inbox: &Receiver<Order>) {
        while let Ok(order) = inbox.recv() {
            self.obey(order);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Begin(key, job) => self.begin(key, *job),
            Order::Render(batch, lsn, shares) => self.render(&batch, lsn, &shares),
            Order::Take(key, answer) => drop(answer.send(self.drafts.remove(&key))),
            Order::Clear(done) => {
                self.clear();
                done.send(()).ok();
            }
        }
    }

    fn begin(&mut self, key: Key, job: RenderJob) {
        if self.drafts.is_empty()
            && let Err(error) = self.disk.create_dir_all(&self.stage, SyncPoint::ArchiveDirectory)
        {
            tracing::debug!("nothing is rendered before it is sealed: {error}");
            return;
        }
        let stem = self.stage.join(format!("draft-{}-{}", key.0, key.1));
        let writer = HourWriter::new(&self.disk, &job, stem);
        let draft = Draft { job, writer, first: Lsn(0), last: Lsn(0), frames: 0, records: 0 };
        if let Some(before) = self.drafts.insert(key, draft) {
            give_up(before);
        }
        let share = COLLECTED_BYTES / self.drafts.len().max(1);
        let bytes = 1 << share.clamp(COLLECTED_BYTES_MIN, BUFFER_BYTES).ilog2();
        self.drafts.values_mut().for_each(|draft| draft.writer.buffer(bytes));
    }

    fn render(&mut self, batch: &AcceptedBatch, lsn: Lsn, shares: &FeedShares) {
        for (feed, share) in shares {
            let key = (*feed, share.partition.start);
            let Some(draft) = self.drafts.get_mut(&key) else { continue };
            let rendered = draft.render(batch, lsn, share);
            if let Err(fault) = &rendered {
                tracing::debug!(feed = %draft.job.definition.id, "the hour is rendered when it is sealed: {fault}");
            }
            let is_hopeless = rendered.is_err() || draft.writer.rejects() > REJECTS || draft.writer.shows_facts();
            if is_hopeless && let Some(draft) = self.drafts.remove(&key) {
                give_up(draft);
            }
        }
        self.close_files(lsn);
    }

    /// Closes files that this frame did not write to, and all when that is not enough.
    fn close_files(&mut self, lsn: Lsn) {
        for is_idle in [|last: Lsn, now: Lsn| last != now, |_, _| true] {
            let open = self.drafts.values().filter(|draft| draft.writer.holds_file()).count();
            if open <= OPEN_FILES {
                return;
            }
            self.drafts.values_mut().filter(|draft| is_idle(draft.last, lsn)).for_each(|draft| draft.writer.release());
        }
    }

    fn clear(&mut self) {
        std::mem::take(&mut self.drafts).into_values().for_each(give_up);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What cannot be removed is removed with everything else in staging when the program starts.
fn give_up(draft: Draft) {
    if let Err(fault) = draft.writer.discard() {
        tracing::debug!("a draft stays in staging: {fault}");
    }
}

impl Draft {
    fn render(&mut self, batch: &AcceptedBatch, lsn: Lsn, share: &HourShare) -> Result<(), SealFault> {
        if self.frames == 0 {
            self.first = lsn;
        }
        self.last = lsn;
        self.frames += 1;
        for (index, at) in &share.records {
            if let Some(record) = batch.block.get(*index) {
                self.writer.record(&self.job, record, *at, batch, lsn)?;
                self.records += 1;
            }
        }
        Ok(())
    }

    /// Whether it is what rendering `job` from the spool would give.
    fn holds(&self, job: &RenderJob, pending: &PendingHour) -> bool {
        let frames = &pending.lsns;
        let is_same_job = job.revision == Revision(0)
            && job.from == Lsn(0)
            && job.planned.is_none()
            && Arc::ptr_eq(&job.definition, &self.job.definition);
        let is_whole = self.records == pending.records
            && self.frames == frames.len()
            && frames.first() == Some(self.first)
            && frames.last() == Some(self.last);
        is_same_job && is_whole && self.last < job.cut
    }
}
