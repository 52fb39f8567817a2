//! The standby goes away: reads go on with the primary, and come back with it.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use waypool_sandbox::{Cluster, Mode, Server};
use waypool_tests::outage::{breakable, watchful};
use waypool_tests::raw::{Raw, extended, read_port, sqlstate, tags, until_ready_or_cut, value, wait_blocked};
use waypool_tests::{wait_until, wire};

/// The promise is a second; this machine may be busy.
const SOON: Duration = Duration::from_secs(10);

type Outage = fn(&Server);

const KILLED: Outage = |server| server.kill9().unwrap();
const STOPPED: Outage = |server| server.stop(Mode::Fast).unwrap();
const CRASHED: Outage = |server| server.stop(Mode::Immediate).unwrap();

fn ports(cluster: &Cluster) -> (u16, u16) {
    (cluster.primary().port(), cluster.server(1).port())
}

/// A session that holds the lock on the standby which others will wait for there.
fn holder(proxy: &waypool_tests::Proxy, lock: u32) -> Raw {
    let mut session = Raw::login(proxy);
    assert_eq!(session.value(&format!("SELECT wait_for({lock})")), "done");
    session
}

fn idle_sessions_read_on(outage: Outage) {
    let cluster = breakable();
    let (primary, standby) = ports(&cluster);
    let proxy = watchful(&cluster).start();
    let mut idle: Vec<Raw> = (0..5).map(|_| Raw::login(&proxy)).collect();
    for session in &mut idle {
        assert_eq!(read_port(session), standby);
    }
    outage(cluster.server(1));
    let began = Instant::now();
    for session in &mut idle {
        assert_eq!(read_port(session), primary);
    }
    assert_eq!(read_port(&mut Raw::login(&proxy)), primary);
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    idle[0].run("CREATE TEMP TABLE t (n int)");
    cluster.server(1).start().unwrap();
    // Those who were there before read from it again, and newcomers too.
    wait_until("the standby is read from again", || read_port(&mut idle[1]) == standby);
    assert_eq!(read_port(&mut Raw::login(&proxy)), standby);
    assert_eq!(idle[0].value("SELECT count(*) FROM t"), "0");
}

#[test]
fn idle_sessions_read_on_when_the_standby_is_killed() {
    idle_sessions_read_on(KILLED);
}

#[test]
fn idle_sessions_read_on_when_the_standby_is_stopped() {
    idle_sessions_read_on(STOPPED);
}

/// Whether reads under way when the standby goes are answered by the primary.
fn reads_under_way(outage: Outage) {
    let cluster = breakable();
    let (primary, standby) = ports(&cluster);
    let proxy = watchful(&cluster).start();
    let statement = "SELECT wait_for(1) /* in_flight */";
    for message in [wire::query(statement), extended(statement)] {
        cluster.server(1).start().unwrap();
        wait_until("the standby is read from", || read_port(&mut Raw::login(&proxy)) == standby);
        let mut holder = holder(&proxy, 1);
        let mut session = Raw::login(&proxy);
        session.send(&message);
        wait_blocked(cluster.server(1), "in_flight");
        let began = Instant::now();
        outage(cluster.server(1));
        // Nobody holds the lock on the primary.
        let answer = session.wire.until_ready();
        assert_eq!(value(&answer).as_deref(), Some("done"), "{:?}", sqlstate(&answer));
        assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
        assert_eq!(read_port(&mut session), primary);
        assert_eq!(read_port(&mut holder), primary);
    }
}

#[test]
fn reads_under_way_are_sent_again_when_the_standby_is_killed() {
    reads_under_way(KILLED);
}

#[test]
fn reads_under_way_are_sent_again_when_the_standby_is_stopped() {
    reads_under_way(STOPPED);
}

#[test]
fn reads_under_way_are_sent_again_when_the_standby_crashes() {
    // The server sends a warning first, which is no part of an answer.
    reads_under_way(CRASHED);
}

#[test]
fn a_read_of_which_rows_have_come_is_not_sent_again() {
    let cluster = breakable();
    let proxy = watchful(&cluster).start();
    let _holder = holder(&proxy, 2);
    let mut session = Raw::login(&proxy);
    let sql =
        "SELECT n, repeat('x', 20000), CASE WHEN n = 5 THEN wait_for(2) END FROM generate_series(1, 5) AS n";
    session.send(&wire::query(sql));
    wait_blocked(cluster.server(1), "generate_series");
    wait_until("rows have come", || session.has_answer());
    cluster.server(1).kill9().unwrap();
    let answer = until_ready_or_cut(&mut session.wire);
    let rows = answer.iter().filter(|message| message.tag == b'D').count();
    assert!((1..5).contains(&rows), "{}", tags(&answer));
    // Cut in the middle of a row nothing can be said, else the reason.
    match answer.last().unwrap().tag {
        b'Z' => assert_eq!(sqlstate(&answer).as_deref(), Some("08006")),
        last => assert_eq!(last, b'D'),
    }
    assert_eq!(read_port(&mut Raw::login(&proxy)), cluster.primary().port());
}

