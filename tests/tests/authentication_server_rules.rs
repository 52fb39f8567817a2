//! `enable_pool_hba = false`: the servers decide who comes in, and how.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use waypool_sandbox::{Cluster, Mode, Server};
use waypool_tests::raw::{Raw, expect_fatal};
use waypool_tests::wire::{self, Message};
use waypool_tests::{Builder, Proxy, connect, run_async, wait_until};

const PASS: &str = "open sesame";
const ASKED: [&str; 3] = ["role_password", "role_md5", "role_scram"];

const RULES: [&str; 6] = [
    "host all role_trust all trust",
    "host all role_password all password",
    "host all role_md5 all md5",
    "host all role_scram all scram-sha-256",
    "host all role_reject all reject",
    "host all nobody_there all scram-sha-256",
];

/// A role for each method, all with the same password. `undecided` is for the
/// test that changes the rules.
fn make(standbys: usize) -> Cluster {
    let builder = RULES.iter().fold(Cluster::builder().standbys(standbys), |builder, rule| builder.hba(rule));
    let cluster = builder.start().unwrap_or_else(|error| panic!("{error}"));
    let setup = format!(
        "SET password_encryption = 'scram-sha-256';
         CREATE ROLE role_trust LOGIN; CREATE ROLE role_reject LOGIN;
         CREATE ROLE role_password LOGIN PASSWORD '{PASS}';
         CREATE ROLE role_scram LOGIN PASSWORD '{PASS}';
         CREATE ROLE undecided LOGIN PASSWORD '{PASS}';
         SET password_encryption = 'md5';
         CREATE ROLE role_md5 LOGIN PASSWORD '{PASS}'"
    );
    cluster.primary().psql(&setup).unwrap();
    for standby in &cluster.servers()[1..] {
        standby.wait_replay(cluster.primary()).unwrap();
    }
    cluster
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| make(1));

/// A proxy without rules of its own: those that it has do not count.
fn proxy() -> Builder {
    Proxy::builder(&CLUSTER)
        .hba(&["local all all reject", "host all all all reject"])
        .top("enable_pool_hba = false")
        .weights(&[0.0, 1.0])
}

/// Who logs in, and what happened: the user's name as the standby has it, or
/// the SQLSTATE and the message.
fn login(proxy: &Proxy, user: &str, password: &str) -> Result<String, (String, String)> {
    login_to(proxy, user, password, "postgres")
}

fn login_to(proxy: &Proxy, user: &str, password: &str, database: &str) -> Result<String, (String, String)> {
    let options = format!("user={user} password='{password}' dbname={database}");
    run_async(async {
        match connect(proxy, &options).await {
            Ok((client, _)) => {
                // The primary makes the table, the standby answers the read.
                client.batch_execute("CREATE TEMP TABLE mine ()").await.unwrap();
                let row = client.query_one("SELECT current_user::text", &[]).await.unwrap();
                Ok(row.get(0))
            }
            Err(error) => {
                let error = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
                Err((error.code().code().to_owned(), error.message().to_owned()))
            }
        }
    })
}

fn refused(user: &str) -> Result<String, (String, String)> {
    Err(("28P01".to_owned(), format!("password authentication failed for user \"{user}\"")))
}

/// What `pg_authid` has for a role.
fn stored(role: &str) -> String {
    CLUSTER.primary().psql(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'")).unwrap()
}

/// The first message after the startup packet.
fn first(proxy: &Proxy, user: &str) -> Message {
    Raw::begin_login(proxy, &[("user", user)]).wire.next().unwrap()
}

/// The code of an authentication request: 0 lets in, 5 is MD5, 10 SASL.
fn request(proxy: &Proxy, user: &str) -> u32 {
    let message = first(proxy, user);
    assert_eq!(message.tag, b'R', "{message:?}");
    code(&message)
}

fn code(request: &Message) -> u32 {
    u32::from_be_bytes(request.body[..4].try_into().unwrap())
}

#[test]
fn whom_the_server_trusts_gives_no_password() {
    let proxy = proxy().start();
    assert_eq!(request(&proxy, "role_trust"), 0);
    for password in ["", "whatever"] {
        assert_eq!(login(&proxy, "role_trust", password), Ok("role_trust".to_owned()));
    }
    proxy.stop();
    // Not even if one is known for it.
    let proxy = self::proxy().user("role_trust", PASS).start();
    assert_eq!(login(&proxy, "role_trust", "wrong"), Ok("role_trust".to_owned()));
    proxy.stop();
}

#[test]
fn whom_the_server_asks_gives_the_password_that_is_known() {
    let mut builder = proxy();
    for role in ASKED {
        builder = builder.user(role, PASS);
    }
    let proxy = builder.start();
    for role in ASKED {
        assert_eq!(request(&proxy, role), 10, "{role}");
        assert_eq!(login(&proxy, role, PASS), Ok(role.to_owned()));
        for wrong in ["wrong", "", "Open Sesame"] {
            assert_eq!(login(&proxy, role, wrong), refused(role));
        }
        assert_eq!(login(&proxy, role, PASS), Ok(role.to_owned()), "after a wrong one");
    }
    proxy.stop();
}

#[test]
fn what_pg_authid_has_is_enough() {
    let proxy = ["role_md5", "role_scram"]
        .iter()
        .fold(proxy(), |builder, role| builder.user(role, &stored(role)))
        .start();
    assert_eq!((request(&proxy, "role_md5"), request(&proxy, "role_scram")), (5, 10));
    for role in ["role_md5", "role_scram"] {
        assert_eq!(login(&proxy, role, PASS), Ok(role.to_owned()));
        assert_eq!(login(&proxy, role, "wrong"), refused(role));
    }
    proxy.stop();
}

#[test]
fn the_password_file_of_pgpool_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pool_passwd");
    let md5 = stored("role_md5");
    fs::write(&file, format!("role_md5:{md5}\nrole_scram:TEXT{PASS}\n")).unwrap();
    let proxy = proxy().top(&format!("auth_file = {file:?}")).start();
    for role in ["role_md5", "role_scram"] {
        assert_eq!(login(&proxy, role, PASS), Ok(role.to_owned()));
        assert_eq!(login(&proxy, role, "wrong"), refused(role));
    }
    assert_eq!(login(&proxy, "role_password", PASS), refused("role_password"));
    proxy.stop();
}

