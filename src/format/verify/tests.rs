//! Files as they are written, and files with one thing wrong.

use super::*;
use crate::format::encode::Layout;
use crate::format::encode::tests::{CALL, block, calls, facts, file, spec};
use crate::record::RecordBlock;
use proptest::prelude::*;

fn report(spec: &FormatSpec, bytes: &[u8]) -> VerifyReport {
    verify(spec, bytes).expect("report")
}

fn problems(spec: &FormatSpec, bytes: &[u8]) -> Vec<String> {
    report(spec, bytes).problems.iter().map(ToString::to_string).collect()
}

fn huaxin() -> (FormatSpec, String) {
    let spec = spec(include_str!("../../../formats/huaxin-voice.toml"));
    let mut whole = block(&CALL, &[]);
    calls().iter().take(3).for_each(|record| whole.push_record(record));
    let bytes = file(&spec, &whole).expect("file");
    let (text, _, _) = encoding_rs::GB18030.decode(&bytes);
    (spec, text.into_owned())
}

#[test]
fn files_that_were_written_are_good() {
    let (spec, text) = huaxin();
    let (bytes, _, _) = encoding_rs::GB18030.encode(&text);
    let found = report(&spec, &bytes);
    assert_eq!(found.problems, Vec::new());
    assert_eq!((found.lines, found.records, found.bytes), (5, 3, bytes.len() as u64));
    assert_eq!(found.sums.iter().map(|(name, sum)| format!("{name} {sum}")).collect::<Vec<_>>(), ["duration 259231"]);

    let spec = super::super::encode::tests::spec(include_str!("../../../formats/meridian-fixed.toml"));
    let found = report(&spec, &file(&spec, &calls()).expect("file"));
    assert_eq!(found.problems, Vec::new());
    assert_eq!((found.lines, found.records), (6, 4));
}

/// Replaces `from` by `to` in the Huaxin file and checks the first problem: it must point at the first place of
/// `marker` (the end of the file when that is empty) and say `expected`.
#[track_caller]
fn damage(from: &str, to: &str, marker: &str, expected: &str) {
    let (spec, text) = huaxin();
    assert!(text.contains(from), "{from}");
    let changed = text.replacen(from, to, 1);
    let at = if marker.is_empty() { changed.len() } else { changed.find(marker).expect("marker") };
    let (before, _, _) = encoding_rs::GB18030.encode(&changed[..at]);
    let (bytes, _, _) = encoding_rs::GB18030.encode(&changed);
    let report = report(&spec, &bytes);
    let first = report.problems.first().expect("a problem");
    assert_eq!(first.byte, before.len() as u64, "{first}");
    let cell = first.cell.as_ref().map(ToString::to_string).unwrap_or_default();
    let seen = format!("line {}{cell}: expected {}, found {}", first.line, first.expected, first.found);
    assert_eq!(seen, expected);
}

#[test]
fn totals_that_do_not_match_are_named() {
    damage("|252314|", "|252315|", "259231", "line 5, column 3 `duration`: expected the sum 259232, found 259231");
    damage("T|3|", "T|4|", "4|259231", "line 5, column 2 `records`: expected the count 3, found 4");
}

#[test]
fn values_of_the_wrong_shape_are_named_and_not_shown() {
    let decimals = "line 2, column 3 `duration`: expected a number with 0 decimals, found a number with 1 decimals";
    damage("|252314|", "|252.3|", "252.3", decimals);
    damage(
        "|252314|",
        "|secret|",
        "secret",
        "line 2, column 3 `duration`: expected a decimal number, found 6 characters of text",
    );
    let time = "line 2, column 1 `start_time`: expected a time in the layout of the format, found 14 digits";
    damage("20241103101229", "20241303101229", "20241303101229", time);
    damage("|4712", "|47a2", "47a2", "line 1, column 3: expected digits, found 4 characters of text");
    let control = "line 4, column 8 `name`: expected no control character, found a control character";
    damage("tab name", "tab\tname", "\"tab\t", control);
}

#[test]
fn lines_of_the_wrong_shape_are_named() {
    let text = "line 1, column 1: expected the constant text of the format, found 1 characters of text";
    damage("H|", "X|", "X|", text);
    damage("|TG442", "", "20241103101229|", "line 2: expected 8 columns, found 7 columns");
    damage("四\"\r\n", "四\"\n", "\n20241103101725", "line 3: expected the line end CRLF, found LF alone");
    damage("T|3|259231\r\n", "T|3|259231", "", "line 5: expected the line end CRLF, found the end of the file");
}

