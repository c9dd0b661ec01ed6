//! What goes over the network: who opens data connections, from and to which address, names, and TLS versions.

use crate::delivering::{deliver, file, how};
use crate::scripted_server::{Quirk, ScriptedServer};
use crate::servers::{Certificates, SshKeys, TestServer};
use crate::site::{Site, time};
use hourdrop::app::config;
use hourdrop::disk::RealDisk;
use hourdrop::domain::delivery::Verified;
use hourdrop::domain::ids::FileName;
use hourdrop::remote::endpoint::{DataConnections, FtpEndpoint, HostKeys, Protection, SftpEndpoint};
use hourdrop::remote::ftp::charset::NameCharset;
use hourdrop::remote::tls::{TlsRules, TlsVersion};
use hourdrop::remote::{Deadlines, Endpoint, FaultKind, Outcome, Remote, RemoteFault, RemotePath};
use secrecy::SecretString;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn connect(endpoint: &Endpoint) -> Result<Box<dyn Remote>, RemoteFault> {
    endpoint.connect(&Deadlines::default(), Arc::new(RealDisk))
}

/// The FTP server's endpoint, changed.
fn changed(server: &TestServer, change: impl FnOnce(&mut FtpEndpoint)) -> Endpoint {
    let Endpoint::Ftp(mut ftp) = server.endpoint.clone() else { panic!("an FTP server") };
    change(&mut ftp);
    Endpoint::Ftp(ftp)
}

fn is_delivered(session: &mut dyn Remote, directory: &RemotePath, name: &str, content: &[u8]) -> bool {
    let (state, _) = deliver(session, &file(directory, name, content.len()), content);
    state.is_ok_and(|state| how(&state) == Some(Verified::ReplyAndSize))
}

/// Three files go over one session, are listed, and lie there byte by byte.
fn files_arrive(server: &TestServer, endpoint: &Endpoint) {
    let mut session = connect(endpoint).unwrap_or_else(|fault| panic!("{}: {fault}", server.name));
    let content: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    for name in ["a.dat", "b c.dat", "话单.dat"] {
        assert!(is_delivered(session.as_mut(), &server.base, name, &content), "{}: {name}", server.name);
        assert!(fs::read(server.files.join(name)).expect(name) == content, "{}: {name}", server.name);
    }
    let listed = session.list(&server.base).expect("listing");
    assert_eq!(listed.iter().filter(|entry| entry.name == "话单.dat").count(), 1, "{}: {listed:?}", server.name);
    for entry in listed {
        session.remove(&server.base.join(&FileName::parse(&entry.name).expect("name"))).expect("removed");
    }
}

#[test]
fn the_server_opens_the_data_connections_where_that_is_wanted() {
    let certificates = Certificates::for_this_machine();
    // Servers that let nobody open data connections to them show that nobody does.
    let deaf = [
        TestServer::vsftpd_configured("pasv_enable=NO\n"),
        TestServer::proftpd_configured("<Limit PASV EPSV>\nDenyAll\n</Limit>\n"),
    ];
    for server in &deaf {
        let mut session = connect(&server.endpoint).expect("session");
        let passive = session.list(&server.base).expect_err("nothing listens");
        assert_eq!(passive.operation, "list", "{}: {passive}", server.name);
    }
    let others =
        [TestServer::pure_ftpd(), TestServer::vsftpd_tls(&certificates), TestServer::proftpd_tls(&certificates)];
    for server in deaf.iter().chain(&others) {
        files_arrive(server, &changed(server, |ftp| ftp.wire.data = DataConnections::Active));
    }
}

#[test]
fn where_the_server_opens_the_data_connections_nobody_else_gets_in() {
    let name = RemotePath::parse("a.dat").expect("path");
    for quirk in [Quirk::StrangerFirst, Quirk::StrangerOnly] {
        let server = ScriptedServer::start(quirk, 0);
        let mut session = server.connect_with(|ftp| ftp.wire.data = DataConnections::Active).expect("session");
        let done = session.upload(&name, &mut &b"secret"[..], 6, &mut |_| ());
        if quirk == Quirk::StrangerFirst {
            done.expect("the server itself gets in");
            assert_eq!(server.world().files.get("a.dat").map(Vec::as_slice), Some(&b"secret"[..]));
        } else {
            let fault = done.expect_err("nobody else");
            assert_eq!(fault.kind, FaultKind::Timeout, "{fault}");
        }
        drop(session);
        let world = server.world();
        assert!(world.stolen.iter().all(Vec::is_empty), "{:?}", world.stolen);
    }
}

