//! What correct files mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{SHORTEST, top};
use crate::config::{
    BackendFlag, ClusteringMode, CommitMode, Config, Host, LogFormat, LogLevel, LogStandbyDelay,
    OnDivergence, OnError, PoolMode, RelcacheQueryTarget, Secret, SslMode,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn defaults() {
    let config = top("");
    assert_eq!(config.source, Path::new("waypool.toml"));
    assert_eq!(config.port, 9999);
    assert_eq!(config.listen_addresses, ["localhost"]);
    assert_eq!(config.unix_socket_directories, [Path::new("/tmp")]);
    assert_eq!(config.unix_socket_permissions, 0o777);
    assert_eq!(config.worker_threads, None);
    assert_eq!(config.max_client_conn, 1000);
    assert_eq!(config.backend_clustering_mode, ClusteringMode::StreamingReplication);
    assert!(config.insert_lock && !config.replicate_select);
    assert!(!config.replication_stop_on_mismatch && !config.failover_if_affected_tuples_mismatch);
    assert_eq!(config.replication_deadlock_timeout, Some(secs(10)));
    assert_eq!(config.work_dir, Path::new("."));
    assert_eq!(config.pool_mode, PoolMode::Session);
    assert!(config.pinning);
    assert_eq!(config.max_prepared_statements, 200);
    assert_eq!(config.default_pool_size, 90);
    assert_eq!(config.max_db_connections, None);
    assert_eq!(config.max_user_connections, None);
    assert_eq!(config.max_db_client_connections, None);
    assert_eq!(config.max_user_client_connections, None);
    assert!(config.databases.is_empty());
    assert_eq!(config.query_wait_timeout, Some(secs(120)));
    assert_eq!(config.reset_query_list, ["ABORT", "DISCARD ALL"]);
    assert!(config.connection_cache);
    assert_eq!(config.connection_life_time, None);
    assert_eq!(config.authentication_timeout, Some(secs(60)));
    assert_eq!(config.connect_timeout, secs(10));
    assert_eq!(config.client_idle_limit, None);
    assert_eq!(config.idle_transaction_timeout.or(config.query_timeout).or(config.transaction_timeout), None);
    assert_eq!((config.num_init_children, config.max_pool, config.reserved_connections), (None, None, 0));
    assert_eq!((config.reserve_pool_size, config.reserve_pool_timeout), (0, secs(5)));
    assert!(config.admin_users.is_empty() && config.stats_users.is_empty());
    assert_eq!(config.stats_period, secs(60));
    assert_eq!(config.sr_check_period, secs(10));
    assert_eq!(config.sr_check_password, None);
    assert_eq!(config.sr_check_database, "postgres");
    assert_eq!(config.health_check_period, secs(1));
    assert_eq!(config.delay_threshold, None);
    assert_eq!(config.delay_threshold_by_time, None);
    assert_eq!(config.log_standby_delay, LogStandbyDelay::IfOverThreshold);
    assert_eq!(config.replication_delay_source_cmd, None);
    assert_eq!(config.replication_delay_source_timeout, secs(10));
    assert_eq!((config.commit_mode, config.on_divergence), (CommitMode::Ordered, OnDivergence::Report));
    assert_eq!(config.two_phase_log_directory, Path::new("two_phase"));
    assert_eq!((config.verify_period, config.verify_rate_limit), (None, Some(64 << 20)));
    assert_eq!(config.relcache_size, 4096);
    assert_eq!(config.relcache_expire, None);
    assert_eq!(config.relcache_query_target, RelcacheQueryTarget::Primary);
    assert_eq!(config.statement_cache_size, 16 << 20);
    assert_eq!(config.ssl, None);
    assert!(config.enable_pool_hba);
    assert_eq!(config.hba[1].text, "host all all all scram-sha-256");
    assert_eq!(config.hba[1].line, 0);
    assert_eq!(config.auth_file, None);
    assert_eq!(config.auth_user, None);
    assert!(config.auth_query.contains("FROM pg_authid WHERE rolname = $1"));
    assert_eq!(config.auth_dbname, None);
    assert_eq!(config.auth_query_expire, secs(1));
    assert!(config.users.is_empty());
    assert_eq!(config.log_min_messages, LogLevel::Info);
    assert_eq!(config.log_format, LogFormat::Auto);
    assert!(!config.notice_per_node_statement);
    assert!(!config.log_per_node_statement);

    let [backend] = &config.backends[..] else { panic!("{:?}", config.backends) };
    assert_eq!(backend.hostname, Host::Tcp("db0".to_owned()));
    assert_eq!(backend.port, 5432);
    assert_eq!(backend.weight, 1.0);
    assert_eq!(backend.flag, BackendFlag { allow_to_failover: true, always_primary: false });
    assert_eq!(backend.sslmode, SslMode::Prefer);
    assert_eq!(backend.max_connections, None);

    let names: Vec<_> = config.plugins.entries.iter().map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["classify", "balance", "rewrite"]);
    for plugin in &config.plugins.entries {
        let name = &plugin.name;
        assert_eq!(plugin.path, None, "{name}");
        assert_eq!(plugin.sha256, None, "{name}");
        assert_eq!(plugin.deadline, Duration::from_millis(100), "{name}");
        assert_eq!(plugin.memory_limit, 64 << 20, "{name}");
        assert_eq!(plugin.on_error, OnError::Primary, "{name}");
        assert!(!plugin.allow_writes_on_standby, "{name}");
        assert!(plugin.applies_to("any", "one", ""), "{name}");
        assert_eq!(plugin.config, serde_json::json!({}), "{name}");
    }
    assert!(config.plugins.trusted_keys.is_empty());
    assert_eq!(config.plugins.push_directory, Path::new("plugins.pushed"));
    assert_eq!(config.admin_socket(), Some(PathBuf::from("/tmp/.s.WAYPOOL.9999")));
    assert_eq!(config.admin.listen, None);
}

