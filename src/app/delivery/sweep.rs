//! What of ours lies at a partner under temporary names and is not needed any more.

use super::DeliveryContext;
use super::fault::SendFault;
use super::route::record;
use crate::app::config::PartnerConfig;
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::place;
use crate::ledger::delivery::BatchToSend;
use crate::remote::{Remote, RemotePath};

/// Removes the temporary files that void and settled files have left at a server, and what was given up there.
pub(super) fn sweep(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    server: usize,
    session: &mut dyn Remote,
) -> Result<(), SendFault> {
    let lies_here = |text: &str| partner.server_of(text) == Some(server);
    for feed in &partner.feeds {
        let leftovers = context.ledger.lock().leftovers(&feed.id)?;
        for (row, name, text) in leftovers.into_iter().filter(|(.., text)| lies_here(text)) {
            remove(session, &text)?;
            context.ledger.lock().record_swept(&feed.id, row, &name, context.clock.now())?;
        }
        let left = context.ledger.lock().left_behind(&feed.id)?;
        for (name, text) in left.into_iter().filter(|(_, text)| lies_here(text)) {
            remove(session, &text)?;
            context.ledger.lock().record_fetched_back(&feed.id, &text, &name, context.clock.now())?;
        }
    }
    Ok(())
}

/// Gives up the uploads that were begun at a server and broke off, and removes what came of them: a disk that is full, or
/// a quota that is used up, is not to be filled with what nobody can use. What is written under its final name is looked at
/// before anything is removed, which is for the next session.
pub(super) fn remove_parts(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    server: usize,
    work: &[Vec<BatchToSend>],
    session: &mut dyn Remote,
) -> Result<(), SendFault> {
    for batch in work.iter().flatten() {
        for file in &batch.files {
            if let FileState::Uploading { temporary, .. } = &file.state
                && !file.may_be_shown()
                && partner.server_of(temporary) == Some(server)
            {
                remove(session, temporary)?;
                record(context, batch, file, &DeliveryFact::UploadAbandoned)?;
            }
        }
    }
    Ok(())
}

fn remove(session: &mut dyn Remote, text: &str) -> Result<(), SendFault> {
    match RemotePath::parse(place::split(text).1) {
        Ok(path) => Ok(session.remove(&path)?),
        // Such a path was never used.
        Err(_) => Ok(()),
    }
}
