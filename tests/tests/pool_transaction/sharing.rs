//! Who has a server connection when.

use super::{connections, one_connection};
use waypool_tests::raw::{self, Raw, read_port, sqlstate, wait_running};
use waypool_tests::{
    Database, PATIENCE, Proxy, client_with_messages, primary_and_standby, run_async, wait_until, wire,
};

#[test]
fn a_connection_goes_back_when_its_transaction_ends() {
    let proxy = one_connection().start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    let pid = one.backend_pid();
    assert_eq!(two.backend_pid(), pid);
    one.run("BEGIN");
    // All are in use: this one waits, and is told for how long, and why.
    let answer = two.query("SELECT 1");
    assert_eq!(sqlstate(&answer).as_deref(), Some("53300"));
    one.run("SELECT 1");
    one.run("COMMIT");
    assert_eq!(two.value("SELECT 1"), "1");
    // A failed transaction keeps it until it is ended.
    one.run("BEGIN");
    assert_eq!(one.error("SELECT 1/0"), "22012");
    assert_eq!(two.error("SELECT 1"), "53300");
    one.run("ROLLBACK");
    assert_eq!(two.value("SELECT 1"), "1");
    proxy.stop();
}

#[test]
fn a_client_that_vanishes_in_a_transaction_leaves_nothing() {
    let database = Database::create("pool_vanish", "CREATE TABLE t (n int)");
    let proxy = one_connection().start();
    let parameters = [("database", database.name)];
    let mut one = Raw::login_with(&proxy, &parameters);
    one.run("BEGIN");
    one.run("INSERT INTO t VALUES (1)");
    one.run("SET work_mem = '7MB'");
    one.run("SELECT pg_advisory_lock(7)");
    one.vanish();
    let mut two = Raw::login_with(&proxy, &parameters);
    assert_eq!(two.value("SELECT count(*) FROM t"), "0");
    assert_eq!(two.value("SHOW work_mem"), "4MB");
    assert_eq!(two.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    proxy.stop();
}

#[test]
fn reads_and_writes_take_a_connection_of_the_server_they_are_for() {
    let database = Database::create("pool_split", "CREATE TABLE t (n int)");
    let proxy = connections(1).weights(&[0.0, 1.0]).start();
    let parameters = [("database", database.name)];
    let mut clients: Vec<Raw> = (0..5).map(|_| Raw::login_with(&proxy, &parameters)).collect();
    let standby = primary_and_standby().server(1).port();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(read_port(client), standby);
        client.run(&format!("INSERT INTO t VALUES ({n})"));
        assert_eq!(read_port(client), standby);
        client.run("BEGIN");
        assert_eq!(read_port(client), standby);
        client.run("UPDATE t SET n = n + 1");
        assert_ne!(read_port(client), standby, "behind a write");
        client.run("COMMIT");
    }
    proxy.stop();
}

#[test]
fn a_pipeline_keeps_one_connection_and_gives_it_back() {
    let proxy = one_connection().start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    let pid = two.backend_pid();
    let many: Vec<u8> = (0..50).flat_map(|n| raw::extended(&format!("SELECT {n}"))).collect();
    one.send(&many);
    for n in 0..50 {
        assert_eq!(raw::value(&one.wire.until_ready()).as_deref(), Some(n.to_string().as_str()));
    }
    assert_eq!(two.backend_pid(), pid);
    proxy.stop();
}

#[test]
fn a_cancel_request_ends_what_its_own_client_runs() {
    let proxy = connections(2).weights(&[1.0, 0.0]).start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    // Nothing of one's runs: two, who has the connection now, is left alone.
    one.run("SELECT 1");
    two.send(&wire::query("SELECT 'two_runs', pg_sleep(0.5)"));
    wait_running(primary_and_standby().primary(), "two_runs");
    one.cancel(&proxy);
    assert_eq!(sqlstate(&two.wire.until_ready()), None);
    one.send(&wire::query("SELECT 'one_runs', pg_sleep(600)"));
    wait_running(primary_and_standby().primary(), "one_runs");
    two.cancel(&proxy);
    one.cancel(&proxy);
    assert_eq!(sqlstate(&one.wire.until_ready()).as_deref(), Some("57014"));
    proxy.stop();
}

#[test]
fn a_killed_server_connection_hurts_only_who_uses_it() {
    let proxy = connections(2).weights(&[1.0, 0.0]).start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    one.run("BEGIN");
    let pid = one.backend_pid();
    two.run("SELECT 1");
    let primary = primary_and_standby().primary();
    assert_eq!(primary.psql(&format!("SELECT pg_terminate_backend({pid})")).unwrap(), "t");
    raw::expect_fatal(&mut one.wire, "08006");
    assert_eq!(two.value("SELECT 1"), "1");
    // One that is killed while nobody has it is not lent again.
    let pid = two.backend_pid();
    assert_eq!(primary.psql(&format!("SELECT pg_terminate_backend({pid})")).unwrap(), "t");
    wait_until("it is gone", || {
        primary.psql(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}")).unwrap() == "0"
    });
    assert_ne!(two.backend_pid(), pid);
    proxy.stop();
}

#[test]
fn statement_mode_refuses_transactions_of_several_statements() {
    let top = "pool_mode = \"statement\"\ndefault_pool_size = 1";
    let proxy = Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).top(top).start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    let pid = one.backend_pid();
    assert_eq!(two.backend_pid(), pid);
    let error = one.query("BEGIN");
    assert_eq!(sqlstate(&error).as_deref(), Some("0A000"));
    assert!(error[0].field(b'D').unwrap().contains("pool_mode"));
    assert_eq!(one.error("BEGIN; SELECT 1; COMMIT"), "0A000");
    one.send(&raw::extended("START TRANSACTION"));
    assert_eq!(sqlstate(&one.wire.until_ready()).as_deref(), Some("0A000"));
    // Several statements in one text are one transaction to the server.
    assert_eq!(raw::sqlstate(&one.query("SELECT 1; SELECT 2")), None);
    assert_eq!(one.value("SELECT 3"), "3");
    proxy.stop();
}

#[test]
fn a_driver_does_not_notice() {
    let database = Database::create("pool_driver", "CREATE TABLE t (n int PRIMARY KEY, who int)");
    let proxy = connections(3).weights(&[1.0, 1.0]).start();
    run_async(async {
        let options = format!("dbname={}", database.name);
        let clients = (0..12).map(|_| async { client_with_messages(&proxy, &options).await.0 });
        let mut clients = futures_util::future::join_all(clients).await;
        let work = clients.iter_mut().enumerate().map(|(who, client)| async move {
            let who = who as i32;
            let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
            let count = client.prepare("SELECT count(*) FROM t WHERE who = $1").await.unwrap();
            for n in 0..20 {
                let transaction = client.transaction().await.unwrap();
                transaction.execute(&insert, &[&(who * 100 + n), &who]).await.unwrap();
                let so_far: i64 = transaction.query_one(&count, &[&who]).await.unwrap().get(0);
                assert_eq!(so_far, i64::from(n) + 1);
                transaction.commit().await.unwrap();
            }
        });
        tokio::time::timeout(PATIENCE, futures_util::future::join_all(work)).await.unwrap();
    });
    proxy.stop();
}
