//! Read your writes: a session, a user or a token sees what was committed, on
//! standbys whose replay is paused.
#![allow(clippy::unwrap_used)]

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use waypool_sandbox::{Cluster, Server};
use waypool_tests::raw::{Raw, copy_data, copy_done, extended, read_port, sqlstate, value, wait_true};
use waypool_tests::wire::{self, Message};
use waypool_tests::{Builder, Proxy, psql, wait_until};

/// What every test finds. `put` and its like write; `put_hidden` looks as if it
/// only read.
const SETUP: &str = "
    CREATE ROLE anna LOGIN; CREATE ROLE bert LOGIN;
    CREATE TABLE t (n int UNIQUE);
    CREATE FUNCTION put(n int) RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES (n)';
    CREATE FUNCTION put_hidden(n int) RETURNS text STABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM put(n); RETURN ''done''; END';
    CREATE PROCEDURE put_twice(n int) LANGUAGE plpgsql AS
        'BEGIN INSERT INTO t VALUES (n); COMMIT; INSERT INTO t VALUES (n + 1); END';
    CREATE PROCEDURE put_and_fail(n int) LANGUAGE plpgsql AS
        'BEGIN INSERT INTO t VALUES (n); COMMIT; RAISE ''on purpose''; END';
    GRANT ALL ON t TO PUBLIC;";

/// The port of the server that answers, and the largest number that it shows.
const SEEN: &str = "SELECT concat_ws(' ', inet_server_port(), (SELECT max(n) FROM t))";

/// Longer than a test waits for any answer: who waits so long has failed.
const FOR_EVER: u32 = 600_000;

/// A primary and two standbys; one test at a time may pause replay.
fn servers() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let cluster = Cluster::builder().standbys(2).setting("autovacuum", "off").start();
        let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
        cluster.primary().psql(SETUP).unwrap_or_else(|error| panic!("{error}"));
        Mutex::new(cluster)
    });
    let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
    cluster.primary().psql("TRUNCATE t; INSERT INTO t VALUES (0); DROP TABLE IF EXISTS made").unwrap();
    for standby in &cluster.servers()[1..] {
        resume(&cluster, standby);
    }
    cluster
}

fn pause(standby: &Server) {
    standby.psql("SELECT pg_wal_replay_pause()").unwrap();
    wait_true(standby, "replay is paused", "SELECT pg_get_wal_replay_pause_state() = 'paused'");
}

fn resume(cluster: &Cluster, standby: &Server) {
    standby.psql("SELECT pg_wal_replay_resume()").unwrap();
    standby.wait_replay(cluster.primary()).unwrap();
}

/// Reads from standby 1, where a read waits for so many milliseconds.
fn proxy(cluster: &Cluster, scope: &str, timeout: u32) -> Builder {
    Proxy::builder(cluster)
        .weights(&[0.0, 1.0, 0.0])
        .plugin("balance", &format!("read_your_writes = {scope:?}\nread_your_writes_timeout = {timeout}"))
}

fn login(proxy: &Proxy, user: &str) -> Raw {
    Raw::login_with(proxy, &[("user", user)])
}

/// Who answers, and the largest number that this session sees.
#[track_caller]
fn seen(session: &mut Raw) -> (u16, i32) {
    parse(&session.value(SEEN))
}

#[track_caller]
fn parse(answer: &str) -> (u16, i32) {
    let (port, n) = answer.split_once(' ').unwrap_or_else(|| panic!("{answer}"));
    (port.parse().unwrap(), n.parse().unwrap())
}

/// Sends these messages and expects no error in the answers, one for each Sync
/// or Query; the last of them.
#[track_caller]
fn send(session: &mut Raw, bytes: &[u8], answers: usize) -> Vec<Message> {
    session.send(bytes);
    let mut last = Vec::new();
    for _ in 0..answers {
        last = session.wire.until_ready();
        assert_eq!(sqlstate(&last), None);
    }
    last
}

fn token(session: &mut Raw) -> String {
    session.value("SHOW waypool.last_commit")
}

