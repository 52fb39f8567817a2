//! Who waits for a standby, and who does not.

use waypool_sandbox::Server;
use waypool_tests::raw::{Raw, extended, sqlstate, value, wait_true};
use waypool_tests::{wait_until, wire};

use crate::{FOR_EVER, SEEN, parse, pause, proxy, resume, run_all, seen, servers};

/// The session asks this standby how far it is.
fn wait_asked(standby: &Server) {
    let sql = "SELECT count(*) > 0 FROM pg_stat_activity \
               WHERE query = 'SELECT pg_catalog.pg_last_wal_replay_lsn()'";
    wait_true(standby, "the standby is asked how far it is", sql);
}

#[test]
fn a_standby_that_catches_up_in_time_answers() {
    let cluster = servers();
    let standby = cluster.server(1);
    let proxy = proxy(&cluster, "session", FOR_EVER).start();
    for message in [wire::query(SEEN), extended(SEEN)] {
        pause(standby);
        let mut session = Raw::login(&proxy);
        let (port, before) = seen(&mut session);
        assert_eq!(port, standby.port());
        session.run(&format!("INSERT INTO t VALUES ({})", before + 1));
        session.send(&message);
        wait_asked(standby);
        assert!(!session.has_answer());
        resume(&cluster, standby);
        let answer = session.wire.until_ready();
        assert_eq!(parse(&value(&answer).unwrap()), (standby.port(), before + 1));
        // Known to be far enough: the next one is not asked for anything.
        assert_eq!(seen(&mut session), (standby.port(), before + 1));
        session.leave();
    }
    // So does a transaction.
    pause(standby);
    let mut session = Raw::login(&proxy);
    session.run("INSERT INTO t VALUES (100)");
    session.send(&wire::query("BEGIN ISOLATION LEVEL REPEATABLE READ"));
    wait_asked(standby);
    assert!(!session.has_answer());
    resume(&cluster, standby);
    session.wire.until_ready();
    assert_eq!(seen(&mut session), (standby.port(), 100));
    session.run("COMMIT");
    proxy.stop();
}

#[test]
fn who_only_reads_never_waits() {
    let cluster = servers();
    let standby = cluster.server(1).port();
    let proxy = proxy(&cluster, "session", FOR_EVER).start();
    let (mut reader, mut writer) = (Raw::login(&proxy), Raw::login(&proxy));
    assert_eq!(seen(&mut reader), (standby, 0));
    pause(cluster.server(1));
    writer.run("INSERT INTO t VALUES (1)");
    for _ in 0..20 {
        assert_eq!(seen(&mut reader), (standby, 0));
    }
    reader.run("BEGIN");
    assert_eq!(seen(&mut reader), (standby, 0));
    reader.run("COMMIT");
    reader.run("SET work_mem = '5MB'");
    assert_eq!(seen(&mut Raw::login(&proxy)), (standby, 0));
    resume(&cluster, cluster.server(1));
    proxy.stop();
}

#[test]
fn what_was_not_committed_costs_nothing() {
    let cluster = servers();
    let standby = cluster.server(1).port();
    let proxy = proxy(&cluster, "session", FOR_EVER).start();
    let mut session = Raw::login(&proxy);
    pause(cluster.server(1));
    // In vain, but the log has grown.
    run_all(&mut session, &["BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK"], 0);
    assert_eq!(seen(&mut session), (standby, 0), "after ROLLBACK");
    run_all(&mut session, &["BEGIN", "INSERT INTO t VALUES (1)"], 0);
    assert_eq!(session.error("SELECT 1 / 0 FROM t"), "22012");
    session.run("COMMIT");
    assert_eq!(seen(&mut session), (standby, 0), "after a failed transaction");
    assert_eq!(session.error("INSERT INTO t VALUES (1), (0)"), "23505");
    assert_eq!(seen(&mut session), (standby, 0), "after a failed statement");
    session.send(&extended("INSERT INTO t VALUES (1), (0)"));
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("23505"));
    assert_eq!(seen(&mut session), (standby, 0), "after a failed statement, extended");
    resume(&cluster, cluster.server(1));
    proxy.stop();
}

#[test]
fn a_standby_that_is_far_enough_is_read() {
    let cluster = servers();
    let (paused, current) = (cluster.server(1), cluster.server(2));
    let proxy = proxy(&cluster, "session", 20)
        .weights(&[0.0, 1.0, 1.0])
        .plugin("balance", "statement_level_load_balance = true")
        .start();
    let mut session = Raw::login(&proxy);
    pause(paused);
    for n in 1..10 {
        session.run(&format!("INSERT INTO t VALUES ({n})"));
        current.wait_replay(cluster.primary()).unwrap();
        let reads: Vec<(u16, i32)> = (0..10).map(|_| seen(&mut session)).collect();
        assert!(reads.iter().all(|(port, last)| *last == n && *port != paused.port()), "{reads:?}");
    }
    wait_until("the other standby is read from", || seen(&mut session).0 == current.port());
    resume(&cluster, paused);
    wait_until("the paused standby is read from", || seen(&mut session).0 == paused.port());
    proxy.stop();
}
