//! What partners do with delivered files: seen, missed, picked up, there again, or removed by us.

use super::batches::{apply, parse_state, subject};
use super::{Fact, Ledger, LedgerFault, Result, append_fact, row, run, unsigned};
use crate::disk::SyncPoint;
use crate::domain::answer::Verdict;
use crate::domain::batch::{BatchFact, BatchId, BatchState};
use crate::domain::ids::{FeedId, FileName, PartNumber, PartnerId, Revision};
use crate::domain::period::Partition;
use crate::domain::pickup::{Pickup, PickupFact, PickupState, Stamp, Taken};
use crate::domain::time::UtcTime;
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A file of a batch, as far as its pickup matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedFile {
    /// Its row.
    pub row: i64,
    /// Place among the part files; 0 for the manifest.
    pub part: PartNumber,
    /// Final name.
    pub name: FileName,
    /// Size as archived.
    pub bytes: u64,
    /// When it was delivered; `None` when it is not.
    pub delivered_at: Option<UtcTime>,
    /// Its path at the partner as the ledger keeps it, when it is delivered.
    pub shown_as: Option<String>,
    /// What is known of it since then.
    pub pickup: Pickup,
}

impl TrackedFile {
    /// True when it was delivered and something is still expected of the partner, or of us.
    #[must_use]
    pub const fn is_outstanding(&self) -> bool {
        self.delivered_at.is_some() && self.pickup.state.is_outstanding()
    }
}

/// A batch of which files lie, or lay, at the partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedBatch {
    /// Its row.
    pub row: i64,
    /// Which batch.
    pub id: BatchId,
    /// Its files, void ones left out.
    pub files: Vec<TrackedFile>,
}

/// Something that became known of a file, or is about to be done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickupChange {
    /// The row of its batch.
    pub batch: i64,
    /// The feed.
    pub feed: FeedId,
    /// The file as it was read.
    pub file: TrackedFile,
    /// What.
    pub fact: PickupFact,
}

/// The columns that hold what is known of a file; see [`read_pickup`].
const PICKUP: &str = "p.state, p.first_seen, p.last_seen, p.first_missed, p.taken_at, p.how, p.modified, p.unique_fact";

