//! The built-in server, as partners use it and as others would like to: nothing but the own files, and every deletion is
//! a pickup in the ledger, whenever the program ends.

use crate::run_command::{Running, start};
use crate::servers::{Certificates, free_port, write};
use crate::site::{self, Site, call_line, eventually, kamailio_dir, time};
use crate::stopping_disk::StoppingDisk;
use hourdrop::app::config::{self, TlsFiles};
use hourdrop::app::exporter::{Exporter, World};
use hourdrop::app::pickup_desk::{PartnerDesk, TakeFault};
use hourdrop::app::progress::Silent;
use hourdrop::disk::{Disk, RealDisk};
use hourdrop::document::Severity;
use hourdrop::domain::ids::PartnerId;
use hourdrop::domain::pickup::{PickupState, Taken};
use hourdrop::domain::time::UtcTime;
use hourdrop::ledger::Ledger;
use hourdrop::serve::{Access, Account, FtpServer, ServerSettings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use secrecy::SecretString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const NOW: &str = "2024-11-03T15:00:30Z";
const PASSWORD: &str = "canary-5d1f";

/// A program with a server for two partners, whose hours of one source lie in two directories.
fn configured(site: &Site, port: u16, more: &str) -> PathBuf {
    let partner = |name: &str| {
        format!(
            r#"
[partner.{name}]
deliver = "{drop}"
pickup_login = {{ user = "{name}", password = {{ file = "{name}.password" }} }}
[partner.{name}.feed.voice]
source    = "switch"
format    = "huaxin-voice"
hour_by   = "start_time"
starts_at = "2024-11-03T02:00:00Z"
name      = "{name}_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
manifest  = {{ name = "{name}_{{start:%Y%m%d%H}}_{{revision:02}}.json" }}
"#,
            drop = site.drop_dir(name).display()
        )
    };
    for name in ["huaxin", "bell"] {
        let password = site.write(&format!("{name}.password"), format!("{name}-{PASSWORD}\n"));
        fs::set_permissions(password, fs::Permissions::from_mode(0o600)).expect("mode");
    }
    site.configure(&format!(
        "state = \"state\"\narchive = \"archive\"\npoll = \"1s\"\n\
         [source.switch]\nfiles = \"{}/*.log\"\nfinished = \"renamed\"\nformat = \"kamailio-acc-cdrs\"\n\
         [pickup_server]\nlisten = \"127.0.0.1:{port}\"\npassive_ports = \"41000-41099\"\n{more}{}{}",
        kamailio_dir(),
        partner("huaxin"),
        partner("bell")
    ))
}

/// Speaks FTP line by line.
struct Client<S>(BufReader<S>);

impl Client<TcpStream> {
    /// Connects as soon as somebody listens, and logs in.
    fn login(port: u16, user: &str) -> Self {
        eventually("the server", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connection");
        connection.set_read_timeout(Some(Duration::from_secs(30))).expect("deadline");
        let mut client = Self(BufReader::new(connection));
        assert!(client.reply().starts_with("220 "));
        client.says(&format!("USER {user}"), 331);
        client.says(&format!("PASS {user}-{PASSWORD}"), 230);
        client
    }

    fn fetch(&mut self, command: &str) -> Vec<u8> {
        let mut data = TcpStream::connect((Ipv4Addr::LOCALHOST, self.passive())).expect("data connection");
        self.says(command, 150);
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).expect("data");
        assert!(self.reply().starts_with("226 "));
        bytes
    }

    fn names(&mut self) -> Vec<String> {
        let list = String::from_utf8(self.fetch("NLST")).expect("text");
        list.lines().map(str::to_owned).collect()
    }
}

impl<S: Read + Write> Client<S> {
    fn reply(&mut self) -> String {
        let mut reply = String::new();
        self.0.read_line(&mut reply).expect("a reply");
        reply
    }

    fn send(&mut self, command: &str) {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).expect("sent");
    }

    fn says(&mut self, command: &str, code: u16) -> String {
        self.send(command);
        let reply = self.reply();
        assert!(reply.starts_with(&format!("{code} ")), "{command}: {reply}");
        reply
    }

    fn passive(&mut self) -> u16 {
        let reply = self.says("EPSV", 229);
        let port = reply.split('|').nth(3).expect("a port").parse().expect("a port");
        assert!((41_000..=41_099).contains(&port), "{port}");
        port
    }
}

