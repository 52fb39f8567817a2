//! The simple protocol.

use waypool_tests::conversation::{Conversation, talk};
use waypool_tests::wire;

/// The error is the server's, but for its place in the source, and for the name
/// of the server that said it.
const REFUSED: &str = "the server is asked before the client hears that its login is well";

pub fn list() -> Vec<Conversation> {
    [queries(), sessions(), notices()].concat()
}

fn queries() -> Vec<Conversation> {
    vec![
        talk("the login alone"),
        talk("empty queries").query("").query(";").query(" ;; ").query("-- nothing").query("/* */ ;"),
        talk("rows and no rows")
            .query("SELECT id, name, at FROM t WHERE id < 4 ORDER BY id")
            .query("SELECT FROM t WHERE id < 3")
            .query("SELECT * FROM t WHERE false")
            .query("TABLE moods"),
        talk("texts of several statements")
            .query("SELECT 1; SELECT 'two'; SELECT 3.0")
            .query("INSERT INTO c VALUES (1, 'a'); SELECT count(*) FROM c; DELETE FROM c WHERE n = 1")
            .query("SELECT 1;; ;SELECT 2;"),
        talk("an error in the middle of a text undoes what came before it")
            .query("INSERT INTO c VALUES (2, 'a'); SELECT 1 / 0; INSERT INTO c VALUES (3, 'b')")
            .query("SELECT count(*) FROM c WHERE n IN (2, 3)"),
        talk("a syntax error in a text stops all of it")
            .query("INSERT INTO c VALUES (4, 'a'); SELEC 1")
            .query("SELECT count(*) FROM c WHERE n = 4"),
        talk("a transaction within a text")
            .query("BEGIN; INSERT INTO c VALUES (5, 'a'); COMMIT; SELECT 1 / 0")
            .query("SELECT count(*) FROM c WHERE n = 5")
            .query("INSERT INTO c VALUES (6, 'a'); BEGIN; INSERT INTO c VALUES (7, 'a')")
            .query("ROLLBACK")
            .query("SELECT count(*) FROM c WHERE n IN (6, 7)"),
        talk("an error in the middle of the rows")
            .query("SELECT fail_at(id, 7) FROM t ORDER BY id")
            .query("SELECT 'goes on'"),
        talk("several queries on their way")
            .say(
                &[
                    "SELECT 1",
                    "SELEC 2",
                    "INSERT INTO c VALUES (8, 'a')",
                    "SELECT count(*) FROM c WHERE n = 8",
                ]
                .map(wire::query),
            )
            .ready(4),
        talk("errors with all their fields")
            .query("INSERT INTO c VALUES (100, 'a')")
            .query("INSERT INTO t VALUES (1, 'twice')")
            .query("INSERT INTO t VALUES (21, NULL)")
            .query("SELECT nothing FROM t")
            .query("SELECT * FROM nowhere")
            .query("SELECT foo(1)")
            .query("SELECT 'x'::int")
            .query("SELECT fail_at(1, 1)"),
        talk("statements with words of their own at the end")
            .query("CREATE TABLE made AS SELECT 1 AS n")
            .query("UPDATE made SET n = 2")
            .query("DELETE FROM made")
            .query("INSERT INTO made VALUES (1), (2) RETURNING n, n * 2 AS double")
            .query("MERGE INTO made USING (VALUES (1)) AS v (n) ON v.n = made.n WHEN MATCHED THEN DELETE")
            .query("TRUNCATE made")
            .query("DROP TABLE made")
            .query("EXPLAIN (COSTS off) SELECT * FROM t WHERE id = 1")
            .query("VACUUM c")
            .query("CALL commit_within()")
            .query("SELECT n, text FROM c WHERE n >= 50"),
        talk("cursors")
            .query("BEGIN")
            .query("DECLARE a CURSOR FOR SELECT id FROM t ORDER BY id")
            .query("FETCH 2 FROM a")
            .query("MOVE 3 IN a")
            .query("FETCH BACKWARD 2 FROM a; FETCH ALL FROM a")
            .query("CLOSE a")
            .query("FETCH 1 FROM a")
            .query("ROLLBACK"),
        talk("a cursor that outlives its transaction")
            .query("BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id; COMMIT")
            .query("FETCH 3 FROM held")
            .query("CLOSE held")
            .needs_session(),
        talk("a row of ten megabytes").query("SELECT repeat('0123456789', 1048576) AS long, 1 AS n"),
        talk("a query of a megabyte").query(&format!("SELECT length('{}')", "x".repeat(1 << 20))),
        talk("ten thousand rows").query("SELECT n, 'row ' || n FROM generate_series(1, 10000) AS n"),
    ]
}

