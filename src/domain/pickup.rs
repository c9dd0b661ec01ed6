//! What becomes of a delivered file in the partner's directory, as states and the facts that lead from one to the next.
//!
//! ```text
//! Unseen -> There -> PickedUp        (by a listing that shows what is there, or by what the partner did)
//!              \-> Gone              (of a partner that keeps files: somebody took it away)
//!              \-> Removing -> Removed   (we take it away ourselves when its time is over)
//! PickedUp | Gone | Removed -> Back  (it was missed and is there again)
//! ```

use super::time::UtcTime;
use std::sync::Arc;

/// How it is known that the partner took a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Taken {
    /// It is not in a listing of its directory that shows what is there.
    Missing,
    /// It was seen in the directory that the partner moves files to.
    Moved,
    /// It was seen under the name that the partner gives it.
    Renamed,
    /// The partner deleted it on our own server.
    Deleted,
    /// A person has said so.
    Person,
}

impl Taken {
    const ALL: [Self; 5] = [Self::Missing, Self::Moved, Self::Renamed, Self::Deleted, Self::Person];

    /// The word that the ledger stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Moved => "moved",
            Self::Renamed => "renamed",
            Self::Deleted => "deleted",
            Self::Person => "person",
        }
    }

    /// Reads what [`Taken::as_str`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|how| how.as_str() == text)
    }
}

/// What a listing states about the content of a file, as far as it does. A file whose stamp has changed is another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// When it was changed last.
    pub modified: Option<UtcTime>,
    /// The server's identity of the file.
    pub unique: Option<Arc<str>>,
}

impl Stamp {
    /// True when nothing that both state differs.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        agree(self.modified.as_ref(), other.modified.as_ref()) && agree(self.unique.as_ref(), other.unique.as_ref())
    }
}

fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// Where a delivered file stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PickupState {
    /// No listing has shown it yet.
    #[default]
    Unseen,
    /// The last listing showed it.
    There,
    /// The partner took it.
    PickedUp,
    /// Somebody took it away, although this partner keeps files.
    Gone,
    /// It was missed and is there again.
    Back,
    /// We are about to remove it, or have done so.
    Removing,
    /// We removed it.
    Removed,
}

impl PickupState {
    const ALL: [Self; 7] =
        [Self::Unseen, Self::There, Self::PickedUp, Self::Gone, Self::Back, Self::Removing, Self::Removed];

    /// The word that the ledger stores.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::There => "there",
            Self::PickedUp => "picked up",
            Self::Gone => "gone",
            Self::Back => "back",
            Self::Removing => "removing",
            Self::Removed => "removed",
        }
    }

    /// The state that [`PickupState::word`] names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// True as long as something is expected of the partner, or of us.
    #[must_use]
    pub const fn is_outstanding(self) -> bool {
        matches!(self, Self::Unseen | Self::There | Self::Removing)
    }
}

/// Something that was seen, or that is about to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PickupFact {
    /// A listing shows it, with this stamp.
    Seen(Stamp),
    /// The partner took it. `missed`: it is not in its directory any more.
    Taken {
        /// How that is known.
        how: Taken,
        /// It is not in its directory any more.
        missed: bool,
    },
    /// It is not in its directory any more, and the partner was not expected to take it.
    Vanished,
    /// We are about to remove it.
    RemovalIntended,
}

impl PickupFact {
    /// The word that the ledger stores.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Seen(_) => "seen",
            Self::Taken { .. } => "picked-up",
            Self::Vanished => "vanished",
            Self::RemovalIntended => "removal-intended",
        }
    }
}

/// A fact that cannot follow the state the file is in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fact {fact} cannot follow the state {state}")]
pub struct IllegalPickup {
    /// The state as a word.
    pub state: &'static str,
    /// The fact as a word.
    pub fact: &'static str,
}

/// What is known of a delivered file in the partner's directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Pickup {
    /// Where it stands.
    pub state: PickupState,
    /// When a listing showed it first.
    pub first_seen: Option<UtcTime>,
    /// When a listing showed it last; kept once it is missed.
    pub last_seen: Option<UtcTime>,
    /// When it was missed first.
    pub first_missed: Option<UtcTime>,
    /// When it became known that the partner took it.
    pub taken_at: Option<UtcTime>,
    /// How that is known.
    pub how: Option<Taken>,
    /// What the listing that showed it first stated of it.
    pub stamp: Stamp,
}

