//! The configuration file: sources, partners with their feeds, archive and state, read in one go with all problems.
//!
//! [`Config`] is what `app` works with; each layer below sees only the policy made for it. Formats are files in
//! `formats/` beside the configuration. Secrets are references; their values are read when they are needed.

mod answers;
mod drop_rule;
mod endpoints;
mod partner;
mod pickup;
mod pickup_server;
mod schedule;
mod secret;
mod server;
mod source;

pub use answers::AnswerRule;
pub use partner::PartnerConfig;
pub use pickup::{PickupRule, PickupWay};
pub use pickup_server::{PickupLogin, PickupServerConfig, TlsFiles};
pub use secret::{SecretFault, SecretReference};
pub use source::{SourceConfig, SourceKind};

use crate::document::{Document, Placed, Problem, Problems, Severity, Table, Value, read_document};
use crate::domain::ids::{PartnerId, SourceId};
use crate::domain::time::{Length, UtcTime};
use crate::feed::definition::FeedDefinition;
use crate::feed::names;
use crate::feed::router::check_fit;
use crate::format::encode::Layout;
use crate::format::spec::{FormatSpec, read_format};
use partner::Places;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How long the archive keeps files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// For ever.
    Forever,
    /// This long after the batch was delivered.
    For(Length),
}

/// Everything the configuration says.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// Directory of the ledger and the spool.
    pub state: PathBuf,
    /// Directory of the archive.
    pub archive: PathBuf,
    /// How long the archive keeps files.
    pub keep: Retention,
    /// The sources.
    pub sources: Vec<SourceConfig>,
    /// The partners.
    pub partners: Vec<PartnerConfig>,
    /// The built-in server from which partners fetch.
    pub pickup_server: Option<PickupServerConfig>,
    /// How long `once` still tries to deliver when all is sealed.
    pub once_deliver_for: Length,
    /// How often `run` looks at its sources.
    pub poll: Length,
    /// The most bytes of frames that the spool may hold.
    pub spool_max: u64,
    /// Bytes of disk space that are kept for the ledger.
    pub reserve: u64,
    /// A larger step of the wall clock stops sealing.
    pub clock_jump_max: Length,
}

impl Config {
    /// The feeds of all partners.
    pub fn feeds(&self) -> impl Iterator<Item = &Arc<FeedDefinition>> {
        self.partners.iter().flat_map(|partner| &partner.feeds)
    }

    /// The source with this name.
    #[must_use]
    pub fn source(&self, id: &SourceId) -> Option<&SourceConfig> {
        self.sources.iter().find(|source| source.id == *id)
    }

    /// The partner with this name.
    #[must_use]
    pub fn partner(&self, id: &PartnerId) -> Option<&PartnerConfig> {
        self.partners.iter().find(|partner| partner.id == *id)
    }

    /// True when the partner of a feed is expected to take its files.
    #[must_use]
    pub fn expects_pickup(&self, feed: &FeedDefinition) -> bool {
        let rule = self.partner(&feed.id.partner).and_then(|partner| partner.pickup.as_ref());
        !feed.shadow && rule.is_some_and(PickupRule::expects)
    }

    /// Path of the ledger.
    #[must_use]
    pub fn ledger_path(&self) -> PathBuf {
        self.state.join("ledger.db")
    }
}

/// What reading a configuration gives: a configuration unless something forbids it, and everything that was found.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` when there is an error.
    pub config: Option<Config>,
    /// Errors and warnings in the order of the files.
    pub problems: Vec<Problem>,
}

/// The configuration file itself cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}")]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// The system's answer.
    pub source: std::io::Error,
}

/// Reads the configuration at `path` and the formats it names.
///
/// # Errors
/// [`Unreadable`] when the file itself cannot be read; everything else is a [`Problem`].
pub fn load(path: &Path, now: UtcTime) -> Result<Loaded, Unreadable> {
    let text = std::fs::read_to_string(path).map_err(|source| Unreadable { path: path.to_owned(), source })?;
    let problems = Problems::default();
    let formats = FormatLibrary { dir: sibling(path, "formats"), loaded: RefCell::default() };
    let document = Document { name: path.display().to_string(), text };
    let config = read_document(document, &problems, |root| read_config(path, &root, &formats, now)).flatten();
    let mut found = problems.take();
    found.dedup();
    let broken = found.iter().any(|problem| problem.severity == Severity::Error);
    Ok(Loaded { config: config.filter(|_| !broken), problems: found })
}

