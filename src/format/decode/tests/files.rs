//! Files that nobody here wrote, and hand-made twins for when they are absent.

use super::*;
use crate::record::Decimal;
use std::path::{Path, PathBuf};

/// Where the real data lies; says so when it is absent.
fn real_data() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the real data lies")]
    let found = std::env::var("HOURDROP_REAL_DATA").ok().map(PathBuf::from);
    if found.is_none() {
        println!("real data is absent (HOURDROP_REAL_DATA is not set): only the hand-made twin is checked");
    }
    found
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("directory") {
        let path = entry.expect("entry").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn format_file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("formats").join(name)).expect("format file")
}

fn sum(out: &Decoded, field: &str) -> String {
    let index = out.block.schema().index_of(field).expect("field");
    let numbers = out.block.iter().filter(|record| !record.field(index).is_empty());
    let sum = numbers.fold(Decimal::ZERO, |sum, record| {
        sum.plus(Decimal::parse(record.field(index)).expect("number")).expect("small")
    });
    sum.to_string()
}

#[test]
fn kamailio_call_records_are_read() {
    let format = format_file("kamailio-acc-cdrs.toml");
    let twin = "1730599949|1730600201|252.314000|77009000014|442018165999|TG442|1-23383@127.0.0.1|\"李%7C四\"\n\
        1730600223|1730600230|6.917000|8613|91|TG919|14-23383@127.0.0.1|\"\\\"\t\"\n1730600223|x\n";
    let (_, out) = decode(&format, twin.as_bytes());
    assert_eq!((out.block.len(), out.rejects.len(), sum(&out, "duration").as_str()), (2, 1, "259.231000"));
    assert_eq!(rows(&out)[0][7], "\"李|四\"");
    let Some(dir) = real_data() else { return };
    let (mut decoder, mut out) = decoder(&format);
    for file in ["A_acc_cdrs_1.log", "A_acc_cdrs_129.log", "A_acc_cdrs_130.log"] {
        decoder.resume_at(Position::default());
        decoder.push(&std::fs::read(dir.join("kamailio").join(file)).expect("file"), &mut out);
        decoder.finish(&mut out);
    }
    assert_eq!((out.block.len(), rejects(&out)), (2100, vec![]));
    assert_eq!(sum(&out, "duration"), "352697.741000");
    let times: Vec<i64> = out.block.iter().map(|record| record.time(0).expect("time").seconds()).collect();
    assert_eq!((times.iter().copied().min(), times.iter().copied().max()), (Some(1_730_599_949), Some(1_730_644_398)));
}

#[test]
fn generated_call_records_are_read() {
    let input = "call_id,record_type,calling,called,start_time,answer_time,end_time,duration_s,disposition,trunk_id,cell_id,\
        charge,currency,cause,status,note\n\
        1d66-a,MOC,+8617,+8618,2026-03-13T16:00:00+00:00,,1773417603,0,NOANSWER,TG001,46000-1-2,0.0000,CNY,17,0,\n\
        1d66-b,MTC,+8617,+8618,2026-03-13T16:00:01+00:00,1773417603,1773417903,300,ANSWERED,TG002,46000-1-2,1.2345,CNY,16,1,\
        \"said \"\"busy\"\", redial\"\n";
    let (_, out) = decode(&format_file("bench-cdr.toml"), input.as_bytes());
    assert_eq!((rejects(&out), out.block.len()), (vec![], 2));
    assert_eq!((sum(&out, "charge").as_str(), sum(&out, "duration").as_str()), ("1.2345", "300"));
    assert_eq!(rows(&out)[1][15], "said \"busy\", redial");
}

