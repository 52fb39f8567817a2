#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::{FakeHost, primary, standby};

fn plugin(percent: f64, nodes: &[Node]) -> Canary {
    let mut plugin = Canary::new(Config { standby: 2, percent }).unwrap();
    plugin.topology(nodes, &FakeHost::new());
    plugin
}

/// The homes of a thousand sessions.
fn on_canary(plugin: &mut Canary, host: &FakeHost) -> usize {
    let dice = (0..1000u64).map(|at| u64::MAX / 2000 * (2 * at + 1));
    let plans = dice.map(|random| plugin.plan_session(&SessionInfo::default(), random, host));
    plans.filter(|plan| plan == &Some(SessionPlan::home(2))).count()
}

#[test]
fn so_many_sessions_read_from_the_new_standby() {
    let nodes = [primary(0), standby(1), standby(2)];
    let host = FakeHost::new();
    for (percent, sessions) in [(0.0, 0), (0.1, 1), (5.0, 50), (100.0, 1000)] {
        assert_eq!(on_canary(&mut plugin(percent, &nodes), &host), sessions, "{percent} %");
    }
    assert_eq!((host.counted("sessions.canary"), host.counted("sessions.others")), (1051, 2949));
}

#[test]
fn none_if_it_is_not_well() {
    let down = Node { usable: false, ..standby(2) };
    let behind = Node { delayed: true, ..standby(2) };
    for last in [down, behind, standby(3)] {
        assert_eq!(on_canary(&mut plugin(100.0, &[primary(0), standby(1), last]), &FakeHost::new()), 0);
    }
}

#[test]
fn both_sides_are_measured() {
    let host = FakeHost::new();
    let mut plugin = plugin(5.0, &[]);
    let read = |node, millis: u64| Observation {
        kind: Kind::Select,
        node: Some(node),
        duration_micros: millis * 1000,
        ..Observation::default()
    };
    let failed = Observation { sqlstate: Some("40001".to_owned()), ..read(2, 3) };
    let write = Observation { kind: Kind::Dml, ..read(0, 1000) };
    plugin.observe(&[read(1, 2), read(2, 5), failed, write], &host);
    assert_eq!((host.gauged("millis.canary"), host.gauged("millis.others")), (Some(4.0), Some(2.0)));
    assert_eq!((host.counted("reads.canary"), host.counted("errors.canary")), (2, 1));
    assert_eq!((host.counted("reads.others"), host.counted("errors.others")), (1, 0));
    plugin.observe(&[read(1, 4)], &host);
    assert_eq!((host.gauged("millis.canary"), host.gauged("millis.others")), (Some(4.0), Some(3.0)));
}

#[test]
fn mistakes_are_named() {
    for percent in [-1.0, 100.5, f64::NAN] {
        let said = Canary::new(Config { standby: 2, percent }).unwrap_err().to_string();
        assert!(said.starts_with("percent = "), "{said}");
    }
}
