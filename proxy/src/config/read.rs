//! The keys at the top of the file, and what must hold between them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::errors::Problems;
use super::keys::{self, Kind};
use super::model::{
    ClusteringMode, Config, HbaLine, ListenTls, LogFormat, LogLevel, LogStandbyDelay, PoolMode,
    RelcacheQueryTarget, Secret,
};
use super::section::{Section, in_folder_of, type_of};
use super::units::Bare::{Milliseconds, Seconds};
use super::{read_admin, read_backend, read_plugin};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Reads everything. Where `problems` holds mistakes afterwards, the result
/// has defaults in their places and must not be used.
pub(super) fn config<'a>(table: &'a DeTable<'a>, source: &Path, problems: &'a Problems<'a>) -> Config {
    let top = Section::top(table, problems);
    let config = Config {
        source: source.to_owned(),

        port: top.integer("port", 9999, 1..=65535),
        listen_addresses: top.list("listen_addresses", ',', &["localhost"]),
        unix_socket_directories: unix_socket_directories(&top, source),
        unix_socket_permissions: unix_socket_permissions(&top),
        worker_threads: unless_zero(top.integer("worker_threads", 0, 0..=1024)),
        max_client_conn: top.integer("max_client_conn", 1000, 1..=1_000_000),

        backend_clustering_mode: backend_clustering_mode(&top),
        backends: read_backend::backends(&top, source),

        pool_mode: pool_mode(&top),
        default_pool_size: top.integer("default_pool_size", 90, 1..=1_000_000),
        query_wait_timeout: top.limit("query_wait_timeout", Some(secs(120)), Seconds),
        reset_query_list: top.list("reset_query_list", ';', &["ABORT", "DISCARD ALL"]),
        connection_cache: top.boolean("connection_cache", true),
        connection_life_time: top.limit("connection_life_time", None, Seconds),

        authentication_timeout: top.limit("authentication_timeout", Some(secs(60)), Seconds),
        connect_timeout: top.period("connect_timeout", secs(10), Milliseconds),
        client_idle_limit: top.limit("client_idle_limit", None, Seconds),

        sr_check_period: top.period("sr_check_period", secs(10), Seconds),
        sr_check_user: top.text("sr_check_user", "waypool").unwrap_or_default().to_owned(),
        sr_check_password: top.text("sr_check_password", "…").map(Secret::new),
        sr_check_database: top.text("sr_check_database", "postgres").unwrap_or("postgres").to_owned(),
        health_check_period: top.period("health_check_period", secs(1), Seconds),
        delay_threshold: unless_zero(top.size("delay_threshold", 0, 0..=1 << 50)),
        delay_threshold_by_time: top.limit("delay_threshold_by_time", None, Milliseconds),
        log_standby_delay: log_standby_delay(&top),
        replication_delay_source_cmd: top.text("replication_delay_source_cmd", "…").map(str::to_owned),
        replication_delay_source_timeout: top.period("replication_delay_source_timeout", secs(10), Seconds),

        // Pgpool-II's 256 entries are those of one child process; Waypool has
        // one cache for all sessions.
        relcache_size: top.integer("relcache_size", 4096, 1..=10_000_000),
        relcache_expire: top.limit("relcache_expire", None, Seconds),
        relcache_query_target: relcache_query_target(&top),
        statement_cache_size: top.size("statement_cache_size", 16 << 20, 1 << 20..=64 << 30) as usize,

        ssl: ssl(&top, source),
        enable_pool_hba: top.boolean("enable_pool_hba", true),
        hba: hba(&top),
        auth_file: top.file("auth_file", "pool_passwd", source),
        users: users(&top),

        log_min_messages: log_min_messages(&top),
        log_format: log_format(&top),
        notice_per_node_statement: top.boolean("notice_per_node_statement", false),
        log_per_node_statement: top.boolean("log_per_node_statement", false),

        admin_users: top.list("admin_users", ',', &[]),
        stats_users: top.list("stats_users", ',', &[]),
        stats_period: top.period("stats_period", secs(60), Seconds),

        plugins: read_plugin::plugins(&top, source),
        admin: read_admin::admin(&top, source),
    };
    top.finish();
    check_together(&top, &config);
    config
}

