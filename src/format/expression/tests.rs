//! Filters as people write them, and records that pass or do not.

use super::*;
use crate::domain::time::UtcTime;
use crate::record::{FieldKind, Origin, RecordBlock, SchemaField};
use std::sync::Arc;

fn schema() -> Arc<Schema> {
    let field = |name: &str, kind| SchemaField { name: name.to_owned(), kind, unit: String::new() };
    Arc::new(Schema {
        fields: vec![
            field("service", FieldKind::Text),
            field("caller", FieldKind::Text),
            field("duration", FieldKind::Number),
            field("start", FieldKind::Time),
            field("code", FieldKind::Text),
            field("end of call", FieldKind::Time),
            field("in", FieldKind::Text),
        ],
    })
}

/// voice, +8613800138000 中é, 61.50, 2026-03-13T16:00:00Z, `code`; the rest is absent.
fn block(code: &str) -> RecordBlock {
    let mut block = RecordBlock::new(schema());
    block.push_field(b"voice");
    block.push_field("+8613800138000 中é".as_bytes());
    block.push_field(b"61.50");
    block.push_time(UtcTime::from_seconds(1_773_417_600));
    block.push_field(code.as_bytes());
    block.push_time(None);
    block.push_field(b"");
    block.finish_record(Origin::default());
    block
}

fn ask(text: &str, code: &str) -> Result<bool, String> {
    let expression = Expression::parse(text).map_err(|fault| format!("{:?} {fault}", fault.span))?;
    let filter = expression.compile(&schema()).map_err(|fault| format!("{:?} {fault}", fault.span))?;
    let block = block(code);
    filter.matches(block.get(0).expect("record")).map_err(|fault| fault.to_string())
}

#[test]
fn expressions_mean_what_they_say() {
    let cases = [
        ("service = \"voice\" and duration > 0", true),
        ("service == 'voice' && duration <= 61.5", true),
        ("service = \"voice\" OR service <> \"voice\"", true),
        ("service != \"voice\"", false),
        ("service < \"voicf\" and service > \"Voice\" and service >= \"voic\"", true),
        ("duration = 61.5 and duration = \"61.500\" and duration != 61", true),
        ("duration < -1 or duration >= 61.50", true),
        ("not service = \"sms\"", true),
        ("! (service = \"voice\" && duration = 0)", true),
        ("service = \"sms\" and service = \"x\" or service = \"voice\"", true),
        ("service = \"sms\" and (service = \"x\" or service = \"voice\")", false),
        ("not service = \"sms\" and service = \"sms\"", false),
        ("service in (\"sms\", \"voice\", \"data\")", true),
        ("service NOT IN (\"sms\", \"data\")", true),
        ("duration in (1, 61.5)", true),
        ("duration in (\"1\", 2)", false),
        ("code in (7, 8)", true),
        ("code in (\"7\")", false),
        ("code in (\"07\")", true),
        ("code > 6 and code < 10", true),
        ("start >= \"2026-03-14T00:00:00+08:00\" and start < \"2026-03-13T16:00:01Z\"", true),
        ("start in (\"2026-03-13T16:00:00Z\")", true),
        ("`end of call` is empty and start is not empty and `in` is empty", true),
        ("`end of call` > start or `end of call` <= start or `end of call` = start", false),
        ("`end of call` != start", true),
        ("`in` = 5 or `in` < 5 or `in` in (5)", false),
        ("`in` != 5 and `in` not in (5)", true),
        ("starts_with(caller, \"+86\") and ends_with(caller, \"中é\") and contains(caller, \"0013\")", true),
        ("starts_with(caller, \"86\") or contains(caller, \"x\")", false),
        ("substr(caller, 2, 2) = \"86\" and substr(caller, 2, 2) = 86", true),
        ("substr(caller, 16, 1) = \"中\" and substr(caller, 17, 9) = \"é\" and substr(caller, 90, 2) is empty", true),
        ("substr(caller, 1, 0) = \"\"", true),
        ("caller != service and service = service", true),
        ("starts_with(duration, \"61\")", true),
    ];
    for (text, expected) in cases {
        assert_eq!(ask(text, "07"), Ok(expected), "{text}");
    }
}

