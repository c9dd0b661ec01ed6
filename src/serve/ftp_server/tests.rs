use super::*;
use crate::disk::RealDisk;
use crate::remote::endpoint::{FtpEndpoint, Protection, Wire};
use crate::remote::{Deadlines, Endpoint, FaultKind, Remote, RemoteFault, RemotePath};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream as Connection};
use std::path::Path;

fn login(port: u16, user: &str, password: &str) -> Result<Box<dyn Remote>, RemoteFault> {
    let (user, password) = (user.to_owned(), SecretString::from(password));
    let protection = Protection::None;
    let (host, wire) = ("127.0.0.1".to_owned(), Wire::default());
    let endpoint = FtpEndpoint { protection, host, port, user, password, bind: None, wire };
    Endpoint::Ftp(endpoint).connect(&Deadlines::default(), Arc::new(RealDisk))
}

fn account(name: &str, root: &Path) -> Account {
    let password = SecretString::from(format!("{name}-pw"));
    Account { name: name.to_owned(), password, root: root.to_owned(), access: Access::Full }
}

fn settings(limits: Limits) -> ServerSettings {
    ServerSettings { limits, ..ServerSettings::on_loopback(0) }
}

fn start(settings: ServerSettings, accounts: &[Account]) -> FtpServer {
    FtpServer::bind(settings).and_then(|bound| bound.serve(accounts)).expect("server")
}

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).expect("path")
}

/// Fails when the server takes no further session within so many seconds.
fn wait_for_a_seat(server: &FtpServer, seconds: u64) {
    let deadline = std::time::Instant::now() + Duration::from_secs(seconds);
    while !Client::new(server).reply().starts_with("220 ") {
        assert!(std::time::Instant::now() < deadline, "the seat is still taken");
    }
}

/// Speaks to the server line by line.
struct Client(BufReader<Connection>);

impl Client {
    fn new(server: &FtpServer) -> Self {
        let connection = Connection::connect(server.address()).expect("connection");
        connection.set_read_timeout(Some(Duration::from_secs(20))).expect("deadline");
        Self(BufReader::new(connection))
    }

    /// Has the greeting, and is logged in.
    fn of(server: &FtpServer, user: &str) -> Self {
        let mut client = Self::new(server);
        assert!(client.reply().starts_with("220 "));
        client.says(&format!("USER {user}"), 331);
        client.says(&format!("PASS {user}-pw"), 230);
        client
    }

    fn reply(&mut self) -> String {
        let mut reply = String::new();
        self.0.read_line(&mut reply).expect("a reply");
        reply
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    fn says(&mut self, command: &str, code: u16) -> String {
        self.send(&format!("{command}\r\n"));
        let reply = self.reply();
        assert!(reply.starts_with(&format!("{code} ")), "{command}: {reply}");
        reply
    }

    /// The port of a data connection.
    fn passive(&mut self) -> u16 {
        let reply = self.says("EPSV", 229);
        reply.split('|').nth(3).expect("a port").parse().expect("a port")
    }

    fn fetch(&mut self, command: &str) -> Vec<u8> {
        let port = self.passive();
        self.fetch_from(IpAddr::V4(Ipv4Addr::LOCALHOST), port, command)
    }

    fn fetch_from(&mut self, address: IpAddr, port: u16, command: &str) -> Vec<u8> {
        let mut data = Connection::connect((address, port)).expect("data connection");
        self.says(command, 150);
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).expect("data");
        assert!(self.reply().starts_with("226 "));
        bytes
    }
}

