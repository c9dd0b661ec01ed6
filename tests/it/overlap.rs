//! `once` delivers hours while it seals later ones.

use crate::site::{Site, StandingClock, call_line, delivered_calls, load, one_feed, time};
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::progress::{Progress, Silent};
use hourdrop::clock::{Clock, Waited};
use hourdrop::disk::RealDisk;
use hourdrop::domain::time::{Length, UtcTime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// More than are recorded as sealed together.
const HOURS: i64 = 20;
const NOW: &str = "2024-11-04T12:00:00Z";

fn world(progress: Arc<dyn Progress>) -> World {
    let world = World::new(Arc::new(RealDisk), Arc::new(StandingClock(time(NOW))), progress);
    World { threads: true, ..world }
}

/// A file with one call in each hour.
fn configured(site: &Site) -> PathBuf {
    let config = one_feed(site, "files = \"in\"\nfinished = \"renamed\"", "", "forever");
    let line = |hour: i64| call_line(hour * 60, &format!("call {hour}"));
    site.write("in/1.log", (0..HOURS).map(line).collect::<String>());
    config
}

fn every_call_once(site: &Site) {
    let calls: Vec<String> = delivered_calls(site).into_iter().flat_map(|(_, calls)| calls).collect();
    let expected: Vec<String> = (0..HOURS).map(|hour| format!("call {hour}")).collect();
    assert_eq!(calls, expected);
    site.assert_archive_is_what_was_dropped(&["huaxin"]);
}

/// Lets nothing more be sealed behind `hours` until something is delivered.
#[derive(Default)]
struct WaitingSealer {
    hours: usize,
    /// Hours that were sealed, and whether a file was delivered while the next one waited.
    seen: Mutex<(usize, bool)>,
    delivered: Condvar,
}

impl Progress for WaitingSealer {
    fn sealed(&self, _files: u64) {
        let mut seen = self.seen.lock().expect("lock");
        seen.0 += 1;
        if seen.0 == self.hours {
            let waited = self.delivered.wait_timeout_while(seen, Duration::from_secs(30), |seen| !seen.1);
            assert!(waited.expect("lock").0.1, "nothing is delivered before all is sealed");
        }
    }

    fn delivered(&self, _partner: &str, _file: &str) {
        self.seen.lock().expect("lock").1 = true;
        self.delivered.notify_all();
    }
}

#[test]
fn what_is_sealed_is_delivered_before_all_is() {
    let site = Site::new();
    let config = configured(&site);
    let progress = Arc::new(WaitingSealer { hours: 15, ..WaitingSealer::default() });
    let exporter = Exporter::open(load(&config, NOW), &world(progress), None, true).expect("an exporter");
    let report = exporter.once().expect("a pass");
    let batches = report.partners.iter().map(|(_, outcome)| outcome.delivered).sum::<u64>();
    assert_eq!((report.exit_code(), report.sealed.batches, batches), (0, 20, 20), "{report:?}");
    every_call_once(&site);
}

/// Panics at some hour.
struct Panicking(Mutex<usize>);

impl Progress for Panicking {
    fn sealed(&self, _files: u64) {
        let left = self.0.lock().expect("lock").checked_sub(1);
        let Some(left) = left else { panic!("as the test wants it") };
        *self.0.lock().expect("lock") = left;
    }
}

#[test]
fn whoever_delivers_ends_when_sealing_does_and_the_next_pass_goes_on() {
    let site = Site::new();
    let config = configured(&site);
    let progress = Arc::new(Panicking(Mutex::new(10)));
    let exporter = Exporter::open(load(&config, NOW), &world(progress), None, true).expect("an exporter");
    assert!(catch_unwind(AssertUnwindSafe(|| exporter.once())).is_err(), "it ends");
    let exporter = Exporter::open(load(&config, NOW), &world(Arc::new(Silent)), None, true).expect("a restart");
    let report = exporter.once().expect("a pass");
    assert_eq!(report.exit_code(), 0, "{report:?}");
    every_call_once(&site);
}

#[test]
fn a_partner_that_is_away_is_waited_for_no_longer_than_after_sealing() {
    let site = Site::new();
    let report = away(&site, "0s", &Back::after(&site, None));
    let left: Vec<u64> = report.partners.iter().map(|(_, outcome)| outcome.left).collect();
    assert_eq!((report.exit_code(), left), (5, vec![20]), "{report:?}");
    std::fs::create_dir(site.path("drop/huaxin")).expect("mounted");
    let exporter = Exporter::open(load(&site.path("hourdrop.toml"), NOW), &world(Arc::new(Silent)), None, true)
        .expect("an exporter");
    assert_eq!(exporter.once().expect("a pass").exit_code(), 0);
    every_call_once(&site);
}

/// A clock on which time passes only while somebody waits, and a partner that is back after the first wait.
struct Back {
    drop_dir: PathBuf,
    waits: Mutex<usize>,
    waited: Condvar,
    /// Nothing more is sealed behind so many hours until somebody has waited; then the partner is back.
    hours: Mutex<Option<usize>>,
}

impl Back {
    fn after(site: &Site, hours: Option<usize>) -> Arc<Self> {
        let (waits, hours) = (Mutex::default(), Mutex::new(hours));
        Arc::new(Self { drop_dir: site.path("drop/huaxin"), waits, waited: Condvar::new(), hours })
    }
}

impl Clock for Back {
    fn now(&self) -> UtcTime {
        time(NOW)
    }
    fn uptime(&self) -> Length {
        StandingClock(time(NOW)).uptime()
    }
    fn boot(&self) -> String {
        "test".to_owned()
    }
    fn wait(&self, length: Length, wake: &Receiver<()>) -> Waited {
        *self.waits.lock().expect("lock") += 1;
        self.waited.notify_all();
        let step = length.as_std().min(Duration::from_millis(20));
        wake.recv_timeout(step).map_or(Waited::Elapsed, |()| Waited::Woken)
    }
}

impl Progress for Back {
    fn sealed(&self, _files: u64) {
        let mut hours = self.hours.lock().expect("lock");
        *hours = hours.map(|hours| hours.saturating_sub(1));
        if *hours == Some(0) {
            *hours = None;
            let waits = self.waits.lock().expect("lock");
            let waited = self.waited.wait_timeout_while(waits, Duration::from_secs(30), |waits| *waits == 0);
            assert!(*waited.expect("lock").0 > 0, "nobody tries before all is sealed");
            std::fs::create_dir(&self.drop_dir).expect("mounted");
        }
    }
}

/// Goes through a pass with a partner that is away, for so long.
fn away(site: &Site, deliver_for: &str, back: &Arc<Back>) -> OnceReport {
    let config = configured(site);
    std::fs::remove_dir(site.drop_dir("huaxin")).expect("not mounted");
    let text = std::fs::read_to_string(&config).expect("configuration");
    site.configure(&format!("once_deliver_for = \"{deliver_for}\"\n{text}"));
    let (clock, progress): (Arc<dyn Clock>, Arc<dyn Progress>) = (Arc::clone(back) as _, Arc::clone(back) as _);
    let world = World { clock, ..world(progress) };
    Exporter::open(load(&config, NOW), &world, None, true).expect("an exporter").once().expect("a pass")
}

#[test]
fn what_waits_for_a_partner_does_nothing_else() {
    let site = Site::new();
    let back = Back::after(&site, None);
    let report = away(&site, "500ms", &back);
    assert_eq!(report.exit_code(), 5, "{report:?}");
    let waits = *back.waits.lock().expect("lock");
    assert!((1..200).contains(&waits), "{waits} waits");
}

#[test]
fn a_partner_that_is_back_before_all_is_sealed_gets_everything() {
    let site = Site::new();
    let report = away(&site, "0s", &Back::after(&site, Some(15)));
    assert_eq!(report.exit_code(), 0, "{report:?}");
    every_call_once(&site);
}
