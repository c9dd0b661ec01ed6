//! Sees what a server shows and lets it pass, for a look at servers that are not trusted yet. Nothing may be sent to
//! such a server but what everybody may know.

use super::super::RemoteFault;
use super::super::facts::CertificateFacts;
use super::judged::{Judge, Judged};
use crate::domain::ids::Sha256Digest;
use crate::domain::time::UtcTime;
use rustls::Error;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// Remembers the certificate and what the judge says of it.
#[derive(Debug)]
pub(in super::super) struct Witness {
    judge: Result<Arc<dyn ServerCertVerifier>, RemoteFault>,
    seen: Mutex<(CertificateFacts, Option<String>)>,
}

/// A verifier that lets everything pass, with the verifier of a delivery as the judge, or the reason why there is none.
pub(in super::super) fn watched(judge: Result<Arc<dyn ServerCertVerifier>, RemoteFault>) -> Judged<Witness> {
    Judged::by(Witness { judge, seen: Mutex::default() })
}

impl Witness {
    /// What was shown.
    pub(in super::super) fn certificate(&self) -> CertificateFacts {
        self.seen.lock().map(|seen| seen.0.clone()).unwrap_or_default()
    }

    /// Why it is not trusted.
    pub(in super::super) fn distrust(&self) -> Option<String> {
        self.seen.lock().map(|seen| seen.1.clone()).unwrap_or_default()
    }
}

impl Judge for Witness {
    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let distrust = match &self.judge {
            Ok(judge) => judge.verify_server_cert(certificate, intermediates, name, ocsp, now).err().map(in_words),
            Err(fault) => Some(fault.cause.clone().unwrap_or_else(|| fault.to_string())),
        };
        if let Ok(mut seen) = self.seen.lock() {
            *seen = (facts(certificate), distrust);
        }
        Ok(())
    }
}

fn in_words(error: Error) -> String {
    use rustls::CertificateError as Cause;
    let Error::InvalidCertificate(cause) = &error else {
        return if let Error::General(text) = error { text } else { error.to_string() };
    };
    let known = [
        (matches!(cause, Cause::UnknownIssuer), "nobody whom `tls` trusts has signed it"),
        (matches!(cause, Cause::BadSignature), "another key has signed it than that of the authority of this name"),
        (matches!(cause, Cause::Expired | Cause::ExpiredContext { .. }), "it has expired"),
        (matches!(cause, Cause::NotValidYet | Cause::NotValidYetContext { .. }), "it is not valid yet"),
        (matches!(cause, Cause::NotValidForName | Cause::NotValidForNameContext { .. }), "it is for another name"),
    ];
    let words = known.into_iter().find(|(is_cause, _)| *is_cause).map(|(_, words)| words.to_owned());
    words.unwrap_or_else(|| error.to_string())
}

fn facts(certificate: &CertificateDer<'_>) -> CertificateFacts {
    let fingerprint = Some(Sha256Digest(Sha256::digest(certificate).into()));
    let Ok((_, read)) = X509Certificate::from_der(certificate) else {
        return CertificateFacts { fingerprint, ..CertificateFacts::default() };
    };
    // The latest time that we can name stands for everything behind it.
    let at = |time: &ASN1Time| UtcTime::from_seconds(time.timestamp()).unwrap_or(UtcTime::MAX);
    let names = read.subject_alternative_name().ok().flatten().map(|names| names.value.general_names.clone());
    CertificateFacts {
        fingerprint,
        subject: read.subject().to_string(),
        issuer: read.issuer().to_string(),
        names: names.unwrap_or_default().iter().filter_map(name_text).collect(),
        valid: Some((at(&read.validity().not_before), at(&read.validity().not_after))),
    }
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        return Some((*name).to_owned());
    }
    let GeneralName::IPAddress(bytes) = name else { return None };
    let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
}
