//! What of ours lies at a partner under temporary names and is not needed any more.

use super::DeliveryContext;
use super::fault::SendFault;
use crate::app::config::PartnerConfig;
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::ledger::LedgerFault;
use crate::ledger::delivery::BatchToSend;
use crate::remote::{Remote, RemotePath};

/// Removes the temporary files that void and settled files have left at the partner.
pub(super) fn sweep(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    session: &mut dyn Remote,
) -> Result<(), SendFault> {
    for feed in &partner.feeds {
        let leftovers = context.ledger.lock().leftovers(&feed.id)?;
        for (row, name, path) in leftovers {
            if let Ok(path) = RemotePath::parse(&path) {
                session.remove(&path)?;
            }
            context.ledger.lock().record_swept(&feed.id, row, &name, context.clock.now())?;
        }
    }
    Ok(())
}

/// Gives up the uploads that were begun and broke off, and removes what came of them: a disk that is full, or a quota
/// that is used up, is not to be filled with what nobody can use.
pub(super) fn remove_parts(
    context: &DeliveryContext,
    work: &[Vec<BatchToSend>],
    session: &mut dyn Remote,
) -> Result<(), SendFault> {
    for batch in work.iter().flatten() {
        for file in &batch.files {
            if let FileState::Uploading { temporary, .. } = &file.state
                && let Ok(path) = RemotePath::parse(temporary)
            {
                session.remove(&path)?;
                let (fact, now) = (DeliveryFact::UploadAbandoned, context.clock.now());
                let recorded = context.ledger.lock().record_delivery(batch, file, &file.state, &fact, now);
                match recorded {
                    // A person has ordered something else meanwhile.
                    Ok(_) | Err(LedgerFault::Overtaken { .. }) => {}
                    Err(fault) => return Err(fault.into()),
                }
            }
        }
    }
    Ok(())
}
