//! From input files to a partner's directory, through the whole pipeline.

use crate::site::{Site, expected_hours};
use std::collections::BTreeMap;

/// The configuration of the two partners of the Kamailio records.
fn two_partners(site: &Site, kamailio: &str) -> String {
    format!(
        r#"
state   = "state"
archive = "archive"

[source.switch]
files    = "{kamailio}/A_acc_cdrs_*.log"
finished = "renamed"
format   = "kamailio-acc-cdrs"

[partner.huaxin]
deliver  = "{huaxin}"
picks_up = ["*.dat", "*.sum"]

[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
zone      = "Asia/Shanghai"
hour_by   = "start_time"
starts_at = "2024-11-03T10:00:00+08:00"
name      = "HX_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
manifest  = {{ format = "huaxin-summary", name = "HX_{{start:%Y%m%d%H}}_{{revision:02}}.sum" }}

[partner.meridian]
deliver = "{meridian}"

[partner.meridian.feed.calls]
source    = "switch"
format    = "meridian-fixed"
zone      = "America/New_York"
hour_by   = "start_time"
starts_at = "2024-11-02T22:00:00-04:00"
name      = "MER{{start:%Y%m%d%H%M%z}}_{{seq:07}}.txt"
"#,
        huaxin = site.drop_dir("huaxin").display(),
        meridian = site.drop_dir("meridian").display(),
    )
}

#[test]
fn kamailio_records_reach_two_partners_in_their_own_hours() {
    let site = Site::new();
    let kamailio = site.kamailio();
    let config = site.configure(&two_partners(&site, &kamailio));
    let report = site.once(&config, "2026-11-21T08:00:00Z");
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!((report.read.inputs, report.read.records, report.read.quarantined), (3, 2100, 0));

    let mut hours = BTreeMap::new();
    for (name, bytes) in site.dropped("huaxin", ".dat") {
        let text = encoding_rs::GB18030.decode(&bytes).0.into_owned();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        let head: Vec<&str> = lines[0].split('|').collect();
        let tail: Vec<&str> = lines[lines.len() - 1].split('|').collect();
        let milliseconds: u64 = lines[1..lines.len() - 1]
            .iter()
            .map(|line| line.split('|').nth(2).expect("duration").parse::<u64>().expect("ms"))
            .sum();
        assert_eq!((head[0], tail[0], lines.len() - 2), ("H", "T", tail[1].parse().expect("count")), "{name}");
        assert_eq!(tail[2], milliseconds.to_string(), "{name}");
        assert!(name.contains(head[1]), "{name}");
        hours.insert(head[1].to_owned(), (lines.len() - 2, milliseconds));
    }
    let expected = expected_hours("Asia/Shanghai");
    let found: Vec<usize> = hours.values().map(|(records, _)| *records).collect();
    assert_eq!(found, expected);
    assert_eq!(hours.values().map(|(records, _)| records).sum::<usize>(), 2100);
    assert_eq!(hours.values().map(|(_, milliseconds)| milliseconds).sum::<u64>(), 352_697_741);

    let fixed = site.dropped("meridian", ".txt");
    let counts: Vec<usize> = fixed.values().map(|bytes| bytes.len() / 122 - 2).collect();
    assert_eq!(counts, expected_hours("America/New_York"));
    assert!(fixed.values().all(|bytes| bytes.len() % 122 == 0));
    let ones: Vec<&String> = fixed.keys().filter(|name| name.contains("202411030100")).collect();
    assert_eq!(ones.len(), 2, "01:00 at -04:00 and at -05:00 are two hours: {ones:?}");

    site.assert_archive_is_what_was_dropped(&["huaxin", "meridian"]);
    site.assert_manifests_hold("huaxin");
    let before = site.everything_dropped();
    let again = site.once(&config, "2026-11-21T09:00:00Z");
    assert_eq!((again.read.records, again.sealed.files, again.exit_code()), (0, 0, 0));
    assert_eq!(site.everything_dropped(), before, "a second pass adds nothing");
}
