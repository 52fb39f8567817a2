//! Tables of statements: what becomes of each.
#![allow(clippy::unwrap_used)]

mod inserts;
mod others;

use super::*;
use waypool_plugin_sdk::testing::{FakeHost, column, column_with};
use waypool_plugin_sdk::{Column, Identity, Value, Volatility};

/// The catalog of all tests.
fn host() -> FakeHost {
    use Volatility::{Immutable, Stable, Volatile};
    let identity = |name: &str, identity| Column {
        identity,
        ..column_with(name, "bigint", "pg_catalog.nextval('public.i_id_seq'::pg_catalog.regclass)", Volatile)
    };
    FakeHost::new()
        .function("public.volatile_one", Volatile)
        .function("public.stable_one", Stable)
        .function("pg_catalog.lower", Immutable)
        .function("pg_catalog.sum", Immutable)
        .columns("plain", [column("a", "integer"), column("b", "text")])
        .columns(
            "t",
            [
                column_with("id", "integer", "nextval('public.t_id_seq'::regclass)", Volatile),
                column("a", "integer"),
                column_with("made", "timestamp with time zone", "now()", Stable),
                column_with("who", "text", "CURRENT_USER", Stable),
            ],
        )
        .columns("r", [column("a", "integer"), column_with("r", "double precision", "random()", Volatile)])
        .columns("m", [column("a", "integer"), column_with("made", "date", "CURRENT_DATE", Stable)])
        .columns("i", [identity("id", Identity::ByDefault), column("a", "integer")])
        .columns("always", [identity("id", Identity::Always), column("a", "integer")])
        .columns("d", [column("at", "timestamp without time zone"), column("note", "text")])
        .columns("one.twice", [column("a", "integer")])
        .columns("two.twice", [column("a", "integer"), column_with("b", "date", "CURRENT_DATE", Stable)])
}

fn rewriter(on_nondeterministic: OnNondeterministic) -> Rewrite {
    let backend_clustering_mode = Mode::NativeReplication;
    Rewrite::new(Rules { on_nondeterministic, backend_clustering_mode }).unwrap()
}

/// The text as edited: what is evaluated stands in braces, with a `!` behind it if
/// everywhere. Or "kept", or "refused: " and why.
fn outcome(plan: Plan, text: &str) -> String {
    let edits = match plan {
        Plan::Keep(_) => return "kept".to_owned(),
        Plan::Reject(refusal) => return format!("refused: {}", refusal.message),
        Plan::Edit(edits) => edits,
    };
    let (mut out, mut at) = (String::new(), 0);
    for edit in edits {
        out += &text[at..edit.start as usize];
        at = edit.end as usize;
        match edit.value {
            Value::Literal(literal) => out += &literal,
            Value::Evaluated(evaluation) => {
                let everywhere = if evaluation.everywhere { "!" } else { "" };
                out += &format!("{{{}}}{everywhere}", evaluation.expression);
            }
            Value::StatementTimestamp | Value::TransactionTimestamp => out += "?",
        }
    }
    out + &text[at..]
}

#[track_caller]
fn check_with(on_nondeterministic: OnNondeterministic, table: &[(&str, &str)]) {
    let mut rewriter = rewriter(on_nondeterministic);
    for (text, expected) in table {
        let plan = rewriter.rewrite(text, &host()).unwrap();
        let outcome = outcome(plan, text);
        match expected.strip_prefix("refused: …") {
            Some(part) => {
                assert!(outcome.starts_with("refused: ") && outcome.contains(part), "{text}\n{outcome}")
            }
            None => assert_eq!(outcome, *expected, "{text}"),
        }
    }
}

#[track_caller]
fn check(table: &[(&str, &str)]) {
    check_with(OnNondeterministic::Rewrite, table);
}

#[test]
fn with_streaming_replication_statements_stay_as_they_are() {
    let host = FakeHost::new();
    let plan =
        Rewrite::new(Rules::default()).unwrap().rewrite("INSERT INTO t VALUES (now())", &host).unwrap();
    assert_eq!(plan, Plan::Keep(Depends::Shape));
    assert!(host.calls().is_empty());
}

#[test]
fn what_is_not_known_yet_is_refused_until_it_is() {
    let host = FakeHost::new().unknown_by_default(true);
    let plan = rewriter(OnNondeterministic::Allow).rewrite("INSERT INTO t VALUES (f())", &host).unwrap();
    assert!(matches!(plan, Plan::Reject(refusal) if refusal.sqlstate == "57P03"));
    assert_eq!((host.asked("t"), host.asked("f")), (1, 1), "both are asked for at once");
}

#[test]
fn a_plan_holds_for_texts_that_it_did_not_look_into() {
    let mut rewriter = rewriter(OnNondeterministic::Rewrite);
    for (text, depends) in [
        ("SELECT now()", Depends::Shape),
        ("UPDATE plain SET b = 'x'", Depends::Shape),
        ("INSERT INTO plain VALUES (1, 'x')", Depends::Shape),
        ("INSERT INTO d VALUES ('2026-01-31', 'x')", Depends::Text),
        ("UPDATE d SET at = 'x'::timestamp", Depends::Text),
        ("DELETE FROM d WHERE at < timestamp '2026-01-31'", Depends::Text),
    ] {
        assert_eq!(rewriter.rewrite(text, &host()).unwrap(), Plan::Keep(depends), "{text}");
    }
}

#[test]
fn types_are_given_where_they_are_known() {
    let types = |text: &str| match rewriter(OnNondeterministic::Rewrite).rewrite(text, &host()).unwrap() {
        Plan::Edit(edits) => {
            let types = edits.into_iter().map(|edit| match edit.value {
                Value::Evaluated(evaluation) => evaluation.type_name.unwrap_or_else(|| "-".to_owned()),
                _ => "literal".to_owned(),
            });
            types.collect::<Vec<_>>().join(" ")
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        types("INSERT INTO plain VALUES (volatile_one(), localtime, current_time(2), gen_random_uuid())"),
        "- pg_catalog.time pg_catalog.timetz pg_catalog.uuid"
    );
    assert_eq!(types("INSERT INTO m VALUES (1)"), "literal literal date");
}
