//! Fixed width and JSON lines.

use super::*;

const FIXED: &str = r#"kind = "fixed"
[read]
header = "skip"
trailer = { starts = "TRL", at = "4-7" }
fields = [
  { name = "who", at = "4-9", trim = true },
  { name = "seconds", at = "10-13", number = true, trim = true },
  { name = "note", at = "14-20", trim = true },
]"#;

#[test]
fn fixed_width_fields_stand_at_their_bytes() {
    let (decoder, out) = decode(FIXED, b"HDR\nCDRabc   0012note 1 \r\nCDRabcdef  7\nCDRx        3n\nTRL0003\n");
    let expected = [["abc", "0012", "note 1"], ["x", "3", "n"]];
    assert_eq!(rejects(&out), [(3, "field `seconds` reaches behind the end of the line (bytes 10-13)")]);
    let rows = rows(&out);
    assert_eq!(rows, expected);
    assert_eq!(decoder.trailer_problem(), None);
}

#[test]
fn a_declared_length_of_lines_is_checked() {
    let format = "kind = \"fixed\"\nline = { bytes = 4 }\ncharset = \"GBK\"\n[read]\nfields = [{ name = \"a\", at = \"1-2\" }, { name = \"b\", at = \"3-4\" }]";
    let (_, out) = decode(format, b"\xC0\xEEab\nabc\nabcde\na\xC0\xEEb\n");
    assert_eq!(rows(&out), [["李", "ab"]]);
    let expected = [
        (2, "the line has 3 bytes, expected 4"),
        (3, "the line has 5 bytes, expected 4"),
        (4, "field `a` holds bytes that are not of the file's charset (bytes 1-2)"),
    ];
    assert_eq!(rejects(&out), expected);
}

const JSON: &str = r#"kind = "json-lines"
[read]
fields = [
  { name = "at", column = "call.time.start", time = "rfc3339" },
  { name = "cost", column = "cost", number = true },
  { name = "who", column = "call.from" },
  { name = "flag" },
]"#;

#[test]
fn json_fields_are_found_under_their_paths() {
    let input = r#"{"call":{"time":{"start":"2026-01-01T00:00:00Z","zone":[1,{"x":2}]},"from":"+86\t\"1\" \u4e2d\ud83d\ude00"},"cost":0.10000000000000000,"other":{"cost":3}}
  {"cost": 12345678901234567890123, "flag": true, "call": null}

{"call.time":{"start":"2026-01-01T00:00:00Z"},"call.from":"x","cost":null}
"#;
    let (_, out) = decode(JSON, input.as_bytes());
    assert_eq!(rejects(&out), []);
    let rows = rows(&out);
    assert_eq!(rows[0], ["1767225600000000000", "0.10000000000000000", "+86\t\"1\" 中😀", ""]);
    assert_eq!(rows[1], ["", "12345678901234567890123", "", "true"]);
    assert_eq!(rows[2], ["1767225600000000000", "", "x", ""]);
}

#[test]
fn json_lines_that_are_no_objects_or_say_things_twice_are_rejected() {
    let secret = "8613800138000";
    let lines = [
        "[1]".to_owned(),
        format!("{{\"flag\": {secret}"),
        "{\"flag\":1,\"flag\":2}".to_owned(),
        "{\"call\":{\"from\":1},\"call.from\":2}".to_owned(),
        "{\"flag\":{\"a\":1}}".to_owned(),
        "{\"cost\":1e99}".to_owned(),
        "{\"flag\":\"\\ud83d\"}".to_owned(),
        "{} x".to_owned(),
        format!("{{\"flag\":\"{secret}\" {secret}}}"),
    ];
    let (_, out) = decode(JSON, lines.join("\n").as_bytes());
    assert_eq!(out.block.len(), 0);
    let found: Vec<&str> = out.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert_eq!(
        found[..8],
        [
            "the line is not a JSON object",
            "the line is not valid JSON at character 22",
            "field `flag` is there twice",
            "field `who` is there twice",
            "field `flag` is an object or a list",
            "field `cost` is not a decimal number",
            "field `flag` holds half of a surrogate pair",
            "the line is not valid JSON at character 4",
        ]
    );
    assert!(out.rejects.iter().all(|reject| !reject.reason.contains(secret)));
    assert_eq!(found.len(), 9);
}

#[test]
fn json_numbers_with_an_exponent_keep_their_value() {
    let cases = [
        ("5e-05", "0.00005"),
        ("-1.25E+3", "-1250"),
        ("1.5e1", "15"),
        ("1.5e0", "1.5"),
        ("12.345e-1", "1.2345"),
        ("-12.3e-2", "-0.123"),
        ("1e0", "1"),
        ("0.1e1", "01"),
    ];
    for (number, plain) in cases {
        let (_, out) = decode(JSON, format!("{{\"cost\":{number},\"flag\":{number}}}").as_bytes());
        assert_eq!((rows(&out)[0][1].as_str(), rows(&out)[0][3].as_str()), (plain, number));
    }
}

#[test]
fn json_texts_are_those_of_serde_json() {
    let texts = ["", "plain", "\"", "\\", "\u{8}\u{c}\n\r\t/", "中\u{0}\u{7f}", "😀é\u{FFFD}", "\\u0041"];
    for text in texts {
        for escaped in [serde_json::to_string(text).expect("JSON"), ascii_json(text)] {
            let (_, out) = decode(JSON, format!("{{\"flag\":{escaped}}}").as_bytes());
            assert_eq!(rows(&out)[0][3], text, "{escaped}");
        }
    }
}

fn ascii_json(text: &str) -> String {
    let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    format!("\"{}\"", units.concat())
}

#[test]
fn deep_nesting_elsewhere_is_skipped() {
    let lists = format!("{{\"x\":{}1{},\"flag\":1}}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{{\"flag\":2,\"x\":{}1{}}}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let (_, out) = decode(JSON, format!("{lists}\n{objects}\n").as_bytes());
    assert_eq!(rejects(&out), []);
    assert_eq!((rows(&out)[0][3].as_str(), rows(&out)[1][3].as_str()), ("1", "2"));
}
