//! What the ledger is told of batches on their way, and when.
//!
//! What announces an act is durable before the act. What came of one may wait a moment for the next announcement, or for
//! [`WAITS_MAX`], after which a thread records it: whoever finds the state before it after a crash looks at the server,
//! and does nothing again that is done.

use super::batch::Target;
use super::wait::lacks_room;
use super::{DeliveryContext, damage};
use crate::app::config::PartnerConfig;
use crate::deliver::FileToDeliver;
use crate::domain::delivery::{DeliveryFact, FileState, Proof};
use crate::domain::ids::FileName;
use crate::domain::time::Length;
use crate::ledger::LedgerFault;
use crate::ledger::delivery::{BatchToSend, FileToSend, Told};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What came of an act is recorded at most so long after it is known. A file that the partner takes in that time is in
/// doubt when the program dies in it.
const WAITS_MAX: Duration = Duration::from_millis(20);

/// Tells the ledger what is done with the files of batches; several sessions share it.
pub(super) struct Notes<'n> {
    context: &'n DeliveryContext,
    target: &'n Target<'n>,
    rows: BTreeMap<&'n FileName, (&'n BatchToSend, &'n FileToSend)>,
    written: Mutex<Written<'n>>,
    /// Something waits, or nothing more is told.
    changed: Condvar,
}

#[derive(Default)]
struct Written<'n> {
    /// The state of each file that something was recorded of, by its row.
    states: BTreeMap<i64, FileState>,
    /// What is not recorded yet, and since when the first of it waits.
    waiting: Vec<Told<'n>>,
    since: Option<Length>,
    /// Files delivered.
    delivered: u64,
    /// Nothing more is told.
    is_closed: bool,
}

impl Written<'_> {
    fn recorded(&self, file: &FileToSend) -> FileState {
        self.states.get(&file.row).unwrap_or(&file.state).clone()
    }

    /// The state that follows all that was told.
    fn told(&self, file: &FileToSend) -> Result<FileState, LedgerFault> {
        let last = self.waiting.iter().rfind(|told| told.file.row == file.row);
        let state = last.map_or_else(|| Ok(self.recorded(file)), |last| last.state.clone().apply(&last.fact));
        state.map_err(|fault| LedgerFault::Row(fault.to_string()))
    }
}

