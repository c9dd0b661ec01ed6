//! One flipped bit anywhere in state and archive is found, or does no harm: never is anything silently wrong.
//!
//! A small store is made once, with everything in it: hours that are delivered, one that is sealed and waits for its
//! partner, one whose records lie in the spool, records in quarantine. Then a byte of one of its files is changed, the
//! next pass is made, and everything is proved. By default a sample of the bytes is tried, `HOURDROP_FLIPS=all` tries
//! all of them.

use crate::site::{Site, call_line, files_in, load, one_feed, world};
use hourdrop::app::config::Config;
use hourdrop::app::exporter::Exporter;
use hourdrop::app::verify::{Wanted, verify};
use hourdrop::disk::RealDisk;
use hourdrop::ledger::Ledger;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

type Files = BTreeMap<String, Vec<u8>>;

const SEED: u64 = 20_261_121;
/// Of so many bytes one is tried, unless all are.
const SAMPLE: u64 = 20;

/// A place that is made as it was again and again.
struct Place {
    site: Site,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let site = if memory.is_dir() { Site::below(memory) } else { Site::new() };
        let source = format!("files = \"{}/*.log\"\nfinished = \"renamed\"", site.path("in").display());
        let feed = "grace = \"10m\"\nreject_max = \"50%\"\nrecords_max = 3";
        let config = one_feed(&site, &source, feed, "forever");
        let text = fs::read_to_string(&config).expect("configuration");
        let config = site.configure(&format!("once_deliver_for = \"0s\"\nreserve = \"0\"\n{text}"));
        site.drop_dir("huaxin");
        Self { config: load(&config, LATER), site }
    }

    fn open(&self, now: &str) -> Result<Exporter, String> {
        let mut world = world(now);
        // Small segments: what is reserved for frames to come is not a small store.
        world.limits.segment_bytes_max = 4 << 10;
        Exporter::open(self.config.clone(), &world, None, true).map_err(|fault| fault.to_string())
    }

    /// Everything but configuration and formats.
    fn content(&self) -> Files {
        let parts = ["state", "archive", "in", "drop"];
        let all = parts.into_iter().flat_map(|part| {
            let files = files_in(&self.site.path(part)).into_iter();
            files.map(move |(name, bytes)| (format!("{part}/{name}"), bytes))
        });
        all.filter(|(name, _)| !name.ends_with("-shm")).collect()
    }

    fn restore(&self, content: &Files) {
        for part in ["state", "archive", "in", "drop"] {
            if self.site.path(part).is_dir() {
                fs::remove_dir_all(self.site.path(part)).expect("remove");
            }
        }
        self.site.drop_dir("huaxin");
        for (name, bytes) in content {
            self.site.write(name, bytes);
        }
    }
}

const LATER: &str = "2024-11-03T06:00:00Z";

/// The store as a clean stop left it, and as a kill left it in the middle of the next run.
fn stores() -> [(&'static str, Files); 2] {
    let place = Place::new();
    let pass = |now: &str| place.open(now).and_then(|e| e.once().map_err(|f| f.to_string())).expect("a pass");
    let calls = |minutes: &[i64], name: &str| -> String {
        minutes.iter().map(|minute| call_line(*minute, &format!("{name}-{minute}"))).collect()
    };
    drop(place.open("2024-11-03T04:00:00Z").expect("a new store"));
    small_pages(&place.site.path("state/ledger.db"));
    place.site.write("in/1.log", calls(&[1, 2, 3, 4, 61, 62], "a") + "not a call\n" + &calls(&[121], "a"));
    assert_eq!(pass("2024-11-03T04:05:00Z").sealed.batches, 1);
    // The partner's directory is away while the second hour is sealed.
    let (there, away) = (place.site.path("drop"), place.site.path("away"));
    fs::rename(&there, &away).expect("away");
    place.site.write("in/2.log", calls(&[63, 122, 125], "b"));
    let report = pass("2024-11-03T04:30:00Z");
    assert_eq!((report.sealed.batches, report.exit_code()), (1, 5), "{report:?}");
    fs::rename(&away, &there).expect("back");
    let clean = place.content();
    assert!(clean.contains_key("state/ledger.sum") && !clean.contains_key("state/ledger.db-wal"));
    // Killed after it has read more, before anything was closed.
    place.site.write("in/3.log", calls(&[126, 190], "c"));
    let mut exporter = place.open("2024-11-03T04:31:00Z").expect("open");
    exporter.turn(u64::MAX).expect("a turn");
    let killed = place.content();
    assert!(!killed.contains_key("state/ledger.sum") && killed["state/ledger.db-wal"].len() > 3000);
    drop(exporter);
    [("clean", clean), ("killed", killed)]
}

/// Pages of 512 bytes: most bytes of a small ledger are then in use, and its trees have branches.
fn small_pages(ledger: &Path) {
    let connection = rusqlite::Connection::open(ledger).expect("ledger");
    hourdrop::ledger::checked_rows::teach(&connection).expect("functions");
    let statements = "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM; PRAGMA journal_mode = WAL;";
    connection.execute_batch(statements).expect("small pages");
}

/// What came of a pass over a store.
enum Outcome {
    /// Refused, failed, or with an alarm or something held.
    Detected,
    /// `verify` tells.
    Verified,
    /// As if nothing had happened.
    Harmless,
}

/// Makes the next pass over what lies in `place`. Errors say what is silently wrong.
fn judge(place: &Place, flipped: &str, expected: &Files) -> Result<Outcome, String> {
    let report = match place.open(LATER).and_then(|exporter| exporter.once().map_err(|fault| fault.to_string())) {
        Ok(report) => report,
        Err(message) => {
            only_whole_files(place, expected)?;
            let name = flipped.rsplit('/').next().unwrap_or_default().trim_end_matches("-wal");
            let is_log = flipped.contains("/.log/") && message.contains("its log");
            let names_it =
                is_log || message.contains(name) || (name.starts_with("ledger") && message.contains("ledger"));
            return if names_it { Ok(Outcome::Detected) } else { Err(format!("refused without its name: {message}")) };
        }
    };
    let shown = files_in(&place.site.path("drop"));
    only_whole_files(place, expected)?;
    let needs_somebody = !report.held.is_empty() || !report.alarms.is_empty();
    if needs_somebody || report.partners.iter().any(|(_, partner)| partner.fault.is_some()) {
        return Ok(Outcome::Detected);
    }
    let ledger = Ledger::open_read_only(&place.site.path("state/ledger.db")).map_err(|fault| fault.to_string())?;
    let disk: Arc<dyn hourdrop::disk::Disk> = Arc::new(RealDisk);
    let found = verify(&disk, &place.config, &ledger, &Wanted::default(), &mut |_, _| ());
    let found = found.map_err(|fault| format!("verify failed: {fault}"))?;
    if !found.differences.is_empty() {
        return Ok(Outcome::Verified);
    }
    if shown == *expected { Ok(Outcome::Harmless) } else { Err(format!("{} files, other ones", shown.len())) }
}

/// Whatever the partner sees is as it would be without the flip.
fn only_whole_files(place: &Place, expected: &Files) -> Result<(), String> {
    let shown = files_in(&place.site.path("drop"));
    let ours = shown.iter().filter(|(name, _)| !name.ends_with(".tmp"));
    let wrong: Vec<&String> =
        ours.filter(|(name, bytes)| expected.get(*name) != Some(*bytes)).map(|(name, _)| name).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("shown although it is wrong: {wrong:?}")) }
}

