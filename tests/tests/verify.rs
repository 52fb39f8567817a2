//! `waypool verify`: servers that nobody keeps equal are found to differ, down
//! to the row.
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::sync::OnceLock;

use waypool_sandbox::{Cluster, Server};
use waypool_tests::{Finished, Proxy, psql, run, wait_until, waypool};

/// Two servers with the same data to begin with: all tests of this program share
/// them, each with a database of its own.
fn servers() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::builder().independent(2).start().unwrap())
}

/// Nobody serves clients with it, unless a test starts a proxy.
struct Setup {
    database: &'static str,
    folder: tempfile::TempDir,
}

impl Setup {
    /// The name must be used once.
    fn new(database: &'static str, sql: &str) -> Setup {
        for server in servers().servers() {
            server.psql(&format!("CREATE DATABASE {database}")).unwrap();
            server.psql_in(database, sql).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let ports = servers().servers().iter().map(Server::port);
        let backends = ports.map(|port| format!("[[backend]]\nhostname = \"127.0.0.1\"\nport = {port}\n"));
        let text = format!(
            "backend_clustering_mode = \"raw\"\nsr_check_user = \"postgres\"\n\
             unix_socket_directories = [{:?}]\nlisten_addresses = []\n{}",
            folder.path(),
            backends.collect::<String>()
        );
        std::fs::write(folder.path().join("waypool.toml"), text).unwrap();
        Setup { database, folder }
    }

    fn run_on(&self, server: usize, sql: &str) {
        servers().server(server).psql_in(self.database, sql).unwrap();
    }

    fn verify(&self, options: &[&str]) -> Finished {
        let mut command = Command::new(waypool());
        command.arg("verify").arg("-c").arg(self.folder.path().join("waypool.toml"));
        run(command.args(["--database", self.database]).args(options), "")
    }

    /// The lines of a report that ends with this exit status.
    #[track_caller]
    fn report(&self, status: i32, options: &[&str]) -> Vec<String> {
        let finished = self.verify(options);
        assert_eq!(finished.status.code(), Some(status), "{finished}");
        finished.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }
}

#[track_caller]
fn says(report: &[String], line: &str) {
    assert!(report.iter().any(|said| said == line), "no {line:?} in:\n{}", report.join("\n"));
}

/// Values whose text depends on settings, and kinds of tables.
const EVERYTHING: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE kinds (id int PRIMARY KEY, f float8, r real, n numeric, t timestamptz, i interval, b bytea,
                        m money, x mood, j jsonb, a text[], c char(5), u uuid, e regclass, s text);
    INSERT INTO kinds VALUES
        (1, 'NaN', 0.1, 'NaN', '2026-01-31 12:00:00.123456+05', '1 mon 2 days 03:04:05', '\\x00ff', 12.34, 'sad',
         '{\"b\": 1, \"a\": [null]}', ARRAY['x,y', NULL, 'it''s \"quoted\"'], 'ab',
         '00000000-0000-0000-0000-000000000001', 'kinds', 'Grüße'),
        (2, '-0', 'Infinity', 1e100, 'infinity', '-1 hour', '', -1, 'happy', 'null', '{}', '', NULL, NULL, '');
    CREATE TABLE no_key (a int, b text);
    INSERT INTO no_key SELECT 1, 'twice' FROM generate_series(1, 2);
    CREATE TABLE \"Odd Name\" (\"the Key\" text, n int, \"sele'ct\" text, PRIMARY KEY (\"the Key\", n));
    INSERT INTO \"Odd Name\" VALUES ('it''s', 1, 'a'), ('it''s', 2, 'b');
    CREATE TABLE parts (day date, n int) PARTITION BY RANGE (day);
    CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO parts VALUES ('2026-05-01', 1);
    CREATE UNLOGGED TABLE quick (n int);
    CREATE TABLE nothing ();
    CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM kinds;
    CREATE SEQUENCE numbers;
    SELECT lo_create(4711);
    SELECT lo_put(4711, 0, 'large');
";

#[test]
fn equal_servers_are_found_equal_whatever_their_settings_are() {
    let setup = Setup::new("verify_equal", EVERYTHING);
    setup.run_on(
        1,
        "ALTER DATABASE verify_equal SET datestyle = 'German'; ALTER DATABASE verify_equal SET timezone = 'Asia/Tokyo';
         ALTER DATABASE verify_equal SET extra_float_digits = -3; ALTER DATABASE verify_equal SET bytea_output = 'escape';
         ALTER DATABASE verify_equal SET intervalstyle = 'iso_8601'",
    );
    let report = setup.report(0, &[]);
    says(&report, "public.kinds 2 2 equal");
    says(&report, "public.parts_2026 1 1 equal");
    says(&report, "public.summary 1 1 equal");
    says(&report, "pg_catalog.pg_largeobject 1 1 equal");
    says(&report, "The servers are equal.");
    // A limit that cuts the tables into parts changes nothing; nor does the order of rows.
    setup.run_on(0, "UPDATE \"Odd Name\" SET n = n");
    assert_eq!(setup.report(0, &["--full-speed"]), report);
}

#[test]
fn what_differs_is_named() {
    let setup = Setup::new("verify_differs", EVERYTHING);
    setup.run_on(
        1,
        "UPDATE kinds SET f = 0, s = NULL WHERE id = 2;
         DELETE FROM \"Odd Name\" WHERE n = 2; INSERT INTO no_key VALUES (1, 'twice'), (7, 'new');
         UPDATE parts SET n = 2; SELECT nextval('numbers'); REFRESH MATERIALIZED VIEW summary;
         CREATE INDEX kinds_s ON kinds (s); CREATE TABLE only_here (n int);
         SELECT lo_put(4711, 0, 'LARGE')",
    );
    let report = setup.report(1, &[]);
    says(&report, "public.kinds 2 2 differs: 1 row");
    says(
        &report,
        "public.kinds: id=2: f is '-0' on backend 0, '0' on backend 1; s is '' on backend 0, NULL on backend 1",
    );
    says(
        &report,
        "public.\"Odd Name\": \"the Key\"=it's n=2: row is there on backend 0, missing on backend 1",
    );
    says(&report, "public.no_key 2 4 differs: 2 rows");
    says(&report, "public.no_key: (1,twice): times is 2 on backend 0, 3 on backend 1");
    says(&report, "public.no_key: (7,new): times is 0 on backend 0, 1 on backend 1");
    says(&report, "public.parts_2026: (2026-05-01,1): times is 1 on backend 0, 0 on backend 1");
    says(&report, "sequence public.numbers: not used yet on backend 0, 1 on backend 1");
    says(&report, "public.only_here: it is missing on a server");
    says(&report, "public.summary 1 1 equal");
    says(&report, "The servers are different.");
    let index = "index public.kinds_s: missing on backend 0, CREATE INDEX kinds_s ON public.kinds USING btree (s), valid t on backend 1";
    says(&report, index);
    assert!(
        report
            .iter()
            .any(|line| line.starts_with("pg_catalog.pg_largeobject: loid=4711 pageno=0: data is '\\x6c61"))
    );
    // The tables that are asked for, and no others.
    let one = setup.report(1, &["--table", "public.kinds", "--quiet"]);
    assert_eq!(one.iter().filter(|line| line.starts_with("public.")).count(), 2, "{one:?}");
    setup.report(0, &["--table", "public.quick"]);
}

/// Issue 6: hidden divergence in one row, found without moving the others.
fn one_row_of(database: &'static str, rows: u32) {
    let setup = Setup::new(
        database,
        &format!(
            "CREATE TABLE accounts (aid int PRIMARY KEY, abalance int, filler char(84));
             INSERT INTO accounts SELECT n, 0, '' FROM generate_series(1, {rows}) AS n"
        ),
    );
    setup.report(0, &[]);
    let aid = rows / 3 * 2;
    // By hand, and quietly: no number of rows changes.
    setup.run_on(1, &format!("UPDATE accounts SET abalance = abalance + 1 WHERE aid = {aid}"));
    let report = setup.report(1, &[]);
    says(&report, &format!("public.accounts {rows} {rows} differs: 1 row"));
    says(&report, &format!("public.accounts: aid={aid}: abalance is '0' on backend 0, '1' on backend 1"));
}

#[test]
fn one_row_of_twenty_thousand() {
    one_row_of("verify_row", 20_000);
}

#[test]
#[ignore = "a million rows"]
fn soak_one_row_of_a_million() {
    one_row_of("verify_million", 1_000_000);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let setup = Setup::new("verify_cannot", "CREATE TABLE t (n int)");
    let missing = setup.report(2, &["--table", "public.not_there"]);
    says(&missing, "public.not_there: not compared: there is no such table on any server");
    let error = setup.verify(&["--backend", "0"]).error();
    assert!(error.contains("fewer than two servers"), "{error}");
    let error = setup.verify(&["--backend", "7"]).error();
    assert!(error.contains("there is no backend 7"), "{error}");
    let elsewhere = setup.verify(&["--database", "nowhere"]);
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(elsewhere.stderr.contains("database \"nowhere\" does not exist"), "{elsewhere}");
    // A lock that somebody holds.
    let mut holder = waypool_tests::raw::Raw::direct(
        servers().server(1),
        &[("user", "postgres"), ("database", "verify_cannot")],
    );
    holder.run("BEGIN");
    holder.run("LOCK TABLE t");
    let report = setup.report(2, &[]);
    assert!(
        report.iter().any(|line| line
            .starts_with("public.t: not compared: backend 1: canceling statement due to lock timeout")),
        "{report:?}"
    );
}

/// What stands still and differs is found among rows that are written meanwhile.
#[test]
fn a_difference_is_found_among_data_that_moves() {
    let setup = Setup::new(
        "verify_moving",
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    );
    setup.run_on(1, "UPDATE t SET v = 'x' WHERE id = 2");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Each server gets values of its own, as fast as it can take them.
        for server in 0..2 {
            let stop = &stop;
            let run = move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    setup_move(server);
                }
            };
            scope.spawn(run);
        }
        let report = setup.report(1, &[]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        says(&report, "public.t: id=2: v is 'b' on backend 0, 'x' on backend 1");
    });
}

