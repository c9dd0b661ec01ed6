//! Where a passive data connection leads.
//!
//! The reply to PASV holds an address, which servers behind address translation state wrongly (vsftpd without
//! `pasv_address`, and servers that moved). The reply to EPSV holds none: its connections lead to where the control
//! connection leads (RFC 2428, 3).

use super::super::socket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for an address while another one is left to try.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(5);

/// From where an address can be reached, the narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// From nowhere: 0.0.0.0, multicast, broadcast.
    Nowhere,
    /// From the machine itself.
    Machine,
    /// From the same link.
    Link,
    /// From the same private network: RFC 1918, RFC 6598.
    Private,
    /// From everywhere.
    Public,
}

fn reach(address: IpAddr) -> Reach {
    let IpAddr::V4(address) = address else { return Reach::Public };
    let [first, second, ..] = address.octets();
    if address.is_unspecified() || address.is_multicast() || address == Ipv4Addr::BROADCAST {
        Reach::Nowhere
    } else if address.is_loopback() {
        Reach::Machine
    } else if address.is_link_local() {
        Reach::Link
    } else if address.is_private() || (first == 100 && second & 0xc0 == 64) {
        Reach::Private
    } else {
        Reach::Public
    }
}

/// The addresses to try, the likelier first, when a server whose control connection leads to `peer` advertises this
/// one. A public address is meant as it is; another one is of a network that need not be ours, and may there be a
/// stranger's: the peer comes first, and is the only one when it is itself further away than that network.
pub(super) fn candidates(advertised: SocketAddr, peer: IpAddr) -> Vec<SocketAddr> {
    let at_peer = SocketAddr::new(peer, advertised.port());
    let reach_advertised = reach(advertised.ip());
    if advertised.ip() == peer || reach_advertised == Reach::Nowhere || reach_advertised < reach(peer) {
        vec![at_peer]
    } else if reach_advertised == Reach::Public {
        vec![advertised, at_peer]
    } else {
        vec![at_peer, advertised]
    }
}

/// Connects to the first address that answers, waiting at most `limit` for the last and less for the others.
///
/// # Errors
/// What the machine says of each address.
pub(super) async fn connect(
    addresses: Vec<SocketAddr>,
    bind: Option<IpAddr>,
    limit: Duration,
) -> io::Result<TcpStream> {
    let (mut failed, mut kind) = (Vec::new(), io::ErrorKind::AddrNotAvailable);
    for (number, address) in addresses.iter().enumerate() {
        let is_last = number + 1 == addresses.len();
        let wait = if is_last { limit } else { (limit / 4).min(FIRST_WAIT_MAX) };
        let error = match timeout(wait, socket::connect(*address, bind)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no answer"),
        };
        kind = error.kind();
        failed.push(format!("to {address}: {error}"));
    }
    Err(io::Error::new(kind, format!("no data connection {}", failed.join(", nor "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_peer_stands_in_for_addresses_of_other_networks() {
        for (advertised, peer, expected) in [
            // The same address, and addresses that lead nowhere.
            ("198.51.100.7", "198.51.100.7", "198.51.100.7"),
            ("0.0.0.0", "198.51.100.7", "198.51.100.7"),
            ("224.0.0.1", "10.1.1.1", "10.1.1.1"),
            ("255.255.255.255", "10.1.1.1", "10.1.1.1"),
            // A network that the peer is not in.
            ("10.99.99.99", "198.51.100.7", "198.51.100.7"),
            ("192.168.1.1", "198.51.100.7", "198.51.100.7"),
            ("172.16.0.1", "198.51.100.7", "198.51.100.7"),
            ("100.64.0.1", "198.51.100.7", "198.51.100.7"),
            ("169.254.7.7", "10.1.1.1", "10.1.1.1"),
            ("127.0.0.1", "10.1.1.1", "10.1.1.1"),
            // Perhaps a second machine of the peer's network.
            ("10.1.1.2", "10.1.1.1", "10.1.1.1 10.1.1.2"),
            ("10.99.99.99", "127.0.0.1", "127.0.0.1 10.99.99.99"),
            ("127.0.0.3", "127.0.0.1", "127.0.0.1 127.0.0.3"),
            // Another public address is meant as it is.
            ("203.0.113.9", "198.51.100.7", "203.0.113.9 198.51.100.7"),
            ("203.0.113.9", "10.1.1.1", "203.0.113.9 10.1.1.1"),
            ("100.128.0.1", "10.1.1.1", "100.128.0.1 10.1.1.1"),
            // By IPv6 there is only EPSV, whose address is the peer's.
            ("2001:db8::1", "2001:db8::1", "2001:db8::1"),
            ("10.1.1.1", "2001:db8::1", "2001:db8::1"),
        ] {
            let found =
                candidates(SocketAddr::new(advertised.parse().expect("address"), 3000), peer.parse().expect("IP"));
            assert!(found.iter().all(|address| address.port() == 3000));
            let found: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
            assert_eq!(found.join(" "), expected, "{advertised} at {peer}");
        }
    }

    #[test]
    fn an_address_that_refuses_is_followed_by_the_next() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        let open = listener.local_addr().expect("address");
        let closed = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), open.port());
        let limit = Duration::from_secs(20);
        let stream = runtime.block_on(connect(vec![closed, open], None, limit)).expect("a connection");
        assert_eq!(stream.peer_addr().expect("peer"), open);
        let bind = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
        let stream = runtime.block_on(connect(vec![open], bind, limit)).expect("a connection");
        assert_eq!(Some(stream.local_addr().expect("address").ip()), bind);
        let error = runtime.block_on(connect(vec![closed, closed], None, limit)).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.to_string().matches(&closed.to_string()).count(), 2, "{error}");
    }
}
