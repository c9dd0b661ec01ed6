//! Formats and records written down by hand, and the bytes they must give.

mod laid;

use super::*;
use crate::document::{Document, Problems};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::format::spec::read_format;
use crate::record::{FieldKind, Origin, RecordBlock, SchemaField};

/// A field for the tests: `name`, `name#unit` for a number, `name@` for a time in epoch seconds.
pub(in crate::format) fn block(fields: &[&str], rows: &[&[&str]]) -> RecordBlock {
    let field = |text: &&str| {
        let (name, kind, unit) = match (text.split_once('#'), text.strip_suffix('@')) {
            (Some((name, unit)), _) => (name, FieldKind::Number, unit),
            (None, Some(name)) => (name, FieldKind::Time, ""),
            (None, None) => (*text, FieldKind::Text, ""),
        };
        SchemaField { name: name.to_owned(), kind, unit: unit.to_owned() }
    };
    let schema = Arc::new(Schema { fields: fields.iter().map(field).collect() });
    let mut block = RecordBlock::new(Arc::clone(&schema));
    for (row, number) in rows.iter().zip(1..) {
        for (value, field) in row.iter().zip(&schema.fields) {
            match field.kind {
                FieldKind::Time => block.push_time(value.parse().ok().and_then(UtcTime::from_seconds)),
                FieldKind::Text | FieldKind::Number => block.push_field(value.as_bytes()),
            }
        }
        block.finish_record(Origin { record: number, line: number, byte: 0 });
    }
    block
}

pub(in crate::format) fn spec(text: &str) -> FormatSpec {
    let problems = Problems::default();
    let document = Document { name: "test.toml".to_owned(), text: text.to_owned() };
    let spec = read_format(document, "test", &problems);
    let found: Vec<String> = problems.take().into_iter().map(|p| format!("{}: {}", p.line(), p.message)).collect();
    spec.unwrap_or_else(|| panic!("{found:#?}"))
}

pub(in crate::format) fn facts() -> FileFacts<'static> {
    FileFacts {
        partner: "huaxin",
        feed: "voice",
        file: "HX_2024110310_04712.dat",
        partition: Partition { start: 1_730_599_200, end: 1_730_602_800 },
        zone: Zone::parse("Asia/Shanghai").expect("zone"),
        sealed_at: UtcTime::from_seconds(1_730_603_405).expect("range"),
        sequence: 4712,
        revision: 0,
        part: 1,
        parts: 1,
        previous_manifest: None,
        voided: &[],
    }
}

fn layout(spec: &FormatSpec, block: &RecordBlock) -> Layout {
    let zone = Zone::parse("Asia/Shanghai").expect("zone");
    Layout::compile(spec, block.schema(), zone).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The whole file, or the first fault.
pub(in crate::format) fn file(spec: &FormatSpec, block: &RecordBlock) -> Result<Vec<u8>, String> {
    let mut layout = layout(spec, block);
    let mut totals = layout.totals();
    let mut body = Vec::new();
    layout.begin_file(&facts());
    for record in block.iter() {
        layout.record(record, &mut totals, &mut body).map_err(|fault| fault.to_string())?;
    }
    let mut out = Vec::new();
    layout.header(&facts(), &totals, &mut out).map_err(|fault| fault.to_string())?;
    out.append(&mut body);
    layout.trailer(&facts(), &totals, &mut out).map_err(|fault| fault.to_string())?;
    Ok(out)
}

fn text_file(format: &str, fields: &[&str], rows: &[&[&str]]) -> Result<String, String> {
    file(&spec(format), &block(fields, rows)).map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
}

/// One line with the values of the fields `a` and `b`.
fn two(format: &str, a: &str, b: &str) -> Result<String, String> {
    let format = format!("{format}\nrecord = [ {{ field = \"a\" }}, {{ field = \"b\" }} ]");
    text_file(&format, &["a", "b"], &[&[a, b]])
}

fn compile_problems(format: &str, fields: &[&str]) -> Vec<String> {
    let block = block(fields, &[]);
    match Layout::compile(&spec(format), block.schema(), Zone::UTC) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|p| format!("{}: {}", p.line(), p.message)).collect(),
    }
}

