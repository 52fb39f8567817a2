//! The calls that routing makes.

use std::sync::Arc;

use wasmtime::Store;

use super::contract::{Decision, Node, Plan, SessionInfo, SessionPlan, SessionState, Statement, Verdict};
use super::counters::CallCounter;
use super::error::CallError;
use super::exports::{Balancer, Classifier, Exports, Rewriter};
use super::facts::{FactKey, FactSource};
use super::generation::{Generation, Plugin};
use super::guest::Guest;
use super::host::PluginHost;
use super::instance::Instance;
use super::setting::Setting;
use super::source::Role;

/// A classifier's answer.
#[derive(Clone, Debug)]
pub struct Classified {
    pub verdict: Verdict,
    /// Facts that were asked for and not known. If there are any then the
    /// answer is only a careful one: look them up and ask again.
    pub missing: Vec<FactKey>,
    /// The answer is out of date once [`PluginHost::generation_of`] the role is
    /// another.
    pub generation: u64,
}

/// A rewriter's answer.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// It can be carried out on the text.
    pub plan: Plan,
    /// See [`Classified::missing`].
    pub missing: Vec<FactKey>,
    /// See [`Classified::generation`].
    pub generation: u64,
}

/// A worker thread's own instances of the plugins in use.
///
/// Calls are synchronous and short. After an error the plugin has been
/// contained: the next call gets a fresh instance.
pub struct PluginWorker {
    host: Arc<PluginHost>,
    generation: Arc<Generation>,
    classifier: Slot<Classifier>,
    balancer: Slot<Balancer>,
    rewriter: Option<Slot<Rewriter>>,
    topology: Topology,
}

/// What the balancer has been told, or is told when it is first called.
#[derive(Default)]
struct Topology {
    epoch: Option<u64>,
    nodes: Vec<Node>,
}

impl PluginWorker {
    /// Makes no instance yet: the first call does.
    pub fn new(host: Arc<PluginHost>) -> Self {
        let generation = host.current();
        PluginWorker {
            classifier: Slot::new(&generation.classifier),
            balancer: Slot::new(&generation.balancer),
            rewriter: generation.rewriter.as_ref().map(Slot::new),
            generation,
            topology: Topology::default(),
            host,
        }
    }

    pub fn host(&self) -> &Arc<PluginHost> {
        &self.host
    }

    /// What is this message, and which servers may run it?
    pub fn classify(
        &mut self,
        text: &str,
        database: &str,
        facts: &dyn FactSource,
    ) -> Result<Classified, CallError> {
        self.follow_swaps();
        let slot = &mut self.classifier;
        let (verdict, missing) =
            slot.ask(&self.host, facts, |classifier, store| classifier.classify(store, text, database))?;
        let generation = self.generation.since(Role::Classifier);
        Ok(Classified { verdict, missing, generation })
    }

    /// Is the text sent as it is? Without a rewriter, always.
    pub fn rewrite(
        &mut self,
        text: &str,
        database: &str,
        facts: &dyn FactSource,
    ) -> Result<Rewritten, CallError> {
        self.follow_swaps();
        let generation = self.generation.since(Role::Rewriter);
        let Some(slot) = &mut self.rewriter else {
            return Ok(Rewritten { plan: Plan::Keep, missing: Vec::new(), generation });
        };
        let (plan, missing) =
            slot.ask(&self.host, facts, |rewriter, store| rewriter.rewrite(store, text, database))?;
        Ok(Rewritten { plan, missing, generation })
    }

    /// Tells the balancer of the servers, if `epoch` is another than the last
    /// time; a new instance is told by itself. Cheap enough to call before
    /// every statement.
    pub fn set_topology(&mut self, epoch: u64, nodes: &[Node]) -> Result<(), CallError> {
        if self.topology.epoch == Some(epoch) {
            return Ok(());
        }
        self.topology.epoch = Some(epoch);
        self.topology.nodes.clear();
        self.topology.nodes.extend_from_slice(nodes);
        self.follow_swaps();
        if !self.balancer.is_alive() {
            return Ok(());
        }
        self.balancer.run(
            &self.host,
            |_, _| Ok(()),
            |instance| instance.call(|balancer, store| balancer.topology(store, nodes)),
        )
    }

    /// How a new session is treated.
    pub fn session_start(
        &mut self,
        session: &SessionInfo,
        random: u64,
        setting: &Setting,
    ) -> Result<SessionPlan, CallError> {
        self.follow_swaps();
        self.call_balancer(setting, |balancer, store| balancer.session_start(store, session, random))
    }

