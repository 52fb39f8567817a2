//! The calls that routing makes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use wasmtime::Store;

use super::about::{About, Words};
use super::contract::{
    Admission, Decision, Depends, Newcomer, Node, Observation, Opinion, Plan, Routing, SessionInfo,
    SessionPlan, SessionState, Statement, Verdict,
};
use super::counters::CallCounter;
use super::decisions::{Decisions, Question};
use super::error::{CallError, Fault};
use super::exports::Exports;
use super::facts::FactKey;
use super::generation::{Chain, Generation, Plugin};
use super::guest::Guest;
use super::host::PluginHost;
use super::instance::{Asked, Instance};
use super::shadow::{Answer, Shadow};
use crate::config::OnError;

/// What the classifiers say of a text, or the rewriters.
#[derive(Clone, Debug)]
pub struct Considered<T> {
    pub answer: T,
    /// How long it may be used again, after all who were asked.
    pub depends: Depends,
    /// Facts that were asked for and not known. If there are any then the
    /// answer is only a careful one: look them up and ask again.
    pub missing: Vec<FactKey>,
}

/// What a balancer says of a statement, and which one of the chain it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// Its place among the chain's balancers.
    pub by: usize,
    pub routing: Routing,
}

/// What the balancers of a chain say of a statement.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Those who want to be told of the end and leave the choice to others, a
    /// bit each.
    pub watching: u8,
    /// `None`: nobody decides. An error comes with the place of its balancer.
    pub said: Result<Option<Routed>, (usize, CallError)>,
}

/// What the balancers are told of the servers, and by which epoch.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    pub epoch: u64,
    pub nodes: Vec<Node>,
}

/// A balancer's memories of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub transaction: u32,
    pub session: u32,
}

/// A worker thread's way to the plugins in use.
pub struct PluginWorker {
    host: Arc<PluginHost>,
    current: Rc<Instances>,
}

impl PluginWorker {
    /// Makes no instance yet: the first call does.
    pub fn new(host: Arc<PluginHost>) -> Self {
        let current = Rc::new(Instances::new(Arc::clone(&host), host.current(), None));
        PluginWorker { host, current }
    }

    pub fn host(&self) -> &Arc<PluginHost> {
        &self.host
    }

    /// The generation in use. What a session keeps of it stays as it is until
    /// the session lets go, whatever is swapped meanwhile.
    #[inline]
    pub fn current(&mut self) -> &Rc<Instances> {
        if self.host.generation() != self.current.generation.number {
            self.adopt();
        }
        &self.current
    }

    #[cold]
    fn adopt(&mut self) {
        let next = Instances::new(Arc::clone(&self.host), self.host.current(), Some(&self.current));
        self.current.rest(&next);
        self.current = Rc::new(next);
    }
}

/// A thread's own instances of the plugins of one generation.
///
/// Calls are synchronous and short. After an error the plugin has been
/// contained: the next call gets a fresh instance.
pub struct Instances {
    host: Arc<PluginHost>,
    generation: Arc<Generation>,
    slots: Vec<Slots>,
}

/// A plugin's place, and its shadow's. Generations which have the plugin in
/// common share its instance.
struct Slots {
    live: Rc<RefCell<Slot>>,
    shadow: Option<(Arc<Shadow>, RefCell<Slot>)>,
}

impl Instances {
    fn new(host: Arc<PluginHost>, generation: Arc<Generation>, before: Option<&Instances>) -> Self {
        let kept = |plugin: &Arc<Plugin>| {
            let slots = before?.slots.iter().map(|slots| &slots.live);
            slots.into_iter().find(|slot| Arc::ptr_eq(&slot.borrow().plugin, plugin)).cloned()
        };
        let slots = generation.members.iter().map(|member| Slots {
            live: kept(&member.plugin).unwrap_or_else(|| Rc::new(RefCell::new(Slot::new(&member.plugin)))),
            shadow: member
                .shadow
                .as_ref()
                .map(|shadow| (Arc::clone(shadow), RefCell::new(Slot::new(&shadow.plugin)))),
        });
        Instances { slots: slots.collect(), host, generation }
    }