pub(in crate::format) const CALL: [&str; 8] =
    ["start_time@", "end_time@", "duration#s", "caller", "callee", "trunk", "call_id", "name"];

pub(in crate::format) fn calls() -> RecordBlock {
    block(
        &CALL,
        &[
            &[
                "1730599949",
                "1730600201",
                "252.314000",
                "77009000014",
                "442018165999",
                "TG442",
                "1-23383@127.0.0.1",
                "\"\"",
            ],
            &[
                "1730600223",
                "1730600230",
                "6.917000",
                "86138000056",
                "919887335528",
                "TG919",
                "14-23383@127.0.0.1",
                "\"李|四\"",
            ],
            &[
                "1730600245",
                "1730600245",
                "0.000000",
                "91000000030",
                "86198584180",
                "TG861",
                "15-23383@127.0.0.1",
                "\"tab\tname\"",
            ],
            &[
                "1730600300",
                "1730600301",
                "1.000001",
                "1",
                "2",
                "TG1",
                "16-23383@127.0.0.1",
                "\"Müller 😀 é山田太郎 7%7C\"",
            ],
        ],
    )
}

#[test]
fn huaxin_voice_gives_the_golden_bytes() {
    let format = spec(include_str!("../../../formats/huaxin-voice.toml"));
    // A fraction of a millisecond cannot be written in whole milliseconds, and nothing is guessed.
    let fault = file(&format, &calls()).expect_err("1.000001 s");
    assert_eq!(fault, "cell `duration` (column 3) has more decimals than the format allows");

    let whole = block(&CALL, &[]);
    let mut whole = whole;
    for record in calls().iter().take(3) {
        whole.push_record(record);
    }
    let expected = "H|2024110310|4712\r\n\
        20241103101229|20241103101641|252314|77009000014|442018165999|TG442|1-23383@127.0.0.1|\"\"\r\n\
        20241103101703|20241103101710|6917|86138000056|919887335528|TG919|14-23383@127.0.0.1|\"李%7C四\"\r\n\
        20241103101725|20241103101725|0|91000000030|86198584180|TG861|15-23383@127.0.0.1|\"tab name\"\r\n\
        T|3|259231\r\n";
    let (expected, _, _) = encoding_rs::GB18030.encode(expected);
    assert_eq!(file(&format, &whole).as_deref(), Ok(&*expected));
}

#[test]
fn meridian_fixed_gives_the_golden_bytes() {
    let format = spec(include_str!("../../../formats/meridian-fixed.toml"));
    let bytes = file(&format, &calls()).expect("file");
    let blank = |count: usize| " ".repeat(count);
    let line = |caller: &str, callee: &str, start: &str, end: &str, rest: &str, name: &str| {
        format!("CDR{caller:<15}{callee:<15}{start}+0800{end}+0800{rest:<33}{name:<16}\r\n")
    };
    let expected = [
        format!("HDR202411031000+08000004712{}\r\n", blank(93)),
        line(
            "77009000014",
            "442018165999",
            "20241103101229",
            "20241103101641",
            "0000253TG442 1-23383@127.0.0.1",
            "\"\"",
        ),
        line(
            "86138000056",
            "919887335528",
            "20241103101703",
            "20241103101710",
            "0000007TG919 14-23383@127.0.0.1",
            "\"?|?\"",
        ),
        line(
            "91000000030",
            "86198584180",
            "20241103101725",
            "20241103101725",
            "0000000TG861 15-23383@127.0.0.1",
            "\"tab name\"",
        ),
        line("1", "2", "20241103101820", "20241103101821", "0000002TG1   16-23383@127.0.0.1", "\"Müller ? é????"),
        format!("TRL00000004000000000262{}\r\n", blank(97)),
    ]
    .concat();
    let (expected, _, _) = encoding_rs::WINDOWS_1252.encode(&expected);
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&expected));
    assert_eq!(bytes, &*expected);
    assert!(bytes.split_inclusive(|byte| *byte == b'\n').all(|line| line.len() == 122), "every line has 120 bytes");
}

