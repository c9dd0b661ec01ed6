//! One pass: reads everything there is, closes what can be closed, delivers.

use super::arguments::OnceArguments;
use super::table::{counted, size, statements};
use super::work::{Log, begin_log, failure, open, remember, world};
use super::{Answer, Context, Failure};
use crate::app::config::Config;
use crate::app::exporter::OnceReport;
use crate::domain::ids::FeedId;
use crate::domain::period::Partition;
use crate::feed::names;
use serde_json::{Value, json};

/// The command. For cron: exit code 5 when a partner could not be reached, 4 when something needs a person.
pub fn run(context: &Context, _arguments: &OnceArguments) -> Result<Answer, Failure> {
    begin_log(context, Log::Trouble);
    let config = context.config(false)?;
    let report = pass(context, config.clone())?;
    Ok(Answer {
        text: text(&report, &config, context.terminal.width),
        json: vec![json(&report)],
        exit: report.exit_code(),
        ..Answer::default()
    })
}

/// Makes one pass.
///
/// # Errors
/// As people read them.
pub fn pass(context: &Context, config: Config) -> Result<OnceReport, Failure> {
    let world = world(context, &config);
    let state = config.state.clone();
    let done = open(config, &world, true).and_then(|exporter| exporter.once().map_err(failure));
    remember(done, &world, &state)
}

fn text(report: &OnceReport, config: &Config, width: usize) -> String {
    let OnceReport { read, sealed, partners, held, alarms, unread, .. } = report;
    let mut rows = vec![
        [
            "read".to_owned(),
            format!(
                "{}, {}{}",
                counted(read.inputs, "file"),
                counted(read.records, "record"),
                quarantined(read.quarantined)
            ),
        ],
        [
            "sealed".to_owned(),
            format!(
                "{}, {}, {}{}",
                counted(sealed.batches, "batch"),
                counted(sealed.files, "file"),
                counted(sealed.records, "record"),
                quarantined(sealed.quarantined)
            ),
        ],
    ];
    if read.duplicates > 0 {
        rows.push([
            "again".to_owned(),
            format!("{} of input that was read before", counted(read.duplicates, "record")),
        ]);
    }
    if let Some(bytes) = unread {
        let unread = if *bytes > 0 { format!(", {} of input are not read", size(*bytes)) } else { String::new() };
        let words = format!("the pass ended early for lack of room{unread}; the next one goes on when there is room");
        rows.push(["STOPPED".to_owned(), words]);
    }
    for (partner, outcome) in partners {
        let left =
            if outcome.left > 0 { format!(", {} still to go", counted(outcome.left, "batch")) } else { String::new() };
        let fault = outcome.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
        rows.push([partner.clone(), format!("{} delivered{left}{fault}", counted(outcome.delivered, "batch"))]);
    }
    for (feed, reason) in &sealed.waits {
        rows.push(["waits".to_owned(), format!("{feed}: {reason}")]);
    }
    for (feed, hour, reason) in held {
        let hour = describe(config, feed, *hour);
        rows.push(["HELD".to_owned(), format!("{feed} {hour}: {reason}")]);
    }
    for alarm in alarms {
        rows.push([
            "ALARM".to_owned(),
            format!("{} {}: {} ({})", alarm.code, alarm.subject, alarm.message, alarm.hint),
        ]);
    }
    let mut text = statements(rows, width);
    if !held.is_empty() || !alarms.is_empty() {
        text.push_str("`hourdrop status` shows what to do\n");
    } else if read.quarantined + sealed.quarantined > 0 {
        text.push_str("`hourdrop quarantine list` shows what was not taken, and why\n");
    }
    text
}

fn quarantined(records: u64) -> String {
    if records == 0 { String::new() } else { format!(", {} quarantined", super::table::grouped(records)) }
}

fn describe(config: &Config, feed: &FeedId, hour: Partition) -> String {
    let definition = config.feeds().find(|definition| definition.id == *feed);
    definition.map_or_else(String::new, |definition| names::describe(definition, hour))
}

fn json(report: &OnceReport) -> Value {
    let OnceReport { read, sealed, partners, held, alarms, unread, .. } = report;
    json!({
        "read": { "files": read.inputs, "records": read.records, "quarantined": read.quarantined,
                  "duplicates": read.duplicates },
        "sealed": { "batches": sealed.batches, "files": sealed.files, "records": sealed.records,
                    "quarantined": sealed.quarantined },
        "held": held.iter().map(|(feed, hour, reason)| json!({ "feed": feed.to_string(),
            "start_second": hour.start, "end_second": hour.end, "reason": reason })).collect::<Vec<_>>(),
        "waits": sealed.waits.iter().map(|(feed, reason)| json!({ "feed": feed.to_string(), "for": reason }))
            .collect::<Vec<_>>(),
        "partners": partners.iter().map(|(name, outcome)| json!({ "partner": name, "delivered": outcome.delivered,
            "left": outcome.left, "fault": outcome.fault })).collect::<Vec<_>>(),
        "alarms": alarms.iter().map(|alarm| json!({ "subject": alarm.subject, "code": alarm.code,
            "message": alarm.message, "hint": alarm.hint })).collect::<Vec<_>>(),
        "new_answer_alarms": report.new_answer_alarms,
        "unread_bytes": unread,
        "exit": report.exit_code(),
    })
}
