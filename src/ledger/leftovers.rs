//! What lies at a partner: files that were delivered, and temporary files that are not needed any more, until they are
//! removed there.
//!
//! A file's own row remembers the temporary name of its last attempt. What an attempt left at a server that cannot be
//! reached, when the next one is made at another, has a row of `store`. That is no part of the copy beside the archive: a
//! ledger that is built from it forgets what lies there.

use super::delivery::{BatchToSend, FileToSend, change_file, expect_state, is_final};
use super::{Fact, Ledger, LedgerFault, Result, append_fact, run};
use crate::disk::SyncPoint;
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::ids::{FeedId, PartnerId};
use crate::domain::time::UtcTime;

impl Ledger {
    /// Which of these names are files that were delivered to a partner.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn delivered_among(&self, partner: &PartnerId, names: &[&str]) -> Result<Vec<String>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let query = "SELECT f.name FROM file f JOIN batch b ON b.id = f.batch
                     WHERE f.state = 'delivered' AND substr(b.feed, 1, length(?1)) = ?1
                     AND f.name IN (SELECT value FROM json_each(?2))";
        self.rows(query, [format!("{partner}/"), serde_json::json!(names).to_string()], |row| row.get(0))
    }

    /// Temporary names of void and settled files of a feed that may still lie at the partner: row, name and path.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn leftovers(&self, feed: &FeedId) -> Result<Vec<(i64, String, String)>> {
        let query = "SELECT f.id, f.name, f.temporary FROM file f JOIN batch b ON b.id = f.batch
                     WHERE b.feed = ?1 AND f.state IN ('void', 'delivered') AND f.temporary IS NOT NULL";
        let mut found: Vec<(i64, String, String)> =
            self.rows(query, [feed.to_string()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        // What was written under its final name is the file itself, not a leftover.
        found.retain(|(_, name, path)| !is_final(path, name));
        Ok(found)
    }

    /// Records that the temporary name of a void or settled file does not lie at the partner any more.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn record_swept(&mut self, feed: &FeedId, file: i64, name: &str, now: UtcTime) -> Result<()> {
        self.transact(SyncPoint::LedgerOutcome, |t| {
            run(t, "UPDATE main.file SET temporary = NULL WHERE id = ?1", [file])?;
            let subject = format!("{feed} {name}");
            append_fact(t, Fact { at: now, kind: "temporary-removed", subject: &subject, detail: "" })
        })
    }

    /// Gives up an attempt whose rename was never announced, and remembers that it may have left something at `place`, a
    /// server and a path. What was written under its final name is never swept away.
    ///
    /// # Errors
    /// [`LedgerFault`]; [`LedgerFault::Overtaken`] when the file is in another state by now.
    pub fn leave_behind(&mut self, batch: &BatchToSend, file: &FileToSend, place: &str, now: UtcTime) -> Result<()> {
        let state = &file.state;
        let fact = DeliveryFact::UploadAbandoned;
        let next = if matches!(state, FileState::Pending { .. }) {
            state.clone()
        } else {
            state.clone().apply(&fact).map_err(|fault| LedgerFault::Row(fault.to_string()))?
        };
        self.transact(SyncPoint::LedgerOutcome, |t| {
            expect_state(t, file.row, state)?;
            if next != *state {
                change_file(t, &batch.id, file, &fact, &next, &format!("what it left lies at {place}"), now)?;
            }
            run(t, "UPDATE main.file SET temporary = NULL WHERE id = ?1", [file.row])?;
            if is_final(place, file.name.as_str()) {
                return Ok(());
            }
            let insert = "INSERT OR REPLACE INTO main.store (key, value) VALUES (?1, ?2)";
            run(t, insert, [&format!("{}{place}", prefix(&batch.id.feed)), file.name.as_str()]).map(|_| ())
        })
    }

    /// What was left behind by files of a feed: name, and server and path.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn left_behind(&self, feed: &FeedId) -> Result<Vec<(String, String)>> {
        let prefix = prefix(feed);
        let query = "SELECT value, substr(key, length(?1) + 1) FROM store
                     WHERE key > ?1 AND substr(key, 1, length(?1)) = ?1 ORDER BY key";
        self.rows(query, [prefix], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Records that nothing lies at `place` any more.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn record_fetched_back(&mut self, feed: &FeedId, place: &str, name: &str, now: UtcTime) -> Result<()> {
        self.transact(SyncPoint::LedgerOutcome, |t| {
            run(t, "DELETE FROM main.store WHERE key = ?1", [format!("{}{place}", prefix(feed))])?;
            let subject = format!("{feed} {name}");
            append_fact(t, Fact { at: now, kind: "temporary-removed", subject: &subject, detail: place })
        })
    }
}

fn prefix(feed: &FeedId) -> String {
    format!("left {feed} ")
}
