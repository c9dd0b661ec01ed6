//! The control connection: one command, one reply, each under a deadline. A connection whose next reply might belong
//! to an earlier command is given up: no further command is sent on it.

mod download;

use super::super::endpoint::{FtpEndpoint, Protection};
use super::super::fault::clean_reply;
use super::super::runtime::{OwnRuntime, QUIT_DEADLINE};
use super::super::{Deadlines, FaultKind, Outcome, RemoteFault, RemotePath};
use super::reply::{Features, Reply};
use crate::disk::Disk;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::time::Duration;
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream};
use suppaftp::{FtpError, Mode, Status};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest listing in bytes; a directory with a million files stays below.
const LISTING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The control connection.
pub(super) struct Control {
    runtime: OwnRuntime,
    stream: Stream,
    command: Duration,
    mode: Mode,
    given_up: bool,
}

/// An upload that was begun. Only [`Control::finish_upload`] learns whether it succeeded.
pub(super) struct Upload(TransferStream<AsyncRustlsStream>);

type Stream = AsyncRustlsFtpStream;

impl Drop for Control {
    fn drop(&mut self) {
        if !self.given_up {
            // A server that does not answer a good-bye changes nothing.
            drop(self.runtime.within(QUIT_DEADLINE, self.stream.quit()));
        }
    }
}

impl Control {
    /// Connects, reads the greeting and protects the session as the endpoint says. A server that offers no protection
    /// is refused: nothing is sent to it.
    pub(super) fn connect(endpoint: &FtpEndpoint, deadlines: &Deadlines, disk: &dyn Disk) -> Result<Self, RemoteFault> {
        const OPERATION: &str = "connect";
        let tls = match &endpoint.protection {
            Protection::None => None,
            Protection::Explicit(rules) | Protection::Implicit(rules) => {
                let connector = TlsConnector::from(Arc::new(rules.configure(disk)?));
                Some((AsyncRustlsConnector::from(connector), rules.name_for(&endpoint.host)))
            }
        };
        let runtime = OwnRuntime::start()?;
        let connecting = async {
            let address = (endpoint.host.as_str(), endpoint.port);
            match (&endpoint.protection, tls) {
                (Protection::Implicit(_), Some((connector, name))) => {
                    let mut stream = Stream::connect_secure_implicit(address, connector, name).await?;
                    for command in ["PBSZ 0", "PROT P"] {
                        stream.custom_command(command, &[Status::CommandOk]).await?;
                    }
                    Ok(stream)
                }
                (Protection::None | Protection::Explicit(_) | Protection::Implicit(_), tls) => {
                    let socket = TcpStream::connect(address).await.map_err(FtpError::ConnectionError)?;
                    socket.set_nodelay(true).map_err(FtpError::ConnectionError)?;
                    let stream = Stream::connect_with_stream(socket).await?;
                    match tls {
                        Some((connector, name)) => stream.into_secure(connector, name).await,
                        None => Ok(stream),
                    }
                }
            }
        };
        let mut stream = match runtime.within(deadlines.connect.as_std(), connecting) {
            None => return Err(RemoteFault::new(FaultKind::Timeout, OPERATION, Outcome::NotDone)),
            Some(Err(error)) => {
                return Err(without_protection(endpoint, fault_of(&error, OPERATION, Outcome::NotDone)));
            }
            Some(Ok(connected)) => connected,
        };
        let peer = runtime.within(deadlines.connect.as_std(), async { stream.get_ref().await.peer_addr() });
        // Servers behind address translation announce an address of their own network.
        stream.set_passive_nat_workaround(true);
        let mode = if peer.is_some_and(|peer| peer.is_ok_and(|peer| peer.is_ipv6())) {
            Mode::ExtendedPassive
        } else {
            Mode::Passive
        };
        stream.set_mode(mode);
        Ok(Self { runtime, stream, command: deadlines.command.as_std(), mode, given_up: false })
    }