fn setup_move(server: usize) {
    let sql = format!("UPDATE t SET v = {server}::text || random() WHERE id = 1");
    servers().server(server).psql_in("verify_moving", &sql).unwrap();
}

/// Standbys get the time to replay what the primary has.
#[test]
fn a_standby_is_equal_to_its_primary() {
    let cluster = Cluster::builder().standbys(1).start().unwrap();
    cluster
        .primary()
        .psql("CREATE TABLE t (n int); CREATE UNLOGGED TABLE u (n int); CREATE SEQUENCE s")
        .unwrap();
    let proxy = Proxy::builder(&cluster).start();
    psql(&proxy, "INSERT INTO t SELECT generate_series(1, 1000); SELECT nextval('s')");
    let mut command = Command::new(waypool());
    let finished = run(command.arg("verify").arg("-c").arg(proxy.config_path()), "");
    assert_eq!(finished.status.code(), Some(0), "{finished}");
    assert!(finished.stdout.contains("1000"), "{finished}");
    proxy.stop();
}

/// The check in the background: nothing at first, and then what was planted.
#[test]
fn a_running_proxy_finds_divergence_by_itself() {
    let cluster = Cluster::builder().independent(2).start().unwrap();
    for server in cluster.servers() {
        server.psql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')").unwrap();
    }
    let proxy = Proxy::builder(&cluster)
        .top("backend_clustering_mode = \"raw\"\nverify_period = \"1s\"\nlog_min_messages = \"info\"")
        .start();
    proxy.wait_for_log("the servers are equal");
    cluster.server(1).psql("UPDATE t SET v = 'b'").unwrap();
    proxy.wait_for_log("the servers differ");
    proxy.wait_for_log("postgres: public.t: id=1: v is 'a' on backend 0, 'b' on backend 1");
    cluster.server(1).psql("UPDATE t SET v = 'a'").unwrap();
    let equal = || proxy.log().rfind("the servers are equal") > proxy.log().rfind("the servers differ");
    wait_until("they are found equal again", equal);
    proxy.stop();
}

