//! What the ledger says about feeds, hours and files, put together for people. Everything here is computed from the
//! ledger and the configuration alone: whether `run` is alive is not known and not needed.
//!
//! - [`hours`]: what became of every hour, and how far a feed is complete.
//! - [`sum_up`]: hours that are with the partner are summed up, so that [`status`] need not read all of them.
//! - [`status`]: one look at everything, and what needs a person.

pub mod hours;
pub mod status;
pub mod sum_up;

use super::config::Config;
use crate::domain::ids::FeedId;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::ledger::reports::{BatchRow, FileRow, HourRow};
use crate::ledger::sums::HourSum;
use crate::ledger::{Ledger, LedgerFault};
use std::ops::Range;
use std::sync::Arc;

/// What the ledger holds about one feed: everything, or everything but what is summed up.
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
    /// Hours that are summed up and not among those below, in order.
    pub sums: Vec<HourSum>,
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
            sums: Vec::new(),
            hours: Vec::new(),
            batches: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Reads what the ledger holds about a feed.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn read(ledger: &Ledger, definition: &Arc<FeedDefinition>, depth: Depth) -> Result<Self, LedgerFault> {
        let mut book = Self::empty(Arc::clone(definition));
        book.looked_at = ledger.last_look(&definition.id.partner)?;
        book.sums = depth.sums(ledger, &definition.id)?;
        for span in between(&book.sums).collect::<Vec<_>>() {
            book.extend(ledger, &span)?;
        }
        Ok(book)
    }

    /// Adds the hours that start in `span`.
    fn extend(&mut self, ledger: &Ledger, span: &Range<i64>) -> Result<(), LedgerFault> {
        let id = &self.definition.id;
        self.hours.extend(ledger.hour_rows_in(id, span)?);
        self.batches.extend(ledger.batch_rows_in(id, span)?);
        self.files.extend(ledger.file_rows_in(id, span)?);
        Ok(())
    }
}

/// The time that sums leave out: before, between and behind them.
fn between(sums: &[HourSum]) -> impl Iterator<Item = Range<i64>> {
    let starts = sums.iter().map(|sum| sum.span.start).chain([i64::MAX]);
    let ends = std::iter::once(i64::MIN).chain(sums.iter().map(|sum| sum.span.end));
    ends.zip(starts).map(|(end, start)| end..start).filter(|span| !span.is_empty())
}

/// How much is read of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every hour and file.
    Everything,
    /// Sums of hours that are with the partner, as far as there are some, and the other hours.
    Sums,
}

impl Depth {
    /// The sums to use. Completeness may end in the first one that has a gap, so that one is read hour by hour.
    fn sums(self, ledger: &Ledger, feed: &FeedId) -> Result<Vec<HourSum>, LedgerFault> {
        if self == Self::Everything {
            return Ok(Vec::new());
        }
        let mut sums = ledger.hour_sums(feed, i64::MIN)?;
        if let Some(first) = sums.iter().position(|sum| !sum.is_gapless) {
            sums.remove(first);
        }
        Ok(sums)
    }
}

/// The books of all feeds: those of the configuration in its order, then those that only the ledger knows.
///
/// # Errors
/// [`LedgerFault`].
pub fn books(config: &Config, ledger: Option<&Ledger>, depth: Depth) -> Result<Vec<FeedBook>, LedgerFault> {
    let Some(ledger) = ledger else {
        return Ok(config.feeds().map(|definition| FeedBook::empty(Arc::clone(definition))).collect());
    };
    let read = |definition: &Arc<FeedDefinition>| {
        let expects_pickup = config.expects_pickup(definition);
        Ok(FeedBook { expects_pickup, ..FeedBook::read(ledger, definition, depth)? })
    };
    let mut books: Vec<FeedBook> = config.feeds().map(read).collect::<Result<_, LedgerFault>>()?;
    for id in ledger.known_feeds()? {
        if config.feeds().any(|definition| definition.id == id) {
            continue;
        }
        if let Some(definition) = last_definition(ledger, &id)? {
            books.push(FeedBook { configured: false, ..FeedBook::read(ledger, &definition, depth)? });
        }
    }
    Ok(books)
}

/// The definition that a feed had last; `None` when this program cannot read it.
fn last_definition(ledger: &Ledger, id: &FeedId) -> Result<Option<Arc<FeedDefinition>>, LedgerFault> {
    let versions = ledger.definitions(id)?;
    Ok(versions.last().and_then(|version| FeedDefinition::from_stored(&version.text).ok()).map(Arc::new))
}
