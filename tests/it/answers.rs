//! What partners answer: fetched, kept, read once, laid to our files, and waited for.

use crate::pickup::Handoff;
use crate::site::{files_in, time};
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::operator::{Done, Order, Refusal, Target};
use hourdrop::app::progress::Silent;
use hourdrop::disk::RealDisk;
use hourdrop::domain::ids::FeedId;
use hourdrop::domain::period::Partition;
use std::fs;
use std::sync::Arc;

const FORMAT: &str = r#"kind = "delimited"
separator = "|"
[read]
fields = [
  { name = "file", column = 1, required = true },
  { name = "result", column = 2, required = true },
  { name = "record", column = 3 },
  { name = "text", column = 4 },
]
"#;
const ANSWERS: &str = r#"answers = { dir = "answers", pattern = "*.rsp", format = "answer", file = "file", status = "result", accepted = ["0"], rejected = ["5", "7"], record = "record", reason = "text""#;

const FIRST: &str = "HX_2024110302_00001.dat";
const SECOND: &str = "HX_2024110303_00002.dat";
const FIRST_MANIFEST: &str = "HX_2024110302_00.json";
const SECOND_MANIFEST: &str = "HX_2024110303_00.json";

struct Partner(Handoff);

impl Partner {
    fn new(more: &str) -> Self {
        let partner = Self(Handoff::with_formats(&format!("{ANSWERS}{more} }}"), &[("answer", FORMAT)]));
        fs::create_dir(partner.0.dir().join("answers")).expect("directory");
        partner
    }

    /// The partner answers, and a pass reads it.
    fn answer(&self, name: &str, text: &str) -> OnceReport {
        self.0.site.write(&format!("drop/huaxin/answers/{name}"), text);
        self.pass()
    }

    /// A pass a minute later.
    fn pass(&self) -> OnceReport {
        self.0.clock.pass(60);
        self.0.once()
    }

    fn verdicts(&self) -> Vec<Option<&'static str>> {
        let lines = self.0.screen(&["hours", "--json"]);
        let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let word = |line: serde_json::Value| match line["answer"].as_str() {
            Some("accepted") => Some("accepted"),
            Some("rejected") => Some("rejected"),
            Some(other) => panic!("{other}"),
            None => None,
        };
        lines.map(word).collect()
    }

    fn release(&self, hour: &str) -> Result<Done, Refusal> {
        let start = time(hour).seconds();
        let feed = FeedId::parse("huaxin/voice").expect("feed");
        let order = Order::Release(Target::Hour(feed, Partition { start, end: start + 3600 }));
        let world = World::new(Arc::new(RealDisk), Arc::clone(&self.0.clock) as Arc<_>, Arc::new(Silent));
        let mut exporter = Exporter::open(self.0.config(), &world, None, true).expect("an exporter");
        exporter.order(&order, "settled by telephone", None).expect("the ledger takes it")
    }
}

#[test]
fn files_and_records_are_accepted_or_rejected_and_a_rejected_hour_waits_for_a_person() {
    let partner = Partner::new("");
    partner.0.once();
    assert_eq!(partner.verdicts(), [None, None]);
    partner.answer("1.rsp", &format!("{FIRST}|0||\n"));
    assert_eq!((partner.verdicts(), partner.0.alarms()), (vec![Some("accepted"), None], Vec::new()));
    partner.answer("2.rsp", &format!("{SECOND}|0||\n{SECOND}|7|00042|unknown tariff\n"));
    assert_eq!(partner.verdicts(), [Some("accepted"), Some("rejected")]);
    let rejected = format!("HD0221 {SECOND}: the partner rejected 1 record: unknown tariff");
    assert_eq!(partner.0.alarms(), [rejected]);
    let status = partner.0.screen(&["status"]);
    assert!(status.contains("hourdrop release huaxin/voice 2024-11-03T03:00 --reason ..."), "{status}");
    let kept = files_in(&partner.0.site.path("archive/.answers"));
    let there = files_in(&partner.0.dir().join("answers"));
    assert_eq!((kept.len(), there.len()), (2, 2), "kept, and left at the partner");
    assert!(kept.values().eq(there.values()) || kept.values().eq(there.values().rev()), "byte for byte");
    partner.0.clock.pass(60);
    partner.0.once();
    let read = partner.0.ledger().facts_about("partner huaxin").expect("facts");
    assert_eq!(read.iter().filter(|fact| fact.kind == "answer-read").count(), 2, "each once");

    assert!(partner.release("2024-11-03T03:00:00Z").expect("settled").changed);
    partner.0.clock.pass(60);
    partner.0.once();
    assert_eq!((partner.verdicts(), partner.0.alarms()), (vec![Some("accepted"); 2], Vec::new()));
    assert!(partner.release("2024-11-03T03:00:00Z").is_err(), "nothing waits any more");
    partner.0.ledger().require_undamaged().expect("whole");
}

