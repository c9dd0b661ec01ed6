//! Finished files that the journal keeps instead of copying them, see [`crate::spool::adopted`].
//!
//! A file gets its name in the journal when its first records are handed out: one that turns out not to be in the source's
//! format leaves nothing behind.

use super::FileSource;
use crate::disk::{Disk, DiskRead, Entry};
use crate::domain::ids::FileKey;
use crate::intake::IntakeFault;
use crate::intake::input::GZIP_MAGIC;
use crate::record::AcceptedBatch;
use crate::record::accepted::lines::InputReading;
use crate::spool::adopted::adopt;
use std::io::{self, Read, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

/// How finished files are kept by the journal.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// The journal.
    pub journal: PathBuf,
    /// Only files from this size on.
    pub bytes_min: u64,
    /// Name and text of the source's format.
    pub reading: Arc<InputReading>,
}

/// Whether the journal keeps the file that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// Its records are copied.
    No,
    /// It will, from its first records on.
    Wanted,
    Yes,
}

impl FileSource {
    /// What the file is, where keeping it is worth it and its bytes are those of its lines. `reader` is at its beginning,
    /// and is left there.
    pub(super) fn worth_keeping(&self, entry: &Entry, reader: &mut dyn DiskRead) -> io::Result<Option<FileKey>> {
        if self.adoption.as_ref().is_none_or(|adoption| entry.stat.bytes < adoption.bytes_min) {
            return Ok(None);
        }
        let mut begin = Vec::new();
        (&mut *reader).take(GZIP_MAGIC.len() as u64).read_to_end(&mut begin)?;
        reader.seek(SeekFrom::Start(0))?;
        // Somebody may have put another file in its place meanwhile.
        let (device, inode) = reader.stat()?.identity;
        let is_kept = begin != GZIP_MAGIC && (device, inode) == entry.stat.identity;
        Ok(is_kept.then_some(FileKey { device, inode }))
    }

    /// Lets the journal keep the file before records that refer to it are handed out. Where it cannot, they do not.
    pub(super) fn keep(
        &self,
        disk: &dyn Disk,
        entry: &Entry,
        keeping: Keeping,
        batch: &mut AcceptedBatch,
    ) -> Result<Keeping, IntakeFault> {
        let now = match (&self.adoption, keeping) {
            (Some(adoption), Keeping::Wanted) => {
                let adopted = adopt(disk, &adoption.journal, &entry.path, &entry.stat);
                let is_kept = adopted.map_err(self.fault("keep", &entry.path))?.is_some();
                if is_kept { Keeping::Yes } else { Keeping::No }
            }
            (_, keeping) => keeping,
        };
        if now != Keeping::Yes {
            batch.lines = None;
        }
        Ok(now)
    }
}
