//! The files of one batch in their order, the manifest last.

use super::life::Life;
use super::{DeliverFault, FileToDeliver, Surroundings};
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::ids::FileName;
use crate::remote::{Remote, RemoteFault};
use std::collections::BTreeSet;
use std::io::{self, Read};

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

/// A file of a batch that could not be delivered now; nothing after it was begun. Drop the session.
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
pub fn deliver_batch<E>(
    session: &mut dyn Remote,
    parts: &[FileToDeliver],
    manifest: Option<&FileToDeliver>,
    open: &mut dyn FnMut(&FileToDeliver) -> io::Result<Box<dyn Read>>,
    record: &mut dyn FnMut(&FileToDeliver, DeliveryFact) -> Result<(), E>,
    surroundings: &mut Surroundings<'_>,
) -> Result<BatchOutcome, BatchFault<E>> {
    let mut listed = None;
    for file in parts.iter().chain(manifest) {
        let stopped = |fault| BatchFault { name: file.name.clone(), fault };
        if listed.is_none() && !file.state.is_delivered() {
            listed = Some(names_beside(session, file).map_err(|fault| stopped(fault.into()))?);
        }
        let is_listed = listed.as_ref().is_some_and(|names| names.contains(file.name.as_str()));
        let (mut body, mut record) = (|| open(file), |fact| record(file, fact));
        let life = Life::new(session, file, &mut body, &mut record, surroundings).listed(is_listed);
        let state = life.run().map_err(stopped)?;
        if !state.is_delivered() {
            return Ok(BatchOutcome::Stopped { name: file.name.clone(), state });
        }
    }
    Ok(BatchOutcome::Delivered)
}

/// The names that lie in the directory of the final names before anything is sent.
fn names_beside(session: &mut dyn Remote, file: &FileToDeliver) -> Result<BTreeSet<String>, RemoteFault> {
    Ok(session.list(&file.directory)?.into_iter().map(|entry| entry.name).collect())
}
