//! Clients that send much, or read nothing: the proxy's memory stays bounded,
//! and others are served meanwhile.
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::time::{Duration, Instant};

use waypool_tests::raw::{self, Raw, flood, sqlstate, tags, value, within_memory};
use waypool_tests::wire::{self, Wire};
use waypool_tests::{Proxy, primary_and_standby, psql, rss_kib, wait_until};

const MIB: usize = 1 << 20;

fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).start()
}

/// A session that has run something of each protocol, so that what is made at
/// its first use is there, and the proxy's memory in KiB.
fn warm(proxy: &Proxy) -> (Raw, u64) {
    let mut session = Raw::login(proxy);
    session.run("SELECT 1");
    let read = [wire::parse("", "SELECT 1"), wire::bind("", "", &[]), wire::execute("", 0), wire::sync()];
    session.send(&read.concat());
    session.wire.until_ready();
    (session, rss_kib(proxy.pid()))
}

/// Waits until the proxy has given its memory back, but for `mib` MiB.
#[track_caller]
fn freed(proxy: &Proxy, before_kib: u64, mib: u64) {
    wait_until("waypool has freed its memory", || rss_kib(proxy.pid()) <= before_kib + mib * 1024);
}

// === before the login ===

#[test]
fn five_hundred_clients_that_say_nothing_cost_little_and_others_are_served() {
    let proxy = proxy();
    let silent = within_memory(&proxy, 32, || {
        let silent: Vec<Wire> = (0..500).map(|_| Wire::connect(&proxy)).collect();
        assert_eq!(psql(&proxy, "SELECT 1"), "1");
        silent
    });
    drop(silent);
    assert_eq!(psql(&proxy, "SELECT 1"), "1");
}

#[test]
fn a_flood_above_max_client_conn_does_not_disturb_those_who_are_in() {
    let proxy = Proxy::builder(primary_and_standby()).top("max_client_conn = 20").start();
    let mut session = Raw::login(&proxy);
    let silent: Vec<Wire> = (0..500).map(|_| Wire::connect(&proxy)).collect();
    for n in 0..20 {
        assert_eq!(session.value(&format!("SELECT {n}")), n.to_string());
    }
    drop(silent);
    // A newcomer may be closed unheard as long as there are far too many.
    wait_until("there is room again", || logs_in(&proxy));
}

/// Whether a login works now.
fn logs_in(proxy: &Proxy) -> bool {
    let mut login = Raw::begin_login(proxy, &[]);
    raw::until_ready_or_cut(&mut login.wire).last().is_some_and(|last| last.tag == b'Z')
}

#[test]
fn without_file_descriptors_those_who_are_in_are_served_and_others_later() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &proxy.pid().to_string(), "--nofile=60:"]);
    assert!(prlimit.status().unwrap().success(), "prlimit is in util-linux");
    let silent: Vec<Wire> = (0..100).map(|_| Wire::connect(&proxy)).collect();
    proxy.wait_for_log("cannot accept");
    for n in 0..20 {
        assert_eq!(session.value(&format!("SELECT {n}")), n.to_string());
    }
    drop(silent);
    wait_until("newcomers are accepted", || logs_in(&proxy));
}

#[test]
fn databases_that_do_not_exist_leave_nothing_in_memory() {
    let proxy = proxy();
    let (_session, _) = warm(&proxy);
    within_memory(&proxy, 8, || {
        for n in 0..1_000 {
            let name = format!("{n:0>9900}");
            let error = Raw::try_login(&proxy, &[("database", &name)]).unwrap_err();
            assert_eq!(error.field(b'C').as_deref(), Some("3D000"));
        }
    });
}

#[test]
fn a_startup_packet_that_comes_byte_by_byte_is_cut_off() {
    /// Between two bytes: not a wait for anything, but how slow the client is.
    const PACE: Duration = Duration::from_millis(50);
    let proxy = Proxy::builder(primary_and_standby()).top("authentication_timeout = \"1s\"").start();
    let mut wire = Wire::connect(&proxy);
    // At this pace the whole packet would take eight minutes.
    wire.send(&10_000_u32.to_be_bytes());
    wire.send(&[0, 3, 0, 0]);
    let began = Instant::now();
    wire.stream.set_read_timeout(Some(PACE)).unwrap();
    let cut = loop {
        assert!(began.elapsed() < Duration::from_secs(60), "the slow client is still there");
        assert_eq!(psql(&proxy, "SELECT 1"), "1");
        if std::io::Write::write_all(&mut wire.stream, b"u").is_err() {
            break true;
        }
        match wire.stream.peek(&mut [0]) {
            Ok(_) => break true,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break true,
        }
    };
    assert!(cut && began.elapsed() >= Duration::from_millis(900), "too early: {:?}", began.elapsed());
}

// === long messages ===

#[test]
fn a_query_of_64_mb_passes_through_in_pieces() {
    let proxy = proxy();
    let (mut session, before) = warm(&proxy);
    let query = wire::query(&format!("SELECT length('{}')", "x".repeat(64 * MIB)));
    let answer = within_memory(&proxy, 32, || {
        session.send(&query);
        session.wire.until_ready()
    });
    assert_eq!(value(&answer).as_deref(), Some("67108864"));
    freed(&proxy, before, 24);
    assert_eq!(session.value("SELECT 1"), "1");
}

