//! Without room nothing is lost and nothing is sent twice: a full disk, a full spool, and a sync that fails.

use crate::site::{
    FIRST_HOUR, Site, StandingClock, call_line, delivered_calls, eventually, files_in, load, once, one_feed, release,
    time, world,
};
use crate::small_disk::SmallDisk;
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::fault::ExporterFault;
use hourdrop::app::progress::Silent;
use hourdrop::clock::{Clock, Waited};
use hourdrop::disk::RealDisk;
use hourdrop::domain::ids::SourceId;
use hourdrop::domain::period::Partition;
use hourdrop::domain::time::{Length, UtcTime};
use hourdrop::ledger::Ledger;
use hourdrop::ledger::intake::Alarm;
use hourdrop::spool::SpoolLimits;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NOW: &str = "2024-11-03T05:30:00Z";
const WITHOUT_RESERVE: &str = "reserve = \"0\"\nonce_deliver_for = \"1s\"";
const SOURCE: &str = "files = \"in\"\nfinished = \"renamed\"";

/// A site with one feed and the given keys of the document.
fn configured(site: &Site, keys: &str) -> PathBuf {
    fs::create_dir_all(site.path("in")).expect("directory");
    let path = one_feed(site, SOURCE, "records_max = 4", "forever");
    let text = fs::read_to_string(&path).expect("configuration");
    site.configure(&format!("{keys}\n{text}"))
}

/// Three files with records of three hours.
fn write_inputs(site: &Site) {
    for file in 0..3i64 {
        let lines: String = (0..12).map(|n| call_line((n * 15 + file * 5) % 180, &format!("f{file}n{n:02}"))).collect();
        site.write(&format!("in/{file}.log"), lines);
    }
}

fn small_disk(site: &Site) -> SmallDisk {
    SmallDisk::new(vec![site.path("state"), site.path("archive")])
}

fn world_on(disk: &SmallDisk, clock: Arc<dyn Clock>) -> World {
    let limits = SpoolLimits { segment_bytes_max: 600, ..SpoolLimits::default() };
    World { limits, ..World::new(Arc::new(disk.clone()), clock, Arc::new(Silent)) }
}

fn standing() -> Arc<dyn Clock> {
    Arc::new(StandingClock(time(NOW)))
}

fn alarms(site: &Site) -> Vec<Alarm> {
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    ledger.alarms().expect("alarms")
}

fn codes(site: &Site) -> Vec<String> {
    alarms(site).into_iter().map(|alarm| alarm.code).collect()
}

fn all_calls(site: &Site) -> Vec<String> {
    let mut calls: Vec<String> = delivered_calls(site).into_iter().flat_map(|(_, calls)| calls).collect();
    calls.sort();
    calls
}

/// What an undisturbed pass delivers.
fn undisturbed() -> BTreeMap<String, Vec<u8>> {
    let site = Site::in_memory();
    let config = configured(&site, WITHOUT_RESERVE);
    write_inputs(&site);
    let disk = small_disk(&site);
    let exporter = Exporter::open(load(&config, NOW), &world_on(&disk, standing()), None, true).expect("exporter");
    assert_eq!(exporter.once().expect("a pass").exit_code(), 0);
    assert_eq!(all_calls(&site).len(), 36);
    site.everything_dropped()
}

#[test]
fn run_waits_for_room_at_every_operation_and_ends_as_if_undisturbed() {
    waits_at_every_operation(u64::MAX);
}

#[test]
fn run_waits_when_there_is_no_room_for_a_moment() {
    waits_at_every_operation(2);
}