    /// Logs in. The password never appears in a fault.
    pub(super) fn login(&mut self, endpoint: &FtpEndpoint) -> Result<(), RemoteFault> {
        const OPERATION: &str = "login";
        let password = endpoint.password.expose_secret();
        if password.chars().chain(endpoint.user.chars()).any(char::is_control) {
            let cause = "user or password contains a control character, such as the line end of the file it was read \
                         from";
            return Err(RemoteFault::because(FaultKind::Auth, OPERATION, Outcome::NotDone, cause));
        }
        let login = self.stream.login(endpoint.user.as_str(), password);
        match self.runtime.within(self.command, login) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.give_up(fault_of(&error, OPERATION, Outcome::NotDone)).hiding(password)),
            None => Err(self.give_up(RemoteFault::new(FaultKind::Timeout, OPERATION, Outcome::NotDone))),
        }
    }

    /// What the server lists as its features; nothing when it does not know the command.
    pub(super) fn features(&mut self) -> Result<Features, RemoteFault> {
        self.exchange("login", "FEAT", Outcome::NotDone).map(|reply| reply.features())
    }

    /// Uses EPSV where the server lists it: its reply holds no address that could be wrong.
    pub(super) fn choose_passive_mode(&mut self, extended: bool) {
        if extended {
            self.set_mode(Mode::ExtendedPassive);
        }
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.stream.set_mode(mode);
    }

    /// Sends one command and reads its reply. `unanswered` is the outcome when no reply comes.
    pub(super) fn exchange(
        &mut self,
        operation: &'static str,
        command: &str,
        unanswered: Outcome,
    ) -> Result<Reply, RemoteFault> {
        self.exchange_within(self.command, operation, command, unanswered)
    }

    /// The same with another deadline.
    pub(super) fn exchange_within(
        &mut self,
        deadline: Duration,
        operation: &'static str,
        command: &str,
        unanswered: Outcome,
    ) -> Result<Reply, RemoteFault> {
        self.refuse_if_given_up(operation)?;
        // No reply is expected by the library, so it hands back whatever comes, to be judged here.
        match self.runtime.within(deadline, self.stream.custom_command(command, &[])) {
            Some(Err(FtpError::UnexpectedResponse(response))) => match Reply::read(&response.body) {
                Some(reply) if reply.is_preliminary() => Err(self.give_up(reply.fault(operation, unanswered))),
                Some(reply) => {
                    self.given_up = reply.code() == 421;
                    Ok(reply)
                }
                None => Err(self.give_up(RemoteFault::new(FaultKind::Protocol, operation, unanswered))),
            },
            Some(Err(error)) => Err(self.give_up(fault_of(&error, operation, unanswered))),
            Some(Ok(_)) => Err(self.give_up(RemoteFault::new(FaultKind::Protocol, operation, unanswered))),
            None => Err(self.give_up(RemoteFault::new(FaultKind::Timeout, operation, unanswered))),
        }
    }

    /// Reads the lines of a listing of the current directory; the inner error is the server's refusal.
    pub(super) fn read_lines(
        &mut self,
        command: &'static str,
        idle: Duration,
    ) -> Result<Result<Vec<String>, Reply>, RemoteFault> {
        const OPERATION: &str = "list";
        let opened = self.open_transfer(OPERATION, Outcome::NotDone, &async |stream: &mut Stream| {
            let started = [Status::AlreadyOpen, Status::AboutToSend];
            stream.custom_data_command(command, &started).await.map(|(_, transfer)| transfer)
        })?;
        let mut transfer = match opened {
            Ok(transfer) => transfer,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut bytes = Vec::new();
        self.receive(&mut transfer, OPERATION, idle, &mut |piece| {
            bytes.extend_from_slice(piece);
            let is_too_long = bytes.len() > LISTING_BYTES_MAX;
            let fault = || RemoteFault::new(FaultKind::Protocol, OPERATION, Outcome::NotDone);
            if is_too_long { Err(fault()) } else { Ok(()) }
        })?;
        match self.finish(transfer, OPERATION, self.command, Outcome::NotDone)? {
            Ok(()) => Ok(Ok(lines_of(&bytes))),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Opens the data connection and announces a file.
    pub(super) fn begin_upload(&mut self, path: &RemotePath) -> Result<Upload, RemoteFault> {
        const OPERATION: &str = "upload";
        let opened = self.open_transfer(OPERATION, Outcome::Unknown, &async |stream: &mut Stream| {
            stream.put_with_stream(path.as_str()).await
        })?;
        opened.map(Upload).map_err(|refused| refused.fault(OPERATION, Outcome::NotDone))
    }

    /// Writes one piece of a file; the deadline starts again with any progress.
    pub(super) fn write(&mut self, upload: &mut Upload, piece: &[u8], idle: Duration) -> Result<(), RemoteFault> {
        let mut rest = piece;
        while !rest.is_empty() {
            match self.runtime.within(idle, upload.0.write(rest)) {
                Some(Ok(0)) => return Err(RemoteFault::new(FaultKind::Unreachable, "upload", Outcome::Unknown)),
                Some(Ok(count)) => rest = rest.get(count..).unwrap_or_default(),
                Some(Err(error)) => return Err(RemoteFault::io(&error, "upload", Outcome::Unknown)),
                None => return Err(RemoteFault::new(FaultKind::Timeout, "upload", Outcome::Unknown)),
            }
        }
        Ok(())
    }

    /// Closes the data connection and reads the confirmation.
    pub(super) fn finish_upload(&mut self, upload: Upload, deadline: Duration) -> Result<(), RemoteFault> {
        self.finish(upload.0, "upload", deadline, Outcome::Unknown)?
            .map_err(|refused| refused.fault("upload", Outcome::NotDone))
    }

    /// Gives up the connection after a failed transfer. A server that ran out of room closes the data connection
    /// first and says why afterwards, so its reply is waited for.
    pub(super) fn abandon_upload(&mut self, upload: Upload, fault: RemoteFault) -> RemoteFault {
        self.given_up = true;
        if matches!(fault.kind, FaultKind::Timeout | FaultKind::Io) {
            return fault;
        }
        match self.runtime.within(self.command, upload.0.finish()) {
            Some(Err(FtpError::UnexpectedResponse(response))) => {
                Reply::read(&response.body).map_or(fault, |reply| reply.fault("upload", Outcome::Unknown))
            }
            Some(Ok(()) | Err(_)) | None => fault,
        }
    }

    /// Opens a data connection for a command; the inner error is the server's refusal. A server that refuses EPSV is
    /// asked again with PASV.
    fn open_transfer(
        &mut self,
        operation: &'static str,
        unanswered: Outcome,
        open: &impl AsyncFn(&mut Stream) -> Result<TransferStream<AsyncRustlsStream>, FtpError>,
    ) -> Result<Result<TransferStream<AsyncRustlsStream>, Reply>, RemoteFault> {
        self.refuse_if_given_up(operation)?;
        loop {
            let error = match self.runtime.within(self.command, open(&mut self.stream)) {
                Some(Ok(transfer)) => return Ok(Ok(transfer)),
                Some(Err(error)) => error,
                None => return Err(self.give_up(RemoteFault::new(FaultKind::Timeout, operation, unanswered))),
            };
            match read_refusal(&error) {
                Some(refused) if refused.refuses_passive_mode() && self.mode == Mode::ExtendedPassive => {
                    self.set_mode(Mode::Passive);
                }
                Some(refused) => {
                    self.given_up = refused.code() == 421 || refused.code() < 400;
                    return Ok(Err(refused));
                }
                None => return Err(self.give_up(fault_of(&error, operation, unanswered))),
            }
        }
    }

    fn finish(
        &mut self,
        transfer: TransferStream<AsyncRustlsStream>,
        operation: &'static str,
        deadline: Duration,
        unanswered: Outcome,
    ) -> Result<Result<(), Reply>, RemoteFault> {
        match self.runtime.within(deadline, transfer.finish()) {
            Some(Ok(())) => Ok(Ok(())),
            Some(Err(error)) => match read_refusal(&error) {
                Some(refused) => {
                    self.given_up = refused.code() == 421 || refused.code() < 400;
                    Ok(Err(refused))
                }
                None => Err(self.give_up(fault_of(&error, operation, unanswered))),
            },
            None => Err(self.give_up(RemoteFault::new(FaultKind::Timeout, operation, unanswered))),
        }
    }

    fn give_up(&mut self, fault: RemoteFault) -> RemoteFault {
        self.given_up = true;
        fault
    }

    fn refuse_if_given_up(&self, operation: &'static str) -> Result<(), RemoteFault> {
        if !self.given_up {
            return Ok(());
        }
        let cause = "the session was given up after an earlier fault";
        Err(RemoteFault::because(FaultKind::Unreachable, operation, Outcome::NotDone, cause))
    }
}

impl RemoteFault {
    /// Takes out a secret that a server repeats.
    fn hiding(mut self, secret: &str) -> Self {
        if let Some((_, text)) = &mut self.reply
            && !secret.is_empty()
        {
            *text = text.replace(secret, "[password]");
        }
        self
    }
}

/// A server that refuses to protect the session is no partner to log in at.
fn without_protection(endpoint: &FtpEndpoint, fault: RemoteFault) -> RemoteFault {
    match (&endpoint.protection, &fault.reply) {
        (Protection::Explicit(_), Some((code @ (500..=504 | 530..=536), text))) => {
            let cause = format!("the server refuses TLS (AUTH TLS: {code} {text}); nothing was sent without it");
            RemoteFault::because(FaultKind::Tls, fault.operation, fault.outcome, cause)
        }
        _ => fault,
    }
}

fn read_refusal(error: &FtpError) -> Option<Reply> {
    if let FtpError::UnexpectedResponse(response) = error { Reply::read(&response.body) } else { None }
}

fn fault_of(error: &FtpError, operation: &'static str, outcome: Outcome) -> RemoteFault {
    match error {
        FtpError::ConnectionError(error) => {
            let fault = RemoteFault::io(error, operation, outcome);
            // Whatever the machine calls it, a broken connection is a broken connection.
            let kind = if fault.kind == FaultKind::Timeout { fault.kind } else { FaultKind::Unreachable };
            RemoteFault { kind, ..fault }
        }
        FtpError::UnexpectedResponse(response) => match Reply::read(&response.body) {
            Some(reply) => reply.fault(operation, outcome),
            None => RemoteFault::new(FaultKind::Protocol, operation, outcome),
        },
        FtpError::SecureError(text) => RemoteFault::because(FaultKind::Tls, operation, outcome, clean_reply(text)),
        FtpError::BadResponse | FtpError::InvalidAddress(_) | FtpError::DataConnectionAlreadyOpen => {
            RemoteFault::because(FaultKind::Protocol, operation, outcome, clean_reply(&error.to_string()))
        }
    }
}

fn lines_of(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}
