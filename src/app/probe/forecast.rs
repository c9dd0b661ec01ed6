//! What the feeds of a partner would meet in its directory.

use super::{Mark, ProbeContext, ProbeReport};
use crate::app::ahead::{files_ahead, read_name};
use crate::app::config::PartnerConfig;
use crate::app::readback::next_hours;
use crate::domain::ids::FeedId;
use crate::feed::definition::FeedDefinition;
use crate::feed::names::templates;
use crate::ledger::LedgerFault;
use crate::remote::RemoteEntry;

/// What one feed would meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedForecast {
    /// The feed.
    pub feed: FeedId,
    /// It delivers nothing.
    pub is_shadow: bool,
    /// The names of its next file and manifest; empty when the feed has ended.
    pub next: Vec<String>,
    /// Those of them that lie there already: they would be held as conflicts.
    pub in_the_way: Vec<String>,
    /// Files that show a number above the last one sent; `None` when nothing was ever sent from here, so that all of
    /// [`FeedForecast::waiting`] are somebody else's.
    pub ahead: Option<Vec<String>>,
    /// Files with names of this feed, not picked up yet.
    pub waiting: usize,
}

impl FeedForecast {
    /// What would need somebody.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let is_ahead = self.ahead.as_ref().map_or(self.waiting > 0, |ahead| !ahead.is_empty());
        match self {
            Self { is_shadow: true, .. } => Mark::Note,
            _ if is_ahead || !self.in_the_way.is_empty() => Mark::Warn,
            _ => Mark::Good,
        }
    }

    /// Its names hold more than visible ASCII.
    #[must_use]
    pub fn has_unusual_name(&self) -> bool {
        self.next.iter().any(|name| name.bytes().any(|byte| !byte.is_ascii_graphic()))
    }
}

/// Compares the names that each feed gives next with what was listed.
pub(super) fn forecast(
    context: &ProbeContext<'_>,
    partner: &PartnerConfig,
    report: &ProbeReport,
) -> Result<Vec<FeedForecast>, LedgerFault> {
    let entries = report.place.done().map(|place| place.entries.as_slice()).unwrap_or_default();
    partner.feeds.iter().map(|feed| forecast_one(context, feed, entries)).collect()
}

fn forecast_one(
    context: &ProbeContext<'_>,
    feed: &FeedDefinition,
    entries: &[RemoteEntry],
) -> Result<FeedForecast, LedgerFault> {
    let hour = next_hours(feed, context.ledger, context.clock.now(), 1)?.pop();
    let next: Vec<String> = hour.into_iter().flat_map(|hour| std::iter::once(hour.file).chain(hour.manifest)).collect();
    let is_there = |name: &&String| entries.iter().any(|entry| entry.name == **name);
    let in_the_way = next.iter().filter(is_there).cloned().collect();
    let ahead = match context.ledger {
        Some(ledger) => Some(files_ahead(ledger, feed, entries)?.into_iter().map(|ahead| ahead.file).collect()),
        None => None,
    };
    let is_of_feed =
        |entry: &&RemoteEntry| templates(feed).any(|(template, _)| read_name(feed, template, &entry.name).is_some());
    let waiting = entries.iter().filter(is_of_feed).count();
    Ok(FeedForecast { feed: feed.id.clone(), is_shadow: feed.shadow, next, in_the_way, ahead, waiting })
}
