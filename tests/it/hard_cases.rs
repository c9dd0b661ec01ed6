//! Cases that are rare and cost money when they go wrong: changed definitions, equal files, late records, crashes.

use crate::site::{FIRST_HOUR, Site, call_line, delivered_calls, once, one_feed, open, release};
use std::fs;
use std::path::PathBuf;

const NOW: &str = "2024-11-03T12:00:00Z";
/// `source` and `feed` are more keys of the source and the feed.
fn configured(site: &Site, source: &str, feed: &str) -> PathBuf {
    one_feed(site, &format!("files = \"in\"\nfinished = \"renamed\"\n{source}"), feed, "forever")
}

/// The call ids in the partner's directory, in the order of file names and lines.
fn delivered(site: &Site) -> Vec<String> {
    delivered_calls(site).into_iter().flat_map(|(_, ids)| ids).collect()
}

#[test]
fn two_files_of_equal_content_in_one_pass_are_known_as_such() {
    let site = Site::new();
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b"));
    site.write("in/copy.log", call_line(1, "a") + &call_line(2, "b"));
    let config = configured(&site, "", "");
    let report = once(&config, NOW);
    assert_eq!((report.read.records, report.exit_code()), (2, 4), "{report:?}");
    assert_eq!(report.alarms[0].code, "HD0402");
}

#[test]
fn a_file_that_grows_while_it_is_read_gives_no_half_record() {
    let site = Site::new();
    let config = configured(&site, "", "");
    site.write("in/1.log", call_line(1, "a"));
    site.write("in/2.log", call_line(2, "b"));
    let mut exporter = open(&config, NOW);
    exporter.turn(1).expect("a turn: the second file was seen and is not read yet");
    let whole = call_line(2, "b") + &call_line(3, "c") + &call_line(4, "d");
    site.write("in/2.log", whole.trim_end().trim_end_matches("|x"));
    for _ in 0..3 {
        exporter.turn(1).expect("a turn");
    }
    site.write("in/2.log", whole);
    while exporter.turn(u64::MAX).expect("a turn") {}
    drop(exporter);
    let report = once(&config, NOW);
    assert_eq!((report.exit_code(), delivered(&site).join("")), (0, "abcd".to_owned()), "{report:?}");
}

/// Renames the field `trunk` in the source's and in the partner's format; the feed filters by it.
fn rename_a_field(site: &Site) {
    for (format, old, new) in
        [("kamailio-acc-cdrs", "name = \"trunk\",", "name = \"route\","), ("huaxin-voice", "\"trunk\"", "\"route\"")]
    {
        let path = site.path(&format!("formats/{format}.toml"));
        let text = fs::read_to_string(&path).expect("format");
        assert!(text.contains(old));
        fs::write(&path, text.replace(old, new)).expect("format");
    }
    configured(site, "", "where = 'route == \"TG\"'");
}

#[test]
fn a_field_may_be_renamed_in_source_and_feed_while_the_spool_holds_records_of_before() {
    let site = Site::new();
    let config = configured(&site, "", "");
    site.write("in/1.log", call_line(1, "a"));
    assert_eq!(once(&config, "2024-11-03T02:30:00Z").read.records, 1);
    rename_a_field(&site);
    once(&config, "2024-11-03T02:45:00Z");
    site.write("in/2.log", call_line(130, "b"));
    let report = once(&config, NOW);
    assert_eq!((report.exit_code(), delivered(&site)), (0, vec!["a".to_owned(), "b".to_owned()]), "{report:?}");
    site.write("in/3.log", call_line(190, "c"));
    assert_eq!(once(&config, NOW).exit_code(), 0, "and it starts again");
}

