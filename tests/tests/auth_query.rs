//! `auth_query`: the proxy knows no password but that of `auth_user`.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;
use std::time::Duration;

use waypool_sandbox::{Cluster, Mode};
use waypool_tests::outage::{breakable, watchful};
use waypool_tests::{Builder, Finished, Proxy, program, run, wait_until};

/// Only `waypool_auth` has to prove who it is in another way than the others.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let builder = Cluster::builder()
        .standbys(1)
        .setting("log_statement", "all")
        .hba("host all postgres all trust")
        .hba("host all role_md5 all md5")
        .hba("host all role_changes,role_changes_md5 all trust")
        .hba("host all all all scram-sha-256");
    let cluster = builder.start().unwrap_or_else(|error| panic!("{error}"));
    cluster.primary().psql(SETUP).unwrap();
    cluster.server(1).wait_replay(cluster.primary()).unwrap();
    cluster
});

const SETUP: &str = "
    CREATE ROLE waypool_auth LOGIN PASSWORD 'asks';
    CREATE ROLE role_scram LOGIN PASSWORD 'sesame';
    CREATE ROLE role_changes LOGIN PASSWORD 'old';
    CREATE ROLE role_counted LOGIN PASSWORD 'sesame';
    CREATE ROLE role_expired LOGIN PASSWORD 'sesame' VALID UNTIL '2000-01-01';
    CREATE ROLE role_bare LOGIN;
    CREATE FUNCTION user_lookup(name text, OUT usename name, OUT passwd text) RETURNS record
        LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
        $$ SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1 AND rolcanlogin $$;
    REVOKE EXECUTE ON FUNCTION user_lookup FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION user_lookup TO waypool_auth;
    SET password_encryption = 'md5';
    CREATE ROLE role_md5 LOGIN PASSWORD 'sesame';
    CREATE ROLE role_changes_md5 LOGIN PASSWORD 'old'";

/// With the function that the documentation recommends.
fn builder(cluster: &Cluster, method: &str) -> Builder {
    Proxy::builder(cluster)
        .hba(&[&format!("host all all all {method}")])
        .top("auth_user = \"waypool_auth\"\nauth_dbname = \"postgres\"")
        .top("auth_query = \"SELECT usename, passwd FROM user_lookup($1)\"")
        .user("waypool_auth", "asks")
}

fn login(proxy: &Proxy, user: &str, password: &str) -> Finished {
    let mut psql = program(proxy, "psql");
    psql.env("PGUSER", user).env("PGPASSWORD", password);
    run(psql.args(["-XAtwq", "-c", "SELECT current_user", "-c", "CREATE TEMP TABLE t ()"]), "")
}

#[track_caller]
fn refused(proxy: &Proxy, user: &str, password: &str) {
    let said = login(proxy, user, password).error();
    assert!(said.contains(&format!("password authentication failed for user \"{user}\"")), "{said}");
}

#[test]
fn who_is_listed_nowhere_logs_in_with_what_the_server_knows() {
    // The servers ask for passwords: what is looked up opens them as well.
    for (method, user) in [
        ("scram-sha-256", "role_scram"),
        ("md5", "role_scram"),
        ("md5", "role_md5"),
        ("password", "role_scram"),
        ("password", "role_md5"),
    ] {
        let proxy = builder(&CLUSTER, method).start();
        assert_eq!(login(&proxy, user, "sesame").ok(), format!("{user}\n"), "{method}");
        refused(&proxy, user, "wrong");
        proxy.stop();
    }
}

#[test]
fn it_stands_behind_the_servers_own_rules_as_well() {
    let proxy = builder(&CLUSTER, "trust").top("enable_pool_hba = false").start();
    for user in ["role_scram", "role_md5"] {
        assert_eq!(login(&proxy, user, "sesame").ok(), format!("{user}\n"));
        refused(&proxy, user, "wrong");
    }
    refused(&proxy, "role_nobody", "sesame");
    proxy.stop();
}

#[test]
fn no_password_lets_a_user_in_who_has_none_or_does_not_exist() {
    for method in ["scram-sha-256", "md5", "password"] {
        let proxy = builder(&CLUSTER, method).start();
        for user in ["role_nobody", "role_bare", "role_scram'; DROP ROLE role_bare; --"] {
            refused(&proxy, user, "sesame");
        }
        proxy.stop();
    }
}

#[test]
fn the_query_of_old_pgbouncer_and_the_default_work_for_a_superuser() {
    let old = "auth_query = \"SELECT usename, passwd FROM pg_shadow WHERE usename=$1\"";
    for query in ["", old] {
        let proxy = Proxy::builder(&CLUSTER)
            .hba(&["host all all all scram-sha-256"])
            .top(&format!("auth_user = \"postgres\"\n{query}"))
            .start();
        assert_eq!(login(&proxy, "role_scram", "sesame").ok(), "role_scram\n");
        if query.is_empty() {
            refused(&proxy, "role_expired", "sesame");
        }
        proxy.stop();
    }
}

#[test]
fn without_auth_user_nobody_is_looked_up() {
    let proxy = Proxy::builder(&CLUSTER).hba(&["host all all all scram-sha-256"]).start();
    refused(&proxy, "role_scram", "sesame");
}

