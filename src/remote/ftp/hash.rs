//! Asking a server for the SHA-256 of a file: HASH (draft-bryan-ftpext-hash-02, sections 3 and 4), or the older XSHA256,
//! which no standard describes.

use super::super::{Outcome, RemoteFault, RemotePath};
use super::control::Control;
use super::reply::{Features, Reply};
use crate::domain::ids::Sha256Digest;
use std::time::Duration;

const OPERATION: &str = "hash";

/// The command that asks for a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HashCommand {
    /// HASH, after OPTS HASH has chosen SHA-256: `213 SHA-256 0-49 <hash> <path>`. XSHA256 may be there besides.
    Hash {
        /// The server lists it.
        xsha256: bool,
    },
    /// XSHA256: `250 <hash>`.
    XSha256,
}

impl HashCommand {
    /// What the server lists.
    pub(super) fn of(features: &Features) -> Option<Self> {
        let xsha256 = features.contains("XSHA256");
        // `HASH MD5;SHA-1*;SHA-256`: the star marks what is chosen now.
        if features.lists("HASH", "SHA-256") { Some(Self::Hash { xsha256 }) } else { xsha256.then_some(Self::XSha256) }
    }

    /// What to ask when the server lists this command and does not know it.
    pub(super) const fn next(self) -> Option<Self> {
        match self {
            Self::Hash { xsha256: true } => Some(Self::XSha256),
            Self::Hash { xsha256: false } | Self::XSha256 => None,
        }
    }

    /// The hash, or `None` when the server does not know the command.
    pub(super) fn ask(
        self,
        control: &mut Control,
        path: &RemotePath,
        deadline: Duration,
    ) -> Result<Option<Sha256Digest>, RemoteFault> {
        let mut ask = |command: &str| control.exchange_within(deadline, OPERATION, command, Outcome::NotDone);
        let reply = match self {
            Self::Hash { .. } => match ask("OPTS HASH SHA-256")? {
                chosen if chosen.is_positive() => ask(&format!("HASH {path}"))?,
                refused => refused,
            },
            Self::XSha256 => ask(&format!("XSHA256 {path}"))?,
        };
        if reply.is_unknown_command() {
            return Ok(None);
        }
        let reply = reply.accepted(OPERATION)?;
        self.digest(&reply).map(Some).ok_or_else(|| reply.senseless(OPERATION))
    }

    fn digest(self, reply: &Reply) -> Option<Sha256Digest> {
        let mut words = reply.last_line().split_whitespace();
        match self {
            Self::Hash { .. } if words.next()? != "SHA-256" => None,
            Self::Hash { .. } => words.nth(1).and_then(Sha256Digest::parse),
            Self::XSha256 => words.next().and_then(Sha256Digest::parse),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: HashCommand = HashCommand::Hash { xsha256: false };

    fn features(lines: &str) -> Features {
        Reply::read(format!("211-Features:\r\n{lines}211 End\r\n").as_bytes()).expect("reply").features()
    }

    #[test]
    fn what_a_server_lists_is_asked_and_nothing_else() {
        let of = |lines: &str| HashCommand::of(&features(lines));
        assert_eq!(of(" HASH CRC32;MD5;SHA-1*;SHA-256;SHA-512\r\n"), Some(HASH));
        assert_eq!(of(" HASH SHA-256*\r\n XSHA256\r\n"), Some(HashCommand::Hash { xsha256: true }));
        assert_eq!(of(" HASH MD5*;SHA-1\r\n XSHA256 filename;start;end\r\n"), Some(HashCommand::XSha256));
        assert_eq!(of(" HASH MD5*;SHA-1\r\n XMD5\r\n SIZE\r\n"), None);
    }

    #[test]
    fn hashes_are_read_from_their_place_or_not_at_all() {
        let digits = "ab".repeat(32);
        let read = |command: HashCommand, text: String| {
            command.digest(&Reply::read(text.as_bytes()).expect("reply")).map(|digest| digest.to_string())
        };
        assert_eq!(read(HASH, format!("213 SHA-256 0-49 {digits} a b.dat\r\n")), Some(digits.clone()));
        for text in [&digits, &digits.to_uppercase(), &format!("{digits} a.dat")] {
            assert_eq!(read(HashCommand::XSha256, format!("250 {text}\r\n")), Some(digits.clone()));
        }
        let more = format!("250-Computing SHA256 digest\r\n250 {digits}\r\n");
        assert_eq!(read(HashCommand::XSha256, more), Some(digits.clone()));
        for bad in [format!("213 SHA-1 0-49 {digits} a"), "213 SHA-256 0-49 abcd a".to_owned(), "213 ok".to_owned()] {
            assert_eq!(read(HASH, bad.clone()), None, "{bad}");
        }
    }
}
