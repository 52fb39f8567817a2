//! What a client sets holds on every server that its session uses.
#![allow(clippy::unwrap_used)]

use waypool_tests::raw::Raw;
use waypool_tests::wire;
use waypool_tests::{Builder, Database, Proxy, client_with_messages, primary_and_standby, run_async};

/// Reads go to the standby, in transactions that have set something too: only
/// so it shows whether the standby knows.
fn builder() -> Builder {
    Proxy::builder(primary_and_standby())
        .weights(&[0.0, 1.0])
        .plugin("balance", "disable_load_balance_on_write = \"off\"")
}

fn login(proxy: &Proxy, database: &Database) -> Raw {
    Raw::login_with(proxy, &[("database", database.name)])
}

/// A setting as both servers have it; panics when they differ.
#[track_caller]
fn setting(session: &mut Raw, name: &str) -> String {
    everywhere(session, &format!("current_setting('{name}')"))
}

/// An expression as both servers compute it; panics when they differ.
#[track_caller]
fn everywhere(session: &mut Raw, expression: &str) -> String {
    let question = format!("SELECT inet_server_port() || ' ' || {expression}");
    let answers = ["", "/*NO LOAD BALANCE*/ "].map(|hint| session.value(&format!("{hint}{question}")));
    let [standby, primary] = answers.each_ref().map(|answer| answer.split_once(' ').unwrap());
    assert_eq!(primary.0, primary_and_standby().primary().port().to_string());
    assert_eq!(standby.0, primary_and_standby().server(1).port().to_string(), "the read went to the primary");
    assert_eq!(primary.1, standby.1, "{expression} on the primary (left) and on the standby");
    primary.1.to_owned()
}

#[test]
fn set_and_reset_hold_on_both_servers() {
    let proxy = builder().start();
    let database = Database::create("state_set", "CREATE SCHEMA other");
    let session = &mut login(&proxy, &database);
    session.run("SET work_mem = '7MB'");
    assert_eq!(setting(session, "work_mem"), "7MB");
    session.run("SET work_mem TO DEFAULT");
    assert_eq!(setting(session, "work_mem"), "4MB");
    for (statement, name, value) in [
        ("SET search_path = other, public", "search_path", "other, public"),
        ("SET application_name = 'a name; with ''quotes'''", "application_name", "a name; with 'quotes'"),
        ("SET TIME ZONE 'Asia/Tokyo'", "TimeZone", "Asia/Tokyo"),
        ("SET NAMES 'LATIN1'", "client_encoding", "LATIN1"),
        ("SET SESSION statement_timeout = '1h'", "statement_timeout", "1h"),
        ("SET my.own = 'value'", "my.own", "value"),
        (
            "SET default_transaction_isolation = 'repeatable read'",
            "default_transaction_isolation",
            "repeatable read",
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "default_transaction_isolation",
            "read committed",
        ),
    ] {
        session.run(statement);
        assert_eq!(setting(session, name), value, "{statement}");
    }
    session.run("RESET search_path");
    assert_eq!(setting(session, "search_path"), "\"$user\", public");
    assert_eq!(setting(session, "TimeZone"), "Asia/Tokyo");
    session.run("RESET ALL");
    assert_eq!(setting(session, "statement_timeout"), "0");
    session.run("SET work_mem = '8MB'");
    session.run("DISCARD ALL");
    assert_eq!(setting(session, "work_mem"), "4MB");
    proxy.stop();
}

#[test]
fn a_setting_that_is_refused_is_set_nowhere() {
    let proxy = builder().start();
    let database = Database::create("state_refused", "");
    let session = &mut login(&proxy, &database);
    session.run("SET work_mem = '7MB'");
    assert_eq!(session.error("SET work_mem = 'plenty'"), "22023");
    assert_eq!(setting(session, "work_mem"), "7MB");
    proxy.stop();
}

