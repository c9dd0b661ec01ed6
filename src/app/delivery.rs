//! Delivering what is sealed: one thread for each partner, so no partner waits for another.
//!
//! A thread takes the next batches of its partner's feeds in sealing order, opens a session, and sends them. After any
//! fault it drops the session, waits as long as the kind of fault asks for ([`reaction`]) and begins again from what the
//! ledger says; a session that had delivered something begins again at once. A held file holds its feed; the partner's
//! other feeds go on. Where a partner has several servers, each turn tries them in their order ([`route`]).

mod batch;
mod damage;
mod fault;
mod gate;
mod line;
mod notes;
mod reaction;
mod report;
mod route;
mod sender;
mod session;
mod sweep;
mod unpicked;
mod wait;

use super::config::{Config, PartnerConfig};
use super::progress::Progress;
use super::shared_ledger::SharedLedger;
use super::space::Reserve;
use crate::archive::Archive;
use crate::clock::Clock;
use crate::deliver::StoreMark;
use crate::disk::Disk;
use crate::domain::time::Length;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

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
    /// A session may be helped by another one without being told to.
    pub threads: bool,
    /// Set when everything is to stop.
    pub stop: Arc<AtomicBool>,
    /// Set when whoever seals met a fault that nothing may go on after.
    pub given_up: Arc<AtomicBool>,
}

impl DeliveryContext {
    /// Nothing more may be begun.
    fn ends(&self) -> bool {
        [&self.stop, &self.given_up].into_iter().any(|flag| flag.load(Ordering::Relaxed))
    }
}

/// Until when delivering may go on; not set yet while more may be sealed.
pub type Deadline = OnceLock<Instant>;

/// How long a thread goes on.
#[derive(Debug, Clone, Copy)]
pub enum Until<'d> {
    /// Until everything is delivered, at most until then. Before the deadline is set there may be more: whoever seals
    /// it, and sets the deadline, wakes the thread.
    Delivered(&'d Deadline),
    /// Until it is told to stop.
    Stopped,
}

impl Until<'_> {
    /// Nothing more will be sealed than there is, or it ends where nothing is left to do anyway.
    fn is_all_there(self) -> bool {
        match self {
            Self::Delivered(deadline) => deadline.get().is_some(),
            Self::Stopped => true,
        }
    }

    /// True when there is no time for so long a wait.
    fn comes_within(self, wait: Length) -> bool {
        let Self::Delivered(deadline) = self else { return false };
        deadline.get().is_some_and(|deadline| Instant::now() + wait.as_std() >= *deadline)
    }
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
    until: Until<'_>,
    wake: &Receiver<()>,
) -> PartnerOutcome {
    sender::Sender::new(context, partner, until, wake).run()
}
