//! `hourdrop verify` says what differs, and where.

use crate::operator::{of_hour, say, sealed_and_waiting};
use crate::site::{Site, call_line, files_in, once, one_feed, open};
use hourdrop::app::operator::{Order, Subject};
use hourdrop::domain::ids::PartnerId;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const NOW: &str = "2024-11-03T05:00:00Z";

/// Three hours, the first with a supplement.
fn store() -> (Site, PathBuf) {
    let site = Site::new();
    let source = format!("files = \"{}/*.log\"\nfinished = \"renamed\"", site.path("in").display());
    let config = one_feed(&site, &source, "records_max = 2", "forever");
    site.write("in/1.log", call_line(1, "a") + &call_line(2, "b") + &call_line(3, "c") + &call_line(130, "d"));
    assert_eq!(once(&config, NOW).sealed.batches, 3);
    site.write("in/2.log", call_line(4, "late"));
    assert_eq!(once(&config, NOW).sealed.batches, 1);
    (site, config)
}

/// Exit code and answer.
fn verify(config: &PathBuf, arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["verify", "--json", "--config"])
        .arg(config)
        .args(arguments)
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("a code"), serde_json::from_str(&text).expect("JSON"))
}

/// The differences as `place subject: difference`.
fn differences(answer: &Value) -> Vec<String> {
    let text = |difference: &Value, key: &str| difference[key].as_str().expect("text").to_owned();
    let all = answer["differences"].as_array().expect("a list").iter();
    all.map(|d| format!("{} {}: {}", text(d, "place"), text(d, "subject"), text(d, "difference"))).collect()
}

fn archived(site: &Site, ending: &str) -> PathBuf {
    let archive = site.path("archive");
    archive.join(files_in(&archive).into_keys().find(|name| name.ends_with(ending)).expect("an archived file"))
}

/// A change in the ledger by somebody who knows how to write it.
fn sql(site: &Site, statement: &str) {
    let connection = rusqlite::Connection::open(site.path("state/ledger.db")).expect("ledger");
    hourdrop::ledger::checked_rows::teach(&connection).expect("functions");
    assert_eq!(connection.execute(statement, []).expect("statement"), 1, "{statement}");
}

#[test]
fn a_store_as_it_was_written_has_no_difference_also_while_an_instance_works() {
    let (site, config) = store();
    let exporter = open(&config, NOW);
    let (code, answer) = verify(&config, &[]);
    drop(exporter);
    assert_eq!((code, differences(&answer)), (0, Vec::new()));
    let count = |key: &str| answer[key].as_u64().expect("a number");
    assert_eq!((count("files"), count("manifests")), (8, 4));
    assert!(count("facts") > 20 && count("spool_frames") > 0);
    let (code, answer) = verify(&config, &["voice", "2024-11-03T02:00"]);
    assert_eq!((code, answer["files"].as_u64(), answer["manifests"].as_u64()), (0, Some(5), Some(2)));
    drop(site);
}

#[test]
fn changed_missing_and_unknown_files_of_the_archive_are_named() {
    let (site, config) = store();
    let changed = archived(&site, "_00002.dat");
    let mut bytes = fs::read(&changed).expect("read");
    bytes[3] ^= 1;
    fs::set_permissions(&changed, fs::Permissions::from_mode(0o640)).expect("mode");
    fs::write(&changed, &bytes).expect("write");
    fs::remove_file(archived(&site, "_00003.dat")).expect("remove");
    site.write("archive/huaxin/voice/2024/11/03/02/HX_2024110302_00009.dat", "x");
    let (code, answer) = verify(&config, &[]);
    let found = differences(&answer);
    assert_eq!((code, found.len()), (4, 3), "{found:?}");
    assert!(found[0].starts_with("archive huaxin/voice/2024/11/03/02/HX_2024110302_00009.dat: the ledger knows no"));
    assert!(found[1].contains("_00002.dat: its SHA-256 is"), "{found:?}");
    assert!(found[2].contains("_00003.dat: it is missing"), "{found:?}");
    let (code, answer) = verify(&config, &["voice", "2024-11-03T03:00"]);
    assert_eq!((code, differences(&answer).len()), (0, 0), "another hour");
}

