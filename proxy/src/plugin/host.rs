//! Which plugins are in use, and how that changes.

use std::path::PathBuf;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::cache::LazyCache;
use super::counters::Counters;
use super::error::{CallError, PluginError};
use super::exports::{self, Exports};
use super::generation::{Change, Generation, Plugin, PluginInfo, Record};
use super::guest::{self, Guest};
use super::instance::{Instance, StartError};
use super::load::{Loaded, load};
use super::source::{PluginSource, Role};
use super::ticker;

/// Failures in a row after which a new plugin is taken out of use again.
const MAX_FAILURES_IN_A_ROW: u32 = 5;

/// Lines of history that are kept.
const MAX_HISTORY: usize = 100;

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
    /// Whoever changes `current` holds this.
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    earlier: [Option<Earlier>; 3],
    history: Vec<Change>,
}

/// What a role had before its last change.
enum Earlier {
    Plugin(Arc<Plugin>),
    /// No rewriter.
    Nothing,
}

impl PluginHost {
    /// Loads and tries out all plugins. Blocks, for seconds if a large plugin
    /// has to be compiled.
    pub fn new(sources: Vec<PluginSource>, options: Options) -> Result<Arc<Self>, PluginError> {
        let engine = waypool_plugin_engine::engine(instances(options.workers))?;
        let linker = guest::linker(&engine).map_err(waypool_plugin_engine::EngineError::Settings)?;
        let cache = LazyCache::new(options.code_cache);
        let loader = Loader { engine: &engine, linker: &linker, cache: &cache };

        let mut loaded: [Option<Arc<Plugin>>; 3] = [None, None, None];
        for source in &sources {
            let place = &mut loaded[source.role.index()];
            if let Some(first) = place {
                return Err(PluginError::TwoPlugins {
                    role: source.role,
                    first: first.name.to_string(),
                    second: source.name.clone(),
                });
            }
            *place = Some(loader.plugin(source, Arc::default())?);
        }
        let [classifier, balancer, rewriter] = loaded;
        let first = Generation::new(
            classifier.ok_or(PluginError::NoPlugin(Role::Classifier))?,
            balancer.ok_or(PluginError::NoPlugin(Role::Balancer))?,
            rewriter,
        );

        let mut changes = Changes::default();
        for role in Role::ALL {
            changes.note(&first, role, "start");
        }
        ticker::start(&engine).map_err(PluginError::Ticker)?;
        Ok(Arc::new(PluginHost {
            number: AtomicU64::new(first.number),
            current: ArcSwap::from_pointee(first),
            engine,
            linker,
            cache,
            changes: Mutex::new(changes),
        }))
    }

