//! Each mistake: its place, and what the message tells to write.

use super::{SHORTEST, mistakes_at_end, mistakes_at_top, mistakes_in};
use crate::config::Config;

/// One line of configuration at line 1, and the message about it.
macro_rules! at_top {
    ($($name:ident: $line:expr => $message:expr;)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(mistakes_at_top($line), concat!("waypool.toml:", $message));
        }
    )*};
}

/// Lines after the first `[[backend]]`, from line 4 on.
macro_rules! at_end {
    ($($name:ident: $line:expr => $message:expr;)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(mistakes_at_end($line), concat!("waypool.toml:", $message));
        }
    )*};
}

at_top! {
    near_name: "prot = 1" => r#"1:1: unknown key "prot": did you mean "port"?"#;
    strange_name: "frobnicate = 1" => r#"1:1: unknown key "frobnicate": docs/configuration.md lists all keys"#;
    capitals: "  Port = 1" => r#"1:3: unknown key "Port": did you mean "port"?"#;
    backend_key_at_top: "weight = 1" => r#"1:1: unknown key "weight": it belongs into a [[backend]] table"#;
    plugin_key_at_top: "deadline = 1" => r#"1:1: unknown key "deadline": it belongs into a [plugins.NAME] table"#;

    pgpool_backend: "backend_hostname0 = 'a'" => r#"1:1: backend_hostname0 is Pgpool-II's: write hostname = "…" in a [[backend]] table"#;
    pgpool_renamed: "socket_dir = \"/tmp\"" => r#"1:1: socket_dir is Pgpool-II's: write unix_socket_directories = ["…"]"#;
    pgbouncer_renamed: "server_idle_timeout = 600" => "1:1: server_idle_timeout is PgBouncer's: write connection_life_time = …, which is the same";
    children_missing: "max_pool = 4" => "1:12: max_pool needs num_init_children: write num_init_children = 32";
    children_missing_for_reserve: "reserved_connections = 4" => "1:24: reserved_connections needs num_init_children: write num_init_children = 32";
    all_reserved: "num_init_children = 4\nreserved_connections = 4" => "2:24: reserved_connections must be less than num_init_children, or no client could connect";
    pgpool_in_plugin: "load_balance_mode = true" => "1:1: load_balance_mode is Pgpool-II's: it belongs into [plugins.balance.config]";
    pgpool_per_server: "connect_timeout1 = 1" => "1:1: connect_timeout1 is Pgpool-II's: write it without the number, once for all servers";
    pgpool_later: "use_watchdog = true" => "1:1: Pgpool-II's use_watchdog is not supported yet: remove the line";
    pgpool_later_numbered: "wd_port0 = 9000" => "1:1: Pgpool-II's wd_port0 is not supported yet: remove the line";

    pool_size_at_top: "pool_size = 1" => r#"1:1: unknown key "pool_size": it belongs into a [databases.NAME] table"#;
    limit_reported_once: "max_user_connections = -1\nusers.a = 'x'\nusers.b = { pool_size = 1 }" => "1:24: max_user_connections must be from 0 to 1000000, not -1";
    auth_query_without_user: "auth_query = 'SELECT $1, NULL'" => "1:14: auth_query needs auth_user, the role that asks: write auth_user = \"…\"";
    auth_query_without_parameter: "auth_user = 'a'\nauth_query = 'SELECT 1'" => "2:14: auth_query must have $1 in it, in the place of the user: SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid WHERE rolname = $1 AND rolcanlogin";
    integer_type: "port = \"9999\"" => "1:8: port must be an integer, not a string: write port = 9999";
    integer_range: "port = 70000" => "1:8: port must be from 1 to 65535, not 70000";
    integer_negative: "max_client_conn = -1" => "1:19: max_client_conn must be from 1 to 1000000, not -1";
    boolean_type: "connection_cache = \"on\"" => "1:20: connection_cache must be true or false, not a string: write connection_cache = true";
    text_type: "sr_check_database = 1" => r#"1:21: sr_check_database must be a string, not an integer: write sr_check_database = "postgres""#;
    list_type: "listen_addresses = 1" => r#"1:20: listen_addresses must be an array of strings, not an integer: write listen_addresses = ["…", "…"]"#;
    list_element: "listen_addresses = ['a', 2]" => "1:26: listen_addresses must hold strings, not an integer: put quotes around it";
    list_empty_element: "listen_addresses = ['']" => "1:21: listen_addresses has an empty string: remove it";

    unit: "connect_timeout = \"10 sec\"" => r#"1:19: connect_timeout has the unknown unit "sec": take one of us, ms, s, min, h, d, for example connect_timeout = "10s""#;
    fraction: "connect_timeout = \"1.5s\"" => r#"1:19: connect_timeout must be a whole number, not "1.5s": take a smaller unit, for example connect_timeout = "10s""#;
    negative_duration: "client_idle_limit = -1" => r#"1:21: client_idle_limit must not be negative, but is "-1", for example client_idle_limit = "0s""#;
    long_duration: "client_idle_limit = \"9999d\"" => r#"1:21: client_idle_limit is too long: the most is "366d", for example client_idle_limit = "0s""#;
    duration_type: "connect_timeout = true" => r#"1:19: connect_timeout must be a duration, not a boolean: write connect_timeout = "10s""#;
    zero_period: "sr_check_period = 0" => r#"1:19: sr_check_period must not be zero: write sr_check_period = "10s""#;
    size_unit: "statement_cache_size = '16MiB'" => r#"1:24: statement_cache_size has the unknown unit "MiB": take one of B, kB, MB, GB, TB, for example statement_cache_size = "16MB""#;
    size_range: "statement_cache_size = 1" => r#"1:24: statement_cache_size must be from "1MB" to "64GB", not "1""#;
    permissions: "unix_socket_permissions = 777" => r#"1:27: unix_socket_permissions must be an octal file mode: write unix_socket_permissions = "0777""#;

    later_mode: "backend_clustering_mode = 'slony'" => r#"1:27: backend_clustering_mode = "slony" is not supported yet: write "streaming_replication", "logical_replication", "native_replication", "snapshot_isolation" or "raw""#;
    replicated_pool_mode: "backend_clustering_mode = 'native_replication'\npool_mode = 'transaction'" => r#"2:13: native_replication has no pool_mode but "session" yet: write pool_mode = "session""#;
    isolated_pool_mode: "backend_clustering_mode = 'snapshot_isolation'\npool_mode = 'transaction'" => r#"2:13: snapshot_isolation has no pool_mode but "session" yet: write pool_mode = "session""#;
    log_standby_delay: "log_standby_delay = 'sometimes'" => r#"1:21: log_standby_delay = "sometimes" is unknown: write "if_over_threshold", "none" or "always""#;
    relcache_query_target: "relcache_query_target = 'standby'" => r#"1:25: relcache_query_target = "standby" is unknown: write "primary" or "load_balance_node""#;
    delay_command_without_time: "replication_delay_source_timeout = 0" => r#"1:36: replication_delay_source_timeout must not be zero: write replication_delay_source_timeout = "10s""#;
    mutation_in_plugin: "track_table_mutation_ttl_factor = 5.0" => "1:1: track_table_mutation_ttl_factor is Pgpool-II's: it belongs into [plugins.balance.config]";
    mutation_without_meaning: "track_table_mutation_table_size = 2048" => "1:1: track_table_mutation_table_size is Pgpool-II's: the table grows as needed here, remove the line";
    unknown_mode: "backend_clustering_mode = 'stream'" => r#"1:27: backend_clustering_mode = "stream" is unknown: write "streaming_replication", "logical_replication", "native_replication", "snapshot_isolation" or "raw""#;
    wrong_pool_mode: "pool_mode = 'page'" => r#"1:13: pool_mode = "page" is unknown: write "session", "transaction" or "statement""#;
    log_format: "log_format = 'xml'" => r#"1:14: log_format = "xml" is unknown: write "auto", "human" or "json""#;

    no_listener: "listen_addresses = []\nunix_socket_directories = []" => r#"1:20: listen_addresses and unix_socket_directories are both empty, so that no client could connect: write listen_addresses = ["localhost"]"#;
    socket_directory: "unix_socket_directories = '/nowhere'" => "1:27: unix_socket_directories: there is no directory /nowhere: create it";
    empty_hba: "hba = []" => r#"1:7: hba has no lines, so that no client could log in: write hba = ["host all all all scram-sha-256"]"#;
    missing_file: "auth_file = '/nowhere'" => "1:13: auth_file: cannot read /nowhere: No such file or directory (os error 2)";
    folder_for_a_file: "auth_file = '/tmp'" => "1:13: auth_file: /tmp is not a file";

    user_type: "users = { app = 1 }" => "1:17: the secret of user app must be a string, not an integer: put quotes around it";
    user_without_secret: "users = { app = '' }" => "1:17: the secret of user app is empty: remove the line";
    users_type: "users = 'app'" => "1:9: users must be a table, not a string: write [users]";
    backend_type: "plugins = 1" => "1:11: plugins must be a table, not an integer: write [plugins]";
}

