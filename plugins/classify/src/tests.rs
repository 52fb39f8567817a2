#![allow(clippy::unwrap_used)]
use super::*;
use waypool_plugin_sdk::testing::FakeHost;

#[path = "../tests/statements/catalog.rs"]
mod catalog;

pub(crate) use catalog::plain;

pub(crate) fn verdict(text: &str, host: &FakeHost) -> Verdict {
    Classify::new(Rules::default()).unwrap().verdict(text, host)
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
    assert_eq!(verdict.reads, ["U", "u"]);
    assert_eq!(verdict.writes, ["s.t"]);
    assert_eq!(verdict.functions, ["stable"]);
    assert_eq!(verdict.depends, Depends::Shape);
}
