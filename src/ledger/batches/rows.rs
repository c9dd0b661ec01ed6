//! Rows of batches and files as values.

use crate::domain::batch::{BatchId, BatchPlan, HourCounts, SealedFile};
use crate::domain::counter::Sequence;
use crate::domain::ids::{FeedId, FileName, Lsn, PartNumber, Revision, Sha256Digest};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::ledger::{Result, signed, unsigned};

pub(in crate::ledger) fn sequence_columns(sequence: Option<Sequence>) -> Result<(Option<i64>, Option<i64>)> {
    Ok(match sequence {
        Some(given) => (Some(signed(given.cycle)?), Some(signed(given.number)?)),
        None => (None, None),
    })
}

pub(in crate::ledger) fn read_sequence(cycle: Option<i64>, number: Option<i64>) -> Option<Sequence> {
    Some(Sequence { cycle: unsigned(cycle?), number: unsigned(number?) })
}

/// Reads columns 2 to 14 of [`Ledger::unfinished_plans`]; the feed and the files come later.
pub(in crate::ledger) fn read_plan(
    row: &rusqlite::Row<'_>,
) -> rusqlite::Result<impl FnOnce(FeedId) -> BatchPlan + use<>> {
    let partition = Partition { start: row.get(2)?, end: row.get(3)? };
    let revision = Revision(row.get(4)?);
    let (from, cut) = (Lsn(unsigned(row.get(5)?)), Lsn(unsigned(row.get(6)?)));
    let (definition, encoder_revision): (String, u32) = (row.get(7)?, row.get(8)?);
    let (sealed_at, source_incomplete) = (UtcTime::from_nanos(row.get(9)?), row.get(10)?);
    let counts = HourCounts {
        received: unsigned(row.get(11)?),
        filtered: unsigned(row.get(12)?),
        quarantined: unsigned(row.get(13)?),
        duplicate: unsigned(row.get(14)?),
    };
    Ok(move |feed| BatchPlan {
        id: BatchId { feed, partition, revision },
        from,
        cut,
        definition,
        encoder_revision,
        sealed_at,
        parts: Vec::new(),
        manifest: None,
        counts,
        source_incomplete,
    })
}

/// Reads the columns of [`Ledger::sealed_parts`]; name and hash are parsed later.
pub(in crate::ledger) fn read_sealed(
    row: &rusqlite::Row<'_>,
) -> rusqlite::Result<impl FnOnce(FileName, Sha256Digest) -> SealedFile + use<>> {
    let part = PartNumber(row.get(1)?);
    let archive_path = row.get::<_, Option<String>>(5)?.unwrap_or_default();
    let sequence = read_sequence(row.get(3)?, row.get(4)?);
    let (records, bytes) = (unsigned(row.get(6)?), unsigned(row.get(7)?));
    let time = |nanos: Option<i64>| nanos.map(UtcTime::from_nanos);
    let (first_event, last_event) = (time(row.get(9)?), time(row.get(10)?));
    let totals = read_totals(&row.get::<_, String>(11)?);
    Ok(move |name, sha256| SealedFile {
        part,
        name,
        sequence,
        archive_path,
        records,
        bytes,
        sha256,
        first_event,
        last_event,
        totals,
    })
}

pub(in crate::ledger) fn read_totals(text: &str) -> Vec<(String, String)> {
    let totals: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    totals.into_iter().filter_map(|(name, sum)| Some((name, sum.as_str()?.to_owned()))).collect()
}
