//! Prepared statements, by message and by SQL.

use super::{connections, one_connection};
use waypool_tests::raw::{self, Raw, sqlstate, tags, value};
use waypool_tests::wire::{bind, close, describe, execute, parse, sync};
use waypool_tests::{Database, primary_and_standby, wire};

/// Prepares without executing.
fn prepare(client: &mut Raw, name: &str, sql: &str) {
    client.send(&[parse(name, sql), describe(b'S', name), sync()].concat());
    let answer = client.wire.until_ready();
    assert!(matches!(tags(&answer).as_str(), "1tTZ" | "1tnZ"), "{}", tags(&answer));
}

fn run(client: &mut Raw, name: &str, values: &[&str]) -> Vec<wire::Message> {
    client.send(&[bind("", name, values), execute("", 0), sync()].concat());
    client.wire.until_ready()
}

const COUNT: &str = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'wp%'";

#[test]
fn the_same_text_is_prepared_once_whatever_clients_call_it() {
    let proxy = one_connection().start();
    let mut clients: Vec<Raw> = (0..5).map(|_| Raw::login(&proxy)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        prepare(client, &format!("mine{n}"), "SELECT $1::int + 1");
        prepare(client, "own", &format!("SELECT {n}"));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(value(&run(client, &format!("mine{n}"), &["41"])).as_deref(), Some("42"));
        assert_eq!(value(&run(client, "own", &[])).as_deref(), Some(n.to_string().as_str()));
        // A simple query in between, and the other's name is not known here.
        client.run("SELECT 1");
        let other = run(client, &format!("mine{}", (n + 1) % 5), &["1"]);
        assert_eq!(sqlstate(&other).as_deref(), Some("26000"));
    }
    assert_eq!(clients[0].value(COUNT), "6");
    // Closed by one client, they are there for the others.
    clients[0].send(&[close(b'S', "mine0"), sync()].concat());
    assert_eq!(tags(&clients[0].wire.until_ready()), "3Z");
    assert_eq!(sqlstate(&run(&mut clients[0], "mine0", &["1"])).as_deref(), Some("26000"));
    assert_eq!(value(&run(&mut clients[1], "mine1", &["1"])).as_deref(), Some("2"));
    proxy.stop();
}

/// What a server answers directly and through the proxy must be the same bytes.
#[test]
fn names_mean_what_they_mean_to_postgresql() {
    let proxy = one_connection().start();
    let server = primary_and_standby().primary();
    let mut other = Raw::login(&proxy);
    prepare(&mut other, "a", "SELECT 'somebody else''s'");
    let conversation: Vec<Vec<u8>> = vec![
        // Unknown statements: to Bind, to Describe, to Close; unnamed ones too.
        [bind("", "a", &[]), execute("", 0), sync()].concat(),
        [describe(b'S', "a"), sync()].concat(),
        [close(b'S', "a"), sync()].concat(),
        [bind("", "", &[]), execute("", 0), sync()].concat(),
        [describe(b'S', ""), sync()].concat(),
        [parse("a", "SELECT 1"), sync()].concat(),
        // Twice the same name, twice.
        [parse("a", "SELECT 2"), sync()].concat(),
        [parse("a", "SELECT 2"), bind("", "a", &[]), execute("", 0), sync()].concat(),
        [bind("", "a", &[]), execute("", 0), sync()].concat(),
        [close(b'S', "a"), parse("a", "SELECT 3"), bind("", "a", &[]), execute("", 0), sync()].concat(),
        // A Parse that fails leaves no name behind.
        [parse("b", "SELECT nonsense"), describe(b'S', "b"), sync()].concat(),
        [bind("", "b", &[]), sync()].concat(),
        [parse("b", "SELECT 4"), describe(b'S', "b"), bind("", "b", &[]), execute("", 0), sync()].concat(),
        // Nor does one behind an error.
        [bind("", "nothing", &[]), parse("c", "SELECT 5"), sync()].concat(),
        [bind("", "c", &[]), sync()].concat(),
        [parse("c", "SELECT 5"), bind("", "c", &[]), execute("", 0), sync()].concat(),
        // The unnamed one: over several cycles, and gone after a Query.
        [parse("", "SELECT 6"), sync()].concat(),
        [bind("", "", &[]), execute("", 0), sync()].concat(),
        wire::query("SELECT 7"),
        [bind("", "", &[]), sync()].concat(),
        // In a transaction that has failed.
        wire::query("BEGIN"),
        wire::query("SELECT 1/0"),
        [parse("d", "SELECT 8"), sync()].concat(),
        [bind("", "a", &[]), sync()].concat(),
        wire::query("ROLLBACK"),
        [bind("", "d", &[]), sync()].concat(),
        // By SQL.
        wire::query("DEALLOCATE a"),
        [bind("", "a", &[]), sync()].concat(),
        wire::query("DEALLOCATE a"),
        wire::query("PREPARE s AS SELECT 9"),
        wire::query("EXECUTE s"),
        wire::query("PREPARE s AS SELECT 10"),
        wire::query("DEALLOCATE s"),
        wire::query("EXECUTE s"),
        wire::query("DEALLOCATE ALL"),
        [bind("", "b", &[]), sync()].concat(),
        [parse("b", "SELECT 11"), bind("", "b", &[]), execute("", 0), sync()].concat(),
        wire::query("DISCARD ALL"),
        [bind("", "b", &[]), sync()].concat(),
        [parse("b", "SELECT 12"), bind("", "b", &[]), execute("", 0), sync()].concat(),
    ];
    let mut direct = Raw::direct(server, &[]);
    let mut through = Raw::login(&proxy);
    for (n, messages) in conversation.iter().enumerate() {
        direct.send(messages);
        through.send(messages);
        let (expected, came) = (direct.wire.until_ready(), through.wire.until_ready());
        let show = |answer: &[wire::Message]| answer.iter().map(raw::text).collect::<Vec<_>>();
        assert_eq!(show(&came), show(&expected), "conversation, part {n}");
        if came.last().is_some_and(|ready| ready.body == b"I") {
            assert_eq!(value(&run(&mut other, "a", &[])).as_deref(), Some("somebody else's"), "part {n}");
        }
    }
    proxy.stop();
}

