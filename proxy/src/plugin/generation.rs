//! Which plugins are in use: one loaded plugin for each role.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use wasmtime::component::InstancePre;

use super::counters::{Counters, Counts};
use super::guest::Guest;
use super::source::{OnError, Role};

/// A plugin that is compiled and linked, ready to be instantiated.
pub(super) struct Plugin {
    pub role: Role,
    pub name: Arc<str>,
    /// Of the file, in hexadecimal.
    pub sha256: String,
    pub code: InstancePre<Guest>,
    pub config_json: String,
    pub deadline: Duration,
    pub deadline_ticks: u64,
    pub memory_limit: usize,
    pub on_error: OnError,
    pub allow_writes_on_standby: bool,
    /// Shared with the role's other generations of this name.
    pub counters: Arc<Counters>,
    pub record: Record,
}

/// What has become of a plugin since it was published.
#[derive(Default)]
pub(super) struct Record {
    failures_in_a_row: AtomicU32,
    /// Counters have other generations' calls in them: how many.
    calls_before: AtomicU64,
}

/// A plugin with this many calls has proven itself. If it fails later then the
/// statements have changed, not the plugin.
const PROBATION_CALLS: u64 = 1_000;

impl Plugin {
    /// It comes into use; its probation begins.
    pub fn begin_probation(&self) {
        self.record.failures_in_a_row.store(0, Relaxed);
        self.record.calls_before.store(self.counters.calls(), Relaxed);
    }

    /// It is new, and has not proven itself yet.
    pub fn is_on_probation(&self) -> bool {
        let before = self.record.calls_before.load(Relaxed);
        self.counters.calls().saturating_sub(before) < PROBATION_CALLS
    }

    #[inline]
    pub fn note_success(&self) {
        // Mostly a read, so that threads do not take the cache line from each
        // other.
        if self.record.failures_in_a_row.load(Relaxed) != 0 {
            self.record.failures_in_a_row.store(0, Relaxed);
        }
    }

    /// Returns how many there have been in a row.
    pub fn note_failure(&self) -> u32 {
        self.record.failures_in_a_row.fetch_add(1, Relaxed).saturating_add(1)
    }
}

/// A plugin in use.
#[derive(Clone, Debug)]
pub struct PluginInfo {
    pub role: Role,
    pub name: Arc<str>,
    /// Of the file, in hexadecimal.
    pub sha256: String,
    /// The generation that brought it.
    pub generation: u64,
    pub deadline: Duration,
    pub memory_limit: usize,
    pub on_error: OnError,
    pub allow_writes_on_standby: bool,
    pub counts: Counts,
}

/// One line of the history: what came into use, when and why.
#[derive(Clone, Debug)]
pub struct Change {
    pub generation: u64,
    pub role: Role,
    /// None: the role has no plugin from here on.
    pub name: Option<Arc<str>>,
    pub sha256: String,
    pub when: SystemTime,
    pub why: String,
}

/// The plugins in use. Never changed: a swap publishes another one.
#[derive(Clone)]
pub(super) struct Generation {
    pub number: u64,
    pub classifier: Arc<Plugin>,
    pub balancer: Arc<Plugin>,
    pub rewriter: Option<Arc<Plugin>>,
    /// The generation in which each role last changed.
    since: [u64; 3],
}

impl Generation {
    /// The first one.
    pub fn new(classifier: Arc<Plugin>, balancer: Arc<Plugin>, rewriter: Option<Arc<Plugin>>) -> Self {
        Generation { number: 1, classifier, balancer, rewriter, since: [1; 3] }
    }

    pub fn get(&self, role: Role) -> Option<&Arc<Plugin>> {
        match role {
            Role::Classifier => Some(&self.classifier),
            Role::Balancer => Some(&self.balancer),
            Role::Rewriter => self.rewriter.as_ref(),
        }
    }

    /// The generation in which this role last changed.
    pub fn since(&self, role: Role) -> u64 {
        self.since[role.index()]
    }

    /// The next generation, with this plugin in its role.
    pub fn with(&self, plugin: Arc<Plugin>) -> Self {
        let mut next = self.next(plugin.role);
        match plugin.role {
            Role::Classifier => next.classifier = plugin,
            Role::Balancer => next.balancer = plugin,
            Role::Rewriter => next.rewriter = Some(plugin),
        }
        next
    }

    /// The next generation, without a rewriter.
    pub fn without_rewriter(&self) -> Self {
        Generation { rewriter: None, ..self.next(Role::Rewriter) }
    }

    fn next(&self, changing: Role) -> Self {
        let mut next = self.clone();
        next.number += 1;
        next.since[changing.index()] = next.number;
        next
    }

    pub fn infos(&self) -> Vec<PluginInfo> {
        let plugins = Role::ALL.into_iter().filter_map(|role| self.get(role));
        plugins.map(|plugin| self.info(plugin)).collect()
    }

    fn info(&self, plugin: &Plugin) -> PluginInfo {
        PluginInfo {
            role: plugin.role,
            name: Arc::clone(&plugin.name),
            sha256: plugin.sha256.clone(),
            generation: self.since(plugin.role),
            deadline: plugin.deadline,
            memory_limit: plugin.memory_limit,
            on_error: plugin.on_error,
            allow_writes_on_standby: plugin.allow_writes_on_standby,
            counts: plugin.counters.counts(),
        }
    }
}
