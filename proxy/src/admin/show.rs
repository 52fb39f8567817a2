//! `SHOW pool_…`: answered by the proxy, in the simple protocol, with the
//! columns of Pgpool-II.

use crate::cluster::backend::{Replication, Role, Status};
use crate::cluster::{Backend, Cluster};
use crate::config::ClusteringMode;
use crate::protocol::backend::text_result;
use crate::proxy::Proxy;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

/// The commands there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    PoolNodes,
    PoolVersion,
    PoolBackendStats,
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
        let text = std::str::from_utf8(text).ok()?;
        let text = text.trim().trim_end_matches(';').trim_end();
        let (show, what) = text.split_once(|c: char| c.is_ascii_whitespace())?;
        if !show.eq_ignore_ascii_case("show") {
            return None;
        }
        match what.trim().to_ascii_lowercase().as_str() {
            "pool_nodes" => Some(Command::PoolNodes),
            "pool_version" => Some(Command::PoolVersion),
            "pool_backend_stats" => Some(Command::PoolBackendStats),
            _ => None,
        }
    }
}

/// Appends the answer, without ReadyForQuery. `home` is the asking session's
/// load balance node.
pub fn answer(command: Command, proxy: &Proxy, home: usize, out: &mut Vec<u8>) {
    match command {
        Command::PoolVersion => {
            let version = format!("{} (Waypool)", env!("CARGO_PKG_VERSION"));
            text_result(out, &["pool_version"], &[vec![version]], "SHOW");
        }
        Command::PoolNodes => {
            let rows: Vec<_> =
                proxy.cluster.backends.iter().map(|backend| node(&proxy.cluster, backend, home)).collect();
            text_result(out, &NODES, &rows, "SHOW");
        }
        Command::PoolBackendStats => {
            let rows: Vec<_> =
                proxy.cluster.backends.iter().map(|backend| stats(&proxy.cluster, backend)).collect();
            text_result(out, &BACKEND_STATS, &rows, "SHOW");
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
        backend.status().to_string(),
        pg_status(backend).to_owned(),
        format!("{weight:.6}"),
        role(cluster, backend).to_owned(),
        backend.role().to_string(),
        backend.counters.reads.load(Ordering::Relaxed).to_string(),
        (backend.id == home).to_string(),
        backend.lag().to_string(),
        column(|replication| &replication.state),
        column(|replication| &replication.sync_state),
        moment(backend.changed_at()),
    ]
}

fn stats(cluster: &Cluster, backend: &Backend) -> Vec<String> {
    vec![
        backend.id.to_string(),
        backend.config.hostname.to_string(),
        backend.config.port.to_string(),
        backend.status().to_string(),
        role(cluster, backend).to_owned(),
        backend.counters.reads.load(Ordering::Relaxed).to_string(),
        backend.counters.writes.load(Ordering::Relaxed).to_string(),
    ]
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
    match (cluster.mode, cluster.is_primary(backend.id)) {
        (ClusteringMode::Raw, true) => "main",
        (ClusteringMode::Raw, false) => "replica",
        (_, true) => "primary",
        (_, false) if backend.role() == Role::Unknown => "unknown",
        (_, false) => "standby",
    }
}

/// `2026-01-31 12:00:00`, UTC.
fn moment(seconds: u64) -> String {
    let moment = UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(moment).to_string().replace('T', " ").replace('Z', "")
}
