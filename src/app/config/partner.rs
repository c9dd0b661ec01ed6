//! `[partner.NAME]`: who receives, where, and what is expected of them.

use super::pickup_server::{self, PickupLogin};
use super::secret::SecretReference;
use super::server;
use crate::deliver::InDoubtRule;
use crate::document::{Placed, Problems, Table, Value};
use crate::domain::ids::{FeedId, FeedName, FileName, PartnerId};
use crate::domain::time::{Length, UtcTime};
use crate::feed::definition::{FeedDefinition, FormatFinder};
use crate::feed::names;
use crate::remote::endpoint::Protection;
use crate::remote::{Address, Deadlines, Endpoint};
use std::path::Path;
use std::sync::Arc;

/// How the partner shows that it took a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickupRule {
    /// `deleted`, `moved:DIR`, `renamed:PATTERN` or `kept`.
    pub by: String,
    /// Within which time it is expected.
    pub within: Option<Length>,
}

/// A partner.
#[derive(Debug, Clone)]
pub struct PartnerConfig {
    /// Its name.
    pub id: PartnerId,
    /// Its server and directory.
    pub address: Address,
    /// Where the password is.
    pub password: Option<SecretReference>,
    /// The partner's own patterns.
    pub picks_up: Vec<Placed<glob::Pattern>>,
    /// How it shows that it took a file.
    pub pickup: Option<PickupRule>,
    /// How it logs in at the built-in server, if it fetches from there.
    pub pickup_login: Option<PickupLogin>,
    /// Directory for temporary names; `None` puts them beside the final ones.
    pub temporary_dir: Option<String>,
    /// What is done with a file of which nobody can say whether it arrived.
    pub in_doubt: InDoubtRule,
    /// Limits of every operation.
    pub deadlines: Deadlines,
    /// Its feeds.
    pub feeds: Vec<Arc<FeedDefinition>>,
}

pub(super) fn read(
    config: &Path,
    table: Table<'_>,
    id: PartnerId,
    formats: &FormatFinder<'_>,
) -> Option<PartnerConfig> {
    let mut address = read_address(config, &table);
    server::read_tls(config, &table, address.as_mut());
    let password = SecretReference::read(config, &table, "password");
    server::read_ssh(config, &table, address.as_mut());
    if address.as_ref().is_some_and(|a| server::wants_password(&a.endpoint)) && !table.has("password") {
        let hint = "write password = { env = \"NAME\" }, { file = \"/path\" } or { credential = \"name\" }";
        let message = format!("partner {id} needs a `password`");
        table.problems().add(table.place_of("deliver").error_with_hint(message, hint));
    }
    look_around(&table, address.as_ref(), password.as_ref());
    let picks_up = read_patterns(&table);
    let pickup = table.table("pickup").map(read_pickup);
    let pickup_login = pickup_server::read_login(config, &table);
    let temporary_dir = table.text("temporary_dir").map(|text| text.value);
    let rules = [("hold", InDoubtRule::Hold), ("resend", InDoubtRule::Resend)];
    let in_doubt = table.choice("in_doubt", &rules).map(|rule| rule.value).unwrap_or_default();
    let deadlines = read_deadlines(&table);
    let feeds = read_feeds(&table, &id, formats);
    table.finish();
    Some(PartnerConfig {
        id,
        address: address?,
        password,
        picks_up,
        pickup,
        pickup_login,
        temporary_dir,
        in_doubt,
        deadlines,
        feeds: feeds.into_iter().collect::<Option<_>>()?,
    })
}

fn read_address(config: &Path, table: &Table<'_>) -> Option<Address> {
    let mut text = table.required_text("deliver")?;
    if !text.value.contains("://") && !text.value.starts_with('/') {
        let path = super::resolve(config, &text.value);
        text.value = std::path::absolute(&path).unwrap_or(path).display().to_string();
    }
    match Endpoint::parse_url(&text.value) {
        Ok(address) => {
            if matches!(&address.endpoint, Endpoint::Ftp(ftp) if ftp.protection == Protection::None) {
                let message = "plain FTP shows password and records to everyone on the way";
                let hint = "fine on a private line: the `ftp://` in the address counts as consent";
                table.problems().add(text.place.warning(message, hint));
            }
            Some(address)
        }
        Err(fault) => {
            table.problems().add(text.place.error(fault.to_string()));
            None
        }
    }
}

