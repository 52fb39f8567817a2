#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::{FakeHost, primary, standby};

const READ: Statement = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::empty() };
const WRITE: Statement = Statement { kind: Kind::Dml, servers: Servers::Primary, effects: Effects::WRITES };
const BEGIN: Statement = Statement { kind: Kind::Begin, servers: Servers::All, effects: Effects::empty() };
const SET: Statement = Statement { kind: Kind::Set, servers: Servers::All, effects: Effects::empty() };

/// A primary that is not read from, and two standbys.
fn plugin() -> LeastLoad {
    let mut plugin = LeastLoad::new(Config::default()).unwrap();
    let busy = Node { weight: 0.0, ..primary(0) };
    plugin.topology(&[busy, standby(1), standby(2)], &FakeHost::new());
    plugin
}

fn route(plugin: &mut LeastLoad, statement: Statement, state: SessionState, host: &Host) -> Decision {
    let Routing::To(decision) = plugin.route(statement, state, host).unwrap() else {
        panic!("it always decides")
    };
    assert!(decision.tell_end);
    decision
}

/// Where a read of a new session goes, which does not end.
fn read(plugin: &mut LeastLoad, host: &FakeHost) -> u32 {
    host.end_transaction();
    route(plugin, READ, SessionState::default(), host).node
}

/// Reads that took so many milliseconds on a server.
fn took(plugin: &mut LeastLoad, node: u32, millis: u64, host: &FakeHost) {
    let read = Observation {
        kind: Kind::Select,
        node: Some(node),
        duration_micros: millis * 1000,
        ..Observation::default()
    };
    let failed = Observation { duration_micros: 1, sqlstate: Some("57014".to_owned()), ..read.clone() };
    plugin.observe(&[read, failed], host);
}

#[test]
fn reads_go_where_the_fewest_run() {
    let (mut plugin, host) = (plugin(), FakeHost::new());
    assert_eq!([(); 4].map(|()| read(&mut plugin, &host)), [1, 2, 1, 2]);
    // One on server 1 ends.
    host.end_transaction();
    host.remember("1");
    plugin.ended(true, &host);
    assert_eq!(read(&mut plugin, &host), 1);
}

#[test]
fn a_slow_server_gets_fewer() {
    let (mut plugin, host) = (plugin(), FakeHost::new());
    took(&mut plugin, 1, 10, &host);
    took(&mut plugin, 2, 30, &host);
    assert_eq!([(); 4].map(|()| read(&mut plugin, &host)), [1, 1, 1, 2]);
    assert_eq!(host.gauged("micros.2"), Some(30_000.0));
    took(&mut plugin, 2, 10, &host);
    assert_eq!(host.gauged("micros.2"), Some(20_000.0));
}

#[test]
fn a_server_that_nobody_has_measured_is_tried() {
    let (mut plugin, host) = (plugin(), FakeHost::new());
    took(&mut plugin, 1, 10, &host);
    took(&mut plugin, 2, 1000, &host);
    assert_eq!(read(&mut plugin, &host), 1);
    host.pass(9_999);
    took(&mut plugin, 1, 10, &host);
    host.pass(1);
    assert_eq!(read(&mut plugin, &host), 2);
}

#[test]
fn a_transaction_reads_from_one_server_until_it_writes() {
    let (mut plugin, host) = (plugin(), FakeHost::new());
    let begun = route(&mut plugin, BEGIN, SessionState { random: 1, ..SessionState::default() }, &host);
    assert_eq!((begun.servers, begun.node), (Servers::All, 2));
    let open = |memory| SessionState {
        transaction: Transaction::Open,
        transaction_memory: memory,
        ..SessionState::default()
    };
    let read = route(&mut plugin, READ, open(begun.transaction_memory), &host);
    assert_eq!((read.servers, read.node), (Servers::Any, 2));
    let write = route(&mut plugin, WRITE, open(read.transaction_memory), &host);
    let read = route(&mut plugin, READ, open(write.transaction_memory), &host);
    assert_eq!((read.servers, read.node), (Servers::Primary, 0));
    // It counts once wherever it was.
    let running = || [0, 1, 2].map(|node| Load::of(node).running(&host));
    assert_eq!(running(), [1, 0, 1]);
    plugin.ended(true, &host);
    assert_eq!(running(), [0, 0, 0]);
}

#[test]
fn settings_reach_all_servers_of_the_session() {
    let decision = route(&mut plugin(), SET, SessionState::default(), &FakeHost::new());
    assert_eq!((decision.servers, decision.node), (Servers::All, 0));
}

#[test]
fn without_standbys_the_primary_answers() {
    let (mut plugin, host) = (plugin(), FakeHost::new());
    let down = Node { usable: false, ..standby(1) };
    let behind = Node { delayed: true, ..standby(2) };
    plugin.topology(&[Node { weight: 0.0, ..primary(0) }, down, behind], &host);
    assert_eq!(read(&mut plugin, &host), 0);
}

#[test]
fn weights_count() {
    let (mut plugin, host) = (plugin(), FakeHost::new());
    plugin.topology(&[primary(0), Node { weight: 3.0, ..standby(1) }], &host);
    let mut reads = [0; 2];
    (0..8).for_each(|_| reads[read(&mut plugin, &host) as usize] += 1);
    assert_eq!(reads, [2, 6]);
}

#[test]
fn mistakes_are_named() {
    let said = LeastLoad::new(Config { forget_millis: 0 }).unwrap_err().to_string();
    assert_eq!(said, "forget_millis = 0: no measurement would be left");
}
