//! Who gets which connection: kept ones, limits, and the fair queue.

use super::connect::Target;
use super::gate::Gate;
use super::{CheckoutError, Identity, ServerConn};
use crate::census::client::Wait;
use crate::census::{Server, Servers};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How many connections there may be, and for how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For one user and database (`default_pool_size`).
    pub per_group: usize,
    /// In all, to this server (`max_connections` of the backend).
    pub in_all: usize,
    pub queue_timeout: Option<Duration>,
    /// For one attempt to connect, login included.
    pub connect_timeout: Duration,
    /// `connection_cache`
    pub keep: bool,
    /// `connection_life_time`: kept connections are closed after this long.
    pub life_time: Option<Duration>,
}

/// All connections to one server.
#[derive(Debug)]
pub struct Pool {
    pub target: Target,
    /// Its connections, for `SHOW`.
    pub servers: Servers,
    inner: Mutex<Inner>,
}

/// Connections of one user to one database share a limit.
type GroupKey = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    groups: HashMap<GroupKey, Group>,
    /// Connections open or being opened, of all groups.
    open: usize,
    /// Sessions which wait, the longest first.
    waiters: VecDeque<Waiter>,
    /// What is paused.
    gate: Gate,
}

#[derive(Debug, Default)]
struct Group {
    /// Kept connections, the most recently used last.
    idle: Vec<ServerConn>,
    open: usize,
}

#[derive(Debug)]
struct Waiter {
    identity: Arc<Identity>,
    grant: oneshot::Sender<Grant>,
}

/// What a session gets: a kept connection, or leave to open one.
#[derive(Debug)]
pub(super) enum Grant {
    Kept(Box<ServerConn>),
    Slot(Slot),
}

/// The place of one connection within the limits; freed by dropping it.
#[derive(Debug)]
pub struct Slot {
    pool: Arc<Pool>,
    /// `None`: a connection of the proxy's own, outside the limits.
    key: Option<GroupKey>,
    server: Arc<Server>,
}

fn key_of(identity: &Identity) -> GroupKey {
    (identity.user.clone(), identity.database.clone())
}

