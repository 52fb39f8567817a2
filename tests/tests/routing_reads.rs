//! Reads see what their session has done, wherever reads go.
#![allow(clippy::unwrap_used)]

use waypool_tests::raw::{self, Raw, tags};
use waypool_tests::wire;
use waypool_tests::{Database, Proxy, client_with_messages, primary_and_standby, run_async};

fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start()
}

fn login(proxy: &Proxy, database: &Database) -> Raw {
    Raw::login_with(proxy, &[("database", database.name)])
}

const TABLE: &str = "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1)";

#[test]
fn a_transaction_reads_its_own_writes() {
    let proxy = proxy();
    let setup =
        format!("{TABLE}; CREATE FUNCTION add(int) RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES ($1)'");
    let database = Database::create("reads_own_writes", &setup);
    let session = &mut login(&proxy, &database);
    for write in [
        "INSERT INTO t VALUES (2)",
        "SELECT add(2)",
        "WITH new AS (INSERT INTO t VALUES (2) RETURNING n) SELECT * FROM new",
        "DO 'BEGIN INSERT INTO t VALUES (2); END'",
        "UPDATE t SET n = 1; INSERT INTO t VALUES (2)",
        "PREPARE w AS INSERT INTO t VALUES (2); EXECUTE w; DEALLOCATE w",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (2)",
        "CREATE TABLE u AS SELECT 1; INSERT INTO t VALUES (2)",
    ] {
        session.run("BEGIN");
        assert_eq!(session.value("SELECT count(*) FROM t"), "1", "before {write}");
        session.run(write);
        assert_eq!(session.value("SELECT count(*) FROM t"), "2", "after {write}");
        session.run("SAVEPOINT s");
        session.run("DELETE FROM t");
        assert_eq!(session.value("SELECT count(*) FROM t"), "0", "after {write}");
        session.run("ROLLBACK TO s");
        assert_eq!(session.value("SELECT count(*) FROM t"), "2", "after {write}");
        session.run("ROLLBACK");
        assert_eq!(session.value("SELECT count(*) FROM t"), "1", "after {write}");
    }
    proxy.stop();
}

#[test]
fn a_temporary_table_is_read_where_it_is() {
    let proxy = proxy();
    let database = Database::create("reads_temporary", TABLE);
    let session = &mut login(&proxy, &database);
    session.run("SELECT count(*) FROM t");
    session.run("CREATE TEMP TABLE own AS SELECT generate_series(1, 3) AS n");
    assert_eq!(session.value("SELECT count(*) FROM own"), "3");
    assert_eq!(session.value("SELECT count(*) FROM t JOIN own USING (n)"), "1");
    // It hides the permanent one of its name until it is dropped.
    session.run("CREATE TEMP TABLE t (n int)");
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
    session.run("DROP TABLE t");
    assert_eq!(session.value("SELECT count(*) FROM t"), "1");
    session.run("SELECT n * 2 AS n INTO TEMP doubled FROM own");
    assert_eq!(session.value("SELECT sum(n) FROM doubled"), "12");
    session.run("CREATE TEMP VIEW seen AS SELECT * FROM own");
    assert_eq!(session.value("SELECT count(*) FROM seen"), "3");
    session.run("DISCARD TEMP");
    assert_eq!(session.error("SELECT count(*) FROM own"), "42P01");
    // Another session's temporary table is nobody's business.
    let other = &mut login(&proxy, &database);
    session.run("CREATE TEMP TABLE t (n int)");
    assert_eq!(other.value("SELECT count(*) FROM t"), "1");
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
    proxy.stop();
}

#[test]
fn a_transaction_that_failed_refuses_reads_until_it_ends() {
    let proxy = proxy();
    let database = Database::create("reads_failed", TABLE);
    let session = &mut login(&proxy, &database);
    let on_standby = ["SELECT 1 / 0", "SELECT * FROM missing"];
    let on_primary = ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (5), (1)", "LOCK TABLE missing"];
    for mistake in on_standby.into_iter().chain(on_primary) {
        session.run("BEGIN");
        session.run("SELECT count(*) FROM t");
        session.error(mistake);
        for refused in ["SELECT 1", "INSERT INTO t VALUES (2)", "SHOW work_mem", "SAVEPOINT s", "nonsense"] {
            let sqlstate = session.error(refused);
            let expected = if refused == "nonsense" { "42601" } else { "25P02" };
            assert_eq!(sqlstate, expected, "{refused} after {mistake}");
        }
        session.run("ROLLBACK");
        assert_eq!(session.value("SELECT count(*) FROM t"), "1", "after {mistake}");
    }
    proxy.stop();
}

