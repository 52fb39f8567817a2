#![allow(clippy::unwrap_used)]
use super::*;
use waypool_plugin_sdk::testing::FakeHost;
use waypool_plugin_sdk::{RelationFacts, Volatility};

/// A small catalog: every object is named for what it is.
pub(crate) fn plain() -> FakeHost {
    FakeHost::new()
        .function("s.volatile", Volatility::Volatile)
        .function("s.stable", Volatility::Stable)
        .function("s.immutable", Volatility::Immutable)
        .function("pg_catalog.txid_current", Volatility::Stable)
        .function("pg_catalog.set_config", Volatility::Volatile)
        .relation("public.plain", RelationFacts::empty())
        .relation("public.unlogged", RelationFacts::UNLOGGED)
        .relation("pg_temp_1.temporary", RelationFacts::TEMPORARY)
        .relation("pg_catalog.pg_class", RelationFacts::CATALOG)
}

pub(crate) fn verdict(text: &str, host: &FakeHost) -> Verdict {
    Classify::new(Rules::default()).unwrap().classify(text, "db", host)
}

#[track_caller]
fn is(text: &str, kind: Kind, servers: Servers, effects: Effects) {
    let verdict = verdict(text, &plain());
    assert_eq!(
        (verdict.kind, verdict.servers, verdict.effects),
        (kind, servers, effects),
        "{text}: {}",
        verdict.reason
    );
}

const READ: Effects = Effects::empty();
const WRITE: Effects = Effects::WRITES;

#[test]
fn the_first_character_makes_a_read() {
    for text in [
        "SELECT 1",
        "  select 1;",
        "(SELECT 1)",
        "TABLE plain",
        "WITH x AS (SELECT 1) SELECT 1",
        "(VALUES (1))",
        ";SELECT 1",
    ] {
        is(text, Kind::Select, Servers::Any, READ);
    }
    for text in ["VALUES (1)", "/*c*/ SELECT 1", "-- c\nSELECT 1"] {
        is(text, Kind::Select, Servers::Primary, WRITE);
    }
    for text in ["", " ", ";", " ; "] {
        is(text, Kind::Empty, Servers::Any, READ);
    }
    is("-- ping", Kind::Empty, Servers::Primary, READ);
    let rules = Rules { allow_sql_comments: true, ..Rules::default() };
    let verdict = Classify::new(rules).unwrap().classify("/*c*/ SELECT 1", "db", &plain());
    assert_eq!(verdict.servers, Servers::Any);
}

#[test]
fn statements_by_their_first_word() {
    let state = WRITE | Effects::SESSION_STATE;
    for (text, kind, effects) in [
        ("INSERT INTO t VALUES (1)", Kind::Dml, WRITE),
        ("WITH x AS (SELECT 1) DELETE FROM t", Kind::Dml, WRITE),
        ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", Kind::Dml, WRITE),
        ("TRUNCATE t", Kind::Dml, WRITE),
        ("SELECT 1 INTO t", Kind::Ddl, WRITE),
        ("SELECT 1 INTO TEMP t", Kind::Ddl, state),
        ("CREATE TABLE t AS SELECT 1", Kind::Ddl, WRITE),
        ("CREATE TEMPORARY TABLE t (a int)", Kind::Ddl, state),
        ("CREATE OR REPLACE TEMP VIEW v AS SELECT 1", Kind::Ddl, state),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", Kind::Ddl, WRITE),
        ("ALTER SYSTEM SET work_mem = 1", Kind::Ddl, WRITE),
        ("VACUUM", Kind::Utility, WRITE),
        ("CALL p()", Kind::Utility, WRITE),
        ("DO $$BEGIN END$$", Kind::Utility, WRITE),
        ("LISTEN a", Kind::Listen, state),
        ("NOTIFY a", Kind::Listen, WRITE),
        ("DECLARE c CURSOR FOR SELECT 1", Kind::Cursor, WRITE),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", Kind::Cursor, state),
        ("FETCH c", Kind::Cursor, WRITE),
        ("LOCK TABLE t", Kind::Lock, WRITE | Effects::LOCKS),
        ("LOCK t IN SHARE MODE", Kind::Lock, WRITE | Effects::LOCKS),
        ("SELECT set_config('a', 'b', false)", Kind::Select, state),
    ] {
        is(text, kind, Servers::Primary, effects);
    }
    is("LOCK t IN ACCESS SHARE MODE NOWAIT", Kind::Lock, Servers::All, WRITE);
    is("LOCK t, u IN ROW SHARE MODE", Kind::Lock, Servers::All, WRITE);
}