/// From each operation on there is no room for so many operations.
fn waits_at_every_operation(count: u64) {
    let expected = undisturbed();
    let mut operation = 0;
    loop {
        let site = Site::in_memory();
        let config = load(&configured(&site, WITHOUT_RESERVE), NOW);
        write_inputs(&site);
        let disk = small_disk(&site);
        disk.account().full_from = Some((operation, count));
        let world = world_on(&disk, standing());
        let opened = Exporter::open(config.clone(), &world, None, false);
        let was_refused = opened.is_err();
        let mut exporter = opened.unwrap_or_else(|_| {
            disk.account().full_from = None;
            Exporter::open(config.clone(), &world, None, false).expect("with room it opens")
        });
        for _ in 0..3 {
            exporter.turn(u64::MAX).unwrap_or_else(|fault| panic!("operation {operation}: {fault}"));
        }
        let refused = disk.account().refused;
        disk.account().full_from = None;
        for _ in 0..3 {
            while exporter.turn(u64::MAX).expect("a turn") {}
        }
        assert_eq!(codes(&site), [""; 0], "operation {operation}");
        drop(exporter);
        let archived = crate::site::files_in(&site.path("archive/huaxin"));
        assert_eq!(archived.len(), expected.len(), "operation {operation}: everything is sealed without a restart");
        let exporter = Exporter::open(config.clone(), &world, None, true).expect("exporter");
        assert_eq!(exporter.once().expect("a pass").exit_code(), 0);
        assert!(site.everything_dropped() == expected, "operation {operation} had no room");
        site.assert_archive_is_what_was_dropped(&["huaxin"]);
        if refused == 0 && !was_refused {
            break;
        }
        operation += 1;
    }
    assert!(operation > 40, "{operation} operations");
}

#[test]
fn once_ends_with_what_fits_and_the_next_pass_ends_as_if_undisturbed() {
    let expected = undisturbed();
    let (mut operation, mut stopped) = (0, 0);
    loop {
        let site = Site::in_memory();
        let config = load(&configured(&site, WITHOUT_RESERVE), NOW);
        write_inputs(&site);
        let disk = small_disk(&site);
        disk.account().full_from = Some((operation, u64::MAX));
        let world = world_on(&disk, standing());
        let opened = Exporter::open(config.clone(), &world, None, true);
        let was_refused = opened.is_err();
        if let Ok(exporter) = opened {
            let report = exporter.once().unwrap_or_else(|fault| panic!("operation {operation}: {fault}"));
            let refused = disk.account().refused;
            assert!(report.exit_code() > 0 || refused == 0 || site.everything_dropped() == expected, "{report:?}");
            if report.unread.is_some() {
                assert_eq!(report.exit_code(), 1);
                stopped += 1;
            }
        }
        let refused = disk.account().refused;
        disk.account().full_from = None;
        let exporter = Exporter::open(config.clone(), &world, None, true).expect("with room it opens");
        let report = exporter.once().expect("the next pass");
        assert_eq!((report.exit_code(), report.unread), (0, None), "operation {operation}: {report:?}");
        assert!(site.everything_dropped() == expected, "operation {operation} had no room");
        site.assert_archive_is_what_was_dropped(&["huaxin"]);
        if refused == 0 && !was_refused {
            break;
        }
        operation += 1;
    }
    assert!(operation > 60 && stopped > 30, "{operation} operations, {stopped} passes ended early");
}

#[test]
fn after_a_failed_sync_it_stops_and_a_restart_has_everything_once() {
    let expected = undisturbed();
    let (mut failing, mut stopped) = (1, 0);
    loop {
        let mut failed = false;
        for loses in [false, true] {
            let site = Site::in_memory();
            let config = load(&configured(&site, WITHOUT_RESERVE), NOW);
            write_inputs(&site);
            let disk = small_disk(&site);
            (disk.account().failing_sync, disk.account().loses) = (Some(failing), loses);
            let world = world_on(&disk, standing());
            let done = Exporter::open(config.clone(), &world, None, true).and_then(Exporter::once);
            failed = disk.account().syncs >= failing;
            assert_eq!(done.is_err(), failed, "sync {failing}: {done:?}");
            stopped += usize::from(done.as_ref().is_err_and(ExporterFault::is_failed_sync));
            let before = disk.account().syncs;
            assert!(done.is_ok() || before == failing, "nothing is synced after sync {failing} has failed");
            let left = site.everything_dropped();
            assert!(
                left.iter().all(|file| file.0.ends_with(".tmp") || expected.get(file.0) == Some(file.1)),
                "nothing leaves before it is durable"
            );
            disk.account().failing_sync = None;
            let exporter = Exporter::open(config.clone(), &world, None, true).expect("a restart");
            assert_eq!(exporter.once().expect("a pass").exit_code(), 0);
            assert!(site.everything_dropped() == expected, "sync {failing} failed");
            site.assert_archive_is_what_was_dropped(&["huaxin"]);
        }
        if !failed {
            break;
        }
        failing += 1;
    }
    assert!(failing > 20 && stopped > 20, "{failing} syncs, {stopped} stops");
}

