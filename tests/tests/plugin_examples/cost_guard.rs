//! cost_guard: reports go to one standby.

use waypool_tests::raw::Raw;

use crate::servers::{PORT, WAYS, servers, stop, with};

pub const CONFIG: &str = "standby = 2\napplication_names = [\"nightly\"]";

#[test]
fn reports_are_read_on_their_standby() {
    let cluster = servers();
    let [primary, shop, reports] = [0, 1, 2].map(|id| cluster.server(id));
    let proxy = with(&cluster, "cost_guard", CONFIG, [0.0, 1.0, 0.0]).start();
    let mut session = Raw::login(&proxy);
    let mut nightly = Raw::login_with(&proxy, &[("application_name", "nightly")]);
    for way in WAYS {
        for _ in 0..2 {
            way.is_answered_by(&mut session, PORT, shop);
            way.is_answered_by(&mut session, "SELECT inet_server_port() /* report */", reports);
            way.is_answered_by(&mut nightly, PORT, reports);
        }
        // What is no read is no report.
        let insert = "INSERT INTO things VALUES (1) RETURNING inet_server_port() /* report */";
        way.is_answered_by(&mut session, insert, primary);
        way.is_answered_by(&mut nightly, "SELECT inet_server_port() FROM random()", primary);
        way.ask(&mut nightly, "BEGIN");
        way.is_answered_by(&mut nightly, PORT, reports);
        way.ask(&mut nightly, "INSERT INTO things VALUES (1)");
        way.is_answered_by(&mut nightly, PORT, primary);
        way.ask(&mut nightly, "ROLLBACK");
    }
    stop(&proxy);
}
