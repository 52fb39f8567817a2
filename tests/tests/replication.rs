//! Replication connections, with the programs that make them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use waypool_sandbox::Cluster;
use waypool_tests::raw::{Raw, expect_fatal, sqlstate, wait_running, wait_true};
use waypool_tests::wire::{self, Wire};
use waypool_tests::{Builder, Finished, Proxy, program, run, wait_until};

/// One test at a time: they count segments and walsenders.
fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: LazyLock<Mutex<Cluster>> = LazyLock::new(|| {
        let builder =
            Cluster::builder().standbys(1).setting("wal_level", "logical").setting("full_page_writes", "on");
        Mutex::new(builder.start().unwrap_or_else(|error| panic!("{error}")))
    });
    CLUSTER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn builder(cluster: &Cluster) -> Builder {
    Proxy::builder(cluster)
        .hba(&["host all all all trust", "host replication all all trust"])
        .weights(&[1.0, 0.0])
}

/// psql that runs this on a connection of this kind.
fn psql(proxy: &Proxy, kind: &str, options: &str, sql: &str) -> Finished {
    let mut psql = program(proxy, "psql");
    psql.env("PGOPTIONS", options);
    run(psql.args(["-XAt", "-d", &format!("replication={kind} dbname=postgres"), "-c", sql]), "")
}

fn at(server: usize) -> String {
    format!("-c waypool.backend={server} -c work_mem=7MB")
}

#[test]
fn it_goes_to_the_primary_or_to_the_server_that_is_asked_for() {
    let cluster = cluster();
    let proxy = builder(&cluster).start();
    let system = cluster.primary().psql("SELECT system_identifier FROM pg_control_system()").unwrap();
    for kind in ["true", "on", "database"] {
        let said = psql(&proxy, kind, "", "IDENTIFY_SYSTEM").ok();
        assert!(said.starts_with(&format!("{system}|1|")), "{said}");
    }
    let who = "SELECT inet_server_port() || ' ' || current_setting('work_mem') || ' ' \
               || coalesce(current_setting('waypool.backend', true), 'not seen')";
    for server in cluster.servers() {
        let said = psql(&proxy, "database", &at(server.id()), who).ok();
        assert_eq!(said, format!("{} 7MB not seen\n", server.port()));
    }
    for wrong in ["2", "one", "-1", ""] {
        let said = psql(&proxy, "true", &format!("-c waypool.backend={wrong}"), "IDENTIFY_SYSTEM").error();
        assert!(
            said.contains(&format!("invalid value for parameter \"waypool.backend\": \"{wrong}\"")),
            "{said}"
        );
    }
    // An ordinary session, whatever the word for that is.
    for kind in ["false", "0", "no"] {
        assert_eq!(psql(&proxy, kind, "", "SELECT 1").ok(), "1\n");
    }
    proxy.stop();
}

#[test]
fn physical_replication_needs_a_rule_of_its_own() {
    let cluster = cluster();
    let proxy = builder(&cluster).hba(&["host all all all trust"]).start();
    let said = psql(&proxy, "true", "", "IDENTIFY_SYSTEM").error();
    assert!(said.contains("no entry in Waypool's hba rules for replication connection from host"), "{said}");
    psql(&proxy, "database", "", "IDENTIFY_SYSTEM").ok();
    proxy.stop();
}

#[test]
fn a_password_is_passed_through() {
    let cluster = cluster();
    cluster.primary().psql("CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'sesame'").unwrap();
    cluster.primary().psql("CREATE ROLE no_replicator LOGIN PASSWORD 'sesame'").unwrap();
    let proxy = builder(&cluster)
        .hba(&["host replication all all scram-sha-256"])
        .user("replicator", "sesame")
        .user("no_replicator", "sesame")
        .start();
    let identify = |user: &str, password: &str| {
        let mut psql = program(&proxy, "psql");
        psql.env("PGUSER", user).env("PGPASSWORD", password);
        run(psql.args(["-XAtw", "-d", "replication=true", "-c", "IDENTIFY_SYSTEM"]), "")
    };
    identify("replicator", "sesame").ok();
    assert!(identify("replicator", "wrong").error().contains("password authentication failed"));
    assert!(identify("no_replicator", "sesame").error().contains("replication role"));
    proxy.stop();
}

