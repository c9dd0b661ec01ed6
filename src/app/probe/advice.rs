//! Lines for the configuration: only what is needed, or better than what is configured.

use super::{ProbeReport, Transfers, Tried};
use crate::domain::delivery::ContentCheck;
use crate::remote::Endpoint;
use crate::remote::endpoint::{FtpEndpoint, HostKeys, Protection};
use crate::remote::tls::{TlsRules, TlsVersion, Trust};

/// The port on which `ftps://` means TLS from the first byte.
const IMPLICIT_PORT: u16 = 990;

/// One setting of a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The line, TOML, for `[partner.NAME]`. It replaces the line with the same key.
    pub line: String,
    /// Why, and what to do before.
    pub why: &'static str,
    /// Without it nothing is delivered.
    pub is_needed: bool,
}

/// What to write.
pub(super) fn advise(report: &ProbeReport) -> Vec<Advice> {
    let advice = [host_key(report), tls(report), data(report), rename(report), verify(report), deliver(report)];
    advice.into_iter().flatten().collect()
}

fn host_key(report: &ProbeReport) -> Option<Advice> {
    let ssh = report.reach.as_ref()?.ssh.as_ref().filter(|ssh| !ssh.is_known && !ssh.keys.is_empty())?;
    let mut prints: Vec<String> = ssh.keys.iter().map(|key| quoted(&key.fingerprint)).collect();
    if let (true, Endpoint::Sftp(sftp)) = (report.wanted.is_one_of_several, &report.endpoint)
        && let HostKeys::Pinned(others) = &sftp.host_keys
    {
        prints.splice(0..0, others.iter().map(|print| quoted(print)));
    }
    let why = "first compare the fingerprints with what the partner says; this takes the place of `known_hosts`";
    Some(Advice { line: format!("host_key = [{}]", prints.join(", ")), why, is_needed: true })
}

fn tls(report: &ProbeReport) -> Option<Advice> {
    let Endpoint::Ftp(ftp) = &report.endpoint else { return None };
    let (Protection::Explicit(rules) | Protection::Implicit(rules)) = &ftp.protection else { return None };
    let facts = report.reach.as_ref()?.tls.as_ref()?;
    let advice = |rules: TlsRules, why, is_needed| Some(Advice { line: tls_line(ftp, &rules), why, is_needed });
    if facts.version.is_none() && facts.offers_1_3 {
        let why = "the server speaks TLS 1.3 only";
        return advice(TlsRules { max: TlsVersion::V1_3, ..rules.clone() }, why, true);
    }
    if facts.distrust.is_some()
        && let Some(print) = facts.certificate.fingerprint
    {
        let why = "first compare the fingerprint with what the partner says; then exactly this certificate is trusted";
        let mut pins = match &rules.trust {
            Trust::Pinned(others) if report.wanted.is_one_of_several => others.clone(),
            Trust::Pinned(_) | Trust::System | Trust::Authority(_) => Vec::new(),
        };
        pins.push(print);
        return advice(TlsRules { trust: Trust::Pinned(pins), ..rules.clone() }, why, true);
    }
    if report.endpoint.avoids_newest_tls() {
        let why = "with TLS 1.3 the server refuses data connections, which costs a session each time hourdrop starts";
        return advice(TlsRules { max: TlsVersion::V1_2, ..rules.clone() }, why, false);
    }
    let is_short = |transfers: &Transfers| transfers.wanted > 0 && transfers.done < transfers.wanted;
    if rules.max == TlsVersion::V1_3 && is_short(&report.trials.transfers) {
        let why = "with TLS 1.3 the server refuses data connections after the first ones";
        return advice(TlsRules { max: TlsVersion::V1_2, ..rules.clone() }, why, true);
    }
    let newer = &report.trials.transfers_1_3;
    if newer.wanted > 0 && newer.done == newer.wanted {
        let why = "the server takes several files over one session of TLS 1.3, too";
        return advice(TlsRules { max: TlsVersion::V1_3, ..rules.clone() }, why, false);
    }
    None
}

