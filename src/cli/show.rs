//! `show`: everything about one hour or one file.

use super::arguments::ShowArguments;
use super::files::{file_json, file_table, last_seen, pickup_latency};
use super::json::set;
use super::table::{counted, grouped, statements};
use super::times::{Face, parse_time, rough};
use super::{Answer, Context, Failure, exit};
use crate::app::config::Config;
use crate::app::report::FeedBook;
use crate::app::report::hours::{Hour, hours, lines};
use crate::domain::delivery::{ABSENCE, Verified};
use crate::domain::ids::HashedBy;
use crate::domain::pickup::{PickupState, Taken};
use crate::domain::time::UtcTime;
use crate::ledger::Ledger;
use crate::ledger::reports::{BatchRow, FactRow, FileRow, InputRead};
use serde_json::{Value, json};

/// The command.
pub fn run(context: &Context, arguments: &ShowArguments) -> Result<Answer, Failure> {
    let config = context.config(arguments.state.demo)?;
    let ledger = context.needed_ledger(&config)?;
    match &arguments.hour {
        Some(hour) => show_hour(context, &config, &ledger, &arguments.subject, hour),
        None => show_file(context, &config, &ledger, &arguments.subject),
    }
}

fn show_hour(context: &Context, config: &Config, ledger: &Ledger, feed: &str, typed: &str) -> Result<Answer, Failure> {
    let books = context.books(config, ledger, Some(feed))?;
    let Some(book) = books.first() else { return Err(Failure::usage(format!("there is no feed \"{feed}\""))) };
    let zone = book.definition.period.zone();
    let at = parse_time(typed, zone)?;
    let face = context.face(zone);
    let all = hours(book);
    let Some(hour) = all.iter().find(|hour| hour.partition.contains(at)) else {
        let span = all.first().zip(all.last()).map(|(first, last)| {
            format!(
                "hours of {} lie between {} and {}",
                book.definition.id,
                face.minute(first.partition.start),
                face.minute(last.partition.end)
            )
        });
        let failure =
            Failure::new(format!("nothing is known about {} of {}", face.minute(at.seconds()), book.definition.id));
        return Err(failure.hint(span.unwrap_or_else(|| "the feed has no hour yet".to_owned())));
    };
    let sheet =
        HourSheet { book, face, hour, facts: hour_facts(ledger, book, hour)?, inputs: inputs(ledger, book, hour)? };
    Ok(Answer {
        text: sheet.text(config, context.terminal.width),
        json: vec![sheet.json()],
        exit: exit::DONE,
        ..Answer::default()
    })
}

fn show_file(context: &Context, config: &Config, ledger: &Ledger, name: &str) -> Result<Answer, Failure> {
    if let Ok(feed) = context.feed(config, name) {
        return Err(Failure::usage(format!("which hour of {}?", feed.id))
            .hint(format!("write `hourdrop show {} 2026-12-21T09:00`; `hourdrop hours` lists them", feed.id)));
    }
    let mut answer = Answer { exit: exit::DONE, ..Answer::default() };
    for feed in ledger.feeds_with_file(name)? {
        for book in context.books(config, ledger, Some(&feed.to_string()))? {
            let face = context.face(book.definition.period.zone());
            let facts = ledger.facts_about(&format!("{} {name}", book.definition.id))?;
            for file in book.files.iter().filter(|file| file.name == name) {
                answer.text.push_str(&file_text(&book, face, file, &facts, config, context.terminal.width));
                let mut value = file_json(&book, face, file);
                set(&mut value, "history", facts.iter().map(|fact| history_json(face, fact)).collect());
                answer.json.push(value);
            }
        }
    }
    if answer.json.is_empty() {
        return Err(Failure::new(format!("there is no file \"{name}\"")).hint("`hourdrop files` lists them"));
    }
    Ok(answer)
}

/// The history of an hour: its batches, then its files, by time.
fn hour_facts(ledger: &Ledger, book: &FeedBook, hour: &Hour<'_>) -> Result<Vec<FactRow>, Failure> {
    let feed = &book.definition.id;
    let partition = hour.partition;
    let mut facts = ledger.facts_about(&format!("{feed} {}-{}", partition.start, partition.end))?;
    for file in &hour.files {
        facts.extend(ledger.facts_about(&format!("{feed} {}", file.name))?);
    }
    facts.sort_by_key(|fact| fact.at);
    Ok(facts)
}

