//! One batch in a session: what the ledger is told, and when.

use super::fault::SendFault;
use super::gate::Gate;
use super::session::Tally;
use super::wait::lacks_room;
use super::{DeliveryContext, damage};
use crate::app::config::PartnerConfig;
use crate::deliver::{
    BatchFault, BatchOutcome, DeliverFault, FileToDeliver, MoreSessions, Surroundings, TemporaryPlace, Uploads,
    deliver_batch, upload_parts,
};
use crate::domain::delivery::{DeliveryFact, FileState, Proof};
use crate::domain::disposition::Disposition;
use crate::domain::place;
use crate::domain::time::Length;
use crate::ledger::LedgerFault;
use crate::ledger::delivery::{BatchToSend, FileToSend};
use crate::remote::{Remote, RemotePath};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a session sends to, and under which rules.
pub(super) struct Target<'t> {
    /// The partner.
    pub partner: &'t PartnerConfig,
    /// Which of its servers.
    pub server: usize,
    /// The directory there.
    pub directory: &'t RemotePath,
    /// Where files lie until they are complete.
    pub temporary: TemporaryPlace,
    /// Says whether the next file may be begun.
    pub gate: &'t Gate<'t>,
    /// Sessions that help to upload.
    pub more: &'t MoreSessions<'t>,
}

impl Target<'_> {
    fn deliverable(&self, context: &DeliveryContext, file: &FileToSend) -> FileToDeliver {
        FileToDeliver {
            name: file.name.clone(),
            is_manifest: file.part.0 == 0,
            directory: self.directory.clone(),
            temporary: self.temporary.clone(),
            store: context.mark.clone(),
            bytes: file.bytes,
            sha256: file.sha256,
            check: self.partner.check,
            state: bare(&file.state),
            in_doubt: self.partner.in_doubt,
            is_compared: false,
        }
    }

    /// Uploads part files before the first of them is shown. Where not all have room each is shown before the next is
    /// begun: only what the partner sees can it take, to make room for the rest.
    fn upload_ahead(
        &self,
        session: &mut dyn Remote,
        parts: Vec<FileToDeliver>,
        uploads: &Uploads<'_, LedgerFault>,
    ) -> Result<Vec<FileToDeliver>, BatchFault<LedgerFault>> {
        let waiting = parts.iter().filter(|file| !file.state.is_delivered()).count();
        if self.gate.has_room_for(waiting) { upload_parts(session, self.more, parts, uploads) } else { Ok(parts) }
    }
}