/// What no key can tell alone.
fn check_together(top: &Section<'_>, config: &Config) {
    if config.listen_addresses.is_empty() && config.unix_socket_directories.is_empty() {
        top.complain(
            "listen_addresses",
            "listen_addresses and unix_socket_directories are both empty, so that no client \
             could connect: write listen_addresses = [\"localhost\"]",
        );
    }
    if let (Some(listen), None) = (&config.admin.listen, &config.ssl) {
        read_admin::check_without_tls(top, listen);
    }
    let needs_a_user = match config.backend_clustering_mode {
        ClusteringMode::StreamingReplication => {
            Some("streaming_replication needs it to find the primary and measure lag")
        }
        ClusteringMode::LogicalReplication => {
            Some("logical_replication needs it to look up what functions and tables are")
        }
        ClusteringMode::Raw => None,
    };
    if let (Some(why), true) = (needs_a_user, config.sr_check_user.is_empty()) {
        top.complain(
            "sr_check_user",
            format!(
                "sr_check_user is missing: {why}. Write sr_check_user = \"…\", a PostgreSQL role \
                 with pg_monitor, or backend_clustering_mode = \"raw\""
            ),
        );
    }
}

fn unless_zero<T: Default + PartialEq>(number: T) -> Option<T> {
    (number != T::default()).then_some(number)
}

fn unix_socket_directories(top: &Section<'_>, source: &Path) -> Vec<PathBuf> {
    let key = "unix_socket_directories";
    let directories: Vec<PathBuf> =
        top.list(key, ',', &["/tmp"]).iter().map(|directory| in_folder_of(source, directory)).collect();
    for directory in &directories {
        if !directory.is_dir() {
            let directory = directory.display();
            top.complain(key, format!("{key}: there is no directory {directory}: create it"));
        }
    }
    directories
}

/// Octal, as `"0777"` or `0o777`. A bare 777 is refused: it would be another
/// mode than the writer thinks.
fn unix_socket_permissions(top: &Section<'_>) -> u32 {
    let key = "unix_socket_permissions";
    let Some(value) = top.value(key) else {
        return 0o777;
    };
    let octal = match value.get_ref() {
        DeValue::String(text) => Some(text.as_ref()),
        DeValue::Integer(integer) if integer.radix() == 8 => Some(integer.as_str()),
        _ => None,
    };
    match octal.map(|digits| u32::from_str_radix(digits, 8)) {
        Some(Ok(mode)) if mode <= 0o777 => mode,
        _ => {
            top.at(value, format!("{key} must be an octal file mode: write {key} = \"0777\""));
            0o777
        }
    }
}

fn backend_clustering_mode(top: &Section<'_>) -> ClusteringMode {
    top.choice(
        "backend_clustering_mode",
        ClusteringMode::StreamingReplication,
        &[
            ("streaming_replication", ClusteringMode::StreamingReplication),
            ("logical_replication", ClusteringMode::LogicalReplication),
            ("raw", ClusteringMode::Raw),
        ],
        &["native_replication", "snapshot_isolation", "slony"],
    )
}

fn log_standby_delay(top: &Section<'_>) -> LogStandbyDelay {
    let words = [
        ("if_over_threshold", LogStandbyDelay::IfOverThreshold),
        ("none", LogStandbyDelay::None),
        ("always", LogStandbyDelay::Always),
    ];
    top.choice("log_standby_delay", LogStandbyDelay::IfOverThreshold, &words, &[])
}

fn relcache_query_target(top: &Section<'_>) -> RelcacheQueryTarget {
    let words = [
        ("primary", RelcacheQueryTarget::Primary),
        ("load_balance_node", RelcacheQueryTarget::LoadBalanceNode),
    ];
    top.choice("relcache_query_target", RelcacheQueryTarget::Primary, &words, &[])
}

