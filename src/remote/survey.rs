//! A look at a server before anybody logs in: can it be reached, and does it prove who it is? No password and, unless
//! the server is known, no user name leaves the machine, so even a server that is not trusted can be looked at.

use super::endpoint::{Endpoint, FtpEndpoint, Protection};
use super::facts::{CertificateFacts, Reach, TlsFacts};
use super::fault::clean_reply;
use super::ftp::reply::Reply;
use super::runtime::OwnRuntime;
use super::tls::{Judged, TlsRules, TlsVersion, Witness, configure_with, watched};
use super::{Deadlines, FaultKind, Outcome, RemoteFault, sftp, socket};
use crate::disk::Disk;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ProtocolVersion};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const OPERATION: &str = "connect";
/// How long a server may take to close.
const GOOD_BYE: Duration = Duration::from_millis(300);
/// Longest greeting or reply in bytes.
const REPLY_BYTES_MAX: usize = 16 * 1024;

/// Looks at the server of an endpoint, within the deadline for connecting; `None` for a directory of this machine.
#[must_use]
pub fn survey(endpoint: &Endpoint, deadlines: &Deadlines, disk: &dyn Disk) -> Option<Reach> {
    let mut reach = Reach::default();
    let surveyed = OwnRuntime::start().and_then(|runtime| {
        runtime.in_time(deadlines.connect.as_std(), OPERATION, async {
            match endpoint {
                Endpoint::Ftp(ftp) => look_at_ftp(ftp, disk, &mut reach).await,
                Endpoint::Sftp(ssh) => {
                    let socket = open((&ssh.host, ssh.port), ssh.bind, &mut reach).await?;
                    reach.greeting = Some(identification(socket).await?);
                    let (found, result) = sftp::survey(ssh, disk).await;
                    reach.ssh = Some(found);
                    result
                }
                Endpoint::LocalDir { .. } => Ok(()),
            }
        })
    });
    reach.fault = surveyed.err();
    (!matches!(endpoint, Endpoint::LocalDir { .. })).then_some(reach)
}

async fn look_at_ftp(ftp: &FtpEndpoint, disk: &dyn Disk, reach: &mut Reach) -> Result<(), RemoteFault> {
    let mut socket = open((&ftp.host, ftp.port), ftp.bind, reach).await?;
    let (rules, is_implicit) = match &ftp.protection {
        Protection::None => {
            reach.greeting = Some(greeting(&mut socket).await?);
            say_good_bye(&mut socket).await;
            return Ok(());
        }
        Protection::Explicit(rules) => (rules, false),
        Protection::Implicit(rules) => (rules, true),
    };
    if !is_implicit {
        reach.greeting = Some(greeting(&mut socket).await?);
    }
    let witness = Arc::new(watched(rules.verifier(disk)));
    let shaken = secure(socket, (rules, is_implicit), rules.name_for(&ftp.host), &witness).await;
    let mut facts = TlsFacts {
        version: None,
        cipher: String::new(),
        offers_1_3: false,
        certificate: CertificateFacts::default(),
        distrust: None,
    };
    let ended = match shaken {
        Err(fault) => Err(fault),
        Ok(mut stream) => {
            note(stream.get_ref().1, &mut facts);
            let mut greeted = Ok(());
            if is_implicit {
                match greeting(&mut stream).await {
                    Ok(text) => reach.greeting = Some(text),
                    Err(fault) => greeted = Err(fault),
                }
            }
            say_good_bye(&mut stream).await;
            greeted
        }
    };
    facts.offers_1_3 = facts.version == Some(TlsVersion::V1_3) || offers_1_3(ftp, rules, is_implicit, &witness).await;
    (facts.certificate, facts.distrust) = (witness.judge.certificate(), witness.judge.distrust());
    reach.tls = Some(facts);
    ended
}

fn note(connection: &ClientConnection, facts: &mut TlsFacts) {
    facts.version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => Some(TlsVersion::V1_2),
        Some(ProtocolVersion::TLSv1_3) => Some(TlsVersion::V1_3),
        _ => None,
    };
    facts.cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
}

/// Whether the server can speak TLS 1.3, by another connection that may.
async fn offers_1_3(ftp: &FtpEndpoint, rules: &TlsRules, is_implicit: bool, witness: &Arc<Judged<Witness>>) -> bool {
    let rules = TlsRules { max: TlsVersion::V1_3, ..rules.clone() };
    let work = async {
        let mut socket = open((&ftp.host, ftp.port), ftp.bind, &mut Reach::default()).await?;
        if !is_implicit {
            greeting(&mut socket).await?;
        }
        let mut stream = secure(socket, (&rules, is_implicit), rules.name_for(&ftp.host), witness).await?;
        let version = stream.get_ref().1.protocol_version();
        say_good_bye(&mut stream).await;
        Ok::<_, RemoteFault>(version)
    };
    matches!(work.await, Ok(Some(ProtocolVersion::TLSv1_3)))
}

