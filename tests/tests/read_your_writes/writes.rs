//! Every way to write, and the read behind it.

use waypool_tests::raw::{Raw, copy_data, copy_done, extended, sqlstate, value};
use waypool_tests::wire;

use crate::{SEEN, parse, pause, proxy, resume, run_all, seen, send, servers};

/// A way to write `n`, or `n` and `n + 1`.
type Write = fn(&mut Raw, i32);

fn function_call(session: &mut Raw, n: i32) {
    let oid: u32 = session.value("SELECT 'put(int)'::regprocedure::oid FROM random()").parse().unwrap();
    let text = n.to_string();
    let length = (text.len() as u32).to_be_bytes();
    let formats_and_count = [0, 0, 0, 1];
    let body = [&oid.to_be_bytes()[..], &formats_and_count, &length, text.as_bytes(), &[0, 0]];
    send(session, &wire::message(b'F', &body), 1);
}

fn copy_in(session: &mut Raw, n: i32) {
    session.send(&[wire::query("COPY t FROM STDIN"), copy_data(format!("{n}\n").as_bytes())].concat());
    send(session, &copy_done(), 1);
}

fn prepared(session: &mut Raw, n: i32) {
    let run =
        |n: i32| [wire::bind("", "put", &[&n.to_string()]), wire::execute("", 0), wire::sync()].concat();
    let parse = [wire::close(b'S', "put"), wire::parse("put", "INSERT INTO t VALUES ($1::int)")].concat();
    send(session, &[parse, run(n)].concat(), 1);
    assert!(seen(session).1 >= n);
    send(session, &run(n + 1), 1);
}

fn flushed(session: &mut Raw, n: i32) {
    let insert = format!("INSERT INTO t VALUES ({n})");
    let begun = [wire::parse("", &insert), wire::bind("", "", &[]), wire::execute("", 0), wire::flush()];
    session.send(&begun.concat());
    while session.wire.next().unwrap().tag != b'C' {}
    send(session, &wire::sync(), 1);
}

fn fails_after_commit(session: &mut Raw, n: i32) {
    assert_eq!(session.error(&format!("CALL put_and_fail({n})")), "P0001");
}

fn text_fails_after_commit(session: &mut Raw, n: i32) {
    let text = format!("BEGIN; INSERT INTO t VALUES ({n}); COMMIT; SELECT 1 / 0");
    assert_eq!(session.error(&text), "22012");
}

const WRITES: &[(&str, Write)] = &[
    ("autocommit", |s, n| run_all(s, &["INSERT INTO t VALUES ($n)"], n)),
    ("a transaction", |s, n| run_all(s, &["BEGIN", "INSERT INTO t VALUES ($n)", "COMMIT"], n)),
    ("a transaction that reads last", |s, n| {
        run_all(s, &["BEGIN", "INSERT INTO t VALUES ($n)", "SELECT max(n) FROM t", "COMMIT"], n);
    }),
    ("a savepoint", |s, n| {
        let wrote = ["BEGIN", "INSERT INTO t VALUES ($n)", "SAVEPOINT s", "INSERT INTO t VALUES (-$n)"];
        run_all(s, &wrote, n);
        run_all(s, &["ROLLBACK TO s", "END"], n);
    }),
    ("COMMIT AND CHAIN", |s, n| {
        run_all(s, &["BEGIN", "INSERT INTO t VALUES ($n)", "COMMIT AND CHAIN", "COMMIT"], n);
    }),
    ("ROLLBACK after COMMIT AND CHAIN", |s, n| {
        run_all(s, &["BEGIN", "INSERT INTO t VALUES ($n)", "COMMIT AND CHAIN", "ROLLBACK"], n);
    }),
    ("two-phase commit", |s, n| {
        run_all(s, &["BEGIN", "INSERT INTO t VALUES ($n)", "PREPARE TRANSACTION 'p'"], n);
        run_all(s, &["COMMIT PREPARED 'p'"], n);
    }),
    ("a function", |s, n| run_all(s, &["SELECT put($n)"], n)),
    ("a function that claims to read", |s, n| run_all(s, &["SELECT put_hidden($n)"], n)),
    ("a function that claims to read, extended", |s, n| {
        send(s, &extended(&format!("SELECT put_hidden({n})")), 1);
    }),
    ("a function that claims to read, in a transaction", |s, n| {
        run_all(s, &["BEGIN", "SELECT put_hidden($n)", "COMMIT"], n);
    }),
    ("FunctionCall", function_call),
    ("a WITH that writes", |s, n| {
        run_all(s, &["WITH w AS (INSERT INTO t VALUES ($n) RETURNING n) SELECT n FROM w"], n);
    }),
    ("COPY", copy_in),
    ("DO", |s, n| run_all(s, &["DO 'BEGIN PERFORM put($n); END'"], n)),
    ("CALL", |s, n| run_all(s, &["CALL put_twice($n)"], n)),
    ("CALL that fails later", fails_after_commit),
    ("several statements", |s, n| run_all(s, &["SELECT 1; INSERT INTO t VALUES ($n); SELECT 2"], n)),
    ("several statements of which the last fails", text_fails_after_commit),
    ("EXECUTE", |s, n| {
        let statements = ["PREPARE put AS INSERT INTO t VALUES ($1)", "EXECUTE put($n)", "DEALLOCATE put"];
        run_all(s, &statements, n);
    }),
    ("EXPLAIN ANALYZE", |s, n| run_all(s, &["EXPLAIN ANALYZE INSERT INTO t VALUES ($n)"], n)),
    ("extended", |s, n| {
        send(s, &extended(&format!("INSERT INTO t VALUES ({n})")), 1);
    }),
    ("extended, prepared", prepared),
    ("extended, flushed", flushed),
    ("extended, a transaction", |s, n| {
        let insert = format!("INSERT INTO t VALUES ({n})");
        send(s, &["BEGIN", &insert, "COMMIT"].map(extended).concat(), 3);
    }),
    ("a pipeline in which another statement fails", |s, n| {
        s.send(
            &[format!("INSERT INTO t VALUES ({n})"), "SELECT 1 / 0".to_owned()]
                .map(|sql| extended(&sql))
                .concat(),
        );
        let answers = [s.wire.until_ready(), s.wire.until_ready()].map(|answer| sqlstate(&answer));
        assert_eq!(answers, [None, Some("22012".to_owned())]);
    }),
    ("a pipeline in which another transaction is rolled back", |s, n| {
        let insert = format!("INSERT INTO t VALUES ({n})");
        send(s, &[insert.as_str(), "BEGIN", "ROLLBACK"].map(extended).concat(), 3);
    }),
    ("a text that is too long to be looked at", |s, n| {
        s.run(&format!("INSERT INTO t VALUES ({n}) /* {} */", "x".repeat(4 << 20)));
    }),
    ("COPY, extended", |s, n| {
        let rows = [copy_data(format!("{n}\n").as_bytes()), copy_done(), wire::sync()].concat();
        let begun = [wire::parse("", "COPY t FROM STDIN"), wire::bind("", "", &[]), wire::execute("", 0)];
        send(s, &[begun.concat(), rows].concat(), 1);
    }),
    ("TRUNCATE", |s, n| run_all(s, &["INSERT INTO t VALUES ($n)", "BEGIN", "TRUNCATE t", "ROLLBACK"], n)),
];

