//! A place to run the exporter in: directories, a configuration, formats, and a clock that stands still.

use hourdrop::app::config;
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::operator::{Done, Order, Refusal, Target};
use hourdrop::app::progress::Silent;
use hourdrop::clock::{Clock, Waited};
use hourdrop::disk::RealDisk;
use hourdrop::domain::ids::{FeedId, Sha256Digest};
use hourdrop::domain::period::Partition;
use hourdrop::domain::time::{Length, UtcTime};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Where the real records lie, when they are there.
pub fn real_data() -> Option<PathBuf> {
    std::env::var_os("HOURDROP_REAL_DATA").map(PathBuf::from).filter(|dir| dir.is_dir())
}

/// A clock that stands still; waiting is over at once.
pub struct StandingClock(pub UtcTime);

impl Clock for StandingClock {
    fn now(&self) -> UtcTime {
        self.0
    }

    fn uptime(&self) -> Length {
        Length::from_nanos(u64::try_from(self.0.nanos()).expect("a time after 1970"))
    }

    fn boot(&self) -> String {
        "test".to_owned()
    }

    fn wait(&self, _length: Length, _wake: &Receiver<()>) -> Waited {
        Waited::Elapsed
    }
}

/// Clocks that a test moves: both together as time passes, or the wall clock alone.
pub struct MovedClock(Mutex<(i64, u64, String)>);

impl MovedClock {
    /// Shows this second since 1970, on a machine that was started an hour ago.
    pub fn at(second: i64) -> Self {
        Self(Mutex::new((second, 3600, "first start".to_owned())))
    }

    /// The same on a machine that was started in 1970: what a [`StandingClock`] shows.
    pub fn of_old(second: i64) -> Self {
        Self(Mutex::new((second, u64::try_from(second).expect("after 1970"), "test".to_owned())))
    }

    /// Time passes.
    pub fn pass(&self, seconds: u64) {
        let mut clocks = self.0.lock().expect("clocks");
        clocks.0 += i64::try_from(seconds).expect("small");
        clocks.1 += seconds;
    }

    /// Somebody sets the wall clock so many seconds on, or back.
    pub fn step(&self, seconds: i64) {
        self.0.lock().expect("clocks").0 += seconds;
    }

    /// The machine is off for so long and starts again.
    pub fn restart_machine(&self, off_seconds: i64) {
        let mut clocks = self.0.lock().expect("clocks");
        *clocks = (clocks.0 + off_seconds, 5, format!("{} again", clocks.2));
    }
}

impl Clock for MovedClock {
    fn now(&self) -> UtcTime {
        UtcTime::from_seconds(self.0.lock().expect("clocks").0).expect("a time in range")
    }

    fn uptime(&self) -> Length {
        Length::from_seconds(self.0.lock().expect("clocks").1)
    }

    fn boot(&self) -> String {
        self.0.lock().expect("clocks").2.clone()
    }

    fn wait(&self, _length: Length, _wake: &Receiver<()>) -> Waited {
        Waited::Elapsed
    }
}

pub fn time(text: &str) -> UtcTime {
    let at = chrono::DateTime::parse_from_rfc3339(text).expect("a time");
    UtcTime::from_seconds(at.timestamp()).expect("a time in range")
}

pub struct Site {
    root: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Self {
        Self::at(tempfile::tempdir())
    }

    /// A site below a directory, such as one in memory.
    pub fn below(dir: &Path) -> Self {
        Self::at(tempfile::Builder::new().prefix("hourdrop-flips-").tempdir_in(dir))
    }

