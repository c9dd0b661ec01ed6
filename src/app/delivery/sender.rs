//! A partner's thread, turn by turn.

use super::fault::SendFault;
use super::gate::Gate;
use super::line::Line;
use super::reaction::leaves_part;
use super::report::{Reporter, Trouble};
use super::route::{doubt_the_gone, way_of, work_at};
use super::session::{self, Tally};
use super::wait::{lacks_room, wait, waits_for_room};
use super::{DeliveryContext, PartnerOutcome, Until};
use crate::app::answers;
use crate::app::config::PartnerConfig;
use crate::app::pickup::{end_alarms, is_watched};
use crate::domain::delivery::FileState;
use crate::domain::time::{Length, UtcTime};
use crate::ledger::LedgerFault;
use crate::ledger::delivery::BatchToSend;
use crate::remote::Address;
use std::sync::mpsc::Receiver;

/// Batches of a feed that are looked up at once.
const BATCHES_AT_ONCE: u32 = 64;

/// Somebody who has new work wakes the thread.
const LONGEST_REST: Length = Length::from_seconds(3600);

/// So often it is looked whether it is still quiet.
const QUIET_LOOK: Length = Length::from_seconds(60);

/// A wait for one server is not longer than this where there is work for others meanwhile.
const OTHERS_LOOK: Length = Length::from_seconds(30);

/// So often a directory is listed again that holds as many files as it may.
const PICKUP_LOOK: Length = Length::from_seconds(25);
const PICKUP_LOOK_MIN: Length = Length::from_seconds(5);

/// What follows a turn.
enum Next {
    Again,
    Ended,
}

/// What came of one round of sessions.
#[derive(Default)]
struct Round {
    /// The last server that was reached.
    reached: Option<usize>,
    /// A server was asked, and nothing came of it.
    failed: bool,
    /// A session broke that had delivered something.
    broke: bool,
    /// The directory of the last server holds as many files as it may.
    full: bool,
}

/// A partner's thread.
pub(super) struct Sender<'c> {
    context: &'c DeliveryContext,
    partner: &'c PartnerConfig,
    until: Until<'c>,
    wake: &'c Receiver<()>,
    servers: Vec<(&'c Address, Line)>,
    reporter: Reporter<'c>,
    outcome: PartnerOutcome,
}

impl<'c> Sender<'c> {
    pub(super) fn new(
        context: &'c DeliveryContext,
        partner: &'c PartnerConfig,
        until: Until<'c>,
        wake: &'c Receiver<()>,
    ) -> Self {
        Self {
            context,
            partner,
            until,
            wake,
            servers: partner.addresses().map(|address| (address, Line::default())).collect(),
            reporter: Reporter::new(context, &partner.id),
            outcome: PartnerOutcome::default(),
        }
    }

    pub(super) fn run(mut self) -> PartnerOutcome {
        loop {
            let is_all_there = self.until.is_all_there();
            match self.turn(is_all_there) {
                Ok(Next::Again) => {}
                // What was sealed since is left, too, and is tried once at least.
                Ok(Next::Ended) if !is_all_there && !self.context.ends() => {
                    self.servers.iter_mut().for_each(|(_, line)| line.try_soon());
                }
                Ok(Next::Ended) => return self.outcome,
                Err(SendFault::Ledger(fault)) if self.context.ends() && lacks_room(self.context, &fault) => {
                    return self.outcome;
                }
                Err(SendFault::Ledger(fault)) if waits_for_room(self.context, self.until, self.wake, &fault) => {}
                Err(fault) => return self.reporter.stopped(&self.outcome, &fault),
            }
        }
    }

    /// One look at the work and, when there is any, one round of sessions. An error is one that nothing may go on after.
    /// `is_all_there`: nothing more will be sealed, so that a thread without work is at its end.
    fn turn(&mut self, is_all_there: bool) -> Result<Next, SendFault> {
        let mut work = self.work()?;
        self.outcome.left = work.iter().map(|batches| batches.len() as u64).sum();
        if self.context.ends() {
            return Ok(Next::Ended);
        }
        if self.outcome.left == 0 {
            return if is_all_there { self.rest() } else { Ok(self.wait_for_more()) };
        }
        let gate = Gate::new(self.context.clock.as_ref(), self.partner.quiet.as_ref());
        if let Some(end) = gate.quiet_until() {
            return Ok(if is_all_there { self.keep_quiet(end) } else { self.wait_for_more() });
        }
        let mut round = Round::default();
        for server in 0..self.servers.len() {
            if self.try_server(server, &work, &gate, &mut round)? {
                work = self.work()?;
            }
            if round.broke || round.full {
                break;
            }
        }
        if round.reached.is_some() {
            self.context.ledger.tell_and_note(self.context.clock.now())?;
        }
        self.tell(&round, &work);
        if round.full {
            return Ok(self.wait_for_pickup());
        }
        if round.broke || round.reached.is_some() {
            return Ok(Next::Again);
        }
        Ok(self.wait_for_servers(&work))
    }