#[test]
fn an_empty_file_has_its_header_and_a_trailer_of_zeros() {
    let huaxin = file(&spec(include_str!("../../../formats/huaxin-voice.toml")), &block(&CALL, &[]));
    assert_eq!(huaxin.as_deref(), Ok(&b"H|2024110310|4712\r\nT|0|0\r\n"[..]));
    let meridian = file(&spec(include_str!("../../../formats/meridian-fixed.toml")), &block(&CALL, &[])).expect("file");
    assert!(meridian.get(122..).is_some_and(|trailer| trailer.starts_with(b"TRL00000000000000000000  ")));
}

#[test]
fn a_refused_record_leaves_no_byte_and_no_total() {
    let format = spec(include_str!("../../../formats/huaxin-voice.toml"));
    let block = calls();
    let mut layout = layout(&format, &block);
    let mut totals = layout.totals();
    let mut out = b"before".to_vec();
    layout.record(block.get(0).expect("record"), &mut totals, &mut out).expect("written");
    let (bytes, before) = (out.clone(), totals.clone());
    layout.record(block.get(3).expect("record"), &mut totals, &mut out).expect_err("refused");
    assert_eq!((out, totals), (bytes, before));
}

#[test]
fn an_unprotected_separator_is_refused_and_never_shifts_columns() {
    let bare = "kind = \"delimited\"\nseparator = \"|\"";
    assert_eq!(two(bare, "a", "b"), Ok("a|b\n".to_owned()));
    let fault = two(bare, "x|y", "b").expect_err("refused");
    assert_eq!(fault, "cell `a` (column 1) holds the separator at character 2, and nothing protects it");
    let with = |rule: &str| two(&format!("{bare}\nseparators = \"{rule}\""), "x|y", "b|");
    assert_eq!(with("/"), Ok("x/y|b/\n".to_owned()));
    assert_eq!(with("drop"), Ok("xy|b\n".to_owned()));
}

#[test]
fn a_value_that_ends_like_a_long_separator_is_refused() {
    let long = "kind = \"delimited\"\nseparator = \"||\"";
    assert_eq!(two(long, "a|b", "c"), Ok("a|b||c\n".to_owned()));
    assert!(two(long, "a|", "c").is_err(), "a|||c would be read as a, |c");
    assert!(two(long, "a||b", "c").is_err());
    assert!(two(&format!("{long}\nseparators = \"-\""), "a|||b", "c").is_ok());
    assert!(two(&format!("{long}\nseparators = \"-\""), "a|||", "c").is_err());
    let escaped = format!("{long}\nescape = '\\'");
    assert_eq!(two(&escaped, "a|", "|||"), Ok("a\\|||\\|\\|\\|\n".to_owned()));
}

#[test]
fn quotes_are_doubled_and_written_when_needed() {
    let csv = "kind = \"delimited\"\nquote = '\"'";
    assert_eq!(two(csv, "plain", "a,b"), Ok("plain,\"a,b\"\n".to_owned()));
    assert_eq!(two(csv, "say \"hi\"", ""), Ok("\"say \"\"hi\"\"\",\n".to_owned()));
    assert_eq!(two(&format!("{csv}\nquoting = \"always\""), "", "b"), Ok("\"\",\"b\"\n".to_owned()));
    assert_eq!(two(&format!("{csv}\ncontrols = \"keep\""), "a\r\nb", "c"), Ok("\"a\r\nb\",c\n".to_owned()));
    let backslash = format!("{csv}\nescape = '\\'");
    assert_eq!(two(&backslash, "a\"b\\c", "d,"), Ok("\"a\\\"b\\\\c\",\"d,\"\n".to_owned()));
    let alone = "kind = \"delimited\"\nquote = '\"'\nrecord = [ { field = \"a\" } ]";
    assert_eq!(text_file(alone, &["a"], &[&[""]]), Ok("\"\"\n".to_owned()), "not an empty line");
}

#[test]
fn escapes_replace_in_one_pass_and_the_longest_first() {
    let format =
        "kind = \"delimited\"\nseparator = \"|\"\nescape = { \"%\" = \"%25\", \"|\" = \"%7C\", \"\\n\" = \"%0A\" }";
    assert_eq!(two(format, "a|b%7C", "x\ny"), Ok("a%7Cb%257C|x%0Ay\n".to_owned()));
    let character = "kind = \"delimited\"\nseparator = \"|\"\nescape = '\\'";
    assert_eq!(two(character, "a|b\\", "c"), Ok("a\\|b\\\\|c\n".to_owned()));
    assert!(two(&format!("{character}\ncontrols = \"keep\""), "a\nb", "c").is_err(), "nothing protects a line end");
    let longest = "kind = \"delimited\"\nescape = { \"a\" = \"1\", \"ab\" = \"2\", \"1\" = \"9\" }";
    assert_eq!(two(longest, "abа a1", ""), Ok("2а 19,\n".to_owned()));
}

