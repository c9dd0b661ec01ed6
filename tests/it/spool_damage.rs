//! Damage in the spool: it is named, nothing is skipped in silence, and everything that it does not touch goes on.

mod recovered;

use crate::drafts::WITHOUT_DRAFTS;
use crate::site::{FIRST_HOUR, MovedClock, Site, load, release, time};
use crate::stopping_disk::StoppingDisk;
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::fault::ExporterFault;
use hourdrop::app::journal::{self, Journal, Wanted};
use hourdrop::app::progress::Silent;
use hourdrop::disk::RealDisk;
use hourdrop::domain::ids::FeedId;
use hourdrop::domain::period::Partition;
use hourdrop::ledger::Ledger;
use hourdrop::spool::survey::FoundSegment;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

const NOW: &str = "2024-11-03T12:00:00Z";
const HOURS: i64 = 4;

struct Damaged {
    site: Site,
    config: PathBuf,
    /// The calls in each frame, before anything was damaged.
    calls: BTreeMap<u64, Vec<String>>,
}

fn world(clock: &Arc<MovedClock>) -> World {
    let mut world = World::new(Arc::new(RealDisk), Arc::clone(clock) as _, Arc::new(Silent));
    world.limits.segment_bytes_max = 600;
    world
}

/// Two sources with a feed each, for four hours; nothing is sealed yet.
fn accepted() -> (Damaged, Arc<MovedClock>, Exporter) {
    let site = Site::new();
    let mut text = "state = \"state\"\narchive = \"archive\"\n".to_owned();
    for (source, partner) in [("a", "huaxin"), ("b", "meridian")] {
        text.push_str(&format!(
            r#"
[source.{source}]
files    = "in-{source}"
finished = "renamed"
format   = "kamailio-acc-cdrs"
[partner.{partner}]
deliver = "{drop}"
[partner.{partner}.feed.voice]
source    = "{source}"
format    = "huaxin-voice"
hour_by   = "start_time"
starts_at = "2024-11-03T02:00:00Z"
ahead_max = "1d"
name      = "X_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
manifest  = {{ name = "X_{{start:%Y%m%d%H}}_{{revision:02}}.json" }}
"#,
            drop = site.drop_dir(partner).display()
        ));
        for hour in 0..HOURS {
            let line = |minute| crate::site::call_line(hour * 60 + minute, &format!("{source}{hour}-{minute}"));
            site.write(&format!("in-{source}/{hour}-1.log"), [1, 2, 3].map(line).concat());
            site.write(&format!("in-{source}/{hour}-2.log"), [31, 32].map(line).concat());
        }
    }
    let config = site.configure(&text);
    let clock = Arc::new(MovedClock::at(FIRST_HOUR + 600));
    let mut exporter = Exporter::open(load(&config, NOW), &world(&clock), None, true).expect("an exporter");
    while exporter.turn(u64::MAX).expect("a turn") {}
    let damaged = Damaged { site, config, calls: BTreeMap::new() };
    let calls = damaged.readable(&Wanted::default());
    assert_eq!(calls.values().flatten().count(), 40);
    (Damaged { calls, ..damaged }, clock, exporter)
}

impl Damaged {
    fn new() -> Self {
        accepted().0
    }

    /// The calls that can be exported, by frame.
    fn readable(&self, wanted: &Wanted) -> BTreeMap<u64, Vec<String>> {
        let config = load(&self.config, NOW);
        let journal = Journal::open(&RealDisk, &config).expect("a journal");
        let mut calls: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let wanted = Wanted { content: true, ..wanted.clone() };
        journal::export(&journal, &wanted, &mut |line| {
            let call = line["fields"]["call_id"].as_str().expect("a call").to_owned();
            calls.entry(line["lsn"].as_u64().expect("a number")).or_default().push(call);
        })
        .expect("an export");
        calls
    }

    fn segments(&self) -> Vec<FoundSegment> {
        let store = fs::read_to_string(self.site.path("state/STORE_ID")).expect("identity");
        let byte = |index: usize| u8::from_str_radix(&store[index * 2..index * 2 + 2], 16).expect("hex");
        let store = hourdrop::spool::StoreId(std::array::from_fn(byte));
        let known = hourdrop::spool::survey::Known { freed: lsn(1), durable: lsn(0) };
        let dir = self.site.path("state/journal");
        hourdrop::spool::survey::survey(&RealDisk, &dir, store, known, &mut |_| {}).expect("a survey").segments
    }

