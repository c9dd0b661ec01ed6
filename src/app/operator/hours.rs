//! Orders about hours: those that are open, those that wait to be sealed, and those that are on their way.

use super::files::{ALL, on_its_way, voided_records};
use super::{Change, Done, Judged, Refusal};
use crate::domain::batch::{BatchId, BatchState, HeldFrom};
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::ids::{FeedId, Lsn};
use crate::domain::period::Partition;
use crate::feed::names;
use crate::feed::pending::{ClosedHour, FeedHours};
use crate::ledger::delivery::{BatchToSend, FileToSend};
use crate::ledger::operator::{Act, WaitingHour};
use crate::ledger::{Ledger, LedgerFault};

/// The batches of an hour that are not delivered.
fn on_the_way(ledger: &Ledger, feed: &FeedId, hour: Partition) -> Result<Vec<BatchToSend>, LedgerFault> {
    let batches = ledger.batches_to_send(feed, ALL)?;
    Ok(batches.into_iter().filter(|batch| batch.id.partition.start == hour.start).collect())
}

/// An hour as people name it.
fn name(hours: Option<&FeedHours>, feed: &FeedId, hour: Partition) -> String {
    hours.map_or_else(
        || format!("the hour {}-{} of {feed}", hour.start, hour.end),
        |hours| format!("{feed} {}", names::describe(hours.router.version_at(hour.start), hour)),
    )
}

fn one_hour(act: Act) -> Change {
    (vec![act], Done { changed: true, hours: 1, ..Done::default() })
}

/// Changes the files of batches that `fact` has a fact for.
fn change_files(batches: Vec<BatchToSend>, fact: &dyn Fn(&FileToSend) -> Option<DeliveryFact>) -> Change {
    let mut done = Done::default();
    let mut acts = Vec::new();
    for batch in batches {
        let changes: Vec<_> = batch.files.iter().filter_map(|file| Some((file.clone(), fact(file)?))).collect();
        done.files.extend(changes.iter().map(|(file, _)| file.name.to_string()));
        if !changes.is_empty() {
            done.hours = 1;
            acts.push(Act::Files { batch, changes });
        }
    }
    done.changed = !acts.is_empty();
    (acts, done)
}

pub(super) fn hold(
    ledger: &Ledger,
    hours: Option<&FeedHours>,
    feed: &FeedId,
    hour: Partition,
) -> Result<Judged, LedgerFault> {
    let batches = on_the_way(ledger, feed, hour)?;
    if !batches.is_empty() {
        let may_be_held = |file: &FileToSend| {
            matches!(file.state, FileState::Pending { .. } | FileState::Uploading { .. } | FileState::Uploaded { .. })
        };
        let is_held = batches.iter().any(|batch| batch.is_held);
        let (acts, done) = change_files(batches, &|file| may_be_held(file).then_some(DeliveryFact::HoldOrdered));
        if done.changed || is_held {
            return Ok(Ok((acts, done)));
        }
        let what = format!("the last file of {} is just getting its final name", name(hours, feed, hour));
        return Ok(Err(Refusal::new(what, "`hourdrop hold FILE --reason ...` holds this file as one in doubt")));
    }
    let Some(known) = hours else {
        let what = format!("nothing of {} is on its way", name(hours, feed, hour));
        return Ok(Err(Refusal::new(what, "the configuration has no such feed any more")));
    };
    let state = known.closed.get(&hour.start).map(|closed| closed.state);
    Ok(match state {
        Some(BatchState::Held(HeldFrom::Open)) => Ok(Change::default()),
        Some(BatchState::Open) => Err(Refusal::new(
            format!("{} was released and is sealed by the next pass", name(hours, feed, hour)),
            "hold it when it is sealed",
        )),
        _ if known.closed_second.is_some_and(|second| hour.end <= second) => Err(Refusal::new(
            format!("nothing of {} is left to be held", name(hours, feed, hour)),
            format!("`hourdrop hours {feed}` shows what became of it"),
        )),
        _ if known.held_back.contains(&hour.start) => Ok(Change::default()),
        _ => Ok(one_hour(Act::HoldBack(feed.clone(), hour))),
    })
}

