//! How input is taken: logs that grow and rotate, finished files, known content, gaps, standard input, quarantine.

use crate::site::{
    FIRST_HOUR, Site, call_line, delivered_calls, files_in, load, once, one_feed, open, open_with_input, release,
};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

const NOW: &str = "2024-11-03T12:00:00Z";
fn configured(site: &Site, source: &str, feed: &str) -> PathBuf {
    one_feed(site, source, feed, "forever")
}

/// The ids of all calls in the partner's directory, in the order of file names and lines.
fn delivered(site: &Site) -> Vec<String> {
    delivered_calls(site).into_iter().flat_map(|(_, ids)| ids).collect()
}

fn append(path: &PathBuf, text: &str) {
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut f| f.write_all(text.as_bytes()))
        .expect("append");
}

#[test]
fn a_log_that_grows_is_followed_through_rotation() {
    let site = Site::new();
    let log = site.write("log/cdr.log", call_line(1, "a") + "half a li");
    let config = configured(&site, &format!("files = \"{}\"\nfinished = \"append\"", log.display()), "");
    let report = once(&config, NOW);
    assert_eq!((report.read.records, report.sealed.waits.len()), (1, 1), "half a line keeps the hour open: {report:?}");
    fs::write(&log, call_line(1, "a") + &call_line(2, "b")).expect("the line is complete");
    assert_eq!(once(&config, NOW).read.records, 1);
    // Rotation: more is written to the old file, a new one begins under the old name.
    append(&log, &call_line(3, "c"));
    let rotated = site.path("log/cdr.log.1");
    fs::rename(&log, &rotated).expect("rotate");
    append(&rotated, call_line(4, "d").trim_end());
    append(&log, &call_line(5, "e"));
    let mut exporter = open(&config, NOW);
    while exporter.turn(u64::MAX).expect("a turn") {}
    for _ in 0..2 {
        exporter.turn(u64::MAX).expect("a turn");
    }
    drop(exporter);
    once(&config, NOW);
    let mut ids = delivered(&site);
    ids.sort();
    assert_eq!(ids, ["a", "b", "c", "d", "e"], "each once, the last line without line end, too");
    assert_eq!(once(&config, NOW).read.records, 0, "the rotated file is not read again");
}

#[test]
fn a_log_that_was_cut_is_an_alarm_and_holds_the_hours() {
    let site = Site::new();
    let log = site.write("log/cdr.log", call_line(1, "a") + &call_line(2, "b"));
    let config = configured(&site, &format!("files = \"{}\"\nfinished = \"append\"", log.display()), "");
    assert_eq!(once(&config, NOW).read.records, 2);
    fs::write(&log, call_line(3, "c")).expect("cut and written anew");
    let report = once(&config, NOW);
    assert_eq!((report.read.records, report.exit_code()), (0, 4));
    assert_eq!(report.alarms[0].code, "HD0403");
}

#[test]
fn finished_files_are_moved_when_their_records_are_durable() {
    let site = Site::new();
    site.write("in/1.log", call_line(1, "a"));
    site.write("in/1.log.done", "");
    site.write("in/2.log", call_line(2, "b"));
    let source = "files = \"in/*.log\"\nfinished = \"marker:*.done\"\nthen = \"move:done\"";
    let config = configured(&site, source, "");
    assert_eq!(once(&config, NOW).read.records, 1, "the second has no marker");
    assert_eq!(files_in(&site.path("in")).into_keys().collect::<Vec<_>>(), ["2.log"]);
    assert_eq!(files_in(&site.path("done")).into_keys().collect::<Vec<_>>(), ["1.log", "1.log.done"]);
    site.write("in/2.log.done", "");
    assert_eq!(once(&config, NOW).read.records, 1);
    assert_eq!(delivered(&site), ["a", "b"]);
}

#[test]
fn a_quiet_file_counts_when_it_has_not_changed_for_the_time_declared() {
    let site = Site::new();
    let path = site.write("in/1.log", call_line(1, "a"));
    let config = configured(&site, "files = \"in\"\nfinished = \"quiet:60s\"", "");
    let changed = |second: i64| {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(second.unsigned_abs());
        fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(at)).expect("time of change");
    };
    let now = 1_730_635_200;
    changed(now - 59);
    let report = once(&config, NOW);
    assert_eq!((report.read.records, report.sealed.batches), (0, 0));
    changed(now - 60);
    assert_eq!(once(&config, NOW).read.records, 1);
}

