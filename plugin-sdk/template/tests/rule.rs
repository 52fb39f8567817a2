//! The rule as ordinary Rust: no proxy, no WebAssembly.

use waypool_plugin_sdk::Plugin;
use waypool_plugin_sdk::testing::FakeHost;
// [balancer]
use waypool_plugin_sdk::testing::{primary, standby};
// [/balancer]
// [gate]
use waypool_plugin_sdk::{Admission, Gate, Newcomer};
// [/gate]
// [balancer]
use waypool_plugin_sdk::{Balancer, Effects, Kind, Node, Routing, Servers, SessionState, Statement};
// [/balancer]
// [classifier]
use waypool_plugin_sdk::{Classifier, Opinion, Verdict};
// [/classifier]
// [observer]
use waypool_plugin_sdk::{Observation, Observer};
// [/observer]
// [rewriter]
use waypool_plugin_sdk::{Plan, Rewriter};
// [/rewriter]
use waypool_template::{Config, Rule};

// [classifier]
#[test]
fn reads_of_a_fresh_table_go_to_the_primary() {
    let config = Config { fresh_tables: ["stock".to_owned()].into(), ..Config::default() };
    let mut rule = Rule::new(config).unwrap();
    let host = FakeHost::new();
    assert_eq!(rule.classify("SELECT * FROM stock", &host).unwrap(), Opinion::Refine);

    // What the classifier behind says of it.
    let read = |table: &str| Verdict::read("a read").reading([table]);
    let mut servers = |table| rule.refine("", read(table), &host).unwrap().servers;
    assert_eq!(servers("stock"), waypool_plugin_sdk::Servers::Primary);
    assert_eq!(servers("shop.stock"), waypool_plugin_sdk::Servers::Primary);
    assert_eq!(servers("orders"), waypool_plugin_sdk::Servers::Any);
}
// [/classifier]

// [rewriter]
#[test]
fn without_where_it_is_refused() {
    let mut rule = Rule::new(Config::default()).unwrap();
    let mut is_refused = |text: &str| {
        let plan = rule.rewrite(text, &FakeHost::new()).unwrap();
        matches!(plan, Plan::Reject(_))
    };
    assert!(is_refused("DELETE FROM orders"));
    assert!(is_refused("SELECT 1; UPDATE orders SET paid = true -- WHERE id = 1"));
    assert!(!is_refused("DELETE FROM orders WHERE id = 1"));
    assert!(!is_refused("SELECT 'DELETE FROM orders'"));
}

#[test]
fn mistakes_in_the_configuration_are_told() {
    let config = Config { needs_where: ["drop".to_owned()].into(), ..Config::default() };
    let error = Rule::new(config).unwrap_err();
    assert!(error.to_string().contains("needs_where"), "{error}");
}
// [/rewriter]

// [balancer]
#[test]
fn reads_go_to_the_standby_that_is_least_behind() {
    let mut rule = Rule::new(Config::default()).unwrap();
    let host = FakeHost::new();
    let behind = |id, lag_bytes| Node { lag_bytes, ..standby(id) };
    rule.topology(&[primary(0), behind(1, 5000), behind(2, 10), behind(3, 1 << 30)], &host);

    let state = SessionState::default();
    let read = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::empty() };
    assert_eq!(rule.route(read, state, &host).unwrap(), Routing::to(2, state));

    let write = Statement { kind: Kind::Dml, servers: Servers::Primary, effects: Effects::WRITES };
    assert_eq!(rule.route(write, state, &host).unwrap(), Routing::Pass);
}
// [/balancer]

// [gate]
#[test]
fn strangers_need_tls() {
    let config = Config { plain_users: vec!["batch".to_owned()], ..Config::default() };
    let mut rule = Rule::new(config).unwrap();
    let mut admission = |user: &str, tls| {
        let address = Some("192.0.2.7".to_owned());
        let newcomer = Newcomer { user: user.to_owned(), address, tls, ..Newcomer::default() };
        rule.session_start(&newcomer, &FakeHost::new()).unwrap()
    };
    assert!(matches!(admission("alice", false), Admission::Refuse(_)));
    let Admission::Change(changes) = admission("alice", true) else { panic!("she may come in") };
    assert_eq!(changes.parameters, [("statement_timeout".to_owned(), "1min".to_owned())]);
    assert!(matches!(admission("batch", false), Admission::Change(_)));
}
// [/gate]

// [observer]
#[test]
fn slow_statements_are_counted() {
    let mut rule = Rule::new(Config { slow_millis: 10, ..Config::default() }).unwrap();
    let host = FakeHost::new();
    let took = |millis: u64| Observation {
        database: "shop".to_owned(),
        duration_micros: millis * 1000,
        ..Observation::default()
    };
    rule.observe(&[took(5), took(50), took(500)], &host);
    assert_eq!(host.counted("slow.shop"), 2);
}
// [/observer]

/// Every plugin should be able to do without a configuration.
#[test]
fn works_without_configuration() {
    assert!(Rule::new(Config::default()).is_ok());
}
