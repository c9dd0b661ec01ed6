//! Several sessions upload files at once, under their temporary names. None of them shows a name: that is left to
//! [`super::deliver_batches`], file by file in their order.
//!
//! Whoever delivers puts files in line ([`Uploads::add`]), takes some of them itself, and gets them back with the states
//! that they came to ([`Uploads::collect`]). Further sessions take one after the other meanwhile. A session that is lost
//! is done, and its file goes back to whoever delivers, who finds out what became of it.

use super::life::Life;
use super::{BatchFault, Caller, DeliverFault, FileToDeliver, Surroundings, TemporaryPlace};
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::disposition::Disposition;
use crate::remote::{Remote, RemoteFault};
use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Opens one more session.
pub type OpenSession<'a> = dyn Fn() -> Result<Box<dyn Remote>, RemoteFault> + Sync + 'a;

/// The sessions besides the first one. A server that has no room for one more gets fewer: that is no failure.
pub struct MoreSessions<'a> {
    open: &'a OpenSession<'a>,
    most: usize,
    /// Sessions that were lost or refused: nobody tries again.
    gone: AtomicUsize,
    /// Sessions that are open and have nothing to do.
    idle: Mutex<Vec<Box<dyn Remote>>>,
}

impl<'a> MoreSessions<'a> {
    /// At most so many.
    #[must_use]
    pub fn new(most: usize, open: &'a OpenSession<'a>) -> Self {
        Self { open, most, gone: AtomicUsize::new(0), idle: Mutex::default() }
    }

    pub(super) fn left(&self) -> usize {
        self.most.saturating_sub(self.gone.load(Ordering::Relaxed))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Box<dyn Remote>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Box<dyn Remote>, RemoteFault> {
        let idle = self.idle().pop();
        idle.map_or_else(self.open, Ok)
    }

    fn lost(&self, what: &str, fault: &dyn Display) {
        self.gone.fetch_add(1, Ordering::Relaxed);
        tracing::info!("a further session {what}, the others go on: {fault}");
    }
}

/// Files to upload, each of which is taken once, and what became of them.
pub(super) struct Uploads<E> {
    line: Mutex<Line<E>>,
    /// A file was added or is done, or nothing more is to be begun.
    changed: Condvar,
}

struct Line<E> {
    /// Files with their places in the delivery.
    waiting: VecDeque<(usize, FileToDeliver)>,
    done: Vec<(usize, FileToDeliver)>,
    /// A further session met what ends the delivery.
    stopped: Option<BatchFault<E>>,
    is_over: bool,
}

impl<E: Display> Uploads<E> {
    pub(super) const fn new() -> Self {
        let line = Line { waiting: VecDeque::new(), done: Vec::new(), stopped: None, is_over: false };
        Self { line: Mutex::new(line), changed: Condvar::new() }
    }