// === what nobody may learn ===

/// What a client sees of SCRAM up to its proof: the mechanisms, and the salt
/// and iterations that it is given.
fn scram_seen(proxy: &Proxy, user: &str) -> (Vec<u8>, String) {
    let mut login = Raw::begin_login(proxy, &[("user", user)]);
    let asked = login.wire.next().unwrap();
    let opening = b"n,,n=,r=fyko+d2lbbFgONRv9qkxdawL";
    let length = (opening.len() as u32).to_be_bytes();
    login.wire.send(&wire::message(b'p', &[&wire::string("SCRAM-SHA-256"), &length, opening]));
    let answer = login.wire.next().unwrap();
    let text = String::from_utf8_lossy(&answer.body[4..]).into_owned();
    let (_nonce, rest) = text.split_once(",s=").unwrap_or_else(|| panic!("{text}"));
    (asked.body, rest.to_owned())
}

#[test]
fn a_user_that_is_not_known_cannot_be_told_from_one_with_another_password() {
    let proxy = proxy().user("role_scram", PASS).start();
    // On the server but without a password here; not even on the server.
    for unknown in ["role_password", "role_md5", "nobody_there"] {
        assert_eq!(first(&proxy, unknown), first(&proxy, "role_scram"), "{unknown}");
        assert_eq!(login(&proxy, unknown, PASS), refused(unknown));
        assert_eq!(login(&proxy, unknown, "wrong"), refused(unknown));
        let (ours, theirs) = (scram_seen(&proxy, "role_scram"), scram_seen(&proxy, unknown));
        assert_eq!(ours.0, theirs.0);
        let shape = |(_, salt): &(Vec<u8>, String)| (salt.len(), salt.split_once(',').unwrap().1.to_owned());
        assert_eq!(shape(&ours), shape(&theirs), "{unknown}");
        // Whether the salt changes from login to login would tell as well.
        let stays = |user: &str| scram_seen(&proxy, user) == scram_seen(&proxy, user);
        assert_eq!(stays("role_scram"), stays(unknown), "{unknown}");
    }
    proxy.stop();
}

#[test]
fn nothing_is_said_before_the_proof() {
    let proxy = proxy().user("role_scram", PASS).start();
    // Whether there is such a database is for those who have proved who they are.
    let mut login = Raw::begin_login(&proxy, &[("user", "role_scram"), ("database", "nowhere")]);
    assert_eq!(login.wire.next().unwrap().tag, b'R');
    assert_eq!(login_to(&proxy, "role_scram", "wrong", "nowhere"), refused("role_scram"));
    proxy.stop();
}

#[test]
fn the_servers_own_errors_come_through() {
    let proxy = proxy().user("role_scram", PASS).start();
    let error = |user: &str, password: &str, database: &str| {
        login_to(&proxy, user, password, database).expect_err("it must be refused")
    };
    let (code, message) = error("stranger", "", "postgres");
    assert_eq!((code.as_str(), message.as_str()), ("28000", "role \"stranger\" does not exist"));
    let no_database = ("3D000".to_owned(), "database \"nowhere\" does not exist".to_owned());
    assert_eq!(error("role_trust", "", "nowhere"), no_database);
    assert_eq!(error("role_scram", PASS, "nowhere"), no_database);
    let (code, message) = error("role_reject", PASS, "postgres");
    assert!(code == "28000" && message.starts_with("pg_hba.conf rejects connection"), "{code} {message}");
    // None of it makes a server suspicious.
    assert_eq!(login(&proxy, "role_trust", ""), Ok("role_trust".to_owned()));
    assert!(!proxy.log().contains("server failed"), "a refusal is no failure");
    proxy.stop();
}

