//! Where a partner's files go: which server, as whom. Passwords are kept apart and never printed.

use super::ftp::FtpSession;
use super::ftp::charset::NameCharset;
use super::local_dir::{DropRule, LocalDirectory};
use super::sftp::SftpSession;
use super::tls::{LearntTls, TlsRules};
use super::{Deadlines, Remote, RemoteFault, RemotePath};
use crate::disk::Disk;
use secrecy::SecretString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The port of FTP, RFC 959.
const FTP_PORT: u16 = 21;
/// The port of FTP with TLS from the first byte (IANA: ftps).
const IMPLICIT_FTPS_PORT: u16 = 990;
/// The port of SSH, RFC 4253.
const SSH_PORT: u16 = 22;

/// A partner's server and the account there.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// FTP, RFC 959, plain or with TLS, RFC 4217.
    Ftp(FtpEndpoint),
    /// SFTP over SSH.
    Sftp(SftpEndpoint),
    /// A directory of this machine, such as the root of an FTP server that runs here.
    LocalDir {
        /// The directory. It must exist: a missing one is rather a file system that is not mounted.
        path: PathBuf,
        /// How files come there.
        rule: DropRule,
    },
}

/// What protects an FTP session on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Protection {
    /// Nothing: neither password nor content.
    #[default]
    None,
    /// TLS that is asked for on the ordinary port, RFC 4217.
    Explicit(TlsRules),
    /// TLS from the first byte, on a port of its own.
    Implicit(TlsRules),
}

/// An FTP server and the account there.
#[derive(Debug, Clone)]
pub struct FtpEndpoint {
    /// What protects the session.
    pub protection: Protection,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The password; prints nothing.
    pub password: SecretString,
    /// The local address of all connections; the machine chooses when nothing is said.
    pub bind: Option<IpAddr>,
    /// How the session goes over the network.
    pub wire: Wire,
}

/// How an FTP session goes over the network.
#[derive(Debug, Clone, Default)]
pub struct Wire {
    /// Who opens the data connections.
    pub data: DataConnections,
    /// The charset of names.
    pub charset: NameCharset,
    /// What earlier sessions have learnt; copies of an endpoint share it.
    pub learnt: LearntTls,
}

/// Who opens the data connections, RFC 959, 3.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DataConnections {
    /// We do: EPSV, else PASV.
    #[default]
    Passive,
    /// The server does: PORT, by IPv6 EPRT.
    Active,
}

/// An SFTP server and the account there.
#[derive(Debug, Clone)]
pub struct SftpEndpoint {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// With what.
    pub login: SftpLogin,
    /// What the server must show.
    pub host_keys: HostKeys,
    /// The local address of the connection; the machine chooses when nothing is said.
    pub bind: Option<IpAddr>,
}

/// How somebody logs in at an SFTP server.
#[derive(Debug, Clone)]
pub enum SftpLogin {
    /// With a password; prints nothing.
    Password(SecretString),
    /// With a private key, in OpenSSH's form and not encrypted.
    Key(PathBuf),
}

/// Which host keys are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeys {
    /// Keys with one of these fingerprints, `SHA256:…` as OpenSSH prints them.
    Pinned(Vec<String>),
    /// Keys of the host in a file as OpenSSH keeps it.
    KnownHosts(PathBuf),
    /// The first key that the host shows, which is remembered in this directory of ours.
    FirstUse(PathBuf),
}

/// Why an endpoint's URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// The URL holds a password, which would end up in listings and logs.
    #[error("the URL contains a password; remove it and use the `password` key, which can name a file or a variable")]
    Password,
    /// None of the schemes that are known, and no absolute path.
    #[error(
        "expected ftp://user@host/directory, the same with ftps:// or sftp://, file:///directory or an absolute path"
    )]
    Scheme,
    /// A part is missing or malformed.
    #[error("{part} {reason}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a URL says: the server, and the directory there.
#[derive(Debug, Clone)]
pub struct Address {
    /// The server and account, the password still empty.
    pub endpoint: Endpoint,
    /// The directory for the files.
    pub directory: RemotePath,
}

impl Endpoint {
    /// Opens a session. `disk` serves local directories.
    ///
    /// # Errors
    /// [`RemoteFault`] with what the server or the machine said.
    pub fn connect(&self, deadlines: &Deadlines, disk: Arc<dyn Disk>) -> Result<Box<dyn Remote>, RemoteFault> {
        match self {
            Self::Ftp(ftp) => Ok(Box::new(FtpSession::open(ftp, deadlines, disk.as_ref())?)),
            Self::Sftp(sftp) => Ok(Box::new(SftpSession::open(sftp, deadlines, disk.as_ref())?)),
            Self::LocalDir { path, rule } => Ok(Box::new(LocalDirectory::open(path, rule, disk)?)),
        }
    }

