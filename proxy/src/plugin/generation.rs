//! Which plugins are in use, in which order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use wasmtime::component::InstancePre;

use super::contract::SessionInfo;
use super::counters::{Counters, Counts};
use super::error::PluginError;
use super::guest::Guest;
use super::shadow::{Shadow, ShadowInfo};
use super::source::{PluginSource, Role, Roles};

/// Each has memories of its own in every session.
pub const MAX_BALANCERS: usize = 4;
/// Places in a generation are bits of a word.
const MAX_PLUGINS: usize = 64;

/// A plugin that is compiled and linked, ready to be instantiated.
pub(super) struct Plugin {
    pub name: Arc<str>,
    pub source: PluginSource,
    pub roles: Roles,
    /// Its answers may differ from user to user: it can ask who that is.
    pub asks_session: bool,
    /// Of the file, in hexadecimal.
    pub sha256: String,
    pub code: InstancePre<Guest>,
    pub config_json: String,
    pub deadline_ticks: u64,
    /// Shared with all versions of this name.
    pub counters: Arc<Counters>,
    pub record: Record,
}

/// What has become of a plugin since it was published.
#[derive(Default)]
pub(super) struct Record {
    /// Grows with each failure and shrinks with each success, ten times as
    /// slowly: what a plugin does well in one role makes up for little that it
    /// does badly in another.
    debt: AtomicU32,
    /// Counters have other generations' calls in them: how many.
    calls_before: AtomicU64,
}

/// What a failure adds to a plugin's debt; a success takes one away.
const FAILURE: u32 = 10;
/// Five failures in a row, or more than every tenth call.
const MAX_DEBT: u32 = 5 * FAILURE;

/// A plugin with this many calls has proven itself. If it fails later then the
/// statements have changed, not the plugin.
const PROBATION_CALLS: u64 = 1_000;

impl Plugin {
    /// The same, counting elsewhere.
    pub fn with_counters(&self, counters: Arc<Counters>) -> Self {
        Plugin {
            name: Arc::clone(&self.name),
            source: self.source.clone(),
            sha256: self.sha256.clone(),
            code: self.code.clone(),
            config_json: self.config_json.clone(),
            counters,
            record: Record::default(),
            ..*self
        }
    }

    /// It comes into use; its probation begins.
    pub fn begin_probation(&self) {
        self.record.debt.store(0, Relaxed);
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
        let debt = self.record.debt.load(Relaxed);
        if debt != 0 {
            // Another thread's change may be lost: it need not be exact.
            self.record.debt.store(debt - 1, Relaxed);
        }
    }

    /// Whether it has failed too often.
    pub fn note_failure(&self) -> bool {
        self.record.debt.fetch_add(FAILURE, Relaxed) + FAILURE >= MAX_DEBT
    }
}

/// A plugin that somebody asks about.
#[derive(Clone, Debug)]
pub struct PluginInfo {
    pub source: PluginSource,
    pub roles: Roles,
    /// Of the file, in hexadecimal.
    pub sha256: String,
    pub state: State,
    pub counts: Counts,
    pub shadow: Option<ShadowInfo>,
    /// There is a version to go back to.
    pub earlier: Option<String>,
    /// The digest of the version that waits to be put into use.
    pub candidate: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In use, since this generation.
    Active(u64),
    Disabled,
    /// It has only been pushed.
    New,
}

/// Who changes something, and why.
#[derive(Clone, Debug)]
pub struct By {
    pub who: String,
    pub why: String,
}

impl By {
    pub fn new(who: impl Into<String>, why: impl Into<String>) -> Self {
        By { who: who.into(), why: why.into() }
    }
}

/// What was done with a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Start,
    Swap,
    Rollback,
    /// Rolled back by itself, after failures.
    GiveUp,
    Disable,
    Enable,
    /// It is no longer in the configuration.
    Remove,
    Shadow,
    EndShadow,
}

