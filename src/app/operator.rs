//! What persons order about files, hours, partners, feeds and sources, and how it is carried out: between two turns,
//! in one transaction of the ledger, whether the order was typed here or came as a request ([`super::requests`]).
//!
//! Two rules keep the partner's view true:
//! - A number ends as delivered or void. What is void is stated by the next manifest of the feed that is sealed.
//! - A manifest never names a file that never comes: a part file that a manifest lists is void with its whole batch.

mod files;
mod hours;
pub mod waiting;

use super::exporter::Exporter;
use super::fault::ExporterFault;
use super::quarantine::RetryReport;
use crate::domain::batch::{BatchState, HeldFrom};
use crate::domain::ids::{FeedId, PartnerId, Revision, SourceId};
use crate::domain::period::Partition;
use crate::feed::pending::{ClosedHour, FeedHours};
use crate::ledger::operator::{Act, OrderEntry};
use crate::ledger::reports::QuarantineFilter;
use std::fmt;

/// What can rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Nothing is sent to this partner.
    Partner(PartnerId),
    /// Nothing of this feed is sent.
    Feed(FeedId),
    /// This source is not read.
    Source(SourceId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partner(id) => write!(f, "partner {id}"),
            Self::Feed(id) => write!(f, "feed {id}"),
            Self::Source(id) => write!(f, "source {id}"),
        }
    }
}

/// What an order is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An hour of a feed.
    Hour(FeedId, Partition),
    /// A file of a feed.
    File(FeedId, String),
}

impl Target {
    /// The feed.
    #[must_use]
    pub const fn feed(&self) -> &FeedId {
        let (Self::Hour(feed, _) | Self::File(feed, _)) = self;
        feed
    }
}

/// How a person settles a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleAs {
    /// The partner has it.
    Delivered,
    /// It is sent again, under the same name.
    Resend,
}

/// An order.
#[derive(Debug, Clone)]
pub enum Order {
    /// Rest.
    Pause(Subject),
    /// Go on.
    Resume(Subject),
    /// Seal or send nothing of it.
    Hold(Target),
    /// Let it go on.
    Release(Target),
    /// Never send it.
    Void(Target),
    /// Let all records of the feed go that wait to be sealed.
    VoidWaiting(FeedId),
    /// End the doubt about what is held.
    Settle(Target, SettleAs),
    /// End the doubt about everything of the feed.
    SettleAll(FeedId, SettleAs),
    /// Delivered files were taken, which nobody can see.
    PickedUp(Target),
    /// All files of the feed that wait to be picked up were taken.
    AllPickedUp(FeedId),
    /// Let records in quarantine come in again.
    Retry(Vec<QuarantineFilter>),
}

/// What an order has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// False when everything was so already.
    pub changed: bool,
    /// Files that changed.
    pub files: Vec<String>,
    /// Hours that changed as a whole.
    pub hours: u64,
    /// Records that are void by it.
    pub records: u64,
    /// What became of entries in quarantine.
    pub retry: RetryReport,
}

/// The request that an order came by.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its name.
    pub id: &'a str,
    /// Puts into a text what the request is told; it is recorded with the order.
    pub tell: fn(&Done) -> String,
}

/// Why an order is not carried out: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Refusal {
    /// What stands against it.
    pub what: String,
    /// What leads on.
    pub advice: String,
}

impl Refusal {
    fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }
}

/// What is to be recorded, and what is told then.
type Change = (Vec<Act>, Done);
/// The same, or why not.
type Judged = Result<Change, Refusal>;

