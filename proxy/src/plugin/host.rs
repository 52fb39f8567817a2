//! Which plugins are in use, and how that changes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use wasmtime::Engine;
use wasmtime::component::Linker;

use super::cache::LazyCache;
use super::contract::Description;
use super::counters::Counters;
use super::error::{CallError, Fault, PluginError};
use super::generation::{Action, By, Change, Generation, Member, Plugin, PluginInfo, State};
use super::guest::{self, Guest};
use super::load::{self, Loader};
use super::recent::Recent;
use super::shadow::Shadow;
use super::source::{PluginSource, Roles};
use super::ticker;
use crate::config::{OnError, Plugins};

/// Lines of history that are kept.
const MAX_HISTORY: usize = 1000;

/// What the host is built for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Threads that will have a [`PluginWorker`](super::PluginWorker).
    pub workers: usize,
    /// Where compiled plugins are kept. Without it, plugins from files are
    /// compiled at every start.
    pub code_cache: Option<PathBuf>,
}

/// The plugins in use, shared by all threads.
pub struct PluginHost {
    engine: Engine,
    linker: Linker<Guest>,
    cache: LazyCache,
    current: ArcSwap<Generation>,
    /// `current`'s number, for a look without taking hold of it.
    number: AtomicU64,
    /// Texts that clients sent a moment ago, to try new plugins with.
    recent: Recent,
    /// Whoever changes `current` holds this.
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    /// As the configuration has them, with the digest that the file then had.
    configured: Vec<(PluginSource, String)>,
    /// What each name had before its last change.
    earlier: HashMap<Arc<str>, Arc<Plugin>>,
    candidates: HashMap<Arc<str>, Arc<Plugin>>,
    disabled: HashMap<Arc<str>, Arc<Plugin>>,
    /// They outlive the versions of a plugin.
    counters: HashMap<Arc<str>, Arc<Counters>>,
    history: VecDeque<Change>,
}

impl PluginHost {
    /// Loads and tries out all plugins; they stand in the chains as they stand
    /// here. Blocks, for seconds if a large plugin has to be compiled.
    pub fn new(sources: Vec<PluginSource>, options: Options) -> Result<Arc<Self>, PluginError> {
        let (least, wanted) = instances(options.workers, sources.len());
        let (engine, room) = waypool_plugin_engine::engine_within(least, wanted)?;
        if room < wanted {
            tracing::warn!("little address space: room for {room} instances of plugins, not {wanted}");
        }
        // Before anything is tried out: that has to end, too.
        ticker::start(&engine).map_err(PluginError::Ticker)?;
        let linker = guest::linker(&engine).map_err(waypool_plugin_engine::EngineError::Settings)?;
        let cache = LazyCache::new(options.code_cache);
        let recent = Recent::default();
        let mut changes = Changes::default();
        let mut members = Vec::new();
        for source in sources {
            if members.iter().any(|member: &Member| *member.plugin.name == *source.name()) {
                return Err(PluginError::TwoOfAName(source.name().to_owned()));
            }
            let loader = Loader { engine: &engine, linker: &linker, cache: &cache, recent: &recent };
            let plugin = loader.plugin(source.clone(), changes.counters_of(source.name()))?;
            changes.configured.push((source, plugin.sha256.clone()));
            members.push(Member { plugin, since: 1, shadow: None });
        }
        let first = Generation::new(1, members)?;
        for member in &first.members {
            changes.note(1, &member.plugin, Action::Start, &By::new("waypool", "start"));
        }
        Ok(Arc::new(PluginHost {
            number: AtomicU64::new(first.number),
            current: ArcSwap::from_pointee(first),
            engine,
            linker,
            cache,
            recent,
            changes: Mutex::new(changes),
        }))
    }

