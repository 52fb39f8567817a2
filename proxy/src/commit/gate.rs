//! Commits and snapshots keep out of each other's way: a commit is inside from
//! the first server's COMMIT to the last one's, whoever takes a snapshot on several
//! servers while he does so. Any number of one kind are inside together, and none
//! of the other. So no snapshot shows a transaction on one server and not on another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

#[derive(Debug, Clone, Default)]
pub struct CommitGate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// So many are inside, all of this kind.
    inside: usize,
    kind: Kind,
    /// In the order in which they came. Who gave up is found out when his turn
    /// comes.
    waiting: VecDeque<(Kind, oneshot::Sender<Inside>)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Commit,
    Snapshot,
}

/// A commit is under way, or a snapshot is taken, until this is dropped.
#[derive(Debug)]
#[must_use = "it is over when this is dropped"]
pub struct Inside {
    gate: CommitGate,
}

impl CommitGate {
    /// For a commit: waits while snapshots are taken, and behind those who wait.
    pub async fn pass(&self) -> Inside {
        self.enter(Kind::Commit).await
    }

    /// For who takes snapshots: waits until the commits under way are over; those
    /// that come later wait. `None`: one of them takes longer than `patience`.
    pub async fn close(&self, patience: Duration) -> Option<Inside> {
        tokio::time::timeout(patience, self.enter(Kind::Snapshot)).await.ok()
    }

    async fn enter(&self, kind: Kind) -> Inside {
        loop {
            let turn = {
                let mut state = self.state();
                // Nobody overtakes: else the other kind might wait for ever.
                if state.waiting.is_empty() && (state.inside == 0 || state.kind == kind) {
                    state.inside += 1;
                    state.kind = kind;
                    return Inside { gate: self.clone() };
                }
                let (admit, turn) = oneshot::channel();
                state.waiting.push_back((kind, admit));
                turn
            };
            if let Ok(inside) = turn.await {
                return inside;
            }
        }
    }

    fn leave(&self) {
        let mut admitted = Vec::new();
        {
            let mut state = self.state();
            state.inside -= 1;
            if state.inside == 0
                && let Some((kind, _)) = state.waiting.front()
            {
                state.kind = *kind;
                while state.waiting.front().is_some_and(|(next, _)| *next == state.kind) {
                    admitted.extend(state.waiting.pop_front());
                }
                state.inside = admitted.len();
            }
        }
        for (_, admit) in admitted {
            // Who has given up leaves at once.
            drop(admit.send(Inside { gate: self.clone() }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.gate.leave();
    }
}
