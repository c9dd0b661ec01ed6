//! A runtime for one session, so that a session can be used from any thread without async code.

use super::{FaultKind, Outcome, RemoteFault};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// How long a good-bye may take.
pub(super) const QUIT_DEADLINE: Duration = Duration::from_secs(1);

/// The runtime of a session.
pub(super) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(super) fn start() -> Result<Self, RemoteFault> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        runtime.map(|runtime| Self(Some(runtime))).map_err(|error| RemoteFault::io(&error, "connect", Outcome::NotDone))
    }

    /// Runs to the end or to the deadline; `None` at the deadline.
    pub(super) fn within<T>(&self, deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
        let runtime = self.0.as_ref()?;
        runtime.block_on(async { timeout(deadline, work).await.ok() })
    }

    /// The same for work of which nothing is done when it is late.
    pub(super) fn in_time<T>(
        &self,
        deadline: Duration,
        operation: &'static str,
        work: impl Future<Output = Result<T, RemoteFault>>,
    ) -> Result<T, RemoteFault> {
        let late = || Err(RemoteFault::new(FaultKind::Timeout, operation, Outcome::NotDone));
        self.within(deadline, work).unwrap_or_else(late)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // A look-up of a name that hangs in the system must not hold up the caller.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
