//! Standbys that are behind, and sessions whose reads are wanted elsewhere.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use waypool_sandbox::{Cluster, Server};
use waypool_tests::raw::{Raw, read_port};
use waypool_tests::{Builder, Proxy, psql, wait_until};

/// A primary and two standbys whose replay one test at a time may pause.
fn servers() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let cluster = Cluster::builder().standbys(2).start().unwrap_or_else(|error| panic!("{error}"));
        let roles = "CREATE ROLE anna LOGIN; CREATE ROLE bert LOGIN; CREATE DATABASE shop;";
        cluster.primary().psql(roles).unwrap_or_else(|error| panic!("{error}"));
        Mutex::new(cluster)
    });
    let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
    for standby in &cluster.servers()[1..] {
        resume(&cluster, standby);
    }
    cluster
}

fn pause(standby: &Server) {
    standby.psql("SELECT pg_wal_replay_pause()").unwrap();
    let paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'";
    wait_until("replay is paused", || standby.psql(paused).unwrap() == "t");
}

fn resume(cluster: &Cluster, standby: &Server) {
    standby.psql("SELECT pg_wal_replay_resume()").unwrap();
    standby.wait_replay(cluster.primary()).unwrap();
}

/// A megabyte of WAL
fn write(cluster: &Cluster) {
    let sql = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))";
    cluster.primary().psql(sql).unwrap();
}

/// A proxy that looks every second and reads from standby 1.
fn proxy(cluster: &Cluster) -> Builder {
    Proxy::builder(cluster).weights(&[0.0, 1.0, 0.0]).top("sr_check_period = \"1s\"")
}

#[track_caller]
fn wait_read_by(session: &mut Raw, server: &Server) {
    wait_until(&format!("server {} is read from", server.id()), || read_port(session) == server.port());
}

/// The column `replication_delay` of a server, as `SHOW pool_nodes` has it.
fn replication_delay(proxy: &Proxy, server: usize) -> String {
    let nodes = psql(proxy, "SHOW pool_nodes");
    nodes.lines().nth(server).unwrap().split('|').nth(10).unwrap().to_owned()
}

#[test]
fn a_standby_too_many_bytes_behind_is_not_read() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary(), cluster.server(1));
    let proxy = proxy(&cluster).top("delay_threshold = 100000").start();
    let mut session = Raw::login(&proxy);
    wait_read_by(&mut session, standby);
    pause(standby);
    write(&cluster);
    wait_read_by(&mut session, primary);
    assert_eq!(read_port(&mut Raw::login(&proxy)), primary.port());
    assert!(replication_delay(&proxy, 1).parse::<u64>().unwrap() >= 1_000_000);
    assert_eq!(replication_delay(&proxy, 0), "0");
    proxy.wait_for_log("Replication of node: 1 is behind ");
    // What it has to know, it is told nevertheless.
    session.run("SET work_mem = '5MB'");
    resume(&cluster, standby);
    wait_read_by(&mut session, standby);
    assert_eq!(session.value("SHOW work_mem"), "5MB");
    // A threshold that is reloaded counts at once.
    pause(standby);
    write(&cluster);
    wait_read_by(&mut session, primary);
    proxy.reconfigure(|proxy| proxy.top("delay_threshold = 100000000"));
    wait_read_by(&mut session, standby);
    proxy.stop();
}

#[test]
fn a_standby_too_long_behind_is_not_read() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary(), cluster.server(1));
    let thresholds = "delay_threshold = 1\ndelay_threshold_by_time = \"1h\"\nlog_standby_delay = \"none\"";
    let proxy = proxy(&cluster).top(thresholds).start();
    let mut session = Raw::login(&proxy);
    wait_read_by(&mut session, standby);
    pause(standby);
    write(&cluster);
    // It is behind for seconds, and by more bytes than what no longer counts.
    wait_until("the delay is told in seconds", || replication_delay(&proxy, 1).ends_with(" seconds"));
    assert_eq!(read_port(&mut session), standby.port());
    proxy.reconfigure(|proxy| proxy.top("delay_threshold_by_time = \"500ms\""));
    wait_read_by(&mut session, primary);
    assert!(!proxy.log().contains("is behind"), "log_standby_delay = none");
    proxy.reconfigure(|proxy| proxy.top("log_standby_delay = \"if_over_threshold\""));
    proxy.wait_for_log("second(s) from the primary server (node: 0)");
    resume(&cluster, standby);
    wait_read_by(&mut session, standby);
    proxy.stop();
}

