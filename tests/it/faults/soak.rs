//! A soak: `run` under a clock that runs 3,600 times as fast as time, a switch that writes a file every few seconds, a
//! partner that takes what it finds and checks it. More than 500 hours pass in ten minutes. Memory and open files stay
//! as they are, the spool is given back, the archive expires.
//!
//! `HOURDROP_SOAK_SECONDS` is how long it goes on. Memory is judged when it is long enough to have come to rest.

use super::rig::{FIRST_SECOND, IN, LINES};
use super::{number, say};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SECONDS: u64 = 20;
/// From here on memory is judged.
const SECONDS_THAT_TELL: u64 = 120;
/// How many times as fast as time: an hour is a second.
const FACTOR: i64 = 3600;
const START: &str = "2024-11-03T02:00:00Z";
/// A file each time this much has passed, with so many records.
const EVERY: Duration = Duration::from_millis(100);
const RECORDS: usize = 800;

struct Place {
    root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().to_owned();
        for name in ["in", "staged", "drop", "formats"] {
            fs::create_dir(root.join(name)).expect("directory");
        }
        fs::write(root.join("formats/in.toml"), IN).expect("write");
        fs::write(root.join("formats/lines.toml"), LINES).expect("write");
        let text = r#"
state   = "state"
archive = { dir = "archive", keep = "48h" }
poll    = "5m"
[source.switch]
files    = "in"
finished = "renamed"
then     = "delete"
format   = "in"
[partner.huaxin]
deliver = "drop"
[partner.huaxin.feed.lines]
source      = "switch"
format      = "lines"
hour_by     = "at"
starts_at   = "2024-11-03T02:00:00Z"
ahead_max   = "1d"
grace       = "30m"
name        = "HX_{start:%Y%m%d%H}_{seq:07}.dat"
records_max = 20000
manifest    = { name = "HX_{start:%Y%m%d%H}_r{revision:02}.json" }
"#;
        fs::write(root.join("hourdrop.toml"), text).expect("write");
        Self { root, _dir: dir }
    }

    fn start(&self) -> Running {
        let log = fs::File::create(self.root.join("log")).expect("file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hourdrop"));
        command.args(["run", "-q", "--color", "never", "--config"]).arg(self.root.join("hourdrop.toml"));
        command.env("HOURDROP_TEST_CLOCK", format!("{START}*{FACTOR}"));
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("starts"))
    }
}

/// Ends the program if the test fails before it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The switch: writes records with the time that the program's clock shows.
struct Switch {
    written: usize,
    begun: Instant,
}

impl Switch {
    fn write(&mut self, place: &Place, files: usize) {
        let seconds = i64::try_from(self.begun.elapsed().as_millis()).expect("short") * FACTOR / 1000;
        let mut text = String::new();
        for _ in 0..RECORDS {
            let at = FIRST_SECOND + seconds;
            writeln!(text, "{}|{at}|{}", self.written, "soak ".repeat(20)).expect("a text");
            self.written += 1;
        }
        let staged = place.root.join("staged/one");
        fs::write(&staged, text).expect("write");
        fs::rename(staged, place.root.join(format!("in/cdr_{files:06}.log"))).expect("rename");
    }
}

/// The partner: takes an hour when its manifest is there, checks it, removes it.
#[derive(Default)]
struct Partner {
    /// One bit for each record.
    seen: Vec<bool>,
    records: usize,
    hours: usize,
    next_file: u64,
    next_manifest: u64,
}

impl Partner {
    fn take(&mut self, place: &Place) {
        let drop = place.root.join("drop");
        let listing = fs::read_dir(&drop).expect("directory").map(|entry| entry.expect("entry").path());
        // What is temporary may have its final name in the next moment.
        let is_manifest = |path: &Path| path.extension().is_some_and(|ending| ending == "json");
        let mut manifests: BTreeMap<u64, (PathBuf, Value)> = BTreeMap::new();
        for path in listing.filter(|path| is_manifest(path)) {
            let manifest: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("a manifest");
            manifests.insert(manifest["sequence"].as_u64().expect("a number"), (path, manifest));
        }
        for (number, (path, manifest)) in manifests {
            self.next_manifest += 1;
            assert_eq!(number, self.next_manifest, "manifests have no gap");
            self.hours += usize::from(manifest["revision"] == 0);
            for file in manifest["files"].as_array().expect("files") {
                // A file of an earlier revision was taken before.
                if manifest["revision"] == file["revision"] {
                    self.take_file(place, file);
                }
            }
            fs::remove_file(path).expect("taken");
        }
    }

