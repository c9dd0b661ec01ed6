//! Files that go together: what is to be done with all of them is recorded at once, so that the ledger is not synced
//! several times for each. Where several sessions upload, a group may hold files of batches that follow each other.
//!
//! A group is uploaded and then shown, file by file in its order; with several sessions the next ones are begun before.
//! What is recorded says of each file what may have been
//! done, as for a file alone: after a crash one that was announced and not begun is found missing under its temporary
//! name, or not renamed, and goes on from there. When the group ends early while the program lives on, what was announced
//! and not begun is taken back.

use super::batch::{BatchFault, BatchOutcome, Caller};
use super::life::{Life, refuse_without_hash};
use super::parallel::{MoreSessions, Uploads, waits};
use super::{DeliverFault, FileToDeliver, Surroundings, TemporaryPlace};
use crate::domain::delivery::{Attempt, DeliveryFact, FileState};
use crate::remote::Remote;
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Display;
use std::ops::Range;
use std::thread;

/// Renames that are announced together: a file of which one is announced can be in doubt, and is no more simply held or
/// void.
const RENAMES: usize = 8;

/// Groups that are begun with several sessions: one that is shown, and others so that nobody waits for it.
const GROUPS_BEGUN: usize = 3;

/// How large a group may be. One file is always one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimits {
    /// Most files.
    pub files: usize,
    /// Most bytes of all files: what is uploaded by one session should be shown soon. Several sessions upload any number
    /// of bytes at once.
    pub bytes: u64,
}

/// What all groups share.
pub(super) struct Around<'a, E> {
    more: &'a MoreSessions<'a>,
    limits: GroupLimits,
    caller: &'a Caller<'a, E>,
    /// The names that lay in the directory of the final names before anything of a group was sent.
    listed: BTreeSet<String>,
    /// The batch before which they were listed last.
    listed_before: Option<usize>,
}

impl<'a, E: Send + Display> Around<'a, E> {
    pub(super) const fn new(more: &'a MoreSessions<'a>, limits: GroupLimits, caller: &'a Caller<'a, E>) -> Self {
        Self { more, limits, caller, listed: BTreeSet::new(), listed_before: None }
    }

    /// Delivers files in their order, group by group. Says at which one it stopped, when it did.
    ///
    /// # Errors
    /// [`BatchFault`] with the file that it stopped at.
    pub(super) fn deliver(
        &mut self,
        session: &mut dyn Remote,
        files: &mut [FileToDeliver],
    ) -> Result<Option<BatchOutcome>, BatchFault<E>> {
        let uploads = Uploads::new();
        let (more, caller) = (self.more, self.caller);
        let helpers = more.left().min(files.iter().filter(|file| waits(file)).count().saturating_sub(1));
        let done = thread::scope(|scope| {
            let _ending = uploads.ending();
            for _ in 0..helpers {
                scope.spawn(|| uploads.help(more, caller));
            }
            self.go_through(session, files, &uploads)
        });
        // What other sessions were busy with is at its end, too.
        put_back(files, uploads.collect());
        uploads.into_stopped().map_or(done, Err)
    }

    /// Begins group after group and shows each when all of it is uploaded. With several sessions some behind the one that
    /// is shown next are begun already.
    fn go_through(
        &mut self,
        session: &mut dyn Remote,
        files: &mut [FileToDeliver],
        uploads: &Uploads<E>,
    ) -> Result<Option<BatchOutcome>, BatchFault<E>> {
        let (mut groups, mut end) = (VecDeque::<Range<usize>>::new(), 0);
        let mut under_way = BTreeSet::new();
        loop {
            let is_stopped = uploads.is_stopped();
            for place in put_back(files, uploads.collect()) {
                under_way.remove(&place);
            }
            let oldest = groups.front().cloned();
            let begun = oldest.as_ref().and_then(|oldest| files.get(oldest.start..end));
            let has_room = groups.len() < GROUPS_BEGUN;
            let goes_on = !is_stopped && begun.is_none_or(|begun| has_room && self.goes_on_beside(begun));
            if goes_on {
                let count = self.next(session, files.get(end..).unwrap_or_default())?;
                let group = end..end + count;
                if let Some(files) = files.get_mut(group.clone()).filter(|files| !files.is_empty()) {
                    let begun = self.begin(session, files)?;
                    under_way.extend(begun.iter().map(|(place, _)| group.start + place));
                    uploads.add(begun.into_iter().map(|(place, file)| (group.start + place, file)));
                    end = group.end;
                    groups.push_back(group);
                    continue;
                }
            }
            let Some(oldest) = oldest else { return Ok(None) };
            if under_way.range(oldest.clone()).next().is_some() {
                if is_stopped {
                    return Ok(None);
                }
                // Nobody else shows: a file of a later group would keep this one from being shown.
                uploads.help_once(session, self.caller, oldest.end)?;
                continue;
            }
            groups.pop_front();
            let stopped = self.show(session, files.get_mut(oldest).unwrap_or_default())?;
            if stopped.is_some() {
                return Ok(stopped);
            }
        }
    }