#[test]
fn from_an_answer_that_is_not_understood_nothing_is_guessed() {
    let partner = Partner::new("");
    partner.0.once();
    for (name, text, expected) in [
        ("a.rsp", format!("{FIRST}\n"), "HD0222 answer a.rsp: line 1: "),
        ("b.rsp", String::new(), "HD0222 answer b.rsp: it says nothing"),
        ("c.rsp", format!("{FIRST}|0||\n{SECOND}|9||\n"), "HD0222 answer c.rsp: line 2: the status is neither"),
        (
            "d.rsp",
            format!("{FIRST}|0||\n{FIRST}|5||\n"),
            "HD0222 answer d.rsp: HX_2024110302_00001.dat is accepted and rejected",
        ),
        ("e.rsp", format!("{FIRST}|0||\nnot-ours.dat|0||\n"), "HD0223 answer e.rsp: it is about not-ours.dat"),
    ] {
        partner.answer(name, &text);
        assert!(partner.0.alarms()[0].starts_with(expected), "{:?}", partner.0.alarms());
        assert_eq!(partner.verdicts(), [None, None], "{name}");
        fs::remove_file(partner.0.dir().join("answers").join(name)).expect("removed");
    }
    partner.answer("f.rsp", &format!("{FIRST}|0||\n"));
    partner.answer("g.rsp", &format!("{FIRST}|5||\n"));
    let expected = format!("HD0224 answer g.rsp: {FIRST} is rejected by it, and was accepted before");
    assert_eq!((partner.verdicts(), partner.0.alarms()), (vec![Some("accepted"), None], vec![expected]));
    assert_eq!(files_in(&partner.0.site.path("archive/.answers")).len(), 7, "all are kept");
}

#[test]
fn an_answer_that_is_too_large_keeps_no_other_from_being_read() {
    let partner = Partner::new("");
    partner.0.once();
    let large = fs::File::create(partner.0.dir().join("answers/a.rsp")).expect("file");
    large.set_len((16 << 20) + 1).expect("room");
    partner.answer("b.rsp", &format!("{FIRST}|0||\n"));
    let expected = "HD0226 answer a.rsp: it has more than 16777216 bytes and is not fetched";
    assert_eq!((partner.verdicts(), partner.0.alarms()), (vec![Some("accepted"), None], vec![expected.to_owned()]));
    fs::remove_file(partner.0.dir().join("answers/a.rsp")).expect("removed");
    partner.0.clock.pass(60);
    partner.0.once();
    assert_eq!(partner.0.alarms(), [""; 0]);
}

