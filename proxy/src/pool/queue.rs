//! Who gets which connection: kept ones, limits, and the fair queue.
//!
//! Who comes first is served first. A connection that becomes free goes to
//! the first who waits for its kind, and so may pass over somebody who has
//! waited longer for another kind and would need a new connection in its
//! place. That is bounded: see [`PATIENCE`]. Nothing here takes longer with
//! many who wait than with few, but for a logarithm.

use super::connect::Target;
use super::gate::Gate;
use super::group::{Group, Ticket};
use super::minimum::Logins;
use super::quota::{Counts, Full, GroupKey, Quota};
use super::{CheckoutError, Identity, ServerConn};
use crate::census::client::Wait;
use crate::census::{Server, Servers};
use crate::config::Config;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Who has waited so much longer than the one a connection would go to is not
/// passed over; but no more often than this a connection is closed for that,
/// or two kinds of clients in turns would have each statement wait for a login.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many connections there may be, and for how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Those of users and databases: `pool_size` and the like.
    pub config: Arc<Config>,
    /// In all, to this server (`max_connections` of the backend).
    pub in_all: usize,
    /// `reserve_pool_timeout`: who has waited for so long may get one of the reserve.
    pub reserve_timeout: Duration,
    /// The proxy ends when its clients leave: `min_pool_size` does not count.
    pub ends: bool,
    pub queue_timeout: Option<Duration>,
    /// For one attempt to connect, login included.
    pub connect_timeout: Duration,
    /// `connection_cache`
    pub keep: bool,
    /// `connection_life_time`, `child_life_time`: kept connections are closed
    /// after this long.
    pub life_time: Option<Duration>,
    /// `server_lifetime`: older connections are closed when nobody uses them.
    pub most_age: Option<Duration>,
    /// `child_max_connections`: a connection is closed when it was lent so often.
    pub most_uses: Option<usize>,
}

/// All connections to one server.
#[derive(Debug)]
pub struct Pool {
    pub target: Target,
    /// Its connections, for `SHOW`.
    pub servers: Servers,
    /// For `min_pool_size`.
    pub(super) logins: Logins,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) limits: Limits,
    pub(super) groups: HashMap<GroupKey, Group>,
    /// Connections open or being opened, of all groups.
    pub(super) counts: Counts,
    /// Kept connections of all groups.
    idle: usize,
    /// The groups within their own limit, and not paused, in which somebody
    /// waits, for another limit: by the one who has waited longest.
    pub(super) ready: BTreeMap<Ticket, GroupKey>,
    next_ticket: Ticket,
    /// When a connection was last closed because somebody else had waited longer.
    yielded: Option<Instant>,
    /// What is paused.
    gate: Gate,
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

/// One who waits; leaves the queue when dropped.
struct Waiting<'p> {
    pool: &'p Arc<Pool>,
    key: GroupKey,
    ticket: Ticket,
    grant: oneshot::Receiver<Grant>,
}

enum Attempt<'p> {
    Granted(Grant),
    /// Close this one and try again.
    Evict(Box<ServerConn>),
    Wait(Waiting<'p>),
}

/// What is to become of a connection that is free.
enum Fate {
    /// Somebody waits for one like this.
    Handed(Ticket),
    Kept,
    Closed,
}

pub(super) fn key_of(identity: &Identity) -> GroupKey {
    (identity.user.clone(), identity.database.clone())
}

fn is_template(database: &str) -> bool {
    matches!(database, "template0" | "template1")
}

// === impl Pool ===

