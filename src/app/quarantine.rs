//! Bringing quarantined records back: they enter again as records that came now, so an hour that was sealed gets a
//! supplement.

use super::exporter::Exporter;
use super::fault::ExporterFault;
use super::intake::IntakeCounts;
use crate::domain::batch::{BatchState, HeldFrom};
use crate::domain::ids::{FeedId, SourceId};
use crate::domain::period::Zone;
use crate::feed::router::Route;
use crate::format::decode::{Decoded, Decoder};
use crate::format::time_layout::TimeLayout;
use crate::ledger::reports::{QuarantineEntry, QuarantineFilter};
use crate::record::accepted::read_block;
use crate::record::{Accepted, AcceptedBatch, FieldKind, Origin, RecordBlock, SchemaField};

/// What became of the entries that were to come back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetryReport {
    /// Entries that are records again.
    pub retried: Vec<i64>,
    /// Entries that stay, and why.
    pub stay: Vec<(i64, String)>,
}

/// The fields of a record that was read and that a feed could not take: names, and values as texts, of times in RFC 3339.
/// `None` for one that could not be read, whose content is what the source gave.
#[must_use]
pub fn fields(entry: &QuarantineEntry, content: &[u8], zone: Zone) -> Option<Vec<(String, String)>> {
    let block = if entry.feed.is_empty() { None } else { read_block(content).ok() }?;
    let (record, layout) = (block.get(0)?, TimeLayout::compile("rfc3339").ok()?);
    let value = |(place, field): (usize, &SchemaField)| {
        let mut text = Vec::new();
        match field.kind {
            FieldKind::Time => record.time(place).into_iter().for_each(|at| layout.write(at, zone, &mut text)),
            FieldKind::Text | FieldKind::Number => text.extend_from_slice(record.field(place)),
        }
        (field.name.clone(), String::from_utf8_lossy(&text).into_owned())
    };
    Some(record.schema().fields.iter().enumerate().map(value).collect())
}

impl Exporter {
    /// Tries the held entries that match `filter` again.
    ///
    /// # Errors
    /// [`ExporterFault`] when the spool or the ledger fails.
    pub fn retry(&mut self, filter: &QuarantineFilter) -> Result<RetryReport, ExporterFault> {
        let mut report = RetryReport::default();
        let mut counts = IntakeCounts::default();
        let entries = self.ledger.lock().quarantine_entries(&QuarantineFilter { open: true, ..filter.clone() })?;
        for entry in entries {
            let content = self.ledger.lock().quarantine_content(entry.id)?.unwrap_or_default();
            match self.bring_back(&entry, &content)? {
                Ok(batch) => {
                    self.append(Accepted::Batch(batch), &mut counts)?;
                    report.retried.push(entry.id);
                }
                Err(reason) => report.stay.push((entry.id, reason)),
            }
        }
        self.commit(usize::MAX)?;
        self.tell_log()?;
        Ok(report)
    }

    fn bring_back(
        &mut self,
        entry: &QuarantineEntry,
        content: &[u8],
    ) -> Result<Result<AcceptedBatch, String>, ExporterFault> {
        let feed = FeedId::parse(&entry.feed).ok();
        let block = match &feed {
            None => self.decode_again(entry, content),
            Some(feed) => match self.route_again(feed, entry, content)? {
                Ok(block) => Ok(block),
                Err(reason) => Err(reason),
            },
        };
        let origin = Origin { record: entry.record, line: entry.line, byte: entry.byte };
        Ok(block.map(|block| AcceptedBatch {
            source: entry.source.clone(),
            input: entry.input.clone(),
            before: origin,
            after: origin,
            prefix_crc: 0,
            accepted_at: self.now(),
            only_feed: feed.map(|feed| feed.to_string()),
            retried: vec![entry.id],
            head: Vec::new(),
            block,
            rejects: Vec::new(),
            lines: None,
        }))
    }

    fn decode_again(&self, entry: &QuarantineEntry, content: &[u8]) -> Result<RecordBlock, String> {
        let source = SourceId::parse(&entry.source).ok().and_then(|id| self.config.source(&id));
        let source = source.ok_or("the configuration has no such source any more")?;
        let mut decoder = Decoder::new(&source.format.dialect, &source.read);
        let mut decoded = Decoded::new(source.read.schema());
        if decoder.needs_head() {
            let head = self.ledger.lock().quarantine_head(entry.id).map_err(|fault| fault.to_string())?;
            decoder.push(&head, &mut decoded);
            decoded.clear();
        }
        if let Some(problem) = decoder.head_problem() {
            return Err(problem);
        }
        decoder.push(content, &mut decoded);
        decoder.finish(&mut decoded);
        match (decoded.block.get(0), decoded.rejects.first()) {
            (Some(record), None) if decoded.block.len() == 1 => {
                let origin = Origin { record: entry.record, line: entry.line, byte: entry.byte };
                Ok(RecordBlock::only_with_origin(record, origin))
            }
            (_, Some(reject)) => Err(reject.reason.clone()),
            (_, None) => Err("it is not exactly one record".to_owned()),
        }
    }

    fn route_again(
        &mut self,
        id: &FeedId,
        entry: &QuarantineEntry,
        content: &[u8],
    ) -> Result<Result<RecordBlock, String>, ExporterFault> {
        let now = self.now();
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.id() == id) else {
            return Ok(Err("the configuration has no such feed any more".to_owned()));
        };
        let state = entry.start_second.and_then(|start| feed.closed.get(&start)).map(|closed| closed.state);
        if matches!(state, Some(BatchState::Open | BatchState::Held(HeldFrom::Open))) {
            let reason = "its hour is held; when it is released the record is rendered again";
            return Ok(Err(reason.to_owned()));
        }
        let block = read_block(content)?;
        feed.router.prepare(block.schema());
        let route = block.get(0).map(|record| feed.router.route(record, now));
        Ok(match route {
            Some(Route::Accepted(..)) => Ok(block),
            Some(Route::Filtered(_)) => Err("the feed's filter leaves it out now".to_owned()),
            Some(Route::Rejected(fault)) => Err(fault.to_string()),
            None => Err("the entry holds no record".to_owned()),
        })
    }
}
