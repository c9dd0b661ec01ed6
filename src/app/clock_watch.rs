//! What is done when the wall clock jumps: nothing is sealed until it is right again, or a person accepts it.
//!
//! The exporter lives by a time of its own: the wall clock as it was last believed, carried on by the time since the
//! machine was started. A jump between two looks moves neither the time at which records are accepted nor the age of
//! archived files. Input is read on, and what is sealed is delivered; only after a restart of the machine with a clock
//! behind the last time seen nothing is read either, since nobody can say then which records lie in the future.
//!
//! The last look is kept in the ledger, about once a minute and before anything is sealed, so a jump while the program
//! was not running is noticed as well.

use super::exporter::Exporter;
use super::fault::ExporterFault;
use super::intake::IntakeCounts;
use super::sealing::SealCounts;
use super::space::Work;
use crate::clock::Clock;
use crate::clock::agreement::{Jump, Mark, Reading};
use crate::domain::time::{Length, UtcTime};
use crate::ledger::{Ledger, LedgerFault};
use crate::seal::closing::Horizon;

/// The alarm of a wall clock that is not believed.
pub const HD_CLOCK: &str = "HD0501";
const SUBJECT: &str = "clock";
/// How often the last look is stored.
const SAVED_EVERY: Length = Length::from_seconds(60);

/// The last look at the clocks.
#[derive(Debug, Clone)]
pub struct ClockWatch {
    mark: Mark,
    /// Uptime at which the mark was stored; `None`: it is not.
    saved: Option<Length>,
    max: Length,
}

impl ClockWatch {
    /// Looks at the clocks for the first time and compares them with the last look in the ledger.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn start(ledger: &Ledger, clock: &dyn Clock, max: Length) -> Result<Self, LedgerFault> {
        Ok(Self { mark: compared(ledger, clock, max)?, saved: None, max })
    }

    /// The time the exporter lives by.
    #[must_use]
    pub fn now(&self, clock: &dyn Clock) -> UtcTime {
        self.mark.time_at(clock.uptime())
    }

    /// Compares again; true when the wall clock has come to be believed or not believed.
    fn look(&mut self, clock: &dyn Clock) -> bool {
        let next = self.mark.next(Reading::of(clock), self.max);
        let changed = next.jump != self.mark.jump;
        self.mark = next;
        changed
    }
}

/// The clocks now, compared with the last look in the ledger.
///
/// # Errors
/// [`LedgerFault`].
pub fn compared(ledger: &Ledger, clock: &dyn Clock, max: Length) -> Result<Mark, LedgerFault> {
    let seen = Reading::of(clock);
    let Some(text) = ledger.clock_mark()? else { return Ok(Mark::believed(seen)) };
    let mark = Mark::parse(&text).ok_or_else(|| LedgerFault::Row("the last look at the clock".to_owned()))?;
    Ok(mark.next(seen, max))
}

/// `2h ahead`, `1d behind`: the wall clock against the right time.
#[must_use]
pub fn words(jump: &Jump) -> String {
    let least = if jump.restarted { "at least " } else { "" };
    format!("{least}{} {}", jump.length(), if jump.by > 0 { "ahead" } else { "behind" })
}

fn alarm(jump: &Jump) -> (&'static str, String, String) {
    let noticed = utc_text(jump.noticed);
    let message = if jump.restarted {
        format!(
            "the machine was restarted and its clock is {} the last time seen, {noticed}: nothing is read or sealed",
            words(jump)
        )
    } else {
        format!("the clock is {} since {noticed}: nothing is sealed until it is right again", words(jump))
    };
    let hint = "set the clock right and it goes on by itself; if the new time is the right one: \
                hourdrop accept-clock --reason ...";
    (HD_CLOCK, message, hint.to_owned())
}

fn utc_text(at: UtcTime) -> String {
    crate::domain::period::Zone::UTC.clock_text(at.seconds(), "%Y-%m-%dT%H:%M:%SZ")
}

impl Exporter {
    /// The time the exporter lives by: the wall clock as it was last believed, carried on.
    pub(super) fn now(&self) -> UtcTime {
        self.watch.now(self.clock.as_ref())
    }

    /// The time up to which a look at a source speaks: while the clocks disagree the earlier one, since files carry
    /// times of the wall clock.
    pub(super) fn look_time(&self) -> UtcTime {
        self.now().min(self.clock.now())
    }

    /// Reads the sources, unless nobody can say which time it is.
    pub(super) fn read_in_time(&mut self, bytes_max: u64) -> Result<IntakeCounts, ExporterFault> {
        self.look_at_clock()?;
        if self.watch.mark.knows_the_time() { self.read_sources(bytes_max) } else { self.read_nothing() }
    }

    /// Seals what is due, unless the wall clock is not believed.
    pub(super) fn seal_in_time(&mut self, horizon: Horizon) -> Result<SealCounts, ExporterFault> {
        if !self.look_at_clock()? {
            return Ok(SealCounts::default());
        }
        self.seal_due(self.now(), horizon)
    }

    /// Stores the last look, before anything is sealed by it.
    pub(super) fn save_clock(&mut self) -> Result<(), ExporterFault> {
        let uptime = self.watch.mark.seen.uptime;
        if self.watch.saved != Some(uptime) {
            self.ledger.lock().set_clock_mark(&self.watch.mark.to_text())?;
            self.watch.saved = Some(uptime);
        }
        Ok(())
    }

    /// Compares the clocks; true when the wall clock is believed.
    fn look_at_clock(&mut self) -> Result<bool, ExporterFault> {
        let changed = self.watch.look(self.clock.as_ref());
        let jump = self.watch.mark.jump;
        let uptime = self.watch.mark.seen.uptime;
        let is_old = self.watch.saved.is_none_or(|saved| uptime.nanos() - saved.nanos() >= SAVED_EVERY.nanos());
        if changed || is_old {
            let told = self.set_alarms(SUBJECT, jump.as_ref().map(alarm).as_slice()).and_then(|()| self.save_clock());
            if let Err(fault) = told {
                self.wait_for_room(fault, Work::Reading)?;
            }
        }
        Ok(jump.is_none())
    }

    /// A person says that the wall clock is right: sealing goes on by it. Gives what was wrong before; `None` when
    /// nothing was.
    ///
    /// # Errors
    /// [`ExporterFault`] when the ledger refuses.
    pub fn accept_clock(&mut self, reason: &str) -> Result<Option<String>, ExporterFault> {
        self.look_at_clock()?;
        let Some(jump) = self.watch.mark.jump else { return Ok(None) };
        let before = words(&jump);
        let mark = Mark::believed(Reading::of(self.clock.as_ref()));
        let detail = format!("it was {before} since {}: {reason}", utc_text(jump.noticed));
        self.ledger.lock().accept_clock_mark(&mark.to_text(), &detail, mark.expected)?;
        self.watch.mark = mark;
        self.watch.saved = Some(self.watch.mark.seen.uptime);
        self.set_alarms(SUBJECT, &[])?;
        Ok(Some(before))
    }
}