/// `tls = { … }` with everything that is not the default.
fn tls_line(ftp: &FtpEndpoint, rules: &TlsRules) -> String {
    let mut parts = Vec::new();
    match (&ftp.protection, ftp.port == IMPLICIT_PORT) {
        (Protection::Implicit(_), false) => parts.push("mode = \"implicit\"".to_owned()),
        (Protection::Explicit(_), true) => parts.push("mode = \"explicit\"".to_owned()),
        _ => {}
    }
    match &rules.trust {
        Trust::System => {}
        Trust::Authority(path) => parts.push(format!("ca = {}", quoted(&path.display().to_string()))),
        Trust::Pinned(pins) => {
            let pins: Vec<String> = pins.iter().map(|pin| quoted(&format!("sha256:{pin}"))).collect();
            parts.push(format!("pins = [{}]", pins.join(", ")));
        }
    }
    parts.extend(rules.name.iter().map(|name| format!("name = {}", quoted(name))));
    parts.push(format!("max = \"{}\"", if rules.max == TlsVersion::V1_2 { "1.2" } else { "1.3" }));
    format!("tls = {{ {} }}", parts.join(", "))
}

/// The other way to open data connections, where that of the configuration does not work and the other does.
fn data(report: &ProbeReport) -> Option<Advice> {
    let (line, why) = match (report.other_data_works, report.is_active()) {
        (false, _) => return None,
        (true, true) => ("data = \"passive\"", "the server cannot open data connections to this machine"),
        (true, false) => ("data = \"active\"", "no data connection can be opened to the server, but it can open them"),
    };
    Some(Advice { line: line.to_owned(), why, is_needed: true })
}

/// Without a rename every feed needs a manifest; with a temporary directory the rename may fail because of that.
fn rename(report: &ProbeReport) -> Option<Advice> {
    let can_rename = report.can_rename()?;
    if can_rename == report.wanted.rename || report.temporary_dir.is_some() {
        return None;
    }
    let why = if can_rename {
        "the server can rename: then nobody sees a file that is not complete"
    } else {
        "only if the partner cannot let the account rename: first agree that it reads nothing but what a manifest lists"
    };
    Some(Advice { line: format!("rename = {can_rename}"), why, is_needed: !can_rename })
}

/// The strongest comparison that costs no traffic; another one where that of the configuration is not to be had.
fn verify(report: &ProbeReport) -> Option<Advice> {
    if matches!(report.endpoint, Endpoint::LocalDir { .. }) {
        return None;
    }
    let (states_hashes, can_read) = match (&report.trials.server_hash, &report.trials.read_back) {
        (Tried::Not, _) | (_, Tried::Not) => return None,
        (hash, read) => (*hash == Tried::Done(Some(true)), *read == Tried::Done(true)),
    };
    let several = report.wanted.is_one_of_several;
    let (check, why) = match report.wanted.check {
        ContentCheck::Size | ContentCheck::ReadBack if states_hashes && several => {
            ("hash", "this server states the SHA-256 of what it holds; good if every endpoint does")
        }
        ContentCheck::Size if states_hashes => {
            ("hash", "the server states the SHA-256 of what it holds: it proves the content, not only the size")
        }
        ContentCheck::ReadBack if states_hashes => {
            ("hash", "the server states the SHA-256 of what it holds: it proves the same with half the traffic")
        }
        ContentCheck::Hash if !states_hashes && can_read => (
            "read-back",
            "the server states no right SHA-256; what is read back proves the content with twice the traffic",
        ),
        ContentCheck::Hash | ContentCheck::ReadBack if !states_hashes && !can_read => {
            ("size", "the server states no right SHA-256, and lets nothing be read back")
        }
        ContentCheck::Size | ContentCheck::Hash | ContentCheck::ReadBack => return None,
    };
    Some(Advice { line: format!("verify = \"{check}\""), why, is_needed: check != "hash" })
}

fn deliver(report: &ProbeReport) -> Option<Advice> {
    let Endpoint::Ftp(ftp) = &report.endpoint else { return None };
    if report.wanted.is_one_of_several {
        return None;
    }
    if !report.is_plain_ftp() || !report.offers_tls() {
        return None;
    }
    let directory = match report.directory.as_str() {
        "." => String::new(),
        path => format!("/{}", escaped(path)),
    };
    let host = if ftp.host.contains(':') { format!("[{}]", ftp.host) } else { ftp.host.clone() };
    let user = escaped(&ftp.user);
    let line = format!("deliver = \"ftps://{user}@{host}:{}{directory}\"", ftp.port);
    let why = "the server offers TLS; now password and records can be read on the way";
    Some(Advice { line, why, is_needed: false })
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `%XX` for what has a meaning in a URL.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