/// While clients write through the proxy, on all servers, snapshots show the
/// same: there is no need to look twice.
#[test]
fn servers_are_compared_between_commits_while_clients_write() {
    let cluster = Cluster::builder().independent(2).start().unwrap();
    let proxy = Proxy::builder(&cluster)
        .top("backend_clustering_mode = \"native_replication\"\nlog_min_messages = \"info\"")
        .start();
    psql(
        &proxy,
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, '' FROM generate_series(1, 50) n",
    );
    let verify = || {
        let mut command = Command::new(waypool());
        run(command.arg("verify").arg("-c").arg(proxy.config_path()), "")
    };
    let stop = std::sync::atomic::AtomicBool::new(false);
    let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
    let (proxy, stopped) = (&proxy, &stopped);
    std::thread::scope(|scope| {
        for client in 0..3 {
            scope.spawn(move || {
                let mut session = waypool_tests::raw::Raw::login(proxy);
                let mut number = 0;
                while !stopped() {
                    number += 1;
                    session.run(&format!(
                        "UPDATE t SET v = '{client} {number}' WHERE id <= 50 AND id % 3 = {client}"
                    ));
                }
            });
        }
        for _ in 0..5 {
            let finished = verify();
            assert_eq!(finished.status.code(), Some(0), "{finished}");
            assert!(finished.stdout.contains("which the running proxy has given"), "{finished}");
        }
        // Whom nobody tells: the proxy commits on.
        cluster.server(1).psql("INSERT INTO t VALUES (1000, 'planted')").unwrap();
        let finished = verify();
        assert_eq!(finished.status.code(), Some(1), "{finished}");
        assert!(
            finished.stdout.contains("id=1000: row is missing on backend 0, there on backend 1"),
            "{finished}"
        );
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// `on_divergence = "detach"`
#[test]
fn a_server_that_differs_can_be_detached() {
    let cluster = Cluster::builder().independent(2).start().unwrap();
    let proxy = Proxy::builder(&cluster)
        .top("backend_clustering_mode = \"native_replication\"\nverify_period = \"1s\"\non_divergence = \"detach\"")
        .start();
    psql(&proxy, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')");
    cluster.server(1).psql("UPDATE t SET v = 'b'").unwrap();
    proxy.wait_for_log("it differs from the others (on_divergence)");
    assert_eq!(psql(&proxy, "SELECT v FROM t"), "a");
    psql(&proxy, "UPDATE t SET v = 'c'");
    assert_eq!(cluster.server(1).psql("SELECT v FROM t").unwrap(), "b");
    proxy.stop();
}
