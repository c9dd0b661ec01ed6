//! The ledger: every decision and its outcome, in one SQLite file that an operator may read.
//!
//! `schema.sql` documents tables and the stable views. Facts are appended with a checksum that covers the fact
//! before; state lies beside them in rows of its own. Whatever belongs together is committed together, and before
//! the act that it permits. The ledger stores and answers; it decides nothing.

mod announced;
pub mod answers;
pub mod batches;
pub mod checked_rows;
pub mod clock;
pub mod contact;
pub mod copy;
pub mod delivery;
pub mod doubt;
mod facts;
pub mod intake;
pub mod leftovers;
pub mod lost;
pub mod mend;
mod model;
pub mod operator;
pub mod pickup;
pub mod proof;
mod quarantine;
pub mod reports;
pub mod sums;
mod upgrade;
mod wal;

pub use facts::Fact;
use facts::append_fact;

use crate::disk::{Disk, RealDisk, SyncPoint, failed_sync, is_failed_sync};
use crate::domain::ids::Lsn;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, OptionalExtension, Transaction, ffi, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SCHEMA: &str = include_str!("ledger/schema.sql");
/// How long a statement waits for another program that reads or writes the ledger.
const BUSY_MAX: Duration = Duration::from_secs(30);
const SCHEMA_VERSION: &str = "5";

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
    /// The disk refused a commit, or what must come before it.
    #[error("ledger: cannot {operation} {path}: {source}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// The file.
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
    /// Something in the file is not what was written.
    #[error("ledger {path} is damaged: {what}")]
    Damaged {
        /// The ledger file.
        path: PathBuf,
        /// What and where: a table and the key of its row, or what SQLite says.
        what: String,
    },
    /// A person, or somebody else, changed the file in the meantime.
    #[error("{name} was changed in the meantime")]
    Overtaken {
        /// The file's name.
        name: String,
    },
    /// A row holds something that hourdrop never writes.
    #[error("ledger row is not readable: {0}")]
    Row(String),
}

impl LedgerFault {
    /// True when SQLite found no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::DiskFull))
    }

    /// True when the system refused SQLite something while it wrote; it does not say what. A failed sync is more than
    /// that.
    #[must_use]
    pub fn is_refused_write(&self) -> bool {
        let codes = [Some(ErrorCode::SystemIoFailure), Some(ErrorCode::CannotOpen)];
        !self.is_failed_sync()
            && matches!(self, Self::Sqlite { source, .. } if codes.contains(&source.sqlite_error_code()))
    }

    /// True when a sync has failed, of the ledger's own files or of what must come before a commit.
    #[must_use]
    pub fn is_failed_sync(&self) -> bool {
        if let Self::Refused { operation, source, .. } = self {
            return operation.starts_with("sync") || is_failed_sync(source);
        }
        let codes = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
        matches!(self, Self::Sqlite { source: Error::SqliteFailure(failure, _), .. }
            if codes.contains(&failure.extended_code))
    }
}

/// The ledger, open.
pub struct Ledger {
    connection: Connection,
    path: PathBuf,
    /// Asked before each commit.
    disk: Arc<dyn Disk>,
    /// What the copy beside the archive has got and the file does not say yet.
    told: Option<copy::Told>,
    /// A sync has failed. Of the copy: it may be ahead of what is recorded. Of the file: nobody knows what of it the disk
    /// holds. So nothing else is recorded.
    latched: bool,
}

type Result<T> = std::result::Result<T, LedgerFault>;

impl LedgerFault {
    /// SQLite's answer, or the damage that it tells of.
    fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if let Error::SqliteFailure(_, Some(message)) = &source
            && let Some(row) = checked_rows::damage(message)
        {
            return Self::Damaged { path, what: row.to_owned() };
        }
        let unreadable =
            matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        let strange =
            matches!(source, Error::InvalidColumnType(..) | Error::Utf8Error(..) | Error::FromSqlConversionFailure(..));
        if unreadable || strange {
            return Self::Damaged { path, what: source.to_string() };
        }
        Self::Sqlite { path, source }
    }
}

