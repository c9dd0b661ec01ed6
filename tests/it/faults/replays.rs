//! Input that comes again and again: every file is given one to five times, under its own name and under others, in
//! any order, while the program dies and starts again; logs grow by pieces and are rotated while it is down. Each
//! record is in the output once.
//!
//! `HOURDROP_REPLAYS` is the number of rounds. The deaths are those of [`super::dying_disk`], so a seed draws exactly
//! the same round again. Standard input is in [`super::kills`].

use super::dying_disk::DyingDisk;
use super::rig::{FIRST_SECOND, NOW, Rig};
use super::{memory_dir, number, say, seed, tell};
use crate::site::{load, time, world};
use hourdrop::app::config::Config;
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::progress::Silent;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const ROUNDS: u64 = 200;
/// Small enough that a long file needs several segments.
const SEGMENT_BYTES: u64 = 1 << 20;

/// A place with its configuration, read once.
struct Replay {
    rig: Rig,
    config: Config,
}

impl Replay {
    fn new(dir: &Path, source: &str) -> Self {
        let rig = Rig::with_source(dir, source);
        let config = load(&rig.config, NOW);
        Self { rig, config }
    }
}

/// One pass. `None`: it died.
fn pass(replay: &Replay, dies_after: Option<i64>) -> Option<OnceReport> {
    let config = replay.config.clone();
    let mut world = match dies_after {
        None => world(NOW),
        Some(operations) => {
            let clock = Arc::new(crate::site::StandingClock(time(NOW)));
            World::new(Arc::new(DyingDisk::after(operations)), clock, Arc::new(Silent))
        }
    };
    world.limits.segment_bytes_max = SEGMENT_BYTES;
    let report = Exporter::open(config, &world, None, true).and_then(Exporter::once);
    match (report, dies_after) {
        (Ok(report), _) => Some(report),
        (Err(_), Some(_)) => None,
        (Err(fault), None) => panic!("a pass without faults: {fault}"),
    }
}

/// A pass that dies, or does not.
fn some_pass(replay: &Replay, random: &mut fastrand::Rng) {
    // Deaths soon after the start are as likely as late ones.
    let dies = (random.u8(0..3) > 0).then(|| {
        let most = 8 << random.u8(0..8);
        i64::from(random.u32(0..most))
    });
    pass(replay, dies);
}

/// Passes until all is done.
fn settle(replay: &Replay) -> Result<(), String> {
    let mut report = None;
    for _ in 0..4 {
        report = pass(replay, None);
        if report.as_ref().is_some_and(|report| report.exit_code() == 0 && report.sealed.waits.is_empty()) {
            return Ok(());
        }
    }
    Err(format!("it does not settle: {report:?}"))
}

fn lines(file: usize, records: usize, long: usize, expected: &mut BTreeMap<String, i64>) -> Vec<String> {
    let all = (0..records).map(|number| {
        let id = format!("f{file}r{number}");
        let at = FIRST_SECOND + i64::try_from((number * 37 + file * 600) % 10_800).expect("small");
        let line = format!("{id}|{at}|{}\n", "x".repeat(long));
        expected.insert(id, at);
        line
    });
    all.collect()
}

/// A file appears as finished files do: by a rename.
fn give(rig: &Rig, staged: &Path, name: &str, bytes: &[u8]) {
    fs::write(staged, bytes).expect("write");
    fs::rename(staged, rig.path("in").join(name)).expect("rename");
}

/// Finished files, each given one to five times.
fn finished_files(dir: &Path, random: &mut fastrand::Rng) -> Result<(), String> {
    let then = ["keep", "move:done", "delete"][random.usize(0..3)];
    let known = ["skip", "hold"][random.usize(0..2)];
    let source = format!("files = \"in\"\nfinished = \"renamed\"\nthen = \"{then}\"\nknown_content = \"{known}\"");
    let replay = Replay::new(dir, &source);
    let rig = &replay.rig;
    fs::create_dir_all(rig.path("in")).expect("directory");
    let mut expected = BTreeMap::new();
    // Seldom so much that a part of a file is durable when the program dies.
    let (records, long) = if random.u8(0..16) == 0 { (2400, 700) } else { (random.usize(1..25), 5) };
    let contents: Vec<Vec<u8>> =
        (0..random.usize(1..4)).map(|file| lines(file, records, long, &mut expected).concat().into_bytes()).collect();
    let mut gifts: Vec<(usize, String)> = Vec::new();
    for file in 0..contents.len() {
        for copy in 0..random.usize(1..=5) {
            let name = if random.bool() { format!("cdr_{file}.log") } else { format!("a_{copy}_{file}.log") };
            gifts.push((file, name));
        }
    }
    random.shuffle(&mut gifts);
    while !gifts.is_empty() {
        for (file, name) in gifts.drain(..random.usize(1..=gifts.len().min(4))) {
            give(rig, &dir.join("staged"), &name, &contents[file]);
        }
        for _ in 0..random.usize(1..3) {
            some_pass(&replay, random);
        }
    }
    if known == "hold" {
        // A person takes away what is held: everything that was not read under its own name.
        pass(&replay, None);
        let read = read_inputs(rig);
        for name in crate::site::files_in(&rig.path("in")).keys() {
            if then != "keep" || !read.contains(name) {
                fs::remove_file(rig.path("in").join(name)).expect("removed");
            }
        }
    }
    settle(&replay).map_err(|said| format!("then {then}, known {known}: {said}"))?;
    rig.judge(&expected).map_err(|problems| format!("then {then}, known {known}: {problems}"))
}

