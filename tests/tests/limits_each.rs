//! Limits of single databases and users.
#![allow(clippy::unwrap_used)]

use waypool_tests::raw::{Raw, wait_true};
use waypool_tests::wire::Message;
use waypool_tests::{Builder, Database, Proxy, primary_and_standby, wait_until};

fn builder() -> Builder {
    // All on the primary: the pools of other servers have nothing to say.
    Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).top("query_wait_timeout = \"1s\"")
}

#[track_caller]
fn refused(proxy: &Proxy, parameters: &[(&str, &str)]) -> Message {
    match Raw::try_login(proxy, parameters) {
        Ok(_) => panic!("{parameters:?} should have been refused"),
        Err(error) => error,
    }
}

/// A role, and its startup parameter.
fn role(name: &'static str) -> (&'static str, &'static str) {
    primary_and_standby().primary().psql(&format!("CREATE ROLE {name} LOGIN")).unwrap();
    ("user", name)
}

#[test]
fn clients_of_a_user_are_limited_and_others_are_not() {
    let user = role("each_clients");
    let proxy = builder().table("users.each_clients", "max_user_client_connections = 2").start();
    let first = Raw::login_with(&proxy, &[user, ("database", "postgres")]);
    let _second = Raw::login_with(&proxy, &[user, ("database", "template1")]);
    let error = refused(&proxy, &[user]);
    assert_eq!(error.field(b'S').as_deref(), Some("FATAL"));
    assert_eq!(error.field(b'C').as_deref(), Some("53300"));
    assert_eq!(error.field(b'M').as_deref(), Some("too many connections for role \"each_clients\""));
    assert!(error.field(b'H').unwrap().contains("max_user_client_connections"));
    let _others: Vec<Raw> = (0..3).map(|_| Raw::login(&proxy)).collect();
    first.leave();
    wait_until("there is room for one more", || Raw::try_login(&proxy, &[user]).is_ok());
}

#[test]
fn clients_of_a_database_are_limited_whoever_they_are() {
    let user = role("each_database_clients");
    let database = Database::create("each_clients", "SELECT 1");
    let here = ("database", database.name);
    let proxy = builder().top("max_db_client_connections = 2").start();
    let _both = (Raw::login_with(&proxy, &[here]), Raw::login_with(&proxy, &[here, user]));
    let error = refused(&proxy, &[here]);
    assert_eq!(error.field(b'C').as_deref(), Some("53300"));
    assert_eq!(error.field(b'M').as_deref(), Some("too many connections for database \"each_clients\""));
    assert!(error.field(b'H').unwrap().contains("max_db_client_connections"));
    // The limit at the top is each database's, and a table can lift it.
    let _elsewhere = Raw::login(&proxy);
    proxy.reconfigure(|builder| builder.table("databases.each_clients", "max_db_client_connections = 0"));
    wait_until("the reload has been heard of", || Raw::try_login(&proxy, &[here]).is_ok());
}

#[test]
fn a_login_that_fails_later_gives_its_place_back() {
    let proxy = builder().top("max_db_client_connections = 1").start();
    for _ in 0..3 {
        let error = refused(&proxy, &[("database", "each_no_such_database")]);
        assert_eq!(error.field(b'C').as_deref(), Some("3D000"));
    }
}

#[test]
fn a_users_pool_size_goes_before_the_databases() {
    let user = role("each_pool_size");
    let database = Database::create("each_pool_size", "SELECT 1");
    let here = ("database", database.name);
    let proxy = builder()
        .table("databases.each_pool_size", "pool_size = 1")
        .table("users.each_pool_size", "pool_size = 2")
        .start();
    let _users = [0, 1].map(|_| Raw::login_with(&proxy, &[here, user]));
    let hint = refused(&proxy, &[here, user]).field(b'H').unwrap();
    assert!(hint.contains("pool_size"), "{hint}");
    let _others = Raw::login_with(&proxy, &[here]);
    assert_eq!(refused(&proxy, &[here]).field(b'C').as_deref(), Some("53300"));
}

#[test]
fn connections_to_a_database_are_limited_and_kept_ones_make_room() {
    let user = role("each_db_connections");
    let database = Database::create("each_db_connections", "SELECT 1");
    let here = ("database", database.name);
    let proxy = builder().table("databases.each_db_connections", "max_db_connections = 2").start();
    let one = Raw::login_with(&proxy, &[here]);
    let _two = Raw::login_with(&proxy, &[here]);
    let error = refused(&proxy, &[here, user]);
    assert_eq!(error.field(b'C').as_deref(), Some("53300"));
    assert!(error.field(b'D').unwrap().contains("2 connections for this database"));
    assert!(error.field(b'H').unwrap().contains("max_db_connections"));
    one.leave();
    let kept = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'each_db_connections' \
                AND query = 'DISCARD ALL'";
    wait_true(primary_and_standby().primary(), "its connection is kept", kept);
    Raw::login_with(&proxy, &[here, user]);
    assert_eq!(
        database.ask(
            0,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'each_db_connections' \
                                AND application_name <> 'psql' AND pid <> pg_backend_pid()"
        ),
        "2"
    );
}

#[test]
fn connections_of_a_user_are_limited_over_all_databases() {
    let user = role("each_user_connections");
    let proxy = builder().table("users.each_user_connections", "max_user_connections = 1").start();
    let first = Raw::login_with(&proxy, &[user, ("database", "postgres")]);
    let elsewhere = [user, ("database", "template1")];
    let error = refused(&proxy, &elsewhere);
    assert!(error.field(b'D').unwrap().contains("1 connections for this user"));
    assert!(error.field(b'H').unwrap().contains("max_user_connections"));
    let waiting = Raw::begin_login(&proxy, &elsewhere);
    first.leave();
    assert_eq!(waiting.finish().unwrap().value("SELECT 1"), "1");
}
