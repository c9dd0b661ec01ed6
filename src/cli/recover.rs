//! Builds the ledger again and says from what, what is in doubt, and what to do next.

use super::arguments::RecoverArguments;
use super::spool::{damage_json, damage_text};
use super::table::{counted, grouped, statements};
use super::times::parse_time;
use super::work::{Log, begin_log, recover_failure, world};
use super::{Answer, Context, Failure, exit};
use crate::app::config::Config;
use crate::app::recover::{RecoverOrders, Recovered, recover};
use crate::domain::ids::FeedId;
use crate::domain::period::{Partition, Zone};
use serde_json::{Value, json};

/// Files and hours that are named one by one.
const NAMED_MAX: usize = 20;

/// The command. Exit code 4 when something waits for a person afterwards.
pub fn run(context: &Context, arguments: &RecoverArguments) -> Result<Answer, Failure> {
    begin_log(context, Log::Trouble);
    let config = context.config(false)?;
    let delivered_before = arguments.delivered_before.as_deref().map(|text| parse_time(text, Zone::UTC)).transpose()?;
    let orders = RecoverOrders {
        reason: arguments.reason.clone(),
        dry_run: arguments.dry_run,
        ask_partners: arguments.ask_partners,
        from_backup: arguments.archive_from_backup,
        delivered_before,
    };
    let report = recover(&config, &world(context, &config), &orders).map_err(recover_failure)?;
    let is_short = report.lost.is_some() || !report.damaged.is_empty();
    let needs_person = !report.held.is_empty() || is_short || !report.files_wrong.is_empty();
    let next = match (report.dry_run, needs_person) {
        (true, _) => "nothing was changed; the same without --dry-run does it".to_owned(),
        (false, true) => "next: `hourdrop status` shows what waits for you, then `hourdrop once`".to_owned(),
        (false, false) => "next: hourdrop once".to_owned(),
    };
    Ok(Answer {
        text: text(context, &config, &report),
        json: vec![json(&report)],
        notes: vec![next],
        exit: if needs_person { exit::INCOMPLETE } else { exit::DONE },
        ..Answer::default()
    })
}

fn text(context: &Context, config: &Config, report: &Recovered) -> String {
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut say = |topic: &str, text: String| rows.push([topic.to_owned(), text]);
    let hour = |feed: &FeedId, hour: Partition| {
        let zone = config.feeds().find(|known| known.id == *feed).map_or(Zone::UTC, |known| known.period.zone());
        context.face(zone).hour(hour)
    };
    say("store", format!("{} (from {})", report.store, report.identity_from));
    say("from", report.old_ledger.clone());
    say(
        "",
        format!("{} of the archive's log, which ends with {}", counted(report.log_lines, "line"), report.log_number),
    );
    let [batches, files, inputs, quarantine] = report.counts;
    say("rebuilt", format!("{}, {}", counted(batches, "batch"), counted(files, "file")));
    say("", format!("{} read, {} in quarantine", counted(inputs, "input"), counted(quarantine, "record")));
    for (name, before, now) in &report.counters {
        let before = before.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
        say("counter", format!("{name}: goes on behind {now} (the old ledger: {before})"));
    }
    say(
        "archive",
        format!(
            "{} compared by size; those that wait to be delivered by hash, too",
            counted(report.files_checked, "file")
        ),
    );
    for (topic, list) in [
        ("WRONG", &report.files_wrong),
        ("UNKNOWN", &report.files_unknown),
        ("DAMAGED", &report.log_damage),
        ("NOT ASKED", &report.not_asked),
    ] {
        list.iter().take(NAMED_MAX).for_each(|line| say(topic, line.clone()));
        if list.len() > NAMED_MAX {
            say("", format!("and {} more; --json names all", grouped((list.len() - NAMED_MAX) as u64)));
        }
    }
    journal(report, &mut say);
    if let Some((first, last)) = report.lost {
        say(
            "LOST",
            format!("the journal lacks lsn {first} to {last}; records of these frames that were not sealed are gone"),
        );
        if report.lost_hours.is_empty() {
            let words = "as far as the archive's log tells, all of them were sealed: give nothing again, it would be sent twice";
            say("", words.to_owned());
        }
        for (feed, of, count) in report.lost_hours.iter().take(NAMED_MAX) {
            say(
                "",
                format!("{feed} {}: at most {} accepted and not sealed", hour(feed, *of), counted(*count, "record")),
            );
        }
        if !report.lost_hours.is_empty() {
            let words = "give the source those of their records again that no file in the archive holds, under new file names, \
                         then release the hours";
            say("", words.to_owned());
        }
    }
    if report.settled > 0 {
        say("settled", format!("{} as delivered", counted(report.settled, "batch")));
    }
    for (feed, of, reason) in report.held.iter().take(NAMED_MAX) {
        say("HELD", format!("{feed} {}: {reason}", hour(feed, *of)));
    }
    if report.held.len() > NAMED_MAX {
        say("", format!("and {} more", grouped((report.held.len() - NAMED_MAX) as u64)));
    }
    report.aside.iter().for_each(|path| say("aside", path.display().to_string()));
    statements(rows, context.terminal.width)
}

