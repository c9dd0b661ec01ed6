//! `once` delivers hours while it seals later ones.

use crate::site::{Site, StandingClock, call_line, delivered_calls, load, one_feed, time};
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::progress::{Progress, Silent};
use hourdrop::disk::RealDisk;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
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
    let config = configured(&site);
    std::fs::remove_dir(site.drop_dir("huaxin")).expect("not mounted");
    let text = std::fs::read_to_string(&config).expect("configuration");
    site.configure(&format!("once_deliver_for = \"0s\"\n{text}"));
    let exporter = Exporter::open(load(&config, NOW), &world(Arc::new(Silent)), None, true).expect("an exporter");
    let report = exporter.once().expect("a pass");
    let left: Vec<u64> = report.partners.iter().map(|(_, outcome)| outcome.left).collect();
    assert_eq!((report.exit_code(), left), (5, vec![20]), "{report:?}");
    std::fs::create_dir(site.path("drop/huaxin")).expect("mounted");
    let exporter = Exporter::open(load(&config, NOW), &world(Arc::new(Silent)), None, true).expect("an exporter");
    assert_eq!(exporter.once().expect("a pass").exit_code(), 0);
    every_call_once(&site);
}
