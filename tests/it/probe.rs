//! `probe` against real servers and lying ones: what it finds, what it leaves behind, and how it ends.

mod documented;

use crate::scripted_server::{Quirk, ScriptedServer};
use crate::servers::{Certificates, SshKeys, TestServer, free_port};
use crate::site::{Site, files_in, load};
use hourdrop::app::probe::{Mark, OntoExisting, ProbeContext, ProbeReport, Renamed, Topic, Tried, Verdict, probe};
use hourdrop::app::store::lock;
use hourdrop::clock::SystemClock;
use hourdrop::disk::RealDisk;
use hourdrop::ledger::Ledger;
use hourdrop::remote::endpoint::{HostKeys, Protection};
use hourdrop::remote::tls::Trust;
use hourdrop::remote::{Deadlines, Endpoint, RemotePath};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const NOW: &str = "2026-11-28T00:00:00Z";
const NOBODYS: &str = "foreign.dat";

/// A configuration with one partner, of which these lines are given.
fn configured(site: &Site, partner: &str) -> PathBuf {
    let password = site.write("password", "testpass\n");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("mode");
    let picks_up = if partner.contains("picks_up") { "" } else { "picks_up = [\"HX_*.dat\", \"HX_*.json\"]" };
    site.configure(&format!(
        r#"
state   = "state"
archive = "archive"
[source.switch]
files    = "in/*.log"
finished = "renamed"
format   = "kamailio-acc-cdrs"
[partner.huaxin]
{partner}
{picks_up}
[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
hour_by   = "start_time"
starts_at = "2026-11-20T10:00:00Z"
name      = "HX_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
manifest  = {{ name = "HX_{{start:%Y%m%d%H}}_{{revision:02}}.json" }}
"#
    ))
}

/// The lines of a partner whose files go to the directory `out` of a test server.
fn lines_of(server: &TestServer) -> String {
    let directory =
        if server.base == RemotePath::login_directory() { "out".to_owned() } else { format!("{}/out", server.base) };
    match &server.endpoint {
        Endpoint::Ftp(ftp) => {
            let (scheme, tls) = match &ftp.protection {
                Protection::None => ("ftp", String::new()),
                Protection::Explicit(rules) => ("ftps", tls("explicit", &rules.trust)),
                Protection::Implicit(rules) => ("ftps", tls("implicit", &rules.trust)),
            };
            let place = format!("{}@{}:{}/{directory}", ftp.user, ftp.host, ftp.port);
            format!("deliver = \"{scheme}://{place}\"\npassword = {{ file = \"password\" }}\n{tls}")
        }
        Endpoint::Sftp(ssh) => {
            let HostKeys::Pinned(pins) = &ssh.host_keys else { panic!("pinned keys") };
            let place = format!("{}@{}:{}/{directory}", ssh.user, ssh.host, ssh.port);
            let password = "password = { file = \"password\" }";
            format!("deliver = \"sftp://{place}\"\n{password}\nhost_key = {pins:?}\n")
        }
        Endpoint::LocalDir { path, .. } => format!("deliver = \"{}\"\n", path.join("out").display()),
    }
}

fn tls(mode: &str, trust: &Trust) -> String {
    let Trust::Authority(path) = trust else { panic!("an authority") };
    format!("tls = {{ mode = \"{mode}\", ca = \"{}\" }}\n", path.display())
}

fn without(lines: &str, key: &str) -> String {
    lines.split_inclusive('\n').filter(|line| !line.starts_with(key)).collect()
}

fn advice(report: &ProbeReport) -> Vec<(&str, bool)> {
    report.advice.iter().map(|advice| (advice.line.as_str(), advice.is_needed)).collect()
}

/// Makes the directory of the partner, with a file that is nobody's business.
fn furnish(server: &TestServer) -> BTreeMap<String, Vec<u8>> {
    if let Endpoint::LocalDir { path, .. } = &server.endpoint {
        fs::create_dir(path.join("out")).expect("directory");
    } else {
        let mut session = server.endpoint.connect(&Deadlines::default(), Arc::new(RealDisk)).expect("session");
        let out = server.base.join(&hourdrop::domain::ids::FileName::parse("out").expect("name"));
        session.create_dir(&out).expect("directory");
    }
    fs::write(server.files.join("out").join(NOBODYS), "not ours").expect("write");
    files_in(&server.files)
}

fn probed(config: &Path) -> ProbeReport {
    let config = load(config, NOW);
    let ledger = config.ledger_path();
    let ledger = ledger.exists().then(|| Ledger::open_read_only(&ledger).expect("ledger"));
    let (disk, clock) = (Arc::new(RealDisk), Arc::new(SystemClock));
    let context = ProbeContext { config: &config, disk, clock, ledger: ledger.as_ref() };
    let partner = &config.partners[0];
    probe(&context, partner, &partner.address).expect("a report")
}

fn mark(report: &ProbeReport, topic: Topic) -> Option<Mark> {
    report.judged().into_iter().find(|(found, _)| *found == topic).map(|(_, mark)| mark)
}

/// What the program says and how it ends.
fn run(site: &Site, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourdrop"));
    command.arg("probe").args(arguments).current_dir(site.path(".")).stdin(Stdio::null());
    let output = command.output().expect("the program runs");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    (output.status.code().expect("a code"), text)
}

/// Probes a server and checks what holds for each: it is usable, and everything is as it was before.
fn probe_server(server: &TestServer) -> ProbeReport {
    let site = Site::new();
    let before = furnish(server);
    let config = configured(&site, &lines_of(server));
    let report = probed(&config);
    let judged = report.judged();
    assert_eq!(report.verdict(), Verdict::Usable, "{}: {judged:?} {:?}", server.name, report.trials);
    assert_eq!(report.left, [], "{}", server.name);
    assert_eq!(files_in(&server.files), before, "{}", server.name);
    let place = report.place.done().expect("the directory");
    let names: Vec<&str> = place.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!((names.as_slice(), place.was_missing), (&[NOBODYS][..], false), "{}", server.name);
    let trials = &report.trials;
    assert_eq!(trials.size, Tried::Done((Some(1000), 1000)), "{}", server.name);
    assert_eq!(trials.rename, Tried::Done(Renamed { old_is_gone: true, new_is_whole: true }), "{}", server.name);
    assert_eq!((trials.transfers.done, &trials.transfers.fault), (5, &None), "{}", server.name);
    assert_eq!((&trials.listed, &trials.remove), (&Tried::Done(true), &Tried::Done(true)), "{}", server.name);
    assert_eq!(trials.read_back, Tried::Done(true), "{}", server.name);
    assert_eq!(trials.server_hash, Tried::Done(server.states_hashes().then_some(true)), "{}", server.name);
    assert_eq!(trials.clock_ahead, Tried::Done(Some(0)), "{}", server.name);
    assert_eq!(mark(&report, Topic::Feed(0)), Some(Mark::Good));
    report
}

#[test]
fn a_missing_directory_is_made_and_named() {
    let server = TestServer::demo();
    let site = Site::new();
    let report = probed(&configured(&site, &lines_of(&server)));
    assert!(report.place.done().expect("directory").was_missing);
    assert_eq!((mark(&report, Topic::Directory), report.verdict()), (Some(Mark::Warn), Verdict::Usable));
    assert!(server.files.join("out").is_dir() && files_in(&server.files).is_empty());
}

#[test]
fn a_temporary_directory_is_tried_on_the_way_to_the_final_one() {
    let server = TestServer::pure_ftpd();
    let site = Site::new();
    let before = furnish(&server);
    let report = probed(&configured(&site, &format!("{}temporary_dir = \"work\"\n", lines_of(&server))));
    assert_eq!(report.verdict(), Verdict::Usable, "{:?}", report.judged());
    assert_eq!(report.trials.rename, Tried::Done(Renamed { old_is_gone: true, new_is_whole: true }));
    assert!(report.temporary_place.done().expect("directory").was_missing && server.files.join("work").is_dir());
    assert_eq!(files_in(&server.files), before);
    // From a directory whose files are all taken nothing of ours may be taken.
    let taking = format!("{}temporary_dir = \"work\"\npicks_up = [\"*\"]\n", lines_of(&server));
    let report = probed(&configured(&site, &taking));
    assert_eq!((report.verdict(), report.taken_by.as_deref()), (Verdict::Usable, Some("*")));
    assert_eq!(mark(&report, Topic::PicksUp), Some(Mark::Warn));
    assert_eq!(files_in(&server.files), before);
}

#[test]
fn directories_that_the_partner_writes_to_are_looked_at_and_never_made() {
    let (site, server) = (Site::new(), TestServer::pure_ftpd());
    let lines = lines_of(&server) + "pickup = { by = \"moved:done\" }\n";
    let marks = |config: &Path| {
        let report = probed(config);
        (report.verdict(), mark(&report, Topic::PartnerPlace(0)), mark(&report, Topic::PartnerPlace(1)))
    };
    let config = configured(&site, &lines);
    assert_eq!(marks(&config), (Verdict::Usable, Some(Mark::Warn), None));
    assert!(!server.files.join("done").exists());
    let told = || run(&site, &["huaxin"]).1.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told().contains("warn pickup.by done: ") && told().contains("the partner makes it"), "{}", told());
    fs::create_dir(server.files.join("done")).expect("directory");
    fs::write(server.files.join("done/taken.dat"), "x").expect("file");
    assert_eq!(marks(&config), (Verdict::Usable, Some(Mark::Good), None));
    assert!(told().contains("ok pickup.by done: can be listed: 1 name"), "{}", told());
}