impl Pool {
    pub fn new(target: Target, limits: Limits) -> Arc<Self> {
        let inner = Inner {
            limits,
            groups: HashMap::new(),
            counts: Counts::default(),
            idle: 0,
            ready: BTreeMap::new(),
            next_ticket: 0,
            yielded: None,
            gate: Gate::default(),
        };
        let (servers, logins) = (Servers::default(), Logins::default());
        Arc::new(Pool { target, servers, logins, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New limits hold from now on; connections above them go when they become free.
    pub fn set_limits(self: &Arc<Self>, limits: Limits) {
        let mut inner = self.lock();
        inner.limits = limits;
        let Inner { limits, groups, .. } = &mut *inner;
        for (key, group) in groups {
            group.quota = Quota::of(&limits.config, key);
        }
        inner.sort_all();
        self.grant(inner);
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.lock().limits.connect_timeout
    }

    pub(super) async fn acquire(
        self: &Arc<Self>,
        identity: &Arc<Identity>,
        wait: &mut Wait<'_>,
    ) -> Result<Grant, CheckoutError> {
        let mut waiting = loop {
            match self.try_acquire(identity) {
                Attempt::Granted(Grant::Kept(conn)) if !conn.is_alive() => drop(conn),
                Attempt::Granted(grant) => return Ok(grant),
                // Room is made by dropping it, outside the lock.
                Attempt::Evict(conn) => drop(conn),
                Attempt::Wait(waiting) => break waiting,
            }
        };
        wait.begin();
        let (Limits { queue_timeout, reserve_timeout, .. }, reserve) = {
            let inner = self.lock();
            let reserve = inner.groups.get(&waiting.key).map_or(0, |group| group.quota.reserve);
            (inner.limits.clone(), reserve)
        };
        let limit = queue_timeout.unwrap_or(Duration::MAX);
        let mut rest = limit;
        if reserve > 0 && reserve_timeout < limit {
            if let Ok(Ok(grant)) = tokio::time::timeout(reserve_timeout, &mut waiting.grant).await {
                return Ok(grant);
            }
            if let Some(slot) = self.try_reserve(&waiting) {
                return Ok(Grant::Slot(slot));
            }
            rest = limit - reserve_timeout;
        }
        match tokio::time::timeout(rest, &mut waiting.grant).await {
            Ok(Ok(grant)) => Ok(grant),
            _ => Err(self.timed_out(&waiting, limit)),
        }
    }

    /// A place beyond `default_pool_size`, for one who has waited long enough.
    fn try_reserve(self: &Arc<Self>, waiting: &Waiting<'_>) -> Option<Slot> {
        let inner = &mut *self.lock();
        if inner.gate.holds(&waiting.key.1) || inner.is_full_with_reserve(&waiting.key) {
            return None;
        }
        inner.groups.get_mut(&waiting.key)?.leave(waiting.ticket)?;
        inner.open(&waiting.key);
        inner.sort(&waiting.key);
        Some(Slot::new(self, waiting.key.clone()))
    }

    fn try_acquire(self: &Arc<Self>, identity: &Arc<Identity>) -> Attempt<'_> {
        let key = key_of(identity);
        let inner = &mut *self.lock();
        let paused = inner.gate.holds(&identity.database);
        let group = inner.group(&key);
        if group.waiting() == 0 && !paused {
            if let Some(conn) = group.take(identity) {
                inner.idle -= 1;
                return Attempt::Granted(Grant::Kept(conn));
            }
            if !group.has_room()
                && let Some(conn) = group.take_oldest()
            {
                inner.idle -= 1;
                return Attempt::Evict(conn);
            }
            match inner.full(&key, None) {
                None => {
                    inner.open(&key);
                    return Attempt::Granted(Grant::Slot(Slot::new(self, key)));
                }
                Some(full) => {
                    if let Some(conn) = inner.take_oldest(|other| full.concerns(&key, other)) {
                        return Attempt::Evict(conn);
                    }
                }
            }
        }
        let (ticket, grant) = inner.enter(&key, identity);
        Attempt::Wait(Waiting { pool: self, key, ticket, grant })
    }

    /// Whether `min_pool_size` is set for the database.
    pub(super) fn has_minimum(&self, identity: &Identity) -> bool {
        let inner = self.lock();
        inner.limits.keep
            && !is_template(&identity.database)
            && inner.limits.config.min_pool_size(&identity.database) > 0
    }

    /// A place for one of the connections that `min_pool_size` wants and that
    /// are not there. Nobody's, who waits or might soon, is taken for it.
    pub(super) fn place_of_minimum(self: &Arc<Self>, key: &GroupKey) -> Option<Slot> {
        let inner = &mut *self.lock();
        let quota = Quota::of(&inner.limits.config, key);
        let (open, waiting) = inner.groups.get(key).map_or((0, 0), |group| (group.open, group.waiting()));
        let wanted = open < quota.least.min(quota.group) && waiting == 0;
        let barred = inner.limits.ends || !inner.limits.keep || inner.gate.holds(&key.1);
        if !wanted || barred || !inner.ready.is_empty() || inner.full(key, None).is_some() {
            return None;
        }
        inner.open(key);
        Some(Slot::new(self, key.clone()))
    }

    /// What one is told who has waited in vain.
    fn timed_out(&self, waiting: &Waiting<'_>, waited: Duration) -> CheckoutError {
        let inner = self.lock();
        let group = inner.groups.get(&waiting.key);
        let full = inner.full(&waiting.key, None).unwrap_or(Full::Group);
        CheckoutError::QueueTimeout {
            waited,
            full,
            in_use: inner.count(full, &waiting.key),
            // It is still among them itself.
            waiting: group.map_or(0, |group| group.waiting().saturating_sub(1)),
        }
    }

    /// Takes a quiet connection back: for the first who waits, or to be kept.
    pub(super) fn put_back(&self, conn: Box<ServerConn>) {
        let key = key_of(&conn.identity);
        let mut guard = self.lock();
        let inner = &mut *guard;
        let fate = inner.fate(&key, &conn);
        let Some(group) = inner.groups.get_mut(&key) else {
            return;
        };
        match fate {
            Fate::Handed(ticket) => {
                let waiter = group.leave(ticket);
                inner.sort(&key);
                let refused = waiter.map(|waiter| waiter.grant.send(Grant::Kept(conn)));
                drop(guard);
                drop(refused);
            }
            Fate::Kept => {
                group.keep(conn);
                inner.idle += 1;
            }
            Fate::Closed => {
                // Dropped when the lock is gone: that makes room for another.
                drop(guard);
                drop(conn);
            }
        }
    }

    /// Closes connections that were kept for too long. Called now and then.
    pub fn close_expired(&self) {
        let now = Instant::now();
        let mut inner = self.lock();
        let Limits { life_time, most_age, ends, .. } = inner.limits;
        let unused =
            |conn: &ServerConn| life_time.is_some_and(|most| now.duration_since(conn.idle_since) >= most);
        let old = |conn: &ServerConn| most_age.is_some_and(|most| now.duration_since(conn.since) >= most);
        let expired = inner.take_idle(|more, conn| old(conn) || ((more || ends) && unused(conn)));
        drop(inner);
        // Only now, as it frees places.
        drop(expired);
    }

    /// Frees the places of kept connections that the server has closed.
    pub(super) fn drop_lost(&self) {
        let lost = self.lock().take_idle(|_, conn| !conn.is_alive());
        drop(lost);
    }

    /// Closes every kept connection: its server failed, a database is to be
    /// dropped, or the proxy ends. None is opened before the next client asks.
    pub fn close_idle(&self) {
        self.logins.clear();
        let idle = self.lock().take_idle(|_, _| true);
        drop(idle);
    }

    /// PAUSE: nobody gets a connection to this database, or to any, until
    /// [`Pool::resume`]. Kept ones are closed, others when they come back.
    pub fn pause(&self, database: Option<&str>) {
        let mut inner = self.lock();
        inner.gate.pause(database);
        inner.sort_all();
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
        inner.sort_all();
        self.grant(inner);
        // What was kept for others meanwhile may stand in their way.
        let kept = self.lock().in_the_way();
        drop(kept);
    }

    /// RECONNECT: what is open to this database, or to any, is closed, as soon
    /// as it is free.
    pub fn retire(&self, database: Option<&str>) {
        self.servers.retire(|server| database.is_none_or(|name| *server.database == *name));
        let retired = self.lock().take_idle(|_, conn| conn.meter.server.is_retired());
        // Only now, as it frees places.
        drop(retired);
    }

    /// Connections open (or being opened), kept, and sessions waiting.
    pub fn usage(&self) -> (usize, usize, usize) {
        let inner = self.lock();
        (inner.counts.in_all, inner.idle, inner.groups.values().map(Group::waiting).sum())
    }

    /// Gives free places to those who wait.
    fn grant(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) {
        let mut refused = Vec::new();
        while let Some((ticket, key)) = inner.next_ready(None) {
            inner.ready.remove(&ticket);
            let Some(group) = inner.groups.get_mut(&key) else {
                continue;
            };
            group.ready = None;
            let Some(waiter) = group.leave(ticket) else {
                continue;
            };
            inner.open(&key);
            inner.sort(&key);
            refused.extend(waiter.grant.send(Grant::Slot(Slot::new(self, key))).err());
        }
        // Slots come back here when dropped: not under the lock.
        drop(inner);
        drop(refused);
    }

    fn free(self: &Arc<Self>, key: &GroupKey) {
        let mut inner = self.lock();
        inner.counts.remove(key);
        if let Some(group) = inner.groups.get_mut(key) {
            group.open -= 1;
        }
        inner.sort(key);
        self.grant(inner);
    }
}

// === impl Inner ===

impl Inner {
    fn group(&mut self, key: &GroupKey) -> &mut Group {
        let Inner { groups, limits, .. } = self;
        groups.entry(key.clone()).or_insert_with(|| Group::new(Quota::of(&limits.config, key)))
    }

    /// A connection is about to be opened.
    fn open(&mut self, key: &GroupKey) {
        self.counts.add(key);
        self.group(key).open += 1;
    }

    fn enter(&mut self, key: &GroupKey, identity: &Arc<Identity>) -> (Ticket, oneshot::Receiver<Grant>) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let grant = self.group(key).enter(ticket, identity);
        self.sort(key);
        (ticket, grant)
    }

    /// Brings `ready` up to date after a change in a group, and forgets the
    /// group if it is empty.
    fn sort(&mut self, key: &GroupKey) {
        let Some(group) = self.groups.get_mut(key) else {
            return;
        };
        let ready = group.first().filter(|_| group.has_room() && !self.gate.holds(&key.1));
        if ready != group.ready {
            if let Some(before) = group.ready {
                self.ready.remove(&before);
            }
            if let Some(ticket) = ready {
                self.ready.insert(ticket, key.clone());
            }
            group.ready = ready;
        }
        if group.is_empty() {
            self.groups.remove(key);
        }
    }

    /// The same after a change that concerns them all.
    fn sort_all(&mut self) {
        let keys: Vec<GroupKey> = self.groups.keys().cloned().collect();
        keys.iter().for_each(|key| self.sort(key));
    }

    /// What becomes of a connection that a session gives back.
    fn fate(&mut self, key: &GroupKey, conn: &ServerConn) -> Fate {
        let Some(group) = self.groups.get(key) else {
            return Fate::Closed;
        };
        let gone = self.gate.holds(&key.1) || conn.meter.server.is_retired();
        if gone || self.is_over(key) || self.limits.is_worn(conn) {
            return Fate::Closed;
        }
        // Who could use its place: one of the group, or of another that then
        // has room.
        let elsewhere = self.next_ready(Some(key));
        let oldest = group.first().into_iter().chain(elsewhere.map(|(ticket, _)| ticket)).min();
        match (group.first_of(&conn.identity), oldest) {
            (Some(next), Some(oldest)) if self.is_overdue(key, next, oldest) => {
                self.yielded = Some(Instant::now());
                Fate::Closed
            }
            (Some(next), _) => Fate::Handed(next),
            (None, Some(_)) => Fate::Closed,
            // What copies a template needs it unused.
            (None, None) if is_template(&conn.identity.database) => Fate::Closed,
            (None, None) if self.limits.keep => Fate::Kept,
            (None, None) => Fate::Closed,
        }
    }

    /// Whether `oldest` must not be passed over by `next`, who is of the group `key`.
    fn is_overdue(&self, key: &GroupKey, next: Ticket, oldest: Ticket) -> bool {
        if next == oldest || self.yielded.is_some_and(|yielded| yielded.elapsed() < PATIENCE) {
            return false;
        }
        let since = |key, ticket| self.groups.get(key).and_then(|group: &Group| group.since(ticket));
        let older = since(key, oldest).or_else(|| since(self.ready.get(&oldest)?, oldest));
        match (since(key, next), older) {
            (Some(next), Some(oldest)) => next.saturating_duration_since(oldest) > PATIENCE,
            _ => false,
        }
    }

    /// The connection of these groups that has not been used for the longest time.
    fn take_oldest(&mut self, whose: impl Fn(&GroupKey) -> bool) -> Option<Box<ServerConn>> {
        if self.idle == 0 {
            return None;
        }
        let groups = self.groups.iter_mut().filter(|(key, _)| whose(key));
        let groups = groups.filter_map(|(_, group)| Some((group.idle_since()?, group)));
        let conn = groups.min_by_key(|(since, _)| *since)?.1.take_oldest();
        self.idle -= usize::from(conn.is_some());
        conn
    }

    /// Kept connections in the place of which those who wait could have theirs.
    fn in_the_way(&mut self) -> Vec<Box<ServerConn>> {
        let ready: Vec<GroupKey> = self.ready.values().cloned().collect();
        let mut taken = Vec::new();
        for key in ready {
            let waiting = self.groups.get(&key).map_or(0, Group::waiting);
            if let Some(full) = self.full(&key, None) {
                let those = (0..waiting).map_while(|_| self.take_oldest(|other| full.concerns(&key, other)));
                taken.extend(those);
            }
        }
        taken
    }

    /// Kept connections, to be dropped when the lock is gone.
    /// `predicate` is told whether its group has more than `min_pool_size` with it.
    fn take_idle(&mut self, predicate: impl Fn(bool, &ServerConn) -> bool) -> Vec<Box<ServerConn>> {
        let mut taken = Vec::new();
        for group in self.groups.values_mut() {
            let (mut open, least) = (group.open, group.quota.least);
            taken.extend(group.take_all(|conn| {
                let takes = predicate(open > least, conn);
                open -= usize::from(takes);
                takes
            }));
        }
        self.idle -= taken.len();
        taken
    }
}

// === impl Limits ===

impl Limits {
    /// Whether a connection has done its work.
    fn is_worn(&self, conn: &ServerConn) -> bool {
        self.most_age.is_some_and(|most| conn.since.elapsed() >= most)
            || self.most_uses.is_some_and(|most| conn.uses >= most)
    }
}

// === impl Waiting ===

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut inner = self.pool.lock();
        let left = inner.groups.get_mut(&self.key).and_then(|group| group.leave(self.ticket));
        if left.is_some() {
            return inner.sort(&self.key);
        }
        drop(inner);
        // It was its turn just now: what it does not need is for the next.
        if let Ok(Grant::Kept(conn)) = self.grant.try_recv() {
            self.pool.put_back(conn);
        }
    }
}

// === impl Slot ===

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
