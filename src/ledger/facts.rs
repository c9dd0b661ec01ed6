//! The history: facts are appended, each with a check that covers the fact before it. The last one is noted in `store`,
//! so that facts which were cut off are missed.

use super::{Ledger, LedgerFault, Result, row, run};
use crate::domain::time::UtcTime;
use rusqlite::{OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};

/// Where `store` holds number and check of the last fact; empty as long as there is none.
pub(super) const LAST_FACT: &str = "last_fact";

/// One line of the history.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// When.
    pub at: UtcTime,
    /// What: `planned`, `sealed`, `held`, `delivered` and so on.
    pub kind: &'a str,
    /// About whom: a feed and hour, a file, a source.
    pub subject: &'a str,
    /// In words.
    pub detail: &'a str,
}

impl Fact<'_> {
    fn check(&self, previous: &[u8]) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(previous);
        hash.update(self.at.nanos().to_le_bytes());
        for text in [self.kind, self.subject, self.detail] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.finalize().to_vec()
    }
}

/// Appends a fact to the history.
pub(super) fn append_fact(transaction: &Transaction<'_>, fact: Fact<'_>) -> Result<()> {
    let last = "SELECT id, \"check\" FROM fact ORDER BY id DESC LIMIT 1";
    let found = transaction
        .prepare_cached(last)
        .and_then(|mut last| last.query_row([], |r| Ok((r.get(0)?, r.get(1)?))).optional());
    let (id, previous): (i64, Vec<u8>) = row(found)?.unwrap_or_default();
    let noted = "SELECT value FROM store WHERE key = ?1";
    let noted: String =
        row(transaction.prepare_cached(noted).and_then(|mut noted| noted.query_row([LAST_FACT], |r| r.get(0))))?;
    if noted != mark(id, &previous) {
        return Err(LedgerFault::Row(format!("the last fact is {id}, and another was the last one")));
    }
    let check = fact.check(&previous);
    let insert = "INSERT INTO main.fact VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    run(transaction, insert, params![id + 1, fact.at.nanos(), fact.kind, fact.subject, fact.detail, check])?;
    run(transaction, "UPDATE main.store SET value = ?2 WHERE key = ?1", [LAST_FACT, &mark(id + 1, &check)])?;
    Ok(())
}

/// Number and check of a fact as they are noted.
fn mark(id: i64, check: &[u8]) -> String {
    if id == 0 {
        return String::new();
    }
    check.iter().fold(format!("{id} "), |text, byte| format!("{text}{byte:02x}"))
}

impl Ledger {
    /// Checks the chain of facts from the first to the last, and that the last is the one that was written last. Gives
    /// their number.
    ///
    /// # Errors
    /// [`LedgerFault::Damaged`] names the first fact that was changed.
    pub fn verify_facts(&self) -> Result<u64> {
        let damaged = |what| LedgerFault::Damaged { path: self.path.clone(), what };
        // One statement sees the history and its end as they were at one moment, whoever writes meanwhile.
        let query = "SELECT id, at, kind, subject, detail, \"check\", (SELECT value FROM store WHERE key = ?1)
                     FROM fact ORDER BY id";
        let mut statement = self.check(self.connection.prepare_cached(query))?;
        let mut rows = self.check(statement.query([LAST_FACT]))?;
        let (mut previous, mut count, mut last) = (Vec::new(), 0, None);
        while let Some(row) = self.check(rows.next())? {
            let id: i64 = self.check(row.get(0))?;
            let fact = Fact {
                at: UtcTime::from_nanos(self.check(row.get(1))?),
                kind: &self.check(row.get::<_, String>(2))?,
                subject: &self.check(row.get::<_, String>(3))?,
                detail: &self.check(row.get::<_, String>(4))?,
            };
            let stored: Vec<u8> = self.check(row.get(5))?;
            if id != count + 1 || fact.check(&previous) != stored {
                return Err(damaged(format!("fact {id} does not follow from the fact before it")));
            }
            if last.is_none() {
                last = self.check(row.get::<_, Option<String>>(6))?;
            }
            (previous, count) = (stored, id);
        }
        let last = if count == 0 { self.store_value(LAST_FACT)? } else { last };
        if last.unwrap_or_default() != mark(count, &previous) {
            return Err(damaged(format!("fact {count} is the last one, and another was written last")));
        }
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SyncPoint;

    /// A ledger with three facts, of which one statement was then made false.
    fn verified_after(statement: &str) -> Result<u64> {
        let dir = tempfile::tempdir().expect("directory");
        let mut ledger = Ledger::created(&dir.path().join("ledger.db"));
        for number in 0..3 {
            let at = UtcTime::from_nanos(number);
            let fact = Fact { at, kind: "sealed", subject: "huaxin/voice", detail: "x" };
            ledger.transact(SyncPoint::LedgerOther, |t| append_fact(t, fact)).expect("fact");
        }
        ledger.connection.execute_batch(statement).expect("tamper");
        ledger.verify_facts()
    }

    #[test]
    fn facts_are_chained_and_a_change_is_found() {
        assert_eq!(verified_after("").expect("chain"), 3);
        let changed = verified_after("UPDATE main.fact SET detail = 'y' WHERE id = 2");
        assert!(matches!(changed, Err(LedgerFault::Damaged { what, .. }) if what.contains("fact 2")));
    }

    #[test]
    fn a_removed_fact_is_found_the_last_one_too() {
        for id in [1, 3] {
            assert!(verified_after(&format!("DELETE FROM main.fact WHERE id = {id}")).is_err(), "{id}");
        }
    }

    #[test]
    fn nothing_is_appended_behind_a_gap() {
        let dir = tempfile::tempdir().expect("directory");
        let mut ledger = Ledger::created(&dir.path().join("ledger.db"));
        let fact = Fact { at: UtcTime::MIN, kind: "k", subject: "s", detail: "d" };
        let append = |ledger: &mut Ledger| ledger.transact(SyncPoint::LedgerOther, |t| append_fact(t, fact));
        append(&mut ledger).expect("fact");
        append(&mut ledger).expect("fact");
        ledger.connection.execute("DELETE FROM main.fact WHERE id = 2", []).expect("tamper");
        assert!(append(&mut ledger).is_err());
    }
}
