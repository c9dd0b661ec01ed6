//! What the listing of a partner's directory says about the files of a batch. Nothing here acts.

use crate::app::config::PickupWay;
use crate::domain::pickup::{PickupFact, PickupState, Stamp, Taken};
use crate::ledger::pickup::{TrackedBatch, TrackedFile};
use crate::remote::{EntryKind, RemoteEntry};
use std::collections::{BTreeMap, BTreeSet};

/// So many names are told; the rest is counted.
const NAMED_MAX: usize = 3;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Sights {
    /// The partner's directory, directories left out.
    pub here: BTreeMap<String, RemoteEntry>,
    /// Names in the directory that the partner moves files to.
    pub moved: BTreeSet<String>,
}

impl Sights {
    pub(super) fn set_here(&mut self, entries: Vec<RemoteEntry>) {
        let files = entries.into_iter().filter(|entry| entry.kind != EntryKind::Directory);
        self.here = files.map(|entry| (entry.name.clone(), entry)).collect();
    }

    /// The sign that the partner took a file, besides its absence.
    fn sign(&self, way: &PickupWay, name: &str) -> Option<Taken> {
        if self.moved.contains(name) {
            return Some(Taken::Moved);
        }
        way.renamed(name).filter(|renamed| self.here.contains_key(renamed)).map(|_| Taken::Renamed)
    }
}

/// What an entry of a listing states about the content of a file.
pub(super) fn stamp(entry: &RemoteEntry) -> Stamp {
    Stamp { modified: entry.modified, unique: entry.unique.as_deref().map(Into::into) }
}

/// What the sights say about one file; `None`: nothing new.
pub(super) fn fact(file: &TrackedFile, sights: &Sights, way: &PickupWay) -> Option<PickupFact> {
    if !file.is_outstanding() {
        return None;
    }
    let here = sights.here.get(file.name.as_str());
    if file.pickup.state == PickupState::Removing {
        return here.is_none().then_some(PickupFact::Vanished);
    }
    if let Some(how) = sights.sign(way, file.name.as_str()) {
        return Some(PickupFact::Taken { how, missed: here.is_none() });
    }
    match here {
        Some(entry) if file.pickup.state == PickupState::Unseen => Some(PickupFact::Seen(stamp(entry))),
        Some(_) => None,
        None if *way == PickupWay::Kept => Some(PickupFact::Vanished),
        None => Some(PickupFact::Taken { how: Taken::Missing, missed: true }),
    }
}

/// True when the fact says that a file is gone.
pub(super) const fn is_absence(fact: &PickupFact) -> bool {
    matches!(fact, PickupFact::Taken { missed: true, .. } | PickupFact::Vanished)
}

/// True when the fact rests on an absence alone, which only a listing shows that is known to be whole. A file that is
/// seen where the partner moves what it takes needs no such proof, and so no file of ours that the partner's program
/// could stumble over.
pub(super) const fn needs_proof(fact: &PickupFact) -> bool {
    matches!(fact, PickupFact::Taken { how: Taken::Missing, missed: true } | PickupFact::Vanished)
}

/// What is strange about a batch of which the manifest and the part files were not taken together. What an earlier look
/// has seen counts: a partner that is at work now will be done at the next one.
pub(super) fn mismatch(batch: &TrackedBatch, facts: &BTreeMap<i64, PickupFact>) -> Option<String> {
    let waits = |file: &&TrackedFile| {
        let taken_now = matches!(facts.get(&file.row), Some(PickupFact::Taken { .. } | PickupFact::Vanished));
        file.is_outstanding() && !taken_now
    };
    let was_taken = |file: &&TrackedFile| file.pickup.state == PickupState::PickedUp;
    let manifest = batch.files.iter().find(|file| file.part.0 == 0)?;
    let parts = || batch.files.iter().filter(|file| file.part.0 > 0);
    let named = |files: Vec<&TrackedFile>| names(files.iter().map(|file| file.name.as_str()));
    if was_taken(&manifest) {
        let left: Vec<&TrackedFile> = parts().filter(waits).collect();
        return (!left.is_empty())
            .then(|| format!("the manifest {} was taken, and of its files there stay {}", manifest.name, named(left)));
    }
    let taken: Vec<&TrackedFile> = parts().filter(was_taken).collect();
    let manifest_waits = manifest.delivered_at.is_none() || waits(&manifest);
    (manifest_waits && !taken.is_empty())
        .then(|| format!("taken before the manifest {}: {}", manifest.name, named(taken)))
}