/// Asks for TLS where it is not there from the first byte, and shakes hands. Whether the server is trusted is for the
/// witness to say.
async fn secure(
    mut socket: TcpStream,
    (rules, is_implicit): (&TlsRules, bool),
    name: &str,
    witness: &Arc<Judged<Witness>>,
) -> Result<TlsStream<TcpStream>, RemoteFault> {
    if !is_implicit {
        send(&mut socket, "AUTH TLS").await?;
        let reply = read_reply(&mut socket).await?;
        if reply.code() != 234 {
            let said = format!("{} {}", reply.code(), clean_reply(reply.text()));
            return Err(no_tls(format!("the server refuses TLS (AUTH TLS: {said})")));
        }
    }
    let config = configure_with(rules.max, Arc::<Judged<Witness>>::clone(witness))?;
    let name = ServerName::try_from(name.to_owned()).map_err(|error| no_tls(error.to_string()))?;
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    shaken.map_err(|error| no_tls(clean_reply(&error.to_string())))
}

fn no_tls(cause: String) -> RemoteFault {
    RemoteFault::because(FaultKind::Tls, OPERATION, Outcome::NotDone, cause)
}

fn broken(error: &io::Error) -> RemoteFault {
    RemoteFault::because(FaultKind::Unreachable, OPERATION, Outcome::NotDone, error.to_string())
}

async fn open((host, port): (&str, u16), bind: Option<IpAddr>, reach: &mut Reach) -> Result<TcpStream, RemoteFault> {
    let begun = Instant::now();
    let found: Vec<_> = lookup_host((host, port)).await.map_err(|error| broken(&error))?.collect();
    reach.look_up = Some(begun.elapsed());
    reach.addresses = found.iter().map(SocketAddr::ip).collect();
    let mut last = io::Error::other("the name has no address that can be reached from here");
    let fits = |address: &SocketAddr| bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4());
    for address in found.into_iter().filter(fits) {
        let begun = Instant::now();
        match socket::connect(address, bind).await {
            Ok(socket) => {
                reach.connected = Some((address, begun.elapsed()));
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(broken(&last))
}

async fn greeting(stream: &mut (impl AsyncRead + Unpin)) -> Result<String, RemoteFault> {
    let reply = read_reply(stream).await?;
    if reply.code() != 220 {
        return Err(reply.fault(OPERATION, Outcome::NotDone));
    }
    let words =
        |line: &str| line.strip_prefix("220").map_or(line, |rest| rest.trim_start_matches(['-', ' '])).to_owned();
    Ok(clean_reply(&reply.text().lines().map(words).collect::<Vec<_>>().join(" ")))
}

/// Reads one reply to its end, RFC 959, 4.2: with `-` behind the code it goes on to a line with the code and a blank.
async fn read_reply(stream: &mut (impl AsyncRead + Unpin)) -> Result<Reply, RemoteFault> {
    let mut all = Vec::new();
    loop {
        let begin = all.len();
        read_line(stream, &mut all).await?;
        let line = all.get(begin..).unwrap_or_default();
        let code = all.get(..3).unwrap_or_default();
        if line.get(3) != Some(&b'-') && line.get(..3) == Some(code) {
            let senseless = || RemoteFault::new(FaultKind::Protocol, OPERATION, Outcome::NotDone);
            return Reply::read(&all).ok_or_else(senseless);
        }
    }
}

/// Byte by byte: what follows belongs to TLS.
async fn read_line(stream: &mut (impl AsyncRead + Unpin), all: &mut Vec<u8>) -> Result<(), RemoteFault> {
    loop {
        let byte = stream.read_u8().await.map_err(|error| broken(&error))?;
        all.push(byte);
        if byte == b'\n' {
            return Ok(());
        }
        if all.len() > REPLY_BYTES_MAX {
            return Err(RemoteFault::new(FaultKind::Protocol, OPERATION, Outcome::NotDone));
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), command: &str) -> Result<(), RemoteFault> {
    let sent = stream.write_all(format!("{command}\r\n").as_bytes()).await;
    sent.map_err(|error| broken(&error))
}

/// Leaves in good order and waits for the server to close, so that it does not count this connection any more.
async fn say_good_bye(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let leave = async {
        send(stream, "QUIT").await.ok();
        let mut rest = [0; 512];
        while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    };
    tokio::time::timeout(GOOD_BYE, leave).await.ok();
}

/// The identification of an SSH server. Other lines may come before it, RFC 4253, 4.2.
async fn identification(mut socket: TcpStream) -> Result<String, RemoteFault> {
    let mut all = Vec::new();
    loop {
        let begin = all.len();
        read_line(&mut socket, &mut all).await?;
        let line = String::from_utf8_lossy(all.get(begin..).unwrap_or_default()).into_owned();
        if line.starts_with("SSH-") {
            return Ok(clean_reply(&line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Reply, RemoteFault> {
        let runtime = OwnRuntime::start().expect("runtime");
        let mut bytes = bytes;
        runtime.in_time(GOOD_BYE, OPERATION, read_reply(&mut bytes))
    }

    #[test]
    fn a_reply_of_many_lines_ends_where_the_code_comes_again() {
        let reply = read(b"220-Welcome\r\n220-to 230 of us\r\n 220 not yet\r\n220 ready\r\nTLS").expect("reply");
        assert_eq!((reply.code(), reply.text().lines().last()), (220, Some("220 ready")));
        assert_eq!(read(b"220 ready\r\n").expect("reply").text().trim_end(), "ready");
    }

    #[test]
    fn a_server_that_is_none_is_a_fault() {
        assert!(
            read(b"220-for ever").is_err()
                && read(b"hello\r\n").is_err()
                && read("2".repeat(20_000).as_bytes()).is_err()
        );
    }
}
