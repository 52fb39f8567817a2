//! `waypool import`: from the files of Pgpool-II to a proxy that serves.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use waypool_sandbox::{Installation, Port};
use waypool_tests::{Finished, primary_and_standby, run, wait_until, waypool};

/// A folder as `/etc/pgpool2`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(folder.path(name), text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn waypool(&self, arguments: &[&str]) -> Finished {
        run(Command::new(waypool()).args(arguments).current_dir(self.0.path()), "")
    }
}

/// Every setting of load balancing, none of which is at its default.
const BALANCING: &str = r"
allow_sql_comments = on
ignore_leading_white_space = off
write_function_list = 'nextval,set_.*'
primary_routing_query_pattern_list = 'SELECT \d+;.*audit.*'
check_temp_table = trace
check_unlogged_table = off
load_balance_mode = off
statement_level_load_balance = on
disable_load_balance_on_write = dml_adaptive
dml_adaptive_object_relationship_list = 't1:t2,set_x():t3'
user_redirect_preference_list = 'report.*:standby,admin:0(0.5)'
database_redirect_preference_list = 'app:1'
app_name_redirect_preference_list = 'psql:primary'
prefer_lower_delay_standby = on
track_table_mutation_ttl_factor = 2.5
track_table_mutation_max_staleness = 30s
track_table_mutation_cold_start_duration = 500
delay_threshold = 1MB
delay_threshold_by_time = 10s
log_standby_delay = always
replication_delay_source_cmd = 'true'
replication_delay_source_timeout = 5
relcache_size = 1024
relcache_expire = 1h
relcache_query_target = load_balance_node
notice_per_node_statement = on
log_per_node_statement = on
";

fn servers() -> String {
    let cluster = primary_and_standby();
    let of = |server: &waypool_sandbox::Server| {
        let (id, port) = (server.id(), server.port());
        format!("backend_hostname{id} = '127.0.0.1'\nbackend_port{id} = {port}\nbackend_weight{id} = 1\n")
    };
    let servers: String = cluster.servers().iter().map(of).collect();
    format!("{servers}sr_check_user = 'postgres'\nunix_socket_directories = '/tmp'\n")
}

#[track_caller]
fn checked(folder: &Folder, toml: &str) {
    fs::write(folder.path("waypool.toml"), toml).unwrap();
    folder.waypool(&["check", "-c", "waypool.toml"]).ok();
}

#[test]
fn what_is_written_passes_the_check() {
    let conf = format!("{}{BALANCING}enable_pool_hba = on\npool_passwd = 'secrets'\n", servers());
    let folder = Folder::with(&[
        ("pgpool.conf", &conf),
        ("pool_hba.conf", "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"),
        ("secrets", "app:TEXTsesame\n"),
    ]);
    let finished = folder.waypool(&["import", "pgpool.conf"]);
    assert!(finished.stderr.contains("relcache_size: "), "{finished}");
    let toml = finished.ok();
    assert!(toml.contains(r"primary_routing_query_pattern_list = 'SELECT \d+;.*audit.*'"), "{toml}");
    checked(&folder, &toml);
}

