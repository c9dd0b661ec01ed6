//! Orders that come while an instance works.

use crate::operator::{NOW, configured, ledger, of_file, of_hour, say, sealed_and_waiting, voice};
use crate::site::{Site, call_line, eventually, load, once, open};
use hourdrop::app::operator::{Done, Order, Refusal, Subject};
use hourdrop::app::requests::{self, Request};
use hourdrop::disk::{Disk, DiskFile, DiskRead, Entry, RealDisk, Stat, SyncPoint};
use hourdrop::domain::ids::PartnerId;
use hourdrop::domain::time::Length;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

fn ask(site: &Site, order: Order) -> String {
    let request = Request { order, reason: "by request".to_owned() };
    // Each a second later than the one before it.
    let second = site.path("state/requests").read_dir().map_or(0, Iterator::count);
    let at = crate::site::time(NOW).after(Length::from_seconds(second as u64));
    requests::leave(&RealDisk, &site.path("state"), &request, at).expect("left")
}

fn answer(site: &Site, name: &str) -> Option<Result<Done, Refusal>> {
    requests::answer(&RealDisk, &site.path("state"), name).expect("readable")
}

fn waiting_requests(site: &Site) -> usize {
    let entries = std::fs::read_dir(site.path("state/requests")).expect("directory");
    entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file())).count()
}

fn facts(site: &Site) -> usize {
    ledger(site).facts_about("huaxin/voice").expect("facts").len()
}

#[test]
fn requests_are_carried_out_by_the_next_turn_and_answered() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    let held = ask(&site, Order::Hold(of_hour(1)));
    let refused = ask(&site, Order::Release(of_file("nothing")));
    site.write("state/requests/00000000000000000000-0.json", "no request");
    assert_eq!(answer(&site, &held), None);
    open(&config, NOW).turn(u64::MAX).expect("a turn");
    assert_eq!(answer(&site, &held).expect("an answer").expect("done").files.len(), 2);
    assert_eq!(answer(&site, &refused).expect("an answer").expect_err("refused").what, "there is no file nothing");
    assert!(answer(&site, "00000000000000000000-0").is_none(), "an old answer is forgotten");
    assert_eq!(waiting_requests(&site), 0);
    let facts = ledger(&site).facts_about("huaxin/voice").expect("facts");
    assert!(facts.iter().any(|fact| fact.kind == "hold-ordered" && fact.detail == "by request"), "{facts:?}");
}

#[test]
fn one_pass_carries_requests_out_as_well() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    let partner = Subject::Partner(PartnerId::parse("huaxin").expect("a partner"));
    let resumed = ask(&site, Order::Resume(partner));
    once(&config, NOW);
    assert!(answer(&site, &resumed).expect("an answer").expect("done").changed);
    assert_eq!(site.dropped("huaxin", ".dat").len(), 3, "the same pass delivers");
}

/// A disk that fails when an answer is about to get its name, or a request is about to be removed: a crash there.
struct FailsAt(&'static str);

impl FailsAt {
    fn check(&self, act: &str, path: &Path) -> io::Result<()> {
        let is_answer = path.parent().is_some_and(|dir| dir.ends_with("done"));
        let is_request = path.extension().is_some_and(|ending| ending == "json") && !is_answer;
        let fails = match self.0 {
            "answer" => act == "rename" && is_answer,
            _ => act == "remove" && is_request,
        };
        if fails { Err(io::Error::other("the power went off")) } else { Ok(()) }
    }
}

impl Disk for FailsAt {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create_new(path)
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open_append(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        RealDisk.open_read(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        RealDisk.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        RealDisk.create_dir_all(dir, point)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check("rename", to)?;
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check("remove", path)?;
        RealDisk.remove(path)
    }
    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        RealDisk.set_read_only(path)
    }
    fn sync_dir(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        RealDisk.sync_dir(dir, point)
    }
}

#[test]
fn a_crash_between_the_act_and_the_answer_neither_repeats_nor_loses_it() {
    for moment in ["answer", "removal"] {
        let site = Site::new();
        let config = sealed_and_waiting(&site);
        let held = ask(&site, Order::Hold(of_hour(1)));
        let refused = ask(&site, Order::Release(of_hour(2)));
        let world = hourdrop::app::exporter::World { disk: Arc::new(FailsAt(moment)), ..crate::site::world(NOW) };
        let mut broken =
            hourdrop::app::exporter::Exporter::open(load(&config, NOW), &world, None, true).expect("an exporter");
        assert!(broken.execute_requests().is_err(), "{moment}");
        drop(broken);
        // What was ordered is in force; a person releases it before the next start.
        let acts = facts(&site);
        let mut exporter = open(&config, NOW);
        crate::site::release(&mut exporter, &voice(), crate::operator::hour(1));
        assert!(facts(&site) > acts);
        let before = facts(&site);
        exporter.execute_requests().expect("executed");
        assert_eq!(answer(&site, &held).expect("an answer").expect("done").files.len(), 2, "{moment}");
        assert!(answer(&site, &refused).expect("an answer").is_err(), "{moment}");
        assert_eq!(facts(&site), before, "{moment}: it was not done a second time");
        assert_eq!(waiting_requests(&site), 0, "{moment}");
    }
}

#[test]
fn what_was_refused_stays_refused_although_it_could_be_done_later() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    let refused = ask(&site, Order::Release(of_hour(2)));
    let world = hourdrop::app::exporter::World { disk: Arc::new(FailsAt("removal")), ..crate::site::world(NOW) };
    let mut broken =
        hourdrop::app::exporter::Exporter::open(load(&config, NOW), &world, None, true).expect("an exporter");
    assert!(broken.execute_requests().is_err());
    drop(broken);
    assert!(say(&config, &Order::Hold(of_hour(2))).expect("held").changed);
    open(&config, NOW).execute_requests().expect("executed");
    assert!(answer(&site, &refused).expect("an answer").is_err());
    let batches = ledger(&site).batches_to_send(&voice(), 9).expect("batches");
    assert!(batches.iter().any(|batch| batch.is_held), "who asked was told no, and nothing was released");
}

