#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::{FakeHost, standby, table};
use waypool_plugin_sdk::{Effects, Kind};

table!(CostGuard, "tests/table.toml", classifier, balancer);

#[test]
fn what_is_no_read_outside_of_a_transaction_is_left_to_others() {
    let mut plugin = CostGuard::new(Config::default()).unwrap();
    let host = FakeHost::new();
    host.set_statement(&Verdict::read("a read").tagged(["report"]));
    plugin.topology(&[standby(1)], &host);
    let mut route = |servers, transaction| {
        let statement = Statement { kind: Kind::Select, servers, effects: Effects::empty() };
        plugin.route(statement, SessionState { transaction, ..SessionState::default() }, &host).unwrap()
    };
    assert_eq!(route(Servers::Any, Transaction::Idle), Routing::to(1, SessionState::default()));
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
fn mistakes_are_named() {
    let config = Config { comment: "two words".to_owned(), ..Config::default() };
    let said = CostGuard::new(config).unwrap_err().to_string();
    assert_eq!(said, "comment = \"two words\": one word, please");
}
