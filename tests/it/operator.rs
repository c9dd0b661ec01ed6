//! What persons order, in every state, and what the partner sees of it.

mod matrix;

use crate::site::{
    FIRST_HOUR, Site, call_line, delivered_calls, files_in, load, once, one_feed, open, order, release, time, world,
};
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::fault::ExporterFault;
use hourdrop::app::operator::{Done, Order, Refusal, SettleAs, Subject, Target, waiting};
use hourdrop::app::progress::Progress;
use hourdrop::app::report::hours::hours;
use hourdrop::app::report::{Depth, FeedBook, books};
use hourdrop::disk::RealDisk;
use hourdrop::domain::delivery::{DeliveryFact, FileState};
use hourdrop::domain::ids::{FeedId, PartnerId, SourceId};
use hourdrop::domain::period::Partition;
use hourdrop::format::manifest::{ManifestStatement, parse_json};
use hourdrop::ledger::Ledger;
use hourdrop::ledger::checked_rows::teach;
use hourdrop::ledger::operator::{Act, OrderEntry};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const NOW: &str = "2024-11-03T12:00:00Z";
const SOURCE: &str = "files = \"in\"\nfinished = \"renamed\"";

/// One feed whose input lies in `in`.
pub fn configured(site: &Site, feed: &str) -> PathBuf {
    one_feed(site, SOURCE, feed, "forever")
}

/// The same with a rule of the partner.
fn with_partner_rule(site: &Site, rule: &str) -> PathBuf {
    let config = configured(site, "");
    let text = std::fs::read_to_string(&config).expect("configuration");
    site.configure(&text.replace("[partner.huaxin.feed", &format!("{rule}\n[partner.huaxin.feed")))
}

pub fn voice() -> FeedId {
    FeedId::parse("huaxin/voice").expect("a feed")
}

/// The hour that begins so many hours after the first.
pub fn hour(index: i64) -> Partition {
    let start = FIRST_HOUR + index * 3600;
    Partition { start, end: start + 3600 }
}

pub fn of_hour(index: i64) -> Target {
    Target::Hour(voice(), hour(index))
}

pub fn of_file(name: &str) -> Target {
    Target::File(voice(), name.to_owned())
}

/// Carries out an order with a program of its own, as a command does.
pub fn say(config: &Path, typed: &Order) -> Result<Done, Refusal> {
    order(&mut open(config, NOW), typed)
}

fn partner() -> Subject {
    Subject::Partner(PartnerId::parse("huaxin").expect("a partner"))
}

pub fn ledger(site: &Site) -> Ledger {
    Ledger::open_read_only(&site.path("state/ledger.db")).expect("a ledger")
}

pub fn sql(site: &Site, statement: &str) {
    let connection = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    teach(&connection).expect("functions");
    connection.execute(statement, []).expect("statement");
}

fn book(site: &Site, config: &Path) -> FeedBook {
    let config = load(config, NOW);
    books(&config, Some(&ledger(site)), Depth::Everything)
        .expect("books")
        .into_iter()
        .find(|book| book.definition.id == voice())
        .expect("one")
}

/// Every hour adds up, in the table and in the view.
fn assert_balance(site: &Site, config: &Path, void: u64) {
    let book = book(site, config);
    let all = hours(&book);
    for hour in &all {
        let counts = hour.counts;
        let sum = hour.sent() + counts.filtered + counts.quarantined + hour.void() + hour.pending();
        assert_eq!(counts.received, sum, "{:?}", hour.partition);
    }
    assert_eq!(all.iter().map(hourdrop::app::report::hours::Hour::void).sum::<u64>(), void);
    let connection = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    let query = "SELECT coalesce(sum(abs(received - sent - filtered - quarantined - void - pending)), 0), sum(void)
                 FROM v_hours";
    let seen: (i64, i64) = connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("the view");
    assert_eq!(seen, (0, i64::try_from(void).expect("small")));
}

/// The manifests that the partner has, in the order of their numbers.
fn manifests(site: &Site) -> Vec<ManifestStatement> {
    let files = site.dropped("huaxin", ".json");
    let mut found: Vec<_> = files.values().map(|bytes| parse_json(bytes).expect("a manifest")).collect();
    found.sort_by_key(|manifest| manifest.sequence);
    found
}