/// Without an application_name, or the right to see it, nobody reports the time.
#[test]
fn a_lag_in_time_that_nobody_reports_is_watched() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary(), cluster.server(1));
    let proxy = proxy(&cluster)
        .backend(1, "application_name = \"nobody\"")
        .top("delay_threshold_by_time = \"1s\"")
        .start();
    let mut session = Raw::login(&proxy);
    wait_read_by(&mut session, standby);
    pause(standby);
    write(&cluster);
    wait_read_by(&mut session, primary);
    resume(&cluster, standby);
    wait_read_by(&mut session, standby);
    proxy.stop();
}

#[test]
fn another_standby_takes_the_place_of_a_delayed_one() {
    let cluster = servers();
    let [primary, home, other] = [0, 1, 2].map(|id| cluster.server(id));
    let proxy = proxy(&cluster)
        .weights(&[1.0, 1.0, 1.0])
        .top("delay_threshold = 100000")
        .plugin("balance", "prefer_lower_delay_standby = true")
        .plugin("balance", "database_redirect_preference_list = \"postgres:1\"")
        .start();
    let mut session = Raw::login(&proxy);
    wait_read_by(&mut session, home);
    pause(home);
    write(&cluster);
    wait_read_by(&mut session, other);
    // A transaction begins where its reads will be.
    session.run("BEGIN");
    assert_eq!(read_port(&mut session), other.port());
    session.run("COMMIT");
    pause(other);
    write(&cluster);
    wait_read_by(&mut session, primary);
    resume(&cluster, other);
    wait_read_by(&mut session, other);
    resume(&cluster, home);
    wait_read_by(&mut session, home);
    proxy.stop();
}

#[test]
fn a_command_may_say_how_far_behind_the_standbys_are() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary(), cluster.server(1));
    let folder = tempfile::tempdir().unwrap();
    let told = |text: &str| fs::write(folder.path().join("delays"), text).unwrap();
    told("0 0\n");
    let script = folder.path().join("delays.sh");
    fs::write(&script, "cd \"${0%/*}\" && echo \"$@\" > asked && exec cat delays\n").unwrap();
    let proxy = proxy(&cluster)
        .top(&format!("replication_delay_source_cmd = \"sh {}\"", script.display()))
        .top("delay_threshold_by_time = \"1s\"")
        .start();
    let mut session = Raw::login(&proxy);
    wait_read_by(&mut session, standby);
    told("2500.5 0\n");
    wait_read_by(&mut session, primary);
    assert_eq!(replication_delay(&proxy, 1), "2.500500 seconds");
    proxy.wait_for_log("Replication of node: 1 is behind 2.500500 second(s)");
    let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
    let ports = [1, 2].map(|id| cluster.server(id).port());
    assert_eq!(asked, format!("127.0.0.1:{} 127.0.0.1:{}\n", ports[0], ports[1]));
    // An error changes nothing.
    fs::remove_file(folder.path().join("delays")).unwrap();
    proxy.wait_for_log("replication_delay_source_cmd failed with exit status: 1: cat: ");
    assert_eq!(read_port(&mut session), primary.port());
    told("-1 0\n");
    proxy.wait_for_log("taken for down");
    assert_eq!(read_port(&mut session), primary.port());
    told("900 0\n");
    wait_read_by(&mut session, standby);
    proxy.stop();
}

