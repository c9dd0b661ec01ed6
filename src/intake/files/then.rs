//! What is done with an input file whose records are durable. Doing it twice is doing it once: a file that is gone
//! was put away before a crash.

use super::ThenRule;
use crate::disk::{Disk, SyncPoint, failed_sync, free_name, parent};
use std::io::{self, Read};
use std::path::Path;

pub(super) fn apply(disk: &dyn Disk, rule: &ThenRule, path: &Path, marker: &Path) -> io::Result<()> {
    let dir = match rule {
        ThenRule::Keep => return Ok(()),
        ThenRule::Delete => None,
        ThenRule::Move(dir) => {
            disk.create_dir_all(dir, SyncPoint::InputDirectory)?;
            Some(dir)
        }
    };
    // The marker goes first: a file without marker is not read again, whatever happens in between.
    for file in [marker, path] {
        if disk.stat(file)?.is_none() {
            continue;
        }
        match dir {
            None => disk.remove(file)?,
            Some(dir) => move_to(disk, file, dir)?,
        }
    }
    disk.sync_dir(parent(path), SyncPoint::InputDirectory).map_err(failed_sync)
}

fn move_to(disk: &dyn Disk, file: &Path, dir: &Path) -> io::Result<()> {
    // A file of the same name may lie there already; nothing is ever replaced.
    let target = free_name(disk, &dir.join(file.file_name().unwrap_or_default()), &|_| Ok(false))?;
    match disk.rename(file, &target) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_to(disk, file, dir),
        done => done.and_then(|()| disk.sync_dir(dir, SyncPoint::InputDirectory).map_err(failed_sync)),
    }
}

/// Another file system: a durable copy with its name, then the file goes. A crash in between leaves both, and the
/// next try goes on with the copy it finds.
fn copy_to(disk: &dyn Disk, file: &Path, dir: &Path) -> io::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let target = free_name(disk, &dir.join(&*name), &|found| same_content(disk, file, found))?;
    if disk.stat(&target)?.is_none() {
        let partial = dir.join(format!(".{name}.part"));
        if disk.stat(&partial)?.is_some() {
            disk.remove(&partial)?;
        }
        let (mut reader, mut writer) = (disk.open_read(file)?, disk.create_new(&partial)?);
        io::copy(&mut reader, &mut writer)?;
        writer.sync(SyncPoint::InputFile).map_err(failed_sync)?;
        disk.rename(&partial, &target)?;
    }
    disk.sync_dir(dir, SyncPoint::InputDirectory).map_err(failed_sync)?;
    disk.remove(file)
}

fn same_content(disk: &dyn Disk, one: &Path, other: &Path) -> io::Result<bool> {
    const PIECE_BYTES: u64 = 256 << 10;
    let (mut one, mut other) = (disk.open_read(one)?, disk.open_read(other)?);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    loop {
        a.clear();
        b.clear();
        (&mut one).take(PIECE_BYTES).read_to_end(&mut a)?;
        (&mut other).take(PIECE_BYTES).read_to_end(&mut b)?;
        if a != b || a.is_empty() {
            return Ok(a == b);
        }
    }
}
