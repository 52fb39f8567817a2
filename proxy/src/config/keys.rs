//! The names that may stand in each kind of table, and what to say about a
//! name that may not.

use super::model::Plugins;
use super::pgpool;

/// A kind of table, by the keys it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Before the first `[table]`.
    Top,
    /// `[[backend]]`
    Backend,
    /// `[plugins]`, which has tables with free names besides.
    Plugins,
    /// `[plugins.NAME]`
    Plugin,
    /// `[admin]`
    Admin,
    /// `[databases]`, whose tables have free names.
    Databases,
    /// `[databases.NAME]`
    Database,
    /// `[users.NAME]`
    User,
    /// `[users]` and `[plugins.NAME.config]`, whose keys are free.
    Free,
}

pub(super) const TOP: &[&str] = &[
    "port",
    "listen_addresses",
    "unix_socket_directories",
    "unix_socket_permissions",
    "worker_threads",
    "max_client_conn",
    "num_init_children",
    "reserved_connections",
    "listen_backlog_multiplier",
    "backend_clustering_mode",
    "replicate_select",
    "insert_lock",
    "replication_stop_on_mismatch",
    "failover_if_affected_tuples_mismatch",
    "replication_deadlock_timeout",
    "work_dir",
    "pool_mode",
    "pinning",
    "max_prepared_statements",
    "default_pool_size",
    "max_db_connections",
    "max_user_connections",
    "max_db_client_connections",
    "max_user_client_connections",
    "max_pool",
    "min_pool_size",
    "reserve_pool_size",
    "reserve_pool_timeout",
    "query_wait_timeout",
    "reset_query_list",
    "connection_cache",
    "connection_life_time",
    "child_life_time",
    "child_max_connections",
    "server_lifetime",
    "authentication_timeout",
    "connect_timeout",
    "client_idle_limit",
    "idle_transaction_timeout",
    "query_timeout",
    "transaction_timeout",
    "sr_check_period",
    "sr_check_user",
    "sr_check_password",
    "sr_check_database",
    "health_check_period",
    "delay_threshold",
    "delay_threshold_by_time",
    "log_standby_delay",
    "replication_delay_source_cmd",
    "replication_delay_source_timeout",
    "commit_mode",
    "two_phase_log_directory",
    "verify_period",
    "on_divergence",
    "verify_rate_limit",
    "relcache_size",
    "relcache_expire",
    "relcache_query_target",
    "statement_cache_size",
    "ssl",
    "ssl_cert",
    "ssl_key",
    "ssl_ca_cert",
    "enable_pool_hba",
    "hba",
    "auth_file",
    "auth_user",
    "auth_query",
    "auth_dbname",
    "auth_query_expire",
    "log_min_messages",
    "log_format",
    "notice_per_node_statement",
    "log_per_node_statement",
    "admin_users",
    "stats_users",
    "stats_period",
    "databases",
    "users",
    "backend",
    "plugins",
    "admin",
];

pub(super) const BACKEND: &[&str] =
    &["hostname", "port", "weight", "flag", "application_name", "sslmode", "sslrootcert", "max_connections"];

pub(super) const DATABASE: &[&str] = &[
    "pool_mode",
    "pool_size",
    "min_pool_size",
    "reserve_pool_size",
    "max_db_connections",
    "max_db_client_connections",
];

pub(super) const USER: &[&str] =
    &["password", "pool_mode", "pool_size", "max_user_connections", "max_user_client_connections"];

/// What no plugin can be called.
pub(super) const PLUGINS: &[&str] = &["trusted_keys", "watch_files", "push_directory"];

pub(super) const PLUGIN: &[&str] = &[
    "path",
    "sha256",
    "deadline",
    "memory_limit",
    "on_error",
    "allow_writes_on_standby",
    "databases",
    "users",
    "application_names",
    "config",
];

pub(super) const ADMIN: &[&str] = &["socket", "listen", "token_file"];

