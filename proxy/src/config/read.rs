//! The keys at the top of the file, and what must hold between them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::errors::Problems;
use super::model::{
    ClusteringMode, CommitMode, Config, HbaLine, ListenTls, LogFormat, LogLevel, LogStandbyDelay,
    OnDivergence, PoolMode, RelcacheQueryTarget, Secret,
};
use super::read_overrides::OfAll;
use super::section::{Section, in_folder_of};
use super::units::Bare::{Milliseconds, Seconds};
use super::{read_admin, read_backend, read_overrides, read_plugin};

/// `two_phase_log_directory`, in the folder of the configuration.
const TWO_PHASE: &str = "two_phase";

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Reads everything. Where `problems` holds mistakes afterwards, the result
/// has defaults in their places and must not be used.
pub(super) fn config<'a>(table: &'a DeTable<'a>, source: &Path, problems: &'a Problems<'a>) -> Config {
    let top = Section::top(table, problems);
    let limit = |key| read_overrides::limit(&top, key, None);
    let databases =
        OfAll { connections: limit("max_db_connections"), clients: limit("max_db_client_connections") };
    let users =
        OfAll { connections: limit("max_user_connections"), clients: limit("max_user_client_connections") };
    let mut config = Config {
        source: source.to_owned(),

        port: top.integer("port", 9999, 1..=65535),
        listen_addresses: top.list("listen_addresses", ',', &["localhost"]),
        unix_socket_directories: unix_socket_directories(&top, source),
        unix_socket_permissions: unix_socket_permissions(&top),
        worker_threads: unless_zero(top.integer("worker_threads", 0, 0..=1024)),
        max_client_conn: top.integer("max_client_conn", 1000, 1..=1_000_000),
        num_init_children: unless_zero(top.integer("num_init_children", 0, 0..=1_000_000)),
        reserved_connections: top.integer("reserved_connections", 0, 0..=1_000_000),
        listen_backlog_multiplier: top.integer("listen_backlog_multiplier", 2, 1..=1_000),

        backend_clustering_mode: backend_clustering_mode(&top),
        backends: read_backend::backends(&top, source),
        replicate_select: top.boolean("replicate_select", false),
        insert_lock: top.boolean("insert_lock", true),
        replication_stop_on_mismatch: top.boolean("replication_stop_on_mismatch", false),
        failover_if_affected_tuples_mismatch: top.boolean("failover_if_affected_tuples_mismatch", false),
        replication_deadlock_timeout: top.limit("replication_deadlock_timeout", Some(secs(10)), Seconds),
        work_dir: in_folder_of(source, top.text("work_dir", ".").unwrap_or(".")),

        pool_mode: read_overrides::pool_mode(&top).unwrap_or(PoolMode::Session),
        pinning: top.boolean("pinning", true),
        max_prepared_statements: top.integer("max_prepared_statements", 200, 1..=1_000_000),
        default_pool_size: top.integer("default_pool_size", 90, 1..=1_000_000),
        max_db_connections: databases.connections,
        max_user_connections: users.connections,
        max_db_client_connections: databases.clients,
        max_user_client_connections: users.clients,
        databases: read_overrides::databases(&top, databases),
        max_pool: unless_zero(top.integer("max_pool", 0, 0..=1_000_000)),
        min_pool_size: top.integer("min_pool_size", 0, 0..=1_000_000),
        reserve_pool_size: top.integer("reserve_pool_size", 0, 0..=1_000_000),
        reserve_pool_timeout: top.duration("reserve_pool_timeout", secs(5), Seconds),
        query_wait_timeout: top.limit("query_wait_timeout", Some(secs(120)), Seconds),
        reset_query_list: top.list("reset_query_list", ';', &["ABORT", "DISCARD ALL"]),
        connection_cache: top.boolean("connection_cache", true),
        connection_life_time: top.limit("connection_life_time", None, Seconds),
        child_life_time: top.limit("child_life_time", None, Seconds),
        child_max_connections: unless_zero(top.integer("child_max_connections", 0, 0..=1_000_000_000)),
        server_lifetime: top.limit("server_lifetime", None, Seconds),

        authentication_timeout: top.limit("authentication_timeout", Some(secs(60)), Seconds),
        connect_timeout: top.period("connect_timeout", secs(10), Milliseconds),
        client_idle_limit: top.limit("client_idle_limit", None, Seconds),
        idle_transaction_timeout: top.limit("idle_transaction_timeout", None, Seconds),
        query_timeout: top.limit("query_timeout", None, Seconds),
        transaction_timeout: top.limit("transaction_timeout", None, Seconds),

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

        commit_mode: commit_mode(&top),
        two_phase_log_directory: top
            .path("two_phase_log_directory", TWO_PHASE, source)
            .unwrap_or_else(|| in_folder_of(source, TWO_PHASE)),

        verify_period: top.limit("verify_period", None, Seconds),
        verify_rate_limit: unless_zero(top.size("verify_rate_limit", 64 << 20, 0..=1 << 40)),
        on_divergence: on_divergence(&top),

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
        auth_user: top.text("auth_user", "waypool_auth").map(str::to_owned),
        auth_query: auth_query(&top),
        auth_dbname: top.text("auth_dbname", "postgres").map(str::to_owned),
        auth_query_expire: top.duration("auth_query_expire", secs(1), Seconds),
        users: read_overrides::users(&top, users),

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
    if let Some(mode) = read_plugin::repeating_mode(config.backend_clustering_mode) {
        read_plugin::tell_mode(&mut config.plugins, mode);
    }
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
    let children = config.num_init_children;
    if children.is_none() && (config.reserved_connections > 0 || config.max_pool.is_some()) {
        let key = if config.max_pool.is_some() { "max_pool" } else { "reserved_connections" };
        top.complain(key, format!("{key} needs num_init_children: write num_init_children = 32"));
    }
    if children.is_some_and(|children| config.reserved_connections >= children) {
        top.complain(
            "reserved_connections",
            "reserved_connections must be less than num_init_children, or no client could connect",
        );
    }
    if let (Some(listen), None) = (&config.admin.listen, &config.ssl) {
        read_admin::check_without_tls(top, listen);
    }
    for key in ["auth_query", "auth_dbname", "auth_query_expire"] {
        if config.auth_user.is_none() && top.value(key).is_some() && top.value("auth_user").is_none() {
            top.complain(key, format!("{key} needs auth_user, the role that asks: write auth_user = \"…\""));
        }
    }
    check_replication(top, config);
    let needs_a_user = match config.backend_clustering_mode {
        ClusteringMode::StreamingReplication => {
            Some("streaming_replication needs it to find the primary and measure lag")
        }
        ClusteringMode::LogicalReplication => {
            Some("logical_replication needs it to look up what functions and tables are")
        }
        ClusteringMode::NativeReplication => {
            Some("native_replication needs it to look up what functions and tables are")
        }
        ClusteringMode::SnapshotIsolation => {
            Some("snapshot_isolation needs it to look up what functions and tables are")
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

/// Every session has a connection to every server, with the same state on each.
fn check_replication(top: &Section<'_>, config: &Config) {
    let Some(mode) = read_plugin::repeating_mode(config.backend_clustering_mode) else {
        return;
    };
    if config.pool_mode != PoolMode::Session {
        let message = format!("{mode} has no pool_mode but \"session\" yet: write pool_mode = \"session\"");
        top.complain("pool_mode", message);
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
            ("native_replication", ClusteringMode::NativeReplication),
            ("snapshot_isolation", ClusteringMode::SnapshotIsolation),
            ("raw", ClusteringMode::Raw),
        ],
        &["slony"],
    )
}

fn commit_mode(top: &Section<'_>) -> CommitMode {
    let modes = [("ordered", CommitMode::Ordered), ("two_phase", CommitMode::TwoPhase)];
    top.choice("commit_mode", CommitMode::Ordered, &modes, &[])
}

fn on_divergence(top: &Section<'_>) -> OnDivergence {
    let policies = [("report", OnDivergence::Report), ("detach", OnDivergence::Detach)];
    top.choice("on_divergence", OnDivergence::Report, &policies, &[])
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

/// PgBouncer's.
const AUTH_QUERY: &str = "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END \
                          FROM pg_authid WHERE rolname = $1 AND rolcanlogin";

fn auth_query(top: &Section<'_>) -> String {
    let key = "auth_query";
    let query = top.text(key, AUTH_QUERY).unwrap_or(AUTH_QUERY);
    if !query.contains("$1") {
        top.complain(key, format!("{key} must have $1 in it, in the place of the user: {AUTH_QUERY}"));
    }
    query.to_owned()
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
