//! State, archive and partner that do not fit together are refused, and the ledger is built again from what is left.
//! The oracle is the partner's directory: each record exactly once, numbers without gap and never twice.

use crate::site::{Site, StandingClock, call_line, delivered_calls, files_in, load, one_feed, time};
use crate::stopping_disk::StoppingDisk;
use hourdrop::app::beside::BesideFault;
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::fault::ExporterFault;
use hourdrop::app::progress::Silent;
use hourdrop::app::recover::{RecoverFault, RecoverOrders, Recovered, recover};
use hourdrop::app::store::StoreFault;
use hourdrop::disk::{Disk, RealDisk};
use hourdrop::domain::period::Partition;
use hourdrop::domain::time::UtcTime;
use hourdrop::spool::SpoolFault;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TIMES: [&str; 3] = ["2024-11-03T03:30:00Z", "2024-11-03T05:30:00Z", "2024-11-03T07:30:00Z"];
const LATER: &str = "2024-11-03T08:30:00Z";

fn configured(site: &Site, patience: &str) -> PathBuf {
    let source = "files = \"in\"\nfinished = \"renamed\"\nthen = \"move:done\"";
    let config = one_feed(site, source, "", "forever");
    let text = fs::read_to_string(&config).expect("configuration");
    site.configure(&format!("once_deliver_for = \"{patience}\"\nclock_jump_max = \"3650d\"\n{}", text.trim_start()))
}

/// What the switch writes for pass `number`: records of an hour that closes then, and of the next one.
fn input(site: &Site, number: i64) {
    let begin = number * 120;
    let mut text = call_line(begin + 1, &format!("{number}a")) + &call_line(begin + 2, &format!("{number}b"));
    text += &call_line(begin + 61, &format!("{number}c"));
    // Still open when the pass ends.
    text += &call_line(begin + 95, &format!("{number}d"));
    site.write(&format!("in/{number}.log"), text);
}

fn ids(passes: i64) -> Vec<String> {
    (0..passes).flat_map(|number| ["a", "b", "c", "d"].map(|id| format!("{number}{id}"))).collect()
}

fn world_on(disk: Arc<dyn Disk>, now: &str) -> World {
    let mut world = World::new(disk, Arc::new(StandingClock(time(now))), Arc::new(Silent));
    // Small segments, so that spool is freed while the test goes on.
    world.limits.segment_bytes_max = 700;
    world
}

fn world(now: &str) -> World {
    world_on(Arc::new(RealDisk), now)
}

fn try_once(config: &Path, now: &str) -> Result<OnceReport, ExporterFault> {
    Exporter::open(load(config, now), &world(now), None, true)?.once()
}

fn once(config: &Path, now: &str) -> OnceReport {
    let report = try_once(config, now).expect("a pass");
    assert!(report.alarms.is_empty(), "{report:?}");
    report
}

fn orders() -> RecoverOrders {
    RecoverOrders { reason: "test".to_owned(), ..RecoverOrders::default() }
}

fn try_recover(config: &Path, orders: &RecoverOrders) -> Result<Recovered, RecoverFault> {
    recover(&load(config, LATER), &world(LATER), orders)
}

fn recovered(config: &Path) -> Recovered {
    try_recover(config, &orders()).expect("a ledger")
}

fn beside(result: Result<OnceReport, ExporterFault>) -> BesideFault {
    match result {
        Err(ExporterFault::Store(StoreFault::Beside(fault))) => fault,
        other => panic!("{other:?}"),
    }
}

/// Nothing lost, nothing twice, no gap, and the archive is what was dropped.
fn assert_partner_saw(site: &Site, expected: &[String], context: &str) {
    let files = delivered_calls(site);
    let mut found: Vec<String> = files.iter().flat_map(|(_, ids)| ids.clone()).collect();
    found.sort();
    assert_eq!(found, expected, "{context}: {files:?}");
    let mut numbers: Vec<usize> = files.iter().map(|(name, _)| name[14..19].parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{context}");
    site.assert_archive_is_what_was_dropped(&["huaxin"]);
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files_in(from) {
        let target = to.join(name);
        fs::create_dir_all(target.parent().expect("a directory")).expect("directory");
        fs::write(target, bytes).expect("copy");
    }
}

fn remove_dir(path: &Path) {
    fs::remove_dir_all(path).expect("removed");
}

fn lose_ledger(site: &Site) {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        fs::remove_file(site.path("state").join(name))
            .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .expect("removed");
    }
}

