//! Whether a file was read before: by name, length and hash, or by device and inode for a log that grows.

use super::{FileSource, HD_CHANGED, HD_KNOWN_CONTENT, KnownContent};
use crate::disk::{Disk, Entry};
use crate::domain::ids::{HashedBy, InputHash};
use crate::intake::content::hash_of;
use crate::intake::{InputHistory, IntakeFault, KnownInput};

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
            Some(known) => {
                let found = hash_of(disk, &entry.path, known.hash.by).map_err(self.fault("read", &entry.path))?;
                found == known.hash
            }
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
        let mut hashes: Vec<InputHash> = Vec::new();
        let mut hash = |by: HashedBy| match hashes.iter().find(|hash| hash.by == by) {
            Some(known) => Ok(*known),
            None => hash_of(disk, path, by).inspect(|found| hashes.push(*found)),
        };
        if let Some(known) = history.finished(&self.id, name).map_err(self.history_fault())? {
            let same_length = known.bytes == bytes;
            if same_length && known.modified_nanos == entry.stat.modified_nanos {
                return Ok(Known::Same);
            }
            if same_length && hash(known.hash.by).map_err(self.fault("read", path))? == known.hash {
                return Ok(Known::Same);
            }
            let message = format!("{name} was read before and has other content now");
            let hint = "rename it, or set changed_content = \"read\" or \"skip\" for this source".to_owned();
            return Ok(Known::Other(self.rules.changed_content, HD_CHANGED, message, hint));
        }
        if bytes == 0 {
            return Ok(Known::New);
        }
        let mut found = history.with_content(&self.id, bytes, &mut hash).map_err(self.history_fault())?;
        for known in self.unrecorded.iter().filter(|known| known.bytes == bytes) {
            if found.is_none() && hash(known.hash.by).map_err(self.fault("read", path))? == known.hash {
                found = Some(known.clone());
            }
        }
        Ok(match found {
            None => Known::New,
            Some(KnownInput { name: before, .. }) => {
                let message = format!("{name} has the content of {before}, which was read before");
                let hint = "remove it, or set known_content = \"skip\" or \"read\" for this source".to_owned();
                Known::Other(self.rules.known_content, HD_KNOWN_CONTENT, message, hint)
            }
        })
    }
}
