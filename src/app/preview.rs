//! What a feed would write for an input, without state: its first records, decoded, filtered, put into hours and
//! rendered. Nothing is stored and nobody is told.

use crate::app::config::SourceConfig;
use crate::disk::read_piece;
use crate::document::Problem;
use crate::domain::period::Partition;
use crate::domain::time::{Length, UtcTime};
use crate::feed::definition::FeedDefinition;
use crate::feed::names;
use crate::feed::router::{FeedRouter, Route, check_fit};
use crate::format::decode::{Decoded, Decoder};
use crate::format::encode::Layout;
use crate::format::template::FileFacts;
use crate::format::totals::Totals;
use crate::record::{Origin, Record, Reject};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

/// Bytes of an input that are looked at, at most: a preview is no export.
const INPUT_BYTES_MAX: u64 = 64 << 20;
const PIECE_BYTES: usize = 64 << 10;

/// A record as it came and as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewRecord {
    /// Which input, by its place in the list.
    pub input: usize,
    /// Where it stood.
    pub origin: Origin,
    /// Its bytes as received.
    pub raw: Vec<u8>,
    /// The bytes that the feed writes.
    pub written: Vec<u8>,
}

/// A record that does not reach the partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewReject {
    /// Which input, by its place in the list.
    pub input: usize,
    /// Where it stood.
    pub origin: Origin,
    /// Why not.
    pub reason: String,
    /// Its bytes as received.
    pub raw: Vec<u8>,
}

/// One hour of the preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewHour {
    /// Which.
    pub partition: Partition,
    /// Name that its first part file would have with the counter's first number.
    pub file: String,
    /// Header lines.
    pub header: Vec<u8>,
    /// Its records.
    pub records: Vec<PreviewRecord>,
    /// Trailer lines, with the totals of these records.
    pub trailer: Vec<u8>,
}

/// What a feed would write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// Hours in order.
    pub hours: Vec<PreviewHour>,
    /// Records that would go to quarantine; at most as many as records are shown.
    pub rejects: Vec<PreviewReject>,
    /// All of these.
    pub reject_count: u64,
    /// Records that the filter leaves out.
    pub filtered: u64,
    /// More records follow that were not looked at.
    pub more: bool,
    /// The head of an input is not what the format says.
    pub unfit: Option<(usize, String)>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewFault {
    /// An input cannot be read.
    #[error("cannot read {name}: {source}")]
    Read {
        /// Which.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The feed does not fit the fields of the source.
    #[error("{0}")]
    Feed(String),
    /// The format does not fit the fields of the source.
    #[error("the format does not fit the source")]
    Format(Vec<Problem>),
    /// A header or trailer cannot be written.
    #[error("the file of an hour cannot be written: {0}")]
    Frame(String),
}

/// Previews the first `limit` records that reach the partner. The feed's `starts_at`, `ends_at` and `behind_max` are
/// left out of account.
///
/// # Errors
/// [`PreviewFault`].
pub fn preview<R: Read>(
    definition: &FeedDefinition,
    source: &SourceConfig,
    inputs: impl IntoIterator<Item = (String, R)>,
    limit: usize,
    now: UtcTime,
) -> Result<Preview, PreviewFault> {
    let mut feed = definition.clone();
    (feed.starts_at, feed.ends_at, feed.behind_max) = (None, None, Length::from_seconds(u64::MAX));
    let schema = source.read.schema();
    let layout = Layout::compile(&feed.format, &schema, feed.period.zone()).map_err(PreviewFault::Format)?;
    check_fit(&feed, &schema).map_err(|fault| PreviewFault::Feed(fault.to_string()))?;
    let mut router = FeedRouter::new(vec![(i64::MIN, Arc::new(feed))], None);
    router.prepare(&schema);
    let mut sheet =
        Sheet { definition, layout, router, now, limit, open: BTreeMap::new(), shown: 0, found: Preview::default() };
    for (index, (name, reader)) in inputs.into_iter().enumerate() {
        sheet.read(index, reader, source).map_err(|source| PreviewFault::Read { name, source })?;
        if sheet.is_full() {
            break;
        }
    }
    sheet.finish()
}

/// A preview under construction.
struct Sheet<'d> {
    definition: &'d FeedDefinition,
    layout: Layout,
    router: FeedRouter,
    now: UtcTime,
    limit: usize,
    open: BTreeMap<Partition, (Totals, Vec<PreviewRecord>)>,
    shown: usize,
    found: Preview,
}

