//! Why the exporter stops.

use super::store::StoreFault;
use crate::archive::ArchiveFault;
use crate::domain::batch::BatchId;
use crate::domain::ids::FeedId;
use crate::intake::IntakeFault;
use crate::ledger::LedgerFault;
use crate::record::accepted::UnreadableFrame;
use crate::seal::SealFault;
use crate::spool::SpoolFault;

/// Why the exporter stops.
#[derive(Debug, thiserror::Error)]
pub enum ExporterFault {
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolFault),
    /// A frame of the spool.
    #[error(transparent)]
    Frame(#[from] UnreadableFrame),
    /// A source.
    #[error(transparent)]
    Intake(#[from] IntakeFault),
    /// Sealing.
    #[error(transparent)]
    Seal(#[from] SealFault),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveFault),
    /// A stored definition cannot be read by this program.
    #[error("feed {feed}: the definition that its open hours need cannot be read by this program: {message}")]
    StoredDefinition {
        /// Which feed.
        feed: FeedId,
        /// Why.
        message: String,
    },
    /// A plan belongs to a feed that the configuration does not have.
    #[error("{} {}-{} is planned but not finished, and the configuration has no such feed any more: put it back until the batch is delivered", batch.feed, batch.partition.start, batch.partition.end)]
    UnknownPlan {
        /// Which batch.
        batch: BatchId,
    },
    /// A feed was taken out of the configuration while records of it wait.
    #[error(
        "feed {feed} is not in the configuration any more, and {records} records of it wait to be sealed: put it back; with `shadow = true` it seals and archives them and delivers nothing; `hourdrop void {feed} --waiting --reason ...` lets them go"
    )]
    FeedGone {
        /// Which feed.
        feed: FeedId,
        /// How many records wait.
        records: u64,
    },
    /// A feed was given other sources while records of the old ones wait.
    #[error(
        "feed {feed} has other sources now, and records of the old ones wait to be sealed: change `source` when no hour of the feed is open, or let them go with `hourdrop void {feed} --waiting --reason ...`"
    )]
    SourceChanged {
        /// Which feed.
        feed: FeedId,
    },
    /// A counter is at its end.
    #[error("feed {feed}: the sequence is at its `last` number and `then` does not say what follows")]
    CounterExhausted {
        /// Which feed.
        feed: FeedId,
    },
    /// A name template gave an unusable name.
    #[error("feed {feed}: {message}")]
    FileName {
        /// Which feed.
        feed: FeedId,
        /// Why.
        message: String,
    },
    /// A request cannot be read or answered.
    #[error("cannot {operation} {path}: {source}")]
    Request {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: std::path::PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The system refused something at start.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}