#[test]
fn a_file_without_its_trailer_is_not_good() {
    let (spec, text) = huaxin();
    let (bytes, _, _) = encoding_rs::GB18030.encode(text.strip_suffix("T|3|259231\r\n").expect("trailer"));
    let found = problems(&spec, &bytes);
    assert!(found.iter().any(|problem| problem.starts_with("line 4,")), "{found:#?}");
    assert_eq!(
        problems(&spec, b""),
        ["line 1, byte 0: expected at least 2 lines of header and trailer, found 0 lines"]
    );
}

#[test]
fn a_byte_that_is_not_in_the_charset_is_named() {
    let (spec, text) = huaxin();
    let (bytes, _, _) = encoding_rs::GB18030.encode(&text);
    let mut bytes = bytes.into_owned();
    let at = bytes.windows(2).position(|pair| pair == b"\xc0\xee").expect("李");
    bytes[at] = 0xff;
    let expected = format!("line 3, byte {at}: expected a character of gb18030, found another byte");
    assert_eq!(problems(&spec, &bytes).first(), Some(&expected));
}

#[test]
fn fixed_width_lines_are_checked_byte_by_byte() {
    let spec = spec(include_str!("../../../formats/meridian-fixed.toml"));
    let bytes = file(&spec, &calls()).expect("file");
    let changed = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        problems(&spec, &bytes)
    };
    let short = [&bytes[..200], &bytes[201..]].concat();
    assert_eq!(problems(&spec, &short)[0], "line 2, byte 122: expected a line of 120 bytes, found 119 bytes");
    let sum = "line 6, byte 621, bytes 12-23 `duration`: expected the sum 1262, found 262";
    assert_eq!(changed(122 + 71 + 3, b'1'), [sum]);
    let number = "line 2, byte 193, bytes 72-78 `duration`: expected a decimal number, found 7 characters of text";
    assert_eq!(changed(122 + 71 + 6, b' ')[0], number);
    let blank = "line 1, byte 27, bytes 28-120: expected the constant text of the format, found 93 characters of text";
    assert_eq!(changed(119, b'x'), [blank]);
    let bad = "line 2, byte 226, bytes 105-120 `name`: expected a character of windows-1252, found another byte";
    // windows-1252 as browsers read it has a character for every byte, so the twin is ASCII.
    assert_eq!(changed(122 + 104, 0xff), Vec::<String>::new(), "{bad}");
}

#[test]
fn json_lines_are_checked_by_key_and_type() {
    let text = "kind = \"json-lines\"\nrecord = [ { field = \"a\" }, { field = \"n\", decimals = 1 } ]\ntrailer = [ { count = \"record\" }, { sum = \"n\" } ]";
    let spec = spec(text);
    let bytes = file(&spec, &block(&["a", "n#"], &[&["x\"\\\t", "1.5"], &["", "2"]])).expect("file");
    assert_eq!(problems(&spec, &bytes), Vec::<String>::new());
    let text = String::from_utf8(bytes).expect("UTF-8");
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        problems(&spec, text.replacen(from, to, 1).as_bytes())
    };
    assert_eq!(
        changed("1.5", "\"1.5\"")[0],
        "line 1, byte 19, column 2 `n`: expected a JSON number, found a JSON text"
    );
    assert_eq!(
        changed("\"n\":2.0", "\"m\":2.0")[0],
        "line 2, byte 36, column 2 `n`: expected the key `n`, found another key"
    );
    assert_eq!(changed("{\"a\":\"\"", "{\"a\":\"\"x")[0], "line 2, byte 31: expected `,` or `}`, found something else");
    assert_eq!(changed("\"n\":3.5", "\"n\":3.6"), ["line 3, byte 58, column 2 `n`: expected the sum 3.5, found 3.6"]);
}

#[test]
fn many_problems_are_counted_and_few_are_kept() {
    let spec = spec("kind = \"delimited\"\nrecord = [ { field = \"a\", decimals = 0 } ]");
    let report = report(&spec, "x\n".repeat(1000).as_bytes());
    assert_eq!((report.problem_count, report.problems.len(), report.lines), (1000, PROBLEMS_MAX, 1000));
}

