//! Lets records in quarantine come in again.

use crate::app::operator::{Done, Order};
use crate::cli::arguments::QuarantineRetryArguments;
use crate::cli::operator::give;
use crate::cli::table::counted;
use crate::cli::work::{Log, begin_log};
use crate::cli::{Answer, Context, Failure, exit};
use crate::domain::ids::SourceId;
use crate::ledger::reports::QuarantineFilter;
use serde_json::json;

/// The command. Exit code 4 when some stay.
pub fn run(context: &Context, arguments: &QuarantineRetryArguments) -> Result<Answer, Failure> {
    begin_log(context, Log::Trouble);
    let config = context.config(false)?;
    let feed = match &arguments.feed {
        None => None,
        Some(name) => Some(context.feed(&config, name)?.id.clone()),
    };
    let source = match &arguments.source {
        None => None,
        Some(name) => Some(SourceId::parse(name).map_err(|fault| Failure::usage(fault.to_string()))?),
    };
    let all = QuarantineFilter { feed, source, ..QuarantineFilter::default() };
    let filters: Vec<QuarantineFilter> = if arguments.ids.is_empty() {
        vec![all]
    } else {
        arguments.ids.iter().map(|id| QuarantineFilter { id: Some(*id), ..all.clone() }).collect()
    };
    let told = give(context, &config, Order::Retry(filters), "retried", &arguments.wait)?;
    let Some(Done { retry: report, .. }) = told.answer else {
        return Ok(Answer {
            text: "the instance that works has not come to it yet; it is done as soon as it does\n".to_owned(),
            json: vec![json!({ "executed": false })],
            exit: exit::INCOMPLETE,
            ..Answer::default()
        });
    };
    let mut text = format!("{} came in again\n", counted(report.retried.len() as u64, "record"));
    for (id, reason) in &report.stay {
        text.push_str(&format!("{id} stays: {reason}\n"));
    }
    let stay: Vec<_> = report.stay.iter().map(|(id, reason)| json!({ "id": id, "reason": reason })).collect();
    Ok(Answer {
        text,
        json: vec![json!({ "retried": report.retried, "stay": stay })],
        notes: if told.is_ours { vec!["next: hourdrop once".to_owned()] } else { Vec::new() },
        exit: if report.stay.is_empty() { exit::DONE } else { exit::INCOMPLETE },
        ..Answer::default()
    })
}
