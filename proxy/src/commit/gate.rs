//! Commits pass a gate, and hold it open from the first server's commit to the
//! last one's. While somebody keeps it closed, no transaction is committed on
//! one server and not yet on another: snapshots taken then show the same.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

#[derive(Debug, Clone, Default)]
pub struct CommitGate(Arc<RwLock<()>>);

/// A commit is under way.
#[derive(Debug)]
#[must_use = "the commit is over when this is dropped"]
pub struct Passing {
    _guard: OwnedRwLockReadGuard<()>,
}

/// No commit is under way, until this is dropped.
#[derive(Debug)]
pub struct Closed {
    _guard: OwnedRwLockWriteGuard<()>,
}

impl CommitGate {
    /// Waits while it is closed, or about to be. Costs an atomic instruction or
    /// two otherwise.
    pub async fn pass(&self) -> Passing {
        Passing { _guard: self.0.clone().read_owned().await }
    }

    /// Waits until the commits under way are over; those that come later wait.
    /// `None`: one of them takes longer than `patience`.
    pub async fn close(&self, patience: Duration) -> Option<Closed> {
        let closing = tokio::time::timeout(patience, self.0.clone().write_owned()).await;
        Some(Closed { _guard: closing.ok()? })
    }
}
