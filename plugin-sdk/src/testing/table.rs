//! A plugin, as plain Rust, for a table of statements.

use std::collections::BTreeMap;
use std::path::Path;

use waypool_plugin_table as table;
pub use waypool_plugin_table::Role;
use waypool_plugin_table::{Facts, Question, Subject, Table, World};

use super::FakeHost;
use super::words::{self, word};
use crate::{
    Admission, Balancer, Classifier, Error, Gate, Host, Newcomer, Node, Observer, Opinion, Plan, Plugin,
    Refusal, Rewriter, Routing, SessionInfo, SessionPlan, SessionState, Statement, Value, Verdict,
};

/// Makes a test of `cargo test` from a table of statements.
///
/// ```ignore
/// waypool_plugin_sdk::testing::table!(MyPlugin, "tests/table.toml", classifier, rewriter);
/// ```
///
/// The path is relative to the plugin's `Cargo.toml`; the roles are those that
/// [`export!`](crate::export) has. What a table looks like, describes the crate
/// `waypool-plugin-table`:
///
/// ```toml
/// [config]
/// limit = 100
///
/// [[case]]
/// statement = "SELECT * FROM orders"
/// rewritten = "SELECT * FROM orders LIMIT 100"
///
/// [[case]]
/// statement = "DROP TABLE orders"
/// user = "anna"
/// refused = "42501"
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __table {
    ($plugin:ty, $path:literal, $($role:ident),+ $(,)?) => {
        #[test]
        fn every_case_of_the_table() {
            let path = ::std::path::Path::new(::core::env!("CARGO_MANIFEST_DIR")).join($path);
            $crate::testing::Tested::<$plugin>::new()$(.$role())+.run(&path);
        }
    };
}

#[doc(inline)]
pub use crate::__table as table;

/// What a plugin type can be asked: a function for each hook of its roles.
///
/// [`table!`] makes one; use it directly for a test of your own.
#[derive(Debug)]
pub struct Tested<P> {
    instance: Option<P>,
    host: FakeHost,
    session: SessionInfo,
    roles: Vec<Role>,
    hooks: Hooks<P>,
}

#[derive(Debug)]
struct Hooks<P> {
    rewrite: fn(&mut P, &str, &Host) -> Result<Plan, Error>,
    classify: fn(&mut P, &str, &Host) -> Result<Opinion, Error>,
    refine: fn(&mut P, &str, Verdict, &Host) -> Result<Verdict, Error>,
    topology: fn(&mut P, &[Node], &Host),
    plan_session: fn(&mut P, &SessionInfo, u64, &Host) -> Option<SessionPlan>,
    route: fn(&mut P, Statement, SessionState, &Host) -> Result<Routing, Error>,
    session_start: fn(&mut P, &Newcomer, &Host) -> Result<Admission, Error>,
}

/// Without a role there is nothing to say.
impl<P> Default for Hooks<P> {
    fn default() -> Self {
        Hooks {
            rewrite: |_, _, _| Ok(Plan::keep()),
            classify: |_, _, _| Ok(Opinion::pass()),
            refine: |_, _, verdict, _| Ok(verdict),
            topology: |_, _, _| {},
            plan_session: |_, _, _, _| None,
            route: |_, _, _, _| Ok(Routing::Pass),
            session_start: |_, _, _| Ok(Admission::Pass),
        }
    }
}

impl<P: Plugin> Default for Tested<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plugin> Tested<P> {
    /// Without roles.
    pub fn new() -> Self {
        Tested {
            instance: None,
            host: FakeHost::new(),
            session: SessionInfo::default(),
            roles: Vec::new(),
            hooks: Hooks::default(),
        }
    }

    pub fn rewriter(mut self) -> Self
    where
        P: Rewriter,
    {
        self.roles.push(Role::Rewriter);
        self.hooks.rewrite = P::rewrite;
        self
    }

    pub fn classifier(mut self) -> Self
    where
        P: Classifier,
    {
        self.roles.push(Role::Classifier);
        self.hooks.classify = P::classify;
        self.hooks.refine = P::refine;
        self
    }

    pub fn balancer(mut self) -> Self
    where
        P: Balancer,
    {
        self.roles.push(Role::Balancer);
        self.hooks.topology = P::topology;
        self.hooks.plan_session = P::plan_session;
        self.hooks.route = P::route;
        self
    }

    pub fn gate(mut self) -> Self
    where
        P: Gate,
    {
        self.roles.push(Role::Gate);
        self.hooks.session_start = P::session_start;
        self
    }

    /// A table has nothing to ask an observer.
    pub fn observer(mut self) -> Self
    where
        P: Observer,
    {
        self.roles.push(Role::Observer);
        self
    }