/// A site on which so many passes were made.
fn after_passes(passes: i64) -> (Site, PathBuf) {
    let site = Site::new();
    let config = configured(&site, "60s");
    for number in 0..passes {
        input(&site, number);
        once(&config, TIMES[usize::try_from(number).expect("small")]);
    }
    (site, config)
}

fn finish(site: &Site, config: &Path, from: i64, context: &str) {
    for number in from..3 {
        input(site, number);
        once(config, TIMES[usize::try_from(number).expect("small")]);
    }
    once(config, LATER);
    assert_partner_saw(site, &ids(3), context);
}

#[test]
fn a_lost_ledger_is_built_again_and_everything_goes_on() {
    for passes in 1..=3 {
        let (site, config) = after_passes(passes);
        lose_ledger(&site);
        assert!(matches!(try_once(&config, LATER), Err(ExporterFault::Store(StoreFault::Inconsistent { .. }))));
        let dry = try_recover(&config, &RecoverOrders { dry_run: true, ..orders() }).expect("a look");
        assert!(!site.path("state/ledger.db").exists() && dry.dry_run);
        let report = recovered(&config);
        assert_eq!((report.counts, &report.held, report.lost), (dry.counts, &Vec::new(), None));
        assert!(report.counters.iter().all(|(_, _, number)| *number > 0) && report.files_checked > 0, "{report:?}");
        finish(&site, &config, passes, "lost ledger");
        lose_ledger(&site);
        recovered(&config);
        once(&config, LATER);
        assert_partner_saw(&site, &ids(3), "lost again");
    }
}

/// The second pass is stopped at one operation, then something of the state is lost.
fn stop_lose_and_go_on(stop_at: usize) -> bool {
    let (site, _) = after_passes(1);
    let config = configured(&site, "0s");
    let snapshot = tempfile::tempdir().expect("directory");
    copy(&site.path("state"), snapshot.path());
    input(&site, 1);
    let disk = StoppingDisk::new(stop_at);
    let world = world_on(Arc::new(disk.clone()), TIMES[1]);
    // It ends one way or the other; what it said is lost with the power.
    drop(Exporter::open(load(&config, TIMES[1]), &world, None, true).and_then(Exporter::once));
    let config = configured(&site, "60s");
    let what = match stop_at % 3 {
        0 => {
            lose_ledger(&site);
            "the ledger is lost"
        }
        1 => {
            lose_ledger(&site);
            fs::copy(snapshot.path().join("ledger.db"), site.path("state/ledger.db")).expect("restored");
            "an old ledger is restored"
        }
        _ => {
            lose_ledger(&site);
            fs::remove_file(site.path("state/STORE_ID")).expect("removed");
            "ledger and identity are lost"
        }
    };
    let context = format!("stopped at {stop_at}, {what}");
    let report = try_recover(&config, &orders()).unwrap_or_else(|fault| panic!("{context}: {fault}"));
    assert!(report.held.is_empty() && report.lost.is_none(), "{context}: {report:?}");
    once(&config, TIMES[1]);
    finish(&site, &config, 2, &context);
    disk.operations() <= stop_at
}

/// Every sixth operation; what is lost depends on the first.
fn stop_at_every_sixth(first: usize) {
    let mut stop_at = first;
    while !stop_lose_and_go_on(stop_at) {
        stop_at += 6;
    }
    assert!(stop_at > 60, "a pass has many operations: {stop_at}");
}

#[test]
fn stopped_anywhere_with_its_ledger_lost_it_goes_on() {
    stop_at_every_sixth(0);
}

#[test]
fn stopped_anywhere_with_an_old_ledger_restored_it_goes_on() {
    stop_at_every_sixth(1);
}

#[test]
fn stopped_anywhere_with_ledger_and_identity_lost_it_goes_on() {
    stop_at_every_sixth(2);
}

