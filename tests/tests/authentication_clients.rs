//! How clients prove to the proxy who they are. The servers trust the proxy.
#![allow(clippy::unwrap_used)]

use std::fs;

use waypool_tests::{Builder, Finished, Proxy, primary_and_standby, program, run};

/// The secret of `app` in the three forms that `[users]` takes; the last one as
/// PostgreSQL itself has made it.
fn secrets() -> [(&'static str, String); 3] {
    let primary = primary_and_standby().primary();
    // Tests run side by side: each role is made once.
    let make = "DO $$ BEGIN
        PERFORM pg_advisory_xact_lock(4242);
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN
            CREATE ROLE app LOGIN PASSWORD 'sesame';
        END IF; END $$";
    primary.psql(make).unwrap();
    let verifier = primary.psql("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'").unwrap();
    assert!(verifier.starts_with("SCRAM-SHA-256$"), "{verifier}");
    let hash = primary.psql("SELECT 'md5' || md5('sesame' || 'app')").unwrap();
    [("clear", "sesame".to_owned()), ("md5", hash), ("verifier", verifier)]
}

fn builder(method: &str, secret: &str) -> Builder {
    let (local, host) = (format!("local all all {method}"), format!("host all all all {method}"));
    Proxy::builder(primary_and_standby()).hba(&[&local, &host]).user("app", secret)
}

fn login(proxy: &Proxy, user: &str, password: Option<&str>) -> Finished {
    let mut psql = program(proxy, "psql");
    psql.env("PGUSER", user).args(["-XAtw", "-c", "SELECT current_user"]);
    if let Some(password) = password {
        psql.env("PGPASSWORD", password);
    }
    run(&mut psql, "")
}

#[track_caller]
fn refused(finished: Finished, why: &str) -> String {
    let said = finished.error();
    assert!(said.contains(&format!("FATAL:  {why}")), "expected {why:?}: {said}");
    said
}

#[test]
fn each_method_takes_the_right_password_and_no_other() {
    // By method, the forms of secrets that can be compared with what it sends.
    for (method, forms) in [
        ("password", &["clear", "md5", "verifier"][..]),
        ("md5", &["clear", "md5", "verifier"]),
        ("scram-sha-256", &["clear", "verifier"]),
    ] {
        for (form, secret) in secrets().iter().filter(|(form, _)| forms.contains(form)) {
            let proxy = builder(method, secret).start();
            assert_eq!(login(&proxy, "app", Some("sesame")).ok(), "app\n", "{method}, {form}");
            let why = "password authentication failed for user \"app\"";
            for wrong in ["Sesame", "sesame ", secret.as_str()] {
                if wrong != "sesame" {
                    refused(login(&proxy, "app", Some(wrong)), why);
                }
            }
            // psql has none to give.
            assert!(!login(&proxy, "app", None).success(), "{method}, {form}");
            proxy.stop();
        }
    }
}

#[test]
fn an_unknown_user_is_told_what_a_wrong_password_is_told() {
    for method in ["password", "md5", "scram-sha-256"] {
        let proxy = builder(method, "sesame").start();
        let wrong = refused(login(&proxy, "app", Some("wrong")), "password authentication failed");
        let unknown = refused(login(&proxy, "ghost", Some("wrong")), "password authentication failed");
        assert_eq!(wrong.replace("\"app\"", "\"ghost\""), unknown, "{method}");
        // Those who may read the log learn the difference, and no secret.
        let log = proxy.log();
        assert!(log.contains("ghost") && !log.contains("sesame"), "{log}");
        proxy.stop();
    }
}

#[test]
fn the_sqlstate_of_a_wrong_password_is_28p01() {
    let proxy = builder("scram-sha-256", "sesame").start();
    for (user, password) in [("app", "wrong"), ("ghost", "wrong")] {
        let error = waypool_tests::run_async(async {
            let options = format!("user={user} password={password}");
            waypool_tests::connect(&proxy, &options).await.err().unwrap()
        });
        assert_eq!(error.code().unwrap().code(), "28P01", "{error:?}");
    }
    proxy.stop();
}

#[test]
fn scram_cannot_be_done_with_an_md5_hash() {
    let [_, (_, hash), _] = secrets();
    let proxy = builder("scram-sha-256", &hash).start();
    refused(login(&proxy, "app", Some("sesame")), "password authentication failed");
    // The operator is told why.
    assert!(proxy.log().to_lowercase().contains("scram"), "{}", proxy.log());
    proxy.stop();
}

#[test]
fn trust_asks_for_nothing() {
    let proxy = builder("trust", "sesame").start();
    secrets();
    assert_eq!(login(&proxy, "app", None).ok(), "app\n");
    assert_eq!(login(&proxy, "app", Some("wrong")).ok(), "app\n");
    // The server has the last word on who exists.
    refused(login(&proxy, "ghost", None), "role \"ghost\" does not exist");
    proxy.stop();
}

#[test]
fn the_first_rule_that_fits_counts() {
    secrets();
    let rules = [
        "# who comes in how",
        "local all all reject",
        "host template1 all all reject",
        "host all app 127.0.0.0/8 scram-sha-256",
        "host all postgres 10.0.0.0/8 trust",
        "host sameuser all all trust",
    ];
    let proxy = Proxy::builder(primary_and_standby()).hba(&rules).user("app", "sesame").start();
    assert_eq!(login(&proxy, "app", Some("sesame")).ok(), "app\n");
    let reject =
        "Waypool's hba rules reject connection for host \"127.0.0.1\", user \"app\", database \"template1\"";
    let mut psql = program(&proxy, "psql");
    psql.env("PGUSER", "app").env("PGPASSWORD", "sesame").args([
        "-XAtw",
        "-d",
        "template1",
        "-c",
        "SELECT 1",
    ]);
    refused(run(&mut psql, ""), reject);
    let mut psql = program(&proxy, "psql");
    psql.env("PGHOST", proxy.socket_dir()).args(["-XAtw", "-c", "SELECT 1"]);
    refused(run(&mut psql, ""), "Waypool's hba rules reject connection for host \"[local]\"");
    // 127.0.0.1 is not in 10.0.0.0/8, so the next rule counts: a database of the same name.
    let mut psql = program(&proxy, "psql");
    psql.args(["-XAtw", "-d", "template1", "-c", "SELECT 1"]);
    refused(run(&mut psql, ""), "Waypool's hba rules reject");
    assert_eq!(login(&proxy, "postgres", None).ok(), "postgres\n");
    let other = login(&proxy, "ghost", None);
    refused(other, "no entry in Waypool's hba rules for host \"127.0.0.1\", user \"ghost\"");
    proxy.stop();
}

#[test]
fn changed_rules_and_users_count_after_a_reload() {
    secrets();
    let proxy = builder("scram-sha-256", "sesame").start();
    assert_eq!(login(&proxy, "app", Some("sesame")).ok(), "app\n");
    let said = proxy.reconfigure(|it| it.user("app", "changed"));
    assert!(said.contains("configuration reloaded"), "{said}");
    refused(login(&proxy, "app", Some("sesame")), "password authentication failed");
    assert_eq!(login(&proxy, "app", Some("changed")).ok(), "app\n");
    proxy.reconfigure(|it| it.hba(&["host all all all reject"]));
    refused(login(&proxy, "app", Some("changed")), "Waypool's hba rules reject");
    // A mistake in the file changes nothing.
    let said = proxy.reconfigure(|it| it.hba(&["host all all all nonsense"]));
    assert!(said.contains("reload refused"), "{said}");
    refused(login(&proxy, "app", Some("changed")), "Waypool's hba rules reject");
    proxy.stop();
}

#[test]
fn password_files_of_pgbouncer_and_of_pgpool_are_read() {
    let [_, (_, hash), (_, verifier)] = secrets();
    let file = tempfile::NamedTempFile::new().unwrap();
    for (format, content) in [
        ("PgBouncer, clear", "\"app\" \"sesame\"\n\"other\" \"x\"\n".to_owned()),
        ("PgBouncer, md5", format!("\"app\" \"{hash}\"\n")),
        ("PgBouncer, verifier", format!("\"app\" \"{verifier}\"\n")),
        ("Pgpool-II, clear", "other:TEXTx\napp:TEXTsesame\n".to_owned()),
        ("Pgpool-II, md5", format!("app:{hash}\n")),
    ] {
        fs::write(file.path(), content).unwrap();
        // md5 as a rule takes every form: SCRAM is done where the secret is a verifier.
        let proxy = Proxy::builder(primary_and_standby())
            .hba(&["host all all all md5"])
            .top(&format!("auth_file = {:?}", file.path()))
            .start();
        assert_eq!(login(&proxy, "app", Some("sesame")).ok(), "app\n", "{format}");
        refused(login(&proxy, "app", Some("wrong")), "password authentication failed");
        proxy.stop();
    }
}
