//! Rules of a partner that meet: what no test of one of them alone would show.

use crate::control_proxy::{Act, ControlProxy};
use crate::reactions::{NOW, partner_config, pass, port_of};
use crate::servers::TestServer;
use crate::site::{Site, StandingClock, call_line, files_in, open, order, time};
use crate::standby::{ftp_url, switched};
use hourdrop::app::exporter::OnceReport;
use hourdrop::app::operator::{Order, SettleAs, Target};
use hourdrop::disk::RealDisk;
use hourdrop::domain::ids::FeedId;
use hourdrop::domain::period::Partition;
use hourdrop::domain::pickup::{PickupFact, PickupState};
use hourdrop::ledger::Ledger;
use hourdrop::ledger::pickup::PickupChange;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub const FIRST: &str = "HX_2024110302_00001.dat";

/// An hour of so many calls, each in a file of its own.
pub fn hour(site: &Site, hour: i64, calls: i64) {
    let lines: String = (0..calls).map(|call| call_line(hour * 60 + call, &format!("call{call}"))).collect();
    site.write(&format!("in/{hour}.log"), lines);
}

pub fn go(config: &Path) -> OnceReport {
    pass(config, Arc::new(StandingClock(time(NOW))))
}

pub fn feed() -> FeedId {
    FeedId::parse("huaxin/voice").expect("feed")
}

/// A partner with these keys, and a feed of one record a file.
pub fn configure(site: &Site, keys: &str, manifest: bool) -> PathBuf {
    let text = fs::read_to_string(partner_config(site, keys)).expect("read").replace("\"20s\"", "\"1s\"");
    let manifest =
        if manifest { "manifest = { name = \"HX_{start:%Y%m%d%H}_{revision:02}.json\" }" } else { "manifest = false" };
    site.configure(&text.replace("manifest  = false", &format!("{manifest}\nrecords_max = 1")))
}

/// The same with directories of this machine instead of servers; one that is missing cannot be reached.
fn local(site: &Site, keys: &str) -> PathBuf {
    let text = fs::read_to_string(configure(site, keys, false)).expect("read");
    site.configure(&text.replace("password = { file = \"password\" }", ""))
}

fn make(site: &Site, dir: &str) -> PathBuf {
    fs::create_dir_all(site.path(dir)).expect("directory");
    site.path(dir)
}

pub fn shown(dir: &Path) -> Vec<String> {
    files_in(dir).into_keys().filter(|name| name.starts_with("HX_") && !name.ends_with(".tmp")).collect()
}

fn codes(site: &Site) -> Vec<String> {
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    ledger.alarms().expect("alarms").into_iter().map(|alarm| alarm.code).collect()
}

pub fn tell(config: &Path, what: &Order) {
    order(&mut open(config, NOW), what).expect("done");
}

fn settle(config: &Path, how: SettleAs) {
    tell(config, &Order::Settle(Target::File(feed(), FIRST.to_owned()), how));
}

#[test]
fn what_a_person_settles_is_looked_for_at_the_server_that_it_went_to() {
    let site = Site::in_memory();
    let config = local(&site, "endpoints = [\"drop/a\", \"drop/b\"]\npickup = { by = \"deleted\" }");
    fs::write(make(&site, "drop/b").join(FIRST), "somebody else's").expect("write");
    hour(&site, 0, 1);
    assert_eq!(go(&config).held.len(), 1);
    settle(&config, SettleAs::Delivered);
    make(&site, "drop/a");
    go(&config);
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let files = ledger.file_rows(&feed()).expect("files");
    assert_eq!(files[0].pickup.state, PickupState::There, "{:?}", files[0]);
}

#[test]
fn an_hour_of_more_files_than_may_lie_there_goes_on_with_several_sessions() {
    let site = Site::in_memory();
    let dir = make(&site, "drop/a");
    let config = local(&site, "deliver = \"drop/a\"\nconnections = 3\nremote_files_max = 2");
    hour(&site, 0, 5);
    let mut taken = Vec::new();
    for _ in 0..3 {
        go(&config);
        let there = shown(&dir);
        assert!(there.len() <= 2, "{there:?}");
        for name in &there {
            fs::remove_file(dir.join(name)).expect("taken");
        }
        taken.extend(there);
    }
    let expected: Vec<String> = (1..=5).map(|number| format!("HX_2024110302_{number:05}.dat")).collect();
    assert_eq!(taken, expected);
}