    /// Changes a byte of a frame, counted from its beginning, or from its end when negative.
    fn break_frame(&self, number: u64, at: i64) {
        for segment in self.segments() {
            if let Some(frame) = segment.frames.iter().find(|frame| frame.lsn == lsn(number)) {
                let mut bytes = fs::read(&segment.path).expect("segment");
                let begin = i64::try_from(if at < 0 { frame.offset + frame.bytes } else { frame.offset });
                bytes[usize::try_from(begin.expect("small") + at).expect("inside")] ^= 0x10;
                return fs::write(&segment.path, bytes).expect("damage");
            }
        }
        panic!("no frame {number}");
    }

    fn hourdrop(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_hourdrop"))
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .env("HOURDROP_TEST_CLOCK", NOW)
            .output()
            .expect("the program runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), text)
    }

    fn open(&self) -> Result<Exporter, ExporterFault> {
        // The clock was not set since: the machine was started anew.
        let clock = Arc::new(MovedClock::at(time(NOW).seconds()));
        clock.restart_machine(0);
        Exporter::open(load(&self.config, NOW), &world(&clock), None, true)
    }

    fn once(&self) -> OnceReport {
        self.open().expect("an exporter").once().expect("a pass")
    }

    /// All delivered calls in the order of partners, names and lines.
    fn delivered(&self) -> Vec<String> {
        let files = self.site.everything_dropped().into_iter().filter(|(name, _)| name.ends_with(".dat"));
        let ids = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let records = text.lines().filter(|line| !line.starts_with(['H', 'T']));
            records.filter_map(|line| line.split('|').nth(6).map(str::to_owned)).collect::<Vec<_>>()
        };
        files.flat_map(|(_, bytes)| ids(bytes)).collect()
    }

    fn assert_delivered(&self, but: &BTreeSet<String>) {
        let delivered = self.delivered();
        let each: BTreeSet<String> = delivered.iter().cloned().collect();
        assert_eq!(each.len(), delivered.len(), "each once");
        let expected: BTreeSet<String> = self.calls.values().flatten().filter(|c| !but.contains(*c)).cloned().collect();
        assert_eq!(each, expected);
    }

