//! Files for a server that cannot rename, by the second table in the documentation of [`super::super`].

use super::super::look::{self, Sight};
use super::super::{DeliverFault, InDoubtRule, TemporaryPlace};
use super::{LOOKS, Life, Watched, refuse_without_hash};
use crate::domain::delivery::{Attempt, DeliveryFact, FileState, Verified};
use crate::remote::{FaultKind, Outcome, RemoteFault, RemotePath};
use std::io::{self, Read, Write};

/// What lies under the final name, compared with the archived file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Whole,
    /// A beginning of it, or nothing.
    Beginning,
    Foreign,
    /// The archived file itself is not what was archived.
    ArchiveDamaged,
}

impl<E> Life<'_, '_, E> {
    /// Whether files are written under their final names at once.
    pub(super) fn is_in_place(&self) -> bool {
        self.file.temporary == TemporaryPlace::Nowhere
    }

    /// Writes the file under its final name, which must be free.
    pub(super) fn write(&mut self, next: Attempt) -> Result<(), DeliverFault<E>> {
        let path = self.file.final_path();
        match look::look_at(self.session, &path)? {
            Some(sight) if next.exposed => return self.settle(&path, &sight),
            Some(sight) => return self.advance(DeliveryFact::Conflict { found_bytes: sight.bytes }),
            None => refuse_without_hash(self.session, self.file.check)?,
        }
        let Some(mut body) = self.open_body(next)? else {
            return self.advance(DeliveryFact::ArchiveDamaged);
        };
        let temporary = path.to_shared();
        self.advance(DeliveryFact::UploadIntended { attempt: next.number, temporary, in_place: true })?;
        let sent = self.session.upload(&path, body.as_mut(), self.file.bytes, self.surroundings.progress);
        match sent {
            Ok(()) => self.written(&path),
            Err(fault) => self.not_written(&path, fault),
        }
    }

    /// The server confirmed the upload.
    fn written(&mut self, path: &RemotePath) -> Result<(), DeliverFault<E>> {
        let expected = self.file.bytes;
        let found = self.size_after_upload(path)?;
        if found.is_none() && self.file.is_manifest {
            return self.delivered(Verified::Reply);
        }
        if found == Some(expected) {
            match self.content_is_right(path) {
                Ok(true) => return self.delivered(self.file.check.evidence()),
                Ok(false) => {}
                // Taken between the two questions.
                Err(DeliverFault::Remote(RemoteFault { kind: FaultKind::NotFound, .. })) if self.file.is_manifest => {
                    return self.delivered(Verified::Reply);
                }
                Err(fault) => return Err(fault),
            }
        }
        self.settle_write()?;
        let is_sent_again = matches!(self.state, FileState::Pending { .. });
        if is_sent_again { Err(DeliverFault::SizeDiffers { expected, found }) } else { Ok(()) }
    }

    /// What the server refused and does not hold was not shown to anybody.
    fn not_written(&mut self, path: &RemotePath, fault: RemoteFault) -> Result<(), DeliverFault<E>> {
        if fault.outcome == Outcome::NotDone && matches!(look::look_at(self.session, path), Ok(None)) {
            self.advance(DeliveryFact::UploadAbandoned)?;
        }
        Err(fault.into())
    }

    /// An upload was announced, and nobody knows what became of it: look, and compare.
    pub(super) fn settle_write(&mut self) -> Result<(), DeliverFault<E>> {
        let path = self.file.final_path();
        for look in 1..=LOOKS {
            if let Some(sight) = look::look_at(self.session, &path)? {
                return self.settle(&path, &sight);
            }
            if look < LOOKS {
                (self.surroundings.pause)(look);
            }
        }
        self.prove_sight(&self.file.directory.clone())?;
        self.advance(match (self.file.is_manifest, self.file.in_doubt) {
            (false, _) => DeliveryFact::UploadAbandoned,
            (true, InDoubtRule::Hold) => DeliveryFact::InDoubt,
            (true, InDoubtRule::Resend) => DeliveryFact::Resent,
        })
    }

    /// Something lies under the final name, and may be ours.
    fn settle(&mut self, path: &RemotePath, sight: &Sight) -> Result<(), DeliverFault<E>> {
        match self.compare(path, sight)? {
            Found::Whole => self.delivered(Verified::SeenWhole),
            Found::Beginning => {
                self.session.remove(path)?;
                if look::look_at(self.session, path)?.is_some() {
                    let cause = "a part of our file lies under its final name and cannot be removed";
                    return Err(RemoteFault::because(FaultKind::Denied, "remove", Outcome::NotDone, cause).into());
                }
                let was_announced = matches!(self.state, FileState::Uploading { .. });
                if was_announced { self.advance(DeliveryFact::UploadAbandoned) } else { Ok(()) }
            }
            Found::Foreign => self.advance(DeliveryFact::Conflict { found_bytes: sight.bytes }),
            Found::ArchiveDamaged => self.advance(DeliveryFact::ArchiveDamaged),
        }
    }

    fn compare(&mut self, path: &RemotePath, sight: &Sight) -> Result<Found, DeliverFault<E>> {
        if sight.bytes.is_some_and(|bytes| bytes > self.file.bytes) {
            return Ok(Found::Foreign);
        }
        let Some(body) = self.open_body(Attempt::FIRST)? else { return Ok(Found::ArchiveDamaged) };
        let mut sink = Comparing { body: Watched { inner: body, is_damaged: false }, differs: false };
        let read = self.session.read(path, &mut sink);
        if sink.differs || sink.body.is_damaged {
            return Ok(if sink.body.is_damaged { Found::ArchiveDamaged } else { Found::Foreign });
        }
        Ok(if read? == self.file.bytes { Found::Whole } else { Found::Beginning })
    }
}

/// Compares what comes with the archived file, and ends the reading at the first difference.
struct Comparing {
    body: Watched,
    differs: bool,
}

impl Write for Comparing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut ours = vec![0; bytes.len()];
        match self.body.read_exact(&mut ours) {
            Ok(()) => self.differs = ours != bytes,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.differs = true,
            Err(error) => return Err(error),
        }
        if self.differs { Err(io::Error::other("it holds other bytes than ours")) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
