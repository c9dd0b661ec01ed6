//! A partner's `verify`, `rename` and `connections`, from the configuration to the ledger.

use crate::servers::TestServer;
use crate::site::{Site, call_line, delivered_calls, once, one_feed, time};
use hourdrop::app::config;
use hourdrop::domain::ids::FeedId;
use hourdrop::ledger::Ledger;
use hourdrop::remote::Endpoint;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const NOW: &str = "2024-11-03T05:00:00Z";
const SOURCE: &str = "files = \"in/*.log\"\nfinished = \"renamed\"";

/// One hour with three part files, for a partner with these keys.
fn configured(site: &Site, keys: &str) -> PathBuf {
    let config = one_feed(site, SOURCE, "records_max = 2", "forever");
    let text = fs::read_to_string(&config).expect("configuration");
    let head = "[partner.huaxin]\n";
    assert!(text.contains(head));
    site.write("hourdrop.toml", text.replace(head, &format!("{head}{keys}\n")))
}

fn give_calls(site: &Site) {
    let lines: String = (1..=6).map(|minute| call_line(minute, &format!("c{minute}"))).collect();
    site.write("in/1.log", lines);
}

/// The evidence of every file of the ledger.
fn evidence(site: &Site) -> Vec<String> {
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let feed = FeedId::parse("huaxin/voice").expect("a feed");
    let files = ledger.file_rows(&feed).expect("files");
    files.into_iter().map(|file| file.verified.expect("evidence")).collect()
}

#[test]
fn what_a_partner_wants_compared_is_the_evidence_in_the_ledger() {
    for (verify, expected) in
        [("size", "reply-and-size"), ("hash", "reply-and-hash"), ("read-back", "reply-and-read-back")]
    {
        let site = Site::new();
        let config = configured(&site, &format!("verify = \"{verify}\"\nconnections = 3"));
        give_calls(&site);
        assert_eq!(once(&config, NOW).exit_code(), 0);
        assert_eq!(evidence(&site), vec![expected.to_owned(); 4], "three part files and a manifest");
        assert_eq!(delivered_calls(&site).len(), 3);
        assert_eq!(site.dropped("huaxin", ".json").len(), 1);
    }
}

#[test]
fn without_rename_everything_arrives_under_its_final_name_and_check_says_what_it_takes() {
    let site = Site::new();
    let config = configured(&site, "rename = false\nconnections = 3");
    give_calls(&site);
    let warnings = config::load(&config, time(NOW)).expect("a configuration").problems;
    let said = |text: &str| warnings.iter().any(|problem| problem.message.contains(text));
    assert!(said("can be seen before they are complete"), "{warnings:?}");
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(evidence(&site), vec!["reply-and-size".to_owned(); 4]);
    assert_eq!(site.dropped("huaxin", ".json").len(), 1);
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let facts = ledger.facts_about("huaxin/voice").expect("facts");
    assert!(facts.iter().any(|fact| fact.detail.ends_with(", its final name")), "{facts:?}");
    assert!(!facts.iter().any(|fact| fact.kind == "rename-intended"), "{facts:?}");
}

#[test]
fn rename_false_is_refused_without_a_manifest_or_with_a_temporary_directory() {
    let site = Site::new();
    let config = configured(&site, "rename = false\ntemporary_dir = \"work\"");
    let text = fs::read_to_string(&config).expect("configuration");
    let manifest = text.lines().find(|line| line.starts_with("manifest")).expect("a manifest");
    site.write("hourdrop.toml", text.replace(manifest, "manifest = false"));
    let loaded = config::load(&config, time(NOW)).expect("a configuration");
    let said = |text: &str| loaded.problems.iter().any(|problem| problem.message.contains(text));
    assert!(loaded.config.is_none());
    assert!(said("huaxin/voice has no manifest") && said("exclude each other"), "{:?}", loaded.problems);
}

#[test]
fn a_server_without_hashes_gets_nothing_and_the_alarm_says_what_to_write() {
    let server = TestServer::vsftpd();
    let Endpoint::Ftp(ftp) = &server.endpoint else { panic!("an FTP server") };
    let site = Site::new();
    let config = configured(&site, "verify = \"hash\"\npassword = { file = \"secret\" }");
    let secret = site.write("secret", "testpass");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode");
    let deliver = format!("deliver = \"ftp://anonymous@127.0.0.1:{}/files\"", ftp.port);
    let text = fs::read_to_string(&config).expect("configuration");
    let local = text.lines().find(|line| line.starts_with("deliver = ")).expect("where to");
    site.write("hourdrop.toml", format!("once_deliver_for = \"1s\"\n{}", text.replace(local, &deliver)));
    give_calls(&site);
    let report = once(&config, NOW);
    let alarm = report.alarms.first().expect("an alarm");
    assert_eq!((alarm.code.as_str(), fs::read_dir(&server.files).expect("directory").count()), ("HD0210", 0));
    assert!(alarm.message.contains("verify = \"read-back\""), "{}", alarm.message);
    let text = fs::read_to_string(&config).expect("configuration");
    site.write("hourdrop.toml", text.replace("\"hash\"", "\"read-back\""));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(evidence(&site), vec!["reply-and-read-back".to_owned(); 4]);
}