#[test]
fn bare_integers_have_pgpools_unit() {
    let config = top("connect_timeout = 2500\nauthentication_timeout = 30\nclient_idle_limit = \"5\"");
    assert_eq!(config.connect_timeout, Duration::from_millis(2500));
    assert_eq!(config.authentication_timeout, Some(secs(30)));
    assert_eq!(config.client_idle_limit, Some(secs(5)));
}

#[test]
fn words() {
    let config = top("backend_clustering_mode = \"logical_replication\"\nlog_standby_delay = \"always\"\n\
                      relcache_query_target = \"load_balance_node\"");
    assert_eq!(config.backend_clustering_mode, ClusteringMode::LogicalReplication);
    assert_eq!(config.log_standby_delay, LogStandbyDelay::Always);
    assert_eq!(config.relcache_query_target, RelcacheQueryTarget::LoadBalanceNode);
    assert_eq!(top("log_standby_delay = \"none\"").log_standby_delay, LogStandbyDelay::None);
}

#[test]
fn native_replication() {
    let config = top("backend_clustering_mode = \"native_replication\"\nreplicate_select = true\n\
                      insert_lock = false\nreplication_stop_on_mismatch = true\n\
                      failover_if_affected_tuples_mismatch = true\nreplication_deadlock_timeout = 0\n\
                      work_dir = \"/var/lib/waypool\"");
    assert_eq!(config.backend_clustering_mode, ClusteringMode::NativeReplication);
    assert!(config.replicate_select && !config.insert_lock);
    assert!(config.replication_stop_on_mismatch && config.failover_if_affected_tuples_mismatch);
    assert_eq!(config.replication_deadlock_timeout, None);
    assert_eq!(config.work_dir, Path::new("/var/lib/waypool"));
    let config = top("backend_clustering_mode = \"snapshot_isolation\"");
    assert_eq!(config.backend_clustering_mode, ClusteringMode::SnapshotIsolation);
    assert!(config.backend_clustering_mode.replicates() && !ClusteringMode::Raw.replicates());
}

#[test]
fn lag_in_time_and_from_a_command() {
    let config = top("delay_threshold_by_time = 500\nreplication_delay_source_cmd = \"lag %h\"\n\
                      replication_delay_source_timeout = 3");
    assert_eq!(config.delay_threshold_by_time, Some(Duration::from_millis(500)));
    assert_eq!(config.replication_delay_source_cmd.as_deref(), Some("lag %h"));
    assert_eq!(config.replication_delay_source_timeout, secs(3));
    assert_eq!(top("delay_threshold_by_time = \"1min\"").delay_threshold_by_time, Some(secs(60)));
}

