//! `[partner.NAME]`: who receives, where, and what is expected of them.

use super::answers::AnswerRule;
use super::pickup::PickupRule;
use super::pickup_server::{self, PickupLogin};
use super::secret::{SecretFault, SecretReference};
use super::server;
use super::{drop_rule, endpoints, schedule};
use crate::deliver::InDoubtRule;
use crate::document::{Placed, Problems, Table, Value};
use crate::domain::delivery::ContentCheck;
use crate::domain::ids::{FeedId, FeedName, FileName, PartnerId};
use crate::domain::place;
use crate::domain::quiet::QuietTimes;
use crate::domain::time::UtcTime;
use crate::feed::definition::{FeedDefinition, FormatFinder};
use crate::feed::names;
use crate::remote::{Address, Deadlines, Endpoint, RemotePath};
use std::path::Path;
use std::sync::Arc;

/// Servers seldom allow more sessions of one account.
const CONNECTIONS_MAX: i64 = 8;

/// A partner.
#[derive(Debug, Clone)]
pub struct PartnerConfig {
    /// Its name.
    pub id: PartnerId,
    /// Its server and directory, the first of several.
    pub address: Address,
    /// The servers that stand in for it, in order.
    pub standby: Vec<Address>,
    /// Where it was before: what lay there lies at the first server now.
    pub formerly: Vec<Address>,
    /// Where the password is.
    pub password: Option<SecretReference>,
    /// The partner's own patterns.
    pub picks_up: Vec<Placed<glob::Pattern>>,
    /// How it shows that it took a file.
    pub pickup: Option<PickupRule>,
    /// How it answers.
    pub answers: Option<AnswerRule>,
    /// How it logs in at the built-in server, if it fetches from there.
    pub pickup_login: Option<PickupLogin>,
    /// Directory for temporary names; `None` puts them beside the final ones.
    pub temporary_dir: Option<String>,
    /// The server can rename. Without it files are written under their final names at once.
    pub rename: bool,
    /// Sessions at the same time, from 1 to 8.
    pub connections: usize,
    /// What is compared after an upload.
    pub check: ContentCheck,
    /// What is done with a file of which nobody can say whether it arrived.
    pub in_doubt: InDoubtRule,
    /// When nothing is sent to it.
    pub quiet: Option<QuietTimes>,
    /// So many files of ours may lie unpicked in its directory.
    pub remote_files_max: Option<u64>,
    /// Limits of every operation.
    pub deadlines: Deadlines,
    /// Its feeds.
    pub feeds: Vec<Arc<FeedDefinition>>,
}

impl PartnerConfig {
    /// Its servers, in the order in which they are tried.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(&self.standby)
    }

    /// One of its servers, with the password to log in there.
    ///
    /// # Errors
    /// [`SecretFault`] when the password cannot be had.
    pub fn endpoint_at(&self, address: &Address) -> Result<Endpoint, SecretFault> {
        let endpoint = address.endpoint.clone();
        Ok(match &self.password {
            Some(password) => endpoint.with_password(password.reveal()?),
            None => endpoint,
        })
    }

    /// How the ledger calls one of its servers.
    #[must_use]
    pub fn server_label(&self, server: usize) -> String {
        self.addresses().nth(server).map_or_else(String::new, label)
    }

    /// A path at one of its servers as the ledger keeps it: the server stands before it.
    #[must_use]
    pub fn kept_path(&self, server: usize, path: &str) -> Arc<str> {
        place::at_server(Some(&self.server_label(server)), path)
    }

    /// The path of a final name at one of its servers as the ledger keeps it.
    #[must_use]
    pub fn final_path(&self, server: usize, name: &FileName) -> Arc<str> {
        let address = self.addresses().nth(server);
        let path = address.map_or_else(|| name.to_string(), |address| address.directory.join(name).to_string());
        self.kept_path(server, &path)
    }

    /// Which of its servers a path that the ledger keeps is at; `None` when that one is not configured any more.
    #[must_use]
    pub fn server_of(&self, kept: &str) -> Option<usize> {
        let Some(found) = place::split(kept).0 else { return Some(0) };
        let now = self.addresses().position(|address| label(address) == found);
        now.or_else(|| self.formerly.iter().any(|address| label(address) == found).then_some(0))
    }

    /// The server in whose drop directory a file lies that was shown under this path; `None` when that is another
    /// directory than those that are configured.
    #[must_use]
    pub fn drop_of(&self, kept: &str, name: &FileName) -> Option<usize> {
        let (found, path) = place::split(kept);
        let holds = |address: &Address| address.directory.join(name).as_str() == path;
        let server = self.server_of(kept)?;
        let was_there = |address: &Address| Some(label(address).as_str()) == found && holds(address);
        let is_there = holds(self.addresses().nth(server)?) || self.formerly.iter().any(was_there);
        is_there.then_some(server)
    }

    /// Whether a file that is to be shown next to, or from, this path can still be looked for: its server and directory are
    /// configured. Where temporary names have a directory of their own the path does not tell the final one.
    #[must_use]
    pub fn is_in_reach(&self, kept: &str) -> bool {
        let directory = |server| self.addresses().nth(server).map(|address| address.directory.clone());
        let Some(drop) = self.server_of(kept).and_then(directory) else { return false };
        let Ok(path) = RemotePath::parse(place::split(kept).1) else { return false };
        let temporary = self.temporary_dir.as_deref().and_then(|path| RemotePath::parse(path).ok());
        path.parent() == drop || Some(path.parent()) == temporary
    }
}

