//! Who comes in, and as whom.

use std::process::Command;
use std::sync::LazyLock;

use waypool_sandbox::{Auth, Cluster};
use waypool_tests::plugins::{Stats, WITNESS, Witness, observed, testimonies};
use waypool_tests::raw::{Raw, text};
use waypool_tests::{Builder, Database, Finished, Proxy, program, python, run};

use crate::builder;

/// Some roles and a database for all tests here.
static DATABASE: LazyLock<Database> = LazyLock::new(|| {
    let database = Database::create("gates", "CREATE TABLE house AS SELECT 'yours' AS whose");
    Database::create("gates_other", "CREATE TABLE house AS SELECT 'another' AS whose");
    database.change(
        "CREATE ROLE ada LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE eve LOGIN; CREATE ROLE mallory LOGIN; CREATE ROLE robot LOGIN",
    );
    database.change("GRANT SELECT ON house TO PUBLIC");
    database
});

/// With these lines of `sessions`, by user.
fn gate(witness: &Witness, sessions: &str) -> Proxy {
    LazyLock::force(&DATABASE);
    configured(builder(witness), sessions).start()
}

fn configured(builder: Builder, sessions: &str) -> Builder {
    sessions.lines().fold(builder, |builder, line| builder.plugin(WITNESS, line.trim()))
}

/// Where each of these users finds itself, on the server that it reads from.
fn found(proxy: &Proxy, user: &str) -> String {
    let parameters = [("user", user), ("database", DATABASE.name)];
    let sql = "SELECT concat_ws(' ', current_database(), session_user, current_user)";
    Raw::login_with(proxy, &parameters).value(sql)
}

/// psql, which ends at once.
fn psql(proxy: &Proxy, user: &str, sql: &str) -> Finished {
    let mut psql = program(proxy, "psql");
    psql.env("PGUSER", user).args(["-XAtq", "-d", DATABASE.name, "-c", sql]);
    run(&mut psql, "")
}

#[test]
fn a_session_is_connected_to_another_database() {
    let witness = Witness::default();
    let proxy = gate(&witness, "sessions.ada = { database = \"gates_other\" }");
    assert_eq!(found(&proxy, "ada"), "gates_other ada ada");
    assert_eq!(found(&proxy, "bob"), "gates bob bob");
    // Both servers are the other database's.
    let parameters = [("user", "ada"), ("database", "gates"), ("application_name", "mapped")];
    let mut session = Raw::login_with(&proxy, &parameters);
    assert_eq!(session.value("SELECT current_database()"), "gates_other");
    session.run("BEGIN");
    assert_eq!(session.value("SELECT current_database() FROM random()"), "gates_other");
    session.run("COMMIT");
    // Everybody behind the gate knows it as what it is.
    let seen = observed(&proxy, "mapped", 4);
    assert!(seen.iter().all(|seen| seen["database"] == "gates_other" && seen["user"] == "ada"), "{seen:?}");
}

#[test]
fn a_session_is_connected_as_another_user() {
    let witness = Witness::default();
    let proxy = gate(&witness, "sessions.ada = { user = \"robot\" }");
    assert_eq!(found(&proxy, "ada"), "gates robot robot");
    assert_eq!(found(&proxy, "robot"), "gates robot robot");
    assert_eq!(found(&proxy, "bob"), "gates bob bob");
    // With that user's rights, on the primary too.
    let said = psql(&proxy, "ada", "DELETE FROM house").error();
    assert!(said.contains("permission denied for table house"), "{said}");
}

