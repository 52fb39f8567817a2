//! Plugins that fail whatever they are asked.

use waypool_tests::Database;
use waypool_tests::raw::{Raw, read_port};

use super::*;

/// Waypool's own plugins, each of which a hostile one takes the place of.
const OWN: [(&str, &str); 3] = [("classify", "classifier"), ("balance", "balancer"), ("rewrite", "rewriter")];

/// Texts which the hostile plugin obeys. They are no SQL.
const COMMANDS: [&str; 5] = ["trap", "loop", "hog", "recurse", "error"];

#[test]
fn statements_on_which_a_plugin_fails_get_the_servers_answer() {
    for (name, role) in [OWN[0], OWN[2]] {
        let proxy = hostile(builder(), name, &format!("only = [{role:?}]"));
        let proxy = proxy.plugin_entry(name, &limits("500ms")).start();
        let mut session = Raw::login(&proxy);
        for command in COMMANDS {
            assert_eq!(session.error(command), "42601", "{role}, {command}");
            assert_eq!(session.value("SELECT 42"), "42", "{role}, after {command}");
        }
        for fault in ["trap", "deadline", "memory", "error"] {
            assert!(proxy.log().contains(&format!("fault={fault}")), "{role}: {fault} is not in the log");
        }
    }
}

#[test]
fn sessions_at_whose_begin_the_balancer_fails_are_served() {
    let databases =
        ["trap", "loop", "hog"].map(|name| Database::create(name, "CREATE TABLE t AS SELECT 42 AS n"));
    let proxy = hostile(builder(), "balance", "only = [\"balancer\"]").start();
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
    for (name, role) in OWN {
        let config = match role {
            // It does not count its calls.
            "balancer" => "only = [\"balancer\"]\nmisbehave = { route = \"trap\" }\nafter = 1".to_owned(),
            _ => format!("only = [{role:?}]\ntrap_after_probe = true"),
        };
        let proxy = hostile(builder(), name, &config).start();
        let database = Database::create(format!("always_fails_{role}").leak(), "CREATE TABLE t (n int)");
        let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
        for n in 1..=50 {
            session.run(&format!("INSERT INTO t VALUES ({n})"));
            assert_eq!(session.value(&format!("SELECT {n}")), n.to_string());
        }
        session.run("BEGIN; DELETE FROM t; ROLLBACK");
        assert_eq!(session.value("SELECT sum(n) FROM t"), "1275", "{role}");
        assert!(proxy.log().contains("was told to trap"), "{role}");
    }
}

#[test]
fn a_new_plugin_that_keeps_failing_is_taken_back_by_itself() {
    for (name, role) in OWN {
        let proxy = builder().start();
        let mut session = Raw::login(&proxy);
        let config = match role {
            "balancer" => "only = [\"balancer\"]\nmisbehave = { route = \"trap\" }\nafter = 1".to_owned(),
            _ => format!("only = [{role:?}]\ntrap_after_probe = true"),
        };
        let said = proxy.reconfigure(|builder| hostile(builder, name, &config));
        assert!(said.contains("configuration reloaded"), "{said}");
        let mut asked = 0;
        while !proxy.log().contains("going back to what was before") {
            asked += 1;
            assert!(asked <= 100, "{role}: the failing plugin is still in use");
            // Another shape each time: nothing is answered from the cache.
            let sum = vec!["1"; asked].join(" + ");
            assert_eq!(session.value(&format!("SELECT {sum}")), asked.to_string());
        }
        // Nobody knows what the statements of that session may have done to it.
        assert_eq!(read_port(&mut Raw::login(&proxy)), standby_port(), "{role}");
    }
}
