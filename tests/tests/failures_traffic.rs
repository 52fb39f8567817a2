//! Two hundred clients read and write while the standby is killed and comes back.
#![allow(clippy::unwrap_used)]

use std::thread::sleep;
use std::time::Duration;

use waypool_tests::outage::{breakable, watchful};
use waypool_tests::raw::{Raw, read_port};
use waypool_tests::traffic::{self, Report};
use waypool_tests::{Builder, rss_kib, wait_until};

const CLIENTS: usize = 200;
/// How long the traffic flows undisturbed, which is no wait for anything.
const FLOW: Duration = Duration::from_secs(3);
/// How long after the kill a statement may still get an error.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Traffic with a kill and a restart of the standby in its middle.
fn with_a_killed_standby(configure: impl FnOnce(Builder) -> Builder) -> Report {
    let cluster = breakable();
    let standby = cluster.server(1);
    traffic::prepare(cluster.primary());
    standby.wait_replay(cluster.primary()).unwrap();
    let builder = watchful(&cluster).weights(&[1.0, 1.0]).top("default_pool_size = 250");
    let proxy = configure(builder).start();
    let mut killed = Duration::ZERO;
    let report = traffic::run(&proxy, CLIENTS, |began| {
        sleep(FLOW);
        killed = began.elapsed();
        standby.kill9().unwrap();
        sleep(FLOW);
        standby.start().unwrap();
        wait_until("the standby is read from again", || read_port(&mut Raw::login(&proxy)) == standby.port());
        sleep(FLOW);
    });
    eprintln!("{}; waypool has {} MiB", report.summary(), rss_kib(proxy.pid()) / 1024);
    report.check_answers();
    let window = killed..killed + AFTERMATH;
    let late: Vec<_> = report.failures.iter().filter(|failure| !window.contains(&failure.at)).collect();
    assert!(late.is_empty(), "errors without a reason: {late:?}");
    // One statement for each client at most was on its way.
    assert!(report.failures.len() <= CLIENTS, "{} errors", report.failures.len());
    standby.wait_replay(cluster.primary()).unwrap();
    for server in cluster.servers() {
        report.check_ledger(server);
    }
    report
}

#[test]
fn no_write_is_lost_or_doubled_when_the_standby_is_killed() {
    let report = with_a_killed_standby(|builder| builder);
    assert!(report.acknowledged.len() > CLIENTS && report.reads > CLIENTS as u64, "{}", report.summary());
}

#[test]
fn nor_when_each_statement_is_balanced_by_itself() {
    let report = with_a_killed_standby(|builder| {
        builder.plugin("balance", "statement_level_load_balance = true").top("worker_threads = 2")
    });
    assert!(report.acknowledged.len() > CLIENTS && report.reads > CLIENTS as u64, "{}", report.summary());
}
