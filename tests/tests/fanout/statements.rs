//! What runs where, and what a client hears: the simple protocol.

use waypool_tests::raw::{Raw, copy_data, copy_done, copy_fail, sqlstate, tags, wait_blocked, wait_running};
use waypool_tests::wire::query;

use crate::{Twins, mark};

#[test]
fn writes_run_on_every_server_and_reads_on_one() {
    let twins = Twins::with(3, |builder| builder.weights(&[0.0, 1.0, 0.0]));
    let mut session = Raw::login(&twins.proxy);
    assert_eq!(twins.nodes(), "up main, up replica, up replica");
    session.run("CREATE TABLE t (i int PRIMARY KEY, v text)");
    session.run("INSERT INTO t VALUES (1, 'one'), (2, 'two')");
    session.run("UPDATE t SET v = 'zwei' WHERE i = 2");
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1|one\n2|zwei");
    let (write, read, volatile, catalog) = (mark("write"), mark("read"), mark("volatile"), mark("catalog"));
    session.run(&format!("DELETE FROM t WHERE i = 1 {write}"));
    session.run(&format!("SELECT * FROM t {read}"));
    session.run(&format!("SELECT count(*) FROM t, random() {volatile}"));
    session.run(&format!("SELECT count(*) FROM pg_class {catalog}"));
    assert_eq!(twins.seen_by(&write), [0, 1, 2]);
    assert_eq!(twins.seen_by(&read), [1]);
    assert_eq!(twins.seen_by(&volatile), [0, 1, 2]);
    assert_eq!(twins.seen_by(&catalog), [1]);
    // Inside a transaction that has written, reads are the main server's.
    let read = mark("read");
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (3, 'three')");
    assert_eq!(session.value(&format!("SELECT count(*) FROM t {read}")), "2");
    session.run("COMMIT");
    assert_eq!(twins.seen_by(&read), [0]);
    assert_eq!(twins.everywhere("SELECT count(*) FROM t"), "2");
    // One answer, whatever the number of servers.
    let answer = session.query("INSERT INTO t VALUES (4, 'x') RETURNING i");
    assert_eq!(tags(&answer), "TDCZ");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn what_main_refuses_reaches_nobody_else() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int PRIMARY KEY)");
    session.run("INSERT INTO t VALUES (1)");
    let mistake = mark("mistake");
    assert_eq!(session.error(&format!("INSERT INTO t VALUES (1) {mistake}")), "23505");
    assert_eq!(twins.seen_by(&mistake), [0]);
    // In a transaction it fails for the client, wherever it is still open.
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (2)");
    assert_eq!(session.error("INSERT INTO t VALUES (1)"), "23505");
    assert_eq!(session.error("SELECT 1"), "25P02");
    assert_eq!(session.error("INSERT INTO t VALUES (3)"), "25P02");
    let answer = session.query("COMMIT");
    assert_eq!(answer[0].body, b"ROLLBACK\0");
    assert_eq!(twins.everywhere("SELECT * FROM t"), "1");
    // Savepoints bring it back on all.
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (2)");
    session.run("SAVEPOINT s");
    session.run("INSERT INTO t VALUES (3)");
    assert_eq!(session.error("INSERT INTO t VALUES (1)"), "23505");
    session.run("ROLLBACK TO s");
    session.run("INSERT INTO t VALUES (4)");
    session.run("COMMIT");
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1\n2\n4");
    // A savepoint in the same text as the mistake.
    session.run("BEGIN");
    assert_eq!(session.error("SAVEPOINT a; INSERT INTO t VALUES (5); INSERT INTO t VALUES (1)"), "23505");
    session.run("ROLLBACK TO a");
    session.run("INSERT INTO t VALUES (6)");
    session.run("COMMIT");
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1\n2\n4\n6");
    // A read that fails on a replica fails the transaction.
    session.run("BEGIN");
    assert_eq!(session.error("SELECT 1/0"), "22012");
    assert_eq!(session.error("INSERT INTO t VALUES (7)"), "25P02");
    session.run("ROLLBACK");
    session.run("BEGIN");
    assert_eq!(session.error("SELECT 1/0"), "22012");
    session.run("COMMIT AND CHAIN");
    session.run("INSERT INTO t VALUES (8)");
    session.run("COMMIT");
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1\n2\n4\n6\n8");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn statements_that_no_transaction_takes() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int)");
    for statement in [
        "VACUUM t",
        "CREATE INDEX CONCURRENTLY ti ON t (i)",
        "REINDEX TABLE CONCURRENTLY t",
        "CREATE DATABASE other",
        "DROP DATABASE other",
        "DO $$ BEGIN INSERT INTO t VALUES (1); COMMIT; END $$",
        "INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)",
        "BEGIN; INSERT INTO t VALUES (4); COMMIT",
        "CREATE TABLE made AS SELECT * FROM t",
        "TRUNCATE made",
    ] {
        session.run(statement);
    }
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1\n2\n3\n4");
    assert_eq!(twins.everywhere("SELECT count(*) FROM pg_class WHERE relname IN ('ti', 'made')"), "2");
    // As PostgreSQL: outside of a transaction these are mistakes.
    assert_eq!(session.error("LOCK TABLE t"), "25P01");
    assert_eq!(session.error("DECLARE c CURSOR FOR SELECT 1"), "25P01");
    assert_eq!(session.error("SAVEPOINT s"), "25P01");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn the_session_is_the_same_on_all() {
    let twins = Twins::with(2, |builder| builder.weights(&[0.0, 1.0]));
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int, v text)");
    session.run("SET work_mem = '5MB'");
    assert_eq!(session.value("SHOW work_mem"), "5MB");
    assert_eq!(session.value("SELECT current_setting('work_mem') FROM random()"), "5MB");
    session.run("SELECT set_config('work_mem', '6MB', false)");
    assert_eq!(session.value("SHOW work_mem"), "6MB");
    assert_eq!(session.error("SET work_mem = 'much'"), "22023");
    session.run("PREPARE w AS INSERT INTO t VALUES ($1, 'prepared')");
    session.run("PREPARE r AS SELECT count(*) FROM t");
    session.run("EXECUTE w (1)");
    assert_eq!(session.value("EXECUTE r"), "1");
    session.run("CREATE TEMP TABLE mine AS EXECUTE r");
    assert_eq!(session.value("SELECT * FROM mine"), "1");
    session.run("DEALLOCATE w");
    session.run("DEALLOCATE r");
    assert_eq!(session.error("EXECUTE w (2)"), "26000");
    session.run("BEGIN");
    session.run("DECLARE c CURSOR FOR SELECT i FROM t");
    assert_eq!(session.value("FETCH c"), "1");
    session.run("UPDATE t SET v = 'moved' WHERE CURRENT OF c");
    session.run("COMMIT");
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (2, 'two phases')");
    session.run("PREPARE TRANSACTION 'fanout'");
    assert_eq!(twins.everywhere("SELECT gid FROM pg_prepared_xacts"), "fanout");
    session.run("COMMIT PREPARED 'fanout'");
    assert_eq!(session.error("COMMIT PREPARED 'fanout'"), "42704");
    session.run("DISCARD ALL");
    assert_eq!(session.error("SELECT * FROM mine"), "42P01");
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1|moved\n2|two phases");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn notifications_come_once() {
    let twins = Twins::new(2);
    let (mut listener, mut session) = (Raw::login(&twins.proxy), Raw::login(&twins.proxy));
    listener.run("LISTEN news");
    session.run("NOTIFY news, 'one'");
    session.run("SELECT pg_notify('news', 'two')");
    let mut heard: Vec<String> = Vec::new();
    while heard.len() < 2 {
        let message = listener.wire.next().unwrap();
        assert_eq!(message.tag, b'A');
        heard.push(String::from_utf8_lossy(&message.body[4..]).replace('\0', " "));
    }
    assert_eq!(heard, ["news one ", "news two "]);
    assert_eq!(tags(&listener.query("UNLISTEN news")), "CZ");
    twins.proxy.stop();
}

