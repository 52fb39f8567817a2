//! Verifies servers' certificates by libpq's rules, where rustls alone knows
//! the rules of the web only.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// Which certificates are accepted.
#[derive(Debug)]
pub enum Trust {
    /// All (`prefer`, `require`): encryption against listeners, no proof of who
    /// the server is.
    Anything,
    Roots {
        roots: RootCertStore,
        /// The same certificates as they stand in the file: a server may use
        /// one of them as its own, which is how a self-signed one is trusted.
        certificates: Vec<CertificateDer<'static>>,
        name: Name,
    },
}

/// Whether the certificate has to be for the host that we connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Checked,
    Ignored,
}

/// In every mode the server has to prove that it owns the certificate.
#[derive(Debug)]
pub struct ServerVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

// === impl ServerVerifier ===

impl ServerVerifier {
    pub fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trust, algorithms }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Trust::Roots { roots, certificates, name } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        if certificates.contains(end_entity) {
            check_validity(end_entity, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if *name == Name::Checked {
            check_name(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    /// Works on the bare key, because rustls refuses to read it from an X.509
    /// version 1 certificate, of which PostgreSQL servers have many.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = parse(cert)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, certificate) = parsed.map_err(|_| CertificateError::BadEncoding)?;
    Ok(certificate)
}

fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = parse(certificate)?;
    let validity = certificate.validity();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let now = ASN1Time::from_timestamp(now).map_err(|_| Error::FailedToGetCurrentTime)?;
    match now {
        _ if now < validity.not_before => Err(CertificateError::NotValidYet.into()),
        _ if now > validity.not_after => Err(CertificateError::Expired.into()),
        _ => Ok(()),
    }
}

/// By the subject alternative names or, in a certificate that has none, by the
/// common name: libpq's rule, and how `openssl req -subj /CN=host` is used.
fn check_name(end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let certificate = parse(end_entity)?;
    let alternative = certificate.subject_alternative_name();
    if alternative.map_err(|_| CertificateError::BadEncoding)?.is_some() {
        return verify_server_name(&ParsedCertificate::try_from(end_entity)?, name);
    }
    let mut common_names = certificate.subject().iter_common_name();
    let common_name = common_names.next().and_then(|name| name.as_str().ok());
    match common_name {
        Some(common_name) if common_name_matches(common_name, &name.to_str()) => Ok(()),
        _ => Err(CertificateError::NotValidForName.into()),
    }
}

/// `*.` at the front stands for exactly one label; an address only matches
/// itself.
fn common_name_matches(common_name: &str, host: &str) -> bool {
    if let Ok(host) = host.parse::<IpAddr>() {
        return common_name.parse() == Ok(host);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    match common_name.strip_prefix("*.") {
        None => common_name.eq_ignore_ascii_case(host),
        Some(domain) => host.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && domain.contains('.') && rest.eq_ignore_ascii_case(domain)
        }),
    }
}