/// The partner never sees a manifest that names a file which is not there, and every number is there or stated void.
fn assert_the_partner_misses_nothing(site: &Site) {
    let files = files_in(&site.drop_dir("huaxin"));
    let stated = manifests(site);
    for manifest in &stated {
        for file in &manifest.files {
            let found = files.get(&file.name).unwrap_or_else(|| panic!("{} names {}", manifest.file, file.name));
            assert_eq!(found.len() as u64, file.bytes);
        }
    }
    let contiguous = |what: &str, mut numbers: Vec<u64>| {
        numbers.sort_unstable();
        let last = u64::try_from(numbers.len()).expect("small");
        assert_eq!(numbers, (1..=last).collect::<Vec<u64>>(), "{what}");
    };
    let parts = stated.iter().flat_map(|manifest| manifest.files.iter().map(|file| file.sequence));
    contiguous("part files", parts.chain(stated.iter().flat_map(|manifest| manifest.voided.clone())).collect());
    let own = stated.iter().filter_map(|manifest| manifest.sequence);
    contiguous("manifests", own.chain(stated.iter().flat_map(|manifest| manifest.voided_manifests.clone())).collect());
    let temporary: Vec<&String> = files.keys().filter(|name| name.contains(".tmp")).collect();
    assert!(temporary.is_empty(), "{temporary:?}");
}

/// Three hours with one record each, sealed and not sent, because the partner rests.
pub fn sealed_and_waiting(site: &Site) -> PathBuf {
    let config = configured(site, "");
    site.write("in/1.log", call_line(1, "a") + &call_line(61, "b") + &call_line(121, "c"));
    say(&config, &Order::Pause(partner())).expect("paused");
    let report = once(&config, NOW);
    assert_eq!((report.sealed.batches, site.everything_dropped().len()), (3, 0), "{report:?}");
    config
}

fn go_on(config: &Path) {
    assert!(say(config, &Order::Resume(partner())).expect("resumed").changed);
}

#[test]
fn a_paused_partner_gets_nothing_until_it_goes_on_and_a_restart_changes_nothing() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    assert_eq!(once(&config, NOW).exit_code(), 0, "what rests is no alarm");
    assert!(site.everything_dropped().is_empty());
    assert!(!say(&config, &Order::Pause(partner())).expect("again").changed);
    let paused = ledger(&site).paused().expect("paused");
    assert_eq!((paused.len(), paused[0].reason.as_str()), (1, "the partner agreed"));
    go_on(&config);
    once(&config, NOW);
    assert_eq!(site.dropped("huaxin", ".dat").len(), 3);
    assert_the_partner_misses_nothing(&site);
    assert!(!say(&config, &Order::Resume(partner())).expect("again").changed);
}

/// Pauses a subject when the first file is delivered.
struct PauseAfterTheFirst(PathBuf, &'static str);

impl Progress for PauseAfterTheFirst {
    fn delivered(&self, _partner: &str, _file: &str) {
        let connection = rusqlite::Connection::open(&self.0).expect("ledger");
        connection.busy_timeout(std::time::Duration::from_secs(10)).expect("patience");
        teach(&connection).expect("functions");
        let insert = "INSERT OR IGNORE INTO paused (subject, since, reason) VALUES (?1, 1, 'by the test')";
        connection.execute(insert, [self.1]).expect("paused");
    }
}

#[test]
fn what_rests_is_no_alarm_even_when_it_was_one_before() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    go_on(&config);
    let text = std::fs::read_to_string(&config).expect("text");
    let drop_dir = site.drop_dir("huaxin").display().to_string();
    site.configure(&format!("once_deliver_for = \"0s\"\n{}", text.replace(&drop_dir, &format!("{drop_dir}-away"))));
    let report = once(&config, NOW);
    assert_eq!((report.exit_code(), report.alarms.len()), (5, 1), "{report:?}");
    say(&config, &Order::Pause(partner())).expect("paused");
    let report = once(&config, NOW);
    assert_eq!((report.exit_code(), report.alarms.len()), (0, 0), "{report:?}");
}

