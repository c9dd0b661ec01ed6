use super::super::usage::used_bytes;
use super::*;
use crate::disk::{DiskRead, Entry, RealDisk, Stat};
use crate::spool::{OpenSegment, Spool, SpoolLimits, frame};
use proptest::prelude::*;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const STORE: StoreId = StoreId([7; 16]);
const SMALL: SpoolLimits = SpoolLimits { segment_bytes_max: 300, adopted_bytes_min: 0 };

/// The machine's disk, which can be made to fail.
#[derive(Default)]
struct Failing {
    /// No file can be allocated.
    no_room: AtomicBool,
    /// Bytes that may still be written when there is no room.
    bytes_left: AtomicU64,
    /// The system cannot allocate at all.
    cannot_allocate: AtomicBool,
    /// The next sync fails.
    fail_sync: AtomicBool,
    /// What was done.
    done: Arc<Mutex<Vec<String>>>,
}

impl Failing {
    fn fill(&self, full: bool, bytes_left: u64) {
        self.no_room.store(full, Ordering::Relaxed);
        self.bytes_left.store(bytes_left, Ordering::Relaxed);
    }

    fn note(&self, what: &str, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.done.lock().expect("list").push(format!("{what} {name}"));
    }

    fn wrap(self: &Arc<Self>, file: io::Result<Box<dyn DiskFile>>, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FailingFile { inner: file?, disk: Arc::clone(self), path: path.to_owned() }))
    }
}

/// Shared, so that its files can reach it.
struct Shared(Arc<Failing>);

impl Disk for Shared {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.note("create", path);
        self.0.wrap(RealDisk.create_new(path), path)
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.wrap(RealDisk.open_append(path), path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        RealDisk.open_read(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        RealDisk.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        RealDisk.create_dir_all(dir, point)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.note("remove", path);
        RealDisk.remove(path)
    }
    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        RealDisk.set_read_only(path)
    }
    fn sync_dir(&self, _dir: &Path, _point: SyncPoint) -> io::Result<()> {
        self.0.note("sync", Path::new("directory"));
        Ok(())
    }
}

struct FailingFile {
    inner: Box<dyn DiskFile>,
    disk: Arc<Failing>,
    path: PathBuf,
}

impl Write for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.note("write", &self.path);
        if !self.disk.no_room.load(Ordering::Relaxed) {
            return self.inner.write(bytes);
        }
        let left = self.disk.bytes_left.load(Ordering::Relaxed);
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.bytes_left.store(left - taken as u64, Ordering::Relaxed);
        self.inner.write(&bytes[..taken])
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl DiskFile for FailingFile {
    /// Nothing is really synced: these tests lose by themselves what was not.
    fn sync(&mut self, _point: SyncPoint) -> io::Result<()> {
        self.disk.note("sync", &self.path);
        if self.disk.fail_sync.swap(false, Ordering::Relaxed) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }
    fn allocate(&mut self, length: u64) -> io::Result<bool> {
        if self.disk.cannot_allocate.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if self.disk.no_room.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.inner.allocate(length)
    }
    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.inner.seek_to(offset)
    }
}

fn open(disk: &Arc<Failing>, dir: &Path, expected: u64) -> Result<Spool, SpoolFault> {
    Spool::open(Arc::new(Shared(Arc::clone(disk))), dir, STORE, SMALL, Lsn(expected))
}

fn contents(spool: &Spool) -> Vec<Vec<u8>> {
    let (mut open, mut payload) = (OpenSegment::default(), Vec::new());
    (spool.first().0..=spool.durable().0)
        .map(|lsn| {
            spool.read(Lsn(lsn), &mut open, &mut payload).expect("frame").expect("present");
            payload.clone()
        })
        .collect()
}

/// Frames of 50 bytes with the given numbers.
fn payloads(numbers: impl IntoIterator<Item = u8>) -> Vec<Vec<u8>> {
    numbers.into_iter().map(|number| vec![number; 50]).collect()
}

fn append(spool: &mut Spool, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        spool.make_room().expect("room");
        spool.append(1, &[number; 50]).expect("append");
    }
}

fn segments(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = RealDisk.list(dir).expect("list");
    let name = |entry: &Entry| entry.path.file_name().expect("name").to_string_lossy().into_owned();
    entries.iter().map(|entry| (name(entry), fs::read(&entry.path).expect("read"))).collect()
}