/// What the ledger says of the pickup of a partner's file.
fn pickup_of(site: &Site, name: &str) -> (PickupState, Option<Taken>) {
    let ledger = Ledger::open_read_only(&site.path("state/ledger.db")).expect("ledger");
    let (_, _, file) = ledger.tracked_by_name(name).expect("rows").pop().expect("a file");
    (file.pickup.state, file.pickup.how)
}

/// Both partners have 13 hours.
fn wait_for_delivery(site: &Site) {
    let manifests = |name: &str| {
        let entries = fs::read_dir(site.drop_dir(name)).expect("directory").flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".json")).count()
    };
    eventually("the delivery", || ["huaxin", "bell"].into_iter().all(|name| manifests(name) == 13));
}

const DELETED: (PickupState, Option<Taken>) = (PickupState::PickedUp, Some(Taken::Deleted));

fn stop(mut running: Running) -> String {
    let pid = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    let mut log = String::new();
    running.0.stderr.take().expect("a log").read_to_string(&mut log).expect("a log");
    assert!(running.0.wait().expect("the end").success(), "{log}");
    log
}

#[test]
fn a_partner_lists_reads_and_deletes_its_own_files_and_nothing_else() {
    let (site, port) = (Site::new(), free_port());
    let running = start(&configured(&site, port, ""), NOW);
    wait_for_delivery(&site);
    let drop_dir = site.drop_dir("huaxin");
    let ours: Vec<String> = site.dropped("huaxin", "").into_keys().collect();
    write(&drop_dir.join("foreign.txt"), "not ours");
    write(&drop_dir.join("huaxin_x.dat.0123abcd-1.tmp"), "half");
    fs::create_dir(drop_dir.join("below")).expect("directory");
    write(&drop_dir.join("below/inner"), "inner");
    let secret = site.write("secret", "secret");
    symlink(&secret, drop_dir.join("link")).expect("link");
    symlink(site.drop_dir("bell"), drop_dir.join("out")).expect("link");

    let mut client = Client::login(port, "huaxin");
    let mut expected = ours.clone();
    expected.push("foreign.txt".to_owned());
    expected.sort();
    assert_eq!(client.names(), expected);
    for listing in ["LIST -la", "MLSD", "MLSD /", "NLST /", "LIST .."] {
        let list = String::from_utf8(client.fetch(listing)).expect("text");
        assert_eq!(list.lines().count(), expected.len(), "{listing}: {list}");
    }
    let name = &ours[0];
    let bytes = fs::read(drop_dir.join(name)).expect("file");
    assert_eq!(client.fetch(&format!("RETR {name}")), bytes);
    assert_eq!(client.fetch(&format!("RETR /../{name}")), bytes, "the root is the end");
    assert!(client.says(&format!("SIZE {name}"), 213).contains(&bytes.len().to_string()));
    assert_eq!(client.says(&format!("MDTM {name}"), 213).trim_end().len(), 18);

    try_everything_else(&site, &mut client, name, &secret);
    assert_eq!(fs::read(drop_dir.join(name)).expect("file"), bytes);

    // A file of ours under which somebody has put something else is foreign.
    write(&drop_dir.join(name), "something else");
    client.says(&format!("DELE {name}"), 550);
    write(&drop_dir.join(name), std::str::from_utf8(&bytes).unwrap_or("?"));
    fs::File::create(drop_dir.join(name)).and_then(|mut file| file.write_all(&bytes)).expect("as it was");

    // The deletion is in the ledger as soon as it is answered.
    assert_ne!(pickup_of(&site, name), DELETED);
    client.says(&format!("DELE {name}"), 250);
    assert_eq!(pickup_of(&site, name), DELETED);
    assert!(!drop_dir.join(name).exists() && !client.names().contains(name));
    client.says(&format!("DELE {name}"), 550);
    assert_ne!(pickup_of(&site, &ours[1]), DELETED);

    let mut other = Client::login(port, "bell");
    other.says(&format!("SIZE {}", ours[1]), 550);
    let log = stop(running);
    assert!(client.reply().starts_with("421 "), "the good-bye");
    assert!(log.contains("partners can fetch") && log.contains("file picked up"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    // Nobody has to say that a partner who fetches from here deletes what it has taken.
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["status", "--config"])
        .arg(site.path("hourdrop.toml"))
        .env("HOURDROP_TEST_CLOCK", NOW)
        .output()
        .expect("runs");
    let status = String::from_utf8_lossy(&status.stdout);
    assert!(status.contains("UNPICKED"), "{status}");
    // The stop was clean although partners were there: the next start misses nothing.
    let again = start(&site.path("hourdrop.toml"), NOW);
    Client::login(port, "huaxin");
    let log = stop(again);
    assert!(!log.contains("last stop left it"), "{log}");
}

/// Nothing outside, nothing below, no link, nothing that is not complete; nothing but listing, reading, deleting.
fn try_everything_else(site: &Site, client: &mut Client<TcpStream>, name: &str, secret: &Path) {
    let absolute = secret.display().to_string();
    let theirs = format!("../bell/{}", site.dropped("bell", ".dat").into_keys().next().expect("a file"));
    let unreachable = [
        &absolute,
        &theirs,
        "link",
        "out",
        "out/x",
        "below/inner",
        "below",
        "../secret",
        "huaxin_x.dat.0123abcd-1.tmp",
        "/etc/passwd",
        "../../../../etc/passwd",
        "nothing",
    ];
    for name in unreachable {
        for verb in ["SIZE", "MDTM", "MLST", "DELE", "CWD"] {
            client.says(&format!("{verb} {name}"), 550);
        }
        for verb in ["RETR", "LIST", "NLST", "MLSD"] {
            client.passive();
            client.says(&format!("{verb} {name}"), 550);
        }
    }
    let forbidden =
        ["STOR", "APPE", "STOU", "MKD", "XMKD", "RMD", "RNFR", "RNTO", "SITE CHMOD 777", "MFMT 20200101000000"];
    for verb in forbidden {
        client.passive();
        client.says(&format!("{verb} {name}"), 550);
    }
    client.says("DELE /", 550);
    client.says("DELE foreign.txt", 550);
    assert!(site.drop_dir("huaxin").join("foreign.txt").exists() && site.path("secret").exists());
}

#[test]
fn a_deletion_is_recorded_whenever_the_program_is_killed() {
    let (site, port) = (Site::new(), free_port());
    let config = configured(&site, port, "");
    let mut running = start(&config, NOW);
    wait_for_delivery(&site);
    let ours: Vec<String> = site.dropped("huaxin", "").into_keys().collect();
    for (round, four) in ours.chunks(4).enumerate() {
        let mut client = Client::login(port, "huaxin");
        let (last, first) = four.split_last().expect("files");
        for name in first {
            client.says(&format!("DELE {name}"), 250);
        }
        client.send(&format!("DELE {last}"));
        // The answer is not waited for, and a little longer each time.
        std::thread::park_timeout(Duration::from_micros(300 * round as u64));
        running.0.kill().expect("SIGKILL");
        running.0.wait().expect("the end");
        running = start(&config, NOW);
        Client::login(port, "huaxin");
        for name in four {
            let is_there = site.drop_dir("huaxin").join(name).exists();
            assert!(is_there == (pickup_of(&site, name) != DELETED), "round {round}: {name} is there: {is_there}");
            assert!(!is_there || name == last, "round {round}: {name}");
        }
    }
}

/// What a partner's desk needs, on this disk.
fn desk(config: &Path, disk: Arc<dyn Disk>) -> Result<(Exporter, PartnerDesk), String> {
    let clock = Arc::new(site::StandingClock(time(NOW)));
    let config = site::load(config, NOW);
    let directory = config.partners[0].address.clone();
    let hourdrop::remote::Endpoint::LocalDir { path, .. } = directory.endpoint else { panic!("a directory") };
    let exporter = Exporter::open(config, &World::new(disk, clock, Arc::new(Silent)), None, true);
    let exporter = exporter.map_err(|fault| fault.to_string())?;
    let desk = PartnerDesk::new(exporter.pickup_desk(), PartnerId::parse("huaxin").expect("name"), path);
    Ok((exporter, desk))
}

#[test]
fn a_crash_at_any_step_of_a_deletion_loses_no_pickup() {
    let site = Site::in_memory();
    site.write("in/1.log", call_line(5, "a"));
    let config = site::one_feed(&site, "files = \"in\"\nfinished = \"renamed\"", "", "forever");
    // It has a login, so that what was announced is looked after.
    let text = fs::read_to_string(&config).expect("configuration");
    let login = "pickup_login = { user = \"huaxin\", password = { file = \"p\" } }\n[partner.huaxin.feed.voice]";
    let server = "[pickup_server]\nlisten = \"127.0.0.1:2121\"\npassive_ports = \"41000-41099\"\n[source.switch]";
    let text = text.replace("[partner.huaxin.feed.voice]", login).replace("[source.switch]", server);
    site.configure(&text);
    site::once(&config, NOW);
    let name = site.dropped("huaxin", ".dat").into_keys().next().expect("a file");
    let path = site.drop_dir("huaxin").join(&name);
    let content = fs::read(&path).expect("file");
    for part in ["state", "archive"] {
        copy(&site.path(part), &site.path("saved").join(part));
    }
    let whole = StoppingDisk::new(usize::MAX);
    let (exporter, partner) = desk(&config, Arc::new(whole.clone())).expect("open");
    let begin = whole.operations();
    assert!(matches!(partner.take("foreign"), Err(TakeFault::Disk(_))));
    partner.take(&name).expect("taken");
    let end = whole.operations();
    drop((exporter, partner));
    assert_eq!(pickup_of(&site, &name), DELETED);
    assert!(end - begin >= 4, "{} steps", end - begin);
    let mut gone = 0;
    for stop_at in begin..end {
        for part in ["state", "archive"] {
            fs::remove_dir_all(site.path(part)).expect("removed");
            copy(&site.path("saved").join(part), &site.path(part));
        }
        fs::File::create(&path).and_then(|mut file| file.write_all(&content)).expect("delivered again");
        let stopping = Arc::new(StoppingDisk::new(stop_at));
        let (exporter, partner) = desk(&config, stopping).expect("it opens with fewer steps");
        assert!(partner.take(&name).is_err(), "step {stop_at}");
        drop((exporter, partner));
        let was_removed = !path.exists();
        gone += u32::from(was_removed);
        drop(desk(&config, Arc::new(RealDisk)).expect("the next start"));
        assert_eq!(pickup_of(&site, &name) == DELETED, was_removed, "step {stop_at}");
    }
    assert!(gone > 0, "no step behind the deletion was tried");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("directory");
    for entry in fs::read_dir(from).expect("directory") {
        let entry = entry.expect("entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copy");
        }
    }
}

