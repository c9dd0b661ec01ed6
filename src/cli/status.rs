//! `status`: one screen about everything, and what needs a person.

mod partners;

use super::arguments::StatusArguments;
use super::hours::void_text;
use super::operator::argument_of;
use super::table::{counted, grouped, left, right, size, table};
use super::times::{Face, rough};
use super::{Answer, Context, Failure, exit};
use crate::app::clock_watch;
use crate::app::config::{Config, PartnerConfig};
use crate::app::report::status::{FeedStatus, Need, NextClose, PartnerStatus, StatusReport, status};
use crate::app::report::{Depth, books};
use crate::app::space::{RoomReport, room_report};
use crate::app::stopped;
use crate::disk::{RealDisk, Room};
use crate::domain::ids::FeedId;
use crate::domain::period::{Partition, Zone};
use crate::ledger::Ledger;
use crate::ledger::operator::{HeldBack, Paused};
use crate::ledger::reports::SourceTotals;
use crate::ledger::sums::Taking;
use serde_json::{Value, json};
use std::path::Path;

/// The command. Exit code 4 when anything needs a person.
pub fn run(context: &Context, arguments: &StatusArguments) -> Result<Answer, Failure> {
    let config = context.config(arguments.state.demo)?;
    let ledger = context.ledger(&config)?;
    let books = books(&config, ledger.as_ref(), Depth::Sums)?;
    let (sources, alarms) = match &ledger {
        Some(ledger) => (ledger.source_totals()?, ledger.alarms()?),
        None => (Vec::new(), Vec::new()),
    };
    let alarms = stopped::read(&RealDisk, &config.state).into_iter().chain(alarms).collect();
    let mut report = status(&books, sources, alarms, context.now());
    if let Some(ledger) = &ledger {
        (report.paused, report.held_back) = (ledger.paused()?, ledger.held_back()?);
        report.partners = partner_states(&config, ledger)?;
    }
    let screen = Screen {
        report: &report,
        state: &config.state,
        utc: context.global.utc,
        demo: arguments.state.demo,
        room: room_report(&config),
        clock: clock_words(context, &config, ledger.as_ref())?,
    };
    let mut notes = Vec::new();
    if ledger.is_none() {
        notes.push("nothing was accepted yet: `hourdrop once` reads what is there and exports it".to_owned());
    }
    let code = if report.needs.is_empty() { exit::DONE } else { exit::INCOMPLETE };
    Ok(Answer { text: screen.text(), json: vec![screen.json()], notes, exit: code, ..Answer::default() })
}

fn partner_states(config: &Config, ledger: &Ledger) -> Result<Vec<PartnerStatus>, Failure> {
    let state = |partner: &PartnerConfig| {
        let contact = ledger.contact(partner.id.as_str())?;
        Ok(PartnerStatus { name: partner.id.to_string(), contact })
    };
    config.partners.iter().map(state).collect()
}

/// What is wrong with the clock; empty when it is right.
fn clock_words(context: &Context, config: &Config, ledger: Option<&Ledger>) -> Result<String, Failure> {
    let Some(ledger) = ledger else { return Ok(String::new()) };
    let mark = clock_watch::compared(ledger, context.clock().as_ref(), config.clock_jump_max)?;
    Ok(mark.jump.as_ref().map(clock_watch::words).unwrap_or_default())
}

struct Screen<'s> {
    report: &'s StatusReport,
    state: &'s Path,
    utc: bool,
    demo: bool,
    room: RoomReport,
    clock: String,
}

