//! What waits for one client.

use crate::protocol::PgError;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

/// Notifications may wait for a client that does not take them, or is in a
/// transaction, up to so many bytes.
pub(super) const MOST: usize = 16 * 1024 * 1024;
/// What one takes besides its bytes, about.
const EACH: usize = 64;

/// Filled by the connection's task, emptied by the session.
#[derive(Debug, Default)]
pub struct Ear(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// NotificationResponse messages, whole. Clients share them.
    heard: VecDeque<Arc<[u8]>>,
    bytes: usize,
    /// The server listens to all that was asked for.
    settled: bool,
    /// Why no more will come.
    end: Option<PgError>,
    waker: Option<Waker>,
}

impl Ear {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hear(&self, message: &Arc<[u8]>) {
        let mut inner = self.lock();
        if inner.end.is_some() {
            return;
        }
        inner.bytes += message.len() + EACH;
        if inner.bytes > MOST {
            inner.end = Some(too_many());
        } else {
            inner.heard.push_back(message.clone());
            // Who has been woken takes all there is.
            if inner.heard.len() > 1 {
                return;
            }
        }
        inner.wake();
    }

    pub(super) fn fail(&self, error: PgError) {
        let mut inner = self.lock();
        if inner.end.is_none() {
            inner.end = Some(error);
            inner.wake();
        }
    }

    pub(super) fn set_settled(&self, settled: bool) {
        let mut inner = self.lock();
        inner.settled = settled;
        if settled {
            inner.wake();
        }
    }

    /// This task is woken when something happens.
    pub fn listen(&self, cx: &Context<'_>) {
        let mut inner = self.lock();
        if !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inner.waker = Some(cx.waker().clone());
        }
    }

    pub fn is_settled(&self) -> bool {
        self.lock().settled
    }

    /// The next message. An error is behind all of them.
    pub fn take(&self) -> Option<Result<Arc<[u8]>, PgError>> {
        let mut inner = self.lock();
        match inner.heard.pop_front() {
            Some(message) => {
                inner.bytes -= message.len() + EACH;
                Some(Ok(message))
            }
            None => inner.end.clone().map(Err),
        }
    }

    /// The error, if it cannot wait: no more fits in.
    pub fn overflow(&self) -> Option<PgError> {
        let inner = self.lock();
        inner.end.clone().filter(|_| inner.bytes > MOST)
    }

    /// The error, if what was asked for will not come any more.
    pub fn failure(&self) -> Option<PgError> {
        self.lock().end.clone()
    }
}

impl Inner {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// SQLSTATE 54000, as PostgreSQL says it of its own queue.
fn too_many() -> PgError {
    PgError::fatal("54000", "terminating connection: too many notifications in its queue")
        .with_detail(format!("More than {} MB waited for this client to take them.", MOST / 1024 / 1024))
        .with_hint("Notifications reach a client between its transactions: end them, and read what comes.")
}
