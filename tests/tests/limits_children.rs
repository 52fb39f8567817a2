//! Pgpool-II's limits on clients and connections, and PgBouncer's.
#![allow(clippy::unwrap_used)]

use waypool_tests::raw::{Login, Raw, sqlstate, wait_running, wait_true};
use waypool_tests::{Builder, Database, Proxy, primary_and_standby, wait_until, wire};

fn builder() -> Builder {
    // All on the primary, so that one pid is all there is to know.
    Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).top("worker_threads = 1")
}

/// A newcomer that has to wait, behind those before it.
fn queue_up(proxy: &Proxy, witness: &mut Raw) -> Login {
    let login = Raw::begin_login(proxy, &[]);
    // One thread serves all: after these it has heard the newcomer too.
    for _ in 0..5 {
        witness.run("SHOW pool_version");
    }
    login
}

#[test]
fn clients_beyond_num_init_children_wait_in_the_order_they_came() {
    let proxy = builder().top("num_init_children = 2").start();
    let (mut one, two) = (Raw::login(&proxy), Raw::login(&proxy));
    let first = queue_up(&proxy, &mut one);
    let gives_up = queue_up(&proxy, &mut one);
    let second = queue_up(&proxy, &mut one);
    assert!(!first.has_answer());
    // A cancel request needs no place.
    one.send(&wire::query("SELECT pg_sleep(600) /* children_cancel */"));
    wait_running(primary_and_standby().primary(), "children_cancel");
    one.cancel(&proxy);
    assert_eq!(sqlstate(&one.wire.until_ready()).as_deref(), Some("57014"));
    drop(gives_up);
    two.leave();
    let first = first.finish().unwrap();
    for _ in 0..5 {
        one.run("SHOW pool_version");
    }
    assert!(!second.has_answer(), "there are two places, and both are taken");
    first.leave();
    assert_eq!(second.finish().unwrap().value("SELECT 1"), "1");
}

#[test]
fn who_waits_in_vain_is_told_for_how_long_and_behind_whom() {
    let proxy = builder().top("num_init_children = 1\nquery_wait_timeout = \"1s\"").start();
    let mut holder = Raw::login(&proxy);
    let waiting = [queue_up(&proxy, &mut holder), queue_up(&proxy, &mut holder)];
    for login in waiting {
        let error = login.finish().unwrap_err();
        assert_eq!(error.field(b'C').as_deref(), Some("53300"));
        assert!(error.field(b'M').unwrap().contains("waited 1s"));
        assert!(error.field(b'D').unwrap().starts_with("1 clients are served at the same time; "));
        assert!(error.field(b'H').unwrap().contains("num_init_children"));
    }
}

#[test]
fn with_reserved_connections_nobody_waits() {
    let proxy = builder().top("num_init_children = 3\nreserved_connections = 1").start();
    let one = Raw::login(&proxy);
    let _two = Raw::login(&proxy);
    let error = Raw::try_login(&proxy, &[]).unwrap_err();
    assert_eq!(error.field(b'S').as_deref(), Some("FATAL"));
    assert_eq!(error.field(b'C').as_deref(), Some("53300"));
    assert_eq!(error.field(b'M').as_deref(), Some("Sorry, too many clients already"));
    one.leave();
    wait_until("there is a place again", || Raw::try_login(&proxy, &[]).is_ok());
}

#[test]
fn a_server_has_no_more_connections_than_all_children_could_keep() {
    let proxy = builder().top("num_init_children = 2\nmax_pool = 1").start();
    let database = Database::create("limits_children", "");
    for application in ["one", "two", "three", "four"] {
        let of = |application| {
            Raw::login_with(&proxy, &[("database", database.name), ("application_name", application)])
        };
        let (one, two) = (of(application), of("other"));
        // A closed one's process takes a moment to end.
        let open = "SELECT count(*) <= 2 FROM pg_stat_activity WHERE datname = 'limits_children'";
        wait_true(primary_and_standby().primary(), "two are open", open);
        one.leave();
        two.leave();
    }
}

