#![allow(clippy::unwrap_used)]
use super::backend::{Role, Status};
use super::*;
use crate::config::Config;
use std::path::Path;

fn cluster(servers: usize) -> Cluster {
    let mut text = "sr_check_user = \"postgres\"\n".to_owned();
    for id in 0..servers {
        text += &format!("[[backend]]\nhostname = \"127.0.0.1\"\nport = {}\n", 5000 + id);
    }
    Cluster::new(&Config::parse(&text, Path::new("waypool.toml")).unwrap())
}

#[test]
fn the_primary_is_the_one_not_in_recovery() {
    let cluster = cluster(2);
    assert!(cluster.primary().is_none());
    cluster.backends[0].set(Status::Up, Role::Standby);
    cluster.backends[1].set(Status::Up, Role::Primary);
    cluster.publish();
    assert!(cluster.is_primary(1));
}

/// In logical replication every server takes writes, if asked.
fn logical(flag_of_1: &str) -> Cluster {
    let text = format!(
        "sr_check_user = 'postgres'\nbackend_clustering_mode = 'logical_replication'\n\
         [[backend]]\nhostname = 'a'\n[[backend]]\nhostname = 'b'\nflag = '{flag_of_1}'\n"
    );
    let cluster = Cluster::new(&Config::parse(&text, Path::new("waypool.toml")).unwrap());
    for backend in &cluster.backends {
        backend.set(Status::Up, Role::Primary);
    }
    cluster.publish();
    cluster
}

#[test]
fn in_logical_replication_the_first_that_is_up_is_the_primary() {
    let cluster = logical("ALLOW_TO_FAILOVER");
    assert!(cluster.is_primary(0));
    cluster.backends[0].set(Status::Down, Role::Unknown);
    cluster.publish();
    assert!(cluster.is_primary(1));
    cluster.backends[0].set(Status::Up, Role::Primary);
    cluster.publish();
    assert!(cluster.is_primary(0));
}

#[test]
fn in_logical_replication_an_appointed_primary_stays() {
    let cluster = logical("ALWAYS_PRIMARY");
    assert!(cluster.is_primary(1));
    // What is written to a subscriber would be lost: down is down.
    cluster.backends[1].set(Status::Down, Role::Unknown);
    cluster.publish();
    assert!(cluster.is_primary(1));
}

#[test]
fn a_primary_that_is_down_stays_until_another_appears() {
    let cluster = cluster(2);
    cluster.backends[0].set(Status::Up, Role::Primary);
    cluster.backends[1].set(Status::Up, Role::Standby);
    cluster.publish();
    cluster.backends[0].set(Status::Down, Role::Unknown);
    cluster.publish();
    assert!(cluster.is_primary(0));
    cluster.backends[1].set(Status::Up, Role::Primary);
    cluster.publish();
    assert!(cluster.is_primary(1));
    // The old one comes back and still believes in itself: it is not followed.
    cluster.backends[0].set(Status::Up, Role::Primary);
    cluster.publish();
    assert!(cluster.is_primary(1));
}

#[test]
fn a_failure_stops_reads_until_the_monitor_has_looked() {
    let cluster = cluster(1);
    cluster.backends[0].set(Status::Up, Role::Standby);
    let epoch = cluster.epoch();
    cluster.report_failure(0, "connection reset");
    assert!(!cluster.is_readable(0));
    assert!(cluster.epoch() > epoch);
    assert!(cluster.backends[0].set(Status::Up, Role::Standby));
    assert!(cluster.is_readable(0));
}
