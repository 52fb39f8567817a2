//! `prepare_unnamed`: a text that comes again and again without a name is parsed
//! once by each server connection, and the client sees no difference.
#![allow(clippy::unwrap_used)]

use waypool_tests::raw::{Raw, sqlstate, tags, value};
use waypool_tests::wire::{Message, bind, close, describe, execute, parse, sync};
use waypool_tests::{Proxy, primary_and_standby};

const OURS: &str = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'wp%'";

/// One server connection to the primary, in this pool mode.
fn start(pool_mode: &str, more: &str) -> Proxy {
    let top = format!("pool_mode = \"{pool_mode}\"\ndefault_pool_size = 1\nprepare_unnamed = true\n{more}");
    Proxy::builder(primary_and_standby()).weights(&[1.0, 0.0]).top(&top).start()
}

fn ask(client: &mut Raw, messages: &[Vec<u8>]) -> Vec<Message> {
    client.send(&[messages.concat(), sync()].concat());
    client.wire.until_ready()
}

/// As drivers do it.
fn run(client: &mut Raw, sql: &str, values: &[&str]) -> Vec<Message> {
    ask(client, &[parse("", sql), bind("", "", values), describe(b'P', ""), execute("", 0)])
}

#[test]
fn a_text_that_recurs_is_prepared_once() {
    for pool_mode in ["session", "transaction"] {
        let proxy = start(pool_mode, "");
        let mut client = Raw::login(&proxy);
        for number in 0..10 {
            let answer = run(&mut client, "SELECT $1::int + 1", &[&number.to_string()]);
            assert_eq!(tags(&answer), "12TDCZ");
            assert_eq!(value(&answer), Some((number + 1).to_string()));
            assert_eq!(client.value(OURS), if number == 0 { "0" } else { "1" }, "{pool_mode}, {number}");
        }
        // What comes once only is not.
        for number in 0..10 {
            assert_eq!(value(&run(&mut client, &format!("SELECT {number}"), &[])), Some(number.to_string()));
        }
        assert_eq!(client.value(OURS), "1");
        let parsed = "SELECT sum(calls) FROM (SELECT generic_plans + custom_plans AS calls \
                      FROM pg_prepared_statements WHERE name LIKE 'wp%') AS of_ours";
        assert_eq!(client.value(parsed), "9");
        proxy.stop();
    }
}

/// Byte for byte what the server answers directly, again and again.
#[test]
fn the_client_sees_no_difference() {
    // No plan finds out that it divides by zero.
    let text = "SELECT 1 / ($1::int + zero) AS result FROM generate_series(0, 0) AS zero";
    let number = || parse("", text);
    let conversation: Vec<Vec<Vec<u8>>> = vec![
        vec![number(), bind("", "", &["1"]), describe(b'P', ""), execute("", 0)],
        vec![number(), describe(b'S', "")],
        // Bound later, and more than once.
        vec![bind("", "", &["1"]), execute("", 0), bind("", "", &["1"]), execute("", 0)],
        // A failure of the execution, and of the Parse behind it.
        vec![number(), bind("", "", &["0"]), execute("", 0), number()],
        vec![parse("", "SELEKT"), bind("", "", &[]), execute("", 0)],
        vec![bind("", "", &["1"]), execute("", 0)],
        vec![number(), close(b'S', ""), bind("", "", &["1"]), execute("", 0)],
        vec![number(), number(), bind("p", "", &["1"]), execute("p", 0), close(b'P', "p")],
        // The text of one is the name of none.
        vec![parse("named", text), close(b'S', "named")],
        vec![parse("", ""), bind("", "", &[]), execute("", 0)],
        vec![parse("", "BEGIN"), bind("", "", &[]), execute("", 0)],
        vec![number(), bind("", "", &["1"]), execute("", 0)],
        vec![parse("", "ROLLBACK"), bind("", "", &[]), execute("", 0)],
    ];
    let mut direct = Raw::direct(primary_and_standby().primary(), &[]);
    for pool_mode in ["session", "transaction"] {
        let proxy = start(pool_mode, "");
        let mut client = Raw::login(&proxy);
        for round in 0..3 {
            for messages in &conversation {
                let expected = ask(&mut direct, messages);
                assert_eq!(ask(&mut client, messages), expected, "{pool_mode}, round {round}: {messages:?}");
            }
            // A simple query drops the unnamed statement.
            let (one, other) = (client.query("SELECT 1"), direct.query("SELECT 1"));
            assert_eq!(one, other);
            let messages = [bind("", "", &["1"]), execute("", 0)];
            assert_eq!(ask(&mut client, &messages), ask(&mut direct, &messages));
        }
        assert_ne!(client.value(OURS), "0");
        proxy.stop();
    }
}

