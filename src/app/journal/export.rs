//! Records of the spool as lines of JSON, also when some frames are damaged. Their content names subscribers: it is
//! written only when it is asked for.

use super::Journal;
use crate::app::fault::ExporterFault;
use crate::domain::ids::{FeedId, Lsn, SourceId};
use crate::domain::period::{Partition, Zone};
use crate::domain::time::UtcTime;
use crate::feed::pending::{Destination, FeedHours};
use crate::format::decode::frames::FrameReader;
use crate::record::{Accepted, AcceptedBatch, FieldKind, Origin, Record};
use crate::spool::frame::Frame;
use crate::spool::survey::Damage;
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

/// Which records are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only those that this feed takes.
    pub feed: Option<FeedId>,
    /// Only those of this source.
    pub source: Option<SourceId>,
    /// Only those in these frames.
    pub lsns: Option<RangeInclusive<u64>>,
    /// With their content.
    pub content: bool,
}

/// Gives every wanted record to `write` as one line of JSON, in order, and returns what is damaged.
///
/// # Errors
/// [`ExporterFault`] when the state directory cannot be read.
pub fn export(
    journal: &Journal<'_>,
    wanted: &Wanted,
    write: &mut dyn FnMut(&Value),
) -> Result<Vec<Damage>, ExporterFault> {
    let mut feeds = journal.feeds()?;
    let mut feed = wanted.feed.as_ref().and_then(|id| feeds.iter_mut().find(|feed| feed.id() == id));
    let mut frames = FrameReader::default();
    let found = journal.walk(&mut |frame| {
        if wanted.lsns.as_ref().is_some_and(|lsns| !lsns.contains(&frame.lsn.0)) {
            return;
        }
        let Ok(Accepted::Batch(batch)) = frames.read(frame.kind, frame.payload) else { return };
        if wanted.source.as_ref().is_none_or(|source| source.as_str() == batch.source) {
            records(frame, &batch, feed.as_deref_mut(), wanted.content, write);
        }
    })?;
    // Behind what the ledger knew a running instance may be writing.
    Ok(found.damage.into_iter().filter(|damage| damage.first <= journal.known.durable).collect())
}

fn records(
    frame: &Frame<'_>,
    batch: &AcceptedBatch,
    mut feed: Option<&mut FeedHours>,
    content: bool,
    write: &mut dyn FnMut(&Value),
) {
    if let Some(feed) = feed.as_deref_mut() {
        if !feed.takes(batch) {
            return;
        }
        feed.router.prepare(batch.block.schema());
    }
    for record in batch.block.iter() {
        let mut line = place(frame.lsn, batch, record.origin());
        if let Some(feed) = feed.as_deref_mut() {
            let Some((hour, standing)) = hour(feed, record, frame.lsn, batch.accepted_at) else { continue };
            line.insert("hour".to_owned(), json!(utc(hour.start_time())));
            line.insert("state".to_owned(), json!(standing));
        }
        if content {
            line.insert("fields".to_owned(), Value::Object(fields(record)));
        }
        write(&Value::Object(line));
    }
    // What could not be decoded is no feed's.
    for reject in batch.rejects.iter().filter(|_| feed.is_none()) {
        let mut line = place(frame.lsn, batch, reject.origin);
        line.insert("rejected".to_owned(), json!(reject.reason));
        if content {
            line.insert("raw".to_owned(), json!(reject.raw.escape_ascii().to_string()));
        }
        write(&Value::Object(line));
    }
}

fn hour(feed: &mut FeedHours, record: Record<'_>, lsn: Lsn, accepted_at: UtcTime) -> Option<(Partition, &'static str)> {
    match feed.destination(record, lsn, accepted_at) {
        Destination::Hour(hour, _) => Some((hour, "waits")),
        Destination::Taken(hour, _) => Some((hour, "sealed")),
        Destination::Rejected(_, Some(hour)) => Some((hour, "quarantined")),
        Destination::Filtered(_) | Destination::Rejected(_, None) => None,
    }
}

fn place(lsn: Lsn, batch: &AcceptedBatch, origin: Origin) -> Map<String, Value> {
    let line = json!({
        "lsn": lsn.0,
        "source": batch.source,
        "input": batch.input,
        "record": origin.record,
        "line": origin.line,
        "byte": origin.byte,
        "accepted_at": utc(batch.accepted_at),
    });
    match line {
        Value::Object(line) => line,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn fields(record: Record<'_>) -> Map<String, Value> {
    let schema = record.schema();
    let value = |index: usize, kind: FieldKind| match kind {
        FieldKind::Time => record.time(index).map_or(Value::Null, |at| json!(utc(at))),
        FieldKind::Text | FieldKind::Number => json!(String::from_utf8_lossy(record.field(index))),
    };
    schema.fields.iter().enumerate().map(|(index, field)| (field.name.clone(), value(index, field.kind))).collect()
}

/// RFC 3339, with the fraction of the second where there is one.
fn utc(at: UtcTime) -> String {
    let second = Zone::UTC.clock_text(at.seconds(), "%Y-%m-%dT%H:%M:%S");
    match at.subsecond_nanos() {
        0 => format!("{second}Z"),
        nanos => format!("{}Z", format!("{second}.{nanos:09}").trim_end_matches('0')),
    }
}
