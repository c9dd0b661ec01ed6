//! A directory with a configuration and a ledger to report on.

use hourdrop::disk::RealDisk;
use hourdrop::domain::batch::{BatchId, BatchPlan, HourCounts, PlannedFile, SealedFile};
use hourdrop::domain::counter::{CounterState, Sequence};
use hourdrop::domain::ids::{FeedId, FileName, HashedBy, InputHash, Lsn, PartNumber, Revision, Sha256Digest, SourceId};
use hourdrop::domain::period::Partition;
use hourdrop::domain::time::UtcTime;
use hourdrop::ledger::Ledger;
use hourdrop::ledger::batches::{Decisions, HeldHour};
use hourdrop::ledger::intake::{InputRow, IntakeEntry, QuarantineRow, QuarantineStage, SourceRow};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// 2024-11-03T10:00:00+08:00.
const TEN: i64 = 1_730_599_200;
const HASH: &str = "d";

const HUAXIN: &str = r#"state   = "state"
archive = "archive"

[source.switch]
files    = "in/*.log"
finished = "quiet:60s"
then     = "move:done"
format   = "kamailio-acc-cdrs"

[partner.huaxin]
deliver  = "ftp://hourdrop@10.8.3.20/cdr"
password = { env = "HUAXIN_PASSWORD" }
picks_up = ["*.dat", "*.sum"]
pickup   = { by = "deleted", within = "90m" }

[partner.huaxin.feed.voice]
source    = "switch"
where     = 'duration > 0'
format    = "huaxin-voice"
zone      = "Asia/Shanghai"
hour_by   = "end_time"
starts_at = "2024-11-03T10:00:00+08:00"
ends_at   = "2024-11-04T00:00:00+08:00"
sequence  = { first = 4712, last = 99999, then = 1 }
name      = "HX_{start:%Y%m%d%H}_{seq:05}.dat"
manifest  = { format = "huaxin-summary", name = "HX_{start:%Y%m%d%H}_{revision:02}.sum" }
empty     = "header and trailer"
late      = "supplement"
grace     = "10m"
"#;

/// What the program said.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|fault| panic!("{fault}: {}", self.out))
    }
}

