#![expect(clippy::disallowed_methods, reason = "tests damage files")]

use super::*;
use crate::disk::RealDisk;
use crate::disk::faulty::FaultyDisk;
use serde_json::json;
use std::fs;
use std::sync::atomic::Ordering;

fn at(text: &str) -> UtcTime {
    UtcTime::from_seconds(chrono::DateTime::parse_from_rfc3339(text).expect("time").timestamp()).expect("range")
}

fn tail(dir: &Path, after: u64) -> Result<Tail, LogFault> {
    Tail::read(&RealDisk, dir, after)
}

fn open(dir: &Path, number: u64) -> ArchiveLog {
    let tail = tail(dir, number).expect("tail");
    ArchiveLog::open(Arc::new(RealDisk), dir, "0a".to_owned(), &tail, number).expect("log")
}

fn append(log: &mut ArchiveLog, time: &str, row: u64) -> u64 {
    log.write(at(time), &[json!({ "row": row })], false).expect("write");
    log.sync().expect("sync")
}

fn all(dir: &Path) -> (Vec<u64>, Vec<String>) {
    let mut rows = Vec::new();
    let mut take = |entry: Entry| {
        if entry.header.as_ref().is_some_and(|header| header.whole) {
            rows.clear();
        }
        rows.extend(entry.rows.iter().filter_map(|row| row["row"].as_u64()));
        Ok::<(), LogFault>(())
    };
    let damage = read_all(&RealDisk, dir, &mut take).expect("readable");
    (rows, damage.iter().map(ToString::to_string).collect())
}

#[test]
fn lines_are_numbered_across_months_and_restarts() {
    let dir = tempfile::tempdir().expect("directory");
    let mut log = open(dir.path(), 0);
    assert_eq!(append(&mut log, "2026-11-30T23:00:00Z", 1), 2);
    drop(log);
    let mut log = open(dir.path(), 2);
    assert_eq!(append(&mut log, "2026-12-01T00:00:00Z", 2), 4);
    assert_eq!(append(&mut log, "2026-11-30T23:59:00Z", 3), 5, "the clock stepped back: the newest file goes on");
    let names: Vec<_> = log_files(&RealDisk, dir.path()).expect("files");
    assert_eq!(names.len(), 2);
    assert_eq!(all(dir.path()), (vec![1, 2, 3], Vec::new()));
    let behind = |after| tail(dir.path(), after).expect("tail").entries.iter().map(|e| e.number).collect::<Vec<_>>();
    assert_eq!((behind(5), behind(4), behind(1), behind(0)), (vec![], vec![5], vec![2, 3, 4, 5], vec![1, 2, 3, 4, 5]));
}

#[test]
fn a_torn_end_is_cut_at_every_byte_and_nothing_else_is() {
    let whole = tempfile::tempdir().expect("directory");
    let mut log = open(whole.path(), 0);
    for row in 1..4 {
        append(&mut log, "2026-11-21T08:00:00Z", row);
    }
    let file = log_dir(whole.path()).join("2026-11.jsonl");
    let bytes = fs::read(&file).expect("log");
    let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    for length in 0..bytes.len() {
        fs::write(&file, &bytes[..length]).expect("cut");
        let lines = ends.iter().filter(|end| **end <= length).count() as u64;
        assert_eq!(tail(whole.path(), 0).expect("tail").number, lines, "cut at {length}");
        let mut log = open(whole.path(), lines);
        append(&mut log, "2026-11-21T08:00:00Z", 9);
        let (rows, damage) = all(whole.path());
        assert_eq!((rows.last(), damage.len()), (Some(&9), 0), "cut at {length}");
    }
    let last_line = ends[ends.len() - 2];
    for position in 0..last_line {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x20;
        fs::write(&file, &damaged).expect("damage");
        let found = tail(whole.path(), 0);
        assert!(matches!(found, Err(LogFault::Damaged { .. })), "byte {position}: {found:?}");
        assert_eq!(all(whole.path()).1.len().min(1), 1, "byte {position}");
    }
}

