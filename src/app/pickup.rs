//! Watching the partner's directory: which of our files are still there, which were taken, and what else lies there.
//!
//! A partner's delivery thread looks, so that a server which allows one login gets one: in its session when everything
//! was sent, and in a session of its own while nothing is to be sent. A look that fails is tried again at its next time
//! and keeps no file from being delivered.
//!
//! - [`compare`]: what a listing says about the files of a batch. Pure.
//! - [`look`]: one look: the listing, the proof that it shows what is there, what becomes known, what is removed.
//! - [`alarms`]: what a person must know of it.

mod alarms;
mod compare;
mod look;

use super::config::{PartnerConfig, PickupRule};
use super::delivery::DeliveryContext;
use crate::domain::time::{Length, UtcTime};
use crate::ledger::LedgerFault;
use crate::remote::{Remote, RemoteFault, RemotePath};
use std::fmt;

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
enum LookFault {
    #[error(transparent)]
    Remote(#[from] RemoteFault),
    #[error("cannot see what lies in {directory}: a file just put there does not show in its listing")]
    Blind { directory: RemotePath },
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
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
        let Some(rule) = partner.pickup.as_ref().filter(|rule| rule.looks()) else { return longest };
        let next = self.last.map_or(UtcTime::MIN, |last| last.after(rule.look_every));
        next.since(context.clock.now()).clamp(Length::from_seconds(1), longest)
    }

    /// Looks in a session of its own, when a look is due; `delivered` batches were delivered by now. Says what went wrong.
    pub fn look_alone<S, E: fmt::Display>(
        &mut self,
        context: &DeliveryContext,
        partner: &PartnerConfig,
        delivered: u64,
        connect: impl FnOnce() -> Result<S, E>,
    ) -> Option<String>
    where
        S: AsMut<dyn Remote>,
    {
        let rule = self.due(context, partner, delivered)?;
        match connect() {
            Ok(mut session) => self.look(context, partner, rule, session.as_mut(), delivered),
            Err(fault) => {
                self.last = Some(context.clock.now());
                alarms::failed(context, partner, &fault.to_string());
                Some(fault.to_string())
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
        if let Some(rule) = self.due(context, partner, delivered) {
            self.look(context, partner, rule, session, delivered);
        }
    }

    /// The rule of a partner whose directory is to be looked at now: the time has come, or something was delivered since.
    fn due<'p>(&self, context: &DeliveryContext, partner: &'p PartnerConfig, delivered: u64) -> Option<&'p PickupRule> {
        let rule = partner.pickup.as_ref().filter(|rule| rule.looks())?;
        let now = context.clock.now();
        // A wall clock that was set back must not end the looks.
        let waited = self.last.is_none_or(|last| now < last || now.since(last) >= rule.look_every);
        let rests = || context.ledger.lock().is_paused(&format!("partner {}", partner.id)).unwrap_or(true);
        ((waited || delivered > self.delivered) && !rests()).then_some(rule)
    }

    fn look(
        &mut self,
        context: &DeliveryContext,
        partner: &PartnerConfig,
        rule: &PickupRule,
        session: &mut dyn Remote,
        delivered: u64,
    ) -> Option<String> {
        (self.last, self.delivered) = (Some(context.clock.now()), delivered);
        match look::look(context, partner, rule, session) {
            Ok(report) => {
                alarms::tell(context, partner, rule, &report);
                None
            }
            Err(fault) => {
                alarms::failed(context, partner, &fault.to_string());
                Some(fault.to_string())
            }
        }
    }
}
