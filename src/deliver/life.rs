//! One file from its state to its end.

mod content;
mod in_place;

pub(super) use content::refuse_without_hash;

use super::look::{self, Seen, Verdict};
use super::{DeliverFault, FileToDeliver, InDoubtRule, Surroundings, TemporaryPlace};
use crate::domain::delivery::{Attempt, DeliveryFact, FileState, Proof, Verified};
use crate::remote::{Body, FaultKind, Outcome, Remote, RemoteFault, RemotePath};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// How often a size or an ambiguous look is asked for again before it is believed.
const LOOKS: u32 = 3;

/// One file on its way, with everything it needs.
pub(super) struct Life<'a, 's, E> {
    session: &'a mut dyn Remote,
    file: &'a FileToDeliver,
    /// The final name was listed before anything was sent.
    is_listed: bool,
    /// What the state announces is still to be done.
    is_announced: bool,
    state: FileState,
    /// The content under the temporary name was compared by this process, after the last upload.
    is_compared: bool,
    body: &'a mut dyn FnMut() -> io::Result<Box<dyn Body>>,
    record: &'a mut dyn FnMut(DeliveryFact) -> Result<(), E>,
    surroundings: &'a mut Surroundings<'s>,
}

/// Remembers whether what is read was not what was archived.
struct Watched {
    inner: Box<dyn Body>,
    is_damaged: bool,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(|error| self.is_damaged |= error.kind() == io::ErrorKind::InvalidData)
    }
}

impl Body for Watched {
    fn file(&self) -> Option<&Path> {
        self.inner.file()
    }
}

impl<'a, 's, E> Life<'a, 's, E> {
    pub(super) fn new(
        session: &'a mut dyn Remote,
        file: &'a FileToDeliver,
        body: &'a mut dyn FnMut() -> io::Result<Box<dyn Body>>,
        record: &'a mut dyn FnMut(DeliveryFact) -> Result<(), E>,
        surroundings: &'a mut Surroundings<'s>,
    ) -> Self {
        let (state, is_compared, is_announced) = (file.state.clone(), file.is_compared, file.is_announced);
        Self { session, file, is_listed: false, is_announced, state, is_compared, body, record, surroundings }
    }

    /// Whether the final name was listed before anything was sent. Then a server that states no size of it is not
    /// believed that there is none: some state no size of a file that they do not let us read, and replace it.
    pub(super) const fn listed(mut self, is_listed: bool) -> Self {
        self.is_listed = is_listed;
        self
    }

    pub(super) fn run(mut self) -> Result<FileState, DeliverFault<E>> {
        while !self.step()? {}
        Ok(self.state)
    }

    /// The same up to the point where the file lies whole under its temporary name. What has come further is left alone.
    pub(super) fn run_to_upload(mut self) -> Result<FileState, DeliverFault<E>> {
        while matches!(self.state, FileState::Pending { .. } | FileState::Uploading { .. }) {
            self.step()?;
        }
        Ok(self.state)
    }

    /// Takes the file one or more states on. True at its end.
    fn step(&mut self) -> Result<bool, DeliverFault<E>> {
        let is_announced = std::mem::take(&mut self.is_announced);
        match self.state.clone() {
            FileState::Uploading { attempt, temporary } if is_announced => {
                self.send(attempt, &RemotePath::parse(&temporary)?)?;
            }
            FileState::Renaming { temporary, .. } if is_announced => self.show(&RemotePath::parse(&temporary)?)?,
            FileState::Pending { next } if self.is_in_place() => self.write(next)?,
            FileState::Pending { next } => self.upload(next)?,
            FileState::Uploading { temporary, .. } if *temporary == *self.file.final_path().as_str() => {
                self.settle_write()?;
            }
            // Nobody is uploading now, so this attempt was interrupted.
            FileState::Uploading { temporary, .. } => self.abandon(&RemotePath::parse(&temporary)?)?,
            FileState::Uploaded { attempt, temporary } => {
                let temporary = RemotePath::parse(&temporary)?;
                if !self.is_in_place() && self.is_whole(&temporary)? {
                    self.expose(attempt, &temporary)?;
                } else {
                    self.abandon(&temporary)?;
                }
            }
            FileState::Renaming { attempt, temporary } => {
                self.settle_rename(attempt, &RemotePath::parse(&temporary)?)?;
            }
            FileState::Delivered { .. } | FileState::Held { .. } | FileState::Void => return Ok(true),
        }
        Ok(false)
    }

