//! Ends a session from another thread.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Raised once. Waiting for it takes one load for each time that the task runs.
#[derive(Debug, Default)]
pub struct Signal {
    raised: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    pub fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// One waits at a time: the session's task.
    pub async fn wait(&self) {
        let mut mine: Option<Waker> = None;
        poll_fn(|cx| {
            if self.is_raised() {
                return Poll::Ready(());
            }
            if mine.as_ref().is_none_or(|mine| !mine.will_wake(cx.waker())) {
                mine = Some(cx.waker().clone());
                *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
                // It may have been raised before it knew whom to wake.
                if self.is_raised() {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
    }
}
