//! LISTEN for clients that share server connections.
//!
//! In `pool_mode` transaction and statement a client has no connection on which
//! notifications could come. The proxy has one of its own for each database (and
//! `client_encoding`: payloads come in it) in which somebody listens. It listens
//! to all channels of these clients, and hands on what comes.
//!
//! - [`subscriptions`]: who listens to what, and from when on. No I/O.
//! - [`ear`]: what waits for one client
//! - [`desk`]: one connection
//!
//! What a client listens to is the session's business, see
//! `session::listening`.

pub mod desk;
pub mod ear;
pub mod subscriptions;
#[cfg(test)]
mod tests;

pub use desk::Way;
pub use ear::Ear;

use desk::Desk;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Names of channels, in the client's encoding.
pub type Channels = BTreeSet<Box<[u8]>>;

/// What clients have to have in common to be served by one connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub database: Arc<str>,
    pub client_encoding: String,
}

/// All there is of this in a process.
#[derive(Debug, Default)]
pub struct Hub {
    desks: Mutex<HashMap<Key, Arc<Desk>>>,
    next: AtomicU64,
}

/// A client that listens, until this is dropped.
#[derive(Debug)]
pub struct Listener {
    desk: Arc<Desk>,
    id: u64,
    pub ear: Arc<Ear>,
}

/// For `SHOW LISTS`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub connections: usize,
    pub clients: usize,
}

// === impl Hub ===

impl Hub {
    pub fn join(&self, key: Key) -> Listener {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = desks.entry(key).or_default().clone();
        Listener { desk, id: self.next.fetch_add(1, Ordering::Relaxed), ear: Arc::default() }
    }

    pub fn count(&self) -> Count {
        let desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.values().map(|desk| desk.count()).fold(Count::default(), |all, one| Count {
            connections: all.connections + one.connections,
            clients: all.clients + one.clients,
        })
    }
}

// === impl Listener ===

impl Listener {
    /// From now on it listens to these channels and no others. Until the ear is
    /// settled, new ones do not count. `way` leads to the server if nobody is
    /// connected yet.
    pub fn listen(&self, channels: &Channels, way: impl FnOnce() -> Way) {
        self.desk.listen(self.id, &self.ear, channels, way);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.desk.leave(self.id);
    }
}