#[test]
fn with_a_certificate_nothing_is_served_in_clear() {
    let (dir, certificates) = (tempfile::tempdir().expect("directory"), Certificates::for_this_machine());
    let account = Account {
        name: "acme".to_owned(),
        password: SecretString::from(format!("acme-{PASSWORD}")),
        root: dir.path().to_owned(),
        access: Access::Full,
    };
    let tls = Some(TlsFiles { certificate: certificates.certificate.clone(), key: certificates.key.clone() });
    let passive_ports = Some(41_000..=41_099);
    let settings = ServerSettings { tls, passive_ports, ..ServerSettings::on_loopback(0) };
    let server = FtpServer::bind(settings).and_then(|bound| bound.serve(&[account])).expect("server");
    let connection = TcpStream::connect(server.address()).expect("connection");
    connection.set_read_timeout(Some(Duration::from_secs(30))).expect("deadline");
    let mut clear = Client(BufReader::new(connection));
    assert!(clear.reply().starts_with("220 "));
    clear.says("USER acme", 530);
    clear.says("PASS acme", 503);
    clear.says("EPSV", 530);
    clear.says("PROT P", 503);
    clear.says("AUTH TLS", 234);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificates.authority).expect("PEM")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let name = ServerName::try_from("localhost").expect("name");
    let session = ClientConnection::new(config, name).expect("session");
    let mut client = Client(BufReader::new(StreamOwned::new(session, clear.0.into_inner())));
    client.says("USER acme", 331);
    client.says(&format!("PASS acme-{PASSWORD}"), 230);
    client.says("CCC", 534);
    client.says("PBSZ 0", 200);
    for command in ["EPSV", "PASV"] {
        client.says(command, 521);
        client.says("LIST", 425);
        client.says("PROT C", 534);
        client.says(command, 521);
    }
    client.says("PROT P", 200);
    client.passive();
    // Commands behind AUTH in the clear are not taken for protected ones.
    let connection = TcpStream::connect(server.address()).expect("connection");
    connection.set_read_timeout(Some(Duration::from_secs(30))).expect("deadline");
    let mut injected = Client(BufReader::new(connection));
    injected.reply();
    injected.send("AUTH TLS\r\nUSER acme");
    assert!(injected.reply().starts_with("234 "));
    assert!(injected.0.read_line(&mut String::new()).map_or(true, |count| count == 0), "the session ends");
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let certificates = Certificates::for_this_machine();
    let files = |certificate: &Path, key: &Path| {
        let files = TlsFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        let settings = ServerSettings { tls: Some(files), ..ServerSettings::on_loopback(0) };
        FtpServer::bind(settings).map(drop).map_err(|fault| fault.to_string())
    };
    assert_eq!(files(&certificates.certificate, &certificates.key), Ok(()));
    let missing = files(Path::new("/nowhere/cert.pem"), &certificates.key).expect_err("refused");
    assert!(missing.contains("/nowhere/cert.pem"), "{missing}");
    let none = files(&certificates.key, &certificates.key).expect_err("refused");
    assert!(none.contains("no certificate"), "{none}");
    fs::set_permissions(&certificates.key, fs::Permissions::from_mode(0o644)).expect("mode");
    let open = files(&certificates.certificate, &certificates.key).expect_err("refused");
    assert!(open.contains("everybody can read"), "{open}");
}

