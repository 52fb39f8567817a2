//! The protocol message by message: versions, and corners that drivers hide.
#![allow(clippy::unwrap_used)]

use waypool_tests::raw::{Raw, sqlstate, tags, value};
use waypool_tests::wire::{self, Wire};
use waypool_tests::{Database, Proxy, primary_and_standby, program, psql, run};

fn proxy() -> Proxy {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0]).start()
}

const WHO: [(&str, &str); 2] = [("user", "postgres"), ("database", "postgres")];

#[test]
fn protocol_3_0_is_spoken_without_negotiation() {
    let proxy = proxy();
    let mut wire = Wire::connect(&proxy);
    wire.send(&wire::startup((3, 0), &WHO));
    let greeting = wire.until_ready();
    assert!(greeting.iter().all(|message| message.tag != b'v'), "{greeting:?}");
    let key = greeting.iter().find(|message| message.tag == b'K').unwrap();
    assert_eq!(key.body.len(), 8);
    proxy.stop();
}

#[test]
fn protocol_3_2_has_long_cancel_keys() {
    let proxy = proxy();
    let mut wire = Wire::connect(&proxy);
    wire.send(&wire::startup((3, 2), &WHO));
    let greeting = wire.until_ready();
    assert!(greeting.iter().all(|message| message.tag != b'v'), "{greeting:?}");
    let key = greeting.iter().find(|message| message.tag == b'K').unwrap();
    assert!(key.body.len() > 8, "the key has {} bytes", key.body.len() - 4);
    assert_eq!(value(&wire.query("SELECT 1")).unwrap(), "1");
    proxy.stop();
}

#[test]
fn a_newer_minor_version_and_unknown_options_are_negotiated_down() {
    let proxy = proxy();
    let mut wire = Wire::connect(&proxy);
    wire.send(&wire::startup((3, 9999), &[WHO[0], WHO[1], ("_pq_.shiny", "yes")]));
    let greeting = wire.until_ready();
    let negotiation = greeting.iter().find(|message| message.tag == b'v').unwrap();
    let expected = [&0x0003_0002_u32.to_be_bytes()[..], &1_u32.to_be_bytes(), b"_pq_.shiny\0"].concat();
    // Servers send the minor version alone or the whole number.
    let minor_alone = [&2_u32.to_be_bytes()[..], &1_u32.to_be_bytes(), b"_pq_.shiny\0"].concat();
    assert!(negotiation.body == expected || negotiation.body == minor_alone, "{negotiation:?}");
    assert_eq!(value(&wire.query("SELECT 1")).unwrap(), "1");
    proxy.stop();
}

#[test]
fn other_major_versions_are_refused() {
    let proxy = proxy();
    for major in [1, 2, 4] {
        let mut wire = Wire::connect(&proxy);
        wire.send(&wire::startup((major, 0), &WHO));
        let answer = wire.until_closed();
        assert_eq!(tags(&answer), "E", "version {major}");
        assert_eq!(answer[0].field(b'C').unwrap(), "0A000", "version {major}");
        assert_eq!(answer[0].field(b'S').unwrap(), "FATAL", "version {major}");
    }
    proxy.stop();
}

#[test]
fn an_unknown_database_is_refused_as_by_the_server() {
    let proxy = proxy();
    let refused = Raw::try_login(&proxy, &[("database", "missing")]).unwrap_err();
    assert_eq!(refused.field(b'C').unwrap(), "3D000");
    assert_eq!(refused.field(b'M').unwrap(), "database \"missing\" does not exist");
    let refused = Raw::try_login(&proxy, &[("user", "nobody_here")]).unwrap_err();
    assert_eq!(refused.field(b'C').unwrap(), "28000");
    proxy.stop();
}

#[test]
fn a_batch_is_answered_message_by_message() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let batch = [
        wire::parse("s", "SELECT n FROM generate_series(1, 5) AS n WHERE n > $1::int"),
        wire::describe(b'S', "s"),
        wire::bind("p", "s", &["1"]),
        wire::describe(b'P', "p"),
        wire::execute("p", 2),
        wire::execute("p", 1),
        wire::execute("p", 0),
        wire::close(b'P', "p"),
        wire::close(b'S', "s"),
        wire::sync(),
    ];
    session.send(&batch.concat());
    let answer = session.wire.until_ready();
    assert_eq!(tags(&answer), "1tT2TDDsDsDC33Z");
    // Its name is free again.
    session.send(&[wire::parse("s", "SELECT 1"), wire::sync()].concat());
    assert_eq!(tags(&session.wire.until_ready()), "1Z");
    proxy.stop();
}

