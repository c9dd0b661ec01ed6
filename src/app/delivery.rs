//! Delivering what is sealed: one thread for each partner, so no partner waits for another.
//!
//! A thread takes the next batches of its partner's feeds in sealing order, opens a session, and sends them. After any
//! fault it drops the session, waits (longer each time, with jitter) and begins again from what the ledger says. A
//! held file holds its feed; the partner's other feeds go on.

mod damage;

use super::ahead::{Ahead, files_ahead};
use super::answers::gate;
use super::config::{Config, PartnerConfig};
use super::pickup::Watch;
use super::progress::Progress;
use super::shared_ledger::SharedLedger;
use super::space::{Reserve, ledger_lacks_room};
use crate::archive::Archive;
use crate::clock::Clock;
use crate::deliver::retry::RetryPolicy;
use crate::deliver::{
    BatchFault, BatchOutcome, DeliverFault, FileToDeliver, StoreMark, Surroundings, TemporaryPlace, deliver_batch,
};
use crate::disk::Disk;
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::disposition::Disposition;
use crate::domain::ids::PartnerId;
use crate::domain::time::Length;
use crate::ledger::LedgerFault;
use crate::ledger::delivery::{BatchToSend, FileToSend};
use crate::remote::{FaultKind, Remote, RemoteEntry, RemoteFault, RemotePath};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// Batches that are looked up at once.
const BATCHES_AT_ONCE: u32 = 64;

/// What every partner's thread works with.
#[derive(Clone)]
pub struct DeliveryContext {
    /// The configuration.
    pub config: Arc<Config>,
    /// The ledger.
    pub ledger: Arc<SharedLedger>,
    /// The archive: nothing else is ever uploaded.
    pub archive: Archive,
    /// For local directories.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who listens.
    pub progress: Arc<dyn Progress>,
    /// Is given up when the ledger has no room.
    pub reserve: Arc<Reserve>,
    /// Marks our temporary names.
    pub mark: StoreMark,
    /// Set when everything is to stop.
    pub stop: Arc<AtomicBool>,
}

/// How long a thread goes on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Until everything is delivered, at most until then.
    Delivered(Instant),
    /// Until it is told to stop.
    Stopped,
}

/// How a partner's delivery ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartnerOutcome {
    /// Batches delivered.
    pub delivered: u64,
    /// Batches that are not delivered yet.
    pub left: u64,
    /// The last thing that went wrong, when anything is left because of it.
    pub fault: Option<String>,
    /// Nothing may go on until a person has looked.
    pub stopped: bool,
}

