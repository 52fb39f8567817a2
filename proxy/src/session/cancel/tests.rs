use super::{OURS, Registry};
use std::sync::Arc;

#[tokio::test(flavor = "current_thread")]
async fn who_takes_a_kept_connection_over_takes_its_process_id() {
    let registry = Arc::new(Registry::default());
    let (mut one, mut two) = (registry.enter(4), registry.enter(32));
    assert!(one.pid >= OURS && two.pid > one.pid);
    let number = one.pid;
    one.take_pid(5);
    assert!(registry.cancel(5, one.key()).await);
    assert!(!registry.cancel(number, one.key()).await);
    // The first one holds no connection any more.
    two.take_pid(5);
    assert_eq!((one.pid, two.pid), (5, 5));
    assert!(!registry.cancel(5, one.key()).await);
    drop(one);
    assert!(registry.cancel(5, two.key()).await);
    drop(two);
    assert!(registry.clients.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_number_of_ours_is_no_servers() {
    let registry = Arc::new(Registry::default());
    let (one, mut two) = (registry.enter(4), registry.enter(4));
    let number = two.pid;
    two.take_pid(one.pid);
    assert_eq!(two.pid, number);
    assert!(registry.cancel(one.pid, one.key()).await);
}