    /// Sums over all hours of both feeds: received, sent, lost, pending.
    fn balance(&self) -> [u64; 4] {
        let database = rusqlite::Connection::open(self.site.path("state/ledger.db")).expect("database");
        let query = "SELECT sum(received), sum(sent), sum(lost), sum(pending) FROM v_hours";
        database
            .query_row(query, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
            .map(|sums: [i64; 4]| sums.map(|sum| u64::try_from(sum).expect("not negative")))
            .expect("sums")
    }
}

fn lsn(number: u64) -> hourdrop::domain::ids::Lsn {
    hourdrop::domain::ids::Lsn(number)
}

/// The hour of a call `a2-31`: its partner's feed, and its number.
fn hour_of(call: &str) -> (FeedId, i64) {
    let partner = if call.starts_with('a') { "huaxin" } else { "meridian" };
    let feed = FeedId::parse(&format!("{partner}/voice")).expect("a feed");
    (feed, call[1..2].parse::<i64>().expect("a number"))
}

/// From the refused start to the released hours. `gone`: the frames that are lost.
fn the_rest_goes_on(damaged: &Damaged, gone: &BTreeSet<u64>, said: &str) {
    let lost: BTreeSet<String> =
        damaged.calls.iter().filter(|(lsn, _)| gone.contains(lsn)).flat_map(|(_, calls)| calls).cloned().collect();
    let touched: BTreeSet<(FeedId, i64)> = lost.iter().map(|call| hour_of(call)).collect();
    let is_touched = |call: &&String| touched.contains(&hour_of(call));
    let held: BTreeSet<String> = damaged.calls.values().flatten().filter(is_touched).cloned().collect();

    // The start is refused, and leads to the check.
    let (code, text) = damaged.hourdrop(&["once"]);
    assert!(code == Some(1) && text.contains("spool check") && text.contains("spool salvage"), "{text}");
    // Whoever asks later hears of it, too.
    let (code, text) = damaged.hourdrop(&["status"]);
    assert!(
        code == Some(4) && text.contains("HD0101 the spool is damaged") && text.contains("spool salvage"),
        "{text}"
    );
    let (code, text) = damaged.hourdrop(&["spool", "check", "--utc"]);
    assert!(code == Some(4) && text.contains("DAMAGED") && text.contains(".seg, byte "), "{text}");
    assert!(text.contains(said), "{said}: {text}");
    let number = |(feed, hour): &(FeedId, i64)| {
        let begins = format!("{:02}:00", hour + 2);
        let missing = lost.iter().filter(|call| hour_of(call) == (feed.clone(), *hour)).count();
        (feed.to_string(), begins, format!(": {missing} of 5 records"))
    };
    for (feed, begins, records) in touched.iter().map(number) {
        let named = |line: &str| line.contains(&feed) && line.contains(&begins) && line.contains(&records);
        assert!(text.lines().any(|line| line.starts_with("MISSING") && named(line)), "{feed} {begins}: {text}");
    }
    assert_eq!(text.matches("MISSING").count(), touched.len(), "{text}");

    // Everything that is good can be read.
    let good: BTreeMap<u64, Vec<String>> =
        damaged.calls.iter().filter(|(lsn, _)| !gone.contains(lsn)).map(|(l, c)| (*l, c.clone())).collect();
    assert_eq!(damaged.readable(&Wanted::default()), good);

    let (code, text) = damaged.hourdrop(&["spool", "salvage", "--reason", "the disk was replaced"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = damaged.hourdrop(&["spool", "check"]);
    assert_eq!(code, Some(if touched.is_empty() { 0 } else { 4 }), "{text}");
    assert!(!text.contains("DAMAGED"), "{text}");

    // All other hours are delivered, these are held.
    let report = damaged.once();
    assert_eq!(report.exit_code(), if touched.is_empty() { 0 } else { 4 }, "{report:?}");
    let found: BTreeSet<(FeedId, i64)> =
        report.held.iter().map(|(feed, hour, _)| (feed.clone(), (hour.start - FIRST_HOUR) / 3600)).collect();
    assert_eq!(found, touched, "{report:?}");
    for (_, _, reason) in &report.held {
        assert!(reason.contains("of 5 records were lost with damaged frame"), "{reason}");
    }
    assert_eq!(report.alarms.iter().any(|alarm| alarm.code == "HD0502"), !touched.is_empty());
    damaged.assert_delivered(&held);

    // A person lets them go on.
    for (feed, hour) in &touched {
        let mut exporter = damaged.open().expect("an exporter");
        release(&mut exporter, feed, nth_hour(*hour));
    }
    let report = damaged.once();
    assert_eq!((report.exit_code(), damaged.once().exit_code()), (0, 0), "{report:?}");
    damaged.assert_delivered(&lost);
    let lost_count = lost.len() as u64;
    assert_eq!(damaged.balance(), [40, 40 - lost_count, lost_count, 0]);
    let stated: u64 = damaged
        .site
        .everything_dropped()
        .iter()
        .filter(|(name, _)| name.ends_with(".json"))
        .filter_map(|(_, bytes)| {
            serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON")["counts"]["lost"].as_u64()
        })
        .sum();
    assert_eq!(stated, lost_count, "the manifests say it");
    let ledger = Ledger::open_read_only(&damaged.site.path("state/ledger.db")).expect("ledger");
    let facts = ledger.facts_about("spool").expect("facts");
    assert!(facts.iter().any(|fact| fact.kind == "salvaged" && fact.detail.contains("the disk was replaced")));
}

fn frames_of(segment: &FoundSegment) -> BTreeSet<u64> {
    segment.frames.iter().map(|frame| frame.lsn.0).collect()
}

/// The hour so many hours behind the first.
fn nth_hour(index: i64) -> Partition {
    let start = FIRST_HOUR + index * 3600;
    Partition { start, end: start + 3600 }
}

#[test]
fn a_damaged_frame_costs_its_records_and_nothing_else() {
    let frames = Damaged::new().segments().iter().map(|segment| segment.frames.len() as u64).sum::<u64>();
    // Beginning, length, number, what was durable, checksum before, kind, content, checksum; first, middle and last frame.
    let places = [(1, 0), (3, 5), (frames / 2, 9), (5, 17), (7, 25), (9, 28), (frames / 2, 40), (frames, -1)];
    for (frame, at) in places {
        let damaged = Damaged::new();
        damaged.break_frame(frame, at);
        the_rest_goes_on(&damaged, &BTreeSet::from([frame]), "DAMAGED");
    }
}

#[test]
fn several_damaged_frames_in_several_segments() {
    let damaged = Damaged::new();
    for frame in [2, 3, 4, 11, 19, 20] {
        damaged.break_frame(frame, 33);
    }
    the_rest_goes_on(&damaged, &BTreeSet::from([2, 3, 4, 11, 19, 20]), "frames 3 to 4 are lost");
}

#[test]
fn a_damaged_segment_header_costs_nothing() {
    let damaged = Damaged::new();
    let segment = damaged.segments().swap_remove(2);
    let mut bytes = fs::read(&segment.path).expect("segment");
    bytes[10] ^= 1;
    fs::write(&segment.path, bytes).expect("damage");
    the_rest_goes_on(&damaged, &BTreeSet::new(), "the segment header is not readable; no frame is lost");
}

#[test]
fn missing_segments_cost_what_lay_in_them() {
    let count = Damaged::new().segments().len();
    for index in [0, 2, count - 1] {
        let damaged = Damaged::new();
        let segment = damaged.segments().swap_remove(index);
        fs::remove_file(&segment.path).expect("remove");
        the_rest_goes_on(&damaged, &frames_of(&segment), "lost");
    }
}

#[test]
fn an_hour_of_which_nothing_is_left_is_held_too_and_never_stated_as_empty() {
    let damaged = Damaged::new();
    let gone: BTreeSet<u64> = damaged.calls.iter().filter(|(_, c)| c[0].starts_with("a3")).map(|(l, _)| *l).collect();
    assert_eq!(gone.len(), 2);
    for frame in &gone {
        damaged.break_frame(*frame, 50);
    }
    the_rest_goes_on(&damaged, &gone, "MISSING");
}

#[test]
fn records_sent_again_fill_a_held_hour() {
    let damaged = Damaged::new();
    let (frame, calls) = damaged.calls.iter().find(|(_, calls)| calls[0] == "a1-1").expect("a frame");
    damaged.break_frame(*frame, 60);
    assert_eq!(damaged.hourdrop(&["spool", "salvage", "--reason", "a bad cable"]).0, Some(0));
    assert_eq!(damaged.once().held.len(), 1);
    let line = |minute: i64| crate::site::call_line(60 + minute, &format!("a1-{minute}"));
    damaged.site.write("in-a/1-1-again.log", [1, 2, 3].map(line).concat() + &line(4));
    damaged.once();
    let feed = FeedId::parse("huaxin/voice").expect("a feed");
    release(&mut damaged.open().expect("an exporter"), &feed, nth_hour(1));
    assert_eq!(damaged.once().exit_code(), 0);
    let delivered = damaged.delivered();
    assert!(calls.iter().all(|call| delivered.iter().filter(|id| *id == call).count() == 1), "{delivered:?}");
    assert_eq!(damaged.balance(), [44, 41, 3, 0], "the first copies stay lost");
}

#[test]
fn freed_segments_are_not_missed_and_kept_ones_are() {
    let (damaged, clock, mut exporter) = accepted();
    clock.pass(2 * 3600);
    while exporter.turn(u64::MAX).expect("a turn") {}
    drop(exporter);
    let segments = damaged.segments();
    assert!(segments[0].first > lsn(1), "the first two hours are sealed and freed");
    assert_eq!(damaged.hourdrop(&["spool", "check"]).0, Some(0));
    fs::remove_file(&segments[0].path).expect("remove");
    let Err(fault) = damaged.open() else { panic!("the oldest segment is missing") };
    assert!(journal::is_damage(&fault), "{fault}");
    assert!(damaged.hourdrop(&["spool", "check"]).1.contains("the segment file is missing"));
    assert_eq!(damaged.hourdrop(&["spool", "salvage", "--reason", "removed by hand"]).0, Some(0));
    let lost: BTreeSet<u64> = frames_of(&segments[0]);
    let lost: Vec<&String> = damaged.calls.iter().filter(|(l, _)| lost.contains(l)).flat_map(|(_, c)| c).collect();
    assert_eq!(damaged.once().held.is_empty(), lost.is_empty());
}

/// The same, started again on a disk that has no room for drafts: nothing of it is rendered yet.
fn accepted_and_not_rendered() -> (Damaged, Arc<MovedClock>, Exporter) {
    let (damaged, clock, exporter) = accepted();
    drop(exporter);
    let world = World { disk: Arc::new(WITHOUT_DRAFTS), ..world(&clock) };
    let exporter = Exporter::open(load(&damaged.config, NOW), &world, None, true).expect("an exporter");
    (damaged, clock, exporter)
}

/// The file that holds a frame ends in the middle of it.
fn cut_within(damaged: &Damaged, number: u64) {
    let segments = damaged.segments();
    let holds = |segment: &&FoundSegment| segment.frames.iter().any(|frame| frame.lsn == lsn(number));
    let segment = segments.iter().find(holds).expect("a segment");
    let frame = segment.frames.iter().find(|frame| frame.lsn == lsn(number)).expect("a frame");
    let file = fs::OpenOptions::new().write(true).open(&segment.path).expect("segment");
    file.set_len(frame.offset + 40).expect("cut");
}

#[test]
fn a_file_that_ends_early_while_the_program_runs_costs_what_lay_behind() {
    let (damaged, clock, mut exporter) = accepted_and_not_rendered();
    let (frame, _) = damaged.calls.iter().find(|(_, calls)| calls[0] == "a1-1").expect("a frame");
    cut_within(&damaged, *frame);
    clock.pass(9 * 3600);
    while exporter.turn(u64::MAX).expect("a turn") {}
    drop(exporter);
    let ledger = Ledger::open_read_only(&damaged.site.path("state/ledger.db")).expect("ledger");
    let held = ledger.held().expect("held");
    assert!(held.iter().any(|(_, hour, _)| hour.start == FIRST_HOUR + 3600), "{held:?}");
    assert!(held.len() < 4 && held.iter().all(|(.., why)| why.contains("the file ends within it")), "{held:?}");
}

#[test]
fn a_frame_that_goes_bad_when_its_records_are_rendered_already_costs_nothing() {
    let (damaged, clock, mut exporter) = accepted();
    let (frame, _) = damaged.calls.iter().find(|(_, calls)| calls[0] == "a1-31").expect("a frame");
    damaged.break_frame(*frame, 70);
    clock.pass(9 * 3600);
    while exporter.turn(u64::MAX).expect("a turn") {}
    drop(exporter);
    let ledger = Ledger::open_read_only(&damaged.site.path("state/ledger.db")).expect("ledger");
    assert_eq!(ledger.held().expect("held"), []);
    let sealed = ledger.batch_rows(&FeedId::parse("huaxin/voice").expect("a feed")).expect("batches");
    assert_eq!(sealed.iter().map(|batch| batch.records).sum::<u64>(), 20);
}

#[test]
fn a_frame_that_goes_bad_while_the_program_runs_holds_its_hours_and_the_others_go_on() {
    let (damaged, clock, mut exporter) = accepted_and_not_rendered();
    let (frame, calls) = damaged.calls.iter().find(|(_, calls)| calls[0] == "a1-31").expect("a frame");
    damaged.break_frame(*frame, 70);
    clock.pass(9 * 3600);
    while exporter.turn(u64::MAX).expect("a turn") {}
    drop(exporter);
    let ledger = Ledger::open_read_only(&damaged.site.path("state/ledger.db")).expect("ledger");
    let held = ledger.held().expect("held");
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!((held[0].0.to_string().as_str(), held[0].1.start), ("huaxin/voice", FIRST_HOUR + 3600));
    assert!(held[0].2.contains(".seg is damaged at byte") && held[0].2.contains(&format!("lsn {frame}")), "{held:?}");
    let sealed = ledger.batch_rows(&FeedId::parse("huaxin/voice").expect("a feed")).expect("batches");
    let sent: u64 = sealed.iter().map(|batch| batch.records).sum();
    assert_eq!(sent, 15, "the other three hours of the same feed are sealed");
    drop(ledger);
    assert_eq!(damaged.hourdrop(&["spool", "salvage", "--reason", "a bad disk"]).0, Some(0));
    let feed = FeedId::parse("huaxin/voice").expect("a feed");
    release(&mut damaged.open().expect("an exporter"), &feed, nth_hour(1));
    assert_eq!(damaged.once().exit_code(), 0);
    damaged.assert_delivered(&calls.iter().cloned().collect());
}

/// The program stopped as soon as a plan was recorded, and `holds`.
fn stopped_with_a_plan(holds: fn(&Damaged) -> bool) -> Damaged {
    let planned = |damaged: &Damaged| {
        let ledger = Ledger::open_read_only(&damaged.site.path("state/ledger.db")).expect("ledger");
        !ledger.unfinished_plans().expect("plans").is_empty() && holds(damaged)
    };
    let stopped = (0..).find_map(|stop_at| {
        let damaged = Damaged::new();
        let clock = Arc::new(MovedClock::at(time(NOW).seconds()));
        clock.restart_machine(0);
        let world = World { disk: Arc::new(StoppingDisk::new(stop_at)), ..world(&clock) };
        let done = Exporter::open(load(&damaged.config, NOW), &world, None, true).and_then(Exporter::once);
        assert!(done.is_err(), "no plan was left unfinished");
        planned(&damaged).then_some(damaged)
    });
    stopped.expect("a plan")
}

#[test]
fn a_plan_whose_records_are_lost_is_given_up_and_everything_else_goes_on() {
    let damaged = stopped_with_a_plan(|_| true);
    let (frame, lost) = damaged.calls.iter().find(|(_, calls)| calls[0] == "a1-1").expect("a frame");
    damaged.break_frame(*frame, 60);
    assert_eq!(damaged.hourdrop(&["spool", "salvage", "--reason", "a bad disk"]).0, Some(0));
    let report = damaged.once();
    let [(feed, hour, reason)] = report.held.as_slice() else { panic!("one hour: {report:?}") };
    assert_eq!((feed.to_string().as_str(), *hour, report.exit_code()), ("huaxin/voice", nth_hour(1), 4));
    assert!(reason.starts_with("planned with 5 records, 2 are left after the loss of damaged frame"), "{reason}");
    let of_hour = damaged.calls.values().flatten().filter(|call| call.starts_with("a1"));
    damaged.assert_delivered(&of_hour.cloned().collect());

    release(&mut damaged.open().expect("an exporter"), feed, *hour);
    assert_eq!((damaged.once().exit_code(), damaged.once().exit_code()), (0, 0));
    damaged.assert_delivered(&lost.iter().cloned().collect());
    assert_eq!(damaged.balance(), [40, 37, 3, 0]);
    let dropped = damaged.site.everything_dropped();
    let (name, manifest) = dropped.iter().find(|(name, _)| name.ends_with("2024110303_01.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(manifest).expect("JSON");
    assert_eq!(manifest["voided_sequences"], serde_json::json!([2]), "{name} states what was given up: {manifest}");
    assert!(dropped.keys().any(|name| name.ends_with("2024110303_00005.dat")), "{:?}", dropped.keys());
}

/// A part file of a plan that is given up may be the only copy of what was lost, and must never be sent by its old name.
#[test]
fn part_files_of_a_plan_that_is_given_up_are_set_aside() {
    const PART: &str = "archive/huaxin/voice/2024/11/03/03/X_2024110303_00002.dat";
    let damaged = stopped_with_a_plan(|damaged| damaged.site.path(PART).exists());
    let (frame, lost) = damaged.calls.iter().find(|(_, calls)| calls[0] == "a1-1").expect("a frame");
    damaged.break_frame(*frame, 60);
    assert_eq!(damaged.hourdrop(&["spool", "salvage", "--reason", "a bad disk"]).0, Some(0));
    let report = damaged.once();
    assert!(report.held[0].2.contains("with all their records lie beside"), "{report:?}");
    assert!(report.alarms.iter().any(|alarm| alarm.code == "HD0703"), "{report:?}");
    let aside = crate::site::files_in(&damaged.site.path("archive/.aside"));
    let kept = String::from_utf8_lossy(&aside["huaxin_voice_2024_11_03_03_X_2024110303_00002.dat"]).into_owned();
    assert!(lost.iter().all(|call| kept.contains(call.as_str())), "{kept}");
    release(&mut damaged.open().expect("an exporter"), &report.held[0].0, nth_hour(1));
    damaged.once();
    fs::remove_file(damaged.site.path("state/ledger.db")).expect("the ledger is lost");
    let (code, text) = damaged.hourdrop(&["recover", "--reason", "the ledger was lost"]);
    assert_eq!(code, Some(0), "{text}");
    let report = damaged.once();
    assert!(report.held.is_empty() && report.partners.iter().all(|(_, outcome)| outcome.left == 0), "{report:?}");
    damaged.assert_delivered(&lost.iter().cloned().collect());
}

#[test]
fn an_hour_with_another_number_of_records_than_was_counted_is_held_with_both_numbers() {
    for (change, said) in
        [("+ 2", "7 records were counted when they came, and the spool gives 5"), ("- 1", "4 records")]
    {
        let damaged = Damaged::new();
        let database = rusqlite::Connection::open(damaged.site.path("state/ledger.db")).expect("database");
        hourdrop::ledger::checked_rows::teach(&database).expect("functions");
        let update =
            format!("UPDATE hour SET received = received {change} WHERE feed = 'huaxin/voice' AND start_second = ?1");
        assert_eq!(database.execute(&update, [FIRST_HOUR + 3600]).expect("update"), 1);
        drop(database);
        let report = damaged.once();
        assert_eq!((report.held.len(), report.exit_code()), (1, 4), "{report:?}");
        assert!(report.held[0].2.contains(said), "{report:?}");
        let but: BTreeSet<String> = damaged.calls.values().flatten().filter(|c| c.starts_with("a1")).cloned().collect();
        damaged.assert_delivered(&but);
    }
}

#[test]
fn the_spool_is_listed_and_checked_beside_a_running_instance() {
    let (damaged, _clock, exporter) = accepted();
    let (code, text) = damaged.hourdrop(&["spool", "list", "--utc"]);
    assert_eq!(code, Some(0), "{text}");
    for said in ["WAITS FOR FEED", "huaxin/voice", "2024-11-03 05:00-06:00 Z", "RECORDS", ".seg"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let (code, text) = damaged.hourdrop(&["spool", "check"]);
    assert!(code == Some(0) && text.contains("with 40 records"), "{text}");
    let (code, text) = damaged.hourdrop(&["spool", "salvage", "--reason", "why not"]);
    assert_eq!(code, Some(75), "{text}");
    drop(exporter);
    let (code, text) = damaged.hourdrop(&["spool", "salvage", "--reason", "why not"]);
    assert!(code == Some(0) && text.contains("nothing to do"), "{text}");
}

#[test]
fn records_are_exported_without_their_content_unless_it_is_asked_for() {
    let damaged = Damaged::new();
    damaged.break_frame(1, 40);
    let out = damaged.site.path("rescued");
    let directory = out.display().to_string();
    let export = |more: &[&str]| damaged.hourdrop(&[&["spool", "export"], more].concat());
    let (code, text) = export(&["--out", &directory, "--feed", "huaxin"]);
    assert!(code == Some(4) && text.contains("17 records exported"), "{text}");
    let written = fs::read_to_string(out.join("records.jsonl")).expect("the export");
    assert_eq!(written.lines().count(), 17);
    assert!(!written.contains("a1-1") && written.contains("\"state\":\"waits\""), "{written}");
    let (code, text) = export(&["--out", &directory]);
    assert!(code == Some(1) && text.contains("cannot write"), "nothing is replaced: {text}");
    let (_, text) = export(&["--out", "-", "--source", "b", "--content", "--lsn", "..99"]);
    assert!(text.contains("\"call_id\":\"b1-31\"") && !text.contains("a1-31"), "{text}");
    let (code, text) = export(&["--out", "-", "--lsn", "x"]);
    assert!(code == Some(2) && text.contains("no range"), "{text}");
}
