//! Records, lines, quotes, heads and trailers of delimited files.

use super::*;

fn row(fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| (*field).to_owned()).collect()
}

#[test]
fn records_tell_where_they_stood() {
    let (decoder, out) = decode(&columns(QUOTED, "", 2), b"a,b\n\n\"c\nd\",e\nf\ng,h");
    assert_eq!(rows(&out), [row(&["a", "b"]), row(&["c\nd", "e"]), row(&["g", "h"])]);
    let origins: Vec<_> = out.block.iter().map(|r| (r.origin().record, r.origin().line, r.origin().byte)).collect();
    assert_eq!(origins, [(1, 1, 0), (2, 3, 5), (4, 6, 15)]);
    assert_eq!(rejects(&out), [(5, "the record has 1 columns, expected at least 2")]);
    assert_eq!(out.rejects[0].raw, b"f");
    assert_eq!(decoder.position(), Position { byte: 18, line: 6, record: 4 });
}

#[test]
fn a_quote_that_is_never_closed_costs_one_line() {
    let mut input = b"\"a,b\n".to_vec();
    for number in 0..200 {
        input.extend_from_slice(format!("{number},x\n").as_bytes());
    }
    let (_, out) = decode(&columns(QUOTED, "", 2), &input);
    assert_eq!(rejects(&out), [(1, NOT_CLOSED)]);
    assert_eq!(out.rejects[0].raw, b"\"a,b");
    assert_eq!(out.block.len(), 200);
    let (_, out) = decode(&columns(QUOTED, "", 2), b"1,2\n\"a,b\n3,4\n");
    assert_eq!((out.block.len(), rejects(&out)), (2, vec![(2, NOT_CLOSED)]));
}

#[test]
fn a_quote_closed_by_the_next_stray_one_costs_one_line() {
    let (_, out) = decode(&columns(QUOTED, "", 2), b"\"5 inch,1\n\"4 inch\",2\n\"3\"x,1\n");
    assert_eq!(rejects(&out), [(1, STRAY_LATER), (3, STRAY)]);
    assert_eq!(rows(&out), [row(&["4 inch", "2"])]);
}

#[test]
fn a_record_has_at_most_64_lines() {
    let lines = |count: usize| format!("\"{}\",2\n1,2\n", "x\n".repeat(count - 1));
    let (_, out) = decode(&columns(QUOTED, "", 2), lines(64).as_bytes());
    assert_eq!((out.block.len(), rejects(&out)), (2, vec![]));
    let (_, out) = decode(&columns(QUOTED, "", 2), lines(65).as_bytes());
    assert_eq!(out.rejects[0].reason, NOT_CLOSED);
    assert_eq!(out.rejects[0].raw, b"\"x");
    assert_eq!(out.rejects.len(), 1 + 63 + 1, "then each `x`, then the closing quote with what follows");
    assert_eq!(rows(&out), [row(&["1", "2"])]);
}

#[test]
fn a_record_has_at_most_one_mebibyte() {
    let long = |bytes: usize| format!("{},2\n3,4\n", "x".repeat(bytes - 2));
    let (_, out) = decode(&columns(QUOTED, "", 2), long(RECORD_BYTES_MAX).as_bytes());
    assert_eq!((out.block.len(), rejects(&out)), (2, vec![]));
    let (decoder, out) = decode_in(&columns(QUOTED, "", 2), long(RECORD_BYTES_MAX * 3).as_bytes(), 65_536);
    assert_eq!(rejects(&out), [(1, TOO_LONG)]);
    assert_eq!(out.rejects[0].raw.len(), RECORD_BYTES_MAX);
    assert_eq!(rows(&out), [row(&["3", "4"])]);
    assert_eq!(decoder.position(), Position { byte: 3 * RECORD_BYTES_MAX as u64 + 5, line: 2, record: 2 });
    let quoted = format!("\"a\n{}\",2\n3,4\n", "x".repeat(RECORD_BYTES_MAX));
    for chunk in [65_536, usize::MAX] {
        let (_, out) = decode_in(&columns(QUOTED, "", 2), quoted.as_bytes(), chunk);
        assert_eq!(rejects(&out), [(1, NOT_CLOSED), (2, TOO_LONG)]);
        assert_eq!(rows(&out), [row(&["3", "4"])]);
    }
}

