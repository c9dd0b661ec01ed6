//! A partner's `verify`, `rename`, `connections` and `dropped_files`, from the configuration to the ledger.

use crate::servers::TestServer;
use crate::site::{Site, call_line, delivered_calls, files_in, once, one_feed, time};
use hourdrop::app::config;
use hourdrop::domain::ids::FeedId;
use hourdrop::ledger::Ledger;
use hourdrop::remote::Endpoint;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
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

/// What the file system says of every file that a partner has, and of the same file in the archive.
fn dropped_and_archived(site: &Site) -> Vec<(Metadata, Metadata)> {
    let look = |path: PathBuf| fs::metadata(path).expect("a file");
    let archived = files_in(&site.path("archive")).into_keys();
    let pairs = archived.filter_map(|path| {
        let name = path.rsplit('/').next().filter(|name| name.starts_with("HX_"))?;
        Some((look(site.drop_dir("huaxin").join(name)), look(site.path("archive").join(&path))))
    });
    pairs.collect()
}

#[test]
fn dropped_files_have_the_owner_group_and_mode_that_the_partner_needs() {
    let site = Site::new();
    let ours = fs::metadata(site.path("")).expect("directory");
    // Whoever is not root gives files to nobody but oneself.
    let (name, owner, group) = match ours.uid() {
        0 => ("daemon".to_owned(), 1, 1),
        own => (own.to_string(), own, ours.gid()),
    };
    let config =
        configured(&site, &format!("dropped_files = {{ owner = \"{name}\", group = \"{group}\", mode = \"0664\" }}"));
    give_calls(&site);
    assert_eq!(once(&config, NOW).exit_code(), 0);
    let files = dropped_and_archived(&site);
    assert_eq!(files.len(), 4, "three part files and a manifest");
    for (dropped, archived) in files {
        assert_eq!((dropped.uid(), dropped.gid(), dropped.mode() & 0o7777), (owner, group, 0o664));
        assert_eq!((archived.uid(), archived.mode() & 0o7777), (ours.uid(), 0o440), "the archive is ours");
    }
    site.assert_archive_is_what_was_dropped(&["huaxin"]);
}

#[test]
fn hard_links_are_delivered_whole_and_a_partner_takes_only_its_own_name_away() {
    let site = Site::new();
    let config = configured(&site, "dropped_files = { hard_link = true }");
    give_calls(&site);
    let loaded = config::load(&config, time(NOW)).expect("a configuration");
    assert!(loaded.problems.iter().any(|problem| problem.message.contains("share each file")), "{:?}", loaded.problems);
    assert_eq!(once(&config, NOW).exit_code(), 0);
    let files = dropped_and_archived(&site);
    assert_eq!(files.len(), 4);
    for (dropped, archived) in &files {
        assert_eq!((dropped.ino(), dropped.nlink(), dropped.mode() & 0o7777), (archived.ino(), 2, 0o440));
    }
    let before = files_in(&site.path("archive"));
    for name in site.dropped("huaxin", "").into_keys() {
        fs::remove_file(site.drop_dir("huaxin").join(name)).expect("the partner takes it");
    }
    assert_eq!(files_in(&site.path("archive")), before);
}

#[test]
fn a_damaged_file_of_the_archive_gets_no_hard_link() {
    let site = Site::new();
    let config = configured(&site, "dropped_files = { hard_link = true }");
    let text = fs::read_to_string(&config).expect("configuration");
    let (drop, away) = (site.drop_dir("huaxin"), site.path("away"));
    site.configure(&format!("once_deliver_for = \"1s\"\n{text}"));
    fs::rename(&drop, &away).expect("the directory is not mounted");
    give_calls(&site);
    assert_eq!(once(&config, NOW).exit_code(), 5);
    let archived =
        files_in(&site.path("archive")).into_keys().find(|name| name.ends_with(".dat")).expect("a part file");
    let archived = site.path("archive").join(archived);
    fs::set_permissions(&archived, fs::Permissions::from_mode(0o640)).expect("mode");
    let mut bytes = fs::read(&archived).expect("read");
    bytes[20] ^= 1;
    fs::write(&archived, bytes).expect("write");
    fs::rename(&away, &drop).expect("it is there again");
    assert_eq!(once(&config, NOW).alarms.first().map(|alarm| alarm.code.as_str()), Some("HD0701"));
    let name = archived.file_name().expect("name").to_string_lossy().into_owned();
    assert!(!site.dropped("huaxin", "").contains_key(&name), "nobody is shown what was not archived");
}

