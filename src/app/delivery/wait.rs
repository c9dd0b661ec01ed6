//! Waiting: before the next try, and for room in the ledger.

use super::{DeliveryContext, Until};
use crate::app::space::ledger_lacks_room;
use crate::clock::Clock;
use crate::domain::time::Length;
use crate::ledger::LedgerFault;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// A time to come, that no step of the wall clock moves. Where the machine's uptime stands still, as on clocks of tests,
/// its own time counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    begun: Instant,
    up: Length,
    length: Length,
}

impl Due {
    pub(super) fn after(clock: &dyn Clock, length: Length) -> Self {
        Self { begun: Instant::now(), up: clock.uptime(), length }
    }

    /// How long until then; zero when it has come.
    pub(super) fn left(&self, clock: &dyn Clock) -> Length {
        let up = clock.uptime().as_std().saturating_sub(self.up.as_std());
        let left = self.length.as_std().saturating_sub(up.max(self.begun.elapsed()));
        Length::from_nanos(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Waits before the next try; false when there is no time left for one. Somebody who wakes us has new work, which is no
/// reason to try again early.
pub(super) fn wait(context: &DeliveryContext, until: Until<'_>, delay: Length, wake: &Receiver<()>) -> bool {
    let due = Due::after(context.clock.as_ref(), delay);
    while !context.ends() {
        let left = due.left(context.clock.as_ref());
        if until.comes_within(left) {
            return false;
        }
        if left == Length::ZERO {
            break;
        }
        // Not longer, so that it is noticed when everything is to stop; not shorter, for a clock that does not pass.
        let step = left.min(Length::from_seconds(5)).max(Length::from_nanos(1_000_000));
        context.clock.wait(step, wake);
    }
    true
}

/// Waits a moment when the ledger has no room. False when it has, or when there is no time left for another try.
pub(super) fn waits_for_room(
    context: &DeliveryContext,
    until: Until<'_>,
    wake: &Receiver<()>,
    fault: &LedgerFault,
) -> bool {
    lacks_room(context, fault) && wait(context, until, Length::from_seconds(1), wake)
}

/// True when the ledger has no room. Then the reserve is given up for it.
pub(super) fn lacks_room(context: &DeliveryContext, fault: &LedgerFault) -> bool {
    let lacks_room = ledger_lacks_room(context.disk.as_ref(), &context.config.state, fault);
    if lacks_room && let Err(fault) = context.reserve.give() {
        tracing::error!("cannot give up the reserve: {fault}");
    }
    lacks_room
}
