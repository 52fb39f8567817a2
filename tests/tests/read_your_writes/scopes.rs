//! Whose commits count.

use waypool_tests::raw::{Raw, extended, read_port, sqlstate, value, wait_blocked};
use waypool_tests::{wait_until, wire};

use crate::{FOR_EVER, SEEN, login, parse, pause, proxy, resume, run_all, seen, servers};

#[test]
fn all_sessions_of_a_user_see_what_one_of_them_wrote() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary().port(), cluster.server(1).port());
    let proxy = proxy(&cluster, "user", 0).start();
    let mut writer = login(&proxy, "anna");
    let [mut reader, mut stranger] = ["anna", "bert"].map(|user| login(&proxy, user));
    assert_eq!(seen(&mut stranger), (standby, 0));
    pause(cluster.server(1));
    for n in 1..300 {
        writer.run(&format!("INSERT INTO t VALUES ({n})"));
        // At once: its position may still be on its way.
        assert_eq!(seen(&mut reader), (primary, n));
        assert_eq!(seen(&mut stranger), (standby, 0));
    }
    assert_eq!(seen(&mut writer), (primary, 299));
    assert_eq!(seen(&mut login(&proxy, "anna")), (primary, 299));
    reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(seen(&mut reader), (primary, 299));
    reader.run("COMMIT");
    proxy.stop();
}

/// The proxy learns of a commit's position when the client has its answer
/// already; here it takes its time.
#[test]
fn a_commit_whose_position_is_not_known_yet_counts_for_the_user() {
    let cluster = servers();
    let primary = cluster.primary();
    primary.psql("DROP DATABASE IF EXISTS slow WITH (FORCE)").unwrap();
    primary.psql("CREATE DATABASE slow").unwrap();
    let setup = "CREATE TABLE t (n int); INSERT INTO t VALUES (0); GRANT ALL ON t TO PUBLIC";
    primary.psql_in("slow", setup).unwrap();
    cluster.server(1).wait_replay(primary).unwrap();
    let proxy = proxy(&cluster, "user", 0).start();
    let login = |user| Raw::login_with(&proxy, &[("user", user), ("database", "slow")]);
    let [mut writer, mut reader, mut other] = ["anna", "anna", "bert"].map(login);
    assert_eq!(seen(&mut reader), (cluster.server(1).port(), 0));
    // What has to be known of the statement is known.
    run_all(&mut other, &["BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK"], 0);
    pause(cluster.server(1));
    // No function can be looked up, so that none can be asked for a position.
    let mut holder = Raw::direct(primary, &[("database", "slow")]);
    run_all(&mut holder, &["BEGIN", "LOCK pg_catalog.pg_proc"], 0);
    writer.send(&wire::query("INSERT INTO t VALUES (1)"));
    wait_blocked(primary, "pg_current_wal_insert_lsn");
    // Unless the answer is held back, at least its ReadyForQuery, the client
    // goes on with other sessions.
    if writer.has_answer() {
        assert_eq!(writer.wire.next().unwrap().tag, b'C');
    }
    let known = writer.has_answer();
    if known {
        reader.send(&wire::query(SEEN));
        let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                     AND query LIKE '%concat_ws%'";
        wait_until("the read has come somewhere", || {
            reader.has_answer() || primary.psql(waits).unwrap() == "t"
        });
    }
    holder.run("COMMIT");
    assert_eq!(sqlstate(&writer.wire.until_ready()), None);
    if !known {
        reader.send(&wire::query(SEEN));
    }
    assert_eq!(parse(&value(&reader.wire.until_ready()).unwrap()), (primary.port(), 1));
    proxy.stop();
}

#[test]
fn a_commit_in_a_pipeline_counts_for_the_user_at_once() {
    let cluster = servers();
    let primary = cluster.primary();
    let proxy = proxy(&cluster, "user", 0).start();
    let [mut writer, mut reader] = [(); 2].map(|()| login(&proxy, "anna"));
    pause(cluster.server(1));
    let mut holder = Raw::direct(primary, &[]);
    holder.run("SELECT pg_advisory_lock(1)");
    let statements = ["INSERT INTO t VALUES (1)", "SELECT pg_advisory_lock(1) /* behind */"];
    writer.send(&statements.map(extended).concat());
    wait_blocked(primary, "behind");
    // Unless it is held back, the client has the answer to the first part.
    let known = writer.has_answer();
    if known {
        assert_eq!(sqlstate(&writer.wire.until_ready()), None);
        assert_eq!(seen(&mut reader), (primary.port(), 1));
    }
    holder.run("SELECT pg_advisory_unlock(1)");
    if !known {
        assert_eq!(sqlstate(&writer.wire.until_ready()), None);
        assert_eq!(seen(&mut reader), (primary.port(), 1));
    }
    writer.wire.until_ready();
    assert_eq!(seen(&mut reader), (primary.port(), 1));
    proxy.stop();
}

#[test]
fn with_it_off_reads_may_be_stale() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary(), cluster.server(1));
    let proxy =
        proxy(&cluster, "off", FOR_EVER).top("delay_threshold = 100000\nsr_check_period = \"100ms\"").start();
    let mut session = Raw::login(&proxy);
    wait_until("the standby is read from", || read_port(&mut session) == standby.port());
    pause(standby);
    session.run("INSERT INTO t VALUES (1)");
    assert_eq!(seen(&mut session), (standby.port(), 0));
    // Too far behind, it is left alone as soon as that is known.
    session.run("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))");
    wait_until("the delay counts", || seen(&mut session).0 == primary.port());
    for _ in 0..50 {
        assert_eq!(seen(&mut session), (primary.port(), 1));
    }
    resume(&cluster, standby);
    wait_until("the standby is read from again", || seen(&mut session) == (standby.port(), 1));
    proxy.stop();
}
