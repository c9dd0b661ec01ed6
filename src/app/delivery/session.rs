//! One session with a partner's server.

use super::DeliveryContext;
use super::batch::{Target, send_batches, together};
use super::fault::SendFault;
use super::gate::Gate;
use super::route::give_up_elsewhere;
use super::sweep::{remove_parts, sweep};
use super::unpicked::KnownNames;
use crate::app::ahead::files_ahead;
use crate::app::config::PartnerConfig;
use crate::app::pickup::{Server, Watch};
use crate::deliver::{MoreSessions, TemporaryPlace};
use crate::domain::delivery::FileState;
use crate::domain::disposition::Disposition;
use crate::domain::time::Length;
use crate::ledger::delivery::BatchToSend;
use crate::remote::{Address, Endpoint, Remote, RemoteEntry, RemoteFault, RemotePath};
use std::sync::Arc;

/// Further sessions for a directory of this machine, at least: each syncs what it has written, and the first one shows.
const MORE_HERE: usize = 2;

/// What is remembered of a server's directory from one session to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// It was compared with the ledger.
    is_compared: bool,
    /// Names there.
    names: KnownNames,
    /// Batches delivered there by this process.
    delivered: u64,
    /// When it was looked at for files that were taken.
    watch: Watch,
}

impl Memory {
    /// Looks for files that were taken, and for answers, in a session of its own. Says what went wrong.
    pub(super) fn look_alone(
        &mut self,
        context: &DeliveryContext,
        partner: &PartnerConfig,
        server: Server<'_>,
    ) -> Option<String> {
        let connect = || open(context, partner, server.1);
        self.watch.look_alone(context, partner, server, self.delivered, connect)
    }

    /// How long nothing needs to be looked at: at most `longest`.
    pub(super) fn rest(&self, context: &DeliveryContext, partner: &PartnerConfig, longest: Length) -> Length {
        self.watch.rest(context, partner, longest)
    }
}

/// What was delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Whole batches.
    pub batches: u64,
    /// Files, also of batches that are not whole yet.
    pub files: u64,
}

/// Sends all work, feed by feed.
pub(super) fn send(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    (server, address): (usize, &Address),
    work: &[Vec<BatchToSend>],
    gate: &Gate<'_>,
    memory: &mut Memory,
    tally: &mut Tally,
) -> Result<(), SendFault> {
    let endpoint = partner.endpoint_at(address)?;
    let mut session = open_endpoint(context, partner, &endpoint)?;
    let directory = &address.directory;
    session.create_dir(directory)?;
    if !memory.is_compared || partner.remote_files_max.is_some() {
        let listing = session.list(directory)?;
        if !memory.is_compared {
            refuse_ahead(context, partner, &listing)?;
            memory.is_compared = true;
        }
        gate.set_room(room(context, partner, &mut memory.names, &listing, work)?);
    }
    let temporary = temporary_place(partner, session.as_mut())?;
    let open_more = || open_endpoint(context, partner, &endpoint);
    let is_here = matches!(endpoint, Endpoint::LocalDir { .. });
    let least = if is_here && context.threads { MORE_HERE } else { 0 };
    let more = MoreSessions::new(partner.connections.saturating_sub(1).max(least), &open_more);
    let target = Target { partner, server, directory, temporary, gate, more: &more, is_here };
    sweep(context, partner, server, session.as_mut())?;
    let batches: Vec<&BatchToSend> = work.iter().flatten().collect();
    let mut left = batches.as_slice();
    while let Some(first) = left.first() {
        if !target.begins(context) {
            return Ok(());
        }
        if give_up_elsewhere(context, partner, server, first)? {
            // It is another batch now.
            return Ok(());
        }
        let (sent, later) = left.split_at(together(partner, left));
        let before = tally.batches;
        let done = send_batches(context, &target, session.as_mut(), sent, tally);
        memory.delivered += tally.batches - before;
        if !done? {
            // The feed is held or rests, and the next turn leaves it out; or the directory is full.
            if !gate.is_full() {
                return Ok(());
            }
            break;
        }
        left = later;
    }
    memory.watch.look_after(context, partner, (server, address), session.as_mut(), memory.delivered);
    Ok(())
}

/// How many files may be begun until the directory holds as many of ours as it may. What was uploaded before counts as if
/// it lay there already.
fn room(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    names: &mut KnownNames,
    listing: &[RemoteEntry],
    work: &[Vec<BatchToSend>],
) -> Result<Option<u64>, SendFault> {
    let Some(max) = partner.remote_files_max else { return Ok(None) };
    let unpicked = names.unpicked(&context.ledger.lock(), &partner.id, listing)?.len();
    let is_underway = |state: &FileState| matches!(state, FileState::Uploaded { .. } | FileState::Renaming { .. });
    let files = work.iter().flatten().flat_map(|batch| &batch.files);
    let underway = files.filter(|file| is_underway(&file.state)).count();
    Ok(Some(max.saturating_sub((unpicked + underway) as u64)))
}

/// Takes away what uploads that broke off have left, in a session of its own.
pub(super) fn clear(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    (server, address): (usize, &Address),
    work: &[Vec<BatchToSend>],
) -> Result<(), SendFault> {
    remove_parts(context, partner, server, work, open(context, partner, address)?.as_mut())
}

fn open(context: &DeliveryContext, partner: &PartnerConfig, address: &Address) -> Result<Box<dyn Remote>, SendFault> {
    Ok(open_endpoint(context, partner, &partner.endpoint_at(address)?)?)
}

fn open_endpoint(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    endpoint: &Endpoint,
) -> Result<Box<dyn Remote>, RemoteFault> {
    endpoint.connect(&partner.deadlines, Arc::clone(&context.disk))
}

fn temporary_place(partner: &PartnerConfig, session: &mut dyn Remote) -> Result<TemporaryPlace, SendFault> {
    if !partner.rename {
        return Ok(TemporaryPlace::Nowhere);
    }
    let Some(path) = &partner.temporary_dir else { return Ok(TemporaryPlace::Beside) };
    let path = RemotePath::parse(path).map_err(|fault| SendFault::Batch {
        what: format!("temporary_dir: {fault}"),
        disposition: Disposition::Stop,
        kind: None,
    })?;
    session.create_dir(&path)?;
    Ok(TemporaryPlace::Directory { path, private: false })
}

/// Once in a process, before anything is uploaded: what lies at the partner must not be ahead of the ledger.
fn refuse_ahead(context: &DeliveryContext, partner: &PartnerConfig, listing: &[RemoteEntry]) -> Result<(), SendFault> {
    let ledger = context.ledger.lock();
    for feed in partner.feeds.iter().filter(|feed| !feed.shadow) {
        if let Some(ahead) = files_ahead(&ledger, feed, listing)?.into_iter().next() {
            return Err(SendFault::Ahead(Box::new(ahead)));
        }
    }
    Ok(())
}
