//! A partner with two servers: what goes to the second, and what stays at the first.

use crate::control_proxy::{Act, ControlProxy};
use crate::reactions::{NOW, contact, partner_config, pass, port_of};
use crate::servers::{SshKeys, TestServer, end_group};
use crate::site::{Site, StandingClock, call_line, files_in, time};
use hourdrop::app::exporter::OnceReport;
use hourdrop::domain::ids::FileName;
use hourdrop::ledger::contact::ContactState;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An hour of two calls, so of two part files.
fn hour(site: &Site, hour: i64) {
    site.write(&format!("in/{hour}.log"), call_line(hour * 60, "one") + &call_line(hour * 60 + 1, "two"));
}

fn go(config: &Path) -> OnceReport {
    pass(config, Arc::new(StandingClock(time(NOW))))
}

fn names(server: &TestServer) -> Vec<String> {
    files_in(&server.files).into_keys().collect()
}

/// A configuration with these servers, one record a file.
fn configure(site: &Site, endpoints: &[String], more: &str) -> PathBuf {
    let config = partner_config(site, &format!("endpoints = {endpoints:?}\n{more}"));
    let text = fs::read_to_string(&config).expect("read");
    let text = text.replace("manifest  = false", "manifest  = false\nrecords_max = 1").replace("\"20s\"", "\"2s\"");
    site.configure(&text)
}

pub fn ftp_url(port: u16) -> String {
    format!("ftp://acme@127.0.0.1:{port}")
}

fn proof_of(site: &Site, sequence: i64) -> String {
    let ledger = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    let query = "SELECT proof_name FROM file WHERE number = ?1";
    ledger.query_row(query, [sequence], |row| row.get(0)).expect("a file")
}

/// A real server, an OpenSSH server beside it, and the configuration of both in this order.
fn two_servers(site: &Site, first_port: impl Fn(&TestServer) -> u16) -> (TestServer, TestServer, SshKeys, PathBuf) {
    let keys = SshKeys::of_kinds(&["ed25519"]);
    let (first, second) = (TestServer::proftpd(), TestServer::openssh(&keys));
    let urls = [ftp_url(first_port(&first)), second.endpoint.to_string()];
    let pins = keys.fingerprints();
    let config = configure(site, &urls, &format!("host_key = {pins:?}"));
    (first, second, keys, config)
}

#[test]
fn hours_go_to_the_second_server_when_the_first_was_stopped_between_two() {
    let site = Site::new();
    let (first, second, _keys, config) = two_servers(&site, port_of);
    hour(&site, 0);
    assert_eq!(go(&config).exit_code(), 0);
    assert_eq!(names(&first), ["HX_2024110302_00001.dat", "HX_2024110302_00002.dat"]);
    assert!(proof_of(&site, 1).starts_with(&format!("{} ", first.endpoint)), "{}", proof_of(&site, 1));
    end_group(first.group());
    hour(&site, 1);
    let report = go(&config);
    assert_eq!((report.exit_code(), report.alarms.len()), (0, 0), "{report:?}");
    assert_eq!(names(&second), ["HX_2024110303_00003.dat", "HX_2024110303_00004.dat"]);
    assert!(proof_of(&site, 4).starts_with(&format!("{} ", second.endpoint)), "{}", proof_of(&site, 4));
    let met = contact(&site);
    assert_eq!(met.endpoint, second.endpoint.to_string());
    let ContactState::Reached { instead_of: Some(why) } = met.state else { panic!("{:?}", met.state) };
    assert!(why.starts_with(&first.endpoint.to_string()), "{why}");
}

#[test]
fn an_hour_that_was_begun_at_a_server_that_stops_waits_for_it_and_goes_on_elsewhere_when_it_is_given_up() {
    let site = Site::new();
    let keys = SshKeys::of_kinds(&["ed25519"]);
    let (first, second) = (TestServer::proftpd(), TestServer::openssh(&keys));
    let group = first.group();
    let proxy = ControlProxy::before(port_of(&first), move |_, command: &str| {
        // The files of an hour are uploaded together, and shown one after the other.
        if command.starts_with("SIZE") && command.ends_with("_00002.dat") {
            end_group(group);
        }
        Act::Pass
    });
    let more = format!("host_key = {:?}", keys.fingerprints());
    let urls = [ftp_url(proxy.port()), second.endpoint.to_string()];
    let config = configure(&site, &urls, &more);
    hour(&site, 0);
    hour(&site, 1);
    for _ in 0..2 {
        let report = go(&config);
        assert_eq!((report.exit_code(), report.partners[0].1.left), (5, 2), "{report:?}");
        assert!(report.alarms[0].code.starts_with("HD02"), "{report:?}");
        assert_eq!(names(&second), [""; 0], "an hour stays where it was begun, and later ones wait for it");
    }
    let shown = |server| names(server).into_iter().filter(|name| name.ends_with(".dat")).collect::<Vec<_>>();
    assert_eq!(shown(&first), ["HX_2024110302_00001.dat"]);
    let config = configure(&site, &urls[1..], &more);
    let report = go(&config);
    assert_eq!((report.exit_code(), report.alarms.len()), (0, 0), "{report:?}");
    let rest = ["HX_2024110302_00002.dat", "HX_2024110303_00003.dat", "HX_2024110303_00004.dat"];
    assert_eq!(names(&second), rest);
}

