//! What comes out does not depend on the sizes of the chunks, nor on interruptions; and it is what the csv crate finds.

use super::*;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// Texts made of the characters that matter.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"a"[..],
        b"bc",
        b",",
        b",",
        b",",
        b"\"",
        b"\"\"",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\\",
        b"#",
        b"T,",
        b"1",
        b"\xC3\xA9",
        b"\xCA",
        b"|~|",
        b"\0",
        b"%7C",
        b" ",
    ]);
    let mark = prop::sample::select(vec![&b""[..], b"", b"", b"\xEF\xBB\xBF", b"\xFF\xFE", b"\xFE\xFF", b"\xEF"]);
    (mark, prop::collection::vec(piece, 0..120)).prop_map(|(mark, pieces)| [mark.to_vec(), pieces.concat()].concat())
}

fn formats() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![
        "",
        "quote = '\"'",
        "quote = '\"'\nescape = '\\'",
        "escape = '\\'",
        "separator = \"|~|\"\nquote = '\"'",
        "escape = { \",\" = \"%7C\" }",
        "charset = \"GBK\"\nquote = '\"'",
        "charset = { name = \"UTF-16LE\", unmappable = \"?\" }",
        "charset = { name = \"UTF-16BE\", unmappable = \"drop\" }\nquote = '\"'",
    ]);
    let ends = prop::sample::select(vec!["auto", "CR", "any"]);
    let read = prop::sample::select(vec![
        "",
        "comment = \"#\"",
        "trailer = { starts = \"T,\", count = 2 }",
        "skip_lines = 2\nheader = \"skip\"",
        "header = \"names\"",
    ]);
    let field = prop::sample::select(vec![
        "",
        "",
        ", required = true",
        ", trim = true",
        ", null = \"a\"",
        ", number = true",
        ", number = true, trim = true, required = true",
        ", time = \"epoch_s\"",
    ]);
    (keys, ends, read, prop::collection::vec(field, 1..4)).prop_map(|(keys, end, read, fields)| {
        columns_with(&format!("{keys}\nline = {{ end = \"{end}\" }}"), read, &fields)
    })
}

/// What comes out of an input whose lines are taken one by one.
fn strict(format: &str, input: &[u8]) -> (Decoder, Decoded) {
    let (mut decoder, mut out) = decoder(format);
    decoder.is_strict = true;
    decoder.push(input, &mut out);
    decoder.finish(&mut out);
    (decoder, out)
}

