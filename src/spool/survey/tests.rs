use super::*;
use crate::disk::RealDisk;
use crate::spool::lost::{KIND_LOST, LostFrames};
use crate::spool::salvage::{finish_interrupted, salvage};
use crate::spool::{OpenSegment, Spool, SpoolLimits};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

const STORE: StoreId = StoreId([9; 16]);
const FRAMES: u64 = 40;

struct Journal {
    root: tempfile::TempDir,
    payloads: BTreeMap<u64, Vec<u8>>,
}

impl Journal {
    /// Segments of a few frames each; what was written stands in `payloads`.
    fn new(random: &mut fastrand::Rng) -> Self {
        let journal = Self { root: tempfile::tempdir().expect("directory"), payloads: BTreeMap::new() };
        let mut spool = journal.open(0).expect("spool");
        let mut payloads = BTreeMap::new();
        for number in 1..=FRAMES {
            let payload: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
            spool.append(1, &payload).expect("append");
            if random.bool() || number == FRAMES {
                spool.sync().expect("sync");
            }
            payloads.insert(number, payload);
        }
        Self { payloads, ..journal }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    fn open(&self, durable: u64) -> Result<Spool, SpoolFault> {
        let limits = SpoolLimits { segment_bytes_max: 700, ..SpoolLimits::default() };
        Spool::open(Arc::new(RealDisk), &self.dir(), STORE, limits, Lsn(durable))
    }

    fn survey(&self) -> (Survey, BTreeMap<u64, Vec<u8>>, BTreeSet<u64>) {
        self.survey_with(Known { freed: Lsn(1), durable: Lsn(FRAMES) })
    }

    fn survey_with(&self, known: Known) -> (Survey, BTreeMap<u64, Vec<u8>>, BTreeSet<u64>) {
        let (mut good, mut lost) = (BTreeMap::new(), BTreeSet::new());
        let found = survey(&RealDisk, &self.dir(), STORE, known, &mut |frame| {
            if frame.kind == KIND_LOST {
                lost.insert(frame.lsn.0);
                assert!(LostFrames::read(frame.payload).is_some());
            } else {
                good.insert(frame.lsn.0, frame.payload.to_vec());
            }
        });
        (found.expect("a survey"), good, lost)
    }

    fn segments(&self) -> Vec<PathBuf> {
        let entries = RealDisk.list(&self.dir()).expect("list");
        entries.into_iter().map(|entry| entry.path).filter(|path| first_lsn_of(path).is_some()).collect()
    }

    fn damaged(&self) -> BTreeSet<u64> {
        self.survey().0.damage.iter().flat_map(|damage| damage.first.0..=damage.last.0).collect()
    }

    /// Mends it, and sees that nothing is lost but `gone`, and that it goes on.
    fn mend(&self, gone: &BTreeSet<u64>) {
        finish_interrupted(&RealDisk, &self.dir()).expect("nothing to finish");
        let found = self.survey().0;
        salvage(&RealDisk, &self.dir(), &self.root.path().join("damaged"), STORE, &found).expect("salvage");
        let (after, good, lost) = self.survey();
        assert_eq!((after.damage, &lost), (Vec::new(), gone));
        let kept = self.payloads.iter().filter(|(lsn, _)| !gone.contains(lsn));
        assert_eq!(good, kept.map(|(lsn, payload)| (*lsn, payload.clone())).collect());
        let mut spool = self.open(FRAMES).expect("it opens");
        spool.append(1, b"more").expect("append");
        assert_eq!(spool.sync().expect("sync"), Lsn(FRAMES + 1));
        drop(spool);
        let (spool, mut open, mut payload) =
            (self.open(FRAMES + 1).expect("again"), OpenSegment::default(), Vec::new());
        for lsn in 1..=FRAMES {
            let kind = spool.read(Lsn(lsn), &mut open, &mut payload).expect("frame").expect("present");
            assert_eq!(kind == KIND_LOST, gone.contains(&lsn));
        }
    }
}

fn flip(path: &Path, at: u64, bit: u8) {
    let mut bytes = fs::read(path).expect("segment");
    bytes[usize::try_from(at).expect("small")] ^= 1 << bit;
    fs::write(path, bytes).expect("segment");
}

fn set(lsns: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
    lsns.into_iter().collect()
}

#[test]
fn a_good_journal_has_no_damage_and_every_frame() {
    let journal = Journal::new(&mut fastrand::Rng::with_seed(1));
    let (found, good, _) = journal.survey();
    assert!(found.damage.is_empty() && found.segments.len() > 4, "{found:?}");
    assert_eq!(good, journal.payloads);
}

#[test]
fn flipped_bits_are_found_in_exactly_the_frames_that_hold_them_and_the_rest_goes_on() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let journal = Journal::new(&mut random);
        let segments = journal.survey().0.segments;
        let mut gone = BTreeSet::new();
        for _ in 0..random.usize(1..8) {
            let segment = &segments[random.usize(0..segments.len())];
            let frame = segment.frames[random.usize(0..segment.frames.len())];
            flip(&segment.path, frame.offset + random.u64(0..frame.bytes), random.u8(0..8));
            gone.insert(frame.lsn.0);
        }
        // Two flips of one bit are none.
        let good = journal.survey().1;
        let really: BTreeSet<u64> = journal.payloads.keys().copied().filter(|lsn| !good.contains_key(lsn)).collect();
        assert!(really.is_subset(&gone), "seed {seed}");
        assert_eq!(journal.damaged(), really, "seed {seed}");
        if !really.is_empty() {
            assert!(journal.open(FRAMES).is_err(), "the start refuses: seed {seed}");
            journal.mend(&really);
        }
    }
}

