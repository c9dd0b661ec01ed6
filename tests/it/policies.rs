//! What feeds can declare about late records, shadows, retention, filters and changes of their definition.

use crate::site::{FIRST_HOUR, Site, call_line, delivered_calls, files_in, once, one_feed, time};
use hourdrop::app::config;
use hourdrop::ledger::reports::QuarantineFilter;
use std::path::{Path, PathBuf};

const NOW: &str = "2024-11-03T12:00:00Z";
fn configured(site: &Site, feed: &str, keep: &str) -> PathBuf {
    one_feed(site, "files = \"in\"\nfinished = \"renamed\"", feed, keep)
}

fn named(list: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    list.iter().map(|(name, found)| ((*name).to_owned(), ids(found))).collect()
}

#[test]
fn late_records_can_go_into_the_next_open_hour() {
    let site = Site::new();
    let config = configured(&site, "late = \"next\"", "forever");
    site.write("in/1.log", call_line(1, "a") + &call_line(61, "b"));
    once(&config, NOW);
    // 02:00 and 03:00 are sealed; 04:00 is the next open hour, also for a program that starts again.
    site.write("in/2.log", call_line(2, "late"));
    site.write("in/3.log", call_line(130, "c"));
    once(&config, NOW);
    once(&config, NOW);
    assert_eq!(
        delivered_calls(&site),
        named(&[
            ("HX_2024110302_00001.dat", &["a"]),
            ("HX_2024110303_00002.dat", &["b"]),
            ("HX_2024110304_00003.dat", &["late", "c"])
        ])
    );
}

#[test]
fn late_records_can_go_to_quarantine() {
    let site = Site::new();
    let config = configured(&site, "late = \"quarantine\"", "forever");
    site.write("in/1.log", call_line(1, "a"));
    once(&config, NOW);
    site.write("in/2.log", call_line(2, "late"));
    let report = once(&config, NOW);
    assert_eq!((report.read.quarantined, report.sealed.batches, report.exit_code()), (1, 0, 4));
    assert_eq!(delivered_calls(&site), named(&[("HX_2024110302_00001.dat", &["a"])]));
}

#[test]
fn a_shadow_feed_is_sealed_and_archived_and_delivers_nothing() {
    let site = Site::new();
    let config = configured(&site, "shadow = true\nsequence = { first = 4712 }", "forever");
    site.write("in/1.log", call_line(1, "a"));
    let report = once(&config, NOW);
    assert_eq!((report.sealed.batches, report.exit_code()), (1, 0));
    assert!(site.everything_dropped().is_empty());
    let archived = files_in(&site.path("archive/huaxin"));
    assert!(archived.keys().any(|path| path.ends_with("HX_2024110302_04712.dat")), "{:?}", archived.keys());
}

#[test]
fn the_archive_keeps_files_as_long_as_it_is_told() {
    let site = Site::new();
    let config = configured(&site, "", "2d");
    site.write("in/1.log", call_line(1, "a"));
    once(&config, NOW);
    once(&config, "2024-11-05T11:59:59Z");
    assert_eq!(files_in(&site.path("archive/huaxin")).len(), 2);
    once(&config, "2024-11-05T12:00:01Z");
    assert_eq!(files_in(&site.path("archive/huaxin")).len(), 0);
    assert_eq!(site.everything_dropped().len(), 2, "what the partner has is the partner's");
    assert_eq!(once(&config, "2024-11-05T12:00:01Z").exit_code(), 0);
    // A late record of that hour makes a supplement, and nothing is missing.
    site.write("in/2.log", call_line(2, "late"));
    assert_eq!(once(&config, "2024-11-05T12:00:02Z").sealed.records, 1);
    let (manifests, verified) = (site.dropped("huaxin", ".json"), verified(&config));
    let supplement = String::from_utf8_lossy(&manifests["HX_2024110302_01.json"]).into_owned();
    assert!(supplement.contains("HX_2024110302_00002.dat"), "{supplement}");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

fn verified(config: &Path) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hourdrop"));
    command.args(["verify", "--config"]).arg(config).output().expect("the program runs")
}

#[test]
fn archived_files_are_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let config = configured(&site, "", "forever");
    site.write("in/1.log", call_line(1, "a"));
    once(&config, NOW);
    for path in files_in(&site.path("archive/huaxin")).keys() {
        let mode = std::fs::metadata(site.path("archive/huaxin").join(path)).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o440, "{path}");
    }
}

