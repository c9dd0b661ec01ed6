//! What a partner's server must prove, how to log in there, and how a session goes over the network: `tls`, `host_key`,
//! `known_hosts`, `key`, `data`, `bind`, `charset`.

use super::PartnerConfig;
use crate::document::{Placed, Problems, Table};
use crate::domain::ids::Sha256Digest;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::feed::names;
use crate::remote::endpoint::{DataConnections, HostKeys, Protection, SftpLogin};
use crate::remote::ftp::charset::NameCharset;
use crate::remote::tls::{TlsRules, TlsVersion, Trust};
use crate::remote::{Address, Endpoint};
use std::net::IpAddr;
use std::path::Path;

/// `tls = { … }`: whom an `ftps://` server must be, and how it is spoken to.
pub(super) fn read_tls(config: &Path, table: &Table<'_>, address: Option<&mut Address>) {
    let Some(inner) = table.table("tls") else { return };
    let protection = address.and_then(|address| match &mut address.endpoint {
        Endpoint::Ftp(ftp) => Some(&mut ftp.protection),
        Endpoint::Sftp(_) | Endpoint::LocalDir { .. } => None,
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
    match protection {
        Some(protection) if *protection != Protection::None => {
            let is_implicit = mode.map_or(matches!(protection, Protection::Implicit(_)), |mode| mode.value);
            *protection = if is_implicit { Protection::Implicit(rules) } else { Protection::Explicit(rules) };
        }
        Some(_) | None => {
            let hint = "write ftps:// in `deliver`, or leave `tls` out";
            table.problems().add(table.place_of("tls").error_with_hint("`tls` is for ftps:// only", hint));
        }
    }
}

pub(super) fn wants_password(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Ftp(_) => true,
        Endpoint::Sftp(sftp) => matches!(sftp.login, SftpLogin::Password(_)),
        Endpoint::LocalDir { .. } => false,
    }
}

/// `key`, `host_key` and `known_hosts`: how to log in by SSH, and what the server must show.
pub(super) fn read_ssh(config: &Path, state: &Path, table: &Table<'_>, address: Option<&mut Address>) {
    let file = |path: Placed<String>| super::resolve(config, &path.value);
    let (key, known_hosts) = (table.text("key").map(file), table.text("known_hosts").map(file));
    let pins = table.texts("host_key");
    let sftp = match address.map(|address| &mut address.endpoint) {
        Some(Endpoint::Sftp(sftp)) => sftp,
        other => {
            let used = ["key", "host_key", "known_hosts"].into_iter().find(|key| table.has(key));
            if let (Some(key), true) = (used, other.is_some()) {
                let message = format!("`{key}` is for sftp:// only");
                table.problems().add(table.place_of(key).error(message));
            }
            return;
        }
    };
    if let Some(path) = key {
        sftp.login = SftpLogin::Key(path);
        if table.has("password") {
            let message = "`key` and `password` exclude each other";
            table.problems().add(table.place_of("password").error(message));
        }
    }
    let hint = "ssh-keyscan HOST | ssh-keygen -lf - prints fingerprints; compare them with what the partner says";
    sftp.host_keys = match (pins, known_hosts) {
        (Some(pins), None) if matches!(pins.as_slice(), [only] if only.value == "first-use") => {
            let message = "the first host key that the server shows is trusted, whoever shows it";
            table.problems().add(table.place_of("host_key").warning(message, hint));
            HostKeys::FirstUse(state.join("host_keys"))
        }
        (Some(pins), None) => {
            for pin in pins.iter().filter(|pin| !pin.value.starts_with("SHA256:")) {
                table.problems().add(pin.place.error_with_hint("a host key is pinned as \"SHA256:…\"", hint));
            }
            HostKeys::Pinned(pins.into_iter().map(|pin| pin.value).collect())
        }
        (None, Some(path)) => HostKeys::KnownHosts(path),
        (Some(_), Some(_)) => {
            let message = "`host_key` and `known_hosts` exclude each other";
            table.problems().add(table.place_of("known_hosts").error(message));
            return;
        }
        (None, None) => {
            let message = "an SFTP server must prove who it is: write `host_key` or `known_hosts`";
            table.problems().add(table.place_of("deliver").error_with_hint(message, hint));
            return;
        }
    };
}

/// `data`, `bind` and `charset`: how a session goes over the network.
pub(super) fn read_wire(table: &Table<'_>, address: Option<&mut Address>) {
    let ways = [("passive", DataConnections::Passive), ("active", DataConnections::Active)];
    let data = table.choice("data", &ways).map(|data| data.value);
    let bind = table.text("bind").and_then(|bind| read_bind(table, &bind));
    let charset = table.text("charset").and_then(|charset| read_charset(table, &charset));
    let refuse = |keys: &[&str], schemes: &str| {
        for key in keys.iter().filter(|key| table.has(key)) {
            table.problems().add(table.place_of(key).error(format!("`{key}` is for {schemes} only")));
        }
    };
    match address.map(|address| &mut address.endpoint) {
        Some(Endpoint::Ftp(ftp)) => {
            ftp.wire.data = data.unwrap_or_default();
            ftp.wire.charset = charset.unwrap_or_default();
            ftp.bind = bind;
            if bind.is_some() && matches!(ftp.protection, Protection::Implicit(_)) {
                let hint = "use `tls = { mode = \"explicit\" }` with the server's ordinary port, or leave `bind` out";
                let message = "`bind` cannot be used with TLS from the first byte";
                table.problems().add(table.place_of("bind").error_with_hint(message, hint));
            }
        }
        Some(Endpoint::Sftp(sftp)) => {
            sftp.bind = bind;
            refuse(&["data", "charset"], "ftp:// and ftps://");
        }
        Some(Endpoint::LocalDir { .. }) => {
            refuse(&["data", "charset"], "ftp:// and ftps://");
            refuse(&["bind"], "ftp://, ftps:// and sftp://");
        }
        None => {}
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
pub(super) fn check_sendable(table: &Table<'_>, address: Option<&Address>, temporary_dir: Option<&str>) {
    let Some((address, Endpoint::Ftp(ftp))) = address.map(|address| (address, &address.endpoint)) else { return };
    let sent = [("deliver", ftp.user.as_str()), ("deliver", address.directory.as_str())];
    for (key, text) in sent.into_iter().chain(temporary_dir.map(|dir| ("temporary_dir", dir))) {
        if let Err(reason) = ftp.wire.charset.encode(text) {
            table.problems().add(table.place_of(key).error(format!("`{}` {reason}", text.escape_debug())));
        }
    }
}

/// Proves that the partner's charset has every character of the names we give.
pub(super) fn check_names(partner: &PartnerConfig, feed: &FeedDefinition, problems: &Problems, now: UtcTime) {
    let Endpoint::Ftp(ftp) = &partner.address.endpoint else { return };
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
