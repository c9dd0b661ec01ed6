//! Mending a damaged journal, and recording it.

use crate::app::beside::Beside;
use crate::app::config::Config;
use crate::app::fault::ExporterFault;
use crate::app::store::{StoreFault, lock, read_identity};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::ledger::Ledger;
use crate::spool::SpoolFault;
use crate::spool::salvage::{Mended, finish_interrupted, salvage as mend};
use crate::spool::survey::{Known, survey};
use std::sync::Arc;

/// Mends every damaged segment of the journal; damaged files are put into `damaged/` of the state directory. Gives
/// what was mended; nothing when nothing is damaged.
///
/// # Errors
/// [`ExporterFault`] when another instance works, or frames contradict each other.
pub fn salvage(
    disk: &Arc<dyn Disk>,
    config: &Config,
    clock: &dyn Clock,
    reason: &str,
) -> Result<Vec<Mended>, ExporterFault> {
    let state = &config.state;
    let _lock = lock(state)?;
    let store = read_identity(disk.as_ref(), state)?;
    let mut ledger = Ledger::open(Arc::clone(disk), &config.ledger_path())?;
    // What the archive's log has got beyond the ledger's own note is noted with the next transaction.
    Beside::of(config).open_log(disk, &mut ledger, &store.to_string()).map_err(StoreFault::Beside)?;
    let known = Known { freed: ledger.freed()?, durable: ledger.applied()? };
    let dir = state.join("journal");
    disk.create_dir_all(&dir, crate::disk::SyncPoint::SpoolDirectory).map_err(|source| StoreFault::Disk {
        operation: "create",
        path: dir.clone(),
        source,
    })?;
    finish_interrupted(disk.as_ref(), &dir)?;
    let found = survey(disk.as_ref(), &dir, store, known, &mut |_| {})?;
    let mended = mend(disk.as_ref(), &dir, &state.join("damaged"), store, &found)?;
    let after = survey(disk.as_ref(), &dir, store, known, &mut |_| {})?;
    if let Some(damage) = after.damage.into_iter().next() {
        let (path, offset, lsn, what) = (damage.path, damage.offset, damage.first, damage.what);
        return Err(SpoolFault::Damaged { path, offset, lsn, what }.into());
    }
    let details: Vec<String> = mended.iter().map(|mended| format!("{}: {reason}", words(mended))).collect();
    if !details.is_empty() {
        ledger.note_salvage(&details, clock.now())?;
    }
    Ok(mended)
}

/// What was mended, as it is kept in the history.
pub(in crate::app) fn words(mended: &Mended) -> String {
    let name = |path: &std::path::Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut text = format!("segment {}", name(&mended.path).unwrap_or_default());
    for lost in &mended.lost {
        text.push_str(&format!(", frames {} to {} lost ({})", lost.first, lost.last, lost.what));
    }
    if let Some(aside) = mended.aside.as_deref().and_then(name) {
        text.push_str(&format!(", the damaged file is damaged/{aside}"));
    }
    text
}
