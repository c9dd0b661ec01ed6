//! What `probe` found, in words.

use crate::app::probe::{
    CHINESE, DirectoryFacts, FeedForecast, Left, OntoExisting, ProbeReport, Renamed, Topic, Transfers, Tried,
};
use crate::cli::table::{counted, size};
use crate::cli::times::Face;
use crate::domain::delivery::ContentCheck;
use crate::remote::facts::{PassiveFacts, Reach, TlsFacts};
use crate::remote::tls::TlsVersion;
use crate::remote::{Endpoint, RemoteFault, RemotePath};
use std::time::Duration;

/// The topic and what is to be said about it.
pub fn say(report: &ProbeReport, topic: Topic, face: Face) -> (String, String) {
    let title = match topic {
        Topic::Server => "server",
        Topic::Tls => "TLS",
        Topic::HostKey => "host key",
        Topic::Login => "login",
        Topic::Software => "software",
        Topic::Features => "features",
        Topic::DataConnections => "data connections",
        Topic::Directory => "directory",
        Topic::TemporaryDir => "temporary_dir",
        Topic::PicksUp => "picks_up",
        Topic::Write => "write",
        Topic::Size => "size",
        Topic::Listing => "listing",
        Topic::ReadBack => "read back",
        Topic::Rename => "rename",
        Topic::OntoExisting => "onto a file",
        Topic::Remove => "remove",
        Topic::Names => "names",
        Topic::HiddenNames => "hidden names",
        Topic::Clock => "clock",
        Topic::Transfers => "transfers",
        Topic::Tls13 => "TLS 1.3",
        Topic::Hashes => "hash",
        Topic::Speed => "speed",
        Topic::SecondSession => "second session",
        Topic::Left => "left behind",
        Topic::PartnerPlace(at) => {
            let Some(place) = report.partner_places.get(at) else { return (String::new(), String::new()) };
            let seen = |entries: &usize| format!("can be listed: {}", counted(*entries as u64, "name"));
            let missing =
                if place.listed.fault().is_some() { ", from the login directory: the partner makes it" } else { "" };
            return (place.key.to_owned(), format!("{}: {}{missing}", place.path, told(&place.listed, seen)));
        }
        Topic::Feed(at) => {
            let Some(feed) = report.feeds.get(at) else { return (String::new(), String::new()) };
            return (feed.feed.to_string(), forecast(feed));
        }
    };
    (title.to_owned(), said(report, topic, face))
}

fn said(report: &ProbeReport, topic: Topic, face: Face) -> String {
    let trials = &report.trials;
    match topic {
        Topic::Server => report.reach.as_ref().map(server).unwrap_or_default(),
        Topic::Tls => tls(report, face),
        Topic::HostKey => host_key(report),
        Topic::Login => told(&report.login, |took| format!("in {}{}", time(*took), methods(report))),
        Topic::Software => software(report),
        Topic::Features => features(report),
        Topic::DataConnections => data_connections(report),
        Topic::Directory => told(&report.place, |place| directory(&report.directory, place, report)),
        Topic::TemporaryDir => {
            let path = report.temporary_dir.as_ref().unwrap_or(&report.directory);
            told(&report.temporary_place, |place| directory(path, place, report))
        }
        Topic::PicksUp => picks_up(report),
        Topic::Write => told(&trials.write, |()| format!("as {}", report.temporary_name)),
        Topic::Size => told(&trials.size, |(found, wanted)| stated(*found, *wanted)),
        Topic::Listing => told(&trials.listed, |seen| listing(report, *seen)),
        Topic::ReadBack => answer(&trials.read_back, "the bytes that were sent", "OTHER BYTES than were sent"),
        Topic::Rename => {
            let unneeded = if report.wanted.rename { "" } else { "; not needed, because of `rename = false`" };
            told(&trials.rename, |found| renamed(*found)) + unneeded
        }
        Topic::OntoExisting => told(&trials.onto_existing, onto_existing),
        Topic::Remove => answer(&trials.remove, "the file is gone", "confirmed, but the file is still there"),
        Topic::Names => {
            let (yes, no) = ("listed as written", "not listed as it was written");
            format!("a name with a space{}: {}", letters(report.letters), answer(&trials.unusual_name, yes, no))
        }
        Topic::HiddenNames => {
            format!("a name with a leading dot: {}", answer(&trials.hidden_name, "listed", "not listed"))
        }
        Topic::Clock => told(&trials.clock_ahead, |ahead| clock(*ahead)),
        Topic::Transfers => transfers(&trials.transfers),
        Topic::Tls13 => transfers(&trials.transfers_1_3),
        Topic::Hashes => hashes(report),
        Topic::Speed => told(&trials.speed, |(bytes, took)| {
            format!("{} a second ({} in {})", size(rate(*bytes, *took)), size(*bytes), time(*took))
        }),
        Topic::SecondSession => told(&trials.second_session, |()| "accepted beside the first".to_owned()),
        Topic::Left => left(&report.left),
        Topic::PartnerPlace(_) | Topic::Feed(_) => String::new(),
    }
}

