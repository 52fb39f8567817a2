//! The hooks at the begin of a session, and those at none.

use waypool_tests::raw::{Raw, read_port};
use waypool_tests::wait_until;

use super::*;

/// Who begins a session so orders this of the hook.
fn ordering(proxy: &Proxy, hook: &str, deed: &str) -> Result<Raw, String> {
    let order = format!("{hook} {deed}");
    Raw::try_login(proxy, &[("application_name", &order)])
        .map_err(|error| error.field(b'C').unwrap_or_default())
}

const FAILING: [(&str, &str); 7] = [
    ("trap", "trap"),
    ("loop", "deadline"),
    ("hog", "memory"),
    ("recurse", "trap"),
    ("error", "error"),
    ("bad_sqlstate", "malformed answer"),
    ("invalid_utf8", "malformed answer"),
];

#[test]
fn sessions_at_whose_gate_a_plugin_fails_come_in_as_they_are() {
    let proxy = modest(builder()).start();
    for (deed, fault) in FAILING {
        let before = failures(&stats(&proxy), fault);
        let mut session = ordering(&proxy, "session_start", deed).unwrap();
        assert_eq!(session.value("SELECT current_user || current_database()"), "postgrespostgres", "{deed}");
        assert_eq!(read_port(&mut session), standby_port(), "{deed}");
        assert_eq!(failures(&stats(&proxy), fault), before + 1, "{deed}");
        assert!(is_logged(&proxy, fault), "{deed} is not in the log");
    }
    // Changes that cannot be made: names with a zero byte in them.
    let mut session = ordering(&proxy, "session_start", "garbage").unwrap();
    assert_eq!(session.value("SELECT 42"), "42");
    assert!(proxy.log().contains("a gate's changes are ignored"));
}

#[test]
fn with_on_error_reject_nobody_comes_in_past_a_gate_that_fails() {
    let proxy = rejecting(modest(builder())).start();
    for (deed, fault) in FAILING {
        let before = failures(&stats(&proxy), fault);
        assert_eq!(ordering(&proxy, "session_start", deed).unwrap_err(), "38000", "{deed}");
        assert_eq!(failures(&stats(&proxy), fault), before + 1, "{deed}");
        Raw::login(&proxy);
    }
}

#[test]
fn sessions_without_a_plan_read_from_the_primary() {
    let proxy = modest(builder()).start();
    for (deed, fault) in &FAILING[..4] {
        let before = failures(&stats(&proxy), fault);
        let mut session = ordering(&proxy, "plan_session", deed).unwrap();
        assert_eq!(session.value("SELECT 42"), "42", "{deed}");
        session.run("CREATE TEMPORARY TABLE t AS SELECT 42 AS n");
        assert_eq!(session.value("SELECT n FROM t"), "42", "{deed}");
        assert_eq!(failures(&stats(&proxy), fault), before + 1, "{deed}");
        assert!(is_logged(&proxy, fault), "{deed} is not in the log");
    }
    // At home on a server that is none, and patient for 50 days
    let mut session = ordering(&proxy, "plan_session", "garbage").unwrap();
    assert_eq!(session.value("SELECT 42"), "42");
}

#[test]
fn log_lines_at_the_begin_of_a_session_are_limited_too() {
    let proxy = modest(builder()).start();
    for (number, hook) in ["session_start", "plan_session"].into_iter().enumerate() {
        let mut session = ordering(&proxy, hook, "flood").unwrap();
        assert_eq!(session.value("SELECT 42"), "42", "{hook}");
        assert!(lines_dropped(&stats(&proxy)) > 9_000 * (number as u64 + 1), "{hook}");
    }
}

/// It has no statement: its third call fails in each instance.
#[test]
fn a_balancer_that_fails_when_it_is_told_of_the_servers_is_contained() {
    for (deed, fault) in &FAILING[..4] {
        let config = format!("misbehave = {{ topology = \"{deed}\" }}\nafter = 2");
        let proxy = modest(builder()).plugin(HOSTILE, &config).start();
        let mut session = Raw::login(&proxy);
        let mut weight = 1.0;
        wait_until(&format!("{deed} is counted"), || {
            // Something changes: the balancers are told.
            weight += 1.0;
            proxy.reconfigure(|builder| builder.weights(&[0.0, weight]));
            assert_eq!(session.value("SELECT 42"), "42", "{deed}");
            failures(&stats(&proxy), fault) > 0
        });
        assert!(is_logged(&proxy, fault), "{deed} is not in the log");
        assert_eq!(read_port(&mut Raw::login(&proxy)), standby_port());
    }
}