#[test]
fn quotes_and_backslashes_stand_in_texts() {
    assert_eq!(ask(r#"code = "say \"a\\b\" 'c'""#, "say \"a\\b\" 'c'"), Ok(true));
    assert_eq!(ask(r#"code = 'it\'s "x"'"#, "it's \"x\""), Ok(true));
}

#[test]
fn a_text_that_is_no_number_makes_the_record_undecidable() {
    assert_eq!(
        ask("code > 5", "abc"),
        Err("field `code` is compared with a number and is not a decimal number".to_owned())
    );
    assert_eq!(ask("service = \"sms\" and code > 5", "abc"), Ok(false), "the first false test decides");
    assert_eq!(ask("service = \"voice\" or code > 5", "abc"), Ok(true));
    let long = format!("code > 0.{}1", "0".repeat(17));
    assert!(ask(&long, &"9".repeat(37)).expect_err("too long").contains("more digits"));
}

#[test]
fn faults_show_their_place() {
    let cases = [
        ("", "0..0 the expression is empty"),
        ("servce = \"x\"", "0..6 unknown field `servce`; did you mean `service`?"),
        ("service", "7..7 expected a comparison such as `=`, `in (…)` or `is empty`"),
        ("service = ", "10..10 expected a field, a text in quotes or a number"),
        ("service = \"x", "10..12 the closing \" is missing"),
        ("service = \"\\n\"", "10..14 `\\` stands before a quote or another `\\` only"),
        ("(service = \"x\"", "14..14 expected `)`"),
        ("service = \"x\" service", "14..21 expected `and`, `or` or the end"),
        ("service not like \"x\"", "12..16 expected `in`"),
        ("service is full", "11..15 expected `empty`"),
        ("service in ()", "12..13 expected a field, a text in quotes or a number"),
        ("service in (caller)", "12..18 expected a text in quotes or a number"),
        ("duration > 5x", "11..13 `5x` is not a decimal number"),
        ("duration > \"five\"", "11..17 expected a number, because it is compared with one"),
        ("start > 5", "8..9 a time is compared with a time such as \"2026-03-14T00:00:00+08:00\""),
        ("start > \"2026-03-14\"", "8..20 a time is compared with a time such as \"2026-03-14T00:00:00+08:00\""),
        ("substr(start, 1, 4) = \"2026\"", "0..19 `start` is a time, which has no characters"),
        ("substr(caller, 0, 4) = \"2026\"", "15..16 expected a whole number of at least 1"),
        (
            "upper(caller) = \"X\"",
            "0..5 unknown function `upper`; known are starts_with, ends_with, contains and substr",
        ),
        ("starts_with(caller, 86)", "20..22 expected a text in quotes"),
        ("5 = \"5\"", "0..7 two constants are compared"),
        ("service ? 5", "8..11 `?` has no meaning here"),
        ("\"x\" is empty", "0..3 only a field can be empty"),
    ];
    for (text, expected) in cases {
        assert_eq!(ask(text, ""), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn nesting_is_bounded_and_length_is_not() {
    let deep = format!("{}service = \"voice\"{}", "(".repeat(64), ")".repeat(64));
    assert_eq!(ask(&deep, ""), Ok(true));
    for open in ["(", "not ", "!", "not ("] {
        let deep = format!("{}service = \"voice\"", open.repeat(100_000));
        assert!(ask(&deep, "").expect_err("too deep").contains("nested deeper than 64"));
    }
    let long = vec!["service = \"voice\""; 50_000].join(" and ");
    assert_eq!(ask(&long, ""), Ok(true));
}
