//! Looking at both names after a rename whose outcome is not known.

use super::sight::with_probe;
use crate::remote::{Remote, RemoteEntry, RemoteFault, RemotePath};

/// What was seen under the temporary and the final name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    temporary: Option<Sight>,
    last: Option<Sight>,
}

/// A name that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    /// Its size, where stated.
    pub(super) bytes: Option<u64>,
    unique: Option<String>,
}

impl Seen {
    /// Both or neither, or a file that is listed and has no size: a rename that is carried out, or a file that is taken,
    /// between two questions looks so, too.
    pub(super) const fn is_ambiguous(&self) -> bool {
        matches!(self.temporary, Some(Sight { bytes: None, .. }))
            || matches!(self.last, Some(Sight { bytes: None, .. }))
            || self.temporary.is_some() == self.last.is_some()
    }
}

/// What a look says about the rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was not carried out: the whole temporary file is still there.
    NotRenamed,
    /// It was carried out.
    Renamed,
    /// The rename of an earlier attempt was carried out; ours is left over.
    RenamedEarlier,
    /// Both names lead to the same file: the rename was carried out, and the old name is left over.
    SameFile,
    /// A file that is not known to be ours has the final name.
    Conflict {
        /// Its size in bytes, where stated.
        found_bytes: Option<u64>,
    },
    /// The temporary file is there but has changed: it was not renamed.
    Damaged,
    /// The temporary file is listed, and the server states no size of it.
    Unclear,
    /// Neither name is there.
    Gone,
}

/// Judges a look by the table in the documentation of [`super`]. Pure.
pub(super) fn judge(seen: &Seen, bytes: u64, exposed: bool) -> Verdict {
    let whole = |sight: &Sight| sight.bytes == Some(bytes);
    match (&seen.temporary, &seen.last) {
        (Some(temporary), None) if whole(temporary) => Verdict::NotRenamed,
        (Some(Sight { bytes: Some(_), .. }), None) => Verdict::Damaged,
        (Some(_), None) => Verdict::Unclear,
        (None, Some(last)) if whole(last) => Verdict::Renamed,
        (Some(temporary), Some(last)) if whole(last) && same_file(temporary, last) => Verdict::SameFile,
        (Some(_), Some(last)) if whole(last) && exposed => Verdict::RenamedEarlier,
        (_, Some(last)) => Verdict::Conflict { found_bytes: last.bytes },
        (None, None) => Verdict::Gone,
    }
}

fn same_file(one: &Sight, other: &Sight) -> bool {
    one.unique.is_some() && one.unique == other.unique
}

/// Looks at both names, by listing their directories and by asking for their sizes: a name that either shows is there.
pub(super) fn look(session: &mut dyn Remote, temporary: &RemotePath, last: &RemotePath) -> Result<Seen, RemoteFault> {
    let entries = session.list(&temporary.parent())?;
    let elsewhere = if temporary.parent() == last.parent() { None } else { Some(session.list(&last.parent())?) };
    Ok(Seen {
        temporary: sight(session, &entries, temporary)?,
        last: sight(session, elsewhere.as_ref().unwrap_or(&entries), last)?,
    })
}

/// Looks at one name in the same way.
pub(super) fn look_at(session: &mut dyn Remote, path: &RemotePath) -> Result<Option<Sight>, RemoteFault> {
    let entries = session.list(&path.parent())?;
    sight(session, &entries, path)
}

fn sight(session: &mut dyn Remote, entries: &[RemoteEntry], path: &RemotePath) -> Result<Option<Sight>, RemoteFault> {
    match entries.iter().find(|entry| entry.name == path.name()) {
        Some(RemoteEntry { bytes: Some(bytes), unique, .. }) => {
            Ok(Some(Sight { bytes: Some(*bytes), unique: unique.clone() }))
        }
        // Listed without its size. When it is gone by now, the next look shows it.
        Some(entry) => Ok(Some(Sight { bytes: session.size(path)?, unique: entry.unique.clone() })),
        None => Ok(session.size(path)?.map(|bytes| Sight { bytes: Some(bytes), unique: None })),
    }
}

/// Whether a file of ours that is put under `probe` can be seen there. It is removed again.
pub(super) fn can_see(session: &mut dyn Remote, probe: &RemotePath) -> Result<bool, RemoteFault> {
    with_probe(session, probe, |session| {
        let listed = session.list(&probe.parent())?.iter().any(|entry| entry.name == probe.name());
        Ok(listed || session.size(probe)?.is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn there(bytes: u64) -> Sight {
        Sight { bytes: Some(bytes), unique: None }
    }

    const LISTED: Sight = Sight { bytes: None, unique: None };

    fn same(bytes: u64) -> Sight {
        Sight { bytes: Some(bytes), unique: Some("803U1A".to_owned()) }
    }

    #[test]
    fn every_pair_of_sights_is_judged_as_the_table_says() {
        let conflict = |found| Verdict::Conflict { found_bytes: Some(found) };
        for (temporary, last, plain, exposed) in [
            (Some(there(5)), None, Verdict::NotRenamed, Verdict::NotRenamed),
            (Some(there(4)), None, Verdict::Damaged, Verdict::Damaged),
            (Some(LISTED), None, Verdict::Unclear, Verdict::Unclear),
            (None, Some(there(5)), Verdict::Renamed, Verdict::Renamed),
            (None, Some(there(4)), conflict(4), conflict(4)),
            (Some(there(5)), Some(there(5)), conflict(5), Verdict::RenamedEarlier),
            (Some(there(5)), Some(there(4)), conflict(4), conflict(4)),
            (Some(same(5)), Some(same(5)), Verdict::SameFile, Verdict::SameFile),
            (Some(same(4)), Some(same(4)), conflict(4), conflict(4)),
            (None, None, Verdict::Gone, Verdict::Gone),
        ] {
            let seen = Seen { temporary, last };
            assert_eq!(judge(&seen, 5, false), plain, "{seen:?}");
            assert_eq!(judge(&seen, 5, true), exposed, "{seen:?}, exposed");
        }
    }

    #[test]
    fn both_or_neither_or_a_name_without_size_needs_a_second_look() {
        let ambiguous = |temporary, last| Seen { temporary, last }.is_ambiguous();
        assert!(ambiguous(Some(LISTED), None) && ambiguous(None, Some(LISTED)));
        assert!(ambiguous(None, None) && ambiguous(Some(there(5)), Some(there(5))));
        assert!(!ambiguous(Some(there(5)), None) && !ambiguous(None, Some(there(5))));
    }
}