fn sessions() -> Vec<Conversation> {
    vec![
        talk("settings")
            .query("SET application_name = 'another'")
            .query("SHOW application_name")
            .query("SET TimeZone = 'Europe/Vienna'")
            .query("SELECT at FROM t WHERE id = 1")
            .query("SET DateStyle = 'German'; SELECT at FROM t WHERE id = 1")
            .query("RESET ALL")
            .query("SHOW TimeZone")
            .query("SELECT set_config('work_mem', '5MB', false)")
            .query("SHOW work_mem")
            .query("SET nothing.of_ours = 'x'")
            .query("SHOW nothing.of_ours")
            .query("SET unheard_of = 1")
            .query("SET work_mem = 'much'"),
        talk("settings that end with their transaction")
            .query("BEGIN")
            .query("SET LOCAL TimeZone = 'Asia/Tokyo'")
            .query("SET application_name = 'undone'")
            .query("SELECT at FROM t WHERE id = 1")
            .query("ROLLBACK")
            .query("SHOW TimeZone")
            .query("SHOW application_name"),
        talk("another encoding")
            .query("SET client_encoding = 'LATIN1'")
            .query("SELECT U&'\\00e4\\00f6'")
            .query("SELECT U&'\\20ac'")
            .query("RESET client_encoding"),
        talk("startup parameters")
            .needs_session()
            .with("application_name", "from the start")
            .with("options", "-c work_mem=7MB -c TimeZone=Asia/Tokyo")
            .with("DateStyle", "SQL, DMY")
            .query("SHOW work_mem")
            .query("SHOW application_name")
            .query("SELECT at FROM t WHERE id = 1")
            .query("RESET work_mem; SHOW work_mem"),
        talk("an unknown startup parameter").with("unheard_of", "1").differs(REFUSED),
        talk("a bad startup parameter").with("work_mem", "much").differs(REFUSED),
        talk("PREPARE, EXECUTE and DEALLOCATE")
            .query("PREPARE a (int) AS SELECT name FROM t WHERE id = $1")
            .query("EXECUTE a(3)")
            .query("EXECUTE a('x')")
            .query("EXECUTE a")
            .query("PREPARE a AS SELECT 1")
            .query("DEALLOCATE a")
            .query("EXECUTE a(3)")
            .query("DEALLOCATE a")
            .query("PREPARE b AS SELECT 1; PREPARE c AS SELECT 2")
            .query("DEALLOCATE ALL")
            .query("EXECUTE b"),
        talk("DISCARD and RESET")
            .query("PREPARE d AS SELECT 1")
            .query("SET work_mem = '9MB'")
            .query("CREATE TEMP TABLE gone (n int)")
            .query("DISCARD ALL")
            .query("EXECUTE d")
            .query("SHOW work_mem")
            .query("SELECT * FROM gone")
            .query("BEGIN; DISCARD ALL")
            .query("ROLLBACK"),
        talk("temporary tables")
            .query("CREATE TEMP TABLE mine (n int) ON COMMIT PRESERVE ROWS")
            .query("INSERT INTO mine VALUES (1), (2)")
            .query("SELECT * FROM mine")
            .query("DROP TABLE mine")
            .query("SELECT * FROM mine")
            .needs_session(),
        talk("advisory locks")
            .query("SELECT pg_advisory_lock(4711)")
            .query("SELECT pg_advisory_unlock(4711)")
            .query("SELECT pg_advisory_unlock(4711)")
            .needs_session(),
        talk("LISTEN and NOTIFY")
            .query("LISTEN here")
            .query("NOTIFY here, 'hello'")
            .query("BEGIN; NOTIFY here, 'one'; NOTIFY here, 'two'; NOTIFY here, 'one'; COMMIT")
            .query("UNLISTEN *")
            .query("NOTIFY here, 'nobody'")
            .needs_session(),
        talk("a role for a while")
            .query("SET ROLE pg_monitor")
            .query("SELECT current_user, session_user")
            .query("INSERT INTO c VALUES (1, 'not allowed')")
            .query("RESET ROLE")
            .query("SELECT current_user"),
    ]
}

fn notices() -> Vec<Conversation> {
    vec![
        talk("notices with all their fields").query("SELECT notify_me('one'), notify_me('two')"),
        talk("notices of a read").query("SELECT tell_me(name) FROM t WHERE id < 4 ORDER BY id"),
        talk("notices by the setting")
            .query("SET client_min_messages = error")
            .query("SELECT notify_me('silence')")
            .query("SET client_min_messages = debug1")
            .query("SELECT tell_me('a read')")
            .query("CREATE TABLE told (n int PRIMARY KEY); DROP TABLE told")
            .query("RESET client_min_messages"),
        talk("notices of statements that do nothing")
            .query("COMMIT")
            .query("ROLLBACK")
            .query("DROP TABLE IF EXISTS nowhere")
            .query("BEGIN")
            .query("BEGIN")
            .query("COMMIT")
            .query("SET LOCAL work_mem = '5MB'")
            .query("CREATE TABLE IF NOT EXISTS t ()"),
    ]
}
