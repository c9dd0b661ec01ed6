//! `probe`: what a delivery to a partner would meet, tried out with files of our own.
//!
//! It goes the way of a delivery: the same endpoint, secret, deadlines, directory and temporary directory. It needs no
//! lock and no ledger, and cannot meet a delivery: its files have names of their own, chosen at random, with the mark of
//! this store, that no feed and no pattern of the partner has; none is written where a file lies already. Whatever was
//! written is removed, and what could not be removed is named in the report.
//!
//! [`visit`] is the session with the list of what was written; `trials` is what is tried; [`judgement`] says what is good
//! enough; [`advice`] says what to write into the configuration; [`forecast`] what the feeds would meet.

pub mod advice;
pub mod forecast;
pub mod judgement;
mod trials;
mod visit;

pub use advice::Advice;
pub use forecast::FeedForecast;
pub use judgement::{Mark, Topic, Verdict};
pub use visit::CHINESE;

use super::config::{Config, PartnerConfig, SecretFault};
use super::store::read_identity;
use crate::clock::Clock;
use crate::deliver::StoreMark;
use crate::disk::Disk;
use crate::domain::delivery::ContentCheck;
use crate::domain::ids::PartnerId;
use crate::domain::time::Length;
use crate::ledger::{Ledger, LedgerFault};
use crate::remote::endpoint::{DataConnections, Protection};
use crate::remote::facts::{Reach, SessionFacts};
use crate::remote::path::PathFault;
use crate::remote::survey::survey;
use crate::remote::{Address, Endpoint, RemoteEntry, RemoteFault, RemotePath};
use std::sync::Arc;
use std::time::Duration;
use visit::{Names, Visit};

/// What a probe works with.
pub struct ProbeContext<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// For local directories and certificates.
    pub disk: Arc<dyn Disk>,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
    /// What was sent so far, where there is a ledger.
    pub ledger: Option<&'a Ledger>,
}

/// Why nothing can be tried at all: the configuration, or this machine.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFault {
    /// The password cannot be had.
    #[error("{0}")]
    Secret(#[from] SecretFault),
    /// The temporary directory is no usable path.
    #[error("temporary_dir: {0}")]
    Path(#[from] PathFault),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
}

/// How an attempt at something ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tried<T> {
    /// It was not tried: it makes no sense here, or something it needs did not work.
    #[default]
    Not,
    /// It was done, with this result.
    Done(T),
    /// It failed.
    Failed(RemoteFault),
}

impl<T> Tried<T> {
    /// The result.
    pub const fn done(&self) -> Option<&T> {
        if let Self::Done(result) = self { Some(result) } else { None }
    }

    /// The same with what is made of the result.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Tried<U> {
        match self {
            Self::Not => Tried::Not,
            Self::Done(result) => Tried::Done(make(result)),
            Self::Failed(fault) => Tried::Failed(fault),
        }
    }

    /// Why it failed.
    pub const fn fault(&self) -> Option<&RemoteFault> {
        if let Self::Failed(fault) = self { Some(fault) } else { None }
    }
}

/// A directory at the partner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectoryFacts {
    /// It was not there and was made, as a delivery would. It stays.
    pub was_missing: bool,
    /// What lay there before anything was tried.
    pub entries: Vec<RemoteEntry>,
    /// Temporary files of this store among it: of a delivery that works now, or was interrupted.
    pub our_temporaries: usize,
}

/// What a rename led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renamed {
    /// The old name is gone.
    pub old_is_gone: bool,
    /// The new name is there with the whole size, as far as the server states sizes.
    pub new_is_whole: bool,
}

/// What a rename onto an existing file does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OntoExisting {
    /// It replaces the file without a word.
    Replaces,
    /// It is refused, with these words.
    Refused(String),
    /// It was confirmed and changed nothing.
    Nothing,
}