/// A server that can be switched off and on, with a command at which it switches itself off.
pub fn switched(server: &TestServer, off_at: &'static str, act: Act) -> (ControlProxy, Arc<AtomicBool>) {
    let is_off = Arc::new(AtomicBool::new(false));
    let (switch, mut is_new) = (Arc::clone(&is_off), true);
    let proxy = ControlProxy::before(port_of(server), move |_, command: &str| {
        if switch.load(Ordering::Relaxed) {
            return Act::CloseBefore;
        }
        if is_new && command.starts_with(off_at) {
            is_new = false;
            switch.store(true, Ordering::Relaxed);
            return act;
        }
        Act::Pass
    });
    (proxy, is_off)
}

#[test]
fn an_upload_without_rename_is_begun_at_the_next_server_and_swept_when_the_first_is_back() {
    let (site, first, second) = (Site::new(), TestServer::proftpd(), TestServer::pure_ftpd());
    let (proxy, is_off) = switched(&first, "STOR", Act::CloseAfter);
    let config = configure(&site, &[ftp_url(proxy.port()), ftp_url(port_of(&second))], "");
    hour(&site, 0);
    let report = go(&config);
    assert_eq!((report.exit_code(), report.partners[0].1.delivered), (0, 1), "{report:?}");
    assert_eq!(names(&second), ["HX_2024110302_00001.dat", "HX_2024110302_00002.dat"]);
    assert!(matches!(names(&first).as_slice(), [part] if part.ends_with("-1.tmp")), "{:?}", names(&first));
    is_off.store(false, Ordering::Relaxed);
    hour(&site, 1);
    assert_eq!(go(&config).exit_code(), 0);
    assert_eq!(names(&first), ["HX_2024110303_00003.dat", "HX_2024110303_00004.dat"], "the first is tried first again");
    assert_eq!(names(&second).len(), 2);
}

#[test]
fn a_file_in_doubt_at_one_server_never_goes_to_the_next() {
    let (site, first, second) = (Site::new(), TestServer::proftpd(), TestServer::pure_ftpd());
    let (proxy, is_off) = switched(&first, "RNTO", Act::CloseAfter);
    let urls = [ftp_url(proxy.port()), ftp_url(port_of(&second))];
    let config = configure(&site, &urls, "");
    hour(&site, 0);
    let report = go(&config);
    assert_eq!((report.exit_code(), report.partners[0].1.left), (5, 1), "{report:?}");
    let shown: Vec<String> = names(&first).into_iter().filter(|name| name.ends_with(".dat")).collect();
    assert_eq!((shown, names(&second).len()), (vec!["HX_2024110302_00001.dat".to_owned()], 0));
    assert_eq!((go(&config).exit_code(), names(&second).len()), (5, 0));
    // Whoever takes the first server out of the configuration does not know what became of the file there.
    let report = go(&configure(&site, &urls[1..], ""));
    assert_eq!((report.exit_code(), names(&second).len()), (4, 0), "{report:?}");
    assert_eq!(report.held.len(), 1, "{report:?}");
    // It is back: what was held is released, and found there.
    let config = configure(&site, &urls, "");
    is_off.store(false, Ordering::Relaxed);
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["settle", "HX_2024110302_00001.dat", "--as", "resend", "--reason", "the first is back", "--config"])
        .arg(&config)
        .env("HOURDROP_TEST_CLOCK", NOW)
        .output()
        .expect("runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(go(&config).exit_code(), 0);
    assert_eq!(names(&first), ["HX_2024110302_00001.dat", "HX_2024110302_00002.dat"]);
    assert_eq!(names(&second), [""; 0]);
}

#[test]
fn a_file_in_doubt_at_a_server_that_is_back_is_found_there() {
    let (site, first, second) = (Site::new(), TestServer::proftpd(), TestServer::pure_ftpd());
    let (proxy, is_off) = switched(&first, "RNTO", Act::CloseAfter);
    let config = configure(&site, &[ftp_url(proxy.port()), ftp_url(port_of(&second))], "");
    hour(&site, 0);
    assert_eq!(go(&config).exit_code(), 5);
    is_off.store(false, Ordering::Relaxed);
    assert_eq!(go(&config).exit_code(), 0);
    assert_eq!(names(&first), ["HX_2024110302_00001.dat", "HX_2024110302_00002.dat"]);
    assert_eq!((names(&second).len(), proxy.heard("STOR")), (0, 2), "nothing was sent twice");
}

