//! `SHOW pool_…`: answered by the proxy, in the simple protocol, with the
//! columns of Pgpool-II.

use crate::cluster::backend::{Replication, Role, Status};
use crate::cluster::{Backend, Cluster, Threshold};
use crate::config::ClusteringMode;
use crate::protocol::backend::text_result;
use crate::proxy::Proxy;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

/// The commands there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Pool(Pool),
    /// `SHOW waypool_route FOR …`: where this statement would go now.
    Route(String),
    /// `SHOW waypool.last_commit`: a position behind the session's commits.
    LastCommit,
}

/// What is known without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    Nodes,
    Version,
    BackendStats,
}

const NODES: [&str; 14] = [
    "node_id",
    "hostname",
    "port",
    "status",
    "pg_status",
    "lb_weight",
    "role",
    "pg_role",
    "select_cnt",
    "load_balance_node",
    "replication_delay",
    "replication_state",
    "replication_sync_state",
    "last_status_change",
];

const BACKEND_STATS: [&str; 7] = ["node_id", "hostname", "port", "status", "role", "read_cnt", "write_cnt"];

impl Command {
    /// `None`: not one of ours, so a server's.
    pub fn read(text: &[u8]) -> Option<Self> {
        // Every Query comes through here: the first word decides.
        let text = text.trim_ascii();
        let (show, what) = text.split_at_checked(4)?;
        if !show.eq_ignore_ascii_case(b"show") || !what.first()?.is_ascii_whitespace() {
            return None;
        }
        let what = std::str::from_utf8(what).ok()?.trim_end_matches(';').trim();
        let end = what.find(|c: char| c.is_ascii_whitespace()).unwrap_or(what.len());
        let (name, rest) = what.split_at(end);
        match (name.to_ascii_lowercase().as_str(), rest.trim()) {
            ("pool_nodes", "") => Some(Command::Pool(Pool::Nodes)),
            ("pool_version", "") => Some(Command::Pool(Pool::Version)),
            ("pool_backend_stats", "") => Some(Command::Pool(Pool::BackendStats)),
            ("waypool.last_commit", "") => Some(Command::LastCommit),
            ("waypool_route", rest) => Some(Command::Route(unquoted(rest)?)),
            _ => None,
        }
    }
}

/// The statement behind FOR: in dollar quotes, in quotes, or as it is.
fn unquoted(rest: &str) -> Option<String> {
    let word = rest.get(..3)?;
    if !word.eq_ignore_ascii_case("for") {
        return None;
    }
    let text = rest[3..].trim();
    if let Some(inner) = text.strip_prefix('\'') {
        return Some(inner.strip_suffix('\'')?.replace("''", "'"));
    }
    if let Some(inner) = text.strip_prefix('$') {
        let tag = &text[..inner.find('$')? + 2];
        return Some(text.strip_prefix(tag)?.strip_suffix(tag)?.to_owned());
    }
    // FORMAT is another word.
    rest[3..].starts_with(|c: char| c.is_ascii_whitespace()).then(|| text.to_owned())
}

/// Appends the answer, without ReadyForQuery. `home` is the asking session's
/// load balance node.
pub fn answer(command: Pool, proxy: &Proxy, home: usize, out: &mut Vec<u8>) {
    let (columns, rows) = table(command, proxy, home);
    text_result(out, columns, &rows, "SHOW");
}

/// Columns and rows.
pub fn table(command: Pool, proxy: &Proxy, home: usize) -> (&'static [&'static str], Vec<Vec<String>>) {
    let cluster = &proxy.cluster;
    match command {
        Pool::Version => (&["pool_version"], vec![vec![format!("{} (Waypool)", env!("CARGO_PKG_VERSION"))]]),
        Pool::Nodes => {
            (&NODES, cluster.backends.iter().map(|backend| node(cluster, backend, home)).collect())
        }
        Pool::BackendStats => {
            (&BACKEND_STATS, cluster.backends.iter().map(|backend| stats(cluster, backend)).collect())
        }
    }
}

fn node(cluster: &Cluster, backend: &Backend, home: usize) -> Vec<String> {
    let total: f64 = cluster.backends.iter().map(|backend| backend.weight()).sum();
    let weight = if total > 0.0 { backend.weight() / total } else { 0.0 };
    let replication = backend.replication().filter(|_| !cluster.is_primary(backend.id));
    let column = |of: fn(&Replication) -> &String| replication.as_ref().map(of).cloned().unwrap_or_default();
    vec![
        backend.id.to_string(),
        backend.config.hostname.to_string(),
        backend.config.port.to_string(),
        status(backend).to_string(),
        pg_status(backend).to_owned(),
        format!("{weight:.6}"),
        role(cluster, backend).to_owned(),
        backend.role().to_string(),
        backend.counters.reads.load(Ordering::Relaxed).to_string(),
        (backend.id == home).to_string(),
        replication_delay(cluster, backend),
        column(|replication| &replication.state),
        column(|replication| &replication.sync_state),
        moment(backend.changed_at()),
    ]
}

/// In seconds where that is what counts, with Pgpool-II's unit.
fn replication_delay(cluster: &Cluster, backend: &Backend) -> String {
    let timing = cluster.timing();
    let by_time = matches!(timing.threshold, Threshold::Time(_)) || timing.source.is_some();
    if !by_time || cluster.is_primary(backend.id) {
        return backend.lag().to_string();
    }
    let time = backend.lag_time();
    format!("{:.6} {}", time.as_secs_f64(), if time.as_secs() >= 2 { "seconds" } else { "second" })
}

fn stats(cluster: &Cluster, backend: &Backend) -> Vec<String> {
    vec![
        backend.id.to_string(),
        backend.config.hostname.to_string(),
        backend.config.port.to_string(),
        status(backend).to_string(),
        role(cluster, backend).to_owned(),
        backend.counters.reads.load(Ordering::Relaxed).to_string(),
        backend.counters.writes.load(Ordering::Relaxed).to_string(),
    ]
}

/// One that is detached is down for us, whatever it answers.
fn status(backend: &Backend) -> Status {
    if backend.is_detached() { Status::Down } else { backend.status() }
}

/// Whether the server itself answers, as last seen.
fn pg_status(backend: &Backend) -> &'static str {
    match backend.status() {
        Status::Up => "up",
        Status::Down => "down",
        Status::Waiting => "unknown",
    }
}

/// The role that the proxy gives it.
fn role(cluster: &Cluster, backend: &Backend) -> &'static str {
    let alike = cluster.mode == ClusteringMode::Raw || cluster.mode.replicates();
    match (alike, cluster.is_primary(backend.id)) {
        (true, true) => "main",
        (true, false) => "replica",
        (false, true) => "primary",
        (false, false) if backend.role() == Role::Unknown => "unknown",
        (false, false) => "standby",
    }
}

/// `2026-01-31 12:00:00`, UTC.
fn moment(seconds: u64) -> String {
    let moment = UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(moment).to_string().replace('T', " ").replace('Z', "")
}

#[cfg(test)]
mod tests;