/// Inputs whose end was reached between the beginning of the hour and the moment at which it was sealed last: its
/// records came from these, or from inputs that are still being read.
fn inputs(ledger: &Ledger, book: &FeedBook, hour: &Hour<'_>) -> Result<Vec<InputRead>, Failure> {
    let until = hour.batches.last().map_or(UtcTime::MAX, |batch| batch.sealed_at);
    let mut found = Vec::new();
    for source in &book.definition.sources {
        found.extend(ledger.inputs_read(&source.value, hour.partition.start_time(), until)?);
    }
    Ok(found)
}

struct HourSheet<'s> {
    book: &'s FeedBook,
    face: Face,
    hour: &'s Hour<'s>,
    facts: Vec<FactRow>,
    inputs: Vec<InputRead>,
}

impl HourSheet<'_> {
    fn text(&self, config: &Config, width: usize) -> String {
        let (hour, face) = (self.hour, self.face);
        let counts = hour.counts;
        let mut rows = vec![[
            "records".to_owned(),
            format!(
                "received {} = sent {} + filtered {} + quarantined {}{}{} + pending {}{}",
                grouped(counts.received),
                grouped(hour.sent()),
                grouped(counts.filtered),
                grouped(counts.quarantined),
                if hour.void() > 0 { format!(" + void {}", grouped(hour.void())) } else { String::new() },
                if hour.lost > 0 { format!(" + lost {}", grouped(hour.lost)) } else { String::new() },
                grouped(hour.pending()),
                if counts.duplicate > 0 {
                    format!("; duplicates {}", grouped(counts.duplicate))
                } else {
                    String::new()
                },
            ),
        ]];
        rows.extend(hour.batches.iter().map(|batch| [format!("revision {}", batch.revision), self.batch_text(batch)]));
        if hour.batches.is_empty() {
            rows.push(["state".to_owned(), "open: records are still expected".to_owned()]);
        }
        let mut text =
            format!("{} {}\n{}", self.book.definition.id, face.hour(hour.partition), statements(rows, width));
        if !hour.files.is_empty() {
            text.push_str(&format!("\n{}", file_table(face, &hour.files, false)));
            text.push('\n');
            for file in &hour.files {
                text.push_str(&format!("{}\n{}", file.name, statements(self.file_rows(file, config), width)));
            }
        }
        if !self.inputs.is_empty() {
            text.push_str("\ninputs that were read to their end between the hour's beginning and its sealing\n");
            let rows = self.inputs.iter().map(|input| [input.source.clone(), input_text(face, input)]).collect();
            text.push_str(&statements(rows, width));
        }
        text.push_str(&history(face, &self.facts, width));
        text
    }

    fn batch_text(&self, batch: &BatchRow) -> String {
        let face = self.face;
        let reason = batch.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let delivered = batch.delivered_at.map(|at| format!(", delivered {}", face.second(at))).unwrap_or_default();
        let incomplete = if batch.source_incomplete { ", a source was incomplete" } else { "" };
        let definition: String = batch.definition.chars().take(12).collect();
        format!(
            "{}{reason}; {} planned {}{delivered}{incomplete}; spool frames {} to {} (exclusive), definition {definition}",
            batch.state,
            counted(batch.records, "record"),
            face.second(batch.sealed_at),
            batch.from,
            batch.cut,
        )
    }

    fn file_rows(&self, file: &FileRow, config: &Config) -> Vec<[String; 2]> {
        file_rows(self.book, self.face, file, config)
    }

    fn json(&self) -> Value {
        let (hour, face) = (self.hour, self.face);
        let batch = |batch: &&BatchRow| {
            json!({
                "revision": batch.revision.0,
                "state": batch.state.word(),
                "reason": batch.reason,
                "records": batch.records,
                "from_lsn": batch.from.0,
                "cut_lsn": batch.cut.0,
                "definition": batch.definition,
                "sealed_at": face.iso(batch.sealed_at.seconds()),
                "source_incomplete": batch.source_incomplete,
                "delivered_at": batch.delivered_at.map(|at| face.iso(at.seconds())),
            })
        };
        let input = |input: &InputRead| {
            json!({
                "source": input.source,
                "name": input.name,
                "bytes": input.bytes,
                "hash": input.hash.map(|hash| hash.to_string()),
                "sha256": input.hash.filter(|hash| hash.by == HashedBy::Sha256).map(|hash| hash.digits()),
                "records": input.records,
                "rejects": input.rejects,
                "read_at": face.iso(input.at.seconds()),
            })
        };
        json!({
            "feed": self.book.definition.id.to_string(),
            "start": face.iso(hour.partition.start),
            "end": face.iso(hour.partition.end),
            "state": lines(hour).last().map(|line| line.standing.word()),
            "complete": hour.is_complete(),
            "received": hour.counts.received,
            "sent": hour.sent(),
            "filtered": hour.counts.filtered,
            "quarantined": hour.counts.quarantined,
            "void": hour.void(),
            "lost": hour.lost,
            "pending": hour.pending(),
            "duplicate": hour.counts.duplicate,
            "batches": hour.batches.iter().map(batch).collect::<Vec<_>>(),
            "files": hour.files.iter().map(|file| file_json(self.book, face, file)).collect::<Vec<_>>(),
            "inputs": self.inputs.iter().map(input).collect::<Vec<_>>(),
            "history": self.facts.iter().map(|fact| history_json(face, fact)).collect::<Vec<_>>(),
        })
    }
}

