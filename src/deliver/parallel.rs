//! Several sessions upload the files of a group at once, under their temporary names. None of them shows a name: that
//! is left to [`super::deliver_batches`], file by file in their order.

use super::life::Life;
use super::{BatchFault, BatchOutcome, Caller, DeliverFault, FileToDeliver, Surroundings, TemporaryPlace};
use crate::domain::delivery::{DeliveryFact, FileState};
use crate::domain::disposition::Disposition;
use crate::remote::{Remote, RemoteFault};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

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

    fn lost(&self, what: &str, fault: &dyn std::fmt::Display) {
        self.gone.fetch_add(1, Ordering::Relaxed);
        tracing::info!("a further session {what}, the others go on: {fault}");
    }
}

/// Uploads those files that wait for it, by `first` and more sessions, each next one by whoever is free. The first
/// does something else before; when that stops, no further upload is begun. A fault of a further session ends that session, and its file is left to whoever delivers the batch. Files have the
/// state then that they came to.
///
/// # Errors
/// [`BatchFault`] of the first session, or of a record: nothing more is begun, and what was begun is at its end.
pub(super) fn upload_parts<E: Send + std::fmt::Display>(
    first: &mut dyn Remote,
    more: &MoreSessions<'_>,
    parts: &mut [FileToDeliver],
    caller: &Caller<'_, E>,
    before: impl FnOnce(&mut dyn Remote) -> Result<Option<BatchOutcome>, BatchFault<E>>,
) -> Result<Option<BatchOutcome>, BatchFault<E>> {
    let count = parts.iter().filter(|file| waits(file)).count();
    if !parts.iter().any(|file| file.is_announced) && (count < 2 || more.left() == 0) {
        // One after the other, each shown as soon as it is uploaded.
        return before(first);
    }
    let mut stopped = None;
    let files: Vec<Mutex<&mut FileToDeliver>> = parts.iter_mut().map(Mutex::new).collect();
    let queue =
        Queue { files: &files, next: AtomicUsize::new(0), stopped: Mutex::new(None), is_over: AtomicBool::new(false) };
    thread::scope(|scope| {
        for _ in 0..more.left().min(count.saturating_sub(1)) {
            scope.spawn(|| {
                let mut session = match more.take() {
                    Ok(session) => session,
                    Err(fault) => return more.lost("cannot be opened", &fault),
                };
                match queue.work(session.as_mut(), caller) {
                    Ok(()) => more.idle().push(session),
                    // What is recorded says where the one who delivers goes on.
                    Err(failed) if failed.fault.disposition() != Disposition::Stop => more.lost("was lost", &failed),
                    Err(failed) => queue.stop(failed),
                }
            });
        }
        let done = before(first).and_then(|done| {
            stopped = done;
            if stopped.is_none() { queue.work(first, caller) } else { Ok(()) }
        });
        queue.is_over.store(true, Ordering::Relaxed);
        if let Err(failed) = done {
            queue.stop(failed);
        }
    });
    let failed = queue.stopped.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(stopped), Err)
}

/// The files, of which each is taken once.
struct Queue<'a, E> {
    files: &'a [Mutex<&'a mut FileToDeliver>],
    next: AtomicUsize,
    stopped: Mutex<Option<BatchFault<E>>>,
    /// No further one is to be begun.
    is_over: AtomicBool,
}

impl<E> Queue<'_, E> {
    fn stop(&self, failed: BatchFault<E>) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failed);
    }

    fn is_stopped(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.stopped.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Uploads one file after the other until there is none left.
    fn work(&self, session: &mut dyn Remote, caller: &Caller<'_, E>) -> Result<(), BatchFault<E>> {
        while !self.is_stopped() {
            let Some(slot) = self.files.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return Ok(()) };
            let mut file = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if !waits(&file) {
                continue;
            }
            if file.is_announced
                && let Err(fault) = (caller.allow)(&file)
            {
                return Err(BatchFault { name: file.name.clone(), fault: DeliverFault::Record(fault) });
            }
            let begun = file.clone();
            file.is_announced = false;
            if let Err(fault) = upload_one(session, &begun, caller, &mut file.state) {
                return Err(BatchFault { name: begun.name, fault });
            }
            file.is_compared = matches!(file.state, FileState::Uploaded { .. });
        }
        Ok(())
    }
}

/// What is uploaded already is for whoever delivers: after a restart it is looked at again.
fn waits(file: &FileToDeliver) -> bool {
    matches!(file.state, FileState::Pending { .. } | FileState::Uploading { .. })
        && file.temporary != TemporaryPlace::Nowhere
}

/// Uploads one file; `state` follows every fact that was recorded.
fn upload_one<E>(
    session: &mut dyn Remote,
    file: &FileToDeliver,
    caller: &Caller<'_, E>,
    state: &mut FileState,
) -> Result<(), DeliverFault<E>> {
    let mut body = || (caller.open)(file);
    let mut record = |fact: DeliveryFact| {
        (caller.record)(&[(file, fact.clone())])?;
        if let Ok(next) = state.clone().apply(&fact) {
            *state = next;
        }
        Ok(())
    };
    let (mut pause, mut progress) = (|look: u32| (caller.pause)(look), |_bytes: u64| {});
    let mut around = Surroundings { clock: caller.clock, pause: &mut pause, progress: &mut progress };
    Life::new(session, file, &mut body, &mut record, &mut around).run_to_upload().map(drop)
}
