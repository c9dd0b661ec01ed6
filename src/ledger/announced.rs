//! Deletions on our own server that were announced before they were done: so that none is forgotten when the program
//! ends between the act and its record.

use super::{Fact, Ledger, Result, append_fact};
use crate::disk::SyncPoint;
use crate::domain::ids::{FeedId, FileName};
use crate::domain::time::UtcTime;

/// The kind of these facts.
const KIND: &str = "pickup-announced";

impl Ledger {
    /// Records that the partner's deletion of a file is about to be carried out.
    ///
    /// # Errors
    /// [`super::LedgerFault`]; the file must not be deleted then.
    pub fn announce_pickup(&mut self, feed: &FeedId, name: &FileName, at: UtcTime) -> Result<()> {
        let subject = format!("{feed} {name}");
        let fact = Fact { at, kind: KIND, subject: &subject, detail: "the partner deletes it" };
        self.transact(SyncPoint::LedgerIntent, |t| append_fact(t, fact))
    }

    /// Every announced deletion, with its time and `FEED NAME`, done or not.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn announced_pickups(&self) -> Result<Vec<(UtcTime, String)>> {
        let query = "SELECT at, subject FROM fact WHERE kind = ?1 ORDER BY id";
        self.rows(query, [KIND], |row| Ok((UtcTime::from_nanos(row.get(0)?), row.get(1)?)))
    }
}
