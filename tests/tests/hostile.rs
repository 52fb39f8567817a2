//! Clients that break the protocol: they are told so and lose their connection,
//! and nobody else notices.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::Shutdown;

use waypool_tests::raw::{self, Raw, expect_fatal, sqlstate, tags};
use waypool_tests::wire::{self, Wire};
use waypool_tests::{Database, Proxy, primary_and_standby, psql};

fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).start()
}

/// Others are served as if nothing had happened.
#[track_caller]
fn still_serves(proxy: &Proxy) {
    assert_eq!(psql(proxy, "SELECT 6 * 7"), "42");
}

// === before the login ===

/// Sends bytes instead of a startup packet; the SQLSTATE of the refusal, if any.
fn opened_with(proxy: &Proxy, bytes: &[u8]) -> Option<String> {
    let mut wire = Wire::connect(proxy);
    // The proxy may close before it has read everything.
    let _ = wire.stream.write_all(bytes);
    let _ = wire.stream.shutdown(Shutdown::Write);
    let answer = wire.until_closed();
    assert!(answer.len() <= 1, "{answer:?}");
    if let Some(error) = answer.first() {
        assert_eq!(error.field(b'S').as_deref(), Some("FATAL"), "{}", raw::text(error));
    }
    sqlstate(&answer)
}

#[test]
fn garbage_instead_of_a_startup_packet_is_refused() {
    let proxy = proxy();
    let claims = |length: u32| [&length.to_be_bytes()[..], b"\0\x03\0\0user\0postgres\0\0"].concat();
    let garbage = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: waypool\r\n\r\n".to_vec()),
        ("TLS without SSLRequest", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("bytes", (0..=255).rev().cycle().take(100_000).collect()),
        ("length 0", claims(0)),
        ("length 3", claims(3)),
        ("length 7", claims(7)),
        ("length 10001", claims(10_001)),
        ("length 2 GB", claims(1 << 31)),
        ("length 4 GB", claims(u32::MAX)),
    ];
    for (what, bytes) in &garbage {
        assert_eq!(opened_with(&proxy, bytes).as_deref(), Some("08P01"), "{what}");
    }
    still_serves(&proxy);
}

#[test]
fn startup_packets_which_make_no_sense_are_refused() {
    let proxy = proxy();
    let packet = |version: u32, body: &[u8]| {
        let length = (body.len() + 8) as u32;
        [&length.to_be_bytes()[..], &version.to_be_bytes(), body].concat()
    };
    let three = 3 << 16;
    let cases = [
        ("no user", packet(three, b"database\0postgres\0\0"), "28000"),
        ("nothing at all", packet(three, b"\0"), "28000"),
        ("no terminator", packet(three, b"user\0postgres\0"), "08P01"),
        ("no value", packet(three, b"user\0"), "08P01"),
        ("more behind the terminator", packet(three, b"user\0postgres\0\0x"), "08P01"),
        ("protocol 2", packet(2 << 16, b"user\0postgres\0\0"), "0A000"),
        ("protocol 4", packet(4 << 16, b"user\0postgres\0\0"), "0A000"),
        ("a user that is not UTF-8", packet(three, b"user\0\xff\xfe\0\0"), "08P01"),
    ];
    for (what, bytes, expected) in &cases {
        assert_eq!(opened_with(&proxy, bytes).as_deref(), Some(*expected), "{what}");
    }
    still_serves(&proxy);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_the_startup_packet_gets_no_answer() {
    let proxy = proxy();
    let packet = wire::startup((3, 0), &[("user", "postgres")]);
    for cut in [0, 1, 4, 8, packet.len() - 1] {
        assert_eq!(opened_with(&proxy, &packet[..cut]), None, "{cut} bytes");
    }
    still_serves(&proxy);
}

#[test]
fn encryption_that_is_not_offered_is_declined_and_the_login_goes_on() {
    let proxy = proxy();
    let mut wire = Wire::connect(&proxy);
    for request in [raw::gssenc_request(), wire::ssl_request()] {
        wire.send(&request);
        let mut answer = [0];
        std::io::Read::read_exact(&mut wire.stream, &mut answer).unwrap();
        assert_eq!(&answer, b"N");
    }
    wire.send(&wire::startup((3, 0), &[("user", "postgres"), ("database", "postgres")]));
    wire.until_ready();
    assert_eq!(raw::value(&wire.query("SELECT 1")).as_deref(), Some("1"));
}

#[test]
fn encryption_is_asked_for_once_only() {
    let proxy = proxy();
    for request in [raw::gssenc_request(), wire::ssl_request()] {
        let mut wire = Wire::connect(&proxy);
        wire.send(&request);
        let mut answer = [0];
        std::io::Read::read_exact(&mut wire.stream, &mut answer).unwrap();
        wire.send(&request);
        expect_fatal(&mut wire, "0A000");
    }
    still_serves(&proxy);
}

// === after the login ===

#[test]
fn what_is_no_message_ends_the_session() {
    let proxy = proxy();
    let mut neighbour = Raw::login(&proxy);
    let cases = [
        ("unknown type", wire::message(b'z', &[b"hello"])),
        ("type 0", wire::message(0, &[])),
        ("a server's message", wire::message(b'T', &[b"\0\0"])),
        ("a password after the login", wire::message(b'p', &[b"secret\0"])),
        ("length 3", raw::header(b'Q', 3)),
        ("length 0", raw::header(b'Q', 0)),
        ("2 GB", raw::header(b'Q', 1 << 31)),
        ("1 GB", raw::header(b'Q', 1 << 30)),
        ("a Sync of 20 kB", raw::header(b'S', 20_000)),
        ("startup packet again", wire::startup((3, 0), &[("user", "postgres")])),
    ];
    for (what, bytes) in &cases {
        eprintln!("{what}");
        let mut session = Raw::login(&proxy);
        session.send(bytes);
        expect_fatal(&mut session.wire, "08P01");
    }
    assert_eq!(neighbour.value("SELECT 1"), "1");
    still_serves(&proxy);
}

#[test]
fn a_query_that_is_not_utf_8_gets_the_servers_error_and_the_session_goes_on() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let sql = b"SELECT '\xff\xfe'\0";
    session.send(&wire::message(b'Q', &[sql]));
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("22021"));
    session.send(&[wire::message(b'P', &[b"\0", sql, b"\0\0"]), wire::sync()].concat());
    assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("22021"));
    assert_eq!(session.value("SELECT 'ä'"), "ä");
}

