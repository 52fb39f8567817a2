//! The extended protocol: batches, pipelines, prepared statements, COPY.

use waypool_tests::raw::{Raw, copy_data, copy_done, sqlstate, tags, value};
use waypool_tests::wire::{bind, close, describe, execute, flush, parse, query, sync};

use crate::{Twins, mark};

pub fn run(session: &mut Raw, parts: &[Vec<u8>]) -> String {
    session.send(&parts.concat());
    let answer = session.wire.until_ready();
    match sqlstate(&answer) {
        Some(sqlstate) => format!("{} {sqlstate}", tags(&answer)),
        None => tags(&answer),
    }
}

/// Parse, Bind and Execute of the unnamed statement.
pub fn statement(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[]), execute("", 0)].concat()
}

#[test]
fn a_batch_runs_on_all_or_none() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int PRIMARY KEY)");
    let insert = |values: &str| statement(&format!("INSERT INTO t VALUES {values}"));
    assert_eq!(run(&mut session, &[insert("(1)"), sync()]), "12CZ");
    assert_eq!(run(&mut session, &[insert("(2)"), insert("(3)"), sync()]), "12C12CZ");
    // Until Sync it is one transaction.
    assert_eq!(run(&mut session, &[insert("(4)"), insert("(1)"), insert("(5)"), sync()]), "12C12EZ 23505");
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1\n2\n3");
    // With transactions of its own in it.
    let whole = [statement("BEGIN"), insert("(4)"), statement("COMMIT"), sync()];
    assert_eq!(run(&mut session, &whole), "12C12C12CZ");
    let broken = [statement("BEGIN"), insert("(5)"), statement("SAVEPOINT s"), insert("(1)"), sync()];
    assert_eq!(run(&mut session, &broken), "12C12C12C12EZ 23505");
    assert_eq!(run(&mut session, &[insert("(6)"), sync()]), "EZ 25P02");
    assert_eq!(run(&mut session, &[statement("ROLLBACK TO s"), sync()]), "12CZ");
    assert_eq!(run(&mut session, &[insert("(6)"), statement("COMMIT"), sync()]), "12C12CZ");
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1\n2\n3\n4\n5\n6");
    session.run("BEGIN");
    assert_eq!(run(&mut session, &[insert("(1)"), sync()]), "12EZ 23505");
    assert_eq!(run(&mut session, &[statement("COMMIT"), sync()]), "12CZ");
    // A pipeline of several cycles.
    session.send(&[insert("(7)"), sync(), insert("(7)"), sync(), insert("(8)"), sync()].concat());
    let answers: Vec<String> = (0..3).map(|_| tags(&session.wire.until_ready())).collect();
    assert_eq!(answers, ["12CZ", "12EZ", "12CZ"]);
    assert_eq!(twins.everywhere("SELECT count(*) FROM t"), "8");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn prepared_statements_are_where_they_are_needed() {
    let twins = Twins::with(2, |builder| builder.weights(&[0.0, 1.0]));
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int PRIMARY KEY, v text)");
    let described = [parse("w", "INSERT INTO t VALUES ($1, $2) RETURNING i"), describe(b'S', "w"), sync()];
    assert_eq!(run(&mut session, &described), "1tTZ");
    for i in 1..=3 {
        let again = [bind("", "w", &[&i.to_string(), "x"]), describe(b'P', ""), execute("", 0), sync()];
        assert_eq!(run(&mut session, &again), "2TDCZ");
    }
    assert_eq!(run(&mut session, &[bind("", "w", &["1", "y"]), execute("", 0), sync()]), "2EZ 23505");
    // A read is prepared where it was read; in a transaction that has written it
    // comes to the main server.
    let count = mark("count");
    let prepared = [parse("r", &format!("SELECT count(*)::text FROM t {count}")), sync()];
    assert_eq!(run(&mut session, &prepared), "1Z");
    assert_eq!(run(&mut session, &[bind("", "r", &[]), execute("", 0), sync()]), "2DCZ");
    assert_eq!(twins.seen_by(&count), [1]);
    session.run("BEGIN");
    session.run("DELETE FROM t WHERE i = 1");
    session.send(&[bind("", "r", &[]), execute("", 0), sync()].concat());
    assert_eq!(value(&session.wire.until_ready()).as_deref(), Some("2"));
    session.run("ROLLBACK");
    // Together with a write it runs everywhere.
    let both = [bind("", "w", &["4", "z"]), execute("", 0), bind("", "r", &[]), execute("", 0), sync()];
    assert_eq!(run(&mut session, &both), "2DC2DCZ");
    // Closed, and prepared anew with the same name.
    assert_eq!(run(&mut session, &[close(b'S', "w"), sync()]), "3Z");
    assert_eq!(run(&mut session, &[bind("", "w", &["5", "z"]), execute("", 0), sync()]), "EZ 26000");
    assert_eq!(run(&mut session, &[parse("w", "DELETE FROM t WHERE i = $1"), sync()]), "1Z");
    assert_eq!(run(&mut session, &[bind("", "w", &["4"]), execute("", 0), sync()]), "2CZ");
    // A Parse that fails leaves no name behind.
    assert_eq!(run(&mut session, &[parse("bad", "INSERT INTO nowhere VALUES (1)"), sync()]), "EZ 42P01");
    assert_eq!(run(&mut session, &[parse("bad", "INSERT INTO t VALUES (9, 'ok')"), sync()]), "1Z");
    assert_eq!(run(&mut session, &[bind("", "bad", &[]), execute("", 0), sync()]), "2CZ");
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1|x\n2|x\n3|x\n9|ok");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn flushes_and_portals() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int PRIMARY KEY)");
    let read = |session: &mut Raw, count: usize| -> String {
        (0..count).map(|_| char::from(session.wire.next().unwrap().tag)).collect()
    };
    session.send(
        &[parse("", "INSERT INTO t SELECT generate_series(1, 3) RETURNING i"), describe(b'S', ""), flush()]
            .concat(),
    );
    assert_eq!(read(&mut session, 3), "1tT");
    session.send(&[bind("", "", &[]), execute("", 0), flush()].concat());
    assert_eq!(read(&mut session, 5), "2DDDC");
    assert_eq!(run(&mut session, &[sync()]), "Z");
    assert_eq!(twins.everywhere("SELECT count(*) FROM t"), "3");
    // A mistake in the middle: nothing of the cycle stays.
    session.send(&[statement("INSERT INTO t VALUES (4)"), flush()].concat());
    assert_eq!(read(&mut session, 3), "12C");
    session.send(&[statement("INSERT INTO t VALUES (1)"), flush()].concat());
    assert_eq!(read(&mut session, 3), "12E");
    assert_eq!(run(&mut session, &[statement("INSERT INTO t VALUES (5)"), sync()]), "Z");
    assert_eq!(twins.everywhere("SELECT count(*) FROM t"), "3");
    // A portal that is read in parts.
    session.run("BEGIN");
    let first = [parse("", "DELETE FROM t RETURNING i"), bind("p", "", &[]), execute("p", 2), sync()];
    assert_eq!(run(&mut session, &first), "12DDsZ");
    assert_eq!(run(&mut session, &[execute("p", 2), sync()]), "DCZ");
    session.run("COMMIT");
    assert_eq!(twins.everywhere("SELECT count(*) FROM t"), "0");
    // A Query where a Sync was due.
    session.send(&[statement("INSERT INTO t VALUES (7)"), flush()].concat());
    assert_eq!(read(&mut session, 3), "12C");
    session.send(&query("SELECT 1"));
    assert_eq!(tags(&session.wire.until_ready()), "TDCZ");
    assert_eq!(twins.everywhere("SELECT * FROM t"), "7");
    session.leave();
    twins.proxy.stop();
}

#[test]
fn copy_in_the_extended_protocol() {
    let twins = Twins::new(2);
    let mut session = Raw::login(&twins.proxy);
    session.run("CREATE TABLE t (i int PRIMARY KEY)");
    let mut copy = |row: &[u8]| {
        session.send(&[statement("COPY t FROM STDIN"), sync()].concat());
        let begun: String = (0..3).map(|_| char::from(session.wire.next().unwrap().tag)).collect();
        assert_eq!(begun, "12G");
        run(&mut session, &[copy_data(row), copy_done(), sync()])
    };
    assert_eq!(copy(b"1\n"), "CZ");
    assert_eq!(copy(b"1\n"), "EZ 23505");
    assert_eq!(copy(b"2\n"), "CZ");
    assert_eq!(twins.everywhere("SELECT * FROM t ORDER BY 1"), "1\n2");
    session.leave();
    twins.proxy.stop();
}
