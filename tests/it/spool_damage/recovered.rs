//! A damaged spool while the ledger is built again: what was acknowledged is not taken for a torn end, and a look changes
//! nothing.

use super::*;
use crate::site::files_in;

const RECOVER: [&str; 3] = ["recover", "--reason", "the disk was replaced"];
const LOOK: [&str; 4] = ["recover", "--dry-run", "--reason", "a look"];

impl Damaged {
    fn lose_ledger(&self) {
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let removed = fs::remove_file(self.site.path("state").join(name));
            assert!(removed.is_ok() || name != "ledger.db", "{removed:?}");
        }
    }

    fn journal(&self) -> BTreeMap<String, Vec<u8>> {
        files_in(&self.site.path("state/journal"))
    }

    /// What was put aside, and under which names.
    fn aside(&self) -> BTreeMap<String, Vec<u8>> {
        let dir = self.site.path("state/damaged");
        if dir.exists() { files_in(&dir) } else { BTreeMap::new() }
    }

    /// The calls of good frames, as they can be exported.
    fn good(&self, gone: &BTreeSet<u64>) -> BTreeMap<u64, Vec<String>> {
        self.calls.iter().filter(|(lsn, _)| !gone.contains(lsn)).map(|(lsn, calls)| (*lsn, calls.clone())).collect()
    }

    /// A look and the recovery itself agree; the look changes nothing.
    fn recover(&self, code: i32) -> String {
        let state = || {
            let files = files_in(&self.site.path("state")).into_iter();
            files.filter(|(name, _)| !name.ends_with("-shm") && name != "LOCK").collect::<BTreeMap<_, _>>()
        };
        let before = state();
        let (found, look) = self.hourdrop(&LOOK);
        let after = state();
        let changed = before.iter().filter(|(name, bytes)| after.get(*name) != Some(bytes)).map(|(name, _)| name);
        assert_eq!(changed.collect::<Vec<_>>(), Vec::<&String>::new(), "{look}");
        assert!(after.iter().all(|(name, bytes)| before.contains_key(name) || bytes.is_empty()), "{:?}", after.keys());
        assert_eq!(found, Some(code), "{look}");
        let (found, text) = self.hourdrop(&RECOVER);
        assert_eq!(found, Some(code), "{text}");
        let told = |text: &str| {
            let lines =
                text.lines().filter(|line| ["DAMAGED", "TORN", "LOST", "HELD"].iter().any(|w| line.starts_with(w)));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(told(&look), told(&text), "a look says what will be found");
        // Without the breaks of long lines.
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn release_all(&self) {
        let ledger = Ledger::open_read_only(&self.site.path("state/ledger.db")).expect("ledger");
        let held = ledger.held().expect("held");
        drop(ledger);
        assert!(!held.is_empty());
        for (feed, hour, _) in held {
            release(&mut self.open().expect("an exporter"), &feed, hour);
        }
    }
}

#[test]
fn a_damaged_frame_beside_a_lost_ledger_costs_its_records_and_nothing_behind_it() {
    let last = Damaged::new().segments().pop().expect("a segment");
    let frames = frames_of(&last);
    let first = *frames.first().expect("a frame");
    assert!(frames.len() > 1, "something lies behind it");
    // In the last segment and in the last group, where a torn end would be; and in front of both.
    for frame in [first, 2] {
        let damaged = Damaged::new();
        damaged.break_frame(frame, 33);
        damaged.lose_ledger();
        let broken = damaged.journal();
        let text = damaged.recover(4);
        assert!(text.contains("DAMAGED") && text.contains(&format!("frame {frame} is lost")), "{text}");
        let gone = BTreeSet::from([frame]);
        let aside = damaged.aside();
        let [(name, bytes)] = aside.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", aside.keys()) };
        assert_eq!(broken.get(name), Some(bytes), "the damaged file is kept");
        assert_eq!(damaged.readable(&Wanted::default()), damaged.good(&gone));

        // Nobody counted what the frame held, so every open hour waits for a person.
        let report = damaged.once();
        assert_eq!(report.exit_code(), 4, "{report:?}");
        assert_eq!(damaged.delivered(), Vec::<String>::new());
        damaged.release_all();
        assert_eq!(damaged.once().exit_code(), 0);
        damaged.assert_delivered(&damaged.calls.get(&frame).into_iter().flatten().cloned().collect());
    }
}

/// The journal was mended, and the power went before the new ledger had its place.
#[test]
fn a_recovery_that_did_not_come_to_its_end_holds_the_same_hours_when_it_is_done_again() {
    let damaged = Damaged::new();
    let frame = *damaged.calls.keys().next_back().expect("a frame");
    damaged.break_frame(frame - 2, 33);
    damaged.lose_ledger();
    let archive = files_in(&damaged.site.path("archive"));
    let held = |text: &str| text.matches("HELD").count();
    let first = damaged.recover(4);
    damaged.lose_ledger();
    fs::remove_dir_all(damaged.site.path("archive")).expect("removed");
    for (name, bytes) in archive {
        damaged.site.write(&format!("archive/{name}"), bytes);
    }
    let second = damaged.recover(4);
    assert!(first.contains("DAMAGED") && !second.contains("DAMAGED"), "{second}");
    assert!(held(&first) > 0 && held(&first) == held(&second), "{second}");
}

#[test]
fn the_last_frame_is_known_to_be_durable_by_a_ledger_that_can_be_read() {
    let damaged = Damaged::new();
    let frame = *damaged.calls.keys().next_back().expect("a frame");
    damaged.break_frame(frame, 33);
    let text = damaged.recover(4);
    assert!(text.contains(&format!("frame {frame} is lost")) && !text.contains("HELD"), "{text}");
    assert_eq!(damaged.aside().len(), 1);
    let lost: BTreeSet<String> = damaged.calls[&frame].iter().cloned().collect();
    let report = damaged.once();
    let [(feed, hour, reason)] = report.held.as_slice() else { panic!("one hour: {report:?}") };
    assert!(reason.contains(&format!("{} of 5 records were lost with damaged frame {frame}", lost.len())), "{reason}");
    release(&mut damaged.open().expect("an exporter"), feed, *hour);
    assert_eq!(damaged.once().exit_code(), 0);
    damaged.assert_delivered(&lost);
}

/// Appends to the last frame what a group that was being written leaves behind when the power goes.
fn tear(damaged: &Damaged, whole_frame_behind: bool) {
    let segment = damaged.segments().pop().expect("a segment");
    let last = segment.frames.last().expect("a frame");
    let mut bytes = fs::read(&segment.path).expect("segment");
    bytes.truncate(usize::try_from(last.offset + last.bytes).expect("small"));
    let mut frame = Vec::new();
    for number in 1..=2 {
        let whole = hourdrop::spool::frame::Frame {
            lsn: lsn(last.lsn.0 + number),
            durable: last.lsn,
            previous_crc: 7,
            kind: hourdrop::record::accepted::KIND_BATCH,
            payload: b"a record",
        };
        frame.clear();
        hourdrop::spool::frame::write(&whole, &mut frame);
        if number == 1 {
            frame[30] ^= 1;
        }
        if number == 1 || whole_frame_behind {
            bytes.extend_from_slice(&frame);
        }
    }
    fs::write(&segment.path, bytes).expect("torn");
}

#[test]
fn a_torn_end_that_nobody_acknowledged_is_cut_as_at_any_start() {
    for whole_frame_behind in [false, true] {
        let damaged = Damaged::new();
        tear(&damaged, whole_frame_behind);
        let text = damaged.recover(0);
        assert!(!text.contains("DAMAGED") && !text.contains("TORN"), "{text}");
        assert_eq!(damaged.aside(), BTreeMap::new());
        assert_eq!(damaged.once().exit_code(), 0);
        damaged.assert_delivered(&BTreeSet::new());
        assert_eq!(damaged.balance(), [40, 40, 0, 0]);
    }
}

#[test]
fn a_torn_end_beside_a_lost_ledger_is_cut_and_kept_aside() {
    let damaged = Damaged::new();
    tear(&damaged, false);
    let broken = damaged.journal();
    damaged.lose_ledger();
    let text = damaged.recover(0);
    assert!(text.contains("TORN") && text.contains("nobody knows") && !text.contains("DAMAGED"), "{text}");
    let aside = damaged.aside();
    let [(name, bytes)] = aside.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", aside.keys()) };
    assert_eq!(broken.get(name), Some(bytes));
    assert_eq!(damaged.once().exit_code(), 0);
    damaged.assert_delivered(&BTreeSet::new());
}

#[test]
fn a_damaged_header_beside_a_lost_ledger_costs_nothing() {
    let count = Damaged::new().segments().len();
    for index in [1, count - 1] {
        let damaged = Damaged::new();
        let segment = damaged.segments().swap_remove(index);
        let mut bytes = fs::read(&segment.path).expect("segment");
        bytes[10] ^= 1;
        fs::write(&segment.path, bytes).expect("damage");
        damaged.lose_ledger();
        let text = damaged.recover(4);
        assert!(text.contains("the segment header is not readable; no frame is lost"), "{text}");
        assert_eq!(damaged.once().exit_code(), 0);
        damaged.assert_delivered(&BTreeSet::new());
    }
}

#[test]
fn a_missing_segment_beside_a_lost_ledger_is_named_and_the_rest_goes_on() {
    let damaged = Damaged::new();
    let segment = damaged.segments().swap_remove(2);
    fs::remove_file(&segment.path).expect("remove");
    damaged.lose_ledger();
    let gone = frames_of(&segment);
    let text = damaged.recover(4);
    assert!(text.contains("the segment file is missing") && text.contains("are lost"), "{text}");
    assert_eq!(damaged.readable(&Wanted::default()), damaged.good(&gone));
    assert_eq!(damaged.once().exit_code(), 4);
}
