//! What a client has set goes along with it, and with nobody else.

use super::{connections, one_connection};
use waypool_tests::raw::{self, Raw};
use waypool_tests::{Database, Proxy, primary_and_standby, wire};

fn show(client: &mut Raw, name: &str) -> String {
    client.value(&format!("SHOW {name}"))
}

#[test]
fn settings_belong_to_their_client() {
    let proxy = one_connection().start();
    let mut clients: Vec<Raw> = (0..3).map(|_| Raw::login(&proxy)).collect();
    let pid = clients[0].backend_pid();
    for (n, client) in clients.iter_mut().enumerate() {
        client.run(&format!("SET work_mem = '{}MB'", n + 10));
        client.run(&format!("SET application_name TO 'client {n}' -- a comment"));
        client.run(&format!("SET SESSION search_path TO s{n}, public;"));
    }
    clients[1].run("SET TIME ZONE 'Asia/Tokyo'");
    for round in 0..2 {
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(show(client, "work_mem"), format!("{}MB", n + 10), "round {round}");
            assert_eq!(show(client, "application_name"), format!("client {n}"));
            assert_eq!(show(client, "search_path"), format!("s{n}, public"));
            assert_eq!(show(client, "timezone") == "Asia/Tokyo", n == 1);
            assert_eq!(client.backend_pid(), pid);
        }
    }
    clients[1].run("RESET work_mem");
    clients[2].run("RESET ALL");
    assert_eq!(show(&mut clients[0], "work_mem"), "10MB");
    assert_eq!(show(&mut clients[1], "work_mem"), "4MB");
    assert_eq!(show(&mut clients[2], "work_mem"), "4MB");
    assert_eq!(show(&mut clients[2], "search_path"), "\"$user\", public");
    assert_eq!(show(&mut clients[1], "search_path"), "s1, public");
    proxy.stop();
}

#[test]
fn what_a_startup_packet_sets_is_the_clients_own() {
    let proxy = one_connection().start();
    let odd = "it's a \\ name";
    let first = [
        ("application_name", odd),
        ("TimeZone", "Asia/Tokyo"),
        ("search_path", "a, \"B c\""),
        ("datestyle", "German"),
    ];
    let mut one = Raw::login_with(&proxy, &first);
    let mut two = Raw::login_with(&proxy, &[("application_name", "two")]);
    for _ in 0..2 {
        assert_eq!(show(&mut one, "application_name"), odd);
        assert_eq!(show(&mut one, "search_path"), "a, \"B c\"");
        assert_eq!(show(&mut one, "datestyle"), "German, DMY");
        assert_eq!(show(&mut two, "application_name"), "two");
        assert_ne!(show(&mut two, "timezone"), "Asia/Tokyo");
    }
    // To which RESET leads back, also after something else.
    one.run("SET timezone = 'UTC'");
    one.run("RESET timezone");
    assert_eq!(show(&mut two, "application_name"), "two");
    assert_eq!(show(&mut one, "timezone"), "Asia/Tokyo");
    one.run("SET application_name = 'other'");
    one.run("DISCARD ALL");
    assert_eq!(show(&mut two, "application_name"), "two");
    assert_eq!(show(&mut one, "application_name"), odd);
    // What the server refuses is refused with the server's words.
    let refused = Raw::try_login(&proxy, &[("datestyle", "nonsense")]).err().unwrap();
    assert_eq!(refused.field(b'C').as_deref(), Some("22023"));
    proxy.stop();
}

#[test]
fn a_client_knows_what_is_set_wherever_it_is() {
    let proxy = one_connection().start();
    let told = |messages: &[wire::Message], name: &str| {
        let wanted = format!("{name}\0");
        let of =
            |message: &&wire::Message| message.tag == b'S' && message.body.starts_with(wanted.as_bytes());
        messages.iter().filter(of).map(raw::text).collect::<Vec<_>>()
    };
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    assert_eq!(told(&one.query("SET timezone = 'Asia/Tokyo'"), "TimeZone"), ["S TimeZone Asia/Tokyo "]);
    // Two is not told of what one has set, nor one of what was reset for two.
    assert!(told(&two.query("SELECT 1"), "TimeZone").is_empty());
    assert!(told(&one.query("SELECT 1"), "TimeZone").is_empty());
    assert!(told(&two.query("SET timezone = 'Asia/Tokyo'"), "TimeZone").len() == 1);
    proxy.stop();
}

