//! The stages, each with everything prepared that is not its own work.

use crate::calls;
use crate::unsynced::UnsyncedDisk;
use hourdrop::app::config;
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::progress::Silent;
use hourdrop::clock::{Clock, SystemClock};
use hourdrop::disk::{Disk, RealDisk, SyncPoint};
use hourdrop::document::{Document, Problems};
use hourdrop::domain::ids::Lsn;
use hourdrop::domain::period::Zone;
use hourdrop::domain::time::UtcTime;
use hourdrop::feed::definition::FeedDefinition;
use hourdrop::feed::router::{FeedRouter, Route};
use hourdrop::format::decode::{Decoded, Decoder};
use hourdrop::format::encode::Layout;
use hourdrop::format::spec::{FormatSpec, read_format};
use hourdrop::record::accepted::KIND_BATCH;
use hourdrop::record::{Accepted, AcceptedBatch, Origin, RecordBlock, Schema};
use hourdrop::spool::{OpenSegment, Spool, SpoolLimits, StoreId};
use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Bytes that are read, and of buffers that are handed on, at once.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes of frames that become durable together.
const GROUP_BYTES: usize = 8 << 20;
const STORE: StoreId = StoreId([7; 16]);

const CONFIGURATION: &str = r#"
state   = "state"
archive = "archive"
[source.switch]
files    = "calls.csv"
finished = "renamed"
format   = "bench-cdr"
[partner.billing]
deliver  = "drop"
[partner.billing.feed.cdr]
source    = "switch"
format    = "bench-out"
zone      = "+08:00"
hour_by   = "start_time"
starts_at = "2026-03-14T00:00:00+08:00"
name      = "CDR_{start:%Y%m%d%H}.txt"
late      = "quarantine"
"#;
const SOURCE: &str = include_str!("../../formats/bench-cdr.toml");
const DELIMITED: &str = include_str!("../kit/formats/bench-out.toml");
const FIXED: &str = include_str!("formats/fixed.toml");
const JSON: &str = include_str!("formats/json.toml");

/// A stage; running it once gives the bytes that count.
pub struct Stage<'a> {
    pub name: &'static str,
    /// Which bytes count.
    pub counted: &'static str,
    pub run: Box<dyn FnMut() -> u64 + 'a>,
}

/// What the stages work on.
pub struct Input {
    pub csv: Vec<u8>,
    source: FormatSpec,
    batches: Vec<AcceptedBatch>,
    /// A delimited file.
    rendered: Vec<u8>,
}

impl Input {
    pub fn new(records: u64) -> Self {
        let (csv, source) = (calls::csv(records), format(SOURCE));
        let batches = batches(&source, &csv);
        let decoded: usize = batches.iter().map(|batch| batch.block.len()).sum();
        assert_eq!(decoded as u64, records, "every record is decoded");
        let mut rendered = Vec::new();
        let mut layout = layout(DELIMITED, &schema(&source));
        let mut totals = layout.totals();
        for record in batches.iter().flat_map(|batch| batch.block.iter()) {
            layout.record(record, &mut totals, &mut rendered).expect("every record can be written");
        }
        Self { csv, source, batches, rendered }
    }

    fn blocks(&self) -> impl Iterator<Item = &RecordBlock> {
        self.batches.iter().map(|batch| &batch.block)
    }

    fn values(&self) -> u64 {
        self.blocks().map(|block| block.bytes() as u64).sum()
    }
}

/// All stages in the order in which a record meets them.
pub fn all<'a>(input: &'a Input, directory: &'a Path) -> Vec<Stage<'a>> {
    vec![
        Stage { name: "decode", counted: "input", run: Box::new(move || decode(input)) },
        Stage { name: "filter and route", counted: "values", run: route(input) },
        Stage {
            name: "frame write, unsynced",
            counted: "frames",
            run: Box::new(move || write_frames(input, directory, Arc::new(UnsyncedDisk)).1),
        },
        Stage {
            name: "frame write, synced",
            counted: "frames",
            run: Box::new(move || write_frames(input, directory, Arc::new(RealDisk)).1),
        },
        Stage { name: "frame read", counted: "frames", run: read_frames(input, directory) },
        Stage { name: "encode delimited", counted: "output", run: encode(input, DELIMITED) },
        Stage {
            name: "encode GB18030",
            counted: "output",
            run: encode(input, &DELIMITED.replace("separator", "charset = \"GB18030\"\nseparator")),
        },
        Stage { name: "encode fixed", counted: "output", run: encode(input, FIXED) },
        Stage { name: "encode JSON lines", counted: "output", run: encode(input, JSON) },
        Stage { name: "sha256", counted: "output", run: Box::new(move || hash(input)) },
        Stage { name: "the whole of once", counted: "input", run: Box::new(move || once(input, directory)) },
    ]
}