#[test]
fn other_real_files_have_the_known_counts_and_sums() {
    let Some(dir) = real_data() else { return };
    let number = |name: &str, column: usize| format!("{{ name = \"{name}\", column = {column}, number = true }},\n");
    let cases = [
        (
            "asterisk/cdr.csv",
            format!(
                "kind = \"delimited\"\nquote = '\"'\n[read]\nzone = \"UTC\"\nfields = [\n\
                 {{ name = \"start\", column = 10, time = \"%Y-%m-%d %H:%M:%S\" }},\n{}{}]",
                number("duration", 13),
                number("billsec", 14)
            ),
            218,
            vec![("duration", "41114"), ("billsec", "38947")],
        ),
        (
            "seismic/earthquakes_2016Q1.csv",
            "kind = \"delimited\"\n[read]\nheader = \"names\"\nzone = \"UTC\"\nfields = [\n\
             { name = \"DateTime\", time = \"%Y/%m/%d %H:%M:%S%.f\" }, { name = \"Magnitude\", number = true } ]"
                .to_owned(),
            11_350,
            vec![("Magnitude", "30093.30")],
        ),
        (
            "taxi/taxis_1-3200.csv",
            "kind = \"delimited\"\n[read]\nheader = \"names\"\nzone = \"America/New_York\"\nfields = [\n\
             { name = \"pickup\", time = \"%Y-%m-%d %H:%M:%S\" }, { name = \"total\", number = true },\n\
             { name = \"distance\", number = true } ]"
                .to_owned(),
            3200,
            vec![("total", "60222.45"), ("distance", "9408.18")],
        ),
        (
            "bandicoot/ego.csv",
            "kind = \"delimited\"\n[read]\nheader = \"names\"\nzone = \"UTC\"\nfields = [\n\
             { name = \"datetime\", time = \"%Y-%m-%d %H:%M:%S\" }, { name = \"call_duration\", number = true } ]"
                .to_owned(),
            314,
            vec![("call_duration", "266797")],
        ),
        (
            "web/nginxplus_status_1-60.jsonl",
            "kind = \"json-lines\"\n[read]\nfields = [\n{ name = \"timestamp\", time = \"epoch_ms\" },\n\
             { name = \"requests\", column = \"requests.total\", number = true } ]"
                .to_owned(),
            60,
            vec![("requests", "1131332402")],
        ),
    ];
    for (file, format, records, sums) in cases {
        let (_, out) = decode_in(&format, &std::fs::read(dir.join(file)).expect("file"), 4096);
        assert_eq!((out.block.len(), rejects(&out)), (records, vec![]), "{file}");
        for (field, expected) in sums {
            assert_eq!(sum(&out, field), expected, "{file} {field}");
        }
    }
}