#[test]
fn an_archive_on_another_file_system_cannot_be_linked_and_the_alarm_says_so() {
    let (site, elsewhere) = (Site::new(), Site::in_memory());
    let device = |site: &Site| fs::metadata(site.path("")).expect("directory").dev();
    let is_apart = device(&site) != device(&elsewhere);
    let config = configured(&site, "dropped_files = { hard_link = true }");
    let text = fs::read_to_string(&config).expect("configuration");
    let (here, there) = (site.drop_dir("huaxin"), elsewhere.drop_dir("huaxin"));
    let moved = text.replace(&here.display().to_string(), &there.display().to_string());
    site.configure(&format!("once_deliver_for = \"1s\"\n{moved}"));
    give_calls(&site);
    once(&config, NOW);
    let loaded = config::load(&config, time(NOW)).expect("a configuration");
    let is_warned = loaded.problems.iter().any(|problem| problem.message.contains("two file systems"));
    let codes: Vec<String> = once(&config, NOW).alarms.into_iter().map(|alarm| alarm.code).collect();
    let delivered = elsewhere.dropped("huaxin", "").len();
    // A machine with one file system delivers: more cannot be shown there.
    let (codes_expected, delivered_expected) = if is_apart { (vec!["HD0210".to_owned()], 0) } else { (Vec::new(), 4) };
    assert_eq!((is_warned, codes, delivered), (is_apart, codes_expected, delivered_expected));
}

#[test]
fn an_owner_that_the_machine_does_not_know_stops_deliveries_and_nothing_else() {
    let site = Site::new();
    let config = configured(&site, "dropped_files = { owner = \"no such user\", group = \"no such group\" }");
    let text = fs::read_to_string(&config).expect("configuration");
    site.configure(&format!("once_deliver_for = \"1s\"\n{text}"));
    give_calls(&site);
    let problems = config::load(&config, time(NOW)).expect("a configuration").problems;
    let said = |text: &str| problems.iter().any(|problem| problem.message == text);
    assert!(said("there is no user `no such user` on this machine"), "{problems:?}");
    assert!(said("there is no group `no such group` on this machine"), "{problems:?}");
    let report = once(&config, NOW);
    let codes: Vec<&str> = report.alarms.iter().map(|alarm| alarm.code.as_str()).collect();
    assert_eq!((codes, site.dropped("huaxin", "").len()), (vec!["HD0210"], 0));
    let ours = fs::metadata(site.path("")).expect("directory");
    let (owner, group) = (ours.uid().to_string(), ours.gid().to_string());
    site.configure(&text.replace("no such user", &owner).replace("no such group", &group));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(site.dropped("huaxin", "").len(), 4);
}

#[test]
fn dropped_files_that_make_no_sense_are_refused_with_what_to_write() {
    let wrong = [
        ("{ mode = \"0888\" }", "`mode` must be octal"),
        ("{ mode = \"4755\" }", "`mode` must be octal"),
        ("{ mode = \"0040\" }", "let the owner read"),
        ("{ hard_link = true, mode = \"0640\" }", "`hard_link` and `mode` exclude each other"),
        ("{ modus = \"0640\" }", "modus"),
    ];
    let site = Site::new();
    for (keys, expected) in wrong {
        let config = configured(&site, &format!("dropped_files = {keys}"));
        let loaded = config::load(&config, time(NOW)).expect("a document");
        let said: Vec<&str> = loaded.problems.iter().map(|problem| problem.message.as_str()).collect();
        assert!(loaded.config.is_none() && said.iter().any(|said| said.contains(expected)), "{keys}: {said:?}");
    }
    let open = configured(&site, "dropped_files = { mode = \"0644\" }");
    let loaded = config::load(&open, time(NOW)).expect("a configuration");
    let warned = loaded.problems.iter().any(|problem| problem.message.contains("everybody with an account"));
    assert!(warned && loaded.config.is_some());
    let text = fs::read_to_string(&open).expect("configuration");
    let local = text.lines().find(|line| line.starts_with("deliver = ")).expect("where to");
    site.configure(&text.replace(local, "deliver = \"sftp://u@127.0.0.1/x\"\nkey = \"k\"\nhost_key = [\"SHA256:x\"]"));
    let loaded = config::load(&open, time(NOW)).expect("a document");
    assert!(loaded.problems.iter().any(|problem| problem.message.contains("a directory of this machine only")));
}
