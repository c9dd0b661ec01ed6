//! `run`: watches, seals on time, delivers, and stops cleanly when it is asked to.

use crate::site::{Site, eventually};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ends the program if a test fails before it does, and shows its log then.
pub struct Running(pub Child);

impl Drop for Running {
    #[expect(clippy::print_stdout, reason = "the test's output is where the reason of its failure belongs")]
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
        if let Some(mut stderr) = self.0.stderr.take().filter(|_| std::thread::panicking()) {
            let mut log = String::new();
            stderr.read_to_string(&mut log).ok();
            println!("the program's log:\n{log}");
        }
    }
}

pub fn start(config: &Path, now: &str) -> Running {
    let child = Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["run", "--color", "never", "--config"])
        .arg(config)
        .env("HOURDROP_TEST_CLOCK", now)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    Running(child)
}

fn configured(site: &Site) -> std::path::PathBuf {
    let text = format!(
        r#"
state   = "state"
archive = "archive"
poll    = "1s"
[source.switch]
files    = "in"
finished = "renamed"
then     = "delete"
format   = "kamailio-acc-cdrs"
[partner.huaxin]
deliver = "{huaxin}"
[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
hour_by   = "start_time"
starts_at = "2024-11-03T02:00:00Z"
name      = "HX_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
[partner.gone]
deliver = "{gone}"
[partner.gone.feed.voice]
source    = "switch"
format    = "huaxin-voice"
hour_by   = "start_time"
starts_at = "2024-11-03T02:00:00Z"
name      = "GONE_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
"#,
        huaxin = site.drop_dir("huaxin").display(),
        gone = site.path("not-mounted").display()
    );
    std::fs::create_dir_all(site.path("in")).expect("directory");
    site.configure(&text)
}

#[test]
fn it_watches_delivers_and_stops_cleanly_while_another_partner_is_away() {
    let site = Site::new();
    let config = configured(&site);
    let mut running = start(&config, "2024-11-03T05:00:30Z");
    let staged = site.write("staged", "1730599300|1730599300|1.5|1|2|TG|a|x\n");
    std::fs::rename(staged, site.path("in/1.log")).expect("a file appears");
    eventually("the delivery of three hours, two of them empty", || site.dropped("huaxin", ".json").len() == 3);
    assert_eq!(site.dropped("huaxin", ".dat").len(), 1);
    assert!(!site.path("in/1.log").exists(), "the input was put away");

    // A second instance is refused and says so.
    let second =
        Command::new(env!("CARGO_BIN_EXE_hourdrop")).args(["once", "--config"]).arg(&config).output().expect("runs");
    assert_eq!(second.status.code(), Some(75), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(!site.path("state/STOPPED").exists(), "that is no trouble of the first");

    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    let mut log = String::new();
    running.0.stderr.take().expect("a log").read_to_string(&mut log).expect("a log");
    let status = running.0.wait().expect("the end");
    assert!(status.success(), "{status}: {log}");
    for decision in
        ["running", "input read", "hour sealed", "file delivered", "delivery failed", "asked to stop", "stopping"]
    {
        assert!(log.contains(decision), "{decision}: {log}");
    }
    assert!(!log.contains("|1|2|"), "no record in the log");

    // The partner that was away gets everything when it is back.
    std::fs::create_dir_all(site.path("not-mounted")).expect("mounted again");
    let once = Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["once", "--config"])
        .arg(&config)
        .env("HOURDROP_TEST_CLOCK", "2024-11-03T05:00:30Z")
        .output()
        .expect("runs");
    assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    assert_eq!(crate::site::files_in(&site.path("not-mounted")).len(), 4);
}
