//! throttle: so many statements of each tenant; the others wait, or are refused.

use waypool_tests::raw::{Raw, sqlstate, value, wait_running};
use waypool_tests::wire::Message;
use waypool_tests::{Proxy, wait_until};

use crate::servers::{Lock, PORT, WAYS, Way, add, counted, servers, stop, with};

fn login(proxy: &Proxy, user: &str) -> Raw {
    Raw::login_with(proxy, &[("user", user), ("database", "postgres")])
}

#[test]
fn the_others_wait() {
    let cluster = servers();
    let config = "by = \"user\"\nwait_millis = 60000\ntenants = { acme = { running = 1 } }";
    let proxy = with(&cluster, "throttle", config, [0.0, 1.0, 0.0]).start();
    let [mut first, mut second, mut other] = ["acme", "acme", "globex"].map(|user| login(&proxy, user));
    let mut waited = 0.0;
    for (number, way) in [(201, Way::Simple), (202, Way::Extended)] {
        let lock = Lock::on([cluster.server(1)], number);
        first.send(&way.message(&format!("SELECT wait_for({number})")));
        wait_running(cluster.server(1), &format!("wait_for({number})"));
        second.send(&way.message("SELECT 42"));
        waited += 1.0;
        wait_until("the second one waits", || counted(&proxy, "throttle", "waited.acme") == waited);
        // Another tenant does not wait, nor does it in a transaction.
        assert_eq!(way.value(&mut other, "SELECT 42"), "42");
        assert!(!second.has_answer());
        assert_eq!(counted(&proxy, "throttle", "running.acme"), 1.0);
        lock.release();
        assert_eq!(value(&first.wire.until_ready()).unwrap(), cluster.server(1).port().to_string());
        assert_eq!(value(&second.wire.until_ready()).unwrap(), "42");
    }
    wait_until("nobody is left", || counted(&proxy, "throttle", "running.acme") == 0.0);
    stop(&proxy);
}

#[test]
fn a_transaction_takes_one_place_until_its_end() {
    let cluster = servers();
    let config = "by = \"user\"\nrunning = 1\nwait_millis = 0";
    let proxy = with(&cluster, "throttle", config, [0.0, 1.0, 0.0]).start();
    let [mut first, mut second] = [(); 2].map(|()| login(&proxy, "acme"));
    for way in WAYS {
        wait_let_in(way, &mut first, "BEGIN");
        assert_eq!(way.value(&mut first, "SELECT 1"), "1");
        let [code, message, hint] = way.error(&mut second, "SELECT 2");
        assert_eq!(code, "53400", "{message}");
        assert_eq!(message, "1 statements of acme are running, and no more may");
        assert!(hint.contains("Send it again later"), "{hint}");
        assert_eq!(way.value(&mut first, "SELECT 1"), "1");
        way.ask(&mut first, "COMMIT");
        wait_let_in(way, &mut second, "SELECT 2");
        // A statement that fails gives its place back, too.
        let failed = |answer: &[Message]| sqlstate(answer).as_deref() == Some("22012");
        wait_until("it fails on the server", || failed(&way.ask(&mut second, "SELECT 1 / 0")));
        wait_let_in(way, &mut first, "SELECT 1");
    }
    stop(&proxy);
}

/// The place of another may be counted out a moment after its answer is there.
fn wait_let_in(way: Way, session: &mut Raw, sql: &str) {
    wait_until("a place is free", || sqlstate(&way.ask(session, sql)).is_none());
}

#[test]
fn a_client_that_is_gone_takes_no_place() {
    let cluster = servers();
    let config = "by = \"user\"\nrunning = 1\nwait_millis = 0";
    let proxy = with(&cluster, "throttle", config, [0.0, 1.0, 0.0]).start();
    let lock = Lock::on([cluster.server(1)], 203);
    for (at, way) in WAYS.into_iter().enumerate() {
        let mut gone = login(&proxy, "acme");
        gone.send(&way.message(&format!("SELECT wait_for(203) AS gone_{at}")));
        wait_running(cluster.server(1), &format!("gone_{at}"));
        let mut next = login(&proxy, "acme");
        assert_eq!(way.error(&mut next, "SELECT 1")[0], "53400");
        gone.vanish();
        wait_let_in(way, &mut next, "SELECT 1");
        // The same in the middle of a transaction.
        wait_let_in(way, &mut next, "BEGIN");
        let mut last = login(&proxy, "acme");
        assert_eq!(way.error(&mut last, "SELECT 1")[0], "53400");
        next.vanish();
        wait_let_in(way, &mut last, "SELECT 1");
    }
    lock.release();
    stop(&proxy);
}

#[test]
fn so_many_begin_in_a_second() {
    let cluster = servers();
    let config = "by = \"user\"\nper_second = 5\nwait_millis = 0";
    let proxy = with(&cluster, "throttle", config, [0.0, 1.0, 0.0]).start();
    let mut session = login(&proxy, "acme");
    for way in WAYS {
        let refused = |session: &mut Raw| sqlstate(&way.ask(session, "SELECT 1")).as_deref() == Some("53400");
        // A busy machine may need more than a second for six.
        assert!((0..10_000).any(|_| refused(&mut session)), "nothing is ever refused");
        wait_until("the next second begins", || !refused(&mut session));
    }
    assert!(counted(&proxy, "throttle", "refused.others") >= 2.0);
    stop(&proxy);
}

/// `tenant` puts the tag there that `throttle` limits by. The throttle stands
/// first in the file: those in front of it decide without it.
#[test]
fn another_plugins_tag_says_whose_it_is() {
    let cluster = servers();
    let throttle = with(&cluster, "throttle", "running = 1\nwait_millis = 0", [0.0, 0.0, 1.0]);
    let proxy = add(throttle, "tenant", "groups = { acme = [1] }").start();
    let [mut first, mut second] = [(); 2].map(|()| Raw::login(&proxy));
    let lock = Lock::on([cluster.server(1)], 204);
    first.send(&Way::Extended.message("SELECT wait_for(204) AS held /* tenant=acme */"));
    wait_running(cluster.server(1), "held");
    for way in WAYS {
        let [code, message, _] = way.error(&mut second, "SELECT inet_server_port() /* tenant=acme */");
        assert_eq!(code, "53400", "{message}");
        way.is_answered_by(&mut second, PORT, cluster.server(2));
    }
    lock.release();
    assert_eq!(sqlstate(&first.wire.until_ready()), None);
    let (port, expected) =
        ("SELECT inet_server_port() /* tenant=acme */", cluster.server(1).port().to_string());
    for way in WAYS {
        wait_until("it is let in, and goes there", || {
            value(&way.ask(&mut second, port)).as_ref() == Some(&expected)
        });
    }
    stop(&proxy);
}