impl Exporter {
    /// Carries out an order, once, with the request that it came by.
    ///
    /// # Errors
    /// [`ExporterFault`] when the ledger or the spool fails; nothing was changed then.
    pub fn order(
        &mut self,
        order: &Order,
        reason: &str,
        request: Option<Asked<'_>>,
    ) -> Result<Result<Done, Refusal>, ExporterFault> {
        let now = self.clock.now();
        let retry = if let Order::Retry(filters) = order { Some(self.retry_all(filters)?) } else { None };
        // The deliveries wait meanwhile: what is judged is what is changed.
        let mut ledger = self.ledger.lock();
        let (acts, done) = match (order, retry) {
            (_, Some(retry)) => (Vec::new(), Done { changed: !retry.retried.is_empty(), retry, ..Done::default() }),
            (order, None) => match self.judge_order(&ledger, order)? {
                Ok(judged) => judged,
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        let told = request.map(|asked| (asked.id, (asked.tell)(&done)));
        let request = told.as_ref().map(|(id, outcome)| (*id, outcome.as_str()));
        let entry = OrderEntry { acts, reason, request };
        if !entry.acts.is_empty() || request.is_some() {
            ledger.record_order(&entry, now)?;
        }
        drop(ledger);
        for act in &entry.acts {
            self.note_act(act);
        }
        self.tell_log()?;
        if done.changed {
            tracing::info!(order = ?order, reason, "ordered");
        }
        Ok(Ok(done))
    }

    fn retry_all(&mut self, filters: &[QuarantineFilter]) -> Result<RetryReport, ExporterFault> {
        let mut report = RetryReport::default();
        for filter in filters {
            let one = self.retry(filter)?;
            report.retried.extend(one.retried);
            report.stay.extend(one.stay);
        }
        Ok(report)
    }

    fn judge_order(&self, ledger: &crate::ledger::Ledger, order: &Order) -> Result<Judged, ExporterFault> {
        let at = self.clock.now();
        Ok(match order {
            Order::Pause(subject) => {
                let name = subject.to_string();
                Ok(once(!ledger.is_paused(&name)?, Act::Pause(name)))
            }
            Order::Resume(subject) => {
                let name = subject.to_string();
                Ok(once(ledger.is_paused(&name)?, Act::Resume(name)))
            }
            Order::Hold(Target::Hour(feed, hour)) => hours::hold(ledger, self.feed_hours(feed), feed, *hour)?,
            Order::Release(Target::Hour(feed, hour)) => {
                let answers = self.config.partner(&feed.partner).is_some_and(|partner| partner.answers.is_some());
                hours::release(ledger, self.feed_hours(feed), feed, *hour, answers)?
            }
            Order::Void(Target::Hour(feed, hour)) => {
                hours::void(ledger, self.feed_hours(feed), feed, *hour, self.applied.next())?
            }
            Order::Hold(Target::File(feed, name)) => files::hold(ledger, feed, name)?,
            Order::Release(Target::File(feed, name)) => files::release(ledger, feed, name)?,
            Order::Void(Target::File(feed, name)) => files::void(ledger, feed, name)?,
            Order::VoidWaiting(feed) => waiting::void_all(ledger, feed, self.applied.next())?,
            Order::PickedUp(target) => files::picked_up(ledger, target.feed(), Some(target))?,
            Order::AllPickedUp(feed) => files::picked_up(ledger, feed, None)?,
            Order::Settle(target, how) => {
                files::settle(ledger, target, *how, &|name| self.settled(target, name, *how, at))?
            }
            Order::SettleAll(feed, how) => {
                let target = Target::File(feed.clone(), String::new());
                files::settle_all(ledger, feed, &|name| self.settled(&target, name, *how, at))?
            }
            // It has been carried out.
            Order::Retry(_) => Ok(Change::default()),
        })
    }

    fn feed_hours(&self, id: &FeedId) -> Option<&FeedHours> {
        self.feeds.iter().find(|feed| feed.id() == id)
    }

    /// The feeds learn what the ledger was told.
    fn note_act(&mut self, act: &Act) {
        let id = match act {
            Act::HoldBack(feed, _) | Act::LetGo(feed, _) => feed,
            Act::Reopen { id, .. } => &id.feed,
            Act::VoidWaiting(hour) => &hour.feed,
            Act::Pause(_) | Act::Resume(_) | Act::Files { .. } | Act::SettleAnswer(..) | Act::PickedUp(_) => return,
        };
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.id() == id) else { return };
        match act {
            Act::HoldBack(_, hour) => {
                feed.held_back.insert(hour.start);
            }
            Act::LetGo(_, hour) => {
                feed.held_back.remove(&hour.start);
            }
            Act::Reopen { id, was_ordered } => {
                if *was_ordered {
                    feed.held_back.remove(&id.partition.start);
                }
                if let Some(closed) = feed.closed.get(&id.partition.start).copied() {
                    feed.close(ClosedHour { state: BatchState::Open, ..closed });
                }
            }
            Act::VoidWaiting(hour) => {
                feed.held_back.remove(&hour.partition.start);
                let known = feed.closed.get(&hour.partition.start).copied();
                let open =
                    |closed: &ClosedHour| matches!(closed.state, BatchState::Open | BatchState::Held(HeldFrom::Open));
                let state = known.filter(|known| !open(known)).map_or(BatchState::Void, |known| known.state);
                let revision = known.map_or(Revision(0), |known| known.revision);
                feed.close(ClosedHour::new(hour.partition, revision, state, hour.cut));
                feed.closed_second = feed.closed_second.max(Some(hour.partition.end));
            }
            Act::Pause(_) | Act::Resume(_) | Act::Files { .. } | Act::SettleAnswer(..) | Act::PickedUp(_) => {}
        }
    }
}

/// An act that is needed or not.
fn once(needed: bool, act: Act) -> Change {
    let acts = if needed { vec![act] } else { Vec::new() };
    (acts, Done { changed: needed, ..Done::default() })
}