#[test]
fn a_session_sees_whatever_it_wrote() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary().port(), cluster.server(1).port());
    let proxy = proxy(&cluster, "session", 50).start();
    pause(cluster.server(1));
    // A session of its own each: what one saw does not help the next.
    for (at, (how, write)) in WRITES.iter().enumerate() {
        let mut session = Raw::login(&proxy);
        assert_eq!(seen(&mut session), (standby, 0), "{how}: before");
        let n = 10 * (at as i32 + 1);
        write(&mut session, n);
        let (port, last) = seen(&mut session);
        assert!(port == primary && (n..n + 2).contains(&last), "{how}: {port} shows {last}, not {n}");
        assert_eq!(parse(&value(&send(&mut session, &extended(SEEN), 1)).unwrap()), (primary, last), "{how}");
    }
    resume(&cluster, cluster.server(1));
    proxy.stop();
}

#[test]
fn the_read_behind_a_write_may_be_on_its_way_already() {
    let cluster = servers();
    let primary = cluster.primary().port();
    let proxy = proxy(&cluster, "session", 0).start();
    let mut session = Raw::login(&proxy);
    pause(cluster.server(1));
    for n in 1..200 {
        let insert = format!("INSERT INTO t VALUES ({n})");
        let messages = match n % 4 {
            0 => [extended(&insert), extended(SEEN)],
            1 => [wire::query(&insert), wire::query(SEEN)],
            2 => [wire::query(&insert), extended(SEEN)],
            _ => [extended(&insert), wire::query(SEEN)],
        };
        let answer = send(&mut session, &messages.concat(), 2);
        assert_eq!(parse(&value(&answer).unwrap()), (primary, n));
    }
    proxy.stop();
}

#[test]
fn a_transaction_sees_what_was_committed_before_it() {
    let cluster = servers();
    let proxy = proxy(&cluster, "session", 50).start();
    let mut session = Raw::login(&proxy);
    pause(cluster.server(1));
    let begins = ["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION READ ONLY"];
    for (at, begin) in begins.iter().enumerate() {
        for extended_protocol in [false, true] {
            let n = 2 * at as i32 + 1 + i32::from(extended_protocol);
            session.run(&format!("INSERT INTO t VALUES ({n})"));
            match extended_protocol {
                true => drop(send(&mut session, &extended(begin), 1)),
                false => session.run(begin),
            }
            assert_eq!(seen(&mut session), (cluster.primary().port(), n), "{begin}");
            assert_eq!(seen(&mut session).1, n, "{begin}");
            session.run("COMMIT");
        }
    }
    // One transaction right behind the other, without an end in between.
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (100)");
    session.run("COMMIT AND CHAIN");
    assert_eq!(seen(&mut session).1, 100);
    session.run("COMMIT");
    resume(&cluster, cluster.server(1));
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(seen(&mut session), (cluster.server(1).port(), 100));
    session.run("COMMIT");
    proxy.stop();
}

#[test]
fn a_new_table_is_there() {
    let cluster = servers();
    let proxy = proxy(&cluster, "session", 50).start();
    let mut session = Raw::login(&proxy);
    pause(cluster.server(1));
    session.run("CREATE TABLE made AS SELECT 7 AS n");
    assert_eq!(session.value("SELECT n FROM made"), "7");
    session.run("DROP TABLE made");
    assert_eq!(session.error("SELECT n FROM made"), "42P01");
    proxy.stop();
}
