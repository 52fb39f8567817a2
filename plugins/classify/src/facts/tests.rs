#![allow(clippy::unwrap_used)]
use crate::tests::{plain, verdict};
use waypool_plugin_sdk::testing::FakeHost;
use waypool_plugin_sdk::{Depends, Effects as E, Servers, Volatility};

#[test]
fn facts_decide_where_a_query_goes() {
    for (text, servers, effects, reason) in [
        ("SELECT stable(1), immutable(2), nosuch(3) FROM plain, nosuch", Servers::Any, E::empty(), "reads"),
        ("SELECT Volatile(1)", Servers::Primary, E::WRITES, "volatile function volatile"),
        ("SELECT s.volatile(1)", Servers::Primary, E::WRITES, "volatile function s.volatile"),
        ("SELECT other.volatile(1)", Servers::Any, E::empty(), "reads"),
        ("SELECT * FROM pg_class", Servers::Primary, E::PRIMARY_RELATION, "system catalog pg_class"),
        (
            "SELECT * FROM public.temporary",
            Servers::Primary,
            E::PRIMARY_RELATION,
            "temporary table public.temporary",
        ),
        ("SELECT * FROM unlogged", Servers::Primary, E::PRIMARY_RELATION, "unlogged table unlogged"),
        ("SELECT volatile(1) FROM pg_class", Servers::Primary, E::WRITES, "volatile function volatile"),
        ("SELECT txid_current()", Servers::Primary, E::WRITES, "volatile function txid_current"),
        (
            "SELECT pg_listening_channels()",
            Servers::Primary,
            E::PRIMARY_RELATION,
            "notifications come from the primary",
        ),
    ] {
        let verdict = verdict(text, &plain());
        assert_eq!(
            (verdict.servers, verdict.effects, verdict.depends),
            (servers, effects, Depends::Shape),
            "{text}"
        );
        assert_eq!(verdict.reason, reason);
    }
}

#[test]
fn an_unknown_fact_is_waited_for_and_all_are_asked() {
    let host = FakeHost::new().unknown_by_default(true).function("known", Volatility::Stable);
    let verdict = verdict("SELECT f(1), g(2), known(3), f(4) FROM t JOIN u ON true", &host);
    assert_eq!((verdict.servers, verdict.effects), (Servers::Primary, E::WRITES));
    assert_eq!(verdict.depends, Depends::Moment);
    assert_eq!(verdict.reason, "waiting for catalog fact: function f");
    assert_eq!(["f", "g", "t", "u"].map(|name| host.asked(name)), [1; 4]);
}

#[test]
fn a_certain_relation_does_not_hide_a_possible_write() {
    let host = FakeHost::new()
        .unknown_by_default(true)
        .relation("pg_catalog.pg_class", waypool_plugin_sdk::RelationFacts::CATALOG);
    let verdict = verdict("SELECT f(1) FROM pg_class", &host);
    assert_eq!((verdict.effects, verdict.depends), (E::WRITES, Depends::Moment));
}