#[test]
fn every_flipped_byte_of_a_segment_is_found_where_it_is() {
    let journal = Journal::new(&mut fastrand::Rng::with_seed(2));
    let segment = journal.survey().0.segments[1].clone();
    for at in 0..segment.bytes {
        flip(&segment.path, at, 3);
        let frame = segment.frames.iter().find(|frame| (frame.offset..frame.offset + frame.bytes).contains(&at));
        // The identity in the header makes it another store's.
        let known = Known { freed: Lsn(1), durable: Lsn(FRAMES) };
        let found = survey(&RealDisk, &journal.dir(), STORE, known, &mut |_| {}).expect("a survey");
        let lsns = set(found.damage.iter().flat_map(|damage| damage.first.0..=damage.last.0));
        assert_eq!(lsns, set(frame.map(|frame| frame.lsn.0)), "byte {at}");
        assert_eq!(found.damage.len(), 1, "byte {at}");
        let damage = &found.damage[0];
        assert_eq!((&damage.path, damage.offset), (&segment.path, frame.map_or(0, |frame| frame.offset)), "byte {at}");
        flip(&segment.path, at, 3);
    }
}

#[test]
fn segments_that_are_missing_are_named_and_mended() {
    let count = Journal::new(&mut fastrand::Rng::with_seed(3)).segments().len();
    for index in 0..count {
        let journal = Journal::new(&mut fastrand::Rng::with_seed(3));
        let segment = journal.survey().0.segments[index].clone();
        fs::remove_file(&segment.path).expect("remove");
        let gone = set(segment.frames.iter().map(|frame| frame.lsn.0));
        assert_eq!(journal.damaged(), gone);
        assert_eq!(journal.survey().0.damage[0].path, segment.path);
        journal.mend(&gone);
    }
    let journal = Journal::new(&mut fastrand::Rng::with_seed(3));
    for path in journal.segments() {
        fs::remove_file(path).expect("remove");
    }
    journal.mend(&set(1..=FRAMES));
}

