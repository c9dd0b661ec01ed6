//! The SSH connection of a session: whose key is accepted, who logs in, and one deadline for every question.
//!
//! A host key is trusted because it is the first one seen only where somebody has said so. When the server shows a key
//! of another algorithm than those that are known, it is asked for its other keys before it is refused.

use super::super::endpoint::{SftpEndpoint, SftpLogin};
use super::super::facts::{HostKeyFacts, SshFacts};
use super::super::runtime::{OwnRuntime, QUIT_DEADLINE};
use super::super::{Deadlines, FaultKind, Outcome, RemoteFault, socket};
use super::host_keys::KnownKeys;
use crate::disk::Disk;
use russh::client::{AuthResult, Config, Handle, Handler, connect_stream};
use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, decode_secret_key};
use russh::{Disconnect, MethodSet};
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::StatusCode;
use secrecy::ExposeSecret;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CONNECT: &str = "connect";
const LOGIN: &str = "login";
/// A server has keys of so many algorithms at most that are worth asking for.
const KEYS_MAX: usize = 4;
/// Longest private key file.
const KEY_BYTES_MAX: u64 = 1 << 20;
/// Requests wait for as long as our own deadlines say.
const REQUEST_SECONDS: u64 = 3600;

/// The connection and its SFTP channel.
pub(super) struct Connection {
    runtime: OwnRuntime,
    ssh: Handle<KeyCheck>,
    sftp: Arc<RawSftpSession>,
    command: Duration,
    given_up: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.given_up {
            // A server that does not answer a good-bye changes nothing.
            drop(self.runtime.within(QUIT_DEADLINE, self.ssh.disconnect(Disconnect::ByApplication, "", "")));
        }
    }
}

impl Connection {
    /// Connects and logs in; with the names of the server's extensions.
    pub(super) fn open(
        endpoint: &SftpEndpoint,
        deadlines: &Deadlines,
        disk: &dyn Disk,
    ) -> Result<(Self, Vec<String>), RemoteFault> {
        let login = Login::read(endpoint, disk)?;
        let runtime = OwnRuntime::start()?;
        let (known, shown) = (KnownKeys::of(endpoint, disk)?, ShownKeys::default());
        let connecting = connect(endpoint, &known, &shown);
        let (mut ssh, key) = runtime.in_time(deadlines.connect.as_std(), CONNECT, connecting)?;
        known.remember(&key, disk)?;
        runtime.in_time(deadlines.command.as_std(), LOGIN, log_in(&mut ssh, &endpoint.user, login))?;
        let (sftp, extensions) = runtime.in_time(deadlines.command.as_std(), CONNECT, open_channel(&ssh))?;
        let (command, sftp) = (deadlines.command.as_std(), Arc::new(sftp));
        Ok((Self { runtime, ssh, sftp, command, given_up: false }, extensions))
    }

    /// Asks one question within the deadline of a command. `unanswered` is the outcome when no answer comes.
    pub(super) fn ask<T>(
        &mut self,
        operation: &'static str,
        unanswered: Outcome,
        question: impl AsyncFnOnce(Arc<RawSftpSession>) -> Result<T, Error>,
    ) -> Result<T, RemoteFault> {
        self.ask_within(self.command, operation, unanswered, question)
    }

    /// The same with another deadline. After an answer that makes no sense the session is given up.
    pub(super) fn ask_within<T>(
        &mut self,
        deadline: Duration,
        operation: &'static str,
        unanswered: Outcome,
        question: impl AsyncFnOnce(Arc<RawSftpSession>) -> Result<T, Error>,
    ) -> Result<T, RemoteFault> {
        if self.given_up {
            let cause = "the session was given up after an earlier fault";
            return Err(RemoteFault::because(FaultKind::Unreachable, operation, Outcome::NotDone, cause));
        }
        let fault = match self.runtime.within(deadline, question(Arc::clone(&self.sftp))) {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => fault_of(&error, operation, unanswered),
            None => RemoteFault::new(FaultKind::Timeout, operation, unanswered),
        };
        self.given_up |= fault.reply.is_none();
        Err(fault)
    }

    /// Nothing more is asked.
    pub(super) const fn give_up(&mut self) {
        self.given_up = true;
    }
}

/// Decides about the key that a server shows, and remembers it.
struct KeyCheck {
    known: KnownKeys,
    shown: ShownKeys,
}

type ShownKeys = Arc<Mutex<Vec<PublicKey>>>;

