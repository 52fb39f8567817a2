//! With a real plugin, `examples/hostile`, which misbehaves on demand, and with
//! Waypool's own.
#![allow(clippy::unwrap_used)]

mod answers;
mod chains;
mod containment;
mod loading;
mod observing;
mod probation;
mod reloading;
mod shadowing;
mod swapping;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::contract::{
    Decision, Effects, FunctionFact, Kind, Node, NodeRole, Plan, RelationFact, RelationFacts, Routing,
    Servers, SessionInfo, SessionPlan, SessionState, Statement, Transaction, Verdict, Volatility,
};
use super::*;
use crate::config::{self, OnError, Plugins};
use crate::proxy::embedded;

/// What `tools/build-plugins.sh` made.
fn built(file: &str) -> PathBuf {
    let folder = std::env::var_os("WAYPOOL_PLUGINS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins"), PathBuf::from);
    let path = folder.join(file);
    assert!(path.exists(), "{}: run tools/build-plugins.sh first", path.display());
    path
}

// === What plugins there are ===

/// An entry of `[plugins]` with these limits.
fn entry(name: &str, config: &str) -> config::Plugin {
    config::Plugin {
        // Real time: a busy machine must not look like a loop.
        deadline: Duration::from_millis(500),
        memory_limit: 16 << 20,
        on_error: OnError::Reject,
        config: serde_json::from_str(config).unwrap(),
        ..config::Plugin::named(name).unwrap()
    }
}

fn source(entry: config::Plugin, origin: Origin) -> PluginSource {
    PluginSource { entry, origin, rules: Arc::new(configured("").plugins) }
}