/// Options of PgBouncer's that have another name here, which is Pgpool-II's.
const PGBOUNCER: &[(&str, &str)] = &[
    ("server_idle_timeout", "connection_life_time"),
    ("client_login_timeout", "authentication_timeout"),
    ("client_idle_timeout", "client_idle_limit"),
    ("server_connect_timeout", "connect_timeout"),
    ("listen_addr", "listen_addresses"),
    ("listen_port", "port"),
    ("unix_socket_dir", "unix_socket_directories"),
];

/// What is wrong with `key` in a table of `kind`, and what to write instead.
pub(super) fn explain_unknown(kind: Kind, key: &str) -> String {
    let unknown = match kind {
        Kind::Top | Kind::Databases | Kind::Free => format!("unknown key \"{key}\""),
        Kind::Backend => format!("unknown key \"{key}\" in [[backend]]"),
        Kind::Database => format!("unknown key \"{key}\" in [databases.NAME]"),
        Kind::User => format!("unknown key \"{key}\" in [users.NAME]"),
        Kind::Plugins => format!("unknown key \"{key}\" in [plugins]"),
        Kind::Admin => format!("unknown key \"{key}\" in [admin]"),
        Kind::Plugin => format!("unknown key \"{key}\" in [plugins.NAME]"),
    };
    if let Some(place) = pgpool::place_of(key) {
        return format!("{key} is Pgpool-II's: {place}");
    }
    if let Some((_, name)) = PGBOUNCER.iter().find(|(theirs, _)| *theirs == key) {
        return format!("{key} is PgBouncer's: write {name} = …, which is the same");
    }
    if let Some(place) = place_in_another_table(kind, key) {
        return format!("{unknown}: it belongs {place}");
    }
    if pgpool::is_parameter(key) {
        return format!("Pgpool-II's {key} is not supported yet: remove the line");
    }
    if let Some(near) = nearest(key, kind.keys()) {
        return format!("{unknown}: did you mean \"{near}\"?");
    }
    format!("{unknown}: docs/configuration.md lists all keys")
}

/// TOML gives every key after a `[header]` to that table, which is easily
/// forgotten.
fn place_in_another_table(kind: Kind, key: &str) -> Option<&'static str> {
    if kind != Kind::Top && TOP.contains(&key) {
        return Some("at the top of the file, before the first [table]");
    }
    if kind != Kind::Backend && BACKEND.contains(&key) {
        return Some("into a [[backend]] table");
    }
    if kind != Kind::Database && DATABASE.contains(&key) {
        return Some("into a [databases.NAME] table");
    }
    if kind != Kind::User && USER.contains(&key) {
        return Some("into a [users.NAME] table");
    }
    if kind != Kind::Plugin && PLUGIN.contains(&key) {
        return Some("into a [plugins.NAME] table");
    }
    if kind != Kind::Plugins && (PLUGINS.contains(&key) || Plugins::OWN.contains(&key)) {
        return Some("into the table [plugins]");
    }
    if kind != Kind::Admin && ADMIN.contains(&key) {
        return Some("into the table [admin]");
    }
    None
}

/// The most similar of `names`, if it can pass for a slip of the pen.
pub(super) fn nearest<'n>(word: &str, names: &[&'n str]) -> Option<&'n str> {
    let word = word.to_lowercase();
    let slips_allowed = (word.chars().count() / 3).max(1);
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&word, &name.to_lowercase()), *name))
        .filter(|(slips, _)| *slips <= slips_allowed)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

/// `"a"`; `"a" or "b"`; `"a", "b" or "c"`.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

// === impl Kind ===

impl Kind {
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Top => TOP,
            Self::Backend => BACKEND,
            Self::Plugins => PLUGINS,
            Self::Plugin => PLUGIN,
            Self::Database => DATABASE,
            Self::User => USER,
            Self::Admin => ADMIN,
            Self::Databases | Self::Free => &[],
        }
    }
}

#[cfg(test)]
mod tests;
