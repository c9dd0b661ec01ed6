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
    /// A person has paused it: what it holds is not read, and its hours wait.
    pub paused: bool,
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

/// Why an hour is held that a person wanted to be held.
pub const HELD_BACK: &str = "held by order";

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
        let held_back = feed.held_back.contains(&partition.start);
        match readiness(definition, sources, partition, now) {
            Readiness::Ready { .. } if held_back && !closing.due.is_empty() => return,
            Readiness::Ready { .. } if held_back => closing.hold.push((partition, HELD_BACK.to_owned())),
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
    if let Some(paused) = sources.iter().find(|source| source.paused && source.caught_up_to < due_at)
        && now >= due_at
    {
        return Readiness::Waits(format!("source {} is paused", paused.id));
    }
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
    !source.paused && source.caught_up_to > UtcTime::MIN && source.last_at.is_none_or(|last| now.since(last) >= idle)
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
        // One pass has read everything it will read. A program that goes on makes one supplement for all that comes
        // within the grace, not one for each record.
        let is_due = match horizon {
            Horizon::LastRecord => caught_up > UtcTime::MIN,
            Horizon::Clock => {
                let grace = feed.router.version_at(hour.partition.start).grace;
                caught_up >= hour.since && now >= hour.since.after(grace)
            }
        };
        if is_due {
            closing.due.push(Due { partition: hour.partition, kind: DueKind::Supplement, source_incomplete: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Lsn;
    use crate::feed::pending::{ClosedHour, PendingHour};
    use crate::feed::router::FeedRouter;
    use std::sync::Arc;

    const HOUR: i64 = 3600;
    /// 2026-11-01 00:00 UTC.
    const START: i64 = 1_793_491_200;

    fn feed(settings: &str) -> FeedHours {
        let format = "kind = \"delimited\"\nrecord = [{ field = \"a\" }]\n";
        let text = format!(
            "feed = \"p/f\"\n[formats]\nx = '''{format}'''\n[settings]\nsource = [\"one\", \"two\"]\nformat = \"x\"\n\
             hour_by = \"at\"\nstarts_at = \"2026-11-01T00:00:00Z\"\nname = \"{{start:%Y%m%d%H}}_{{seq}}\"\n{settings}"
        );
        let definition = FeedDefinition::from_stored(&text).expect("a definition");
        FeedHours::new(FeedRouter::new(vec![(i64::MIN, Arc::new(definition))], None))
    }

    fn hour(index: i64) -> Partition {
        Partition { start: START + index * HOUR, end: START + (index + 1) * HOUR }
    }

    fn with_records(mut feed: FeedHours, hours: &[i64]) -> FeedHours {
        for index in hours {
            let pending = PendingHour {
                partition: hour(*index),
                records: 1,
                lsns: [Lsn(1)].into_iter().collect(),
                since: at(*index * 60),
                suspects: 0,
            };
            feed.pending.insert(hour(*index).start, pending);
        }
        feed
    }

    /// Minutes after the start.
    fn at(minutes: i64) -> UtcTime {
        UtcTime::from_seconds(START + minutes * 60).expect("range")
    }

    fn source(name: &str, caught_up_to: UtcTime) -> SourceView {
        let id = SourceId::parse(name).expect("name");
        SourceView { id, caught_up_to, last_at: None, last_event: None, silent_max: None, paused: false }
    }

    fn due(closing: &Closing) -> Vec<(i64, DueKind)> {
        closing.due.iter().map(|due| ((due.partition.start - START) / HOUR, due.kind)).collect()
    }

    #[test]
    fn the_clock_alone_never_seals() {
        let feed = with_records(feed("grace = \"10m\""), &[0]);
        let sources = |one, two| [source("one", at(one)), source("two", at(two))];
        let now = at(100);
        assert_eq!(due(&closing(&feed, &sources(100, 69), now, Horizon::Clock)), []);
        let waits = closing(&feed, &sources(100, 69), now, Horizon::Clock).waits_for;
        assert_eq!(waits.as_deref(), Some("source two has input that is not read yet"));
        assert_eq!(due(&closing(&feed, &sources(100, 70), now, Horizon::Clock)), [(0, DueKind::First)]);
        let early = closing(&feed, &sources(69, 69), at(69), Horizon::Clock);
        assert_eq!((due(&early), early.waits_for), (vec![], None), "before end and grace nothing is waited for");
    }

    #[test]
    fn empty_hours_reach_to_the_clock_in_run_and_to_the_last_record_in_once() {
        let feed = with_records(feed(""), &[1]);
        let sources = [source("one", at(250)), source("two", at(250))];
        let kinds = |hours: &[i64]| hours.iter().map(|hour| (*hour, DueKind::First)).collect::<Vec<_>>();
        assert_eq!(due(&closing(&feed, &sources, at(250), Horizon::Clock)), kinds(&[0, 1, 2, 3]));
        assert_eq!(due(&closing(&feed, &sources, at(250), Horizon::LastRecord)), kinds(&[0, 1]));
    }

    #[test]
    fn the_wait_for_a_source_ends_as_declared() {
        let sources = [source("one", at(500)), source("two", UtcTime::MIN)];
        let held = with_records(feed("wait_max = \"2h\""), &[0]);
        assert_eq!(closing(&held, &sources, at(179), Horizon::Clock).hold, []);
        let closed = closing(&held, &sources, at(180), Horizon::Clock);
        assert_eq!((closed.hold.len(), closed.due.len()), (1, 0));
        let sealed = with_records(feed("wait_max = \"2h\"\nafter_wait = \"seal\""), &[0]);
        let closed = closing(&sealed, &sources, at(180), Horizon::Clock);
        assert_eq!(closed.due, [Due { partition: hour(0), kind: DueKind::First, source_incomplete: true }]);
    }

    #[test]
    fn a_watermark_is_the_slowest_source_and_an_idle_one_drops_out() {
        let feed = with_records(feed("close = \"watermark\"\nlateness = \"5m\"\nidle = \"30m\""), &[0]);
        let seen = |name, last_at, last_event| SourceView {
            last_at: Some(at(last_at)),
            last_event: Some(at(last_event)),
            ..source(name, at(last_at))
        };
        let due_at = |sources: &[SourceView], now| due(&closing(&feed, sources, at(now), Horizon::Clock)).len();
        assert_eq!(due_at(&[seen("one", 62, 65), seen("two", 62, 64)], 62), 0, "two is behind");
        assert_eq!(due_at(&[seen("one", 62, 65), seen("two", 62, 65)], 62), 1, "long before the clock would close it");
        assert_eq!(due_at(&[seen("one", 62, 65), seen("two", 20, 20)], 62), 1, "two has been idle for 42 minutes");
        let unread = SourceView { caught_up_to: UtcTime::MIN, ..seen("two", 20, 20) };
        assert_eq!(due_at(&[seen("one", 62, 65), unread], 62), 0, "what is not read yet is not idle");
    }

    #[test]
    fn a_silent_source_is_not_believed_to_be_empty() {
        let mut feed = with_records(feed(""), &[0]);
        feed.pending.clear();
        feed.closed_second = Some(hour(0).end);
        let silent = |last_at| SourceView {
            last_at: Some(at(last_at)),
            silent_max: Some(Length::from_seconds(1800)),
            ..source("one", at(130))
        };
        assert_eq!(due(&closing(&feed, &[silent(89)], at(130), Horizon::Clock)), []);
        assert_eq!(due(&closing(&feed, &[silent(90)], at(130), Horizon::Clock)), [(1, DueKind::First)]);
    }

    #[test]
    fn a_feed_ends_where_it_is_told() {
        let feed = with_records(feed("ends_at = \"2026-11-01T02:00:00Z\""), &[0]);
        let sources = [source("one", at(600)), source("two", at(600))];
        assert_eq!(due(&closing(&feed, &sources, at(600), Horizon::Clock)), [(0, DueKind::First), (1, DueKind::First)]);
    }

    #[test]
    fn late_records_make_one_supplement_and_held_hours_wait() {
        let mut feed = with_records(feed("grace = \"10m\""), &[0, 1]);
        feed.closed_second = Some(hour(1).end);
        let state = BatchState::Held(HeldFrom::Open);
        let held = ClosedHour::new(hour(1), Revision(0), state, Lsn(5));
        feed.closed.insert(hour(1).start, held);
        let sources = [source("one", at(115)), source("two", at(115))];
        assert_eq!(due(&closing(&feed, &sources, at(9), Horizon::Clock)), [], "the grace collects late records");
        assert_eq!(due(&closing(&feed, &sources, at(10), Horizon::Clock)), [(0, DueKind::Supplement)]);
        let looked_before = [source("one", at(-1)), source("two", at(-1))];
        assert_eq!(due(&closing(&feed, &looked_before, at(0), Horizon::LastRecord)), [(0, DueKind::Supplement)]);
        feed.closed.insert(hour(1).start, ClosedHour { state: BatchState::Open, ..held });
        let released = DueKind::Released(Revision(0));
        assert_eq!(due(&closing(&feed, &sources, at(10), Horizon::Clock)), [(1, released), (0, DueKind::Supplement)]);
    }

    #[test]
    fn hours_to_be_held_are_not_decided_before_the_hours_in_front_of_them_are_sealed() {
        let mut feed = feed("wait_max = \"1h\"");
        // The source was read up to the end of the first hour, and then for a long time no more.
        let sources = [source("one", at(60)), source("two", at(60))];
        let first = closing(&feed, &sources, at(240), Horizon::Clock);
        assert_eq!((first.due.len(), first.hold.len()), (1, 0), "{first:?}");
        feed.closed_second = Some(hour(0).end);
        let second = closing(&feed, &sources, at(240), Horizon::Clock);
        assert_eq!((second.due.len(), second.hold.len()), (0, 2), "{second:?}");
        assert!(second.waits_for.is_some());
    }
}