/// What was tried with files of our own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trials {
    /// Writing a small file under a temporary name.
    pub write: Tried<()>,
    /// The size that the server states of it, and that it has.
    pub size: Tried<(Option<u64>, u64)>,
    /// The listing shows it.
    pub listed: Tried<bool>,
    /// Read back it holds the bytes that were sent.
    pub read_back: Tried<bool>,
    /// The SHA-256 that the server itself states of it is right; `None` when it states none.
    pub server_hash: Tried<Option<bool>>,
    /// By how many seconds the server's clock is ahead of ours, as far as whole seconds tell; `None` when the server
    /// states no time in UTC.
    pub clock_ahead: Tried<Option<i64>>,
    /// Renaming it, into the final directory where a temporary one is configured.
    pub rename: Tried<Renamed>,
    /// Renaming another file of ours onto it.
    pub onto_existing: Tried<OntoExisting>,
    /// Removing a file: it is gone.
    pub remove: Tried<bool>,
    /// A name with a space and Chinese characters is listed as it was written.
    pub unusual_name: Tried<bool>,
    /// A name with a leading dot is listed.
    pub hidden_name: Tried<bool>,
    /// Files that went over one session, and what ended it too early.
    pub transfers: Transfers,
    /// The same over TLS 1.3, where the server offers it and it is not configured.
    pub transfers_1_3: Transfers,
    /// Bytes of the largest file sent, and how long it took with its confirmation.
    pub speed: Tried<(u64, Duration)>,
    /// A second session beside the first.
    pub second_session: Tried<()>,
}

/// A directory that the partner writes to and we list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerPlace {
    /// The key that names it.
    pub key: &'static str,
    /// From the login directory.
    pub path: RemotePath,
    /// How many entries it has.
    pub listed: Tried<usize>,
}

/// Files sent one after another over one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transfers {
    /// How many were to be sent; 0 when it was not tried.
    pub wanted: u32,
    /// How many arrived.
    pub done: u32,
    /// What ended it.
    pub fault: Option<RemoteFault>,
}

/// Something of ours that is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its path at the partner.
    pub path: RemotePath,
    /// Why it could not be removed.
    pub why: String,
}

/// What the configuration asks of the server.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Files are renamed to their final names.
    pub rename: bool,
    /// What is compared after an upload.
    pub check: ContentCheck,
    /// The partner has other servers besides: what they want stands in the same lines of the configuration.
    pub is_one_of_several: bool,
}

/// Everything that was found out.
#[derive(Debug, Clone)]
pub struct ProbeReport {
    /// The partner.
    pub partner: PartnerId,
    /// Its server and account.
    pub endpoint: Endpoint,
    /// The directory for the files.
    pub directory: RemotePath,
    /// The directory for temporary names, where it is another one.
    pub temporary_dir: Option<RemotePath>,
    /// A temporary name as a delivery would use it in this probe.
    pub temporary_name: String,
    /// What the configuration asks of the server.
    pub wanted: Wanted,
    /// What stands in the unusual name besides a space: letters that the partner's charset has.
    pub letters: &'static str,
    /// A pattern of the partner that matches a name of this probe: then nothing was written into the final directory.
    pub taken_by: Option<String>,
    /// What is to be seen of the server before anybody logs in; `None` for a directory of this machine.
    pub reach: Option<Reach>,
    /// How long it took to log in, connection included.
    pub login: Tried<Duration>,
    /// What the server tells of itself.
    pub facts: Tried<SessionFacts>,
    /// The directory for the files.
    pub place: Tried<DirectoryFacts>,
    /// It cannot be listed with data connections as configured, and can be when the other side opens them.
    pub other_data_works: bool,
    /// The directory for temporary names.
    pub temporary_place: Tried<DirectoryFacts>,
    /// The directories that the partner writes to, and how many entries are in each.
    pub partner_places: Vec<PartnerPlace>,
    /// What was tried.
    pub trials: Trials,
    /// What the feeds would meet.
    pub feeds: Vec<FeedForecast>,
    /// What to write into the configuration.
    pub advice: Vec<Advice>,
    /// What is still there.
    pub left: Vec<Left>,
    /// When it was done by our clock.
    pub at: crate::domain::time::UtcTime,
}

