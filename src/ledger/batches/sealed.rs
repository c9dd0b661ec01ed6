//! Batches whose files lie in the archive, for those who prove them again.

use super::rows::read_plan;
use crate::domain::batch::{BatchPlan, PlannedFile};
use crate::domain::ids::{FeedId, PartNumber};
use crate::ledger::{Ledger, Result};

impl Ledger {
    /// The plans of all batches of a feed that were sealed, in the order in which they were planned and sealed.
    ///
    /// # Errors
    /// [`crate::ledger::LedgerFault`].
    pub fn sealed_plans(&self, feed: &FeedId) -> Result<Vec<BatchPlan>> {
        let query = "SELECT id, feed, start_second, end_second, revision, from_lsn, cut_lsn, definition,
                     encoder_revision, sealed_at, source_incomplete, received, filtered, quarantined, duplicate
                     FROM batch b WHERE feed = ?1
                     AND EXISTS (SELECT 1 FROM file f WHERE f.batch = b.id AND f.sha256 IS NOT NULL) ORDER BY id";
        let rows = self.rows(query, [feed.to_string()], |row| Ok((row.get::<_, i64>(0)?, read_plan(row)?)))?;
        rows.into_iter()
            .map(|(id, read)| {
                let files = self.planned_files(id)?;
                let (manifest, parts) = files.into_iter().partition(|file: &PlannedFile| file.part == PartNumber(0));
                Ok(BatchPlan { parts, manifest: manifest.into_iter().next(), ..read(feed.clone()) })
            })
            .collect()
    }
}
