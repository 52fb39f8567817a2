#![allow(clippy::unwrap_used)]
use super::*;
use std::time::Duration;

#[tokio::test]
async fn a_closed_gate_keeps_commits_back() {
    let gate = CommitGate::default();
    let commit = gate.pass().await;
    let other = gate.pass().await;
    assert!(gate.close(Duration::from_millis(1)).await.is_none());
    drop((commit, other));
    let closed = gate.close(Duration::from_secs(60)).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), gate.pass()).await.is_err());
    drop(closed);
    drop(gate.pass().await);
}

#[tokio::test]
async fn snapshots_are_taken_together_and_nobody_waits_for_ever() {
    let gate = CommitGate::default();
    let long = Duration::from_secs(60);
    let (one, other) = (gate.close(long).await.unwrap(), gate.close(long).await.unwrap());
    let mut commit = Box::pin(gate.pass());
    let soon = Duration::from_millis(5);
    assert!(tokio::time::timeout(soon, &mut commit).await.is_err());
    // A snapshot that comes later does not overtake the commit.
    assert!(gate.close(soon).await.is_none());
    drop(one);
    assert!(tokio::time::timeout(soon, &mut commit).await.is_err(), "one of them is left");
    drop(other);
    let commit = commit.await;
    let mut late = Box::pin(gate.close(long));
    assert!(tokio::time::timeout(soon, &mut late).await.is_err());
    drop(commit);
    drop(late.await.unwrap());
    // Whoever had given up was let go.
    drop((gate.pass().await, gate.pass().await));
}

#[tokio::test]
async fn all_are_waited_for_in_their_order() {
    let slow = |n: u64| async move {
        tokio::time::sleep(Duration::from_millis(30 - 10 * n)).await;
        n
    };
    assert_eq!(join_all((0..3).map(slow)).await, [0, 1, 2]);
    assert!(join_all(std::iter::empty::<std::future::Ready<()>>()).await.is_empty());
}
