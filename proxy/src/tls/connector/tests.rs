#![allow(clippy::unwrap_used)]

use super::*;
use crate::tls::tests::{Ca, Connected, Files, connector, handshake, named, system};

async fn connect(server: &Files, mode: SslMode, roots: &RootCertificates, host: &str) -> Connected {
    let (_, connected) = handshake(&server.acceptor(), &connector(mode, roots), host).await;
    connected
}

/// The error's text, or "" for success.
async fn outcome(server: &Files, mode: SslMode, roots: &RootCertificates, host: &str) -> String {
    let connected = connect(server, mode, roots, host).await;
    connected.err().map(|error| error.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn every_mode_with_the_right_certificate() {
    let ca = Ca::new();
    let server = ca.issue(&["db.example.com", "192.0.2.7", "2001:db8::7"]);
    for host in ["db.example.com", "DB.example.com", "192.0.2.7", "2001:db8::7"] {
        for mode in [SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
            let error = outcome(&server, mode, &ca.roots(), host).await;
            assert_eq!(error, "", "{mode:?} {host}");
        }
    }
}

#[tokio::test]
async fn another_ca_is_refused_where_cas_count() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = other.issue(&["db"]);
    assert_eq!(outcome(&server, SslMode::Prefer, &ca.roots(), "db").await, "");
    assert_eq!(outcome(&server, SslMode::Require, &system(), "db").await, "");
    let itself = ca.self_signed(named("another"));
    let error = outcome(&itself, SslMode::VerifyCa, &ca.roots(), "db").await;
    assert!(error.contains("a CA that is not in sslrootcert"), "{error}");
    // As in libpq, root certificates turn require into verify-ca.
    for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        let error = outcome(&server, mode, &ca.roots(), "db").await;
        assert!(error.starts_with("TLS handshake with server db failed"), "{error}");
        assert!(error.contains("it comes from another CA of the same name"), "{error}");
    }
}

#[tokio::test]
async fn another_name_is_refused_where_names_count() {
    let ca = Ca::new();
    let server = ca.issue(&["db.example.com", "192.0.2.7"]);
    for host in ["web.example.com", "example.com", "192.0.2.8", "::1"] {
        assert_eq!(outcome(&server, SslMode::VerifyCa, &ca.roots(), host).await, "");
        let error = outcome(&server, SslMode::VerifyFull, &ca.roots(), host).await;
        assert!(error.contains("it is for another name"), "{error}");
    }
}

#[tokio::test]
async fn the_common_name_counts_without_alternative_names() {
    let ca = Ca::new();
    let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
    let server = ca.issue_as(named("db.example.com"), algorithm);
    assert_eq!(outcome(&server, SslMode::VerifyFull, &ca.roots(), "db.example.com").await, "");
    let error = outcome(&server, SslMode::VerifyFull, &ca.roots(), "db").await;
    assert!(error.contains("another name"), "{error}");

    // With alternative names it does not.
    let mut params = named("db.example.com");
    params.subject_alt_names = vec![rcgen::SanType::DnsName("other".try_into().unwrap())];
    let server = ca.issue_as(params, algorithm);
    let error = outcome(&server, SslMode::VerifyFull, &ca.roots(), "db.example.com").await;
    assert!(error.contains("another name"), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_by_itself() {
    let ca = Ca::new();
    let mut params = named("db");
    // openssl req -x509 makes such ones: a CA that serves.
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let server = ca.self_signed(params);
    let itself = RootCertificates::File(server.cert.clone());

    for mode in [SslMode::Prefer, SslMode::Require] {
        assert_eq!(outcome(&server, mode, &system(), "db").await, "");
    }
    for mode in [SslMode::VerifyCa, SslMode::VerifyFull] {
        assert_ne!(outcome(&server, mode, &ca.roots(), "db").await, "");
        assert_eq!(outcome(&server, mode, &itself, "db").await, "");
    }
    assert_ne!(outcome(&server, SslMode::VerifyFull, &itself, "web").await, "");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = Ca::new();
    let mut params = named("db");
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let server = ca.issue_as(params.clone(), &rcgen::PKCS_ECDSA_P256_SHA256);
    assert_eq!(outcome(&server, SslMode::Require, &system(), "db").await, "");
    let error = outcome(&server, SslMode::VerifyCa, &ca.roots(), "db").await;
    assert!(error.contains("it has expired"), "{error}");

    let server = ca.self_signed(params);
    let itself = RootCertificates::File(server.cert.clone());
    let error = outcome(&server, SslMode::VerifyCa, &itself, "db").await;
    assert!(error.contains("it has expired"), "{error}");
}

#[tokio::test]
async fn a_peer_without_tls_is_an_error() {
    let connector = connector(SslMode::Prefer, &system());
    let (mut server, ours) = tokio::io::duplex(4096);
    tokio::io::AsyncWriteExt::write_all(&mut server, b"E\0\0\0\x10FATAL: no").await.unwrap();
    let error = connector.connect(ours, "db").await.map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("TLS handshake with server db failed"), "{error}");
}

#[tokio::test]
async fn an_impossible_host_is_an_error() {
    let connector = connector(SslMode::Prefer, &system());
    let (_, ours) = tokio::io::duplex(64);
    let error = connector.connect(ours, "not a host").await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("neither a host name nor an IP address"), "{error}");
}

#[test]
fn modes_and_roots_are_checked() {
    assert!(Connector::new(SslMode::Disable, &system()).unwrap().is_none());
    assert!(!connector(SslMode::Prefer, &system()).is_required());
    assert!(connector(SslMode::Require, &system()).is_required());
    let message = |mode, roots: &RootCertificates| {
        let connector = Connector::new(mode, roots);
        connector.map(|_| ()).unwrap_err().to_string()
    };
    assert!(message(SslMode::VerifyCa, &system()).contains("needs sslrootcert"));
    let missing = RootCertificates::from_option(Some("/nonexistent/root.crt"));
    let error = message(SslMode::VerifyFull, &missing);
    assert!(error.starts_with("sslrootcert: cannot read /nonexistent/root.crt"), "{error}");
    assert_eq!(RootCertificates::from_option(Some("system")), system());

    assert_eq!("verify-full".parse::<SslMode>().unwrap(), SslMode::VerifyFull);
    let error = "allow".parse::<SslMode>().unwrap_err().to_string();
    assert!(error.contains("write disable, prefer"), "{error}");
}
