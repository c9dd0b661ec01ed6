//! What a partner's server must prove, how to log in there, and how a session goes over the network: `tls`, `host_key`,
//! `known_hosts`, `key`, `data`, `bind`, `charset`.

use super::PartnerConfig;
use crate::document::{Placed, Problems, Table};
use crate::domain::ids::Sha256Digest;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::feed::names;
use crate::remote::endpoint::{DataConnections, HostKeys, Protection, SftpEndpoint, SftpLogin};
use crate::remote::ftp::charset::NameCharset;
use crate::remote::tls::{TlsRules, TlsVersion, Trust};
use crate::remote::{Address, Endpoint};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// `tls = { … }`: whom an `ftps://` server must be, and how it is spoken to. It is the same for all that are one.
pub(super) fn read_tls(config: &Path, table: &Table<'_>, addresses: &mut [Address]) {
    let Some(inner) = table.table("tls") else { return };
    let protections = addresses.iter_mut().filter_map(|address| match &mut address.endpoint {
        Endpoint::Ftp(ftp) if ftp.protection != Protection::None => Some(&mut ftp.protection),
        Endpoint::Ftp(_) | Endpoint::Sftp(_) | Endpoint::LocalDir { .. } => None,
    });
    let mut rules = TlsRules { name: inner.text("name").map(|name| name.value), ..TlsRules::default() };
    let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
    rules.max = inner.choice("max", &versions).map(|version| version.value).unwrap_or_default();
    let authority = inner.text("ca").map(|ca| super::resolve(config, &ca.value));
    let pins = inner.texts("pins").map(|pins| pins.iter().filter_map(|pin| read_pin(&inner, pin)).collect());
    rules.trust = match (authority, pins) {
        (Some(_), Some(_)) => {
            let message = "`ca` and `pins` exclude each other: pinned certificates are trusted whoever signed them";
            inner.problems().add(inner.place_of("pins").error(message));
            Trust::System
        }
        (Some(path), None) => Trust::Authority(path),
        (None, Some(pins)) => Trust::Pinned(pins),
        (None, None) => Trust::System,
    };
    let mode = inner.choice("mode", &[("explicit", false), ("implicit", true)]);
    inner.finish();
    let mut is_used = false;
    for protection in protections {
        let is_implicit = mode.as_ref().map_or(matches!(protection, Protection::Implicit(_)), |mode| mode.value);
        let rules = rules.clone();
        *protection = if is_implicit { Protection::Implicit(rules) } else { Protection::Explicit(rules) };
        is_used = true;
    }
    if !is_used {
        let hint = "write ftps:// in `deliver`, or leave `tls` out";
        table.problems().add(table.place_of("tls").error_with_hint("`tls` is for ftps:// only", hint));
    }
}

pub(super) fn wants_password(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Ftp(_) => true,
        Endpoint::Sftp(sftp) => matches!(sftp.login, SftpLogin::Password(_)),
        Endpoint::LocalDir { .. } => false,
    }
}

/// `key`, `host_key` and `known_hosts`: how to log in by SSH, and what the server must show. A key is tried where it can
/// be, and a password elsewhere.
pub(super) fn read_ssh(config: &Path, state: &Path, table: &Table<'_>, addresses: &mut [Address]) {
    let file = |path: Placed<String>| super::resolve(config, &path.value);
    let (key, known_hosts) = (table.text("key").map(file), table.text("known_hosts").map(file));
    let pins = table.texts("host_key");
    let needs_password = addresses.iter().any(|address| matches!(address.endpoint, Endpoint::Ftp(_)));
    let is_known = !addresses.is_empty();
    let mut servers: Vec<&mut SftpEndpoint> = addresses.iter_mut().filter_map(sftp_of).collect();
    if servers.is_empty() {
        let used = ["key", "host_key", "known_hosts"].into_iter().find(|key| table.has(key));
        if let (Some(key), true) = (used, is_known) {
            let message = format!("`{key}` is for sftp:// only");
            table.problems().add(table.place_of(key).error(message));
        }
        return;
    }
    if let Some(path) = key {
        for sftp in &mut servers {
            sftp.login = SftpLogin::Key(path.clone());
        }
        if table.has("password") && !needs_password {
            let message = "`key` and `password` exclude each other";
            table.problems().add(table.place_of("password").error(message));
        }
    }
    let Some(host_keys) = read_host_keys(state, table, pins, known_hosts) else { return };
    for sftp in servers {
        sftp.host_keys = host_keys.clone();
    }
}

const fn sftp_of(address: &mut Address) -> Option<&mut SftpEndpoint> {
    match &mut address.endpoint {
        Endpoint::Sftp(sftp) => Some(sftp),
        Endpoint::Ftp(_) | Endpoint::LocalDir { .. } => None,
    }
}

fn read_host_keys(
    state: &Path,
    table: &Table<'_>,
    pins: Option<Vec<Placed<String>>>,
    known_hosts: Option<PathBuf>,
) -> Option<HostKeys> {
    let hint = "ssh-keyscan HOST | ssh-keygen -lf - prints fingerprints; compare them with what the partner says";
    match (pins, known_hosts) {
        (Some(pins), None) if matches!(pins.as_slice(), [only] if only.value == "first-use") => {
            let message = "the first host key that the server shows is trusted, whoever shows it";
            table.problems().add(table.place_of("host_key").warning(message, hint));
            Some(HostKeys::FirstUse(state.join("host_keys")))
        }
        (Some(pins), None) => {
            for pin in pins.iter().filter(|pin| !pin.value.starts_with("SHA256:")) {
                table.problems().add(pin.place.error_with_hint("a host key is pinned as \"SHA256:…\"", hint));
            }
            Some(HostKeys::Pinned(pins.into_iter().map(|pin| pin.value).collect()))
        }
        (None, Some(path)) => Some(HostKeys::KnownHosts(path)),
        (Some(_), Some(_)) => {
            let message = "`host_key` and `known_hosts` exclude each other";
            table.problems().add(table.place_of("known_hosts").error(message));
            None
        }
        (None, None) => {
            let message = "an SFTP server must prove who it is: write `host_key` or `known_hosts`";
            table.problems().add(table.place_of("deliver").error_with_hint(message, hint));
            None
        }
    }
}

