use super::*;
use std::future::{pending, ready};
use std::rc::Rc;
use std::task::Waker;

fn poll<T>(future: &mut Spared<impl Future<Output = T>>) -> Poll<T> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn kept() -> usize {
    BLOCKS.with_borrow(Vec::len)
}

#[test]
fn memory_is_used_again_for_the_same_size() {
    async fn wait(bytes: [u8; 100]) -> u8 {
        pending::<()>().await;
        bytes[0]
    }
    let mut first = Spared::new(wait([1; 100]));
    assert!(poll(&mut first).is_pending());
    let place = first.place.as_ptr().cast::<u8>();
    drop(first);
    assert_eq!(kept(), 1);
    let other = Spared::new(ready(5_u64));
    assert_ne!(other.place.as_ptr().cast::<u8>(), place);
    let again = Spared::new(wait([2; 100]));
    assert_eq!(again.place.as_ptr().cast::<u8>(), place);
    assert_eq!(kept(), 0);
}

#[test]
fn what_lies_in_it_is_dropped_once() {
    let held = Rc::new(());
    let other = held.clone();
    let mut waits = Spared::new(async move {
        let _other = other;
        pending::<()>().await;
    });
    assert!(poll(&mut waits).is_pending());
    assert_eq!(Rc::strong_count(&held), 2);
    drop(waits);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn it_is_ready_when_its_future_is() {
    assert_eq!(poll(&mut Spared::new(ready(7))), Poll::Ready(7));
}

#[test]
fn no_more_are_kept_than_are_of_use() {
    let many: Vec<_> = (0..3 * SPARES).map(ready).map(Spared::new).collect();
    drop(many);
    assert_eq!(kept(), SPARES);
}
