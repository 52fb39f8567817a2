//! least_load: the server that should answer first.

use waypool_tests::raw::{Raw, wait_true};
use waypool_tests::wait_until;

use crate::servers::{Lock, PORT, WAYS, Way, counted, servers, stop, with};

#[test]
fn reads_go_where_the_fewest_run() {
    let cluster = servers();
    let standbys = &cluster.servers()[1..];
    let proxy = with(&cluster, "least_load", "", [0.0, 1.0, 1.0]).start();
    for (number, way) in [(101, Way::Simple), (102, Way::Extended)] {
        let lock = Lock::on(standbys, number);
        let wait = format!("SELECT wait_for({number})");
        let mut sessions: Vec<Raw> = Vec::new();
        for count in 1..=4 {
            let mut session = Raw::login(&proxy);
            session.send(&way.message(&wait));
            sessions.push(session);
            // Counted in before the next one comes.
            let running = format!(
                "SELECT count(*) = {} FROM pg_locks WHERE locktype = 'advisory' AND objid = {number} AND NOT granted",
                count / 2
            );
            if count % 2 == 0 {
                standbys.iter().for_each(|standby| wait_true(standby, "statements wait evenly", &running));
            }
        }
        lock.release();
        let mut ports: Vec<String> = sessions
            .iter_mut()
            .map(|session| waypool_tests::raw::value(&session.wire.until_ready()).unwrap())
            .collect();
        ports.sort();
        let mut expected: Vec<String> = standbys
            .iter()
            .flat_map(|server| [server.port().to_string(), server.port().to_string()])
            .collect();
        expected.sort();
        assert_eq!(ports, expected, "{way:?}");
    }
    stop(&proxy);
}

#[test]
fn a_slow_server_gets_few() {
    let cluster = servers();
    let [slow, fast] = [1, 2].map(|id| cluster.server(id));
    let proxy = with(&cluster, "least_load", "forget_millis = 1000", [0.0, 1.0, 1.0]).start();
    let mut session = Raw::login(&proxy);
    let sql = format!("SELECT busy({})", slow.port());
    let fast = fast.port().to_string();
    for way in WAYS {
        // Each is tried now and then; and this machine may have hung in a fast one.
        wait_until("ten reads in a row come from the fast server", || {
            (0..10).all(|_| way.value(&mut session, &sql) == fast)
        });
    }
    assert!(counted(&proxy, "least_load", "micros.1") > 50_000.0);
    stop(&proxy);
}

#[test]
fn a_transaction_reads_from_one_server_until_it_writes() {
    let cluster = servers();
    let proxy = with(&cluster, "least_load", "", [0.0, 1.0, 1.0]).start();
    let mut session = Raw::login(&proxy);
    for way in WAYS {
        way.ask(&mut session, "SET application_name = 'somebody'");
        way.ask(&mut session, "BEGIN");
        let port = way.value(&mut session, PORT);
        assert_ne!(port, cluster.primary().port().to_string());
        assert_eq!(way.value(&mut session, "SELECT inet_server_port() AS again"), port);
        way.ask(&mut session, "INSERT INTO things VALUES (5)");
        way.is_answered_by(&mut session, PORT, cluster.primary());
        assert_eq!(way.value(&mut session, "SHOW application_name"), "somebody");
        way.ask(&mut session, "ROLLBACK");
        assert_ne!(way.value(&mut session, PORT), cluster.primary().port().to_string());
    }
    stop(&proxy);
}
