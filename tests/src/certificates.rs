//! Certificates for tests: authorities, and what they sign.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use waypool_sandbox::TlsFiles;

/// A certificate authority, with a folder for the files that it makes.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Authority { issuer, folder }
    }

    /// Its own certificate, which those who trust it need.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these host names and addresses, or for a client.
    pub fn sign(&self, common_name: &str, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let path = |end: &str| self.folder.path().join(format!("{common_name}.{end}"));
        let identity = Identity { certificate: path("pem"), key: path("key") };
        write_private(&identity.certificate, &certificate.pem());
        write_private(&identity.key, &key.serialize_pem());
        identity
    }
}

impl Identity {
    /// For a server of the sandbox.
    pub fn for_server(&self) -> TlsFiles {
        let Identity { certificate, key } = self.clone();
        TlsFiles { certificate, key, client_ca: None }
    }
}

/// libpq takes no key that others may read.
fn write_private(path: &Path, content: &str) {
    fs::write(path, content).expect("a file");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("its permissions");
}