    /// Where one statement goes. Called for every statement.
    #[inline]
    pub fn route(
        &mut self,
        statement: Statement,
        state: SessionState,
        setting: &Setting,
    ) -> Result<Decision, CallError> {
        self.follow_swaps();
        self.call_balancer(setting, |balancer, store| balancer.route(store, statement, state))
    }

    /// A decision asked to be told.
    pub fn ended(&mut self, success: bool, setting: &Setting) -> Result<(), CallError> {
        self.follow_swaps();
        self.call_balancer(setting, |balancer, store| balancer.ended(store, success))
    }

    /// Why the last route is as it is, for people.
    pub fn explain(&mut self, setting: &Setting) -> Result<String, CallError> {
        self.call_balancer(setting, |balancer, store| balancer.explain(store))
    }

    #[inline]
    fn call_balancer<R>(
        &mut self,
        setting: &Setting,
        call: impl FnOnce(&Balancer, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let nodes = &self.topology.nodes;
        let tell = |balancer: &Balancer, store: &mut Store<Guest>| balancer.topology(store, nodes);
        self.balancer.run(&self.host, tell, |instance| instance.call_with_setting(setting, call))
    }

    /// Takes over what has been swapped since the last call.
    #[inline]
    fn follow_swaps(&mut self) {
        if self.host.generation() != self.generation.number {
            self.adopt(self.host.current());
        }
    }

    #[cold]
    fn adopt(&mut self, generation: Arc<Generation>) {
        self.classifier.follow(&generation.classifier);
        self.balancer.follow(&generation.balancer);
        match (&mut self.rewriter, &generation.rewriter) {
            (Some(slot), Some(plugin)) => slot.follow(plugin),
            (slot, plugin) => *slot = plugin.as_ref().map(Slot::new),
        }
        self.generation = generation;
    }
}

// === One role's place in a worker ===

struct Slot<X> {
    plugin: Arc<Plugin>,
    /// None before the first call and after a failed one.
    instance: Option<Instance<X>>,
    calls: Arc<CallCounter>,
}

impl<X: Exports> Slot<X> {
    fn new(plugin: &Arc<Plugin>) -> Self {
        Slot { plugin: Arc::clone(plugin), instance: None, calls: plugin.counters.call_counter() }
    }

    fn is_alive(&self) -> bool {
        self.instance.is_some()
    }

    /// Another plugin takes the place, unless it is the same.
    fn follow(&mut self, plugin: &Arc<Plugin>) {
        if Arc::ptr_eq(&self.plugin, plugin) {
            return;
        }
        // A new version of the same plugin goes on counting.
        if !Arc::ptr_eq(&self.plugin.counters, &plugin.counters) {
            self.calls = plugin.counters.call_counter();
        }
        self.plugin = Arc::clone(plugin);
        self.instance = None;
    }

    /// A call with facts, and which of them were missing.
    fn ask<R>(
        &mut self,
        host: &PluginHost,
        facts: &dyn FactSource,
        call: impl FnOnce(&X, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<(R, Vec<FactKey>), CallError> {
        self.run(
            host,
            |_, _| Ok(()),
            |instance| {
                let answer = instance.call_with_facts(facts, call)?;
                Ok((answer, instance.take_missing()))
            },
        )
    }

    /// Every call comes through here: a living instance before, containment
    /// after. `prepare` is for a new instance.
    #[inline]
    fn run<R>(
        &mut self,
        host: &PluginHost,
        prepare: impl FnOnce(&X, &mut Store<Guest>) -> wasmtime::Result<()>,
        call: impl FnOnce(&mut Instance<X>) -> Result<R, CallError>,
    ) -> Result<R, CallError> {
        self.calls.add_one();
        let answer = match &mut self.instance {
            Some(instance) => call(instance),
            None => self.start(prepare).and_then(call),
        };
        match answer {
            Ok(answer) => {
                self.plugin.note_success();
                if self.instance.as_ref().is_some_and(Instance::is_bloated) {
                    self.instance = None;
                }
                Ok(answer)
            }
            Err(error) => {
                self.instance = None;
                host.note_failure(&self.plugin, &error);
                Err(error)
            }
        }
    }

    #[cold]
    fn start(
        &mut self,
        prepare: impl FnOnce(&X, &mut Store<Guest>) -> wasmtime::Result<()>,
    ) -> Result<&mut Instance<X>, CallError> {
        let mut instance =
            Instance::start(&self.plugin).map_err(|error| error.into_call_error(&self.plugin))?;
        instance.call(prepare)?;
        Ok(self.instance.insert(instance))
    }
}