impl Ledger {
    /// Creates a ledger that must not exist yet, durably.
    ///
    /// # Errors
    /// [`LedgerFault`] when SQLite refuses or the file exists.
    pub fn create(path: &Path, store: &str) -> Result<()> {
        let ledger = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, "off")?;
        ledger.check(ledger.connection.execute_batch(&format!(
            "BEGIN;{SCHEMA}{}{}",
            copy::triggers(),
            sums::triggers()
        )))?;
        let numbers = [("applied_lsn", "0"), ("freed_lsn", "1"), ("log_number", "0")];
        let values = [("schema_version", SCHEMA_VERSION), ("store_id", store), (facts::LAST_FACT, "")];
        for (key, value) in values.into_iter().chain(numbers) {
            let insert = "INSERT INTO main.store VALUES (?1, ?2)";
            ledger.check(ledger.connection.execute(insert, params![key, value]))?;
        }
        ledger.check(ledger.connection.execute_batch("COMMIT"))?;
        // Whoever gives the file its final name gives it without its log: everything must be in the file, and closing
        // would not say so.
        let moved = ledger.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        if ledger.check(moved)? != 0 {
            return Err(LedgerFault::Row("the new ledger could not be written to its file".to_owned()));
        }
        // Nobody looks at it before: one sync is enough.
        let refused = |source| LedgerFault::Refused { operation: "sync", path: path.to_owned(), source };
        RealDisk.sync_file(path, SyncPoint::LedgerOther).map_err(refused)
    }

    /// Opens an existing ledger for reading and writing. SQLite drops without a word what it cannot read of its log,
    /// so the log is looked at first.
    ///
    /// # Errors
    /// [`LedgerFault`] when SQLite refuses, the schema is another one, or the log is damaged.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self> {
        wal::check(disk.as_ref(), path)?;
        let ledger = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, "full")?;
        let mut ledger = Self { disk, ..ledger };
        ledger.upgrade()?;
        ledger.with_known_schema()
    }

    /// Opens an existing ledger for reading, and looks at its log first, when nobody else works with it.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_to_look(disk: &dyn Disk, path: &Path) -> Result<Self> {
        wal::check(disk, path)?;
        Self::open_read_only(path)
    }

    /// Opens an existing ledger for reading, beside a running instance.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_read_only(path: &Path) -> Result<Self> {
        // A reader of a WAL database needs the -shm file, so the file is opened for writing and writing is forbidden.
        let ledger = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, "full")?;
        // What lies in SQLite's log is brought into the file by those who write, who look at the log before.
        ledger.check(ledger.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true))?;
        let ledger = ledger.with_known_schema()?;
        ledger.check(ledger.connection.pragma_update(None, "query_only", true))?;
        Ok(ledger)
    }

    fn connect(path: &Path, flags: OpenFlags, synchronous: &str) -> Result<Self> {
        let fault = |source| LedgerFault::sqlite(path, source);
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(fault)?;
        connection.busy_timeout(BUSY_MAX).map_err(fault)?;
        // Else SQLite compiles a statement again whenever a value was bound to its limit, or to what a partial index names.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(fault)?;
        // First of all: a new file is made one with a log by a write.
        connection.pragma_update(None, "synchronous", synchronous).map_err(fault)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(fault)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(fault)?;
        connection.pragma_update(None, "temp_store", "memory").map_err(fault)?;
        connection.set_prepared_statement_cache_capacity(256);
        checked_rows::teach(&connection).map_err(fault)?;
        Ok(Self { connection, path: path.to_owned(), disk: Arc::new(RealDisk), told: None, latched: false })
    }

    fn with_known_schema(self) -> Result<Self> {
        let found = self.store_value("schema_version")?.unwrap_or_default();
        if found != SCHEMA_VERSION && !upgrade::is_readable(&found) {
            return Err(LedgerFault::Schema { path: self.path, found });
        }
        let model = self.check(model::model())?;
        if found == SCHEMA_VERSION {
            self.check(self.connection.execute_batch(&model.front))?;
        } else {
            let tables = self.check(checked_rows::checked_tables(&self.connection))?;
            let front = self.check(checked_rows::front(&self.connection, &tables))?;
            self.check(self.connection.execute_batch(&front))?;
            self.check(upgrade::stand_in(&self.connection))?;
        }
        Ok(self)
    }

    fn check<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|source| LedgerFault::sqlite(&self.path, source))
    }

    fn store_value(&self, key: &str) -> Result<Option<String>> {
        let query = "SELECT value FROM store WHERE key = ?1";
        self.check(ask(&self.connection, query, [key], |row| row.get(0)).optional())
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
        let fault = |source| LedgerFault::sqlite(&path, source);
        let refused = |source| LedgerFault::Refused { operation: "commit to", path: path.clone(), source };
        if self.latched {
            let what = "a sync has failed; nothing is recorded until a restart";
            return Err(refused(failed_sync(std::io::Error::other(what))));
        }
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(fault)?;
        if let Some(told) = self.told {
            copy::note(&transaction, told)?;
        }
        let value = write(&transaction)?;
        self.disk.before_ledger_commit(point).map_err(refused)?;
        if let Err(fault) = transaction.commit().map_err(fault) {
            self.latched |= fault.is_failed_sync();
            return Err(fault);
        }
        self.told = None;
        self.disk.after_ledger_commit(point).map_err(refused)?;
        Ok(value)
    }
}

