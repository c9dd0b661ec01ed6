//! A part file in staging: written and hashed in one pass. An hour may have thousands of them: a file that waits for its
//! trailer is put aside and is not open until then.
//!
//! What is collected is written in pieces that begin and end where pages do: writes that end anywhere take a third more
//! of the system's time (ext4), and what the system keeps of them lies in smaller pieces when it comes to writing it out.

use super::{SealFault, disk_fault};
use crate::disk::{Disk, DiskFile, SyncPoint};
use crate::domain::ids::Sha256Digest;
use crate::domain::time::UtcTime;
use crate::format::totals::Totals;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes that are collected before they are written.
pub(super) const BUFFER_BYTES: usize = 64 << 10;

/// A file under construction.
pub struct StagedFile {
    path: PathBuf,
    /// `None` while it is put aside.
    file: Option<Box<dyn DiskFile>>,
    buffer: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

impl StagedFile {
    /// Begins a file in staging. One that a crash left there is thrown away.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub fn create(disk: &dyn Disk, path: PathBuf) -> Result<Self, SealFault> {
        if disk.stat(&path).map_err(disk_fault("look at", &path))?.is_some() {
            disk.remove(&path).map_err(disk_fault("remove", &path))?;
        }
        let file = disk.create_new(&path).map_err(disk_fault("create", &path))?;
        Ok(Self { path, file: Some(file), buffer: Vec::new(), hash: Sha256::new(), bytes: 0 })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes + self.buffer.len() as u64
    }

    /// The buffer to append to; call [`StagedFile::flush_from`] afterwards.
    pub const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes the buffer when it holds so many bytes, a power of two: up to the last multiple of it in the file.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub fn flush_from(&mut self, bytes: usize, disk: &dyn Disk) -> Result<(), SealFault> {
        let collected = self.buffer.len();
        if collected < bytes {
            return Ok(());
        }
        let over = usize::try_from(self.bytes() % bytes as u64).unwrap_or_default();
        self.write(collected - over, disk)
    }

    /// True while the file is open.
    pub(super) const fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Closes the file for now; what is collected is kept.
    pub(super) fn release(&mut self) {
        self.file = None;
    }

    fn flush(&mut self, disk: &dyn Disk) -> Result<(), SealFault> {
        self.write(self.buffer.len(), disk)
    }

    /// Writes and hashes the first bytes of the buffer.
    fn write(&mut self, count: usize, disk: &dyn Disk) -> Result<(), SealFault> {
        if count == 0 {
            return Ok(());
        }
        let mut file = self.take_open(disk)?;
        let bytes = self.buffer.get(..count).unwrap_or_default();
        self.hash.update(bytes);
        file.write_all(bytes).map_err(disk_fault("write", &self.path))?;
        self.file = Some(file);
        self.bytes += bytes.len() as u64;
        self.buffer.drain(..count);
        Ok(())
    }

    /// The open file, to be put back by whoever goes on with it.
    fn take_open(&mut self, disk: &dyn Disk) -> Result<Box<dyn DiskFile>, SealFault> {
        match self.file.take() {
            Some(file) => Ok(file),
            None => disk.open_append(&self.path).map_err(disk_fault("open", &self.path)),
        }
    }

    /// Writes what there is and closes the file for now. The hash goes on where it was when more is written; the sync
    /// in [`StagedFile::end`] makes everything durable, by whichever handle it was written.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub fn put_aside(&mut self, disk: &dyn Disk) -> Result<(), SealFault> {
        self.flush(disk)?;
        self.file = None;
        Ok(())
    }

    /// Writes what there is: the file will be ended soon, when others are as far.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub fn end_comes(&mut self, disk: &dyn Disk) -> Result<(), SealFault> {
        let was_open = self.is_open();
        self.flush(disk)?;
        if let Some(file) = &mut self.file {
            file.sync_comes();
        }
        if !was_open {
            self.release();
        }
        Ok(())
    }

    /// Ends the file, durably, and returns its hash and length.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub fn end(mut self, disk: &dyn Disk) -> Result<(PathBuf, Sha256Digest, u64), SealFault> {
        self.flush(disk)?;
        let mut file = self.take_open(disk)?;
        file.sync(SyncPoint::StagedFile).map_err(disk_fault("sync", &self.path))?;
        Ok((self.path, Sha256Digest(self.hash.finalize().into()), self.bytes))
    }

    /// The same file behind another beginning: what follows the first `skip` bytes is copied behind `header`.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub fn behind(mut self, disk: &dyn Disk, header: &[u8], skip: u64) -> Result<Self, SealFault> {
        self.put_aside(disk)?;
        let mut name = self.path.clone().into_os_string();
        name.push(".again");
        let mut copy = Self::create(disk, PathBuf::from(name))?;
        copy.buffer.extend_from_slice(header);
        let mut reader = disk.open_read(&self.path).map_err(disk_fault("open", &self.path))?;
        reader.seek(io::SeekFrom::Start(skip)).map_err(disk_fault("seek", &self.path))?;
        let mut left = self.bytes - skip;
        while left > 0 {
            let chunk = left.min(BUFFER_BYTES as u64);
            let read =
                (&mut reader).take(chunk).read_to_end(&mut copy.buffer).map_err(disk_fault("read", &self.path))?;
            if read == 0 {
                let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(disk_fault("read", &self.path)(error));
            }
            left -= read as u64;
            copy.flush_from(BUFFER_BYTES, disk)?;
        }
        disk.remove(&self.path).map_err(disk_fault("remove", &self.path))?;
        Ok(copy)
    }

    /// Throws the file away.
    ///
    /// # Errors
    /// [`SealFault::Disk`].
    pub fn discard(self, disk: &dyn Disk) -> Result<(), SealFault> {
        disk.remove(&self.path).map_err(disk_fault("remove", &self.path))
    }
}

/// A part file whose body is complete.
pub struct StagedPart {
    /// The file: a header as it was guessed, and the records.
    pub file: StagedFile,
    /// Bytes of the guessed header.
    pub header: Vec<u8>,
    /// Records and sums.
    pub totals: Totals,
    /// Earliest event time.
    pub first_event: Option<UtcTime>,
    /// Latest event time.
    pub last_event: Option<UtcTime>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn what_is_collected_is_written_up_to_a_multiple_and_the_rest_at_the_end() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("a.part");
        let mut staged = StagedFile::create(&RealDisk, path.clone()).expect("file");
        let mut expected = Vec::new();
        let mut lengths = Vec::new();
        for (at, byte) in (0..200).zip((b'a'..=b'z').cycle()) {
            let line = vec![byte; at * 37 % 1_501];
            expected.extend_from_slice(&line);
            staged.buffer().extend_from_slice(&line);
            staged.flush_from(4096, &RealDisk).expect("room");
            assert_eq!(staged.bytes(), expected.len() as u64);
            lengths.push(RealDisk.stat(&path).expect("a look").expect("the file").bytes);
            if at == 100 {
                staged.put_aside(&RealDisk).expect("room");
            }
        }
        assert!(lengths.iter().all(|bytes| bytes % 4096 == 0 || *bytes == lengths[101]), "{lengths:?}");
        assert!(lengths.windows(2).filter(|pair| pair[0] < pair[1]).count() > 20, "{lengths:?}");
        let (_, hash, bytes) = staged.end(&RealDisk).expect("durable");
        assert_eq!((hash, bytes), (Sha256Digest(Sha256::digest(&expected).into()), expected.len() as u64));
        let mut written = Vec::new();
        RealDisk.open_read(&path).expect("the file").read_to_end(&mut written).expect("readable");
        assert!(written == expected);
    }
}