#[test]
fn a_filter_leaves_records_out_and_they_are_counted() {
    let site = Site::new();
    let config = configured(&site, "where = 'call_id != \"b\" and duration > 1'", "forever");
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b") + &call_line(3, "c").replace("1.5", "1.0"));
    let report = once(&config, NOW);
    assert_eq!((report.read.records, report.sealed.records, report.exit_code()), (3, 1, 0));
    let ledger = hourdrop::ledger::Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let feed = hourdrop::domain::ids::FeedId::parse("huaxin/voice").expect("feed");
    let counts = ledger.hour_counts(&feed, FIRST_HOUR).expect("counts");
    assert_eq!((counts.received, counts.filtered, counts.quarantined), (3, 2, 0));
}

#[test]
fn a_changed_definition_applies_from_the_next_hour_on() {
    let site = Site::new();
    let config = configured(&site, "late = \"supplement\"", "forever");
    site.write("in/1.log", call_line(1, "a"));
    once(&config, "2024-11-03T03:30:00Z");
    // The partner renames its files at 03:30; 02:00 is sealed, 03:00 has begun.
    let text = std::fs::read_to_string(&config).expect("configuration").replace("\"HX_", "\"NEW_");
    site.write("hourdrop.toml", text);
    site.write("in/2.log", call_line(2, "late") + &call_line(70, "b") + &call_line(130, "c"));
    once(&config, "2024-11-03T06:00:00Z");
    let names: Vec<String> = site.dropped("huaxin", ".dat").into_keys().collect();
    // At 06:00 everything up to the current hour keeps the old name; a supplement is written as the partner reads now.
    assert_eq!(
        names,
        ["HX_2024110302_00001.dat", "HX_2024110303_00002.dat", "HX_2024110304_00003.dat", "NEW_2024110302_00004.dat"]
    );
    site.write("in/3.log", call_line(5 * 60, "d"));
    once(&config, "2024-11-03T09:00:00Z");
    let last = site.dropped("huaxin", ".dat").into_keys().next_back();
    assert_eq!(last.as_deref(), Some("NEW_2024110307_00005.dat"));
}

#[test]
fn a_feed_that_is_added_later_does_not_export_what_came_before() {
    let site = Site::new();
    let config = configured(&site, "", "forever");
    site.write("in/1.log", call_line(1, "a"));
    once(&config, "2024-11-03T03:30:00Z");
    let text = std::fs::read_to_string(&config).expect("configuration");
    let second = r#"
[partner.late]
deliver = "DROP"
[partner.late.feed.voice]
source  = "switch"
format  = "huaxin-voice"
hour_by = "start_time"
name    = "L_{start:%Y%m%d%H}_{seq}.dat"
"#;
    let second = second.replace("DROP", &site.drop_dir("late").display().to_string());
    site.write("hourdrop.toml", text + &second);
    site.write("in/2.log", call_line(100, "before") + &call_line(121, "after"));
    once(&config, "2024-11-03T03:40:00Z");
    once(&config, "2024-11-03T06:00:00Z");
    let names: Vec<String> = site.dropped("late", ".dat").into_keys().collect();
    assert_eq!(names, ["L_2024110304_1.dat"]);
}

/// Adds the column `region` to the source's format, and a feed that filters by it.
fn add_a_feed_for_a_new_column(site: &Site, config: &Path, starts_at: &str) {
    let text = std::fs::read_to_string(config).expect("configuration");
    let second = format!(
        "[partner.late]\ndeliver = \"{}\"\n[partner.late.feed.voice]\nsource = \"switch\"\n\
        format = \"huaxin-voice\"\nhour_by = \"start_time\"\nwhere = 'region == \"EU\"'\n{starts_at}\n\
        name = \"L_{{start:%Y%m%d%H}}_{{seq}}.dat\"\n",
        site.drop_dir("late").display()
    );
    site.write("hourdrop.toml", text + &second);
    let problems = config::load(config, time(NOW)).expect("a configuration").problems;
    assert!(problems.iter().any(|problem| problem.message.contains("region")), "the check sees what does not fit");
    let format = site.path("formats/kamailio-acc-cdrs.toml");
    let text = std::fs::read_to_string(&format).expect("format");
    let last = "  { name = \"name\",       column = 8 },\n";
    assert!(text.contains(last));
    let wider = format!("{last}  {{ name = \"region\", column = 9 }},\n");
    std::fs::write(&format, text.replace(last, &wider)).expect("format");
}

