//! The partner's robot: a program as partners run them. It looks every 50 ms, takes what matches its patterns, and
//! stops for ever at a gap, a wrong order, half a file, or a name that it knows already; it raises an alarm at any name
//! that it does not know. It moves files instead of deleting them, allows one connection, and answers each batch.
//!
//! An outage of 72 hours: the clock goes on, records come in every hour, every try fails. Then everything arrives, the
//! oldest first, and the robot has nothing to say.

use crate::faults::schedules::plan::{Plan, Traits};
use crate::faults::schedules::server::Server;
use crate::reactions::pass;
use crate::remote_files_max::Hasty;
use crate::servers::{SshKeys, TestServer};
use crate::site::{FIRST_HOUR, MovedClock, Site, VOICE_FEED, call_line, files_in, once};
use hourdrop::app::exporter::OnceReport;
use hourdrop::domain::ids::Sha256Digest;
use hourdrop::remote::Endpoint;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it looks.
const POLL: Duration = Duration::from_millis(50);
const PASSWORD: &str = "testpass";
/// Hours before the outage and in it.
const BEFORE: i64 = 3;
const OUTAGE: i64 = 72;
/// As many files may lie in the drop directory at once.
const FILES_MAX: usize = 20;
/// The batch that the robot rejects.
const REJECTED: &str = "HX_2024110405_00.json";

/// What its answers look like.
const ANSWER: &str = r#"kind = "delimited"
separator = "|"
[read]
fields = [
  { name = "file", column = 1, required = true },
  { name = "verdict", column = 2, required = true },
]
"#;

/// Where the partner keeps what was brought: the robot sees it from the inside.
trait Place: Send + Sync {
    /// Names in the drop directory with their bytes.
    fn look(&self) -> BTreeMap<String, Vec<u8>>;
    fn put_away(&self, name: &str);
    fn answer(&self, name: &str, text: &str);
}

/// Directories of this machine, behind a real server.
struct Directories {
    out: PathBuf,
    done: PathBuf,
    answers: PathBuf,
}

impl Directories {
    fn below(root: &Path) -> Self {
        let [out, done, answers] = ["out", "done", "answers"].map(|name| root.join(name));
        for dir in [&done, &answers] {
            fs::create_dir_all(dir).expect("directory");
        }
        Self { out, done, answers }
    }
}

impl Place for Directories {
    fn look(&self) -> BTreeMap<String, Vec<u8>> {
        files_in(&self.out)
    }

    fn put_away(&self, name: &str) {
        fs::rename(self.out.join(name), self.done.join(name)).expect("moved");
    }

    fn answer(&self, name: &str, text: &str) {
        fs::write(self.answers.join(name), text).expect("written");
    }
}

impl Place for Server {
    fn look(&self) -> BTreeMap<String, Vec<u8>> {
        let world = self.world();
        let here = world.files.iter().filter_map(|(path, bytes)| Some((path.strip_prefix("out/")?, bytes)));
        here.map(|(name, bytes)| (name.to_owned(), bytes.clone())).collect()
    }

    fn put_away(&self, name: &str) {
        let mut world = self.world();
        let bytes = world.files.remove(&format!("out/{name}")).expect("it lies there");
        world.files.insert(format!("done/{name}"), bytes);
    }

    fn answer(&self, name: &str, text: &str) {
        self.world().files.insert(format!("answers/{name}"), text.as_bytes().to_vec());
    }
}

/// What the robot knows.
#[derive(Default)]
struct Robot {
    taken: BTreeMap<String, Vec<u8>>,
    /// Number of the last part file and of the last manifest.
    last: [u64; 2],
    alarms: Vec<String>,
    stopped: Option<String>,
    rejected: Vec<String>,
}

/// The number in `HX_2024110302_00001.dat`; manifests are numbered inside.
fn number_of(name: &str) -> Option<u64> {
    let (start, number) = name.strip_prefix("HX_")?.strip_suffix(".dat")?.split_once('_')?;
    (start.len() == 10 && number.len() == 5).then(|| number.parse().ok())?
}