#[test]
fn parameters_are_set_on_all_its_servers() {
    let witness = Witness::default();
    let proxy = gate(
        &witness,
        "sessions.ada = { parameters = { statement_timeout = \"4321ms\", application_name = \"set by the gate\" } }",
    );
    for user in ["ada", "bob"] {
        let parameters = [("user", user), ("database", DATABASE.name), ("application_name", "its own")];
        let mut session = Raw::login_with(&proxy, &parameters);
        let expected = if user == "ada" { ("4321ms", "set by the gate") } else { ("0", "its own") };
        let sql = |rest: &str| {
            format!(
                "SELECT current_setting('statement_timeout') || '|' || current_setting('application_name'){rest}"
            )
        };
        let expected = format!("{}|{}", expected.0, expected.1);
        // On the standby, and on the primary.
        assert_eq!(session.value(&sql("")), expected, "{user}");
        assert_eq!(session.value(&sql(" FROM random()")), expected, "{user}");
        // They are its defaults, as what a client says when it logs in is.
        session.run("SET statement_timeout = 1; ");
        session.run("RESET ALL");
        assert_eq!(session.value(&sql("")), expected, "{user}");
        session.leave();
    }
    let show = psql(&proxy, "ada", "SHOW statement_timeout").ok();
    assert_eq!(show.trim(), "4321ms");
    let seen = observed(&proxy, "set by the gate", 6);
    assert!(seen.iter().all(|seen| seen["user"] == "ada"), "{seen:?}");
}

const REFUSED: &str =
    "sessions.mallory = { refuse = [\"28000\", \"mallory may not come in\", \"Ask the house.\"] }";

#[test]
fn a_refusal_has_its_sqlstate_message_and_hint() {
    let witness = Witness::default();
    let proxy = gate(&witness, REFUSED);
    let error = Raw::try_login(&proxy, &[("user", "mallory"), ("database", "gates")]).unwrap_err();
    let field = |which: u8| error.field(which).unwrap_or_default();
    assert_eq!((field(b'S'), field(b'C')), ("FATAL".to_owned(), "28000".to_owned()), "{}", text(&error));
    assert_eq!(
        (field(b'M'), field(b'H')),
        ("mallory may not come in".to_owned(), "Ask the house.".to_owned())
    );
    assert_eq!(found(&proxy, "bob"), "gates bob bob");
    // No server has heard of it.
    assert_eq!(DATABASE.count(0, "user=mallory ") + DATABASE.count(1, "user=mallory "), 0);
    assert_eq!(Stats::of(&proxy, WITNESS).failures(), 0);
}

#[test]
fn psql_and_psycopg_tell_people_why_they_are_refused() {
    let witness = Witness::default();
    let proxy = gate(&witness, REFUSED);
    let said = psql(&proxy, "mallory", "SELECT 1").error();
    assert!(said.contains("FATAL:  mallory may not come in\nHINT:  Ask the house."), "{said}");
    let mut python = python(&proxy, "refused.py");
    python.env("WAYPOOL_TEST_DATABASE", DATABASE.name).env("PGUSER", "mallory");
    python.env("WAYPOOL_TEST_REFUSAL", "mallory may not come in");
    run(&mut python, "").ok();
}

#[test]
fn psycopg_finds_itself_where_the_gate_wants_it() {
    let witness = Witness::default();
    let proxy = gate(
        &witness,
        "sessions.ada = { database = \"gates_other\", user = \"robot\", parameters = { statement_timeout = \"4s\" } }",
    );
    let mut python = python(&proxy, "admitted.py");
    python.env("WAYPOOL_TEST_DATABASE", DATABASE.name).env("PGUSER", "ada");
    python.env("WAYPOOL_TEST_EXPECTED", "gates_other robot 4s");
    run(&mut python, "").ok();
}

#[test]
fn a_gate_is_told_where_the_client_comes_from() {
    let witness = Witness::default();
    let proxy = gate(&witness, "");
    let login = |host: &str, application: &str| {
        let mut psql: Command = program(&proxy, "psql");
        psql.env("PGHOST", host).env("PGAPPNAME", application).env("PGUSER", "bob");
        run(psql.args(["-XAtq", "-d", DATABASE.name, "-c", "SELECT 1"]), "").ok();
    };
    login("127.0.0.1", "by tcp");
    login(proxy.socket_dir().to_str().unwrap(), "by socket");
    let told = testimonies(&proxy, "newcomer");
    let of = |application: &str| told.iter().find(|told| told["application_name"] == application).unwrap();
    let json = |application: &str, address: Option<&str>| {
        serde_json::json!({
            "database": "gates", "user": "bob", "application_name": application, "address": address, "tls": false,
        })
    };
    assert_eq!(*of("by tcp"), json("by tcp", Some("127.0.0.1")));
    assert_eq!(*of("by socket"), json("by socket", None));
}