    /// A session with one server, when it is time for it and there is something to send there. True when there was one:
    /// the work is another then.
    fn try_server(
        &mut self,
        server: usize,
        work: &[Vec<BatchToSend>],
        gate: &Gate<'_>,
        round: &mut Round,
    ) -> Result<bool, SendFault> {
        let work = work_at(self.partner, work, server);
        let Some((address, line)) = self.servers.get_mut(server) else { return Ok(false) };
        let clock = self.context.clock.as_ref();
        if work.iter().all(Vec::is_empty) || line.left(clock) > Length::ZERO {
            return Ok(false);
        }
        let (mut tally, at) = (Tally::default(), (server, *address));
        let sent = session::send(self.context, self.partner, at, &work, gate, &mut line.memory, &mut tally);
        self.outcome.delivered += tally.batches;
        let trouble = match sent {
            Ok(()) => {
                line.reached();
                (round.reached, round.full) = (Some(server), gate.is_full());
                return Ok(true);
            }
            Err(fault) if fault.stops() => return Err(fault),
            Err(fault) => Trouble::at(address, &fault),
        };
        if tally.files > 0 {
            // It goes well, as far as it goes.
            tracing::warn!(partner = %self.partner.id, files = tally.files, "session broke: {}", trouble.what);
            line.reached();
            round.broke = true;
            return Ok(true);
        }
        round.failed = true;
        let (what, clears) = (trouble.what.clone(), leaves_part(trouble.kind));
        let delay = line.failed(trouble, clock);
        tracing::warn!(partner = %self.partner.id, next_try = %delay, "delivery failed: {what}");
        if clears {
            self.clear_parts(at)?;
        }
        Ok(true)
    }

