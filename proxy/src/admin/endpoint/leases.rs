//! What was promised to whom, by number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot::Sender;

#[derive(Debug, Clone, Default)]
pub(super) struct Leases(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    /// Who is told that it is over.
    open: HashMap<u64, Sender<()>>,
}

impl Leases {
    pub fn add(&self, release: Sender<()>) -> u64 {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last += 1;
        let lease = inner.last;
        inner.open.insert(lease, release);
        lease
    }

    /// `None`: it is over.
    pub fn take(&self, lease: u64) -> Option<Sender<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&lease)
    }
}
