//! One server: where it is, what it is, what was sent to it.

use crate::config;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
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
    /// Too far behind the primary to be read from.
    lagging: AtomicBool,
    /// Bytes of WAL not yet replayed.
    lag: AtomicU64,
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
            lagging: AtomicBool::new(false),
            lag: AtomicU64::new(0),
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

    /// Up, near enough to the primary, and not just failed.
    pub fn is_usable(&self) -> bool {
        self.is_up() && !self.suspected.load(Ordering::Acquire) && !self.lagging.load(Ordering::Acquire)
    }

    pub fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
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
            self.changed_at.store(now(), Ordering::Relaxed);
        }
        changed || cleared
    }

    /// Returns whether the server became, or ceased to be, too far behind.
    pub(super) fn set_lag(&self, bytes: u64, threshold: Option<u64>) -> bool {
        self.lag.store(bytes, Ordering::Relaxed);
        let lagging = threshold.is_some_and(|limit| bytes > limit);
        self.lagging.swap(lagging, Ordering::AcqRel) != lagging
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
