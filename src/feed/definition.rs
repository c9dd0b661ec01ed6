//! What the configuration says about one feed. The definition is stored with the text of its formats, so a batch can
//! be rendered again by a later program even when the configuration has changed.

use crate::document::{Document, Place, Placed, Problems, Table, Value, read_document};
use crate::domain::counter::{CounterReset, CounterRule};
use crate::domain::ids::{FeedId, Sha256Digest, SourceId};
use crate::domain::period::{Period, Zone};
use crate::domain::time::{Length, UtcTime};
use crate::format::expression::Expression;
use crate::format::spec::{FormatSpec, read_format};
use crate::format::template::Template;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What is sent for an hour without records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EmptyPolicy {
    /// A manifest that lists no files.
    #[default]
    Manifest,
    /// A part file with header and trailer, and a manifest.
    HeaderAndTrailer,
    /// Nothing; the hour is a fact in the ledger only.
    None,
}

/// What happens to a record of an hour that was sealed before it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LatePolicy {
    /// A new part file and a new revision of the manifest.
    #[default]
    Supplement,
    /// It goes into the next open hour.
    Next,
    /// It goes to quarantine.
    Quarantine,
}

/// When an hour closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseRule {
    /// The clock is past end + grace, and every source has been read that far.
    Clock,
    /// Every source has shown a record this much later than the end of the hour; a source without new records for
    /// `idle` does not hold it up.
    Watermark {
        /// How much out of order records may be.
        lateness: Length,
        /// When a silent source drops out.
        idle: Length,
    },
}

/// What happens when a source could not be read in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AfterWait {
    /// The hour waits for a person.
    #[default]
    Hold,
    /// It is sealed, and the manifest says `source_incomplete`.
    Seal,
}

/// The manifest of a feed.
#[derive(Debug, Clone)]
pub struct ManifestDefinition {
    /// Layout; `None` is the built-in JSON document.
    pub format: Option<Arc<FormatSpec>>,
    /// File name.
    pub name: Template,
    /// Where the name stands.
    pub name_place: Place,
    /// Numbers of manifests.
    pub sequence: CounterRule,
}

/// What the configuration says about one feed.
#[derive(Debug, Clone)]
pub struct FeedDefinition {
    /// Which feed.
    pub id: FeedId,
    /// Where its records come from.
    pub sources: Vec<Placed<SourceId>>,
    /// Which records it takes.
    pub filter: Option<Placed<Expression>>,
    /// Layout of part files.
    pub format: Arc<FormatSpec>,
    /// Where the format is named.
    pub format_place: Place,
    /// The manifest; `None` when the partner wants none.
    pub manifest: Option<ManifestDefinition>,
    /// Length and zone of its hours.
    pub period: Period,
    /// The time field that puts a record into an hour.
    pub hour_by: Placed<String>,
    /// Records before this time are not exported.
    pub starts_at: Option<UtcTime>,
    /// Records at or after this time are not exported.
    pub ends_at: Option<UtcTime>,
    /// Without `starts_at`: how far before the clock an event time may lie.
    pub behind_max: Length,
    /// How far after the clock an event time may lie.
    pub ahead_max: Length,
    /// Name of part files.
    pub name: Template,
    /// Where the name stands.
    pub name_place: Place,
    /// Numbers of part files.
    pub sequence: CounterRule,
    /// Empty hours.
    pub empty: EmptyPolicy,
    /// Late records.
    pub late: LatePolicy,
    /// When an hour closes.
    pub close: CloseRule,
    /// Extra wait after the end of an hour.
    pub grace: Length,
    /// Longest wait for a source after end + grace; `None` waits for ever.
    pub wait_max: Option<Length>,
    /// What happens then.
    pub after_wait: AfterWait,
    /// Share of records in quarantine, in 1/10000, above which an hour is held.
    pub reject_max: u64,
    /// Most records in a part file.
    pub records_max: Option<u64>,
    /// Most bytes in a part file.
    pub bytes_max: Option<u64>,
    /// Seal and archive, deliver nothing.
    pub shadow: bool,
    /// An hour that is not delivered this long after its end is overdue.
    pub deadline: Length,
    /// The definition as it is stored.
    pub text: String,
    /// SHA-256 of the text in hexadecimal digits.
    pub hash: String,
}

/// Finds a format by name and reports when there is none.
pub type FormatFinder<'f> = dyn Fn(&Placed<String>, &Problems) -> Option<Arc<FormatSpec>> + 'f;