#[test]
fn settings_end_with_a_transaction_that_is_rolled_back() {
    let proxy = builder().start();
    let database = Database::create("state_rollback", "");
    let session = &mut login(&proxy, &database);
    session.run("SET work_mem = '5MB'");
    for end in ["ROLLBACK", "ABORT", "ROLLBACK WORK"] {
        session.run("BEGIN");
        session.run("SET work_mem = '6MB'");
        session.run("SET TIME ZONE 'Asia/Tokyo'");
        assert_eq!(setting(session, "work_mem"), "6MB");
        session.run(end);
        assert_eq!(setting(session, "work_mem"), "5MB", "after {end}");
        assert_ne!(setting(session, "TimeZone"), "Asia/Tokyo", "after {end}");
    }
    session.run("BEGIN");
    session.run("RESET work_mem");
    assert_eq!(setting(session, "work_mem"), "4MB");
    session.run("ROLLBACK");
    assert_eq!(setting(session, "work_mem"), "5MB");
    session.run("BEGIN");
    session.run("SET work_mem = '6MB'");
    session.run("COMMIT");
    assert_eq!(setting(session, "work_mem"), "6MB");
    proxy.stop();
}

#[test]
fn settings_end_with_a_transaction_that_failed_on_either_server() {
    let proxy = builder().start();
    let database = Database::create("state_failed", "");
    let session = &mut login(&proxy, &database);
    for mistake in ["SELECT 1 / 0", "/*NO LOAD BALANCE*/ SELECT 1 / 0"] {
        for end in ["COMMIT", "ROLLBACK"] {
            session.run("BEGIN");
            session.run("SET work_mem = '6MB'");
            assert_eq!(session.error(mistake), "22012");
            assert_eq!(session.error("SELECT 1"), "25P02");
            assert_eq!(session.error("SET work_mem = '7MB'"), "25P02");
            session.run(end);
            assert_eq!(setting(session, "work_mem"), "4MB", "{mistake}, {end}");
        }
    }
    proxy.stop();
}

#[test]
fn settings_end_with_a_batch_that_failed_behind_them() {
    let proxy = builder().start();
    let database = Database::create("state_failed_batch", "");
    let session = &mut login(&proxy, &database);
    let step = |sql: &str| [wire::parse("", sql), wire::bind("", "", &[]), wire::execute("", 0)].concat();
    for end in ["COMMIT", "ROLLBACK"] {
        session.run("BEGIN");
        session.send(&[step("SET work_mem = '6MB'"), step("SELECT 1 / 0"), wire::sync()].concat());
        session.wire.until_ready();
        session.run(end);
        assert_eq!(setting(session, "work_mem"), "4MB", "{end}");
    }
    proxy.stop();
}

#[test]
fn set_local_ends_with_the_transaction() {
    let proxy = builder().start();
    let database = Database::create("state_local", "");
    let session = &mut login(&proxy, &database);
    for end in ["COMMIT", "ROLLBACK"] {
        session.run("BEGIN");
        session.run("SET LOCAL work_mem = '6MB'");
        assert_eq!(setting(session, "work_mem"), "6MB");
        session.run(end);
        assert_eq!(setting(session, "work_mem"), "4MB", "after {end}");
    }
    proxy.stop();
}

#[test]
fn rolling_back_to_a_savepoint_undoes_settings_on_both_servers() {
    let proxy = builder().start();
    let database = Database::create("state_savepoint", "");
    let session = &mut login(&proxy, &database);
    for mistake in [None, Some("SELECT 1 / 0"), Some("/*NO LOAD BALANCE*/ SELECT 1 / 0")] {
        session.run("BEGIN");
        session.run("SET work_mem = '5MB'");
        session.run("SAVEPOINT a");
        session.run("SET work_mem = '6MB'");
        session.run("SAVEPOINT b");
        session.run("SET work_mem = '7MB'");
        if let Some(mistake) = mistake {
            assert_eq!(session.error(mistake), "22012");
        }
        session.run("ROLLBACK TO SAVEPOINT b");
        assert_eq!(setting(session, "work_mem"), "6MB", "{mistake:?}");
        session.run("RELEASE b");
        assert_eq!(setting(session, "work_mem"), "6MB", "{mistake:?}");
        session.run("ROLLBACK TO a");
        assert_eq!(setting(session, "work_mem"), "5MB", "{mistake:?}");
        session.run("COMMIT");
        assert_eq!(setting(session, "work_mem"), "5MB", "{mistake:?}");
    }
    proxy.stop();
}

