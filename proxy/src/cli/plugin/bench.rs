//! `waypool plugin bench`

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::output;
use crate::cli::bench::{JOIN, PGBENCH, known_facts, median, ten_joins};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::plugin::contract::{
    Effects, Kind, Newcomer, Node, NodeRole, Observation, Servers, SessionInfo, SessionState, Statement,
    Transaction, Verdict,
};
use crate::plugin::{
    About, CallError, Chain, Instances, MAX_BALANCERS, Memory, Options as HostOptions, PluginHost,
    PluginWorker, Role, Topology, Words,
};
use crate::proxy;
use crate::routing::facts::Facts;

/// Two servers that are never connected to.
const SERVERS: &str = "sr_check_user = \"nobody\"\n\
    [[backend]]\nhostname = \"127.0.0.1\"\nport = 1\n\
    [[backend]]\nhostname = \"127.0.0.1\"\nport = 2\n";
/// Waypool's own plugins do not apply to the session that is measured.
const OTHERS_AWAY: &str = "[plugins.classify]\ndatabases = [\"away\"]\n\
    [plugins.balance]\ndatabases = [\"away\"]\n\
    [plugins.rewrite]\ndatabases = [\"away\"]\n";
/// Statements that an observer is told of at a time.
const OBSERVED: usize = 1000;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The plugin's file
    file: PathBuf,
    /// Its configuration: the table [plugins.NAME.config] as a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One line: what a call costs.
#[derive(Debug, Serialize)]
struct Row {
    call: String,
    nanoseconds: u64,
    /// The same of Waypool's own plugins.
    built_in: Option<u64>,
}

pub fn bench(options: &Options) -> anyhow::Result<()> {
    let measured = Measured::new(&tables(options)?).context("the plugin cannot be measured")?;
    let theirs = measured.calls(|_| true)?;
    let ours = Measured::new("")?.calls(|role| theirs.iter().any(|call| call.role == role))?;
    let rows: Vec<Row> = theirs
        .into_iter()
        .map(|Call { call, nanos, .. }| {
            let built_in = ours.iter().find(|ours| ours.call == call).map(|ours| ours.nanos);
            Row { call, nanoseconds: nanos, built_in }
        })
        .collect();
    if options.json {
        return output::json(&rows);
    }
    let cell = |nanos: Option<u64>| {
        nanos.map_or_else(|| "-".to_owned(), |nanos| format!("{} ns", output::count(nanos)))
    };
    let lines: Vec<_> =
        rows.into_iter().map(|row| vec![row.call, cell(Some(row.nanoseconds)), cell(row.built_in)]).collect();
    output::table(&["ONE CALL", "THIS PLUGIN", "BUILT IN"], &lines);
    println!(
        "\nMedians. Classifiers and rewriters are asked once for a statement, and their answers kept; balancers \
         are asked for every statement, unless they call a decision steady."
    );
    Ok(())
}

/// The plugin alone.
fn tables(options: &Options) -> anyhow::Result<String> {
    let file = std::path::absolute(&options.file)?;
    let mut tables = format!("{OTHERS_AWAY}[plugins.measured]\npath = {file:?}\n");
    if let Some(config) = &options.config {
        let text =
            std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
        tables.push_str("[plugins.measured.config]\n");
        tables.push_str(&text);
    }
    Ok(tables)
}

struct Call {
    role: Role,
    call: String,
    nanos: u64,
}

/// A chain of plugins, to be called.
struct Measured {
    plugins: std::rc::Rc<Instances>,
    chain: Chain,
    roles: Vec<Role>,
    facts: Arc<Facts>,
    session: SessionInfo,
}

impl Measured {
    fn new(tables: &str) -> anyhow::Result<Self> {
        let config = Config::parse(&format!("{SERVERS}{tables}"), Path::new("bench.toml"))
            .map_err(|errors| anyhow!("{errors}"))?;
        let options = HostOptions { workers: 1, code_cache: None };
        let host = PluginHost::new(proxy::sources(&config), options)?;
        let session = SessionInfo { database: "bench".to_owned(), ..SessionInfo::default() };
        let mut roles = Vec::new();
        for plugin in host.plugins() {
            if plugin.source.entry.applies_to(&session.database, "", "") {
                roles.extend(plugin.roles.iter());
            }
        }
        let mut worker = PluginWorker::new(host);
        let plugins = worker.current().clone();
        let chain = plugins.chain(&session);
        Ok(Measured { plugins, chain, roles, facts: known_facts(&Arc::new(Cluster::new(&config))), session })
    }

