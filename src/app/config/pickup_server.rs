//! `[pickup_server]`, and `pickup_login` of the partners who fetch from it.

use super::{Config, SecretReference};
use crate::app::pickup_desk::drop_directory;
use crate::document::{Place, Placed, Problems, Table};
use crate::domain::time::Length;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Certificate and key of a server, in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The built-in server from which partners fetch.
#[derive(Debug, Clone)]
pub struct PickupServerConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Ports of data connections.
    pub passive_ports: RangeInclusive<u16>,
    /// The address that clients see, when it is another one than this machine's.
    pub passive_address: Option<Ipv4Addr>,
    /// TLS is required of everybody when this is there.
    pub tls: Option<TlsFiles>,
    /// A session without a command for so long is ended.
    pub idle: Length,
    /// Most sessions at a time.
    pub sessions_max: u64,
    place: Place,
}

/// How a partner logs in there.
#[derive(Debug, Clone)]
pub struct PickupLogin {
    /// Login name.
    pub user: Placed<String>,
    /// Where the password is.
    pub password: SecretReference,
}

pub(super) fn read(config: &Path, root: &Table<'_>) -> Option<PickupServerConfig> {
    let table = root.table("pickup_server")?;
    let listen = table.required_text("listen").and_then(|text| read_address(&table, &text));
    let passive_ports = table.required_text("passive_ports").and_then(|text| read_ports(&table, &text));
    let passive_address = table.text("passive_address").and_then(|text| {
        let hint = "write the address that clients connect to, such as \"203.0.113.7\"";
        let refuse = |_| table.problems().add(text.place.error_with_hint("not an IPv4 address", hint));
        text.value.parse().map_err(refuse).ok()
    });
    let tls = table.table("tls").map(|inner| {
        let file = |text: Option<Placed<String>>| text.map(|text| super::resolve(config, &text.value));
        let (certificate, key) = (file(inner.required_text("certificate")), file(inner.required_text("key")));
        inner.finish();
        Some(TlsFiles { certificate: certificate?, key: key? })
    });
    let idle = table.length("idle").map_or(Length::from_seconds(300), |length| length.value);
    let sessions_max = table.count("sessions_max").map_or(50, |count| count.value.max(1));
    if let Some(listen) = listen {
        check_protection(&table, listen, tls.is_some());
    }
    if let (Some(listen), Some(ports)) = (listen, &passive_ports)
        && ports.contains(&listen.port())
    {
        let message = "the port of `listen` is one of the passive ports";
        table.problems().add(table.place_of("passive_ports").error(message));
    }
    let place = table.place().clone();
    table.finish();
    let tls = tls.map_or(Some(None), |files| files.map(Some))?;
    Some(PickupServerConfig {
        listen: listen?,
        passive_ports: passive_ports?,
        passive_address,
        tls,
        idle,
        sessions_max,
        place,
    })
}

fn read_address(table: &Table<'_>, text: &Placed<String>) -> Option<SocketAddr> {
    let hint = "write address and port, such as \"0.0.0.0:21\", \"[::]:21\" or \"127.0.0.1:2121\"";
    let refuse = |_| table.problems().add(text.place.error_with_hint("`listen` is not an address", hint));
    text.value.parse().map_err(refuse).ok()
}

fn read_ports(table: &Table<'_>, text: &Placed<String>) -> Option<RangeInclusive<u16>> {
    let ends = text.value.split_once('-').and_then(|(first, last)| {
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first > 0 && first <= last).then_some(first..=last)
    });
    if ends.is_none() {
        let hint = "write the first and the last, such as \"30000-30099\", and let them through the firewall";
        table.problems().add(text.place.error_with_hint("`passive_ports` is not a range of ports", hint));
    }
    ends
}

fn check_protection(table: &Table<'_>, listen: SocketAddr, has_tls: bool) {
    let place = table.place_of("listen");
    match (has_tls, listen.ip().is_loopback()) {
        (true, _) => {}
        (false, true) => {
            let message = "without `tls` this server shows password and records to every program that may listen here";
            let hint = "fine on this machine alone; write tls = { certificate = \"...\", key = \"...\" } otherwise";
            table.problems().add(place.warning(message, hint));
        }
        (false, false) => {
            let message = "a server that others can reach needs `tls`";
            let hint = "write tls = { certificate = \"...\", key = \"...\" }, or listen on 127.0.0.1";
            table.problems().add(place.error_with_hint(message, hint));
        }
    }
}

/// `pickup_login = { user, password }` of a partner.
pub(super) fn read_login(config: &Path, partner: &Table<'_>) -> Option<PickupLogin> {
    let table = partner.table("pickup_login")?;
    let user = table.required_text("user");
    table.require("password");
    let password = SecretReference::read(config, &table, "password");
    let user = user.filter(|user| {
        let is_good = !user.value.is_empty() && user.value.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_good {
            let hint = "write letters, digits and signs, without blanks";
            table.problems().add(user.place.error_with_hint("`user` is not a login name", hint));
        }
        is_good
    });
    if let Some(Err(fault)) = password.as_ref().map(SecretReference::reveal) {
        let hint = "`run` does not start before it can be read";
        table.problems().add(table.place_of("password").warning(fault.to_string(), hint));
    }
    table.finish();
    Some(PickupLogin { user: user?, password: password? })
}

/// What needs the server and all partners: somebody must be able to log in, each sees a directory of its own.
pub(super) fn check(config: &Config, problems: &Problems) {
    let logins = || config.partners.iter().filter_map(|partner| Some((partner, partner.pickup_login.as_ref()?)));
    if let Some(server) = &config.pickup_server
        && logins().next().is_none()
    {
        let hint = "write pickup_login = { user = \"...\", password = { file = \"...\" } } in a [partner.NAME]";
        problems.add(server.place.error_with_hint("nobody can log in at this server", hint));
    }
    let mut users: BTreeMap<&str, &str> = BTreeMap::new();
    for (partner, login) in logins() {
        if config.pickup_server.is_none() {
            let message = "`pickup_login` is for the built-in server, and there is none";
            problems.add(login.user.place.error_with_hint(message, "add a table [pickup_server]"));
        }
        if let Some(other) = users.insert(&login.user.value, partner.id.as_str()) {
            let message = format!("partner {other} has the same `user`");
            problems.add(login.user.place.error_with_hint(message, "each partner needs a login of its own"));
        }
        let Some(directory) = drop_directory(partner) else {
            let message = "`pickup_login` needs a directory of this machine in `deliver`";
            let hint = "this partner's files are sent to a server; it fetches them there";
            problems.add(login.user.place.error_with_hint(message, hint));
            continue;
        };
        for other in config.partners.iter().filter(|other| other.id != partner.id) {
            if drop_directory(other).is_some_and(|place| place == directory) {
                let message = format!("partner {} has the same directory, whose files this login could read", other.id);
                problems.add(login.user.place.error_with_hint(message, "give each partner a directory of its own"));
            }
        }
    }
}