impl Robot {
    fn look(&mut self, place: &dyn Place) {
        if self.stopped.is_some() {
            return;
        }
        // A listing may miss a name that appears while it is made: a gap is one that is still there in the second.
        let mut gap = None;
        for _ in 0..2 {
            gap = self.take_all(place, &place.look());
            if gap.is_none() {
                return;
            }
        }
        self.stopped = gap;
    }

    /// Takes what is next, again and again; what is left over is a gap.
    fn take_all(&mut self, place: &dyn Place, seen: &BTreeMap<String, Vec<u8>>) -> Option<String> {
        let mut left: BTreeMap<&String, &Vec<u8>> = seen.iter().collect();
        for (name, bytes) in seen {
            if let Some(known) = self.taken.get(name) {
                self.stopped = Some(format!("{name} came again, bytes are the same: {}", known == bytes));
            } else if number_of(name).is_none() && !name.ends_with(".json") {
                self.alarms.push(format!("{name} is no name of ours"));
                left.remove(name);
            }
        }
        while let Some((name, bytes)) =
            left.iter().map(|(name, bytes)| (*name, *bytes)).find(|(n, b)| self.is_next(n, b))
        {
            left.remove(name);
            self.take(place, name, bytes);
        }
        left.first_key_value().map(|(name, _)| format!("{name} is here, after {:?}", self.last))
    }

    fn is_next(&self, name: &str, bytes: &[u8]) -> bool {
        if let Some(number) = number_of(name) {
            return number == self.last[0] + 1;
        }
        let manifest: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let files = manifest["files"].as_array().cloned().unwrap_or_default();
        let holds = |file: &serde_json::Value| {
            let part = file["name"].as_str().and_then(|name| self.taken.get(name));
            part.is_some_and(|part| file["sha256"].as_str() == Some(&hash(part)))
        };
        manifest["sequence"].as_u64() == Some(self.last[1] + 1) && files.iter().all(holds)
    }

    fn take(&mut self, place: &dyn Place, name: &str, bytes: &[u8]) {
        let is_manifest = number_of(name).is_none();
        let text = String::from_utf8_lossy(bytes);
        if !is_manifest && !text.lines().last().is_some_and(|line| line.starts_with('T')) {
            self.stopped = Some(format!("{name} has no trailer: it is not whole"));
        }
        place.put_away(name);
        self.taken.insert(name.to_owned(), bytes.to_vec());
        self.last[usize::from(is_manifest)] += 1;
        if is_manifest {
            let verdict = if name == REJECTED { "REJECTED" } else { "OK" };
            place.answer(&format!("{name}.ack"), &format!("{name}|{verdict}\n"));
            if name == REJECTED {
                self.rejected.push(name.to_owned());
            }
        }
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256Digest(Sha256::digest(bytes).into()).to_string()
}

/// The robot at work.
struct Running {
    robot: Arc<Mutex<Robot>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(robot: &Arc<Mutex<Robot>>, place: Arc<dyn Place>) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (shared, end) = (Arc::clone(robot), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            loop {
                // The last look comes after everything was brought.
                let is_last = end.load(Ordering::Relaxed);
                locked(&shared).look(place.as_ref());
                if is_last {
                    return;
                }
                std::thread::park_timeout(POLL);
            }
        });
        Self { robot: Arc::clone(robot), ends, thread: Some(thread) }
    }

    /// Lets it look once more and says what it found.
    fn end(mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it runs");
        thread.thread().unpark();
        thread.join().expect("the robot did not panic");
        let robot = locked(&self.robot);
        assert_eq!(robot.stopped, None, "the robot has stopped");
        assert!(robot.alarms.is_empty(), "{:?}", robot.alarms);
    }
}

fn locked(robot: &Mutex<Robot>) -> MutexGuard<'_, Robot> {
    robot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The exporter's side.
struct Sender {
    site: Site,
    hour: i64,
}

impl Sender {
    fn new() -> Self {
        let site = Site::in_memory();
        site.write("formats/answer.toml", ANSWER);
        let secret = site.write("password", PASSWORD);
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode");
        Self { site, hour: 0 }
    }

