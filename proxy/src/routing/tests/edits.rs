//! Carrying edits out, also on top of each other.

use crate::plugin::contract::{Edit, Evaluation, Value};
use crate::routing::edit::{Template, execute_with};
use crate::routing::values::{Filled, Moments};
use std::time::{Duration, SystemTime};

fn moments() -> Moments {
    Moments {
        transaction: SystemTime::UNIX_EPOCH,
        statement: SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000),
    }
}

fn edit(start: usize, end: usize, value: Value) -> Edit {
    Edit { start: start as u32, end: end as u32, value }
}

fn literal(text: &str) -> Value {
    Value::Literal(text.to_owned())
}

fn sent(template: &Template) -> String {
    let values: Vec<_> = template.gaps().filter_map(|gap| moments().value(gap)).collect();
    template.fill(&values)
}

const STATEMENT: &str = "'1970-01-01 00:00:01.500000+00'::pg_catalog.timestamptz";
const TRANSACTION: &str = "'1970-01-01 00:00:00.000000+00'::pg_catalog.timestamptz";

#[test]
fn edits_leave_the_rest_of_the_text_alone() {
    let edits = [edit(7, 12, Value::StatementTimestamp), edit(14, 15, literal("'x'"))];
    let template = Template::new("SELECT now(), 1 /* c */").edit(&edits).unwrap();
    assert_eq!(sent(&template), format!("SELECT {STATEMENT}, 'x' /* c */"));
    assert_eq!(template.fixed(), None, "the moment is not known yet");
}

#[test]
fn edits_at_the_ends_and_of_nothing() {
    let text = Template::new("SELECT 1");
    assert_eq!(text.edit(&[]).unwrap(), text);
    let around = [edit(0, 0, literal("/*a*/ ")), edit(7, 8, literal("")), edit(8, 8, literal("2;"))];
    let edited = text.edit(&around).unwrap();
    assert_eq!(edited.fixed().as_deref(), Some("/*a*/ SELECT 2;"));
    assert_eq!(sent(&edited), "/*a*/ SELECT 2;");
    let all = text.edit(&[edit(0, 8, literal("SELECT 3"))]).unwrap();
    assert_eq!(sent(&all), "SELECT 3");
}

#[test]
fn what_others_see_in_a_gap_has_the_length_of_what_is_sent() {
    let gap = [edit(7, 12, Value::TransactionTimestamp)];
    let template = Template::new("SELECT now() + 1").edit(&gap).unwrap();
    let sample = template.sample();
    assert!(sample.starts_with("SELECT '2000-01-01 ") && sample.ends_with("timestamptz + 1"), "{sample}");
    assert_eq!(sample.len(), sent(&template).len());
}

#[test]
fn the_next_rewriter_edits_around_a_gap() {
    let first = Template::new("SELECT now(), 1").edit(&[edit(7, 12, Value::StatementTimestamp)]).unwrap();
    let sample = first.sample();
    let (one, gap) = (sample.len() - 1, 7..sample.len() - 3);
    let second = first.edit(&[edit(0, 6, literal("VALUES")), edit(one, one + 1, literal("2"))]).unwrap();
    assert_eq!(sent(&second), format!("VALUES {STATEMENT}, 2"));
    // It may take the whole gap out, or put another one beside it.
    let gone = first.edit(&[edit(gap.start, gap.end, literal("0"))]).unwrap();
    assert_eq!(sent(&gone), "SELECT 0, 1");
    let beside = first.edit(&[edit(one, one + 1, Value::TransactionTimestamp)]).unwrap();
    assert_eq!(sent(&beside), format!("SELECT {STATEMENT}, {TRANSACTION}"));
}

#[test]
fn an_edit_that_cuts_through_a_gap_is_an_error() {
    let first = Template::new("SELECT now(), 1").edit(&[edit(7, 12, Value::StatementTimestamp)]).unwrap();
    let end = first.sample().len() - 3;
    for (start, stop) in [(7, 8), (8, end), (5, 10), (end - 1, end), (9, 9)] {
        let error = first.edit(&[edit(start, stop, literal("x"))]).unwrap_err();
        assert!(error.contains("cuts through"), "{start}..{stop}: {error}");
    }
    // At its edges nothing is cut.
    first.edit(&[edit(7, 7, literal("x")), edit(end, end, literal("y"))]).unwrap();
}

fn evaluated(expression: &str, type_name: Option<&str>) -> Value {
    Value::Evaluated(Evaluation {
        expression: expression.to_owned(),
        type_name: type_name.map(str::to_owned),
        everywhere: false,
    })
}

fn value(text: &str, type_name: &str) -> Filled {
    Filled { value: Some(text.to_owned()), type_name: type_name.to_owned() }
}

#[test]
fn a_gap_is_a_literal_or_a_parameter_behind_the_clients_own() {
    let text = "INSERT INTO t VALUES ($1, now(), random())";
    let edits =
        [edit(26, 31, evaluated("now()", Some("timestamptz"))), edit(33, 41, evaluated("random()", None))];
    let template = Template::new(text).edit(&edits).unwrap();
    assert_eq!(template.sample(), "INSERT INTO t VALUES ($1, NULL::timestamptz, NULL)");
    let filled = template.fill(&[value("2026", "timestamptz"), value("0.5", "float8")]);
    assert_eq!(filled, "INSERT INTO t VALUES ($1, '2026'::timestamptz, '0.5'::float8)");
    let expected =
        "INSERT INTO t VALUES ($1, $2::timestamptz, (CASE WHEN true THEN $3 ELSE (random()\n) END))";
    assert_eq!(template.parameters(template.own_parameters(0)), expected);
    assert_eq!(template.own_parameters(4), 4, "declared and not used");
}

#[test]
fn a_prepare_declares_parameters() {
    for (text, own) in [
        ("PREPARE p AS SELECT $2", 2),
        ("PREPARE p (int, numeric(5, 2), text) AS SELECT $1", 3),
        ("/* c */ prepare \"p\"(int) as select 1", 1),
        ("SELECT f(a, b)", 0),
    ] {
        assert_eq!(Template::new(text).own_parameters(0), own, "{text}");
    }
}

#[test]
fn an_execute_gets_further_arguments() {
    for (text, expected) in [
        ("EXECUTE p", "EXECUTE p ('1'::int)"),
        ("execute P (f(1), ')') ;", "execute P (f(1), ')', '1'::int) ;"),
        ("EXPLAIN ANALYZE EXECUTE \"p\"(2) -- c", "EXPLAIN ANALYZE EXECUTE \"p\"(2, '1'::int) -- c"),
        (
            "CREATE TABLE execute AS EXECUTE p WITH NO DATA",
            "CREATE TABLE execute AS EXECUTE p ('1'::int) WITH NO DATA",
        ),
    ] {
        assert_eq!(execute_with(text, "p", &[value("1", "int")]).as_deref(), Some(expected), "{text}");
    }
    assert_eq!(execute_with("SELECT 'EXECUTE p'", "p", &[]), None);
}