#[test]
fn a_manifest_that_does_not_state_what_the_ledger_holds_is_named() {
    for change in [
        "UPDATE file SET records = records + 1 WHERE name = 'HX_2024110302_00002.dat'",
        "UPDATE batch SET received = received + 1 WHERE start_second = 1730599200 AND revision = 0",
        "DELETE FROM file WHERE name = 'HX_2024110302_00002.dat'",
        "UPDATE file SET totals = '{\"calls\":\"9\"}' WHERE name = 'HX_2024110302_00002.dat'",
    ] {
        let (site, config) = store();
        sql(&site, change);
        let (code, answer) = verify(&config, &["huaxin/voice"]);
        let found = differences(&answer);
        assert_eq!(code, 4, "{change}");
        let first = "manifest huaxin/voice/2024/11/03/02/HX_2024110302_00.json: it does not state";
        assert!(found.iter().any(|difference| difference.starts_with(first)), "{change}: {found:?}");
    }
}

#[test]
fn void_hours_leave_no_difference_and_hide_none() {
    let at = crate::operator::NOW;
    let site = Site::new();
    let config = sealed_and_waiting(&site);
    let unchanged = |what: &str| {
        let (code, answer) = verify(&config, &[]);
        assert_eq!((code, differences(&answer)), (0, Vec::new()), "{what}");
    };
    let void = |hour| assert!(say(&config, &Order::Void(of_hour(hour))).expect("void").changed);
    void(1);
    unchanged("one in the middle");
    void(2);
    unchanged("the last one: the next manifest follows the first");
    site.write("in/2.log", call_line(3 * 60, "d"));
    assert_eq!(once(&config, at).sealed.batches, 1);
    unchanged("the manifest that states the numbers");
    void(3);
    unchanged("that one is void itself");
    site.write("in/3.log", call_line(4 * 60, "e") + &call_line(62, "late"));
    assert_eq!(once(&config, at).sealed.batches, 2);
    unchanged("another one states them, and a void hour has a supplement");
    let partner = Subject::Partner(PartnerId::parse("huaxin").expect("a partner"));
    say(&config, &Order::Resume(partner)).expect("resumed");
    assert_eq!((once(&config, at).exit_code(), site.dropped("huaxin", ".json").len()), (0, 3));
    unchanged("after the delivery");

    for (hour, change) in [
        (3, "UPDATE file SET records = records + 1 WHERE name = 'HX_2024110303_00002.dat'"),
        (5, "UPDATE file SET sha256 = replace(sha256, 'a', 'b') WHERE name = 'HX_2024110305_00004.dat'"),
        (5, "UPDATE file SET number = 7 WHERE name = 'HX_2024110304_00003.dat'"),
        (5, "UPDATE batch SET received = received + 1 WHERE start_second = 1730610000"),
    ] {
        let saved = fs::read(site.path("state/ledger.db")).expect("ledger");
        sql(&site, change);
        let (code, answer) = verify(&config, &["huaxin/voice"]);
        let found = differences(&answer);
        let expected = format!("manifest huaxin/voice/2024/11/03/{hour:02}/HX_20241103{hour:02}_00.json: it does not");
        assert!(code == 4 && found.iter().any(|difference| difference.starts_with(&expected)), "{change}: {found:?}");
        fs::write(site.path("state/ledger.db"), saved).expect("ledger");
    }
    let manifest = archived(&site, "HX_2024110303_00.json");
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o640)).expect("mode");
    fs::write(&manifest, fs::read_to_string(&manifest).expect("text").replace("\"records\": 1", "\"records\": 2"))
        .expect("write");
    let (code, answer) = verify(&config, &[]);
    let found = differences(&answer);
    assert!(code == 4 && found.len() == 1 && found[0].contains("its SHA-256 is"), "{found:?}");
}

#[test]
fn damage_in_ledger_and_journal_is_named() {
    let (site, config) = store();
    let segment = site.path("state/journal").join("00000000000000000001.seg");
    let mut bytes = fs::read(&segment).expect("segment");
    bytes[80] ^= 1;
    fs::write(&segment, bytes).expect("write");
    let found = differences(&verify(&config, &[]).1);
    assert!(
        found.len() == 1 && found[0].contains("0001.seg: byte 36, lsn 1 to 1: the checksum does not match"),
        "{found:?}"
    );
    sql(&site, "DELETE FROM fact WHERE id = (SELECT max(id) FROM fact)");
    let (code, answer) = verify(&config, &[]);
    let found = differences(&answer);
    assert_eq!(code, 4);
    assert!(found.len() == 1 && found[0].contains("is the last one, and another was written last"), "{found:?}");
}

#[test]
fn a_start_with_a_damaged_ledger_says_what_to_do() {
    let (site, config) = store();
    sql(&site, "DELETE FROM fact WHERE id = (SELECT max(id) FROM fact)");
    let before = site.everything_dropped();
    let output = Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["once", "--config"])
        .arg(&config)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["ledger.db is damaged: fact ", "`hourdrop verify`", "`hourdrop recover`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(site.everything_dropped() == before);
}
