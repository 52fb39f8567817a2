#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::testing::{FakeHost, primary, standby};
use waypool_plugin_sdk::{Effects, Kind};

/// acme has servers 1 and 2, globex has server 3; acme_shop is acme's database.
fn config() -> Config {
    let groups = [("acme".to_owned(), vec![1, 2]), ("globex".to_owned(), vec![3])];
    let databases = [("acme_shop".to_owned(), "acme".to_owned())];
    Config { groups: groups.into(), databases: databases.into(), ..Config::default() }
}

fn plugin(config: Config) -> Tenant {
    let mut plugin = Tenant::new(config).unwrap();
    plugin.topology(&[primary(0), standby(1), standby(2), standby(3)], &FakeHost::new());
    plugin
}

/// The tag that a text gets, and for which texts else that holds.
fn classify(plugin: &mut Tenant, text: &str, host: &FakeHost) -> (Vec<String>, Depends) {
    match plugin.classify(text, host).unwrap() {
        Opinion::Pass(depends) => (Vec::new(), depends),
        Opinion::Refine => {
            let read = Verdict::read("a read").depending_on(Depends::Shape);
            let verdict = plugin.refine(text, read, host).unwrap();
            (verdict.tags, verdict.depends)
        }
        Opinion::Answer(_) => panic!("it leaves the answer to others"),
    }
}

#[test]
fn a_comment_names_the_tenant() {
    let host = FakeHost::new();
    let mut plugin = plugin(config());
    for (text, tags) in [
        ("SELECT 1 /* tenant=acme */", &["tenant=acme"][..]),
        ("/*tenant='globex'*/ SELECT 1", &["tenant=globex"]),
        ("SELECT 1 /*action='buy',tenant='acme'*/", &["tenant=acme"]),
        ("SELECT 1 -- tenant=acme", &["tenant=acme"]),
        ("SELECT '/* tenant=acme */'", &[]),
        ("SELECT 1 /* subtenant=acme */", &[]),
        ("SELECT 1", &[]),
    ] {
        // One text looks like another to the cache, but for the comment.
        assert_eq!(
            classify(&mut plugin, text, &host),
            (tags.iter().map(|&tag| tag.into()).collect(), Depends::Text),
            "{text}"
        );
    }
}

#[test]
fn comments_before_the_first_word_are_part_of_the_shape() {
    let host = FakeHost::new();
    let mut plugin = plugin(Config { comments: Comments::Leading, ..config() });
    let mut classify = |text| classify(&mut plugin, text, &host);
    assert_eq!(classify("/* tenant=acme */ SELECT 1"), (vec!["tenant=acme".to_owned()], Depends::Shape));
    assert_eq!(classify("SELECT 1 /* tenant=acme */"), (vec![], Depends::Shape));
}

#[test]
fn a_database_is_a_tenants_unless_a_comment_says_otherwise() {
    let host = FakeHost::new().session("acme_shop", "alice", "");
    let mut plugin = plugin(config());
    let mut tags = |text| classify(&mut plugin, text, &host).0;
    assert_eq!(tags("SELECT 1"), ["tenant=acme"]);
    assert_eq!(tags("SELECT 1 /* tenant=globex */"), ["tenant=globex"]);
    host.set_session("shop", "alice", "");
    assert_eq!(tags("SELECT 1"), [""; 0]);
}

const READ: Statement = Statement { kind: Kind::Select, servers: Servers::Any, effects: Effects::empty() };

/// Where a read of this tenant goes, whose session is at home on `home`.
fn read(plugin: &mut Tenant, tenant: &str, home: u32) -> Routing {
    let host = FakeHost::new();
    host.set_statement(&Verdict::read("a read").tagged([format!("tenant={tenant}")]));
    plugin.route(READ, SessionState { home, random: 1, ..SessionState::default() }, &host).unwrap()
}

fn to(id: u32, home: u32) -> Routing {
    Routing::to(id, SessionState { home, ..SessionState::default() })
}

#[test]
fn reads_go_to_the_tenants_group() {
    let mut plugin = plugin(config());
    assert_eq!(read(&mut plugin, "globex", 1), to(3, 1));
    // Any of the group, but the session's home if that is one of them.
    assert_eq!(read(&mut plugin, "acme", 3), to(2, 3));
    assert_eq!(read(&mut plugin, "acme", 1), to(1, 1));
    assert_eq!(read(&mut plugin, "nobody", 1), Routing::Pass);
}

#[test]
fn writes_and_transactions_are_left_to_the_balancer_behind() {
    let host = FakeHost::new();
    host.set_statement(&Verdict::read("a read").tagged(["tenant=acme"]));
    let mut plugin = plugin(config());
    let write = Statement { kind: Kind::Dml, servers: Servers::Primary, effects: Effects::WRITES };
    assert_eq!(plugin.route(write, SessionState::default(), &host).unwrap(), Routing::Pass);
    let open = SessionState { transaction: Transaction::Open, ..SessionState::default() };
    assert_eq!(plugin.route(READ, open, &host).unwrap(), Routing::Pass);
}

#[test]
fn a_tenants_session_is_at_home_in_its_group() {
    let mut plugin = plugin(config());
    let mut home = |database: &str, random| {
        let session = SessionInfo { database: database.to_owned(), ..SessionInfo::default() };
        plugin.plan_session(&session, random, &FakeHost::new()).map(|plan| plan.home)
    };
    assert_eq!([home("acme_shop", 0), home("acme_shop", 1), home("shop", 0)], [Some(1), Some(2), None]);
}

#[test]
fn a_group_that_is_down_or_behind() {
    let nodes = [primary(0), standby(1), standby(2), Node { delayed: true, ..standby(3) }];
    for (otherwise, expected) in [
        (Otherwise::Any, Routing::Pass),
        (Otherwise::Primary, Routing::primary(SessionState { home: 1, ..SessionState::default() })),
    ] {
        let mut plugin = plugin(Config { otherwise, ..config() });
        plugin.topology(&nodes, &FakeHost::new());
        assert_eq!(read(&mut plugin, "globex", 1), expected);
    }
    let mut plugin = plugin(Config { otherwise: Otherwise::Refuse, ..config() });
    plugin.topology(&nodes, &FakeHost::new());
    let Routing::Refuse(refusal) = read(&mut plugin, "globex", 1) else { panic!("it is refused") };
    assert_eq!(refusal.sqlstate, "53000");
    // One of two is enough.
    plugin.topology(&[primary(0), Node { usable: false, ..standby(1) }, standby(2)], &FakeHost::new());
    assert_eq!(read(&mut plugin, "acme", 1), to(2, 1));
}

#[test]
fn mistakes_are_named() {
    let mistake = |config| Tenant::new(config).unwrap_err().to_string();
    let empty = Config { groups: [("acme".to_owned(), vec![])].into(), ..Config::default() };
    assert_eq!(mistake(empty), "groups.acme: a group has at least one server");
    let unknown = Config { databases: [("shop".to_owned(), "acme".to_owned())].into(), ..Config::default() };
    assert_eq!(mistake(unknown), "databases.shop: there is no group \"acme\"");
}