#[test]
fn answers_are_removed_at_the_partner_only_when_it_is_so_configured_and_they_count() {
    let partner = Partner::new(r#", then = "delete""#);
    partner.0.once();
    partner.0.site.write("drop/huaxin/answers/other.txt", "x");
    partner.answer("1.rsp", &format!("{FIRST}|0||\n"));
    partner.answer("2.rsp", "nonsense|0||\n");
    let left: Vec<String> = files_in(&partner.0.dir().join("answers")).into_keys().collect();
    assert_eq!(left, ["2.rsp", "other.txt"]);
    assert_eq!(partner.verdicts(), [Some("accepted"), None]);
}

#[test]
fn a_gate_lets_the_next_hour_go_when_the_one_before_is_accepted() {
    let partner = Partner::new(", gate = true");
    let dropped = || partner.0.names().iter().filter(|name| name.ends_with(".dat")).count();
    partner.0.once();
    assert_eq!(dropped(), 1, "the second hour waits");
    partner.0.clock.pass(60);
    partner.0.once();
    assert_eq!(dropped(), 1);
    partner.answer("1.rsp", &format!("{FIRST}|5||no\n"));
    assert_eq!((dropped(), partner.verdicts()[0]), (1, Some("rejected")));
    assert!(partner.release("2024-11-03T02:00:00Z").expect("settled").changed);
    partner.0.clock.pass(60);
    partner.0.once();
    assert_eq!(dropped(), 2);

    let partner = Partner::new(", gate = true");
    partner.0.once();
    partner.answer("1.rsp", &format!("{FIRST}|0||\n"));
    let dropped = partner.0.names().iter().filter(|name| name.ends_with(".dat")).count();
    assert_eq!(dropped, 2, "in the same pass in which the answer came");
}

#[test]
fn a_rejection_of_an_hour_that_is_retired_is_settled_as_any_other() {
    let partner = Partner(Handoff::with_formats(r#"pickup = { by = "deleted" }"#, &[("answer", FORMAT)]));
    partner.0.once();
    partner.0.take(".dat");
    partner.0.take(".json");
    partner.pass();
    assert_eq!(partner.0.batches(), ["retired", "retired"]);
    partner.0.configure(&format!("pickup = {{ by = \"deleted\" }}\n{ANSWERS} }}"));
    partner.answer("1.rsp", &format!("{FIRST}|5||no\n"));
    assert_eq!(partner.0.alarms(), [format!("HD0221 {FIRST}: the partner rejected the file: no")]);
    assert!(partner.release("2024-11-03T03:00:00Z").is_err(), "nothing was said of the other hour");
    assert!(partner.release("2024-11-03T02:00:00Z").expect("settled").changed);
    partner.pass();
    assert_eq!((partner.verdicts(), partner.0.alarms()), (vec![Some("accepted"), None], Vec::new()));
    assert_eq!(partner.0.batches(), ["retired", "retired"]);
    let facts = partner.0.ledger().facts_about("huaxin/voice").expect("facts");
    let told: Vec<_> = facts.iter().filter(|fact| fact.kind == "answer-settled").map(|fact| &fact.detail).collect();
    assert_eq!(told, ["settled by telephone"]);
}

#[test]
fn an_answer_about_a_manifest_and_one_about_a_file_of_its_hour_contradict_each_other() {
    let partner = Partner::new("");
    partner.0.once();
    partner.answer("1.rsp", &format!("{FIRST_MANIFEST}|0||\n"));
    partner.answer("2.rsp", &format!("{FIRST}|5||no\n"));
    let first = format!("HD0224 answer 2.rsp: {FIRST} is rejected by it, and {FIRST_MANIFEST} was accepted before");
    assert_eq!((partner.verdicts(), partner.0.alarms()), (vec![Some("accepted"), None], vec![first.clone()]));
    partner.answer("3.rsp", &format!("{SECOND}|7|00042|unknown tariff\n"));
    partner.answer("4.rsp", &format!("{SECOND_MANIFEST}|0||\n"));
    let second = format!("HD0224 answer 4.rsp: {SECOND_MANIFEST} is accepted by it, and {SECOND} was rejected before");
    assert_eq!(partner.verdicts(), [Some("accepted"), Some("rejected")]);
    let rejected = format!("HD0221 {SECOND}: the partner rejected 1 record: unknown tariff");
    let mut alarms = partner.0.alarms();
    alarms.sort();
    assert_eq!(alarms, [rejected, first, second]);

    let partner = Partner::new("");
    partner.0.once();
    partner.answer("1.rsp", &format!("{FIRST}|0||\n"));
    partner.answer("2.rsp", &format!("{FIRST_MANIFEST}|5||\n"));
    let expected = format!("HD0224 answer 2.rsp: {FIRST_MANIFEST} is rejected by it, and {FIRST} was accepted before");
    assert_eq!((partner.verdicts(), partner.0.alarms()), (vec![Some("accepted"), None], vec![expected]));
}

#[test]
fn one_answer_accepts_an_hour_but_for_some_records_and_cannot_reject_a_file_of_it_as_well() {
    let partner = Partner::new("");
    partner.0.once();
    partner.answer("1.rsp", &format!("{FIRST_MANIFEST}|0||\n{FIRST}|5||\n"));
    let expected = format!("HD0222 answer 1.rsp: {FIRST} is rejected, and {FIRST_MANIFEST} is accepted in one answer");
    assert_eq!((partner.verdicts(), partner.0.alarms()), (vec![None, None], vec![expected]));
    partner.answer("2.rsp", &format!("{FIRST_MANIFEST}|0||\n{FIRST}|7|00042|unknown tariff\n"));
    assert_eq!(partner.verdicts(), [Some("rejected"), None]);
    partner.answer("3.rsp", &format!("{FIRST_MANIFEST}|0||\n{FIRST}|7|00042|unknown tariff\n"));
    let codes: Vec<String> = partner.0.alarms().iter().map(|alarm| alarm[..6].to_owned()).collect();
    assert_eq!(codes, ["HD0222", "HD0221"], "to say it again is no contradiction");
}

#[test]
fn a_pass_that_finds_a_rejection_or_a_refused_answer_says_so_once() {
    let partner = Partner::new("");
    assert_eq!(partner.0.once().exit_code(), 0);
    assert_eq!(partner.answer("1.rsp", &format!("{FIRST}|0||\n")).exit_code(), 0);
    for (name, text) in [
        ("2.rsp", format!("{SECOND}|5||no\n")),
        ("3.rsp", "nonsense\n".to_owned()),
        ("4.rsp", "not-ours.dat|0||\n".to_owned()),
        ("5.rsp", format!("{FIRST}|5||\n")),
    ] {
        assert_eq!(partner.answer(name, &text).exit_code(), 4, "{name}");
        assert_eq!(partner.pass().exit_code(), 0, "{name}: it was said");
    }
    fs::remove_dir_all(partner.0.dir().join("answers")).expect("removed");
    for _ in 0..2 {
        assert_eq!(partner.pass().exit_code(), 5, "as long as nobody can look: {:?}", partner.0.alarms());
    }
}