#[test]
fn a_pause_ends_deliveries_before_the_next_file() {
    for subject in ["partner huaxin", "feed huaxin/voice"] {
        let site = Site::new();
        let config = sealed_and_waiting(&site);
        go_on(&config);
        let progress = Arc::new(PauseAfterTheFirst(site.path("state/ledger.db"), subject));
        let world = World { progress, ..world(NOW) };
        Exporter::open(load(&config, NOW), &world, None, true).expect("open").once().expect("a pass");
        assert_eq!(site.everything_dropped().len(), 1, "{subject}");
        sql(&site, "DELETE FROM paused");
        once(&config, NOW);
        assert_eq!(site.everything_dropped().len(), 6);
        assert_the_partner_misses_nothing(&site);
    }
}

/// Orders something about the files of the hour when the first of them is delivered.
struct OrderAfterTheFirst(PathBuf, DeliveryFact);

impl Progress for OrderAfterTheFirst {
    fn delivered(&self, _partner: &str, _file: &str) {
        let mut ledger = Ledger::open(Arc::new(RealDisk), &self.0).expect("ledger");
        let Some(batch) = ledger.batches_to_send(&voice(), 1).expect("batches").pop() else { return };
        let waiting = batch.files.iter().filter(|file| matches!(file.state, FileState::Pending { .. }));
        let changes: Vec<_> = waiting.map(|file| (file.clone(), self.1.clone())).collect();
        if !changes.is_empty() && batch.id.partition == hour(0) {
            let entry = OrderEntry { acts: vec![Act::Files { batch, changes }], reason: "by the test", request: None };
            ledger.record_order(&entry, time(NOW)).expect("ordered");
        }
    }
}

#[test]
fn an_order_overtakes_a_delivery_that_has_begun() {
    for (fact, there) in [(DeliveryFact::HoldOrdered, 1), (DeliveryFact::Voided, 5)] {
        let site = Site::new();
        let config = sealed_and_waiting(&site);
        go_on(&config);
        let progress = Arc::new(OrderAfterTheFirst(site.path("state/ledger.db"), fact.clone()));
        let world = World { progress, ..world(NOW) };
        let report = Exporter::open(load(&config, NOW), &world, None, true).expect("open").once().expect("a pass");
        assert!(report.partners.iter().all(|(_, partner)| !partner.stopped), "{report:?}");
        assert_eq!(site.everything_dropped().len(), there, "{fact:?}: {:?}", site.everything_dropped().keys());
    }
}

#[test]
fn a_paused_source_is_not_read_and_its_hours_wait() {
    let site = Site::new();
    let config = configured(&site, "wait_max = \"1m\"\nafter_wait = \"seal\"");
    let text = std::fs::read_to_string(&config).expect("text");
    // This test goes back in time.
    site.configure(&format!("clock_jump_max = \"3650d\"\n{}", text.trim_start()));
    let switch = Subject::Source(SourceId::parse("switch").expect("a source"));
    site.write("in/1.log", call_line(1, "a") + &call_line(61, "b"));
    say(&config, &Order::Pause(switch.clone())).expect("paused");
    let mut exporter = open(&config, NOW);
    assert!(!exporter.turn(u64::MAX).expect("a turn"), "there is nothing to do");
    drop(exporter);
    let report = once(&config, NOW);
    assert_eq!((report.read.records, report.sealed.batches), (0, 0));
    assert_eq!(report.sealed.waits.first().map(|(_, reason)| reason.as_str()), None, "nothing is known to wait");
    say(&config, &Order::Resume(switch.clone())).expect("resumed");
    assert_eq!(once(&config, "2024-11-03T02:30:00Z").read.records, 2);
    // The first hour is over, and the source rests again: what came meanwhile may belong to it.
    say(&config, &Order::Pause(switch)).expect("paused");
    let report = once(&config, NOW);
    assert_eq!(report.sealed.batches, 0);
    assert_eq!(report.sealed.waits.first().map(|(_, reason)| reason.as_str()), Some("source switch is paused"));
}