/// All files below a directory.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Files that other readers stumble over.
#[test]
fn lines_of_nasty_files_taken_together_are_what_each_is_by_itself() {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the real data lies")]
    let Ok(dir) = std::env::var("HOURDROP_REAL_DATA") else {
        println!("real data is absent (HOURDROP_REAL_DATA is not set)");
        return;
    };
    let files = files_below(&Path::new(&dir).join("nasty"));
    assert!(files.len() > 40, "{} files", files.len());
    let quoted = [
        "",
        "escape = '\\'",
        "separator = \";\"",
        "separator = \"\\t\"",
        "charset = \"GBK\"",
        "line = { end = \"any\" }",
    ];
    let keys = quoted.map(|keys| format!("quote = '\"'\n{keys}")).into_iter().chain([String::new()]);
    let formats: Vec<String> = keys.flat_map(|keys| [1, 3].map(|count| columns(&keys, "", count))).collect();
    let mut records = 0;
    for (path, format) in files.iter().flat_map(|path| formats.iter().map(move |format| (path, format))) {
        let input = std::fs::read(path).expect("a file");
        let (decoder, expected) = strict(format, &input);
        for chunk in [997, 64 << 10] {
            let (other, out) = decode_in(format, &input, chunk);
            assert!(out == expected, "{} in pieces of {chunk} with {format}", path.display());
            assert_eq!(other.position(), decoder.position(), "{}", path.display());
        }
        records += expected.block.len();
    }
    assert!(records > 1000, "{records} records");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_taken_together_are_what_each_is_by_itself(format in formats(), input in input(), chunk in 1..200usize) {
        let (strict, expected) = strict(&format, &input);
        let (decoder, out) = decode_in(&format, &input, chunk);
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(decoder.position(), strict.position());
        prop_assert_eq!(decoder.trailer_problem(), strict.trailer_problem());
    }

    #[test]
    fn chunks_of_any_size_give_the_same_records(format in formats(), input in input(), chunk in 1..9usize) {
        let (whole, expected) = decode(&format, &input);
        let (parts, out) = decode_in(&format, &input, chunk);
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(parts.position(), whole.position());
        prop_assert_eq!(parts.trailer_problem(), whole.trailer_problem());
        prop_assert_eq!(parts.head_problem(), whole.head_problem());
    }

    #[test]
    fn an_interrupted_file_goes_on_where_it_was(format in formats(), input in input(), cut in 0..200usize, chunk in 1..9usize) {
        let (whole, expected) = decode(&format, &input);
        let (mut first, mut out) = decoder(&format);
        for piece in input[..cut.min(input.len())].chunks(chunk) {
            first.push(piece, &mut out);
        }
        let position = first.position();
        let (mut second, mut thrown_away) = decoder(&format);
        let mut head = input.chunks(chunk);
        while position.byte > 0 && second.needs_head() {
            second.push(head.next().expect("the head is in the file"), &mut thrown_away);
        }
        second.resume_at(position);
        let from = usize::try_from(position.byte).expect("small");
        second.push(&input[from..], &mut out);
        second.finish(&mut out);
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(second.position(), whole.position());
        prop_assert_eq!(second.trailer_problem().is_some(), whole.trailer_problem().is_some());
    }

    #[test]
    fn records_and_rejects_account_for_every_line(input in input()) {
        let (decoder, out) = decode(&columns(QUOTED, "", 2), &input);
        let records = decoder.position().record;
        prop_assert_eq!(records, (out.block.len() + out.rejects.len()) as u64);
        let mut numbers: Vec<u64> = out.block.iter().map(|record| record.origin().record).collect();
        numbers.extend(out.rejects.iter().map(|reject| reject.origin.record));
        numbers.sort_unstable();
        prop_assert_eq!(numbers, (1..=records).collect::<Vec<_>>());
        for reject in &out.rejects {
            let at = usize::try_from(reject.origin.byte).expect("small");
            prop_assert!(input[at..].starts_with(&reject.raw));
        }
    }

    #[test]
    fn well_formed_files_are_read_as_the_csv_crate_reads_them(
        table in prop::collection::vec(prop::array::uniform3("[a-z,\"\n\r |é\\\\#]{0,8}"), 1..30),
        crlf: bool,
        always: bool,
    ) {
        let mut writer = csv::WriterBuilder::new()
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .from_writer(Vec::new());
        for record in &table {
            writer.write_record(record).expect("memory");
        }
        let bytes = writer.into_inner().expect("memory");
        let (_, out) = decode(&columns(QUOTED, "extra_columns = \"reject\"", 3), &bytes);
        prop_assert_eq!(rejects(&out), []);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
        let theirs: Vec<Vec<String>> =
            reader.records().map(|record| record.expect("csv").iter().map(str::to_owned).collect()).collect();
        prop_assert_eq!(&rows(&out), &theirs);
        prop_assert_eq!(rows(&out), table.iter().map(|record| record.to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn files_in_wide_charsets_are_read_as_their_utf8_twins(text in "[a-c,\"\n\r中é😀|]{0,60}", any: bool) {
        let keys = |charset: &str| {
            columns(&format!("charset = \"{charset}\"\nquote = '\"'\nline = {{ end = \"{}\" }}", if any { "any" } else { "auto" }), "", 2)
        };
        let expected = decode(&keys("UTF-8"), text.as_bytes()).1;
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let gb18030 = encoding_rs::GB18030.encode(&text).0.into_owned();
        for (charset, bytes) in [("UTF-16LE", little), ("UTF-16BE", big), ("GB18030", gb18030)] {
            let out = decode_in(&keys(charset), &bytes, 7).1;
            prop_assert_eq!(rows(&out), rows(&expected), "{}", charset);
            prop_assert_eq!(rejects(&out), rejects(&expected), "{}", charset);
        }
    }
}