/// A configuration with these plugins.
fn configured(plugins: &str) -> config::Config {
    let backend = "[[backend]]\nhostname = \"127.0.0.1\"\nport = 1\n";
    let text = format!("sr_check_user = \"nobody\"\n{backend}{plugins}");
    config::Config::parse(&text, Path::new("test.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The hostile plugin, which has all roles.
fn named(name: &str, config: &str) -> PluginSource {
    source(entry(name, config), Origin::File(built("hostile.wasm")))
}

fn hostile(config: &str) -> PluginSource {
    named("hostile", config)
}

/// Its answers tell this mark.
fn marked(mark: u64) -> PluginSource {
    hostile(&format!(r#"{{"mark":{mark}}}"#))
}

/// Waypool's own, which stand last.
fn own() -> [PluginSource; 3] {
    let own =
        [("classify", embedded::CLASSIFY), ("balance", embedded::BALANCE), ("rewrite", embedded::REWRITE)];
    own.map(|(name, (wasm, precompiled))| source(entry(name, "{}"), Origin::Embedded { wasm, precompiled }))
}

/// These, and behind them Waypool's own.
fn before_own(first: impl IntoIterator<Item = PluginSource>) -> Vec<PluginSource> {
    first.into_iter().chain(own()).collect()
}

/// Compiled once for all tests of a run, and for the next run.
fn options() -> Options {
    let cache =
        std::env::temp_dir().join(format!("waypool-test-code-{}", rustix::process::geteuid().as_raw()));
    Options { workers: 4, code_cache: Some(cache) }
}

fn host_of(sources: Vec<PluginSource>) -> Arc<PluginHost> {
    PluginHost::new(sources, options()).unwrap_or_else(|error| panic!("{error}"))
}

/// The hostile plugin alone, in all roles.
fn host() -> Arc<PluginHost> {
    host_of(vec![marked(1)])
}

fn by() -> By {
    By::new("test", "why not")
}

/// Puts another version into use.
fn swap(host: &PluginHost, source: PluginSource) -> u64 {
    let name = source.name().to_owned();
    host.candidate(source).unwrap_or_else(|error| panic!("{error}"));
    host.swap(&name, &by()).unwrap()
}

fn info(host: &PluginHost, name: &str) -> Option<PluginInfo> {
    host.plugins().into_iter().find(|info| info.source.name() == name)
}

fn counts(host: &PluginHost, name: &str) -> Counts {
    info(host, name).unwrap().counts
}

fn names(host: &PluginHost) -> Vec<String> {
    host.plugins().iter().map(|info| info.source.name().to_owned()).collect()
}

// === Who asks them ===

/// A session, on a worker of its own.
struct Asker {
    worker: PluginWorker,
    who: SessionInfo,
    topology: Topology,
    memories: [Memory; MAX_BALANCERS],
    words: Words,
}

impl Asker {
    fn new(host: &Arc<PluginHost>) -> Self {
        let who = SessionInfo {
            database: "db".to_owned(),
            user: "me".to_owned(),
            application_name: "psql".to_owned(),
        };
        Asker {
            worker: PluginWorker::new(Arc::clone(host)),
            who,
            topology: Topology::default(),
            memories: Default::default(),
            words: Words::default(),
        }
    }

    fn host(&self) -> &Arc<PluginHost> {
        self.worker.host()
    }

    fn plugins(&mut self) -> (Rc<Instances>, Chain) {
        let plugins = Rc::clone(self.worker.current());
        let chain = plugins.chain(&self.who);
        (plugins, chain)
    }

    fn classify(&mut self, text: &str) -> Result<Considered<Verdict>, CallError> {
        self.classify_with(text, &NoFacts)
    }

    fn classify_with(
        &mut self,
        text: &str,
        facts: &dyn FactSource,
    ) -> Result<Considered<Verdict>, CallError> {
        let (plugins, chain) = self.plugins();
        plugins.classify(&chain, text, &About::text(&self.who, facts))
    }

    /// The plans of all rewriters, whose edits are carried out as literals.
    fn rewrite(&mut self, text: &str) -> Result<(Considered<()>, Vec<Plan>), CallError> {
        let (plugins, chain) = self.plugins();
        let mut plans = Vec::new();
        let mut now = text.to_owned();
        let considered = plugins.rewrite(&chain, text, &About::text(&self.who, &NoFacts), |plan| {
            plans.push(plan.clone());
            let Plan::Edit(edits) = plan else { return Ok(None) };
            for edit in edits.iter().rev() {
                let range = edit.start as usize..edit.end as usize;
                now.replace_range(range, &format!("{:?}", edit.value));
            }
            Ok(Some(now.clone()))
        })?;
        Ok((considered, plans))
    }

    /// `random` says what the hostile balancer does; 0 is harmless.
    fn route(&mut self, random: u64) -> Result<Option<Routed>, CallError> {
        self.route_as(&Verdict::conservative(""), random)
    }

    fn route_as(&mut self, verdict: &Verdict, random: u64) -> Result<Option<Routed>, CallError> {
        let routed = self.turn(verdict, random).said.map_err(|(_, error)| error)?;
        if let Some(Routed { by, routing: Routing::To(decision) }) = &routed {
            self.memories[*by] =
                Memory { transaction: decision.transaction_memory, session: decision.session_memory };
        }
        Ok(routed)
    }

    fn turn(&mut self, verdict: &Verdict, random: u64) -> Turn {
        let (plugins, chain) = self.plugins();
        let about = About::statement(&self.who, verdict, &self.words);
        plugins.route(&chain, &self.topology, READ, state(random), &self.memories, &about)
    }

    fn plan_session(&mut self) -> Result<Option<SessionPlan>, CallError> {
        let (plugins, chain) = self.plugins();
        let about = About::session(&self.who, &self.words);
        plugins.plan_session(&chain, &self.topology, 5, &mut self.memories, &about)
    }

    #[track_caller]
    fn decide(&mut self, random: u64) -> Decision {
        match self.route(random).unwrap() {
            Some(Routed { routing: Routing::To(decision), .. }) => decision,
            other => panic!("{other:?}"),
        }
    }

    fn ended(&mut self, success: bool) -> Result<(), CallError> {
        let (plugins, chain) = self.plugins();
        plugins.ended(&chain, 0, &self.topology, success, &About::session(&self.who, &self.words))
    }

    /// A classifier's reason for a harmless statement: "mark M call N".
    fn reason(&mut self) -> String {
        self.classify("harmless").unwrap().answer.reason
    }
}

fn asker() -> Asker {
    Asker::new(&host())
}

fn topology(epoch: u64, count: u32) -> Topology {
    let role = |id| {
        if id == 0 { NodeRole::Primary } else { NodeRole::Standby }
    };
    let node = |id| Node {
        id,
        role: role(id),
        usable: true,
        delayed: false,
        weight: 1.0,
        lag_bytes: 7,
        lag_micros: 0,
    };
    Topology { epoch, nodes: (0..count).map(node).collect() }
}

const READ: Statement = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::NONE };

fn state(random: u64) -> SessionState {
    SessionState {
        transaction: Transaction::Open,
        transaction_memory: 0,
        session_memory: 0,
        home: 5,
        waited_millis: 0,
        random,
    }
}

/// Of a statement with this text, for the hooks that see its tags only.
fn saying(text: &str) -> Verdict {
    Verdict { tags: vec![text.to_owned()], ..Verdict::conservative("") }
}

struct Known;

impl FactSource for Known {
    fn epoch(&self) -> u64 {
        7
    }

    fn function_fact(&self, _: Option<&str>, _: &str) -> FunctionFact {
        FunctionFact::Found(Volatility::Stable)
    }

    fn operator_fact(&self, _: &str) -> FunctionFact {
        FunctionFact::Found(Volatility::Volatile)
    }

    fn relation_fact(&self, _: Option<&str>, _: &str) -> RelationFact {
        RelationFact::Found(RelationFacts::VIEW)
    }
}