/// Writes a whole file. Cutting it to nothing first would make some file systems sync it.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).expect("open");
    file.write_all(bytes).and_then(|()| file.set_len(bytes.len() as u64)).expect("write");
}

#[test]
fn a_segment_is_allocated_when_it_begins_and_cut_when_the_next_one_does() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    append(&mut spool, 1..=4);
    spool.sync().expect("sync");
    let files = segments(dir.path());
    let frame = usize::try_from(frame::frame_bytes(50)).expect("small");
    let used = 36 + 3 * frame;
    assert_eq!(files.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [used, 300]);
    assert!(files[1].1[36 + frame..].iter().all(|byte| *byte == 0), "the rest is zeros");
    assert_eq!(spool.bytes(), (used + 36 + frame) as u64, "allocated space does not count");
    assert_eq!(used_bytes(&RealDisk, dir.path()).expect("used"), spool.bytes());
    drop(spool);
    let mut spool = open(&disk, dir.path(), 4).expect("spool");
    append(&mut spool, 5..=6);
    spool.sync().expect("sync");
    assert_eq!(contents(&spool), payloads(1..=6));
    assert_eq!(used_bytes(&RealDisk, dir.path()).expect("used"), spool.bytes());
    assert_eq!(used_bytes(&RealDisk, &dir.path().join("none")).expect("used"), 0);
}

#[test]
fn a_torn_tail_in_allocated_space_is_cut_wherever_it_is_torn() {
    let (whole, disk) = (tempfile::tempdir().expect("directory"), Arc::default());
    let mut spool = open(&disk, whole.path(), 0).expect("spool");
    append(&mut spool, 1..=2);
    spool.sync().expect("sync");
    append(&mut spool, 3..=3);
    spool.sync().expect("sync");
    drop(spool);
    let (name, bytes) = segments(whole.path()).remove(0);
    let frame = usize::try_from(frame::frame_bytes(50)).expect("small");
    let (from, to) = (36 + 2 * frame, 36 + 3 * frame);
    for at in from..to {
        // The beginning came to the disk, the end did, or all but one byte did.
        let zeroed = |range: std::ops::Range<usize>| {
            let mut torn = bytes.clone();
            torn[range].fill(0);
            torn
        };
        for torn in [zeroed(at..to), zeroed(from..at + 1), zeroed(at..at + 1)] {
            if torn == bytes {
                continue;
            }
            let dir = tempfile::tempdir().expect("directory");
            overwrite(&dir.path().join(&name), &torn);
            let mut spool = open(&disk, dir.path(), 2).expect("spool");
            assert_eq!(spool.durable(), Lsn(2), "torn at {at}");
            append(&mut spool, [9, 10]);
            spool.sync().expect("sync");
            assert_eq!(contents(&spool), payloads([1, 2, 9, 10]));
            drop(spool);
            assert_eq!(contents(&open(&disk, dir.path(), 4).expect("spool")), payloads([1, 2, 9, 10]));
        }
    }
}

#[test]
fn zeros_where_a_durable_frame_was_are_damage_and_no_allocated_space() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    for number in 1..=3 {
        append(&mut spool, [number]);
        spool.sync().expect("sync");
    }
    drop(spool);
    let path = segment_path(dir.path(), Lsn(1));
    let bytes = fs::read(&path).expect("read");
    let frame = usize::try_from(frame::frame_bytes(50)).expect("small");
    for length in 1..=2 * frame - 10 {
        let mut damaged = bytes.clone();
        damaged[36..36 + length].fill(0);
        overwrite(&path, &damaged);
        // While a whole frame is left that was written after the first one had been synced.
        assert!(matches!(open(&disk, dir.path(), 0), Err(SpoolFault::Damaged { lsn: Lsn(1), .. })), "{length} bytes");
    }
}

#[test]
fn zeros_behind_the_last_frame_of_an_earlier_segment_are_cut() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    append(&mut spool, 1..=7);
    spool.sync().expect("sync");
    let bytes = spool.bytes();
    drop(spool);
    let first = segment_path(dir.path(), Lsn(1));
    fs::OpenOptions::new().write(true).open(&first).and_then(|f| f.set_len(300)).expect("as before the cut");
    let spool = open(&disk, dir.path(), 7).expect("spool");
    assert_eq!((contents(&spool), spool.bytes()), (payloads(1..=7), bytes));
    assert_eq!(used_bytes(&RealDisk, dir.path()).expect("used"), bytes);
}

