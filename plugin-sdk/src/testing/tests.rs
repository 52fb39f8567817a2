use super::FakeHost;
use crate::{FunctionFact, Host, Level, RelationFact, RelationFacts, Volatility};

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
