//! Hours that are with the partner are summed up, about a thousand files at a time, so that one look at everything reads
//! sums and the latest hours, however many files there ever were.
//!
//! The sums lie in the ledger, which removes one when anything changes in its hours
//! ([`crate::ledger::sums`]); [`sum_up`] makes it again when they are complete once more. Missing sums cost time
//! and nothing else, so nobody waits for them.

use super::hours::{Hour, hours, sum};
use super::status::{is_in_doubt, is_undelivered};
use super::{FeedBook, between};
use crate::feed::definition::FeedDefinition;
use crate::ledger::reports::FileRow;
use crate::ledger::{Ledger, LedgerFault};
use std::sync::Arc;

/// So many batches and files make a sum.
pub const ROWS_MIN: u64 = 1024;

/// Sums up the first hours of a feed that start at `from` or later and can be. The second from which to go on; `None`
/// when there is nothing more to do.
///
/// # Errors
/// [`LedgerFault`].
pub fn sum_up(
    ledger: &mut Ledger,
    definition: &Arc<FeedDefinition>,
    expects_pickup: bool,
    from: i64,
    rows_min: u64,
) -> Result<Option<i64>, LedgerFault> {
    let id = &definition.id;
    for gap in between(&ledger.hour_sums(id, from)?) {
        let rest = gap.start.max(from)..gap.end;
        // What lies between two sums was one itself before something changed in it.
        let is_between = gap.start > i64::MIN && gap.end < i64::MAX && rest.start == gap.start;
        let Some(span) = ledger.hours_to_sum(id, &rest, rows_min)?.or_else(|| is_between.then(|| gap.clone())) else {
            continue;
        };
        let mut book = FeedBook::empty(Arc::clone(definition));
        book.extend(ledger, &span)?;
        let hours = hours(&book);
        let Some(last) = hours.last() else { continue };
        if let Some(open) = hours.iter().rfind(|hour| !is_final(hour, expects_pickup)) {
            return Ok(Some(open.partition.end));
        }
        let end = last.partition.end;
        if let Some(sum) = sum(&hours) {
            ledger.add_hour_sum(id, &sum)?;
        }
        return Ok(Some(end));
    }
    Ok(None)
}

/// True for an hour to which nothing more happens unless somebody wants it to.
fn is_final(hour: &Hour<'_>, expects_pickup: bool) -> bool {
    let waits = |file: &&&FileRow| {
        is_undelivered(file)
            || is_in_doubt(file)
            || (expects_pickup && file.state == "delivered" && file.pickup.state.is_outstanding())
    };
    hour.is_complete() && !hour.files.iter().any(|file| waits(&file))
}