// === every way to write ===

/// A way to write `n`, or `n` and `n + 1`.
type Write = fn(&mut Raw, i32);

fn run_all(session: &mut Raw, statements: &[&str], n: i32) {
    for statement in statements {
        session.run(&statement.replace("$n", &n.to_string()));
    }
}

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

// === waiting ===

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

// === scopes ===

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

// === tokens ===

#[test]
fn a_token_takes_a_commit_to_another_session() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary().port(), cluster.server(1).port());
    let proxy = proxy(&cluster, "off", 20).start();
    let [mut writer, mut reader] = ["anna", "bert"].map(|user| login(&proxy, user));
    pause(cluster.server(1));
    writer.run("INSERT INTO t VALUES (1)");
    let token = token(&mut writer);
    assert_eq!(seen(&mut writer), (standby, 0));
    let set = format!("SET waypool.read_after = '{token}'");
    let ways = [set.clone(), format!("SET SESSION waypool.read_after TO '{token}'"), set.to_lowercase()];
    let ends = ["RESET waypool.read_after", "DISCARD ALL", "RESET ALL", "SET waypool.read_after TO DEFAULT"];
    for end in ends {
        for way in &ways {
            assert_eq!(seen(&mut reader), (standby, 0));
            reader.run(way);
            assert_eq!(seen(&mut reader), (primary, 1), "{way}");
            reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
            assert_eq!(seen(&mut reader), (primary, 1), "{way}");
            reader.run("COMMIT");
            reader.run(end);
            assert_eq!(seen(&mut reader), (standby, 0), "{end}");
        }
    }
    send(&mut reader, &extended(&set), 1);
    assert_eq!(seen(&mut reader), (primary, 1));
    reader.run("SET waypool.read_after = ''");
    assert_eq!(seen(&mut reader), (standby, 0));
    // It is for this session alone, and the standby answers when it is there.
    reader.run(&set);
    assert_eq!(seen(&mut login(&proxy, "bert")), (standby, 0));
    assert_eq!(reader.value("SHOW waypool.read_after"), token);
    resume(&cluster, cluster.server(1));
    assert_eq!(seen(&mut reader), (standby, 1));
    proxy.stop();
}

#[test]
fn a_malformed_token_is_told_and_ignored() {
    let cluster = servers();
    let standby = cluster.server(1).port();
    let proxy = proxy(&cluster, "off", 20).start();
    let (mut writer, mut reader) = (Raw::login(&proxy), Raw::login(&proxy));
    pause(cluster.server(1));
    writer.run("INSERT INTO t VALUES (1)");
    for malformed in ["yesterday", "0/XYZ", "1", "0/1/2", "FFFFFFFFF/0", "/"] {
        let answer = reader.query(&format!("SET waypool.read_after = '{malformed}'"));
        let notice = answer.iter().find(|message| message.tag == b'N').expect("a NOTICE");
        assert_eq!(notice.field(b'S').as_deref(), Some("NOTICE"));
        let told = notice.field(b'M').unwrap();
        assert!(told.contains("waypool.read_after") && told.contains(malformed), "{told}");
        assert_eq!(seen(&mut reader), (standby, 0), "{malformed}");
    }
    assert_eq!(psql(&proxy, SEEN), format!("{standby} 0"));
    proxy.stop();
}

#[test]
fn the_token_is_a_position_that_grows() {
    let cluster = servers();
    for scope in ["off", "session", "user"] {
        let proxy = proxy(&cluster, scope, 20).start();
        let mut session = Raw::login(&proxy);
        let mut ask = |sql: &str| -> String {
            session.run(sql);
            let token = token(&mut session);
            cluster.primary().psql(&format!("SELECT '{token}'::pg_lsn - '0/0'::pg_lsn")).unwrap()
        };
        let first: u64 = ask("SELECT 1").parse().unwrap();
        let second: u64 = ask("INSERT INTO t SELECT max(n) + 1 FROM t").parse().unwrap();
        assert!(0 < first && first < second, "{first} {second}");
        proxy.stop();
    }
}