impl Sheet<'_> {
    fn is_full(&self) -> bool {
        self.shown >= self.limit
    }

    fn read(&mut self, input: usize, reader: impl Read, source: &SourceConfig) -> io::Result<()> {
        let mut reader = decompressed(reader)?.take(INPUT_BYTES_MAX);
        let mut decoder = Decoder::new(&source.format.dialect, &source.read);
        let mut piece_records = Decoded::new(source.read.schema());
        let mut bytes = Vec::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = read_piece(&mut reader, &mut piece)?;
            let got = piece.get(..read).unwrap_or_default();
            bytes.extend_from_slice(got);
            if read == 0 {
                decoder.finish(&mut piece_records);
            } else {
                decoder.push(got, &mut piece_records);
            }
            self.take(input, &piece_records, &bytes, decoder.position().byte);
            piece_records.clear();
            if read == 0 || self.is_full() {
                break;
            }
        }
        if let Some(problem) = decoder.head_problem() {
            self.found.unfit.get_or_insert((input, problem));
        }
        Ok(())
    }

    /// Takes what came out of the decoder, which has come to byte `end`, in the order of the input.
    fn take(&mut self, input: usize, decoded: &Decoded, bytes: &[u8], end: u64) {
        let starts = decoded.block.iter().map(|record| record.origin().byte);
        let mut starts: Vec<u64> = starts.chain(decoded.rejects.iter().map(|reject| reject.origin.byte)).collect();
        starts.sort_unstable();
        let ends = starts.iter().skip(1).copied().chain([end]);
        let (mut records, mut rejects) = (decoded.block.iter().peekable(), decoded.rejects.iter().peekable());
        for (from, to) in starts.iter().copied().zip(ends) {
            if self.is_full() {
                self.found.more = true;
                return;
            }
            if let Some(record) = records.next_if(|record| record.origin().byte == from) {
                self.record(input, record, raw_bytes(bytes, from, to));
            } else if let Some(Reject { origin, reason, raw }) = rejects.next() {
                let (origin, reason, raw) = (*origin, reason.clone(), raw.clone());
                self.reject(PreviewReject { input, origin, reason, raw });
            }
        }
    }

    fn record(&mut self, input: usize, record: Record<'_>, raw: &[u8]) {
        let origin = record.origin();
        let reason = match self.router.route(record, self.now) {
            Route::Filtered(_) => {
                self.found.filtered += 1;
                return;
            }
            Route::Rejected(fault) => fault.to_string(),
            Route::Accepted(partition, _) => match self.render(record, partition) {
                Ok(written) => {
                    let raw = raw.to_vec();
                    let record = PreviewRecord { input, origin, raw, written };
                    if let Some((_, records)) = self.open.get_mut(&partition) {
                        records.push(record);
                    }
                    self.shown += 1;
                    return;
                }
                Err(reason) => reason,
            },
        };
        self.reject(PreviewReject { input, origin, reason, raw: raw.to_vec() });
    }

    fn render(&mut self, record: Record<'_>, partition: Partition) -> Result<Vec<u8>, String> {
        let name = self.file_name(partition);
        if self.layout.record_uses_facts() {
            self.layout.begin_file(&facts(self.definition, partition, self.now, &name));
        }
        let layout = &mut self.layout;
        let (totals, _) = self.open.entry(partition).or_insert_with(|| (layout.totals(), Vec::new()));
        let mut written = Vec::new();
        layout.record(record, totals, &mut written).map_err(|fault| fault.to_string())?;
        Ok(written)
    }

    fn reject(&mut self, reject: PreviewReject) {
        self.found.reject_count += 1;
        if self.found.rejects.len() < self.limit {
            self.found.rejects.push(reject);
        }
    }

    fn file_name(&self, partition: Partition) -> String {
        let mut name = String::new();
        self.definition.name.render(&facts(self.definition, partition, self.now, ""), None, &mut name);
        name
    }

    fn finish(mut self) -> Result<Preview, PreviewFault> {
        for (partition, (totals, records)) in std::mem::take(&mut self.open) {
            if records.is_empty() {
                continue;
            }
            let file = self.file_name(partition);
            let facts = facts(self.definition, partition, self.now, &file);
            let (mut header, mut trailer) = (Vec::new(), Vec::new());
            let fault = |fault: crate::format::encode::RenderFault| PreviewFault::Frame(fault.to_string());
            self.layout.header(&facts, &totals, &mut header).map_err(fault)?;
            self.layout.trailer(&facts, &totals, &mut trailer).map_err(fault)?;
            self.found.hours.push(PreviewHour { partition, file, header, records, trailer });
        }
        Ok(self.found)
    }
}

fn facts<'f>(definition: &'f FeedDefinition, partition: Partition, now: UtcTime, file: &'f str) -> FileFacts<'f> {
    FileFacts { file, sequence: definition.sequence.first, ..names::facts(definition, partition, now) }
}

/// The bytes of a record without what follows it: line ends, blank lines.
fn raw_bytes(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(index(from)..index(to)).unwrap_or_default().trim_ascii_end()
}

fn decompressed<'r>(reader: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut reader = BufReader::new(reader);
    let gzip = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip { Box::new(flate2::read::MultiGzDecoder::new(reader)) } else { Box::new(reader) })
}

#[cfg(test)]
mod tests;
