//! Watching the partner's directory: which of our files are still there, which were taken, and what else lies there.
//!
//! A partner's delivery thread looks, so that a server which allows one login gets one: in its session when everything
//! was sent, and in a session of its own while nothing is to be sent. A look that fails is tried again at its next time
//! and keeps no file from being delivered.
//!
//! - [`compare`]: what a listing says about the files of a batch. Pure.
//! - [`look`]: one look: the listing, the proof that it shows what is there, what becomes known, what is removed.
//! - [`alarms`]: what a person must know of it.
//!
//! The partner's answers are looked for at the same time: [`super::answers`].

mod alarms;
mod compare;
mod look;

use super::answers;
use super::config::{PartnerConfig, PickupRule};
use super::delivery::DeliveryContext;
use crate::archive::ArchiveFault;
use crate::domain::ids::FeedId;
use crate::domain::time::{Length, UtcTime};
use crate::ledger::LedgerFault;
use crate::remote::{Address, Remote, RemoteFault, RemotePath};
use std::fmt;

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookFault {
    #[error(transparent)]
    Remote(#[from] RemoteFault),
    #[error("{directory}: {fault}")]
    Closed { directory: RemotePath, fault: RemoteFault },
    #[error("cannot see what lies in {directory}: a file just put there does not show in its listing")]
    Blind { directory: RemotePath },
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    #[error(transparent)]
    Archive(#[from] ArchiveFault),
}

/// One of a partner's servers: its number and where it is.
pub type Server<'a> = (usize, &'a Address);

/// When the directory at one of a partner's servers was looked at, and when the next look is due.
#[derive(Debug, Default)]
pub struct Watch {
    last: Option<UtcTime>,
    delivered: u64,
}

impl Watch {
    /// How long nothing needs to be looked at: at most `longest`.
    #[must_use]
    pub fn rest(&self, context: &DeliveryContext, partner: &PartnerConfig, longest: Length) -> Length {
        let Some(every) = look_every(partner) else { return longest };
        let next = self.last.map_or(UtcTime::MIN, |last| last.after(every));
        next.since(context.clock.now()).clamp(Length::from_seconds(1), longest)
    }

    /// Looks in a session of its own, when a look is due; `delivered` batches were delivered by now. Says what went wrong.
    pub fn look_alone<E: fmt::Display>(
        &mut self,
        context: &DeliveryContext,
        partner: &PartnerConfig,
        server: Server<'_>,
        delivered: u64,
        connect: impl FnOnce() -> Result<Box<dyn Remote>, E>,
    ) -> Option<String> {
        if !self.is_due(context, partner, delivered) {
            return None;
        }
        match connect() {
            Ok(mut session) => self.look(context, partner, server, session.as_mut(), delivered),
            Err(fault) => {
                self.last = Some(context.clock.now());
                Some(failed(context, partner, server, &fault.to_string()))
            }
        }
    }

    /// Looks in the session of a delivery whose work is done, when a look is due. The session is of no use any more.
    pub fn look_after(
        &mut self,
        context: &DeliveryContext,
        partner: &PartnerConfig,
        server: Server<'_>,
        session: &mut dyn Remote,
        delivered: u64,
    ) {
        if self.is_due(context, partner, delivered) {
            self.look(context, partner, server, session, delivered);
        }
    }

    /// True when the partner's directory is to be looked at now: the time has come, or something was delivered since.
    fn is_due(&self, context: &DeliveryContext, partner: &PartnerConfig, delivered: u64) -> bool {
        let Some(every) = look_every(partner) else { return false };
        let now = context.clock.now();
        // A wall clock that was set back must not end the looks.
        let waited = self.last.is_none_or(|last| now < last || now.since(last) >= every);
        let rests = || context.ledger.lock().is_paused(&format!("partner {}", partner.id)).unwrap_or(true);
        (waited || delivered > self.delivered) && !rests()
    }

    fn look(
        &mut self,
        context: &DeliveryContext,
        partner: &PartnerConfig,
        server: Server<'_>,
        session: &mut dyn Remote,
        delivered: u64,
    ) -> Option<String> {
        (self.last, self.delivered) = (Some(context.clock.now()), delivered);
        if let Some(rule) = pickup_rule(partner) {
            match look::look(context, partner, rule, server, session) {
                Ok(report) => alarms::tell(context, partner, rule, server, &report),
                Err(fault) => return Some(failed(context, partner, server, &fault.to_string())),
            }
        }
        let rule = partner.answers.as_ref()?;
        let fault = answers::look(context, partner, rule, server.0, session).err()?;
        answers::failed(context, partner, server.0, &rule.directory, &fault.to_string());
        Some(fault.to_string())
    }
}

/// Whether a server is to be looked at while nothing is sent: the first always, another as long as files of ours wait there.
pub(super) fn is_watched(context: &DeliveryContext, partner: &PartnerConfig, server: usize) -> bool {
    let ledger = context.ledger.lock();
    let waits_here = |feed: &FeedId| {
        let servers = ledger.waiting_servers(feed);
        servers.map_or(true, |servers| servers.iter().any(|at| partner.server_of(at) == Some(server)))
    };
    server == 0 || look_every(partner).is_some() && partner.feeds.iter().any(|feed| waits_here(&feed.id))
}

/// Ends the alarms about what is not looked at any more.
pub(super) fn end_alarms(context: &DeliveryContext, partner: &PartnerConfig, server: usize, is_watched: bool) {
    if !is_watched || pickup_rule(partner).is_none() {
        alarms::replace(context, partner, server, &[]);
    }
    if !is_watched || partner.answers.is_none() {
        answers::replace(context, partner, server, &[]);
    }
}

/// What the alarms of a look at a server are about: each server has its own.
pub(super) fn subject(partner: &PartnerConfig, what: &str, server: usize) -> String {
    let at = if server == 0 { String::new() } else { format!(" at {}", partner.server_label(server)) };
    format!("partner {} {what}{at}", partner.id)
}

/// The rule of a partner whose directory is watched.
fn pickup_rule(partner: &PartnerConfig) -> Option<&PickupRule> {
    partner.pickup.as_ref().filter(|rule| rule.looks())
}

/// The time between two looks for files that were taken, and for answers.
fn look_every(partner: &PartnerConfig) -> Option<Length> {
    let answers = partner.answers.as_ref().map(|rule| rule.look_every);
    pickup_rule(partner).map(|rule| rule.look_every).into_iter().chain(answers).min()
}

fn failed(context: &DeliveryContext, partner: &PartnerConfig, server: Server<'_>, what: &str) -> String {
    match &partner.answers {
        Some(rule) if pickup_rule(partner).is_none() => {
            answers::failed(context, partner, server.0, &rule.directory, what);
        }
        Some(_) | None => alarms::failed(context, partner, server, what),
    }
    what.to_owned()
}