#[test]
fn a_query_without_an_end_is_a_protocol_violation_and_the_session_goes_on() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    for body in [&b"SELECT 1"[..], b""] {
        session.send(&wire::message(b'Q', &[body]));
        assert_eq!(sqlstate(&session.wire.until_ready()).as_deref(), Some("08P01"));
    }
    assert_eq!(session.value("SELECT 1"), "1");
}

#[test]
fn malformed_messages_of_the_extended_protocol_are_errors_and_the_session_goes_on() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let cases = [
        ("Parse without an end", wire::message(b'P', &[b"name"])),
        ("Parse without types", wire::message(b'P', &[b"\0SELECT 1\0"])),
        ("Bind with too many values", wire::message(b'B', &[b"\0\0\0\0\x7f\xff"])),
        ("Bind of nothing", wire::message(b'B', &[b""])),
        ("Describe of what?", wire::message(b'D', &[b"?\0"])),
        ("Close of what?", wire::message(b'C', &[b"?\0"])),
        ("Execute of nothing", wire::message(b'E', &[b""])),
    ];
    for (what, bytes) in &cases {
        // Something for a Bind to be about.
        let parse = if bytes[0] == b'B' { wire::parse("", "SELECT 1") } else { Vec::new() };
        session.send(&[&parse[..], bytes, &wire::sync()].concat());
        let answer = session.wire.until_ready();
        assert_eq!(sqlstate(&answer).as_deref(), Some("08P01"), "{what}: {}", tags(&answer));
    }
    assert_eq!(session.value("SELECT 1"), "1");
}

#[test]
fn copy_data_outside_of_copy_is_ignored() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let stray = [raw::copy_data(b"1\n"), raw::copy_done(), raw::copy_fail("why not")].concat();
    session.send(&stray);
    assert_eq!(session.value("SELECT 1"), "1");
    session.send(&[stray, raw::copy_data(&vec![b'x'; 1 << 20])].concat());
    assert_eq!(session.value("SELECT 2"), "2");
}

#[test]
fn nothing_that_follows_a_terminate_is_run() {
    let proxy = Proxy::builder(primary_and_standby()).top("connection_cache = false").start();
    let database = Database::create("hostile_terminate", "CREATE TABLE t (n int)");
    let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
    let insert = |n: u32| wire::query(&format!("INSERT INTO t VALUES ({n})"));
    session.send(&[insert(1), wire::terminate(), insert(2)].concat());
    // What stands before it is answered first.
    assert_eq!(sqlstate(&session.wire.until_ready()), None);
    session.wire.until_closed();
    assert_eq!(database.ask(0, "SELECT n FROM t"), "1");
}

#[test]
fn a_message_that_was_cut_off_is_not_run() {
    let proxy = proxy();
    let database = Database::create("hostile_cut", "CREATE TABLE t (n int)");
    // Short ones are read as a whole, long ones passed on as they come.
    for (length, long) in [(10, false), (300_000, true), (3_000_000, true)] {
        let message = wire::query(&format!("INSERT INTO t VALUES ({length}) -- {}", "a".repeat(length)));
        for missing in 1..=8 {
            let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
            let backend = long.then(|| session.backend_pid());
            session.send(&message[..message.len() - missing]);
            session.vanish();
            let Some(backend) = backend else { continue };
            let gone = format!(
                "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {backend} AND state <> 'idle'"
            );
            raw::wait_true(database.cluster.primary(), "the cut query is over", &gone);
        }
    }
    still_serves(&proxy);
    proxy.stop();
    let none_left = format!("SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = '{}'", database.name);
    raw::wait_true(database.cluster.primary(), "all sessions are over", &none_left);
    assert_eq!(database.ask(0, "SELECT count(*) FROM t"), "0");
}
