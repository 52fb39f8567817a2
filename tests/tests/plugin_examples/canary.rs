//! canary: a share of the sessions reads from a new standby.

use waypool_tests::raw::Raw;
use waypool_tests::{Proxy, wait_until};

use crate::servers::{PORT, WAYS, Way, counted, servers, stop, with};

fn proxy(percent: &str) -> Proxy {
    let config = format!("standby = 2\npercent = {percent}");
    with(&servers(), "canary", &config, [0.0, 1.0, 0.0])
        .plugin_entry("canary", "application_names = [\"shop\"]")
        .start()
}

fn login(proxy: &Proxy, application: &str) -> Raw {
    Raw::login_with(proxy, &[("application_name", application)])
}

#[test]
fn one_applications_sessions_read_there() {
    let cluster = servers();
    let [primary, old, new] = [0, 1, 2].map(|id| cluster.server(id));
    let proxy = proxy("100");
    let (mut shop, mut other) = (login(&proxy, "shop"), login(&proxy, "office"));
    for way in WAYS {
        way.is_answered_by(&mut shop, PORT, new);
        way.is_answered_by(&mut other, PORT, old);
        way.ask(&mut shop, "BEGIN");
        way.is_answered_by(&mut shop, PORT, new);
        way.ask(&mut shop, "INSERT INTO things VALUES (6)");
        way.is_answered_by(&mut shop, PORT, primary);
        way.ask(&mut shop, "ROLLBACK");
        way.error(&mut shop, "SELECT 1 / 0");
    }
    assert_eq!(counted(&proxy, "canary", "sessions.canary"), 1.0);
    // Both sides are watched, of this application only.
    wait_until("the observer has been told", || counted(&proxy, "canary", "errors.canary") == 2.0);
    assert_eq!(counted(&proxy, "canary", "reads.canary"), 6.0);
    assert_eq!(counted(&proxy, "canary", "reads.others"), 2.0);
    assert!(counted(&proxy, "canary", "millis.canary") > 0.0);
    stop(&proxy);
}

#[test]
fn a_session_stays_on_its_side() {
    let cluster = servers();
    let proxy = proxy("50");
    let new = cluster.server(2).port().to_string();
    let mut on_canary = [0, 0];
    // The odds that all forty land on one side are 1 to 500,000,000,000.
    for _ in 0..40 {
        let mut session = login(&proxy, "shop");
        let first = Way::Simple.value(&mut session, PORT);
        for way in WAYS {
            assert_eq!(way.value(&mut session, "SELECT inet_server_port() AS again"), first);
        }
        on_canary[usize::from(first == new)] += 1;
        session.leave();
    }
    assert!(on_canary.iter().all(|sessions| *sessions > 0), "{on_canary:?}");
    stop(&proxy);
}
