//! Orders about files of sealed batches.

use super::{Change, Done, Judged, Refusal, SettleAs, Target};
use crate::app::exporter::Exporter;
use crate::domain::delivery::{DeliveryFact, FileState, HeldReason, Proof, Verified};
use crate::domain::ids::FeedId;
use crate::domain::pickup::{PickupFact, Taken};
use crate::domain::place;
use crate::domain::time::UtcTime;
use crate::ledger::delivery::{BatchToSend, FileToSend};
use crate::ledger::operator::Act;
use crate::ledger::pickup::{PickupChange, TrackedBatch, TrackedFile};
use crate::ledger::{Ledger, LedgerFault};
use std::sync::Arc;

/// No feed has more batches on their way.
pub(super) const ALL: u32 = i32::MAX as u32;

/// A file, or why it cannot be changed any more.
struct Found {
    batch: BatchToSend,
    file: FileToSend,
}

/// Finds a file on its way. Else says how it ended: the ledger's word, or nothing for a file that is not known.
fn find(ledger: &Ledger, feed: &FeedId, name: &str) -> Result<Result<Found, Option<String>>, LedgerFault> {
    for batch in ledger.batches_to_send(feed, ALL)? {
        let file = batch.files.iter().find(|file| file.name.as_str() == name).cloned();
        if let Some(file) = file {
            return Ok(Ok(Found { batch, file }));
        }
    }
    let rows = ledger.file_rows(feed)?;
    Ok(Err(rows.into_iter().find(|row| row.name == name).map(|row| row.state)))
}

fn ended(name: &str, state: Option<&str>) -> Refusal {
    match state {
        Some("delivered") => Refusal::new(format!("{name} is delivered"), format!("`hourdrop show {name}` tells how")),
        Some("shadow") => Refusal::new(
            format!("{name} belongs to a shadow feed: it is never sent"),
            format!("`hourdrop show {name}` shows it"),
        ),
        Some(state) => {
            Refusal::new(format!("{name} is {state}"), format!("`hourdrop show {name}` tells what became of it"))
        }
        None => Refusal::new(format!("there is no file {name}"), "`hourdrop files` lists them"),
    }
}

/// One file changes.
fn change(found: Found, fact: DeliveryFact) -> Change {
    let Found { batch, file } = found;
    let done = Done { changed: true, files: vec![file.name.to_string()], ..Done::default() };
    (vec![Act::Files { batch, changes: vec![(file, fact)] }], done)
}

pub(super) fn hold(ledger: &Ledger, feed: &FeedId, name: &str) -> Result<Judged, LedgerFault> {
    let found = match find(ledger, feed, name)? {
        Ok(found) => found,
        Err(state) => return Ok(Err(ended(name, state.as_deref()))),
    };
    Ok(match &found.file.state {
        FileState::Held { .. } => Ok(Change::default()),
        FileState::Pending { .. }
        | FileState::Uploading { .. }
        | FileState::Uploaded { .. }
        | FileState::Renaming { .. } => Ok(change(found, DeliveryFact::HoldOrdered)),
        FileState::Delivered { .. } | FileState::Void => Err(ended(name, Some(found.file.state.name()))),
    })
}

pub(super) fn release(ledger: &Ledger, feed: &FeedId, name: &str) -> Result<Judged, LedgerFault> {
    let found = match find(ledger, feed, name)? {
        Ok(found) => found,
        Err(state) => return Ok(Err(ended(name, state.as_deref()))),
    };
    if matches!(found.file.state, FileState::Held { .. }) {
        return Ok(Ok(change(found, DeliveryFact::Released)));
    }
    Ok(Err(Refusal::new(format!("{name} is not held"), "`hourdrop status` shows what is held")))
}

pub(super) fn void(ledger: &Ledger, feed: &FeedId, name: &str) -> Result<Judged, LedgerFault> {
    let found = match find(ledger, feed, name)? {
        Ok(found) => found,
        Err(Some(state)) if state == "void" => return Ok(Ok(Change::default())),
        Err(state) => return Ok(Err(ended(name, state.as_deref()))),
    };
    let whole_hour =
        || format!("`hourdrop void {feed} HOUR --reason ...` ends the hour with all that is not delivered");
    let Found { batch, file } = &found;
    if file.state == FileState::Void {
        return Ok(Ok(Change::default()));
    }
    if file.state.is_delivered() {
        return Ok(Err(ended(name, Some("delivered"))));
    }
    if file.may_be_shown() {
        return Ok(Err(on_its_way(file)));
    }
    let manifest = batch.files.iter().find(|other| other.part.0 == 0 && other.state != FileState::Void);
    if let Some(manifest) = manifest.filter(|manifest| manifest.row != file.row) {
        let what = format!("the manifest {} lists {name}: it would name a file that never comes", manifest.name);
        return Ok(Err(Refusal::new(what, whole_hour())));
    }
    let is_open = |other: &FileToSend| !other.state.is_delivered() && other.state != FileState::Void;
    if file.part.0 == 0 && batch.files.iter().any(|other| other.row != file.row && is_open(other)) {
        let what = format!("{name} is the manifest of part files that are not delivered yet");
        return Ok(Err(Refusal::new(what, whole_hour())));
    }
    let records = voided_records(ledger, feed, std::slice::from_ref(file))?;
    let (acts, done) = change(found, DeliveryFact::Voided);
    Ok(Ok((acts, Done { records, ..done })))
}

/// Nobody knows at this moment whether its rename was carried out.
pub(super) fn on_its_way(file: &FileToSend) -> Refusal {
    Refusal::new(
        format!("{} is just getting its final name at the partner", file.name),
        format!(
            "try again in a moment; if the partner cannot be reached, `hourdrop hold {} --reason ...` first",
            file.name
        ),
    )
}