#[test]
fn flush_brings_answers_without_a_sync() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    for (batch, expected) in [
        (wire::parse("", "SELECT $1::int"), "1"),
        (wire::describe(b'S', ""), "tT"),
        (wire::bind("", "", &["7"]), "2"),
        (wire::execute("", 0), "DC"),
    ] {
        session.send(&[batch, wire::flush()].concat());
        let answer: Vec<_> = expected.chars().map(|_| session.wire.next().unwrap()).collect();
        assert_eq!(tags(&answer), expected);
    }
    session.send(&wire::sync());
    assert_eq!(tags(&session.wire.until_ready()), "Z");
    proxy.stop();
}

#[test]
fn after_an_error_everything_up_to_the_sync_is_skipped() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let unnamed = |sql: &str| [wire::parse("", sql), wire::bind("", "", &[]), wire::execute("", 0)].concat();
    let batch = [
        unnamed("SELECT 1"),
        unnamed("SELECT 1 / 0"),
        unnamed("SELECT 2"),
        wire::query("SELECT 'skipped'"),
        wire::sync(),
        unnamed("SELECT 3"),
        wire::sync(),
        wire::sync(),
    ];
    session.send(&batch.concat());
    let first = session.wire.until_ready();
    // The division is computed at Bind, at the latest at Execute.
    assert!(["12DC1EZ", "12DC12EZ"].contains(&tags(&first).as_str()), "{}", tags(&first));
    assert_eq!(tags(&session.wire.until_ready()), "12DCZ");
    assert_eq!(tags(&session.wire.until_ready()), "Z");
    assert_eq!(session.value("SELECT 'goes on'"), "goes on");
    proxy.stop();
}

/// An unnamed statement, from Parse to Execute.
fn statement(sql: &str) -> Vec<u8> {
    [wire::parse("", sql), wire::bind("", "", &[]), wire::describe(b'P', ""), wire::execute("", 0)].concat()
}

#[test]
fn a_read_that_fails_on_the_standby_stops_the_write_behind_it() {
    let proxy = proxy();
    let database = Database::create("protocol_stops", "CREATE TABLE t (n int)");
    let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
    // In either order: one batch is one transaction, wherever its parts run.
    for batch in [
        ["SELECT 1 / 0", "INSERT INTO t VALUES (1)"],
        ["INSERT INTO t VALUES (1)", "SELECT 1 / 0"],
        ["SELECT count(*) FROM t", "INSERT INTO t VALUES (1 / 0)"],
    ] {
        session.send(&[statement(batch[0]), statement(batch[1]), wire::sync()].concat());
        let answer = session.wire.until_ready();
        assert_eq!(sqlstate(&answer).as_deref(), Some("22012"), "{batch:?}: {}", tags(&answer));
        assert_eq!(database.ask(0, "SELECT count(*) FROM t"), "0", "{batch:?}");
    }
    let batch =
        ["SELECT count(*) FROM t", "INSERT INTO t VALUES (1)", "SELECT count(*) FROM t"].map(statement);
    session.send(&[batch.concat(), wire::sync()].concat());
    let answer = session.wire.until_ready();
    let counts: Vec<_> =
        answer.iter().filter(|it| it.tag == b'D').map(|it| it.columns()[0].clone().unwrap()).collect();
    assert_eq!(counts, ["0", "1"], "{}", tags(&answer));
    proxy.stop();
}

#[test]
fn a_driver_that_begins_and_reads_in_one_batch_is_served() {
    let proxy = proxy();
    let database = Database::create("protocol_begins", "CREATE TABLE t (n int)");
    let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
    let begin = [wire::parse("", "BEGIN"), wire::bind("", "", &[]), wire::execute("", 0)].concat();
    let count = [wire::bind("", "S_1", &[]), wire::execute("", 0)].concat();
    for round in ["0", "1", "2"] {
        // As pgjdbc does without autocommit: BEGIN has no Sync of its own.
        let prepare = if round == "0" { wire::parse("S_1", "SELECT count(*) FROM t") } else { Vec::new() };
        session.send(&[begin.clone(), prepare, count.clone(), wire::sync()].concat());
        let answer = session.wire.until_ready();
        assert_eq!(value(&answer).as_deref(), Some(round), "{}", tags(&answer));
        assert_eq!(answer.last().unwrap().body, b"T");
        session.send(&[statement("INSERT INTO t VALUES (1)"), count.clone(), wire::sync()].concat());
        let answer = session.wire.until_ready();
        assert_eq!(
            value(&answer),
            Some((round.parse::<u32>().unwrap() + 1).to_string()),
            "{}",
            tags(&answer)
        );
        session.send(&[statement("COMMIT"), wire::sync()].concat());
        assert_eq!(session.wire.until_ready().last().unwrap().body, b"I");
    }
    proxy.stop();
}

