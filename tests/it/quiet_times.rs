//! Nothing is begun in a partner's quiet times.

use crate::control_proxy::{Act, ControlProxy};
use crate::reactions::{NOW, contact, hours, partner_config, pass, port_of, status};
use crate::servers::TestServer;
use crate::site::{MovedClock, Site, StandingClock, files_in, load, time};
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::progress::Silent;
use hourdrop::clock::{AcceleratedClock, Clock};
use hourdrop::disk::RealDisk;
use hourdrop::ledger::contact::ContactState;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

const QUIET: &str = "quiet = { zone = \"Asia/Shanghai\", times = [\"19:50-20:10\"] }";

fn delivered_at(site: &Site) -> Vec<String> {
    let ledger = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    let mut rows = ledger.prepare("SELECT delivered_utc FROM v_files ORDER BY sequence").expect("a query");
    let rows = rows.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("times")
}

#[test]
fn a_pass_in_a_quiet_time_says_so_and_ends() {
    let (site, server) = (Site::new(), TestServer::demo());
    let address = format!("deliver = \"ftp://acme@127.0.0.1:{}\"\n{QUIET}", port_of(&server));
    let config = partner_config(&site, &address);
    hours(&site, 2);
    let report = pass(&config, Arc::new(StandingClock(time(NOW))));
    let why = "quiet 19:50-20:10 Asia/Shanghai: nothing is sent";
    assert_eq!((report.exit_code(), report.partners[0].1.fault.as_deref()), (5, Some(why)), "{report:?}");
    assert!(report.alarms.is_empty(), "a rule is no alarm: {report:?}");
    assert_eq!(files_in(&server.files).len(), 0);
    let until = Some(time("2024-11-03T12:10:00Z"));
    assert_eq!(contact(&site).state, ContactState::Waiting { why: why.to_owned(), until });
    let said = status(&config, &[]);
    let line = format!("   huaxin  waits since {} until {}: {why}\n", "2024-11-03 12:00:00", "2024-11-03 12:10:00");
    assert!(said.replace(" Z", "").replace(" +00:00", "").contains(&line), "{said}");
    let report = pass(&config, Arc::new(StandingClock(time("2024-11-03T12:10:00Z"))));
    assert_eq!((report.exit_code(), files_in(&server.files).len()), (0, 2), "{report:?}");
}

#[test]
fn a_session_that_comes_into_a_quiet_time_finishes_its_file_and_begins_no_other() {
    let (site, server) = (Site::new(), TestServer::demo());
    let clock = Arc::new(MovedClock::at(time("2024-11-03T11:00:00Z").seconds()));
    let (moved, mut renamed) = (Arc::clone(&clock), 0);
    let proxy = ControlProxy::before(port_of(&server), move |_, command: &str| {
        renamed += u32::from(command.starts_with("RNTO"));
        if command.starts_with("RNTO") && renamed == 2 {
            moved.pass(3600);
        }
        Act::Pass
    });
    let config = partner_config(&site, &format!("deliver = \"ftp://acme@127.0.0.1:{}\"\n{QUIET}", proxy.port()));
    hours(&site, 5);
    let report = pass(&config, Arc::clone(&clock) as Arc<dyn Clock>);
    assert_eq!((report.exit_code(), report.partners[0].1.left), (5, 3), "{report:?}");
    assert_eq!((proxy.heard("STOR"), files_in(&server.files).len()), (2, 2), "{:?}", files_in(&server.files).keys());
    clock.pass(600);
    assert_eq!(pass(&config, clock).exit_code(), 0);
    assert_eq!(files_in(&server.files).len(), 5);
}

#[test]
fn run_sends_when_the_quiet_time_is_over() {
    let (site, server) = (Site::new(), TestServer::demo());
    let address = format!("deliver = \"ftp://acme@127.0.0.1:{}\"\n{QUIET}", port_of(&server));
    let config = partner_config(&site, &address);
    hours(&site, 2);
    let clock = Arc::new(AcceleratedClock::starting_at(time(NOW), 600));
    let world = World::new(Arc::new(RealDisk), clock, Arc::new(Silent));
    let stop = Arc::clone(&world.stop);
    let exporter = Exporter::open(load(&config, NOW), &world, None, false).expect("an exporter");
    let (_waker, wake) = sync_channel(1);
    let running = std::thread::spawn(move || exporter.run(&wake));
    let deadline = Instant::now() + Duration::from_mins(1);
    while files_in(&server.files).keys().filter(|name| name.ends_with(".dat")).count() < 2 {
        assert!(Instant::now() < deadline, "nothing was sent: {:?}", contact(&site));
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Ordering::Relaxed);
    running.join().expect("no panic").expect("a clean end");
    for at in delivered_at(&site) {
        assert!(at.as_str() >= "2024-11-03T12:10:00Z", "{at}");
    }
}
