//! One look at everything: how far each feed is, what waits, and what needs a person.
//!
//! An hour is overdue when its end lies more than the feed's `deadline` in the past and it is not with the partner. Only
//! hours that the ledger knows count: with `once`, nobody expects hours after the last record.

use super::FeedBook;
use super::hours::{Completeness, Hour, completeness, hours, is_done, sum};
use crate::domain::batch::BatchState;
use crate::domain::ids::{FeedId, Revision};
use crate::domain::period::Partition;
use crate::domain::runs::Runs;
use crate::domain::time::{Length, UtcTime};
use crate::feed::definition::{CloseRule, FeedDefinition};
use crate::ledger::contact::Contact;
use crate::ledger::intake::Alarm;
use crate::ledger::operator::{HeldBack, Paused};
use crate::ledger::reports::{FileRow, SourceTotals};
use crate::ledger::sums::{HourSum, Taking};
use std::sync::Arc;

/// When the next hour of a feed closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextClose {
    /// At this time, if its sources have been read that far.
    At(UtcTime),
    /// It could close now: the next pass does it, or a source has to be read first.
    Due(Partition),
    /// When every source has shown later records.
    Watermark,
    /// The feed has ended.
    Ended,
}

/// How one feed is doing.
#[derive(Debug, Clone)]
pub struct FeedStatus {
    /// The feed.
    pub definition: Arc<FeedDefinition>,
    /// False for a feed that the configuration does not have any more.
    pub configured: bool,
    /// Its complete hours from the first on.
    pub complete: Option<Completeness>,
    /// Hours that wait for a person.
    pub held: Vec<Partition>,
    /// Closed hours that are not with the partner and not held.
    pub behind: u64,
    /// Records in hours that are not closed.
    pub pending: u64,
    /// What the partner has taken; `None` when nothing is expected of it.
    pub taken: Option<Taking>,
    /// Files in the archive that are not delivered, and their bytes.
    pub backlog: (u64, u64),
    /// When the next hour closes.
    pub next_close: NextClose,
    /// Hours that should be with the partner by now and are not held.
    pub overdue: Vec<Partition>,
    /// Numbers of part files that are void, in order.
    pub void_numbers: Runs,
    /// Numbers of part files and manifests that no file has and that are not void.
    pub missing_numbers: u64,
    /// Files of which nobody knows whether they arrived.
    pub in_doubt: u64,
    /// Hours that the ledger knows.
    pub hours: u64,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A standing alarm.
    Alarm(Alarm),
    /// A held hour.
    HeldHour {
        /// Whose.
        feed: FeedId,
        /// Which hour.
        partition: Partition,
        /// Which revision.
        revision: Revision,
        /// Why.
        reason: String,
    },
    /// A held file.
    HeldFile {
        /// Whose.
        feed: FeedId,
        /// Of which hour.
        partition: Partition,
        /// Its name.
        name: String,
        /// Why, in the ledger's word.
        reason: String,
    },
    /// Hours that should be with the partner by now.
    Overdue {
        /// Whose.
        feed: FeedId,
        /// The first of them.
        first: Partition,
        /// How many.
        hours: u64,
        /// How long after its end an hour is expected.
        deadline: Length,
    },
}

/// How the way to a partner is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerStatus {
    /// The partner.
    pub name: String,
    /// How its server was met last; `None` when it was never asked.
    pub contact: Option<Contact>,
}

/// How everything is doing.
#[derive(Debug, Clone)]
pub struct StatusReport {
    /// As of this moment.
    pub now: UtcTime,
    /// The feeds.
    pub feeds: Vec<FeedStatus>,
    /// The sources that gave something.
    pub sources: Vec<SourceTotals>,
    /// The partners of the configuration.
    pub partners: Vec<PartnerStatus>,
    /// What needs a person.
    pub needs: Vec<Need>,
    /// What rests because a person said so.
    pub paused: Vec<Paused>,
    /// Open hours that are to be held because a person said so.
    pub held_back: Vec<HeldBack>,
}

/// Puts the report together.
#[must_use]
pub fn status(books: &[FeedBook], sources: Vec<SourceTotals>, alarms: Vec<Alarm>, now: UtcTime) -> StatusReport {
    let mut needs: Vec<Need> = alarms.into_iter().map(Need::Alarm).collect();
    let mut feeds = Vec::new();
    for book in books {
        let hours = hours(book);
        needs.extend(held(book, &hours));
        let feed = feed_status(book, &hours, now);
        needs.extend(feed.overdue.first().map(|first| Need::Overdue {
            feed: book.definition.id.clone(),
            first: *first,
            hours: feed.overdue.len() as u64,
            deadline: book.definition.deadline,
        }));
        feeds.push(feed);
    }
    StatusReport { now, feeds, sources, partners: Vec::new(), needs, paused: Vec::new(), held_back: Vec::new() }
}