/// A clock that is moved.
struct MovedClock(Mutex<UtcTime>);

impl MovedClock {
    fn at(text: &str) -> Arc<Self> {
        Arc::new(Self(Mutex::new(time(text))))
    }
    fn move_to(&self, text: &str) {
        *self.0.lock().expect("clock") = time(text);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> UtcTime {
        *self.0.lock().expect("clock")
    }
    fn uptime(&self) -> Length {
        Length::from_nanos(u64::try_from(self.now().nanos()).expect("a time after 1970"))
    }
    fn boot(&self) -> String {
        "test".to_owned()
    }
    fn wait(&self, _length: Length, wake: &Receiver<()>) -> Waited {
        wake.recv_timeout(Duration::from_millis(5)).map_or(Waited::Elapsed, |()| Waited::Woken)
    }
}

#[test]
fn the_reserve_lets_the_hours_in_hand_be_finished() {
    let site = Site::new();
    let config = configured(&site, "reserve = \"2MiB\"");
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b"));
    let (disk, clock) = (small_disk(&site), MovedClock::at("2024-11-03T02:30:00Z"));
    disk.account().capacity = 8 << 20;
    let world = world_on(&disk, Arc::clone(&clock) as Arc<dyn Clock>);
    let mut exporter = Exporter::open(load(&config, NOW), &world, None, false).expect("exporter");
    while exporter.turn(u64::MAX).expect("a turn") {}
    assert_eq!(fs::metadata(site.path("state/RESERVE")).map(|file| file.len()).ok(), Some(2 << 20));

    disk.account().fill();
    clock.move_to("2024-11-03T03:30:00Z");
    site.write("in/2.log", call_line(63, "c"));
    for _ in 0..3 {
        assert!(!exporter.turn(u64::MAX).expect("a turn"), "it waits");
    }
    assert!(!site.path("state/RESERVE").exists(), "it was given up");
    let archived = crate::site::files_in(&site.path("archive/huaxin"));
    assert_eq!(archived.len(), 2, "the hour was sealed: {:?}", archived.keys());
    let standing = alarms(&site);
    assert_eq!(standing.len(), 1, "{standing:?}");
    assert_eq!((standing[0].subject.as_str(), standing[0].code.as_str()), ("disk", "HD0301"));
    assert!(standing[0].message.starts_with("nothing is read"), "{standing:?}");
    assert!(standing[0].message.contains("state"), "the place is named: {standing:?}");

    disk.account().others = 0;
    while exporter.turn(u64::MAX).expect("a turn") {}
    assert_eq!(codes(&site), [""; 0]);
    assert!(site.path("state/RESERVE").exists(), "it was taken back");
    drop(exporter);
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(all_calls(&site), ["a", "b", "c"]);
}

#[test]
fn only_sealing_waits_when_only_the_archive_is_full() {
    let site = Site::new();
    let config = configured(&site, "reserve = \"2MiB\"");
    site.write("in/1.log", call_line(1, "a"));
    let (disk, clock) = (small_disk(&site), MovedClock::at("2024-11-03T02:30:00Z"));
    fs::create_dir(site.path("archive")).expect("where it is mounted");
    disk.account().elsewhere = Some(site.path("archive"));
    let world = world_on(&disk, Arc::clone(&clock) as Arc<dyn Clock>);
    let mut exporter = Exporter::open(load(&config, NOW), &world, None, false).expect("exporter");
    while exporter.turn(u64::MAX).expect("a turn") {}

    disk.account().elsewhere_is_full = true;
    clock.move_to("2024-11-03T03:30:00Z");
    exporter.turn(u64::MAX).expect("a turn");
    site.write("in/2.log", call_line(63, "b"));
    for _ in 0..3 {
        exporter.turn(u64::MAX).expect("a turn");
    }
    let standing = alarms(&site);
    assert_eq!(standing.len(), 1, "{standing:?}");
    assert!(standing[0].message.starts_with("nothing is sealed"), "{standing:?}");
    assert!(standing[0].message.contains("archive"), "the place is named: {standing:?}");
    assert!(site.path("state/RESERVE").exists(), "giving it up would not help");
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    assert_eq!(ledger.source_totals().expect("totals")[0].records, 2, "reading goes on");

    disk.account().elsewhere_is_full = false;
    while exporter.turn(u64::MAX).expect("a turn") {}
    exporter.turn(u64::MAX).expect("a turn");
    assert_eq!(codes(&site), [""; 0]);
    drop(exporter);
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(all_calls(&site), ["a", "b"]);
}

#[test]
fn a_start_on_a_full_disk_gives_the_reserve_up_for_the_ledger() {
    let site = Site::new();
    let config = configured(&site, "reserve = \"2MiB\"");
    site.write("in/1.log", call_line(1, "a"));
    let disk = small_disk(&site);
    disk.account().capacity = 8 << 20;
    let world = world_on(&disk, standing());
    let pass = || Exporter::open(load(&config, NOW), &world, None, true).expect("exporter").once().expect("a pass");
    assert_eq!(pass().exit_code(), 0);
    disk.account().fill();
    site.write("in/2.log", call_line(63, "b"));
    site.write("in/3.log", call_line(64, "c"));
    let report = pass();
    assert_eq!(report.exit_code(), 1, "{report:?}");
    assert!(report.unread >= Some(call_line(64, "c").len() as u64), "it says how much: {report:?}");
    assert!(!site.path("state/RESERVE").exists());
    disk.account().others = 0;
    assert_eq!(pass().exit_code(), 0);
    assert!(site.path("state/RESERVE").exists());
    assert_eq!(all_calls(&site), ["a", "b", "c"]);
}

#[test]
fn uploads_go_on_while_reading_waits_and_reading_goes_on_by_itself() {
    let site = Site::new();
    let config = configured(&site, "reserve = \"2MiB\"");
    let drop_dir = site.drop_dir("huaxin");
    fs::remove_dir(&drop_dir).expect("the partner is away");
    site.write("in/1.log", call_line(1, "a"));
    let (disk, clock) = (small_disk(&site), MovedClock::at(NOW));
    disk.account().capacity = 8 << 20;
    let world = world_on(&disk, Arc::clone(&clock) as Arc<dyn Clock>);
    let stop = Arc::clone(&world.stop);
    let exporter = Exporter::open(load(&config, NOW), &world, None, false).expect("exporter");
    let (waker, wake) = sync_channel(1);
    let running = std::thread::spawn(move || exporter.run(&wake));
    eventually("the alarm of the partner", || codes(&site).contains(&"HD0201".to_owned()));

    disk.account().fill();
    site.write("staged", call_line(2, "b"));
    fs::rename(site.path("staged"), site.path("in/2.log")).expect("a file appears");
    eventually("the alarm of the disk", || codes(&site).contains(&"HD0301".to_owned()));
    fs::create_dir(&drop_dir).expect("the partner is back");
    eventually("the delivery", || drop_dir.join("HX_2024110302_00001.dat").exists());
    assert!(codes(&site).contains(&"HD0301".to_owned()), "reading still waits");

    disk.account().others = 0;
    eventually("the supplement", || drop_dir.join("HX_2024110302_01.json").exists());
    eventually("the end of all alarms", || codes(&site).is_empty());
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    drop(waker);
    running.join().expect("no panic").expect("a clean end");
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(all_calls(&site), ["a", "b"]);
    site.assert_archive_is_what_was_dropped(&["huaxin"]);
}

#[test]
fn what_is_rendered_ahead_gives_way_to_reading() {
    let site = Site::new();
    fs::create_dir_all(site.path("in")).expect("directory");
    let config = one_feed(&site, SOURCE, "grace = \"1d\"", "forever");
    let text = fs::read_to_string(&config).expect("configuration");
    let config = site.configure(&format!("reserve = \"0\"\n{text}"));
    many(&site, "in/1.log", 5000);
    let disk = small_disk(&site);
    disk.account().capacity = 64 << 20;
    let mut exporter = Exporter::open(load(&config, NOW), &world_on(&disk, standing()), None, false).expect("exporter");
    exporter.turn(u64::MAX).expect("a turn");
    let staged = || files_in(&site.path("archive/.stage")).into_values().map(|bytes| bytes.len()).sum::<usize>();
    assert!(staged() > 100_000, "the hour is rendered ahead");
    disk.account().fill();
    // Too little to be written to the draft: it is the spool that has no room.
    site.write("in/2.log", call_line(2, "b"));
    exporter.turn(u64::MAX).expect("a turn");
    assert!(disk.account().refused > 0 && staged() == 0, "it is thrown away");
    exporter.turn(u64::MAX).expect("a turn");
    assert_eq!(codes(&site), Vec::<String>::new(), "there is room again");
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let source = SourceId::parse("switch").expect("source");
    assert_eq!(ledger.source_row(&source).expect("row").expect("the source").records, 5001);
}

#[test]
fn uploads_get_the_reserve_when_nothing_is_to_be_read() {
    let site = Site::new();
    let config = configured(&site, "reserve = \"2MiB\"\nonce_deliver_for = \"1s\"");
    let drop_dir = site.drop_dir("huaxin");
    fs::remove_dir(&drop_dir).expect("the partner is away");
    site.write("in/1.log", call_line(1, "a"));
    let disk = small_disk(&site);
    disk.account().capacity = 8 << 20;
    let world = world_on(&disk, standing());
    let pass = || Exporter::open(load(&config, NOW), &world, None, true).expect("exporter").once().expect("a pass");
    assert_eq!(pass().exit_code(), 5);
    fs::create_dir(&drop_dir).expect("the partner is back");
    configured(&site, "reserve = \"2MiB\"");
    // Room for what opening and looking record, not for the delivery.
    disk.account().fill();
    disk.account().others -= 1 << 20;
    let exporter = Exporter::open(load(&config, NOW), &world, None, true).expect("exporter");
    disk.account().others += 1 << 20;
    let report = exporter.once().expect("a pass");
    assert_eq!(report.partners[0].1.fault, None, "{report:?}");
    assert_eq!(all_calls(&site), ["a"]);
}

/// Sources `one` and `two` with a feed each, and so much room in the spool.
fn two_feeds(site: &Site, spool_max: &str, keys: &str) -> PathBuf {
    let mut text = format!("state = \"state\"\narchive = \"archive\"\nspool_max = \"{spool_max}\"\n{keys}\n");
    for name in ["one", "two"] {
        fs::create_dir_all(site.path(&format!("in-{name}"))).expect("directory");
        text.push_str(&format!(
            "[source.{name}]\nfiles = \"in-{name}\"\nfinished = \"renamed\"\nformat = \"kamailio-acc-cdrs\"\n"
        ));
    }
    text.push_str(&format!("[partner.huaxin]\ndeliver = \"{}\"\n", site.drop_dir("huaxin").display()));
    for name in ["one", "two"] {
        text.push_str(&format!(
            "[partner.huaxin.feed.{name}]\nsource = \"{name}\"\nformat = \"huaxin-voice\"\nhour_by = \"start_time\"\n\
             starts_at = \"2024-11-03T02:00:00Z\"\nname = \"{name}_{{start:%Y%m%d%H}}_{{seq:05}}.dat\"\n"
        ));
    }
    site.configure(&text)
}

/// A file with so many records of the first hour; about 50 bytes each in the spool.
fn many(site: &Site, path: &str, calls: usize) {
    let at = FIRST_HOUR + 60;
    let name = path.replace('/', "-");
    let lines = (0..calls).map(|n| format!("{at}|{at}|1.5|1|2|TG|{name}{n}|a-name-that-is-rather-long\n"));
    site.write(path, lines.collect::<String>());
}

fn assert_each_once(site: &Site, calls: usize) {
    let mut found = all_calls(site);
    assert_eq!(found.len(), calls);
    found.dedup();
    assert_eq!(found.len(), calls, "none is there twice");
}

#[test]
fn once_that_cannot_read_everything_names_who_needs_the_spool() {
    let site = Site::new();
    let config = two_feeds(&site, "1MiB", "");
    for file in 0..4 {
        many(&site, &format!("in-one/{file}.log"), 10_000);
    }
    let report = once(&config, NOW);
    assert_eq!(report.exit_code(), 1, "{report:?}");
    assert!(report.unread.is_some_and(|bytes| bytes > 100_000), "{report:?}");
    let alarm = report.alarms.first().expect("an alarm");
    assert_eq!((alarm.subject.as_str(), alarm.code.as_str()), ("spool", "HD0302"));
    let expected = "nothing is read: the spool is full (spool_max); huaxin/one 2024-11-03 02:00-03:00 +00:00 needs the \
                    oldest of it and waits: source one has input that is not read yet";
    assert_eq!(alarm.message, expected);
    assert!(alarm.hint.contains("spool_max"));
    assert!(site.dropped("huaxin", ".dat").is_empty(), "no hour is sealed before its source was read");
    assert_eq!(once(&config, NOW).exit_code(), 1, "and again");
    two_feeds(&site, "64MiB", "");
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_each_once(&site, 40_000);
}

#[test]
fn a_bound_that_holds_nothing_is_refused() {
    let site = Site::new();
    let config = two_feeds(&site, "512KiB", "");
    let loaded = hourdrop::app::config::load(&config, time(NOW)).expect("readable");
    let found: Vec<_> = loaded.problems.iter().map(|problem| (problem.line(), problem.message.as_str())).collect();
    assert!(loaded.config.is_none() && found == [(3, "`spool_max` must be at least \"1MiB\"")], "{found:?}");
}

#[test]
fn once_seals_what_can_close_and_reads_on() {
    let site = Site::new();
    let config = two_feeds(&site, "1MiB", "");
    many(&site, "in-one/1.log", 9_000);
    many(&site, "in-two/1.log", 9_000);
    let report: OnceReport = once(&config, NOW);
    assert_eq!((report.exit_code(), report.unread), (0, None), "{report:?}");
    assert_eq!((report.read.records, report.read.inputs), (18_000, 2));
    assert_each_once(&site, 18_000);
    assert!(hourdrop::spool::usage::used_bytes(&RealDisk, &site.path("state/journal")).expect("used") < 1000);
}

#[test]
fn a_record_as_long_as_the_spool_that_nobody_takes_does_not_stop_it() {
    let site = Site::new();
    fs::create_dir_all(site.path("in")).expect("directory");
    let path = one_feed(&site, SOURCE, "where = 'trunk == \"TG\"'", "forever");
    let text = fs::read_to_string(&path).expect("configuration");
    let config = site.configure(&format!("spool_max = \"1MiB\"\n{text}"));
    let long = call_line(1, "a").replace("|TG|", "|OTHER|").replace("|x", &format!("|{}", "x".repeat((1 << 20) - 60)));
    site.write("in/1.log", long);
    site.write("in/2.log", call_line(2, "b"));
    let report = once(&config, NOW);
    assert_eq!((report.read.records, report.unread), (2, None), "{report:?}");
    assert_eq!(all_calls(&site), ["b"]);
}

#[test]
fn a_held_hour_that_fills_the_spool_is_named() {
    let site = Site::new();
    let config = two_feeds(&site, "1MiB", "");
    let bad: String = (0..500).map(|_| "not a call\n").collect();
    many(&site, "in-one/1.log", 9_000);
    let text = fs::read_to_string(site.path("in-one/1.log")).expect("read") + &bad;
    site.write("in-one/1.log", text);
    assert_eq!(once(&config, NOW).exit_code(), 4, "more than reject_max: held");
    many(&site, "in-two/1.log", 9_000);
    let report = once(&config, NOW);
    let alarm = report.alarms.iter().find(|alarm| alarm.code == "HD0302").expect("an alarm");
    assert_eq!(report.exit_code(), 1);
    assert!(
        alarm.message.contains("huaxin/one 2024-11-03 02:00-03:00 +00:00 needs the oldest of it and is held: 500 of")
    );
    assert!(alarm.hint.starts_with("release it"), "{alarm:?}");

    let mut exporter = Exporter::open(load(&config, NOW), &world(NOW), None, true).expect("exporter");
    let feed = load(&config, NOW).feeds().next().expect("a feed").id.clone();
    release(&mut exporter, &feed, Partition { start: FIRST_HOUR, end: FIRST_HOUR + 3600 });
    drop(exporter);
    assert_eq!(once(&config, NOW).unread, None, "it goes on");
    assert_each_once(&site, 18_000);
}

#[test]
fn run_reads_on_by_itself_when_sealing_has_made_room() {
    let site = Site::new();
    let config = two_feeds(&site, "1MiB", "");
    let clock = MovedClock::at("2024-11-03T02:30:00Z");
    let world = World::new(Arc::new(RealDisk), Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(Silent));
    many(&site, "in-one/1.log", 9_000);
    many(&site, "in-two/1.log", 9_000);
    let mut exporter = Exporter::open(load(&config, NOW), &world, None, false).expect("exporter");
    while exporter.turn(u64::MAX).expect("a turn") {}
    let standing = alarms(&site);
    assert_eq!(standing.len(), 1, "{standing:?}");
    assert!(standing[0].message.ends_with(
        "huaxin/one 2024-11-03 02:00-03:00 +00:00 needs the oldest of it and is open: its time is not over"
    ));
    assert!(!exporter.turn(u64::MAX).expect("a turn"), "it waits");

    clock.move_to("2024-11-03T03:00:01Z");
    while exporter.turn(u64::MAX).expect("a turn") {}
    while exporter.turn(u64::MAX).expect("a turn") {}
    assert_eq!(codes(&site), [""; 0]);
    drop(exporter);
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_each_once(&site, 18_000);
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests is to know what they did not show")]
/// What a shell script does in a mount namespace of its own, with a small file system on `small`.
fn on_a_small_file_system(site: &Site, script: &str) -> Option<String> {
    let small = site.path("small");
    fs::create_dir_all(&small).expect("directory");
    let mount = format!("mount -t tmpfs -o size=12m tmpfs '{}' || exit 99\n", small.display());
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &(mount + script)])
        .env("HOURDROP_TEST_CLOCK", NOW)
        .env("HOURDROP", env!("CARGO_BIN_EXE_hourdrop"))
        .current_dir(site.path(""))
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(99) && !output.stdout.is_empty() => output,
        refused => {
            eprintln!("NOT TESTED on a real full file system: mounting one is not permitted here ({refused:?})");
            return None;
        }
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_real_file_system_becomes_full_and_has_room_again() {
    let site = Site::new();
    let config = configured(&site, "reserve = \"1MiB\"\nspool_max = \"16MiB\"");
    let text = fs::read_to_string(&config).expect("configuration").replace("\"state\"", "\"small/state\"");
    site.configure(&text.replace("\"archive\"", "\"small/archive\"").replace("records_max = 4", ""));
    many(&site, "in/1.log", 9_000);
    site.write("more", call_line(62, "late"));
    // The second pass finds a full disk, the third has room for the ledger and the hour in hand, the last has room.
    let script = "
        $HOURDROP once; echo exit $?
        dd if=/dev/zero of=small/others bs=4096 2>/dev/null
        mv more in/2.log
        $HOURDROP once; echo exit $?
        $HOURDROP status | tail -1
        rm small/others
        $HOURDROP once; echo exit $?
        ls small/state
    ";
    let Some(said) = on_a_small_file_system(&site, script) else { return };
    let exits: Vec<&str> = said.lines().filter(|line| line.starts_with("exit ")).collect();
    assert_eq!(exits, ["exit 0", "exit 1", "exit 0"], "{said}");
    assert!(said.contains("HD0301") && said.contains("of input are not read"), "{said}");
    assert!(said.contains("RESERVE"), "{said}");
    assert_each_once(&site, 9_001);
}