#[test]
fn frames_missing_from_an_earlier_segment_are_damage() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    append(&mut spool, 1..=7);
    spool.sync().expect("sync");
    drop(spool);
    let first = segment_path(dir.path(), Lsn(1));
    let mut bytes = fs::read(&first).expect("read");
    bytes[36 + 86..].fill(0);
    overwrite(&first, &bytes);
    assert!(matches!(open(&disk, dir.path(), 0), Err(SpoolFault::Damaged { .. })));
}

#[test]
fn a_segment_that_was_made_and_never_used_is_no_damage() {
    // A segment is made for frame 3 while 1 and 2 are there. It may be seen again after it was removed, when frame 3
    // lies in the one before it.
    for (frames, unused) in [(2, 3), (3, 3), (3, 2)] {
        for length in [0, 10, 36, 300] {
            let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::default());
            let mut spool = open(&disk, dir.path(), 0).expect("spool");
            append(&mut spool, 1..=frames);
            spool.sync().expect("sync");
            drop(spool);
            let path = segment_path(dir.path(), Lsn(unused));
            fs::File::create(&path).and_then(|f| f.set_len(length)).expect("an unused segment");
            let mut spool = open(&disk, dir.path(), u64::from(frames)).expect("spool");
            assert_eq!(contents(&spool), payloads(1..=frames));
            append(&mut spool, frames + 1..=frames + 3);
            spool.sync().expect("sync");
            drop(spool);
            let spool = open(&disk, dir.path(), u64::from(frames) + 3).expect("spool");
            assert_eq!(contents(&spool), payloads(1..=frames + 3));
        }
    }
}

#[test]
fn a_torn_header_is_removed_and_one_before_durable_frames_is_damage() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    append(&mut spool, 1..=3);
    spool.sync().expect("sync");
    append(&mut spool, 4..=4);
    let path = segment_path(dir.path(), Lsn(4));
    spool.sync().expect("sync");
    drop(spool);
    let bytes = fs::read(&path).expect("read");
    for at in 0..36 {
        let mut torn = bytes.clone();
        torn[at..].fill(0);
        overwrite(&path, &torn);
        let spool = open(&disk, dir.path(), 3).expect("spool");
        assert_eq!(contents(&spool), payloads(1..=3), "torn at {at}");
    }
    overwrite(&path, &bytes);
    let mut spool = open(&disk, dir.path(), 3).expect("spool");
    append(&mut spool, 5..=5);
    spool.sync().expect("sync");
    drop(spool);
    let mut damaged = fs::read(&path).expect("read");
    damaged[20] ^= 1;
    overwrite(&path, &damaged);
    assert!(matches!(open(&disk, dir.path(), 3), Err(SpoolFault::Damaged { .. })), "frame 5 says that 4 was durable");
    assert!(path.exists());
}

#[test]
fn without_room_for_a_segment_nothing_is_lost_and_it_goes_on_later() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::<Failing>::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    append(&mut spool, 1..=3);
    disk.fill(true, 1000);
    spool.append(1, &[4; 50]).expect("it becomes longer than was planned");
    for _ in 0..2 {
        assert!(matches!(spool.make_room(), Err(SpoolFault::Full { operation: "allocate", .. })));
        assert_eq!(segments(dir.path()).len(), 1, "the half-made segment is gone");
    }
    assert_eq!(spool.sync().expect("sync"), Lsn(4));
    disk.fill(false, 0);
    append(&mut spool, 5..=6);
    spool.sync().expect("sync");
    assert_eq!((contents(&spool), segments(dir.path()).len()), (payloads(1..=6), 2));
    drop(spool);
    assert_eq!(contents(&open(&disk, dir.path(), 6).expect("spool")), payloads(1..=6));
}

#[test]
fn what_a_full_disk_did_not_take_is_written_again_at_its_place() {
    for taken in 0..200 {
        let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::<Failing>::default());
        disk.cannot_allocate.store(true, Ordering::Relaxed);
        let mut spool = open(&disk, dir.path(), 0).expect("spool");
        append(&mut spool, 1..=1);
        spool.sync().expect("sync");
        append(&mut spool, 2..=3);
        disk.fill(true, taken);
        for _ in 0..2 {
            match spool.sync() {
                Err(SpoolFault::Full { operation: "write", .. }) => assert_eq!(spool.durable(), Lsn(1)),
                synced => assert!(taken >= 172 && synced.is_ok_and(|lsn| lsn == Lsn(3)), "{taken}"),
            }
        }
        if taken % 2 == 0 {
            disk.fill(false, 0);
            assert_eq!(spool.sync().expect("there is room again"), Lsn(3));
            assert_eq!(contents(&spool), payloads(1..=3));
        }
        drop(spool);
        disk.fill(false, 0);
        let found = contents(&open(&disk, dir.path(), 1).expect("spool"));
        assert!(!found.is_empty() && payloads(1..=3).starts_with(&found), "{taken}");
        assert!(taken % 2 == 1 || found.len() == 3, "{taken}");
    }
}