#[test]
fn what_was_written_under_its_final_name_at_a_server_that_comes_back_stays_there() {
    let (site, first, second) = (Site::new(), TestServer::demo(), TestServer::demo());
    let (proxy, is_off) = switched(&first, "STOR", Act::CloseAfter);
    let (a, b) = (ftp_url(proxy.port()), ftp_url(port_of(&second)));
    let with = |servers: [&str; 2]| configure(&site, &format!("endpoints = {servers:?}\nrename = false"), true);
    let config = with([&a, &b]);
    hour(&site, 0, 1);
    go(&config);
    let whole = fs::read(first.files.join(FIRST)).expect("it came, and nobody knows");
    let config = with([&b, "drop/none"]);
    assert_eq!(go(&config).held.len(), 1);
    settle(&config, SettleAs::Resend);
    go(&config);
    assert!(second.files.join(FIRST).exists());
    is_off.store(false, Ordering::Relaxed);
    hour(&site, 1, 1);
    go(&with([&a, &b]));
    assert_eq!(shown(&first.files).len(), 3, "{:?}", shown(&first.files));
    assert_eq!(fs::read(first.files.join(FIRST)).expect("still there"), whole);
}

#[test]
fn what_was_written_under_its_final_name_is_no_part_that_a_full_disk_clears_away() {
    let (site, server, mut stored) = (Site::new(), TestServer::demo(), 0);
    let proxy = ControlProxy::before(port_of(&server), move |_, command: &str| {
        stored += u32::from(command.starts_with("STOR"));
        match command.split(' ').next() {
            Some("STOR") if stored == 1 => Act::CloseAfter,
            Some("RETR") if stored > 0 => Act::Answer("452 No room."),
            _ => Act::Pass,
        }
    });
    let deliver = format!("deliver = \"{}\"", ftp_url(proxy.port()));
    hour(&site, 0, 1);
    go(&configure(&site, &format!("{deliver}\nrename = false"), true));
    // The server can rename by now.
    go(&configure(&site, &deliver, true));
    assert!(proxy.heard("RETR") > 0 && proxy.heard("DELE") <= 1, "{}", proxy.heard("DELE"));
    assert!(server.files.join(FIRST).exists(), "{:?}", files_in(&server.files).keys());
}

#[test]
fn a_rename_in_doubt_binds_an_hour_that_was_begun_at_a_server_which_is_no_more() {
    let (site, first, second, third) = (Site::new(), TestServer::demo(), TestServer::demo(), TestServer::demo());
    let mut is_off = false;
    let gone = ControlProxy::before(port_of(&first), move |_, command: &str| {
        is_off |= command.starts_with("SIZE") && command.ends_with("_00002.dat");
        if is_off { Act::CloseBefore } else { Act::Pass }
    });
    let (proxy, is_off) = switched(&second, "RNTO", Act::CloseAfter);
    let with = |servers: [&str; 2]| configure(&site, &format!("endpoints = {servers:?}"), false);
    hour(&site, 0, 2);
    go(&with([&ftp_url(gone.port()), "drop/none"]));
    assert_eq!(shown(&first.files), [FIRST]);
    go(&with([&ftp_url(proxy.port()), "drop/none"]));
    assert_eq!(shown(&second.files), ["HX_2024110302_00002.dat"], "and nobody knows");
    let config = with([&ftp_url(proxy.port()), &ftp_url(port_of(&third))]);
    let report = go(&config);
    assert_eq!((codes(&site), shown(&third.files)), (vec!["HD0201".to_owned()], Vec::new()), "{report:?}");
    is_off.store(false, Ordering::Relaxed);
    assert_eq!(go(&config).exit_code(), 0);
    assert_eq!(shown(&second.files), ["HX_2024110302_00002.dat"]);
}

const FORMAT: &str = r#"kind = "delimited"
separator = "|"
[read]
fields = [
  { name = "file", column = 1, required = true },
  { name = "result", column = 2, required = true },
]
"#;

fn answers(more: &str) -> String {
    let fields = "file = \"file\", status = \"result\", accepted = [\"0\"], rejected = [\"5\"]";
    format!("answers = {{ dir = \"answers\", pattern = \"*.rsp\", format = \"answer\", {fields}{more} }}")
}

