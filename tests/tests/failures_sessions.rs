//! Single connections that break, on either side: what was under way ends
//! there, and the next session finds nothing of it.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::Stdio;

use waypool_tests::raw::{
    Raw, copy_data, expect_fatal, read_port, sqlstate, value, wait_blocked, wait_running, wait_true,
};
use waypool_tests::{Database, Proxy, primary_and_standby, program, wait_until, wire};

/// Reads go to the standby.
fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start()
}

/// Ends a server's process, and waits until it is gone.
fn terminate(server: usize, pid: &str) {
    let sql = format!("SELECT pg_terminate_backend({pid}, 60000)");
    assert_eq!(primary_and_standby().server(server).psql(&sql).unwrap(), "t");
}

/// The process on the standby that runs, or ran last, a statement with this text.
fn standby_pid(mark: &str) -> String {
    let sql =
        format!("SELECT pid FROM pg_stat_activity WHERE query LIKE '%{mark}%' AND pid <> pg_backend_pid()");
    primary_and_standby().server(1).psql(&sql).unwrap()
}

// === the server's side ===

#[test]
fn an_idle_session_does_not_notice_that_its_connection_was_terminated() {
    let proxy = proxy();
    let database = Database::create("failures_idle", "CREATE TABLE t (n int)");
    let name = [("database", database.name), ("application_name", "terminated_idle")];
    let mut session = Raw::login_with(&proxy, &name);
    session.run("SET work_mem = '7MB'");
    session.send(
        &[wire::parse("p", "INSERT INTO t VALUES (1) RETURNING current_setting('work_mem')"), wire::sync()]
            .concat(),
    );
    session.wire.until_ready();
    let pid =
        || database.ask(0, "SELECT pid FROM pg_stat_activity WHERE application_name = 'terminated_idle'");
    for _ in 0..3 {
        let before = pid();
        terminate(0, &before);
        session.send(&[wire::bind("", "p", &[]), wire::execute("", 0), wire::sync()].concat());
        assert_eq!(value(&session.wire.until_ready()).as_deref(), Some("7MB"));
        session.run("INSERT INTO t VALUES (2)");
        assert_ne!(pid(), before);
    }
    assert_eq!(database.ask(0, "SELECT count(*) FROM t"), "6");
}

#[test]
fn a_read_whose_connection_was_terminated_is_sent_again() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    for _ in 0..3 {
        let standby = primary_and_standby().server(1).port().to_string();
        wait_until("reads go to the standby", || {
            session.value("SELECT inet_server_port() /* terminated_read */") == standby
        });
        terminate(1, &standby_pid("terminated_read"));
        assert_eq!(session.value("SELECT 1"), "1");
    }
}

#[test]
fn a_statement_under_way_on_a_terminated_connection_fails_at_once() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let pid = session.backend_pid();
    session.send(&wire::query("SELECT pg_sleep(600) /* terminated_write */"));
    wait_running(primary_and_standby().primary(), "terminated_write");
    terminate(0, &pid);
    expect_fatal(&mut session.wire, "08006");
    assert_eq!(Raw::login(&proxy).value("SELECT 1"), "1");
}

#[test]
fn a_transaction_whose_connection_was_terminated_is_not_continued() {
    let proxy = proxy();
    let database = Database::create("failures_terminated", "CREATE TABLE t (n int)");
    let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (1)");
    let pid = session.backend_pid();
    terminate(0, &pid);
    let rest = [wire::query("INSERT INTO t VALUES (2)"), wire::query("COMMIT")].concat();
    // The session may have been ended already.
    let _ = session.wire.stream.write_all(&rest);
    expect_fatal(&mut session.wire, "08006");
    assert_eq!(database.ask(0, "SELECT count(*) FROM t"), "0");
}

#[test]
fn one_terminated_connection_does_not_keep_others_from_the_server() {
    let proxy = proxy();
    let mut others: Vec<Raw> = (0..5).map(|_| Raw::login(&proxy)).collect();
    let mut session = Raw::login(&proxy);
    let standby = primary_and_standby().server(1).port();
    session.value("SELECT 1 /* terminated_alone */");
    terminate(1, &standby_pid("terminated_alone"));
    for other in &mut others {
        assert_eq!(other.value("SELECT 2"), "2");
        // The monitor has a look at the server and finds it well.
        wait_until("the standby is read from", || read_port(other) == standby);
        other.run("CREATE TEMP TABLE others AS SELECT 1");
    }
}

// === the client's side ===