fn with_region(line: &str, region: &str) -> String {
    format!("{}|{region}\n", line.trim_end())
}

/// What was counted for the added feed of records without an hour: received, filtered and quarantined.
fn counted_without_hour(site: &Site) -> (u64, u64, u64) {
    let ledger = hourdrop::ledger::Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let feed = hourdrop::domain::ids::FeedId::parse("late/voice").expect("feed");
    let counts = ledger.hour_counts(&feed, -1).expect("counts");
    (counts.received, counts.filtered, counts.quarantined)
}

#[test]
fn a_feed_for_a_new_column_can_be_added_while_the_spool_holds_records_without_it() {
    let site = Site::new();
    let config = configured(&site, "", "forever");
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b"));
    once(&config, "2024-11-03T03:30:00Z");
    add_a_feed_for_a_new_column(&site, &config, "");
    for now in ["2024-11-03T03:40:00Z", "2024-11-03T03:41:00Z"] {
        let report = once(&config, now);
        assert_eq!((report.exit_code(), counted_without_hour(&site)), (0, (2, 2, 0)), "{report:?}");
    }
    site.write("in/2.log", with_region(&call_line(121, "c"), "EU") + &with_region(&call_line(122, "d"), "US"));
    for _ in 0..2 {
        let report = once(&config, "2024-11-03T06:00:00Z");
        assert_eq!((report.exit_code(), counted_without_hour(&site)), (0, (2, 2, 0)), "{report:?}");
    }
    let dropped = site.dropped("late", ".dat");
    assert_eq!(dropped.keys().collect::<Vec<_>>(), ["L_2024110304_1.dat"]);
    let text = String::from_utf8_lossy(&dropped["L_2024110304_1.dat"]).into_owned();
    assert!(text.contains("|c|") && !text.contains("|d|"), "{text}");
}

#[test]
fn records_that_an_added_feed_should_have_and_cannot_read_are_quarantined_once() {
    let site = Site::new();
    let config = configured(&site, "", "forever");
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b"));
    once(&config, "2024-11-03T03:30:00Z");
    add_a_feed_for_a_new_column(&site, &config, "starts_at = \"2024-11-03T02:00:00Z\"");
    for now in ["2024-11-03T03:40:00Z", "2024-11-03T03:41:00Z", "2024-11-03T06:00:00Z"] {
        once(&config, now);
        assert_eq!(counted_without_hour(&site), (2, 0, 2));
        let ledger = hourdrop::ledger::Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
        let held = ledger.quarantine_entries(&QuarantineFilter::default()).expect("entries");
        let reasons: Vec<&str> = held.iter().map(|entry| entry.reason.as_str()).collect();
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        assert!(reasons.iter().all(|reason| reason.contains("region")), "{reasons:?}");
    }
    site.write("in/2.log", with_region(&call_line(121, "c"), "EU"));
    assert_eq!(once(&config, "2024-11-03T06:00:00Z").exit_code(), 0);
    assert_eq!(site.dropped("late", ".dat").len(), 1);
}

#[test]
fn a_feed_that_is_added_with_a_start_gets_what_the_spool_still_holds_and_counts_it() {
    let site = Site::new();
    let config = configured(&site, "", "forever");
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b"));
    once(&config, "2024-11-03T03:30:00Z");
    let text = std::fs::read_to_string(&config).expect("configuration");
    let second = "[partner.late]\ndeliver = \"DROP\"\n[partner.late.feed.voice]\nsource = \"switch\"\n\
        format = \"huaxin-voice\"\nhour_by = \"start_time\"\nstarts_at = \"2024-11-03T02:00:00Z\"\n\
        name = \"L_{start:%Y%m%d%H}_{seq}.dat\"\n";
    site.write("hourdrop.toml", text + &second.replace("DROP", &site.drop_dir("late").display().to_string()));
    once(&config, "2024-11-03T03:40:00Z");
    let late = site.dropped("late", ".dat");
    assert_eq!(late.len(), 1);
    let ledger = hourdrop::ledger::Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let feed = hourdrop::domain::ids::FeedId::parse("late/voice").expect("feed");
    assert_eq!(ledger.hour_counts(&feed, FIRST_HOUR).expect("counts").received, 2);
}