/// `data`, `bind` and `charset`: how a session goes over the network.
pub(super) fn read_wire(table: &Table<'_>, addresses: &mut [Address]) {
    let ways = [("passive", DataConnections::Passive), ("active", DataConnections::Active)];
    let data = table.choice("data", &ways).map(|data| data.value);
    let bind = table.text("bind").and_then(|bind| read_bind(table, &bind));
    let charset = table.text("charset").and_then(|charset| read_charset(table, &charset));
    let mut taken = [("data", false), ("charset", false), ("bind", false)];
    for address in addresses {
        let takes: &[&str] = match &mut address.endpoint {
            Endpoint::Ftp(ftp) => {
                ftp.wire.data = data.unwrap_or_default();
                ftp.wire.charset = charset.unwrap_or_default();
                ftp.bind = bind;
                if bind.is_some() && matches!(ftp.protection, Protection::Implicit(_)) {
                    let hint =
                        "use `tls = { mode = \"explicit\" }` with the server's ordinary port, or leave `bind` out";
                    let message = "`bind` cannot be used with TLS from the first byte";
                    table.problems().add(table.place_of("bind").error_with_hint(message, hint));
                }
                &["data", "charset", "bind"]
            }
            Endpoint::Sftp(sftp) => {
                sftp.bind = bind;
                &["bind"]
            }
            Endpoint::LocalDir { .. } => &[],
        };
        for (key, is_taken) in &mut taken {
            *is_taken |= takes.contains(key);
        }
    }
    for (key, _) in taken.iter().filter(|(key, is_taken)| table.has(key) && !is_taken) {
        let schemes = if *key == "bind" { "ftp://, ftps:// and sftp://" } else { "ftp:// and ftps://" };
        table.problems().add(table.place_of(key).error(format!("`{key}` is for {schemes} only")));
    }
}

fn read_bind(table: &Table<'_>, text: &Placed<String>) -> Option<IpAddr> {
    let address = text.value.parse().ok();
    if address.is_none() {
        let hint = "write an address of this machine, such as \"192.0.2.10\"; `ip addr` shows them";
        table.problems().add(text.place.error_with_hint("`bind` is not an IP address", hint));
    }
    address
}

fn read_charset(table: &Table<'_>, text: &Placed<String>) -> Option<NameCharset> {
    let charset = NameCharset::parse(&text.value);
    if charset.is_none() {
        let message = format!("`{}` is no charset for names on an FTP server", text.value);
        let hint =
            "write \"utf-8\", \"gbk\", \"gb18030\", \"windows-1252\" or another name of the WHATWG encoding standard";
        table.problems().add(text.place.error_with_hint(message, hint));
    }
    charset
}

/// What is sent besides the names of files must be in the charset, too: user and directories.
pub(super) fn check_sendable(table: &Table<'_>, addresses: &[Address], temporary_dir: Option<&str>) {
    let key = if table.has("endpoints") { "endpoints" } else { "deliver" };
    for address in addresses {
        let Endpoint::Ftp(ftp) = &address.endpoint else { continue };
        let sent = [(key, ftp.user.as_str()), (key, address.directory.as_str())];
        for (key, text) in sent.into_iter().chain(temporary_dir.map(|dir| ("temporary_dir", dir))) {
            if let Err(reason) = ftp.wire.charset.encode(text) {
                table.problems().add(table.place_of(key).error(format!("`{}` {reason}", text.escape_debug())));
            }
        }
    }
}

/// Proves that the partner's charset has every character of the names we give.
pub(super) fn check_names(partner: &PartnerConfig, feed: &FeedDefinition, problems: &Problems, now: UtcTime) {
    let ftp = partner.addresses().find_map(|address| match &address.endpoint {
        Endpoint::Ftp(ftp) => Some(ftp),
        Endpoint::Sftp(_) | Endpoint::LocalDir { .. } => None,
    });
    let Some(ftp) = ftp else { return };
    let facts = names::facts(feed, feed.period.partition_at(now), now);
    for (template, place) in names::templates(feed) {
        let Ok(name) = names::file_name(template, &facts) else { continue };
        if let Err(reason) = ftp.wire.charset.encode(name.as_str()) {
            let hint = "change the name, or the partner's `charset`";
            problems.add(place.error_with_hint(format!("`{name}` {reason}"), hint));
        }
    }
}

/// `sha256:` and 64 hexadecimal digits, with or without colons between the bytes, as `openssl x509 -fingerprint` prints.
fn read_pin(table: &Table<'_>, pin: &Placed<String>) -> Option<Sha256Digest> {
    let digits = pin.value.to_ascii_lowercase().replace(':', "");
    let digest = digits.strip_prefix("sha256").and_then(Sha256Digest::parse);
    if digest.is_none() {
        let hint = "openssl x509 -in CERTIFICATE -noout -fingerprint -sha256 prints it; write \"sha256:…\"";
        table.problems().add(pin.place.error_with_hint("this is no SHA-256 fingerprint of a certificate", hint));
    }
    digest
}
