//! The server's side of TLS (RFC 4217).

use super::StartFault;
use crate::app::config::TlsFiles;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Speaks TLS 1.2 and 1.3 with this certificate. Sessions go on in data connections by tickets, as clients like it.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, StartFault> {
    let certificate = |reason: &dyn Display| fault(&files.certificate, reason);
    let key_fault = |reason: &dyn Display| fault(&files.key, reason);
    let chain = CertificateDer::pem_file_iter(&files.certificate).map_err(|error| certificate(&error))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| certificate(&error))?;
    if chain.is_empty() {
        return Err(certificate(&"it holds no certificate in PEM form"));
    }
    let mode = std::fs::metadata(&files.key).map_err(|error| key_fault(&error))?.mode();
    if mode & 0o007 != 0 {
        return Err(key_fault(&"everybody can read this key; run: chmod o= on it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| key_fault(&error))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| certificate(&error))?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| certificate(&error))?;
    config.ticketer = ring::Ticketer::new().map_err(|error| certificate(&error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn fault(path: &Path, reason: &dyn Display) -> StartFault {
    StartFault::Certificate { path: path.to_owned(), reason: reason.to_string() }
}