impl Handler for KeyCheck {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let key = shown.public_key();
        let is_known = self.known.contains(&key);
        if let Ok(mut all) = self.shown.lock() {
            all.push(key);
        }
        Ok(is_known)
    }
}

/// Looks at the keys of a server and, when one is known, at the ways to log in. When no known key can be read, all keys
/// are looked at.
pub(super) async fn survey(endpoint: &SftpEndpoint, disk: &dyn Disk) -> (SshFacts, Result<(), RemoteFault>) {
    let (known, unreadable) = match KnownKeys::of(endpoint, disk) {
        Ok(known) => (known, None),
        Err(fault) => (KnownKeys::Prints(Vec::new()), Some(fault)),
    };
    let shown = ShownKeys::default();
    let connected = connect(endpoint, &known, &shown).await;
    let facts_of = |key: &PublicKey| HostKeyFacts {
        kind: key.algorithm().to_string(),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
    };
    let keys = shown.lock().map(|shown| shown.iter().map(facts_of).collect()).unwrap_or_default();
    let mut facts = SshFacts { keys, is_known: connected.is_ok(), methods: Vec::new() };
    let result = match connected {
        Ok((mut ssh, _)) => {
            if let Ok(AuthResult::Failure { remaining_methods, .. }) = ssh.authenticate_none(&endpoint.user).await {
                facts.methods = method_names(&remaining_methods);
            }
            // A server that does not answer a good-bye changes nothing.
            ssh.disconnect(Disconnect::ByApplication, "", "").await.ok();
            Ok(())
        }
        Err(fault) => Err(unreadable.unwrap_or(fault)),
    };
    (facts, result)
}

/// Connects to a server that shows a known key, asking for the keys that it has; with that key.
async fn connect(
    endpoint: &SftpEndpoint,
    known: &KnownKeys,
    shown: &ShownKeys,
) -> Result<(Handle<KeyCheck>, PublicKey), RemoteFault> {
    for _ in 0..KEYS_MAX {
        let mut config = Config { nodelay: true, ..Config::default() };
        let seen: Vec<PublicKey> = shown.lock().map(|shown| shown.clone()).unwrap_or_default();
        let is_new = |algorithm: &&Algorithm| seen.iter().all(|key| !is_same_kind(&key.algorithm(), algorithm));
        config.preferred.key = config.preferred.key.iter().filter(is_new).cloned().collect();
        if config.preferred.key.is_empty() {
            break;
        }
        let socket = socket::connect_host(&endpoint.host, endpoint.port, endpoint.bind).await;
        let socket = socket.map_err(|error| unreachable(&error))?;
        let handler = KeyCheck { known: known.clone(), shown: Arc::clone(shown) };
        match connect_stream(Arc::new(config), socket, handler).await {
            Ok(ssh) => {
                let key = shown.lock().ok().and_then(|shown| shown.last().cloned());
                return key.map(|key| (ssh, key)).ok_or_else(|| unknown(&[]));
            }
            Err(russh::Error::UnknownKey) => {}
            // It has no key of the other algorithms.
            Err(russh::Error::NoCommonAlgo { .. }) if !seen.is_empty() => break,
            Err(error) => {
                let text = error.to_string();
                return Err(RemoteFault::because(FaultKind::Unreachable, CONNECT, Outcome::NotDone, text));
            }
        }
    }
    let shown = shown.lock().map(|shown| shown.clone()).unwrap_or_default();
    Err(unknown(&shown))
}

fn unknown(shown: &[PublicKey]) -> RemoteFault {
    let prints: Vec<String> = shown.iter().map(|key| key.fingerprint(HashAlg::Sha256).to_string()).collect();
    let cause = format!("the server shows a key that is not known: {}", prints.join(" and "));
    RemoteFault::because(FaultKind::HostKey, CONNECT, Outcome::NotDone, cause)
}

/// RSA keys are one kind, however they sign.
fn is_same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    one == other || matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

fn unreachable(error: &std::io::Error) -> RemoteFault {
    let fault = RemoteFault::io(error, CONNECT, Outcome::NotDone);
    let kind = if fault.kind == FaultKind::Timeout { fault.kind } else { FaultKind::Unreachable };
    RemoteFault { kind, ..fault }
}

/// How to log in, read and ready.
enum Login {
    Password(String),
    Key(Arc<russh::keys::PrivateKey>),
}

