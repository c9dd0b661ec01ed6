//! Standard input as a source. A thread reads; what it read waits in a channel of a few pieces, so a fast sender is
//! slowed down and memory stays bounded.
//!
//! There is no position to go back to: the sender is told how many records are durable (`accepted=N`) and goes on
//! behind them after a restart.

use super::input::{InputFormat, OpenInput, Piece, STEP_BYTES};
use super::{InputHistory, IntakeFault, Source, Step};
use crate::disk::Disk;
use crate::domain::ids::SourceId;
use crate::domain::time::UtcTime;
use crate::format::decode::spec::ReadSpec;
use crate::format::dialect::Dialect;
use crate::record::Accepted;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

const PIECES_WAITING: usize = 8;

/// How far the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    /// Its last record is handed out.
    Ended,
    /// Its end is handed out, too.
    Over,
}

/// Standard input.
pub struct StdinSource {
    id: SourceId,
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// `once` reads to the end; `run` takes what is there.
    to_the_end: bool,
    input: OpenInput,
    looked_at: UtcTime,
    phase: Phase,
    /// Nothing was waiting when it was looked last.
    drained: bool,
    bytes: u64,
    failure: Option<String>,
}

impl StdinSource {
    /// Begins to read `reader` in a thread, which tells `wake` of everything that came. `to_the_end` makes [`Source::step`] wait for more until it ends.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        id: SourceId,
        dialect: &Dialect,
        read: &Arc<ReadSpec>,
        reader: Box<dyn Read + Send>,
        to_the_end: bool,
        wake: Option<SyncSender<()>>,
    ) -> io::Result<Self> {
        let (sender, pieces) = sync_channel(PIECES_WAITING);
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || pump(reader, sender, wake.as_ref()))?;
        let format = InputFormat { source: &id, name: "stdin", dialect, read };
        let input = OpenInput::open(&format, Box::new(io::empty()), None)?;
        Ok(Self {
            id,
            pieces,
            to_the_end,
            input,
            looked_at: UtcTime::MIN,
            phase: Phase::Reading,
            drained: false,
            bytes: 0,
            failure: None,
        })
    }

    fn next_piece(&mut self) -> Option<io::Result<Vec<u8>>> {
        if self.to_the_end {
            return self.pieces.recv().ok();
        }
        match self.pieces.try_recv() {
            Ok(piece) => Some(piece),
            Err(TryRecvError::Empty) => Some(Ok(Vec::new())),
            Err(TryRecvError::Disconnected) => None,
        }
    }
}

