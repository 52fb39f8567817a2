#![allow(clippy::unwrap_used)]

use super::*;
use std::task::Waker;

fn large_spares() -> usize {
    LARGE_SPARE.with_borrow(Vec::len)
}

/// Reads and handles all of it; the sizes of the buffers.
fn flow(mut input: &[u8]) -> Vec<usize> {
    let mut inbox = Inbox::default();
    let mut sizes = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(count) = inbox.poll_fill(&mut cx, &mut input)
        && count.unwrap() > 0
    {
        sizes.push(inbox.buffer.len());
        inbox.consume(inbox.len());
    }
    sizes
}

#[test]
fn buffers_grow_with_what_flows_and_are_used_again() {
    let result = vec![7; 4 * LARGE];
    let sizes = flow(&result);
    assert_eq!(sizes[..5], [SMALL, 2 * SMALL, 4 * SMALL, 8 * SMALL, LARGE]);
    assert!(sizes[5..].iter().all(|size| *size == LARGE));
    assert_eq!(large_spares(), 4);
    flow(&result);
    assert_eq!(large_spares(), 4);
}

#[test]
fn large_buffers_go_when_nothing_flows() {
    flow(&vec![7; 4 * LARGE]);
    // There was something since the last look.
    rest();
    assert_eq!(large_spares(), 4);
    flow(b"short");
    rest();
    assert_eq!(large_spares(), 0);
}

#[test]
fn longer_buffers_are_not_kept() {
    let mut inbox = Inbox::default();
    inbox.reserve(2 * LARGE);
    let mut input: &[u8] = &[7; 10];
    assert!(inbox.poll_fill(&mut Context::from_waker(Waker::noop()), &mut input).is_ready());
    inbox.consume(10);
    assert_eq!(large_spares(), 0);
}
