//! From a statement's text to the servers that get it.
//!
//! Between sessions, which know no Wasm, and plugins, which know no session:
//! the statement cache, the calls into the plugins, and the last word on
//! whether an answer is safe.

pub mod cache;
mod catalog;
pub mod edit;
pub mod facts;
#[cfg(test)]
mod tests;

use crate::cluster::Cluster;
use crate::config::{self, ClusteringMode, OnError};
use crate::plugin::contract::{
    self, Decision, Depends, Effects, Kind, Node, NodeRole, Plan, Servers, SessionInfo, SessionPlan,
    Transaction, Verdict,
};
use crate::plugin::{FactKey, PluginHost, PluginWorker, Role, Setting, Words};
use crate::protocol::PgError;
use arc_swap::ArcSwap;
use cache::{By, Cache, Key};
use facts::Facts;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use waypool_scan::Shape;

/// Rounds of asking a classifier and looking up what it wants to know.
const FACT_ROUNDS: usize = 3;
/// A longer text is not classified: it goes to the primary.
pub const CLASSIFY_LIMIT: usize = 256 * 1024;

/// A statement as the plugins see it.
#[derive(Debug)]
pub struct Classified {
    verdict: Verdict,
    /// What it is in truth, since a standby refused it.
    corrected: OnceCell<Verdict>,
    pub plan: Plan,
    /// Of the plugins and of the facts: an entry from before does not hold.
    generation: u64,
    epoch: u64,
}

/// A database as one worker knows it.
#[derive(Debug)]
pub struct Database {
    /// Its number within this worker.
    pub number: u32,
    pub name: Arc<str>,
    pub facts: Arc<Facts>,
}

/// What the balancer is told of a session.
#[derive(Debug, Clone, Copy)]
pub struct SessionState {
    pub transaction: Transaction,
    pub transaction_memory: u32,
    pub session_memory: u32,
    pub home: u32,
    /// The balancer wants to be told of the end.
    pub tell_end: bool,
    /// Of the balancer whose memories these are.
    pub generation: u64,
}

/// Where a statement goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Whatever server this is, it can be read from.
    Read(usize),
    Primary,
    /// The primary, and the session's other servers too; this one is among
    /// them even if the session has not used it yet.
    All {
        home: Option<usize>,
    },
}

/// One worker's way to its plugins.
pub struct Router {
    cluster: Arc<Cluster>,
    host: Arc<PluginHost>,
    plugins: PluginWorker,
    /// What the configuration says about each plugin.
    policies: Arc<ArcSwap<config::Plugins>>,
    cache: Cache<Rc<Classified>>,
    shape: Vec<u8>,
    random: fastrand::Rng,
    /// The cluster's epoch that the balancer was told.
    told: Option<u64>,
}

impl Router {
    pub fn new(
        cluster: Arc<Cluster>,
        host: Arc<PluginHost>,
        policies: Arc<ArcSwap<config::Plugins>>,
        cache_bytes: usize,
    ) -> Self {
        Router {
            plugins: PluginWorker::new(host.clone()),
            cluster,
            host,
            policies,
            cache: Cache::new(cache_bytes),
            shape: Vec::new(),
            random: fastrand::Rng::new(),
            told: None,
        }
    }

    /// Looks by exact text, then by shape.
    pub fn lookup(&mut self, text: &[u8], database: &Database) -> Option<Rc<Classified>> {
        let (generation, epoch) = (self.host.generation(), database.facts.epoch());
        let holds = |found: &Rc<Classified>| found.generation == generation && found.epoch == epoch;
        let by_text = Key { database: database.number, by: By::Text, bytes: text };
        if let Some(found) = self.cache.get(by_text).filter(|found| holds(found)) {
            return Some(found.clone());
        }
        self.shape.clear();
        if waypool_scan::shape(text, true, &mut self.shape) == Shape::Exact {
            return None;
        }
        let by_shape = Key { database: database.number, by: By::Shape, bytes: &self.shape };
        let found = self.cache.get(by_shape).filter(|found| holds(found))?.clone();
        if self.cache.seen_before(by_text) {
            self.cache.insert(by_text, found.clone(), 0);
        }
        Some(found)
    }

    /// Whether an answer made earlier still holds.
    pub fn holds(&self, classified: &Classified, database: &Database) -> bool {
        classified.generation == self.host.generation() && classified.epoch == database.facts.epoch()
    }

    /// Asks the plugins once. `Err`: facts must be looked up first.
    fn ask(&mut self, text: &str, database: &Database) -> Result<Asked, PgError> {
        let epoch = database.facts.epoch();
        // Read before the call: a swap during it makes the answer outdated.
        let generation = self.host.generation();
        let classified = match self.plugins.classify(text, &database.name, &*database.facts) {
            Ok(classified) => classified,
            Err(error) => {
                let verdict = self.on_error(Role::Classifier, &error.to_string())?;
                return Ok(Asked { classified: uncached(verdict), missing: Vec::new(), keep: false });
            }
        };
        let mut missing = classified.missing;
        let plan = match self.plugins.rewrite(text, &database.name, &*database.facts) {
            Ok(rewritten) => {
                missing.extend(rewritten.missing);
                rewritten.plan
            }
            Err(error) => {
                self.on_error(Role::Rewriter, &error.to_string())?;
                Plan::Keep
            }
        };
        let keep = missing.is_empty() && classified.verdict.depends != Depends::Moment;
        let classified =
            Classified { verdict: classified.verdict, corrected: OnceCell::new(), plan, generation, epoch };
        Ok(Asked { classified, missing, keep })
    }

