//! A partner whose directory may hold only so many files.

use crate::control_proxy::{Act, ControlProxy};
use crate::reactions::{contact, hours, partner_config, pass, port_of};
use crate::servers::TestServer;
use crate::site::{MovedClock, Site, StandingClock, files_in, time};
use hourdrop::clock::{Clock, Waited};
use hourdrop::domain::time::{Length, UtcTime};
use hourdrop::ledger::contact::ContactState;
use std::fs;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

const LONG_AGO: &str = "2024-11-03T13:00:00Z";

/// Waits pass in no time.
pub struct Hasty(pub MovedClock);

impl Clock for Hasty {
    fn now(&self) -> UtcTime {
        self.0.now()
    }

    fn uptime(&self) -> Length {
        self.0.uptime()
    }

    fn boot(&self) -> String {
        self.0.boot()
    }

    fn wait(&self, length: Length, wake: &Receiver<()>) -> Waited {
        self.0.pass(length.seconds().max(1));
        self.0.wait(length, wake)
    }
}

fn names(server: &TestServer) -> Vec<String> {
    files_in(&server.files).into_keys().collect()
}

#[test]
fn no_more_files_lie_there_than_may_and_the_oldest_go_first() {
    let (site, server) = (Site::new(), TestServer::demo());
    let keys = format!("deliver = \"ftp://acme@127.0.0.1:{}\"\nremote_files_max = 2", port_of(&server));
    let config = partner_config(&site, &keys);
    let text = fs::read_to_string(&config).expect("read").replace("\"20s\"", "\"1s\"");
    let config = site.configure(&text);
    fs::write(server.files.join("README.txt"), "of the partner").expect("write");
    fs::write(server.files.join("HX_of_others.dat"), "of the partner").expect("write");
    hours(&site, 5);
    let go = || pass(&config, Arc::new(StandingClock(time(LONG_AGO))));
    let ours = || names(&server).into_iter().filter(|name| name.starts_with("HX_2024")).collect::<Vec<_>>();
    let report = go();
    let why = "the partner's directory holds 2 of 2 files, waiting";
    assert_eq!((report.exit_code(), report.partners[0].1.fault.as_deref()), (5, Some(why)), "{report:?}");
    assert!(report.alarms.is_empty(), "{report:?}");
    assert_eq!(ours(), ["HX_2024110302_00001.dat", "HX_2024110303_00002.dat"]);
    assert_eq!(contact(&site).state, ContactState::Waiting { why: why.to_owned(), until: None });
    fs::remove_file(server.files.join("HX_2024110302_00001.dat")).expect("the partner takes one");
    assert_eq!(go().exit_code(), 5);
    assert_eq!(ours(), ["HX_2024110303_00002.dat", "HX_2024110304_00003.dat"]);
    for name in ours() {
        fs::remove_file(server.files.join(name)).expect("the partner takes all");
    }
    let report = go();
    assert_eq!((report.exit_code(), report.partners[0].1.left), (0, 0), "{report:?}");
    assert_eq!(ours(), ["HX_2024110305_00004.dat", "HX_2024110306_00005.dat"]);
    assert_eq!(contact(&site).state, ContactState::Reached { instead_of: None });
}

#[test]
fn a_pass_goes_on_when_the_partner_takes_files_meanwhile() {
    let (site, server) = (Site::new(), TestServer::demo());
    let (files, most) = (server.files.clone(), Arc::new(Mutex::new(0)));
    let seen = Arc::clone(&most);
    // The partner's program takes everything whenever somebody logs in, and counts.
    let proxy = ControlProxy::before(port_of(&server), move |_, command: &str| {
        if command.starts_with("USER") {
            let found = files_in(&files);
            let mut most = seen.lock().unwrap_or_else(PoisonError::into_inner);
            *most = found.len().max(*most);
            for name in found.keys() {
                fs::remove_file(files.join(name)).expect("taken");
            }
        }
        Act::Pass
    });
    let address = format!("deliver = \"ftp://acme@127.0.0.1:{}\"\nremote_files_max = 2", proxy.port());
    let config = partner_config(&site, &address);
    hours(&site, 5);
    let report = pass(&config, Arc::new(Hasty(MovedClock::at(time(LONG_AGO).seconds()))));
    assert_eq!((report.exit_code(), report.partners[0].1.delivered), (0, 5), "{report:?}");
    assert_eq!((names(&server), *most.lock().expect("number")), (vec!["HX_2024110306_00005.dat".to_owned()], 2));
}