    /// Where to deliver, and for how long a pass tries.
    fn configure(&self, deliver: &str, patience: &str) {
        self.site.configure(&format!(
            r#"
state   = "state"
archive = "archive"
once_deliver_for = "{patience}"
[source.switch]
files    = "in"
finished = "renamed"
format   = "kamailio-acc-cdrs"
[partner.huaxin]
deliver  = "{deliver}
password = {{ file = "password" }}
picks_up = ["HX_*.dat", "HX_*.json"]
temporary_dir = "work"
remote_files_max = {FILES_MAX}
pickup   = {{ by = "moved:done" }}
answers  = {{ dir = "answers", pattern = "*.ack", format = "answer", file = "file", status = "verdict", accepted = ["OK"], rejected = ["REJECTED"] }}
{VOICE_FEED}
"#
        ));
    }

    /// Records of the next hour come in.
    fn hour_passes(&mut self) {
        let hour = self.hour;
        self.site.write(&format!("in/{hour:03}.log"), call_line(hour * 60 + 5, &format!("call{hour}")));
        self.hour += 1;
    }

    /// One pass, so many hours after the first record as have passed.
    fn pass(&self) -> OnceReport {
        let clock = Hasty(MovedClock::of_old(FIRST_HOUR + self.hour * 3_600 + 60));
        pass(&self.site.path("hourdrop.toml"), Arc::new(clock))
    }

    /// Passes until everything is delivered.
    fn deliver(&self) -> OnceReport {
        let mut report = self.pass();
        for _ in 0..4 {
            if report.partners[0].1.left == 0 {
                break;
            }
            report = self.pass();
        }
        assert_eq!(report.partners[0].1.left, 0, "{report:?}");
        report
    }

    /// The server is away: each hour brings records and a try that fails.
    fn outage(&mut self) {
        for hour in 0..OUTAGE {
            self.hour_passes();
            if hour % 8 == 0 {
                let report = self.pass();
                assert_eq!(report.exit_code(), 5, "a try that fails is an alarm: {report:?}");
            }
        }
    }

    /// The robot has what the archive has.
    fn judge(&self, robot: &Mutex<Robot>) {
        let robot = locked(robot);
        let bare = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
        let archived: BTreeMap<String, Vec<u8>> =
            files_in(&self.site.path("archive/huaxin")).into_iter().map(|(path, bytes)| (bare(path), bytes)).collect();
        assert_eq!(robot.taken, archived);
        let hours = u64::try_from(self.hour).expect("small");
        assert_eq!(robot.last, [hours, hours]);
        assert_eq!(robot.rejected, [REJECTED]);
    }

    /// Everything else that is known: one batch is rejected and waits for the operator, all others are accepted.
    fn judge_answers(&self) {
        // Looks are a minute apart, and waiting for the robot took some minutes.
        let now = FIRST_HOUR + self.hour * 3_600 + 3_000;
        let report = once(&self.site.path("hourdrop.toml"), &shown(now));
        let alarms: Vec<(&str, bool)> =
            report.alarms.iter().map(|alarm| (alarm.code.as_str(), alarm.message.contains(REJECTED))).collect();
        assert_eq!(alarms, [("HD0221", true)], "{report:?}");
        let ledger = rusqlite::Connection::open(self.site.path("state/ledger.db")).expect("ledger");
        let query = "SELECT state, count(*) FROM verdict GROUP BY state ORDER BY state";
        let mut statement = ledger.prepare(query).expect("a query");
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
        let verdicts: Vec<(String, i64)> = rows.expect("rows").collect::<Result<_, _>>().expect("rows");
        assert_eq!(verdicts, [("accepted".to_owned(), self.hour - 1), ("rejected".to_owned(), 1)]);
    }
}

/// A second since 1970 as a text.
fn shown(second: i64) -> String {
    chrono::DateTime::from_timestamp(second, 0).expect("a time").to_rfc3339()
}

