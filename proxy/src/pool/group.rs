//! The connections of one user to one database: those kept, and those who
//! wait for one.

use super::quota::Quota;
use super::{Identity, ServerConn, queue::Grant};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// The place in the queue of a server, in the order of coming.
pub(super) type Ticket = u64;

#[derive(Debug)]
pub(super) struct Group {
    pub quota: Quota,
    /// Connections open or being opened.
    pub open: usize,
    /// Where it stands among the groups with room and waiters, if it does.
    pub ready: Option<Ticket>,
    /// Who waits, the longest first.
    waiters: BTreeMap<Ticket, Waiter>,
    /// None of them is empty.
    lanes: HashMap<Arc<Identity>, Lane>,
    /// One that became empty, for its memory: where clients share connections
    /// a lane is empty whenever all of them are in use.
    spare: Option<Lane>,
}

/// What belongs to one identity.
#[derive(Debug, Default)]
struct Lane {
    /// Kept connections, the most recently used last.
    idle: VecDeque<Box<ServerConn>>,
    waiters: BTreeSet<Ticket>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    identity: Arc<Identity>,
    pub since: Instant,
    pub grant: oneshot::Sender<Grant>,
}

// === impl Group ===

impl Group {
    pub fn new(quota: Quota) -> Self {
        Group { quota, open: 0, ready: None, waiters: BTreeMap::new(), lanes: HashMap::new(), spare: None }
    }

    /// One connection more is within its own limit.
    pub fn has_room(&self) -> bool {
        self.open < self.quota.group
    }

    /// Nothing is known of it that would be missed.
    pub fn is_empty(&self) -> bool {
        self.open == 0 && self.waiters.is_empty() && self.lanes.is_empty()
    }

    // --- who waits ---

    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Who has waited for the longest time.
    pub fn first(&self) -> Option<Ticket> {
        self.waiters.first_key_value().map(|(ticket, _)| *ticket)
    }

    /// Who has waited for a connection of this identity for the longest time.
    pub fn first_of(&self, identity: &Identity) -> Option<Ticket> {
        self.lanes.get(identity)?.waiters.first().copied()
    }

    pub fn since(&self, ticket: Ticket) -> Option<Instant> {
        self.waiters.get(&ticket).map(|waiter| waiter.since)
    }

    pub fn enter(&mut self, ticket: Ticket, identity: &Arc<Identity>) -> oneshot::Receiver<Grant> {
        let (grant, waiting) = oneshot::channel();
        self.waiters.insert(ticket, Waiter { identity: identity.clone(), since: Instant::now(), grant });
        self.lane(identity).waiters.insert(ticket);
        waiting
    }

    pub fn leave(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        self.in_lane(&waiter.identity, |lane| lane.waiters.remove(&ticket));
        Some(waiter)
    }

    // --- what is kept ---

    pub fn keep(&mut self, conn: Box<ServerConn>) {
        let identity = conn.identity.clone();
        self.lane(&identity).idle.push_back(conn);
    }

    /// The kept connection of this identity that was used last.
    pub fn take(&mut self, identity: &Identity) -> Option<Box<ServerConn>> {
        self.in_lane(identity, |lane| lane.idle.pop_back()).flatten()
    }

    /// Since when its least recently used connection is kept.
    pub fn idle_since(&self) -> Option<Instant> {
        self.lanes.values().filter_map(Lane::idle_since).min()
    }

    /// The kept connection that has not been used for the longest time.
    pub fn take_oldest(&mut self) -> Option<Box<ServerConn>> {
        let of_lanes = self.lanes.iter().filter_map(|(identity, lane)| Some((lane.idle_since()?, identity)));
        let identity = of_lanes.min_by_key(|(since, _)| *since)?.1.clone();
        self.in_lane(&identity, |lane| lane.idle.pop_front()).flatten()
    }

    /// Those kept connections for which `predicate` holds.
    pub fn take_all(&mut self, mut predicate: impl FnMut(&ServerConn) -> bool) -> Vec<Box<ServerConn>> {
        let mut taken = Vec::new();
        for lane in self.lanes.values_mut() {
            for conn in std::mem::take(&mut lane.idle) {
                if predicate(&conn) { taken.push(conn) } else { lane.idle.push_back(conn) }
            }
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
        taken
    }

    fn lane(&mut self, identity: &Arc<Identity>) -> &mut Lane {
        let spare = &mut self.spare;
        self.lanes.entry(identity.clone()).or_insert_with(|| spare.take().unwrap_or_default())
    }

    /// Does something with a lane, and forgets it when it is empty after that.
    fn in_lane<T>(&mut self, identity: &Identity, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let lane = self.lanes.get_mut(identity)?;
        let result = change(lane);
        if lane.is_empty() {
            self.spare = self.lanes.remove(identity);
        }
        Some(result)
    }
}

// === impl Lane ===

impl Lane {
    fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.waiters.is_empty()
    }

    fn idle_since(&self) -> Option<Instant> {
        self.idle.front().map(|conn| conn.idle_since)
    }
}