#[test]
fn copy_goes_where_its_data_are() {
    is("COPY plain TO STDOUT", Kind::CopyTo, Servers::Any, READ);
    is("COPY public.plain (a, b) TO STDOUT WITH (FORMAT csv)", Kind::CopyTo, Servers::Any, READ);
    is("COPY (SELECT 1) TO STDOUT", Kind::CopyTo, Servers::Any, READ);
    is("COPY unlogged TO STDOUT", Kind::CopyTo, Servers::Primary, Effects::PRIMARY_RELATION);
    is("COPY (SELECT volatile(1)) TO STDOUT", Kind::CopyTo, Servers::Primary, WRITE);
    is("COPY (SELECT 1 FOR UPDATE) TO STDOUT", Kind::CopyTo, Servers::Primary, WRITE | Effects::LOCKS);
    is("COPY (DELETE FROM t RETURNING a) TO STDOUT", Kind::CopyTo, Servers::Primary, WRITE);
    is("COPY plain TO '/tmp/x'", Kind::CopyTo, Servers::Primary, WRITE);
    is("COPY plain TO PROGRAM 'cat'", Kind::CopyTo, Servers::Primary, WRITE);
    is("COPY plain FROM STDIN", Kind::Dml, Servers::Primary, WRITE);
}

#[test]
fn several_statements_go_to_the_primary_together() {
    let several = Effects::MULTIPLE;
    let inside = several | Effects::TRANSACTION_INSIDE;
    is("SELECT 1; SELECT 2", Kind::Unknown, Servers::Primary, several);
    is("SELECT 1; DELETE FROM t", Kind::Unknown, Servers::Primary, several | WRITE);
    is("BEGIN; SELECT 1", Kind::Unknown, Servers::Primary, inside);
    is(
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT volatile(1)",
        Kind::Unknown,
        Servers::Primary,
        inside | WRITE | Effects::SERIALIZABLE,
    );
    let waiting = verdict("SELECT 1; SELECT f()", &FakeHost::new().unknown_by_default(true));
    assert_eq!(waiting.depends, Depends::Moment);
}

#[test]
fn what_is_not_understood_is_a_write() {
    for text in [
        "SELEC 1",
        "SELECT * FORM t1",
        "SELECT 1 1",
        "FOO",
        "123",
        "'a'",
        "SELECT 'a",
        "SELECT (1",
        "/* SELECT 1",
        "SELECT $a$",
        "INSERT",
        "UPDATE t",
        "DELETE t",
        "START SLAVE",
        "\"select\" 1",
        "SELECT \\",
        "SELECT U&\"f\"()",
    ] {
        is(text, Kind::Unknown, Servers::Primary, WRITE | Effects::UNPARSED);
    }
}

#[test]
fn a_string_that_may_not_end_where_it_seems_is_not_trusted() {
    let text = r"SELECT '\'; DELETE FROM t; --'";
    assert_eq!(verdict(text, &plain()).servers, Servers::Primary);
    is(r"SELECT '\', volatile(), '", Kind::Unknown, Servers::Primary, WRITE | Effects::UNPARSED);
    is(r"SELECT 'C:\'", Kind::Unknown, Servers::Primary, WRITE | Effects::UNPARSED);
    is(r"SELECT 'a\b', E'a\'b'", Kind::Select, Servers::Any, READ);
    is(r"INSERT INTO t VALUES ('C:\')", Kind::Dml, Servers::Primary, WRITE);
    assert_eq!(verdict(r"INSERT INTO t VALUES ('C:\')", &plain()).depends, Depends::Text);
}

#[test]
fn a_verdict_names_what_the_statement_names() {
    let verdict = verdict("INSERT INTO s.t SELECT stable(a) FROM \"U\", u", &plain());
    assert_eq!(verdict.tables, ["s.t", "U", "u"]);
    assert_eq!(verdict.functions, ["stable"]);
    assert_eq!(verdict.depends, Depends::Shape);
}

/// Two texts of one shape get one verdict; else the cache would lie.
#[test]
fn a_verdict_that_depends_on_the_shape_is_that_of_the_shape() {
    let host = plain();
    let mut shape = Vec::new();
    for text in [
        "SELECT a, 'x', 1.5 FROM t  WHERE b = -7 /* c */",
        "/*NO LOAD BALANCE*/ SELECT 1",
        "SELECT volatile('a')",
        "SELECT * FROM pg_class WHERE relname = 'x'",
        "INSERT INTO t VALUES (1, 'a''b')",
        "VALUES (1)",
    ] {
        let of_text = verdict(text, &host);
        assert_eq!(of_text.depends, Depends::Shape);
        assert_eq!(waypool_scan::shape(text.as_bytes(), true, &mut shape), waypool_scan::Shape::Folded);
        assert_eq!(verdict(std::str::from_utf8(&shape).unwrap(), &host), of_text, "{text}");
    }
}

#[test]
fn configuration_is_checked() {
    let rules = Rules { check_temp_table: CheckTempTable::Trace, ..Rules::default() };
    assert!(Classify::new(rules).unwrap_err().contains("trace"));
}

#[test]
fn what_changes_a_database_needs_it_unused() {
    let effects = Effects::WRITES | Effects::UNUSED_DATABASE;
    for text in ["DROP DATABASE d", "create database d template t", "ALTER DATABASE d RENAME TO e"] {
        is(text, Kind::Ddl, Servers::Primary, effects);
    }
    is("DROP TABLE database", Kind::Ddl, Servers::Primary, Effects::WRITES);
}