    /// Runs a table, and panics with what differs.
    #[track_caller]
    pub fn run(mut self, path: &Path) {
        let table = match Table::read(path) {
            Ok(table) => table,
            Err(mistake) => panic!("{mistake}"),
        };
        let report = table::run(&table, &mut self);
        assert!(report.is_ok(), "\n{report}");
        println!("{report}");
    }

    /// Asks the instance. The error is the plugin's.
    fn ask<R>(
        &mut self,
        hook: impl FnOnce(&mut P, &Hooks<P>, &Host) -> Result<R, Error>,
    ) -> Result<R, String> {
        match &mut self.instance {
            Some(instance) => hook(instance, &self.hooks, &self.host).map_err(String::from),
            None => Err("nothing was started".to_owned()),
        }
    }
}

impl<P: Plugin> Subject for Tested<P> {
    fn roles(&self) -> Vec<Role> {
        self.roles.clone()
    }

    fn start(&mut self, world: &World) -> Result<(), String> {
        self.host = host(&world.facts)?.session(&world.database, &world.user, &world.application_name);
        if let Some(now) = world.now {
            self.host.set_now(now);
        }
        self.session = SessionInfo {
            database: world.database.clone(),
            user: world.user.clone(),
            application_name: world.application_name.clone(),
        };
        self.instance = None;
        let config = crate::config::decode(&world.config)?;
        self.instance = Some(P::new(config)?);
        let nodes = world.nodes.iter().map(node).collect::<Result<Vec<_>, _>>()?;
        self.ask(|plugin, hooks, host| {
            (hooks.topology)(plugin, &nodes, host);
            Ok(())
        })
    }

    fn rewrite(&mut self, text: &str) -> Result<table::Plan, String> {
        let plan = self.ask(|plugin, hooks, host| (hooks.rewrite)(plugin, text, host))?;
        Ok(match plan {
            Plan::Keep(depends) => table::Plan::Keep(word(depends)),
            Plan::Reject(refusal) => table::Plan::Reject(told(refusal)),
            Plan::Edit(edits) => table::Plan::Edit(edits.into_iter().map(edit).collect()),
        })
    }

    fn classify(&mut self, text: &str) -> Result<table::Opinion, String> {
        let opinion = self.ask(|plugin, hooks, host| (hooks.classify)(plugin, text, host))?;
        Ok(match opinion {
            Opinion::Pass(depends) => table::Opinion::Pass(word(depends)),
            Opinion::Answer(verdict) => table::Opinion::Answer(told_verdict(verdict)),
            Opinion::Refine => table::Opinion::Refine,
        })
    }

    fn refine(&mut self, text: &str, behind: &table::Verdict) -> Result<table::Verdict, String> {
        let behind = verdict(behind)?;
        self.ask(|plugin, hooks, host| (hooks.refine)(plugin, text, behind, host)).map(told_verdict)
    }

    fn plan_session(&mut self, random: u64) -> Result<Option<u32>, String> {
        let session = self.session.clone();
        let plan =
            self.ask(|plugin, hooks, host| Ok((hooks.plan_session)(plugin, &session, random, host)))?;
        Ok(plan.map(|plan| plan.home))
    }

    fn route(&mut self, question: &Question) -> Result<table::Routing, String> {
        let verdict = verdict(&question.verdict)?;
        let state = SessionState {
            transaction: words::transaction(&question.transaction)?,
            transaction_memory: question.transaction_memory,
            session_memory: question.session_memory,
            home: question.home,
            waited_millis: question.waited_millis,
            random: question.random,
        };
        self.host.set_statement(&verdict);
        let statement = Statement::from(&verdict);
        let routing = self.ask(|plugin, hooks, host| (hooks.route)(plugin, statement, state, host))?;
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
        let admission = self.ask(|plugin, hooks, host| (hooks.session_start)(plugin, &newcomer, host))?;
        Ok(match admission {
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
        self.host.metrics()
    }
}

// === to the contract's types ===

fn host(facts: &Facts) -> Result<FakeHost, String> {
    let mut host = FakeHost::new().unknown_by_default(facts.unknown);
    for (name, volatility) in &facts.functions {
        host = host.function(name, words::volatility(volatility)?);
    }
    for (name, volatility) in &facts.operators {
        host = host.operator(name, words::volatility(volatility)?);
    }
    for (name, facts) in &facts.relations {
        host = host.relation(name, words::relation_facts(facts)?);
    }
    Ok(host)
}

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

fn edit(edit: crate::Edit) -> table::Edit {
    let text = match edit.value {
        Value::Literal(text) => text,
        Value::StatementTimestamp => "{statement_timestamp}".to_owned(),
        Value::TransactionTimestamp => "{transaction_timestamp}".to_owned(),
        Value::Evaluated(evaluation) => format!("{{{}}}", evaluation.expression),
    };
    table::Edit { start: edit.start, end: edit.end, text }
}

#[cfg(test)]
mod tests;