    /// What cannot be removed now is removed by the next try.
    fn clear_parts(&self, at: (usize, &Address)) -> Result<(), SendFault> {
        let work = self.work()?;
        match session::clear(self.context, self.partner, at, &work) {
            Err(fault) if fault.stops() => Err(fault),
            Err(fault) => {
                tracing::warn!(partner = %self.partner.id, "what an upload has left is still there: {fault}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Says how it stands after a round.
    fn tell(&mut self, round: &Round, work: &[Vec<BatchToSend>]) {
        let stuck = self.stuck(work);
        if let Some((trouble, left)) = stuck {
            if round.failed {
                self.reporter.failing(&trouble, self.context.clock.now().after(left));
            }
            self.outcome.fault = Some(trouble.what);
            return;
        }
        if let (Some(server), Some(max), true) = (round.reached, self.partner.remote_files_max, round.full) {
            let why = format!("the partner's directory holds {max} of {max} files, waiting");
            self.reporter.waiting(&self.endpoint(server), why.clone(), None);
            self.reporter.well();
            self.outcome.fault = Some(why);
        } else if let Some(server) = round.reached {
            let before = self.servers.iter().take(server).find_map(|(_, line)| line.trouble());
            let instead_of = before.map(|trouble| trouble.what.clone());
            self.reporter.reached(&self.endpoint(server), instead_of);
            self.reporter.well();
        }
    }

    fn endpoint(&self, server: usize) -> String {
        self.servers.get(server).map_or_else(String::new, |(address, _)| address.endpoint.to_string())
    }

    /// The partner takes files away when it likes; somebody who wakes us is no reason to look all the time.
    fn wait_for_pickup(&self) -> Next {
        if !wait(self.context, self.until, PICKUP_LOOK_MIN, self.wake) {
            return Next::Ended;
        }
        if matches!(self.until, Until::Stopped) && !self.context.ends() {
            self.context.clock.wait(PICKUP_LOOK, self.wake);
        }
        Next::Again
    }

    /// What stands between a feed's next batch and every server that it may go to, and how long until the next try.
    fn stuck(&self, work: &[Vec<BatchToSend>]) -> Option<(Trouble, Length)> {
        work.iter().filter_map(|batches| batches.first()).find_map(|batch| {
            let way = way_of(self.partner, batch);
            let lines = self.servers.iter().enumerate().filter(|(server, _)| way.leads_to(*server));
            let mut lines = lines.map(|(_, (_, line))| line);
            let left = self.time_left(batch);
            let first = lines.next()?.trouble()?;
            lines.all(|line| line.trouble().is_some()).then(|| (first.clone(), left))
        })
    }

    /// How long until a server may be asked that a batch may go to.
    fn time_left(&self, batch: &BatchToSend) -> Length {
        let (way, clock) = (way_of(self.partner, batch), self.context.clock.as_ref());
        let servers = self.servers.iter().enumerate().filter(|(server, _)| way.leads_to(*server));
        servers.map(|(_, (_, line))| line.left(clock)).min().unwrap_or(Length::ZERO)
    }

    /// Nothing came of any session.
    fn wait_for_servers(&mut self, work: &[Vec<BatchToSend>]) -> Next {
        let heads = work.iter().filter_map(|batches| batches.first());
        let left = heads.map(|batch| self.time_left(batch)).min().unwrap_or(Length::ZERO);
        let has_others = !self.partner.standby.is_empty() && matches!(self.until, Until::Stopped);
        let left = if has_others { left.min(OTHERS_LOOK) } else { left };
        if wait(self.context, self.until, left, self.wake) { Next::Again } else { Next::Ended }
    }

    /// There is nothing to do until more is sealed.
    fn wait_for_more(&self) -> Next {
        // Whoever seals is gone when nobody can wake us: nothing more comes.
        if self.wake.recv().is_ok() { Next::Again } else { Next::Ended }
    }

    /// There is nothing to send: a moment to see what was taken.
    fn rest(&mut self) -> Result<Next, SendFault> {
        // Nothing stands between the partner and its files: all are sent, or a person has ended, held or paused them.
        self.reporter.well();
        self.outcome.fault = self.look();
        // An answer that was found may let the next batch go.
        if self.work()?.iter().any(|batches| !batches.is_empty()) {
            return Ok(Next::Again);
        }
        Ok(match self.until {
            Until::Delivered(_) => Next::Ended,
            Until::Stopped => {
                let (context, partner) = (self.context, self.partner);
                let watched = self.servers.iter().enumerate().filter(|(at, _)| is_watched(context, partner, *at));
                let rests = watched.map(|(_, (_, line))| line.memory.rest(context, partner, LONGEST_REST));
                context.clock.wait(rests.min().unwrap_or(LONGEST_REST), self.wake);
                Next::Again
            }
        })
    }

    /// Looks at the partner's directories where it is time. Says what went wrong.
    fn look(&mut self) -> Option<String> {
        let (context, partner) = (self.context, self.partner);
        if partner.quiet.as_ref().is_some_and(|quiet| quiet.end(context.clock.now()).is_some()) {
            return None;
        }
        let mut faults = Vec::new();
        for (server, (address, line)) in self.servers.iter_mut().enumerate() {
            let is_watched = is_watched(context, partner, server);
            end_alarms(context, partner, server, is_watched);
            if is_watched {
                faults.extend(line.memory.look_alone(context, partner, (server, *address)));
            }
        }
        faults.into_iter().next()
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

    /// The batches to send, feed by feed, up to the first that is held. Of what rests there is nothing to send.
    fn work(&self) -> Result<Vec<Vec<BatchToSend>>, SendFault> {
        loop {
            let work = self.recorded_work()?;
            let mut changed = false;
            for batch in work.iter().flatten() {
                changed |= doubt_the_gone(self.context, self.partner, batch)?;
            }
            if !changed {
                return Ok(work);
            }
        }
    }

    fn recorded_work(&self) -> Result<Vec<Vec<BatchToSend>>, LedgerFault> {
        let ledger = self.context.ledger.lock();
        let feeds = self.partner.feeds.iter().filter(|feed| !feed.shadow);
        feeds
            .map(|feed| {
                if ledger.rests(&feed.id)? {
                    return Ok(Vec::new());
                }
                let batches = ledger.batches_to_send(&feed.id, BATCHES_AT_ONCE)?;
                let batches = batches.into_iter().take_while(|batch| !is_held(batch)).collect();
                answers::gate(&ledger, self.partner, &feed.id, batches)
            })
            .collect()
    }
}

fn is_held(batch: &BatchToSend) -> bool {
    batch.is_held || batch.files.iter().any(|file| matches!(file.state, FileState::Held { .. }))
}
