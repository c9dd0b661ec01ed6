//! `once`: one pass over everything there is.

use super::{Exporter, OnceReport, panicked, wake_all};
use crate::app::answers::is_about_answer;
use crate::app::delivery::{Deadline, PartnerOutcome, Until, deliver_partner};
use crate::app::fault::ExporterFault;
use crate::app::intake::IntakeCounts;
use crate::app::sealing::SealCounts;
use crate::ledger::intake::Alarm;
use crate::seal::closing::Horizon;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

impl Exporter {
    /// One pass: reads all input there is, evaluates closing once, seals, and delivers; when all is sealed, for
    /// `once_deliver_for` longer.
    ///
    /// # Errors
    /// [`ExporterFault`]; the next pass goes on where this one stopped.
    pub fn once(mut self) -> Result<OnceReport, ExporterFault> {
        let known = self.ledger.lock().alarms()?;
        self.requests_in_time()?;
        let (done, partners) = self.deliver_beside(Self::read_and_seal);
        let (read, sealed, unread) = done?;
        self.requests_in_time()?;
        self.free_room()?;
        while self.sum_up_next()? {}
        self.tell_log()?;
        let ledger = self.ledger.lock();
        let (held, alarms) = (ledger.held()?, ledger.alarms()?);
        drop(ledger);
        self.leave()?;
        let is_new = |alarm: &&Alarm| is_about_answer(alarm) && !known.contains(alarm);
        let new_answer_alarms = alarms.iter().filter(is_new).count() as u64;
        Ok(OnceReport { read, sealed, partners, held, alarms, new_answer_alarms, unread })
    }

    /// Reads all input there is and seals. Says what it came to, and how much input was found and not read for lack of
    /// room.
    fn read_and_seal(&mut self) -> Result<(IntakeCounts, SealCounts, Option<u64>), ExporterFault> {
        let mut read = IntakeCounts::default();
        let mut sealed = std::mem::take(&mut self.finished);
        loop {
            read.add(self.read_in_time(u64::MAX)?);
            sealed.add(self.seal_in_time(Horizon::LastRecord)?);
            self.free_room()?;
            // When the spool was full and sealing has made room there is more to read.
            if !self.space.cut_short || self.is_spool_full() || self.is_short() {
                break;
            }
        }
        let unread = self.tell_space(self.now(), Horizon::LastRecord)?.then(|| self.unread_bytes());
        Ok((read, sealed, unread))
    }

    /// Delivers to all partners at the same time, from the first hour on that `work` seals, and waits for all of them.
    /// When it fails they end.
    fn deliver_beside<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, ExporterFault>,
    ) -> (Result<T, ExporterFault>, Vec<(String, PartnerOutcome)>) {
        let (context, config) = (self.delivery_context(), Arc::clone(&self.config));
        let deadline = Deadline::new();
        std::thread::scope(|scope| {
            let mut ending = Ending { deadline: &deadline, given_up: &context.given_up, wakers: Vec::new() };
            let mut threads = Vec::new();
            for partner in &config.partners {
                let (waker, wake) = sync_channel(1);
                let (context, until) = (context.clone(), Until::Delivered(&deadline));
                ending.wakers.push(waker);
                threads.push(scope.spawn(move || {
                    // Nothing is asked of a partner before there is something for it, or all is read.
                    wake.recv().ok();
                    deliver_partner(&context, partner, until, &wake)
                }));
            }
            // Without further threads one thing comes after the other.
            self.wakers = if self.threads { ending.wakers.clone() } else { Vec::new() };
            let done = work(self);
            if done.is_ok() {
                deadline.get_or_init(|| Instant::now() + config.once_deliver_for.as_std());
            }
            ending.tell();
            self.wakers.clear();
            let named = config.partners.iter().map(|partner| partner.id.to_string());
            let outcomes = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked()));
            (done, named.zip(outcomes).collect())
        })
    }
}

/// Lets the partners' threads come to their end, by a panic, too: else they would wait for more. It lives as long as they
/// do: a wait of which nobody is left to wake it would end at once.
struct Ending<'d> {
    deadline: &'d Deadline,
    given_up: &'d AtomicBool,
    wakers: Vec<SyncSender<()>>,
}

impl Ending<'_> {
    /// Nothing more is sealed; without a deadline that was set before, nothing more is to be delivered either.
    fn tell(&self) {
        if self.deadline.get().is_none() {
            self.given_up.store(true, Ordering::Relaxed);
            self.deadline.get_or_init(Instant::now);
        }
        wake_all(&self.wakers);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}