/// Formats whose rules reject or keep, so that what is read back is what was written.
const FAITHFUL: [&str; 9] = [
    "kind = \"delimited\"\nseparator = \"|\"",
    "kind = \"delimited\"\nseparator = \"||\"\ncontrols = \"keep\"",
    "kind = \"delimited\"\nquote = '\"'\ncontrols = \"keep\"\nline = { end = \"CRLF\" }",
    "kind = \"delimited\"\nquote = \"'\"\nquoting = \"always\"\nescape = '\\'\ncontrols = \"keep\"",
    "kind = \"delimited\"\nseparator = \"|~\"\nescape = '\\'",
    "kind = \"delimited\"\nseparator = \"|\"\nescape = { \"%\" = \"%25\", \"|\" = \"%7C\", \"\\n\" = \"%0A\" }\ncharset = \"GB18030\"",
    "kind = \"delimited\"\nseparator = \"\\t\"\ncharset = \"UTF-16LE\"\nline = { end = \"CRLF\" }",
    "kind = \"delimited\"\nseparator = \"|\"\nquote = '\"'\ncharset = \"Shift_JIS\"\ncontrols = \"keep\"",
    "kind = \"json-lines\"",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_verifies_and_reads_back(
        format in proptest::sample::select(&FAITHFUL[..]),
        rows in proptest::collection::vec(("[a|~\\\\\"',%7C25\n\r\t王表é😀 ]{0,6}", "-?[0-9]{1,6}(\\.[0-9]{1,3})?", "[|~a\\\\'\"\n]{0,3}"), 0..6),
    ) {
        let text = format!("{format}\nheader = [ {{ value = \"{{seq}}\", name = \"seq\" }} ]\nrecord = [ {{ field = \"a\" }}, {{ field = \"n\", decimals = 3 }}, {{ field = \"b\" }} ]\ntrailer = [ {{ count = \"record\" }}, {{ sum = \"n\", decimals = 3 }} ]");
        let spec = spec(&text);
        let rows: Vec<[&str; 3]> = rows.iter().map(|(a, n, b)| [a.as_str(), n.as_str(), b.as_str()]).collect();
        let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
        let block = block(&["a", "n#", "b"], &rows);
        let (bytes, written, sum) = write_what_fits(&spec, &block);
        let report = report(&spec, &bytes);
        prop_assert_eq!(&report.problems, &Vec::new());
        prop_assert_eq!(report.records, written.len() as u64);
        prop_assert_eq!(report.sums.first().map(|(_, sum)| *sum), Some(sum));
        prop_assert_eq!(read_back(&spec, &bytes), written);
    }

    #[test]
    fn fixed_width_lines_always_have_their_bytes(
        charset in proptest::sample::select(&["GBK", "UTF-8", "Big5", "windows-1252"][..]),
        name in "[a王明é山\t]{0,12}",
        number in "-?[0-9]{1,5}",
    ) {
        let text = format!("kind = \"fixed\"\ncharset = {{ name = \"{charset}\", unmappable = \"?\" }}\ncontrols = \" \"\nline = {{ bytes = 20 }}\nrecord = [ {{ at = \"1-9\", field = \"a\", too_long = \"cut\" }}, {{ at = \"10-20\", field = \"n\", fill = \"0\" }} ]\ntrailer = [ {{ at = \"1-20\", sum = \"n\", fill = \"0\" }} ]");
        let spec = spec(&text);
        let bytes = file(&spec, &block(&["a", "n#"], &[&[&name, &number]])).expect("file");
        prop_assert_eq!(bytes.len(), 42);
        prop_assert_eq!(report(&spec, &bytes).problems, Vec::new());
    }
}

/// Writes the records that can be written; returns their texts and the sum.
fn write_what_fits(spec: &FormatSpec, block: &RecordBlock) -> (Vec<u8>, Vec<[String; 2]>, Decimal) {
    let mut layout = Layout::compile(spec, block.schema(), facts().zone).expect("layout");
    let mut totals = layout.totals();
    let (mut body, mut written) = (Vec::new(), Vec::new());
    for record in block.iter() {
        if layout.record(record, &mut totals, &mut body).is_ok() {
            let text = |index| String::from_utf8(record.field(index).to_vec()).expect("UTF-8");
            written.push([text(0), text(2)]);
        }
    }
    let mut out = Vec::new();
    layout.header(&facts(), &totals, &mut out).expect("header");
    out.append(&mut body);
    layout.trailer(&facts(), &totals, &mut out).expect("trailer");
    (out, written, totals.sum(0))
}

