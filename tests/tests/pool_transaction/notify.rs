//! LISTEN pins nobody: the proxy listens, and hands on what comes.

use super::{connections, one_connection};
use waypool_tests::console::Console;
use waypool_tests::raw::{Raw, expect_fatal, extended, sqlstate, tags};
use waypool_tests::wire::{self, Message};
use waypool_tests::{Database, Proxy, python, run, wait_until};

/// The proxy's own connections in this database.
const OWN: &str =
    "FROM pg_stat_activity WHERE application_name = 'waypool listen' AND datname = current_database()";

fn client(proxy: &Proxy, database: Database) -> Raw {
    Raw::login_with(proxy, &[("database", database.name)])
}

/// `channel payload` of a notification.
fn told(message: &Message) -> String {
    assert_eq!(message.tag, b'A', "{message:?}");
    let text = String::from_utf8_lossy(&message.body[4..]);
    text.strip_suffix('\0').unwrap().replace('\0', " ")
}

/// The next notification; nothing else may come before it.
#[track_caller]
fn heard(client: &mut Raw) -> String {
    told(&client.wire.next().expect("a notification"))
}

fn channels(client: &mut Raw) -> String {
    client.value("SELECT coalesce(string_agg(c, ',' ORDER BY c), '') FROM pg_listening_channels() c")
}

fn own_connections(database: Database) -> String {
    database.ask(0, &format!("SELECT count(*) {OWN}"))
}

#[test]
fn more_listeners_than_connections() {
    let database = Database::create("pool_notify_crowd", "");
    let proxy =
        one_connection().top("pinning = false\nworker_threads = 2\nadmin_users = [\"postgres\"]").start();
    let mut clients: Vec<_> = (0..6).map(|_| client(&proxy, database)).collect();
    for one in &mut clients {
        one.run("LISTEN news");
        one.run("LISTEN news");
    }
    clients[0].run("NOTIFY news, 'one'");
    client(&proxy, database).run("SELECT pg_notify('news', 'two'), pg_notify('nobodys', 'x')");
    database.ask(0, "NOTIFY news, 'three'");
    for one in &mut clients {
        assert_eq!([heard(one), heard(one), heard(one)], ["news one", "news two", "news three"]);
        one.run("SELECT 1");
    }
    assert_eq!(own_connections(database), "1");
    let lists = Console::login(&proxy).show("LISTS");
    let items = |list| lists.one(&[("list", list)]).number("items");
    assert_eq!((items("listening_servers"), items("listening_clients")), (1, 6));
    proxy.stop();
}

#[test]
fn transactions_decide_what_a_client_listens_to() {
    let database = Database::create("pool_notify_commit", "");
    let proxy = one_connection().start();
    let mut one = client(&proxy, database);
    one.run("LISTEN a");
    for (statements, expected) in [
        (&["BEGIN", "LISTEN b", "UNLISTEN a", "ROLLBACK"][..], "a"),
        (&["BEGIN", "SAVEPOINT s", "LISTEN b", "ROLLBACK TO s", "LISTEN c", "COMMIT"], "a,c"),
        (&["BEGIN", "SAVEPOINT s", "LISTEN b", "ROLLBACK TO s", "COMMIT"], "a,c"),
        (&["BEGIN", "LISTEN d", "SAVEPOINT s", "UNLISTEN a", "ROLLBACK TO s", "COMMIT"], "a,c,d"),
        (&["BEGIN", "LISTEN e", "COMMIT AND CHAIN", "LISTEN f", "ROLLBACK"], "a,c,d,e"),
        (&["BEGIN", "LISTEN f", "ROLLBACK AND CHAIN", "LISTEN g", "COMMIT"], "a,c,d,e,g"),
        (&["BEGIN", "UNLISTEN a", "UNLISTEN c", "LISTEN c", "COMMIT"], "c,d,e,g"),
        (&["BEGIN", "UNLISTEN *", "LISTEN \"X \"\"y\"", "COMMIT"], "X \"y"),
    ] {
        statements.iter().for_each(|statement| one.run(statement));
        assert_eq!(channels(&mut one), expected, "{statements:?}");
    }
    one.run("BEGIN");
    one.run("LISTEN failed");
    assert_eq!(one.error("SELECT 1 / 0"), "22012");
    one.run("COMMIT");
    assert_eq!(channels(&mut one), "X \"y");
    database.ask(0, "NOTIFY failed; NOTIFY \"X \"\"y\", 'still'");
    assert_eq!(heard(&mut one), "X \"y still");
    proxy.stop();
}

