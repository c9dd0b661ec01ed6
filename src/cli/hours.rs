//! `hours`: what became of the records of every hour.

use super::arguments::HoursArguments;
use super::table::{Column, counted, grouped, left, right, table};
use super::times::{Face, parse_day, parse_time, rough};
use super::{Answer, Context, Failure, exit};
use crate::app::report::FeedBook;
use crate::app::report::hours::{Completeness, Hour, HourLine, Standing, completeness, hours, lines};
use crate::domain::answer::Verdict;
use crate::domain::batch::{BatchState, HourCounts};
use crate::domain::counter::Sequence;
use crate::domain::period::{Partition, Zone};
use crate::domain::runs::Runs;
use crate::domain::time::UtcTime;
use crate::ledger::sums::Taking;
use serde_json::{Value, json};

/// Without `--since` or `--day` so many hours are shown, the latest.
const SHOWN: usize = 48;

/// The command.
pub fn run(context: &Context, arguments: &HoursArguments) -> Result<Answer, Failure> {
    let config = context.config(arguments.state.demo)?;
    let ledger = context.needed_ledger(&config)?;
    let mut answer = Answer { exit: exit::DONE, ..Answer::default() };
    for book in context.books(&config, &ledger, arguments.feed.as_deref())? {
        let face = context.face(book.definition.period.zone());
        let all = hours(&book);
        let chosen = choose(arguments, book.definition.period.zone(), &all)?;
        let screen = Screen { book: &book, face, all: &all, shown: &chosen, now: context.now() };
        if !answer.text.is_empty() {
            answer.text.push('\n');
        }
        answer.text.push_str(&screen.text());
        let left_out = all.len() - chosen.len();
        if arguments.since.is_none() && arguments.until.is_none() && arguments.day.is_none() && left_out > 0 {
            let earlier = counted(left_out as u64, "earlier hour");
            answer.notes.push(format!("{}: {earlier} not shown: --since or --day shows them", book.definition.id));
        }
        answer.json.extend(screen.json());
    }
    Ok(answer)
}

/// The hours that were asked for.
fn choose<'h, 'b>(arguments: &HoursArguments, zone: Zone, all: &'h [Hour<'b>]) -> Result<Vec<&'h Hour<'b>>, Failure> {
    let mut span = Partition { start: i64::MIN, end: i64::MAX };
    if let Some(day) = &arguments.day {
        span = parse_day(day, zone)?;
    }
    if let Some(since) = &arguments.since {
        span.start = parse_time(since, zone)?.seconds();
    }
    if let Some(until) = &arguments.until {
        span.end = parse_time(until, zone)?.seconds();
    }
    // An hour that has begun before `since` and not ended is asked for, too.
    let inside = |hour: &&Hour<'_>| hour.partition.end > span.start && hour.partition.start < span.end;
    let chosen: Vec<&Hour<'_>> = all.iter().filter(inside).collect();
    let unbounded = arguments.since.is_none() && arguments.until.is_none() && arguments.day.is_none();
    let skip = if unbounded { chosen.len().saturating_sub(SHOWN) } else { 0 };
    Ok(chosen.into_iter().skip(skip).collect())
}

/// The table of one feed.
struct Screen<'s, 'b> {
    book: &'b FeedBook,
    face: Face,
    all: &'s [Hour<'b>],
    shown: &'s [&'s Hour<'b>],
    now: UtcTime,
}

const COLUMNS: [Column; 11] = [
    left("HOUR"),
    right("RECEIVED ="),
    right("SENT +"),
    right("FILTERED +"),
    right("QUARANT +"),
    right(VOID),
    right("PENDING"),
    right("SEQ"),
    left("DELIVERED"),
    left(PICKED_UP),
    left(""),
];

/// This column is there when anything is void.
const VOID: &str = "VOID +";

/// This column is there when the partner is expected to take files.
const PICKED_UP: &str = "PICKED UP";