#[test]
fn a_certificate_that_is_not_trusted_can_be_pinned_by_the_line_that_is_recommended() {
    let (shown, others) = (Certificates::for_this_machine(), Certificates::for_this_machine());
    let server = TestServer::pure_ftpd_tls(&shown);
    furnish(&server);
    let site = Site::new();
    let lines = lines_of(&server);
    let ours = shown.authority.display().to_string();
    let report = probed(&configured(&site, &lines.replace(&ours, &others.authority.display().to_string())));
    let tls = report.reach.as_ref().and_then(|reach| reach.tls.clone()).expect("TLS");
    assert_eq!((report.verdict(), mark(&report, Topic::Tls)), (Verdict::Unusable, Some(Mark::Fail)));
    assert_eq!(report.login, Tried::Not, "nobody logs in at a server that is not trusted");
    assert_eq!(tls.certificate.fingerprint, Some(shown.fingerprint));
    assert_eq!(tls.certificate.names, ["localhost", "127.0.0.1"]);
    assert!(tls.distrust.expect("a reason").contains("another key"));
    let [advice] = report.advice.as_slice() else { panic!("{:?}", report.advice) };
    assert!(advice.is_needed && advice.line.contains(&format!("pins = [\"sha256:{}\"]", shown.fingerprint)));
    let without_tls = without(&lines, "tls");
    let report = probed(&configured(&site, &without_tls));
    let distrust = report.reach.as_ref().and_then(|reach| reach.tls.as_ref()?.distrust.clone());
    assert!(distrust.expect("a reason").contains("nobody whom `tls` trusts") && report.login == Tried::Not);
    let mut report = probed(&configured(&site, &format!("{without_tls}{}\n", advice.line)));
    assert_eq!(report.verdict(), Verdict::Usable, "{:?}", report.judged());
    let (from, to) = report.reach.as_ref().and_then(|reach| reach.tls.as_ref()?.certificate.valid).expect("dates");
    assert!(from < report.at && report.at < to && mark(&report, Topic::Tls) == Some(Mark::Good));
    report.at = to.before(hourdrop::domain::time::Length::from_seconds(29 * 86_400));
    assert_eq!(mark(&report, Topic::Tls), Some(Mark::Warn), "a certificate that ends soon");
}