#[test]
fn gates_are_asked_in_order_and_see_what_the_ones_before_changed() {
    let witness = Witness::default();
    LazyLock::force(&DATABASE);
    let entry = format!("path = {:?}", witness.sound(1));
    let other =
        |builder: Builder, name: &str, config: &str| builder.plugin_entry(name, &entry).plugin(name, config);
    let proxy = Proxy::builder(waypool_tests::primary_and_standby());
    let proxy = other(proxy, "first", "sessions.ada = { database = \"gates_other\", user = \"bob\" }");
    let proxy = other(proxy, "second", "log = true");
    let proxy = proxy.plugin_entry("third", "databases = [\"gates_other\"]");
    let proxy = other(proxy, "third", "sessions.ada = { parameters = { work_mem = \"3MB\" } }").start();
    let parameters = [("user", "ada"), ("database", "gates")];
    let mut session = Raw::login_with(&proxy, &parameters);
    let sql = "SELECT concat_ws(' ', current_database(), current_user, current_setting('work_mem'))";
    let told = testimonies(&proxy, "newcomer");
    assert_eq!(told.last().unwrap()["database"], "gates_other", "{told:?}");
    assert_eq!(told.last().unwrap()["user"], "bob", "{told:?}");
    // Which gates are asked depends on how it came: the third one is not.
    assert_eq!(session.value(sql), "gates_other bob 4MB");
}

#[test]
fn a_gate_that_fails_admits_or_refuses_as_on_error_says() {
    let witness = Witness::default();
    let sessions = "sessions.eve = { trap = true }";
    let proxy = gate(&witness, sessions);
    assert_eq!(found(&proxy, "eve"), "gates eve eve");
    assert_eq!(Stats::of(&proxy, WITNESS).failures(), 1);
    proxy.stop();
    let builder = configured(builder(&witness), sessions).plugin_entry(WITNESS, "on_error = \"reject\"");
    let proxy = builder.start();
    let error = Raw::try_login(&proxy, &[("user", "eve"), ("database", "gates")]).unwrap_err();
    assert_eq!(error.field(b'C').as_deref(), Some("38000"), "{}", text(&error));
    assert_eq!(found(&proxy, "bob"), "gates bob bob");
}

#[test]
fn the_password_of_the_user_that_it_becomes_is_the_proxys() {
    let cluster = Cluster::builder().standbys(1).auth(Auth::ScramSha256);
    let cluster = cluster.start().unwrap_or_else(|error| panic!("{error}"));
    let setup = "CREATE ROLE ada LOGIN PASSWORD 'hers'; CREATE ROLE robot LOGIN PASSWORD 'its own'";
    cluster.primary().psql(setup).unwrap();
    cluster.server(1).wait_replay(cluster.primary()).unwrap();
    let witness = Witness::default();
    let sessions = "sessions.ada = { user = \"robot\" }\nsessions.robot = { user = \"ada\" }";
    let check = format!("sr_check_password = {:?}", waypool_sandbox::PASSWORD);
    let builder = witness.in_use(Proxy::builder(&cluster)).hba(&["host all all all scram-sha-256"]);
    let builder = configured(builder.top(&check), sessions);
    let login = |proxy: &Proxy, user: &str, password: &str| {
        let mut psql = program(proxy, "psql");
        psql.env("PGUSER", user).env("PGPASSWORD", password).args(["-XAtwq", "-c", "SELECT current_user"]);
        run(&mut psql, "")
    };
    let proxy = builder.user("ada", "hers").user("robot", "its own").start();
    assert_eq!(login(&proxy, "ada", "hers").ok().trim(), "robot");
    assert_eq!(login(&proxy, "robot", "its own").ok().trim(), "ada");
    // It proves who it is by its own password, not by the other's.
    let said = login(&proxy, "ada", "its own").error();
    assert!(said.contains("password authentication failed for user \"ada\""), "{said}");
}
