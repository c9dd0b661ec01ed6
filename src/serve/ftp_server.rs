//! The built-in FTP server: partners fetch from it what lies in their drop directories.
//!
//! It speaks RFC 959 with the passive mode of RFC 2428, the listings of RFC 3659 and TLS as in RFC 4217, and nothing
//! that is not needed: no active mode, one directory for each account, and for a partner ([`Access::PickUp`]) listing,
//! reading and deleting only. The demonstration and the tests use the same server with [`Access::Full`].
//!
//! It is not built on libunftp, because version 0.24 cannot keep what is promised here: it hands the data of a session
//! to whoever connects first to the passive port, asks for a protected data connection before PASV but not before EPSV,
//! and bounds neither command lines nor sessions.
//!
//! - `session`: one control connection, command by command; `control`: its lines, in clear or under TLS.
//! - `transfer`: data connections. `directory`: what an account sees of the disk; `listing`: how that is written.
//! - `login`: who may come in, and how fast passwords may be tried.
//!
//! The server has a thread and a runtime of its own. Dropping [`FtpServer`] tells every session that it ends, waits a
//! moment for them, waits for a deletion that is under way, and frees the port.

mod control;
mod directory;
mod listing;
mod login;
mod session;
mod tls;
mod transfer;

use crate::app::config::TlsFiles;
use crate::app::pickup_desk::PartnerDesk;
use login::{Accounts, Seats, Throttle};
use secrecy::SecretString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use transfer::PassivePorts;

/// Pause after a connection could not be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the good-bye to a client may take.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);
/// How long a deletion that is under way may take when the server stops.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Where a server listens and what it allows.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Address of the control connections. Port 0: the system chooses a free one.
    pub listen: SocketAddr,
    /// Ports of data connections; `None`: any free one.
    pub passive_ports: Option<RangeInclusive<u16>>,
    /// The address that PASV tells, when clients see another one than this machine.
    pub passive_address: Option<Ipv4Addr>,
    /// Certificate and key. With them TLS is required of everybody, on control and data connections.
    pub tls: Option<TlsFiles>,
    /// How much of everything.
    pub limits: Limits,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A session without a command for so long is ended. A data connection may take as long, but 20 s at most.
    pub idle: Duration,
    /// Most sessions at a time.
    pub sessions_max: usize,
    /// Most of them from one address.
    pub sessions_per_address_max: usize,
    /// The answer after one wrong password is delayed by so much, after each further one by twice as much.
    pub login_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(5),
            sessions_max: 50,
            sessions_per_address_max: 10,
            login_delay: Duration::from_secs(1),
        }
    }
}

impl ServerSettings {
    /// For this machine only, without TLS.
    #[must_use]
    pub fn on_loopback(port: u16) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            passive_ports: None,
            passive_address: None,
            tls: None,
            limits: Limits::default(),
        }
    }
}

/// Who may log in, and the directory that he sees as `/`.
#[derive(Debug, Clone)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Password.
    pub password: SecretString,
    /// An existing directory.
    pub root: PathBuf,
    /// What may be done there.
    pub access: Access,
}

/// What an account may do in its directory.
#[derive(Debug, Clone)]
pub enum Access {
    /// List, read, write, rename and delete, in directories as well.
    Full,
    /// List and read the files that lie in the directory itself, and delete what the desk lets go.
    PickUp(Arc<PartnerDesk>),
}

/// Why a server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("{path}: {reason}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system is out of threads or descriptors.
    #[error("cannot start the server: {0}")]
    System(#[from] io::Error),
}

/// A server that has its address, and does not answer yet.
pub struct BoundServer {
    listener: TcpListener,
    runtime: Runtime,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    settings: ServerSettings,
}

/// A running server.
#[derive(Debug)]
pub struct FtpServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What all sessions share.
pub(crate) struct Shared {
    accounts: Accounts,
    throttle: Mutex<Throttle>,
    seats: Arc<Seats>,
    ports: PassivePorts,
    passive_address: Option<Ipv4Addr>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
}

impl FtpServer {
    /// Reads certificate and key and takes the address.
    ///
    /// # Errors
    /// [`StartFault`].
    pub fn bind(settings: ServerSettings) -> Result<BoundServer, StartFault> {
        let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let bound = runtime.block_on(TcpListener::bind(settings.listen));
        let listener = bound.map_err(|source| StartFault::Bind { address: settings.listen, source })?;
        let address = listener.local_addr()?;
        Ok(BoundServer { listener, runtime, address, tls, settings })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl BoundServer {
    /// Answers from now on.
    ///
    /// # Errors
    /// [`StartFault::System`].
    pub fn serve(self, accounts: &[Account]) -> Result<FtpServer, StartFault> {
        let Self { listener, runtime, address, tls, settings } = self;
        let limits = settings.limits;
        let shared = Arc::new(Shared {
            accounts: Accounts::of(accounts),
            throttle: Mutex::new(Throttle::new(limits.login_delay)),
            seats: Arc::new(Seats::new(limits.sessions_max, limits.sessions_per_address_max)),
            ports: PassivePorts::new(settings.passive_ports),
            passive_address: settings.passive_address,
            tls,
            limits,
        });
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new().name("ftp-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                let mut stopping = stopped.clone();
                tokio::select! {
                    () = accept_all(listener, &shared, &stopped) => {}
                    // A dropped sender stops as well.
                    _ = stopping.wait_for(|stop| *stop) => {}
                }
                // Sessions say good-bye.
                drop(timeout(GOODBYE_DEADLINE, shared.seats.until_empty()).await);
            });
            runtime.shutdown_timeout(STOP_DEADLINE);
        })?;
        Ok(FtpServer { address, stop, thread: Some(thread) })
    }

    /// Where it will listen.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for FtpServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A server that panicked has stopped as well.
            drop(thread.join());
        }
    }
}

async fn accept_all(listener: TcpListener, shared: &Arc<Shared>, stopped: &watch::Receiver<bool>) {
    loop {
        match listener.accept().await {
            Ok((connection, peer)) => {
                let (shared, stopped) = (Arc::clone(shared), stopped.clone());
                drop(tokio::spawn(receive(connection, peer, shared, stopped)));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn receive(mut connection: TcpStream, peer: SocketAddr, shared: Arc<Shared>, stopped: watch::Receiver<bool>) {
    let Some(seat) = Seats::take(&shared.seats, peer.ip()) else {
        let refused = b"421 Too many connections, try again later.\r\n";
        drop(timeout(GOODBYE_DEADLINE, connection.write_all(refused)).await);
        return;
    };
    // A connection that fails is the client's to notice.
    drop(session::serve(connection, peer, &shared, stopped).await);
    drop(seat);
}

#[cfg(test)]
mod tests;
