//! psql through the proxy: what people type and what scripts do.
#![allow(clippy::unwrap_used)]

use waypool_tests::{Database, Proxy, program, psql_error, psql_in, run};

fn proxy() -> Proxy {
    Proxy::builder(waypool_tests::primary_and_standby()).start()
}

#[test]
fn a_script_of_several_statements_runs_in_one_session() {
    let proxy = proxy();
    let database = Database::create("psql_script", "");
    let script = "
        CREATE TABLE t (n int);
        INSERT INTO t SELECT generate_series(1, 10);
        BEGIN;
        UPDATE t SET n = n + 1;
        SELECT sum(n) FROM t;
        COMMIT;
        BEGIN;
        DELETE FROM t;
        SELECT count(*) FROM t;
        ROLLBACK;
        BEGIN;
        SELECT sum(n) FROM t;
        END;
    ";
    let file = proxy.folder().join("script.sql");
    std::fs::write(&file, script).unwrap();
    let mut psql = program(&proxy, "psql");
    psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database.name, "-f"]).arg(&file);
    assert_eq!(run(&mut psql, "").ok(), "65\n0\n65\n");
    proxy.stop();
}

#[test]
fn statements_of_one_message_are_answered_together() {
    let proxy = proxy();
    let database = Database::create("psql_multiple", "");
    let mut psql = program(&proxy, "psql");
    let text = "CREATE TABLE t AS SELECT 1 AS n; SELECT 'a'; SELECT n + 1 FROM t";
    psql.args(["-XAt", "-d", database.name, "-c", text]);
    assert_eq!(run(&mut psql, "").ok(), "SELECT 1\na\n2\n");
    proxy.stop();
}

#[test]
fn copy_takes_rows_in_and_gives_them_out() {
    let proxy = proxy();
    let database = Database::create("psql_copy", "CREATE TABLE t (n int, s text)");
    let rows: String = (0..20_000).map(|n| format!("{n}\trow number {n}\n")).collect();
    std::fs::write(proxy.folder().join("in.txt"), &rows).unwrap();
    let script =
        "\\copy t from 'in.txt'\nBEGIN;\n\\copy (SELECT * FROM t ORDER BY n) to 'out.txt'\nCOMMIT;\n";
    psql_in(&proxy, database.name, script);
    let out = std::fs::read_to_string(proxy.folder().join("out.txt")).unwrap();
    assert!(out == rows, "the rows came back changed");
    let failed = psql_error(&proxy, database.name, "COPY t FROM STDIN;\n1\tone\nx\tx\n\\.\n");
    assert!(failed.contains("22P02"), "{failed}");
    assert_eq!(database.ask(0, "SELECT count(*) FROM t"), "20000");
    proxy.stop();
}