/// Records in these part files.
pub(super) fn voided_records(ledger: &Ledger, feed: &FeedId, files: &[FileToSend]) -> Result<u64, LedgerFault> {
    let rows = ledger.file_rows(feed)?;
    let of = |file: &FileToSend| rows.iter().find(|row| row.name == file.name.as_str()).map_or(0, |row| row.records);
    Ok(files.iter().filter(|file| file.part.0 > 0).map(of).sum())
}

/// Held because nobody knows, or because something else has the name.
const fn is_doubted(state: &FileState) -> bool {
    matches!(state, FileState::Held { reason: HeldReason::InDoubt | HeldReason::Conflict, .. })
}

/// Makes the fact that settles a file.
type Settling<'a> = dyn Fn(&FileToSend) -> DeliveryFact + 'a;

pub(super) fn settle(
    ledger: &Ledger,
    target: &Target,
    how: SettleAs,
    fact: &Settling<'_>,
) -> Result<Judged, LedgerFault> {
    let (feed, hour, name) = match target {
        Target::Hour(feed, hour) => (feed, Some(hour.start), None),
        Target::File(feed, name) => (feed, None, Some(name.as_str())),
    };
    let chosen = |batch: &BatchToSend, file: &FileToSend| {
        hour.is_none_or(|start| batch.id.partition.start == start) && name.is_none_or(|name| file.name.as_str() == name)
    };
    let judged = settle_chosen(ledger, feed, &chosen, fact)?;
    let (Ok((acts, _)), Some(name)) = (&judged, name) else { return Ok(judged) };
    if !acts.is_empty() {
        return Ok(judged);
    }
    Ok(Err(match find(ledger, feed, name)? {
        Ok(found) => Refusal::new(
            format!("{name} is {} and not in doubt", found.file.state.name()),
            format!("`hourdrop show {name}` shows it; `hourdrop release {name} --reason ...` lets a held file go on"),
        ),
        Err(Some(state)) if state == "delivered" && how == SettleAs::Delivered => return Ok(Ok(Change::default())),
        Err(state) => ended(name, state.as_deref()),
    }))
}

pub(super) fn settle_all(ledger: &Ledger, feed: &FeedId, fact: &Settling<'_>) -> Result<Judged, LedgerFault> {
    settle_chosen(ledger, feed, &|_, _| true, fact)
}

fn settle_chosen(
    ledger: &Ledger,
    feed: &FeedId,
    chosen: &dyn Fn(&BatchToSend, &FileToSend) -> bool,
    fact: &Settling<'_>,
) -> Result<Judged, LedgerFault> {
    let mut done = Done::default();
    let mut acts = Vec::new();
    for batch in ledger.batches_to_send(feed, ALL)? {
        let files = batch.files.iter().filter(|file| is_doubted(&file.state) && chosen(&batch, file));
        let changes: Vec<_> = files.map(|file| (file.clone(), fact(file))).collect();
        done.files.extend(changes.iter().map(|(file, _)| file.name.to_string()));
        if !changes.is_empty() {
            acts.push(Act::Files { batch, changes });
        }
    }
    done.changed = !acts.is_empty();
    Ok(Ok((acts, done)))
}

/// Delivered files that wait to be picked up were taken: those of the target, or all of the feed.
pub(super) fn picked_up(ledger: &Ledger, feed: &FeedId, target: Option<&Target>) -> Result<Judged, LedgerFault> {
    let chosen = |batch: &TrackedBatch, file: &TrackedFile| {
        let is_meant = match target {
            None => true,
            Some(Target::Hour(_, hour)) => batch.id.partition.start == hour.start,
            Some(Target::File(_, name)) => file.name.as_str() == name,
        };
        is_meant && file.delivered_at.is_some() && file.is_outstanding()
    };
    let fact = || PickupFact::Taken { how: Taken::Person, missed: true };
    let mut changes = Vec::new();
    for batch in ledger.tracked_batches(feed, 0, ALL)? {
        let files = batch.files.iter().filter(|file| chosen(&batch, file)).cloned();
        changes.extend(files.map(|file| PickupChange { batch: batch.row, feed: feed.clone(), file, fact: fact() }));
    }
    if changes.is_empty() {
        return Ok(match target {
            Some(Target::File(_, name)) if !ledger.file_rows(feed)?.iter().any(|row| row.name == *name) => {
                Err(ended(name, None))
            }
            Some(_) | None => Ok(Change::default()),
        });
    }
    let files = changes.iter().map(|change| change.file.name.to_string()).collect();
    let done = Done { changed: true, files, ..Done::default() };
    Ok(Ok((vec![Act::PickedUp(changes)], done)))
}

impl Exporter {
    /// The fact by which a person settles a file.
    pub(super) fn settled(&self, target: &Target, file: &FileToSend, how: SettleAs, at: UtcTime) -> DeliveryFact {
        let (Target::Hour(feed, _) | Target::File(feed, _)) = target;
        match how {
            SettleAs::Resend => DeliveryFact::Released,
            SettleAs::Delivered => DeliveryFact::SettledAsDelivered(Proof {
                name: self.path_at_partner(feed, file),
                bytes: file.bytes,
                how: Verified::Person,
                at,
            }),
        }
    }

    /// The final path at the server that the file went to last. The bare name for a partner, or there, that the
    /// configuration does not have any more.
    fn path_at_partner(&self, feed: &FeedId, file: &FileToSend) -> Arc<str> {
        let name = &file.name;
        let Some(partner) = self.config.partner(&feed.partner) else { return Arc::from(name.as_str()) };
        let last = file.temporary.as_deref().unwrap_or_default();
        match partner.server_of(last) {
            Some(server) => partner.final_path(server, name),
            None => place::at_server(place::split(last).0, name.as_str()),
        }
    }
}
