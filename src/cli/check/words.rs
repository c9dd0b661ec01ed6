//! A feed's configuration in plain words.

use super::fields;
use crate::app::config::{Config, PartnerConfig, Retention, SecretReference, SourceConfig, SourceKind};
use crate::cli::table::grouped;
use crate::cli::times::Face;
use crate::domain::counter::{CounterReset, CounterRule};
use crate::domain::delivery::ContentCheck;
use crate::feed::definition::{AfterWait, CloseRule, EmptyPolicy, FeedDefinition, LatePolicy};
use crate::format::dialect::{Dialect, FormatKind, LineEnd};
use crate::format::spec::FormatSpec;
use crate::intake::files::{FinishedRule, KnownContent, ThenRule};
use crate::remote::Endpoint;
use crate::remote::endpoint::{DataConnections, FtpEndpoint, HostKeys, Protection, SftpLogin};
use crate::remote::local_dir::{DropAccess, DropRule};
use crate::remote::tls::{TlsVersion, Trust};
use std::net::IpAddr;

/// Topic and statement, in the order of a record's way.
pub fn feed(
    config: &Config,
    partner: &PartnerConfig,
    feed: &FeedDefinition,
    face: Face,
) -> Vec<(&'static str, String)> {
    let mut said = Vec::new();
    for id in &feed.sources {
        if let Some(found) = config.source(&id.value) {
            said.push(("reads", source(found)));
        }
    }
    said.push(("takes", filter(feed)));
    let begin = match (feed.starts_at, feed.ends_at) {
        (None, None) => "; it begins with the first record".to_owned(),
        (Some(start), None) => format!("; it begins at {}", face.minute(start.seconds())),
        (None, Some(end)) => format!("; it ends at {}", face.minute(end.seconds())),
        (Some(start), Some(end)) => {
            format!("; it begins at {} and ends at {}", face.minute(start.seconds()), face.minute(end.seconds()))
        }
    };
    let length = crate::domain::time::Length::from_seconds(u64::try_from(feed.period.nominal_seconds()).unwrap_or(0));
    said.push((
        "hours",
        format!("of {length} by `{}`, on the clock of {}{begin}", feed.hour_by.value, feed.period.zone()),
    ));
    said.push(("writes", written(&feed.format)));
    let splits = match (feed.records_max, feed.bytes_max) {
        (None, None) => String::new(),
        (Some(records), None) => format!("; a new part after {} records", grouped(records)),
        (None, Some(bytes)) => format!("; a new part after {} bytes", grouped(bytes)),
        (Some(records), Some(bytes)) => {
            format!("; a new part after {} records or {} bytes", grouped(records), grouped(bytes))
        }
    };
    said.push(("names", format!("{}{splits}", feed.name.text())));
    said.push(("numbers", counter(feed.sequence)));
    said.push(("manifest", manifest(feed)));
    said.push(("empty hours", empty(feed.empty).to_owned()));
    said.push(("late records", late(feed.late).to_owned()));
    said.push(("closes", closes(feed)));
    let share = format!("{}.{:02}", feed.reject_max / 100, feed.reject_max % 100);
    let share = share.trim_end_matches('0').trim_end_matches('.');
    said.push(("held", format!("when more than {share} % of its records cannot be taken")));
    said.push(("overdue", format!("when not delivered {} after its end", feed.deadline)));
    said.push(("delivers", delivers(partner, feed)));
    said
}

/// The filter as it was typed.
fn filter(feed: &FeedDefinition) -> String {
    let stored: toml::Table = feed.text.parse().unwrap_or_default();
    let typed = stored.get("settings").and_then(|settings| settings.get("where")).and_then(toml::Value::as_str);
    match (&feed.filter, typed) {
        (Some(_), Some(typed)) => format!("records where {typed}"),
        (Some(_), None) | (None, _) => "every record".to_owned(),
    }
}