impl Pickup {
    /// What is known after `fact`, which became known at `at`. A file that is there was seen by `last_look`, the last
    /// listing before.
    ///
    /// # Errors
    /// [`IllegalPickup`] when the fact cannot follow.
    pub fn apply(self, fact: &PickupFact, at: UtcTime, last_look: Option<UtcTime>) -> Result<Self, IllegalPickup> {
        use PickupState::{Back, Gone, PickedUp, Removed, Removing, There, Unseen};
        let last_seen = || if self.state == There { last_look.max(self.first_seen) } else { self.last_seen };
        let missed = |state| Self { state, last_seen: last_seen(), first_missed: Some(at), ..self.clone() };
        Ok(match (self.state, fact) {
            (Unseen, PickupFact::Seen(stamp)) => {
                Self { state: There, first_seen: Some(at), last_seen: Some(at), stamp: stamp.clone(), ..self }
            }
            (PickedUp | Gone | Removed, PickupFact::Seen(_)) if self.first_missed.is_some() => {
                Self { state: Back, last_seen: Some(at), ..self }
            }
            (There | Removing, PickupFact::Seen(_)) => self,
            (Unseen | There | Removing, PickupFact::Taken { how, missed: is_missed }) => {
                let first_missed = is_missed.then_some(at);
                Self { taken_at: Some(at), how: Some(*how), first_missed, ..missed(PickedUp) }
            }
            (Unseen | There, PickupFact::Vanished) => missed(Gone),
            (There, PickupFact::RemovalIntended) => Self { state: Removing, last_seen: last_seen(), ..self },
            (Removing, PickupFact::RemovalIntended) => self,
            (Removing, PickupFact::Vanished) => missed(Removed),
            (state, fact) => return Err(IllegalPickup { state: state.word(), fact: fact.name() }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: i64) -> UtcTime {
        UtcTime::from_nanos(nanos)
    }

    fn facts() -> Vec<PickupFact> {
        let taken = |how, missed| PickupFact::Taken { how, missed };
        vec![
            PickupFact::Seen(Stamp::default()),
            taken(Taken::Missing, true),
            taken(Taken::Moved, false),
            PickupFact::Vanished,
            PickupFact::RemovalIntended,
        ]
    }

    #[test]
    fn every_state_knows_which_facts_fit_it() {
        let mut legal = Vec::new();
        for state in PickupState::ALL {
            for fact in facts() {
                let pickup = Pickup { state, first_missed: Some(at(1)), ..Pickup::default() };
                if let Ok(next) = pickup.apply(&fact, at(5), None) {
                    legal.push(format!("{} {} {}", state.word(), fact.name(), next.state.word()));
                }
            }
        }
        let expected = "unseen seen there|unseen picked-up picked up|unseen picked-up picked up|unseen vanished gone|\
            there seen there|there picked-up picked up|there picked-up picked up|there vanished gone|\
            there removal-intended removing|picked up seen back|gone seen back|removing seen removing|\
            removing picked-up picked up|removing picked-up picked up|removing vanished removed|removing removal-intended removing|removed seen back";
        assert_eq!(legal.join("|"), expected);
    }

    #[test]
    fn times_of_the_last_sight_and_the_first_miss_are_kept() {
        let stamp = Stamp { modified: Some(at(3)), unique: Some(Arc::from("803U1A")) };
        let seen = Pickup::default().apply(&PickupFact::Seen(stamp.clone()), at(10), None).expect("seen");
        let taken = PickupFact::Taken { how: Taken::Missing, missed: true };
        let gone = seen.apply(&taken, at(40), Some(at(30))).expect("taken");
        assert_eq!(
            (gone.first_seen, gone.last_seen, gone.first_missed, gone.taken_at),
            (Some(at(10)), Some(at(30)), Some(at(40)), Some(at(40)))
        );
        let back = gone.apply(&PickupFact::Seen(Stamp::default()), at(50), Some(at(40))).expect("back");
        assert_eq!((back.state, back.first_missed, back.stamp), (PickupState::Back, Some(at(40)), stamp));
    }

    #[test]
    fn a_file_that_was_copied_away_and_stays_does_not_come_back() {
        let moved = PickupFact::Taken { how: Taken::Moved, missed: false };
        let taken = Pickup::default().apply(&moved, at(10), None).expect("taken");
        assert_eq!((taken.state, taken.first_missed), (PickupState::PickedUp, None));
        assert!(taken.apply(&PickupFact::Seen(Stamp::default()), at(20), None).is_err());
    }

    #[test]
    fn stamps_differ_only_in_what_both_state() {
        let stamp = |modified: Option<i64>, unique: Option<&str>| Stamp {
            modified: modified.map(at),
            unique: unique.map(Arc::from),
        };
        assert!(stamp(Some(1), None).agrees_with(&stamp(None, Some("a"))));
        assert!(stamp(Some(1), Some("a")).agrees_with(&stamp(Some(1), Some("a"))));
        assert!(!stamp(Some(1), Some("a")).agrees_with(&stamp(Some(2), Some("a"))));
        assert!(!stamp(None, Some("a")).agrees_with(&stamp(None, Some("b"))));
    }

    #[test]
    fn states_and_evidence_are_stored_as_words() {
        for state in PickupState::ALL {
            assert_eq!(PickupState::parse(state.word()), Some(state));
        }
        for how in Taken::ALL {
            assert_eq!(Taken::parse(how.as_str()), Some(how));
        }
    }
}