#[test]
fn a_connection_is_closed_after_child_max_connections_sessions() {
    let proxy = builder().top("child_max_connections = 2\ndefault_pool_size = 1").start();
    let pids: Vec<String> = (0..4)
        .map(|_| {
            let mut session = Raw::login(&proxy);
            let pid = session.backend_pid();
            session.leave();
            pid
        })
        .collect();
    assert_eq!((&pids[0], &pids[2]), (&pids[1], &pids[3]));
    assert_ne!(pids[1], pids[2]);
}

#[test]
fn unused_and_old_connections_are_closed_but_the_least() {
    let database = Database::create("limits_age", "");
    let here = "FROM pg_stat_activity WHERE datname = 'limits_age'";
    let open = |count: usize| format!("SELECT count(*) = {count} {here}");
    let primary = primary_and_standby().primary();
    let proxy = builder()
        .top("child_life_time = \"1s\"\nmin_pool_size = 2\nsr_check_period = \"1s\"\nserver_lifetime = 0")
        .start();
    let login = || Raw::login_with(&proxy, &[("database", database.name)]);
    let sessions: Vec<Raw> = (0..4).map(|_| login()).collect();
    wait_true(primary, "four connections are open", &open(4));
    sessions.into_iter().for_each(Raw::leave);
    wait_true(primary, "two of them are closed", &open(2));
    let old = primary.psql(&format!("SELECT string_agg(pid::text, ',') {here}")).unwrap();
    proxy.reconfigure(|builder| builder.top("server_lifetime = \"1s\""));
    let none = format!("SELECT count(*) = 0 {here} AND pid IN ({old})");
    wait_true(primary, "the others are too old now", &none);
    proxy.reconfigure(|builder| builder.top("min_pool_size = 0"));
    wait_true(primary, "nothing is kept for being the least", &open(0));
}

#[test]
fn the_least_are_opened_before_anybody_needs_them() {
    let database = Database::create("limits_least", "");
    let here = "FROM pg_stat_activity WHERE datname = 'limits_least'";
    let open = |count: usize| format!("SELECT count(*) = {count} {here}");
    let primary = primary_and_standby().primary();
    let proxy = builder()
        .top("sr_check_period = \"1s\"\ndefault_pool_size = 4")
        .table("databases.limits_least", "min_pool_size = 3")
        .start();
    let mut first = Raw::login_with(&proxy, &[("database", database.name)]);
    wait_true(primary, "three are there, of which it uses one", &open(3));
    let pid = first.backend_pid();
    // They are as good as any other.
    let more: Vec<Raw> = (0..3).map(|_| Raw::login_with(&proxy, &[("database", database.name)])).collect();
    let mut told: Vec<u32> = more.iter().map(|session| session.pid).collect();
    assert!(!told.contains(&pid.parse().unwrap()));
    more.into_iter().for_each(Raw::leave);
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 3);
    // Lost ones are replaced.
    primary.psql(&format!("SELECT pg_terminate_backend(pid) {here} AND pid <> {pid}")).unwrap();
    let lost = told.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let replaced = format!("SELECT count(*) = 3 AND count(*) FILTER (WHERE pid IN ({lost})) = 0 {here}");
    wait_true(primary, "there are three again", &replaced);
    // And they are not in the way of what needs the database unused.
    first.leave();
    let mut other = Raw::login(&proxy);
    wait_until("nothing is open there", || sqlstate(&other.query("DROP DATABASE limits_least")).is_none());
}

#[test]
fn the_reserve_is_for_those_who_have_waited() {
    let proxy = builder()
        .top("default_pool_size = 1\nreserve_pool_size = 1\nreserve_pool_timeout = \"1s\"\nquery_wait_timeout = \"3s\"")
        .start();
    let mut one = Raw::login(&proxy);
    let began = std::time::Instant::now();
    let mut two = Raw::login(&proxy);
    assert!(began.elapsed() >= std::time::Duration::from_secs(1));
    assert_ne!(one.backend_pid(), two.backend_pid());
    let error = Raw::try_login(&proxy, &[]).unwrap_err();
    assert!(error.field(b'M').unwrap().contains("waited 3s"));
    assert!(error.field(b'D').unwrap().contains("2 connections for this user and database"));
}
