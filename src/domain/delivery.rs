//! The way of one file to one partner, as states and the facts that lead from one to the next.
//!
//! A fact that announces an act (`UploadIntended`, `RenameIntended`) is recorded before the act, so after a crash the
//! state says what may have happened. From [`FileState::Renaming`] there is no way back to an earlier state: once a
//! rename may have been sent, only looking, or a person, settles what became of the file.

use super::place;
use super::time::UtcTime;
use std::fmt;
use std::sync::Arc;

/// One try to upload a file under a temporary name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Counts the tries for this file, from 1.
    pub number: u32,
    /// An earlier attempt came as far as its rename, or this one or an earlier one is written under the final name at
    /// once: a file under the final name may be ours.
    pub exposed: bool,
}

impl Attempt {
    /// The first attempt.
    pub const FIRST: Self = Self { number: 1, exposed: false };

    /// The attempt after this one, which was given up before its rename.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { number: self.number + 1, exposed: self.exposed }
    }

    /// The attempt after this one, whose rename may have been carried out.
    #[must_use]
    pub const fn next_after_rename(self) -> Self {
        Self { number: self.number + 1, exposed: true }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.number, f)
    }
}

/// What is compared after an upload, before the file gets its final name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ContentCheck {
    /// The size that the server states.
    #[default]
    Size,
    /// The size, and the SHA-256 that the server computes of what it holds.
    Hash,
    /// The size, and the SHA-256 of what is read back.
    ReadBack,
}

impl ContentCheck {
    /// The words of a configuration.
    pub const WORDS: [(&str, Self); 3] = [("size", Self::Size), ("hash", Self::Hash), ("read-back", Self::ReadBack)];

    /// The evidence after a confirmed rename, with the right size under the final name.
    #[must_use]
    pub const fn evidence(self) -> Verified {
        match self {
            Self::Size => Verified::ReplyAndSize,
            Self::Hash => Verified::ReplyAndHash,
            Self::ReadBack => Verified::ReplyAndReadBack,
        }
    }
}

/// How it is known that a file is complete under its final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verified {
    /// The server confirmed upload and rename, and states the right size under the final name.
    ReplyAndSize,
    /// The same, and before the rename the server stated the right SHA-256.
    ReplyAndHash,
    /// The same, and before the rename the file was read back, with the right SHA-256.
    ReplyAndReadBack,
    /// The server confirmed upload and rename, the size was right before the rename; afterwards the name was not seen
    /// (a partner may take a file at once) or the server could not be asked.
    Reply,
    /// The reply to the rename was lost; then the temporary name was gone and the final name there with the right size.
    SeenAfterLostReply,
    /// The rename of an earlier attempt had worked: the final name was there with the right size.
    EarlierRename,
    /// After a lost reply both names were there and the server said that they are the same file.
    SameFile,
    /// Without a temporary name: nobody knows what became of the upload; what lies under the final name was read back and
    /// is the whole file.
    SeenWhole,
    /// The temporary file, verified by size, is gone from a directory in which nobody but our rename removes files.
    TemporaryGone,
    /// A person looked and said so.
    Person,
}

/// What the ledger stores as evidence of a file in doubt: nothing but absence.
pub const ABSENCE: &str = "absence";

impl Verified {
    const ALL: [Self; 10] = [
        Self::ReplyAndSize,
        Self::ReplyAndHash,
        Self::ReplyAndReadBack,
        Self::Reply,
        Self::SeenAfterLostReply,
        Self::EarlierRename,
        Self::SameFile,
        Self::SeenWhole,
        Self::TemporaryGone,
        Self::Person,
    ];

    /// The word that the ledger stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReplyAndSize => "reply-and-size",
            Self::ReplyAndHash => "reply-and-hash",
            Self::ReplyAndReadBack => "reply-and-read-back",
            Self::Reply => "reply",
            Self::SeenAfterLostReply => "seen-after-lost-reply",
            Self::EarlierRename => "earlier-rename",
            Self::SameFile => "same-file",
            Self::SeenWhole => "seen-whole",
            Self::TemporaryGone => "temporary-gone",
            Self::Person => "person",
        }
    }

    /// Reads what [`Verified::as_str`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|how| how.as_str() == text)
    }
}

/// The evidence of a delivered file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proof {
    /// The path at the partner under which the file became visible.
    pub name: Arc<str>,
    /// Its size in bytes.
    pub bytes: u64,
    /// How this is known.
    pub how: Verified,
    /// When it became known.
    pub at: UtcTime,
}

/// Why a file waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeldReason {
    /// A file that is not known to be ours lies under the final name. It is never touched.
    Conflict,
    /// After a rename neither name is there: picked up already, or lost.
    InDoubt,
    /// A person ordered it.
    Ordered,
    /// The archived file is not as it was archived. Nothing of it is shown.
    Damaged,
}