    /// The number of the generation in use. It grows with each change.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.number.load(Acquire)
    }

    /// The generation in which this role last changed: answers of earlier ones
    /// (see [`Classified`](super::Classified)) are out of date.
    pub fn generation_of(&self, role: Role) -> u64 {
        self.current.load().since(role)
    }

    /// The plugins in use, with their counters.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.current.load().infos()
    }

    /// What came into use, when and why; oldest first.
    pub fn history(&self) -> Vec<Change> {
        self.lock().history.clone()
    }

    /// Loads and tries out a plugin without putting it into use. Blocks.
    pub fn check(&self, source: &PluginSource) -> Result<(), PluginError> {
        self.loader().plugin(source, Arc::default()).map(drop)
    }

    /// Puts a plugin into use in place of the one in its role, and returns the
    /// new generation's number.
    ///
    /// Blocks: it is compiled, initialised and tried out first. After an error
    /// everything is as before.
    pub fn swap(&self, source: &PluginSource, why: &str) -> Result<u64, PluginError> {
        let plugin = self.loader().plugin(source, self.counters_for(source))?;
        let mut changes = self.lock();
        let current = self.current.load_full();
        let earlier = Earlier::of(&current, source.role);
        let next = current.with(plugin);
        Ok(self.publish(next, &mut changes, source.role, Some(earlier), why))
    }

    /// Puts back what the role had before its last change. A second time brings
    /// the newer one again.
    pub fn rollback(&self, role: Role, why: &str) -> Result<u64, PluginError> {
        let mut changes = self.lock();
        let current = self.current.load_full();
        let wanted = changes.earlier[role.index()].take();
        let next = wanted.ok_or(PluginError::NothingEarlier(role))?.put_into(&current);
        let earlier = Earlier::of(&current, role);
        Ok(self.publish(next, &mut changes, role, Some(earlier), why))
    }

    /// Takes the rewriter out of use. The other roles cannot be empty.
    pub fn remove(&self, role: Role, why: &str) -> Result<u64, PluginError> {
        if role != Role::Rewriter {
            return Err(PluginError::Indispensable(role));
        }
        let mut changes = self.lock();
        let current = self.current.load_full();
        let earlier = Earlier::of(&current, role);
        Ok(self.publish(current.without_rewriter(), &mut changes, role, Some(earlier), why))
    }

    /// Routing did something else than the plugin of this role answered.
    pub fn note_overruled(&self, role: Role) {
        if let Some(plugin) = self.current.load().get(role) {
            plugin.counters.add_overruled();
        }
    }

    // === for workers ===

    pub(super) fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// A worker's call has failed and the instance is gone.
    #[cold]
    pub(super) fn note_failure(&self, plugin: &Arc<Plugin>, error: &CallError) {
        let failures = plugin.counters.add_fault(error.fault);
        let in_a_row = plugin.note_failure();
        if is_worth_a_line(failures) {
            tracing::error!(
                target: "waypool::plugin",
                plugin = %plugin.name, role = %plugin.role, fault = %error.fault, failures,
                "{}\n{}", error.message, error.backtrace.trim_end(),
            );
        }
        if in_a_row >= MAX_FAILURES_IN_A_ROW && plugin.is_on_probation() {
            self.give_up(plugin, in_a_row);
        }
    }

    /// Goes back to what was before this plugin, if it is still in use and
    /// there is something.
    fn give_up(&self, plugin: &Arc<Plugin>, in_a_row: u32) {
        let role = plugin.role;
        let mut changes = self.lock();
        let current = self.current.load_full();
        if !current.get(role).is_some_and(|used| Arc::ptr_eq(used, plugin)) {
            return;
        }
        let Some(earlier) = changes.earlier[role.index()].take() else {
            return;
        };
        let why = format!("\"{}\" failed {in_a_row} times in a row", plugin.name);
        tracing::error!(target: "waypool::plugin", %role, "going back to the plugin before: {why}");
        // Nothing is kept to go back to: that would be the failing one.
        self.publish(earlier.put_into(&current), &mut changes, role, None, &why);
    }

    // === inside ===

    /// The one place where plugins change hands.
    fn publish(
        &self,
        next: Generation,
        changes: &mut Changes,
        role: Role,
        earlier: Option<Earlier>,
        why: &str,
    ) -> u64 {
        changes.earlier[role.index()] = earlier;
        changes.note(&next, role, why);
        if let Some(plugin) = next.get(role) {
            plugin.begin_probation();
        }
        let number = next.number;
        // The number comes last: who sees it finds the generation too.
        self.current.store(Arc::new(next));
        self.number.store(number, Release);
        tracing::info!(target: "waypool::plugin", generation = number, %role, "{why}");
        number
    }

    fn loader(&self) -> Loader<'_> {
        Loader { engine: &self.engine, linker: &self.linker, cache: &self.cache }
    }

    /// A new version counts on where the old one of the same name stopped.
    fn counters_for(&self, source: &PluginSource) -> Arc<Counters> {
        match self.current.load().get(source.role) {
            Some(old) if *old.name == *source.name => Arc::clone(&old.counters),
            _ => Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Instances alive at a time: each worker has one a role, and some more while
/// plugins are tried out.
fn instances(workers: usize) -> u32 {
    u32::try_from(workers.max(1) * Role::ALL.len() + 16).unwrap_or(u32::MAX)
}

/// The first failures are all logged; then ever fewer, as the counters tell the
/// rest.
fn is_worth_a_line(failures: u64) -> bool {
    failures <= 10 || failures.is_power_of_two() || failures.is_multiple_of(1_000)
}

impl Changes {
    fn note(&mut self, generation: &Generation, role: Role, why: &str) {
        let plugin = generation.get(role);
        if plugin.is_none() && generation.number == 1 {
            return;
        }
        if self.history.len() == MAX_HISTORY {
            self.history.remove(0);
        }
        self.history.push(Change {
            generation: generation.number,
            role,
            name: plugin.map(|plugin| Arc::clone(&plugin.name)),
            sha256: plugin.map(|plugin| plugin.sha256.clone()).unwrap_or_default(),
            when: SystemTime::now(),
            why: why.to_owned(),
        });
    }
}

impl Earlier {
    fn of(generation: &Generation, role: Role) -> Self {
        match generation.get(role) {
            Some(plugin) => Earlier::Plugin(Arc::clone(plugin)),
            None => Earlier::Nothing,
        }
    }

    fn put_into(self, generation: &Generation) -> Generation {
        match self {
            Earlier::Plugin(plugin) => generation.with(plugin),
            // Only a rewriter can have been missing.
            Earlier::Nothing => generation.without_rewriter(),
        }
    }
}

// === From a source to a plugin that has been tried out ===

struct Loader<'h> {
    engine: &'h Engine,
    linker: &'h Linker<Guest>,
    cache: &'h LazyCache,
}

impl Loader<'_> {
    fn plugin(&self, source: &PluginSource, counters: Arc<Counters>) -> Result<Arc<Plugin>, PluginError> {
        let Loaded { component, sha256 } = load(self.engine, self.cache, source)?;
        check_role(self.engine, &component, source)?;
        let code = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| contract(source, format!("{error:#}")))?;
        let plugin = Arc::new(Plugin {
            role: source.role,
            name: Arc::from(source.name.as_str()),
            sha256,
            code,
            config_json: source.config_json.clone(),
            deadline: source.deadline,
            deadline_ticks: ticker::ticks(source.deadline),
            memory_limit: source.memory_limit,
            on_error: source.on_error,
            allow_writes_on_standby: source.allow_writes_on_standby,
            counters,
            record: Record::default(),
        });
        match source.role {
            Role::Classifier => try_out::<exports::Classifier>(&plugin, source)?,
            Role::Balancer => try_out::<exports::Balancer>(&plugin, source)?,
            Role::Rewriter => try_out::<exports::Rewriter>(&plugin, source)?,
        }
        Ok(plugin)
    }
}

