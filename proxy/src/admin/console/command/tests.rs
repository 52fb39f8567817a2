#![allow(clippy::unwrap_used)]
use super::*;

fn name(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn error(text: &str) -> (String, String) {
    let error = Command::parse(text).unwrap_err();
    (error.sqlstate.into_owned(), error.message)
}

#[test]
fn commands_in_any_case_with_and_without_a_semicolon() {
    for (text, expected) in [
        ("SHOW POOLS", Command::Show(Show::Pools)),
        (" show\tpools ; ", Command::Show(Show::Pools)),
        ("select pools", Command::Show(Show::Pools)),
        ("SHOW pool_nodes;", Command::Show(Show::Pool(Pool::Nodes))),
        ("PAUSE", Command::Pause(None)),
        ("pause shop;", Command::Pause(name("shop"))),
        ("PAUSE Shop", Command::Pause(name("Shop"))),
        ("PAUSE \"my \"\"shop\"\"; or not\"", Command::Pause(name("my \"shop\"; or not"))),
        ("PAUSE läden", Command::Pause(name("läden"))),
        ("RESUME", Command::Resume(None)),
        ("RECONNECT shop", Command::Reconnect(name("shop"))),
        ("KILL", Command::Kill(None)),
        ("KILL shop", Command::Kill(name("shop"))),
        ("KILL_CLIENT 12", Command::KillClient(12)),
        ("WAIT_CLOSE shop", Command::WaitClose(name("shop"))),
        ("DISABLE shop", Command::Disable("shop".to_owned())),
        ("ENABLE shop", Command::Enable("shop".to_owned())),
        ("RELOAD", Command::Reload),
        ("SHUTDOWN", Command::Shutdown(Shutdown::Now)),
        ("SHUTDOWN wait_for_SERVERS", Command::Shutdown(Shutdown::WaitForServers)),
        ("SHUTDOWN WAIT_FOR_CLIENTS;", Command::Shutdown(Shutdown::WaitForClients)),
        ("", Command::Empty),
        (" ;", Command::Empty),
        ("BEGIN", Command::Ignored("BEGIN")),
        ("start transaction", Command::Ignored("START TRANSACTION")),
        ("SET extra_float_digits = 3", Command::Ignored("SET")),
        ("SET DateStyle TO 'ISO, MDY'", Command::Ignored("SET")),
        ("SHOW timezone", Command::Show(Show::Parameter("timezone", "GMT"))),
    ] {
        assert_eq!(Command::parse(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_is_no_command_is_told_where_help_is() {
    for text in [
        "SHOW",
        "SHOW POOLS CLIENTS",
        "SHOW work_mem",
        "SELECT 1 + 1",
        "PAUSE a b",
        "PAUSE a,b",
        "PAUSE \"open",
        "PAUSE \"\"",
        "RELOAD now",
        "SHUTDOWN now",
        "SHOW POOLS; SHOW STATS",
        "DROP TABLE t",
        "SHOW waypool_route FOR SELECT 1",
        "\"",
        "ä",
    ] {
        let (sqlstate, message) = error(text);
        assert_eq!(sqlstate, "42601", "{text}");
        assert!(message.contains("use SHOW HELP"), "{text}: {message}");
    }
}

#[test]
fn other_mistakes_have_words_of_their_own() {
    assert_eq!(error("DISABLE"), ("42601".to_owned(), "a database is required".to_owned()));
    assert_eq!(error("KILL_CLIENT x"), ("22023".to_owned(), "invalid client pointer supplied".to_owned()));
    assert_eq!(error("PAUSE waypool"), ("42501".to_owned(), "cannot pause admin db: waypool".to_owned()));
    assert_eq!(error("SUSPEND").0, "0A000");
    assert_eq!(error("SET max_client_conn = 5").0, "0A000");
    assert_eq!(error("SET").0, "42601");
}

#[test]
fn a_stats_user_may_look_and_no_more() {
    for text in ["SHOW POOLS", "SHOW pool_nodes", "BEGIN", "SET timezone = 'UTC'", ""] {
        assert!(Command::parse(text).unwrap().only_looks(), "{text}");
    }
    for text in ["PAUSE", "RESUME x", "KILL", "KILL_CLIENT 1", "RELOAD", "SHUTDOWN", "DISABLE x", "RECONNECT"]
    {
        assert!(!Command::parse(text).unwrap().only_looks(), "{text}");
    }
}
