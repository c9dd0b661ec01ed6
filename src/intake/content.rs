//! The hash by which an input is known again: BLAKE3, of its bytes as they lie in the file. It says which bytes were read
//! and goes to no partner, so the digest that partners check, SHA-256, is not needed here, and would take a tenth of the
//! processor time of a whole job.

use crate::disk::{Disk, hash};
use crate::domain::ids::{HashedBy, InputHash, Sha256Digest};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The hash of what was read so far.
#[derive(Clone, Default)]
pub(super) struct RunningHash(Arc<Mutex<blake3::Hasher>>);

impl RunningHash {
    /// The hash.
    pub fn hash(&self) -> InputHash {
        of_hasher(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A reader whose bytes are hashed.
pub(super) struct HashingReader {
    pub inner: Box<dyn Read + Send>,
    pub hash: RunningHash,
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let mut hash = self.hash.0.lock().unwrap_or_else(PoisonError::into_inner);
        hash.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

fn of_hasher(hasher: &blake3::Hasher) -> InputHash {
    InputHash { by: HashedBy::Blake3, digest: *hasher.finalize().as_bytes() }
}

/// The hash of a whole file.
pub(super) fn hash_of(disk: &dyn Disk, path: &Path, by: HashedBy) -> io::Result<InputHash> {
    let mut reader = disk.open_read(path)?;
    match by {
        HashedBy::Sha256 => {
            let Sha256Digest(digest) = hash::hash_of(reader.as_mut(), &mut |_| ())?;
            Ok(InputHash { by, digest })
        }
        HashedBy::Blake3 => {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(reader)?;
            Ok(of_hasher(&hasher))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::disk::faulty::FaultyDisk;
    use std::io::Write;
    use std::sync::atomic::Ordering;

    /// What `printf records | b3sum` and `printf records | sha256sum` print.
    const OF_RECORDS: [&str; 2] = [
        "blake3:b3cb38038a1d27e286b91d6838f8d0fcf49993b281cb0060e7123ef16779e153",
        "sha256:a94e7bcfcbed3c846d491d4f47c948e53a23908d480248b3ffe9e126e83ea865",
    ];

    fn written(dir: &Path, content: &[u8]) -> std::path::PathBuf {
        let path = dir.join("a");
        RealDisk.create_new(&path).expect("file").write_all(content).expect("content");
        path
    }

    #[test]
    fn hashes_are_those_of_the_usual_programs() {
        let dir = tempfile::tempdir().expect("directory");
        let path = written(dir.path(), b"records");
        let found = [HashedBy::Blake3, HashedBy::Sha256].map(|by| hash_of(&RealDisk, &path, by).expect("a hash"));
        assert_eq!(found.map(|hash| hash.to_string()), OF_RECORDS);
        let hash = RunningHash::default();
        let mut reader = HashingReader { inner: Box::new((&b"rec"[..]).chain(&b"ords"[..])), hash: hash.clone() };
        io::copy(&mut reader, &mut io::sink()).expect("bytes");
        assert_eq!(hash.hash().to_string(), OF_RECORDS[0]);
    }

    #[test]
    fn a_file_of_many_pieces_is_hashed_like_a_stream() {
        let dir = tempfile::tempdir().expect("directory");
        let content: Vec<u8> = (0..700_001u32).map(|number| (number % 251) as u8).collect();
        let path = written(dir.path(), &content);
        let hash = hash_of(&RealDisk, &path, HashedBy::Blake3).expect("a hash");
        assert_eq!(hash.digest, *blake3::hash(&content).as_bytes());
    }

    #[test]
    fn a_signal_while_a_file_is_compared_is_no_fault_of_its_source() {
        let dir = tempfile::tempdir().expect("directory");
        let path = written(dir.path(), b"records");
        let disk = FaultyDisk::default();
        for (by, hash) in [HashedBy::Blake3, HashedBy::Sha256].into_iter().zip(OF_RECORDS) {
            disk.0.interrupted_reads.store(true, Ordering::Relaxed);
            assert_eq!(hash_of(&disk, &path, by).expect("a hash").to_string(), hash);
        }
    }
}
