//! TLS on both legs: clients to Waypool ([`Acceptor`]), Waypool to servers
//! ([`Connector`]).
//!
//! PostgreSQL starts TLS inside a plain connection: the one side sends
//! SSLRequest, the other answers `S`, and the handshake follows. That dance
//! belongs to the sessions, which have one thing to watch: **bytes that arrived
//! in plain text before the handshake must be refused.** On the client leg:
//! after SSLRequest was read, the read buffer has to be empty when `S` goes
//! out; if it is not, close ("received unencrypted data after SSL request").
//! On the server leg: read exactly one byte for the answer, and if more than
//! it has arrived, close. Otherwise someone between the two could slip in
//! statements that are taken for the encrypted peer's (CVE-2021-23214,
//! CVE-2021-23222).

mod acceptor;
mod connector;
mod end_point;
mod files;
mod verifier;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::CryptoProvider;

pub use acceptor::Acceptor;
pub use connector::{Connector, RootCertificates, SslMode, peer_end_point_hash};
pub use end_point::EndPointHash;

/// The protocol's registered ALPN name; PostgreSQL 17 and later ask for it.
const ALPN: &[u8] = b"postgresql";

/// What is wrong with the TLS configuration or with a handshake.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{option}: cannot read {}: {source}", .path.display())]
    Read { option: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{option}: {}: {message}", .path.display())]
    File { option: &'static str, path: PathBuf, message: String },
    #[error("{0}")]
    Config(String),
    #[error("TLS handshake with server {host} failed: {message}")]
    Handshake {
        host: String,
        message: String,
        /// Kept for its kind: a broken connection is not a bad certificate.
        source: std::io::Error,
    },
}

/// The cryptography behind all our TLS: one for the whole process, whatever
/// other crates enable.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// An error of rustls itself about what we ask of it.
fn config_error(error: impl std::fmt::Display) -> TlsError {
    TlsError::Config(format!("TLS configuration: {error}"))
}