fn sibling(path: &Path, name: &str) -> PathBuf {
    path.parent().unwrap_or_else(|| Path::new("")).join(name)
}

/// Paths in the configuration are relative to the configuration file.
fn resolve(config: &Path, path: &str) -> PathBuf {
    sibling(config, path)
}

/// The formats of a directory, each read once.
struct FormatLibrary {
    dir: PathBuf,
    loaded: RefCell<BTreeMap<String, Option<Arc<FormatSpec>>>>,
}

impl FormatLibrary {
    fn find(&self, name: &Placed<String>, problems: &Problems) -> Option<Arc<FormatSpec>> {
        if let Some(known) = self.loaded.borrow().get(&name.value) {
            return known.clone();
        }
        let path = self.dir.join(format!("{}.toml", name.value));
        let read = match std::fs::read_to_string(&path) {
            Ok(text) => {
                read_format(Document { name: path.display().to_string(), text }, &name.value, problems).map(Arc::new)
            }
            Err(error) => {
                let mut problem = name.place.error(format!("format \"{}\": {}: {error}", name.value, path.display()));
                problem.hint = self.nearest(&name.value);
                problems.add(problem);
                None
            }
        };
        self.loaded.borrow_mut().insert(name.value.clone(), read.clone());
        read
    }

    fn nearest(&self, name: &str) -> Option<String> {
        let entries = std::fs::read_dir(&self.dir).ok()?;
        let names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
            .collect();
        let known = crate::document::nearest(name, names.iter().map(String::as_str))?;
        Some(format!("did you mean \"{known}\"?"))
    }
}

fn read_config(path: &Path, root: &Table<'_>, formats: &FormatLibrary, now: UtcTime) -> Option<Config> {
    let state = root.required_text("state").map(|text| resolve(path, &text.value));
    let archive = read_archive(path, root);
    let poll = root.length("poll").map_or(Length::from_seconds(2), |l| l.value);
    let clock_jump_max = root.length("clock_jump_max").map_or(Length::from_seconds(60), |l| l.value);
    let once_deliver_for = root.length("once_deliver_for").map_or(Length::from_seconds(60), |l| l.value);
    let spool_max = read_spool_max(root);
    let reserve = root.size("reserve").map_or(64 << 20, |size| size.value);
    let sources = named_tables(root, "source", |table, id| source::read(path, table, id, formats), SourceId::parse);
    let finder = |name: &Placed<String>, problems: &Problems| formats.find(name, problems);
    let of_state = state.clone().unwrap_or_default();
    let of_archive = archive.as_ref().map(|(dir, _)| dir.clone()).unwrap_or_default();
    let places = Places { config: path, state: &of_state, archive: &of_archive };
    let read_partner = |table, id| partner::read(&places, table, id, &finder);
    let partners = named_tables(root, "partner", read_partner, PartnerId::parse);
    let pickup_server = pickup_server::read(path, root);
    for (key, list) in [("source", sources.is_empty()), ("partner", partners.is_empty())] {
        if list && !root.has(key) {
            root.problems().add(root.place().error(format!("there is no [{key}.NAME]: nothing to do")));
        }
    }
    root.report_unknown();
    let (archive, keep) = archive?;
    let config = Config {
        path: path.to_owned(),
        state: state?,
        archive,
        keep,
        sources: sources.into_iter().collect::<Option<_>>()?,
        partners: partners.into_iter().collect::<Option<_>>()?,
        pickup_server,
        once_deliver_for,
        poll,
        spool_max,
        reserve,
        clock_jump_max,
    };
    check_config(&config, root.problems(), now);
    Some(config)
}

fn read_spool_max(root: &Table<'_>) -> u64 {
    const LEAST: u64 = 1 << 20;
    let Some(size) = root.size("spool_max") else { return 16 << 30 };
    if size.value < LEAST {
        let hint = "it must hold every hour that is not sealed yet";
        root.problems().add(size.place.error_with_hint("`spool_max` must be at least \"1MiB\"", hint));
    }
    size.value
}

