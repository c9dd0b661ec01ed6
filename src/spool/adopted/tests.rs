use super::*;
use crate::disk::RealDisk;
use crate::spool::salvage::salvage;
use crate::spool::survey::{Known, survey};
use crate::spool::{OpenSegment, Spool, SpoolLimits, StoreId, lost::KIND_LOST};
use std::fs;
use std::sync::Arc;

const STORE: StoreId = StoreId([7; 16]);
const KIND: u8 = 3;

/// A journal that keeps a file of lines, and a frame for each of them.
struct Place {
    dir: tempfile::TempDir,
    input: PathBuf,
}

impl Place {
    fn new(lines: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let input = dir.path().join("calls.csv");
        fs::write(&input, lines.concat()).expect("input");
        let place = Self { dir, input };
        let mut spool = place.open(0).expect("spool");
        let file = place.adopt().expect("adopted").expect("on the same file system");
        let mut offset = 0;
        for line in lines {
            let (bytes, crc) = (u32::try_from(line.len()).expect("short"), crc32c::crc32c(line.as_bytes()));
            spool.append_adopted(&Extent { file, offset, bytes, crc }, KIND, b"head:").expect("appended");
            offset += u64::from(bytes);
        }
        spool.sync().expect("synced");
        place
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn adopt(&self) -> io::Result<Option<FileKey>> {
        let stat = RealDisk.stat(&self.input)?.expect("input");
        adopt(&RealDisk, &self.journal(), &self.input, &stat)
    }

    fn open(&self, seen: u64) -> Result<Spool, SpoolFault> {
        let limits = SpoolLimits { segment_bytes_max: 600, adopted_bytes_min: 0 };
        Spool::open(Arc::new(RealDisk), &self.journal(), STORE, limits, Lsn(seen))
    }

    fn kept(&self) -> usize {
        fs::read_dir(directory(&self.journal())).expect("directory").count()
    }

    /// What the frames of the journal hold.
    fn contents(&self, seen: u64) -> Vec<Result<String, &'static str>> {
        let spool = self.open(seen).expect("spool");
        let (mut open, mut payload) = (OpenSegment::default(), Vec::new());
        let frames = (spool.first().0..spool.next().0).map(Lsn);
        frames
            .map(|lsn| match spool.read(lsn, &mut open, &mut payload) {
                Ok(Some(KIND)) => Ok(String::from_utf8(payload.clone()).expect("text")),
                Ok(kind) => Ok(format!("{kind:?}")),
                Err(SpoolFault::Damaged { what, lsn: of, .. }) if of == lsn => Err(what),
                Err(fault) => panic!("{fault}"),
            })
            .collect()
    }

    fn survey(&self) -> (Vec<(Lsn, String)>, crate::spool::survey::Survey) {
        let known = Known { freed: Lsn(0), durable: Lsn(0) };
        let mut seen = Vec::new();
        let found = survey(&RealDisk, &self.journal(), STORE, known, &mut |frame| {
            seen.push((frame.lsn, String::from_utf8_lossy(frame.payload).into_owned()));
        });
        (seen, found.expect("a survey"))
    }
}

fn texts(lines: &[&str]) -> Vec<Result<String, &'static str>> {
    lines.iter().map(|line| Ok(format!("head:{line}"))).collect()
}

#[test]
fn frames_are_read_with_what_they_refer_to_whatever_becomes_of_the_name() {
    let lines = ["one\n", "two, longer\n", "3\n"];
    let place = Place::new(&lines);
    assert_eq!(place.contents(3), texts(&lines));
    fs::rename(&place.input, place.dir.path().join("done.csv")).expect("moved");
    fs::write(&place.input, "another file of the same name").expect("written");
    assert_eq!(place.contents(3), texts(&lines));
    fs::remove_file(place.dir.path().join("done.csv")).expect("removed");
    assert_eq!(place.contents(3), texts(&lines));
    let (seen, found) = place.survey();
    let expected: Vec<_> = (1..).map(Lsn).zip(lines.map(|line| format!("head:{line}"))).collect();
    assert_eq!((seen, found.damage), (expected, vec![]));
}