/// Ended when the test is over, however.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_written_serves() {
    let port = Port::reserve().unwrap();
    let folder = Folder::with(&[
        (
            "pgpool.conf",
            &format!(
                "{}port = {}\nunix_socket_directories = ''\nenable_pool_hba = on\nlog_min_messages = info\n\
                 primary_routing_query_pattern_list = 'SELECT 1 .*'\nbackend_weight0 = 0\n",
                servers(),
                port.number()
            ),
        ),
        ("pool_hba.conf", "host all all 127.0.0.1/32 trust\n"),
    ]);
    checked(&folder, &folder.waypool(&["import", "pgpool.conf"]).ok());

    let mut command = Command::new(waypool());
    command.args(["run", "-c", "waypool.toml"]).current_dir(folder.0.path());
    let log = fs::File::create(folder.path("log")).unwrap();
    let mut running = Running(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    let program = Installation::find().unwrap().program("psql");
    let psql = |sql: &str| {
        let mut command = Command::new(&program);
        command.args(["-XAtw", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-c", sql]);
        run(command.env("PGPORT", port.number().to_string()), "")
    };
    wait_until("waypool serves", || {
        let ended = running.0.try_wait().unwrap();
        assert!(ended.is_none(), "{}", fs::read_to_string(folder.path("log")).unwrap());
        psql("SELECT").success()
    });
    let primary = primary_and_standby().servers()[0].port().to_string();
    let standby = primary_and_standby().servers()[1].port().to_string();
    // The weights, and a pattern, as they stand in pgpool.conf.
    assert_eq!(psql("SELECT pg_catalog.current_setting('port')").ok().trim(), standby);
    assert_eq!(
        psql("SELECT 1 AS one, pg_catalog.current_setting('port')").ok().trim(),
        format!("1|{primary}")
    );
}

#[test]
fn what_would_not_pass_is_said() {
    let conf = format!("{}backend_clustering_mode = 'slony'\n", servers());
    let folder = Folder::with(&[("pgpool.conf", &conf)]);
    let finished = folder.waypool(&["import", "pgpool.conf"]);
    assert!(finished.stdout.contains("[[backend]]"), "{finished}");
    let said = finished.error();
    assert!(said.contains("needs to be changed by hand") && said.contains("is not supported yet"), "{said}");

    let said = folder.waypool(&["import", "nowhere.conf"]).error();
    assert!(said.contains("cannot read") && said.contains("nowhere.conf"), "{said}");
}

#[test]
fn the_plugins_have_their_say() {
    let conf = format!("{}user_redirect_preference_list = 'app:nowhere'\n", servers());
    let folder = Folder::with(&[("pgpool.conf", &conf)]);
    let said = folder.waypool(&["import", "pgpool.conf"]).error();
    assert!(said.contains("user_redirect_preference_list"), "{said}");
}

#[test]
fn unknown_parameters_are_no_failure() {
    let conf = format!("{}log_conections = on\nssl = perhaps\nuse_watchdog = on\n", servers());
    let folder = Folder::with(&[("pgpool.conf", &conf)]);
    let finished = folder.waypool(&["import", "pgpool.conf"]);
    for part in ["did you mean log_connections?", "ssl (line", "use_watchdog: Waypool has no watchdog yet"] {
        assert!(finished.stderr.contains(part), "{part} in {finished}");
    }
    checked(&folder, &finished.ok());
}

#[test]
fn files_can_be_named() {
    let folder = Folder::with(&[
        ("pgpool.conf", &format!("{}enable_pool_hba = on\n", servers())),
        ("rules", "host all all 127.0.0.1/32 md5\nhost all all all ldap ldapserver=x\n"),
        ("secrets", "app:AESc2VjcmV0\nother:TEXTsesame\n"),
    ]);
    let finished =
        folder.waypool(&["import", "pgpool.conf", "--pool-hba", "rules", "--pool-passwd", "secrets"]);
    assert!(finished.stderr.contains("rules line 2: rejects these clients"), "{finished}");
    assert!(finished.stderr.contains("user app is AES-encrypted"), "{finished}");
    let toml = finished.ok();
    assert!(toml.contains("\"host all all all reject\"") && toml.contains("other = \"sesame\""), "{toml}");
    checked(&folder, &toml);
    let missing = |option: &str| folder.waypool(&["import", "pgpool.conf", option, "nowhere"]).error();
    for option in ["--pool-hba", "--pool-passwd"] {
        assert!(missing(option).contains("cannot read"), "{option}");
    }
}

#[test]
fn the_example_of_the_documentation_is_what_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = fs::read_to_string(root.join("docs/migration.md")).unwrap();
    let part = |begin: &str| {
        let text = guide.split(begin).nth(1).unwrap_or_else(|| panic!("{begin} in docs/migration.md"));
        text.split("```").next().unwrap().to_owned()
    };
    let folder = Folder::with(&[("pgpool.conf", &part("```conf\n"))]);
    let finished = folder.waypool(&["import", "pgpool.conf"]);
    assert_eq!(finished.stderr, part("```report\n"), "{finished}");
    let here = folder.path("pgpool.conf").display().to_string();
    let written = finished.ok().replace(&here, "/etc/pgpool2/pgpool.conf");
    assert_eq!(written, part("```toml\n"));
}