fn source(source: &SourceConfig) -> String {
    let read = source.read.schema();
    let format =
        format!("format {} ({}, {})", source.format.name, dialect(&source.format.dialect), fields(read.fields.len()));
    let rules = match &source.kind {
        SourceKind::Stdin => return format!("{}: standard input; {format}", source.id),
        SourceKind::Files(rules) => rules,
    };
    let finished = match &rules.finished {
        FinishedRule::Renamed => "complete as soon as they are there".to_owned(),
        FinishedRule::Marker(pattern) => format!("complete when {pattern} lies beside them"),
        FinishedRule::Quiet(length) => format!("complete when unchanged for {length}"),
        FinishedRule::Append => "logs that grow and are followed through rotation".to_owned(),
    };
    let then = match &rules.then {
        ThenRule::Keep => "they stay where they are".to_owned(),
        ThenRule::Move(dir) => format!("then they are moved to {}", dir.display()),
        ThenRule::Delete => "then they are deleted".to_owned(),
    };
    let known = if rules.known_content == rules.changed_content {
        format!("known and changed files {}", known(rules.known_content))
    } else {
        format!("known files {}, changed files {}", known(rules.known_content), known(rules.changed_content))
    };
    let numbered = rules.numbered.as_ref().map(|n| format!("; numbered as {}{{n}}{}", n.before, n.after));
    let silent = source.silent_max.map(|length| format!("; suspicious when silent for {length}"));
    format!(
        "{}: {}, {finished}; {then}{}{}; {known}; {format}",
        source.id,
        rules.path.display(),
        numbered.unwrap_or_default(),
        silent.unwrap_or_default(),
    )
}

const fn known(policy: KnownContent) -> &'static str {
    match policy {
        KnownContent::Hold => "wait for you",
        KnownContent::Skip => "are counted as duplicates",
        KnownContent::Read => "are read",
    }
}

/// `delimited by "|", GB18030`.
pub fn dialect(dialect: &Dialect) -> String {
    let kind = match dialect.kind {
        FormatKind::Delimited => format!("delimited by \"{}\"", dialect.separator.escape_debug()),
        FormatKind::Fixed => "fixed columns".to_owned(),
        FormatKind::JsonLines => "JSON lines".to_owned(),
    };
    let width = dialect.line_bytes.map(|bytes| format!(" of {bytes} bytes")).unwrap_or_default();
    format!("{kind}{width}, {}", charset(dialect.charset.name()))
}

/// A charset as people write it.
fn charset(name: &str) -> String {
    if name.starts_with("windows") { name.to_owned() } else { name.to_uppercase() }
}

/// A format as it is written: `huaxin-voice 1.4: delimited by "|", GB18030, CRLF, 1 header line, 1 trailer line`.
pub fn written(format: &FormatSpec) -> String {
    let end = match format.dialect.line_end {
        LineEnd::Lf => "LF",
        LineEnd::CrLf => "CRLF",
        LineEnd::Cr => "CR",
    };
    let version = format.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let frame = format.write.as_ref().map_or_else(String::new, |write| {
        let lines = |count: usize, word: &str| match count {
            0 => format!("no {word}"),
            1 => format!("a {word}"),
            several => format!("{several} lines of {word}"),
        };
        let header = lines(write.header.len() + usize::from(write.header_names), "header");
        format!(", {header}, {}", lines(write.trailer.len(), "trailer"))
    });
    format!("{}{version}: {}, {end}{frame}", format.name, dialect(&format.dialect))
}

fn counter(rule: CounterRule) -> String {
    let CounterRule { first, last, then, reset } = rule;
    let end = match (last, then) {
        (None, _) => String::new(),
        (Some(last), None) => format!(" to {last}, where the feed stops"),
        (Some(last), Some(then)) => format!(" to {last}, then from {then} again"),
    };
    let reset = match reset {
        CounterReset::Never => "",
        CounterReset::Daily => ", beginning again every day",
        CounterReset::Monthly => ", beginning again every month",
        CounterReset::Yearly => ", beginning again every year",
    };
    format!("part files from {first}{end}{reset}, without gap")
}