#[test]
fn a_host_key_that_is_not_known_can_be_pinned_by_the_line_that_is_recommended() {
    let keys = SshKeys::of_kinds(&["ed25519", "rsa"]);
    let server = TestServer::openssh(&keys);
    furnish(&server);
    let site = Site::new();
    let keyless = without(&lines_of(&server), "host_key");
    for unknown in ["host_key = []".to_owned(), "known_hosts = \"nowhere\"".to_owned()] {
        let report = probed(&configured(&site, &format!("{keyless}{unknown}\n")));
        assert_eq!((report.verdict(), &report.login), (Verdict::Unusable, &Tried::Not), "{unknown}");
        assert_eq!(mark(&report, Topic::HostKey), Some(Mark::Fail));
        let shown = report.reach.as_ref().and_then(|reach| reach.ssh.clone()).expect("keys");
        let prints: Vec<String> = shown.keys.into_iter().map(|key| key.fingerprint).collect();
        assert_eq!(prints, keys.fingerprints());
        let [advice] = report.advice.as_slice() else { panic!("{:?}", report.advice) };
        let report = probed(&configured(&site, &format!("{keyless}{}\n", advice.line)));
        assert_eq!((report.verdict(), report.advice.len()), (Verdict::Usable, 0), "{:?}", report.judged());
        let ssh = report.reach.as_ref().and_then(|reach| reach.ssh.clone()).expect("keys");
        assert!(ssh.is_known && ssh.methods == ["publickey", "password"], "{ssh:?}");
    }
}

