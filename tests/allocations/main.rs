//! In steady state no record costs an allocation: decoding, routing, noting for its hour, its frame, and its line in a file.
//!
//! A process of its own: its allocator counts. Counted is a second pass over the same records, when every buffer has its
//! size.
#![expect(clippy::expect_used, reason = "a test stops where something is not as it should be")]

#[path = "../../benches/stages/calls.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "the benchmarks write the records to files, too")]
mod calls;

use allocation_counter::measure;
use hourdrop::document::{Document, Problems};
use hourdrop::domain::ids::Lsn;
use hourdrop::domain::period::Zone;
use hourdrop::domain::time::UtcTime;
use hourdrop::feed::definition::FeedDefinition;
use hourdrop::feed::pending::FeedHours;
use hourdrop::feed::router::{FeedRouter, Route};
use hourdrop::format::decode::{Decoded, Decoder};
use hourdrop::format::encode::Layout;
use hourdrop::format::spec::{FormatSpec, read_format};
use hourdrop::record::accepted::write_block;
use hourdrop::record::{AcceptedBatch, Origin, RecordBlock};
use std::hint::black_box;
use std::sync::Arc;

const SOURCE: &str = include_str!("../../formats/bench-cdr.toml");
const LAYOUTS: [&str; 3] = [
    include_str!("../../benches/kit/formats/bench-out.toml"),
    include_str!("../../benches/stages/formats/fixed.toml"),
    include_str!("../../benches/stages/formats/json.toml"),
];
const RECORDS: u64 = 5000;

fn format(text: &str) -> FormatSpec {
    let document = Document { name: "format".to_owned(), text: text.to_owned() };
    read_format(document, "format", &Problems::default()).expect("a format")
}

fn feed() -> FeedDefinition {
    let text = format!(
        "feed = \"billing/cdr\"\n[formats]\nout = '''{}'''\n[settings]\nsource = \"switch\"\nformat = \"out\"\n\
         zone = \"+08:00\"\nhour_by = \"start_time\"\nstarts_at = \"2026-01-01T00:00:00Z\"\n\
         where = 'record_type in [\"MOC\", \"MTC\"] and duration >= 0'\nname = \"{{seq}}\"\nmanifest = false\n",
        LAYOUTS[0]
    );
    FeedDefinition::from_stored(&text).expect("a definition")
}

/// Far enough behind all records.
fn accepted_at() -> UtcTime {
    UtcTime::from_seconds(2_000_000_000).expect("a time")
}

/// Allocations of a second run.
fn in_steady_state(mut run: impl FnMut()) -> u64 {
    run();
    measure(run).count_total
}

fn decoded(source: &FormatSpec, csv: &[u8]) -> RecordBlock {
    let read = source.read.as_ref().expect("a format that reads");
    let (mut decoder, mut out) = (Decoder::new(&source.dialect, read), Decoded::new(read.schema()));
    decoder.push(csv, &mut out);
    decoder.finish(&mut out);
    assert_eq!((out.block.len() as u64, out.rejects.len()), (RECORDS, 0));
    out.block
}

#[test]
fn no_record_costs_an_allocation() {
    let (csv, source) = (calls::csv(RECORDS), format(SOURCE));
    let block = decoded(&source, &csv);

    let read = source.read.as_ref().expect("a format that reads");
    let (mut decoder, mut out) = (Decoder::new(&source.dialect, read), Decoded::new(read.schema()));
    // Behind the head the same records follow again and again, cut anywhere.
    let body = csv.iter().position(|byte| *byte == b'\n').map_or(&csv[..], |end| &csv[end + 1..]);
    decoder.push(&csv, &mut out);
    let decoding = in_steady_state(|| {
        out.clear();
        body.chunks(70_001).for_each(|piece| decoder.push(piece, &mut out));
    });
    assert_eq!((decoding, out.block.len() as u64), (0, RECORDS), "decoding");

    let mut router = FeedRouter::new(vec![(i64::MIN, Arc::new(feed()))], None);
    router.prepare(block.schema());
    let mut taken = 0;
    let routing = in_steady_state(|| {
        taken =
            block.iter().filter(|record| matches!(router.route(*record, accepted_at()), Route::Accepted(..))).count();
    });
    assert!(routing == 0 && taken > 1000, "routing: {routing} allocations, {taken} records taken");

    let mut frame = Vec::new();
    let framing = in_steady_state(|| {
        frame.clear();
        write_block(&block, &mut frame);
    });
    assert_eq!(framing, 0, "the frame");

    for text in LAYOUTS {
        let mut layout = Layout::compile(&format(text), block.schema(), Zone::UTC).expect("a layout that fits");
        let mut file = Vec::new();
        let mut totals = layout.totals();
        let writing = in_steady_state(|| {
            file.clear();
            for record in block.iter() {
                layout.record(record, &mut totals, &mut file).expect("a record that fits");
            }
        });
        assert_eq!((writing, black_box(&file).is_empty()), (0, false), "{}", &text[..60]);
    }
}

/// What a frame costs may grow with the hours in it, not with its records.
#[test]
fn noting_records_costs_allocations_for_hours_alone() {
    let source = format(SOURCE);
    let block = decoded(&source, &calls::csv(RECORDS));
    let batch = AcceptedBatch {
        source: "switch".to_owned(),
        input: "calls.csv".to_owned(),
        before: Origin::default(),
        after: Origin::default(),
        prefix_crc: 0,
        accepted_at: accepted_at(),
        only_feed: None,
        retried: Vec::new(),
        head: Vec::new(),
        block,
        rejects: Vec::new(),
        lines: None,
    };
    let mut feed = FeedHours::new(FeedRouter::new(vec![(i64::MIN, Arc::new(feed()))], None));
    let (mut lsn, mut hours) = (0, 0);
    let noting = in_steady_state(|| {
        lsn += 1;
        let note = feed.note(&batch, Lsn(lsn));
        assert!(note.rejects.is_empty());
        hours = note.shares.len() as u64;
    });
    // A list of records for each hour, which doubles its room when it is full.
    assert!(hours > 0 && noting < hours * 16 + 16, "{noting} allocations for {hours} hours");
}
