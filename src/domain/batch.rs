//! The life of a batch: all that one partner gets for one partition at one revision.
//!
//! ```text
//! Open -> Planned -> Sealed -> Delivering -> Delivered -> PickedUp -> Retired
//!    \-> Skipped   (an empty hour for which the policy wants no file; still a fact)
//! Open | Sealed | Delivering -> Held -> back          Sealed | Delivered | PickedUp -> Superseded
//! Open | Sealed | Delivering | Held -> Void   (a person decided that nothing more of it is sent)
//! Planned -> Void   (its records were lost with damage: it is planned anew, as the next revision)
//! ```
//! [`BatchState::apply`] is pure; the ledger stores the facts and the resulting state.

use super::counter::Sequence;
use super::ids::{FeedId, FileName, Lsn, PartNumber, Revision, Sha256Digest};
use super::period::Partition;
use super::time::UtcTime;
use std::fmt;

/// Which batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// For whom.
    pub feed: FeedId,
    /// Which hour.
    pub partition: Partition,
    /// 0 for the first time, then supplements.
    pub revision: Revision,
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchState {
    /// Records are still expected.
    Open,
    /// The cut, the numbers and the names are recorded; the files may be rendered any number of times.
    Planned,
    /// All files lie in the archive, durably.
    Sealed,
    /// At least one file is on its way.
    Delivering,
    /// Every file was verified at the partner, the manifest last.
    Delivered,
    /// The partner took every file.
    PickedUp,
    /// Nothing more is to be done.
    Retired,
    /// An empty hour that the policy states by no file.
    Skipped,
    /// A later revision replaces it.
    Superseded,
    /// It waits for a person.
    Held(HeldFrom),
    /// A person decided that nothing more of it is sent, or its plan could not be carried out.
    Void,
}

/// The state a held batch goes back to when it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeldFrom {
    /// Held before it was planned: no number was given yet.
    Open,
    /// Held before the first file left.
    Sealed,
    /// Held on the way.
    Delivering,
}

/// Something that happened to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchFact {
    /// The plan is recorded.
    Planned,
    /// The hour is empty and nothing is sent for it.
    Skipped,
    /// The files are archived.
    Sealed,
    /// The first file is on its way.
    DeliveryBegun,
    /// Every file was delivered.
    Delivered,
    /// The partner took every file.
    PickedUp,
    /// The end.
    Retired,
    /// A person is needed.
    Held,
    /// A person decided that it goes on.
    Released,
    /// A later revision replaces it.
    Superseded,
    /// A person decided that nothing more of it is sent, or its plan cannot be carried out.
    Voided,
}

/// A fact that cannot be true in this state: a defect, or a ledger that was changed by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch that is {state} cannot become {fact:?}")]
pub struct IllegalFact {
    /// The state.
    pub state: BatchState,
    /// The fact that does not fit.
    pub fact: BatchFact,
}

impl BatchState {
    /// The state after `fact`.
    ///
    /// # Errors
    /// [`IllegalFact`] when the fact does not fit the state.
    pub const fn apply(self, fact: BatchFact) -> Result<Self, IllegalFact> {
        Ok(match (self, fact) {
            (Self::Open, BatchFact::Planned) => Self::Planned,
            (Self::Open, BatchFact::Skipped) => Self::Skipped,
            (Self::Open, BatchFact::Held) => Self::Held(HeldFrom::Open),
            (Self::Planned, BatchFact::Sealed) => Self::Sealed,
            (Self::Sealed, BatchFact::DeliveryBegun) => Self::Delivering,
            (Self::Sealed, BatchFact::Retired) => Self::Retired,
            (Self::Sealed, BatchFact::Held) => Self::Held(HeldFrom::Sealed),
            (Self::Delivering, BatchFact::Delivered) => Self::Delivered,
            (Self::Delivering, BatchFact::Held) => Self::Held(HeldFrom::Delivering),
            (Self::Delivered, BatchFact::PickedUp) => Self::PickedUp,
            (Self::Delivered | Self::PickedUp, BatchFact::Retired) => Self::Retired,
            (Self::Sealed | Self::Delivered | Self::PickedUp, BatchFact::Superseded) => Self::Superseded,
            (Self::Held(HeldFrom::Open), BatchFact::Released) => Self::Open,
            (Self::Held(HeldFrom::Sealed), BatchFact::Released) => Self::Sealed,
            (Self::Held(HeldFrom::Delivering), BatchFact::Released) => Self::Delivering,
            (Self::Open | Self::Planned | Self::Sealed | Self::Delivering | Self::Held(_), BatchFact::Voided) => {
                Self::Void
            }
            (state, fact) => return Err(IllegalFact { state, fact }),
        })
    }

    /// All states, for parsing and for tests.
    pub const ALL: [Self; 13] = [
        Self::Open,
        Self::Planned,
        Self::Sealed,
        Self::Delivering,
        Self::Delivered,
        Self::PickedUp,
        Self::Retired,
        Self::Skipped,
        Self::Superseded,
        Self::Held(HeldFrom::Open),
        Self::Held(HeldFrom::Sealed),
        Self::Held(HeldFrom::Delivering),
        Self::Void,
    ];

