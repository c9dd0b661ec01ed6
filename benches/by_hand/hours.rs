//! The files of hours: written to the archive, and copied to the partner.

use crate::line::hour_name;
use hourdrop::domain::ids::Sha256Digest;
use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const HEADER: &[u8] = b"call_id|record_type|start_time|answer_time|calling|called|duration_s|charge|cell_id|note\n";
/// Bytes after which the disk is asked to begin.
const WRITE_OUT_BYTES: u64 = 2 << 20;
/// Files that are copied at the same time.
const COPIES: usize = 3;

/// A file that the disk writes out while more of it comes.
struct Written {
    file: File,
    bytes: u64,
    asked: u64,
}

impl Written {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create_new(path)?, bytes: 0, asked: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        if self.bytes - self.asked >= WRITE_OUT_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        fadvise(&self.file, self.asked, NonZeroU64::new(self.bytes - self.asked), Advice::DontNeed)?;
        self.asked = self.bytes;
        Ok(())
    }
}

struct Hour {
    archived: Written,
    /// The partner's file, where it is written at once.
    sent: Option<Written>,
    hash: Sha256,
    records: u64,
}

impl Hour {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.archived.write(bytes)?;
        self.sent.as_mut().map_or(Ok(()), |sent| sent.write(bytes))
    }
}

/// All hours that have records.
pub struct Hours {
    out: PathBuf,
    at_once: bool,
    begun: BTreeMap<i64, Hour>,
}

/// A file in the archive.
pub struct Archived {
    name: String,
    bytes: u64,
    records: u64,
    hash: Sha256Digest,
}

impl Hours {
    pub fn new(out: &Path, at_once: bool) -> Self {
        Self { out: out.to_owned(), at_once, begun: BTreeMap::new() }
    }

    /// Adds rendered lines to an hour.
    pub fn add(&mut self, hour: i64, lines: &[u8], records: u64) -> io::Result<()> {
        if !self.begun.contains_key(&hour) {
            let create = |directory| Written::create(&self.out.join(directory).join(file_name(hour)));
            let sent = self.at_once.then(|| create("out")).transpose()?;
            let mut first = Hour { archived: create("archive")?, sent, hash: Sha256::new(), records: 0 };
            first.write(HEADER)?;
            self.begun.insert(hour, first);
        }
        let Some(hour) = self.begun.get_mut(&hour) else { return Ok(()) };
        hour.records += records;
        hour.write(lines)
    }

    /// Ends and syncs every file.
    pub fn finish(mut self) -> io::Result<Vec<(i64, Archived)>> {
        for hour in self.begun.values_mut() {
            hour.write(format!("TRL|{}\n", hour.records).as_bytes())?;
            hour.archived.write_out()?;
            hour.sent.as_mut().map_or(Ok(()), Written::write_out)?;
        }
        let mut archived = Vec::new();
        for (hour, Hour { archived: file, sent, hash, records }) in self.begun {
            file.file.sync_data()?;
            sent.map_or(Ok(()), |sent| sent.file.sync_data())?;
            let hash = Sha256Digest(hash.finalize().into());
            archived.push((hour, Archived { name: file_name(hour), bytes: file.bytes, records, hash }));
        }
        File::open(self.out.join("archive"))?.sync_all()?;
        Ok(archived)
    }
}

/// Copies every file to the partner, unless that is done, proves it meanwhile, and writes its manifest behind it.
pub fn copy_proved(out: &Path, files: &[(i64, Archived)], is_done: bool) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((hour, file)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !is_done {
                copy(out, file)?;
            }
            let Archived { name, bytes, records, hash } = file;
            let manifest = out.join("out").join(format!("MANIFEST_{}.txt", hour_name(*hour)));
            let mut manifest = File::create_new(manifest)?;
            manifest.write_all(format!("{name}|{bytes}|{records}|{hash}\n").as_bytes())?;
            manifest.sync_data()?;
        }
        Ok::<_, io::Error>(())
    };
    thread::scope(|scope| {
        let copies: Vec<_> = (0..COPIES).map(|_| scope.spawn(work)).collect();
        copies.into_iter().try_for_each(|copy| copy.join().expect("no copy panics"))
    })?;
    File::open(out.join("out"))?.sync_all()
}

fn copy(out: &Path, file: &Archived) -> io::Result<()> {
    let mut from = File::open(out.join("archive").join(&file.name))?;
    let mut to = Written::create(&out.join("out").join(&file.name))?;
    let (mut buffer, mut hash) = (vec![0; crate::PIECE_BYTES], Sha256::new());
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        to.write(&buffer[..count])?;
    }
    to.file.sync_data()?;
    for file in [&from, &to.file] {
        fadvise(file, 0, None, Advice::DontNeed)?;
    }
    assert_eq!(Sha256Digest(hash.finalize().into()), file.hash, "{} is as it was archived", file.name);
    Ok(())
}

fn file_name(hour: i64) -> String {
    format!("CDR_{}.txt", hour_name(hour))
}
