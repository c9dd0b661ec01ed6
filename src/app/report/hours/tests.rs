use super::*;
use crate::document::{Document, Placed, Problems, read_document};
use crate::domain::ids::{FeedId, Lsn, PartNumber};
use crate::domain::pickup::Pickup;
use crate::feed::definition::FeedDefinition;
use crate::format::spec::read_format;
use crate::ledger::reports::HourRow;
use std::sync::Arc;

/// A feed `p/f` with hours by `start_time`, a counter of five digits, and these settings.
pub fn definition(settings: &str) -> FeedDefinition {
    let text = format!(
        "source = \"s\"\nformat = \"out\"\nhour_by = \"start_time\"\nname = \"C_{{start:%Y%m%d%H}}_{{seq:05}}.csv\"\n{settings}\n"
    );
    let problems = Problems::default();
    let format = "kind = \"delimited\"\nrecord = [ { field = \"caller\" } ]\n".to_owned();
    let finder = |name: &Placed<String>, problems: &Problems| {
        read_format(Document { name: "out.toml".to_owned(), text: format.clone() }, &name.value, problems).map(Arc::new)
    };
    let id = FeedId::parse("p/f").expect("feed");
    let document = Document { name: "test".to_owned(), text };
    let read = read_document(document, &problems, |table| FeedDefinition::read(table, id, &finder)).flatten();
    read.unwrap_or_else(|| panic!("{:?}", problems.take()))
}

/// An hour of the ledger: start in hours from midnight 2024-11-03 in New York (04:00 UTC), counts, batches.
pub struct Written {
    pub hour: i64,
    pub counts: [u64; 3],
    pub batches: Vec<WrittenBatch>,
}

/// State, records, and the second after midnight at which it was delivered.
type WrittenBatch = (BatchState, u64, Option<i64>);

const MIDNIGHT: i64 = 1_730_606_400;

/// A day on which clocks went back, with every kind of hour.
pub fn day_in_new_york() -> Vec<Written> {
    let done = BatchState::Delivered;
    let hour = |hour, counts, batches| Written { hour, counts, batches };
    vec![
        hour(0, [1204, 6, 0], vec![(done, 1198, Some(3600 + 603))]),
        hour(1, [0, 0, 0], vec![(done, 0, Some(2 * 3600 + 604))]),
        hour(2, [1310, 7, 2], vec![(done, 1298, Some(3 * 3600 + 603)), (done, 3, Some(3 * 3600 + 2650))]),
        hour(3, [12, 0, 0], vec![(BatchState::Sealed, 12, None)]),
        hour(4, [40, 0, 40], vec![(BatchState::Held(HeldFrom::Open), 0, None)]),
        hour(5, [211, 1, 0], vec![]),
    ]
}

/// The book of a feed with these settings and hours. Every batch with a file has one part file and a manifest.
pub fn book(settings: &str, written: &[Written]) -> FeedBook {
    let mut book = FeedBook::empty(Arc::new(definition(settings)));
    let mut number = 0;
    for Written { hour, counts: [received, filtered, quarantined], batches } in written {
        let start = MIDNIGHT + hour * 3600;
        let partition = Partition { start, end: start + 3600 };
        let counts = HourCounts { received: *received, filtered: *filtered, quarantined: *quarantined, duplicate: 0 };
        book.hours.push(HourRow { partition: Some(partition), counts, voided: 0, lost: 0 });
        for ((state, records, at), revision) in batches.iter().zip(0..) {
            let at = at.and_then(|second: i64| UtcTime::from_seconds(MIDNIGHT + second));
            let held = matches!(state, BatchState::Held(_));
            book.batches.push(BatchRow {
                partition,
                revision: Revision(revision),
                state: *state,
                reason: held.then(|| "40 of 40 records in quarantine".to_owned()),
                from: Lsn(1),
                cut: Lsn(9),
                definition: "ab".repeat(32),
                sealed_at: UtcTime::from_nanos((partition.end + 600) * 1_000_000_000),
                source_incomplete: false,
                records: *records,
                voided: 0,
                delivered_at: at,
            });
            if !held {
                number += 1;
                book.files.push(file(partition, revision, 1, number, *records, at));
                book.files.push(file(partition, revision, 0, number, *records, at));
            }
        }
    }
    book
}

fn file(partition: Partition, revision: u32, part: u32, number: u64, records: u64, at: Option<UtcTime>) -> FileRow {
    FileRow {
        partition,
        revision: Revision(revision),
        part: PartNumber(part),
        name: if part == 0 { format!("C_{number}.json") } else { format!("C_{number}.csv") },
        sequence: Some(Sequence { cycle: 0, number }),
        records,
        bytes: Some(records * 10),
        sha256: Some("cd".repeat(32)),
        first_event: None,
        last_event: None,
        totals: Vec::new(),
        archive_path: Some(format!("p/f/{number}")),
        state: if at.is_some() { "delivered" } else { "pending" }.to_owned(),
        attempt: 1,
        reason: None,
        verified: at.map(|_| "reply-and-size".to_owned()),
        delivered_at: at,
        resent: 0,
        pickup: Pickup::default(),
        answer: None,
    }
}

#[test]
fn every_line_balances() {
    let mut written = day_in_new_york();
    written[0].counts[0] += 5;
    let book = book("", &written);
    let mut seen = 0;
    for hour in hours(&book) {
        let lines = lines(&hour);
        for line in &lines {
            let sent = line.sent.unwrap_or(0);
            assert_eq!(line.received, sent + line.filtered + line.quarantined + line.pending, "{line:?}");
            seen += 1;
        }
        assert_eq!(lines.iter().map(|line| line.received).sum::<u64>(), hour.counts.received);
    }
    assert_eq!(seen, 8);
}

#[test]
fn late_records_that_wait_have_a_line_of_their_own_and_make_the_hour_incomplete() {
    let mut written = day_in_new_york();
    written[1].counts[0] += 3;
    let book = book("", &written);
    let all = hours(&book);
    let found = lines(&all[1]);
    assert_eq!(found.len(), 2);
    assert_eq!((found[1].revision, found[1].received, found[1].pending), (Revision(1), 3, 3));
    assert_eq!(found[1].standing, Standing::LateWaiting);
    assert_eq!(completeness(&[], &all).map(|complete| complete.hours), Some(1));
    assert!(!all[1].is_overdue(Length::from_seconds(60), UtcTime::MAX));
}

#[test]
fn a_feed_is_complete_up_to_the_first_hour_that_is_missing_or_not_delivered() {
    let told = |written: &[Written]| {
        completeness(&[], &hours(&book("", written))).map(|complete| (complete.hours, complete.files, complete.missing))
    };
    assert_eq!(told(&day_in_new_york()), Some((3, 4, 0)));
    let mut hole = day_in_new_york();
    hole.remove(1);
    assert_eq!(told(&hole), Some((1, 1, 0)));
    assert_eq!(told(&day_in_new_york()[3..]), None);
    assert_eq!(told(&[]), None);
}

#[test]
fn an_hour_is_overdue_when_its_deadline_is_past_and_it_is_not_delivered() {
    let book = book("", &day_in_new_york());
    let overdue = |now: i64| {
        let now = UtcTime::from_seconds(MIDNIGHT + now).expect("range");
        let all = hours(&book);
        all.iter().filter(|hour| hour.is_overdue(Length::from_seconds(3600), now)).count()
    };
    // The hours from 03:00 (UTC hour 3) on are not delivered; the first of them ends after four hours.
    assert_eq!((overdue(5 * 3600), overdue(5 * 3600 + 1), overdue(7 * 3600 + 1)), (0, 1, 3));
}