#[test]
fn input_that_was_written_into_is_damage_of_the_frames_that_refer_to_it_and_of_no_other() {
    let lines = ["one\n", "two\n", "six\n"];
    for (change, what) in [("one\ntWo\nsix\n", CHANGED), ("one\n", "the file ends within it")] {
        let place = Place::new(&lines);
        fs::write(&place.input, change).expect("written into");
        let is_cut = change.len() < 12;
        let seen = place.contents(3);
        assert_eq!(seen[0], Ok("head:one\n".to_owned()));
        assert!(seen[1].is_err(), "{seen:?}");
        assert_eq!(seen[2].is_err(), is_cut, "{what}");
        let (good, found) = place.survey();
        assert_eq!(good.len(), if is_cut { 1 } else { 2 });
        let damaged: Vec<_> = found.damage.iter().map(|damage| (damage.first.0, damage.last.0)).collect();
        assert_eq!(damaged, if is_cut { vec![(2, 2), (3, 3)] } else { vec![(2, 2)] });
        // It is mended like any other damage, and the journal goes on.
        let mended = salvage(&RealDisk, &place.journal(), &place.dir.path().join("damaged"), STORE, &found);
        assert_eq!(mended.expect("mended").len(), 1);
        let lost = || Ok(format!("{:?}", Some(KIND_LOST)));
        let third = if is_cut { lost() } else { Ok("head:six\n".to_owned()) };
        assert_eq!(place.contents(3), [Ok("head:one\n".to_owned()), lost(), third]);
        assert_eq!(place.survey().1.damage, []);
    }
}

#[test]
fn input_whose_second_name_is_gone_is_damage() {
    let place = Place::new(&["one\n"]);
    fs::remove_dir_all(directory(&place.journal())).expect("removed");
    assert_eq!(place.contents(1), [Err(GONE)]);
    assert_eq!(place.survey().1.damage[0].what, GONE);
}

#[test]
fn input_is_kept_until_no_frame_refers_to_it() {
    let place = Place::new(&["one\n", "two\n"]);
    let mut spool = place.open(2).expect("spool");
    for _ in 0..20 {
        spool.append(1, &[0; 100]).expect("appended");
    }
    spool.sync().expect("synced");
    spool.free_below(Lsn(2)).expect("freed");
    assert_eq!((spool.first(), place.kept()), (Lsn(1), 1), "its second frame may be needed");
    spool.free_below(Lsn(20)).expect("freed");
    assert!(spool.first() > Lsn(2));
    assert_eq!(place.kept(), 0);
}

#[test]
fn needless_input_lets_the_last_segment_go() {
    let place = Place::new(&["one\n", "two\n"]);
    let mut spool = place.open(2).expect("spool");
    assert!(!spool.keeps_needless_input(Lsn(2)) && spool.keeps_needless_input(Lsn(3)));
    spool.roll_over().expect("rolled over");
    spool.free_below(Lsn(3)).expect("freed");
    assert_eq!(place.kept(), 0);
    assert!(!spool.keeps_needless_input(Lsn(3)));
}

#[test]
fn a_start_removes_input_that_no_frame_refers_to() {
    let place = Place::new(&["one\n"]);
    fs::write(&place.input, "").expect("emptied");
    let other = place.dir.path().join("other.csv");
    fs::write(&other, "not accepted").expect("input");
    let stat = RealDisk.stat(&other).expect("stat").expect("input");
    adopt(&RealDisk, &place.journal(), &other, &stat).expect("adopted").expect("on the same file system");
    fs::write(directory(&place.journal()).join("notes"), "of somebody").expect("written");
    assert_eq!(place.kept(), 3);
    drop(place.open(1).expect("spool"));
    assert_eq!(place.kept(), 2, "the file that a frame refers to, and what is none of ours");
}

#[test]
fn frames_that_refer_to_much_input_fill_a_segment() {
    let long = "x".repeat(2000) + "\n";
    let place = Place::new(&[&long, &long, &long, &long]);
    let segments = fs::read_dir(place.journal()).expect("directory").count() - 1;
    assert_eq!(segments, 2, "eight times 600 bytes are referred to before the next one begins");
    assert_eq!(place.contents(4).len(), 4);
}

#[test]
fn a_file_is_adopted_once_and_never_taken_for_another() {
    let place = Place::new(&["one\n"]);
    let key = place.adopt().expect("again").expect("the same");
    assert_eq!(place.kept(), 1);
    // As in a copy of the state directory on another disk, where a file has the number of one that is kept.
    let own = path_of(&place.journal(), key);
    fs::remove_file(&own).expect("removed");
    fs::write(&own, "one\n").expect("a copy");
    assert_eq!(place.adopt().expect("looked"), None, "it is copied then");
    // A symbolic link may lead elsewhere tomorrow.
    let link = place.dir.path().join("link.csv");
    std::os::unix::fs::symlink(&place.input, &link).expect("link");
    fs::remove_file(&own).expect("removed");
    let stat = RealDisk.stat(&link).expect("stat").expect("input");
    assert_eq!(adopt(&RealDisk, &place.journal(), &link, &stat).expect("adopted"), Some(key));
    fs::remove_file(&link).expect("removed");
    assert_eq!(fs::read(&own).expect("kept"), b"one\n");
}
