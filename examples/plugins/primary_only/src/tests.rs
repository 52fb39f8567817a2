#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::{FakeHost, primary, standby};
use waypool_plugin_sdk::{Effects, Kind};

/// Server 0 is a standby, server 1 the primary.
fn plugin() -> PrimaryOnly {
    let mut plugin = PrimaryOnly::new(()).unwrap();
    plugin.topology(&[standby(0), primary(1)], &FakeHost::new());
    plugin
}

/// The decision for a statement whose session began with its home on the standby.
fn route(kind: Kind, servers: Servers) -> Decision {
    let statement = Statement { kind, servers, effects: Effects::empty() };
    let state = SessionState { session_memory: 7, home: 0, ..SessionState::default() };
    let Routing::To(decision) = plugin().route(statement, state, &FakeHost::new()).unwrap() else {
        panic!("it always decides")
    };
    assert_eq!(decision.session_memory, 7, "another plugin's memory is kept");
    decision
}

#[test]
fn reads_and_writes_go_to_the_primary() {
    assert_eq!(route(Kind::Select, Servers::Any).servers, Servers::Primary);
    assert_eq!(route(Kind::Dml, Servers::Primary).servers, Servers::Primary);
}

#[test]
fn settings_still_reach_the_home() {
    let decision = route(Kind::Set, Servers::All);
    assert_eq!((decision.servers, decision.node), (Servers::All, 0));
}

#[test]
fn a_new_session_is_at_home_on_the_primary() {
    let plan = plugin().plan_session(&SessionInfo::default(), 42, &FakeHost::new());
    assert_eq!(plan, Some(SessionPlan::home(1)));
}
