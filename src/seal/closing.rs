//! Which hours of a feed are due: a pure function of the feed's hours, its sources and one moment.
//!
//! The clock alone never seals. An hour closes when its end and the grace have passed *and* every source has been
//! read up to that moment, so a restart after an outage, a backlog or a cron pass never makes on-time records late.

use crate::domain::batch::{BatchState, HeldFrom};
use crate::domain::ids::{Revision, SourceId};
use crate::domain::period::Partition;
use crate::domain::time::{Length, UtcTime};
use crate::feed::definition::{AfterWait, CloseRule, FeedDefinition};
use crate::feed::pending::FeedHours;

/// A source as closing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceView {
    /// Its name.
    pub id: SourceId,
    /// Everything visible up to then has been read.
    pub caught_up_to: UtcTime,
    /// When it gave its last record.
    pub last_at: Option<UtcTime>,
    /// The latest event time it has shown.
    pub last_event: Option<UtcTime>,
    /// A source that is silent for longer is not believed to be empty.
    pub silent_max: Option<Length>,
}

/// How far ahead empty hours are stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Horizon {
    /// Up to the last hour with records: one pass, for cron.
    LastRecord,
    /// Up to the clock.
    Clock,
}

/// An hour that is to be sealed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The hour.
    pub partition: Partition,
    /// What for.
    pub kind: DueKind,
    /// A source was not read up to the end of the hour.
    pub source_incomplete: bool,
}

/// Why an hour is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueKind {
    /// For the first time.
    First,
    /// For the first time, after a person released it: its quarantine is accepted.
    Released(Revision),
    /// Late records of a sealed hour.
    Supplement,
}

/// What closing decides for one feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closing {
    /// Hours to seal, in order.
    pub due: Vec<Due>,
    /// Hours that must wait for a person, and why.
    pub hold: Vec<(Partition, String)>,
    /// Why the next hour does not close although its time has come.
    pub waits_for: Option<String>,
}

/// Most hours that are closed in one go; the rest follows in the next.
const HOURS_AT_ONCE: usize = 4096;

/// Decides which hours of `feed` are due at `now`.
#[must_use]
pub fn closing(feed: &FeedHours, sources: &[SourceView], now: UtcTime, horizon: Horizon) -> Closing {
    let mut closing = Closing::default();
    first_closings(feed, sources, now, horizon, &mut closing);
    reopened(feed, sources, now, horizon, &mut closing);
    closing
}

/// Hours that were never closed, from the feed's first one on.
fn first_closings(feed: &FeedHours, sources: &[SourceView], now: UtcTime, horizon: Horizon, closing: &mut Closing) {
    let Some(mut partition) = next_open(feed) else { return };
    let last_record = feed.pending.keys().next_back().copied();
    let last_start = match horizon {
        Horizon::LastRecord => last_record,
        Horizon::Clock => Some(i64::MAX),
    };
    while last_start.is_some_and(|last| partition.start <= last) && closing.due.len() < HOURS_AT_ONCE {
        let definition = feed.router.version_at(partition.start);
        if definition.ends_at.is_some_and(|end| partition.start_time() >= end) {
            return;
        }
        match readiness(definition, sources, partition, now) {
            Readiness::NotYet => return,
            Readiness::Waits(reason) => {
                closing.waits_for = Some(reason);
                return;
            }
            // Hours close in order, so that a crash in between leaves none behind: what is to be held and what is to
            // be sealed is not decided in one go.
            Readiness::Hold(_) if !closing.due.is_empty() => return,
            Readiness::Ready { .. } if !closing.hold.is_empty() => return,
            Readiness::Hold(reason) => closing.hold.push((partition, reason)),
            Readiness::Ready { source_incomplete } => {
                let empty = !feed.pending.contains_key(&partition.start);
                if let Some(silent) = sources.iter().find(|source| empty && is_silent(source, partition)) {
                    closing.waits_for = Some(format!("source {} gave nothing for longer than silent_max", silent.id));
                    return;
                }
                closing.due.push(Due { partition, kind: DueKind::First, source_incomplete });
            }
        }
        partition = definition.period.next(partition);
    }
}

/// The first hour of a feed that is not closed.
fn next_open(feed: &FeedHours) -> Option<Partition> {
    let at = match feed.closed_second {
        Some(second) => UtcTime::from_seconds(second),
        None => feed.router.starts_at().or_else(|| feed.pending.values().next().map(|h| h.partition.start_time())),
    }?;
    Some(feed.router.version_at(at.seconds()).period.partition_at(at))
}

enum Readiness {
    NotYet,
    Waits(String),
    Hold(String),
    Ready { source_incomplete: bool },
}