#[test]
fn a_client_hears_between_its_transactions() {
    let database = Database::create("pool_notify_between", "");
    let proxy = connections(2).weights(&[1.0, 0.0]).start();
    let (mut one, mut two) = (client(&proxy, database), client(&proxy, database));
    one.run("LISTEN a");
    two.run("LISTEN a");
    one.run("BEGIN");
    two.run("NOTIFY a");
    assert_eq!(heard(&mut two), "a ");
    assert_eq!(tags(&one.query("SELECT 1")), "TDCZ", "in a transaction nothing comes");
    one.run("ROLLBACK");
    assert_eq!(heard(&mut one), "a ");
    // Of what a transaction notifies that has just begun to listen, it hears first.
    one.run("BEGIN");
    one.run("LISTEN b");
    one.run("NOTIFY b, 'own'");
    let answer = one.query("COMMIT");
    assert_eq!(tags(&answer), "CAZ");
    assert_eq!(told(&answer[1]), "b own");
    one.run("NOTIFY b, 'again'");
    assert_eq!(heard(&mut one), "b again");
    proxy.stop();
}

#[test]
fn unlisten_reaches_the_server() {
    let database = Database::create("pool_notify_unlisten", "");
    let proxy = one_connection().start();
    let (mut one, mut two) = (client(&proxy, database), client(&proxy, database));
    one.run("LISTEN x");
    one.run("LISTEN y");
    two.run("LISTEN z");
    one.run("UNLISTEN x");
    database.ask(0, "NOTIFY x; NOTIFY y");
    assert_eq!(heard(&mut one), "y ");
    wait_until("the proxy's connection does not listen to x", || database.count(0, "UNLISTEN \"x\"") == 1);
    two.vanish();
    wait_until("nor to z, whose client is gone", || database.count(0, "UNLISTEN \"z\"") == 1);
    one.run("DISCARD ALL");
    assert_eq!(channels(&mut one), "");
    wait_until("nobody listens: it is closed", || own_connections(database) == "0");
    // As asyncpg cleans up what it keeps.
    one.run("LISTEN x");
    one.run("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL");
    assert_eq!(channels(&mut one), "");
    wait_until("it is closed again", || own_connections(database) == "0");
    one.run("LISTEN x");
    one.leave();
    wait_until("it is closed with its last client", || own_connections(database) == "0");
    proxy.stop();
}

#[test]
fn texts_and_functions_that_listen() {
    let setup = "CREATE FUNCTION hears() RETURNS void LANGUAGE plpgsql AS 'BEGIN LISTEN f; END'";
    let database = Database::create("pool_notify_texts", setup);
    // A text of several statements pins whoever sends it.
    let proxy = connections(2).weights(&[1.0, 0.0]).start();
    let (mut one, mut two) = (client(&proxy, database), client(&proxy, database));
    one.run("LISTEN a; LISTEN b; UNLISTEN a");
    one.run("DO $$ BEGIN LISTEN d; END $$");
    one.run("DISCARD PLANS");
    assert_eq!(channels(&mut one), "b,d");
    two.run("SELECT hears()");
    wait_until("the function's channel counts", || channels(&mut two) == "f");
    one.run("NOTIFY b; NOTIFY d; NOTIFY f");
    assert_eq!([heard(&mut one), heard(&mut one), heard(&mut two)], ["b ", "d ", "f "]);
    proxy.stop();
}

