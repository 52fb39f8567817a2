//! `commit_mode = "two_phase"` in a proxy that is killed under load: no
//! transaction that a client was told of is lost, and none is half done.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, Error};
use waypool_sandbox::{Cluster, Server};
use waypool_tests::raw::Raw;
use waypool_tests::{Builder, Proxy, connect, psql, psql_error, run_async, wait_until};

const CLIENTS: i64 = 6;

fn replicating(cluster: &Cluster) -> Builder {
    Proxy::builder(cluster).top(
        "backend_clustering_mode = \"native_replication\"\ncommit_mode = \"two_phase\"\n\
         health_check_period = \"200ms\"\nsr_check_period = \"1s\"",
    )
}

fn prepared(server: &Server) -> String {
    server.psql("SELECT count(*) FROM pg_prepared_xacts").unwrap()
}

// === what goes on ===

#[test]
fn a_transaction_is_prepared_decided_and_committed() {
    let cluster = Cluster::builder().independent(2).setting("log_statement", "all").start().unwrap();
    let proxy = replicating(&cluster).start();
    psql(&proxy, "CREATE TABLE t (n int PRIMARY KEY)");
    let mut session = Raw::login(&proxy);
    for statement in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "INSERT INTO t VALUES (1)", "COMMIT AND CHAIN"]
    {
        session.run(statement);
    }
    assert_eq!(session.value("SHOW transaction_isolation"), "repeatable read");
    session.run("INSERT INTO t VALUES (2)");
    session.run("ROLLBACK");
    for server in cluster.servers() {
        assert_eq!(server.psql("SELECT string_agg(n::text, ',') FROM t").unwrap(), "1");
        assert_eq!(prepared(server), "0");
        let log = server.log_text();
        let of_the_insert = log.split("INSERT INTO t VALUES (1)").nth(1).unwrap();
        let prepare = of_the_insert.find("PREPARE TRANSACTION 'waypool_").unwrap();
        let commit = of_the_insert.find("COMMIT PREPARED 'waypool_").unwrap();
        assert!(prepare < commit);
    }
    // What cannot be prepared is said, and leaves nothing.
    let said = psql_error(
        &proxy,
        "postgres",
        "BEGIN; CREATE TEMP TABLE s (n int); INSERT INTO t VALUES (3); COMMIT",
    );
    assert!(
        said.contains("0A000: cannot PREPARE a transaction that has operated on temporary objects"),
        "{said}"
    );
    assert!(said.contains("commit_mode = \"ordered\""), "{said}");
    // What only one of them finds wrong is rolled back on both.
    cluster
        .server(1)
        .psql("CREATE TABLE u (n int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO u VALUES (1)")
        .unwrap();
    cluster.server(0).psql("CREATE TABLE u (n int)").unwrap();
    let said = psql_error(&proxy, "postgres", "INSERT INTO u VALUES (1)");
    assert!(said.contains("23505"), "{said}");
    for server in cluster.servers() {
        assert_eq!(server.psql("SELECT count(*) FROM t").unwrap(), "1");
        assert_eq!(prepared(server), "0");
    }
    assert_eq!(cluster.server(0).psql("SELECT count(*) FROM u").unwrap(), "0");
    proxy.stop();
}

#[test]
fn servers_that_cannot_prepare_are_refused_at_the_start() {
    let cluster =
        Cluster::builder().independent(2).setting("max_prepared_transactions", "0").start().unwrap();
    let log = replicating(&cluster).start_error();
    assert!(
        log.contains("has max_prepared_transactions = 0. Write max_prepared_transactions = 300"),
        "{log}"
    );
}

// === crashes ===

/// Numbers that clients were told are committed.
#[derive(Debug, Default)]
struct Told {
    stop: AtomicBool,
    next: AtomicI64,
    numbers: Mutex<Vec<i64>>,
}

impl Told {
    fn len(&self) -> usize {
        self.numbers.lock().unwrap().len()
    }
}

/// Inserts numbers until it is told to stop, or the proxy is gone, and counts
/// them. A session that is lost with its server is followed by another.
async fn work(proxy: &Proxy, client: i64, told: &Told) {
    while !told.stop.load(Ordering::Relaxed) {
        let Ok((session, _messages)) = connect(proxy, "").await else {
            return;
        };
        while !told.stop.load(Ordering::Relaxed) {
            let number = told.next.fetch_add(1, Ordering::Relaxed);
            match transaction(&session, client, number).await {
                Ok(()) => told.numbers.lock().unwrap().push(number),
                Err(error) if error.is_closed() || is_of_a_crash(&error) => break,
                Err(error) => panic!("client {client}: {error:?}"),
            }
        }
    }
}

/// Connections, or a server, are lost.
fn is_of_a_crash(error: &Error) -> bool {
    error.code().is_some_and(|code| ["08", "57P"].iter().any(|class| code.code().starts_with(class)))
}

/// In one of three forms, which commit in different places.
async fn transaction(session: &Client, client: i64, number: i64) -> Result<(), Error> {
    let insert = format!("INSERT INTO t VALUES ({number}, {client})");
    let count = format!("UPDATE counters SET n = n + 1 WHERE client = {client}");
    match client % 3 {
        0 => {
            for statement in ["BEGIN", &insert, &count, "COMMIT"] {
                session.batch_execute(statement).await?;
            }
        }
        1 => {
            for statement in ["BEGIN", &insert, &count, "COMMIT"] {
                session.execute(statement, &[]).await?;
            }
        }
        _ => {
            let both = format!("WITH inserted AS ({insert}) {count}");
            session.execute(&both, &[]).await?;
        }
    }
    Ok(())
}

fn random(below: u32) -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    (now.subsec_nanos() / 64) % below
}

