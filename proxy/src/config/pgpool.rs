//! Pgpool-II's parameters that `waypool.toml` does not have under the same
//! name: a user who copies a line from `pgpool.conf` learns what became of it.

/// Parameters that have another name or another place here, and which.
const PLACES: &[(&str, &str)] = &[
    ("backend_hostname", "write hostname = \"…\" in a [[backend]] table"),
    ("backend_port", "write port = … in a [[backend]] table"),
    ("backend_weight", "write weight = … in a [[backend]] table"),
    ("backend_flag", "write flag = \"…\" in a [[backend]] table"),
    ("backend_application_name", "write application_name = \"…\" in a [[backend]] table"),
    ("backend_data_directory", "Waypool needs no data directory, remove the line"),
    ("num_init_children", "write max_client_conn = …, the most clients at a time"),
    ("max_pool", "write default_pool_size = …, the most connections per server, user and database"),
    ("enable_pool_hba", "the rules always count here, write them into hba = [\"…\"]"),
    ("pool_passwd", "write auth_file = \"…\", or the users into the table [users]"),
    ("socket_dir", "write unix_socket_directories = [\"…\"]"),
    ("log_destination", "Waypool writes its log to stderr, remove the line"),
    ("logging_collector", "Waypool writes its log to stderr, remove the line"),
    ("log_line_prefix", "write log_format = \"human\" or \"json\" instead"),
    ("process_management_mode", "Waypool has no processes to manage, remove the line"),
    ("process_management_strategy", "Waypool has no processes to manage, remove the line"),
    ("min_spare_children", "Waypool has no processes to manage, remove the line"),
    ("max_spare_children", "Waypool has no processes to manage, remove the line"),
    ("child_life_time", "Waypool has no child processes, remove the line"),
    ("child_max_connections", "Waypool has no child processes, remove the line"),
    ("serialize_accept", "Waypool has no child processes, remove the line"),
    ("enable_shared_relcache", "the cache is always shared here, remove the line"),
    ("replication_mode", "write backend_clustering_mode = \"…\""),
    ("master_slave_mode", "write backend_clustering_mode = \"…\""),
    ("master_slave_sub_mode", "write backend_clustering_mode = \"…\""),
    ("load_balance_mode", "it belongs into [plugins.balance.config]"),
    ("statement_level_load_balance", "it belongs into [plugins.balance.config]"),
    ("disable_load_balance_on_write", "it belongs into [plugins.balance.config]"),
    ("dml_adaptive_object_relationship_list", "it belongs into [plugins.balance.config]"),
    ("user_redirect_preference_list", "it belongs into [plugins.balance.config]"),
    ("database_redirect_preference_list", "it belongs into [plugins.balance.config]"),
    ("app_name_redirect_preference_list", "it belongs into [plugins.balance.config]"),
    ("allow_sql_comments", "it belongs into [plugins.classify.config]"),
    ("ignore_leading_white_space", "it belongs into [plugins.classify.config]"),
    ("read_only_function_list", "it belongs into [plugins.classify.config]"),
    ("write_function_list", "it belongs into [plugins.classify.config]"),
    ("primary_routing_query_pattern_list", "it belongs into [plugins.classify.config]"),
    ("check_temp_table", "it belongs into [plugins.classify.config]"),
    ("check_unlogged_table", "it belongs into [plugins.classify.config]"),
];

/// The other parameters of Pgpool-II 4.8: known, without a counterpart yet.
const WITHOUT_COUNTERPART: &str = "
    allow_clear_text_frontend_auth allow_multiple_failover_requests_from_node arping_cmd
    arping_path auto_failback auto_failback_interval cache_safe_memqcache_table_list
    cache_unsafe_memqcache_table_list clear_memqcache_on_escalation client_idle_limit_in_recovery
    client_min_messages delay_threshold_by_time delegate_IP delegate_ip detach_false_primary
    enable_consensus_with_half_votes fail_over_on_backend_error failback_command failover_command
    failover_if_affected_tuples_mismatch failover_on_backend_error failover_on_backend_shutdown
    failover_require_consensus failover_when_quorum_exists follow_primary_command
    health_check_database health_check_max_retries health_check_password health_check_retry_delay
    health_check_test health_check_timeout health_check_user heartbeat_device heartbeat_hostname
    heartbeat_port hostname if_cmd_path if_down_cmd if_up_cmd insert_lock
    listen_backlog_multiplier lobj_lock_table log_backend_messages log_client_messages
    log_connections log_directory log_disconnections log_error_verbosity log_file_mode
    log_filename log_hostname log_pcp_processes log_per_node_statement log_rotation_age
    log_rotation_size log_standby_delay log_statement log_truncate_on_rotation logdir
    memory_cache_enabled memqcache_auto_cache_invalidation memqcache_cache_block_size
    memqcache_expire memqcache_max_num_cache memqcache_maxcache memqcache_memcached_host
    memqcache_memcached_port memqcache_method memqcache_oiddir memqcache_total_size
    notice_per_node_statement pcp_listen_addresses pcp_port pcp_socket_dir pgpool_port
    pid_file_name ping_path prefer_lower_delay_standby recovery_1st_stage_command
    recovery_2nd_stage_command recovery_database recovery_password recovery_timeout recovery_user
    relcache_query_target replicate_select replication_delay_source_cmd
    replication_delay_source_timeout replication_stop_on_mismatch reserved_connections
    search_primary_node_timeout ssl_ca_cert_dir ssl_ciphers ssl_crl_file ssl_dh_params_file
    ssl_ecdh_curve ssl_passphrase_command ssl_prefer_server_ciphers syslog_facility syslog_ident
    track_table_mutation_cold_start_duration track_table_mutation_max_staleness
    track_table_mutation_table_buckets track_table_mutation_table_size
    track_table_mutation_ttl_factor trusted_server_command trusted_servers unix_socket_group
    use_watchdog wd_authkey wd_de_escalation_command wd_escalation_command wd_heartbeat_deadtime
    wd_heartbeat_keepalive wd_heartbeat_listen_addresses wd_heartbeat_listen_port wd_interval
    wd_ipc_socket_dir wd_life_point wd_lifecheck_dbname wd_lifecheck_method wd_lifecheck_password
    wd_lifecheck_query wd_lifecheck_user wd_listen_address wd_listen_port
    wd_lost_node_removal_timeout wd_monitoring_interfaces_list wd_no_show_node_removal_timeout
    wd_port wd_priority wd_remove_shutdown_nodes work_dir
";

/// What to write in place of `key`, if it is one of Pgpool-II's that has a
/// place here.
pub(super) fn place_of(key: &str) -> Option<&'static str> {
    let name = without_number(key);
    if name != key && super::keys::TOP.contains(&name) {
        return Some("write it without the number, once for all servers");
    }
    PLACES.iter().find(|(parameter, _)| *parameter == name).map(|(_, place)| *place)
}

/// Whether `key` is one of the others.
pub(super) fn is_parameter(key: &str) -> bool {
    let name = without_number(key);
    WITHOUT_COUNTERPART.split_whitespace().any(|parameter| parameter == key || parameter == name)
}

/// Pgpool-II numbers what belongs to a server: `backend_hostname0`.
fn without_number(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}
