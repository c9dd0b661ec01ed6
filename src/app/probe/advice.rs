//! Lines for the configuration: only what is needed, or better than what is configured.

use super::{ProbeReport, Transfers};
use crate::remote::Endpoint;
use crate::remote::endpoint::{FtpEndpoint, Protection};
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
    [host_key(report), tls(report), deliver(report)].into_iter().flatten().collect()
}

fn host_key(report: &ProbeReport) -> Option<Advice> {
    let ssh = report.reach.as_ref()?.ssh.as_ref().filter(|ssh| !ssh.is_known && !ssh.keys.is_empty())?;
    let prints: Vec<String> = ssh.keys.iter().map(|key| quoted(&key.fingerprint)).collect();
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
        return advice(TlsRules { trust: Trust::Pinned(vec![print]), ..rules.clone() }, why, true);
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

fn deliver(report: &ProbeReport) -> Option<Advice> {
    let Endpoint::Ftp(ftp) = &report.endpoint else { return None };
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
