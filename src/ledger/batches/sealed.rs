//! Batches whose files lie in the archive, for those who prove them again.

use super::rows::{read_plan, read_sealed};
use crate::domain::batch::{BatchPlan, PlannedFile, SealedFile};
use crate::domain::ids::{FeedId, FileName, PartNumber, Revision, Sha256Digest};
use crate::ledger::{Ledger, LedgerFault, Result};
use rusqlite::params;

impl Ledger {
    /// The part files of all sealed revisions of an hour, for the manifest of the next one: void ones are not stated.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn sealed_parts(&self, feed: &FeedId, start_second: i64) -> Result<Vec<(Revision, SealedFile)>> {
        self.parts(feed, start_second, "AND f.state != 'void'")
    }

    /// The same with those that are void.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn sealed_parts_with_void(&self, feed: &FeedId, start_second: i64) -> Result<Vec<(Revision, SealedFile)>> {
        self.parts(feed, start_second, "")
    }

    fn parts(&self, feed: &FeedId, start_second: i64, which: &str) -> Result<Vec<(Revision, SealedFile)>> {
        let query = &format!(
            "SELECT b.revision, f.part, f.name, f.cycle, f.number, f.archive_path, f.records, f.bytes, f.sha256,
                     f.first_event, f.last_event, f.totals FROM file f JOIN batch b ON b.id = f.batch
                     WHERE b.feed = ?1 AND b.start_second = ?2 AND f.part > 0 AND f.sha256 IS NOT NULL {which}
                     ORDER BY b.revision, f.part"
        );
        let rows = self.rows(query, params![feed.to_string(), start_second], |row| {
            Ok((Revision(row.get(0)?), row.get::<_, String>(2)?, row.get::<_, String>(8)?, read_sealed(row)?))
        })?;
        rows.into_iter()
            .map(|(revision, name, sha256, read)| {
                let name = FileName::parse(&name).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
                let sha256 = Sha256Digest::parse(&sha256).ok_or_else(|| LedgerFault::Row("sha256".to_owned()))?;
                Ok((revision, read(name, sha256)))
            })
            .collect()
    }

    /// The plans of all batches of a feed that were sealed, in the order in which they were planned and sealed.
    ///
    /// # Errors
    /// [`LedgerFault`].
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