#[test]
fn the_role_is_the_same_on_both_servers() {
    let proxy = builder().start();
    let setup = "CREATE ROLE state_reader; CREATE ROLE state_stranger;
                 CREATE TABLE secret AS SELECT 42 AS n; GRANT SELECT ON secret TO state_reader";
    let database = Database::create("state_role", setup);
    let session = &mut login(&proxy, &database);
    session.run("SET ROLE state_stranger");
    assert_eq!(everywhere(session, "current_user"), "state_stranger");
    assert_eq!(session.error("SELECT n FROM secret"), "42501");
    session.run("SET ROLE state_reader");
    assert_eq!(session.value("SELECT n FROM secret"), "42");
    session.run("RESET ROLE");
    assert_eq!(everywhere(session, "current_user"), "postgres");
    session.run("SET SESSION AUTHORIZATION state_stranger");
    assert_eq!(everywhere(session, "session_user"), "state_stranger");
    assert_eq!(session.error("SELECT n FROM secret"), "42501");
    session.run("RESET SESSION AUTHORIZATION");
    assert_eq!(everywhere(session, "session_user"), "postgres");
    session.run("BEGIN");
    session.run("SET LOCAL ROLE state_stranger");
    assert_eq!(everywhere(session, "current_user"), "state_stranger");
    session.run("ROLLBACK");
    assert_eq!(everywhere(session, "current_user"), "postgres");
    proxy.stop();
}

#[test]
fn the_search_path_finds_the_same_tables() {
    let proxy = builder().start();
    let setup = "CREATE SCHEMA one; CREATE SCHEMA two;
                 CREATE TABLE one.t AS SELECT 'one' AS s; CREATE TABLE two.t AS SELECT 'two' AS s";
    let database = Database::create("state_search_path", setup);
    let session = &mut login(&proxy, &database);
    for schema in ["one", "two", "one"] {
        session.run(&format!("SET search_path = {schema}"));
        assert_eq!(session.value("SELECT s FROM t"), schema);
        assert_eq!(session.value("/*NO LOAD BALANCE*/ SELECT s FROM t"), schema);
    }
    session.run("BEGIN");
    session.run("SET LOCAL search_path = two");
    assert_eq!(session.value("SELECT s FROM t"), "two");
    session.run("ROLLBACK");
    assert_eq!(session.value("SELECT s FROM t"), "one");
    proxy.stop();
}

#[test]
fn settings_reach_a_server_that_is_used_later() {
    // Both servers are a session's only once it has read from the standby.
    let proxy = Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).start();
    let database = Database::create("state_later", "");
    let mut before = login(&proxy, &database);
    before.run("SET work_mem = '5MB'");
    before.run("SET TIME ZONE 'Asia/Tokyo'");
    before.run("SET work_mem = '6MB'");
    assert_eq!(before.value("SELECT current_setting('work_mem')"), "6MB");
    before.leave();
    proxy.stop();
    let proxy = builder().start();
    let session = &mut login(&proxy, &database);
    // A transaction that begins with a text of two statements runs on the primary alone.
    session.run("BEGIN; SELECT 1");
    session.run("SET work_mem = '5MB'");
    session.run("COMMIT");
    session.run("BEGIN; SELECT 1");
    session.run("SET work_mem = '6MB'");
    session.run("ROLLBACK");
    assert_eq!(setting(session, "work_mem"), "5MB");
    proxy.stop();
}

