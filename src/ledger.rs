//! The ledger: every decision and its outcome, in one SQLite file that an operator may read.
//!
//! `schema.sql` documents tables and the stable views. Facts are appended with a checksum that covers the fact
//! before; state lies beside them in rows of its own. Whatever belongs together is committed together, and before
//! the act that it permits. The ledger stores and answers; it decides nothing.

pub mod batches;
pub mod delivery;
pub mod intake;
pub mod reports;

use crate::disk::{Disk, RealDisk, SyncPoint};
use crate::domain::ids::Lsn;
use crate::domain::time::UtcTime;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SCHEMA: &str = include_str!("ledger/schema.sql");
const SCHEMA_VERSION: &str = "1";

/// What can go wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerFault {
    /// SQLite refused.
    #[error("ledger {path}: {source}")]
    Sqlite {
        /// The ledger file.
        path: PathBuf,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
    /// The disk refused a commit.
    #[error("ledger {path}: {source}")]
    Refused {
        /// The ledger file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file was written by another version of hourdrop.
    #[error("ledger {path} has schema {found}, this program reads schema {SCHEMA_VERSION}")]
    Schema {
        /// The ledger file.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// A row holds something that hourdrop never writes.
    #[error("ledger row is not readable: {0}")]
    Row(String),
}

/// The ledger, open.
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
    /// Asked before each commit.
    disk: Arc<dyn Disk>,
}

type Result<T> = std::result::Result<T, LedgerFault>;

impl Ledger {
    /// Creates a ledger that must not exist yet.
    ///
    /// # Errors
    /// [`LedgerFault`] when SQLite refuses or the file exists.
    pub fn create(path: &Path, store: &str) -> Result<Self> {
        let ledger = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        ledger.check(ledger.connection.execute_batch(&format!("BEGIN;{SCHEMA}")))?;
        for (key, value) in [("schema_version", SCHEMA_VERSION), ("store_id", store), ("applied_lsn", "0")] {
            let insert = "INSERT INTO store VALUES (?1, ?2)";
            ledger.check(ledger.connection.execute(insert, params![key, value]))?;
        }
        ledger.check(ledger.connection.execute_batch("COMMIT"))?;
        // Whoever gives the file its final name gives it without its log: everything must be in the file, and closing
        // would not say so.
        let moved = ledger.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match ledger.check(moved)? {
            0 => Ok(ledger),
            _ => Err(LedgerFault::Row("the new ledger could not be written to its file".to_owned())),
        }
    }

    /// Opens an existing ledger for reading and writing.
    ///
    /// # Errors
    /// [`LedgerFault`] when SQLite refuses or the schema is another one.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self> {
        let ledger = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?.with_known_schema()?;
        Ok(Self { disk, ..ledger })
    }

    /// Opens an existing ledger for reading, beside a running instance.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_read_only(path: &Path) -> Result<Self> {
        // A reader of a WAL database needs the -shm file, so the file is opened for writing and writing is forbidden.
        let ledger = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?.with_known_schema()?;
        ledger.check(ledger.connection.pragma_update(None, "query_only", true))?;
        Ok(ledger)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self> {
        let fault = |source| LedgerFault::Sqlite { path: path.to_owned(), source };
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(fault)?;
        connection.busy_timeout(std::time::Duration::from_secs(30)).map_err(fault)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(fault)?;
        connection.pragma_update(None, "synchronous", "full").map_err(fault)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(fault)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self { connection, path: path.to_owned(), disk: Arc::new(RealDisk) })
    }

    fn with_known_schema(self) -> Result<Self> {
        let found = self.store_value("schema_version")?.unwrap_or_default();
        if found == SCHEMA_VERSION { Ok(self) } else { Err(LedgerFault::Schema { path: self.path, found }) }
    }

    fn check<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|source| LedgerFault::Sqlite { path: self.path.clone(), source })
    }

    fn store_value(&self, key: &str) -> Result<Option<String>> {
        let query = "SELECT value FROM store WHERE key = ?1";
        self.check(self.connection.query_row(query, [key], |row| row.get(0)).optional())
    }

    /// The identity of the state directory this ledger belongs to.
    ///
    /// # Errors
    /// [`LedgerFault`] when SQLite refuses.
    pub fn store_id(&self) -> Result<String> {
        Ok(self.store_value("store_id")?.unwrap_or_default())
    }

    /// The last spool frame whose consequences are in the ledger.
    ///
    /// # Errors
    /// [`LedgerFault`] when SQLite refuses or the number is unreadable.
    pub fn applied(&self) -> Result<Lsn> {
        let text = self.store_value("applied_lsn")?.unwrap_or_default();
        text.parse().map(Lsn).map_err(|_| LedgerFault::Row(format!("applied_lsn is `{text}`")))
    }

    /// Runs `write` in one transaction.
    fn transact<T>(&mut self, point: SyncPoint, write: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let path = self.path.clone();
        let fault = |source| LedgerFault::Sqlite { path: path.clone(), source };
        let refused = |source| LedgerFault::Refused { path: path.clone(), source };
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(fault)?;
        let value = write(&transaction)?;
        self.disk.before_ledger_commit(point).map_err(refused)?;
        transaction.commit().map_err(fault)?;
        self.disk.after_ledger_commit(point).map_err(refused)?;
        Ok(value)
    }

    /// Checks the chain of facts from the first to the last.
    ///
    /// # Errors
    /// [`LedgerFault::Row`] names the first fact that was changed.
    pub fn verify_facts(&self) -> Result<u64> {
        let mut statement = self
            .check(self.connection.prepare("SELECT id, at, kind, subject, detail, \"check\" FROM fact ORDER BY id"))?;
        let mut rows = self.check(statement.query([]))?;
        let (mut previous, mut count) = (Vec::new(), 0);
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
                return Err(LedgerFault::Row(format!("fact {id} does not follow from the fact before it")));
            }
            (previous, count) = (stored, id);
        }
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

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
fn append_fact(transaction: &Transaction<'_>, fact: Fact<'_>) -> Result<()> {
    let last = "SELECT \"check\" FROM fact ORDER BY id DESC LIMIT 1";
    let previous: Vec<u8> = row(transaction.query_row(last, [], |r| r.get(0)).optional())?.unwrap_or_default();
    let insert = "INSERT INTO fact (at, kind, subject, detail, \"check\") VALUES (?1, ?2, ?3, ?4, ?5)";
    run(transaction, insert, params![fact.at.nanos(), fact.kind, fact.subject, fact.detail, fact.check(&previous)])?;
    Ok(())
}

