//! An FTP server on this machine, from which partners pick up: for demonstrations and tests.
//!
//! It listens on 127.0.0.1 only. Every user sees one directory and nothing above it. The server runs on a thread of
//! its own and stops, with all its connections, when [`DemoServer`] is dropped.

use async_trait::async_trait;
use libunftp::ServerBuilder;
use libunftp::options::Binder;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use unftp_core::auth::{
    AuthenticationError, Authenticator, Credentials, Principal, UserDetail, UserDetailError, UserDetailProvider,
};
use unftp_sbe_fs::Filesystem;

/// Pause after a connection could not be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What the library wants to know when ports are not limited; not used then.
const ALL_PORTS: RangeInclusive<u16> = 49_152..=65_535;

/// Who may log in, and the directory that he sees as `/`.
#[derive(Debug, Clone)]
pub struct DemoUser {
    /// Login name.
    pub name: String,
    /// Password.
    pub password: SecretString,
    /// An existing directory.
    pub root: PathBuf,
}

/// A running FTP server.
#[derive(Debug)]
pub struct DemoServer {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DemoServer {
    /// Starts a server. With `port` 0 the system chooses a free one. Data connections use `passive_ports`, or any free
    /// port.
    ///
    /// # Errors
    /// When the port is taken, a user's directory is missing, or the system is out of threads or descriptors.
    pub fn start(users: &[DemoUser], port: u16, passive_ports: Option<RangeInclusive<u16>>) -> io::Result<Self> {
        let accounts = Arc::new(Accounts::of(users)?);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("ftp-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let Ok(listener) = TcpListener::from_std(listener) {
                    tokio::select! {
                        () = accept_all(listener, accounts, passive_ports) => {}
                        // A dropped sender stops as well.
                        _ = stopped => {}
                    }
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { port, stop: Some(stop), thread: Some(thread) })
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that panicked has stopped as well.
            drop(thread.join());
        }
    }
}

async fn accept_all(listener: TcpListener, accounts: Arc<Accounts>, passive_ports: Option<RangeInclusive<u16>>) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                drop(tokio::spawn(serve(connection, Arc::clone(&accounts), passive_ports.clone())));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(connection: TcpStream, accounts: Arc<Accounts>, passive_ports: Option<RangeInclusive<u16>>) {
    // Two short replies in a row would otherwise wait for the client's acknowledgement.
    if connection.set_nodelay(true).is_err() {
        return;
    }
    let authenticator: Arc<dyn Authenticator + Send + Sync> = Arc::<Accounts>::clone(&accounts);
    let provider: Arc<dyn UserDetailProvider<User = Home> + Send + Sync> = accounts;
    let builder = ServerBuilder::<Filesystem, Home>::with_user_detail_provider(Box::new(whole_file_system), provider)
        .authenticator(authenticator)
        .greeting("hourdrop demonstration server");
    let builder = match passive_ports {
        Some(range) => builder.passive_ports(range),
        None => builder.passive_ports(ALL_PORTS).binder(AnyPort),
    };
    // A connection that fails is the client's to notice.
    if let Ok(server) = builder.build() {
        drop(server.service(connection).await);
    }
}

/// Before the login the library wants a place; nothing can be done there. The login leads into the user's directory.
#[expect(clippy::expect_used, reason = "the root of the file system always opens; a panic ends one connection only")]
fn whole_file_system() -> Filesystem {
    Filesystem::new("/").expect("the root of the file system")
}

/// Binds any free port for a data connection.
#[derive(Debug)]
struct AnyPort;

#[async_trait]
impl Binder for AnyPort {
    async fn bind(&mut self, local_addr: IpAddr, _passive_ports: RangeInclusive<u16>) -> io::Result<TcpSocket> {
        let socket = if local_addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(local_addr, 0))?;
        Ok(socket)
    }
}

#[derive(Debug)]
struct Accounts(Vec<DemoUser>);

impl Accounts {
    fn of(users: &[DemoUser]) -> io::Result<Self> {
        let users = users.iter().map(|user| Ok(DemoUser { root: user.root.canonicalize()?, ..user.clone() }));
        users.collect::<io::Result<_>>().map(Self)
    }

    fn find(&self, name: &str) -> Option<&DemoUser> {
        self.0.iter().find(|user| user.name == name)
    }
}