/// Runs a cached statement.
fn run(transaction: &Transaction<'_>, sql: &str, values: impl rusqlite::Params) -> Result<usize> {
    row(transaction.prepare_cached(sql).and_then(|mut statement| statement.execute(values)))
}

/// The one row that a cached statement gives. Preparing one takes longer than running it.
fn ask<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached(sql)?.query_row(values, read)
}

/// A result inside a transaction, where the path is known to the caller only.
fn row<T>(result: rusqlite::Result<T>) -> Result<T> {
    result.map_err(|source| LedgerFault::sqlite(Path::new("ledger.db"), source))
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

    impl Ledger {
        pub(crate) fn created(path: &Path) -> Self {
            Self::create(path, "0a").expect("a new ledger");
            Self::open(Arc::new(RealDisk), path).expect("ledger")
        }
    }

    fn ledger(dir: &Path) -> Ledger {
        Ledger::created(&dir.join("ledger.db"))
    }

    #[test]
    fn readers_leave_the_file_and_the_log_as_they_are() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("ledger.db");
        let mut writer = ledger(dir.path());
        writer.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("as if killed");
        let fact = Fact { at: crate::domain::time::UtcTime::MIN, kind: "k", subject: "s", detail: "d" };
        writer.transact(SyncPoint::LedgerOther, |t| append_fact(t, fact)).expect("fact");
        drop(writer);
        let bytes = |path: &Path| std::fs::read(path).expect("read");
        let before = (bytes(&path), bytes(&wal::log_path(&path)));
        assert_eq!(Ledger::open_read_only(&path).expect("reader").verify_facts().expect("facts"), 1);
        assert!(!before.1.is_empty() && (bytes(&path), bytes(&wal::log_path(&path))) == before);
    }

    #[test]
    fn a_damaged_log_is_not_taken_for_a_shorter_one() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("ledger.db");
        drop(ledger(dir.path()));
        let mut writer = Ledger::open(Arc::new(RealDisk), &path).expect("ledger");
        writer.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("as if killed");
        let fact = Fact { at: crate::domain::time::UtcTime::MIN, kind: "k", subject: "s", detail: "d" };
        for _ in 0..3 {
            writer.transact(SyncPoint::LedgerOther, |t| append_fact(t, fact)).expect("fact");
        }
        drop(writer);
        let log = wal::log_path(&path);
        let mut bytes = std::fs::read(&log).expect("log");
        bytes[1000] ^= 1;
        std::fs::File::create(&log).and_then(|mut f| std::io::Write::write_all(&mut f, &bytes)).expect("write");
        let refused = Ledger::open(Arc::new(RealDisk), &path).map(|_| ());
        assert!(matches!(refused, Err(LedgerFault::Damaged { what, .. }) if what.contains("ledger.db-wal")));
    }

    #[test]
    fn readers_cannot_write() {
        let dir = tempfile::tempdir().expect("directory");
        drop(ledger(dir.path()));
        let mut reader = Ledger::open_read_only(&dir.path().join("ledger.db")).expect("reader");
        let fact = Fact { at: crate::domain::time::UtcTime::MIN, kind: "k", subject: "s", detail: "d" };
        assert!(reader.transact(SyncPoint::LedgerOther, |t| append_fact(t, fact)).is_err());
    }

    #[test]
    fn a_missing_ledger_is_not_made_anew_by_opening_it() {
        let dir = tempfile::tempdir().expect("directory");
        assert!(Ledger::open(Arc::new(RealDisk), &dir.path().join("ledger.db")).is_err());
        assert!(!dir.path().join("ledger.db").exists());
    }
}
