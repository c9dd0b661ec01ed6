//! The control connection: one command, one reply, each under a deadline. A connection whose next reply might belong
//! to an earlier command is given up: no further command is sent on it.

mod download;

use super::super::endpoint::{FtpEndpoint, Protection};
use super::super::fault::clean_reply;
use super::super::runtime::{OwnRuntime, QUIT_DEADLINE};
use super::super::tls::{LearntTls, TlsVersion};
use super::super::{Deadlines, FaultKind, Outcome, RemoteFault, RemotePath};
use super::charset::{NameCharset, Unsendable};
use super::opening::{Opened, Stream, open};
use super::reply::{Features, Reply};
use crate::disk::Disk;
use secrecy::ExposeSecret;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsStream, TransferStream};
use suppaftp::{FtpError, Mode, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest listing in bytes; a directory with a million files stays below.
const LISTING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a server may take to close a data connection after us.
const DRAIN_DEADLINE: Duration = Duration::from_secs(1);

/// The control connection.
pub(super) struct Control {
    runtime: OwnRuntime,
    stream: Stream,
    command: Duration,
    charset: NameCharset,
    mode: Mode,
    /// Set when a passive data connection is about to be opened.
    reached: Arc<AtomicBool>,
    /// What this session may teach the later ones; `None` when it uses no TLS 1.3.
    may_learn: Option<LearntTls>,
    is_protected: bool,
    given_up: bool,
}

/// An upload that was begun. Only [`Control::finish_upload`] learns whether it succeeded.
pub(super) struct Upload(TransferStream<AsyncRustlsStream>);

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
        let mut may_learn = None;
        let tls = match &endpoint.protection {
            Protection::None => None,
            Protection::Explicit(rules) | Protection::Implicit(rules) => {
                let highest = endpoint.wire.learnt.highest(rules.max);
                may_learn = (rules.max == TlsVersion::V1_3).then(|| endpoint.wire.learnt.clone());
                let connector = TlsConnector::from(Arc::new(rules.configure(highest, disk)?));
                Some((AsyncRustlsConnector::from(connector), rules.name_for(&endpoint.host)))
            }
        };
        let runtime = OwnRuntime::start()?;
        let opened = match runtime.within(deadlines.connect.as_std(), open(endpoint, deadlines, tls)) {
            None => return Err(RemoteFault::new(FaultKind::Timeout, OPERATION, Outcome::NotDone)),
            Some(Err(error)) => {
                let fault = without_protection(endpoint, fault_of(&error, OPERATION, Outcome::NotDone));
                if let (FaultKind::Tls, Some(learnt)) = (fault.kind, may_learn) {
                    learnt.forget();
                }
                return Err(fault);
            }
            Some(Ok(opened)) => opened,
        };
        let Opened { stream, mode, reached } = opened;
        let (command, charset) = (deadlines.command.as_std(), endpoint.wire.charset);
        let is_protected = endpoint.protection != Protection::None;
        Ok(Self { runtime, stream, command, charset, mode, reached, may_learn, is_protected, given_up: false })
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
        if let Err(reason) = self.charset.encode(&endpoint.user).and_then(|_| self.charset.encode(password)) {
            let cause = format!("user or password {reason}");
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
        if extended && self.mode == Mode::Passive {
            self.set_mode(Mode::ExtendedPassive);
        }
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.stream.set_mode(mode);
    }

    /// The charset of names at this server.
    pub(super) const fn charset(&self) -> NameCharset {
        self.charset
    }

    /// Refuses a text that cannot be sent, before anything is.
    pub(super) fn check_sendable(&self, operation: &'static str, text: &str) -> Result<(), RemoteFault> {
        let refused = |reason: Unsendable| {
            let cause = format!("`{}` {reason}", text.escape_debug());
            RemoteFault::because(FaultKind::Denied, operation, Outcome::NotDone, cause)
        };
        self.charset.encode(text).map(drop).map_err(refused)
    }

    /// A server that wants data connections to go on with the TLS session of the control connection refuses them when
    /// the tickets of TLS 1.3 are used up, with 425 or 522, or breaks them off: later sessions use 1.2, with which a
    /// session can be gone on with any number of times.
    pub(super) fn learn_from(&mut self, fault: &RemoteFault) {
        let is_refusal = fault.kind == FaultKind::Tls || matches!(fault.reply, Some((425 | 522, _)));
        let Some(learnt) = self.may_learn.as_ref().filter(|_| is_refusal) else { return };
        self.given_up = true;
        if learnt.avoid_newest() {
            tracing::warn!("data connections with TLS 1.3 are refused, so TLS 1.2 is used from now on: {fault}");
        }
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
        self.check_sendable(operation, command)?;
        // No reply is expected by the library, so it hands back whatever comes, to be judged here.
        match self.runtime.within(deadline, self.stream.custom_command(command, &[])) {
            Some(Err(FtpError::UnexpectedResponse(response))) => {
                match Reply::parse(&self.charset.decode(&response.body)) {
                    Some(reply) if reply.is_preliminary() => Err(self.give_up(reply.fault(operation, unanswered))),
                    Some(reply) => {
                        self.given_up = reply.code() == 421;
                        Ok(reply)
                    }
                    None => Err(self.give_up(RemoteFault::new(FaultKind::Protocol, operation, unanswered))),
                }
            }
            Some(Err(error)) => Err(self.give_up(fault_of(&error, operation, unanswered))),
            Some(Ok(_)) => Err(self.give_up(RemoteFault::new(FaultKind::Protocol, operation, unanswered))),
            None => Err(self.give_up(RemoteFault::new(FaultKind::Timeout, operation, unanswered))),
        }
    }

    /// Reads the lines of a listing of the current directory, carried as one character for each byte; the inner error is the server's refusal.
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
        match self.finish(transfer.finish(), OPERATION, self.command, Outcome::NotDone)? {
            Ok(()) => Ok(Ok(lines_of(&bytes))),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Opens the data connection and announces a file.
    pub(super) fn begin_upload(&mut self, path: &RemotePath) -> Result<Upload, RemoteFault> {
        const OPERATION: &str = "upload";
        self.check_sendable(OPERATION, path.as_str())?;
        let command = format!("STOR {path}");
        let opened = self.open_transfer(OPERATION, Outcome::Unknown, &async |stream: &mut Stream| {
            // Not the library's own way to upload, which drops the reply when the server broke the data connection.
            let started = [Status::AlreadyOpen, Status::AboutToSend];
            stream.custom_data_command(&command, &started).await.map(|(_, transfer)| transfer)
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

    /// Closes the data connection and reads the confirmation. What the server says counts more than how its data
    /// connection ended.
    pub(super) fn finish_upload(&mut self, mut upload: Upload, deadline: Duration) -> Result<(), RemoteFault> {
        let is_protected = self.is_protected;
        let finishing = async {
            let closed = close_sending(&mut upload.0, is_protected).await;
            upload.0.finish().await?;
            closed.map_err(FtpError::ConnectionError)
        };
        self.finish(finishing, "upload", deadline, Outcome::Unknown)?
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

    /// Opens a data connection for a command; the inner error is the server's refusal. A server that refuses EPSV, in
    /// whatever words, is asked again with PASV.
    fn open_transfer(
        &mut self,
        operation: &'static str,
        unanswered: Outcome,
        open: &impl AsyncFn(&mut Stream) -> Result<TransferStream<AsyncRustlsStream>, FtpError>,
    ) -> Result<Result<TransferStream<AsyncRustlsStream>, Reply>, RemoteFault> {
        self.refuse_if_given_up(operation)?;
        loop {
            self.reached.store(false, Ordering::Relaxed);
            let error = match self.runtime.within(self.command, open(&mut self.stream)) {
                Some(Ok(transfer)) => return Ok(Ok(transfer)),
                Some(Err(error)) => error,
                None => return Err(self.give_up(RemoteFault::new(FaultKind::Timeout, operation, unanswered))),
            };
            match read_refusal(&error) {
                Some(refused)
                    if self.mode == Mode::ExtendedPassive
                        && !self.reached.load(Ordering::Relaxed)
                        && matches!(refused.code(), 400..=420 | 422..) =>
                {
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
        finishing: impl Future<Output = Result<(), FtpError>>,
        operation: &'static str,
        deadline: Duration,
        unanswered: Outcome,
    ) -> Result<Result<(), Reply>, RemoteFault> {
        match self.runtime.within(deadline, finishing) {
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
        // The library refuses to send what is not one line of the charset.
        FtpError::ConnectionError(error) if error.kind() == io::ErrorKind::InvalidInput => {
            RemoteFault::because(FaultKind::Denied, operation, Outcome::NotDone, error.to_string())
        }
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

/// Says that nothing more comes, and lets a server with TLS close first: a connection that is closed before its last
/// bytes were read is reset, which can reach the server before our own last ones.
async fn close_sending(transfer: &mut TransferStream<AsyncRustlsStream>, is_protected: bool) -> io::Result<()> {
    transfer.shutdown().await?;
    if is_protected {
        let mut unread = [0; 1024];
        let drained = async { while matches!(transfer.read(&mut unread).await, Ok(count) if count > 0) {} };
        // A server that does not close has what it needs.
        drop(timeout(DRAIN_DEADLINE, drained).await);
    }
    Ok(())
}

fn lines_of(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty()).map(NameCharset::carry).collect()
}