    /// Idle sessions may keep a generation for days: they must not keep the
    /// instances too, of which there is room for so many. Whoever still asks
    /// them gets fresh ones.
    fn rest(&self, next: &Instances) {
        for slots in &self.slots {
            if !next.slots.iter().any(|kept| Rc::ptr_eq(&kept.live, &slots.live)) {
                slots.live.borrow_mut().instance = None;
            }
            if let Some((_, shadow)) = &slots.shadow {
                shadow.borrow_mut().instance = None;
            }
        }
    }

    /// The number of the generation.
    pub fn number(&self) -> u64 {
        self.generation.number
    }

    /// The bytes that the instances have, by plugin; of those that were called.
    pub fn memory(&self) -> Vec<(String, usize)> {
        let members = self.generation.members.iter().zip(&self.slots);
        let memory = members.filter_map(|(member, slots)| {
            let bytes = slots.live.borrow().instance.as_ref()?.memory();
            Some((member.plugin.name.to_string(), bytes))
        });
        memory.collect()
    }

    /// The plugins for this session.
    pub fn chain(&self, session: &SessionInfo) -> Chain {
        Chain::of(&self.generation, session)
    }

    /// Where a balancer of another generation's chain stands in this one's.
    pub fn same_balancer(&self, chain: &Chain, other: &Instances, place: usize) -> Option<usize> {
        let theirs = &other.generation.members.get(place)?.plugin;
        let is_it = |place: &usize| Arc::ptr_eq(&self.generation.members[*place].plugin, theirs);
        chain.balancers.iter().position(is_it)
    }

    /// Whether this balancer may send writes to a standby.
    pub fn is_trusted(&self, chain: &Chain, balancer: usize) -> bool {
        self.balancer(chain, balancer).is_some_and(|plugin| plugin.source.entry.allow_writes_on_standby)
    }

    /// Routing did something else than this balancer answered.
    pub fn note_overruled(&self, chain: &Chain, balancer: usize) {
        if let Some(plugin) = self.balancer(chain, balancer) {
            plugin.counters.add_overruled();
        }
    }

    /// The names of the classifiers, and of the rewriters.
    pub fn text_names(&self, chain: &Chain) -> [Vec<&str>; 2] {
        let name = |place: &usize| &*self.generation.members[*place].plugin.name;
        [&chain.classifiers, &chain.rewriters].map(|places| places.iter().map(name).collect())
    }

    /// A rewriter that wants to see every statement.
    pub fn insists(&self, chain: &Chain) -> Option<&str> {
        let plugins = chain.rewriters.iter().map(|place| &self.generation.members[*place].plugin);
        let mut insisting = plugins.filter(|plugin| plugin.source.entry.on_error == OnError::Reject);
        insisting.next().map(|plugin| &*plugin.name)
    }

    /// Its name.
    pub fn balancer_name(&self, chain: &Chain, balancer: usize) -> Arc<str> {
        self.balancer(chain, balancer).map_or_else(|| Arc::from(""), |plugin| Arc::clone(&plugin.name))
    }

    fn balancer(&self, chain: &Chain, balancer: usize) -> Option<&Arc<Plugin>> {
        let place = chain.balancers.get(balancer)?;
        Some(&self.generation.members.get(*place)?.plugin)
    }

    // === texts ===

    /// What is this message, and which servers may run it?
    pub fn classify(
        &self,
        chain: &Chain,
        text: &str,
        about: &About<'_>,
    ) -> Result<Considered<Verdict>, CallError> {
        let mut asked = Asked::default();
        let facts = about.facts_epoch();
        let mut depends = Depends::Shape;
        let mut refining = Vec::new();
        let mut verdict = None;
        for &place in &chain.classifiers {
            let opinion = self.ask(place, about, &mut asked, "classify", text, |exports, store| {
                exports.classify(store, text, facts)
            })?;
            match opinion {
                Opinion::Pass(so_far) => depends = depends.max(so_far),
                Opinion::Refine => refining.push(place),
                Opinion::Answer(answer) => {
                    verdict = Some(answer);
                    break;
                }
            }
        }
        let mut verdict = verdict.unwrap_or_else(|| Verdict::conservative("no classifier answered"));
        for place in refining.into_iter().rev() {
            depends = depends.max(verdict.depends);
            verdict = self.ask(place, about, &mut asked, "refine", text, |exports, store| {
                exports.refine(store, text, &verdict, facts)
            })?;
        }
        let moment = if asked.time { Depends::Moment } else { Depends::Shape };
        let depends = depends.max(verdict.depends).max(moment);
        Ok(Considered { answer: verdict, depends, missing: asked.missing })
    }