/// Sends one batch. False when it cannot go on now: a file is held, or a person has ordered something else, or no file
/// may be begun.
pub(super) fn send_batch(
    context: &DeliveryContext,
    target: &Target<'_>,
    session: &mut dyn Remote,
    batch: &BatchToSend,
    tally: &mut Tally,
) -> Result<bool, SendFault> {
    let Target { partner, server, gate, .. } = target;
    let to_deliver = |file: &FileToSend| target.deliverable(context, file);
    let files = batch.files.iter().filter(|file| file.state != FileState::Void);
    let (parts, manifest): (Vec<&FileToSend>, Vec<&FileToSend>) = files.partition(|file| file.part.0 > 0);
    let parts: Vec<FileToDeliver> = parts.into_iter().map(to_deliver).collect();
    let manifest: Option<FileToDeliver> = manifest.into_iter().next().map(to_deliver);
    let states: Mutex<BTreeMap<i64, FileState>> = Mutex::default();
    let states = || states.lock().unwrap_or_else(PoisonError::into_inner);
    let delivered = AtomicU64::new(0);
    let row_of = |file: &FileToDeliver| batch.files.iter().find(|known| known.name == file.name);
    let record = |file: &FileToDeliver, fact: DeliveryFact| -> Result<(), LedgerFault> {
        let Some(row) = row_of(file) else { return Ok(()) };
        let fact = kept(partner, *server, fact);
        let state = states().get(&row.row).cloned().unwrap_or_else(|| row.state.clone());
        let mut ledger = context.ledger.lock();
        let begins = matches!(fact, DeliveryFact::UploadIntended { .. });
        if begins && (!gate.lets_begin() || ledger.rests(&batch.id.feed)?) {
            return Err(LedgerFault::Overtaken { name: file.name.to_string() });
        }
        let next = ledger.record_delivery(batch, row, &state, &fact, context.clock.now())?;
        if begins {
            gate.begun();
        }
        drop(ledger);
        if fact.may_show() {
            // Only what the archive's log names may have been seen by the partner, should the ledger be lost.
            context.ledger.tell(context.clock.now())?;
        }
        if let FileState::Delivered { proof } = &next {
            tracing::info!(partner = %partner.id, file = %file.name, bytes = file.bytes, how = proof.how.as_str(), "file delivered");
            context.progress.delivered(partner.id.as_str(), file.name.as_str());
            delivered.fetch_add(1, Ordering::Relaxed);
        }
        if let FileState::Held { reason, .. } = &next {
            tracing::warn!(partner = %partner.id, file = %file.name, ?reason, "file held");
        }
        damage::report(context, row, &next)?;
        states().insert(row.row, next);
        Ok(())
    };
    let open = |file: &FileToDeliver| -> std::io::Result<Box<dyn Read>> {
        let row = row_of(file).ok_or(std::io::ErrorKind::NotFound)?;
        Ok(Box::new(context.archive.open_proved(&row.archive_path, row.bytes, row.sha256)?))
    };
    let pause = |look: u32| {
        let (never, silent) = std::sync::mpsc::channel::<()>();
        context.clock.wait(Length::from_seconds(u64::from(look.min(5))), &silent);
        drop(never);
    };
    if batch.files.iter().any(FileToSend::may_be_shown) {
        // What shows the file may be done again, and whoever intended it may have had no room to tell the archive's log.
        context.ledger.tell(context.clock.now())?;
    }
    let clock = context.clock.as_ref();
    let uploads = Uploads { open: &open, record: &record, pause: &pause, clock };
    let done = target.upload_ahead(session, parts, &uploads).and_then(|parts| {
        let mut around = Surroundings { clock, pause: &mut |look| pause(look), progress: &mut |_bytes| {} };
        let (mut open, mut record) = (open, |file: &FileToDeliver, fact| record(file, fact));
        deliver_batch(session, &parts, manifest.as_ref(), &mut open, &mut record, &mut around)
    });
    tally.files += delivered.load(Ordering::Relaxed);
    match done {
        Ok(BatchOutcome::Delivered) => {
            tally.batches += 1;
            Ok(true)
        }
        Ok(BatchOutcome::Stopped { .. }) => Ok(false),
        // A person has ordered something else meanwhile, or no file may be begun now.
        Err(BatchFault { fault: DeliverFault::Record(LedgerFault::Overtaken { .. }), .. }) => Ok(false),
        Err(fault) => Err(why(context, &fault)),
    }
}

/// The state with paths as the server knows them.
fn bare(state: &FileState) -> FileState {
    let mut state = state.clone();
    if let FileState::Uploading { temporary, .. }
    | FileState::Uploaded { temporary, .. }
    | FileState::Renaming { temporary, .. } = &mut state
    {
        *temporary = Arc::from(place::split(temporary).1);
    }
    state
}

/// The fact with paths as the ledger keeps them.
fn kept(partner: &PartnerConfig, server: usize, mut fact: DeliveryFact) -> DeliveryFact {
    if let DeliveryFact::UploadIntended { temporary: path, .. }
    | DeliveryFact::RenameConfirmed(Proof { name: path, .. }) = &mut fact
    {
        *path = partner.kept_path(server, path);
    }
    fact
}

fn why(context: &DeliveryContext, fault: &BatchFault<LedgerFault>) -> SendFault {
    // The reserve was given up for it, or somebody makes room: the files go on from what is recorded.
    let makes_room = matches!(&fault.fault, DeliverFault::Record(ledger) if lacks_room(context, ledger));
    let disposition = if makes_room { Disposition::Retry } else { fault.fault.disposition() };
    let kind = if let DeliverFault::Remote(remote) = &fault.fault { Some(remote.kind) } else { None };
    SendFault::Batch { what: fault.to_string(), disposition, kind }
}