#[test]
fn the_time_field_may_be_renamed_while_a_feed_has_nothing_and_the_spool_holds_records_of_before() {
    let site = Site::new();
    let config = configured(&site, "", "where = 'trunk == \"none\"'");
    site.write("in/1.log", call_line(1, "a"));
    assert_eq!(once(&config, "2024-11-03T02:30:00Z").read.records, 1);
    for format in ["kamailio-acc-cdrs", "huaxin-voice"] {
        let path = site.path(&format!("formats/{format}.toml"));
        let text = fs::read_to_string(&path).expect("format");
        assert!(text.contains("\"start_time\","));
        fs::write(&path, text.replace("\"start_time\",", "\"began\",")).expect("format");
    }
    configured(&site, "", "");
    let text = fs::read_to_string(&config).expect("configuration");
    fs::write(&config, text.replace("\"start_time\"", "\"began\"")).expect("configuration");
    for now in ["2024-11-03T02:40:00Z", "2024-11-03T02:41:00Z"] {
        assert_eq!(once(&config, now).exit_code(), 0, "and it starts again");
    }
    site.write("in/2.log", call_line(2, "b"));
    for _ in 0..2 {
        let report = once(&config, NOW);
        assert_eq!((report.exit_code(), delivered(&site).join("")), (0, "b".to_owned()), "{report:?}");
    }
    let ledger = hourdrop::ledger::Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let feed = hourdrop::domain::ids::FeedId::parse("huaxin/voice").expect("a feed");
    let counts = ledger.hour_counts(&feed, FIRST_HOUR).expect("counts");
    assert_eq!((counts.received, counts.filtered, counts.quarantined), (2, 1, 0));
}

#[test]
fn an_hour_whose_definition_does_not_fit_its_records_is_held_and_the_others_go_on() {
    let site = Site::new();
    let config = configured(&site, "", "");
    site.write("in/1.log", call_line(1, "a"));
    assert_eq!(once(&config, "2024-11-03T02:30:00Z").read.records, 1);
    rename_a_field(&site);
    // This hour had begun when the definition changed: it is rendered as it was, from fields that are gone.
    site.write("in/2.log", call_line(10, "b"));
    once(&config, "2024-11-03T02:40:00Z");
    site.write("in/3.log", call_line(130, "c"));
    let report = once(&config, NOW);
    assert_eq!((report.exit_code(), delivered(&site)), (4, vec!["c".to_owned()]), "{report:?}");
    assert!(report.sealed.held[0].2.contains("trunk"), "{report:?}");
}

#[test]
fn a_counter_at_its_end_holds_the_hour_and_a_released_supplement_has_only_its_own_records() {
    let site = Site::new();
    let config = configured(&site, "", "sequence = { last = 1 }");
    site.write("in/1.log", call_line(1, "a"));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    site.write("in/2.log", call_line(2, "b"));
    let report = once(&config, NOW);
    let held = report.sealed.held.first().expect("a held supplement").clone();
    assert!(held.2.contains("`last` number"), "{held:?}");
    configured(&site, "", "sequence = { last = 99999 }");
    release(&mut open(&config, NOW), &held.0, held.1);
    let report = once(&config, NOW);
    assert_eq!((report.exit_code(), delivered(&site).join("")), (0, "ab".to_owned()), "{report:?}");
    let names: Vec<String> = site.dropped("huaxin", ".dat").into_keys().collect();
    assert_eq!(names, ["HX_2024110302_00001.dat", "HX_2024110302_00002.dat"]);
}

#[test]
fn batches_are_delivered_in_the_order_of_their_numbers_when_an_hour_was_held() {
    let site = Site::new();
    let config = configured(&site, "", "");
    let meridian = fs::read_to_string(site.path("formats/meridian-fixed.toml")).expect("format");
    site.write("formats/huaxin-voice.toml", meridian);
    let long = format!("|{}|2|", "9".repeat(30));
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b").replace("|1|2|", &long) + &call_line(70, "c"));
    let mut exporter = open(&config, NOW);
    while exporter.turn(u64::MAX).expect("a turn") {}
    let feed = hourdrop::domain::ids::FeedId::parse("huaxin/voice").expect("a feed");
    release(&mut exporter, &feed, hourdrop::domain::period::Partition { start: FIRST_HOUR, end: FIRST_HOUR + 3600 });
    exporter.turn(u64::MAX).expect("a turn");
    let ledger = hourdrop::ledger::Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let batches = ledger.batches_to_send(&feed, 64).expect("batches");
    let names = batches.iter().filter_map(|batch| batch.files.iter().find(|file| file.part.0 > 0));
    let names: Vec<&str> = names.map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["HX_2024110303_00001.dat", "HX_2024110302_00002.dat"]);
}

