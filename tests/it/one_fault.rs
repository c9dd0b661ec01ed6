//! What goes wrong in one place stops that place and nothing else, and goes on by itself when it is mended.

use crate::site::{Site, StandingClock, call_line, delivered_calls, eventually, load, once, one_feed, time};
use crate::small_disk::SmallDisk;
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::progress::Silent;
use hourdrop::ledger::Ledger;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

const NOW: &str = "2024-11-03T05:30:00Z";
const SOURCE: &str = "files = \"in\"\nfinished = \"renamed\"";

fn configured(site: &Site, keys: &str, source: &str) -> PathBuf {
    fs::create_dir_all(site.path("in")).expect("directory");
    let text = fs::read_to_string(one_feed(site, source, "", "forever")).expect("configuration");
    site.configure(&format!("reserve = \"0\"\n{keys}\n{text}"))
}

fn codes(report: &OnceReport) -> Vec<&str> {
    report.alarms.iter().map(|alarm| alarm.code.as_str()).collect()
}

fn calls(site: &Site) -> String {
    delivered_calls(site).into_iter().flat_map(|(_, ids)| ids).collect()
}

/// A site with an hour that is sealed and not delivered, on a disk whose archive lies elsewhere.
fn sealed_while_the_partner_is_away(keys: &str) -> (Site, PathBuf, SmallDisk) {
    let site = Site::new();
    let config = configured(&site, keys, SOURCE);
    let drop_dir = site.drop_dir("huaxin");
    fs::remove_dir(&drop_dir).expect("the partner is away");
    site.write("in/1.log", call_line(1, "a"));
    let disk = SmallDisk::new(vec![site.path("state"), site.path("archive")]);
    fs::create_dir(site.path("archive")).expect("where it is mounted");
    disk.account().elsewhere = Some(site.path("archive"));
    let report = exporter(&config, &disk).once().expect("a pass");
    assert_eq!((report.sealed.batches, report.exit_code()), (1, 5));
    fs::create_dir(&drop_dir).expect("the partner is back");
    (site, config, disk)
}

fn world(disk: &SmallDisk) -> World {
    World::new(Arc::new(disk.clone()), Arc::new(StandingClock(time(NOW))), Arc::new(Silent))
}

fn exporter(config: &std::path::Path, disk: &SmallDisk) -> Exporter {
    Exporter::open(load(config, NOW), &world(disk), None, true).expect("exporter")
}

/// What the partner has seen must be known beside the archive before: else a ledger that is lost sends it again.
#[test]
fn nothing_gets_its_final_name_while_the_archive_cannot_be_told() {
    let (site, config, disk) = sealed_while_the_partner_is_away("once_deliver_for = \"4s\"");
    disk.account().elsewhere_is_full = true;
    for _ in 0..2 {
        let report = exporter(&config, &disk).once().expect("a pass");
        assert_ne!(report.exit_code(), 0);
        let dropped = site.everything_dropped();
        assert!(!dropped.is_empty() && dropped.keys().all(|name| name.ends_with(".tmp")), "{:?}", dropped.keys());
    }
    disk.account().elsewhere_is_full = false;
    assert_eq!(exporter(&config, &disk).once().expect("a pass").exit_code(), 0);
    assert_eq!(calls(&site), "a");
    site.assert_archive_is_what_was_dropped(&["huaxin"]);
}

#[test]
fn a_partner_is_delivered_to_when_there_is_room_again_without_a_restart() {
    let (site, config, disk) = sealed_while_the_partner_is_away("once_deliver_for = \"0s\"");
    disk.account().elsewhere_is_full = true;
    let world = world(&disk);
    let stop = Arc::clone(&world.stop);
    let exporter = Exporter::open(load(&config, NOW), &world, None, false).expect("exporter");
    let (waker, wake) = sync_channel(1);
    let running = std::thread::spawn(move || exporter.run(&wake));
    let refused = disk.account().refused;
    eventually("several tries", || disk.account().refused > refused + 5);
    disk.account().elsewhere_is_full = false;
    eventually("the delivery", || calls(&site) == "a");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    drop(waker);
    running.join().expect("no panic").expect("a clean end");
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    assert_eq!(ledger.alarms().expect("alarms"), []);
}

#[test]
fn input_that_cannot_be_put_away_is_an_alarm_and_its_hour_is_delivered() {
    let site = Site::new();
    let config = configured(&site, "once_deliver_for = \"1s\"", &format!("{SOURCE}\nthen = \"move:done\""));
    site.write("in/1.log", call_line(1, "a"));
    site.write("done", "no directory");
    for _ in 0..2 {
        let report = once(&config, NOW);
        assert_eq!((codes(&report), report.exit_code()), (vec!["HD0400"], 4), "{report:?}");
        assert_eq!(calls(&site), "a");
    }
    fs::remove_file(site.path("done")).expect("mended");
    site.write("in/2.log", call_line(61, "b"));
    let report = once(&config, NOW);
    assert_eq!((codes(&report), report.exit_code()), (vec![], 0), "{report:?}");
    assert_eq!(calls(&site), "ab");
    let done: Vec<String> = crate::site::files_in(&site.path("done")).into_keys().collect();
    assert_eq!(done, ["1.log", "2.log"]);
}

