//! Reads certificates and keys from PEM files; every error names the option
//! and the file.

use std::path::Path;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// A file, and the option that named it.
#[derive(Clone, Copy)]
pub struct PemFile<'a> {
    pub option: &'static str,
    pub path: &'a Path,
}

// === impl PemFile ===

impl PemFile<'_> {
    /// All certificates in the file, of which there has to be one.
    pub fn certificates(self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let pem = self.read()?;
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| self.error(error.to_string()))?;
        if certificates.is_empty() {
            return Err(self.error("there is no certificate in it (-----BEGIN CERTIFICATE-----)"));
        }
        Ok(certificates)
    }

    pub fn private_key(self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let pem = zeroize::Zeroizing::new(self.read()?);
        PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
            let encrypted = pem.windows(9).any(|window| window == b"ENCRYPTED");
            self.error(match encrypted {
                true => "the key is encrypted with a passphrase, which Waypool cannot ask for: \
                         decrypt it with openssl pkey -in FILE -out NEWFILE"
                    .into(),
                false => format!("there is no private key in it ({error})"),
            })
        })
    }

    /// The file's certificates as trust anchors.
    pub fn roots(self, certificates: &[CertificateDer<'_>]) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let added = roots.add(certificate.clone().into_owned());
            added.map_err(|error| self.error(format!("not a usable CA certificate: {error}")))?;
        }
        Ok(roots)
    }

    pub fn error(self, message: impl Into<String>) -> TlsError {
        TlsError::File { option: self.option, path: self.path.into(), message: message.into() }
    }

    fn read(self) -> Result<Vec<u8>, TlsError> {
        std::fs::read(self.path).map_err(|source| TlsError::Read {
            option: self.option,
            path: self.path.into(),
            source,
        })
    }
}