/// What a server answers to PASV.
fn passive_reply(server: &TestServer) -> String {
    let Endpoint::Ftp(ftp) = &server.endpoint else { panic!("an FTP server") };
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, ftp.port)).expect("connection");
    let mut lines = BufReader::new(connection.try_clone().expect("socket")).lines();
    let commands = ["", &format!("USER {}\r\n", ftp.user), "PASS testpass\r\n", "PASV\r\n"].map(str::to_owned);
    let mut last = String::new();
    for command in commands {
        connection.write_all(command.as_bytes()).expect("sent");
        last = lines.next().expect("a reply").expect("a line");
    }
    last
}

#[test]
fn a_server_that_advertises_an_address_of_another_network_is_reached_where_it_is() {
    let servers = [
        TestServer::vsftpd_configured("pasv_address=10.99.99.99\ncmds_denied=EPSV\n"),
        TestServer::proftpd_configured("MasqueradeAddress 10.99.99.99\n<Limit EPSV>\nDenyAll\n</Limit>\n"),
    ];
    for server in servers {
        let said = passive_reply(&server);
        assert!(said.starts_with("227") && said.contains("10,99,99,99"), "{}: {said}", server.name);
        files_arrive(&server, &server.endpoint);
    }
}

#[test]
fn a_data_connection_on_another_machine_of_the_same_network_is_found() {
    let server = ScriptedServer::start(Quirk::OtherMachine, 0);
    let mut session = server.connect().expect("session");
    let path = RemotePath::parse("a.dat").expect("path");
    session.upload(&path, &mut &b"hello"[..], 5, &mut |_| ()).expect("upload");
    assert_eq!(server.world().files.get("a.dat").map(Vec::as_slice), Some(&b"hello"[..]));
    assert!(server.world().commands.iter().any(|command| command == "PASV"));
}

#[test]
fn all_connections_leave_from_the_given_address() {
    let scripted = ScriptedServer::start(Quirk::Nothing, 0);
    for data in [DataConnections::Passive, DataConnections::Active] {
        let mut session = scripted
            .connect_with(|ftp| {
                ftp.bind = Some(OWN);
                ftp.wire.data = data;
            })
            .expect("session");
        session.list(&RemotePath::login_directory()).expect("listing");
    }
    assert_eq!(scripted.world().peers, [OWN; 4], "control and data connection of both sessions");
    let limit = "<Limit WRITE>\nOrder allow,deny\nAllow from 127.0.0.2\nDeny from all\n</Limit>\n";
    let proftpd = TestServer::proftpd_configured(limit);
    let mut elsewhere = connect(&proftpd.endpoint).expect("session");
    assert!(!is_delivered(elsewhere.as_mut(), &proftpd.base, "a.dat", b"x"), "only the one address may write");
    files_arrive(&proftpd, &changed(&proftpd, |ftp| ftp.bind = Some(OWN)));
    files_arrive(
        &proftpd,
        &changed(&proftpd, |ftp| {
            ftp.bind = Some(OWN);
            ftp.wire.data = DataConnections::Active;
        }),
    );
    let keys = SshKeys::of_kinds(&["ed25519"]);
    let sshd = TestServer::openssh_configured(&keys, "AllowUsers acme@127.0.0.2\n");
    let refused = connect(&sshd.endpoint).map(drop).expect_err("only the one address may log in");
    assert_eq!(refused.kind, FaultKind::Auth, "{refused}");
    let Endpoint::Sftp(sftp) = sshd.endpoint.clone() else { panic!("an SFTP server") };
    files_arrive(&sshd, &Endpoint::Sftp(SftpEndpoint { bind: Some(OWN), ..sftp }));
}

fn charset(name: &str) -> NameCharset {
    NameCharset::parse(name).expect(name)
}