impl Pool {
    pub fn new(target: Target, limits: Limits) -> Arc<Self> {
        let inner = Inner {
            limits,
            groups: HashMap::new(),
            open: 0,
            waiters: VecDeque::new(),
            gate: Gate::default(),
        };
        Arc::new(Pool { target, servers: Servers::default(), inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New limits hold from now on; connections above them go when they become free.
    pub fn set_limits(self: &Arc<Self>, limits: Limits) {
        let mut inner = self.lock();
        inner.limits = limits;
        let refused = self.grant(&mut inner);
        drop(inner);
        drop(refused);
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.lock().limits.connect_timeout
    }

    pub(super) async fn acquire(
        self: &Arc<Self>,
        identity: &Arc<Identity>,
        wait: &mut Wait<'_>,
    ) -> Result<Grant, CheckoutError> {
        let waiting = loop {
            match self.try_acquire(identity) {
                Attempt::Granted(Grant::Kept(conn)) if !conn.is_alive() => drop(conn),
                Attempt::Granted(grant) => return Ok(grant),
                // Room is made by dropping it, outside the lock.
                Attempt::Evict(conn) => drop(conn),
                Attempt::Wait(waiting) => break waiting,
            }
        };
        wait.begin();
        let queue_timeout = self.lock().limits.queue_timeout;
        let Some(limit) = queue_timeout else {
            return waiting.await.map_err(|_| CheckoutError::QueueTimeout(Duration::MAX));
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(Ok(grant)) => Ok(grant),
            _ => Err(CheckoutError::QueueTimeout(limit)),
        }
    }

    fn try_acquire(self: &Arc<Self>, identity: &Arc<Identity>) -> Attempt {
        let key = key_of(identity);
        let inner = &mut *self.lock();
        inner.waiters.retain(|waiter| !waiter.grant.is_closed());
        let queued = inner.waiters.iter().any(|waiter| key_of(&waiter.identity) == key);
        let group = inner.groups.entry(key.clone()).or_default();
        if !queued && !inner.gate.holds(&identity.database) {
            if let Some(at) = group.idle.iter().rposition(|conn| *conn.identity == **identity) {
                return Attempt::Granted(Grant::Kept(Box::new(group.idle.remove(at))));
            }
            if group.open >= inner.limits.per_group && !group.idle.is_empty() {
                return Attempt::Evict(Box::new(group.idle.remove(0)));
            }
            if group.open < inner.limits.per_group {
                if inner.open < inner.limits.in_all {
                    group.open += 1;
                    inner.open += 1;
                    return Attempt::Granted(Grant::Slot(Slot::new(self, key)));
                }
                let idle = inner.groups.values_mut().find(|group| !group.idle.is_empty());
                if let Some(group) = idle {
                    return Attempt::Evict(Box::new(group.idle.remove(0)));
                }
            }
        }
        let (grant, waiting) = oneshot::channel();
        inner.waiters.push_back(Waiter { identity: identity.clone(), grant });
        Attempt::Wait(waiting)
    }

    /// Takes a quiet connection back: for the first who waits, or to be kept.
    pub(super) fn put_back(&self, conn: ServerConn) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.gate.holds(&conn.identity.database) || conn.meter.server.is_retired() {
            drop(guard);
            return;
        }
        let mut conn = Some(Box::new(conn));
        inner.waiters.retain(|waiter| !waiter.grant.is_closed());
        while let Some(waited_for) = conn.take() {
            let fits = |waiter: &Waiter| *waiter.identity == *waited_for.identity;
            let Some(at) = inner.waiters.iter().position(fits) else {
                conn = Some(waited_for);
                break;
            };
            let Some(waiter) = inner.waiters.remove(at) else {
                break;
            };
            // A waiter that has just given up hands the connection back.
            if let Err(Grant::Kept(returned)) = waiter.grant.send(Grant::Kept(waited_for)) {
                conn = Some(returned);
            }
        }
        let Some(conn) = conn else {
            return;
        };
        let group = inner.groups.entry(key_of(&conn.identity)).or_default();
        // The limits may have been lowered meanwhile.
        let within = group.open <= inner.limits.per_group && inner.open <= inner.limits.in_all;
        // What copies a template needs it unused.
        let template = matches!(&*conn.identity.database, "template0" | "template1");
        if inner.limits.keep && !template && inner.waiters.is_empty() && within {
            group.idle.push(*conn);
            return;
        }
        // Dropped when the lock is gone: that makes room for a waiter with
        // another identity.
        drop(guard);
        drop(conn);
    }

    /// Closes connections that were kept for too long. Called now and then.
    pub fn close_expired(&self) {
        let mut expired = Vec::new();
        let mut inner = self.lock();
        let Some(life_time) = inner.limits.life_time else {
            return;
        };
        let now = Instant::now();
        for group in inner.groups.values_mut() {
            expired
                .extend(group.idle.extract_if(.., |conn| now.duration_since(conn.idle_since) >= life_time));
        }
        drop(inner);
        drop(expired);
    }

    /// Closes every kept connection: its server failed, or the proxy ends.
    pub fn close_idle(&self) {
        let idle: Vec<_> = self.lock().groups.values_mut().flat_map(|group| group.idle.drain(..)).collect();
        drop(idle);
    }

    /// PAUSE: nobody gets a connection to this database, or to any, until
    /// [`Pool::resume`]. Kept ones are closed, others when they come back.
    pub fn pause(&self, database: Option<&str>) {
        let mut inner = self.lock();
        inner.gate.pause(database);
        drop(inner);
        self.retire(database);
    }

    pub fn is_paused(&self, database: &str) -> bool {
        self.lock().gate.holds(database)
    }

    /// RESUME: those who wait go on.
    pub fn resume(self: &Arc<Self>, database: Option<&str>) {
        let mut inner = self.lock();
        inner.gate.resume(database);
        let refused = self.grant(&mut inner);
        drop(inner);
        drop(refused);
    }

    /// RECONNECT: what is open to this database, or to any, is closed, as soon
    /// as it is free.
    pub fn retire(&self, database: Option<&str>) {
        self.servers.retire(|server| database.is_none_or(|name| *server.database == *name));
        let mut retired = Vec::new();
        for group in self.lock().groups.values_mut() {
            retired.extend(group.idle.extract_if(.., |conn| conn.meter.server.is_retired()));
        }
        // Only now, as it frees places.
        drop(retired);
    }

    /// Connections open (or being opened), kept, and sessions waiting.
    pub fn usage(&self) -> (usize, usize, usize) {
        let inner = self.lock();
        let idle = inner.groups.values().map(|group| group.idle.len()).sum();
        (inner.open, idle, inner.waiters.len())
    }

    /// Gives free places to those who wait. Returns grants that nobody wanted
    /// any more, to be dropped when the lock is gone.
    fn grant(self: &Arc<Self>, inner_ref: &mut Inner) -> Vec<Grant> {
        let mut refused = Vec::new();
        while inner_ref.open < inner_ref.limits.in_all {
            let (groups, per_group) = (&inner_ref.groups, inner_ref.limits.per_group);
            let gate = &inner_ref.gate;
            let has_room = |waiter: &Waiter| {
                !gate.holds(&waiter.identity.database)
                    && groups.get(&key_of(&waiter.identity)).is_none_or(|group| group.open < per_group)
            };
            let Some(waiter) =
                inner_ref.waiters.iter().position(has_room).and_then(|at| inner_ref.waiters.remove(at))
            else {
                break;
            };
            if waiter.grant.is_closed() {
                continue;
            }
            let key = key_of(&waiter.identity);
            inner_ref.groups.entry(key.clone()).or_default().open += 1;
            inner_ref.open += 1;
            if let Err(grant) = waiter.grant.send(Grant::Slot(Slot::new(self, key))) {
                refused.push(grant);
            }
        }
        refused
    }

    fn free(self: &Arc<Self>, key: &GroupKey) {
        let mut inner = self.lock();
        let inner_ref = &mut *inner;
        inner_ref.open -= 1;
        if let Some(group) = inner_ref.groups.get_mut(key) {
            group.open -= 1;
            if group.open == 0 {
                inner_ref.groups.remove(key);
            }
        }
        let refused = self.grant(inner_ref);
        // Slots come back here when dropped: not under the lock.
        drop(inner);
        drop(refused);
    }
}

enum Attempt {
    Granted(Grant),
    /// Close this one and try again.
    Evict(Box<ServerConn>),
    Wait(oneshot::Receiver<Grant>),
}

impl Slot {
    /// For a connection of the proxy's own: it must not wait for clients.
    pub(super) fn unlimited(pool: &Arc<Pool>, identity: &Identity) -> Self {
        let server = Server::new(identity.user.clone(), identity.database.clone(), pool.target.backend.id);
        Slot { pool: pool.clone(), key: None, server: Arc::new(server) }
    }

    fn new(pool: &Arc<Pool>, key: GroupKey) -> Self {
        let (user, database) = key.clone();
        let server = pool.servers.enter(Server::new(user, database, pool.target.backend.id));
        Slot { pool: pool.clone(), key: Some(key), server }
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The pool that the connection goes back to; one outside the limits goes nowhere.
    pub(super) fn pool(&self) -> Option<&Arc<Pool>> {
        self.key.as_ref().map(|_| &self.pool)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.pool.free(key);
            self.pool.servers.leave(&self.server);
        }
    }
}