    /// Makes a fact durable and takes the step.
    fn advance(&mut self, fact: DeliveryFact) -> Result<(), DeliverFault<E>> {
        let next = self.state.clone().apply(&fact)?;
        (self.record)(fact).map_err(DeliverFault::Record)?;
        self.state = next;
        Ok(())
    }

    fn upload(&mut self, next: Attempt) -> Result<(), DeliverFault<E>> {
        if next.exposed && !self.final_name_is_free(true)? {
            return Ok(());
        }
        refuse_without_hash(self.session, self.file.check)?;
        if next.number > 1 {
            // What was held and released may have left its temporary file behind.
            self.session.remove(&self.file.temporary_path(Attempt { number: next.number - 1, ..next }))?;
        }
        let temporary = self.file.temporary_path(next);
        self.advance(DeliveryFact::UploadIntended {
            attempt: next.number,
            temporary: temporary.to_shared(),
            in_place: false,
        })?;
        self.send(next, &temporary)
    }

    /// Uploads and compares. The intent is recorded already.
    fn send(&mut self, attempt: Attempt, temporary: &RemotePath) -> Result<(), DeliverFault<E>> {
        let Some(body) = self.open_body(attempt)? else {
            return self.advance(DeliveryFact::ArchiveDamaged);
        };
        let mut body = Watched { inner: body, is_damaged: false };
        let bytes = self.file.bytes;
        let mut sent = self.session.upload(temporary, &mut body, bytes, self.surroundings.progress);
        if self.is_left_over(&sent, temporary) {
            self.session.remove(temporary)?;
            if let Some(again) = self.open_body(attempt)? {
                body = Watched { inner: again, is_damaged: false };
                sent = self.session.upload(temporary, &mut body, bytes, self.surroundings.progress);
            }
        }
        if body.is_damaged {
            // Where the session does not survive this, the next one gives the attempt up and looks before the next.
            self.session.remove(temporary)?;
            return self.advance(DeliveryFact::ArchiveDamaged);
        }
        sent?;
        let found = self.size_after_upload(temporary)?;
        if found != Some(bytes) {
            self.abandon(temporary)?;
            return Err(DeliverFault::SizeDiffers { expected: bytes, found });
        }
        if let Some(found) = self.other_content(temporary)? {
            self.abandon(temporary)?;
            return Err(DeliverFault::ContentDiffers { expected: self.file.sha256, found });
        }
        self.advance(DeliveryFact::UploadVerified { bytes, by: self.file.check })?;
        self.is_compared = true;
        Ok(())
    }

    /// True when an upload was refused because its temporary name, which is ours, is there already: an attempt has left
    /// it that the ledger does not know, for it was recovered.
    fn is_left_over(&mut self, sent: &Result<(), RemoteFault>, temporary: &RemotePath) -> bool {
        let is_refused = |fault: &RemoteFault| fault.kind == FaultKind::Denied && fault.outcome == Outcome::NotDone;
        sent.as_ref().is_err_and(is_refused) && matches!(self.session.size(temporary), Ok(Some(_)))
    }

