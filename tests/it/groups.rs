//! Files whose acts are announced together: an order, or the end of a connection, comes between any two of them.

use crate::combinations::{FIRST, configure, feed, go, hour, shown, tell};
use crate::control_proxy::{Act, ControlProxy};
use crate::reactions::port_of;
use crate::servers::TestServer;
use crate::site::Site;
use crate::standby::ftp_url;
use hourdrop::app::operator::{Order, Subject};
use hourdrop::disk::RealDisk;
use hourdrop::domain::delivery::{Attempt, DeliveryFact, FileState};
use hourdrop::domain::time::UtcTime;
use hourdrop::ledger::Ledger;
use hourdrop::ledger::operator::{Act as Change, OrderEntry};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILES: usize = 5;

/// A server, and somebody who acts while files go there.
struct Place {
    site: Site,
    server: TestServer,
    config: PathBuf,
}

impl Place {
    /// `act` is told of each command, and where the ledger is.
    fn new(mut act: impl FnMut(&str, &Path) -> Act + Send + 'static) -> Self {
        let (site, server) = (Site::new(), TestServer::demo());
        let state = site.path("state/ledger.db");
        let proxy = ControlProxy::before(port_of(&server), move |_, command: &str| act(command, &state));
        hour(&site, 0, i64::try_from(FILES).expect("few"));
        let config = configure(&site, &format!("deliver = \"{}\"", ftp_url(proxy.port())), false);
        Self { site, server, config }
    }

    /// The same, when the first file gets its name.
    fn at_the_first_name(act: impl Fn(&Path) -> Act + Send + 'static) -> Self {
        let mut is_done = false;
        Self::new(move |command, state| {
            if !command.starts_with("RNTO") || std::mem::replace(&mut is_done, true) {
                return Act::Pass;
            }
            act(state)
        })
    }

    fn states(&self) -> Vec<FileState> {
        let ledger = Ledger::open_read_only(&self.site.path("state/ledger.db")).expect("ledger");
        let batches = ledger.batches_to_send(&feed(), 9).expect("batches");
        batches.into_iter().flat_map(|batch| batch.files).map(|file| file.state).collect()
    }

    /// All of them wait under their temporary names, of a first attempt, and the next pass shows them.
    fn assert_the_rest_goes_on(&self, rest: usize) {
        let states = self.states();
        let waiting = states
            .iter()
            .filter(|state| matches!(state, FileState::Uploaded { attempt, .. } if *attempt == Attempt::FIRST));
        assert_eq!(waiting.count(), rest, "{states:?}");
    }
}

fn change(path: &Path, act: impl FnOnce(&mut Ledger)) {
    act(&mut Ledger::open(Arc::new(RealDisk), path).expect("ledger"));
}

fn entry(acts: Vec<Change>) -> OrderEntry<'static> {
    OrderEntry { acts, reason: "by the test", request: None }
}

const AT: UtcTime = UtcTime::from_nanos(1_730_000_000_000_000_000);

#[test]
fn a_pause_comes_between_any_two_files() {
    let place = Place::new(|command, state| {
        if command.starts_with("RNTO") {
            change(state, |ledger| {
                let paused = entry(vec![Change::Pause(format!("feed {}", feed()))]);
                ledger.record_order(&paused, AT).expect("paused");
            });
        }
        Act::Pass
    });
    // The first time they were announced together, then they are found uploaded.
    for shown_by_now in 1..FILES {
        go(&place.config);
        assert_eq!(shown(&place.server.files).len(), shown_by_now);
        place.assert_the_rest_goes_on(FILES - shown_by_now);
        tell(&place.config, &Order::Resume(Subject::Feed(feed())));
    }
    assert_eq!(shown(&place.server.files).first().map(String::as_str), Some(FIRST));
}

#[test]
fn files_before_one_that_cannot_be_uploaded_are_shown() {
    let place = Place::new(|command, _| {
        let is_second = command.starts_with("STOR") && command.contains("_00002.dat");
        if is_second { Act::Answer("552 No room.") } else { Act::Pass }
    });
    go(&place.config);
    go(&place.config);
    assert_eq!(shown(&place.server.files), [FIRST]);
}

#[test]
fn a_file_that_is_held_meanwhile_stops_those_behind_it_and_none_before_it() {
    let place = Place::at_the_first_name(|state| {
        change(state, |ledger| {
            let batch = ledger.batches_to_send(&feed(), 1).expect("batches").pop().expect("a batch");
            let third = batch.files[2].clone();
            let changes = vec![(third, DeliveryFact::HoldOrdered)];
            ledger.record_order(&entry(vec![Change::Files { batch, changes }]), AT).expect("held");
        });
        Act::Pass
    });
    go(&place.config);
    assert_eq!(shown(&place.server.files).len(), 2);
    assert!(matches!(place.states()[2], FileState::Held { .. }));
    place.assert_the_rest_goes_on(FILES - 3);
}

#[test]
fn what_a_lost_connection_kept_from_being_begun_is_not_in_doubt() {
    let place = Place::at_the_first_name(|_| Act::CloseAfter);
    go(&place.config);
    let states = place.states();
    assert!(matches!(states[0], FileState::Renaming { .. }), "{states:?}");
    place.assert_the_rest_goes_on(FILES - 1);
    let report = go(&place.config);
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(shown(&place.server.files).len(), FILES);
}
