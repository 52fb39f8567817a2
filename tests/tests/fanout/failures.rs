//! Servers that differ, or are gone.

use waypool_sandbox::Mode;
use waypool_tests::raw::{Raw, sqlstate, until_ready_or_cut, wait_blocked, wait_running};
use waypool_tests::wire::query;
use waypool_tests::{psql, wait_until};

use crate::{Twins, mark};

#[test]
fn a_different_number_of_rows_is_an_error_and_changes_nothing() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int)");
    session.run("INSERT INTO t VALUES (1)");
    twins.servers()[1].psql("INSERT INTO t VALUES (1)").unwrap();
    let answer = session.query("UPDATE t SET i = 2");
    let error = answer.iter().find(|message| message.tag == b'E').unwrap();
    assert_eq!(error.field(b'C').as_deref(), Some("XX001"));
    let text = error.field(b'M').unwrap();
    assert!(
        text.starts_with("pgpool detected difference of the number of inserted, updated or deleted tuples.")
    );
    assert!(text.contains("UPDATE t SET i = 2"), "{text}");
    assert_eq!(error.field(b'H').as_deref(), Some("check data consistency between main and other db node"));
    assert_eq!(twins.everywhere("SELECT DISTINCT i FROM t"), "1");
    // Inside a transaction it fails as a whole.
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (5)");
    assert_eq!(session.error("UPDATE t SET i = 2"), "XX001");
    assert_eq!(session.error("INSERT INTO t VALUES (6)"), "25P02");
    assert_eq!(session.query("COMMIT")[0].body, b"ROLLBACK\0");
    assert_eq!(twins.everywhere("SELECT DISTINCT i FROM t"), "1");
    assert_eq!(twins.nodes(), "up main, up replica");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn failover_if_affected_tuples_mismatch_detaches_the_minority() {
    let twins = Twins::with(3, |builder| builder.top("failover_if_affected_tuples_mismatch = true"));
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int)");
    session.run("INSERT INTO t VALUES (1)");
    twins.servers()[0].psql("INSERT INTO t VALUES (1)").unwrap();
    // The main server is alone with it.
    session.run("UPDATE t SET i = 2");
    assert_eq!(twins.nodes(), "down replica, up main, up replica");
    session.run("INSERT INTO t VALUES (3)");
    let sorted = "SELECT i FROM t ORDER BY 1";
    assert_eq!(twins.servers()[0].psql(sorted).unwrap(), "1\n1");
    assert_eq!(twins.servers()[1].psql(sorted).unwrap(), "2\n3");
    assert_eq!(twins.servers()[2].psql(sorted).unwrap(), "2\n3");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn replication_stop_on_mismatch_detaches_who_fails_alone() {
    let twins = Twins::with(2, |builder| builder.top("replication_stop_on_mismatch = true"));
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int PRIMARY KEY)");
    twins.servers()[1].psql("INSERT INTO t VALUES (1)").unwrap();
    session.run("INSERT INTO t VALUES (1)");
    assert_eq!(twins.nodes(), "up main, down replica");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn an_error_of_one_server_alone_is_the_clients() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int PRIMARY KEY)");
    twins.servers()[1].psql("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(session.error("INSERT INTO t VALUES (1)"), "23505");
    assert_eq!(twins.servers()[0].psql("SELECT count(*) FROM t").unwrap(), "0");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn a_replica_that_dies_is_detached_and_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let work_dir = format!("work_dir = {:?}", folder.path());
    let twins = Twins::with(3, |builder| builder.top(&work_dir));
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int)");
    session.run("CREATE TEMP TABLE mine (i int)");
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (1)");
    twins.servers()[1].kill9().unwrap();
    // Its own transaction goes on, on the others.
    session.run("INSERT INTO t VALUES (2)");
    session.run("COMMIT");
    session.run("INSERT INTO mine VALUES (1)");
    assert_eq!(twins.nodes(), "up main, down replica, up replica");
    let status = folder.path().join("pgpool_status");
    assert_eq!(std::fs::read_to_string(&status).unwrap(), "up\ndown\nup\n");
    // It has missed a write: that it answers again changes nothing, and neither
    // does a restart.
    twins.servers()[1].start().unwrap();
    wait_until("server 1 answers", || psql(&twins.proxy, "SHOW pool_nodes").contains("|down|up|"));
    session.run("INSERT INTO t VALUES (3)");
    assert_eq!(twins.servers()[1].psql("SELECT count(*) FROM t").unwrap(), "0");
    session.leave();
    assert_eq!(twins.servers()[0].psql("SELECT count(*) FROM t").unwrap(), "3");
    assert_eq!(twins.servers()[2].psql("SELECT count(*) FROM t").unwrap(), "3");
    twins.proxy.stop();
    let proxy = crate::replicating(&twins.cluster, "native_replication").top(&work_dir).start();
    assert_eq!(crate::nodes(&proxy), "up main, down replica, up replica");
    proxy.stop();
}

