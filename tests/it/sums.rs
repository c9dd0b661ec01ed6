//! `status` reads sums of hours that are with the partner, and says what it would say without them.

use crate::site::{MovedClock, Site, VOICE_FEED, call_line, load, time};
use hourdrop::app::config::Config;
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::progress::Silent;
use hourdrop::app::report::status::status;
use hourdrop::app::report::{Depth, FeedBook, books};
use hourdrop::disk::RealDisk;
use hourdrop::domain::time::UtcTime;
use hourdrop::ledger::Ledger;
use std::sync::Arc;

const NOW: &str = "2024-11-05T05:00:00Z";
const HOURS: i64 = 40;
/// Batches and files of a sum here.
const ROWS_MIN: u64 = 12;

/// The book of the first feed as `status` reads it, when it says the same as all rows would.
pub fn book_as_rows(config: &Config, now: UtcTime) -> Result<FeedBook, String> {
    let ledger = Ledger::open_read_only(&config.ledger_path()).map_err(|fault| fault.to_string())?;
    let read = |depth| books(config, Some(&ledger), depth).map_err(|fault| fault.to_string());
    let said = |books: &[FeedBook]| format!("{:?}", status(books, Vec::new(), Vec::new(), now));
    let (summed, rows) = (read(Depth::Sums)?, read(Depth::Everything)?);
    if said(&summed) != said(&rows) {
        return Err(format!("sums say {}\nrows say {}", said(&summed), said(&rows)));
    }
    summed.into_iter().next().ok_or_else(|| "there is no feed".to_owned())
}

struct Handoff {
    site: Site,
    clock: Arc<MovedClock>,
}

impl Handoff {
    fn new(partner: &str, feed: &str) -> Self {
        let site = Site::in_memory();
        site.drop_dir("huaxin");
        site.configure(&format!(
            "state = \"state\"\narchive = {{ dir = \"archive\", keep = \"60d\" }}\n[source.switch]\nfiles = \"in\"\nfinished = \"renamed\"\n\
             format = \"kamailio-acc-cdrs\"\n[partner.huaxin]\ndeliver = \"drop/huaxin\"\n{partner}\n{VOICE_FEED}\n{feed}\n"
        ));
        Self { site, clock: Arc::new(MovedClock::at(time(NOW).seconds())) }
    }

    fn config(&self) -> Config {
        load(&self.site.path("hourdrop.toml"), NOW)
    }

    fn open(&self) -> Exporter {
        let clock: Arc<MovedClock> = Arc::clone(&self.clock);
        let world = World { sum_rows_min: ROWS_MIN, ..World::new(Arc::new(RealDisk), clock, Arc::new(Silent)) };
        Exporter::open(self.config(), &world, None, true).expect("an exporter")
    }

    /// A pass; how many sums and files `status` reads then.
    fn pass(&self) -> (usize, usize) {
        self.open().once().expect("a pass");
        self.read()
    }

    fn read(&self) -> (usize, usize) {
        let now = hourdrop::clock::Clock::now(&*self.clock);
        let book = book_as_rows(&self.config(), now).unwrap_or_else(|difference| panic!("{difference}"));
        (book.sums.len(), book.files.len())
    }

    /// One call in each of these hours, counted from the first.
    fn calls(&self, name: &str, hours: impl Iterator<Item = i64>) {
        let lines: String = hours.map(|hour| call_line(hour * 60 + 1, &format!("{name}{hour}"))).collect();
        self.site.write(&format!("in/{name}.log"), lines);
    }

    fn dropped(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.site.drop_dir("huaxin")).expect("the partner's directory");
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect()
    }
}

#[test]
fn hours_that_are_delivered_are_summed_up_and_again_after_a_supplement() {
    let handoff = Handoff::new("", "");
    handoff.calls("a", 0..HOURS);
    // Three rows an hour: a batch, a part file and a manifest.
    assert_eq!(handoff.pass(), (10, 0));
    handoff.calls("b", HOURS..HOURS + 3);
    assert_eq!(handoff.pass(), (10, 6));
    handoff.calls("late", 5..7);
    assert_eq!(handoff.pass(), (11, 6), "the four hours of a sum are two sums now, as they have more files");
    let reader = Ledger::open_read_only(&handoff.config().ledger_path()).expect("ledger");
    let feed = handoff.config().feeds().next().expect("a feed").id.clone();
    let sums = reader.hour_sums(&feed, i64::MIN).expect("sums");
    let numbers: Vec<String> = sums.iter().map(|sum| sum.part_numbers.to_string()).collect();
    assert_eq!(numbers[..3], ["0:1-4", "0:5-7 0:44-45", "0:8"]);
}

#[test]
fn hours_that_nobody_sends_leave_gaps_that_are_counted_as_before() {
    let handoff = Handoff::new("", "empty = \"none\"\nsequence = { last = 25, then = 1 }");
    handoff.calls("a", (0..HOURS).filter(|hour| hour % 3 == 0 || *hour > 20));
    let (sums, _) = handoff.pass();
    assert!(sums >= 5, "{sums}");
    handoff.calls("late", (0..HOURS).filter(|hour| hour % 7 == 1));
    assert!(handoff.pass().0 >= 5);
}

#[test]
fn what_waits_for_the_partner_is_not_summed_up_and_what_is_back_is_no_more() {
    let handoff = Handoff::new("pickup = { by = \"deleted\", within = \"90m\" }", "");
    handoff.calls("a", 0..HOURS);
    assert_eq!(handoff.pass().0, 0);
    let files = handoff.dropped();
    assert_eq!(i64::try_from(files.len()), Ok(2 * HOURS));
    let contents: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("read")).collect();
    let all_but_one = files.iter().filter(|file| !file.ends_with("HX_2024110307_00006.dat"));
    all_but_one.for_each(|file| std::fs::remove_file(file).expect("taken"));
    handoff.clock.pass(120);
    let (sums, read) = handoff.pass();
    assert!(sums >= 6 && read >= 2, "{sums} sums, {read} files");
    files.iter().zip(&contents).take(4).for_each(|(file, bytes)| std::fs::write(file, bytes).expect("back"));
    handoff.clock.pass(120);
    handoff.pass();
    handoff.read();
    handoff.dropped().iter().for_each(|file| std::fs::remove_file(file).expect("taken"));
    handoff.clock.pass(120);
    assert!(handoff.pass().0 >= 9);
}

#[test]
fn a_reader_sees_either_a_sum_or_the_rows_while_late_records_wait() {
    let handoff = Handoff::new("", "late = \"supplement\"\ngrace = \"2h\"");
    handoff.calls("a", 0..HOURS);
    assert_eq!(handoff.pass(), (10, 0));
    handoff.calls("late", 5..6);
    let mut exporter = handoff.open();
    exporter.turn(u64::MAX).expect("a turn");
    assert_eq!(handoff.read(), (9, 8 + 9), "four hours that wait for a supplement, and nine empty ones up to now");
}
