//! `run`: turn after turn until somebody says stop.

use super::{Exporter, panicked};
use crate::app::delivery::{Until, deliver_partner};
use crate::app::fault::ExporterFault;
use crate::clock::Waited;
use crate::domain::time::{Length, UtcTime};
use crate::intake::Source;
use crate::seal::closing::Horizon;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

/// The ledger follows a stream of single records at intervals: a record that comes while the ledger is synced would wait
/// for that. What is accepted is durable in the spool, and told to the ledger before an hour is sealed.
const LAG_MAX: Length = Length::from_nanos(250_000_000);

/// A source gets a new turn after this many bytes, so one backlog does not hold up the others.
const TURN_BYTES: u64 = 64 << 20;

impl Exporter {
    /// Goes on until `stop` is set: reads, seals on time, delivers. `wake` ends waits early.
    ///
    /// # Errors
    /// [`ExporterFault`] when nothing may go on until a person has looked.
    pub fn run(mut self, wake: &Receiver<()>) -> Result<(), ExporterFault> {
        let mut threads = Vec::new();
        for partner in self.config.partners.clone() {
            let (waker, woken): (SyncSender<()>, Receiver<()>) = sync_channel(1);
            let context = self.delivery_context();
            let name = format!("deliver {}", partner.id);
            let spawned = std::thread::Builder::new()
                .name(name)
                .spawn(move || deliver_partner(&context, &partner, Until::Stopped, &woken));
            threads.push(spawned.map_err(ExporterFault::Start)?);
            self.wakers.push(waker);
        }
        let done = self.run_passes(wake);
        self.stop.store(true, Ordering::Relaxed);
        // Nothing may be written behind the mark of a clean stop, or without the lock of the state directory.
        self.desk.close();
        self.wakers.clear();
        let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect();
        done?;
        self.tell_log()?;
        if let Some(outcome) = outcomes.into_iter().find(|outcome| outcome.stopped) {
            return Err(ExporterFault::Start(std::io::Error::other(outcome.fault.unwrap_or_default())));
        }
        self.leave()?;
        Ok(())
    }

    fn run_passes(&mut self, wake: &Receiver<()>) -> Result<(), ExporterFault> {
        self.group.lag_max = LAG_MAX;
        let mut told = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let busy = self.turn(TURN_BYTES)?;
            // Each record of a stream is a turn, and no news for them.
            if std::mem::take(&mut self.tell_partners) || told.elapsed() >= self.config.poll.as_std() {
                told = Instant::now();
                self.wake_partners();
            }
            if !busy {
                self.sum_up_next()?;
                let longest = self.lag_left().unwrap_or(self.config.poll).min(self.config.poll);
                self.tell_partners = self.clock.wait(longest, wake) == Waited::Elapsed;
            }
        }
        tracing::info!("stopping");
        let recorded = self.commit_group();
        self.without_shortage(recorded)
    }

    /// One turn of `run`: reads at most `bytes_max` from each source, then seals what is due. True when there is more
    /// to read.
    ///
    /// # Errors
    /// [`ExporterFault`] when nothing may go on until a person has looked.
    pub fn turn(&mut self, bytes_max: u64) -> Result<bool, ExporterFault> {
        self.requests_in_time()?;
        let read = self.read_in_time(bytes_max)?;
        let sealed = self.seal_in_time(Horizon::Clock)?;
        if sealed.batches > 0 {
            self.sums.begin();
        }
        let now = self.now();
        if sealed.batches > 0 || self.is_spool_full() || self.is_short() {
            self.free_room()?;
        }
        if self.tell_space(now, Horizon::Clock)? {
            return Ok(false);
        }
        let awake = || self.sources.iter().filter(|source| !self.resting.contains(source.id()));
        // Whoever writes to a stream that is empty wakes us.
        let is_empty_stream = |source: &dyn Source| source.leaves_nothing() && source.caught_up_to() > UtcTime::MIN;
        let may_have_more = read.records > 0 && !awake().all(|source| is_empty_stream(source.as_ref()));
        Ok(may_have_more || awake().any(|source| source.unread_bytes() > 0))
    }

    /// True when everything that was visible at the last look has been read.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.sources.iter().all(|source| source.caught_up_to() > UtcTime::MIN)
    }
}
