//! COPY in both directions, and all the ways in which it can end early.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt, pin_mut};
use waypool_tests::raw::{
    Raw, copy_data, copy_done, copy_fail, extended, sqlstate, tags, wait_true, within_memory,
};
use waypool_tests::wire::{self, Message};
use waypool_tests::{Database, Proxy, client_with_messages, primary_and_standby, program, run, run_async};

fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start()
}

/// A database with an empty table `t (n int, text text)`, and a session in it.
fn table(proxy: &Proxy, name: &'static str) -> (Database, Raw) {
    let database = Database::create(name, "CREATE TABLE t (n int, text text)");
    let session = Raw::login_with(proxy, &[("database", database.name)]);
    (database, session)
}

/// Sends COPY IN by the simple protocol and waits until the server asks for data.
#[track_caller]
fn copy_in(session: &mut Raw, sql: &str) {
    session.send(&wire::query(sql));
    expect(session, b'G');
}

/// Reads to a message of this type.
#[track_caller]
fn expect(session: &mut Raw, tag: u8) -> Message {
    loop {
        let message = session.wire.next().expect("the session goes on");
        assert_ne!(message.tag, b'E', "{}", waypool_tests::raw::text(&message));
        if message.tag == tag {
            return message;
        }
    }
}

/// Everything of a COPY OUT.
fn copied(answer: &[Message]) -> String {
    let data = answer.iter().filter(|message| message.tag == b'd');
    data.map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

#[track_caller]
fn is_empty(database: &Database) {
    assert_eq!(database.ask(0, "SELECT count(*) FROM t"), "0");
}

// === that goes well ===

#[test]
fn what_is_copied_in_comes_out_again() {
    let proxy = proxy();
    let (_, mut session) = table(&proxy, "copy_round");
    copy_in(&mut session, "COPY t FROM STDIN");
    session.send(&[copy_data(b"1\tone\n2\t"), copy_data(b"two\n"), copy_data(b""), copy_done()].concat());
    assert_eq!(tags(&session.wire.until_ready()), "CZ");
    let answer = session.query("COPY t TO STDOUT");
    assert_eq!(tags(&answer), "HddcCZ");
    assert_eq!(copied(&answer), "1\tone\n2\ttwo\n");
    let answer = session.query("COPY (SELECT n * 10 FROM t ORDER BY n) TO STDOUT");
    assert_eq!(copied(&answer), "10\n20\n");
}

#[test]
fn copies_and_other_statements_of_one_message_are_answered_in_order() {
    let proxy = proxy();
    let (_, mut session) = table(&proxy, "copy_multiple");
    session
        .send(&wire::query("COPY t FROM STDIN; SELECT count(*) FROM t; COPY t TO STDOUT; COPY t FROM STDIN"));
    expect(&mut session, b'G');
    session.send(&[copy_data(b"1\ta\n"), copy_done()].concat());
    expect(&mut session, b'G');
    session.send(&[copy_data(b"2\tb\n"), copy_done()].concat());
    assert_eq!(tags(&session.wire.until_ready()), "CZ");
    assert_eq!(session.value("SELECT count(*) FROM t"), "2");
}

#[test]
fn a_copy_belongs_to_its_transaction() {
    let proxy = proxy();
    let (database, mut session) = table(&proxy, "copy_transaction");
    session.run("BEGIN");
    copy_in(&mut session, "COPY t FROM STDIN");
    session.send(&[copy_data(b"1\ta\n"), copy_done()].concat());
    session.wire.until_ready();
    assert_eq!(session.value("SELECT count(*) FROM t"), "1");
    session.run("ROLLBACK");
    is_empty(&database);
}

#[test]
fn psql_copies_both_ways() {
    let proxy = proxy();
    let (database, _) = table(&proxy, "copy_psql");
    let mut psql = program(&proxy, "psql");
    psql.args(["-XAtq", "-d", database.name, "-c", "\\copy t from stdin", "-c", "\\copy t to stdout"]);
    assert_eq!(run(&mut psql, "1\tone\n2\ttwo\n\\.\n").ok(), "1\tone\n2\ttwo\n");
}

// === that ends early ===

#[test]
fn a_copy_that_the_client_gives_up_leaves_no_row() {
    let proxy = proxy();
    let (database, mut session) = table(&proxy, "copy_fail");
    copy_in(&mut session, "COPY t FROM STDIN");
    session.send(&[copy_data(b"1\ta\n"), copy_fail("changed my mind")].concat());
    let answer = session.wire.until_ready();
    assert_eq!((tags(&answer).as_str(), sqlstate(&answer).as_deref()), ("EZ", Some("57014")));
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
    is_empty(&database);
}

#[test]
fn a_bad_row_ends_the_copy_and_the_rest_of_the_data_is_ignored() {
    let proxy = proxy();
    let (database, mut session) = table(&proxy, "copy_bad_row");
    for _ in 0..3 {
        copy_in(&mut session, "COPY t FROM STDIN");
        session.send(&copy_data(b"1\ta\nnot a number\tb\n"));
        session.send(&copy_data(b"3\tc\n").repeat(50_000));
        session.send(&copy_done());
        let answer = session.wire.until_ready();
        assert_eq!((tags(&answer).as_str(), sqlstate(&answer).as_deref()), ("EZ", Some("22P02")));
        assert_eq!(session.value("SELECT 1"), "1");
    }
    is_empty(&database);
}

#[test]
fn a_client_that_disappears_in_the_middle_leaves_no_row() {
    let proxy = proxy();
    let (database, first) = table(&proxy, "copy_disappear");
    drop(first);
    let row = copy_data(b"1\ta\n");
    // In between messages, in a message's header, in a message, a byte short of the end.
    let cuts = [row.clone(), row[..3].to_vec(), row[..row.len() - 1].to_vec(), copy_done()[..4].to_vec()];
    for cut in cuts {
        let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
        copy_in(&mut session, "COPY t FROM STDIN");
        session.send(&[&row.repeat(1_000)[..], &cut].concat());
        session.vanish();
        let idle =
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'COPY t FROM%' AND state = 'active'";
        wait_true(database.cluster.primary(), "the COPY is over", idle);
        is_empty(&database);
    }
    let mut next = Raw::login_with(&proxy, &[("database", database.name)]);
    assert_eq!(next.value("SELECT count(*) FROM t"), "0");
}

#[test]
fn a_client_that_disappears_in_a_copy_out_disturbs_nobody() {
    let proxy = proxy();
    for _ in 0..5 {
        let mut session = Raw::login(&proxy);
        session
            .send(&wire::query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"));
        expect(&mut session, b'd');
        session.vanish();
        assert_eq!(Raw::login(&proxy).value("SELECT 1"), "1");
    }
}

#[test]
fn a_client_that_asks_something_else_in_the_middle_is_told_so() {
    let proxy = proxy();
    let (database, mut session) = table(&proxy, "copy_query_inside");
    copy_in(&mut session, "COPY t FROM STDIN");
    session.send(&[copy_data(b"1\ta\n"), wire::query("SELECT 1")].concat());
    // PostgreSQL goes on afterwards, which is not asked of the proxy.
    let error = session.wire.next().expect("it is told");
    assert_eq!(error.field(b'C').as_deref(), Some("08P01"), "{}", waypool_tests::raw::text(&error));
    drop(session);
    is_empty(&database);
}

#[test]
fn a_client_that_disappears_after_asking_something_else_is_noticed() {
    let proxy = proxy();
    let (database, mut session) = table(&proxy, "copy_query_gone");
    copy_in(&mut session, "COPY t FROM STDIN");
    session.send(&[copy_data(b"1\ta\n"), wire::query("SELECT 1")].concat());
    session.vanish();
    let over =
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'copy_query_gone' AND state = 'active'";
    wait_true(database.cluster.primary(), "the COPY is over", over);
    is_empty(&database);
}

// === in the extended protocol ===

#[test]
fn copy_works_in_the_extended_protocol() {
    let proxy = proxy();
    let (_, mut session) = table(&proxy, "copy_extended");
    for n in 1..=3 {
        // The server swallows this Sync, since it reads data by then.
        session.send(&extended("COPY t FROM STDIN"));
        expect(&mut session, b'G');
        let row = format!("{n}\ta\n");
        session.send(&[copy_data(row.as_bytes()), copy_done(), wire::sync()].concat());
        assert_eq!(tags(&session.wire.until_ready()), "CZ");
        session.send(&extended("COPY t TO STDOUT"));
        let answer = session.wire.until_ready();
        assert_eq!(tags(&answer), format!("12H{}cCZ", "d".repeat(n)));
        assert_eq!(session.value("SELECT count(*) FROM t"), n.to_string());
    }
}

#[test]
fn copy_in_the_extended_protocol_can_fail_on_either_side() {
    let proxy = proxy();
    let (database, mut session) = table(&proxy, "copy_extended_fail");
    for (end, expected) in [(copy_fail("no"), "57014"), (copy_data(b"x\ty\n"), "22P02")] {
        session.send(&extended("COPY t FROM STDIN"));
        expect(&mut session, b'G');
        session.send(&[copy_data(b"1\ta\n"), end, copy_done(), wire::sync()].concat());
        let answer = session.wire.until_ready();
        assert_eq!(sqlstate(&answer).as_deref(), Some(expected), "{}", tags(&answer));
        assert_eq!(session.value("SELECT 1"), "1");
    }
    is_empty(&database);
}

#[test]
fn tokio_postgres_copies_both_ways() {
    let proxy = proxy();
    let (database, _) = table(&proxy, "copy_tokio");
    run_async(async {
        let (client, _) = client_with_messages(&proxy, &format!("dbname={}", database.name)).await;
        let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
        pin_mut!(sink);
        for n in 0..1_000 {
            sink.send(Bytes::from(format!("{n}\trow\n"))).await.unwrap();
        }
        assert_eq!(sink.finish().await.unwrap(), 1_000);
        let rows: Vec<Bytes> =
            client.copy_out("COPY t TO STDOUT").await.unwrap().try_collect().await.unwrap();
        assert_eq!(rows.len(), 1_000);
        // Dropped in the middle: the driver sends CopyFail.
        let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
        let mut sink = Box::pin(sink);
        sink.send(Bytes::from_static(b"1\tlost\n")).await.unwrap();
        drop(sink);
        let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
        assert_eq!(count, 1_000);
    });
}

// === much ===

#[test]
fn a_hundred_megabytes_pass_through_in_pieces() {
    const ROWS: usize = 100_000;
    let proxy = proxy();
    let database = Database::create("copy_large", "CREATE UNLOGGED TABLE large (text text)");
    let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
    session.run("SELECT 1");
    let row = [&[b'x'; 1_000][..], b"\n"].concat();
    within_memory(&proxy, 32, || {
        copy_in(&mut session, "COPY large FROM STDIN");
        // A hundred rows a message, as many messages a write as a driver likes.
        let message = copy_data(&row.repeat(100));
        for _ in 0..ROWS / 100 {
            session.send(&message);
        }
        session.send(&copy_done());
        assert_eq!(tags(&session.wire.until_ready()), "CZ");
    });
    assert_eq!(session.value("SELECT count(*) FROM large"), ROWS.to_string());
    within_memory(&proxy, 32, || {
        session.send(&wire::query("COPY large TO STDOUT"));
        let mut size = 0;
        loop {
            let message = session.wire.next().unwrap();
            match message.tag {
                b'd' => size += message.body.len(),
                b'Z' => break,
                _ => {}
            }
        }
        assert_eq!(size, ROWS * row.len());
    });
}
