//! Logs that grow: followed by device and inode, so a rotation neither loses the last lines nor reads a file twice.
//!
//! A log is known as `name@device-inode`, after the name it had when it was first seen. One that lies under another
//! name now was rotated; when it has not grown from one look to the next it is finished. An inode that comes back
//! with other content after that is a new log, known as `name@device-inode-2` and so on.

use super::name_of;
use crate::disk::Entry;
use std::collections::BTreeMap;

type Identity = (u64, u64);

/// The logs of a source.
#[derive(Default)]
pub(super) struct FollowedLogs {
    /// Logs that are being read, by identity.
    reading: BTreeMap<Identity, String>,
    /// Logs that were read to their end after a rotation, by identity: the latest name.
    finished: BTreeMap<Identity, String>,
    /// Rotated logs: length at the last look, and whether it was the same at the look before.
    rotated: BTreeMap<String, (u64, bool)>,
    learned: bool,
}

impl FollowedLogs {
    /// Learns, once, what was read before the program started; names are given oldest first.
    pub(super) fn learn(&mut self, unfinished: Vec<String>, finished: Vec<String>) {
        let with_identity = |name: String| Some((identity_in(&name)?, name));
        self.finished = finished.into_iter().filter_map(with_identity).collect();
        self.reading = unfinished.into_iter().filter_map(with_identity).collect();
        self.learned = true;
    }

    pub(super) const fn has_learned(&self) -> bool {
        self.learned
    }

    /// True for a log that is being read, whatever it is called now.
    pub(super) fn is_followed(&self, entry: &Entry) -> bool {
        self.reading.contains_key(&entry.stat.identity)
    }

    /// The name under which a log was finished, when its inode was.
    pub(super) fn finished_as(&self, entry: &Entry) -> Option<&str> {
        let is_read_again = self.reading.contains_key(&entry.stat.identity);
        self.finished.get(&entry.stat.identity).filter(|_| !is_read_again).map(String::as_str)
    }

    /// The name under which a log is known; a new one is taken up.
    pub(super) fn name(&mut self, entry: &Entry) -> String {
        let identity = entry.stat.identity;
        let next = match self.finished.get(&identity) {
            None => first_name(entry),
            Some(before) => format!("{}-{}", first_name(entry), generation_of(before) + 1),
        };
        self.reading.entry(identity).or_insert(next).clone()
    }

    /// Notes which logs lie under another name than the one they are known by.
    pub(super) fn look(&mut self, entries: &[Entry]) {
        let mut rotated = BTreeMap::new();
        for entry in entries {
            let Some(name) = self.reading.get(&entry.stat.identity) else { continue };
            if name.split('@').next() != name_of(&entry.path).as_deref() {
                let unchanged = self.rotated.get(name).is_some_and(|(bytes, _)| *bytes == entry.stat.bytes);
                rotated.insert(name.clone(), (entry.stat.bytes, unchanged));
            }
        }
        self.rotated = rotated;
    }

    /// True for a rotated log that does not grow any more: its end is the end.
    pub(super) fn is_over(&self, name: &str) -> bool {
        self.rotated.get(name).is_some_and(|(_, unchanged)| *unchanged)
    }

    /// A log was read to its end.
    pub(super) fn finish(&mut self, entry: &Entry) {
        if let Some(name) = self.reading.remove(&entry.stat.identity) {
            self.rotated.remove(&name);
            self.finished.insert(entry.stat.identity, name);
        }
    }
}

fn first_name(entry: &Entry) -> String {
    let (device, inode) = entry.stat.identity;
    format!("{}@{device}-{inode}", name_of(&entry.path).unwrap_or_default())
}

/// Device, inode and generation in a name.
fn numbers_in(name: &str) -> Option<(u64, u64, u64)> {
    let (_, numbers) = name.rsplit_once('@')?;
    let mut numbers = numbers.split('-').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(1)))
}

fn identity_in(name: &str) -> Option<Identity> {
    numbers_in(name).map(|(device, inode, _)| (device, inode))
}

fn generation_of(name: &str) -> u64 {
    numbers_in(name).map_or(1, |(_, _, generation)| generation)
}
