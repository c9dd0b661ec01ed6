//! Samples, and the format files that are guessed from them.

use super::*;
use crate::record::FieldKind;

/// The guess for a sample, all of which it must decode.
fn guess(sample: &[u8]) -> GuessedFormat {
    let guess = guess_format(sample, "sample.csv").expect("guess");
    assert_eq!(guess.rejects, 0, "{}", guess.text);
    guess
}

/// The lines of the text behind the first comment.
fn lines(sample: &[u8]) -> Vec<String> {
    guess(sample).text.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_delimited_file_with_a_header_is_recognised() {
    let sample = b"Call ID,start,Answer Time,duration_s,caller,note\n\
        a-1,2026-03-14T00:00:00+08:00,1773417605,12.5,8613800138000,\"x, y\"\n\
        a-2,2026-03-14T00:00:01+08:00,,0,8613800138001,\n";
    assert_eq!(
        lines(sample),
        [
            "kind = \"delimited\"",
            "separator = \",\"",
            "quote = '\"'",
            "[read]",
            "header = \"names\"",
            "fields = [",
            "  { name = \"call_id\", column = \"Call ID\" },",
            "  { name = \"start\", time = \"rfc3339\" },",
            "  { name = \"answer_time\", column = \"Answer Time\", time = \"epoch_s\" },",
            "  { name = \"duration_s\", number = true },",
            "  { name = \"caller\" },",
            "  { name = \"note\" },",
            "]",
        ]
    );
    assert_eq!(guess(sample).records, 2);
}

#[test]
fn separators_and_quotes_are_told_apart() {
    let keys = |sample: &str| {
        let all = lines(sample.as_bytes());
        all.into_iter()
            .filter(|line| line.starts_with("separator") || line.starts_with("quote") || line.starts_with("escape"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(keys("a|~|b|~|1\nc|~|d|~|2\n"), "separator = \"|~|\"");
    assert_eq!(keys("a;1,5;2\nb;2,5;3\n"), "separator = \";\"");
    assert_eq!(keys("a\t1, 5\t2\nb\t2\t3\n"), "separator = \"\\t\"");
    assert_eq!(keys("\"a;\";1\n\"b\";2\n"), "separator = \";\" quote = '\"'");
    assert_eq!(keys("a|5\" pipe|1\nb|\"x\" y|2\n"), "separator = \"|\"");
    assert_eq!(keys("1|\"M%7Cr\"|2\n3|\"\\\"\"|4\n"), "separator = \"|\" escape = { \"|\" = \"%7C\" }");
    assert_eq!(keys("\"a\\\"b\",1\n\"c\\\"\",2\n"), "separator = \",\" quote = '\"' escape = '\\'");
}

#[test]
fn what_a_sample_cannot_tell_is_marked() {
    let sample = "call;Zeit;n\n\u{e9}t\u{e9};03/04/2026 10:00:00;1\nb;05/06/2026 10:00:00;-\n";
    let latin: Vec<u8> = sample.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
    let found = guess(&latin);
    let expected = [
        "charset: it is not UTF-8; any other European charset is possible",
        "zone: the sample shows local times without an offset",
        "zeit: \"%m/%d/%Y %H:%M:%S\" fits as well",
    ];
    assert_eq!(found.unsure, expected);
    assert!(found.text.contains("charset = \"windows-1252\"   # unsure"), "{}", found.text);
    assert!(found.text.contains("{ name = \"n\", number = true, null = \"-\" }"), "{}", found.text);
}

#[test]
fn charsets_are_recognised() {
    let text = "主叫,时长\n李四,5\n张三,7\n";
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked: Vec<u8> = [b"\xFE\xFF".to_vec(), text.encode_utf16().flat_map(u16::to_be_bytes).collect()].concat();
    let gb = encoding_rs::GBK.encode(text).0.into_owned();
    let cases: [(&[u8], &str); 3] = [(&gb, "GB18030"), (&marked, "UTF-16BE"), (&wide, "UTF-16LE")];
    for (sample, charset) in cases {
        let sample = if charset == "UTF-16LE" { [b"\xFF\xFE", sample].concat() } else { sample.to_vec() };
        let found = guess(&sample);
        assert!(found.text.contains(&format!("charset = \"{charset}\"")), "{}", found.text);
        assert!(found.text.contains("{ name = \"时长\", number = true }"), "{}", found.text);
        assert_eq!(found.records, 2);
    }
    assert!(guess(format!("\u{FEFF}{text}").as_bytes()).text.contains("{ name = \"主叫\" }"));
}

#[test]
fn telephone_numbers_are_no_numbers_and_no_times() {
    let sample = b"2025550123,0123,+8613,310150123456789,1730599949,20241103021229\n\
        9175550199,0456,+8614,724150123456789,1730600201,20241103021641\n";
    let guess = guess(sample);
    let (_, read) = compile(&guess.text).expect("format");
    let kinds: Vec<FieldKind> = read.schema().fields.iter().map(|field| field.kind).collect();
    let text = FieldKind::Text;
    assert_eq!(kinds, [text, text, text, text, FieldKind::Time, FieldKind::Time]);
}

#[test]
fn json_lines_are_recognised() {
    let sample = b"{\"at\":1773417600123,\"call\":{\"from\":\"861\",\"s\":1.5},\"tags\":[1]}\n{\"at\":1773417600456,\"call\":null}\n";
    assert_eq!(
        lines(sample),
        [
            "kind = \"json-lines\"",
            "[read]",
            "fields = [",
            "  { name = \"at\", time = \"epoch_ms\" },",
            "  { name = \"call_from\", column = \"call.from\", number = true },",
            "  { name = \"call_s\", column = \"call.s\", number = true },",
            "]",
        ]
    );
}

#[test]
fn lines_before_the_header_are_skipped_and_a_cut_sample_is_no_trouble() {
    let mut sample = b"export of today\n\nname,seconds\n".to_vec();
    for number in 0..20_000 {
        sample.extend_from_slice(format!("x{number},{number}\n").as_bytes());
    }
    let found = guess(&sample);
    assert!(found.text.contains("skip_lines = 2\nheader = \"names\""), "{}", found.text);
    assert!(found.records > 5000);
}

#[test]
fn what_is_no_text_is_refused() {
    for bad in [&b""[..], &[0x1F, 0x8B, 8, 0], &[0, 1, 2, 3, 4, 0, 0, 7], b"\n\n\n"] {
        assert!(guess_format(bad, "x").is_err(), "{}", bad.escape_ascii());
    }
}

#[test]
fn real_files_are_guessed() {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the real data lies")]
    let Ok(dir) = std::env::var("HOURDROP_REAL_DATA") else {
        println!("real data is absent (HOURDROP_REAL_DATA is not set)");
        return;
    };
    let dir = std::path::Path::new(&dir);
    let cases = [
        ("kamailio/A_acc_cdrs_129.log", "time = \"epoch_s\"", true),
        ("kamailio/A_acc_129.log", "column = 7, time = \"epoch_s\"", true),
        ("asterisk/cdr.csv", "column = 10, time = \"%Y-%m-%d %H:%M:%S\"", true),
        ("bandicoot/ego.csv", "name = \"datetime\", time", true),
        ("seismic/earthquakes_2016Q1.csv", "time = \"%Y/%m/%d %H:%M:%S%.f\"", true),
        ("taxi/taxis_1-3200.csv", "name = \"pickup\", time = \"%Y-%m-%d %H:%M:%S\"", true),
        ("web/nginxplus_status_1-60.jsonl", "name = \"timestamp\", time = \"epoch_ms\"", true),
        ("nasty/csvkit/mac_newlines.csv", "line = { end = \"CR\" }", true),
        ("nasty/messytables/utf-16le_encoded.csv", "charset = \"UTF-16LE\"", true),
        ("ipdr/testVOIP.csv", "skip_lines = 2", true),
        ("nasty/csvkit/bad.csv", "header = \"names\"", false),
    ];
    for (file, expected, clean) in cases {
        let sample = std::fs::read(dir.join(file)).expect("file");
        let found = guess_format(&sample, file).expect("guess");
        assert!(found.text.contains(expected), "{file}\n{}", found.text);
        assert!(!clean || found.rejects == 0, "{file} {}\n{}", found.rejects, found.text);
    }
    for group in ["csv-spectrum", "csvkit", "csvlint", "data.table", "messytables", "arrow-fuzz"] {
        for entry in std::fs::read_dir(dir.join("nasty").join(group)).expect("directory") {
            let path = entry.expect("entry").path();
            let sample = std::fs::read(&path).expect("file");
            if let Err(problem) = guess_format(&sample, "x") {
                assert!(!problem.contains("compile"), "{} {problem}", path.display());
            }
        }
    }
}
