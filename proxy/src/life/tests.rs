#![allow(clippy::unwrap_used)]
use super::*;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

fn is_over(over: Pin<&mut impl Future<Output = ()>>) -> bool {
    over.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[tokio::test]
async fn smart_waits_for_clients_and_a_handover_for_acceptors_too() {
    let (life, clients) = (Life::default(), AtomicUsize::new(1));
    life.acceptors.store(1, Ordering::Release);
    let mut over = pin!(life.over(&clients));
    assert!(!is_over(over.as_mut()));
    life.enter(Phase::Smart, None);
    assert!(!is_over(over.as_mut()));
    clients.store(0, Ordering::Release);
    life.left.notify_one();
    assert!(is_over(over.as_mut()));
    life.enter(Phase::HandedOver, None);
    let mut over = pin!(life.over(&clients));
    assert!(!is_over(over.as_mut()));
    life.acceptors.store(0, Ordering::Release);
    life.left.notify_one();
    assert!(is_over(over.as_mut()));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_makes_it_fast() {
    let (life, clients) = (Life::default(), AtomicUsize::new(1));
    life.enter(Phase::Smart, Some(Duration::ZERO));
    life.over(&clients).await;
    assert_eq!(life.phase(), Phase::Fast);
}

#[test]
fn there_is_no_way_back() {
    let life = Life::default();
    life.enter(Phase::Fast, None);
    life.enter(Phase::Smart, None);
    assert_eq!(life.phase(), Phase::Fast);
}
