//! The desk at which a partner's deletion becomes a pickup: what the built-in server asks before a file goes.
//!
//! A deletion is announced in the ledger (and in the archive's log, as everything that cannot be taken back), done,
//! made durable, and recorded as a pickup. When the program ends in between, the next start sees which announced files
//! are gone and records them: a pickup is never lost. What was not delivered by us is never deleted.

use super::config::{Config, PartnerConfig};
use super::shared_ledger::SharedLedger;
use crate::clock::Clock;
use crate::disk::{Disk, Kind, SyncPoint};
use crate::domain::ids::{FileName, PartnerId};
use crate::ledger::LedgerFault;
use crate::ledger::pickup::TrackedFile;
use crate::remote::Endpoint;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

pub use crate::deliver::is_temporary_name;

/// Batches that are read at a time.
const BATCHES_AT_ONCE: u32 = 64;

/// Why a file is not deleted.
#[derive(Debug, thiserror::Error)]
pub enum TakeFault {
    /// The ledger knows no delivered file of this partner with this name and size.
    #[error("it is no delivered file of ours")]
    Foreign,
    /// Its delivery is not settled yet.
    #[error("its delivery is just being recorded, try again")]
    Unsettled,
    /// The program stops.
    #[error("the server stops, try again later")]
    Closed,
    /// The disk says no, or there is no such file.
    #[error("{0}")]
    Disk(#[source] io::Error),
    /// The ledger cannot record it.
    #[error("{0}")]
    Ledger(#[from] LedgerFault),
}

/// The desk of all partners.
pub struct PickupDesk {
    ledger: Arc<SharedLedger>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    /// One deletion at a time, and none once it is closed.
    is_open: Mutex<bool>,
}

/// The desk for one partner.
#[derive(Clone)]
pub struct PartnerDesk {
    desk: Arc<PickupDesk>,
    partner: PartnerId,
    directory: PathBuf,
}

impl fmt::Debug for PartnerDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartnerDesk").field("partner", &self.partner).finish_non_exhaustive()
    }
}

/// The directory that a partner fetches from: of one whose files are put into a directory of this machine.
#[must_use]
pub fn drop_directory(partner: &PartnerConfig) -> Option<&Path> {
    match &partner.address.endpoint {
        Endpoint::LocalDir { path, .. } => Some(path),
        Endpoint::Ftp(_) | Endpoint::Sftp(_) => None,
    }
}

impl PickupDesk {
    pub(super) fn new(ledger: Arc<SharedLedger>, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, disk, clock, is_open: Mutex::new(true) }
    }

    /// Nothing is deleted any more; a deletion that is under way ends first.
    pub(super) fn close(&self) {
        *self.lock() = false;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        match self.is_open.lock() {
            Ok(is_open) => is_open,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Records the pickups of announced files that are gone: the program ended before it could.
    pub(super) fn settle_announced(&self, config: &Config) -> Result<(), LedgerFault> {
        let mut missing = BTreeMap::new();
        for partner in config.partners.iter().filter(|partner| partner.pickup_login.is_some()) {
            let Some(directory) = drop_directory(partner) else { continue };
            for feed in &partner.feeds {
                let mut after = 0;
                loop {
                    let batches = self.ledger.lock().tracked_batches(&feed.id, after, BATCHES_AT_ONCE)?;
                    let Some(last) = batches.last() else { break };
                    after = last.row;
                    let files = batches.iter().flat_map(|batch| &batch.files).filter(|file| file.is_outstanding());
                    let gone = files.filter(|file| self.is_gone(directory, file));
                    missing.extend(
                        gone.map(|file| (format!("{} {}", feed.id, file.name), (&partner.id, file.name.clone()))),
                    );
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let announced = self.ledger.lock().announced_pickups()?;
        for (at, subject) in announced {
            if let Some((partner, name)) = missing.remove(&subject) {
                tracing::info!(%partner, file = %name, "a pickup that was announced before the last stop had happened");
                self.ledger.lock().record_pickup(partner, name.as_str(), at)?;
            }
        }
        Ok(())
    }

    /// A directory that cannot be seen says nothing about its files.
    fn is_gone(&self, directory: &Path, file: &TrackedFile) -> bool {
        matches!(self.disk.stat(&directory.join(file.name.as_str())), Ok(None))
            && matches!(self.disk.stat(directory), Ok(Some(_)))
    }
}

impl PartnerDesk {
    /// The desk for a partner whose files lie in this directory.
    #[must_use]
    pub const fn new(desk: Arc<PickupDesk>, partner: PartnerId, directory: PathBuf) -> Self {
        Self { desk, partner, directory }
    }

    /// The partner has what it wants of this file: deletes it and records the pickup.
    ///
    /// # Errors
    /// [`TakeFault`]; the file is as it was then, unless the disk could not say so.
    pub fn take(&self, name: &str) -> Result<(), TakeFault> {
        let name = FileName::parse(name).map_err(|_| TakeFault::Foreign)?;
        let PickupDesk { ledger, disk, clock, .. } = self.desk.as_ref();
        let path = self.directory.join(name.as_str());
        // It is kept until the end: whoever closes the desk waits for it.
        let is_open = self.desk.lock();
        if !*is_open {
            return Err(TakeFault::Closed);
        }
        let stat = disk.stat(&path).map_err(TakeFault::Disk)?;
        let bytes = match stat {
            Some(stat) if stat.kind == Kind::File => stat.bytes,
            Some(_) => return Err(TakeFault::Foreign),
            None => return Err(TakeFault::Disk(io::ErrorKind::NotFound.into())),
        };
        let at = clock.now();
        let known = ledger.lock().tracked_by_name(name.as_str())?;
        let mut ours = known.into_iter().filter(|(feed, _, file)| feed.partner == self.partner && file.bytes == bytes);
        let (feed, _, file) = ours.next_back().ok_or(TakeFault::Foreign)?;
        if file.delivered_at.is_none() {
            return Err(TakeFault::Unsettled);
        }
        ledger.lock().announce_pickup(&feed, &name, at)?;
        ledger.tell(at)?;
        disk.remove(&path).map_err(TakeFault::Disk)?;
        disk.sync_dir(&self.directory, SyncPoint::LocalDropDirectory).map_err(TakeFault::Disk)?;
        ledger.lock().record_pickup(&self.partner, name.as_str(), at)?;
        tracing::info!(partner = %self.partner, file = %name, "file picked up");
        drop(is_open);
        Ok(())
    }
}
