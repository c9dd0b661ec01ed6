//! The files of one batch in their order, the manifest last.

use super::group::{Around, GroupLimits, take_back};
use super::parallel::MoreSessions;
use super::{DeliverFault, FileToDeliver};
use crate::clock::Clock;
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::ids::FileName;
use crate::remote::Remote;
use std::fmt::Display;
use std::io::{self, Read};

/// What the files of a batch need besides the session; several sessions share it.
pub struct Caller<'a, E> {
    /// Opens the archived file.
    pub open: &'a (dyn Fn(&FileToDeliver) -> io::Result<Box<dyn Read>> + Sync),
    /// Makes facts durable, all of them or none, before the acts that they announce.
    pub record: &'a RecordAll<'a, E>,
    /// Asked before an act that was announced together with others: refuses it when somebody has ordered something else
    /// meanwhile.
    pub allow: &'a (dyn Fn(&FileToDeliver) -> Result<(), E> + Sync),
    /// Waits a moment before another look.
    pub pause: &'a (dyn Fn(u32) + Sync),
    /// Tells when a file was delivered.
    pub clock: &'a dyn Clock,
}

/// Makes facts durable, all of them or none.
pub type RecordAll<'a, E> = dyn Fn(&[(&FileToDeliver, DeliveryFact)]) -> Result<(), E> + Sync + 'a;

/// How the delivery of a batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Every file and the manifest are delivered.
    Delivered,
    /// A file waits for a person; nothing after it was begun.
    Stopped {
        /// Which file.
        name: FileName,
        /// Its state.
        state: FileState,
    },
}

/// A file of a batch that could not be delivered now; nothing after it was shown. Drop the session.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {fault}")]
pub struct BatchFault<E> {
    /// Which file.
    pub name: FileName,
    /// Why.
    pub fault: DeliverFault<E>,
}

/// Delivers the part files of a batch in the given order and then its manifest, and stops at the first that is not
/// delivered. So a manifest is visible only when everything it lists is.
///
/// # Errors
/// [`BatchFault`] with the file that it stopped at.
pub fn deliver_batch<E: Send + Display>(
    session: &mut dyn Remote,
    more: &MoreSessions<'_>,
    mut parts: Vec<FileToDeliver>,
    mut manifest: Option<FileToDeliver>,
    limits: GroupLimits,
    caller: &Caller<'_, E>,
) -> Result<BatchOutcome, BatchFault<E>> {
    let Some(first) = parts.iter().chain(&manifest).find(|file| !file.state.is_delivered()) else {
        return Ok(BatchOutcome::Delivered);
    };
    let listing = session.list(&first.directory);
    let listing = listing.map_err(|fault| BatchFault { name: first.name.clone(), fault: fault.into() })?;
    let listed = listing.into_iter().map(|entry| entry.name).collect();
    let around = Around { more, limits, caller, listed };
    let done = match around.deliver(session, &mut parts) {
        Ok(None) => around.deliver(session, manifest.as_mut_slice()),
        stopped => stopped,
    };
    if !matches!(done, Ok(None)) {
        take_back(parts.iter().chain(&manifest), caller);
    }
    Ok(done?.unwrap_or(BatchOutcome::Delivered))
}
