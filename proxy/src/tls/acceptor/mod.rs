//! TLS with clients: we are the server.

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::files::PemFile;
use super::{ALPN, EndPointHash, TlsError, config_error, provider};

/// Answers the TLS handshakes of clients. Cheap to clone; build a new one to
/// reload the certificate.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: TlsAcceptor,
    end_point: Option<EndPointHash>,
}

// === impl Acceptor ===

impl Acceptor {
    /// `ssl_cert` holds our certificate and the intermediate ones after it,
    /// `ssl_key` its private key. With `ssl_ca_cert`, a client certificate is
    /// verified if the client presents one, as in PostgreSQL.
    pub fn new(ssl_cert: &Path, ssl_key: &Path, ssl_ca_cert: Option<&Path>) -> Result<Self, TlsError> {
        Self::with_alpn(ssl_cert, ssl_key, ssl_ca_cert, vec![ALPN.to_vec()])
    }

    /// For HTTPS instead of PostgreSQL's protocol: clients may ask for any
    /// version of it, and get 1.1.
    pub fn https(ssl_cert: &Path, ssl_key: &Path) -> Result<Self, TlsError> {
        Self::with_alpn(ssl_cert, ssl_key, None, Vec::new())
    }

    fn with_alpn(
        ssl_cert: &Path,
        ssl_key: &Path,
        ssl_ca_cert: Option<&Path>,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Self, TlsError> {
        let key = certified_key(ssl_cert, ssl_key)?;
        let end_point = key.cert.first().and_then(|cert| EndPointHash::of(cert));

        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(config_error)?;
        let builder = match ssl_ca_cert {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let option = "ssl_ca_cert";
                let file = PemFile { option, path };
                let roots = file.roots(&file.certificates()?)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| file.error(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = alpn;
        // Clients of PostgreSQL never resume a TLS session: no tickets.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), end_point })
    }

    /// Does the handshake. The caller has answered SSLRequest with `S`, has
    /// checked that nothing arrived after SSLRequest (see [`super`]), and sets
    /// the time limit.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.acceptor.accept(stream).await
    }

    /// What clients bind SCRAM-SHA-256-PLUS to; `None` if our certificate's
    /// signature has no hash function (Ed25519), which turns it off.
    pub fn end_point_hash(&self) -> Option<&EndPointHash> {
        self.end_point.as_ref()
    }
}

/// Loads certificate and key and sees that they belong together. rustls' own
/// loader refuses X.509 version 1, which `openssl x509 -req` still makes.
fn certified_key(ssl_cert: &Path, ssl_key: &Path) -> Result<CertifiedKey, TlsError> {
    let cert_file = PemFile { option: "ssl_cert", path: ssl_cert };
    let key_file = PemFile { option: "ssl_key", path: ssl_key };
    let chain = cert_file.certificates()?;
    let key = provider()
        .key_provider
        .load_private_key(key_file.private_key()?)
        .map_err(|error| key_file.error(format!("not a usable private key: {error}")))?;

    let first = chain.first().map(|cert| X509Certificate::from_der(cert));
    let Some(Ok((_, certificate))) = first else {
        return Err(cert_file.error("not an X.509 certificate"));
    };
    let ours = key.public_key();
    if ours.is_some_and(|spki| spki.as_ref() != certificate.public_key().raw) {
        let cert = ssl_cert.display();
        let message = format!("the private key does not belong to the certificate in {cert}");
        return Err(key_file.error(message));
    }
    Ok(CertifiedKey::new(chain, key))
}
