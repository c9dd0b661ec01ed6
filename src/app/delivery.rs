//! Delivering what is sealed: one thread for each partner, so no partner waits for another.
//!
//! A thread takes the next batches of its partner's feeds in sealing order, opens a session, and sends them. After any
//! fault it drops the session, waits as long as the kind of fault asks for ([`reaction`]) and begins again from what the
//! ledger says; a session that had delivered something begins again at once. A held file holds its feed; the partner's
//! other feeds go on.

mod batch;
mod damage;
mod fault;
mod gate;
mod line;
mod reaction;
mod report;
mod session;
mod sweep;
mod wait;

use super::config::{Config, PartnerConfig};
use super::progress::Progress;
use super::shared_ledger::SharedLedger;
use super::space::Reserve;
use crate::archive::Archive;
use crate::clock::Clock;
use crate::deliver::StoreMark;
use crate::disk::Disk;
use crate::domain::delivery::FileState;
use crate::domain::time::{Length, UtcTime};
use crate::ledger::LedgerFault;
use crate::ledger::delivery::BatchToSend;
use fault::SendFault;
use gate::Gate;
use line::Line;
use report::Reporter;
use session::Tally;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Instant;
use wait::{wait, waits_for_room};

/// Batches that are looked up at once.
const BATCHES_AT_ONCE: u32 = 64;

/// So often it is looked whether it is still quiet.
const QUIET_LOOK: Length = Length::from_seconds(60);

/// What every partner's thread works with.
#[derive(Clone)]
pub struct DeliveryContext {
    /// The configuration.
    pub config: Arc<Config>,
    /// The ledger.
    pub ledger: Arc<SharedLedger>,
    /// The archive: nothing else is ever uploaded.
    pub archive: Archive,
    /// For local directories.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who listens.
    pub progress: Arc<dyn Progress>,
    /// Is given up when the ledger has no room.
    pub reserve: Arc<Reserve>,
    /// Marks our temporary names.
    pub mark: StoreMark,
    /// Set when everything is to stop.
    pub stop: Arc<AtomicBool>,
}

/// How long a thread goes on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Until everything is delivered, at most until then.
    Delivered(Instant),
    /// Until it is told to stop.
    Stopped,
}

/// How a partner's delivery ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartnerOutcome {
    /// Batches delivered.
    pub delivered: u64,
    /// Batches that are not delivered yet.
    pub left: u64,
    /// The last thing that went wrong, when anything is left because of it.
    pub fault: Option<String>,
    /// Nothing may go on until a person has looked.
    pub stopped: bool,
}

/// Delivers to one partner. Waits between tries end early when `wake` has a message.
#[must_use]
pub fn deliver_partner(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    until: Until,
    wake: &Receiver<()>,
) -> PartnerOutcome {
    let mut sender = Sender {
        context,
        partner,
        until,
        wake,
        line: Line::default(),
        reporter: Reporter::new(context, &partner.id),
        outcome: PartnerOutcome::default(),
    };
    loop {
        match sender.turn() {
            Ok(Next::Again) => {}
            Ok(Next::Ended) => return sender.outcome,
            Err(SendFault::Ledger(fault)) if waits_for_room(context, until, wake, &fault) => {}
            Err(fault) => return sender.reporter.stopped(&sender.outcome, &fault),
        }
    }
}

/// What follows a turn.
enum Next {
    Again,
    Ended,
}

/// A partner's thread.
struct Sender<'c> {
    context: &'c DeliveryContext,
    partner: &'c PartnerConfig,
    until: Until,
    wake: &'c Receiver<()>,
    line: Line,
    reporter: Reporter<'c>,
    outcome: PartnerOutcome,
}