fn log_format(top: &Section<'_>) -> LogFormat {
    let words = [("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)];
    top.choice("log_format", LogFormat::Auto, &words, &[])
}

fn pool_mode(top: &Section<'_>) -> PoolMode {
    let words = [
        ("session", PoolMode::Session),
        ("transaction", PoolMode::Transaction),
        ("statement", PoolMode::Statement),
    ];
    top.choice("pool_mode", PoolMode::Session, &words, &[])
}

fn log_min_messages(top: &Section<'_>) -> LogLevel {
    let names = [
        ("debug5", LogLevel::Debug5),
        ("debug4", LogLevel::Debug4),
        ("debug3", LogLevel::Debug3),
        ("debug2", LogLevel::Debug2),
        ("debug1", LogLevel::Debug1),
        ("info", LogLevel::Info),
        ("notice", LogLevel::Notice),
        ("warning", LogLevel::Warning),
        ("error", LogLevel::Error),
        ("log", LogLevel::Log),
        ("fatal", LogLevel::Fatal),
        ("panic", LogLevel::Panic),
        // PostgreSQL's other name of it, last: not to be recommended.
        ("debug", LogLevel::Debug2),
    ];
    top.choice("log_min_messages", LogLevel::Info, &names, &[])
}

/// The files are looked at only when TLS is on, so that it can be switched
/// off while a certificate is missing.
fn ssl(top: &Section<'_>, source: &Path) -> Option<ListenTls> {
    let on = top.boolean("ssl", false);
    let file = |key, example| match on {
        true => top.file(key, example, source),
        false => top.path(key, example, source),
    };
    let cert = file("ssl_cert", "server.crt");
    let key = file("ssl_key", "server.key");
    let ca_cert = file("ssl_ca_cert", "root.crt");
    if !on {
        return None;
    }
    for (name, path, example) in [("ssl_cert", &cert, "server.crt"), ("ssl_key", &key, "server.key")] {
        if path.is_none() {
            let message = format!("ssl = true needs {name}: write {name} = \"{example}\"");
            top.complain("ssl", message);
        }
    }
    Some(ListenTls { cert: cert?, key: key?, ca_cert })
}

fn hba(top: &Section<'_>) -> Vec<HbaLine> {
    let default = || {
        ["local all all scram-sha-256", "host all all all scram-sha-256"]
            .map(|text| HbaLine { text: text.to_owned(), line: 0 })
            .to_vec()
    };
    let Some(lines) = top.strings("hba") else {
        return default();
    };
    if lines.is_empty() {
        top.complain(
            "hba",
            "hba has no lines, so that no client could log in: write \
             hba = [\"host all all all scram-sha-256\"]",
        );
    }
    lines.into_iter().map(|(text, line)| HbaLine { text, line }).collect()
}

/// Messages name the user, never the secret.
fn users(top: &Section<'_>) -> BTreeMap<String, Secret> {
    let Some(section) = top.table("users", Kind::Free) else {
        return BTreeMap::new();
    };
    let mut users = BTreeMap::new();
    for (name, value, span) in section.entries() {
        if name.is_empty() {
            section.at_span(&span, "a user needs a name: write name = \"secret\"");
        }
        // After [users] TOML takes every line for a user's. Only names with an
        // underscore, as others (backend, ssl) may well be users.
        if name.contains('_') && keys::TOP.contains(&name) {
            section.at_span(
                &span,
                format!("{name} is not a user: it belongs at the top of the file, before the first [table]"),
            );
            continue;
        }
        match value.get_ref() {
            DeValue::String(secret) if secret.is_empty() => {
                section.at(value, format!("the secret of user {name} is empty: remove the line"));
            }
            DeValue::String(secret) => {
                users.insert(name.to_owned(), Secret::new(secret.as_ref()));
            }
            other => {
                let kind = type_of(other);
                section.at(
                    value,
                    format!("the secret of user {name} must be a string, not {kind}: put quotes around it"),
                );
            }
        }
    }
    users
}