#[test]
fn a_killed_client_gives_its_locks_back() {
    let proxy = proxy();
    let database = Database::create("failures_killed", "CREATE TABLE t AS SELECT 1 AS n");
    let mut psql = program(&proxy, "psql");
    psql.args(["-XAtq", "-d", database.name]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = psql.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"BEGIN;\nUPDATE t SET n = 2;\nSELECT 'killed_client';\n").unwrap();
    let holds = "SELECT count(*) > 0 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
        WHERE relname = 't' AND mode = 'RowExclusiveLock'";
    wait_until("the client holds its lock", || database.ask(0, holds) == "t");
    let mut other = Raw::login_with(&proxy, &[("database", database.name)]);
    other.send(&wire::query("UPDATE t SET n = 3 /* waits_for_the_killed */"));
    wait_blocked(database.cluster.primary(), "waits_for_the_killed");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    assert_eq!(sqlstate(&other.wire.until_ready()), None);
    assert_eq!(database.ask(0, "SELECT n FROM t"), "3");
}

#[test]
fn a_connection_in_the_middle_of_something_is_not_lent_again() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).start();
    let database = Database::create("failures_unknown", "CREATE TABLE t (n int)");
    let login = || Raw::login_with(&proxy, &[("database", database.name)]);
    let long = wire::query(&format!("SELECT '{}'", "x".repeat(400_000)));
    let middles = [
        ("a query", wire::query("SELECT pg_sleep(1)")),
        ("a result", wire::query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)")),
        ("COPY IN", [wire::query("COPY t FROM STDIN"), copy_data(b"1\n")].concat()),
        (
            "COPY OUT",
            wire::query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"),
        ),
        ("a long message", long[..300_000].to_vec()),
        ("a short message", wire::query("INSERT INTO t VALUES (1)")[..10].to_vec()),
        ("no Sync", [wire::parse("", "INSERT INTO t VALUES (1)"), wire::flush()].concat()),
        (
            "no Sync behind Execute",
            [
                wire::parse("", "INSERT INTO t VALUES (1)"),
                wire::bind("", "", &[]),
                wire::execute("", 0),
                wire::flush(),
            ]
            .concat(),
        ),
        ("a transaction", wire::query("BEGIN; INSERT INTO t VALUES (1)")),
    ];
    for (what, bytes) in &middles {
        let mut session = login();
        // What only this session may ever see.
        session.run("CREATE TEMP TABLE mine AS SELECT 1 AS n");
        session.run("SET work_mem = '7MB'");
        session.run("LISTEN mine");
        session.run("PREPARE mine AS SELECT 1");
        session.run("SELECT pg_advisory_lock(301)");
        session.send(bytes);
        if what.ends_with("Sync") || what.ends_with("result") || what.starts_with("COPY") {
            wait_until("the server has begun", || session.has_answer());
        }
        session.vanish();
        let state = "SELECT concat_ws(' ', to_regclass('pg_temp.mine'), current_setting('work_mem'), \
            (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_prepared_statements))";
        for _ in 0..3 {
            let mut next = login();
            assert_eq!(next.value(state), "4MB 0 0", "after {what}");
            next.run("BEGIN");
            next.run("COMMIT");
        }
        // What the server was doing may take a moment to end.
        let mut next = login();
        next.run("SELECT pg_advisory_lock(301)");
        assert_eq!(next.value("SELECT count(*) FROM t"), "0", "after {what}");
        next.leave();
    }
    let open = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'failures_unknown' AND state LIKE 'idle in%'";
    wait_true(database.cluster.primary(), "no transaction is open", open);
}

#[test]
fn many_clients_that_come_and_go_leave_nothing_open() {
    let proxy = Proxy::builder(primary_and_standby()).top("default_pool_size = 5").start();
    let database = Database::create("failures_come_and_go", "CREATE TABLE t (n int)");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let proxy = &proxy;
            scope.spawn(move || {
                for round in 0..25 {
                    let mut session = Raw::login_with(proxy, &[("database", database.name)]);
                    session.run("BEGIN");
                    session.run(&format!("INSERT INTO t VALUES ({})", thread * 100 + round));
                    match round % 3 {
                        0 => session.run("COMMIT"),
                        1 => session.send(&wire::query("COMM")[..6]),
                        _ => {}
                    }
                    session.vanish();
                }
            });
        }
    });
    let mut last = Raw::login_with(&proxy, &[("database", database.name)]);
    last.run("BEGIN; LOCK TABLE t; COMMIT");
    // Nine of 25 rounds committed, in each of four threads.
    assert_eq!(database.ask(0, "SELECT count(*), count(DISTINCT n) FROM t"), "36|36");
}