    /// How many files the next group has. None when no other batch may be begun.
    fn next(&mut self, session: &mut dyn Remote, files: &[FileToDeliver]) -> Result<usize, BatchFault<E>> {
        if let Some(first) = files.iter().find(|file| !file.state.is_delivered())
            && self.listed_before < Some(first.batch)
        {
            if self.listed_before.is_some() && !(self.caller.begins)() {
                return Ok(0);
            }
            let listing = session.list(&first.directory);
            let listing = listing.map_err(|fault| BatchFault { name: first.name.clone(), fault: fault.into() })?;
            self.listed = listing.into_iter().map(|entry| entry.name).collect();
            self.listed_before = Some(first.batch);
        }
        Ok(self.count_together(files))
    }

    /// How many of the next files make a group. A file at which the delivery will stop goes alone, so that nothing behind
    /// it is begun.
    fn count_together(&self, files: &[FileToDeliver]) -> usize {
        let (mut bytes, mut parts, mut batch) = (0_u64, 0, files.first().map_or(0, |file| file.batch));
        let is_uploaded =
            |file: &FileToDeliver| matches!(file.state, FileState::Uploaded { .. } | FileState::Renaming { .. });
        let begins_uploaded = files.iter().find(|file| !file.state.is_delivered()).is_some_and(is_uploaded);
        let helpers = self.more.left();
        let fit = files.iter().take(self.limits.files).take_while(|file| {
            let is_next_batch = std::mem::replace(&mut batch, file.batch) != file.batch;
            bytes = bytes.saturating_add(file.bytes);
            // One session alone shows a batch before its manifest and the next one; several want something to do.
            let goes_along = if helpers > 0 {
                bytes <= self.limits.bytes || !is_next_batch || parts <= helpers
            } else {
                bytes <= self.limits.bytes && !is_next_batch && !file.is_manifest
            };
            parts += usize::from(!file.is_manifest);
            // What a session before has uploaded is shown first: a file behind it may be what cannot be uploaded.
            let is_alike = !begins_uploaded || file.state.is_delivered() || is_uploaded(file);
            let may_begin = || !is_next_batch || (self.caller.begins)();
            goes_along && is_alike && !self.will_stop(file) && may_begin()
        });
        fit.count().max(1).min(files.len())
    }

    fn will_stop(&self, file: &FileToDeliver) -> bool {
        matches!(file.state, FileState::Held { .. }) || !file.state.is_delivered() && self.is_listed(file)
    }

    /// Whether further sessions may upload the next group before these files are shown.
    fn goes_on_beside(&self, begun: &[FileToDeliver]) -> bool {
        self.more.left() > 0 && self.limits.files > 1 && !begun.iter().any(|file| self.will_stop(file))
    }

    fn is_listed(&self, file: &FileToDeliver) -> bool {
        self.listed.contains(file.name.as_str())
    }

    /// Announces a group where that is done for all of it. Gives the files that are uploaded before the first is shown,
    /// and their places in the group; the others are uploaded one after the other, each shown at once.
    fn begin(
        &self,
        session: &mut dyn Remote,
        group: &mut [FileToDeliver],
    ) -> Result<Vec<(usize, FileToDeliver)>, BatchFault<E>> {
        // What announces itself is begun at a time that lies far from that of the others.
        let waiting = group.iter().find(|file| upload_intent(file).is_some());
        if let Some(first) = waiting.filter(|_| self.begin_soon(group)) {
            let refused = refuse_without_hash(session, first.check);
            refused.map_err(|fault| BatchFault { name: first.name.clone(), fault: fault.into() })?;
            announce(group, self.caller, upload_intent)?;
        }
        let waiting = group.iter().enumerate().filter(|(_, file)| waits(file));
        let waiting: Vec<(usize, FileToDeliver)> = waiting.map(|(place, file)| (place, file.clone())).collect();
        let goes_ahead = waiting.iter().any(|(_, file)| file.is_announced) || waiting.len() > 1 && self.more.left() > 0;
        Ok(if goes_ahead { waiting } else { Vec::new() })
    }

    /// Whether the sessions come to all files of a group soon: each may have a large one first.
    fn begin_soon(&self, group: &[FileToDeliver]) -> bool {
        let mut sizes: Vec<u64> = group.iter().map(|file| file.bytes).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let others = if self.more.left() > 0 { sizes.split_off(sizes.len().min(self.more.left() + 1)) } else { sizes };
        others.into_iter().fold(0, u64::saturating_add) <= self.limits.bytes
    }

