//! System calls that fail: with an error once or from then on, with a kill before they take effect, with half a write,
//! with a write that never happens although the system says so.
//!
//! Whatever fails, the program may stop with a message and a non-zero exit code, or go on; it may not panic. When it
//! is started again without faults everything must be as if nothing had happened. A disk that *lies* about a write is
//! the exception: then the damage may be found and named instead, and nothing wrong may ever be visible.
//!
//! `HOURDROP_SYSCALL_FAULTS` is the number of faults.

use super::rig::{FROM_NOW, Intake, NOW, Rig, expected};
use super::{memory_dir, number, say, seed, tell};
use crate::servers::tool;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const FAULTS: u64 = 100;
/// A pass that is not over by then goes on with its fault; it is ended.
const PATIENCE: Duration = Duration::from_mins(1);
/// `run` never ends by itself.
const PATIENCE_WITH_RUN: Duration = Duration::from_millis(1_500);

/// The calls and the errors that each may return. `+`: also for ever.
const CALLS: [(&str, &[&str]); 13] = [
    ("fdatasync", &["EIO+", "ENOSPC+", "EDQUOT+", "EINTR"]),
    ("fsync", &["EIO+", "ENOSPC+", "EDQUOT+", "EINTR"]),
    ("write", &["EIO+", "ENOSPC+", "EDQUOT+", "EINTR"]),
    ("pwrite64", &["EIO+", "ENOSPC+", "EDQUOT+", "EINTR"]),
    ("openat", &["EMFILE+", "ENFILE+", "EIO+", "ENOSPC+", "EINTR"]),
    ("rename", &["EIO+", "ENOSPC+", "EDQUOT+"]),
    ("renameat2", &["EIO+", "ENOSPC+", "EDQUOT+"]),
    ("mkdir", &["EIO+", "ENOSPC+", "EDQUOT+"]),
    ("unlink", &["EIO+"]),
    ("fallocate", &["EIO+", "ENOSPC+", "EDQUOT+", "EINTR"]),
    ("ftruncate", &["EIO+", "ENOSPC+", "EINTR"]),
    ("fchmod", &["EIO+"]),
    ("chmod", &["EIO+"]),
];

/// What the program is doing when the fault comes.
#[derive(Debug, Clone, Copy)]
enum Scene {
    /// Its first pass ever.
    First,
    /// A second pass, with files that came late.
    Second,
    /// The pass after a kill: the calls that a recovery makes.
    Recovery { killed_at_sync: u64 },
    /// `run`, with everything to do.
    Run,
}

impl Scene {
    /// A place in which the next command meets this scene.
    fn set(self, root: &Path) -> Rig {
        let rig = Rig::new(root, Intake::Files, None);
        match self {
            Self::First | Self::Run => {}
            Self::Second => {
                rig.hold_back(2);
                rig.settle().expect("a first pass");
                rig.give_back();
            }
            Self::Recovery { killed_at_sync } => {
                let inject = format!("inject=fsync:signal=SIGKILL:when={killed_at_sync}");
                let mut command = traced(&rig, self, &["-e", "trace=fsync", "-e", &inject, "-o", "/dev/null"]);
                command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace runs");
            }
        }
        rig
    }

    const fn command(self) -> (&'static str, &'static str, Duration) {
        match self {
            Self::Run => ("run", FROM_NOW, PATIENCE_WITH_RUN),
            Self::First | Self::Second | Self::Recovery { .. } => ("once", NOW, PATIENCE),
        }
    }
}

/// The program under strace, with these options.
fn traced(rig: &Rig, scene: Scene, options: &[&str]) -> Command {
    let (what, clock, _) = scene.command();
    let program = rig.command(what, clock);
    let mut command = tool("strace");
    command.args(["-f", "-qq", "--seccomp-bpf"]).args(options).arg("--");
    command.arg(program.get_program()).args(program.get_args());
    command.env("HOURDROP_TEST_CLOCK", clock).stdin(Stdio::null()).process_group(0);
    command
}

/// How a process ended, what it said, and whether it had to be ended.
struct Ended {
    code: Option<i32>,
    said: String,
    went_on: bool,
}

