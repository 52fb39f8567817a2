//! The primary goes away: writers are told quickly, reads go on, and writes work
//! again when it is back.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use waypool_sandbox::{Cluster, Mode, Server};
use waypool_tests::outage::{breakable, watchful};
use waypool_tests::raw::{Raw, expect_fatal, extended, read_port, sqlstate, wait_blocked};
use waypool_tests::{Proxy, wait_until, wire};

/// Quick enough for an application to go on; this machine may be busy.
const QUICKLY: Duration = Duration::from_secs(10);
/// "Not now" and "the connection is gone".
const UNAVAILABLE: [&str; 2] = ["57P03", "08006"];

type Outage = fn(&Server);

const KILLED: Outage = |server| server.kill9().unwrap();
const STOPPED: Outage = |server| server.stop(Mode::Fast).unwrap();

/// Both servers have an empty table `t (n int)`.
fn with_table(cluster: &Cluster) {
    cluster.primary().psql("DROP TABLE IF EXISTS t; CREATE TABLE t (n int)").unwrap();
    cluster.server(1).wait_replay(cluster.primary()).unwrap();
}

#[track_caller]
fn expect_unavailable(session: &mut Raw) {
    let error = session.error("INSERT INTO t VALUES (0)");
    assert!(UNAVAILABLE.contains(&error.as_str()), "{error}");
}

/// Waits until this session, and a new one, can write.
fn wait_for_writes(proxy: &Proxy, session: &mut Raw) {
    wait_until("the session can write again", || {
        sqlstate(&session.query("INSERT INTO t VALUES (1)")).is_none()
    });
    Raw::login(proxy).run("INSERT INTO t VALUES (2)");
}

fn reads_go_on(outage: Outage, weights: &[f64]) {
    let cluster = breakable();
    with_table(&cluster);
    let standby = cluster.server(1).port();
    let proxy = watchful(&cluster).weights(weights).start();
    let mut session = Raw::login(&proxy);
    session.run("INSERT INTO t VALUES (0)");
    session.run("SET work_mem = '7MB'");
    session.value("SELECT count(*) >= 0 FROM t");
    outage(cluster.primary());
    let began = Instant::now();
    expect_unavailable(&mut session);
    assert_eq!(read_port(&mut session), standby);
    let mut newcomer = Raw::login(&proxy);
    assert_eq!(read_port(&mut newcomer), standby);
    expect_unavailable(&mut newcomer);
    expect_unavailable(&mut session);
    assert_eq!(session.value("SHOW work_mem"), "7MB");
    assert!(began.elapsed() < QUICKLY, "it took {:?}", began.elapsed());
    cluster.primary().start().unwrap();
    wait_for_writes(&proxy, &mut session);
    wait_for_writes(&proxy, &mut newcomer);
    assert_eq!(session.value("SHOW work_mem"), "7MB");
}

#[test]
fn reads_go_on_with_the_standby_when_the_primary_is_killed() {
    reads_go_on(KILLED, &[0.0, 1.0]);
}

#[test]
fn reads_go_on_with_the_standby_when_the_primary_is_stopped() {
    reads_go_on(STOPPED, &[0.0, 1.0]);
}

#[test]
fn sessions_that_read_from_the_primary_read_on_from_the_standby() {
    reads_go_on(KILLED, &[1.0, 1.0]);
}

#[test]
fn reads_never_asked_before_go_on_too() {
    let cluster = breakable();
    with_table(&cluster);
    let proxy = watchful(&cluster).start();
    cluster.primary().kill9().unwrap();
    // What a table or function is, the standby knows as well.
    let mut session = Raw::login(&proxy);
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
    assert_eq!(session.value("SELECT upper('read')"), "READ");
    expect_unavailable(&mut session);
}

fn writes_under_way_fail(outage: Outage) {
    let cluster = breakable();
    with_table(&cluster);
    let proxy = watchful(&cluster).start();
    let mut holder = Raw::login(&proxy);
    holder.run("BEGIN; LOCK TABLE t");
    let insert = "INSERT INTO t VALUES (7) /* write_in_flight */";
    let mut waiting = Vec::new();
    for statement in [wire::query(insert), extended(insert)] {
        let mut session = Raw::login(&proxy);
        session.send(&statement);
        waiting.push(session);
    }
    wait_blocked(cluster.primary(), "write_in_flight");
    let began = Instant::now();
    outage(cluster.primary());
    for session in &mut waiting {
        let error = expect_fatal(&mut session.wire, "08006");
        assert!(error.field(b'D').unwrap().contains("not known"), "{error:?}");
    }
    // The transaction was lost without a statement under way.
    expect_fatal(&mut holder.wire, "08006");
    assert!(began.elapsed() < QUICKLY, "it took {:?}", began.elapsed());
    cluster.primary().start().unwrap();
    assert_eq!(cluster.primary().psql("SELECT count(*) FROM t").unwrap(), "0");
}

