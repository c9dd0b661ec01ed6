//! Rows that do not fit together because some are lost: what is half known is forgotten, so that it can be found again in
//! the archive, and nothing that was closed or numbered is given again.

use super::{Fact, Ledger, Result, append_fact, row, run};
use crate::disk::SyncPoint;
use crate::domain::batch::BatchId;
use crate::domain::time::UtcTime;
use rusqlite::{Transaction, params};

/// Batches of which something is not known: they have no files, files that lag behind them, or files ahead of them.
const HALF_KNOWN: &str = "SELECT b.id FROM batch b WHERE b.state NOT IN ('open', 'held', 'skipped', 'retired') AND (
    b.definition NOT IN (SELECT hash FROM definition)
    OR NOT EXISTS (SELECT 1 FROM file f WHERE f.batch = b.id)
    OR EXISTS (SELECT 1 FROM file f WHERE f.batch = b.id AND (f.state = 'planned') != (b.state = 'planned')))";

impl Ledger {
    /// Forgets what is half known and keeps counters and closed hours above everything that is.
    ///
    /// # Errors
    /// [`super::LedgerFault`]; nothing was changed then.
    pub fn mend(&mut self) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            keep_above(t)?;
            run(t, "DELETE FROM main.file WHERE batch NOT IN (SELECT id FROM main.batch)", [])?;
            for batch in rows(t, HALF_KNOWN)? {
                forget(t, batch)?;
            }
            let feeds = "DELETE FROM main.feed_version WHERE hash NOT IN (SELECT hash FROM main.definition)";
            run(t, feeds, [])?;
            let orphans = "DELETE FROM main.batch WHERE definition NOT IN (SELECT hash FROM main.definition)";
            run(t, orphans, [])?;
            run(t, "DELETE FROM main.pickup WHERE file NOT IN (SELECT id FROM main.file)", [])?;
            run(t, "DELETE FROM main.verdict WHERE file NOT IN (SELECT id FROM main.file)", [])?;
            chain_again(t)
        })
    }

    /// Forgets a batch and its files.
    ///
    /// # Errors
    /// [`super::LedgerFault`].
    pub fn forget_batch(&mut self, id: &BatchId) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| forget(t, super::batches::batch_row(t, id)?))
    }
}

/// The facts that are left, as a history of their own: the chain is broken where some are lost.
fn chain_again(t: &Transaction<'_>) -> Result<()> {
    let query = "SELECT at, kind, subject, detail FROM main.fact ORDER BY id";
    let mut statement = row(t.prepare(query))?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let facts: Vec<(i64, String, String, String)> = row(row(statement.query_map([], read))?.collect())?;
    drop(statement);
    run(t, "DELETE FROM main.fact", [])?;
    run(t, "UPDATE main.store SET value = '' WHERE key = ?1", [super::facts::LAST_FACT])?;
    for (at, kind, subject, detail) in &facts {
        append_fact(t, Fact { at: UtcTime::from_nanos(*at), kind, subject, detail })?;
    }
    Ok(())
}

fn forget(t: &Transaction<'_>, batch: i64) -> Result<()> {
    // The number of a row may be given again.
    let pickups = "DELETE FROM main.pickup WHERE file IN (SELECT id FROM main.file WHERE batch = ?1)";
    run(t, pickups, [batch])?;
    let verdicts = "DELETE FROM main.verdict WHERE file IN (SELECT id FROM main.file WHERE batch = ?1)";
    run(t, verdicts, [batch])?;
    run(t, "DELETE FROM main.file WHERE batch = ?1", [batch])?;
    run(t, "DELETE FROM main.batch WHERE id = ?1", [batch])?;
    Ok(())
}

/// Counters and closed hours follow from files and batches, where their own rows are lost or older.
fn keep_above(t: &Transaction<'_>) -> Result<()> {
    let closed = "UPDATE main.feed SET closed_second = max(coalesce(closed_second, -1),
                  (SELECT coalesce(max(b.end_second), -1) FROM main.batch b WHERE b.feed = main.feed.feed AND b.state != 'open'))
                  WHERE EXISTS (SELECT 1 FROM main.batch b WHERE b.feed = main.feed.feed AND b.state != 'open')";
    run(t, closed, [])?;
    let given = "SELECT b.feed || CASE f.part WHEN 0 THEN '#manifest' ELSE '' END AS counter, f.cycle, f.number
                 FROM file f JOIN batch b ON b.id = f.batch WHERE f.number IS NOT NULL ORDER BY f.cycle, f.number";
    let mut statement = row(t.prepare(given))?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let given: Vec<(String, i64, i64)> = row(row(statement.query_map([], read))?.collect())?;
    for (counter, cycle, number) in given {
        let insert = "INSERT INTO main.counter (name, cycle, number, label) VALUES (?1, ?2, ?3, '')
                      ON CONFLICT (name) DO UPDATE SET cycle = excluded.cycle, number = excluded.number
                      WHERE excluded.cycle > cycle OR excluded.cycle = cycle AND excluded.number > number";
        run(t, insert, params![counter, cycle, number])?;
    }
    Ok(())
}

fn rows(t: &Transaction<'_>, query: &str) -> Result<Vec<i64>> {
    let mut statement = row(t.prepare(query))?;
    let found = row(statement.query_map([], |row| row.get(0)))?.collect();
    row(found)
}
