//! backend_clustering_mode: `raw`, and `logical_replication` between real
//! publishers and subscribers.
#![allow(clippy::unwrap_used)]

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use waypool_sandbox::{Cluster, Mode, Server};
use waypool_tests::raw::{Raw, extended, read_port, sqlstate, value};
use waypool_tests::{Builder, Proxy, psql, wait_until};

/// The columns `status` and `role` of every server.
fn nodes(proxy: &Proxy) -> String {
    let nodes = psql(proxy, "SHOW pool_nodes");
    let told = nodes.lines().map(|row| {
        let columns: Vec<&str> = row.split('|').collect();
        format!("{} {}", columns[3], columns[6])
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The port of the server that runs what a session writes.
fn write_port(session: &mut Raw) -> u16 {
    session.value("SELECT inet_server_port() FROM random()").parse().unwrap()
}

/// Where a newcomer's writes go, if they succeed.
fn newcomer_writes_to(proxy: &Proxy) -> Option<u16> {
    let mut session = Raw::try_login(proxy, &[]).ok()?;
    value(&session.query("SELECT inet_server_port() FROM random()"))?.parse().ok()
}

fn ports(cluster: &Cluster) -> [u16; 2] {
    [0, 1].map(|id| cluster.server(id).port())
}

fn locked(cluster: &'static Mutex<Cluster>) -> MutexGuard<'static, Cluster> {
    let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
    for server in cluster.servers() {
        server.start().unwrap();
    }
    cluster
}

// === raw ===

/// Two servers that know nothing of each other, with equal tables.
fn strangers() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    locked(CLUSTER.get_or_init(|| {
        let cluster = Cluster::builder().independent(2).setting("log_statement", "all").start().unwrap();
        for server in cluster.servers() {
            server.psql("CREATE TABLE t (n int)").unwrap();
        }
        Mutex::new(cluster)
    }))
}

/// Reads would go to server 1 in any other mode.
fn raw(cluster: &Cluster) -> Builder {
    Proxy::builder(cluster)
        .weights(&[0.0, 1.0])
        .top("backend_clustering_mode = \"raw\"\nhealth_check_period = \"200ms\"\nsr_check_period = \"1s\"")
        .plugin("balance", "statement_level_load_balance = true")
}

#[test]
fn raw_everything_goes_to_the_main_server() {
    let cluster = strangers();
    let [main, _] = ports(&cluster);
    // There is nothing to look up that needs a user of its own.
    let proxy = raw(&cluster).top("sr_check_user = \"\"").start();
    assert_eq!(nodes(&proxy), "up main, up replica");
    let before = cluster.server(1).log_position();
    let mut session = Raw::login_with(&proxy, &[("application_name", "raw mode")]);
    assert_eq!((read_port(&mut session), write_port(&mut session)), (main, main));
    session.run("SET work_mem = '5MB'");
    for begin in ["BEGIN", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE"] {
        session.run(begin);
        assert_eq!(read_port(&mut session), main, "{begin}");
        session.run("COMMIT");
    }
    session.run("INSERT INTO t VALUES (1)");
    session.run("PREPARE p AS SELECT inet_server_port()");
    assert_eq!(session.value("EXECUTE p"), main.to_string());
    session.send(&extended("SELECT inet_server_port()"));
    assert_eq!(value(&session.wire.until_ready()), Some(main.to_string()));
    assert_eq!(session.value("SHOW work_mem"), "5MB");
    assert_eq!(cluster.server(0).psql("SELECT count(*) > 0 FROM t").unwrap(), "t");
    session.leave();
    let log = cluster.server(1).log_since(before);
    assert!(!log.contains("raw mode"), "the replica has heard of the session: {log}");
    proxy.stop();
}

#[test]
fn raw_the_next_server_takes_over() {
    let cluster = strangers();
    let [main, replica] = ports(&cluster);
    let outages: [fn(&Server); 2] =
        [|server| server.kill9().unwrap(), |server| server.stop(Mode::Fast).unwrap()];
    // Unlike a function that may write, it leaves nothing behind in the session.
    let inserts_at = |session: &mut Raw| -> u16 {
        session.value("INSERT INTO t VALUES (0) RETURNING inet_server_port()").parse().unwrap()
    };
    for outage in outages {
        let proxy = raw(&cluster).start();
        let mut idle = Raw::login(&proxy);
        idle.run("SET work_mem = '6MB'");
        assert_eq!(read_port(&mut idle), main);
        outage(cluster.server(0));
        wait_until("server 1 takes writes", || newcomer_writes_to(&proxy) == Some(replica));
        assert_eq!(nodes(&proxy), "down replica, up main");
        // Who was there before goes on too, with what it has set.
        assert_eq!((read_port(&mut idle), inserts_at(&mut idle)), (replica, replica));
        assert_eq!(idle.value("SHOW work_mem"), "6MB");
        // The old one has missed what was written meanwhile, and waits its turn.
        cluster.server(0).start().unwrap();
        wait_until("server 0 is up", || nodes(&proxy) == "up replica, up main");
        assert_eq!(newcomer_writes_to(&proxy), Some(replica));
        assert_eq!(inserts_at(&mut idle), replica);
        outage(cluster.server(1));
        wait_until("server 0 takes writes", || newcomer_writes_to(&proxy) == Some(main));
        assert_eq!(nodes(&proxy), "up main, down replica");
        assert_eq!((read_port(&mut idle), inserts_at(&mut idle)), (main, main));
        assert_eq!(idle.value("SHOW work_mem"), "6MB");
        cluster.server(1).start().unwrap();
        proxy.stop();
    }
}

#[test]
fn raw_a_transaction_on_a_server_that_dies_is_lost() {
    let cluster = strangers();
    let [_, replica] = ports(&cluster);
    let proxy = raw(&cluster).start();
    let mut session = Raw::login(&proxy);
    session.run("BEGIN");
    session.run("INSERT INTO t VALUES (3)");
    cluster.server(0).kill9().unwrap();
    let last = session.wire.until_closed();
    assert_eq!(sqlstate(&last).as_deref(), Some("08006"));
    wait_until("server 1 takes writes", || newcomer_writes_to(&proxy) == Some(replica));
    for id in [0, 1] {
        cluster.server(id).start().unwrap();
        assert_eq!(cluster.server(id).psql("SELECT count(*) FROM t WHERE n = 3").unwrap(), "0");
    }
    proxy.stop();
}

#[test]
fn raw_a_session_with_state_stays_with_its_server() {
    let cluster = strangers();
    let [_, replica] = ports(&cluster);
    cluster.server(0).kill9().unwrap();
    let proxy = raw(&cluster).start();
    wait_until("server 1 takes writes", || newcomer_writes_to(&proxy) == Some(replica));
    let mut session = Raw::login(&proxy);
    session.run("CREATE TEMP TABLE mine AS SELECT 7 AS n");
    cluster.server(0).start().unwrap();
    wait_until("server 0 is up", || nodes(&proxy) == "up replica, up main");
    // Its table is there and nowhere else.
    assert_eq!(session.value("SELECT n FROM mine"), "7");
    proxy.stop();
}

// === logical replication ===

/// Server 0 publishes to server 1.
fn publisher_and_subscriber() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = locked(CLUSTER.get_or_init(|| {
        let builder = Cluster::builder().independent(2).setting("wal_level", "logical");
        let cluster = builder.start().unwrap_or_else(|error| panic!("{error}"));
        let (publisher, subscriber) = (cluster.server(0), cluster.server(1));
        let schema = "CREATE TABLE t (n int PRIMARY KEY); CREATE SEQUENCE s;";
        publisher.psql(&format!("{schema} CREATE PUBLICATION p FOR TABLE t")).unwrap();
        let subscribe = format!("CREATE SUBSCRIPTION s CONNECTION '{}' PUBLICATION p", publisher.conninfo());
        // It must not run in a transaction: a psql of its own.
        subscriber.psql(schema).unwrap();
        subscriber.psql(&subscribe).unwrap();
        Mutex::new(cluster)
    }));
    cluster.server(0).psql("TRUNCATE t").unwrap();
    wait_replicated(&cluster, 0);
    cluster
}

/// Waits until the subscriber has so many rows.
fn wait_replicated(cluster: &Cluster, rows: usize) {
    let count = || cluster.server(1).psql("SELECT count(*) FROM t").unwrap();
    wait_until("the subscriber has it", || count() == rows.to_string());
}

/// Reads go to the subscriber.
fn logical(cluster: &Cluster) -> Builder {
    Proxy::builder(cluster).weights(&[0.0, 1.0]).top(
        "backend_clustering_mode = \"logical_replication\"\nhealth_check_period = \"200ms\"\nsr_check_period = \"1s\"",
    )
}

/// What is read where; the publisher takes writes.
fn reads_and_writes(cluster: &Cluster, proxy: &Proxy) {
    let [publisher, subscriber] = ports(cluster);
    assert_eq!(nodes(proxy), "up primary, up standby");
    let mut session = Raw::login(proxy);
    assert_eq!((read_port(&mut session), write_port(&mut session)), (subscriber, publisher));
    session.run("INSERT INTO t VALUES (1)");
    session.send(&extended("INSERT INTO t VALUES (2)"));
    assert_eq!(sqlstate(&session.wire.until_ready()), None);
    assert_eq!(cluster.server(0).psql("SELECT count(*) FROM t").unwrap(), "2");
    wait_replicated(cluster, 2);
    let reads = "SELECT concat_ws(' ', inet_server_port(), (SELECT count(*) FROM t))";
    assert_eq!(session.value(reads), format!("{subscriber} 2"));
    session.send(&extended(reads));
    assert_eq!(value(&session.wire.until_ready()), Some(format!("{subscriber} 2")));
    // A transaction reads from the subscriber until it has written.
    session.run("BEGIN");
    assert_eq!(session.value(reads), format!("{subscriber} 2"));
    session.run("INSERT INTO t VALUES (3)");
    assert_eq!(session.value(reads), format!("{publisher} 3"));
    session.run("ROLLBACK");
    assert_eq!(session.value(reads), format!("{subscriber} 2"));
    // The subscriber would do all of these, unlike a standby, and nobody would know.
    session.run("SELECT nextval('s')");
    session.run("SELECT n FROM t FOR UPDATE");
    session.run("WITH gone AS (DELETE FROM t WHERE n = 2 RETURNING n) SELECT n FROM gone");
    session.run("CREATE TABLE IF NOT EXISTS made AS SELECT 1 AS n");
    session.run("DROP TABLE made");
    assert_eq!(cluster.server(1).psql("SELECT is_called FROM s").unwrap(), "f");
    assert_eq!(cluster.server(0).psql("SELECT is_called FROM s").unwrap(), "t");
    wait_replicated(cluster, 1);
    // Settings reach both.
    session.run("SET work_mem = '7MB'");
    let setting = "SELECT concat_ws(' ', inet_server_port(), current_setting('work_mem'))";
    assert_eq!(session.value(setting), format!("{subscriber} 7MB"));
    assert_eq!(session.value(&format!("{setting} FROM random()")), format!("{publisher} 7MB"));
    cluster.server(0).psql("ALTER SEQUENCE s RESTART; TRUNCATE t").unwrap();
    wait_replicated(cluster, 0);
}

#[test]
fn logical_reads_go_to_the_subscriber() {
    let cluster = publisher_and_subscriber();
    for flag in ["ALWAYS_PRIMARY", "ALLOW_TO_FAILOVER"] {
        let proxy = logical(&cluster).backend(0, &format!("flag = {flag:?}")).start();
        reads_and_writes(&cluster, &proxy);
        proxy.stop();
    }
}

#[test]
fn logical_lag_does_not_matter() {
    let cluster = publisher_and_subscriber();
    let [publisher, subscriber] = ports(&cluster);
    let proxy = logical(&cluster)
        .top("delay_threshold = 1\ndelay_threshold_by_time = 1\nsr_check_period = \"100ms\"")
        .start();
    let mut session = Raw::login(&proxy);
    cluster.server(1).psql("ALTER SUBSCRIPTION s DISABLE").unwrap();
    for n in 1..20 {
        session.run(&format!("INSERT INTO t VALUES ({n})"));
        assert_eq!((read_port(&mut session), write_port(&mut session)), (subscriber, publisher));
    }
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
    cluster.server(1).psql("ALTER SUBSCRIPTION s ENABLE").unwrap();
    wait_replicated(&cluster, 19);
    assert_eq!(session.value("SELECT count(*) FROM t"), "19");
    proxy.stop();
}

/// Positions of a publisher and a subscriber do not compare: the publisher answers.
#[test]
fn logical_a_session_may_read_what_it_wrote() {
    let cluster = publisher_and_subscriber();
    let [_, subscriber] = ports(&cluster);
    let config = "read_your_writes = \"session\"\nread_your_writes_timeout = 20";
    let proxy = logical(&cluster).plugin("balance", config).start();
    let mut session = Raw::login(&proxy);
    assert_eq!(read_port(&mut session), subscriber);
    cluster.server(1).psql("ALTER SUBSCRIPTION s DISABLE").unwrap();
    for n in 1..20 {
        session.run(&format!("INSERT INTO t VALUES ({n})"));
        assert_eq!(session.value("SELECT count(*) FROM t"), n.to_string());
    }
    assert_eq!(read_port(&mut Raw::login(&proxy)), subscriber);
    cluster.server(1).psql("ALTER SUBSCRIPTION s ENABLE").unwrap();
    wait_replicated(&cluster, 19);
    proxy.stop();
}

#[test]
fn logical_the_appointed_primary_may_be_any_server() {
    let cluster = publisher_and_subscriber();
    let [publisher, subscriber] = ports(&cluster);
    // The same two servers, named the other way round.
    let proxy = Proxy::builder(&cluster)
        .backend(0, &format!("port = {subscriber}\nweight = 1"))
        .backend(1, &format!("port = {publisher}\nweight = 0\nflag = \"ALWAYS_PRIMARY\""))
        .top("backend_clustering_mode = \"logical_replication\"")
        .start();
    wait_until("both are up", || nodes(&proxy) == "up standby, up primary");
    let mut session = Raw::login(&proxy);
    assert_eq!((read_port(&mut session), write_port(&mut session)), (subscriber, publisher));
    session.run("INSERT INTO t VALUES (1)");
    wait_replicated(&cluster, 1);
    proxy.stop();
}

#[test]
fn logical_reads_go_on_when_either_server_is_gone() {
    let cluster = publisher_and_subscriber();
    let [publisher, subscriber] = ports(&cluster);
    let proxy = logical(&cluster).backend(0, "flag = \"ALWAYS_PRIMARY\"").start();
    let mut session = Raw::login(&proxy);
    assert_eq!(read_port(&mut session), subscriber);
    cluster.server(1).kill9().unwrap();
    assert_eq!((read_port(&mut session), write_port(&mut session)), (publisher, publisher));
    cluster.server(1).start().unwrap();
    wait_until("the subscriber is read from again", || read_port(&mut session) == subscriber);
    session.leave();
    // What is written to the subscriber would be lost: nobody takes the publisher's place.
    cluster.server(0).kill9().unwrap();
    wait_until("the publisher is known to be down", || nodes(&proxy) == "down primary, up standby");
    let mut session = Raw::login(&proxy);
    assert_eq!(read_port(&mut session), subscriber);
    assert!(["57P03", "08006"].contains(&session.error("INSERT INTO t VALUES (1)").as_str()));
    assert_eq!(read_port(&mut session), subscriber);
    cluster.server(0).start().unwrap();
    wait_until("writes go on", || newcomer_writes_to(&proxy) == Some(publisher));
    session.run("INSERT INTO t VALUES (1)");
    wait_replicated(&cluster, 1);
    proxy.stop();
}

#[test]
fn logical_without_an_appointed_primary_the_next_server_takes_writes() {
    let cluster = publisher_and_subscriber();
    let [publisher, subscriber] = ports(&cluster);
    let proxy = logical(&cluster).start();
    assert_eq!(newcomer_writes_to(&proxy), Some(publisher));
    cluster.server(0).kill9().unwrap();
    wait_until("server 1 takes writes", || newcomer_writes_to(&proxy) == Some(subscriber));
    assert_eq!(nodes(&proxy), "down standby, up primary");
    cluster.server(0).start().unwrap();
    wait_until("server 0 takes writes", || newcomer_writes_to(&proxy) == Some(publisher));
    proxy.stop();
}
