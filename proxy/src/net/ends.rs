//! Where a socket comes from and goes to, for people.

use super::Stream;
use super::stream::Plain;
use std::net::SocketAddr;
use tokio_rustls::rustls::CommonState;

/// The two ends of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// `None`: a Unix socket, or one that is gone.
    pub remote: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    /// The process at the other end of a Unix socket; zero if that is not known.
    pub pid: u32,
    /// Protocol and cipher.
    pub tls: Option<Box<str>>,
}

impl Ends {
    pub fn of(stream: &Stream) -> Self {
        let tls = match stream {
            Stream::Accepted(stream) => describe(stream.get_ref().1),
            Stream::Connected(stream) => describe(stream.get_ref().1),
            Stream::Plain(_) | Stream::Gone => None,
        };
        match stream.plain() {
            Some(Plain::Tcp(socket)) => {
                Ends { remote: socket.peer_addr().ok(), local: socket.local_addr().ok(), pid: 0, tls }
            }
            Some(Plain::Unix(socket)) => {
                let pid = socket.peer_cred().ok().and_then(|credentials| credentials.pid());
                let pid = pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
                Ends { remote: None, local: None, pid, tls }
            }
            None => Ends::default(),
        }
    }
}

/// `TLSv1.3/TLS13_AES_256_GCM_SHA384`
fn describe(tls: &CommonState) -> Option<Box<str>> {
    let version = tls.protocol_version()?.as_str()?.replace('_', ".");
    let suite = tls.negotiated_cipher_suite()?;
    Some(format!("{version}/{}", suite.suite().as_str().unwrap_or("unknown")).into())
}