/// A directory to run the program in.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().expect("directory"))
    }

    /// With the formats that come with the program.
    pub fn new() -> Self {
        let place = Self::empty();
        for name in ["formats", "drop"] {
            fs::create_dir(place.path(name)).expect("directory");
        }
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("formats");
        for entry in fs::read_dir(shipped).expect("formats") {
            let path = entry.expect("entry").path();
            fs::copy(&path, place.path("formats").join(path.file_name().expect("name"))).expect("copy");
        }
        place
    }

    /// With one source and one partner as well.
    pub fn with_huaxin() -> Self {
        let place = Self::new();
        place.write("hourdrop.toml", HUAXIN);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own file need not survive a power cut")]
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("write");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("read")
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, &[])
    }

    /// At eight in the evening of the day in Shanghai.
    pub fn run_at_eight(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, &[("HOURDROP_TEST_CLOCK", "2024-11-03T12:00:00Z")])
    }

    pub fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = self.command(arguments).envs(variables.iter().copied()).output().expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Said { exit: output.status.code().expect("code"), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs the program with a standard output that nobody reads.
    pub fn run_into_closed_pipe(&self, arguments: &[&str]) -> Option<i32> {
        let (reader, writer) = std::io::pipe().expect("pipe");
        drop(reader);
        let mut command = self.command(arguments);
        command.stdout(writer).stderr(Stdio::null()).status().expect("the program runs").code()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hourdrop"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("HUAXIN_PASSWORD", "not shown anywhere");
        for variable in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "RUST_BACKTRACE"] {
            command.env_remove(variable);
        }
        command
    }

    fn ledger(&self) -> Ledger {
        fs::create_dir(self.path("state")).expect("directory");
        let path = self.path("state/ledger.db");
        Ledger::create(&path, "0a").expect("ledger");
        let ledger = Ledger::open(Arc::new(RealDisk), &path).expect("ledger");
        self.sql("INSERT INTO definition VALUES ('d', 'huaxin/voice', '')");
        self.sql("INSERT INTO feed (feed) VALUES ('huaxin/voice')");
        ledger
    }

    /// A ledger after four exported hours, one of them empty and one with a supplement; the last one is sealed and not
    /// delivered. A fifth hour is open.
    pub fn export(&self) {
        let mut ledger = self.ledger();
        ledger.apply_intake(Lsn(8), &accepted()).expect("intake");
        for (plan, sealed_files) in batches() {
            let counters = vec![
                ("huaxin/voice".to_owned(), given(&plan.parts)),
                ("huaxin/voice#manifest".to_owned(), given(plan.manifest.as_slice())),
            ];
            let closed = vec![(feed(), plan.id.partition.end)];
            let id = plan.id.clone();
            let sealed_at = plan.sealed_at;
            let decisions = Decisions { plans: vec![(plan, Vec::new())], counters, closed, ..Decisions::default() };
            ledger.decide(&decisions).expect("plan");
            ledger.seal(&[(id, sealed_files)], &|_| false, sealed_at).expect("seal");
        }
        // As the delivery records it.
        let delivered = "b.sealed_at + CASE b.revision WHEN 0 THEN 3000000000 ELSE 0 END";
        self.sql(&format!(
            "UPDATE file SET state = 'delivered', attempt = 1, verified = 'reply-and-size',
             delivered_at = (SELECT {delivered} FROM batch b WHERE b.id = file.batch)
             WHERE batch IN (SELECT id FROM batch WHERE start_second < {})",
            TEN + 3 * 3600
        ));
        self.sql(&format!(
            "UPDATE batch AS b SET state = 'delivered', delivered_at = {delivered} WHERE start_second < {}",
            TEN + 3 * 3600
        ));
    }

    /// A ledger with a held hour and an alarm.
    pub fn hold(&self) {
        let mut ledger = self.ledger();
        let at = UtcTime::from_seconds(TEN + 4200).expect("range");
        let message = "file numbers 718 to 719 never came".to_owned();
        let hint = "put them back, or say that they will not come".to_owned();
        ledger.replace_alarms("switch", &[("HD0406", message, hint)], at).expect("alarm");
        let counts = HourCounts { received: 10, filtered: 0, quarantined: 9, duplicate: 0 };
        let hours = [(feed(), Some(hour(0)), counts)].into_iter().collect();
        ledger.apply_intake(Lsn(1), &IntakeEntry { hours, ..IntakeEntry::default() }).expect("intake");
        let held = HeldHour {
            id: BatchId { feed: feed(), partition: hour(0), revision: Revision(0) },
            reason: "9 of 10 records in quarantine".to_owned(),
            definition: HASH.to_owned(),
            at,
            from: Lsn(1),
            cut: Lsn(2),
            quarantine: Vec::new(),
        };
        ledger.decide(&Decisions { held: vec![held], ..Decisions::default() }).expect("held");
    }

    fn sql(&self, statement: &str) {
        let connection = rusqlite::Connection::open(self.path("state/ledger.db")).expect("ledger");
        hourdrop::ledger::checked_rows::teach(&connection).expect("functions");
        connection.execute(statement, []).expect("statement");
    }
}

fn feed() -> FeedId {
    FeedId::parse("huaxin/voice").expect("feed")
}

/// The hour that begins so many hours after ten o'clock.
fn hour(index: i64) -> Partition {
    Partition { start: TEN + index * 3600, end: TEN + (index + 1) * 3600 }
}