impl std::fmt::Display for Action {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Action::Start => "start",
            Action::Swap => "swap",
            Action::Rollback => "rollback",
            Action::GiveUp => "automatic rollback",
            Action::Disable => "disable",
            Action::Enable => "enable",
            Action::Remove => "remove",
            Action::Shadow => "shadow",
            Action::EndShadow => "end of shadow",
        })
    }
}

/// One line of the history.
#[derive(Clone, Debug)]
pub struct Change {
    pub generation: u64,
    pub plugin: Arc<str>,
    pub action: Action,
    /// Of the version that came into use, or went out of it.
    pub sha256: String,
    pub when: SystemTime,
    pub by: By,
}

/// A plugin's place in a generation.
#[derive(Clone)]
pub(super) struct Member {
    pub plugin: Arc<Plugin>,
    /// The generation that brought it.
    pub since: u64,
    pub shadow: Option<Arc<Shadow>>,
}

/// The plugins in use, in the order of the chains. Never changed: a swap
/// publishes another one.
#[derive(Clone)]
pub(super) struct Generation {
    pub number: u64,
    pub members: Vec<Member>,
}

impl Generation {
    /// Checks that every statement finds an answer.
    pub fn new(number: u64, members: Vec<Member>) -> Result<Self, PluginError> {
        for role in [Role::Classifier, Role::Balancer] {
            if !members.iter().any(|member| member.plugin.roles.contains(role)) {
                return Err(PluginError::Missing(role));
            }
        }
        let count = |role| members.iter().filter(|member| member.plugin.roles.contains(role)).count();
        for (role, max) in [
            (Role::Balancer, MAX_BALANCERS),
            (Role::Classifier, MAX_PLUGINS),
            (Role::Rewriter, MAX_PLUGINS),
            (Role::Gate, MAX_PLUGINS),
            (Role::Observer, MAX_PLUGINS),
        ] {
            if count(role) > max || members.len() > MAX_PLUGINS {
                return Err(PluginError::TooMany { role, max });
            }
        }
        Ok(Generation { number, members })
    }

    pub fn place(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| *member.plugin.name == *name)
    }

    pub fn get(&self, name: &str) -> Option<&Member> {
        self.members.get(self.place(name)?)
    }
}

/// The plugins that a session meets, by role, as places in a generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    pub(super) classifiers: Vec<usize>,
    pub(super) rewriters: Vec<usize>,
    pub(super) balancers: Vec<usize>,
    pub(super) gates: Vec<usize>,
    /// Somebody wants to know what it does.
    pub observed: bool,
    /// Answers about texts may differ from user to user.
    pub per_session: bool,
}

impl Chain {
    /// The places of its balancers in the generation.
    pub fn balancers(&self) -> &[usize] {
        &self.balancers
    }

    /// Those who are asked about texts: answers depend on them.
    pub fn texts(&self) -> Vec<usize> {
        self.rewriters.iter().chain(&self.classifiers).copied().collect()
    }

    pub fn has_gates(&self) -> bool {
        !self.gates.is_empty()
    }

    pub(super) fn of(generation: &Generation, session: &SessionInfo) -> Self {
        let mut chain = Chain::default();
        for (place, member) in generation.members.iter().enumerate() {
            let plugin = &member.plugin;
            let entry = &plugin.source.entry;
            if !entry.applies_to(&session.database, &session.user, &session.application_name) {
                continue;
            }
            for role in plugin.roles.iter() {
                match role {
                    Role::Classifier => chain.classifiers.push(place),
                    Role::Rewriter => chain.rewriters.push(place),
                    Role::Balancer => chain.balancers.push(place),
                    Role::Gate => chain.gates.push(place),
                    Role::Observer => chain.observed = true,
                }
            }
            let about_texts =
                plugin.roles.contains(Role::Classifier) || plugin.roles.contains(Role::Rewriter);
            let shadow_asks = member.shadow.as_ref().is_some_and(|shadow| shadow.plugin.asks_session);
            chain.per_session |= about_texts && (plugin.asks_session || shadow_asks);
        }
        chain
    }
}