    /// What each call costs of the roles that count.
    fn calls(&self, counts: impl Fn(Role) -> bool) -> anyhow::Result<Vec<Call>> {
        let mut calls = Vec::new();
        for role in self.roles.iter().copied().filter(|role| counts(*role)) {
            let mut measure = |call: String, once: &mut dyn FnMut() -> Result<(), CallError>| {
                once()?;
                let nanos = median(|| drop(black_box(once())));
                calls.push(Call { role, call, nanos });
                Ok::<(), CallError>(())
            };
            match role {
                Role::Classifier | Role::Rewriter => self.texts(role, &mut measure)?,
                Role::Balancer => self.balancer(&mut measure)?,
                Role::Gate => self.gate(&mut measure)?,
                Role::Observer => self.observer(&mut measure)?,
            }
        }
        Ok(calls)
    }

    fn texts(&self, role: Role, measure: Measure<'_>) -> Result<(), CallError> {
        let about = About::text(&self.session, &*self.facts);
        let joins = ten_joins();
        for (name, text) in [("pgbench's SELECT", PGBENCH), ("a join", JOIN), ("ten joins", &joins)] {
            let (plugins, chain) = (&self.plugins, &self.chain);
            match role {
                Role::Classifier => measure(format!("classify {name}"), &mut || {
                    plugins.classify(chain, text, &about).map(|verdict| drop(black_box(verdict)))
                })?,
                _ => measure(format!("rewrite {name}"), &mut || {
                    plugins
                        .rewrite(chain, text, &about, |_| Ok(None))
                        .map(|plan| drop(black_box(Box::new(plan))))
                })?,
            }
        }
        Ok(())
    }

    fn balancer(&self, measure: Measure<'_>) -> Result<(), CallError> {
        let node = |id, role| Node {
            id,
            role,
            usable: true,
            delayed: false,
            weight: 1.0,
            lag_bytes: 0,
            lag_micros: 0,
        };
        let topology =
            Topology { epoch: 1, nodes: vec![node(0, NodeRole::Primary), node(1, NodeRole::Standby)] };
        let words = Words::default();
        let verdict = Verdict {
            kind: Kind::Select,
            servers: Servers::Any,
            reads: vec!["pgbench_accounts".to_owned()],
            ..Verdict::conservative("a read")
        };
        let verdict = Verdict { effects: Effects::empty(), ..verdict };
        let statement = Statement { kind: verdict.kind, servers: verdict.servers, effects: verdict.effects };
        let state = SessionState {
            transaction: Transaction::Idle,
            transaction_memory: 0,
            session_memory: 0,
            home: 1,
            waited_millis: 0,
            random: 7,
        };
        let (plugins, chain, mut memories) = (&self.plugins, &self.chain, [Memory::default(); MAX_BALANCERS]);
        let about = About::session(&self.session, &words);
        measure("plan-session".to_owned(), &mut || {
            plugins.plan_session(chain, &topology, 7, &mut [Memory::default(); MAX_BALANCERS], &about).map(
                |plan| {
                    black_box(plan);
                },
            )
        })?;
        let about = About::statement(&self.session, &verdict, &words);
        measure("route".to_owned(), &mut || {
            // Another question each time: no decision is kept for it.
            memories[0].transaction += 1;
            plugins
                .route(chain, &topology, statement, state, &memories, &about)
                .said
                .map(|to| drop(black_box(to)))
                .map_err(|(_, error)| error)
        })
    }

    fn gate(&self, measure: Measure<'_>) -> Result<(), CallError> {
        let mut newcomer = Newcomer {
            database: self.session.database.clone(),
            user: "alice".to_owned(),
            application_name: "psql".to_owned(),
            address: Some("192.0.2.7".to_owned()),
            tls: true,
        };
        measure("session-start".to_owned(), &mut || {
            self.plugins.session_start(&self.chain, &mut newcomer, |_, admission| {
                drop(black_box(admission));
                true
            })
        })
    }

    fn observer(&self, measure: Measure<'_>) -> Result<(), CallError> {
        let seen = Observation {
            session: 1,
            database: self.session.database.clone(),
            user: "alice".to_owned(),
            application_name: "psql".to_owned(),
            kind: Kind::Select,
            node: Some(1),
            duration_micros: 500,
            rows: 1,
            sqlstate: None,
            tags: Vec::new(),
        };
        let seen = vec![seen; OBSERVED];
        measure(format!("observe {OBSERVED} statements"), &mut || {
            self.plugins.observe(|_| seen.clone());
            Ok(())
        })
    }
}

/// Takes a call's name and how to make it.
type Measure<'m> =
    &'m mut dyn FnMut(String, &mut dyn FnMut() -> Result<(), CallError>) -> Result<(), CallError>;