fn crashes(runs: u32) {
    let cluster = Cluster::builder().independent(2).start().unwrap();
    let proxy = replicating(&cluster).start();
    create(&proxy);
    let told = Told::default();
    for run in 0..runs {
        proxy_crash(&cluster, &proxy, &told, run);
    }
    let resolved = |what: &str| proxy.log().matches(&format!("{what} PREPARED: it was left behind")).count();
    println!(
        "{runs} crashes, {} transactions told; left behind: {} committed, {} rolled back",
        told.len(),
        resolved("COMMIT"),
        resolved("ROLLBACK")
    );
    proxy.stop();
}

fn create(proxy: &Proxy) {
    psql(
        proxy,
        &format!(
            "CREATE TABLE t (n bigint PRIMARY KEY, client int NOT NULL);
             CREATE TABLE counters (client int PRIMARY KEY, n bigint NOT NULL);
             INSERT INTO counters SELECT client, 0 FROM generate_series(0, {}) client",
            CLIENTS - 1
        ),
    );
}

fn proxy_crash(cluster: &Cluster, proxy: &Proxy, told: &Told, run: u32) {
    working(proxy, told, || {
        wait_for_work(told);
        proxy.kill_and_start_again();
    });
    check_rows(cluster, told, run);
    let [first, second] = [0, 1].map(|id| rows(cluster.server(id)));
    assert_eq!(first, second, "run {run}: the servers differ");
}

/// Any moment will do.
fn wait_for_work(told: &Told) {
    let wanted = told.len() + 1 + random(40) as usize;
    wait_until("clients have worked", || told.len() >= wanted);
    std::thread::sleep(Duration::from_micros(random(5000).into()));
}

/// A server dies, and the clients go on with the other one; when it is back,
/// nothing is prepared on it any more, and nothing of what it has is half done.
/// `proxy_too`: the proxy dies right before or after it.
fn server_crash(run: u32, proxy_too: bool) {
    let cluster = Cluster::builder().independent(2).start().unwrap();
    let proxy = replicating(&cluster).start();
    create(&proxy);
    let told = Told::default();
    let (dead, other) = (cluster.server(run as usize % 2), cluster.server(1 - run as usize % 2));
    working(&proxy, &told, || {
        wait_for_work(&told);
        if proxy_too && run % 4 < 2 {
            proxy.kill_and_start_again();
            std::thread::sleep(Duration::from_micros(random(5000).into()));
        }
        dead.kill9().unwrap();
        if proxy_too && run % 4 >= 2 {
            std::thread::sleep(Duration::from_micros(random(5000).into()));
            proxy.kill_and_start_again();
        }
    });
    working(&proxy, &told, || {
        let wanted = told.len() + 20;
        wait_until("clients go on without it", || told.len() >= wanted);
        dead.start().unwrap();
        wait_until("nothing is left prepared on it", || prepared(dead) == "0");
    });
    wait_until("nothing is left prepared", || prepared(other) == "0");
    check_counters(&cluster, run);
    let (of_dead, of_other) = (rows(dead), rows(other));
    assert_eq!(lost(&told, &of_other), [0; 0], "run {run}: told and lost");
    let more: Vec<_> = of_dead.difference(&of_other).collect();
    assert!(more.is_empty(), "run {run}: only on the server that died: {more:?}");
    proxy.stop();
}

/// While clients are at work.
fn working(proxy: &Proxy, told: &Told, run: impl FnOnce()) {
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || run_async(work(proxy, client, told)));
        }
        run();
        told.stop.store(true, Ordering::Relaxed);
    });
    told.stop.store(false, Ordering::Relaxed);
}

fn rows(server: &Server) -> HashSet<i64> {
    server.psql("SELECT n FROM t").unwrap().lines().map(|row| row.parse().unwrap()).collect()
}

fn lost(told: &Told, there: &HashSet<i64>) -> Vec<i64> {
    told.numbers.lock().unwrap().iter().copied().filter(|number| !there.contains(number)).collect()
}

#[track_caller]
fn check_rows(cluster: &Cluster, told: &Told, run: u32) {
    wait_until("nothing is left prepared", || cluster.servers().iter().all(|server| prepared(server) == "0"));
    assert_eq!(lost(told, &rows(cluster.server(0))), [0; 0], "run {run}: told and lost");
    check_counters(cluster, run);
}

/// Each transaction has counted what it has inserted.
#[track_caller]
fn check_counters(cluster: &Cluster, run: u32) {
    for server in cluster.servers() {
        let wrong =
            "SELECT count(*) FROM counters c WHERE n <> (SELECT count(*) FROM t WHERE t.client = c.client)";
        assert_eq!(server.psql(wrong).unwrap(), "0", "run {run}: half a transaction");
    }
}

#[test]
fn nothing_is_lost_or_half_done_when_the_proxy_is_killed() {
    crashes(5);
}

#[test]
fn nothing_is_lost_or_half_done_when_a_server_is_killed() {
    (0..2).for_each(|run| server_crash(run, false));
}

#[test]
#[ignore = "50 crashes"]
fn soak_nothing_is_lost_or_half_done_when_the_proxy_is_killed_50_times() {
    crashes(50);
}

#[test]
#[ignore = "50 crashes"]
fn soak_nothing_is_lost_or_half_done_when_a_server_is_killed_50_times() {
    (0..50).for_each(|run| server_crash(run, false));
}

#[test]
fn nothing_is_lost_or_half_done_when_both_are_killed() {
    [0, 3].into_iter().for_each(|run| server_crash(run, true));
}

#[test]
#[ignore = "50 crashes of each"]
fn soak_nothing_is_lost_or_half_done_when_both_are_killed_50_times() {
    (0..50).for_each(|run| server_crash(run, true));
}
