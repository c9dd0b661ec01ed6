//! What of all that was found is good enough for a delivery.

use super::{FeedForecast, OntoExisting, ProbeReport, Transfers, Tried};
use crate::domain::delivery::ContentCheck;
use crate::domain::time::Length;
use crate::remote::endpoint::{DataConnections, Protection};
use crate::remote::facts::PassiveFacts;
use crate::remote::{Endpoint, FaultKind, RemoteFault};
use std::net::IpAddr;

/// Certificates that end sooner are pointed out.
const EXPIRES_SOON: Length = Length::from_seconds(30 * 86_400);
/// A clock that is further away is pointed out, in seconds.
const CLOCK_AHEAD_MAX: u64 = 60;

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Name, connection, greeting.
    Server,
    /// TLS and the certificate.
    Tls,
    /// The host key.
    HostKey,
    /// User and password or key.
    Login,
    /// What the server says it is.
    Software,
    /// What it says it can do.
    Features,
    /// How data connections are opened.
    DataConnections,
    /// The directory for the files.
    Directory,
    /// The directory for temporary names.
    TemporaryDir,
    /// A directory that the partner writes to, by its place among them.
    PartnerPlace(usize),
    /// The partner's patterns.
    PicksUp,
    /// Writing a file.
    Write,
    /// The size that the server states.
    Size,
    /// What the listing shows.
    Listing,
    /// What is read back.
    ReadBack,
    /// Renaming.
    Rename,
    /// Renaming onto a file.
    OntoExisting,
    /// Removing.
    Remove,
    /// Spaces and Chinese characters in names.
    Names,
    /// Names with a leading dot.
    HiddenNames,
    /// The server's clock.
    Clock,
    /// Several files over one session.
    Transfers,
    /// The same with TLS 1.3.
    Tls13,
    /// Hashes that the server tells.
    Hashes,
    /// How fast files are sent.
    Speed,
    /// A second session.
    SecondSession,
    /// What is still there.
    Left,
    /// A feed, by its place among those of the partner.
    Feed(usize),
}

/// How something was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Deliveries work, and sometimes need somebody.
    Warn,
    /// No delivery until somebody has changed something.
    Fail,
    /// No delivery now; later perhaps.
    FailNow,
}

/// Whether a delivery would succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It would.
    Usable,
    /// Not now: the server cannot be reached, or has no room.
    Temporary,
    /// Not until somebody has changed something.
    Unusable,
}

