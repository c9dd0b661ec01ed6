//! Format files with mistakes: each is found, with its line and a way out.

use super::*;

fn problems_of(text: &str) -> Vec<String> {
    let problems = Problems::default();
    let document = Document { name: "test.toml".to_owned(), text: text.to_owned() };
    let usable = read_format(document, "test", &problems).is_some();
    let has_errors = problems.has_errors();
    assert_eq!(usable, !has_errors);
    let shown = |problem: crate::document::Problem| {
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}: {}{hint}", problem.line(), problem.message)
    };
    problems.take().into_iter().map(shown).collect()
}

#[test]
fn the_formats_of_this_project_have_no_problem() {
    for text in [
        include_str!("../../../formats/huaxin-voice.toml"),
        include_str!("../../../formats/huaxin-summary.toml"),
        include_str!("../../../formats/meridian-fixed.toml"),
    ] {
        assert_eq!(problems_of(text), Vec::<String>::new());
    }
}

#[test]
fn every_mistake_in_a_cell_is_reported() {
    let text = r#"kind = "delimited"
record = [
  { field = "a", text = "b" },
  { name = "c" },
  { field = "d", unit = "sec" },
  { field = "e", round = "upp" },
  { field = "f", point = "implied" },
  { field = "g", lookup = "carier" },
  { field = "h", substring = "3-1" },
  { field = "i", time = "%Q" },
  { field = "j", zone = "Asia/Shangai" },
  { field = "k", at = "1-3" },
  { field = "l", fil = "0" },
  { text = "m", unit = "s" },
  { value = "{strat}" },
  { value = "{records}" },
  { field = "n", required = true, default = "0" },
  { field = "o", multiply = "0" },
  { sum = "a" },
  { concat = [ { field = "p", name = "q" } ] },
  { field = "r", unit = "s", time = "%H" },
]
[lookup.carrier]
values = { A = "B", C = 1 }
otherwise = "keeep"
"#;
    let found = problems_of(text);
    let expected = [
        "24: a lookup turns texts into texts; put the value in quotes",
        "25: `otherwise` says what happens to other values (write otherwise = \"reject\", \"keep\" or { text = \"OTHER\" })",
        "3: the cell has two sources: `field` and `text` (a cell has one of `field`, `text`, `value`, `blank`, `count`, `sum`, `concat`)",
        "4: the cell has no source (a cell has one of `field`, `text`, `value`, `blank`, `count`, `sum`, `concat`)",
        "5: unknown unit \"sec\" (did you mean \"s\"?)",
        "6: `round` must be \"exact\", \"up\", \"down\", \"half_up\" or \"half_even\", found \"upp\" (did you mean \"up\"?)",
        "7: `point` needs `decimals` (say how many digits stand behind the point: decimals = 2)",
        "8: there is no lookup `carier` (did you mean \"carrier\"?)",
        "9: `substring` must be two numbers (first and last character, from 1: substring = \"1-3\")",
        "10: time layout \"%Q\": an unknown `%` in the layout; known are those of strftime, such as %Y %m %d %H %M %S",
        "11: unknown time zone \"Asia/Shangai\" (did you mean \"Asia/Shanghai\"?)",
        "12: `at` has no meaning outside fixed-width files (`field`)",
        "13: unknown key `fil` in `record` (did you mean `fill`?)",
        "14: `unit` has no meaning for this source (`text`)",
        "15: unknown variable `{strat}`, did you mean `{start}`?",
        "18: `multiply` must be a decimal number other than 0, found \"0\"",
        "19: a sum stands in the header or trailer",
        "20: `name` has no meaning for this source (`field`)",
        "16: `{records}` is not known while records are written",
        "17: `required` and `default` contradict each other",
        "21: a cell is written as a time or as a number, not as both",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
}

#[test]
fn every_byte_of_a_fixed_width_line_belongs_to_one_cell() {
    let text = r#"kind = "fixed"
line = { bytes = 20 }
header = [ { at = "1-21", text = "H" } ]
record = [
  { at = "1-3", text = "CDR" },
  { at = "3-8", field = "a" },
  { at = "11-18", field = "b" },
]
trailer = [
  { at = "5-20", count = "record", too_long = "cut" },
  { at = "1-4", text = "TRL" },
]
"#;
    assert_eq!(
        problems_of(text),
        [
            "3: the cell ends at byte 21, the line at byte 20",
            "6: bytes 3-3 belong to two cells",
            "7: bytes 9-10 belong to no cell (add { at = \"9-10\", blank = true })",
            "4: bytes 19-20 belong to no cell (add { at = \"19-20\", blank = true })",
            "10: a number that is cut is another number (make the cell wider or leave out `too_long`: the record is then refused)",
        ]
        .map(str::to_owned)
    );
    let short = "kind = \"fixed\"\nline = { bytes = 9 }\nrecord = [ { at = \"1-8\", field = \"a\" } ]\n";
    assert_eq!(problems_of(short), ["3: bytes 9-9 belong to no cell (add { at = \"9-9\", blank = true })"]);
    let nowhere =
        "kind = \"fixed\"\nline = { bytes = 9 }\nrecord = [ { at = \"1-4\", field = \"a\" }, { field = \"c\" } ]\n";
    assert_eq!(problems_of(nowhere), ["3: `record` needs the key `at`"]);
    let unknown = "kind = \"fixed\"\nrecord = [ { at = \"1-8\", field = \"a\" } ]\n";
    assert_eq!(
        problems_of(unknown),
        ["1: a fixed-width file needs the bytes of its lines (write line = { bytes = 90 })"]
    );
}

#[test]
fn sums_must_name_one_record_cell_that_is_a_number() {
    let text = r#"kind = "delimited"
record = [ { field = "duration", unit = "s" }, { field = "x" }, { field = "x" }, { text = "t", name = "t" } ]
trailer = [
  { sum = "duraton" },
  { sum = "x" },
  { sum = "t" },
  { sum = "duration", unit = "MB" },
]
"#;
    assert_eq!(
        problems_of(text),
        [
            "4: no record cell is called `duraton` (did you mean \"duration\"?)",
            "5: `x` is the name of 2 record cells (give the one that is meant a name of its own: name = \"...\")",
            "6: `t` is not a number that can be summed",
            "7: a sum in `s` cannot be written in `MB`",
        ]
    );
}

#[test]
fn what_protects_must_not_break_what_it_protects() {
    let text = r#"kind = "delimited"
separator = "|"
quote = "|"
escape = { "|" = "a|b" }
controls = "|"
separators = "keep"
charset = { name = "GBK", unmappable = "😀" }
record = [ { field = "a" } ]
"#;
    assert_eq!(
        problems_of(text),
        [
            "6: a separator that is kept inside a value shifts the columns behind it",
            "7: the replacement for `charset` is not in the charset",
            "5: the replacement for `controls` holds a separator, a quote, an escape or a control character",
            "3: the quote character is part of the separator",
            "4: an escape holds what it is meant to protect from",
        ]
    );
    let lossy =
        "kind = \"delimited\"\nseparator = \"|\"\nescape = { \"|\" = \"%7C\" }\nrecord = [ { field = \"a\" } ]\n";
    assert_eq!(
        problems_of(lossy),
        ["3: a value that holds \"%7C\" reads back as \"|\" (escape the character \"%\" as well)"],
        "a warning"
    );
}

#[test]
fn json_members_need_names_of_their_own() {
    let text = "kind = \"json-lines\"\nrecord = [ { field = \"a\" }, { field = \"a\" }, { text = \"x\" } ]\n";
    assert_eq!(
        problems_of(text),
        ["2: two cells are called `a` (add name = \"...\")", "2: the cell has no name (add name = \"...\")"]
    );
}

#[test]
fn a_header_without_records_is_no_format() {
    assert_eq!(
        problems_of("kind = \"delimited\"\nheader = [ { text = \"H\" } ]\n"),
        [
            "2: `header` needs a `record` (write record = [ { field = \"...\" }, ... ])",
            "1: the format has neither `record` (writing) nor `[read]`",
        ]
    );
    assert_eq!(
        problems_of("kind = \"fixed\"\nheader = \"names\"\nrecord = 5\n"),
        [
            "2: `header = \"names\"` is for delimited files",
            "3: `record` is a list of cells (write record = [ { text = \"H\" }, { field = \"caller\" } ])",
            "1: a fixed-width file needs the bytes of its lines (write line = { bytes = 90 })",
            "3: a line needs at least one cell",
        ]
    );
}
