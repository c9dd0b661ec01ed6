//! Whether a file was read before: by name, length and hash, or by device and inode for a log that grows.

use super::{FileSource, HD_CHANGED, HD_KNOWN_CONTENT, KnownContent};
use crate::disk::{Disk, Entry, hash};
use crate::domain::ids::Sha256Digest;
use crate::intake::{InputHistory, IntakeFault, KnownInput};
use std::io;
use std::path::Path;

/// What is known about a file.
pub(super) enum Known {
    New,
    Same,
    Other(KnownContent, &'static str, String, String),
}

impl FileSource {
    /// A log whose inode was read to its end before: the same file, or a new one that got the old inode.
    pub(super) fn known_log(
        &mut self,
        disk: &dyn Disk,
        history: &dyn InputHistory,
        entry: &Entry,
    ) -> Result<Option<String>, IntakeFault> {
        let Some(name) = self.logs.finished_as(entry).map(str::to_owned) else { return Ok(None) };
        let known = history.finished(&self.id, &name).map_err(self.history_fault())?;
        let same = match known.filter(|known| known.bytes == entry.stat.bytes) {
            None => false,
            Some(known) => hash_of(disk, &entry.path).map_err(self.fault("read", &entry.path))? == known.sha256,
        };
        if !same {
            self.logs.name(entry);
        }
        Ok(same.then_some(name))
    }

    /// Compares a file with what was read before.
    pub(super) fn known(
        &self,
        disk: &dyn Disk,
        history: &dyn InputHistory,
        entry: &Entry,
        name: &str,
    ) -> Result<Known, IntakeFault> {
        let (bytes, path) = (entry.stat.bytes, &entry.path);
        let mut hash = None;
        let mut sha256 = || match hash {
            Some(known) => Ok(known),
            None => hash_of(disk, path).inspect(|found| hash = Some(*found)),
        };
        if let Some(known) = history.finished(&self.id, name).map_err(self.history_fault())? {
            let same_length = known.bytes == bytes;
            if same_length && known.modified_nanos == entry.stat.modified_nanos {
                return Ok(Known::Same);
            }
            if same_length && sha256().map_err(self.fault("read", path))? == known.sha256 {
                return Ok(Known::Same);
            }
            let message = format!("{name} was read before and has other content now");
            let hint = "rename it, or set changed_content = \"read\" or \"skip\" for this source".to_owned();
            return Ok(Known::Other(self.rules.changed_content, HD_CHANGED, message, hint));
        }
        let mut found = history.with_content(&self.id, bytes, &mut sha256).map_err(self.history_fault())?;
        for known in self.unrecorded.iter().filter(|known| known.bytes == bytes) {
            if found.is_none() && sha256().map_err(self.fault("read", path))? == known.sha256 {
                found = Some(known.clone());
            }
        }
        Ok(match found.filter(|_| bytes > 0) {
            None => Known::New,
            Some(KnownInput { name: before, .. }) => {
                let message = format!("{name} has the content of {before}, which was read before");
                let hint = "remove it, or set known_content = \"skip\" or \"read\" for this source".to_owned();
                Known::Other(self.rules.known_content, HD_KNOWN_CONTENT, message, hint)
            }
        })
    }
}

fn hash_of(disk: &dyn Disk, path: &Path) -> io::Result<Sha256Digest> {
    hash::hash_of(disk.open_read(path)?.as_mut(), &mut |_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::disk::faulty::FaultyDisk;
    use sha2::{Digest, Sha256};
    use std::io::Write;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_signal_while_a_file_is_compared_is_no_fault_of_its_source() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a");
        RealDisk.create_new(&path).expect("file").write_all(b"records").expect("content");
        let disk = FaultyDisk::default();
        disk.0.interrupted_reads.store(true, Ordering::Relaxed);
        assert_eq!(hash_of(&disk, &path).expect("a hash"), Sha256Digest(Sha256::digest(b"records").into()));
    }
}
