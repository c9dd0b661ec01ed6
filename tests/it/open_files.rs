//! How many staged files are open at a time: a process may have only so many, and an hour may have any number of parts.

use crate::site::{Site, StandingClock, call_line, files_in, load, one_feed, time};
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::progress::Silent;
use hourdrop::disk::{Disk, DiskFile, DiskRead, Entry, RealDisk, Stat, SyncPoint};
use hourdrop::domain::ids::Sha256Digest;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const HOURS: i64 = 3;
const PARTS: i64 = 25;
const NOW: &str = "2024-11-03T12:00:00Z";

/// The machine's disk; it counts the files in staging that are open for writing.
#[derive(Clone, Default)]
struct CountingDisk {
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl CountingDisk {
    fn file(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        if !path.components().any(|part| part.as_os_str() == ".stage") {
            return file;
        }
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        Box::new(CountedFile { disk: self.clone(), file })
    }
}

struct CountedFile {
    disk: CountingDisk,
    file: Box<dyn DiskFile>,
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.disk.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Write for CountedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for CountedFile {
    fn sync(&mut self, point: SyncPoint) -> io::Result<()> {
        self.file.sync(point)
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn allocate(&mut self, length: u64) -> io::Result<bool> {
        self.file.allocate(length)
    }
    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek_to(offset)
    }
}

impl Disk for CountingDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create_new(path).map(|file| self.file(path, file))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open_append(path).map(|file| self.file(path, file))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        RealDisk.open_read(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        RealDisk.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        RealDisk.create_dir_all(dir, point)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        RealDisk.set_read_only(path)
    }
    fn sync_dir(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        RealDisk.sync_dir(dir, point)
    }
}

/// The archived files of the partner, by name.
fn archived(site: &Site) -> BTreeMap<String, Vec<u8>> {
    let files = files_in(&site.path("archive/huaxin")).into_iter();
    files.map(|(path, bytes)| (path.rsplit('/').next().unwrap_or_default().to_owned(), bytes)).collect()
}

#[test]
fn hours_of_many_part_files_have_no_more_than_one_of_them_open_each() {
    let site = Site::new();
    let source = "files = \"in\"\nfinished = \"renamed\"";
    let config = one_feed(&site, source, "records_max = 1\nshadow = true", "forever");
    let line = |number: i64| call_line(number / PARTS * 60 + number % PARTS, &format!("call {number}"));
    site.write("in/1.log", (0..HOURS * PARTS).map(line).collect::<String>());
    let disk = CountingDisk::default();
    let world = World::new(Arc::new(disk.clone()), Arc::new(StandingClock(time(NOW))), Arc::new(Silent));
    let exporter = Exporter::open(load(&config, NOW), &world, None, true).expect("an exporter");
    let report = exporter.once().expect("a pass");
    let batches = u64::try_from(HOURS).expect("small");
    assert_eq!((report.exit_code(), report.sealed.batches), (0, batches), "{report:?}");
    let (open, most) = (disk.open.load(Ordering::Relaxed), disk.most.load(Ordering::Relaxed));
    assert_eq!(open, 0, "all of them are closed in the end");
    assert!((1..=usize::try_from(HOURS).expect("small") + 1).contains(&most), "{most} files were open at a time");

    // Files that were put aside are what they would have been: the numbers of the later hours were guessed wrong, so
    // they got another header, too.
    let files = archived(&site);
    for number in 0..HOURS * PARTS {
        let hour = format!("202411030{}", 2 + number / PARTS);
        let (name, sequence) = (format!("HX_{hour}_{:05}.dat", number + 1), number + 1);
        let text = String::from_utf8_lossy(&files[&name]).into_owned();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!((lines.len(), lines[0], lines[2]), (3, format!("H|{hour}|{sequence}").as_str(), "T|1|1500"));
        assert!(lines[1].contains(&format!("|call {number}|")), "{text}");
        let manifest = String::from_utf8_lossy(&files[&format!("HX_{hour}_00.json")]).into_owned();
        let hash = Sha256Digest(Sha256::digest(text.as_bytes()).into()).to_string();
        assert!(manifest.contains(&hash), "the manifest states the hash of {name}");
    }
}