#[test]
fn a_rolled_back_setting_is_nobodys() {
    let proxy = one_connection().start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    one.run("SET work_mem = '10MB'");
    one.run("BEGIN");
    one.run("SET work_mem = '11MB'");
    one.run("SET LOCAL temp_buffers = '9MB'");
    one.run("SAVEPOINT a");
    one.run("SET work_mem = '12MB'");
    one.run("SET statement_timeout = '1h'");
    one.run("ROLLBACK TO a");
    assert_eq!(show(&mut one, "work_mem"), "11MB");
    one.run("COMMIT");
    assert_eq!(show(&mut two, "work_mem"), "4MB");
    assert_eq!(show(&mut two, "statement_timeout"), "0");
    assert_eq!(show(&mut two, "temp_buffers"), "8MB");
    assert_eq!(show(&mut one, "work_mem"), "11MB");
    assert_eq!(show(&mut one, "statement_timeout"), "0");
    one.run("BEGIN");
    one.run("SET work_mem = '13MB'");
    one.run("ROLLBACK");
    assert_eq!(show(&mut two, "work_mem"), "4MB");
    assert_eq!(show(&mut one, "work_mem"), "11MB");
    // A pipeline in which something fails behind a COMMIT.
    let texts = ["BEGIN", "SET work_mem = '14MB'", "COMMIT", "SELECT 1/0"];
    let message = |sql: &&str| [wire::parse("", sql), wire::bind("", "", &[]), wire::execute("", 0)].concat();
    let mut pipeline: Vec<u8> = texts.iter().flat_map(message).collect();
    pipeline.extend(wire::sync());
    one.send(&pipeline);
    one.wire.until_ready();
    assert_eq!(show(&mut two, "work_mem"), "4MB");
    proxy.stop();
}

#[test]
fn a_role_is_left_with_the_connection() {
    let database = Database::create(
        "pool_role",
        "DROP ROLE IF EXISTS pool_role_limited; CREATE ROLE pool_role_limited; CREATE TABLE t (n int);
         ALTER ROLE pool_role_limited SET work_mem = '3MB'",
    );
    let proxy = one_connection().start();
    let parameters = [("database", database.name)];
    let (mut one, mut two) = (Raw::login_with(&proxy, &parameters), Raw::login_with(&proxy, &parameters));
    one.run("SET ROLE pool_role_limited");
    assert_eq!(one.error("SELECT * FROM t"), "42501");
    assert_eq!(two.value("SELECT count(*) FROM t"), "0");
    assert_eq!(two.value("SELECT current_user"), "postgres");
    assert_eq!(one.value("SELECT current_user"), "pool_role_limited");
    one.run("RESET ROLE");
    one.run("SET SESSION AUTHORIZATION pool_role_limited");
    assert_eq!(two.value("SELECT session_user"), "postgres");
    assert_eq!(one.value("SELECT session_user"), "pool_role_limited");
    one.run("RESET SESSION AUTHORIZATION");
    assert_eq!(one.value("SELECT session_user"), "postgres");
    proxy.stop();
}

#[test]
fn what_a_function_sets_goes_to_nobody_else() {
    let setup = "CREATE FUNCTION quiet() RETURNS void LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM set_config('work_mem', '9MB', false); END $$";
    let database = Database::create("pool_function_sets", setup);
    let proxy = one_connection().start();
    let parameters = [("database", database.name)];
    let (mut one, mut two) = (Raw::login_with(&proxy, &parameters), Raw::login_with(&proxy, &parameters));
    one.run("SELECT quiet()");
    assert_eq!(show(&mut two, "work_mem"), "4MB");
    one.run("DO $$ BEGIN SET work_mem = '9MB'; END $$");
    assert_eq!(show(&mut two, "work_mem"), "4MB");
    proxy.stop();
}

#[test]
fn a_literal_set_config_is_a_set() {
    let proxy = one_connection().start();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    one.run("SELECT set_config('TimeZone', 'Asia/Tokyo', false)");
    assert_ne!(show(&mut two, "timezone"), "Asia/Tokyo");
    assert_eq!(show(&mut one, "timezone"), "Asia/Tokyo");
    one.run("SELECT pg_catalog.set_config('search_path', '', false)");
    assert_eq!(show(&mut two, "search_path"), "\"$user\", public");
    assert_eq!(show(&mut one, "search_path"), "");
    proxy.stop();
}

#[test]
fn standbys_have_the_settings_too() {
    let proxy = connections(1).weights(&[0.0, 1.0]).start();
    let standby = primary_and_standby().server(1).port();
    let (mut one, mut two) = (Raw::login(&proxy), Raw::login(&proxy));
    let read = "SELECT current_setting('work_mem') || ' ' || inet_server_port()";
    one.run("SET work_mem = '10MB'");
    assert_eq!(two.value(read), format!("4MB {standby}"));
    assert_eq!(one.value(read), format!("10MB {standby}"));
    one.run("BEGIN");
    one.run("SET work_mem = '11MB'");
    assert_eq!(one.value("SELECT current_setting('work_mem')"), "11MB");
    one.run("ROLLBACK");
    assert_eq!(one.value(read), format!("10MB {standby}"));
    assert_eq!(two.value(read), format!("4MB {standby}"));
    proxy.stop();
}

#[test]
fn ten_thousand_idle_clients_could_begin_without_a_server_connection() {
    let proxy: Proxy = one_connection().start();
    let mut holder = Raw::login(&proxy);
    holder.run("BEGIN");
    // The only server connection is in use, and they are greeted all the same.
    let mut clients: Vec<Raw> = (0..50).map(|_| Raw::login(&proxy)).collect();
    holder.run("COMMIT");
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.value(&format!("SELECT {n}")), n.to_string());
    }
    proxy.stop();
}