const RESETS: [(&str, CounterReset); 4] = [
    ("never", CounterReset::Never),
    ("day", CounterReset::Daily),
    ("month", CounterReset::Monthly),
    ("year", CounterReset::Yearly),
];

impl FeedDefinition {
    /// Reads the table of a feed. All problems are reported; `None` when the feed cannot be used.
    pub fn read(table: Table<'_>, id: FeedId, formats: &FormatFinder<'_>) -> Option<Self> {
        let text = table.canonical_text();
        let problems = table.problems().clone();
        let sources = read_sources(&table);
        let filter = table.text("where").and_then(|text| read_filter(text, &problems));
        let format_name = table.required_text("format");
        let format = format_name.as_ref().and_then(|name| formats(name, &problems));
        let period = read_period(&table);
        let hour_by = table.required_text("hour_by");
        let name = table.required_text("name");
        let name_place = table.place_of("name");
        let name = name.and_then(|text| read_template(&text, &problems));
        let sequence = table.table("sequence").map(read_counter).unwrap_or_default();
        let manifest = read_manifest(&table, formats);
        let (starts_at, ends_at) = (read_time(&table, "starts_at"), read_time(&table, "ends_at"));
        let policies = Policies::read(&table);
        table.finish();
        let (format, format_place) = (format?, format_name?.place);
        let text = stored_text(&id, &text, &format, manifest.as_ref()?.as_ref().and_then(|m| m.format.as_ref()));
        Some(Self {
            id,
            sources: sources?,
            filter: filter.unwrap_or_default(),
            format,
            format_place,
            manifest: manifest?,
            period: period?,
            hour_by: hour_by?,
            starts_at,
            ends_at,
            behind_max: policies.behind_max,
            ahead_max: policies.ahead_max,
            name: name?,
            name_place,
            sequence,
            empty: policies.empty,
            late: policies.late,
            close: policies.close,
            grace: policies.grace,
            wait_max: policies.wait_max,
            after_wait: policies.after_wait,
            reject_max: policies.reject_max,
            records_max: policies.records_max,
            bytes_max: policies.bytes_max,
            shadow: policies.shadow,
            deadline: policies.deadline,
            hash: sha256_hex(&text),
            text,
        })
    }

    /// Reads a definition as it was stored.
    ///
    /// # Errors
    /// The first problem, when this program cannot read what an earlier one stored.
    pub fn from_stored(text: &str) -> Result<Self, String> {
        let problems = Problems::default();
        let document = Document { name: "stored definition".to_owned(), text: text.to_owned() };
        let read = read_document(document, &problems, |root| {
            let id = root.required_text("feed").and_then(|feed| FeedId::parse(&feed.value).ok());
            let formats = root.table("formats")?;
            let finder = |name: &Placed<String>, problems: &Problems| {
                let stored = formats.entries().into_iter().find(|(known, _)| known.value == name.value)?;
                let Value::Text(text) = stored.1 else { return None };
                let document = Document { name: name.value.clone(), text: text.value };
                read_format(document, &name.value, problems).map(Arc::new)
            };
            Self::read(root.table("settings")?, id?, &finder)
        });
        let found = problems.take();
        read.flatten().ok_or_else(|| found.into_iter().next().map_or_else(String::new, |problem| problem.message))
    }

    /// Name of the counter of part files in the ledger.
    #[must_use]
    pub fn counter_name(&self) -> String {
        self.id.to_string()
    }

    /// Name of the counter of manifests in the ledger.
    #[must_use]
    pub fn manifest_counter_name(&self) -> String {
        format!("{}#manifest", self.id)
    }
}

struct Policies {
    behind_max: Length,
    ahead_max: Length,
    empty: EmptyPolicy,
    late: LatePolicy,
    close: CloseRule,
    grace: Length,
    wait_max: Option<Length>,
    after_wait: AfterWait,
    reject_max: u64,
    records_max: Option<u64>,
    bytes_max: Option<u64>,
    shadow: bool,
    deadline: Length,
}

