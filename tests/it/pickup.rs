//! What partners do with delivered files: on a directory of this machine and on real servers.

use crate::scripted_server::{Quirk, ScriptedServer};
use crate::servers::{SshKeys, TestServer, ftp};
use crate::site::{MovedClock, Site, VOICE_FEED, call_line, files_in, load, time};
use hourdrop::app::config::Config;
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::progress::Silent;
use hourdrop::disk::RealDisk;
use hourdrop::domain::ids::FeedId;
use hourdrop::domain::pickup::{PickupState, Taken};
use hourdrop::domain::time::Length;
use hourdrop::ledger::Ledger;
use hourdrop::ledger::intake::Alarm;
use hourdrop::ledger::reports::FileRow;
use hourdrop::remote::Address;
use std::fs;
use std::process::Command;
use std::sync::Arc;

const NOW: &str = "2024-11-03T05:00:00Z";
const DELETED: &str = r#"{ by = "deleted", within = "90m" }"#;

/// Two hours at one partner, and a clock that a test moves.
pub struct Handoff {
    pub site: Site,
    pub clock: Arc<MovedClock>,
    server: Option<TestServer>,
}

impl Handoff {
    fn new(pickup: &str) -> Self {
        Self::with(&format!("pickup = {pickup}"))
    }

    /// A partner with these keys, and more formats.
    pub fn with_formats(keys: &str, formats: &[(&str, &str)]) -> Self {
        let handoff = Self::with(keys);
        for (name, text) in formats {
            handoff.site.write(&format!("formats/{name}.toml"), text);
        }
        handoff
    }

    /// A partner with these keys.
    fn with(keys: &str) -> Self {
        let site = Site::in_memory();
        let handoff = Self { clock: Arc::new(MovedClock::at(time(NOW).seconds())), server: None, site };
        handoff.configure(keys);
        handoff.site.write("in/1.log", call_line(1, "a") + &call_line(61, "b"));
        handoff.site.drop_dir("huaxin");
        handoff
    }

    /// The same partner with these keys.
    pub fn configure(&self, keys: &str) {
        self.site.configure(&format!(
            r#"
state = "state"
archive = "archive"
[source.switch]
files = "in"
finished = "renamed"
then = "delete"
format = "kamailio-acc-cdrs"
[partner.huaxin]
deliver = "drop/huaxin"
{keys}
{VOICE_FEED}
"#
        ));
    }

    pub fn config(&self) -> Config {
        let mut config = load(&self.site.path("hourdrop.toml"), NOW);
        if let Some(server) = &self.server {
            config.partners[0].address.endpoint = server.endpoint.clone();
            config.partners[0].address.directory = server.base.clone();
        }
        config
    }

    pub fn once(&self) -> OnceReport {
        self.once_with(self.config())
    }

    fn once_with(&self, config: Config) -> OnceReport {
        let clock: Arc<MovedClock> = Arc::clone(&self.clock);
        let world = World::new(Arc::new(RealDisk), clock, Arc::new(Silent));
        Exporter::open(config, &world, None, true).expect("an exporter").once().expect("a pass")
    }

    pub fn dir(&self) -> std::path::PathBuf {
        self.server.as_ref().map_or_else(|| self.site.drop_dir("huaxin"), |server| server.files.clone())
    }

    pub fn names(&self) -> Vec<String> {
        files_in(&self.dir()).into_keys().collect()
    }

    pub fn take(&self, ending: &str) {
        for name in self.names().iter().filter(|name| name.ends_with(ending)) {
            fs::remove_file(self.dir().join(name)).expect("taken");
        }
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::open_read_only(&self.site.path("state/ledger.db")).expect("ledger")
    }

    fn files(&self) -> Vec<FileRow> {
        self.ledger().file_rows(&FeedId::parse("huaxin/voice").expect("feed")).expect("files")
    }

    fn states(&self) -> Vec<PickupState> {
        self.files().iter().map(|file| file.pickup.state).collect()
    }

    pub fn batches(&self) -> Vec<String> {
        let batches = self.ledger().batch_rows(&FeedId::parse("huaxin/voice").expect("feed")).expect("batches");
        batches.iter().map(|batch| batch.state.to_string()).collect()
    }

    pub fn alarms(&self) -> Vec<String> {
        self.ledger()
            .alarms()
            .expect("alarms")
            .iter()
            .map(|Alarm { code, message, .. }| format!("{code} {message}"))
            .collect()
    }

