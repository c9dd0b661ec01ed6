//! Lines that are laid at once are those that come of putting value by value.

use super::*;
use proptest::prelude::*;

/// Layouts of three fields: a text, a number and a time.
const FORMATS: [&str; 15] = [
    "kind = \"delimited\"\nseparator = \"|\"",
    "kind = \"delimited\"\nseparator = \"|\"\nquote = '\"'\ncontrols = \"keep\"",
    "kind = \"delimited\"\nseparator = \"|\"\nquote = '\"'\nquoting = \"always\"",
    "kind = \"delimited\"\nseparator = \"|\"\nescape = '\\'\ncontrols = \"?\"",
    "kind = \"delimited\"\nseparator = \"|\"\nescape = { \"|\" = \"%7C\" }",
    "kind = \"delimited\"\nseparator = \"::\"",
    "kind = \"delimited\"\nseparator = \"|\"\ncharset = \"GB18030\"",
    "kind = \"delimited\"\nseparator = \"|\"\ncharset = { name = \"US-ASCII\", unmappable = \"?\" }",
    "kind = \"delimited\"\nseparator = \"|\"\ncharset = \"UTF-16LE\"",
    "kind = \"json-lines\"",
    "kind = \"json-lines\"\ncontrols = \"drop\"",
    "kind = \"json-lines\"\ncharset = \"GBK\"",
    "kind = \"fixed\"\nline = { bytes = 60 }",
    "kind = \"fixed\"\nline = { bytes = 60 }\ncharset = \"GBK\"",
    "kind = \"fixed\"\nline = { bytes = 60 }\ncharset = { name = \"windows-1252\", unmappable = \"?\" }",
];

/// The cells of a record line, for lines without places and with them.
const CELLS: [[&str; 2]; 8] = [
    ["{ field = \"a\" }", "{ at = \"1-60\", field = \"a\" }"],
    [
        "{ field = \"a\" },\n{ field = \"n\" },\n{ field = \"t\" }",
        "{ at = \"1-10\", field = \"a\" },\n{ at = \"11-20\", field = \"n\" },\n{ at = \"21-60\", field = \"t\" }",
    ],
    [
        "{ field = \"n\", total = true },\n{ field = \"a\", required = true }",
        "{ at = \"1-9\", field = \"n\", fill = \"0\", total = true },\n{ at = \"10-60\", field = \"a\", too_long = \"cut\" }",
    ],
    [
        "{ field = \"t\", time = \"%Y%m%d%H%M%S\" },\n{ field = \"n\", decimals = 2, round = \"half_up\" },\n{ field = \"a\" }",
        "{ at = \"1-14\", field = \"t\", time = \"%Y%m%d%H%M%S\" },\n{ at = \"15-30\", field = \"n\", decimals = 2, \
         round = \"half_up\", fill = \"0\" },\n{ at = \"31-60\", field = \"a\", fill = \"*\", align = \"right\" }",
    ],
    [
        "{ text = \"CDR\", name = \"k\" },\n{ field = \"a\", default = \"-\" },\n{ count = \"record\" }",
        "{ at = \"1-3\", text = \"CDR\", name = \"k\" },\n{ at = \"4-54\", field = \"a\", default = \"-\" },\n{ at = \"55-60\", count = \"record\" }",
    ],
    [
        "{ field = \"a\", substring = \"2-4\", name = \"s\" },\n{ field = \"a\" }",
        "{ at = \"1-20\", field = \"a\", substring = \"2-4\", name = \"s\" },\n{ at = \"21-60\", field = \"a\", fill = \"#\" }",
    ],
    [
        "{ text = \"\", name = \"k\" },\n{ field = \"n\" }",
        "{ at = \"1-50\", text = \"\", name = \"k\" },\n{ at = \"51-60\", field = \"n\", fill = \"0\" }",
    ],
    [
        "{ field = \"n\", as = \"number\" },\n{ field = \"n\", name = \"m\" }",
        "{ at = \"1-60\", field = \"n\", align = \"left\" }",
    ],
];

fn format(kind: &str, cells: [&str; 2]) -> String {
    let at_places = kind.contains("\"fixed\"");
    let cells = cells[usize::from(at_places)];
    let cells = if kind.contains("json") { cells.to_owned() } else { cells.replace(", as = \"number\"", "") };
    format!("{kind}\nrecord = [\n{cells}\n]")
}

/// The lines of the records one by one, or why there is none, and the totals.
fn lines(mut layout: Layout, block: &RecordBlock) -> (Vec<Result<Vec<u8>, String>>, Totals) {
    let mut totals = layout.totals();
    layout.begin_file(&facts());
    let lines = block.iter().map(|record| {
        let mut line = Vec::new();
        layout.record(record, &mut totals, &mut line).map(|()| line).map_err(|fault| fault.to_string())
    });
    (lines.collect(), totals)
}

fn text() -> impl Strategy<Value = String> {
    let plain = "[a-zA-Z0-9 ]{0,14}".prop_map(|text| text);
    let any = prop::collection::vec(
        prop::sample::select("aaaa1|\"\\:%,\t\n\r\u{7f}äß中\0x*#".chars().collect::<Vec<_>>()),
        0..14,
    );
    let long = (1900usize..2200).prop_map(|length| "a".repeat(length));
    prop_oneof![6 => plain, 5 => any.prop_map(|text| text.into_iter().collect()), 1 => long]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[0-9]{0,7}", 2 => "[-+]?[0-9]{1,3}[.][0-9]{1,4}", 1 => "[-+]?[0-9]{1,12}"]
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(String::new()), 4 => (1_773_417_600i64..1_773_417_800).prop_map(|second| second.to_string())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_line_laid_at_once_is_the_one_put_value_by_value(rows in prop::collection::vec((text(), number(), time()), 1..6)) {
        let rows: Vec<[&str; 3]> = rows.iter().map(|(a, n, t)| [a.as_str(), n, t]).collect();
        let rows: Vec<&[&str]> = rows.iter().map(<[&str; 3]>::as_slice).collect();
        let block = block(&["a", "n#", "t@"], &rows);
        for kind in FORMATS {
            for cells in CELLS {
                let spec = spec(&format(kind, cells));
                let laid = layout(&spec, &block);
                let mut put = laid.clone();
                put.writer.lays_none();
                prop_assert_eq!(lines(laid, &block), lines(put, &block), "{}\n{:?}", kind, cells);
            }
        }
    }
}
