//! Hours that are rendered while their records are accepted: they are what rendering them at their end gives, and whatever
//! happens to them, nothing else does.

use crate::site::{MovedClock, Site, call_line, files_in, load, one_feed, time};
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::progress::Silent;
use hourdrop::clock::Clock;
use hourdrop::disk::{Disk, DiskFile, DiskRead, Entry, RealDisk, Stat, SyncPoint};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

const BEGIN: &str = "2024-11-03T04:59:00Z";
const SOURCE: &str = "files = \"in\"\nfinished = \"renamed\"";

/// The machine's disk, but for files whose names hold a text.
#[derive(Clone, Copy)]
pub struct PickyDisk {
    never_read: &'static str,
    never_made: &'static str,
}

/// A disk that refuses nothing.
pub const WILLING: PickyDisk = PickyDisk { never_read: "\0", never_made: "\0" };
/// Nothing can be rendered from the spool.
const WITHOUT_SPOOL: PickyDisk = PickyDisk { never_read: ".seg", ..WILLING };
/// The same, but the spool can be read: for a start does.
const ONLY_DRAFTS: PickyDisk = PickyDisk { never_made: ".stage/0-", ..WILLING };
/// Nothing can be rendered ahead.
pub const WITHOUT_DRAFTS: PickyDisk = PickyDisk { never_made: "draft-", ..WILLING };

fn refuse(path: &Path, what: &str) -> io::Result<()> {
    if path.to_string_lossy().contains(what) { Err(io::Error::other("refused")) } else { Ok(()) }
}

impl Disk for PickyDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        refuse(path, self.never_made)?;
        RealDisk.create_new(path)
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open_append(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        refuse(path, self.never_read)?;
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
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)
    }
    fn sync_file(&self, path: &Path, point: SyncPoint) -> io::Result<()> {
        RealDisk.sync_file(path, point)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        RealDisk.set_read_only(path)
    }
    fn sync_dir(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        RealDisk.sync_dir(dir, point)
    }
}

/// How the hours come to their end.
#[derive(Clone, Copy)]
struct Course {
    disk: PickyDisk,
    threads: bool,
    /// The process ends between reading and sealing.
    restarts: bool,
}

/// The archived files after three hours of calls were read in two pieces and sealed, with the keys of a feed.
fn archived(course: Course, keys: &str) -> BTreeMap<String, Vec<u8>> {
    let site = Site::in_memory();
    let config = one_feed(&site, SOURCE, &format!("{keys}\ngrace = \"2h\"\nshadow = true"), "forever");
    let clock = Arc::new(MovedClock::of_old(time(BEGIN).seconds()));
    let open = || {
        let clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let world = World::new(Arc::new(course.disk), clock, Arc::new(Silent));
        let world = World { threads: course.threads, ..world };
        Exporter::open(load(&config, BEGIN), &world, None, false).expect("an exporter")
    };
    let mut exporter = open();
    for piece in 0..2 {
        // Calls of all three hours, one of them not fit for the partner's file.
        let calls = (0..60).map(|number| call_line(number * 3, &format!("call {piece} {number}")));
        let unfit = call_line(70, "a|b").replace("a|b", "a\u{7}b");
        site.write(&format!("in/{piece}.log"), calls.chain([unfit]).collect::<String>());
        exporter.turn(u64::MAX).expect("a turn");
        if course.restarts {
            drop(exporter);
            exporter = open();
        }
    }
    clock.pass(125 * 60);
    exporter.turn(u64::MAX).expect("a turn");
    drop(exporter);
    let left = files_in(&site.path("archive/.stage"));
    assert!(left.is_empty(), "staging holds {:?}", left.keys());
    let files = files_in(&site.path("archive/huaxin"));
    assert_eq!(files.keys().filter(|name| name.ends_with(".json")).count(), 3, "{:?}", files.keys());
    files
}

const HERE: Course = Course { disk: WITHOUT_SPOOL, threads: false, restarts: false };

#[test]
fn an_hour_is_the_same_whether_it_was_rendered_ahead_or_at_its_end() {
    for keys in ["", "records_max = 7", "bytes_max = \"1KiB\"\nlate = \"quarantine\""] {
        let ahead = archived(HERE, keys);
        assert!(ahead.len() >= 6, "{:?}", ahead.keys());
        let beside = archived(Course { threads: true, ..HERE }, keys);
        let restarts = Course { restarts: true, ..HERE };
        let restarted = archived(Course { disk: ONLY_DRAFTS, ..restarts }, keys);
        let restarted_beside = archived(Course { disk: ONLY_DRAFTS, threads: true, ..restarts }, keys);
        let restarted_at_the_end = archived(Course { disk: WITHOUT_DRAFTS, ..restarts }, keys);
        let at_the_end = archived(Course { disk: WITHOUT_DRAFTS, ..HERE }, keys);
        for (other, how) in [
            (beside, "by a thread"),
            (restarted, "after restarts"),
            (restarted_beside, "by a thread after restarts"),
            (restarted_at_the_end, "without drafts after restarts"),
            (at_the_end, "without drafts"),
        ] {
            assert!(ahead == other, "{keys}, {how}: {:?} and {:?}", ahead.keys(), other.keys());
        }
    }
}
