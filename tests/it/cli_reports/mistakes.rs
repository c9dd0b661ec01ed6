//! One file with as many different mistakes as an operator can make: all of them are told at once.

use super::place::Place;

const MISTAKES: &str = r#"
stat    = "state"
archive = { dir = "archive", keep = "long" }
poll    = "2 seconds"

[source.switch]
files    = "in/*.log"
finished = "done"
then     = "remove"
format   = "kamailio-acc-cdr"

[source.Upper]
stdin  = true
format = "bench-cdr"

[source.summary]
stdin  = true
format = "huaxin-summary"

[source.both]
files  = "x"
stdin  = true
format = "bench-cdr"

[source.pipe]
stdin  = true
format = "kamailio-acc-cdrs"

[partner.one]
deliver  = "ftp://bob:s3cret@host/dir"
password = "s3cret"
picks_up = "[a"
pickup   = { by = "stolen" }

[partner.one.feed.calls]
source    = "pipe"
format    = "huaxin-voice"
hour_by   = "end_time"
where     = "duration >"
zone      = "Asia/Shangai"
starts_at = "tomorrow"
sequence  = { first = 10, last = 5 }
name      = "HX_{strat:%Y}.dat"
manifest  = true
empty     = "nothing"
late      = "suplement"
grace     = 10
reject_max = "1"
deadlin   = "1h"
lateness  = "1m"

[partner.two]
deliver = "scp://host/dir"

[partner.three]
deliver = "drop"
[partner.three.feed.calls]
source  = "pipe"
period  = "7m"
format  = "huaxin-voice"
hour_by = "end_time"
name    = "A.dat"
"#;

#[test]
fn twenty_mistakes_and_more_are_told_at_once() {
    let place = Place::new();
    place.write("hourdrop.toml", MISTAKES);
    let said = place.run(&["check"]);
    assert_eq!((said.exit, said.out.as_str()), (78, ""));
    let places: Vec<&str> = said.err.lines().filter_map(|line| line.trim_start().strip_prefix("--> ")).collect();
    let lines: Vec<usize> =
        places.iter().map(|place| place.split(':').nth(1).and_then(|n| n.parse().ok()).expect("line")).collect();
    let expected: Vec<usize> = EXPECTED.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, expected, "{}", said.err);
    let titles: Vec<&str> = said.err.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    for ((_, part), title) in EXPECTED.iter().zip(&titles) {
        assert!(title.contains(part), "{part:?} is not in {title:?}");
    }
    assert!(!said.err.contains("s3cret"), "{}", said.err);
    assert!(said.err.ends_with(&format!("{} errors\nhourdrop.toml: not usable\n", EXPECTED.len())), "{}", said.err);
    let json = place.run(&["check", "--json"]).json();
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(EXPECTED.len()));
}

/// Line and a part of the message.
const EXPECTED: &[(usize, &str)] = &[
    (1, "the document needs the key `state`"),
    (2, "unknown key `stat`"),
    (3, "`keep` is not a length of time"),
    (4, "`poll` must be a length of time"),
    (8, "`finished` is not a known rule"),
    (9, "`then` is not a known rule"),
    (10, "format \"kamailio-acc-cdr\": formats/kamailio-acc-cdr.toml: No such file"),
    (12, "expected 1 to 32 of a-z"),
    (18, "format \"huaxin-summary\" has no [read] table"),
    (21, "a source is either `files` or `stdin`"),
    (30, "the URL contains a password"),
    (31, "`password` must not stand in the configuration"),
    (32, "not a pattern"),
    (33, "`by` is not a known way of picking up"),
    (39, "`where`: expected a field"),
    (40, "unknown time zone \"Asia/Shangai\""),
    (41, "`starts_at` is not a time"),
    (42, "`last` must not be below `first`"),
    (43, "file name: unknown variable `{strat}`"),
    (44, "`manifest` is a table or false"),
    (45, "`empty` must be"),
    (46, "`late` must be"),
    (47, "`grace` must be text in quotes"),
    (48, "`reject_max` must be a share"),
    (49, "unknown key `deadlin`"),
    (50, "belong to close"),
    (52, "partner two has no feed"),
    (53, "expected ftp://"),
    (59, "hours of 7m do not line up"),
];

#[test]
fn several_syntax_errors_are_told_at_once() {
    let place = Place::empty();
    place.write("hourdrop.toml", "state = \narchive = \"a\"\n[source.x\nfiles = = 3\n");
    let said = place.run(&["check"]);
    assert_eq!(said.exit, 78);
    assert!(said.err.lines().filter(|line| line.starts_with("error: not valid TOML")).count() >= 2, "{}", said.err);
}
