//! Comparing the bytes that a server holds, as far as the partner wants it.

use super::super::DeliverFault;
use super::Life;
use crate::domain::delivery::ContentCheck;
use crate::domain::ids::Sha256Digest;
use crate::remote::hashing::HashingSink;
use crate::remote::{FaultKind, HashSource, Outcome, Remote, RemoteFault, RemotePath};

impl<E> Life<'_, '_, E> {
    /// Whether the bytes are ours, as far as the partner wants them compared.
    pub(super) fn content_is_right(&mut self, path: &RemotePath) -> Result<bool, DeliverFault<E>> {
        Ok(self.other_content(path)?.is_none())
    }

    /// The hash of what lies there, when it is not ours.
    pub(super) fn other_content(&mut self, path: &RemotePath) -> Result<Option<Sha256Digest>, DeliverFault<E>> {
        let found = match self.file.check {
            ContentCheck::Size => return Ok(None),
            ContentCheck::Hash => self.session.server_hash(path, self.file.bytes)?.ok_or_else(no_hash)?,
            ContentCheck::ReadBack => {
                let mut sink = HashingSink::new(self.file.bytes);
                self.session.read(path, &mut sink)?;
                sink.finish()
            }
        };
        Ok((found != self.file.sha256).then_some(found))
    }
}

/// A server that is known to state no hashes gets no file that is to be proved by one.
pub(in super::super) fn refuse_without_hash(session: &dyn Remote, check: ContentCheck) -> Result<(), RemoteFault> {
    if check == ContentCheck::Hash && session.abilities().hash == HashSource::Reading { Err(no_hash()) } else { Ok(()) }
}

fn no_hash() -> RemoteFault {
    let cause = "it states no SHA-256 (neither HASH nor XSHA256), which `verify = \"hash\"` needs; \
                 write `verify = \"read-back\"`";
    RemoteFault::because(FaultKind::Unsupported, "hash", Outcome::NotDone, cause)
}