#[test]
fn pg_basebackup_copies_a_server() {
    let cluster = cluster();
    let proxy = builder(&cluster).start();
    for server in cluster.servers() {
        let folder = format!("copy_of_{}", server.id());
        let mut backup = program(&proxy, "pg_basebackup");
        backup.env("PGOPTIONS", at(server.id()));
        run(backup.args(["-D", &folder, "-X", "stream", "-c", "fast"]), "").ok();
        // Each file against its checksum, and the WAL that belongs to it.
        run(program(&proxy, "pg_verifybackup").arg(&folder), "").ok();
        assert_eq!(proxy.folder().join(&folder).join("standby.signal").exists(), server.id() == 1);
    }
    proxy.stop();
}

#[test]
fn pg_receivewal_gets_the_wal_byte_for_byte() {
    let cluster = cluster();
    let proxy = builder(&cluster).start();
    let primary = cluster.primary();
    primary.psql("SELECT pg_switch_wal()").unwrap();
    primary.psql("CREATE TABLE received AS SELECT generate_series(1, 100000)").unwrap();
    let segment = primary.psql("SELECT pg_walfile_name(pg_current_wal_lsn())").unwrap();
    let next = "SELECT '0/0'::pg_lsn + (div(pg_current_wal_lsn() - '0/0', 16777216) + 1) * 16777216";
    let next = primary.psql(next).unwrap();
    fs::create_dir(proxy.folder().join("wal")).unwrap();
    let mut receive = program(&proxy, "pg_receivewal");
    let mut receive = Child::spawn(receive.args(["-D", "wal", "-n", "--endpos", &next]));
    let sending = "SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = 'pg_receivewal'";
    wait_true(primary, "the walsender works", sending);
    primary.psql("SELECT pg_switch_wal()").unwrap();
    primary.psql("SELECT txid_current()").unwrap();
    wait_until("pg_receivewal has all that it wants", || receive.has_ended());
    let received = fs::read(proxy.folder().join("wal").join(&segment)).unwrap();
    let sent = fs::read(primary.data_dir().join("pg_wal").join(&segment)).unwrap();
    assert!(received == sent, "{segment} differs");
    proxy.stop();
}

#[test]
fn pg_recvlogical_hears_of_changes() {
    let cluster = cluster();
    let proxy = builder(&cluster).start();
    let recvlogical = |arguments: &[&str]| {
        let mut program = program(&proxy, "pg_recvlogical");
        run(program.args(["-d", "postgres", "--slot", "heard"]).args(arguments), "").ok()
    };
    recvlogical(&["--create-slot", "-P", "test_decoding"]);
    cluster.primary().psql("CREATE TABLE heard (n int); INSERT INTO heard VALUES (42)").unwrap();
    let end = cluster.primary().psql("SELECT pg_current_wal_lsn()").unwrap();
    let heard = recvlogical(&["--start", "--endpos", &end, "--no-loop", "-f", "-"]);
    assert!(heard.contains("table public.heard: INSERT: n[integer]:42"), "{heard}");
    recvlogical(&["--drop-slot"]);
    proxy.stop();
}

#[test]
fn a_subscription_gets_tables_and_changes() {
    let cluster = cluster();
    let proxy = builder(&cluster).start();
    let primary = cluster.primary();
    let ask = |database: &str, sql: &str| primary.psql_in(database, sql).unwrap();
    for database in ["published", "subscribed"] {
        ask("postgres", &format!("CREATE DATABASE {database}"));
        ask(database, "CREATE TABLE t (n int PRIMARY KEY)");
    }
    ask("published", "INSERT INTO t SELECT generate_series(1, 1000)");
    ask("published", "CREATE PUBLICATION p FOR TABLE t");
    // In one server: CREATE SUBSCRIPTION would wait for itself to make the slot.
    ask("published", "SELECT pg_create_logical_replication_slot('through_waypool', 'pgoutput')");
    let conninfo = format!("host=127.0.0.1 port={} user=postgres dbname=published", proxy.port());
    ask(
        "subscribed",
        &format!(
            "CREATE SUBSCRIPTION s CONNECTION '{conninfo}' PUBLICATION p \
             WITH (create_slot = false, slot_name = 'through_waypool')"
        ),
    );
    let rows = || ask("subscribed", "SELECT count(*) || ' ' || sum(n) FROM t");
    wait_until("the table is copied", || rows() == "1000 500500");
    ask("published", "DELETE FROM t WHERE n > 10; UPDATE t SET n = n + 100");
    wait_until("the changes have come", || rows() == "10 1055");
    ask("subscribed", "ALTER SUBSCRIPTION s DISABLE");
    ask("subscribed", "ALTER SUBSCRIPTION s SET (slot_name = NONE)");
    ask("subscribed", "DROP SUBSCRIPTION s");
    proxy.stop();
}

