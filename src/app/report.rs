//! What the ledger says about feeds, hours and files, put together for people. Everything here is computed from the
//! ledger and the configuration alone: whether `run` is alive is not known and not needed.
//!
//! - [`hours`]: what became of every hour, and how far a feed is complete.
//! - [`status`]: one look at everything, and what needs a person.

pub mod hours;
pub mod status;

use super::config::Config;
use crate::domain::ids::FeedId;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::ledger::reports::{BatchRow, FileRow, HourRow};
use crate::ledger::{Ledger, LedgerFault};
use std::sync::Arc;

/// Everything that the ledger holds about one feed.
#[derive(Debug, Clone)]
pub struct FeedBook {
    /// The feed as configured, or, when it is not configured any more, as it was stored last.
    pub definition: Arc<FeedDefinition>,
    /// False for a feed that the configuration does not have any more.
    pub configured: bool,
    /// The partner is expected to take its files.
    pub expects_pickup: bool,
    /// When the partner's directory was looked at last.
    pub looked_at: Option<UtcTime>,
    /// Counts of its hours, in order.
    pub hours: Vec<HourRow>,
    /// Its batches by hour and revision.
    pub batches: Vec<BatchRow>,
    /// Its files by hour and revision, the manifest behind the part files.
    pub files: Vec<FileRow>,
}

impl FeedBook {
    /// A feed of which the ledger knows nothing.
    #[must_use]
    pub const fn empty(definition: Arc<FeedDefinition>) -> Self {
        Self {
            definition,
            configured: true,
            expects_pickup: false,
            looked_at: None,
            hours: Vec::new(),
            batches: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Reads what the ledger holds about a feed.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn read(ledger: &Ledger, definition: &Arc<FeedDefinition>) -> Result<Self, LedgerFault> {
        let id = &definition.id;
        Ok(Self {
            definition: Arc::clone(definition),
            configured: true,
            expects_pickup: false,
            looked_at: ledger.last_look(&id.partner)?,
            hours: ledger.hour_rows(id)?,
            batches: ledger.batch_rows(id)?,
            files: ledger.file_rows(id)?,
        })
    }
}

/// The books of all feeds: those of the configuration in its order, then those that only the ledger knows.
///
/// # Errors
/// [`LedgerFault`].
pub fn books(config: &Config, ledger: Option<&Ledger>) -> Result<Vec<FeedBook>, LedgerFault> {
    let Some(ledger) = ledger else {
        return Ok(config.feeds().map(|definition| FeedBook::empty(Arc::clone(definition))).collect());
    };
    let read = |definition: &Arc<FeedDefinition>| {
        let expects_pickup = config.expects_pickup(definition);
        Ok(FeedBook { expects_pickup, ..FeedBook::read(ledger, definition)? })
    };
    let mut books: Vec<FeedBook> = config.feeds().map(read).collect::<Result<_, LedgerFault>>()?;
    for id in ledger.known_feeds()? {
        if config.feeds().any(|definition| definition.id == id) {
            continue;
        }
        if let Some(definition) = last_definition(ledger, &id)? {
            books.push(FeedBook { configured: false, ..FeedBook::read(ledger, &definition)? });
        }
    }
    Ok(books)
}

/// The definition that a feed had last; `None` when this program cannot read it.
fn last_definition(ledger: &Ledger, id: &FeedId) -> Result<Option<Arc<FeedDefinition>>, LedgerFault> {
    let versions = ledger.definitions(id)?;
    Ok(versions.last().and_then(|version| FeedDefinition::from_stored(&version.text).ok()).map(Arc::new))
}
