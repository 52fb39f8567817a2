//! Which databases are paused, and which let no new client in, by orders from
//! the admin console.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub struct Doors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    all_paused: bool,
    paused: BTreeSet<String>,
    disabled: BTreeSet<String>,
}

impl Doors {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: all databases. Whether it was not paused before.
    pub fn pause(&self, database: Option<&str>) -> bool {
        let mut state = self.lock();
        match database {
            Some(database) => state.paused.insert(database.to_owned()),
            None => !std::mem::replace(&mut state.all_paused, true),
        }
    }

    /// Whether it was paused before, by the same word.
    pub fn resume(&self, database: Option<&str>) -> bool {
        let mut state = self.lock();
        match database {
            Some(database) => state.paused.remove(database),
            None => std::mem::replace(&mut state.all_paused, false),
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
