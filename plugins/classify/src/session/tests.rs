#![allow(clippy::unwrap_used)]
use super::*;
use crate::words::cut;
use waypool_plugin_sdk::Effects as E;

/// The verdict for a whole statement whose first word this module handles.
fn of(text: &str) -> Verdict {
    let mut words = Vec::new();
    cut(text, &mut words);
    let mut cursor = Cursor::new(text, &words);
    let first = cursor.keyword(0);
    cursor.at = 1;
    match first {
        Keyword::Set => set(cursor),
        Keyword::Reset => reset(cursor),
        Keyword::Show => show(cursor),
        _ => discard(cursor),
    }
}

#[track_caller]
fn is(text: &str, kind: Kind, servers: Servers, name: &str, effects: Effects) {
    let verdict = of(text);
    assert_eq!((verdict.kind, verdict.servers, verdict.effects), (kind, servers, effects), "{text}");
    assert_eq!(verdict.name.as_deref().unwrap_or(""), name, "{text}");
}

#[test]
fn a_parameter_goes_to_all_servers_under_its_name() {
    let session = E::WRITES | E::SESSION_STATE;
    for (text, name) in [
        ("SET work_mem = '4MB'", "work_mem"),
        ("SET SESSION Work_Mem TO 4", "work_mem"),
        ("SET \"DateStyle\" TO iso", "datestyle"),
        ("SET my.Setting = 1", "my.setting"),
        ("SET TIME ZONE 'UTC'", "timezone"),
        ("SET timezone TO 'UTC'", "timezone"),
        ("SET NAMES 'utf8'", "client_encoding"),
        ("SET SCHEMA 's'", "search_path"),
        ("SET search_path TO a, b", "search_path"),
        ("SET ROLE r", "role"),
        ("SET role = r", "role"),
        ("SET SESSION AUTHORIZATION u", "session_authorization"),
        ("SET XML OPTION DOCUMENT", "xmloption"),
        ("SET default_transaction_read_only = off", "default_transaction_read_only"),
        ("SET default_transaction_isolation = 'repeatable read'", "default_transaction_isolation"),
    ] {
        is(text, Kind::Set, Servers::All, name, session);
    }
    is("SET LOCAL work_mem = 1", Kind::SetLocal, Servers::All, "work_mem", E::WRITES);
    is("SET LOCAL ROLE r", Kind::SetLocal, Servers::All, "role", E::WRITES);
}

#[test]
fn what_a_standby_refuses_goes_to_the_primary() {
    let write = E::WRITES | E::READ_WRITE;
    for value in ["0", "off", "OFF", "'off'", "f", "false", "no", "'n'", "of"] {
        is(
            &format!("SET transaction_read_only = {value}"),
            Kind::SetLocal,
            Servers::Primary,
            "transaction_read_only",
            write,
        );
    }
    is(
        "SET transaction_read_only TO on",
        Kind::SetLocal,
        Servers::All,
        "transaction_read_only",
        E::READ_ONLY,
    );
    is("SET TRANSACTION READ WRITE", Kind::SetLocal, Servers::Primary, "transaction", write);
    is("SET TRANSACTION READ ONLY", Kind::SetLocal, Servers::All, "transaction", E::READ_ONLY);
    is(
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        Kind::SetLocal,
        Servers::Primary,
        "transaction",
        E::SERIALIZABLE,
    );
    is(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        Kind::SetLocal,
        Servers::All,
        "transaction",
        E::WRITES,
    );
    is(
        "SET transaction_isolation TO 'Serializable'",
        Kind::SetLocal,
        Servers::Primary,
        "transaction_isolation",
        E::SERIALIZABLE,
    );
    let session = E::SERIALIZABLE | E::SESSION_STATE;
    is(
        "SET default_transaction_isolation = serializable",
        Kind::Set,
        Servers::Primary,
        "default_transaction_isolation",
        session,
    );
    is(
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        Kind::Set,
        Servers::Primary,
        "default_transaction_isolation",
        session,
    );
    is(
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        Kind::Set,
        Servers::Primary,
        "default_transaction_read_only",
        write | E::SESSION_STATE,
    );
    is("SET CONSTRAINTS ALL DEFERRED", Kind::SetLocal, Servers::Primary, "", E::WRITES);
    is("SET TRANSACTION SNAPSHOT '1-1'", Kind::SetLocal, Servers::Primary, "", E::WRITES);
}

#[test]
fn reset_show_and_discard() {
    let session = E::WRITES | E::SESSION_STATE;
    is("RESET work_mem", Kind::Reset, Servers::All, "work_mem", session);
    is("RESET ALL", Kind::Reset, Servers::All, "", session);
    is("RESET TIME ZONE", Kind::Reset, Servers::All, "timezone", session);
    is("RESET SESSION AUTHORIZATION", Kind::Reset, Servers::All, "session_authorization", session);
    is("SHOW Work_Mem", Kind::Show, Servers::Any, "work_mem", E::empty());
    is("SHOW ALL", Kind::Show, Servers::Any, "", E::empty());
    is("SHOW TRANSACTION ISOLATION LEVEL", Kind::Show, Servers::Any, "transaction_isolation", E::empty());
    is("DISCARD ALL", Kind::Discard, Servers::All, "all", session);
}

#[test]
fn nonsense_goes_to_the_primary() {
    for text in [
        "SET",
        "SET x",
        "SET x 1",
        "SET 1 = 2",
        "SET x > 1",
        "RESET",
        "SHOW 1",
        "DISCARD",
        "SET TRANSACTION 5",
    ] {
        assert!(of(text).effects.contains(E::UNPARSED), "{text}");
        assert_eq!(of(text).servers, Servers::Primary, "{text}");
    }
}