#[test]
fn startup_parameters_hold_on_both_servers() {
    let proxy = builder().start();
    let parameters = [
        ("application_name", "from the start"),
        ("options", "-c work_mem=9MB -c search_path=pg_catalog"),
        ("TimeZone", "Asia/Tokyo"),
    ];
    let session = &mut Raw::login_with(&proxy, &parameters);
    assert_eq!(setting(session, "application_name"), "from the start");
    assert_eq!(setting(session, "work_mem"), "9MB");
    assert_eq!(setting(session, "TimeZone"), "Asia/Tokyo");
    session.run("SET work_mem = '5MB'");
    session.run("SET application_name = 'changed'");
    session.run("RESET ALL");
    assert_eq!(setting(session, "work_mem"), "9MB");
    assert_eq!(setting(session, "application_name"), "from the start");
    session.run("DISCARD ALL");
    assert_eq!(setting(session, "TimeZone"), "Asia/Tokyo");
    proxy.stop();
}

#[test]
fn nothing_that_a_session_set_is_found_by_the_next_one() {
    let proxy = builder().top("default_pool_size = 1").start();
    let database = Database::create("state_next", "");
    for round in 0..3 {
        let mut session = login(&proxy, &database);
        assert_eq!(setting(&mut session, "work_mem"), "4MB", "round {round}");
        // PostgreSQL itself keeps a name that it has once heard, without a value.
        let own = session.value("SELECT coalesce(current_setting('my.own', true), '')");
        assert_eq!(own, "", "round {round}");
        assert_eq!(session.error("SELECT * FROM t"), "42P01", "round {round}");
        assert_eq!(session.error("EXECUTE p"), "26000", "round {round}");
        session.run("SET work_mem = '6MB'");
        session.run("SET my.own = 'value'");
        session.run("CREATE TEMP TABLE t AS SELECT 1 AS n");
        session.run("PREPARE p AS SELECT 1");
        session.leave();
    }
    proxy.stop();
}

#[test]
fn settings_of_the_extended_protocol_hold_on_both_servers() {
    let proxy = builder().start();
    let database = Database::create("state_extended", "");
    run_async(async {
        let options = format!("dbname={}", database.name);
        let (mut client, _) = client_with_messages(&proxy, &options).await;
        client.execute("SET work_mem = '7MB'", &[]).await.unwrap();
        let transaction = client.transaction().await.unwrap();
        transaction.execute("SET LOCAL work_mem = '8MB'", &[]).await.unwrap();
        let read = "SELECT inet_server_port(), current_setting('work_mem')";
        let row = transaction.query_one(read, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (i32::from(database.cluster.server(1).port()), "8MB"));
        transaction.rollback().await.unwrap();
        let row = client.query_one(read, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (i32::from(database.cluster.server(1).port()), "7MB"));
        let row = client.query_one(&format!("/*NO LOAD BALANCE*/ {read}"), &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (i32::from(database.cluster.primary().port()), "7MB"));
    });
    proxy.stop();
}

#[test]
fn what_a_function_sets_is_seen_by_later_reads() {
    let proxy = builder().start();
    let database = Database::create("state_set_config", "");
    let session = &mut login(&proxy, &database);
    session.run("SELECT set_config('work_mem', '7MB', false)");
    assert_eq!(session.value("SELECT current_setting('work_mem')"), "7MB");
    session.run("DISCARD ALL");
    assert_eq!(setting(session, "work_mem"), "4MB");
    session.run("SET work_mem = '6MB'; SET TIME ZONE 'Asia/Tokyo'");
    assert_eq!(session.value("SELECT current_setting('work_mem')"), "6MB");
    assert_eq!(session.value("SELECT current_setting('TimeZone')"), "Asia/Tokyo");
    proxy.stop();
}