    pub fn screen(&self, arguments: &[&str]) -> String {
        let now = hourdrop::clock::Clock::now(&*self.clock).seconds();
        let now = chrono::DateTime::from_timestamp(now, 0).expect("a time").to_rfc3339();
        let output = Command::new(env!("CARGO_BIN_EXE_hourdrop"))
            .args(arguments)
            .args(["--color", "never", "--utc", "--config"])
            .arg(self.site.path("hourdrop.toml"))
            .env("HOURDROP_TEST_CLOCK", now)
            .output()
            .expect("runs");
        String::from_utf8(output.stdout).expect("text")
    }
}

#[test]
fn a_file_that_is_gone_from_a_proven_listing_is_picked_up_and_its_hour_ends() {
    let handoff = Handoff::new(DELETED);
    handoff.once();
    assert_eq!(handoff.states(), [PickupState::There; 4], "two hours, each with its manifest");
    let delivered = time(NOW);
    handoff.clock.pass(600);
    handoff.once();
    handoff.clock.pass(600);
    handoff.take("");
    handoff.once();
    assert_eq!(handoff.states(), [PickupState::PickedUp; 4]);
    for file in handoff.files() {
        let pickup = file.pickup;
        assert_eq!((file.delivered_at, pickup.first_seen), (Some(delivered), Some(delivered)));
        assert_eq!(pickup.last_seen, Some(delivered.after(Length::from_seconds(600))));
        assert_eq!(pickup.first_missed, Some(delivered.after(Length::from_seconds(1200))));
        assert_eq!((pickup.taken_at, pickup.how), (pickup.first_missed, Some(Taken::Missing)));
    }
    assert_eq!(handoff.batches(), ["retired"; 2]);
    assert_eq!((handoff.alarms(), handoff.names()), (Vec::new(), Vec::new()), "no file of ours stays behind");
    let history = handoff.ledger().facts_about("huaxin/voice").expect("facts");
    let told = |kind: &str| history.iter().filter(|fact| fact.kind == kind).count();
    assert_eq!((told("picked-up"), told("retired")), (4 + 2, 2));
    handoff.ledger().require_undamaged().expect("whole");
}

#[test]
fn what_is_not_taken_in_time_is_an_alarm_that_ends_with_the_pickup() {
    let handoff = Handoff::new(DELETED);
    handoff.once();
    handoff.clock.pass(90 * 60);
    handoff.once();
    assert_eq!(handoff.alarms(), [""; 0], "not a second too early");
    handoff.clock.pass(1);
    let report = handoff.once();
    let expected = "HD0211 4 files were not picked up within 1h30m; the oldest, HX_2024110302_00001.dat, was delivered \
                    2024-11-03T05:00:00Z";
    assert_eq!(handoff.alarms(), [expected]);
    assert_eq!(report.exit_code(), 0, "what the partner does not do is no fault of the pass");
    assert!(handoff.screen(&["status"]).contains("  4 files, 90 min  "), "{}", handoff.screen(&["status"]));
    let hours = handoff.screen(&["hours"]);
    assert!(hours.contains("PICKED UP") && hours.contains("waiting 90 min"), "{hours}");
    handoff.take(".dat");
    handoff.clock.pass(60);
    handoff.once();
    assert!(handoff.alarms()[0].starts_with("HD0211 2 files"), "{:?}", handoff.alarms());
    assert!(handoff.screen(&["hours"]).contains("1 of 2, waiting 91 min"), "{}", handoff.screen(&["hours"]));
    handoff.take("");
    handoff.clock.pass(60);
    handoff.once();
    assert_eq!(handoff.alarms(), [""; 0]);
    assert!(handoff.screen(&["status"]).contains("  0         "), "{}", handoff.screen(&["status"]));
    let hours = handoff.screen(&["hours"]);
    assert!(hours.contains("06:32:01") && !hours.contains("waiting"), "{hours}");
    let show = handoff.screen(&["show", "HX_2024110302_00001.dat"]);
    assert!(show.contains("picked up 2024-11-03 06:31:01 Z, 91 min after the delivery"), "{show}");
    let json: serde_json::Value =
        serde_json::from_str(handoff.screen(&["files", "--json"]).lines().next().expect("a line")).expect("JSON");
    assert_eq!((&json["pickup"], &json["picked_up_after_seconds"]), (&"picked up".into(), &(91 * 60 + 1).into()));
}