#[test]
fn a_state_directory_that_was_rolled_back_is_refused_with_both_numbers() {
    let (site, config) = after_passes(1);
    let snapshot = tempfile::tempdir().expect("directory");
    copy(&site.path("state"), snapshot.path());
    input(&site, 1);
    once(&config, TIMES[1]);
    remove_dir(&site.path("state"));
    copy(snapshot.path(), &site.path("state"));
    let (state, archive) = (files_in(&site.path("state/journal")), files_in(&site.path("archive")));
    let fault = beside(try_once(&config, LATER));
    let BesideFault::StateRolledBack { what } = &fault else { panic!("{fault}") };
    assert_eq!(what, "the ledger's last number of huaxin/voice is 1, the archive's log says 3");
    assert!(state == files_in(&site.path("state/journal")) && archive == files_in(&site.path("archive")));
    assert_eq!(command(&config, &["once"]).0, 1);
    let (code, _, text) = command(&config, &["status"]);
    assert!(code == 4 && text.contains("HD0101") && text.contains("rolled back"), "{text}");
    // The journal was rolled back, too: what was accepted and not sealed is gone, and that is said.
    let report = recovered(&config);
    assert!(report.lost.is_some() && report.old_ledger.starts_with("the old ledger"), "{report:?}");
    assert_eq!(report.lost_hours.iter().map(|(_, _, count)| *count).sum::<u64>(), 2, "{report:?}");
    assert_eq!(report.held.len(), 1, "{report:?}");
    let counter = report.counters.iter().find(|(name, ..)| name == "huaxin/voice").expect("the counter");
    assert_eq!((counter.1, counter.2), (Some(1), 3));
    // The operator gives the lost records again under another name, and lets the hour go.
    site.write("in/again.log", call_line(120 + 61, "1c") + &call_line(120 + 95, "1d"));
    once(&config, LATER);
    release(&config, 1_730_599_200 + 3 * 3600);
    let (_, _, text) = command(&config, &["status"]);
    assert!(text.contains("HD0101"), "a start of the command ends it: {text}");
    assert_eq!(command(&config, &["once"]).0, 0);
    assert!(!site.path("state/STOPPED").exists());
    finish(&site, &config, 2, "rolled back");
}

fn release(config: &Path, start: i64) {
    let mut exporter = Exporter::open(load(config, LATER), &world(LATER), None, true).expect("an exporter");
    let feed = hourdrop::domain::ids::FeedId::parse("huaxin/voice").expect("feed");
    crate::site::release(&mut exporter, &feed, Partition { start, end: start + 3600 });
}

#[test]
fn an_empty_state_directory_beside_an_archive_is_no_fresh_start() {
    let (site, config) = after_passes(2);
    remove_dir(&site.path("state"));
    for _ in 0..2 {
        let fault = beside(try_once(&config, LATER));
        assert!(matches!(fault, BesideFault::NotFresh { .. }), "{fault}");
        assert!(fault.to_string().contains("huaxin/voice 3"), "{fault}");
        assert_eq!(files_in(&site.path("state")).into_keys().collect::<Vec<_>>(), ["LOCK"]);
    }
    let hidden = site.path("hidden");
    fs::rename(site.path("archive/.log"), &hidden).expect("moved");
    let fault = beside(try_once(&config, LATER));
    assert!(fault.to_string().contains("files of huaxin/voice"), "{fault}");
    fs::rename(hidden, site.path("archive/.log")).expect("moved back");
    // The journal is gone with it.
    let report = recovered(&config);
    assert!(report.lost.is_some() && report.identity_from == "the archive's log", "{report:?}");
    assert_eq!(report.lost_hours.iter().map(|(_, _, count)| *count).sum::<u64>(), 2);
    site.write("in/again.log", call_line(120 + 61, "1c") + &call_line(120 + 95, "1d"));
    once(&config, LATER);
    release(&config, 1_730_599_200 + 3 * 3600);
    finish(&site, &config, 2, "state emptied");
}

#[test]
fn an_archive_of_another_store_is_refused() {
    let (one, config) = after_passes(1);
    let (two, _) = after_passes(1);
    remove_dir(&one.path("archive"));
    copy(&two.path("archive"), &one.path("archive"));
    let fault = beside(try_once(&config, LATER));
    assert!(matches!(fault, BesideFault::Foreign { .. }), "{fault}");
    assert!(matches!(try_recover(&config, &orders()), Err(RecoverFault::Mixed(_))));
}

