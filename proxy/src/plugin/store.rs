//! Values that all instances of a plugin share: `store` of the contract.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// As the contract promises.
const MAX_ENTRIES: usize = 100_000;
/// Longer keys are not kept.
const MAX_KEY_BYTES: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Entry {
    value: u64,
    /// `None`: kept for ever.
    until: Option<Instant>,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

#[derive(Debug, Default)]
pub(super) struct Store(Mutex<HashMap<String, Entry>>);

impl Store {
    pub fn get(&self, key: &str) -> Option<u64> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(key)?;
        // Most stores are empty: only what is there costs a look at the clock.
        (entry.until.is_none() || !entry.is_over(Instant::now())).then_some(entry.value)
    }

    /// Whether it was kept.
    pub fn set(&self, key: String, value: u64, millis: Option<u64>) -> bool {
        let now = Instant::now();
        // A time that the clock does not reach is for ever.
        let until = millis.and_then(|millis| now.checked_add(Duration::from_millis(millis)));
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !entries.contains_key(&key) {
            if entries.len() >= MAX_ENTRIES {
                entries.retain(|_, entry| !entry.is_over(now));
            }
            if entries.len() >= MAX_ENTRIES || key.len() > MAX_KEY_BYTES {
                return false;
            }
        }
        entries.insert(key, Entry { value, until });
        true
    }
}

#[cfg(test)]
mod tests;
