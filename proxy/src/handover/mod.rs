//! A restart without a refused connection: `waypool run --takeover`.
//!
//! The new process asks the running one for its listening sockets when it is
//! ready to serve: it has read its configuration, loaded the plugins and
//! looked at the servers. The way is the admin socket, whose connection
//! becomes a channel of lines between the two:
//!
//! ```text
//! new: POST /v1/takeover (Upgrade)
//! new: sockets            old: an Offer as JSON, with the sockets (SCM_RIGHTS)
//! new: ready [ms]         old: leaving       it accepts nobody any more
//! new: cancel PID KEY     old: done          for sessions that stayed there
//! new: stop MODE
//! ```
//!
//! - [`message`]: sockets through a socket
//! - [`give`]: the old process; [`take`]: the new one
//! - [`predecessors`]: old processes whose clients have not left yet
//! - [`systemd`]: sockets that systemd opened, and words to it

pub mod give;
pub mod message;
pub mod predecessors;
pub mod systemd;
pub mod take;

pub use predecessors::Predecessors;
pub use take::Inherited;

use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// What the connection is upgraded to.
pub const PROTOCOL: &str = "waypool-takeover-1";

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The sockets on which a proxy listens, to be handed over.
#[derive(Debug, Default)]
pub struct Listeners(Mutex<Vec<(Address, OwnedFd)>>);

// === impl Listeners ===

impl Listeners {
    pub fn add(&self, address: Address, socket: impl AsFd) -> io::Result<()> {
        let socket = socket.as_fd().try_clone_to_owned()?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((address, socket));
        Ok(())
    }

    /// All of them, and once more.
    pub fn share(&self) -> io::Result<(Vec<Address>, Vec<OwnedFd>)> {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = listeners.iter().map(|(address, _)| address.clone()).collect();
        let sockets = listeners.iter().map(|(_, socket)| socket.try_clone());
        Ok((addresses, sockets.collect::<io::Result<_>>()?))
    }

    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests;