#[test]
fn a_parameter_of_10_mb_arrives_whole_wherever_it_stands() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let text = "x".repeat(10 * MIB);
    let parse = wire::parse("", "SELECT length($1::text)");
    let run = [wire::bind("", "", &[&text]), wire::execute("", 0), wire::sync()].concat();
    session.send(&[&parse[..], &run].concat());
    assert_eq!(value(&session.wire.until_ready()).as_deref(), Some("10485760"), "behind a Parse");
    session.send(&[parse, wire::sync()].concat());
    session.wire.until_ready();
    session.send(&run);
    assert_eq!(value(&session.wire.until_ready()).as_deref(), Some("10485760"), "alone");
    let many = run.repeat(3);
    session.send(&many);
    for _ in 0..3 {
        assert_eq!(value(&session.wire.until_ready()).as_deref(), Some("10485760"), "in a pipeline");
    }
}

#[test]
fn a_parameter_of_64_mb_behind_a_parse_is_not_buffered_whole() {
    let proxy = proxy();
    let (mut session, before) = warm(&proxy);
    let text = "x".repeat(64 * MIB);
    let run = [
        wire::parse("", "SELECT length($1::text)"),
        wire::bind("", "", &[&text]),
        wire::execute("", 0),
        wire::sync(),
    ];
    let answer = within_memory(&proxy, 32, || {
        session.send(&run.concat());
        session.wire.until_ready()
    });
    assert_eq!(value(&answer).as_deref(), Some("67108864"));
    freed(&proxy, before, 24);
}

// === many messages ===

#[test]
fn twenty_thousand_parses_without_a_sync_are_all_answered() {
    const COUNT: usize = 20_000;
    let proxy = proxy();
    let (mut session, _) = warm(&proxy);
    let parses = wire::parse("", "SELECT 1").repeat(COUNT);
    let answer = within_memory(&proxy, 32, || {
        session.send(&parses);
        session.send(&wire::sync());
        session.wire.until_ready()
    });
    assert_eq!(tags(&answer), "1".repeat(COUNT) + "Z");
    assert_eq!(session.value("SELECT 1"), "1");
}

#[test]
fn a_pipeline_that_fails_at_its_begin_is_skipped_to_its_end() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let rest = [wire::bind("", "", &[]), wire::execute("", 0)].concat().repeat(5_000);
    session.send(&[wire::parse("", "SELEKT 1"), rest, wire::sync()].concat());
    let answer = session.wire.until_ready();
    assert_eq!((tags(&answer).as_str(), sqlstate(&answer).as_deref()), ("EZ", Some("42601")));
    assert_eq!(session.value("SELECT 1"), "1");
}

#[test]
fn every_sync_of_a_flood_is_answered() {
    const COUNT: usize = 50_000;
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let mut sender = session.wire.stream.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        std::io::Write::write_all(&mut sender, &wire::sync().repeat(COUNT)).unwrap();
    });
    for _ in 0..COUNT {
        assert_eq!(tags(&session.wire.until_ready()), "Z");
    }
    flood.join().unwrap();
    assert_eq!(session.value("SELECT 1"), "1");
}

// === clients that never read ===

/// Floods the proxy with these bytes, reading nothing; it may grow by `mib` MiB.
/// A pipeline is kept in mind, about 100 bytes for each message that the sockets'
/// buffers between us and the server hold.
fn unread(unit: &[u8], limit: usize, mib: u64) {
    let proxy = proxy();
    let (mut session, _) = warm(&proxy);
    within_memory(&proxy, mib, || {
        let sent = flood(&mut session.wire, unit, limit);
        eprintln!("{sent} bytes were taken");
        assert_eq!(psql(&proxy, "SELECT 1"), "1", "others are served");
    });
    session.vanish();
    assert_eq!(psql(&proxy, "SELECT 1"), "1");
    proxy.stop();
}

#[test]
fn syncs_whose_answers_nobody_reads_are_not_kept() {
    unread(&wire::sync(), 100 * MIB, 32);
}

#[test]
fn show_commands_whose_answers_nobody_reads_are_not_kept() {
    unread(&wire::query("SHOW pool_nodes"), 10 * MIB, 32);
}

#[test]
fn errors_which_nobody_reads_are_not_kept() {
    let broken = [wire::parse("", "SELEKT"), wire::sync()].concat();
    unread(&broken, 20 * MIB, 64);
}

#[test]
fn large_results_which_nobody_reads_stay_with_the_server() {
    let large = wire::query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)");
    unread(&large.repeat(10), 2 * MIB, 32);
    let wide = wire::query("SELECT repeat('x', 100000000)");
    unread(&wide.repeat(10), 2 * MIB, 32);
}

#[test]
fn a_pipeline_whose_answers_nobody_reads_stays_with_the_server() {
    let read = [
        wire::parse("", "SELECT repeat('x', 100000)"),
        wire::bind("", "", &[]),
        wire::execute("", 0),
        wire::sync(),
    ];
    unread(&read.concat(), 20 * MIB, 64);
}

#[test]
fn a_result_that_nobody_reads_is_whole_when_it_is_read_at_last() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    session.send(&wire::query("SELECT repeat('x', 1000) FROM generate_series(1, 50000)"));
    wait_until("rows come", || session.has_answer());
    assert_eq!(psql(&proxy, "SELECT 1"), "1");
    let answer = session.wire.until_ready();
    let rows = answer.iter().filter(|message| message.tag == b'D');
    let sizes: usize = rows.map(|row| row.body.len()).sum();
    assert_eq!(sizes, 50_000 * (1_000 + 2 + 4));
    assert_eq!(raw::sqlstate(&answer), None);
}
