//! Every deed in every hook that sees statements.

use waypool_tests::raw::{Raw, extended, read_port, sqlstate, value};
use waypool_tests::{Database, Proxy, wait_until};

use super::*;

/// What the plugin does, and as what it is counted.
type Deed = (&'static str, &'static str);

/// Whatever a hook answers, it can do these.
const VIOLENT: [Deed; 4] = [("trap", "trap"), ("loop", "deadline"), ("hog", "memory"), ("recurse", "trap")];

/// The hooks that decide about a statement, and what else fails in them.
const DECIDING: [(&str, &[Deed]); 4] = [
    ("classify", &[("error", "error"), ("invalid_utf8", "malformed answer")]),
    ("refine", &[("error", "error"), ("invalid_utf8", "malformed answer")]),
    (
        "rewrite",
        &[
            ("error", "error"),
            ("invalid_utf8", "malformed answer"),
            ("bad_sqlstate", "malformed answer"),
            ("garbage", "malformed answer"),
        ],
    ),
    (
        "route",
        &[("error", "error"), ("invalid_utf8", "malformed answer"), ("bad_sqlstate", "malformed answer")],
    ),
];

/// The hooks that are told of a statement.
const TOLD: [&str; 2] = ["ended", "observe"];

fn deeds(more: &[Deed]) -> Vec<Deed> {
    VIOLENT.iter().chain(more).copied().collect()
}

/// Expects that the stats and the log tell so many more failures of this kind.
#[track_caller]
fn expect_counted(proxy: &Proxy, before: &Stats, expected: &[(Deed, u64)]) {
    for fault in ["trap", "deadline", "memory", "malformed answer", "error"] {
        let wanted: u64 =
            expected.iter().filter(|((_, kind), _)| *kind == fault).map(|(_, times)| times).sum();
        let now = || failures(&stats(proxy), fault) - failures(before, fault);
        // Observers hear of a statement half a second later.
        wait_until(&format!("{wanted} failures of the kind {fault} are counted"), || now() >= wanted);
        assert_eq!(now(), wanted, "{fault}");
        assert!(wanted == 0 || is_logged(proxy, fault), "{fault} is not in the log");
    }
}

/// One statement in each protocol.
fn both_protocols(session: &mut Raw, sql: &str) -> [Vec<waypool_tests::wire::Message>; 2] {
    let simple = session.query(sql);
    session.send(&extended(sql));
    [simple, session.wire.until_ready()]
}

#[test]
fn statements_about_which_a_hook_fails_are_answered_by_the_primary() {
    let proxy = modest(builder()).start();
    let mut session = Raw::login(&proxy);
    assert_eq!(read_port(&mut session), standby_port());
    for (hook, more) in DECIDING {
        let before = stats(&proxy);
        let deeds = deeds(more);
        for (deed, _) in &deeds {
            let read = format!("SELECT inet_server_port() /* {hook} {deed} */");
            for answer in both_protocols(&mut session, &read) {
                let port = value(&answer).unwrap_or_else(|| panic!("{read}: {answer:?}"));
                assert_eq!(port, primary_port().to_string(), "{read}");
            }
            assert_eq!(read_port(&mut session), standby_port(), "after {read}");
        }
        // Once in each protocol.
        let expected: Vec<_> = deeds.into_iter().map(|deed| (deed, 2)).collect();
        expect_counted(&proxy, &before, &expected);
    }
}

#[test]
fn no_write_is_lost_or_done_twice() {
    let proxy = modest_within("20ms", builder()).start();
    let database = Database::create("writes_of_victims", "CREATE TABLE t (what text)");
    let mut session = Raw::login_with(&proxy, &[("database", database.name)]);
    let mut written = 0;
    for (hook, more) in DECIDING.into_iter().chain(TOLD.map(|hook| (hook, &[][..]))) {
        for (deed, _) in deeds(more) {
            let write = format!("INSERT INTO t VALUES ('{hook} {deed}') /* {hook} {deed} */");
            session.run(&write);
            session.run(&format!("BEGIN; {write}; ROLLBACK"));
            session.run("BEGIN");
            for answer in both_protocols(&mut session, &write) {
                assert_eq!(sqlstate(&answer), None, "{write}: {answer:?}");
            }
            // What it has written it can read.
            let count = format!("SELECT count(*) FROM t WHERE what = '{hook} {deed}' /* {hook} {deed} */");
            assert_eq!(session.value(&count), "3", "{count}");
            session.run("COMMIT");
            written += 3;
        }
    }
    assert_eq!(database.ask(0, "SELECT count(*) FROM t"), written.to_string());
}