    /// In the machine's memory, where there is such a place: for tests that end no machine and sync often.
    pub fn in_memory() -> Self {
        Self::at(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()))
    }

    fn at(root: std::io::Result<tempfile::TempDir>) -> Self {
        let site = Self { root: root.expect("temporary directory") };
        copy_dir(&project().join("formats"), &site.path("formats"));
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A partner's directory, made when it is first asked for.
    pub fn drop_dir(&self, partner: &str) -> PathBuf {
        let dir = self.path("drop").join(partner);
        fs::create_dir_all(&dir).expect("drop directory");
        dir
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
        fs::write(&path, bytes).expect("write");
        path
    }

    pub fn configure(&self, text: &str) -> PathBuf {
        self.write("hourdrop.toml", text)
    }

    /// Files of a partner whose names end so, by name.
    pub fn dropped(&self, partner: &str, ending: &str) -> BTreeMap<String, Vec<u8>> {
        let all = files_in(&self.drop_dir(partner)).into_iter();
        all.filter(|(name, _)| name.ends_with(ending)).collect()
    }

    pub fn everything_dropped(&self) -> BTreeMap<String, Vec<u8>> {
        files_in(&self.path("drop"))
    }

    /// Every dropped file lies in the archive under the same name with the same bytes, and nothing else does.
    pub fn assert_archive_is_what_was_dropped(&self, partners: &[&str]) {
        for partner in partners {
            let archived: BTreeMap<String, Vec<u8>> = files_in(&self.path("archive").join(partner))
                .into_iter()
                .map(|(path, bytes)| (path.rsplit('/').next().unwrap_or_default().to_owned(), bytes))
                .collect();
            assert!(!archived.is_empty());
            assert_eq!(archived, files_in(&self.drop_dir(partner)), "{partner}");
        }
    }

    /// The lines `file|bytes|records|sha256` of every summary are true.
    pub fn assert_manifests_hold(&self, partner: &str) {
        let files = files_in(&self.drop_dir(partner));
        let mut listed = 0;
        for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".sum")) {
            for line in String::from_utf8_lossy(bytes).lines() {
                let cells: Vec<&str> = line.split('|').collect();
                let data = files.get(cells[0]).unwrap_or_else(|| panic!("{name} lists {}", cells[0]));
                let hash = Sha256Digest(Sha256::digest(data).into()).to_string();
                assert_eq!((cells[1], cells[3]), (data.len().to_string().as_str(), hash.as_str()), "{name}");
                listed += 1;
            }
        }
        assert_sha256sum_agrees(&self.drop_dir(partner), &files);
        assert_eq!(listed, files.keys().filter(|name| name.ends_with(".dat")).count());
    }
}

pub fn load(config: &Path, now: &str) -> config::Config {
    let loaded = config::load(config, time(now)).expect("a configuration");
    let found: Vec<String> = loaded.problems.iter().map(|p| format!("{}: {}", p.line(), p.message)).collect();
    loaded.config.unwrap_or_else(|| panic!("{found:#?}"))
}

pub fn open(config: &Path, now: &str) -> Exporter {
    open_with_input(config, now, None)
}

/// With something on standard input.
pub fn open_with_input(config: &Path, now: &str, input: Option<Box<dyn Read + Send>>) -> Exporter {
    Exporter::open(load(config, now), &world(now), input, true).expect("an exporter")
}

/// Waits until something holds that others bring about.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The machine's disk, and a clock that stands.
pub fn world(now: &str) -> World {
    World::new(Arc::new(RealDisk), Arc::new(StandingClock(time(now))), Arc::new(Silent))
}

pub fn once(config: &Path, now: &str) -> OnceReport {
    open(config, now).once().expect("a pass")
}

/// Carries out an order of a person.
pub fn order(exporter: &mut Exporter, order: &Order) -> Result<Done, Refusal> {
    exporter.order(order, "the partner agreed", None).expect("the ledger takes it")
}

/// Releases a held hour.
pub fn release(exporter: &mut Exporter, feed: &FeedId, hour: Partition) {
    let done = order(exporter, &Order::Release(Target::Hour(feed.clone(), hour))).expect("a held hour");
    assert!(done.changed);
}

/// Where the real Kamailio records lie, which are part of the project.
pub fn kamailio_dir() -> String {
    project().join("sample-data/kamailio").display().to_string()
}

