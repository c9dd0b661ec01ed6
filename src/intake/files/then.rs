//! What is done with an input file whose records are durable. Doing it twice is doing it once: a file that is gone
//! was put away before a crash.

use super::ThenRule;
use crate::disk::{Disk, SyncPoint, parent};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

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
    disk.sync_dir(parent(path), SyncPoint::InputDirectory)
}

fn move_to(disk: &dyn Disk, file: &Path, dir: &Path) -> io::Result<()> {
    let target = free_name(disk, dir, file)?;
    match disk.rename(file, &target) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_to(disk, file, &target)?,
        done => done?,
    }
    disk.sync_dir(dir, SyncPoint::InputDirectory)
}

/// A file of the same name may lie there already; nothing is ever replaced.
fn free_name(disk: &dyn Disk, dir: &Path, file: &Path) -> io::Result<PathBuf> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut target = dir.join(&*name);
    let mut number = 1;
    while disk.stat(&target)?.is_some() {
        number += 1;
        target = dir.join(format!("{name}.{number}"));
    }
    Ok(target)
}

fn copy_to(disk: &dyn Disk, file: &Path, target: &Path) -> io::Result<()> {
    let mut reader = disk.open_read(file)?;
    let mut writer = disk.create_new(target)?;
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = reader.read(&mut piece)?;
        if count == 0 {
            break;
        }
        writer.write_all(piece.get(..count).unwrap_or_default())?;
    }
    writer.sync(SyncPoint::InputFile)?;
    disk.remove(file)
}