    /// Is the text sent as it is? Each plan is handed to `edit`, which returns
    /// the text for the next rewriter, or `None` if there is none to ask.
    pub fn rewrite(
        &self,
        chain: &Chain,
        text: &str,
        about: &About<'_>,
        mut edit: impl FnMut(Plan) -> Result<Option<String>, String>,
    ) -> Result<Considered<()>, CallError> {
        let mut asked = Asked::default();
        let facts = about.facts_epoch();
        let mut depends = Depends::Shape;
        let mut edited: Option<String> = None;
        for &place in &chain.rewriters {
            let text = edited.as_deref().unwrap_or(text);
            let plan = self.ask(place, about, &mut asked, "rewrite", text, |exports, store| {
                exports.rewrite(store, text, facts)
            })?;
            if let Plan::Keep(so_far) = plan {
                depends = depends.max(so_far);
                continue;
            }
            depends = depends.max(Depends::Text);
            match edit(plan) {
                Ok(Some(next)) => edited = Some(next),
                Ok(None) => break,
                Err(message) => return Err(self.malformed(place, message)),
            }
        }
        let depends = if asked.time { Depends::Moment } else { depends };
        Ok(Considered { answer: (), depends, missing: asked.missing })
    }

    // === balancers ===

    /// How a new session is treated; `None`: nobody says. Each balancer's first
    /// memory goes into `memories`.
    pub fn plan_session(
        &self,
        chain: &Chain,
        topology: &Topology,
        random: u64,
        memories: &mut [Memory],
        about: &About<'_>,
    ) -> Result<Option<SessionPlan>, CallError> {
        let mut whole: Option<SessionPlan> = None;
        for (by, (&place, memory)) in chain.balancers.iter().zip(memories).enumerate() {
            let plan = self.tell_and_call(place, topology, &about.by(by), |exports, store| {
                exports.plan_session(store, about.session, random)
            })?;
            let Some(plan) = plan else {
                continue;
            };
            memory.session = plan.memory;
            // The first one says where it is at home; the next ones what that
            // one left open.
            let SessionPlan { home, memory, .. } = whole.unwrap_or(plan);
            whole = Some(SessionPlan { home, memory, ..plan });
            if plan.read_after.is_some() {
                break;
            }
        }
        Ok(whole)
    }

    /// Where one statement goes. Called for every statement. `memories` are by
    /// place among the balancers.
    #[inline]
    pub fn route(
        &self,
        chain: &Chain,
        topology: &Topology,
        statement: Statement,
        state: SessionState,
        memories: &[Memory],
        about: &About<'_>,
    ) -> Turn {
        let mut watching = 0;
        for (by, (&place, memory)) in chain.balancers.iter().zip(memories).enumerate() {
            let state = SessionState {
                transaction_memory: memory.transaction,
                session_memory: memory.session,
                ..state
            };
            let about = about.by(by);
            let routing = match self.decide(place, topology, statement, state, &about) {
                Ok(routing) => routing,
                Err(error) => return Turn { watching, said: Err((by, error)) },
            };
            if self.slots[place].shadow.is_some() {
                self.shadow_route(place, topology, statement, state, &about, &routing);
            }
            match routing {
                Routing::Pass => {}
                Routing::Watch => watching |= 1 << by,
                routing => return Turn { watching, said: Ok(Some(Routed { by, routing })) },
            }
        }
        Turn { watching, said: Ok(None) }
    }

    /// What one balancer says, or has said of the same question.
    #[inline]
    fn decide(
        &self,
        place: usize,
        topology: &Topology,
        statement: Statement,
        state: SessionState,
        about: &About<'_>,
    ) -> Result<Routing, CallError> {
        let question = Question::new(statement, &state);
        if let Some(question) = &question
            && let Some(decision) = self.slots[place].live.borrow().decided(topology, question)
        {
            return Ok(Routing::To(decision));
        }
        let routing = self
            .tell_and_call(place, topology, about, |exports, store| exports.route(store, statement, state))?;
        if let (Some(question), Routing::To(decision)) = (question, &routing) {
            self.slots[place].live.borrow_mut().keep(question, decision);
        }
        Ok(routing)
    }

    /// The next `route` is a call in any case, and `explain` is about that.
    pub fn ask_anew(&self, chain: &Chain) {
        for &place in &chain.balancers {
            self.slots[place].live.borrow_mut().decisions.clear();
        }
    }

