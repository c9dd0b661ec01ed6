//! What is left when a program or a machine stops.

/// How the program comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process dies, the machine goes on: what was written is read again, durable or not.
    Killed,
    /// The power goes.
    PowerCut(Kind),
}

/// What the disk had written by itself when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing that was not synced.
    Nothing,
    /// Everything.
    Everything,
    /// Everything up to a moment, in the order in which it was done; the last write is torn.
    Prefix,
    /// Any sectors and any directory entries, in any order.
    Scattered,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Everything, Self::Prefix, Self::Scattered];
}

/// A [`Kind`] with what the seed decided for all files and directories together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing that was not synced.
    Nothing,
    /// Everything.
    Everything,
    /// What was done before this moment; what was done at it is torn.
    UpTo(u64),
    /// Any sectors and any directory entries.
    Scattered {
        /// A file may be longer than what was written of it, and show what the blocks held before.
        stale: bool,
    },
}
