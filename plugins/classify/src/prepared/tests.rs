#![allow(clippy::unwrap_used)]
use crate::tests::{plain, verdict};
use waypool_plugin_sdk::{Depends, Effects as E, Kind, Servers};

#[test]
fn prepare_has_the_servers_of_what_it_prepares() {
    let state = E::SESSION_STATE;
    for (text, servers, effects) in [
        ("PREPARE p AS SELECT 1", Servers::Any, state),
        ("PREPARE p (int, text) AS SELECT stable($1)", Servers::Any, state),
        ("PREPARE p AS SELECT volatile(1)", Servers::Primary, state | E::WRITES),
        ("PREPARE p AS INSERT INTO t VALUES ($1)", Servers::Primary, state | E::WRITES),
        ("PREPARE p AS SELECT * FROM t FOR UPDATE", Servers::Primary, state | E::WRITES | E::LOCKS),
        // As Pgpool-II; but what a standby has not is not asked of it.
        ("PREPARE p AS SELECT * FROM pg_class", Servers::Any, state),
        ("PREPARE p AS SELECT * FROM temporary", Servers::Primary, state | E::PRIMARY_RELATION),
    ] {
        let verdict = verdict(text, &plain());
        assert_eq!(
            (verdict.kind, verdict.servers, verdict.effects),
            (Kind::Prepare, servers, effects),
            "{text}"
        );
        assert_eq!((verdict.name.as_deref(), verdict.depends), (Some("p"), Depends::Text));
    }
}

#[test]
fn execute_and_deallocate_name_their_statement() {
    let execute = verdict("EXECUTE \"P\" (1, stable(2))", &plain());
    assert_eq!(
        (execute.kind, execute.servers, execute.effects),
        (Kind::Execute, Servers::Primary, E::empty())
    );
    assert_eq!(execute.name.as_deref(), Some("P"));
    assert_eq!(verdict("EXECUTE p (volatile(2))", &plain()).effects, E::WRITES);
    for (text, servers, name) in [
        ("DEALLOCATE p", Servers::Primary, Some("p")),
        ("DEALLOCATE PREPARE p", Servers::Primary, Some("p")),
        ("DEALLOCATE prepare", Servers::Primary, Some("prepare")),
        ("DEALLOCATE ALL", Servers::All, None),
        ("DEALLOCATE PREPARE ALL", Servers::All, None),
    ] {
        let verdict = verdict(text, &plain());
        assert_eq!((verdict.kind, verdict.servers), (Kind::Deallocate, servers), "{text}");
        assert_eq!(verdict.name.as_deref(), name, "{text}");
    }
}

#[test]
fn explain_writes_if_it_runs_a_write() {
    for (text, effects) in [
        ("EXPLAIN SELECT volatile(1)", E::empty()),
        ("EXPLAIN INSERT INTO t VALUES (1)", E::empty()),
        ("EXPLAIN ANALYZE SELECT 1", E::empty()),
        ("EXPLAIN ANALYZE VERBOSE SELECT volatile(1)", E::WRITES),
        ("EXPLAIN (VERBOSE, ANALYZE) UPDATE t SET a = 1", E::WRITES),
        ("EXPLAIN (ANALYZE) SELECT * FROM t FOR UPDATE", E::WRITES | E::LOCKS),
        ("EXPLAIN ANALYZE EXECUTE p", E::WRITES),
    ] {
        let verdict = verdict(text, &plain());
        assert_eq!(
            (verdict.kind, verdict.servers, verdict.effects),
            (Kind::Explain, Servers::Primary, effects),
            "{text}"
        );
    }
}

#[test]
fn nesting_ends_at_once() {
    let deep = "EXPLAIN ".repeat(10_000) + "SELECT 1";
    for text in [deep.as_str(), "PREPARE p AS PREPARE q AS SELECT 1", "EXPLAIN", "PREPARE p AS", "EXECUTE"] {
        assert!(verdict(text, &plain()).effects.contains(E::UNPARSED));
    }
}