#[test]
fn copy_goes_to_all() {
    let twins = Twins::new(3);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int PRIMARY KEY)");
    let mut copy = |rows: &[&[u8]], end: Vec<u8>| {
        session.send(&query("COPY t FROM STDIN"));
        assert_eq!(session.wire.next().unwrap().tag, b'G');
        for row in rows {
            session.send(&copy_data(row));
        }
        session.send(&end);
        let answer = session.wire.until_ready();
        sqlstate(&answer).unwrap_or_else(|| tags(&answer))
    };
    assert_eq!(copy(&[b"1\n", b"2\n3\n"], copy_done()), "CZ");
    assert_eq!(twins.everywhere("SELECT count(*) FROM t"), "3");
    assert_eq!(copy(&[b"4\n", b"1\n"], copy_done()), "23505");
    assert_eq!(copy(&[b"4\n"], copy_fail("no more")), "57014");
    assert_eq!(copy(&[b"no number\n"], copy_done()), "22P02");
    assert_eq!(copy(&[], copy_done()), "CZ");
    assert_eq!(twins.everywhere("SELECT count(*) FROM t"), "3");
    // Much of it, in pieces that split no row.
    let many: Vec<Vec<u8>> = (0..200)
        .map(|part| {
            (0..500).map(|row| format!("{}\n", 10 + part * 500 + row)).collect::<String>().into_bytes()
        })
        .collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    assert_eq!(copy(&many, copy_done()), "CZ");
    assert_eq!(twins.everywhere("SELECT count(*), sum(i) FROM t").split('|').next(), Some("100003"));
    let answer = session.query("COPY (SELECT i FROM t WHERE i < 3 ORDER BY 1) TO STDOUT");
    assert_eq!(tags(&answer), "HddcCZ");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn a_cancel_reaches_the_server_under_way() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int)");
    session.run("INSERT INTO t VALUES (1)");
    let asleep = mark("asleep");
    session.send(&query(&format!("SELECT pg_sleep(60) {asleep}")));
    wait_running(&twins.servers()[0], &asleep);
    session.cancel(&twins.proxy);
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("57014"));
    // On the other: somebody holds the row there alone.
    let mut holder = Raw::direct(&twins.servers()[1], &[]);
    holder.run("BEGIN");
    holder.run("SELECT * FROM t FOR UPDATE");
    let blocked = mark("blocked");
    session.send(&query(&format!("UPDATE t SET i = 2 {blocked}")));
    wait_blocked(&twins.servers()[1], &blocked);
    session.cancel(&twins.proxy);
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("57014"));
    holder.run("ROLLBACK");
    assert_eq!(twins.everywhere("SELECT * FROM t"), "1");
    session.run("UPDATE t SET i = 3");
    assert_eq!(twins.everywhere("SELECT * FROM t"), "3");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn inserts_with_serials_give_the_same_numbers() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE s (id serial, v text)");
    session.run("CREATE TABLE plain (id int)");
    let plain = mark("plain");
    session.run(&format!("INSERT INTO plain VALUES (1) {plain}"));
    assert!(twins.seen_by("LOCK TABLE \"plain\"").is_empty());
    session.run("/*INSERT LOCK*/ INSERT INTO plain VALUES (2)");
    assert_eq!(twins.seen_by("LOCK TABLE \"plain\""), [0, 1]);
    session.run("/*NO INSERT LOCK*/ INSERT INTO s (v) VALUES ('alone')");
    assert!(twins.seen_by("LOCK TABLE \"s\"").is_empty());
    std::thread::scope(|scope| {
        for client in 0..4 {
            let proxy = &twins.proxy;
            scope.spawn(move || {
                let mut session = Raw::login(proxy);
                for round in 0..20 {
                    session.run(&format!("INSERT INTO s (v) VALUES ('{client} {round}')"));
                }
                session.leave();
            });
        }
    });
    assert_eq!(twins.seen_by("LOCK TABLE \"s\""), [0, 1]);
    let rows = twins.everywhere("SELECT id, v FROM s ORDER BY id");
    assert_eq!(rows.lines().count(), 81);
    session.leave();
    twins.proxy.stop();
}