/// Runs a command, ends it when patience is over.
fn run(mut command: Command, patience: Duration, dir: &Path) -> Ended {
    let (out, err) = (dir.join("stdout"), dir.join("stderr"));
    command.stdout(fs::File::create(&out).expect("file")).stderr(fs::File::create(&err).expect("file"));
    let mut process = command.process_group(0).spawn().expect("it starts");
    let begun = Instant::now();
    let mut went_on = false;
    let status = loop {
        if let Some(status) = process.try_wait().expect("status") {
            break status;
        }
        if begun.elapsed() > patience {
            went_on = true;
            let group = rustix::process::Pid::from_child(&process);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
            break process.wait().expect("the end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = [err, out].map(|path| fs::read_to_string(path).unwrap_or_default()).concat();
    Ended { code: status.code(), said, went_on }
}

/// A call of a reference run: its name and its number among the calls of that name in its thread.
type Call = (&'static str, u64);

/// The calls that a scene makes on its own files.
fn calls_of(scene: Scene) -> BTreeMap<&'static str, Vec<Call>> {
    let dir = memory_dir();
    let place = dir.path().join("place");
    fs::create_dir(&place).expect("directory");
    let rig = scene.set(&place);
    let trace = dir.path().join("trace");
    let all = format!("trace={}", CALLS.map(|(name, _)| name).join(","));
    let command = traced(&rig, scene, &["-y", "-e", &all, "-o", &trace.display().to_string()]);
    run(command, scene.command().2, dir.path());
    let (mut numbers, mut found) = (BTreeMap::<(String, &str), u64>::new(), BTreeMap::new());
    let place = place.display().to_string();
    for line in fs::read_to_string(trace).expect("a trace").lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, _)) = CALLS.iter().find(|(name, _)| call.trim_start().starts_with(&format!("{name}("))) else {
            continue;
        };
        let number = numbers.entry((thread.to_owned(), name)).or_default();
        *number += 1;
        if call.contains(&place) {
            found.entry(*name).or_insert_with(Vec::new).push((*name, *number));
        }
    }
    assert!(found.len() > 2, "strace shows {} kinds of calls in {scene:?}", found.len());
    found
}

/// What is done to a run.
#[derive(Debug, Clone)]
enum Fault {
    /// By strace: an injection.
    Call(String),
    /// By the library in front of the C library.
    Write(String),
}

impl Fault {
    /// Draws one. Every call is as likely as any other, however often it is made.
    fn draw(calls: &BTreeMap<&'static str, Vec<Call>>, random: &mut fastrand::Rng) -> Self {
        if random.u8(0..100) < 15 {
            let writes = calls.get("pwrite64").map_or(1, Vec::len) + calls.get("write").map_or(1, Vec::len);
            let how = ["short", "full", "lost"][random.usize(0..3)];
            return Self::Write(format!("{how}:{}", random.usize(1..=writes)));
        }
        let names: Vec<_> = calls.keys().collect();
        let (name, number) = {
            let of_name = &calls[names[random.usize(0..names.len())]];
            of_name[random.usize(0..of_name.len())]
        };
        if random.u8(0..100) < 10 {
            return Self::Call(format!("inject={name}:signal=SIGKILL:when={number}"));
        }
        let errors = CALLS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, errors)| errors);
        let error = errors[random.usize(0..errors.len())];
        let for_ever = if error.ends_with('+') && random.bool() { "+" } else { "" };
        Self::Call(format!("inject={name}:error={}:when={number}{for_ever}", error.trim_end_matches('+')))
    }

    fn lies(&self) -> bool {
        matches!(self, Self::Write(how) if how.starts_with("lost"))
    }

    /// It also hits what is said.
    fn silences(&self) -> bool {
        matches!(self, Self::Call(how) if how.starts_with("inject=write:"))
    }

    fn kills(&self) -> bool {
        matches!(self, Self::Call(how) if how.contains("SIGKILL"))
    }

    /// Runs the scene's command with this fault.
    fn run(&self, rig: &Rig, scene: Scene, library: &Path, dir: &Path) -> Ended {
        let (what, clock, patience) = scene.command();
        let command = match self {
            Self::Call(inject) => {
                let name = inject.split(['=', ':']).nth(1).unwrap_or_default();
                traced(rig, scene, &["-e", &format!("trace={name}"), "-e", inject, "-o", "/dev/null"])
            }
            Self::Write(how) => {
                let mut command = rig.command(what, clock);
                command.env("LD_PRELOAD", library).env("HOURDROP_WRITE_FAULT", how);
                command
            }
        };
        run(command, patience, dir)
    }
}

/// The library that makes writes short.
fn library(dir: &Path) -> PathBuf {
    let source = crate::site::project().join("tests/it/faults/writes.c");
    let library = dir.join("writes.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(built.expect("a C compiler").success(), "tests/it/faults/writes.c does not compile");
    library
}

/// What came of the faults.
#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    went_on: u64,
    unnoticed: u64,
    killed: u64,
    damage_named: u64,
}