/// A missing role is the commonest mistake, and gets a message of its own.
fn check_role(engine: &Engine, component: &Component, source: &PluginSource) -> Result<(), PluginError> {
    let interface = source.role.interface();
    if component.get_export_index(None, interface.as_str()).is_some() {
        return Ok(());
    }
    let component_type = component.component_type();
    let exports: Vec<&str> = component_type.exports(engine).map(|(name, _)| name).collect();
    Err(PluginError::MissingExport {
        name: source.name.clone(),
        origin: source.origin.to_string(),
        role: source.role,
        interface,
        exports: if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") },
    })
}

fn contract(source: &PluginSource, detail: String) -> PluginError {
    PluginError::Contract { name: source.name.clone(), origin: source.origin.to_string(), detail }
}

/// One instance, one call of each export: a plugin that fails here never
/// reaches a client.
fn try_out<X: Exports>(plugin: &Arc<Plugin>, source: &PluginSource) -> Result<(), PluginError> {
    let name = || source.name.clone();
    let origin = || source.origin.to_string();
    let probed =
        Instance::<X>::start(plugin).and_then(|mut instance| instance.probe().map_err(StartError::Failed));
    probed.map_err(|error| match error {
        StartError::Contract(detail) => contract(source, detail),
        StartError::Refused(message) => {
            PluginError::Configuration { name: name(), origin: origin(), message }
        }
        StartError::Failed(error) => PluginError::Probe { name: name(), origin: origin(), error },
    })
}