fn feed_status(book: &FeedBook, hours: &[Hour<'_>], now: UtcTime) -> FeedStatus {
    let waiting =
        |hour: &&Hour<'_>| !hour.is_held() && !hour.is_open() && !hour.batches.iter().all(|b| is_done(b.state));
    let undelivered = book.files.iter().filter(|file| is_undelivered(file));
    let known = sum(hours);
    let sums = || book.sums.iter().chain(&known);
    let numbers = |of: fn(&HourSum) -> &Runs| Runs::joined(sums().map(of));
    let missing = [numbers(|sum| &sum.part_numbers), numbers(|sum| &sum.manifest_numbers)];
    FeedStatus {
        definition: Arc::clone(&book.definition),
        configured: book.configured,
        complete: completeness(&book.sums, hours),
        held: hours.iter().filter(|hour| hour.is_held()).map(|hour| hour.partition).collect(),
        behind: hours.iter().filter(waiting).count() as u64,
        pending: hours.iter().filter(|hour| hour.is_open()).map(Hour::pending).sum(),
        backlog: undelivered.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.bytes.unwrap_or(0))),
        taken: book.expects_pickup.then(|| sums().fold(Taking::default(), |taken, sum| taken.plus(sum.taken))),
        next_close: next_close(&book.definition, hours, now),
        overdue: hours
            .iter()
            .filter(|hour| !hour.is_held() && hour.is_overdue(book.definition.deadline, now))
            .map(|hour| hour.partition)
            .collect(),
        void_numbers: numbers(|sum| &sum.void_numbers),
        missing_numbers: missing.iter().map(Runs::missing).sum(),
        in_doubt: book.files.iter().filter(|file| is_in_doubt(file)).count() as u64,
        hours: sums().map(|sum| sum.hours).sum(),
    }
}

/// True for a file in the archive that is to be delivered.
pub(super) fn is_undelivered(file: &FileRow) -> bool {
    file.bytes.is_some() && !matches!(file.state.as_str(), "delivered" | "shadow" | "planned" | "void")
}

/// True for a file of which nobody knows whether it arrived.
pub(super) fn is_in_doubt(file: &FileRow) -> bool {
    file.reason.as_deref() == Some("in doubt")
}

fn next_close(definition: &FeedDefinition, hours: &[Hour<'_>], now: UtcTime) -> NextClose {
    let open = hours.iter().find(|hour| hour.is_open() && !hour.is_held());
    if open.is_none() && definition.ends_at.is_some_and(|end| end <= now) {
        return NextClose::Ended;
    }
    if definition.close != CloseRule::Clock {
        return NextClose::Watermark;
    }
    let current = || definition.period.partition_at(definition.starts_at.map_or(now, |start| start.max(now)));
    let partition = open.map_or_else(current, |hour| hour.partition);
    let at = partition.end_time().after(definition.grace);
    if at <= now { NextClose::Due(partition) } else { NextClose::At(at) }
}

/// The held hours and files of a feed; a file stands for its hour.
fn held(book: &FeedBook, hours: &[Hour<'_>]) -> Vec<Need> {
    let feed = &book.definition.id;
    let mut needs = Vec::new();
    for hour in hours {
        for batch in hour.batches.iter().filter(|batch| matches!(batch.state, BatchState::Held(_))) {
            let files = hour.files.iter().filter(|file| file.revision == batch.revision && file.state == "held");
            let before = needs.len();
            // An hour that was held by order is one thing, whatever the number of its files.
            let files = files.filter(|file| batch.reason.is_none() || file.reason.as_deref() != Some("ordered"));
            needs.extend(files.map(|file| Need::HeldFile {
                feed: feed.clone(),
                partition: hour.partition,
                name: file.name.clone(),
                reason: file.reason.clone().unwrap_or_default(),
            }));
            if needs.len() == before {
                needs.push(Need::HeldHour {
                    feed: feed.clone(),
                    partition: hour.partition,
                    revision: batch.revision,
                    reason: batch.reason.clone().unwrap_or_default(),
                });
            }
        }
    }
    needs
}
