//! What was in force when a manifest was sealed, although hours were given up since.
//!
//! A manifest states the parts of its hour that were not void, the numbers that were given up and that no manifest had
//! stated, and the hash of the feed's last manifest that was not void. It stays as it is when it is void itself, and what
//! it had stated is stated again by the next. The order in the history says what came first.

use crate::domain::batch::{BatchId, BatchPlan, SealedFile};
use crate::domain::ids::{FeedId, Revision, Sha256Digest};
use crate::ledger::batches::order::{Order, Place};
use crate::ledger::operator::VoidNumbers;
use crate::ledger::reports::FileRow;
use crate::ledger::{Ledger, LedgerFault};

/// The files of a feed with all that became void.
pub(super) struct InForce<'b> {
    feed: &'b FeedId,
    files: &'b [FileRow],
    order: Order,
    /// Manifests in the order of their plans, void ones and those that were given up before they were sealed, too.
    manifests: Vec<(BatchId, Option<Place>)>,
}

impl<'b> InForce<'b> {
    pub(super) fn new(ledger: &Ledger, feed: &'b FeedId, files: &'b [FileRow]) -> Result<Self, LedgerFault> {
        let any_void = files.iter().any(is_void);
        let order = if any_void { ledger.order_of(feed)? } else { Order::default() };
        let mut found = Self { feed, files, order, manifests: Vec::new() };
        if any_void {
            let own = files.iter().filter(|file| file.is_manifest());
            found.manifests = own.map(|file| (found.batch(file), found.end(file))).collect();
            found.manifests.sort_by_key(|(id, _)| found.order.planned(id));
        }
        Ok(found)
    }

    /// The feed's last manifest that was not void when the batch was sealed; `sealed` are all before it, in order.
    pub(super) fn previous(&self, id: &BatchId, sealed: &[(&FileRow, Sha256Digest)]) -> Option<Sha256Digest> {
        let at = self.order.sealed(id);
        sealed.iter().rev().find(|(file, _)| !is_void(file) || self.end(file) > at).map(|(_, hash)| *hash)
    }

    /// Of the part files of an hour those that the manifest of a batch states, whose own row is given.
    pub(super) fn stated_parts(
        &self,
        plan: &BatchPlan,
        manifest: &FileRow,
        sealed: Vec<(Revision, SealedFile)>,
    ) -> Vec<(Revision, SealedFile)> {
        let at = self.order.sealed(&plan.id);
        let start = plan.id.partition.start;
        let first = self.files.partition_point(|row| row.partition.start < start);
        let of_hour = self.files.iter().skip(first).take_while(|row| row.partition.start == start);
        let row_of =
            |of: &Revision, part: &SealedFile| of_hour.clone().find(|row| (row.revision, row.part) == (*of, part.part));
        let was_stated = |(of, part): &(Revision, SealedFile)| match row_of(of, part).filter(|row| is_void(row)) {
            None => true,
            Some(_) if *of == plan.id.revision => is_void(manifest),
            Some(row) => self.end(row) > at,
        };
        sealed.into_iter().filter(was_stated).collect()
    }

    /// The numbers that a void manifest had stated.
    pub(super) fn stated_numbers(&self, id: &BatchId) -> VoidNumbers {
        let void = self.files.iter().filter(|file| is_void(file) && self.was_stated_in(file, id));
        let mut found: Vec<_> = void.filter_map(|file| Some((file.sequence?, file.is_manifest()))).collect();
        found.sort_unstable();
        let of = |manifests: bool| {
            found.iter().filter(move |(_, is_manifest)| *is_manifest == manifests).map(|(sequence, _)| sequence.number)
        };
        VoidNumbers { parts: of(false).collect(), manifests: of(true).collect() }
    }

    /// A void file is stated by the next manifest that is planned, and when that is void by the next one after it.
    fn was_stated_in(&self, file: &FileRow, id: &BatchId) -> bool {
        let mut end = self.end(file);
        loop {
            let Some((next, void)) = self.manifests.iter().find(|(id, _)| self.order.planned(id) > end) else {
                return false;
            };
            if next == id {
                return true;
            }
            let Some(later) = *void else { return false };
            end = Some(later);
        }
    }

    /// Where a void file was given up.
    fn end(&self, file: &FileRow) -> Option<Place> {
        if is_void(file) { self.order.voided(&self.batch(file), &file.name) } else { None }
    }

    fn batch(&self, file: &FileRow) -> BatchId {
        BatchId { feed: self.feed.clone(), partition: file.partition, revision: file.revision }
    }
}

pub(super) fn is_void(file: &FileRow) -> bool {
    file.state == "void"
}