#[test]
fn a_function_is_called_by_its_message() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    let oid: u32 = session.value("SELECT 'int4pl'::regproc::oid::int8").parse().unwrap();
    let call = [
        &oid.to_be_bytes()[..],
        // Two arguments, all as text, and the result as well.
        &0_u16.to_be_bytes(),
        &2_u16.to_be_bytes(),
        &2_u32.to_be_bytes(),
        b"40",
        &1_u32.to_be_bytes(),
        b"2",
        &0_u16.to_be_bytes(),
    ];
    session.send(&wire::message(b'F', &call));
    let answer = session.wire.until_ready();
    assert_eq!(tags(&answer), "VZ");
    assert_eq!(&answer[0].body[4..], b"42");
    proxy.stop();
}

#[test]
fn an_empty_query_is_answered_as_such() {
    let proxy = proxy();
    let mut session = Raw::login(&proxy);
    for empty in ["", ";", "  -- nothing", "/* nothing */ ;"] {
        assert_eq!(tags(&session.query(empty)), "IZ", "{empty:?}");
    }
    session
        .send(&[wire::parse("", ""), wire::bind("", "", &[]), wire::execute("", 0), wire::sync()].concat());
    assert_eq!(tags(&session.wire.until_ready()), "12IZ");
    proxy.stop();
}

#[test]
fn unix_sockets_serve_both_legs() {
    let proxy = Proxy::builder(primary_and_standby())
        .over_unix_sockets(primary_and_standby())
        .top("listen_addresses = []")
        .weights(&[0.0, 1.0])
        .start();
    let mut client = program(&proxy, "psql");
    client.env("PGHOST", proxy.socket_dir()).args(["-XAtc", "SELECT inet_server_port() IS NULL"]);
    assert_eq!(run(&mut client, "").ok(), "t\n");
    let mut client = program(&proxy, "psql");
    client
        .env("PGHOST", proxy.socket_dir())
        .args(["-XAtc", "CREATE TEMP TABLE t AS SELECT 1; SELECT * FROM t"]);
    assert_eq!(run(&mut client, "").ok(), "SELECT 1\n1\n");
    let socket = proxy.socket_dir().join(format!(".s.PGSQL.{}", proxy.port()));
    assert!(socket.exists());
    proxy.stop();
    assert!(!socket.exists(), "the socket is left behind");
}

#[test]
fn show_tells_of_the_servers_and_the_version() {
    let proxy = Proxy::builder(primary_and_standby()).weights(&[1.0, 3.0]).start();
    assert!(psql(&proxy, "SHOW pool_version").contains("Waypool"));
    let mut shown = program(&proxy, "psql");
    shown.args(["-XA", "-P", "footer=off", "-c", "SHOW pool_nodes"]);
    let shown = run(&mut shown, "").ok();
    let mut lines = shown.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let columns = "node_id hostname port status pg_status lb_weight role pg_role select_cnt load_balance_node \
                   replication_delay replication_state replication_sync_state last_status_change";
    assert_eq!(lines.next().unwrap(), columns.split_whitespace().collect::<Vec<_>>());
    let (primary, standby) = (lines.next().unwrap(), lines.next().unwrap());
    let ports = primary_and_standby().servers().iter().map(|server| server.port().to_string());
    let ports: Vec<String> = ports.collect();
    assert_eq!(primary[..8], ["0", "127.0.0.1", &ports[0], "up", "up", "0.250000", "primary", "primary"]);
    assert_eq!(standby[..8], ["1", "127.0.0.1", &ports[1], "up", "up", "0.750000", "standby", "standby"]);
    assert_ne!(primary[9], standby[9], "one of the two is the load balance node");
    assert_eq!(standby[11..13], ["streaming", "sync"]);
    // What is not Waypool's own is the server's.
    assert_eq!(psql(&proxy, "SHOW server_version_num").len(), 6);
    proxy.stop();
}