#[test]
fn control_characters_follow_their_rule() {
    let with = |rule: &str| two(&format!("kind = \"delimited\"\ncontrols = \"{rule}\""), "a\tb\u{7f}", "c");
    let fault = two("kind = \"delimited\"", "a\tb", "c").expect_err("refused");
    assert_eq!(fault, "cell `a` (column 1) holds the control character U+0009 at character 2");
    assert_eq!(with(" "), Ok("a b ,c\n".to_owned()));
    assert_eq!(with("drop"), Ok("ab,c\n".to_owned()));
    assert_eq!(with("keep"), Ok("a\tb\u{7f},c\n".to_owned()));
    let tabs = "kind = \"delimited\"\nseparator = \"\\t\"\ncontrols = \"keep\"";
    assert_eq!(
        two(tabs, "a\tb", "c").expect_err("refused"),
        "cell `a` (column 1) holds the separator at character 2, and nothing protects it"
    );
}

#[test]
fn unmappable_characters_follow_their_rule() {
    let with = |rule: &str| {
        let charset = format!("charset = {{ name = \"GBK\", unmappable = \"{rule}\" }}");
        let format = format!("kind = \"delimited\"\n{charset}\nrecord = [ {{ field = \"a\" }}, {{ field = \"b\" }} ]");
        file(&spec(&format), &block(&["a", "b"], &[&["王😀", "😀"]]))
    };
    assert_eq!(with("?"), Ok(b"\xcd\xf5?,?\n".to_vec()));
    assert_eq!(with("drop"), Ok(b"\xcd\xf5,\n".to_vec()));
    assert_eq!(with("reject"), Err("cell `a` (column 1) holds a character at place 2 that is not in GBK".to_owned()));
}

#[test]
fn a_repeated_character_is_written_alike_every_time() {
    // U+738B and U+7B8B share a slot of the encoder's cache.
    let format = spec("kind = \"delimited\"\ncharset = \"GB18030\"\nrecord = [ { field = \"a\" } ]");
    let text = "王箋王箋王é😀é王";
    let (expected, _, _) = encoding_rs::GB18030.encode(text);
    let bytes = file(&format, &block(&["a"], &[&[text]])).expect("file");
    assert_eq!(bytes, [&*expected, b"\n"].concat());
}

#[test]
fn utf_16_files_have_separators_and_line_ends_of_two_bytes() {
    let format = spec(
        "kind = \"delimited\"\ncharset = \"UTF-16LE\"\nline = { end = \"CRLF\" }\nrecord = [ { field = \"a\" }, { field = \"b\" } ]",
    );
    let bytes = file(&format, &block(&["a", "b"], &[&["x", "王"]])).expect("file");
    assert_eq!(bytes, b"x\0,\0\x8b\x73\r\0\n\0");
}

/// One fixed-width cell of 6 bytes with the given options.
fn fixed(charset: &str, options: &str, field: &str, value: &str) -> Result<Vec<u8>, String> {
    let text = format!(
        "kind = \"fixed\"\ncharset = \"{charset}\"\nline = {{ bytes = 6 }}\nrecord = [ {{ at = \"1-6\", field = \"a\"{options} }} ]"
    );
    file(&spec(&text), &block(&[field], &[&[value]])).map(|mut line| {
        let end = line.iter().position(|byte| *byte == b'\n').expect("a line end");
        line.truncate(if charset == "UTF-16BE" { end - 1 } else { end });
        assert_eq!(line.len(), 6, "every line has its bytes");
        line
    })
}