fn one(scene: Scene, fault: &Fault, library: &Path, outcomes: &Mutex<Tally>) -> Result<(), String> {
    let dir = memory_dir();
    let place = dir.path().join("place");
    fs::create_dir(&place).expect("directory");
    let rig = scene.set(&place);
    let ended = fault.run(&rig, scene, library, dir.path());
    if ended.said.contains("panicked") || ended.said.contains("RUST_BACKTRACE") {
        return Err(format!("it panicked: {}", ended.said));
    }
    let mut tally = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
    match ended.code {
        _ if ended.went_on => tally.went_on += 1,
        _ if fault.kills() => tally.killed += 1,
        None => return Err(format!("it was ended by a signal: {}", ended.said)),
        Some(0) => tally.unnoticed += 1,
        Some(code) if ended.said.trim().is_empty() && !fault.silences() => {
            return Err(format!("it ended with {code} and said nothing"));
        }
        Some(_) => tally.refused += 1,
    }
    drop(tally);
    let damage_named = || outcomes.lock().unwrap_or_else(PoisonError::into_inner).damage_named += 1;
    let expected = expected();
    let judged = match rig.settle() {
        Err(said) if fault.lies() && said.len() > 40 => {
            damage_named();
            rig.judge_what_is_visible(&expected).map_err(|wrong| format!("{wrong}\nafter {said}"))
        }
        Err(said) => Err(said),
        Ok(()) => match rig.judge(&expected) {
            // A page of the ledger that nobody needed is gone: the check of its history is what finds that.
            Err(_) if fault.lies() => {
                damage_named();
                rig.judge_files(&expected)
            }
            judged => judged,
        },
    };
    judged.map_err(|wrong| format!("{wrong}\nthe faulted run said: {}", ended.said))
}

#[test]
fn every_system_call_may_fail() {
    let (seed, faults) = (seed(), number("HOURDROP_SYSCALL_FAULTS", FAULTS));
    say(&format!("system-call faults: seed {seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let scenes = [Scene::First, Scene::Second, Scene::Recovery { killed_at_sync: random.u64(5..150) }, Scene::Run];
    let known = scenes.map(calls_of);
    let shared = memory_dir();
    let library = library(shared.path());
    let drawn: Vec<(u64, Scene, Fault)> = (0..faults)
        .map(|round| {
            // `run` takes its time, so it comes seldom.
            let which = if round % 10 == 9 { 3 } else { usize::try_from(round % 3).expect("small") };
            (round, scenes[which], Fault::draw(&known[which], &mut random))
        })
        .collect();
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let work = || {
        while let Some((round, scene, fault)) = drawn.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(problem) = one(*scene, fault, &library, &tally) {
                panic!("seed {seed}, fault {round}: {fault:?} in {scene:?}: {problem}");
            }
        }
    };
    // They wait most of the time: for a retry, or until patience is over. The test command runs other tests meanwhile.
    let workers = if faults > FAULTS { 12 } else { 3 };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    say(&format!("system calls: {:?}", tally.into_inner().unwrap_or_else(PoisonError::into_inner)));
    tell("system-call faults", faults, faults, seed);
}

/// A ledger that could not be written whole is never taken for one.
#[test]
fn a_new_ledger_that_is_not_whole_is_made_again() {
    let dir = memory_dir();
    let (place, trace) = (dir.path().join("place"), dir.path().join("trace"));
    fs::create_dir(&place).expect("directory");
    let rig = Scene::First.set(&place);
    let command = traced(&rig, Scene::First, &["-y", "-e", "trace=pwrite64", "-o", &trace.display().to_string()]);
    run(command, PATIENCE, dir.path());
    let trace = fs::read_to_string(trace).expect("a trace");
    let writes: Vec<usize> = trace
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains("/ledger.new>"))
        .map(|(index, _)| index + 1)
        .collect();
    assert!(writes.len() > 3, "the first writes of the ledger are not in the trace");
    let outcomes = Mutex::default();
    for number in [writes[0], writes[1], writes[writes.len() / 2], writes[writes.len() - 1]] {
        let fault = Fault::Call(format!("inject=pwrite64:error=EIO:when={number}+"));
        one(Scene::First, &fault, Path::new(""), &outcomes).unwrap_or_else(|problem| panic!("{fault:?}: {problem}"));
    }
}

/// The faults do reach the program: this one always hits.
#[test]
fn an_injected_error_is_seen_and_named() {
    let dir = memory_dir();
    let place = dir.path().join("place");
    fs::create_dir(&place).expect("directory");
    let rig = Scene::First.set(&place);
    let fault = Fault::Call("inject=fdatasync:error=EIO:when=1".to_owned());
    let ended = fault.run(&rig, Scene::First, Path::new(""), dir.path());
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("Input/output error"), "{}", ended.said);
    let library = library(dir.path());
    let full = Fault::Write("full:1".to_owned()).run(&rig, Scene::First, &library, dir.path());
    assert_eq!(full.code, Some(1), "{}", full.said);
    assert!(full.said.contains("No space left"), "{}", full.said);
    let mut version = String::new();
    tool("strace")
        .arg("-V")
        .stdout(Stdio::piped())
        .spawn()
        .expect("strace")
        .stdout
        .expect("text")
        .read_to_string(&mut version)
        .expect("text");
    assert!(version.contains("strace"), "{version}");
}
