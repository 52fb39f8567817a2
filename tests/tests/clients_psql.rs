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

#[test]
fn answers_become_variables() {
    let proxy = proxy();
    let script = "
        SELECT 41 AS n, 'it''s' AS s \\gset
        SELECT :n + 1, :'s';
        SELECT 'SELECT ' || n FROM generate_series(1, 3) AS n \\gexec
        \\set n 7
        SELECT :n \\g
    ";
    assert_eq!(psql_in(&proxy, "postgres", script), "42|it's\n1\n2\n3\n7");
    proxy.stop();
}

#[test]
fn a_query_is_watched_until_it_fails() {
    let proxy = proxy();
    let database = Database::create("psql_watch", "CREATE SEQUENCE s");
    let mut psql = program(&proxy, "psql");
    psql.args(["-XAtq", "-d", database.name, "-f", "-"]);
    let text = "SELECT 12 / (4 - nextval('s')) \\watch 0.01\nSELECT 'goes on'";
    let watched = run(&mut psql, text);
    assert!(watched.stderr.contains("division by zero"), "{watched}");
    let answers: Vec<&str> = watched.stdout.lines().filter(|line| !line.is_empty()).collect();
    assert!(answers.ends_with(&["4", "6", "12", "goes on"]), "{watched}");
    proxy.stop();
}

#[test]
fn psql_hears_its_own_notification() {
    let proxy = proxy();
    let heard = psql_in(&proxy, "postgres", "LISTEN news;\nNOTIFY news, 'hello';\nUNLISTEN news;\n");
    assert!(heard.contains("Asynchronous notification \"news\" with payload \"hello\" received"), "{heard}");
    proxy.stop();
}

#[test]
fn psql_describes_objects() {
    let proxy = proxy();
    let database = Database::create(
        "psql_describe",
        "CREATE TABLE parent (id int PRIMARY KEY, note text DEFAULT 'x');
         CREATE TABLE child (id int REFERENCES parent, CHECK (id > 0));
         CREATE VIEW seen AS SELECT * FROM parent;
         CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1';",
    );
    let script = "\\d parent\n\\d+ child\n\\dt\n\\dv\n\\df twice\n\\dn\n\\du\n\\sf twice\n";
    let describe = |port: u16| {
        let mut psql = program(&proxy, "psql");
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-d", database.name, "-f", "-"]);
        run(psql.env("PGPORT", port.to_string()), script).ok()
    };
    let described = describe(proxy.port());
    assert_eq!(described, describe(database.cluster.primary().port()));
    assert!(described.contains("child_id_fkey"), "{described}");
    proxy.stop();
}

#[test]
fn errors_look_as_they_do_without_a_proxy() {
    let proxy = proxy();
    let database = Database::create("psql_errors", "CREATE TABLE t (n int PRIMARY KEY)");
    let complaint = |port: u16, sql: &str| {
        let mut psql = program(&proxy, "psql");
        psql.env("PGPORT", port.to_string());
        psql.args(["-XAtq", "-v", "VERBOSITY=verbose", "-d", database.name, "-c", sql]);
        run(&mut psql, "").error()
    };
    let mistakes = [
        "SELCT 1",
        "SELECT * FROM missing",
        "SELECT nothing FROM t",
        "INSERT INTO t VALUES (1), (1)",
        "SELECT 1; SELECT 1 / 0; SELECT 2",
        "SELECT 'unterminated",
        "DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = 'P4242', HINT = 'a hint', DETAIL = 'a detail'; END $$",
    ];
    for sql in mistakes {
        let direct = complaint(database.cluster.primary().port(), sql);
        assert_eq!(complaint(proxy.port(), sql), direct, "{sql}");
    }
    proxy.stop();
}

#[test]
fn libpq_takes_the_proxy_for_a_primary() {
    let proxy = proxy();
    for (wanted, found) in
        [("read-write", true), ("primary", true), ("prefer-standby", true), ("standby", false)]
    {
        let mut psql = program(&proxy, "psql");
        psql.env("PGTARGETSESSIONATTRS", wanted).args(["-XAtc", "SELECT 'fine'"]);
        assert_eq!(run(&mut psql, "").success(), found, "{wanted}");
    }
    proxy.stop();
}

#[test]
fn a_database_that_was_used_can_be_dropped() {
    let proxy = proxy();
    for round in ["first", "second"] {
        for command in [&["createdb", "psql_dropped"][..], &["psql", "-XAtc", "SELECT 1", "psql_dropped"]] {
            let mut command_line = program(&proxy, command[0]);
            let finished = run(command_line.args(&command[1..]), "");
            assert!(finished.success(), "{round}: {finished}");
        }
        psql_in(&proxy, "psql_dropped", "CREATE TABLE t AS SELECT 1 AS n; SELECT n FROM t");
        let finished = run(program(&proxy, "dropdb").arg("psql_dropped"), "");
        assert!(finished.success(), "{round}: {finished}");
    }
    proxy.stop();
}