#[test]
fn an_outdated_statement_is_prepared_anew() {
    for pool_mode in ["session", "transaction"] {
        let proxy = start(pool_mode, "");
        let (mut client, mut other) = (Raw::login(&proxy), Raw::direct(primary_and_standby().primary(), &[]));
        let table = format!("unnamed_{pool_mode}");
        other.run(&format!("DROP TABLE IF EXISTS {table}"));
        other.run(&format!("CREATE TABLE {table} AS SELECT 1 AS a"));
        let read = format!("SELECT * FROM {table}");
        for _ in 0..3 {
            assert_eq!(tags(&run(&mut client, &read, &[])), "12TDCZ");
        }
        other.run(&format!("ALTER TABLE {table} ADD b int DEFAULT 2"));
        for _ in 0..3 {
            let answer = run(&mut client, &read, &[]);
            let row = answer.iter().find(|message| message.tag == b'D').map(Message::columns);
            assert_eq!(row, Some(vec![Some("1".to_owned()), Some("2".to_owned())]), "{pool_mode}");
        }
        other.run(&format!("DROP TABLE {table}"));
        proxy.stop();
    }
}

/// What only this connection has is worth more than a statement that goes on.
#[test]
fn a_session_with_temporary_tables_keeps_its_connection() {
    let proxy = start("session", "");
    let mut client = Raw::login(&proxy);
    client.run("CREATE TEMP TABLE mine AS SELECT 1 AS a");
    for _ in 0..3 {
        assert_eq!(tags(&run(&mut client, "SELECT * FROM mine", &[])), "12TDCZ");
    }
    client.run("ALTER TABLE mine ADD b int DEFAULT 2");
    assert_eq!(sqlstate(&run(&mut client, "SELECT * FROM mine", &[])).as_deref(), Some("0A000"));
    assert_eq!(tags(&run(&mut client, "SELECT * FROM mine", &[])), "12TDCZ");
    proxy.stop();
}

#[test]
fn what_drops_statements_drops_these() {
    for pool_mode in ["session", "transaction"] {
        let proxy = start(pool_mode, "");
        let mut client = Raw::login(&proxy);
        for drops in ["DISCARD ALL", "DEALLOCATE ALL", "SELECT 1"] {
            for _ in 0..3 {
                assert_eq!(value(&run(&mut client, "SELECT $1::text", &["x"])).as_deref(), Some("x"));
            }
            client.run(drops);
        }
        assert_eq!(value(&run(&mut client, "SELECT $1::text", &["y"])).as_deref(), Some("y"));
        proxy.stop();
    }
}

/// The next session on the same connection, whatever the reset queries leave there.
#[test]
fn statements_that_are_left_behind_are_in_nobodys_way() {
    for reset in ["\"DISCARD ALL\"", "\"RESET ALL\""] {
        let proxy = start("session", &format!("reset_query_list = [{reset}]"));
        for _ in 0..3 {
            let mut client = Raw::login(&proxy);
            for _ in 0..3 {
                assert_eq!(
                    value(&run(&mut client, "SELECT $1::text", &["x"])).as_deref(),
                    Some("x"),
                    "{reset}"
                );
            }
            client.leave();
        }
        proxy.stop();
    }
}
