//! Killed at any moment and started again, again and again: `once`, `run`, into directories, to real FTP servers that
//! go on while their client dies, fed by files and by standard input.
//!
//! `HOURDROP_KILLS` is the number of kills of all tests together. A seed draws the same moments again; what the
//! program was doing then differs a little, for the machine is never twice the same.

use super::rig::{FROM_NOW, Intake, NOW, Rig, expected, inputs};
use super::{number, say, seed, tell};
use crate::servers::TestServer;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const KILLS: u64 = 100;
/// A place is killed so many times before it may come through.
const KILLS_OF_A_PLACE: u64 = 4;

/// This share of all kills.
fn share(percent: u64) -> u64 {
    (number("HOURDROP_KILLS", KILLS) * percent).div_ceil(100)
}

/// Kills a process at a moment within `whole`. False when it ended before.
fn kill_within(process: &mut Child, whole: Duration, random: &mut fastrand::Rng) -> bool {
    std::thread::sleep(whole.mul_f64(random.f64()));
    let running = process.try_wait().expect("status").is_none();
    if running {
        process.kill().expect("kill");
    }
    process.wait().expect("the end");
    running
}

/// Kills the command in one place after the other until the number is reached.
fn storm(what: &str, kills: u64, command: &str, server: Option<&TestServer>) {
    let seed = seed();
    say(&format!("kill -9 of {what}: seed {seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let clock = if command == "run" { FROM_NOW } else { NOW };
    let expected = expected();
    let place = |number: u64| {
        let dir = tempfile::tempdir().expect("temporary directory");
        let directory = format!("{}-{number}", what.replace(' ', "-"));
        let rig = Rig::new(dir.path(), Intake::Files, server.map(|server| (server, directory.as_str())));
        (dir, rig)
    };
    // Undisturbed, for the time that it takes and for what comes out.
    let (_dir, undisturbed) = place(0);
    let begun = Instant::now();
    undisturbed.settle().expect("undisturbed");
    let whole = begun.elapsed() + if command == "run" { Duration::from_millis(100) } else { Duration::ZERO };
    undisturbed.judge(&expected).unwrap_or_else(|problems| panic!("undisturbed: {problems}"));
    let wanted = undisturbed.delivered();

    let (mut killed, mut survived, mut places) = (0, 0, 0);
    while killed < kills {
        places += 1;
        let (_dir, rig) = place(places);
        let mut here = 0;
        for _ in 0..KILLS_OF_A_PLACE {
            here += u64::from(kill_within(&mut rig.start(command, clock), whole, &mut random));
        }
        killed += here;
        let judged = rig.settle().and_then(|()| rig.judge(&expected)).and_then(|()| rig.settle());
        judged.unwrap_or_else(|problems| panic!("kills of {what}: seed {seed}, place {places}: {problems}"));
        // `run` states empty hours up to the clock and seals at other moments: the oracle judges it alone.
        let same = command == "run" || rig.delivered() == wanted;
        assert!(same, "kills of {what}: seed {seed}, place {places}: other bytes than undisturbed");
        survived += here;
    }
    tell(&format!("kill -9 of {what}"), killed, survived, seed);
}

#[test]
fn once_killed_at_random_moments_ends_as_if_undisturbed() {
    storm("once", share(25), "once", None);
}

#[test]
fn run_killed_at_random_moments_loses_and_repeats_nothing() {
    storm("run", share(15), "run", None);
}

#[test]
fn killed_while_uploading_to_vsftpd() {
    storm("once to vsftpd", share(15), "once", Some(&TestServer::vsftpd()));
}

#[test]
fn killed_while_uploading_to_proftpd() {
    storm("run to ProFTPD", share(15), "run", Some(&TestServer::proftpd()));
}

#[test]
fn killed_while_uploading_to_pure_ftpd() {
    storm("once to Pure-FTPd", share(15), "once", Some(&TestServer::pure_ftpd()));
}

/// A sender that writes records to a program until that dies or everything is written. It begins behind what the
/// program says it has.
pub struct Sender {
    lines: Vec<String>,
    /// What was acknowledged: fewer may never be told.
    acknowledged: usize,
    /// Lines that the program has said, for those who wait for a moment.
    said: Arc<AtomicUsize>,
}

impl Sender {
    pub fn new() -> Self {
        Self { lines: inputs(), acknowledged: 0, said: Arc::default() }
    }

    /// Draws a moment of the next conversation: some acknowledgements into it, or while the program starts. What comes
    /// back waits for that moment.
    pub fn moment(&self, random: &mut fastrand::Rng) -> impl FnOnce() + Send + use<> {
        self.said.store(0, Ordering::SeqCst);
        let (said, lines, pause) = (Arc::clone(&self.said), random.usize(0..12), random.u64(0..30_000));
        move || {
            let until = Instant::now() + Duration::from_secs(2);
            while said.load(Ordering::SeqCst) < lines && Instant::now() < until {
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_micros(pause));
        }
    }

    /// Sends to one process. Returns whether all was acknowledged.
    pub fn send(&mut self, process: &mut Child, random: &mut fastrand::Rng) -> Result<bool, String> {
        let input = process.stdin.take().expect("standard input");
        let mut answers = BufReader::new(process.stdout.take().expect("standard output"));
        let mut line = String::new();
        if answers.read_line(&mut line).is_err() || !line.ends_with('\n') {
            return Ok(false);
        }
        let before = line.trim_end().strip_prefix("before=").and_then(|number| number.parse::<usize>().ok());
        let before = before.ok_or_else(|| format!("the first line is {line:?}"))?;
        if before < self.acknowledged {
            return Err(format!("{} records were acknowledged, {before} are there", self.acknowledged));
        }
        self.acknowledged = before;
        self.said.fetch_add(1, Ordering::SeqCst);
        let rest = self.lines.get(before..).ok_or("more was accepted than was sent")?.to_vec();
        let pieces = random.usize(1..40);
        let writer = std::thread::spawn(move || write_in_pieces(input, &rest, pieces));
        for line in answers.lines() {
            let Ok(line) = line else { break };
            self.said.fetch_add(1, Ordering::SeqCst);
            if let Some(accepted) = line.strip_prefix("accepted=").and_then(|number| number.parse::<usize>().ok()) {
                self.acknowledged = before + accepted;
            }
        }
        // A program that died has closed the pipe.
        drop(writer.join().expect("the sender"));
        Ok(self.acknowledged == self.lines.len())
    }
}

fn write_in_pieces(mut input: ChildStdin, lines: &[String], records: usize) -> std::io::Result<()> {
    for piece in lines.chunks(records) {
        // A piece ends in the middle of a line now and then.
        let text = piece.concat();
        let (first, second) = text.split_at(text.len() / 2);
        input.write_all(first.as_bytes())?;
        std::thread::sleep(Duration::from_millis(3));
        input.write_all(second.as_bytes())?;
    }
    Ok(())
}

#[test]
fn a_sender_on_standard_input_goes_on_behind_what_was_accepted() {
    let (seed, kills) = (seed(), share(15));
    say(&format!("kill -9 with standard input: seed {seed}"));
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut killed, mut survived, mut places) = (0, 0, 0);
    while killed < kills {
        places += 1;
        let dir = tempfile::tempdir().expect("temporary directory");
        let rig = Rig::new(dir.path(), Intake::Stdin, None);
        let mut sender = Sender::new();
        let mut here = 0;
        for round in 0..=KILLS_OF_A_PLACE {
            // `run` acknowledges group by group; the last round is a pass that comes through.
            let last = round == KILLS_OF_A_PLACE;
            let mut command = if last { rig.command("once", NOW) } else { rig.command("run", FROM_NOW) };
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut process = command.spawn().expect("the program starts");
            let pid = rustix::process::Pid::from_child(&process);
            let killer = (!last).then(|| {
                let moment = sender.moment(&mut random);
                std::thread::spawn(move || {
                    moment();
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok()
                })
            });
            let sent = sender.send(&mut process, &mut random);
            here += killer.map_or(0, |killer| u64::from(killer.join().expect("the killer")));
            process.wait().expect("the end");
            let all = sent.unwrap_or_else(|problem| panic!("seed {seed}, place {places}: {problem}"));
            assert!(all || !last, "seed {seed}, place {places}: not everything was accepted");
        }
        killed += here;
        let judged = rig.settle().and_then(|()| rig.judge(&expected()));
        judged.unwrap_or_else(|problems| panic!("seed {seed}, place {places}: {problems}"));
        survived += here;
    }
    tell("kill -9 with standard input", killed, survived, seed);
}
