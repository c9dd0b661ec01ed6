//! The end of a pass: what the next start can rely on.

use super::Exporter;
use crate::app::fault::ExporterFault;
use crate::app::store::Store;

impl Exporter {
    /// Leaves the sign of a clean stop. Without it the next start checks the whole ledger, which is no fault.
    pub(super) fn leave(&self) {
        let ledger = self.ledger.lock();
        if let Err(fault) = Store::leave(self.disk.as_ref(), &self.config.state, &ledger) {
            tracing::warn!("the next start will check the whole ledger: {fault}");
        }
    }

    /// A ledger that is not as it was left is an alarm, even if every check holds: a disk that changes what nobody
    /// reads may change the rest, too.
    pub(super) fn tell_of_changed_ledger(&mut self, differs: bool) -> Result<(), ExporterFault> {
        let message = "ledger.db is not as the last stop left it, although every check of it holds".to_owned();
        let hint = "somebody wrote to it or the disk is failing: run `hourdrop verify`".to_owned();
        let alarms = differs.then_some(("HD0702", message, hint));
        self.set_alarms("ledger", alarms.as_slice())
    }
}