#[test]
fn every_statement_of_a_pipeline_is_answered() {
    let cluster = breakable();
    let proxy = watchful(&cluster).start();
    let _holder = holder(&proxy, 3);
    let mut session = Raw::login(&proxy);
    session.send(&extended("SELECT wait_for(3) /* pipeline */").repeat(3));
    wait_blocked(cluster.server(1), "pipeline");
    cluster.server(1).kill9().unwrap();
    for _ in 0..3 {
        let answer = session.wire.until_ready();
        match sqlstate(&answer) {
            Some(error) => assert_eq!(error, "08006"),
            None => assert_eq!(value(&answer).as_deref(), Some("done")),
        }
    }
    assert_eq!(read_port(&mut session), cluster.primary().port());
}

#[test]
fn an_open_transaction_goes_on_with_the_primary() {
    let cluster = breakable();
    let (primary, standby) = ports(&cluster);
    cluster.primary().psql("DROP TABLE IF EXISTS t; CREATE TABLE t (n int)").unwrap();
    cluster.server(1).wait_replay(cluster.primary()).unwrap();
    let proxy = watchful(&cluster).start();
    let mut session = Raw::login(&proxy);
    session.run("BEGIN");
    assert_eq!(read_port(&mut session), standby);
    cluster.server(1).kill9().unwrap();
    assert_eq!(read_port(&mut session), primary);
    session.run("INSERT INTO t VALUES (1)");
    session.run("COMMIT");
    assert_eq!(cluster.primary().psql("SELECT n FROM t").unwrap(), "1");
}

#[test]
fn a_transaction_whose_read_is_lost_takes_no_effect() {
    let cluster = breakable();
    cluster.primary().psql("DROP TABLE IF EXISTS t; CREATE TABLE t (n int)").unwrap();
    cluster.server(1).wait_replay(cluster.primary()).unwrap();
    let proxy = watchful(&cluster).start();
    let _holder = holder(&proxy, 4);
    let mut session = Raw::login(&proxy);
    session.run("BEGIN");
    session.send(&wire::query("SELECT wait_for(4) /* read_of_transaction */"));
    wait_blocked(cluster.server(1), "read_of_transaction");
    cluster.server(1).kill9().unwrap();
    // Whether the session survives is the proxy's choice; the transaction must not.
    let answer = until_ready_or_cut(&mut session.wire);
    assert_eq!(sqlstate(&answer).as_deref(), Some("08006"), "{}", tags(&answer));
    if answer.last().unwrap().tag == b'Z' {
        assert_eq!(session.error("INSERT INTO t VALUES (1)"), "25P02");
        session.run("COMMIT");
    }
    assert_eq!(cluster.primary().psql("SELECT count(*) FROM t").unwrap(), "0");
}

#[test]
fn settings_and_prepared_statements_are_there_wherever_the_session_reads() {
    let cluster = breakable();
    let (primary, standby) = ports(&cluster);
    let proxy = watchful(&cluster).start();
    let mut session = Raw::login(&proxy);
    session.run("SET work_mem = '7MB'");
    let sql = "SELECT concat_ws(' ', inet_server_port(), current_setting('work_mem'))";
    session.send(&[wire::parse("p", sql), wire::sync()].concat());
    session.wire.until_ready();
    let execute = [wire::bind("", "p", &[]), wire::execute("", 0), wire::sync()].concat();
    let ask = |session: &mut Raw| {
        session.send(&execute);
        let answer = session.wire.until_ready();
        value(&answer).unwrap_or_else(|| panic!("{:?}", sqlstate(&answer)))
    };
    assert_eq!(ask(&mut session), format!("{standby} 7MB"));
    cluster.server(1).kill9().unwrap();
    assert_eq!(ask(&mut session), format!("{primary} 7MB"));
    cluster.server(1).start().unwrap();
    wait_until("the standby is read from again", || {
        let answer = ask(&mut session);
        assert!(answer.ends_with(" 7MB"), "{answer}");
        answer == format!("{standby} 7MB")
    });
}

#[test]
fn a_standby_that_hangs_is_left_alone_soon() {
    let cluster = breakable();
    let (primary, standby) = ports(&cluster);
    let proxy = watchful(&cluster).top("connect_timeout = \"1s\"").start();
    let (mut stuck, mut idle) = (Raw::login(&proxy), Raw::login(&proxy));
    assert_eq!((read_port(&mut stuck), read_port(&mut idle)), (standby, standby));
    cluster.server(1).pause();
    stuck.send(&wire::query("SELECT 'late'"));
    proxy.wait_for_log("server is down");
    assert_eq!(read_port(&mut idle), primary);
    assert_eq!(read_port(&mut Raw::login(&proxy)), primary);
    // What was sent to it by then waits for it: nobody can tell a server that
    // hangs from one that thinks.
    assert!(!stuck.has_answer());
    cluster.server(1).resume();
    assert_eq!(value(&stuck.wire.until_ready()).as_deref(), Some("late"));
    wait_until("the standby is read from again", || read_port(&mut idle) == standby);
}

#[test]
fn show_pool_nodes_tells_that_the_standby_is_down() {
    let cluster = breakable();
    let proxy = watchful(&cluster).start();
    let mut session = Raw::login(&proxy);
    let mut status = || {
        let answer = session.query("SHOW pool_nodes");
        let rows = answer.iter().filter(|message| message.tag == b'D');
        rows.map(|row| row.columns()[3].clone().unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(status(), "up up");
    cluster.server(1).kill9().unwrap();
    wait_until("it is down", || status() == "up down");
    cluster.server(1).start().unwrap();
    wait_until("it is up", || status() == "up up");
}