#[test]
fn a_query_is_cancelled() {
    let cluster = cluster();
    let proxy = builder(&cluster).start();
    let mut session = Raw::login_with(&proxy, &[("replication", "database")]);
    session.send(&wire::query("SELECT pg_sleep(600) /* replication_cancel */"));
    wait_running(cluster.primary(), "replication_cancel");
    session.cancel(&proxy);
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("57014"));
    assert_eq!(session.value("SELECT 1"), "1");
    proxy.stop();
}

#[test]
fn it_ends_with_the_proxy_the_client_or_the_server() {
    let cluster = cluster();
    let proxy = builder(&cluster).start();
    let walsenders = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND application_name = 'ends'";
    let login = || Raw::login_with(&proxy, &[("replication", "true"), ("application_name", "ends")]);
    let count = || cluster.primary().psql(walsenders).unwrap();
    login().leave();
    wait_until("it is not kept", || count() == "0");
    let vanishing = login();
    assert_eq!(count(), "1");
    vanishing.vanish();
    wait_until("the server hears of it", || count() == "0");
    let mut ended = login();
    cluster.primary().psql(&walsenders.replace("count(*)", "pg_terminate_backend(pid)")).unwrap();
    expect_fatal(&mut ended.wire, "57P01");
    let mut session = login();
    let proxy_ends = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| proxy.stop());
        expect_fatal(&mut session.wire, "57P01");
        stopping.join()
    });
    proxy_ends.unwrap();
    wait_until("the server is rid of it", || count() == "0");
}

#[test]
fn it_counts_as_a_client_and_as_a_server_connection() {
    let cluster = cluster();
    let proxy = builder(&cluster)
        .top("default_pool_size = 1\nquery_wait_timeout = \"1s\"")
        .table("users.replicator_limit", "pool_size = 5\nmax_user_client_connections = 1")
        .start();
    let replication = Raw::login_with(&proxy, &[("replication", "true")]);
    let error = Raw::try_login(&proxy, &[]).unwrap_err();
    assert_eq!(error.field(b'C').as_deref(), Some("53300"));
    replication.leave();
    wait_until("its place is free", || Raw::try_login(&proxy, &[]).is_ok());
    cluster.primary().psql("CREATE ROLE replicator_limit LOGIN REPLICATION").unwrap();
    let as_user = [("user", "replicator_limit"), ("replication", "true")];
    let _one = Raw::login_with(&proxy, &as_user);
    let error = Raw::try_login(&proxy, &as_user).unwrap_err();
    assert_eq!(error.field(b'M').as_deref(), Some("too many connections for role \"replicator_limit\""));
    proxy.stop();
}

#[test]
fn a_word_that_is_no_kind_of_replication_is_refused_as_by_the_server() {
    let cluster = cluster();
    let proxy = builder(&cluster).start();
    for word in ["maybe", "", "o", "Database"] {
        let error = |mut wire: Wire| {
            wire.send(&wire::startup((3, 0), &[("user", "postgres"), ("replication", word)]));
            let messages = wire.until_closed();
            [b'S', b'C', b'M', b'H'].map(|field| messages[0].field(field))
        };
        let direct = error(Wire::connect_to(cluster.primary().port()));
        assert_eq!(error(Wire::connect(&proxy)), direct, "{word:?}");
    }
    proxy.stop();
}

/// A program that runs beside the test.
struct Child(std::process::Child);

impl Child {
    fn spawn(command: &mut Command) -> Child {
        Child(command.spawn().unwrap())
    }

    /// Panics if it has failed.
    #[track_caller]
    fn has_ended(&mut self) -> bool {
        let status = self.0.try_wait().unwrap();
        status.inspect(|status| assert!(status.success(), "{status}")).is_some()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
