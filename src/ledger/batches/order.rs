//! In which order the history tells of plans, sealed batches, and files and batches that were given up.

use super::subject;
use crate::domain::batch::BatchId;
use crate::domain::ids::FeedId;
use crate::ledger::{Ledger, Result};
use std::collections::BTreeMap;

/// A place in the history; what comes later has a higher one.
pub type Place = i64;

/// Where the history of a feed tells of its batches and files. What it does not tell of is older than all of it.
#[derive(Debug, Clone, Default)]
pub struct Order(BTreeMap<(String, String), Place>);

impl Order {
    /// Where the batch was planned.
    #[must_use]
    pub fn planned(&self, id: &BatchId) -> Option<Place> {
        self.place("planned", subject(id))
    }

    /// Where it was sealed.
    #[must_use]
    pub fn sealed(&self, id: &BatchId) -> Option<Place> {
        self.place("sealed", subject(id))
    }

    /// Where a void file was given up, by itself or with its batch.
    #[must_use]
    pub fn voided(&self, id: &BatchId, file: &str) -> Option<Place> {
        self.place("voided", format!("{} {file}", id.feed)).or_else(|| self.place("voided", subject(id)))
    }

    fn place(&self, kind: &str, subject: String) -> Option<Place> {
        self.0.get(&(kind.to_owned(), subject)).copied()
    }
}

impl Ledger {
    /// The order in which batches of a feed were planned and sealed, and given up.
    ///
    /// # Errors
    /// [`LedgerFault`](crate::ledger::LedgerFault).
    pub fn order_of(&self, feed: &FeedId) -> Result<Order> {
        let query = "SELECT kind, subject, id FROM fact WHERE kind IN ('planned', 'sealed', 'voided')
                     AND substr(subject, 1, length(?1) + 1) = ?1 || ' ' ORDER BY id";
        let rows = self.rows(query, [feed.to_string()], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        Ok(Order(rows.into_iter().collect()))
    }
}