#[test]
fn writes_under_way_fail_at_once_when_the_primary_is_killed() {
    writes_under_way_fail(KILLED);
}

#[test]
fn writes_under_way_fail_at_once_when_the_primary_is_stopped() {
    writes_under_way_fail(STOPPED);
}

#[test]
fn a_session_whose_state_is_lost_with_the_primary_ends() {
    let cluster = breakable();
    let proxy = watchful(&cluster).start();
    let states = [
        "CREATE TEMP TABLE lost (n int)",
        "LISTEN lost",
        "SELECT pg_advisory_lock(1)",
        "DECLARE lost CURSOR WITH HOLD FOR SELECT 1",
    ];
    let mut sessions: Vec<Raw> = states.iter().map(|_| Raw::login(&proxy)).collect();
    for (session, state) in sessions.iter_mut().zip(states) {
        session.run(state);
    }
    cluster.primary().kill9().unwrap();
    for (session, state) in sessions.iter_mut().zip(states) {
        eprintln!("{state}");
        expect_fatal(&mut session.wire, "08006");
    }
}

#[test]
fn a_transaction_is_not_continued_on_another_connection() {
    let cluster = breakable();
    with_table(&cluster);
    let proxy = watchful(&cluster).start();
    let mut session = Raw::login(&proxy);
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (1)");
    // The primary is back before the client says the next word.
    cluster.primary().kill9().unwrap();
    cluster.primary().start().unwrap();
    let rest = [wire::query("INSERT INTO t VALUES (2)"), wire::query("COMMIT")].concat();
    let _ = std::io::Write::write_all(&mut session.wire.stream, &rest);
    expect_fatal(&mut session.wire, "08006");
    assert_eq!(cluster.primary().psql("SELECT count(*) FROM t").unwrap(), "0");
}

#[test]
fn nobody_hangs_while_the_primary_starts() {
    let cluster = breakable();
    with_table(&cluster);
    let proxy = watchful(&cluster).start();
    let mut session = Raw::login(&proxy);
    cluster.primary().kill9().unwrap();
    let server = cluster.primary();
    std::thread::scope(|scope| {
        let restart = scope.spawn(|| server.start().unwrap());
        let began = Instant::now();
        let mut slowest = Duration::ZERO;
        while sqlstate(&session.query("INSERT INTO t VALUES (1)")).is_some() {
            assert!(began.elapsed() < Duration::from_secs(60), "no write works");
            let asked = Instant::now();
            let answer = session.query("INSERT INTO t VALUES (1)");
            slowest = slowest.max(asked.elapsed());
            match sqlstate(&answer).as_deref() {
                None => break,
                Some(error) => assert!(UNAVAILABLE.contains(&error), "{error}"),
            }
        }
        assert!(slowest < QUICKLY, "a statement took {slowest:?}");
        restart.join().unwrap();
    });
}

#[test]
fn without_any_server_clients_are_told_so() {
    let cluster = breakable();
    with_table(&cluster);
    let proxy = watchful(&cluster).start();
    let mut session = Raw::login(&proxy);
    read_port(&mut session);
    for server in cluster.servers() {
        server.kill9().unwrap();
    }
    let began = Instant::now();
    expect_unavailable(&mut session);
    let error = session.error("SELECT count(*) FROM t");
    assert!(UNAVAILABLE.contains(&error.as_str()), "{error}");
    let refused = Raw::try_login(&proxy, &[]).unwrap_err();
    assert!(UNAVAILABLE.contains(&refused.field(b'C').unwrap().as_str()), "{refused:?}");
    assert!(began.elapsed() < QUICKLY, "it took {:?}", began.elapsed());
    for server in cluster.servers() {
        server.start().unwrap();
    }
    wait_for_writes(&proxy, &mut session);
}

#[test]
fn a_proxy_started_without_a_primary_serves_reads_and_finds_it_later() {
    let cluster = breakable();
    with_table(&cluster);
    cluster.primary().kill9().unwrap();
    let proxy = watchful(&cluster).start();
    let mut session = Raw::login(&proxy);
    assert_eq!(read_port(&mut session), cluster.server(1).port());
    expect_unavailable(&mut session);
    cluster.primary().start().unwrap();
    wait_for_writes(&proxy, &mut session);
}
