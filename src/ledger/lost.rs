//! What the ledger knows about records that should be in the spool: how many wait in each hour, which frames were freed,
//! and what is lost for good.

use super::batches::subject;
use super::{Fact, Ledger, LedgerFault, Result, append_fact, ask, run, signed, unsigned};
use crate::disk::SyncPoint;
use crate::domain::batch::BatchId;
use crate::domain::ids::{FeedId, Lsn};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use rusqlite::{Transaction, params};

/// Records that were received and are in no file, not filtered and not lost; of those in quarantine the ones that will
/// be rendered again with their hour.
const WAITING: &str = "
SELECT h.start_second, h.end_second, h.received - h.filtered - h.quarantined - h.voided
       - coalesce((SELECT sum(b.records) FROM batch b WHERE b.feed = h.feed AND b.start_second = h.start_second), 0)
       - coalesce((SELECT l.records FROM lost l WHERE l.feed = h.feed AND l.start_second = h.start_second), 0)
       + (SELECT count(*) FROM quarantine q
          WHERE q.feed = h.feed AND q.start_second = h.start_second AND q.stage = 'render' AND q.state = 'held'
          AND q.lsn >= coalesce((SELECT max(c.cut_lsn) FROM batch c WHERE c.feed = h.feed
                                 AND c.start_second = h.start_second AND c.state NOT IN ('open', 'held')), 0))
FROM hour h WHERE h.feed = ?1 AND h.start_second >= 0 AND (?2 IS NULL OR h.start_second = ?2)
ORDER BY h.start_second";

impl Ledger {
    /// Answers from now on come from one moment, whatever another instance writes meanwhile. For readers.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn stand_still(&self) -> Result<()> {
        self.check(self.connection.execute_batch("BEGIN"))
    }

    /// How many records of each hour of a feed wait to be sealed, as they were counted when they came; hours without
    /// any are left out. `start_second`: of this hour alone.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn waiting_records(&self, feed: &FeedId, start_second: Option<i64>) -> Result<Vec<(Partition, u64)>> {
        let rows = self.rows(WAITING, params![feed.to_string(), start_second], |row| {
            Ok((Partition { start: row.get(0)?, end: row.get(1)? }, unsigned(row.get(2)?)))
        })?;
        Ok(rows.into_iter().filter(|(_, records)| *records > 0).collect())
    }

    /// Frames before this one were freed; 0 when nobody has noted it.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn freed(&self) -> Result<Lsn> {
        let Some(text) = self.store_value("freed_lsn")? else { return Ok(Lsn(0)) };
        text.parse().map(Lsn).map_err(|_| LedgerFault::Row(format!("freed_lsn is `{text}`")))
    }

    /// Notes that frames before `first` are about to be freed.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn note_freed(&mut self, first: Lsn) -> Result<()> {
        let set = "INSERT INTO main.store (key, value) VALUES ('freed_lsn', ?1)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.transact(SyncPoint::LedgerOther, |t| run(t, set, [first.to_string()]).map(|_| ()))
    }

    /// Notes that damaged frames of the spool were mended, and why.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn note_salvage(&mut self, details: &[String], now: UtcTime) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            let fact = |detail| Fact { at: now, kind: "salvaged", subject: "spool", detail };
            details.iter().try_for_each(|detail| append_fact(t, fact(detail)))
        })
    }
}

/// Notes that an hour goes on without records that were counted.
pub(super) fn add_lost(t: &Transaction<'_>, id: &BatchId, records: u64) -> Result<()> {
    let insert = "INSERT INTO main.lost (feed, start_second, records) VALUES (?1, ?2, ?3)
                  ON CONFLICT (feed, start_second) DO UPDATE SET records = records + excluded.records";
    run(t, insert, params![id.feed.to_string(), id.partition.start, signed(records)?])?;
    let at: i64 = super::row(ask(
        t,
        "SELECT sealed_at FROM batch WHERE feed = ?1 AND start_second = ?2 AND revision = ?3",
        params![id.feed.to_string(), id.partition.start, id.revision.0],
        |row| row.get(0),
    ))?;
    let detail = format!("{records} records that were counted are in no frame any more");
    append_fact(t, Fact { at: UtcTime::from_nanos(at), kind: "lost", subject: &subject(id), detail: &detail })
}