impl Ledger {
    /// Batches of a feed whose delivery has begun and that are not picked up: those behind the row `after`, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn tracked_batches(&self, feed: &FeedId, after: i64, limit: u32) -> Result<Vec<TrackedBatch>> {
        // The sign keeps SQLite from walking through all batches by their numbers.
        let query = "SELECT id, start_second, end_second, revision FROM batch WHERE feed = ?1
                     AND state IN ('delivering', 'held delivering', 'delivered') AND +id > ?2 ORDER BY +id LIMIT ?3";
        let batches = self.rows(query, params![feed.to_string(), after, limit], |row| {
            let partition = Partition { start: row.get(1)?, end: row.get(2)? };
            let id = BatchId { feed: feed.clone(), partition, revision: Revision(row.get(3)?) };
            Ok((row.get(0)?, id))
        })?;
        let batches = batches.into_iter();
        batches.map(|(row, id)| Ok(TrackedBatch { row, id, files: self.tracked_files(row)? })).collect()
    }

    fn tracked_files(&self, batch: i64) -> Result<Vec<TrackedFile>> {
        let query = format!(
            "SELECT {PICKUP}, f.id, f.part, f.name, f.bytes, f.state, f.delivered_at, f.proof_name
             FROM file f LEFT JOIN pickup p ON p.file = f.id
             WHERE f.batch = ?1 AND f.state != 'void' ORDER BY f.part = 0, f.part"
        );
        let rows = self.rows(&query, [batch], |row| {
            let texts: (String, String) = (row.get(10)?, row.get(12)?);
            let bytes = unsigned(row.get::<_, Option<i64>>(11)?.unwrap_or(0));
            Ok((
                read_pickup(row, 0)?,
                row.get::<_, i64>(8)?,
                PartNumber(row.get(9)?),
                texts,
                bytes,
                (row.get(13)?, row.get(14)?),
            ))
        })?;
        rows.into_iter()
            .map(
                |(pickup, row, part, (name, state), bytes, (delivered_at, shown_as)): (
                    _,
                    _,
                    _,
                    _,
                    _,
                    (Option<i64>, _),
                )| {
                    Ok(TrackedFile {
                        row,
                        part,
                        name: FileName::parse(&name).map_err(|fault| LedgerFault::Row(fault.to_string()))?,
                        bytes,
                        delivered_at: delivered_at.filter(|_| state == "delivered").map(UtcTime::from_nanos),
                        shown_as,
                        pickup: pickup.finish()?,
                    })
                },
            )
            .collect()
    }

    /// The servers at which files of a feed wait to be picked up, each as an empty path there.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn waiting_servers(&self, feed: &FeedId) -> Result<Vec<String>> {
        let query = "SELECT DISTINCT substr(f.proof_name, 1, instr(f.proof_name, ' ')) FROM batch b
                     JOIN file f ON f.batch = b.id WHERE b.feed = ?1
                     AND b.state IN ('delivering', 'held delivering', 'delivered') AND f.state = 'delivered'";
        self.rows(query, [feed.to_string()], |row| row.get(0))
    }

    /// What is known of a delivered file by its name, whichever partner it is for: feed, batch and file.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn tracked_by_name(&self, name: &str) -> Result<Vec<(FeedId, i64, TrackedFile)>> {
        let query = "SELECT DISTINCT b.feed, b.id FROM file f JOIN batch b ON b.id = f.batch WHERE f.name = ?1";
        let batches = self.rows(query, [name], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let mut found = Vec::new();
        for (feed, batch) in batches {
            let feed = FeedId::parse(&feed).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
            let files = self.tracked_files(batch)?.into_iter().filter(|file| file.name.as_str() == name);
            found.extend(files.map(|file| (feed.clone(), batch, file)));
        }
        Ok(found)
    }

    /// When the partner's directory was listed completely for the last time.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn last_look(&self, partner: &PartnerId) -> Result<Option<UtcTime>> {
        let rows = self.rows("SELECT at FROM look WHERE partner = ?1", [partner.as_str()], |row| row.get(0))?;
        Ok(rows.first().copied().map(UtcTime::from_nanos))
    }

    /// Records what a listing made known, in one transaction. What somebody else has recorded of a file in the meantime
    /// stands. The batches of the changes, and those in `ended`, are picked up when all of their files are.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was recorded then.
    pub fn record_seen(
        &mut self,
        partner: &PartnerId,
        changes: &[PickupChange],
        ended: &[i64],
        at: UtcTime,
    ) -> Result<()> {
        if changes.is_empty() && ended.is_empty() {
            return Ok(());
        }
        let last_look = self.last_look(partner)?;
        self.transact(SyncPoint::LedgerOutcome, |t| {
            let mut batches: BTreeSet<i64> = ended.iter().copied().collect();
            for change in changes {
                if store_change(t, change, at, last_look)? {
                    batches.insert(change.batch);
                }
            }
            batches.into_iter().try_for_each(|batch| follow(t, batch, at))
        })
    }

    /// Records that a partner's directory was listed completely.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn record_look(&mut self, partner: &PartnerId, at: UtcTime) -> Result<()> {
        self.transact(SyncPoint::LedgerOther, |t| {
            let insert = "INSERT OR REPLACE INTO main.look (partner, at) VALUES (?1, ?2)";
            run(t, insert, params![partner.as_str(), at.nanos()]).map(|_| ())
        })
    }

    /// Records that the partner has deleted a file just now, on a server of our own. Gives the feed that the file is of;
    /// `None` when no file of the partner with this name is delivered and not picked up.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was recorded then.
    pub fn record_pickup(&mut self, partner: &PartnerId, name: &str, at: UtcTime) -> Result<Option<FeedId>> {
        let found = self.tracked_by_name(name)?.into_iter();
        let ours = found.filter(|(feed, _, file)| feed.partner == *partner && file.is_outstanding());
        let Some((feed, batch, file)) = ours.last() else { return Ok(None) };
        let fact = PickupFact::Taken { how: Taken::Deleted, missed: true };
        let change = PickupChange { batch, feed: feed.clone(), file, fact };
        self.record_seen(partner, &[change], &[], at)?;
        Ok(Some(feed))
    }

    /// Nothing more is to be done for the batches of a feed that are picked up; of a partner that answers, for those that
    /// are accepted.
    ///
    /// # Errors
    /// [`LedgerFault`]; nothing was recorded then.
    pub fn retire_picked_up(&mut self, feed: &FeedId, answers: bool, at: UtcTime) -> Result<()> {
        let query = "SELECT id FROM batch WHERE feed = ?1 AND state = 'picked up' ORDER BY +id LIMIT 1000";
        let mut batches = Vec::new();
        for batch in self.rows(query, [feed.to_string()], |row| row.get::<_, i64>(0))? {
            if !answers || self.batch_verdict(batch)? == Some(Verdict::Accepted) {
                batches.push(batch);
            }
        }
        if batches.is_empty() {
            return Ok(());
        }
        self.transact(SyncPoint::LedgerOther, |t| {
            batches.into_iter().try_for_each(|batch| step(t, batch, BatchFact::Retired, "retired", at))
        })
    }
}