#[test]
fn an_open_hour_that_is_held_is_sealed_when_it_is_released_and_numbers_stay_in_order() {
    let site = Site::new();
    let config = configured(&site, "");
    site.write("in/1.log", call_line(1, "a"));
    once(&config, "2024-11-03T02:30:00Z");
    assert!(say(&config, &Order::Hold(of_hour(0))).expect("held").changed);
    assert!(!say(&config, &Order::Hold(of_hour(0))).expect("again").changed);
    site.write("in/2.log", call_line(2, "b") + &call_line(61, "c"));
    let report = once(&config, NOW);
    assert_eq!((report.exit_code(), report.held.len()), (4, 1), "{report:?}");
    assert_eq!(delivered_calls(&site), [("HX_2024110303_00001.dat".to_owned(), vec!["c".to_owned()])]);
    release(&mut open(&config, NOW), &voice(), hour(0));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    let late = site.dropped("huaxin", ".dat").into_keys().next();
    assert_eq!(late.as_deref(), Some("HX_2024110302_00002.dat"), "it got its number when it was released");
    assert_the_partner_misses_nothing(&site);
    assert_balance(&site, &config, 0);
}

#[test]
fn a_hold_that_is_released_before_its_time_leaves_no_trace_in_the_export() {
    let site = Site::new();
    let config = configured(&site, "");
    site.write("in/1.log", call_line(1, "a"));
    once(&config, "2024-11-03T02:30:00Z");
    say(&config, &Order::Hold(of_hour(0))).expect("held");
    release(&mut open(&config, NOW), &voice(), hour(0));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(delivered_calls(&site).len(), 1);
    assert!(ledger(&site).held_back().expect("rows").is_empty());
}

#[test]
fn releasing_an_ordered_hold_is_no_consent_to_quarantine() {
    let site = Site::new();
    let config = configured(&site, "");
    site.write("in/1.log", call_line(1, "a") + "nonsense\n");
    once(&config, "2024-11-03T02:30:00Z");
    say(&config, &Order::Hold(of_hour(0))).expect("held");
    assert_eq!(once(&config, NOW).held.len(), 1);
    release(&mut open(&config, NOW), &voice(), hour(0));
    let report = once(&config, NOW);
    assert!(report.held.first().is_some_and(|held| held.2.contains("in quarantine")), "{report:?}");
    release(&mut open(&config, NOW), &voice(), hour(0));
    assert_eq!((once(&config, NOW).held.len(), delivered_calls(&site).len()), (0, 1), "now a person has accepted it");
}

#[test]
fn a_held_batch_or_file_stops_its_feed_until_it_is_released() {
    for target in [of_hour(1), of_file("HX_2024110303_00002.dat"), of_file("HX_2024110303_00.json")] {
        let site = Site::new();
        let config = sealed_and_waiting(&site);
        go_on(&config);
        assert!(say(&config, &Order::Hold(target.clone())).expect("held").changed);
        assert!(!say(&config, &Order::Hold(target.clone())).expect("again").changed);
        let report = once(&config, NOW);
        assert_eq!((report.exit_code(), report.held.is_empty()), (4, false), "{target:?}");
        assert_eq!(site.dropped("huaxin", ".dat").len(), 1, "nothing behind the held one goes");
        assert!(say(&config, &Order::Release(target)).expect("released").changed);
        assert_eq!(once(&config, NOW).exit_code(), 0);
        assert_eq!(site.dropped("huaxin", ".dat").len(), 3);
        assert_the_partner_misses_nothing(&site);
    }
}

