//! `files`: the files of a feed or of one hour.

use super::arguments::FilesArguments;
use super::table::{grouped, left, right, table};
use super::times::{Face, parse_time};
use super::{Answer, Context, Failure, exit};
use crate::app::report::FeedBook;
use crate::domain::answer::Verdict;
use crate::domain::pickup::{PickupState, Taken};
use crate::domain::time::{Length, UtcTime};
use crate::ledger::reports::FileRow;
use serde_json::{Value, json};

/// Without an hour so many files are shown, the latest.
const SHOWN: usize = 100;
/// Digits of a hash that tell files apart for people.
const HASH_DIGITS: usize = 12;

/// The command.
pub fn run(context: &Context, arguments: &FilesArguments) -> Result<Answer, Failure> {
    let config = context.config(arguments.state.demo)?;
    let ledger = context.needed_ledger(&config)?;
    let mut answer = Answer { exit: exit::DONE, ..Answer::default() };
    for book in context.books(&config, &ledger, arguments.feed.as_deref())? {
        let zone = book.definition.period.zone();
        let hour = arguments.hour.as_ref().map(|hour| parse_time(hour, zone)).transpose()?;
        let face = context.face(zone);
        let asked = |file: &&FileRow| hour.is_none_or(|at: UtcTime| file.partition.contains(at));
        let files: Vec<&FileRow> = book.files.iter().filter(asked).collect();
        let skip = if hour.is_none() { files.len().saturating_sub(SHOWN) } else { 0 };
        let shown: Vec<&FileRow> = files.into_iter().skip(skip).collect();
        if !answer.text.is_empty() {
            answer.text.push('\n');
        }
        answer.text.push_str(&screen(&book, face, &shown, arguments.long));
        answer.json.extend(shown.iter().map(|file| file_json(&book, face, file)));
        if skip > 0 {
            answer.notes.push(format!(
                "{}: {} earlier files not shown: name an hour",
                book.definition.id,
                grouped(skip as u64)
            ));
        }
    }
    Ok(answer)
}

fn screen(book: &FeedBook, face: Face, files: &[&FileRow], long: bool) -> String {
    let mut text = format!("{}  {}\n", book.definition.id, face.zone);
    if files.is_empty() {
        text.push_str("no file\n");
        return text;
    }
    text.push_str(&file_table(face, files, long));
    text
}

/// The table of files, for `show`, too.
pub fn file_table(face: Face, files: &[&FileRow], long: bool) -> String {
    let columns = [
        left("NAME"),
        left("KIND"),
        left("HOUR"),
        right("SEQ"),
        right("RECORDS"),
        right("BYTES"),
        left("SHA-256"),
        left("STATE"),
        left("DELIVERED"),
    ];
    let row = |file: &&FileRow| {
        let dash = || "-".to_owned();
        let digits = if long { usize::MAX } else { HASH_DIGITS };
        vec![
            file.name.clone(),
            kind(file).to_owned(),
            hour(face, file),
            file.sequence.map_or_else(dash, |given| given.to_string()),
            grouped(file.records),
            file.bytes.map_or_else(dash, grouped),
            file.sha256.as_ref().map_or_else(dash, |hash| hash.chars().take(digits).collect()),
            state(file),
            file.delivered_at.map_or_else(dash, |at| face.second(at)),
        ]
    };
    table(&columns, files.iter().map(row).collect())
}

const fn kind(file: &FileRow) -> &'static str {
    if file.is_manifest() { "manifest" } else { "data" }
}

fn hour(face: Face, file: &FileRow) -> String {
    let start = face.minute(file.partition.start);
    if file.revision.0 > 0 { format!("{start} r{:02}", file.revision.0) } else { start }
}

/// The state in the ledger's word, with the reason of a held file; what was sent again after a doubt is marked.
fn state(file: &FileRow) -> String {
    let resent = if file.resent > 0 { ", resent" } else { "" };
    match &file.reason {
        Some(reason) => format!("{}: {reason}{resent}", file.state),
        None => format!("{}{resent}", file.state),
    }
}

/// When a listing of the partner's directory showed the file last.
pub fn last_seen(book: &FeedBook, file: &FileRow) -> Option<UtcTime> {
    let is_there = file.pickup.state == PickupState::There;
    file.pickup.last_seen.max(book.looked_at.filter(|_| is_there))
}

/// How long after its delivery it is known that the partner took the file.
pub fn pickup_latency(file: &FileRow) -> Option<Length> {
    Some(file.pickup.taken_at?.since(file.delivered_at?))
}

/// A file for programs.
pub fn file_json(book: &FeedBook, face: Face, file: &FileRow) -> Value {
    let totals: serde_json::Map<String, Value> =
        file.totals.iter().map(|(name, sum)| (name.clone(), json!(sum))).collect();
    let time = |at: Option<UtcTime>| at.map(|at| face.iso(at.seconds()));
    json!({
        "feed": book.definition.id.to_string(),
        "name": file.name,
        "kind": kind(file),
        "start": face.iso(file.partition.start),
        "end": face.iso(file.partition.end),
        "revision": file.revision.0,
        "part": (!file.is_manifest()).then_some(file.part.0),
        "sequence": file.sequence.map(|given| given.number),
        "cycle": file.sequence.map(|given| given.cycle),
        "records": file.records,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "totals": totals,
        "first_event": time(file.first_event),
        "last_event": time(file.last_event),
        "archive_path": file.archive_path,
        "state": file.state,
        "reason": file.reason,
        "attempts": file.attempt,
        "verified": file.verified,
        "resent": file.resent,
        "delivered_at": time(file.delivered_at),
        "pickup": (file.state == "delivered").then(|| file.pickup.state.word()),
        "last_seen_at": time(last_seen(book, file)),
        "first_missed_at": time(file.pickup.first_missed),
        "picked_up_at": time(file.pickup.taken_at),
        "picked_up_after_seconds": pickup_latency(file).map(Length::seconds),
        "answer": file.answer.map(Verdict::word),
        "pickup_evidence": file.pickup.how.map(Taken::as_str),
    })
}