#[test]
fn gzip_input_is_read_and_known_by_its_compressed_bytes() {
    let site = Site::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all((call_line(1, "a") + &call_line(2, "b")).as_bytes()).expect("compress");
    site.write("in/1.log.gz", gzip.finish().expect("compress"));
    let config = configured(&site, "files = \"in\"\nfinished = \"renamed\"", "");
    assert_eq!(once(&config, NOW).read.records, 2);
    assert_eq!(once(&config, NOW).read.records, 0);
    assert_eq!(delivered(&site), ["a", "b"]);
}

#[test]
fn content_that_was_read_before_is_held_skipped_or_read_as_declared() {
    for (policy, records, duplicates, exit) in [("hold", 0, 0, 4), ("skip", 0, 2, 0), ("read", 2, 0, 0)] {
        let site = Site::new();
        site.write("in/1.log", call_line(1, "a") + &call_line(2, "b"));
        let source = format!("files = \"in\"\nfinished = \"renamed\"\nknown_content = \"{policy}\"");
        let config = configured(&site, &source, "");
        once(&config, NOW);
        site.write("in/copy.log", call_line(1, "a") + &call_line(2, "b"));
        let report = once(&config, NOW);
        assert_eq!(
            (report.read.records, report.read.duplicates, report.exit_code()),
            (records, duplicates, exit),
            "{policy}"
        );
        let again = once(&config, NOW);
        assert_eq!((again.read.records, again.read.duplicates), (0, 0), "{policy}: once is enough");
    }
}

#[test]
fn a_known_name_with_other_content_is_an_alarm() {
    let site = Site::new();
    site.write("in/1.log", call_line(1, "a"));
    let config = configured(&site, "files = \"in\"\nfinished = \"renamed\"", "");
    once(&config, NOW);
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b"));
    let report = once(&config, NOW);
    assert_eq!((report.read.records, report.exit_code(), report.alarms[0].code.as_str()), (0, 4, "HD0403"));
}

#[test]
fn a_gap_in_the_file_numbers_holds_every_hour_until_it_is_closed() {
    let site = Site::new();
    let source = "files = \"in\"\nfinished = \"renamed\"\nnumbered = \"cdr_{n}.log\"";
    let config = configured(&site, source, "");
    site.write("in/cdr_7.log", call_line(1, "a"));
    site.write("in/cdr_9.log", call_line(2, "c"));
    let report = once(&config, NOW);
    assert_eq!((report.read.records, report.sealed.batches, report.exit_code()), (2, 0, 4));
    assert_eq!(report.alarms[0].code, "HD0410");
    site.write("in/cdr_8.log", call_line(1, "b"));
    let report = once(&config, NOW);
    assert_eq!((report.sealed.batches, report.exit_code()), (1, 0), "{report:?}");
    assert_eq!(delivered(&site), ["a", "c", "b"]);
}

#[test]
fn standard_input_is_read_to_its_end() {
    let site = Site::new();
    let config = configured(&site, "stdin = true", "");
    let text = call_line(1, "a") + &call_line(2, "b") + call_line(3, "c").trim_end();
    let report = open_with_input(&config, NOW, Some(Box::new(std::io::Cursor::new(text)))).once().expect("a pass");
    assert_eq!((report.read.records, report.exit_code()), (3, 0));
    assert_eq!(delivered(&site), ["a", "b", "c"]);
}

#[test]
fn quarantined_records_come_back_once_and_the_hour_stays_balanced() {
    let site = Site::new();
    let text: String = (0..300).map(|n| call_line(n % 50, &n.to_string())).collect::<String>() + "not|a|call\n";
    site.write("in/1.log", text);
    let strict = fs::read_to_string(site.path("formats/kamailio-acc-cdrs.toml")).expect("format");
    let config = configured(&site, "files = \"in\"\nfinished = \"renamed\"", "");
    let report = once(&config, NOW);
    assert_eq!((report.read.quarantined, report.sealed.records, report.exit_code()), (1, 300, 4));
    let all = hourdrop::ledger::reports::QuarantineFilter::default();
    let stays = open(&config, NOW).retry(&all).expect("retry");
    assert_eq!((stays.retried.len(), stays.stay.len()), (0, 1));
    // The format learns that such lines are calls without times.
    let lenient = strict
        .replace("column = 1, time = \"epoch_s\", required = true", "column = 4, time = \"epoch_s\"")
        .replace("column = 2, time = \"epoch_s\", required = true", "column = 5, time = \"epoch_s\"")
        .replace("column = 3, number = true, unit = \"s\", required = true", "column = 6, number = true, unit = \"s\"")
        .replace("\"caller\",     column = 4", "\"caller\",     column = 1")
        .replace("\"callee\",     column = 5", "\"callee\",     column = 2")
        .replace("\"trunk\",      column = 6", "\"trunk\",      column = 3");
    assert_ne!(lenient, strict);
    site.write("formats/kamailio-acc-cdrs.toml", lenient);
    let config_now = load(&config, NOW);
    assert_eq!(config_now.sources.len(), 1);
    let retried = open(&config, NOW).retry(&all).expect("retry");
    // It is a record now, and the feed says that it has no time: it waits there instead, counted once.
    assert_eq!((retried.retried.len(), retried.stay.len()), (0, 1), "{retried:?}");
}