    fn line(&self) -> MutexGuard<'_, Line<E>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'l>(&self, line: MutexGuard<'l, Line<E>>) -> MutexGuard<'l, Line<E>> {
        self.changed.wait(line).unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts files in line.
    pub(super) fn add(&self, files: impl Iterator<Item = (usize, FileToDeliver)>) {
        self.line().waiting.extend(files);
        self.changed.notify_all();
    }

    /// The files that were uploaded, or tried, since the last call.
    pub(super) fn collect(&self) -> Vec<(usize, FileToDeliver)> {
        std::mem::take(&mut self.line().done)
    }

    /// Whether a further session met what ends the delivery: nothing more is begun, and what is whole is still shown.
    pub(super) fn is_stopped(&self) -> bool {
        self.line().stopped.is_some()
    }

    /// What a further session met that ends the delivery.
    pub(super) fn into_stopped(self) -> Option<BatchFault<E>> {
        self.line.into_inner().unwrap_or_else(PoisonError::into_inner).stopped
    }

    /// Uploads the first file in line if its place is before `end`, or waits until another session is done with one.
    ///
    /// # Errors
    /// [`BatchFault`] when it could not be uploaded; its state is that to which it came.
    pub(super) fn help_once(
        &self,
        session: &mut dyn Remote,
        caller: &Caller<'_, E>,
        end: usize,
    ) -> Result<(), BatchFault<E>> {
        let mut line = self.line();
        while line.done.is_empty() && line.stopped.is_none() {
            if let Some((place, file)) = line.waiting.pop_front_if(|(place, _)| *place < end) {
                drop(line);
                return self.upload(session, place, file, caller);
            }
            line = self.wait(line);
        }
        Ok(())
    }

    /// Uploads one file after the other in a session of its own, until nothing more is to be begun. It is opened when
    /// there is more to do than one can.
    pub(super) fn help(&self, more: &MoreSessions<'_>, caller: &Caller<'_, E>) {
        let mut line = self.line();
        while !line.is_over && line.waiting.len() < 2 {
            line = self.wait(line);
        }
        if line.is_over {
            return;
        }
        drop(line);
        let mut session = match more.take() {
            Ok(session) => session,
            Err(fault) => return more.lost("cannot be opened", &fault),
        };
        while let Some((place, file)) = self.next() {
            match self.upload(session.as_mut(), place, file, caller) {
                Ok(()) => {}
                // What is recorded says where the one who delivers goes on.
                Err(failed) if failed.fault.disposition() != Disposition::Stop => {
                    return more.lost("was lost", &failed);
                }
                Err(failed) => {
                    let mut line = self.line();
                    line.stopped.get_or_insert(failed);
                    line.is_over = true;
                    self.changed.notify_all();
                    return;
                }
            }
        }
        more.idle().push(session);
    }

    /// The next file as soon as there is one.
    fn next(&self) -> Option<(usize, FileToDeliver)> {
        let mut line = self.line();
        while !line.is_over {
            if let Some(next) = line.waiting.pop_front() {
                return Some(next);
            }
            line = self.wait(line);
        }
        None
    }

    fn upload(
        &self,
        session: &mut dyn Remote,
        place: usize,
        file: FileToDeliver,
        caller: &Caller<'_, E>,
    ) -> Result<(), BatchFault<E>> {
        let mut taken = Taken { uploads: self, place, file };
        let done = upload_one(session, &mut taken.file, caller);
        done.map_err(|fault| BatchFault { name: taken.file.name.clone(), fault })
    }

    /// Nothing more is begun when this is dropped.
    pub(super) const fn ending(&self) -> Ending<'_, E> {
        Ending(self)
    }
}

/// A file that a session is busy with: it goes back whatever happens.
struct Taken<'u, E: Display> {
    uploads: &'u Uploads<E>,
    place: usize,
    file: FileToDeliver,
}

impl<E: Display> Drop for Taken<'_, E> {
    fn drop(&mut self) {
        self.uploads.line().done.push((self.place, self.file.clone()));
        self.uploads.changed.notify_all();
    }
}

/// Ends [`Uploads::help`].
pub(super) struct Ending<'u, E: Display>(&'u Uploads<E>);

impl<E: Display> Drop for Ending<'_, E> {
    fn drop(&mut self) {
        self.0.line().is_over = true;
        self.0.changed.notify_all();
    }
}

/// What is uploaded already is for whoever delivers: after a restart it is looked at again.
pub(super) fn waits(file: &FileToDeliver) -> bool {
    matches!(file.state, FileState::Pending { .. } | FileState::Uploading { .. })
        && file.temporary != TemporaryPlace::Nowhere
}

/// Uploads one file; its state follows every fact that was recorded.
fn upload_one<E>(
    session: &mut dyn Remote,
    file: &mut FileToDeliver,
    caller: &Caller<'_, E>,
) -> Result<(), DeliverFault<E>> {
    if file.is_announced {
        (caller.allow)(file).map_err(DeliverFault::Record)?;
    }
    let begun = file.clone();
    file.is_announced = false;
    let mut body = || (caller.open)(&begun);
    let mut record = |fact: DeliveryFact| {
        (caller.record)(&[(&begun, fact.clone())])?;
        if let Ok(next) = file.state.clone().apply(&fact) {
            file.state = next;
        }
        Ok(())
    };
    let (mut pause, mut progress) = (|look: u32| (caller.pause)(look), |_bytes: u64| {});
    let mut around = Surroundings { clock: caller.clock, pause: &mut pause, progress: &mut progress };
    Life::new(session, &begun, &mut body, &mut record, &mut around).run_to_upload()?;
    file.is_compared = matches!(file.state, FileState::Uploaded { .. });
    Ok(())
}
