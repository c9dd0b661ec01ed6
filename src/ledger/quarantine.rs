//! Records in quarantine: one entry for each record and feed that cannot take it, however often it is tried.

use super::intake::QuarantineRow;
use super::{Result, run, signed};
use rusqlite::{Transaction, params};

/// Adds a quarantine entry, or holds one again that a released hour had let go, or that came in again and failed.
pub(super) fn insert_quarantine(t: &Transaction<'_>, held: &QuarantineRow) -> Result<()> {
    if hold_retried_again(t, held)? {
        return Ok(());
    }
    let insert = "INSERT INTO main.quarantine
                  (source, feed, start_second, input, record, line, byte, reason, stage, raw, head, lsn, at)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                  ON CONFLICT DO UPDATE SET state = 'held', reason = excluded.reason";
    let feed = held.feed.as_ref().map(ToString::to_string).unwrap_or_default();
    let place = [signed(held.record)?, signed(held.line)?, signed(held.byte)?];
    let [record, line, byte] = place;
    let (lsn, at) = (signed(held.lsn.0)?, held.at.nanos());
    let (source, stage) = (held.source.as_str(), held.stage.word());
    let values = params![
        source,
        feed,
        held.start_second,
        held.input,
        record,
        line,
        byte,
        held.reason,
        stage,
        held.raw,
        held.head,
        lsn,
        at
    ];
    run(t, insert, values)?;
    Ok(())
}

/// A record of a feed that came in again has an entry, under the number of the frame that it came in with before. True
/// when there is one: it holds the record now.
fn hold_retried_again(t: &Transaction<'_>, held: &QuarantineRow) -> Result<bool> {
    let Some(feed) = &held.feed else { return Ok(false) };
    let update = "UPDATE main.quarantine SET state = 'held', lsn = ?6, start_second = ?8, reason = ?9, stage = ?10
                  WHERE id = (SELECT max(id) FROM quarantine WHERE source = ?1 AND feed = ?2 AND input = ?3
                  AND byte = ?4 AND record = ?5 AND lsn < ?6 AND raw = ?7 AND state = 'retried')
                  AND NOT EXISTS (SELECT 1 FROM quarantine WHERE source = ?1 AND feed = ?2 AND input = ?3
                  AND byte = ?4 AND record = ?5 AND lsn = ?6)";
    let values = params![
        held.source.as_str(),
        feed.to_string(),
        held.input,
        signed(held.byte)?,
        signed(held.record)?,
        signed(held.lsn.0)?,
        held.raw,
        held.start_second,
        held.reason,
        held.stage.word()
    ];
    Ok(run(t, update, values)? > 0)
}

/// A quarantined record comes back: it is counted where it goes now, and not twice.
pub(super) fn take_out_of_quarantine(t: &Transaction<'_>, id: i64) -> Result<()> {
    let hour = "UPDATE main.hour SET received = received - 1, quarantined = quarantined - 1
                WHERE feed = (SELECT feed FROM quarantine WHERE id = ?1)
                AND start_second = (SELECT coalesce(start_second, -1) FROM quarantine WHERE id = ?1)";
    let source = "UPDATE main.source SET rejects = rejects - 1
                  WHERE source = (SELECT source FROM quarantine WHERE id = ?1 AND stage = 'decode')";
    for update in [hour, source, "UPDATE main.quarantine SET state = 'retried' WHERE id = ?1"] {
        run(t, update, [id])?;
    }
    Ok(())
}
