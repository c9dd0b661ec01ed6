//! A small exporter with two partners: where it lives, what it is fed, how it is started.

use super::oracle::{Line, PartnerDir};
use crate::servers::TestServer;
use hourdrop::remote::Endpoint;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Behind the last hour of the records.
pub const NOW: &str = "2024-11-03T10:00:00Z";
/// The same, going on as time does.
pub const FROM_NOW: &str = "2024-11-03T10:00:00Z*1";
/// The begin of the first hour.
pub const FIRST_SECOND: i64 = 1_730_599_200;
const FILES: usize = 4;
const RECORDS_OF_A_FILE: usize = 60;

pub const IN: &str = r#"
kind = "delimited"
separator = "|"
[read]
fields = [
  { name = "id", column = 1, required = true },
  { name = "at", column = 2, time = "epoch_s", required = true },
  { name = "note", column = 3 },
]
"#;

pub const LINES: &str = r#"
kind = "delimited"
separator = "|"
header  = [ { text = "H" }, { value = "{seq}" } ]
record  = [ { text = "R" }, { field = "id" }, { field = "at", time = "epoch_s" }, { field = "note" } ]
trailer = [ { text = "T" }, { count = "record" } ]
"#;

const OBJECTS: &str = r#"
kind   = "json-lines"
record = [ { field = "id" }, { field = "at", time = "epoch_s", as = "text" } ]
"#;

/// How records come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    Files,
    Stdin,
}

pub struct Rig {
    root: PathBuf,
    pub config: PathBuf,
    /// Where the first partner's files lie.
    huaxin: PathBuf,
}

impl Rig {
    /// In a directory that exists. The first partner's files go to a directory of this name at the server, or to a
    /// directory beside the others.
    pub fn new(root: &Path, intake: Intake, server: Option<(&TestServer, &str)>) -> Self {
        let source = match intake {
            Intake::Files => "files = \"in\"\nfinished = \"renamed\"\nthen = \"move:done\"",
            Intake::Stdin => "stdin = true",
        };
        let rig = Self::configured(root, source, server, "20s");
        if intake == Intake::Files {
            for (number, lines) in inputs().chunks(RECORDS_OF_A_FILE).enumerate() {
                rig.write(&format!("in/cdr_{number:02}.log"), &lines.concat());
            }
        }
        rig
    }

    /// With a source of one's own, and without input. What cannot be delivered at once waits for the next pass.
    pub fn with_source(root: &Path, source: &str) -> Self {
        Self::configured(root, source, None, "1ms")
    }

    fn configured(root: &Path, source: &str, server: Option<(&TestServer, &str)>, patience: &str) -> Self {
        let (huaxin, deliver) = match server {
            None => (root.join("drop/huaxin"), "deliver = \"drop/huaxin\"".to_owned()),
            Some((server, directory)) => at_server(root, server, directory),
        };
        let rig = Self { root: root.to_owned(), config: root.join("hourdrop.toml"), huaxin };
        fs::create_dir_all(root.join("drop/meridian")).expect("directory");
        if server.is_none() {
            fs::create_dir_all(&rig.huaxin).expect("directory");
        }
        for (name, text) in [("in", IN), ("lines", LINES), ("objects", OBJECTS)] {
            rig.write(&format!("formats/{name}.toml"), text);
        }
        rig.write("hourdrop.toml", &configuration(source, &deliver, patience));
        rig
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
        fs::write(path, text).expect("write");
    }

    /// Takes all input files but the first `number` away for now.
    pub fn hold_back(&self, number: usize) {
        fs::create_dir(self.root.join("later")).expect("directory");
        for name in crate::site::files_in(&self.root.join("in")).keys().skip(number) {
            fs::rename(self.root.join("in").join(name), self.root.join("later").join(name)).expect("move");
        }
    }

    /// Gives back what was held back.
    pub fn give_back(&self) {
        for name in crate::site::files_in(&self.root.join("later")).keys() {
            fs::rename(self.root.join("later").join(name), self.root.join("in").join(name)).expect("move");
        }
    }

    /// The program with this command; it still has to be started.
    pub fn command(&self, what: &str, clock: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hourdrop"));
        command.args([what, "--color", "never", "--config"]).arg(&self.config);
        command.env("HOURDROP_TEST_CLOCK", clock);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, what: &str, clock: &str) -> Child {
        self.command(what, clock).spawn().expect("the program starts")
    }

    /// Passes without any fault until one says that all is done.
    pub fn settle(&self) -> Result<(), String> {
        let mut said = Vec::new();
        for _ in 0..4 {
            let output = self.command("once", NOW).stdout(Stdio::piped()).output().expect("the program runs");
            if output.status.success() {
                return Ok(());
            }
            let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
            said.push(format!("{}: {}", output.status, texts.concat()));
        }
        Err(format!("it does not settle: {}", said.join("\n")))
    }

