//! Letting records go that wait to be sealed: the way out when a feed was taken out of the configuration, or given
//! other sources, while records of it wait. Then the exporter does not start, and the order is carried out without it.

use super::hours::waiting_hour;
use super::{Done, Judged, Refusal};
use crate::app::beside::Beside;
use crate::app::config::Config;
use crate::app::exporter::World;
use crate::app::fault::ExporterFault;
use crate::app::store::Store;
use crate::domain::ids::{FeedId, Lsn};
use crate::domain::period::Partition;
use crate::feed::definition::FeedDefinition;
use crate::ledger::operator::{Act, OrderEntry};
use crate::ledger::{Ledger, LedgerFault};

/// Empty hours between those with records are void with them, up to so many.
const HOURS_MAX: usize = 100_000;

/// Carries out the order for a store that no exporter can open.
///
/// # Errors
/// [`ExporterFault`]; nothing was changed then.
pub fn let_go(
    config: &Config,
    world: &World,
    feed: &FeedId,
    reason: &str,
) -> Result<Result<Done, Refusal>, ExporterFault> {
    let mut store = Store::open(&world.disk, &config.state, world.limits, &Beside::of(config))?;
    // Frames behind what the ledger knows are not counted yet: they are not let go unseen.
    let cut = store.ledger.applied()?.next();
    let (acts, done) = match void_all(&store.ledger, feed, cut)? {
        Ok(judged) => judged,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if done.changed {
        store.ledger.record_order(&OrderEntry { acts, reason, request: None }, world.clock.now())?;
    }
    Ok(Ok(done))
}

/// All records of a feed that wait, hour by hour.
pub(super) fn void_all(ledger: &Ledger, feed: &FeedId, cut: Lsn) -> Result<Judged, LedgerFault> {
    if !ledger.known_feeds()?.contains(feed) {
        let what = format!("nothing is known about a feed {feed}");
        return Ok(Err(Refusal::new(what, "`hourdrop hours` shows the feeds that have hours")));
    }
    let waiting = ledger.waiting_hours(feed)?;
    let (Some((first, _)), Some((last, _))) = (waiting.first(), waiting.last()) else {
        return Ok(Ok((Vec::new(), Done::default())));
    };
    let mut hours: Vec<(Partition, u64)> = Vec::new();
    let begin = ledger.progress(feed)?.closed_second.unwrap_or(first.start);
    hours.extend(empty_hours(ledger, feed, begin, last.start)?.into_iter().map(|hour| (hour, 0)));
    hours.retain(|(hour, _)| !waiting.iter().any(|(found, _)| found.start == hour.start));
    hours.extend(waiting);
    hours.sort_by_key(|(hour, _)| hour.start);
    let mut done = Done { changed: true, ..Done::default() };
    let mut acts = Vec::new();
    for (partition, records) in hours {
        done.hours += 1;
        done.records += records;
        acts.push(Act::VoidWaiting(waiting_hour(ledger, feed, partition, records, cut)?));
    }
    Ok(Ok((acts, done)))
}

/// The hours of a feed that begin in `[from, to)`, by the definition it had last.
fn empty_hours(ledger: &Ledger, feed: &FeedId, from: i64, to: i64) -> Result<Vec<Partition>, LedgerFault> {
    let versions = ledger.definitions(feed)?;
    let last = versions.last().and_then(|version| FeedDefinition::from_stored(&version.text).ok());
    let (Some(definition), Some(begin)) = (last, crate::domain::time::UtcTime::from_seconds(from)) else {
        return Ok(Vec::new());
    };
    let mut hour = definition.period.partition_at(begin);
    let mut hours = Vec::new();
    while hour.start < to && hours.len() < HOURS_MAX {
        if hour.start >= from {
            hours.push(hour);
        }
        hour = definition.period.next(hour);
    }
    Ok(hours)
}
