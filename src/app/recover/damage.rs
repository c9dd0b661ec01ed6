//! A journal that is damaged: what its frames would have held is named, the files are put aside and mended as by
//! `spool salvage`, and hours that may lack records wait for a person.
//!
//! When the old ledger is whole and the archive's log knows no more than it, frames behind the last one that it has
//! applied were never acknowledged, and a torn end is cut as at any start. Otherwise nobody knows what was: everything
//! that does not pass its checksum is kept aside, and whole frames behind it stay.

use super::{RecoverFault, Recovery};
use crate::app::feeds;
use crate::app::journal::mended_words;
use crate::app::store;
use crate::domain::ids::Lsn;
use crate::domain::time::UtcTime;
use crate::feed::pending::FeedHours;
use crate::format::decode::frames::FrameReader;
use crate::ledger::Ledger;
use crate::record::Accepted;
use crate::spool::frame::Frame;
use crate::spool::lost::KIND_LOST;
use crate::spool::salvage::{finish_interrupted, salvage};
use crate::spool::survey::{Damage, Known, Survey, survey};
use crate::spool::{Spool, SpoolFault};
use std::path::PathBuf;
use std::sync::Arc;

/// The journal as it was found.
pub(super) struct FoundJournal {
    dir: PathBuf,
    /// Its damage is what has to be mended.
    survey: Survey,
    /// The first frame that is there, or would be.
    pub first: Lsn,
    /// The last one that is there when it is mended; before `first` when there is none.
    pub durable: Lsn,
    /// Frames that are lost, or were mended before.
    lost: Vec<(Lsn, Lsn)>,
    known: Known,
}