fn accepted() -> IntakeEntry {
    let source = SourceId::parse("switch").expect("source");
    let at = |second: i64| UtcTime::from_seconds(TEN + second).expect("range");
    let counts = |received, filtered, quarantined| HourCounts { received, filtered, quarantined, duplicate: 0 };
    let quarantined = |feed: Option<FeedId>, line: u64, byte, reason: &str| QuarantineRow {
        source: source.clone(),
        start_second: feed.as_ref().map(|_| TEN),
        stage: if feed.is_some() { QuarantineStage::Route } else { QuarantineStage::Decode },
        feed,
        input: "a.log".to_owned(),
        record: line,
        line,
        byte,
        reason: reason.to_owned(),
        raw: b"never|86138000026\n".to_vec(),
        head: Vec::new(),
        lsn: Lsn(2),
        at: at(1800),
    };
    IntakeEntry {
        hours: [
            (feed(), Some(hour(0)), counts(3, 1, 0)),
            (feed(), Some(hour(2)), counts(7, 0, 1)),
            (feed(), Some(hour(3)), counts(7, 1, 0)),
            (feed(), Some(hour(4)), counts(4, 0, 0)),
            (feed(), None, counts(1, 0, 1)),
        ]
        .into_iter()
        .collect(),
        quarantine: vec![
            quarantined(None, 7, 310, "field `start_time` is no time"),
            quarantined(
                Some(feed()),
                9,
                450,
                "cell `name` (column 8) holds a character at place 1 that is not in GB18030",
            ),
        ],
        inputs: vec![InputRow {
            source: source.clone(),
            name: "a.log".to_owned(),
            bytes: 2000,
            modified_nanos: 0,
            hash: InputHash { by: HashedBy::Blake3, digest: [0x12; 32] },
            records: 21,
            rejects: 1,
            at: at(1900),
        }],
        sources: vec![SourceRow {
            source,
            records: 21,
            rejects: 1,
            last_at: at(4 * 3600 + 1800),
            last_event: Some(at(4 * 3600 + 1740)),
        }],
        ..IntakeEntry::default()
    }
}

/// Plans and sealed files: hour, revision, records of its part file, when it was planned (seconds after its end).
fn batches() -> Vec<(BatchPlan, Vec<SealedFile>)> {
    let batches = [(0, 0, 2, 600), (1, 0, 0, 600), (2, 0, 4, 600), (2, 1, 2, 2400), (3, 0, 6, 600)];
    batches.into_iter().zip(0..).map(|(batch, index)| planned(batch, index)).collect()
}

fn planned((at, revision, records, wait): (i64, u32, u64, i64), index: u64) -> (BatchPlan, Vec<SealedFile>) {
    let partition = hour(at);
    let label = format!("{}{:02}", "20241103", 10 + at);
    let name = |name: String| FileName::parse(&name).expect("name");
    let file = |part, name, number| PlannedFile {
        part: PartNumber(part),
        name,
        sequence: Some(Sequence { cycle: 0, number }),
        records,
    };
    let part = file(1, name(format!("HX_{label}_{:05}.dat", 4712 + index)), 4712 + index);
    let manifest = file(0, name(format!("HX_{label}_{revision:02}.sum")), 1 + index);
    let sealed = |file: &PlannedFile, bytes| SealedFile {
        part: file.part,
        name: file.name.clone(),
        sequence: file.sequence,
        archive_path: format!("huaxin/voice/{label}_{revision:02}/{}", file.name),
        records,
        bytes,
        sha256: Sha256Digest([0xab; 32]),
        first_event: None,
        last_event: None,
        totals: vec![("duration".to_owned(), "391053".to_owned())],
    };
    let files = vec![sealed(&part, records * 100), sealed(&manifest, 99)];
    let plan = BatchPlan {
        id: BatchId { feed: feed(), partition, revision: Revision(revision) },
        from: Lsn(1),
        cut: Lsn(3 + index),
        definition: HASH.to_owned(),
        encoder_revision: 1,
        sealed_at: UtcTime::from_seconds(partition.end + wait).expect("range"),
        parts: vec![part],
        manifest: Some(manifest),
        counts: HourCounts::default(),
        source_incomplete: false,
    };
    (plan, files)
}

fn given(files: &[PlannedFile]) -> CounterState {
    CounterState { given: files.first().and_then(|file| file.sequence), ..CounterState::fresh() }
}