#[test]
fn the_robot_gets_everything_after_72_hours_without_its_ftp_server() {
    let mut sender = Sender::new();
    let robot = Arc::new(Mutex::new(Robot::default()));
    let files_max = Some(FILES_MAX);
    let traits = Traits { foreign: false, connections_max: Some(1), files_max, answers: true, ..Traits::PLAIN };
    let plan = Plan { traits, lies: Vec::new(), seed: 1 };
    let server = Arc::new(Server::start(&plan, ""));
    let deliver = format!("ftp://acme@127.0.0.1:{}/out\"", server.port);
    let running = Running::start(&robot, Arc::clone(&server) as Arc<dyn Place>);
    sender.configure(&deliver, "20s");
    for _ in 0..BEFORE {
        sender.hour_passes();
        sender.deliver();
    }
    sender.configure("ftp://acme@127.0.0.1:1/out\"", "1ms");
    sender.outage();
    sender.configure(&deliver, "60s");
    sender.deliver();
    running.end();
    sender.judge(&robot);
    sender.judge_answers();
    let world = server.world();
    assert!(world.broken.is_empty(), "{:?}", world.broken);
    assert_eq!(world.turned_away, 0, "there was always room for what was sent");
}

#[test]
fn the_robot_gets_everything_after_72_hours_from_an_sftp_server_with_its_next_host_key() {
    let mut sender = Sender::new();
    let robot = Arc::new(Mutex::new(Robot::default()));
    let mut keys = SshKeys::of_kinds(&["ed25519", "ecdsa"]);
    let (pins, host) = (keys.fingerprints(), keys.host.clone());
    let deliver = |server: &TestServer| {
        let Endpoint::Sftp(endpoint) = &server.endpoint else { panic!("{} is no SFTP server", server.name) };
        format!("sftp://acme@127.0.0.1:{}/out\"\nhost_key = [\"{}\", \"{}\"]", endpoint.port, pins[0], pins[1])
    };
    keys.host = vec![host[0].clone()];
    let server = TestServer::openssh(&keys);
    let running = Running::start(&robot, Arc::new(Directories::below(&server.files)));
    sender.configure(&deliver(&server), "20s");
    for _ in 0..BEFORE {
        sender.hour_passes();
        sender.deliver();
    }
    running.end();
    let gone = deliver(&server);
    let kept = files_in(&server.files);
    drop(server);
    sender.configure(&gone, "1ms");
    sender.outage();
    keys.host = vec![host[1].clone()];
    let server = TestServer::openssh(&keys);
    let place = Directories::below(&server.files);
    for (name, bytes) in kept {
        fs::write(server.files.join(name), bytes).expect("written");
    }
    let running = Running::start(&robot, Arc::new(place));
    // The partner has moved to another port as well, with all that lay there.
    let before = gone.split('"').next().expect("an address");
    sender.configure(&format!("{}\nformerly = [\"{before}\"]", deliver(&server)), "60s");
    sender.deliver();
    running.end();
    sender.judge(&robot);
    sender.judge_answers();
}

/// It does stop and it does raise alarms.
#[test]
fn the_robot_stops_at_a_gap_at_half_a_file_and_at_a_name_that_comes_again() {
    let place = |files: &[(&str, &str)]| {
        let server =
            Server::start(&Plan { traits: Traits { foreign: false, ..Traits::PLAIN }, lies: Vec::new(), seed: 1 }, "");
        for (name, text) in files {
            server.world().files.insert(format!("out/{name}"), text.as_bytes().to_vec());
        }
        server
    };
    let (first, second) = ("HX_2024110302_00001.dat", "HX_2024110302_00002.dat");
    let whole = "H|1\nT|0\n";
    for (files, stops, alarms) in [
        (vec![(first, whole), (second, whole)], false, 0),
        (vec![(second, whole)], true, 0),
        (vec![(first, "H|1\n")], true, 0),
        (vec![("HX_2024110302_01.json", "{\"sequence\": 1, \"files\": [{\"name\": \"x\"}]}")], true, 0),
        (vec![("HX_2024110302_00001.dat.0123abcd-1.tmp", whole)], false, 1),
    ] {
        let mut robot = Robot::default();
        robot.look(&place(&files));
        assert_eq!((robot.stopped.is_some(), robot.alarms.len()), (stops, alarms), "{files:?}");
    }
    let mut robot = Robot::default();
    for expected in [false, true] {
        robot.look(&place(&[(first, whole)]));
        assert_eq!(robot.stopped.is_some(), expected);
    }
}
