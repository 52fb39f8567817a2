#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::FakeHost;

fn firewall(change: impl FnOnce(&mut Config)) -> Firewall {
    let mut config = Config::default();
    change(&mut config);
    Firewall::new(config).unwrap()
}

/// Why the text is refused; "" if it is not.
fn refused(plugin: &mut Firewall, text: &str, host: &FakeHost) -> String {
    match plugin.rewrite(text, host).unwrap() {
        Plan::Keep(Depends::Shape) => String::new(),
        Plan::Reject(refusal) => {
            assert_eq!(refusal.sqlstate, "42501");
            assert!(refusal.hint.is_some());
            refusal.message
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whole_tables() {
    let mut plugin = firewall(|_| {});
    for (text, message) in [
        ("DELETE FROM t", "DELETE without WHERE"),
        ("delete/**/from t returning *", "DELETE without WHERE"),
        ("DELETE FROM t -- WHERE id = 1", "DELETE without WHERE"),
        ("DELETE FROM t USING (SELECT 1 WHERE true) AS s", "DELETE without WHERE"),
        ("SELECT 1; UPDATE t SET a = 'WHERE'", "UPDATE without WHERE"),
        ("UPDATE t SET a = (SELECT b FROM s WHERE s.id = 1)", "UPDATE without WHERE"),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone WHERE a > 1", "DELETE without WHERE"),
        ("EXPLAIN (ANALYZE, COSTS off) UPDATE t SET a = 1", "UPDATE without WHERE"),
        ("PREPARE p AS DELETE FROM t", "DELETE without WHERE"),
        ("COPY (DELETE FROM t RETURNING *) TO STDOUT", "DELETE without WHERE"),
        ("TRUNCATE t", "TRUNCATE is not allowed here"),
        ("DELETE FROM t WHERE id = 1", ""),
        ("DELETE FROM t WHERE true", ""),
        ("WITH gone AS (DELETE FROM t WHERE a = 1 RETURNING *) SELECT * FROM gone", ""),
        ("SELECT 'DELETE FROM t' /* DELETE FROM t */, $$DELETE FROM t$$", ""),
        ("SELECT * FROM t FOR UPDATE OF t", ""),
        ("SELECT delete, update FROM t", ""),
        ("INSERT INTO t (update, set) VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET a = 1", ""),
        ("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE", ""),
        ("SELECT \"delete\" FROM t", ""),
    ] {
        assert_eq!(refused(&mut plugin, text, &FakeHost::new()), message, "{text}");
    }
}

#[test]
fn a_text_that_could_be_read_otherwise() {
    let text = r"SELECT '\' || '; DELETE FROM t --'";
    let said = refused(&mut firewall(|_| {}), text, &FakeHost::new());
    assert_eq!(said, "a backslash stands before a quote in a string");
    assert_eq!(refused(&mut firewall(|_| {}), r"SELECT E'\'', 'C:\temp'", &FakeHost::new()), "");
}

#[test]
fn what_nobody_can_look_into() {
    let text = "DO 'BEGIN DELETE FROM t; END'";
    assert_eq!(refused(&mut firewall(|_| {}), text, &FakeHost::new()), "DO is not allowed here");
    let mut trusting = firewall(|config| config.forbidden.clear());
    assert_eq!(refused(&mut trusting, text, &FakeHost::new()), "");
}

/// 2025-01-01 at this time
fn at(hours: u64, minutes: u64) -> u64 {
    1_735_689_600_000_000 + (hours * 60 + minutes) * 60_000_000
}

#[test]
fn ddl_has_its_time() {
    let mut plugin = firewall(|config| config.ddl_window = "23:00-01:30".to_owned());
    let host = FakeHost::new();
    for (now, allowed) in [(at(22, 59), false), (at(23, 0), true), (at(1, 29), true), (at(1, 30), false)] {
        host.set_now(now);
        for text in ["DROP TABLE t", "alter table t add a int", "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1"]
        {
            let said = refused(&mut plugin, text, &host);
            assert_eq!(said.is_empty(), allowed, "{now}: {said}");
        }
    }
    let asked = host.calls()["now"];
    for text in [
        "CREATE TEMP TABLE t (a int)",
        "CREATE OR REPLACE LOCAL TEMPORARY VIEW v AS SELECT 1",
        "SELECT comment FROM t",
        "INSERT INTO t (comment, create) VALUES ('DROP', 'TABLE')",
    ] {
        assert_eq!(refused(&mut plugin, text, &host), "", "{text}");
    }
    assert_eq!(host.calls()["now"], asked, "only DDL costs the cache");
    assert_eq!(refused(&mut plugin, "CREATE TABLE temp (a int)", &host), "CREATE is not allowed now");
}

#[test]
fn some_users_may_more() {
    let mut plugin = firewall(|config| {
        config.ddl_users = ["migrator".to_owned()].into();
        config.exempt_users = ["admin".to_owned()].into();
    });
    let host = FakeHost::new();
    let mut said = |user: &str, text: &str| {
        host.set_session("shop", user, "");
        refused(&mut plugin, text, &host)
    };
    assert_eq!(said("app", "DROP TABLE t"), "DROP is not allowed now");
    assert_eq!(said("migrator", "DROP TABLE t"), "");
    assert_eq!(said("migrator", "DELETE FROM t"), "DELETE without WHERE");
    assert_eq!(said("admin", "DELETE FROM t; DROP TABLE t"), "");
}

#[test]
fn mistakes_are_named() {
    let mistake = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        Firewall::new(config).unwrap_err().to_string()
    };
    assert_eq!(
        mistake(|config| config.whole_table = ["drop".to_owned()].into()),
        "whole_table: \"drop\" is none of delete, update, truncate"
    );
    for window in ["noon", "02:00", "02:00-02:00", "25:00-26:00", "01:60-02:00"] {
        let config = Config { ddl_window: window.to_owned(), ..Config::default() };
        let said = Firewall::new(config).unwrap_err().to_string();
        assert_eq!(said, format!("ddl_window = \"{window}\": write it as \"22:30-02:00\""));
    }
}
