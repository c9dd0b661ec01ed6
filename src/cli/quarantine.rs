//! `quarantine`: records that could not be decoded, routed or written.

pub mod retry;

use super::arguments::{QuarantineListArguments, QuarantineShowArguments};
use super::json::{hex, set};
use super::table::{counted, grouped, left, right, statements, table};
use super::times::Face;
use super::{Answer, Context, Failure, exit};
use crate::app::config::Config;
use crate::app::quarantine::fields;
use crate::domain::ids::SourceId;
use crate::domain::period::Zone;
use crate::ledger::reports::{QuarantineEntry, QuarantineFilter};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// So many are listed, the newest.
const LISTED: u32 = 200;

/// `quarantine list`.
pub fn list(context: &Context, arguments: &QuarantineListArguments) -> Result<Answer, Failure> {
    let config = context.config(arguments.state.demo)?;
    let ledger = context.needed_ledger(&config)?;
    let feed = match &arguments.feed {
        None => None,
        Some(name) => context.books(&config, &ledger, Some(name))?.first().map(|book| book.definition.id.clone()),
    };
    let source = match &arguments.source {
        None => None,
        Some(name) => Some(SourceId::parse(name).map_err(|fault| Failure::usage(fault.to_string()))?),
    };
    let limit = (!context.global.json).then_some(LISTED);
    let entries =
        ledger.quarantine_entries(&QuarantineFilter { feed, source, id: None, open: !arguments.all, limit })?;
    let mut answer = Answer { exit: exit::DONE, ..Answer::default() };
    answer.json = entries.iter().map(|entry| entry_json(&config, context, entry)).collect();
    if entries.is_empty() {
        answer.text.push_str("nothing is in quarantine\n");
        return Ok(answer);
    }
    let columns = [
        right("ID"),
        left("SOURCE"),
        left("FEED"),
        left("INPUT"),
        right("LINE"),
        right("BYTE"),
        left("STATE"),
        left("REASON"),
    ];
    let row = |entry: &QuarantineEntry| {
        vec![
            entry.id.to_string(),
            entry.source.clone(),
            if entry.feed.is_empty() { "-".to_owned() } else { entry.feed.clone() },
            entry.input.clone(),
            grouped(entry.line),
            grouped(entry.byte),
            entry.state.clone(),
            entry.reason.clone(),
        ]
    };
    answer.text = table(&columns, entries.iter().map(row).collect());
    answer.text.push_str(&format!("{}\n", counted(entries.len() as u64, "record")));
    if entries.len() as u64 == u64::from(LISTED) {
        answer.notes.push(format!("only the newest {LISTED} are listed; --json lists all"));
    }
    Ok(answer)
}

/// `quarantine show`.
pub fn show(context: &Context, arguments: &QuarantineShowArguments) -> Result<Answer, Failure> {
    let config = context.config(arguments.state.demo)?;
    let ledger = context.needed_ledger(&config)?;
    let filter = QuarantineFilter { id: Some(arguments.id), ..QuarantineFilter::default() };
    let Some(entry) = ledger.quarantine_entries(&filter)?.into_iter().next() else {
        return Err(Failure::new(format!("there is no record {} in quarantine", arguments.id))
            .hint("`hourdrop quarantine list` shows them"));
    };
    let raw = if arguments.raw { ledger.quarantine_content(entry.id)? } else { None };
    let face = face(&config, context, &entry);
    let mut rows = vec![
        ("reason", entry.reason.clone()),
        ("source", entry.source.clone()),
        ("input", format!("{}, record {}, line {}, byte {}", entry.input, entry.record, entry.line, entry.byte)),
        ("since", face.second(entry.at)),
        ("state", entry.state.clone()),
    ];
    if !entry.feed.is_empty() {
        rows.push(("feed", entry.feed.clone()));
    }
    if let Some(start) = entry.start_second {
        rows.push(("hour", face.minute(start)));
    }
    let hint = if raw.is_some() { "" } else { "; --raw shows it" };
    rows.push(("content", format!("{}{hint}", counted(entry.raw_bytes, "byte"))));
    let rows = rows.into_iter().map(|(topic, said)| [topic.to_owned(), said]).collect();
    let mut text = format!("{}\n{}", arguments.id, statements(rows, context.terminal.width));
    let mut value = entry_json(&config, context, &entry);
    if let Some(content) = &raw {
        set(&mut value, "raw_hex", json!(hex(content)));
        if let Some(fields) = fields(&entry, content, face.zone) {
            text.extend(fields.iter().map(|(name, value)| format!("{name}={}\n", value.escape_debug())));
            set(&mut value, "fields", json!(fields.into_iter().collect::<BTreeMap<_, _>>()));
        } else {
            text.push_str(&format!("{}\n", content.escape_ascii()));
        }
    }
    Ok(Answer { text, json: vec![value], exit: exit::DONE, ..Answer::default() })
}

/// Times of an entry are shown in the zone of its feed, or of the first feed.
fn face(config: &Config, context: &Context, entry: &QuarantineEntry) -> Face {
    let own = config.feeds().find(|feed| feed.id.to_string() == entry.feed).or_else(|| config.feeds().next());
    context.face(own.map_or(Zone::UTC, |feed| feed.period.zone()))
}

fn entry_json(config: &Config, context: &Context, entry: &QuarantineEntry) -> Value {
    let face = face(config, context, entry);
    json!({
        "id": entry.id,
        "source": entry.source,
        "feed": (!entry.feed.is_empty()).then_some(&entry.feed),
        "hour": entry.start_second.map(|start| face.iso(start)),
        "input": entry.input,
        "record": entry.record,
        "line": entry.line,
        "byte": entry.byte,
        "reason": entry.reason,
        "bytes": entry.raw_bytes,
        "since": face.iso(entry.at.seconds()),
        "state": entry.state,
    })
}