/// The text columns of every record.
fn read_back(spec: &FormatSpec, bytes: &[u8]) -> Vec<[String; 2]> {
    let write = spec.write.as_ref().expect("write");
    let checker = check::Checker::new(&spec.dialect, write);
    let lines = checker.columns_of(bytes);
    let records = lines.get(1..lines.len() - 1).unwrap_or_default();
    records.iter().map(|columns| [columns[0].text.clone(), columns[2].text.clone()]).collect()
}
#[cfg(test)]
mod interop {
    use super::*;
    use crate::document::{Document, Problems, read_document};
    use crate::format::decode::{Decoded, Decoder, spec::read_spec};

    fn decode(text: &str, bytes: &[u8]) -> (Decoded, Option<String>) {
        let problems = Problems::default();
        let d = Document { name: "x".into(), text: text.into() };
        let read = read_document(d, &problems, |t| {
            let dialect = crate::format::dialect::Dialect::read(&t);
            let r = t.table("read").expect("read");
            let s = read_spec(&dialect, &r);
            r.finish();
            (dialect, s)
        });
        let found: Vec<_> = problems.take().into_iter().map(|p| p.message).collect();
        let (dialect, read) = read.unwrap();
        let read = read.unwrap_or_else(|| panic!("{found:?}"));
        let mut dec = Decoder::new(&dialect, &read);
        let mut out = Decoded::new(read.schema());
        dec.push(bytes, &mut out);
        dec.finish(&mut out);
        let t = dec.trailer_problem();
        (out, t)
    }

    #[test]
    fn zz_interop_formats() {
        let h = include_str!("../../../formats/huaxin-voice.toml");
        let mut whole = block(&CALL, &[]);
        calls().iter().take(3).for_each(|record| whole.push_record(record));
        let s = spec(h);
        let bytes = file(&s, &whole).unwrap();
        let (out, t) = decode(h, &bytes);
        assert_eq!((out.rejects.len(), t), (0, None), "{:?}", out.rejects);
        assert_eq!(file(&s, &out.block).unwrap(), bytes);
        let h = include_str!("../../../formats/meridian-fixed.toml");
        let s = spec(h);
        let bytes = file(&s, &calls()).unwrap();
        let (out, t) = decode(h, &bytes);
        assert_eq!((out.rejects.len(), t), (0, None), "{:?}", out.rejects);
        assert_eq!(file(&s, &out.block).unwrap(), bytes);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 3000, ..ProptestConfig::default() })]
        #[test]
        fn zz_interop_values(
            format in proptest::sample::select(&FAITHFUL[..]),
            rows in proptest::collection::vec(("[a|~\\\\\"',%7C25\n\r\t王表é😀 ]{0,6}", "-?[0-9]{1,6}(\\.[0-9]{1,3})?", "[|~a\\\\'\"\n]{0,3}"), 0..6),
        ) {
            let json = format.contains("json");
            let cols: [&str; 3] = if json { ["\"a\"", "\"n\"", "\"b\""] } else { ["1", "2", "3"] };
            let text = format!("{format}\nrecord = [ {{ field = \"a\" }}, {{ field = \"n\", decimals = 3 }}, {{ field = \"b\" }} ]\n[read]\nfields = [ {{ name = \"a\", column = {} }}, {{ name = \"n\", column = {}, number = true }}, {{ name = \"b\", column = {} }} ]\n", cols[0], cols[1], cols[2]);
            let s = spec(&text);
            let rows: Vec<[&str; 3]> = rows.iter().map(|(a, n, b)| [a.as_str(), n.as_str(), b.as_str()]).collect();
            let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
            let block = block(&["a", "n#", "b"], &rows);
            let (bytes, written, _) = write_what_fits(&s, &block);
            let (out, _) = decode(&text, &bytes);
            prop_assert!(out.rejects.is_empty(), "{:?} {:?}", out.rejects, String::from_utf8_lossy(&bytes));
            let got: Vec<[String; 2]> = out.block.iter().map(|r| [String::from_utf8(r.field(0).to_vec()).unwrap(), String::from_utf8(r.field(2).to_vec()).unwrap()]).collect();
            prop_assert_eq!(got, written);
        }
    }
}