impl Login {
    fn read(endpoint: &SftpEndpoint, disk: &dyn Disk) -> Result<Self, RemoteFault> {
        let refused = |what: String| RemoteFault::because(FaultKind::Auth, LOGIN, Outcome::NotDone, what);
        let path = match &endpoint.login {
            SftpLogin::Password(password) => return Ok(Self::Password(password.expose_secret().to_owned())),
            SftpLogin::Key(path) => path,
        };
        let mut text = String::new();
        let file = disk.open_read(path).map_err(|error| refused(format!("{}: {error}", path.display())))?;
        let read = file.take(KEY_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| refused(format!("{}: {error}", path.display())))?;
        let key = decode_secret_key(&text, None);
        // What a parser says of a key may show parts of it.
        let key = key.map_err(|_| refused(format!("{} is no private key, or is encrypted", path.display())))?;
        Ok(Self::Key(Arc::new(key)))
    }
}

async fn log_in(ssh: &mut Handle<KeyCheck>, user: &str, login: Login) -> Result<(), RemoteFault> {
    let broken =
        |error: russh::Error| RemoteFault::because(FaultKind::Unreachable, LOGIN, Outcome::NotDone, error.to_string());
    let result = match login {
        Login::Password(password) => ssh.authenticate_password(user, password).await.map_err(broken)?,
        Login::Key(key) => {
            let hash = ssh.best_supported_rsa_hash().await.map_err(broken)?.flatten();
            let key = PrivateKeyWithHashAlg::new(key, hash);
            ssh.authenticate_publickey(user, key).await.map_err(broken)?
        }
    };
    match result {
        AuthResult::Success => Ok(()),
        AuthResult::Failure { remaining_methods, .. } => {
            let cause = format!("the server refused it and accepts: {}", method_names(&remaining_methods).join(", "));
            Err(RemoteFault::because(FaultKind::Auth, LOGIN, Outcome::NotDone, cause))
        }
    }
}

fn method_names(methods: &MethodSet) -> Vec<String> {
    methods.iter().map(|method| String::from(<&str>::from(method))).collect()
}

async fn open_channel(ssh: &Handle<KeyCheck>) -> Result<(RawSftpSession, Vec<String>), RemoteFault> {
    let broken = |error: russh::Error| {
        let cause = format!("the server opens no SFTP: {error}");
        RemoteFault::because(FaultKind::Protocol, CONNECT, Outcome::NotDone, cause)
    };
    let channel = ssh.channel_open_session().await.map_err(broken)?;
    channel.request_subsystem(true, "sftp").await.map_err(broken)?;
    let sftp = RawSftpSession::new(channel.into_stream());
    sftp.set_timeout(REQUEST_SECONDS);
    let version = sftp.init().await.map_err(|error| fault_of(&error, CONNECT, Outcome::NotDone))?;
    Ok((sftp, version.extensions.into_keys().collect()))
}

/// What a failure means. A status is an answer; everything else leaves the session in doubt.
pub(super) fn fault_of(error: &Error, operation: &'static str, unanswered: Outcome) -> RemoteFault {
    match error {
        Error::Status(status) => {
            let (code, kind) = match status.status_code {
                StatusCode::Ok => (0, FaultKind::Protocol),
                StatusCode::Eof => (1, FaultKind::Protocol),
                StatusCode::NoSuchFile => (2, FaultKind::NotFound),
                StatusCode::PermissionDenied => (3, FaultKind::Denied),
                // OpenSSH says no more of a full disk, an existing target and much else.
                StatusCode::Failure => (4, FaultKind::Denied),
                StatusCode::BadMessage => (5, FaultKind::Protocol),
                StatusCode::NoConnection => (6, FaultKind::Unreachable),
                StatusCode::ConnectionLost => (7, FaultKind::Unreachable),
                StatusCode::OpUnsupported => (8, FaultKind::Protocol),
            };
            let reply = Some((code, super::super::fault::clean_reply(&status.error_message)));
            RemoteFault { reply, ..RemoteFault::new(kind, operation, Outcome::NotDone) }
        }
        Error::Timeout => RemoteFault::new(FaultKind::Timeout, operation, unanswered),
        Error::IO(text) => RemoteFault::because(FaultKind::Unreachable, operation, unanswered, text.clone()),
        Error::Limited(text) | Error::UnexpectedBehavior(text) => {
            RemoteFault::because(FaultKind::Unreachable, operation, unanswered, text.clone())
        }
        Error::UnexpectedPacket => RemoteFault::new(FaultKind::Protocol, operation, unanswered),
    }
}
