//! How long `hourdrop status` takes when the ledger knows many files.
//!
//! ```text
//! cargo bench --bench status --profile dist -- [--files N] [--rounds N]
//! ```
//! A state directory is made by `hourdrop once`, and hours with delivered files of a partner who has taken them are
//! written into its ledger, a hundred files each, until it knows a million. Then `once` runs again, which finds them,
//! and `hourdrop status` is timed as a whole process.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a program for developers: it prints, or stops with a reason"
)]

use hourdrop::ledger::checked_rows::teach;
use rusqlite::{Connection, params};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const FILES_PER_HOUR: i64 = 100;
const FIRST_SECOND: i64 = 1_577_836_800; // 2020-01-01T00:00:00Z

const CONFIGURATION: &str = r#"
state   = "state"
archive = "archive"

[source.switch]
files    = "in"
finished = "renamed"
format   = "calls"

[partner.billing]
deliver = "out"

[partner.billing.feed.calls]
source    = "switch"
format    = "calls"
hour_by   = "start"
starts_at = "2020-01-01T00:00:00Z"
behind_max = "20000d"
name      = "C_{seq:09}.csv"
"#;

const FORMAT: &str = r#"
kind    = "delimited"
version = "1"
record  = [ { field = "caller" } ]

[read]
fields = [
  { name = "start",  column = 1, time = "%Y-%m-%dT%H:%M:%SZ", zone = "UTC", required = true },
  { name = "caller", column = 2 },
]
"#;

fn main() {
    let (files, rounds) = wishes(std::env::args().skip(1));
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
    for name in ["in", "out", "formats"] {
        fs::create_dir(dir.path().join(name)).expect("a directory");
    }
    write("hourdrop.toml", CONFIGURATION);
    write("formats/calls.toml", FORMAT);
    write("in/1.csv", "2020-01-01T00:00:00Z,1\n");
    hourdrop(dir.path(), &["once"]);
    let (empty, _) = status(dir.path(), rounds);
    fill(&dir.path().join("state/ledger.db"), files);
    let begun = Instant::now();
    // The ledger is not as the last pass left it, so it is checked as a whole, and the hours are summed up.
    hourdrop(dir.path(), &["once"]);
    let pass = begun.elapsed();
    hourdrop(dir.path(), &["once"]);
    let (full, said) = status(dir.path(), rounds);
    let ledger = fs::metadata(dir.path().join("state/ledger.db")).expect("the ledger").len() >> 20;
    println!("{said}");
    println!("{files} files in a ledger of {ledger} MiB; the first pass over it {:.1} s", pass.as_secs_f64());
    println!(
        "status: {:.1} ms, of an almost empty ledger {:.1} ms (medians of {rounds})",
        milliseconds(full),
        milliseconds(empty)
    );
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn wishes(arguments: impl Iterator<Item = String>) -> (i64, usize) {
    let (mut files, mut rounds) = (1_000_000, 9);
    let arguments: Vec<String> = arguments.filter(|argument| argument != "--bench").collect();
    for pair in arguments.chunks(2) {
        match pair {
            [name, number] if name == "--files" => files = number.parse().expect("a number"),
            [name, number] if name == "--rounds" => rounds = number.parse().expect("a number"),
            _ => {
                println!("usage: -- [--files N] [--rounds N]");
                std::process::exit(2);
            }
        }
    }
    (files, rounds)
}

fn hourdrop(dir: &Path, arguments: &[&str]) -> ExitStatus {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourdrop"));
    command.args(arguments).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("the program")
}

/// The median time of `status`, and what it says.
fn status(dir: &Path, rounds: usize) -> (Duration, String) {
    let time = |_| {
        let begun = Instant::now();
        hourdrop(dir, &["status"]);
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..rounds.max(1)).map(time).collect();
    times.sort_unstable();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourdrop"));
    let said = command.arg("status").current_dir(dir).output().expect("the program").stdout;
    (times.get(times.len() / 2).copied().unwrap_or_default(), String::from_utf8_lossy(&said).into_owned())
}

/// Writes hours with files into the ledger, as they are when their partner has everything.
fn fill(ledger: &Path, files: i64) {
    let mut connection = Connection::open(ledger).expect("the ledger");
    teach(&connection).expect("functions");
    let fill = connection.transaction().expect("a transaction");
    let hours = files / FILES_PER_HOUR;
    let definition: String = fill.query_row("SELECT hash FROM definition", [], |row| row.get(0)).expect("a definition");
    let mut number: i64 = fill.query_row("SELECT max(number) FROM file", [], |row| row.get(0)).expect("a number");
    let mut id: i64 = fill.query_row("SELECT max(id) FROM file", [], |row| row.get(0)).expect("a number");
    for hour in 1..=hours {
        let start = FIRST_SECOND + hour * 3600;
        let at = (start + 3700) * 1_000_000_000;
        let insert = "INSERT INTO hour (feed, start_second, end_second, received) VALUES ('billing/calls', ?1, ?2, ?3)";
        fill.execute(insert, params![start, start + 3600, FILES_PER_HOUR]).expect("an hour");
        let insert = "INSERT INTO batch (feed, start_second, end_second, revision, state, from_lsn, cut_lsn, definition,
            encoder_revision, sealed_at, source_incomplete, received, filtered, quarantined, duplicate, records, delivered_at)
            VALUES ('billing/calls', ?1, ?2, 0, 'delivered', 1, 2, ?3, 1, ?4, 0, ?5, 0, 0, 0, ?5, ?4)";
        fill.execute(insert, params![start, start + 3600, definition, at, FILES_PER_HOUR]).expect("a batch");
        let batch = fill.last_insert_rowid();
        for part in 0..FILES_PER_HOUR {
            (id, number) = (id + 1, number + i64::from(part > 0));
            let insert = "INSERT INTO file (id, batch, part, name, cycle, number, records, bytes, sha256, totals, state,
                verified, delivered_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 100, ?7, '{}', 'delivered', 'reply-and-size', ?8)";
            let given = (part > 0).then_some(number);
            let values =
                params![id, batch, part, format!("C_{id:09}.csv"), given.map(|_| 0), given, "ab".repeat(32), at];
            fill.prepare_cached(insert).and_then(|mut insert| insert.execute(values)).expect("a file");
        }
    }
    fill.execute("UPDATE counter SET number = ?1 WHERE name NOT LIKE '%manifest%'", [number]).expect("a counter");
    fill.execute("UPDATE feed SET closed_second = ?1", [FIRST_SECOND + (hours + 1) * 3600]).expect("a feed");
    // What the archive's log has not got.
    fill.execute("DELETE FROM touched", []).expect("no keys");
    fill.commit().expect("filled");
}
