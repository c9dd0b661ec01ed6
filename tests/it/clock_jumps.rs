//! The wall clock jumps, and nothing is sealed by it: no hour twice, none too early, no record late that was not.

use crate::site::{MovedClock, Site, delivered_calls, files_in, load, time};
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::progress::Silent;
use hourdrop::clock::Clock;
use hourdrop::disk::RealDisk;
use hourdrop::ledger::Ledger;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const HOUR: i64 = 3600;
const STEP: u64 = 1800;

/// Zones, and moments at which something is special on their clocks.
const MOMENTS: [(&str, &str); 14] = [
    ("Australia/Lord_Howe", "2024-10-05T15:30:00Z"),
    ("Australia/Lord_Howe", "2024-04-06T15:00:00Z"),
    ("America/New_York", "2024-03-10T07:00:00Z"),
    ("America/New_York", "2024-11-03T06:00:00Z"),
    ("Europe/Berlin", "2024-03-31T01:00:00Z"),
    ("Europe/Berlin", "2024-10-27T01:00:00Z"),
    ("Africa/Casablanca", "2024-03-10T02:00:00Z"),
    ("Africa/Casablanca", "2024-04-14T02:00:00Z"),
    ("Asia/Shanghai", "2024-02-28T16:00:00Z"),
    ("Asia/Shanghai", "2024-02-29T16:00:00Z"),
    ("Asia/Shanghai", "2024-12-31T16:00:00Z"),
    ("Asia/Kathmandu", "2024-02-29T18:15:00Z"),
    ("Asia/Kathmandu", "2024-12-31T18:15:00Z"),
    ("UTC", "2025-01-01T00:00:00Z"),
];

struct Play {
    site: Site,
    config: PathBuf,
    clock: Arc<MovedClock>,
    /// The right time.
    second: i64,
    exporter: Option<Exporter>,
}

