//! The program as an operator meets it: whole screens, messages and exit codes.

mod mistakes;
mod place;

use place::{Place, Said};

#[test]
fn a_good_configuration_is_read_back_in_plain_words() {
    let place = Place::with_huaxin();
    let said = place.run(&["check"]);
    let expected = "\
huaxin/voice
  reads         switch: in/*.log, complete when unchanged for 1m; then they are moved to done;
                known and changed files wait for you; format kamailio-acc-cdrs (delimited by \"|\",
                UTF-8, 8 fields)
  takes         records where duration > 0
  hours         of 1h by `end_time`, on the clock of Asia/Shanghai; it begins at 2024-11-03 10:00
                +08:00 and ends at 2024-11-04 00:00 +08:00
  writes        huaxin-voice 1.4: delimited by \"|\", GB18030, CRLF, a header, a trailer
  names         HX_{start:%Y%m%d%H}_{seq:05}.dat
  numbers       part files from 4712 to 99999, then from 1 again, without gap
  manifest      HX_{start:%Y%m%d%H}_{revision:02}.sum, appears after all files of the hour;
                huaxin-summary 1.4: delimited by \"|\", GB18030, CRLF, no header, no trailer
  empty hours   give a file with header and trailer, and a manifest
  late records  give a new part file and a new revision of the manifest
  closes        10m after its end, once every source has been read that far
  held          when more than 1 % of its records cannot be taken
  overdue       when not delivered 1h10m after its end
  delivers      to cdr on ftp://hourdrop@10.8.3.20, password from the variable HUAXIN_PASSWORD;
                uploads have a temporary name until they are complete; the partner shows that it
                took a file: deleted within 1h30m
  NEXT HOURS                     CLOSES     SEQ  FILE
  2024-11-03 10:00-11:00 +08:00  11:10:00  4712  HX_2024110310_04712.dat
  2024-11-03 11:00-12:00 +08:00  12:10:00  4713  HX_2024110311_04713.dat
  2024-11-03 12:00-13:00 +08:00  13:10:00  4714  HX_2024110312_04714.dat

state in state (nothing was accepted yet), archive in archive, kept for ever
";
    assert_eq!(said.out, expected);
    let warned = "\
warning: plain FTP shows password and records to everyone on the way
  --> hourdrop.toml:11:12
   |
11 | deliver  = \"ftp://hourdrop@10.8.3.20/cdr\"
   |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: fine on a private line: the `ftp://` in the address counts as consent

1 warning
hourdrop.toml: good
";
    assert_eq!((said.exit, said.err.as_str()), (0, warned));
    assert_eq!(place.run(&["check", "--deny-warnings"]).exit, 78);
}

#[test]
fn check_in_json_is_one_object_with_problems_and_next_hours() {
    let place = Place::with_huaxin();
    let said = place.run(&["check", "--json", "hourdrop.toml"]);
    let value = said.json();
    assert_eq!((said.exit, said.err.as_str(), said.out.lines().count()), (0, "", 1));
    assert_eq!(value["warnings"], 1);
    assert_eq!(value["problems"][0]["line"], 11);
    let next = &value["feeds"][0]["next_hours"][1];
    assert_eq!(next["file"], "HX_2024110311_04713.dat");
    assert_eq!(next["closes_at"], "2024-11-03T12:10:00+08:00");
    assert_eq!(next["manifest"], "HX_2024110311_00.sum");
}

#[test]
fn the_counters_of_the_ledger_go_on_in_what_check_tells() {
    let place = Place::with_huaxin();
    place.export();
    let said = place.run(&["check", "--quiet"]);
    assert!(
        said.out.contains("2024-11-03 14:00-15:00 +08:00  15:10:00  4717  HX_2024110314_04717.dat"),
        "{}",
        said.out
    );
    assert!(said.out.contains("state in state, archive"), "{}", said.out);
}

#[test]
fn a_partner_with_one_feed_takes_at_most_twelve_lines() {
    let place = Place::new();
    let partner = "\
[partner.acme]
deliver = \"drop\"

[partner.acme.feed.calls]
source    = \"switch\"
format    = \"meridian-fixed\"
hour_by   = \"start_time\"
starts_at = \"2026-12-01T00:00:00Z\"
name      = \"ACME_{start:%Y%m%d%H}_{seq:06}.txt\"
";
    assert!(partner.lines().count() <= 12);
    let head = "state = \"state\"\narchive = \"archive\"\n[source.switch]\nfiles = \"in/*.log\"\nfinished = \"renamed\"\n\
                format = \"kamailio-acc-cdrs\"\n";
    place.write("hourdrop.toml", &format!("{head}{partner}"));
    let said = place.run(&["check"]);
    assert_eq!((said.exit, said.err.as_str()), (0, "hourdrop.toml: good\n"), "{}", said.out);
}

#[test]
fn a_configuration_that_is_not_there_is_a_configuration_error_with_advice() {
    let place = Place::empty();
    let expected = "\
error: cannot read the configuration nowhere.toml
  cause: No such file or directory (os error 2)
  hint: `hourdrop init` writes a first configuration; --config FILE names another one
";
    for command in [&["check", "nowhere.toml"][..], &["--config", "nowhere.toml", "status"]] {
        assert_eq!(place.run(command), Said { exit: 78, out: String::new(), err: expected.to_owned() });
    }
    let said = place.run(&["status", "--json", "--config", "nowhere.toml"]);
    assert_eq!((said.exit, said.err.as_str()), (78, ""));
    assert_eq!(said.json()["cause"], "No such file or directory (os error 2)");
}

#[test]
fn reports_of_a_broken_configuration_name_the_first_error_and_the_command_that_shows_all() {
    let place = Place::with_huaxin();
    place.write("hourdrop.toml", &place.read("hourdrop.toml").replace("grace     = \"10m\"", "grace = \"10 min\""));
    let expected = "\
error: the configuration hourdrop.toml has 1 error
  cause: hourdrop.toml:29: `grace` must be a length of time, found \"10 min\"
  hint: `hourdrop check hourdrop.toml` shows everything
";
    assert_eq!(place.run(&["hours"]), Said { exit: 78, out: String::new(), err: expected.to_owned() });
}

#[test]
fn hours_balance_line_by_line() {
    let place = Place::with_huaxin();
    place.export();
    let said = place.run_at_eight(&["hours", "voice"]);
    let expected = "\
huaxin/voice  hours of Asia/Shanghai by end_time  2024-11-03
HOUR       RECEIVED =  SENT +  FILTERED +  QUARANT +  PENDING    SEQ  DELIVERED  PICKED UP
10:00               3       2           1          0        0  04712  11:10:03   waiting 8 h
11:00               0       0           0          0        0  04713  12:10:03   waiting 7 h  empty, stated
12:00               5       4           0          1        0  04714  13:10:03   waiting 6 h
12:00 r01           2       2           0          0        0  04715  13:40:00   waiting 6 h  supplement
13:00               7       6           1          0        0  04716  -          -            waits for delivery
14:00               4       -           0          0        4      -  -          -            open
without a usable time: 1 received, 0 filtered, 1 in quarantine
complete 2024-11-03 10:00 +08:00 to 2024-11-03 13:00 +08:00: 3 hours, 4 files, 04712-04715, no gap
";
    assert_eq!(said, Said { exit: 0, out: expected.to_owned(), err: String::new() });
    let later = place.run(&["hours", "--since", "2024-11-03T12:00", "--until", "2024-11-03 13:00"]);
    assert_eq!(later.out.lines().filter(|line| line.starts_with("12:00")).count(), 2, "{}", later.out);
    assert_eq!(later.out.lines().count(), 6, "{}", later.out);
    assert!(place.run(&["hours", "--day", "2024-11-05"]).out.contains("no hour in this span"));
    let utc = place.run(&["hours", "--utc"]);
    assert!(utc.out.starts_with("huaxin/voice  hours of UTC by end_time  2024-11-03\n"), "{}", utc.out);
    assert!(utc.out.contains("\n02:00               3       2 "), "{}", utc.out);
    let json = place.run(&["hours", "--json"]);
    let lines: Vec<serde_json::Value> =
        json.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 6);
    for line in &lines {
        let number = |key: &str| line[key].as_u64().expect("number");
        let sum = number("sent") + number("filtered") + number("quarantined") + number("pending");
        assert_eq!(number("received"), sum, "{line}");
    }
    assert_eq!(lines[3]["start"], "2024-11-03T12:00:00+08:00");
    assert_eq!((&lines[3]["revision"], &lines[3]["state"]), (&1.into(), &"delivered".into()));
}

#[test]
fn files_of_an_hour_are_listed_with_hash_and_state() {
    let place = Place::with_huaxin();
    place.export();
    let said = place.run(&["files", "huaxin/voice", "2024-11-03T12:00"]);
    let expected = "\
huaxin/voice  Asia/Shanghai
NAME                     KIND      HOUR                          SEQ  RECORDS  BYTES  SHA-256       STATE      DELIVERED
HX_2024110312_04714.dat  data      2024-11-03 12:00 +08:00      4714        4    400  abababababab  delivered  2024-11-03 13:10:03 +08:00
HX_2024110312_00.sum     manifest  2024-11-03 12:00 +08:00         3        4     99  abababababab  delivered  2024-11-03 13:10:03 +08:00
HX_2024110312_04715.dat  data      2024-11-03 12:00 +08:00 r01  4715        2    200  abababababab  delivered  2024-11-03 13:40:00 +08:00
HX_2024110312_01.sum     manifest  2024-11-03 12:00 +08:00 r01     4        2     99  abababababab  delivered  2024-11-03 13:40:00 +08:00
";
    assert_eq!(said, Said { exit: 0, out: expected.to_owned(), err: String::new() });
    assert_eq!(place.run(&["files", "--json"]).out.lines().count(), 10);
    assert!(place.run(&["files", "--long"]).out.contains(&"ab".repeat(32)));
    assert!(place.run(&["files", "voice", "2024-11-03T20:00"]).out.ends_with("no file\n"));
}

/// The screen without what depends on this machine's disk.
fn without_disk(screen: &str) -> String {
    let lines = screen.lines().map(|line| {
        let free = line.strip_prefix("disk ").and_then(|line| line.split_once(" % free   "));
        free.map_or(line.to_owned(), |(percent, rest)| {
            assert!(percent.parse::<u8>().is_ok_and(|percent| percent <= 100), "{line}");
            format!("disk N % free   {rest}")
        }) + "\n"
    });
    lines.collect()
}

#[test]
fn status_tells_what_is_complete_what_waits_and_what_needs_a_person() {
    let place = Place::with_huaxin();
    place.export();
    let said = place.run_at_eight(&["status"]);
    let (title, rest) = said.out.split_once('\n').expect("lines");
    assert!(title.starts_with("hourdrop status  ") && title.ends_with(" +08:00  1 THING NEEDS YOU"), "{title}");
    let expected = "\
FEED             COMPLETE UP TO           NOW                       BACKLOG         UNPICKED      NEXT CLOSE
huaxin/voice  !  2024-11-03 13:00 +08:00  1 behind, 4 records open  2 files, 699 B  8 files, 8 h  2024-11-03 14:00 is due
SOURCE  LAST RECORD                 LATEST EVENT                RECORDS  QUARANTINED
switch  2024-11-03 14:30:00 +08:00  2024-11-03 14:29:00 +08:00       21            2
NEEDS YOU
 1 huaxin/voice 2024-11-03 13:00-14:00 +08:00  and 1 more are overdue: not delivered 1h10m after the end
   hourdrop show huaxin/voice 2024-11-03T13:00     hourdrop hours huaxin/voice
disk N % free   spool 0 B of 16.0 GiB   clock ok   sequence gaps 0   in doubt 0   (exit 4)
";
    assert_eq!((without_disk(rest).as_str(), said.exit, said.err.as_str()), (expected, 4, ""));
    let json = place.run(&["status", "--json"]);
    assert_eq!((json.exit, json.out.lines().count()), (4, 1));
    let value = json.json();
    assert_eq!(value["feeds"][0]["complete_to"], "2024-11-03T13:00:00+08:00");
    assert_eq!(value["feeds"][0]["overdue"].as_array().map(Vec::len), Some(2));
    assert_eq!(value["needs_you"][0]["kind"], "overdue");
    assert_eq!((&value["spool_bytes"], &value["spool_bytes_max"]), (&0.into(), &(16u64 << 30).into()));
    assert!(value["state_bytes_free"].is_u64() && value["archive_bytes_free"].is_u64(), "{value}");
}

#[test]
fn an_alarm_and_a_held_hour_need_a_person() {
    let place = Place::with_huaxin();
    place.hold();
    let said = place.run(&["status"]);
    let needs = said.out.split_once("NEEDS YOU\n").expect("needs").1;
    let expected = "\x201 switch  HD0406 file numbers 718 to 719 never came
   put them back, or say that they will not come
 2 huaxin/voice 2024-11-03 10:00-11:00 +08:00  held: 9 of 10 records in quarantine
   hourdrop show huaxin/voice 2024-11-03T10:00     hourdrop release huaxin/voice 2024-11-03T10:00 --reason ...
   never to be sent: hourdrop void huaxin/voice 2024-11-03T10:00 --reason ...
disk N % free   spool 0 B of 16.0 GiB   clock ok   sequence gaps 0   in doubt 0   (exit 4)
";
    assert_eq!((without_disk(needs).as_str(), said.exit), (expected, 4));
    assert!(place.run(&["hours"]).out.contains("HELD 9 of 10 records in quarantine"));
}

#[test]
fn before_the_first_record_status_is_calm_and_hours_say_why_there_are_none() {
    let place = Place::with_huaxin();
    let said = place.run(&["status"]);
    assert_eq!(said.exit, 0, "{}", said.out);
    assert!(said.out.contains("nothing needs you") && said.out.contains("nothing yet"), "{}", said.out);
    let expected = "\
error: there is nothing to report yet
  cause: state/ledger.db does not exist: no record was ever accepted
  hint: `hourdrop once` reads what is there and exports it
";
    assert_eq!(place.run(&["hours"]), Said { exit: 1, out: String::new(), err: expected.to_owned() });
    assert!(!place.path("state").exists(), "reports make nothing");
}

#[test]
fn everything_about_an_hour_and_about_a_file_is_shown() {
    let place = Place::with_huaxin();
    place.export();
    let said = place.run(&["show", "voice", "2024-11-03T10:30"]);
    assert_eq!((said.exit, said.err.as_str()), (0, ""));
    for part in [
        "huaxin/voice 2024-11-03 10:00-11:00 +08:00\n",
        "received 3 = sent 2 + filtered 1 + quarantined 0 + pending 0\n",
        "spool frames 1 to 3 (exclusive)",
        "HX_2024110310_04712.dat  data ",
        "archive/huaxin/voice/2024110310_00/HX_2024110310_04712.dat, 200 bytes\n",
        "duration 391053\n",
        "reply-and-size: the server confirmed the rename and states the right size\n",
        "a.log: 21 records and 1 rejected, 2,000 bytes, blake3 ",
        "planned r0: lsn 1 to 3, HX_2024110310_04712.dat",
    ] {
        assert!(said.out.contains(part), "{part:?} is missing in\n{}", said.out);
    }
    let value = place.run(&["show", "voice", "2024-11-03T12:00", "--json"]).json();
    assert_eq!((&value["complete"], &value["batches"][1]["revision"]), (&true.into(), &1.into()));
    let file = place.run(&["show", "HX_2024110312_01.sum"]);
    assert!(
        file.out
            .starts_with("HX_2024110312_01.sum\n  hour      huaxin/voice 2024-11-03 12:00-13:00 +08:00 revision 1\n"),
        "{}",
        file.out
    );
    let unknown = "error: there is no file \"HX.dat\"\n  hint: `hourdrop files` lists them\n";
    assert_eq!(place.run(&["show", "HX.dat"]), Said { exit: 1, out: String::new(), err: unknown.to_owned() });
    let which = "error: which hour of huaxin/voice?\n  hint: write `hourdrop show huaxin/voice 2026-12-21T09:00`; `hourdrop hours` lists them\n";
    assert_eq!(place.run(&["show", "voice"]), Said { exit: 2, out: String::new(), err: which.to_owned() });
}

#[test]
fn quarantine_shows_place_and_reason_and_the_content_only_when_asked() {
    let place = Place::with_huaxin();
    place.export();
    let said = place.run(&["quarantine", "list"]);
    let expected = "\
ID  SOURCE  FEED          INPUT  LINE  BYTE  STATE  REASON
 1  switch  -             a.log     7   310  held   field `start_time` is no time
 2  switch  huaxin/voice  a.log     9   450  held   cell `name` (column 8) holds a character at place 1 that is not in GB18030
2 records
";
    assert_eq!(said, Said { exit: 0, out: expected.to_owned(), err: String::new() });
    assert_eq!(place.run(&["quarantine", "list", "--feed", "voice"]).out.lines().count(), 3);
    let plain = place.run(&["quarantine", "show", "1"]);
    assert!(!plain.out.contains("86138000026") && plain.out.contains("18 bytes; --raw shows it"), "{}", plain.out);
    assert!(!place.run(&["quarantine", "show", "1", "--json"]).out.contains("raw_hex"));
    let raw = place.run(&["quarantine", "show", "1", "--raw"]);
    assert!(raw.out.ends_with("never|86138000026\\n\n"), "{}", raw.out);
    assert_eq!(place.run(&["quarantine", "show", "9"]).exit, 1);
}

#[test]
fn a_file_is_checked_against_its_format() {
    let place = Place::with_huaxin();
    let good = "H|2024110310|1\r\n20241103101453|20241103102124|391053|77009000010|612996250512|TG612|2029@x|a\r\nT|1|391053\r\n";
    place.write("good.dat", good);
    place.write("bad.dat", &good.replace("T|1|391053", "T|2|391053").replace("TG612|2029@x", "TG612"));
    let said = place.run(&["verify-file", "--format", "huaxin-voice", "good.dat", "bad.dat"]);
    let expected = "\
huaxin-voice 1.4: delimited by \"|\", GB18030, CRLF, a header, a trailer
good.dat: good: 1 record, 3 lines, 106 bytes, duration 391053
bad.dat: 3 PROBLEMS: 1 record, 3 lines, 99 bytes, duration 0
  line 2, byte 16: expected 8 columns, found 7 columns
  line 3, byte 89, column 2 `records`: expected the count 1, found 2
  line 3, byte 91, column 3 `duration`: expected the sum 0, found 391053
";
    assert_eq!(said, Said { exit: 4, out: expected.to_owned(), err: String::new() });
    let path = place.run(&["verify-file", "--format", "formats/huaxin-voice.toml", "good.dat", "--json"]);
    assert_eq!((path.exit, &path.json()["sums"]["duration"]), (0, &"391053".into()));
    let wrong = place.run(&["verify-file", "--format", "kamailio-acc-cdrs", "good.dat"]);
    assert_eq!((wrong.exit, wrong.out.as_str()), (2, ""));
}

#[test]
fn preview_shows_the_written_bytes_and_needs_no_state() {
    let place = Place::with_huaxin();
    place.write(
        "in.log",
        "1730642893|1730643284|391.053000|77009000010|612996250512|TG612|2029@x|王小明\n\
         1730599949|1730600201|0.000000|1|2|TG442|1@x|a\n1730599949|never|1|1|2|TG442|1@x|a\n",
    );
    let said = place.run(&["preview", "voice", "in.log"]);
    let expected = "\
huaxin/voice  2024-11-03 22:00-23:00 +08:00  HX_2024110322_04712.dat
  head  H|2024110322|4712
  in    1730642893|1730643284|391.053000|77009000010|612996250512|TG612|2029@x|王小明  (in.log line 1)
  out   20241103220813|20241103221444|391053|77009000010|612996250512|TG612|2029@x|王小明
  tail  T|1|391053

rejected  in.log record 3, line 3, byte 128: field `end_time` is not a date and time of the declared layout (column 2)
  in    1730599949|never|1|1|2|TG442|1@x|a
1 left out by the filter
";
    assert_eq!(said.out, expected);
    assert_eq!((said.exit, said.err.as_str()), (0, "starts_at and ends_at of the feed are left out of account\n"));
    let hex = place.run(&["preview", "voice", "in.log", "--hex"]);
    assert!(hex.out.contains("7c cd f5 d0 a1 c3  612|2029@x|.....\n"), "{}", hex.out);
    assert!(!place.path("state").exists());
}

#[test]
fn init_from_a_sample_passes_check_and_replaces_nothing() {
    let place = Place::empty();
    place.write("calls.csv", "id,start,caller\n1,2024-11-03T02:12:29Z,1\n2,2024-11-03T03:00:00Z,2\n");
    let said = place.run(&["init", "--from-sample", "calls.csv"]);
    let expected = "\
wrote ./hourdrop.toml
wrote ./formats/calls.toml
wrote ./formats/calls-out.toml
the guessed format reads 2 records of the sample and rejects 0 lines
next  hourdrop check                         proves it and reads it back in plain words
      hourdrop preview acme/calls calls.csv  shows the bytes that the partner would get
      hourdrop once                          exports what is there
";
    assert_eq!(said, Said { exit: 0, out: expected.to_owned(), err: String::new() });
    let checked = place.run(&["check"]);
    assert_eq!((checked.exit, checked.err.as_str()), (0, "hourdrop.toml: good\n"), "{}", checked.out);
    assert!(
        checked.out.contains("reads         calls: calls.csv, complete as soon as they are there"),
        "{}",
        checked.out
    );
    assert!(checked.out.contains("it begins at 2024-11-03 02:00 Z"), "{}", checked.out);
    let shown = place.run(&["preview", "acme", "calls.csv"]);
    assert!(shown.out.contains("  out   1,2024-11-03T02:12:29Z,1\n"), "{}", shown.out);
    let again = place.run(&["init", "--from-sample", "calls.csv"]);
    assert_eq!((again.exit, again.out.as_str()), (1, ""));
    assert!(
        again
            .err
            .starts_with("error: ./hourdrop.toml, ./formats/calls.toml, ./formats/calls-out.toml exists already\n"),
        "{}",
        again.err
    );
    assert_eq!(place.run(&["init", "elsewhere"]).exit, 0);
    assert_eq!(place.run(&["check", "elsewhere/hourdrop.toml"]).exit, 0);
}

#[test]
fn usage_errors_end_with_2_and_say_what_was_meant() {
    let place = Place::with_huaxin();
    let said = place.run(&["huors"]);
    assert_eq!((said.exit, said.out.as_str()), (2, ""));
    assert!(said.err.contains("a similar subcommand exists: 'hours'"), "{}", said.err);
    let json = place.run(&["hours", "--json", "--sinse", "x"]);
    assert_eq!((json.exit, json.err.as_str()), (2, ""));
    assert_eq!(json.json()["error"], "unexpected argument '--sinse' found");
    place.export();
    for (arguments, error) in [
        (&["hours", "voise"][..], "error: there is no feed \"voise\"\n"),
        (&["hours", "--since", "noon"], "error: \"noon\" is not a time\n"),
        (&["hours", "--day", "2024-13-01"], "error: \"2024-13-01\" is not a date\n"),
    ] {
        let said = place.run(arguments);
        assert_eq!(said.exit, 2);
        assert!(said.err.starts_with(error), "{}", said.err);
    }
    assert_eq!(place.run(&["--version"]).exit, 0);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::with_huaxin();
    place.export();
    assert_eq!(place.run_into_closed_pipe(&["hours"]), Some(0));
    assert_eq!(place.run_into_closed_pipe(&["--help"]), Some(0));
}

#[test]
fn colours_are_used_when_they_are_asked_for() {
    let place = Place::empty();
    let colour =
        |arguments: &[&str], variables: &[(&str, &str)]| place.run_with(arguments, variables).err.contains('\u{1b}');
    let command = ["check", "nowhere.toml"];
    assert!(!colour(&command, &[]));
    assert!(colour(&["check", "nowhere.toml", "--color", "always"], &[("NO_COLOR", "1")]));
    assert!(colour(&command, &[("CLICOLOR_FORCE", "1")]));
    assert!(!colour(&command, &[("CLICOLOR_FORCE", "0")]));
    assert!(!colour(&command, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!colour(&["check", "nowhere.toml", "--color=never"], &[("CLICOLOR_FORCE", "1")]));
}