#[test]
fn the_csv_spectrum_is_read_as_its_authors_expect() {
    let twins: [(&str, &[&str], &str); 4] = [
        ("a,b\n1,\"ha \"\"ha\"\" ha\"\n3,4\n", &["a", "b"], "1/ha \"ha\" ha;3/4"),
        ("a,b,c\n1,2,3\n\"Once upon \na time\",5,6\n7,8,9\n", &["a", "b", "c"], "1/2/3;Once upon \na time/5/6;7/8/9"),
        ("a,b,c\r\n1,\"\",\"\"\r\n2,3,4\r\n", &["a", "b", "c"], "1//;2/3/4"),
        ("first,zip\nJohn,08123", &["first", "zip"], "John/08123"),
    ];
    for (input, names, expected) in twins {
        let (_, out) = decode(&by_names(names), input.as_bytes());
        assert_eq!(rejects(&out), []);
        assert_eq!(rows(&out).iter().map(|row| row.join("/")).collect::<Vec<_>>().join(";"), expected);
    }
    let Some(dir) = real_data() else { return };
    let cases: Vec<PathBuf> = files_below(&dir.join("nasty/csv-spectrum"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    assert_eq!(cases.len(), 12);
    for path in cases {
        let input = std::fs::read(&path).expect("file");
        let mut expected = std::fs::read_to_string(path.with_extension("json")).expect("file");
        if !input.contains(&b'\r') {
            // This copy of `newlines_crlf.csv` has lost its CRs.
            expected = expected.replace("\\r\\n", "\\n");
        }
        let expected: serde_json::Value = serde_json::from_str(&expected).expect("JSON");
        let expected = expected.as_array().cloned().unwrap_or_else(|| vec![expected]);
        let mut names: Vec<&str> = expected[0].as_object().expect("object").keys().map(String::as_str).collect();
        // The number in this file is another one than in its JSON.
        names.retain(|name| *name != "Contact Phone Number");
        let (_, out) = decode(&by_names(&names), &input);
        assert_eq!(rejects(&out), [], "{}", path.display());
        let found: Vec<serde_json::Value> = rows(&out)
            .into_iter()
            .map(|row| names.iter().map(|name| (*name).to_owned()).zip(row.into_iter().map(Into::into)).collect())
            .map(serde_json::Value::Object)
            .collect();
        let expected: Vec<serde_json::Value> = expected
            .iter()
            .map(|object| names.iter().map(|name| ((*name).to_owned(), object[*name].clone())).collect())
            .map(serde_json::Value::Object)
            .collect();
        assert_eq!(found, expected, "{}", path.display());
    }
}

fn by_names(names: &[&str]) -> String {
    let fields: Vec<String> = names.iter().map(|name| format!("{{ name = \"{name}\" }}")).collect();
    let fields = fields.join(",\n");
    format!("kind = \"delimited\"\nquote = '\"'\n[read]\nheader = \"names\"\nfields = [\n{fields} ]")
}

/// Records and rejects of a file read as one column, three columns and JSON lines, in small and large chunks.
fn counts(bytes: &[u8], charset: &str, end: &str) -> Vec<(usize, usize)> {
    let keys = format!("charset = \"{charset}\"\nquote = '\"'\nline = {{ end = \"{end}\" }}");
    let json = format!("kind = \"json-lines\"\ncharset = \"{charset}\"\n[read]\nfields = [ {{ name = \"a\" }} ]");
    let formats = [columns(&keys, "", 1), columns(&keys, "extra_columns = \"reject\"", 3), json];
    let count = |format: &String| {
        let (decoder, out) = decode(format, bytes);
        let (_, again) = decode_in(format, bytes, 13);
        assert_eq!(out, again);
        assert!(decoder.pending.is_empty());
        let kept: usize = out.rejects.iter().map(|reject| reject.raw.len()).sum();
        assert!(out.block.bytes() + kept <= 3 * bytes.len() + 64, "no more memory than the input");
        (out.block.len(), out.rejects.len())
    };
    formats.iter().map(count).collect()
}

#[test]
fn nasty_files_are_decoded_or_rejected_but_never_lost() {
    type Twin = (&'static [u8], &'static str, &'static str, [(usize, usize); 2]);
    let twins: [Twin; 9] = [
        (b"\"Foo\",\"Bar\",\"Baz\"\r\"Biff\",\"Baff\",\"Boff\"\r\"Q\",\"T\",\"D\"", "UTF-8", "any", [(3, 0), (3, 0)]),
        (b"a,b,c\r1,2,3\r\"Once upon\ra time\",5,6\r", "UTF-8", "CR", [(3, 0), (3, 0)]),
        (b"a,b,c\r\r\n1,2,3\r\r\n", "UTF-8", "auto", [(2, 0), (2, 0)]),
        (b"\"No\",\"C\",\"T\"\n\"0\",\"he said:\"wonderful.\"\",\"A\"\n", "UTF-8", "auto", [(1, 1), (1, 1)]),
        (b"a,b,c\n1,\"first,,,\n\nsecond,,,\n\n", "UTF-8", "auto", [(4, 1), (1, 2)]),
        (b"a,b,c\n1,27,,\"I'm too long!\"\n,\"I'm too short!\"\n", "UTF-8", "auto", [(3, 0), (1, 2)]),
        (b"a,b,c\n1,2,3\n4,5,\xE9", "UTF-8", "auto", [(2, 1), (2, 1)]),
        (b"\xFF\xFEa\0,\0b\0\r\0\n\0c\0", "UTF-16LE", "any", [(2, 0), (0, 2)]),
        (&[0; 2366], "UTF-8", "auto", [(1, 0), (0, 1)]),
    ];
    for (bytes, charset, end, expected) in twins {
        assert_eq!(counts(bytes, charset, end)[..2], expected, "{}", bytes.escape_ascii());
    }
    let Some(dir) = real_data() else { return };
    let files: Vec<PathBuf> = ["nasty", "encodings"].iter().flat_map(|part| files_below(&dir.join(part))).collect();
    assert!(files.len() >= 44, "{}", files.len());
    for path in files {
        let bytes = std::fs::read(&path).expect("file");
        for charset in ["UTF-8", "GB18030", "Big5", "Shift_JIS", "windows-1252", "UTF-16LE", "UTF-16BE", "ASCII"] {
            for end in ["auto", "CR", "any"] {
                counts(&bytes, charset, end);
            }
        }
    }
}

#[test]
fn real_files_of_one_charset_decode_without_a_reject() {
    let Some(dir) = real_data() else { return };
    let cases = [
        ("encodings/big5_ude_1.txt", "Big5", 14),
        ("encodings/gb2312_mozilla_bug171813.html", "GB18030", 36),
        ("encodings/shift_jis_ude_2.txt", "Shift_JIS", 39),
        ("nasty/messytables/utf-16le_encoded.csv", "UTF-16LE", 0),
        ("nasty/data.table/gb18030.txt", "GB18030", 2),
        ("nasty/csvkit/test_latin1.csv", "windows-1252", 3),
    ];
    for (file, charset, lines) in cases {
        let format = columns(&format!("charset = \"{charset}\"\nseparator = \"\\u0001\""), "", 1);
        let (_, out) = decode(&format, &std::fs::read(dir.join(file)).expect("file"));
        assert_eq!(rejects(&out), [], "{file}");
        assert!(lines == 0 || out.block.len() == lines, "{file} {}", out.block.len());
    }
}