/// Ends the program if a test fails before it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourdrop"));
    command.args(arguments).args(["--color", "never", "--config"]).arg(config);
    command.env("HOURDROP_TEST_CLOCK", NOW).stdin(Stdio::null());
    command
}

fn told(config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(config, arguments).output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// Starts an instance, which works when it has answered.
fn start(site: &Site, config: &Path) -> Running {
    let child = command(config, &["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let running = Running(child.expect("the program starts"));
    let asked = ask(site, Order::Release(of_file("nothing")));
    eventually("an answer", || answer(site, &asked).is_some());
    running
}

fn stop(mut running: Running) {
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    assert!(running.0.wait().expect("the end").success());
}

fn watching(site: &Site) -> PathBuf {
    let config = configured(site, "ends_at = \"2024-11-03T05:00:00Z\"");
    let text = std::fs::read_to_string(&config).expect("text");
    std::fs::create_dir_all(site.path("in")).expect("directory");
    site.configure(&format!("poll = \"1s\"\n{text}"))
}

const WHY: [&str; 2] = ["--reason", "the partner agreed"];

#[test]
fn commands_say_the_same_with_and_without_an_instance_that_works() {
    let orders: [&[&str]; 12] = [
        &["pause", "huaxin"],
        &["pause", "huaxin"],
        &["hold", "voice", "2024-11-03T03:00Z"],
        &["void", "HX_2024110303_00002.dat"],
        &["void", "voice", "2024-11-03T02:00Z"],
        &["settle", "voice", "--all", "--as", "delivered"],
        &["release", "voice", "2024-11-03T02:00Z"],
        &["release", "HX_2024110303_00002.dat"],
        &["release", "HX_2024110303_00.json"],
        &["resume", "huaxin"],
        &["void", "voice", "--waiting"],
        &["quarantine", "retry", "--feed", "voice"],
    ];
    let mut said: Vec<Vec<(Option<i32>, String)>> = Vec::new();
    for works in [false, true] {
        let site = Site::new();
        let config = watching(&site);
        site.write("in/1.log", call_line(1, "a") + &call_line(61, "b") + &call_line(121, "c"));
        say(&config, &Order::Pause(Subject::Partner(PartnerId::parse("huaxin").expect("id")))).expect("paused");
        once(&config, NOW);
        let running = works.then(|| start(&site, &config));
        let mut answers = Vec::new();
        for order in orders {
            let arguments: Vec<&str> =
                order.iter().copied().chain(WHY.into_iter().filter(|_| order[0] != "quarantine")).collect();
            let (code, out, err) = told(&config, &arguments);
            let refusal: String = err.lines().filter(|line| !line.starts_with("next")).collect();
            answers.push((code, out + &refusal));
        }
        if let Some(running) = running {
            eventually("the deliveries", || site.dropped("huaxin", ".json").len() == 2);
            stop(running);
        } else {
            once(&config, NOW);
        }
        assert_eq!(site.dropped("huaxin", ".dat").into_keys().collect::<Vec<_>>().len(), 2);
        said.push(answers);
    }
    assert_eq!(said[0], said[1]);
    let codes: Vec<Option<i32>> = said[0].iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0].map(Some), "{:#?}", said[0]);
    for (sentence, text) in [
        (0, "partner huaxin was so already"),
        (2, "huaxin/voice 2024-11-03 03:00-04:00 Z is held: 2 files wait until released"),
        (3, "would name a file that never comes"),
        (4, "huaxin/voice 2024-11-03 02:00-03:00 Z is void: 2 files with 1 record are never sent"),
        (9, "partner huaxin goes on"),
    ] {
        assert!(said[0][sentence].1.contains(text), "{text}: {:?}", said[0][sentence]);
    }
}

#[test]
fn who_does_not_wait_is_told_that_it_will_be_done() {
    let site = Site::new();
    let config = watching(&site);
    let running = start(&site, &config);
    let (code, out, _) = told(&config, &["pause", "huaxin", "--reason", "x", "--wait", "0s"]);
    assert_eq!((code, out.contains("has not come to it yet")), (Some(4), true), "{out}");
    eventually("the pause", || ledger(&site).is_paused("partner huaxin").expect("ledger"));
    let (code, out, _) = told(&config, &["status"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("BY ORDER\n   partner huaxin is paused since 2024-11-03 12:00:00 Z: x\n"), "{out}");
    assert!(out.contains("   hourdrop resume partner:huaxin --reason ...\n"), "{out}");
    stop(running);
}

#[test]
fn a_request_is_done_by_who_asked_when_the_instance_ends_first() {
    let site = Site::new();
    let config = watching(&site);
    site.write("in/1.log", call_line(1, "a"));
    let exporter = open(&config, NOW);
    let mut asking =
        command(&config, &["pause", "huaxin", "--reason", "x"]).stdout(Stdio::piped()).spawn().expect("runs");
    eventually("the request", || site.path("state/requests").is_dir() && waiting_requests(&site) == 1);
    drop(exporter);
    assert!(asking.wait().expect("the end").success());
    assert!(ledger(&site).is_paused("partner huaxin").expect("ledger"));
}