#[test]
fn a_lost_journal_is_refused_and_recovery_says_what_may_be_lost() {
    let (site, config) = after_passes(2);
    remove_dir(&site.path("state/journal"));
    let fault = try_once(&config, LATER).expect_err("refused");
    assert!(matches!(fault, ExporterFault::Store(StoreFault::Spool(SpoolFault::Missing { .. }))), "{fault}");
    let report = recovered(&config);
    assert!(report.lost.is_some() && report.lost_hours.len() == 1 && report.held.len() == 1, "{report:?}");
    site.write("in/again.log", call_line(120 + 61, "1c") + &call_line(120 + 95, "1d"));
    once(&config, LATER);
    release(&config, 1_730_599_200 + 3 * 3600);
    finish(&site, &config, 2, "journal lost");
}

#[test]
fn an_identity_that_is_lost_or_of_another_store_is_found_again() {
    for other in [None, Some("00112233445566778899aabbccddeeff\n")] {
        let (site, config) = after_passes(2);
        let path = site.path("state/STORE_ID");
        fs::remove_file(&path).expect("removed");
        if let Some(other) = other {
            fs::write(&path, other).expect("another one");
        }
        assert!(matches!(try_once(&config, LATER), Err(ExporterFault::Store(StoreFault::Inconsistent { .. }))));
        assert_eq!(recovered(&config).identity_from, "the journal");
        finish(&site, &config, 2, "identity");
    }
}

#[test]
fn a_partner_that_is_ahead_of_state_and_archive_gets_nothing() {
    let (site, config) = after_passes(1);
    let snapshot = tempfile::tempdir().expect("directory");
    for part in ["state", "archive"] {
        copy(&site.path(part), &snapshot.path().join(part));
    }
    input(&site, 1);
    once(&config, TIMES[1]);
    for part in ["state", "archive"] {
        remove_dir(&site.path(part));
        copy(&snapshot.path().join(part), &site.path(part));
    }
    let before = site.everything_dropped();
    input(&site, 2);
    let report = try_once(&config, TIMES[2]).expect("a pass");
    assert_eq!((report.exit_code(), report.alarms[0].code.as_str()), (1, "HD0601"), "{report:?}");
    let message = &report.alarms[0].message;
    assert!(
        message.contains("HX_2024110304_00003.dat lies at the partner with number 3; the last one of huaxin/voice that this ledger sent is 1"),
        "{message}"
    );
    assert_eq!(before, site.everything_dropped());
}

/// The same after the next pass has given numbers of its own.
#[test]
fn what_was_numbered_beside_a_partner_that_is_ahead_comes_into_doubt() {
    let (site, config) = after_passes(1);
    let snapshot = tempfile::tempdir().expect("directory");
    for part in ["state", "archive"] {
        copy(&site.path(part), &snapshot.path().join(part));
    }
    input(&site, 1);
    once(&config, TIMES[1]);
    for part in ["state", "archive"] {
        remove_dir(&site.path(part));
        copy(&snapshot.path().join(part), &site.path(part));
    }
    input(&site, 2);
    assert_eq!(try_once(&config, TIMES[2]).expect("a pass").exit_code(), 1);
    let before = site.everything_dropped();
    let report = try_recover(&config, &RecoverOrders { ask_partners: true, ..orders() }).expect("a ledger");
    assert!(report.held.iter().any(|(_, _, reason)| reason.contains("in doubt")), "{report:?}");
    let report = try_once(&config, TIMES[2]).expect("a pass");
    assert_eq!((report.exit_code(), before), (4, site.everything_dropped()), "{report:?}");
}

#[test]
fn recovery_continues_above_the_numbers_at_the_partner() {
    let (site, config) = after_passes(1);
    let snapshot = tempfile::tempdir().expect("directory");
    for part in ["state", "archive"] {
        copy(&site.path(part), &snapshot.path().join(part));
    }
    input(&site, 1);
    once(&config, TIMES[1]);
    for part in ["state", "archive"] {
        remove_dir(&site.path(part));
        copy(&snapshot.path().join(part), &site.path(part));
    }
    let report = try_recover(&config, &RecoverOrders { ask_partners: true, ..orders() }).expect("a ledger");
    assert!(report.counters.iter().any(|(name, _, number)| name == "huaxin/voice" && *number == 3), "{report:?}");
    assert!(report.held.iter().all(|(_, _, reason)| reason.contains("partner")) && !report.held.is_empty());
    input(&site, 2);
    let report = try_once(&config, TIMES[2]).expect("a pass");
    assert!(report.alarms.is_empty(), "{report:?}");
    let files: Vec<String> = site.dropped("huaxin", ".dat").into_keys().collect();
    assert!(files.iter().any(|name| name.ends_with("_00004.dat")), "{files:?}");
    let mut found: Vec<String> = delivered_calls(&site).into_iter().flat_map(|(_, ids)| ids).collect();
    let all = found.len();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), all, "nothing twice");
}