fn format(text: &str) -> FormatSpec {
    let problems = Problems::default();
    let document = Document { name: "format".to_owned(), text: text.to_owned() };
    read_format(document, "format", &problems).expect("a format without problems")
}

fn schema(source: &FormatSpec) -> Arc<Schema> {
    source.read.as_ref().expect("a format that reads").schema()
}

fn zone() -> Zone {
    Zone::parse("+08:00").expect("a zone")
}

fn layout(text: &str, schema: &Schema) -> Layout {
    Layout::compile(&format(text), schema, zone()).expect("a format for these records")
}

fn decode(input: &Input) -> u64 {
    let read = input.source.read.as_ref().expect("a format that reads");
    let mut decoder = Decoder::new(&input.source.dialect, read);
    let mut out = Decoded::new(read.schema());
    for piece in input.csv.chunks(PIECE_BYTES) {
        decoder.push(piece, &mut out);
        black_box(&out);
        out.clear();
    }
    decoder.finish(&mut out);
    black_box(&out);
    input.csv.len() as u64
}

/// The records in batches as intake makes them.
fn batches(source: &FormatSpec, csv: &[u8]) -> Vec<AcceptedBatch> {
    let read = source.read.as_ref().expect("a format that reads");
    let mut decoder = Decoder::new(&source.dialect, read);
    let mut batches = Vec::new();
    let mut before = Origin::default();
    let mut pieces = csv.chunks(PIECE_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let mut out = Decoded::new(read.schema());
        decoder.push(piece, &mut out);
        if pieces.peek().is_none() {
            decoder.finish(&mut out);
        }
        let position = decoder.position();
        let after = Origin { record: position.record, line: position.line, byte: position.byte };
        batches.push(AcceptedBatch {
            source: "switch".to_owned(),
            input: "cdr.csv".to_owned(),
            before,
            after,
            prefix_crc: 0,
            accepted_at: accepted_at(),
            only_feed: None,
            retried: Vec::new(),
            head: Vec::new(),
            block: out.block,
            rejects: out.rejects,
            lines: None,
        });
        before = after;
    }
    batches
}

/// A day after the first record.
fn accepted_at() -> UtcTime {
    UtcTime::from_seconds(1_773_504_000).expect("a time in range")
}

fn feed() -> FeedDefinition {
    let mut formats = toml::Table::new();
    formats.insert("out".to_owned(), DELIMITED.into());
    let settings = r#"
        source = "switch"
        where = 'disposition = "ANSWERED" and duration > 0'
        format = "out"
        zone = "+08:00"
        hour_by = "start_time"
        starts_at = "2026-03-14T00:00:00+08:00"
        name = "CDR_{seq}.txt"
    "#;
    let mut stored = toml::Table::new();
    stored.insert("feed".to_owned(), "billing/cdr".into());
    stored.insert("formats".to_owned(), formats.into());
    stored.insert("settings".to_owned(), settings.parse::<toml::Table>().expect("settings").into());
    FeedDefinition::from_stored(&stored.to_string()).expect("a feed")
}

fn route<'a>(input: &'a Input) -> Box<dyn FnMut() -> u64 + 'a> {
    let mut router = FeedRouter::new(vec![(i64::MIN, Arc::new(feed()))], None);
    router.prepare(&schema(&input.source));
    let values = input.values();
    Box::new(move || {
        let records = input.blocks().flat_map(RecordBlock::iter);
        let taken = records.filter(|record| matches!(router.route(*record, accepted_at()), Route::Accepted(..)));
        assert!(black_box(taken.count()) > 0, "some records pass the filter");
        values
    })
}