/// `answers`: the partner answers, and what it did not accept may wait for a person.
pub(super) fn release(
    ledger: &Ledger,
    hours: Option<&FeedHours>,
    feed: &FeedId,
    hour: Partition,
    answers: bool,
) -> Result<Judged, LedgerFault> {
    let closed = hours.and_then(|known| known.closed.get(&hour.start));
    let ordered = ledger.held_back()?.iter().any(|held| held.feed == *feed && held.partition.start == hour.start);
    if let Some(ClosedHour { partition, revision, state: BatchState::Held(HeldFrom::Open), .. }) = closed.copied() {
        let id = BatchId { feed: feed.clone(), partition, revision };
        return Ok(Ok(one_hour(Act::Reopen { id, was_ordered: ordered })));
    }
    let batches = on_the_way(ledger, feed, hour)?;
    let held = |file: &FileToSend| matches!(file.state, FileState::Held { .. });
    let (acts, done) = change_files(batches, &|file| held(file).then_some(DeliveryFact::Released));
    if done.changed {
        return Ok(Ok((acts, done)));
    }
    if ordered {
        return Ok(Ok(one_hour(Act::LetGo(feed.clone(), hour))));
    }
    let not_accepted = if answers { ledger.not_accepted(feed)? } else { Vec::new() };
    let of_hour = not_accepted.into_iter().filter(|(_, id)| id.partition.start == hour.start);
    let acts: Vec<Act> = of_hour.map(|(batch, id)| Act::SettleAnswer(batch, id)).collect();
    if !acts.is_empty() {
        return Ok(Ok((acts, Done { changed: true, hours: 1, ..Done::default() })));
    }
    let what = format!("{} is not held", name(hours, feed, hour));
    Ok(Err(Refusal::new(what, "`hourdrop status` shows what is held")))
}

pub(super) fn void(
    ledger: &Ledger,
    hours: Option<&FeedHours>,
    feed: &FeedId,
    hour: Partition,
    cut: Lsn,
) -> Result<Judged, LedgerFault> {
    let batches = on_the_way(ledger, feed, hour)?;
    if !batches.is_empty() {
        let renaming = |file: &&FileToSend| matches!(file.state, FileState::Renaming { .. });
        if let Some(file) = batches.iter().flat_map(|batch| &batch.files).find(renaming) {
            return Ok(Err(on_its_way(file)));
        }
        let open = |file: &FileToSend| !file.state.is_delivered() && file.state != FileState::Void;
        let files: Vec<FileToSend> =
            batches.iter().flat_map(|batch| &batch.files).filter(|file| open(file)).cloned().collect();
        let records = voided_records(ledger, feed, &files)?;
        let (acts, done) = change_files(batches, &|file| open(file).then_some(DeliveryFact::Voided));
        return Ok(Ok((acts, Done { records, ..done })));
    }
    let waiting = ledger.waiting_hours(feed)?.into_iter().find(|(found, _)| found.start == hour.start);
    let closed = hours.and_then(|known| known.closed.get(&hour.start));
    let is_held = closed.is_some_and(|closed| matches!(closed.state, BatchState::Open | BatchState::Held(_)));
    let is_closed = hours.is_none_or(|known| known.closed_second.is_some_and(|second| hour.end <= second));
    match waiting {
        Some((partition, records)) if is_closed || is_held => {
            let hour = waiting_hour(ledger, feed, partition, records, cut)?;
            Ok(Ok((vec![Act::VoidWaiting(hour)], Done { changed: true, hours: 1, records, ..Done::default() })))
        }
        None if is_held => Ok(Ok(one_hour(Act::VoidWaiting(waiting_hour(ledger, feed, hour, 0, cut)?)))),
        _ if is_void(ledger, feed, hour)? => Ok(Ok(Change::default())),
        Some(_) => Ok(Err(Refusal::new(
            format!("{} is open: records still come", name(hours, feed, hour)),
            format!("hold it until it is sealed, or let everything go that waits: `hourdrop void {feed} --waiting`"),
        ))),
        None => Ok(Err(Refusal::new(
            format!("nothing of {} is left to be void", name(hours, feed, hour)),
            format!("`hourdrop hours {feed}` shows what became of it"),
        ))),
    }
}

fn is_void(ledger: &Ledger, feed: &FeedId, hour: Partition) -> Result<bool, LedgerFault> {
    let batches = ledger.batch_rows(feed)?;
    Ok(batches.iter().any(|batch| batch.partition.start == hour.start && batch.state == BatchState::Void))
}

/// An hour whose waiting records are let go.
pub(super) fn waiting_hour(
    ledger: &Ledger,
    feed: &FeedId,
    partition: Partition,
    records: u64,
    cut: Lsn,
) -> Result<WaitingHour, LedgerFault> {
    let versions = ledger.definitions(feed)?;
    let in_force = versions.iter().rev().find(|version| version.from_second <= partition.start);
    let definition = in_force.or(versions.last()).map_or_else(String::new, |version| version.hash.clone());
    Ok(WaitingHour { feed: feed.clone(), partition, records, cut, definition })
}