#[test]
fn what_was_never_acknowledged_is_no_damage() {
    let journal = Journal::new(&mut fastrand::Rng::with_seed(4));
    let last = journal.segments().pop().expect("a segment");
    let end = journal.survey().0.segments.pop().expect("a segment").frames.pop().expect("a frame");
    let mut whole = fs::read(&last).expect("segment");
    whole.truncate(usize::try_from(end.offset + end.bytes).expect("small"));
    let known = Known { freed: Lsn(1), durable: Lsn(FRAMES - 1) };
    for cut in [end.offset + 1, end.offset + end.bytes - 1] {
        fs::write(&last, &whole[..usize::try_from(cut).expect("small")]).expect("cut");
        let found = journal.survey_with(known).0;
        assert_eq!((found.damage.len(), found.segments.last().expect("last").torn), (0, cut - end.offset));
        assert_eq!(journal.damaged(), set([FRAMES]), "to a ledger that knows the frame it is damage");
    }
    // Room for more, with or without the beginning of a frame in it.
    let room = [whole.clone(), vec![0; 4096]].concat();
    fs::write(&last, &room).expect("room");
    assert_eq!(journal.survey().0.damage, []);
    let mut begun = room;
    begun[whole.len()..whole.len() + 8].copy_from_slice(b"HDF1\x20\0\0\0");
    fs::write(&last, &begun).expect("a frame that is being written");
    let found = journal.survey().0;
    assert_eq!((found.damage.len(), found.segments.last().expect("last").torn), (0, 4096));
    // Zeros instead of frames that were durable.
    let zeros = vec![0; whole.len() - usize::try_from(end.offset).expect("small")];
    fs::write(&last, [&whole[..usize::try_from(end.offset).expect("small")], &zeros].concat()).expect("zeros");
    assert_eq!(journal.damaged(), set([FRAMES]));
}

#[test]
fn an_interrupted_salvage_is_finished_by_the_next() {
    let journal = Journal::new(&mut fastrand::Rng::with_seed(5));
    let segment = journal.survey().0.segments[2].clone();
    let frame = segment.frames[0];
    flip(&segment.path, frame.offset + 5, 0);
    let mut staged = segment.path.clone().into_os_string();
    staged.push(".new");
    // A copy that was not complete yet is thrown away.
    fs::write(&staged, b"half").expect("half");
    journal.mend(&set([frame.lsn.0]));
    // The new one is complete and the old one is put aside already.
    fs::rename(&segment.path, &staged).expect("between two steps");
    finish_interrupted(&RealDisk, &journal.dir()).expect("finish");
    assert_eq!(journal.damaged(), BTreeSet::new());
}

#[test]
fn frames_that_contradict_each_other_are_named_and_not_mended() {
    let (journal, other) =
        (Journal::new(&mut fastrand::Rng::with_seed(6)), Journal::new(&mut fastrand::Rng::with_seed(6)));
    // The same store with another past: its third segment is good in itself.
    let segment = other.survey().0.segments[2].clone();
    let mut bytes = fs::read(&segment.path).expect("segment");
    let frame = segment.frames[0];
    let (begin, length) = (usize::try_from(frame.offset).expect("small"), usize::try_from(frame.bytes).expect("small"));
    let (read, _) = frame::read(&bytes[begin..]).expect("a frame");
    let (mut again, previous_crc) = (Vec::new(), read.previous_crc ^ 1);
    frame::write(&Frame { previous_crc, ..read }, &mut again);
    bytes[begin..begin + length].copy_from_slice(&again);
    fs::write(journal.dir().join(segment.path.file_name().expect("name")), bytes).expect("replace");
    let found = journal.survey().0;
    assert!(!found.damage.is_empty() && found.damage.iter().any(|damage| !damage.is_mendable), "{found:?}");
    let refused = salvage(&RealDisk, &journal.dir(), &journal.root.path().join("damaged"), STORE, &found);
    assert!(matches!(refused, Err(SpoolFault::Damaged { .. })));
    let known = Known { freed: Lsn(1), durable: Lsn(FRAMES) };
    let foreign = survey(&RealDisk, &journal.dir(), StoreId([8; 16]), known, &mut |_| {});
    assert!(matches!(foreign, Err(SpoolFault::ForeignStore { .. })));
}