    fn take_file(&mut self, place: &Place, file: &Value) {
        let name = file["name"].as_str().expect("a name");
        let bytes = fs::read(place.root.join("drop").join(name)).expect("what a manifest lists is there");
        let hash = Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(file["sha256"].as_str(), Some(hash.as_str()), "{name}");
        self.next_file += 1;
        assert_eq!(file["sequence"].as_u64(), Some(self.next_file), "{name}");
        let hour = name.split('_').nth(1).expect("an hour");
        let (day, hour) = ((&hour[..4], &hour[4..6], &hour[6..8]), &hour[8..]);
        let archived = format!("archive/huaxin/lines/{}/{}/{}/{hour}/{name}", day.0, day.1, day.2);
        assert!(
            fs::read(place.root.join(archived)).expect("archived") == bytes,
            "{name} has other bytes in the archive"
        );
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| line.starts_with('R')) {
            let id: usize = line.split('|').nth(1).and_then(|id| id.parse().ok()).expect("an id");
            if self.seen.len() <= id {
                self.seen.resize(id + 1, false);
            }
            assert!(!std::mem::replace(&mut self.seen[id], true), "record {id} came twice");
            self.records += 1;
        }
        fs::remove_file(place.root.join("drop").join(name)).expect("taken");
    }
}

/// What the kernel says of the process.
#[derive(Debug, Clone, Copy)]
struct Sample {
    resident_kib: u64,
    handles: usize,
    spool_bytes: u64,
}

fn sample(process: &Child, place: &Place) -> Sample {
    let proc_dir = PathBuf::from(format!("/proc/{}", process.id()));
    let status = fs::read_to_string(proc_dir.join("status")).expect("status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("memory");
    let entries = |dir: &Path| fs::read_dir(dir).map(|list| list.filter_map(Result::ok).collect::<Vec<_>>());
    let spool = entries(&place.root.join("state/journal")).unwrap_or_default();
    Sample {
        resident_kib: resident.trim().trim_end_matches(" kB").parse().expect("a number"),
        handles: entries(&proc_dir.join("fd")).expect("handles").len(),
        spool_bytes: spool.iter().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum(),
    }
}

#[test]
fn hundreds_of_hours_pass_and_nothing_grows() {
    let seconds = number("HOURDROP_SOAK_SECONDS", SECONDS);
    let place = Place::new();
    let mut running = place.start();
    let begun = Instant::now();
    let (mut switch, mut partner) = (Switch { written: 0, begun }, Partner::default());
    let (mut samples, mut files) = (Vec::new(), 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        switch.write(&place, files);
        files += 1;
        partner.take(&place);
        if files % 10 == 0 {
            samples.push(sample(&running.0, &place));
        }
        let next = EVERY * u32::try_from(files).expect("short");
        std::thread::sleep(next.saturating_sub(begun.elapsed()));
        assert!(
            running.0.try_wait().expect("status").is_none(),
            "{}",
            fs::read_to_string(place.root.join("log")).expect("log")
        );
    }
    // The last hour closes soon: two hours are a few seconds.
    let until = Instant::now() + Duration::from_mins(1);
    while partner.records < switch.written {
        let log = || fs::read_to_string(place.root.join("log")).unwrap_or_default();
        assert!(Instant::now() < until, "{} of {} records came: {}", partner.records, switch.written, log());
        std::thread::sleep(Duration::from_millis(100));
        partner.take(&place);
    }
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    assert!(running.0.wait().expect("the end").success());
    judge(&samples, seconds, &switch, &partner, &place);
}

fn judge(samples: &[Sample], seconds: u64, switch: &Switch, partner: &Partner, place: &Place) {
    assert_eq!((partner.records, partner.seen.len()), (switch.written, switch.written));
    let warm = &samples[samples.len() / 10..];
    let quarter = warm.len() / 4;
    let (first, last) = (&warm[..quarter.max(1)], &warm[warm.len() - quarter.max(1)..]);
    let most = |of: &[Sample], what: fn(&Sample) -> u64| of.iter().map(what).max().unwrap_or(0);
    let handles = |sample: &Sample| sample.handles as u64;
    let (before, after) = (most(first, |s| s.resident_kib), most(last, |s| s.resident_kib));
    let spool = most(warm, |s| s.spool_bytes);
    let archived = crate::site::files_in(&place.root.join("archive/huaxin")).len();
    say(&format!(
        "soak of {seconds} s: {} hours, {} records, memory {before} KiB in the first quarter and {after} KiB in the \
         last, at most {} handles, at most {spool} bytes of spool, {archived} files in the archive",
        partner.hours,
        partner.records,
        most(warm, handles)
    ));
    assert!(partner.hours as u64 * 10 >= seconds * 9, "{} hours passed", partner.hours);
    assert!(most(last, handles) <= most(first, handles) + 2, "handles: {samples:?}");
    if seconds >= SECONDS_THAT_TELL {
        assert!(after * 100 <= before * 105, "memory grew from {before} to {after} KiB");
        assert!(spool <= 3 << 26, "{spool} bytes of spool: segments are not given back");
        assert!(archived < partner.hours, "{archived} files in the archive: they do not expire");
    }
}
