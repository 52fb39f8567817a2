//! What observers are told of statements.

use std::fmt::Write;

use serde_json::Value;
use waypool_tests::plugins::{Stats, WITNESS, Witness, observed};
use waypool_tests::raw::{Raw, copy_data, copy_done, extended, sqlstate};
use waypool_tests::wire::{bind, describe, execute, flush, parse, query, sync};
use waypool_tests::{Database, Proxy, program, python, run};

use crate::builder;

const SETUP: &str = "
    CREATE TABLE t AS SELECT generate_series(1, 9) AS n;
    CREATE TABLE counter (n int);
    CREATE FUNCTION lies(int) RETURNS int STABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''x.y'', ''1'', false); PERFORM nextval(''s''); RETURN $1; END';
    CREATE SEQUENCE s";

/// `kind server rows sqlstate`, as far as they are told.
fn short(seen: &Value) -> String {
    let mut line = seen["kind"].as_str().unwrap().to_owned();
    for field in ["node", "rows"] {
        let _ = write!(line, " {}", seen[field].as_u64().map_or("-".to_owned(), |number| number.to_string()));
    }
    let _ = write!(line, " {}", seen["sqlstate"].as_str().unwrap_or("-"));
    line
}

/// A session of its own name in this database.
fn session(proxy: &Proxy, database: &Database) -> Raw {
    Raw::login_with(proxy, &[("database", database.name), ("application_name", database.name)])
}

/// Waits for what is told of the sessions of this database, and compares.
#[track_caller]
fn expect(proxy: &Proxy, database: &Database, expected: &[&str]) -> Vec<Value> {
    let seen = observed(proxy, database.name, expected.len());
    let lines: Vec<String> = seen.iter().map(short).collect();
    assert_eq!(lines, expected);
    seen
}

#[test]
fn of_simple_statements() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let database = Database::create("observe_simple", SETUP);
    let mut session = session(&proxy, &database);
    for (sql, state) in [
        ("SELECT n FROM t", None),
        ("SELECT n FROM t WHERE n < 0", None),
        ("INSERT INTO counter SELECT n FROM t", None),
        ("UPDATE counter SET n = 0 WHERE n < 4", None),
        ("DELETE FROM counter", None),
        ("BEGIN", None),
        ("SELECT n FROM t WHERE n = 1", None),
        ("SELECT 1 / 0", Some("22012")),
        ("SELECT 1", Some("25P02")),
        ("ROLLBACK", None),
        ("SET work_mem = '1MB'", None),
        ("SHOW work_mem", None),
        ("", None),
        ("SELCT", Some("42601")),
        ("CREATE TABLE later (n int)", None),
        ("INSERT INTO missing VALUES (1)", Some("42P01")),
    ] {
        assert_eq!(sqlstate(&session.query(sql)).as_deref(), state, "{sql}");
    }
    let seen = expect(
        &proxy,
        &database,
        &[
            "Select 1 9 -",
            "Select 1 0 -",
            "Dml 0 9 -",
            "Dml 0 3 -",
            "Dml 0 9 -",
            "Begin 0 0 -",
            "Select 1 1 -",
            "Select 1 0 22012",
            "Select 1 0 25P02",
            "Rollback 1 0 -",
            "Set 0 0 -",
            "Show 1 0 -",
            "Empty 1 0 -",
            "Unknown 0 0 42601",
            "Ddl 0 0 -",
            "Dml 0 0 42P01",
        ],
    );
    for seen in &seen {
        assert_eq!(
            (seen["database"].as_str(), seen["user"].as_str()),
            (Some(database.name), Some("postgres"))
        );
        assert_eq!(seen["session"].as_u64(), Some(session.pid.into()), "{seen}");
        assert_eq!(seen["tags"], serde_json::json!(["v001"]), "{seen}");
    }
}

