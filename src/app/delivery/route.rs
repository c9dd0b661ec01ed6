//! Which of a partner's servers a batch may go to.
//!
//! A batch that nobody has seen may go to any. Once a file of it was shown at one server, or may have been, all of it
//! goes there: until then the names that belong together would lie apart, and a file in doubt could be shown twice. A
//! server that the configuration does not name any more binds nothing, but what was being renamed there is in doubt.

use super::DeliveryContext;
use super::fault::SendFault;
use crate::app::config::PartnerConfig;
use crate::domain::delivery::{DeliveryFact, FileState, Verified};
use crate::domain::place;
use crate::ledger::LedgerFault;
use crate::ledger::delivery::{BatchToSend, FileToSend};

/// Where a batch may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To any server.
    Any,
    /// To this one alone.
    Only(usize),
}

impl Way {
    pub(super) fn leads_to(self, server: usize) -> bool {
        matches!(self, Self::Any) || self == Self::Only(server)
    }
}

/// The way of a batch.
pub(super) fn way_of(partner: &PartnerConfig, batch: &BatchToSend) -> Way {
    let bound = batch.files.iter().find_map(|file| partner.server_of(shown_at(file)?));
    bound.map_or(Way::Any, Way::Only)
}

/// The batches of each feed that may go to a server now, up to the first that may not: the names of a feed appear in the
/// order of their numbers.
pub(super) fn work_at(partner: &PartnerConfig, work: &[Vec<BatchToSend>], server: usize) -> Vec<Vec<BatchToSend>> {
    let may_go = |batch: &&BatchToSend| way_of(partner, batch).leads_to(server);
    work.iter().map(|batches| batches.iter().take_while(may_go).cloned().collect()).collect()
}

/// Where a file was shown or may have been, as the ledger keeps it.
fn shown_at(file: &FileToSend) -> Option<&str> {
    let last = || file.temporary.as_deref().unwrap_or_default();
    match &file.state {
        FileState::Delivered { proof } if proof.how != Verified::Person => Some(&proof.name),
        FileState::Renaming { temporary, .. } => Some(temporary),
        FileState::Uploading { attempt, .. }
        | FileState::Uploaded { attempt, .. }
        | FileState::Pending { next: attempt }
        | FileState::Held { next: attempt, .. }
            if attempt.exposed =>
        {
            Some(last())
        }
        FileState::Delivered { .. }
        | FileState::Uploading { .. }
        | FileState::Uploaded { .. }
        | FileState::Pending { .. }
        | FileState::Held { .. }
        | FileState::Void => None,
    }
}

/// What was being shown at a server, or in a directory, that the configuration does not name any more cannot be looked
/// for: a person settles it.
pub(super) fn doubt_the_gone(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    batch: &BatchToSend,
) -> Result<bool, SendFault> {
    let mut doubted = false;
    for file in &batch.files {
        if let FileState::Renaming { temporary, .. } | FileState::Uploading { temporary, .. } = &file.state
            && file.may_be_shown()
            && !partner.is_in_reach(temporary)
        {
            let (at, file_name) = (&**temporary, &file.name);
            tracing::warn!(partner = %partner.id, file = %file_name, at, "in doubt where the configuration does not lead any more");
            doubted |= record(context, batch, file, &DeliveryFact::InDoubt)?;
        }
    }
    Ok(doubted)
}

/// Gives up what was begun at another server and was not shown there. It is removed when that one is reached again.
pub(super) fn give_up_elsewhere(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    server: usize,
    batch: &BatchToSend,
) -> Result<bool, SendFault> {
    let mut gave_up = false;
    for file in &batch.files {
        let Some(temporary) = file.temporary.as_deref() else { continue };
        let is_elsewhere = partner.server_of(temporary) != Some(server);
        let is_open = !matches!(file.state, FileState::Delivered { .. } | FileState::Void | FileState::Held { .. });
        if is_elsewhere && is_open {
            let (label, path) = place::split(temporary);
            let left = place::at_server(Some(label.unwrap_or(&partner.server_label(0))), path);
            let now = context.clock.now();
            let recorded = context.ledger.lock().leave_behind(batch, file, &left, now);
            gave_up |= unless_overtaken(recorded)?;
        }
    }
    Ok(gave_up)
}

/// False when a person has ordered something else meanwhile.
pub(super) fn record(
    context: &DeliveryContext,
    batch: &BatchToSend,
    file: &FileToSend,
    fact: &DeliveryFact,
) -> Result<bool, SendFault> {
    let now = context.clock.now();
    let recorded = context.ledger.lock().record_delivery(batch, file, &file.state, fact, now);
    unless_overtaken(recorded)
}

fn unless_overtaken(recorded: Result<(), LedgerFault>) -> Result<bool, SendFault> {
    match recorded {
        Ok(()) => Ok(true),
        Err(LedgerFault::Overtaken { .. }) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}