#[test]
fn a_released_hour_is_sealed_with_its_quarantine() {
    let site = Site::new();
    let long = "9".repeat(30);
    let text = call_line(1, "a") + &call_line(2, "b").replace("|1|2|", &format!("|{long}|2|"));
    site.write("in/1.log", text);
    let config = configured(&site, "files = \"in\"\nfinished = \"renamed\"", "");
    let meridian = fs::read_to_string(site.path("formats/meridian-fixed.toml")).expect("format");
    site.write("formats/huaxin-voice.toml", meridian);
    let report = once(&config, NOW);
    assert_eq!((report.sealed.batches, report.sealed.held.len(), report.exit_code()), (0, 1, 4), "{report:?}");
    let held = report.sealed.held[0].clone();
    release(&mut open(&config, NOW), &held.0, held.1);
    let report = once(&config, NOW);
    assert_eq!((report.sealed.batches, report.sealed.records), (1, 1), "{report:?}");
    let ledger = hourdrop::ledger::Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let counts = ledger.hour_counts(&held.0, held.1.start).expect("counts");
    assert_eq!((counts.received, counts.quarantined), (2, 1), "counted once");
    assert_eq!(once(&config, NOW).sealed.batches, 0);
}

#[test]
fn a_file_that_was_held_on_its_way_goes_on_when_it_is_released() {
    let site = Site::new();
    site.write("in/1.log", call_line(1, "a"));
    let config = configured(&site, "files = \"in\"\nfinished = \"renamed\"", "");
    site.write("drop/huaxin/HX_2024110302_00001.dat", "somebody else's");
    let report = once(&config, NOW);
    assert_eq!((report.held.len(), report.exit_code()), (1, 4), "{report:?}");
    assert_eq!(once(&config, NOW).exit_code(), 4, "it stays held, and every pass says so");
    assert_eq!(site.dropped("huaxin", ".dat").into_values().next().as_deref(), Some(&b"somebody else's"[..]));
    fs::remove_file(site.path("drop/huaxin/HX_2024110302_00001.dat")).expect("the partner removes it");
    let (feed, hour, _) = report.held[0].clone();
    release(&mut open(&config, NOW), &feed, hour);
    let report = once(&config, NOW);
    assert_eq!((report.held.len(), report.exit_code()), (0, 0), "{report:?}");
    assert_eq!(delivered(&site), ["a"]);
    let leftovers: Vec<String> = site.everything_dropped().into_keys().filter(|name| name.contains("tmp")).collect();
    assert_eq!(leftovers, [""; 0]);
}

/// 150 records, and one whose caller is too long for the format. The configuration, and a format that has room for it.
fn with_one_that_cannot_be_written(site: &Site, caller: &str) -> (PathBuf, String) {
    let many: String = (0..150).map(|n| call_line(n % 50, &n.to_string())).collect();
    site.write("in/1.log", many + &call_line(2, "long").replace("|1|2|", &format!("|{caller}|2|")));
    let config = configured(site, "files = \"in\"\nfinished = \"renamed\"", "");
    let voice = fs::read_to_string(site.path("formats/huaxin-voice.toml")).expect("format");
    let meridian = fs::read_to_string(site.path("formats/meridian-fixed.toml")).expect("format");
    site.write("formats/huaxin-voice.toml", meridian);
    (config, voice)
}