#[test]
fn lines_that_belong_together_count_when_the_last_one_is_there() {
    let dir = tempfile::tempdir().expect("directory");
    let mut log = open(dir.path(), 0);
    append(&mut log, "2026-11-21T08:00:00Z", 1);
    log.write(at("2026-11-21T08:00:00Z"), &[json!({ "row": 2 })], true).expect("write");
    log.sync().expect("sync");
    assert_eq!(tail(dir.path(), 2).expect("tail").number, 2);
    let mut log = open(dir.path(), 2);
    assert_eq!(append(&mut log, "2026-11-21T08:00:00Z", 3), 3);
    assert_eq!(all(dir.path()).0, [1, 3]);
}

fn open_faulty(disk: &FaultyDisk, dir: &Path) -> ArchiveLog {
    let tail = tail(dir, 0).expect("tail");
    ArchiveLog::open(Arc::new(disk.clone()), dir, "0a".to_owned(), &tail, 0).expect("log")
}

/// The name of the file may be lost: no line in it counts, whatever is written behind it.
#[test]
fn nothing_counts_after_a_failed_sync_of_the_file_or_of_its_directory() {
    let november = at("2026-11-21T08:00:00Z");
    let rows = [json!({ "row": 1 })];
    let latched = |log: &mut ArchiveLog| {
        let (written, synced) = (log.write(november, &rows, false), log.sync());
        matches!((written, synced), (Err(LogFault::Latched), Err(LogFault::Latched)))
    };
    // Of directories: the one above, when the log's is made, and then the log's.
    for (directories, files) in [(0, -1), (1, -1), (-1, 0), (-1, 1)] {
        let dir = tempfile::tempdir().expect("directory");
        let disk = FaultyDisk::default();
        disk.0.directory_syncs.store(directories, Ordering::Relaxed);
        disk.0.file_syncs.store(files, Ordering::Relaxed);
        let mut log = open_faulty(&disk, dir.path());
        let done = log.write(november, &rows, false).and_then(|()| log.sync());
        let Err(LogFault::Disk { operation, source, .. }) = done else { panic!("{directories} {files}: {done:?}") };
        assert!(latched(&mut log), "{directories} {files}: {operation} {source}");
    }
}

#[test]
fn a_log_that_is_behind_begins_anew() {
    let dir = tempfile::tempdir().expect("directory");
    append(&mut open(dir.path(), 0), "2026-11-21T08:00:00Z", 1);
    let file = log_dir(dir.path()).join("2026-11.jsonl");
    fs::rename(&file, file.with_extension("aside")).expect("move aside");
    let mut log = open(dir.path(), 7);
    assert_eq!(append(&mut log, "2026-11-21T08:00:00Z", 2), 9);
    assert_eq!(all(dir.path()).0, [2]);
}

#[test]
fn the_end_of_a_long_log_is_read_alone() {
    let dir = tempfile::tempdir().expect("directory");
    let mut log = open(dir.path(), 0);
    let rows = [json!({ "row": "x".repeat(500) })];
    for _ in 0..5_000 {
        log.write(at("2026-11-21T08:00:00Z"), &rows, false).expect("write");
    }
    log.sync().expect("sync");
    // The beginning may be anything: a start does not look at it.
    let file = log_dir(dir.path()).join("2026-11.jsonl");
    let mut bytes = fs::read(&file).expect("log");
    let second = bytes.iter().position(|byte| *byte == b'\n').expect("header") + 1;
    bytes[second + 10] ^= 1;
    fs::write(&file, bytes).expect("write");
    assert_eq!(tail(dir.path(), 4_990).expect("tail").entries.len(), 11);
    assert!(matches!(tail(dir.path(), 0), Err(LogFault::Damaged { line: 2, .. })));
}
