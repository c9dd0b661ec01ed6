//! The end of a pass: what the next start can rely on.

use super::Exporter;
use crate::app::fault::ExporterFault;
use crate::app::space::lacks_room;
use crate::app::store::Store;

impl Exporter {
    /// Leaves the sign of a clean stop. Without it the next start checks the whole ledger, so lack of room for it is no
    /// fault; any other refusal of the disk is one, although everything is done.
    ///
    /// # Errors
    /// [`ExporterFault`].
    pub(super) fn leave(&self) -> Result<(), ExporterFault> {
        let ledger = self.ledger.lock();
        let Err(fault) = Store::leave(self.disk.as_ref(), &self.config.state, &ledger) else { return Ok(()) };
        drop(ledger);
        let fault = ExporterFault::from(fault);
        if lacks_room(self.disk.as_ref(), &self.config.state, &fault).is_none() {
            return Err(fault);
        }
        tracing::warn!("the next start will check the whole ledger: {fault}");
        Ok(())
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