/// The first names, and how many more there are.
pub(super) fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.map(|name| name.escape_debug().to_string()).collect();
    let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = names.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::BatchId;
    use crate::domain::ids::{FeedId, FileName, PartNumber, Revision};
    use crate::domain::period::Partition;
    use crate::domain::pickup::Pickup;
    use crate::domain::time::UtcTime;

    fn file(part: u32, name: &str, state: PickupState) -> TrackedFile {
        TrackedFile {
            row: i64::from(part) + 1,
            part: PartNumber(part),
            name: FileName::parse(name).expect("name"),
            bytes: 5,
            delivered_at: Some(UtcTime::from_nanos(1)),
            shown_as: None,
            pickup: Pickup { state, ..Pickup::default() },
        }
    }

    fn sights(here: &[&str], moved: &[&str]) -> Sights {
        let entry = |name: &&str| RemoteEntry {
            name: (*name).to_owned(),
            kind: EntryKind::File,
            bytes: Some(5),
            modified: None,
            unique: None,
        };
        let mut sights = Sights::default();
        sights.set_here(here.iter().map(entry).collect());
        sights.moved = moved.iter().map(|name| (*name).to_owned()).collect();
        sights
    }

    fn said(state: PickupState, way: &PickupWay, here: &[&str], moved: &[&str]) -> String {
        let fact = fact(&file(1, "a", state), &sights(here, moved), way);
        fact.map_or_else(String::new, |fact| match &fact {
            PickupFact::Taken { how, missed } => {
                format!("{}{}", how.as_str(), if *missed { "" } else { ", still here" })
            }
            PickupFact::Seen(_) | PickupFact::Vanished | PickupFact::RemovalIntended => fact.name().to_owned(),
        })
    }

    #[test]
    fn each_way_of_picking_up_has_its_signs() {
        use PickupState::{PickedUp, Removing, There, Unseen};
        let moved = PickupWay::Moved(crate::remote::RemotePath::parse("done").expect("path"));
        let renamed = PickupWay::Renamed { before: String::new(), after: ".done".to_owned() };
        for (state, way, here, elsewhere, expected) in [
            (Unseen, &PickupWay::Deleted, &["a"][..], &[][..], "seen"),
            (There, &PickupWay::Deleted, &["a"], &[], ""),
            (There, &PickupWay::Deleted, &["b"], &[], "missing"),
            (Unseen, &PickupWay::Deleted, &[], &[], "missing"),
            (PickedUp, &PickupWay::Deleted, &[], &[], ""),
            (There, &moved, &[], &["a"], "moved"),
            (There, &moved, &["a"], &["a"], "moved, still here"),
            (There, &moved, &[], &["b"], "missing"),
            (There, &renamed, &["a.done"], &[], "renamed"),
            (There, &renamed, &["a", "a.done"], &[], "renamed, still here"),
            (There, &renamed, &["b.done"], &[], "missing"),
            (There, &PickupWay::Kept, &[], &[], "vanished"),
            (Removing, &PickupWay::Kept, &[], &[], "vanished"),
            (Removing, &PickupWay::Kept, &["a"], &[], ""),
        ] {
            assert_eq!(said(state, way, here, elsewhere), expected, "{state:?} {way} {here:?} {elsewhere:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_delivered_says_nothing() {
        let waiting = TrackedFile { delivered_at: None, ..file(1, "a", PickupState::Unseen) };
        assert_eq!(fact(&waiting, &sights(&[], &[]), &PickupWay::Deleted), None);
    }

    #[test]
    fn a_manifest_and_its_files_belong_together() {
        use PickupState::{PickedUp, There};
        let feed = FeedId::parse("p/f").expect("feed");
        let id = BatchId { feed, partition: Partition { start: 0, end: 3600 }, revision: Revision(0) };
        let told = |manifest, a, b, facts: &[(i64, PickupFact)]| {
            let files = vec![file(1, "a", a), file(2, "b", b), file(0, "m", manifest)];
            mismatch(&TrackedBatch { row: 1, id: id.clone(), files }, &facts.iter().cloned().collect())
        };
        let taken = PickupFact::Taken { how: Taken::Missing, missed: true };
        assert_eq!(told(There, There, There, &[]), None);
        assert_eq!(told(PickedUp, PickedUp, PickedUp, &[]), None);
        let stays = told(PickedUp, PickedUp, There, &[]).expect("strange");
        assert_eq!(stays, "the manifest m was taken, and of its files there stay b");
        assert_eq!(told(There, PickedUp, There, &[]).expect("strange"), "taken before the manifest m: a");
        assert_eq!(told(PickedUp, PickedUp, There, &[(3, taken.clone())]), None, "the last one was taken now");
        assert_eq!(told(There, There, There, &[(2, taken)]), None, "the partner is at work");
    }

    #[test]
    fn a_few_names_stand_for_many() {
        assert_eq!(names(["a", "b\n"].into_iter()), "a, b\\n");
        assert_eq!(names(["a", "b", "c", "d", "e"].into_iter()), "a, b, c and 2 more");
    }
}
