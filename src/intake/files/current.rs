//! The file that is being read, piece by piece and to its end.

use super::keeping::Keeping;
use super::{Blocked, FileSource, HD_TRAILER, HD_UNFIT, HD_UNREADABLE, visible_since};
use crate::disk::{Disk, Entry};
use crate::domain::time::UtcTime;
use crate::intake::ahead::Reading;
use crate::intake::input::{OpenInput, Piece};
use crate::intake::{IntakeFault, KnownInput, Step};
use crate::record::Accepted;

/// A file that is being read.
pub(super) struct Current {
    pub(super) entry: Entry,
    pub(super) state: State,
    pub(super) duplicate: bool,
    pub(super) keeping: Keeping,
}

/// How far it is.
pub(super) enum State {
    Reading(Reading),
    /// Everything was handed out but the note that it is finished.
    Ended(Box<OpenInput>),
}

impl FileSource {
    pub(super) fn read_current(&mut self, disk: &dyn Disk, now: UtcTime) -> Result<Option<Step>, IntakeFault> {
        while let Some(Current { entry, state, duplicate, keeping }) = self.current.take() {
            let read = match state {
                State::Ended(input) => return self.finish(disk, &entry, &input, duplicate, now),
                State::Reading(mut reading) => match reading.next(&self.id, now) {
                    Ok(Piece::End) => match reading.into_input() {
                        Ok(input) => match self.at_end(disk, &entry, input, now)? {
                            Some((piece, input)) => Ok((piece, State::Ended(input))),
                            None => return Ok(None),
                        },
                        Err(error) => Err(error),
                    },
                    Ok(piece) => Ok((piece, State::Reading(reading))),
                    Err(error) => Err(error),
                },
            };
            match read {
                Ok((Piece::Batch(mut batch), state)) => {
                    let keeping = self.keep(disk, &entry, keeping, &mut batch)?;
                    self.current = Some(Current { entry, state, duplicate, keeping });
                    let accepted = Accepted::Batch(*batch);
                    let step = if duplicate { Step::Duplicate(accepted) } else { Step::Accepted(accepted) };
                    return Ok(Some(step));
                }
                Ok((Piece::Nothing | Piece::End, state)) => {
                    self.current = Some(Current { entry, state, duplicate, keeping });
                }
                Ok((Piece::Unfit(reason), _)) => {
                    self.block(&entry, HD_UNFIT, &format!("is not in the source's format: {reason}"));
                }
                Err(error) => self.block(&entry, HD_UNREADABLE, &format!("cannot be read to its end: {error}")),
            }
        }
        Ok(None)
    }

    /// What comes at the end of an input; `None` when nothing does now.
    fn at_end(
        &mut self,
        disk: &dyn Disk,
        entry: &Entry,
        mut input: Box<OpenInput>,
        now: UtcTime,
    ) -> Result<Option<(Piece, Box<OpenInput>)>, IntakeFault> {
        if self.is_log() && !self.logs.is_over(input.name()) {
            if input.has_partial_record() {
                let since = visible_since(&entry.stat, now);
                self.unread_since = Some(self.unread_since.map_or(since, |earlier| earlier.min(since)));
            }
            self.keep_open(*input);
            return Ok(None);
        }
        // What looks like a last line without line end may be half of one that is still being written.
        if self.has_changed(disk, entry)? {
            return Ok(None);
        }
        let piece = input.end(&self.id, now);
        Ok(Some((piece, input)))
    }

    fn finish(
        &mut self,
        disk: &dyn Disk,
        entry: &Entry,
        input: &OpenInput,
        duplicate: bool,
        now: UtcTime,
    ) -> Result<Option<Step>, IntakeFault> {
        let path = &entry.path;
        if self.has_changed(disk, entry)? {
            return Ok(None);
        }
        let stat = disk.stat(path).map_err(self.fault("look at", path))?.unwrap_or(entry.stat);
        let name = self.input_name(entry);
        if let Some(problem) = input.trailer_problem() {
            // Its records are accepted, but the file is not finished: every pass says so until it is put right.
            let message = format!("{name}: {problem}");
            let hint = "the hours of this source wait; when the file is as it should be, take it away".to_owned();
            self.blocked.insert(name, Blocked { code: HD_TRAILER, message, hint, stat });
            return Ok(None);
        }
        if let Some(numbers) = &mut self.numbers {
            numbers.note_read(&name);
        }
        self.done.insert(name, (stat.bytes, stat.modified_nanos));
        self.logs.finish(entry);
        self.unsettled.push(path.clone());
        let finished = input.finished(&self.id, stat.bytes, stat.modified_nanos, now);
        self.unrecorded.push(KnownInput {
            name: finished.input.clone(),
            bytes: finished.bytes,
            modified_nanos: finished.modified_nanos,
            hash: finished.hash,
        });
        let finished = Accepted::Finished(finished);
        Ok(Some(if duplicate { Step::Duplicate(finished) } else { Step::Accepted(finished) }))
    }
}