impl Policies {
    fn read(table: &Table<'_>) -> Self {
        let length = |key, default| table.length(key).map_or(Length::from_seconds(default), |l| l.value);
        let empty = [
            ("manifest", EmptyPolicy::Manifest),
            ("header and trailer", EmptyPolicy::HeaderAndTrailer),
            ("none", EmptyPolicy::None),
        ];
        let late = [
            ("supplement", LatePolicy::Supplement),
            ("next", LatePolicy::Next),
            ("quarantine", LatePolicy::Quarantine),
        ];
        let grace = length("grace", 0);
        Self {
            behind_max: length("behind_max", 31 * 86_400),
            ahead_max: length("ahead_max", 3600),
            empty: table.choice("empty", &empty).map(|c| c.value).unwrap_or_default(),
            late: table.choice("late", &late).map(|c| c.value).unwrap_or_default(),
            close: read_close(table),
            grace,
            wait_max: table.length("wait_max").map(|l| l.value),
            after_wait: table
                .choice("after_wait", &[("hold", AfterWait::Hold), ("seal", AfterWait::Seal)])
                .map(|c| c.value)
                .unwrap_or_default(),
            reject_max: read_share(table, "reject_max").unwrap_or(100),
            records_max: read_limit(table.count("records_max"), table),
            bytes_max: read_limit(table.size("bytes_max"), table),
            shadow: table.bool("shadow").is_some_and(|b| b.value),
            deadline: table
                .length("deadline")
                .map_or_else(|| Length::from_seconds(grace.seconds().saturating_add(3600)), |l| l.value),
        }
    }
}

fn read_limit(limit: Option<Placed<u64>>, table: &Table<'_>) -> Option<u64> {
    let limit = limit?;
    if limit.value == 0 {
        table.problems().add(limit.place.error("a part file must have room for a record"));
    }
    Some(limit.value)
}

fn read_sources(table: &Table<'_>) -> Option<Vec<Placed<SourceId>>> {
    table.require("source");
    let names = table.texts("source")?;
    let parsed = names.into_iter().filter_map(|name| match SourceId::parse(&name.value) {
        Ok(value) => Some(Placed { value, place: name.place }),
        Err(fault) => {
            table.problems().add(name.place.error(fault.to_string()));
            None
        }
    });
    Some(parsed.collect())
}

/// The outer `Option` is `None` when there is a filter that cannot be read.
#[expect(clippy::option_option, reason = "absent and unreadable are different")]
fn read_filter(text: Placed<String>, problems: &Problems) -> Option<Option<Placed<Expression>>> {
    match Expression::parse(&text.value) {
        Ok(value) => Some(Some(Placed { value, place: text.place })),
        Err(fault) => {
            problems.add(text.place.error(format!("`where`: {fault}")));
            None
        }
    }
}

fn read_template(text: &Placed<String>, problems: &Problems) -> Option<Template> {
    Template::parse(&text.value).map_err(|fault| problems.add(text.place.error(format!("file name: {fault}")))).ok()
}

/// A zone, or a problem with advice.
pub(crate) fn read_zone(text: &Placed<String>, problems: &Problems) -> Option<Zone> {
    Zone::parse(&text.value).or_else(|| {
        let mut problem = text.place.error(format!("unknown time zone \"{}\"", text.value));
        problem.hint = crate::document::nearest(&text.value, Zone::names())
            .map(|name| format!("did you mean \"{name}\"?"))
            .or_else(|| Some("write an IANA name such as \"Asia/Shanghai\", \"UTC\" or \"+08:00\"".to_owned()));
        problems.add(problem);
        None
    })
}

fn read_period(table: &Table<'_>) -> Option<Period> {
    let zone_text = table.text("zone");
    let zone = match &zone_text {
        None => Some(Zone::UTC),
        Some(text) => read_zone(text, table.problems()),
    };
    let length = table.length("period");
    let place = table.place_of("period");
    let length = length.map_or_else(|| (!table.has("period")).then(|| Length::from_seconds(3600)), |l| Some(l.value));
    let (zone, length) = (zone?, length?);
    let period = Period::new(length, zone);
    if period.is_none() {
        let hint = "write 1m to 1d in whole minutes, a divisor of an hour or of a day";
        table.problems().add(place.error_with_hint(format!("hours of {length} do not line up with the clock"), hint));
    }
    period
}

fn read_time(table: &Table<'_>, key: &'static str) -> Option<UtcTime> {
    let text = table.text(key)?;
    let at = chrono::DateTime::parse_from_rfc3339(&text.value).ok();
    if at.is_none() {
        let hint = "write it with an offset, such as \"2026-12-01T00:00:00+08:00\"";
        table.problems().add(text.place.error_with_hint(format!("`{key}` is not a time"), hint));
    }
    UtcTime::from_seconds(at?.timestamp())
}