#[derive(Default)]
struct Counts {
    detected: u64,
    verified: u64,
    harmless: u64,
}

/// Every `every`th byte of state and archive, with the bit to flip.
fn flips(store: &Files, every: u64) -> Vec<(String, usize, u8)> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let files = store.iter().filter(|(name, _)| name.starts_with("state/") || name.starts_with("archive/"));
    let bytes = files.flat_map(|(name, bytes)| (0..bytes.len()).map(move |position| (name.clone(), position)));
    bytes
        .filter_map(|(name, position)| (random.u64(0..every) == 0).then(|| (name, position, 1 << random.u8(0..8))))
        .collect()
}

fn try_all(store: &Files, expected: &Files, flips: &[(String, usize, u8)]) -> (Counts, Vec<String>) {
    let place = Place::new();
    let (mut counts, mut wrong) = (Counts::default(), Vec::new());
    for (name, position, bit) in flips {
        let mut damaged = store.clone();
        damaged.get_mut(name).expect("a file")[*position] ^= bit;
        place.restore(&damaged);
        match catch_unwind(AssertUnwindSafe(|| judge(&place, name, expected))) {
            Ok(Ok(Outcome::Detected)) => counts.detected += 1,
            Ok(Ok(Outcome::Verified)) => counts.verified += 1,
            Ok(Ok(Outcome::Harmless)) => counts.harmless += 1,
            Ok(Err(what)) => wrong.push(format!("{name} byte {position} bit {bit:#04x}: {what}")),
            Err(_) => wrong.push(format!("{name} byte {position} bit {bit:#04x}: panicked")),
        }
    }
    (counts, wrong)
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_does_no_harm() {
    #[expect(clippy::disallowed_methods, reason = "how many bytes are tried is the caller's wish")]
    let all = std::env::var("HOURDROP_FLIPS").is_ok_and(|wish| wish == "all");
    for (kind, store) in stores() {
        let place = Place::new();
        place.restore(&store);
        let report = place.open(LATER).expect("open").once().expect("an undamaged pass");
        assert!(report.held.is_empty() && report.alarms.is_empty() && report.sealed.batches > 0, "{kind}: {report:?}");
        let expected = files_in(&place.site.path("drop"));
        assert!(expected.len() > 6, "{kind}: {:?}", expected.keys());
        let bytes: usize = store.values().map(Vec::len).sum();
        assert!(bytes < 1 << 20, "{kind}: {bytes} bytes are no small store");
        let flips = flips(&store, if all { 1 } else { SAMPLE });
        let begun = std::time::Instant::now();
        let (counts, wrong) = std::thread::scope(|scope| {
            let (first, second) = flips.split_at(flips.len() / 2);
            let halves = [first, second].map(|half| scope.spawn(|| try_all(&store, &expected, half)));
            let mut all = (Counts::default(), Vec::new());
            for half in halves {
                let (counts, wrong) = half.join().expect("a thread");
                all.0.detected += counts.detected;
                all.0.verified += counts.verified;
                all.0.harmless += counts.harmless;
                all.1.extend(wrong);
            }
            all
        });
        println!(
            "{kind}: {} flips, seed {SEED}: {} refused or alarmed, {} found by verify, {} harmless, in {:.1?}",
            flips.len(),
            counts.detected,
            counts.verified,
            counts.harmless,
            begun.elapsed()
        );
        let shown: Vec<&String> = wrong.iter().take(20).collect();
        assert!(wrong.is_empty(), "{kind}: {} of {} are silently wrong: {shown:#?}", wrong.len(), flips.len());
        assert!(counts.detected > flips.len() as u64 / 4, "{kind}: most bytes matter");
    }
}
