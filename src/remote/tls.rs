//! TLS with a partner's server: who is trusted, and which versions are spoken.
//!
//! Each FTP session has a configuration of its own, with a store of TLS sessions of its own: servers want the data
//! connections to go on with the TLS session of the control connection, and refuse them otherwise (vsftpd with 522,
//! `ProFTPD` with 425). With TLS 1.3 a client cannot do that any number of times, because each ticket is good for one
//! connection; so version 1.2 is the highest unless the partner wants it otherwise.

use super::{FaultKind, Outcome, RemoteFault};
use crate::disk::Disk;
use crate::domain::ids::Sha256Digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, Error, RootCertStore, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

mod judged;
mod witness;

use judged::Judge;
pub(super) use judged::Judged;
pub(super) use witness::{Witness, watched};

const OPERATION: &str = "connect";
/// Longest file with certificates.
const CERTIFICATE_BYTES_MAX: u64 = 16 << 20;

/// What a connection must fulfil.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsRules {
    /// Who is trusted.
    pub trust: Trust,
    /// The highest version.
    pub max: TlsVersion,
    /// The name that the certificate must be for; the host's own when nothing is said.
    pub name: Option<String>,
}

/// Who is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Who this machine trusts.
    #[default]
    System,
    /// Certificates in a PEM file, and what they have signed.
    Authority(PathBuf),
    /// Certificates with one of these SHA-256 fingerprints, whatever name and dates they state.
    Pinned(Vec<Sha256Digest>),
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// What sessions have learnt about a server's TLS. All copies share it, as long as the process runs.
#[derive(Debug, Clone, Default)]
pub struct LearntTls(Arc<AtomicBool>);

impl LearntTls {
    /// The highest version to offer where the rules allow `max`.
    pub(super) fn highest(&self, max: TlsVersion) -> TlsVersion {
        if self.0.load(Ordering::Relaxed) { TlsVersion::V1_2 } else { max }
    }

    /// From now on at most 1.2. True when that is new.
    pub(super) fn avoid_newest(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// The server does not want 1.2 either: back to what the rules allow.
    pub(super) fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

static UP_TO_1_2: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
static UP_TO_1_3: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

impl TlsRules {
    /// The configuration of one session, with versions up to `highest`.
    ///
    /// # Errors
    /// [`RemoteFault`] of the kind `Tls` when the certificates that are to be trusted cannot be read.
    pub(super) fn configure(&self, highest: TlsVersion, disk: &dyn Disk) -> Result<ClientConfig, RemoteFault> {
        configure_with(highest, self.verifier(disk)?)
    }

    /// Decides whether a server is trusted.
    pub(super) fn verifier(&self, disk: &dyn Disk) -> Result<Arc<dyn ServerCertVerifier>, RemoteFault> {
        let provider = Arc::new(ring::default_provider());
        let roots = match &self.trust {
            Trust::Pinned(pins) => return Ok(Arc::new(Judged::by(PinnedCertificates(pins.clone())))),
            Trust::System => system_roots()?,
            Trust::Authority(path) => roots_of(disk, path)?,
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(verifier.map_err(|error| untrusted(error.to_string()))?)
    }

    /// The name that a server at `host` must prove.
    pub(super) fn name_for<'a>(&'a self, host: &'a str) -> &'a str {
        self.name.as_deref().unwrap_or(host)
    }
}

/// The configuration of a session with versions up to `highest`, in which `verifier` decides about the server.
pub(super) fn configure_with(
    highest: TlsVersion,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, RemoteFault> {
    let versions: &[_] = match highest {
        TlsVersion::V1_2 => &UP_TO_1_2,
        TlsVersion::V1_3 => &UP_TO_1_3,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).map_err(|error| untrusted(error.to_string()))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn untrusted(cause: impl Into<String>) -> RemoteFault {
    RemoteFault::because(FaultKind::Tls, OPERATION, Outcome::NotDone, cause)
}

fn system_roots() -> Result<RootCertStore, RemoteFault> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(untrusted("this machine has no trusted certificates; install the package ca-certificates"));
    }
    Ok(roots)
}

fn roots_of(disk: &dyn Disk, path: &std::path::Path) -> Result<RootCertStore, RemoteFault> {
    let refused = |what: &dyn std::fmt::Display| untrusted(format!("{}: {what}", path.display()));
    let mut pem = Vec::new();
    let file = disk.open_read(path).map_err(|error| refused(&error))?;
    file.take(CERTIFICATE_BYTES_MAX).read_to_end(&mut pem).map_err(|error| refused(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(&error))?;
        roots.add(certificate).map_err(|error| refused(&error))?;
    }
    if roots.is_empty() { Err(refused(&"it holds no certificate in PEM form")) } else { Ok(roots) }
}

/// Trusts certificates by their fingerprints.
#[derive(Debug)]
struct PinnedCertificates(Vec<Sha256Digest>);

impl Judge for PinnedCertificates {
    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<(), Error> {
        let found = Sha256Digest(Sha256::digest(certificate).into());
        if self.0.contains(&found) {
            return Ok(());
        }
        Err(Error::General(format!(
            "the certificate has the fingerprint sha256:{found}, which is not among the pinned"
        )))
    }
}