#[test]
fn records_that_could_not_be_written_come_back_when_the_format_is_mended() {
    let site = Site::new();
    let (config, voice) = with_one_that_cannot_be_written(&site, &"9".repeat(30));
    let report = once(&config, NOW);
    assert_eq!((report.sealed.records, report.sealed.quarantined, report.exit_code()), (150, 1, 4));
    let all = hourdrop::ledger::reports::QuarantineFilter::default();
    // Not mended yet: it fails again, and no revision is used up.
    assert_eq!(open(&config, NOW).retry(&all).expect("retry").retried.len(), 1);
    let report = once(&config, NOW);
    assert_eq!((report.sealed.batches, report.sealed.quarantined), (0, 1), "{report:?}");
    site.write("formats/huaxin-voice.toml", voice);
    assert_eq!(open(&config, NOW).retry(&all).expect("retry").retried.len(), 1);
    let report = once(&config, NOW);
    assert_eq!((report.sealed.batches, report.sealed.records, report.exit_code()), (1, 1, 0), "{report:?}");
    let revisions: Vec<String> = site.dropped("huaxin", ".json").into_keys().collect();
    assert_eq!(revisions, ["HX_2024110302_00.json", "HX_2024110302_01.json"]);
    let ledger = hourdrop::ledger::Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let feed = hourdrop::domain::ids::FeedId::parse("huaxin/voice").expect("feed");
    let counts = ledger.hour_counts(&feed, FIRST_HOUR).expect("counts");
    assert_eq!((counts.received, counts.quarantined), (151, 0), "each record is counted once");
}

