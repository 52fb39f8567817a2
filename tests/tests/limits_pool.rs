//! Server connections: how many there are, who waits for them, which are lent again.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use waypool_tests::raw::{Login, Raw, wait_true};
use waypool_tests::{Builder, Database, Proxy, primary_and_standby};

fn builder() -> Builder {
    // All on the primary, so that one pid is all there is to know.
    Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0])
}

/// A newcomer that has to wait for a server connection, behind those before it.
fn queue_up(proxy: &Proxy, witness: &mut Raw, parameters: &[(&str, &str)]) -> Login {
    let login = Raw::begin_login(proxy, parameters);
    // One thread serves all clients. After some round trips of another session
    // it has heard the newcomer too, which is in the queue by then.
    for _ in 0..5 {
        witness.run("SHOW pool_version");
    }
    login
}

// === who waits ===

#[test]
fn clients_wait_for_a_connection_and_get_it_in_the_order_they_came() {
    let proxy = builder().top("default_pool_size = 1\nworker_threads = 1").start();
    let mut holder = Raw::login(&proxy);
    let pid = holder.backend_pid();
    let mut waiting: Vec<Login> = (0..6).map(|_| queue_up(&proxy, &mut holder, &[])).collect();
    // Sooner or later, one of those who wait gives up.
    drop(waiting.remove(3));
    for login in waiting {
        holder.leave();
        let mut next = login.finish().unwrap();
        assert_eq!(next.backend_pid(), pid);
        holder = next;
    }
}

#[test]
fn only_the_first_who_waits_is_served() {
    let proxy = builder().top("default_pool_size = 2\nworker_threads = 1").start();
    let (mut one, two) = (Raw::login(&proxy), Raw::login(&proxy));
    let first = queue_up(&proxy, &mut one, &[]);
    let second = queue_up(&proxy, &mut one, &[]);
    two.leave();
    let first = first.finish().unwrap();
    for _ in 0..5 {
        one.run("SHOW pool_version");
    }
    assert!(!second.has_answer(), "it has been served though both connections are in use");
    first.leave();
    assert_eq!(second.finish().unwrap().value("SELECT 1"), "1");
}

#[test]
fn who_waits_for_too_long_is_sent_away_with_a_hint() {
    let proxy = builder().top("default_pool_size = 1\nquery_wait_timeout = \"1s\"").start();
    let mut holder = Raw::login(&proxy);
    let began = Instant::now();
    let error = Raw::try_login(&proxy, &[]).unwrap_err();
    assert!(began.elapsed() >= Duration::from_millis(900));
    assert_eq!(error.field(b'C').as_deref(), Some("53300"));
    let hint = error.field(b'H').unwrap();
    assert!(hint.contains("default_pool_size") && hint.contains("query_wait_timeout"), "{hint}");
    // Others have connections of their own.
    assert_eq!(Raw::login_with(&proxy, &[("database", "template1")]).value("SELECT 1"), "1");
    assert_eq!(holder.value("SELECT 1"), "1");
    holder.leave();
    assert_eq!(Raw::login(&proxy).value("SELECT 1"), "1");
}

#[test]
fn a_server_has_no_more_connections_than_it_may() {
    let proxy = builder().backend(0, "max_connections = 2").top("query_wait_timeout = \"1s\"").start();
    let one = Raw::login(&proxy);
    let two = Raw::login_with(&proxy, &[("database", "template1")]);
    let error = Raw::try_login(&proxy, &[("application_name", "third")]).unwrap_err();
    assert_eq!(error.field(b'C').as_deref(), Some("53300"));
    one.leave();
    two.leave();
    // Kept connections of others make room.
    for database in ["postgres", "template1", "postgres"] {
        let parameters = [("database", database), ("application_name", "third")];
        assert_eq!(Raw::login_with(&proxy, &parameters).value("SELECT 1"), "1");
    }
}

#[test]
fn a_kept_connection_of_another_application_makes_room() {
    let proxy = builder().top("default_pool_size = 1").start();
    let mut one = Raw::login_with(&proxy, &[("application_name", "one")]);
    let pid = one.backend_pid();
    one.leave();
    let mut two = Raw::login_with(&proxy, &[("application_name", "two")]);
    assert_ne!(two.backend_pid(), pid);
    assert_eq!(two.value("SHOW application_name"), "two");
}

#[test]
fn the_pools_limits_follow_a_reload() {
    let proxy = builder().top("default_pool_size = 1\nquery_wait_timeout = \"1s\"").start();
    let _one = Raw::login(&proxy);
    assert!(Raw::try_login(&proxy, &[]).is_err());
    proxy.reconfigure(|builder| builder.top("default_pool_size = 2"));
    let _two = Raw::login(&proxy);
    assert!(Raw::try_login(&proxy, &[]).is_err());
}

#[test]
fn who_waits_already_profits_from_a_reload() {
    let proxy = builder().top("default_pool_size = 1\nworker_threads = 1").start();
    let mut one = Raw::login(&proxy);
    let waiting = queue_up(&proxy, &mut one, &[]);
    proxy.reconfigure(|builder| builder.top("default_pool_size = 2"));
    assert_eq!(waiting.finish().unwrap().value("SELECT 1"), "1");
}

