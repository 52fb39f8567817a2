#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::{FakeHost, primary, standby};
use waypool_plugin_sdk::{Effects, Kind};

fn plugin(config: Config) -> CostGuard {
    let mut plugin = CostGuard::new(config).unwrap();
    plugin.topology(&[primary(0), standby(1), standby(2)], &FakeHost::new());
    plugin
}

/// Reports go to server 2; everything of the program `nightly` is one.
fn config() -> Config {
    Config { standby: 2, application_names: ["nightly".to_owned()].into(), ..Config::default() }
}

#[test]
fn a_comment_or_the_programs_name_marks_a_report() {
    let mut plugin = plugin(config());
    let host = FakeHost::new();
    let mut opinion = |text: &str| plugin.classify(text, &host).unwrap();
    assert_eq!(opinion("SELECT sum(n) FROM t /* report */"), Opinion::Refine);
    assert_eq!(opinion("/* daily, report */ SELECT sum(n) FROM t"), Opinion::Refine);
    for text in ["SELECT sum(n) FROM t", "SELECT 'report /* report */'", "SELECT 1 /* reporter */"] {
        assert_eq!(opinion(text), Opinion::Pass(Depends::Text), "{text}");
    }
    host.set_session("shop", "alice", "nightly");
    assert_eq!(opinion("SELECT sum(n) FROM t"), Opinion::Refine);
}

#[test]
fn without_a_comment_to_look_for_the_shape_is_enough() {
    let mut plugin = plugin(Config { comment: String::new(), ..config() });
    let text = "SELECT 1 /* report */";
    assert_eq!(plugin.classify(text, &FakeHost::new()).unwrap(), Opinion::Pass(Depends::Shape));
}

#[test]
fn the_verdict_keeps_what_the_others_said() {
    let read = Verdict::read("a read").reading(["t"]).tagged(["tenant=acme"]).depending_on(Depends::Shape);
    let verdict = plugin(config()).refine("", read.clone(), &FakeHost::new()).unwrap();
    assert_eq!(verdict, read.tagged(["report"]).depending_on(Depends::Text));
}

const READ: Statement = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::empty() };
const WRITE: Statement = Statement { kind: Kind::Dml, servers: Servers::Primary, effects: Effects::WRITES };

fn route(plugin: &mut CostGuard, statement: Statement, transaction: Transaction) -> Routing {
    let host = FakeHost::new();
    host.set_statement(&Verdict::read("a read").tagged(["report"]));
    plugin.route(statement, SessionState { transaction, ..SessionState::default() }, &host).unwrap()
}

#[test]
fn reports_go_to_their_standby() {
    let mut plugin = plugin(config());
    let state = SessionState::default();
    assert_eq!(route(&mut plugin, READ, Transaction::Idle), Routing::to(2, state));
    assert_eq!(route(&mut plugin, WRITE, Transaction::Idle), Routing::Pass);
    assert_eq!(route(&mut plugin, READ, Transaction::Open), Routing::Pass);
    // Other reads are none of its business.
    assert_eq!(plugin.route(READ, state, &FakeHost::new()).unwrap(), Routing::Pass);
}

#[test]
fn a_program_of_reports_is_at_home_there() {
    let mut plugin = plugin(config());
    let mut home = |name: &str| {
        let session = SessionInfo { application_name: name.to_owned(), ..SessionInfo::default() };
        plugin.plan_session(&session, 0, &FakeHost::new()).map(|plan| plan.home)
    };
    assert_eq!((home("nightly"), home("shop")), (Some(2), None));
}

#[test]
fn without_the_standby_it_is_the_primary_or_nothing() {
    let down = [primary(0), standby(1), Node { usable: false, ..standby(2) }];
    let behind = [primary(0), standby(1), Node { delayed: true, ..standby(2) }];
    let gone = [primary(0), standby(1)];
    for nodes in [&down[..], &behind, &gone] {
        for transaction in [Transaction::Idle, Transaction::Open] {
            let mut careful = plugin(config());
            careful.topology(nodes, &FakeHost::new());
            let routing = route(&mut careful, READ, transaction);
            assert!(matches!(routing, Routing::Refuse(refusal) if refusal.sqlstate == "53000"));

            let mut generous = plugin(Config { otherwise: Otherwise::Primary, ..config() });
            generous.topology(nodes, &FakeHost::new());
            let state = SessionState { transaction, ..SessionState::default() };
            assert_eq!(route(&mut generous, READ, transaction), Routing::primary(state));
        }
    }
}

#[test]
fn mistakes_are_named() {
    let config = Config { comment: "two words".to_owned(), ..Config::default() };
    let said = CostGuard::new(config).unwrap_err().to_string();
    assert_eq!(said, "comment = \"two words\": one word, please");
}