#[test]
fn by_the_extended_protocol() {
    let database = Database::create("pool_notify_extended", "");
    let proxy = one_connection().start();
    let (mut one, mut two) = (client(&proxy, database), client(&proxy, database));
    one.send(&extended("LISTEN a"));
    let answer = one.wire.until_ready();
    assert_eq!(tags(&answer), "12CZ");
    assert_eq!(answer[2].body, b"LISTEN\0");
    two.send(&extended("NOTIFY a, 'x'"));
    assert_eq!(tags(&two.wire.until_ready()), "12CZ");
    assert_eq!(heard(&mut one), "a x");
    // What is sent behind a LISTEN without waiting for its answer.
    one.send(&[extended("LISTEN b"), extended("NOTIFY b, 'y'"), extended("SELECT 1")].concat());
    let answers: Vec<_> = (0..3).flat_map(|_| one.wire.until_ready()).collect();
    let mut all = tags(&answers);
    if !all.contains('A') {
        assert_eq!(heard(&mut one), "b y");
        all.push('A');
    }
    assert_eq!(all.replace('A', ""), "12CZ12CZ12DCZ");
    // Prepared, flushed, and run later.
    one.send(&[wire::parse("", "UNLISTEN a"), wire::flush()].concat());
    assert_eq!(one.wire.next().unwrap().tag, b'1');
    one.send(&[wire::bind("", "", &[]), wire::execute("", 0), wire::sync()].concat());
    assert_eq!(tags(&one.wire.until_ready()), "2CZ");
    assert_eq!(channels(&mut one), "b");
    assert_eq!(sqlstate(&two.query("SELECT 1")), None);
    proxy.stop();
}

#[test]
fn psycopg_hears_its_notifications() {
    let database = Database::create("pool_notify_psycopg", "");
    let proxy = connections(1).weights(&[0.0, 1.0]).start();
    run(python(&proxy, "notices.py").env("WAYPOOL_TEST_DATABASE", database.name), "").ok();
    proxy.stop();
}

#[test]
fn payloads_come_in_the_encoding_of_the_client() {
    let database = Database::create("pool_notify_encoding", "");
    let proxy = one_connection().start();
    let latin = [("database", database.name), ("client_encoding", "LATIN1")];
    let (mut one, mut two) = (Raw::login_with(&proxy, &latin), client(&proxy, database));
    one.run("LISTEN a");
    two.run("LISTEN a");
    two.run("NOTIFY a, 'é'");
    assert_eq!(heard(&mut two), "a é");
    assert_eq!(one.wire.next().unwrap().body[4..], *b"a\0\xe9\0");
    proxy.stop();
}

#[test]
fn who_listened_on_a_lost_connection_is_told() {
    let database = Database::create("pool_notify_lost", "");
    let proxy = one_connection().start();
    let (mut one, mut two) = (client(&proxy, database), client(&proxy, database));
    one.run("LISTEN a");
    database.ask(0, &format!("SELECT pg_terminate_backend(pid) {OWN}"));
    let error = expect_fatal(&mut one.wire, "57P01");
    assert!(error.field(b'H').unwrap().contains("LISTEN"), "{error:?}");
    two.run("LISTEN a");
    two.run("NOTIFY a");
    assert_eq!(heard(&mut two), "a ");
    proxy.stop();
}

#[test]
fn what_waits_for_a_client_is_limited() {
    let database = Database::create("pool_notify_limit", "");
    let proxy = connections(2).weights(&[1.0, 0.0]).start();
    let mut one = client(&proxy, database);
    one.run("LISTEN a");
    one.run("BEGIN");
    database.ask(0, "SELECT count(pg_notify('a', n || repeat('x', 7900))) FROM generate_series(1, 2500) n");
    expect_fatal(&mut one.wire, "54000");
    proxy.stop();
}