fn manifest(feed: &FeedDefinition) -> String {
    let Some(manifest) = &feed.manifest else { return "none".to_owned() };
    let layout = match &manifest.format {
        None => "JSON".to_owned(),
        Some(format) => written(format),
    };
    format!("{}, appears after all files of the hour; {layout}", manifest.name.text())
}

const fn empty(policy: EmptyPolicy) -> &'static str {
    match policy {
        EmptyPolicy::Manifest => "are stated by a manifest that lists no file",
        EmptyPolicy::HeaderAndTrailer => "give a file with header and trailer, and a manifest",
        EmptyPolicy::None => "give no file; they are a fact in the ledger only",
    }
}

const fn late(policy: LatePolicy) -> &'static str {
    match policy {
        LatePolicy::Supplement => "give a new part file and a new revision of the manifest",
        LatePolicy::Next => "go into the next open hour",
        LatePolicy::Quarantine => "go to quarantine",
    }
}

fn closes(feed: &FeedDefinition) -> String {
    let rule = match feed.close {
        CloseRule::Clock if feed.grace == crate::domain::time::Length::ZERO => {
            "at its end, once every source has been read that far".to_owned()
        }
        CloseRule::Clock => format!("{} after its end, once every source has been read that far", feed.grace),
        CloseRule::Watermark { lateness, idle } => format!(
            "when every source has shown a record {lateness} later than its end; a source silent for {idle} does not count"
        ),
    };
    let wait = match (feed.wait_max, feed.after_wait) {
        (None, _) => String::new(),
        (Some(length), AfterWait::Hold) => format!("; after {length} of waiting it is held for you"),
        (Some(length), AfterWait::Seal) => format!("; after {length} of waiting it is sealed as incomplete"),
    };
    format!("{rule}{wait}")
}

/// The scheme, and what a server must prove.
fn protected(protection: &Protection) -> (&'static str, String) {
    let (rules, mode) = match protection {
        Protection::None => return ("ftp", String::new()),
        Protection::Explicit(rules) => (rules, ""),
        Protection::Implicit(rules) => (rules, " from the first byte"),
    };
    let version = match rules.max {
        TlsVersion::V1_2 => "1.2",
        TlsVersion::V1_3 => "1.2 or 1.3",
    };
    let trust = match &rules.trust {
        Trust::System => "trusted by this machine".to_owned(),
        Trust::Authority(path) => format!("signed by {}", path.display()),
        Trust::Pinned(pins) if pins.len() == 1 => "pinned".to_owned(),
        Trust::Pinned(pins) => format!("one of {} that are pinned", pins.len()),
    };
    ("ftps", format!(" (TLS {version}{mode}, certificate {trust})"))
}

/// What differs from how sessions usually go.
fn on_the_wire(ftp: &FtpEndpoint) -> String {
    let mut words = leaves_from(ftp.bind);
    if ftp.wire.data == DataConnections::Active {
        words.push_str(", data connections opened by the server");
    }
    if !ftp.wire.charset.is_utf8() {
        words.push_str(&format!(", names in {}", ftp.wire.charset.name()));
    }
    words
}

fn leaves_from(bind: Option<IpAddr>) -> String {
    bind.map_or_else(String::new, |address| format!(", from {address}"))
}