pub(super) fn label(address: &Address) -> String {
    place::server_label(&address.endpoint.to_string())
}

/// Where files of this machine are that the settings of a partner lead to.
pub(super) struct Places<'p> {
    /// The configuration file, beside which relative paths begin.
    pub config: &'p Path,
    /// The state directory.
    pub state: &'p Path,
    /// The archive.
    pub archive: &'p Path,
}

pub(super) fn read(
    places: &Places<'_>,
    table: Table<'_>,
    id: PartnerId,
    formats: &FormatFinder<'_>,
) -> Option<PartnerConfig> {
    let &Places { config, state, archive } = places;
    let mut addresses = endpoints::read(config, &table);
    server::read_tls(config, &table, &mut addresses);
    server::read_wire(&table, &mut addresses);
    drop_rule::read(archive, &table, &mut addresses);
    let formerly = endpoints::read_former(config, &table, &addresses);
    let password = SecretReference::read(config, &table, "password");
    server::read_ssh(config, state, &table, &mut addresses);
    if addresses.iter().any(|a| server::wants_password(&a.endpoint)) && !table.has("password") {
        let hint = "write password = { env = \"NAME\" }, { file = \"/path\" } or { credential = \"name\" }";
        let message = format!("partner {id} needs a `password`");
        table.problems().add(table.place_of("deliver").error_with_hint(message, hint));
    }
    look_around(&table, &addresses, password.as_ref());
    let picks_up = read_patterns(&table);
    let pickup = table.table("pickup").map(PickupRule::read);
    let drop = addresses.first().map(|address| &address.directory);
    let answers = table.table("answers").map(|table| AnswerRule::read(table, formats, drop));
    let pickup_login = pickup_server::read_login(config, &table);
    let temporary_dir = table.text("temporary_dir").map(|text| text.value);
    server::check_sendable(&table, &addresses, temporary_dir.as_deref());
    let rules = [("hold", InDoubtRule::Hold), ("resend", InDoubtRule::Resend)];
    let in_doubt = table.choice("in_doubt", &rules).map(|rule| rule.value).unwrap_or_default();
    let check = table.choice("verify", &ContentCheck::WORDS).map(|check| check.value).unwrap_or_default();
    let connections = table.integer("connections", 1..CONNECTIONS_MAX + 1).and_then(|n| usize::try_from(n.value).ok());
    let quiet = table.table("quiet").and_then(schedule::read_quiet);
    let remote_files_max = schedule::read_files_max(&table);
    let deadlines = read_deadlines(&table);
    let feeds = read_feeds(&table, &id, formats);
    let rename = read_rename(&table, &feeds);
    table.finish();
    let mut addresses = addresses.into_iter();
    Some(PartnerConfig {
        id,
        address: addresses.next()?,
        standby: addresses.collect(),
        formerly,
        password,
        picks_up,
        pickup: pickup.or_else(|| pickup_login.is_some().then(PickupRule::of_own_server)),
        answers: match answers {
            Some(rule) => Some(rule?),
            None => None,
        },
        pickup_login,
        temporary_dir,
        rename,
        connections: connections.unwrap_or(1),
        check,
        in_doubt,
        quiet,
        remote_files_max,
        deadlines,
        feeds: feeds.into_iter().collect::<Option<_>>()?,
    })
}

/// What is right in itself may be missing on this machine: the directory, the secret.
fn look_around(table: &Table<'_>, addresses: &[Address], password: Option<&SecretReference>) {
    for address in addresses {
        let Endpoint::LocalDir { path, .. } = &address.endpoint else { continue };
        if path.is_dir() {
            continue;
        }
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

/// `rename = false`: nothing but a manifest tells the partner that a file is complete.
fn read_rename(table: &Table<'_>, feeds: &[Option<Arc<FeedDefinition>>]) -> bool {
    let Some(rename) = table.bool("rename").filter(|rename| !rename.value) else { return true };
    if table.has("temporary_dir") {
        let message =
            "`temporary_dir` and `rename = false` exclude each other: no file leaves that directory without a rename";
        table.problems().add(table.place_of("temporary_dir").error(message));
    }
    for feed in feeds.iter().flatten().filter(|feed| feed.manifest.is_none()) {
        let message =
            format!("{} has no manifest: with `rename = false` nothing else tells that a file is complete", feed.id);
        let hint = "leave `manifest = false` out, or `rename` where the server can rename";
        table.problems().add(rename.place.error_with_hint(message, hint));
    }
    let message = "files are written under their final names: they can be seen before they are complete";
    let hint = "agree with the partner that it reads only what a manifest lists, and never by a pattern";
    table.problems().add(rename.place.warning(message, hint));
    false
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
        if partner.rename && partner.temporary_dir.is_none() && matches(&temporary) {
            let message = format!("`picks_up` matches the temporary name `{temporary}`: half a file could be taken");
            let hint = "set temporary_dir to another directory of the same server";
            problems.add(first.place.error_with_hint(message, hint));
        }
    }
}

fn temporary_example(name: &FileName) -> String {
    format!("{name}.0a1b2c3d-1.tmp")
}