#[test]
fn zero_is_off() {
    let config = top("authentication_timeout = 0\nquery_wait_timeout = \"0s\"");
    assert_eq!(config.authentication_timeout, None);
    assert_eq!(config.query_wait_timeout, None);
}

#[test]
fn lists_in_pgpools_form() {
    let config = top("listen_addresses = \"10.0.0.1, ::1\"\nreset_query_list = \"ABORT; DISCARD ALL;\"");
    assert_eq!(config.listen_addresses, ["10.0.0.1", "::1"]);
    assert_eq!(config.reset_query_list, ["ABORT", "DISCARD ALL"]);
    assert!(top("listen_addresses = []").listen_addresses.is_empty());
    assert!(top("listen_addresses = \"\"").listen_addresses.is_empty());
}

#[test]
fn permissions_are_octal() {
    assert_eq!(top("unix_socket_permissions = \"0700\"").unix_socket_permissions, 0o700);
    assert_eq!(top("unix_socket_permissions = 0o750").unix_socket_permissions, 0o750);
}

#[test]
fn hba_lines_know_their_place() {
    let config = top("\nhba = [\n  \"local all all trust\", # here\n\n  \"host all all ::1/128 md5\",\n]");
    let lines: Vec<_> = config.hba.iter().map(|hba| (hba.line, hba.text.as_str())).collect();
    assert_eq!(lines, [(3, "local all all trust"), (5, "host all all ::1/128 md5")]);
}

#[test]
fn backends() {
    let text = r#"
        backend_clustering_mode = "raw"
        [[backend]]
        hostname = "/var/run/postgresql"
        weight = 0
        flag = "ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER"
        [[backend]]
        hostname = "::1"
        port = 5433
        weight = 2.5
        application_name = "standby1"
        max_connections = 40
    "#;
    let config = Config::parse(text, "waypool.toml").unwrap();
    let [socket, standby] = &config.backends[..] else { panic!() };
    assert_eq!(socket.hostname, Host::Unix(PathBuf::from("/var/run/postgresql")));
    assert_eq!(socket.sslmode, SslMode::Disable);
    assert_eq!(socket.weight, 0.0);
    assert_eq!(socket.flag, BackendFlag { allow_to_failover: false, always_primary: true });
    assert_eq!(standby.hostname, Host::Tcp("::1".to_owned()));
    assert_eq!(standby.port, 5433);
    assert_eq!(standby.weight, 2.5);
    assert_eq!(standby.application_name.as_deref(), Some("standby1"));
    assert_eq!(standby.max_connections, Some(40));
}

#[test]
fn files_are_taken_from_the_folder_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["server.crt", "server.key", "pool_passwd", "mine.wasm"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    let text = format!(
        "ssl = true\nssl_cert = \"server.crt\"\nssl_key = \"./server.key\"\n\
         auth_file = \"pool_passwd\"\n{SHORTEST}[plugins.rewrite]\npath = \"mine.wasm\"\n"
    );
    let path = folder.path().join("waypool.toml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.ssl.unwrap().cert, folder.path().join("server.crt"));
    assert_eq!(config.auth_file, Some(folder.path().join("pool_passwd")));
    assert_eq!(config.plugins.get("rewrite").unwrap().path, Some(folder.path().join("mine.wasm")));
}

#[test]
fn certificates_may_be_missing_while_ssl_is_off() {
    assert_eq!(top("ssl = false\nssl_cert = \"nowhere.crt\"").ssl, None);
}

#[test]
fn debug_output_keeps_secrets() {
    let config = top("sr_check_password = \"hush1\"\nusers = { app = \"hush2\" }");
    assert_eq!(config.sr_check_password.as_ref().map(Secret::expose), Some("hush1"));
    assert_eq!(config.users["app"].password.as_ref().unwrap().expose(), "hush2");
    let debug = format!("{config:?}");
    assert!(debug.contains("app") && !debug.contains("hush"), "{debug}");
}