#[test]
fn a_void_hour_is_never_sent_and_the_next_manifest_states_its_numbers() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    site.write("drop/huaxin/HX_2024110303_00002.dat", "somebody else's");
    go_on(&config);
    assert_eq!(once(&config, NOW).held.len(), 1, "a conflict");
    let done = say(&config, &Order::Void(of_hour(1))).expect("void");
    assert_eq!((done.records, done.files.len()), (1, 2));
    assert!(!say(&config, &Order::Void(of_hour(1))).is_ok_and(|done| done.changed), "once is enough");
    assert_balance(&site, &config, 1);
    assert_eq!(once(&config, NOW).exit_code(), 0, "the feed goes on");
    assert_eq!(site.dropped("huaxin", "00002.dat").into_values().next().as_deref(), Some(&b"somebody else's"[..]));
    std::fs::remove_file(site.path("drop/huaxin/HX_2024110303_00002.dat")).expect("the partner removes it");
    // The manifests that were sealed before the order say nothing of it; the next one does, and only that one.
    site.write("in/2.log", call_line(3 * 60, "d") + &call_line(62, "late") + &call_line(4 * 60, "e"));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    let stated: Vec<_> = manifests(&site).into_iter().map(|found| (found.voided, found.voided_manifests)).collect();
    let nothing = || (Vec::new(), Vec::new());
    assert_eq!(stated, [nothing(), nothing(), (vec![2], vec![2]), nothing(), nothing()]);
    let supplement = manifests(&site).into_iter().find(|found| found.revision == 1).expect("the late record");
    assert_eq!(supplement.files.len(), 1, "it lists no file that never comes");
    assert_the_partner_misses_nothing(&site);
    assert_balance(&site, &config, 1);
    assert_eq!(delivered_calls(&site).len(), 5);
}

#[test]
fn what_a_void_manifest_had_stated_is_stated_by_the_next() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    say(&config, &Order::Void(of_hour(0))).expect("void");
    site.write("in/2.log", call_line(3 * 60, "d"));
    once(&config, NOW);
    // The manifest of the fourth hour states the first; now it is void itself.
    say(&config, &Order::Void(of_hour(3))).expect("void");
    go_on(&config);
    site.write("in/3.log", call_line(4 * 60, "e"));
    assert_eq!(once(&config, NOW).exit_code(), 0);
    let last = manifests(&site).pop().expect("a manifest");
    assert_eq!((last.voided, last.voided_manifests), (vec![1, 4], vec![1, 4]));
    assert_the_partner_misses_nothing(&site);
    assert_balance(&site, &config, 2);
}

#[test]
fn a_part_file_that_a_manifest_lists_is_void_with_its_hour_only() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    for name in ["HX_2024110302_00001.dat", "HX_2024110302_00.json"] {
        let refusal = say(&config, &Order::Void(of_file(name))).expect_err("refused");
        assert!(refusal.advice.contains("hourdrop void huaxin/voice HOUR"), "{refusal:?}");
    }
    go_on(&config);
    once(&config, NOW);
    let refusal = say(&config, &Order::Void(of_file("HX_2024110302_00001.dat"))).expect_err("refused");
    assert_eq!(refusal.what, "HX_2024110302_00001.dat is delivered");
}

#[test]
fn without_manifest_one_part_file_is_void_and_the_others_go_on() {
    let site = Site::new();
    let text = std::fs::read_to_string(configured(&site, "records_max = 1")).expect("text");
    let manifest = text.lines().find(|line| line.starts_with("manifest")).expect("a line").to_owned();
    let config = site.configure(&text.replace(&manifest, "manifest = false"));
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b") + &call_line(3, "c"));
    say(&config, &Order::Pause(partner())).expect("paused");
    once(&config, NOW);
    let done = say(&config, &Order::Void(of_file("HX_2024110302_00002.dat"))).expect("void");
    assert_eq!(done.records, 1);
    go_on(&config);
    assert_eq!(once(&config, NOW).exit_code(), 0);
    let names: Vec<String> = site.dropped("huaxin", ".dat").into_keys().collect();
    assert_eq!(names, ["HX_2024110302_00001.dat", "HX_2024110302_00003.dat"]);
    assert_balance(&site, &config, 1);
}

#[test]
fn what_a_void_file_left_at_the_partner_is_removed_with_the_next_connection() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    let temporary = "HX_2024110302_00001.dat.0123abcd-1.tmp";
    site.write(&format!("drop/huaxin/{temporary}"), "half of it");
    sql(&site, &format!("UPDATE file SET state = 'uploading', temporary = '{temporary}' WHERE id = 1"));
    say(&config, &Order::Void(of_hour(0))).expect("void");
    assert!(site.path("drop/huaxin").join(temporary).exists());
    go_on(&config);
    once(&config, NOW);
    assert!(!site.path("drop/huaxin").join(temporary).exists());
    assert!(ledger(&site).leftovers(&voice()).expect("rows").is_empty());
}

