#![allow(clippy::unwrap_used)]
use super::*;
use crate::cluster::backend::{Role, Status};
use crate::config::Config;
use std::path::Path;

#[test]
fn values_are_milliseconds() {
    let values: Vec<_> = parse(" 0 1.5\n2000\t-1 -2 soon inf ").into_iter().map(Result::ok).collect();
    let millis = |millis: f64| Some(Duration::from_secs_f64(millis / 1000.0));
    assert_eq!(values, [millis(0.0), millis(1.5), millis(2000.0), None, None, None, None]);
}

/// Three servers, the second of which is the primary.
fn cluster() -> Arc<Cluster> {
    let mut text = "sr_check_user = \"postgres\"\n".to_owned();
    for port in [5001, 5002, 5003] {
        text += &format!("[[backend]]\nhostname = \"127.0.0.1\"\nport = {port}\n");
    }
    let cluster = Cluster::new(&Config::parse(&text, Path::new("waypool.toml")).unwrap());
    for (backend, role) in cluster.backends.iter().zip([Role::Standby, Role::Primary, Role::Standby]) {
        backend.set(Status::Up, role);
    }
    cluster.publish();
    Arc::new(cluster)
}

/// The standbys' lag in milliseconds after the command has run.
async fn delays(command: &str) -> [u128; 2] {
    let cluster = cluster();
    for id in [0, 2] {
        cluster.backends[id].report_delay(Some(Duration::from_millis(7)));
    }
    let source = DelaySource { command: command.to_owned(), timeout: Duration::from_millis(500) };
    source.run(&cluster, 1).await;
    [0, 2].map(|id| cluster.backends[id].lag_time().as_millis())
}

#[tokio::test]
async fn the_command_gets_the_standbys_and_says_how_far_they_are() {
    assert_eq!(delays("echo 100 20 #").await, [100, 20]);
    assert_eq!(delays("printf '%s\\n' | sed s/127.0.0.1:500/1/ #").await, [7, 7]);
    let by_port = "f() { for one; do echo ${one#127.0.0.1:}; done; }; f";
    assert_eq!(delays(by_port).await, [5001, 5003]);
}

#[tokio::test]
async fn what_is_wrong_leaves_the_old_values() {
    assert_eq!(delays("echo 100 #").await, [100, 7]);
    assert_eq!(delays("echo -1 many 5 #").await, [7, 7]);
    assert_eq!(delays("echo 1 2; exit 3 #").await, [7, 7]);
    assert_eq!(delays("echo 1 2; exec sleep 60 #").await, [7, 7]);
    assert_eq!(delays("nosuchprogram").await, [7, 7]);
}