    /// What the partners can read, byte for byte.
    pub fn delivered(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        for dir in [&self.huaxin, &self.root.join("drop/meridian")] {
            let name = dir.file_name().expect("a name").to_owned();
            for (file, bytes) in crate::site::files_in(dir) {
                let owner = if *dir == self.huaxin { "huaxin".as_ref() } else { name.as_os_str() };
                all.insert(Path::new(owner).join(file), bytes);
            }
        }
        all
    }

    /// All that must hold when it has settled.
    pub fn judge(&self, expected: &BTreeMap<String, i64>) -> Result<(), String> {
        let (stage, ledger) = (self.root.join("archive/.stage"), self.root.join("state/ledger.db"));
        super::oracle::judge(expected, &self.partners(), &stage, &ledger)
    }

    /// All of that but the ledger.
    pub fn judge_files(&self, expected: &BTreeMap<String, i64>) -> Result<(), String> {
        super::oracle::judge_files(expected, &self.partners(), &self.root.join("archive/.stage"))
    }

    /// What must hold at any time: no record twice, nothing listed that is not so.
    pub fn judge_what_is_visible(&self, expected: &BTreeMap<String, i64>) -> Result<(), String> {
        super::oracle::judge_what_is_visible(expected, &self.partners())
    }

    fn partners(&self) -> [PartnerDir; 2] {
        let (files, archive) = (self.root.join("drop/meridian"), self.root.join("archive/meridian"));
        [
            PartnerDir { files: self.huaxin.clone(), archive: self.root.join("archive/huaxin"), read: read_line },
            PartnerDir { files, archive, read: read_object },
        ]
    }
}

/// The lines of all input, in their order.
pub fn inputs() -> Vec<String> {
    let all = (0..FILES * RECORDS_OF_A_FILE).map(|number| {
        let minute = i64::try_from(number * 7 % 360).expect("small");
        let at = FIRST_SECOND + minute * 60 + i64::try_from(number % 60).expect("small");
        format!("c{number:05}|{at}|{}\n", "note ".repeat(number % 20))
    });
    all.collect()
}

/// The ids of all records and when the calls began.
pub fn expected() -> BTreeMap<String, i64> {
    let pair = |line: &String| {
        let cells: Vec<&str> = line.split('|').collect();
        (cells[0].to_owned(), cells[1].parse().expect("a time"))
    };
    inputs().iter().map(pair).collect()
}

fn configuration(source: &str, deliver: &str, patience: &str) -> String {
    format!(
        r#"
state   = "state"
archive = "archive"
poll    = "20ms"
once_deliver_for = "{patience}"
[source.switch]
{source}
format = "in"
[partner.huaxin]
{deliver}
[partner.huaxin.feed.lines]
source      = "switch"
format      = "lines"
zone        = "Asia/Shanghai"
hour_by     = "at"
starts_at   = "2024-11-03T02:00:00Z"
name        = "HX_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
records_max = 25
manifest    = {{ name = "HX_{{start:%Y%m%d%H}}_r{{revision:02}}.json" }}
[partner.meridian]
deliver = "drop/meridian"
[partner.meridian.feed.objects]
source    = "switch"
format    = "objects"
period    = "30m"
zone      = "America/New_York"
hour_by   = "at"
starts_at = "2024-11-03T02:00:00Z"
name      = "M_{{start:%Y%m%d%H%M%z}}_{{seq:07}}.jsonl"
"#
    )
}

fn at_server(root: &Path, server: &TestServer, directory: &str) -> (PathBuf, String) {
    let Endpoint::Ftp(endpoint) = &server.endpoint else { panic!("{} is no FTP server", server.name) };
    let secret = root.join("huaxin.password");
    fs::write(&secret, secrecy::ExposeSecret::expose_secret(&endpoint.password)).expect("write");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode");
    let base = match server.base.as_str() {
        "" | "." => String::new(),
        base => format!("{base}/"),
    };
    let url = format!("ftp://{}@{}:{}/{base}{directory}", endpoint.user, endpoint.host, endpoint.port);
    let files = server.files.join(directory);
    (files, format!("deliver = \"{url}\"\npassword = {{ file = \"huaxin.password\" }}"))
}

fn read_line(text: &str) -> Line {
    let cells: Vec<&str> = text.split('|').collect();
    match cells.as_slice() {
        ["H", number] => Line::Head { sequence: number.parse().expect("a number") },
        ["T", count] => Line::Tail { records: count.parse().expect("a number") },
        ["R", id, at, _note] => Line::Record { id: (*id).to_owned(), at: at.parse().expect("a time") },
        _ => Line::Unknown,
    }
}

fn read_object(text: &str) -> Line {
    let Ok(object) = serde_json::from_str::<serde_json::Value>(text) else { return Line::Unknown };
    match (object["id"].as_str(), object["at"].as_str().and_then(|at| at.parse().ok())) {
        (Some(id), Some(at)) => Line::Record { id: id.to_owned(), at },
        _ => Line::Unknown,
    }
}
