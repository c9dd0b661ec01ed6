//! What is done about each kind of fault at a partner's server: how soon it is tried again, and what a person is told.

use crate::deliver::RetryPolicy;
use crate::domain::time::Length;
use crate::remote::FaultKind;

/// The answer to a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reaction {
    /// When it is tried again.
    pub policy: RetryPolicy,
    /// Code of the alarm.
    pub code: &'static str,
    /// What the person who reads the alarm can do.
    pub hint: &'static str,
}

const fn reaction(first_seconds: u64, max_seconds: u64, code: &'static str, hint: &'static str) -> Reaction {
    let (first, max) = (Length::from_seconds(first_seconds), Length::from_seconds(max_seconds));
    Reaction { policy: RetryPolicy { first, max }, code, hint }
}

/// It may be over in a moment.
const SOON: Reaction = reaction(1, 300, "HD0201", "hourdrop goes on trying; nothing is lost");

/// The server must not be knocked at more often than that: each wait is between half and all of its length, so a login
/// is tried at most every 15 minutes. Servers lock accounts after a few wrong passwords.
const RARELY_SECONDS: u64 = 2 * 900;

/// Whether it may be over in a moment, and nobody minds that it is tried.
pub(super) fn may_be_over(kind: Option<FaultKind>) -> bool {
    reaction_to(kind) == SOON
}

/// The answer to a kind of fault; `None` is a fault that no server has told.
pub(super) const fn reaction_to(kind: Option<FaultKind>) -> Reaction {
    let Some(kind) = kind else { return SOON };
    match kind {
        FaultKind::Unreachable | FaultKind::Timeout | FaultKind::Io | FaultKind::NotFound => SOON,
        FaultKind::Busy => reaction(
            60,
            900,
            "HD0206",
            "the server takes no more of us now: hourdrop knocks less and less often; if it stays so, ask the partner how \
             many connections the account may have, and end others that use it",
        ),
        FaultKind::Auth => reaction(
            RARELY_SECONDS,
            RARELY_SECONDS,
            "HD0202",
            "check user and password, and whether the account is locked; so that it is not, the login is tried every 15 to \
             30 minutes only: a restart tries at once",
        ),
        FaultKind::HostKey => reaction(
            RARELY_SECONDS,
            RARELY_SECONDS,
            "HD0205",
            "compare it with what the partner says, and add it to `host_key`; nothing is sent until then",
        ),
        FaultKind::Tls => reaction(
            RARELY_SECONDS,
            RARELY_SECONDS,
            "HD0204",
            "check `tls`: nothing is sent to a server that does not prove who it is",
        ),
        FaultKind::DiskFull => reaction(
            240,
            600,
            "HD0207",
            "the partner must make room on its server's disk: tell them; hourdrop tries again every few minutes, and no \
             part of a file stays behind",
        ),
        FaultKind::Quota => reaction(
            240,
            600,
            "HD0207",
            "the partner must take files away or raise the account's quota: tell them; hourdrop tries again every few \
             minutes, and no part of a file stays behind",
        ),
        FaultKind::Denied => reaction(
            120,
            1800,
            "HD0208",
            "the partner must let the account list, write and rename in the directory: tell them what the server \
             answered; hourdrop tries again, less and less often",
        ),
        FaultKind::Unsupported => reaction(
            RARELY_SECONDS,
            RARELY_SECONDS,
            "HD0210",
            "change the partner's table: `verify = \"read-back\"` where the server states no hashes, `rename = false` where \
             it cannot rename; for a directory here what `dropped_files` asks for; nothing is sent until then",
        ),
        FaultKind::Protocol => reaction(
            60,
            1800,
            "HD0209",
            "the server answers what hourdrop cannot use: check address, port and protocol in `deliver`; hourdrop tries \
             again, less and less often",
        ),
    }
}

/// An upload that broke off for that is removed at once: it takes room that the partner lacks.
pub(super) const fn leaves_part(kind: Option<FaultKind>) -> bool {
    matches!(kind, Some(FaultKind::DiskFull | FaultKind::Quota))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shortest wait after one failure, longest of all waits, in seconds.
    fn waits(reaction: Reaction) -> (u64, u64) {
        let delays = |failures| (0..5000).map(move |random| reaction.policy.next_delay(failures, random).seconds());
        (delays(1).min().unwrap_or(0), delays(40).max().unwrap_or(0))
    }

    #[test]
    fn every_kind_of_fault_has_its_answer() {
        let expected = [
            (None, 1, 300, "HD0201"),
            (Some(FaultKind::Unreachable), 1, 300, "HD0201"),
            (Some(FaultKind::Timeout), 1, 300, "HD0201"),
            (Some(FaultKind::Io), 1, 300, "HD0201"),
            (Some(FaultKind::NotFound), 1, 300, "HD0201"),
            (Some(FaultKind::Auth), 900, 1800, "HD0202"),
            (Some(FaultKind::Tls), 900, 1800, "HD0204"),
            (Some(FaultKind::HostKey), 900, 1800, "HD0205"),
            (Some(FaultKind::Unsupported), 900, 1800, "HD0210"),
            (Some(FaultKind::Busy), 30, 900, "HD0206"),
            (Some(FaultKind::DiskFull), 120, 600, "HD0207"),
            (Some(FaultKind::Quota), 120, 600, "HD0207"),
            (Some(FaultKind::Denied), 60, 1800, "HD0208"),
            (Some(FaultKind::Protocol), 30, 1800, "HD0209"),
        ];
        for (kind, first, longest, code) in expected {
            let reaction = reaction_to(kind);
            assert_eq!((waits(reaction), reaction.code), ((first, longest), code), "{kind:?}");
        }
        assert!(reaction_to(Some(FaultKind::DiskFull)).hint.contains("disk"));
        assert!(reaction_to(Some(FaultKind::Quota)).hint.contains("quota"));
    }
}