#[test]
fn every_account_sees_one_directory_and_needs_the_own_password() {
    let dirs = [tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory")];
    let accounts = [account("acme", dirs[0].path()), account("bell", dirs[1].path())];
    let limits = Limits { login_delay: Duration::ZERO, ..Limits::default() };
    let server = start(settings(limits), &accounts);
    let port = server.address().port();
    let mut acme = login(port, "acme", "acme-pw").expect("login");
    acme.upload(&path("/a.dat"), &mut &b"x"[..], 1, &mut |_| ()).expect("upload");
    assert!(dirs[0].path().join("a.dat").exists());
    let mut bell = login(port, "bell", "bell-pw").expect("login");
    assert_eq!(bell.list(&path("/")), Ok(Vec::new()));
    let elsewhere = path(&dirs[0].path().join("a.dat").display().to_string());
    assert_eq!(bell.size(&elsewhere), Ok(None));
    for (name, password) in [("acme", "bell-pw"), ("acme", ""), ("nobody", "acme-pw"), ("", "")] {
        let refused = login(port, name, password).map(drop);
        assert_eq!(refused.map_err(|fault| fault.kind), Err(FaultKind::Auth), "{name}");
    }
}

#[test]
fn a_link_does_not_lead_out_of_the_directory() {
    let dirs = [tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory")];
    std::fs::File::create(dirs[1].path().join("secret")).expect("file");
    std::os::unix::fs::symlink(dirs[1].path(), dirs[0].path().join("out")).expect("link");
    std::os::unix::fs::symlink(dirs[1].path().join("secret"), dirs[0].path().join("file")).expect("link");
    let server = start(settings(Limits::default()), &[account("acme", dirs[0].path())]);
    let mut acme = login(server.address().port(), "acme", "acme-pw").expect("login");
    assert!(acme.upload(&path("out/a.dat"), &mut &b"x"[..], 1, &mut |_| ()).is_err());
    assert!(!dirs[1].path().join("a.dat").exists());
    let mut client = Client::of(&server, "acme");
    for name in ["out/secret", "file", "out"] {
        client.says(&format!("SIZE {name}"), 550);
        client.passive();
        client.says(&format!("RETR {name}"), 550);
        client.says(&format!("CWD {name}"), 550);
    }
    assert_eq!(client.fetch("LIST"), b"");
    client.passive();
    client.says("STOR file", 550);
}

#[test]
fn a_dropped_server_ends_its_connections_and_frees_its_port() {
    let dir = tempfile::tempdir().expect("directory");
    let passive_ports = Some(42_000..=42_063);
    let settings = ServerSettings { passive_ports, ..ServerSettings::on_loopback(0) };
    let server = start(settings, &[account("acme", dir.path())]);
    let port = server.address().port();
    let mut session = login(port, "acme", "acme-pw").expect("login");
    session.upload(&path("a.dat"), &mut &b"x"[..], 1, &mut |_| ()).expect("upload through the port range");
    let mut client = Client::of(&server, "acme");
    let passive = client.passive();
    assert!((42_000..=42_063).contains(&passive), "{passive}");
    drop(server);
    assert!(client.reply().starts_with("421 "), "the good-bye");
    assert_eq!(session.size(&path("a.dat")).map_err(|fault| fault.kind), Err(FaultKind::Busy));
    assert!(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
    let address = taken.local_addr().expect("address");
    let settings = ServerSettings { listen: address, ..ServerSettings::on_loopback(0) };
    let fault = FtpServer::bind(settings).map(drop).expect_err("refused");
    assert!(fault.to_string().contains(&address.to_string()), "{fault}");
}

#[test]
fn data_go_to_the_client_of_the_session_only() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::File::create(dir.path().join("a.dat")).and_then(|mut file| file.write_all(b"money")).expect("file");
    let server = start(settings(Limits::default()), &[account("acme", dir.path())]);
    let mut client = Client::of(&server, "acme");
    let port = client.passive();
    // Somebody at another address is first at the port.
    let runtime = Builder::new_current_thread().enable_io().build().expect("runtime");
    let thief = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).expect("another address");
        socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.expect("connection").into_std().expect("socket")
    });
    assert_eq!(client.fetch_from(IpAddr::V4(Ipv4Addr::LOCALHOST), port, "RETR a.dat"), b"money");
    thief.set_nonblocking(false).expect("blocking");
    let mut stolen = Vec::new();
    drop(client);
    let mut thief = thief;
    assert!(thief.read_to_end(&mut stolen).is_err() || stolen.is_empty(), "{stolen:?}");
}

#[test]
fn active_mode_is_refused() {
    let dir = tempfile::tempdir().expect("directory");
    let server = start(settings(Limits::default()), &[account("acme", dir.path())]);
    let mut client = Client::of(&server, "acme");
    client.says("PORT 192,0,2,1,10,10", 502);
    client.says("EPRT |1|192.0.2.1|2570|", 502);
    client.says("LIST", 425);
}

#[test]
fn wrong_passwords_are_answered_late_and_end_the_session() {
    let dir = tempfile::tempdir().expect("directory");
    let accounts = [account("acme", dir.path())];
    let hasty = start(settings(Limits { login_delay: Duration::ZERO, ..Limits::default() }), &accounts);
    let mut client = Client::new(&hasty);
    client.reply();
    let mut answers = Vec::new();
    for (user, code) in [("acme", 530), ("nobody", 530), ("acme", 421)] {
        client.says(&format!("USER {user}"), 331);
        answers.push(client.says("PASS wrong", code));
    }
    assert_eq!(answers[0], answers[1], "nobody learns which names there are");
    assert_eq!(client.reply(), "", "the session has ended");
    client = Client::new(&hasty);
    client.reply();
    client.says("PASS acme-pw", 503);
    client.says("LIST", 530);
    client.says("RETR a.dat", 530);
    // With a delay of hours the right password is not answered either, and from another address hardly later.
    let patient = start(settings(Limits { login_delay: Duration::from_hours(1), ..Limits::default() }), &accounts);
    let mut client = Client::new(&patient);
    client.reply();
    client.says("USER acme", 331);
    client.says("PASS wrong", 530);
    client.says("USER acme", 331);
    client.send("PASS acme-pw\r\n");
    client.0.get_ref().set_read_timeout(Some(Duration::from_millis(300))).expect("deadline");
    assert!(client.0.read_line(&mut String::new()).is_err(), "no answer yet");
}