impl Screen<'_> {
    fn face(&self, zone: Zone) -> Face {
        Face { zone: if self.utc { Zone::UTC } else { zone } }
    }

    fn feed_face(&self, feed: &FeedId) -> Face {
        let found = self.report.feeds.iter().find(|status| status.definition.id == *feed);
        self.face(found.map_or(Zone::UTC, |status| status.definition.period.zone()))
    }

    /// The zone of the screen itself: that of the first feed.
    fn own_face(&self) -> Face {
        self.face(self.report.feeds.first().map_or(Zone::UTC, |status| status.definition.period.zone()))
    }

    fn text(&self) -> String {
        let needs = self.report.needs.len() as u64;
        let verdict = match needs {
            0 => "nothing needs you".to_owned(),
            1 => "1 THING NEEDS YOU".to_owned(),
            several => format!("{several} THINGS NEED YOU"),
        };
        let mut text = format!("hourdrop status  {}  {verdict}\n", self.own_face().second(self.report.now));
        text.push_str(&self.feeds());
        if !self.report.sources.is_empty() {
            text.push_str(&self.sources());
        }
        text.push_str(&partners::text(&self.report.partners, self.own_face()));
        if needs > 0 {
            text.push_str("NEEDS YOU\n");
            for (need, number) in self.report.needs.iter().zip(1..) {
                text.push_str(&self.need(number, need));
            }
        }
        text.push_str(&self.by_order());
        text.push_str(&self.bottom());
        text
    }

    /// What rests because a person said so, and the command that ends it. It is no alarm.
    fn by_order(&self) -> String {
        let StatusReport { paused, held_back, .. } = self.report;
        let mut text = String::new();
        for Paused { subject, since, reason } in paused {
            let since = self.own_face().second(*since);
            let typed = argument_of(subject);
            text.push_str(&format!("   {subject} is paused since {since}: {reason}\n"));
            text.push_str(&format!("   hourdrop resume {typed} --reason ...\n"));
        }
        for HeldBack { feed, partition, since, reason } in held_back {
            let face = self.feed_face(feed);
            let (hour, since) = (face.hour(*partition), face.second(*since));
            text.push_str(&format!("   {feed} {hour} is held back since {since}: {reason}\n"));
            text.push_str(&format!("   hourdrop release {feed} {} --reason ...\n", face.argument(*partition)));
        }
        if text.is_empty() { text } else { format!("BY ORDER\n{text}") }
    }

    fn feeds(&self) -> String {
        let is_expected = self.report.feeds.iter().any(|feed| feed.taken.is_some());
        let mut columns = vec![left("FEED"), left(""), left("COMPLETE UP TO"), left("NOW"), left("BACKLOG")];
        columns.extend(is_expected.then_some(left("UNPICKED")));
        columns.push(left("NEXT CLOSE"));
        let row = |feed: &FeedStatus| {
            let face = self.face(feed.definition.period.zone());
            let mark = if feed.held.is_empty() && feed.overdue.is_empty() { "" } else { "!" };
            let (files, bytes) = feed.backlog;
            let mut cells = vec![
                feed.definition.id.to_string(),
                mark.to_owned(),
                feed.complete.as_ref().map_or_else(|| "-".to_owned(), |complete| face.minute(complete.span.end)),
                now(feed, face),
                if files == 0 { "-".to_owned() } else { format!("{}, {}", counted(files, "file"), size(bytes)) },
            ];
            cells.extend(is_expected.then(|| self.unpicked(feed)));
            cells.push(self.next_close(feed, face));
            cells
        };
        table(&columns, self.report.feeds.iter().map(row).collect())
    }

    /// `3 files, 42 min`: how long the first of them waits.
    fn unpicked(&self, feed: &FeedStatus) -> String {
        match feed.taken {
            None => "-".to_owned(),
            Some(Taking { waiting: 0, .. }) => "0".to_owned(),
            Some(Taking { waiting, waiting_since, .. }) => {
                let age = waiting_since.map(|since| format!(", {}", rough(self.report.now.since(since))));
                format!("{}{}", counted(waiting, "file"), age.unwrap_or_default())
            }
        }
    }

    fn next_close(&self, feed: &FeedStatus, face: Face) -> String {
        match feed.next_close {
            _ if !feed.configured => "not configured".to_owned(),
            NextClose::At(at) => face.second_beside(at, self.report.now.seconds()),
            NextClose::Due(partition) => format!("{} is due", face.layout(partition.start, "%Y-%m-%d %H:%M")),
            NextClose::Watermark => "by watermark".to_owned(),
            NextClose::Ended => "ended".to_owned(),
        }
    }

    fn sources(&self) -> String {
        let columns =
            [left("SOURCE"), left("LAST RECORD"), left("LATEST EVENT"), right("RECORDS"), right("QUARANTINED")];
        let face = self.own_face();
        let row = |source: &SourceTotals| {
            let dash = || "-".to_owned();
            vec![
                source.source.clone(),
                source.last_at.map_or_else(dash, |at| face.second(at)),
                source.last_event.map_or_else(dash, |at| face.second(at)),
                grouped(source.records),
                grouped(source.quarantined),
            ]
        };
        table(&columns, self.report.sources.iter().map(row).collect())
    }

    fn need(&self, number: u64, need: &Need) -> String {
        let (title, advice) = self.need_words(need);
        format!("{number:>2} {title}\n   {}\n", advice.join("\n   "))
    }

    /// What is wrong, and the commands that lead on.
    fn need_words(&self, need: &Need) -> (String, Vec<String>) {
        let demo = if self.demo { " --demo" } else { "" };
        match need {
            Need::Alarm(alarm) => {
                (format!("{}  {} {}", alarm.subject, alarm.code, alarm.message), vec![alarm.hint.clone()])
            }
            Need::HeldHour { feed, partition, revision, reason } => {
                let hour = self.feed_face(feed).argument(*partition);
                let revision = if revision.0 > 0 { format!(" r{revision:02}") } else { String::new() };
                (
                    format!("{feed} {}{revision}  held: {reason}", self.feed_face(feed).hour(*partition)),
                    vec![
                        format!("hourdrop show {feed} {hour}{demo}     hourdrop release {feed} {hour} --reason ..."),
                        format!("never to be sent: hourdrop void {feed} {hour} --reason ..."),
                    ],
                )
            }
            Need::HeldFile { feed, partition, name, reason } => {
                let hour = self.feed_face(feed).argument(*partition);
                let (words, ways) = held_file_words(name, reason, &format!("{feed} {hour}"));
                let mut advice = vec![format!("hourdrop show {name}{demo}")];
                advice.extend(ways);
                (format!("{feed} {}  held: {name}: {words}", self.feed_face(feed).hour(*partition)), advice)
            }
            Need::Overdue { feed, first, hours, deadline } => {
                let since = self.feed_face(feed).hour(*first);
                let hours =
                    if *hours == 1 { "is overdue".to_owned() } else { format!("and {} more are overdue", hours - 1) };
                (
                    format!("{feed} {since}  {hours}: not delivered {deadline} after the end"),
                    vec![format!(
                        "hourdrop show {feed} {}{demo}     hourdrop hours {feed}{demo}",
                        self.feed_face(feed).argument(*first)
                    )],
                )
            }
        }
    }

    fn bottom(&self) -> String {
        let feeds = &self.report.feeds;
        let missing: u64 = feeds.iter().map(|feed| feed.missing_numbers).sum();
        let doubt: u64 = feeds.iter().map(|feed| feed.in_doubt).sum();
        let code = if self.report.needs.is_empty() { "" } else { "   (exit 4)" };
        let clock = if self.clock.is_empty() { "ok" } else { &self.clock };
        format!("{}   clock {clock}   sequence gaps {missing}   in doubt {doubt}{code}\n", self.room_words())
    }

    /// `disk 61 % free   spool 12.0 MiB of 16.0 GiB`.
    fn room_words(&self) -> String {
        let RoomReport { spool_bytes, spool_max, state, archive } = self.room;
        let percent = |room: Room| (room.free_bytes * 100).checked_div(room.bytes).unwrap_or(0);
        let disk = match (state, archive) {
            (None, _) => String::new(),
            (Some(both), None) => format!("disk {} % free   ", percent(both)),
            (Some(state), Some(archive)) => {
                format!("disk {} % free, archive {} % free   ", percent(state), percent(archive))
            }
        };
        format!("{disk}spool {} of {}", size(spool_bytes), size(spool_max))
    }

    fn json(&self) -> Value {
        let face = self.own_face();
        let feed = |feed: &FeedStatus| {
            let face = self.face(feed.definition.period.zone());
            let span = |partition: &Partition| face.iso(partition.start);
            let next = match feed.next_close {
                NextClose::At(at) => Some(face.iso(at.seconds())),
                NextClose::Due(partition) => Some(face.iso(partition.end)),
                NextClose::Watermark | NextClose::Ended => None,
            };
            json!({
                "feed": feed.definition.id.to_string(),
                "configured": feed.configured,
                "complete_from": feed.complete.as_ref().map(|complete| face.iso(complete.span.start)),
                "complete_to": feed.complete.as_ref().map(|complete| face.iso(complete.span.end)),
                "hours": feed.hours,
                "behind": feed.behind,
                "pending_records": feed.pending,
                "backlog_files": feed.backlog.0,
                "backlog_bytes": feed.backlog.1,
                "unpicked_files": feed.taken.map(|taken| taken.waiting),
                "unpicked_since": feed.taken.and_then(|taken| taken.waiting_since).map(|at| face.iso(at.seconds())),
                "next_close": next,
                "held": feed.held.iter().map(span).collect::<Vec<_>>(),
                "overdue": feed.overdue.iter().map(span).collect::<Vec<_>>(),
                "void_sequences": feed.void_numbers.numbers().map(|sequence| sequence.number).collect::<Vec<_>>(),
                "missing_sequences": feed.missing_numbers,
                "in_doubt": feed.in_doubt,
            })
        };
        let source = |source: &SourceTotals| {
            json!({
                "source": source.source,
                "records": source.records,
                "quarantined": source.quarantined,
                "last_record_at": source.last_at.map(|at| face.iso(at.seconds())),
                "latest_event": source.last_event.map(|at| face.iso(at.seconds())),
            })
        };
        let need = |need: &Need| {
            let (message, hint) = self.need_words(need);
            let (kind, code) = match need {
                Need::Alarm(alarm) => ("alarm", Some(alarm.code.clone())),
                Need::HeldHour { .. } => ("held hour", None),
                Need::HeldFile { .. } => ("held file", None),
                Need::Overdue { .. } => ("overdue", None),
            };
            json!({ "kind": kind, "code": code, "message": message, "hint": hint.join("; ") })
        };
        let paused = |paused: &Paused| json!({ "subject": paused.subject, "since": face.iso(paused.since.seconds()), "reason": paused.reason });
        let held_back = |held: &HeldBack| {
            let face = self.feed_face(&held.feed);
            json!({ "feed": held.feed.to_string(), "start": face.iso(held.partition.start),
                    "since": face.iso(held.since.seconds()), "reason": held.reason })
        };
        json!({
            "now": face.iso(self.report.now.seconds()),
            "state": self.state.display().to_string(),
            "feeds": self.report.feeds.iter().map(feed).collect::<Vec<_>>(),
            "sources": self.report.sources.iter().map(source).collect::<Vec<_>>(),
            "partners": self.report.partners.iter().map(|partner| partners::json(partner, face)).collect::<Vec<_>>(),
            "needs_you": self.report.needs.iter().map(need).collect::<Vec<_>>(),
            "paused": self.report.paused.iter().map(paused).collect::<Vec<_>>(),
            "held_back": self.report.held_back.iter().map(held_back).collect::<Vec<_>>(),
            "spool_bytes": self.room.spool_bytes,
            "spool_bytes_max": self.room.spool_max,
            "state_bytes_free": self.room.state.map(|room| room.free_bytes),
            "archive_bytes_free": self.room.archive.or(self.room.state).map(|room| room.free_bytes),
            "clock": if self.clock.is_empty() { "ok" } else { &self.clock },
        })
    }
}

