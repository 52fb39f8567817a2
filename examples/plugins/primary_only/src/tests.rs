#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::FakeSession;
use waypool_plugin_sdk::{Effects, Kind, Transaction};

/// Server 0 is a standby, server 1 the primary.
fn plugin() -> PrimaryOnly {
    let node =
        |id, role| Node { id, role, usable: true, delayed: false, weight: 1.0, lag_bytes: 0, lag_micros: 0 };
    let mut plugin = PrimaryOnly::new(()).unwrap();
    plugin.topology(&[node(0, NodeRole::Standby), node(1, NodeRole::Primary)]);
    plugin
}

/// Where a statement goes whose session began with its home on the standby.
fn route(kind: Kind, servers: Servers) -> (Servers, u32) {
    let statement = Statement { kind, servers, effects: Effects::empty() };
    let state = SessionState {
        transaction: Transaction::Idle,
        transaction_memory: 0,
        session_memory: 7,
        home: 0,
        random: 0,
    };
    let decision = plugin().route(statement, state, &FakeSession::default());
    assert_eq!(decision.session_memory, 7, "another plugin's memory is kept");
    (decision.servers, decision.node)
}

#[test]
fn reads_and_writes_go_to_the_primary() {
    assert_eq!(route(Kind::Select, Servers::Any), (Servers::Primary, 1));
    assert_eq!(route(Kind::Dml, Servers::Primary), (Servers::Primary, 1));
}

#[test]
fn settings_still_reach_the_home() {
    assert_eq!(route(Kind::Set, Servers::All), (Servers::All, 0));
}

#[test]
fn a_new_session_is_at_home_on_the_primary() {
    let client = SessionInfo { database: "d".into(), user: "u".into(), application_name: String::new() };
    assert_eq!(plugin().session_start(&client, 42, &FakeSession::default()).home, 1);
}
