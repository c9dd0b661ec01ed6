//! Finished input files that the journal keeps instead of copying them: nothing that a partner gets depends on it, and a
//! file that is written into after it was accepted is damage that is named.

use crate::drafts::{PickyDisk, WILLING, WITHOUT_DRAFTS};
use crate::site::{MovedClock, Site, call_line, files_in, load, one_feed, time};
use crate::small_disk::SmallDisk;
use flate2::Compression;
use flate2::write::GzEncoder;
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::journal;
use hourdrop::app::progress::Silent;
use hourdrop::clock::Clock;
use hourdrop::disk::{Disk, RealDisk};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

const BEGIN: &str = "2024-11-03T04:59:00Z";
const FEED: &str = "grace = \"2h\"\nshadow = true\nreject_max = \"50%\"";

struct Run {
    site: Site,
    config: PathBuf,
    clock: Arc<MovedClock>,
    disk: Arc<dyn Disk>,
    /// Input files from this size on are kept.
    adopted_bytes_min: u64,
}

impl Run {
    fn new(then: &str, adopted_bytes_min: u64) -> Self {
        let site = Site::in_memory();
        let source = format!("files = \"in\"\nfinished = \"renamed\"\n{then}");
        let config = one_feed(&site, &source, FEED, "forever");
        let clock = Arc::new(MovedClock::of_old(time(BEGIN).seconds()));
        Self { site, config, clock, disk: Arc::new(RealDisk), adopted_bytes_min }
    }

    fn open(&self) -> Exporter {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let mut world = World::new(Arc::clone(&self.disk), clock, Arc::new(Silent));
        world.limits.adopted_bytes_min = self.adopted_bytes_min;
        Exporter::open(load(&self.config, BEGIN), &world, None, false).expect("an exporter")
    }

    /// Calls of one hour, of which one line is no record, in a file; the last line has no end.
    fn write(&self, hour: i64) {
        let calls = (0..20).map(|number| call_line(hour * 60 + number * 3, &format!("call {hour} {number}")));
        let text =
            calls.chain(["no record\n".to_owned()]).collect::<String>() + call_line(hour * 60, "last").trim_end();
        self.site.write(&format!("in/{hour}.log"), text);
    }

    fn kept(&self) -> usize {
        files_in(&self.site.path("state/journal/adopted")).len()
    }

    /// The calls of an hour lie in a segment of the journal.
    fn is_copied(&self, hour: i64) -> bool {
        let call = format!("call {hour} 1");
        let segments = files_in(&self.site.path("state/journal"));
        let mut segments = segments.iter().filter(|(name, _)| name.ends_with(".seg"));
        segments.any(|(_, bytes)| bytes.windows(call.len()).any(|window| window == call.as_bytes()))
    }

    fn seal(&self, exporter: &mut Exporter) -> BTreeMap<String, Vec<u8>> {
        self.clock.pass(125 * 60);
        while exporter.turn(u64::MAX).expect("a turn") {}
        files_in(&self.site.path("archive/huaxin"))
    }

    fn hourdrop(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hourdrop"));
        let output = command.args(arguments).arg("--config").arg(&self.config).output().expect("hourdrop runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("UTF-8"))
    }
}

/// The archived files of two hours, and whether their input was kept until they were sealed.
fn archived(then: &str, adopted_bytes_min: u64, disk: PickyDisk) -> (BTreeMap<String, Vec<u8>>, bool) {
    let mut run = Run::new(then, adopted_bytes_min);
    run.disk = Arc::new(disk);
    let mut exporter = run.open();
    for hour in 0..2 {
        run.write(hour);
        while exporter.turn(u64::MAX).expect("a turn") {}
        // A start reads what the journal has, and renders it then or later.
        drop(exporter);
        exporter = run.open();
    }
    let is_kept = run.kept() == 2;
    assert_eq!([run.is_copied(0), run.is_copied(1)], [!is_kept; 2]);
    let left = files_in(&run.site.path("in")).len();
    assert_eq!(left, if then.is_empty() { 2 } else { 0 }, "{then}");
    let files = run.seal(&mut exporter);
    assert_eq!(run.kept(), 0, "no record of them waits any more");
    (files, is_kept)
}

#[test]
fn files_are_the_same_whether_their_input_was_kept_or_copied() {
    let (expected, is_kept) = archived("", u64::MAX, WILLING);
    assert!(!is_kept && expected.len() >= 4, "{:?}", expected.keys());
    for then in ["", "then = \"delete\"", "then = \"move:done\""] {
        for disk in [WILLING, WITHOUT_DRAFTS] {
            let (files, is_kept) = archived(then, 1, disk);
            assert!(is_kept, "{then}");
            assert!(files == expected, "{then}: {:?}", files.keys());
        }
    }
}

#[test]
fn input_that_cannot_be_kept_is_copied() {
    let mut run = Run::new("", 1);
    let text: String = (0..20).map(|number| call_line(number, &format!("call 0 {number}"))).collect();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).expect("packed");
    run.site.write("in/0.log.gz", packed.finish().expect("packed"));
    let mut exporter = run.open();
    while exporter.turn(u64::MAX).expect("a turn") {}
    assert_eq!((run.kept(), run.is_copied(0)), (0, true), "places in compressed input are not those of its records");
    drop(exporter);
    let disk = SmallDisk::new(vec![run.site.path("state")]);
    disk.account().elsewhere = Some(run.site.path("in"));
    run.disk = Arc::new(disk);
    run.write(1);
    let mut exporter = run.open();
    while exporter.turn(u64::MAX).expect("a turn") {}
    assert_eq!((run.kept(), run.is_copied(1)), (0, true), "it lies on another file system");
}

