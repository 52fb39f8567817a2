//! Limits on clients, reloads, and the end of the proxy.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use waypool_tests::raw::{Raw, expect_fatal, flood, read_port, wait_running, wait_true};
use waypool_tests::wire::{self, Wire};
use waypool_tests::{Builder, Database, Proxy, primary_and_standby, psql, wait_until};

fn builder() -> Builder {
    Proxy::builder(primary_and_standby())
}

// === max_client_conn ===

#[test]
fn one_client_too_many_is_told_so() {
    let proxy = builder().top("max_client_conn = 3").start();
    let mut served: Vec<Raw> = (0..3).map(|_| Raw::login(&proxy)).collect();
    for _ in 0..5 {
        let error = Raw::try_login(&proxy, &[]).unwrap_err();
        assert_eq!(error.field(b'S').as_deref(), Some("FATAL"));
        assert_eq!(error.field(b'C').as_deref(), Some("53300"));
        assert!(error.field(b'H').unwrap().contains("max_client_conn"));
    }
    assert!(served.iter_mut().all(|session| session.value("SELECT 1") == "1"));
    served.pop().unwrap().leave();
    wait_until("there is room for one more", || Raw::try_login(&proxy, &[]).is_ok());
}

#[test]
fn a_cancel_request_needs_no_room() {
    let proxy = builder().top("max_client_conn = 1").start();
    let mut session = Raw::login(&proxy);
    session.send(&wire::query("SELECT pg_sleep(600) /* crowded_cancel */"));
    wait_running(primary_and_standby().primary(), "crowded_cancel");
    assert!(Raw::try_login(&proxy, &[]).is_err());
    session.cancel(&proxy);
    let answer = session.wire.until_ready();
    assert_eq!(waypool_tests::raw::sqlstate(&answer).as_deref(), Some("57014"));
}

#[test]
fn max_client_conn_follows_a_reload() {
    let proxy = builder().top("max_client_conn = 1").start();
    let _first = Raw::login(&proxy);
    assert!(Raw::try_login(&proxy, &[]).is_err());
    proxy.reconfigure(|builder| builder.top("max_client_conn = 2"));
    wait_until("a second client is let in", || Raw::try_login(&proxy, &[]).is_ok());
}

// === time limits ===

#[test]
fn a_client_that_does_not_log_in_in_time_is_sent_away() {
    let proxy = builder()
        .hba(&["host all all all scram-sha-256"])
        .user("postgres", "secret")
        .top("authentication_timeout = \"1s\"")
        .start();
    let began = Instant::now();
    let mut silent = Wire::connect(&proxy);
    let mut hesitant = Wire::connect(&proxy);
    hesitant.send(&wire::startup((3, 0), &[("user", "postgres"), ("database", "postgres")]));
    assert_eq!(hesitant.next().unwrap().tag, b'R');
    expect_fatal(&mut hesitant, "57014");
    silent.until_closed();
    assert!(began.elapsed() >= Duration::from_millis(900));
}

#[test]
fn a_silent_client_is_disconnected_and_a_busy_one_is_not() {
    let proxy = builder().top("client_idle_limit = \"1s\"").start();
    let mut busy = Raw::login(&proxy);
    busy.send(&wire::query("SELECT pg_sleep(2)::text"));
    let mut in_transaction = Raw::login(&proxy);
    in_transaction.run("BEGIN");
    let mut silent = Raw::login(&proxy);
    let error = expect_fatal(&mut silent.wire, "57P05");
    assert!(error.field(b'M').unwrap().contains("client_idle_limit"));
    expect_fatal(&mut in_transaction.wire, "57P05");
    let answer = busy.wire.until_ready();
    assert_eq!(waypool_tests::raw::sqlstate(&answer), None);
    expect_fatal(&mut busy.wire, "57P05");
}

// === reload ===