fn letters(letters: &str) -> String {
    match letters {
        CHINESE => " and Chinese characters".to_owned(),
        "" => String::new(),
        other => format!(" and {other}"),
    }
}

/// What a yes and a no mean.
fn answer(tried: &Tried<bool>, yes: &str, no: &str) -> String {
    told(tried, |is_so| if *is_so { yes } else { no }.to_owned())
}

fn renamed(found: Renamed) -> String {
    match (found.old_is_gone, found.new_is_whole) {
        (true, true) => "the old name is gone, the new one is there, whole",
        (false, _) => "confirmed, but the old name is still there",
        (true, false) => "confirmed, but the new name does not show the whole file",
    }
    .to_owned()
}

fn told<T>(tried: &Tried<T>, say: impl FnOnce(&T) -> String) -> String {
    match tried {
        Tried::Done(result) => say(result),
        Tried::Failed(fault) => fault.to_string(),
        Tried::Not => "not tried".to_owned(),
    }
}

/// `0.4 ms`, `1.2 s`.
fn time(took: Duration) -> String {
    let micros = took.as_micros();
    if micros < 1_000_000 {
        format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
    } else {
        format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000)
    }
}

/// Bytes in a second.
pub fn rate(bytes: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1_000_000) / micros
}

/// `1.2`.
pub const fn version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V1_2 => "1.2",
        TlsVersion::V1_3 => "1.3",
    }
}

fn server(reach: &Reach) -> String {
    let mut said = Vec::new();
    if let Some(took) = reach.look_up {
        let addresses: Vec<String> = reach.addresses.iter().map(ToString::to_string).collect();
        said.push(format!("{} found in {}", addresses.join(", "), time(took)));
    }
    if let Some((address, took)) = &reach.connected {
        said.push(format!("{address} connected in {}", time(*took)));
    }
    said.extend(reach.greeting.iter().map(|text| format!("it says: {text}")));
    let own_line = reach.tls.is_some() || reach.ssh.as_ref().is_some_and(|ssh| !ssh.keys.is_empty());
    said.extend(reach.fault.iter().filter(|_| !own_line).map(RemoteFault::to_string));
    said.join("; ")
}

fn tls(report: &ProbeReport, face: Face) -> String {
    let reach = report.reach.as_ref();
    match reach.and_then(|reach| reach.tls.as_ref()) {
        Some(tls) => certificate(tls, reach.and_then(|reach| reach.fault.as_ref()), report, face),
        None if report.is_plain_ftp() && report.offers_tls() => "not used, though the server offers it".to_owned(),
        None if report.is_plain_ftp() => "not used, and not offered".to_owned(),
        None => reach.and_then(|reach| reach.fault.as_ref()).map(RemoteFault::to_string).unwrap_or_default(),
    }
}

