//! With a real plugin, `examples/hostile`, which misbehaves on demand.
#![allow(clippy::unwrap_used)]

mod answers;
mod containment;
mod loading;
mod swapping;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::contract::{
    Decision, Effects, FunctionFact, Kind, Node, NodeRole, RelationFact, RelationFacts, Servers,
    SessionState, Statement, Transaction, Volatility,
};
use super::*;

/// What `tools/build-plugins.sh` made.
fn built(file: &str) -> PathBuf {
    let folder = std::env::var_os("WAYPOOL_PLUGINS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins"), PathBuf::from);
    let path = folder.join(file);
    assert!(path.exists(), "{}: run tools/build-plugins.sh first", path.display());
    path
}

fn hostile(role: Role, config_json: &str) -> PluginSource {
    PluginSource {
        role,
        name: format!("hostile-{role}"),
        origin: Origin::File(built("hostile.wasm")),
        config_json: config_json.to_owned(),
        // Real time: a busy machine must not look like a loop.
        deadline: Duration::from_millis(500),
        memory_limit: 16 << 20,
        on_error: OnError::Reject,
        allow_writes_on_standby: false,
    }
}

fn all_hostile(config_json: &str) -> Vec<PluginSource> {
    Role::ALL.into_iter().map(|role| hostile(role, config_json)).collect()
}

/// Compiled once for all tests of a run, and for the next run.
fn options() -> Options {
    let cache =
        std::env::temp_dir().join(format!("waypool-test-code-{}", rustix::process::geteuid().as_raw()));
    Options { workers: 4, code_cache: Some(cache) }
}

fn host() -> Arc<PluginHost> {
    PluginHost::new(all_hostile(r#"{"mark":1}"#), options()).unwrap()
}

fn worker() -> PluginWorker {
    PluginWorker::new(host())
}

/// A classifier's reason for a harmless statement: "mark M call N".
fn reason(worker: &mut PluginWorker) -> String {
    worker.classify("harmless", "db", &NoFacts).unwrap().verdict.reason
}

fn nodes(count: u32) -> Vec<Node> {
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
    (0..count).map(node).collect()
}

const READ: Statement = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::NONE };

/// `random` says what the hostile balancer does; 0 is harmless.
fn state(random: u64) -> SessionState {
    SessionState { transaction: Transaction::Open, transaction_memory: 0, session_memory: 0, home: 5, random }
}

/// Routes in a session that has nothing to tell.
fn route(worker: &mut PluginWorker, random: u64) -> Result<Decision, CallError> {
    let setting = Setting { database: "db", verdict: None, words: &Words::default() };
    worker.route(READ, state(random), &setting)
}

struct Known;

impl FactSource for Known {
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
