//! How the proxy proves to servers that it speaks for a client.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use waypool_sandbox::{Auth, Cluster, PASSWORD};
use waypool_tests::{Finished, Proxy, program, psql, run};

const PASS: &str = "open sesame";

/// A role for each method, all with the same password.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let builder = Cluster::builder()
        .standbys(1)
        .hba("host all role_trust all trust")
        .hba("host all role_password all password")
        .hba("host all role_md5 all md5")
        .hba("host all role_scram all scram-sha-256")
        .hba("host all role_reject all reject");
    let cluster = builder.start().unwrap_or_else(|error| panic!("{error}"));
    let setup = format!(
        "SET password_encryption = 'scram-sha-256';
         CREATE ROLE role_trust LOGIN; CREATE ROLE role_reject LOGIN;
         CREATE ROLE role_password LOGIN PASSWORD '{PASS}';
         CREATE ROLE role_scram LOGIN PASSWORD '{PASS}';
         SET password_encryption = 'md5';
         CREATE ROLE role_md5 LOGIN PASSWORD '{PASS}'"
    );
    cluster.primary().psql(&setup).unwrap();
    cluster.server(1).wait_replay(cluster.primary()).unwrap();
    cluster
});

/// What `pg_authid` has for a role.
fn stored(role: &str) -> String {
    CLUSTER.primary().psql(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'")).unwrap()
}

/// Logs a client in by `method` where the proxy knows `secret` for it.
fn login(method: &str, role: &str, secret: Option<&str>) -> Finished {
    let rule = format!("host all all all {method}");
    let mut builder = Proxy::builder(&CLUSTER).hba(&[&rule]).weights(&[0.0, 1.0]);
    if let Some(secret) = secret {
        builder = builder.user(role, secret);
    }
    let proxy = builder.start();
    let mut client = program(&proxy, "psql");
    // The standby answers the read, the primary makes the table.
    let (read, write) = ("SELECT current_user, inet_server_port()", "CREATE TEMP TABLE t ()");
    client.env("PGUSER", role).env("PGPASSWORD", PASS).args(["-XAtwq", "-c", read, "-c", write]);
    let finished = run(&mut client, "");
    proxy.stop();
    finished
}

#[track_caller]
fn works(method: &str, role: &str, secret: Option<&str>) {
    let expected = format!("{role}|{}\n", CLUSTER.server(1).port());
    assert_eq!(login(method, role, secret).ok(), expected, "{method}, {role}");
}

/// The message must say which server would not have it, and what to do.
#[track_caller]
fn fails(method: &str, role: &str, secret: Option<&str>, why: &str) {
    let said = login(method, role, secret).error();
    assert!(said.contains(why), "{method}, {role}: expected {why:?}: {said}");
    assert!(!said.contains(PASS), "{said}");
}

#[test]
fn a_password_in_clear_opens_every_server() {
    for role in ["role_trust", "role_password", "role_md5", "role_scram"] {
        for method in ["trust", "password", "md5", "scram-sha-256"] {
            works(method, role, Some(PASS));
        }
    }
}

#[test]
fn a_password_that_the_client_sends_in_clear_opens_every_server() {
    for role in ["role_password", "role_md5", "role_scram"] {
        // The proxy itself keeps no more than PostgreSQL does.
        works("password", role, Some(&stored(role)));
    }
}

#[test]
fn the_hash_that_pg_authid_has_opens_a_server_that_asks_for_md5() {
    works("md5", "role_md5", Some(&stored("role_md5")));
    works("trust", "role_md5", Some(&stored("role_md5")));
}

#[test]
fn the_verifier_that_pg_authid_has_is_passed_through_by_scram() {
    works("scram-sha-256", "role_scram", Some(&stored("role_scram")));
    // The rule md5 does SCRAM where it has a verifier, as PostgreSQL does.
    works("md5", "role_scram", Some(&stored("role_scram")));
}

#[test]
fn what_cannot_work_is_explained() {
    // A verifier proves nothing unless the client has just done SCRAM.
    fails("trust", "role_scram", Some(&stored("role_scram")), "role_scram");
    // One of another salt than the server's.
    let foreign = CLUSTER.primary().psql(&format!(
        "CREATE ROLE salted PASSWORD '{PASS}'; SELECT rolpassword FROM pg_authid WHERE rolname = 'salted'"
    ));
    fails("scram-sha-256", "role_scram", Some(&foreign.unwrap()), "not the one that Waypool has");
    // A server that wants the password itself.
    fails("scram-sha-256", "role_password", Some(&stored("role_scram")), "role_password");
    // No secret at all.
    fails("trust", "role_scram", None, "role_scram");
    fails("trust", "role_md5", None, "role_md5");
    // Another password than the server's.
    fails("trust", "role_scram", Some("another"), "password authentication failed");
    // A server that lets nobody in.
    fails("trust", "role_reject", None, "pg_hba.conf rejects connection");
}

#[test]
fn a_wrong_secret_of_the_proxy_is_not_told_apart_from_the_clients() {
    // It is the server that refuses: the session fails, the proxy goes on.
    let rule = ["host all all all trust"];
    let proxy = Proxy::builder(&CLUSTER).hba(&rule).user("role_scram", "another").start();
    for _ in 0..3 {
        let mut client = program(&proxy, "psql");
        client.env("PGUSER", "role_scram").args(["-XAtw", "-c", "SELECT 1"]);
        assert!(!run(&mut client, "").success());
        // Refusing one role is no failure of the server.
        assert_eq!(psql(&proxy, "SELECT 1"), "1");
        let nodes = psql(&proxy, "SHOW pool_nodes");
        assert!(nodes.lines().all(|node| node.split('|').nth(3) == Some("up")), "{nodes}");
    }
    proxy.stop();
}

#[test]
fn a_connection_is_never_lent_to_another_user() {
    let rule = ["host all all all scram-sha-256"];
    let proxy = Proxy::builder(&CLUSTER)
        .hba(&rule)
        .user("role_scram", PASS)
        .user("role_md5", PASS)
        .weights(&[0.0, 1.0])
        .start();
    for _ in 0..3 {
        for role in ["role_scram", "role_md5"] {
            let mut client = program(&proxy, "psql");
            client.env("PGUSER", role).env("PGPASSWORD", PASS);
            client.args(["-XAtw", "-c", "SELECT current_user, session_user"]);
            assert_eq!(run(&mut client, "").ok(), format!("{role}|{role}\n"));
        }
    }
    proxy.stop();
}

#[test]
fn the_check_user_has_a_password_of_its_own() {
    for auth in [Auth::Password, Auth::Md5, Auth::ScramSha256] {
        let cluster = Cluster::builder().auth(auth).start().unwrap();
        let proxy = Proxy::builder(&cluster)
            .top(&format!("sr_check_password = {PASSWORD:?}"))
            .user("postgres", PASSWORD)
            .start();
        assert_eq!(psql(&proxy, "SELECT 1"), "1", "{auth:?}");
        let nodes = psql(&proxy, "SHOW pool_nodes");
        assert!(nodes.contains("|primary|primary|"), "{auth:?}: {nodes}");
        proxy.stop();
        let proxy = Proxy::builder(&cluster).top("sr_check_password = \"wrong\"").start();
        proxy.wait_for_log("password authentication failed");
        proxy.stop();
    }
}
