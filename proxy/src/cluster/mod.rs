//! The servers as known now: role, status, lag, and what was sent to them.
//!
//! Sessions read this without a lock and report failures; the monitor
//! ([`monitor`]) asks the servers and writes it.

pub mod backend;
pub mod monitor;
#[cfg(test)]
mod tests;

pub use backend::{Backend, Role};

use crate::config::{ClusteringMode, Config};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

const NO_PRIMARY: usize = usize::MAX;

/// All backends, in the order of the configuration.
#[derive(Debug)]
pub struct Cluster {
    pub backends: Vec<Arc<Backend>>,
    pub mode: ClusteringMode,
    /// Number of the primary (streaming) or main server (raw); or [`NO_PRIMARY`].
    primary: AtomicUsize,
    /// Moves with every change that a balancer should hear of.
    epoch: AtomicU64,
    /// Told after each change.
    pub changed: Notify,
    /// How often the monitors look; a reload changes it.
    timing: ArcSwap<Timing>,
}

/// What the configuration says about looking after servers.
#[derive(Debug, Clone)]
pub struct Timing {
    /// `sr_check_period`
    pub period: Duration,
    /// `health_check_period`: for a server that is down.
    pub retry: Duration,
    /// `connect_timeout`: for one look.
    pub timeout: Duration,
    pub delay_threshold: Option<u64>,
}

impl Timing {
    pub fn of(config: &Config) -> Self {
        Timing {
            period: config.sr_check_period,
            retry: config.health_check_period,
            timeout: config.connect_timeout,
            delay_threshold: config.delay_threshold,
        }
    }
}

impl Cluster {
    pub fn new(config: &Config) -> Self {
        let backends: Vec<_> = config
            .backends
            .iter()
            .enumerate()
            .map(|(id, backend)| Arc::new(Backend::new(id, backend.clone())))
            .collect();
        Cluster {
            backends,
            mode: config.backend_clustering_mode,
            primary: AtomicUsize::new(NO_PRIMARY),
            epoch: AtomicU64::new(1),
            changed: Notify::new(),
            timing: ArcSwap::from_pointee(Timing::of(config)),
        }
    }

    pub fn timing(&self) -> Arc<Timing> {
        self.timing.load_full()
    }

    /// A reload: weights may have changed as well.
    pub fn set_timing(&self, timing: Timing) {
        self.timing.store(Arc::new(timing));
        for backend in &self.backends {
            backend.look.notify_one();
        }
        self.publish();
    }

    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The server that takes writes, whether it answers now or not; `None`
    /// when none was ever found.
    pub fn primary(&self) -> Option<&Arc<Backend>> {
        self.backends.get(self.primary.load(Ordering::Acquire))
    }

    pub fn is_primary(&self, id: usize) -> bool {
        self.primary.load(Ordering::Acquire) == id
    }

    /// Whether reads may be sent to this server.
    pub fn is_readable(&self, id: usize) -> bool {
        self.backends.get(id).is_some_and(|backend| backend.is_usable())
    }

    /// The monitor found something changed.
    pub fn publish(&self) {
        self.elect_primary();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// A session could not reach a server, or lost it. Reads stop going there
    /// at once; the monitor looks whether it is really gone.
    pub fn report_failure(&self, id: usize, why: &str) {
        let Some(backend) = self.backends.get(id) else {
            return;
        };
        if backend.suspect() {
            tracing::warn!(backend = id, address = %backend.address(), "server failed: {why}");
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The primary stays as long as it claims to be one; else the first
    /// server that is up and not in recovery takes its place. A primary that
    /// is down stays the primary until another one appears.
    fn elect_primary(&self) {
        let claims = |backend: &Arc<Backend>| backend.is_up() && backend.role() == Role::Primary;
        let raw_main = || match self.mode {
            ClusteringMode::Raw => self.backends.iter().find(|backend| backend.is_up()),
            ClusteringMode::StreamingReplication => None,
        };
        let found = match self.primary().filter(|backend| claims(backend)) {
            Some(primary) if self.mode == ClusteringMode::StreamingReplication => Some(primary),
            _ => raw_main().or_else(|| self.backends.iter().find(|backend| claims(backend))),
        };
        let Some(found) = found else {
            return;
        };
        let old = self.primary.swap(found.id, Ordering::AcqRel);
        if old != found.id {
            tracing::info!(backend = found.id, address = %found.address(), "this server is the primary");
        }
    }
}