impl ProbeReport {
    /// Whether a delivery would succeed.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let marks: Vec<Mark> = self.judged().into_iter().map(|(_, mark)| mark).collect();
        if marks.contains(&Mark::Fail) {
            Verdict::Unusable
        } else if marks.contains(&Mark::FailNow) {
            Verdict::Temporary
        } else {
            Verdict::Usable
        }
    }

    /// Everything that was found, judged, in the order in which a delivery meets it. What was not tried is left out.
    #[must_use]
    pub fn judged(&self) -> Vec<(Topic, Mark)> {
        let trials = &self.trials;
        let marks = [
            (Topic::Server, self.server()),
            (Topic::Tls, self.tls()),
            (Topic::HostKey, self.host_key()),
            (Topic::Login, need(&self.login, |_| true)),
            (Topic::Software, self.facts.done().and_then(|facts| facts.system.as_ref()).map(|_| Mark::Note)),
            (Topic::Features, self.facts.done().filter(|facts| !facts.features.is_empty()).map(|_| Mark::Note)),
            (Topic::DataConnections, self.data_connections()),
            (Topic::Directory, wish(need(&self.place, |_| true), self.was_missing())),
            (Topic::TemporaryDir, need(&self.temporary_place, |_| true)),
            (Topic::PicksUp, self.patterns()),
            (Topic::Write, need(&trials.write, |()| true)),
            (Topic::Size, need(&trials.size, |(found, wanted)| *found == Some(*wanted))),
            (Topic::Listing, rather(&trials.listed, |seen| *seen)),
            (Topic::ReadBack, read_back(&trials.read_back, self.wanted.check)),
            (Topic::Rename, self.rename()),
            (Topic::OntoExisting, onto_existing(&trials.onto_existing)),
            (Topic::Remove, rather(&trials.remove, |gone| *gone)),
            (Topic::Names, self.names()),
            (Topic::HiddenNames, trials.hidden_name.done().map(|_| Mark::Note)),
            (Topic::Clock, clock(&trials.clock_ahead)),
            (Topic::Transfers, transfers(&trials.transfers)),
            (Topic::Tls13, (trials.transfers_1_3.wanted > 0).then_some(Mark::Note)),
            (Topic::Hashes, server_hash(&trials.server_hash, self.wanted.check)),
            (Topic::Speed, rather(&trials.speed, |_| true)),
            (Topic::SecondSession, second_session(&trials.second_session)),
            (Topic::Left, (!self.left.is_empty()).then_some(Mark::Warn)),
        ];
        let places = self.partner_places.iter().enumerate();
        let places = places.map(|(at, place)| (Topic::PartnerPlace(at), rather(&place.listed, |_| true)));
        let feeds = self.feeds.iter().enumerate().map(|(at, feed)| (Topic::Feed(at), feed.mark()));
        marks.into_iter().chain(places).filter_map(|(topic, mark)| Some((topic, mark?))).chain(feeds).collect()
    }

    fn was_missing(&self) -> bool {
        self.place.done().is_some_and(|place| place.was_missing)
    }

    /// A fault that has a line of its own is not told twice.
    fn server(&self) -> Option<Mark> {
        let reach = self.reach.as_ref()?;
        let told = reach.fault.as_ref().filter(|fault| !matches!(fault.kind, FaultKind::Tls | FaultKind::HostKey));
        Some(told.map_or(Mark::Good, failed))
    }

    fn tls(&self) -> Option<Mark> {
        let reach = self.reach.as_ref()?;
        match (&reach.tls, &reach.fault) {
            (Some(tls), _) if tls.distrust.is_some() || tls.version.is_none() => Some(Mark::Fail),
            (Some(tls), _) => {
                let ends_soon = tls.certificate.valid.is_some_and(|(_, end)| end.before(EXPIRES_SOON) < self.at);
                Some(if ends_soon || self.endpoint.avoids_newest_tls() { Mark::Warn } else { Mark::Good })
            }
            (None, Some(fault)) if fault.kind == FaultKind::Tls => Some(Mark::Fail),
            (None, _) => self.is_plain_ftp().then_some(if self.offers_tls() { Mark::Warn } else { Mark::Note }),
        }
    }

    /// Nothing protects the session.
    #[must_use]
    pub fn is_plain_ftp(&self) -> bool {
        matches!(&self.endpoint, Endpoint::Ftp(ftp) if ftp.protection == Protection::None)
    }

    /// The server lists TLS among its features, RFC 4217, 6.
    #[must_use]
    pub fn offers_tls(&self) -> bool {
        let features = self.facts.done().map(|facts| facts.features.as_slice()).unwrap_or_default();
        features.iter().any(|line| line.to_ascii_uppercase().starts_with("AUTH") && line.contains("TLS"))
    }

    fn host_key(&self) -> Option<Mark> {
        let ssh = self.reach.as_ref()?.ssh.as_ref()?;
        let is_asked = ssh.is_known || !ssh.keys.is_empty();
        is_asked.then_some(if ssh.is_known { Mark::Good } else { Mark::Fail })
    }

    fn data_connections(&self) -> Option<Mark> {
        let PassiveFacts { extended, plain } = self.facts.done()?.passive.as_ref()?;
        if self.is_active() {
            return Some(self.place.done().map_or(Mark::Warn, |_| Mark::Good));
        }
        Some(match (extended, plain) {
            (Err(_), Err(_)) => Mark::Warn,
            (Err(_), Ok(_)) if self.announces_another_address() => Mark::Warn,
            _ => Mark::Good,
        })
    }

    /// The server opens the data connections.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(&self.endpoint, Endpoint::Ftp(ftp) if ftp.wire.data == DataConnections::Active)
    }

    fn rename(&self) -> Option<Mark> {
        let mark = need(&self.trials.rename, |renamed| renamed.old_is_gone && renamed.new_is_whole);
        if self.wanted.rename { mark } else { mark.map(|_| Mark::Note) }
    }

    /// Whether the server can rename; `None` when it was not tried, or could not be answered this time.
    #[must_use]
    pub fn can_rename(&self) -> Option<bool> {
        match need(&self.trials.rename, |renamed| renamed.old_is_gone && renamed.new_is_whole)? {
            Mark::Good => Some(true),
            Mark::Fail => Some(false),
            Mark::Note | Mark::Warn | Mark::FailNow => None,
        }
    }

    /// The reply to PASV names another address than that of the server.
    #[must_use]
    pub fn announces_another_address(&self) -> bool {
        let plain = self.facts.done().and_then(|facts| facts.passive.as_ref()?.plain.as_ref().ok());
        let server = self.reach.as_ref().and_then(|reach| reach.connected).map(|(address, _)| address.ip());
        matches!((plain, server), (Some((announced, _)), Some(IpAddr::V4(server))) if *announced != server)
    }

    fn patterns(&self) -> Option<Mark> {
        match (&self.taken_by, &self.temporary_dir) {
            (None, _) => self.place.done().map(|_| Mark::Good),
            (Some(_), Some(_)) => Some(Mark::Warn),
            (Some(_), None) => Some(if self.wanted.rename { Mark::Fail } else { Mark::Warn }),
        }
    }

    fn names(&self) -> Option<Mark> {
        match &self.trials.unusual_name {
            Tried::Not => None,
            Tried::Done(true) => Some(Mark::Good),
            Tried::Done(false) | Tried::Failed(_) => {
                Some(if self.feeds.iter().any(FeedForecast::has_unusual_name) { Mark::Fail } else { Mark::Note })
            }
        }
    }
}