/// Why a session ended before everything was sent.
#[derive(Debug, thiserror::Error)]
enum SendFault {
    #[error("{0}")]
    Secret(#[from] super::config::SecretFault),
    #[error(transparent)]
    Remote(#[from] RemoteFault),
    #[error("{what}")]
    Batch { what: String, disposition: Disposition, kind: Option<FaultKind> },
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    #[error("{0}")]
    Ahead(Box<Ahead>),
}

impl SendFault {
    fn stops(&self) -> bool {
        match self {
            Self::Ledger(_) | Self::Ahead(_) => true,
            Self::Batch { disposition, .. } => *disposition == Disposition::Stop,
            Self::Secret(_) | Self::Remote(_) => false,
        }
    }

    const fn kind(&self) -> Option<FaultKind> {
        match self {
            Self::Remote(fault) => Some(fault.kind),
            Self::Batch { kind, .. } => *kind,
            Self::Secret(_) | Self::Ledger(_) | Self::Ahead(_) => None,
        }
    }
}

/// Delivers to one partner. Waits between tries end early when `wake` has a message.
pub fn deliver_partner(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    until: Until,
    wake: &Receiver<()>,
) -> PartnerOutcome {
    let mut outcome = PartnerOutcome::default();
    let (mut failures, mut compared, mut watch) = (0, false, Watch::default());
    loop {
        let work = match work_for(context, partner) {
            Ok(work) => work,
            Err(fault) => {
                if waits_for_room(context, until, wake, &fault) {
                    continue;
                }
                return stopped(context, partner, &outcome, &fault.into());
            }
        };
        outcome.left = work.iter().map(|batches| batches.len() as u64).sum();
        if context.stop.load(Ordering::Relaxed) {
            return outcome;
        }
        if outcome.left == 0 {
            if rests(context, partner) {
                // What a person has paused is no alarm.
                report(context, &partner.id, None);
            }
            outcome.fault = watch.look_alone(context, partner, outcome.delivered, || connect(context, partner));
            // An answer that was found may let the next batch go.
            if has_work(context, partner) {
                continue;
            }
            match until {
                Until::Delivered(_) => return outcome,
                Until::Stopped => {
                    context.clock.wait(watch.rest(context, partner, Length::from_seconds(3600)), wake);
                    continue;
                }
            }
        }
        match send(context, partner, &work, &mut compared, &mut outcome.delivered, &mut watch) {
            Ok(()) => {
                failures = 0;
                if let Err(fault) = context.ledger.tell_and_note(context.clock.now())
                    && !waits_for_room(context, until, wake, &fault)
                {
                    return stopped(context, partner, &outcome, &fault.into());
                }
                report(context, &partner.id, None);
            }
            Err(SendFault::Ledger(fault)) if waits_for_room(context, until, wake, &fault) => {}
            Err(fault) if fault.stops() => return stopped(context, partner, &outcome, &fault),
            Err(fault) => {
                failures += 1;
                let policy = RetryPolicy { first: Length::from_seconds(1), max: Length::from_seconds(300) };
                let delay = policy.next_delay(failures, fastrand::u64(..));
                let what = format!("{}: {fault}", partner.address.endpoint);
                tracing::warn!(partner = %partner.id, next_try = %delay, "delivery failed: {what}");
                report(context, &partner.id, Some((&fault, what.clone())));
                outcome.fault = Some(what);
                if !wait(context, until, delay, wake) {
                    return outcome;
                }
            }
        }
    }
}

fn rests(context: &DeliveryContext, partner: &PartnerConfig) -> bool {
    context.ledger.lock().is_paused(&format!("partner {}", partner.id)).unwrap_or(false)
}

/// Nothing more goes to the partner before a restart: that is an alarm as long as it stands.
fn stopped(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    outcome: &PartnerOutcome,
    fault: &SendFault,
) -> PartnerOutcome {
    tracing::error!(partner = %partner.id, "delivery stopped: {fault}");
    let message = format!("delivery stopped: {fault}");
    let (code, hint) = match fault {
        SendFault::Ahead(_) => {
            ("HD0601", "state and archive were rolled back: `hourdrop recover --ask-partners` continues above it")
        }
        SendFault::Secret(_) | SendFault::Remote(_) | SendFault::Batch { .. } | SendFault::Ledger(_) => {
            ("HD0203", "correct what is wrong and start hourdrop again; nothing is delivered until then")
        }
    };
    let subject = format!("partner {}", partner.id);
    let raised =
        context.ledger.lock().replace_alarms(&subject, &[(code, message, hint.to_owned())], context.clock.now());
    if let Err(fault) = raised {
        tracing::error!("cannot record an alarm: {fault}");
    }
    PartnerOutcome { fault: Some(fault.to_string()), stopped: true, ..*outcome }
}

/// Waits before the next try; false when there is no time left for one.
fn wait(context: &DeliveryContext, until: Until, delay: Length, wake: &Receiver<()>) -> bool {
    if let Until::Delivered(deadline) = until
        && Instant::now() + delay.as_std() >= deadline
    {
        return false;
    }
    let begun = Instant::now();
    // Somebody who wakes us has new work, which is no reason to try again early.
    while begun.elapsed() < delay.as_std() && !context.stop.load(Ordering::Relaxed) {
        let left = delay.as_std().saturating_sub(begun.elapsed());
        let step = Length::from_seconds(left.as_secs().clamp(1, 5));
        context.clock.wait(step, wake);
    }
    true
}

/// The batches to send, feed by feed, up to the first that is held. Of what rests there is nothing to send.
fn work_for(context: &DeliveryContext, partner: &PartnerConfig) -> Result<Vec<Vec<BatchToSend>>, LedgerFault> {
    let ledger = context.ledger.lock();
    let feeds = partner.feeds.iter().filter(|feed| !feed.shadow);
    feeds
        .map(|feed| {
            if ledger.rests(&feed.id)? {
                return Ok(Vec::new());
            }
            let batches = ledger.batches_to_send(&feed.id, BATCHES_AT_ONCE)?;
            let batches = batches.into_iter().take_while(|batch| !is_held(batch)).collect();
            gate(&ledger, partner, &feed.id, batches)
        })
        .collect()
}

fn has_work(context: &DeliveryContext, partner: &PartnerConfig) -> bool {
    work_for(context, partner).is_ok_and(|work| work.iter().any(|batches| !batches.is_empty()))
}

fn is_held(batch: &BatchToSend) -> bool {
    batch.is_held || batch.files.iter().any(|file| matches!(file.state, FileState::Held { .. }))
}

/// One session: sends all work, feed by feed.
fn send(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    work: &[Vec<BatchToSend>],
    compared: &mut bool,
    delivered: &mut u64,
    watch: &mut Watch,
) -> Result<(), SendFault> {
    let mut session = connect(context, partner)?;
    let directory = &partner.address.directory;
    session.create_dir(directory)?;
    if !*compared {
        refuse_ahead(context, partner, &session.list(directory)?)?;
        *compared = true;
    }
    let temporary = match &partner.temporary_dir {
        None => TemporaryPlace::Beside,
        Some(path) => {
            let path = RemotePath::parse(path).map_err(|fault| SendFault::Batch {
                what: format!("temporary_dir: {fault}"),
                disposition: Disposition::Stop,
                kind: None,
            })?;
            session.create_dir(&path)?;
            TemporaryPlace::Directory { path, private: false }
        }
    };
    sweep(context, partner, session.as_mut())?;
    for batch in work.iter().flatten() {
        if context.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if send_batch(context, partner, session.as_mut(), batch, directory, &temporary)? {
            *delivered += 1;
        } else {
            // The feed is held or rests; the next look leaves it out.
            return Ok(());
        }
    }
    watch.look_after(context, partner, session.as_mut(), *delivered);
    Ok(())
}

fn connect(context: &DeliveryContext, partner: &PartnerConfig) -> Result<Box<dyn Remote>, SendFault> {
    let mut endpoint = partner.address.endpoint.clone();
    if let Some(password) = &partner.password {
        endpoint = endpoint.with_password(password.reveal()?);
    }
    Ok(endpoint.connect(&partner.deadlines, Arc::clone(&context.disk))?)
}

/// Once in a process, before anything is uploaded: what lies at the partner must not be ahead of the ledger.
fn refuse_ahead(context: &DeliveryContext, partner: &PartnerConfig, listing: &[RemoteEntry]) -> Result<(), SendFault> {
    let ledger = context.ledger.lock();
    for feed in partner.feeds.iter().filter(|feed| !feed.shadow) {
        if let Some(ahead) = files_ahead(&ledger, feed, listing)?.into_iter().next() {
            return Err(SendFault::Ahead(Box::new(ahead)));
        }
    }
    Ok(())
}

/// Removes the temporary files that void and settled files have left at the partner.
fn sweep(context: &DeliveryContext, partner: &PartnerConfig, session: &mut dyn Remote) -> Result<(), SendFault> {
    for feed in &partner.feeds {
        let leftovers = context.ledger.lock().leftovers(&feed.id)?;
        for (row, name, path) in leftovers {
            if let Ok(path) = RemotePath::parse(&path) {
                session.remove(&path)?;
            }
            context.ledger.lock().record_swept(&feed.id, row, &name, context.clock.now())?;
        }
    }
    Ok(())
}

fn send_batch(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    session: &mut dyn Remote,
    batch: &BatchToSend,
    directory: &RemotePath,
    temporary: &TemporaryPlace,
) -> Result<bool, SendFault> {
    let to_deliver = |file: &FileToSend| FileToDeliver {
        name: file.name.clone(),
        directory: directory.clone(),
        temporary: temporary.clone(),
        store: context.mark.clone(),
        bytes: file.bytes,
        state: file.state.clone(),
        in_doubt: partner.in_doubt,
    };
    let files = batch.files.iter().filter(|file| file.state != FileState::Void);
    let (parts, manifest): (Vec<&FileToSend>, Vec<&FileToSend>) = files.partition(|file| file.part.0 > 0);
    let parts: Vec<FileToDeliver> = parts.into_iter().map(to_deliver).collect();
    let manifest: Option<FileToDeliver> = manifest.into_iter().next().map(to_deliver);
    let states: RefCell<BTreeMap<i64, FileState>> = RefCell::default();
    let row_of = |file: &FileToDeliver| batch.files.iter().find(|known| known.name == file.name);
    let mut record = |file: &FileToDeliver, fact: DeliveryFact| -> Result<(), LedgerFault> {
        let Some(row) = row_of(file) else { return Ok(()) };
        let state = states.borrow().get(&row.row).cloned().unwrap_or_else(|| row.state.clone());
        let mut ledger = context.ledger.lock();
        if matches!(fact, DeliveryFact::UploadIntended { .. }) && ledger.rests(&batch.id.feed)? {
            return Err(LedgerFault::Overtaken { name: file.name.to_string() });
        }
        let next = ledger.record_delivery(batch, row, &state, &fact, context.clock.now())?;
        drop(ledger);
        if fact == DeliveryFact::RenameIntended {
            // Only what the archive's log names may have been seen by the partner, should the ledger be lost.
            context.ledger.tell(context.clock.now())?;
        }
        if let FileState::Delivered { proof } = &next {
            tracing::info!(partner = %partner.id, file = %file.name, bytes = file.bytes, how = proof.how.as_str(), "file delivered");
            context.progress.delivered(partner.id.as_str(), file.name.as_str());
        }
        if let FileState::Held { reason, .. } = &next {
            tracing::warn!(partner = %partner.id, file = %file.name, ?reason, "file held");
        }
        damage::report(context, row, &next)?;
        states.borrow_mut().insert(row.row, next);
        Ok(())
    };
    let mut open = |file: &FileToDeliver| -> std::io::Result<Box<dyn Read>> {
        let row = row_of(file).ok_or(std::io::ErrorKind::NotFound)?;
        Ok(Box::new(context.archive.open_proved(&row.archive_path, row.bytes, row.sha256)?))
    };
    let mut pause = |look: u32| {
        let (never, silent) = std::sync::mpsc::channel::<()>();
        context.clock.wait(Length::from_seconds(u64::from(look.min(5))), &silent);
        drop(never);
    };
    let (clock, mut sent) = (context.clock.as_ref(), |_bytes: u64| {});
    let mut surroundings = Surroundings { clock, pause: &mut pause, progress: &mut sent };
    if batch.files.iter().any(|file| matches!(file.state, FileState::Renaming { .. })) {
        // The rename may be sent again, and whoever intended it may have had no room to tell the archive's log.
        context.ledger.tell(context.clock.now())?;
    }
    let done = deliver_batch(session, &parts, manifest.as_ref(), &mut open, &mut record, &mut surroundings);
    match done {
        Ok(BatchOutcome::Delivered) => Ok(true),
        Ok(BatchOutcome::Stopped { .. }) => Ok(false),
        // A person has ordered something else meanwhile.
        Err(BatchFault { fault: DeliverFault::Record(LedgerFault::Overtaken { .. }), .. }) => Ok(false),
        Err(fault) => Err(SendFault::Batch {
            what: fault.to_string(),
            // The reserve was given up for it, or somebody makes room: the files go on from what is recorded.
            disposition: if let DeliverFault::Record(ledger) = &fault.fault
                && lacks_room(context, ledger)
            {
                Disposition::Retry
            } else {
                fault.fault.disposition()
            },
            kind: if let DeliverFault::Remote(remote) = &fault.fault { Some(remote.kind) } else { None },
        }),
    }
}

/// Waits a moment when the ledger has no room. False when it has, or when there is no time left for another try.
fn waits_for_room(context: &DeliveryContext, until: Until, wake: &Receiver<()>, fault: &LedgerFault) -> bool {
    lacks_room(context, fault) && wait(context, until, Length::from_seconds(1), wake)
}

/// True when the ledger has no room. Then the reserve is given up for it.
fn lacks_room(context: &DeliveryContext, fault: &LedgerFault) -> bool {
    let lacks_room = ledger_lacks_room(context.disk.as_ref(), &context.config.state, fault);
    if lacks_room && let Err(fault) = context.reserve.give() {
        tracing::error!("cannot give up the reserve: {fault}");
    }
    lacks_room
}

/// Raises or clears the alarm of a partner that cannot be reached.
fn report(context: &DeliveryContext, partner: &PartnerId, fault: Option<(&SendFault, String)>) {
    let subject = format!("partner {partner}");
    let (code, hint) = match fault.as_ref().and_then(|(fault, _)| fault.kind()) {
        Some(FaultKind::Auth) => ("HD0202", "check user and password; hourdrop goes on trying"),
        Some(FaultKind::HostKey) => {
            ("HD0205", "compare it with what the partner says, and add it to `host_key`; nothing is sent until then")
        }
        Some(FaultKind::Tls) => ("HD0204", "check `tls`: nothing is sent to a server that does not prove who it is"),
        _ => ("HD0201", "hourdrop goes on trying; nothing is lost"),
    };
    let alarms: Vec<_> = fault.into_iter().map(|(_, what)| (code, what, hint.to_owned())).collect();
    if let Err(fault) = context.ledger.lock().replace_alarms(&subject, &alarms, context.clock.now()) {
        tracing::error!("cannot record an alarm: {fault}");
    }
}