#[test]
fn a_line_without_end_is_decoded_in_bounded_memory() {
    let (mut decoder, mut out) = decoder(&columns(QUOTED, "", 2));
    for _ in 0..40 {
        decoder.push(&vec![b'x'; RECORD_BYTES_MAX / 2], &mut out);
        assert!(decoder.pending.capacity() <= 4 * RECORD_BYTES_MAX, "{}", decoder.pending.capacity());
        assert_eq!(decoder.position(), Position::default());
    }
    decoder.push(b"\n1,2\n", &mut out);
    assert_eq!((rejects(&out), out.block.len()), (vec![(1, TOO_LONG)], 1));
}

#[test]
fn blank_lines_are_no_records_unless_a_record_is_one_column() {
    let (_, out) = decode(&columns("", "", 2), b"\n\r\na,b\n\n");
    assert_eq!(out.block.len(), 1);
    let (_, out) = decode(&columns("", "", 1), b"\na\n\n");
    assert_eq!(rows(&out), [row(&[""]), row(&["a"]), row(&[""])]);
}

#[test]
fn columns_are_found_by_their_names() {
    let format = "kind = \"delimited\"\nquote = '\"'\n[read]\nheader = \"names\"\nskip_lines = 1\ncomment = \"#\"\n\
        fields = [ { name = \"end\" }, { name = \"who\", column = \"the caller\" } ]";
    let (decoder, out) =
        decode(format, b"\xEF\xBB\xBFexport \"of today\n# note\n\n\"the caller\", x ,end\n86,,5\n# end,of,it\n1,2\n");
    assert_eq!(rows(&out), [row(&["5", "86"])]);
    assert_eq!(rejects(&out), [(7, "the record has 2 columns, expected 3")]);
    assert_eq!(decoder.head_problem(), None);
    for (head, problem) in [
        ("x\nwho,start\n", "the header of 2 columns has no column `end`, `the caller`"),
        ("x\nend,end,the caller\n", "the header has more than one column `end`"),
        ("x\n\"end,the caller\n", "the line with the names of columns has a quote that is not closed"),
        ("x\n", "the file ends before the line with the names of its columns"),
        ("", "the file ends before the line with the names of its columns"),
    ] {
        let (decoder, out) = decode(
            format,
            format!("{head}1,2,3\n").replace(if head.len() < 3 { "1,2,3\n" } else { "\0" }, "").as_bytes(),
        );
        assert_eq!(decoder.head_problem().as_deref(), Some(problem), "{head}");
        assert_eq!((out.block.len(), out.rejects.len()), (0, 0));
        assert_eq!(decoder.position(), Position::default());
    }
}

#[test]
fn a_mark_of_another_charset_is_a_problem_of_the_file() {
    let (decoder, out) = decode(&columns("charset = \"GB18030\"", "", 2), b"\xEF\xBB\xBFa,b\n");
    assert_eq!(
        decoder.head_problem().as_deref(),
        Some("the file begins with the mark of UTF-8, which is not the declared charset")
    );
    assert_eq!(out.block.len() + out.rejects.len(), 0);
    let (decoder, out) = decode(&columns("charset = \"UTF-16LE\"", "", 2), b"\xFF\xFEa\0,\0b\0\n\0");
    assert_eq!((decoder.head_problem(), rows(&out)), (None, vec![row(&["a", "b"])]));
}

#[test]
fn extra_columns_are_rejected_or_ignored_as_declared() {
    let count = |read_keys: &str| decode(&columns("", read_keys, 2), b"1,2\n1,2,3\n1\n").1.block.len();
    assert_eq!(count(""), 2);
    assert_eq!(count("extra_columns = \"ignore\""), 2);
    assert_eq!(count("extra_columns = \"reject\""), 1);
    let format =
        "kind = \"delimited\"\n[read]\nheader = \"names\"\nextra_columns = \"ignore\"\nfields = [{ name = \"a\" }]";
    assert_eq!(decode(format, b"a,b\n1,2\n1,2,3\n1\n").1.block.len(), 2);
}