#[test]
fn it_can_be_opened_on_a_full_disk() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::<Failing>::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    append(&mut spool, 1..=2);
    spool.sync().expect("sync");
    drop(spool);
    disk.fill(true, 0);
    assert_eq!(contents(&open(&disk, dir.path(), 2).expect("spool")), payloads(1..=2));
    let fresh = tempfile::tempdir().expect("directory");
    let mut spool = open(&disk, fresh.path(), 0).expect("spool");
    assert!(matches!(spool.append(1, b"first"), Err(SpoolFault::Full { .. })), "there is no segment to keep it in");
    disk.fill(false, 0);
    assert_eq!(spool.append(1, b"first").expect("append"), Lsn(1));
}

#[test]
fn after_a_failed_sync_nothing_is_accepted() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::<Failing>::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    append(&mut spool, 1..=1);
    spool.sync().expect("sync");
    append(&mut spool, 2..=2);
    disk.fail_sync.store(true, Ordering::Relaxed);
    assert!(matches!(spool.sync(), Err(SpoolFault::SyncFailed { .. })));
    for refused in [spool.sync().map(|_| ()), spool.append(1, b"x").map(|_| ()), spool.make_room()] {
        assert!(matches!(refused, Err(SpoolFault::Latched)));
    }
    assert_eq!(spool.durable(), Lsn(1));
}

#[test]
fn what_the_ledger_has_not_seen_is_written_and_synced_again_before_it_counts() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::<Failing>::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    append(&mut spool, 1..=2);
    disk.fail_sync.store(true, Ordering::Relaxed);
    assert!(spool.sync().is_err());
    drop(spool);
    disk.done.lock().expect("list").clear();
    let spool = open(&disk, dir.path(), 0).expect("spool");
    let segment = "00000000000000000001.seg";
    let expected = [format!("write {segment}"), format!("sync {segment}"), "sync directory".to_owned()];
    assert_eq!((spool.durable(), disk.done.lock().expect("list").clone()), (Lsn(2), expected.to_vec()));
    drop(spool);
    disk.done.lock().expect("list").clear();
    drop(open(&disk, dir.path(), 2).expect("spool"));
    assert!(disk.done.lock().expect("list").is_empty(), "what the ledger has seen was synced");
}

#[test]
fn the_last_segment_can_be_freed_when_another_was_begun_for_it() {
    let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::<Failing>::default());
    let mut spool = open(&disk, dir.path(), 0).expect("spool");
    spool.roll_over().expect("nothing to do");
    append(&mut spool, 1..=2);
    spool.sync().expect("sync");
    spool.roll_over().expect("a new segment");
    spool.roll_over().expect("it is new already");
    disk.done.lock().expect("list").clear();
    spool.free_below(Lsn(3)).expect("free");
    let (old, new) = ("00000000000000000001.seg", "00000000000000000003.seg");
    let expected = [
        format!("write {new}"),
        format!("sync {new}"),
        "sync directory".to_owned(),
        format!("remove {old}"),
        "sync directory".to_owned(),
    ];
    assert_eq!(disk.done.lock().expect("list").clone(), expected, "the new one is durable before the old one is gone");
    assert_eq!((spool.bytes(), spool.first(), spool.next()), (36, Lsn(3), Lsn(3)));
    drop(spool);
    let mut spool = open(&disk, dir.path(), 2).expect("spool");
    append(&mut spool, 3..=3);
    spool.sync().expect("sync");
    assert_eq!(contents(&spool), payloads(3..=3));
}

