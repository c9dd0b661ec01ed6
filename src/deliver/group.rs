//! Files of a batch that go together: what is to be done with all of them is recorded at once, so that the ledger is not
//! synced several times for each.
//!
//! A group is uploaded and then shown, file by file in its order. What is recorded says of each file what may have been
//! done, as for a file alone: after a crash one that was announced and not begun is found missing under its temporary
//! name, or not renamed, and goes on from there. When the group ends early while the program lives on, what was announced
//! and not begun is taken back.

use super::batch::{BatchFault, BatchOutcome, Caller};
use super::life::{Life, refuse_without_hash};
use super::parallel::{MoreSessions, upload_parts};
use super::{DeliverFault, FileToDeliver, Surroundings, TemporaryPlace};
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::remote::Remote;
use std::collections::BTreeSet;
use std::fmt::Display;

/// How large a group may be. One file is always one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimits {
    /// Most files.
    pub files: usize,
    /// Most bytes of all files: what is uploaded by one session should be shown soon. Several sessions upload any number
    /// of bytes at once.
    pub bytes: u64,
}

/// What all groups of a batch share.
pub(super) struct Around<'a, E> {
    pub more: &'a MoreSessions<'a>,
    pub limits: GroupLimits,
    pub caller: &'a Caller<'a, E>,
    /// The names that lay in the directory of the final names before anything was sent.
    pub listed: BTreeSet<String>,
}

impl<E> Around<'_, E> {
    /// How many of the next files make a group. One at which the batch will stop goes alone, so that nothing after it is
    /// begun.
    pub(super) fn first_group(&self, files: &[FileToDeliver]) -> usize {
        let mut bytes = 0_u64;
        let fit = files.iter().take(self.limits.files).take_while(|file| {
            bytes = bytes.saturating_add(file.bytes);
            let is_small = bytes <= self.limits.bytes || self.more.left() > 0;
            is_small && !matches!(file.state, FileState::Held { .. }) && !self.is_listed(file)
        });
        fit.count().clamp(1, files.len().max(1))
    }

    fn is_listed(&self, file: &FileToDeliver) -> bool {
        self.listed.contains(file.name.as_str())
    }
}

/// Delivers the files of a group in their order. Says at which one it stopped, when it did.
///
/// # Errors
/// [`BatchFault`] with the file that it stopped at.
pub(super) fn deliver_group<E: Send + Display>(
    session: &mut dyn Remote,
    group: &mut [FileToDeliver],
    around: &Around<'_, E>,
) -> Result<Option<BatchOutcome>, BatchFault<E>> {
    if group.iter().all(|file| file.state.is_delivered()) {
        return Ok(None);
    }
    let done = upload_and_show(session, group, around);
    if !matches!(done, Ok(None)) {
        take_back(group, around.caller);
    }
    done
}

fn upload_and_show<E: Send + Display>(
    session: &mut dyn Remote,
    group: &mut [FileToDeliver],
    around: &Around<'_, E>,
) -> Result<Option<BatchOutcome>, BatchFault<E>> {
    let caller = around.caller;
    // Large ones announce themselves: their uploads begin at times that lie far apart.
    let bytes = group.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    if bytes <= around.limits.bytes {
        announce(session, group, caller, upload_intent)?;
    }
    upload_parts(session, around.more, group, caller)?;
    announce(session, group, caller, rename_intent)?;
    for file in group {
        let stopped = |fault| BatchFault { name: file.name.clone(), fault };
        if file.is_announced {
            (caller.allow)(file).map_err(|fault| stopped(DeliverFault::Record(fault)))?;
        }
        let is_listed = around.is_listed(file);
        let mut body = || (caller.open)(file);
        let mut record = |fact| (caller.record)(&[(file, fact)]);
        let mut surroundings =
            Surroundings { clock: caller.clock, pause: &mut |look| (caller.pause)(look), progress: &mut |_bytes| {} };
        let life = Life::new(session, file, &mut body, &mut record, &mut surroundings).listed(is_listed);
        let done = life.run().map_err(stopped);
        file.is_announced = false;
        file.state = done?;
        if !file.state.is_delivered() {
            return Ok(Some(BatchOutcome::Stopped { name: file.name.clone(), state: file.state.clone() }));
        }
    }
    Ok(None)
}

/// Records the intents of those files that have one. A single one is left to the file itself.
fn announce<E>(
    session: &dyn Remote,
    group: &mut [FileToDeliver],
    caller: &Caller<'_, E>,
    intent: fn(&FileToDeliver) -> Option<DeliveryFact>,
) -> Result<(), BatchFault<E>> {
    let intents: Vec<Option<DeliveryFact>> = group.iter().map(intent).collect();
    let told = group.iter().zip(&intents).filter_map(|(file, fact)| Some((file, fact.clone()?)));
    let told: Vec<(&FileToDeliver, DeliveryFact)> = told.collect();
    let [(first, _), _, ..] = told.as_slice() else { return Ok(()) };
    let stopped = |fault| BatchFault { name: first.name.clone(), fault };
    refuse_without_hash(session, first.check).map_err(|fault| stopped(fault.into()))?;
    (caller.record)(&told).map_err(|fault| stopped(DeliverFault::Record(fault)))?;
    for (file, fact) in group.iter_mut().zip(intents) {
        if let Some(fact) = fact
            && let Ok(next) = file.state.clone().apply(&fact)
        {
            (file.state, file.is_announced) = (next, true);
        }
    }
    Ok(())
}

/// The upload of a file that nobody can have seen.
fn upload_intent(file: &FileToDeliver) -> Option<DeliveryFact> {
    let FileState::Pending { next } = &file.state else { return None };
    let is_hidden = !next.exposed && file.temporary != TemporaryPlace::Nowhere;
    let temporary = file.temporary_path(*next).to_shared();
    is_hidden.then_some(DeliveryFact::UploadIntended { attempt: next.number, temporary, in_place: false })
}

/// The rename of a file that was uploaded and compared just now.
fn rename_intent(file: &FileToDeliver) -> Option<DeliveryFact> {
    let FileState::Uploaded { attempt, .. } = &file.state else { return None };
    (!attempt.exposed && file.is_compared).then_some(DeliveryFact::RenameIntended)
}

/// Records of what was announced and not begun that it is not done. Where that cannot be recorded, it is found out by a
/// look, as after a crash.
fn take_back<E: Display>(group: &[FileToDeliver], caller: &Caller<'_, E>) {
    let announced = group.iter().filter(|file| file.is_announced);
    let told: Vec<(&FileToDeliver, DeliveryFact)> = announced.map(|file| (file, DeliveryFact::NotBegun)).collect();
    if let Some((file, _)) = told.first()
        && let Err(fault) = (caller.record)(&told)
    {
        tracing::debug!(file = %file.name, "files that were not begun will be looked for: {fault}");
    }
}
