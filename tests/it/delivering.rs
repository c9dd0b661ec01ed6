//! What tests of deliveries have in common.

use hourdrop::clock::{Clock, SystemClock};
use hourdrop::deliver::{
    DeliverFault, FileToDeliver, InDoubtRule, StoreMark, Surroundings, TemporaryPlace, deliver_file,
};
use hourdrop::domain::delivery::{ContentCheck, DeliveryFact, FileState, Verified};
use hourdrop::domain::ids::{FileName, Sha256Digest};
use hourdrop::remote::{Remote, RemotePath};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::io::{Cursor, Read};

/// Delivers one file and keeps the facts.
pub fn deliver(
    session: &mut dyn Remote,
    file: &FileToDeliver,
    content: &[u8],
) -> (Result<FileState, DeliverFault<Infallible>>, Vec<DeliveryFact>) {
    let mut facts = Vec::new();
    let mut body = || Ok(Box::new(Cursor::new(content.to_vec())) as Box<dyn Read>);
    let mut record = |fact| {
        facts.push(fact);
        Ok(())
    };
    let clock: &dyn Clock = &SystemClock;
    let mut around = Surroundings { clock, pause: &mut |_| (), progress: &mut |_| () };
    let state = deliver_file(session, file, &mut body, &mut record, &mut around);
    (state, facts)
}

pub fn file(directory: &RemotePath, name: &str, bytes: usize) -> FileToDeliver {
    FileToDeliver {
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
