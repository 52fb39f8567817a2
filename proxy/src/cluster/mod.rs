//! The servers as known now: role, status, lag, and what was sent to them.
//!
//! Sessions read this without a lock and report failures; the monitor
//! ([`monitor`]) asks the servers and writes it.

pub mod backend;
pub mod delay;
mod delay_source;
mod detached;
pub mod monitor;
#[cfg(test)]
mod tests;

pub use backend::{Backend, Role};
pub use delay::Threshold;
pub use delay_source::DelaySource;
pub use detached::Detached;

use crate::config::{ClusteringMode, Config, LogStandbyDelay};
use arc_swap::ArcSwap;
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const NO_PRIMARY: usize = usize::MAX;

/// All backends, in the order of the configuration.
#[derive(Debug)]
pub struct Cluster {
    pub backends: Vec<Arc<Backend>>,
    pub mode: ClusteringMode,
    /// Number of the primary (streaming, logical) or main server (raw); or [`NO_PRIMARY`].
    primary: AtomicUsize,
    /// Moves with every change that a balancer should hear of.
    epoch: AtomicU64,
    /// Told after each change.
    pub changed: Notify,
    /// How often the monitors look; a reload changes it.
    timing: ArcSwap<Timing>,
    /// Of native replication.
    detached: OnceLock<Detached>,
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
    /// `delay_threshold` or `delay_threshold_by_time`
    pub threshold: Threshold,
    pub log_standby_delay: LogStandbyDelay,
    /// `replication_delay_source_cmd`
    pub source: Option<DelaySource>,
}

impl Timing {
    pub fn of(config: &Config) -> Self {
        Timing {
            period: config.sr_check_period,
            retry: config.health_check_period,
            timeout: config.connect_timeout,
            threshold: Threshold::of(config),
            log_standby_delay: config.log_standby_delay,
            source: config.replication_delay_source_cmd.as_ref().map(|command| DelaySource {
                command: command.clone(),
                timeout: config.replication_delay_source_timeout,
            }),
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
            detached: OnceLock::new(),
        }
    }

    /// In native replication: which servers are not to be used.
    pub fn remember_detached(&self, config: &Config) -> io::Result<()> {
        if !self.mode.replicates() {
            return Ok(());
        }
        let detached = Detached::open(&config.work_dir, self.backends.len())?;
        for id in detached.servers() {
            self.backends[id].set_detached();
            let file = config.work_dir.join("pgpool_status");
            tracing::warn!(backend = id, "server is detached, says {}", file.display());
        }
        // Set once, as it is made once.
        let _ = self.detached.set(detached);
        Ok(())
    }

    /// A server has missed a write, or differs: it is not used any more until an
    /// operator has made it equal to the others. `false`: it has to stay, as it
    /// is the last one, or must not be detached (DISALLOW_TO_FAILOVER).
    pub fn detach(&self, id: usize, why: &str) -> bool {
        let (Some(backend), Some(detached)) = (self.backends.get(id), self.detached.get()) else {
            return false;
        };
        if backend.is_detached() {
            return true;
        }
        if !backend.config.flag.allow_to_failover {
            return false;
        }
        match detached.add(id) {
            Ok(true) => {}
            // Another session was quicker, or it is the last one.
            Ok(false) => return backend.is_detached(),
            Err(error) => tracing::error!(backend = id, "pgpool_status could not be written: {error}"),
        }
        backend.set_detached();
        tracing::error!(
            backend = id,
            address = %backend.address(),
            "server is detached, and stays so until it is made equal to the others and attached: {why}"
        );
        self.publish();
        true
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

    /// Nobody can be asked: all are up, the first is the primary unless another
    /// has ALWAYS_PRIMARY.
    pub fn assume_up(&self) {
        let always = self.backends.iter().find(|backend| backend.config.flag.always_primary);
        let primary = always.map_or(0, |backend| backend.id);
        for backend in &self.backends {
            let role = if backend.id == primary { Role::Primary } else { Role::Standby };
            backend.set(backend::Status::Up, role);
        }
        self.publish();
    }

    /// The monitor found something changed.
    pub fn publish(&self) {
        self.elect_primary();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// A standby's lag is known anew: is it too far behind? Called when the
    /// standby was looked at, so about once in `sr_check_period`.
    pub(crate) fn judge_delay(&self, standby: &Backend) {
        let (timing, now) = (self.timing(), Instant::now());
        let primary = self.primary().map_or(0, |primary| primary.id);
        let (crossed, news, line, delayed) = {
            let mut delay = standby.delay();
            let crossed = delay.judge(timing.threshold, now);
            let line = delay.line(standby.id, primary, timing.threshold, timing.log_standby_delay, now);
            (crossed, delay.is_news(now), line, delay.is_delayed())
        };
        if let Some(line) = line {
            tracing::info!(backend = standby.id, "{line}");
        }
        if crossed && delayed {
            tracing::info!(backend = standby.id, "standby is delayed: further behind than the threshold");
        } else if crossed {
            tracing::info!(backend = standby.id, "standby has caught up");
        }
        if crossed || news {
            self.publish();
        }
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
    /// is down stays the primary until another one appears. Where servers are
    /// not asked, it is the one that the configuration appoints, else the first
    /// that is up; in raw mode for as long as it is.
    fn elect_primary(&self) {
        let claims = |backend: &Arc<Backend>| backend.is_up() && backend.role() == Role::Primary;
        // One that was not looked at yet may be up: it comes first.
        let first_up = || {
            let first = self.backends.iter().find(|backend| backend.status() != backend::Status::Down);
            first.filter(|backend| backend.is_up())
        };
        let appointed = || self.backends.iter().find(|backend| backend.config.flag.always_primary);
        let found = match self.mode {
            ClusteringMode::StreamingReplication => self
                .primary()
                .filter(|backend| claims(backend))
                .or_else(|| self.backends.iter().find(|backend| claims(backend))),
            ClusteringMode::LogicalReplication => appointed().or_else(first_up),
            // The main server: all have the same data, so the first one that can
            // be used. Before the first look, those that may be.
            ClusteringMode::NativeReplication | ClusteringMode::SnapshotIsolation => {
                let attached = || self.backends.iter().filter(|backend| !backend.is_detached());
                let first = attached().find(|backend| backend.status() != backend::Status::Down);
                first.filter(|backend| backend.is_up())
            }
            // Nobody has copied to the one that comes back what was written meanwhile.
            ClusteringMode::Raw => self.primary().filter(|backend| backend.is_up()).or_else(first_up),
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
