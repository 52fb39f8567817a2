#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::FakeHost;
use waypool_plugin_sdk::{Effects, Kind, Servers, Verdict};

const READ: Statement = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::empty() };

fn plugin(change: impl FnOnce(&mut Config)) -> Throttle {
    let mut config = Config { running: 2, wait_millis: 100, ..Config::default() };
    change(&mut config);
    Throttle::new(config).unwrap()
}

/// A statement of this tenant, in a session of its own.
fn ask(plugin: &mut Throttle, host: &FakeHost, tenant: &str, waited_millis: u32) -> Routing {
    host.end_transaction();
    host.set_statement(&Verdict::read("a read").tagged([format!("tenant={tenant}")]));
    plugin.route(READ, SessionState { waited_millis, ..SessionState::default() }, host).unwrap()
}

/// One of the tenant's statements is over.
fn end(plugin: &mut Throttle, host: &FakeHost, tenant: &str) {
    host.end_transaction();
    host.remember(tenant);
    plugin.ended(true, host);
}

#[test]
fn so_many_run_at_a_time() {
    let (mut plugin, host) = (plugin(|_| {}), FakeHost::new());
    assert_eq!([(); 2].map(|()| ask(&mut plugin, &host, "acme", 0)), [Routing::Watch, Routing::Watch]);
    // The third waits, and takes no place meanwhile. Another tenant does not.
    for (waited, wait) in [(0, 10), (10, 10), (95, 5)] {
        assert_eq!(ask(&mut plugin, &host, "acme", waited), Routing::Wait(wait));
    }
    assert_eq!(ask(&mut plugin, &host, "globex", 0), Routing::Watch);
    end(&mut plugin, &host, "acme");
    assert_eq!(ask(&mut plugin, &host, "acme", 50), Routing::Watch);
    assert_eq!(host.counted("waited.others"), 1);
}

#[test]
fn who_has_waited_for_too_long_is_refused() {
    let (mut plugin, host) = (plugin(|config| config.running = 1), FakeHost::new());
    assert_eq!(ask(&mut plugin, &host, "acme", 0), Routing::Watch);
    let Routing::Refuse(refusal) = ask(&mut plugin, &host, "acme", 100) else { panic!("it is refused") };
    assert_eq!(refusal.sqlstate, "53400");
    assert_eq!(refusal.message, "1 statements of acme are running, and no more may");
    assert_eq!(host.counted("refused.others"), 1);
}

#[test]
fn so_many_begin_in_a_second() {
    let limits = |config: &mut Config| (config.running, config.per_second) = (0, 3);
    let (mut plugin, host) = (plugin(limits), FakeHost::new());
    for _ in 0..3 {
        assert_eq!(ask(&mut plugin, &host, "acme", 0), Routing::Watch);
    }
    assert_eq!(ask(&mut plugin, &host, "acme", 0), Routing::Wait(10));
    host.pass(1000);
    assert_eq!(ask(&mut plugin, &host, "acme", 10), Routing::Watch);
}

#[test]
fn a_transaction_takes_one_place() {
    let (mut plugin, host) = (plugin(|config| config.running = 1), FakeHost::new());
    assert_eq!(ask(&mut plugin, &host, "acme", 0), Routing::Watch);
    let open = SessionState { transaction: Transaction::Open, ..SessionState::default() };
    assert_eq!(plugin.route(READ, open, &host).unwrap(), Routing::Watch);
    // One that was begun by nobody in particular is not stopped in the middle.
    host.end_transaction();
    assert_eq!(plugin.route(READ, open, &host).unwrap(), Routing::Pass);
    host.remember("acme");
    plugin.ended(true, &host);
    assert_eq!(host.get("running acme"), Some(0));
}

#[test]
fn some_have_limits_of_their_own() {
    let acme = Limits { running: Some(0), per_second: None };
    let (mut plugin, host) =
        (plugin(|config| config.tenants = [("acme".to_owned(), acme)].into()), FakeHost::new());
    for running in 1..10 {
        assert_eq!(ask(&mut plugin, &host, "acme", 0), Routing::Watch);
        assert_eq!(host.gauged("running.acme"), Some(f64::from(running)));
    }
    end(&mut plugin, &host, "acme");
    assert_eq!(host.gauged("running.acme"), Some(8.0));
}

#[test]
fn a_tenant_may_be_a_user_a_database_or_a_program() {
    let host = FakeHost::new().session("shop", "alice", "psql");
    for (by, key) in
        [(By::User, "running alice"), (By::Database, "running shop"), (By::ApplicationName, "running psql")]
    {
        let mut plugin = plugin(|config| config.by = by);
        host.end_transaction();
        assert_eq!(plugin.route(READ, SessionState::default(), &host).unwrap(), Routing::Watch);
        assert_eq!(host.get(key), Some(1));
    }
}

#[test]
fn statements_of_nobody_are_not_limited() {
    let (mut plugin, host) = (plugin(|config| config.running = 1), FakeHost::new());
    for _ in 0..3 {
        assert_eq!(plugin.route(READ, SessionState::default(), &host).unwrap(), Routing::Pass);
    }
}

#[test]
fn mistakes_are_named() {
    let config = Config { wait_millis: 60_001, ..Config::default() };
    assert_eq!(Throttle::new(config).unwrap_err().to_string(), "wait_millis = 60001: at most 60000");
}