fn file_text(book: &FeedBook, face: Face, file: &FileRow, facts: &[FactRow], config: &Config, width: usize) -> String {
    let revision = if file.revision.0 > 0 { format!(" revision {}", file.revision) } else { String::new() };
    let kind = if file.is_manifest() { "manifest" } else { "data" };
    let mut rows = vec![
        ["hour".to_owned(), format!("{} {}{revision}", book.definition.id, face.hour(file.partition))],
        ["kind".to_owned(), format!("{kind}, {}", counted(file.records, "record"))],
    ];
    rows.extend(file_rows(book, face, file, config));
    format!("{}\n{}{}", file.name, statements(rows, width), history(face, facts, width))
}

/// What is known about a file besides what the table shows.
fn file_rows(book: &FeedBook, face: Face, file: &FileRow, config: &Config) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    let mut say = |topic: &str, text: String| rows.push([topic.to_owned(), text]);
    if let Some(given) = file.sequence {
        let cycle = if given.cycle > 0 { format!(" in cycle {}", given.cycle) } else { String::new() };
        say("sequence", format!("{given}{cycle}"));
    }
    match (&file.archive_path, file.bytes) {
        (Some(path), Some(bytes)) => {
            say("archive", format!("{}, {}", config.archive.join(path).display(), counted(bytes, "byte")));
        }
        _ => say("archive", "not there yet".to_owned()),
    }
    if let Some(hash) = &file.sha256 {
        say("sha256", hash.clone());
    }
    if let Some((first, last)) = file.first_event.zip(file.last_event) {
        say("events", format!("{} to {}", face.second(first), face.second(last)));
    }
    if !file.totals.is_empty() {
        let totals: Vec<String> = file.totals.iter().map(|(name, sum)| format!("{name} {sum}")).collect();
        say("totals", totals.join(", "));
    }
    let reason = file.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let delivered = file.delivered_at.map(|at| format!(" {}", face.second(at))).unwrap_or_default();
    say("state", format!("{}{reason}{delivered}, attempt {}", file.state, file.attempt));
    if let Some(how) = &file.verified {
        say("evidence", format!("{how}: {}", evidence(how)));
    }
    if let Some(text) = pickup_text(book, face, file) {
        say("pickup", text);
    }
    if file.resent > 0 {
        say("resent", format!("{} after a doubt: the partner may have seen it before", times(file.resent)));
    }
    rows
}