#[test]
fn a_server_that_cannot_start_stops_run_before_anything_is_done() {
    let site = Site::new();
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
    let port = taken.local_addr().expect("address").port();
    let config = configured(&site, port, "");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["run", "--config"])
        .arg(&config)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["the pickup server cannot be started", &format!("127.0.0.1:{port}"), "hint: see who uses the port"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!site.path("state").exists(), "nothing was begun");

    // Another instance that works with the state has the port as well: that is what is said.
    drop(taken);
    let running = start(&config, "2024-11-03T05:00:30Z");
    // The port is taken before the state is: only who is let in knows that both are.
    Client::login(port, "huaxin");
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_hourdrop"))
        .args(["run", "--config"])
        .arg(&config)
        .output()
        .expect("runs");
    assert_eq!(second.status.code(), Some(75), "{}", String::from_utf8_lossy(&second.stderr));
    stop(running);
}

/// Problems of a configuration whose server, and whose login of the first partner, are these.
fn problems(server: &str, login: &str, deliver: &str) -> Vec<(Severity, String)> {
    let site = Site::new();
    site.write("p", "secret");
    fs::set_permissions(site.path("p"), fs::Permissions::from_mode(0o600)).expect("mode");
    fs::create_dir_all(site.path("drop/b")).expect("directory");
    fs::create_dir_all(site.path("drop/a")).expect("directory");
    let feed = |partner: &str| {
        format!(
            "[partner.{partner}.feed.voice]\nsource = \"switch\"\nformat = \"huaxin-voice\"\nhour_by = \"start_time\"\n\
             name = \"{partner}_{{seq:05}}.dat\"\n"
        )
    };
    let config = site.configure(&format!(
        "state = \"state\"\narchive = \"archive\"\n[source.switch]\nfiles = \"in\"\nfinished = \"renamed\"\n\
         format = \"kamailio-acc-cdrs\"\n{server}\n[partner.a]\ndeliver = \"{deliver}\"\n{login}\n{}\
         [partner.b]\ndeliver = \"drop/b\"\n{}{}",
        feed("a"),
        if login.contains("\"same\"") { format!("{login}\n") } else { String::new() },
        feed("b")
    ));
    let loaded = config::load(&config, UtcTime::from_seconds(1_795_230_000).expect("time")).expect("readable");
    loaded.problems.into_iter().map(|problem| (problem.severity, problem.message)).collect()
}

