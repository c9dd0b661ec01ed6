//! The sample data in the repository: made by the program beside it, readable with the formats beside it, and what its
//! description says.

use hourdrop::document::{Document, Problems};
use hourdrop::domain::period::Zone;
use hourdrop::domain::time::UtcTime;
use hourdrop::format::decode::{Decoded, Decoder};
use hourdrop::format::spec::{FormatSpec, read_format};
use hourdrop::record::{Decimal, RecordBlock};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../examples/generate_sample_calls/calls.rs"]
mod calls;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_in(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(project().join(directory)).expect("directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    paths
}

fn format(name: &str) -> FormatSpec {
    let text = fs::read_to_string(project().join("formats").join(format!("{name}.toml"))).expect("format file");
    let problems = Problems::default();
    let spec = read_format(Document { name: name.to_owned(), text }, name, &problems);
    assert_eq!(problems.take(), []);
    spec.expect("a format")
}

/// All records of the files, one block for each.
fn decode(format: &FormatSpec, files: &[PathBuf]) -> Vec<RecordBlock> {
    let read = format.read.as_deref().expect("a format that reads");
    let decode_one = |path: &PathBuf| {
        let mut decoder = Decoder::new(&format.dialect, read);
        let mut out = Decoded::new(read.schema());
        decoder.push(&fs::read(path).expect("file"), &mut out);
        decoder.finish(&mut out);
        assert_eq!((out.rejects.as_slice(), decoder.head_problem()), (&[][..], None), "{}", path.display());
        out.block
    };
    files.iter().map(decode_one).collect()
}

fn column<'a>(blocks: &'a [RecordBlock], name: &str) -> Vec<&'a str> {
    let index = blocks[0].schema().index_of(name).expect("a field");
    let fields = blocks.iter().flat_map(RecordBlock::iter).map(|record| record.field(index));
    fields.map(|bytes| std::str::from_utf8(bytes).expect("text")).collect()
}

fn seconds(blocks: &[RecordBlock], name: &str) -> Vec<i64> {
    let index = blocks[0].schema().index_of(name).expect("a field");
    let times = blocks.iter().flat_map(RecordBlock::iter).filter_map(|record| record.time(index));
    times.map(UtcTime::seconds).collect()
}

fn sum(blocks: &[RecordBlock], name: &str) -> Decimal {
    let numbers = column(blocks, name).into_iter().map(|text| Decimal::parse(text.as_bytes()).expect("a number"));
    numbers.reduce(|sum, number| sum.plus(number).expect("a sum")).expect("records")
}

#[test]
fn sample_calls_are_the_bytes_that_the_generator_writes() {
    let expected = calls::files(calls::SEED, calls::CALLS);
    let found = files_in("sample-data/calls");
    let name = |path: &PathBuf| path.file_name().expect("name").to_string_lossy().into_owned();
    let names: Vec<String> = found.iter().map(name).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    for (path, (name, content)) in found.iter().zip(&expected) {
        assert!(fs::read(path).expect("file") == content.as_bytes(), "{name} differs");
    }
    assert_ne!(calls::files(calls::SEED + 1, 10), calls::files(calls::SEED, 10));
}

#[test]
fn sample_calls_are_what_their_description_says() {
    let blocks = decode(&format("sample-calls"), &files_in("sample-data/calls"));
    let mut services = BTreeMap::new();
    for service in column(&blocks, "service") {
        *services.entry(service).or_insert(0) += 1;
    }
    assert_eq!(services, BTreeMap::from([("data", 677), ("sms", 810), ("voice", 2513)]));
    let mut ids = column(&blocks, "call_id");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4000);
    assert_eq!(sum(&blocks, "duration").to_string(), "1895426");
    assert_eq!(sum(&blocks, "charge").to_string(), "2974.2658");
    assert_eq!(4000 - seconds(&blocks, "answer_time").len(), 328);
    let description = fs::read_to_string(project().join("sample-data/README.md")).expect("description");
    for fact in
        ["4,000 call records", "2,513 voice", "810 short", "677 data", "1,895,426 s", "2,974.2658 EUR", "328 calls"]
    {
        assert!(description.contains(fact), "the description does not say {fact}");
    }
}

#[test]
fn sample_calls_cover_the_night_in_which_the_clocks_go_forward() {
    let blocks = decode(&format("sample-calls"), &files_in("sample-data/calls"));
    let berlin = Zone::parse("Europe/Berlin").expect("zone");
    let starts = seconds(&blocks, "start_time");
    let hours: Vec<(i64, i64)> =
        starts.iter().map(|at| (at.div_euclid(3600), at + i64::from(berlin.offset_at(*at)))).collect();
    let mut utc: Vec<i64> = hours.iter().map(|(hour, _)| *hour).collect();
    utc.sort_unstable();
    utc.dedup();
    assert_eq!(utc.len(), 31, "every hour has records");
    let two_o_clock = 1_774_746_000 + 3600; // as if 02:00 existed
    assert!(hours.iter().all(|(_, local)| !(two_o_clock..two_o_clock + 3600).contains(local)));
    let steps_back = starts.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(steps_back > 1000, "start times step back {steps_back} times");
    let stated = |block: &RecordBlock| column(std::slice::from_ref(block), "call_id").len();
    assert_eq!(blocks.last().map(stated), Some(2), "the last file holds late records only");
}

#[test]
fn kamailio_records_cover_the_hour_that_new_york_has_twice() {
    let logs: Vec<PathBuf> = files_in("sample-data/kamailio")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    let blocks = decode(&format("kamailio-acc-cdrs"), &logs);
    let starts = seconds(&blocks, "start_time");
    assert_eq!(starts.len(), 2100);
    let one_o_clock = 1_730_610_000; // 2024-11-03 01:00 -04:00, one hour before 01:00 -05:00
    for start in [one_o_clock, one_o_clock + 3600] {
        assert_eq!(starts.iter().filter(|at| (start..start + 3600).contains(*at)).count(), 170);
    }
}
