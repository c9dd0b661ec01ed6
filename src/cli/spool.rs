//! `spool`: looking at the journal of accepted records, beside a running instance or without one.

pub mod export;
pub mod salvage;

use super::arguments::SpoolListArguments;
use super::table::{counted, grouped, left, right, table};
use super::times::Face;
use super::work::failure;
use super::{Answer, Context, Failure, exit};
use crate::app::config::Config;
use crate::app::journal::{Damage, JournalReport, Missing, SegmentReport, Waiting, look};
use crate::disk::RealDisk;
use crate::domain::ids::FeedId;
use crate::domain::period::Zone;
use serde_json::{Value, json};
use std::path::Path;

/// Looks at the journal of the configuration.
fn report(context: &Context, config: &Config) -> Result<JournalReport, Failure> {
    // Says that nothing was ever accepted, where that is so.
    drop(context.needed_ledger(config)?);
    look(&RealDisk, config).map_err(failure)
}

/// `spool list`.
pub fn list(context: &Context, arguments: &SpoolListArguments) -> Result<Answer, Failure> {
    let config = context.config(arguments.state.demo)?;
    let found = report(context, &config)?;
    let sheet = Sheet { context, config: &config, found: &found };
    let mut answer = Answer { text: sheet.segments(), exit: exit::DONE, ..Answer::default() };
    answer.text.push_str(&sheet.waiting());
    answer.json = vec![sheet.json()];
    if !found.damage.is_empty() {
        answer.notes.push("some of it is damaged: `hourdrop spool check` says what".to_owned());
        answer.exit = exit::INCOMPLETE;
    }
    Ok(answer)
}

/// `spool check`.
pub fn check(context: &Context, arguments: &SpoolListArguments) -> Result<Answer, Failure> {
    let config = context.config(arguments.state.demo)?;
    let found = report(context, &config)?;
    let sheet = Sheet { context, config: &config, found: &found };
    let is_good = found.damage.is_empty() && found.missing.is_empty() && found.unreadable.is_empty();
    let mut notes = Vec::new();
    if !found.damage.is_empty() {
        notes.push("next: hourdrop spool salvage --reason ...   (nothing is thrown away)".to_owned());
    }
    Ok(Answer {
        text: sheet.verdict(),
        json: vec![sheet.json()],
        notes,
        exit: if is_good { exit::DONE } else { exit::INCOMPLETE },
        ..Answer::default()
    })
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

struct Sheet<'s> {
    context: &'s Context,
    config: &'s Config,
    found: &'s JournalReport,
}