fn pump(mut reader: Box<dyn Read + Send>, sender: SyncSender<io::Result<Vec<u8>>>, wake: Option<&SyncSender<()>>) {
    // Who is awake already, or waits for nothing, needs not be told.
    let tell = || {
        if let Some(wake) = wake {
            wake.try_send(()).ok();
        }
    };
    let mut buffer = vec![0; STEP_BYTES];
    loop {
        let piece = match reader.read(&mut buffer) {
            Ok(0) => {
                drop(sender);
                return tell();
            }
            Ok(count) => Ok(buffer.get(..count).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if sender.send(piece).is_err() {
            return;
        }
        tell();
        if failed {
            return;
        }
    }
}

impl Source for StdinSource {
    fn id(&self) -> &SourceId {
        &self.id
    }

    fn look(&mut self, _disk: &dyn Disk, _history: &dyn InputHistory, now: UtcTime) -> Result<(), IntakeFault> {
        self.looked_at = now;
        // Something may have come since the last step.
        self.drained = self.phase == Phase::Over;
        Ok(())
    }

    fn step(&mut self, _disk: &dyn Disk, _history: &dyn InputHistory, now: UtcTime) -> Result<Step, IntakeFault> {
        loop {
            if self.phase == Phase::Over {
                self.drained = true;
                return Ok(Step::Idle);
            }
            if self.phase == Phase::Ended {
                self.phase = Phase::Over;
                return Ok(Step::Accepted(Accepted::Finished(self.input.finished(
                    &self.id,
                    self.bytes,
                    now.nanos(),
                    now,
                ))));
            }
            let piece = match self.next_piece() {
                None => {
                    self.phase = Phase::Ended;
                    self.input.end(&self.id, now)
                }
                Some(Ok(bytes)) if bytes.is_empty() => {
                    self.drained = true;
                    return Ok(Step::Idle);
                }
                Some(Ok(bytes)) => {
                    self.drained = false;
                    self.bytes += bytes.len() as u64;
                    self.input.push(&bytes, &self.id, now)
                }
                Some(Err(cause)) => {
                    self.failure = Some(format!("standard input cannot be read: {cause}"));
                    let path = PathBuf::from("stdin");
                    return Err(IntakeFault::Io { source_id: self.id.clone(), operation: "read", path, cause });
                }
            };
            match piece {
                Piece::Batch(batch) => return Ok(Step::Accepted(Accepted::Batch(*batch))),
                Piece::Unfit(reason) => {
                    self.phase = Phase::Over;
                    self.failure = Some(format!("standard input is not in the source's format: {reason}"));
                }
                Piece::Nothing | Piece::End => {}
            }
        }
    }

    fn settle(&mut self, _disk: &dyn Disk) -> Result<(), IntakeFault> {
        Ok(())
    }

    fn leaves_nothing(&self) -> bool {
        true
    }

    fn caught_up_to(&self) -> UtcTime {
        if self.failure.is_some() || !self.drained { UtcTime::MIN } else { self.looked_at }
    }

    fn alarms(&self) -> Vec<(&'static str, String, String)> {
        let hint = "send it again behind the last accepted=N";
        self.failure.iter().map(|failure| ("HD0406", failure.clone(), hint.to_owned())).collect()
    }

    fn unread_bytes(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Problems};
    use crate::domain::ids::{HashedBy, InputHash};
    use crate::format::spec::read_format;
    use crate::intake::{InputHistory, KnownInput, ReadPosition};

    struct Nothing;

    impl InputHistory for Nothing {
        fn finished(&self, _: &SourceId, _: &str) -> Result<Option<KnownInput>, String> {
            Ok(None)
        }
        fn with_content(
            &self,
            _: &SourceId,
            _: u64,
            _: &mut dyn FnMut(HashedBy) -> io::Result<InputHash>,
        ) -> Result<Option<KnownInput>, String> {
            Ok(None)
        }
        fn position(&self, _: &SourceId, _: &str) -> Result<Option<ReadPosition>, String> {
            Ok(None)
        }
        fn unfinished(&self, _: &SourceId) -> Result<Vec<String>, String> {
            Ok(Vec::new())
        }
        fn latest_names(&self, _: &SourceId, _: u32) -> Result<Vec<String>, String> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_look_alone_does_not_say_that_everything_was_read() {
        let text = include_str!("../../formats/kamailio-acc-cdrs.toml").to_owned();
        let format = read_format(Document { name: "f".to_owned(), text }, "f", &Problems::default()).expect("a format");
        let read = format.read.clone().expect("it reads");
        let (reader, _writer) = io::pipe().expect("a pipe");
        let id = SourceId::parse("in").expect("name");
        let mut source =
            StdinSource::start(id, &format.dialect, &read, Box::new(reader), false, None).expect("a source");
        let at = |second| UtcTime::from_seconds(second).expect("range");
        let disk = crate::disk::RealDisk;
        source.look(&disk, &Nothing, at(10)).expect("look");
        assert!(matches!(source.step(&disk, &Nothing, at(10)), Ok(Step::Idle)));
        assert_eq!(source.caught_up_to(), at(10));
        // While nothing is read for lack of room, records may wait in the pipe.
        source.look(&disk, &Nothing, at(20)).expect("look");
        assert_eq!(source.caught_up_to(), UtcTime::MIN);
        assert!(matches!(source.step(&disk, &Nothing, at(20)), Ok(Step::Idle)));
        assert_eq!(source.caught_up_to(), at(20));
    }

    #[test]
    fn who_waits_is_woken_by_what_comes_and_by_the_end() {
        let text = include_str!("../../formats/kamailio-acc-cdrs.toml").to_owned();
        let format = read_format(Document { name: "f".to_owned(), text }, "f", &Problems::default()).expect("a format");
        let read = format.read.clone().expect("it reads");
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let (waker, wake) = sync_channel(1);
        let id = SourceId::parse("in").expect("name");
        let source = StdinSource::start(id, &format.dialect, &read, Box::new(reader), false, Some(waker));
        let source = source.expect("a source");
        let long = std::time::Duration::from_mins(1);
        io::Write::write_all(&mut writer, b"1|2").expect("written");
        assert_eq!(wake.recv_timeout(long), Ok(()), "something came");
        drop(writer);
        // The thread has ended when nobody can be woken any more; it has told of the end before.
        assert_eq!(wake.recv_timeout(long), Ok(()), "it is over");
        assert!(wake.recv_timeout(long).is_err(), "the thread has ended");
        drop(source);
    }
}