#[test]
fn what_a_void_file_left_under_its_final_name_is_not_removed() {
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    let name = "HX_2024110302_00001.dat";
    site.write(&format!("drop/huaxin/{name}"), "perhaps ours");
    sql(&site, &format!("UPDATE file SET state = 'uploading', exposed = 1, temporary = '{name}' WHERE id = 1"));
    // The partner may have it: nobody says that it never comes, before it is held as one in doubt.
    say(&config, &Order::Void(of_hour(0))).expect_err("refused");
    say(&config, &Order::Hold(of_file(name))).expect("held");
    let rows = ledger(&site).file_rows(&voice()).expect("rows");
    assert!(rows.iter().any(|row| row.name == name && row.reason.as_deref() == Some("in doubt")), "{rows:?}");
    say(&config, &Order::Void(of_hour(0))).expect("void");
    go_on(&config);
    once(&config, NOW);
    assert!(site.path("drop/huaxin").join(name).exists());
}

/// The first file of the three hours was renamed by an attempt whose reply was lost; nothing of it is there.
fn in_doubt(site: &Site, rule: &str) -> PathBuf {
    let config = sealed_and_waiting(site);
    let temporary = "HX_2024110302_00001.dat.0123abcd-1.tmp";
    sql(site, &format!("UPDATE file SET state = 'renaming', temporary = '{temporary}' WHERE id = 1"));
    if !rule.is_empty() {
        with_partner_rule(site, rule);
    }
    go_on(&config);
    config
}

#[test]
fn a_doubt_is_settled_as_delivered_or_by_sending_again() {
    let name = "HX_2024110302_00001.dat";
    let targets = [Order::Settle(of_file(name), SettleAs::Delivered), Order::Settle(of_hour(0), SettleAs::Resend)];
    let all = [SettleAs::Delivered, SettleAs::Resend].map(|how| Order::SettleAll(voice(), how));
    for order in targets.into_iter().chain(all) {
        let site = Site::new();
        let config = in_doubt(&site, "");
        assert_eq!(once(&config, NOW).held.len(), 1);
        let row = |site: &Site| {
            let rows = ledger(site).file_rows(&voice()).expect("rows");
            rows.into_iter().find(|row| row.name == name).expect("the file")
        };
        assert_eq!((row(&site).reason.as_deref(), row(&site).verified.as_deref()), (Some("in doubt"), Some("absence")));
        assert!(site.everything_dropped().is_empty());
        assert_eq!(say(&config, &order).expect("settled").files, [name]);
        assert_eq!(once(&config, NOW).exit_code(), 0, "{order:?}");
        let again = matches!(&order, Order::Settle(_, SettleAs::Resend) | Order::SettleAll(_, SettleAs::Resend));
        assert_eq!(site.dropped("huaxin", ".dat").len(), if again { 3 } else { 2 }, "{order:?}");
        assert_eq!(site.dropped("huaxin", ".json").len(), 3);
        let found = row(&site);
        let expected = if again { ("reply-and-size", 1) } else { ("person", 0) };
        assert_eq!((found.verified.as_deref().unwrap_or_default(), found.resent), expected);
        assert!(say(&config, &order).is_ok_and(|done| !done.changed), "nothing is left to settle");
    }
}

#[test]
fn with_resend_a_file_in_doubt_is_sent_again_under_its_name_and_marked() {
    let site = Site::new();
    let config = in_doubt(&site, "in_doubt = \"resend\"");
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(site.dropped("huaxin", ".dat").len(), 3);
    assert_the_partner_misses_nothing(&site);
    let found = ledger(&site);
    let resent: Vec<u32> = found.file_rows(&voice()).expect("rows").iter().map(|row| row.resent).collect();
    assert_eq!(resent, [1, 0, 0, 0, 0, 0]);
    let facts = found.facts_about("huaxin/voice HX_2024110302_00001.dat").expect("facts");
    assert!(facts.iter().any(|fact| fact.kind == "resent" && fact.detail.contains("sent again")), "{facts:?}");
}

