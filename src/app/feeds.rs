//! The feeds with their stored definitions and their open hours, as they stand when the program starts.
//!
//! A changed definition does not touch hours that have begun: it applies from the first hour behind everything that
//! is pending, closed or current. A feed that has done nothing yet takes its new definition as a whole. Supplements and
//! released hours are written by the definition of the day, unless it cuts time in another way: what is sent now is
//! written as the partner reads it now, and a mended format takes what an earlier one could not.

use super::fault::ExporterFault;
use crate::domain::ids::Lsn;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::feed::pending::{ClosedHour, FeedHours};
use crate::feed::router::FeedRouter;
use crate::ledger::Ledger;
use crate::ledger::batches::StoredDefinition;
use std::sync::Arc;

/// Loads the feed of a definition: versions, closed hours, how far it came. Pending hours come from the spool.
///
/// # Errors
/// [`ExporterFault`] when the ledger cannot be read or holds a definition that this program does not understand.
pub fn load(
    ledger: &mut Ledger,
    definition: &Arc<FeedDefinition>,
    first_lsn: Lsn,
    is_fresh: bool,
    now: UtcTime,
) -> Result<FeedHours, ExporterFault> {
    let stored = ledger.definitions(&definition.id)?;
    if stored.is_empty() {
        let starts_at = if is_fresh { None } else { start_of_added(definition, first_lsn, now) };
        add(ledger, definition, i64::MIN, starts_at, now)?;
    }
    known(ledger, definition, first_lsn)
}

/// The feed as the ledger knows it; nothing is written.
///
/// # Errors
/// As [`load`].
pub fn known(ledger: &Ledger, definition: &Arc<FeedDefinition>, first_lsn: Lsn) -> Result<FeedHours, ExporterFault> {
    let stored = ledger.definitions(&definition.id)?;
    let progress = ledger.progress(&definition.id)?;
    let mut versions = Vec::new();
    for version in &stored {
        versions.push((version.from_second, understood(definition, version)?));
    }
    if versions.is_empty() {
        versions.push((i64::MIN, Arc::clone(definition)));
    }
    let mut feed = FeedHours::new(FeedRouter::new(versions, progress.starts_at));
    feed.closed_second = progress.closed_second;
    for batch in ledger.batches_cut_from(&definition.id, first_lsn)? {
        let id = batch.id;
        feed.close(ClosedHour::new(id.partition, id.revision, batch.state, batch.cut));
    }
    let held_back = ledger.held_back()?.into_iter().filter(|held| held.feed == definition.id);
    feed.held_back = held_back.map(|held| held.partition.start).collect();
    Ok(feed)
}

/// Where a feed begins that is added when its sources have given records before: with its next hour, unless it says
/// where itself and the spool still holds everything.
fn start_of_added(definition: &FeedDefinition, first_lsn: Lsn, now: UtcTime) -> Option<UtcTime> {
    let next_hour = definition.period.partition_at(now).end_time();
    let holds_everything = first_lsn == Lsn(1);
    match definition.starts_at {
        Some(start) if holds_everything || start >= next_hour => None,
        Some(_) => {
            let hour = crate::feed::names::describe(definition, definition.period.partition_at(next_hour));
            tracing::warn!(feed = %definition.id, from = %hour,
                "the feed is new and a part of what came since its starts_at is not kept any more; it begins with this hour");
            Some(next_hour)
        }
        None => Some(next_hour),
    }
}

/// The definition as the configuration has it, when it is the stored one; else the stored text, read again.
fn understood(current: &Arc<FeedDefinition>, stored: &StoredDefinition) -> Result<Arc<FeedDefinition>, ExporterFault> {
    if stored.hash == current.hash {
        return Ok(Arc::clone(current));
    }
    FeedDefinition::from_stored(&stored.text)
        .map(Arc::new)
        .map_err(|message| ExporterFault::StoredDefinition { feed: current.id.clone(), message })
}

/// Stores the definition of a feed that the ledger does not know at all.
///
/// # Errors
/// [`ExporterFault`] when the ledger refuses.
pub fn ensure_stored(ledger: &mut Ledger, definition: &FeedDefinition, now: UtcTime) -> Result<(), ExporterFault> {
    if ledger.definitions(&definition.id)?.is_empty() { add(ledger, definition, i64::MIN, None, now) } else { Ok(()) }
}

fn add(
    ledger: &mut Ledger,
    definition: &FeedDefinition,
    from_second: i64,
    starts_at: Option<UtcTime>,
    now: UtcTime,
) -> Result<(), ExporterFault> {
    let version = StoredDefinition { from_second, hash: definition.hash.clone(), text: definition.text.clone() };
    ledger.add_definition(&definition.id, &version, starts_at, now)?;
    Ok(())
}

/// Brings a changed definition into force. To be called when the pending hours are known.
///
/// # Errors
/// [`ExporterFault`] when the ledger cannot be written.
pub fn take_changes(
    ledger: &mut Ledger,
    feed: &mut FeedHours,
    definition: &Arc<FeedDefinition>,
    now: UtcTime,
) -> Result<(), ExporterFault> {
    if feed.definition().hash == definition.hash {
        return Ok(());
    }
    let names = |known: &FeedDefinition| known.sources.iter().map(|source| source.value.clone()).collect::<Vec<_>>();
    if names(feed.definition()) != names(definition) && !feed.pending.is_empty() {
        return Err(ExporterFault::SourceChanged { feed: definition.id.clone() });
    }
    let stored = ledger.definitions(&definition.id)?;
    let idle = feed.pending.is_empty() && feed.closed_second.is_none() && feed.closed.is_empty();
    let from_second = if idle { i64::MIN } else { boundary(feed, definition, now) };
    add(ledger, definition, from_second, None, now)?;
    let mut versions = Vec::new();
    for version in stored.iter().filter(|version| version.from_second < from_second) {
        versions.push((version.from_second, understood(definition, version)?));
    }
    versions.push((from_second, Arc::clone(definition)));
    if from_second > i64::MIN {
        let hour = crate::feed::names::describe(definition, definition.period.partition_at(time(from_second)));
        tracing::warn!(feed = %definition.id, from = %hour, "the definition has changed; it applies from this hour on");
    }
    let starts_at = ledger.progress(&definition.id)?.starts_at;
    feed.router = FeedRouter::new(versions, starts_at);
    Ok(())
}

fn time(second: i64) -> UtcTime {
    UtcTime::from_seconds(second).unwrap_or(UtcTime::MAX)
}

/// The first partition of the new definition behind everything that has begun.
fn boundary(feed: &FeedHours, definition: &FeedDefinition, now: UtcTime) -> i64 {
    let pending = feed.pending.values().map(|hour| hour.partition.end);
    let closed = feed.closed.values().map(|hour| hour.partition.end);
    let begun = pending.chain(closed).chain(feed.closed_second).max().unwrap_or(i64::MIN);
    let current = feed.definition().period.partition_at(now).end;
    let behind = begun.max(current);
    let partition = definition.period.partition_at(time(behind));
    if partition.start >= behind { partition.start } else { partition.end }
}