#[test]
fn names_lie_on_the_server_in_the_declared_charset() {
    // The second byte of the last character is a backslash, which Pure-FTPd takes in no name; or a bar.
    let backslash: (&str, &str, &[u8]) = ("gbk", "话单 誠", b"\xbb\xb0\xb5\xa5 \xd5\x5c");
    let bar: (&str, &str, &[u8]) = ("gbk", "话单 諀", b"\xbb\xb0\xb5\xa5 \xd5\x7c");
    let western: (&str, &str, &[u8]) = ("windows-1252", "Gespräche ü", b"Gespr\xe4che \xfc");
    for server in [TestServer::vsftpd(), TestServer::proftpd(), TestServer::pure_ftpd()] {
        for (label, name, bytes) in [backslash, bar, western] {
            if bytes.contains(&b'\\') && server.name == "Pure-FTPd" {
                continue;
            }
            let endpoint = changed(&server, |ftp| ftp.wire.charset = charset(label));
            let directory = server.base.join(&FileName::parse(name).expect("name"));
            let here = server.files.join(OsString::from_vec(bytes.to_vec()));
            connect(&endpoint).expect("session").create_dir(&directory).expect("directory");
            // A name that differs in bytes alone is another name, and so is one that is no text.
            for foreign in [name.as_bytes(), b"\xff\xfe.dat", b"\xa2\xe3"] {
                fs::File::create(here.join(OsString::from_vec(foreign.to_vec()))).expect("foreign file");
            }
            let mut session = connect(&endpoint).expect("session");
            assert!(is_delivered(session.as_mut(), &directory, name, b"hello"), "{} {label}", server.name);
            let mut lie: Vec<Vec<u8>> = fs::read_dir(&here)
                .expect("directory")
                .map(|entry| entry.expect("entry").file_name().into_vec())
                .filter(|found| found == bytes || found.ends_with(b".tmp"))
                .collect();
            lie.sort();
            assert_eq!(lie, [bytes.to_vec()], "{} {label}", server.name);
            assert_eq!(fs::read(here.join(OsString::from_vec(bytes.to_vec()))).expect("file"), b"hello");
            let path = directory.join(&FileName::parse(name).expect("name"));
            assert_eq!(session.size(&path).expect("size"), Some(5));
            let listed = session.list(&directory).expect("listing");
            let ours = listed.iter().filter(|entry| entry.name == name).count();
            assert_eq!((ours, listed.len()), (1, 4), "{} {label}: {listed:?}", server.name);
            session.remove(&path).expect("removed");
            assert!(session.list(&directory).expect("listing").iter().all(|entry| entry.name != name));
            assert_eq!(fs::read_dir(&here).expect("directory").count(), 3, "{} {label}", server.name);
        }
    }
}

#[test]
fn a_name_that_the_charset_lacks_is_refused_before_anything_is_sent() {
    let server = ScriptedServer::start(Quirk::Nothing, 0);
    let mut session = server.connect_with(|ftp| ftp.wire.charset = charset("gbk")).expect("session");
    let before = server.world().commands.clone();
    assert!(before.iter().all(|command| !command.contains("UTF8")), "{before:?}");
    let (there, lacking) =
        (RemotePath::parse("a.dat").expect("path"), RemotePath::parse("\u{1f600}.dat").expect("path"));
    let faults = [
        session.upload(&lacking, &mut &b"x"[..], 1, &mut |_| ()).expect_err("upload"),
        session.rename(&there, &lacking).expect_err("rename"),
        session.rename(&lacking, &there).expect_err("rename"),
        session.remove(&lacking).expect_err("remove"),
        session.size(&lacking).expect_err("size"),
    ];
    for fault in faults {
        assert_eq!((fault.kind, fault.outcome), (FaultKind::Denied, Outcome::NotDone), "{fault}");
        assert!(fault.to_string().contains("GBK"), "{fault}");
    }
    assert_eq!(server.world().commands, before);
    session.upload(&there, &mut &b"x"[..], 1, &mut |_| ()).expect("the session goes on");
}