    /// Shows the files of a group in their order, some announced together.
    fn show(
        &self,
        session: &mut dyn Remote,
        group: &mut [FileToDeliver],
    ) -> Result<Option<BatchOutcome>, BatchFault<E>> {
        let mut rest = group;
        while !rest.is_empty() {
            // A manifest is announced when everything before it is shown.
            let goes_along = |(place, file): &(usize, &FileToDeliver)| {
                rename_intent(file).is_some() && (*place == 0 || !file.is_manifest)
            };
            let ready = rest.iter().take(RENAMES).enumerate().take_while(goes_along).count();
            let (few, later) = rest.split_at_mut(ready.max(1));
            announce(few, self.caller, rename_intent)?;
            let stopped = self.show_few(session, few)?;
            if stopped.is_some() {
                return Ok(stopped);
            }
            rest = later;
        }
        Ok(None)
    }

    fn show_few(
        &self,
        session: &mut dyn Remote,
        files: &mut [FileToDeliver],
    ) -> Result<Option<BatchOutcome>, BatchFault<E>> {
        let caller = self.caller;
        for file in files {
            let stopped = |fault| BatchFault { name: file.name.clone(), fault };
            if !file.state.is_delivered() {
                (caller.allow)(file).map_err(|fault| stopped(DeliverFault::Record(fault)))?;
            }
            let (mut body, mut record) = (|| (caller.open)(file), |fact| (caller.record)(&[(file, fact)]));
            let (mut pause, mut progress) = (|look| (caller.pause)(look), |_bytes| {});
            let mut around = Surroundings { clock: caller.clock, pause: &mut pause, progress: &mut progress };
            let life = Life::new(session, file, &mut body, &mut record, &mut around).listed(self.is_listed(file));
            let done = life.run().map_err(stopped);
            file.is_announced = false;
            file.state = done?;
            if !file.state.is_delivered() {
                return Ok(Some(BatchOutcome::Stopped { name: file.name.clone(), state: file.state.clone() }));
            }
        }
        Ok(None)
    }
}

/// Puts files that were uploaded back to their places, which it gives.
fn put_back(files: &mut [FileToDeliver], uploaded: Vec<(usize, FileToDeliver)>) -> Vec<usize> {
    let places = uploaded.iter().map(|(place, _)| *place).collect();
    for (place, file) in uploaded {
        if let Some(slot) = files.get_mut(place) {
            *slot = file;
        }
    }
    places
}

/// Records the intents of those files that have one. A single one is left to the file itself.
fn announce<E>(
    group: &mut [FileToDeliver],
    caller: &Caller<'_, E>,
    intent: fn(&FileToDeliver) -> Option<DeliveryFact>,
) -> Result<(), BatchFault<E>> {
    let intents: Vec<Option<DeliveryFact>> = group.iter().map(intent).collect();
    let told = group.iter().zip(&intents).filter_map(|(file, fact)| Some((file, fact.clone()?)));
    let told: Vec<(&FileToDeliver, DeliveryFact)> = told.collect();
    let [(first, _), _, ..] = told.as_slice() else { return Ok(()) };
    let stopped = |fault| BatchFault { name: first.name.clone(), fault: DeliverFault::Record(fault) };
    (caller.record)(&told).map_err(stopped)?;
    for (file, fact) in group.iter_mut().zip(intents) {
        if let Some(fact) = fact
            && let Ok(next) = file.state.clone().apply(&fact)
        {
            (file.state, file.is_announced) = (next, true);
        }
    }
    Ok(())
}

/// The first upload of a file. A later one may have to remove what an attempt has left before it is announced.
fn upload_intent(file: &FileToDeliver) -> Option<DeliveryFact> {
    let FileState::Pending { next } = &file.state else { return None };
    let is_first = *next == Attempt::FIRST && file.temporary != TemporaryPlace::Nowhere;
    let temporary = file.temporary_path(*next).to_shared();
    is_first.then_some(DeliveryFact::UploadIntended { attempt: next.number, temporary, in_place: false })
}

/// The rename of a file that was uploaded and compared just now.
fn rename_intent(file: &FileToDeliver) -> Option<DeliveryFact> {
    let FileState::Uploaded { attempt, .. } = &file.state else { return None };
    (!attempt.exposed && file.is_compared).then_some(DeliveryFact::RenameIntended)
}

/// Records of what was announced and not begun that it is not done. Where that cannot be recorded, it is found out by a
/// look, as after a crash.
pub(super) fn take_back<'f, E: Display>(files: impl Iterator<Item = &'f FileToDeliver>, caller: &Caller<'_, E>) {
    let announced = files.filter(|file| file.is_announced);
    let told: Vec<(&FileToDeliver, DeliveryFact)> = announced.map(|file| (file, DeliveryFact::NotBegun)).collect();
    if let Some((file, _)) = told.first()
        && let Err(fault) = (caller.record)(&told)
    {
        tracing::debug!(file = %file.name, "files that were not begun will be looked for: {fault}");
    }
}