    /// The number of the generation in use. It grows with each change.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.number.load(Acquire)
    }

    /// All plugins that are known, those in use first and in their order.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        let changes = self.lock();
        let current = self.current.load();
        let mut infos: Vec<_> = current
            .members
            .iter()
            .map(|member| {
                let shadow = member.shadow.as_ref().map(|shadow| shadow.info());
                PluginInfo { shadow, ..changes.info(&member.plugin, State::Active(member.since)) }
            })
            .collect();
        let is_new = |plugin: &&Arc<Plugin>| {
            current.get(&plugin.name).is_none() && !changes.disabled.contains_key(&plugin.name)
        };
        let new = changes.candidates.values().filter(is_new);
        let others: BTreeMap<_, _> = changes
            .disabled
            .values()
            .map(|plugin| (&plugin.name, changes.info(plugin, State::Disabled)))
            .chain(new.map(|plugin| (&plugin.name, changes.info(plugin, State::New))))
            .collect();
        infos.extend(others.into_values());
        infos
    }

    /// What was done with plugins, oldest first.
    pub fn history(&self) -> Vec<Change> {
        self.lock().history.iter().cloned().collect()
    }

    /// Loads and tries out a plugin without putting it into use. Blocks.
    pub fn check(&self, source: &PluginSource) -> Result<(), PluginError> {
        self.loader().plugin(source.clone(), Arc::default()).map(drop)
    }

    /// What a plugin says of itself, whether or not it accepts a configuration.
    pub fn describe(&self, source: &PluginSource) -> Result<(Roles, String, Description), PluginError> {
        self.loader().describe(source)
    }

    /// Loads and tries out a version of a plugin, and keeps it for
    /// [`PluginHost::swap`] and [`PluginHost::shadow`]. Returns its roles and
    /// its digest. Blocks.
    pub fn candidate(&self, source: PluginSource) -> Result<(Roles, String), PluginError> {
        let counters = self.lock().counters_of(source.name());
        let plugin = self.loader().plugin(source, counters)?;
        let told = (plugin.roles, plugin.sha256.clone());
        self.lock().candidates.insert(Arc::clone(&plugin.name), plugin);
        Ok(told)
    }

    /// Puts the candidate of this name into use, and returns the new
    /// generation's number. A plugin whose name is new is asked before
    /// Waypool's own.
    pub fn swap(&self, name: &str, by: &By) -> Result<u64, PluginError> {
        let mut changes = self.lock();
        let candidate = changes.candidates.get(name).cloned();
        let plugin = candidate.ok_or_else(|| PluginError::NoCandidate(name.to_owned()))?;
        let number = self.put(&mut changes, plugin, Action::Swap, by)?;
        changes.candidates.remove(name);
        changes.disabled.remove(name);
        Ok(number)
    }

    /// Puts back what the name had before its last change; a plugin that had
    /// nothing before it goes out of use. A second time brings the newer one
    /// again.
    pub fn rollback(&self, name: &str, by: &By) -> Result<u64, PluginError> {
        let mut changes = self.lock();
        if let Some(plugin) = changes.earlier.get(name).cloned() {
            return self.put(&mut changes, plugin, Action::Rollback, by);
        }
        let current = self.current.load_full();
        let member = current.get(name).filter(|member| changes.may_do_without(&member.plugin));
        let plugin = member.ok_or_else(|| PluginError::NothingEarlier(name.to_owned()))?.plugin.clone();
        let number = self.take_out(&mut changes, name, Action::Rollback, by)?;
        changes.earlier.insert(Arc::clone(&plugin.name), plugin);
        Ok(number)
    }

    /// Takes a plugin out of its chains, until [`PluginHost::enable`].
    pub fn disable(&self, name: &str, by: &By) -> Result<u64, PluginError> {
        self.take_out(&mut self.lock(), name, Action::Disable, by)
    }

    /// Puts a disabled plugin back into its place.
    pub fn enable(&self, name: &str, by: &By) -> Result<u64, PluginError> {
        let mut changes = self.lock();
        let disabled = changes.disabled.get(name).cloned();
        let plugin = disabled.ok_or_else(|| PluginError::NotDisabled(name.to_owned()))?;
        let number = self.put(&mut changes, plugin, Action::Enable, by)?;
        changes.disabled.remove(name);
        Ok(number)
    }

    /// Has the candidate of this name asked as well, for a share of the calls.
    pub fn shadow(&self, name: &str, share: f64, by: &By) -> Result<u64, PluginError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(PluginError::Share(share));
        }
        let mut changes = self.lock();
        let candidate = changes.candidates.get(name).cloned();
        let plugin = candidate.ok_or_else(|| PluginError::NoCandidate(name.to_owned()))?;
        // What it counts and keeps is its own as long as it is a shadow.
        let plugin = Arc::new(plugin.with_counters(Arc::default()));
        self.set_shadow(&mut changes, name, Some(Shadow::new(plugin, share)), by)
    }

    /// Ends [`PluginHost::shadow`].
    pub fn end_shadow(&self, name: &str, by: &By) -> Result<u64, PluginError> {
        self.set_shadow(&mut self.lock(), name, None, by)
    }

    fn set_shadow(
        &self,
        changes: &mut Changes,
        name: &str,
        shadow: Option<Shadow>,
        by: &By,
    ) -> Result<u64, PluginError> {
        let mut next = self.next();
        let is_new = changes.candidates.contains_key(name);
        let place = next.place(name).ok_or_else(|| match is_new {
            true => PluginError::NothingToCompare(name.to_owned()),
            false => PluginError::NoSuchPlugin(name.to_owned()),
        })?;
        let member = &mut next.members[place];
        let action = if shadow.is_some() { Action::Shadow } else { Action::EndShadow };
        let of = shadow.as_ref().map_or(&member.plugin, |shadow| &shadow.plugin);
        changes.note(next.number, of, action, by);
        member.shadow = shadow.map(Arc::new);
        Ok(self.publish(next))
    }

    /// Takes over what a new configuration says: plugins whose entry or file
    /// has changed since the last one are swapped, in one step. A plugin that
    /// was pushed stays, unless its entry or its file has changed too. Blocks;
    /// after an error everything is as before.
    pub fn reload(&self, sources: Vec<PluginSource>, by: &By) -> Result<(), PluginError> {
        let before = self.lock().configured.clone();
        let mut fresh = HashMap::new();
        let mut configured = Vec::new();
        for source in sources {
            let known = before.iter().find(|(old, _)| old.name() == source.name());
            let digest = load::digest(&source);
            let same = known.is_some_and(|(old, old_digest)| {
                old.entry == source.entry && digest.as_ref() == Some(old_digest)
            });
            if let (true, Some(digest)) = (same, digest) {
                configured.push((source, digest));
                continue;
            }
            let counters = self.lock().counters_of(source.name());
            let plugin = self.loader().plugin(source.clone(), counters)?;
            configured.push((source, plugin.sha256.clone()));
            fresh.insert(Arc::clone(&plugin.name), plugin);
        }
        let mut changes = self.lock();
        let current = self.current.load_full();
        let number = current.number + 1;
        let mut members = Vec::new();
        for (source, _) in &configured {
            let name = source.name();
            match (fresh.get(name), current.get(name)) {
                (Some(plugin), _) => {
                    members.push(Member { plugin: Arc::clone(plugin), since: number, shadow: None });
                }
                (None, Some(member)) => members.push(member.clone()),
                // It is disabled.
                (None, None) => {}
            }
        }
        // Plugins that were pushed and are in no configuration stay too.
        let was_configured = |name: &str| before.iter().any(|(old, _)| old.name() == name);
        for member in &current.members {
            let name = &member.plugin.name;
            let stays = members.iter().any(|other: &Member| other.plugin.name == *name);
            if !stays && !was_configured(name) {
                members.insert(first_own(&members), member.clone());
            }
        }
        let next = Generation::new(number, members)?;
        let stays = |name: &str| configured.iter().any(|(new, _)| new.name() == name);
        changes.disabled.retain(|name, _| stays(name) || !was_configured(name));
        changes.configured = configured;
        for plugin in fresh.values() {
            if let Some(member) = current.get(&plugin.name) {
                changes.earlier.insert(Arc::clone(&plugin.name), Arc::clone(&member.plugin));
            }
            changes.disabled.remove(&plugin.name);
            changes.note(number, plugin, Action::Swap, by);
            plugin.begin_probation();
        }
        let gone = current.members.iter().filter(|member| next.place(&member.plugin.name).is_none());
        for member in gone.collect::<Vec<_>>() {
            changes.note(number, &member.plugin, Action::Remove, by);
        }
        let same = next.members.len() == current.members.len()
            && next.members.iter().zip(&current.members).all(|(a, b)| Arc::ptr_eq(&a.plugin, &b.plugin));
        if !same {
            self.publish(next);
        }
        Ok(())
    }

    // === for workers ===

    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// A client sent this, and the cache did not know it.
    pub fn note_text(&self, text: &str) {
        self.recent.note(text);
    }

    /// A worker's call has failed and the instance is gone.
    #[cold]
    pub(super) fn note_failure(&self, plugin: &Arc<Plugin>, error: &CallError) {
        let failures = plugin.counters.add_fault(error.fault);
        // An error that it returns is its opinion of one statement.
        let too_often = error.fault != Fault::Error && plugin.note_failure();
        if is_worth_a_line(failures) {
            tracing::error!(
                target: "waypool::plugin",
                plugin = %plugin.name, fault = %error.fault, failures,
                "{}\n{}", error.message, error.backtrace.trim_end(),
            );
        }
        if too_often && plugin.is_on_probation() {
            self.give_up(plugin, error.fault);
        }
    }

    /// Goes back to what was before this plugin, if it is still in use and
    /// there is something.
    fn give_up(&self, plugin: &Arc<Plugin>, last: Fault) {
        let mut changes = self.lock();
        let current = self.current.load_full();
        if !current.get(&plugin.name).is_some_and(|used| Arc::ptr_eq(&used.plugin, plugin)) {
            return;
        }
        let earlier = changes.earlier.remove(&plugin.name);
        if earlier.is_none() && !changes.may_do_without(plugin) {
            return;
        }
        let by = By::new("waypool", format!("it fails again and again (at last: {last})"));
        tracing::error!(target: "waypool::plugin", plugin = %plugin.name, "going back to what was before: {}", by.why);
        let put = match earlier {
            Some(earlier) => self.put(&mut changes, earlier, Action::GiveUp, &by),
            None => self.take_out(&mut changes, &plugin.name, Action::GiveUp, &by),
        };
        // Nothing is kept to go back to: that would be the failing one.
        changes.earlier.remove(&plugin.name);
        if let Err(error) = put {
            tracing::error!(target: "waypool::plugin", "{error}");
        }
    }

    // === inside ===

    /// A plugin takes its name's place, or one before Waypool's own.
    fn put(
        &self,
        changes: &mut Changes,
        plugin: Arc<Plugin>,
        action: Action,
        by: &By,
    ) -> Result<u64, PluginError> {
        let current = self.current.load_full();
        let number = current.number + 1;
        let mut members = current.members.clone();
        let member = Member { plugin: Arc::clone(&plugin), since: number, shadow: None };
        let mut before = None;
        match current.place(&plugin.name) {
            Some(place) => before = Some(std::mem::replace(&mut members[place], member).plugin),
            None => members.insert(changes.place_for(&plugin.name, &members), member),
        }
        let next = Generation::new(number, members)?;
        match before {
            Some(before) => changes.earlier.insert(Arc::clone(&plugin.name), before),
            None => changes.earlier.remove(&plugin.name),
        };
        changes.disabled.remove(&plugin.name);
        changes.note(number, &plugin, action, by);
        plugin.begin_probation();
        Ok(self.publish(next))
    }

    fn take_out(
        &self,
        changes: &mut Changes,
        name: &str,
        action: Action,
        by: &By,
    ) -> Result<u64, PluginError> {
        let mut next = self.next();
        let place = next.place(name).ok_or_else(|| PluginError::NoSuchPlugin(name.to_owned()))?;
        let plugin = next.members.remove(place).plugin;
        let next = Generation::new(next.number, next.members).map_err(|error| match error {
            PluginError::Missing(role) => PluginError::Indispensable { name: name.to_owned(), role },
            other => other,
        })?;
        changes.note(next.number, &plugin, action, by);
        changes.disabled.insert(Arc::clone(&plugin.name), plugin);
        Ok(self.publish(next))
    }

    fn next(&self) -> Generation {
        let current = self.current.load_full();
        Generation { number: current.number + 1, members: current.members.clone() }
    }

    /// The one place where plugins change hands.
    fn publish(&self, next: Generation) -> u64 {
        let number = next.number;
        // The number comes last: who sees it finds the generation too.
        self.current.store(Arc::new(next));
        self.number.store(number, Release);
        number
    }

    pub(super) fn loader(&self) -> Loader<'_> {
        Loader { engine: &self.engine, linker: &self.linker, cache: &self.cache, recent: &self.recent }
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Instances alive at a time: each worker has one a plugin, twice as many as
/// are configured now. Transactions keep theirs of earlier generations, and
/// some more while plugins are tried out. And how many it cannot do without.
fn instances(workers: usize, plugins: usize) -> (u32, u32) {
    let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
    let workers = workers.max(1);
    (count(workers * plugins + 1), count(workers * (plugins + 8) * 2 + 16))
}