#[test]
fn records_of_a_feed_that_is_gone_can_be_let_go_and_are_not_taken_again() {
    let site = Site::new();
    let config = configured(&site, "grace = \"10h\"");
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b") + &call_line(121, "c"));
    once(&config, "2024-11-03T05:30:00Z");
    let text = std::fs::read_to_string(&config).expect("text");
    let other = text
        .replace("[partner.huaxin", "[partner.other")
        .replace("starts_at = \"2024-11-03T02", "starts_at = \"2024-11-03T06");
    site.configure(&other);
    let refused = Exporter::open(load(&config, NOW), &world(NOW), None, true).err().expect("refused");
    assert!(refused.to_string().contains("hourdrop void huaxin/voice --waiting"), "{refused}");
    let go = |feed: &FeedId| waiting::let_go(&load(&config, NOW), &world(NOW), feed, "they left");
    let done = go(&voice()).expect("a ledger").expect("let go");
    assert_eq!((done.records, done.hours), (3, 3), "an empty hour lies between");
    assert!(!go(&voice()).expect("a ledger").expect("again").changed);
    assert!(go(&FeedId::parse("no/body").expect("feed")).expect("a ledger").is_err());
    assert_eq!(once(&config, NOW).exit_code(), 0, "it starts");
    // The feed comes back: what was let go stays void, and what comes now is exported.
    site.configure(&text);
    site.write("in/2.log", call_line(3 * 60, "d"));
    assert_eq!(once(&config, "2024-11-04T12:00:00Z").exit_code(), 0);
    assert_eq!(delivered_calls(&site), [("HX_2024110305_00001.dat".to_owned(), vec!["d".to_owned()])]);
    assert_balance(&site, &config, 3);
    let facts = ledger(&site).facts_about("huaxin/voice").expect("facts");
    let told: Vec<&str> = facts.iter().filter(|f| f.kind == "voided").map(|fact| fact.detail.as_str()).collect();
    let records = |number| format!("{number} records that waited: they left");
    assert_eq!(told, [records(2), records(0), records(1)], "hour by hour");
}

#[test]
fn records_of_a_source_that_a_feed_has_left_can_be_let_go() {
    let site = Site::new();
    let config = configured(&site, "");
    site.write("in/1.log", call_line(1, "a"));
    once(&config, "2024-11-03T02:30:00Z");
    let text = std::fs::read_to_string(&config).expect("text");
    let second =
        "[source.other]\nfiles = \"in2\"\nfinished = \"renamed\"\nformat = \"kamailio-acc-cdrs\"\n[partner.huaxin]";
    let text = text.replace("source    = \"switch\"", "source    = \"other\"").replace("[partner.huaxin]", second);
    site.configure(&text);
    site.write("in2/1.log", call_line(121, "b"));
    let refused = Exporter::open(load(&config, NOW), &world(NOW), None, true).err().expect("refused");
    assert!(matches!(refused, ExporterFault::SourceChanged { .. }), "{refused}");
    let done = waiting::let_go(&load(&config, NOW), &world(NOW), &voice(), "moved").expect("a ledger").expect("let go");
    assert_eq!(done.records, 1);
    assert_eq!(once(&config, NOW).exit_code(), 0);
    assert_eq!(delivered_calls(&site), [("HX_2024110304_00001.dat".to_owned(), vec!["b".to_owned()])]);
    assert_balance(&site, &config, 1);
}

#[test]
fn a_held_hour_can_be_void_instead_of_released() {
    let site = Site::new();
    let config = configured(&site, "");
    site.write("in/1.log", call_line(1, "a") + "nonsense\n");
    site.write("in/2.log", call_line(61, "b"));
    assert_eq!(once(&config, NOW).held.len(), 1);
    let done = say(&config, &Order::Void(of_hour(0))).expect("void");
    assert_eq!(done.records, 1);
    assert_eq!(once(&config, NOW).held.len(), 0);
    assert_balance(&site, &config, 1);
    assert_eq!(delivered_calls(&site), [("HX_2024110303_00001.dat".to_owned(), vec!["b".to_owned()])]);
    // A record of it that comes later is late, as for every closed hour.
    site.write("in/3.log", call_line(3, "late"));
    once(&config, NOW);
    assert_eq!(delivered_calls(&site)[0], ("HX_2024110302_00002.dat".to_owned(), vec!["late".to_owned()]));
    assert_balance(&site, &config, 1);
    assert_eq!(ledger(&site).alarms().expect("alarms").len(), 0);
}
