//! `notice_per_node_statement` and `log_per_node_statement`: clients, or the log,
//! are told which server gets a statement.
#![allow(clippy::unwrap_used)]

use waypool_tests::raw::{Raw, extended, sqlstate, tags};
use waypool_tests::wire::{self, Message};
use waypool_tests::{Builder, Database, Proxy, primary_and_standby};

const SETUP: &str = r"
    CREATE TABLE t AS SELECT generate_series(1, 3) AS n;
    CREATE TABLE counter (n int);
    CREATE FUNCTION writes(int) RETURNS int LANGUAGE plpgsql AS
        'BEGIN INSERT INTO counter VALUES ($1); RETURN $1; END';
    CREATE FUNCTION lies(int) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN writes($1); END'";

fn builder() -> Builder {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0])
}

fn telling() -> Proxy {
    builder().top("notice_per_node_statement = true").start()
}

fn login(proxy: &Proxy, database: &Database) -> Raw {
    Raw::login_with(proxy, &[("database", database.name)])
}

/// What the proxy's notices tell, in order: those of the servers are not ours.
fn told(answer: &[Message]) -> Vec<String> {
    let notices = answer.iter().filter(|message| message.tag == b'N');
    let notices = notices.filter_map(|message| message.field(b'M'));
    notices.filter(|notice| notice.starts_with("DB node id: ")).collect()
}

#[track_caller]
fn expect(session: &mut Raw, bytes: &[u8], expected: &[&str]) -> Vec<Message> {
    session.send(bytes);
    let answer = session.wire.until_ready();
    assert_eq!(told(&answer), expected, "{}", tags(&answer));
    answer
}