fn read_archive(path: &Path, root: &Table<'_>) -> Option<(PathBuf, Retention)> {
    root.require("archive");
    match root.value("archive")? {
        Value::Text(dir) => Some((resolve(path, &dir.value), Retention::Forever)),
        Value::Table(table) => {
            let dir = table.required_text("dir");
            let keep = match table.text("keep") {
                None => Retention::Forever,
                Some(text) if text.value == "forever" => Retention::Forever,
                Some(text) => Length::parse(&text.value).map_or_else(
                    || {
                        let hint = "write \"forever\" or a length of time such as \"400d\"";
                        table.problems().add(text.place.error_with_hint("`keep` is not a length of time", hint));
                        Retention::Forever
                    },
                    Retention::For,
                ),
            };
            table.finish();
            Some((resolve(path, &dir?.value), keep))
        }
        other @ (Value::Integer(_) | Value::Bool(_) | Value::List(_) | Value::Other(_)) => {
            root.problems().add(other.place().error("`archive` is a directory or a table with `dir` and `keep`"));
            None
        }
    }
}

/// Reads `[key.NAME]` tables whose names the operator chose. A `None` in the list is one that could not be read.
fn named_tables<'a, I, T>(
    root: &Table<'a>,
    key: &'static str,
    read: impl Fn(Table<'a>, I) -> Option<T>,
    parse: impl Fn(&str) -> Result<I, crate::domain::ids::NameFault>,
) -> Vec<Option<T>> {
    let Some(tables) = root.table(key) else { return Vec::new() };
    let mut list = Vec::new();
    for (name, value) in tables.entries() {
        let id = parse(&name.value).map_err(|fault| root.problems().add(name.place.error(fault.to_string()))).ok();
        match (id, value) {
            (Some(id), Value::Table(table)) => list.push(read(table, id)),
            (None, _) => list.push(None),
            (Some(_), other) => {
                root.problems().add(other.place().error(format!("[{key}.{}] must be a table", name.value)));
                list.push(None);
            }
        }
    }
    list
}

/// Checks that need more than one table: references, fields, names.
fn check_config(config: &Config, problems: &Problems, now: UtcTime) {
    for partner in &config.partners {
        for feed in &partner.feeds {
            check_feed(config, partner, feed, problems, now);
        }
        check_shared_names(partner, problems, now);
    }
    pickup_server::check(config, problems);
}

fn check_feed(config: &Config, partner: &PartnerConfig, feed: &Arc<FeedDefinition>, problems: &Problems, now: UtcTime) {
    for name in &feed.sources {
        let Some(source) = config.source(&name.value) else {
            let mut problem = name.place.error(format!("there is no source \"{}\"", name.value));
            let known = config.sources.iter().map(|source| source.id.as_str());
            problem.hint =
                crate::document::nearest(name.value.as_str(), known).map(|n| format!("did you mean \"{n}\"?"));
            problems.add(problem);
            continue;
        };
        let schema = source.read.schema();
        if let Err(fault) = check_fit(feed, &schema) {
            let place = match &feed.filter {
                Some(filter) if fault.message.starts_with("where") => &filter.place,
                Some(_) | None => &feed.hour_by.place,
            };
            problems.add(place.error(fault.message));
        }
        match Layout::compile(&feed.format, &schema, feed.period.zone()) {
            Ok(layout) => check_manifest_layout(feed, &layout, problems),
            Err(found) => problems.add_all(found),
        }
    }
    problems.add_all(names::check_names(feed, now));
    partner::check_patterns(partner, feed, problems, now);
    server::check_names(partner, feed, problems, now);
}

fn check_manifest_layout(feed: &FeedDefinition, layout: &Layout, problems: &Problems) {
    let Some(format) = feed.manifest.as_ref().and_then(|manifest| manifest.format.as_ref()) else { return };
    let totals = layout.totals();
    let sums = totals.sums().map(|(name, _)| name);
    if let Err(found) = crate::format::manifest::ManifestLayout::compile(format, sums, feed.period.zone()) {
        problems.add_all(found);
    }
}

/// Feeds of one partner share a directory: their names must not meet.
fn check_shared_names(partner: &PartnerConfig, problems: &Problems, now: UtcTime) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for feed in &partner.feeds {
        let partition = feed.period.partition_at(now);
        let facts = names::facts(feed, partition, now);
        for (template, place) in names::templates(feed) {
            let Ok(name) = names::file_name(template, &facts) else { continue };
            if let Some(other) = seen.insert(name.to_string(), feed.id.to_string()) {
                let message = format!("{other} can give the name `{name}`, too, and both lie in one directory");
                problems.add(place.error_with_hint(message, "add {feed} or a text of its own"));
            }
        }
    }
}
