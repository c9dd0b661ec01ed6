//! TCP connections to a partner's server: from which address they leave, and what keeps them open.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// A connection that is silent for so long is probed: address translators forget silent ones after a few minutes, and
/// a control connection is silent during an upload.
const KEEP_ALIVE_IDLE: Duration = Duration::from_mins(1);
/// Time between two probes.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// After so many probes without an answer the connection is broken.
const KEEP_ALIVE_PROBES: u32 = 4;

/// Connects to the first address of a host that answers; from the address `bind`, if one is given.
///
/// # Errors
/// What the machine says of the last address that was tried.
pub(super) async fn connect_host(host: &str, port: u16, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let mut failed = None;
    for address in lookup_host((host, port)).await? {
        if bind.is_some_and(|bind| bind.is_ipv4() != address.is_ipv4()) {
            continue;
        }
        match connect(address, bind).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| {
        let kind = io::ErrorKind::AddrNotAvailable;
        io::Error::new(kind, format!("{host} has no address that can be reached from the address in `bind`"))
    }))
}

/// The same with an address of the server.
pub(super) async fn connect(address: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(bind) = bind {
        let refused = |error: io::Error| io::Error::new(error.kind(), format!("`bind` to {bind}: {error}"));
        socket.bind(SocketAddr::new(bind, 0)).map_err(refused)?;
    }
    let stream = socket.connect(address).await?;
    prepare(&stream)?;
    Ok(stream)
}

/// Small commands go at once, and silence is bridged by probes.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl};
    stream.set_nodelay(true)?;
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, KEEP_ALIVE_IDLE)?;
    set_tcp_keepintvl(stream, KEEP_ALIVE_INTERVAL)?;
    set_tcp_keepcnt(stream, KEEP_ALIVE_PROBES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::{socket_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl};
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("runtime");
        runtime.block_on(work)
    }

    #[test]
    fn a_connection_leaves_from_the_given_address_and_is_probed_when_silent() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listener");
        let port = listener.local_addr().expect("address").port();
        let bind = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        let stream = run(connect_host("127.0.0.1", port, Some(bind))).expect("a connection");
        assert_eq!(listener.accept().expect("a connection").1.ip(), bind);
        assert!(socket_keepalive(&stream).expect("option") && stream.nodelay().expect("option"));
        assert_eq!(
            (tcp_keepidle(&stream), tcp_keepintvl(&stream), tcp_keepcnt(&stream)),
            (Ok(KEEP_ALIVE_IDLE), Ok(KEEP_ALIVE_INTERVAL), Ok(KEEP_ALIVE_PROBES))
        );
    }

    #[test]
    fn an_address_that_cannot_be_used_is_named() {
        let foreign = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
        for (bind, said) in [(foreign, "`bind` to 192.0.2.10"), (IpAddr::V6(Ipv6Addr::LOCALHOST), "no address that")] {
            let error = run(connect_host("127.0.0.1", 9, Some(bind))).expect_err("refused");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