#[test]
fn no_text_becomes_a_command_of_its_own() {
    for control in ["\r\n", "\n", "\r", "\0", "\u{7f}", "\u{85}", "\t", "\u{1b}"] {
        let server = ScriptedServer::start(Quirk::Nothing, 0);
        let smuggled = format!("a{control}DELE b");
        assert!(RemotePath::parse(&smuggled).is_err() && FileName::parse(&smuggled).is_err(), "{control:?}");
        let user = server.connect_with(|ftp| ftp.user.clone_from(&smuggled)).map(drop);
        let password = server.connect_with(|ftp| ftp.password = SecretString::from(smuggled.as_str())).map(drop);
        for fault in [user.expect_err("user"), password.expect_err("password")] {
            assert_eq!(fault.kind, FaultKind::Auth, "{fault}");
            assert!(!fault.to_string().contains("DELE"), "{fault}");
        }
        let world = server.world();
        assert!(world.commands.iter().all(|command| !command.contains("DELE")), "{:?}", world.commands);
    }
    let server = ScriptedServer::start(Quirk::ControlHome, 0);
    let mut session = server.connect().expect("session");
    let fault = session.list(&RemotePath::parse("out").expect("path")).expect_err("no such login directory");
    assert_eq!(fault.kind, FaultKind::Protocol, "{fault}");
    assert!(server.world().commands.iter().all(|command| !command.contains("DELE")));
}

#[test]
fn a_server_that_refuses_the_newest_tls_gets_the_one_before_it() {
    let certificates = Certificates::for_this_machine();
    let server = TestServer::proftpd_tls(&certificates);
    let newest = changed(&server, |ftp| {
        let Protection::Explicit(rules) = ftp.protection.clone() else { panic!("TLS") };
        ftp.protection = Protection::Explicit(TlsRules { max: TlsVersion::V1_3, ..rules });
    });
    let names: Vec<String> = (0..20).map(|number| format!("f{number:02}.dat")).collect();
    let (mut sent, mut faults) = (0, Vec::new());
    while sent < names.len() && faults.len() < 3 {
        // Each session has a copy of the endpoint, as in the exporter.
        let mut session = connect(&newest.clone()).expect("session");
        while let Some(name) = names.get(sent) {
            let (state, _) = deliver(session.as_mut(), &file(&server.base, name, 5), b"hello");
            match state {
                Ok(state) => assert_eq!(how(&state), Some(Verified::ReplyAndSize)),
                Err(fault) => {
                    faults.push((sent, fault.to_string()));
                    let path = RemotePath::parse("x").expect("path");
                    assert!(session.size(&path).is_err(), "the session ended");
                    break;
                }
            }
            sent += 1;
        }
    }
    assert_eq!((sent, faults.len()), (20, 1), "{faults:?}");
    assert!((1..=3).contains(&faults[0].0), "a session had its TLS tickets: {faults:?}");
    for name in names {
        assert_eq!(fs::read(server.files.join(&name)).expect("file"), b"hello", "{name}");
    }
}

