//! Cancel requests: keys of our own, and the way from a key to the server
//! connection which runs that client's query at this moment.

use super::link::{Servers, bit};
use crate::pool::Pool;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

/// No server has so many processes: from here on the numbers are ours. Like a
/// process id, they are never negative.
const OURS: u32 = 1 << 30;

/// All clients that can be cancelled, by the process id that we gave them.
#[derive(Debug, Default)]
pub struct Registry {
    clients: Mutex<HashMap<u32, Arc<Client>>>,
    next: AtomicU32,
    /// Those of the admin console, which has no query on a server to cancel.
    consoles: Mutex<HashMap<u32, Arc<Notify>>>,
}

/// What a cancel request for one client needs.
#[derive(Debug)]
pub struct Client {
    key: Vec<u8>,
    /// The backends that run something for this client now; two halves.
    running: [AtomicU64; 2],
    /// Its server connections. Locked while a cancel request is under way, so
    /// that none is handed to another client meanwhile.
    links: tokio::sync::Mutex<Vec<CancelKey>>,
}

#[derive(Debug)]
struct CancelKey {
    backend: usize,
    pool: Arc<Pool>,
    pid: u32,
    key: Arc<[u8]>,
}

/// A client's entry in the registry; gone with the session.
#[derive(Debug)]
pub struct Handle {
    registry: Arc<Registry>,
    pub pid: u32,
    client: Arc<Client>,
}

impl Registry {
    /// Enters a client; `key_len` is 4 before protocol 3.2 and 32 from then on.
    pub fn enter(self: &Arc<Self>, key_len: usize) -> Handle {
        let mut key = vec![0; key_len];
        rand::fill(&mut key[..]);
        let client = Arc::new(Client { key, running: Default::default(), links: Default::default() });
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = loop {
            let pid = OURS + self.next.fetch_add(1, Ordering::Relaxed) % OURS;
            if !clients.contains_key(&pid) {
                break pid;
            }
        };
        clients.insert(pid, client.clone());
        Handle { registry: self.clone(), pid, client }
    }

    /// Carries a cancel request out; whether the key is one of a client. The
    /// client is told nothing, whatever happens, as PostgreSQL does.
    pub async fn cancel(&self, pid: u32, key: &[u8]) -> bool {
        let client = self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(&pid).cloned();
        let Some(client) = client.filter(|client| client.key.ct_eq(key).into()) else {
            return false;
        };
        if let Some(console) = self.consoles().get(&pid) {
            console.notify_waiters();
            return true;
        }
        let links = client.links.lock().await;
        let running = client.running();
        for link in links.iter().filter(|link| running & bit(link.backend) != 0) {
            if let Err(error) = link.pool.cancel(link.pid, &link.key).await {
                tracing::warn!(backend = link.backend, "cancel request failed: {error}");
            }
        }
        true
    }
}

impl Registry {
    fn consoles(&self) -> MutexGuard<'_, HashMap<u32, Arc<Notify>>> {
        self.consoles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn running(&self) -> Servers {
        let [low, high] = &self.running;
        Servers::from(low.load(Ordering::Acquire)) | Servers::from(high.load(Ordering::Acquire)) << 64
    }
}

impl Client {
    /// Whether a server connection with this process id is, or may be, its.
    fn may_have(&self, pid: u32) -> bool {
        self.links.try_lock().map_or(true, |links| links.iter().any(|link| link.pid == pid))
    }
}

impl Handle {
    pub fn key(&self) -> &[u8] {
        &self.client.key
    }

    /// Whoever waits for `console` hears of cancel requests for this client.
    pub fn tell(&self, console: &Arc<Notify>) {
        self.registry.consoles().insert(self.pid, console.clone());
    }

    /// These backends run something for the client from now on.
    pub fn set_running(&self, servers: Servers) {
        self.client.running[0].store(servers as u64, Ordering::Release);
        let high = (servers >> 64) as u64;
        if high != 0 || self.client.running[1].load(Ordering::Relaxed) != 0 {
            self.client.running[1].store(high, Ordering::Release);
        }
    }

    /// The client is told the process id of its server connection, unless another
    /// client has that of another server: so it is the one that it finds in its
    /// own notifications and in `pg_stat_activity`.
    pub fn take_pid(&mut self, pid: u32) {
        if pid >= OURS {
            return;
        }
        let mut clients = self.registry.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has given that connection back is about to leave.
        if clients.get(&pid).is_some_and(|other| other.may_have(pid)) {
            return;
        }
        clients.remove(&self.pid);
        clients.insert(pid, self.client.clone());
        self.pid = pid;
    }

    pub async fn add(&self, backend: usize, pool: Arc<Pool>, pid: u32, key: Arc<[u8]>) {
        self.links().await.push(CancelKey { backend, pool, pid, key });
    }

    /// The client gives this connection up. Returns when no cancel request
    /// for it is under way any more.
    pub async fn remove(&self, backend: usize) {
        self.links().await.retain(|link| link.backend != backend);
    }

    /// Rarely waits, and is small for those who hardly ever do.
    async fn links(&self) -> tokio::sync::MutexGuard<'_, Vec<CancelKey>> {
        match self.client.links.try_lock() {
            Ok(links) => links,
            Err(_) => Box::pin(self.client.links.lock()).await,
        }
    }
}

impl Handle {
    /// The connection to this backend is lost: there is nothing to cancel.
    pub fn forget(&self, backend: usize) {
        // If a cancel request is under way it goes to a connection that is
        // gone, and `remove` or the end of the session clears the entry.
        if let Ok(mut links) = self.client.links.try_lock() {
            links.retain(|link| link.backend != backend);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut clients = self.registry.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Another client may have taken the process id over, with the connection.
        if clients.get(&self.pid).is_some_and(|client| Arc::ptr_eq(client, &self.client)) {
            clients.remove(&self.pid);
        }
        drop(clients);
        self.registry.consoles().remove(&self.pid);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