#[track_caller]
fn expect_query(session: &mut Raw, sql: &str, servers: &[usize]) {
    let expected: Vec<String> =
        servers.iter().map(|id| format!("DB node id: {id} statement: {sql}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let answer = expect(session, &wire::query(sql), &expected);
    assert_eq!(sqlstate(&answer), None, "{sql}");
}

#[test]
fn a_notice_tells_where_each_query_goes() {
    let proxy = telling();
    let database = Database::create("notices_simple", SETUP);
    let session = &mut login(&proxy, &database);
    expect_query(session, "SELECT n FROM t", &[1]);
    expect_query(session, "INSERT INTO counter VALUES (1)", &[0]);
    expect_query(session, "SELECT writes(1)", &[0]);
    expect_query(session, "SELECT 'Grüße', $$it's$$", &[1]);
    expect_query(session, "SELECT 1; SELECT 2", &[0]);
    // All servers of the session: it has both by now.
    expect_query(session, "SET work_mem = '5MB'", &[0, 1]);
    expect_query(session, "BEGIN", &[0, 1]);
    expect_query(session, "SELECT count(*) FROM t", &[1]);
    expect_query(session, "SAVEPOINT a", &[0, 1]);
    expect_query(session, "DELETE FROM counter", &[0]);
    expect_query(session, "SELECT count(*) FROM counter", &[0]);
    expect_query(session, "COMMIT", &[0, 1]);
    expect_query(session, "SELECT count(*) FROM counter", &[1]);
    // Nobody but the proxy gets it.
    expect_query(session, "SHOW pool_nodes", &[]);
    proxy.stop();
}

#[test]
fn a_notice_comes_before_the_answer_and_has_the_fields_of_one() {
    let proxy = telling();
    let database = Database::create("notices_fields", SETUP);
    let session = &mut login(&proxy, &database);
    for (bytes, expected) in [
        (wire::query("SELECT n FROM t"), "NTDDDCZ"),
        (wire::query("INSERT INTO counter VALUES (1)"), "NCZ"),
        (wire::query("nonsense"), "NEZ"),
        // Parse and Execute.
        (extended("INSERT INTO counter VALUES (2)"), "NN12CZ"),
    ] {
        session.send(&bytes);
        let answer = session.wire.until_ready();
        assert_eq!(tags(&answer), expected);
        assert_eq!(answer[0].field(b'S').unwrap(), "NOTICE");
        assert_eq!(answer[0].field(b'V').unwrap(), "NOTICE");
        assert_eq!(answer[0].field(b'C').unwrap(), "00000");
    }
    proxy.stop();
}

#[test]
fn a_notice_tells_of_each_parse_and_execute() {
    let proxy = telling();
    let database = Database::create("notices_extended", SETUP);
    let session = &mut login(&proxy, &database);
    let read = "SELECT n FROM t WHERE n > $1::int";
    let parse = [wire::parse("r", read), wire::sync()].concat();
    let run = [wire::bind("", "r", &["1"]), wire::execute("", 0), wire::sync()].concat();
    expect(session, &parse, &["DB node id: 1 statement: Parse: SELECT n FROM t WHERE n > $1::int"]);
    for _ in 0..2 {
        expect(session, &run, &["DB node id: 1 statement: Execute: SELECT n FROM t WHERE n > $1::int"]);
    }
    let insert = "INSERT INTO counter VALUES (1)";
    let expected = ["DB node id: 0 statement: Parse: ", "DB node id: 0 statement: Execute: "];
    let expected = expected.map(|what| format!("{what}{insert}"));
    expect(session, &extended(insert), &[&expected[0], &expected[1]]);
    // A transaction that has written reads on the primary.
    expect_query(session, "BEGIN", &[0, 1]);
    expect_query(session, insert, &[0]);
    expect(session, &run, &["DB node id: 0 statement: Execute: SELECT n FROM t WHERE n > $1::int"]);
    expect_query(session, "ROLLBACK", &[0, 1]);
    expect(session, &run, &["DB node id: 1 statement: Execute: SELECT n FROM t WHERE n > $1::int"]);
    proxy.stop();
}

#[test]
fn begin_and_set_by_the_extended_protocol_are_told_of_for_both_servers() {
    let proxy = telling();
    let database = Database::create("notices_both", SETUP);
    let session = &mut login(&proxy, &database);
    session.run("SELECT n FROM t");
    session.run("INSERT INTO counter VALUES (1)");
    for sql in ["SET work_mem = '6MB'", "BEGIN", "SET LOCAL work_mem = '7MB'", "COMMIT"] {
        session.send(&extended(sql));
        let answer = session.wire.until_ready();
        assert_eq!(sqlstate(&answer), None, "{sql}");
        for what in ["Parse: ", "Execute: "] {
            for id in [0, 1] {
                let notice = format!("DB node id: {id} statement: {what}{sql}");
                let times = told(&answer).iter().filter(|told| **told == notice).count();
                assert_eq!(times, 1, "{notice} in {:?}", told(&answer));
            }
        }
    }
    proxy.stop();
}

#[test]
fn a_read_that_the_standby_refuses_is_told_of_twice() {
    let proxy = telling();
    let database = Database::create("notices_refused", SETUP);
    let session = &mut login(&proxy, &database);
    session.run("SELECT n FROM t");
    // Where it went, and where it ended; from then on it is known.
    let sql = "SELECT lies(n) FROM t WHERE n = 1";
    expect_query(session, sql, &[1, 0]);
    expect_query(session, sql, &[0]);
    let sql = "SELECT lies(n) AS another FROM t WHERE n = 2";
    let notice = |id: u8, what: &str| format!("DB node id: {id} statement: {what}: {sql}");
    let known = [notice(0, "Parse"), notice(0, "Execute")];
    let refused = [notice(1, "Parse"), notice(1, "Execute"), known[0].clone(), known[1].clone()];
    expect(session, &extended(sql), &refused.each_ref().map(String::as_str));
    expect(session, &extended(sql), &known.each_ref().map(String::as_str));
    assert_eq!(session.value("SELECT count(*) FROM counter"), "4");
    proxy.stop();
}

#[test]
fn the_log_tells_the_same_with_the_servers_process() {
    let proxy = builder().top("log_per_node_statement = true").start();
    let database = Database::create("notices_log", SETUP);
    let session = &mut login(&proxy, &database);
    let pid = session.value("SELECT pg_backend_pid() FROM t");
    session.run("INSERT INTO counter VALUES (8)");
    session.run("SET work_mem = '9MB'");
    session.send(&extended("SELECT 10 FROM t"));
    let answer = session.wire.until_ready();
    // The log only.
    assert_eq!(tags(&answer), "12DDDCZ");
    let log = proxy.log();
    let line = |id: u8, text: &str| {
        let (node, statement) = (format!("DB node id: {id} backend pid: "), format!(" statement: {text}"));
        let lines = log.lines().filter(|line| line.contains(&node) && line.ends_with(&statement));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(line(1, "SELECT 10 FROM t").is_empty());
    for (id, text) in [
        (1, "Parse: SELECT 10 FROM t"),
        (1, "Execute: SELECT 10 FROM t"),
        (0, "INSERT INTO counter VALUES (8)"),
        (0, "SET work_mem = '9MB'"),
        (1, "SET work_mem = '9MB'"),
    ] {
        assert_eq!(line(id, text).len(), 1, "{id} {text}:\n{log}");
    }
    let read = line(1, "SELECT pg_backend_pid() FROM t");
    assert!(read[0].contains(&format!("backend pid: {pid} ")), "{read:?}, the process is {pid}");
    proxy.stop();
}

#[test]
fn both_settings_are_off_by_default_and_can_be_changed_while_it_runs() {
    let proxy = builder().start();
    let database = Database::create("notices_reload", SETUP);
    let session = &mut login(&proxy, &database);
    expect_query(session, "SELECT n FROM t", &[]);
    proxy.reconfigure(|builder| builder.top("notice_per_node_statement = true"));
    expect_query(session, "SELECT n FROM t", &[1]);
    assert!(!proxy.log().contains("DB node id: "));
    proxy.reconfigure(|builder| {
        builder.top("notice_per_node_statement = false").top("log_per_node_statement = true")
    });
    expect_query(session, "SELECT 2 FROM t", &[]);
    assert!(proxy.log().contains("statement: SELECT 2 FROM t"));
    proxy.stop();
}
