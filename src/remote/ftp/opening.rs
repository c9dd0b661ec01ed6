//! Opening a control connection: greeting, protection, and what is settled for its data connections.

use super::super::endpoint::{DataConnections, FtpEndpoint, Protection};
use super::super::{Deadlines, socket};
use super::passive;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream};
use suppaftp::{FtpError, Mode, Status};
use tokio::net::TcpStream;

pub(super) type Stream = AsyncRustlsFtpStream;

/// A control connection before the login.
pub(super) struct Opened {
    /// The connection.
    pub(super) stream: Stream,
    /// How data connections are opened.
    pub(super) mode: Mode,
    /// Set when a passive data connection is about to be opened: then its command was not refused.
    pub(super) reached: Arc<AtomicBool>,
}

/// Connects, reads the greeting, protects the session as the endpoint says, and prepares for data connections.
pub(super) async fn open(
    endpoint: &FtpEndpoint,
    deadlines: &Deadlines,
    tls: Option<(AsyncRustlsConnector, &str)>,
) -> Result<Opened, FtpError> {
    let mut stream = greet(endpoint, tls).await?;
    let peer = {
        let control = stream.get_ref().await;
        socket::prepare(&control).and_then(|()| control.peer_addr()).map_err(FtpError::ConnectionError)?.ip()
    };
    stream.set_encoding(endpoint.wire.charset).await;
    // Within the deadline of the command that needs the data connection.
    let limit = deadlines.connect.as_std().min(deadlines.command.as_std() / 2);
    let reached = Arc::new(AtomicBool::new(false));
    let mode = match endpoint.wire.data {
        // The library takes connections of the control connection's peer alone.
        DataConnections::Active => Mode::Active,
        DataConnections::Passive if peer.is_ipv6() => Mode::ExtendedPassive,
        DataConnections::Passive => Mode::Passive,
    };
    let mut stream = stream.active_mode(limit);
    stream.set_mode(mode);
    let stream = prepare_passive(stream, peer, endpoint.bind, limit, Arc::clone(&reached));
    Ok(Opened { stream, mode, reached })
}

async fn greet(endpoint: &FtpEndpoint, tls: Option<(AsyncRustlsConnector, &str)>) -> Result<Stream, FtpError> {
    match (&endpoint.protection, tls) {
        (Protection::Implicit(_), Some((connector, name))) => {
            let address = (endpoint.host.as_str(), endpoint.port);
            let mut stream = Stream::connect_secure_implicit(address, connector, name).await?;
            for command in ["PBSZ 0", "PROT P"] {
                stream.custom_command(command, &[Status::CommandOk]).await?;
            }
            Ok(stream)
        }
        (Protection::None | Protection::Explicit(_) | Protection::Implicit(_), tls) => {
            let socket = socket::connect_host(&endpoint.host, endpoint.port, endpoint.bind).await;
            let stream = Stream::connect_with_stream(socket.map_err(FtpError::ConnectionError)?).await?;
            match tls {
                Some((connector, name)) => stream.into_secure(connector, name).await,
                None => Ok(stream),
            }
        }
    }
}

fn prepare_passive(
    stream: Stream,
    peer: IpAddr,
    bind: Option<IpAddr>,
    limit: Duration,
    reached: Arc<AtomicBool>,
) -> Stream {
    type Connecting = Pin<Box<dyn Future<Output = Result<TcpStream, FtpError>> + Send + Sync>>;
    stream.passive_stream_builder(move |advertised| -> Connecting {
        reached.store(true, Ordering::Relaxed);
        let addresses = passive::candidates(advertised, peer);
        Box::pin(async move { passive::connect(addresses, bind, limit).await.map_err(FtpError::ConnectionError) })
    })
}
