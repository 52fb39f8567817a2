#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::ResolvesServerCert;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, rustls};

use super::*;
use crate::tls::tests::{Ca, connector, named, system};
use crate::tls::{Connector, RootCertificates, SslMode, provider};

/// Connects to a server that shows any certificate with any key.
async fn connect(
    certificate: &CertificateDer<'static>,
    key: &rcgen::KeyPair,
    version: &'static SupportedProtocolVersion,
    connector: &Connector,
) -> Result<(), String> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = provider().key_provider.load_private_key(key).unwrap();
    let certified = CertifiedKey::new(vec![certificate.clone()], key);
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(certified));
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    let (_, connected) = tokio::join!(acceptor.accept(ours), connector.connect(theirs, "db"));
    connected.map(|_| ()).map_err(|error| error.to_string())
}

fn self_signed() -> (CertificateDer<'static>, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = named("db").self_signed(&key).unwrap();
    (certificate.der().clone(), key)
}

#[tokio::test]
async fn a_certificate_is_no_use_without_its_key() {
    let (certificate, key) = self_signed();
    let (_, stolen) = self_signed();
    for version in [&TLS12, &TLS13] {
        for mode in [SslMode::Prefer, SslMode::Require] {
            let connector = connector(mode, &system());
            assert_eq!(connect(&certificate, &key, version, &connector).await, Ok(()));
            let error = connect(&certificate, &stolen, version, &connector).await.unwrap_err();
            assert!(error.to_lowercase().contains("signature"), "{error}");
        }
    }
}

/// `openssl x509 -req` without extensions, as in PostgreSQL's manual, makes
/// version 1.
#[tokio::test]
async fn version_1_certificates_are_met_in_the_field() {
    let (certificate, key) = self_signed();
    let certificate = as_version_1(&certificate);
    let require = connector(SslMode::Require, &system());
    assert_eq!(connect(&certificate, &key, &TLS13, &require).await, Ok(()));

    let ca = Ca::new();
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &certificate)
    );
    let files = ca.write("v1", &pem, &key.serialize_pem());
    let full = connector(SslMode::VerifyFull, &RootCertificates::File(files.cert.clone()));
    assert_eq!(connect(&certificate, &key, &TLS13, &full).await, Ok(()));
    // And clients may be shown one.
    assert!(files.acceptor().end_point_hash().is_some());
}

/// Takes version and extensions off. The signature no longer fits, which a
/// certificate that is trusted by itself does not need.
fn as_version_1(certificate: &CertificateDer<'_>) -> CertificateDer<'static> {
    let parsed = parse(certificate).unwrap();
    let tbs = parsed.tbs_certificate.as_ref();
    let body = &tbs[tbs.len() - der_body_length(tbs)..];
    // The version field is five bytes, the serial number begins after it.
    let end = parsed.public_key().raw.as_ptr() as usize + parsed.public_key().raw.len();
    let end = end - body.as_ptr() as usize;
    let tbs_v1 = der_sequence(&body[5..end]);
    let rest_at = tbs.as_ptr() as usize + tbs.len() - certificate.as_ptr() as usize;
    der_sequence(&[&tbs_v1, &certificate[rest_at..]].concat()).into()
}

fn der_body_length(der: &[u8]) -> usize {
    match der[1] {
        0x81 => der.len() - 3,
        0x82 => der.len() - 4,
        _ => der.len() - 2,
    }
}

fn der_sequence(body: &[u8]) -> Vec<u8> {
    match body.len() {
        length @ 128..256 => [&[0x30, 0x81, length as u8], body].concat(),
        length => {
            let length = u16::try_from(length).unwrap().to_be_bytes();
            [&[0x30, 0x82], &length[..], body].concat()
        }
    }
}

#[test]
fn common_names() {
    for (common_name, host, expected) in [
        ("db", "db", true),
        ("DB.Example.com", "db.example.COM", true),
        ("db.example.com", "db.example.com.", true),
        ("*.example.com", "db.example.com", true),
        ("*.example.com", "a.db.example.com", false),
        ("*.example.com", "example.com", false),
        ("*.example.com", ".example.com", false),
        ("*.com", "example.com", false),
        ("*", "db", false),
        ("d*.example.com", "db.example.com", false),
        ("192.0.2.1", "192.0.2.1", true),
        ("::1", "0:0:0:0:0:0:0:1", true),
        ("*.0.2.1", "192.0.2.1", false),
        ("", "db", false),
    ] {
        assert_eq!(common_name_matches(common_name, host), expected, "{common_name} {host}");
    }
}

#[test]
fn every_scheme_of_the_provider_is_offered() {
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let verifier = ServerVerifier::new(Trust::Anything, algorithms);
    assert_eq!(verifier.supported_verify_schemes(), algorithms.supported_schemes());
}