    /// Parses `ftp://user@host:port/directory`, the same with `ftps://` or `sftp://`, `file:///directory` or an absolute
    /// path.
    /// `ftps` asks for TLS on the ordinary port; on port 990 it is TLS from the first byte.
    ///
    /// As in RFC 1738 the directory of an FTP URL starts at the login directory; `ftp://host//directory` starts at
    /// the server's root. `%XX` is decoded in user and directory.
    ///
    /// # Errors
    /// [`UrlFault`]; a password in the URL is an error of its own.
    pub fn parse_url(text: &str) -> Result<Address, UrlFault> {
        if let Some(rest) = text.strip_prefix("ftp://") {
            return parse_ftp(rest, |_| Protection::None);
        }
        if let Some(rest) = text.strip_prefix("sftp://") {
            return parse_sftp(rest);
        }
        if let Some(rest) = text.strip_prefix("ftps://") {
            return parse_ftp(rest, |port| match port {
                IMPLICIT_FTPS_PORT => Protection::Implicit(TlsRules::default()),
                _ => Protection::Explicit(TlsRules::default()),
            });
        }
        let path = match text.strip_prefix("file://") {
            Some(path) => percent_decode(path, "path")?,
            None => text.to_owned(),
        };
        if !path.starts_with('/') {
            return Err(UrlFault::Scheme);
        }
        let endpoint = Self::LocalDir { path: PathBuf::from(path), rule: DropRule::default() };
        Ok(Address { endpoint, directory: RemotePath::login_directory() })
    }

    /// Sessions have learnt that TLS 1.3, which the rules allow, is of no use there, and keep to 1.2.
    #[must_use]
    pub fn avoids_newest_tls(&self) -> bool {
        let Self::Ftp(ftp) = self else { return false };
        match &ftp.protection {
            Protection::None => false,
            Protection::Explicit(rules) | Protection::Implicit(rules) => {
                ftp.wire.learnt.highest(rules.max) != rules.max
            }
        }
    }

    /// This endpoint with a password; a local directory has none, and whoever logs in with a key needs none.
    #[must_use]
    pub fn with_password(self, password: SecretString) -> Self {
        match self {
            Self::Ftp(ftp) => Self::Ftp(FtpEndpoint { password, ..ftp }),
            Self::Sftp(sftp) if matches!(sftp.login, SftpLogin::Key(_)) => Self::Sftp(sftp),
            Self::Sftp(sftp) => Self::Sftp(SftpEndpoint { login: SftpLogin::Password(password), ..sftp }),
            Self::LocalDir { .. } => self,
        }
    }
}

fn fault(part: &'static str, reason: impl Into<String>) -> UrlFault {
    UrlFault::Part { part, reason: reason.into() }
}

/// What stands between the scheme and the end of a URL of a server.
struct Place {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    directory: RemotePath,
}

fn parse_place(rest: &str) -> Result<Place, UrlFault> {
    let (authority, directory) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err(UrlFault::Password);
    }
    let (host, port) = split_port(place)?;
    if host.is_empty() {
        return Err(fault("host", "is missing"));
    }
    if user.is_some_and(str::is_empty) {
        return Err(fault("user", "is empty"));
    }
    let directory = RemotePath::parse(&percent_decode(directory, "directory")?)
        .map_err(|reason| fault("directory", reason.to_string()))?;
    let user = user.map(|user| percent_decode(user, "user")).transpose()?;
    if user.as_ref().is_some_and(|user| user.chars().any(char::is_control)) {
        return Err(fault("user", "contains a control character"));
    }
    Ok(Place { user, host: host.to_owned(), port, directory })
}

fn parse_ftp(rest: &str, protection: fn(u16) -> Protection) -> Result<Address, UrlFault> {
    let Place { user, host, port, directory } = parse_place(rest)?;
    let (port, user) = (port.unwrap_or(FTP_PORT), user.unwrap_or_else(|| "anonymous".to_owned()));
    let (protection, password) = (protection(port), SecretString::from(""));
    let ftp = FtpEndpoint { protection, host, port, user, password, bind: None, wire: Wire::default() };
    Ok(Address { endpoint: Endpoint::Ftp(ftp), directory })
}