impl Sheet<'_> {
    fn face(&self, feed: Option<&FeedId>) -> Face {
        let mut feeds = self.config.feeds();
        let definition = feeds.find(|definition| feed.is_none_or(|feed| definition.id == *feed));
        self.context.face(definition.map_or(Zone::UTC, |definition| definition.period.zone()))
    }

    fn segments(&self) -> String {
        let columns = [
            left("SEGMENT"),
            right("LSN"),
            right("FRAMES"),
            right("RECORDS"),
            right("BYTES"),
            left("ACCEPTED FROM"),
            left("TO"),
        ];
        let face = self.face(None);
        let row = |segment: &SegmentReport| {
            let times = segment.times.map(|(first, last)| (face.second(first), face.second(last)));
            let (from, to) = times.unwrap_or_else(|| ("-".to_owned(), "-".to_owned()));
            let lsns = segment.lsns.map_or_else(|| "-".to_owned(), |(first, last)| format!("{first}-{last}"));
            let (frames, records) = (grouped(segment.frames), grouped(segment.records));
            vec![name(&segment.path), lsns, frames, records, grouped(segment.bytes), from, to]
        };
        table(&columns, self.found.segments.iter().map(row).collect())
    }

    fn waiting(&self) -> String {
        if self.found.waiting.is_empty() {
            return "no record waits to be sealed\n".to_owned();
        }
        let columns = [left("WAITS FOR FEED"), left("OF SOURCE"), left("IN HOUR"), right("RECORDS")];
        let row = |waiting: &Waiting| {
            let hour = self.face(Some(&waiting.feed)).hour(waiting.hour);
            vec![waiting.feed.to_string(), waiting.source.clone(), hour, grouped(waiting.records)]
        };
        table(&columns, self.found.waiting.iter().map(row).collect())
    }

    fn verdict(&self) -> String {
        let JournalReport { segments, damage, lost, missing, unreadable, .. } = self.found;
        let frames: u64 = segments.iter().map(|segment| segment.frames).sum();
        let records: u64 = segments.iter().map(|segment| segment.records).sum();
        let (segments, frames) = (counted(segments.len() as u64, "segment"), counted(frames, "good frame"));
        let mut text = format!("{segments}, {frames} with {}\n", counted(records, "record"));
        for lost in lost {
            let frames = frames_text(lost.first.0, lost.last.0);
            text.push_str(&format!("salvaged  {}: {} of it, {frames}\n", lost.segment, lost.what));
        }
        for damage in damage {
            let mend = if damage.is_mendable { "" } else { "; nobody can say which is right, salvage cannot mend it" };
            text.push_str(&format!("DAMAGED   {}{mend}\n", damage_text(damage)));
        }
        for (lsn, reason) in unreadable {
            text.push_str(&format!("DAMAGED   frame {lsn}: {reason}\n"));
        }
        for Missing { feed, hour, records, counted } in missing {
            let hour = self.face(Some(feed)).hour(*hour);
            let (records, counted) = (grouped(*records), grouped(*counted));
            text.push_str(&format!("MISSING   {feed} {hour}: {records} of {counted} records that wait\n"));
        }
        if damage.is_empty() && missing.is_empty() && unreadable.is_empty() {
            text.push_str("every frame is good, and all that waits is there\n");
        } else if missing.is_empty() {
            text.push_str("no record is missing that waits to be sealed\n");
        }
        text
    }

    fn json(&self) -> Value {
        let face = self.face(None);
        let segment = |segment: &SegmentReport| {
            json!({
                "segment": name(&segment.path),
                "first_lsn": segment.lsns.map(|(first, _)| first.0),
                "last_lsn": segment.lsns.map(|(_, last)| last.0),
                "frames": segment.frames,
                "bytes": segment.bytes,
                "torn_bytes": segment.torn,
                "records": segment.records,
                "accepted_from": segment.times.map(|(first, _)| face.iso(first.seconds())),
                "accepted_to": segment.times.map(|(_, last)| face.iso(last.seconds())),
            })
        };
        let waiting = |waiting: &Waiting| {
            let start = self.face(Some(&waiting.feed)).iso(waiting.hour.start);
            json!({ "feed": waiting.feed.to_string(), "source": waiting.source, "hour": start,
                    "records": waiting.records })
        };
        let missing = |missing: &Missing| {
            let start = self.face(Some(&missing.feed)).iso(missing.hour.start);
            json!({ "feed": missing.feed.to_string(), "hour": start, "records": missing.records,
                    "counted": missing.counted })
        };
        let found = self.found;
        json!({
            "segments": found.segments.iter().map(segment).collect::<Vec<_>>(),
            "waiting": found.waiting.iter().map(waiting).collect::<Vec<_>>(),
            "damage": found.damage.iter().map(damage_json).collect::<Vec<_>>(),
            "missing": found.missing.iter().map(missing).collect::<Vec<_>>(),
            "unreadable": found.unreadable.iter().map(|(lsn, reason)| json!({ "lsn": lsn.0, "reason": reason }))
                .collect::<Vec<_>>(),
            "salvaged": found.lost.iter().map(|lost| json!({
                "segment": lost.segment, "first_lsn": lost.first.0, "last_lsn": lost.last.0, "what": lost.what,
            })).collect::<Vec<_>>(),
        })
    }
}

/// Where a damaged place is, and what is lost with it.
pub(super) fn damage_text(damage: &Damage) -> String {
    let frames = match damage.frames() {
        0 => "no frame is lost".to_owned(),
        _ => format!("{} lost", frames_text(damage.first.0, damage.last.0)),
    };
    let (segment, byte, bytes) = (name(&damage.path), grouped(damage.offset), counted(damage.bytes, "byte"));
    format!("{segment}, byte {byte}, {bytes}: {}; {frames}", damage.what)
}

pub(super) fn damage_json(damage: &Damage) -> Value {
    json!({
        "segment": name(&damage.path), "byte": damage.offset, "bytes": damage.bytes,
        "first_lsn": damage.first.0, "last_lsn": damage.last.0, "frames": damage.frames(),
        "what": damage.what, "mendable": damage.is_mendable,
    })
}

/// `frame 3 is`, `frames 3 to 7 are`.
fn frames_text(first: u64, last: u64) -> String {
    if first == last { format!("frame {first} is") } else { format!("frames {first} to {last} are") }
}