#[test]
fn when_main_dies_the_next_server_is_main() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int)");
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (1)");
    twins.servers()[0].stop(Mode::Immediate).unwrap();
    session.run("INSERT INTO t VALUES (2)");
    assert_eq!(session.value("SELECT count(*) FROM t"), "2");
    session.run("COMMIT");
    session.run("INSERT INTO t VALUES (3)");
    assert_eq!(twins.nodes(), "down replica, up main");
    assert_eq!(twins.servers()[1].psql("SELECT count(*) FROM t").unwrap(), "3");
    session.leave();
    // The last one is never detached: what it does not do nobody does.
    let mut session = Raw::login(&twins.proxy);
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (4)");
    twins.servers()[1].kill9().unwrap();
    session.send(&query("INSERT INTO t VALUES (5)"));
    let answer = until_ready_or_cut(&mut session.wire);
    assert_eq!(sqlstate(&answer).as_deref(), Some("08006"));
    twins.servers()[1].start().unwrap();
    wait_until("server 1 is up", || twins.nodes() == "down replica, up main");
    let mut session = Raw::login(&twins.proxy);
    assert_eq!(session.value("SELECT count(*) FROM t"), "3");
    session.run("INSERT INTO t VALUES (6)");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn a_server_that_was_away_while_nobody_wrote_is_used_again() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int)");
    twins.servers()[1].stop(Mode::Fast).unwrap();
    wait_until("server 1 is down", || twins.nodes() == "up main, down replica");
    twins.servers()[1].start().unwrap();
    wait_until("server 1 is up", || twins.nodes() == "up main, up replica");
    session.run("INSERT INTO t VALUES (1)");
    assert_eq!(twins.everywhere("SELECT count(*) FROM t"), "1");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn a_session_terminated_on_one_server_detaches_nobody() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int)");
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (1)");
    let asleep = mark("asleep");
    session.send(&query(&format!("SELECT pg_sleep(60) {asleep}")));
    wait_running(&twins.servers()[0], &asleep);
    let terminate = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%{asleep}%' AND pid <> pg_backend_pid()"
    );
    twins.servers()[0].psql(&terminate).unwrap();
    let last = session.wire.until_closed();
    assert_eq!(sqlstate(&last).as_deref(), Some("57P01"));
    assert_eq!(twins.nodes(), "up main, up replica");
    wait_until("it is rolled back", || {
        twins.servers().iter().all(|server| {
            server.psql("SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass").unwrap() == "0"
        })
    });
    assert_eq!(twins.everywhere("SELECT count(*) FROM t"), "0");
    twins.proxy.stop();
}

#[test]
fn a_deadlock_between_servers_ends_by_a_timeout() {
    let twins = Twins::with(2, |builder| builder.top("replication_deadlock_timeout = \"500ms\""));
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int, v int)");
    session.run("INSERT INTO t VALUES (1, 0), (2, 0)");
    // Somebody has the rows the other way round.
    let mut other = Raw::direct(&twins.servers()[1], &[]);
    other.run("BEGIN");
    other.run("UPDATE t SET v = 1 WHERE i = 1");
    let waits = mark("waits");
    session.run("BEGIN");
    session.send(&query(&format!("UPDATE t SET v = 2 WHERE i = 1 {waits}")));
    wait_blocked(&twins.servers()[1], &waits);
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("40P01"));
    session.run("ROLLBACK");
    other.run("ROLLBACK");
    assert_eq!(twins.everywhere("SELECT sum(v) FROM t"), "0");
    session.leave();
    twins.proxy.stop();
}
