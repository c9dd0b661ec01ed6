//! Records that come one by one on standard input: each is accepted at once, and the ledger follows.

use crate::site::{FIRST_HOUR, MovedClock, Site, call_line, delivered_calls, eventually, load, once, one_feed};
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::fault::ExporterFault;
use hourdrop::app::progress::Progress;
use hourdrop::disk::RealDisk;
use hourdrop::ledger::Ledger;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Ten minutes after the hour began.
const NOW: &str = "2024-11-03T02:10:00Z";

/// What a test writes to standard input.
struct Typed(Receiver<String>);

impl Read for Typed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let text = self.0.recv().unwrap_or_default();
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        Ok(text.len())
    }
}

#[derive(Default)]
struct Heard(AtomicU64);

impl Progress for Heard {
    fn accepted(&self, _source: &str, records: u64) {
        self.0.fetch_add(records, Ordering::Relaxed);
    }
}

/// `run` with a stream and a clock that a test moves.
struct Running {
    site: Site,
    config: PathBuf,
    clock: Arc<MovedClock>,
    input: Sender<String>,
    heard: Arc<Heard>,
    stop: Arc<AtomicBool>,
    waker: SyncSender<()>,
    thread: JoinHandle<Result<(), ExporterFault>>,
}

impl Running {
    fn start() -> Self {
        let site = Site::in_memory();
        let config = one_feed(&site, "stdin = true", "", "forever");
        let clock = Arc::new(MovedClock::at(FIRST_HOUR + 600));
        let heard = Arc::new(Heard::default());
        let ((input, typed), (waker, wake)) = (channel(), sync_channel(1));
        let progress = Arc::clone(&heard) as Arc<dyn Progress>;
        let world = World::new(Arc::new(RealDisk), Arc::clone(&clock) as Arc<_>, progress);
        let world = World { wake: Some(waker.clone()), ..world };
        let stop = Arc::clone(&world.stop);
        let exporter = Exporter::open(load(&config, NOW), &world, Some(Box::new(Typed(typed))), false);
        let exporter = exporter.expect("an exporter");
        let thread = std::thread::spawn(move || exporter.run(&wake));
        Self { site, config, clock, input, heard, stop, waker, thread }
    }

    fn type_in(&self, id: &str) {
        let before = self.heard.0.load(Ordering::Relaxed);
        self.input.send(call_line(1, id)).expect("it listens");
        eventually("the record is accepted", || self.heard.0.load(Ordering::Relaxed) == before + 1);
    }

    fn records(&self) -> u64 {
        let ledger = Ledger::open_read_only(&self.site.path("state/ledger.db")).expect("ledger");
        ledger.source_totals().expect("totals").iter().map(|source| source.records).sum()
    }

    fn stop(self) -> (Site, PathBuf) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.waker);
        self.thread.join().expect("no panic").expect("a clean end");
        (self.site, self.config)
    }
}

#[test]
fn the_ledger_follows_a_stream_after_a_moment_and_knows_all_of_it_when_its_hour_is_sealed() {
    let running = Running::start();
    for id in ["a", "b", "c"] {
        running.type_in(id);
    }
    assert_eq!(running.records(), 0, "no time has passed");
    running.clock.pass(1);
    eventually("the ledger follows", || running.records() == 3);
    running.type_in("d");
    running.clock.pass(3600);
    eventually("the hour is delivered", || running.site.dropped("huaxin", ".json").len() == 1);
    let (site, _) = running.stop();
    let calls: Vec<String> = delivered_calls(&site).into_iter().flat_map(|(_, calls)| calls).collect();
    assert_eq!(calls, ["a", "b", "c", "d"]);
}

#[test]
fn a_stop_leaves_nothing_that_the_ledger_does_not_know() {
    let running = Running::start();
    running.type_in("a");
    running.type_in("b");
    assert_eq!(running.records(), 0);
    let (site, config) = running.stop();
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    assert_eq!(ledger.source_totals().expect("totals")[0].records, 2);
    drop(ledger);
    assert_eq!(once(&config, "2024-11-03T05:00:00Z").sealed.records, 2);
}