#[test]
fn a_savepoint_saves_a_transaction_that_failed_on_either_server() {
    let proxy = proxy();
    let database = Database::create("reads_savepoint", TABLE);
    let session = &mut login(&proxy, &database);
    session.run("BEGIN");
    session.run("SAVEPOINT a");
    assert_eq!(session.error("SELECT 1 / 0"), "22012");
    session.run("ROLLBACK TO a");
    assert_eq!(session.value("SELECT count(*) FROM t"), "1");
    session.run("INSERT INTO t VALUES (2)");
    session.run("SAVEPOINT b");
    assert_eq!(session.error("INSERT INTO t VALUES (2)"), "23505");
    session.run("ROLLBACK TO b");
    assert_eq!(session.value("SELECT count(*) FROM t"), "2");
    session.run("RELEASE b");
    session.run("ROLLBACK TO a");
    assert_eq!(session.value("SELECT count(*) FROM t"), "1");
    session.run("COMMIT");
    assert_eq!(session.error("ROLLBACK TO a"), "25P01");
    proxy.stop();
}

#[test]
fn a_repeatable_read_transaction_has_one_snapshot() {
    let proxy = proxy();
    let database = Database::create("reads_snapshot", TABLE);
    for _ in 0..20 {
        let mut session = login(&proxy, &database);
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        let before = session.value("SELECT count(*) FROM t");
        database.change("INSERT INTO t SELECT max(n) + 1 FROM t");
        assert_eq!(session.value("SELECT count(*) FROM t"), before);
        session.run("COMMIT");
        session.leave();
    }
    proxy.stop();
}

#[test]
fn a_statement_prepared_for_the_standby_runs_on_the_primary() {
    let proxy = proxy();
    let database = Database::create("reads_prepared", TABLE);
    run_async(async {
        let options = format!("dbname={}", database.name);
        let (mut client, _) = client_with_messages(&proxy, &options).await;
        let read = client.prepare("SELECT count(*), inet_server_port() FROM t WHERE n < $1").await.unwrap();
        let (primary, standby) = (database.cluster.primary().port(), database.cluster.server(1).port());
        for _ in 0..3 {
            let row = client.query_one(&read, &[&100]).await.unwrap();
            assert_eq!((row.get(0), row.get(1)), (1_i64, i32::from(standby)));
            let transaction = client.transaction().await.unwrap();
            let row = transaction.query_one(&read, &[&100]).await.unwrap();
            assert_eq!((row.get(0), row.get(1)), (1_i64, i32::from(standby)));
            transaction.execute("INSERT INTO t VALUES (2)", &[]).await.unwrap();
            let row = transaction.query_one(&read, &[&100]).await.unwrap();
            assert_eq!((row.get(0), row.get(1)), (2_i64, i32::from(primary)));
            transaction.rollback().await.unwrap();
        }
    });
    proxy.stop();
}

#[test]
fn a_statement_prepared_by_sql_runs_wherever_it_has_to() {
    let proxy = proxy();
    let database = Database::create("reads_sql_prepared", TABLE);
    let (primary, standby) = (database.cluster.primary().port(), database.cluster.server(1).port());
    let session = &mut login(&proxy, &database);
    session.run("PREPARE port AS SELECT inet_server_port() FROM t WHERE n >= $1 LIMIT 1");
    session.run("PREPARE counted AS SELECT count(*) FROM t");
    session.run("PREPARE \"Add It\" (int) AS INSERT INTO t VALUES ($1)");
    assert_eq!(session.value("EXECUTE port(1)"), standby.to_string());
    session.run("BEGIN");
    session.run("EXECUTE \"Add It\"(2)");
    assert_eq!(session.value("EXECUTE counted"), "2");
    assert_eq!(session.value("EXECUTE port(2)"), primary.to_string());
    session.run("ROLLBACK");
    assert_eq!(session.value("EXECUTE counted"), "1");
    assert_eq!(session.value("EXECUTE port(1)"), standby.to_string());
    session.run("CREATE TEMP TABLE made AS EXECUTE counted");
    assert_eq!(session.value("SELECT count FROM made"), "1");
    session.run("DEALLOCATE port");
    assert_eq!(session.error("EXECUTE port(1)"), "26000");
    session.run("PREPARE port AS SELECT 'another'");
    assert_eq!(session.value("EXECUTE port"), "another");
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (3)");
    assert_eq!(session.value("EXECUTE port"), "another");
    session.run("ROLLBACK");
    session.run("DEALLOCATE ALL");
    assert_eq!(session.error("EXECUTE counted"), "26000");
    proxy.stop();
}