/// How far a file is on its way to the partner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FileState {
    /// No upload is going on; `next` will be the next attempt.
    Pending {
        /// The attempt to come.
        next: Attempt,
    },
    /// An upload was announced. Part of it may lie under the temporary name.
    Uploading {
        /// The current attempt.
        attempt: Attempt,
        /// Path of the temporary name.
        temporary: Arc<str>,
    },
    /// The whole file lies under the temporary name, its size checked.
    Uploaded {
        /// The current attempt.
        attempt: Attempt,
        /// Path of the temporary name.
        temporary: Arc<str>,
    },
    /// A rename was announced. It may have been carried out.
    Renaming {
        /// The current attempt.
        attempt: Attempt,
        /// Path of the temporary name.
        temporary: Arc<str>,
    },
    /// The file is complete under its final name.
    Delivered {
        /// The evidence.
        proof: Proof,
    },
    /// A person has to look.
    Held {
        /// Why.
        reason: HeldReason,
        /// The attempt that follows if the file is released.
        next: Attempt,
    },
    /// A person decided that it is never sent: the end of its number.
    Void,
}

impl Default for FileState {
    fn default() -> Self {
        Self::Pending { next: Attempt::FIRST }
    }
}

/// Something that happened, or that is about to be done, to one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeliveryFact {
    /// The next attempt is about to be uploaded under this temporary path.
    UploadIntended {
        /// Number of the attempt.
        attempt: u32,
        /// Path of the temporary name.
        temporary: Arc<str>,
        /// That path is the final name.
        in_place: bool,
    },
    /// The server confirmed the upload, and what lies under the temporary name is right.
    UploadVerified {
        /// Size in bytes.
        bytes: u64,
        /// What was compared.
        by: ContentCheck,
    },
    /// The attempt is given up; its rename was never sent.
    UploadAbandoned,
    /// What was announced together with the acts of other files is not begun after all.
    NotBegun,
    /// The file is about to be renamed to its final name.
    RenameIntended,
    /// The file is complete under its final name.
    RenameConfirmed(Proof),
    /// Something that is not known to be ours lies under the final name.
    Conflict {
        /// Its size in bytes, where the server states one.
        found_bytes: Option<u64>,
    },
    /// After a rename was announced neither name is there.
    InDoubt,
    /// The archived file is not as it was archived. Nothing of it lies at the partner.
    ArchiveDamaged,
    /// After a rename was announced neither name is there, and the partner's rule is to send the file again.
    Resent,
    /// After a rename was announced the temporary file is still there and not whole: the rename was not carried out.
    Spoilt,
    /// A person ordered to hold the file.
    HoldOrdered,
    /// A person ordered to go on with a held file: it is sent again.
    Released,
    /// A person settled that the file arrived.
    SettledAsDelivered(Proof),
    /// A person decided that the file is never sent.
    Voided,
}

impl DeliveryFact {
    /// The word that the ledger stores.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::UploadIntended { .. } => "upload-intended",
            Self::UploadVerified { .. } => "upload-verified",
            Self::UploadAbandoned => "upload-abandoned",
            Self::NotBegun => "not-begun",
            Self::RenameIntended => "rename-intended",
            Self::RenameConfirmed(_) => "rename-confirmed",
            Self::Conflict { .. } => "conflict",
            Self::InDoubt => "in-doubt",
            Self::ArchiveDamaged => "archive-damaged",
            Self::Resent => "resent",
            Self::Spoilt => "spoilt",
            Self::HoldOrdered => "hold-ordered",
            Self::Released => "released",
            Self::SettledAsDelivered(_) => "settled-as-delivered",
            Self::Voided => "voided",
        }
    }

    /// Whether the act that it announces may show the final name to the partner.
    #[must_use]
    pub const fn may_show(&self) -> bool {
        matches!(self, Self::RenameIntended | Self::UploadIntended { in_place: true, .. })
    }

    /// Whether it announces an act at the partner: it must be durable before the act.
    #[must_use]
    pub const fn is_intent(&self) -> bool {
        matches!(self, Self::UploadIntended { .. } | Self::RenameIntended)
    }
}

/// A fact that cannot follow the state the file is in: a fault of hourdrop or a damaged ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fact {fact} cannot follow the state {state}")]
pub struct IllegalFact {
    /// The state as a word.
    pub state: &'static str,
    /// The fact as a word.
    pub fact: &'static str,
}