/// A list made from the summaries passes `sha256sum -c`.
fn assert_sha256sum_agrees(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let summaries = files.iter().filter(|(name, _)| name.ends_with(".sum"));
    let mut list = String::new();
    for line in
        summaries.flat_map(|(_, bytes)| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>())
    {
        let cells: Vec<&str> = line.split('|').collect();
        list.push_str(&format!("{}  {}\n", cells[3], cells[0]));
    }
    let mut checker = Command::new("sha256sum")
        .args(["-c", "--strict", "--quiet"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sha256sum starts");
    checker.stdin.take().expect("input").write_all(list.as_bytes()).expect("write");
    assert!(checker.wait().expect("the end").success());
}

pub fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Records of each hour of a zone, as computed independently from the raw bytes of the Kamailio records.
pub fn expected_hours(zone: &str) -> Vec<usize> {
    let mut hours = vec![170; 13];
    hours[0] = 135;
    hours[12] = 95;
    if let Some(dir) = real_data() {
        let text = fs::read_to_string(dir.join("expected/kamailio_A_acc_cdrs.json")).expect("expected counts");
        let expected: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let found: Vec<usize> = expected["per_hour"][zone]
            .as_object()
            .expect("a zone")
            .values()
            .map(|count| usize::try_from(count.as_u64().expect("a count")).expect("small"))
            .collect();
        assert_eq!(found, hours);
    }
    hours
}

pub fn files_in(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect(dir, dir, &mut found);
    found
}

fn collect(root: &Path, dir: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            match fs::read(&path) {
                // Renamed since it was listed: it is being delivered.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                content => drop(found.insert(name, content.expect("read"))),
            }
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("directory");
    for entry in fs::read_dir(from).expect("directory") {
        let path = entry.expect("entry").path();
        fs::copy(&path, to.join(path.file_name().expect("name"))).expect("copy");
    }
}

/// One of the real Kamailio calls, read without any of hourdrop's code.
#[derive(Debug, Clone)]
pub struct Call {
    pub start: i64,
    pub end: i64,
    pub milliseconds: u64,
    pub name: String,
}

pub fn calls() -> Vec<Call> {
    let mut calls = Vec::new();
    for (_, bytes) in
        files_in(&project().join("sample-data/kamailio")).iter().filter(|(name, _)| name.ends_with(".log"))
    {
        for line in String::from_utf8_lossy(bytes).lines() {
            let values: Vec<&str> = line.split('|').collect();
            let (seconds, fraction) = values[2].split_once('.').expect("a fraction");
            let milliseconds =
                seconds.parse::<u64>().expect("seconds") * 1000 + fraction[..3].parse::<u64>().expect("ms");
            calls.push(Call {
                start: values[0].parse().expect("start"),
                end: values[1].parse().expect("end"),
                milliseconds,
                name: values[7].replace("%7C", "|"),
            });
        }
    }
    calls
}

/// The first second of the hour in which the calls of [`call_line`] begin: 2024-11-03 02:00 UTC.
pub const FIRST_HOUR: i64 = 1_730_599_200;

/// A call as Kamailio writes it, so many minutes after [`FIRST_HOUR`].
pub fn call_line(minute: i64, id: &str) -> String {
    let at = FIRST_HOUR + minute * 60;
    format!("{at}|{at}|1.5|1|2|TG|{id}|x\n")
}

/// A feed of partner huaxin, as configurations of tests have it: hours of source switch with a manifest each.
pub const VOICE_FEED: &str = r#"[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
hour_by   = "start_time"
starts_at = "2024-11-03T02:00:00Z"
name      = "HX_{start:%Y%m%d%H}_{seq:05}.dat"
manifest  = { name = "HX_{start:%Y%m%d%H}_{revision:02}.json" }"#;

/// A configuration with one source, whose keys say how input is taken, and one feed with the given keys besides.
pub fn one_feed(site: &Site, source: &str, feed: &str, keep: &str) -> PathBuf {
    let text = format!(
        r#"
state   = "state"
archive = {{ dir = "archive", keep = "{keep}" }}
[source.switch]
{source}
format   = "kamailio-acc-cdrs"
[partner.huaxin]
deliver = "{drop}"
{VOICE_FEED}
{feed}
"#,
        drop = site.drop_dir("huaxin").display()
    );
    site.configure(&text)
}

/// The ids of the calls in each part file of the partner of [`one_feed`].
pub fn delivered_calls(site: &Site) -> Vec<(String, Vec<String>)> {
    let ids = |bytes: &Vec<u8>| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let records = text.lines().filter(|line| !line.starts_with(['H', 'T']));
        records.filter_map(|line| line.split('|').nth(6).map(str::to_owned)).collect()
    };
    site.dropped("huaxin", ".dat").iter().map(|(name, bytes)| (name.clone(), ids(bytes))).collect()
}