#[test]
fn cursors_stay_where_they_were_opened() {
    let proxy = proxy();
    let database = Database::create("reads_cursor", "CREATE TABLE t AS SELECT generate_series(1, 9) AS n");
    let session = &mut login(&proxy, &database);
    session.run("BEGIN");
    session.run("DECLARE c CURSOR FOR SELECT n FROM t ORDER BY n");
    assert_eq!(session.value("FETCH 1 FROM c"), "1");
    assert_eq!(session.value("SELECT count(*) FROM t"), "9");
    session.run("DELETE FROM t");
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
    assert_eq!(session.value("FETCH 1 FROM c"), "2");
    session.run("COMMIT");
    session.run("DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(10, 12)");
    assert_eq!(session.value("FETCH 1 FROM h"), "10");
    assert_eq!(session.value("SELECT 1"), "1");
    assert_eq!(session.value("FETCH 1 FROM h"), "11");
    session.run("CLOSE h");
    assert_eq!(session.error("FETCH 1 FROM h"), "34000");
    proxy.stop();
}

#[test]
fn a_function_counts_as_what_the_catalog_says_now() {
    let proxy = proxy();
    let setup = "CREATE FUNCTION f() RETURNS int STABLE LANGUAGE sql AS 'SELECT inet_server_port()'";
    let database = Database::create("reads_functions", setup);
    let (primary, standby) = (database.cluster.primary().port(), database.cluster.server(1).port());
    let session = &mut login(&proxy, &database);
    assert_eq!(session.value("SELECT f()"), standby.to_string());
    session.run("ALTER FUNCTION f() VOLATILE");
    assert_eq!(session.value("SELECT f()"), primary.to_string());
    session.run("ALTER FUNCTION f() STABLE");
    assert_eq!(session.value("SELECT f()"), standby.to_string());
    session.run("CREATE UNLOGGED TABLE u AS SELECT 1 AS n");
    assert_eq!(session.value("SELECT n FROM u"), "1");
    proxy.stop();
}

#[test]
fn what_a_batch_reads_behind_its_begin_is_read_from_the_standby() {
    let proxy = proxy();
    let database = Database::create("reads_begin_batch", TABLE);
    let session = &mut login(&proxy, &database);
    let step = |sql: &str| [wire::parse("", sql), wire::bind("", "", &[]), wire::execute("", 0)].concat();
    let standby = primary_and_standby().server(1).port().to_string();
    let port = "SELECT inet_server_port() FROM t LIMIT 1";
    for end in ["COMMIT", "ROLLBACK"] {
        // As drivers do: BEGIN goes with the first statement.
        session.send(&[step("BEGIN"), step("SET LOCAL work_mem = '1MB'"), step(port), wire::sync()].concat());
        assert_eq!(tags(&session.wire.until_ready()), "12C12C12DCZ");
        session.run(end);
        session.send(&[step("BEGIN"), step(port), step(port), wire::sync()].concat());
        let answer = session.wire.until_ready();
        assert_eq!(tags(&answer), "12C12DC12DCZ");
        assert_eq!(raw::value(&answer), Some(standby.clone()), "{end}");
        session.run("INSERT INTO t VALUES (2)");
        assert_eq!(session.value("SELECT count(*) FROM t"), "2");
        session.run(end);
        session.run("DELETE FROM t WHERE n = 2");
        // A write behind BEGIN goes with it, and errors skip to the Sync.
        session.send(&[step("BEGIN"), step("SELECT 1/0"), step(port), wire::sync()].concat());
        assert_eq!(tags(&session.wire.until_ready()), "12C1EZ");
        session.run("ROLLBACK");
        session.send(&[step("BEGIN"), step("INSERT INTO t VALUES (2)"), step(port), wire::sync()].concat());
        assert_eq!(tags(&session.wire.until_ready()), "12C12C12DCZ");
        session.run("ROLLBACK");
    }
    proxy.stop();
}