impl Play {
    fn begin(zone: &str, second: i64) -> Self {
        let site = Site::new();
        let config = site.configure(&format!(
            r#"
state   = "state"
archive = "archive"
[source.switch]
files    = "in"
finished = "renamed"
format   = "kamailio-acc-cdrs"
[partner.huaxin]
deliver = "{drop}"
[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
hour_by   = "start_time"
zone      = "{zone}"
grace     = "10m"
starts_at = "{start}"
name      = "HX_{{start:%Y%m%d%H%M%z}}_{{seq:05}}.dat"
manifest  = {{ name = "HX_{{start:%Y%m%d%H%M%z}}_{{revision:02}}.json" }}
"#,
            drop = site.drop_dir("huaxin").display(),
            start = chrono::DateTime::from_timestamp(second, 0).expect("time").to_rfc3339()
        ));
        let clock = Arc::new(MovedClock::at(second));
        let mut play = Self { site, config, clock, second, exporter: None };
        play.open();
        play
    }

    fn open(&mut self) {
        drop(self.exporter.take());
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let world = World::new(Arc::new(RealDisk), clock, Arc::new(Silent));
        let config = load(&self.config, "2024-01-01T00:00:00Z");
        self.exporter = Some(Exporter::open(config, &world, None, true).expect("an exporter"));
    }

    /// Half an hour passes; a file with calls of this half hour comes, but in every seventh.
    fn work(&mut self) {
        self.clock.pass(STEP);
        self.second += i64::try_from(STEP).expect("small");
        if self.second.rem_euclid(7) > 0 {
            let ages = [1700, 900, 30];
            let line = |age| {
                let at = self.second - age;
                format!("{at}|{at}|1.5|1|2|TG|{at}|x\n")
            };
            self.site.write(&format!("in/{}.log", self.second), ages.map(line).concat());
        }
        self.turn();
    }

    fn turn(&mut self) {
        let exporter = self.exporter.as_mut().expect("an exporter");
        while exporter.turn(u64::MAX).expect("a turn") {}
    }

    fn ledger(&self) -> Ledger {
        Ledger::open_read_only(&self.site.path("state/ledger.db")).expect("ledger")
    }

    fn alarms(&self) -> Vec<String> {
        self.ledger().alarms().expect("alarms").into_iter().map(|alarm| alarm.code).collect()
    }

    fn sealed(&self) -> BTreeSet<String> {
        files_in(&self.site.path("archive/huaxin")).into_keys().collect()
    }

    /// Some hours more, and everything is delivered.
    fn end(mut self) -> Site {
        for _ in 0..7 {
            self.work();
        }
        let exporter = self.exporter.take().expect("an exporter");
        assert_eq!(exporter.once().expect("a pass").exit_code(), 0);
        self.site
    }
}

fn undisturbed(zone: &str, moment: i64) -> Site {
    let mut play = Play::begin(zone, moment - 3 * HOUR);
    for _ in 0..7 {
        play.work();
    }
    play.end()
}

fn assert_same(zone: &str, jump: i64, found: &Site, expected: &Site) {
    let names = |site: &Site| site.everything_dropped().into_keys().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{zone} {jump}");
    assert_eq!(delivered_calls(found), delivered_calls(expected), "{zone} {jump}");
    let calls = delivered_calls(found);
    let ids: Vec<&String> = calls.iter().flat_map(|(_, ids)| ids).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each record once: {zone} {jump}");
    assert!(ids.len() >= 30, "{}", ids.len());
    let mut numbers: Vec<&str> = calls.iter().filter_map(|(name, _)| name.rsplit('_').next()).collect();
    numbers.sort_unstable();
    let expected: Vec<String> = (1..=numbers.len()).map(|number| format!("{number:05}.dat")).collect();
    assert_eq!(numbers, expected, "{zone} {jump}");
}

/// Jumps around the moment for an hour and a half, and back again.
fn jump_and_back(zone: &str, moment: i64, jump: i64, restarts: bool, expected: &Site) {
    let mut play = Play::begin(zone, moment - 3 * HOUR);
    for _ in 0..4 {
        play.work();
    }
    play.clock.step(jump);
    if restarts {
        play.open();
    }
    play.turn();
    let sealed = play.sealed();
    for _ in 0..3 {
        play.work();
        assert_eq!(play.alarms(), ["HD0501"], "{zone} {jump}");
    }
    assert_eq!(play.sealed(), sealed, "nothing is sealed while the clock is wrong: {zone} {jump}");
    if restarts {
        play.open();
    }
    play.clock.step(-jump);
    play.turn();
    assert_eq!(play.alarms(), [""; 0], "{zone} {jump}");
    assert!(play.sealed().len() > sealed.len(), "what was due is sealed now: {zone} {jump}");
    assert_same(zone, jump, &play.end(), expected);
}

fn jumps(moments: &[(&str, &str)]) {
    for (zone, moment) in moments {
        let moment = time(moment).seconds();
        let expected = undisturbed(zone, moment);
        for jump in [-2 * HOUR, -24 * HOUR, 2 * HOUR, 24 * HOUR] {
            for restarts in [false, true] {
                jump_and_back(zone, moment, jump, restarts, &expected);
            }
        }
    }
}

#[test]
fn jumps_around_the_ends_of_summer_times_change_nothing() {
    jumps(&MOMENTS[..4]);
}

#[test]
fn jumps_around_more_ends_of_summer_times_change_nothing() {
    jumps(&MOMENTS[4..8]);
}

#[test]
fn jumps_around_leap_days_and_year_ends_change_nothing() {
    jumps(&MOMENTS[8..]);
}

#[test]
fn a_short_jump_leaves_no_trace_in_any_file() {
    let moment = time("2024-10-27T01:00:00Z").seconds();
    let expected = undisturbed("Europe/Berlin", moment).everything_dropped();
    for jump in [-24 * HOUR, 24 * HOUR] {
        let mut play = Play::begin("Europe/Berlin", moment - 3 * HOUR);
        for _ in 0..3 {
            play.work();
        }
        play.clock.step(jump);
        play.turn();
        play.clock.step(-jump);
        for _ in 0..4 {
            play.work();
        }
        assert!(play.end().everything_dropped() == expected, "{jump}");
    }
}

#[test]
fn a_clock_behind_after_a_restart_of_the_machine_reads_and_seals_nothing_until_it_is_set() {
    let moment = time("2024-03-31T01:00:00Z").seconds();
    let expected = undisturbed("Europe/Berlin", moment);
    let mut play = Play::begin("Europe/Berlin", moment - 3 * HOUR);
    for _ in 0..4 {
        play.work();
    }
    let sealed = play.sealed();
    play.clock.restart_machine(-20 * 365 * 24 * HOUR);
    play.open();
    for _ in 0..3 {
        play.work();
        assert_eq!(play.alarms(), ["HD0501"]);
    }
    assert_eq!(play.sealed(), sealed);
    play.clock.step(20 * 365 * 24 * HOUR);
    play.turn();
    assert_eq!(play.alarms(), [""; 0]);
    assert_same("Europe/Berlin", 0, &play.end(), &expected);
}

#[test]
fn a_step_back_that_a_person_accepts_seals_no_hour_again() {
    let moment = time("2024-10-27T01:00:00Z").seconds();
    let expected = undisturbed("Europe/Berlin", moment);
    let mut play = Play::begin("Europe/Berlin", moment - 3 * HOUR);
    for _ in 0..7 {
        play.work();
    }
    let (sealed, right) = (play.sealed(), play.second);
    play.clock.step(-2 * HOUR);
    play.turn();
    let before = play.exporter.as_mut().expect("an exporter").accept_clock("the switch room says so").expect("accept");
    assert_eq!(before.as_deref(), Some("2h behind"));
    assert_eq!(play.alarms(), [""; 0]);
    for _ in 0..3 {
        play.clock.pass(STEP);
        play.turn();
        play.open();
    }
    assert_eq!(play.sealed(), sealed, "these hours are sealed already");
    let facts = play.ledger().facts_about("clock").expect("facts");
    assert!(facts.iter().any(|fact| fact.detail.contains("the switch room says so")), "{facts:?}");
    play.clock.step(right - play.clock.now().seconds());
    play.turn();
    play.exporter.as_mut().expect("an exporter").accept_clock("set right again").expect("accept");
    assert_same("Europe/Berlin", 0, &play.end(), &expected);
}

#[test]
fn a_jump_forward_removes_nothing_from_the_archive() {
    let moment = time("2024-11-03T02:00:00Z").seconds();
    let mut play = Play::begin("UTC", moment);
    let text = std::fs::read_to_string(&play.config).expect("configuration");
    let kept = text.replace("archive = \"archive\"", "archive = { dir = \"archive\", keep = \"2d\" }");
    play.site.configure(&kept);
    play.open();
    for _ in 0..6 {
        play.work();
    }
    drop(play.exporter.take().expect("an exporter").once().expect("a pass"));
    let archived = play.sealed();
    assert!(archived.len() > 2);
    play.clock.step(10 * 24 * HOUR);
    play.open();
    let report = play.exporter.take().expect("an exporter").once().expect("a pass");
    assert_eq!((report.exit_code(), play.sealed()), (4, archived), "{report:?}");
    play.clock.pass(3 * 24 * 3600);
    play.open();
    play.exporter.take().expect("an exporter").once().expect("a pass");
    assert_eq!(play.sealed().len(), 0, "when three days have really passed it does");
}

fn hourdrop(config: &Path, now: &str, uptime: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env("HOURDROP_TEST_CLOCK", now)
        .env("HOURDROP_TEST_UPTIME", uptime)
        .output()
        .expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_pass_whose_clock_has_jumped_says_so_and_a_person_lets_it_go_on() {
    let play = Play::begin("UTC", time("2024-11-03T02:00:00Z").seconds());
    let (site, config) = (play.site, play.config);
    drop(play.exporter);
    std::fs::remove_dir_all(site.path("state")).expect("a state of its own");
    site.write("in/1.log", crate::site::call_line(1, "a"));
    let first = hourdrop(&config, "2024-11-03T02:30:00Z", "1000@monday", &["once"]);
    assert_eq!(first.0, Some(0), "{}", first.1);
    let (now, up) = ("2024-11-03T04:30:10Z", "1010@monday");
    let (code, text) = hourdrop(&config, now, up, &["once"]);
    assert_eq!(code, Some(4), "{text}");
    for said in ["HD0501", "2h ahead", "2024-11-03T02:30:10Z", "accept-clock --reason", "0 batches"] {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(said), "{said}: {text}");
    }
    let (code, text) = hourdrop(&config, now, up, &["status"]);
    assert!(code == Some(4) && text.trim_end().ends_with("clock 2h ahead   (exit 4)"), "{text}");
    let (code, text) = hourdrop(&config, now, up, &["accept-clock", "--reason", "it was two hours late"]);
    assert!(code == Some(0) && text.contains("2h ahead"), "{text}");
    let (code, text) = hourdrop(&config, now, up, &["once"]);
    assert!(code == Some(0) && text.contains("1 batch"), "{text}");
    let (_, text) = hourdrop(&config, now, up, &["status"]);
    assert!(text.contains("clock ok"), "{text}");
    let (code, text) = hourdrop(&config, now, up, &["accept-clock", "--reason", "again"]);
    assert!(code == Some(0) && text.contains("nothing to do"), "{text}");
}