impl Recovery<'_> {
    /// Looks at every byte and changes nothing, but for what an interrupted salvage has left.
    pub(super) fn look_at_journal(&mut self, applied: Lsn) -> Result<FoundJournal, RecoverFault> {
        let dir = self.config.state.join("journal");
        let known = Known { freed: Lsn(0), durable: applied };
        let (survey_of_none, lost) = (Survey::default(), Vec::new());
        let mut found = FoundJournal { dir, survey: survey_of_none, first: Lsn(1), durable: Lsn(0), lost, known };
        if self.disk().stat(&found.dir).map_err(store::disk_fault("look at", &found.dir))?.is_none() {
            return Ok(found);
        }
        if !self.orders.dry_run {
            finish_interrupted(self.disk(), &found.dir)?;
        }
        let mut stated = applied;
        let mut look = |frame: &Frame<'_>| {
            stated = stated.max(frame.durable);
            // Also by a recovery that did not come to its end.
            if frame.kind == KIND_LOST {
                found.lost.push((frame.lsn, frame.lsn));
            }
        };
        let mut survey = survey(self.disk(), &found.dir, self.id, known, &mut look)?;
        // Frames that are not there, with nothing in their place, are filled in: there is nothing to put aside.
        survey.forgive_early_end();
        let last_file = survey.segments.last().map(|segment| segment.path.clone());
        let is_torn = |damage: &Damage| damage.first > stated && Some(&damage.path) == last_file.as_ref();
        let mut end = None;
        if self.acknowledged.is_some() && survey.damage.iter().all(is_torn) {
            end = survey.damage.first().map(|damage| damage.first);
            survey.damage.clear();
        } else if self.acknowledged.is_none() {
            self.report.torn_bytes = survey.doubt_torn_end();
        }
        if let Some(Damage { path, offset, first, what, .. }) = survey.damage.iter().find(|damage| !damage.is_mendable)
        {
            return Err(SpoolFault::Damaged { path: path.clone(), offset: *offset, lsn: *first, what }.into());
        }
        let is_kept = |path| survey.damage.iter().any(|damage| &damage.path == path);
        let mut kept = survey.segments.iter().filter(|segment| segment.is_begun || is_kept(&segment.path)).peekable();
        let lost = survey.damage.iter().filter(|damage| damage.frames() > 0);
        let first = kept.peek().map(|segment| segment.first).into_iter().chain(lost.clone().map(|damage| damage.first));
        found.first = first.min().unwrap_or(Lsn(1));
        let last = kept.map(|segment| segment.frames.last().map_or(before(segment.first), |frame| frame.lsn));
        let last = last.chain(lost.map(|damage| damage.last)).max().unwrap_or(Lsn(0));
        found.durable = end.map_or(last, |end| last.min(before(end)));
        let ranges = survey.damage.iter().filter(|damage| damage.frames() > 0);
        found.lost.extend(ranges.map(|damage| (damage.first, damage.last)));
        self.report.damaged.clone_from(&survey.damage);
        self.report.damaged.pop_if(|_| self.report.torn_bytes > 0);
        found.survey = survey;
        Ok(found)
    }

    /// Mends what is damaged, and opens the journal.
    pub(super) fn open_journal(&mut self, ledger: &mut Ledger, found: &FoundJournal) -> Result<Spool, RecoverFault> {
        let disk = Arc::clone(&self.world.disk);
        if !found.survey.damage.is_empty() {
            let aside = self.config.state.join("damaged");
            let mended = salvage(disk.as_ref(), &found.dir, &aside, self.id, &found.survey)?;
            let left = survey(disk.as_ref(), &found.dir, self.id, found.known, &mut |_| {})?;
            if let Some(damage) = left.damage.into_iter().find(|damage| damage.first <= found.durable) {
                let (path, offset, lsn, what) = (damage.path, damage.offset, damage.first, damage.what);
                return Err(SpoolFault::Damaged { path, offset, lsn, what }.into());
            }
            let reason = &self.orders.reason;
            let details: Vec<String> = mended.iter().map(|one| format!("{}: {reason}", mended_words(one))).collect();
            ledger.note_salvage(&details, self.now)?;
            self.report.aside.extend(mended.into_iter().filter_map(|one| one.aside));
        }
        // Frames up to here are known to be there: the journal is not cut before them.
        let expected = found.known.durable.min(found.durable);
        Ok(Spool::open(disk, &found.dir, self.id, self.world.limits, expected)?)
    }

    /// What was lost of frames that the ledger has applied is missed when their hours are sealed. Of others nobody knows
    /// what they held: every hour that is open waits for a person.
    pub(super) fn hold_damaged(&self, ledger: &mut Ledger, found: &FoundJournal) -> Result<(), RecoverFault> {
        let applied = ledger.applied()?;
        let unknown = || found.lost.iter().filter(|(_, last)| *last > applied);
        let first = unknown().map(|(first, _)| applied.next().max(*first)).min();
        let last = unknown().map(|(_, last)| *last).max();
        let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
        let (feeds, latest) = self.open_hours(ledger, found)?;
        for feed in feeds {
            let pending = || feed.pending.values().map(|hour| hour.partition);
            let current = feed.definition().period.partition_at(latest);
            let begin = pending().map(|hour| hour.start).min().unwrap_or(current.start);
            let end = pending().map(|hour| hour.end).max().unwrap_or(current.end).max(current.end);
            self.hold_hours(ledger, feed.id(), Some(begin), end, &|_| {
                format!(
                    "accepted records may be lost with damaged frames of the journal between lsn {first} and {last}"
                )
            })?;
        }
        Ok(())
    }

    /// The feeds with the hours that good frames hold records of, and when the last of these was accepted.
    fn open_hours(&self, ledger: &Ledger, found: &FoundJournal) -> Result<(Vec<FeedHours>, UtcTime), RecoverFault> {
        let known = self.config.feeds().map(|definition| feeds::known(ledger, definition, found.first));
        let mut feeds = known.collect::<Result<Vec<_>, _>>()?;
        let (mut latest, mut frames) = (None, FrameReader::default());
        survey(self.disk(), &found.dir, self.id, found.known, &mut |frame| {
            if frame.kind == KIND_LOST {
                return;
            }
            match frames.read(frame.kind, frame.payload) {
                Ok(Accepted::Batch(batch)) => {
                    latest = latest.max(Some(batch.accepted_at));
                    for feed in feeds.iter_mut().filter(|feed| feed.takes(&batch)) {
                        // A record that the feed cannot place is named when the journal is read at the next start.
                        feed.note(&batch, frame.lsn);
                    }
                }
                Ok(Accepted::Finished(finished)) => latest = latest.max(Some(finished.accepted_at)),
                // So is a frame that cannot be read.
                Err(_) => {}
            }
        })?;
        Ok((feeds, latest.unwrap_or(self.now)))
    }
}

const fn before(lsn: Lsn) -> Lsn {
    Lsn(lsn.0.saturating_sub(1))
}
