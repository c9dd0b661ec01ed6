//! What a server tells of itself. Only `probe` asks for it; a delivery does not.

use super::RemoteFault;
use super::tls::TlsVersion;
use crate::domain::ids::Sha256Digest;
use crate::domain::time::UtcTime;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What can be learnt of a server before anybody logs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// How long the look-up of its name took.
    pub look_up: Option<Duration>,
    /// What the look-up gave.
    pub addresses: Vec<IpAddr>,
    /// Which of them answered, and after which time the connection was there.
    pub connected: Option<(SocketAddr, Duration)>,
    /// The text of an FTP server's greeting, or an SSH server's identification (RFC 4253, 4.2).
    pub greeting: Option<String>,
    /// Who an `ftps://` server is.
    pub tls: Option<TlsFacts>,
    /// Who an `sftp://` server is.
    pub ssh: Option<SshFacts>,
    /// Why there is no more to be learnt.
    pub fault: Option<RemoteFault>,
}

/// How an FTPS server protects a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version that a delivery would speak; `None` when there is none in common.
    pub version: Option<TlsVersion>,
    /// The cipher suite of that version, as IANA names it.
    pub cipher: String,
    /// The server can speak TLS 1.3.
    pub offers_1_3: bool,
    /// What the server shows.
    pub certificate: CertificateFacts,
    /// Why it is not trusted; `None` when it is.
    pub distrust: Option<String>,
}

/// A certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of the whole certificate; `None` when none was shown.
    pub fingerprint: Option<Sha256Digest>,
    /// Whom it is for.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The names and addresses that it proves.
    pub names: Vec<String>,
    /// From when to when it is good; `None` when it cannot be read.
    pub valid: Option<(UtcTime, UtcTime)>,
}

/// How an SSH server proves itself, and how one can log in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshFacts {
    /// The host keys that it showed, up to the first that is known.
    pub keys: Vec<HostKeyFacts>,
    /// The last of them is known.
    pub is_known: bool,
    /// The ways to log in; only a known server is asked, because asking names the user.
    pub methods: Vec<String>,
}

/// A host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyFacts {
    /// Its kind, such as `ssh-ed25519`.
    pub kind: String,
    /// `SHA256:…`, as OpenSSH prints it and `host_key` takes it.
    pub fingerprint: String,
}

/// What a server tells somebody who is logged in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFacts {
    /// What it says it is: the reply to SYST.
    pub system: Option<String>,
    /// Its features: the lines of FEAT (RFC 2389), or the names of SFTP extensions.
    pub features: Vec<String>,
    /// What lists a directory: `MLSD`, `NLST`, `LIST`, `readdir`.
    pub listing: &'static str,
    /// How data connections are opened; `None` where there are none.
    pub passive: Option<PassiveFacts>,
    /// The hashes of files that it can tell, by the command or algorithm that does it.
    pub hashes: Vec<String>,
}

/// How an FTP server opens data connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassiveFacts {
    /// The port of a reply to EPSV (RFC 2428), or the refusal.
    pub extended: Result<u16, String>,
    /// The address and port of a reply to PASV, or the refusal.
    pub plain: Result<(Ipv4Addr, u16), String>,
}
