//! A plugin's file, in the real host, as a table of statements asks it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use waypool_plugin_table as table;
use waypool_plugin_table::{Question, Subject, World};

use super::examine;
use super::words::{self, Catalog, word};
use crate::config::Config;
use crate::plugin::contract::{
    Admission, Edit, Newcomer, Node, Opinion, Plan, Refusal, Routing, SessionInfo, SessionState, Statement,
    Value, Verdict,
};
use crate::plugin::{
    About, CallError, Options, Own, PluginError, PluginHost, PluginSource, Role, Trial, Words,
};
use crate::proxy;

/// The time where a case says none: the first second of 2025, as natively.
const NOW: u64 = 1_735_689_600_000_000;

pub struct WasmSubject {
    host: Arc<PluginHost>,
    source: PluginSource,
    roles: Vec<table::Role>,
    case: Option<Running>,
}

/// An instance, and what stands around it.
struct Running {
    trial: Trial,
    session: SessionInfo,
    catalog: Catalog,
    words: Words,
    now: u64,
}

impl WasmSubject {
    /// Compiles the file; cases then start in milliseconds. `cache`: a folder
    /// for the compiled code.
    pub fn new(file: &Path, cache: &Path) -> anyhow::Result<Self> {
        let config = Config::parse(examine::CONFIG, "test.toml").map_err(|errors| anyhow!("{errors}"))?;
        let options = Options { workers: 1, code_cache: Some(cache.to_owned()) };
        let host = PluginHost::new(proxy::sources(&config), options)?;
        let source = examine::source(file, &config)?;
        let (roles, _, _) = host.describe(&source)?;
        let roles = roles.iter().map(|role| match role {
            Role::Classifier => table::Role::Classifier,
            Role::Rewriter => table::Role::Rewriter,
            Role::Balancer => table::Role::Balancer,
            Role::Gate => table::Role::Gate,
            Role::Observer => table::Role::Observer,
        });
        Ok(WasmSubject { roles: roles.collect(), host, source, case: None })
    }

    fn running(&mut self) -> Result<&mut Running, String> {
        self.case.as_mut().ok_or_else(|| "nothing was started".to_owned())
    }
}

