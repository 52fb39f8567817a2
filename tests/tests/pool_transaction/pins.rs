//! What cannot be shared keeps its client on its connection, as long as it is there.

use super::one_connection;
use waypool_tests::raw::{Raw, sqlstate};
use waypool_tests::{Database, wire};

/// Whether another client gets the only connection.
fn is_free(other: &mut Raw) -> bool {
    sqlstate(&other.query("SELECT 1")).is_none()
}

#[track_caller]
fn pins(name: &'static str, made_by: &[&str], ended_by: &str) {
    let database = Database::create(name, "CREATE TABLE t (n int); CREATE SEQUENCE s");
    let proxy = one_connection().start();
    let parameters = [("database", database.name)];
    let (mut one, mut two) = (Raw::login_with(&proxy, &parameters), Raw::login_with(&proxy, &parameters));
    assert!(is_free(&mut two));
    for statement in made_by {
        one.run(statement);
    }
    assert!(!is_free(&mut two), "{made_by:?}");
    one.run("SELECT 1");
    assert!(!is_free(&mut two), "{made_by:?}, and a read");
    one.run(ended_by);
    assert!(is_free(&mut two), "{ended_by}");
    assert!(is_free(&mut one));
    proxy.stop();
}

#[test]
fn temporary_tables() {
    pins("pool_pins_0", &["CREATE TEMP TABLE x (n int)", "INSERT INTO x VALUES (1)"], "DROP TABLE x");
}

#[test]
fn temporary_tables_of_a_query() {
    pins("pool_pins_1", &["SELECT 1 AS n INTO TEMP x"], "DISCARD TEMP");
}

#[test]
fn temporary_tables_that_a_function_makes() {
    pins("pool_pins_2", &["DO $$ BEGIN CREATE TEMP TABLE x (n int); END $$"], "DISCARD ALL");
}

#[test]
fn cursors_with_hold() {
    pins(
        "pool_pins_3",
        &["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "COMMIT", "FETCH c"],
        "CLOSE c",
    );
}

#[test]
fn session_advisory_locks() {
    pins(
        "pool_pins_4",
        &["SELECT pg_advisory_lock(1), pg_advisory_lock(1)"],
        "SELECT pg_advisory_unlock_all()",
    );
}

#[test]
fn what_ends_with_its_transaction_pins_nobody() {
    let proxy = one_connection().start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    one.run("BEGIN");
    one.run("CREATE TEMP TABLE x (n int) ON COMMIT DROP");
    one.run("SELECT pg_advisory_xact_lock(1)");
    one.run("DECLARE c CURSOR FOR SELECT 1");
    one.run("COMMIT");
    assert!(is_free(&mut two));
    one.run("BEGIN");
    one.run("CREATE TEMP TABLE x (n int)");
    one.run("SELECT pg_advisory_lock(1)");
    one.run("SELECT pg_advisory_unlock(1)");
    one.run("ROLLBACK");
    assert!(is_free(&mut two));
    proxy.stop();
}

#[test]
fn a_pinned_client_that_leaves_cleans_up() {
    let proxy = one_connection().start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    one.run("CREATE TEMP TABLE x (n int)");
    one.run("SELECT pg_advisory_lock(1)");
    one.leave();
    assert_eq!(two.error("SELECT * FROM x"), "42P01");
    assert_eq!(two.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    proxy.stop();
}

#[test]
fn without_pinning_it_is_refused() {
    let setup = "CREATE FUNCTION leaves() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_lock(3)'";
    let database = Database::create("pool_no_pins", setup);
    let proxy = one_connection().top("pinning = false").start();
    let parameters = [("database", database.name)];
    let (mut one, mut two) = (Raw::login_with(&proxy, &parameters), Raw::login_with(&proxy, &parameters));
    let refused = [
        "CREATE TEMP TABLE x (n int)",
        "SELECT 1 INTO TEMP x",
        "SELECT pg_advisory_lock(1)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    ];
    for statement in refused {
        let answer = one.query(statement);
        assert_eq!(sqlstate(&answer).as_deref(), Some("0A000"), "{statement}");
        assert!(answer[0].field(b'H').unwrap().contains("pool_mode"), "{statement}");
        assert!(is_free(&mut two));
    }
    one.run("SELECT set_config('work_mem', '5MB', false)");
    // What nobody could foresee is lost with the connection, and told in the log.
    one.run("SELECT leaves()");
    assert_eq!(two.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    proxy.wait_for_log("pinning = false");
    proxy.stop();
}

#[test]
fn currval_works_where_it_can_be_right() {
    let database = Database::create("pool_currval", "CREATE TABLE t (n serial)");
    let proxy = one_connection().start();
    let parameters = [("database", database.name)];
    let (mut one, mut two) = (Raw::login_with(&proxy, &parameters), Raw::login_with(&proxy, &parameters));
    one.run("INSERT INTO t DEFAULT VALUES");
    for of_somebody in ["SELECT lastval()", "SELECT currval('t_n_seq')"] {
        let answer = two.query(of_somebody);
        assert_eq!(sqlstate(&answer).as_deref(), Some("55000"));
        assert!(answer[0].field(b'H').unwrap().contains("RETURNING"));
    }
    one.run("BEGIN");
    one.run("INSERT INTO t DEFAULT VALUES");
    assert_eq!(one.value("SELECT currval('t_n_seq')"), "2");
    one.run("COMMIT");
    one.send(&wire::query("SELECT 1"));
    assert_eq!(sqlstate(&one.wire.until_ready()), None);
    proxy.stop();
}