/// What is right in itself may be missing on this machine: the directory, the secret.
fn look_around(table: &Table<'_>, address: Option<&Address>, password: Option<&SecretReference>) {
    if let Some(Endpoint::LocalDir { path }) = address.map(|address| &address.endpoint)
        && !path.is_dir()
    {
        let message = format!("there is no directory {}", path.display());
        let hint = "make it, or mount what belongs there: it is never created, so nothing is written into an empty mount point";
        table.problems().add(table.place_of("deliver").warning(message, hint));
    }
    if let Some(Err(fault)) = password.map(SecretReference::reveal) {
        let hint = "deliveries are tried again and again until it can be read";
        table.problems().add(table.place_of("password").warning(fault.to_string(), hint));
    }
}

fn read_patterns(table: &Table<'_>) -> Vec<Placed<glob::Pattern>> {
    let patterns = table.texts("picks_up").unwrap_or_default();
    let parsed = patterns.into_iter().filter_map(|text| match glob::Pattern::new(&text.value) {
        Ok(value) => Some(Placed { value, place: text.place }),
        Err(fault) => {
            table.problems().add(text.place.error(format!("not a pattern: {}", fault.msg)));
            None
        }
    });
    parsed.collect()
}

fn read_pickup(table: Table<'_>) -> PickupRule {
    let by = table.required_text("by");
    if let Some(by) = &by {
        let known = matches!(by.value.as_str(), "deleted" | "kept")
            || by.value.starts_with("moved:")
            || by.value.starts_with("renamed:");
        if !known {
            let hint = "write \"deleted\", \"moved:DIR\", \"renamed:PATTERN\" or \"kept\"";
            table.problems().add(by.place.error_with_hint("`by` is not a known way of picking up", hint));
        }
    }
    let within = table.length("within").map(|l| l.value);
    table.finish();
    PickupRule { by: by.map_or_else(|| "deleted".to_owned(), |text| text.value), within }
}

fn read_deadlines(table: &Table<'_>) -> Deadlines {
    let mut deadlines = Deadlines::default();
    let Some(inner) = table.table("deadlines") else { return deadlines };
    for (key, slot) in [
        ("connect", &mut deadlines.connect),
        ("command", &mut deadlines.command),
        ("transfer_idle", &mut deadlines.transfer_idle),
        ("final_reply", &mut deadlines.final_reply_base),
    ] {
        if let Some(length) = inner.length(key) {
            *slot = length.value;
        }
    }
    inner.finish();
    deadlines
}

fn read_feeds(table: &Table<'_>, partner: &PartnerId, formats: &FormatFinder<'_>) -> Vec<Option<Arc<FeedDefinition>>> {
    let Some(feeds) = table.table("feed") else {
        if !table.has("feed") {
            let message = format!("partner {partner} has no feed");
            let hint = format!("add a table [partner.{partner}.feed.NAME]");
            table.problems().add(table.place().error_with_hint(message, hint));
        }
        return Vec::new();
    };
    let read_one = |(name, value): (Placed<String>, Value<'_>)| match (FeedName::parse(&name.value), value) {
        (Ok(feed), Value::Table(settings)) => {
            let id = FeedId { partner: partner.clone(), feed };
            FeedDefinition::read(settings, id, formats).map(Arc::new)
        }
        (Err(fault), _) => {
            table.problems().add(name.place.error(fault.to_string()));
            None
        }
        (Ok(_), _) => {
            table.problems().add(name.place.error("a feed is a table"));
            None
        }
    };
    feeds.entries().into_iter().map(read_one).collect()
}

/// Proves that the partner's patterns match every name we give, and no temporary one.
pub(super) fn check_patterns(partner: &PartnerConfig, feed: &FeedDefinition, problems: &Problems, now: UtcTime) {
    let Some(first) = partner.picks_up.first() else { return };
    let facts = names::facts(feed, feed.period.partition_at(now), now);
    let matches = |name: &str| partner.picks_up.iter().any(|pattern| pattern.value.matches(name));
    for (template, place) in names::templates(feed) {
        let Ok(name) = names::file_name(template, &facts) else { continue };
        if !matches(name.as_str()) {
            let message = format!("`{name}` does not match `picks_up`: the partner would never take it");
            problems.add(place.error(message));
        }
        let temporary = temporary_example(&name);
        if partner.temporary_dir.is_none() && matches(&temporary) {
            let message = format!("`picks_up` matches the temporary name `{temporary}`: half a file could be taken");
            let hint = "set temporary_dir to another directory of the same server";
            problems.add(first.place.error_with_hint(message, hint));
        }
    }
}

fn temporary_example(name: &FileName) -> String {
    format!("{name}.0a1b2c3d-1.tmp")
}