fn certificate(tls: &TlsFacts, fault: Option<&RemoteFault>, report: &ProbeReport, face: Face) -> String {
    let mut said = Vec::new();
    match (tls.version, fault) {
        (Some(spoken), _) => said.push(format!("TLS {} with {}", version(spoken), tls.cipher)),
        (None, Some(fault)) => said.push(fault.to_string()),
        (None, None) => {}
    }
    let shown = &tls.certificate;
    if let Some(print) = shown.fingerprint {
        said.push(format!("certificate of {} by {}", or_nobody(&shown.subject), or_nobody(&shown.issuer)));
        if !shown.names.is_empty() {
            said.push(format!("for {}", shown.names.join(", ")));
        }
        if let Some((from, to)) = shown.valid {
            let day = |at: crate::domain::time::UtcTime| face.layout(at.seconds(), "%Y-%m-%d");
            said.push(format!("good from {} to {}, {}", day(from), day(to), expiry(to, report.at)));
        }
        said.push(format!("sha256:{print}"));
        if report.endpoint.avoids_newest_tls() {
            said.push("data connections are refused with TLS 1.3, so that 1.2 is used".to_owned());
        }
        said.push(tls.distrust.as_ref().map_or("trusted".to_owned(), |why| format!("NOT TRUSTED: {why}")));
    }
    said.join("; ")
}

fn or_nobody(name: &str) -> &str {
    if name.is_empty() { "nobody named" } else { name }
}

fn expiry(to: crate::domain::time::UtcTime, now: crate::domain::time::UtcTime) -> String {
    match (to.seconds() - now.seconds()).div_euclid(86_400) {
        left @ 0.. => format!("expires in {left} days"),
        over => format!("expired {} days ago", over.abs()),
    }
}

fn host_key(report: &ProbeReport) -> String {
    let Some(ssh) = report.reach.as_ref().and_then(|reach| reach.ssh.as_ref()) else { return String::new() };
    let keys: Vec<String> = ssh.keys.iter().map(|key| format!("{} {}", key.kind, key.fingerprint)).collect();
    let fault = report.reach.as_ref().and_then(|reach| reach.fault.as_ref());
    match (ssh.is_known, fault) {
        (true, _) => format!("{}; known", keys.join(" and ")),
        (false, Some(RemoteFault { cause: Some(cause), .. })) if !cause.contains("SHA256:") => {
            format!("{}; NOT KNOWN: {cause}", keys.join(" and "))
        }
        (false, _) => format!("{}; NOT KNOWN", keys.join(" and ")),
    }
}

fn methods(report: &ProbeReport) -> String {
    let ssh = report.reach.as_ref().and_then(|reach| reach.ssh.as_ref());
    match ssh {
        Some(ssh) if !ssh.methods.is_empty() => format!("; the server takes {}", ssh.methods.join(", ")),
        _ => String::new(),
    }
}

fn software(report: &ProbeReport) -> String {
    report.facts.done().and_then(|facts| facts.system.clone()).unwrap_or_default()
}

fn features(report: &ProbeReport) -> String {
    report.facts.done().map(|facts| facts.features.join(", ")).unwrap_or_default()
}

fn data_connections(report: &ProbeReport) -> String {
    let passive = report.facts.done().and_then(|facts| facts.passive.as_ref());
    let Some(PassiveFacts { extended, plain }) = passive else { return String::new() };
    let extended = match extended {
        Ok(port) => format!("EPSV gives port {port}"),
        Err(refusal) => format!("EPSV refused ({refusal})"),
    };
    let plain = match plain {
        Ok((address, port)) if report.announces_another_address() => {
            format!("PASV gives {address}, port {port}: not the server's address, which is used instead")
        }
        Ok((address, port)) => format!("PASV gives {address}, port {port}"),
        Err(refusal) => format!("PASV refused ({refusal})"),
    };
    let active = if report.is_active() { "opened by the server, to this machine; " } else { "" };
    format!("{active}{extended}; {plain}")
}

fn directory(path: &RemotePath, place: &DirectoryFacts, report: &ProbeReport) -> String {
    let name = match (path.as_str(), &report.endpoint) {
        (".", Endpoint::LocalDir { .. }) => "the directory",
        (".", Endpoint::Ftp(_) | Endpoint::Sftp(_)) => "the login directory",
        (path, _) => path,
    };
    let kind = report.facts.done().map(|facts| facts.listing).unwrap_or_default();
    let mut said = if place.was_missing {
        format!("{name} was missing: it was made, as a delivery would, and stays")
    } else {
        format!("{name} holds {} ({kind})", counted(place.entries.len() as u64, "name"))
    };
    if place.our_temporaries > 0 {
        let files = counted(place.our_temporaries as u64, "temporary file");
        said.push_str(&format!(", {files} of deliveries from here among it"));
    }
    said
}