#[test]
fn a_file_in_doubt_at_the_only_server_never_goes_to_the_one_that_follows_it() {
    let (site, first, second) = (Site::new(), TestServer::proftpd(), TestServer::pure_ftpd());
    let (proxy, is_off) = switched(&first, "RNTO", Act::CloseAfter);
    let configure = |url: &str, more: &str| configure(&site, &[url.to_owned()], more);
    let config = configure(&ftp_url(proxy.port()), "");
    hour(&site, 0);
    assert_eq!(go(&config).exit_code(), 5);
    // Another directory of the same server is another place, too.
    for elsewhere in
        [format!("{}/new", ftp_url(port_of(&first))), ftp_url(port_of(&second)).replace("127.0.0.1", "localhost")]
    {
        let kept = ["state", "archive"].map(|name| (site.path(name), site.path(&format!("{name}.before"))));
        for (from, to) in &kept {
            assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().expect("cp").success());
        }
        let report = go(&configure(&elsewhere, ""));
        assert_eq!((report.exit_code(), report.held.len()), (4, 1), "{elsewhere}: {report:?}");
        assert_eq!(names(&second), [""; 0], "{elsewhere}");
        assert!(!first.files.join("new").exists() || files_in(&first.files.join("new")).is_empty(), "{elsewhere}");
        for (from, to) in &kept {
            fs::remove_dir_all(from).and_then(|()| fs::rename(to, from)).expect("as it was before");
        }
    }
    // It is the same server by another address, as the configuration says: the file is found there.
    is_off.store(false, Ordering::Relaxed);
    let formerly = format!("formerly = [{:?}]", ftp_url(proxy.port()));
    assert_eq!(go(&configure(&ftp_url(port_of(&first)), &formerly)).exit_code(), 0);
    let shown: Vec<String> = names(&first).into_iter().filter(|name| name.ends_with(".dat")).collect();
    assert_eq!(shown, ["HX_2024110302_00001.dat", "HX_2024110302_00002.dat"]);
    assert_eq!(proxy.heard("STOR"), 2, "nothing was sent twice");
}

#[test]
fn what_lies_at_a_partner_is_told_by_server_and_directory() {
    let site = Site::new();
    let keys = "endpoints = [\"ftp://acme@a.example/out\", \"ftp://acme@b.example/in\"]\n\
                formerly = [\"ftp://acme@old.example/out\", \"ftp://acme@a.example/before\"]";
    let loaded = hourdrop::app::config::load(&partner_config(&site, keys), time(NOW)).expect("readable");
    let partner = loaded.config.expect("a configuration").partners.remove(0);
    let name = FileName::parse("x.dat").expect("a name");
    for (kept, server, drop, in_reach) in [
        ("ftp://acme@a.example:21 out/x.dat", Some(0), Some(0), true),
        ("ftp://acme@b.example:21 in/x.dat", Some(1), Some(1), true),
        ("ftp://acme@b.example:21 out/x.dat", Some(1), None, false),
        ("ftp://acme@a.example:2121 out/x.dat", None, None, false),
        // It may not be the same account.
        ("ftp://other@a.example:21 out/x.dat", None, None, false),
        ("ftp://acme@old.example:21 out/x.dat", Some(0), Some(0), true),
        // The files were moved along; what is half done there is not.
        ("ftp://acme@a.example:21 before/x.dat", Some(0), Some(0), false),
        ("ftp://acme@old.example:21 before/x.dat", Some(0), None, false),
        // As it was kept before servers were.
        ("out/x.dat", Some(0), Some(0), true),
    ] {
        let found = (partner.server_of(kept), partner.drop_of(kept, &name), partner.is_in_reach(kept));
        assert_eq!(found, (server, drop, in_reach), "{kept}");
    }
}

#[test]
fn endpoints_are_checked() {
    let site = Site::new();
    let (a, b) = ("ftp://acme@a.example/out", "ftp://acme@b.example/out");
    let problems = |partner: &str| {
        let config = partner_config(&site, partner);
        let loaded = hourdrop::app::config::load(&config, time(NOW)).expect("readable");
        let errors = loaded.problems.iter().filter(|p| p.severity == hourdrop::document::Severity::Error);
        errors.map(|problem| problem.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(problems(&format!("endpoints = [\"{a}\", \"{b}\"]")), [""; 0]);
    let both = problems(&format!("deliver = \"{a}\"\nendpoints = [\"{b}\"]"));
    assert_eq!(both, ["`deliver` and `endpoints` exclude each other"]);
    assert_eq!(problems("endpoints = []"), ["`endpoints` names no server"]);
    let twice = problems(&format!("endpoints = [\"{a}\", \"ftp://acme@a.example:21/other\"]"));
    assert_eq!(twice, ["this server and account stand there already"]);
    let former = |text: &str| problems(&format!("endpoints = [\"{a}\", \"{b}\"]\nformerly = [\"{text}\"]"));
    assert_eq!(former("ftp://acme@a.example/before"), [""; 0]);
    for used in [a, b, "ftp://acme@b.example/before"] {
        assert_eq!(former(used), ["this place is in use"]);
    }
    let mixed = format!("endpoints = [\"{a}\", \"sftp://acme@b.example/out\"]\nhost_key = [\"SHA256:x\"]\nkey = \"k\"");
    assert_eq!(problems(&mixed), [""; 0], "the key is for one, the password for the other");
    let unused = problems(&format!("endpoints = [\"{a}\", \"{b}\"]\nhost_key = [\"SHA256:x\"]"));
    assert_eq!(unused, ["`host_key` is for sftp:// only"]);
}
