//! Lets records in quarantine come in again.

use crate::app::quarantine::RetryReport;
use crate::cli::arguments::QuarantineRetryArguments;
use crate::cli::table::counted;
use crate::cli::work::{Log, begin_log, failure, open, world};
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
    let world = world(context, &config);
    let mut exporter = open(config, &world, false)?;
    let mut report = RetryReport::default();
    for filter in &filters {
        let one = exporter.retry(filter).map_err(failure)?;
        report.retried.extend(one.retried);
        report.stay.extend(one.stay);
    }
    let mut text = format!("{} came in again\n", counted(report.retried.len() as u64, "record"));
    for (id, reason) in &report.stay {
        text.push_str(&format!("{id} stays: {reason}\n"));
    }
    let stay: Vec<_> = report.stay.iter().map(|(id, reason)| json!({ "id": id, "reason": reason })).collect();
    Ok(Answer {
        text,
        json: vec![json!({ "retried": report.retried, "stay": stay })],
        notes: vec!["next: hourdrop once".to_owned()],
        exit: if report.stay.is_empty() { exit::DONE } else { exit::INCOMPLETE },
        ..Answer::default()
    })
}