    #[cold]
    fn shadow_route(
        &self,
        place: usize,
        topology: &Topology,
        statement: Statement,
        state: SessionState,
        about: &About<'_>,
        live: &Routing,
    ) {
        // What the shadow remembers is its own affair.
        let words = about.words.cloned().unwrap_or_default();
        let about = About { words: Some(&words), ..*about };
        let described = || {
            let lists = about.verdict.map(|verdict| {
                format!(" reads {:?}, writes {:?}, tags {:?}", verdict.reads, verdict.writes, verdict.tags)
            });
            format!("{:?}{}", statement.kind, lists.unwrap_or_default())
        };
        self.shadow(place, "route", described, live, |slot| {
            slot.tell(topology, &about)?;
            slot.call(&about, |exports, store| exports.route(store, statement, state)).map(Some)
        });
    }

    /// What a decision of this balancer asked to be told.
    pub fn ended(
        &self,
        chain: &Chain,
        balancer: usize,
        topology: &Topology,
        success: bool,
        about: &About<'_>,
    ) -> Result<(), CallError> {
        let Some(&place) = chain.balancers.get(balancer) else {
            return Ok(());
        };
        self.tell_and_call(place, topology, &about.by(balancer), |exports, store| {
            exports.ended(store, success)
        })
    }

    /// Why the last route is as it is, for people.
    pub fn explain(&self, chain: &Chain, balancer: usize, about: &About<'_>) -> Result<String, CallError> {
        let Some(&place) = chain.balancers.get(balancer) else {
            return Ok(String::new());
        };
        self.call(place, &about.by(balancer), |exports, store| exports.explain(store))
    }

    #[inline]
    fn tell_and_call<R>(
        &self,
        place: usize,
        topology: &Topology,
        about: &About<'_>,
        call: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let slot = &mut *self.slots[place].live.borrow_mut();
        let answer = match slot.tell(topology, about) {
            Ok(()) => slot.call(about, call),
            Err(error) => Err(error),
        };
        answer.inspect_err(|error| self.host.note_failure(&slot.plugin, error))
    }

    // === gates, observers ===

    /// Who comes in, and as whom? Each answer is handed to `take`; `false`: no
    /// other gate is asked.
    pub fn session_start(
        &self,
        chain: &Chain,
        newcomer: &mut Newcomer,
        mut take: impl FnMut(&mut Newcomer, Admission) -> bool,
    ) -> Result<(), CallError> {
        for &place in &chain.gates {
            let session = SessionInfo {
                database: newcomer.database.clone(),
                user: newcomer.user.clone(),
                application_name: newcomer.application_name.clone(),
            };
            let words = Words::default();
            let about = About::session(&session, &words);
            let admission =
                self.call(place, &about, |exports, store| exports.session_start(store, newcomer))?;
            if !take(newcomer, admission) {
                break;
            }
        }
        Ok(())
    }

    /// Tells every observer what it applies to. An observer that fails has
    /// been counted.
    pub fn observe(&self, applies: impl Fn(&crate::config::Plugin) -> Vec<Observation>) {
        let nobody = SessionInfo::default();
        let words = Words::default();
        let about = About::session(&nobody, &words);
        for (place, member) in self.generation.members.iter().enumerate() {
            if !member.plugin.roles.contains(super::Role::Observer) {
                continue;
            }
            let statements = applies(&member.plugin.source.entry);
            if !statements.is_empty() {
                let _ = self.call(place, &about, |exports, store| exports.observe(store, &statements));
            }
        }
    }

    // === every call ===

    #[inline]
    fn call<R>(
        &self,
        place: usize,
        about: &About<'_>,
        call: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let slot = &mut *self.slots[place].live.borrow_mut();
        slot.call(about, call).inspect_err(|error| self.host.note_failure(&slot.plugin, error))
    }

