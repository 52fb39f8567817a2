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
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !has_room(&mut entries, &key, now) {
            return false;
        }
        entries.insert(key, Entry { value, until: until(now, millis) });
        true
    }

    /// What it comes to; `None` if it was not kept.
    pub fn add(&self, key: &str, delta: i64, millis: Option<u64>) -> Option<u64> {
        let now = Instant::now();
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(key).filter(|entry| !entry.is_over(now)) {
            entry.value = entry.value.saturating_add_signed(delta);
            return Some(entry.value);
        }
        if !has_room(&mut entries, key, now) {
            return None;
        }
        let value = 0u64.saturating_add_signed(delta);
        entries.insert(key.to_owned(), Entry { value, until: until(now, millis) });
        Some(value)
    }
}

/// A time that the clock does not reach is for ever.
fn until(now: Instant, millis: Option<u64>) -> Option<Instant> {
    millis.and_then(|millis| now.checked_add(Duration::from_millis(millis)))
}

fn has_room(entries: &mut HashMap<String, Entry>, key: &str, now: Instant) -> bool {
    if entries.contains_key(key) {
        return true;
    }
    if entries.len() >= MAX_ENTRIES {
        entries.retain(|_, entry| !entry.is_over(now));
    }
    entries.len() < MAX_ENTRIES && key.len() <= MAX_KEY_BYTES
}

#[cfg(test)]
mod tests;