at_end! {
    top_key_in_backend: "port = 1\nmax_client_conn = 5" => r#"5:1: unknown key "max_client_conn" in [[backend]]: it belongs at the top of the file, before the first [table]"#;
    near_name_in_backend: "wieght = 1" => r#"4:1: unknown key "wieght" in [[backend]]: did you mean "weight"?"#;
    negative_weight: "weight = -1" => "4:10: weight must be 0 or more, not -1: write weight = 1.0";
    infinite_weight: "weight = inf" => "4:10: weight must be 0 or more, not inf: write weight = 1.0";
    weight_type: "weight = '1'" => "4:10: weight must be a number, not a string: write weight = 1.0";
    near_flag: "flag = 'ALWAYS_PRIMERY'" => r#"4:8: flag "ALWAYS_PRIMERY" is unknown: did you mean "ALWAYS_PRIMARY"?"#;
    unknown_flag: "flag = 'X'" => r#"4:8: flag "X" is unknown: write "ALLOW_TO_FAILOVER", "DISALLOW_TO_FAILOVER" or "ALWAYS_PRIMARY", or several with | between them"#;
    both_flags: "flag = 'ALLOW_TO_FAILOVER|DISALLOW_TO_FAILOVER'" => "4:8: flag cannot be both ALLOW_TO_FAILOVER and DISALLOW_TO_FAILOVER: keep one of them";
    sslmode: "sslmode = 'allow'" => r#"4:11: sslmode = "allow" is not supported yet: write "prefer", "disable", "require", "verify-ca" or "verify-full""#;
    verify_without_root: "sslmode = 'verify-full'" => r#"4:11: this sslmode needs sslrootcert: write sslrootcert = "root.crt", the certificates to trust"#;
    root_without_verify: "sslrootcert = '/proc/version'" => r#"4:15: sslrootcert is used with sslmode "verify-ca" or "verify-full" only: write sslmode = "verify-full", or remove sslrootcert"#;

    same_backend: "[[backend]]\nhostname = 'db0'" => "5:12: a second [[backend]] for db0 port 5432: remove it, or change its port";
    two_primaries: "flag = 'ALWAYS_PRIMARY'\n[[backend]]\nhostname = 'db1'\nflag = 'ALWAYS_PRIMARY'" => "7:8: a second [[backend]] with ALWAYS_PRIMARY: only one server can be the primary";
    no_hostname: "[[backend]]\nport = 1" => r#"4:1: hostname is missing: write hostname = "…" in this [[backend]]"#;
    empty_hostname: "[[backend]]\nhostname = ''" => r#"5:12: hostname is missing: write hostname = "…" in this [[backend]]"#;
    hostname_type: "[[backend]]\nhostname = 1" => r#"5:12: hostname must be a string, not an integer: write hostname = "localhost""#;
    hostname_with_port: "[[backend]]\nhostname = 'db1:5433'" => r#"5:12: hostname must not contain a port: write hostname = "db1" and port = 5433"#;
    several_hosts: "[[backend]]\nhostname = 'db1,db2'" => r#"5:12: hostname = "db1,db2" is not one host: write a [[backend]] for each"#;
    tls_on_a_socket: "[[backend]]\nhostname = '/tmp'\nsslmode = 'require'" => "6:11: sslmode cannot be kept on a Unix socket, which never uses TLS: remove the line";

    database_key: "[databases.shop]\npool_sise = 1" => r#"5:1: unknown key "pool_sise" in [databases.NAME]: did you mean "pool_size"?"#;
    database_as_in_pgbouncer: "[databases]\nshop = 'pool_size=5'" => "5:8: shop must be a table, not a string: write [databases.shop]";
    database_without_name: "[databases]\npool_size = 5" => "5:1: pool_size belongs into a [databases.NAME] table";
    database_pool_size: "[databases.shop]\npool_size = 0" => "5:13: pool_size must be from 1 to 1000000, not 0";
    database_min_pool_size: "[databases.shop]\npool_size = 2\nmin_pool_size = 3" => "6:17: min_pool_size must not be more than pool_size, which is 2: write 2 or less";
    database_pool_mode: "[databases.shop]\npool_mode = 'x'" => r#"5:13: pool_mode = "x" is unknown: write "session", "transaction" or "statement""#;
    top_key_in_database: "[databases.shop]\ndefault_pool_size = 2" => r#"5:1: unknown key "default_pool_size" in [databases.NAME]: it belongs at the top of the file, before the first [table]"#;
    user_key: "[users.app]\npasword = 'x'" => r#"5:1: unknown key "pasword" in [users.NAME]: did you mean "password"?"#;
    user_password_type: "[users]\napp = { password = 1 }" => r#"5:20: password must be a string, not an integer: write password = "…""#;
    user_password_empty: "[users]\napp = { password = '' }" => "5:20: the secret of user app is empty: remove it";
    user_database_key: "[users.app]\nmax_db_connections = 1" => r#"5:1: unknown key "max_db_connections" in [users.NAME]: it belongs at the top of the file, before the first [table]"#;
    top_key_in_users: "[users]\nsr_check_user = 'w'" => "5:1: sr_check_user is not a user: it belongs at the top of the file, before the first [table]";
    plugin_type: "[plugins]\nclassify = 1" => "5:12: classify must be a table, not an integer: write [plugins.classify]";
    near_plugin: "[plugins.clasify]" => r#"4:1: [plugins.clasify] has no path: did you mean "classify"? Else write path = "clasify.wasm""#;
    plugin_without_path: "[plugins.shard]" => r#"4:1: [plugins.shard] has no path: write path = "shard.wasm""#;
    plugin_name: "[plugins.Shard]\npath = '/proc/version'" => r#"4:1: a plugin cannot be called "Shard": take 1 to 63 of a-z, 0-9, _ and -"#;
    plugins_key: "[plugins]\ntrusted_key = []" => r#"5:1: unknown key "trusted_key" in [plugins]: did you mean "trusted_keys"?"#;
    plugins_strange_key: "[plugins]\nshard = 1" => r#"5:1: unknown key "shard" in [plugins]: docs/configuration.md lists all keys"#;
    pin_without_file: "[plugins.balance]\nsha256 = 'abc'" => "5:10: sha256 is that of the file in path, which is missing: remove the line\nwaypool.toml:5:10: sha256 must be 64 hexadecimal digits: waypool plugin inspect FILE prints them";
    admin_key: "[admin]\nsoket = 'x'" => r#"5:1: unknown key "soket" in [admin]: did you mean "socket"?"#;
    admin_type: "[admin]\nsocket = 1" => r#"5:10: socket must be a string, not an integer: write socket = "/run/waypool/waypool.admin""#;
    plugin_key: "[plugins.classify]\ndedline = 1" => r#"5:1: unknown key "dedline" in [plugins.NAME]: did you mean "deadline"?"#;
    plugin_file: "[plugins.classify]\npath = '/nowhere.wasm'" => "5:8: path: cannot read /nowhere.wasm: No such file or directory (os error 2)";
    plugin_deadline: "[plugins.classify]\ndeadline = '10us'" => r#"5:12: deadline must be "1ms" or more: write deadline = "10ms""#;
    plugin_memory: "[plugins.classify]\nmemory_limit = '8GB'" => r#"5:16: memory_limit must be from "1MB" to "4GB", not "8GB""#;
    plugin_on_error: "[plugins.classify]\non_error = 'ignore'" => r#"5:12: on_error = "ignore" is unknown: write "primary" or "reject""#;
    plugin_config: "[plugins.classify]\nconfig = 1" => "5:10: config must be a table, not an integer: write [plugins.NAME.config]";
    plugin_config_value: "[plugins.classify.config]\nlimit = inf" => "5:9: limit cannot be handed to the plugin: inf is no JSON number";
}

