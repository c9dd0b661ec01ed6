//! From input files to a partner's directory, through the whole pipeline.

use crate::servers::TestServer;
use crate::site::{Call, Site, calls, expected_hours, kamailio_dir, once, open};
use hourdrop::app::exporter::OnceReport;
use hourdrop::remote::Endpoint;
use std::collections::BTreeMap;

const NOW: &str = "2026-11-21T08:00:00Z";

const SOURCE: &str = r#"
state   = "state"
archive = "archive"

[source.switch]
files    = "{input}"
finished = "renamed"
format   = "kamailio-acc-cdrs"
"#;

const HUAXIN: &str = r#"
[partner.huaxin]
deliver  = "{huaxin}"
picks_up = ["*.dat", "*.sum"]
{password}
[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
zone      = "Asia/Shanghai"
hour_by   = "start_time"
starts_at = "2024-11-03T10:00:00+08:00"
name      = "HX_{start:%Y%m%d%H}_{seq:05}.dat"
manifest  = { format = "huaxin-summary", name = "HX_{start:%Y%m%d%H}_{revision:02}.sum" }
"#;

const MERIDIAN: &str = r#"
[partner.meridian]
deliver = "{meridian}"

[partner.meridian.feed.calls]
source    = "switch"
format    = "meridian-fixed"
zone      = "America/New_York"
hour_by   = "start_time"
starts_at = "2024-11-02T22:00:00-04:00"
name      = "MER{start:%Y%m%d%H%M%z}_{seq:07}.txt"
"#;

fn kamailio() -> String {
    format!("{}/A_acc_cdrs_*.log", kamailio_dir())
}

/// The configuration with its places filled in; `input` is a path or pattern.
fn configured(site: &Site, parts: &[&str], input: &str) -> std::path::PathBuf {
    let drop = |partner| site.drop_dir(partner).display().to_string();
    let text = parts.concat();
    let text = text.replace("{input}", input).replace("{huaxin}", &drop("huaxin")).replace("{password}", "");
    site.configure(&text.replace("{meridian}", &drop("meridian")))
}

/// The lines of a file of Huaxin's, without header and trailer, and its header and trailer cells.
struct HuaxinFile {
    header: Vec<String>,
    lines: Vec<Vec<String>>,
    trailer: Vec<String>,
}

fn huaxin_files(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, HuaxinFile> {
    let read = |bytes: &Vec<u8>| {
        let (text, _, broken) = encoding_rs::GB18030.decode(bytes);
        assert!(!broken);
        let cells = |line: &str| line.split('|').map(str::to_owned).collect::<Vec<_>>();
        let mut lines: Vec<Vec<String>> = text.split_terminator("\r\n").map(cells).collect();
        let trailer = lines.pop().expect("a trailer");
        let header = lines.remove(0);
        HuaxinFile { header, lines, trailer }
    };
    files.iter().filter(|(name, _)| name.ends_with(".dat")).map(|(name, bytes)| (name.clone(), read(bytes))).collect()
}

fn assert_huaxin_has_all(files: &BTreeMap<String, Vec<u8>>) {
    let files = huaxin_files(files);
    let (mut counts, mut sum) = (Vec::new(), 0);
    for (number, (name, file)) in files.iter().enumerate() {
        let milliseconds: u64 = file.lines.iter().map(|line| line[2].parse::<u64>().expect("milliseconds")).sum();
        assert_eq!(file.header[0], "H", "{name}");
        assert_eq!(name, &format!("HX_{}_{:05}.dat", file.header[1], number + 1));
        assert_eq!(file.header[2], (number + 1).to_string(), "{name}");
        assert_eq!(file.trailer, ["T".to_owned(), file.lines.len().to_string(), milliseconds.to_string()], "{name}");
        assert!(file.lines.iter().all(|line| line.len() == 8), "{name}: no column was shifted");
        counts.push(file.lines.len());
        sum += milliseconds;
    }
    assert_eq!(counts, expected_hours("Asia/Shanghai"));
    assert_eq!(sum, 352_697_741, "milliseconds, as computed independently");
}

#[test]
fn kamailio_records_reach_two_partners_in_their_own_hours() {
    let site = Site::new();
    let config = configured(&site, &[SOURCE, HUAXIN, MERIDIAN], &kamailio());
    let report = once(&config, NOW);
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!((report.read.inputs, report.read.records, report.read.quarantined), (3, 2100, 0));
    assert_huaxin_has_all(&site.dropped("huaxin", ""));

    let fixed = site.dropped("meridian", ".txt");
    let counts: Vec<usize> = fixed.values().map(|bytes| bytes.len() / 122 - 2).collect();
    assert_eq!(counts, expected_hours("America/New_York"));
    assert!(fixed.values().all(|bytes| bytes.chunks(122).all(|line| line.ends_with(b"\r\n"))));
    let ones: Vec<&str> = fixed.keys().filter_map(|name| name.strip_prefix("MER202411030100")).collect();
    assert_eq!(ones, ["-0400_0000004.txt", "-0500_0000005.txt"], "two hours of the same name");

    site.assert_archive_is_what_was_dropped(&["huaxin", "meridian"]);
    site.assert_manifests_hold("huaxin");
    let before = site.everything_dropped();
    let again = once(&config, "2026-11-21T09:00:00Z");
    assert_eq!((again.read.records, again.sealed.files, again.exit_code()), (0, 0, 0));
    assert_eq!(site.everything_dropped(), before, "a second pass adds nothing");
}

#[test]
fn names_that_do_not_fit_a_strict_charset_are_quarantined_and_hours_with_too_many_are_held() {
    let site = Site::new();
    let format = std::fs::read_to_string(site.path("formats/huaxin-voice.toml")).expect("format");
    let strict = format.replace("charset     = \"GB18030\"", "charset = { name = \"GBK\", unmappable = \"reject\" }");
    assert_ne!(format, strict);
    site.write("formats/huaxin-voice.toml", strict);
    let mut hours: BTreeMap<i64, (Vec<Call>, u64)> = BTreeMap::new();
    for call in calls() {
        let hour = hours.entry(call.start.div_euclid(3600)).or_default();
        let (_, _, unmappable) = encoding_rs::GBK.encode(&call.name);
        if unmappable { hour.1 += 1 } else { hour.0.push(call) }
    }
    let rejected: u64 = hours.values().map(|(_, rejected)| rejected).sum();
    // A limit in the middle, in hundredths of a percent: some hours are over it and some are not.
    let share = |(good, bad): &(Vec<Call>, u64)| bad * 10_000 / (good.len() as u64 + bad);
    let mut shares: Vec<u64> = hours.values().map(share).collect();
    shares.sort_unstable();
    let limit = shares[shares.len() / 2];
    let is_held = |hour: &(Vec<Call>, u64)| hour.1 * 10_000 > (hour.0.len() as u64 + hour.1) * limit;
    let held = hours.values().filter(|hour| is_held(hour)).count();
    assert!(held > 0 && held < hours.len(), "the data tells the two apart");
    let limit = format!("reject_max = \"{}.{:02}%\"\n", limit / 100, limit % 100);
    let config = configured(&site, &[SOURCE, HUAXIN, &limit], &kamailio());
    let report = once(&config, NOW);
    assert_eq!(report.sealed.quarantined, rejected);
    assert_eq!(report.sealed.held.len(), held);
    assert_eq!(report.exit_code(), 4);
    let sent: Vec<usize> = huaxin_files(&site.dropped("huaxin", "")).values().map(|file| file.lines.len()).collect();
    let good: Vec<usize> = hours.values().filter(|hour| !is_held(hour)).map(|(good, _)| good.len()).collect();
    assert_eq!(sent, good);
}

#[test]
fn a_strict_charset_with_a_wide_limit_sends_the_rest_with_the_totals_of_the_rest() {
    let site = Site::new();
    let format = std::fs::read_to_string(site.path("formats/huaxin-voice.toml")).expect("format");
    site.write(
        "formats/huaxin-voice.toml",
        format.replace("charset     = \"GB18030\"", "charset = { name = \"GBK\" }"),
    );
    let config = configured(&site, &[SOURCE, HUAXIN, "reject_max = \"100%\"\n"], &kamailio());
    let report = once(&config, NOW);
    let fits = |call: &Call| !encoding_rs::GBK.encode(&call.name).2;
    let (good, bad): (Vec<Call>, Vec<Call>) = calls().into_iter().partition(fits);
    assert_eq!((report.sealed.quarantined, report.sealed.records), (bad.len() as u64, good.len() as u64));
    let files = huaxin_files(&site.dropped("huaxin", ""));
    let trailers: u64 = files.values().map(|file| file.trailer[2].parse::<u64>().expect("sum")).sum();
    assert_eq!(trailers, good.iter().map(|call| call.milliseconds).sum::<u64>());
}

#[test]
fn an_hour_by_end_time_and_an_hour_by_start_time_count_differently() {
    let site = Site::new();
    let by_end = HUAXIN.replace("start_time", "end_time");
    let config = configured(&site, &[SOURCE, &by_end, MERIDIAN], &kamailio());
    assert_eq!(once(&config, NOW).exit_code(), 0);
    let mut expected: BTreeMap<i64, usize> = BTreeMap::new();
    for call in calls() {
        *expected.entry(call.end.div_euclid(3600)).or_default() += 1;
    }
    let found: Vec<usize> = huaxin_files(&site.dropped("huaxin", "")).values().map(|file| file.lines.len()).collect();
    assert_eq!(found, expected.into_values().collect::<Vec<_>>());
    assert_ne!(found, expected_hours("Asia/Shanghai"));
    let crossing = calls().iter().filter(|call| call.start.div_euclid(3600) != call.end.div_euclid(3600)).count();
    assert_eq!(crossing, 97);
}

#[test]
fn poisonous_times_are_quarantined_and_do_no_harm() {
    let feed = HUAXIN.replace("2024-11-03T10:00:00+08:00", "2025-03-08T12:00:00+08:00");
    let source = SOURCE.replace("kamailio-acc-cdrs", "local-times");
    let run = |poison: bool| {
        let site = Site::new();
        let format = r#"
            kind = "delimited"
            separator = "|"
            [read]
            zone = "America/New_York"
            fields = [
              { name = "start_time", column = 1, time = "%Y-%m-%d %H:%M:%S", required = true },
              { name = "end_time", column = 2, time = "epoch_s" },
              { name = "duration", column = 3, number = true, unit = "s" },
              { name = "caller", column = 4 }, { name = "callee", column = 5 }, { name = "trunk", column = 6 },
              { name = "call_id", column = 7 }, { name = "name", column = 8 },
            ]"#;
        site.write("formats/local-times.toml", format);
        let mut lines = Vec::new();
        for number in 0..10_000u32 {
            let second = number * 2;
            let at = format!("2025-03-08 {:02}:{:02}:{:02}", second / 3600 + 8, second / 60 % 60, second % 60);
            lines.push(format!("{at}|1741500000|{}.5|1{number:09}|2|TG|{number}|x", number % 7));
        }
        if poison {
            let bad = [
                "2099-01-01 00:00:00|1741500000",
                "1970-01-01 00:00:00|1741500000",
                "2025-03-08 09:00:00|9999999999999",
                "2025-02-30 10:00:00|1741500000",
                "2025-03-09 02:30:00|1741500000",
            ];
            for (place, times) in [100, 3000, 5000, 7000, 9000].into_iter().zip(bad) {
                lines.insert(place, format!("{times}|1|1|2|TG|bad|x"));
            }
        }
        let input = site.write("in/cdr.csv", lines.join("\n") + "\n");
        let config = configured(&site, &[&source, &feed], &input.display().to_string());
        let report = once(&config, "2025-03-20T00:00:00Z");
        (report, site.everything_dropped())
    };
    let (clean_report, clean) = run(false);
    let (report, poisoned) = run(true);
    assert_eq!((clean_report.read.quarantined, clean_report.exit_code()), (0, 0));
    assert_eq!((report.read.quarantined, report.exit_code()), (5, 4));
    assert!(report.sealed.held.is_empty());
    assert_eq!(clean.keys().collect::<Vec<_>>(), poisoned.keys().collect::<Vec<_>>(), "no extra hour");
    assert_eq!(clean, poisoned, "the same bytes as without the poison");
}

#[test]
fn five_hours_of_backlog_become_five_hours_in_order_without_a_supplement() {
    let site = Site::new();
    let in_dir = site.path("in");
    let config = configured(&site, &[SOURCE, HUAXIN, "grace = \"10m\"\n"], &in_dir.display().to_string());
    // The newest hour has the first name, so it is read first.
    let first = 1_730_599_200;
    for hour in 0..5 {
        let mut text = String::new();
        for number in 0..4000 {
            let at = first + hour * 3600 + number % 3600;
            text.push_str(&format!("{at}|{at}|1.000000|4420{number:06}|2|TG|{hour}-{number}|\"x\"\n"));
        }
        site.write(&format!("in/{}.log", 9 - hour), text);
    }
    let mut exporter = open(&config, "2024-11-03T09:00:00Z");
    let mut turns = 0;
    while exporter.turn(1).expect("a turn") {
        turns += 1;
        let sealed = crate::site::files_in(&site.path("archive/huaxin")).len();
        assert!(sealed == 0 || exporter.is_caught_up(), "nothing is sealed before everything is read");
    }
    assert!(turns >= 5, "reading was slow: {turns} turns");
    drop(exporter);
    assert_eq!(once(&config, "2024-11-03T09:00:00Z").exit_code(), 0);
    let files = huaxin_files(&site.dropped("huaxin", ""));
    let names: Vec<&String> = files.keys().collect();
    assert_eq!(
        names,
        [
            "HX_2024110310_00001.dat",
            "HX_2024110311_00002.dat",
            "HX_2024110312_00003.dat",
            "HX_2024110313_00004.dat",
            "HX_2024110314_00005.dat"
        ]
    );
    assert!(files.values().all(|file| file.lines.len() == 4000));
    assert!(site.dropped("huaxin", ".sum").keys().all(|name| name.ends_with("_00.sum")), "no supplement");
}

#[test]
fn late_records_become_a_supplement_that_lists_old_and_new() {
    let site = Site::new();
    let config = configured(&site, &[SOURCE, HUAXIN], &site.path("in").display().to_string());
    let line = |at: i64, id: &str| format!("{at}|{at}|1.5|1|2|TG|{id}|x\n");
    site.write("in/1.log", line(1_730_599_300, "a") + &line(1_730_603_000, "b"));
    assert_eq!(once(&config, NOW).sealed.batches, 2);
    site.write("in/2.log", line(1_730_599_400, "late"));
    let report = once(&config, NOW);
    assert_eq!((report.sealed.batches, report.sealed.records, report.exit_code()), (1, 1, 0));
    let names: Vec<String> = site.everything_dropped().into_keys().collect();
    assert_eq!(
        names,
        [
            "huaxin/HX_2024110310_00.sum",
            "huaxin/HX_2024110310_00001.dat",
            "huaxin/HX_2024110310_00003.dat",
            "huaxin/HX_2024110310_01.sum",
            "huaxin/HX_2024110311_00.sum",
            "huaxin/HX_2024110311_00002.dat"
        ]
    );
    let summary =
        String::from_utf8(site.dropped("huaxin", "_01.sum").into_values().next().expect("summary")).expect("text");
    let listed: Vec<&str> = summary.lines().filter_map(|line| line.split('|').next()).collect();
    assert_eq!(listed, ["HX_2024110310_00001.dat", "HX_2024110310_00003.dat"]);
}

#[test]
fn an_empty_hour_between_two_full_ones_is_stated() {
    let site = Site::new();
    let config = configured(
        &site,
        &[SOURCE, HUAXIN, "empty = \"header and trailer\"\n"],
        &site.path("in").display().to_string(),
    );
    let line = |at: i64| format!("{at}|{at}|1.5|1|2|TG|x|x\n");
    site.write("in/1.log", line(1_730_599_300) + &line(1_730_599_300 + 7200));
    assert_eq!(once(&config, NOW).sealed.batches, 3);
    let files = huaxin_files(&site.dropped("huaxin", ""));
    let counts: Vec<(&str, usize)> = files.iter().map(|(name, file)| (name.as_str(), file.lines.len())).collect();
    assert_eq!(
        counts,
        [("HX_2024110310_00001.dat", 1), ("HX_2024110311_00002.dat", 0), ("HX_2024110312_00003.dat", 1)]
    );
    assert_eq!(files["HX_2024110311_00002.dat"].trailer, ["T", "0", "0"]);
}

#[test]
fn part_files_are_cut_by_count_and_numbered_without_gap() {
    let site = Site::new();
    let config = configured(&site, &[SOURCE, HUAXIN, "records_max = 100\n"], &kamailio());
    let report = once(&config, NOW);
    assert_eq!(report.exit_code(), 0);
    let files = huaxin_files(&site.dropped("huaxin", ""));
    assert_eq!(files.len(), 2 * 12 + 1, "12 hours of two parts, one of 95 records");
    let numbers: Vec<u64> = files.values().map(|file| file.header[2].parse().expect("number")).collect();
    assert_eq!(numbers, (1..=25).collect::<Vec<u64>>());
    assert!(files.values().all(|file| file.lines.len() <= 100 && file.trailer[1] == file.lines.len().to_string()));
    assert_eq!(files.values().map(|file| file.lines.len()).sum::<usize>(), 2100);
    site.assert_manifests_hold("huaxin");
}

fn through(server: &TestServer) -> (Site, OnceReport) {
    let site = Site::new();
    let Endpoint::Ftp(ftp) = &server.endpoint else { panic!("an FTP server") };
    let secret = site.write("password", secrecy::ExposeSecret::expose_secret(&ftp.password).as_bytes());
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode");
    let url = format!("ftp://{}@127.0.0.1:{}/{}/cdr", ftp.user, ftp.port, server.base.as_str());
    let text = [SOURCE, HUAXIN].concat().replace("{input}", &kamailio()).replace("{huaxin}", &url);
    let config = site.configure(&text.replace("{password}", "password = { file = \"password\" }"));
    let report = once(&config, NOW);
    (site, report)
}

#[test]
fn the_same_hours_go_through_vsftpd_and_proftpd() {
    for server in [TestServer::vsftpd(), TestServer::proftpd()] {
        let (site, report) = through(&server);
        assert_eq!(report.exit_code(), 0, "{}: {report:?}", server.name);
        let on_server = crate::site::files_in(&server.files.join("cdr"));
        assert_huaxin_has_all(&on_server);
        let archived = crate::site::files_in(&site.path("archive/huaxin"));
        let archived: BTreeMap<String, Vec<u8>> = archived
            .into_iter()
            .map(|(path, bytes)| (path.rsplit('/').next().unwrap_or_default().to_owned(), bytes))
            .collect();
        assert_eq!(archived, on_server, "{}", server.name);
    }
}

/// Files that no one would want, each as a delimited source: they end with counted rejects, and nothing else.
#[test]
fn nasty_files_end_with_counted_rejects() {
    let twins: Vec<(String, Vec<u8>)> = vec![
        ("unterminated.csv".into(), b"a,b,c\n1,\"2,3\n4,5,6\n".to_vec()),
        ("cr.csv".into(), b"a,b,c\r1,2,3\r4,5,6".to_vec()),
        ("nul.csv".into(), [b"a,b,c\n".to_vec(), vec![0; 2366], b"\n1,2,3\n".to_vec()].concat()),
        ("crcrlf.csv".into(), b"a,b,c\r\r\n1,2,3\r\r\n".to_vec()),
        ("latin1.csv".into(), b"a,b,c\n\xe9,\xff,\xfe\n".to_vec()),
        ("utf16.csv".into(), b"\xff\xfea\0,\0b\0\n\0".to_vec()),
        ("long.csv".into(), [vec![b'x'; 3 << 20], b"\n1,2,3\n".to_vec()].concat()),
        ("empty.csv".into(), Vec::new()),
    ];
    let mut files = twins;
    if let Some(dir) = crate::site::real_data() {
        for part in ["nasty", "encodings"] {
            let found = crate::site::files_in(&dir.join(part)).into_iter();
            files.extend(found.map(|(name, bytes)| (format!("{part}-{}", name.replace('/', "-")), bytes)));
        }
    }
    let site = Site::new();
    let format = "kind = \"delimited\"\nquote = '\"'\n[read]\nextra_columns = \"ignore\"\nfields = [\n\
        { name = \"start_time\", column = 1, time = \"epoch_s\" },\n{ name = \"rest\", column = 2 } ]\n";
    site.write("formats/any.toml", format);
    let out = "kind = \"delimited\"\ncontrols = \"drop\"\nseparators = \"drop\"\nrecord = [{ field = \"rest\" }]\n";
    site.write("formats/any-out.toml", out);
    for (name, bytes) in &files {
        site.write(&format!("in/{name}"), bytes);
    }
    let source = SOURCE.replace("kamailio-acc-cdrs", "any");
    let feed = HUAXIN.replace("huaxin-voice", "any-out");
    let config = configured(&site, &[&source, &feed], &site.path("in").display().to_string());
    let report = once(&config, NOW);
    assert_eq!(report.exit_code(), 4);
    assert!(report.read.quarantined >= 8, "{report:?}");
    let named = report.alarms.iter().filter(|alarm| alarm.subject == "source switch").count();
    let read = usize::try_from(report.read.inputs).expect("few");
    assert_eq!(read + named, files.len(), "every file was read or named: {:?}", report.alarms);
}