#[test]
fn the_configuration_is_proven() {
    let server = |listen: &str, more: &str| {
        format!("[pickup_server]\nlisten = \"{listen}\"\npassive_ports = \"30000-30099\"\n{more}")
    };
    let tls = "tls = { certificate = \"c.pem\", key = \"k.pem\" }";
    let login = "pickup_login = { user = \"a\", password = { file = \"p\" } }";
    assert_eq!(problems(&server("0.0.0.0:21", tls), login, "drop/a"), []);
    assert_eq!(problems(&server("[::]:21", tls), login, "drop/a"), []);
    let plain = problems(&server("127.0.0.1:2121", ""), login, "drop/a");
    assert!(
        matches!(plain.as_slice(), [(Severity::Warning, message)] if message.contains("without `tls`")),
        "{plain:?}"
    );
    let same = "pickup_login = { user = \"same\", password = { file = \"p\" } }";
    for (server, login, deliver, said) in [
        (server("0.0.0.0:21", ""), login, "drop/a", "a server that others can reach needs `tls`"),
        (server("192.0.2.1:21", ""), login, "drop/a", "a server that others can reach needs `tls`"),
        (server("0.0.0.0:21", "tls = { certificate = \"c.pem\" }"), login, "drop/a", "`key`"),
        (server("21", tls), login, "drop/a", "`listen` is not an address"),
        (server("0.0.0.0:30050", tls), login, "drop/a", "one of the passive ports"),
        (server("0.0.0.0:21", tls).replace("30000-30099", "30099-30000"), login, "drop/a", "not a range of ports"),
        (server("0.0.0.0:21", &format!("{tls}\npassive_address = \"ftp.example\"")), login, "drop/a", "IPv4"),
        (server("0.0.0.0:21", tls), "", "drop/a", "nobody can log in"),
        (String::new(), login, "drop/a", "there is none"),
        (server("0.0.0.0:21", tls), login, "drop/b", "same directory"),
        (server("0.0.0.0:21", tls), same, "drop/a", "the same `user`"),
        (server("0.0.0.0:21", tls), "pickup_login = { user = \"a\", password = \"p\" }", "drop/a", "must not stand"),
        (
            server("0.0.0.0:21", tls),
            "pickup_login = { user = \"a b\", password = { file = \"p\" } }",
            "drop/a",
            "login name",
        ),
        (server("0.0.0.0:21", tls), "pickup_login = { user = \"a\" }", "drop/a", "`password`"),
    ] {
        let found = problems(&server, login, deliver);
        let is_said = found.iter().any(|(severity, message)| *severity == Severity::Error && message.contains(said));
        assert!(is_said, "{said}: {found:?}");
    }
    let sent = format!("{login}\npassword = {{ file = \"p\" }}");
    let found = problems(&server("0.0.0.0:21", tls), &sent, "ftp://a@127.0.0.1/x");
    assert!(found.iter().any(|(_, message)| message.contains("needs a directory of this machine")), "{found:?}");
}
