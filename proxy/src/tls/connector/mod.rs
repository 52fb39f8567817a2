//! TLS with servers: we are the client.

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as RustlsError, RootCertStore};

use super::files::PemFile;
use super::verifier::{Name, ServerVerifier, Trust};
use super::{ALPN, EndPointHash, TlsError, config_error, provider};

/// libpq's `sslmode`, without `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    Disable,
    /// TLS if the server has it; any certificate will do.
    #[default]
    Prefer,
    /// TLS or nothing; any certificate will do, unless root certificates are
    /// given: then as `verify-ca`, which is what libpq does.
    Require,
    /// The certificate has to come from a CA that we trust.
    VerifyCa,
    /// And it has to be for the host that we connect to.
    VerifyFull,
}

/// The CAs that servers' certificates may come from (`sslrootcert`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RootCertificates {
    /// Those of the operating system. Anybody can have a certificate from one
    /// of these: good for `verify-full` alone.
    #[default]
    System,
    File(PathBuf),
}

/// Starts TLS with servers. Cheap to clone; build a new one to reload.
#[derive(Clone)]
pub struct Connector {
    connector: TlsConnector,
    required: bool,
}

// === impl SslMode ===

impl FromStr for SslMode {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        match text {
            "disable" => Ok(SslMode::Disable),
            "prefer" => Ok(SslMode::Prefer),
            "require" => Ok(SslMode::Require),
            "verify-ca" => Ok(SslMode::VerifyCa),
            "verify-full" => Ok(SslMode::VerifyFull),
            _ => Err(TlsError::Config(format!(
                "sslmode \"{text}\" is not supported: \
                 write disable, prefer, require, verify-ca or verify-full"
            ))),
        }
    }
}

// === impl RootCertificates ===

impl RootCertificates {
    /// Reads `sslrootcert`: a file, `system`, or absent, which is the same.
    pub fn from_option(sslrootcert: Option<&str>) -> Self {
        match sslrootcert {
            None | Some("" | "system") => RootCertificates::System,
            Some(path) => RootCertificates::File(path.into()),
        }
    }
}

// === impl Connector ===

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("required", &self.required).finish_non_exhaustive()
    }
}

impl Connector {
    /// `None` if the mode is `disable`.
    pub fn new(mode: SslMode, roots: &RootCertificates) -> Result<Option<Self>, TlsError> {
        let trust = match (mode, roots) {
            (SslMode::Disable, _) => return Ok(None),
            (SslMode::Prefer, _) | (SslMode::Require, RootCertificates::System) => Trust::Anything,
            (SslMode::Require | SslMode::VerifyCa, RootCertificates::File(path)) => {
                trust_file(path, Name::Ignored)?
            }
            (SslMode::VerifyFull, RootCertificates::File(path)) => trust_file(path, Name::Checked)?,
            (SslMode::VerifyFull, RootCertificates::System) => trust_system()?,
            (SslMode::VerifyCa, RootCertificates::System) => {
                return Err(TlsError::Config(
                    "sslmode verify-ca needs sslrootcert, the file of your CA's certificate: \
                     the system's CAs give certificates to anybody, use them with verify-full"
                        .into(),
                ));
            }
        };
        let verifier = ServerVerifier::new(trust, provider().signature_verification_algorithms);
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(config_error)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Servers of PostgreSQL never resume a TLS session.
        config.resumption = Resumption::disabled();
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), required: mode != SslMode::Prefer }))
    }

    /// Whether to give up on a server that answers SSLRequest with `N`;
    /// otherwise the connection goes on in plain text.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Does the handshake. `host` is the name or IP address from the
    /// configuration. The caller has read the answer `S` to SSLRequest and
    /// nothing beyond it (see [`super`]), and sets the time limit.
    pub async fn connect<S>(&self, stream: S, host: &str) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError::Config(format!("\"{host}\" is neither a host name nor an IP address")))?;
        let connected = self.connector.connect(name, stream).await;
        connected.map_err(|source| TlsError::Handshake {
            host: host.into(),
            message: explain(&source),
            source,
        })
    }
}

/// What a login over this connection binds SCRAM-SHA-256-PLUS to.
pub fn peer_end_point_hash<S>(stream: &TlsStream<S>) -> Option<EndPointHash> {
    let (_, connection) = stream.get_ref();
    EndPointHash::of(connection.peer_certificates()?.first()?)
}

fn trust_file(path: &Path, name: Name) -> Result<Trust, TlsError> {
    let option = "sslrootcert";
    let file = PemFile { option, path };
    let certificates = file.certificates()?;
    Ok(Trust::Roots { roots: file.roots(&certificates)?, certificates, name })
}

fn trust_system() -> Result<Trust, TlsError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        let reasons: Vec<_> = loaded.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::Config(format!(
            "sslmode verify-full without sslrootcert needs the system's CA certificates, and none \
             were found: install ca-certificates or set sslrootcert [{}]",
            reasons.join("; ")
        )));
    }
    Ok(Trust::Roots { roots, certificates: Vec::new(), name: Name::Checked })
}

/// Says what a failed handshake means for whoever configures Waypool.
fn explain(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let Some(RustlsError::InvalidCertificate(reason)) = inner else {
        return error.to_string();
    };
    let advice = match reason {
        CertificateError::UnknownIssuer => {
            "it comes from a CA that is not in sslrootcert: set sslrootcert to the certificate of \
             the server's CA"
        }
        CertificateError::BadSignature => {
            "its signature does not fit: it comes from another CA of the same name, or the server \
             does not own it"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name: use the name in the certificate as the host, or sslmode \
             verify-ca"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired: renew the server's certificate"
        }
        _ => return format!("the server's certificate is not accepted: {reason}"),
    };
    format!("the server's certificate is not accepted: {advice} [{reason}]")
}