#[test]
fn a_reload_with_a_mistake_changes_nothing() {
    let proxy = builder().weights(&[0.0, 1.0]).top("max_client_conn = 2").start();
    let mut session = Raw::login(&proxy);
    let standby = primary_and_standby().server(1).port();
    let mistakes = ["max_client_conn = 0", "prot = 1", "max_client_conn = \"many\"", "hba = [\"nonsense\"]"];
    let good = fs::read_to_string(proxy.config_path()).unwrap();
    let more = good
        .replace("max_client_conn = 2\n", "max_client_conn = 50\n")
        .replace("weight = 1.0", "weight = 0.0");
    for mistake in mistakes {
        let key = mistake.split(' ').next().unwrap();
        let others: Vec<&str> = more.lines().filter(|line| !line.starts_with(&format!("{key} = "))).collect();
        fs::write(proxy.config_path(), format!("{mistake}\n{}\n", others.join("\n"))).unwrap();
        let said = proxy.reload();
        assert!(said.contains("reload refused") && said.contains(key), "{mistake}: {said}");
        let second = Raw::login(&proxy);
        assert!(Raw::try_login(&proxy, &[]).is_err(), "{mistake}: max_client_conn has changed");
        second.leave();
        assert_eq!(read_port(&mut session), standby);
        wait_until("the second one has left", || Raw::try_login(&proxy, &[]).is_ok());
    }
    fs::write(proxy.config_path(), "this is no TOML").unwrap();
    assert!(proxy.reload().contains("reload refused"));
    fs::remove_file(proxy.config_path()).unwrap();
    assert!(proxy.reload().contains("reload refused"));
    assert_eq!(session.value("SELECT 1"), "1");
}

// === the end ===

#[test]
fn sigterm_tells_every_client_and_leaves_nothing_behind() {
    let proxy = builder().start();
    let database = Database::create("limits_stop", "CREATE TABLE t (n int)");
    let socket = proxy.socket_dir().join(format!(".s.PGSQL.{}", proxy.port()));
    assert!(socket.exists());
    let login = || Raw::login_with(&proxy, &[("database", database.name)]);
    let mut idle = login();
    let mut in_transaction = login();
    in_transaction.run("BEGIN; INSERT INTO t VALUES (1)");
    let mut running = login();
    running.send(&wire::query("SELECT pg_sleep(600) /* stopped */"));
    wait_running(database.cluster.primary(), "stopped");
    let silent = Wire::connect(&proxy);
    let began = Instant::now();
    proxy.stop();
    for session in [&mut idle, &mut in_transaction, &mut running] {
        expect_fatal(&mut session.wire, "57P01");
    }
    drop(silent);
    assert!(!socket.exists(), "the Unix socket is still there");
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    assert_eq!(database.ask(0, "SELECT count(*) FROM t"), "0");
    let rolled_back =
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'limits_stop' AND state <> 'active'";
    wait_true(database.cluster.primary(), "the sessions are over", rolled_back);
}

#[test]
fn sigint_ends_it_as_well() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    proxy.signal(Signal::SIGINT);
    assert!(proxy.wait_for_end().success());
    expect_fatal(&mut session.wire, "57P01");
}

#[test]
fn clients_that_wait_for_a_connection_are_told_of_the_end_too() {
    let proxy = builder().top("default_pool_size = 1").start();
    let _holder = Raw::login(&proxy);
    let mut waiting = Raw::begin_login(&proxy, &[]);
    // Three round trips of another session: the newcomer has been heard.
    for _ in 0..3 {
        assert!(Raw::try_login(&proxy, &[("database", "nowhere")]).is_err());
    }
    proxy.stop();
    let messages = waiting.wire.until_closed();
    let last = messages.last().expect("it is told");
    assert_eq!(last.field(b'C').as_deref(), Some("57P01"));
}

#[test]
fn the_end_writes_nothing_into_the_middle_of_a_row() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    session.send(&wire::query("SELECT repeat('x', 50000000)"));
    wait_until("the row comes", || session.has_answer());
    proxy.stop();
    let mut bytes = Vec::new();
    let _ = session.wire.stream.read_to_end(&mut bytes);
    let row = bytes.iter().position(|byte| *byte == b'D').unwrap();
    assert!(bytes.len() < 50_000_000, "all of it came");
    let rest = &bytes[row + 11..];
    assert!(rest.iter().all(|byte| *byte == b'x'), "…{}", String::from_utf8_lossy(&rest[rest.len() - 100..]));
}

#[test]
fn a_client_that_never_reads_does_not_delay_the_end() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    flood(
        &mut session.wire,
        &wire::query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"),
        100_000,
    );
    assert_eq!(psql(&proxy, "SELECT 1"), "1");
    let began = Instant::now();
    proxy.stop();
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
}