/// What became of a delivered file at the partner.
fn pickup_text(book: &FeedBook, face: Face, file: &FileRow) -> Option<String> {
    let pickup = &file.pickup;
    let seen = last_seen(book, file).map(|at| format!("last seen {}", face.second(at)));
    let also = seen.as_ref().map(|seen| format!("; {seen}")).unwrap_or_default();
    let missed = || pickup.first_missed.map(|at| format!(" {}", face.second(at))).unwrap_or_default();
    let taken = |at| {
        let latency = pickup_latency(file).map(|length| format!(", {} after the delivery", rough(length)));
        let how = pickup.how.map(|how| format!("; {}", sign(how))).unwrap_or_default();
        format!("{}{}{also}{how}", face.second(at), latency.unwrap_or_default())
    };
    Some(match (pickup.state, pickup.taken_at) {
        _ if file.state != "delivered" => return None,
        (PickupState::Unseen, _) if book.expects_pickup => "not looked at yet".to_owned(),
        (PickupState::Unseen, _) => return None,
        (PickupState::There, _) => format!("still there, {}", seen.unwrap_or_default()),
        (PickupState::Back, Some(at)) => format!("picked up {}, and there again", taken(at)),
        (PickupState::Back, None) => format!("there again after it was missed{}", missed()),
        (PickupState::PickedUp, at) => format!("picked up {}", at.map(taken).unwrap_or_default()),
        (PickupState::Gone, _) => format!("gone since{}; this partner keeps files{also}", missed()),
        (PickupState::Removing, _) => "being removed: its time at the partner is over".to_owned(),
        (PickupState::Removed, _) => format!("removed{}: its time at the partner was over", missed()),
    })
}

/// How it is known that a file was taken.
const fn sign(how: Taken) -> &'static str {
    match how {
        Taken::Missing => "it is gone from a listing that shows what is there",
        Taken::Moved => "it lies where the partner moves files to",
        Taken::Renamed => "it has the name that the partner gives it",
        Taken::Deleted => "the partner deleted it on our server",
        Taken::Person => "on the word of a person",
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// What the ledger's word for the evidence of a file means.
fn evidence(word: &str) -> &'static str {
    match Verified::parse(word) {
        Some(Verified::ReplyAndSize) => "the server confirmed the rename and states the right size",
        Some(Verified::ReplyAndHash) => {
            "the server confirmed the rename; size and SHA-256 are right, by its own account"
        }
        Some(Verified::ReplyAndReadBack) => {
            "the server confirmed the rename; what lay there was read back and is right"
        }
        Some(Verified::Reply) => {
            "the server confirmed the rename; a moment later the name was gone or not to be asked for"
        }
        Some(Verified::SeenAfterLostReply) => {
            "the reply to the rename was lost; the file was seen, with the right size"
        }
        Some(Verified::EarlierRename) => "an earlier attempt had renamed it; the file was seen, with the right size",
        Some(Verified::SameFile) => "inferred: the server says that the final name leads to the file that we sent",
        Some(Verified::SeenWhole) => {
            "no reply to the upload; what lies under the name was read back and is the whole file"
        }
        Some(Verified::TemporaryGone) => "inferred: it is gone from a directory that only our rename takes files from",
        Some(Verified::Person) => "a person said so",
        None if word == ABSENCE => "neither the temporary nor the final name was there; nothing else is known",
        None => "unknown to this program",
    }
}

fn input_text(face: Face, input: &InputRead) -> String {
    let InputRead { name, bytes, hash, records, rejects, at, .. } = input;
    let rejects = if *rejects > 0 { format!(" and {} rejected", grouped(*rejects)) } else { String::new() };
    let hash = hash.map_or_else(|| "no hash".to_owned(), |hash| format!("{} {:.12}", hash.by.word(), hash.digits()));
    format!(
        "{name}: {}{rejects}, {}, {hash}, read {}",
        counted(*records, "record"),
        counted(*bytes, "byte"),
        face.second(*at)
    )
}

fn history(face: Face, facts: &[FactRow], width: usize) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let rows = facts.iter().map(|fact| {
        let detail = if fact.detail.is_empty() { String::new() } else { format!(": {}", fact.detail) };
        [face.second(fact.at), format!("{} {}{detail}", fact.kind, about(&fact.subject))]
    });
    format!("\nhistory\n{}", statements(rows.collect(), width))
}

/// Whom a fact is about, without the feed and the hour, which the screen names already: a revision or a file.
fn about(subject: &str) -> &str {
    let rest = subject.split_once(' ').map_or("", |(_, rest)| rest);
    match rest.split_once(' ') {
        Some((span, revision)) if span.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => revision,
        Some(_) | None => rest,
    }
}

fn history_json(times: Face, fact: &FactRow) -> Value {
    json!({ "at": times.iso(fact.at.seconds()), "kind": fact.kind, "subject": fact.subject, "detail": fact.detail })
}
