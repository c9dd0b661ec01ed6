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
use crate::domain::time::{Length, UtcTime};
use crate::ledger::LedgerFault;
use crate::remote::{Remote, RemoteFault, RemotePath};
use std::fmt;

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookFault {
    #[error(transparent)]
    Remote(#[from] RemoteFault),
    #[error("cannot see what lies in {directory}: a file just put there does not show in its listing")]
    Blind { directory: RemotePath },
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    #[error(transparent)]
    Archive(#[from] ArchiveFault),
}

/// When one partner's directory was looked at, and when the next look is due.
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
        delivered: u64,
        connect: impl FnOnce() -> Result<Box<dyn Remote>, E>,
    ) -> Option<String> {
        if !self.is_due(context, partner, delivered) {
            return None;
        }
        match connect() {
            Ok(mut session) => self.look(context, partner, session.as_mut(), delivered),
            Err(fault) => {
                self.last = Some(context.clock.now());
                Some(failed(context, partner, &fault.to_string()))
            }
        }
    }

    /// Looks in the session of a delivery whose work is done, when a look is due. The session is of no use any more.
    pub fn look_after(
        &mut self,
        context: &DeliveryContext,
        partner: &PartnerConfig,
        session: &mut dyn Remote,
        delivered: u64,
    ) {
        if self.is_due(context, partner, delivered) {
            self.look(context, partner, session, delivered);
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
        session: &mut dyn Remote,
        delivered: u64,
    ) -> Option<String> {
        (self.last, self.delivered) = (Some(context.clock.now()), delivered);
        if let Some(rule) = pickup_rule(partner) {
            match look::look(context, partner, rule, session) {
                Ok(report) => alarms::tell(context, partner, rule, &report),
                Err(fault) => return Some(failed(context, partner, &fault.to_string())),
            }
        }
        let rule = partner.answers.as_ref()?;
        let fault = answers::look(context, partner, rule, session).err()?;
        answers::failed(context, partner, &rule.directory, &fault.to_string());
        Some(fault.to_string())
    }
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

fn failed(context: &DeliveryContext, partner: &PartnerConfig, what: &str) -> String {
    match &partner.answers {
        Some(rule) if pickup_rule(partner).is_none() => answers::failed(context, partner, &rule.directory, what),
        Some(_) | None => alarms::failed(context, partner, what),
    }
    what.to_owned()
}
