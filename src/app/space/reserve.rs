//! `state/RESERVE`: space that is given up when the disk is full, so that the ledger can still write.

use crate::app::store::StoreFault;
use crate::disk::{Disk, DiskFile, is_out_of_space};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file that only takes up space. It is never synced: it matters to nobody after a power cut.
pub struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
    is_held: Mutex<bool>,
}

impl Reserve {
    /// The reserve in a state directory; of 0 bytes: none.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, state: &Path, bytes: u64) -> Self {
        Self { disk, path: path_in(state), bytes, is_held: Mutex::new(false) }
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True when the space is taken up, or nothing is to be reserved and nothing was missed.
    #[must_use]
    pub fn is_held(&self) -> bool {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the space up, if it is not. False when there is no room.
    ///
    /// # Errors
    /// [`StoreFault::Disk`] for anything but lack of room.
    pub fn take(&self) -> Result<bool, StoreFault> {
        let mut is_held = self.lock();
        if *is_held {
            return Ok(true);
        }
        let fault = |operation| fault(operation, &self.path);
        match self.disk.stat(&self.path).map_err(fault("look at"))? {
            Some(stat) if stat.bytes == self.bytes && self.bytes > 0 => {
                *is_held = true;
                return Ok(true);
            }
            Some(_) => self.disk.remove(&self.path).map_err(fault("remove"))?,
            None => {}
        }
        *is_held = self.bytes == 0 || take_up(self.disk.as_ref(), &self.path, self.bytes)?;
        Ok(*is_held)
    }

    /// Gives the space up. True when there was any.
    ///
    /// # Errors
    /// [`StoreFault::Disk`].
    pub fn give(&self) -> Result<bool, StoreFault> {
        let mut is_held = self.lock();
        *is_held = self.bytes == 0;
        remove(self.disk.as_ref(), &self.path)
    }
}

/// Gives up the reserve of a state directory when there is hardly any room beside it. To be called at start, before
/// the ledger is opened: that needs some room, too.
///
/// # Errors
/// [`StoreFault::Disk`].
pub fn make_way(disk: &dyn Disk, state: &Path) -> Result<(), StoreFault> {
    let path = path_in(state);
    if disk.stat(&path).map_err(fault("look at", &path))?.is_some() && !has_room(disk, state)? {
        remove(disk, &path)?;
    }
    Ok(())
}

/// Tries whether a little can be written in a state directory.
///
/// # Errors
/// [`StoreFault::Disk`] for anything but lack of room.
pub fn has_room(disk: &dyn Disk, state: &Path) -> Result<bool, StoreFault> {
    const LITTLE_BYTES: u64 = 1 << 20;
    let path = state.join("RESERVE.try");
    remove(disk, &path)?;
    let taken = take_up(disk, &path, LITTLE_BYTES)?;
    remove(disk, &path)?;
    Ok(taken)
}

fn path_in(state: &Path) -> PathBuf {
    state.join("RESERVE")
}

fn take_up(disk: &dyn Disk, path: &Path, bytes: u64) -> Result<bool, StoreFault> {
    let taken = disk.create_new(path).and_then(|mut file| fill(file.as_mut(), bytes));
    match taken {
        Ok(()) => Ok(true),
        Err(error) if is_out_of_space(&error) => {
            remove(disk, path)?;
            Ok(false)
        }
        Err(error) => Err(fault("allocate", path)(error)),
    }
}

fn fill(file: &mut dyn DiskFile, bytes: u64) -> io::Result<()> {
    if !file.allocate(bytes)? {
        io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut Filled(file))?;
    }
    Ok(())
}

/// What `io::copy` writes to.
struct Filled<'f>(&'f mut dyn DiskFile);

impl Write for Filled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// True when there was something to remove.
fn remove(disk: &dyn Disk, path: &Path) -> Result<bool, StoreFault> {
    match disk.remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(fault("remove", path)(error)),
    }
}

fn fault(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreFault + use<> {
    let path = path.to_owned();
    move |source| StoreFault::Disk { operation, path, source }
}