/// The columns of [`PICKUP`]; words are parsed later.
pub(super) struct StoredPickup {
    state: Option<String>,
    how: Option<String>,
    rest: Pickup,
}

/// Reads the columns of [`PICKUP`], of which `first` is the place of the first.
pub(super) fn read_pickup(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<StoredPickup> {
    let time = |column: usize| row.get::<_, Option<i64>>(column).map(|nanos| nanos.map(UtcTime::from_nanos));
    let rest = Pickup {
        state: PickupState::Unseen,
        first_seen: time(first + 1)?,
        last_seen: time(first + 2)?,
        first_missed: time(first + 3)?,
        taken_at: time(first + 4)?,
        how: None,
        stamp: Stamp { modified: time(first + 6)?, unique: row.get::<_, Option<String>>(first + 7)?.map(Arc::from) },
    };
    Ok(StoredPickup { state: row.get(first)?, how: row.get(first + 5)?, rest })
}

impl StoredPickup {
    pub(super) fn finish(self) -> Result<Pickup> {
        let unreadable = |what: &str, word: &str| LedgerFault::Row(format!("{what} `{word}`"));
        let state =
            self.state.as_deref().map(|word| PickupState::parse(word).ok_or_else(|| unreadable("pickup", word)));
        let how = self.how.as_deref().map(|word| Taken::parse(word).ok_or_else(|| unreadable("evidence", word)));
        Ok(Pickup { state: state.transpose()?.unwrap_or_default(), how: how.transpose()?, ..self.rest })
    }
}

fn pickup_of(t: &Transaction<'_>, file: i64) -> Result<Pickup> {
    let query = format!("SELECT {PICKUP} FROM pickup p WHERE p.file = ?1");
    let found = row(t
        .prepare_cached(&query)
        .and_then(|mut found| found.query_row([file], |row| read_pickup(row, 0)).optional()))?;
    found.map_or_else(|| Ok(Pickup::default()), StoredPickup::finish)
}

/// Records that files were picked up, on a person's word.
pub(super) fn record_word(t: &Transaction<'_>, changes: &[PickupChange], reason: &str, at: UtcTime) -> Result<()> {
    for change in changes {
        if store_change(t, change, at, None)? {
            let subject = format!("{} {}", change.feed, change.file.name);
            append_fact(t, Fact { at, kind: "settled-as-picked-up", subject: &subject, detail: reason })?;
        }
    }
    let batches: BTreeSet<i64> = changes.iter().map(|change| change.batch).collect();
    batches.into_iter().try_for_each(|batch| follow(t, batch, at))
}

/// False when somebody else has recorded something of the file in the meantime.
fn store_change(t: &Transaction<'_>, change: &PickupChange, at: UtcTime, last_look: Option<UtcTime>) -> Result<bool> {
    let PickupChange { feed, file, fact, .. } = change;
    let known = pickup_of(t, file.row)?;
    if known.state != file.pickup.state {
        return Ok(false);
    }
    store(t, feed, (file.row, file.name.as_str()), known, fact, at, last_look)?;
    Ok(true)
}

fn store(
    t: &Transaction<'_>,
    feed: &FeedId,
    (file, name): (i64, &str),
    known: Pickup,
    fact: &PickupFact,
    at: UtcTime,
    last_look: Option<UtcTime>,
) -> Result<()> {
    let before = known.state;
    let next = known.apply(fact, at, last_look).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
    let nanos = |time: Option<UtcTime>| time.map(UtcTime::nanos);
    let insert = "INSERT OR REPLACE INTO main.pickup VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = params![
        file,
        next.state.word(),
        nanos(next.first_seen),
        nanos(next.last_seen),
        nanos(next.first_missed),
        nanos(next.taken_at),
        next.how.map(Taken::as_str),
        nanos(next.stamp.modified),
        next.stamp.unique.as_deref(),
    ];
    run(t, insert, values)?;
    let (kind, detail) = match (fact, next.state) {
        // The first sight of a file says nothing that the row does not.
        (PickupFact::Seen(_), PickupState::There | PickupState::Removing) => return Ok(()),
        (PickupFact::Seen(_), _) => ("seen-again", format!("it was {} before", before.word())),
        (PickupFact::Taken { how, .. }, _) => (fact.name(), format!("known by {}{}", how.as_str(), last_seen(&next))),
        (PickupFact::Vanished, PickupState::Removed) => ("removed", String::new()),
        (PickupFact::Vanished | PickupFact::RemovalIntended, _) => (fact.name(), last_seen(&next)),
    };
    append_fact(t, Fact { at, kind, subject: &format!("{feed} {name}"), detail: detail.trim_start_matches("; ") })
}