/// As in the draft of the scheme the directory of an SFTP URL starts at the login directory, too.
fn parse_sftp(rest: &str) -> Result<Address, UrlFault> {
    let Place { user, host, port, directory } = parse_place(rest)?;
    let user = user.ok_or_else(|| fault("user", "is missing"))?;
    let (login, host_keys) = (SftpLogin::Password(SecretString::from("")), HostKeys::Pinned(Vec::new()));
    let sftp = SftpEndpoint { host, port: port.unwrap_or(SSH_PORT), user, login, host_keys, bind: None };
    Ok(Address { endpoint: Endpoint::Sftp(sftp), directory })
}

fn split_port(place: &str) -> Result<(&str, Option<u16>), UrlFault> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| fault("host", "has no closing `]`"))?;
            (host, after.strip_prefix(':').unwrap_or(after))
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let number = port.parse().map_err(|_| fault("port", "is not a number from 1 to 65535"))?;
    if number == 0 { Err(fault("port", "is not a number from 1 to 65535")) } else { Ok((host, Some(number))) }
}

fn percent_decode(text: &str, part: &'static str) -> Result<String, UrlFault> {
    let malformed = || fault(part, "has a `%` without two hexadecimal digits after it");
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or("").as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or_else(malformed)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| fault(part, "is not UTF-8 after decoding"))
}

/// An IPv6 address stands in brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ftp(ftp) => {
                let scheme = if ftp.protection == Protection::None { "ftp" } else { "ftps" };
                write!(f, "{scheme}://{}@{}:{}", ftp.user, bracketed(&ftp.host), ftp.port)
            }
            Self::Sftp(sftp) => write!(f, "sftp://{}@{}:{}", sftp.user, bracketed(&sftp.host), sftp.port),
            Self::LocalDir { path, .. } => write!(f, "file://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, UrlFault> {
        Endpoint::parse_url(text).map(|address| format!("{} {}", address.endpoint, address.directory))
    }

    #[test]
    fn urls_name_server_account_and_directory() {
        for (text, expected) in [
            ("ftp://acme@ftp.example", "ftp://acme@ftp.example:21 ."),
            ("ftp://acme@ftp.example:2121/out/cdr", "ftp://acme@ftp.example:2121 out/cdr"),
            ("ftp://acme@ftp.example//srv/out", "ftp://acme@ftp.example:21 /srv/out"),
            ("ftp://a%40b@[::1]:2121/%E8%AF%9D", "ftp://a@b@[::1]:2121 话"),
            ("ftp://ftp.example/", "ftp://anonymous@ftp.example:21 ."),
            ("ftps://acme@ftp.example/out", "ftps://acme@ftp.example:21 out"),
            ("ftps://acme@ftp.example:990/out", "ftps://acme@ftp.example:990 out"),
            ("sftp://acme@ftp.example/out", "sftp://acme@ftp.example:22 out"),
            ("sftp://acme@[::1]:2222//srv/out", "sftp://acme@[::1]:2222 /srv/out"),
            ("file:///srv/drop%20box", "file:///srv/drop box ."),
            ("/srv/drop", "file:///srv/drop ."),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_an_error_of_its_own_that_does_not_repeat_it() {
        let fault = read("ftp://acme:hunter2@ftp.example/out").expect_err("refused");
        assert_eq!(fault, UrlFault::Password);
        assert!(fault.to_string().contains("`password` key") && !fault.to_string().contains("hunter2"));
    }

    #[test]
    fn malformed_urls_name_the_part() {
        for (text, part) in [
            ("ftp://acme@/out", "host"),
            ("ftp://@host", "user"),
            ("sftp://host/out", "user"),
            ("ftp://acme@host:0", "port"),
            ("ftp://acme@host:70000", "port"),
            ("ftp://acme@[::1", "host"),
            ("ftp://acme@host/%zz", "directory"),
            ("ftp://acme@host/a%0d%0aDELE%20b", "directory"),
            ("ftp://ac%0dme@host/a", "user"),
        ] {
            assert!(matches!(read(text), Err(UrlFault::Part { part: found, .. }) if found == part), "{text}");
        }
        for text in ["scp://a@b", "drop", "", "file://drop"] {
            assert_eq!(read(text), Err(UrlFault::Scheme), "{text}");
        }
    }

    #[test]
    fn neither_display_nor_debug_shows_a_password() {
        let address = Endpoint::parse_url("ftp://acme@ftp.example/out").expect("url");
        let endpoint = address.endpoint.with_password(SecretString::from("hunter2"));
        assert!(!format!("{endpoint} {endpoint:?}").contains("hunter2"));
    }
}