impl Screen<'_, '_> {
    fn text(&self) -> String {
        let definition = &self.book.definition;
        let label = Label::of(self.face, self.shown);
        let gone = if self.book.configured { "" } else { "  not in the configuration any more" };
        let mut text = format!(
            "{}  hours of {} by {}{}{gone}\n",
            definition.id,
            self.face.zone,
            definition.hour_by.value,
            label.heading(),
        );
        if self.all.is_empty() {
            text.push_str("no hour yet\n");
        } else if self.shown.is_empty() {
            text.push_str("no hour in this span\n");
        } else {
            let with_void = self.shown.iter().any(|hour| hour.void() > 0);
            let rows = self.shown.iter().flat_map(|hour| lines(hour)).map(|line| self.row(&label, &line, with_void));
            let is_shown = |column: &Column| match column.title {
                VOID => with_void,
                PICKED_UP => self.book.expects_pickup,
                _ => true,
            };
            let columns: Vec<Column> = COLUMNS.into_iter().filter(is_shown).collect();
            text.push_str(&table(&columns, rows.collect()));
        }
        if let Some(untimed) = self.untimed() {
            text.push_str(&format!(
                "without a usable time: {} received, {} filtered, {} in quarantine\n",
                grouped(untimed.received),
                grouped(untimed.filtered),
                grouped(untimed.quarantined)
            ));
        }
        text.push_str(&self.summary());
        text
    }

    fn untimed(&self) -> Option<HourCounts> {
        self.book.hours.iter().find(|row| row.partition.is_none()).map(|row| row.counts)
    }

    fn row(&self, label: &Label, line: &HourLine, with_void: bool) -> Vec<String> {
        let width = self.book.definition.name.seq_width().unwrap_or(1);
        let delivered = line.delivered_at.map(|at| self.face.second_beside(at, line.partition.end));
        let mut cells = vec![
            label.hour(line),
            grouped(line.received),
            line.sent.map_or_else(|| "-".to_owned(), grouped),
            grouped(line.filtered),
            grouped(line.quarantined),
        ];
        cells.extend(with_void.then(|| grouped(line.void)));
        cells.extend([
            grouped(line.pending),
            line.sequences.map_or_else(|| "-".to_owned(), |numbers| sequence_text(numbers, width)),
            delivered.unwrap_or_else(|| "-".to_owned()),
        ]);
        cells.extend(self.book.expects_pickup.then(|| self.picked_up(line)));
        cells.push(note(line));
        cells
    }

    /// When the last file was taken, or how long the first one waits.
    fn picked_up(&self, line: &HourLine) -> String {
        let Taking { files, last_at, waiting, waiting_since } = line.taken;
        match (waiting, last_at) {
            (0, Some(at)) => self.face.second_beside(at, line.partition.end),
            (0, None) => "-".to_owned(),
            (_, _) => {
                let some = if files > 0 { format!("{files} of {}, ", files + waiting) } else { String::new() };
                let age = waiting_since.map_or_else(String::new, |since| rough(self.now.since(since)));
                format!("{some}waiting {age}")
            }
        }
    }

    fn summary(&self) -> String {
        let Some(found) = completeness(&self.book.sums, self.all) else {
            return if self.all.is_empty() {
                String::new()
            } else {
                "not complete from the first hour on\n".to_owned()
            };
        };
        let Completeness { span, hours, files, sequences, void, missing } = found;
        let width = self.book.definition.name.seq_width().unwrap_or(1);
        let numbers = sequences.map(|numbers| format!(", {}", sequence_text(numbers, width))).unwrap_or_default();
        let gap = match missing {
            0 if void.is_empty() => "no gap".to_owned(),
            0 => void_text(&void, width),
            missing if void.is_empty() => format!("{} MISSING", counted(missing, "number")),
            missing => format!("{}, {} MISSING", void_text(&void, width), counted(missing, "number")),
        };
        let hours = counted(hours, "hour");
        let files = counted(files, "file");
        format!(
            "complete {} to {}: {hours}, {files}{numbers}, {gap}\n",
            self.face.minute(span.start),
            self.face.minute(span.end)
        )
    }