#[test]
fn an_answer_holds_for_a_while_and_not_longer() {
    let asked = || CLUSTER.primary().log_count("$1 = 'role_counted'");
    let proxy = builder(&CLUSTER, "scram-sha-256").top("auth_query_expire = \"1h\"").start();
    for _ in 0..3 {
        login(&proxy, "role_counted", "sesame").ok();
    }
    assert_eq!(asked(), 1);
    let always = builder(&CLUSTER, "scram-sha-256").top("auth_query_expire = 0").start();
    for _ in 0..3 {
        login(&always, "role_counted", "sesame").ok();
    }
    assert_eq!(asked(), 4);
}

#[test]
fn a_changed_password_is_noticed_before_the_answer_has_expired() {
    for (method, user, stored) in [
        ("password", "role_changes", "scram-sha-256"),
        ("md5", "role_changes_md5", "md5"),
        ("scram-sha-256", "role_changes", "scram-sha-256"),
    ] {
        let change = |password: &str| {
            let sql =
                format!("SET password_encryption = '{stored}'; ALTER ROLE {user} PASSWORD '{password}'");
            CLUSTER.primary().psql(&sql).unwrap();
        };
        change("old");
        let proxy = builder(&CLUSTER, method).top("auth_query_expire = \"1h\"").start();
        login(&proxy, user, "old").ok();
        change("new");
        if method == "scram-sha-256" {
            // It begins with the verifier that is known; the next one knows better.
            refused(&proxy, user, "new");
        }
        login(&proxy, user, "new").ok();
        refused(&proxy, user, "old");
        proxy.stop();
    }
}

#[test]
fn a_query_that_is_wrong_is_told_in_the_log_and_not_to_clients() {
    for (query, why) in [
        ("SELECT usename FROM user_lookup($1)", "it returns 1 columns, not two"),
        ("SELECT 'another', 'x' FROM user_lookup($1)", "it returns another user"),
        (
            "SELECT usename, passwd FROM no_such_function($1)",
            "function no_such_function(unknown) does not exist",
        ),
        ("SELECT usename, 'SCRAM-SHA-256$4096:x' FROM user_lookup($1)", "malformed SCRAM secret"),
    ] {
        let proxy = builder(&CLUSTER, "scram-sha-256").top(&format!("auth_query = {query:?}")).start();
        let said = login(&proxy, "role_scram", "sesame").error();
        assert!(said.contains("could not look up the password of user \"role_scram\""), "{said}");
        assert!(said.contains("log") && !said.contains(why), "{said}");
        proxy.wait_for_log(why);
        proxy.stop();
    }
}

#[test]
fn a_lost_connection_is_replaced() {
    let proxy = builder(&CLUSTER, "scram-sha-256").top("auth_query_expire = 0").start();
    login(&proxy, "role_scram", "sesame").ok();
    let end = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'waypool auth_query'";
    CLUSTER.primary().psql(end).unwrap();
    login(&proxy, "role_scram", "sesame").ok();
}

#[test]
fn a_database_that_does_not_exist_is_refused_as_such() {
    // Without auth_dbname it is the client's database that is asked.
    let proxy = Proxy::builder(&CLUSTER)
        .hba(&["host all all all scram-sha-256"])
        .top("auth_user = \"postgres\"")
        .start();
    let mut psql = program(&proxy, "psql");
    psql.env("PGUSER", "role_scram").env("PGPASSWORD", "sesame").env("PGDATABASE", "nowhere");
    let said = run(psql.args(["-XAtwq", "-c", "SELECT 1"]), "").error();
    assert!(said.contains("database \"nowhere\" does not exist"), "{said}");
}

#[test]
fn without_the_primary_a_standby_is_asked_and_without_any_server_nobody_comes_in() {
    let cluster = breakable();
    cluster.primary().psql("CREATE ROLE asked_standby LOGIN PASSWORD 'sesame'").unwrap();
    for standby in &cluster.servers()[1..] {
        standby.wait_replay(cluster.primary()).unwrap();
    }
    let proxy = watchful(&cluster)
        .hba(&["host all all all scram-sha-256"])
        .top("auth_user = \"postgres\"\nauth_query_expire = 0")
        .start();
    let read = || {
        let mut psql = program(&proxy, "psql");
        psql.env("PGUSER", "asked_standby").env("PGPASSWORD", "sesame");
        run(psql.args(["-XAtwq", "-c", "SELECT 'in'"]), "")
    };
    assert_eq!(read().ok(), "in\n");
    cluster.primary().stop(Mode::Immediate).unwrap();
    wait_until("a standby is asked", || read().success());
    for standby in &cluster.servers()[1..] {
        standby.stop(Mode::Immediate).unwrap();
    }
    let said = read().error();
    assert!(said.contains("could not look up the password of user \"asked_standby\""), "{said}");
    for server in cluster.servers() {
        server.start().unwrap();
        server.wait_ready(Duration::from_secs(60)).unwrap();
    }
    wait_until("logins work again", || read().success());
}
