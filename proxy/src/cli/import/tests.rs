#![allow(clippy::unwrap_used)]

//! Whole files: what the result means, and what is said about the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::report::{Group, Report};
use super::{Options, convert};
use crate::config::{
    BackendFlag, ClusteringMode, Config, Host, LogLevel, LogStandbyDelay, RelcacheQueryTarget, Secret,
    SslMode,
};

/// A folder with a `pgpool.conf` and other files; `@FOLDER@` in it is the
/// folder's own name.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(pgpool_conf: &str) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        let name = folder.0.path().display().to_string();
        folder.with("pgpool.conf", &pgpool_conf.replace("@FOLDER@", &name))
    }

    fn with(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self) -> Options {
        Options { pgpool_conf: self.path("pgpool.conf"), pool_hba: None, pool_passwd: None }
    }

    fn import(&self) -> (Config, String, Report) {
        let (text, report) = convert(&self.options()).unwrap();
        match Config::parse(&text, "waypool.toml") {
            Ok(config) => (config, text, report),
            Err(errors) => panic!("{errors}\n{text}"),
        }
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const SERVERS: &str = "backend_port0 = 5432\nbackend_hostname0 = 'db0'\nsr_check_user = 'check'\n";

#[test]
fn an_empty_file_binds_what_pgpool_would() {
    let (config, text, report) = Folder::new(SERVERS).import();
    assert_eq!(config.port, 9999);
    assert_eq!(config.listen_addresses, ["localhost"]);
    assert!(!config.enable_pool_hba);
    assert_eq!((config.max_client_conn, config.default_pool_size), (96, 32));
    assert_eq!((config.num_init_children, config.max_pool), (Some(32), Some(4)));
    assert_eq!(config.child_life_time, Some(secs(300)));
    assert_eq!(config.backends[0].weight, 0.0);
    assert_eq!(config.backends[0].max_connections, None);
    assert_eq!(config.backends[0].sslmode, SslMode::Disable);
    assert_eq!(config.auth_file, None);
    assert!(report.is_empty(), "{report}\n{text}");
}

#[test]
fn streaming() {
    let folder = Folder::new(include_str!("tests/streaming.conf"))
        .with("pool_passwd", "app:md5b7e7d5a5f0b1bb7a7f0a6c7f9b2ad9c5\npgpool:TEXTsesame\n")
        .with("pool_hba.conf", "local all all trust\nhost all all 0.0.0.0/0 scram-sha-256\n");
    let (config, text, report) = folder.import();
    assert_eq!(config.backend_clustering_mode, ClusteringMode::StreamingReplication);
    assert_eq!(config.listen_addresses, ["*"]);
    assert_eq!(config.unix_socket_directories, [folder.0.path()]);
    assert_eq!((config.max_client_conn, config.default_pool_size), (300, 100));
    assert_eq!((config.num_init_children, config.max_pool), (Some(100), Some(2)));
    assert_eq!(config.authentication_timeout, Some(secs(60)));
    assert_eq!(config.client_idle_limit, Some(secs(600)));
    assert_eq!(config.connection_life_time, None);
    assert_eq!(config.connect_timeout, secs(3));
    assert_eq!((config.sr_check_period, config.health_check_period), (secs(5), secs(5)));
    assert_eq!(config.sr_check_user, "pgpool");
    assert_eq!(config.sr_check_password.as_ref().map(Secret::expose), Some("sesame"));
    assert_eq!(config.delay_threshold, Some(10 << 20));
    assert_eq!(config.log_standby_delay, LogStandbyDelay::Always);
    assert_eq!(config.log_min_messages, LogLevel::Warning);
    assert!(config.enable_pool_hba);
    let rules: Vec<&str> = config.hba.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(rules, ["local all all trust", "host all all 0.0.0.0/0 scram-sha-256"]);
    assert_eq!(config.auth_file, Some(folder.path("pool_passwd")));
    assert!(config.users.is_empty());
    assert_eq!(config.plugins.get("balance").unwrap().config, json!({ "load_balance_mode": true }));
    let [first, _, third] = &config.backends[..] else { panic!("{text}") };
    assert_eq!(first.application_name.as_deref(), Some("server1"));
    assert_eq!(third.hostname, Host::Tcp("server3".to_owned()));
    assert_eq!((third.port, third.weight), (5433, 0.5));
    assert_eq!(third.flag, BackendFlag { allow_to_failover: false, always_primary: false });

    assert_eq!(report.lines(Group::Unknown), ["log_conections (line 82): did you mean log_connections?"]);
    let attention = report.lines(Group::Attention);
    for name in ["failover_command: ", "follow_primary_command: ", "use_watchdog: "] {
        assert!(attention.iter().any(|line| line.starts_with(name)), "{name} in {report}");
    }
    let needless = report.lines(Group::Needless).join("\n");
    assert!(needless.contains("backend_data_directory0, backend_data_directory1, backend_data_directory2: "));
    assert!(needless.contains("memqcache_memcached_host, memqcache_method: without effect"), "{report}");
    // What is at its default is not worth a line.
    let report = report.to_string();
    for name in ["child_life_time", "log_rotation_age", "recovery_password", "max_spare_children"] {
        assert!(!report.contains(name), "{name} in {report}");
    }
    assert!(!report.contains("hush"), "{report}");
}

#[test]
fn balancing() {
    let (config, _, report) = Folder::new(include_str!("tests/balancing.conf")).import();
    assert_eq!(config.backend_clustering_mode, ClusteringMode::LogicalReplication);
    assert!(config.unix_socket_directories.is_empty());
    assert_eq!(config.sr_check_password.as_ref().map(Secret::expose), Some("hush"));
    assert_eq!(config.sr_check_database, "app");
    assert_eq!(config.sr_check_period, secs(20));
    assert_eq!(config.delay_threshold, Some(1000));
    assert_eq!(config.delay_threshold_by_time, Some(secs(60)));
    assert_eq!(config.log_standby_delay, LogStandbyDelay::None);
    assert_eq!(config.replication_delay_source_cmd.as_deref(), Some("/usr/local/bin/delay"));
    assert_eq!(config.replication_delay_source_timeout, secs(3));
    assert_eq!((config.relcache_size, config.relcache_expire), (1024, Some(secs(3600))));
    assert_eq!(config.relcache_query_target, RelcacheQueryTarget::LoadBalanceNode);
    assert!(config.notice_per_node_statement && config.log_per_node_statement);
    assert_eq!(config.backends.len(), 2);
    assert_eq!(config.backends[0].flag, BackendFlag { allow_to_failover: false, always_primary: true });
    assert_eq!(
        config.plugins.get("classify").unwrap().config,
        json!({
            "allow_sql_comments": true,
            "ignore_leading_white_space": false,
            "read_only_function_list": "get_.*,now",
            "primary_routing_query_pattern_list": r#"SELECT \d+ FROM "t";.*it's.*\;x"#,
            "check_temp_table": "trace",
            "check_unlogged_table": false,
        })
    );
    assert_eq!(
        config.plugins.get("balance").unwrap().config,
        json!({
            "load_balance_mode": false,
            "statement_level_load_balance": true,
            "disable_load_balance_on_write": "dml_adaptive",
            "dml_adaptive_object_relationship_list": "table_1:table_2,f():table_3",
            "prefer_lower_delay_standby": true,
            // Server 3 is number 1 here; 9 does not exist, neither here nor there.
            "user_redirect_preference_list": "postgres:primary,user[0-9]*:1(0.5)",
            "database_redirect_preference_list": "app:standby",
            "app_name_redirect_preference_list": "psql:0,myapp:9",
            "track_table_mutation_ttl_factor": 2.5,
            "track_table_mutation_max_staleness": 30000,
            "track_table_mutation_cold_start_duration": 500,
        })
    );
    let changed = report.lines(Group::Changed);
    assert_eq!(
        changed,
        [
            "backend_hostname: servers are numbered without gaps, from 0: 3 is now 1",
            "relcache_size: one cache for all sessions, where Pgpool-II has one a process; the default is 4096",
            "user_redirect_preference_list: has the servers' new numbers",
        ]
    );
    assert_eq!(
        report.lines(Group::Attention),
        [
            "write_function_list: left out: while read_only_function_list is set, Pgpool-II does not look at it",
            "app_name_redirect_preference_list: names server 9, which does not exist",
        ]
    );
    let needless: Vec<&str> =
        report.lines(Group::Needless).iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(needless, ["enable_shared_relcache", "track_table_mutation_table_size"]);
}

#[test]
fn debian() {
    let folder = Folder::new(include_str!("tests/debian.conf")).with("server.crt", "x");
    let (config, _, report) = folder.import();
    assert_eq!(config.backend_clustering_mode, ClusteringMode::Raw);
    assert_eq!(config.port, 5433);
    assert_eq!(config.listen_addresses, ["localhost", "10.0.0.1"]);
    assert_eq!(config.unix_socket_directories, [folder.0.path()]);
    assert_eq!(config.unix_socket_permissions, 0o700);
    assert_eq!((config.num_init_children, config.reserved_connections), (Some(32), 2));
    assert_eq!(config.connect_timeout, secs(15));
    assert_eq!(config.health_check_period, secs(40));
    assert_eq!(config.reset_query_list, ["ABORT", "RESET ALL", "SET SESSION AUTHORIZATION DEFAULT"]);
    assert!(!config.connection_cache);
    assert_eq!(config.connection_life_time, Some(secs(90)));
    assert_eq!(config.backends[0].hostname, Host::Unix("/var/run/postgresql".into()));
    assert_eq!(config.backends[1].hostname, Host::Unix("/tmp".into()));
    assert_eq!(config.plugins.get("classify").unwrap().config, json!({ "check_temp_table": "none" }));
    let ssl = config.ssl.unwrap();
    assert_eq!((ssl.cert, ssl.key), (folder.path("server.crt"), PathBuf::from("/proc/version")));
    let changed = report.lines(Group::Changed).join("\n");
    assert!(changed.contains("connect_timeout: one value for all servers"), "{changed}");
    assert!(changed.contains("backend_hostname1: it is empty"), "{changed}");
}

#[test]
fn all_spellings_of_check_temp_table() {
    for (written, meant) in [
        ("catalog", "catalog"),
        ("on", "catalog"),
        ("yes", "catalog"),
        ("TRACE", "trace"),
        ("none", "none"),
        ("0", "none"),
    ] {
        let (config, _, _) = Folder::new(&format!("{SERVERS}check_temp_table = {written}\n")).import();
        assert_eq!(
            config.plugins.get("classify").unwrap().config,
            json!({ "check_temp_table": meant }),
            "{written}"
        );
    }
}

#[test]
fn without_a_check_user() {
    let servers = "backend_hostname0 = 'db0'\nbackend_port0 = 1\n";
    let (config, _, report) = Folder::new(servers).import();
    assert_eq!(config.sr_check_user, "waypool");
    assert!(report.lines(Group::Attention)[0].starts_with("sr_check_user: missing, but needed: CREATE ROLE"));

    let health = "health_check_user = 'h'\nhealth_check_password = 'AESx'\n";
    let (config, _, report) = Folder::new(&format!("{servers}{health}")).import();
    assert_eq!((config.sr_check_user.as_str(), config.sr_check_password), ("h", None));
    assert!(report.lines(Group::Attention)[0].starts_with("health_check_password: left out: it is AES"));
}

#[test]
fn lag_is_not_measured_without_a_period() {
    let (config, _, report) =
        Folder::new(&format!("{SERVERS}sr_check_period = 0\ndelay_threshold = 5\n")).import();
    assert_eq!((config.sr_check_period, config.delay_threshold), (secs(10), None));
    assert_eq!(report.lines(Group::Changed).len(), 2, "{report}");
}

#[test]
fn servers_without_a_port_are_not_used() {
    let more = "backend_hostname1 = 'db1'\nbackend_hostname2 = 'db2'\nbackend_port2 = 5432\n\
                backend_flag0 = 'ALWAYS_PRIMARY'\nbackend_flag2 = 'always_primary'\n";
    let (config, text, report) = Folder::new(&format!("{SERVERS}{more}")).import();
    assert_eq!(config.backends.len(), 2, "{text}");
    assert!(config.backends[0].flag.always_primary && !config.backends[1].flag.always_primary);
    assert!(report.lines(Group::Attention)[0].contains("backend_port1 is not set"), "{report}");
    assert!(report.lines(Group::Changed).join("\n").contains("2 is now 1"), "{report}");
}

#[test]
fn passwords_that_only_partly_can_be_read() {
    let folder = Folder::new(SERVERS).with("pool_passwd", "alice:AESc2VjcmV0\nb\"ob:TEXTse\\same\n");
    let (config, _, report) = folder.import();
    assert_eq!(config.auth_file, None);
    assert_eq!(config.users["b\"ob"].password.as_ref().unwrap().expose(), "se\\same");
    assert!(report.lines(Group::Attention)[0].contains("alice is AES-encrypted"), "{report}");
}

#[test]
fn a_mode_that_is_not_there_yet_is_refused() {
    let folder = Folder::new(&format!("{SERVERS}backend_clustering_mode = slony\n"));
    let (text, _) = convert(&folder.options()).unwrap();
    let errors = Config::parse(&text, "waypool.toml").unwrap_err().to_string();
    assert!(errors.contains("\"slony\" is not supported yet"), "{errors}");
}

#[test]
fn native_replication_keeps_its_parameters() {
    let more = "backend_clustering_mode = native_replication\nreplicate_select = on\ninsert_lock = off\n\
                replication_stop_on_mismatch = on\nfailover_if_affected_tuples_mismatch = on\n\
                logdir = '/var/log/pgpool'\nlobj_lock_table = 'lobjs'\n";
    let (config, text, report) = Folder::new(&format!("{SERVERS}{more}")).import();
    assert_eq!(config.backend_clustering_mode, ClusteringMode::NativeReplication);
    let isolated = more.replace("native_replication", "snapshot_isolation");
    let (config_isolated, _, _) = Folder::new(&format!("{SERVERS}{isolated}")).import();
    assert_eq!(config_isolated.backend_clustering_mode, ClusteringMode::SnapshotIsolation);
    assert!(config_isolated.replicate_select && !config_isolated.insert_lock);
    assert!(config.replicate_select && !config.insert_lock, "{text}");
    assert!(config.replication_stop_on_mismatch && config.failover_if_affected_tuples_mismatch);
    assert_eq!(config.work_dir, Path::new("/var/log/pgpool"));
    assert!(report.lines(Group::Unsupported).join("\n").contains("lobj_lock_table"), "{report}");
}

#[test]
fn files_that_are_named_must_be_there() {
    let folder = Folder::new(&format!("{SERVERS}enable_pool_hba = on\npool_passwd = 'nowhere'\n"));
    let (config, _, report) = folder.import();
    assert!(config.enable_pool_hba);
    assert_eq!(report.lines(Group::Attention).len(), 2, "{report}");

    let nowhere = Some(folder.path("nowhere"));
    for options in [
        Options { pool_hba: nowhere.clone(), ..folder.options() },
        Options { pool_passwd: nowhere.clone(), ..folder.options() },
        Options { pgpool_conf: folder.path("nowhere"), ..folder.options() },
    ] {
        let error = convert(&options).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot read "), "{error:#}");
    }
}