/// The first failures of a kind are all logged; then ever fewer, as the counters tell the
/// rest.
fn is_worth_a_line(failures: u64) -> bool {
    failures <= 10 || failures.is_power_of_two() || failures.is_multiple_of(1_000)
}

/// Where Waypool's own plugins begin.
fn first_own(members: &[Member]) -> usize {
    let own = |member: &Member| Plugins::OWN.contains(&&*member.plugin.name);
    members.iter().position(own).unwrap_or(members.len())
}

impl Changes {
    fn counters_of(&mut self, name: &str) -> Arc<Counters> {
        Arc::clone(self.counters.entry(Arc::from(name)).or_default())
    }

    /// Where a plugin stands that is in no chain now: as the configuration has
    /// it, else before Waypool's own.
    fn place_for(&self, name: &str, members: &[Member]) -> usize {
        let rank = |name: &str| self.configured.iter().position(|(source, _)| source.name() == name);
        let Some(own) = rank(name) else {
            return first_own(members);
        };
        let later = |member: &Member| rank(&member.plugin.name).is_some_and(|rank| rank > own);
        members.iter().position(later).unwrap_or(members.len())
    }

    /// It was swapped in where there had been none before, and statements need
    /// not wait for it.
    fn may_do_without(&self, plugin: &Plugin) -> bool {
        let last = self.history.iter().rev().find(|change| change.plugin == plugin.name);
        let is_new = last.is_some_and(|change| change.action == Action::Swap);
        is_new && plugin.source.entry.on_error == OnError::Primary
    }

    fn info(&self, plugin: &Plugin, state: State) -> PluginInfo {
        let sha256 = |plugin: &Arc<Plugin>| plugin.sha256.clone();
        PluginInfo {
            source: plugin.source.clone(),
            roles: plugin.roles,
            sha256: plugin.sha256.clone(),
            state,
            counts: plugin.counters.counts(),
            shadow: None,
            earlier: self.earlier.get(&plugin.name).map(sha256),
            candidate: self.candidates.get(&plugin.name).map(sha256),
        }
    }

    fn note(&mut self, generation: u64, plugin: &Plugin, action: Action, by: &By) {
        if self.history.len() == MAX_HISTORY {
            self.history.pop_front();
        }
        if action != Action::Start {
            let (name, By { who, why }) = (&plugin.name, by);
            tracing::info!(
                target: "waypool::plugin",
                generation, plugin = %name, sha256 = plugin.sha256, who, "{action}: {why}"
            );
        }
        self.history.push_back(Change {
            generation,
            plugin: Arc::clone(&plugin.name),
            action,
            sha256: plugin.sha256.clone(),
            when: SystemTime::now(),
            by: by.clone(),
        });
    }
}
