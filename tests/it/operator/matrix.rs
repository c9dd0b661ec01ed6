//! Every order in every state: carried out, already so, or refused with advice.

use super::{NOW, ledger, of_file, of_hour, say, sealed_and_waiting, sql};
use crate::site::{Site, call_line, files_in, once};
use hourdrop::app::operator::{Order, SettleAs, Target};
use std::path::PathBuf;

const FILE: &str = "HX_2024110302_00001.dat";

/// A site in which the first hour and its file are in a state.
type State = (&'static str, fn(&Site) -> PathBuf);

fn file_is(site: &Site, columns: &str) -> PathBuf {
    let config = sealed_and_waiting(site);
    sql(site, &format!("UPDATE file SET {columns} WHERE id = 1"));
    config
}

fn held(site: &Site, reason: &str) -> PathBuf {
    let config = file_is(site, &format!("state = 'held', reason = '{reason}', attempt = 2"));
    sql(site, "UPDATE batch SET state = 'held delivering' WHERE id = 1");
    config
}

fn open_hour(site: &Site) -> PathBuf {
    let config = super::configured(site, "");
    site.write("in/1.log", call_line(1, "a"));
    once(&config, "2024-11-03T02:30:00Z");
    config
}

const STATES: [State; 11] = [
    ("open", open_hour),
    ("held back", |site| {
        let config = open_hour(site);
        say(&config, &Order::Hold(of_hour(0))).expect("held");
        config
    }),
    ("held before it was planned", |site| {
        let config = super::configured(site, "");
        site.write("in/1.log", call_line(1, "a") + "nonsense\n");
        once(&config, NOW);
        config
    }),
    ("pending", sealed_and_waiting),
    ("uploading", |site| file_is(site, "state = 'uploading', temporary = 'x.tmp'")),
    ("renaming", |site| file_is(site, "state = 'renaming', temporary = 'x.tmp'")),
    ("held: ordered", |site| held(site, "ordered")),
    ("held: conflict", |site| held(site, "conflict")),
    ("held: in doubt", |site| held(site, "in doubt")),
    ("delivered", |site| {
        let config = sealed_and_waiting(site);
        super::go_on(&config);
        once(&config, NOW);
        config
    }),
    ("void", |site| {
        let config = sealed_and_waiting(site);
        say(&config, &Order::Void(of_hour(0))).expect("void");
        config
    }),
];

type Ordering = fn(Target) -> Order;

const ORDERS: [Ordering; 5] = [
    Order::Hold,
    Order::Release,
    Order::Void,
    |target| Order::Settle(target, SettleAs::Delivered),
    |target| Order::Settle(target, SettleAs::Resend),
];

/// `+` done, `=` so already or nothing to do, `-` refused. Hold, release, void, settle as delivered, settle as resend: of
/// the hour, then of its part file, which a manifest lists.
const TABLE: &str = "
    open                        +--==  -----
    held back                   =+-==  -----
    held before it was planned  =++==  -----
    pending                     +-+==  +----
    uploading                   +-+==  +----
    renaming                    +--==  +----
    held: ordered               +++==  =+---
    held: conflict              +++++  =+-++
    held: in doubt              +++++  =+-++
    delivered                   ---==  ---=-
    void                        --===  --=--";

#[test]
fn every_order_in_every_state_is_done_or_refused_with_advice() {
    let rows: Vec<&str> = TABLE.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), STATES.len());
    let mut differences = Vec::new();
    for (row, (name, prepare)) in rows.iter().zip(STATES) {
        let expected: String =
            row.strip_prefix(name).expect("row of this state").chars().filter(|c| *c != ' ').collect();
        let site = Site::new();
        let config = prepare(&site);
        let kept = site.path("kept.db");
        let database = site.path("state/ledger.db");
        let copy = |from: &std::path::Path, to: &std::path::Path| {
            // SQLite writes a clean file when the last connection closes.
            std::fs::copy(from, to).expect("copy");
        };
        copy(&database, &kept);
        let log = site.path("archive/.log");
        let kept_log = files_in(&log);
        let mut found = String::new();
        for target in [of_hour(0), of_file(FILE)] {
            for ordering in ORDERS {
                let facts = |site: &Site| ledger(site).facts_about("huaxin/voice").expect("facts").len();
                let before = facts(&site);
                found.push(match say(&config, &ordering(target.clone())) {
                    Ok(done) if done.changed => '+',
                    Ok(_) => '=',
                    Err(refusal) => {
                        assert!(!refusal.what.is_empty() && !refusal.advice.is_empty());
                        '-'
                    }
                });
                let changed = facts(&site) > before;
                assert_eq!(changed, found.ends_with('+'), "{name}: only what is done leaves a fact");
                for ending in ["-wal", "-shm"] {
                    std::fs::remove_file(site.path(&format!("state/ledger.db{ending}"))).ok();
                }
                copy(&kept, &database);
                std::fs::remove_dir_all(&log).expect("log");
                for (name, bytes) in &kept_log {
                    site.write(&format!("archive/.log/{name}"), bytes);
                }
            }
        }
        if found != expected {
            differences.push(format!("{name}: {found} instead of {expected}"));
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}