#[test]
fn sessions_are_limited_and_a_free_place_is_given_again() {
    let dir = tempfile::tempdir().expect("directory");
    let limits = Limits { sessions_per_address_max: 2, ..Limits::default() };
    let server = start(settings(limits), &[account("acme", dir.path())]);
    let (mut first, second) = (Client::of(&server, "acme"), Client::of(&server, "acme"));
    assert!(Client::new(&server).reply().starts_with("421 "));
    first.says("QUIT", 221);
    assert_eq!(first.reply(), "");
    wait_for_a_seat(&server, 20);
    drop(second);
}

#[test]
fn a_silent_session_is_ended() {
    let dir = tempfile::tempdir().expect("directory");
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let server = start(settings(limits), &[account("acme", dir.path())]);
    let mut client = Client::of(&server, "acme");
    assert!(client.reply().starts_with("421 "));
    assert_eq!(client.reply(), "");
}

#[test]
fn a_client_that_goes_away_is_not_waited_for_at_a_data_port() {
    let dir = tempfile::tempdir().expect("directory");
    let limits = Limits { sessions_max: 1, ..Limits::default() };
    let server = start(settings(limits), &[account("acme", dir.path())]);
    let mut gone = Client::of(&server, "acme");
    gone.passive();
    gone.send("LIST\r\n");
    drop(gone);
    // Its seat is free long before the 20 s of a data connection.
    wait_for_a_seat(&server, 10);
}

#[test]
fn a_wait_for_a_data_connection_can_be_given_up() {
    let dir = tempfile::tempdir().expect("directory");
    let server = start(settings(Limits::default()), &[account("acme", dir.path())]);
    let mut client = Client::of(&server, "acme");
    client.passive();
    client.send("LIST\r\n");
    client.says("ABOR", 426);
    assert!(client.reply().starts_with("226 "));
    client.says("NOOP", 200);
}

#[test]
fn a_session_whose_data_connections_are_never_made_is_ended() {
    let dir = tempfile::tempdir().expect("directory");
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let server = start(settings(limits), &[account("acme", dir.path())]);
    let mut client = Client::of(&server, "acme");
    // All at once: the session is never idle. More than is read ahead while a transfer waits.
    client.send(&"EPSV\r\nLIST\r\n".repeat(300));
    for _ in 0..3 {
        assert!(client.reply().starts_with("229 "));
        assert!(client.reply().starts_with("425 "));
    }
    assert!(client.reply().starts_with("421 "));
}

#[test]
fn commands_without_end_are_not_gathered() {
    let dir = tempfile::tempdir().expect("directory");
    let server = start(settings(Limits::default()), &[account("acme", dir.path())]);
    let mut client = Client::new(&server);
    client.reply();
    client.send(&"A".repeat(4000));
    assert!(client.reply().starts_with("421 "));
}

#[test]
fn when_every_passive_port_is_taken_the_client_is_told() {
    let dir = tempfile::tempdir().expect("directory");
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
    let port = taken.local_addr().expect("address").port();
    let settings = ServerSettings { passive_ports: Some(port..=port), ..ServerSettings::on_loopback(0) };
    let server = start(settings, &[account("acme", dir.path())]);
    let mut client = Client::of(&server, "acme");
    client.says("PASV", 425);
    drop(taken);
    let told = client.says("PASV", 227);
    assert!(told.contains(&format!("(127,0,0,1,{},{})", port / 256, port % 256)), "{told}");
}

#[test]
fn the_address_behind_a_translation_is_told() {
    let dir = tempfile::tempdir().expect("directory");
    let passive_address = Some(Ipv4Addr::new(203, 0, 113, 7));
    let server =
        start(ServerSettings { passive_address, ..ServerSettings::on_loopback(0) }, &[account("acme", dir.path())]);
    assert!(Client::of(&server, "acme").says("PASV", 227).contains("(203,0,113,7,"));
}

#[test]
fn reading_begins_where_the_client_wants_and_once_only() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::File::create(dir.path().join("a.dat")).and_then(|mut file| file.write_all(b"0123456789")).expect("file");
    let server = start(settings(Limits::default()), &[account("acme", dir.path())]);
    let mut client = Client::of(&server, "acme");
    let port = client.passive();
    client.says("REST 7", 350);
    assert_eq!(client.fetch_from(IpAddr::V4(Ipv4Addr::LOCALHOST), port, "RETR a.dat"), b"789");
    assert_eq!(client.fetch("RETR a.dat"), b"0123456789");
    assert_eq!(client.fetch("NLST -la"), b"a.dat\r\n");
}

#[test]
fn a_transfer_can_be_given_up() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::File::create(dir.path().join("a.dat")).and_then(|file| file.set_len(256 << 20)).expect("file");
    let server = start(settings(Limits::default()), &[account("acme", dir.path())]);
    let mut client = Client::of(&server, "acme");
    let port = client.passive();
    let data = Connection::connect((Ipv4Addr::LOCALHOST, port)).expect("data connection");
    client.says("RETR a.dat", 150);
    client.says("ABOR", 426);
    assert!(client.reply().starts_with("226 "));
    drop(data);
    client.says("NOOP", 200);
}
