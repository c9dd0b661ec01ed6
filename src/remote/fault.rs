//! What can go wrong at a partner's server, and what is known about the outcome.

use crate::domain::disposition::Disposition;
use std::io;

/// Longest reply text in bytes that a fault keeps.
const REPLY_BYTES_MAX: usize = 200;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// User or password refused.
    Auth,
    /// The server does not prove who it is, or offers no protection.
    Tls,
    /// The server's host key is not known.
    HostKey,
    /// No connection, or it broke.
    Unreachable,
    /// No answer or no progress within the deadline.
    Timeout,
    /// The server is there but has no room for us now, such as a limit of connections.
    Busy,
    /// The account's quota is used up.
    Quota,
    /// The server's disk is full.
    DiskFull,
    /// Not permitted.
    Denied,
    /// No such file or directory.
    NotFound,
    /// The server does not know the command, or answers something that makes no sense.
    Protocol,
    /// Reading or writing failed, here or there.
    Io,
}

impl FaultKind {
    const fn describe(self) -> &'static str {
        match self {
            Self::Auth => "login refused",
            Self::Tls => "no trusted connection",
            Self::HostKey => "host key not known",
            Self::Unreachable => "no connection",
            Self::Timeout => "no answer in time",
            Self::Busy => "server busy",
            Self::Quota => "quota used up",
            Self::DiskFull => "disk full",
            Self::Denied => "not permitted",
            Self::NotFound => "not found",
            Self::Protocol => "unusable answer",
            Self::Io => "input/output failed",
        }
    }
}

/// What is known about an operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was not carried out.
    NotDone,
    /// It may have been carried out, in part or in full: look.
    Unknown,
}

/// A failed operation at a partner's server. Drop the session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {}{}", .kind.describe(), self.detail())]
pub struct RemoteFault {
    /// What kind of thing went wrong.
    pub kind: FaultKind,
    /// What was being done, such as `rename` or `login`.
    pub operation: &'static str,
    /// The server's reply, if it gave one: its code and its text without control characters, at most 200 bytes.
    pub reply: Option<(u16, String)>,
    /// What the machine says, if it failed there.
    pub cause: Option<String>,
    /// What is known about the outcome.
    pub outcome: Outcome,
}

impl RemoteFault {
    /// A fault without a reply.
    #[must_use]
    pub fn new(kind: FaultKind, operation: &'static str, outcome: Outcome) -> Self {
        Self { kind, operation, reply: None, cause: None, outcome }
    }

    /// A fault with an explanation.
    #[must_use]
    pub fn because(kind: FaultKind, operation: &'static str, outcome: Outcome, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(kind, operation, outcome) }
    }

    /// A fault of the machine's own input or output.
    #[must_use]
    pub fn io(error: &io::Error, operation: &'static str, outcome: Outcome) -> Self {
        Self::because(kind_of(error), operation, outcome, error.to_string())
    }

    /// What is read from a server cannot be taken here. Nothing was changed there.
    pub(super) fn of_sink(error: &io::Error) -> Self {
        Self::because(FaultKind::Io, "read", Outcome::NotDone, error.to_string())
    }

    /// What the failure asks for.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match (self.outcome, self.kind) {
            (Outcome::Unknown, _) => Disposition::InDoubt,
            (
                Outcome::NotDone,
                FaultKind::Auth | FaultKind::Tls | FaultKind::HostKey | FaultKind::Denied | FaultKind::NotFound,
            ) => Disposition::Reject,
            (
                Outcome::NotDone,
                FaultKind::Unreachable
                | FaultKind::Timeout
                | FaultKind::Busy
                | FaultKind::Quota
                | FaultKind::DiskFull
                | FaultKind::Protocol
                | FaultKind::Io,
            ) => Disposition::Retry,
        }
    }

    fn detail(&self) -> String {
        match (&self.reply, &self.cause) {
            (Some((code, text)), _) => format!(": server answered {code} {text}"),
            (None, Some(cause)) => format!(": {cause}"),
            (None, None) => String::new(),
        }
    }
}

fn kind_of(error: &io::Error) -> FaultKind {
    use io::ErrorKind as Kind;
    let table = [
        (Kind::NotFound, FaultKind::NotFound),
        (Kind::NotADirectory, FaultKind::NotFound),
        (Kind::PermissionDenied, FaultKind::Denied),
        (Kind::AlreadyExists, FaultKind::Denied),
        (Kind::ReadOnlyFilesystem, FaultKind::Denied),
        (Kind::InvalidFilename, FaultKind::Denied),
        (Kind::StorageFull, FaultKind::DiskFull),
        (Kind::QuotaExceeded, FaultKind::Quota),
        (Kind::TimedOut, FaultKind::Timeout),
        (Kind::ConnectionRefused, FaultKind::Unreachable),
        (Kind::ConnectionReset, FaultKind::Unreachable),
        (Kind::ConnectionAborted, FaultKind::Unreachable),
        (Kind::HostUnreachable, FaultKind::Unreachable),
        (Kind::NetworkUnreachable, FaultKind::Unreachable),
        (Kind::BrokenPipe, FaultKind::Unreachable),
        (Kind::UnexpectedEof, FaultKind::Unreachable),
    ];
    table.iter().find(|(kind, _)| *kind == error.kind()).map_or(FaultKind::Io, |(_, kind)| *kind)
}

/// The text of a reply as it may be shown: one line, no control characters, at most 200 bytes.
#[must_use]
pub fn clean_reply(text: &str) -> String {
    let visible = text.split_whitespace().map(|word| word.chars().filter(|c| !c.is_control()).collect::<String>());
    let mut clean = visible.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    clean.truncate(clean.floor_char_boundary(REPLY_BYTES_MAX));
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_texts_lose_control_characters_and_length() {
        assert_eq!(clean_reply(" no\u{1b}[31m such\r\n\tfile\0 \u{7} "), "no[31m such file");
        assert_eq!(clean_reply(&"话".repeat(100)).len(), 198);
    }

    #[test]
    fn an_unknown_outcome_asks_to_look_whatever_the_kind() {
        for kind in [FaultKind::Auth, FaultKind::Timeout, FaultKind::Denied] {
            assert_eq!(RemoteFault::new(kind, "rename", Outcome::Unknown).disposition(), Disposition::InDoubt);
        }
        assert_eq!(RemoteFault::new(FaultKind::Busy, "login", Outcome::NotDone).disposition(), Disposition::Retry);
        assert_eq!(RemoteFault::new(FaultKind::Auth, "login", Outcome::NotDone).disposition(), Disposition::Reject);
    }

    #[test]
    fn a_fault_prints_as_one_line_with_the_reply() {
        let mut fault = RemoteFault::new(FaultKind::Denied, "rename", Outcome::NotDone);
        fault.reply = Some((550, "target exists".to_owned()));
        assert_eq!(fault.to_string(), "rename: not permitted: server answered 550 target exists");
    }
}