/// What is damaged in the journal, and what becomes of it.
fn journal(report: &Recovered, say: &mut impl FnMut(&str, String)) {
    report.damaged.iter().take(NAMED_MAX).for_each(|damage| say("DAMAGED", damage_text(damage)));
    if report.damaged.len() > NAMED_MAX {
        say("", format!("and {} more; --json names all", grouped((report.damaged.len() - NAMED_MAX) as u64)));
    }
    if report.damaged.iter().any(|damage| damage.frames() > 0) {
        say("", "records of these frames that were not sealed are gone; hours that lack some are held when their time comes".to_owned());
    }
    if report.torn_bytes > 0 {
        say(
            "TORN",
            format!(
                "the last {} of the journal are no whole frame: never acknowledged, or damaged since; nobody knows",
                counted(report.torn_bytes, "byte")
            ),
        );
    }
    if report.dry_run && !(report.damaged.is_empty() && report.torn_bytes == 0) {
        say(
            "",
            "the damaged files will be put into damaged/ of the state directory, and the good frames kept".to_owned(),
        );
    }
}

fn json(report: &Recovered) -> Value {
    let hours = |list: &[(FeedId, Partition, u64)]| -> Vec<Value> {
        let line = |(feed, hour, records): &(FeedId, Partition, u64)| json!({ "feed": feed.to_string(), "start_second": hour.start, "end_second": hour.end, "records": records });
        list.iter().map(line).collect()
    };
    let [batches, files, inputs, quarantine] = report.counts;
    json!({
        "dry_run": report.dry_run,
        "store": report.store,
        "identity_from": report.identity_from,
        "old_ledger": report.old_ledger,
        "log": { "lines": report.log_lines, "last": report.log_number, "damage": report.log_damage },
        "rebuilt": { "batches": batches, "files": files, "inputs": inputs, "quarantine": quarantine },
        "counters": report.counters.iter().map(|(name, before, now)| json!({ "name": name, "before": before,
            "now": now })).collect::<Vec<_>>(),
        "archive": { "checked": report.files_checked, "wrong": report.files_wrong, "unknown": report.files_unknown },
        "journal": { "damage": report.damaged.iter().map(damage_json).collect::<Vec<_>>(),
            "torn_bytes": report.torn_bytes },
        "lost": report.lost.map(|(first, last)| json!({ "first_lsn": first.0, "last_lsn": last.0,
            "hours": hours(&report.lost_hours) })),
        "settled": report.settled,
        "held": report.held.iter().map(|(feed, hour, reason)| json!({ "feed": feed.to_string(),
            "start_second": hour.start, "end_second": hour.end, "reason": reason })).collect::<Vec<_>>(),
        "not_asked": report.not_asked,
        "aside": report.aside.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
    })
}
