//! One server: where it is, what it is, what was sent to it.

use super::delay::Delay;
use crate::config;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Unknown = 0,
    Primary = 1,
    Standby = 2,
}

/// Pgpool-II's words for the status of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Not asked yet.
    Waiting = 0,
    Up = 1,
    Down = 2,
}

/// Statements sent to one server since Waypool started.
#[derive(Debug, Default)]
pub struct Counters {
    pub reads: AtomicU64,
    pub writes: AtomicU64,
}

/// A standby's row in the primary's `pg_stat_replication`.
#[derive(Debug, Clone)]
pub struct Replication {
    pub state: String,
    pub sync_state: String,
    /// `None`: it does not say, or not to us.
    pub replay_lag: Option<Duration>,
}

#[derive(Debug)]
pub struct Backend {
    pub id: usize,
    pub config: config::Backend,
    pub counters: Counters,
    /// `weight`, as bits: a reload changes it.
    weight: AtomicU64,
    role: AtomicU8,
    status: AtomicU8,
    /// A session failed on it and the monitor has not looked since.
    suspected: AtomicBool,
    /// It has missed a write; see [`Detached`](super::Detached).
    detached: AtomicBool,
    /// How far behind the primary.
    delay: Mutex<Delay>,
    /// WAL position up to which the standby was last seen to have replayed.
    replayed: AtomicU64,
    /// As the primary reports it.
    replication: Mutex<Option<Replication>>,
    /// Seconds since 1970 of the last change of status or role.
    changed_at: AtomicU64,
    /// Wakes this server's monitor.
    pub look: Notify,
}

impl Backend {
    pub fn new(id: usize, config: config::Backend) -> Self {
        Backend {
            id,
            weight: AtomicU64::new(config.weight.to_bits()),
            config,
            counters: Counters::default(),
            role: AtomicU8::new(Role::Unknown as u8),
            status: AtomicU8::new(Status::Waiting as u8),
            suspected: AtomicBool::new(false),
            detached: AtomicBool::new(false),
            delay: Mutex::default(),
            replayed: AtomicU64::new(0),
            replication: Mutex::default(),
            changed_at: AtomicU64::new(now()),
            look: Notify::new(),
        }
    }

    pub fn address(&self) -> Address<'_> {
        Address(&self.config)
    }

    /// Share of the reads, relative to the others.
    pub fn weight(&self) -> f64 {
        f64::from_bits(self.weight.load(Ordering::Relaxed))
    }

    pub fn set_weight(&self, weight: f64) {
        self.weight.store(weight.to_bits(), Ordering::Relaxed);
    }

    pub fn role(&self) -> Role {
        match self.role.load(Ordering::Acquire) {
            1 => Role::Primary,
            2 => Role::Standby,
            _ => Role::Unknown,
        }
    }

    pub fn status(&self) -> Status {
        match self.status.load(Ordering::Acquire) {
            1 => Status::Up,
            2 => Status::Down,
            _ => Status::Waiting,
        }
    }

    pub fn is_up(&self) -> bool {
        self.status() == Status::Up
    }

    /// Up, and not just failed.
    pub fn is_usable(&self) -> bool {
        self.is_up() && !self.suspected.load(Ordering::Acquire) && !self.is_detached()
    }

    pub fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Acquire)
    }

    pub(super) fn set_detached(&self) {
        self.detached.store(true, Ordering::Release);
        self.changed_at.store(now(), Ordering::Relaxed);
    }

    /// Further behind the primary than `delay_threshold`: whether it is read
    /// from nevertheless is the balancer's decision.
    pub fn is_delayed(&self) -> bool {
        self.delay().is_delayed()
    }

    /// Everything up to this WAL position is visible on this standby.
    pub fn replayed(&self) -> u64 {
        self.replayed.load(Ordering::Acquire)
    }

    /// The standby said so. It only moves forward, except when the server
    /// comes back, perhaps as a copy of an older moment: see `forget_replayed`.
    pub fn saw_replayed(&self, position: u64) {
        self.replayed.fetch_max(position, Ordering::AcqRel);
    }

    /// How long ago the primary committed what is replayed now; zero only if
    /// nothing is missing.
    pub fn lag_micros(&self) -> u64 {
        u64::try_from(self.lag_time().as_micros()).unwrap_or(u64::MAX)
    }

    pub fn lag_time(&self) -> Duration {
        self.delay().time(Instant::now())
    }

    /// Bytes of WAL not yet replayed.
    pub fn lag(&self) -> u64 {
        self.delay().bytes()
    }

    pub(super) fn delay(&self) -> MutexGuard<'_, Delay> {
        self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody says how far behind it is in time; `None`: nobody does.
    pub(super) fn report_delay(&self, time: Option<Duration>) {
        self.delay().report(time);
    }

    pub fn replication(&self) -> Option<Replication> {
        self.replication.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_replication(&self, replication: Option<Replication>) {
        *self.replication.lock().unwrap_or_else(PoisonError::into_inner) = replication;
    }

    pub fn changed_at(&self) -> u64 {
        self.changed_at.load(Ordering::Relaxed)
    }

    /// Returns whether this is news.
    pub(super) fn suspect(&self) -> bool {
        self.forget_replayed();
        if !self.config.flag.allow_to_failover {
            return false;
        }
        let news = !self.suspected.swap(true, Ordering::AcqRel) && self.is_up();
        self.look.notify_one();
        news
    }

    /// What the monitor found. Returns whether anything changed.
    pub(super) fn set(&self, status: Status, role: Role) -> bool {
        let cleared = self.suspected.swap(false, Ordering::AcqRel);
        // A server that is down keeps the role it had, for people to see.
        let role = if status == Status::Up { role } else { self.role() };
        let changed = self.status.swap(status as u8, Ordering::AcqRel) != status as u8;
        let changed = (self.role.swap(role as u8, Ordering::AcqRel) != role as u8) | changed;
        if changed {
            self.forget_replayed();
            self.changed_at.store(now(), Ordering::Relaxed);
        }
        changed || cleared
    }

    /// It may have been started anew, with less than it had before.
    pub(super) fn forget_replayed(&self) {
        self.replayed.store(0, Ordering::Release);
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A backend's address for people: `127.0.0.1:5432`, `/tmp:5432`.
pub struct Address<'a>(&'a config::Backend);

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.hostname, self.0.port)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Unknown => "unknown",
            Role::Primary => "primary",
            Role::Standby => "standby",
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Waiting => "waiting",
            Status::Up => "up",
            Status::Down => "down",
        })
    }
}