#[test]
fn characters_of_two_bytes_are_never_split() {
    let cut = ", too_long = \"cut\"";
    assert_eq!(fixed("GBK", cut, "a", "王小明李"), Ok(b"\xcd\xf5\xd0\xa1\xc3\xf7".to_vec()));
    assert_eq!(fixed("GBK", cut, "a", "a王小明"), Ok(b"a\xcd\xf5\xd0\xa1 ".to_vec()));
    assert_eq!(fixed("GBK", &format!("{cut}, align = \"right\""), "a", "a王小明"), Ok(b" a\xcd\xf5\xd0\xa1".to_vec()));
    assert_eq!(fixed("GBK", "", "a", "王"), Ok(b"\xcd\xf5    ".to_vec()));
    assert_eq!(fixed("GBK", "", "a", "a王小明"), Err("cell `a` (bytes 1-6) has 7 bytes, the cell holds 6".to_owned()));
    assert_eq!(fixed("UTF-8", cut, "a", "é山😀"), Ok("é山 ".as_bytes().to_vec()));
    assert_eq!(fixed("UTF-16BE", "", "a", "王"), Ok(b"\x73\x8b\0 \0 ".to_vec()));
}

#[test]
fn a_wide_fill_character_must_fill_exactly() {
    let wide = ", fill = \"\u{3000}\"";
    assert_eq!(fixed("GBK", wide, "a", "王"), Ok(b"\xcd\xf5\xa1\xa1\xa1\xa1".to_vec()));
    assert_eq!(
        fixed("GBK", wide, "a", "a"),
        Err("cell `a` (bytes 1-6) leaves 5 bytes, which the fill character cannot fill".to_owned())
    );
}

#[test]
fn numbers_stand_right_and_signs_before_the_zeros() {
    let zeros = ", fill = \"0\"";
    let ok = |text: &str| Ok(text.as_bytes().to_vec());
    assert_eq!(fixed("ascii", "", "a#", "12"), ok("    12"));
    assert_eq!(fixed("ascii", zeros, "a#", "12"), ok("000012"));
    assert_eq!(fixed("ascii", zeros, "a#", "-12"), ok("-00012"));
    assert_eq!(fixed("UTF-16LE", zeros, "a#", "-1"), Ok(b"-\x000\x001\0".to_vec()));
    assert_eq!(fixed("ascii", ", align = \"left\"", "a#", "12"), ok("12    "));
    assert_eq!(fixed("ascii", &format!("{zeros}, decimals = 2, point = \"implied\""), "a#", "-1.5"), ok("-00150"));
    assert_eq!(fixed("ascii", zeros, "a", "-12"), ok("000-12"), "a text is not a number");
    assert!(fixed("ascii", zeros, "a#", "1234567").is_err());
    assert_eq!(
        fixed("ascii", zeros, "a#", ""),
        Err("cell `a` (bytes 1-6) is empty, which a number filled with zeros cannot show (set `default`)".to_owned())
    );
    assert_eq!(fixed("ascii", &format!("{zeros}, default = \"0\""), "a#", ""), ok("000000"));
    assert_eq!(fixed("ascii", "", "a#", ""), ok("      "));
}

#[test]
fn a_line_end_never_gets_into_a_fixed_width_line() {
    let format =
        "kind = \"fixed\"\ncontrols = \"keep\"\nline = { bytes = 3 }\nrecord = [ { at = \"1-3\", field = \"a\" } ]";
    assert_eq!(text_file(format, &["a"], &[&["a\tb"]]), Ok("a\tb\n".to_owned()));
    assert!(text_file(format, &["a"], &[&["a\nb"]]).is_err());
}

#[test]
fn sums_are_of_the_values_as_written() {
    let format = r#"
kind = "delimited"
record = [ { field = "duration", unit = "min", round = "up" }, { field = "charge", decimals = 2, round = "half_even", point = "implied" }, { field = "bytes" } ]
trailer = [ { count = "record" }, { count = "line" }, { sum = "duration" }, { sum = "duration", unit = "s" }, { sum = "charge" }, { sum = "charge", decimals = 2 }, { sum = "bytes", unit = "kB", decimals = 1 } ]
"#;
    let rows: [&[&str]; 3] = [&["61", "0.105", "1000"], &["1", "0.115", "100"], &["", "-1", ""]];
    let expected = "2,10,1000\n1,12,100\n,-100,\n3,4,3,180,-78,-0.78,1.1\n";
    assert_eq!(text_file(format, &["duration#s", "charge#", "bytes#B"], &rows), Ok(expected.to_owned()));
}