#[test]
fn without_ledger_and_log_the_archive_itself_tells_what_was_given() {
    let (site, config) = after_passes(2);
    lose_ledger(&site);
    remove_dir(&site.path("archive/.log"));
    let report = recovered(&config);
    assert_eq!(report.files_unknown.len(), site.everything_dropped().len(), "{report:?}");
    assert_eq!(report.counters.first().map(|(_, _, number)| *number), Some(3), "{report:?}");
    assert!(!report.held.is_empty() && report.held.iter().all(|(_, _, why)| why.contains("in doubt")), "{report:?}");
    let before = site.everything_dropped();
    once_held(&config, LATER);
    assert_eq!(before, site.everything_dropped(), "nothing in doubt is sent by itself");
    // The operator knows that all of it arrived.
    let settle = RecoverOrders { delivered_before: UtcTime::from_seconds(2_000_000_000), ..orders() };
    let report = try_recover(&config, &settle).expect("a ledger");
    assert!(report.settled > 0 && report.held.is_empty(), "{report:?}");
    finish(&site, &config, 2, "log lost");
}

fn once_held(config: &Path, now: &str) {
    let report = try_once(config, now).expect("a pass");
    assert_eq!(report.exit_code(), 4, "{report:?}");
}

#[test]
fn a_log_that_is_missing_or_damaged_is_refused_and_written_anew() {
    let (site, config) = after_passes(2);
    let file = site.path("archive/.log/2024-11.jsonl");
    let bytes = fs::read(&file).expect("log");
    fs::write(&file, &bytes[..bytes.len() / 2]).expect("cut");
    let fault = beside(try_once(&config, LATER));
    assert!(matches!(fault, BesideFault::ArchiveRolledBack { .. }), "{fault}");
    recovered(&config);
    finish(&site, &config, 2, "log cut");
    // What was written anew is enough to build the ledger again.
    lose_ledger(&site);
    assert!(recovered(&config).held.is_empty());
    once(&config, LATER);
    assert_partner_saw(&site, &ids(3), "log written anew");
}

/// Each line of the log is damaged once, with the ledger and without it.
#[test]
fn damage_within_the_log_is_named_and_nothing_is_given_or_sent_twice() {
    let (base, _) = after_passes(2);
    let log = fs::read_to_string(base.path("archive/.log/2024-11.jsonl")).expect("log");
    let mut begin = 0;
    for (number, line) in log.lines().enumerate() {
        let middle = begin + line.len() / 2;
        begin += line.len() + 1;
        for with_ledger in [true, false] {
            let context = format!("line {}, with ledger: {with_ledger}", number + 1);
            let site = Site::new();
            for (name, bytes) in files_in(&base.path("")) {
                site.write(&name, bytes);
            }
            let config = configured(&site, "60s");
            let mut bytes = log.clone().into_bytes();
            bytes[middle] ^= 1;
            site.write("archive/.log/2024-11.jsonl", bytes);
            let is_last = begin == log.len();
            if with_ledger && !is_last {
                let fault = beside(try_once(&config, LATER)).to_string();
                assert!(fault.contains(&format!("2024-11.jsonl, line {}", number + 1)), "{context}: {fault}");
            }
            if !with_ledger {
                lose_ledger(&site);
            }
            let report = recovered(&config);
            assert!(is_last || report.log_damage.len() == 1, "{context}: {report:?}");
            input(&site, 2);
            drop(try_once(&config, TIMES[2]).unwrap_or_else(|fault| panic!("{context}: {fault}")));
            if with_ledger {
                once(&config, LATER);
                assert_partner_saw(&site, &ids(3), &context);
            }
            let files = delivered_calls(&site);
            let numbers: Vec<&str> = files.iter().map(|(name, _)| &name[14..19]).collect();
            let found: Vec<&String> = files.iter().flat_map(|(_, ids)| ids).collect();
            for (at, number) in numbers.iter().enumerate() {
                assert!(!numbers[..at].contains(number), "{context}: {files:?}");
            }
            for (at, id) in found.iter().enumerate() {
                assert!(!found[..at].contains(id), "{context}: {files:?}");
            }
        }
    }
}