impl Running {
    fn text<R>(
        &mut self,
        ask: impl FnOnce(&mut Trial, &About<'_>) -> Result<R, CallError>,
    ) -> Result<R, String> {
        let about = About::text(&self.session, &self.catalog).at(self.now);
        ask(&mut self.trial, &about).map_err(|error| error.message)
    }

    fn session<R>(
        &mut self,
        ask: impl FnOnce(&mut Trial, &About<'_>) -> Result<R, CallError>,
    ) -> Result<R, String> {
        let about = About::session(&self.session, &self.words).at(self.now);
        ask(&mut self.trial, &about).map_err(|error| error.message)
    }
}

impl Subject for WasmSubject {
    fn roles(&self) -> Vec<table::Role> {
        self.roles.clone()
    }

    fn start(&mut self, world: &World) -> Result<(), String> {
        self.case = None;
        let mut source = self.source.clone();
        source.entry.config =
            serde_json::from_str(&world.config).map_err(|error| format!("the configuration: {error}"))?;
        let trial = self.host.trial(source).map_err(|error| match error {
            PluginError::Configuration { message, .. } => message,
            other => other.to_string(),
        })?;
        let nodes = world.nodes.iter().map(node).collect::<Result<Vec<_>, _>>()?;
        let mut running = Running {
            trial,
            session: SessionInfo {
                database: world.database.clone(),
                user: world.user.clone(),
                application_name: world.application_name.clone(),
            },
            catalog: Catalog(world.facts.clone()),
            words: Words::default(),
            now: world.now.unwrap_or(NOW),
        };
        if self.roles.contains(&table::Role::Balancer) {
            running.session(|trial, about| trial.topology(&nodes, about))?;
        }
        self.case = Some(running);
        Ok(())
    }

    fn rewrite(&mut self, text: &str) -> Result<table::Plan, String> {
        Ok(match self.running()?.text(|trial, about| trial.rewrite(text, about))? {
            Plan::Keep(depends) => table::Plan::Keep(word(depends)),
            Plan::Reject(refusal) => table::Plan::Reject(told(refusal)),
            Plan::Edit(edits) => table::Plan::Edit(edits.into_iter().map(edit).collect()),
        })
    }

    fn classify(&mut self, text: &str) -> Result<table::Opinion, String> {
        Ok(match self.running()?.text(|trial, about| trial.classify(text, about))? {
            Opinion::Pass(depends) => table::Opinion::Pass(word(depends)),
            Opinion::Answer(verdict) => table::Opinion::Answer(told_verdict(verdict)),
            Opinion::Refine => table::Opinion::Refine,
        })
    }

    fn refine(&mut self, text: &str, behind: &table::Verdict) -> Result<table::Verdict, String> {
        let behind = verdict(behind)?;
        self.running()?.text(|trial, about| trial.refine(text, &behind, about)).map(told_verdict)
    }

    fn plan_session(&mut self, random: u64) -> Result<Option<u32>, String> {
        let plan = self.running()?.session(|trial, about| trial.plan_session(random, about))?;
        Ok(plan.map(|plan| plan.home))
    }

    fn route(&mut self, question: &Question) -> Result<table::Routing, String> {
        let verdict = verdict(&question.verdict)?;
        let statement = Statement { kind: verdict.kind, servers: verdict.servers, effects: verdict.effects };
        let state = SessionState {
            transaction: words::transaction(&question.transaction)?,
            transaction_memory: question.transaction_memory,
            session_memory: question.session_memory,
            home: question.home,
            waited_millis: question.waited_millis,
            random: question.random,
        };
        let Running { trial, session, words, now, .. } = self.running()?;
        let about = About::statement(session, &verdict, words).at(*now);
        let routing = trial.route(statement, state, &about).map_err(|error| error.message)?;
        Ok(match routing {
            Routing::Pass => table::Routing::Pass,
            Routing::Watch => table::Routing::Watch,
            Routing::Wait(millis) => table::Routing::Wait(millis),
            Routing::Refuse(refusal) => table::Routing::Refuse(told(refusal)),
            Routing::To(decision) => table::Routing::To(table::Decision {
                servers: word(decision.servers),
                node: decision.node,
                transaction_memory: decision.transaction_memory,
                session_memory: decision.session_memory,
                tell_end: decision.tell_end,
            }),
        })
    }

    fn session_start(&mut self, newcomer: &table::Newcomer) -> Result<table::Admission, String> {
        let newcomer = Newcomer {
            database: newcomer.database.clone(),
            user: newcomer.user.clone(),
            application_name: newcomer.application_name.clone(),
            address: newcomer.address.clone(),
            tls: newcomer.tls,
        };
        Ok(match self.running()?.session(|trial, about| trial.session_start(&newcomer, about))? {
            Admission::Pass => table::Admission::Pass,
            Admission::Refuse(refusal) => table::Admission::Refuse(told(refusal)),
            Admission::Change(changes) => table::Admission::Change {
                database: changes.database,
                user: changes.user,
                parameters: changes.parameters.into_iter().collect(),
            },
        })
    }

    fn counted(&self) -> BTreeMap<String, f64> {
        let own = self.case.as_ref().map(|running| running.trial.counts().own).unwrap_or_default();
        let number = |own| match own {
            Own::Counter(count) => count as f64,
            Own::Gauge(value) => value,
        };
        own.into_iter().map(|(name, own)| (name, number(own))).collect()
    }
}

// === to the contract's types ===

fn node(node: &table::Node) -> Result<Node, String> {
    Ok(Node {
        id: node.id,
        role: words::node_role(&node.role)?,
        usable: node.usable,
        delayed: node.delayed,
        weight: node.weight,
        lag_bytes: node.lag_bytes,
        lag_micros: node.lag_micros,
    })
}

fn verdict(verdict: &table::Verdict) -> Result<Verdict, String> {
    Ok(Verdict {
        depends: words::depends(&verdict.depends)?,
        kind: words::kind(&verdict.kind)?,
        servers: words::servers(&verdict.servers)?,
        effects: words::effects(&verdict.effects)?,
        name: verdict.name.clone(),
        reads: verdict.reads.clone(),
        writes: verdict.writes.clone(),
        functions: verdict.functions.clone(),
        tags: verdict.tags.clone(),
        reason: verdict.reason.clone(),
    })
}

// === and back ===

fn told_verdict(verdict: Verdict) -> table::Verdict {
    table::Verdict {
        depends: word(verdict.depends),
        kind: word(verdict.kind),
        servers: word(verdict.servers),
        effects: words::effect_words(verdict.effects),
        name: verdict.name,
        reads: verdict.reads,
        writes: verdict.writes,
        functions: verdict.functions,
        tags: verdict.tags,
        reason: verdict.reason,
    }
}

fn told(refusal: Refusal) -> table::Refusal {
    table::Refusal { sqlstate: refusal.sqlstate, message: refusal.message, hint: refusal.hint }
}

fn edit(edit: Edit) -> table::Edit {
    let text = match edit.value {
        Value::Literal(text) => text,
        Value::StatementTimestamp => "{statement_timestamp}".to_owned(),
        Value::TransactionTimestamp => "{transaction_timestamp}".to_owned(),
        Value::Evaluated(evaluation) => format!("{{{}}}", evaluation.expression),
    };
    table::Edit { start: edit.start, end: edit.end, text }
}
