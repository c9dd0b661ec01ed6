//! Summing up hours that are with the partner, when there is nothing else to do.

use super::Exporter;
use crate::app::fault::ExporterFault;
use crate::app::report::sum_up::sum_up;

/// How far the feeds were looked through for hours to sum up.
pub(super) struct Sums {
    rows_min: u64,
    /// The feed that is next, and where its hours go on; `None` when all were looked through.
    next: Option<(usize, i64)>,
}

impl Sums {
    /// Nothing was looked through yet.
    pub const fn new(rows_min: u64) -> Self {
        let mut sums = Self { rows_min, next: None };
        sums.begin();
        sums
    }

    /// There are new hours.
    pub const fn begin(&mut self) {
        self.next = Some((0, i64::MIN));
    }
}

impl Exporter {
    /// Sums up about a thousand files, or finds that there is nothing to sum up in one feed. True when there may be
    /// more. Without room in the ledger it is left for later.
    ///
    /// # Errors
    /// [`ExporterFault`].
    pub(super) fn sum_up_next(&mut self) -> Result<bool, ExporterFault> {
        let Some((place, from)) = self.sums.next else { return Ok(false) };
        let Some(definition) = self.config.feeds().nth(place) else {
            self.sums.next = None;
            return Ok(false);
        };
        let expects_pickup = self.config.expects_pickup(definition);
        let more = sum_up(&mut self.ledger.lock(), definition, expects_pickup, from, self.sums.rows_min);
        self.sums.next = match more {
            Ok(Some(from)) => Some((place, from)),
            Ok(None) => Some((place + 1, i64::MIN)),
            Err(_) => None,
        };
        self.without_shortage(more.map(|_| ()).map_err(Into::into))?;
        Ok(self.sums.next.is_some())
    }
}
