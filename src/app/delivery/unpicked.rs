//! What the partner has not picked up yet: files of ours in a listing of its directory.

use crate::domain::ids::PartnerId;
use crate::ledger::{Ledger, LedgerFault};
use crate::remote::{EntryKind, RemoteEntry};
use std::collections::BTreeMap;

/// Which names of a partner's directory are files that were delivered, as far as the ledger was asked. A name that was
/// seen before is not looked for again: the ledger has no index of names.
#[derive(Debug, Default)]
pub(super) struct KnownNames(BTreeMap<String, bool>);

impl KnownNames {
    /// The names of a listing that are files of ours which lie there unpicked, in the order of the listing. Temporary
    /// names, directories and files of others are not among them.
    pub(super) fn unpicked<'l>(
        &mut self,
        ledger: &Ledger,
        partner: &PartnerId,
        listing: &'l [RemoteEntry],
    ) -> Result<Vec<&'l str>, LedgerFault> {
        let names = listing.iter().filter(|entry| entry.kind != EntryKind::Directory).map(|entry| entry.name.as_str());
        let names: Vec<&str> = names.collect();
        // Of what lies there no more nothing needs to be known, and what was not ours may have been delivered since.
        let seen: BTreeMap<String, bool> = names.iter().filter_map(|name| self.0.remove_entry(*name)).collect();
        self.0 = seen.into_iter().filter(|(_, is_ours)| *is_ours).collect();
        let strange: Vec<&str> = names.iter().copied().filter(|name| !self.0.contains_key(*name)).collect();
        let ours = ledger.delivered_among(partner, &strange)?;
        self.0.extend(ours.into_iter().map(|name| (name, true)));
        Ok(names.into_iter().filter(|name| self.0.contains_key(*name)).collect())
    }
}