impl<'n> Notes<'n> {
    pub(super) fn new(context: &'n DeliveryContext, target: &'n Target<'n>, batches: &[&'n BatchToSend]) -> Self {
        let files = batches.iter().flat_map(|batch| batch.files.iter().map(|file| (&file.name, (*batch, file))));
        Self { context, target, rows: files.collect(), written: Mutex::default(), changed: Condvar::new() }
    }

    fn written(&self) -> MutexGuard<'_, Written<'n>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row of a file.
    pub(super) fn row_of(&self, file: &FileToDeliver) -> Option<&'n FileToSend> {
        self.rows.get(&file.name).map(|(_, row)| *row)
    }

    /// Files that were delivered.
    pub(super) fn delivered(&self) -> u64 {
        self.written().delivered
    }

    /// True when every file of a batch is recorded as delivered.
    pub(super) fn is_whole(&self, batch: &BatchToSend) -> bool {
        let written = self.written();
        batch.files.iter().all(|file| matches!(written.recorded(file), FileState::Delivered { .. } | FileState::Void))
    }

    /// Records facts, all of them or none; those of acts that are done may wait a moment.
    pub(super) fn record(&self, facts: &[(&FileToDeliver, DeliveryFact)]) -> Result<(), LedgerFault> {
        let mut written = self.written();
        let begins = facts.iter().filter(|(_, fact)| matches!(fact, DeliveryFact::UploadIntended { .. })).count();
        if begins > 0 {
            // What the files before came to must not depend on those that begin.
            self.write(&mut written)?;
            let has_room = self.target.gate.lets_begin();
            let mut asked = None;
            for (file, _) in facts {
                if asked.replace(file.batch) != Some(file.batch) {
                    self.require_leave(file, has_room)?;
                }
            }
        }
        let before = written.waiting.len();
        for (file, fact) in facts {
            let Some((batch, file)) = self.rows.get(&file.name).copied() else { continue };
            let fact = kept(self.target.partner, self.target.server, fact.clone());
            let state = written.told(file)?;
            written.waiting.push(Told { batch, file, state, fact });
        }
        let since = *written.since.get_or_insert_with(|| self.context.clock.uptime());
        let can_wait = facts.iter().all(|(_, fact)| is_outcome(fact)) && !self.left(since).is_zero();
        if can_wait {
            self.changed.notify_one();
            return Ok(());
        }
        if let Err(fault) = self.write(&mut written) {
            // These were refused, so they are not done; what was done before is told again.
            written.waiting.truncate(before);
            return Err(fault);
        }
        for _ in 0..begins {
            self.target.gate.begun();
        }
        Ok(())
    }

    /// Whether what was announced of a file together with others may be begun.
    pub(super) fn allow(&self, file: &FileToDeliver) -> Result<(), LedgerFault> {
        let written = self.written();
        self.require_leave(file, self.target.gate.quiet_until().is_none())?;
        let Some(row) = self.row_of(file) else { return Ok(()) };
        self.context.ledger.lock().require_state(row.row, &written.recorded(row))
    }

    /// Refuses a file that the partner's times or room, or a person, keep from being begun.
    fn require_leave(&self, file: &FileToDeliver, is_open: bool) -> Result<(), LedgerFault> {
        let Some((batch, _)) = self.rows.get(&file.name) else { return Ok(()) };
        if is_open && !self.context.ledger.lock().rests(&batch.id.feed)? {
            return Ok(());
        }
        Err(LedgerFault::Overtaken { name: file.name.to_string() })
    }

    /// Records what waits too long, until [`Notes::closing`] is dropped.
    pub(super) fn keep_up(&self) {
        let mut written = self.written();
        while !written.is_closed {
            written = match written.since.map(|since| self.left(since)) {
                None => self.changed.wait(written).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    // Whoever tells the next fact is told of it, or of the order that overtook one.
                    if let Err(fault) = self.write(&mut written) {
                        tracing::debug!("what was delivered is recorded later: {fault}");
                    }
                    written.since = None;
                    written
                }
                Some(left) => self.changed.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// How long what waits since then may still wait.
    fn left(&self, since: Length) -> Duration {
        let waited = self.context.clock.uptime().as_std().saturating_sub(since.as_std());
        WAITS_MAX.saturating_sub(waited)
    }

    /// Nothing more is told when this is dropped.
    pub(super) const fn closing(&self) -> Closing<'_, 'n> {
        Closing(self)
    }

    /// Records what waits.
    pub(super) fn finish(&self) -> Result<(), LedgerFault> {
        let mut written = self.written();
        match self.write(&mut written) {
            Err(fault) if lacks_room(self.context, &fault) => self.write(&mut written),
            done => done,
        }
    }

    /// Records what waits; keeps it waiting when it cannot be recorded.
    fn write(&self, written: &mut Written<'n>) -> Result<(), LedgerFault> {
        if written.waiting.is_empty() {
            return Ok(());
        }
        let at = self.context.clock.now();
        let done = self.context.ledger.lock().record_deliveries(&written.waiting, at);
        if matches!(done, Err(LedgerFault::Overtaken { .. })) && written.waiting.len() > 1 {
            // A person has ordered something else of one file: nothing is begun, and what became of the others stands.
            let known = std::mem::take(&mut written.waiting).into_iter().filter(|told| !told.fact.is_intent());
            let mut known = known.collect::<Vec<_>>().into_iter();
            while let Some(told) = known.next() {
                written.waiting = vec![told];
                match self.write(written) {
                    Ok(()) => {}
                    Err(LedgerFault::Overtaken { name }) => {
                        let partner = &self.target.partner.id;
                        tracing::warn!(%partner, file = %name, "a person's order came before what became of it was recorded");
                        written.waiting.clear();
                    }
                    Err(fault) => {
                        written.waiting.extend(known);
                        return Err(fault);
                    }
                }
            }
            return done;
        }
        done?;
        written.since = None;
        let told = std::mem::take(&mut written.waiting);
        let followed = told.iter().try_for_each(|told| self.follow(told, written));
        if told.iter().any(|told| told.fact.may_show()) {
            // Only what the archive's log names may have been seen by the partner, should the ledger be lost.
            self.context.ledger.tell(self.context.clock.now())?;
        }
        followed
    }

    /// What others want to know of a fact that was recorded.
    fn follow(&self, told: &Told<'_>, written: &mut Written<'n>) -> Result<(), LedgerFault> {
        let (partner, file) = (&self.target.partner.id, told.file);
        let next = told.state.clone().apply(&told.fact).map_err(|fault| LedgerFault::Row(fault.to_string()))?;
        if let FileState::Delivered { proof } = &next {
            tracing::info!(%partner, file = %file.name, bytes = file.bytes, how = proof.how.as_str(), "file delivered");
            self.context.progress.delivered(partner.as_str(), file.name.as_str());
            written.delivered += 1;
        }
        if let FileState::Held { reason, .. } = &next {
            tracing::warn!(%partner, file = %file.name, ?reason, "file held");
        }
        damage::report(self.context, file, &next)?;
        written.states.insert(file.row, next);
        Ok(())
    }
}

/// Ends [`Notes::keep_up`].
pub(super) struct Closing<'c, 'n>(&'c Notes<'n>);

impl Drop for Closing<'_, '_> {
    fn drop(&mut self) {
        self.0.written().is_closed = true;
        self.0.changed.notify_all();
    }
}

/// Facts that a look at the server finds again, should they be lost.
const fn is_outcome(fact: &DeliveryFact) -> bool {
    matches!(fact, DeliveryFact::UploadVerified { .. } | DeliveryFact::RenameConfirmed(_))
}

/// The fact with paths as the ledger keeps them.
fn kept(partner: &PartnerConfig, server: usize, mut fact: DeliveryFact) -> DeliveryFact {
    if let DeliveryFact::UploadIntended { temporary: path, .. }
    | DeliveryFact::RenameConfirmed(Proof { name: path, .. }) = &mut fact
    {
        *path = partner.kept_path(server, path);
    }
    fact
}