// === what is lent again ===

#[test]
fn a_connection_is_lent_to_the_next_session_of_its_kind_only() {
    primary_and_standby().primary().psql("CREATE ROLE other_role LOGIN").unwrap();
    // With one connection for each user and database, the next session waits
    // until the one before has given it back.
    let proxy = builder().top("default_pool_size = 1").start();
    let pid_of = |parameters: &[(&str, &str)]| {
        let mut session = Raw::login_with(&proxy, parameters);
        let pid = session.backend_pid();
        session.leave();
        pid
    };
    let first = pid_of(&[]);
    assert_eq!(pid_of(&[]), first);
    assert_ne!(pid_of(&[("user", "other_role")]), first);
    assert_ne!(pid_of(&[("database", "template1")]), first);
    assert_eq!(pid_of(&[]), first);
    let mut last = first;
    for other in
        [("application_name", "another"), ("application_name", "third"), ("options", "-c work_mem=1MB")]
    {
        let pid = pid_of(&[other]);
        assert_ne!(pid, last, "{other:?}");
        assert_eq!(pid_of(&[other]), pid, "{other:?}");
        last = pid;
    }
}

#[test]
fn a_connection_is_clean_when_it_is_lent_again() {
    let proxy = builder().top("default_pool_size = 1").start();
    let database = Database::create("limits_clean", "CREATE TABLE t (n int)");
    let login = || Raw::login_with(&proxy, &[("database", database.name)]);
    let mut session = login();
    let pid = session.backend_pid();
    for leave_behind in [
        "SET work_mem = '7MB'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "CREATE TEMP TABLE t AS SELECT 1 AS temp",
        "PREPARE p AS SELECT 1",
        "LISTEN left_behind",
        "SELECT pg_advisory_lock(201)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SET ROLE pg_monitor",
        "BEGIN; INSERT INTO public.t VALUES (1)",
        "BEGIN; SELECT 1 / 0",
    ] {
        session.query(leave_behind);
        session.leave();
        session = login();
        assert_eq!(session.backend_pid(), pid, "{leave_behind}");
        let state = "SELECT concat_ws(' ', current_setting('work_mem'), current_setting('transaction_read_only'), \
            current_user, to_regclass('pg_temp.t'), (SELECT count(*) FROM pg_prepared_statements), \
            (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_cursors), \
            (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), (SELECT count(*) FROM public.t))";
        assert_eq!(session.value(state), "4MB off postgres 0 0 0 0 0", "{leave_behind}");
    }
}

#[test]
fn a_connection_that_died_while_it_was_kept_is_not_lent() {
    let proxy = builder().start();
    let primary = primary_and_standby().primary();
    for _ in 0..5 {
        let mut session = Raw::login_with(&proxy, &[("application_name", "kept_and_dead")]);
        let pid = session.backend_pid();
        session.leave();
        let kept = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'kept_and_dead' AND query = 'DISCARD ALL'";
        wait_true(primary, "the connection is kept", kept);
        primary.psql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'kept_and_dead'").unwrap();
        let mut next = Raw::login_with(&proxy, &[("application_name", "kept_and_dead")]);
        assert_ne!(next.backend_pid(), pid);
        next.leave();
    }
}

#[test]
fn kept_connections_are_closed_at_the_end_of_their_life_time() {
    let proxy = builder().top("connection_life_time = \"1s\"\nsr_check_period = \"1s\"").start();
    let primary = primary_and_standby().primary();
    let mut used = Raw::login_with(&proxy, &[("application_name", "short_life_used")]);
    Raw::login_with(&proxy, &[("application_name", "short_life_kept")]).leave();
    let gone =
        |name: &str| format!("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '{name}'");
    wait_true(primary, "the kept connection is closed", &gone("short_life_kept"));
    // One in use is nobody's to close.
    assert_eq!(used.value("SELECT 1"), "1");
}

#[test]
fn without_connection_cache_no_connection_is_kept() {
    let proxy = builder().top("connection_cache = false").start();
    let name = [("application_name", "not_kept")];
    Raw::login_with(&proxy, &name).leave();
    let gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'not_kept'";
    wait_true(primary_and_standby().primary(), "the connection is closed", gone);
}

#[test]
fn connections_come_back_however_their_clients_leave() {
    let proxy = builder().top("default_pool_size = 3").start();
    for round in 0..30 {
        let mut session = Raw::login(&proxy);
        match round % 5 {
            0 => session.leave(),
            1 => session.vanish(),
            2 => {
                session.run("BEGIN");
                session.vanish();
            }
            3 => {
                session.send(&waypool_tests::wire::query("SELECT pg_sleep(0.2)"));
                session.vanish();
            }
            _ => {
                session.send(&waypool_tests::wire::parse("", "SELECT 1"));
                session.vanish();
            }
        }
    }
    let all: Vec<Raw> = (0..3).map(|_| Raw::login(&proxy)).collect();
    assert_eq!(all.len(), 3);
}
