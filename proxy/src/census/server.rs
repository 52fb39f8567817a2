//! Server connections within the pool's limits, from the leave to open one to
//! its end.

use super::traffic::{Counter, Totals, Traffic};
use super::{next_id, stamp};
use crate::net::Ends;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// What a server connection does, in PgBouncer's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It logs in.
    New = 0,
    /// A client has it.
    Active = 1,
    Idle = 2,
    /// The reset queries run on it.
    Tested = 3,
}

/// What is known of one server connection.
#[derive(Debug)]
pub struct Server {
    pub id: u64,
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub backend: usize,
    pub connected_at: u64,
    pub traffic: Traffic,
    login: OnceLock<Login>,
    state: AtomicU8,
    /// The client that has it.
    link: AtomicU64,
    requested_at: AtomicU64,
    /// To be closed when its client gives it back.
    retired: AtomicBool,
    /// Kept by its client beyond the transaction, because of state that no
    /// other connection has.
    pinned: AtomicBool,
    /// Statements that are prepared on it, as far as somebody keeps track.
    prepared: AtomicU32,
}

/// What is known after the login.
#[derive(Debug)]
pub struct Login {
    pub pid: u32,
    pub ends: Ends,
}

/// All connections to one server.
#[derive(Debug, Default)]
pub struct Servers {
    inner: Mutex<Inner>,
    /// One has been closed.
    closed: Notify,
}

/// User and database.
type Key = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<u64, Arc<Server>>,
    /// Of all that were ever of use to a client.
    groups: HashMap<Key, Group>,
}

#[derive(Debug, Default)]
struct Group {
    /// What connections counted that are closed.
    closed: Totals,
    /// As it stood at the end of the last two periods.
    periods: [Totals; 2],
}

/// The counters of one user and database on one server.
#[derive(Debug, Clone)]
pub struct Stats {
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub now: Totals,
    /// Where the averages begin.
    pub before: Totals,
}

// === impl Server ===

impl Server {
    pub fn new(user: Arc<str>, database: Arc<str>, backend: usize) -> Self {
        let now = stamp(Instant::now());
        Server {
            id: next_id(),
            user,
            database,
            backend,
            connected_at: now,
            traffic: Traffic::default(),
            login: OnceLock::new(),
            state: AtomicU8::new(State::New as u8),
            link: AtomicU64::new(0),
            requested_at: AtomicU64::new(now),
            retired: AtomicBool::new(false),
            pinned: AtomicBool::new(false),
            prepared: AtomicU32::new(0),
        }
    }

    pub fn logged_in(&self, pid: u32, ends: Ends) {
        // Only its own login comes here, once.
        let _ = self.login.set(Login { pid, ends });
    }

    pub fn login(&self) -> Option<&Login> {
        self.login.get()
    }

    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
        if state != State::Active {
            self.link.store(0, Ordering::Relaxed);
            self.pinned.store(false, Ordering::Relaxed);
        }
    }

    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::New,
            1 => State::Active,
            2 => State::Idle,
            _ => State::Tested,
        }
    }

    pub(super) fn lend(&self, client: u64) {
        self.set_state(State::Active);
        self.link.store(client, Ordering::Relaxed);
    }

    pub(super) fn requested(&self, now: u64) {
        self.requested_at.store(now, Ordering::Relaxed);
    }

    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// For transaction pooling: the client keeps it, or no longer.
    pub fn set_pinned(&self, pinned: bool) {
        self.pinned.store(pinned, Ordering::Relaxed);
    }

    pub fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed)
    }

    /// For whoever keeps track of statements across clients.
    pub fn set_prepared(&self, count: usize) {
        self.prepared.store(count as u32, Ordering::Relaxed);
    }

    pub fn prepared(&self) -> u32 {
        self.prepared.load(Ordering::Relaxed)
    }

    pub fn link(&self) -> Option<u64> {
        Some(self.link.load(Ordering::Relaxed)).filter(|link| *link != 0)
    }

    pub fn requested_at(&self) -> u64 {
        self.requested_at.load(Ordering::Relaxed)
    }

    fn key(&self) -> Key {
        (self.user.clone(), self.database.clone())
    }
}

// === impl Servers ===

impl Servers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn enter(&self, server: Server) -> Arc<Server> {
        let server = Arc::new(server);
        self.lock().open.insert(server.id, server.clone());
        server
    }

    /// It is closed: what it counted is kept, if it was ever lent.
    pub fn leave(&self, server: &Server) {
        let mut inner = self.lock();
        inner.open.remove(&server.id);
        let totals = server.traffic.totals();
        if totals.get(Counter::Assignments) > 0 {
            let group = inner.groups.entry(server.key()).or_default();
            group.closed = group.closed.plus(&totals);
        }
        drop(inner);
        self.closed.notify_waiters();
    }

    /// All of them, the oldest first.
    pub fn list(&self) -> Vec<Arc<Server>> {
        let mut all: Vec<_> = self.lock().open.values().cloned().collect();
        all.sort_unstable_by_key(|server| server.id);
        all
    }

    /// Has those for which `predicate` holds closed as soon as they are free.
    pub fn retire(&self, predicate: impl Fn(&Server) -> bool) {
        self.lock().open.values().filter(|server| predicate(server)).for_each(|server| server.retire());
    }

    /// Waits until none is left for which `predicate` holds.
    pub async fn wait_closed(&self, predicate: impl Fn(&Server) -> bool) {
        loop {
            let mut closed = std::pin::pin!(self.closed.notified());
            closed.as_mut().enable();
            if !self.lock().open.values().any(|server| predicate(server)) {
                return;
            }
            closed.await;
        }
    }

    /// The counters, of connections open and closed.
    pub fn stats(&self) -> Vec<Stats> {
        let inner = self.lock();
        let mut now: HashMap<Key, Totals> =
            inner.groups.iter().map(|(key, group)| (key.clone(), group.closed)).collect();
        for server in inner.open.values() {
            let totals = now.entry(server.key()).or_default();
            *totals = totals.plus(&server.traffic.totals());
        }
        let stats = now.into_iter().map(|(key, now)| {
            let before = inner.groups.get(&key).map_or_else(Totals::default, |group| group.periods[0]);
            let (user, database) = key;
            Stats { user, database, now, before }
        });
        stats.collect()
    }

    pub(super) fn next_period(&self) {
        let stats = self.stats();
        let mut inner = self.lock();
        for Stats { user, database, now, .. } in stats {
            if now.get(Counter::Assignments) > 0 {
                let group = inner.groups.entry((user, database)).or_default();
                group.periods = [group.periods[1], now];
            }
        }
    }
}