#[test]
fn a_directory_that_cannot_be_listed_or_that_hides_files_is_not_empty() {
    let handoff = Handoff::new(DELETED);
    handoff.once();
    handoff.clock.pass(60);
    fs::rename(handoff.dir(), handoff.site.path("unmounted")).expect("unmounted");
    let report = handoff.once();
    assert_eq!((report.exit_code(), handoff.states()), (5, vec![PickupState::There; 4]));
    assert!(handoff.alarms()[0].starts_with("HD0215 "), "{:?}", handoff.alarms());
    fs::remove_dir(handoff.dir()).expect("made by the question");
    fs::rename(handoff.site.path("unmounted"), handoff.dir()).expect("mounted again");
    handoff.clock.pass(60);
    assert_eq!((handoff.once().exit_code(), handoff.alarms()), (0, Vec::new()));

    // A server that lists nothing, whatever lies there.
    let handoff = Handoff::new(DELETED);
    let (honest, blind) = (ScriptedServer::start(Quirk::Nothing, 0), ScriptedServer::start(Quirk::DropBox, u32::MAX));
    let once_at = |server: &ScriptedServer| {
        let mut config = handoff.config();
        config.partners[0].address.endpoint = ftp(server.port(), "hunter2");
        let former = Address {
            endpoint: ftp(honest.port(), "hunter2"),
            directory: config.partners[0].address.directory.clone(),
        };
        config.partners[0].formerly = vec![former];
        handoff.clock.pass(60);
        handoff.once_with(config).exit_code()
    };
    assert_eq!((once_at(&honest), handoff.states()), (0, vec![PickupState::There; 4]));
    assert_eq!((once_at(&blind), handoff.states()), (5, vec![PickupState::There; 4]));
    assert!(handoff.alarms()[0].contains("a file just put there does not show"), "{:?}", handoff.alarms());
    assert!(blind.world().files.is_empty(), "the file that should have shown is removed");
    assert_eq!((once_at(&honest), handoff.alarms()), (0, Vec::new()));
}

#[test]
fn files_that_wait_where_a_partner_was_before_are_not_looked_for_where_it_is_now() {
    let handoff = Handoff::new(DELETED);
    handoff.once();
    let old = handoff.dir();
    handoff.site.write("in/2.log", call_line(121, "c"));
    handoff.site.drop_dir("moved");
    handoff.site.drop_dir("other");
    let config = handoff.site.path("hourdrop.toml");
    let before = fs::read_to_string(&config).expect("read");
    for deliver in ["drop/other", "drop/moved"] {
        handoff.site.configure(&before.replace("drop/huaxin", deliver));
        handoff.clock.pass(60);
        handoff.once();
        assert_eq!(handoff.states()[..4], [PickupState::There; 4], "{deliver}");
    }
    assert_eq!(files_in(&handoff.site.drop_dir("other")).len(), 2, "the third hour");
    let [alarm] = &handoff.alarms()[..] else { panic!("{:?}", handoff.alarms()) };
    let expected =
        format!("HD0217 files wait where the configuration does not lead any more: file://{} HX_", old.display());
    assert!(alarm.starts_with(&expected), "{alarm}");
    let shown = handoff.screen(&["status"]);
    assert!(shown.contains("hourdrop settle FEED HOUR --as picked-up --reason ..."), "{shown}");

    // The partner is asked; its word is recorded once, and for what was meant alone.
    let settle = |what: &[&str]| {
        let end = ["--as", "picked-up", "--reason", "the partner has fetched them from the old machine"];
        handoff.screen(&[&["settle"], what, &end].concat())
    };
    let said = settle(&["HX_2024110302_00001.dat"]);
    assert_eq!(said, "HX_2024110302_00001.dat is settled: HX_2024110302_00001.dat picked up, on your word\n");
    assert!(settle(&["HX_2024110302_00001.dat"]).contains("nothing of HX_2024110302_00001.dat is left to change"));
    assert!(settle(&["huaxin/voice", "2024-11-03T02:00Z"]).contains("picked up, on your word"));
    assert_eq!(handoff.batches(), ["picked up", "delivered", "delivered"]);
    let show = handoff.screen(&["show", "HX_2024110302_00001.dat"]);
    assert!(show.contains("on the word of a person") && show.contains("settled-as-picked-up"), "{show}");
    let file = |number: usize| handoff.files()[number].pickup.clone();
    assert_eq!((file(0).state, file(0).how), (PickupState::PickedUp, Some(Taken::Person)));
    handoff.once();
    assert!(handoff.alarms()[0].starts_with("HD0217 "), "the second hour still waits: {:?}", handoff.alarms());
    assert_eq!(handoff.batches(), ["retired", "delivered", "delivered"]);

    // Where the files were moved along, what is there is seen, and what was taken counts.
    let moved = before.replace("drop/huaxin\"", "drop/moved\"\nformerly = [\"drop/huaxin\"]");
    handoff.site.configure(&moved);
    fs::rename(&old, handoff.site.path("gone")).expect("moved");
    for (name, bytes) in files_in(&handoff.site.path("gone")) {
        fs::write(handoff.site.path("drop/moved").join(name), bytes).expect("written");
    }
    handoff.clock.pass(60);
    handoff.once();
    assert_eq!(handoff.batches(), ["retired", "delivered", "delivered"]);
    for name in files_in(&handoff.site.path("drop/moved")).keys() {
        fs::remove_file(handoff.site.path("drop/moved").join(name)).expect("taken");
    }
    handoff.clock.pass(60);
    handoff.once();
    assert_eq!(handoff.batches(), ["retired", "retired", "delivered"]);
    assert!(settle(&["huaxin/voice", "--all"]).contains("2 files picked up, on your word"));
    handoff.once();
    assert_eq!((handoff.batches(), handoff.alarms()), (vec!["retired".to_owned(); 3], Vec::new()));
    handoff.ledger().require_undamaged().expect("whole");
}

