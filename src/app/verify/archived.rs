//! Archived files against the ledger, and the other way round.

use super::{Verified, VerifyFault};
use crate::archive::{Archive, ArchiveFault};
use crate::disk::{Disk, Kind};
use crate::domain::ids::{FeedId, FileName};
use crate::domain::time::UtcTime;
use crate::ledger::Ledger;
use crate::ledger::reports::FileRow;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// The files of feeds as the ledger knows them.
pub(super) type Books<'f> = [(&'f FeedId, Vec<FileRow>)];

/// Directories between the archive and its files: partner, feed, year, month, day and hour.
const DEPTH: usize = 6;

/// Every file of an hour that lies in the archive, as a path below it.
pub(super) fn files_in(disk: &dyn Disk, root: &Path) -> Result<Vec<String>, VerifyFault> {
    let mut found = Vec::new();
    let mut waiting: Vec<(usize, PathBuf)> = vec![(0, root.to_owned())];
    while let Some((depth, dir)) = waiting.pop() {
        let refused = |source| VerifyFault::Disk { what: dir.display().to_string(), source };
        if disk.stat(&dir).map_err(refused)?.is_none() {
            continue;
        }
        for entry in disk.list(&dir).map_err(refused)? {
            let hidden = entry.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            match entry.stat.kind {
                Kind::Directory if depth < DEPTH && !hidden => waiting.push((depth + 1, entry.path)),
                Kind::File if depth == DEPTH => {
                    found.extend(entry.path.strip_prefix(root).map(|path| path.display().to_string()));
                }
                Kind::Directory | Kind::File | Kind::Other => {}
            }
        }
    }
    Ok(found)
}

/// Files that lie in the archive and that the ledger does not know.
pub(super) fn strangers(books: &Books<'_>, lying: &[String], found: &mut Verified) {
    let known: BTreeSet<String> = books
        .iter()
        .flat_map(|(feed, files)| files.iter().map(move |file| (feed, file)))
        .filter_map(|(feed, file)| Some(Archive::path_of(feed, file.partition, &FileName::parse(&file.name).ok()?)))
        .collect();
    for path in lying.iter().filter(|path| !known.contains(*path)) {
        found.differs("archive", path, "the ledger knows no such file");
    }
}

/// Reads every archived file again.
pub(super) fn prove(
    archive: &Archive,
    ledger: &Ledger,
    books: &Books<'_>,
    hour: Option<UtcTime>,
    told: &mut dyn FnMut(u64, u64),
    found: &mut Verified,
) -> Result<(), VerifyFault> {
    let asked = |file: &&FileRow| hour.is_none_or(|at| file.partition.contains(at));
    let files = || books.iter().flat_map(|(feed, files)| files.iter().filter(asked).map(move |file| (*feed, file)));
    let of: u64 = files().filter(|(_, file)| file.archive_path.is_some()).filter_map(|(_, file)| file.bytes).sum();
    for (feed, file) in files() {
        let (Some(bytes), Some(sha256)) = (file.bytes, &file.sha256) else { continue };
        let Some(path) = &file.archive_path else {
            found.expired += 1;
            continue;
        };
        let mut read = 0;
        let before = found.bytes;
        let hash = archive.hash_telling(path, &mut |count| {
            read += count;
            told(before + read, of);
        });
        match hash {
            Ok(hash) if read == bytes && hash.to_string() == *sha256 => {}
            Ok(_) if read != bytes => {
                found.differs("archive", path, format!("it has {read} bytes, {bytes} were archived"));
            }
            Ok(hash) => found.differs("archive", path, format!("its SHA-256 is {hash}, archived was {sha256}")),
            Err(ArchiveFault::Disk { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                if has_expired(ledger, feed, file)? {
                    found.expired += 1;
                    continue;
                }
                found.differs("archive", path, "it is missing");
            }
            Err(fault) => found.differs("archive", path, fault.to_string()),
        }
        found.files += 1;
        found.bytes += bytes;
    }
    Ok(())
}

/// Whether a file was removed from the archive since its row was read, because its time was over.
fn has_expired(ledger: &Ledger, feed: &FeedId, file: &FileRow) -> Result<bool, VerifyFault> {
    let same = |now: &FileRow| (now.partition, now.revision, now.part) == (file.partition, file.revision, file.part);
    Ok(ledger.file_rows(feed)?.iter().any(|now| same(now) && now.archive_path.is_none()))
}