    fn json(&self) -> Vec<Value> {
        let feed = self.book.definition.id.to_string();
        let line_json = |line: HourLine| {
            json!({
                "feed": feed,
                "start": self.face.iso(line.partition.start),
                "end": self.face.iso(line.partition.end),
                "revision": line.revision.0,
                "received": line.received,
                "sent": line.sent.unwrap_or(0),
                "filtered": line.filtered,
                "quarantined": line.quarantined,
                "void": line.void,
                "lost": line.lost,
                "pending": line.pending,
                "first_sequence": line.sequences.map(|(first, _)| first.number),
                "last_sequence": line.sequences.map(|(_, last)| last.number),
                "void_sequences": line.void_sequences.numbers().map(|sequence| sequence.number).collect::<Vec<_>>(),
                "files": line.files,
                "state": line.standing.word(),
                "reason": line.reason,
                "source_incomplete": line.source_incomplete,
                "delivered_at": line.delivered_at.map(|at| self.face.iso(at.seconds())),
                "answer": line.answer.map(Verdict::word),
                "picked_up_files": line.taken.files,
                "picked_up_at": line.taken.last_at.filter(|_| line.taken.waiting == 0).map(|at| self.face.iso(at.seconds())),
                "unpicked_files": if self.book.expects_pickup { Some(line.taken.waiting) } else { None },
            })
        };
        self.shown.iter().flat_map(|hour| lines(hour)).map(line_json).collect()
    }
}

/// `05196`, or `05196-05199` for several.
pub fn sequence_text((first, last): (Sequence, Sequence), width: usize) -> String {
    let first_text = format!("{:0width$}", first.number);
    if first == last { first_text } else { format!("{first_text}-{:0width$}", last.number) }
}

/// So many runs of void numbers are named.
const VOID_RUNS: usize = 3;

/// `05197 void`, `05197-05199, 05204 void` for several, which are in order; of many the last ones.
pub fn void_text(numbers: &Runs, width: usize) -> String {
    let earlier = if numbers.iter().len() > VOID_RUNS { "..., " } else { "" };
    let shown = numbers.iter().skip(numbers.iter().len().saturating_sub(VOID_RUNS));
    let shown: Vec<String> = shown.map(|run| sequence_text(run, width)).collect();
    format!("{earlier}{} void", shown.join(", "))
}

/// What there is to say about a line.
fn note(line: &HourLine) -> String {
    let lost = if line.lost > 0 { format!("  {} LOST", counted(line.lost, "record")) } else { String::new() };
    let incomplete = if line.source_incomplete { "  a source was incomplete" } else { "" };
    let said = match line.standing {
        Standing::Open => "open".to_owned(),
        Standing::LateWaiting => "late records wait to be sealed".to_owned(),
        Standing::Batch(state) => match state {
            BatchState::Held(_) => format!("HELD {}", line.reason.as_deref().unwrap_or_default()),
            BatchState::Retired if line.delivered_at.is_none() => "sealed, not sent".to_owned(),
            BatchState::Delivered | BatchState::PickedUp | BatchState::Retired => match line.received {
                _ if line.revision.0 > 0 => "supplement".to_owned(),
                0 => "empty, stated".to_owned(),
                _ => String::new(),
            },
            BatchState::Skipped => "empty, nothing sent".to_owned(),
            BatchState::Planned => "being sealed".to_owned(),
            BatchState::Sealed => "waits for delivery".to_owned(),
            BatchState::Delivering => "on its way".to_owned(),
            BatchState::Superseded => "superseded".to_owned(),
            BatchState::Open => "open".to_owned(),
            BatchState::Void => format!("VOID {}", line.reason.as_deref().unwrap_or_default()),
        },
    };
    let answer = match line.answer {
        Some(Verdict::Rejected) => "  REJECTED by the partner",
        Some(Verdict::Accepted | Verdict::Settled) => "  accepted",
        None => "",
    };
    format!("{said}{answer}{incomplete}{lost}").trim().to_owned()
}

/// How much of a time has to be said to tell the shown hours apart.
struct Label {
    face: Face,
    /// All hours lie on this day.
    day: Option<String>,
    offsets: bool,
}

