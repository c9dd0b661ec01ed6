//! Whether a partner's directory knows more than the ledger: a name of ours with a number that was never given here. Then
//! state and archive were rolled back together, and everything that is sent would be sent twice.

use crate::domain::ids::FeedId;
use crate::domain::period::Partition;
use crate::feed::definition::FeedDefinition;
use crate::format::template::{Shown, Template, Variable};
use crate::ledger::{Ledger, LedgerFault};
use crate::remote::{EntryKind, RemoteEntry};

/// A file at the partner that the ledger does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The feed whose names look so.
    pub feed: FeedId,
    /// The counter of these names.
    pub counter: String,
    /// The file.
    pub file: String,
    /// Its number.
    pub number: u64,
    /// The last number that was sent from here, or the one before the first.
    pub last: u64,
    /// The hour that the name shows.
    pub hour: Option<Partition>,
    /// It is a manifest.
    pub is_manifest: bool,
}

impl std::fmt::Display for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { counter, file, number, last, .. } = self;
        write!(
            f,
            "{file} lies at the partner with number {number}; the last one of {counter} that this ledger sent is {last}"
        )
    }
}

/// The files of a listing that show a number above the last one sent, highest first. Numbers that were given and not sent
/// yet do not count: a ledger that was rolled back gives the same ones again.
///
/// # Errors
/// [`LedgerFault`].
pub fn files_ahead(ledger: &Ledger, feed: &FeedDefinition, listing: &[RemoteEntry]) -> Result<Vec<Ahead>, LedgerFault> {
    let manifest =
        feed.manifest.as_ref().map(|manifest| (&manifest.name, manifest.sequence.first, feed.manifest_counter_name()));
    let templates = std::iter::once((&feed.name, feed.sequence.first, feed.counter_name())).chain(manifest);
    let mut found = Vec::new();
    for ((template, first, counter), is_manifest) in templates.zip([false, true]) {
        let last = ledger.last_sent(&feed.id, is_manifest)?.unwrap_or(first.saturating_sub(1));
        let last = last.max(ledger.seen(&counter)?);
        for entry in listing.iter().filter(|entry| entry.kind != EntryKind::Directory) {
            let Some(shown) = read_name(feed, template, &entry.name) else { continue };
            let Some(number) = shown.number(Variable::Seq).filter(|number| *number > last) else { continue };
            if ledger.feeds_with_file(&entry.name)?.contains(&feed.id) {
                continue;
            }
            let (feed_id, file, counter) = (feed.id.clone(), entry.name.clone(), counter.clone());
            let hour = hour_of(feed, &shown);
            found.push(Ahead { feed: feed_id, counter, file, number, last, hour, is_manifest });
        }
    }
    found.sort_by_key(|ahead| std::cmp::Reverse(ahead.number));
    Ok(found)
}

/// What a name shows that a template of this feed could have given.
pub(super) fn read_name(feed: &FeedDefinition, template: &Template, name: &str) -> Option<Shown> {
    template.read_name(name, feed.id.partner.as_str(), feed.id.feed.as_str(), feed.period.zone())
}

/// The hour that a name shows.
pub(super) fn hour_of(feed: &FeedDefinition, shown: &Shown) -> Option<Partition> {
    shown.time(Variable::Start).map(|start| feed.period.partition_at(start))
}
