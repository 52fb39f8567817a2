//! How a SCRAM login is bound to the TLS connection under it.

use base64::Engine;

use super::BASE64;
use crate::tls::EndPointHash;

/// The client's flag at the front of its first message.
#[derive(Debug)]
pub enum Binding {
    /// `n`: the client cannot.
    Unsupported,
    /// `y`: the client could, and believes that the server cannot.
    Unoffered,
    /// `p`: it does, to the hash of the server's certificate (RFC 5929).
    EndPoint(EndPointHash),
}

// === impl Binding ===

impl Binding {
    /// The GS2 header that opens client-first-message.
    pub fn header(&self) -> &'static str {
        match self {
            Binding::Unsupported => "n,,",
            Binding::Unoffered => "y,,",
            Binding::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    /// The `c` attribute of client-final-message: header and hash.
    pub fn attribute(&self) -> String {
        let hash = match self {
            Binding::EndPoint(hash) => hash.as_bytes(),
            Binding::Unsupported | Binding::Unoffered => &[],
        };
        BASE64.encode([self.header().as_bytes(), hash].concat())
    }
}