/// Unlike any other trouble with putting input away: nobody knows what such a disk holds.
#[test]
fn a_failed_sync_of_where_input_is_put_away_stops_everything() {
    let site = Site::new();
    let config = configured(&site, "once_deliver_for = \"1s\"", &format!("{SOURCE}\nthen = \"move:done\""));
    site.write("in/1.log", call_line(1, "a"));
    let disk = SmallDisk::new(vec![site.path("done")]);
    disk.account().failing_sync = Some(1);
    let Err(fault) = exporter(&config, &disk).once() else { panic!("it must stop") };
    assert!(fault.is_failed_sync(), "{fault}");
    assert!(site.everything_dropped().is_empty(), "nothing was sealed");
    assert_eq!((once(&config, NOW).exit_code(), calls(&site).as_str()), (0, "a"));
}

#[test]
fn a_strange_file_in_the_place_of_a_planned_one_is_set_aside_and_named() {
    let site = Site::new();
    let config = configured(&site, "once_deliver_for = \"1s\"", SOURCE);
    site.write("in/1.log", call_line(1, "a"));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    site.write("in/2.log", call_line(61, "b"));
    let place = "huaxin/voice/2024/11/03/03/HX_2024110303_00002.dat";
    site.write(&format!("archive/{place}"), "somebody else's");
    let report = once(&config, NOW);
    assert_eq!((codes(&report), report.exit_code()), (vec!["HD0703"], 4), "{report:?}");
    assert_eq!(calls(&site), "ab");
    let aside = site.path("archive/.aside").join(place.replace('/', "_"));
    assert_eq!(fs::read_to_string(&aside).expect("it is kept"), "somebody else's");
    site.assert_archive_is_what_was_dropped(&["huaxin"]);
    fs::remove_file(aside).expect("a person has looked");
    assert_eq!(once(&config, NOW).exit_code(), 0);
}

#[test]
fn an_archived_file_that_another_hour_has_is_never_set_aside() {
    let site = Site::new();
    let config = configured(&site, "once_deliver_for = \"1s\"", SOURCE);
    site.write("in/1.log", call_line(1, "a"));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    let before = crate::site::files_in(&site.path("archive"));
    let ledger = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    hourdrop::ledger::checked_rows::teach(&ledger).expect("functions");
    // As if the number had not been given yet.
    ledger.execute("UPDATE counter SET number = 0 WHERE name = 'huaxin/voice'", []).expect("update");
    drop(ledger);
    site.write("in/2.log", call_line(2, "b"));
    let world = crate::site::world(NOW);
    let done = Exporter::open(load(&config, NOW), &world, None, true).and_then(Exporter::once);
    assert!(done.is_err_and(|fault| fault.to_string().contains("exists with other content")));
    let after = crate::site::files_in(&site.path("archive"));
    assert!(before.iter().all(|(name, bytes)| name.contains(".log/") || after.get(name) == Some(bytes)));
}

#[test]
fn a_smaller_bound_of_the_spool_does_not_keep_it_from_starting() {
    let site = Site::new();
    let keys = |most: &str| format!("once_deliver_for = \"1s\"\nspool_max = \"{most}\"");
    let config = configured(&site, &keys("16MiB"), SOURCE);
    let many = |from: usize| -> String { (from..from + 30_000).map(|n| call_line(1, &format!("c{n}"))).collect() };
    site.write("in/1.log", many(0));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    let config = configured(&site, &keys("1MiB"), SOURCE);
    for pass in 0..3 {
        site.write(&format!("in/more{pass}.log"), call_line(61 + pass, "d"));
        let world = crate::site::world(NOW);
        let done = Exporter::open(load(&config, NOW), &world, None, true).and_then(Exporter::once);
        assert_eq!(done.map(|report| report.exit_code()).map_err(|fault| fault.to_string()), Ok(0), "pass {pass}");
    }
}

/// An order that finds no room is carried out when there is some.
#[test]
fn an_order_waits_for_room_and_everything_else_goes_on() {
    let site = Site::new();
    let config = configured(&site, "once_deliver_for = \"1s\"", SOURCE);
    site.write("in/1.log", call_line(1, "a"));
    let disk = SmallDisk::new(vec![site.path("state"), site.path("archive")]);
    let mut exporter = exporter(&config, &disk);
    while exporter.turn(u64::MAX).expect("a turn") {}
    let request = hourdrop::app::requests::Request {
        order: hourdrop::app::operator::Order::Pause(hourdrop::app::operator::Subject::Partner(
            hourdrop::domain::ids::PartnerId::parse("huaxin").expect("a partner"),
        )),
        reason: "a test".to_owned(),
    };
    let real = hourdrop::disk::RealDisk;
    let name = hourdrop::app::requests::leave(&real, &site.path("state"), &request, time(NOW)).expect("a request");
    let answer = || hourdrop::app::requests::answer(&real, &site.path("state"), &name).expect("an answer");
    let operations = disk.account().operations;
    disk.account().full_from = Some((operations, u64::MAX));
    for _ in 0..3 {
        assert!(!exporter.turn(u64::MAX).expect("a turn"), "it waits");
        assert!(answer().is_none());
    }
    disk.account().full_from = None;
    while exporter.turn(u64::MAX).expect("a turn") {}
    assert!(matches!(answer(), Some(Ok(done)) if done.changed));
}