fn picks_up(report: &ProbeReport) -> String {
    let Some(pattern) = &report.taken_by else { return "no temporary name is taken".to_owned() };
    let name = &report.temporary_name;
    match report.temporary_dir {
        Some(_) => format!("`{pattern}` takes names like {name}: nothing was renamed into the final directory"),
        None if !report.wanted.rename => format!("`{pattern}` takes names like {name}: nothing was written or tried"),
        None => format!("`{pattern}` takes names like {name}: nothing was written; set temporary_dir"),
    }
}

fn stated(found: Option<u64>, wanted: u64) -> String {
    match found {
        Some(bytes) if bytes == wanted => format!("{bytes} bytes, as sent"),
        Some(bytes) => format!("the server states {bytes} of {wanted} bytes: a delivery would never end"),
        None => "the server states none: a delivery could not tell a whole file from a part".to_owned(),
    }
}

fn listing(report: &ProbeReport, seen: bool) -> String {
    let kind = report.facts.done().map(|facts| facts.listing).unwrap_or_default();
    if seen {
        format!("{kind} shows the file")
    } else {
        format!("{kind} does not show the file: after a lost reply a file stays in doubt")
    }
}

fn onto_existing(found: &OntoExisting) -> String {
    match found {
        OntoExisting::Replaces => "replaces it without a word; hourdrop looks before it renames".to_owned(),
        OntoExisting::Refused(words) => format!("refused, which is best: {words}"),
        OntoExisting::Nothing => "confirmed, but the new file is not there".to_owned(),
    }
}

fn clock(ahead: Option<i64>) -> String {
    match ahead {
        None => "the server states no time in UTC".to_owned(),
        Some(0) => "agrees with ours".to_owned(),
        Some(ahead @ 1..) => format!("{ahead} s ahead of ours"),
        Some(behind) => format!("{} s behind ours", behind.unsigned_abs()),
    }
}

fn transfers(transfers: &Transfers) -> String {
    let Transfers { wanted, done, fault } = transfers;
    match fault {
        None => format!("{done} files of {wanted} over one session"),
        Some(fault) => format!("{done} files of {wanted} over one session, then {fault}"),
    }
}

fn hashes(report: &ProbeReport) -> String {
    let listed = report.facts.done().map(|facts| facts.hashes.join(", ")).filter(|list| !list.is_empty());
    let listed = listed.map(|list| format!(" ({list})")).unwrap_or_default();
    told(&report.trials.server_hash, |found| match found {
        Some(true) => format!("the server states the right SHA-256{listed}"),
        Some(false) => format!("the server states a wrong SHA-256{listed}"),
        None if report.wanted.check == ContentCheck::Size => {
            format!("the server states no SHA-256{listed}; `verify = \"read-back\"` would prove the content")
        }
        None => format!("the server states no SHA-256{listed}"),
    })
}

fn left(left: &[Left]) -> String {
    let said: Vec<String> = left.iter().map(|Left { path, why }| format!("{path} ({why})")).collect();
    format!("remove by hand: {}", said.join("; "))
}

fn forecast(feed: &FeedForecast) -> String {
    if feed.is_shadow {
        return "shadow: delivers nothing".to_owned();
    }
    let mut said = Vec::new();
    if feed.next.is_empty() {
        said.push("has ended".to_owned());
    } else {
        said.push(format!("next {}", feed.next.join(" and ")));
    }
    if feed.waiting > 0 {
        said.push(format!("{} of its names not picked up", counted(feed.waiting as u64, "file")));
    }
    match &feed.ahead {
        None if feed.waiting > 0 => said.push("though nothing was ever sent from here: whose are they?".to_owned()),
        Some(ahead) if !ahead.is_empty() => {
            said.push(format!("{} beyond the last number sent: deliveries would stop", ahead.join(", ")));
        }
        None | Some(_) => {}
    }
    if !feed.in_the_way.is_empty() {
        said.push(format!("{} lies there already: it would be held as a conflict", feed.in_the_way.join(", ")));
    }
    said.join("; ")
}
