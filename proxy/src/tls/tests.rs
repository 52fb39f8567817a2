//! Certificates for the tests of this room, and handshakes between both legs.
#![allow(clippy::unwrap_used)]

use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SignatureAlgorithm,
};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio_rustls::{client, server};

use super::*;

/// A CA with a directory for the files that it makes.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// Paths of a certificate and its key.
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

// === impl Ca ===

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test CA");
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("ca.crt"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    pub fn roots(&self) -> RootCertificates {
        RootCertificates::File(self.file())
    }

    pub fn file(&self) -> PathBuf {
        self.path("ca.crt")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Issues a certificate with these alternative names (DNS or IP).
    pub fn issue(&self, names: &[&str]) -> Files {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        self.issue_as(CertificateParams::new(names).unwrap(), &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub fn issue_as(&self, params: CertificateParams, algorithm: &'static SignatureAlgorithm) -> Files {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        self.write("server", &cert.pem(), &key.serialize_pem())
    }

    pub fn self_signed(&self, params: CertificateParams) -> Files {
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        self.write("self-signed", &cert.pem(), &key.serialize_pem())
    }

    pub fn write(&self, name: &str, cert: &str, key: &str) -> Files {
        let files = Files { cert: self.path(&format!("{name}.crt")), key: self.path(&format!("{name}.key")) };
        std::fs::write(&files.cert, cert).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }
}

// === impl Files ===

impl Files {
    pub fn acceptor(&self) -> Acceptor {
        Acceptor::new(&self.cert, &self.key, None).unwrap()
    }
}

pub fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

pub fn connector(mode: SslMode, roots: &RootCertificates) -> Connector {
    Connector::new(mode, roots).unwrap().unwrap()
}

pub type Accepted = io::Result<server::TlsStream<DuplexStream>>;
pub type Connected = Result<client::TlsStream<DuplexStream>, TlsError>;

pub async fn handshake(acceptor: &Acceptor, connector: &Connector, host: &str) -> (Accepted, Connected) {
    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    tokio::join!(acceptor.accept(ours), connector.connect(theirs, host))
}

pub fn system() -> RootCertificates {
    RootCertificates::System
}

#[tokio::test]
async fn both_ends_know_the_same_certificate() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let ca = Ca::new();
        let acceptor = ca.issue_as(named("db"), algorithm).acceptor();
        let connector = connector(SslMode::Require, &system());
        let (_accepted, connected) = handshake(&acceptor, &connector, "db").await;
        let hash = peer_end_point_hash(&connected.unwrap()).unwrap();
        assert_eq!(Some(&hash), acceptor.end_point_hash());
        // The CA signs with SHA-256, whatever the key that it signs.
        assert_eq!(hash.as_bytes().len(), 32);
    }
}

#[tokio::test]
async fn alpn_is_postgresql() {
    let acceptor = Ca::new().issue(&["db"]).acceptor();
    let connector = connector(SslMode::Prefer, &system());
    let (accepted, connected) = handshake(&acceptor, &connector, "db").await;
    let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
    assert_eq!(accepted.get_ref().1.alpn_protocol(), Some(ALPN));
    assert_eq!(connected.get_ref().1.alpn_protocol(), Some(ALPN));
}

#[test]
fn errors_name_option_and_file() {
    let ca = Ca::new();
    let (good, other) = (ca.issue(&["db"]), Ca::new());
    let other_files = other.issue(&["db"]);
    let empty = ca.write("empty", "", "");
    let missing = Path::new("/nonexistent/file.pem");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = ca.write("encrypted", "", encrypted);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = ca.write("broken", broken, "");

    let message = |cert: &Path, key: &Path, ca_file: Option<&Path>| {
        let acceptor = Acceptor::new(cert, key, ca_file);
        acceptor.map(|_| ()).unwrap_err().to_string()
    };
    for (text, expected, file) in [
        (message(missing, &good.key, None), "ssl_cert: cannot read", missing),
        (message(&good.cert, missing, None), "ssl_key: cannot read", missing),
        (message(&good.cert, &good.key, Some(missing)), "ssl_ca_cert: cannot read", missing),
        (message(&empty.cert, &good.key, None), "no certificate in it", &empty.cert),
        (message(&broken.cert, &good.key, None), "not an X.509 certificate", &broken.cert),
        (message(&good.cert, &empty.key, None), "no private key in it", &empty.key),
        (message(&good.cert, &encrypted.key, None), "openssl pkey", &encrypted.key),
        (message(&good.cert, &other_files.key, None), "does not belong", &other_files.key),
        (message(&good.cert, &good.key, Some(&broken.cert)), "CA certificate", &broken.cert),
    ] {
        assert!(text.contains(expected), "{text}");
        assert!(text.contains(&*file.to_string_lossy()), "{text}");
    }
}