impl Sender<'_> {
    /// One look at the work and, when there is any, one session. An error is one that nothing may go on after.
    fn turn(&mut self) -> Result<Next, SendFault> {
        let work = work_for(self.context, self.partner)?;
        self.outcome.left = work.iter().map(|batches| batches.len() as u64).sum();
        if self.context.stop.load(Ordering::Relaxed) {
            return Ok(Next::Ended);
        }
        if self.outcome.left == 0 {
            return Ok(self.rest());
        }
        let gate = Gate::new(self.context.clock.as_ref(), self.partner.quiet.as_ref());
        if let Some(end) = gate.quiet_until() {
            return Ok(self.keep_quiet(end));
        }
        let mut tally = Tally::default();
        let sent = session::send(
            self.context,
            self.partner,
            &self.partner.address,
            &work,
            &gate,
            &mut self.line.compared,
            &mut tally,
        );
        self.outcome.delivered += tally.batches;
        match sent {
            Ok(()) => {
                self.line.reached();
                self.context.ledger.tell_and_note(self.context.clock.now())?;
                self.reporter.reached(&self.partner.address.endpoint.to_string(), None);
                self.reporter.well();
                Ok(Next::Again)
            }
            Err(fault) if fault.stops() => Err(fault),
            Err(fault) => self.failed(&fault, tally),
        }
    }

    /// There is nothing to send.
    fn rest(&mut self) -> Next {
        self.outcome.fault = None;
        if is_paused(self.context, self.partner) {
            // What a person has paused is no alarm.
            self.reporter.well();
        }
        match self.until {
            Until::Delivered(_) => Next::Ended,
            Until::Stopped => {
                self.context.clock.wait(Length::from_seconds(3600), self.wake);
                Next::Again
            }
        }
    }

    /// Nothing may be sent before `end`.
    fn keep_quiet(&mut self, end: UtcTime) -> Next {
        let times = self.partner.quiet.as_ref().map_or_else(String::new, ToString::to_string);
        let why = format!("quiet {times}: nothing is sent");
        self.reporter.waiting(&self.partner.address.endpoint.to_string(), why.clone(), Some(end));
        match self.until {
            Until::Delivered(_) => {
                self.outcome.fault = Some(why);
                Next::Ended
            }
            Until::Stopped => {
                // The wall clock says when it ends, and may be set meanwhile.
                let left = end.since(self.context.clock.now()).min(QUIET_LOOK);
                wait(self.context, self.until, left, self.wake);
                Next::Again
            }
        }
    }

    /// The session broke.
    fn failed(&mut self, fault: &SendFault, tally: Tally) -> Result<Next, SendFault> {
        let address = &self.partner.address;
        let trouble = report::Trouble::at(address, fault);
        if tally.files > 0 {
            // It goes well, as far as it goes.
            tracing::warn!(partner = %self.partner.id, files = tally.files, "session broke: {}", trouble.what);
            self.line.reached();
            return Ok(Next::Again);
        }
        if reaction::leaves_part(trouble.kind) {
            self.clear_parts()?;
        }
        let delay = self.line.failed(trouble.kind);
        tracing::warn!(partner = %self.partner.id, next_try = %delay, "delivery failed: {}", trouble.what);
        self.reporter.failing(&trouble, self.context.clock.now().after(delay));
        self.outcome.fault = Some(trouble.what);
        Ok(if wait(self.context, self.until, delay, self.wake) { Next::Again } else { Next::Ended })
    }

    /// What cannot be removed now is removed by the next try.
    fn clear_parts(&self) -> Result<(), SendFault> {
        let work = work_for(self.context, self.partner)?;
        match session::clear(self.context, self.partner, &self.partner.address, &work) {
            Err(fault) if fault.stops() => Err(fault),
            Err(fault) => {
                tracing::warn!(partner = %self.partner.id, "what an upload has left is still there: {fault}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

fn is_paused(context: &DeliveryContext, partner: &PartnerConfig) -> bool {
    context.ledger.lock().is_paused(&format!("partner {}", partner.id)).unwrap_or(false)
}

/// The batches to send, feed by feed, up to the first that is held. Of what rests there is nothing to send.
fn work_for(context: &DeliveryContext, partner: &PartnerConfig) -> Result<Vec<Vec<BatchToSend>>, LedgerFault> {
    let ledger = context.ledger.lock();
    let feeds = partner.feeds.iter().filter(|feed| !feed.shadow);
    feeds
        .map(|feed| {
            if ledger.rests(&feed.id)? {
                return Ok(Vec::new());
            }
            let batches = ledger.batches_to_send(&feed.id, BATCHES_AT_ONCE)?;
            Ok(batches.into_iter().take_while(|batch| !is_held(batch)).collect())
        })
        .collect()
}

fn is_held(batch: &BatchToSend) -> bool {
    batch.is_held || batch.files.iter().any(|file| matches!(file.state, FileState::Held { .. }))
}