#[test]
fn no_backend() {
    assert_eq!(
        mistakes_in("backend_clustering_mode = 'raw'"),
        r#"waypool.toml: there is no [[backend]]: write one for each server, with hostname = "…""#
    );
}

#[test]
fn backend_with_one_bracket() {
    assert_eq!(
        mistakes_in("sr_check_user = 'w'\n[backend]\nhostname = 'db0'"),
        "waypool.toml:2:1: backend must be written [[backend]], with two brackets, not as a table"
    );
}

#[test]
fn streaming_without_user() {
    assert_eq!(
        mistakes_in("[[backend]]\nhostname = 'db0'"),
        "waypool.toml: sr_check_user is missing: streaming_replication needs it to find the \
         primary and measure lag. Write sr_check_user = \"…\", a PostgreSQL role with \
         pg_monitor, or backend_clustering_mode = \"raw\""
    );
}

#[test]
fn raw_needs_no_user() {
    let text = "backend_clustering_mode = 'raw'\n[[backend]]\nhostname = 'db0'";
    assert_eq!(mistakes_in(text), "none");
}

#[test]
fn ssl_without_files() {
    assert_eq!(
        mistakes_at_top("ssl = true"),
        "waypool.toml:1:7: ssl = true needs ssl_cert: write ssl_cert = \"server.crt\"\n\
         waypool.toml:1:7: ssl = true needs ssl_key: write ssl_key = \"server.key\""
    );
}

