//! What changes between two configurations, by what it takes to apply it.

use super::model::{Backend, Config, ListenTls, Plugins};

/// The keys whose values differ, by their names in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Need a restart; a reload leaves the old value in force.
    pub restart: Vec<String>,
    /// Take effect on reload.
    pub reload: Vec<String>,
}

/// Compares the fields named. The pattern names every field of `Config`, so
/// the compiler asks for a decision when a field is added.
macro_rules! compare {
    ($old:ident, $new:ident, restart: $($restart:ident)*, reload: $($reload:ident)*, elsewhere: $($other:ident)*) => {{
        let Config { $($restart: _,)* $($reload: _,)* $($other: _,)* } = $old;
        let mut difference = Difference::default();
        $(if $old.$restart != $new.$restart {
            difference.restart.push(stringify!($restart).to_owned());
        })*
        $(if $old.$reload != $new.$reload {
            difference.reload.push(stringify!($reload).to_owned());
        })*
        (difference, &[$(stringify!($restart)),*])
    }};
}

/// The keys that need a restart.
pub(super) fn restart_keys(config: &Config) -> &'static [&'static str] {
    compared(config, config).1
}

pub(super) fn between(old: &Config, new: &Config) -> Difference {
    let (mut difference, _) = compared(old, new);
    difference.reload.extend(ssl(old, new));
    let (restart, reload) = backends(old, new);
    difference.restart.extend(restart);
    difference.reload.extend(reload);
    difference.reload.extend(plugins(old, new));
    difference
}

fn compared(old: &Config, new: &Config) -> (Difference, &'static [&'static str]) {
    compare!(old, new,
        restart:
            port listen_addresses unix_socket_directories unix_socket_permissions
            worker_threads num_init_children listen_backlog_multiplier backend_clustering_mode pool_mode work_dir
            sr_check_user sr_check_password sr_check_database
            commit_mode two_phase_log_directory relcache_size relcache_expire statement_cache_size admin,
        reload:
            replicate_select insert_lock replication_stop_on_mismatch
            failover_if_affected_tuples_mismatch replication_deadlock_timeout
            max_client_conn reserved_connections pinning max_prepared_statements
            default_pool_size max_pool min_pool_size reserve_pool_size reserve_pool_timeout
            max_db_connections max_user_connections max_db_client_connections
            max_user_client_connections databases query_wait_timeout
            reset_query_list connection_cache connection_life_time
            child_life_time child_max_connections server_lifetime
            authentication_timeout connect_timeout client_idle_limit
            idle_transaction_timeout query_timeout transaction_timeout
            sr_check_period health_check_period delay_threshold
            delay_threshold_by_time log_standby_delay
            replication_delay_source_cmd replication_delay_source_timeout
            verify_period verify_rate_limit on_divergence relcache_query_target enable_pool_hba
            hba auth_file auth_user auth_query auth_dbname auth_query_expire users log_min_messages log_format
            notice_per_node_statement log_per_node_statement
            admin_users stats_users stats_period,
        elsewhere: source backends ssl plugins
    )
}

/// One field here, four keys in the file.
fn ssl(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (old.ssl.as_ref(), new.ssl.as_ref());
    let ca_cert = |tls: Option<&ListenTls>| tls.and_then(|tls| tls.ca_cert.clone());
    let keys = [
        ("ssl", old.is_some() != new.is_some()),
        ("ssl_cert", old.map(|tls| &tls.cert) != new.map(|tls| &tls.cert)),
        ("ssl_key", old.map(|tls| &tls.key) != new.map(|tls| &tls.key)),
        ("ssl_ca_cert", ca_cert(old) != ca_cert(new)),
    ];
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key.to_owned()).collect()
}

/// Servers are known by their number: their place in the file, from 0. What
/// needs a restart, and what does not: weight and limit.
fn backends(old: &Config, new: &Config) -> (Vec<String>, Vec<String>) {
    let (mut restart, mut reload) = (Vec::new(), Vec::new());
    for id in 0..old.backends.len().max(new.backends.len()) {
        match (old.backends.get(id), new.backends.get(id)) {
            (Some(before), Some(after)) if before != after => {
                let same = Backend {
                    weight: after.weight,
                    max_connections: after.max_connections,
                    ..before.clone()
                };
                let needs = if same == *after { &mut reload } else { &mut restart };
                needs.push(format!("backend {id} ({}:{})", after.hostname, after.port));
            }
            (None, Some(added)) => {
                restart.push(format!("backend {id} ({}:{}), added", added.hostname, added.port));
            }
            (Some(gone), None) => {
                restart.push(format!("backend {id} ({}:{}), removed", gone.hostname, gone.port));
            }
            _ => {}
        }
    }
    (restart, reload)
}

/// Plugins are known by their names.
fn plugins(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (&old.plugins, &new.plugins);
    let mut changes = Vec::new();
    if old.trusted_keys != new.trusted_keys {
        changes.push("plugins.trusted_keys".to_owned());
    }
    if old.watch_files != new.watch_files {
        changes.push("plugins.watch_files".to_owned());
    }
    if old.push_directory != new.push_directory {
        changes.push("plugins.push_directory".to_owned());
    }
    for after in &new.entries {
        match old.get(&after.name) {
            None => changes.push(format!("plugins.{}, added", after.name)),
            Some(before) if before != after => changes.push(format!("plugins.{}", after.name)),
            Some(_) => {}
        }
    }
    for gone in old.entries.iter().filter(|before| new.get(&before.name).is_none()) {
        changes.push(format!("plugins.{}, removed", gone.name));
    }
    if order_changed(old, new) {
        changes.push("plugins, their order".to_owned());
    }
    changes
}

/// Do those plugins which both have stand in another order?
fn order_changed(old: &Plugins, new: &Plugins) -> bool {
    let kept = |plugins: &Plugins, others: &Plugins| -> Vec<String> {
        let names = plugins.entries.iter().map(|plugin| plugin.name.clone());
        names.filter(|name| others.get(name).is_some()).collect()
    };
    kept(old, new) != kept(new, old)
}

// === impl Difference ===

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.restart.is_empty() && self.reload.is_empty()
    }
}

#[cfg(test)]
mod tests;