#[test]
fn moved_and_renamed_files_are_evidence() {
    for (pickup, place, expected) in [
        (r#"{ by = "moved:done" }"#, "done/NAME", Taken::Moved),
        (r#"{ by = "renamed:*.done" }"#, "NAME.done", Taken::Renamed),
    ] {
        let handoff = Handoff::new(pickup);
        fs::create_dir(handoff.dir().join("done")).expect("directory");
        handoff.once();
        for name in handoff.names() {
            let to = handoff.dir().join(place.replace("NAME", &name));
            fs::rename(handoff.dir().join(&name), to).expect("moved");
        }
        handoff.clock.pass(60);
        handoff.once();
        let how: Vec<Option<Taken>> = handoff.files().iter().map(|file| file.pickup.how).collect();
        assert_eq!((how, handoff.alarms()), (vec![Some(expected); 4], Vec::new()), "{pickup}");
        handoff.clock.pass(60);
        handoff.once();
        assert_eq!((handoff.batches(), handoff.alarms()), (vec!["retired".to_owned(); 2], Vec::new()), "{pickup}");
    }
}

#[test]
fn files_that_a_partner_keeps_are_removed_when_their_time_is_over_and_they_are_ours() {
    let handoff = Handoff::new(r#"{ by = "kept", remove_after = "7d" }"#);
    handoff.once();
    let first = handoff.names().remove(0);
    let second = handoff.names().remove(1);
    handoff.clock.pass(7 * 86_400);
    handoff.once();
    assert_eq!(handoff.names().len(), 4, "not a second too early");
    // Another size, and the same size written later.
    fs::write(handoff.dir().join(&first), "somebody wrote here").expect("written");
    let bytes = fs::read(handoff.dir().join(&second)).expect("read");
    fs::remove_file(handoff.dir().join(&second)).expect("removed");
    fs::write(handoff.dir().join(&second), bytes).expect("written");
    handoff.site.write("drop/huaxin/theirs.txt", "x");
    handoff.clock.pass(1);
    handoff.once();
    assert_eq!(handoff.names(), [first.clone(), second.clone(), "theirs.txt".to_owned()]);
    let expected = [
        "HD0212 files that are not ours lie in the drop directory: theirs.txt".to_owned(),
        format!("HD0216 not removed, because they are not as hourdrop left them: {second}, {first}"),
    ];
    let mut alarms = handoff.alarms();
    alarms.sort();
    assert_eq!(alarms, expected);
    let removed = handoff.states().iter().filter(|state| **state == PickupState::Removed).count();
    assert_eq!((removed, handoff.batches().iter().filter(|state| *state == "retired").count()), (2, 1));
    let kinds: Vec<String> =
        handoff.ledger().facts_about("huaxin/voice").expect("facts").into_iter().map(|f| f.kind).collect();
    let intent = kinds.iter().position(|kind| kind == "removal-intended").expect("an intent");
    assert!(intent < kinds.iter().position(|kind| kind == "removed").expect("a removal"));
}

#[test]
fn strange_things_in_the_directory_are_reported_and_never_touched() {
    let handoff = Handoff::new(r#"{ by = "deleted", ignore = ["*.lock"] }"#);
    handoff.once();
    let first = handoff.names().into_iter().find(|name| name.ends_with(".dat")).expect("a file");
    let bytes = fs::read(handoff.dir().join(&first)).expect("read");
    for name in ["a.txt", "b.txt", "c.txt", "d.txt", "x.lock"] {
        handoff.site.write(&format!("drop/huaxin/{name}"), "x");
    }
    fs::remove_file(handoff.dir().join(&first)).expect("taken");
    handoff.clock.pass(60);
    handoff.once();
    let foreign = "HD0212 files that are not ours lie in the drop directory: a.txt, b.txt, c.txt and 1 more".to_owned();
    assert_eq!(handoff.alarms(), std::slice::from_ref(&foreign), "the partner may be at work");
    handoff.clock.pass(60);
    handoff.once();
    let before = format!("HD0213 taken before the manifest HX_2024110302_00.json: {first}");
    assert_eq!(handoff.alarms(), [foreign.clone(), before]);
    handoff.take(".json");
    handoff.clock.pass(60);
    handoff.once();
    handoff.clock.pass(60);
    handoff.once();
    let left = handoff.names().into_iter().find(|name| name.ends_with(".dat")).expect("a file");
    let gone = format!("HD0213 the manifest HX_2024110303_00.json was taken, and of its files there stay {left}");
    assert_eq!(handoff.alarms(), [foreign.clone(), gone]);

    handoff.take(".dat");
    handoff.site.write(&format!("drop/huaxin/{first}"), bytes);
    handoff.clock.pass(60);
    handoff.once();
    let back = format!("HD0214 files that were picked up are there again: {first}");
    assert_eq!(handoff.alarms(), [foreign, back]);
    assert_eq!(handoff.names().len(), 6, "{:?}", handoff.names());
    let count = |kind: &str| {
        let facts = handoff.ledger().facts_about(&format!("huaxin/voice {first}")).expect("facts");
        facts.iter().filter(|fact| fact.kind == kind).count()
    };
    handoff.clock.pass(60);
    handoff.once();
    assert_eq!((count("picked-up"), count("seen-again")), (1, 1), "told once");
}

#[test]
fn a_delete_on_our_own_server_is_a_pickup_at_once() {
    let handoff = Handoff::new(DELETED);
    handoff.once();
    let at = time("2024-11-03T05:10:00Z");
    let partner = hourdrop::domain::ids::PartnerId::parse("huaxin").expect("name");
    let other = hourdrop::domain::ids::PartnerId::parse("other").expect("name");
    let mut ledger = Ledger::open(Arc::new(RealDisk), &handoff.site.path("state/ledger.db")).expect("ledger");
    let name = handoff.names().remove(0);
    assert_eq!(ledger.record_pickup(&other, &name, at).expect("recorded"), None);
    assert_eq!(ledger.record_pickup(&partner, "foreign", at).expect("recorded"), None);
    let feed = ledger.record_pickup(&partner, &name, at).expect("recorded");
    assert_eq!(feed.map(|feed| feed.to_string()).as_deref(), Some("huaxin/voice"));
    assert_eq!(ledger.record_pickup(&partner, &name, at).expect("recorded"), None, "once");
    let files = handoff.files();
    let taken = files.iter().find(|file| file.name == name).expect("the file");
    assert_eq!((taken.pickup.taken_at, taken.pickup.how), (Some(at), Some(Taken::Deleted)));
    for name in handoff.names() {
        ledger.record_pickup(&partner, &name, at).expect("recorded");
    }
    assert_eq!(handoff.batches(), ["picked up"; 2]);
}

#[test]
fn pickups_are_seen_on_real_servers() {
    let keys = SshKeys::of_kinds(&["ed25519"]);
    for server in [TestServer::vsftpd(), TestServer::proftpd(), TestServer::openssh(&keys)] {
        let mut handoff = Handoff::new(DELETED);
        let name = server.name;
        handoff.server = Some(server);
        assert_eq!(handoff.once().exit_code(), 0, "{name}");
        assert_eq!(handoff.states(), [PickupState::There; 4], "{name}");
        handoff.take(".dat");
        handoff.clock.pass(60);
        assert_eq!(handoff.once().exit_code(), 0, "{name}");
        let taken = handoff.states().iter().filter(|state| **state == PickupState::PickedUp).count();
        assert_eq!((taken, handoff.names().len()), (2, 2), "{name}");
        handoff.take("");
        handoff.clock.pass(60);
        handoff.once();
        assert_eq!((handoff.batches(), handoff.alarms()), (vec!["retired".to_owned(); 2], Vec::new()), "{name}");
    }
}
