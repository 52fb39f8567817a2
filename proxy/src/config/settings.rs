//! The keys at the top of the file with their values, for people.

use super::difference::restart_keys;
use super::model::{
    ClusteringMode, CommitMode, Config, HbaLine, LogFormat, LogLevel, LogStandbyDelay, OnDivergence,
    PoolMode, RelcacheQueryTarget, Secret,
};
use super::units::show_duration;
use std::path::PathBuf;
use std::time::Duration;

/// One key. Values are written as in the file, but for the quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static str,
    pub value: String,
    pub default: String,
    /// A reload changes it.
    pub reloadable: bool,
}

/// All that is needed besides defaults.
const SMALLEST: &str = "sr_check_user = \"waypool\"\n[[backend]]\nhostname = \"localhost\"\n";

pub(super) fn all(config: &Config) -> Vec<Setting> {
    let defaults = Config::parse(SMALLEST, &config.source).map(|config| values(&config)).unwrap_or_default();
    let restart = restart_keys(config);
    let settings = values(config).into_iter().enumerate().map(|(at, (key, value))| {
        let default = match key {
            // It has to be given.
            "sr_check_user" => String::new(),
            _ => defaults.get(at).map(|(_, default)| default.clone()).unwrap_or_default(),
        };
        Setting { key, value, default, reloadable: !restart.contains(&key) }
    });
    settings.collect()
}

macro_rules! shown {
    ($config:ident, $($key:ident)*) => { vec![$((stringify!($key), $config.$key.shown())),*] };
}

fn values(config: &Config) -> Vec<(&'static str, String)> {
    let mut values = shown!(config,
        port listen_addresses unix_socket_directories unix_socket_permissions worker_threads
        max_client_conn num_init_children reserved_connections listen_backlog_multiplier
        backend_clustering_mode replicate_select insert_lock replication_stop_on_mismatch
        failover_if_affected_tuples_mismatch replication_deadlock_timeout work_dir pool_mode pinning max_prepared_statements
        default_pool_size max_pool min_pool_size reserve_pool_size reserve_pool_timeout max_db_connections max_user_connections max_db_client_connections
        max_user_client_connections query_wait_timeout
        reset_query_list connection_cache connection_life_time child_life_time child_max_connections
        server_lifetime authentication_timeout connect_timeout client_idle_limit
        idle_transaction_timeout query_timeout transaction_timeout sr_check_period sr_check_user sr_check_password sr_check_database
        health_check_period delay_threshold delay_threshold_by_time log_standby_delay
        replication_delay_source_cmd replication_delay_source_timeout commit_mode two_phase_log_directory verify_period verify_rate_limit on_divergence relcache_size relcache_expire
        relcache_query_target statement_cache_size enable_pool_hba hba auth_file auth_user auth_query auth_dbname
        auth_query_expire log_min_messages log_format notice_per_node_statement log_per_node_statement admin_users stats_users stats_period
    );
    for (key, value) in &mut values {
        if *key == "unix_socket_permissions" {
            *value = format!("0{:o}", config.unix_socket_permissions);
        }
    }
    let tls = config.ssl.as_ref();
    values.push(("ssl", tls.is_some().shown()));
    values.push(("ssl_cert", tls.map(|tls| tls.cert.clone()).map(|path| path.shown()).unwrap_or_default()));
    values.push(("ssl_key", tls.map(|tls| tls.key.clone()).map(|path| path.shown()).unwrap_or_default()));
    let ca_cert = tls.and_then(|tls| tls.ca_cert.clone());
    values.push(("ssl_ca_cert", ca_cert.map(|path| path.shown()).unwrap_or_default()));
    values
}

/// As it stands in the file.
trait Shown {
    /// What stands for none of it.
    const NONE: &str = "";

    fn shown(&self) -> String;
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| T::NONE.to_owned(), T::shown)
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self) -> String {
        let parts: Vec<String> = self.iter().map(T::shown).collect();
        parts.join(", ")
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for PathBuf {
    fn shown(&self) -> String {
        self.display().to_string()
    }
}

impl Shown for Duration {
    const NONE: &str = "0";

    fn shown(&self) -> String {
        show_duration(*self)
    }
}

impl Shown for HbaLine {
    fn shown(&self) -> String {
        self.text.clone()
    }
}

/// Nobody is shown a password.
impl Shown for Secret {
    fn shown(&self) -> String {
        "****".to_owned()
    }
}

macro_rules! numbers {
    ($($number:ty)*) => { $(impl Shown for $number {
        const NONE: &str = "0";

        fn shown(&self) -> String {
            self.to_string()
        }
    })* };
}

numbers!(u16 u32 u64 usize bool);

/// The words of a key are the names of its variants, in lower case with `_`.
macro_rules! words {
    ($($choice:ty)*) => { $(impl Shown for $choice {
        fn shown(&self) -> String {
            snake_case(&format!("{self:?}"))
        }
    })* };
}

words!(CommitMode OnDivergence ClusteringMode PoolMode LogStandbyDelay RelcacheQueryTarget LogFormat LogLevel);

fn snake_case(name: &str) -> String {
    let mut word = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(c.to_ascii_lowercase());
    }
    word
}

#[cfg(test)]
mod tests;
