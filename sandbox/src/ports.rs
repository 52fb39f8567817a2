//! Free TCP ports for servers that start a moment later.
//!
//! A port found by binding port 0 is free only until somebody else gets it, for
//! instance as the local end of an outgoing connection, and a stopped server's
//! port must still be there when it starts again. So ports are taken from below
//! the ephemeral range, and each is marked as taken for other sandboxes.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};

use crate::{Error, Result};

const LOW: u16 = 11_000;
/// Linux hands out local ports from 32768 on.
const HIGH: u16 = 32_000;

/// A TCP port on which nobody listens, kept from other sandboxes until dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _mark: Mark,
}

impl Port {
    /// Picks a port that is free now and that no other sandbox has reserved.
    pub fn reserve() -> Result<Port> {
        let span = HIGH - LOW;
        // RandomState is seeded afresh: parallel processes start at different ports.
        let start = (RandomState::new().hash_one(std::process::id()) % u64::from(span)) as u16;
        (0..span)
            .map(|step| LOW + (start + step) % span)
            .find_map(Port::claim)
            .ok_or(Error::NoPort { low: LOW, high: HIGH })
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    /// Reserves this port, if nobody listens there or has reserved it.
    pub fn claim(number: u16) -> Option<Port> {
        let mark = mark(number)?;
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).ok()?;
        Some(Port { number, _mark: mark })
    }
}

/// An abstract Unix socket: seen by all processes, gone with its owner, and not a file.
#[cfg(target_os = "linux")]
type Mark = std::os::unix::net::UnixListener;

#[cfg(target_os = "linux")]
fn mark(number: u16) -> Option<Mark> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let name = format!("waypool-sandbox-port-{number}");
    let address = SocketAddr::from_abstract_name(name).ok()?;
    Mark::bind_addr(&address).ok()
}

/// Elsewhere the random start has to do; a collision shows when the server starts.
#[cfg(not(target_os = "linux"))]
type Mark = ();

#[cfg(not(target_os = "linux"))]
fn mark(_number: u16) -> Option<Mark> {
    Some(())
}

#[cfg(test)]
mod tests;