#[test]
fn a_plan_of_another_encoder_stops_the_start_before_anything_is_touched() {
    let (site, config) = after_passes(1);
    input(&site, 1);
    // Stopped when the first file gets its place: the plan is recorded, nothing else.
    let mut stop_at = 0;
    let plans = || -> i64 {
        let ledger = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
        ledger.query_row("SELECT count(*) FROM batch WHERE state = 'planned'", [], |row| row.get(0)).expect("count")
    };
    while plans() == 0 {
        let world = world_on(Arc::new(StoppingDisk::new(stop_at)), TIMES[1]);
        drop(Exporter::open(load(&config, TIMES[1]), &world, None, true).and_then(Exporter::once));
        stop_at += 1;
    }
    let ledger = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    hourdrop::ledger::checked_rows::teach(&ledger).expect("functions");
    let doctor = |revision: i64| {
        ledger
            .execute("UPDATE main.batch SET encoder_revision = ?1 WHERE state = 'planned'", [revision])
            .expect("done");
    };
    doctor(99);
    let before = (files_in(&site.path("archive")), files_in(&site.path("state/journal")), files_in(&site.path("in")));
    let fault = try_once(&config, LATER).expect_err("refused");
    assert!(matches!(fault, ExporterFault::Store(StoreFault::OldPlan { found: 99, .. })), "{fault}");
    let after = (files_in(&site.path("archive")), files_in(&site.path("state/journal")), files_in(&site.path("in")));
    assert!(before == after);
    doctor(i64::from(hourdrop::seal::ENCODER_REVISION));
    drop(ledger);
    once(&config, TIMES[1]);
    finish(&site, &config, 2, "planned before");
}

fn command(config: &Path, arguments: &[&str]) -> (i32, serde_json::Value, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(arguments)
        .args(["--json", "--config"])
        .arg(config)
        .env("HOURDROP_TEST_CLOCK", LATER)
        .output()
        .expect("the program runs");
    let text = if output.stdout.is_empty() { output.stderr.clone() } else { output.stdout };
    let json = serde_json::from_slice(&text).unwrap_or_default();
    (output.status.code().unwrap_or(-1), json, String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_command_tells_what_was_rebuilt_and_the_refusal_names_it() {
    let (site, config) = after_passes(2);
    assert_eq!(command(&config, &["recover"]).0, 2, "a reason is needed");
    lose_ledger(&site);
    for asked in ["once", "status", "hours"] {
        let (code, _, text) = command(&config, &[asked]);
        assert!(code == 1 && text.contains("hourdrop recover"), "{asked}: {text}");
    }
    let (code, dry, text) = command(&config, &["recover", "--dry-run", "--reason", "disk lost"]);
    assert!(code == 0 && dry["dry_run"] == true && dry["rebuilt"]["batches"] == 3, "{text}");
    let holder = Exporter::open(load(&config, LATER), &world(LATER), None, true);
    assert!(holder.is_err(), "still refused");
    let (code, done, text) = command(&config, &["recover", "--reason", "disk lost"]);
    assert_eq!((code, &done["rebuilt"]), (0, &dry["rebuilt"]), "{text}");
    assert_eq!(done["counters"][0]["now"], 3, "{text}");
    assert_eq!(command(&config, &["once"]).0, 0);
    let holder = Exporter::open(load(&config, LATER), &world(LATER), None, true).expect("an exporter");
    assert_eq!(command(&config, &["recover", "--reason", "another one works"]).0, 75);
    drop(holder);
    let ledger = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    let reason: String =
        ledger.query_row("SELECT detail FROM fact WHERE kind = 'recovered'", [], |row| row.get(0)).expect("a fact");
    assert!(reason.starts_with("disk lost"), "{reason}");
}