/// Runs a cached statement.
fn run(transaction: &Transaction<'_>, sql: &str, values: impl rusqlite::Params) -> Result<usize> {
    row(transaction.prepare_cached(sql).and_then(|mut statement| statement.execute(values)))
}

/// A result inside a transaction, where the path is known to the caller only.
fn row<T>(result: rusqlite::Result<T>) -> Result<T> {
    result.map_err(|source| LedgerFault::Sqlite { path: PathBuf::from("ledger.db"), source })
}

/// SQLite stores signed numbers.
fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| LedgerFault::Row(format!("number {number} is too large")))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(dir: &Path) -> Ledger {
        Ledger::create(&dir.join("ledger.db"), "0a").expect("ledger")
    }

    #[test]
    fn facts_are_chained_and_a_change_is_found() {
        let dir = tempfile::tempdir().expect("directory");
        let mut ledger = ledger(dir.path());
        for number in 0..3 {
            let at = UtcTime::from_nanos(number);
            let fact = Fact { at, kind: "sealed", subject: "huaxin/voice", detail: "x" };
            ledger.transact(SyncPoint::LedgerOther, |t| append_fact(t, fact)).expect("fact");
        }
        assert_eq!(ledger.verify_facts().expect("chain"), 3);
        ledger.connection.execute("UPDATE fact SET detail = 'y' WHERE id = 2", []).expect("tamper");
        assert!(matches!(ledger.verify_facts(), Err(LedgerFault::Row(text)) if text.contains("fact 2")));
    }

    #[test]
    fn a_removed_fact_is_found() {
        let dir = tempfile::tempdir().expect("directory");
        let mut ledger = ledger(dir.path());
        for number in 0..3 {
            let fact = Fact { at: UtcTime::from_nanos(number), kind: "k", subject: "s", detail: "d" };
            ledger.transact(SyncPoint::LedgerOther, |t| append_fact(t, fact)).expect("fact");
        }
        ledger.connection.execute("DELETE FROM fact WHERE id = 1", []).expect("tamper");
        assert!(ledger.verify_facts().is_err());
    }

    #[test]
    fn readers_cannot_write() {
        let dir = tempfile::tempdir().expect("directory");
        drop(ledger(dir.path()));
        let mut reader = Ledger::open_read_only(&dir.path().join("ledger.db")).expect("reader");
        let fact = Fact { at: UtcTime::MIN, kind: "k", subject: "s", detail: "d" };
        assert!(reader.transact(SyncPoint::LedgerOther, |t| append_fact(t, fact)).is_err());
    }

    #[test]
    fn a_missing_ledger_is_not_made_anew_by_opening_it() {
        let dir = tempfile::tempdir().expect("directory");
        assert!(Ledger::open(Arc::new(RealDisk), &dir.path().join("ledger.db")).is_err());
        assert!(!dir.path().join("ledger.db").exists());
    }
}