impl Label {
    fn of(face: Face, shown: &[&Hour<'_>]) -> Self {
        let days = |hour: &&Hour<'_>| face.layout(hour.partition.start, "%Y-%m-%d");
        let first = shown.first();
        let day = first.map(days).filter(|day| shown.iter().all(|hour| days(hour) == *day));
        let offset = first.map(|hour| face.offset(hour.partition.start));
        let offsets = shown.iter().any(|hour| Some(face.offset(hour.partition.start)) != offset);
        Self { face, day, offsets }
    }

    fn heading(&self) -> String {
        self.day.as_ref().map(|day| format!("  {day}")).unwrap_or_default()
    }

    fn hour(&self, line: &HourLine) -> String {
        let start = line.partition.start;
        let layout = if self.day.is_some() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        let mut text = self.face.layout(start, layout);
        if self.offsets {
            text.push_str(&format!(" {}", self.face.offset(start)));
        }
        if line.revision.0 > 0 {
            text.push_str(&format!(" r{:02}", line.revision.0));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::report::hours::tests::{book, day_in_new_york};

    #[test]
    fn a_screen_balances_every_line_and_tells_doubled_hours_apart() {
        let book = book("zone = \"America/New_York\"", &day_in_new_york());
        let all = hours(&book);
        let shown: Vec<&Hour<'_>> = all.iter().collect();
        let face = Face { zone: book.definition.period.zone() };
        let screen = Screen { book: &book, face, all: &all, shown: &shown, now: UtcTime::MIN };
        let expected = "\
p/f  hours of America/New_York by start_time  2024-11-03
HOUR              RECEIVED =  SENT +  FILTERED +  QUARANT +  PENDING    SEQ  DELIVERED
00:00 -04:00           1,204   1,198           6          0        0  00001  01:10:03
01:00 -04:00               0       0           0          0        0  00002  01:10:04   empty, stated
01:00 -05:00           1,307   1,298           7          2        0  00003  02:10:03
01:00 -05:00 r01           3       3           0          0        0  00004  02:44:10   supplement
02:00 -05:00              12      12           0          0        0  00005  -          waits for delivery
03:00 -05:00              40       -           0         40        0      -  -          HELD 40 of 40 records in quarantine
04:00 -05:00             211       -           1          0      210      -  -          open
complete 2024-11-03 00:00 -04:00 to 2024-11-03 02:00 -05:00: 3 hours, 4 files, 00001-00004, no gap
";
        assert_eq!(screen.text(), expected);
    }

    #[test]
    fn void_numbers_are_named_in_runs() {
        let text = |numbers: &[(u64, u64)]| {
            let numbers = numbers.iter().map(|(cycle, number)| Sequence { cycle: *cycle, number: *number });
            void_text(&numbers.collect(), 3)
        };
        assert_eq!(text(&[(0, 2)]), "002 void");
        assert_eq!(text(&[(0, 2), (0, 3), (0, 4), (0, 7)]), "002-004, 007 void");
        assert_eq!(text(&[(0, 999), (1, 1000)]), "999, 1000 void");
        assert_eq!(text(&[(0, 1), (0, 3), (0, 5), (0, 7), (0, 8)]), "..., 003, 005, 007-008 void");
    }

    #[test]
    fn what_is_void_has_a_column_when_there_is_any() {
        let mut book = book("", &day_in_new_york()[..4]);
        let last = book.batches.len() - 1;
        book.batches[last].state = BatchState::Void;
        book.batches[last].voided = 12;
        book.batches[last].reason = Some("billed by hand".to_owned());
        book.files.iter_mut().rev().take(2).for_each(|file| "void".clone_into(&mut file.state));
        let all = hours(&book);
        let shown: Vec<&Hour<'_>> = all.iter().skip(2).collect();
        let screen =
            Screen { book: &book, face: Face { zone: Zone::UTC }, all: &all, shown: &shown, now: UtcTime::MIN };
        let expected = "\
p/f  hours of UTC by start_time  2024-11-03
HOUR       RECEIVED =  SENT +  FILTERED +  QUARANT +  VOID +  PENDING    SEQ  DELIVERED
06:00           1,307   1,298           7          2       0        0  00003  07:10:03
06:00 r01           3       3           0          0       0        0  00004  07:44:10   supplement
07:00              12       0           0          0      12        0  00005  -          VOID billed by hand
complete 2024-11-03 04:00 Z to 2024-11-03 08:00 Z: 4 hours, 5 files, 00001-00005, 00005 void
";
        assert_eq!(screen.text(), expected);
        assert_eq!(screen.json()[2]["void_sequences"], serde_json::json!([5]));
    }
}
