//! `spool_max`: the most that the spool may hold, and who needs the oldest of it.

use crate::app::exporter::Exporter;
use crate::app::fault::ExporterFault;
use crate::domain::batch::BatchState;
use crate::domain::time::UtcTime;
use crate::feed::definition::CloseRule;
use crate::feed::names;
use crate::feed::pending::{FeedHours, PendingHour};
use crate::seal::closing::Horizon;

impl Exporter {
    /// True when the spool holds as much as it may.
    pub(in crate::app) fn is_spool_full(&self) -> bool {
        self.spool.bytes() >= self.config.spool_max
    }

    /// The alarm that names the feed and the hour which need the oldest frame, and why the hour does not close.
    pub(super) fn bound_alarm(
        &self,
        now: UtcTime,
        horizon: Horizon,
    ) -> Result<Option<(&'static str, String, String)>, ExporterFault> {
        let oldest = self.feeds.iter().enumerate().filter_map(|(index, feed)| Some((feed.first_needed()?, index)));
        let Some((lsn, index)) = oldest.min() else { return Ok(None) };
        let Some(feed) = self.feeds.get(index) else { return Ok(None) };
        let Some(hour) = feed.pending.values().find(|hour| hour.lsns.first() == Some(lsn)) else { return Ok(None) };
        let (why, hint) = match self.why_held(feed, hour)? {
            Some(reason) => {
                (format!("is held: {reason}"), "release it (`hourdrop status` shows how), or raise `spool_max`")
            }
            None => {
                (self.why_open(index, feed, hour, now, horizon), "let it close, or raise `spool_max` and start again")
            }
        };
        let described = names::describe(feed.router.version_at(hour.partition.start), hour.partition);
        let message = format!(
            "nothing is read: the spool is full (spool_max); {} {described} needs the oldest of it and {why}",
            feed.id()
        );
        Ok(Some(("HD0302", message, hint.to_owned())))
    }

    fn why_held(&self, feed: &FeedHours, hour: &PendingHour) -> Result<Option<String>, ExporterFault> {
        let state = feed.closed.get(&hour.partition.start).map(|closed| closed.state);
        if !matches!(state, Some(BatchState::Held(_))) {
            return Ok(None);
        }
        let held = self.ledger.lock().held()?;
        let mine = held.into_iter().find(|(id, partition, _)| id == feed.id() && *partition == hour.partition);
        Ok(Some(mine.map_or_else(String::new, |(_, _, reason)| reason)))
    }

    fn why_open(&self, index: usize, feed: &FeedHours, hour: &PendingHour, now: UtcTime, horizon: Horizon) -> String {
        if let Some(reason) = self.closing_of(index, now, horizon).waits_for {
            return format!("waits: {reason}");
        }
        let definition = feed.router.version_at(hour.partition.start);
        if definition.close != CloseRule::Clock {
            return "is open: its sources have shown no later record".to_owned();
        }
        let due = hour.partition.end_time().after(definition.grace);
        if now < due { "is open: its time is not over".to_owned() } else { "is about to close".to_owned() }
    }
}