fn spool(disk: Arc<dyn Disk>, directory: &Path) -> (tempfile::TempDir, Spool) {
    let place = tempfile::tempdir_in(directory).expect("a temporary directory");
    let journal = place.path().join("journal");
    let spool = Spool::open(disk, &journal, STORE, SpoolLimits::default(), Lsn(0)).expect("a spool");
    (place, spool)
}

/// Writes all batches; gives the spool and the bytes of its frames.
fn write_frames(input: &Input, directory: &Path, disk: Arc<dyn Disk>) -> ((tempfile::TempDir, Spool), u64) {
    let (place, mut spool) = spool(disk, directory);
    let (mut payload, mut group, mut bytes) = (Vec::new(), 0, 0);
    for batch in &input.batches {
        payload.clear();
        batch.write(&mut payload);
        spool.append(KIND_BATCH, &payload).expect("appended");
        group += payload.len();
        bytes += payload.len() as u64;
        if group >= GROUP_BYTES {
            spool.sync().expect("synced");
            group = 0;
        }
    }
    spool.sync().expect("synced");
    ((place, spool), bytes)
}

fn read_frames<'a>(input: &Input, directory: &Path) -> Box<dyn FnMut() -> u64 + 'a> {
    let (written, bytes) = write_frames(input, directory, Arc::new(UnsyncedDisk));
    Box::new(move || {
        let (_, spool) = &written;
        let (mut open, mut payload) = (OpenSegment::default(), Vec::new());
        for lsn in (1..=spool.durable().0).map(Lsn) {
            let kind = spool.read(lsn, &mut open, &mut payload).expect("a sound frame").expect("a frame");
            black_box(Accepted::read(kind, &payload).expect("a batch"));
        }
        bytes
    })
}

fn encode<'a>(input: &'a Input, text: &str) -> Box<dyn FnMut() -> u64 + 'a> {
    let mut layout = layout(text, &schema(&input.source));
    let mut out = Vec::new();
    Box::new(move || {
        let mut totals = layout.totals();
        let mut bytes = 0;
        for record in input.blocks().flat_map(RecordBlock::iter) {
            layout.record(record, &mut totals, &mut out).expect("every record can be written");
            if out.len() >= PIECE_BYTES {
                bytes += black_box(&out).len() as u64;
                out.clear();
            }
        }
        bytes += black_box(&out).len() as u64;
        out.clear();
        bytes
    })
}

/// The whole job in fresh directories, everything durable: spool, archive and the partner's directory.
fn once(input: &Input, directory: &Path) -> u64 {
    let place = tempfile::tempdir_in(directory).expect("a directory");
    let path = |name: &str| place.path().join(name);
    for name in ["formats", "drop"] {
        RealDisk.create_dir_all(&path(name), SyncPoint::StateFile).expect("a directory");
    }
    let files = [
        ("calls.csv", input.csv.as_slice()),
        ("formats/bench-cdr.toml", SOURCE.as_bytes()),
        ("formats/bench-out.toml", DELIMITED.as_bytes()),
        ("hourdrop.toml", CONFIGURATION.as_bytes()),
    ];
    for (name, bytes) in files {
        RealDisk.create_new(&path(name)).and_then(|mut file| file.write_all(bytes)).expect("a file");
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let loaded = config::load(&path("hourdrop.toml"), clock.now()).expect("a configuration");
    let config = loaded.config.expect("a configuration without errors");
    let world = World::new(Arc::new(RealDisk), clock, Arc::new(Silent));
    let report = Exporter::open(config, &world, None, true).and_then(Exporter::once).expect("a pass");
    assert_eq!((report.exit_code(), report.sealed.batches), (0, 24), "a day of hours");
    input.csv.len() as u64
}

fn hash(input: &Input) -> u64 {
    let mut hash = Sha256::new();
    for piece in input.rendered.chunks(PIECE_BYTES) {
        hash.update(piece);
    }
    black_box(hash.finalize());
    input.rendered.len() as u64
}