#[test]
fn a_late_record_does_not_disturb_a_counter_that_begins_again_every_day() {
    let site = Site::new();
    let daily = "sequence = { reset = \"day\" }";
    let config = configured(&site, "", daily);
    site.write("in/1.log", call_line(1, "a") + &call_line(60, "b"));
    once(&config, "2024-11-03T12:00:00Z");
    site.write("in/2.log", call_line(24 * 60, "c") + &call_line(25 * 60, "d"));
    once(&config, "2024-11-04T12:00:00Z");
    site.write("in/3.log", call_line(2, "late"));
    once(&config, "2024-11-04T12:01:00Z");
    site.write("in/4.log", call_line(26 * 60, "e"));
    let report = once(&config, "2024-11-04T12:02:00Z");
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let names: Vec<String> = site.dropped("huaxin", ".dat").into_keys().collect();
    let numbers: Vec<&str> = names.iter().map(|name| &name[3..]).collect();
    assert_eq!(
        numbers,
        [
            "2024110302_00001.dat",
            "2024110302_00003.dat",
            "2024110303_00002.dat",
            "2024110402_00001.dat",
            "2024110403_00002.dat",
            "2024110404_00003.dat"
        ],
        "the late record goes on behind its own day"
    );
}

#[test]
fn an_hour_is_held_when_the_rest_of_its_file_cannot_be_decoded() {
    let site = Site::new();
    let config = configured(&site, "", "");
    // More than one piece of input: the later ones have no record that says to which hour they belong.
    site.write("in/1.log", call_line(1, "a") + &"not a call record\n".repeat(50_000));
    let report = once(&config, NOW);
    assert_eq!((report.sealed.batches, report.sealed.held.len(), report.exit_code()), (0, 1, 4), "{report:?}");
    let reason = &report.sealed.held[0].2;
    assert!(reason.starts_with("50000 of 50001"), "{reason}");
}

#[test]
fn a_delivery_that_has_stopped_is_an_alarm() {
    let site = Site::new();
    let config = configured(&site, "", "");
    site.write("in/1.log", call_line(1, "a"));
    let mut exporter = open(&config, NOW);
    exporter.turn(u64::MAX).expect("a turn");
    drop(exporter);
    let exporter = open(&config, NOW);
    fs::rename(site.path("archive"), site.path("elsewhere")).expect("the archive is not mounted any more");
    let report = exporter.once().expect("a pass");
    assert!(report.partners[0].1.stopped, "{report:?}");
    assert_eq!((report.exit_code(), report.alarms[0].code.as_str()), (1, "HD0203"), "{report:?}");
    fs::rename(site.path("elsewhere"), site.path("archive")).expect("it is again");
    let report = once(&config, NOW);
    assert_eq!((report.exit_code(), report.alarms.len(), delivered(&site).join("")), (0, 0, "a".to_owned()));
}

#[test]
fn a_source_directory_that_is_not_there_is_no_empty_hour() {
    let site = Site::new();
    let config = configured(&site, "", "");
    site.write("in/1.log", call_line(1, "a"));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    fs::rename(site.path("in"), site.path("elsewhere")).expect("not mounted");
    let mut exporter = open(&config, "2024-11-03T13:00:00Z");
    exporter.turn(u64::MAX).expect("a turn");
    drop(exporter);
    assert_eq!(site.dropped("huaxin", ".json").len(), 1, "no hour is stated as empty");
    assert_eq!(once(&config, "2024-11-03T13:00:00Z").alarms[0].code, "HD0400");
    fs::rename(site.path("elsewhere"), site.path("in")).expect("mounted again");
    assert_eq!(once(&config, "2024-11-03T13:00:00Z").exit_code(), 0);
}

#[test]
fn manifests_begin_again_by_their_own_rule() {
    let site = Site::new();
    let text = "manifest = { name = \"M_{start:%Y%m%d%H}_{seq:03}.json\", sequence = { reset = \"day\" } }";
    let config = configured(&site, "", "");
    let own = fs::read_to_string(&config).expect("configuration");
    let own: Vec<&str> = own.lines().map(|line| if line.starts_with("manifest") { text } else { line }).collect();
    site.write("hourdrop.toml", own.join("\n"));
    site.write("in/1.log", call_line(20 * 60, "a") + &call_line(21 * 60 + 1, "b") + &call_line(22 * 60 + 1, "c"));
    once(&config, "2024-11-05T12:00:00Z");
    let names: Vec<String> = site.dropped("huaxin", ".json").into_keys().collect();
    // 02:00 to 23:00 of the first day, then the first hour of the next.
    assert_eq!(names.last().map(String::as_str), Some("M_2024110400_001.json"));
    assert_eq!(names.len(), 23);
}