#[test]
fn a_total_that_does_not_fit_its_cell_is_told_apart() {
    let format = spec(
        "kind = \"fixed\"\nline = { bytes = 4 }\nrecord = [ { at = \"1-4\", field = \"a\" } ]\ntrailer = [ { at = \"1-4\", sum = \"a\" } ]",
    );
    let block = block(&["a#"], &[&["9999"], &["1"]]);
    let mut layout = layout(&format, &block);
    let mut totals = layout.totals();
    let mut out = Vec::new();
    for record in block.iter() {
        layout.record(record, &mut totals, &mut out).expect("written");
    }
    let before = out.clone();
    let fault = layout.trailer(&facts(), &totals, &mut out).expect_err("too wide");
    let reason = CellFault::TooLong { bytes: 5, width: 4 };
    assert_eq!(fault, RenderFault::Total { cell: Arc::from("a"), position: CellPosition::Bytes(1, 4), reason });
    assert_eq!(out, before);

    let inexact = "kind = \"delimited\"\nrecord = [ { field = \"a\" } ]\ntrailer = [ { sum = \"a\", unit = \"kB\" } ]";
    let fault = text_file(inexact, &["a#B"], &[&["1500"]]).expect_err("not exact");
    assert_eq!(fault, "the total in cell `a` (column 1) has more decimals than the format allows");
}

#[test]
fn totals_of_marked_cells_are_kept_without_a_trailer() {
    let format = spec(
        "kind = \"delimited\"\nrecord = [ { field = \"a\" }, { field = \"b\", total = true, multiply = \"100\" } ]",
    );
    let block = block(&["a#", "b#"], &[&["1", "0.25"], &["2", "1"]]);
    let mut layout = layout(&format, &block);
    let mut totals = layout.totals();
    for record in block.iter() {
        layout.record(record, &mut totals, &mut Vec::new()).expect("written");
    }
    let sums: Vec<String> = totals.sums().map(|(name, sum)| format!("{name}={sum}")).collect();
    assert_eq!((totals.records, sums), (2, vec!["b=125".to_owned()]));
}

#[test]
fn lookups_defaults_substrings_and_concatenations() {
    let format = r#"
kind = "delimited"
record = [
  { field = "trunk", substring = "1-3", lookup = "carrier" },
  { field = "result", default = "0" },
  { concat = [ { field = "trunk", substring = "4-9" }, { text = "-" }, { field = "result" } ], name = "both" },
  { value = "{seq:05}" },
  { count = "record" },
  { blank = true },
]
[lookup.carrier]
values = { TG4 = "VODA" }
"#;
    let fields = ["trunk", "result"];
    let expected = "VODA,7,42-7,04712,1,\n,0,-,04712,2,\n";
    assert_eq!(text_file(format, &fields, &[&["TG442", "7"], &["", ""]]), Ok(expected.to_owned()));
    let fault = text_file(format, &fields, &[&["XX", "7"]]).expect_err("refused");
    assert_eq!(fault, "cell `trunk` (column 1) is not in the lookup `carrier`");
    let keep = format!("{format}otherwise = \"keep\"\n");
    assert_eq!(text_file(&keep, &fields, &[&["XX", "7"]]), Ok("XX,7,-7,04712,1,\n".to_owned()));
    let other = format!("{format}otherwise = {{ text = \"OTHER\" }}\n");
    assert_eq!(text_file(&other, &fields, &[&["XX", "7"]]), Ok("OTHER,7,-7,04712,1,\n".to_owned()));
}

#[test]
fn a_required_cell_refuses_an_empty_value() {
    let format =
        "kind = \"delimited\"\nrecord = [ { field = \"a\", required = true }, { field = \"at\", required = true } ]";
    assert_eq!(text_file(format, &["a", "at@"], &[&["x", "0"]]), Ok("x,1970-01-01T08:00:00+08:00\n".to_owned()));
    assert!(text_file(format, &["a", "at@"], &[&["", "0"]]).is_err());
    assert_eq!(
        text_file(format, &["a", "at@"], &[&["x", ""]]),
        Err("cell `at` (column 2) is empty and must not be".to_owned())
    );
}