#[test]
fn values_are_checked_and_their_faults_named() {
    let format = r#"kind = "delimited"
[read]
zone = "America/New_York"
fields = [
  { name = "at", column = 1, time = "%Y-%m-%d %H:%M:%S", required = true },
  { name = "seconds", column = 2, number = true, trim = true },
  { name = "who", column = 3, null = "-", trim = true },
  { name = "epoch", column = 4, time = "epoch_s" },
]"#;
    let input = "2026-01-01 00:00:00, 7.50 , - ,1\n,1,a,\n2025-03-09 02:30:00,1,a,\n2024-11-03 01:30:00,1,a,\n\
        2026-02-30 00:00:00,1,a,\n2026-01-01 00:00:00,1e3,a,\n2026-01-01 00:00:00,1,a,9999999999999\n\
        2099-01-01 00:00:00,,x,0\n1970-01-01 00:00:00,1,x,\n";
    let (_, out) = decode(format, input.as_bytes());
    let kept: Vec<_> = rows(&out);
    assert_eq!(kept[0], row(&["1767243600000000000", "7.50", "", "1000000000"]));
    assert_eq!(kept[1][1..], row(&["", "x", "0"]));
    assert_eq!(kept.len(), 3);
    assert_eq!(
        rejects(&out),
        [
            (2, "field `at` is empty and required (column 1)"),
            (3, "field `at` does not exist in its time zone: clocks were put forward over it (column 1)"),
            (4, "field `at` happened twice in its time zone: clocks were put back over it (column 1)"),
            (5, "field `at` is not a date and time of the declared layout (column 1)"),
            (6, "field `seconds` is not a decimal number (column 2)"),
            (7, "field `epoch` is outside the years 1678 to 2261 (column 4)"),
        ]
    );
}

#[test]
fn a_trailer_is_no_record_and_is_checked() {
    let format = columns("separator = \"|\"", "trailer = { starts = \"T|\", count = 2 }", 2);
    let problem = |input: &str| {
        let (decoder, out) = decode(&format, input.as_bytes());
        (decoder.trailer_problem(), out.block.len())
    };
    assert_eq!(problem("a|b\nc|d\nT|0002|x\n"), (None, 2));
    assert_eq!(problem("a|b\nbad\nT|2"), (None, 1), "a rejected record is in the file, too");
    assert_eq!(problem("a|b\nT|2\n").0.as_deref(), Some("the trailer states 2 records, the file has 1"));
    assert_eq!(problem("a|b\nT|\n").0.as_deref(), Some("the trailer holds no number of records where the format says"));
    assert_eq!(problem("a|b\nc|d\n").0.as_deref(), Some("the trailer is missing"));
    assert_eq!(problem("a|b\nT|1\nc|d\n").0.as_deref(), Some("records follow the trailer"));
}

#[test]
fn bytes_that_are_not_of_the_charset_reject_their_record_only() {
    let (_, out) = decode(&columns(QUOTED, "", 2), b"a,b\n\xCA,c\n\"d\n\xCA\",e\nf,g\n\"\xCA\nh\",i\n");
    assert_eq!(rejects(&out), [(2, MALFORMED), (3, MALFORMED), (6, MALFORMED)]);
    assert_eq!(out.rejects[1].raw, b"\"d\n\xCA\",e");
    assert_eq!(out.block.len(), 2);
    let replaced = columns("charset = { name = \"UTF-8\", unmappable = \"?\" }", "", 2);
    assert_eq!(rows(&decode(&replaced, b"\xCA,c\n").1), [row(&["?", "c"])]);
}

#[test]
fn trail_bytes_that_look_like_separators_are_none() {
    // 0x83 0x7C is one katakana, 0x95 0x5C one kanji in Shift_JIS.
    let format = columns("charset = \"Shift_JIS\"\nseparator = \"|\"\nescape = '\\'", "", 2);
    let (_, out) = decode(&format, b"\x83\x7C|\x95\x5C\n");
    assert_eq!(rows(&out), [row(&["ポ", "表"])]);
}

#[test]
fn nul_bytes_are_ordinary() {
    assert_eq!(rows(&decode(&columns("", "", 2), b"a\0,\0\n").1), [row(&["a\0", "\0"])]);
}
