//! The files of batches in their order, those of each batch with its manifest last.

use super::group::{Around, GroupLimits, take_back};
use super::parallel::MoreSessions;
use super::{DeliverFault, FileToDeliver};
use crate::clock::Clock;
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::ids::FileName;
use crate::remote::{Body, Remote};
use std::fmt::Display;
use std::io;

/// What the files of batches need besides the session; several sessions share it.
pub struct Caller<'a, E> {
    /// Opens the archived file.
    pub open: &'a (dyn Fn(&FileToDeliver) -> io::Result<Box<dyn Body>> + Sync),
    /// Makes facts durable, all of them or none, before the acts that they announce.
    pub record: &'a RecordAll<'a, E>,
    /// Asked before an act that was announced together with others: refuses it when somebody has ordered something else
    /// meanwhile.
    pub allow: &'a (dyn Fn(&FileToDeliver) -> Result<(), E> + Sync),
    /// Whether another batch may be begun.
    pub begins: &'a (dyn Fn() -> bool + Sync),
    /// Waits a moment before another look.
    pub pause: &'a (dyn Fn(u32) + Sync),
    /// Tells when a file was delivered.
    pub clock: &'a dyn Clock,
}

/// Makes facts durable, all of them or none.
pub type RecordAll<'a, E> = dyn Fn(&[(&FileToDeliver, DeliveryFact)]) -> Result<(), E> + Sync + 'a;

/// How the delivery of batches ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Every file and the manifest of each batch that was begun are delivered.
    Delivered,
    /// A file waits for a person; nothing after it was begun.
    Stopped {
        /// Which file.
        name: FileName,
        /// Its state.
        state: FileState,
    },
}

/// A file that could not be delivered now; nothing after it was shown. Drop the session.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {fault}")]
pub struct BatchFault<E> {
    /// Which file.
    pub name: FileName,
    /// Why.
    pub fault: DeliverFault<E>,
}

/// Delivers files in the given order, which are the part files of a batch, its manifest, those of the next batch and so
/// on, and stops at the first that is not delivered. So a manifest is visible only when everything it lists is, and
/// nothing of a batch before the batch before it.
///
/// # Errors
/// [`BatchFault`] with the file that it stopped at.
pub fn deliver_batches<E: Send + Display>(
    session: &mut dyn Remote,
    more: &MoreSessions<'_>,
    mut files: Vec<FileToDeliver>,
    limits: GroupLimits,
    caller: &Caller<'_, E>,
) -> Result<BatchOutcome, BatchFault<E>> {
    let done = Around::new(more, limits, caller).deliver(session, &mut files);
    if !matches!(done, Ok(None)) {
        take_back(files.iter(), caller);
    }
    Ok(done?.unwrap_or(BatchOutcome::Delivered))
}
