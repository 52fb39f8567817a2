#![allow(clippy::unwrap_used)]

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::tls::SslMode;
use crate::tls::tests::{Ca, Files, connector, handshake, named, system};

/// Logs in with a client certificate; whether the server takes it.
async fn accepts(acceptor: &Acceptor, server_ca: &Ca, client: &Files) -> bool {
    let pem = |option, path| PemFile { option, path };
    let mut roots = RootCertStore::empty();
    let ca_file = server_ca.file();
    for certificate in pem("root", &ca_file).certificates().unwrap() {
        roots.add(certificate).unwrap();
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            pem("cert", &client.cert).certificates().unwrap(),
            pem("key", &client.key).private_key().unwrap(),
        )
        .unwrap();
    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    let connector = TlsConnector::from(Arc::new(config));
    let name = "db".try_into().unwrap();
    let (accepted, _) = tokio::join!(acceptor.accept(ours), connector.connect(name, theirs));
    accepted.is_ok_and(|stream| stream.get_ref().1.peer_certificates().is_some())
}

#[tokio::test]
async fn client_certificates_are_verified_if_given() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = ca.issue(&["db"]);
    let acceptor = Acceptor::new(&server.cert, &server.key, Some(&ca.file())).unwrap();

    let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
    assert!(accepts(&acceptor, &ca, &ca.issue_as(named("alice"), algorithm)).await);
    assert!(!accepts(&acceptor, &ca, &other.issue_as(named("alice"), algorithm)).await);
    // None is fine: the login follows.
    let none = connector(SslMode::Require, &system());
    let (accepted, connected) = handshake(&acceptor, &none, "db").await;
    assert!(accepted.is_ok() && connected.is_ok());
}

#[tokio::test]
async fn ed25519_serves_without_channel_binding() {
    let ca = Ca::new();
    let mut params = named("db");
    params.is_ca = rcgen::IsCa::NoCa;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let cert = params.self_signed(&key).unwrap();
    let files = ca.write("ed25519", &cert.pem(), &key.serialize_pem());
    let acceptor = files.acceptor();
    assert!(acceptor.end_point_hash().is_none());
    let connector = connector(SslMode::Require, &system());
    let (accepted, connected) = handshake(&acceptor, &connector, "db").await;
    assert!(accepted.is_ok());
    assert!(crate::tls::peer_end_point_hash(&connected.unwrap()).is_none());
}

#[tokio::test]
async fn a_client_without_tls_is_an_error() {
    let acceptor = Ca::new().issue(&["db"]).acceptor();
    let (mut client, ours) = tokio::io::duplex(4096);
    let startup = b"\0\0\0\x08\0\x03\0\0";
    tokio::io::AsyncWriteExt::write_all(&mut client, startup).await.unwrap();
    drop(client);
    assert!(acceptor.accept(ours).await.is_err());
}
