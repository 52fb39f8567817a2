//! Plugins that are none, that fail and that never end: statements are answered
//! all the same, and operators are told.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use waypool_tests::raw::{Raw, read_port};
use waypool_tests::{Builder, Database, Proxy, primary_and_standby, run, waypool};

/// examples/hostile: it fails in a way that a statement, or its configuration, asks for.
const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/plugins/hostile.wasm");
const ROLES: [&str; 3] = ["classify", "balance", "rewrite"];
/// Texts which the hostile plugin obeys. They are no SQL.
const COMMANDS: [&str; 4] = ["trap", "loop", "hog", "recurse"];

/// Reads go to the standby, as long as all plugins do what they should.
fn builder() -> Builder {
    Proxy::builder(primary_and_standby()).weights(&[0.0, 1.0])
}

fn hostile(builder: Builder, role: &str, config: &str) -> Builder {
    builder.plugin_entry(role, &format!("path = {HOSTILE:?}")).plugin(role, config)
}

fn standby_port() -> u16 {
    primary_and_standby().server(1).port()
}

fn not_wasm(folder: &Path) -> String {
    let file = folder.join("notes.wasm");
    fs::write(&file, "this is a letter, not a plugin").unwrap();
    file.display().to_string()
}

#[test]
fn a_file_that_is_no_plugin_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for role in ROLES {
        let file = not_wasm(folder.path());
        let log = builder().plugin_entry(role, &format!("path = {file:?}")).start_error();
        assert!(log.contains(&file), "{role}: {log}");
    }
}

#[test]
fn a_file_that_is_no_plugin_is_named_by_waypool_check() {
    let proxy = builder().start();
    let folder = proxy.folder().join("checked");
    fs::create_dir(&folder).unwrap();
    let file = not_wasm(&folder);
    let good = fs::read_to_string(proxy.config_path()).unwrap();
    for role in ROLES {
        let bad = format!("{good}\n[plugins.{role}]\npath = {file:?}\n");
        fs::write(folder.join("waypool.toml"), bad).unwrap();
        let mut check = Command::new(waypool());
        check.arg("check").current_dir(&folder).env("XDG_CACHE_HOME", &folder);
        let said = run(&mut check, "").error();
        assert!(said.contains(&file), "{role}: {said}");
    }
}

#[test]
fn a_reload_with_a_bad_plugin_keeps_the_good_one_and_says_why() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    assert_eq!(read_port(&mut session), standby_port());
    let file = not_wasm(proxy.folder());
    let said = proxy.reconfigure(|builder| builder.plugin_entry("classify", &format!("path = {file:?}")));
    assert!(said.contains("reload refused") && said.contains(&file), "{said}");
    assert_eq!(read_port(&mut session), standby_port());
    assert_eq!(read_port(&mut Raw::login(&proxy)), standby_port());
}

#[test]
fn a_reload_takes_over_all_plugins_or_none() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let file = not_wasm(proxy.folder());
    // The new classifier would be fine; it sends everything to the primary.
    let said = proxy.reconfigure(|builder| {
        hostile(builder, "classify", "").plugin_entry("rewrite", &format!("path = {file:?}"))
    });
    assert!(said.contains("reload refused") && said.contains(&file), "{said}");
    assert_eq!(read_port(&mut session), standby_port());
}

#[test]
fn a_plugin_that_fails_when_it_is_tried_out_is_not_taken_over() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let said = proxy.reconfigure(|builder| hostile(builder, "classify", "always_trap = true"));
    assert!(said.contains("reload refused") && said.contains("was told to trap always"), "{said}");
    assert_eq!(read_port(&mut session), standby_port());
}

#[test]
fn a_plugin_that_refuses_its_configuration_says_so_at_the_start() {
    let log = hostile(builder(), "classify", "refuse = \"I do not like Mondays\"").start_error();
    assert!(log.contains("I do not like Mondays") && log.contains(HOSTILE), "{log}");
    let log = hostile(builder(), "rewrite", "trap_in_init = true").start_error();
    assert!(log.contains("init was told to trap"), "{log}");
}

#[test]
fn statements_on_which_a_plugin_fails_get_the_servers_answer() {
    for role in ["classify", "rewrite"] {
        let proxy = hostile(builder(), role, "").start();
        let mut session = Raw::login(&proxy);
        for command in COMMANDS {
            assert_eq!(session.error(command), "42601", "{role}, {command}");
            assert_eq!(session.value("SELECT 42"), "42", "{role}, after {command}");
        }
        for fault in ["trap", "deadline"] {
            assert!(proxy.log().contains(&format!("fault={fault}")), "{role}: {fault} is not in the log");
        }
    }
}

#[test]
fn sessions_at_whose_begin_the_balancer_fails_are_served() {
    let databases =
        ["trap", "loop", "hog"].map(|name| Database::create(name, "CREATE TABLE t AS SELECT 42 AS n"));
    let proxy = hostile(builder(), "balance", "").start();
    for database in &databases {
        for _ in 0..3 {
            let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
            assert_eq!(session.value("SELECT n FROM t"), "42", "{}", database.name);
            session.run("UPDATE t SET n = 42");
        }
    }
}

#[test]
fn a_plugin_that_always_fails_loses_no_statement() {
    for role in ["classify", "rewrite"] {
        let proxy = hostile(builder(), role, "trap_after_probe = true").start();
        let name = format!("always_fails_{role}").leak();
        let database = Database::create(name, "CREATE TABLE t (n int)");
        let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
        for n in 1..=50 {
            session.run(&format!("INSERT INTO t VALUES ({n})"));
            assert_eq!(session.value(&format!("SELECT {n}")), n.to_string());
        }
        session.run("BEGIN; DELETE FROM t; ROLLBACK");
        assert_eq!(session.value("SELECT sum(n) FROM t"), "1275", "{role}");
        assert!(proxy.log().contains("was told to trap always"), "{role}");
    }
}

#[test]
fn a_new_plugin_that_keeps_failing_is_taken_back_by_itself() {
    let proxy = builder().start();
    let mut session = Raw::login(&proxy);
    let said = proxy.reconfigure(|builder| hostile(builder, "classify", "trap_after_probe = true"));
    assert!(said.contains("configuration reloaded"), "{said}");
    let mut asked = 0;
    while !proxy.log().contains("going back to the plugin before") {
        asked += 1;
        assert!(asked <= 100, "the failing plugin is still in use");
        // Another shape each time: nothing is answered from the cache.
        let sum = vec!["1"; asked].join(" + ");
        assert_eq!(session.value(&format!("SELECT {sum}")), asked.to_string());
    }
    // Nobody knows what the statements of that session may have done to it.
    assert_eq!(read_port(&mut Raw::login(&proxy)), standby_port());
}

#[test]
fn with_on_error_reject_the_client_is_told_and_goes_on() {
    let proxy = hostile(builder(), "classify", "").plugin_entry("classify", "on_error = \"reject\"").start();
    let mut session = Raw::login(&proxy);
    for command in COMMANDS {
        assert_eq!(session.error(command), "38000", "{command}");
    }
    session.run("BEGIN");
    assert_eq!(session.error("trap"), "38000");
    session.run("ROLLBACK");
    assert_eq!(session.value("SELECT 42"), "42");
}