fn readiness(definition: &FeedDefinition, sources: &[SourceView], partition: Partition, now: UtcTime) -> Readiness {
    let due_at = partition.end_time().after(definition.grace);
    let ready = Readiness::Ready { source_incomplete: false };
    if let CloseRule::Watermark { lateness, idle } = definition.close {
        let mut watermark = None;
        for source in sources.iter().filter(|source| !is_idle(source, idle, now)) {
            let seen = source.last_event.filter(|_| source.caught_up_to > UtcTime::MIN).unwrap_or(UtcTime::MIN);
            watermark = Some(watermark.map_or(seen, |low: UtcTime| low.min(seen)));
        }
        if let Some(watermark) = watermark {
            return if watermark >= partition.end_time().after(lateness) { ready } else { Readiness::NotYet };
        }
        // Every source is idle: the clock decides.
    }
    if now < due_at {
        return Readiness::NotYet;
    }
    let Some(behind) = sources.iter().filter(|source| source.caught_up_to < due_at).min_by_key(|s| s.caught_up_to)
    else {
        return ready;
    };
    let overdue = definition.wait_max.is_some_and(|wait| now >= due_at.after(wait));
    match (overdue, definition.after_wait) {
        (false, _) => Readiness::Waits(format!("source {} has input that is not read yet", behind.id)),
        (true, AfterWait::Hold) => Readiness::Hold(format!("source {} was not read within wait_max", behind.id)),
        (true, AfterWait::Seal) => Readiness::Ready { source_incomplete: true },
    }
}

fn is_idle(source: &SourceView, idle: Length, now: UtcTime) -> bool {
    source.caught_up_to > UtcTime::MIN && source.last_at.is_none_or(|last| now.since(last) >= idle)
}

fn is_silent(source: &SourceView, partition: Partition) -> bool {
    let Some(silent_max) = source.silent_max else { return false };
    source.last_at.is_none_or(|last| last < partition.end_time().before(silent_max))
}

/// Late records of sealed hours, and hours that a person released.
fn reopened(feed: &FeedHours, sources: &[SourceView], now: UtcTime, horizon: Horizon, closing: &mut Closing) {
    let caught_up = sources.iter().map(|source| source.caught_up_to).min().unwrap_or(now);
    let released = feed.closed.values().filter(|closed| closed.state == BatchState::Open);
    for closed in released {
        let kind = DueKind::Released(closed.revision);
        closing.due.push(Due { partition: closed.partition, kind, source_incomplete: false });
    }
    for hour in feed.pending.values() {
        let closed = feed.closed_second.is_some_and(|second| hour.partition.end <= second);
        let state = feed.closed.get(&hour.partition.start).map(|known| known.state);
        if !closed || matches!(state, Some(BatchState::Open | BatchState::Held(HeldFrom::Open))) {
            continue;
        }
        // One supplement for all that comes within the grace, not one for each record.
        let wait = match horizon {
            Horizon::LastRecord => Length::ZERO,
            Horizon::Clock => feed.router.version_at(hour.partition.start).grace,
        };
        if caught_up >= hour.since && now >= hour.since.after(wait) {
            closing.due.push(Due { partition: hour.partition, kind: DueKind::Supplement, source_incomplete: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::router::FeedRouter;
    use std::sync::Arc;

    const START: i64 = 1_730_599_200;

    fn feed() -> FeedHours {
        let text = r#"
            feed = "p/f"
            [formats]
            out = "kind = \"delimited\"\nrecord = [ { field = \"caller\" } ]\n"
            [settings]
            source = "s"
            format = "out"
            hour_by = "at"
            starts_at = "2024-11-03T02:00:00Z"
            name = "C_{seq:05}.csv"
            grace = "0s"
            wait_max = "1h"
        "#;
        let definition = FeedDefinition::from_stored(text).expect("definition");
        FeedHours::new(FeedRouter::new(vec![(i64::MIN, Arc::new(definition))], None))
    }

    #[test]
    fn hours_to_be_held_are_not_decided_before_the_hours_in_front_of_them_are_sealed() {
        let mut feed = feed();
        let at = |hour: i64| UtcTime::from_seconds(START + hour * 3600).expect("time");
        let id = SourceId::parse("s").expect("source");
        // The source was read up to the end of the first hour, and then for a long time no more.
        let source = SourceView { id, caught_up_to: at(1), last_at: None, last_event: None, silent_max: None };
        let first = closing(&feed, std::slice::from_ref(&source), at(4), Horizon::Clock);
        assert_eq!((first.due.len(), first.hold.len()), (1, 0), "{first:?}");
        feed.closed_second = Some(START + 3600);
        let second = closing(&feed, &[source], at(4), Horizon::Clock);
        assert_eq!((second.due.len(), second.hold.len()), (0, 2), "{second:?}");
        assert!(second.waits_for.is_some());
    }
}