#[test]
fn with_on_error_reject_the_client_is_told_and_goes_on() {
    let proxy = rejecting(modest(builder())).start();
    let mut session = Raw::login(&proxy);
    for (hook, more) in DECIDING {
        let before = stats(&proxy);
        let deeds = deeds(more);
        for (deed, _) in &deeds {
            let read = format!("SELECT 42 /* {hook} {deed} */");
            for answer in both_protocols(&mut session, &read) {
                assert_eq!(sqlstate(&answer).as_deref(), Some("38000"), "{read}: {answer:?}");
            }
            assert_eq!(session.value("SELECT 42"), "42", "after {read}");
        }
        session.run("BEGIN");
        assert_eq!(session.error(&format!("SELECT 42 /* {hook} trap */")), "38000");
        session.run("ROLLBACK");
        assert_eq!(read_port(&mut session), standby_port());
        let mut expected: Vec<_> = deeds.into_iter().map(|deed| (deed, 2)).collect();
        expected.push((VIOLENT[0], 1));
        expect_counted(&proxy, &before, &expected);
    }
}

#[test]
fn answers_that_make_no_sense_lead_nowhere() {
    let proxy = modest(builder()).start();
    let mut session = Raw::login(&proxy);
    // EXECUTE of nothing, with all effects there are; a server that is none.
    for hook in ["classify", "refine", "route"] {
        let read = format!("SELECT inet_server_port() /* {hook} garbage */");
        for answer in both_protocols(&mut session, &read) {
            let port = value(&answer).unwrap_or_else(|| panic!("{read}: {answer:?}"));
            assert_eq!(port, primary_port().to_string(), "{read}");
        }
        assert_eq!(session.value("SELECT 42"), "42", "after {read}");
    }
    assert_eq!(read_port(&mut Raw::login(&proxy)), standby_port());
}

#[test]
fn nobody_else_waits_with_whom_a_balancer_lets_wait() {
    let proxy = modest(builder()).start();
    let mut session = Raw::login(&proxy);
    let calls = || stats(&proxy).0["counts"]["calls"].as_u64().unwrap();
    let before = calls();
    session.send(&waypool_tests::wire::query("SELECT 42 /* route wait */"));
    // Asked, let wait a second, asked again
    wait_until("the balancer has been asked twice", || calls() >= before + 5);
    let mut other = Raw::login(&proxy);
    assert_eq!(other.value("SELECT 42"), "42");
    assert!(!session.has_answer());
}

#[test]
fn who_is_only_told_cannot_harm_the_answer() {
    let proxy = modest(builder()).start();
    let mut session = Raw::login(&proxy);
    for hook in TOLD {
        let before = stats(&proxy);
        for (deed, _) in VIOLENT {
            let seen = stats(&proxy).counter("observed");
            let read = format!("SELECT inet_server_port() /* {hook} {deed} */");
            for answer in both_protocols(&mut session, &read) {
                let port = value(&answer).unwrap_or_else(|| panic!("{read}: {answer:?}"));
                assert_eq!(port, standby_port().to_string(), "{read}");
            }
            // It is told of several statements at once, and fails at the first:
            // one deed at a time.
            if hook == "observe" {
                wait_until("the observer has been told", || stats(&proxy).counter("observed") >= seen + 2);
            }
        }
        for fault in ["trap", "deadline", "memory"] {
            wait_until(&format!("{fault} in {hook} is counted"), || {
                failures(&stats(&proxy), fault) > failures(&before, fault)
            });
            assert!(is_logged(&proxy, fault), "{fault} is not in the log");
        }
        assert_eq!(stats(&proxy).0["state"], "active");
    }
}

/// 10 MB of lines, in each hook.
#[test]
fn log_lines_are_limited_and_counted() {
    let proxy = modest(builder()).start();
    let mut session = Raw::login(&proxy);
    let began = std::time::Instant::now();
    let hooks = ["classify", "refine", "rewrite", "route", "ended", "observe"];
    for (number, hook) in hooks.into_iter().enumerate() {
        let read = format!("SELECT inet_server_port() /* {hook} flood */");
        assert_eq!(session.value(&read), standby_port().to_string(), "{read}");
        let expected = 9_000 * (number as u64 + 1);
        wait_until(&format!("the flood in {hook} is counted"), || lines_dropped(&stats(&proxy)) > expected);
    }
    let seconds = began.elapsed().as_secs() + 2;
    let dull = proxy.log().matches("a dull boy").count() as u64;
    // Each line has it 23 times.
    assert!(dull / 23 <= 100 * seconds, "{} lines in {seconds} s", dull / 23);
    assert_eq!(stats(&proxy).failures(), 0);
}