/// What the configuration of a partner with these keys is told, line by line.
fn problems(keys: &str, name: &str) -> String {
    let site = Site::new();
    let text = format!(
        "state = \"state\"\narchive = \"archive\"\n[source.switch]\nstdin = true\nformat = \"kamailio-acc-cdrs\"\n\
         [partner.huaxin]\npassword = {{ env = \"PATH\" }}\n{keys}\n[partner.huaxin.feed.voice]\nsource = \"switch\"\n\
         format = \"huaxin-voice\"\nhour_by = \"start_time\"\nname = \"{name}_{{seq}}.dat\"\n"
    );
    let loaded = config::load(&site.configure(&text), time("2024-11-03T12:00:00Z")).expect("readable");
    let told = loaded.problems.iter().filter(|problem| !problem.message.contains("plain FTP"));
    told.map(|problem| format!("{}: {}", problem.line(), problem.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_configuration_says_what_fits() {
    let ftp = "deliver = \"ftp://a@h/out\"";
    let first_use = problems("deliver = \"sftp://a@h/out\"\nhost_key = \"first-use\"", "a");
    assert_eq!(first_use, "9: the first host key that the server shows is trusted, whoever shows it");
    assert_eq!(problems(&format!("{ftp}\ndata = \"active\"\nbind = \"127.0.0.2\"\ncharset = \"GBK\""), "话单"), "");
    for (keys, name, said) in [
        (format!("{ftp}\ndata = \"aktive\""), "a", "9: "),
        (format!("{ftp}\nbind = \"eth0\""), "a", "9: `bind` is not an IP address"),
        (format!("{ftp}\ncharset = \"utf-16\""), "a", "9: `utf-16` is no charset for names on an FTP server"),
        (
            format!("{ftp}\ncharset = \"latin1\""),
            "话单",
            "14: `话单_0.dat` has a character that cannot be sent in windows-1252",
        ),
        (
            "deliver = \"ftp://a@h/话\"\ncharset = \"big5\"".to_owned(),
            "a",
            "8: `话` has a character that cannot be sent in Big5",
        ),
        (
            format!("{ftp}\ntemporary_dir = \"tmp😀\"\ncharset = \"gbk\""),
            "a",
            "9: `tmp😀` has a character that cannot be sent in GBK",
        ),
        ("deliver = \"/\"\nbind = \"127.0.0.1\"".to_owned(), "a", "9: `bind` is for ftp://, ftps:// and sftp:// only"),
        ("deliver = \"/\"\ndata = \"active\"".to_owned(), "a", "9: `data` is for ftp:// and ftps:// only"),
        (
            "deliver = \"sftp://a@h/out\"\nhost_key = [\"SHA256:x\"]\ncharset = \"gbk\"".to_owned(),
            "a",
            "10: `charset` is for ftp:// and ftps:// only",
        ),
        (
            "deliver = \"ftps://a@h:990/out\"\nbind = \"127.0.0.1\"".to_owned(),
            "a",
            "9: `bind` cannot be used with TLS from the first byte",
        ),
    ] {
        let found = problems(&keys, name);
        assert!(found.starts_with(said) && found.lines().count() == 1, "{keys}: {found}");
    }
}

#[test]
fn the_first_host_key_is_remembered_where_that_is_wanted_and_no_other_is_taken() {
    let (keys, others) = (SshKeys::of_kinds(&["ed25519", "rsa"]), SshKeys::of_kinds(&["ed25519"]));
    let state = tempfile::tempdir().expect("directory");
    let dir = state.path().join("host_keys");
    let server = TestServer::openssh(&keys);
    let first_use = |server: &TestServer| {
        let Endpoint::Sftp(sftp) = server.endpoint.clone() else { panic!("an SFTP server") };
        (sftp.port, Endpoint::Sftp(SftpEndpoint { host_keys: HostKeys::FirstUse(dir.clone()), ..sftp }))
    };
    let (port, endpoint) = first_use(&server);
    connect(&endpoint).expect("the first key");
    let kept = dir.join(format!("127.0.0.1_{port}"));
    let line = fs::read_to_string(&kept).expect("a file");
    assert!(line.starts_with(&format!("[127.0.0.1]:{port} ssh-")), "{line}");
    connect(&endpoint).expect("the same key");
    assert_eq!(fs::read_to_string(&kept).expect("a file"), line);
    // Another server takes its place, on the same port as far as we are told.
    let impostor = TestServer::openssh(&others);
    let (other_port, endpoint) = first_use(&impostor);
    let moved = line.replace(&format!(":{port} "), &format!(":{other_port} "));
    fs::File::create(dir.join(format!("127.0.0.1_{other_port}")))
        .and_then(|mut f| f.write_all(moved.as_bytes()))
        .expect("kept");
    let fault = connect(&endpoint).map(drop).expect_err("another key");
    assert_eq!(fault.kind, FaultKind::HostKey, "{fault}");
    assert!(fault.to_string().contains(&others.fingerprints()[0]), "{fault}");
    // Nothing can be kept where a file is in the way: then nothing is trusted.
    let Endpoint::Sftp(sftp) = server.endpoint.clone() else { panic!("an SFTP server") };
    let host_keys = HostKeys::FirstUse(kept.join("below"));
    let fault = connect(&Endpoint::Sftp(SftpEndpoint { host_keys, ..sftp })).map(drop).expect_err("refused");
    assert_eq!(fault.kind, FaultKind::HostKey, "{fault}");
}