#[test]
fn json_lines_are_objects_with_keys_in_the_order_of_the_cells() {
    let format = r#"
kind = "json-lines"
header = [ { text = "H", name = "kind" }, { value = "{seq}", name = "sequence", as = "number" } ]
record = [ { field = "n" }, { field = "name" }, { field = "duration", as = "text" }, { field = "code", as = "number" }, { field = "at", time = "epoch_s", as = "number" } ]
trailer = [ { count = "record" }, { sum = "n" } ]
"#;
    let fields = ["n#", "name", "duration#s", "code", "at@"];
    let rows: [&[&str]; 2] = [&["007.50", "a\"\\\t\u{1}王", "1.0", "-05", "9"], &["", "", "", "", ""]];
    let expected = concat!(
        r#"{"kind":"H","sequence":4712}"#,
        "\n",
        r#"{"n":7.50,"name":"a\"\\\t\u0001王","duration":"1.0","code":-5,"at":9}"#,
        "\n",
        r#"{"n":null,"name":"","duration":"","code":null,"at":null}"#,
        "\n",
        r#"{"records":2,"n":7.50}"#,
        "\n"
    );
    assert_eq!(text_file(format, &fields, &rows), Ok(expected.to_owned()));
    let fault = text_file(format, &fields, &[&["1", "", "", "x", ""]]).expect_err("refused");
    assert_eq!(fault, "cell `code` (column 4) is not a decimal number");
}

#[test]
fn names_can_be_the_first_line() {
    let format = "kind = \"delimited\"\nquote = '\"'\nheader = \"names\"\nrecord = [ { field = \"a\" }, { field = \"b\", name = \"b, renamed\" } ]";
    assert_eq!(text_file(format, &["a", "b"], &[&["1", "2"]]), Ok("a,\"b, renamed\"\n1,2\n".to_owned()));
}

#[test]
fn headers_and_trailers_can_have_several_lines() {
    let format = "kind = \"delimited\"\nheader = [ [ { text = \"A\" } ], [ { text = \"B\" }, { count = \"line\" } ] ]\nrecord = [ { field = \"a\" } ]";
    assert_eq!(text_file(format, &["a"], &[&["1"]]), Ok("A\nB,3\n1\n".to_owned()));
    let compiled = layout(&spec(format), &block(&["a"], &[]));
    assert!(compiled.header_uses_totals() && !compiled.record_uses_facts() && !compiled.numbers_records());
}

#[test]
fn what_does_not_fit_the_source_is_reported_with_its_line() {
    let format = r#"kind = "delimited"
record = [
  { field = "callr" },
  { field = "caller", unit = "s" },
  { field = "caller", name = "c2", time = "%Y" },
  { field = "duration", unit = "MB" },
  { field = "count", name = "x", unit = "s" },
  { field = "duration", name = "d2", default = "none" },
  { text = "a,b" },
  { field = "caller", name = "c3", default = "a,b" },
]
trailer = [ { sum = "c3" }, { sum = "d2", unit = "B" }, { field = "caller" } ]
"#;
    let found = compile_problems(format, &["caller", "duration#s", "count#"]);
    let expected = [
        "3: the source has no field `callr`",
        "4: number options on a text; add `number = true` to the field in the source's format",
        "5: time options on a field that is no time; give it a `time` layout in the source's format",
        "6: a number in `s` cannot be written in `MB`",
        "7: the number has no unit in its source, so it cannot be written in `s`",
        "8: the cell is summed, so its `default` must be a number",
        "10: the cell is summed, so its `default` must be a number",
        "12: `c3` is no number in the source",
        "12: a number in `s` cannot be written in `B`",
        "12: a header or trailer has no record to take a field from",
        "9: the text \"a,b\" holds the separator at character 2, and nothing protects it",
        "10: `default` \"a,b\" holds the separator at character 2, and nothing protects it",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_format_that_only_reads_cannot_be_compiled_for_writing() {
    assert_eq!(
        compile_problems("kind = \"delimited\"\n[read]\nfields = [{ name = \"a\", column = 1 }]\n", &[]),
        ["1: the format describes no `record`, so nothing can be written with it"]
    );
}