    /// A call about a text, its shadow's too, and what was asked for in it.
    fn ask<R: Answer>(
        &self,
        place: usize,
        about: &About<'_>,
        asked: &mut Asked,
        name: &'static str,
        text: &str,
        call: impl Fn(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let (answer, mut more) = {
            let slot = &mut *self.slots[place].live.borrow_mut();
            let answer = slot.run(|instance| instance.ask(about, &call));
            answer.inspect_err(|error| self.host.note_failure(&slot.plugin, error))?
        };
        asked.time |= more.time;
        // Before the facts are known both answer carefully.
        if more.missing.is_empty() && self.slots[place].shadow.is_some() {
            let missing = &mut more.missing;
            self.shadow(
                place,
                name,
                || text.to_owned(),
                &answer,
                |slot| {
                    let (answer, more) = slot.run(|instance| instance.ask(about, &call))?;
                    // Its answer is only a careful one, too.
                    let known = more.missing.is_empty();
                    missing.extend(more.missing);
                    Ok(known.then_some(answer))
                },
            );
        }
        asked.missing.extend(more.missing);
        Ok(answer)
    }

    #[cold]
    fn shadow<R: Answer>(
        &self,
        place: usize,
        name: &'static str,
        statement: impl FnOnce() -> String,
        live: &R,
        call: impl FnOnce(&mut Slot) -> Result<Option<R>, CallError>,
    ) {
        let Some((shadow, slot)) = &self.slots[place].shadow else {
            return;
        };
        if !shadow.is_asked() {
            return;
        }
        match call(&mut slot.borrow_mut()) {
            Ok(Some(answer)) => shadow.note(name, statement, live, &answer),
            // There is nothing to compare yet.
            Ok(None) => {}
            Err(_) => shadow.note_failure(),
        }
    }

    #[cold]
    fn malformed(&self, place: usize, message: String) -> CallError {
        let plugin = &self.generation.members[place].plugin;
        let error = CallError {
            plugin: Arc::clone(&plugin.name),
            fault: Fault::Malformed,
            message,
            backtrace: String::new(),
            on_error: plugin.source.entry.on_error,
        };
        self.host.note_failure(plugin, &error);
        error
    }
}

// === One plugin's place in a worker ===

struct Slot {
    plugin: Arc<Plugin>,
    /// None before the first call and after a failed one.
    instance: Option<Instance>,
    /// The topology that the instance was told.
    told: Option<u64>,
    /// What it decided since then.
    decisions: Decisions,
    calls: Arc<CallCounter>,
}

impl Slot {
    fn new(plugin: &Arc<Plugin>) -> Self {
        Slot {
            plugin: Arc::clone(plugin),
            instance: None,
            told: None,
            decisions: Decisions::default(),
            calls: plugin.counters.call_counter(),
        }
    }

    #[inline]
    fn decided(&self, topology: &Topology, question: &Question) -> Option<Decision> {
        let holds = self.told == Some(topology.epoch) && self.instance.is_some();
        if holds { self.decisions.get(question) } else { None }
    }

    /// The answer of the call just made, if it says that it holds and has not
    /// looked at what may differ the next time.
    #[inline]
    fn keep(&mut self, question: Question, decision: &Decision) {
        if decision.steady && !decision.tell_end && self.instance.as_ref().is_some_and(|it| !it.asked()) {
            self.decisions.keep(question, *decision);
        }
    }

    /// Tells a balancer of the servers, if it does not know.
    #[inline]
    fn tell(&mut self, topology: &Topology, about: &About<'_>) -> Result<(), CallError> {
        if self.told == Some(topology.epoch) && self.instance.is_some() {
            return Ok(());
        }
        self.call(about, |exports, store| exports.topology(store, &topology.nodes))?;
        self.told = Some(topology.epoch);
        self.decisions.clear();
        Ok(())
    }

    #[inline]
    fn call<R>(
        &mut self,
        about: &About<'_>,
        call: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        self.run(|instance| instance.call(about, call))
    }

    /// Every call comes through here: a living instance before, containment
    /// after.
    #[inline]
    fn run<R>(&mut self, call: impl FnOnce(&mut Instance) -> Result<R, CallError>) -> Result<R, CallError> {
        self.calls.add_one();
        let answer = match &mut self.instance {
            Some(instance) => call(instance),
            None => self.start().and_then(call),
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
                // An error that it returns leaves it whole.
                if error.fault != Fault::Error {
                    self.instance = None;
                }
                Err(error)
            }
        }
    }

    #[cold]
    fn start(&mut self) -> Result<&mut Instance, CallError> {
        self.told = None;
        let instance = Instance::start(&self.plugin).map_err(|error| error.into_call_error(&self.plugin))?;
        Ok(self.instance.insert(instance))
    }
}
