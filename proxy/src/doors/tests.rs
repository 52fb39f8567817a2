use super::*;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn what_was_paused_by_name_is_resumed_by_name() {
    let doors = Doors::default();
    assert!(doors.pause(Some("shop")) && !doors.pause(Some("shop")));
    assert!(doors.is_paused("shop") && !doors.is_paused("other") && !doors.all_paused());
    assert!(!doors.resume(None));
    assert!(doors.is_paused("shop") && doors.any_paused());
    assert!(doors.pause(None));
    assert!(doors.resume(None) && doors.is_paused("shop") && !doors.is_paused("other"));
    assert!(doors.resume(Some("shop")) && !doors.any_paused());
    assert!(!doors.resume(Some("shop")));
}

#[test]
fn who_waits_goes_on_when_both_doors_are_open() {
    let doors = Doors::default();
    assert!(poll(pin!(doors.wait_resumed("shop"))).is_ready());
    doors.pause(None);
    doors.pause(Some("shop"));
    let mut waiting = pin!(doors.wait_resumed("shop"));
    assert!(poll(waiting.as_mut()).is_pending());
    doors.resume(None);
    assert!(poll(waiting.as_mut()).is_pending());
    doors.resume(Some("shop"));
    assert!(poll(waiting.as_mut()).is_ready());
}

#[test]
fn databases_that_orders_named_are_known() {
    let doors = Doors::default();
    doors.disable("closed");
    doors.pause(Some("paused"));
    assert!(doors.is_disabled("closed") && !doors.is_disabled("paused"));
    assert_eq!(doors.named().into_iter().collect::<Vec<_>>(), ["closed", "paused"]);
    doors.enable("closed");
    assert!(!doors.is_disabled("closed"));
}