#[async_trait]
impl Authenticator for Accounts {
    async fn authenticate(&self, username: &str, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        let user = self.find(username).ok_or(AuthenticationError::BadUser)?;
        if credentials.password.as_deref() == Some(user.password.expose_secret()) {
            Ok(Principal { username: username.to_owned() })
        } else {
            Err(AuthenticationError::BadPassword)
        }
    }
}

#[async_trait]
impl UserDetailProvider for Accounts {
    type User = Home;

    async fn provide_user_detail(&self, principal: &Principal) -> Result<Home, UserDetailError> {
        let username = &principal.username;
        let user = self.find(username).ok_or_else(|| UserDetailError::UserNotFound { username: username.clone() })?;
        Ok(Home { name: user.name.clone(), root: user.root.clone() })
    }
}

/// A user who is logged in. The directory is not optional: without one he would see everything.
#[derive(Debug)]
struct Home {
    name: String,
    root: PathBuf,
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl UserDetail for Home {
    fn home(&self) -> Option<&Path> {
        Some(&self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::remote::endpoint::{FtpEndpoint, Protection, Wire};
    use crate::remote::{Deadlines, Endpoint, FaultKind, Remote, RemoteFault, RemotePath};

    fn login(port: u16, user: &str, password: &str) -> Result<Box<dyn Remote>, RemoteFault> {
        let (user, password) = (user.to_owned(), SecretString::from(password));
        let protection = Protection::None;
        let (host, wire) = ("127.0.0.1".to_owned(), Wire::default());
        let endpoint = FtpEndpoint { protection, host, port, user, password, bind: None, wire };
        Endpoint::Ftp(endpoint).connect(&Deadlines::default(), Arc::new(RealDisk))
    }

    fn user(name: &str, root: &Path) -> DemoUser {
        DemoUser { name: name.to_owned(), password: SecretString::from(format!("{name}-pw")), root: root.to_owned() }
    }

    fn path(text: &str) -> RemotePath {
        RemotePath::parse(text).expect("path")
    }

    #[test]
    fn every_user_sees_one_directory_and_needs_the_own_password() {
        let dirs = [tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory")];
        let users = [user("acme", dirs[0].path()), user("bell", dirs[1].path())];
        let server = DemoServer::start(&users, 0, None).expect("server");
        let mut acme = login(server.port(), "acme", "acme-pw").expect("login");
        acme.upload(&path("/a.dat"), &mut &b"x"[..], 1, &mut |_| ()).expect("upload");
        assert!(dirs[0].path().join("a.dat").exists());
        let mut bell = login(server.port(), "bell", "bell-pw").expect("login");
        assert_eq!(bell.list(&path("/")), Ok(Vec::new()));
        let elsewhere = path(&dirs[0].path().join("a.dat").display().to_string());
        assert_eq!(bell.size(&elsewhere), Ok(None));
        for (name, password) in [("acme", "bell-pw"), ("acme", ""), ("nobody", "acme-pw"), ("", "")] {
            let refused = login(server.port(), name, password).map(drop);
            assert_eq!(refused.map_err(|fault| fault.kind), Err(FaultKind::Auth), "{name}");
        }
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_directory() {
        let dirs = [tempfile::tempdir().expect("directory"), tempfile::tempdir().expect("directory")];
        std::os::unix::fs::symlink(dirs[1].path(), dirs[0].path().join("out")).expect("link");
        let server = DemoServer::start(&[user("acme", dirs[0].path())], 0, None).expect("server");
        let mut acme = login(server.port(), "acme", "acme-pw").expect("login");
        assert!(acme.upload(&path("out/a.dat"), &mut &b"x"[..], 1, &mut |_| ()).is_err());
        assert!(!dirs[1].path().join("a.dat").exists());
    }

    #[test]
    fn a_dropped_server_ends_its_connections_and_frees_its_port() {
        let dir = tempfile::tempdir().expect("directory");
        let server = DemoServer::start(&[user("acme", dir.path())], 0, Some(42_000..=42_063)).expect("server");
        let mut session = login(server.port(), "acme", "acme-pw").expect("login");
        session.upload(&path("a.dat"), &mut &b"x"[..], 1, &mut |_| ()).expect("upload through the port range");
        let port = server.port();
        drop(server);
        assert_eq!(session.size(&path("a.dat")).map_err(|fault| fault.kind), Err(FaultKind::Unreachable));
        assert!(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
