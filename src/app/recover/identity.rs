//! Whose state this is: by the state directory, the journal, the archive's log and the old ledger.

use super::RecoverFault;
use crate::app::config::Config;
use crate::app::store::{disk_fault, parse_id};
use crate::archive::log::{LogFault, Tail};
use crate::disk::{Disk, Kind};
use crate::ledger::Ledger;
use crate::spool::StoreId;
use crate::spool::segment::{HEADER_BYTES, read_header};
use std::io::Read;

/// The identity, and where it was found.
pub(super) struct Identity {
    pub id: StoreId,
    pub from: &'static str,
    /// The file `STORE_ID` has to be written.
    pub rewrite: bool,
}

/// Asks every part. The parts must agree; only the file `STORE_ID` may be another one's.
pub(super) fn find(disk: &dyn Disk, config: &Config) -> Result<Identity, RecoverFault> {
    let own = own(disk, config)?;
    let witnesses = [
        ("the journal", journal(disk, config)?),
        ("the archive's log", log(disk, config)?),
        ("the ledger", ledger(disk, config)?),
    ];
    let mut named = witnesses.iter().filter_map(|(name, id)| id.map(|id| (*name, id)));
    let Some((first, id)) = named.next() else {
        return match own {
            Some(id) => Ok(Identity { id, from: "STORE_ID", rewrite: false }),
            // A file of a configured feed still is something to begin with.
            None if archive_has_files(disk, config) => {
                let id = StoreId(std::array::from_fn(|_| fastrand::u8(..)));
                Ok(Identity { id, from: "nowhere: it is a new one", rewrite: true })
            }
            None => Err(RecoverFault::Nothing),
        };
    };
    if let Some((other, found)) = named.find(|(_, found)| *found != id) {
        let own = own.map_or_else(|| "is missing".to_owned(), |own| format!("says {own}"));
        return Err(RecoverFault::Mixed(format!("{first} is of store {id}, {other} of store {found}; STORE_ID {own}")));
    }
    if own == Some(id) {
        return Ok(Identity { id, from: "STORE_ID", rewrite: false });
    }
    Ok(Identity { id, from: first, rewrite: true })
}

fn archive_has_files(disk: &dyn Disk, config: &Config) -> bool {
    let mut dirs = config.feeds().map(|feed| config.archive.join(feed.id.partner.as_str()).join(feed.id.feed.as_str()));
    dirs.any(|dir| disk.stat(&dir).ok().flatten().is_some())
}

fn own(disk: &dyn Disk, config: &Config) -> Result<Option<StoreId>, RecoverFault> {
    let path = config.state.join("STORE_ID");
    if disk.stat(&path).map_err(disk_fault("look at", &path))?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let file = disk.open_read(&path).map_err(disk_fault("open", &path))?;
    file.take(1024).read_to_end(&mut bytes).map_err(disk_fault("read", &path))?;
    Ok(parse_id(String::from_utf8_lossy(&bytes).trim()))
}

fn journal(disk: &dyn Disk, config: &Config) -> Result<Option<StoreId>, RecoverFault> {
    let dir = config.state.join("journal");
    if disk.stat(&dir).map_err(disk_fault("look at", &dir))?.is_none() {
        return Ok(None);
    }
    for entry in disk.list(&dir).map_err(disk_fault("list", &dir))? {
        if entry.stat.kind != Kind::File {
            continue;
        }
        let mut header = Vec::new();
        let file = disk.open_read(&entry.path).map_err(disk_fault("open", &entry.path))?;
        file.take(HEADER_BYTES).read_to_end(&mut header).map_err(disk_fault("read", &entry.path))?;
        if let Some((id, _)) = read_header(&header) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn log(disk: &dyn Disk, config: &Config) -> Result<Option<StoreId>, RecoverFault> {
    match Tail::read(disk, &config.archive, u64::MAX - 1) {
        Ok(tail) => Ok(tail.store.as_deref().and_then(parse_id)),
        // It is damaged, which is reported when it is read as a whole.
        Err(LogFault::Damaged { .. }) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

fn ledger(disk: &dyn Disk, config: &Config) -> Result<Option<StoreId>, RecoverFault> {
    let path = config.ledger_path();
    if disk.stat(&path).map_err(disk_fault("look at", &path))?.is_none() {
        return Ok(None);
    }
    // One that cannot be read says nothing.
    let id = Ledger::open_read_only(&path).and_then(|ledger| ledger.store_id());
    Ok(id.ok().as_deref().and_then(parse_id))
}
