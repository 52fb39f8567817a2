//! The same traffic for minutes, while the standby goes and comes all the time:
//! `make soak`.
#![allow(clippy::unwrap_used)]

use std::thread::sleep;
use std::time::{Duration, Instant};

use waypool_sandbox::Mode;
use waypool_tests::outage::{breakable, watchful};
use waypool_tests::raw::{Raw, read_port};
use waypool_tests::{rss_kib, traffic, wait_until};

const CLIENTS: usize = 200;
const LENGTH: Duration = Duration::from_secs(300);
/// How long the traffic flows between two events, which is no wait for anything.
const FLOW: Duration = Duration::from_secs(5);
/// What the proxy may have grown by since the first minute, in MiB.
const GROWTH: u64 = 64;

#[test]
#[ignore = "takes five minutes: make soak"]
fn soak_traffic_while_the_standby_goes_and_comes() {
    let cluster = breakable();
    let standby = cluster.server(1);
    traffic::prepare(cluster.primary());
    standby.wait_replay(cluster.primary()).unwrap();
    let proxy = watchful(&cluster).weights(&[1.0, 1.0]).top("default_pool_size = 250").start();
    let (mut outages, mut early) = (0, 0);
    let report = traffic::run(&proxy, CLIENTS, |began: Instant| {
        while began.elapsed() < LENGTH {
            sleep(FLOW);
            match outages % 3 {
                0 => standby.kill9().unwrap(),
                1 => standby.stop(Mode::Fast).unwrap(),
                _ => standby.stop(Mode::Immediate).unwrap(),
            }
            outages += 1;
            sleep(FLOW);
            standby.start().unwrap();
            wait_until("the standby is read from again", || {
                read_port(&mut Raw::login(&proxy)) == standby.port()
            });
            let memory = rss_kib(proxy.pid()) / 1024;
            eprintln!("{:?}: outage {outages}, waypool has {memory} MiB", began.elapsed());
            if early == 0 && began.elapsed() > Duration::from_secs(60) {
                early = memory;
            }
        }
    });
    eprintln!("{outages} outages; {}", report.summary());
    report.check_answers();
    assert!(report.failures.len() <= CLIENTS * outages, "{} errors", report.failures.len());
    let late = rss_kib(proxy.pid()) / 1024;
    assert!(late <= early + GROWTH, "waypool's memory grew from {early} to {late} MiB");
    standby.wait_replay(cluster.primary()).unwrap();
    for server in cluster.servers() {
        report.check_ledger(server);
    }
}
