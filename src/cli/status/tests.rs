use super::*;
use crate::app::report::FeedBook;
use crate::app::report::hours::tests::{book, day_in_new_york};
use crate::domain::time::{Length, UtcTime};
use crate::ledger::intake::Alarm;

/// Half past six in the morning of 2024-11-03 in New York, after clocks went back.
const NOW: i64 = 1_730_633_400;

fn at(second: i64) -> UtcTime {
    UtcTime::from_seconds(second).expect("range")
}

fn screen(books: &[FeedBook], alarms: Vec<Alarm>, now: i64) -> String {
    let sources = vec![SourceTotals {
        source: "switch".to_owned(),
        records: 12_904,
        quarantined: 42,
        last_at: Some(at(NOW - 2)),
        last_event: Some(at(NOW - 60)),
    }];
    let report = status(books, sources, alarms, at(now));
    let state = Some(Room { free_bytes: 61, bytes: 100 });
    let room = RoomReport { spool_bytes: 12_800_000, spool_max: 16 << 30, state, archive: None };
    let clock = String::new();
    let screen = Screen { report: &report, state: Path::new("state"), utc: false, demo: false, room, clock };
    screen.text()
}

#[test]
fn one_screen_tells_how_far_each_feed_is_and_what_needs_a_person() {
    let mut held = book("zone = \"America/New_York\"\ngrace = \"10m\"", &day_in_new_york());
    held.files
        .iter_mut()
        .filter(|file| file.name == "C_5.csv")
        .for_each(|file| "uploading".clone_into(&mut file.state));
    let alarm = Alarm {
        subject: "switch".to_owned(),
        code: "HD0406".to_owned(),
        message: "file numbers 718 to 719 never came".to_owned(),
        hint: "put them back, or say that they will not come".to_owned(),
        since: at(NOW),
    };
    let expected = "\
hourdrop status  2024-11-03 06:30:00 -05:00  3 THINGS NEED YOU
FEED     COMPLETE UP TO           NOW                                  BACKLOG         NEXT CLOSE
p/f   !  2024-11-03 02:00 -05:00  03:00 held, 1 behind, 210 records open  2 files, 240 B  2024-11-03 04:00 is due
SOURCE  LAST RECORD                 LATEST EVENT                RECORDS  QUARANTINED
switch  2024-11-03 06:29:58 -05:00  2024-11-03 06:29:00 -05:00   12,904           42
NEEDS YOU
 1 switch  HD0406 file numbers 718 to 719 never came
   put them back, or say that they will not come
 2 p/f 2024-11-03 03:00-04:00 -05:00  held: 40 of 40 records in quarantine
   hourdrop show p/f 2024-11-03T03:00     hourdrop release p/f 2024-11-03T03:00 --reason ...
   never to be sent: hourdrop void p/f 2024-11-03T03:00 --reason ...
 3 p/f 2024-11-03 02:00-03:00 -05:00  and 1 more are overdue: not delivered 1h10m after the end
   hourdrop show p/f 2024-11-03T02:00     hourdrop hours p/f
disk 61 % free   spool 12.2 MiB of 16.0 GiB   clock ok   sequence gaps 0   in doubt 0   (exit 4)
";
    let expected = expected.replace("BACKLOG         NEXT", "   BACKLOG         NEXT");
    assert_eq!(screen(&[held], vec![alarm], NOW), expected);
}

#[test]
fn a_held_file_names_itself_and_the_commands_that_lead_on() {
    let mut book = book("zone = \"America/New_York\"", &day_in_new_york()[..1]);
    book.batches[0].state = crate::domain::batch::BatchState::Held(crate::domain::batch::HeldFrom::Delivering);
    book.files[0].state = "held".to_owned();
    book.files[0].reason = Some("conflict".to_owned());
    let text = screen(&[book], Vec::new(), NOW);
    assert!(
        text.contains(
            " 1 p/f 2024-11-03 00:00-01:00 -04:00  held: C_1.csv: another file already has the name; it is not ours\n   \
         hourdrop show C_1.csv\n   when the partner has removed it: hourdrop release C_1.csv --reason ...\n   \
         never to be sent: hourdrop void p/f 2024-11-03T00:00 --reason ...\n"
        ),
        "{text}"
    );
    assert!(text.contains("1 THING NEEDS YOU"), "one hour, one line\n{text}");
}

#[test]
fn nothing_needs_you_when_everything_known_is_delivered() {
    let book = book("deadline = \"1h\"", &day_in_new_york()[..3]);
    let text = screen(&[book], Vec::new(), NOW + 365 * 86_400);
    assert!(text.starts_with("hourdrop status  2025-11-03 11:30:00 Z  nothing needs you\n"), "{text}");
    assert!(text.contains("p/f      2024-11-03 07:00 Z  all delivered  -        12:00:00\n"), "{text}");
    assert!(text.ends_with("clock ok   sequence gaps 0   in doubt 0\n"), "{text}");
}

#[test]
fn numbers_that_were_never_sent_are_named() {
    let mut book = book("deadline = \"1h\"", &day_in_new_york()[..3]);
    for file in book.files.iter_mut().filter(|file| matches!(file.name.as_str(), "C_2.csv" | "C_3.csv")) {
        "void".clone_into(&mut file.state);
    }
    let text = screen(&[book], Vec::new(), NOW);
    assert!(text.contains("all delivered, 00002-00003 void  -  "), "{text}");
}

#[test]
fn the_next_hour_closes_after_its_grace() {
    let close = |settings: &str, now: i64| {
        let book = book(settings, &[]);
        status(&[book], Vec::new(), Vec::new(), at(now)).feeds[0].next_close
    };
    let hour = 1_730_631_600;
    assert_eq!(close("grace = \"10m\"", hour), NextClose::At(at(hour + 4200)));
    assert_eq!(close("starts_at = \"2024-11-04T00:00:00Z\"", hour), NextClose::At(at(1_730_682_000)));
    assert_eq!(close("ends_at = \"2024-11-01T00:00:00Z\"", hour), NextClose::Ended);
    assert_eq!(close("close = \"watermark\"\nlateness = \"5m\"", hour), NextClose::Watermark);
    assert_eq!(Length::from_seconds(4200).to_string(), "1h10m");
}

#[test]
fn sizes_have_one_decimal() {
    for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (12_800_000, "12.2 MiB")]
    {
        assert_eq!(size(bytes), text);
    }
    assert_eq!(size(5 << 40), "5.0 TiB");
}