/// Whether trying again later may help.
fn failed(fault: &RemoteFault) -> Mark {
    match fault.kind {
        FaultKind::Unreachable
        | FaultKind::Timeout
        | FaultKind::Busy
        | FaultKind::Quota
        | FaultKind::DiskFull
        | FaultKind::Io => Mark::FailNow,
        FaultKind::Auth
        | FaultKind::Tls
        | FaultKind::HostKey
        | FaultKind::Denied
        | FaultKind::NotFound
        | FaultKind::Protocol
        | FaultKind::Unsupported => Mark::Fail,
    }
}

/// No delivery without it.
fn need<T>(tried: &Tried<T>, is_good: impl FnOnce(&T) -> bool) -> Option<Mark> {
    match tried {
        Tried::Not => None,
        Tried::Done(result) => Some(if is_good(result) { Mark::Good } else { Mark::Fail }),
        Tried::Failed(fault) => Some(failed(fault)),
    }
}

/// Deliveries work without it.
fn rather<T>(tried: &Tried<T>, is_good: impl FnOnce(&T) -> bool) -> Option<Mark> {
    match tried {
        Tried::Not => None,
        Tried::Done(result) if is_good(result) => Some(Mark::Good),
        Tried::Done(_) | Tried::Failed(_) => Some(Mark::Warn),
    }
}

fn wish(mark: Option<Mark>, is_odd: bool) -> Option<Mark> {
    if mark == Some(Mark::Good) && is_odd { Some(Mark::Warn) } else { mark }
}

/// Other bytes are worse than none: then a delivery would show them.
fn read_back(tried: &Tried<bool>, check: ContentCheck) -> Option<Mark> {
    match tried {
        Tried::Not => None,
        Tried::Done(true) => Some(Mark::Good),
        Tried::Done(false) => Some(Mark::Fail),
        Tried::Failed(fault) if check == ContentCheck::ReadBack => Some(failed(fault)),
        Tried::Failed(_) => Some(Mark::Note),
    }
}

fn server_hash(tried: &Tried<Option<bool>>, check: ContentCheck) -> Option<Mark> {
    match tried {
        Tried::Not => None,
        Tried::Done(Some(true)) => Some(Mark::Good),
        Tried::Done(_) if check == ContentCheck::Hash => Some(Mark::Fail),
        Tried::Failed(fault) if check == ContentCheck::Hash => Some(failed(fault)),
        Tried::Done(Some(false)) => Some(Mark::Warn),
        Tried::Done(None) | Tried::Failed(_) => Some(Mark::Note),
    }
}

const fn onto_existing(tried: &Tried<OntoExisting>) -> Option<Mark> {
    match tried {
        Tried::Not => None,
        Tried::Done(OntoExisting::Refused(_)) => Some(Mark::Good),
        Tried::Done(OntoExisting::Replaces) => Some(Mark::Note),
        Tried::Done(OntoExisting::Nothing) | Tried::Failed(_) => Some(Mark::Warn),
    }
}

fn clock(tried: &Tried<Option<i64>>) -> Option<Mark> {
    match tried {
        Tried::Not => None,
        Tried::Done(Some(0)) => Some(Mark::Good),
        Tried::Done(Some(ahead)) if ahead.unsigned_abs() > CLOCK_AHEAD_MAX => Some(Mark::Warn),
        Tried::Done(_) | Tried::Failed(_) => Some(Mark::Note),
    }
}

/// A session in which only the first files arrive is of no use, whatever the server calls it.
const fn transfers(transfers: &Transfers) -> Option<Mark> {
    match transfers {
        Transfers { wanted: 0, .. } => None,
        Transfers { wanted, done, .. } if *done == *wanted => Some(Mark::Good),
        _ => Some(Mark::Fail),
    }
}

const fn second_session(tried: &Tried<()>) -> Option<Mark> {
    match tried {
        Tried::Not => None,
        Tried::Done(()) => Some(Mark::Good),
        Tried::Failed(_) => Some(Mark::Note),
    }
}