#[test]
fn a_password_that_is_refused_is_not_usable_and_not_shown() {
    let server = TestServer::pure_ftpd();
    furnish(&server);
    let site = Site::new();
    configured(&site, &lines_of(&server));
    fs::write(site.path("password"), "not-the-right-one\n").expect("write");
    let (code, text) = run(&site, &["huaxin"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("FAIL  login") && text.contains("NOT USABLE") && !text.contains("not-the-right-one"),
        "{text}"
    );
    fs::remove_file(site.path("password")).expect("remove");
    let (code, text) = run(&site, &["huaxin"]);
    assert!(code == 78 && text.contains("cannot read the secret"), "{code} {text}");
}

/// The report about a server with a quirk, on which a foreign file lies; it must be the only one afterwards.
fn probe_scripted(quirk: Quirk, times: u32, more: &str) -> (ProbeReport, Vec<String>, (i32, String)) {
    let server = ScriptedServer::start(quirk, times);
    server.world().files.insert(format!("out/{NOBODYS}"), b"not ours".to_vec());
    let site = Site::new();
    let deadlines = "deadlines = { connect = \"1s\", command = \"1s\", transfer_idle = \"1s\", final_reply = \"1s\" }";
    let place = format!("deliver = \"ftp://acme@127.0.0.1:{}/out\"", server.port());
    let lines = format!("{place}\npassword = {{ file = \"password\" }}\n{deadlines}\n{more}\n");
    let report = probed(&configured(&site, &lines));
    let said = run(&site, &["huaxin"]);
    let world = server.world();
    let expected = BTreeMap::from([(format!("out/{NOBODYS}"), b"not ours".to_vec())]);
    if report.left.is_empty() {
        assert_eq!(world.files, expected, "{quirk:?}");
    }
    assert!(!said.1.contains("testpass"), "{quirk:?}: {}", said.1);
    let foreign = |command: &&String| command.contains(NOBODYS);
    assert_eq!(world.commands.iter().find(foreign), None, "{quirk:?}: a foreign file is nobody's business");
    (report, world.commands.clone(), said)
}

const ALWAYS: u32 = u32::MAX;

#[test]
fn servers_that_lack_something_are_judged_by_what_a_delivery_needs() {
    for (quirk, times, verdict, failed) in [
        (Quirk::Nothing, 0, Verdict::Usable, None),
        (Quirk::RefuseRename, ALWAYS, Verdict::Unusable, Some(Topic::Rename)),
        (Quirk::NoSize, ALWAYS, Verdict::Usable, None),
        (Quirk::DropBox, ALWAYS, Verdict::Unusable, Some(Topic::Size)),
        (Quirk::LieAboutSize, ALWAYS, Verdict::Unusable, Some(Topic::Size)),
        (Quirk::LateSize, 2, Verdict::Usable, None),
        (Quirk::ShoutPassword, ALWAYS, Verdict::Unusable, Some(Topic::Login)),
        (Quirk::LimitAtLogin, ALWAYS, Verdict::Temporary, Some(Topic::Login)),
        (Quirk::Full, ALWAYS, Verdict::Temporary, Some(Topic::Server)),
        (Quirk::HangAtGreeting, ALWAYS, Verdict::Temporary, Some(Topic::Server)),
        (Quirk::RefuseEpsv, ALWAYS, Verdict::Usable, None),
        (Quirk::WrongAddress, ALWAYS, Verdict::Usable, None),
        (Quirk::BreakStore, ALWAYS, Verdict::Temporary, Some(Topic::Write)),
        (Quirk::DropAfterStore, 1, Verdict::Temporary, Some(Topic::Write)),
    ] {
        let (report, _, (code, text)) = probe_scripted(quirk, times, "");
        assert_eq!(report.verdict(), verdict, "{quirk:?}: {:?} {:?}", report.judged(), report.trials);
        if let Some(topic) = failed {
            let mark = mark(&report, topic);
            assert!(matches!(mark, Some(Mark::Fail | Mark::FailNow)), "{quirk:?}: {mark:?}");
        }
        let expected = match verdict {
            Verdict::Usable => 0,
            Verdict::Temporary => 5,
            Verdict::Unusable => 1,
        };
        // A quirk that happens a few times only has happened.
        let is_lasting = times == ALWAYS || expected == 0;
        assert!(code == expected || !is_lasting, "{quirk:?}: {code}\n{text}");
        assert_eq!(report.left, [], "{quirk:?}");
    }
}

#[test]
fn a_wrong_address_and_missing_features_are_told() {
    let (report, ..) = probe_scripted(Quirk::WrongAddress, ALWAYS, "");
    assert!(report.announces_another_address());
    let (report, ..) = probe_scripted(Quirk::NoSize, ALWAYS, "");
    let facts = report.facts.done().expect("facts");
    assert!(facts.features.is_empty() && ["LIST", "NLST"].contains(&facts.listing), "{facts:?}");
    assert_eq!(report.trials.onto_existing, Tried::Done(OntoExisting::Replaces));
}

#[test]
fn what_cannot_be_removed_is_named() {
    let (report, _, (code, text)) = probe_scripted(Quirk::RefuseRemove, ALWAYS, "");
    assert!(!report.left.is_empty() && report.left.iter().all(|left| left.path.as_str().starts_with("out/")));
    assert_eq!((mark(&report, Topic::Left), code), (Some(Mark::Warn), 0), "{text}");
    assert!(text.contains("remove by hand: out/"), "{text}");
}

#[test]
fn nothing_is_written_under_names_that_the_partner_takes() {
    let picks_up = "picks_up = [\"HX_*.dat\", \"HX_*.json\", \"probe*\"]";
    let (report, commands, (code, _)) = probe_scripted(Quirk::Nothing, 0, picks_up);
    assert_eq!((report.verdict(), code, report.taken_by.as_deref()), (Verdict::Unusable, 1, Some("probe*")));
    let wrote = commands.iter().any(|command| command.starts_with("STOR") || command.starts_with("RN"));
    assert!(!wrote, "{commands:?}");
}

#[test]
fn a_server_that_is_not_there_ends_with_5_and_mistakes_with_their_own_codes() {
    let site = Site::new();
    configured(
        &site,
        &format!("deliver = \"ftp://acme@127.0.0.1:{}/out\"\npassword = {{ file = \"password\" }}\n", free_port()),
    );
    let (code, text) = run(&site, &["huaxin"]);
    assert!(code == 5 && text.contains("FAIL  server") && text.contains("NOT USABLE NOW"), "{code} {text}");
    let (code, text) = run(&site, &["huaxin", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &value["verdict"], &value["checks"][0]["mark"]), (5, &"not now".into(), &"fail".into()));
    let (code, text) = run(&site, &["huaxim"]);
    assert!(code == 2 && text.contains("did you mean huaxin?"), "{code} {text}");
    site.configure("nonsense = 1\n");
    assert_eq!(run(&site, &["huaxin"]).0, 78);
}

#[test]
fn it_works_while_another_instance_works_and_sees_what_the_feeds_would_meet() {
    let site = Site::new();
    let drop = site.drop_dir("huaxin");
    let config = configured(&site, &format!("deliver = \"{}\"\n", drop.display()));
    site.write("in/a.log", crate::site::call_line(0, "a"));
    let report = probed(&config);
    assert_eq!((report.feeds[0].waiting, report.feeds[0].mark()), (0, Mark::Good));
    let next = report.feeds[0].next[0].clone();
    assert_eq!(next, "HX_2026112010_00001.dat");
    fs::write(drop.join(&next), "somebody else's").expect("write");
    let report = probed(&config);
    assert_eq!((&report.feeds[0].in_the_way, report.feeds[0].ahead.as_ref()), (&vec![next.clone()], None));
    assert_eq!((report.feeds[0].mark(), report.verdict()), (Mark::Warn, Verdict::Usable));
    fs::remove_file(drop.join(&next)).expect("remove");
    drop_state(&site, &config);
    let locked = lock(&site.path("state")).expect("the lock");
    let before = files_in(&drop);
    let (code, text) = run(&site, &["huaxin"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(files_in(&drop), before);
    let mark = fs::read_to_string(site.path("state/STORE_ID")).expect("identity")[..8].to_owned();
    assert!(text.contains(&format!(".{mark}-1.tmp")), "names carry the mark of this store: {text}");
    std::mem::drop(locked);
}

#[test]
fn a_server_without_rename_is_usable_by_the_line_that_is_recommended() {
    let (report, ..) = probe_scripted(Quirk::RefuseRename, ALWAYS, "");
    assert_eq!(advice(&report), [("rename = false", true)]);
    let (report, _, (code, text)) = probe_scripted(Quirk::RefuseRename, ALWAYS, "rename = false");
    assert_eq!(
        (report.verdict(), code, mark(&report, Topic::Rename)),
        (Verdict::Usable, 0, Some(Mark::Note)),
        "{text}"
    );
    let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(report.advice.is_empty() && said.contains("not needed, because of `rename = false`"), "{text}");
    let (report, ..) = probe_scripted(Quirk::Nothing, 0, "rename = false");
    assert_eq!((report.verdict(), advice(&report)), (Verdict::Usable, vec![("rename = true", false)]));
    // It may be the way out of that directory that fails.
    let (report, ..) = probe_scripted(Quirk::RefuseRename, ALWAYS, "temporary_dir = \"out\"");
    assert_eq!((report.verdict(), advice(&report)), (Verdict::Unusable, vec![]));
    let picks_up = "rename = false\npicks_up = [\"HX_*.dat\", \"HX_*.json\", \"probe*\"]";
    let (report, commands, _) = probe_scripted(Quirk::Nothing, 0, picks_up);
    assert_eq!((report.verdict(), mark(&report, Topic::PicksUp)), (Verdict::Usable, Some(Mark::Warn)));
    assert!(!commands.iter().any(|command| command.starts_with("STOR")), "{commands:?}");
}

#[test]
fn the_comparison_that_the_server_allows_is_recommended() {
    let (with, without) = (TestServer::proftpd_with_hashes(), TestServer::proftpd());
    for (server, verify, verdict, recommended) in [
        (&with, "size", Verdict::Usable, vec![("verify = \"hash\"", false)]),
        (&with, "read-back", Verdict::Usable, vec![("verify = \"hash\"", false)]),
        (&with, "hash", Verdict::Usable, vec![]),
        (&without, "size", Verdict::Usable, vec![]),
        (&without, "read-back", Verdict::Usable, vec![]),
        (&without, "hash", Verdict::Unusable, vec![("verify = \"read-back\"", true)]),
    ] {
        furnish(server);
        let site = Site::new();
        let report = probed(&configured(&site, &format!("{}verify = \"{verify}\"\n", lines_of(server))));
        assert_eq!((report.verdict(), advice(&report)), (verdict, recommended), "{} {verify}", server.name);
    }
    let site = Site::new();
    configured(&site, &lines_of(&without));
    let (_, text) = run(&site, &["huaxin"]);
    assert!(text.contains("verify = \"read-back\""), "{text}");
}

#[test]
fn every_server_of_a_partner_is_probed_and_the_worst_decides() {
    let (good, other) = (ScriptedServer::start(Quirk::Nothing, 0), ScriptedServer::start(Quirk::Nothing, 0));
    let bad = ScriptedServer::start(Quirk::RefuseRename, ALWAYS);
    let site = Site::new();
    let probe = |ports: &[u16], more: &[&str]| {
        let urls: Vec<String> = ports.iter().map(|port| format!("ftp://acme@127.0.0.1:{port}/out")).collect();
        configured(&site, &format!("endpoints = {urls:?}\npassword = {{ file = \"password\" }}\n"));
        run(&site, &[&["huaxin"], more].concat())
    };
    let gone = free_port();
    for (ports, expected) in [
        (vec![good.port(), other.port()], 0),
        (vec![good.port(), gone], 5),
        (vec![gone, good.port()], 5),
        (vec![gone, good.port(), bad.port()], 1),
    ] {
        let (code, text) = probe(&ports, &[]);
        let at: Vec<_> = ports
            .iter()
            .map(|port| text.find(&format!("hourdrop probe huaxin  ftp://acme@127.0.0.1:{port}")))
            .collect();
        assert!(code == expected && at.iter().all(Option::is_some) && at.is_sorted(), "{code} {at:?}\n{text}");
        let (code, text) = probe(&ports, &["--json"]);
        let found: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((code, found.len()), (expected, ports.len()), "{text}");
    }
    let (code, text) = probe(&[gone, good.port()], &["--endpoint", "2"]);
    assert!(code == 0 && !text.contains(&gone.to_string()), "{code} {text}");
    for number in ["0", "3"] {
        let (code, text) = probe(&[gone, good.port()], &["--endpoint", number]);
        assert!(code == 2 && text.contains("it has 2 endpoints"), "{code} {text}");
    }
}

#[test]
fn names_are_tried_in_the_charset_of_the_partner() {
    let server = TestServer::vsftpd();
    let before = furnish(&server);
    for (charset, letters) in
        [("gbk", "\u{8bdd}\u{5355}"), ("big5", "\u{8a71}\u{55ae}"), ("windows-1252", "\u{e9}\u{fc}")]
    {
        let site = Site::new();
        let report = probed(&configured(&site, &format!("{}charset = \"{charset}\"\n", lines_of(&server))));
        assert_eq!((report.verdict(), report.letters), (Verdict::Usable, letters), "{charset}: {:?}", report.judged());
        assert_eq!(report.trials.unusual_name, Tried::Done(true), "{charset}");
        assert_eq!((files_in(&server.files), report.left.len()), (before.clone(), 0), "{charset}");
    }
}

#[test]
fn the_way_of_data_connections_that_works_is_recommended() {
    let deaf = TestServer::vsftpd_configured("pasv_enable=NO\n");
    furnish(&deaf);
    let site = Site::new();
    let lines = lines_of(&deaf);
    let report = probed(&configured(&site, &lines));
    assert_eq!((report.verdict(), advice(&report)), (Verdict::Unusable, vec![("data = \"active\"", true)]));
    let report = probed(&configured(&site, &format!("{lines}data = \"active\"\nbind = \"127.0.0.1\"\n")));
    assert_eq!((report.verdict(), advice(&report)), (Verdict::Usable, vec![]), "{:?}", report.judged());
    assert_eq!(mark(&report, Topic::DataConnections), Some(Mark::Good));
    let timid = TestServer::vsftpd_configured("port_enable=NO\n");
    furnish(&timid);
    let site = Site::new();
    let report = probed(&configured(&site, &format!("{}data = \"active\"\n", lines_of(&timid))));
    assert_eq!(advice(&report), [("data = \"passive\"", true)], "{:?} {:?}", report.judged(), report.place);
    // Who binds to another address comes from there.
    let report = probed(&configured(&site, &format!("{}bind = \"192.0.2.1\"\n", lines_of(&timid))));
    let fault = report.reach.as_ref().and_then(|reach| reach.fault.clone()).expect("no such address here");
    assert!(fault.to_string().contains("`bind` to 192.0.2.1"), "{fault}");
}

#[test]
fn a_server_that_refuses_the_newest_tls_is_tried_with_the_one_before_it() {
    let certificates = Certificates::for_this_machine();
    let server = TestServer::proftpd_tls(&certificates);
    let before = furnish(&server);
    let site = Site::new();
    let lines = lines_of(&server).replace("tls = { ", "tls = { max = \"1.3\", ");
    let report = probed(&configured(&site, &lines));
    assert_eq!(report.verdict(), Verdict::Usable, "{:?}", report.judged());
    assert_eq!((mark(&report, Topic::Tls), report.trials.transfers.done), (Some(Mark::Warn), 5));
    let [advice] = report.advice.as_slice() else { panic!("{:?}", report.advice) };
    assert!(advice.line.contains("max = \"1.2\"") && !advice.is_needed, "{advice:?}");
    assert_eq!((files_in(&server.files), report.left), (before, vec![]));
}

/// Lets the exporter make its state.
fn drop_state(site: &Site, config: &Path) {
    std::mem::drop(crate::site::open(config, NOW));
    assert!(site.path("state/STORE_ID").exists());
}