impl FileState {
    /// The state as a word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Uploading { .. } => "uploading",
            Self::Uploaded { .. } => "uploaded",
            Self::Renaming { .. } => "renaming",
            Self::Delivered { .. } => "delivered",
            Self::Held { .. } => "held",
            Self::Void => "void",
        }
    }

    /// Whether the file is complete under its final name.
    #[must_use]
    pub const fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered { .. })
    }

    /// The state after `fact`.
    ///
    /// # Errors
    /// [`IllegalFact`] when the fact cannot follow this state.
    pub fn apply(self, fact: &DeliveryFact) -> Result<Self, IllegalFact> {
        use DeliveryFact as Fact;
        use FileState::{Delivered, Held, Pending, Renaming, Uploaded, Uploading, Void};
        let illegal = IllegalFact { state: self.name(), fact: fact.name() };
        let held = |reason, next| Ok(Held { reason, next });
        let delivered = |proof: &Proof| Ok(Delivered { proof: proof.clone() });
        match (self, fact) {
            (Pending { next }, Fact::UploadIntended { attempt, temporary, in_place }) if *attempt == next.number => {
                let attempt = Attempt { exposed: next.exposed || *in_place, ..next };
                Ok(Uploading { attempt, temporary: Arc::clone(temporary) })
            }
            (Pending { next }, Fact::RenameConfirmed(proof)) if next.exposed => delivered(proof),
            (Pending { next }, Fact::Conflict { .. }) => held(HeldReason::Conflict, next),
            (Pending { next }, Fact::ArchiveDamaged) => held(HeldReason::Damaged, next),
            (Pending { next }, Fact::HoldOrdered) => held(HeldReason::Ordered, next),

            (Uploading { attempt, temporary }, Fact::UploadVerified { .. }) => Ok(Uploaded { attempt, temporary }),
            (Uploading { attempt, .. }, Fact::UploadAbandoned) => Ok(Pending { next: attempt.next() }),
            (Uploading { attempt, .. }, Fact::NotBegun) if !attempt.exposed => Ok(Pending { next: attempt }),
            (Uploading { attempt, .. }, Fact::ArchiveDamaged) => held(HeldReason::Damaged, attempt.next()),

            // What is written under the final name at once is on its way and shown in one.
            (Uploading { attempt, temporary }, Fact::RenameConfirmed(proof))
                if attempt.exposed && place::split(&proof.name).1 == place::split(&temporary).1 =>
            {
                delivered(proof)
            }
            (Uploading { attempt, .. }, Fact::Conflict { .. }) if attempt.exposed => {
                held(HeldReason::Conflict, attempt.next())
            }
            // As below: what may be shown at any moment is doubted when it is held.
            (Uploading { attempt, .. }, Fact::InDoubt | Fact::HoldOrdered) if attempt.exposed => {
                held(HeldReason::InDoubt, attempt.next())
            }
            (Uploading { attempt, .. }, Fact::Resent) if attempt.exposed => Ok(Pending { next: attempt.next() }),

            (Uploaded { attempt, temporary }, Fact::RenameIntended) => Ok(Renaming { attempt, temporary }),
            (Uploaded { attempt, .. }, Fact::UploadAbandoned) => Ok(Pending { next: attempt.next() }),
            (Uploaded { attempt, .. }, Fact::RenameConfirmed(proof)) if attempt.exposed => delivered(proof),
            (Uploaded { attempt, .. }, Fact::Conflict { .. }) => held(HeldReason::Conflict, attempt.next()),

            (Renaming { attempt, temporary }, Fact::NotBegun) => Ok(Uploaded { attempt, temporary }),
            (Renaming { .. }, Fact::RenameConfirmed(proof)) => delivered(proof),
            (Renaming { attempt, .. }, Fact::Conflict { .. }) => {
                held(HeldReason::Conflict, attempt.next_after_rename())
            }
            // A rename that was announced may be carried out at any moment: to hold it is to doubt it.
            (Renaming { attempt, .. }, Fact::InDoubt | Fact::HoldOrdered) => {
                held(HeldReason::InDoubt, attempt.next_after_rename())
            }
            (Renaming { attempt, .. }, Fact::Resent | Fact::Spoilt) => {
                Ok(Pending { next: attempt.next_after_rename() })
            }

            (Uploading { attempt, .. } | Uploaded { attempt, .. }, Fact::HoldOrdered) => {
                held(HeldReason::Ordered, attempt.next())
            }
            (Held { next, .. }, Fact::Released) => Ok(Pending { next }),
            (Held { .. }, Fact::SettledAsDelivered(proof)) => delivered(proof),
            (Pending { .. } | Uploading { .. } | Uploaded { .. } | Held { .. }, Fact::Voided) => Ok(Void),
            _ => Err(illegal),
        }
    }
}

#[cfg(test)]
mod tests;
