//! `pickup`: how a partner shows that it took a file, and what is expected of it.

use crate::document::{Place, Placed, Table};
use crate::domain::time::Length;
use crate::remote::RemotePath;
use std::fmt;

/// The time between two looks where none is given.
const LOOK_EVERY: Length = Length::from_seconds(60);

/// How the partner shows that it took a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickupWay {
    /// The file is gone.
    Deleted,
    /// It lies in another directory of the same server.
    Moved(RemotePath),
    /// It has another name in the same directory.
    Renamed {
        /// What stands before our name then.
        before: String,
        /// What stands behind it.
        after: String,
    },
    /// Not at all: files stay.
    Kept,
}

impl PickupWay {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(directory) = text.strip_prefix("moved:") {
            return match RemotePath::parse(directory) {
                Ok(path) if !path.name().is_empty() => Ok(Self::Moved(path)),
                Ok(_) => Err("`moved:` names no directory".to_owned()),
                Err(fault) => Err(fault.to_string()),
            };
        }
        if let Some(pattern) = text.strip_prefix("renamed:") {
            let halves = pattern.split_once('*').filter(|(before, after)| {
                !(after.contains('*') || pattern.contains('/') || before.is_empty() && after.is_empty())
            });
            let (before, after) = halves.ok_or(
                "`renamed:` wants our name as one `*` and something besides, without `/`, as in \"renamed:*.done\"",
            )?;
            return Ok(Self::Renamed { before: before.to_owned(), after: after.to_owned() });
        }
        match text {
            "deleted" => Ok(Self::Deleted),
            "kept" => Ok(Self::Kept),
            _ => Err("`by` is not a known way of picking up".to_owned()),
        }
    }

    /// The name that the partner gives a file of ours, where it renames what it takes.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Option<String> {
        match self {
            Self::Renamed { before, after } => Some(format!("{before}{name}{after}")),
            Self::Deleted | Self::Moved(_) | Self::Kept => None,
        }
    }
}

impl fmt::Display for PickupWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("deleted"),
            Self::Moved(directory) => write!(f, "moved:{directory}"),
            Self::Renamed { before, after } => write!(f, "renamed:{before}*{after}"),
            Self::Kept => f.write_str("kept"),
        }
    }
}

/// What is expected of the partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickupRule {
    /// How it shows that it took a file.
    pub by: PickupWay,
    /// Within which time after the delivery.
    pub within: Option<Length>,
    /// The least time between two looks into its directory.
    pub look_every: Length,
    /// So long after the delivery we remove the files that it keeps.
    pub remove_after: Option<Length>,
    /// Names in its directory that are not ours and are no reason for an alarm.
    pub ignore: Vec<glob::Pattern>,
}

impl PickupRule {
    /// True when the partner is expected to take files.
    #[must_use]
    pub fn expects(&self) -> bool {
        self.by != PickupWay::Kept
    }

    /// True when there is a reason to look into its directory.
    #[must_use]
    pub fn looks(&self) -> bool {
        self.expects() || self.remove_after.is_some()
    }

    /// A partner that fetches from our own server deletes what it has taken: every deletion is seen.
    pub(super) const fn of_own_server() -> Self {
        let (within, remove_after) = (None, None);
        Self { by: PickupWay::Deleted, within, look_every: LOOK_EVERY, remove_after, ignore: Vec::new() }
    }

    pub(super) fn read(table: Table<'_>) -> Self {
        let by = table.required_text("by");
        let way = by.as_ref().map(|by| (PickupWay::parse(&by.value), &by.place));
        if let Some((Err(message), place)) = &way {
            let hint = "write \"deleted\", \"moved:DIR\", \"renamed:PATTERN\" or \"kept\"";
            table.problems().add(place.error_with_hint(message, hint));
        }
        let within = table.length("within");
        let remove_after = table.length("remove_after");
        let look_every = table.length("look_every").map_or(LOOK_EVERY, |length| length.value);
        let ignore = table.texts("ignore").unwrap_or_default();
        let ignore = ignore.into_iter().filter_map(|text| pattern(&table, &text)).collect();
        let by = way.and_then(|(way, _)| way.ok()).unwrap_or(PickupWay::Deleted);
        let wrong = |place: &Place, message: &str, hint: &str| {
            table.problems().add(place.error_with_hint(message, hint));
        };
        match (&by, &within, &remove_after) {
            (PickupWay::Kept, Some(within), _) => {
                wrong(&within.place, "`within` expects something of a partner that takes nothing", "leave it out");
            }
            (PickupWay::Deleted | PickupWay::Moved(_) | PickupWay::Renamed { .. }, _, Some(after)) => {
                let hint = "leave it out: what the partner takes away is not ours to remove";
                wrong(&after.place, "`remove_after` goes with `by = \"kept\"` only", hint);
            }
            _ => {}
        }
        table.finish();
        let value = |length: Option<Placed<Length>>| length.map(|length| length.value);
        Self { by, within: value(within), look_every, remove_after: value(remove_after), ignore }
    }
}

fn pattern(table: &Table<'_>, text: &Placed<String>) -> Option<glob::Pattern> {
    match glob::Pattern::new(&text.value) {
        Ok(pattern) => Some(pattern),
        Err(fault) => {
            table.problems().add(text.place.error(format!("not a pattern: {}", fault.msg)));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_of_picking_up_are_read_and_written() {
        for text in ["deleted", "kept", "moved:done", "moved:/out/done", "renamed:*.done", "renamed:done_*"] {
            assert_eq!(PickupWay::parse(text).map(|way| way.to_string()), Ok(text.to_owned()));
        }
        for bad in
            ["", "gone", "moved:", "moved:../x", "renamed:", "renamed:*", "renamed:x", "renamed:*.*", "renamed:d/*"]
        {
            assert!(PickupWay::parse(bad).is_err(), "{bad}");
        }
        let way = PickupWay::parse("renamed:done_*.x").expect("a way");
        assert_eq!(way.renamed("A.dat").as_deref(), Some("done_A.dat.x"));
    }
}