fn delivers(partner: &PartnerConfig, feed: &FeedDefinition) -> String {
    if feed.shadow {
        return "nothing: shadow = true seals and archives only".to_owned();
    }
    let place = match &partner.address.endpoint {
        Endpoint::Ftp(ftp) => {
            let port = if ftp.port == 21 { String::new() } else { format!(":{}", ftp.port) };
            let (scheme, how) = protected(&ftp.protection);
            let wire = on_the_wire(ftp);
            format!("to {} on {scheme}://{}@{}{port}{how}{wire}", directory(partner), ftp.user, ftp.host)
        }
        Endpoint::Sftp(sftp) => {
            let port = if sftp.port == 22 { String::new() } else { format!(":{}", sftp.port) };
            let keys = match &sftp.host_keys {
                HostKeys::Pinned(pins) if pins.len() == 1 => "host key pinned".to_owned(),
                HostKeys::Pinned(pins) => format!("{} host keys pinned", pins.len()),
                HostKeys::KnownHosts(path) => format!("host keys from {}", path.display()),
                HostKeys::FirstUse(_) => "the first host key it shows".to_owned(),
            };
            let key = match &sftp.login {
                SftpLogin::Password(_) => String::new(),
                SftpLogin::Key(path) => format!(", private key {}", path.display()),
            };
            let (directory, from) = (directory(partner), leaves_from(sftp.bind));
            format!("to {directory} on sftp://{}@{}{port} ({keys}{key}){from}", sftp.user, sftp.host)
        }
        Endpoint::LocalDir { path, rule } => format!("to the directory {}{}", path.display(), dropped(rule)),
    };
    let password = partner.password.as_ref().map(|reference| match reference {
        SecretReference::Env(name) => format!(", password from the variable {name}"),
        SecretReference::File(path) => format!(", password from {}", path.display()),
        SecretReference::Credential(name) => format!(", password from the credential {name}"),
    });
    let temporary = match &partner.temporary_dir {
        _ if !partner.rename => "; uploads have their final names at once, the manifest comes last".to_owned(),
        Some(dir) => format!("; uploads go through {dir}"),
        None => "; uploads have a temporary name until they are complete".to_owned(),
    };
    let check = match partner.check {
        ContentCheck::Size => "",
        ContentCheck::Hash => "; the server's SHA-256 is compared before a file is shown",
        ContentCheck::ReadBack => "; every file is read back and compared before it is shown",
    };
    let pickup = partner.pickup.as_ref().map(|rule| {
        let within = rule.within.map(|length| format!(" within {length}")).unwrap_or_default();
        match (rule.expects(), rule.remove_after) {
            (true, _) => format!("; the partner shows that it took a file: {}{within}", rule.by),
            (false, None) => "; the partner keeps files".to_owned(),
            (false, Some(after)) => format!("; the partner keeps files: hourdrop removes them after {after}"),
        }
    });
    let standby: Vec<String> = partner.standby.iter().map(|other| format!("; then {}", other.endpoint)).collect();
    let (password, standby) = (password.unwrap_or_default(), standby.concat());
    let fetches = partner
        .pickup_login
        .as_ref()
        .map(|login| format!("; the partner fetches as {} from the pickup server", login.user.value));
    let fetches = fetches.unwrap_or_default();
    format!("{place}{password}{standby}{temporary}{check}{fetches}{}", pickup.unwrap_or_default())
}

/// How files come into a directory of this machine.
fn dropped(rule: &DropRule) -> String {
    let DropRule::Copied(DropAccess { mode, owner, group }) = rule else {
        return " as hard links to the archive".to_owned();
    };
    let owner = owner.as_ref().map(|name| format!(", owner {name}"));
    let group = group.as_ref().map(|name| format!(", group {name}"));
    let mode = mode.map(|bits| format!(", mode {bits:04o}"));
    [owner, group, mode].into_iter().flatten().collect()
}

fn directory(partner: &PartnerConfig) -> String {
    let directory = partner.address.directory.as_str();
    if directory == "." { "the login directory".to_owned() } else { directory.to_owned() }
}

/// How long the archive keeps files.
pub fn retention(keep: Retention) -> String {
    match keep {
        Retention::Forever => "for ever".to_owned(),
        Retention::For(length) => format!("for {length}"),
    }
}
