//! Clients that have logged in.

use super::signal::Signal;
use super::{next_id, stamp};
use crate::net::Ends;
use crate::protocol::startup::Replication;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// All clients, by number.
#[derive(Debug, Default)]
pub struct Clients {
    all: Mutex<HashMap<u64, Arc<Client>>>,
    /// One has left.
    left: Notify,
}

/// What is known of one client.
#[derive(Debug)]
pub struct Client {
    pub id: u64,
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub ends: Ends,
    pub connected_at: u64,
    /// What it is, other than a session.
    pub replication: Option<Replication>,
    /// Somebody wants it gone.
    pub kill: Signal,
    application_name: Mutex<Box<str>>,
    requested_at: AtomicU64,
    /// Zero while it does not wait for a server connection.
    waiting_since: AtomicU64,
    /// The server connection that it uses, or used last and still has.
    link: AtomicU64,
    /// The server of that, or for which it waits.
    backend: AtomicU32,
    /// Statements that it has prepared by name.
    prepared: AtomicU32,
}

/// No server yet.
const NOWHERE: u32 = u32::MAX;

/// A client's entry; gone with its session.
#[derive(Debug)]
pub struct Member {
    clients: Arc<Clients>,
    client: Arc<Client>,
}

/// A client may have to wait for a server connection: it does from `begin` on,
/// until this is dropped.
#[derive(Debug)]
pub struct Wait<'c> {
    client: &'c Client,
    backend: usize,
    began: Option<Instant>,
}

// === impl Clients ===

impl Clients {
    pub fn enter(self: &Arc<Self>, client: Client) -> Member {
        let client = Arc::new(client);
        self.lock().insert(client.id, client.clone());
        Member { clients: self.clone(), client }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Client>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.lock().get(&id).cloned()
    }

    /// All of them, the first that came first.
    pub fn list(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    /// Waits until none is left for which `predicate` holds.
    pub async fn wait_gone(&self, predicate: impl Fn(&Client) -> bool) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if !self.lock().values().any(|client| predicate(client)) {
                return;
            }
            left.await;
        }
    }
}

// === impl Client ===

impl Client {
    pub fn new(user: Arc<str>, database: Arc<str>, application_name: &str, ends: Ends) -> Self {
        let now = stamp(Instant::now());
        Client {
            id: next_id(),
            user,
            database,
            ends,
            connected_at: now,
            replication: None,
            kill: Signal::default(),
            application_name: Mutex::new(application_name.into()),
            requested_at: AtomicU64::new(now),
            waiting_since: AtomicU64::new(0),
            link: AtomicU64::new(0),
            backend: AtomicU32::new(NOWHERE),
            prepared: AtomicU32::new(0),
        }
    }

    pub(super) fn is_lent(&self, link: u64, backend: usize) {
        self.link.store(link, Ordering::Relaxed);
        self.backend.store(backend as u32, Ordering::Relaxed);
    }

    /// A statement of this client's runs on this server connection now.
    pub(super) fn uses(&self, link: u64, backend: usize, now: u64) {
        self.requested_at.store(now, Ordering::Relaxed);
        self.is_lent(link, backend);
    }

    /// It has given this server connection up.
    pub fn gave_up(&self, link: u64) {
        let _ = self.link.compare_exchange(link, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn set_prepared(&self, count: usize) {
        self.prepared.store(count as u32, Ordering::Relaxed);
    }

    pub fn set_application_name(&self, name: &str) {
        *self.application_name.lock().unwrap_or_else(PoisonError::into_inner) = name.into();
    }

    pub fn may_wait(&self, backend: usize) -> Wait<'_> {
        Wait { client: self, backend, began: None }
    }

    pub fn application_name(&self) -> Box<str> {
        self.application_name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn requested_at(&self) -> u64 {
        self.requested_at.load(Ordering::Relaxed)
    }

    pub fn waiting_since(&self) -> Option<u64> {
        Some(self.waiting_since.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    pub fn link(&self) -> Option<u64> {
        Some(self.link.load(Ordering::Relaxed)).filter(|link| *link != 0)
    }

    pub fn backend(&self) -> Option<usize> {
        Some(self.backend.load(Ordering::Relaxed)).filter(|id| *id != NOWHERE).map(|id| id as usize)
    }

    pub fn prepared(&self) -> u32 {
        self.prepared.load(Ordering::Relaxed)
    }
}

// === impl Member ===

impl Deref for Member {
    type Target = Arc<Client>;

    fn deref(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.clients.lock().remove(&self.client.id);
        self.clients.left.notify_waiters();
    }
}

// === impl Wait ===

impl Wait<'_> {
    pub fn begin(&mut self) {
        let began = *self.began.get_or_insert_with(Instant::now);
        self.client.backend.store(self.backend as u32, Ordering::Relaxed);
        self.client.waiting_since.store(stamp(began), Ordering::Relaxed);
    }

    /// Zero if it did not have to.
    pub fn time(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    pub fn client(&self) -> &Client {
        self.client
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.began.is_some() {
            self.client.waiting_since.store(0, Ordering::Relaxed);
        }
    }
}
