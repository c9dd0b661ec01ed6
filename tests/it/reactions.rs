//! What is done about each kind of fault of a partner's server, and what `status` says about it.

use crate::control_proxy::{Act, ControlProxy};
use crate::servers::TestServer;
use crate::site::{Site, call_line, files_in, load, time};
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::progress::Silent;
use hourdrop::clock::{Clock, Waited};
use hourdrop::disk::RealDisk;
use hourdrop::domain::time::{Length, UtcTime};
use hourdrop::ledger::Ledger;
use hourdrop::ledger::contact::{Contact, ContactState};
use hourdrop::remote::Endpoint;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;

pub const NOW: &str = "2024-11-03T12:00:00Z";

/// A clock that stands and counts how often somebody waits.
#[derive(Default)]
struct CountingClock(AtomicU32);

impl Clock for CountingClock {
    fn now(&self) -> UtcTime {
        time(NOW)
    }

    fn uptime(&self) -> Length {
        Length::from_seconds(1)
    }

    fn boot(&self) -> String {
        "test".to_owned()
    }

    fn wait(&self, _length: Length, _wake: &Receiver<()>) -> Waited {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waited::Elapsed
    }
}

pub fn port_of(server: &TestServer) -> u16 {
    match &server.endpoint {
        Endpoint::Ftp(ftp) => ftp.port,
        other => panic!("no FTP server: {other}"),
    }
}

/// One partner with these keys and one feed without manifest.
pub fn partner_config(site: &Site, partner: &str) -> PathBuf {
    let secret = site.write("password", "testpass");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode");
    fs::create_dir_all(site.path("in")).expect("directory");
    site.configure(&format!(
        r#"
state   = "state"
archive = "archive"
once_deliver_for = "20s"
[source.switch]
files    = "in"
finished = "renamed"
format   = "kamailio-acc-cdrs"
[partner.huaxin]
password = {{ file = "password" }}
{partner}
[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
hour_by   = "start_time"
starts_at = "2024-11-03T02:00:00Z"
empty     = "none"
name      = "HX_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
manifest  = false
"#
    ))
}

pub fn pass(config: &Path, clock: Arc<dyn Clock>) -> OnceReport {
    let world = World::new(Arc::new(RealDisk), clock, Arc::new(Silent));
    Exporter::open(load(config, NOW), &world, None, true).expect("an exporter").once().expect("a pass")
}

pub fn contact(site: &Site) -> Contact {
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    ledger.contact("huaxin").expect("read").expect("a contact")
}

pub fn status(config: &Path, more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["status", "--utc", "--config"])
        .arg(config)
        .args(more)
        .env("HOURDROP_TEST_CLOCK", NOW)
        .output()
        .expect("runs");
    String::from_utf8(output.stdout).expect("text")
}

pub fn hours(site: &Site, number: i64) {
    for hour in 0..number {
        site.write(&format!("in/{hour}.log"), call_line(hour * 60, &format!("call{hour}")));
    }
}

#[test]
fn each_kind_of_refusal_gets_its_alarm_and_its_wait_and_status_says_so() {
    let refusals: [(&str, Act, &str, u64); 6] = [
        ("PASS", Act::Answer("530 Login incorrect."), "HD0202", 900),
        ("PASS", Act::Answer("530 Sorry, the maximum number of clients are connected"), "HD0206", 30),
        ("CONNECT", Act::Answer("421 Too many connections."), "HD0206", 30),
        ("STOR", Act::Replace("552 Quota exceeded."), "HD0207", 120),
        ("STOR", Act::Replace("452 No space left on device"), "HD0207", 120),
        ("STOR", Act::Answer("553 Permission denied."), "HD0208", 60),
    ];
    for (verb, act, code, wait) in refusals {
        let (site, server) = (Site::new(), TestServer::demo());
        let refuse = move |_, command: &str| if command.split(' ').next() == Some(verb) { act } else { Act::Pass };
        let proxy = ControlProxy::before(port_of(&server), refuse);
        let config = partner_config(&site, &format!("deliver = \"ftp://acme@127.0.0.1:{}\"", proxy.port()));
        hours(&site, 1);
        let report = pass(&config, Arc::new(CountingClock::default()));
        assert_eq!(report.exit_code(), 5, "{act:?}: {report:?}");
        let codes: Vec<&str> = report.alarms.iter().map(|alarm| alarm.code.as_str()).collect();
        assert_eq!(codes, [code], "{act:?}");
        assert_eq!(files_in(&server.files).len(), 0, "{act:?}: no part of a file stays behind");
        assert_eq!(proxy.heard("STOR").max(1), 1, "{act:?}: it is not tried again at once");
        if verb == "PASS" {
            assert_eq!(proxy.heard("PASS"), 1, "{act:?}: one try, for accounts are locked after a few");
        }
        let Contact { since, state, .. } = contact(&site);
        let ContactState::Failing { tries: 1, next_try: Some(next), what } = state else { panic!("{state:?}") };
        assert!(since == time(NOW) && next.since(since) > Length::from_seconds(wait - 1), "{act:?}: {next:?}");
        let said = status(&config, &[]);
        let line = said.lines().find(|line| line.contains("NOT REACHED since 2024-11-03 12:00:00"));
        assert!(line.is_some_and(|line| line.contains("1 try, next 2024-11-03 12:") && line.contains(&what)), "{said}");
        let json: serde_json::Value = serde_json::from_str(&status(&config, &["--json"])).expect("JSON");
        let told = &json["partners"][0];
        assert_eq!((&told["state"], &told["tries"]), (&"failing".into(), &1.into()), "{told}");
        // The next pass is one more try.
        pass(&config, Arc::new(CountingClock::default()));
        let Contact { since, state, .. } = contact(&site);
        assert!(matches!(state, ContactState::Failing { tries: 2, .. }) && since == time(NOW), "{state:?}");
    }
}

#[test]
fn a_session_that_breaks_after_it_delivered_something_is_begun_again_at_once() {
    let (site, server) = (Site::new(), TestServer::demo());
    let mut stored = 0;
    let second_file_breaks = move |connection: u32, command: &str| {
        if !command.starts_with("STOR") {
            return Act::Pass;
        }
        stored += 1;
        if stored > connection {
            stored -= 1;
            Act::CloseBefore
        } else {
            Act::Pass
        }
    };
    let proxy = ControlProxy::before(port_of(&server), second_file_breaks);
    let config = partner_config(&site, &format!("deliver = \"ftp://acme@127.0.0.1:{}\"", proxy.port()));
    hours(&site, 5);
    let clock = Arc::new(CountingClock::default());
    let report = pass(&config, Arc::clone(&clock) as Arc<dyn Clock>);
    assert_eq!((report.exit_code(), report.partners[0].1.delivered), (0, 5), "{report:?}");
    assert_eq!((proxy.heard("PASS"), files_in(&server.files).len()), (5, 5));
    assert_eq!(clock.0.load(Ordering::Relaxed), 0, "nobody waited");
    assert_eq!(contact(&site).state, ContactState::Reached { instead_of: None });
    assert!(status(&config, &[]).contains("   huaxin  reached since 2024-11-03 12:00:00"));
}