/// The program dies in the middle of a file; then a copy of it appears whose name comes first.
#[test]
fn a_copy_of_a_file_that_was_read_in_part_is_known() {
    for dies_after in (4..40).step_by(3) {
        let dir = memory_dir();
        let replay = Replay::new(dir.path(), "files = \"in\"\nfinished = \"renamed\"\nknown_content = \"skip\"");
        let rig = &replay.rig;
        fs::create_dir_all(rig.path("in")).expect("directory");
        let mut expected = BTreeMap::new();
        let content = lines(0, 2400, 700, &mut expected).concat();
        give(rig, &dir.path().join("staged"), "m.log", content.as_bytes());
        pass(&replay, Some(dies_after));
        give(rig, &dir.path().join("staged"), "a.log", content.as_bytes());
        let done = settle(&replay).and_then(|()| rig.judge(&expected));
        done.unwrap_or_else(|problems| panic!("death after {dies_after} operations: {problems}"));
    }
}

/// The names of the inputs that were read to their end.
fn read_inputs(rig: &Rig) -> BTreeSet<String> {
    let ledger = rusqlite::Connection::open(rig.path("state/ledger.db")).expect("ledger");
    let mut statement = ledger.prepare("SELECT name FROM v_inputs").expect("a view");
    let names = statement.query_map([], |row| row.get(0)).expect("names");
    names.collect::<Result<_, _>>().expect("names")
}

/// A log that grows by pieces and is rotated, also while nobody looks.
fn growing_log(dir: &Path, random: &mut fastrand::Rng) -> Result<(), String> {
    let replay = Replay::new(dir, "files = \"log/cdr.log*\"\nfinished = \"append\"");
    let rig = &replay.rig;
    let log = rig.path("log/cdr.log");
    fs::create_dir_all(rig.path("log")).expect("directory");
    let mut expected = BTreeMap::new();
    let all = lines(0, random.usize(5..80), 5, &mut expected).concat();
    let mut rest = all.as_str();
    let mut rotated = 0;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.usize(1..=rest.len().min(400)));
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&log).expect("log");
        file.write_all(piece.as_bytes()).expect("append");
        rest = behind;
        // The switch rotates between two lines.
        if piece.ends_with('\n') && random.bool() {
            rotated += 1;
            let from_to = |number: u32| (name(&log, number), name(&log, number + 1));
            for (from, to) in (0..rotated).rev().map(from_to) {
                fs::rename(from, to).expect("rotate");
            }
        }
        if random.bool() {
            some_pass(&replay, random);
        }
    }
    settle(&replay).map_err(|said| format!("a log rotated {rotated} times: {said}"))?;
    rig.judge(&expected).map_err(|problems| format!("a log rotated {rotated} times: {problems}"))
}

fn name(log: &Path, number: u32) -> PathBuf {
    if number == 0 { log.to_owned() } else { log.with_file_name(format!("cdr.log.{number}")) }
}

#[test]
fn input_that_comes_again_is_in_the_output_once() {
    let (seed, rounds) = (seed(), number("HOURDROP_REPLAYS", ROUNDS));
    say(&format!("replayed input: seed {seed}"));
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let round = next.fetch_add(1, Ordering::Relaxed);
            if round >= rounds {
                return;
            }
            let mut random = fastrand::Rng::with_seed(seed.wrapping_add(round));
            let dir = memory_dir();
            let done = if random.u8(0..4) == 0 {
                growing_log(dir.path(), &mut random)
            } else {
                finished_files(dir.path(), &mut random)
            };
            done.unwrap_or_else(|problems| {
                panic!(
                    "replays: HOURDROP_SEED={} HOURDROP_REPLAYS=1 (round {round} of seed {seed}): {problems}",
                    seed + round
                )
            });
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    tell("replayed input", rounds, rounds, seed);
}