/// Why a file is held, and the commands that lead on from there.
fn held_file_words(name: &str, reason: &str, hour: &str) -> (String, Vec<String>) {
    let release = |when: &str| format!("{when}: hourdrop release {name} --reason ...");
    let void = format!("never to be sent: hourdrop void {hour} --reason ...");
    match reason {
        "conflict" => (
            "another file already has the name; it is not ours".to_owned(),
            vec![release("when the partner has removed it"), void],
        ),
        "in doubt" => (
            "nobody knows whether the partner has it; `hourdrop show` tells why".to_owned(),
            vec![
                format!("when the partner has it: hourdrop settle {name} --as delivered --reason ..."),
                format!("when it has not: hourdrop settle {name} --as resend --reason ..."),
                void,
            ],
        ),
        "ordered" => ("by order".to_owned(), vec![release("to let it go on"), void]),
        "damaged" => (
            "its bytes in the archive are not those that were sealed".to_owned(),
            vec![release("when the archived file is restored"), void],
        ),
        other => (other.to_owned(), vec![release("when it is settled"), void]),
    }
}

/// Where a feed stands, in a few words.
fn now(feed: &FeedStatus, face: Face) -> String {
    let mut said = Vec::new();
    if let Some(first) = feed.held.first() {
        said.push(format!("{} held", face.layout(first.start, "%H:%M")));
    }
    if feed.behind > 0 {
        said.push(format!("{} behind", feed.behind));
    }
    if said.is_empty() && feed.hours == 0 {
        return "nothing yet".to_owned();
    }
    if said.is_empty() && feed.complete.is_some() {
        said.push(if feed.definition.shadow { "all sealed" } else { "all delivered" }.to_owned());
    }
    if feed.pending > 0 {
        said.push(format!("{} open", counted(feed.pending, "record")));
    }
    if !feed.void_numbers.is_empty() {
        said.push(void_text(&feed.void_numbers, feed.definition.name.seq_width().unwrap_or(1)));
    }
    said.join(", ")
}

#[cfg(test)]
mod tests;