#[test]
fn input_that_is_not_in_the_format_leaves_nothing_in_the_journal() {
    let run = Run::new("", 1);
    run.site.write("in/0.log", "no record\n".repeat(2000));
    let mut exporter = run.open();
    while exporter.turn(u64::MAX).expect("a turn") {}
    assert_eq!(run.kept(), 0);
    run.write(1);
    while exporter.turn(u64::MAX).expect("a turn") {}
    assert_eq!(run.kept(), 1);
}

#[test]
fn a_sync_of_kept_input_that_fails_accepts_nothing() {
    let mut run = Run::new("", 1);
    run.write(0);
    let disk = SmallDisk::new(vec![run.site.path("state")]);
    run.disk = Arc::new(disk.clone());
    let mut exporter = run.open();
    let next = disk.account().syncs + 1;
    // The directory for such files is made first.
    disk.account().failing_sync = Some(next + 1);
    let fault = exporter.turn(u64::MAX).expect_err("a failed sync");
    assert!(fault.to_string().contains("cannot keep"), "{fault}");
    drop(exporter);
    disk.account().failing_sync = None;
    let mut exporter = run.open();
    while exporter.turn(u64::MAX).expect("a turn") {}
    assert_eq!(run.seal(&mut exporter).len(), 4);
}

#[test]
fn input_that_is_written_into_is_named_and_the_other_hours_go_on() {
    let run = Run::new("then = \"move:done\"", 1);
    for hour in 0..2 {
        run.write(hour);
    }
    let mut exporter = run.open();
    while exporter.turn(u64::MAX).expect("a turn") {}
    drop(exporter);
    let path = run.site.path("done/0.log");
    let changed = fs::read_to_string(&path).expect("input").replace("call 0 1|", "call X 1|");
    fs::write(&path, changed).expect("written into");
    let report = journal::look(&RealDisk, &load(&run.config, BEGIN)).expect("a look");
    let damaged: u64 = report.damage.iter().map(hourdrop::app::journal::Damage::frames).sum();
    assert!(damaged >= 1, "{report:?}");
    let (code, text) = run.hourdrop(&["once"]);
    assert!(code == Some(1) && text.contains("the input file that it refers to was changed"), "{text}");
    assert!(text.contains("spool check") && text.contains("spool salvage"), "{text}");
    let (code, text) = run.hourdrop(&["spool", "check"]);
    assert!(code != Some(0) && text.contains("the input file that it refers to was changed"), "{text}");
    let (code, text) = run.hourdrop(&["spool", "salvage", "--reason", "somebody wrote into it"]);
    assert_eq!(code, Some(0), "{text}");
    let mut exporter = run.open();
    let files = run.seal(&mut exporter);
    let names: Vec<&String> = files.keys().collect();
    let has = |hour: &str| names.iter().any(|name| name.contains(hour));
    assert!(!has("HX_2024110302") && has("HX_2024110303"), "only an hour that lacks records waits: {names:?}");
    drop(exporter);
    let (_, text) = run.hourdrop(&["status"]);
    assert!(text.contains("held"), "{text}");
}