fn read_close(table: &Table<'_>) -> CloseRule {
    let watermark = table.choice("close", &[("clock", false), ("watermark", true)]).is_some_and(|c| c.value);
    let (lateness, idle) = (table.length("lateness"), table.length("idle"));
    if !watermark {
        for given in [lateness.as_ref(), idle.as_ref()].into_iter().flatten() {
            let message = "`lateness` and `idle` belong to close = \"watermark\"";
            table.problems().add(given.place.error(message));
        }
        return CloseRule::Clock;
    }
    if lateness.is_none() {
        let message = "close = \"watermark\" needs `lateness`: how much out of order records may be";
        table.problems().add(table.place_of("close").error(message));
    }
    let idle = idle.map_or(Length::from_seconds(3600), |l| l.value);
    CloseRule::Watermark { lateness: lateness.map_or(Length::ZERO, |l| l.value), idle }
}

/// A share such as `"1%"` or `"0.5%"`, in 1/10000.
fn read_share(table: &Table<'_>, key: &'static str) -> Option<u64> {
    let text = table.text(key)?;
    let parsed = text.value.strip_suffix('%').and_then(|number| {
        let hundredths = crate::record::Decimal::parse(number.as_bytes()).ok()?;
        let whole = hundredths.scaled(100, 1, 0, crate::record::Rounding::Exact).ok()?;
        u64::try_from(whole.mantissa()).ok().filter(|share| *share <= 10_000)
    });
    if parsed.is_none() {
        table.problems().add(text.place.error(format!("`{key}` must be a share such as \"1%\" or \"0.5%\"")));
    }
    parsed
}

fn read_counter(table: Table<'_>) -> CounterRule {
    let number = |key| table.count(key).map(|n| n.value);
    let reset = table.choice("reset", &RESETS).map_or(CounterReset::Never, |c| c.value);
    let rule = CounterRule { first: number("first").unwrap_or(1), last: number("last"), then: number("then"), reset };
    if rule.last.is_some_and(|last| last < rule.first.max(rule.then.unwrap_or(0))) {
        let message = "`last` must not be below `first` and `then`";
        table.problems().add(table.place_of("last").error(message));
    }
    if rule.then.is_some() && rule.last.is_none() {
        table.problems().add(table.place_of("then").error("`then` says what follows `last`, which is missing"));
    }
    table.finish();
    rule
}

/// The outer `Option` is `None` when the manifest cannot be read.
#[expect(clippy::option_option, reason = "absent and unreadable are different")]
fn read_manifest(table: &Table<'_>, formats: &FormatFinder<'_>) -> Option<Option<ManifestDefinition>> {
    let manifest = match table.value("manifest") {
        Some(Value::Bool(wanted)) if !wanted.value => return Some(None),
        Some(Value::Table(manifest)) => manifest,
        Some(other) => {
            let hint = "write manifest = { name = \"HX_{start:%Y%m%d%H}_{revision:02}.sum\" } or manifest = false";
            table.problems().add(other.place().error_with_hint("`manifest` is a table or false", hint));
            return None;
        }
        None => {
            let template = Template::parse("{partner}_{feed}_{start:%Y%m%dT%H%M%SZ@UTC}_r{revision:02}.json").ok()?;
            let name_place = table.place().clone();
            let definition =
                ManifestDefinition { format: None, name: template, name_place, sequence: CounterRule::default() };
            return Some(Some(definition));
        }
    };
    let problems = table.problems().clone();
    let format_name = manifest.text("format");
    let format = match &format_name {
        None => Some(None),
        Some(name) if name.value == "json" => Some(None),
        Some(name) => formats(name, &problems).map(Some),
    };
    let name_place = manifest.place_of("name");
    let name = manifest.required_text("name").and_then(|text| read_template(&text, &problems));
    let sequence = manifest.table("sequence").map(read_counter).unwrap_or_default();
    manifest.finish();
    Some(Some(ManifestDefinition { format: format?, name: name?, name_place, sequence }))
}

fn stored_text(id: &FeedId, settings: &str, format: &FormatSpec, manifest: Option<&Arc<FormatSpec>>) -> String {
    let mut formats = toml::Table::new();
    for spec in std::iter::once(format).chain(manifest.map(AsRef::as_ref)) {
        formats.insert(spec.name.clone(), toml::Value::String(spec.text.clone()));
    }
    let mut root = toml::Table::new();
    root.insert("feed".to_owned(), toml::Value::String(id.to_string()));
    root.insert("formats".to_owned(), toml::Value::Table(formats));
    root.insert("settings".to_owned(), toml::Value::Table(settings.parse().unwrap_or_default()));
    root.to_string()
}

fn sha256_hex(text: &str) -> String {
    Sha256Digest(Sha256::digest(text).into()).to_string()
}
