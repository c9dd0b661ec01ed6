//! A journal with some of its bytes changed: it is opened as it was, or the damage is found. What can be read is what
//! was written, and nothing that was durable is missing.
#![no_main]

use hourdrop::disk::RealDisk;
use hourdrop::domain::ids::Lsn;
use hourdrop::spool::{OpenSegment, Spool, SpoolLimits, StoreId};
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

const STORE: StoreId = StoreId([7; 16]);

// Frames, then changes: a byte that says how many frames, one for each frame (length, and whether a sync follows),
// then groups of four bytes: a segment, a place in it, and what becomes of the byte there.
fuzz_target!(|data: &[u8]| {
    let [frames, rest @ ..] = data else { return };
    let frames = usize::from(*frames) % 24;
    if rest.len() < frames {
        return;
    }
    let (shapes, changes) = rest.split_at(frames);
    let dir = hourdrop_fuzz::place();
    let journal = dir.path().join("journal");
    let limits = SpoolLimits { segment_bytes_max: 600, ..SpoolLimits::default() };
    let mut written: Vec<Vec<u8>> = Vec::new();
    let durable = {
        let mut spool = Spool::open(Arc::new(RealDisk), &journal, STORE, limits, Lsn(0)).expect("a new journal");
        for (number, shape) in shapes.iter().enumerate() {
            let payload = vec![u8::try_from(number).expect("small"); usize::from(shape & 0x7f)];
            spool.append(1, &payload).expect("append");
            written.push(payload);
            if shape & 0x80 != 0 {
                spool.sync().expect("sync");
            }
        }
        let durable = spool.durable();
        // What follows the last sync may have reached the disk or not.
        if changes.first().is_some_and(|first| first & 1 == 1) {
            spool.sync().expect("sync");
        }
        durable
    };
    let mut segments: Vec<PathBuf> =
        fs::read_dir(&journal).expect("journal").map(|entry| entry.expect("entry").path()).collect();
    segments.sort();
    for change in changes.chunks_exact(4) {
        let Some(path) = segments.get(usize::from(change[0]) % segments.len().max(1)) else { break };
        let mut bytes = fs::read(path).expect("segment");
        let at = usize::from(u16::from_le_bytes([change[1], change[2]]));
        match change[3] {
            0 => bytes.truncate(at),
            with if !bytes.is_empty() => {
                let length = bytes.len();
                bytes[at % length] ^= with;
            }
            _ => {}
        }
        fs::write(path, bytes).expect("segment");
    }
    let Ok(spool) = Spool::open(Arc::new(RealDisk), &journal, STORE, limits, durable) else { return };
    assert!(spool.durable() >= durable, "durable frames are gone");
    // Which frames were freed is for the ledger to know: a start that misses the first ones is refused by that.
    if spool.first() != Lsn(1) {
        return;
    }
    let (mut open, mut payload) = (OpenSegment::default(), Vec::new());
    for lsn in spool.first().0..=spool.durable().0 {
        if spool.read(Lsn(lsn), &mut open, &mut payload).is_ok_and(|kind| kind.is_some()) {
            let wanted = usize::try_from(lsn).ok().and_then(|lsn| written.get(lsn - 1));
            assert_eq!(Some(&payload), wanted, "frame {lsn} has another content");
        }
    }
});
