//! firewall: statements that are refused, and when.

use std::time::{SystemTime, UNIX_EPOCH};

use waypool_tests::raw::{Raw, sqlstate};
use waypool_tests::{Builder, Proxy, wire};

use crate::servers::{WAYS, add, servers, stop};

fn firewall(builder: Builder, config: &str) -> Builder {
    add(builder, "firewall", config).plugin_entry("firewall", "on_error = \"reject\"")
}

fn plain() -> Builder {
    Proxy::builder(&servers()).weights(&[0.0, 1.0, 1.0])
}

fn proxy(config: &str) -> Proxy {
    firewall(plain(), config).start()
}

#[test]
fn whole_table_writes_are_refused() {
    let proxy = proxy("");
    let mut session = Raw::login(&proxy);
    session.run("INSERT INTO things VALUES (-1), (-2)");
    for way in WAYS {
        for sql in [
            "DELETE FROM things",
            "WITH gone AS (DELETE FROM things RETURNING n) SELECT * FROM gone WHERE n = 1",
            "TRUNCATE things",
            "DO 'BEGIN DELETE FROM things; END'",
            "DROP TABLE things",
            r"SELECT '\' || ', n FROM things; DELETE FROM things --'",
        ] {
            let [sqlstate, message, hint] = way.error(&mut session, sql);
            assert_eq!(sqlstate, "42501", "{way:?}: {sql}: {message}");
            assert!(!hint.is_empty(), "{sql}");
        }
        let [_, message, hint] = way.error(&mut session, "UPDATE things SET n = 0");
        assert_eq!(
            (message.as_str(), hint.as_str()),
            ("UPDATE without WHERE", "Write WHERE true if all rows are meant.")
        );
        // The session goes on, and no row is gone.
        way.ask(&mut session, "UPDATE things SET n = n WHERE n = -1");
        assert_eq!(
            way.value(
                &mut session,
                "WITH w AS (UPDATE things SET n = n WHERE n < 0 RETURNING 1) SELECT count(*) FROM w"
            ),
            "2"
        );
        way.ask(&mut session, "CREATE TEMP TABLE IF NOT EXISTS mine (n int)");
    }
    session.run("DELETE FROM things WHERE n < 0");
    stop(&proxy);
}

#[test]
fn a_text_that_is_too_long_to_be_looked_at_is_refused() {
    let proxy = proxy("");
    let mut session = Raw::login(&proxy);
    for way in WAYS {
        let long = format!("SELECT 1 /* {} */", "x".repeat(300_000));
        let [sqlstate, message, _] = way.error(&mut session, &long);
        assert_eq!(sqlstate, "38000", "{message}");
        assert_eq!(way.value(&mut session, "SELECT 42"), "42");
    }
    stop(&proxy);
}

/// So many hours from now up to so many: `13:05-14:05`.
fn window(from: u64, to: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
    let minutes = [from, to].map(|hours| now + hours * 60);
    let [from, to] = minutes.map(|minute| format!("{:02}:{:02}", minute / 60 % 24, minute % 60));
    format!("ddl_window = \"{from}-{to}\"")
}

#[test]
fn the_schema_is_changed_at_its_time_or_by_its_people() {
    let people = "ddl_users = [\"migrator\"]\nexempt_users = [\"acme\"]";
    let proxy = proxy(&format!("{}\n{people}", window(3, 4)));
    let mut session = Raw::login(&proxy);
    let mut migrator = Raw::login_with(&proxy, &[("user", "migrator")]);
    let mut exempt = Raw::login_with(&proxy, &[("user", "acme")]);
    for way in WAYS {
        for ddl in ["CREATE TABLE made (n int)", "DROP TABLE made"] {
            let [code, message, hint] = way.error(&mut session, ddl);
            assert_eq!(code, "42501", "{message}");
            assert!(hint.starts_with("The schema may be changed ") && hint.ends_with(" UTC."), "{hint}");
            assert_eq!(sqlstate(&way.ask(&mut migrator, ddl)), None);
        }
        assert_eq!(way.error(&mut migrator, "TRUNCATE clients")[0], "42501");
        for sql in ["CREATE TABLE made (n int)", "DELETE FROM made", "DROP TABLE made"] {
            assert_eq!(sqlstate(&way.ask(&mut exempt, sql)), None);
        }
    }
    // From an hour ago.
    let open = format!("{}\n{people}", window(23, 25));
    let said = proxy.reconfigure(|_| firewall(plain(), &open));
    assert!(said.contains("configuration reloaded"), "{said}");
    for way in WAYS {
        for ddl in ["CREATE TABLE made (n int)", "DROP TABLE made"] {
            assert_eq!(sqlstate(&way.ask(&mut session, ddl)), None);
        }
    }
    stop(&proxy);
}

#[test]
fn a_statement_prepared_before_the_firewall_was_there_is_refused() {
    let proxy = plain().start();
    let mut session = Raw::login(&proxy);
    session.run("CREATE TEMP TABLE mine (n int)");
    session.send(&[wire::parse("all", "DELETE FROM mine"), wire::sync()].concat());
    assert_eq!(sqlstate(&session.wire.until_ready()), None);
    let execute = [wire::bind("", "all", &[]), wire::execute("", 0), wire::sync()].concat();
    session.send(&execute);
    assert_eq!(sqlstate(&session.wire.until_ready()), None);
    let said = proxy.reconfigure(|_| firewall(plain(), ""));
    assert!(said.contains("configuration reloaded"), "{said}");
    session.send(&execute);
    assert_eq!(sqlstate(&session.wire.until_ready()).unwrap(), "42501");
    stop(&proxy);
}