#[test]
fn of_a_text_of_several_statements() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let database = Database::create("observe_several", SETUP);
    let mut session = session(&proxy, &database);
    session.query("SELECT n FROM t; SELECT n FROM t WHERE n < 4");
    session.query("INSERT INTO counter VALUES (1), (2); SELECT 1 / 0; SELECT 1");
    session.query("SELECT 1");
    let seen = expect(&proxy, &database, &["Unknown 0 12 -", "Unknown 0 2 22012", "Select 1 1 -"]);
    assert_eq!(seen[0]["tags"], serde_json::json!(["v001"]));
}

#[test]
fn of_the_extended_protocol() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let database = Database::create("observe_extended", SETUP);
    let mut session = session(&proxy, &database);
    let mut ask = |messages: &[Vec<u8>]| {
        session.send(&messages.concat());
        session.wire.until_ready()
    };
    ask(&[extended("SELECT n FROM t")]);
    // Only prepared and described: nothing is run.
    ask(&[parse("read", "SELECT n FROM t WHERE n > $1"), describe(b'S', "read"), sync()]);
    ask(&[bind("", "read", &["4"]), execute("", 0), sync()]);
    ask(&[bind("", "read", &["8"]), execute("", 0), sync()]);
    ask(&[bind("", "read", &["four"]), execute("", 0), sync()]);
    ask(&[extended("INSERT INTO counter VALUES (1), (2)")]);
    ask(&[extended("INSERT INTO missing VALUES (1)")]);
    ask(&[extended("SELCT")]);
    ask(&[extended("BEGIN")]);
    ask(&[extended("SELECT n FROM t WHERE n < 3")]);
    ask(&[extended("COMMIT")]);
    ask(&[extended("")]);
    expect(
        &proxy,
        &database,
        &[
            "Select 1 9 -",
            "Select 1 5 -",
            "Select 1 1 -",
            "Select 1 0 22P02",
            "Dml 0 2 -",
            "Dml 0 0 42P01",
            "Unknown 0 0 42601",
            "Begin 0 0 -",
            "Select 1 2 -",
            "Commit 0 0 -",
            "Empty 1 0 -",
        ],
    );
}

#[test]
fn of_pipelines_in_their_order() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let database = Database::create("observe_pipelines", SETUP);
    let mut session = session(&proxy, &database);
    let run = |sql: &str| [parse("", sql), bind("", "", &[]), execute("", 0)].concat();
    // One cycle, whose third statement fails: the fourth is never run.
    let messages = [
        run("INSERT INTO counter VALUES (1)"),
        run("UPDATE t SET n = n"),
        run("INSERT INTO counter SELECT 1 / 0"),
        run("DELETE FROM t"),
        sync(),
    ];
    session.send(&messages.concat());
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("22012"));
    // Several cycles at once.
    let cycles = [[run("SELECT n FROM t"), sync()], [run("SELECT 1 / 0"), sync()], [run("SELECT 1"), sync()]];
    session.send(&cycles.concat().concat());
    for _ in 0..3 {
        session.wire.until_ready();
    }
    // Flushed in between.
    session.send(&[run("SELECT n FROM t WHERE n < 8"), flush(), run("SELECT 2"), sync()].concat());
    session.wire.until_ready();
    // Two queries without waiting.
    session.send(&[query("SELECT n FROM t WHERE n < 6"), query("SELECT 3")].concat());
    session.wire.until_ready();
    session.wire.until_ready();
    expect(
        &proxy,
        &database,
        &[
            "Dml 0 1 -",
            "Dml 0 9 -",
            "Dml 0 0 22012",
            "Select 1 9 -",
            "Select 1 0 22012",
            "Select 1 1 -",
            "Select 1 7 -",
            "Select 1 1 -",
            "Select 1 5 -",
            "Select 1 1 -",
        ],
    );
}

#[test]
fn of_copies() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let database = Database::create("observe_copies", SETUP);
    let mut session = session(&proxy, &database);
    session.query("COPY t TO STDOUT");
    session.send(&query("COPY counter FROM STDIN"));
    assert_eq!(session.wire.next().unwrap().tag, b'G');
    session.send(&[copy_data(b"1\n2\n"), copy_data(b"3\n"), copy_done()].concat());
    session.wire.until_ready();
    expect(&proxy, &database, &["CopyTo 1 9 -", "Dml 0 3 -"]);
}