#[test]
fn a_record_that_fails_again_is_one_entry_and_the_list_shows_what_is_open() {
    let site = Site::new();
    let long = "9".repeat(30);
    let (config, voice) = with_one_that_cannot_be_written(&site, &long);
    once(&config, NOW);
    let quarantine = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hourdrop"))
            .arg("quarantine")
            .args(arguments)
            .args(["--color", "never", "--utc", "--config"])
            .arg(&config)
            .env("HOURDROP_TEST_CLOCK", NOW)
            .output()
            .expect("the program runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let all = hourdrop::ledger::reports::QuarantineFilter::default();
    for _ in 0..2 {
        assert_eq!(open(&config, NOW).retry(&all).expect("retry").retried, [1]);
        assert_eq!(quarantine(&["list"]), "nothing is in quarantine\n", "it came in again");
        assert_eq!(once(&config, NOW).sealed.quarantined, 1);
        let listed = quarantine(&["list", "--all"]);
        assert!(listed.contains("held") && listed.ends_with("\n1 record\n"), "{listed}");
        assert_eq!(quarantine(&["list"]), listed);
    }
    let shown = quarantine(&["show", "1", "--raw"]);
    assert!(shown.contains("\nstart_time=2024-11-03T02:02:00Z\n"), "{shown}");
    assert!(shown.contains(&format!("\ncaller={long}\n")), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&quarantine(&["show", "1", "--raw", "--json"])).expect("JSON");
    assert_eq!(json["fields"]["caller"], long);
    site.write("formats/huaxin-voice.toml", voice);
    assert_eq!(open(&config, NOW).retry(&all).expect("retry").retried, [1]);
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(quarantine(&["list"]), "nothing is in quarantine\n");
    let listed = quarantine(&["list", "--all"]);
    assert!(listed.contains("retried") && listed.ends_with("\n1 record\n"), "{listed}");
}

#[test]
fn an_input_trailer_that_disagrees_holds_the_hours_in_every_pass() {
    let site = Site::new();
    let format = fs::read_to_string(site.path("formats/kamailio-acc-cdrs.toml")).expect("format");
    site.write(
        "formats/kamailio-acc-cdrs.toml",
        format.replace("[read]", "[read]\ntrailer = { starts = \"TRL|\", count = 2 }"),
    );
    let config = configured(&site, "files = \"in\"\nfinished = \"renamed\"", "");
    let path = site.write("in/1.log", call_line(1, "a") + &call_line(2, "b") + "TRL|3\n");
    for _ in 0..2 {
        let report = once(&config, NOW);
        assert_eq!((report.sealed.batches, report.exit_code()), (0, 4), "{report:?}");
        assert_eq!(report.alarms.iter().map(|alarm| alarm.code.as_str()).collect::<Vec<_>>(), ["HD0404"]);
    }
    fs::remove_file(path).expect("somebody takes it away");
    let report = once(&config, NOW);
    assert_eq!((report.sealed.records, report.exit_code()), (2, 0), "{report:?}");
}

#[test]
fn a_feed_cannot_be_taken_out_while_records_of_it_wait() {
    let site = Site::new();
    let config = configured(&site, "files = \"in\"\nfinished = \"renamed\"", "");
    site.write("in/1.log", call_line(1, "a"));
    assert_eq!(once(&config, "2024-11-03T02:30:00Z").sealed.batches, 0, "the hour is open");
    let text = fs::read_to_string(&config).expect("configuration");
    site.write("hourdrop.toml", text.replace("feed.voice", "feed.other"));
    let world = crate::site::world("2024-11-03T04:00:00Z");
    let refused = hourdrop::app::exporter::Exporter::open(load(&config, NOW), &world, None, true).map(|_| ());
    let message = refused.expect_err("refused").to_string();
    assert!(message.contains("huaxin/voice") && message.contains("1 records"), "{message}");
}

#[test]
fn a_log_is_read_on_where_it_was_and_not_again() {
    let site = Site::new();
    let log = site.write("log/cdr.log", call_line(1, "a"));
    let config = configured(&site, &format!("files = \"{}\"\nfinished = \"append\"", log.display()), "");
    let mut exporter = open(&config, "2024-11-03T02:30:00Z");
    for (number, id) in ["b", "c", "d"].into_iter().enumerate() {
        while exporter.turn(u64::MAX).expect("a turn") {}
        let text = call_line(2 + i64::try_from(number).expect("small"), id);
        let (first, second) = text.split_at(7);
        append(&log, first);
        while exporter.turn(u64::MAX).expect("a turn") {}
        append(&log, second);
    }
    while exporter.turn(u64::MAX).expect("a turn") {}
    drop(exporter);
    assert_eq!(once(&config, NOW).sealed.records, 4);
    assert_eq!(delivered(&site), ["a", "b", "c", "d"]);
}

#[test]
fn records_under_a_header_line_can_be_retried() {
    let site = Site::new();
    let format = "kind = \"delimited\"\n[read]\nheader = \"names\"\nskip_lines = 1\nfields = [\n\
        { name = \"call_id\", column = \"id\" }, { name = \"start_time\", column = \"at\", time = \"epoch_s\", required = true },\n\
        { name = \"end_time\", column = \"at\", time = \"epoch_s\" }, { name = \"duration\", column = \"seconds\", number = true, unit = \"s\" },\n\
        { name = \"caller\", column = \"a\" }, { name = \"callee\", column = \"b\" }, { name = \"trunk\", column = \"b\" },\n\
        { name = \"name\", column = \"b\" } ]\n";
    site.write("formats/kamailio-acc-cdrs.toml", format);
    let at = FIRST_HOUR + 60;
    let good: Vec<String> = (0..120).map(|n| format!("1,2,{at},{n},1.5\n")).collect();
    let good = good.concat();
    site.write("in/1.csv", format!("made by a switch\nb,a,at,id,seconds\n{good}1,2,{at},bad,1m5\n"));
    let config = configured(&site, "files = \"in\"\nfinished = \"renamed\"", "");
    assert_eq!(once(&config, NOW).read.quarantined, 1);
    // Seconds may be a text from now on; the columns are those of the file's own header.
    site.write(
        "formats/kamailio-acc-cdrs.toml",
        format.replace(
            "column = \"seconds\", number = true, unit = \"s\"",
            "column = \"at\", number = true, unit = \"s\"",
        ),
    );
    let all = hourdrop::ledger::reports::QuarantineFilter::default();
    let report = open(&config, NOW).retry(&all).expect("retry");
    assert_eq!((report.retried.len(), report.stay.len()), (1, 0), "{report:?}");
    assert_eq!(once(&config, NOW).sealed.records, 1);
    assert!(delivered(&site).contains(&"bad".to_owned()));
}

#[test]
fn a_feed_cannot_change_its_source_while_records_of_the_old_one_wait() {
    let site = Site::new();
    let config = configured(&site, "files = \"in\"\nfinished = \"renamed\"", "");
    site.write("in/1.log", call_line(1, "a"));
    site.write("other/x.log", "");
    once(&config, "2024-11-03T02:30:00Z");
    let second = "[source.other]\nfiles = \"other\"\nfinished = \"renamed\"\nformat = \"kamailio-acc-cdrs\"\n";
    let text = fs::read_to_string(&config).expect("configuration");
    let changed = text
        .replace("source    = \"switch\"", "source    = \"other\"")
        .replace("[partner.huaxin]", &format!("{second}[partner.huaxin]"));
    site.write("hourdrop.toml", &changed);
    let world = crate::site::world("2024-11-03T02:40:00Z");
    let refused = hourdrop::app::exporter::Exporter::open(load(&config, NOW), &world, None, true).map(|_| ());
    assert!(refused.expect_err("refused").to_string().contains("other sources"));
    site.write("hourdrop.toml", text);
    assert_eq!(once(&config, NOW).sealed.records, 1);
    site.write("hourdrop.toml", changed);
    assert_eq!(once(&config, NOW).exit_code(), 0, "no hour is open any more");
}
