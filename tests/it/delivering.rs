//! What tests of deliveries have in common.

use hourdrop::clock::{Clock, SystemClock};
use hourdrop::deliver::{
    BatchFault, BatchOutcome, Caller, DeliverFault, FileToDeliver, GroupLimits, InDoubtRule, MoreSessions, RecordAll,
    StoreMark, Surroundings, TemporaryPlace, deliver_batches, deliver_file,
};
use hourdrop::domain::delivery::{ContentCheck, DeliveryFact, FileState, Verified};
use hourdrop::domain::ids::{FileName, Sha256Digest};
use hourdrop::remote::{Body, FaultKind, Outcome, Remote, RemoteFault, RemotePath};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::fmt::Display;
use std::io::Cursor;

/// Delivers one file and keeps the facts.
pub fn deliver(
    session: &mut dyn Remote,
    file: &FileToDeliver,
    content: &[u8],
) -> (Result<FileState, DeliverFault<Infallible>>, Vec<DeliveryFact>) {
    let mut facts = Vec::new();
    let mut body = || Ok(Box::new(Cursor::new(content.to_vec())) as Box<dyn Body>);
    let mut record = |fact| {
        facts.push(fact);
        Ok(())
    };
    let clock: &dyn Clock = &SystemClock;
    let mut around = Surroundings { clock, pause: &mut |_| (), progress: &mut |_| () };
    let state = deliver_file(session, file, &mut body, &mut record, &mut around);
    (state, facts)
}

/// Delivers a batch file by file, or in groups; `record` is given every fact.
pub fn deliver_files<E: Send + Display>(
    session: &mut dyn Remote,
    (parts, manifest): (Vec<FileToDeliver>, FileToDeliver),
    files_at_once: usize,
    content: &(dyn Fn(&str) -> Vec<u8> + Sync),
    record: &RecordAll<'_, E>,
) -> Result<BatchOutcome, BatchFault<E>> {
    let no_more = || Err(RemoteFault::new(FaultKind::Busy, "connect", Outcome::NotDone));
    let open = |file: &FileToDeliver| Ok(Box::new(Cursor::new(content(file.name.as_str()))) as Box<dyn Body>);
    let caller =
        Caller { open: &open, record, allow: &|_| Ok(()), begins: &|| true, pause: &|_| (), clock: &SystemClock };
    let limits = GroupLimits { files: files_at_once, bytes: 1 << 20 };
    let manifest = FileToDeliver { is_manifest: true, ..manifest };
    let files = parts.into_iter().chain([manifest]).collect();
    deliver_batches(session, &MoreSessions::new(0, &no_more), files, limits, &caller)
}

pub fn file(directory: &RemotePath, name: &str, bytes: usize) -> FileToDeliver {
    FileToDeliver {
        batch: 0,
        name: FileName::parse(name).expect("name"),
        directory: directory.clone(),
        is_manifest: false,
        temporary: TemporaryPlace::Beside,
        store: StoreMark::parse("0123abcd").expect("mark"),
        bytes: u64::try_from(bytes).expect("size"),
        sha256: Sha256Digest([0; 32]),
        check: ContentCheck::Size,
        state: FileState::default(),
        in_doubt: InDoubtRule::Hold,
        is_compared: false,
        is_announced: false,
    }
}

/// A file with this content, which is to be proved.
pub fn proved(directory: &RemotePath, name: &str, content: &[u8], check: ContentCheck) -> FileToDeliver {
    let sha256 = Sha256Digest(Sha256::digest(content).into());
    FileToDeliver { sha256, check, ..file(directory, name, content.len()) }
}

pub fn how(state: &FileState) -> Option<Verified> {
    match state {
        FileState::Delivered { proof } => Some(proof.how),
        _ => None,
    }
}
