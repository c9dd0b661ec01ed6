//! What an input gives and what a frame of its lines gives back.

use super::*;
use crate::document::{Document, Problems};
use crate::format::decode::frames::FrameReader;
use crate::format::spec::{FormatSpec, read_format};
use crate::record::Accepted;
use crate::record::accepted::lines::KIND_LINES;
use crate::spool::frame::PAYLOAD_BYTES_MAX;
use proptest::prelude::*;

const FIELDS: &str = "fields = [ { name = \"a\", column = 1 }, { name = \"b\", column = 2, number = true } ]";
const NAMED: &str = "fields = [ { name = \"b\" }, { name = \"a\", required = true } ]";

/// Formats whose lines cannot be understood by themselves are among them: names of columns, quotes over several lines,
/// marks at the start, two bytes for a character.
fn formats() -> impl Strategy<Value = FormatSpec> {
    let texts = [
        format!("kind = \"delimited\"\nquote = '\"'\n[read]\nheader = \"names\"\n{NAMED}"),
        format!("kind = \"delimited\"\nquote = '\"'\ncharset = \"GBK\"\n[read]\nheader = \"names\"\n{NAMED}"),
        format!("kind = \"delimited\"\ncharset = \"UTF-16LE\"\n[read]\nheader = \"names\"\n{NAMED}"),
        format!("kind = \"delimited\"\nquote = '\"'\n[read]\nskip_lines = 2\ncomment = \"#\"\n{FIELDS}"),
        format!("kind = \"delimited\"\n[read]\ntrailer = {{ starts = \"T\", count = 2 }}\n{FIELDS}"),
        format!("kind = \"json-lines\"\n[read]\n{NAMED}"),
    ];
    prop::sample::select(texts.to_vec()).prop_map(|text| {
        let problems = Problems::default();
        let spec = read_format(Document { name: "test".to_owned(), text }, "test", &problems);
        assert_eq!(problems.take(), []);
        spec.expect("a format")
    })
}

fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "a,b\n",
        "b,a\n",
        "x,1\n",
        "x,1\r\n",
        "2,y\n",
        "1",
        ",",
        "\"",
        "\n",
        "# no record\n",
        "T,1\n",
        "\u{feff}",
        "李,3\n",
        "{\"a\":\"x\",\"b\":1}\n",
        "{\"a\":",
    ];
    let piece = prop::sample::select(pieces.to_vec());
    let texts = prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    (texts, any::<bool>()).prop_map(|(text, wide)| {
        if wide { text.encode_utf16().flat_map(u16::to_le_bytes).collect() } else { text.into_bytes() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_that_are_kept_become_the_same_records_again(spec in formats(), bytes in inputs(), chunk in 1usize..60) {
        let source = SourceId::parse("switch").expect("a name");
        let read = spec.read.as_ref().expect("a format that reads");
        let format = InputFormat { source: &source, name: "calls", dialect: &spec.dialect, read };
        let reading = InputReading { format: spec.name.clone(), text: spec.text.clone(), head: Vec::new() };
        let file = FileKey { device: 1, inode: 2 };
        let input = OpenInput::open(&format, Box::new(io::empty()), None).expect("open");
        let mut input = input.kept_as(file, Arc::new(reading));
        let now = UtcTime::from_nanos(7);
        let mut pieces: Vec<Piece> = bytes.chunks(chunk).map(|chunk| input.push(chunk, &source, now)).collect();
        pieces.push(input.end(&source, now));
        let mut frames = FrameReader::default();
        for piece in pieces {
            let Piece::Batch(mut batch) = piece else { continue };
            let lines = batch.lines.take().expect("its lines are kept");
            let start = usize::try_from(batch.before.byte).expect("small");
            let range = start..start + lines.bytes as usize;
            prop_assert_eq!(crc32c::crc32c(&bytes[range.clone()]), lines.crc);
            let mut payload = Vec::new();
            batch.write_without_lines(&lines, &mut payload);
            payload.extend_from_slice(&bytes[range]);
            prop_assert_eq!(frames.read(KIND_LINES, &payload), Ok(Accepted::Batch(*batch)));
        }
    }
}

#[test]
fn lines_of_which_some_are_missing_are_not_taken_for_fewer_records() {
    let source = SourceId::parse("switch").expect("a name");
    let text = format!("kind = \"delimited\"\n[read]\n{FIELDS}");
    let spec = read_format(Document { name: "test".to_owned(), text }, "test", &Problems::default()).expect("a format");
    let read = spec.read.as_ref().expect("a format that reads");
    let format = InputFormat { source: &source, name: "calls", dialect: &spec.dialect, read };
    let reading = InputReading { format: spec.name.clone(), text: spec.text.clone(), head: Vec::new() };
    let input = OpenInput::open(&format, Box::new(io::empty()), None).expect("open");
    let mut input = input.kept_as(FileKey { device: 1, inode: 2 }, Arc::new(reading));
    let Piece::Batch(batch) = input.push(b"x,1\ny,2\n", &source, UtcTime::MIN) else { panic!("two records") };
    let mut payload = Vec::new();
    batch.write_without_lines(batch.lines.as_ref().expect("kept"), &mut payload);
    for (lines, is_read) in [("x,1\ny,2\n", true), ("x,1\n", false), ("x,1y,2\n\n", false), ("", false)] {
        let whole = [payload.clone(), lines.as_bytes().to_vec()].concat();
        assert_eq!(FrameReader::default().read(KIND_LINES, &whole).is_ok(), is_read, "{lines:?}");
    }
}

/// A column whose values are numbers; what is wrong with one takes many more bytes than it has.
fn one_number() -> FormatSpec {
    let name = "seconds_of_the_call_as_the_switch_has_counted_them_without_those_that_nobody_pays";
    let text = format!("kind = \"delimited\"\n[read]\nfields = [ {{ name = \"{name}\", column = 1, number = true }} ]");
    read_format(Document { name: "test".to_owned(), text }, "test", &Problems::default()).expect("a format")
}

/// Reads up to the end. Gives the numbers of records and rejects and the place behind them, or why the input is unfit.
fn read_all(spec: &FormatSpec, bytes: Vec<u8>, resume: Option<ReadPosition>) -> Result<(usize, usize, Origin), String> {
    let source = SourceId::parse("switch").expect("a name");
    let read = spec.read.as_ref().expect("a format that reads");
    let format = InputFormat { source: &source, name: "calls", dialect: &spec.dialect, read };
    let mut before = resume.map_or_else(Origin::default, |resume| resume.after);
    let mut input = OpenInput::open(&format, Box::new(io::Cursor::new(bytes)), resume).expect("open");
    let (mut records, mut rejects, mut is_end) = (0, 0, false);
    while !is_end {
        let mut piece = input.next(&source, UtcTime::MIN).expect("readable");
        if matches!(piece, Piece::End) {
            assert!(resume.is_none() || !input.has_partial_record(), "what was read whole is handed out");
            is_end = true;
            piece = input.end(&source, UtcTime::MIN);
        }
        match piece {
            Piece::Batch(batch) => {
                let mut payload = Vec::new();
                batch.write(&mut payload);
                assert!(payload.len() <= PAYLOAD_BYTES_MAX, "{} bytes", payload.len());
                assert_eq!(batch.before, before, "nothing is left out");
                before = batch.after;
                records += batch.block.len();
                rejects += batch.rejects.len();
            }
            Piece::Nothing | Piece::End => {}
            Piece::Unfit(problem) => return Err(problem),
        }
    }
    Ok((records, rejects, before))
}

#[test]
fn lines_however_short_come_in_batches_that_fit_into_a_frame() {
    const LINES: usize = 700_000;
    for line in ["x\n", "\u{fffd}\n"] {
        let bytes = ["1\n", &line.repeat(LINES)].concat().into_bytes();
        let after = Origin { record: 1, line: 1, byte: 2 };
        let resume = ReadPosition { after, prefix_crc: crc32c::crc32c(b"1\n") };
        let end = Origin { record: 1 + LINES as u64, line: 1 + LINES as u64, byte: bytes.len() as u64 };
        assert_eq!(read_all(&one_number(), bytes.clone(), None), Ok((1, LINES, end)));
        assert_eq!(read_all(&one_number(), bytes, Some(resume)), Ok((0, LINES, end)), "after an interruption");
    }
}

#[test]
fn long_lines_that_wait_for_a_first_record_fit_into_a_frame_or_the_input_is_unfit() {
    let lines = |count: usize, bytes: usize| format!("{}\n", "x".repeat(bytes)).repeat(count).into_bytes();
    let end = |count: u64, bytes: u64| Origin { record: count, line: count, byte: count * bytes };
    assert_eq!(read_all(&one_number(), lines(900, 4000), None), Ok((0, 900, end(900, 4001))));
    let unfit = read_all(&one_number(), lines(900, 20_000), None);
    assert!(unfit.as_ref().is_err_and(|why| why.starts_with("none of its first")), "{unfit:?}");
}