// === servers that change ===

/// Servers of its own: one test at a time changes them.
static OTHERS: LazyLock<Mutex<Cluster>> = LazyLock::new(|| Mutex::new(make(0)));

fn set_rule(server: &Server, rule: &str) {
    let path = server.data_dir().join("pg_hba.conf");
    let text = fs::read_to_string(&path).unwrap();
    let others = text.lines().filter(|line| !line.contains(" undecided "));
    let lines: Vec<&str> = [rule].into_iter().chain(others).collect();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let before = server.psql("SELECT pg_conf_load_time()").unwrap();
    server.psql("SELECT pg_reload_conf()").unwrap();
    let loaded = format!("SELECT pg_conf_load_time() > '{before}'");
    wait_until("pg_hba.conf is loaded", || server.psql(&loaded).unwrap() == "t");
}

#[test]
fn a_server_that_changes_its_mind_is_asked_again() {
    let cluster = OTHERS.lock().unwrap_or_else(PoisonError::into_inner);
    let server = cluster.primary();
    let builder = Proxy::builder(&cluster).top("enable_pool_hba = false");
    let (knows, knows_not) = (builder.clone().user("undecided", PASS).start(), builder.start());
    set_rule(server, "host all undecided all scram-sha-256");
    assert_eq!(login(&knows, "undecided", "wrong"), refused("undecided"));
    assert_eq!(login(&knows, "undecided", PASS), Ok("undecided".to_owned()));
    // Who asks for less is believed at once.
    set_rule(server, "host all undecided all trust");
    for proxy in [&knows, &knows_not] {
        assert_eq!(login(proxy, "undecided", "wrong"), Ok("undecided".to_owned()));
    }
    set_rule(server, "host all undecided all scram-sha-256");
    let began = Instant::now();
    for proxy in [&knows, &knows_not] {
        wait_until("a password is asked for", || match first(proxy, "undecided") {
            request if request.tag == b'R' => code(&request) == 10,
            // It is still let in by us, but not by the server.
            error => {
                assert_eq!(error.field(b'C').as_deref(), Some("28000"), "{error:?}");
                false
            }
        });
    }
    // The promise is ten seconds; this machine may be busy.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    assert_eq!(login(&knows, "undecided", "wrong"), refused("undecided"));
    assert_eq!(login(&knows, "undecided", PASS), Ok("undecided".to_owned()));
    assert_eq!(login(&knows_not, "undecided", PASS), refused("undecided"));
    set_rule(server, "host all undecided all reject");
    assert_eq!(login(&knows_not, "undecided", PASS).unwrap_err().0, "28000");
    knows.stop();
    knows_not.stop();
}

#[test]
fn while_all_servers_are_down_nobody_comes_in() {
    let cluster = OTHERS.lock().unwrap_or_else(PoisonError::into_inner);
    let server = cluster.primary();
    let proxy = Proxy::builder(&cluster)
        .top("enable_pool_hba = false\nhealth_check_period = \"200ms\"")
        .user("role_scram", PASS)
        .start();
    server.stop(Mode::Fast).unwrap();
    // The first ones find out.
    proxy.wait_for_log("server is down");
    for user in ["role_trust", "role_scram", "stranger"] {
        let mut login = Raw::begin_login(&proxy, &[("user", user)]);
        let error = expect_fatal(&mut login.wire, "57P03");
        assert!(error.field(b'H').is_some_and(|hint| hint.contains("enable_pool_hba")), "{error:?}");
    }
    server.start().unwrap();
    wait_until("the server is up again", || login(&proxy, "role_trust", "").is_ok());
    assert_eq!(login(&proxy, "role_scram", PASS), Ok("role_scram".to_owned()));
    proxy.stop();
}

#[test]
fn rules_of_our_own_count_after_a_reload() {
    let proxy = proxy().user("role_scram", PASS).start();
    assert_eq!(login(&proxy, "role_trust", ""), Ok("role_trust".to_owned()));
    proxy.reconfigure(|proxy| proxy.top("enable_pool_hba = true"));
    assert_eq!(login(&proxy, "role_trust", "").unwrap_err().0, "28000");
    proxy.reconfigure(|proxy| proxy.hba(&["host all all all scram-sha-256"]));
    assert_eq!(login(&proxy, "role_trust", PASS), refused("role_trust"));
    assert_eq!(login(&proxy, "role_scram", PASS), Ok("role_scram".to_owned()));
    proxy.reconfigure(|proxy| proxy.top("enable_pool_hba = false"));
    assert_eq!(login(&proxy, "role_trust", ""), Ok("role_trust".to_owned()));
    proxy.stop();
}