#[test]
fn of_a_read_that_the_standby_refused_once() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let database = Database::create("observe_refused", SETUP);
    let mut session = session(&proxy, &database);
    session.query("SELECT lies(n) FROM t");
    session.send(&extended("SELECT lies(n), 'again' FROM t WHERE n < 5"));
    session.wire.until_ready();
    // The server whose answer the client got.
    expect(&proxy, &database, &["Select 0 9 -", "Select 0 4 -"]);
}

#[test]
fn of_statements_that_a_plugin_refuses() {
    let witness = Witness::default();
    let proxy = builder(&witness).plugin(WITNESS, "refuse = \"DELETE\"").start();
    let database = Database::create("observe_rejected", SETUP);
    let mut session = session(&proxy, &database);
    assert_eq!(session.error("DELETE FROM t"), "42501");
    session.send(&extended("DELETE FROM t WHERE n = 1"));
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("42501"));
    session.query("SELECT 1");
    let seen = observed(&proxy, database.name, 3);
    let told: Vec<_> = seen.iter().map(|seen| (seen["node"].as_u64(), seen["sqlstate"].as_str())).collect();
    assert_eq!(told, [(None, Some("42501")), (None, Some("42501")), (Some(1), None)]);
}

#[test]
fn how_long_they_took() {
    let witness = Witness::default();
    let proxy = builder(&witness).start();
    let database = Database::create("observe_duration", SETUP);
    let mut session = session(&proxy, &database);
    session.query("SELECT pg_sleep(0.5)");
    session.send(&extended("SELECT pg_sleep(0.5)"));
    session.wire.until_ready();
    session.query("SELECT 1");
    let seen = observed(&proxy, database.name, 3);
    let micros: Vec<u64> = seen.iter().map(|seen| seen["micros"].as_u64().unwrap()).collect();
    assert!(micros[0] >= 500_000 && micros[1] >= 500_000, "{micros:?}");
    assert!(micros[2] > 0 && micros[2] < micros[0], "{micros:?}");
}

#[test]
fn an_observer_sees_only_the_sessions_that_it_applies_to() {
    let witness = Witness::default();
    let database = Database::create("observe_some", "CREATE ROLE observed_role LOGIN");
    let proxy = builder(&witness).plugin_entry(WITNESS, "users = [\"/^observed_\"]").start();
    let login = |user: &str| {
        let parameters = [("user", user), ("database", database.name), ("application_name", database.name)];
        Raw::login_with(&proxy, &parameters)
    };
    // Both at a time: a later session may be told the same process id.
    let (mut one, mut other) = (login("observed_role"), login("observed_role"));
    login("postgres").run("SELECT 1");
    one.run("SELECT 1");
    login("postgres").run("SELECT 2");
    other.run("SELECT 2");
    let seen = observed(&proxy, database.name, 2);
    assert!(seen.iter().all(|seen| seen["user"] == "observed_role"), "{seen:?}");
    assert_ne!(seen[0]["session"], seen[1]["session"]);
}

#[test]
fn of_all_that_programs_send() {
    let witness = Witness::default();
    // Each statement is a line of the log, of which a plugin has a hundred a second: counted.
    let proxy = witness.in_use(Proxy::builder(waypool_tests::primary_and_standby())).start();
    let database = Database::create("observe_programs", "CREATE TABLE counter (n int)");
    let mut psql = program(&proxy, "psql");
    psql.args(["-XAtq", "-d", database.name, "-f", "-"]);
    let statements = 250;
    let input = "INSERT INTO counter VALUES (1);\n".repeat(statements);
    run(&mut psql, &input).ok();
    let counted = || Stats::of(&proxy, WITNESS).counter("observed");
    waypool_tests::wait_until("psql's statements are observed", || counted() >= statements as u64);
    assert_eq!(counted(), statements as u64);
    let mut pipeline = python(&proxy, "pipeline.py");
    pipeline.env("WAYPOOL_TEST_DATABASE", database.name);
    run(&mut pipeline, "").ok();
    waypool_tests::wait_until("psycopg's statements are observed", || counted() > 2 * statements as u64);
}
