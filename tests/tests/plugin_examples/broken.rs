//! What the examples do when a standby is down, or behind: one test, which has
//! the servers for itself.

use waypool_sandbox::{Cluster, Mode, Server};
use waypool_tests::raw::{Raw, sqlstate};
use waypool_tests::{Proxy, wait_until};

use crate::servers::{PORT, WAYS, Way, breakable_servers, counted, stop, with};
use crate::{cost_guard, tenant};

/// A proxy with an example, and a session that would read from standby 2.
struct Guarded {
    plugin: &'static str,
    proxy: Proxy,
    session: Raw,
    sql: &'static str,
}

impl Guarded {
    fn new(
        cluster: &Cluster,
        plugin: &'static str,
        config: &str,
        sql: &'static str,
        client: &[(&str, &str)],
    ) -> Self {
        // What the example leaves to others is read on standby 1.
        let proxy = with(cluster, plugin, config, [0.0, 1.0, 0.0])
            .top("sr_check_period = \"1s\"\ndelay_threshold = 100000")
            .start();
        let session = Raw::login_with(&proxy, client);
        Guarded { plugin, proxy, session, sql }
    }

    fn refused(&mut self, way: Way) -> bool {
        sqlstate(&way.ask(&mut self.session, self.sql)).as_deref() == Some("53000")
    }

    /// Waits until this server answers in the simple protocol, and checks the other.
    #[track_caller]
    fn wait_answered_by(&mut self, server: &Server) {
        let port = Some(server.port().to_string());
        wait_until(&format!("{}: server {} answers", self.plugin, server.id()), || {
            waypool_tests::raw::value(&Way::Simple.ask(&mut self.session, self.sql)) == port
        });
        Way::Extended.is_answered_by(&mut self.session, self.sql, server);
    }

    fn wait_refused(&mut self) {
        wait_until(&format!("{}: it is refused", self.plugin), || self.refused(Way::Simple));
        assert!(self.refused(Way::Extended));
    }
}

/// Both are asked in turn, with the other's load as it is.
const REPORT: &str = "SELECT inet_server_port() /* report */";
const GLOBEX: &str = "SELECT inet_server_port() /* tenant=globex */";

#[test]
fn a_standby_is_down_or_behind() {
    let cluster = breakable_servers();
    let [primary, other, standby] = [0, 1, 2].map(|id| cluster.server(id));
    let new = |plugin, config: &str, sql| Guarded::new(&cluster, plugin, config, sql, &[]);
    let mut anywhere = new("tenant", tenant::CONFIG, GLOBEX);
    let mut tenants = new("tenant", &format!("{}\notherwise = \"refuse\"", tenant::CONFIG), GLOBEX);
    let mut reports = new("cost_guard", cost_guard::CONFIG, REPORT);
    let mut on_primary =
        new("cost_guard", &format!("{}\notherwise = \"primary\"", cost_guard::CONFIG), REPORT);
    let mut canary = new("canary", "standby = 2\npercent = 100", PORT);
    let all = [&mut anywhere, &mut tenants, &mut reports, &mut on_primary, &mut canary];
    for guarded in all {
        guarded.wait_answered_by(standby);
    }
    let mut nightly = Raw::login_with(&reports.proxy, &[("application_name", "nightly")]);
    Way::Simple.ask(&mut nightly, "BEGIN");
    Way::Simple.is_answered_by(&mut nightly, PORT, standby);

    standby.stop(Mode::Immediate).unwrap();
    anywhere.wait_answered_by(other);
    tenants.wait_refused();
    reports.wait_refused();
    on_primary.wait_answered_by(primary);
    canary.wait_answered_by(other);
    // A new session is none of the canary's.
    let mut late = Raw::login(&canary.proxy);
    WAYS.into_iter().for_each(|way| way.is_answered_by(&mut late, PORT, other));
    // In a transaction it is refused as well, and everything else goes on.
    assert_ne!(sqlstate(&Way::Simple.ask(&mut nightly, PORT)), None);
    Way::Simple.ask(&mut nightly, "ROLLBACK");
    for way in WAYS {
        assert_eq!(way.value(&mut nightly, "SELECT 42 FROM random()"), "42");
        way.is_answered_by(&mut reports.session, PORT, other);
    }
    assert!(counted(&reports.proxy, "cost_guard", "reports_refused") >= 2.0);
    assert!(counted(&on_primary.proxy, "cost_guard", "reports_on_primary") >= 2.0);

    standby.start().unwrap();
    standby.wait_replay(primary).unwrap();
    for guarded in [&mut anywhere, &mut tenants, &mut reports, &mut on_primary] {
        guarded.wait_answered_by(standby);
    }

    standby.psql("SELECT pg_wal_replay_pause()").unwrap();
    let paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'";
    wait_until("replay is paused", || standby.psql(paused).unwrap() == "t");
    primary.psql("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))").unwrap();
    anywhere.wait_answered_by(other);
    tenants.wait_refused();
    reports.wait_refused();
    on_primary.wait_answered_by(primary);
    standby.psql("SELECT pg_wal_replay_resume()").unwrap();
    standby.wait_replay(primary).unwrap();
    for guarded in [&mut anywhere, &mut tenants, &mut reports, &mut on_primary] {
        guarded.wait_answered_by(standby);
    }
    for guarded in [anywhere, tenants, reports, on_primary, canary] {
        stop(&guarded.proxy);
    }
}

#[test]
fn the_least_load_is_that_of_a_server_which_answers() {
    let cluster = breakable_servers();
    let [other, standby] = [1, 2].map(|id| cluster.server(id));
    let proxy = with(&cluster, "least_load", "", [0.0, 1.0, 1.0]).start();
    let mut session = Raw::login(&proxy);
    let mut seen = |server: &Server| {
        let port = server.port().to_string();
        wait_until(&format!("server {} is read from", server.id()), || {
            Way::Simple.value(&mut session, PORT) == port
        });
    };
    seen(other);
    seen(standby);
    standby.stop(Mode::Immediate).unwrap();
    for way in [WAYS, WAYS].concat() {
        way.is_answered_by(&mut Raw::login(&proxy), PORT, other);
    }
    standby.start().unwrap();
    standby.wait_replay(cluster.primary()).unwrap();
    // Nobody has measured it for a while, or it is as good as the other.
    seen(standby);
    stop(&proxy);
}