#[test]
fn no_answer_is_removed_unread_that_has_name_and_size_of_one_before() {
    let (site, server) = (Site::new(), TestServer::vsftpd());
    site.write("formats/answer.toml", FORMAT);
    let deliver = format!("deliver = \"ftp://anonymous@127.0.0.1:{}/files\"", port_of(&server));
    let rule = answers(", then = \"delete\"").replace("\"answers\"", "\"files/answers\"");
    let config = configure(&site, &format!("{deliver}\n{rule}"), false);
    let dir = server.files.join("answers");
    fs::create_dir(&dir).expect("directory");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("mode");
    hour(&site, 0, 2);
    assert_eq!(go(&config).exit_code(), 0);
    for (text, expected) in
        [(format!("{FIRST}|0\n"), vec![]), ("HX_2024110302_00002.dat|5\n".to_owned(), vec!["HD0221".to_owned()])]
    {
        fs::write(dir.join("new.rsp"), text).expect("write");
        go(&config);
        assert_eq!((codes(&site), dir.join("new.rsp").exists()), (expected, false));
    }
}

#[test]
fn a_bad_answer_at_one_server_is_told_as_long_as_it_lies_there_whatever_another_holds() {
    let site = Site::in_memory();
    site.write("formats/answer.toml", FORMAT);
    make(&site, "drop/b/answers");
    let config = local(&site, &format!("endpoints = [\"drop/a\", \"drop/b\"]\n{}", answers("")));
    hour(&site, 0, 1);
    go(&config);
    assert_eq!(shown(&site.path("drop/b")), [FIRST]);
    fs::write(make(&site, "drop/a/answers").join("bad.rsp"), "nonsense\n").expect("write");
    go(&config);
    assert_eq!(codes(&site), ["HD0222"]);
    fs::remove_file(site.path("drop/a/answers/bad.rsp")).expect("removed");
    go(&config);
    assert_eq!(codes(&site), [""; 0]);
}

#[test]
fn an_alarm_of_a_server_that_nothing_waits_at_any_more_ends() {
    let site = Site::in_memory();
    let config = local(&site, "endpoints = [\"drop/a\", \"drop/b\"]\npickup = { by = \"deleted\" }");
    let second = make(&site, "drop/b");
    hour(&site, 0, 1);
    fs::write(second.join("theirs.txt"), "x").expect("write");
    go(&config);
    make(&site, "drop/a");
    go(&config);
    assert_eq!(codes(&site), ["HD0212"]);
    fs::remove_file(second.join(FIRST)).expect("taken");
    go(&config);
    fs::remove_file(second.join("theirs.txt")).expect("taken");
    go(&config);
    assert_eq!(codes(&site), [""; 0]);
}

#[test]
fn an_alarm_of_a_partner_to_whom_nothing_is_to_be_sent_any_more_ends() {
    let site = Site::in_memory();
    let config = local(&site, "deliver = \"drop/none\"");
    hour(&site, 0, 1);
    go(&config);
    assert_eq!(codes(&site), ["HD0201"]);
    let start = time("2024-11-03T02:00:00Z").seconds();
    tell(&config, &Order::Void(Target::Hour(feed(), Partition { start, end: start + 3600 })));
    go(&config);
    assert_eq!(codes(&site), [""; 0]);
}

#[test]
fn a_file_that_the_partner_deletes_while_we_are_about_to_remove_it_is_picked_up() {
    let site = Site::in_memory();
    make(&site, "drop/a");
    let config = local(&site, "deliver = \"drop/a\"\npickup = { by = \"kept\", remove_after = \"3d\" }");
    hour(&site, 0, 1);
    go(&config);
    let mut ledger = Ledger::open(Arc::new(RealDisk), &site.path("state/ledger.db")).expect("ledger");
    let (feed, batch, file) = ledger.tracked_by_name(FIRST).expect("read").remove(0);
    let partner = feed.partner.clone();
    let change = PickupChange { batch, feed: feed.clone(), file, fact: PickupFact::RemovalIntended };
    ledger.record_seen(&partner, &[change], &[], time(NOW)).expect("recorded");
    assert_eq!(ledger.record_pickup(&partner, FIRST, time(NOW)).expect("recorded"), Some(feed));
}