    /// The archived file, or `None` when it is damaged. It is proved while it is sent; after an attempt that was given
    /// up it is also read once before, for that may have been the reason.
    fn open_body(&mut self, attempt: Attempt) -> Result<Option<Box<dyn Body>>, DeliverFault<E>> {
        let mut open = || match (self.body)() {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(DeliverFault::Body(error)),
        };
        if attempt.number > 1 {
            let Some(mut body) = open()? else { return Ok(None) };
            match io::copy(&mut body, &mut io::sink()) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
                read => read.map_err(DeliverFault::Body)?,
            };
        }
        open()
    }

    /// A confirmation is no evidence of a whole file: only the size is. Some servers state it late.
    fn size_after_upload(&mut self, temporary: &RemotePath) -> Result<Option<u64>, RemoteFault> {
        let mut found = self.session.size(temporary)?;
        for look in 1..LOOKS {
            if found == Some(self.file.bytes) {
                break;
            }
            (self.surroundings.pause)(look);
            found = self.session.size(temporary)?;
        }
        Ok(found)
    }

    /// Whether what was verified once is still there. What this process verified just now is not asked for again.
    fn is_whole(&mut self, temporary: &RemotePath) -> Result<bool, DeliverFault<E>> {
        if self.is_compared {
            return Ok(true);
        }
        Ok(self.session.size(temporary)? == Some(self.file.bytes) && self.content_is_right(temporary)?)
    }

    /// Removes what an attempt left, then gives it up. In this order nothing of ours stays behind after a crash.
    fn abandon(&mut self, temporary: &RemotePath) -> Result<(), DeliverFault<E>> {
        self.session.remove(temporary)?;
        self.advance(DeliveryFact::UploadAbandoned)
    }

    /// Gives the uploaded file its final name, unless something lies there.
    fn expose(&mut self, attempt: Attempt, temporary: &RemotePath) -> Result<(), DeliverFault<E>> {
        let (is_free, found) = self.look_at_final()?;
        if is_free {
            self.advance(DeliveryFact::RenameIntended)?;
            return self.rename(temporary);
        }
        // The temporary file is ours and not needed any more, whoever put the other one there.
        self.session.remove(temporary)?;
        self.occupied(attempt.exposed, found)
    }

    /// The same where the rename was announced together with others, and is not begun.
    fn show(&mut self, temporary: &RemotePath) -> Result<(), DeliverFault<E>> {
        let look = self.look_at_final();
        if matches!(look, Ok((true, _))) {
            return self.rename(temporary);
        }
        self.advance(DeliveryFact::NotBegun)?;
        look.map(drop).map_err(DeliverFault::Remote)
    }

    /// Whether nothing lies under the final name, and the size of what does, where stated.
    fn look_at_final(&mut self) -> Result<(bool, Option<u64>), RemoteFault> {
        let found = self.session.size(&self.file.final_path())?;
        let is_free = found.is_none() && !(self.is_listed && self.is_still_listed()?);
        Ok((is_free, found))
    }

    fn is_still_listed(&mut self) -> Result<bool, RemoteFault> {
        let entries = self.session.list(&self.file.directory)?;
        Ok(entries.iter().any(|entry| entry.name == self.file.name.as_str()))
    }

    /// Whether nothing lies under the final name; records what does.
    fn final_name_is_free(&mut self, exposed: bool) -> Result<bool, DeliverFault<E>> {
        match self.session.size(&self.file.final_path())? {
            None => Ok(true),
            found => self.occupied(exposed, found).map(|()| false),
        }
    }

    /// Something lies under the final name. It can be ours only if an earlier attempt reached its rename.
    fn occupied(&mut self, exposed: bool, found_bytes: Option<u64>) -> Result<(), DeliverFault<E>> {
        if exposed && found_bytes == Some(self.file.bytes) && self.content_is_right(&self.file.final_path())? {
            self.delivered(Verified::EarlierRename)
        } else {
            self.advance(DeliveryFact::Conflict { found_bytes })
        }
    }

    fn delivered(&mut self, how: Verified) -> Result<(), DeliverFault<E>> {
        let name: Arc<str> = self.file.final_path().to_shared();
        let at = self.surroundings.clock.now();
        self.advance(DeliveryFact::RenameConfirmed(Proof { name, bytes: self.file.bytes, how, at }))
    }

    /// Renames and confirms. The intent is recorded already.
    fn rename(&mut self, temporary: &RemotePath) -> Result<(), DeliverFault<E>> {
        let path = self.file.final_path();
        self.session.rename(temporary, &path)?;
        match self.size_after_rename(&path) {
            Ok(Some(bytes)) if bytes == self.file.bytes => self.delivered(self.file.check.evidence()),
            Ok(Some(found)) => self.advance(DeliveryFact::Conflict { found_bytes: Some(found) }),
            // Taken already, or the connection broke after the confirmation: the file is delivered either way, and a
            // broken session refuses the next command by itself.
            Ok(None) | Err(_) => self.delivered(Verified::Reply),
        }
    }

    /// A wrong size holds the file for a person, so it must stay wrong: some servers state it late.
    fn size_after_rename(&mut self, path: &RemotePath) -> Result<Option<u64>, RemoteFault> {
        let mut found = self.session.size(path)?;
        for look in 1..LOOKS {
            if found.is_none_or(|bytes| bytes == self.file.bytes) {
                break;
            }
            (self.surroundings.pause)(look);
            found = self.session.size(path)?;
        }
        Ok(found)
    }

    /// A rename was announced, and nobody knows what became of it: look.
    fn settle_rename(&mut self, attempt: Attempt, temporary: &RemotePath) -> Result<(), DeliverFault<E>> {
        let mut seen = self.look(temporary)?;
        for look in 1..LOOKS {
            // The rename may be carried out between two looks, or just now: only what stays so counts.
            if !seen.is_ambiguous() {
                break;
            }
            (self.surroundings.pause)(look);
            seen = self.look(temporary)?;
        }
        match look::judge(&seen, self.file.bytes, attempt.exposed) {
            Verdict::NotRenamed if !self.is_in_place() && self.content_is_right(temporary)? => self.rename(temporary),
            Verdict::Renamed => {
                self.prove_sight_of_temporary(temporary)?;
                self.delivered(Verified::SeenAfterLostReply)
            }
            Verdict::RenamedEarlier => {
                self.session.remove(temporary)?;
                self.delivered(Verified::EarlierRename)
            }
            Verdict::SameFile => {
                self.session.remove(temporary)?;
                self.delivered(Verified::SameFile)
            }
            Verdict::Conflict { found_bytes } => self.advance(DeliveryFact::Conflict { found_bytes }),
            Verdict::NotRenamed | Verdict::Damaged => {
                self.session.remove(temporary)?;
                self.advance(DeliveryFact::Spoilt)
            }
            Verdict::Unclear => Err(DeliverFault::Blind { directory: temporary.parent() }),
            Verdict::Gone => self.gone(temporary),
        }
    }

    /// Neither name is there.
    fn gone(&mut self, temporary: &RemotePath) -> Result<(), DeliverFault<E>> {
        self.prove_sight(&self.file.directory.clone())?;
        self.prove_sight_of_temporary(temporary)?;
        match self.file.temporary {
            TemporaryPlace::Directory { private: true, .. } if temporary.parent() != self.file.directory => {
                self.delivered(Verified::TemporaryGone)
            }
            TemporaryPlace::Directory { .. } | TemporaryPlace::Beside | TemporaryPlace::Nowhere => {
                self.advance(match self.file.in_doubt {
                    InDoubtRule::Hold => DeliveryFact::InDoubt,
                    InDoubtRule::Resend => DeliveryFact::Resent,
                })
            }
        }
    }

    fn look(&mut self, temporary: &RemotePath) -> Result<Seen, RemoteFault> {
        look::look(self.session, temporary, &self.file.final_path())
    }

    /// The final name was seen, which proves the sight of its own directory only.
    fn prove_sight_of_temporary(&mut self, temporary: &RemotePath) -> Result<(), DeliverFault<E>> {
        let directory = temporary.parent();
        if directory == self.file.directory { Ok(()) } else { self.prove_sight(&directory) }
    }

    fn prove_sight(&mut self, directory: &RemotePath) -> Result<(), DeliverFault<E>> {
        let probe = self.file.probe_path(directory);
        if look::can_see(self.session, &probe)? {
            Ok(())
        } else {
            Err(DeliverFault::Blind { directory: directory.clone() })
        }
    }
}
