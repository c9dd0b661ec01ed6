//! Batches in a session: which of them go together, and how it ended.

use super::DeliveryContext;
use super::fault::SendFault;
use super::gate::Gate;
use super::notes::Notes;
use super::session::Tally;
use super::wait::lacks_room;
use crate::app::config::PartnerConfig;
use crate::deliver::{
    BatchFault, BatchOutcome, Caller, DeliverFault, FileToDeliver, GroupLimits, MoreSessions, TemporaryPlace,
    deliver_batches,
};
use crate::disk::ahead::ReadAhead;
use crate::domain::delivery::{Attempt, DeliveryFact, FileState};
use crate::domain::disposition::Disposition;
use crate::domain::place;
use crate::domain::time::Length;
use crate::ledger::LedgerFault;
use crate::ledger::delivery::{BatchToSend, FileToSend};
use crate::remote::{Body, Remote, RemotePath};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files whose acts are announced together, at most: as many as the ledger takes in one transaction.
const GROUP_FILES: usize = 64;
/// Bytes of files that one session uploads before it shows the first of them, at most.
const GROUP_BYTES: u64 = 16 << 20;

/// Larger files are read and proved by a thread of their own, while the pieces before are on their way.
const AHEAD_FROM_BYTES: u64 = 4 << 20;

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
    /// It is a directory of this machine.
    pub is_here: bool,
}

impl Target<'_> {
    /// Whether another batch may be begun now.
    pub(super) fn begins(&self, context: &DeliveryContext) -> bool {
        !context.ends() && self.gate.quiet_until().is_none()
    }

    fn deliverable(&self, context: &DeliveryContext, batch: usize, file: &FileToSend) -> FileToDeliver {
        FileToDeliver {
            batch,
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
            is_announced: false,
        }
    }

    /// How many files may be uploaded before the first of them is shown. Where not all have room each is shown before the
    /// next is begun: only what the partner sees can it take, to make room for the rest.
    fn group_files(&self, files: &[FileToDeliver]) -> usize {
        let waiting = files.iter().filter(|file| !file.state.is_delivered()).count();
        if self.gate.has_room_for(waiting) { GROUP_FILES } else { 1 }
    }
}

/// How many batches, the first ones of these, go together: the first as it is, and those behind it that nobody has begun.
/// Where the directory has room for so many files alone, each batch is whole before the next.
pub(super) fn together(partner: &PartnerConfig, batches: &[&BatchToSend]) -> usize {
    let is_fresh = |file: &FileToSend| {
        file.temporary.is_none() && matches!(&file.state, FileState::Void | FileState::Pending { next: Attempt::FIRST })
    };
    let may_follow = |batch: &BatchToSend| partner.remote_files_max.is_none() && batch.files.iter().all(is_fresh);
    let mut names = BTreeSet::new();
    let follow = batches.iter().enumerate().take_while(|(place, batch)| {
        (*place == 0 || may_follow(batch)) && batch.files.iter().all(|file| names.insert(&file.name))
    });
    follow.count().max(1)
}

/// Sends batches that go [`together`]. False when it cannot go on now: a file is held, or a person has ordered something
/// else, or no file may be begun.
pub(super) fn send_batches(
    context: &DeliveryContext,
    target: &Target<'_>,
    session: &mut dyn Remote,
    batches: &[&BatchToSend],
    tally: &mut Tally,
) -> Result<bool, SendFault> {
    let files = batches.iter().enumerate().flat_map(|(place, batch)| batch.files.iter().map(move |file| (place, file)));
    let files = files.filter(|(_, file)| file.state != FileState::Void);
    let files: Vec<FileToDeliver> = files.map(|(place, file)| target.deliverable(context, place, file)).collect();
    let notes = Notes::new(context, target, batches);
    let record = |facts: &[(&FileToDeliver, DeliveryFact)]| notes.record(facts);
    let allow = |file: &FileToDeliver| notes.allow(file);
    let begins = || target.begins(context);
    let open = |file: &FileToDeliver| -> std::io::Result<Box<dyn Body>> {
        let row = notes.row_of(file).ok_or(std::io::ErrorKind::NotFound)?;
        let file = context.archive.full_path(&row.archive_path);
        let open = || context.archive.open_proved(&row.archive_path, row.bytes, row.sha256);
        // Into a directory of this machine sessions write that take turns: a thread more would only wait for them.
        if row.bytes >= AHEAD_FROM_BYTES
            && !target.is_here
            && let Ok(ahead) = ReadAhead::new(open()?)
        {
            return Ok(Box::new(Archived { content: ahead, file }));
        }
        Ok(Box::new(Archived { content: open()?, file }))
    };
    let pause = |look: u32| {
        let (never, silent) = std::sync::mpsc::channel::<()>();
        context.clock.wait(Length::from_seconds(u64::from(look.min(5))), &silent);
        drop(never);
    };
    let mut all_files = batches.iter().flat_map(|batch| &batch.files);
    if all_files.any(FileToSend::may_be_shown) {
        // What shows the file may be done again, and whoever intended it may have had no room to tell the archive's log.
        context.ledger.tell(context.clock.now())?;
    }
    let clock = context.clock.as_ref();
    let caller = Caller { open: &open, record: &record, allow: &allow, begins: &begins, pause: &pause, clock };
    let limits = GroupLimits { files: target.group_files(&files), bytes: GROUP_BYTES };
    let done = std::thread::scope(|scope| {
        scope.spawn(|| notes.keep_up());
        let _closing = notes.closing();
        deliver_batches(session, target.more, files, limits, &caller)
    });
    let written = notes.finish();
    tally.files += notes.delivered();
    tally.batches += batches.iter().filter(|batch| notes.is_whole(batch)).count() as u64;
    // What stopped the delivery is told before what it kept from being recorded.
    let done = done.map_err(|stopped| (stopped.name, stopped.fault)).and_then(|outcome| {
        match (written, batches.iter().find_map(|batch| batch.files.first())) {
            (Err(fault), Some(file)) => Err((file.name.clone(), DeliverFault::Record(fault))),
            _ => Ok(outcome),
        }
    });
    match done {
        Ok(BatchOutcome::Delivered) => Ok(true),
        Ok(BatchOutcome::Stopped { .. }) => Ok(false),
        // A person has ordered something else meanwhile, or no file may be begun now.
        Err((_, DeliverFault::Record(LedgerFault::Overtaken { .. }))) => Ok(false),
        Err((name, fault)) => Err(why(context, &BatchFault { name, fault })),
    }
}

/// A file of the archive, which is proved while it is read.
struct Archived<R> {
    content: R,
    file: PathBuf,
}

impl<R: Read> Read for Archived<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.content.read(buffer)
    }
}

impl<R: Read> Body for Archived<R> {
    fn file(&self) -> Option<&Path> {
        Some(&self.file)
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

fn why(context: &DeliveryContext, fault: &BatchFault<LedgerFault>) -> SendFault {
    // The reserve was given up for it, or somebody makes room: the files go on from what is recorded.
    let makes_room = matches!(&fault.fault, DeliverFault::Record(ledger) if lacks_room(context, ledger));
    let disposition = if makes_room { Disposition::Retry } else { fault.fault.disposition() };
    let kind = if let DeliverFault::Remote(remote) = &fault.fault { Some(remote.kind) } else { None };
    SendFault::Batch { what: fault.to_string(), disposition, kind }
}
