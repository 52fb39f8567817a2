//! Standbys that are behind.

use super::*;
use crate::adaptive::Tracking;
use crate::nodes::Lag;

/// A primary and three standbys; the first is the home.
fn behind(delayed: [bool; 3], bytes: [u64; 3]) -> Vec<Node> {
    let mut nodes = cluster([1.0, 1.0, 1.0]);
    nodes.push(node(3, NodeRole::Standby, 1.0, true));
    for (at, node) in nodes.iter_mut().skip(1).enumerate() {
        (node.delayed, node.lag_bytes) = (delayed[at], bytes[at]);
    }
    nodes
}

const PREFER: fn(&mut Config) = |it| it.prefer_lower_delay_standby = true;

#[test]
fn a_delayed_home_is_replaced_by_the_primary() {
    let mut balance = balance(|_| {}, &behind([true, false, false], [100, 0, 0]));
    let read = balance.go(READ, state(Transaction::Idle, 0));
    assert_eq!((read.servers, read.node), (Servers::Primary, 0));
    assert_eq!(balance.why(), "standby 1 is delayed");
    // It is told of what concerns the session nevertheless.
    let set = balance.go(SET, state(Transaction::Idle, 0));
    assert_eq!((set.servers, set.node), (Servers::All, 1));
    balance.know(&behind([false; 3], [0; 3]));
    assert_eq!(balance.go(READ, state(Transaction::Idle, 0)).node, 1);
}

#[test]
fn the_least_delayed_standby_takes_its_place() {
    let mut balance = balance(PREFER, &behind([true, false, false], [100, 40, 20]));
    let read = balance.go(READ, state(Transaction::Idle, 0));
    assert_eq!((read.servers, read.node), (Servers::Any, 3));
    assert_eq!(balance.why(), "standby 1 is delayed: prefer_lower_delay_standby = true");
    // It stays while it is good enough, and a transaction begins there.
    balance.know(&behind([true, false, false], [100, 10, 20]));
    let later = SessionState { session_memory: read.session_memory, ..state(Transaction::Idle, 0) };
    assert_eq!(balance.go(READ, later).node, 3);
    assert_eq!(balance.go(BEGIN, later).node, 3);
    balance.know(&behind([true, false, true], [100, 10, 90]));
    assert_eq!(balance.go(READ, later).node, 2);
    // Home, sweet home
    balance.know(&behind([false; 3], [50, 10, 90]));
    assert_eq!(balance.go(READ, later).node, 1);
    balance.know(&behind([true; 3], [100; 3]));
    let read = balance.go(READ, later);
    assert_eq!((read.servers, read.node), (Servers::Primary, 0));
    assert_eq!(balance.why(), "standby 1 is delayed");
}

#[test]
fn standbys_behind_by_the_same_are_chosen_by_weight() {
    let mut nodes = behind([true, false, false], [100, 20, 20]);
    nodes[3].weight = 3.0;
    let mut balance = balance(PREFER, &nodes);
    let mut chosen = [0; 4];
    for part in 0..16u64 {
        let state = SessionState { random: part << 60, ..state(Transaction::Idle, 0) };
        chosen[balance.go(READ, state).node as usize] += 1;
    }
    assert_eq!(chosen, [0, 0, 4, 12]);
    // Without a weight it is not chosen.
    nodes[3].weight = 0.0;
    nodes[3].lag_bytes = 0;
    balance.know(&nodes);
    assert_eq!(balance.go(READ, state(Transaction::Idle, 0)).node, 2);
}

#[test]
fn each_statement_avoids_delayed_standbys() {
    let each = |it: &mut Config| {
        it.statement_level_load_balance = true;
        it.prefer_lower_delay_standby = true;
    };
    let mut balance = balance(each, &behind([true, false, true], [100, 20, 100]));
    let reads: Vec<u32> = (0..8u64)
        .map(|part| balance.go(READ, SessionState { random: part << 61, ..state(Transaction::Idle, 0) }).node)
        .collect();
    assert_eq!(reads, [0, 0, 2, 2, 2, 2, 2, 2]);
}

#[test]
fn a_mark_lasts_as_long_as_the_slowest_standby_may_need() {
    let tracking = Tracking { factor: 5.0, most: 60_000, cold: 0 };
    let slowest = |lags: [(u64, u64); 2]| {
        let mut nodes = cluster([0.0, 1.0, 1.0]);
        for (node, (bytes, micros)) in nodes.iter_mut().skip(1).zip(lags) {
            (node.lag_bytes, node.lag_micros) = (bytes, micros);
        }
        tracking.millis(Nodes::new(&nodes).slowest())
    };
    assert_eq!(slowest([(0, 0), (0, 0)]), 100);
    assert_eq!(slowest([(0, 900), (9, 300_000)]), 1500);
    assert_eq!(slowest([(0, 0), (9, 3_000_000_000)]), 60_000);
    // Behind by nobody knows how long
    assert_eq!(slowest([(9, 0), (0, 1000)]), 60_000);
    assert_eq!(Tracking { most: 0, ..tracking }.millis(Lag::Unknown), 3_600_000);
}