    /// The word that the ledger stores.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Planned => "planned",
            Self::Sealed => "sealed",
            Self::Delivering => "delivering",
            Self::Delivered => "delivered",
            Self::PickedUp => "picked up",
            Self::Retired => "retired",
            Self::Skipped => "skipped",
            Self::Superseded => "superseded",
            Self::Held(HeldFrom::Open) => "held",
            Self::Held(HeldFrom::Sealed) => "held sealed",
            Self::Held(HeldFrom::Delivering) => "held delivering",
            Self::Void => "void",
        }
    }

    /// The state that [`BatchState::word`] names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Everything about a batch that is not a pure function of the spool, recorded before the first byte is rendered
/// for good. Rendering again from the plan gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlan {
    /// Which batch.
    pub id: BatchId,
    /// First LSN whose records can belong to it.
    pub from: Lsn,
    /// First LSN whose records do not belong to it any more.
    pub cut: Lsn,
    /// Hash of the feed definition (formats included) that renders it.
    pub definition: String,
    /// Revision of the encoder that made the plan.
    pub encoder_revision: u32,
    /// Creation time that headers, names and the manifest state.
    pub sealed_at: UtcTime,
    /// The part files in order.
    pub parts: Vec<PlannedFile>,
    /// The manifest; `None` when the feed has none.
    pub manifest: Option<PlannedFile>,
    /// Counts that the manifest states.
    pub counts: HourCounts,
    /// Sealed although a source had not been read up to the end of the hour.
    pub source_incomplete: bool,
}

/// One file of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its place among the part files; 0 for the manifest.
    pub part: PartNumber,
    /// Final name.
    pub name: FileName,
    /// Its sequence number; `None` when a manifest is not numbered.
    pub sequence: Option<Sequence>,
    /// Records in it; for the manifest, in all part files that it lists.
    pub records: u64,
}

/// One file of a batch in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    /// Its place among the part files; 0 for the manifest.
    pub part: PartNumber,
    /// Final name.
    pub name: FileName,
    /// Its sequence number.
    pub sequence: Option<Sequence>,
    /// Path below the archive directory; empty once its time there is over.
    pub archive_path: String,
    /// Records in it.
    pub records: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Hash of its bytes.
    pub sha256: Sha256Digest,
    /// Earliest event time in it.
    pub first_event: Option<UtcTime>,
    /// Latest event time in it.
    pub last_event: Option<UtcTime>,
    /// Sums of the values as written, exact decimals as text.
    pub totals: Vec<(String, String)>,
}

/// What became of the records of one hour of a feed. Received = sent + filtered + quarantined + void + pending;
/// duplicates were not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HourCounts {
    /// Records of the feed's sources whose time lies in the hour.
    pub received: u64,
    /// Those that the filter leaves out.
    pub filtered: u64,
    /// Those that could not be rendered.
    pub quarantined: u64,
    /// Records of input that had been read before.
    pub duplicate: u64,
}

impl HourCounts {
    /// These records and others.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            filtered: self.filtered + other.filtered,
            quarantined: self.quarantined + other.quarantined,
            duplicate: self.duplicate + other.duplicate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: [BatchFact; 11] = [
        BatchFact::Planned,
        BatchFact::Skipped,
        BatchFact::Sealed,
        BatchFact::DeliveryBegun,
        BatchFact::Delivered,
        BatchFact::PickedUp,
        BatchFact::Retired,
        BatchFact::Held,
        BatchFact::Released,
        BatchFact::Superseded,
        BatchFact::Voided,
    ];

    #[test]
    fn every_state_knows_which_facts_fit_it() {
        let legal: Vec<String> = BatchState::ALL
            .into_iter()
            .flat_map(|state| FACTS.into_iter().map(move |fact| (state, fact, state.apply(fact))))
            .filter_map(|(state, fact, next)| next.ok().map(|next| format!("{state} {fact:?} {next}")))
            .collect();
        let expected = "open Planned planned|open Skipped skipped|open Held held|open Voided void|\
            planned Sealed sealed|planned Voided void|sealed DeliveryBegun delivering|sealed Retired retired|sealed Held held sealed|\
            sealed Superseded superseded|sealed Voided void|delivering Delivered delivered|\
            delivering Held held delivering|delivering Voided void|delivered PickedUp picked up|\
            delivered Retired retired|delivered Superseded superseded|picked up Retired retired|\
            picked up Superseded superseded|held Released open|held Voided void|held sealed Released sealed|\
            held sealed Voided void|held delivering Released delivering|held delivering Voided void";
        assert_eq!(legal.join("|"), expected);
    }

    #[test]
    fn states_are_stored_as_words() {
        for state in BatchState::ALL {
            assert_eq!(BatchState::parse(state.word()), Some(state));
        }
        assert_eq!(BatchState::parse("sent"), None);
    }
}
