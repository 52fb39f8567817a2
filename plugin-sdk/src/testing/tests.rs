use super::FakeHost;
use crate::{FunctionFact, Level, RelationFact, RelationFacts, Verdict, Volatility};

#[test]
fn the_most_volatile_overload_counts() {
    let host = FakeHost::new()
        .function("app.f", Volatility::Immutable)
        .function("app.f", Volatility::Volatile)
        .function("other.f", Volatility::Stable);
    assert_eq!(host.function_fact(Some("app"), "f"), FunctionFact::Found(Volatility::Volatile));
    assert_eq!(host.function_fact(Some("other"), "f"), FunctionFact::Found(Volatility::Stable));
    assert_eq!(host.function_fact(None, "f"), FunctionFact::Found(Volatility::Volatile));
    assert_eq!(host.function_fact(Some("none"), "f"), FunctionFact::Missing);
}

#[test]
fn relations_of_a_name_are_taken_together() {
    let host = FakeHost::new().relation("a.t", RelationFacts::VIEW).relation("b.t", RelationFacts::UNLOGGED);
    let both = RelationFacts::VIEW | RelationFacts::UNLOGGED;
    assert_eq!(host.relation_fact(None, "t"), RelationFact::Found(both));
}

#[test]
fn what_is_not_in_the_table_is_missing_or_unknown() {
    assert_eq!(FakeHost::new().relation_fact(None, "t"), RelationFact::Missing);
    let unsure = FakeHost::new().unknown_by_default(true);
    assert_eq!(unsure.relation_fact(None, "t"), RelationFact::Unknown);
    assert_eq!(unsure.function_fact(None, "f"), FunctionFact::Unknown);
    assert_eq!(unsure.asked("t"), 1);
}

#[test]
fn logs_and_counts_are_kept() {
    let host = FakeHost::new();
    host.log(Level::Warn, "careful");
    host.count("seen", 2);
    host.count("seen", 3);
    assert_eq!(host.logs(), vec![(Level::Warn, "careful".to_owned())]);
    assert_eq!(host.counted("seen"), 5);
}

#[test]
fn what_is_stored_is_gone_after_its_time() {
    let host = FakeHost::new();
    assert!(host.set("a", 7, Some(10)) && host.set("b", 1, None));
    // The time of a value that is there stays.
    assert_eq!((host.add("a", 2, Some(1000)), host.add("b", -5, None)), (Some(9), Some(0)));
    assert_eq!((host.add("c", 3, Some(10)), host.add("d", -1, None)), (Some(3), Some(0)));
    host.pass(9);
    assert_eq!((host.get("a"), host.get("b"), host.get("c")), (Some(9), Some(0), Some(3)));
    host.pass(1);
    assert_eq!((host.get("a"), host.get("b"), host.get("c")), (None, Some(0), None));
}

#[test]
fn the_session_and_the_statement_are_the_tests() {
    let host = FakeHost::new().session("shop", "anna", "psql");
    assert_eq!([host.database(), host.user(), host.application_name()], ["shop", "anna", "psql"]);
    host.set_statement(&Verdict::read("").reading(["t"]).calling(["f"]).tagged(["a", "tenant=acme"]));
    assert_eq!((host.reads(), host.writes(), host.functions()), (vec!["t".into()], vec![], vec!["f".into()]));
    assert_eq!((host.tag("tenant").as_deref(), host.tag("ten"), host.tag("a")), (Some("acme"), None, None));
    host.remember("w");
    host.remember("w");
    assert_eq!(host.remembered(), ["w"]);
    host.end_transaction();
    assert!(host.remembered().is_empty());
}

#[test]
fn time_is_what_the_test_says() {
    let host = FakeHost::new();
    let start = host.now();
    host.pass(5);
    assert_eq!(host.now(), start + 5000);
    host.set_now(1);
    assert_eq!((host.now(), host.calls()["now"]), (1, 3));
}

#[test]
fn gauges_keep_the_last_value() {
    let host = FakeHost::new();
    host.gauge("load", 0.5);
    host.gauge("load", 0.75);
    assert_eq!((host.gauged("load"), host.gauged("other")), (Some(0.75), None));
}