/// What is done to a spool.
#[derive(Debug, Clone)]
enum Act {
    Append(usize),
    Sync,
    /// The ledger has seen everything that is durable.
    Seen,
    Free(u8),
    RollOver,
    /// There is room for so many bytes only, until this happens again with `None`.
    Full(Option<u64>),
    /// The power goes: of what was not synced, sectors by these bits come to the disk.
    Crash(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0usize..150).prop_map(Act::Append),
        4 => Just(Act::Sync),
        3 => Just(Act::Seen),
        1 => any::<u8>().prop_map(Act::Free),
        1 => Just(Act::RollOver),
        2 => prop_oneof![Just(Act::Full(None)), (0u64..200).prop_map(|left| Act::Full(Some(left)))],
        2 => any::<u64>().prop_map(Act::Crash),
    ];
    proptest::collection::vec(act, 1..60)
}

/// Takes away what was not synced of the last segment, sector by sector.
fn lose(dir: &Path, synced: &[(String, Vec<u8>)], bits: u64) {
    const SECTOR: usize = 16;
    let found = segments(dir);
    let Some((name, bytes)) = found.last() else { return };
    let before = synced.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, bytes)| bytes);
    if before.is_empty() && bits & 1 == 1 {
        RealDisk.remove(&dir.join(name)).expect("remove");
        return;
    }
    let mut left = bytes.clone();
    for (index, sector) in left.chunks_mut(SECTOR).enumerate() {
        if bits.rotate_right(u32::try_from(index % 61).expect("small")) & 2 == 0 {
            for (offset, byte) in sector.iter_mut().enumerate() {
                *byte = before.get(index * SECTOR + offset).copied().unwrap_or(0);
            }
        }
    }
    overwrite(&dir.join(name), &left);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_durable_frames_stay_and_no_other_frame_appears(acts in acts()) {
        let (dir, disk) = (tempfile::tempdir().expect("directory"), Arc::<Failing>::default());
        let mut spool = open(&disk, dir.path(), 0).expect("spool");
        // Payloads by LSN from 1 on, what the ledger has seen, and the segments as they were synced last.
        let (mut model, mut seen, mut synced) = (Vec::<Vec<u8>>::new(), 0u64, Vec::new());
        for (number, act) in acts.into_iter().enumerate() {
            let before = (spool.durable(), spool.first());
            match act {
                Act::Append(length) => {
                    let payload = vec![u8::try_from(number).expect("small") + 1; length];
                    if spool.make_room().is_ok() {
                        prop_assert_eq!(spool.append(1, &payload).expect("append"), Lsn(model.len() as u64 + 1));
                        model.push(payload);
                    }
                }
                Act::Sync => match spool.sync() {
                    Ok(lsn) => prop_assert_eq!(lsn.0, model.len() as u64),
                    Err(fault) => prop_assert!(matches!(fault, SpoolFault::Full { .. }), "{fault}"),
                },
                Act::Seen => seen = spool.durable().0,
                Act::Free(part) => {
                    let below = Lsn(1 + seen * u64::from(part) / 255);
                    match spool.free_below(below) {
                        Ok(()) => {}
                        Err(fault) => prop_assert!(matches!(fault, SpoolFault::Full { .. }), "{fault}"),
                    }
                }
                Act::RollOver => match spool.roll_over() {
                    Ok(()) => {}
                    Err(fault) => prop_assert!(matches!(fault, SpoolFault::Full { .. }), "{fault}"),
                },
                Act::Full(left) => disk.fill(left.is_some(), left.unwrap_or(0)),
                Act::Crash(bits) => {
                    let (durable, first) = (spool.durable().0, spool.first().0);
                    drop(spool);
                    lose(dir.path(), &synced, bits);
                    disk.fill(false, 0);
                    spool = open(&disk, dir.path(), seen).expect("spool");
                    let next = spool.next().0;
                    prop_assert!(next > durable && next <= model.len() as u64 + 1, "next {next}, durable {durable}");
                    prop_assert_eq!(spool.first().0, first.min(next));
                    model.truncate(usize::try_from(next - 1).expect("small"));
                    synced = segments(dir.path());
                }
            }
            // A segment is freed only when the newest one is durable.
            if spool.durable() > before.0 || spool.first() > before.1 {
                synced = segments(dir.path());
            }
            let kept = usize::try_from(spool.first().0 - 1).expect("small");
            let durable = usize::try_from(spool.durable().0).expect("small");
            prop_assert_eq!(contents(&spool), model[kept.min(durable)..durable].to_vec());
            prop_assert_eq!(used_bytes(&RealDisk, dir.path()).expect("used") <= spool.bytes(), true);
        }
    }
}
