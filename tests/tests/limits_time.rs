//! Limits in time: on queries, transactions, and doing nothing in one.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use waypool_tests::raw::{Raw, expect_fatal, sqlstate, value, wait_running, wait_true};
use waypool_tests::wire::{self, Message};
use waypool_tests::{Builder, Proxy, primary_and_standby};

const LIMIT: Duration = Duration::from_secs(2);

fn builder() -> Builder {
    Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0])
}

/// The end of this session, which took as long as the limit at least, because of this limit.
#[track_caller]
fn expect_end(session: &mut Raw, began: Instant, expected: &str, limit: &str) -> Message {
    let error = expect_fatal(&mut session.wire, expected);
    assert!(began.elapsed() >= LIMIT, "after {:?}", began.elapsed());
    let message = error.field(b'M').unwrap();
    assert!(message.contains(&format!("{limit} (2s)")), "{message}");
    error
}

#[test]
fn a_query_takes_no_longer_than_query_timeout() {
    let proxy = builder().top("query_timeout = 2").start();
    let mut session = Raw::login(&proxy);
    let primary = primary_and_standby().primary();
    let began = Instant::now();
    session.send(&wire::query("SELECT pg_sleep(600) /* query_timeout */"));
    wait_running(primary, "query_timeout");
    expect_end(&mut session, began, "57014", "query_timeout");
    let gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%600) /* query_timeout%' \
                AND pid <> pg_backend_pid() AND state = 'active'";
    wait_true(primary, "the server has stopped as well", gone);
    // Time between queries does not count, nor does what went before.
    let mut session = Raw::login(&proxy);
    for _ in 0..3 {
        session.run("SELECT pg_sleep(1.2)");
    }
    session.run("BEGIN");
    std::thread::sleep(Duration::from_millis(2500));
    session.run("COMMIT");
    // Nor do the others of a pipeline.
    let pipeline: Vec<u8> = (0..4).flat_map(|_| wire::query("SELECT pg_sleep(1.2)")).collect();
    session.send(&pipeline);
    for _ in 0..4 {
        assert_eq!(sqlstate(&session.wire.until_ready()), None);
    }
}

#[test]
fn a_transaction_is_not_left_idle_for_longer_than_idle_transaction_timeout() {
    let proxy = builder().top("idle_transaction_timeout = 2").start();
    let mut outside = Raw::login(&proxy);
    let mut busy = Raw::login(&proxy);
    busy.run("BEGIN");
    busy.send(&wire::query("SELECT 'slept' FROM pg_sleep(4)"));
    for begin in ["BEGIN", "BEGIN; SELECT 1 / 0"] {
        let mut session = Raw::login(&proxy);
        let began = Instant::now();
        session.query(begin);
        expect_end(&mut session, began, "25P03", "idle_transaction_timeout");
    }
    assert_eq!(value(&busy.wire.until_ready()).as_deref(), Some("slept"));
    expect_fatal(&mut busy.wire, "25P03");
    assert_eq!(outside.value("SELECT 1"), "1");
}

#[test]
fn a_transaction_takes_no_longer_than_transaction_timeout() {
    let proxy = builder().top("transaction_timeout = 2").start();
    // Not by one of its statements: by all together.
    let mut session = Raw::login(&proxy);
    let began = Instant::now();
    session.run("BEGIN");
    let ended = (0..20).find_map(|_| {
        session.send(&wire::query("SELECT pg_sleep(0.6)"));
        let mut last = None;
        for message in session.wire.by_ref() {
            let tag = message.tag;
            last = (tag == b'E').then(|| message.field(b'C').unwrap());
            if tag == b'Z' || tag == b'E' {
                break;
            }
        }
        last
    });
    assert_eq!(ended.as_deref(), Some("25P04"));
    assert!(began.elapsed() >= LIMIT);
    // Others are transactions of their own.
    let mut session = Raw::login(&proxy);
    for _ in 0..5 {
        session.run("BEGIN; SELECT pg_sleep(0.6); COMMIT");
    }
    let began = Instant::now();
    session.send(&wire::query("SELECT pg_sleep(600)"));
    expect_end(&mut session, began, "25P04", "transaction_timeout");
}

#[test]
fn limits_in_time_follow_a_reload_also_for_those_who_are_there() {
    let proxy = builder().start();
    let mut waiting = Raw::login(&proxy);
    waiting.run("BEGIN");
    let mut busy = Raw::login(&proxy);
    busy.send(&wire::query("SELECT pg_sleep(600)"));
    proxy.reconfigure(|builder| builder.top("query_timeout = 2\nidle_transaction_timeout = 2"));
    expect_fatal(&mut waiting.wire, "25P03");
    expect_fatal(&mut busy.wire, "57014");
}
