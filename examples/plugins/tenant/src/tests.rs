#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::{FakeHost, standby, table};
use waypool_plugin_sdk::{Effects, Kind};

table!(Tenant, "tests/table.toml", classifier, balancer);

#[test]
fn what_is_no_read_outside_of_a_transaction_is_left_to_others() {
    let config = Config { groups: [("acme".to_owned(), vec![1])].into(), ..Config::default() };
    let mut plugin = Tenant::new(config).unwrap();
    let host = FakeHost::new();
    host.set_statement(&Verdict::read("a read").tagged(["tenant=acme"]));
    plugin.topology(&[standby(1)], &host);
    let mut route = |servers, transaction| {
        let statement = Statement { kind: Kind::Select, servers, effects: Effects::empty() };
        plugin.route(statement, SessionState { transaction, ..SessionState::default() }, &host).unwrap()
    };
    assert_ne!(route(Servers::Any, Transaction::Idle), Routing::Pass);
    for (servers, transaction) in [
        (Servers::Primary, Transaction::Idle),
        (Servers::All, Transaction::Idle),
        (Servers::Any, Transaction::Open),
        (Servers::Any, Transaction::Failed),
    ] {
        assert_eq!(route(servers, transaction), Routing::Pass);
    }
}

#[test]
fn with_no_group_left_the_balancer_behind_may_choose() {
    let config = Config { groups: [("acme".to_owned(), vec![1])].into(), ..Config::default() };
    let mut plugin = Tenant::new(config).unwrap();
    let host = FakeHost::new();
    host.set_statement(&Verdict::read("a read").tagged(["tenant=acme"]));
    let read = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::empty() };
    assert_eq!(plugin.route(read, SessionState::default(), &host).unwrap(), Routing::Pass);
}

#[test]
fn mistakes_are_named() {
    let mistake = |config| Tenant::new(config).unwrap_err().to_string();
    let empty = Config { groups: [("acme".to_owned(), vec![])].into(), ..Config::default() };
    assert_eq!(mistake(empty), "groups.acme: a group has at least one server");
    let unknown = Config { databases: [("shop".to_owned(), "acme".to_owned())].into(), ..Config::default() };
    assert_eq!(mistake(unknown), "databases.shop: there is no group \"acme\"");
}