#[test]
fn too_many_backends() {
    let more: String = (1..=128).map(|id| format!("[[backend]]\nhostname = 'db{id}'\n")).collect();
    assert_eq!(
        mistakes_at_end(&more),
        "waypool.toml:259:12: there are more than 128 [[backend]]: remove some"
    );
}

#[test]
fn all_mistakes_in_the_order_of_the_file() {
    let text = "prot = 1\n\nmax_client_conn = \"many\"\nhba = [\n  1,\n]\n[[backend]]\nweight = -1\n";
    let lines = mistakes_in(text);
    let places: Vec<&str> = lines.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "waypool.toml",      // sr_check_user is missing
            "waypool.toml:1:1",  // prot
            "waypool.toml:3:19", // "many"
            "waypool.toml:4:7",  // hba without a usable line
            "waypool.toml:5:3",  // 1 in hba
            "waypool.toml:7:1",  // no hostname
            "waypool.toml:8:10", // weight
        ]
    );
}

#[test]
fn columns_count_characters() {
    assert_eq!(
        mistakes_at_top("users = { \"jürgen\" = 1 }"),
        "waypool.toml:1:22: the secret of user jürgen must be a string, not an integer: \
         put quotes around it"
    );
}

#[test]
fn a_file_that_cannot_be_read() {
    let errors = Config::load("/nowhere/waypool.toml").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "/nowhere/waypool.toml: cannot read the configuration: No such file or directory (os error 2)"
    );
}

#[test]
fn windows_line_ends() {
    let text = format!("port = 1\r\nprot = 1\r\n{}", SHORTEST.replace('\n', "\r\n"));
    assert_eq!(mistakes_in(&text), "waypool.toml:2:1: unknown key \"prot\": did you mean \"port\"?");
}