#[test]
fn names_of_ours_are_not_to_be_had() {
    let proxy = one_connection().start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    prepare(&mut one, "secret", "SELECT 'a secret'");
    let name = one.value("SELECT name FROM pg_prepared_statements WHERE name LIKE 'wp%' LIMIT 1");
    assert_eq!(sqlstate(&run(&mut two, &name, &[])).as_deref(), Some("26000"));
    two.send(&[describe(b'S', &name), sync()].concat());
    assert_eq!(sqlstate(&two.wire.until_ready()).as_deref(), Some("26000"));
    two.send(&[close(b'S', &name), sync()].concat());
    assert_eq!(tags(&two.wire.until_ready()), "3Z");
    assert_eq!(value(&run(&mut one, "secret", &[])).as_deref(), Some("a secret"));
    proxy.stop();
}

#[test]
fn those_used_least_are_closed() {
    let proxy = one_connection().top("max_prepared_statements = 3").start();
    let mut client = Raw::login(&proxy);
    for n in 0..10 {
        prepare(&mut client, &format!("s{n}"), &format!("SELECT {n}"));
        assert!(client.value(COUNT).parse::<usize>().unwrap() <= 3);
    }
    for n in (0..10).chain((0..10).rev()) {
        assert_eq!(value(&run(&mut client, &format!("s{n}"), &[])).as_deref(), Some(&*n.to_string()));
    }
    // All in one cycle, with an error in the middle: what was closed for it and
    // what was not is sorted out.
    let cycle = |names: &[&str]| -> Vec<u8> {
        let one = |name: &&str| [bind("", name, &[]), execute("", 0)].concat();
        names.iter().flat_map(one).chain(sync()).collect()
    };
    client.send(&cycle(&["s0", "s1", "s2", "nothing", "s3", "s4", "s5"]));
    assert_eq!(sqlstate(&client.wire.until_ready()).as_deref(), Some("26000"));
    for n in 0..10 {
        assert_eq!(value(&run(&mut client, &format!("s{n}"), &[])).as_deref(), Some(&*n.to_string()));
    }
    proxy.stop();
}

#[test]
fn statements_prepared_by_sql_come_along() {
    let proxy = one_connection().start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    one.run("PREPARE p(int) AS SELECT $1 + 1");
    two.run("PREPARE p(int) AS SELECT $1 * 2");
    for _ in 0..2 {
        assert_eq!(one.value("EXECUTE p(10)"), "11");
        assert_eq!(two.value("EXECUTE p(10)"), "20");
    }
    two.run("DEALLOCATE p");
    assert_eq!(two.error("EXECUTE p(1)"), "26000");
    assert_eq!(one.value("EXECUTE p(11)"), "12");
    let mut three = Raw::login(&proxy);
    assert_eq!(three.error("EXECUTE p(1)"), "26000");
    proxy.stop();
}

#[test]
fn an_outdated_plan_is_made_anew() {
    let database = Database::create("pool_outdated", "CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let proxy = connections(3).weights(&[1.0, 0.0]).start();
    let parameters = [("database", database.name)];
    let mut clients: Vec<Raw> = (0..3).map(|_| Raw::login_with(&proxy, &parameters)).collect();
    for client in &mut clients {
        client.run("BEGIN");
        prepare(client, "s", "SELECT * FROM t");
    }
    for client in &mut clients {
        client.run("COMMIT");
        run(client, "s", &[]);
    }
    for round in 1..4 {
        // Not through the proxy: it cannot know.
        database.change(&format!("ALTER TABLE t ADD COLUMN b{round} int"));
        for client in &mut clients {
            let answer = run(client, "s", &[]);
            assert_eq!(sqlstate(&answer), None, "round {round}");
            let row = answer.iter().find(|message| message.tag == b'D').unwrap();
            assert_eq!(row.columns().len(), 1 + round);
        }
    }
    // In a transaction it fails as it does directly, and is mended afterwards.
    clients[0].run("BEGIN");
    run(&mut clients[0], "s", &[]);
    clients[0].run("COMMIT");
    database.change("ALTER TABLE t ADD COLUMN z int");
    clients[0].run("BEGIN");
    assert_eq!(sqlstate(&run(&mut clients[0], "s", &[])).as_deref(), Some("0A000"));
    clients[0].run("ROLLBACK");
    assert_eq!(sqlstate(&run(&mut clients[0], "s", &[])), None);
    proxy.stop();
}

#[test]
fn statements_dropped_behind_our_back_are_prepared_again() {
    let proxy = one_connection().start();
    let mut client = Raw::login(&proxy);
    prepare(&mut client, "s", "SELECT 5");
    client.run("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$");
    assert_eq!(value(&run(&mut client, "s", &[])).as_deref(), Some("5"));
    proxy.stop();
}