fn last_seen(pickup: &Pickup) -> String {
    let text = |at: UtcTime| crate::domain::period::Zone::UTC.clock_text(at.seconds(), "%Y-%m-%dT%H:%M:%SZ");
    pickup.last_seen.map(|at| format!("; last seen {}", text(at))).unwrap_or_default()
}

/// The batch follows its files: picked up with the last of them; when we removed them it ends at once.
fn follow(t: &Transaction<'_>, batch: i64, at: UtcTime) -> Result<()> {
    let query = "SELECT b.state, count(*) FILTER (WHERE f.state = 'delivered'),
                 count(*) FILTER (WHERE f.state = 'delivered' AND coalesce(p.state, '') IN ('picked up', 'back')),
                 count(*) FILTER (WHERE f.state = 'delivered' AND coalesce(p.state, '') IN ('gone', 'removed'))
                 FROM batch b JOIN file f ON f.batch = b.id LEFT JOIN pickup p ON p.file = f.id WHERE b.id = ?1";
    let counts = row(t.query_row(query, [batch], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))))?;
    let (state, delivered, picked_up, ended): (String, i64, i64, i64) = counts;
    if parse_state(&state)? != BatchState::Delivered || delivered == 0 || picked_up + ended < delivered {
        return Ok(());
    }
    match picked_up {
        0 => step(t, batch, BatchFact::Retired, "retired", at),
        _ => step(t, batch, BatchFact::PickedUp, "picked-up", at),
    }
}

fn step(t: &Transaction<'_>, batch: i64, fact: BatchFact, kind: &str, at: UtcTime) -> Result<()> {
    apply(t, batch, fact)?;
    let query = "SELECT feed, start_second, end_second, revision FROM batch WHERE id = ?1";
    let (feed, start, end, revision): (String, i64, i64, u32) =
        row(t.query_row(query, [batch], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))))?;
    let feed = FeedId::parse(&feed).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
    let id = BatchId { feed, partition: Partition { start, end }, revision: Revision(revision) };
    append_fact(t, Fact { at, kind, subject: &subject(&id), detail: "every file" })
}