    fn keep(&mut self, text: &[u8], database: &Database, classified: &Rc<Classified>) {
        let verdict = &classified.verdict;
        let names = verdict.reads.iter().chain(&verdict.writes).chain(&verdict.functions);
        let cost = names.map(|name| name.len() + 24).sum::<usize>() + verdict.reason.len() + 128;
        // A plan of edits names places in the text, so it holds for this text only.
        let by_shape = verdict.depends == Depends::Shape && matches!(classified.plan, Plan::Keep);
        self.shape.clear();
        if by_shape && waypool_scan::shape(text, true, &mut self.shape) != Shape::Exact {
            let key = Key { database: database.number, by: By::Shape, bytes: &self.shape };
            self.cache.insert(key, classified.clone(), cost);
        } else {
            let key = Key { database: database.number, by: By::Text, bytes: text };
            self.cache.insert(key, classified.clone(), cost);
        }
    }

    /// The plugin failed: what its configuration says about that.
    fn on_error(&self, role: Role, why: &str) -> Result<Verdict, PgError> {
        let policies = self.policies.load();
        let policy = match role {
            Role::Classifier => &policies.classify,
            Role::Balancer => &policies.balance,
            Role::Rewriter => &policies.rewrite,
        };
        match policy.on_error {
            OnError::Primary => Ok(Verdict::conservative(format!("plugin failed: {why}"))),
            OnError::Reject => Err(PgError::error("38000", format!("a plugin failed: {why}")).with_hint(
                "on_error = \"primary\" in waypool.toml would send the statement to the primary instead.",
            )),
        }
    }

    /// Tells the balancer of the servers, if it does not know yet.
    fn tell_topology(&mut self) {
        let now = self.cluster.epoch();
        if self.told == Some(now) {
            return;
        }
        self.told = Some(now);
        let nodes: Vec<Node> = self
            .cluster
            .backends
            .iter()
            .map(|backend| Node {
                id: backend.id as u32,
                role: match self.cluster.primary() {
                    Some(primary) if primary.id == backend.id => NodeRole::Primary,
                    _ => NodeRole::Standby,
                },
                // In raw mode the others wait until they are needed.
                usable: backend.is_usable()
                    && (self.cluster.mode != ClusteringMode::Raw || self.cluster.is_primary(backend.id)),
                delayed: backend.is_delayed(),
                weight: backend.weight(),
                lag_bytes: backend.lag(),
                lag_micros: backend.lag_micros(),
            })
            .collect();
        if let Err(error) = self.plugins.set_topology(now, &nodes) {
            // Its next instance is told before anything else.
            tracing::warn!("the balancer could not be told of the servers: {error}");
        }
    }

    /// How a new session is treated: above all the server which its reads go to.
    pub fn session_start(&mut self, session: &SessionInfo) -> SessionPlan {
        self.tell_topology();
        let random = self.random.u64(..);
        let primary = self.cluster.primary().map_or(0, |primary| primary.id as u32);
        let words = Words::default();
        let setting = Setting { database: &session.database, verdict: None, words: &words };
        let plan = self.plugins.session_start(session, random, &setting);
        plan.unwrap_or(SessionPlan { home: primary, ..SessionPlan::default() })
    }

    /// The statement or transaction is over of which the balancer asked to be told.
    pub fn ended(&mut self, success: bool, database: &str, words: &Words) {
        let setting = Setting { database, verdict: None, words };
        if let Err(error) = self.plugins.ended(success, &setting) {
            tracing::warn!("the balancer could not be told of the end of a transaction: {error}");
        }
    }

    /// Where a statement would go now, and the balancer's words about it.
    pub fn explain(
        &mut self,
        verdict: &Verdict,
        state: SessionState,
        database: &str,
        words: &Words,
    ) -> Result<(Route, String), PgError> {
        let (route, _) = self.route(verdict, state, database, words)?;
        let setting = Setting { database, verdict: Some(verdict), words };
        let why =
            self.plugins.explain(&setting).map_err(|error| PgError::error("38000", error.to_string()))?;
        Ok((route, why))
    }

