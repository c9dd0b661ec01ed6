//! State directories of every release stay readable: `tests/fixtures/state-VERSION` holds one that was stopped in the
//! middle of a pass, with a plan that is not finished, records that wait and input that is not read.
//!
//! `-sha256` is of the time when inputs were known by SHA-256. The one of this release is written by
//! `HOURDROP_WRITE_STATE=1 cargo test --release --features test-clock state_fixture`.

use crate::site::{Site, StandingClock, call_line, delivered_calls, files_in, load, project, time};
use crate::stopping_disk::StoppingDisk;
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::progress::Silent;
use hourdrop::disk::{Disk, RealDisk};
use std::fs;
use std::path::Path;
use std::sync::Arc;

const CONFIG: &str = r#"once_deliver_for = "0s"
state   = "state"
archive = "archive"

reserve = "0"

[source.switch]
files    = "in"
finished = "renamed"
then     = "move:done"
format   = "kamailio-acc-cdrs"

[partner.huaxin]
deliver = "drop/huaxin"

[partner.huaxin.feed.voice]
source    = "switch"
format    = "huaxin-voice"
hour_by   = "start_time"
starts_at = "2024-11-03T02:00:00Z"
name      = "HX_{start:%Y%m%d%H}_{seq:05}.dat"
manifest  = { name = "HX_{start:%Y%m%d%H}_{revision:02}.json" }
"#;
const FIRST: &str = "2024-11-03T03:30:00Z";
const SECOND: &str = "2024-11-03T05:30:00Z";

fn world(disk: Arc<dyn Disk>, now: &str) -> World {
    let mut world = World::new(disk, Arc::new(StandingClock(time(now))), Arc::new(Silent));
    world.limits.segment_bytes_max = 4096;
    world
}

fn pass(site: &Site, disk: Arc<dyn Disk>, now: &str) -> bool {
    let config = load(&site.path("hourdrop.toml"), now);
    Exporter::open(config, &world(disk, now), None, true).and_then(Exporter::once).is_ok()
}

fn copy(from: &Path, site: &Site) {
    for (name, bytes) in files_in(from) {
        site.write(&name, bytes);
    }
}

/// A site in the middle of its second pass: the plan of an hour is recorded, its files are not there.
fn stopped() -> Site {
    let base = Site::new();
    base.configure(CONFIG);
    base.drop_dir("huaxin");
    base.write("in/1.log", call_line(1, "a") + &call_line(61, "b"));
    assert!(pass(&base, Arc::new(RealDisk), FIRST));
    base.write("in/2.log", call_line(121, "c") + &call_line(200, "d"));
    (0..)
        .find_map(|stop_at| {
            let site = Site::new();
            copy(&base.path(""), &site);
            let whole = pass(&site, Arc::new(StoppingDisk::new(stop_at)), SECOND);
            assert!(!whole, "no plan was left unfinished");
            let ledger = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
            let planned = "SELECT count(*) FROM batch WHERE state = 'planned'";
            let planned: i64 = ledger.query_row(planned, [], |row| row.get(0)).expect("a count");
            site.write("in/3.log", call_line(202, "e"));
            (planned > 0).then_some(site)
        })
        .expect("a site")
}

fn write_fixture(target: &Path) {
    let site = stopped();
    for (name, bytes) in files_in(&site.path("")) {
        let format = name.strip_prefix("formats/");
        if format.is_some_and(|format| !["kamailio-acc-cdrs.toml", "huaxin-voice.toml"].contains(&format)) {
            continue;
        }
        let path = target.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
        fs::write(path, bytes).expect("write");
    }
}

fn assert_it_goes_on(site: &Site, name: &str) {
    assert!(pass(site, Arc::new(RealDisk), "2024-11-03T08:30:00Z"), "{name}");
    let mut found: Vec<String> = delivered_calls(site).into_iter().flat_map(|(_, ids)| ids).collect();
    found.sort();
    assert_eq!(found.join(""), "abcde", "{name}");
    site.assert_archive_is_what_was_dropped(&["huaxin"]);
    assert_nothing_is_read_twice(site, name);
}

/// What was read is known again, by whichever release and hash.
fn assert_nothing_is_read_twice(site: &Site, name: &str) {
    for number in [1, 3] {
        fs::copy(site.path(&format!("done/{number}.log")), site.path(&format!("in/copy-{number}.log"))).expect("copy");
    }
    assert!(pass(site, Arc::new(RealDisk), "2024-11-03T08:40:00Z"), "{name}");
    let ledger = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    let query =
        "SELECT count(*), count(*) FILTER (WHERE message LIKE '%content of%'), (SELECT count(*) FROM input) FROM alarm";
    let counts = ledger.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    assert_eq!(counts.expect("counts"), (2, 2, 3), "{name}: an alarm for each, and no other input");
    for number in [1, 3] {
        fs::remove_file(site.path(&format!("in/copy-{number}.log"))).expect("remove");
        let renamed = format!("done/{number}.log");
        fs::copy(site.path(&renamed), site.path(&format!("in/{number}.log"))).expect("copy");
    }
    assert!(pass(site, Arc::new(RealDisk), "2024-11-03T08:50:00Z"), "{name}");
    let inputs: i64 = ledger.query_row("SELECT count(*) FROM input", [], |row| row.get(0)).expect("a count");
    assert_eq!(inputs, 3, "{name}: the same files under the same names");
}

/// How inputs were hashed, in the order in which they were read.
fn hashes(site: &Site) -> Vec<String> {
    let ledger = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    let query = "SELECT substr(hash, 1, 6) FROM v_inputs ORDER BY name";
    let mut statement = ledger.prepare(query).expect("a view");
    let hashes = statement.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>();
    hashes.expect("hashes")
}

#[test]
fn state_directories_of_every_release_are_opened_and_finished() {
    let fixtures = project().join("tests/fixtures");
    if std::env::var_os("HOURDROP_WRITE_STATE").is_some() {
        let version: Vec<&str> = env!("CARGO_PKG_VERSION").split('.').take(2).collect();
        let target = fixtures.join(format!("state-{}", version.join(".")));
        fs::remove_dir_all(&target).ok();
        write_fixture(&target);
    }
    let mut found = 0;
    for entry in fs::read_dir(&fixtures).expect("fixtures") {
        let path = entry.expect("entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("state-") {
            found += 1;
            let site = Site::new();
            copy(&path, &site);
            assert_it_goes_on(&site, &name);
            let last_hash = "blake3".to_owned();
            let first_hash = if name.ends_with("-sha256") { "sha256".to_owned() } else { last_hash.clone() };
            assert_eq!(hashes(&site), [first_hash.clone(), first_hash, last_hash], "{name}");
        }
    }
    assert!(found > 0, "there is one of this release");
}

#[test]
fn a_state_directory_that_was_just_written_is_finished() {
    assert_it_goes_on(&stopped(), "this program");
}