/// Tries out everything that a delivery to `partner` needs at one of its servers.
///
/// # Errors
/// [`ProbeFault`] when nothing could be tried; whatever the server does is in the report.
pub fn probe(
    context: &ProbeContext<'_>,
    partner: &PartnerConfig,
    address: &Address,
) -> Result<ProbeReport, ProbeFault> {
    let endpoint = partner.endpoint_at(address)?;
    let directory = address.directory.clone();
    let temporary_dir = partner.temporary_dir.as_ref().map(|path| RemotePath::parse(path)).transpose()?;
    let letters = visit::letters_for(&endpoint);
    let mut names = Names::new(&mark(context), temporary_dir.as_ref(), &directory, letters);
    let taken_by = names.examples().iter().find_map(|name| {
        let pattern = partner.picks_up.iter().find(|pattern| pattern.value.matches(name));
        pattern.map(|pattern| pattern.value.to_string())
    });
    if taken_by.is_some() {
        names.keep_out_of_final_directory();
    }
    let mut report = ProbeReport {
        partner: partner.id.clone(),
        directory,
        temporary_dir,
        temporary_name: names.first().name().to_owned(),
        wanted: Wanted { rename: partner.rename, check: partner.check, is_one_of_several: !partner.standby.is_empty() },
        letters,
        taken_by,
        reach: survey(&endpoint, &partner.deadlines, context.disk.as_ref()),
        endpoint,
        login: Tried::Not,
        facts: Tried::Not,
        place: Tried::Not,
        other_data_works: false,
        temporary_place: Tried::Not,
        partner_places: Vec::new(),
        trials: Trials::default(),
        feeds: Vec::new(),
        advice: Vec::new(),
        left: Vec::new(),
        at: context.clock.now(),
    };
    if report.reach.as_ref().is_none_or(|reach| reach.fault.is_none() && trusted(reach)) {
        log_in_and_try(context, partner, &names, &mut report);
        if report.endpoint.avoids_newest_tls() {
            // As a delivery goes on with TLS 1.2, so does the probe: what failed is tried once more.
            report.trials = Trials::default();
            log_in_and_try(context, partner, &names, &mut report);
        }
    }
    report.feeds = forecast::forecast(context, partner, &report)?;
    report.advice = advice::advise(&report);
    Ok(report)
}

fn trusted(reach: &Reach) -> bool {
    reach.tls.as_ref().is_none_or(|tls| tls.distrust.is_none())
}

/// The mark of this store; zeros before the first start, when there is none.
fn mark(context: &ProbeContext<'_>) -> StoreMark {
    let identity = read_identity(context.disk.as_ref(), &context.config.state).map(|id| id.0);
    StoreMark::of(&identity.unwrap_or_default())
}

fn log_in_and_try(context: &ProbeContext<'_>, partner: &PartnerConfig, names: &Names, report: &mut ProbeReport) {
    let mut visit = Visit::new(context, report.endpoint.clone(), partner.deadlines);
    report.login = visit.log_in();
    if report.login.done().is_none() {
        return;
    }
    report.place = trials::look(&mut visit, &report.directory, names);
    let can_list = report.place.done().is_some();
    if let Some(temporary) = &report.temporary_dir {
        report.temporary_place = trials::look(&mut visit, temporary, names);
    }
    report.partner_places = trials::look_at_partner_places(&mut visit, partner, &report.directory);
    // Only the first listing shows which command for it the server knows.
    report.facts = visit.step(|session| session.facts());
    if can_list && (report.taken_by.is_none() || report.temporary_dir.is_some()) {
        trials::try_out(&mut visit, names, &mut report.trials);
        if let Some(endpoint) = with_tls_1_3(report) {
            let mut other = Visit::new(context, endpoint, partner.deadlines);
            report.trials.transfers_1_3 = trials::transfer(&mut other, names);
            report.left.extend(other.clean_up());
        }
    }
    report.left.extend(visit.clean_up());
    if let (Some(_), Some(endpoint)) = (report.place.fault(), with_other_data(&report.endpoint)) {
        let mut other = Visit::new(context, endpoint, partner.deadlines);
        report.other_data_works = trials::look(&mut other, &report.directory, names).done().is_some();
    }
}

/// The endpoint with data connections that the other side opens.
fn with_other_data(endpoint: &Endpoint) -> Option<Endpoint> {
    let Endpoint::Ftp(mut ftp) = endpoint.clone() else { return None };
    ftp.wire.data = match ftp.wire.data {
        DataConnections::Passive => DataConnections::Active,
        DataConnections::Active => DataConnections::Passive,
    };
    Some(Endpoint::Ftp(ftp))
}

/// The endpoint with TLS 1.3, where the server offers it and the configuration keeps to 1.2.
fn with_tls_1_3(report: &ProbeReport) -> Option<Endpoint> {
    use crate::remote::tls::{TlsRules, TlsVersion};
    if !report.reach.as_ref()?.tls.as_ref()?.offers_1_3 {
        return None;
    }
    let Endpoint::Ftp(mut ftp) = report.endpoint.clone() else { return None };
    let raised =
        |rules: &TlsRules| (rules.max == TlsVersion::V1_2).then(|| TlsRules { max: TlsVersion::V1_3, ..rules.clone() });
    ftp.protection = match &ftp.protection {
        Protection::None => return None,
        Protection::Explicit(rules) => Protection::Explicit(raised(rules)?),
        Protection::Implicit(rules) => Protection::Implicit(raised(rules)?),
    };
    Some(Endpoint::Ftp(ftp))
}

/// How long a server may take until a size or a time is right.
const PATIENCE: Length = Length::from_seconds(1);