    /// Where a statement goes, with the memories as the balancer leaves them.
    pub fn route(
        &mut self,
        verdict: &Verdict,
        state: SessionState,
        database: &str,
        words: &Words,
    ) -> Result<(Route, SessionState), PgError> {
        let Some(state) = self.current(state) else {
            // The balancer was swapped in the middle of a transaction. The new
            // one does not know what the old one remembered of it: until it
            // ends, nothing is balanced.
            let all = verdict.servers == Servers::All;
            return Ok((if all { Route::All { home: None } } else { Route::Primary }, state));
        };
        self.tell_topology();
        let random = self.random.u64(..);
        let statement =
            contract::Statement { kind: verdict.kind, servers: verdict.servers, effects: verdict.effects };
        let told = contract::SessionState {
            transaction: state.transaction,
            transaction_memory: state.transaction_memory,
            session_memory: state.session_memory,
            home: state.home,
            random,
        };
        let setting = Setting { database, verdict: Some(verdict), words };
        let answer = self.plugins.route(statement, told, &setting);
        let decision = match answer {
            Ok(decision) => decision,
            Err(error) => {
                self.on_error(Role::Balancer, &error.to_string())?;
                // What it would have remembered is lost: reads of this
                // transaction stay with the primary.
                let servers = if verdict.servers == Servers::All { Servers::All } else { Servers::Primary };
                Decision {
                    servers,
                    node: state.home,
                    transaction_memory: u32::MAX,
                    session_memory: state.session_memory,
                    tell_end: false,
                }
            }
        };
        let state = SessionState {
            transaction_memory: decision.transaction_memory,
            session_memory: decision.session_memory,
            tell_end: state.tell_end | decision.tell_end,
            ..state
        };
        Ok((self.safe(verdict, &decision), state))
    }

    /// The state for the balancer in use now, without what another one
    /// remembered; `None` in a transaction that began with another one.
    fn current(&self, state: SessionState) -> Option<SessionState> {
        let generation = self.host.generation();
        if state.generation == generation {
            return Some(state);
        }
        if self.host.generation_of(Role::Balancer) <= state.generation {
            // Another role was swapped.
            return Some(SessionState { generation, ..state });
        }
        let idle = state.transaction == Transaction::Idle;
        idle.then_some(SessionState { transaction_memory: 0, session_memory: 0, generation, ..state })
    }

    /// The proxy's last word: nothing that may write or lock goes to a
    /// standby, and nothing at all to a server that cannot be read from.
    fn safe(&self, verdict: &Verdict, decision: &Decision) -> Route {
        let node = decision.node as usize;
        let readable = self.cluster.is_readable(node);
        match decision.servers {
            Servers::Primary => Route::Primary,
            Servers::All => Route::All { home: readable.then_some(node) },
            Servers::Any if self.cluster.is_primary(node) || !readable => Route::Primary,
            Servers::Any => {
                let reads = verdict.servers == Servers::Any
                    && !verdict.effects.intersects(Effects::WRITES | Effects::LOCKS);
                if reads || self.policies.load().balance.allow_writes_on_standby {
                    return Route::Read(node);
                }
                self.host.note_overruled(Role::Balancer);
                Route::Primary
            }
        }
    }
}

struct Asked {
    classified: Classified,
    missing: Vec<FactKey>,
    keep: bool,
}

fn uncached(verdict: Verdict) -> Classified {
    Classified {
        verdict,
        corrected: OnceCell::new(),
        plan: Plan::Keep,
        generation: u64::MAX,
        epoch: u64::MAX,
    }
}

impl Classified {
    pub fn verdict(&self) -> &Verdict {
        self.corrected.get().unwrap_or(&self.verdict)
    }

    /// A standby refused it, as a write for instance: whoever holds this answer,
    /// the cache and prepared statements, takes it for a write from now on.
    pub fn correct(&self) {
        self.corrected.get_or_init(|| Verdict {
            servers: Servers::Primary,
            effects: self.verdict.effects | Effects::WRITES,
            reason: format!("{}, but a standby refused it", self.verdict.reason),
            ..self.verdict.clone()
        });
    }

    /// A statement whose text nobody looked at: too long, or not UTF-8.
    pub fn unseen(reason: &str) -> Rc<Self> {
        Rc::new(uncached(Verdict::conservative(reason)))
    }

    /// A FunctionCall message: it may do anything.
    pub fn function_call() -> Rc<Self> {
        let mut verdict = Verdict::conservative("function call");
        verdict.kind = Kind::Dml;
        Rc::new(uncached(verdict))
    }
}

/// Asks the plugins about a text that the cache does not know, and looks up
/// the facts they want. The router is borrowed between the waits only.
pub async fn classify(
    router: &std::cell::RefCell<Router>,
    text: &[u8],
    database: &Database,
) -> Result<Rc<Classified>, PgError> {
    let Ok(utf8) = std::str::from_utf8(text) else {
        return Ok(Classified::unseen("not valid UTF-8"));
    };
    let mut round = 0;
    loop {
        let asked = router.borrow_mut().ask(utf8, database)?;
        round += 1;
        let more =
            !asked.missing.is_empty() && round < FACT_ROUNDS && database.facts.fetch(&asked.missing).await;
        if more {
            continue;
        }
        let classified = Rc::new(asked.classified);
        if asked.keep {
            router.borrow_mut().keep(text, database, &classified);
        }
        return Ok(classified);
    }
}