/// disable_load_balance_on_write = dml_adaptive_global
#[test]
fn what_any_session_wrote_is_the_primarys_for_a_while() {
    let cluster = servers();
    let (primary, standby) = (cluster.primary(), cluster.server(1));
    let tables = "CREATE TABLE IF NOT EXISTS written AS SELECT 1 AS n; \
                  CREATE TABLE IF NOT EXISTS other AS SELECT 1 AS n;";
    primary.psql(tables).unwrap();
    standby.wait_replay(primary).unwrap();
    let proxy = proxy(&cluster)
        .top("delay_threshold_by_time = \"1h\"")
        .plugin("balance", "disable_load_balance_on_write = \"dml_adaptive_global\"")
        .plugin("balance", "track_table_mutation_max_staleness = 15000")
        .start();
    let read_by = |session: &mut Raw, table: &str| -> u16 {
        session.value(&format!("SELECT inet_server_port() FROM {table} LIMIT 1")).parse().unwrap()
    };
    let (mut writer, mut reader) = (Raw::login(&proxy), Raw::login(&proxy));
    // After the start all reads are the primary's.
    wait_until("the start is over", || read_by(&mut reader, "written") == standby.port());
    pause(standby);
    write(&cluster);
    wait_until("the delay is known", || replication_delay(&proxy, 1).ends_with(" seconds"));
    // What is rolled back is nobody's business.
    writer.run("BEGIN");
    writer.run("INSERT INTO written VALUES (2)");
    assert_eq!(read_by(&mut writer, "written"), primary.port());
    assert_eq!(read_by(&mut writer, "other"), standby.port());
    writer.run("ROLLBACK");
    assert_eq!(read_by(&mut reader, "written"), standby.port());
    writer.run("BEGIN");
    writer.run("INSERT INTO written VALUES (2)");
    writer.run("COMMIT");
    assert_eq!(read_by(&mut reader, "written"), primary.port());
    assert_eq!(read_by(&mut reader, "other"), standby.port());
    // Not for ever
    wait_until("the mark is gone", || read_by(&mut reader, "written") == standby.port());
    writer.run("INSERT INTO written VALUES (3)");
    assert_eq!(read_by(&mut reader, "written"), primary.port());
    proxy.stop();
}

#[test]
fn reads_go_where_the_redirect_lists_say() {
    let cluster = servers();
    let lists = "user_redirect_preference_list = \"anna:1\"\n\
        database_redirect_preference_list = [\"sho.{1,2}:2\"]\n\
        app_name_redirect_preference_list = \"report(er)?:primary,no.*:standby(0)\"";
    let proxy = proxy(&cluster).weights(&[1.0, 0.0, 0.0]).plugin("balance", lists).start();
    let read_by = |parameters: &[(&str, &str)]| {
        let port = read_port(&mut Raw::login_with(&proxy, parameters));
        cluster.servers().iter().position(|server| server.port() == port).unwrap()
    };
    assert_eq!(read_by(&[]), 0);
    assert_eq!(read_by(&[("user", "anna")]), 1);
    assert_eq!(read_by(&[("user", "bert")]), 0);
    assert_eq!(read_by(&[("user", "anna"), ("database", "shop")]), 2);
    assert_eq!(read_by(&[("database", "shop"), ("application_name", "Reporter")]), 0);
    assert_eq!(read_by(&[("database", "shop"), ("application_name", "reporters")]), 2);
    assert_eq!(read_by(&[("user", "anna"), ("application_name", "nothing")]), 0);
    proxy.stop();
}

#[test]
fn a_ratio_of_the_sessions_is_redirected() {
    let cluster = servers();
    let list = "user_redirect_preference_list = \"anna:2(0.5)\"";
    let proxy = proxy(&cluster).weights(&[1.0, 0.0, 0.0]).plugin("balance", list).start();
    let port = cluster.server(2).port();
    let sessions = (0..100).map(|_| read_port(&mut Raw::login_with(&proxy, &[("user", "anna")])));
    let redirected = sessions.filter(|read_by| *read_by == port).count();
    // The chance of fewer than 20 of 100 is one in a thousand millions.
    assert!((20..=80).contains(&redirected), "{redirected} of 100 sessions were redirected");
    proxy.stop();
}

#[test]
fn a_mistake_in_the_balancers_configuration_is_told() {
    let cluster = servers();
    let error =
        proxy(&cluster).plugin("balance", "user_redirect_preference_list = \"anna:second\"").start_error();
    assert!(
        error.contains(
            "user_redirect_preference_list = \"anna:second\": \"second\" may be primary, standby or"
        ),
        "{error}"
    );
}
