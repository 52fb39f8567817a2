//! Which databases are paused, and which let no new client in, by orders from
//! the admin console.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Doors {
    state: Mutex<State>,
    /// Something is paused: for those who ask with each statement.
    any_paused: AtomicBool,
    resumed: Notify,
}

#[derive(Debug, Default)]
struct State {
    all_paused: bool,
    paused: BTreeSet<String>,
    disabled: BTreeSet<String>,
}

impl Doors {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, state: &State) {
        self.any_paused.store(state.all_paused || !state.paused.is_empty(), Ordering::Release);
    }

    /// `None`: all databases. Whether it was not paused before.
    pub fn pause(&self, database: Option<&str>) -> bool {
        let mut state = self.lock();
        let news = match database {
            Some(database) => state.paused.insert(database.to_owned()),
            None => !std::mem::replace(&mut state.all_paused, true),
        };
        self.note(&state);
        news
    }

    /// Whether it was paused before, by the same word.
    pub fn resume(&self, database: Option<&str>) -> bool {
        let mut state = self.lock();
        let was_paused = match database {
            Some(database) => state.paused.remove(database),
            None => std::mem::replace(&mut state.all_paused, false),
        };
        self.note(&state);
        drop(state);
        self.resumed.notify_waiters();
        was_paused
    }

    /// Whether something is paused, for those who do not want to lock.
    pub fn any_paused(&self) -> bool {
        self.any_paused.load(Ordering::Acquire)
    }

    /// Waits until the database is not paused.
    pub async fn wait_resumed(&self, database: &str) {
        loop {
            let mut resumed = std::pin::pin!(self.resumed.notified());
            resumed.as_mut().enable();
            if !self.is_paused(database) {
                return;
            }
            resumed.await;
        }
    }

    pub fn all_paused(&self) -> bool {
        self.lock().all_paused
    }

    pub fn is_paused(&self, database: &str) -> bool {
        let state = self.lock();
        state.all_paused || state.paused.contains(database)
    }

    pub fn disable(&self, database: &str) {
        self.lock().disabled.insert(database.to_owned());
    }

    pub fn enable(&self, database: &str) {
        self.lock().disabled.remove(database);
    }

    pub fn is_disabled(&self, database: &str) -> bool {
        self.lock().disabled.contains(database)
    }

    /// The databases that orders have named.
    pub fn named(&self) -> BTreeSet<String> {
        let state = self.lock();
        state.paused.union(&state.disabled).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
